"""A running Prometheus that scrapes each dialect: what the doctor finds, and what the recording rules record."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request

import pytest

from kmon_analysis.kafka.dialects import choose, dialects, named
from kmon_analysis.kafka.recording import example, recording_rules
from kmon_analysis.kafka.starter import starters
from kmon_analysis.kafka.starter_tests import render, scenes
from kmon_analysis.labels import Labels
from tests.kafka.exporter import exporting
from tests.prometheus_server import running_prometheus

SOURCES = [each for each in dialects().values() if each.has_lag and each.name != "recorded"]
TOPIC = 'user."registered"\\ü\n{{x}}'
RULES = """groups:
- name: mine
  rules:
  - alert: Lag
    expr: sum(kafka_consumergroup_lag) > 10
  - alert: Few
    expr: rate(kafka_server_brokertopicmetrics_messagesin_total[5m]) < 1
"""


def ask(url, query):
    with urllib.request.urlopen(f"{url}/api/v1/query?{urllib.parse.urlencode({'query': query})}") as answer:
        return json.load(answer)["data"]["result"]


def until(url, query, wanted, within_s=90):
    """Wait until a query has as many results."""
    give_up = time.monotonic() + within_s
    while len(found := ask(url, query)) < wanted:
        assert time.monotonic() < give_up, found
        time.sleep(0.1)
    return found


def quiet(names):
    """Write what exporters of these dialects serve: the last values of the quiet history, on two instances."""
    profile = choose(named(names))
    for labels, course in render(profile, scenes(starters(profile))[0]):
        for instance in ("a:1", "b:1"):
            yield labels.updated({"instance": instance}), course.values()[-1]


def doctor(kmon, url, *more):
    found = kmon("doctor", "--prometheus", url, "--json", *more)
    assert found.status in (0, 1), found.err
    return json.loads(found.out)["kafka"]


@pytest.mark.parametrize("program", ["prometheus", "prometheus3"])
def test_every_source_yields_the_canonical_lag(tmp_path, program):
    samples, expected, files = [], {}, []
    for dialect in SOURCES:
        series, labels, value = example(choose((dialect,)), dialect.name, TOPIC)
        samples += series
        expected[labels] = value
        files.append(tmp_path / f"{dialect.name}.yml")
        files[-1].write_text(recording_rules(dialect).replace("kafka-lag", dialect.name))
    assert len(expected) == len(SOURCES) >= 11
    with exporting(samples) as config, running_prometheus(rule_files=files, config=config, program=program) as server:
        found = until(server.url, "kafka_consumer_lag_sum", len(SOURCES))
    assert {Labels(each["metric"]): float(each["value"][1]) for each in found} == expected


@pytest.mark.parametrize("name", ["founding", "confluent", "msk", "grafana-exporter", "redpanda"])
def test_the_doctor_finds_exactly_the_dialect(kmon, name):
    samples = list(quiet(name))
    samples += [
        (Labels({"__name__": each, "topic": "t"}), 1.0)
        for each in dialects()[name].detect
        if each not in {labels["__name__"] for labels, _ in samples}
    ]
    with exporting(samples) as config, running_prometheus(config=config) as server:
        until(server.url, "up == 1", 1)
        until(server.url, f"{samples[0][0]['__name__']}", 1)
        data = doctor(kmon, server.url)
    assert data["dialects"] == [name]
    assert data["topics"]["names"][-1] == "user.registered"
    possible = {each["alert"]: each["possible"] for each in data["alerts"]}
    assert possible["LowMessageRate"]
    assert possible["HighConsumerLag"] == dialects()[name].has_lag
    assert ("no-lag" in {each["kind"] for each in data["traps"]}) == (not dialects()[name].has_lag)


def test_the_doctor_names_the_traps_and_nothing_steers_the_terminal(kmon, tmp_path):
    lag = {"__name__": "kafka_consumergroup_lag", "consumergroup": "g\x1b[31m", "topic": "t\x9b", "partition": "0"}
    messages = {"__name__": "kafka_server_brokertopicmetrics_messagesin_total"}
    samples = [
        *((Labels({**lag, "instance": each}), -1.0) for each in "ab"),
        *(
            (Labels({**messages, "topic": topic, "instance": "a", "cluster": c}), 5.0)
            for topic in ("", "t")
            for c in "xy"
        ),
        (Labels({"__name__": "kafka_server_fetcherlagmetrics_consumerlag"}), 3.0),
        (Labels({"__name__": "kafka_consumergroup_group_lag", "member_host": "h"}), 3.0),
        *(
            (Labels({"__name__": "kafka_controller_kafkacontroller_offlinepartitionscount", "instance": i}), 0.0)
            for i in "ab"
        ),
    ]
    (tmp_path / "rules.yml").write_text(RULES)
    with exporting(samples) as config, running_prometheus(config=config) as server:
        until(server.url, "kafka_consumergroup_lag", 2)
        data = doctor(kmon, server.url, "--rules", tmp_path / "rules.yml")
        words = kmon("doctor", "--prometheus", server.url, "--rules", tmp_path / "rules.yml").out
        made = kmon("starter", "-o", tmp_path / "alerts", "--prometheus", server.url)
        drawn = kmon("dashboard", "-o", tmp_path / "kafka.json", "--prometheus", server.url)
    assert data["dialects"] == ["jmx-example", "kafka-exporter"]
    assert data["clusters"]["names"] == ["x", "y"]
    assert data["cluster_label"] == "cluster"
    assert data["groups"] == {"total": 1, "names": ["g\x1b[31m"]}
    kinds = {each["kind"] for each in data["traps"]}
    assert kinds == {"replica-lag", "churn", "double-count", "sentinel", "replicas", "kraft-sum", "clusters"}
    assert {(each["rule"], each["kind"]) for each in data["rule_traps"]} == {
        ("Lag", "sentinel"),
        ("Lag", "replicas"),
        ("Few", "per-broker"),
    }
    assert "\x1b" not in words
    assert "\x9b" not in words
    assert r"g\x1b[31m" in words
    assert "alert LagSeconds: possible" in words
    assert made.status == 0, made.err
    assert "by (cluster, topic)" in (tmp_path / "alerts" / "rules.yml").read_text()
    assert drawn.status == 0, drawn.err
    [topic] = [
        each
        for each in json.loads((tmp_path / "kafka.json").read_text())["templating"]["list"]
        if each["name"] == "topic"
    ]
    assert topic["current"]["value"] == ["t"]
