"""The brokers: which one leads which partition when, and what their meters count."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kmon_analysis.series import Bools, Int64s
from kmon_analysis.sources.simulation.faults import Outage
from kmon_analysis.sources.simulation.service import BROKERS, STEP_MS, TOPICS, Topic

__all__ = ["SLOTS", "Life", "Segment", "controller_slots", "leader_counts", "lives_of", "meter", "running", "segments"]

SLOTS = 3
_INTERNAL_PARTITIONS = 50  # of __consumer_offsets


@dataclass(frozen=True, slots=True)
class Segment:
    """A span of steps in which leadership does not change; the slots in `away` lead nothing."""

    start: int
    end: int
    away: frozenset[int]

    def leader(self, preferred: int, partition: int) -> int:
        """Return the slot that leads a partition: the preferred one, else a replica; partitions differ in which."""
        turn = 1 + partition // SLOTS % 2
        order = (preferred, (preferred + turn) % SLOTS, (preferred - turn) % SLOTS)
        return next((slot for slot in order if slot not in self.away), preferred)


@dataclass(frozen=True, slots=True)
class Life:
    """One run of a broker's process: its meters start at 0, unless it ran before the world began."""

    slot: int
    start: int
    end: int
    instance: str


def segments(outages: Sequence[Outage], steps: int) -> list[Segment]:
    """Cut the world at every change of leadership.

    Notes
    -----
    A broker that comes back leads nothing until the preferred election a few minutes later.
    """
    cuts = sorted({0, steps, *(min(step, steps) for outage in outages for step in (outage.start, outage.back))})
    found = []
    for start, end in itertools.pairwise(cuts):
        away = frozenset(outage.slot for outage in outages if outage.start <= start < outage.back)
        found.append(Segment(start, end, away))
    return found


def lives_of(slot: int, outages: Sequence[Outage], steps: int, replaced: int) -> list[Life]:
    """Return the runs of the process in a slot; the machine in slot 2 is another one from step `replaced` on."""
    lives, start = [], 0
    for outage in sorted((each for each in outages if each.slot == slot), key=lambda each: each.start):
        lives.append(Life(slot, start, outage.start, _instance(slot, start, replaced)))
        start = outage.end
    lives.append(Life(slot, start, steps, _instance(slot, start, replaced)))
    return [life for life in lives if life.end > life.start]


def meter(topic: Topic, accepted: npt.NDArray[np.int32], spans: Sequence[Segment], slot: int) -> npt.NDArray[np.int64]:
    """Return the messages that a broker takes in for a topic in each step, shape ``(T,)``."""
    increments = np.zeros(len(accepted), dtype=np.int64)
    for span in spans:
        led = _led(topic, span, slot)
        if led:
            increments[span.start : span.end] = accepted[span.start : span.end, led].sum(axis=1)
    return increments


def leader_counts(spans: Sequence[Segment], slot: int, steps: int, leaderless: Mapping[str, Int64s]) -> Int64s:
    """Return how many partitions a broker leads in each step, shape ``(T,)``.

    Parameters
    ----------
    spans : sequence of Segment
        Leadership.
    slot : int
        The broker.
    steps : int
        Length of the world, T.
    leaderless : Mapping of int64 arrays, shape (T,)
        For each topic: bit i set where its partition i has no leader.
    """
    counts = np.zeros(steps, dtype=np.int64)
    for span in spans:
        counts[span.start : span.end] += sum(span.leader(i % SLOTS, i) == slot for i in range(_INTERNAL_PARTITIONS))
        for topic in TOPICS:
            born = max(span.start, topic.created_ms // STEP_MS)
            for partition in _led(topic, span, slot) if born < span.end else ():
                counts[born : span.end] += 1 - ((leaderless[topic.name][born : span.end] >> partition) & 1)
    return counts


def controller_slots(spans: Sequence[Segment], controllerless: Sequence[tuple[int, int]], steps: int) -> Int64s:
    """Return the slot of the active controller in each step, -1 for none, shape ``(T,)``."""
    active = np.zeros(steps, dtype=np.int64)
    now = 0
    for span in spans:
        now = span.leader(now, 0)
        active[span.start : span.end] = now
    for start, end in controllerless:
        active[start:end] = -1
    return active


def running(lives: Sequence[Life], steps: int) -> Bools:
    """Return in which steps a process runs, shape ``(T,)``."""
    up = np.zeros(steps, dtype=np.bool_)
    for life in lives:
        up[life.start : life.end] = True
    return up


def _led(topic: Topic, span: Segment, slot: int) -> list[int]:
    first = TOPICS.index(topic)
    return [i for i in range(topic.partitions) if span.leader((i + first) % SLOTS, i) == slot]


def _instance(slot: int, start: int, replaced: int) -> str:
    return BROKERS[3] if slot == 2 and start >= replaced else BROKERS[slot]
