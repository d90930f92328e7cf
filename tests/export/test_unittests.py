"""Unit tests made from evidence: promtool runs them, and they notice when the rule changes."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from kmon_analysis.export import unittests
from kmon_analysis.export.seriestext import common_interval, on_grid, series_name, values_text, yaml_quote
from kmon_analysis.export.unittests import Evidence, build_unit_tests, make_unit_tests
from kmon_analysis.export.verify import verify_files
from kmon_analysis.labels import Labels
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.rules.reader import parse_rules
from kmon_analysis.series import Samples, SeriesSet, is_stale, stale_marker
from kmon_analysis.timing import DAY_MS, HOUR_MS, MINUTE_MS, parse_duration, parse_instant
from tests.tools import require

M = MINUTE_MS
SEMANTICS = Semantics.of("2.42")
MONDAY = parse_instant("2026-03-02T00:00:00Z")


def series(rng, name, start_ms, end_ms, levels, *, step_ms=15_000, jitter_ms=40, **labels):
    """A noisy series with a phase of its own; `levels` is a function of the time."""
    times = np.arange(start_ms + int(rng.integers(0, step_ms)), end_ms, step_ms, dtype=np.int64)
    times = times + rng.integers(-jitter_ms, jitter_ms + 1, size=len(times))
    values = np.array([levels(int(t)) for t in times], dtype=np.float64)
    return Samples(Labels({"__name__": name, **labels}), times, values)


RULES = """
groups:
- name: kafka
  rules:
  - alert: HighLag
    expr: lag > 1000
    for: 2m
    keep_firing_for: 1m
    labels: {severity: page}
    annotations:
      summary: "{{ $labels.topic }} lags by {{ $value }} ({{ $value | humanize }})"
  - alert: HighLag
    expr: lag > 5000
    labels: {severity: critical, size: '{{ $value }}'}
  - alert: LowRate
    expr: |
      sum by (topic) (rate(messages_total[5m])) < 1
        and on() (hour() >= 8 < 20) and on() (day_of_week() > 0 < 6)
    for: 3m
    annotations: {summary: "{{ if true }}x{{ end }}"}
  - alert: Gone
    expr: absent(lag{topic="orders"})
    for: 1m
  - alert: Old
    expr: time() - stamp > 300
  - alert: August
    expr: lag > 1000 and on() month() == 8
  - alert: Clash
    expr: lag > on() group_left() limit
  - record: topic:rate
    expr: sum by (topic) (rate(messages_total[5m]))
  - alert: Recorded
    expr: topic:rate < 1
"""
FILE = parse_rules(RULES, "rules.yml")


def recorded(seed=1, day_ms=MONDAY):
    """One morning: lag of two topics with an incident at nine; messages that stop at half past ten."""
    rng = np.random.default_rng(seed)
    start, end = day_ms + 7 * HOUR_MS, day_ms + 12 * HOUR_MS
    nine, half = day_ms + 9 * HOUR_MS, day_ms + 10 * HOUR_MS + 30 * M

    def lag(t):
        return float(rng.integers(0, 300) + (max(0, t - nine) / 300 if t < nine + 40 * M else 0))

    def messages(t):
        return float(3 * (min(t, half) - start) // 1000)

    parts = [
        series(rng, "lag", start, end, lag, topic="orders"),
        series(rng, "lag", start, end, lambda t: float(rng.integers(0, 99)) + 0.1, topic="users"),
        series(rng, "messages_total", start, end, messages, topic="orders", broker="1"),
        series(rng, "messages_total", start, end, messages, topic="orders", broker="2", step_ms=30_000),
        series(rng, "stamp", start, end, lambda t: t / 1000 - 500),
        series(rng, "unused", start, end, lambda t: 1.0),
    ]
    quiet = parts[1].values
    quiet[50:53] = math.nan
    quiet[80] = stale_marker()[0]
    return SeriesSet.from_samples(parts)


HISTORY = recorded()


def evidence(alert, start_h, end_h, name="one", history=HISTORY, day_ms=MONDAY, index=0):
    rules = [rule for rule in FILE.alerts if rule.name == alert]
    return Evidence(
        name, rules[index], history, int(day_ms + start_h * HOUR_MS), int(day_ms + end_h * HOUR_MS), "a note"
    )


def judged(tmp_path, text, rules=RULES):
    (tmp_path / "rules.yml").write_text(rules)
    (tmp_path / "rules_test.yml").write_text(text)
    return verify_files(tmp_path / "rules.yml", tmp_path / "rules_test.yml")


EVIDENCE = [
    evidence("HighLag", 8.5, 10, "incident one"),
    evidence("HighLag", 7.5, 8.5, "quiet"),
    evidence("HighLag", 9, 9.25, "tier two", index=1),
    evidence("LowRate", 10, 11.5, "messages stop \u00e9\n\x07"),
    evidence("LowRate", 8.25, 9, "messages run"),
    evidence("Gone", 6.5, 7.5, "not yet there"),
]


@pytest.mark.parametrize("step_ms", [15_000, 60_000, 100_000])
@pytest.mark.parametrize("rules", [None, FILE], ids=["alone", "with the file"])
def test_promtool_passes_them(tmp_path, step_ms, rules):
    require("promtool")
    used = [one for one in EVIDENCE if rules or one.rule.name != "HighLag"]
    made = build_unit_tests("rules.yml", used, step_ms, SEMANTICS, rules=rules)
    assert made.left_out == ()
    assert made.names == tuple(one.name for one in used)
    assert set(made.firing) >= {"messages stop \u00e9\n\x07", "not yet there"}
    found = judged(tmp_path, made.text)
    assert found.test.outcome == "ok", found.test.output


CHANGES = [
    ("lag > 1000\n", "lag > 100\n"),
    ("lag > 1000\n", "lag > 4000\n"),
    ("for: 2m", "for: 3m"),
    ("keep_firing_for: 1m", "keep_firing_for: 5m"),
    ("page", "ticket"),
    ("< 1\n        and", "< 4\n        and"),
    ("hour() >= 8", "hour() >= 11"),
]


def test_promtool_fails_them_when_the_rule_changes(tmp_path):
    require("promtool")
    texts = [make_unit_tests("rules.yml", used, M, SEMANTICS, rules=FILE) for used in (EVIDENCE[:3], EVIDENCE[3:4])]
    for old, new in CHANGES:
        assert old in RULES
        outcomes = [judged(tmp_path, text, RULES.replace(old, new, 1)).test.outcome for text in texts]
        assert outcomes == (["failed", "ok"] if (old, new) in CHANGES[:5] else ["ok", "failed"]), (old, new)


def test_what_a_test_looks_at():
    made = build_unit_tests("rules.yml", EVIDENCE[:2], 60_000, SEMANTICS, rules=FILE)
    body = YAML(typ="safe", pure=True).load(made.text)
    first, second = body["tests"]
    counts = [len(one["exp_alerts"]) for one in first["alert_rule_test"]]
    assert counts[:3] == [0, 0, 1]
    assert counts[-2:] == [1, 0]
    assert [one["exp_alerts"] for one in second["alert_rule_test"]] == [[], [], []]
    times = [parse_duration(one["eval_time"]) for one in second["alert_rule_test"]]
    assert times == sorted(times)
    assert made.firing == ("incident one",)
    assert {one["series"] for one in first["input_series"]} == {'lag{topic="orders"}', 'lag{topic="users"}'}
    summary = first["alert_rule_test"][2]["exp_alerts"][0]["exp_annotations"]["summary"]
    assert re.fullmatch(r"orders lags by [\d.]+ \([\d.]+k\)", summary)


@pytest.mark.parametrize(
    ("alert", "words"),
    [
        ("Old", "time() is compared"),
        ("August", "month()"),
        ("Recorded", "no recorded series"),
    ],
)
def test_what_is_left_out_is_said(alert, words):
    made = build_unit_tests("rules.yml", [evidence(alert, 8, 9)], 60_000, SEMANTICS, rules=FILE)
    [(name, reason)] = made.left_out
    assert (name, words in reason, made.names) == ("one", True, ())
    assert f"# Not tested: one: {reason}" in made.text
    assert "tests: []" in made.text


def test_a_neighbour_that_would_stop_promtool():
    made = build_unit_tests(
        "rules.yml", [evidence("HighLag", 8, 9)], 60_000, SEMANTICS,
        rules=parse_rules(RULES.replace("group_left() limit", "group_left() lag")),
    )  # fmt: skip
    assert "Clash fails" in made.left_out[0][1]


def test_recorded_and_recording():
    both = SeriesSet.from_samples(
        [*HISTORY, Samples(Labels({"__name__": "topic:rate", "topic": "orders"}), np.array([MONDAY + 8 * HOUR_MS]),
                           np.array([5.0]))]
    )  # fmt: skip
    alone = build_unit_tests("rules.yml", [evidence("Recorded", 8, 9, history=both)], 60_000, SEMANTICS, rules=FILE)
    assert alone.names == ("one",)
    mixed = parse_rules(RULES.replace("topic:rate < 1", "topic:rate < 1 and rate(messages_total[5m]) < 9"))
    one = Evidence("one", mixed.alert("Recorded"), both, MONDAY + 8 * HOUR_MS, MONDAY + 9 * HOUR_MS)
    made = build_unit_tests("rules.yml", [one], 60_000, SEMANTICS, rules=mixed)
    assert "records from these samples" in made.left_out[0][1]


def test_weekdays_are_kept_and_close(tmp_path):
    require("promtool")
    saturday = MONDAY + 5 * DAY_MS
    history = recorded(day_ms=saturday)
    made = build_unit_tests(
        "rules.yml",
        [evidence("LowRate", 10, 11.5, "weekend", history, saturday), evidence("LowRate", 10, 11.5, "monday")],
        60_000, SEMANTICS, rules=FILE,
    )  # fmt: skip
    assert made.firing == ("monday",)
    starts = re.findall(r"Time 0 here is (\S+);", made.text)
    assert starts == ["2026-03-05T00:00:00Z", "2026-03-02T00:00:00Z"]
    assert judged(tmp_path, made.text).test.outcome == "ok"


def many(count, hours=4):
    rng = np.random.default_rng(3)
    start, nine = MONDAY + 7 * HOUR_MS, MONDAY + 9 * HOUR_MS

    def lag(partition):
        return lambda t: 2000.0 * (partition == 0 and nine < t < nine + 20 * M) + rng.integers(0, 99)

    return SeriesSet.from_samples(
        series(rng, "lag", start, start + hours * HOUR_MS, lag(partition), topic="t", partition=str(partition))
        for partition in range(count)
    )


@pytest.mark.parametrize(
    ("count", "start_h", "end_h"), [(3, 7, 11), (40, 7, 11), (40, 7, 8.5), (1, 7, 600), (400, 7, 11)]
)
def test_tests_stay_small(tmp_path, count, start_h, end_h):
    require("promtool")
    one = evidence("HighLag", start_h, end_h, history=many(count, 4 if end_h < 100 else 593))
    made = build_unit_tests("rules.yml", [one], M, SEMANTICS, rules=FILE)
    assert made.left_out == ()
    body = YAML(typ="safe", pure=True).load(made.text)
    written = [values for one in body["tests"] for part in one["input_series"] for values in expanded(part["values"])]
    assert len([value for value in written if value is not None]) <= unittests.MAX_SAMPLES
    assert bool(made.firing) == (end_h > 9)
    assert judged(tmp_path, made.text).test.outcome == "ok"


def test_the_file_stays_small(monkeypatch):
    monkeypatch.setattr(unittests, "MAX_TEXT", 20_000)
    used = [evidence("HighLag", 8.5, 10, f"incident {number}") for number in range(9)]
    made = build_unit_tests("rules.yml", used, M, SEMANTICS, rules=FILE)
    assert 0 < len(made.names) < 9
    assert all("grow past" in reason for _, reason in made.left_out)


def expanded(text):
    """Read promtool's notation: the naive twin of `values_text`."""
    for word in text.split():
        match = re.fullmatch(r"(\S+?)x(\d+)", word)
        value, count = (match[1], int(match[2])) if match else (word, 0)
        number = None if value == "_" else stale_marker()[0] if value == "stale" else float(value)
        yield from [number] * (count + (value != "_" or not match))


numbers = st.one_of(st.floats(), st.just(stale_marker()[0]), st.sampled_from([0.0, -0.0, 1.0, 1e300, 5e-324]))


@given(
    st.lists(st.one_of(st.none(), numbers), max_size=30).map(
        lambda items: [i for i in items for _ in range(1 + (i == 1))]
    )
)
def test_values_are_written_to_the_bit(items):
    places = np.array([place for place, item in enumerate(items) if item is not None], dtype=np.int64)
    values = np.array([item for item in items if item is not None], dtype=np.float64)
    stale = is_stale(values)
    values[np.isnan(values) & ~stale] = math.nan
    text = values_text(places * 7, values, 7)
    back = list(expanded(text))
    assert [place for place, item in enumerate(back) if item is not None] == places.tolist()
    again = np.array([item for item in back if item is not None], dtype=np.float64)
    assert again.view(np.uint64).tolist() == values.view(np.uint64).tolist()
    assert "xx" not in text


@given(st.integers(0, 14_999), st.integers(0, 5_000), st.integers(1, 60))
def test_scrapes_stay_apart_on_the_grid(phase, jitter_ms, count):
    rng = np.random.default_rng(count)
    times = 1_000_000 + phase + 15_000 * np.arange(count) + rng.integers(-jitter_ms, jitter_ms + 1, size=count)
    part = Samples(Labels({"a": "b"}), times, np.arange(count) * 1.0)
    moved, farthest = on_grid(SeriesSet.from_samples([part]), 900_000, 15_000)
    assert moved.sample_count == count
    assert np.all(moved.times % 15_000 == 0)
    assert farthest <= 7_500 + 2 * jitter_ms


def test_names_and_intervals():
    assert series_name(Labels({"__name__": "a.b", "c": 'd"'})) == '{__name__="a.b", c="d\\""}'
    assert yaml_quote("a'\"\\\n\u2028") == '"a\'\\"\\\\\\n\\U00002028"'
    assert YAML(typ="safe", pure=True).load(yaml_quote("a'\"\\\n\u2028\x07é")) == "a'\"\\\n\u2028\x07é"
    assert common_interval(SeriesSet.from_samples([])) == 60_000
    assert common_interval(HISTORY) == 15_000
