"""Compiled loops over the samples in windows: selectors and functions of range vectors.

Every kernel takes the samples of all series end to end (see `values.Windows`), walks each series once with
two pointers and writes one row of `out` (NaN where absent) and `present`. Sums go sample by sample in the
order of time, because that is what Prometheus does and rounding depends on it.
"""

# Argument types are the compiler's business.
# ruff: noqa: ANN001, ANN201, ANN202
# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numba
import numpy as np

__all__ = [
    "average_done",
    "average_step",
    "counts",
    "deviations",
    "extremes",
    "instant_rates",
    "kadd",
    "last_samples",
    "quantile_of_sorted",
    "quantiles",
    "rates",
    "regressions",
    "sums",
]

STALE_BITS = np.int64(0x7FF0000000000002)

_jit = numba.njit(cache=True, nogil=True, error_model="numpy")


@_jit
def kadd(x, s, c, guard):
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


@_jit
def _bounds(times, start, end, refs, range_ms, left_open, low, high):
    """Write for each reference time which samples, ``low[t]:high[t]``, lie in its window."""
    if len(refs) == 0:
        return
    # Halve the way to the first window; from there on both edges only move forward.
    i, stop = start, end
    while i < stop:
        middle = (i + stop) // 2
        if times[middle] < refs[0] - range_ms:
            i = middle + 1
        else:
            stop = middle
    j = i
    for t in range(len(refs)):
        right = refs[t]
        left = right - range_ms
        while j < end and times[j] <= right:
            j += 1
        while i < j and (times[i] < left or (left_open and times[i] == left)):
            i += 1
        low[t] = i
        high[t] = j


@_jit
def last_samples(starts, ends, times, values, refs, range_ms, left_open, want_times, out, present):
    """Newest sample in each window (value, or time in seconds), absent where that is a stale marker."""
    low = np.empty(len(refs), np.int64)
    high = np.empty(len(refs), np.int64)
    bits = values.view(np.int64)
    for s in range(len(starts)):
        _bounds(times, starts[s], ends[s], refs, range_ms, left_open, low, high)
        for t in range(len(refs)):
            i = high[t] - 1
            there = high[t] > low[t] and bits[i] != STALE_BITS
            present[s, t] = there
            out[s, t] = np.nan
            if there:
                out[s, t] = times[i] / 1000.0 if want_times else values[i]


@_jit
def rates(starts, ends, times, values, refs, range_ms, left_open, counter, seconds, clamp_first, out, present):
    """`rate` (`seconds` = range), `increase` and `delta` (`seconds` = 0).

    Notes
    -----
    Prometheus ``promql/functions.go``, ``extrapolatedRate``. A window only visits its resets; their values
    are added one after the other, as there.
    """
    low = np.empty(len(refs), np.int64)
    high = np.empty(len(refs), np.int64)
    longest = 0
    for s in range(len(starts)):
        longest = max(longest, ends[s] - starts[s])
    resets = np.empty(longest, np.int64)
    for s in range(len(starts)):
        _bounds(times, starts[s], ends[s], refs, range_ms, left_open, low, high)
        count = 0
        if counter:
            for i in range(starts[s] + 1, ends[s]):
                if values[i] < values[i - 1]:
                    resets[count] = i
                    count += 1
        first_reset = 0
        for t in range(len(refs)):
            i, j = low[t], high[t] - 1
            present[s, t] = j > i
            out[s, t] = np.nan
            if j <= i:
                continue
            first = values[i]
            total = values[j] - first
            while first_reset < count and resets[first_reset] <= i:
                first_reset += 1
            for k in range(first_reset, count):
                if resets[k] > j:
                    break
                total += values[resets[k] - 1]
            to_start = (times[i] - (refs[t] - range_ms)) / 1000.0
            to_end = (refs[t] - times[j]) / 1000.0
            span = (times[j] - times[i]) / 1000.0
            between = span / (j - i)
            threshold = between * 1.1
            if not clamp_first and to_start >= threshold:
                to_start = between / 2.0
            if counter and total > 0.0 and first >= 0.0:
                to_zero = span * (first / total)
                if to_zero < to_start:
                    to_start = to_zero
            if clamp_first and not to_start < threshold:
                to_start = between / 2.0
            if to_end >= threshold:
                to_end = between / 2.0
            factor = (span + to_start + to_end) / span
            if seconds > 0.0:
                factor /= seconds
            out[s, t] = total * factor


@_jit
def instant_rates(starts, ends, times, values, refs, range_ms, left_open, rate, out, present):
    """`irate` and, without `rate`, `idelta` (Prometheus ``promql/functions.go``, ``instantValue``)."""
    low = np.empty(len(refs), np.int64)
    high = np.empty(len(refs), np.int64)
    for s in range(len(starts)):
        _bounds(times, starts[s], ends[s], refs, range_ms, left_open, low, high)
        for t in range(len(refs)):
            j = high[t] - 1
            present[s, t] = j > low[t]
            out[s, t] = np.nan
            if j <= low[t]:
                continue
            change = values[j]
            if not (rate and values[j] < values[j - 1]):
                change -= values[j - 1]
            out[s, t] = change / ((times[j] - times[j - 1]) / 1000.0) if rate else change


@_jit
def counts(starts, ends, times, values, refs, range_ms, left_open, kind, out, present):
    """What needs no arithmetic: 0 count, 1 present, 2 last, 3 changes, 4 resets."""
    low = np.empty(len(refs), np.int64)
    high = np.empty(len(refs), np.int64)
    longest = 0
    for s in range(len(starts)):
        longest = max(longest, ends[s] - starts[s])
    before = np.zeros(longest, np.int64)
    for s in range(len(starts)):
        start = starts[s]
        _bounds(times, start, ends[s], refs, range_ms, left_open, low, high)
        if kind >= 3:
            for i in range(start + 1, ends[s]):
                older, newer = values[i - 1], values[i]
                step = newer < older
                if kind == 3:
                    step = newer != older and not (np.isnan(newer) and np.isnan(older))
                before[i - start] = before[i - start - 1] + step
        for t in range(len(refs)):
            i, j = low[t], high[t]
            present[s, t] = j > i
            out[s, t] = np.nan
            if j <= i:
                continue
            if kind == 0:
                out[s, t] = j - i
            elif kind == 1:
                out[s, t] = 1.0
            elif kind == 2:
                out[s, t] = values[j - 1]
            else:
                out[s, t] = before[j - 1 - start] - before[i - start]


@_jit
def extremes(starts, ends, times, values, refs, range_ms, left_open, sign, out, present):
    """Largest value of each window, or the smallest when `sign` is -1; NaN only if there is nothing else.

    Notes
    -----
    A queue of candidates in falling order: each sample enters and leaves once, however long the window.
    Of equal values the earliest stays, so that the sign of zero is Prometheus' own.
    """
    low = np.empty(len(refs), np.int64)
    high = np.empty(len(refs), np.int64)
    longest = 0
    for s in range(len(starts)):
        longest = max(longest, ends[s] - starts[s])
    queue = np.empty(longest, np.int64)
    for s in range(len(starts)):
        _bounds(times, starts[s], ends[s], refs, range_ms, left_open, low, high)
        head = tail = 0
        entered = starts[s]
        for t in range(len(refs)):
            i, j = low[t], high[t]
            entered = max(entered, i)
            while entered < j:
                value = sign * values[entered]
                if not np.isnan(value):
                    while tail > head and sign * values[queue[tail - 1]] < value:
                        tail -= 1
                    queue[tail] = entered
                    tail += 1
                entered += 1
            while head < tail and queue[head] < i:
                head += 1
            present[s, t] = j > i
            out[s, t] = values[queue[head]] if head < tail else np.nan


@_jit
def average_step(x, n, s, c, incremental, mode, guard):
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


@_jit
def average_done(n, s, c, incremental, mode):
    """Return the average of `n` values."""
    if mode >= 3 and not incremental:
        return (s + c) / n if mode == 3 else s / n + c / n
    if mode == 0 or np.isinf(s):
        return s
    return s + c


@_jit
def sums(starts, ends, times, values, refs, range_ms, left_open, average, mode, guard, out, present):
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
    for s in range(len(starts)):
        start, end = starts[s], ends[s]
        _bounds(times, start, end, refs, range_ms, left_open, low, high)
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
            total, rest, incremental = 0.0, 0.0, False
            if average:
                for k in range(i, j):
                    total, rest, incremental = average_step(
                        values[k], k - i + 1.0, total, rest, incremental, mode, guard
                    )
                out[s, t] = average_done(float(j - i), total, rest, incremental, mode)
            else:
                for k in range(i, j):
                    total, rest = kadd(values[k], total, rest, guard)
                out[s, t] = total if np.isinf(total) else total + rest


@_jit
def deviations(starts, ends, times, values, refs, range_ms, left_open, root, guard, out, present):
    """`stdvar_over_time`, or with `root` `stddev_over_time` (Prometheus ``varianceOverTime``)."""
    low = np.empty(len(refs), np.int64)
    high = np.empty(len(refs), np.int64)
    for s in range(len(starts)):
        _bounds(times, starts[s], ends[s], refs, range_ms, left_open, low, high)
        for t in range(len(refs)):
            i, j = low[t], high[t]
            present[s, t] = j > i
            out[s, t] = np.nan
            if j <= i:
                continue
            mean = mean_rest = total = rest = 0.0
            for k in range(i, j):
                delta = values[k] - (mean + mean_rest)
                mean, mean_rest = kadd(delta / (k - i + 1.0), mean, mean_rest, guard)
                total, rest = kadd(delta * (values[k] - (mean + mean_rest)), total, rest, guard)
            variance = (total + rest) / (j - i)
            out[s, t] = np.sqrt(variance) if root else variance


@_jit
def regressions(starts, ends, times, values, refs, range_ms, left_open, origins, ahead, predict, guard, out, present):
    """`deriv`, or with `predict` `predict_linear` by `ahead[t]` seconds from `origins[t]`.

    Notes
    -----
    Prometheus ``promql/functions.go``, ``linearRegression``.
    """
    low = np.empty(len(refs), np.int64)
    high = np.empty(len(refs), np.int64)
    for s in range(len(starts)):
        _bounds(times, starts[s], ends[s], refs, range_ms, left_open, low, high)
        for t in range(len(refs)):
            i, j = low[t], high[t]
            present[s, t] = j > i + 1
            out[s, t] = np.nan
            if j <= i + 1:
                continue
            origin = origins[t] if predict else times[i]
            n = sx = cx = sy = cy = sxy = cxy = sxx = cxx = 0.0
            constant = True
            for k in range(i, j):
                y = values[k]
                x = (times[k] - origin) / 1000.0
                constant = constant and (k == i or y == values[i])
                n += 1.0
                sx, cx = kadd(x, sx, cx, guard)
                sy, cy = kadd(y, sy, cy, guard)
                sxy, cxy = kadd(x * y, sxy, cxy, guard)
                sxx, cxx = kadd(x * x, sxx, cxx, guard)
            if constant:
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


@_jit
def quantile_of_sorted(values, n, q, exact):
    """Return the q-quantile of the first `n` of `values`, ascending with NaN first.

    With `exact` a whole rank leaves its neighbour out, which may be infinite.
    """
    if n == 0 or np.isnan(q):
        return np.nan
    if q < 0.0:
        return -np.inf
    if q > 1.0:
        return np.inf
    rank = q * (n - 1.0)
    lower = int(max(0.0, np.floor(rank)))
    upper = min(n - 1, lower + 1)
    weight = rank - np.floor(rank)
    if exact and weight == 0.0:
        return values[lower]
    return values[lower] * (1.0 - weight) + values[upper] * weight


@_jit
def _insert(values, n, x):
    """Put `x` into the first `n` of `values` and keep them ascending with NaN first."""
    i = n
    while i > 0 and (x < values[i - 1] or (np.isnan(x) and not np.isnan(values[i - 1]))):
        values[i] = values[i - 1]
        i -= 1
    values[i] = x


@_jit
def _remove(values, n, x):
    """Take one `x` out of the first `n` of `values`."""
    i = 0
    while i < n - 1 and not (values[i] == x or (np.isnan(x) and np.isnan(values[i]))):
        i += 1
    for k in range(i, n - 1):
        values[k] = values[k + 1]


@_jit
def quantiles(starts, ends, times, values, refs, range_ms, left_open, q, exact, out, present):
    """`quantile_over_time` with ``q[t]``: the sorted window is carried from one evaluation to the next."""
    low = np.empty(len(refs), np.int64)
    high = np.empty(len(refs), np.int64)
    for s in range(len(starts)):
        _bounds(times, starts[s], ends[s], refs, range_ms, left_open, low, high)
        longest = 0
        for t in range(len(refs)):
            longest = max(longest, high[t] - low[t])
        ordered = np.empty(longest + 1, np.float64)
        n = 0
        left = right = starts[s]
        for t in range(len(refs)):
            i, j = low[t], high[t]
            if i >= right:
                n, left, right = 0, i, i
            while left < i:
                _remove(ordered, n, values[left])
                n -= 1
                left += 1
            while right < j:
                _insert(ordered, n, values[right])
                n += 1
                right += 1
            present[s, t] = j > i
            out[s, t] = quantile_of_sorted(ordered, n, q[t], exact) if j > i else np.nan
