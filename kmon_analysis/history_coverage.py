"""Which part of the samples that a history should hold is there, metric by metric over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kmon_analysis.history import History
from kmon_analysis.labels import METRIC_NAME
from kmon_analysis.series import Samples, is_stale
from kmon_analysis.timing import DAY_MS, HOUR_MS, MINUTE_MS, WEEK_MS, Interval

__all__ = ["Coverage", "coverage"]

Floats = npt.NDArray[np.float64]

_CELLS_MS = (5 * MINUTE_MS, 15 * MINUTE_MS, HOUR_MS, 3 * HOUR_MS, 6 * HOUR_MS, DAY_MS, WEEK_MS)
_MOST_CELLS = 100
# With fewer samples in a cell, one that comes a moment late would look like a gap.
_LEAST_SAMPLES = 20


@dataclass(frozen=True, slots=True)
class Coverage:
    """What is there.

    Attributes
    ----------
    interval : Interval
        Range of the history.
    cell_ms : int
        Length of a cell; the last one may be cut.
    metrics : tuple of str
        Names, sorted.
    series : tuple of int
        How many series each has in all.
    share : float64 array, shape (metrics, cells)
        Of the samples that the worst series of the metric should have in the cell, by its own usual step, the part
        that is there; NaN where no series of the metric lives.
    """

    interval: Interval
    cell_ms: int
    metrics: tuple[str, ...]
    series: tuple[int, ...]
    share: Floats


def coverage(history: History) -> Coverage:
    """Compare the samples of a history with those that regular scrapes would have left.

    Parameters
    ----------
    history : History
        Any. A series is expected from its first sample to its last one, stale markers not counted.
    """
    whole = history.interval
    parts = [Samples(part.labels, part.times[kept], part.values[kept]) for part, kept in _alive(history)]
    parts = [part for part in parts if len(part.times) > 1]
    slowest_ms = max((_step(part) for part in parts), default=MINUTE_MS)
    cell_ms = next(
        (each for each in _CELLS_MS if each >= _LEAST_SAMPLES * slowest_ms and whole.duration_ms <= _MOST_CELLS * each),
        max(-(-whole.duration_ms // _MOST_CELLS), _LEAST_SAMPLES * slowest_ms),
    )
    edges = np.arange(-(-whole.duration_ms // cell_ms) + 1) * cell_ms + whole.start_ms
    edges = np.minimum(edges, whole.end_ms)
    by_metric: dict[str, list[Floats]] = {}
    for part in parts:
        by_metric.setdefault(part.labels.value(METRIC_NAME), []).append(_share(part, edges))
    names = tuple(sorted(by_metric))
    share = np.full((len(names), len(edges) - 1), np.nan)
    for row, name in enumerate(names):
        for each in by_metric[name]:
            share[row] = np.fmin(share[row], each)
    return Coverage(whole, cell_ms, names, tuple(len(by_metric[name]) for name in names), share)


def _alive(history: History) -> list[tuple[Samples, npt.NDArray[np.bool_]]]:
    return [(part, ~is_stale(part.values)) for part in history.series]


def _step(part: Samples) -> int:
    return max(int(np.median(np.diff(part.times))), 1)


def _share(part: Samples, edges: npt.NDArray[np.int64]) -> Floats:
    """Return the part of one series in each cell, NaN where it lives for less than half of it."""
    step_ms = _step(part)
    counts = np.diff(np.searchsorted(part.times, edges))
    low, high = np.maximum(edges[:-1], part.times[0]), np.minimum(edges[1:], part.times[-1] + step_ms)
    lives = high - low
    # Of the scrapes of a cell one may fall just outside.
    share = np.where(counts > 0, np.minimum((counts + 1) * step_ms / np.maximum(lives, 1), 1.0), 0.0)
    found: Floats = np.where((2 * lives >= np.diff(edges)) & (lives >= step_ms), share, np.nan)
    return found
