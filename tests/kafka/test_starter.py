"""Starter and recording rules of every dialect, judged by promtool and by our own reader and evaluator."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

import kmon_analysis as km
from kmon_analysis.kafka.dialects import choose, dialects, named
from kmon_analysis.kafka.hours import parse_hours
from kmon_analysis.kafka.recording import example, recording_rules, recording_tests, source_of
from kmon_analysis.kafka.starter import rules_text, starters
from kmon_analysis.kafka.starter_tests import render, scenes, unit_tests
from kmon_analysis.promql.evaluate import evaluate
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.rules.knobs import find_knobs
from kmon_analysis.rules.reader import parse_rules
from kmon_analysis.series import Samples, SeriesSet
from kmon_analysis.timing import MINUTE_MS
from tests.kafka.crafted import START, history_of
from tests.tools import REPOSITORY, require

HOURS = parse_hours("Mon-Fri 08:00-18:00", "Europe/Berlin")
# What people run side by side; the labels of the last two differ.
SETS = {
    **{name: name for name in dialects()},
    "guide": "founding,recorded",
    "jmx+kafka-exporter": "jmx-example,kafka-exporter",
    "jmx+kminion": "jmx-example,kminion",
    "cloud+burrow": "confluent-cloud,burrow",
}
# One of each form of expression; the other dialects differ from these in names, and our own replay runs them all.
KINDS = ("guide", "jmx+kminion", "redpanda", "kafka-exporter", "cloud+burrow", "redpanda-group-lag", "otel")
LAG_SOURCES = [each for each in dialects().values() if each.has_lag and each.name != "recorded"]
SEVEN = {
    "HighConsumerLag",
    "ConsumerLagGrowing",
    "LagSeconds",
    "KafkaNoLeader",
    "LowMessageRate",
    "MessageRateDrop",
    "TopicSilent",
}


def hours_of(label):
    """Keep two sets to traffic hours; the others at all hours, where histories are short."""
    return HOURS if label in ("guide", "jmx+kminion") else None


def profile_of(names):
    return choose(named(names))


def promtool(program, *arguments, cwd):
    done = subprocess.run([require(program), *arguments], capture_output=True, text=True, cwd=cwd)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Write the rules and tests of every set into one folder."""
    folder = tmp_path_factory.mktemp("starter")
    for label, names in SETS.items():
        profile, hours = profile_of(names), hours_of(label)
        found = starters(profile, hours=hours)
        (folder / f"{label}.rules.yml").write_text(rules_text(found, profile, hours=hours))
        tests = unit_tests(found, profile, hours=hours, rule_file=f"{label}.rules.yml")
        (folder / f"{label}.tests.yml").write_text(tests)
    for dialect in LAG_SOURCES:
        for label, cluster in (("", None), ("-clusters", "env")):
            name = f"{dialect.name}{label}.recording"
            (folder / f"{name}.rules.yml").write_text(recording_rules(dialect, cluster=cluster))
            (folder / f"{name}.tests.yml").write_text(
                recording_tests(dialect, rule_file=f"{name}.rules.yml", cluster=cluster)
            )
    return folder


@pytest.mark.parametrize(("program", "kinds"), [("promtool", KINDS), ("promtool3", KINDS[:3])])
def test_promtool_accepts_all_and_every_rule_fires_and_is_silent(written, program, kinds):
    rules = sorted(path.name for path in written.glob("*.rules.yml"))
    tests = sorted(path.name for path in written.glob("*.tests.yml"))
    assert len(rules) == len(tests) > len(dialects()) + len(LAG_SOURCES)
    status, said = promtool(program, "check", "rules", *rules, cwd=written)
    assert status == 0, said
    chosen = [*(f"{label}.tests.yml" for label in kinds), *(name for name in tests if ".recording." in name)]
    status, said = promtool(program, "test", "rules", *chosen, cwd=written)
    assert status == 0, said


def test_promtool_would_have_seen_a_rule_that_is_wrong(written):
    text = (written / "guide.rules.yml").read_text()
    (written / "broken.yml").write_text(text.replace("> 1000", "> 100000").replace("< 0.25", "< 25"))
    tests = (written / "guide.tests.yml").read_text()
    (written / "broken.t.yml").write_text(tests.replace("guide.rules.yml", "broken.yml"))
    status, said = promtool("promtool", "test", "rules", "broken.t.yml", cwd=written)
    assert status != 0
    assert "HighConsumerLag" in said
    assert "MessageRateDrop" in said


def test_each_alert_is_tested_to_fire_and_to_be_silent():
    for names in SETS.values():
        found = starters(profile_of(names), hours=HOURS)
        told = scenes(found, hours=HOURS)
        expected = {rule.name for rule in found.rules} - {"KafkaBrokersGone"}
        assert {name for scene in told for name, _ in scene.fires} == expected
        assert {name for scene in told for name, _ in scene.silent} == {rule.name for rule in found.rules}
    assert {rule.name for rule in starters(profile_of(SETS["guide"])).rules} == SEVEN


@pytest.mark.parametrize("label", SETS)
def test_our_own_replay_agrees(label):
    profile, hours = profile_of(SETS[label]), hours_of(label)
    found = starters(profile, hours=hours)
    rules = parse_rules(rules_text(found, profile, hours=hours))
    assert not rules.notes
    for scene in scenes(found, hours=hours):
        result = km.backtest(rules, history_of(render(profile, scene)))
        assert not result.refused
        for expected, pairs in ((True, scene.fires), (False, scene.silent)):
            for name, minute in pairs:
                at = START + minute * MINUTE_MS
                fired = any(each.interval.start_ms <= at < each.interval.end_ms for each in result[name].episodes())
                assert fired is expected, (scene.name, name, minute)


@pytest.mark.parametrize("dialect", LAG_SOURCES, ids=lambda each: each.name)
def test_our_own_evaluator_records_the_lag(dialect):
    series, labels, value = example(choose((dialect,)), "g", 'user."registered"\n{{x}}')
    [rule] = parse_rules(recording_rules(dialect)).recordings
    samples = SeriesSet.from_samples(Samples(each, np.array([START]), np.array([at])) for each, at in series)
    grid = evaluate(rule.expr, samples, np.array([START]), Semantics.of("3.5"))
    [(found, got)] = grid.at(0).items()
    assert (found.without("__name__"), got) == (labels.without("__name__"), value)


def test_what_can_turn_turns():
    rules = parse_rules(rules_text(starters(profile_of(SETS["guide"]), hours=HOURS), profile_of(SETS["guide"])))
    turning = {rule.name for rule in rules.alerts if find_knobs(rule).sweepable}
    assert turning == SEVEN - {"KafkaNoLeader"}
    assert find_knobs(rules.alert("LowMessageRate")).hours is not None


def test_what_cannot_be_had_is_said():
    found = starters(choose(named("founding"), {"kafka_server_ReplicaManager_LeaderCount"}))
    assert [rule.name for rule in found.rules] == ["KafkaBrokersGone"]
    reasons = {each.name: each.reason for each in found.left_out}
    assert "no source of consumer lag" in reasons["HighConsumerLag"]
    assert "no count of partitions without a leader" in reasons["KafkaNoLeader"]
    assert (
        "for whole groups only"
        in {each.name: each.reason for each in starters(profile_of("redpanda-group-lag")).left_out}["LagSeconds"]
    )


def test_what_is_not_needed_is_not_missed():
    assert "KafkaBrokersGone" not in {each.name for each in starters(profile_of("grafana-exporter")).left_out}
    assert "KafkaBrokersGone" in {each.name for each in starters(profile_of("kminion")).left_out}


def test_the_lag_is_recorded_from_its_source():
    assert source_of(profile_of("founding,recorded")) is None
    assert source_of(profile_of("jmx-example")) is None
    assert source_of(profile_of("jmx-example,kafka-exporter")).name == "kafka-exporter"
    assert source_of(profile_of("redpanda-group-lag,kminion")).name == "kminion"
    # A dialect may be there without its lag.
    names = frozenset({"redpanda_kafka_records_produced_total", "redpanda_kafka_consumer_group_lag_sum"})
    found = choose(named("redpanda,redpanda-group-lag"), names)
    assert source_of(found, names).name == "redpanda-group-lag"
    assert source_of(choose(named("redpanda"), names), names) is None
    with pytest.raises(km.KmonError, match="recorded already"):
        recording_rules(dialects()["recorded"])
    with pytest.raises(km.KmonError, match="has no consumer lag"):
        recording_rules(dialects()["founding"])


def test_the_file_says_why_and_what_to_do():
    text = rules_text(starters(profile_of(SETS["guide"]), hours=HOURS), profile_of(SETS["guide"]), hours=HOURS)
    rules = parse_rules(text)
    for rule in rules.alerts:
        assert set(rule.annotations) == {"summary", "description", "runbook"}
        assert rule.labels["severity"] in ("page", "ticket")
    assert text.count("# Cannot know: ") == len(rules.alerts)
    assert "Traffic hours: Mon-Fri 08:00-18:00 Europe/Berlin" in text


def test_the_bundled_history_is_enough_for_all_of_them():
    profile = profile_of(SETS["guide"])
    rules = parse_rules(rules_text(starters(profile, hours=HOURS), profile, hours=HOURS))
    history = km.open_history(REPOSITORY / "data" / "user-service")
    incident = km.read_incidents(REPOSITORY / "data" / "user-service" / "incidents.yml").incidents[0]
    times = np.arange(incident.interval.start_ms, incident.interval.end_ms, 10 * MINUTE_MS)
    found = {}
    for rule in rules.alerts:
        grid = evaluate(find_knobs(rule).signal, history.series, times, Semantics.of("2.42"))
        assert not grid.failed.any()
        found[rule.name] = grid
    # Partitions without a leader and topics that are gone are seldom; the others are measured throughout.
    seldom = {"KafkaNoLeader", "TopicSilent"}
    assert {name for name, grid in found.items() if grid.present.any()} >= SEVEN - seldom
    topics = {labels["topic"] for labels in found["LowMessageRate"].labels}
    assert {"user.registered", "developer.profile.updated"} <= topics
    [row] = [
        row for row, labels in enumerate(found["HighConsumerLag"].labels) if labels["consumergroup"] == "email-sender"
    ]
    assert np.nanmax(found["HighConsumerLag"].values[row]) > 1000
