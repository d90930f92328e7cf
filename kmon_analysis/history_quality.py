"""What a history is worth: gaps, resets, churn and silence, series by series."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from kmon_analysis.errors import HistoryError
from kmon_analysis.history import History
from kmon_analysis.labels import METRIC_NAME, Labels
from kmon_analysis.series import Bools, Samples, is_stale
from kmon_analysis.tabular import MOST_ROWS, html_list, html_table, length_cell, text_lines
from kmon_analysis.timing import WEEK_MS, Interval, format_duration, format_instant

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Quality", "SeriesQuality", "quality"]

# Not "_count" and "_sum": gauges such as kafka_consumer_lag_sum are called so, too.
_COUNTER_NAMES = ("_total", "_bucket")
# A gauge falls about as often as it rises; a counter falls when its process restarts.
_MOST_FALLS = 1 / 200
_LEAST_RISES = 1 / 20


@dataclass(frozen=True, slots=True)
class SeriesQuality:
    """One series.

    Attributes
    ----------
    labels : Labels
        Which one.
    samples : int
        Samples, stale markers not counted.
    first_ms, last_ms : int
        Times of the first and the last sample.
    step_ms : int
        Median time between samples; 0 with fewer than two.
    gaps : int
        Pauses between neighbouring samples of more than two steps.
    longest_gap_ms : int
        The longest of them, or 0.
    missing_ratio : float
        Part of the history's range in which the series is silent for more than two steps, its late
        start and early end included.
    counter : bool
        Whether it looks like a counter: by its name, or because it rises and hardly ever falls.
    resets : int
        Falls of a counter; 0 for anything else.
    stale_markers : int
        How often the server declared it stale.
    nans : int
        Samples whose value is NaN.
    constant : bool
        Whether all values are equal.
    """

    labels: Labels
    samples: int
    first_ms: int
    last_ms: int
    step_ms: int
    gaps: int
    longest_gap_ms: int
    missing_ratio: float
    counter: bool
    resets: int
    stale_markers: int
    nans: int
    constant: bool


@dataclass(frozen=True, slots=True)
class MetricChurn:
    """How the series of one metric come and go.

    Attributes
    ----------
    metric : str
        Its name, or "".
    series : int
        Series that were ever there.
    most_at_once : int
        Most of them within one day.
    appeared, vanished : int
        Series that begin more than a day after the start of the history, or end more than a day
        before its end.
    """

    metric: str
    series: int
    most_at_once: int
    appeared: int
    vanished: int


@dataclass(frozen=True, slots=True, repr=False)
class Quality:
    """A data report.

    Attributes
    ----------
    interval : Interval
        Range of the history.
    series : tuple of SeriesQuality
        In the order of the history.
    churn : tuple of MetricChurn
        One entry a metric.
    silences : tuple of Interval
        Spans of more than two scrape intervals in which no series has a sample: the server or the
        network was down, or the data is lost.
    weeks : tuple of (Interval, float)
        The weeks of the history, counted from its start, and the part of each that is not silent.
    warnings : tuple of str
        What the source warned of.
    """

    interval: Interval
    series: tuple[SeriesQuality, ...]
    churn: tuple[MetricChurn, ...]
    silences: tuple[Interval, ...]
    weeks: tuple[tuple[Interval, float], ...]
    warnings: tuple[str, ...]

    @property
    def weeks_without_data(self) -> tuple[Interval, ...]:
        """The weeks in which no series has a sample."""
        return tuple(week for week, covered in self.weeks if covered == 0)

    def findings(self) -> tuple[str, ...]:
        """Return what a reader should know, in words; empty when there is nothing to say."""
        gaps = [part for part in self.series if part.gaps]
        resets = sum(part.resets for part in self.series)
        churned = [part for part in self.churn if part.appeared or part.vanished]
        words = [f"the source warned: {warning}" for warning in self.warnings]
        words += [f"no series has samples {_shown(silence)}" for silence in self.silences]
        if gaps:
            worst = max(gaps, key=lambda part: part.longest_gap_ms)
            words.append(
                f"{len(gaps)} of {len(self.series)} series have gaps, {sum(part.gaps for part in gaps)} in all; "
                f"the longest is {format_duration(worst.longest_gap_ms)} in {worst.labels}"
            )
        if resets:
            words.append(f"{resets} counter resets in {sum(part.resets > 0 for part in self.series)} series")
        words += [
            f"{part.metric or '{}'}: {part.appeared} of {part.series} series begin later than the history, "
            f"{part.vanished} end earlier; at most {part.most_at_once} on one day"
            for part in churned
        ]
        return tuple(words)

    def to_frame(self) -> pd.DataFrame:
        """Return one row a series; times are UTC, durations are in seconds."""
        import pandas as pd

        rows = [{field.name: getattr(part, field.name) for field in fields(part)} for part in self.series]
        frame = pd.DataFrame(rows, columns=[field.name for field in fields(SeriesQuality)])
        frame["labels"] = frame["labels"].map(str)
        for name in ("first_ms", "last_ms"):
            frame[name] = pd.to_datetime(frame[name], unit="ms", utc=True)
        for name in ("step_ms", "longest_gap_ms"):
            frame[name] = frame[name] / 1000
        names = {"labels": "series", "first_ms": "first", "last_ms": "last"}
        names |= {"step_ms": "step_s", "longest_gap_ms": "longest_gap_s"}
        return frame.rename(columns=names).set_index("series")

    def __repr__(self) -> str:
        words = "".join(f"\n  {line}" for line in text_lines(self.findings())) or "\n  nothing to complain of"
        return f"<Quality: {len(self.series)} series {_shown(self.interval)}>{words}"

    def _repr_html_(self) -> str:
        order = sorted(self.series, key=lambda part: (-part.missing_ratio, -part.gaps, -part.resets))
        rows = [
            (
                str(part.labels),
                f"{part.samples:,}",
                length_cell(part.step_ms),
                f"{part.gaps:,}",
                length_cell(part.longest_gap_ms),
                f"{part.missing_ratio:.1%}",
                f"{part.resets:,}",
                f"{part.stale_markers:,}",
                f"{part.nans:,}",
            )
            for part in order
        ]
        header = ("series", "samples", "step", "gaps", "longest gap", "missing", "resets", "stale markers", "NaN")
        caption = "Series, those that miss most first"
        return html_list(self.findings()) + html_table(header, rows, caption=caption, most=MOST_ROWS)


def quality(history: History) -> Quality:
    """Look through a history for what weakens conclusions from it.

    Parameters
    ----------
    history : History
        Any.

    Returns
    -------
    Quality
        A report; its `findings` are the short form.
    """
    try:
        step_ms = history.scrape_interval_ms
    except HistoryError:
        step_ms = 0
    alive = [Samples(part.labels, part.times[~stale], part.values[~stale]) for part, stale in _with_stale(history)]
    markers = [int(stale.sum()) for _, stale in _with_stale(history)]
    interval = history.interval
    series = tuple(
        _series_quality(part, count, interval, step_ms)
        for part, count in zip(alive, markers, strict=True)
        if len(part.times)
    )
    silences = tuple(_silences([part for part in alive if len(part.times)], interval, step_ms))
    return Quality(
        interval=interval,
        series=series,
        churn=tuple(_churn(alive, interval)),
        silences=silences,
        weeks=tuple(_weeks(interval, silences)),
        warnings=history.provenance.warnings,
    )


def _with_stale(history: History) -> Iterator[tuple[Samples, Bools]]:
    return ((part, is_stale(part.values)) for part in history.series)


def _series_quality(part: Samples, markers: int, interval: Interval, usual_ms: int) -> SeriesQuality:
    steps = np.diff(part.times)
    step_ms = int(np.median(steps)) if len(steps) else 0
    long = steps[steps > 2 * step_ms]
    inside = np.clip(part.times, interval.start_ms, interval.end_ms)
    ends = np.concatenate([[interval.start_ms], inside, [interval.end_ms]])
    pauses = np.diff(ends)
    bearable = 2 * (step_ms or usual_ms)
    missing = float(pauses[pauses > bearable].sum()) / max(interval.duration_ms, 1)
    values = part.values[~np.isnan(part.values)]
    with np.errstate(invalid="ignore"):
        changes = np.diff(values)
    falls, rises = int(np.count_nonzero(changes < 0)), int(np.count_nonzero(changes > 0))
    counter = part.labels.value(METRIC_NAME).endswith(_COUNTER_NAMES) or (
        rises > _LEAST_RISES * len(changes) and falls <= _MOST_FALLS * len(changes) and bool(np.all(values >= 0))
    )
    return SeriesQuality(
        labels=part.labels,
        samples=len(part.times),
        first_ms=int(part.times[0]),
        last_ms=int(part.times[-1]),
        step_ms=step_ms,
        gaps=len(long),
        longest_gap_ms=int(long.max()) if len(long) else 0,
        missing_ratio=missing,
        counter=counter,
        resets=falls if counter else 0,
        stale_markers=markers,
        nans=len(part.values) - len(values),
        constant=len(values) == len(part.values) and bool(np.all(values == values[:1])),
    )


def _silences(parts: list[Samples], interval: Interval, step_ms: int) -> Iterator[Interval]:
    """Yield the spans of more than two steps without a sample of any series."""
    if not interval.duration_ms or not step_ms:
        return
    # Marking buckets costs one pass a series; sorting all times together would cost far more.
    buckets = -(-interval.duration_ms // step_ms)
    marked = np.zeros(buckets, dtype=np.bool_)
    for part in parts:
        inside = part.times[(part.times >= interval.start_ms) & (part.times < interval.end_ms)]
        marked[(inside - interval.start_ms) // step_ms] = True
    edges = np.flatnonzero(np.diff(np.concatenate([[True], marked, [True]]).astype(np.int8)))
    for low, high in edges.reshape(-1, 2).tolist():
        if high - low > 2:
            yield Interval(interval.start_ms + low * step_ms, min(interval.start_ms + high * step_ms, interval.end_ms))


def _weeks(interval: Interval, silences: tuple[Interval, ...]) -> Iterator[tuple[Interval, float]]:
    for start_ms in range(interval.start_ms, interval.end_ms, WEEK_MS):
        week = Interval(start_ms, min(start_ms + WEEK_MS, interval.end_ms))
        silent = sum(
            max(min(silence.end_ms, week.end_ms) - max(silence.start_ms, week.start_ms), 0) for silence in silences
        )
        yield week, 1 - silent / week.duration_ms


def _churn(parts: list[Samples], interval: Interval) -> Iterator[MetricChurn]:
    """Yield one entry a metric, days counted from the start of the history."""
    day_ms = WEEK_MS // 7
    days = max(-(-interval.duration_ms // day_ms), 1)
    by_metric: dict[str, list[Samples]] = {}
    for part in parts:
        if len(part.times):
            by_metric.setdefault(part.labels.value(METRIC_NAME), []).append(part)
    for metric, members in sorted(by_metric.items()):
        there = np.zeros(days, dtype=np.int64)
        for part in members:
            day = np.unique((part.times - interval.start_ms) // day_ms)
            there[day[(day >= 0) & (day < days)]] += 1
        yield MetricChurn(
            metric=metric,
            series=len(members),
            most_at_once=int(there.max()),
            appeared=sum(int(part.times[0]) > interval.start_ms + day_ms for part in members),
            vanished=sum(int(part.times[-1]) < interval.end_ms - day_ms for part in members),
        )


def _shown(interval: Interval) -> str:
    return f"from {format_instant(interval.start_ms)} to {format_instant(interval.end_ms)}"
