"""Every dialect from its own series to verified rules: a real Prometheus, the doctor, recording, tuning, promtool."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.parse
import urllib.request

import numpy as np
import pytest

import kmon_analysis as km
from kmon_analysis.incidents import format_incidents
from kmon_analysis.kafka.dialects import dialects
from kmon_analysis.labels import Labels
from kmon_analysis.promql.needs import selections
from kmon_analysis.promql.printer import format_expr
from kmon_analysis.report import bundle, page
from kmon_analysis.rules.knobs import find_knobs
from kmon_analysis.rules.reader import read_rules
from kmon_analysis.timing import MINUTE_MS, format_instant
from tests.kafka.worlds import HABITS, LENGTH, tell
from tests.prometheus_server import openmetrics, running_prometheus
from tests.tools import require

LAG = {"HighConsumerLag", "ConsumerLagGrowing"}
RATE = {"LowMessageRate", "MessageRateDrop", "TopicSilent"}
JMX = RATE | {"KafkaNoLeader"}
BOTH = LAG | RATE | {"LagSeconds"}
ALL = BOTH | {"KafkaNoLeader"}
NO_LAG, NO_RATE = "no source of consumer lag", "no count of messages by topic"
NO_OFFLINE, NO_LEADERS = "no count of partitions without a leader", "no count of leaders"
GROUPS_ONLY = "known for whole groups only"
# What each allows, what it sets traps with, and what the doctor says is missing.
EXPECTED = {
    "recorded": (LAG, set(), {NO_RATE, NO_OFFLINE, NO_LEADERS}),
    "founding": (JMX, {"no-lag", "kraft-sum"}, {NO_LAG}),
    "founding-total": (JMX, {"no-lag", "kraft-sum"}, {NO_LAG}),
    "jmx-example": (JMX, {"no-lag", "kraft-sum", "double-count", "replica-lag"}, {NO_LAG}),
    "strimzi-reporter": (JMX, {"no-lag", "kraft-sum"}, {NO_LAG}),
    "grafana-cloud": (JMX, {"no-lag", "kraft-sum", "double-count"}, {NO_LAG}),
    "confluent": (JMX, {"no-lag", "kraft-sum", "rate-gauge"}, {NO_LAG}),
    "bitnami": (JMX, {"no-lag", "kraft-sum"}, {NO_LAG}),
    "msk": (ALL, {"kraft-sum", "double-count", "replica-lag", "rate-gauge"}, set()),
    "kafka-exporter": (ALL, {"sentinel", "replicas"}, set()),
    "grafana-exporter": (ALL, {"sentinel"}, set()),
    "lag-exporter": (BOTH, {"churn", "clusters"}, {NO_OFFLINE, NO_LEADERS}),
    "kminion": (BOTH, set(), {NO_OFFLINE, NO_LEADERS}),
    "burrow": (BOTH, {"clusters"}, {NO_OFFLINE, NO_LEADERS}),
    "burrow-exporter": (BOTH, {"clusters"}, {NO_OFFLINE, NO_LEADERS}),
    "otel": (BOTH, set(), {NO_OFFLINE, NO_LEADERS}),
    "redpanda": (ALL, {"kraft-sum"}, set()),
    "redpanda-group-lag": (ALL - {"LagSeconds"}, set(), {GROUPS_ONLY}),
    "confluent-cloud": (BOTH, {"clusters"}, {NO_OFFLINE, NO_LEADERS}),
}
CONFIG = "global: {scrape_interval: 1m, evaluation_interval: 1s}\n"
MAX_DELAY_MIN = 15
# This one has all pictures and unit tests of the report; see `leave_out_repetitions`.
DRAWN = "kafka-exporter"
# An alert may stay until a consumer has caught up.
AFTER_MIN = 20


def ask(url, path, **parameters):
    with urllib.request.urlopen(f"{url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}") as answer:
        return json.load(answer)["data"]["result"]


def until(check, within_s=120):
    """Wait until something is there."""
    give_up = time.monotonic() + within_s
    while not (found := check()):
        assert time.monotonic() < give_up
        time.sleep(0.1)
    return found


def over_time(url, query, times):
    """Return what the server says minute by minute; NaN is nothing."""
    bounds = {"start": times[0] / 1000, "end": times[-1] / 1000, "step": "1m"}
    found = {}
    for each in ask(url, "query_range", query=query, **bounds):
        values = np.full(times.size, np.nan)
        for at, value in each["values"]:
            values[round((at * 1000 - times[0]) / MINUTE_MS)] = float(value)
        found[Labels(each["metric"])] = values
    return found


def pages(values, hold_min):
    """Return when an alert fires, as (first, end) minutes, by walking through its expression's results."""
    found, pending = [], None
    for at, value in enumerate([*values, np.nan]):
        if value != value:
            if found and found[-1][1] is None:
                found[-1] = (found[-1][0], at)
            pending = None
            continue
        pending = at if pending is None else pending
        if at - pending >= hold_min and not (found and found[-1][1] is None):
            found.append((at, None))
    return found


def promtool(*arguments, cwd):
    done = subprocess.run([require("promtool"), *arguments], capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr


def names_in(rules):
    """Return the metric names that alerts select, written out."""
    return {
        name
        for rule in rules.alerts
        for need in selections(rule.expr)
        for matcher in need.matchers
        if matcher.name == "__name__"
        for name in matcher.value.replace("\\", "").split("|")
    }


def leave_out_repetitions(monkeypatch):
    """Draw no pictures, which know no dialects, and write one unit test of each kind for each rule."""
    monkeypatch.setattr(page, "_pictures", lambda *_: [])
    for name in ("INCIDENTS_PER_RULE", "QUIET_PER_RULE"):
        monkeypatch.setattr(bundle, name, 1)


@pytest.mark.parametrize("name", dialects())
def test_from_its_own_series_to_verified_rules(kmon, tmp_path, monkeypatch, name):
    if name != DRAWN:
        leave_out_repetitions(monkeypatch)
    go_through(kmon, tmp_path, name, *EXPECTED[name])


def test_two_dialects_of_two_clusters(kmon, tmp_path, monkeypatch):
    leave_out_repetitions(monkeypatch)
    clusters = ("main", "second")
    # Their labels differ, and so do the places where they stand in a join.
    go_through(kmon, tmp_path, "founding,kminion", ALL, {"kraft-sum", "clusters"}, set(), clusters=clusters)


def test_the_same_on_prometheus_3(kmon, tmp_path, monkeypatch):
    leave_out_repetitions(monkeypatch)
    monkeypatch.setenv("KMON_PROMTOOL", str(require("promtool3")))
    expected = EXPECTED["grafana-exporter"]
    go_through(kmon, tmp_path, "grafana-exporter", *expected, program="prometheus3", left_open=True)


def go_through(kmon, tmp_path, name, possible, traps, missing, *, program="prometheus", **how):
    told = tell(name, time.time_ns() // 1_000_000 // MINUTE_MS * MINUTE_MS, **how)
    names = name.split(",")
    alerts, history, tuned = (tmp_path / each for each in ("alerts", "history", "tuned"))
    (tmp_path / "incidents.yml").write_text(format_incidents(told.incidents))
    rule_files = [alerts / "rules.yml", alerts / "recording.yml"]
    text = openmetrics(told.openmetrics())
    settings = {"config": CONFIG, "arguments": ["--web.enable-lifecycle"], "program": program}
    with running_prometheus(text, rule_files=rule_files, **settings) as server:
        the_doctor_knows(kmon, server.url, names, told, possible, traps, missing)
        hours = ("--hours", "00:00-24:00")
        made = kmon("starter", "-o", alerts, "--prometheus", server.url, *hours, "--json")
        assert made.status == 0, made.err
        assert made.err.count("their unit tests passed") == len(json.loads(made.out)["files"]) // 2
        reload = urllib.request.Request(f"{server.url}/-/reload", method="POST")
        urllib.request.urlopen(reload).close()
        the_lag_is_recorded(server.url, alerts / "recording.yml", name, told)
        start, end = (format_instant(int(told.times[at])) for at in (0, -1))
        run = kmon(
            *("tune", "--prometheus", server.url, "--start", start, "--end", end, "--store", history),
            *("--rules", alerts / "rules.yml", "--incidents", tmp_path / "incidents.yml"),
            *("--max-delay", f"{MAX_DELAY_MIN}m", "--phase", "0s", "-o", tuned, "--json"),
        )
        assert run.status == 0, run.err
        assert "their unit tests passed" in run.err
        advice = {each["rule"]: each for each in json.loads(run.out)["rules"]}
        the_rate_is_true(server.url, alerts / "rules.yml", told)
        the_incidents_are_caught(server.url, tuned / "rules.yml", advice, told)
    assert km.open_history(history).scrape_interval_ms == MINUTE_MS
    assert set(advice) == possible
    before, after = (names_in(read_rules(folder / "rules.yml")) for folder in (alerts, tuned))
    own = {each for one in spoken(names) for each in dialects()[one].names}
    assert after == before <= own | {"kafka_topic_partition_leader"}
    written = [str(path) for path in (*rule_files, tuned / "rules.yml") if path.exists()]
    promtool("check", "rules", *written, cwd=tmp_path)
    if name == DRAWN:
        # The others have passed them already: kmon tune runs them.
        promtool("test", "rules", "rules_test.yml", cwd=tuned)


def spoken(names):
    """Return the dialects of a server, in the registry's order."""
    # Redpanda's lag of groups stands beside its other metrics on the same brokers; nothing else overlaps.
    return [each for name in names for each in (*HABITS[name].beside, name)]


def the_doctor_knows(kmon, url, names, told, possible, traps, missing):
    found = kmon("doctor", "--prometheus", url, "--json")
    assert found.status == 0, found.err
    data = json.loads(found.out)
    assert data["scrape_intervals"] == "1m (0 targets)"
    kafka = data["kafka"]
    assert kafka["dialects"] == spoken(names)
    assert kafka["topics"]["names"] == told.topics
    assert kafka["groups"]["names"] == told.groups
    assert kafka["clusters"]["names"] == sorted(told.clusters)
    assert {each["kind"] for each in kafka["traps"]} == traps
    assert {each["alert"] for each in kafka["alerts"] if each["possible"]} == possible
    said = {each["cannot"] for each in kafka["alerts"] if not each["possible"]}
    assert all(any(one in each for each in said) for one in missing)
    assert all(any(one in each for one in missing) for each in said)
    assert {each["limit"] for each in kafka["limits"]} == {
        one
        for each in spoken(names)
        for one in dialects()[each].limits
        if not (told.lag and one.startswith("No consumer lag"))
    }


def the_lag_is_recorded(url, path, name, told):
    if not told.lag or name == "recorded":
        assert not path.exists()
        return
    [rule] = read_rules(path).recordings
    found = over_time(url, rule.text, told.times)
    assert found.keys() == told.lag.keys()
    for labels, values in told.lag.items():
        there = ~np.isnan(values)
        np.testing.assert_array_equal(found[labels][there], values[there], str(labels))
    recorded = until(lambda: ask(url, "query", query="kafka_consumer_lag_sum"))
    assert {Labels(each["metric"]).without("__name__") for each in recorded} == told.lag.keys()
    for each in recorded:
        at, value = each["value"]
        last = min(int((at * 1000 - told.times[0]) // MINUTE_MS), LENGTH)
        assert float(value) == told.lag[Labels(each["metric"]).without("__name__")][last]


def the_rate_is_true(url, path, told):
    if not told.rate:
        return
    signal = find_knobs(read_rules(path).alert("LowMessageRate")).signal
    found = over_time(url, format_expr(signal), told.times)
    assert found.keys() == told.rate.keys()
    for labels, values in told.rate.items():
        there = ~np.isnan(values)
        assert there.sum() > LENGTH * 0.9
        np.testing.assert_allclose(found[labels][there], values[there], rtol=1e-9, err_msg=str(labels))


def the_incidents_are_caught(url, path, advice, told):
    """Ask the server itself for the results of the rules, and walk through them."""
    rules = read_rules(path)
    for name, entry in advice.items():
        past = entry["past"]["proposed"] or entry["past"]["current"]
        concerned = [each for each in told.incidents if name in each.rules]
        hold = rules.alert(name).for_ms // MINUTE_MS
        fired = [
            (labels, *one)
            for labels, values in over_time(url, rules.alert(name).text, told.times).items()
            for one in pages(values, hold)
        ]
        caught = set()
        for labels, first, end in fired:
            for each in concerned:
                begin, over = (
                    (at - told.times[0]) // MINUTE_MS for at in (each.interval.start_ms, each.interval.end_ms)
                )
                if each.labels.items() <= labels.items() and first < over + AFTER_MIN and end > begin:
                    caught.add(each.id)
        if entry["verdict"] == "tuned" or name == "KafkaNoLeader":
            assert caught == {each.id for each in concerned}, name
            assert past["caught"] == past["incidents"] == len(concerned) == 3, name
        if name in ("HighConsumerLag", "LowMessageRate"):
            assert entry["verdict"] == "tuned", (name, entry["headline"], entry["reasons"])
            assert len(fired) == len(concerned), fired
            assert past["false_pages"] == 0 < entry["past"]["current"]["false_pages"], name
