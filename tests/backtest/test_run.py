"""The whole replay of a rule file against the slow state machine of `rules.states`."""

from __future__ import annotations

import numpy as np
import pytest

from kmon_analysis.backtest.run import alert_names, backtest, observed_evaluations
from kmon_analysis.backtest.settings import Settings
from kmon_analysis.errors import ExpressionError, IncidentError
from kmon_analysis.history import History, Provenance
from kmon_analysis.incidents import Incident, Incidents
from kmon_analysis.labels import Labels
from kmon_analysis.promql.evaluate import evaluate
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.rules.reader import parse_rules
from kmon_analysis.rules.states import replay
from kmon_analysis.series import Samples, SeriesSet, stale_marker
from kmon_analysis.timing import MINUTE_MS, Interval

START = 1_767_571_200_000
RULES = """groups:
- name: kafka
  interval: 1m
  rules:
  - alert: Lag
    expr: kafka_consumer_lag_sum > 500
    for: 3m
    labels: {severity: page, who: "{{ $labels.consumergroup }}"}
  - alert: LagKept
    expr: kafka_consumer_lag_sum > 500
    for: 2m
    keep_firing_for: 4m
  - alert: LowRate
    expr: sum by (topic) (rate(messages_total[5m])) < 0.5 and on() (hour() >= 8 < 20)
    for: 5m
  - alert: Gone
    expr: absent(kafka_consumer_lag_sum{consumergroup="email"})
    for: 1m
"""


def wild_series(seed, minutes=1500):
    """Lag and a counter with gaps, stale markers, NaN, infinities, resets and a series that begins late."""
    rng = np.random.default_rng(seed)
    times = START + np.arange(minutes * 2, dtype=np.int64) * 30_000
    parts = []
    for group in ("email", "search"):
        lag = np.abs(np.cumsum(rng.normal(0, 60, len(times)))) + rng.integers(0, 200, len(times))
        lag[rng.random(len(times)) < 0.01] = np.nan
        lag[rng.random(len(times)) < 0.005] = np.inf
        lag[rng.random(len(times)) < 0.01] = stale_marker()[0]
        kept = rng.random(len(times)) > 0.05
        for gap in rng.integers(0, len(times), 4):
            kept[gap : gap + rng.integers(5, 60)] = False
        kept[: 300 if group == "search" else 0] = False
        labels = Labels({"__name__": "kafka_consumer_lag_sum", "consumergroup": group})
        parts.append(Samples(labels, times[kept], lag[kept]))
    for instance in ("b1", "b2"):
        counter = np.cumsum(rng.poisson(8, len(times)) * (rng.random(len(times)) > 0.4)).astype(float)
        reset = int(rng.integers(500, len(times) - 500))
        counter[reset:] -= counter[reset]
        labels = Labels({"__name__": "messages_total", "instance": instance, "topic": "t"})
        parts.append(Samples(labels, times, counter))
    return SeriesSet.from_samples(parts)


def history_of(series, **provenance):
    end = int(max(part.times[-1] for part in series)) + 1
    return History(series, Provenance("test", START, end, scrape_interval_ms=30_000, **provenance))


@pytest.mark.parametrize("version", ["2.42", "3.5"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_episodes_are_what_the_state_machine_says(seed, version):
    series = wild_series(seed)
    rules = parse_rules(RULES)
    settings = Settings(merge_gap_ms=0, version=version)
    result = backtest(rules, history_of(series), settings=settings)
    found_any = 0
    for rule in rules.alerts:
        mine = result[rule.name]
        grid = evaluate(rule.expr, series, mine.grid.times, Semantics.of(version))
        slow = replay(rule, grid)
        expected = sorted((interval.start_ms, labels) for labels, spans in slow.firing.items() for interval in spans)
        got = sorted((episode.interval.start_ms, episode.labels) for episode in mine.episodes())
        assert got == expected
        found_any += len(got)
    assert found_any > 20


def test_another_window_is_another_expression():
    series = wild_series(4)
    result = backtest(parse_rules(RULES), history_of(series))
    changed = parse_rules(RULES.replace("messages_total[5m]", "messages_total[10m]").replace("< 0.5", "< 0.2"))
    again = backtest(changed, history_of(series))
    ours = result["LowRate"].episodes(0.2, window_ms=10 * MINUTE_MS)
    assert [e.interval for e in ours] == [e.interval for e in again["LowRate"].episodes()]


def test_the_version_of_the_server_decides_unless_told_otherwise():
    series = wild_series(5)
    rules = parse_rules(RULES)
    assert backtest(rules, history_of(series, server_version="2.42.0"))["Lag"].semantics.version == "2.42"
    told = backtest(rules, history_of(series, server_version="2.42.0"), settings=Settings(version="3.5"))
    assert told["Lag"].semantics.version == "3.5"


def test_what_the_server_said_of_itself_applies():
    series = wild_series(5)
    text = "groups: [{name: g, rules: [{alert: A, expr: 'kafka_consumer_lag_sum > 500'}]}]"
    extra = {"evaluation_interval_ms": 30_000, "lookback_ms": 120_000}
    mine = backtest(parse_rules(text), history_of(series, extra=extra))["A"]
    assert (mine.grid.step_ms, mine.semantics.lookback_ms, mine.semantics.subquery_step_ms) == (30_000, 120_000, 30_000)
    told = backtest(parse_rules(text), history_of(series, extra=extra), settings=Settings(interval_ms=15_000))["A"]
    assert told.grid.step_ms == 15_000
    assert backtest(parse_rules(text), history_of(series))["A"].grid.step_ms == MINUTE_MS


def test_recording_rules_feed_the_alerts_after_them():
    chained = """groups:
- name: g
  rules:
  - record: topic:rate
    expr: sum by (topic) (rate(messages_total[5m]))
  - alert: LowRate
    expr: topic:rate < 0.5
    for: 5m
"""
    direct = chained.replace("topic:rate < 0.5", "sum by (topic) (rate(messages_total[5m])) < 0.5")
    series = wild_series(6)
    one, two = (backtest(parse_rules(text), history_of(series))["LowRate"].episodes() for text in (chained, direct))
    assert [e.interval for e in one] == [e.interval for e in two]
    assert one


def test_two_series_that_become_one_alert_fail_the_evaluation():
    rules = parse_rules(
        "groups: [{name: g, rules: [{alert: A, expr: 'kafka_consumer_lag_sum > 5', labels: {consumergroup: all}}]}]"
    )
    times = START + np.arange(20, dtype=np.int64) * MINUTE_MS
    parts = [
        Samples(Labels({"__name__": "kafka_consumer_lag_sum", "consumergroup": name}), times[kept], np.full(10, 9.0))
        for name, kept in (("a", slice(0, 10)), ("b", slice(10, 20)))
    ]
    result = backtest(rules, history_of(SeriesSet.from_samples(parts)))
    # For the lookback of five minutes both are there: Prometheus fails these evaluations, states stay.
    signal = result["A"].signal()
    assert signal.failed.tolist() == times[10:15].tolist() or signal.failed.tolist() == times[10:14].tolist()
    assert [e.interval.start_ms for e in result["A"].episodes()] == [START]


def test_a_label_that_changes_with_the_value_is_refused_and_the_others_go_on():
    text = RULES + "  - alert: Changing\n    expr: kafka_consumer_lag_sum > 1\n    labels: {at: '{{ $value }}'}\n"
    result = backtest(parse_rules(text), history_of(wild_series(7)))
    assert set(result) == {"Lag", "LagKept", "LowRate", "Gone"}
    assert "depends on the value" in str(result.refused["Changing"])
    with pytest.raises(ExpressionError, match="depends on the value"):
        result["Changing"]


def test_incidents_outside_the_history_are_an_error():
    late = Incident("A", Interval(START + 10**10, START + 10**10 + 1000))
    with pytest.raises(IncidentError, match="A"):
        backtest(parse_rules(RULES), history_of(wild_series(8)), Incidents(incidents=(late,)))


def test_an_incident_that_every_selector_excludes_is_not_the_rules_business():
    text = "groups: [{name: g, rules: [{alert: A, expr: 'kafka_consumer_lag_sum{consumergroup=\"email\"} > 500'}]}]"
    at = Interval(START + 100 * MINUTE_MS, START + 110 * MINUTE_MS)
    known = Incidents(
        incidents=(
            Incident("mine", at, labels={"consumergroup": "email"}),
            Incident("theirs", at, labels={"consumergroup": "search"}),
            Incident("anyone's", at),
        )
    )
    result = backtest(parse_rules(text), history_of(wild_series(9)), known)
    assert [o.incident.id for o in result.scores["A"].outcomes] == ["mine", "anyone's"]


def test_tiers_of_one_alert_keep_apart():
    text = """groups:
- name: g
  rules:
  - {alert: A, expr: kafka_consumer_lag_sum > 100, labels: {severity: ticket}}
  - {alert: A, expr: kafka_consumer_lag_sum > 900, labels: {severity: page}}
"""
    rules = parse_rules(text)
    assert alert_names(rules) == ("A (g, rule 1)", "A (g, rule 2)")
    assert set(backtest(rules, history_of(wild_series(10)))) == set(alert_names(rules))


def test_observed_is_blind_only_where_nothing_was_recorded():
    times = START + np.arange(0, 120, dtype=np.int64) * MINUTE_MS
    kept = np.concatenate([times[:30], times[60:]])
    series = SeriesSet.from_samples([Samples(Labels({"__name__": "x"}), kept, np.ones(len(kept)))])
    seen = observed_evaluations(series, times, 5 * MINUTE_MS)
    blind = np.flatnonzero(~seen)
    assert blind.tolist() == list(range(34, 60))


@pytest.mark.parametrize("left_open", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_observed_is_what_looking_at_every_sample_says(seed, left_open):
    rng = np.random.default_rng(seed)
    parts = [
        Samples(Labels({"__name__": "x", "n": str(n)}), np.unique(rng.integers(0, 400, size)), np.empty(0))
        for n, size in enumerate((0, 3, 12))
    ]
    parts = [Samples(each.labels, each.times, np.ones(len(each.times))) for each in parts]
    times = np.sort(rng.integers(-50, 450, 80))
    lookback = int(rng.integers(1, 40))
    seen = observed_evaluations(SeriesSet.from_samples(parts), times, lookback, left_open=left_open)
    expected = [
        any(0 <= at - time < lookback + (not left_open) for each in parts for time in each.times.tolist())
        for at in times.tolist()
    ]
    assert seen.tolist() == expected


def test_results_are_tables():
    result = backtest(parse_rules(RULES), history_of(wild_series(11)))
    frame = result.to_frame()
    assert list(frame.index) == ["Lag", "LagKept", "LowRate", "Gone"]
    assert frame.loc["Lag", "false_pages"] == result.scores["Lag"].false_pages
    assert repr(result).splitlines()[0].startswith("rule")
    assert "<table " in result._repr_html_()


def test_a_query_offset_looks_that_far_back():
    series = wild_series(12)
    text = "groups: [{name: g, query_offset: 7m, rules: [{alert: A, expr: 'kafka_consumer_lag_sum > 500', for: 2m}]}]"
    with_offset = backtest(parse_rules(text), history_of(series))["A"].episodes()
    without = backtest(parse_rules(text.replace("query_offset: 7m, ", "")), history_of(series))["A"].episodes()
    shifted = [e.interval.start_ms + 7 * MINUTE_MS for e in without if e.interval.start_ms > START + 3 * MINUTE_MS]
    last = history_of(series).interval.end_ms
    assert [e.interval.start_ms for e in with_offset if e.interval.start_ms > START + 10 * MINUTE_MS] == [
        start for start in shifted if start < last and start > START + 10 * MINUTE_MS
    ]
