"""Compiled scanner for the sample lists of API answers; imported only when there is something to decode."""

from __future__ import annotations

import numba
import numpy as np

from kmon_analysis.series import STALE_BITS

__all__ = ["MALFORMED", "UNUSUAL", "scan_samples"]

# Other outcomes than a position: not a list of samples; or one that needs the slow, general reader.
MALFORMED = -1
UNUSUAL = -2

_STALE = np.uint64(STALE_BITS)
_NAN = np.float64("nan")
_INF = np.float64("inf")
# Powers of ten that a float64 holds exactly.
_TENS = np.array([float(10**power) for power in range(23)])


@numba.njit(cache=True, nogil=True)
def scan_samples(data, position, times, values, count, text, ends, late, late_count):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Read ``[[seconds,"value"],…]``, appending to the arrays.

    Parameters
    ----------
    data : uint8 array
        The whole answer.
    position : int
        Where the opening bracket is.
    times, values : int64 and float64 arrays
        Written from `count` on; milliseconds, and values as far as they can be read at once.
    text, ends, late : uint8, int64 and int64 arrays
        Literals that need an exact but slower reading: their bytes end to end, where each ends, and
        which sample they belong to; `late_count` of them so far.

    Returns
    -------
    tuple of int
        Position after the closing bracket (or an outcome below zero), samples, late literals.

    Notes
    -----
    Clinger's fast path: a decimal of at most 2**53 with an exponent of at most 22 is one exact
    integer and one correctly rounded operation, which is what ``float()`` returns.
    """
    size = len(data)
    used = ends[late_count - 1] if late_count else 0
    position += 1
    while position < size and data[position] <= 32:
        position += 1
    if position < size and data[position] == 93:
        return position + 1, count, late_count
    while True:
        while position < size and data[position] <= 32:
            position += 1
        if position >= size or data[position] != 91:
            return MALFORMED, count, late_count
        position += 1
        while position < size and data[position] <= 32:
            position += 1
        # The time: seconds with at most three decimals, read as whole milliseconds.
        negative = position < size and data[position] == 45
        if negative:
            position += 1
        whole = 0
        digits = 0
        while position < size and 48 <= data[position] <= 57:
            whole = whole * 10 + (data[position] - 48)
            digits += 1
            position += 1
        if digits == 0 or digits > 15:
            return UNUSUAL, count, late_count
        decimals = 0
        if position < size and data[position] == 46:
            position += 1
            while position < size and 48 <= data[position] <= 57:
                if decimals < 3:
                    whole = whole * 10 + (data[position] - 48)
                elif data[position] != 48:
                    return UNUSUAL, count, late_count
                decimals += 1
                position += 1
        for _ in range(decimals, 3):
            whole *= 10
        while position < size and data[position] <= 32:
            position += 1
        if position >= size or data[position] != 44:
            return UNUSUAL, count, late_count
        position += 1
        while position < size and data[position] <= 32:
            position += 1
        # The value: a decimal in quotes.
        if position >= size or data[position] != 34:
            return UNUSUAL, count, late_count
        position += 1
        begin = position
        minus = position < size and data[position] == 45
        if minus or (position < size and data[position] == 43):
            position += 1
        mantissa = np.uint64(0)
        digits = 0
        scale = 0
        point = False
        read = False
        while position < size:
            byte = data[position]
            if 48 <= byte <= 57:
                read = True
                if digits < 18:
                    mantissa = mantissa * np.uint64(10) + np.uint64(byte - 48)
                    if mantissa != np.uint64(0):
                        digits += 1
                    if point:
                        scale += 1
                else:
                    digits += 1
            elif byte == 46 and not point:
                point = True
            else:
                break
            position += 1
        if position >= size:
            return MALFORMED, count, late_count
        if data[position] == 34 and read and digits < 18 and mantissa <= np.uint64(1 << 53) and scale <= 22:
            value = np.float64(mantissa) / _TENS[scale]
            values[count] = -value if minus else value
        else:
            while position < size and data[position] != 34 and data[position] != 92:
                position += 1
            if position >= size or data[position] == 92:
                return MALFORMED, count, late_count
            length = position - begin
            first = data[begin]
            if length == 3 and first == 78 and data[begin + 1] == 97 and data[begin + 2] == 78:
                values[count] = _NAN
            elif length == 4 and first == 43 and data[begin + 1] == 73 and data[begin + 2] == 110:
                values[count] = _INF
            elif length == 4 and first == 45 and data[begin + 1] == 73 and data[begin + 2] == 110:
                values[count] = -_INF
            else:
                for index in range(begin, position):
                    text[used] = data[index]
                    used += 1
                ends[late_count] = used
                late[late_count] = count
                late_count += 1
        times[count] = -whole if negative else whole
        count += 1
        position += 1
        while position < size and data[position] <= 32:
            position += 1
        if position >= size or data[position] != 93:
            return MALFORMED, count, late_count
        position += 1
        while position < size and data[position] <= 32:
            position += 1
        if position >= size:
            return MALFORMED, count, late_count
        if data[position] == 93:
            return position + 1, count, late_count
        if data[position] != 44:
            return MALFORMED, count, late_count
        position += 1
