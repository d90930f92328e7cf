"""Numbers in the sentences of this room."""

from __future__ import annotations

import math

__all__ = ["amount", "counted", "times"]


def amount(value: float) -> str:
    """Write a measured value: three digits, or whole from a thousand on.

    Examples
    --------
    >>> amount(182904.0), amount(0.01234), amount(-0.0), amount(0.5)
    ('182,904', '0.0123', '0', '0.5')
    """
    if not math.isfinite(value):
        return "no number" if math.isnan(value) else "infinity" if value > 0 else "minus infinity"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value + 0.0:.3g}"


def times(count: int) -> str:
    """Write how often.

    Examples
    --------
    >>> times(1), times(1234)
    ('once', '1,234 times')
    """
    return "once" if count == 1 else f"{count:,} times"


def counted(items: int, noun: str, plural: str | None = None) -> str:
    """Write a number with its noun.

    Examples
    --------
    >>> counted(1, "suggestion"), counted(3, "suggestion"), counted(2, "entry", "entries")
    ('1 suggestion', '3 suggestions', '2 entries')
    """
    return f"{items:,} {noun if items == 1 else plural or noun + 's'}"
