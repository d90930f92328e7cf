"""Times of a table's rows: all written in one way, which the rows together tell better than one of them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo
from functools import cached_property

from kmon_analysis.errors import SettingError
from kmon_analysis.sources.datafile import Report
from kmon_analysis.timing import HOUR_MS, format_instant, zone_of
from kmon_analysis.timing_clocks import zone_that_set_back
from kmon_analysis.timing_written import (
    EPOCH_UNITS,
    ClockChangeError,
    EpochUnit,
    NaiveTimeError,
    NotationError,
    UnitError,
    check_time_format,
    day_comes_first,
    epoch_unit,
    read_instant,
)

__all__ = ["Times"]

RowKey = tuple[str, ...]
# A row's line, what tells its series from others where a table has one sample a row, and its time.
Stamped = tuple[int, RowKey, str]


@dataclass
class Times:
    """Reads times of rows, with what all rows together tell.

    Attributes
    ----------
    quoted : str
        The file, as a shell has it.
    zone : tzinfo or None
        Of times that name none.
    time_format, unit : str or None
        As for `read_instant`.
    report : Report
        Takes the faults.
    rows : callable
        Goes through the table anew; called where one row does not tell enough.
    """

    quoted: str
    zone: tzinfo | None
    time_format: str | None
    unit: EpochUnit | None
    report: Report
    rows: Callable[[], Iterable[Stamped]]
    first: tuple[str, int, str] | None = None
    last: tuple[str, int] | None = None

    @classmethod
    def of(
        cls,
        path: str,
        zone: str | None,
        time_format: str | None,
        unit: EpochUnit | None,
        report: Report,
        rows: Callable[[], Iterable[Stamped]],
    ) -> Times:
        """Check the options about times."""
        if time_format is not None:
            check_time_format(time_format)
        if unit is not None and unit not in EPOCH_UNITS:
            raise SettingError(f"{unit!r} is no unit of times", cure=f"Known are {', '.join(EPOCH_UNITS)}")
        if unit is not None and time_format is not None:
            raise SettingError("a unit and a format of times exclude each other", cure="Give one of them")
        return cls(shlex.quote(path), None if zone is None else zone_of(zone), time_format, unit, report, rows)

    def read(self, text: str, line: int) -> int | None:
        """Return milliseconds UTC, or report why not."""
        if self.last is not None and self.last[0] == text:
            return self.last[1]
        try:
            instant, once = self._instant(text, line)
        except SettingError as error:
            kind, cure = self._cure(error, text)
            self.report.add_once(kind, error.problem, line, cure)
            return None
        if not self._as_the_first(text, line):
            return None
        if once:
            self.last = text, instant
        return instant

    def _instant(self, text: str, line: int) -> tuple[int, bool]:
        """Return milliseconds UTC, and whether the text means them wherever it stands."""
        try:
            return read_instant(text, self.zone, self.time_format, self.unit), True
        except NotationError:
            if self.time_format is not None or self.day_first is None:
                raise
        except ClockChangeError:
            return self._folded(text, line)
        try:
            return read_instant(text, self.zone, None, self.unit, day_first=self.day_first), True
        except ClockChangeError:
            return self._folded(text, line)

    def _folded(self, text: str, line: int) -> tuple[int, bool]:
        how = (self.zone, self.time_format, self.unit)
        return read_instant(text, *how, day_first=self.day_first, fold=self.folds.get(line)), False

    @cached_property
    def day_first(self) -> bool | None:
        """Whether dates such as 03/01/2026 begin with the day, as some row tells."""
        return None if self.time_format is not None else day_comes_first(text for _, _, text in self.rows())

    @cached_property
    def folds(self) -> Mapping[int, int]:
        """For lines whose time the clocks showed twice: 0 where it is the first of both, 1 where it is the second.

        The rows of a series stand in their order, so that they tell it by going back once. Where they do not, whether
        the clocks were not yet or already set back is not known, and the lines are left out.
        """
        by_series: dict[tuple[RowKey, int], list[tuple[int, int]]] = {}
        for line, key, text in self.rows():
            try:
                read_instant(text, self.zone, self.time_format, self.unit, day_first=self.day_first)
            except ClockChangeError as error:
                if "twice" in error.problem:
                    wall_ms = read_instant(text, UTC, self.time_format, self.unit, day_first=self.day_first)
                    by_series.setdefault((key, wall_ms // (24 * HOUR_MS)), []).append((line, wall_ms))
            except SettingError:
                continue
        found: dict[int, int] = {}
        for shown in by_series.values():
            backs = [place for place in range(1, len(shown)) if shown[place][1] <= shown[place - 1][1]]
            if len(backs) == 1:
                found |= {line: int(place >= backs[0]) for place, (line, _) in enumerate(shown)}
        return found

    @cached_property
    def set_back(self) -> tuple[str, bool, int] | None:
        """If all series go back once, as clocks at the end of summer time: a zone, whether texts name one, and when."""
        last: dict[RowKey, int] = {}
        backs: dict[RowKey, list[tuple[int, int, str]]] = {}
        for _, key, text in self.rows():
            try:
                time = read_instant(text, self.zone, self.time_format, self.unit, day_first=self.day_first)
            except SettingError:
                return None
            if key in last and time <= last[key]:
                backs.setdefault(key, []).append((last[key], time, text))
            last[key] = time
        if not backs or any(len(each) > 1 for each in backs.values()):
            return None
        names = {zone_that_set_back(before, after) for [(before, after, _)] in backs.values()}
        [(_, after, text), *_] = next(iter(backs.values()))
        [name, *others] = names
        return None if name is None or others else (name, not self._is_naive(text), after)

    def disorder(self, what: str, time: int, last: int, line: int, cure: str) -> None:
        """Report a time that is not later than the one before, as what it looks like."""
        found = self.set_back
        fault = "repeats" if time == last else "goes back to"
        if found is None:
            self.report.add_once(fault, f"{what} {fault} {format_instant(time)}", line, cure)
            return
        zone, named, after = found
        cure = (
            "Export it with the zone that they are in, or without any, and then say which one: "
            f"kmon import {self.quoted} --zone {zone} -o history (in Python: zone={zone!r})"
            if named
            else f"Say so: kmon import {self.quoted} --zone {zone} -o history (in Python: zone={zone!r})"
        )
        problem = (
            f"the times go back once, to {format_instant(after)}, when clocks as those of {zone} were set back: they "
            "look like local times, read as UTC"
        )
        self.report.add_once("set back", problem, line, cure)

    def _is_naive(self, text: str) -> bool:
        try:
            read_instant(text, None, self.time_format, self.unit, day_first=self.day_first)
        except NaiveTimeError:
            return True
        except SettingError:
            pass
        return False

    def _as_the_first(self, text: str, line: int) -> bool:
        """Tell whether a time is written like the first one; an ISO date with an offset is like one without."""
        if self.time_format is not None:
            return True
        found = epoch_unit(text) or ("date" if ":" in text else "number")
        if self.unit is not None and found != "date":
            found = self.unit
        if self.first is None:
            self.first = found, line, text
        if found == self.first[0]:
            return True
        _, where, other = self.first
        problem = f"the time {text!r} is written in another way than {other!r} on line {where:,}"
        self.report.add_once("mixed", problem, line, "Write all times of a file in one way")
        return False

    def _cure(self, error: SettingError, text: str) -> tuple[str, str]:
        """Return what kind of fault it is, and what helps: `kmon import` takes what the table does not say."""
        verb = f"kmon import {self.quoted}"
        if isinstance(error, NaiveTimeError):
            return "naive", (
                f"Say which one its times are in: {verb} --zone Europe/Berlin -o history "
                "(in Python: zone='Europe/Berlin')"
            )
        if isinstance(error, ClockChangeError):
            often = error.problem.rpartition(" ")[2]
            return often, (
                "Export the table in UTC (in Grafana: the dashboard's time zone), or write these times with their "
                f"offset, this one as {(error.cure or '').rpartition(': ')[2]}"
            )
        if isinstance(error, UnitError):
            return "unit", f"Say it: {verb} --unit s -o history (in Python: unit='s'); s, ms, us or ns"
        if isinstance(error, NotationError):
            kind = error.problem.removeprefix(repr(text))
            if error.cure and error.cure.startswith("Say it"):
                formats = error.cure.removeprefix("Say it: ")
                return kind, f"Say it: {verb} -o history {formats} (in Python: time_format=)"
            return kind, (
                f'Write it as 2026-03-01T08:00:00Z, or say how it is written: {verb} --time-format "%d.%m.%Y %H:%M" '
                "--zone Europe/Berlin -o history (in Python: time_format='%d.%m.%Y %H:%M')"
            )
        return error.problem.removeprefix(repr(text)), error.cure or "Correct the time"
