"""Histories from tables: CSV as programs, databases and dashboards export it."""

from __future__ import annotations

import csv
import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TextIO, TypedDict, Unpack

from kmon_analysis.errors import SettingError
from kmon_analysis.history import History
from kmon_analysis.labels import METRIC_NAME, Labels, parse_series
from kmon_analysis.sources.csvnames import meant, renamed
from kmon_analysis.sources.csvtimes import Times
from kmon_analysis.sources.datafile import Column, Report, make_history, opened, read_number, report_encoding
from kmon_analysis.timing import duration_of
from kmon_analysis.timing_written import EpochUnit

__all__ = ["CsvOptions", "read_csv", "split_columns"]

_TIME_NAMES = frozenset({"time", "timestamp", "ts", "date", "datetime", "instant"})
_METRIC_NAMES = frozenset({METRIC_NAME, "metric"})
_NOTHING = frozenset({"", "null"})
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?", re.ASCII)
_WITH_UNIT = re.compile(r"[+-]?[\d.,]+\s*[^\d\s.,].*", re.ASCII)
_DELIMITER = re.compile(r'(?:"[^"]*"|[^",;\t])*([,;\t])')
_SEPARATOR_LINE = re.compile(r"sep=([,;\t])\s*", re.IGNORECASE)


class CsvOptions(TypedDict, total=False):
    """What a table does not say of itself; see `read_csv`."""

    zone: str | None
    time_format: str | None
    unit: EpochUnit | None
    decimal_comma: bool
    columns: Mapping[str, str] | None
    scrape_interval: str | timedelta | None
    only_named: bool


def read_csv(path: str | Path, **options: Unpack[CsvOptions]) -> History:
    """Read a history from CSV, wide or long.

    Parameters
    ----------
    path : str or Path
        With a header line, its fields separated by commas, semicolons or tabs. *Wide*: a time column, then one
        column a series, called like it (``lag`` or ``lag{topic="orders"}``). *Long*: one sample a row: a time
        column, a column ``value``, and either a column ``series`` in that notation, or a column ``metric`` (or
        ``__name__``) and one column a label.
        The time column is the first, or the one called time, timestamp, ts, date or datetime.
    zone : str, optional
        IANA name of the zone of times that name none, for example ``"Europe/Berlin"``.
    time_format : str, optional
        How times are written, as for `datetime.strptime`; by default ISO 8601, or a number of seconds,
        milliseconds, microseconds or nanoseconds since 1970.
    unit : {"s", "ms", "us", "ns"}, optional
        Unit of times given as numbers; seen from their size when not given.
    decimal_comma : bool
        Whether numbers have a comma in place of the point.
    columns : Mapping, optional
        What columns are called in the file, by what they are: ``{'lag{topic="orders"}': "orders"}``. For all
        columns of a dashboard's panel at once, give its legend: ``{'lag{topic="{{t}}"}': "{{t}}"}``.
    scrape_interval : str or timedelta, optional
        For example ``"15s"``; measured when not given.
    only_named : bool
        Whether to leave out the columns of a wide table that `columns` does not name.

    Returns
    -------
    History
        An empty field (or ``null``) is no sample; ``NaN`` is a sample whose value is NaN.

    Raises
    ------
    DataFileError
        With all faults: times without a zone, of unclear unit, that clocks showed twice or never, written in
        several ways, unordered or repeated; values that are no numbers; columns that name no series; rows of
        another length than the header.
    SettingError
        If an option makes no sense.
    """
    file, report = Path(path), Report(str(path))
    interval = options.get("scrape_interval")
    interval_ms = None if interval is None else duration_of(interval, "scrape_interval")
    renames = options.get("columns") or {}
    times = Times.of(
        str(file),
        options.get("zone"),
        options.get("time_format"),
        options.get("unit"),
        report,
        lambda: _stamped(file, renames),
    )
    comma = options.get("decimal_comma", False)
    columns: dict[Labels, Column] = {}
    with opened(file, report) as stream:
        try:
            rows, before = _rows(stream)
            try:
                theirs: list[str] = next(rows, [])
                header = renamed(theirs, renames, _clock, before + 1, report)
                table = _Table(shlex.quote(str(file)), header, times, comma, before, report)
                if options.get("only_named"):
                    table.meant = set().union(*meant(theirs, renames, _clock).values())
                columns = table.read(rows)
            except csv.Error as error:
                report.add(f"not CSV: {error}", rows.line_num + before, "Check the quotes; is the file cut?")
        except UnicodeDecodeError:
            report_encoding(file, report)
    return make_history(file, columns, report, interval_ms)


def split_columns(files: Sequence[Path], columns: Mapping[str, str]) -> list[dict[str, str]]:
    """Return what of `columns` each of several tables is meant by; what none has, the first is asked for."""
    here: list[set[str]] = []
    for file in files:
        try:
            with file.open(encoding="utf-8-sig", newline="") as stream:
                found = meant(next(_rows(stream)[0], []), columns, _clock)
                here.append({what for what, places in found.items() if places})
        except (OSError, UnicodeDecodeError, csv.Error):
            # Reading the file itself says it better.
            here.append(set())
    nowhere = columns.keys() - set().union(*here)
    here[0] |= nowhere
    return [{what: name for what, name in columns.items() if what in those} for those in here]


def _stamped(file: Path, renames: Mapping[str, str]) -> Iterator[tuple[int, tuple[str, ...], str]]:
    """Go through the times of a table, each with its line and what its row says of the series."""
    with file.open(encoding="utf-8-sig", newline="") as stream:
        rows, before = _rows(stream)
        names = renamed(next(rows, []), renames, _clock, before + 1, Report(str(file)))
        clock, value = _clock(names), _value(names)
        for row in rows:
            if len(row) == len(names):
                others = (cell for place, cell in enumerate(row) if place not in (clock, value))
                yield rows.line_num + before, () if value is None else tuple(others), row[clock].strip()


def _clock(names: Sequence[str]) -> int:
    """Return which column holds the times."""
    return next((index for index, name in enumerate(names) if name.lower() in _TIME_NAMES), 0)


def _value(names: Sequence[str]) -> int | None:
    """Return which column of a long table holds the values; None for a wide one."""
    lowered = [name.lower() for name in names]
    return lowered.index("value") if "value" in lowered and len(names) > 2 else None


def _rows(stream: TextIO) -> tuple[Any, int]:
    """Return the rows from the header on, and how many lines stand before it."""
    start = stream.readline()
    said = _SEPARATOR_LINE.fullmatch(start)
    first = stream.readline() if said else start
    found = said or _DELIMITER.match(first)

    def lines() -> Iterator[str]:
        yield first
        yield from stream

    return csv.reader(lines() if first else [], strict=True, delimiter=found[1] if found else ","), 1 if said else 0


@dataclass
class _Table:
    """Reads the rows of a table whose header says whether it is wide or long."""

    quoted: str
    names: Sequence[str]
    times: Times
    comma: bool
    before: int
    report: Report
    meant: Collection[int] | None = None

    def read(self, rows: Any) -> dict[Labels, Column]:
        """Return the samples of each series."""
        names, report, top = self.names, self.report, self.before + 1
        if len(names) < 2:
            report.add("the header has fewer than two columns", top, "Give a time column and at least one series")
            return {}
        repeated = sorted({name for name in names if names.count(name) > 1})
        for name in repeated:
            report.add(f"two columns are called {name!r}", top, "Give every column its own name")
        if repeated:
            return {}
        clock, value = _clock(names), _value(names)
        others = [index for index in range(len(names)) if index != clock]
        if value is not None:
            return self._long(rows, clock, value, others)
        if self.meant is not None:
            others = [index for index in others if index in self.meant]
            if not others:
                self.report.add(
                    "no column is named", top, """Say what they are: --column 'lag{topic="orders"}=orders'"""
                )
        return self._wide(rows, clock, others)

    def _numbered(self, rows: Any) -> Iterator[tuple[int, list[str]]]:
        """Go through the rows that are as long as the header, with their lines."""
        while (row := next(rows, None)) is not None:
            line = rows.line_num + self.before
            if row and len(row) != len(self.names):
                self.report.add(
                    f"{len(row)} fields instead of {len(self.names)}", line, "Give every row a field for each column"
                )
            elif row:
                yield line, row

    def _wide(self, rows: Any, clock: int, others: Sequence[int]) -> dict[Labels, Column]:
        columns: dict[Labels, Column] = {}
        named = self._named(others)
        for labels in named.values():
            if labels in columns:
                self.report.add(f"two columns are the series {labels}", self.before + 1, "Merge them, or rename one")
            columns[labels] = Column()
        last: int | None = None
        for line, row in self._numbered(rows):
            time = self.times.read(row[clock].strip(), line)
            if time is None:
                continue
            if last is not None and time <= last:
                self.times.disorder("the time", time, last, line, "Sort the rows and keep one an instant")
                continue
            last = time
            for index, labels in named.items():
                self._take(columns[labels], time, row[index], labels, line)
        return columns

    def _named(self, others: Sequence[int]) -> dict[int, Labels]:
        """Return the series of each column, and say once which columns are none."""
        named, unnamed = dict[int, Labels](), dict[str, SettingError]()
        for index in others:
            try:
                named[index] = parse_series(self.names[index])
            except SettingError as error:
                unnamed[self.names[index]] = error
        if unnamed:
            first, *more = unnamed
            also = f"; neither does {more[0]!r}" if len(more) == 1 else f"; neither do {len(more)} more columns"
            cure = self._naming_cure(first, unnamed[first].cure)
            if more:
                cure += """, or all by the panel's legend: --column 'lag{topic="{{topic}}"}={{topic}}'; """
                cure += "--only-named leaves the others out"
            problem = f"{first!r} names no series: {unnamed[first].problem}{also if more else ''}"
            self.report.add(problem, self.before + 1, cure)
        return named

    def _naming_cure(self, text: str, cure: str | None) -> str:
        said = shlex.quote(f'lag{{topic="orders"}}={text}')
        return f"{cure or 'Rename it'}, or say what it is: kmon import {self.quoted} --column {said} -o history"

    def _long(self, rows: Any, clock: int, value: int, others: Sequence[int]) -> dict[Labels, Column]:
        columns: dict[Labels, Column] = {}
        for line, row in self._numbered(rows):
            time = self.times.read(row[clock].strip(), line)
            if time is None:
                continue
            found = self._labels({self.names[index]: row[index] for index in others if index != value}, line)
            if found is not None:
                self._take(columns.setdefault(found, Column()), time, row[value], found, line)
        return columns

    def _labels(self, fields: Mapping[str, str], line: int) -> Labels | None:
        """Return the series that a row of a long table belongs to."""
        pairs = dict(fields)
        base: Mapping[str, str] = {}
        for name in list(pairs):
            if name.lower() == "series":
                labels = self._series(pairs.pop(name), line)
                if labels is None:
                    return None
                base = labels
            elif name.lower() in _METRIC_NAMES:
                pairs[METRIC_NAME] = pairs.pop(name)
        return Labels({**base, **pairs})

    def _series(self, text: str, line: int) -> Labels | None:
        try:
            return parse_series(text)
        except SettingError as error:
            self.report.add(f"{text!r} names no series: {error.problem}", line, error.cure or "Rename it")
            return None

    def _take(self, column: Column, time: int, text: str, name: Labels, line: int) -> None:
        stripped = text.strip()
        if stripped in _NOTHING:
            return
        number = stripped
        if self.comma:
            # A point beside decimal commas groups thousands or is a mistake: neither may be guessed.
            number = stripped.replace(",", ".", 1) if "." not in stripped else "both"
        value = read_number(number)
        if value is None:
            self.report.add(f"{stripped!r} of {name} is not a number", line, self._number_cure(stripped))
            return
        if column.times and time <= column.times[-1]:
            cure = "Sort the samples by time and keep one an instant"
            self.times.disorder(str(name), time, column.times[-1], line, cure)
            return
        column.take(time, value, name, line, self.report)

    def _number_cure(self, text: str) -> str:
        if self.comma and "." in text:
            return "Write it with a decimal comma and without points, or leave the option about commas out"
        if not self.comma and _DECIMAL_COMMA.fullmatch(text):
            return (
                f"If commas are decimal, say so: kmon import {self.quoted} --decimal-comma -o history "
                "(in Python: decimal_comma=True)"
            )
        if _WITH_UNIT.fullmatch(text):
            return 'Give numbers without units (in Grafana\'s inspector: switch "Formatted data" off)'
        return "Correct it, or leave the field empty"
