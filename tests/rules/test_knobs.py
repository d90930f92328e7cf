"""Which parts of a rule can turn."""

from __future__ import annotations

import itertools
import operator
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmon_analysis.errors import SettingError
from kmon_analysis.labels import Labels
from kmon_analysis.promql.evaluate import evaluate
from kmon_analysis.promql.parser import parse
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.rules.knobs import find_knobs, rule_with
from kmon_analysis.rules.model import AlertingRule
from kmon_analysis.series import Samples, SeriesSet, stale_marker
from kmon_analysis.timing import HOUR_MS, MINUTE_MS

HOURS = "and on() (hour() >= 8 < 20) and on() (day_of_week() > 0 < 6)"


def rule(text, **options):
    return AlertingRule("A", parse(text), text, **options)


SWEEPABLE = [
    # expression, op, threshold, text of the threshold, signal
    ("lag > 1000", ">", 1000, "1000", "lag"),
    ("lag >= 1e3", ">=", 1000, "1e3", "lag"),
    ("lag < 0x10", "<", 16, "0x10", "lag"),
    ("lag <= -5", "<=", -5, "-5", "lag"),
    ("lag > - 5", ">", -5, "- 5", "lag"),
    ("1000 < lag", ">", 1000, "1000", "lag"),
    ("1000 >= lag", "<=", 1000, "1000", "lag"),
    ("(lag) > (1000)", ">", 1000, "(1000)", "(lag)"),
    ("((lag > 1000))", ">", 1000, "1000", "((lag))"),
    ("0 < x < 5", "<", 5, "5", "0 < x"),
    ("x > 0 < 5", "<", 5, "5", "x > 0"),
    ("x > 10 * 1024 ^ 2", ">", 10 * 1024**2, "10 * 1024 ^ 2", "x"),
    ("x / y > 0.9 and y > 100", ">", 0.9, "0.9", "x / y and y > 100"),
    ("lag > 1000 unless on (topic) paused == 1", ">", 1000, "1000", "lag unless on (topic) paused == 1"),
    ("(lag > 5 and x) unless y", ">", 5, "5", "(lag and x) unless y"),
    ("sum by (topic) (rate(m[5m])) < 1", "<", 1, "1", "sum by (topic) (rate(m[5m]))"),
    ("count(up == 0) > 2", ">", 2, "2", "count(up == 0)"),
    ("time() - x > 300", ">", 300, "300", "time() - x"),
    ("delta(lag[5m]) > 0", ">", 0, "0", "delta(lag[5m])"),
    ("x > 5 != 7", ">", 5, "5", "x != 7"),
    ("7 != (x > 5)", ">", 5, "5", "7 != (x)"),
    ("x > 5 < Inf", ">", 5, "5", "x < Inf"),
    (f"lag > 1000 {HOURS}", ">", 1000, "1000", f"lag {HOURS}"),
    ("lag > 1000 unless on() hour() < 8", ">", 1000, "1000", "lag unless on () hour() < 8"),
]


@pytest.mark.parametrize(("text", "op", "threshold", "written", "signal"), SWEEPABLE)
def test_the_comparison_that_turns(text, op, threshold, written, signal):
    knobs = find_knobs(rule(text))
    assert (knobs.op, knobs.threshold, knobs.sweepable, knobs.reason) == (op, threshold, True, None)
    assert text[knobs.threshold_span.start : knobs.threshold_span.end] == written
    assert knobs.signal == parse(signal)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("absent(x)", "absent"),
        ("x > 5 or y > 3", "or"),
        ("(x or y) == 1", "== 1"),
        ("x == 1", "== 1"),
        ("x != 0", "!= 0"),
        ("x > bool 5", "bool"),
        ("(x > bool 5) * 2", "arithmetic"),
        ("(x > 5) * 2", "arithmetic"),
        ("sum(x > 5)", "no comparison"),
        ("sort(x > 5)", "sort"),
        ("x > y", "not with a number"),
        ("x > scalar(y)", "not with a number"),
        ("up", "no comparison"),
        ("-x", "no comparison"),
        ("x > NaN", "> NaN"),
        ("x < Inf", "< Inf"),
        ("hour() > 8", "calendar"),
        ("(hour() > 8 < 20) and on() lag > 5", "calendar"),
        ("x and y > 5", "no comparison"),
        ("1 > bool 2", "bool"),
    ],
)
def test_nothing_turns(text, reason):
    given_rule = rule(text)
    knobs = find_knobs(given_rule)
    assert not knobs.sweepable
    assert (knobs.op, knobs.threshold, knobs.threshold_span, knobs.signal) == (None, None, None, given_rule.expr)
    assert reason in knobs.reason
    with pytest.raises(SettingError, match=re.escape(knobs.reason)):
        rule_with(given_rule, threshold=3)


@pytest.mark.parametrize(
    ("text", "hours", "rest"),
    [
        ("lag > 1000", None, None),
        (f"lag > 1000 {HOURS}", HOURS, "lag > 1000 "),
        (f"(lag > 1000 {HOURS}) unless x", HOURS, "(lag > 1000 ) unless x"),
        (
            "lag > 1000 unless on() (hour() < 8 or hour() >= 20)",
            "unless on() (hour() < 8 or hour() >= 20)",
            "lag > 1000 ",
        ),
        ("lag > 5 # n\n  and on() hour(vector(time() + 3600)) > 8", "and on() hour(vector(time() + 3600)) > 8", None),
        ("lag > 5 and on() hour() > 8 and up", "and on() hour() > 8", "lag > 5  and up"),
        ("lag > 5 and on() hour() > 8 and up and on() month() != 8", "and on() hour() > 8 and on() month() != 8", ""),
        ("absent(x) and on() hour() > 8", "and on() hour() > 8", "absent(x) "),
        ("lag and hour(stamp) > 8", None, None),
    ],
)
def test_hours(text, hours, rest):
    knobs = find_knobs(rule(text))
    assert knobs.hours == hours
    if rest is None:
        return
    if not rest:
        assert knobs.hours_span is None
        return
    without = text[: knobs.hours_span.start] + text[knobs.hours_span.end :]
    assert without == rest
    assert find_knobs(rule(without)).hours is None


@pytest.mark.parametrize(
    ("text", "window_ms", "count"),
    [
        ("lag > 1", None, 0),
        ("rate(x[5m]) > 1", 300_000, 1),
        ("rate(x[5m]) / rate(y[300s]) > 1", 300_000, 2),
        ("rate(x[5m]) / rate(y[10m]) > 1", None, 0),
        ("max_over_time(rate(x[5m])[1h:]) > 1", None, 0),
        ("max_over_time(x[1h:1m]) > 1", 3_600_000, 1),
        ("absent_over_time(x[10m])", 600_000, 1),
        ("rate(x[5m]) > 1 and rate(y[5m]) > 0", 300_000, 2),
    ],
)
def test_windows(text, window_ms, count):
    knobs = find_knobs(rule(text))
    assert (knobs.window_ms, len(knobs.window_spans)) == (window_ms, count)
    if window_ms:
        turned = rule_with(rule(text), window_ms=120_000)
        assert find_knobs(turned).window_ms == 120_000
        assert turned.text.count("[2m") == count
    else:
        with pytest.raises(SettingError, match="no single window"):
            rule_with(rule(text), window_ms=120_000)


def test_edits_leave_everything_else():
    text = f"# lag\nrate( x [5m] )   >1000   # far\n  {HOURS}"
    turned = rule_with(rule(text, for_ms=5), threshold=12000.0, window_ms=90_000, for_ms=60_000, keep_firing_for_ms=0)
    assert turned.text == f"# lag\nrate( x [1m30s] )   >12000   # far\n  {HOURS}"
    assert (turned.for_ms, turned.keep_firing_for_ms) == (60_000, 0)
    assert turned.expr == parse(turned.text)


@pytest.mark.parametrize(
    "options", [{"threshold": float("nan")}, {"threshold": float("inf")}, {"for_ms": -1}, {"window_ms": 0}]
)
def test_values_that_make_no_sense(options):
    with pytest.raises(SettingError):
        rule_with(rule("rate(x[5m]) > 1"), **options)


@given(st.sampled_from(SWEEPABLE), st.floats(allow_nan=False, allow_infinity=False))
def test_a_turned_threshold_is_found_again(case, threshold):
    before = find_knobs(rule(case[0]))
    turned = rule_with(rule(case[0]), threshold=threshold)
    after = find_knobs(turned)
    assert after.threshold == threshold
    assert (after.op, after.signal, after.window_ms) == (before.op, before.signal, before.window_ms)
    assert (after.hours is None) == (before.hours is None)


OPERATORS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
TIMES = np.arange(0, 36 * HOUR_MS, 17 * MINUTE_MS, dtype=np.int64)


def recorded():
    """Series of every metric that the expressions name, with gaps, NaN, stale markers and infinities."""
    rng = np.random.default_rng(5)
    names = ("lag", "x", "y", "m", "up", "paused")
    parts = []
    for name, topic in itertools.product(names, ("a", "b")):
        times = np.sort(rng.choice(np.arange(0, 36 * HOUR_MS, MINUTE_MS), size=1_500, replace=False))
        values = rng.choice([-7.0, -5.0, 0.0, 0.5, 1.0, 5.0, 6.0, 7.0, 16.0, 300.0, 1000.0, 2e7, np.nan, np.inf], 1_500)
        values[rng.random(1_500) < 0.05] = stale_marker()[0]
        parts.append(Samples(Labels({"__name__": name, "topic": topic}), times, values))
    return SeriesSet.from_samples(parts)


SERIES = recorded()


@pytest.mark.parametrize("case", SWEEPABLE, ids=lambda case: case[0])
@pytest.mark.parametrize("threshold", [None, -6.0, 0.3, 5.0, 500.0])
def test_the_signal_above_the_threshold_is_the_rule(case, threshold):
    turned = rule(case[0]) if threshold is None else rule_with(rule(case[0]), threshold=threshold)
    knobs = find_knobs(turned)
    expected = evaluate(turned.expr, SERIES, TIMES, Semantics.of("2.42"))
    signal = evaluate(knobs.signal, SERIES, TIMES, Semantics.of("2.42"))
    for column in range(len(TIMES)):
        kept = {
            labels: value for labels, value in signal.at(column).items() if OPERATORS[knobs.op](value, knobs.threshold)
        }
        np.testing.assert_equal(kept, expected.at(column))


@pytest.mark.parametrize(
    ("text", "hours", "wanted"),
    [
        ("lag > 5", "and on() (hour() >= 8)", "lag > 5 and on() (hour() >= 8)"),
        ("lag > 5 # why", "and on() (hour() >= 8)", "lag > 5 and on() (hour() >= 8) # why"),
        ("lag > 5 or up == 0", "and on() (hour() >= 8)", "(lag > 5 or up == 0) and on() (hour() >= 8)"),
        ("lag > 5 and on() (hour() >= 8)\n", "", "lag > 5\n"),
        ("(lag and on() (hour() < 3)) > 5", "", "(lag) > 5"),
        ("lag > 5 and on() (hour() >= 8)", "and on() (hour() < 3)", "lag > 5 and on() (hour() < 3)"),
        ("lag > 5 and on() (hour() >= 8)", "and on() (hour() >= 8)", "lag > 5 and on() (hour() >= 8)"),
        (
            "lag > 5 and on() (hour() >= 8) and on() (day_of_week() > 0)",
            "and on() (hour() < 3)",
            "lag > 5 and on() (hour() < 3)",
        ),
    ],
)
def test_hours_turn(text, hours, wanted):
    turned = rule_with(rule(text), hours=hours)
    assert turned.text == wanted
    assert turned.expr == parse(wanted)
    assert find_knobs(turned).hours == (hours or None)


def test_hours_turn_together_with_the_rest():
    turned = rule_with(
        rule("rate(lag[5m]) > 5 and on() (hour() >= 8)"), threshold=7, window_ms=60_000, hours="and on() (hour() < 3)"
    )
    assert turned.text == "rate(lag[1m]) > 7 and on() (hour() < 3)"
    loose = rule_with(rule("lag > 5 or up == 0"), for_ms=60_000, hours="and on() (hour() < 3)")
    assert find_knobs(loose).hours == "and on() (hour() < 3)"


@pytest.mark.parametrize("hours", ["and lag > 3", "or on() (hour() < 3)", "> 7", "and on() (hour() < 3) > 2 # x"])
def test_what_is_no_guard_is_refused(hours):
    with pytest.raises(SettingError, match="no guard of hours"):
        rule_with(rule("lag > 5"), hours=hours)


def test_hours_in_several_places_do_not_turn():
    with pytest.raises(SettingError, match="several places"):
        rule_with(rule("(lag and on() (hour() < 3)) > 5 and on() (month() > 1)"), hours="")
