"""Range functions that need each window's samples in turn: ``first_over_time`` and ``holt_winters``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kmon_analysis.promql.syntax import Expr
from kmon_analysis.promql.values import Context, Int64s, Vector, Windows, distinct, frozen, without_name

__all__ = ["first_over_time", "holt_winters"]


def _window_edges(windows: Windows) -> tuple[Int64s, Int64s]:
    """Return which samples, ``low:high``, lie in each window, both of shape ``(S, T)``."""
    low = np.empty((len(windows.labels), len(windows.refs)), dtype=np.int64)
    high = np.empty_like(low)
    for row, (start, end) in enumerate(zip(windows.starts.tolist(), windows.ends.tolist(), strict=True)):
        times, lefts = windows.times[start:end], windows.refs - windows.range_ms
        low[row] = start + np.searchsorted(times, lefts, side="right" if windows.left_open else "left")
        high[row] = start + np.searchsorted(times, windows.refs, side="right")
    return low, np.maximum(low, high)


def first_over_time(context: Context, args: Sequence[Expr]) -> Vector:
    """Evaluate ``first_over_time(range)``; like ``last_over_time`` it keeps the name."""
    windows = context.windows(args[0])
    low, high = _window_edges(windows)
    present = high > low
    values = np.full(low.shape, np.nan)
    values[present] = windows.values[low[present]]
    return distinct(context, windows.labels, values, present)


def holt_winters(context: Context, args: Sequence[Expr]) -> Vector:
    """Evaluate ``holt_winters(range, smoothing, trend)``.

    Notes
    -----
    Prometheus ``promql/functions.go``, ``funcHoltWinters``: a factor outside of (0, 1) fails the evaluation
    when there is a sample.
    """
    from kmon_analysis.promql import smoothed

    windows = context.windows(args[0])
    smoothing, trend = (frozen(context.scalar(arg), np.float64) for arg in args[1:])
    low, high = _window_edges(windows)
    outside = (smoothing <= 0) | (smoothing >= 1) | (trend <= 0) | (trend >= 1)
    context.fail(outside & np.any(high > low, axis=0))
    values = np.full(low.shape, np.nan)
    smoothed.doubly(windows.values, low, high, smoothing, trend, values)
    return distinct(context, without_name(windows.labels), values, high > low + 1)
