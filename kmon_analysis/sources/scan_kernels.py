"""Compiled scanners for sample lists and chunks; imported only when there is something to decode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

__all__ = ["MALFORMED", "UNUSUAL", "checksum", "scan_chunk", "scan_samples"]

Bytes = npt.NDArray[np.uint8]
Int64s = npt.NDArray[np.int64]
Whole = int | np.int64
F = TypeVar("F", bound=Callable[..., Any])

# Other outcomes than a position: not a list of samples; or one that needs the slow, general reader.
MALFORMED = -1
UNUSUAL = -2

_NAN = np.float64("nan")
_INF = np.float64("inf")
# Powers of ten that a float64 holds exactly.
_TENS = np.array([float(10**power) for power in range(23)])


def _compiled(function: F) -> F:
    """Compile a function at its first call, keep that on disk; to the type checker it stays what it was."""
    return cast("F", numba.njit(cache=True, nogil=True)(function))


@_compiled
def scan_samples(
    data: Bytes,
    position: int,
    times: Int64s,
    values: npt.NDArray[np.float64],
    count: int,
    text: Bytes,
    ends: Int64s,
    late: Int64s,
    late_count: int,
) -> tuple[int, int, int]:
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


def _crc_table() -> npt.NDArray[np.uint32]:
    """Return the byte table of CRC-32C (Castagnoli)."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0x82F63B78), table >> 1).astype(np.uint32)
    return table


_CRC = _crc_table()


@_compiled
def checksum(data: Bytes, begin: int, end: int) -> np.uint32:
    """Return the CRC-32C of ``data[begin:end]``."""
    crc = np.uint32(0xFFFFFFFF)
    for index in range(begin, end):
        crc = _CRC[(crc ^ data[index]) & np.uint32(0xFF)] ^ (crc >> np.uint32(8))
    return crc ^ np.uint32(0xFFFFFFFF)


@_compiled
def _bits(data: Bytes, bit: Whole, width: Whole) -> np.uint64:
    """Return `width` bits of a big-endian bit stream."""
    value = np.uint64(0)
    while width > 0:
        free = 8 - (bit & 7)
        taken = min(free, width)
        byte = np.uint64(data[bit >> 3]) >> np.uint64(free - taken)
        value = (value << np.uint64(taken)) | (byte & np.uint64((1 << taken) - 1))
        bit += taken
        width -= taken
    return value


@_compiled
def _varint_at(data: Bytes, bit: Whole, limit: int) -> tuple[np.uint64, Whole]:
    """Return a base-128 number from a bit stream and the bit after it; a bit of -1 when it does not end."""
    number = np.uint64(0)
    shift = np.uint64(0)
    while True:
        if bit + 8 > limit or shift > np.uint64(63):
            return number, np.int64(-1)
        byte = _bits(data, bit, 8)
        bit += 8
        number |= (byte & np.uint64(127)) << shift
        if byte < np.uint64(128):
            return number, bit
        shift += np.uint64(7)


@_compiled
def scan_chunk(data: Bytes, begin: int, end: int, times: Int64s, values: npt.NDArray[np.uint64], count: int) -> int:
    """Read one XOR chunk, ``data[begin:end]``, appending to the arrays.

    Parameters
    ----------
    data : uint8 array
        Holds the chunk; at least eight more bytes follow `end`.
    times, values : int64 and uint64 arrays
        Written from `count` on; milliseconds, and the bits of the values.

    Returns
    -------
    int
        Samples so far, or `MALFORMED`.

    Notes
    -----
    Prometheus ``tsdb/chunkenc/xor.go``, ``xorIterator``.
    """
    if end - begin < 2:
        return MALFORMED
    number = (np.int64(data[begin]) << 8) | np.int64(data[begin + 1])
    if count + number > len(times):
        return MALFORMED
    bit: Whole = (begin + 2) * 8
    limit = end * 8
    time = np.int64(0)
    step = np.int64(0)
    value = np.uint64(0)
    leading = np.int64(0)
    width = np.int64(64)
    for index in range(number):
        if index == 0:
            zigzag, bit = _varint_at(data, bit, limit)
            if bit < 0:
                return MALFORMED
            time = np.int64(zigzag >> np.uint64(1)) ^ -np.int64(zigzag & np.uint64(1))
            value = _bits(data, bit, 64) if bit + 64 <= limit else np.uint64(0)
            bit += 64
        else:
            if index == 1:
                first, bit = _varint_at(data, bit, limit)
                if bit < 0:
                    return MALFORMED
                step = np.int64(first)
            else:
                size = 0
                ones = 0
                while ones < 4 and bit < limit and _bits(data, bit, 1) == np.uint64(1):
                    ones += 1
                    bit += 1
                if ones < 4:
                    bit += 1
                    if ones > 0:
                        size = 11 + 3 * ones
                else:
                    size = 64
                if bit + size > limit:
                    return MALFORMED
                change = np.int64(_bits(data, bit, size))
                bit += size
                if 0 < size < 64 and change > (np.int64(1) << (size - 1)):
                    change -= np.int64(1) << size
                step += change
            time += step
            if bit >= limit:
                return MALFORMED
            changed = _bits(data, bit, 1) == np.uint64(1)
            bit += 1
            if changed:
                if bit >= limit:
                    return MALFORMED
                fresh = _bits(data, bit, 1) == np.uint64(1)
                bit += 1
                if fresh:
                    if bit + 11 > limit:
                        return MALFORMED
                    leading = np.int64(_bits(data, bit, 5))
                    width = np.int64(_bits(data, bit + 5, 6))
                    bit += 11
                    if width == 0:
                        width = np.int64(64)
                if leading + width > 64 or bit + width > limit:
                    return MALFORMED
                value ^= _bits(data, bit, width) << np.uint64(64 - leading - width)
                bit += width
        if bit > limit:
            return MALFORMED
        times[count] = time
        values[count] = value
        count += 1
    return count
