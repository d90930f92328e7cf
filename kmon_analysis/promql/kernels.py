"""Compiled loops over the samples in windows: selectors and functions of range vectors.

Every kernel takes the samples of all series end to end (see `values.Windows`), walks each series once with
two pointers and writes one row of `out` (NaN where absent) and `present`. Sums go sample by sample in the
order of time, because that is what Prometheus does and rounding depends on it.
"""

from __future__ import annotations

import numpy as np

from kmon_analysis.promql.compiled import bounds, compiled
from kmon_analysis.promql.kernels_order import extremes, quantiles
from kmon_analysis.promql.kernels_sums import deviations, regressions, sums
from kmon_analysis.promql.values import Bools, Floats, Int64s

# All that `ranges` finds by name.
__all__ = [
    "counts",
    "deviations",
    "extremes",
    "fresh_samples",
    "instant_rates",
    "last_samples",
    "quantiles",
    "rates",
    "regressions",
    "sums",
]

STALE_BITS = np.int64(0x7FF0000000000002)


@compiled
def fresh_samples(
    starts: Int64s,
    ends: Int64s,
    times: Int64s,
    values: Floats,
    places: Int64s,
    fresh_times: Int64s,
    fresh_values: Floats,
) -> None:
    """Copy each series without its stale markers to where its place begins."""
    bits = values.view(np.int64)
    for s in range(len(starts)):
        place = places[s]
        for i in range(starts[s], ends[s]):
            if bits[i] != STALE_BITS:
                fresh_times[place] = times[i]
                fresh_values[place] = values[i]
                place += 1


@compiled
def last_samples(
    starts: Int64s,
    ends: Int64s,
    times: Int64s,
    values: Floats,
    refs: Int64s,
    range_ms: int,
    left_open: bool,
    want_times: bool,
    out: Floats,
    present: Bools,
) -> None:
    """Newest sample in each window (value, or time in seconds), absent where that is a stale marker."""
    low = np.empty(len(refs), np.int64)
    high = np.empty(len(refs), np.int64)
    bits = values.view(np.int64)
    for s in range(len(starts)):
        bounds(times, starts[s], ends[s], refs, range_ms, left_open, low, high)
        for t in range(len(refs)):
            i = high[t] - 1
            there = high[t] > low[t] and bits[i] != STALE_BITS
            present[s, t] = there
            out[s, t] = np.nan
            if there:
                out[s, t] = times[i] / 1000.0 if want_times else values[i]


@compiled
def rates(
    starts: Int64s,
    ends: Int64s,
    times: Int64s,
    values: Floats,
    refs: Int64s,
    range_ms: int,
    left_open: bool,
    counter: bool,
    seconds: float,
    clamp_first: bool,
    out: Floats,
    present: Bools,
) -> None:
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
        bounds(times, starts[s], ends[s], refs, range_ms, left_open, low, high)
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


@compiled
def instant_rates(
    starts: Int64s,
    ends: Int64s,
    times: Int64s,
    values: Floats,
    refs: Int64s,
    range_ms: int,
    left_open: bool,
    rate: bool,
    out: Floats,
    present: Bools,
) -> None:
    """`irate` and, without `rate`, `idelta` (Prometheus ``promql/functions.go``, ``instantValue``)."""
    low = np.empty(len(refs), np.int64)
    high = np.empty(len(refs), np.int64)
    for s in range(len(starts)):
        bounds(times, starts[s], ends[s], refs, range_ms, left_open, low, high)
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


@compiled
def counts(
    starts: Int64s,
    ends: Int64s,
    times: Int64s,
    values: Floats,
    refs: Int64s,
    range_ms: int,
    left_open: bool,
    kind: int,
    out: Floats,
    present: Bools,
) -> None:
    """What needs no arithmetic: 0 count, 1 present, 2 last, 3 changes, 4 resets."""
    low = np.empty(len(refs), np.int64)
    high = np.empty(len(refs), np.int64)
    longest = 0
    for s in range(len(starts)):
        longest = max(longest, ends[s] - starts[s])
    before = np.zeros(longest, np.int64)
    for s in range(len(starts)):
        start = starts[s]
        bounds(times, start, ends[s], refs, range_ms, left_open, low, high)
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
