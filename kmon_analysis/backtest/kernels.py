"""Compiled loops over evaluations; imported only when something is computed.

All of them work on *ranks*: the distinct values of a signal are numbered 1..U in ascending order and
"not in the result" is 0. The alert state machine is a positive Boolean function of the bits
[x(s) > θ], so it commutes with this renumbering and with taking every θ at once (threshold
decomposition; Wendt, Coyle & Gallagher 1986).
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

__all__ = ["common_width", "count", "firing", "levels_of", "rank_sorted", "window_starts"]

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Int8s = npt.NDArray[np.int8]

# Beyond this many evaluations a window outgrows the fastest cache, and doubling no longer pays.
_WIDEST = 1024


@numba.njit(cache=True, nogil=True)
def rank_sorted(values: Floats, order: Int64s, distinct: Floats, ranks: Int32s) -> int:
    """Number values by their place among the distinct ones.

    Parameters
    ----------
    values : float64 array, shape (N,)
        Signal; -inf where the series is not in the result.
    order : int64 array, shape (N,)
        Indices that sort `values`.
    distinct : float64 array, shape (N,)
        Receives the distinct values above -inf, ascending. It may share its memory with `order`: the
        k-th distinct value is written after the k-th index was read.
    ranks : int32 array, shape (N,)
        Receives 0 for -inf, else the 1-based place.

    Returns
    -------
    int
        How many distinct values there are.
    """
    count = 0
    last = -np.inf
    for place in range(len(order)):
        index = order[place]
        value = values[index]
        if value == -np.inf:
            ranks[index] = 0
            continue
        if value != last:
            distinct[count] = value
            last = value
            count += 1
        ranks[index] = count
    return count


@numba.njit(cache=True, nogil=True)
def levels_of(ranks: Int32s, distinct: Floats, levels: Floats) -> None:
    """Turn ranks back into levels, -inf for 0; all are flat."""
    for place in range(len(ranks)):
        rank = ranks[place]
        levels[place] = distinct[rank - 1] if rank > 0 else -np.inf


@numba.njit(cache=True, nogil=True)
def newest(offsets: Int64s, samples: Int64s, times: Int64s) -> Int64s:
    """Return the time of the newest sample of any series at each of some ascending instants.

    Parameters
    ----------
    offsets, samples : int64 arrays
        As in `SeriesSet`: where each series begins, and the times of all.
    times : int64 array, shape (T,)
        Ascending.

    Returns
    -------
    int64 array, shape (T,)
        The least integer where there is none yet.
    """
    found = np.full(len(times), np.iinfo(np.int64).min)
    for series in range(len(offsets) - 1):
        place, end = offsets[series], offsets[series + 1]
        for column in range(len(times)):
            while place < end and samples[place] <= times[column]:
                place += 1
            if place > offsets[series] and samples[place - 1] > found[column]:
                found[column] = samples[place - 1]
    return found


@numba.njit(cache=True, nogil=True)
def window_starts(times: Int64s, for_ms: int, keep_ms: int, gap_ms: int) -> tuple[Int32s, Int32s, Int32s]:
    """Find where the trailing windows of the state machine begin.

    Parameters
    ----------
    times : int64 array, shape (T,)
        Evaluation instants, ascending; failed evaluations are left out beforehand.
    for_ms, keep_ms, gap_ms : int
        ``for``, ``keep_firing_for`` and the page merge gap.

    Returns
    -------
    pending, kept, merged : int32 arrays, shape (T,)
        The latest s with t - s >= for (-1: none yet); the earliest u whose firing is kept at t (t
        itself when there is no keep_firing_for); the earliest u whose page absorbs one starting at t.
    """
    count = len(times)
    pending = np.empty(count, dtype=np.int32)
    kept = np.empty(count, dtype=np.int32)
    merged = np.empty(count, dtype=np.int32)
    s, u, v = -1, 0, 0
    for t in range(count):
        while s + 1 <= t and times[s + 1] <= times[t] - for_ms:
            s += 1
        pending[t] = s
        # Kept while t - (first missing evaluation after u) < keep_firing_for, and that one is u + 1.
        while u < t and times[t] - times[u + 1] >= keep_ms:
            u += 1
        kept[t] = u
        while v < t - 1 and times[t] - times[v + 1] >= gap_ms:
            v += 1
        merged[t] = v
    return pending, kept, merged


@numba.njit(cache=True, nogil=True)
def _highest_in_window(values: Int32s, starts: Int32s, sign: int, result: Int32s) -> None:
    """Write the highest value of every trailing window, or with `sign` -1 the lowest one.

    Parameters
    ----------
    values : int32 array, shape (T,)
        Anything.
    starts : int32 array, shape (T,)
        The window of t is ``values[starts[t] : t + 1]``; the starts never fall. Negative: there is none.
    sign : int
        1 or -1.
    result : int32 array, shape (T,)
        Receives the extremes, 0 where there is no window. It may be `starts` itself.

    Notes
    -----
    Every window is split at an edge: maxima from each of its places up to the edge are tabulated backwards
    once the window has left the last edge behind, and those after it are carried along (van Herk 1992; the
    queue of two stacks). Each value is looked at twice, however long the window, and unlike in a monotone
    queue no branch depends on the values.
    """
    until_edge = np.empty(len(values), dtype=np.int32)
    nothing = np.int32(-(2**31))
    since_edge = nothing
    edge = -1
    for t in range(len(values)):
        since_edge = max(since_edge, np.int32(sign * values[t]))
        start = starts[t]
        if start < 0:
            result[t] = 0
            continue
        if start > edge:
            since_edge = nothing
            highest = nothing
            for u in range(t, start - 1, -1):
                highest = max(highest, np.int32(sign * values[u]))
                until_edge[u] = highest
            edge = t
        result[t] = sign * max(until_edge[start], since_edge)


@numba.njit(cache=True, nogil=True)
def common_width(starts: Int32s) -> int:
    """Return the length that all windows have, those that begin before the data aside; 0 if they differ."""
    first = 0
    while first < len(starts) and starts[first] < 0:
        first += 1
    uneven = 0
    for t in range(first, len(starts)):
        uneven |= starts[t] - (t - first)
    return 0 if uneven else first + 1


@numba.njit(cache=True, nogil=True)
def _lower_of_two(one: Int32s, other: Int32s, result: Int32s) -> None:
    """Write the lower of two values, place by place; a function of its own, so that it becomes vector code."""
    for t in range(len(result)):
        result[t] = min(one[t], other[t])


@numba.njit(cache=True, nogil=True)
def _lowest_in_equal_windows(values: Int32s, width: int, result: Int32s) -> None:
    """Do what `_highest_in_window` does with sign -1, for windows of one length, in half the time.

    Notes
    -----
    The window is doubled until it is wide enough, which processors do for many values at once; piece by
    piece, so that a piece stays in the fastest cache.
    """
    piece = 4096
    lowest = np.empty(piece + width, dtype=np.int32)
    spare = np.empty(piece + width, dtype=np.int32)
    result[: width - 1] = 0
    for begin in range(width - 1, len(values), piece):
        end = min(len(values), begin + piece)
        size = end - begin + width - 1
        lowest[:size] = values[begin - width + 1 : end]
        covered = 1
        while covered < width:
            shift = min(covered, width - covered)
            size -= shift
            _lower_of_two(lowest[:size], lowest[shift : shift + size], spare[:size])
            lowest, spare = spare, lowest
            covered += shift
        result[begin:end] = lowest[: end - begin]


@numba.njit(cache=True, nogil=True)
def firing(ranks: Int32s, pending: Int32s, width: int, kept: Int32s) -> Int32s:
    """Turn the ranks of one page group's signals into the ranks of its firing signal.

    Parameters
    ----------
    ranks : int32 array, shape (S, T)
        From `rank_sorted`; all series of one page group.
    pending, kept : int32 arrays, shape (T,)
        From `window_starts`.
    width : int
        `common_width` of `pending`.

    Returns
    -------
    int32 array, shape (T,)
        The group fires at t for θ exactly when the entry is above the number of distinct values <= θ.

    Notes
    -----
    m(t) = min x over the pending window; F(t) = max(m(t), min(F(t - 1), max x over the kept window)).
    The cost does not depend on ``for``.
    """
    rows, columns = ranks.shape
    keeps = columns > 0 and kept[columns - 1] < columns - 1
    result = np.empty(columns, dtype=np.int32)
    lowest = np.empty(columns if rows > 1 else 0, dtype=np.int32)
    highest = np.empty(columns if keeps else 0, dtype=np.int32)
    for row in range(rows):
        here = lowest if row else result
        if 0 < width <= _WIDEST:
            _lowest_in_equal_windows(ranks[row], width, here)
        else:
            _highest_in_window(ranks[row], pending, -1, here)
        # Without keep_firing_for the recursion adds nothing: m(t) >= min(m(t - 1), x(t)).
        if keeps:
            _highest_in_window(ranks[row], kept, 1, highest)
            before = np.int32(0)
            for t in range(columns):
                before = max(here[t], min(before, highest[t]))
                here[t] = before
        if row:
            for t in range(columns):
                result[t] = max(result[t], here[t])
    return result


@numba.njit(cache=True, nogil=True)
def count(
    fires: Int32s,
    merged: Int32s,
    marks: Int8s,
    stop: int,
    pages: Int32s,
    false_pages: Int32s,
    firing_time: Int32s,
) -> None:
    """Count one group's pages, false pages and firing evaluations for every threshold.

    Parameters
    ----------
    fires : int32 array, shape (T,)
        From `firing`.
    merged : int32 array, shape (T,)
        From `window_starts`.
    marks : int8 array, shape (T,)
        2 or 3 inside a credit or excluded window that concerns the group; else 1 where there are data and
        no window of the rule: only these count as firing time.
    stop : int
        Evaluations from here on are ignored.
    pages, false_pages, firing_time : int32 arrays, shape (U + 1,)
        Zeros, filled in place: entry k holds for θ with exactly k distinct values <= θ.

    Notes
    -----
    A merged page starts at t for P(t) <= θ < G(t), where P is the highest G in the merge window, and
    runs into a credit window for θ < A(t): outside windows A(t) = min(P(t + 1), A(t + 1)), as P(t + 1)
    tells until when a page stays open, inside them A(t) = max(G(t), min(P(t + 1), A(t + 1))).

    All of that is done for runs of equal G, which are long where ``for`` is: no page starts inside a run,
    and P falls along it, so that A at its start follows from P and A at the start of the next one.
    """
    begins = np.empty(stop + 1, dtype=np.int32)
    begins[0] = 0
    run_of = np.empty(stop + 1, dtype=np.int32)
    run_of[0] = 0
    runs = min(stop, 1)
    for t in range(1, stop):
        begins[runs] = t
        runs += (fires[t] != fires[t - 1]) | (marks[t] != marks[t - 1])
        run_of[t] = runs - 1
    begins[runs] = stop
    levels = np.empty(runs, dtype=np.int32)
    earlier = np.zeros(runs + 1, dtype=np.int32)
    for r in range(runs):
        levels[r] = fires[begins[r]]
        earlier[r] = run_of[merged[begins[r]]]
    # A window's place gives way to its highest level: one array less for each core at work.
    windows = earlier[1:]
    _highest_in_window(levels[: max(0, runs - 1)], windows, 1, windows)
    earlier[0] = 0
    reaches = np.int32(0)
    for r in range(runs - 1, -1, -1):
        t, here, before = begins[r], levels[r], earlier[r]
        reaches = min(earlier[r + 1], reaches)
        credited = marks[t] >= 2
        if credited:
            reaches = max(here, reaches)
        elif marks[t]:
            firing_time[0] += begins[r + 1] - t
            firing_time[here] -= begins[r + 1] - t
        if here > before:
            pages[before] += 1
            pages[here] -= 1
            if not credited:
                floor = max(before, reaches)
                if here > floor:
                    false_pages[floor] += 1
                    false_pages[here] -= 1
    for k in range(1, len(pages)):
        pages[k] += pages[k - 1]
        false_pages[k] += false_pages[k - 1]
        firing_time[k] += firing_time[k - 1]
