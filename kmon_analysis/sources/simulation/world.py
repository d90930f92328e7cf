"""The whole service over all weeks: traffic, queues and brokers, put together and scraped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kmon_analysis.labels import METRIC_NAME, Labels
from kmon_analysis.series import Bools, Int64s, Samples, SeriesSet
from kmon_analysis.sources.simulation import artefacts, cluster
from kmon_analysis.sources.simulation.artefacts import STEPS_PER_SCRAPE, Target
from kmon_analysis.sources.simulation.faults import Conditions, Fault, Pair, apply_fault, apply_routine, steps_of
from kmon_analysis.sources.simulation.service import BROKERS, STEP_MS, SUBSCRIPTIONS, TOPICS, Subscription, Topic
from kmon_analysis.sources.simulation.traffic import arrivals, autoregressive, coarse_exp, stream, weekly_peak
from kmon_analysis.timing import MINUTE_MS, WEEK_MS

__all__ = ["World", "run_world"]

_BROKER_OFFSETS_MS = (3_217, 11_904, 24_560)
_EXPORTER_OFFSET_MS = 17_431


@dataclass(frozen=True, slots=True)
class World:
    """What Prometheus recorded, and the truth behind it.

    Attributes
    ----------
    series : SeriesSet
        All series.
    lag : dict of int64 arrays, shape (K,)
        True lag of each consumer group and topic every 30 s, without measurement artefacts.
    """

    series: SeriesSet
    lag: dict[Pair, Int64s]


@dataclass(frozen=True, slots=True)
class _Brokers:
    """The cluster's history, as the metrics need it."""

    segments: Sequence[cluster.Segment]
    lives: Sequence[cluster.Life]
    targets: Sequence[Target]


def run_world(seed: int, faults: Sequence[Fault], weeks: int) -> World:
    """Simulate the service.

    Parameters
    ----------
    seed : int
        Of every random stream.
    faults : sequence of Fault
        What goes wrong, labelled or not.
    weeks : int
        Length.
    """
    steps = weeks * WEEK_MS // STEP_MS
    now = Conditions(steps)
    apply_routine(now, seed)
    for fault in sorted(faults, key=lambda each: each.interval):
        apply_fault(now, fault)
    replaced = next((steps_of(each.interval)[0] for each in faults if each.kind == "maintenance"), steps)
    brokers = _brokers(now, seed, replaced)
    exporter_up = np.ones(steps, dtype=np.bool_)
    for start, end in now.exporter_outages:
        exporter_up[start:end] = False
    exporter = artefacts.target_of("exporter", seed, _EXPORTER_OFFSET_MS, exporter_up, now.blackouts)

    samples: list[Samples | None] = list(_health(now, seed, brokers, exporter))
    lag: dict[Pair, Int64s] = {}
    for topic in TOPICS:
        accepted = _accepted(topic, now, seed)
        samples += _meters(topic, accepted, seed, brokers)
        sent = np.cumsum(accepted.sum(axis=1))
        for each in SUBSCRIPTIONS:
            if each.topic == topic.name:
                pair = (each.group, each.topic)
                lag[pair] = _lag(each, topic, accepted, now, seed)
                samples.append(_reported(pair, topic, lag[pair], sent, now, seed, exporter))
    return World(SeriesSet.from_samples(each for each in samples if each is not None), lag)


def _brokers(now: Conditions, seed: int, replaced: int) -> _Brokers:
    lives = [life for slot in range(cluster.SLOTS) for life in cluster.lives_of(slot, now.outages, now.steps, replaced)]
    targets = [
        artefacts.target_of(
            f"broker {slot}",
            seed,
            _BROKER_OFFSETS_MS[slot],
            cluster.running([life for life in lives if life.slot == slot], now.steps),
            now.blackouts,
        )
        for slot in range(cluster.SLOTS)
    ]
    return _Brokers(cluster.segments(now.outages, now.steps), lives, targets)


def _accepted(topic: Topic, now: Conditions, seed: int) -> npt.NDArray[np.int32]:
    """Return the messages that each partition takes in, shape ``(T, P)``."""
    from kmon_analysis.sources.simulation.kernels import deal_out

    random = stream(seed, "partitions", topic.name)
    shares = 1.0 / np.arange(1, topic.partitions + 1) ** topic.skew
    return deal_out(
        arrivals(topic, seed, now.steps, now.surge[topic.name]),
        np.rint(random.permutation(shares / shares.sum()) * 4096).astype(np.int64),
        random.integers(0, 256, size=(now.steps, topic.partitions), dtype=np.uint8),
        now.hot[topic.name],
        now.hot_partition[topic.name],
        now.leaderless[topic.name],
    )


def _lag(each: Subscription, topic: Topic, accepted: npt.NDArray[np.int32], now: Conditions, seed: int) -> Int64s:
    from kmon_analysis.sources.simulation.kernels import drain

    random = stream(seed, "consumer", each.group, each.topic)
    minutes = now.steps * STEP_MS // MINUTE_MS
    wobble = np.repeat(each.wobble * autoregressive(random, minutes // 5 + 1, 0.78), 5)[:minutes]
    per_member = weekly_peak(topic) * each.headroom / each.members * STEP_MS / 1000
    scrapes = (now.steps + STEPS_PER_SCRAPE - 1) // STEPS_PER_SCRAPE
    return drain(
        accepted,
        np.rint(per_member * coarse_exp(wobble) * 256).astype(np.int64),
        now.effort[each.group, each.topic],
        now.blocked[each.group, each.topic],
        each.members,
        round(each.gain * 256),
        each.knee,
        topic.retention_ms // STEP_MS,
        each.commit_ms * 256 // STEP_MS,
        random.integers(0, 256, size=(scrapes, topic.partitions), dtype=np.uint8),
        STEPS_PER_SCRAPE,
        _subscribed(topic),
    )


def _subscribed(topic: Topic) -> int:
    """Return the step in which a topic's groups start to read: for a new topic, some minutes after its birth."""
    return (topic.created_ms + (7 * MINUTE_MS if topic.created_ms else 0)) // STEP_MS


def _reported(
    pair: Pair, topic: Topic, lag: Int64s, sent: Int64s, now: Conditions, seed: int, exporter: Target
) -> Samples | None:
    """Return the recorded lag series of a consumer group and topic."""
    name = " ".join(pair)
    random = stream(seed, "bogus", name)
    total = np.concatenate([sent[:1], sent])[::STEPS_PER_SCRAPE][: len(lag)] + int(random.integers(10**6, 10**8))
    arriving = np.diff(sent, prepend=0)[::STEPS_PER_SCRAPE]
    bogus: list[int] = []
    if pair == ("search-indexer", "user.registered"):
        bogus = random.integers(0, len(lag), size=2).tolist()
    measured, shown = artefacts.mismeasured(lag, arriving, total, seed, name, bogus)
    steps = np.arange(len(lag)) * STEPS_PER_SCRAPE
    shown &= steps >= _subscribed(topic) - 6 * (topic.created_ms > 0)
    for hidden, start, end in now.hidden:
        if hidden == pair:
            shown &= (steps < start) | (steps >= end)
    labels = Labels({METRIC_NAME: "kafka_consumer_lag_sum", "consumergroup": pair[0], "topic": pair[1]})
    return artefacts.observed(labels, exporter, measured, shown)


def _meters(topic: Topic, accepted: npt.NDArray[np.int32], seed: int, brokers: _Brokers) -> list[Samples | None]:
    """Return the topic's two counters on each broker.

    Notes
    -----
    A meter is created on the first message and counts from 0 in each run of a broker.
    """
    random = stream(seed, "sizes", topic.name)
    size = np.rint(topic.message_bytes * coarse_exp(0.04 * autoregressive(random, len(accepted) // 60 + 1, 0.9)))
    sizes = np.repeat(size.astype(np.int64), 60)[: len(accepted)]
    samples: list[Samples | None] = []
    for slot, target in enumerate(brokers.targets):
        increments = cluster.meter(topic, accepted, brokers.segments, slot)
        steps = np.arange(0, len(increments), STEPS_PER_SCRAPE)
        before = 0 if topic.created_ms else int(random.integers(4, 60) * topic.rate * 28_800)
        for instance in BROKERS:
            messages, octets = np.zeros((2, len(steps)), dtype=np.int64)
            exists: Bools = np.zeros(len(steps), dtype=np.bool_)
            for life in brokers.lives:
                if (life.slot, life.instance) != (slot, instance):
                    continue
                span = slice(life.start, life.end)
                inside = (steps >= life.start) & (steps < life.end)
                offset = before if life.start == 0 else 0
                count = offset + np.cumsum(increments[span])
                volume = offset * topic.message_bytes + np.cumsum(increments[span] * sizes[span])
                messages[inside] = count[steps[inside] - life.start]
                octets[inside] = volume[steps[inside] - life.start]
                exists |= inside & (messages > 0)
            for metric, values in (("MessagesInPerSec", messages), ("BytesInPerSec", octets)):
                name = f"kafka_server_BrokerTopicMetrics_{metric}"
                labels = Labels({METRIC_NAME: name, "instance": instance, "topic": topic.name})
                samples.append(artefacts.observed(labels, target, values, exists))
    return samples


def _health(now: Conditions, seed: int, brokers: _Brokers, exporter: Target) -> Iterator[Samples | None]:
    """Yield the gauges of brokers and controllers, and ``up``."""
    steps = np.arange(0, now.steps, STEPS_PER_SCRAPE)
    offline = np.zeros(now.steps, dtype=np.int64)
    for topic in TOPICS:
        for partition in range(topic.partitions):
            offline += (now.leaderless[topic.name] >> partition) & 1
    controller = cluster.controller_slots(brokers.segments, now.controllerless, now.steps)
    for slot, target in enumerate(brokers.targets):
        leaders = cluster.leader_counts(brokers.segments, slot, now.steps, now.leaderless)
        gauges = {
            "kafka_server_ReplicaManager_LeaderCount": leaders,
            "kafka_controller_KafkaController_OfflinePartitionsCount": offline,
            "kafka_controller_KafkaController_ActiveControllerCount": (controller == slot).astype(np.int64),
        }
        instances = list(dict.fromkeys(life.instance for life in brokers.lives if life.slot == slot))
        births = [min(life.start for life in brokers.lives if life.instance == name) for name in instances]
        for instance, start, end in zip(instances, births, [*births[1:], now.steps], strict=True):
            known = (steps >= start) & (steps < end)
            for name, values in gauges.items():
                labels = Labels({METRIC_NAME: name, "instance": instance})
                yield artefacts.observed(labels, target, values[::STEPS_PER_SCRAPE], known)
            yield artefacts.up_samples("kafka", instance, target, known)
    for pod, start, end in artefacts.exporter_pods(now.exporter_outages, now.steps, seed):
        yield artefacts.up_samples("kafka-exporter", pod, exporter, (steps >= start) & (steps < end))
