"""Compiled sums over neighbouring windows side by side, so that one instruction serves several of them.

Lane l is the window that begins and ends l samples after the first one. Every lane adds in the order of time, as
it would alone. A sum that was infinite or NaN once never becomes finite again: a finite result has met no special
case, and callers compute the others alone.
"""

from __future__ import annotations

from kmon_analysis.promql.compiled import compiled
from kmon_analysis.promql.values import Floats, Int64s

__all__ = ["LANES", "add", "alongside", "deviations_alongside", "lines_alongside", "means_alongside", "sums_alongside"]

# What is kept for so many windows stays in the fastest cache.
LANES = 64


@compiled
def alongside(low: Int64s, high: Int64s, t: int) -> int:
    """Return how many windows from `t` on each begin and end one sample after the one before, at most `LANES`."""
    width = 1
    while width < LANES and t + width < len(low):
        if low[t + width] != low[t] + width or high[t + width] != high[t] + width:
            break
        width += 1
    return width


@compiled
def add(x: Floats, s: Floats, c: Floats) -> None:
    """Add `x` to the sums `s` with compensations `c`, as `kernels_sums.kadd` does where all is finite."""
    for lane in range(len(x)):
        u = s[lane] + x[lane]
        larger, smaller = (s[lane], x[lane]) if abs(s[lane]) >= abs(x[lane]) else (x[lane], s[lane])
        c[lane] += (larger - u) + smaller
        s[lane] = u


@compiled
def sums_alongside(values: Floats, first: int, n: int, s: Floats, c: Floats) -> None:
    """Write sums and compensations of ``len(s)`` windows of `n` samples from sample `first` on."""
    s[:] = 0.0
    c[:] = 0.0
    for m in range(first, first + n):
        add(values[m : m + len(s)], s, c)


@compiled
def means_alongside(values: Floats, first: int, n: int, corrected: bool, s: Floats, c: Floats, x: Floats) -> None:
    """Write means and compensations, mode 1 of `kernels_sums.average_step`, or 2 if `corrected`; `x` is scratch."""
    s[:] = 0.0
    c[:] = 0.0
    for m in range(n):
        part = values[first + m : first + m + len(s)]
        count = m + 1.0
        if corrected:
            for lane in range(len(x)):
                x[lane] = part[lane] / count - (s[lane] + c[lane]) / count
        else:
            for lane in range(len(x)):
                x[lane] = part[lane] / count - s[lane] / count
        add(x, s, c)


@compiled
def deviations_alongside(values: Floats, first: int, n: int, width: int, state: Floats) -> None:
    """Write sums of squared deviations and their compensations into rows 2 and 3 of `state`, shape ``(6, LANES)``."""
    state[:4] = 0.0
    mean, mean_rest, total, rest = state[0, :width], state[1, :width], state[2, :width], state[3, :width]
    delta, x = state[4, :width], state[5, :width]
    for m in range(n):
        part = values[first + m : first + m + len(x)]
        count = m + 1.0
        for lane in range(len(x)):
            delta[lane] = part[lane] - (mean[lane] + mean_rest[lane])
        for lane in range(len(x)):
            x[lane] = delta[lane] / count
        add(x, mean, mean_rest)
        for lane in range(len(x)):
            x[lane] = part[lane] - (mean[lane] + mean_rest[lane])
        for lane in range(len(x)):
            x[lane] *= delta[lane]
        add(x, total, rest)


@compiled
def lines_alongside(
    moments: Floats, values: Floats, first: int, n: int, width: int, origins: Floats, state: Floats
) -> None:
    """Write the sums of x, y, xy, xx, each followed by its compensation, into rows 0 to 7 of `state` ``(10, LANES)``.

    `moments` are the times of the samples in milliseconds, of which ``origins[lane]`` is the zero of x.
    """
    state[:8] = 0.0
    x, product = state[8, :width], state[9, :width]
    sx, cx, sy, cy = state[0, :width], state[1, :width], state[2, :width], state[3, :width]
    sxy, cxy, sxx, cxx = state[4, :width], state[5, :width], state[6, :width], state[7, :width]
    for m in range(first, first + n):
        time, y = moments[m : m + len(x)], values[m : m + len(x)]
        for lane in range(len(x)):
            x[lane] = (time[lane] - origins[lane]) / 1000.0
        add(x, sx, cx)
        add(y, sy, cy)
        for lane in range(len(x)):
            product[lane] = x[lane] * y[lane]
        add(product, sxy, cxy)
        for lane in range(len(x)):
            product[lane] = x[lane] * x[lane]
        add(product, sxx, cxx)
