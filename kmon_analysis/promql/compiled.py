"""Compile functions for plain arrays, and walk the windows of a series."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

from kmon_analysis.promql.values import Int64s

__all__ = ["bounds", "compiled"]

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile a function at its first call with arguments of some types, and keep that on disk.

    It releases the interpreter, and divides by zero as IEEE 754 says. To the type checker it stays what it was.
    """
    return cast("F", numba.njit(cache=True, nogil=True, error_model="numpy")(function))


@compiled
def bounds(
    times: Int64s, start: int, end: int, refs: Int64s, range_ms: int, left_open: bool, low: Int64s, high: Int64s
) -> None:
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
