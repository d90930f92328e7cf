"""Scores on weeks that were not used for tuning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kmon_analysis.backtest.rule import RuleBacktest
from kmon_analysis.backtest.score import Score
from kmon_analysis.recommend.candidates import Budget, Setting, whole_weeks
from kmon_analysis.recommend.choose import Plateau, place
from kmon_analysis.timing import WEEK_MS, Interval

__all__ = ["Fold", "HeldOut", "LeftOut", "Tally", "folds_of", "forward_chain", "leave_one_out"]

# Fewer weeks leave either too little to tune on or too little to test on.
MIN_WEEKS = 6


@dataclass(frozen=True, slots=True)
class Tally:
    """A rule's sum over periods.

    Attributes
    ----------
    incidents, caught, caught_in_time, false_pages : int
        Counts as in `Score`; incidents that the page of an earlier one tells of are left out.
    weeks : float
        Observed normal time.
    """

    incidents: int
    caught: int
    caught_in_time: int
    false_pages: int
    weeks: float

    @classmethod
    def of(cls, scores: Sequence[Score], max_delay_ms: int) -> Tally:
        """Add up scores."""
        return cls(
            incidents=sum(found.required for found in scores),
            caught=sum(found.caught for found in scores),
            caught_in_time=sum(found.caught_within(max_delay_ms) for found in scores),
            false_pages=sum(found.false_pages for found in scores),
            weeks=sum(found.weeks for found in scores),
        )

    @property
    def false_pages_per_week(self) -> float:
        """False pages for each week of observed normal time."""
        return self.false_pages / self.weeks if self.weeks else float("nan")


@dataclass(frozen=True, slots=True)
class Fold:
    """One step of the chain: tuned on everything before `period`, scored on it.

    Attributes
    ----------
    period : Interval
        The unseen weeks.
    setting : Setting
        What tuning on the weeks before gave.
    current, proposed : Score
        Both rules on the unseen weeks.
    """

    period: Interval
    setting: Setting
    current: Score
    proposed: Score


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Sums over the folds of a forward chain."""

    folds: tuple[Fold, ...]
    current: Tally
    proposed: Tally

    @property
    def worse(self) -> bool:
        """Whether tuning did worse than leaving the rule alone: more missed, or as many and more noise."""
        missed = [t.incidents - t.caught_in_time for t in (self.proposed, self.current)]
        if missed[0] != missed[1]:
            return missed[0] > missed[1]
        return self.proposed.false_pages > self.current.false_pages


def folds_of(period: Interval) -> tuple[Interval, ...]:
    """Split the second half of a period into up to three test blocks of whole weeks.

    Examples
    --------
    >>> from kmon_analysis.timing import WEEK_MS
    >>> [(f.start_ms // WEEK_MS, f.end_ms // WEEK_MS) for f in folds_of(Interval(0, 10 * WEEK_MS))]
    [(4, 6), (6, 8), (8, 10)]
    """
    weeks = whole_weeks(period)
    if weeks < MIN_WEEKS:
        return ()
    length = max(1, weeks // 5)
    first = weeks - 3 * length
    starts = [period.start_ms + (first + block * length) * WEEK_MS for block in range(3)]
    ends = [*starts[1:], period.end_ms]
    return tuple(Interval(start, end) for start, end in zip(starts, ends, strict=True))


def forward_chain(replay: RuleBacktest, found: Sequence[Plateau], budget: Budget, current: Setting) -> HeldOut | None:
    """Score each test block with what tuning on the weeks before it gave.

    Parameters
    ----------
    found : sequence of Plateau
        For each of `folds_of` the best one that was known at its start.

    Returns
    -------
    HeldOut or None
        None with fewer than six weeks, or without incidents on both sides.
    """
    tested = []
    for block, plateau in zip(folds_of(replay.period), found, strict=True):
        if not plateau.feasible or plateau.weakest is None:
            continue
        setting = place(plateau, budget, current)
        at = setting.at
        tested.append(
            Fold(
                period=block,
                setting=setting,
                current=replay.score(current.threshold, period=block),
                proposed=replay.score(setting.threshold, period=block, **at),
            )
        )
    if not any(fold.current.incidents for fold in tested):
        return None
    return HeldOut(
        folds=tuple(tested),
        current=Tally.of([fold.current for fold in tested], budget.max_delay_ms),
        proposed=Tally.of([fold.proposed for fold in tested], budget.max_delay_ms),
    )


@dataclass(frozen=True, slots=True)
class LeftOut:
    """One example scored by a rule that was tuned without it.

    Attributes
    ----------
    incident : str
        The id of its incident, or the ids of all of them.
    setting : Setting or None
        What tuning without it gave; None where no threshold separates.
    caught : bool
        Whether that rule finds all of it in time.
    """

    incident: str
    setting: Setting | None
    caught: bool


def leave_one_out(
    replay: RuleBacktest,
    examples: Sequence[tuple[str, ...]],
    found: Sequence[Plateau],
    budget: Budget,
    current: Setting,
) -> tuple[LeftOut, ...]:
    """Score each example with what tuning without it gave.

    Parameters
    ----------
    examples : sequence of tuple of str
        The ids of their incidents.
    found : sequence of Plateau
        For each of them the best one without it.

    Notes
    -----
    The left-out incidents stay masked as their credit windows, so that they are not counted as noise. At
    the very edge of the interval this gives (n - 1) / n by construction; inside it is informative.
    """
    scored = []
    for ids, plateau in zip(examples, found, strict=True):
        if not plateau.feasible or plateau.weakest is None:
            scored.append(LeftOut(", ".join(ids), None, False))
            continue
        setting = place(plateau, budget, current)
        at = setting.at
        level = replay.level(setting.threshold)
        hit = all(
            reach.caught_within(level, budget.max_delay_ms) or reach.covered(level)
            for reach in replay.reaches(**at)
            if reach.incident.id in ids
        )
        scored.append(LeftOut(", ".join(ids), setting, hit))
    return tuple(scored)
