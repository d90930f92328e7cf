"""Instants for people: UTC, a stated local zone, and the distance from the start of the incident."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from kmon_analysis.report.words import moment
from kmon_analysis.timing import SECOND_MS, duration, zone_of

__all__ = ["clock", "day", "local_zone", "minute", "offset"]


def local_zone(name: str) -> ZoneInfo | None:
    """Return a zone by its IANA name; None for UTC, which needs no database of zones.

    Raises
    ------
    SettingError
        If there is none of this name.
    """
    return None if name == "UTC" else zone_of(name)


def clock(instant_ms: int, zone: ZoneInfo | None = None, *, date: bool = True) -> str:
    """Write an instant to the second, in UTC or a zone; a zone's offset is written with it.

    Examples
    --------
    >>> clock(0), clock(0, ZoneInfo("Europe/Zurich")), clock(1_500, date=False)
    ('1970-01-01 00:00:00', '1970-01-01 01:00:00 +01:00', '00:00:01.500')
    """
    seconds, rest = divmod(instant_ms, SECOND_MS)
    at = datetime.fromtimestamp(seconds, UTC)
    local = at if zone is None else at.astimezone(zone)
    text = local.strftime("%Y-%m-%d %H:%M:%S" if date else "%H:%M:%S") + (f".{rest:03d}" if rest else "")
    if zone is None:
        return text
    sign = local.strftime("%z")
    return f"{text} {sign[:3]}:{sign[3:5]}"


def minute(instant_ms: int, zone: str = "UTC") -> str:
    """Write an instant to the minute in a zone, whose name stands above; with its offset, which may change.

    Examples
    --------
    >>> minute(0), minute(0, "Europe/Zurich")
    ('1970-01-01 00:00', '1970-01-01 01:00 +01:00')
    """
    place = local_zone(zone)
    if place is None:
        return moment(instant_ms)
    return f"{moment(instant_ms, zone=place)} {clock(instant_ms, place)[-6:]}"


def day(instant_ms: int, zone: str = "UTC") -> str:
    """Write the date of an instant in a zone."""
    return minute(instant_ms, zone)[:10]


def offset(length_ms: int) -> str:
    """Write how far an instant lies behind the start, with its sign, to the second: nobody acts on less.

    Examples
    --------
    >>> offset(270_000), offset(-120_000), offset(0), offset(10_451)
    ('+4 min 30 s', '-2 min', '+0 s', '+10 s')
    """
    length_ms = round(length_ms / SECOND_MS) * SECOND_MS
    return ("+" if length_ms >= 0 else "") + duration(length_ms)
