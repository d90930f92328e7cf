"""Feed one input to everything that reads its kind: a value or one of our errors, in bounded processor time."""

import time

import numpy as np

from kmon_analysis.errors import KmonError
from kmon_analysis.incidents import parse_incidents
from kmon_analysis.labels import Labels, compiled, parse_series
from kmon_analysis.promql.evaluate import evaluate
from kmon_analysis.promql.parser import parse
from kmon_analysis.promql.printer import format_expr
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.rules.reader import parse_rules, read_rules
from kmon_analysis.rules.templates import check_template, expand
from kmon_analysis.series import Samples, SeriesSet
from kmon_analysis.timing import parse_duration, parse_instant

__all__ = ["LIMIT_S", "feed"]

LIMIT_S = 20.0
TIMES = np.arange(30, 40, dtype=np.int64) * 60_000
SERIES = SeriesSet.from_samples(
    Samples(
        Labels({"__name__": name, "topic": "a" * 40 + topic}), np.arange(80, dtype=np.int64) * 30_000, np.arange(80.0)
    )
    for name in ("lag", "x")
    for topic in "ab"
)
RELEASES = tuple(Semantics.of(version) for version in ("2.42", "3.16"))


def feed(kind, text, folder):
    """Return what went wrong ("" for nothing) and the processor time in seconds."""
    began = time.process_time()
    wrong = ""
    for read in READERS[kind]:
        try:
            read(text, folder)
        except KmonError as error:
            if not str(error).strip():
                wrong = f"{read.__name__}: an error without words"
        except Exception as error:
            wrong = f"{read.__name__}: {type(error).__name__}: {str(error)[:200]}"
    took = time.process_time() - began
    return wrong or (f"{took:.1f} s of processor time" if took > LIMIT_S else ""), took


def expression(text, folder):
    """Parse, print, parse again, evaluate with both releases."""
    tree = parse(text)
    assert parse(format_expr(tree)) == tree, "printed it is another expression"
    for semantics in RELEASES:
        try:
            evaluate(tree, SERIES, TIMES, semantics)
        except KmonError:
            continue


def rules_text(text, folder):
    """Read rules, and expand what their alerts say."""
    for rule in parse_rules(text).alerts:
        for template in (*rule.labels.values(), *rule.annotations.values()):
            template_text(template, folder)


def rules_bytes(text, folder):
    """Read the same from a file; lone surrogates make it invalid UTF-8."""
    path = folder / "rules.yml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    read_rules(path)


def template_text(text, folder):
    """Check and expand a template."""
    check_template(text)
    try:
        expand(text, {"topic": "a"}, 1234.5)
    except KmonError:
        return


def pattern(text, folder):
    """Compile and match a regular expression."""
    compiled(text, True).fullmatch("a" * 60)


def yaml_incidents(text, folder):
    """Read incidents in YAML."""
    parse_incidents(text, "incidents.yml")


def table_incidents(text, folder):
    """Read incidents in CSV."""
    parse_incidents(text, "incidents.csv")


def duration(text, folder):
    """Read a duration."""
    parse_duration(text)


def instant(text, folder):
    """Read an instant."""
    parse_instant(text)


def series(text, folder):
    """Read a series' labels."""
    parse_series(text)


READERS = {
    "expression": (expression,),
    "rules": (rules_text, rules_bytes),
    "template": (template_text,),
    "pattern": (pattern,),
    "incidents": (yaml_incidents, table_incidents),
    "duration": (duration, instant),
    "series": (series,),
}
