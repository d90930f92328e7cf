"""Constraint first: the feasible interval of thresholds, and a place inside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from kmon_analysis.backtest.pages import curve
from kmon_analysis.backtest.rule import RuleBacktest
from kmon_analysis.backtest.score import Reach
from kmon_analysis.backtest.signal import Signal
from kmon_analysis.recommend.candidates import Budget, Candidate, Setting
from kmon_analysis.recommend.margin import FRAGILE, round_inside

__all__ = ["EVERYTHING", "Plateau", "Question", "best", "place", "plateau_of", "survey"]


# Set by hand on the bundled simulation, not calibrated: see "Room in time" in docs/architecture.md.
ENOUGH_ROOM = 4.0


@dataclass(frozen=True, slots=True)
class Plateau:
    """All thresholds that meet the budget and find every incident in time, for one candidate.

    Attributes
    ----------
    candidate : Candidate
        Window and ``for``.
    quiet : float
        The threshold nearest to the incidents that ordinary weeks need: from here on the false
        pages stay within the budget. It belongs to the interval.
    weakest : float or None
        The threshold that the weakest incident just reaches in time; the interval ends before it.
        None without incidents.
    blocking : str or None
        The incident that sets `weakest`.
    feasible : bool
        Whether any threshold lies between the two.
    worst_delay_ms : int or None
        Longest delay of the incidents at the quiet end.
    """

    candidate: Candidate
    quiet: float
    weakest: float | None
    blocking: str | None
    feasible: bool
    worst_delay_ms: int | None

    @property
    def margin_ratio(self) -> float:
        """How many times the weakest incident exceeds what ordinary weeks need (inf across zero)."""
        if self.weakest is None or not self.feasible:
            return 1.0
        small, large = sorted((abs(self.quiet), abs(self.weakest)))
        if self.quiet * self.weakest <= 0:
            return math.inf
        return large / small

    @property
    def roomy(self) -> bool:
        """Whether a threshold lies between the two with a margin that is not fragile."""
        return self.feasible and (self.weakest is None or self.margin_ratio >= FRAGILE)

    @property
    def span_ratio(self) -> float:
        """Length of the interval over the larger of its ends: comparable where an end is zero."""
        if self.weakest is None:
            return 0.0
        scale = max(abs(self.quiet), abs(self.weakest))
        gap = abs(self.weakest - self.quiet) / scale if scale else 0.0
        return gap if self.feasible else -gap


@dataclass(frozen=True, slots=True)
class Question:
    """What is known when a threshold is looked for.

    Attributes
    ----------
    stop_ms : int or None
        Only what lies before this instant.
    without : tuple of str
        Incidents of an example that is left out.
    """

    stop_ms: int | None = None
    without: tuple[str, ...] = ()


EVERYTHING = Question()


def survey(
    replay: RuleBacktest,
    tried: Sequence[Candidate],
    budget: Budget,
    questions: Sequence[Question] = (EVERYTHING,),
    *,
    progress: Callable[[], None] | None = None,
) -> tuple[tuple[Plateau, ...], ...]:
    """Find the feasible thresholds of every candidate, for several states of knowledge.

    Parameters
    ----------
    replay : RuleBacktest
        The rule on its history.
    tried : sequence of Candidate
        Windows and ``for`` durations.
    budget : Budget
        What the team accepts.
    questions : sequence of Question
        They share the work: the firing signal of a candidate does not depend on what is known later.
    progress : callable, optional
        Called after each candidate.

    Returns
    -------
    tuple of tuples of Plateau
        One for each question, in the order of `tried`.
    """
    rows: list[list[Plateau]] = [[] for _ in questions]
    for candidate in tried:
        quiet: dict[int | None, float] = {}
        for row, question in zip(rows, questions, strict=True):
            if question.stop_ms not in quiet:
                quiet[question.stop_ms] = _quiet_level(replay, candidate, budget, question.stop_ms)
            row.append(_plateau(replay, candidate, budget, question, quiet[question.stop_ms]))
        if progress is not None:
            progress()
    return tuple(tuple(row) for row in rows)


def _quiet_level(replay: RuleBacktest, candidate: Candidate, budget: Budget, stop_ms: int | None) -> float:
    """Return the lowest level that keeps to the budget before an instant."""
    firing = replay.firing(**candidate.at)
    signal, quiet = firing.signal, firing.windows.quiet
    stop = len(signal.times) if stop_ms is None else int(np.searchsorted(signal.times, stop_ms))
    accepted = budget.false_pages_per_week * firing.windows.quiet_weeks(signal.step_ms, stop)
    longest = budget.firing_ratio * np.count_nonzero(quiet[:stop])
    counted = curve(firing, stop=stop)
    return max(counted.false_pages.lowest_within(accepted), counted.firing_time.lowest_of_falling_within(longest))


def _plateau(replay: RuleBacktest, candidate: Candidate, budget: Budget, question: Question, quiet: float) -> Plateau:
    """Put the incidents that are known above the quiet level."""
    known = [
        reach
        for reach in replay.reaches(**candidate.at)
        if reach.required
        and reach.incident.id not in question.without
        and (question.stop_ms is None or reach.window.end_ms <= question.stop_ms)
    ]
    return plateau_of(replay.signal(candidate.window_ms), candidate, known, quiet, budget.max_delay_ms)


def plateau_of(
    signal: Signal, candidate: Candidate, known: Sequence[Reach], quiet: float, max_delay_ms: int
) -> Plateau:
    """Put incidents above the level that ordinary weeks need.

    Parameters
    ----------
    signal : Signal
        At the candidate's window.
    candidate : Candidate
        Window and ``for``.
    known : sequence of Reach
        Observed incidents that must page.
    quiet : float
        The level from which on the pages stay within the budget.
    max_delay_ms : int
        Longest acceptable delay.
    """
    low = max([quiet, *(reach.stuck for reach in known)])
    peaks = {reach.incident.id: _peak_in_time(reach, max_delay_ms) for reach in known}
    blocking = min(peaks, key=lambda name: peaks[name], default=None)
    high = None if blocking is None else peaks[blocking]
    delays = [reach.delay_ms(low) for reach in known if not reach.covered(low)]
    # Below the lowest level nothing changes any more: that level stands for all of them.
    lowest = signal.lowest_level
    return Plateau(
        candidate=candidate,
        quiet=signal.threshold(max(low, lowest)),
        weakest=None if high is None else signal.threshold(max(high, lowest)),
        blocking=blocking,
        feasible=math.isfinite(lowest) and (high is None or low < high),
        worst_delay_ms=max((delay for delay in delays if delay is not None), default=None),
    )


def _peak_in_time(reach: Reach, max_delay_ms: int) -> float:
    peak = reach.peak(reach.incident.interval.start_ms + max_delay_ms)
    # Below the level of a firing that began for an earlier incident no page of its own is asked for.
    return max(peak, reach.already) if reach.stuck < reach.already else peak


def best(found: Sequence[Plateau], budget: Budget) -> Plateau:
    """Return the candidate with the most room, in height and in time.

    Notes
    -----
    The room in height is how many times the weakest incident exceeds what ordinary weeks need; the room
    in time is how many times the accepted delay exceeds the worst one. The smaller of the two counts: a
    long ``for`` can make the first as wide as one likes, by paging at the last accepted moment. Room for
    a factor of four is enough; ties go to the wider interval, the shorter worst delay, and the longer
    ``for``. A fragile margin is taken only where every candidate's is: it is not advised. Infeasible
    candidates come last, the nearest to feasible first among them.
    """

    def room(p: Plateau) -> tuple[float, ...]:
        slowest = math.inf if p.worst_delay_ms is None else p.worst_delay_ms
        in_time = budget.max_delay_ms / slowest if slowest else math.inf
        both = min(p.margin_ratio, in_time, ENOUGH_ROOM) if p.feasible else p.span_ratio
        # Where incidents reach zero every ratio is infinite: then the length of the interval tells.
        length = abs((p.weakest or 0.0) - p.quiet)
        return (p.feasible, p.roomy, round(both, 1), round(p.span_ratio, 2), length, -slowest, p.candidate.for_ms)

    return max(found, key=room)


def place(found: Plateau, budget: Budget, current: Setting) -> Setting:
    """Put the threshold inside a feasible interval.

    Parameters
    ----------
    found : Plateau
        A feasible one with incidents.
    budget : Budget
        Its `placement` says where.
    current : Setting
        Supplies what is not tuned.

    Notes
    -----
    On a logarithmic scale when both ends are positive and more than a factor of four apart.
    """
    if not found.feasible or found.weakest is None:
        raise ValueError("only a feasible interval with incidents has a place for a threshold")
    quiet, weakest, share = found.quiet, found.weakest, budget.placement
    if quiet > 0 and weakest > 0 and found.margin_ratio > 4:
        threshold = math.exp(math.log(quiet) + share * (math.log(weakest) - math.log(quiet)))
    else:
        threshold = quiet + share * (weakest - quiet)
    # The quiet end belongs to the interval, the incident end does not; inside, both are left alone.
    low, high = sorted((quiet, weakest))
    inside = min(max(threshold, math.nextafter(low, high)), math.nextafter(high, low))
    return Setting(
        threshold=round_inside(inside, math.nextafter(low, high), high),
        window_ms=found.candidate.window_ms,
        for_ms=found.candidate.for_ms,
        keep_firing_for_ms=current.keep_firing_for_ms,
        hours=current.hours,
    )
