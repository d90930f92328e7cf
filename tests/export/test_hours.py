"""Other traffic hours in a rule file."""

import numpy as np
import pytest

from kmon_analysis.errors import SettingError
from kmon_analysis.export.hours import with_hours
from kmon_analysis.kafka.hours import parse_hours, promql_guard
from kmon_analysis.labels import parse_series
from kmon_analysis.promql.evaluate import evaluate
from kmon_analysis.promql.parser import parse
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.rules.reader import parse_rules
from kmon_analysis.series import Samples, SeriesSet
from kmon_analysis.timing import HOUR_MS, MINUTE_MS
from tests.tools import REPOSITORY

START = 1_767_225_600_000
DEPLOYED = (REPOSITORY / "data" / "user-service" / "rules.yml").read_text(encoding="utf-8")
GUARD = promql_guard(parse_hours("Mon-Fri 09:00-17:00"))


def file_of(expr):
    quoted = expr.replace("'", "''")
    return parse_rules(f"groups:\n- name: g\n  rules:\n  - alert: A\n    expr: '{quoted}'  # why\n", "rules.yml")


def fires(text):
    """Return at which hours of a week an expression returns anything, on a gauge that is always 0."""
    times = START + np.arange(7 * 24) * HOUR_MS + 30 * MINUTE_MS
    samples = Samples(parse_series("x"), np.arange(START, START + 8 * 24 * HOUR_MS, MINUTE_MS), np.zeros(8 * 24 * 60))
    grid = evaluate(parse(text), SeriesSet.from_samples([samples]), times, Semantics.of("2.42"))
    return grid.present.any(axis=0) if len(grid.labels) else np.zeros(len(times), dtype=bool)


@pytest.mark.parametrize(
    "expr",
    [
        "x < 1",
        "x < 1 and on() (hour() >= 8 < 20) and on() (day_of_week() > 0 < 6)",
        "(x and on() (hour() < 3)) < 1",
        "x < 1 or x < -1",
        "x < 1 unless on() (hour() < 8)",
        "x < 1 # not at night\n",
    ],
)
def test_the_new_hours_alone_hold(expr):
    at_all = with_hours(file_of(expr), "A", "").alert("A").text
    assert fires(at_all).all()
    assert fires(with_hours(file_of(expr), "A", GUARD).alert("A").text).tolist() == fires(f"(x < 1) {GUARD}").tolist()


def test_nothing_else_of_the_file_changes():
    before, after = (
        DEPLOYED.splitlines(),
        with_hours(parse_rules(DEPLOYED, "r"), "LowMessageRate", "").text.splitlines(),
    )
    assert [line for line in before if "hour()" not in line and "day_of_week()" not in line] == after
    same = "and on() (hour() >= 8 < 20)\n      and on() (day_of_week() > 0 < 6)"
    assert same in DEPLOYED


def test_what_cannot_be_done_is_refused():
    scattered = file_of("(x and on() (hour() >= 8)) < 1 and on() (day_of_week() > 0)")
    with pytest.raises(SettingError, match="in several places"):
        with_hours(scattered, "A", "")
    with pytest.raises(SettingError, match="no alert 'B'"):
        with_hours(file_of("x < 1"), "B", "")
    with pytest.raises(SettingError, match="no guard of hours"):
        with_hours(file_of("x < 1"), "A", "and y > 3")
