"""Incidents from other tools: PagerDuty, Opsgenie, any table, and the alerts that Prometheus and Alertmanager know."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import Literal

from kmon_analysis.errors import SettingError
from kmon_analysis.incidents import Incident, Status
from kmon_analysis.labelling.alerts import read_alerts
from kmon_analysis.labelling.imported import PAGES, Imported, LeftOut, gathered
from kmon_analysis.labelling.phrases import counted
from kmon_analysis.labelling.rows import Faults, Row, Table, near_column, no_column, read_table, shown
from kmon_analysis.labelling.services import Concern, parse_services
from kmon_analysis.timing import MINUTE_MS, Interval, format_instant, parse_instant, zone_of
from kmon_analysis.timing_written import (
    NaiveTimeError,
    NotationError,
    check_time_format,
    day_comes_first,
    read_instant,
)

__all__ = ["FORMATS", "Format", "import_incidents"]

Format = Literal["pagerduty", "opsgenie", "csv", "alerts"]
FORMATS: tuple[Format, ...] = ("pagerduty", "opsgenie", "csv", "alerts")
_ROLES = ("id", "start", "end", "service", "kind", "cause", "duration_ms", "detected", "must_page", "rules")
_NEEDED = ("id", "start", "end")
_LABEL = re.compile(r"labels\.([a-zA-Z_][a-zA-Z0-9_]*)")
_YES, _NO = ("true", "yes", "y", "1"), ("false", "no", "n", "0")
# So many more lines with the same fault are named.
_MOST_LINES = 5

# PagerDuty: the raw incident report (reports/raw/incidents.csv) has created_on and resolved_on, the incident data of
# its analytics API created_at and resolved_at. Opsgenie: the fields of its Alert API; report.closeTime is in
# milliseconds since the alert was created.
_COLUMNS: Mapping[Format, Mapping[str, tuple[str, ...]]] = {
    "pagerduty": {
        "id": ("id", "incident_id", "incident_number"),
        "start": ("created_on", "created_at"),
        "end": ("resolved_on", "resolved_at"),
        "service": ("service_name", "service"),
        "cause": ("description", "title", "summary"),
    },
    "opsgenie": {
        "id": ("id", "alert_id", "tiny_id", "alias"),
        "start": ("created_at", "created_date", "created"),
        "end": ("closed_at", "closed_date", "closed"),
        "duration_ms": ("report.closeTime", "close_time"),
        "service": ("service", "entity", "source", "teams", "team"),
        "cause": ("message", "description"),
    },
    "csv": {
        "id": ("id", "incident_id", "incident", "ticket", "key", "number"),
        "start": ("start", "started_at", "start_time", "opened_at", "created_at", "begin", "from"),
        "end": ("end", "ended_at", "end_time", "resolved_at", "closed_at", "finish", "to"),
        "service": ("service", "service_name", "component", "system"),
        "kind": ("kind",),
        "cause": ("cause", "title", "summary", "description"),
        "detected": ("detected", "detected_at"),
        "must_page": ("must_page",),
        "rules": ("rules",),
    },
}
_OPEN = ("", "null", "none", "n/a", "-", "open")


def import_incidents(
    path: str | Path,
    format: str = "csv",  # noqa: A002 - what the user calls it
    *,
    columns: Mapping[str, str] | None = None,
    zone: str | None = None,
    time_format: str | None = None,
    services: Iterable[str] = (),
    only_mapped: bool = False,
    open_until: str | None = None,
    confirmed: bool | None = None,
    merge_gap_ms: int = 5 * MINUTE_MS,
) -> Imported:
    """Read the incidents of another tool.

    Parameters
    ----------
    path : str or Path
        An export; for ``alerts`` a history with ``ALERTS``, a saved answer of Prometheus' query API about it, or
        alerts in Alertmanager's JSON.
    format : {"pagerduty", "opsgenie", "csv", "alerts"}
        Whose it is.
    columns : Mapping, optional
        What columns are called, by what they hold: ``id``, ``start``, ``end``, ``service``, ``kind``, ``cause``,
        ``duration_ms``, ``detected``, ``must_page`` (yes or no), ``rules`` (names of alerts, separated by commas), and
        ``labels.topic`` for the label ``topic``. What `services` says of rules and labels goes before.
    zone : str, optional
        IANA name of the zone of times that name none.
    time_format : str, optional
        How times are written, as for `datetime.strptime`; by default ISO 8601, or seconds, milliseconds,
        microseconds or nanoseconds since 1970.
    services : iterable of str
        What services stand for, see `kmon_analysis.labelling.services.parse_services`.
    only_mapped : bool
        Leave out what none of them speaks of.
    open_until : str, optional
        End of entries that have none; without it they are left out.
    confirmed : bool, optional
        Whether they are truth, or suggestions for a person to decide on. By default ``alerts`` are suggestions, since
        they are what the rules themselves said.
    merge_gap_ms : int
        For ``alerts``: firing again within this time is the same entry.

    Raises
    ------
    DataFileError
        With every fault of the file, each with its line.
    SettingError
        If an option makes no sense, or names what is not there.

    Notes
    -----
    PagerDuty's raw incident report (``reports/raw/incidents.csv``); the fields of Opsgenie's Alert API; Alertmanager's
    ``api/v2/openapi.yaml``, ``gettableAlert``, which tells of alerts that fire now and of none that ended.
    """
    place = Path(path)
    chosen = next((each for each in FORMATS if each == format), None)
    if chosen is None:
        raise SettingError(f"{format!r} is no known source", cure=f"Known are {', '.join(FORMATS)}")
    if time_format is not None:
        check_time_format(time_format)
    how = _How(
        zone=None if zone is None else zone_of(zone, place="--zone"),
        time_format=time_format,
        services=parse_services(services),
        only_mapped=only_mapped,
        open_until_ms=None if open_until is None else parse_instant(open_until),
        status="confirmed" if (chosen != "alerts" if confirmed is None else confirmed) else "suggested",
    )
    if only_mapped and not how.services:
        raise SettingError("nothing is mapped, so nothing would be left", cure="Say which services with --map")
    if chosen == "alerts":
        given = {"--column": columns, "--zone": zone, "--time-format": time_format, "--map": how.services}
        for option, value in given.items():
            if value:
                raise SettingError("is about tables", place=option, cure="Leave it out with alerts")
        return read_alerts(place, status=how.status, open_until_ms=how.open_until_ms, merge_gap_ms=merge_gap_ms)
    return _Reading(read_table(place), str(place), chosen, columns or {}, how).result()


@dataclass(frozen=True, slots=True)
class _How:
    """What the user said about the entries."""

    zone: tzinfo | None
    time_format: str | None
    services: Mapping[str, Concern]
    only_mapped: bool
    open_until_ms: int | None
    status: Status


@dataclass
class _Reading:
    """One table on its way to incidents; faults gather, so that all are reported at once."""

    table: Table
    path: str
    format: Format
    columns: Mapping[str, str]
    how: _How
    faults: Faults = field(init=False)
    left_out: list[LeftOut] = field(default_factory=list)
    naive: list[tuple[int, str]] = field(default_factory=list)
    written: dict[str, list[tuple[int, str, str]]] = field(default_factory=dict)
    unmapped: set[str] = field(default_factory=set)
    met: set[str] = field(default_factory=set)
    day_first: bool | None = None

    def __post_init__(self) -> None:
        self.faults = Faults(self.path)

    def result(self) -> Imported:
        """Read every row."""
        roles = self.roles()
        self.day_first = self.day_comes_first(roles)
        found: dict[str, tuple[Row, Incident]] = {}
        for row in self.table.rows:
            incident = self.incident(row, roles)
            if incident is None:
                continue
            earlier = found.get(incident.id)
            if earlier is None:
                found[incident.id] = (row, incident)
            elif earlier[1].interval == incident.interval:
                self.leave_out("there twice with the same times", incident.id, row)
            else:
                self.faults.add(
                    f"id {shown(incident.id)} is there twice with different times, first on line {earlier[0].line}",
                    "Keep one of the two, or name another column: --column id=NAME",
                    row.line,
                )
        self.say_naive()
        self.say_written()
        self.faults.settle()
        services = {}
        for name, (row, _) in found.items():
            service = row.cells[roles["service"]].strip() if "service" in roles else ""
            if service in self.how.services:
                services[name] = service
        return gathered((each for _, each in found.values()), self.left_out, self.notes(roles), self.path, services)

    def roles(self) -> dict[str, str]:
        """Find the columns."""
        known = _COLUMNS[self.format]
        for role, name in self.columns.items():
            if role not in _ROLES and not _LABEL.fullmatch(role):
                raise SettingError(
                    f"{role!r} is nothing that a column can hold",
                    place="--column",
                    cure=f"Known are {', '.join(_ROLES)} and labels.NAME",
                )
            if self.table.column(name) is None:
                self.faults.add(f"there is no column {shown(name)}", near_column(name, self.table), 1)
        found: dict[str, str] = {}
        for role in (*_ROLES, *(each for each in self.columns if each not in _ROLES)):
            column = self.table.column(self.columns[role]) if role in self.columns else None
            if role not in self.columns:
                column = self.table.column(*known.get(role, ()))
            if column is not None:
                found[role] = column
        for role in _NEEDED:
            if role not in found and role not in self.columns and not (role == "end" and "duration_ms" in found):
                self.faults.add(*no_column(role, self.table), 1)
        if self.how.services and "service" not in found:
            self.faults.add(*no_column("service", self.table), 1)
        self.faults.settle()
        return found

    def day_comes_first(self, roles: Mapping[str, str]) -> bool | None:
        """Say what dates such as 03/01/2026 begin with, as one of the table's times tells for all of them."""
        if self.how.time_format is not None:
            return None
        columns = [roles[role] for role in ("start", "end", "detected") if role in roles]
        try:
            return day_comes_first(row.cells[column] for row in self.table.rows for column in columns)
        except NotationError as error:
            self.faults.add(error.problem, error.cure or "Correct it")
            self.faults.settle()
        return None

    def incident(self, row: Row, roles: Mapping[str, str]) -> Incident | None:
        """Read one row; None where it is left out or cannot be read."""
        given = {role: row.cells[column].strip() for role, column in roles.items()}
        name = given["id"]
        if not name:
            self.faults.add("this row has no id", "Give it one, or name another column: --column id=NAME", row.line)
            return None
        service = given.get("service", "")
        concern = self.concern(service, name, row)
        if concern is None:
            return None
        start_ms = self.instant(given["start"], roles["start"], row)
        end_ms = self.end(given, roles, row, start_ms)
        if start_ms is None or end_ms is None:
            return None
        if end_ms == start_ms:
            self.leave_out("it lasted no time", name, row)
            return None
        if end_ms < start_ms:
            self.faults.add(
                f"{shown(name)} ends at {format_instant(end_ms)}, before it starts at {format_instant(start_ms)}",
                "Correct the times; mind their zones",
                row.line,
            )
            return None
        detected_ms = self.detected(given, roles, row, start_ms)
        rules = tuple(each.strip() for each in given.get("rules", "").split(",") if each.strip())
        labels = {match[1]: text for role, text in given.items() if text and (match := _LABEL.fullmatch(role))}
        return Incident(
            name,
            Interval(start_ms, end_ms),
            {**labels, **concern.labels},
            concern.rules or rules,
            must_page=self.must_page(given, roles, row),
            kind=given.get("kind", ""),
            cause=given.get("cause", ""),
            detected_ms=detected_ms,
            status=self.how.status,
        )

    def must_page(self, given: Mapping[str, str], roles: Mapping[str, str], row: Row) -> bool:
        """Read yes or no; a list that does not say means yes."""
        text = given.get("must_page", "").lower()
        if text and text not in (*_YES, *_NO):
            self.faults.add(f"{roles['must_page']} is {shown(text)}", "Write yes or no", row.line)
        return text not in _NO

    def detected(self, given: Mapping[str, str], roles: Mapping[str, str], row: Row, start_ms: int) -> int | None:
        """Read when people knew of an incident."""
        text = given.get("detected", "")
        if text.lower() in _OPEN:
            return None
        found = self.instant(text, roles["detected"], row)
        if found is not None and found < start_ms:
            self.faults.add(
                f"{shown(given['id'])} was detected at {format_instant(found)}, before it starts at "
                f"{format_instant(start_ms)}",
                "Correct the times; mind their zones",
                row.line,
            )
        return found

    def concern(self, service: str, name: str, row: Row) -> Concern | None:
        """Return what a row is about; None where it is left out."""
        known = self.how.services.get(service)
        if known is not None:
            self.met.add(service)
            return known
        if self.how.only_mapped:
            self.leave_out("its service is mapped to no rule", name, row)
            return None
        if self.how.services:
            self.unmapped.add(service)
        return Concern()

    def instant(self, text: str, column: str, row: Row) -> int | None:
        """Read a time; faults are kept."""
        try:
            return read_instant(text, self.how.zone, self.how.time_format, day_first=self.day_first)
        except NaiveTimeError:
            self.naive.append((row.line, f"{column} is {shown(text)}"))
        except NotationError as error:
            self.written.setdefault(column, []).append((row.line, error.problem, error.cure or "Correct it"))
        except SettingError as error:
            self.faults.add(f"{column}: {error.problem}", error.cure or "Correct it", row.line)
        return None

    def end(self, given: Mapping[str, str], roles: Mapping[str, str], row: Row, start_ms: int | None) -> int | None:
        """Read when an entry ended, as an instant or as a duration."""
        text = given.get("end", "")
        if text.lower() not in _OPEN:
            return self.instant(text, roles["end"], row)
        length = given.get("duration_ms", "")
        if length.lower() not in _OPEN:
            if not length.isascii() or not length.isdigit() or len(length) > 15:
                self.faults.add(
                    f"{roles['duration_ms']} is {shown(length)}, no whole number of milliseconds",
                    "Correct it",
                    row.line,
                )
                return None
            return None if start_ms is None else start_ms + int(length)
        if self.how.open_until_ms is not None:
            if start_ms is not None and self.how.open_until_ms <= start_ms:
                self.leave_out("it begins after --open-until", given["id"], row)
                return None
            return self.how.open_until_ms
        self.leave_out("it has no end yet (--open-until gives it one)", given["id"], row)
        return None

    def leave_out(self, why: str, name: str, row: Row) -> None:
        """Remember what is not taken over."""
        self.left_out.append(LeftOut(why, f"{shown(name)} (line {row.line})"))

    def say_naive(self) -> None:
        """Report times without a zone, once for all."""
        if self.naive:
            line, what = self.naive[0]
            more = f"; so have {len(self.naive) - 1:,} more" if len(self.naive) > 1 else ""
            cure = "Say which one such times are in: --zone Europe/Berlin, or --zone UTC"
            self.faults.add(f"{what}, which has no time zone{more}", cure, line)

    def say_written(self) -> None:
        """Report times that are written in no known way, once for each column."""
        for column, found in self.written.items():
            line, problem, cure = found[0]
            lines = ", ".join(f"{each[0]:,}" for each in found[1 : 1 + _MOST_LINES])
            rest = len(found) - 1 - _MOST_LINES
            more = f"; so it is on {'lines' if len(found) > 2 else 'line'} {lines}" if len(found) > 1 else ""
            more += f" and {rest:,} more" if rest > 0 else ""
            self.faults.add(f"{column}: {problem}{more}", cure, line)
        self.faults.findings.sort(key=lambda found: found.line or 0)

    def notes(self, roles: Mapping[str, str]) -> Sequence[str]:
        """Say what should be known about what was taken over."""
        absent = [service for service in self.how.services if service not in self.met]
        said = [f"--map: no row has the service {shown(service)}" for service in absent]
        if self.unmapped:
            named = ", ".join(shown(each) for each in sorted(self.unmapped)[:3])
            more = f" and {len(self.unmapped) - 3:,} more" if len(self.unmapped) > 3 else ""
            said.append(
                f"{counted(len(self.unmapped), 'service')} mapped to no rule, so that each of their incidents concerns "
                f"every rule: {named}{more}"
            )
        elif not self.how.services and "rules" not in roles:
            said.append("no service is mapped (--map), so that each incident concerns every rule")
        unread = [column for column in self.table.columns if column and column not in roles.values()]
        # The exports of known tools have dozens of columns that are about people and escalations.
        if self.format == "csv" and unread:
            named = ", ".join(map(shown, unread[:_MOST_LINES]))
            more = f" and {len(unread) - _MOST_LINES:,} more" if len(unread) > _MOST_LINES else ""
            said.append(f"not read: {named}{more}; --column ROLE=NAME says what a column holds")
        return [*said, PAGES]
