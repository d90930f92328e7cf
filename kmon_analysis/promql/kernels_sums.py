"""Compiled sums over windows: compensated, averages, deviations and lines."""

from __future__ import annotations

import numpy as np

from kmon_analysis.promql.compiled import bounds, compiled
from kmon_analysis.promql.kernels_lanes import (
    LANES,
    alongside,
    deviations_alongside,
    lines_alongside,
    means_alongside,
    sums_alongside,
)
from kmon_analysis.promql.values import Bools, Floats, Int64s

__all__ = ["average_done", "average_step", "deviations", "kadd", "regressions", "sums"]


@compiled
def kadd(x: float, s: float, c: float, guard: bool) -> tuple[float, float]:
    """Add `x` to the sum `s` with compensation `c`; `guard` keeps `c` clean when the sum is infinite.

    Notes
    -----
    Prometheus ``promql/functions.go``, ``kahanSumInc`` (Neumaier's variant).
    """
    u = s + x
    if guard and np.isinf(u):
        return u, 0.0
    # Chosen without a branch: which of the two is larger cannot be predicted.
    larger, smaller = (s, x) if abs(s) >= abs(x) else (x, s)
    return u, c + ((larger - u) + smaller)


@compiled
def average_step(
    x: float, n: float, s: float, c: float, incremental: bool, mode: int, guard: bool
) -> tuple[float, float, bool]:
    """Add the `n`-th value to an average; `s` is the sum, or the mean once `incremental`.

    Modes: 0 mean without compensation, 1 compensated mean, 2 the same corrected, 3 sum first, corrected mean
    when that overflows, 4 sum first, scaled mean when that overflows.
    """
    if mode >= 3 and not incremental:
        u, d = kadd(x, s, c, guard)
        if n == 1 or not np.isinf(u):
            return u, d, False
        incremental = True
        s /= n - 1
        c /= n - 1
    if mode == 4:
        share = (n - 1.0) / n
        s, c = kadd(x / n, share * s, share * c, guard)
        return s, c, True
    if np.isinf(s):
        if np.isinf(x) and (s > 0) == (x > 0):
            return s, c, incremental
        if not np.isinf(x) and not np.isnan(x):
            return s, c, incremental
    if mode == 0:
        return s + (x / n - s / n), c, incremental
    mean = s if mode == 1 else s + c
    s, c = kadd(x / n - mean / n, s, c, guard)
    return s, c, incremental


@compiled
def average_done(n: float, s: float, c: float, incremental: bool, mode: int) -> float:
    """Return the average of `n` values."""
    if mode >= 3 and not incremental:
        return (s + c) / n if mode == 3 else s / n + c / n
    if mode == 0 or np.isinf(s):
        return s
    return s + c


@compiled
def _alone(window: Floats, average: bool, mode: int, guard: bool) -> float:
    """Sum or average of one window, whatever is in it."""
    total, rest, incremental = 0.0, 0.0, False
    if average:
        for k in range(len(window)):
            total, rest, incremental = average_step(window[k], k + 1.0, total, rest, incremental, mode, guard)
        return average_done(float(len(window)), total, rest, incremental, mode)
    for k in range(len(window)):
        total, rest = kadd(window[k], total, rest, guard)
    return total if np.isinf(total) else total + rest


@compiled
def sums(
    starts: Int64s,
    ends: Int64s,
    times: Int64s,
    values: Floats,
    refs: Int64s,
    range_ms: int,
    left_open: bool,
    average: bool,
    mode: int,
    guard: bool,
    out: Floats,
    present: Bools,
) -> None:
    """`sum_over_time`, or with `average` `avg_over_time` in the given mode of `average_step`.

    Notes
    -----
    Where all values are whole and so small that no partial sum is rounded, the compensated sum equals the
    difference of running integer sums; lags and counts take this way at any length of window.
    """
    low = np.empty(len(refs), np.int64)
    high = np.empty(len(refs), np.int64)
    longest = 0
    for s in range(len(starts)):
        longest = max(longest, ends[s] - starts[s])
    running = np.empty(longest + 1, np.int64)
    lanes = np.empty((3, LANES))
    for s in range(len(starts)):
        start, end = starts[s], ends[s]
        bounds(times, start, end, refs, range_ms, left_open, low, high)
        whole = not average or mode >= 3
        if whole:
            largest = 0.0
            for i in range(start, end):
                value = values[i]
                if not (abs(value) < 2.0**53 and value == np.floor(value)):
                    whole = False
                    break
                largest = max(largest, abs(value))
            whole = whole and largest * (end - start) <= 2.0**53
        if whole:
            running[0] = 0
            for i in range(start, end):
                running[i - start + 1] = running[i - start] + np.int64(values[i])
        lane = width = 0
        for t in range(len(refs)):
            i, j = low[t], high[t]
            present[s, t] = j > i
            out[s, t] = np.nan
            if j <= i:
                continue
            if whole:
                total = float(running[j - start] - running[i - start])
                out[s, t] = total / (j - i) if average else total
                continue
            lane += 1
            if lane >= width:
                lane, width = 0, alongside(low, high, t)
                if average and mode < 3:
                    means_alongside(values, i, j - i, mode == 2, lanes[0, :width], lanes[1, :width], lanes[2, :width])
                else:
                    sums_alongside(values, i, j - i, lanes[0, :width], lanes[1, :width])
            total, rest = lanes[0, lane], lanes[1, lane]
            if not np.isfinite(total):
                out[s, t] = _alone(values[i:j], average, mode, guard)
            elif average:
                out[s, t] = average_done(float(j - i), total, rest, False, mode)
            else:
                out[s, t] = total + rest


@compiled
def deviations(
    starts: Int64s,
    ends: Int64s,
    times: Int64s,
    values: Floats,
    refs: Int64s,
    range_ms: int,
    left_open: bool,
    root: bool,
    guard: bool,
    out: Floats,
    present: Bools,
) -> None:
    """`stdvar_over_time`, or with `root` `stddev_over_time` (Prometheus ``varianceOverTime``)."""
    low = np.empty(len(refs), np.int64)
    high = np.empty(len(refs), np.int64)
    lanes = np.empty((6, LANES))
    for s in range(len(starts)):
        bounds(times, starts[s], ends[s], refs, range_ms, left_open, low, high)
        lane = width = 0
        for t in range(len(refs)):
            i, j = low[t], high[t]
            present[s, t] = j > i
            out[s, t] = np.nan
            if j <= i:
                continue
            lane += 1
            if lane >= width:
                lane, width = 0, alongside(low, high, t)
                deviations_alongside(values, i, j - i, width, lanes)
            total, rest = lanes[2, lane], lanes[3, lane]
            if not np.isfinite(total):
                mean = mean_rest = total = rest = 0.0
                for k in range(i, j):
                    delta = values[k] - (mean + mean_rest)
                    mean, mean_rest = kadd(delta / (k - i + 1.0), mean, mean_rest, guard)
                    total, rest = kadd(delta * (values[k] - (mean + mean_rest)), total, rest, guard)
            variance = (total + rest) / (j - i)
            out[s, t] = np.sqrt(variance) if root else variance


@compiled
def regressions(
    starts: Int64s,
    ends: Int64s,
    times: Int64s,
    values: Floats,
    refs: Int64s,
    range_ms: int,
    left_open: bool,
    origins: Int64s,
    ahead: Floats,
    predict: bool,
    guard: bool,
    out: Floats,
    present: Bools,
) -> None:
    """`deriv`, or with `predict` `predict_linear` by `ahead[t]` seconds from `origins[t]`.

    Notes
    -----
    Prometheus ``promql/functions.go``, ``linearRegression``. Milliseconds are exact as floats: less than 2**53.
    """
    low = np.empty(len(refs), np.int64)
    high = np.empty(len(refs), np.int64)
    longest = 0
    for s in range(len(starts)):
        longest = max(longest, ends[s] - starts[s])
    moments = np.empty(longest)
    same_since = np.empty(longest, np.int64)
    zeros = origins.astype(np.float64)
    lanes = np.empty((10, LANES))
    for s in range(len(starts)):
        start, end = starts[s], ends[s]
        bounds(times, start, end, refs, range_ms, left_open, low, high)
        for k in range(start, end):
            moments[k - start] = times[k]
            repeated = k > start and values[k] == values[k - 1]
            same_since[k - start] = same_since[k - start - 1] if repeated else k
        lane = width = 0
        for t in range(len(refs)):
            i, j = low[t], high[t]
            present[s, t] = j > i + 1
            out[s, t] = np.nan
            if j <= i + 1:
                continue
            n = float(j - i)
            lane += 1
            if lane >= width:
                lane, width = 0, alongside(low, high, t)
                first = i - start
                zero = zeros[t : t + width] if predict else moments[first : first + width]
                lines_alongside(moments, values[start:end], first, j - i, width, zero, lanes)
            sx, cx, sy, cy = lanes[0, lane], lanes[1, lane], lanes[2, lane], lanes[3, lane]
            sxy, cxy, sxx, cxx = lanes[4, lane], lanes[5, lane], lanes[6, lane], lanes[7, lane]
            if not (np.isfinite(sy) and np.isfinite(sxy)):
                sx = cx = sy = cy = sxy = cxy = sxx = cxx = 0.0
                for k in range(i, j):
                    x = (moments[k - start] - (zeros[t] if predict else moments[i - start])) / 1000.0
                    sx, cx = kadd(x, sx, cx, guard)
                    sy, cy = kadd(values[k], sy, cy, guard)
                    sxy, cxy = kadd(x * values[k], sxy, cxy, guard)
                    sxx, cxx = kadd(x * x, sxx, cxx, guard)
            if same_since[j - 1 - start] <= i:
                slope, intercept = 0.0, values[i]
                if np.isinf(intercept):
                    slope = intercept = np.nan
            else:
                sx += cx
                sy += cy
                covariance = (sxy + cxy) - sx * sy / n
                variance = (sxx + cxx) - sx * sx / n
                slope = covariance / variance
                intercept = sy / n - slope * sx / n
            out[s, t] = slope * ahead[t] + intercept if predict else slope
