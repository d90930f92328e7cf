"""Export offsets and lag under the names of kafka_exporter; a process of its own.

``python -m tests.stack.lag_exporter PORT BOOTSTRAP GROUP=TOPIC …``. Offsets are read at each scrape. As in
kafka_exporter a partition without a commit has lag -1 and counts for nothing in the sum, a partition whose offsets
cannot be read has no lag and the sum is smaller, and a partition without leader has no leader series.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

from confluent_kafka import Consumer, KafkaException, TopicPartition

# Longer than a healthy broker ever takes, shorter than a scrape may last; paid once for each broker that hangs.
TIMEOUT_S = 1.0


class Collector:
    """Reads the offsets of given groups and their topics; joins no group."""

    def __init__(self, bootstrap: str, groups: list[tuple[str, str]]):
        self.groups = groups
        self.topics = sorted({topic for _, topic in groups})
        self.clients = {
            group: Consumer(
                {
                    "bootstrap.servers": bootstrap,
                    "group.id": group,
                    "client.id": "lag-exporter",
                    "enable.auto.commit": False,
                    "reconnect.backoff.max.ms": 500,
                    "log_level": 0,
                }
            )
            for group, _ in groups
        }
        self.first = next(iter(self.clients.values()))

    def lines(self) -> Iterator[str]:
        """Yield the exposition, line by line."""
        try:
            metadata = self.first.list_topics(timeout=2 * TIMEOUT_S)
        except KafkaException:
            return
        yield f"kafka_brokers {len(metadata.brokers)}"
        newest: dict[tuple[str, int], int] = {}
        hanging: set[int] = set()
        for topic in self.topics:
            found = metadata.topics.get(topic)
            partitions = found.partitions if found else {}
            yield sample("kafka_topic_partitions", len(partitions), topic=topic)
            for index, partition in sorted(partitions.items()):
                if partition.leader < 0:
                    continue
                yield sample("kafka_topic_partition_leader", partition.leader, topic=topic, partition=index)
                if partition.leader in hanging:
                    continue
                try:
                    _, high = self.first.get_watermark_offsets(TopicPartition(topic, index), timeout=TIMEOUT_S)
                except KafkaException:
                    hanging.add(partition.leader)
                    continue
                newest[topic, index] = high
                yield sample("kafka_topic_partition_current_offset", high, topic=topic, partition=index)
        for group, topic in self.groups:
            yield from self.group_lines(group, topic, newest)

    def group_lines(self, group: str, topic: str, newest: dict[tuple[str, int], int]) -> Iterator[str]:
        """Yield what is known of one group on one topic."""
        known = [index for name, index in newest if name == topic]
        if not known:
            return
        try:
            asked = [TopicPartition(topic, index) for index in known]
            committed = self.clients[group].committed(asked, timeout=TIMEOUT_S)
        except KafkaException:
            return
        total = 0
        for place in committed:
            if place.error:
                continue
            labels = {"consumergroup": group, "topic": topic, "partition": place.partition}
            lag = newest[topic, place.partition] - place.offset if place.offset >= 0 else -1
            if place.offset >= 0:
                yield sample("kafka_consumergroup_current_offset", place.offset, **labels)
                total += lag
            yield sample("kafka_consumergroup_lag", lag, **labels)
        yield sample("kafka_consumergroup_lag_sum", total, consumergroup=group, topic=topic)


def sample(name: str, value: float, **labels: object) -> str:
    """Write one sample; the names of topics and groups here need no escapes."""
    inside = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return f"{name}{{{inside}}} {value}"


def main(port: str, bootstrap: str, *groups: str) -> None:
    """Answer scrapes until killed."""
    collector = Collector(bootstrap, [tuple(pair.split("=")) for pair in groups])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = "".join(f"{line}\n" for line in collector.lines()).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    HTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
