"""Produce events to one topic at the ordered rate; a process of its own.

``python -m tests.stack.producer BOOTSTRAP TOPIC FOLDER NAME``. Orders: ``rate`` (messages a second), ``swing``
(``{"period_s", "depth", "seed"}``: the rate swings by that share, and messages come at random), ``backfill``
(``{"id", "count"}``: so many at once, each id once), ``poison`` (``{"id", "partition"}``: one message that no consumer
can handle).
"""

from __future__ import annotations

import math
import random
import sys
import time
from pathlib import Path

from confluent_kafka import Producer

from tests.stack.orders import Orders

POISON = b"poison"
LONGEST_STEP_S = 1.0


def main(bootstrap: str, topic: str, folder: str, name: str) -> None:
    """Produce until killed."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "client.id": name,
            "acks": 1,
            "linger.ms": 20,
            "message.timeout.ms": 10_000,
            "reconnect.backoff.max.ms": 1000,
            "log_level": 0,
        }
    )
    orders = Orders(Path(folder), name)
    orders.counts = {"produced": 0, "failed": 0}

    def done(error: object, _: object) -> None:
        orders.counts["failed" if error else "produced"] += 1

    def send(value: bytes, partition: int = -1) -> None:
        key = str(orders.counts["produced"] % 997)
        while True:
            try:
                producer.produce(topic, value, key, partition=partition, on_delivery=done)
                return
            except BufferError:
                producer.poll(0.1)

    due, needed, before = 0.0, 1.0, time.monotonic()
    dice = random.Random(orders.refresh().get("swing", {}).get("seed"))
    seen = {what: orders.refresh().get(what, {}).get("id") for what in ("backfill", "poison")}
    while True:
        wanted = orders.refresh()
        now = time.monotonic()
        # A producer that was held up does not make up for all of it at once.
        due += min(now - before, LONGEST_STEP_S) * wanted.get("rate", 0.0) * swing(wanted.get("swing"))
        before = now
        while due >= needed:
            due -= needed
            needed = dice.expovariate(1.0) if "swing" in wanted else 1.0
            send(b'{"event": "%d"}' % time.time_ns())
        for what in seen:
            order = wanted.get(what, {})
            if order.get("id") == seen[what]:
                continue
            seen[what] = order["id"]
            if what == "poison":
                send(POISON, order["partition"])
            else:
                for _ in range(order["count"]):
                    send(b'{"event": "backfill"}')
        producer.poll(0)
        time.sleep(0.05)


def swing(order: dict | None) -> float:
    """Return the factor on the rate now."""
    if order is None:
        return 1.0
    return 1 + order["depth"] * math.sin(2 * math.pi * time.time() / order["period_s"])


if __name__ == "__main__":
    main(*sys.argv[1:])
