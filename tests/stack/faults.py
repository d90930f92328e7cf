"""Break one part of a running stack, and mend it again.

Every fault is a generator: what stands before its ``yield`` breaks, what stands behind it mends. `injected` runs it
around a block and mends in any case. A target names a service by its consumer group, or a broker by its node id.

Examples
--------
::

    with injected(stack, "broker-killed", "3"):
        ...
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

from tests.stack.brokers import Broker
from tests.stack.cluster import Stack
from tests.stack.settings import SERVICES, Service

__all__ = ["EVENTS", "FAULTS", "Fault", "injected"]

SLOW_DELAY_S = 0.25
THINNED_SHARE = 0.05
STORM_MEMBERS = 2
BACKFILL = 3000
BURST_FACTOR = 6.0


@dataclass(frozen=True)
class Fault:
    """A way to break something: what it does, and what it is done to by default."""

    run: Callable[[Stack, str], Generator[None, None, None]]
    target: str

    @property
    def effect(self) -> str:
        """Say what it does."""
        return (self.run.__doc__ or "").partition("\n")[0]


FAULTS: dict[str, Fault] = {}
# What a team does on purpose or lives with: no incident.
EVENTS: dict[str, Fault] = {}


def register(kind: dict[str, Fault], name: str, target: str) -> Callable:
    """Put a generator into one of the two tables."""

    def add(run: Callable[[Stack, str], Generator[None, None, None]]) -> Callable:
        kind[name] = Fault(run, target)
        return run

    return add


@contextlib.contextmanager
def injected(stack: Stack, name: str, target: str | None = None) -> Iterator[None]:
    """Break (or do) something for as long as the block runs."""
    fault = {**FAULTS, **EVENTS}[name]
    steps = fault.run(stack, target or fault.target)
    next(steps)
    try:
        yield
    finally:
        next(steps, None)


def service_of(target: str) -> Service:
    """Return a service by its consumer group."""
    for service in SERVICES:
        if service.group == target:
            return service
    raise ValueError(f"{target!r} is none of the groups {', '.join(service.group for service in SERVICES)}")


def broker_of(stack: Stack, target: str) -> Broker:
    """Return a broker by its node id."""
    for broker in stack.brokers:
        if str(broker.node) == target:
            return broker
    raise ValueError(f"{target!r} is none of the brokers {', '.join(str(broker.node) for broker in stack.brokers)}")


@register(FAULTS, "consumer-stopped", "user-service")
def consumer_stopped(stack: Stack, target: str) -> Generator[None, None, None]:
    """End a consumer: its group's lag grows at the rate of the topic."""
    service = service_of(target)
    stack.processes.stop(service.consumer)
    yield
    stack.start_consumer(service)


@register(FAULTS, "consumer-slow", "user-service")
def consumer_slow(stack: Stack, target: str) -> Generator[None, None, None]:
    """Let a consumer work on every message for longer than messages are apart: lag grows slowly."""
    service = service_of(target)
    stack.order(service.consumer, delay_s=max(SLOW_DELAY_S, 2 / service.rate))
    yield
    stack.order(service.consumer, delay_s=None)


@register(FAULTS, "partition-poisoned", "user-service")
def partition_poisoned(stack: Stack, target: str) -> Generator[None, None, None]:
    """Produce a message that the consumer cannot handle: one partition stands still, the others go on."""
    service = service_of(target)
    stack.order(service.consumer, skip_poison=None)
    stack.order(service.producer, poison={"id": time.time_ns(), "partition": 0})
    yield
    stack.order(service.consumer, skip_poison=True)


@register(FAULTS, "rebalance-storm", "user-service")
def rebalance_storm(stack: Stack, target: str) -> Generator[None, None, None]:
    """Let members join a group and leave it all the time: its consumer works between rebalances only."""
    service = service_of(target)
    names = [stack.start_storm(service, number) for number in range(STORM_MEMBERS)]
    yield
    for name in names:
        stack.processes.stop(name)


@register(FAULTS, "producer-stopped", "user-service")
def producer_stopped(stack: Stack, target: str) -> Generator[None, None, None]:
    """End a producer: the topic's rate falls to zero."""
    service = service_of(target)
    stack.processes.stop(service.producer)
    yield
    stack.start_producer(service)


@register(FAULTS, "producer-thinned", "user-service")
def producer_thinned(stack: Stack, target: str) -> Generator[None, None, None]:
    """Let a producer send a twentieth of its messages."""
    service = service_of(target)
    stack.order(service.producer, rate=service.rate * THINNED_SHARE)
    yield
    stack.order(service.producer, rate=service.rate)


@register(FAULTS, "broker-killed", "3")
def broker_killed(stack: Stack, target: str) -> Generator[None, None, None]:
    """Kill a broker: others take over its partitions, but one partition without further replicas loses its leader."""
    broker = broker_of(stack, target)
    stack.processes.stop(broker.name, at_once=True)
    yield
    stack.start_broker(broker)


@register(FAULTS, "broker-paused", "3")
def broker_paused(stack: Stack, target: str) -> Generator[None, None, None]:
    """Stop a broker without closing its connections, as a long pause of its machine does."""
    name = broker_of(stack, target).name
    stack.processes.signal(name, signal.SIGSTOP)
    yield
    stack.processes.signal(name, signal.SIGCONT)


@register(FAULTS, "exporter-stopped", "")
def exporter_stopped(stack: Stack, target: str) -> Generator[None, None, None]:
    """End the lag exporter: the lag of every group is gone, while consumers go on."""
    stack.processes.stop("lag-exporter")
    yield
    stack.start_lag_exporter()


@register(EVENTS, "deploy", "user-service")
def deploy(stack: Stack, target: str) -> Generator[None, None, None]:
    """Replace a consumer by a new one: the group stands still for some seconds."""
    service = service_of(target)
    stack.processes.stop(service.consumer)
    stack.start_consumer(service)
    yield


@register(EVENTS, "backfill", "user-service")
def backfill(stack: Stack, target: str) -> Generator[None, None, None]:
    """Produce many messages at once; the consumer works them off within seconds."""
    stack.order(service_of(target).producer, backfill={"id": time.time_ns(), "count": BACKFILL})
    yield


@register(EVENTS, "burst", "user-service")
def burst(stack: Stack, target: str) -> Generator[None, None, None]:
    """Produce several times as much as usual; the consumer keeps up."""
    service = service_of(target)
    stack.order(service.producer, rate=service.rate * BURST_FACTOR)
    yield
    stack.order(service.producer, rate=service.rate)
