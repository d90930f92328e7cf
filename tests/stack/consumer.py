"""Consume one topic in a consumer group, as a service does; a process of its own.

``python -m tests.stack.consumer BOOTSTRAP GROUP TOPIC FOLDER NAME``. Orders: ``delay_s`` (work for each message),
``hold`` (take nothing for now), ``skip_poison`` (go on behind a message that cannot be handled, instead of trying it
again and again).
``--storm`` instead of orders: join the group, leave it, join again …
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

from confluent_kafka import Consumer, Message, TopicPartition

from tests.stack.orders import Orders
from tests.stack.producer import POISON

RETRY_S = 0.5


class Stopped(BaseException):
    """The process was asked to end."""


def client(bootstrap: str, group: str, name: str) -> Consumer:
    """Return a consumer that commits only what it has worked off."""
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "client.id": name,
            "group.protocol": "classic",
            "auto.offset.reset": "earliest",
            "enable.auto.offset.store": False,
            "auto.commit.interval.ms": 500,
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 1000,
            "fetch.wait.max.ms": 200,
            "queued.min.messages": 1000,
            "reconnect.backoff.max.ms": 1000,
            "topic.metadata.refresh.interval.ms": 5000,
            "log_level": 0,
        }
    )


class Worker:
    """One consumer; a message that it cannot handle holds up its partition and no other."""

    def __init__(self, bootstrap: str, group: str, topic: str, folder: str, name: str):
        self.orders = Orders(Path(folder), name)
        self.orders.counts = {"consumed": 0, "rebalances": 0, "assigned": 0, "stuck": []}
        self.stuck: dict[int, tuple[int, float]] = {}  # partition → offset, when to try again
        self.consumer = client(bootstrap, group, name)
        self.consumer.subscribe([topic], on_assign=self.assigned)
        self.topic = topic

    def assigned(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        """Start afresh after a rebalance."""
        self.stuck.clear()
        self.orders.counts["rebalances"] += 1
        self.orders.counts["assigned"] = len(partitions)

    def run(self) -> None:
        """Consume until asked to end."""
        while True:
            wanted = self.orders.refresh()
            if wanted.get("hold"):
                time.sleep(0.1)
                continue
            self.retry()
            for message in self.consumer.consume(50, 0.2):
                if not message.error() and message.partition() not in self.stuck:
                    self.handle(message, wanted)
                    wanted = self.orders.refresh()

    def handle(self, message: Message, wanted: dict) -> None:
        """Work off one message, or get stuck at it."""
        if message.value() == POISON and not wanted.get("skip_poison"):
            self.stuck[message.partition()] = (message.offset(), time.monotonic() + RETRY_S)
            self.consumer.pause([TopicPartition(self.topic, message.partition())])
        else:
            if wanted.get("delay_s"):
                time.sleep(wanted["delay_s"])
            self.consumer.store_offsets(message)
            self.orders.counts["consumed"] += 1
        self.orders.counts["stuck"] = sorted(self.stuck)

    def retry(self) -> None:
        """Go back to the messages at which partitions are stuck, when it is time."""
        for partition, (offset, when) in list(self.stuck.items()):
            if time.monotonic() >= when:
                del self.stuck[partition]
                self.consumer.seek(TopicPartition(self.topic, partition, offset))
                self.consumer.resume([TopicPartition(self.topic, partition)])


def storm(bootstrap: str, group: str, topic: str, name: str) -> None:
    """Join and leave, again and again."""
    while True:
        joined: list[object] = []
        consumer = client(bootstrap, group, name)
        try:
            consumer.subscribe([topic], on_assign=lambda *_, joined=joined: joined.append(True))
            give_up = time.monotonic() + 5
            while not joined and time.monotonic() < give_up:
                consumer.poll(0.1)
        finally:
            consumer.close()


def stop(*_: object) -> None:
    """End the process in order: the group learns of it at once."""
    raise Stopped


def main(bootstrap: str, group: str, topic: str, folder: str, name: str) -> None:
    """Run one of the two until asked to end."""
    signal.signal(signal.SIGTERM, stop)
    try:
        if folder == "--storm":
            storm(bootstrap, group, topic, name)
        worker = Worker(bootstrap, group, topic, folder, name)
        try:
            worker.run()
        finally:
            worker.consumer.close()
    except Stopped:
        pass


if __name__ == "__main__":
    main(*sys.argv[1:])
