"""Causes replayed together: which of them hold, and which make states differ that had agreed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from kmon_analysis.backtest.timelines import Difference
from kmon_analysis.backtest.worlds import World
from kmon_analysis.timing import Interval

__all__ = ["Cause", "Kind", "Step", "broken_ms", "overlap_ms", "validated"]

Kind = Literal[
    "rule changed",
    "phase",
    "restart",
    "missed evaluation",
    "failed evaluation",
    "version",
    "late sample",
    "series missing",
]

# Causes that are left out for a try, the latest first.
_MOST_TRIED = 60


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that happened on the server.

    Attributes
    ----------
    kind : str
        What it is.
    evidence : str
        How that is known.
    proven : bool
        Whether the evidence is more than that the replay then agrees.
    at : Interval or None
        When it happened; None: all the time.
    """

    kind: Kind
    evidence: str
    proven: bool = True
    at: Interval | None = None


@dataclass(frozen=True, eq=False)
class Step:
    """Causes that are put into a replay together.

    Attributes
    ----------
    causes : tuple of Cause
        What is believed.
    places : tuple of int
        The rules that are reached.
    put : callable
        Returns a world with them.
    """

    causes: tuple[Cause, ...]
    places: tuple[int, ...]
    put: Callable[[World], World]


Left = Callable[[World, int], Sequence[Difference]]


def validated(
    plain: World, steps: Sequence[Step], before: Mapping[int, Sequence[Difference]], left: Left
) -> tuple[list[Step], frozenset[int]]:
    """Replay all causes together, and take back those that break more than they explain.

    Parameters
    ----------
    plain : World
        Without any cause.
    steps : sequence of Step
        In the order in which they are put in.
    before : Mapping
        By rule: the differences of `plain`.
    left : callable
        Returns the differences of a rule in a world.

    Returns
    -------
    list of Step
        Those that are kept: without them, the rules they reach differ for longer, or nothing more agrees.
    frozenset of int
        Identities (`id`) of those that explain nothing for sure: with them, states differ that had agreed.
    """
    kept = list(steps)
    while kept:
        world = _built(plain, kept)
        now = {place: left(world, place) for place in before}
        hurt = {place for place, found in now.items() if broken_ms(before[place], found)}
        if not hurt:
            return kept, frozenset()
        unsound, worst = set(), None
        for step in [step for step in kept if hurt & set(step.places)][: -_MOST_TRIED - 1 : -1]:
            without = _built(plain, [each for each in kept if each is not step])
            then = {place: left(without, place) for place in step.places}
            healed_ms = sum(
                broken_ms(before[place], now[place]) - broken_ms(before[place], then[place]) for place in then
            )
            if healed_ms <= 0:
                continue
            unsound.add(id(step))
            more_ms = sum(_length_ms(then[place]) - _length_ms(now[place]) for place in then)
            if more_ms <= 0 and (worst is None or (more_ms, -healed_ms) < worst[:2]):
                worst = more_ms, -healed_ms, step
        if worst is None:
            # Where no single cause is at fault, none that reaches the rule is free of it.
            every = {id(step) for step in kept if hurt & set(step.places)}
            if sum(map(_length_ms, now.values())) > sum(map(_length_ms, before.values())):
                return [], frozenset()
            return kept, frozenset(unsound or every)
        kept = [step for step in kept if step is not worst[2]]
    return kept, frozenset()


def _built(plain: World, steps: Iterable[Step]) -> World:
    world = plain
    for step in steps:
        world = step.put(world)
    return world


def _length_ms(found: Iterable[Difference]) -> int:
    return sum(one.interval.duration_ms for one in found)


def broken_ms(before: Sequence[Difference], now: Iterable[Difference]) -> int:
    """Return for how long states differ that did not differ before, over all alerts."""
    return sum(one.interval.duration_ms - overlap_ms(one, before) for one in now)


def overlap_ms(one: Difference, others: Iterable[Difference]) -> int:
    """Return how much of a difference others of the same alert cover."""
    return sum(
        max(0, min(one.interval.end_ms, each.interval.end_ms) - max(one.interval.start_ms, each.interval.start_ms))
        for each in others
        if each.labels == one.labels
    )
