"""Compiled loops across series: aggregations.

Rows are visited in the order in which they come, as Prometheus visits the elements of a vector.
"""

from __future__ import annotations

import numpy as np

from kmon_analysis.promql.compiled import compiled
from kmon_analysis.promql.kernels_order import insert, quantile_of_sorted
from kmon_analysis.promql.kernels_sums import average_done, average_step, kadd
from kmon_analysis.promql.values import Bools, Floats, Int64s

__all__ = ["fold", "quantile_groups", "select_extreme"]


@compiled
def fold(
    values: Floats,
    present: Bools,
    group: Int64s,
    kind: int,
    mode: int,
    compensated: bool,
    strict: bool,
    first: int,
    last: int,
    out: Floats,
    there: Bools,
) -> None:
    """Reduce rows to groups in the columns ``first:last``.

    ``group[s]`` is the row of `out` and `there` that row s goes to.
    Kinds: 0 sum, 1 avg, 2 min, 3 max, 4 count, 5 group, 6 stdvar, 7 stddev. `mode` is that of
    `average_step`, `compensated` that of ``sum``; `strict` makes deviations NaN when the first value is
    not finite.

    Notes
    -----
    Prometheus ``promql/engine.go``, ``aggregation``.
    """
    groups, width = len(out), last - first
    number = np.zeros((groups, width), np.int64)
    rest = np.zeros((groups, width))
    incremental = np.zeros((groups, width), np.bool_)
    for s in range(len(group)):
        g = group[s]
        for w in range(width):
            t = first + w
            if not present[s, t]:
                continue
            x = values[s, t]
            number[g, w] += 1
            n = number[g, w]
            there[g, t] = True
            if n == 1:
                # Not added to zero, which would turn -0 into 0.
                if kind < 4:
                    out[g, t] = x
                elif kind >= 6:
                    # The mean lives in `out`, the sum of squares in `rest`.
                    out[g, t] = x
                    rest[g, w] = np.nan if strict and not np.isfinite(x) else 0.0
            elif kind == 1:
                out[g, t], rest[g, w], incremental[g, w] = average_step(
                    x, float(n), out[g, t], rest[g, w], incremental[g, w], mode, compensated
                )
            elif kind == 0:
                if compensated:
                    out[g, t], rest[g, w] = kadd(x, out[g, t], rest[g, w], True)
                else:
                    out[g, t] += x
            elif kind == 2:
                if x < out[g, t] or np.isnan(out[g, t]):
                    out[g, t] = x
            elif kind == 3:
                if x > out[g, t] or np.isnan(out[g, t]):
                    out[g, t] = x
            elif kind >= 6:
                delta = x - out[g, t]
                out[g, t] += delta / n
                rest[g, w] += delta * (x - out[g, t])
    for g in range(groups):
        for w in range(width):
            t = first + w
            n = number[g, w]
            if n == 0:
                out[g, t] = np.nan
            elif kind == 0:
                if compensated:
                    out[g, t] += rest[g, w]
            elif kind == 1:
                out[g, t] = average_done(float(n), out[g, t], rest[g, w], incremental[g, w], mode)
            elif kind == 4:
                out[g, t] = n
            elif kind == 5:
                out[g, t] = 1.0
            elif kind >= 6:
                variance = rest[g, w] / n
                out[g, t] = variance if kind == 6 else np.sqrt(variance)


@compiled
def quantile_groups(
    values: Floats,
    present: Bools,
    order: Int64s,
    edges: Int64s,
    q: Floats,
    exact: bool,
    first: int,
    last: int,
    out: Floats,
    there: Bools,
) -> None:
    """``quantile`` over the rows ``order[edges[g]:edges[g + 1]]`` of each group, with ``q[t]``."""
    members = np.empty(len(order), np.float64)
    for g in range(len(out)):
        for t in range(first, last):
            n = nans = 0
            for m in range(edges[g], edges[g + 1]):
                s = order[m]
                if present[s, t]:
                    nans = insert(members, n, nans, values[s, t])
                    n += 1
            there[g, t] = n > 0
            out[g, t] = quantile_of_sorted(members, n, q[t], exact) if n else np.nan


@compiled
def _less(a: float, b: float) -> bool:
    return np.isnan(a) or a < b


@compiled
def _sift_down(heap: Int64s, n: int, values: Floats, t: int, sign: float) -> None:
    """Let the root of the first `n` of `heap` sink to its place."""
    parent = 0
    while True:
        child = 2 * parent + 1
        if child >= n:
            break
        if child + 1 < n and _less(sign * values[heap[child + 1], t], sign * values[heap[child], t]):
            child += 1
        if not _less(sign * values[heap[child], t], sign * values[heap[parent], t]):
            break
        heap[child], heap[parent] = heap[parent], heap[child]
        parent = child


@compiled
def select_extreme(
    values: Floats,
    present: Bools,
    order: Int64s,
    edges: Int64s,
    k: Int64s,
    sign: float,
    replace: bool,
    first: int,
    last: int,
    kept: Bools,
) -> None:
    """``topk`` (`sign` 1) and ``bottomk`` (`sign` -1): mark in `kept` which elements stay; ``k[t]`` of each group.

    Group g has the rows ``order[edges[g]:edges[g + 1]]``. With `replace` a new element takes the place of the
    smallest, else the smallest is taken out first.

    Notes
    -----
    Prometheus ``promql/engine.go`` with Go's ``container/heap``: the heap is copied move by move, because
    it decides which of equal values stay.
    """
    size = len(values)
    heap = np.empty(size, np.int64)
    for t in range(first, last):
        for g in range(len(edges) - 1):
            n = 0
            limit = min(k[t], size)
            if limit < 1:
                continue
            for m in range(edges[g], edges[g + 1]):
                s = order[m]
                if not present[s, t]:
                    continue
                x = sign * values[s, t]
                if n == limit:
                    smallest = sign * values[heap[0], t]
                    if not (smallest < x or (np.isnan(smallest) and not (replace and np.isnan(x)))):
                        continue
                    if replace or limit == 1:
                        heap[0] = s
                        _sift_down(heap, n, values, t, sign)
                        continue
                    n -= 1
                    heap[0] = heap[n]
                    _sift_down(heap, n, values, t, sign)
                heap[n] = s
                n += 1
                child = n - 1
                while child > 0:
                    parent = (child - 1) // 2
                    if not _less(sign * values[heap[child], t], sign * values[heap[parent], t]):
                        break
                    heap[child], heap[parent] = heap[parent], heap[child]
                    child = parent
            for i in range(n):
                kept[heap[i], t] = True
