"""Wait for all brokers, make the topics, wait until every partition has its leader; a process of its own.

``python -m tests.stack.topics BOOTSTRAP '{"topic": [[1, 2, 3], …]}'``: for each partition its replicas, the
preferred leader first.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

WITHIN_S = 150.0


def main(bootstrap: str, wanted: dict[str, list[list[int]]]) -> None:
    """Do it, or end with a reason."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0, "socket.timeout.ms": 60_000})
    give_up = time.monotonic() + WITHIN_S
    nodes = {node for partitions in wanted.values() for replicas in partitions for node in replicas}
    until(give_up, f"brokers {sorted(nodes)}", lambda: nodes <= set(admin.list_topics(timeout=10).brokers))
    new = [NewTopic(name, len(assigned), replica_assignment=assigned) for name, assigned in wanted.items()]
    for name, future in admin.create_topics(new, operation_timeout=60, request_timeout=90).items():
        try:
            future.result(120)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise SystemExit(f"topic {name}: {error}") from error

    def led() -> bool:
        found = admin.list_topics(timeout=10).topics
        return all(
            name in found
            and len(found[name].partitions) == len(assigned)
            and all(found[name].partitions[index].leader == replicas[0] for index, replicas in enumerate(assigned))
            for name, assigned in wanted.items()
        )

    until(give_up, "a leader for every partition", led)


def until(give_up: float, what: str, holds: Callable[[], bool]) -> None:
    """Wait for a condition; a broker that does not answer yet is no failure."""
    while time.monotonic() < give_up:
        with contextlib.suppress(KafkaException):
            if holds():
                return
        time.sleep(0.2)
    raise SystemExit(f"gave up waiting for {what} after {WITHIN_S:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
