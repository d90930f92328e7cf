"""Signs that something was wrong: where a rule's signal, its series or its targets were far from ordinary."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from kmon_analysis.backtest.breach import top_level
from kmon_analysis.backtest.pages import Curve, Firing
from kmon_analysis.backtest.rule import RuleBacktest
from kmon_analysis.backtest.run import Backtest, observed_evaluations
from kmon_analysis.labelling.ordinary import BIN_MS, Bins, excess, excess_floor, negligible, ordinary, runs
from kmon_analysis.labelling.phrases import amount, times
from kmon_analysis.labels import METRIC_NAME, Labels
from kmon_analysis.promql.printer import format_number
from kmon_analysis.timing import Interval, duration, format_duration

__all__ = ["Sign", "SignKind", "find_signs"]

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]

SignKind = Literal["level", "firing", "gone", "down", "no data"]

# Half as high again as what is ordinary is worth a look.
LEAST_EXCESS = math.log(1.5)
# Breaks of so many bins do not end a sign.
BRIDGED_BINS = 2
# Series that are away for less than this were scraped badly.
FEWEST_GONE_BINS = 2


@dataclass(frozen=True, slots=True)
class Sign:
    """One thing that was out of the ordinary for a while.

    Attributes
    ----------
    kind : {"level", "firing", "gone", "down", "no data"}
        The compared value was extreme; a rule without a threshold fired; there was nothing to compare; ``up`` was
        0; nothing at all was recorded.
    rule : str
        The alert whose signal it is; empty for ``down`` and ``no data``.
    labels : Labels
        What it concerns: the labels that tell the rule's alerts apart.
    interval : Interval
        How long it lasted.
    strength : float
        Its height above the ordinary, as a logarithm, times the logarithm of its length.
    why : str
        The same in words.
    """

    kind: SignKind
    rule: str
    labels: Labels
    interval: Interval
    strength: float
    why: str


def find_signs(result: Backtest) -> tuple[Sign, ...]:
    """List everything that was out of the ordinary in a history, for the rules of a backtest.

    Parameters
    ----------
    result : Backtest
        Of rules on a history; its incidents are not looked at.

    Notes
    -----
    Each alert is compared with itself at the same hour of other days and weeks
    (`kmon_analysis.labelling.ordinary.ordinary`), in bins of five minutes, after its ``for`` has been applied.
    """
    bins = Bins.over(result.history.interval)
    found: list[Sign] = []
    for name, replay in result.items():
        found += _Replayed(name, replay, bins).signs()
    found += _down(result, bins)
    found += _no_data(result, bins)
    return tuple(found)


def strength(height: float, bins: int) -> float:
    """Weigh a sign: its greatest height, as a logarithm, times the logarithm of its length."""
    return height * math.log2(1 + bins)


class _Replayed:
    """One rule's alerts, cut into bins."""

    def __init__(self, name: str, replay: RuleBacktest, bins: Bins) -> None:
        self.name, self.replay, self.bins = name, replay, bins
        self.firing: Firing = replay.firing()
        self.signal = self.firing.signal
        self.telling = _telling([group.labels for group in self.signal.groups])
        self.sweepable = replay.knobs.sweepable
        self.threshold = replay.knobs.threshold or 0.0
        seen = replay.observed(self.signal).astype(np.float64)
        self.seen: Bools = bins.highest(self.signal.times, seen) > 0

    def signs(self) -> Iterator[Sign]:
        """Yield what was out of the ordinary."""
        if not len(self.signal.times):
            return
        fired = [group.levels(self.firing.row(place)) for place, group in enumerate(self.signal.groups)]
        binned = [self.bins.highest(self.signal.times, row) for row in fired]
        together = np.concatenate(binned) if binned else np.empty(0)
        for place, (row, levels) in enumerate(zip(fired, binned, strict=True)):
            raw = self.signal.groups[place]
            there = raw.ranks.max(axis=0, initial=0) > 0
            # Before a series is born, or after history begins without it, it is not gone.
            born = self.bins.of(self.signal.times[[int(np.argmax(there))]])[0] if there.any() else self.bins.count
            known = self.seen & (np.arange(self.bins.count) >= born)
            if self.sweepable:
                unit = negligible(levels if self.signal.falls else together, self.threshold, falls=self.signal.falls)
                yield from self._levels(place, row, levels, known, unit)
                present = self.bins.highest(self.signal.times, there.astype(np.float64)) > 0
                yield from self._gone(place, known & ~present, known)
            else:
                yield from self._fired(place, levels, known)

    def _levels(self, place: int, row: Floats, levels: Floats, known: Bools, unit: float) -> Iterator[Sign]:
        """Yield where the compared value was beyond the ordinary for as long as the rule waits."""
        falls = self.signal.falls
        usual, basis = ordinary(levels, known)
        height = excess(levels, usual, unit, falls=falls)
        floor = excess_floor(usual, unit, LEAST_EXCESS, falls=falls)
        over = row >= floor[self.bins.of(self.signal.times)]
        for first, last in runs(height >= LEAST_EXCESS, BRIDGED_BINS):
            inside = slice(*np.searchsorted(self.signal.times, _ends(self.bins.span(first, last))))
            columns = np.flatnonzero(over[inside]) + inside.start
            if not len(columns):
                continue
            interval = self._interval(int(columns[0]), int(columns[-1]))
            held = float(levels[first : last + 1].max())
            ends = np.searchsorted(self.signal.times, _ends(interval))
            peak = top_level(self.signal.groups[place], slice(int(ends[0]), int(ends[1])))
            best = first + int(np.argmax(height[first : last + 1]))
            why = self._why(place, interval, (peak, held), float(usual[best]), basis, columns)
            yield Sign("level", self.name, self._labels(place), interval, self._weigh(height, first, last), why)

    def _fired(self, place: int, levels: Floats, known: Bools) -> Iterator[Sign]:
        """Yield where a rule without a threshold fired, and does not at that hour otherwise."""
        on = np.isfinite(levels)
        for first, last, height in _rare(on, known):
            inside = slice(*np.searchsorted(self.signal.times, _ends(self.bins.span(first, last))))
            columns = np.flatnonzero(self.firing.row(place)[inside]) + inside.start
            interval = self._interval(int(columns[0]), int(columns[-1]))
            why = f"{self._named(place)} fired for {duration(interval.duration_ms)}; it fires {_share(on, known)}"
            yield Sign("firing", self.name, self._labels(place), interval, height, why)

    def _gone(self, place: int, gone: Bools, known: Bools) -> Iterator[Sign]:
        """Yield where there was nothing to compare, although the rest was recorded."""
        long = np.zeros(len(gone), dtype=np.bool_)
        for first, last in runs(gone):
            long[first : last + 1] = last - first + 1 >= FEWEST_GONE_BINS
        for first, last, height in _rare(long, known):
            span = self.bins.span(first, last)
            # A series is still seen for the lookback after its last sample.
            interval = Interval(span.start_ms - self.replay.semantics.lookback_ms, span.end_ms)
            how_long = duration(interval.duration_ms)
            why = f"{self._named(place)} had nothing to compare for {how_long}; its series were gone"
            yield Sign("gone", self.name, self._labels(place), interval, height, why)

    def _interval(self, first: int, last: int) -> Interval:
        """Return from when the condition held to when it no longer did."""
        at = self.signal.times
        return Interval(int(at[first]) - self.replay.rule.for_ms, int(at[last]) + self.signal.step_ms)

    def _weigh(self, height: Floats, first: int, last: int) -> float:
        return strength(float(height[first : last + 1].max()), last - first + 1)

    def _labels(self, place: int) -> Labels:
        return self.signal.groups[place].labels.only(self.telling)

    def _named(self, place: int) -> str:
        labels = self._labels(place)
        return f"{self.name}{labels}" if labels else self.name

    def _why(
        self, place: int, interval: Interval, reached: tuple[float, float], usual: float, basis: str, columns: Int64s
    ) -> str:
        """Tell a sign of the level in words; `reached` is its peak, and the level held for the rule's ``for``."""
        peak, held = reached
        falls, for_ms = self.signal.falls, self.replay.rule.for_ms
        value, normal = (-peak, -usual) if falls else (peak, usual)
        bound = "no value" if math.isinf(normal) else f"ordinarily at {'least' if falls else 'most'} {amount(normal)}"
        # Beyond what is ordinary all the time, at the peak perhaps for a moment.
        side, way = ("below", "down") if falls else ("above", "up")
        extreme = f"{side} ordinary for {duration(interval.duration_ms)}, {way} to {amount(value)}"
        paged = bool(np.any(self.firing.fires(place, self.replay.level())[columns]))
        deployed = f"{self.replay.knobs.op} {format_number(self.threshold)}" + (
            f" for {format_duration(for_ms)}" if for_ms else ""
        )
        pages = self.curve.pages.at(math.nextafter(held, -math.inf))
        short = (
            "this value"
            if held == peak
            else f"the {amount(-held if falls else held)} held for {format_duration(for_ms)}"
        )
        return (
            f"{self._named(place)} {extreme}; {basis} {bound}. As deployed ({deployed}) it "
            f"{'fired' if paged else 'did not fire'}; a threshold just short of {short} pages {times(pages)} in all"
        )

    @cached_property
    def curve(self) -> Curve:
        """Pages at every threshold."""
        return self.replay.curve()


def _telling(groups: list[Labels]) -> tuple[str, ...]:
    """Name the labels whose values differ between alerts."""
    names = sorted({name for labels in groups for name in labels if name not in (METRIC_NAME, "alertname")})
    return tuple(name for name in names if len({labels.value(name) for labels in groups}) > 1)


def _ends(interval: Interval) -> tuple[int, int]:
    return interval.start_ms, interval.end_ms


def _ratio(on: Bools, known: Bools) -> float:
    return float(np.count_nonzero(on & known)) / max(1, int(np.count_nonzero(known)))


def _share(on: Bools, known: Bools) -> str:
    return f"in {100 * _ratio(on, known):.2g} % of the time"


def _rare(on: Bools, known: Bools) -> Iterator[tuple[int, int, float]]:
    """Yield (first, last, strength) of what is on now and neither at this hour otherwise nor often."""
    usual, _ = ordinary(on.astype(np.float64), known)
    share = _ratio(on, known)
    if not share:
        return
    height = np.log10(1 / share)
    for first, last in runs(on & known & (usual < 1), BRIDGED_BINS):
        yield first, last, strength(float(height), last - first + 1)


def _down(result: Backtest, bins: Bins) -> Iterator[Sign]:
    """Yield where targets could not be scraped, job by job."""
    jobs: dict[str, list[tuple[Bools, Bools]]] = {}
    for part in result.history.series:
        if part.labels.value(METRIC_NAME) != "up" or not len(part.times):
            continue
        inside = (part.times >= bins.start_ms) & (part.times < bins.start_ms + bins.count * BIN_MS)
        answered = bins.highest(part.times[inside], np.nan_to_num(part.values[inside], nan=-np.inf))
        jobs.setdefault(part.labels.value("job"), []).append((answered > 0, answered == 0))
    for job, targets in sorted(jobs.items()):
        down = np.sum([zero for _, zero in targets], axis=0)
        known = np.any([one | zero for one, zero in targets], axis=0)
        for first, last, height in _rare(down > 0, known):
            interval = bins.span(first, last)
            most = int(down[first : last + 1].max())
            there = int(np.sum([one | zero for one, zero in targets], axis=0)[first : last + 1].max())
            labels = Labels({"job": job})
            why = f"{most} of {there} targets of {labels} were down (up = 0) for {duration(interval.duration_ms)}"
            yield Sign("down", "", labels, interval, height, why)


def _no_data(result: Backtest, bins: Bins) -> Iterator[Sign]:
    """Yield where nothing at all was recorded."""
    at = np.arange(bins.count, dtype=np.int64) * BIN_MS + bins.start_ms + BIN_MS - 1
    known = observed_evaluations(result.history.series, at, BIN_MS)
    for first, last, height in _rare(~known, np.ones(bins.count, dtype=np.bool_)):
        if last - first + 1 >= FEWEST_GONE_BINS:
            interval = _exact(bins.span(first, last), result.history.silences)
            why = (
                f"nothing at all was recorded for {duration(interval.duration_ms)}; if only Prometheus was down, write "
                "the window under 'excluded'"
            )
            yield Sign("no data", "", Labels(), interval, height, why)


def _exact(span: Interval, silences: Sequence[Interval]) -> Interval:
    """Return the silence that most of a span of bins lies in, which begins and ends within a bin of it."""
    near = [each for each in silences if each.overlaps(span)]
    return max(near, key=lambda each: min(each.end_ms, span.end_ms) - max(each.start_ms, span.start_ms), default=span)
