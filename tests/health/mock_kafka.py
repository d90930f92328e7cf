"""The mock cluster built into librdkafka, for faults that a real broker does not show on demand.

Notes
-----
librdkafka ``rdkafka_mock.h``: the library that confluent-kafka brings along exports its functions.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import threading
from collections.abc import Iterator
from pathlib import Path


def library() -> ctypes.CDLL:
    """Load the librdkafka that confluent-kafka uses."""
    spec = importlib.util.find_spec("confluent_kafka")
    assert spec is not None
    assert spec.origin is not None
    found = sorted((Path(spec.origin).parent.parent / "confluent_kafka.libs").glob("librdkafka-*.so*"))
    assert found, "confluent-kafka brings no librdkafka along"
    return ctypes.CDLL(str(found[0]))


class Cluster:
    """A cluster of mock brokers on loopback."""

    def __init__(self, brokers: int) -> None:
        rdkafka = self._rdkafka = library()
        for name, kind in {
            "rd_kafka_conf_new": ctypes.c_void_p,
            "rd_kafka_new": ctypes.c_void_p,
            "rd_kafka_mock_cluster_new": ctypes.c_void_p,
            "rd_kafka_mock_cluster_bootstraps": ctypes.c_char_p,
        }.items():
            getattr(rdkafka, name).restype = kind
        message = ctypes.create_string_buffer(512)
        configuration = ctypes.c_void_p(rdkafka.rd_kafka_conf_new())
        self._handle = ctypes.c_void_p(rdkafka.rd_kafka_new(0, configuration, message, ctypes.c_size_t(512)))
        assert self._handle, message.value
        self._cluster = ctypes.c_void_p(rdkafka.rd_kafka_mock_cluster_new(self._handle, brokers))
        self.count = brokers
        self.bootstrap = rdkafka.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def create(self, topic: str, partitions: int) -> None:
        """Create a topic with one replica for each partition."""
        assert self._rdkafka.rd_kafka_mock_topic_create(self._cluster, topic.encode(), partitions, 1) == 0

    def lead(self, topic: str, partition: int, broker: int) -> None:
        """Move the leader of a partition; -1 is none."""
        assert self._rdkafka.rd_kafka_mock_partition_set_leader(self._cluster, topic.encode(), partition, broker) == 0

    def set_up(self, broker: int, *, up: bool) -> None:
        """Take a broker down or up."""
        change = self._rdkafka.rd_kafka_mock_broker_set_up if up else self._rdkafka.rd_kafka_mock_broker_set_down
        assert change(self._cluster, broker) == 0

    def slow(self, broker: int, milliseconds: int) -> None:
        """Let a broker answer late."""
        assert self._rdkafka.rd_kafka_mock_broker_set_rtt(self._cluster, broker, milliseconds) == 0

    def close(self) -> None:
        """End the cluster."""
        self._rdkafka.rd_kafka_mock_cluster_destroy(self._cluster)
        # Waits for the mock brokers' threads.
        ending = threading.Thread(target=self._rdkafka.rd_kafka_destroy, args=(self._handle,))
        ending.start()
        ending.join(30)


@contextlib.contextmanager
def mock_cluster(brokers: int = 3) -> Iterator[Cluster]:
    """Run a mock cluster."""
    cluster = Cluster(brokers)
    try:
        yield cluster
    finally:
        cluster.close()
