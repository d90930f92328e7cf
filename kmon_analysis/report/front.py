"""The front of (false pages a week, worst delay, missed incidents) over thresholds and candidates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from string import ascii_lowercase

import numpy as np
import numpy.typing as npt

from kmon_analysis.backtest.pages import curve
from kmon_analysis.backtest.rule import RuleBacktest
from kmon_analysis.backtest.score import Score
from kmon_analysis.recommend.candidates import Candidate, Setting

__all__ = ["Outlook", "front", "lettered", "outlook", "rivals", "staircase"]


@dataclass(frozen=True, slots=True)
class Outlook:
    """One setting as the person on call feels it.

    Attributes
    ----------
    false_pages_per_week : float
        For each week of observed normal time.
    worst_delay_ms : int or None
        Longest delay of the incidents found; None when none is.
    missed : int
        Observed incidents that must page and found no page of their own, nor that of an earlier one.
    setting : Setting or None
        The values that do it; None for a given rule.
    """

    false_pages_per_week: float
    worst_delay_ms: int | None
    missed: int
    setting: Setting | None = None


def outlook(score: Score) -> Outlook:
    """Return where a scored rule lies."""
    return Outlook(score.false_pages_per_week, score.worst_delay_ms, score.required - score.caught)


def front(
    replay: RuleBacktest,
    tried: Iterable[Candidate],
    *,
    firing_ratio: float = 0.01,
    keep_firing_for_ms: int | None = None,
) -> tuple[Outlook, ...]:
    """Find the settings that no other one beats in all three.

    Parameters
    ----------
    replay : RuleBacktest
        The rule on its history.
    tried : iterable of Candidate
        Windows and ``for`` durations; thresholds are swept.
    firing_ratio : float
        Settings that fire for a larger share of normal time are left out: a threshold so low that the
        alert never ends would look like a single page.
    keep_firing_for_ms : int, optional
        Of the settings returned; None: the rule's own.

    Returns
    -------
    tuple of Outlook
        Ascending in missed incidents, then in false pages. Exact over real thresholds.
    """
    keep = replay.rule.keep_firing_for_ms if keep_firing_for_ms is None else keep_firing_for_ms
    found: list[Outlook] = []
    for candidate in tried:
        found += _best_of(replay, candidate, firing_ratio, keep)
    return _undominated(found)


def _best_of(replay: RuleBacktest, candidate: Candidate, firing_ratio: float, keep_ms: int) -> list[Outlook]:
    """Return the quietest setting between any two thresholds at which detection changes."""
    at = candidate.at
    firing = replay.firing(**at)
    signal, quiet = firing.signal, firing.windows.quiet
    weeks = firing.windows.quiet_weeks(signal.step_ms)
    must = [reach for reach in replay.reaches(**at) if reach.required]
    if not must or not weeks or not math.isfinite(signal.lowest_level):
        return []
    everywhere = curve(firing)
    calm = everywhere.firing_time.lowest_of_falling_within(firing_ratio * np.count_nonzero(quiet))
    levels, counts = everywhere.false_pages.steps(calm)
    # Detection changes at these levels only; between them the quietest level is as good as any.
    changes = np.concatenate([np.append(reach.levels, [reach.already, reach.stuck]) for reach in must])
    breaks = np.unique(np.concatenate([[calm], changes[(changes > calm) & np.isfinite(changes)]]))
    found = []
    for begin, end in zip(breaks, [*breaks[1:], math.inf], strict=True):
        caught = [reach for reach in must if reach.status(begin) in ("caught", "early")]
        if not caught:
            continue
        first = int(np.searchsorted(levels, begin, side="right")) - 1
        last = max(first + 1, int(np.searchsorted(levels, end, side="left")))
        place = first + int(np.argmin(counts[first:last]))
        level = max(float(levels[place]), float(begin))
        threshold = signal.threshold(level if math.isfinite(level) else math.nextafter(signal.lowest_level, -math.inf))
        setting = Setting(threshold, candidate.window_ms, candidate.for_ms, keep_ms, replay.knobs.hours)
        worst = max(reach.delay_ms(begin) or 0 for reach in caught)
        missed = len(must) - len(caught) - sum(reach.covered(begin) for reach in must)
        found.append(Outlook(int(counts[place]) / weeks, worst, missed, setting))
    return found


def _undominated(found: Sequence[Outlook]) -> tuple[Outlook, ...]:
    """Keep what nothing beats: sort and sweep, once for each number of missed incidents."""
    kept: list[Outlook] = []
    for missed in sorted({point.missed for point in found}):
        least = np.inf
        rivals = [p for p in kept if p.missed < missed] + [p for p in found if p.missed == missed]
        rivals.sort(key=lambda p: (p.false_pages_per_week, p.worst_delay_ms or 0, p.missed))
        for point in rivals:
            if (point.worst_delay_ms or 0) < least:
                least = float(point.worst_delay_ms or 0)
                if point.missed == missed:
                    kept.append(point)
    return tuple(kept)


def rivals(points: Sequence[Outlook], proposed: Outlook) -> tuple[Outlook, ...]:
    """Return the points that are as good as a proposal in all three, and better in one: what asks for a reason.

    Examples
    --------
    >>> rivals((Outlook(0.0, 60_000, 0), Outlook(0.5, 30_000, 0)), Outlook(0.2, 60_000, 0))
    (Outlook(false_pages_per_week=0.0, worst_delay_ms=60000, missed=0, setting=None),)
    """
    at = _three(proposed)
    return tuple(
        point
        for point in points
        if _three(point) != at and all(mine <= theirs for mine, theirs in zip(_three(point), at, strict=True))
    )


def _three(point: Outlook) -> tuple[float, float, float]:
    # Rates are quotients: the same count over the same weeks may differ in the last place.
    delay = math.inf if point.worst_delay_ms is None else point.worst_delay_ms
    return (round(point.false_pages_per_week, 9), delay, point.missed)


def lettered(points: Sequence[Outlook], proposed: Outlook | None) -> dict[Outlook, str]:
    """Give the rivals of a proposal letters, by which picture and table call them; the quietest is "a"."""
    found = [] if proposed is None else sorted(rivals(points, proposed), key=_three)
    return dict(zip(found, ascii_lowercase, strict=False))


def staircase(points: Sequence[Outlook]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return false pages a week and worst delay in minutes of points on one stair, ascending."""
    ordered = sorted(points, key=lambda p: p.false_pages_per_week)
    return (
        np.array([p.false_pages_per_week for p in ordered]),
        np.array([(p.worst_delay_ms or 0) / 60_000 for p in ordered]),
    )
