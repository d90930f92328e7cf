"""What would be enough: the least change of one accepted number that leaves room for a value."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from kmon_analysis.backtest.pages import curve
from kmon_analysis.backtest.score import Score
from kmon_analysis.recommend.candidates import Budget, Candidate, Setting
from kmon_analysis.recommend.case import Case
from kmon_analysis.recommend.choose import Plateau, place, plateau_of

__all__ = ["Enough", "accepted_rate", "enough"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Enough:
    """A budget that leaves room, and what would be placed there.

    Attributes
    ----------
    budget : Budget
        The team's own with one number changed.
    setting : Setting
        Values inside the room.
    score : Score
        What they do in the past.
    """

    budget: Budget
    setting: Setting
    score: Score


def enough(case: Case) -> tuple[Enough | None, Enough | None]:
    """Return the shortest delay, and the fewest false pages a week, that leave room among what was tried.

    Parameters
    ----------
    case : Case
        A rule for which no candidate has a margin that is not fragile.

    Returns
    -------
    tuple of Enough or None
        With a longer delay, and with more false pages; None where nothing of that kind leaves room.

    Notes
    -----
    Exact over the candidates: detection changes only where an incident's running maximum rises, pages come in
    whole numbers, and room only grows with either.
    """
    later: list[tuple[Budget, Plateau]] = []
    noisier: list[tuple[Budget, Plateau]] = []
    for candidate in case.tried:
        delay, pages = _least(case, candidate)
        later += delay
        noisier += pages
    return (
        _first(case, later, lambda budget: budget.max_delay_ms),
        _first(case, noisier, lambda budget: budget.false_pages_per_week),
    )


def _least(case: Case, candidate: Candidate) -> tuple[list[tuple[Budget, Plateau]], list[tuple[Budget, Plateau]]]:
    """Return the least delay and the least pages for one candidate, each as a list of one or none."""
    budget, replay = case.budget, case.replay
    firing = replay.firing(**candidate.at)
    signal, quiet = firing.signal, firing.windows.quiet
    weeks = firing.windows.quiet_weeks(signal.step_ms)
    known = [reach for reach in replay.reaches(**candidate.at) if reach.required]
    if not weeks or not math.isfinite(signal.lowest_level):
        return [], []
    counted = curve(firing)
    calm = counted.firing_time.lowest_of_falling_within(budget.firing_ratio * np.count_nonzero(quiet))

    def at(delay_ms: int, rate: float) -> Plateau:
        level = max(calm, counted.false_pages.lowest_within(rate * weeks))
        return plateau_of(signal, candidate, known, level, delay_ms)

    own = budget.false_pages_per_week
    rises = {int(time) - reach.incident.interval.start_ms for reach in known for time in reach.times}
    delays = sorted(delay for delay in rises if delay > budget.max_delay_ms)
    later = [
        (replace(budget, max_delay_ms=delay), found)
        for delay, found in _least_roomy(len(delays), lambda place: (delays[place], at(delays[place], own)))
    ]
    fewest = math.floor(own * weeks) + 1
    more = max(0, int(counted.false_pages.steps(calm)[1].max(initial=0)) - fewest + 1)

    def noisy(place: int) -> tuple[float, Plateau]:
        rate = accepted_rate(fewest + place, weeks)
        return rate, at(budget.max_delay_ms, rate)

    noisier = [(replace(budget, false_pages_per_week=rate), found) for rate, found in _least_roomy(more, noisy)]
    return later, noisier


def accepted_rate(pages: int, weeks: float) -> float:
    """Return a rate that people would write and that lets so many pages through: the next tenth, or whole above ten."""
    scale = 10 if pages < 10 * weeks else 1
    return math.ceil(pages / weeks * scale) / scale


def _least_roomy(count: int, at: Callable[[int], tuple[T, Plateau]]) -> list[tuple[T, Plateau]]:
    """Return the first of so many rising steps that leaves room, as a list of one or none."""
    place = bisect_left(range(count), True, key=lambda place: at(place)[1].roomy)
    return [at(place)] if place < count else []


def _first(case: Case, found: list[tuple[Budget, Plateau]], least: Callable[[Budget], float]) -> Enough | None:
    """Place a threshold in the room that takes least, the widest where several take as much."""
    if not found:
        return None
    budget, plateau = min(found, key=lambda each: (least(each[0]), -each[1].margin_ratio))
    setting = place(plateau, budget, case.current)
    return Enough(budget, setting, case.score(setting))
