"""The room around a threshold: margin ratios, and rounding that stays inside the room."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from typing import Literal

from kmon_analysis.errors import SettingError

__all__ = ["FRAGILE", "Margin", "margin", "round_inside", "round_to"]

FRAGILE = 1.2
"""A margin below this ratio is fragile."""

_CLOSE = 0.1


@dataclass(frozen=True, slots=True)
class Margin:
    """How far a threshold lies from what it must tell apart.

    Attributes
    ----------
    incident_ratio : float
        Weakest incident over threshold: "incidents reach at least 3.1x of this threshold".
    quiet_ratio : float
        Highest ordinary level over threshold: "ordinary weeks at most 0.7x".
    ratio : float
        The smaller of the two distances as a factor of at least 1, were all well; below 1 the threshold
        is on the wrong side of something. NaN where signs differ and no ratio makes sense.
    """

    incident_ratio: float
    quiet_ratio: float
    ratio: float

    @property
    def fragile(self) -> bool:
        """Whether the margin is below 1.2 or has no meaning."""
        return not self.ratio >= FRAGILE


def margin(threshold: float, weakest_incident: float, quiet_extreme: float, *, op: Literal[">", "<"] = ">") -> Margin:
    """Compare a threshold with the weakest incident and the most extreme ordinary level.

    Parameters
    ----------
    threshold : float
        As in the rule.
    weakest_incident : float
        Peak of the weakest incident that must page; for ``<`` the highest of the incidents' lowest levels.
    quiet_extreme : float
        Highest ordinary level outside incidents; for ``<`` the lowest.
    op : {">", "<"}
        Direction of the rule.

    Examples
    --------
    >>> margin(1000, 3100, 700)
    Margin(incident_ratio=3.1, quiet_ratio=0.7, ratio=1.4285714285714286)
    """
    incident, quiet = _ratio(weakest_incident, threshold), _ratio(quiet_extreme, threshold)
    if op == ">":
        beyond, short = incident, _inverse(quiet)
    else:
        beyond, short = _inverse(incident), quiet
    if threshold < 0:  # ratios of negative levels run the other way
        beyond, short = _inverse(beyond), _inverse(short)
    ratio = math.nan if math.isnan(beyond) or math.isnan(short) else min(beyond, short)
    return Margin(incident, quiet, ratio)


def _ratio(level: float, threshold: float) -> float:
    return level / threshold if threshold else math.nan


def _inverse(ratio: float) -> float:
    """Return 1 / ratio; levels on the other side of zero are infinitely far."""
    if math.isnan(ratio):
        return math.nan
    return 1 / ratio if ratio > 0 else math.inf


def round_to(value: float, digits: int) -> float:
    """Round to significant digits.

    Examples
    --------
    >>> round_to(12_345, 2), round_to(0.0678, 1)
    (12000.0, 0.07)
    """
    return float(_rounded(value, digits, ROUND_HALF_EVEN))


def round_inside(value: float, low: float, high: float) -> float:
    """Round a threshold to few significant digits without giving up its distance from the edges.

    Parameters
    ----------
    value : float
        Threshold inside the interval.
    low, high : float
        Half-open interval ``low <= result < high`` of thresholds that are as good.

    Returns
    -------
    float
        One digit where that is within 10 % of `value`, else two, else as many as are needed to keep at
        least half of the distance to either end.

    Examples
    --------
    >>> round_inside(9_870, 8_000, 12_000), round_inside(12_345, 11_000, 16_000), round_inside(12_345, 12_000, 13_000)
    (10000.0, 12000.0, 12300.0)
    """
    if not low <= value < high:
        raise SettingError(f"{value:g} is not in [{low:g}, {high:g})", cure="Give a threshold inside the interval")
    least, most = value - (value - low) / 2, value + (high - value) / 2
    nearest = round_to(value, 1)
    if least <= nearest <= most and abs(nearest - value) <= _CLOSE * abs(value):
        return nearest
    for digits in range(2, 17):
        for how in (ROUND_HALF_EVEN, ROUND_CEILING, ROUND_FLOOR):
            rounded = float(_rounded(value, digits, how))
            if least <= rounded <= most and rounded < high:
                return rounded
    return value


def _rounded(value: float, digits: int, how: str) -> Decimal:
    if not value:
        return Decimal(0)
    exact = Decimal(value)
    return exact.quantize(Decimal((0, (1,), exact.adjusted() - digits + 1)), rounding=how)
