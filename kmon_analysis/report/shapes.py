"""What the plots draw, as plain arrays: thinned lines, step functions, runs. Nothing here draws."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kmon_analysis.backtest.pages import Counts, Firing
from kmon_analysis.backtest.score import Reach
from kmon_analysis.backtest.signal import Group, Signal
from kmon_analysis.labels import Labels
from kmon_analysis.timing import MINUTE_MS, Interval

__all__ = [
    "LANES",
    "Lane",
    "SignalLines",
    "Steps",
    "combined_delays",
    "delay_steps",
    "envelope",
    "finite_range",
    "lane",
    "peak",
    "presence",
    "signal_lines",
    "steps_of",
    "thin_line",
    "thin_mask",
]

Bools = npt.NDArray[np.bool_]
Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Line = tuple[Floats, Floats]

# Pixels across a picture that is printed or shown on a wide screen.
COLUMNS = 1200
# Columns of an envelope: narrower ones of several series are a solid mass.
ENVELOPE_COLUMNS = 360
# A hole of more than one and a half steps in the evaluations is a gap, not jitter.
GAP_STEPS = 1.5
# Series of a rule without a threshold that get a row of their own.
LANES = 8


# ---- along time ---------------------------------------------------------------------------------


def thin_line(
    times: Int64s, values: Floats, period: Interval, step_ms: int, columns: int = COLUMNS
) -> tuple[Floats, Floats]:
    """Reduce a line to what a picture of some pixels' width can show, keeping extremes and gaps.

    Parameters
    ----------
    times : int64 array, shape (T,)
        Evaluations, ascending, in milliseconds.
    values : float64 array, shape (T,)
        NaN where there is nothing.
    period : Interval
        What is drawn.
    step_ms : int
        Usual distance of the evaluations.
    columns : int
        Width of the picture in pixels.

    Returns
    -------
    x, y : float64 arrays
        Milliseconds and values, with NaN where the line breaks. At most five points a column; every
        column shows its least and greatest value, and a gap inside a column breaks the line there.
    """
    low, high = np.searchsorted(times, [period.start_ms, period.end_ms])
    when, what = times[low:high].astype(np.float64), values[low:high]
    if not len(when):
        return np.empty(0), np.empty(0)
    hole_after = np.diff(when, append=when[-1]) > GAP_STEPS * step_ms
    if len(when) <= 2 * columns:
        # Each value is drawn as a short dash, so that one between two gaps is seen, too.
        x = np.column_stack([when - step_ms / 4, when + step_ms / 4, when + step_ms / 2]).ravel()
        y = np.column_stack([what, what, np.where(hole_after, np.nan, what)]).ravel()
        kept = np.ones(len(x), dtype=np.bool_)
        kept[2::3] = hole_after
        return x[kept], y[kept]
    width = period.duration_ms / columns
    column = ((when - period.start_ms) / width).astype(np.int64)
    starts = np.flatnonzero(np.diff(column, prepend=-1))
    present = column[starts]
    least, most = np.fmin.reduceat(what, starts), np.fmax.reduceat(what, starts)
    broken = np.logical_or.reduceat(np.isnan(what) | hole_after, starts)
    broken |= np.diff(present, append=present[-1] + 1) > 1
    # Turning every other pair round keeps neighbouring columns joined at their near ends.
    swapped = np.arange(len(starts)) % 2 == 1
    left = period.start_ms + present * width
    x = np.column_stack([left + 0.25 * width, left + 0.75 * width, left + width]).ravel()
    y = np.column_stack(
        [np.where(swapped, most, least), np.where(swapped, least, most), np.full(len(starts), np.nan)]
    ).ravel()
    kept = np.ones(len(x), dtype=np.bool_)
    kept[2::3] = broken
    return x[kept], y[kept]


def envelope(
    times: Int64s, values: Floats, period: Interval, step_ms: int, columns: int
) -> tuple[Floats, Floats, Floats]:
    """Reduce a line to its least and greatest value in each column of a picture.

    Parameters
    ----------
    times, values, period, step_ms
        As for `thin_line`.
    columns : int
        Columns of the picture.

    Returns
    -------
    x, low, high : float64 arrays
        Both edges of each column in milliseconds and its extremes. A hole longer than half a column ends the column at
        the value before it and begins the next at the value after it, with NaN between them.
    """
    begin, end = np.searchsorted(times, [period.start_ms, period.end_ms])
    what = values[begin:end]
    there = ~np.isnan(what)
    when, what = times[begin:end][there].astype(np.float64), what[there]
    if not len(when):
        return np.empty(0), np.empty(0), np.empty(0)
    # A column narrower than a step would be empty between any two evaluations.
    width = max(period.duration_ms / columns, float(step_ms))
    column = ((when - period.start_ms) / width).astype(np.int64)
    hole = np.diff(when, prepend=-np.inf) > max(GAP_STEPS * step_ms, width / 2)
    starts = np.flatnonzero((np.diff(column, prepend=-1) != 0) | hole)
    edge = period.start_ms + column[starts] * width
    left = np.where(hole[starts], when[starts], edge)
    ended = np.append(hole[starts][1:], True)
    last = np.append(when[starts[1:] - 1], when[-1])
    # Half a column stays free behind each end: what is shorter than that would not be seen.
    right = np.minimum(np.where(ended, np.maximum(last + step_ms, left + width / 2), edge + width), period.end_ms)
    kept = np.column_stack([np.ones((len(starts), 2), dtype=np.bool_), ended]).ravel()
    x = np.column_stack([left, right, right]).ravel()[kept][:-1]
    least, most = np.minimum.reduceat(what, starts), np.maximum.reduceat(what, starts)
    gap = np.full(len(starts), np.nan)
    low, high = (np.column_stack([side, side, gap]).ravel()[kept][:-1] for side in (least, most))
    return x, low, high


def peak(line: Line, *, falls: bool) -> Line:
    """Return the point of a line that comes nearest to firing: its highest, of a rule that fires below, its lowest.

    Returns
    -------
    x, y : float64 arrays
        One point; none of a line without values.
    """
    x, y = line
    if not np.isfinite(y).any():
        return x[:0], y[:0]
    at = int(np.nanargmin(y) if falls else np.nanargmax(y))
    return x[at : at + 1], y[at : at + 1]


def thin_mask(times: Int64s, mask: Bools, period: Interval, step_ms: int, columns: int = COLUMNS) -> Floats:
    """Reduce a state over time to runs; one of a single evaluation stays at least a pixel wide.

    Returns
    -------
    float64 array, shape (N, 2)
        Start and length in milliseconds, as `broken_barh` wants them.
    """
    low, high = np.searchsorted(times, [period.start_ms, period.end_ms])
    on, when = mask[low:high], times[low:high]
    if not on.any():
        return np.empty((0, 2))
    edges = np.diff(on.astype(np.int8), prepend=0, append=0)
    first, last = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1
    starts, ends = when[first].astype(np.float64), when[last].astype(np.float64) + step_ms
    width = period.duration_ms / columns
    ends = np.maximum(ends, starts + width)
    # Runs nearer to each other than a pixel are one bar on the picture.
    apart = np.concatenate([[True], starts[1:] > np.maximum.accumulate(ends)[:-1] + width])
    opens = np.flatnonzero(apart)
    closes = np.maximum.reduceat(ends, opens)
    return np.column_stack([starts[opens], closes - starts[opens]])


@dataclass(frozen=True)
class SignalLines:
    """The compared values of a rule, ready to draw.

    Attributes
    ----------
    labels : tuple of Labels
        Series that get a line of their own: the preferred ones first, then those that come nearest to firing.
    lines : tuple of (x, y)
        As from `thin_line`.
    rest : int
        Number of the other series.
    rest_low, rest_high : (x, y) or None
        Their least and greatest value at every evaluation.
    low, high : float
        Range of all finite values in the period; NaN when there are none.
    least_positive : float
        Smallest value above zero; NaN when there is none.
    infinite : int
        Infinite values, which no line can show.
    envelopes : tuple of (x, low, high)
        As from `envelope`, for each line, then for the others together if there are any; none where every evaluation
        has its place on the picture.
    """

    labels: tuple[Labels, ...]
    lines: tuple[Line, ...]
    rest: int
    rest_low: Line | None
    rest_high: Line | None
    low: float
    high: float
    least_positive: float
    infinite: int
    envelopes: tuple[tuple[Floats, Floats, Floats], ...] = ()


def signal_lines(
    signal: Signal,
    period: Interval,
    *,
    lines: int = 6,
    columns: int = COLUMNS,
    first: Collection[Labels] = (),
    enveloped: bool = False,
) -> SignalLines:
    """Choose and thin the lines of a signal.

    Parameters
    ----------
    signal : Signal
        From `RuleBacktest.signal`.
    period : Interval
        What is drawn.
    lines : int
        Most lines of their own.
    columns : int
        Width of the picture in pixels.
    first : collection of Labels
        Series to prefer to all others.
    enveloped : bool
        Add envelopes where there are more evaluations than the picture can show.
    """
    low, high = np.searchsorted(signal.times, [period.start_ms, period.end_ms])
    times = signal.times[low:high]
    # (not preferred, highest level, place in the order of labels, group, row); series without any level are left out.
    peaks = sorted(
        (group.members[row] not in first, -float(group.distinct[highest - 1]), place, group, row)
        for place, (group, row) in enumerate(
            (group, row) for group in signal.groups for row in range(len(group.members))
        )
        if (highest := int(group.ranks[row, low:high].max(initial=0)))
    )
    order = [(group, row) for _, _, _, group, row in peaks]
    own = order if len(order) <= lines else order[: lines - 1]
    others = order[len(own) :]
    range_of = _Range()

    def values(group: Group, row: int) -> Floats:
        levels = group.levels(group.ranks[row, low:high])
        shown = np.where(np.isfinite(levels), -levels if signal.falls else levels, np.nan)
        range_of.add(shown, int(np.count_nonzero(levels == np.inf)))
        return shown

    def thin(line: Floats) -> Line:
        return thin_line(times, line, period, signal.step_ms, columns)

    whole = [values(group, row) for group, row in own]
    crowded = enveloped and len(times) > 2 * columns
    top, bottom = np.full(len(times), np.nan), np.full(len(times), np.nan)
    for group, row in others:
        line = values(group, row)
        np.fmax(top, line, out=top)
        np.fmin(bottom, line, out=bottom)
    envelopes = [envelope(times, line, period, signal.step_ms, ENVELOPE_COLUMNS) for line in whole if crowded]
    if crowded and others:
        (x, low_edge, _), (_, _, high_edge) = (
            envelope(times, line, period, signal.step_ms, ENVELOPE_COLUMNS) for line in (bottom, top)
        )
        envelopes.append((x, low_edge, high_edge))
    return SignalLines(
        labels=tuple(group.members[row] for group, row in own),
        lines=tuple(map(thin, whole)),
        rest=len(others),
        rest_low=thin(bottom) if others else None,
        rest_high=thin(top) if others else None,
        low=range_of.low,
        high=range_of.high,
        least_positive=range_of.least_positive,
        infinite=range_of.infinite,
        envelopes=tuple(envelopes),
    )


class _Range:
    """Extremes of several lines, gathered as they pass."""

    def __init__(self) -> None:
        self.low = self.high = self.least_positive = np.nan
        self.infinite = 0

    def add(self, values: Floats, infinite: int) -> None:
        self.infinite += infinite
        known = values[~np.isnan(values)]
        if len(known):
            self.low, self.high = float(np.fmin(self.low, known.min())), float(np.fmax(self.high, known.max()))
        positive = known[known > 0]
        if len(positive):
            self.least_positive = float(np.fmin(self.least_positive, positive.min()))


@dataclass(frozen=True)
class Lane:
    """The alert states of a rule at one setting, over all its alerts.

    Attributes
    ----------
    firing, pending : float64 arrays, shape (N, 2)
        Runs as from `thin_mask`; pending only where nothing fires.
    """

    firing: Floats
    pending: Floats


def lane(
    firing: Firing, level: float, period: Interval, columns: int = COLUMNS, groups: Collection[int] | None = None
) -> Lane:
    """Compute the states at one level, of all page groups or some of them."""
    signal = firing.signal
    fires, active = (np.zeros(len(signal.times), dtype=np.bool_) for _ in range(2))
    for place, group in enumerate(signal.groups):
        if groups is not None and place not in groups:
            continue
        fires |= firing.fires(place, level)
        for ranks in group.ranks:
            active |= ranks > group.index(level)
    runs = [thin_mask(signal.times, mask, period, signal.step_ms, columns) for mask in (fires, active & ~fires)]
    return Lane(*runs)


def presence(
    signal: Signal, period: Interval, *, lanes: int = LANES, columns: int = COLUMNS
) -> list[tuple[Labels, Floats]]:
    """Return when the series of a rule without a threshold are returned, the most frequent first."""
    low, high = np.searchsorted(signal.times, [period.start_ms, period.end_ms])
    rows = [
        (member, ranks > 0) for group in signal.groups for member, ranks in zip(group.members, group.ranks, strict=True)
    ]
    rows.sort(key=lambda row: -int(np.count_nonzero(row[1][low:high])))
    return [(member, thin_mask(signal.times, mask, period, signal.step_ms, columns)) for member, mask in rows[:lanes]]


# ---- along the threshold ------------------------------------------------------------------------


@dataclass(frozen=True)
class Steps:
    """A step function of the threshold.

    Attributes
    ----------
    edges : float64 array, shape (N,)
        Thresholds at which it changes, ascending.
    heights : float64 array, shape (N + 1,)
        ``heights[i]`` holds between ``edges[i - 1]`` and ``edges[i]``; NaN: nothing there.
    """

    edges: Floats
    heights: Floats

    def between(self, threshold: float) -> float:
        """Return the height at a threshold that is no edge."""
        return float(self.heights[np.searchsorted(self.edges, threshold)])

    def polyline(self, bounds: Floats) -> tuple[Floats, Floats]:
        """Return the corners of the function, thinned where more edges fall on a pixel than can be seen.

        Parameters
        ----------
        bounds : float64 array, shape (P + 1,)
            Ascending thresholds that delimit the pixels of the picture.

        Returns
        -------
        x, y : float64 arrays
            Exact corners where there are few edges; else for each pixel its first, least, greatest and
            last height.
        """
        low, high = np.searchsorted(self.edges, [bounds[0], bounds[-1]], side="right")
        inside = self.edges[low:high]
        heights = self.heights[low : high + 1]
        if len(inside) <= 2 * len(bounds):
            x = np.concatenate([bounds[:1], np.repeat(inside, 2), bounds[-1:]])
            return x, np.repeat(heights, 2)
        places = np.searchsorted(inside, bounds, side="right")
        starts, ends = places[:-1], places[1:]
        # reduceat takes [start, next start); each pixel also shows the height it ends with.
        least = np.fmin(np.fmin.reduceat(heights, starts), heights[ends])
        most = np.fmax(np.fmax.reduceat(heights, starts), heights[ends])
        middle = (bounds[:-1] + bounds[1:]) / 2
        x = np.column_stack([bounds[:-1], middle, middle, bounds[1:]]).ravel()
        y = np.column_stack([heights[starts], least, most, heights[ends]]).ravel()
        return x, y


def _in_thresholds(signal: Signal, levels: Floats, heights: Floats) -> Steps:
    """Turn a function of the level that changes at `levels` into one of the threshold."""
    changes = np.flatnonzero((heights[1:] != heights[:-1]) & ~(np.isnan(heights[1:]) & np.isnan(heights[:-1])))
    edges, heights = levels[changes], heights[np.concatenate([[0], changes + 1])]
    if signal.falls:
        edges, heights = -edges[::-1], heights[::-1]
    # An infinite edge is never reached: what lies beyond it belongs to no threshold.
    if len(edges) and edges[-1] == np.inf:
        edges, heights = edges[:-1], heights[:-1]
    if len(edges) and edges[0] == -np.inf:
        edges, heights = edges[1:], heights[1:]
    return Steps(edges, heights)


def steps_of(signal: Signal, counts: Counts, scale: float = 1.0) -> Steps:
    """Turn counts of a `Curve` into a step function of the threshold.

    Parameters
    ----------
    signal : Signal
        That the curve belongs to.
    counts : Counts
        Of pages or false pages.
    scale : float
        Counts are divided by it (weeks, for rates).
    """
    levels, totals = counts.steps()
    return _in_thresholds(signal, levels[1:], totals / scale)


def delay_steps(signal: Signal, reach: Reach) -> Steps:
    """Return the delay of one incident in minutes; NaN where the rule misses it or fired before it.

    Where the page of an earlier incident tells of it, it has none to wait for.
    """
    delays = np.maximum(0, reach.times - reach.incident.interval.start_ms) / MINUTE_MS
    known = reach.levels > reach.already
    levels, delays = reach.levels[known], delays[known]
    if np.isfinite(reach.already):
        levels = np.concatenate([[reach.already], levels])
        delays = np.concatenate([[np.nan if reach.stuck == reach.already else 0.0], delays])
        if np.isfinite(reach.stuck) and reach.stuck < reach.already:
            levels = np.concatenate([[reach.stuck], levels])
            delays = np.concatenate([[np.nan], delays])
    return _in_thresholds(signal, levels, np.concatenate([delays, [np.nan]]))


def combined_delays(each: Sequence[Steps]) -> tuple[Steps, Steps]:
    """Return median and worst of several incidents' delays.

    Notes
    -----
    A missed incident has an unknown, longer delay than all others (it is censored), so the worst delay
    is known only where all are found, and the median only where more than half are.
    """
    if not each:
        nothing = Steps(np.empty(0), np.array([np.nan]))
        return nothing, nothing
    edges = np.unique(np.concatenate([steps.edges for steps in each]))
    # Between two edges: the height after the last edge at or below the left one.
    table = np.stack(
        [steps.heights[np.concatenate([[0], np.searchsorted(steps.edges, edges, side="right")])] for steps in each]
    )
    filled = np.sort(np.where(np.isnan(table), np.inf, table), axis=0)
    half = (len(each) - 1) // 2
    middle = (filled[half] + filled[len(each) // 2]) / 2
    both = [np.where(np.isinf(heights), np.nan, heights) for heights in (middle, filled[-1])]
    return Steps(edges, both[0]), Steps(edges, both[1])


def finite_range(parts: Iterable[Steps]) -> tuple[float, float, float]:
    """Return the least, greatest and least positive edge of step functions (NaN without any)."""
    edges = np.concatenate([steps.edges for steps in parts] or [np.empty(0)])
    edges = edges[np.isfinite(edges)]
    positive = edges[edges > 0]
    return (
        float(edges.min()) if len(edges) else np.nan,
        float(edges.max()) if len(edges) else np.nan,
        float(positive.min()) if len(positive) else np.nan,
    )
