"""The shortest number that stands for an interval of thresholds with one and the same past."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

from kmon_analysis.backtest.signal import Signal

__all__ = ["shortest"]

_MOST_DIGITS = 17


def shortest(signal: Signal, low: float, high: float) -> float:
    """Return the threshold with the fewest digits whose level lies in ``low <= level < high``.

    Parameters
    ----------
    signal : Signal
        Turns thresholds into levels.
    low, high : float
        Levels between which nothing changes; finite.
    """
    ends = sorted((signal.threshold(low), signal.threshold(high)))
    if low <= signal.level(0.0) < high:
        return 0.0
    middle = Decimal(ends[0]) / 2 + Decimal(ends[1]) / 2
    for digits in range(1, _MOST_DIGITS + 1):
        for how in (ROUND_HALF_EVEN, ROUND_FLOOR, ROUND_CEILING):
            place = middle.adjusted() - digits + 1
            tried = float(middle.quantize(Decimal((0, (1,), place)), rounding=how))
            if low <= signal.level(tried) < high:
                return tried
    return signal.threshold(low)
