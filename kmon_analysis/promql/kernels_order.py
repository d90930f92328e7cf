"""Compiled order statistics: extremes and quantiles of windows that slide."""

from __future__ import annotations

import numpy as np

from kmon_analysis.promql.compiled import bounds, compiled
from kmon_analysis.promql.values import Bools, Floats, Int64s

__all__ = ["extremes", "insert", "quantile_of_sorted", "quantiles"]

# Up to so many values counting the smaller ones beats halving: the processor compares several at once and
# has no branch to guess.
_COUNTED = 512


@compiled
def extremes(
    starts: Int64s,
    ends: Int64s,
    times: Int64s,
    values: Floats,
    refs: Int64s,
    range_ms: int,
    left_open: bool,
    sign: float,
    out: Floats,
    present: Bools,
) -> None:
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
        bounds(times, starts[s], ends[s], refs, range_ms, left_open, low, high)
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


@compiled
def quantile_of_sorted(values: Floats, n: int, q: float, exact: bool) -> float:
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
    quantile: float = values[lower]
    if weight != 0.0 or not exact:
        quantile = quantile * (1.0 - weight) + values[upper] * weight
    return quantile


@compiled
def _place(values: Floats, n: int, nans: int, x: float, after: bool) -> int:
    """Return where `x` stands among the first `n` of `values`: before its equals, or `after` them.

    They ascend, and the first `nans` of them are NaN.
    """
    if np.isnan(x):
        return nans if after else 0
    if n - nans <= _COUNTED:
        part = values[nans:n]
        smaller = 0
        if after:
            for k in range(len(part)):
                if part[k] <= x:
                    smaller += 1
        else:
            for k in range(len(part)):
                if part[k] < x:
                    smaller += 1
        return nans + smaller
    low, high = nans, n
    while low < high:
        middle = (low + high) // 2
        if values[middle] < x or (after and values[middle] == x):
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def _move(values: Floats, gap: int, to: int) -> None:
    """Close the `gap` and open another one at `to` by shifting what is between."""
    if gap < to:
        part = values[gap : to + 1]
        for k in range(len(part) - 1):
            part[k] = part[k + 1]
    else:
        part = values[to : gap + 1]
        for k in range(len(part) - 1, 0, -1):
            part[k] = part[k - 1]


@compiled
def insert(values: Floats, n: int, nans: int, x: float) -> int:
    """Put `x` into the first `n` of `values` after its equals, and return how many NaN there are then.

    They ascend, the first `nans` of them are NaN, and there is room for one more.
    """
    place = _place(values, n, nans, x, True)
    _move(values, n, place)
    values[place] = x
    return nans + 1 if np.isnan(x) else nans


@compiled
def quantiles(
    starts: Int64s,
    ends: Int64s,
    times: Int64s,
    values: Floats,
    refs: Int64s,
    range_ms: int,
    left_open: bool,
    q: Floats,
    exact: bool,
    out: Floats,
    present: Bools,
) -> None:
    """`quantile_over_time` with ``q[t]``: the sorted window is carried from one evaluation to the next.

    Notes
    -----
    The oldest of equal values stands first, and so the one that leaves. Where one sample leaves and another one
    enters, only what stands between their places moves.
    """
    low = np.empty(len(refs), np.int64)
    high = np.empty(len(refs), np.int64)
    for s in range(len(starts)):
        bounds(times, starts[s], ends[s], refs, range_ms, left_open, low, high)
        longest = 0
        for t in range(len(refs)):
            longest = max(longest, high[t] - low[t])
        ordered = np.empty(longest + 1, np.float64)
        n = nans = 0
        left = right = starts[s]
        for t in range(len(refs)):
            i, j = low[t], high[t]
            if i >= right:
                n = nans = 0
                left = right = i
            while left < i:
                old = values[left]
                gap = _place(ordered, n, nans, old, False)
                left += 1
                if right < j:
                    new = values[right]
                    place = _place(ordered, n, nans, new, True)
                    place -= place > gap
                    _move(ordered, gap, place)
                    ordered[place] = new
                    nans += np.isnan(new)
                    right += 1
                else:
                    _move(ordered, gap, n - 1)
                    n -= 1
                nans -= np.isnan(old)
            while right < j:
                nans = insert(ordered, n, nans, values[right])
                n += 1
                right += 1
            present[s, t] = j > i
            out[s, t] = quantile_of_sorted(ordered, n, q[t], exact) if j > i else np.nan
