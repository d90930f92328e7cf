"""Compiled double exponential smoothing."""

from __future__ import annotations

from kmon_analysis.promql.compiled import compiled
from kmon_analysis.promql.values import Floats, Int64s

__all__ = ["doubly"]


@compiled
def doubly(values: Floats, low: Int64s, high: Int64s, smoothing: Floats, trend: Floats, out: Floats) -> None:
    """Write the smoothed last value of each window ``low[s, t]:high[s, t]`` with two or more samples."""
    for s in range(out.shape[0]):
        for t in range(out.shape[1]):
            i, j = low[s, t], high[s, t]
            if j - i < 2:
                continue
            before, level, slope = 0.0, values[i], values[i + 1] - values[i]
            for k in range(i + 1, j):
                if k > i + 1:
                    slope = trend[t] * (level - before) + (1.0 - trend[t]) * slope
                before, level = level, smoothing[t] * values[k] + (1.0 - smoothing[t]) * (level + slope)
            out[s, t] = level
