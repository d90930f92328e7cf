"""Recorded series with their provenance, in memory and on disk."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kmon_analysis import history_store
from kmon_analysis.errors import HistoryError, InputError, SettingError, printable
from kmon_analysis.history_gaps import Absence, absences, silences
from kmon_analysis.labels import METRIC_NAME, Labels, parse_series
from kmon_analysis.series import Int64s, Samples, SeriesSet
from kmon_analysis.tabular import MOST_ROWS, counted, html_list, html_table, shortened
from kmon_analysis.timing import Interval, duration, duration_of, format_end, format_instant
from kmon_analysis.timing_clocks import zone_that_set_back

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["History", "Provenance"]


@dataclass(frozen=True)
class Provenance:
    """Where a history came from.

    Attributes
    ----------
    source : str
        Server (without credentials), ``"simulator …"``, ``"file …"`` or ``"data frame"``.
    start_ms, end_ms : int
        Half-open range that was asked for, milliseconds UTC. Samples may lie before and after it,
        where an expression needs them.
    queries : tuple of str
        What was asked for.
    scrape_interval_ms : int or None
        As stated by the source; None when nobody said.
    server_version : str or None
        For example ``"2.42.0"``.
    warnings : tuple of str
        What the source warned of; partial data shows here.
    fetched_at_ms : int or None
        When it was fetched.
    extra : Mapping
        Anything else worth keeping; JSON values.
    """

    source: str
    start_ms: int
    end_ms: int
    queries: tuple[str, ...] = ()
    scrape_interval_ms: int | None = None
    server_version: str | None = None
    warnings: tuple[str, ...] = ()
    fetched_at_ms: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {
            "source": self.source,
            "start_ms": self.start_ms,
            "end_ms": self.end_ms,
            "queries": list(self.queries),
            "scrape_interval_ms": self.scrape_interval_ms,
            "server_version": self.server_version,
            "warnings": list(self.warnings),
            "fetched_at_ms": self.fetched_at_ms,
            "extra": dict(self.extra),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Provenance:
        """Read what `to_json` wrote."""
        return cls(**{**data, "queries": tuple(data["queries"]), "warnings": tuple(data["warnings"])})


@dataclass(frozen=True, repr=False, eq=False)
class History:
    """Recorded series and where they came from.

    Attributes
    ----------
    series : SeriesSet
        The samples.
    provenance : Provenance
        Their origin.
    path : Path or None
        Where it was opened from or fetched to; None for one that is in memory only.

    Examples
    --------
    >>> import pandas as pd
    >>> index = pd.date_range("2026-03-01", periods=3, freq="15s", tz="UTC")
    >>> History.from_frame(pd.DataFrame({'lag{topic="orders"}': [1.0, 2.0, 3.0]}, index=index))
    <History: 1 series, 3 samples, 2026-03-01T00:00:00Z to 2026-03-01T00:00:30Z, every 15 s, 0 gaps, data frame>
    """

    series: SeriesSet
    provenance: Provenance
    path: Path | None = None

    @property
    def interval(self) -> Interval:
        """The half-open range that the history is about."""
        return Interval(self.provenance.start_ms, self.provenance.end_ms)

    @cached_property
    def scrape_interval_ms(self) -> int:
        """Milliseconds between samples: as stated by the source, else the median of the steps.

        Raises
        ------
        HistoryError
            If nobody stated it and no series has two samples.
        """
        if self.provenance.scrape_interval_ms is not None:
            return self.provenance.scrape_interval_ms
        steps = _steps(self.series)
        if not len(steps):
            raise HistoryError(
                "the scrape interval is neither stated nor measurable: no series has two samples",
                place=self.provenance.source,
                cure="State the scrape interval",
            )
        return int(np.median(steps))

    @cached_property
    def gap_count(self) -> int:
        """How many gaps the series have: pauses in which at least two samples in a row are missing."""
        return sum(len(found.gap_starts_ms) for found in self.absences)

    @cached_property
    def absences(self) -> tuple[Absence, ...]:
        """What each series lacks, in their order; see `kmon_analysis.history_gaps`."""
        return tuple(absences(self.series, self.interval, self.usual_step_ms))

    @cached_property
    def silences(self) -> tuple[Interval, ...]:
        """Where no series has samples, for two scrapes or more."""
        return tuple(silences(self.absences, self.interval))

    @property
    def usual_step_ms(self) -> int:
        """The scrape interval; 0 where nobody knows it."""
        try:
            return self.scrape_interval_ms
        except HistoryError:
            return 0

    @cached_property
    def digest(self) -> str:
        """SHA-256 over labels, times and the bits of the values; independent of how they are stored."""
        hasher = hashlib.sha256()
        names = json.dumps([labels.pairs for labels in self.series.labels], separators=(",", ":"))
        hasher.update(names.encode())
        for array, kind in ((self.series.offsets, "<i8"), (self.series.times, "<i8"), (self.series.values, "<f8")):
            hasher.update(np.ascontiguousarray(array, dtype=kind).data)
        return hasher.hexdigest()

    def save(self, path: str | Path) -> None:
        """Write the history to a directory, whole or not at all.

        Parameters
        ----------
        path : str or Path
            A new or empty directory, or one that holds a history, which is replaced.

        Raises
        ------
        OutputError
            If the directory holds anything else or cannot be written.
        """
        history_store.write_store(Path(path), self.series, self._about())

    @classmethod
    def open(cls, path: str | Path) -> History:
        """Read a history from a directory and verify every file of it.

        Raises
        ------
        HistoryError
            If a file is missing, damaged, cut or exchanged, or the format version is unknown.
        """
        series, about = history_store.read_store(Path(path))
        try:
            provenance = Provenance.from_json(about["provenance"])
        except (KeyError, TypeError) as error:
            raise HistoryError(
                f"lacks what a manifest has: {error}",
                place=str(Path(path) / history_store.MANIFEST),
                cure="Fetch the history again",
            ) from None
        return cls(series, provenance, Path(path))

    def append_to(self, path: str | Path) -> History:
        """Add this history to one on disk, as a new part.

        Parameters
        ----------
        path : str or Path
            A history from the same source.

        Returns
        -------
        History
            The whole, as it is now on disk.

        Raises
        ------
        HistoryError
            If a series has samples at or before the last one on disk, or the history there is damaged.
        """
        stored = History.open(path)
        last = {part.labels: int(part.times[-1]) for part in stored.series if len(part.times)}
        for part in self.series:
            if len(part.times) and int(part.times[0]) <= last.get(part.labels, int(part.times[0]) - 1):
                raise HistoryError(
                    f"{part.labels} already has samples up to {format_instant(last[part.labels])}, "
                    f"the new ones start at {format_instant(int(part.times[0]))}",
                    place=str(path),
                    cure="Append only later samples, or save to a new directory",
                )
        joined: dict[Labels, Samples] = {part.labels: part for part in stored.series}
        for part in self.series:
            old = joined.get(part.labels)
            joined[part.labels] = part if old is None else _chained(old, part)
        whole = History(
            SeriesSet.from_samples(joined.values()), _merged(stored.provenance, self.provenance), Path(path)
        )
        history_store.append_part(Path(path), self.series, whole._about())
        return whole

    @classmethod
    def joined(cls, histories: Iterable[History]) -> History:
        """Return one history of several: of other metrics, or of other times.

        Parameters
        ----------
        histories : iterable of History
            At least one, in any order. A sample that several have is kept once.

        Raises
        ------
        HistoryError
            If two have other values for one series at the same time.
        """
        first, *others = histories
        joined: dict[Labels, Samples] = {part.labels: part for part in first.series}
        provenance = first.provenance
        for other in others:
            for part in other.series:
                old = joined.get(part.labels)
                joined[part.labels] = part if old is None else _woven(old, part, other.provenance.source)
            provenance = _merged(provenance, other.provenance)
        return cls(SeriesSet.from_samples(joined.values()), provenance)

    @classmethod
    def from_frame(
        cls, frame: pd.DataFrame, scrape_interval: str | timedelta | None = None, source: str = "data frame"
    ) -> History:
        """Make a history from a pandas frame.

        Parameters
        ----------
        frame : pandas.DataFrame
            A time index with a zone, strictly ascending, in whole milliseconds; one numeric column a
            series. A column is called like its series, for example ``lag{topic="orders"}``, or is a
            `Labels`; with a column MultiIndex the level names are the label names (``__name__`` for
            the metric). **NaN means that there is no sample**; a frame cannot hold NaN samples or
            stale markers.
        scrape_interval : str or timedelta, optional
            For example ``"15s"``; measured when not given.
        source : str
            Where the frame came from, for the provenance.

        Raises
        ------
        InputError
            If the index has no zone, is unsorted or repeats an instant, or a column is not a series.
        """
        times = _frame_times(frame)
        parts = []
        for position, column in enumerate(frame.columns):
            labels = _column_labels(column, list(frame.columns.names))
            try:
                values = frame.iloc[:, position].to_numpy(dtype=np.float64, na_value=np.nan)
            except (TypeError, ValueError) as error:
                raise InputError(
                    f"column {str(labels)!r} is not numeric: {error}",
                    place=source,
                    cure="Convert it with pandas.to_numeric, or leave it out",
                ) from None
            kept = ~np.isnan(values)
            parts.append(Samples(labels, times[kept], values[kept]))
        interval_ms = None if scrape_interval is None else duration_of(scrape_interval, "scrape_interval")
        provenance = Provenance(
            source=source, start_ms=int(times[0]), end_ms=int(times[-1]) + 1, scrape_interval_ms=interval_ms
        )
        return cls(SeriesSet.from_samples(parts), provenance)

    def to_frame(self) -> pd.DataFrame:
        """Return the samples as a frame: UTC index, one column a series; stale and missing are NaN."""
        return self.series.to_frame()

    def _about(self) -> dict[str, Any]:
        return {"provenance": self.provenance.to_json(), "digest": self.digest, "samples": self.series.sample_count}

    def _facts(self) -> dict[str, str]:
        step_ms = self.usual_step_ms
        return {
            "series": f"{len(self.series):,}",
            "samples": f"{self.series.sample_count:,}",
            "from": format_instant(self.provenance.start_ms),
            "to": format_end(self.provenance.end_ms),
            "scrape interval": duration(step_ms) if step_ms else "unknown",
            "gaps": self._lacking(),
            "source": self.provenance.source,
        }

    def _lacking(self) -> str:
        """Say how many gaps there are, and where nothing was recorded at either end, which is no gap."""
        count, whole = self.gap_count, self.interval
        ends = []
        for silence in self.silences:
            if silence.start_ms == whole.start_ms:
                ends.append(f"nothing in the first {duration(silence.duration_ms)}")
            elif silence.end_ms == whole.end_ms:
                ends.append(f"nothing in the last {duration(silence.duration_ms)}")
        longest = [f"the longest {duration(max(each.longest_gap_ms for each in self.absences))}"] if count else []
        return ", ".join([counted(count, "gap"), *longest, *ends])

    def __repr__(self) -> str:
        facts = self._facts()
        warnings = len(self.provenance.warnings)
        warned = f", {counted(warnings, 'warning')}" if warnings else ""
        source = shortened(printable(facts["source"]), 120)
        return (
            f"<History: {facts['series']} series, {facts['samples']} samples, {facts['from']} to {facts['to']}, "
            f"every {facts['scrape interval']}, {facts['gaps']}, {source}{warned}>"
        )

    def _repr_html_(self) -> str:
        facts = html_table(
            ("what", "value"), list(self._facts().items()), caption="History", left=2, sortable=False, bare=True
        )
        metrics = html_table(
            ("metric", "series", "samples"), self._metrics(), caption="What was recorded", most=MOST_ROWS
        )
        return facts + metrics + html_list([f"warning: {text}" for text in self.provenance.warnings])

    def _metrics(self) -> list[tuple[str, str, str]]:
        """Return one row a metric: name, series and samples; the ones with most series first."""
        series: Counter[str] = Counter()
        samples: Counter[str] = Counter()
        sizes = np.diff(self.series.offsets).tolist()
        for labels, size in zip(self.series.labels, sizes, strict=True):
            name = labels.value(METRIC_NAME) or "(no name)"
            series[name] += 1
            samples[name] += size
        order = sorted(series, key=lambda name: (-series[name], name))
        return [(name, f"{series[name]:,}", f"{samples[name]:,}") for name in order]


def _steps(series: SeriesSet) -> Int64s:
    """Return the times between neighbouring samples of the same series, all series together."""
    steps = np.diff(series.times)
    within = np.ones(len(steps), dtype=np.bool_)
    borders = series.offsets[1:-1] - 1
    within[borders[(borders >= 0) & (borders < len(steps))]] = False
    return steps[within]


def _chained(old: Samples, new: Samples) -> Samples:
    return Samples(old.labels, np.concatenate([old.times, new.times]), np.concatenate([old.values, new.values]))


def _woven(old: Samples, new: Samples, source: str) -> Samples:
    """Return the samples of both, in order."""
    times = np.concatenate([old.times, new.times])
    values = np.concatenate([old.values, new.values])
    order = np.argsort(times, kind="stable")
    times, values = times[order], values[order]
    repeated = np.flatnonzero(np.diff(times) == 0)
    # By bits: a stale marker is not the NaN of a division.
    differing = repeated[values.view(np.int64)[repeated] != values.view(np.int64)[repeated + 1]]
    if len(differing):
        at = differing[0]
        raise HistoryError(
            f"{old.labels} is {values[at]:g} in one and {values[at + 1]:g} in another at "
            f"{format_instant(int(times[at]))}",
            place=source,
            cure="Leave one of them out, or give the series other names",
        )
    return Samples(old.labels, np.delete(times, repeated), np.delete(values, repeated))


def _merged(old: Provenance, new: Provenance) -> Provenance:
    """Describe two histories, the second appended to the first."""
    return Provenance(
        source=old.source if old.source == new.source else f"{old.source}; {new.source}",
        start_ms=min(old.start_ms, new.start_ms),
        end_ms=max(old.end_ms, new.end_ms),
        queries=tuple(dict.fromkeys(old.queries + new.queries)),
        scrape_interval_ms=old.scrape_interval_ms if old.scrape_interval_ms == new.scrape_interval_ms else None,
        server_version=new.server_version or old.server_version,
        warnings=tuple(dict.fromkeys(old.warnings + new.warnings)),
        fetched_at_ms=new.fetched_at_ms or old.fetched_at_ms,
        extra={**old.extra, **new.extra},
    )


def _frame_times(frame: pd.DataFrame) -> Int64s:
    """Return the index in milliseconds UTC, or say why it cannot be used."""
    import pandas as pd

    index = frame.index
    if not isinstance(index, pd.DatetimeIndex):
        raise InputError(
            f"the index holds {index.dtype}, not times",
            cure="Set a time index, for example df.index = pandas.to_datetime(df['time'], utc=True)",
        )
    if index.tz is None:
        raise InputError(
            "the index has no time zone, so its instants are ambiguous",
            cure="Say which one it is: df.index = df.index.tz_localize('UTC')",
        )
    if not len(index) or not len(frame.columns):
        raise InputError("the frame is empty", cure="Give a frame with at least one row and one column")
    if index.hasnans:
        raise InputError("the index has missing times", cure="Drop those rows: df = df[df.index.notna()]")
    exact = index.as_unit("ns").asi8
    times: Int64s = exact // 1_000_000
    if np.any(exact % 1_000_000):
        raise InputError(
            "the index is finer than a millisecond, which Prometheus' times are not",
            cure="Round it: df.index = df.index.floor('ms')",
        )
    steps = np.diff(times)
    bad = np.flatnonzero(steps <= 0)
    if len(bad):
        row = int(bad[0]) + 1
        zone = zone_that_set_back(int(times[row - 1]), int(times[row])) if len(bad) == 1 else None
        if zone is not None:
            raise InputError(
                f"the index goes back once, to {format_instant(int(times[row]))} at row {row}, when clocks as those of "
                f"{zone} were set back: it looks like local times, read as UTC",
                cure=f"Read it so: df.index = df.index.tz_localize(None).tz_localize({zone!r}, ambiguous='infer')",
            )
        fault, cure = (
            ("repeats", "Keep one row an instant: df = df[~df.index.duplicated()]")
            if steps[bad[0]] == 0
            else ("goes back to", "Sort it: df = df.sort_index()")
        )
        raise InputError(f"the index {fault} {format_instant(int(times[row]))} at row {row}", cure=cure)
    return times


def _column_labels(column: Any, names: list[Any]) -> Labels:
    if isinstance(column, Labels):
        return column
    try:
        if isinstance(column, tuple):
            if not all(isinstance(name, str) and name for name in names):
                raise SettingError(f"the column levels {names} have no names")
            pairs = zip(names, column, strict=True)
            return Labels((name, str(value)) for name, value in pairs if not (value is None or value != value))
        if not isinstance(column, str):
            raise SettingError(f"{column!r} is not a series")
        return parse_series(column)
    except SettingError as error:
        raise InputError(
            f"column {column!r} names no series: {error.problem}",
            cure='Rename the columns to series, for example "lag" or "kafka_consumergroup_lag{topic=\\"orders\\"}"',
        ) from None
