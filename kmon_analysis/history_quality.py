"""What a history is worth: gaps, resets, churn and silence, series by series."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from kmon_analysis.history import History
from kmon_analysis.history_gaps import GAP_SAMPLES, Absence
from kmon_analysis.labels import METRIC_NAME, Labels
from kmon_analysis.series import Bools, Samples, is_stale
from kmon_analysis.tabular import MOST_ROWS, html_list, html_table, length_cell, text_lines
from kmon_analysis.timing import WEEK_MS, Interval, duration, format_end, format_instant

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
        Pauses in which at least two samples in a row are missing.
    longest_gap_ms : int
        The longest of them, or 0: from when the first missing sample was due to the next one that is there.
    missing : int
        Samples that are not there between the series' own first and last one, by its own step.
    missing_in_gaps : int
        Those of them that lie in gaps; the others are single.
    expected : int
        Samples that should be there between those two.
    missing_ratio : float
        The missing part of them.
    late_ms, early_ms : int
        How much of the history lies before the first sample, and behind the one that should follow the last; 0 where
        fewer than two samples fit in. None of it counts as missing.
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
    missing: int
    missing_in_gaps: int
    expected: int
    missing_ratio: float
    late_ms: int
    early_ms: int
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
        Series that begin after the history's first samples or end before its last ones, by two of their steps or more.
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
        Where all series are away at once, for two scrapes or more: the server or the network was down, or the data
        is lost.
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
        words += [f"no series has samples {self._where(silence)}" for silence in self.silences]
        if gaps:
            worst = max(gaps, key=lambda part: part.longest_gap_ms)
            words.append(
                f"{len(gaps)} of {len(self.series)} series have gaps, {sum(part.gaps for part in gaps)} in all; "
                f"the longest is {duration(worst.longest_gap_ms)} in {worst.labels}"
            )
        if missing := sum(part.missing for part in self.series):
            in_gaps = sum(part.missing_in_gaps for part in self.series)
            share = _percent(missing, self.expected)
            words.append(f"{missing:,} of {self.expected:,} samples are missing ({share}), {in_gaps:,} of them in gaps")
        if resets:
            words.append(f"{resets} counter resets in {sum(part.resets > 0 for part in self.series)} series")
        words += [
            f"{part.metric or '{}'}: {part.appeared} of {part.series} series begin later than the history, "
            f"{part.vanished} end earlier; at most {part.most_at_once} on one day"
            for part in churned
        ]
        return tuple(words)

    @property
    def expected(self) -> int:
        """How many samples there should be, each series from its first to its last one."""
        return sum(part.expected for part in self.series)

    def _where(self, silence: Interval) -> str:
        """Say for how long and when; what lies at an end of the history is no gap between samples."""
        long = duration(silence.duration_ms)
        if silence.end_ms == self.interval.end_ms:
            return f"in the last {long}, from {format_instant(silence.start_ms)}"
        if silence.start_ms == self.interval.start_ms:
            return f"in the first {long}, until {format_instant(silence.end_ms)}"
        return f"for {long}, {_shown(silence)}"

    def to_frame(self) -> pd.DataFrame:
        """Return one row a series; times are UTC, durations are in seconds."""
        import pandas as pd

        rows = [{field.name: getattr(part, field.name) for field in fields(part)} for part in self.series]
        frame = pd.DataFrame(rows, columns=[field.name for field in fields(SeriesQuality)])
        frame["labels"] = frame["labels"].map(str)
        for name in ("first_ms", "last_ms"):
            frame[name] = pd.to_datetime(frame[name], unit="ms", utc=True)
        names = {"labels": "series", "first_ms": "first", "last_ms": "last"}
        for name in ("step_ms", "longest_gap_ms", "late_ms", "early_ms"):
            frame[name] = frame[name] / 1000
            names[name] = name.removesuffix("ms") + "s"
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
                _percent(part.missing, part.expected),
                length_cell(part.late_ms),
                length_cell(part.early_ms),
                f"{part.resets:,}",
                f"{part.stale_markers:,}",
                f"{part.nans:,}",
            )
            for part in order
        ]
        spans = ("gaps", "longest gap", "missing", "begins late", "ends early")
        header = ("series", "samples", "step", *spans, "resets", "stale markers", "NaN")
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
    alive = [Samples(part.labels, part.times[~stale], part.values[~stale]) for part, stale in _with_stale(history)]
    markers = [int(stale.sum()) for _, stale in _with_stale(history)]
    interval = history.interval
    series = tuple(
        _series_quality(part, count, lacking)
        for part, count, lacking in zip(alive, markers, history.absences, strict=True)
        if len(part.times)
    )
    silences = history.silences
    return Quality(
        interval=interval,
        series=series,
        churn=tuple(_churn(alive, history.absences, silences, interval)),
        silences=silences,
        weeks=tuple(_weeks(interval, silences)),
        warnings=history.provenance.warnings,
    )


def _with_stale(history: History) -> Iterator[tuple[Samples, Bools]]:
    return ((part, is_stale(part.values)) for part in history.series)


def _series_quality(part: Samples, markers: int, lacking: Absence) -> SeriesQuality:
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
        step_ms=lacking.step_ms,
        gaps=len(lacking.gap_starts_ms),
        longest_gap_ms=lacking.longest_gap_ms,
        missing=lacking.missing,
        missing_in_gaps=lacking.missing_in_gaps,
        expected=lacking.expected,
        missing_ratio=lacking.missing_ratio,
        late_ms=lacking.late_ms,
        early_ms=lacking.early_ms,
        counter=counter,
        resets=falls if counter else 0,
        stale_markers=markers,
        nans=len(part.values) - len(values),
        constant=len(values) == len(part.values) and bool(np.all(values == values[:1])),
    )


def _weeks(interval: Interval, silences: tuple[Interval, ...]) -> Iterator[tuple[Interval, float]]:
    for start_ms in range(interval.start_ms, interval.end_ms, WEEK_MS):
        week = Interval(start_ms, min(start_ms + WEEK_MS, interval.end_ms))
        silent = sum(
            max(min(silence.end_ms, week.end_ms) - max(silence.start_ms, week.start_ms), 0) for silence in silences
        )
        yield week, 1 - silent / week.duration_ms


def _churn(
    parts: Sequence[Samples], lacking: Sequence[Absence], silences: Sequence[Interval], interval: Interval
) -> Iterator[MetricChurn]:
    """Yield one entry a metric, days counted from the start of the history."""
    day_ms = WEEK_MS // 7
    days = max(-(-interval.duration_ms // day_ms), 1)
    # Where nothing at all was recorded, no single series is late.
    first_ms = max([each.end_ms for each in silences if each.start_ms == interval.start_ms], default=interval.start_ms)
    last_ms = min([each.start_ms for each in silences if each.end_ms == interval.end_ms], default=interval.end_ms)
    by_metric: dict[str, list[tuple[Samples, Absence]]] = {}
    for part, lacks in zip(parts, lacking, strict=True):
        if len(part.times):
            by_metric.setdefault(part.labels.value(METRIC_NAME), []).append((part, lacks))
    for metric, members in sorted(by_metric.items()):
        there = np.zeros(days, dtype=np.int64)
        for part, _ in members:
            day = np.unique((part.times - interval.start_ms) // day_ms)
            there[day[(day >= 0) & (day < days)]] += 1
        yield MetricChurn(
            metric=metric,
            series=len(members),
            most_at_once=int(there.max()),
            appeared=sum(
                bool(lacks.late_ms) and interval.start_ms + lacks.late_ms >= first_ms + GAP_SAMPLES * lacks.step_ms
                for _, lacks in members
            ),
            vanished=sum(
                bool(lacks.early_ms) and interval.end_ms - lacks.early_ms <= last_ms - GAP_SAMPLES * lacks.step_ms
                for _, lacks in members
            ),
        )


def _percent(part: int, whole: int) -> str:
    """Write a share in percent; what is missing is never written as nothing."""
    share = 100 * part / whole if whole else 0.0
    return "under 0.01 %" if 0 < share < 0.005 else f"{share:.2f} %" if share else "0 %"


def _shown(interval: Interval) -> str:
    return f"from {format_instant(interval.start_ms)} to {format_end(interval.end_ms)}"
