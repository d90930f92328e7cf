"""The room around a threshold: margin ratios, and rounding that stays inside the room."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

from kmon_analysis.errors import SettingError

__all__ = ["FRAGILE", "round_inside", "round_to"]

FRAGILE = 1.2
"""A margin below this ratio is fragile."""

_CLOSE = 0.1


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
