"""Local times read as UTC: they go back where the clocks of their zone were set back."""

from __future__ import annotations

from kmon_analysis.errors import SettingError
from kmon_analysis.timing import HOUR_MS, format_instant, zone_of
from kmon_analysis.timing_written import read_instant

__all__ = ["zone_that_set_back"]

# Zones whose clocks are set back, one for each moment of doing so; the first that fits is named.
_CHANGING = (
    *("Europe/Berlin", "Europe/London", "Europe/Helsinki", "America/New_York", "America/Chicago", "America/Denver"),
    *("America/Los_Angeles", "America/Halifax", "America/St_Johns", "America/Anchorage", "America/Santiago"),
    *("Australia/Sydney", "Australia/Adelaide", "Pacific/Auckland", "Africa/Cairo", "Asia/Jerusalem", "Asia/Beirut"),
)


def zone_that_set_back(before_ms: int, after_ms: int) -> str | None:
    """Name a zone whose clocks were set back by an hour between two neighbouring times that are read as UTC.

    Parameters
    ----------
    before_ms, after_ms : int
        Two neighbours, the second not later than the first.

    Examples
    --------
    >>> zone_that_set_back(1_792_897_140_000, 1_792_893_600_000)  # 2026-10-25 02:59, then 02:00
    'Europe/Berlin'
    """
    if not 0 <= before_ms - after_ms < HOUR_MS:
        return None
    local = format_instant(after_ms).removesuffix("Z")
    for name in _CHANGING:
        try:
            first, second = (read_instant(local, zone_of(name), fold=fold) for fold in (0, 1))
        except SettingError:
            continue
        if second - first == HOUR_MS:
            return name
    return None
