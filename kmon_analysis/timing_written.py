"""Times as other tools write them: with a zone, without one, or counted from 1970."""

from __future__ import annotations

import re
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
    "epoch_unit",
    "read_instant",
]

EpochUnit = Literal["s", "ms", "us", "ns"]
EPOCH_UNITS: tuple[EpochUnit, ...] = get_args(EpochUnit)

_ISO = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[Tt ]\s*(\d{1,2}:\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?)?\s*(Z|z|UTC|GMT|[+-]\d{2}:?\d{2})?",
    re.ASCII,
)
_SLASHED = re.compile(r"\d{1,2}[./-]\d{1,2}[./-]\d{2,4}\b.*")
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


def read_instant(
    text: str, zone: tzinfo | None = None, time_format: str | None = None, unit: EpochUnit | None = None
) -> int:
    """Read a time.

    Parameters
    ----------
    text : str
        An ISO 8601 date and time with or without its zone, or a number of units since 1970.
    zone : tzinfo, optional
        For times that name none.
    time_format : str, optional
        How it is written instead, as for `datetime.strptime`; see `check_time_format`.
    unit : {"s", "ms", "us", "ns"}, optional
        Of a number; by default as its size tells, which is clear from 1973 on.

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
            cure = "Correct the value or --time-format"
            raise SettingError(f"{text!r} is not written as {time_format!r}", cure=cure) from None
        return _instant(moment, text, zone)
    number = _NUMBER.fullmatch(given)
    if number is not None:
        return _since_1970(text, number[1], number[2] or "", unit or epoch_unit(given))
    match = _ISO.fullmatch(given)
    if match is None:
        if _SLASHED.fullmatch(given):
            raise NotationError(f"{text!r} can be read in several ways: which part is the day", cure=_HOW)
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
    return _instant(moment, text, zone) + int((fraction or "0")[:3].ljust(3, "0"))


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


def _instant(moment: datetime, text: str, zone: tzinfo | None) -> int:
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
            raise ClockChangeError(
                f"the clocks of {zone} showed {text!r} {often}",
                cure="Write this time with its offset, for example 2026-10-25T02:30:00+01:00",
            )
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    instant_ms = (since.days * 86_400 + since.seconds) * SECOND_MS + since.microseconds // 1000
    if not FIRST_MS <= instant_ms <= LAST_MS:
        raise SettingError(f"{text!r} is no time: in UTC it has no year", cure="Correct the date or the time")
    return instant_ms
