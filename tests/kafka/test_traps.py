"""Traps in rules: each is found where it is, and not where it is not."""

from __future__ import annotations

import numpy as np
import pytest

from kmon_analysis.kafka.dialects import NO_LAG, choose, dialects, named
from kmon_analysis.kafka.starter import rules_text, starters
from kmon_analysis.kafka.survey import MOST_NAMES, examine, names_of_interest, questions
from kmon_analysis.kafka.traps import rule_traps
from kmon_analysis.labels import Labels
from kmon_analysis.promql.evaluate import evaluate
from kmon_analysis.promql.parser import parse
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.rules.reader import parse_rules
from kmon_analysis.series import Samples, SeriesSet
from tests.kafka.crafted import START

MESSAGES = "kafka_server_BrokerTopicMetrics_MessagesInPerSec"
OFFLINE = "kafka_controller_KafkaController_OfflinePartitionsCount"


def kinds(expr):
    text = f"groups: [{{name: g, rules: [{{alert: A, expr: '{expr}'}}]}}]"
    return [trap.kind for trap in rule_traps(parse_rules(text))]


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        (f"rate({MESSAGES}[5m]) < 1", ["per-broker"]),
        (f"sum(rate({MESSAGES}[5m])) < 1", ["double-count"]),
        (f'sum(rate({MESSAGES}{{topic!=""}}[5m])) < 1', []),
        (f"sum by (topic) (rate({MESSAGES}[5m])) < 1", []),
        (f"sum by (topic) ({MESSAGES}) < 1", ["counter-as-rate"]),
        (f'absent({MESSAGES}{{topic="t"}})', []),
        ("sum by (topic) (rate(confluent_kafka_server_received_records[5m])) < 1", ["rate-of-gauge"]),
        ("sum by (topic) (confluent_kafka_server_received_records) / 60 < 1", []),
        ("sum(rate(kafka_topic_partition_current_offset[5m])) < 1", []),
        ("sum(kafka_consumergroup_lag) > 100", ["sentinel", "replicas"]),
        ("sum(clamp_min(kafka_consumergroup_lag, 0)) > 100", ["replicas"]),
        ("sum(kafka_consumergroup_lag >= 0) > 100", ["replicas"]),
        ("sum(max by (consumergroup, topic, partition) (clamp_min(kafka_consumergroup_lag, 0))) > 9", []),
        ("kafka_consumergroup_lag > 100", []),
        ("rate(kafka_consumergroup_lag[5m]) > 1", ["rate-of-gauge"]),
        (f"sum({OFFLINE}) > 0", ["kraft-sum"]),
        (f"max({OFFLINE}) > 0", []),
        ("kafka_server_ReplicaManager_LeaderCount == 0", ["leader-count"]),
        ("absent(kafka_server_ReplicaManager_LeaderCount)", []),
        ("kafka_server_FetcherLagMetrics_ConsumerLag > 100", ["replica-lag"]),
        ("kafka_consumer_fetch_manager_records_lag_max > 100", ["client-lag"]),
        ("kafka_consumergroup_group_lag > 100", ["churn"]),
        ("sum by (group, topic) (kafka_consumergroup_group_lag) > 100", []),
        ("sum(kafka_consumer_group_ConsumerLagMetrics_Value) > 100", ["mixed"]),
        ('sum(kafka_consumer_group_ConsumerLagMetrics_Value{name="SumOffsetLag"}) > 100', []),
        ("up == 0", []),
    ],
)
def test_a_trap_is_found_where_it_is(expr, expected):
    assert kinds(expr) == expected


@pytest.mark.parametrize("name", [*dialects(), "founding,recorded", "jmx-example,kminion"])
def test_our_own_rules_are_in_no_trap(name):
    profile = choose(named(name))
    assert rule_traps(parse_rules(rules_text(starters(profile), profile))) == ()


def test_questions_are_few_and_bounded():
    asked = questions(names_of_interest())
    assert len(asked) <= 50
    for query in asked.values():
        parse(query)
        assert query.startswith(("topk(", "count(", "max("))


def test_long_lists_are_counted():
    names = frozenset({"kafka_consumergroup_lag"})
    rows = [(Labels({"consumergroup": f"g{n:04d}"}), 1.0) for n in range(MOST_NAMES)]
    survey = examine(names, {"group": rows, "group total": [(Labels(), 5000.0)], "topic": None})
    assert survey.groups.total == 5000
    [line] = [line for line in survey.lines() if line.startswith("groups")]
    assert line.startswith("groups (5,000): g0000, g0001")
    assert line.endswith("and 4,800 more")
    assert survey.unanswered == ("topic",)
    assert any("refused to answer about topic" in line for line in survey.lines())


@pytest.mark.parametrize("supplier", ["recorded", "kafka-exporter", "kminion"])
def test_lag_that_another_dialect_supplies_is_no_limit(supplier):
    founding = dialects()["founding"].names
    alone = examine(founding, {})
    assert alone.limits == (("founding", NO_LAG),)
    assert [trap.kind for trap in alone.traps] == ["no-lag"]
    both = examine(founding | dialects()[supplier].names, {})
    assert {each.name for each in both.dialects} == {"founding", supplier}
    assert NO_LAG not in " ".join(both.lines())
    assert both.to_json()["limits"] == [{"dialect": supplier, "limit": limit} for limit in dialects()[supplier].limits]


@pytest.mark.parametrize(("apart", "expected"), [("cluster", {"clusters"}), ("instance", {"replicas", "kraft-sum"})])
def test_clusters_are_no_replicas(apart, expected):
    names = frozenset({"kafka_consumergroup_lag", "kafka_controller_kafkacontroller_offlinepartitionscount"})
    place = {"consumergroup": "g", "topic": "t", "partition": "0"}
    here = [
        Samples(Labels({"__name__": name, **place, apart: value}), np.array([START]), np.array([1.0]))
        for name in names
        for value in "xy"
    ]
    found = {
        key: evaluate(parse(query), SeriesSet.from_samples(here), np.array([START]), Semantics.of("3.5")).at(0).items()
        for key, query in questions(names).items()
    }
    assert {trap.kind for trap in examine(names, {key: list(rows) for key, rows in found.items()}).traps} == expected


def test_nothing_is_no_dialect():
    survey = examine(frozenset(), {})
    assert (survey.dialects, survey.lines(), questions(frozenset())) == ((), [], {})
