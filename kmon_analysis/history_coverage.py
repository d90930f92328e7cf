"""Which part of the samples that a history should hold is there, metric by metric over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kmon_analysis.history import History
from kmon_analysis.history_gaps import Absence, alive
from kmon_analysis.labels import METRIC_NAME
from kmon_analysis.timing import DAY_MS, HOUR_MS, MINUTE_MS, WEEK_MS, Interval

__all__ = ["Coverage", "coverage"]

Floats = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]

_CELLS_MS = (5 * MINUTE_MS, 15 * MINUTE_MS, HOUR_MS, 3 * HOUR_MS, 6 * HOUR_MS, DAY_MS, WEEK_MS)
_MOST_CELLS = 100
# With fewer samples in a cell, one that comes a moment late, in the next cell, would look like a loss.
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
        that is there; NaN where none is expected, since no series of the metric has begun or all have ended.
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
        Any. A series is expected from its first sample to its last one, stale markers not counted; see
        `kmon_analysis.history_gaps`.
    """
    whole = history.interval
    parts = [
        (part.labels.value(METRIC_NAME), alive(part), lacking)
        for part, lacking in zip(history.series, history.absences, strict=True)
        if lacking.samples > 1
    ]
    slowest_ms = max((lacking.step_ms for _, _, lacking in parts), default=MINUTE_MS)
    cell_ms = next(
        (each for each in _CELLS_MS if each >= _LEAST_SAMPLES * slowest_ms and whole.duration_ms <= _MOST_CELLS * each),
        max(-(-whole.duration_ms // _MOST_CELLS), _LEAST_SAMPLES * slowest_ms),
    )
    edges = np.arange(-(-whole.duration_ms // cell_ms) + 1) * cell_ms + whole.start_ms
    edges = np.minimum(edges, whole.end_ms)
    by_metric: dict[str, list[Floats]] = {}
    for metric, times, lacking in parts:
        by_metric.setdefault(metric, []).append(_share(times, lacking, edges))
    names = tuple(sorted(by_metric))
    share = np.full((len(names), len(edges) - 1), np.nan)
    for row, name in enumerate(names):
        for each in by_metric[name]:
            share[row] = np.fmin(share[row], each)
    return Coverage(whole, cell_ms, names, tuple(len(by_metric[name]) for name in names), share)


def _share(times: Int64s, lacking: Absence, edges: Int64s) -> Floats:
    """Return the part of one series' samples that each cell holds, NaN where none is expected."""
    there = np.diff(np.searchsorted(times, edges))
    expected = there + lacking.missing_in(edges)
    share: Floats = np.where(expected > 0, there / np.maximum(expected, 1), np.nan)
    return share
