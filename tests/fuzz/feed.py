"""Feed one input to everything that reads its kind: a value or one of our errors, in bounded processor time."""

import contextlib
import time
import traceback
from pathlib import Path

import numpy as np

from kmon_analysis.errors import KmonError, printable
from kmon_analysis.health.reader import read_settings
from kmon_analysis.incidents import Incident, format_incidents, parse_incidents, read_incidents
from kmon_analysis.kafka.jmx_lint import lint_jmx
from kmon_analysis.labelling.edit import appended
from kmon_analysis.labelling.importing import import_incidents
from kmon_analysis.labelling.services import parse_services
from kmon_analysis.labels import Labels, compiled, parse_series
from kmon_analysis.promql.evaluate import evaluate
from kmon_analysis.promql.needs import fixed_selections, selections
from kmon_analysis.promql.parser import parse
from kmon_analysis.promql.printer import format_expr
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.rules.knobs import find_knobs
from kmon_analysis.rules.reader import parse_rules, read_rules, rule_nodes
from kmon_analysis.rules.templates import check_template, expand
from kmon_analysis.series import Samples, SeriesSet
from kmon_analysis.timing import Interval, parse_duration, parse_instant

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
MOST_RULES = 20
HOSTILE = {"__name__": "up", "topic": '"\x00{{ $value }}\x1b[31m\u202e', "group": "</script>" * 50}
RELEASES = tuple(Semantics.of(version) for version in ("2.42", "3.16"))


def feed(kind, text, folder, readers=None, limit_s=LIMIT_S):
    """Return what went wrong ("" for nothing) and the processor time in seconds."""
    began = time.process_time()
    wrong = ""
    for read in (READERS if readers is None else readers)[kind]:
        try:
            read(text, folder)
        except KmonError as error:
            if not printable(str(error), lines=True).strip():
                wrong = f"{read.__name__}: an error without words"
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(frame.filename).name}:{frame.lineno}"
            wrong = f"{read.__name__}: {type(error).__name__} at {place}: {str(error)[:200]}"
    took = time.process_time() - began
    return wrong or (f"{took:.1f} s of processor time" if took > limit_s else ""), took


def expression(text, folder):
    """Parse, print, parse again, evaluate with both releases."""
    tree = parse(text)
    evaluated(tree)


def evaluated(tree):
    """Print, parse again, ask what it needs, evaluate with both releases."""
    assert parse(format_expr(tree)) == tree, "printed it is another expression"
    selections(tree)
    fixed_selections(tree)
    for semantics in RELEASES:
        try:
            evaluate(tree, SERIES, TIMES, semantics)
        except KmonError:
            continue


def rules_text(text, folder):
    """Read rules, evaluate them, look for their knobs, and expand what their alerts say."""
    file = parse_rules(text, semantics=RELEASES[1])
    rule_nodes(text)
    for rule in [rule for group in file.groups for rule in group.rules][:MOST_RULES]:
        evaluated(rule.expr)
    for rule in file.alerts[:MOST_RULES]:
        find_knobs(rule)
        for template in (*rule.labels.values(), *rule.annotations.values()):
            template_text(template, folder)


def rules_bytes(text, folder):
    """Read the same from a file; lone surrogates make it invalid UTF-8."""
    read_rules(saved(text, folder / "rules.yml"), semantics=RELEASES[0])


def saved(text, path):
    """Write an input as a file."""
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    return path


def template_text(text, folder):
    """Check and expand a template."""
    check_template(text)
    for value in (1234.5, 0.0, -1e-300, 1.7e308, float("nan"), float("-inf")):
        try:
            expand(text, HOSTILE, value)
        except KmonError:
            continue


def pattern(text, folder):
    """Compile and match a regular expression."""
    compiled(text, True).fullmatch("a" * 60)


def yaml_incidents(text, folder):
    """Read incidents in YAML."""
    format_incidents(parse_incidents(text, "incidents.yml"))


def table_incidents(text, folder):
    """Read incidents in CSV."""
    format_incidents(parse_incidents(text, "incidents.csv", table=True))


def incidents_bytes(text, folder):
    """Read the same from a file."""
    read_incidents(saved(text, folder / "incidents.yml"))


def other_tools(text, folder):
    """Read the same as exports of other tools."""
    for tool in ("pagerduty", "opsgenie", "csv"):
        with contextlib.suppress(KmonError):
            import_incidents(saved(text, folder / "export.csv"), tool, zone="UTC")
    with contextlib.suppress(KmonError):
        import_incidents(saved(text, folder / "alerts.json"), "alerts")
    parse_services([text])


def longer_list(text, folder):
    """Add an incident to the list, which then holds it."""
    more = Incident(
        "fed-to-it", Interval(0, 60_000), {"topic": "\u202e"}, ("A",), cause="a: b\n- c", status="suggested"
    )
    assert parse_incidents(appended(text, more)).suggested[-1] == more


def duration(text, folder):
    """Read a duration."""
    parse_duration(text)


def instant(text, folder):
    """Read an instant."""
    parse_instant(text)


def series(text, folder):
    """Read a series' labels."""
    parse_series(text)


def jmx(text, folder):
    """Lint a configuration of the JMX exporter."""
    str(lint_jmx(saved(text, folder / "jmx.yml")))


def health(text, folder):
    """Read a configuration of the health endpoint."""
    read_settings(saved(text, folder / "integrations.yml"), {"SECRET": "x"})


READERS = {
    "expression": (expression,),
    "rules": (rules_text, rules_bytes),
    "template": (template_text,),
    "pattern": (pattern,),
    "incidents": (yaml_incidents, table_incidents, incidents_bytes, other_tools, longer_list),
    "duration": (duration, instant),
    "series": (series,),
    "jmx": (jmx,),
    "health": (health,),
}
