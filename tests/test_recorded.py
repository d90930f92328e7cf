"""The recorded cluster: it holds what its page says, replays as its Prometheus did, and `kmon tune` runs on it."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest

import kmon_analysis as km
from kmon_analysis.labels import METRIC_NAME
from kmon_analysis.sources.process import Process
from kmon_analysis.timing import MINUTE_MS
from kmon_analysis.workflow_verify import compare
from tests.cli.conftest import spawned
from tests.stack.faults import EVENTS, FAULTS
from tests.stack.record import LARGEST_BYTES, RULE_NAMES
from tests.tools import REPOSITORY, require

FOLDER = REPOSITORY / "data" / "recorded-kafka"
GIVEN = ("--history", FOLDER, "--rules", FOLDER / "rules.yml", "--incidents", FOLDER / "incidents.yml")
# Faults and harmless events follow each other within minutes.
BEFORE_S, AFTER_S, DELAY_S = 10, 30, 120
CREDIT = ("--credit-before", f"{BEFORE_S}s", "--credit-after", f"{AFTER_S}s")


@pytest.fixture(scope="module")
def history():
    return km.open_history(FOLDER)


@pytest.fixture(scope="module")
def incidents():
    return km.read_incidents(FOLDER / "incidents.yml")


def test_ninety_minutes_with_fifteen_faults_and_as_many_harmless_events(history, incidents):
    about = json.loads((FOLDER / "recording.json").read_text(encoding="utf-8"))
    faults = {(one.interval, one.cause) for one in incidents.incidents}
    assert len(faults) >= 15
    assert {one.kind for one in incidents.incidents} == set(FAULTS)
    assert len(about["events"]) >= 15
    assert {event["name"] for event in about["events"]} == set(EVENTS)
    assert history.interval.end_ms - history.interval.start_ms >= 90 * MINUTE_MS
    assert history.provenance.scrape_interval_ms == 5_000
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < LARGEST_BYTES
    assert all(about["versions"].values())
    for one in incidents.incidents:
        assert history.interval.start_ms < one.interval.start_ms < one.interval.end_ms <= history.interval.end_ms


def test_the_replay_is_what_its_prometheus_recorded(history):
    # What the rules read in the first minute was recorded before the history begins.
    begun = dataclasses.replace(history.provenance, start_ms=history.interval.start_ms + 2 * MINUTE_MS)
    later = km.History(history.series, begun)
    check = compare(later, km.read_rules(FOLDER / "rules.yml"), None, Process(), warm_ms=MINUTE_MS)
    assert [verdict.rule.name for verdict in check.verdicts] == list(RULE_NAMES)
    # Every state of every alert at every evaluation, through killed and paused brokers.
    assert check.differences == ()
    assert [verdict.plain.agreed == verdict.plain.evaluations > 1000 for verdict in check.verdicts] == [True] * 3
    assert {verdict.rule.name: verdict.plain.firings for verdict in check.verdicts} == {
        "HighConsumerLag": (0, 0, 0),
        "LowMessageRate": (4, 4, 4),
        "KafkaNoLeader": (3, 3, 3),
    }


def test_pages_are_those_that_its_prometheus_fired(history, incidents):
    result = km.backtest(km.read_rules(FOLDER / "rules.yml"), history, incidents)
    gap_ms = result.settings.merge_gap_ms
    for name in RULE_NAMES:
        fired = sorted(page.episode.interval.start_ms for page in result[name].score().pages)
        recorded = sorted(start for times in recorded_firings(history, name) for start in begins(times, gap_ms))
        assert fired == recorded


def recorded_firings(history, name):
    """Return, for each label set of an alert, when the server itself says that it fired."""
    for one in history.series:
        labels = dict(one.labels)
        if (labels.get(METRIC_NAME), labels.get("alertname"), labels.get("alertstate")) == ("ALERTS", name, "firing"):
            yield one.times[one.values == 1].tolist()


def begins(times, gap_ms):
    """Return the moments with nothing shortly before."""
    return [time for before, time in zip([-math.inf, *times], times, strict=False) if time - before > gap_ms]


def test_kmon_tune_on_it(tmp_path, history, incidents):
    require("promtool")
    settings = (*CREDIT, "--max-delay", f"{DELAY_S}s")
    # A pipe sees no progress, even where colours are asked for by force.
    found = spawned("tune", *GIVEN, *settings, "-o", tmp_path / "tuned", FORCE_COLOR="1")
    assert found.status == 0, found.err
    assert "their unit tests passed" in found.err
    assert "\x1b" not in found.err
    assert "tuning" not in found.err
    assert found.err.startswith("promtool")
    advice = {each["rule"]: each for each in json.loads((tmp_path / "tuned" / "advice.json").read_text())["rules"]}
    assert {name: each["verdict"] for name, each in advice.items()} == {
        "HighConsumerLag": "tuned",
        "LowMessageRate": "tuned",
        "KafkaNoLeader": "keep",
    }
    # In no incident did lag stay above the guessed thousand for a minute.
    lag = advice["HighConsumerLag"]
    assert (lag["past"]["current"]["caught"], lag["past"]["current"]["incidents"]) == (0, 5)
    assert (lag["past"]["proposed"]["caught"], lag["past"]["proposed"]["false_pages"]) == (5, 0)
    assert lag["proposed"]["for_s"] == 0
    ordinary, lowest = lag_apart(history, incidents)
    assert ordinary <= lag["proposed"]["threshold"] < lowest


def lag_apart(history, incidents):
    """Return the highest lag in normal time, and the least of the incidents' highest lags in time, sample by sample."""
    ordinary, peaks = 0.0, {}
    for one in history.series:
        labels = dict(one.labels)
        if labels.get(METRIC_NAME) != "kafka_consumer_lag_sum":
            continue
        concerning = [each for each in incidents.incidents if each.concerns("HighConsumerLag", labels)]
        for time, value in zip(one.times.tolist(), one.values.tolist(), strict=True):
            near = [
                each
                for each in concerning
                if each.interval.start_ms - BEFORE_S * 1000 <= time < each.interval.end_ms + AFTER_S * 1000
            ]
            if not near:
                ordinary = max(ordinary, value)
            for each in near:
                if each.must_page and time <= each.interval.start_ms + DELAY_S * 1000:
                    peaks[each.id] = max(peaks.get(each.id, 0.0), value)
    return ordinary, min(peaks.values())
