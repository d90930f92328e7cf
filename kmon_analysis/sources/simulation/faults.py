"""What goes wrong (`Fault`), what goes on every day, and what both do to the service (`Conditions`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from kmon_analysis.errors import SettingError
from kmon_analysis.series import Floats, Int64s
from kmon_analysis.sources.simulation.service import START_MS, STEP_MS, SUBSCRIPTIONS, TOPICS, Subscription
from kmon_analysis.sources.simulation.traffic import local_minutes, ordinary_rate, stream, weekly_peak
from kmon_analysis.timing import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, WEEK_MS, Interval

__all__ = ["ARCHETYPES", "DAYS", "Conditions", "Fault", "Outage", "apply_fault", "apply_routine"]

DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
FULL: Final = 256
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong, labelled or not.

    Attributes
    ----------
    kind : str
        One of `ARCHETYPES`.
    when : str
        Week (from 1), day and UTC time of the start, for example ``"w3 Wed 12:40"``.
    minutes : int
        Length of the fault itself.
    topic, group : str
        What it strikes; "" where the kind needs none. A group without a topic: all its topics.
    size : float
        How hard: remaining share of capacity (slow consumer), lost share of traffic (partial producer
        loss), multiple of a partition's traffic (hot partition).
    partitions : tuple of int
        Partitions concerned (stuck, hot, without a leader).
    broker : int
        Slot of the broker that is lost.
    cause : str
        What the post-mortem says.
    labelled : bool
        Whether somebody wrote an incident report.
    """

    kind: str
    when: str
    minutes: int
    topic: str = ""
    group: str = ""
    size: float = 0.0
    partitions: tuple[int, ...] = ()
    broker: int = 0
    cause: str = ""
    labelled: bool = True

    @property
    def interval(self) -> Interval:
        """The fault itself, from its true start to its true end."""
        week, day, clock = self.when.split()
        hour, minute = clock.split(":")
        start_ms = (
            START_MS
            + (int(week[1:]) - 1) * WEEK_MS
            + DAYS.index(day) * DAY_MS
            + int(hour) * HOUR_MS
            + int(minute) * MINUTE_MS
        )
        return Interval(start_ms, start_ms + self.minutes * MINUTE_MS)

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Consumer groups and topics whose lag it concerns."""
        return tuple(
            (each.group, each.topic)
            for each in SUBSCRIPTIONS
            if self.group in ("", each.group) and self.topic in ("", each.topic)
        )


@dataclass(frozen=True, slots=True)
class Outage:
    """A broker that is down from `start` to `end` and leads again from `back` on (steps)."""

    slot: int
    start: int
    end: int
    back: int


@dataclass(slots=True)
class Conditions:
    """Everything that acts on the service, as arrays over the steps of the world.

    Attributes
    ----------
    steps : int
        Length of the world, T.
    surge : dict of float64 arrays, shape (T,)
        Factor on each topic's traffic.
    hot, hot_partition : dict of int64 arrays, shape (T,), and of int
        Extra traffic of one partition of a topic, in 1/256 of its own.
    leaderless : dict of int64 arrays, shape (T,)
        Bit i set: partition i of the topic has no leader.
    effort, blocked : dict of int64 arrays, shape (T,)
        Capacity in 1/256, and partitions nobody gets on with, for each group and topic.
    hidden : list of (pair, start, end)
        The exporter reports nothing about the pair.
    outages : list of Outage
        Brokers that are down.
    controllerless : list of (start, end)
        No controller is active.
    exporter_outages, blackouts : list of (start, end)
        The lag exporter, or all of Prometheus, is down.
    """

    steps: int
    surge: dict[str, Floats] = field(default_factory=dict)
    hot: dict[str, Int64s] = field(default_factory=dict)
    hot_partition: dict[str, int] = field(default_factory=dict)
    leaderless: dict[str, Int64s] = field(default_factory=dict)
    effort: dict[Pair, Int64s] = field(default_factory=dict)
    blocked: dict[Pair, Int64s] = field(default_factory=dict)
    hidden: list[tuple[Pair, int, int]] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    controllerless: list[tuple[int, int]] = field(default_factory=list)
    exporter_outages: list[tuple[int, int]] = field(default_factory=list)
    blackouts: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for topic in TOPICS:
            self.surge[topic.name] = np.ones(self.steps)
            self.hot[topic.name] = np.zeros(self.steps, dtype=np.int64)
            self.hot_partition[topic.name] = -1
            self.leaderless[topic.name] = np.zeros(self.steps, dtype=np.int64)
        for each in SUBSCRIPTIONS:
            self.effort[each.group, each.topic] = np.full(self.steps, FULL, dtype=np.int64)
            self.blocked[each.group, each.topic] = np.zeros(self.steps, dtype=np.int64)


def steps_of(interval: Interval) -> tuple[int, int]:
    """Return first step and step after the last of an interval."""
    return (interval.start_ms - START_MS) // STEP_MS, (interval.end_ms - START_MS) // STEP_MS


def per_minute(minutes: float) -> int:
    """Return how many steps so many minutes are."""
    return round(minutes * MINUTE_MS / STEP_MS)


def _slow_consumer(now: Conditions, fault: Fault, start: int, end: int) -> None:
    ramp = min(per_minute(4), end - start)
    level = np.full(end - start, round(fault.size * FULL), dtype=np.int64)
    level[:ramp] = np.linspace(FULL, fault.size * FULL, ramp).astype(np.int64)
    for pair in fault.pairs:
        now.effort[pair][start:end] = np.minimum(now.effort[pair][start:end], level)


def _consumer_down(now: Conditions, fault: Fault, start: int, end: int) -> None:
    for pair in fault.pairs:
        now.effort[pair][start:end] = 0


def _group_vanished(now: Conditions, fault: Fault, start: int, end: int) -> None:
    """The exporter lists active groups only: from three minutes after the crash it shows nothing at all."""
    for pair in fault.pairs:
        now.effort[pair][start:end] = 0
        now.hidden.append((pair, start + per_minute(3), end + per_minute(1)))


def _stuck_partition(now: Conditions, fault: Fault, start: int, end: int) -> None:
    for pair in fault.pairs:
        for partition in fault.partitions:
            now.blocked[pair][start:end] |= 1 << partition


def _hot_partition(now: Conditions, fault: Fault, start: int, end: int) -> None:
    extra = np.full(end - start, round((fault.size - 1) * FULL), dtype=np.int64)
    ramp = min(per_minute(5), end - start)
    extra[:ramp] = extra[:ramp] * np.arange(1, ramp + 1) // ramp
    now.hot[fault.topic][start:end] = extra
    now.hot_partition[fault.topic] = fault.partitions[0]


def _rebalance_storm(now: Conditions, fault: Fault, start: int, end: int) -> None:
    for pair in fault.pairs:
        for cycle in range(start, end, 12):
            now.effort[pair][cycle : min(cycle + 10, end)] = 0


def _producer_outage(now: Conditions, fault: Fault, start: int, end: int) -> None:
    surge = now.surge[fault.topic]
    surge[start:end] = 0.0
    # The outbox keeps what could not be sent, and its relay catches up.
    surge[end : end + min((end - start) // 3, per_minute(12))] *= 1.4


def _partial_producer_loss(now: Conditions, fault: Fault, start: int, end: int) -> None:
    now.surge[fault.topic][start:end] *= 1.0 - fault.size


def _silent_topic(now: Conditions, fault: Fault, start: int, end: int) -> None:
    now.surge[fault.topic][start:end] = 0.0


def _broker_loss(now: Conditions, fault: Fault, start: int, end: int) -> None:
    now.outages.append(Outage(fault.broker, start, end, end + per_minute(5)))
    for surge in now.surge.values():
        surge[start : start + 2] *= 0.6


def _leader_loss(now: Conditions, fault: Fault, start: int, end: int) -> None:
    for partition in fault.partitions:
        now.leaderless[fault.topic][start:end] |= 1 << partition
        for pair in fault.pairs:
            now.blocked[pair][start:end] |= 1 << partition


def _backfill(now: Conditions, fault: Fault, start: int, end: int) -> None:
    now.surge[fault.topic][start:end] *= fault.size


def _controller_blip(now: Conditions, fault: Fault, start: int, end: int) -> None:
    now.controllerless.append((start, end))


def _unrelated(now: Conditions, fault: Fault, start: int, end: int) -> None:
    """A report that was filed under Kafka although Kafka had no part in it."""


def _maintenance(now: Conditions, fault: Fault, start: int, end: int) -> None:
    """Consumers are stopped, one broker is replaced, the others are restarted in turn."""
    for pair in now.effort:
        now.effort[pair][start + per_minute(10) : start + per_minute(32)] = 0
    replaced = start + per_minute(12)
    now.outages.append(Outage(2, replaced, replaced + per_minute(15), replaced + per_minute(20)))
    for slot, minute in ((0, 50), (1, 65)):
        down = start + per_minute(minute)
        now.outages.append(Outage(slot, down, down + per_minute(1.5), down + per_minute(6)))
    for topic, mask in (("user.session.refreshed", 0b100), ("developer.profile.updated", 0b10)):
        now.leaderless[topic][replaced : replaced + per_minute(4)] |= mask


def _monitoring_outage(now: Conditions, fault: Fault, start: int, end: int) -> None:
    now.blackouts.append((start, end))


# kind -> (effect, rules expected to page, whether one of them must)
_Effect = Callable[[Conditions, Fault, int, int], None]
ARCHETYPES: Final[dict[str, tuple[_Effect, tuple[str, ...], bool]]] = {
    "slow-consumer": (_slow_consumer, ("HighConsumerLag",), True),
    "consumer-down": (_consumer_down, ("HighConsumerLag",), True),
    "group-vanished": (_group_vanished, ("HighConsumerLag",), False),
    "stuck-partition": (_stuck_partition, ("HighConsumerLag",), True),
    "hot-partition": (_hot_partition, ("HighConsumerLag",), True),
    "rebalance-storm": (_rebalance_storm, ("HighConsumerLag",), True),
    "backlog-beyond-retention": (_consumer_down, ("HighConsumerLag",), True),
    "producer-outage": (_producer_outage, ("LowMessageRate",), True),
    "partial-producer-loss": (_partial_producer_loss, ("LowMessageRate",), False),
    "silent-topic": (_silent_topic, ("LowMessageRate",), True),
    "broker-loss": (_broker_loss, ("KafkaNoLeader",), False),
    "leader-loss": (_leader_loss, ("KafkaNoLeader",), True),
    "unrelated": (_unrelated, ("HighConsumerLag",), False),
    "backfill": (_backfill, (), False),
    "controller-blip": (_controller_blip, (), False),
    "maintenance": (_maintenance, (), False),
    "monitoring-outage": (_monitoring_outage, (), False),
}


def apply_fault(now: Conditions, fault: Fault) -> None:
    """Enter one fault into the conditions.

    Raises
    ------
    SettingError
        If its kind is unknown or it lies outside the world.
    """
    if fault.kind not in ARCHETYPES:
        raise SettingError(f"no such kind of fault: {fault.kind!r}", cure=f"Use one of {', '.join(ARCHETYPES)}")
    start, end = steps_of(fault.interval)
    if start < 0 or end > now.steps:
        raise SettingError(f"the {fault.kind} of {fault.when} lies outside the simulated weeks")
    ARCHETYPES[fault.kind][0](now, fault, start, end)


def apply_routine(now: Conditions, seed: int) -> None:
    """Enter what goes on every day: deploys, nightly jobs, imports, restarts. None of it is an incident."""
    for each in SUBSCRIPTIONS:
        _nightly(now, each, seed)
    for group in sorted({each.group for each in SUBSCRIPTIONS}):
        _deploys(now, [each for each in SUBSCRIPTIONS if each.group == group], seed)
    for topic in ("user.registered", "developer.profile.updated", "user.login.succeeded"):
        _imports(now, topic, seed)
        _producer_restarts(now, topic, seed)
    random = stream(seed, "monitoring")
    for week in range(now.steps * STEP_MS // WEEK_MS):
        if random.random() < 0.55:
            start = (week * WEEK_MS + int(random.integers(0, WEEK_MS))) // STEP_MS
            now.exporter_outages.append((start, start + per_minute(float(random.integers(2, 12)))))
    for week in (1, 6, 11):
        _rolling_restart(now, week, random)


def _nightly(now: Conditions, each: Subscription, seed: int) -> None:
    """Let a batch consumer work for some minutes a night only, or pause a running one."""
    random = stream(seed, "nightly", each.group, each.topic)
    effort = now.effort[each.group, each.topic]
    local = local_minutes(now.steps * STEP_MS // MINUTE_MS)
    nights = range(int(local[-1]) // 1440 + 1)
    if each.batch_hour is not None:
        effort[:] = 0
        for night in nights:
            start = _step_at(local, night * 1440 + round(each.batch_hour * 60)) + int(random.integers(0, 60))
            effort[start : start + per_minute(20)] = FULL
    if each.pause_hour is not None:
        for night in nights:
            start = _step_at(local, night * 1440 + round(each.pause_hour * 60)) + int(random.integers(0, 60))
            length = int(each.pause_ms * (0.7 + 0.9 * random.random())) // STEP_MS
            effort[start : start + length] = 0


def _step_at(local: Int64s, minute: int) -> int:
    """Return the step at which the local clock shows so many minutes."""
    return int(np.searchsorted(local, minute)) * (MINUTE_MS // STEP_MS)


def _deploys(now: Conditions, subscriptions: Sequence[Subscription], seed: int) -> None:
    """Restart a group's members one by one, on one to three working days a week, in office hours."""
    random = stream(seed, "deploys", subscriptions[0].group)
    for week in range(now.steps * STEP_MS // WEEK_MS):
        for day in sorted(random.choice(5, size=int(random.integers(1, 4)), replace=False).tolist()):
            clock_ms = 8 * HOUR_MS + int(random.integers(0, 8 * HOUR_MS))
            start = (week * WEEK_MS + day * DAY_MS + clock_ms) // STEP_MS
            for _ in range(max(each.members for each in subscriptions)):
                pause = int(random.integers(1, 4))
                for each in subscriptions:
                    if each.batch_hour is None:
                        now.effort[each.group, each.topic][start : start + pause] = 0
                start += pause + int(random.integers(3, 7))


def _imports(now: Conditions, topic: str, seed: int) -> None:
    """Send a partner's bulk import through the topic about every third week, a little above what consumers manage."""
    random = stream(seed, "imports", topic)
    rate = ordinary_rate(next(each for each in TOPICS if each.name == topic), now.steps * STEP_MS // MINUTE_MS)
    peak = weekly_peak(next(each for each in TOPICS if each.name == topic))
    slowest = peak * min(each.headroom for each in SUBSCRIPTIONS if each.topic == topic)
    for week in range(now.steps * STEP_MS // WEEK_MS):
        if random.random() < 0.4:
            clock_ms = 17 * HOUR_MS + int(random.integers(0, 5 * HOUR_MS))
            start_ms = week * WEEK_MS + int(random.integers(0, 7)) * DAY_MS + clock_ms
            start, length = start_ms // STEP_MS, per_minute(float(random.integers(15, 45)))
            target = slowest * (0.85 + 0.17 * random.random())
            now.surge[topic][start : start + length] *= target / rate[start_ms // MINUTE_MS]


def _producer_restarts(now: Conditions, topic: str, seed: int) -> None:
    """Stop a topic's producers for one to six minutes about once a week."""
    random = stream(seed, "producer restarts", topic)
    for week in range(now.steps * STEP_MS // WEEK_MS):
        clock_ms = 8 * HOUR_MS + int(random.integers(0, 9 * HOUR_MS))
        start = (week * WEEK_MS + int(random.integers(0, 5)) * DAY_MS + clock_ms) // STEP_MS
        now.surge[topic][start : start + int(random.integers(6, 36))] = 0.0


def _rolling_restart(now: Conditions, week: int, random: np.random.Generator) -> None:
    """Restart the brokers one after the other for a security update, in the small hours."""
    start = (week * WEEK_MS + 3 * DAY_MS + 4 * HOUR_MS) // STEP_MS + int(random.integers(0, 120))
    for slot in range(3):
        down = start + slot * per_minute(12)
        end = down + int(random.integers(60, 110)) * SECOND_MS // STEP_MS
        now.outages.append(Outage(slot, down, end, end + per_minute(4)))
