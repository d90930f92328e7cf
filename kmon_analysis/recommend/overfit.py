"""Whether the search finds something that lasts, or fits noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kmon_analysis.backtest.pages import curve, episodes, touches
from kmon_analysis.backtest.rule import RuleBacktest
from kmon_analysis.recommend.candidates import Budget
from kmon_analysis.recommend.chance import overfitting_probability
from kmon_analysis.recommend.choose import Plateau

__all__ = ["loss_matrix", "overfit_ratio"]

BLOCKS = 8
THRESHOLDS_PER_CANDIDATE = 8
# A miss weighs more than any number of pages that a block can hold: constraint first, cost second.
MISS = 1e6


def _tried_levels(replay: RuleBacktest, found: Plateau, budget: Budget) -> npt.NDArray[np.float64]:
    """Pick levels from "ten times too noisy" to "never fires", evenly or by ratio."""
    firing = replay.firing(window_ms=found.candidate.window_ms, for_ms=found.candidate.for_ms)
    signal = firing.signal
    noisy = 10 * budget.false_pages_per_week * firing.windows.quiet_weeks(signal.step_ms)
    low = max(curve(firing).false_pages.lowest_within(noisy), signal.lowest_level)
    high = signal.highest_level
    if low > 0 and high > 4 * low:
        return np.unique(np.geomspace(low, high, THRESHOLDS_PER_CANDIDATE))
    return np.unique(np.linspace(low, high, THRESHOLDS_PER_CANDIDATE))


def loss_matrix(replay: RuleBacktest, found: Sequence[Plateau], budget: Budget) -> npt.NDArray[np.float64]:
    """Score many settings on blocks of the history.

    Returns
    -------
    float64 array, shape (BLOCKS, C)
        False pages, and a large loss for each incident not found in time, by block of their start.
    """
    start, end = replay.period.start_ms, replay.period.end_ms
    edges = np.linspace(start, end, BLOCKS + 1)
    columns = []
    for plateau in found:
        at = plateau.candidate.at
        firing = replay.firing(**at)
        if not np.isfinite(firing.signal.lowest_level):
            continue
        reaches = [reach for reach in replay.reaches(**at) if reach.required]
        for level in _tried_levels(replay, plateau, budget):
            false = [
                episode.interval.start_ms
                for episode in episodes(firing, float(level))
                if not touches(episode, firing, float(level), firing.windows.credited[episode.group])
            ]
            missed = [
                reach.incident.interval.start_ms
                for reach in reaches
                if not reach.caught_within(float(level), budget.max_delay_ms) and not reach.covered(float(level))
            ]
            columns.append(np.histogram(false, edges)[0] + MISS * np.histogram(missed, edges)[0])
    return np.array(columns, dtype=np.float64).reshape(-1, BLOCKS).T


def overfit_ratio(replay: RuleBacktest, found: Sequence[Plateau], budget: Budget) -> float | None:
    """Return the probability of backtest overfitting of the search.

    Notes
    -----
    Bailey, Borwein, López de Prado, Zhu (2015), combinatorially symmetric cross-validation.
    """
    losses = loss_matrix(replay, found, budget)
    if losses.shape[1] < 2:
        return None
    return overfitting_probability(losses, BLOCKS)
