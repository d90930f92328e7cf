"""What every reader of a data file needs: faults with their lines, columns of samples, the history they make."""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TextIO

import numpy as np

from kmon_analysis.errors import DataFileError, Finding
from kmon_analysis.history import History, Provenance
from kmon_analysis.labels import METRIC_NAME, Labels
from kmon_analysis.series import Samples, SeriesSet
from kmon_analysis.sources.connection import plain
from kmon_analysis.tabular import counted
from kmon_analysis.timing import MINUTE_MS, duration, format_instant

__all__ = ["NAMELESS", "Column", "Report", "described", "make_history", "opened", "read_number", "report_encoding"]

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
# How far Prometheus looks back for a sample, unless told otherwise.
_LOOKBACK_MS = 5 * MINUTE_MS
NAMELESS = 'no metric name, and no rule finds such series: kmon import --metric NAME (in Python: metric="NAME")'
_MOST_FINDINGS = 50
_MOST_ALIKE = 5


@dataclass
class Report:
    """Faults found so far; further ones, and those with a cure that was said often enough, are only counted."""

    file: str
    findings: list[Finding] = field(default_factory=list)
    alike: Counter[str] = field(default_factory=Counter)
    once: dict[str, tuple[int, int, int | None]] = field(default_factory=dict)
    more: int = 0

    def add(self, problem: str, line: int | None, cure: str) -> None:
        """Remember a fault."""
        self.alike[cure] += 1
        if len(self.findings) < _MOST_FINDINGS and self.alike[cure] <= _MOST_ALIKE:
            self.findings.append(Finding(plain(problem), self.file, line=line, cure=cure))
        else:
            self.more += 1

    def add_once(self, kind: str, problem: str, line: int | None, cure: str) -> None:
        """Remember a fault that a whole column is likely to have: its first line is told, the others are counted."""
        if kind in self.once:
            place, count, _ = self.once[kind]
            self.once[kind] = place, count + 1, line
        elif len(self.findings) < _MOST_FINDINGS:
            self.once[kind] = len(self.findings), 0, line
            self.findings.append(Finding(plain(problem), self.file, line=line, cure=cure))
        else:
            self.more += 1

    def settle(self) -> None:
        """Raise if there are any."""
        for place, count, line in self.once.values():
            if count:
                found = self.findings[place]
                others = f"; so it is with {count:,} more, the last on line {line:,}"
                self.findings[place] = replace(found, problem=found.problem + others)
        if self.more:
            self.findings.append(Finding(f"… and {self.more:,} more faults", self.file))
        if self.findings:
            raise DataFileError(self.findings)


@dataclass
class Column:
    """The samples of one series as they come, with the lines they stand on."""

    times: array[int] = field(default_factory=lambda: array("q"))
    values: array[float] = field(default_factory=lambda: array("d"))

    def take(self, time: int, value: float, name: object, line: int, report: Report) -> None:
        """Add a sample, unless it is not later than the one before."""
        if self.times and time <= self.times[-1]:
            fault = "repeats" if time == self.times[-1] else "goes back to"
            cure = "Sort the samples by time and keep one an instant"
            report.add_once(fault, f"{name} {fault} {format_instant(time)}", line, cure)
            return
        self.times.append(time)
        self.values.append(value)


def read_number(text: str) -> float | None:
    """Read a number as Prometheus writes it; None where it is none."""
    if _NUMBER.fullmatch(text):
        return float(text)
    return {"nan": np.nan, "+inf": np.inf, "inf": np.inf, "-inf": -np.inf}.get(text.lower())


def opened(file: Path, report: Report) -> TextIO:
    """Open a text file, or report why not."""
    try:
        return file.open(encoding="utf-8-sig", newline="")
    except OSError as error:
        report.add(f"cannot be read: {error.strerror}", None, "Check the path")
        report.settle()
        raise


def report_encoding(file: Path, report: Report) -> None:
    """Find the line that is not UTF-8; the stream reads ahead and does not know."""
    content = file.read_bytes()
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        report.add(f"not UTF-8 text: {error.reason}", line, "Save the file as UTF-8")


def make_history(
    file: Path, columns: Mapping[Labels, Column], report: Report, scrape_interval_ms: int | None
) -> History:
    """Return the columns as a history, or raise what was found."""
    if not report.findings and not any(column.times for column in columns.values()):
        report.add("there are no samples", None, "Check that this is the right file")
    report.settle()
    series = SeriesSet.from_samples(
        Samples(labels, np.array(column.times, dtype=np.int64), np.array(column.values, dtype=np.float64))
        for labels, column in columns.items()
    )
    return described(file, series, report, (), scrape_interval_ms)


def described(
    file: Path,
    series: SeriesSet,
    report: Report,
    warnings: tuple[str, ...],
    scrape_interval_ms: int | None = None,
) -> History:
    """Return series with the file as their source; samples too thin for rules to see are warned of."""
    if not series.sample_count:
        report.add("there are no samples", None, "Check that this is the right file")
        report.settle()
    nameless = [labels for labels in series.labels if METRIC_NAME not in labels]
    if nameless:
        more = len(nameless) - 1
        who = f"{nameless[0]} and {counted(more, 'series', 'series')} more have" if more else f"{nameless[0]} has"
        warnings += (f"{who} {NAMELESS}",)
    provenance = Provenance(
        source=f"file {file.name}",
        start_ms=int(series.times.min()),
        end_ms=int(series.times.max()) + 1,
        scrape_interval_ms=scrape_interval_ms,
        warnings=warnings,
    )
    history = History(series, provenance)
    if series.sample_count == len(series.labels) or history.scrape_interval_ms <= _LOOKBACK_MS:
        return history
    thin = (
        f"its samples lie {duration(history.scrape_interval_ms)} apart, and a rule sees each for 5 min: between "
        "them nothing fires; export them closer (in Grafana: a shorter time range, or the query's Min step)"
    )
    return History(series, replace(provenance, warnings=(*warnings, thin)))
