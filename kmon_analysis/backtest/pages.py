"""Pages: episodes at one threshold, and their numbers at every threshold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from kmon_analysis.backtest.signal import Signal, for_each_group
from kmon_analysis.labels import Labels
from kmon_analysis.timing import WEEK_MS, Interval

__all__ = [
    "Counts",
    "Curve",
    "Episode",
    "Firing",
    "PageKind",
    "Windows",
    "curve",
    "episodes",
    "fire",
    "touches",
]

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# So many levels are sorted sooner than they are bisected.
_FEW = 50_000

PageKind = Literal["true", "duplicate", "false", "excluded"]


@dataclass(frozen=True, slots=True)
class Windows:
    """Where firing is expected or forgiven, for each page group on the evaluation grid.

    Attributes
    ----------
    credited : bool array, shape (G, T)
        Inside a credit window or an excluded window that concerns the group.
    quiet : bool array, shape (T,)
        Evaluations with data, outside every window that concerns the rule.
    """

    credited: Bools
    quiet: Bools

    def quiet_weeks(self, step_ms: int, stop: int | None = None) -> float:
        """Return the observed normal time before column `stop`, in weeks."""
        return float(np.count_nonzero(self.quiet[:stop])) * step_ms / WEEK_MS


@dataclass(frozen=True)
class Firing:
    """The firing signal of every page group for one ``for`` and ``keep_firing_for``.

    Attributes
    ----------
    signal : Signal
        What it is made of.
    windows : Windows
        Where firing is expected.
    pending, kept, merged : int32 arrays, shape (T,)
        Where the trailing windows begin, see `kmon_analysis.backtest.kernels.window_starts`.
    width : int
        Evaluations in each pending window, 0 where they differ.
    """

    signal: Signal
    windows: Windows
    pending: Int32s
    kept: Int32s
    merged: Int32s
    width: int = 0

    def row(self, group: int) -> Int32s:
        """Return one group's firing signal as ranks, shape (T,)."""
        from kmon_analysis.backtest import kernels

        if "rows" in self.__dict__:
            return self.rows[group]
        return kernels.firing(self.signal.groups[group].ranks, self.pending, self.width, self.kept)

    @cached_property
    def rows(self) -> tuple[Int32s, ...]:
        """All of them, kept."""
        return tuple(self.row(group) for group in range(len(self.signal.groups)))

    def fires(self, group: int, level: float) -> Bools:
        """Tell at which evaluations a group fires, shape (T,)."""
        return np.greater(self.rows[group], self.signal.groups[group].index(level))


def fire(signal: Signal, windows: Windows, *, for_ms: int, keep_firing_for_ms: int, merge_gap_ms: int) -> Firing:
    """Run the alert state machine for every threshold at once.

    Parameters
    ----------
    signal, windows
        The rule on the grid.
    for_ms, keep_firing_for_ms : int
        As in the rule.
    merge_gap_ms : int
        Episodes closer than this are one page.

    Notes
    -----
    Prometheus ``rules/alerting.go``, ``AlertingRule.Eval``, by threshold decomposition: see
    `kmon_analysis.backtest.kernels`. The work is done when a row of the result is asked for.
    """
    from kmon_analysis.backtest import kernels

    starts = kernels.window_starts(signal.times, for_ms, keep_firing_for_ms, merge_gap_ms)
    return Firing(signal, windows, *starts, width=kernels.common_width(starts[0]))


@dataclass(frozen=True, slots=True)
class Counts:
    """A number of something as a step function of the level, kept group by group.

    Attributes
    ----------
    parts : tuple of (float64 array (U,), int32 array (U + 1,))
        For each group ascending levels, and the count for levels with exactly k of them at or below.
    """

    parts: tuple[tuple[Floats, Int32s], ...]

    def at(self, level: float) -> int:
        """Return the count at a level."""
        return sum(int(counts[np.searchsorted(levels, level, side="right")]) for levels, counts in self.parts)

    def steps(self, above: float = -math.inf, up_to: float = math.inf) -> tuple[Floats, Int64s]:
        """Return where the total changes, from a level up to another, and what it is from there on.

        Returns
        -------
        levels : float64 array, shape (N,)
            Ascending; the first is `above` itself, none lies beyond `up_to`.
        counts : int64 array, shape (N,)
            The total on ``[levels[i], levels[i + 1])``.
        """
        places, changes = [np.array([above])], [np.array([self.at(above)], dtype=np.int64)]
        for levels, counts in self.parts:
            first, stop = (int(np.searchsorted(levels, end, side="right")) for end in (above, up_to))
            kept = counts[first : stop + 1].astype(np.int64)
            differences = kept[1:] - kept[:-1]
            moves = np.flatnonzero(differences)
            places.append(levels[first + moves])
            changes.append(differences[moves])
        flat, moved = np.concatenate(places), np.concatenate(changes)
        order = np.argsort(flat, kind="stable")
        levels, totals = flat[order], np.cumsum(moved[order])
        last = np.append(levels[1:] != levels[:-1], True)
        return levels[last], totals[last]

    def lowest_within(self, limit: float) -> float:
        """Return the lowest level from which on the total stays within a limit.

        Notes
        -----
        False pages are not monotone in the threshold (at a low one everything is a single endless
        episode), so this is the first crossing of the monotone envelope, seen from above. No group may
        be beyond the limit on its own, which leaves only the top of the curves to be added up.
        """
        floor = -math.inf
        for levels, counts in self.parts:
            beyond = np.flatnonzero(counts > limit)
            if len(beyond):
                floor = max(floor, float(levels[beyond[-1]]))
        levels, totals = self.steps(floor)
        beyond = np.flatnonzero(totals > limit)
        return float(levels[beyond[-1] + 1]) if len(beyond) else floor

    def lowest_of_falling_within(self, limit: float) -> float:
        """Return what `lowest_within` does, for a total that never rises with the level, such as firing time.

        Notes
        -----
        Bisection: the changes of thousands of groups need not be sorted.
        """
        ends = [levels for levels, _ in self.parts if len(levels)]
        low, high = -math.inf, max((float(levels[-1]) for levels in ends), default=-math.inf)
        if self.at(low) <= limit:
            return low
        while (place := self._between(low, high)) is not None:
            if self.at(place) > limit:
                low = place
            else:
                high = place
        levels, totals = self.steps(low, high)
        beyond = np.flatnonzero(totals > limit)
        return float(levels[beyond[-1] + 1])

    def _between(self, low: float, high: float) -> float | None:
        """Return a level at which a total changes, about in the middle of two; None where few are left to be sorted."""
        inside = []
        for levels, _ in self.parts:
            first, last = (int(np.searchsorted(levels, end, side="right")) for end in (low, high))
            inside.append((last - first, first))
        if sum(count for count, _ in inside) <= _FEW:
            return None
        count, first, levels = max(
            ((count, first, levels) for (count, first), (levels, _) in zip(inside, self.parts, strict=True)),
            key=lambda each: each[0],
        )
        middle = float(levels[first + (count - 1) // 2])
        return middle if middle < high else None


@dataclass(frozen=True, slots=True)
class Curve:
    """What happens at every threshold.

    Attributes
    ----------
    pages, false_pages : Counts
        Numbers of pages.
    firing_time : Counts
        Evaluations that fire outside all windows, summed over groups.
    """

    pages: Counts
    false_pages: Counts
    firing_time: Counts


def curve(firing: Firing, *, stop: int | None = None) -> Curve:
    """Count pages, false pages and firing time for every threshold.

    Parameters
    ----------
    firing : Firing
        From `fire`.
    stop : int, optional
        Only evaluations before this column count (a training period that ends there).
    """
    from kmon_analysis.backtest import kernels

    groups, windows = firing.signal.groups, firing.windows
    end = len(firing.signal.times) if stop is None else stop

    def counted(place: int) -> tuple[tuple[Floats, Int32s], ...]:
        levels = groups[place].distinct
        counts = [np.zeros(len(levels) + 1, dtype=np.int32) for _ in range(3)]
        marks = 2 * windows.credited[place].view(np.int8) + windows.quiet.view(np.int8)
        kernels.count(firing.row(place), firing.merged, marks, end, *counts)
        return tuple(_changes(levels, each) for each in counts)

    found = for_each_group(counted, len(groups), len(firing.signal.times))
    return Curve(*(Counts(tuple(counts[kind] for counts in found)) for kind in range(3)))


def _changes(levels: Floats, counts: Int32s) -> tuple[Floats, Int32s]:
    """Keep only the levels at which a count changes, where that takes less memory: few levels start pages."""
    moves = np.flatnonzero(counts[1:] != counts[:-1])
    if 3 * len(moves) > len(levels):
        return levels, counts
    return levels[moves], counts[np.concatenate([[0], moves + 1])]


@dataclass(frozen=True, slots=True)
class Episode:
    """One page with the firing that belongs to it.

    Attributes
    ----------
    group : int
        Page group.
    labels : Labels
        Labels of the page group.
    interval : Interval
        From the first firing evaluation to the first evaluation that no longer fires.
    columns : tuple of int
        First and last firing evaluation, as columns of the grid.
    firing_columns : int
        Evaluations that fire within it.
    """

    group: int
    labels: Labels
    interval: Interval
    columns: tuple[int, int]
    firing_columns: int


def episodes(firing: Firing, level: float) -> tuple[Episode, ...]:
    """List the pages at one level, in the order of their start.

    Parameters
    ----------
    firing : Firing
        From `fire`.
    level : float
        `Signal.level` of the threshold.
    """
    found: list[Episode] = []
    times, step_ms = firing.signal.times, firing.signal.step_ms
    for place, group in enumerate(firing.signal.groups):
        columns = np.flatnonzero(firing.fires(place, level))
        if not len(columns):
            continue
        # A page begins where no earlier firing lies in the merge window.
        begins = np.concatenate([[True], columns[:-1] < firing.merged[columns[1:]]])
        starts = np.flatnonzero(begins)
        ends = np.concatenate([starts[1:], [len(columns)]])
        for low, high in zip(starts, ends, strict=True):
            first, last = int(columns[low]), int(columns[high - 1])
            over = int(times[last + 1]) if last + 1 < len(times) else int(times[last]) + step_ms
            interval = Interval(int(times[first]), over)
            found.append(Episode(place, group.labels, interval, (first, last), int(high - low)))
    return tuple(sorted(found, key=lambda episode: (episode.interval.start_ms, episode.group)))


def touches(episode: Episode, firing: Firing, level: float, mask: Bools | Sequence[bool]) -> bool:
    """Tell whether the episode fires at any evaluation of the mask, shape (T,)."""
    first, last = episode.columns
    rank = firing.signal.groups[episode.group].index(level)
    fires = firing.rows[episode.group][first : last + 1] > rank
    return bool(np.any(fires & np.asarray(mask)[first : last + 1]))
