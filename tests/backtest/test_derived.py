"""Signals made from others against the same rule evaluated anew."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kmon_analysis.backtest import rule as rule_module
from kmon_analysis.backtest.run import backtest
from kmon_analysis.backtest.settings import Settings
from kmon_analysis.backtest.signal import alert_signal
from kmon_analysis.history import History, Provenance
from kmon_analysis.labels import Labels
from kmon_analysis.rules.knobs import find_knobs, hours_guards, rule_with
from kmon_analysis.rules.reader import parse_rules
from kmon_analysis.series import Samples, SeriesSet, stale_marker
from kmon_analysis.timing import HOUR_MS, MINUTE_MS

START = 1_772_409_600_000  # Monday 2026-03-02
HOURS = 40

RULES = {
    "Plain": "x > 3",
    "Window": "max_over_time(x[5m]) >= 3 and on() (hour() >= 6 < 22)",
    "Falls": "avg_over_time(x[10m]) < 4",
    "Inside": "(sum by (topic, az) (x) and on() (hour() > 3)) > 2",
    "Filtered": "x > 1 and on() (hour() >= 8) and on() (day_of_week() == 1) unless on(topic) y > 4",
    "Recorded": "job:x:max > 3 unless on() (hour() < 4)",
    "Shifted": 'x{topic="a"} > 2 and on() (minute() >= 30)',
    "Clashing": '{__name__=~"x|y", topic="a", az="1"} > 2',
    "NoThreshold": "x > 4 or y > 4",
}
GUARDS = (
    "",
    "and on() (hour() >= 9 < 12)",
    "unless on() (hour() >= 9 < 12)",
    "and on() (hour() >= 6) and on() (minute() < 30 or minute() > 50)",
    "unless on () (minute() >= 10 < 20) and on() (hour() > 20 or on() day_of_week() == 2)",
    # Nothing, everything, an element that is NaN and there, and guards that look at the labels of the elements.
    "and on() (hour() > 24)",
    "and on() (hour() >= 0)",
    "and on() (hour() * NaN)",
    "and (hour() >= 9)",
    "unless (hour() >= 9)",
    "and on(topic) (hour() >= 9)",
    "and ignoring(topic, az, __name__) (hour() >= 9)",
)
GROUPS = (None, (), ("topic",), ("az",), ("topic", "az"), ("severity",), ("absent",))


def history():
    rng = np.random.default_rng(5)
    times = START + np.arange(HOURS * 60, dtype=np.int64) * MINUTE_MS
    parts = []
    for name in ("x", "y"):
        for topic in ("a", "b"):
            for zone in ("1", "2"):
                values = rng.choice([0.0, -0.0, 1.0, 2.0, 3.0, 3.5, 5.0, np.inf, -np.inf, np.nan], len(times))
                values[rng.choice(len(times), 40, replace=False)] = stale_marker()[0]
                kept = rng.random(len(times)) > 0.2
                kept[5 * 60 : 9 * 60] &= topic == "a"
                labels = Labels({"__name__": name, "topic": topic, "az": zone})
                parts.append(Samples(labels, times[kept], values[kept]))
    end = START + HOURS * HOUR_MS
    return History(SeriesSet.from_samples(parts), Provenance("test", START, end, scrape_interval_ms=MINUTE_MS))


def rules(offset=""):
    alerts = "".join(
        f"  - alert: {name}\n    expr: {json.dumps(text)}\n    labels: {{severity: page}}\n"
        for name, text in RULES.items()
    )
    record = "  - record: job:x:max\n    expr: max by (topic) (x)\n"
    return parse_rules(f"groups:\n- name: g\n{offset}  rules:\n{record}{alerts}")


RESULTS = {
    (own, offset): backtest(rules(offset), history(), settings=Settings(group_by=own))
    for own, offset in [(None, ""), (("topic",), ""), (None, "  query_offset: 7m\n")]
}


def anew(replay, window_ms, guard):
    """Evaluate the turned rule as it stands."""
    window = window_ms if window_ms != replay.knobs.window_ms else None
    own = guard if guard != (replay.knobs.hours or "") else None
    knobs = find_knobs(rule_with(replay.rule, window_ms=window, hours=own))
    return alert_signal(
        replay.rule, knobs, replay.groups.evaluate(replay.rule.key, knobs.signal), replay.settings.group_by
    )


def plain(signal):
    """Write a signal down, without alerts that never have a level."""
    groups = []
    for group in signal.groups:
        rows = [row for row in range(len(group.members)) if group.ranks[row].any()]
        members = tuple(group.members[row] for row in rows)
        if rows:
            groups.append((group.labels, members, group.distinct.tolist(), group.ranks[rows].tolist()))
    return groups, signal.times.tolist(), signal.failed.tolist(), signal.op


@pytest.mark.parametrize("name", RULES)
@given(
    result=st.sampled_from(sorted(RESULTS, key=str)),
    guard=st.sampled_from(GUARDS),
    window_min=st.sampled_from([None, 2, 30]),
    group_by=st.sampled_from(GROUPS),
)
@settings(max_examples=25, deadline=None)
def test_a_derived_signal_is_the_one_evaluated_anew(name, result, guard, window_min, group_by):
    replay = RESULTS[result][name].grouped(group_by)
    window_ms = None if window_min is None or replay.knobs.window_ms is None else window_min * MINUTE_MS
    guard = guard if replay.knobs.sweepable else ""
    signal = replay.signal(window_ms, guard or replay.knobs.hours or "")
    assert plain(signal) == plain(anew(replay, window_ms, guard or replay.knobs.hours or ""))
    for group in signal.groups:
        assert group.ranks.dtype == np.int32
        assert group.distinct.dtype == np.float64


def test_hours_and_groupings_evaluate_nothing_again(monkeypatch):
    replay = RESULTS[None, ""]["Plain"]
    replay.signal()

    def never(*_):
        raise AssertionError("evaluated again")

    monkeypatch.setattr(rule_module, "alert_signal", never)
    for group_by in GROUPS:
        grouped = replay.grouped(group_by)
        grouped.signal()
        grouped.signal(None, "and on() (hour() >= 10 < 11)")
    with pytest.raises(AssertionError, match="evaluated again"):
        replay.signal(None, "and (hour() >= 11)")


def test_an_evaluation_that_fails_at_all_hours_only_is_not_lost():
    replay = RESULTS[None, ""]["Clashing"]
    hours = "and on() (hour() >= 9 < 12)"
    assert len(replay.signal().failed) > len(replay.signal(None, hours).failed) > 0


def test_guards_that_look_at_labels_are_told_apart():
    found = {
        guard: hours_guards(rule_with(RESULTS[None, ""]["Plain"].rule, hours=guard).expr) for guard in GUARDS if guard
    }
    assert [guard for guard, each in found.items() if each is None] == list(GUARDS[-4:])
    assert len(found[GUARDS[4]]) == 2
