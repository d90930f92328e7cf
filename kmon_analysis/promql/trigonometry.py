"""Trigonometric functions as Go has them on amd64, compiled.

The published methods behind Go's: Cephes, and the reduction of Payne and Hanek for large angles. No operation
may be reordered or contracted.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from kmon_analysis.promql.compiled import compiled
from kmon_analysis.promql.elementary import bits_of, float_of, horner, monic

__all__ = ["arccosine", "arcsine", "arctangent", "arctangent2", "cosine", "sine", "tangent"]

_PI = math.pi
_SIN = (
    1.58962301576546568060e-10,
    -2.50507477628578072866e-8,
    2.75573136213857245213e-6,
    -1.98412698295895385996e-4,
    8.33333333332211858878e-3,
    -1.66666666666666307295e-1,
)
_COS = (
    -1.13585365213876817300e-11,
    2.08757008419747316778e-9,
    -2.75573141792967388112e-7,
    2.48015872888517045348e-5,
    -1.38888888888730564116e-3,
    4.16666666666665929218e-2,
)
_TAN_P = (-1.30936939181383777646e4, 1.15351664838587416140e6, -1.79565251976484877988e7)
_TAN_Q = (1.36812963470692954678e4, -1.32089234440210967447e6, 2.50083801823357915839e7, -5.38695755929454629881e7)
_ATAN_P = (
    -8.750608600031904122785e-01,
    -1.615753718733365076637e01,
    -7.500855792314704667340e01,
    -1.228866684490136173410e02,
    -6.485021904942025371773e01,
)
_ATAN_Q = (
    2.485846490142306297962e01,
    1.650270098316988542046e02,
    4.328810604912902668951e02,
    4.853903996359136964868e02,
    1.945506571482613964425e02,
)
# pi/4 in three parts for Cody and Waite, and 4/pi in words for Payne and Hanek.
_PI4 = 7.85398125648498535156e-1, 3.77489470793079817668e-8, 2.69515142907905952645e-15
_FOUR_OVER_PI = 4.0 / math.pi
_MORE_BITS = 6.123233995736765886130e-17


def _four_over_pi_words() -> npt.NDArray[np.uint64]:
    """Return 4/pi as 64-bit words, the first of which is the whole part, by Machin's formula."""
    shift = 64 * 21

    def arctangent_of_inverse(n: int) -> int:
        term = total = (1 << shift) // n
        divisor, sign = 1, 1
        while term:
            term //= n * n
            divisor, sign = divisor + 2, -sign
            total += sign * (term // divisor)
        return total

    quarter = 4 * arctangent_of_inverse(5) - arctangent_of_inverse(239)
    inverse = (1 << (2 * shift)) // quarter
    return np.array([(inverse >> (shift - 64 * i)) & (2**64 - 1) for i in range(20)], dtype=np.uint64)


_WORDS = _four_over_pi_words()


@compiled
def _multiply(a: np.uint64, b: np.uint64) -> tuple[np.uint64, np.uint64]:
    """High and low word of a product of two words."""
    mask = np.uint64(0xFFFFFFFF)
    half = np.uint64(32)
    a1, a0, b1, b0 = a >> half, a & mask, b >> half, b & mask
    low = a0 * b0
    middle = a1 * b0 + (low >> half)
    other = a0 * b1 + (middle & mask)
    return a1 * b1 + (middle >> half) + (other >> half), a * b


@compiled
def _reduce(x: float) -> tuple[np.int64, float]:
    """Octant (made even upwards) of a positive angle, and the rest in radians."""
    if x < 2.0**29:
        octant = np.int64(x * _FOUR_OVER_PI)
        octant += octant & 1
        y = float(octant)
        return octant & 7, ((x - y * _PI4[0]) - y * _PI4[1]) - y * _PI4[2]
    bits = bits_of(x)
    exponent = np.int64(bits >> np.uint64(52)) - 1023 - 52
    mantissa = (bits & np.uint64(0x000FFFFFFFFFFFFF)) | np.uint64(0x0010000000000000)
    word, left = (exponent + 61) // 64, np.uint64((exponent + 61) % 64)
    right = np.uint64(64) - left
    z = np.empty(3, np.uint64)
    for i in range(3):
        z[i] = _WORDS[word + i] << left
        if left > np.uint64(0):
            z[i] |= _WORDS[word + i + 1] >> right
    high2, _ = _multiply(z[2], mantissa)
    high1, low1 = _multiply(z[1], mantissa)
    low = low1 + high2
    high = z[0] * mantissa + high1 + (np.uint64(1) if low < low1 else np.uint64(0))
    octant = np.int64(high >> np.uint64(61))
    high = (high << np.uint64(3)) | (low >> np.uint64(61))
    zeros = np.uint64(0)
    while zeros < np.uint64(64) and (high >> (np.uint64(63) - zeros)) == np.uint64(0):
        zeros += np.uint64(1)
    shift = zeros + np.uint64(1)
    tail = low >> (np.uint64(64) - shift) if shift < np.uint64(64) else low
    head = high << shift if shift < np.uint64(64) else np.uint64(0)
    fraction = float_of(((head | tail) >> np.uint64(12)) | ((np.uint64(1023) - shift) << np.uint64(52)))
    if octant & 1:
        octant = (octant + 1) & 7
        fraction -= 1.0
    return octant, fraction * (_PI / 4.0)


@compiled
def _sine_of(z: float, zz: float) -> float:
    return z + z * zz * horner(zz, _SIN)


@compiled
def _cosine_of(zz: float) -> float:
    return 1.0 - 0.5 * zz + zz * zz * horner(zz, _COS)


@compiled
def sine(x: float) -> float:
    """Sine."""
    if x == 0.0 or np.isnan(x):
        return x
    if np.isinf(x):
        return np.nan
    octant, z = _reduce(abs(x))
    negative = (x < 0.0) != (octant > 3)
    octant &= 3
    y = _cosine_of(z * z) if octant == 1 or octant == 2 else _sine_of(z, z * z)
    return -y if negative else y


@compiled
def cosine(x: float) -> float:
    """Cosine."""
    if np.isnan(x) or np.isinf(x):
        return np.nan
    octant, z = _reduce(abs(x))
    negative = (octant > 3) != ((octant & 3) > 1)
    octant &= 3
    y = _sine_of(z, z * z) if octant == 1 or octant == 2 else _cosine_of(z * z)
    return -y if negative else y


@compiled
def tangent(x: float) -> float:
    """Tangent."""
    if x == 0.0 or np.isnan(x):
        return x
    if np.isinf(x):
        return np.nan
    octant, z = _reduce(abs(x))
    zz = z * z
    y = z + z * (zz * horner(zz, _TAN_P) / monic(zz, _TAN_Q)) if zz > 1e-14 else z
    if octant & 2:
        y = -1.0 / y
    return -y if x < 0.0 else y


@compiled
def _small_arctangent(x: float) -> float:
    z = x * x
    return x * (z * horner(z, _ATAN_P) / monic(z, _ATAN_Q)) + x


@compiled
def _positive_arctangent(x: float) -> float:
    if x <= 0.66:
        return _small_arctangent(x)
    if x > 2.41421356237309504880:
        return _PI / 2.0 - _small_arctangent(1.0 / x) + _MORE_BITS
    return _PI / 4.0 + _small_arctangent((x - 1.0) / (x + 1.0)) + 0.5 * _MORE_BITS


@compiled
def arctangent(x: float) -> float:
    """Arc tangent."""
    if x == 0.0:
        return x
    return _positive_arctangent(x) if x > 0.0 else -_positive_arctangent(-x)


@compiled
def arctangent2(y: float, x: float) -> float:
    """Angle of the point (x, y)."""
    if np.isnan(y) or np.isnan(x):
        return np.nan
    left = np.signbit(x)
    if y == 0.0:
        return math.copysign(_PI if left else 0.0, y)
    if x == 0.0:
        return math.copysign(_PI / 2.0, y)
    if np.isinf(x):
        if np.isinf(y):
            return math.copysign(2.35619449019234492884698253745962716 if left else _PI / 4.0, y)
        return math.copysign(_PI if left else 0.0, y)
    if np.isinf(y):
        return math.copysign(_PI / 2.0, y)
    q = arctangent(y / x)
    if left:
        return q + _PI if q <= 0.0 else q - _PI
    return q


@compiled
def arcsine(x: float) -> float:
    """Arc sine."""
    if x == 0.0:
        return x
    size = abs(x)
    if not size <= 1.0:
        return np.nan
    root = np.sqrt(1.0 - size * size)
    angle = _PI / 2.0 - _positive_arctangent(root / size) if size > 0.7 else _positive_arctangent(size / root)
    return -angle if x < 0.0 else angle


@compiled
def arccosine(x: float) -> float:
    """Arc cosine."""
    return _PI / 2.0 - arcsine(x)
