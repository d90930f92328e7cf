"""Times as other tools write them: with a zone, without one, or counted from 1970."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from kmon_analysis.errors import SettingError
from kmon_analysis.timing import SECOND_MS

__all__ = ["NaiveTimeError", "find_zone", "read_instant"]

_ISO = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[Tt ]\s*(\d{1,2}:\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?)?\s*(Z|z|UTC|GMT|[+-]\d{2}:?\d{2})?"
)
_SLASHED = re.compile(r"\d{1,2}[./-]\d{1,2}[./-]\d{2,4}\b.*")
_NUMBER = re.compile(r"\d{9,14}(?:\.\d+)?")
# Seconds in these bounds are 1973 to 5138, milliseconds the same years: no number is both.
_FIRST_MS_DIGITS = 12
_HOW = 'Write it as 2026-03-01T08:00:00Z, or say how it is written: --time-format "%d.%m.%Y %H:%M"'


class NaiveTimeError(SettingError):
    """A time that names no zone, where none was given for all of them."""


def find_zone(name: str) -> tzinfo:
    """Return a time zone by its IANA name.

    Raises
    ------
    SettingError
        If there is none of that name.
    """
    try:
        return UTC if name.upper() in ("UTC", "Z") else ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise SettingError(
            f"{name!r} is no time zone known here", cure='Name it as in the IANA list, for example "Europe/Berlin"'
        ) from None


def read_instant(text: str, zone: tzinfo | None = None, time_format: str | None = None) -> int:
    """Read a time.

    Parameters
    ----------
    text : str
        An ISO 8601 date and time with or without its zone, or seconds or milliseconds since 1970.
    zone : tzinfo, optional
        For times that name none.
    time_format : str, optional
        How it is written instead, as for `datetime.strptime`.

    Returns
    -------
    int
        Milliseconds UTC; digits beyond the millisecond are cut.

    Raises
    ------
    NaiveTimeError
        If neither the text nor `zone` names a zone.
    SettingError
        If it is no time, or one that the zone's clocks showed twice or never.
    """
    given = text.strip()
    if time_format is not None:
        try:
            moment = datetime.strptime(given, time_format)  # noqa: DTZ007 - a missing zone is asked for below
        except ValueError:
            cure = "Correct the value or --time-format"
            raise SettingError(f"{text!r} is not written as {time_format!r}", cure=cure) from None
        return _epoch_ms(moment, text, zone)
    if _NUMBER.fullmatch(given):
        whole, _, rest = given.partition(".")
        if len(whole) >= _FIRST_MS_DIGITS:
            return int(whole)
        return int(whole) * SECOND_MS + int(rest[:3].ljust(3, "0"))
    match = _ISO.fullmatch(given)
    if match is None:
        if _SLASHED.fullmatch(given):
            raise SettingError(f"{text!r} can be read in several ways: which part is the day", cure=_HOW)
        raise SettingError(f"{text!r} is no time", cure=_HOW)
    day, clock, seconds, fraction, offset = match.groups()
    if clock is None:
        raise SettingError(f"{text!r} is a day without a time", cure=_HOW)
    if offset is not None:
        offset = "+00:00" if offset[0] not in "+-" else offset if ":" in offset else f"{offset[:3]}:{offset[3:]}"
    try:
        moment = datetime.fromisoformat(f"{day}T{clock.zfill(5)}:{seconds or '00'}{offset or ''}")
    except ValueError as error:
        raise SettingError(f"{text!r} is no time: {error}", cure="Correct the date or the time") from None
    return _epoch_ms(moment, text, zone) + int((fraction or "0")[:3].ljust(3, "0"))


def _epoch_ms(moment: datetime, text: str, zone: tzinfo | None) -> int:
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
            raise SettingError(
                f"the clocks of {zone} showed {text!r} {often}",
                cure="Write this time with its offset, for example 2026-10-25T02:30:00+01:00",
            )
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * SECOND_MS + since.microseconds // 1000
