"""The scenarios: which faults strike when, and what the team writes down about them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from kmon_analysis.errors import SettingError, nearest
from kmon_analysis.series import SeriesSet
from kmon_analysis.sources.simulation.faults import ARCHETYPES, Fault, Pair
from kmon_analysis.sources.simulation.service import (
    SCRAPE_MS,
    START_MS,
    STEP_MS,
    SUBSCRIPTIONS,
    TOPICS,
    WORLD_WEEKS,
)
from kmon_analysis.sources.simulation.timeline import (
    EIGHT,
    LATER,
    MAINTENANCE,
    ONE,
    THREE,
    TWENTY,
    UNLABELLED,
)
from kmon_analysis.sources.simulation.traffic import stream
from kmon_analysis.sources.simulation.world import World, run_world
from kmon_analysis.timing import HOUR_MS, MINUTE_MS, WEEK_MS, Interval

__all__ = ["SCENARIOS", "Scenario", "SimulatedIncident", "SimulatedWindow", "Simulation", "parameters_of", "simulate"]

GENERATOR_VERSION: Final = 1
"""Raised whenever the same parameters would give other samples."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One history to be simulated.

    Attributes
    ----------
    name : str
        What it is called.
    about : str
        One sentence for people.
    seed : int
        Of every random stream.
    faults : tuple of Fault
        All of them; those before `first_week` or after `last_week` are simulated and cut off.
    first_week, last_week : int
        Weeks kept, counted from 1, both included.
    weeks : int
        Weeks simulated.
    """

    name: str
    about: str
    seed: int
    faults: tuple[Fault, ...]
    first_week: int = 1
    last_week: int = 10
    weeks: int = 10

    @property
    def interval(self) -> Interval:
        """The part that is kept."""
        return Interval(START_MS + (self.first_week - 1) * WEEK_MS, START_MS + self.last_week * WEEK_MS)


_USER_SERVICE = (*TWENTY, *LATER, *UNLABELLED, *MAINTENANCE)
SCENARIOS: Final[Mapping[str, Scenario]] = {
    each.name: each
    for each in (
        Scenario("user-service", "Ten weeks with twenty incidents.", 20260202, _USER_SERVICE, weeks=WORLD_WEEKS),
        Scenario(
            "user-service-later",
            "The four weeks that follow user-service, to test advice on what it has not seen.",
            20260202,
            _USER_SERVICE,
            first_week=11,
            last_week=14,
            weeks=WORLD_WEEKS,
        ),
        Scenario("no-incidents", "Ten weeks in which nothing was reported.", 100, MAINTENANCE),
        Scenario("one-incident", "Ten weeks with a single incident.", 101, (*ONE, *MAINTENANCE)),
        Scenario("three-incidents", "Ten weeks with three incidents.", 103, (*THREE, *MAINTENANCE)),
        Scenario("eight-incidents", "Ten weeks with eight incidents.", 108, (*EIGHT, *MAINTENANCE)),
    )
}


@dataclass(frozen=True, slots=True)
class SimulatedIncident:
    """What the team wrote down about a fault, beside the fault itself.

    Attributes
    ----------
    id : str
        Number in the order of time.
    interval : Interval
        As reported: from when users noticed until the backlog was gone, in whole minutes.
    fault : Interval
        As it was.
    labels : Mapping
        Topic and consumer group concerned; empty for the cluster as a whole.
    rules : tuple of str
        Deployed rules that could be expected to page for it.
    must_page : bool
        Whether one of them has to.
    kind : str
        Archetype.
    cause : str
        One sentence.
    """

    id: str
    interval: Interval
    fault: Interval
    labels: Mapping[str, str]
    rules: tuple[str, ...]
    must_page: bool
    kind: str
    cause: str


@dataclass(frozen=True, slots=True)
class SimulatedWindow:
    """A span in which pages say nothing about the rules."""

    interval: Interval
    reason: str


@dataclass(frozen=True, slots=True)
class Simulation:
    """A simulated history and the truth about it.

    Attributes
    ----------
    scenario : str
        Name.
    series : SeriesSet
        What Prometheus recorded.
    incidents : tuple of SimulatedIncident
        What the team reported, in order of time.
    excluded : tuple of SimulatedWindow
        Maintenance and gaps of the monitoring.
    unlabelled : tuple of Fault
        Faults that nobody reported.
    interval : Interval
        What the history covers.
    parameters : Mapping
        Everything it was made from, as JSON values.
    """

    scenario: str
    series: SeriesSet
    incidents: tuple[SimulatedIncident, ...]
    excluded: tuple[SimulatedWindow, ...]
    unlabelled: tuple[Fault, ...]
    interval: Interval
    parameters: Mapping[str, Any]

    @property
    def scrape_interval_ms(self) -> int:
        """Milliseconds between scrapes."""
        return SCRAPE_MS


def simulate(scenario: str) -> Simulation:
    """Simulate a scenario.

    Parameters
    ----------
    scenario : str
        One of `SCENARIOS`.

    Raises
    ------
    SettingError
        If there is no such scenario.
    """
    plan = _plan(scenario)
    world = run_world(plan.seed, plan.faults, plan.weeks)
    reported = [
        _reported(fault, world, plan.seed)
        for fault in sorted((each for each in plan.faults if _is_incident(each)), key=lambda each: each.interval)
    ]
    numbered = [dataclasses.replace(each, id=f"INC-{number:02d}") for number, each in enumerate(reported, 1)]
    kept = plan.interval
    return Simulation(
        scenario=scenario,
        series=world.series.between(kept.start_ms, kept.end_ms),
        incidents=tuple(each for each in numbered if each.interval.overlaps(kept)),
        excluded=tuple(
            SimulatedWindow(each.interval, each.cause)
            for each in plan.faults
            if each.kind in _WINDOWS and each.interval.overlaps(kept)
        ),
        unlabelled=tuple(
            each
            for each in plan.faults
            if not _is_incident(each) and each.kind not in _WINDOWS and each.interval.overlaps(kept)
        ),
        interval=kept,
        parameters=parameters_of(scenario),
    )


def parameters_of(scenario: str) -> dict[str, Any]:
    """Return everything that a scenario is made from, as JSON values, with a hash of it.

    Notes
    -----
    The versions of NumPy and Numba count: NumPy may improve how it draws numbers.
    """
    plan = _plan(scenario)
    parameters: dict[str, Any] = {
        "generator_version": GENERATOR_VERSION,
        "numpy": np.__version__,
        "step_ms": STEP_MS,
        "scrape_ms": SCRAPE_MS,
        "scenario": dataclasses.asdict(plan),
        "topics": [dataclasses.asdict(each) for each in TOPICS],
        "subscriptions": [dataclasses.asdict(each) for each in SUBSCRIPTIONS],
    }
    text = json.dumps(parameters, sort_keys=True)
    return {**json.loads(text), "hash": hashlib.sha256(text.encode()).hexdigest()[:12]}


_WINDOWS = ("maintenance", "monitoring-outage")


def _plan(scenario: str) -> Scenario:
    if scenario not in SCENARIOS:
        near = nearest(scenario, SCENARIOS)
        cure = f"Use one of {', '.join(SCENARIOS)}"
        raise SettingError(f"no such scenario: {scenario!r}", cure=f"{near} {cure}" if near else cure)
    return SCENARIOS[scenario]


def _is_incident(fault: Fault) -> bool:
    return fault.labelled and bool(ARCHETYPES[fault.kind][1])


def _reported(fault: Fault, world: World, seed: int) -> SimulatedIncident:
    """Write the report: users notice some minutes late, and it ends when the backlog is gone."""
    random = stream(seed, "report", fault.when, fault.kind)
    noticed_ms = min(max(5.0 * math.exp(0.6 * float(random.standard_normal())), 2.0), 20.0) * MINUTE_MS
    truth = fault.interval
    start_ms = truth.start_ms + round(noticed_ms / MINUTE_MS) * MINUTE_MS
    _, rules, must_page = ARCHETYPES[fault.kind]
    drained_ms = _drained(fault.pairs, truth, world) if "HighConsumerLag" in rules else truth.end_ms
    end_ms = -(-drained_ms // MINUTE_MS) * MINUTE_MS + int(random.integers(1, 5)) * MINUTE_MS
    labels = {"consumergroup": fault.group, "topic": fault.topic} if "KafkaNoLeader" not in rules else {}
    return SimulatedIncident(
        id="",
        interval=Interval(start_ms, end_ms),
        fault=truth,
        labels={name: value for name, value in labels.items() if value},
        rules=rules,
        must_page=must_page,
        kind=fault.kind,
        cause=fault.cause,
    )


def _drained(pairs: Sequence[Pair], truth: Interval, world: World) -> int:
    """Return when the last of these lags is back near what it was in the two hours before the fault."""
    first, last = ((each - START_MS) // SCRAPE_MS for each in (truth.start_ms, truth.end_ms))
    drained_ms = truth.end_ms
    for pair in pairs:
        lag = world.lag[pair]
        usual = max(400.0, 1.6 * float(np.median(lag[first - 2 * HOUR_MS // SCRAPE_MS : first])))
        calm = np.flatnonzero(lag[last:] < usual)
        if len(calm):
            drained_ms = max(drained_ms, truth.end_ms + int(calm[0]) * SCRAPE_MS)
    return drained_ms
