"""Rows or columns of an evaluation shared among the cores: the kernels release the interpreter.

Every row (and, across series, every column) is computed on its own, so that the result does not depend on how
they are shared.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from kmon_analysis.promql.values import Int64s

__all__ = ["by_columns", "by_rows", "cores"]

# Below this many samples and evaluations starting threads costs more than it saves.
_WORTH_THREADS = 200_000
# Columns at a time, so that what a kernel keeps for each of them stays in the cache and peaks stay low.
_BLOCK = 8192


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def by_rows(starts: Int64s, ends: Int64s, evaluations: int, work: Callable[[slice], object]) -> None:
    """Call `work` for slices that together cover all rows, each slice on a core of its own.

    Parameters
    ----------
    starts, ends : int64 array, shape (S,)
        Row i reads the samples ``starts[i]:ends[i]``; shares are equal in samples and evaluations.
    evaluations : int
        Number of evaluations, the same for all rows.
    work : callable
        Takes a slice of rows.
    """
    done = np.cumsum(ends - starts + evaluations)
    total = int(done[-1]) if len(done) else 0
    shares = min(cores(), len(done)) if total >= _WORTH_THREADS else 1
    wanted = [total * share // shares for share in range(1, shares)]
    _each([0, *np.searchsorted(done, wanted).tolist(), len(done)], lambda low, high: work(slice(low, high)))


def by_columns(shape: tuple[int, ...], work: Callable[[int, int], object]) -> None:
    """Call `work` with ``first, last`` for blocks that together cover all columns, on all cores.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the table.
    work : callable
        Takes the first column of a block and the one after its last.
    """
    rows, columns = shape
    shares = cores() if rows * columns >= _WORTH_THREADS else 1

    def blocks(low: int, high: int) -> None:
        for first in range(low, high, _BLOCK):
            work(first, min(first + _BLOCK, high))

    _each([columns * share // shares for share in range(shares + 1)], blocks)


def _each(edges: Sequence[int], work: Callable[[int, int], object]) -> None:
    """Call `work` between neighbouring edges: one share here, each other one on a thread."""
    spans = [span for span in itertools.pairwise(edges) if span[0] < span[1]]
    if not spans:
        return
    if len(spans) == 1:
        work(*spans[0])
        return
    with ThreadPoolExecutor(len(spans) - 1) as pool:
        others = [pool.submit(work, *span) for span in spans[1:]]
        work(*spans[0])
        for other in others:
            other.result()
