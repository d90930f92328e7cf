"""Histories from files that people have: CSV, saved API answers, OpenMetrics text.

Every reader reports all faults of a file at once, each with its line, the value and a cure.
"""

from __future__ import annotations

import csv
import itertools
import re
from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TextIO

import numpy as np

from kmon_analysis.errors import DataFileError, Finding, SettingError
from kmon_analysis.history import History, Provenance, open_history
from kmon_analysis.labels import METRIC_NAME, Labels, parse_series
from kmon_analysis.series import Samples, SeriesSet
from kmon_analysis.sources.connection import plain
from kmon_analysis.timing import format_instant, parse_duration, parse_instant

__all__ = ["EpochUnit", "load_history", "read_api_json", "read_csv", "read_openmetrics"]

EpochUnit = Literal["s", "ms"]

_TIME_NAMES = frozenset({"time", "timestamp", "ts", "date", "datetime", "instant"})
_METRIC_NAMES = frozenset({METRIC_NAME, "metric"})
_NOTHING = frozenset({"", "null"})
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_EPOCH = re.compile(r"-?\d+(\.\d+)?")
# Between these, seconds lie in 1973 to 5138 and milliseconds in the same years: no number is both.
_SECONDS = (1e8, 1e11)
_MILLISECONDS = (1e11, 1e14)
_LATEST_MS = 1e15
_MOST_FINDINGS = 50
# A column of times without a zone is one fault, however many lines it has.
_MOST_ALIKE = 5


@dataclass
class _Report:
    """Faults found so far; further ones, and those with a cure that was said often enough, are only counted."""

    file: str
    findings: list[Finding] = field(default_factory=list)
    alike: Counter[str] = field(default_factory=Counter)
    more: int = 0

    def add(self, problem: str, line: int | None, cure: str) -> None:
        self.alike[cure] += 1
        if len(self.findings) < _MOST_FINDINGS and self.alike[cure] <= _MOST_ALIKE:
            self.findings.append(Finding(plain(problem), self.file, line=line, cure=cure))
        else:
            self.more += 1

    def settle(self) -> None:
        """Raise if there are any."""
        if self.more:
            self.findings.append(Finding(f"… and {self.more:,} more faults", self.file))
        if self.findings:
            raise DataFileError(self.findings)


@dataclass
class _Column:
    """The samples of one series as they come, with the lines they stand on."""

    times: array[int] = field(default_factory=lambda: array("q"))
    values: array[float] = field(default_factory=lambda: array("d"))

    def take(self, time: int, value: float, name: object, line: int, report: _Report) -> None:
        if self.times and time <= self.times[-1]:
            fault = "repeats" if time == self.times[-1] else "goes back to"
            report.add(
                f"{name} {fault} {format_instant(time)}", line, "Sort the samples by time and keep one an instant"
            )
            return
        self.times.append(time)
        self.values.append(value)


def read_csv(path: str | Path, *, unit: EpochUnit | None = None, scrape_interval: str | int | None = None) -> History:
    """Read a history from CSV, wide or long.

    Parameters
    ----------
    path : str or Path
        With a header line. *Wide*: a time column, then one column a series, called like it (``lag`` or
        ``lag{topic="orders"}``). *Long*: one sample a row: a time column, a column ``value``, and either a
        column ``series`` in that notation, or a column ``metric`` (or ``__name__``) and one column a label.
        The time column is the first, or the one called time, timestamp, ts, date or datetime.
    unit : {"s", "ms"}, optional
        Unit of times given as numbers; seen from their size when not given.
    scrape_interval : str or int, optional
        ``"15s"`` or milliseconds; measured when not given.

    Returns
    -------
    History
        An empty field (or ``null``) is no sample; ``NaN`` is a sample whose value is NaN.

    Raises
    ------
    DataFileError
        With all faults: times without a zone, of unclear unit, unordered or repeated; values that are no
        numbers; columns that name no series; rows of another length than the header.
    """
    file, report = Path(path), _Report(str(path))
    with _opened(file, report) as stream:
        rows = csv.reader(stream, strict=True)
        try:
            header = next(rows, [])
            columns = _csv_columns(header, rows, unit, report)
        except csv.Error as error:
            report.add(f"not CSV: {error}", rows.line_num, "Check the quotes; is the file cut?")
            columns = {}
        except UnicodeDecodeError:
            _report_encoding(file, report)
            columns = {}
    interval_ms = parse_duration(scrape_interval) if isinstance(scrape_interval, str) else scrape_interval
    return _history(file, columns, report, interval_ms)


def read_api_json(path: str | Path) -> History:
    """Read a history from a saved answer of ``/api/v1/query`` (``metric[range]``) or ``/api/v1/query_range``.

    Parameters
    ----------
    path : str or Path
        The whole body, as curl saves it.

    Returns
    -------
    History
        The answer's warnings are kept in its provenance. Note that the samples of ``query_range`` are
        evaluations at its steps, not what was scraped.

    Raises
    ------
    DataFileError
        If the file is cut, an error answer, or no matrix.
    """
    from kmon_analysis.sources.decoding import decode_answer

    file, report = Path(path), _Report(str(path))
    try:
        answer = decode_answer(file.read_bytes())
    except OSError as error:
        report.add(f"cannot be read: {error.strerror}", None, "Check the path")
        report.settle()
        raise
    except ValueError as error:
        line = getattr(error, "lineno", None)
        report.add(f"not a whole answer of the query API: {error}", line, "Save the answer again; is the file cut?")
        report.settle()
        raise
    if answer.status == "error":
        report.add(f"an error answer ({answer.error_type}: {answer.error})", None, "Correct the query and save again")
    elif answer.result_type != "matrix":
        report.add(
            f"a {answer.result_type or 'nothing'}, not a matrix", None, 'Ask for a range: "lag[1d]", or use query_range'
        )
    for part in answer.series:
        falling = np.flatnonzero(np.diff(part.times) <= 0)
        if len(falling):
            instant = format_instant(int(part.times[falling[0] + 1]))
            report.add(f"{part.labels} repeats or goes back to {instant}", None, "Save the answer again")
    ordered = sorted(answer.series, key=lambda part: part.labels)
    for before, after in itertools.pairwise(ordered):
        if before.labels == after.labels:
            report.add(f"two series share the labels {after.labels}", None, "Merge them before reading")
    report.settle()
    warnings = answer.warnings + tuple(
        f"{labels} has native histograms, which are left out" for labels in answer.histograms
    )
    return _described(file, SeriesSet.from_samples(ordered), report, tuple(plain(text) for text in warnings))


def read_openmetrics(path: str | Path) -> History:
    r"""Read a history from OpenMetrics text with timestamps, as ``promtool`` backfills it.

    Parameters
    ----------
    path : str or Path
        Text that ends with ``# EOF``. Exemplars and metadata are not kept.

    Raises
    ------
    DataFileError
        With all faults: samples without timestamp, lines of another form, unordered or repeated times
        within a series, a missing end.

    Notes
    -----
    The OpenMetrics text format 1.0; escapes in label values are ``\\``, ``\"`` and ``\n``.
    """
    file, report = Path(path), _Report(str(path))
    columns: dict[Labels, _Column] = {}
    known: dict[str, tuple[Labels, _Column]] = {}
    ended = False
    number = 0
    with _opened(file, report) as stream:
        try:
            for number, line in enumerate(stream, 1):
                text = line.rstrip("\r\n")
                if ended:
                    report.add("text after # EOF", number, "Remove it; one file holds one exposition")
                    break
                if text.startswith("#"):
                    ended = text == "# EOF"
                elif text:
                    _openmetrics_line(text, number, columns, known, report)
        except UnicodeDecodeError:
            _report_encoding(file, report)
    if not ended:
        report.add("the last line is not # EOF: the file is cut", number or None, "Write the file again, to its end")
    return _history(file, columns, report, None)


_SAMPLE = re.compile(
    r'(?P<series>[a-zA-Z_:][a-zA-Z0-9_:]*(?:\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})?|\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})'
    r"[ \t]*(?<=[ \t}])[ \t]*(?P<value>[^\s#]+)(?:[ \t]+(?P<time>[^\s#]+))?(?:[ \t]+#[ \t].*)?[ \t]*"
)
_PAIR = re.compile(
    r'\s*(?:(?P<name>[a-zA-Z_][a-zA-Z0-9_]*|"(?:[^"\\]|\\.)*")\s*=\s*)?"(?P<value>(?:[^"\\]|\\.)*)"\s*(?:,|$)'
)
_ESCAPED = re.compile(r'\\(["\\n])')


def _openmetrics_line(
    text: str,
    number: int,
    columns: dict[Labels, _Column],
    known: dict[str, tuple[Labels, _Column]],
    report: _Report,
) -> None:
    match = _SAMPLE.fullmatch(text)
    if match is None:
        report.add(f"not a sample: {text!r}", number, 'Write it like lag{topic="orders"} 12 1767225600.000')
        return
    if match["time"] is None:
        report.add(
            f"{text!r} has no timestamp", number, "Give every sample its time in seconds, as for promtool's backfilling"
        )
        return
    value, seconds = _float(match["value"]), _float(match["time"])
    if value is None or seconds is None or not np.isfinite(seconds):
        fault = match["value"] if value is None else match["time"]
        report.add(f"{fault!r} is not a number", number, "Correct the sample")
        return
    if abs(seconds) >= _SECONDS[1]:
        report.add(f"the time {match['time']} lies after the year 5000", number, "OpenMetrics times are in seconds")
        return
    if match["series"] not in known:
        labels = _openmetrics_labels(match["series"])
        if labels is None:
            report.add(f"{match['series']} is not a series", number, 'Write labels like {topic="orders"}, each once')
            return
        known[match["series"]] = labels, columns.setdefault(labels, _Column())
    labels, column = known[match["series"]]
    column.take(round(seconds * 1000), value, labels, number, report)


def _openmetrics_labels(text: str) -> Labels | None:
    name, _, rest = text.partition("{")
    pairs = [(METRIC_NAME, name)] if name else []
    inner, position = rest[:-1], 0
    while position < len(inner):
        match = _PAIR.match(inner, position)
        if match is None:
            return None
        label = METRIC_NAME if match["name"] is None else match["name"]
        pairs.append((_unescaped(label.strip('"')), _unescaped(match["value"])))
        position = match.end()
    return Labels(pairs) if len(dict(pairs)) == len(pairs) else None


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda match: "\n" if match[1] == "n" else match[1], text)


def _csv_columns(header: Sequence[str], rows: Any, unit: EpochUnit | None, report: _Report) -> dict[Labels, _Column]:
    """Read the rows of a CSV file whose header says whether it is wide or long."""
    names = [name.strip() for name in header]
    if len(names) < 2:
        report.add("the header has fewer than two columns", 1, "Give a time column and at least one series")
        return {}
    lowered = [name.lower() for name in names]
    repeated = sorted({name for name in names if names.count(name) > 1})
    for name in repeated:
        report.add(f"two columns are called {name!r}", 1, "Give every column its own name")
    if repeated:
        return {}
    clock = next((index for index, name in enumerate(lowered) if name in _TIME_NAMES), 0)
    times = _Times(unit, report)
    long = "value" in lowered and len(names) > 2
    others = [index for index in range(len(names)) if index != clock]
    columns: dict[Labels, _Column] = {}
    if long:
        others.remove(lowered.index("value"))
    else:
        named = {index: _series_name(names[index], 1, report) for index in others}
        for labels in named.values():
            if labels is not None and labels in columns:
                report.add(f"two columns are the series {labels}", 1, "Merge them, or rename one")
            if labels is not None:
                columns[labels] = _Column()
    last: int | None = None
    while (row := next(rows, None)) is not None:
        line = rows.line_num
        if not row:
            continue
        if len(row) != len(names):
            report.add(f"{len(row)} fields instead of {len(names)}", line, "Give every row a field for each column")
            continue
        time = times.read(row[clock].strip(), line)
        if time is None:
            continue
        if long:
            found = _long_labels({names[index]: row[index] for index in others}, line, report)
            if found is not None:
                _take(columns.setdefault(found, _Column()), time, row[lowered.index("value")], found, line, report)
            continue
        if last is not None and time <= last:
            fault = "repeats" if time == last else "goes back to"
            report.add(f"the time {fault} {format_instant(time)}", line, "Sort the rows and keep one an instant")
            continue
        last = time
        for index, labels in named.items():
            if labels is not None:
                _take(columns[labels], time, row[index], labels, line, report)
    return columns


def _long_labels(fields: Mapping[str, str], line: int, report: _Report) -> Labels | None:
    """Return the series that a row of a long file belongs to."""
    pairs = dict(fields)
    base: Mapping[str, str] = {}
    for name in list(pairs):
        if name.lower() == "series":
            labels = _series_name(pairs.pop(name), line, report)
            if labels is None:
                return None
            base = labels
        elif name.lower() in _METRIC_NAMES:
            pairs[METRIC_NAME] = pairs.pop(name)
    return Labels({**base, **pairs})


def _series_name(text: str, line: int, report: _Report) -> Labels | None:
    try:
        return parse_series(text)
    except SettingError as error:
        report.add(f"{text!r} names no series: {error.problem}", line, error.cure or "Rename it")
        return None


def _take(column: _Column, time: int, text: str, name: Labels, line: int, report: _Report) -> None:
    stripped = text.strip()
    if stripped in _NOTHING:
        return
    value = _float(stripped)
    if value is None:
        report.add(f"{stripped!r} of {name} is not a number", line, "Correct it, or leave the field empty")
        return
    column.take(time, value, name, line, report)


def _float(text: str) -> float | None:
    """Read a number as Prometheus writes it."""
    if _NUMBER.fullmatch(text):
        return float(text)
    return {"nan": np.nan, "+inf": np.inf, "inf": np.inf, "-inf": -np.inf}.get(text.lower())


@dataclass
class _Times:
    """Reads times, all in one notation."""

    unit: EpochUnit | None
    report: _Report

    def read(self, text: str, line: int) -> int | None:
        if _EPOCH.fullmatch(text):
            return self._epoch(text, line)
        try:
            return parse_instant(text)
        except SettingError as error:
            self.report.add(error.problem, line, error.cure or "Correct the time")
            return None

    def _epoch(self, text: str, line: int) -> int | None:
        number = float(text)
        seen: EpochUnit | None = self.unit
        if seen is None and _SECONDS[0] <= number < _SECONDS[1]:
            seen = "s"
        elif seen is None and _MILLISECONDS[0] <= number < _MILLISECONDS[1]:
            seen = "ms"
        if seen is None:
            self.report.add(f"the time {text} may be seconds or milliseconds", line, "Say which: unit='s' or unit='ms'")
            return None
        instant = number * 1000 if seen == "s" else number
        if abs(instant) >= _LATEST_MS:
            self.report.add(f"the time {text} is out of range", line, "Check the unit of the times")
            return None
        return round(instant)


def _opened(file: Path, report: _Report) -> TextIO:
    try:
        return file.open(encoding="utf-8-sig", newline="")
    except OSError as error:
        report.add(f"cannot be read: {error.strerror}", None, "Check the path")
        report.settle()
        raise


def _report_encoding(file: Path, report: _Report) -> None:
    """Find the line that is not UTF-8; the stream reads ahead and does not know."""
    content = file.read_bytes()
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        report.add(f"not UTF-8 text: {error.reason}", line, "Save the file as UTF-8")


def _history(file: Path, columns: Mapping[Labels, _Column], report: _Report, scrape_interval_ms: int | None) -> History:
    if not report.findings and not any(column.times for column in columns.values()):
        report.add("there are no samples", None, "Check that this is the right file")
    report.settle()
    series = SeriesSet.from_samples(
        Samples(labels, np.array(column.times, dtype=np.int64), np.array(column.values, dtype=np.float64))
        for labels, column in columns.items()
    )
    return _described(file, series, report, (), scrape_interval_ms)


def _described(
    file: Path,
    series: SeriesSet,
    report: _Report,
    warnings: tuple[str, ...],
    scrape_interval_ms: int | None = None,
) -> History:
    if not series.sample_count:
        report.add("there are no samples", None, "Check that this is the right file")
        report.settle()
    provenance = Provenance(
        source=f"file {file.name}",
        start_ms=int(series.times.min()),
        end_ms=int(series.times.max()) + 1,
        scrape_interval_ms=scrape_interval_ms,
        warnings=warnings,
    )
    return History(series, provenance)


def load_history(path: str | Path) -> History:
    """Open a history folder, or read a data file by its ending.

    Raises
    ------
    SettingError
        If the ending is of no known form.
    HistoryError, DataFileError
        If the folder is no history, or the file has faults.
    """
    place = Path(path)
    readers: dict[str, Callable[[Path], History]] = {".csv": read_csv, ".json": read_api_json}
    readers |= dict.fromkeys((".om", ".txt", ".openmetrics", ".prom"), read_openmetrics)
    reader = readers.get(place.suffix.lower())
    if place.is_file() and reader is None:
        raise SettingError(
            f"a file that ends in {place.suffix or 'nothing'!r} is no known form of a history",
            place=str(place),
            cure=f"Give a folder written by kmon fetch, or a file that ends in {', '.join(readers)}",
        )
    return open_history(place) if reader is None or place.is_dir() else reader(place)
