"""When a recording breaks what: faults and harmless events in turns, drawn from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.stack.faults import EVENTS, FAULTS
from tests.stack.settings import SERVICES

__all__ = ["Step", "schedule"]

WARM_UP_S = 60.0
ROUND_S = 350.0
FEWEST_ROUNDS = 2
# Shares of a round: how long a fault may last, and where the harmless event lies behind it.
FAULT_SHARE = (0.15, 0.4)
EVENT_SHARE = (0.72, 0.85)
EVENT_LASTS_S = (5.0, 25.0)
BROKERS = ("1", "2", "3")


@dataclass(frozen=True)
class Step:
    """One fault or event.

    Attributes
    ----------
    name, target : str
        As in `tests.stack.faults`.
    at_s, lasts_s : float
        Seconds from the start of the recording, and how long it stays.
    until_s : float
        The end of its share of the recording: what it broke must have recovered by then.
    """

    name: str
    target: str
    at_s: float
    lasts_s: float
    until_s: float

    @property
    def harmless(self) -> bool:
        """Say whether it is an event."""
        return self.name in EVENTS


def schedule(seed: int, minutes: float) -> tuple[Step, ...]:
    """Draw a schedule: in every round one fault and then one event; every fault comes before any comes again.

    Parameters
    ----------
    seed : int
        The same seed and length give the same schedule.
    minutes : float
        Length of the recording.
    """
    rng = random.Random(seed)
    usable_s = minutes * 60 - WARM_UP_S
    rounds = max(FEWEST_ROUNDS, int(usable_s // ROUND_S))
    wide = usable_s / rounds
    names, events = _in_turns(rng, list(FAULTS), rounds), _in_turns(rng, list(EVENTS), rounds)
    steps: list[Step] = []
    for number in range(rounds):
        start = WARM_UP_S + number * wide
        event_at = start + wide * rng.uniform(*EVENT_SHARE)
        steps += [
            _step(rng, names[number], start + wide * rng.uniform(0, 0.1), wide * rng.uniform(*FAULT_SHARE), event_at),
            _step(rng, events[number], event_at, min(rng.uniform(*EVENT_LASTS_S), wide * 0.1), start + wide),
        ]
    return tuple(steps)


def _step(rng: random.Random, name: str, at_s: float, lasts_s: float, until_s: float) -> Step:
    target = rng.choice(SERVICES).group
    if name.startswith("broker"):
        target = rng.choice(BROKERS)
    elif name == "exporter-stopped":
        target = ""
    return Step(name, target, round(at_s, 3), round(lasts_s, 3), round(until_s, 3))


def _in_turns(rng: random.Random, names: list[str], count: int) -> list[str]:
    """Draw names so that none comes again before all have come."""
    drawn: list[str] = []
    while len(drawn) < count:
        drawn += rng.sample(names, len(names))
    return drawn[:count]
