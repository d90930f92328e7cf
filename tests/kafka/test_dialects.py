"""The registry of dialects: sound as data, and recognised by names."""

from __future__ import annotations

import re

import pytest

from kmon_analysis.errors import SettingError
from kmon_analysis.kafka.dialects import QUANTITIES, choose, dialects, named, recognise
from kmon_analysis.kafka.traps import trap_names

KINDS = {"counter", "offset_gauge", "rate_gauge", "delta_gauge", "gauge"}
ROLES = {"topic", "group", "partition", "cluster"}
ALL = list(dialects().values())


@pytest.mark.parametrize("dialect", ALL, ids=lambda each: each.name)
def test_an_entry_is_sound(dialect):
    assert all((dialect.title, dialect.source, dialect.detect))
    assert dialect.names >= set(dialect.detect)
    for metric in dialect.metrics.values():
        assert metric.kind in KINDS
        assert set(metric.labels) <= ROLES
        assert all(re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", name) for name in metric.names)
    if dialect.lag_from:
        assert {"end_offset", "committed_offset"} <= dialect.metrics.keys()


@pytest.mark.parametrize("dialect", ALL, ids=lambda each: each.name)
def test_its_own_names_are_recognised_as_it_alone(dialect):
    assert [each.name for each in recognise(dialect.names)] == [dialect.name]


def test_several_may_be_present():
    names = dialects()["jmx-example"].names | dialects()["kafka-exporter"].names | {"up", "node_load1"}
    assert [each.name for each in recognise(names)] == ["jmx-example", "kafka-exporter"]
    assert recognise({"up"}) == ()


def test_the_guides_configuration_leaves_only_its_gauges():
    [found] = recognise({"kafka_server_ReplicaManager_LeaderCount"})
    assert found.name == "founding"
    profile = choose([found], {"kafka_server_ReplicaManager_LeaderCount"})
    assert set(profile.metrics) == {"leader_count"}


def test_lag_that_names_topics_goes_first():
    profile = choose(named("redpanda-group-lag,redpanda"))
    assert profile.lag.label("topic") == "redpanda_topic"
    assert choose(named("redpanda-group-lag,kminion")).lag.label("topic") == "topic_name"
    assert choose(named("recorded,kafka-exporter")).metrics["lag"].names == ("kafka_consumer_lag_sum",)


def test_a_cluster_label_is_added():
    assert choose(named("kafka-exporter"), cluster="env").lag.label("cluster") == "env"
    assert choose(named("burrow")).lag.label("cluster") == "cluster"


def test_a_dialects_own_cluster_label_stays():
    assert choose(named("burrow,kafka-exporter"), cluster="env").lag.label("cluster") == "cluster"
    profile = choose(named("jmx-example,lag-exporter"), cluster="cluster")
    assert [profile.get(each).label("cluster") for each in ("messages_in", "lag")] == ["cluster", "cluster_name"]


def test_a_name_that_two_dialects_share_proves_neither():
    names = {"kafka_consumer_group_lag_sum", "kafka_topic_partitions"}
    assert [each.name for each in recognise(names)] == ["otel"]


def test_unknown_names_are_offered_the_nearest():
    with pytest.raises(SettingError, match="no dialect 'kafka-exportr'") as caught:
        named("kafka-exportr")
    assert caught.value.cure == "Did you mean 'kafka-exporter'?"
    with pytest.raises(SettingError, match="no dialect is named"):
        named(" , ")


def test_a_trap_is_no_quantity():
    used = {
        name
        for each in ALL
        for quantity in QUANTITIES
        if quantity in each.metrics
        for name in each.metrics[quantity].names
    }
    assert used.isdisjoint(trap_names())
