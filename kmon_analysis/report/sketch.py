"""A small picture in characters: values over time with a threshold, for terminals."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["sketch"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# Dots of a braille character by row, left and right column (Unicode, U+2800: the order is historical).
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_EMPTY = 0x2800
# Differences of larger numbers could overflow.
_FARTHEST = 1e300


def sketch(
    values: Floats, threshold: float | None, marked: Bools, *, width: int = 72, height: int = 6, plain: bool = False
) -> list[str]:
    r"""Draw values as lines of characters, the highest first.

    Parameters
    ----------
    values : float64 array, shape (T,)
        At equal distances; NaN where there is none.
    threshold : float or None
        A dashed line.
    marked : bool array, shape (T,)
        Underlined in a line of its own, below.
    width, height : int
        In characters; the line of marks comes on top of the height.
    plain : bool
        Use ASCII only.

    Returns
    -------
    list of str
        ``height + 1`` lines, each `width` characters long.

    Examples
    --------
    >>> rising = np.arange(16.0)
    >>> print("\n".join(sketch(rising, 12.0, rising > 12, width=16, height=4, plain=True)))
                 ###
    --------########
       #############
    ################
                 ^^^
    """
    values = np.clip(values, -_FARTHEST, _FARTHEST, where=np.isfinite(values), out=values.astype(np.float64))
    threshold = (
        None if threshold is None or not np.isfinite(threshold) else float(np.clip(threshold, -_FARTHEST, _FARTHEST))
    )
    across, down = (width, height) if plain else (2 * width, 4 * height)
    place = np.minimum(np.arange(len(values)) * across // max(len(values), 1), across - 1)
    if len(values) < across:
        # Fewer values than columns: each is as wide as it needs to be.
        place = np.arange(across) * len(values) // across
        shown, marks = (
            (values[place], marked[place]) if len(values) else (np.full(across, np.nan), np.zeros(across, bool))
        )
        low = high = np.where(np.isfinite(shown), shown, np.nan)
    else:
        finite = np.where(np.isfinite(values), values, np.nan)
        starts = np.flatnonzero(np.diff(place, prepend=-1))
        low, high = np.fmin.reduceat(finite, starts), np.fmax.reduceat(finite, starts)
        marks = np.logical_or.reduceat(marked, starts)
    bottom, top = _limits(low, high, threshold)
    dots = _bars(low, high, bottom, top, down, filled=plain)
    line = None if threshold is None else int(_row(np.array([threshold]), bottom, top, down)[0])
    if plain:
        return [*_plain_lines(dots, line), "".join("^" if mark else " " for mark in marks)]
    cells = dots.reshape(height, 4, width, 2)
    codes = np.zeros((height, width), dtype=np.int64)
    for row, pair in enumerate(_DOTS):
        for column, bit in enumerate(pair):
            codes |= np.where(cells[:, row, :, column], bit, 0)
    lines = [
        "".join(
            chr(_EMPTY + code) if code else "┄" if line is not None and line // 4 == row else " "
            for code in codes[row].tolist()
        )
        for row in range(height)
    ]
    return [*lines, "".join("▔" if pair.any() else " " for pair in marks.reshape(width, 2))]


def _limits(low: Floats, high: Floats, threshold: float | None) -> tuple[float, float]:
    """Return the range to draw, zero included where it is near."""
    ends = [float(each) for each in (*low[np.isfinite(low)], *high[np.isfinite(high)])]
    ends += [] if threshold is None else [threshold]
    bottom, top = min(ends, default=0.0), max(ends, default=1.0)
    bottom = min(bottom, 0.0) if bottom < 0 or bottom < top / 2 else bottom
    return (bottom, top) if top - bottom > 1e-9 * abs(top) else (bottom, bottom + max(1.0, abs(bottom)))


def _row(values: Floats, bottom: float, top: float, down: int) -> npt.NDArray[np.int64]:
    """Return the row of dots, from the top, in which a value lies."""
    share = (values - bottom) / (top - bottom)
    return np.clip(np.round((1 - share) * (down - 1)), 0, down - 1).astype(np.int64)


def _bars(low: Floats, high: Floats, bottom: float, top: float, down: int, *, filled: bool) -> Bools:
    """Return which dots are set, shape (down, columns): from least to greatest of each column, joined to the last."""
    dots = np.zeros((down, len(low)), dtype=np.bool_)
    known = np.isfinite(high)
    first, last = np.zeros(len(low), np.int64), np.zeros(len(low), np.int64)
    first[known], last[known] = _row(high[known], bottom, top, down), _row(low[known], bottom, top, down)
    before: tuple[int, int] | None = None
    for column in range(len(low)):
        if not known[column]:
            before = None
            continue
        start, stop = int(first[column]), int(last[column])
        if before is not None:
            start, stop = min(start, before[1]), max(stop, before[0])
        before = (int(first[column]), int(last[column]))
        dots[(int(first[column]) if filled else start) : (down if filled else stop + 1), column] = True
    return dots


def _plain_lines(dots: Bools, line: int | None) -> list[str]:
    return [
        "".join("#" if dot else "-" if row == line else " " for dot in dots[row].tolist()) for row in range(len(dots))
    ]
