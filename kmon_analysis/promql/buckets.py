"""Compiled loops over the buckets of classic histograms."""

from __future__ import annotations

import numpy as np

from kmon_analysis.promql.compiled import compiled
from kmon_analysis.promql.values import Bools, Floats, Int64s

__all__ = ["fractions", "quantiles"]

_TOLERANCE = 1e-12
_SMALLEST_NORMAL = 2.2250738585072014e-308
_LARGEST = 1.7976931348623157e308


@compiled
def _gather(rows: Int64s, bounds: Floats, values: Floats, present: Bools, t: int, edges: Floats, counts: Floats) -> int:
    """Collect the buckets that are there at t in rising order, those of one bound added up; return how many.

    Notes
    -----
    Prometheus ``promql/quantile.go``, ``coalesceBuckets``.
    """
    n = 0
    for i in range(len(rows)):
        if not present[rows[i], t]:
            continue
        if n > 0 and edges[n - 1] == bounds[i]:
            counts[n - 1] += values[rows[i], t]
        else:
            edges[n] = bounds[i]
            counts[n] = values[rows[i], t]
            n += 1
    return n


@compiled
def _nearly_equal(a: float, b: float) -> bool:
    if np.isnan(a) and np.isnan(b):
        return True
    total = abs(a) + abs(b)
    difference = abs(a - b)
    if a == 0.0 or b == 0.0 or total < _SMALLEST_NORMAL:
        return difference < _TOLERANCE * _SMALLEST_NORMAL
    return difference / min(total, _LARGEST) < _TOLERANCE


@compiled
def _raise(counts: Floats, n: int, tolerant: bool) -> None:
    """Make the counts rise; `tolerant` takes nearly equal ones for equal.

    Notes
    -----
    Prometheus ``promql/quantile.go``, ``ensureMonotonicAndIgnoreSmallDeltas``, up to 2.48 ``ensureMonotonic``.
    """
    before = counts[0]
    for i in range(1, n):
        now = counts[i]
        if now == before:
            continue
        if now < before or (tolerant and _nearly_equal(before, now)):
            counts[i] = before
        elif tolerant or now > before:
            before = now


@compiled
def _quantile(q: float, edges: Floats, counts: Floats, n: int, tolerant: bool) -> float:
    if np.isnan(q):
        return np.nan
    if q < 0.0:
        return -np.inf
    if q > 1.0:
        return np.inf
    if edges[n - 1] != np.inf:
        return np.nan
    _raise(counts, n, tolerant)
    if n < 2 or counts[n - 1] == 0.0:
        return np.nan
    rank = q * counts[n - 1]
    # Halved as Go's sort.Search does it, because counts that are no numbers have no order.
    b, stop = 0, n - 1
    while b < stop:
        middle = (b + stop) // 2
        if counts[middle] >= rank:
            stop = middle
        else:
            b = middle + 1
    if b == n - 1:
        return float(edges[n - 2])
    if b == 0 and edges[0] <= 0.0:
        return float(edges[0])
    start, count = 0.0, counts[b]
    if b > 0:
        start = edges[b - 1]
        count -= counts[b - 1]
        rank -= counts[b - 1]
    return start + (edges[b] - start) * (rank / count)  # type: ignore[no-any-return]  # numpy types an element as Any


@compiled
def quantiles(
    rows: Int64s, bounds: Floats, values: Floats, present: Bools, q: Floats, tolerant: bool, out: Floats, there: Bools
) -> None:
    """``histogram_quantile`` with ``q[t]`` of one histogram: `rows` of `values` by rising `bounds`.

    Notes
    -----
    Prometheus ``promql/quantile.go``, ``BucketQuantile``. Writes `out` and `there`, both of shape ``(T,)``.
    """
    edges, counts = np.empty(len(rows)), np.empty(len(rows))
    for t in range(len(out)):
        n = _gather(rows, bounds, values, present, t, edges, counts)
        there[t] = n > 0
        out[t] = _quantile(q[t], edges, counts, n, tolerant) if n > 0 else np.nan


@compiled
def _fraction(lower: float, upper: float, edges: Floats, counts: Floats, n: int, from_zero: bool) -> float:
    if edges[n - 1] != np.inf:
        return np.nan
    total: float = counts[n - 1]
    if total == 0.0 or np.isnan(lower) or np.isnan(upper):
        return np.nan
    if lower >= upper:
        return 0.0
    rank, lower_rank, upper_rank = 0.0, 0.0, 0.0
    lower_set = upper_set = False
    left = 0.0 if from_zero and edges[0] > 0.0 else -np.inf
    for i in range(n):
        if i > 0:
            left = edges[i - 1]
        right = edges[i]
        if not lower_set and left >= lower:
            lower_rank, lower_set = rank, True
        if not upper_set and left >= upper:
            upper_rank, upper_set = rank, True
        if lower_set and upper_set:
            break
        if not lower_set and left < lower < right:
            lower_rank, lower_set = _between(lower, left, right, rank, counts[i], from_zero), True
        if not upper_set and left < upper < right:
            upper_rank, upper_set = _between(upper, left, right, rank, counts[i], from_zero), True
        if lower_set and upper_set:
            break
        rank = counts[i]
    if not lower_set or lower_rank > total:
        lower_rank = total
    if not upper_set or upper_rank > total:
        upper_rank = total
    return (upper_rank - lower_rank) / total


@compiled
def _between(value: float, left: float, right: float, rank: float, count: float, from_zero: bool) -> float:
    if from_zero and left == -np.inf:
        return count
    return rank + (count - rank) * (value - left) / (right - left)


@compiled
def fractions(
    rows: Int64s,
    bounds: Floats,
    values: Floats,
    present: Bools,
    lower: Floats,
    upper: Floats,
    from_zero: bool,
    out: Floats,
    there: Bools,
) -> None:
    """``histogram_fraction`` between ``lower[t]`` and ``upper[t]``; otherwise as `quantiles`.

    Notes
    -----
    Prometheus ``promql/quantile.go``, ``BucketFraction``. With `from_zero` the first bucket begins at zero
    where its bound is positive.
    """
    edges, counts = np.empty(len(rows)), np.empty(len(rows))
    for t in range(len(out)):
        n = _gather(rows, bounds, values, present, t, edges, counts)
        there[t] = n > 0
        out[t] = _fraction(lower[t], upper[t], edges, counts, n, from_zero) if n > 0 else np.nan
