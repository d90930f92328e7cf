"""Our lag exporter shows what kafka_exporter shows.

kafka_exporter cannot be had where CI runs; ``KMON_KAFKA_EXPORTER`` names a program built elsewhere.
"""

from __future__ import annotations

import re
import urllib.request

from tests.stack.cluster import running_stack
from tests.stack.processes import free_ports
from tests.stack.settings import SERVICES
from tests.tools import require

LINE = re.compile(r"^(kafka_\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="([^"]*)"')


def test_ours_and_kafka_exporter_show_the_same():
    require("kafka_exporter")
    with running_stack(interval_s=1.0) as stack:
        assert b"kafka_exporter" in scraped(stack.lag_port), "the stack runs another exporter"
        stack.processes.stop(SERVICES[0].consumer)
        stack.wait(f'kafka_consumer_lag_sum{{consumergroup="{SERVICES[0].group}"}} > 100')
        for service in SERVICES:
            stack.processes.stop(service.producer)
        stack.wait("count(delta(kafka_consumergroup_current_offset_sum[10s]) == 0) == 3")
        (port,) = free_ports(1)
        groups = [f"{service.group}={service.topic}" for service in SERVICES]
        stack._python("ours", "lag_exporter", str(port), stack.bootstrap, *groups)
        ours = stack.wait(lambda: samples(port))
        theirs = samples(stack.lag_port)
    assert len(ours) > 3 * 3 * 3
    assert ours.items() <= theirs.items()
    stopped = {"consumergroup": SERVICES[0].group, "topic": SERVICES[0].topic}
    lag = ("kafka_consumergroup_lag_sum", frozenset(stopped.items()))
    assert ours[lag] > 100


def scraped(port: int) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        return answer.read()


def samples(port: int) -> dict[tuple[str, frozenset], float]:
    found = LINE.findall(scraped(port).decode())
    return {(name, frozenset(LABEL.findall(labels))): float(value) for name, labels, value in found}
