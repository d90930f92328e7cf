"""What is ordinary for a signal: how high it stands at the same hour of other days and of other weeks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from kmon_analysis.timing import DAY_MS, MINUTE_MS, WEEK_MS, Interval

__all__ = ["BIN_MS", "Bins", "excess", "excess_floor", "negligible", "ordinary", "runs"]

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]

BIN_MS = 5 * MINUTE_MS
# "The same hour": half an hour on either side, as jobs and deploys are seldom on time to the minute.
_NEAR = 30 * MINUTE_MS // BIN_MS
# Of ten other days and of five other weeks one may be as high: it may hold an incident of its own.
_DAYS_FORGIVEN, _WEEKS_FORGIVEN = 10, 5
# Fewer say nothing about what is usual at an hour.
FEWEST_DAYS, FEWEST_WEEKS = 4, 3


@dataclass(frozen=True, slots=True)
class Bins:
    """A history cut into five minutes each.

    Attributes
    ----------
    start_ms : int
        Where the first one begins.
    count : int
        How many there are, B.
    """

    start_ms: int
    count: int

    @classmethod
    def over(cls, interval: Interval) -> Bins:
        """Cover an interval."""
        return cls(interval.start_ms, -(-interval.duration_ms // BIN_MS))

    def of(self, times: Int64s) -> Int64s:
        """Return the bin of each instant, shape of `times`; outside they are clipped to the ends."""
        return np.clip((times - self.start_ms) // BIN_MS, 0, self.count - 1)

    def highest(self, times: Int64s, values: Floats) -> Floats:
        """Return the highest value in each bin, shape (B,); -inf where there is none."""
        found = np.full(self.count, -np.inf)
        np.maximum.at(found, self.of(times), values)
        return found

    def span(self, first: int, last: int) -> Interval:
        """Return the time from one bin to another, both included."""
        return Interval(self.start_ms + first * BIN_MS, self.start_ms + (last + 1) * BIN_MS)


def ordinary(levels: Floats, known: Bools) -> tuple[Floats, str]:
    """Say how high a signal ordinarily stands, for each bin, judged by other days and weeks alone.

    Parameters
    ----------
    levels : float64 array, shape (B,)
        The highest level in each bin; -inf where the signal is not there.
    known : bool array, shape (B,)
        Bins that can be compared with: observed, and the series existed.

    Returns
    -------
    usual : float64 array, shape (B,)
        The higher of two: what at most one in ten other days exceeds within half an hour of that time, and what
        at most one in five other weeks does. Where most bins have fewer than three other days, what 1 % of the known
        bins exceed.
    basis : str
        Which of these it is, in words.
    """
    near: Floats = _around(np.where(known, levels, -np.inf)).max(axis=1)
    near[~_around(known).any(axis=1)] = np.nan
    days = _others(near, DAY_MS // BIN_MS, FEWEST_DAYS, _DAYS_FORGIVEN)
    weeks = _others(near, WEEK_MS // BIN_MS, FEWEST_WEEKS, _WEEKS_FORGIVEN)
    if not known.any() or np.isnan(days[known]).mean() > 0.5:
        inside = levels[known]
        top = np.sort(inside)[math.ceil(0.99 * len(inside)) - 1] if len(inside) else np.inf
        return np.full(len(levels), top), "in 99 % of the time"
    usual = np.fmax(days, weeks)
    # Where nothing can be compared nothing can be unusual.
    usual[np.isnan(usual)] = np.inf
    together = "other days" if np.isnan(weeks).all() else "other days and weeks"
    return usual, f"at this hour of {together}"


def _around(row: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the places within half an hour of each, shape (B, N); beyond the ends lies nothing."""
    nothing = False if row.dtype == np.bool_ else -np.inf
    return sliding_window_view(np.pad(row, _NEAR, constant_values=nothing), 2 * _NEAR + 1)


def _others(near: Floats, period: int, fewest: int, forgiven: int) -> Floats:
    """Return what at most one in `forgiven` other periods exceeds at the same place, shape (B,); NaN where unknown."""
    count = -(-len(near) // period)
    flat = np.full(count * period, np.nan)
    flat[: len(near)] = near
    table = flat.reshape(count, period)
    there = ~np.isnan(table)
    falling = -np.sort(-np.where(there, table, -np.inf), axis=0)
    others = there.sum(axis=0) - there
    place = others // forgiven
    own = np.where(there, table, -np.inf)
    pick = np.take_along_axis(falling, np.minimum(place, count - 1), axis=0)
    # Without its own value everything behind it moves up by one.
    behind = np.take_along_axis(falling, np.minimum(place + 1, count - 1), axis=0)
    found = np.where(there & (own >= pick), behind, pick)
    found[others < fewest - 1] = np.nan
    usual: Floats = found.reshape(-1)[: len(near)]
    return usual


def negligible(levels: Floats, threshold: float, *, falls: bool) -> float:
    """Return the difference that is too small to matter, in the unit of the compared value.

    Parameters
    ----------
    levels : float64 array, shape (N,)
        Levels that are compared with each other; -inf where the signal is not there.
    threshold : float
        The rule's own: who wrote it said what is much and what is little.
    falls : bool
        Whether the rule fires on low values.

    Returns
    -------
    float
        A tenth of the threshold; not more than what 1 % of the levels exceed, for a threshold out of their reach.
        Where low values are the bad ones, not less than a hundredth of the median value. 0 where nothing is there.
    """
    values = np.abs(levels[np.isfinite(levels)])
    if not len(values):
        return 0.0
    tenth = abs(threshold) / 10
    if falls:
        return max(tenth, float(np.median(values)) / 100)
    top = float(np.quantile(values, 0.99, method="higher"))
    return min(tenth, top) if tenth > 0 else top / 10


def excess(levels: Floats, usual: Floats, unit: float, *, falls: bool) -> Floats:
    """Say how far levels are beyond the ordinary, as the logarithm of a ratio.

    Parameters
    ----------
    levels, usual : float64 arrays, shape (B,)
        Levels as in `kmon_analysis.backtest.signal.Signal` (negated values where the rule fires on low ones).
    unit : float
        Differences below it are nothing: it is added to both sides of the ratio.
    falls : bool
        Whether the rule fires on low values.

    Returns
    -------
    float64 array, shape (B,)
        ``log((value + unit) / (usual + unit))``, or its negative where low values are the bad ones; 0 where the
        signal is not there or nothing is usual.
    """
    if unit <= 0:
        return np.zeros(len(levels))
    there = ~np.isneginf(levels) & ~np.isposinf(usual)
    if falls:
        # A rule that is in the result now and at no other time was changed by its calendar, not by the service.
        there &= ~np.isneginf(usual)
        value, normal = np.where(there, -levels, 0.0), np.where(there, -usual, 0.0)
        ratio = (np.maximum(normal, 0) + unit) / (np.maximum(value, 0) + unit)
    else:
        value, normal = np.where(there, levels, 0.0), np.where(there, usual, 0.0)
        ratio = (np.maximum(value, 0) + unit) / (np.maximum(normal, 0) + unit)
    found: Floats = np.where(there, np.log(np.minimum(ratio, 1e300)), 0.0)
    return found


def excess_floor(usual: Floats, unit: float, least: float, *, falls: bool) -> Floats:
    """Return the level from which on `excess` is at least `least`, shape (B,)."""
    factor = math.exp(least)
    if falls:
        return -((np.maximum(-usual, 0) + unit) / factor - unit)
    return (np.maximum(usual, 0) + unit) * factor - unit


def runs(marked: Bools, bridge: int = 0) -> list[tuple[int, int]]:
    """List the runs of a mask as (first, last), joined across at most `bridge` unmarked places.

    Examples
    --------
    >>> runs(np.array([True, False, True, False, False, True]), bridge=1)
    [(0, 2), (5, 5)]
    """
    places = np.flatnonzero(marked)
    if not len(places):
        return []
    cuts = np.flatnonzero(np.diff(places) > bridge + 1)
    firsts = places[np.concatenate([[0], cuts + 1])]
    lasts = places[np.concatenate([cuts, [len(places) - 1]])]
    return [(int(first), int(last)) for first, last in zip(firsts, lasts, strict=True)]
