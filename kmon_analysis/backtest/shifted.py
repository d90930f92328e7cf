"""Whether a list of incidents looks as if its times were read in another zone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kmon_analysis.backtest.examples import examples_of
from kmon_analysis.backtest.score import Outcome, Score
from kmon_analysis.incidents import labels_agree
from kmon_analysis.timing import HOUR_MS, MINUTE_MS, duration

__all__ = ["shifted_sentence"]

Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# Differences of zones in use: whole hours, some half and three quarter ones, up to those of the Line Islands.
_SHIFTS_MS = tuple(sign * part * 15 * MINUTE_MS for part in range(2, 14 * 4 + 1) if part % 4 != 1 for sign in (-1, 1))
# A page this near to the shifted start is taken for that of the incident.
_BEFORE_MS, _AFTER_MS = 5 * MINUTE_MS, 25 * MINUTE_MS
_FEWEST, _LOST, _CAUGHT = 3, 0.5, 0.75
_CHANCE = 0.01


def shifted_sentence(score: Score) -> str | None:
    """Say by what shift the incidents would have been found, if most were missed and a shift finds most.

    Parameters
    ----------
    score : Score
        Of a rule as it is.

    Returns
    -------
    str or None
        None where nothing speaks for a shift: fewer than three incidents, more than half of them found, or pages so
        frequent that some shift would find as many by chance (one time in a hundred over all shifts tried).

    Notes
    -----
    A list may lie across a change of the clocks, so that a shift is tried together with the one an hour further.
    """
    # A copy of an incident has its page where the other one has: it is no trial of its own.
    seen = [example.outcomes[0] for example in examples_of(score.outcomes, causes=False)]
    lost = sum(not each.found for each in seen)
    if len(seen) < _FEWEST or lost < _LOST * len(seen):
        return None
    pages = [_starts(score, outcome) for outcome in seen]
    begun = np.array([each.incident.interval.start_ms for each in seen], dtype=np.int64)
    best: tuple[int, int, tuple[int, ...]] | None = None
    for width, pair in _tried():
        hits = sum(
            any(_near(found, start + shift) for shift in pair) for found, start in zip(pages, begun, strict=True)
        )
        if hits < max(_FEWEST, _CAUGHT * len(seen)) or hits <= len(seen) - lost:
            continue
        odds = [min(1.0, len(pair) * _cover(found, score)) for found in pages]
        if _tail(odds, hits) * len(_SHIFTS_MS) * 2 > _CHANCE:
            continue
        # The simplest explanation: most hits, then one shift before two, then the smallest.
        key = (-hits, width, pair)
        if best is None or (key[0], key[1], abs(pair[0])) < (best[0], best[1], abs(best[2][0])):
            best = key
    if best is None:
        return None
    used = sorted({abs(shift) for shift in best[2]})
    side = "earlier" if best[2][0] < 0 else "later"
    spans = " or ".join(duration(each) for each in used)
    return f"{-best[0]} of {len(seen)} incidents have a page {spans} {side} than listed"


def _tried() -> list[tuple[int, tuple[int, ...]]]:
    single = [(1, (shift,)) for shift in _SHIFTS_MS]
    known = set(_SHIFTS_MS)
    pairs = [
        (2, (shift, shift + (HOUR_MS if shift > 0 else -HOUR_MS)))
        for shift in _SHIFTS_MS
        if shift + (HOUR_MS if shift > 0 else -HOUR_MS) in known
    ]
    return [*single, *pairs]


def _starts(score: Score, outcome: Outcome) -> Int64s:
    """Return when pages that can be the incident's begin, ascending."""
    wanted = outcome.incident.labels
    starts = (page.episode.interval.start_ms for page in score.pages if labels_agree(wanted, page.episode.labels))
    return np.array(sorted(starts), dtype=np.int64)


def _near(starts: Int64s, instant: int) -> bool:
    low, high = np.searchsorted(starts, [instant - _BEFORE_MS, instant + _AFTER_MS])
    return bool(high > low)


def _cover(starts: Int64s, score: Score) -> float:
    """Return the share of the period in which an instant would be near a page by chance."""
    if not len(starts):
        return 0.0
    width = _BEFORE_MS + _AFTER_MS
    covered = int(np.minimum(np.diff(starts), width).sum()) + width
    return min(1.0, covered / score.period.duration_ms)


def _tail(odds: Sequence[float], hits: int) -> float:
    """Return the chance of at least so many successes of independent trials."""
    counts: Floats = np.array([1.0])
    for chance in odds:
        counts = np.convolve(counts, [1 - chance, chance])
    return math.fsum(counts[hits:].tolist())
