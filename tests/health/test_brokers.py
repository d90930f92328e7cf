import time

import pytest

from kmon_analysis.errors import SettingError
from kmon_analysis.health.brokers import KafkaCheck
from kmon_analysis.health.outcome import Redaction
from kmon_analysis.health.settings import KafkaSettings, Secret
from tests.health.mock_kafka import mock_cluster


@pytest.fixture(scope="module")
def cluster():
    with mock_cluster(3) as made:
        made.create("user.registered", 2)
        made.create("developer.profile.updated", 2)
        yield made


def check(bootstrap, *required, deadline_ms=5000, **client):
    settings = KafkaSettings("kafka", {"bootstrap.servers": bootstrap, **client}, required, deadline_ms)
    return KafkaCheck(settings, Redaction(("hush",)))


def until(condition, asked):
    """Ask until it is so; librdkafka reconnects within a second or so."""
    began = time.monotonic()
    while not condition(found := asked.run()):
        assert time.monotonic() - began < 60, found
        time.sleep(0.1)
    return found


def test_a_cluster_is_up(cluster):
    asked = check(cluster.bootstrap, "user.registered")
    found = asked.run()
    assert found.up, found
    assert found.details == {"brokers": 3}
    asked.close()


def test_missing_topics_are_named_and_not_made(cluster):
    asked = check(cluster.bootstrap, "user.registered", "no.such.topic")
    for _ in range(2):
        found = asked.run()
        assert not found.up
        assert found.details["missing_topics"] == ["no.such.topic"]


def test_partitions_without_leader_are_named(cluster):
    cluster.lead("user.registered", 1, -1)
    every = check(cluster.bootstrap).run()
    assert not every.up
    assert every.details["leaderless_partitions"] == ["user.registered-1"]
    assert "no leader" in every.details["message"]
    other = check(cluster.bootstrap, "developer.profile.updated").run()
    assert other.up
    assert other.details["leaderless_partitions"] == ["user.registered-1"]
    cluster.lead("user.registered", 1, 1)
    assert check(cluster.bootstrap).run().up


def test_brokers_that_are_down_are_down_in_time_and_come_back(cluster):
    asked = check(cluster.bootstrap, deadline_ms=1000)
    assert until(lambda found: found.up, asked).up
    for broker in (1, 2, 3):
        cluster.set_up(broker, up=False)
    found = until(lambda found: not found.up, asked)
    assert found.details["message"] == "no broker answered within 1000 ms"
    for broker in (1, 2, 3):
        cluster.set_up(broker, up=True)
    assert until(lambda found: found.up, asked).details["brokers"] == 3


def test_a_cluster_that_answers_late_is_down(cluster):
    slow = check(cluster.bootstrap, deadline_ms=300)
    for broker in (1, 2, 3):
        cluster.slow(broker, 2000)
    try:
        assert not slow.run().up
    finally:
        for broker in (1, 2, 3):
            cluster.slow(broker, 0)


def test_properties_are_passed_through_and_secrets_stay_hidden():
    with pytest.raises(SettingError, match=r"sasl\.mechanismz") as raised:
        check("127.0.0.1:1", **{"sasl.mechanismz": "PLAIN"})
    assert "client" in str(raised.value)
    with pytest.raises(SettingError) as raised:
        check("127.0.0.1:1", **{"security.protocol": Secret("hush")})
    assert "hush" not in str(raised.value)
