"""Times as other tools write them: with a zone, without one, or counted from 1970."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal, get_args

from kmon_analysis.errors import SettingError
from kmon_analysis.timing import FIRST_MS, LAST_MS, SECOND_MS

__all__ = [
    "EPOCH_UNITS",
    "ClockChangeError",
    "EpochUnit",
    "NaiveTimeError",
    "NotationError",
    "UnitError",
    "check_time_format",
    "day_comes_first",
    "epoch_unit",
    "read_instant",
]

EpochUnit = Literal["s", "ms", "us", "ns"]
EPOCH_UNITS: tuple[EpochUnit, ...] = get_args(EpochUnit)

_ISO = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[Tt ]\s*(\d{1,2}:\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?)?\s*(Z|z|UTC|GMT|[+-]\d{2}:?\d{2})?",
    re.ASCII,
)
# Year, month, day behind strokes or points, which nobody writes in another order.
_YEAR_FIRST = re.compile(r"(\d{4})([./])(\d{1,2})\2(\d{1,2})(?=$|[Tt ,])(.*)", re.ASCII)
_SLASHED = re.compile(r"(\d{1,2})([./-])(\d{1,2})\2(\d{4})(?=$|[Tt ,])(.*)", re.ASCII)
_SHORT_YEAR = re.compile(r"\d{1,2}[./-]\d{1,2}[./-]\d{2}\b.*")
_CLOCK = re.compile(
    r"(?:[Tt]|,?\s+)(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?\s*([AaPp])?(?(5)\.?[Mm]\.?)"
    r"\s*(Z|z|UTC|GMT|[+-]\d{2}:?\d{2})?",
    re.ASCII,
)
_MONTHS = 12
_NUMBER = re.compile(r"(-?\d+)(?:[.,](\d+))?", re.ASCII)
_SHORTENED = re.compile(r"\d(?:[.,]\d+)?[eE][+-]?\d+", re.ASCII)
# From the first of these on, seconds lie in 1973 to 5138, and so on: no number is of two units.
_FROM = {"s": 10**8, "ms": 10**11, "us": 10**14, "ns": 10**17}
_BEYOND = 10**20
# Whole units and nine digits of a fraction make one integer; so many of it are a millisecond.
_PER_MS = {"s": 10**6, "ms": 10**9, "us": 10**12, "ns": 10**15}
_HOW = 'Write it as 2026-03-01T08:00:00Z, or say how it is written: --time-format "%d.%m.%Y %H:%M"'
_YEARS = re.compile(r"%[YyGcxDF]")


class NaiveTimeError(SettingError):
    """A time that names no zone, where none was given for all of them."""


class ClockChangeError(SettingError):
    """A time that the clocks of its zone showed twice or never."""


class NotationError(SettingError):
    """A time that is written in no way known here."""


class UnitError(SettingError):
    """A number that may count several units of time."""


def check_time_format(time_format: str) -> None:
    """Refuse a format that could not be read by, or that would be read wrongly.

    Raises
    ------
    SettingError
        If it is none, names no year, or takes a zone by its name, which `datetime.strptime` reads and forgets.
    """
    plain = time_format.replace("%%", "")
    problem = None
    try:
        datetime.strptime("", time_format)  # noqa: DTZ007 - nothing is read
    except re.error:
        problem = "names a part twice"
    except ValueError as error:
        if "directive" in str(error) or "stray" in str(error):
            problem = f"is no format: {error}"
    if "%Z" in plain:
        problem = "takes the zone by its name, which tells no offset"
    elif problem is None and not _YEARS.search(plain):
        problem = "names no year"
    if problem:
        raise SettingError(
            f"{time_format!r} {problem}", cure='Write it as for strptime: "%d.%m.%Y %H:%M", an offset as %z'
        )


def epoch_unit(text: str) -> EpochUnit | None:
    """Return the unit of a time since 1970, which its size tells; None where it is no number or not clear."""
    match = _NUMBER.fullmatch(text.strip())
    if match is None or len(match[1]) > len(str(_BEYOND)):
        return None
    size, found = int(match[1]), None
    for unit in EPOCH_UNITS:
        if _FROM[unit] <= size < _BEYOND:
            found = unit
    return found


def day_comes_first(texts: Iterable[str]) -> bool | None:
    """Say which part of dates such as 03/01/2026 is the day: one with a number above 12 tells it for all.

    Parameters
    ----------
    texts : iterable of str
        Times of one table, which are written in one way; others than such dates are passed over.

    Returns
    -------
    bool or None
        None where none of them tells.

    Raises
    ------
    NotationError
        If some tell one thing and some the other.
    """
    told: dict[bool, str] = {}
    for text in texts:
        found = _SLASHED.fullmatch(text.strip())
        if found is None:
            continue
        first, second = int(found[1]), int(found[3])
        if (first > _MONTHS) != (second > _MONTHS):
            told.setdefault(first > _MONTHS, text)
            if len(told) > 1:
                break
    if len(told) > 1:
        raise NotationError(
            f"{told[True]!r} begins with the day, {told[False]!r} with the month", cure="Write all times in one way"
        )
    return next(iter(told), None)


def read_instant(
    text: str,
    zone: tzinfo | None = None,
    time_format: str | None = None,
    unit: EpochUnit | None = None,
    *,
    day_first: bool | None = None,
    fold: int | None = None,
) -> int:
    """Read a time.

    Parameters
    ----------
    text : str
        An ISO 8601 date and time with or without its zone, or a number of units since 1970.
    zone : tzinfo, optional
        For times that name none.
    time_format : str, optional
        How it is written instead, as for `datetime.strptime`; see `check_time_format`. ISO 8601 with an offset is
        read beside it.
    unit : {"s", "ms", "us", "ns"}, optional
        Of a number; by default as its size tells, which is clear from 1973 on.
    day_first : bool, optional
        What 03/01/2026 begins with; see `day_comes_first`. Without it, only dates that tell it themselves are read.
    fold : int, optional
        Of a time that the clocks showed twice: 0 for the first, 1 for the second; without it, such a time is refused.

    Returns
    -------
    int
        Milliseconds UTC; a number is rounded to them, of a date the digits beyond are cut.

    Raises
    ------
    NaiveTimeError
        If neither the text nor `zone` names a zone.
    ClockChangeError
        If the zone's clocks showed it twice or never.
    SettingError
        If it is no time.
    """
    given = text.strip()
    if time_format is not None:
        try:
            moment = datetime.strptime(given, time_format)  # noqa: DTZ007 - a missing zone is asked for below
        except ValueError:
            # What the clocks showed twice cannot be told apart in such a format.
            iso = _ISO.fullmatch(given)
            if iso is not None and iso[2] and iso[5]:
                return read_instant(text)
            cure = "Correct the value or --time-format"
            raise SettingError(f"{text!r} is not written as {time_format!r}", cure=cure) from None
        return _instant(moment, text, zone, fold)
    number = _NUMBER.fullmatch(given)
    if number is not None:
        return _since_1970(text, number[1], number[2] or "", unit or epoch_unit(given))
    match = _ISO.fullmatch(_in_iso_order(text, day_first))
    if match is None:
        if _SHORT_YEAR.fullmatch(given):
            raise NotationError(f"{text!r} can be read in several ways: its year has two digits", cure=_HOW)
        if _SHORTENED.fullmatch(given):
            raise SettingError(
                f"{text!r} is no time: such a number has lost its last digits", cure="Write it with all its digits"
            )
        raise NotationError(f"{text!r} is no time", cure=_HOW)
    day, clock, seconds, fraction, offset = match.groups()
    if clock is None:
        raise NotationError(f"{text!r} is a day without a time", cure=_HOW)
    if offset is not None:
        offset = "+00:00" if offset[0] not in "+-" else offset if ":" in offset else f"{offset[:3]}:{offset[3:]}"
    try:
        moment = datetime.fromisoformat(f"{day}T{clock.zfill(5)}:{seconds or '00'}{offset or ''}")
    except ValueError as error:
        raise SettingError(f"{text!r} is no time: {error}", cure="Correct the date or the time") from None
    return _instant(moment, text, zone, fold) + int((fraction or "0")[:3].ljust(3, "0"))


def _in_iso_order(text: str, day_first: bool | None) -> str:
    """Return a date and time as ISO 8601 has them: year first, 24 hours; anything else as it is."""
    given = text.strip()
    if year_first := _YEAR_FIRST.fullmatch(given):
        year, _, month, day, rest = year_first.groups()
    elif slashed := _SLASHED.fullmatch(given):
        one, mark, other, year, rest = slashed.groups()
        told = int(one) > _MONTHS if (int(one) > _MONTHS) != (int(other) > _MONTHS) else day_first
        if day_first is not None and told != day_first:
            raise NotationError(
                f"{text!r} begins with the {'day' if told else 'month'}, other times with the "
                f"{'month' if told else 'day'}",
                cure="Write all times in one way",
            )
        if told is None and int(one) != int(other):
            raise NotationError(
                f"{text!r} can be read in several ways: neither it nor another time tells which part is the day",
                cure=f'Say it: --time-format "{_format_of(mark, rest, "%d", "%m")}" where the day comes first, '
                f'"{_format_of(mark, rest, "%m", "%d")}" where the month does',
            )
        day, month = (other, one) if told is False else (one, other)
    else:
        return given
    if not rest:
        return f"{year}-{month.zfill(2)}-{day.zfill(2)}"
    clock = _CLOCK.fullmatch(rest)
    if clock is None:
        return given
    hour, minute, second, fraction, half, zone = clock.groups()
    if half is not None:
        if not 1 <= int(hour) <= _MONTHS:
            return given
        hour = str(int(hour) % _MONTHS + (_MONTHS if half in "pP" else 0))
    ending = f":{second}" + (f".{fraction}" if fraction else "") if second else ""
    return f"{year}-{month.zfill(2)}-{day.zfill(2)} {hour}:{minute}{ending}{zone or ''}"


def _format_of(mark: str, rest: str, one: str, other: str) -> str:
    """Write how such a time is written, as `datetime.strptime` reads it."""
    clock = _CLOCK.fullmatch(rest)
    written = f"{one}{mark}{other}{mark}%Y"
    if clock is None:
        return written
    half = clock[5] is not None
    joint = rest[: len(rest) - len(rest.lstrip("Tt, "))]
    seconds = (":%S" if clock[3] else "") + (".%f" if clock[4] else "")
    ending = (" %p" if half else "") + ("%z" if clock[6] else "")
    return f"{written}{joint}{'%I' if half else '%H'}:%M{seconds}{ending}"


def _since_1970(text: str, whole: str, fraction: str, unit: EpochUnit | None) -> int:
    """Return a number of units since 1970 as milliseconds."""
    if unit is None:
        raise UnitError(f"{text!r} is no time: as a number its unit is not clear", cure=_HOW)
    per_ms = _PER_MS[unit]
    digits = int(whole + fraction[:9].ljust(9, "0")) if len(whole) <= len(str(_BEYOND)) else 2 * LAST_MS * per_ms
    instant_ms = (digits + per_ms // 2) // per_ms
    if not FIRST_MS <= instant_ms <= LAST_MS:
        raise SettingError(f"{text!r} is no time: it is out of range", cure="Check the unit of the times")
    return instant_ms


def _instant(moment: datetime, text: str, zone: tzinfo | None, fold: int | None) -> int:
    """Return milliseconds since 1970, in the given zone where the moment names none."""
    if moment.tzinfo is None:
        if zone is None:
            raise NaiveTimeError(
                f"{text!r} has no time zone",
                cure="Say which one such times are in: --zone Europe/Berlin, or --zone UTC",
            )
        moment = moment.replace(tzinfo=zone)
        other = moment.replace(fold=1)
        if moment.utcoffset() != other.utcoffset():
            often = "twice" if (moment.utcoffset() or timedelta()) > (other.utcoffset() or timedelta()) else "never"
            if fold is None or often == "never":
                raise ClockChangeError(
                    f"the clocks of {zone} showed {text!r} {often}",
                    cure=f"Write it with its offset: {moment.isoformat()} or {other.isoformat()}",
                )
            moment = other if fold else moment
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    instant_ms = (since.days * 86_400 + since.seconds) * SECOND_MS + since.microseconds // 1000
    if not FIRST_MS <= instant_ms <= LAST_MS:
        raise SettingError(f"{text!r} is no time: in UTC it has no year", cure="Correct the date or the time")
    return instant_ms
