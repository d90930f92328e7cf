"""Traffic hours: read from words, written as a PromQL guard (UTC) and as an Alertmanager time interval (local).

PromQL knows UTC only. The guard covers the hours that are traffic hours in summer time *and* in winter time, so the
change of the clocks never makes it page outside of them; at one end of the day an hour is then not watched. The
Alertmanager interval is exact all year, but only mutes: the alert still fires in Prometheus.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from kmon_analysis.errors import SettingError
from kmon_analysis.kafka.quoting import yaml_quote
from kmon_analysis.timing import zone_of

__all__ = ["TrafficHours", "alertmanager_interval", "parse_hours", "promql_guard", "seasons", "utc_spans"]

_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_DAY, _WEEK = 24 * 60, 7 * 24 * 60
_PART = re.compile(
    r"\s*(?:([A-Za-z]+)\s*(?:-\s*([A-Za-z]+)\s*)?)?\s*(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})\s*", re.ASCII
)
# Offsets are looked up over one year: rules of time zones change rarely, and never by a clock here.
YEAR = 2026


@dataclass(frozen=True, slots=True)
class TrafficHours:
    """When traffic is expected.

    Attributes
    ----------
    spans : tuple of (int, int)
        Half-open minutes of the local week, counted from Sunday 00:00; none crosses midnight.
    zone : str
        IANA name of the time zone.
    text : str
        As the user wrote it.
    """

    spans: tuple[tuple[int, int], ...]
    zone: str
    text: str

    @property
    def offsets(self) -> tuple[int, ...]:
        """Minutes that the zone is ahead of UTC, every value of a year once, smallest first."""
        start = datetime(YEAR, 1, 1, 12, tzinfo=ZoneInfo("UTC"))
        zone = ZoneInfo(self.zone)
        found = {(start + timedelta(days=day)).astimezone(zone).utcoffset() for day in range(365)}
        return tuple(sorted(int(offset.total_seconds() // 60) for offset in found if offset is not None))

    @property
    def note(self) -> str:
        """What the guard does not cover, in words."""
        if len(self.offsets) == 1:
            return f"{self.text} {self.zone}, the same in UTC all year"
        shift = self.offsets[-1] - self.offsets[0]
        return (
            f"{self.text} {self.zone}, as far as it holds in summer time and in winter time; the guard is in UTC, so "
            f"{shift} minutes at one end of each span are not watched in either season"
        )


def parse_hours(text: str, zone: str = "UTC") -> TrafficHours:
    """Read traffic hours such as ``"Mon-Fri 08:00-18:00, Sat 10:00-14:00"``.

    Parameters
    ----------
    text : str
        Spans separated by commas; without days a span holds every day. One that ends at or before its start ends
        on the next day.
    zone : str
        IANA time zone.

    Raises
    ------
    SettingError
        If the text or the zone means nothing.

    Examples
    --------
    >>> parse_hours("Mon 08:00-09:00").spans
    ((1920, 1980),)
    """
    zone_of(zone, place="--zone")
    minutes: set[tuple[int, int]] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise SettingError(
                f"not traffic hours: {part.strip()!r}", place="--hours", cure='Write for example "Mon-Fri 08:00-18:00"'
            )
        first, last, *clock = match.groups()
        begin, end = _minute(clock[0], clock[1], part), _minute(clock[2], clock[3], part)
        length = end - begin if end > begin else end - begin + _DAY
        for day in _days(first, last, part):
            start = day * _DAY + begin
            minutes |= set(_split(start, start + length))
    return TrafficHours(_merged(minutes), zone, " ".join(text.split()))


def _minute(hour: str, minute: str, part: str) -> int:
    value = int(hour) * 60 + int(minute)
    if int(minute) > 59 or value > _DAY:
        raise SettingError(f"no time of day: {part.strip()!r}", place="--hours", cure="Write 00:00 to 24:00")
    return value


def _days(first: str | None, last: str | None, part: str) -> list[int]:
    if first is None:
        return list(range(7))
    begin = _day(first, part)
    end = begin if last is None else _day(last, part)
    return [(begin + step) % 7 for step in range((end - begin) % 7 + 1)]


def _day(word: str, part: str) -> int:
    found = [place for place, day in enumerate(_DAYS) if len(word) >= 3 and day.startswith(word.lower())]
    if not found:
        raise SettingError(f"no day: {word!r} in {part.strip()!r}", place="--hours", cure="Write Mon, Tue, … or Sunday")
    return found[0]


def _split(start: int, end: int) -> list[tuple[int, int]]:
    """Cut a span of minutes at midnights and turn it into the week."""
    pieces = []
    while start < end:
        stop = min(end, (start // _DAY + 1) * _DAY)
        pieces.append((start % _WEEK, start % _WEEK + stop - start))
        start = stop
    return pieces


def _merged(spans: set[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Join what touches, within a day."""
    out: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if out and start <= out[-1][1] and out[-1][0] // _DAY == start // _DAY:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((start, end))
    return tuple(out)


def utc_spans(hours: TrafficHours) -> tuple[tuple[int, int], ...]:
    """Return the minutes of the UTC week that are traffic hours under every offset of the year.

    Returns
    -------
    tuple of (int, int)
        Half-open, none crosses midnight UTC.
    """
    common = None
    for offset in hours.offsets:
        here = {minute % _WEEK for start, end in hours.spans for minute in range(start - offset, end - offset)}
        common = here if common is None else common & here
    kept = sorted(common or ())
    return _merged({(minute, minute + 1) for minute in kept})


def seasons(hours: TrafficHours) -> str:
    """Write the hours with their zone, and which of them the guard watches in summer and in winter.

    Examples
    --------
    >>> seasons(parse_hours("Mon-Fri 08:00-18:00", "Europe/Berlin"))
    'Mon-Fri 08:00-18:00 Europe/Berlin (09:00-18:00 in summer, 08:00-17:00 in winter)'
    >>> seasons(parse_hours("08:00-18:00", "UTC"))
    '08:00-18:00 UTC'
    """
    offsets = hours.offsets
    words = f"{hours.text} {hours.zone}"
    if len(offsets) < 2:
        return words

    def watched(offset: int) -> str:
        local = {(minute + offset) % _WEEK for start, end in utc_spans(hours) for minute in range(start, end)}
        spans = _merged({(minute, minute + 1) for minute in local})
        clocks = dict.fromkeys((start % _DAY, start % _DAY + end - start) for start, end in spans)
        return ", ".join(f"{s // 60:02}:{s % 60:02}-{e // 60:02}:{e % 60:02}" for s, e in sorted(clocks))

    return f"{words} ({watched(offsets[-1])} in summer, {watched(offsets[0])} in winter)"


def promql_guard(hours: TrafficHours) -> str:
    """Write the guard that follows a condition: ``and on() (hour() >= 8 < 20) and on() (day_of_week() > 0 < 6)``.

    Raises
    ------
    SettingError
        If no hour is a traffic hour all year round.

    Examples
    --------
    >>> promql_guard(parse_hours("Mon-Fri 08:00-18:00", "Europe/Berlin"))
    'and on() (hour() >= 7 < 16) and on() (day_of_week() >= 1 <= 5)'
    """
    spans = utc_spans(hours)
    if not spans:
        raise SettingError(
            f"{hours.text} {hours.zone} has no minute that is in it in summer and in winter time",
            place="--hours",
            cure="Give a longer span, or use the Alertmanager interval: --guard alertmanager",
        )
    days: dict[tuple[int, int], list[int]] = {}
    for start, end in spans:
        days.setdefault((start % _DAY, start % _DAY + end - start), []).append(start // _DAY)
    parts = [[text for text in (_clock(*span), _week(found)) if text] for span, found in days.items()]
    if not all(parts):
        return ""
    if len(parts) == 1:
        return " ".join(f"and on() ({text})" for text in parts[0])
    return (
        "and on() (" + " or ".join("(" + " and on() ".join(f"({text})" for text in part) + ")" for part in parts) + ")"
    )


def _clock(start: int, end: int) -> str:
    if (start, end) == (0, _DAY):
        return ""
    whole = start % 60 == 0 and end % 60 == 0
    left = "hour()" if whole else "(hour() * 60 + minute())"
    unit = 60 if whole else 1
    low = f" >= {start // unit}" if start else ""
    high = f" < {end // unit}" if end < _DAY else ""
    return f"{left}{low}{high}"


def _week(days: Sequence[int]) -> str:
    if len(days) == 7:
        return ""
    if len(days) == 1:
        return f"day_of_week() == {days[0]}"
    if days[-1] - days[0] == len(days) - 1:
        return f"day_of_week() >= {days[0]} <= {days[-1]}"
    return " or ".join(f"day_of_week() == {day}" for day in days)


def alertmanager_interval(hours: TrafficHours, name: str = "traffic-hours") -> str:
    """Write the hours as an entry of Alertmanager's ``time_intervals``, in local time.

    Notes
    -----
    Alertmanager ``timeinterval/timeinterval.go``: a time range ends after its start, on the same day.
    """
    lines = [f"- name: {yaml_quote(name)}", "  time_intervals:"]
    days: dict[tuple[int, int], list[str]] = {}
    for start, end in hours.spans:
        days.setdefault((start % _DAY, start % _DAY + end - start), []).append(_DAYS[start // _DAY])
    for (start, end), names in days.items():
        lines.append(f"  - times: [{{start_time: '{_written(start)}', end_time: '{_written(end)}'}}]")
        lines.append(f"    weekdays: [{', '.join(names)}]")
        lines.append(f"    location: {yaml_quote(hours.zone)}")
    return "\n".join(lines) + "\n"


def _written(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"
