"""Durations, instants, intervals and evaluation grids, in integer milliseconds UTC."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from kmon_analysis.errors import SettingError, nearest

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

__all__ = [
    "DAY_MS",
    "FIRST_MS",
    "HOUR_MS",
    "LAST_MS",
    "MINUTE_MS",
    "SECOND_MS",
    "WEEK_MS",
    "EvaluationGrid",
    "Interval",
    "duration",
    "duration_of",
    "format_duration",
    "format_end",
    "format_instant",
    "parse_duration",
    "parse_instant",
    "shown_end",
    "span",
    "zone_of",
]

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
WEEK_MS = 7 * DAY_MS
# Of the years 1 to 9999 in UTC, which can be written.
FIRST_MS = -62_135_596_800_000
LAST_MS = 253_402_300_799_999

_UNITS_MS = {
    "y": 365 * DAY_MS,
    "w": WEEK_MS,
    "d": DAY_MS,
    "h": HOUR_MS,
    "m": MINUTE_MS,
    "s": SECOND_MS,
    "ms": 1,
}
# Each unit at most once and in falling order, as in Prometheus' model.ParseDuration.
_DURATION = re.compile(
    "".join(rf"(?:(?P<{unit}>[0-9]+){unit}(?![a-z]))?" for unit in ("y", "w", "d", "h"))
    + r"(?:(?P<m>[0-9]+)m(?!s))?(?:(?P<s>[0-9]+)s)?(?:(?P<ms>[0-9]+)ms)?"
)
_INSTANT = re.compile(r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?([Zz]|[+-]\d{2}:\d{2})")

# Prometheus holds durations in 64-bit nanoseconds.
_LONGEST_MS = (2**63 - 1) // 1_000_000
_MOST_DIGITS = 19


def zone_of(name: str, *, place: str | None = None) -> ZoneInfo:
    """Return a time zone by its IANA name.

    Parameters
    ----------
    name : str
        For example ``"Europe/Berlin"``; ``"utc"`` and ``"Z"`` are UTC.
    place : str, optional
        Named in the message.

    Raises
    ------
    SettingError
        If there is none of this name; the message offers the nearest one.
    """
    from zoneinfo import ZoneInfo, available_timezones

    try:
        return ZoneInfo("UTC" if name.upper() in ("UTC", "Z") else name)
    except (KeyError, ValueError, OSError, TypeError, AttributeError):
        near = nearest(name, available_timezones()) if isinstance(name, str) else None
        cure = near or 'Write for example "Europe/Berlin"'
        raise SettingError(f"there is no time zone {name!r}", place=place, cure=cure) from None


def duration_of(value: str | timedelta, name: str) -> int:
    """Return a duration that a caller gave as text or as a time delta, in milliseconds.

    Parameters
    ----------
    value : str or timedelta
        For example ``"15m"``.
    name : str
        Of the argument, for the message.

    Raises
    ------
    SettingError
        If it is neither: a bare number has no unit. If it is negative, or the text is no duration.
    """
    if isinstance(value, timedelta):
        if value < timedelta(0):
            raise SettingError(f"{value!r} is negative", place=name, cure="Give zero or more")
        return value // timedelta(milliseconds=1)
    if not isinstance(value, str):
        raise SettingError(f"{value!r} has no unit", place=name, cure='Give a text such as "15m", or a timedelta')
    try:
        return parse_duration(value)
    except SettingError as error:
        raise SettingError(error.problem, place=name, cure=error.cure) from None


def parse_duration(text: str) -> int:
    """Read a Prometheus duration such as ``5m`` or ``1h30m``.

    Parameters
    ----------
    text : str
        Duration in Prometheus' notation; ``"0"`` is allowed.

    Returns
    -------
    int
        Milliseconds.

    Raises
    ------
    SettingError
        If `text` is not a duration.

    Notes
    -----
    Prometheus common ``model/time.go``, ``ParseDuration``.

    Examples
    --------
    >>> parse_duration("1h30m")
    5400000
    """
    stripped = text.strip()
    if stripped == "0":
        return 0
    match = _DURATION.fullmatch(stripped)
    if not stripped or match is None:
        raise SettingError(
            f"not a duration: {text!r}", cure='Write it as Prometheus does, for example "90s", "5m" or "1h30m"'
        )
    counts = {unit: count.lstrip("0") for unit, count in match.groupdict().items() if count}
    long = any(len(count) > _MOST_DIGITS for count in counts.values())
    total = 0 if long else sum(int(count or "0") * _UNITS_MS[unit] for unit, count in counts.items())
    if long or total > _LONGEST_MS:
        shown = text if len(text) <= 2 * _MOST_DIGITS else f"{text[:_MOST_DIGITS]}…"
        raise SettingError(f"the duration {shown!r} is out of range", cure="Give one below 292 years")
    return total


def format_duration(duration_ms: int) -> str:
    """Write a duration as Prometheus does.

    Notes
    -----
    Prometheus common ``model/time.go``, ``Duration.String``: years, weeks and days are used only
    where they divide the whole duration.

    Examples
    --------
    >>> format_duration(5_400_000), format_duration(600_000), format_duration(0)
    ('1h30m', '10m', '0s')
    """
    if duration_ms < 0:
        return "-" + format_duration(-duration_ms)
    if duration_ms == 0:
        return "0s"
    parts, rest = [], duration_ms
    for unit, unit_ms in _UNITS_MS.items():
        if unit in ("y", "w", "d") and rest % unit_ms:
            continue
        count, rest = divmod(rest, unit_ms)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def duration(length_ms: float | None, *, exact: bool = False) -> str:
    """Write for reading how long something took: to the second, below ten seconds to a tenth, in two units.

    What is set in rules, queries and options is written as Prometheus does, see `format_duration`.

    Parameters
    ----------
    length_ms : float or None
        None and NaN: it is not known.
    exact : bool
        Whether every unit is written, down to the millisecond: where one instant is compared with another.

    Examples
    --------
    >>> duration(None), duration(451), duration(95_400), duration(3_725_000), duration(200_000_000)
    ('–', '0.5 s', '1 min 35 s', '1 h 2 min', '2 d 7 h')
    >>> duration(451, exact=True), duration(3_725_000, exact=True)
    ('0.451 s', '1 h 2 min 5 s')
    """
    if length_ms is None or math.isnan(length_ms):
        return "–"
    if length_ms < 0:
        return "-" + duration(-length_ms, exact=exact)
    if exact:
        whole, seconds_ms = divmod(round(length_ms), MINUTE_MS)
        seconds = f"{seconds_ms / SECOND_MS:g} s" if seconds_ms or not whole else ""
        days, hours, minutes = whole // 1440, whole // 60 % 24, whole % 60
        named = ((days, "d"), (hours, "h"), (minutes, "min"))
        return " ".join([*(f"{count} {unit}" for count, unit in named if count), *filter(None, [seconds])])
    if length_ms < 10 * SECOND_MS:
        return f"{round(length_ms / SECOND_MS, 1):g} s"
    rest = round(length_ms / SECOND_MS) * SECOND_MS
    units = (("d", DAY_MS), ("h", HOUR_MS), ("min", MINUTE_MS), ("s", SECOND_MS))
    for place, (unit, unit_ms) in enumerate(units):
        whole, left = divmod(rest, unit_ms)
        if not whole:
            continue
        small_unit, small_ms = units[min(place + 1, 3)]
        small = left // small_ms if place < 3 else 0
        return f"{whole} {unit} {small} {small_unit}" if small else f"{whole} {unit}"
    raise AssertionError(length_ms)


def span(length_ms: float) -> str:
    """Write how long a history, or a part of it, is: in weeks, or in days below two weeks.

    Examples
    --------
    >>> span(10 * WEEK_MS), span(3.93 * WEEK_MS), span(1.5 * WEEK_MS), span(DAY_MS), span(HOUR_MS)
    ('10 weeks', '3.9 weeks', '10.5 days', '1 day', '1 h')
    """
    if length_ms < DAY_MS:
        return duration(length_ms)
    count, unit = (length_ms / WEEK_MS, "week") if length_ms >= 2 * WEEK_MS else (length_ms / DAY_MS, "day")
    shown = f"{count:.1f}".removesuffix(".0")
    return f"{shown} {unit}{'' if shown == '1' else 's'}"


def parse_instant(text: str) -> int:
    """Read an RFC 3339 instant with a zone.

    Parameters
    ----------
    text : str
        For example ``2026-03-01T08:00:00Z`` or ``2026-03-01 09:00:00+01:00``.

    Returns
    -------
    int
        Milliseconds since the Unix epoch; digits beyond the millisecond are cut.

    Raises
    ------
    SettingError
        If `text` is not such an instant; a missing zone is named as the reason.
    """
    match = _INSTANT.fullmatch(text.strip())
    if match is None:
        naive = _INSTANT.fullmatch(text.strip() + "Z")
        reason = "has no time zone" if naive else "is not an RFC 3339 instant"
        raise SettingError(
            f"{text!r} {reason}", cure='Write it with its zone, for example "2026-03-01T08:00:00Z" or "…+01:00"'
        )
    day, clock, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone in 'Zz' else zone}")
    except ValueError as error:
        raise SettingError(f"{text!r} is not an instant: {error}", cure="Correct the date or the time") from None
    instant_ms = round(moment.timestamp()) * SECOND_MS + int((fraction or "0").ljust(3, "0")[:3])
    if not FIRST_MS <= instant_ms <= LAST_MS:
        raise SettingError(f"{text!r} is not an instant: in UTC it has no year", cure="Correct the date or the time")
    return instant_ms


def format_instant(instant_ms: int) -> str:
    """Write an instant as RFC 3339 in UTC, with milliseconds only where there are any.

    Examples
    --------
    >>> format_instant(0), format_instant(1_500)
    ('1970-01-01T00:00:00Z', '1970-01-01T00:00:01.500Z')
    """
    seconds, rest = divmod(instant_ms, SECOND_MS)
    text = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat(timespec="seconds")
    return f"{text}.{rest:03d}Z" if rest else f"{text}Z"


def format_end(end_ms: int) -> str:
    """Write the end of a half-open span that was made from samples: the last one's time, not a millisecond later.

    Examples
    --------
    >>> format_end(60_001), format_end(60_000), format_end(60_500)
    ('1970-01-01T00:01:00Z', '1970-01-01T00:01:00Z', '1970-01-01T00:01:00.500Z')
    """
    return format_instant(shown_end(end_ms))


def shown_end(end_ms: int) -> int:
    """Return what `format_end` writes of the end of a half-open span, in ms UTC."""
    return end_ms - 1 if end_ms % SECOND_MS == 1 else end_ms


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """A half-open span of time, ``start_ms <= t < end_ms``."""

    start_ms: int
    end_ms: int

    def __post_init__(self) -> None:
        if self.end_ms < self.start_ms:
            raise SettingError(
                f"the interval ends at {format_instant(self.end_ms)}, "
                f"before it starts at {format_instant(self.start_ms)}",
                cure="Swap start and end",
            )

    @property
    def duration_ms(self) -> int:
        """Length in milliseconds."""
        return self.end_ms - self.start_ms

    def __contains__(self, instant_ms: int) -> bool:
        return self.start_ms <= instant_ms < self.end_ms

    def overlaps(self, other: Interval) -> bool:
        """Tell whether the two share at least one instant."""
        return self.start_ms < other.end_ms and other.start_ms < self.end_ms

    def widened(self, before_ms: int, after_ms: int) -> Interval:
        """Return the interval with its ends moved outwards."""
        return Interval(self.start_ms - before_ms, self.end_ms + after_ms)


@dataclass(frozen=True, slots=True)
class EvaluationGrid:
    """The instants at which a rule group is evaluated.

    Attributes
    ----------
    start_ms, end_ms : int
        Half-open range that the instants lie in.
    step_ms : int
        The group's interval.
    phase_ms : int
        Offset of the instants: they are ``phase_ms + k * step_ms``.

    Notes
    -----
    Prometheus ``rules/group.go``, ``Group.EvalTimestamp``.
    """

    start_ms: int
    end_ms: int
    step_ms: int
    phase_ms: int = 0

    def __post_init__(self) -> None:
        if self.step_ms <= 0:
            raise SettingError(f"the evaluation interval is {self.step_ms} ms", cure="Give a positive interval")

    @property
    def times(self) -> npt.NDArray[np.int64]:
        """Evaluation instants, shape ``(T,)``, ascending, in milliseconds."""
        phase = self.phase_ms % self.step_ms
        first = -((phase - self.start_ms) // self.step_ms) * self.step_ms + phase
        return np.arange(first, self.end_ms, self.step_ms, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.times)
