"""Elementary functions with the last bit that Prometheus gives them on amd64, compiled.

Prometheus calls Go's ``math``, whose results differ from those of C libraries in the last places. Each
function here is the published method behind Go's: FreeBSD's ``e_log`` and ``s_log1p``, Shibata's exponential
(ISC 2010) with fused multiply-add, Cephes for the trigonometric and hyperbolic functions, and the reduction
of Payne and Hanek for large angles. No operation may be reordered or contracted.
"""

# Argument types are the compiler's business.
# ruff: noqa: ANN001, ANN201, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call, assignment, call-arg, unreachable"
from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numba.core import types
from numba.extending import intrinsic

__all__ = ["apply", "apply2", "arctangent2", "exponential", "logarithm", "power"]

_jit = numba.njit(cache=True, nogil=True, error_model="numpy")

_PI = math.pi
_LN2_HIGH, _LN2_LOW = float.fromhex("0x1.62e42feep-1"), float.fromhex("0x1.a39ef35793c76p-33")
# Odd and even minimax coefficients of log((1+s)/(1-s)).
_LOG = (
    6.666666666666735130e-01,
    3.999999999940941908e-01,
    2.857142874366239149e-01,
    2.222219843214978396e-01,
    1.818357216161805012e-01,
    1.531383769920937332e-01,
    1.479819860511658591e-01,
)
_HALF_ROOT = math.sqrt(2.0) / 2
_EXP_HIGH, _EXP_LOW = 0.69314718055966295651160180568695068359375, 0.28235290563031577122588448175013436e-12
_EXP_LARGEST = 7.09782712893384e02
# Taylor's 1/8! down to 1/2!.
_EXP = (
    2.4801587301587301587e-5,
    1.9841269841269841270e-4,
    1.3888888888888888889e-3,
    8.3333333333333333333e-3,
    4.1666666666666666667e-2,
    1.6666666666666666667e-1,
    0.5,
)
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
_SINH_P = (
    -26.30563213397497062819489,
    -2894.211355989563807284660366,
    -89912.72022039509355398013511,
    -630767.3640497716991184787251,
)
_SINH_Q = (-173.678953558233699533450911, 15215.17378790019070696485176, -630767.3640497716991212077277)
_TANH_P = (-9.64399179425052238628e-1, -9.92877231001918586564e1, -1.61468768441708447952e3)
_TANH_Q = (1.12811678491632931402e2, 2.23548839060100448583e3, 4.84406305325125486048e3)
# pi/4 in three parts for Cody and Waite, and 4/pi in words for Payne and Hanek.
_PI4 = 7.85398125648498535156e-1, 3.77489470793079817668e-8, 2.69515142907905952645e-15
_FOUR_OVER_PI = 4.0 / math.pi
_MORE_BITS = 6.123233995736765886130e-17


def _four_over_pi_words() -> Any:
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


@intrinsic
def _fma(typing_context, a, b, c):
    """``a * b + c`` with one rounding."""

    def generate(context, builder, signature, args):
        return builder.fma(*args)

    return types.float64(types.float64, types.float64, types.float64), generate


@_jit
def _bits(x):
    return np.float64(x).view(np.uint64)


@_jit
def _float(bits):
    return np.uint64(bits).view(np.float64)


@_jit
def _horner(x, coefficients):
    """Value of a polynomial, highest power first."""
    total = coefficients[0]
    for i in range(1, len(coefficients)):
        total = total * x + coefficients[i]
    return total


@_jit
def _monic(x, coefficients):
    """The same with a leading 1 that is not written."""
    total = x + coefficients[0]
    for i in range(1, len(coefficients)):
        total = total * x + coefficients[i]
    return total


@_jit
def logarithm(x):
    """Natural logarithm; a subnormal number is not normalised first, as in Go's amd64 assembly."""
    if np.isnan(x) or x == np.inf:
        return x
    if x == 0.0:
        return -np.inf
    if x < 0.0:
        return np.nan
    bits = _bits(x)
    k = float(np.int64(bits >> np.uint64(52)) - 1022)
    fraction = _float((bits & np.uint64(0x000FFFFFFFFFFFFF)) | np.uint64(0x3FE0000000000000))
    if fraction <= _HALF_ROOT:
        k -= 1.0
        fraction *= 2.0
    f = fraction - 1.0
    s = f / (2.0 + f)
    s2 = s * s
    s4 = s2 * s2
    odd = s2 * (_LOG[0] + s4 * (_LOG[2] + s4 * (_LOG[4] + s4 * _LOG[6])))
    even = s4 * (_LOG[1] + s4 * (_LOG[3] + s4 * _LOG[5]))
    half = 0.5 * f * f
    return k * _LN2_HIGH - ((half - (s * (half + (odd + even)) + k * _LN2_LOW)) - f)


@_jit
def _logarithm2(x):
    fraction, exponent = math.frexp(x)
    if fraction == 0.5:
        return float(exponent - 1)
    return logarithm(fraction) * 1.44269504088896340736 + float(exponent)


@_jit
def _logarithm10(x):
    return logarithm(x) * 0.43429448190325182765


@_jit
def _log1p(x):
    """``log(1 + x)``."""
    if x < -1.0 or np.isnan(x):
        return np.nan
    if x == -1.0:
        return -np.inf
    if x == np.inf:
        return np.inf
    size = abs(x)
    k, f, c, mantissa = 1, 0.0, 0.0, np.uint64(1)
    if size < 4.142135623730950488017e-01:
        if size < 2.0**-29:
            return x if size < 2.0**-54 else x - x * x * 0.5
        if x > -2.928932188134524755992e-01:
            k, f = 0, x
    if k != 0:
        u = 1.0 + x if size < 2.0**53 else x
        bits = _bits(u)
        k = np.int64(bits >> np.uint64(52)) - 1023
        if size < 2.0**53:
            c = (1.0 - (u - x) if k > 0 else x - (u - 1.0)) / u
        mantissa = bits & np.uint64(0x000FFFFFFFFFFFFF)
        if mantissa < np.uint64(0x0006A09E667F3BCD):
            u = _float(mantissa | np.uint64(0x3FF0000000000000))
        else:
            k += 1
            u = _float(mantissa | np.uint64(0x3FE0000000000000))
            mantissa = (np.uint64(0x0010000000000000) - mantissa) >> np.uint64(2)
        f = u - 1.0
    half = 0.5 * f * f
    if mantissa == np.uint64(0):
        if f == 0.0:
            return 0.0 if k == 0 else k * _LN2_HIGH + (c + k * _LN2_LOW)
        rest = half * (1.0 - 0.66666666666666666 * f)
        return f - rest if k == 0 else k * _LN2_HIGH - ((rest - (k * _LN2_LOW + c)) - f)
    s = f / (2.0 + f)
    z = s * s
    rest = 0.0
    for i in range(6, -1, -1):
        rest = z * (_LOG[i] + rest)
    if k == 0:
        return f - (half - s * (half + rest))
    return k * _LN2_HIGH - ((half - (s * (half + rest) + (k * _LN2_LOW + c))) - f)


@_jit
def exponential(x):
    """``e ** x``, with fused multiply-add as on every amd64 processor since 2013."""
    if np.isnan(x) or x == np.inf:
        return x
    if x > _EXP_LARGEST:
        return np.inf
    scaled = x * 1.4426950408889634073599246810018920
    # Saves the conversion below from what fits no integer; all of it underflows.
    if scaled < -2000.0:
        return 0.0
    exponent = np.int64(np.rint(scaled))
    k = float(exponent)
    x = _fma(-k, _EXP_HIGH, x)
    x = _fma(-k, _EXP_LOW, x)
    x *= 0.0625
    total = _EXP[0]
    for i in range(1, len(_EXP)):
        total = _fma(total, x, _EXP[i])
    x *= _fma(total, x, 1.0)
    # (1+x)^16 - 1 by four doublings.
    for _ in range(3):
        x *= x + 2.0
    x = _fma(x, x + 2.0, 1.0)
    biased = exponent + 1023
    if biased <= 0:
        if biased < -52:
            return 0.0
        x *= _float(np.uint64(biased + 1022) << np.uint64(52))
        biased = 1
    elif biased >= 2047:
        return np.inf
    return x * _float(np.uint64(biased) << np.uint64(52))


@_jit
def _multiply(a, b):
    """High and low word of a product of two words."""
    mask = np.uint64(0xFFFFFFFF)
    half = np.uint64(32)
    a1, a0, b1, b0 = a >> half, a & mask, b >> half, b & mask
    low = a0 * b0
    middle = a1 * b0 + (low >> half)
    other = a0 * b1 + (middle & mask)
    return a1 * b1 + (middle >> half) + (other >> half), a * b


@_jit
def _reduce(x):
    """Octant (made even upwards) of a positive angle, and the rest in radians."""
    if x < 2.0**29:
        octant = np.int64(x * _FOUR_OVER_PI)
        octant += octant & 1
        y = float(octant)
        return octant & 7, ((x - y * _PI4[0]) - y * _PI4[1]) - y * _PI4[2]
    bits = _bits(x)
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
    fraction = _float(((head | tail) >> np.uint64(12)) | ((np.uint64(1023) - shift) << np.uint64(52)))
    if octant & 1:
        octant = (octant + 1) & 7
        fraction -= 1.0
    return octant, fraction * (_PI / 4.0)


@_jit
def _sine_of(z, zz):
    return z + z * zz * _horner(zz, _SIN)


@_jit
def _cosine_of(zz):
    return 1.0 - 0.5 * zz + zz * zz * _horner(zz, _COS)


@_jit
def _sine(x):
    if x == 0.0 or np.isnan(x):
        return x
    if np.isinf(x):
        return np.nan
    octant, z = _reduce(abs(x))
    negative = (x < 0.0) != (octant > 3)
    octant &= 3
    y = _cosine_of(z * z) if octant == 1 or octant == 2 else _sine_of(z, z * z)
    return -y if negative else y


@_jit
def _cosine(x):
    if np.isnan(x) or np.isinf(x):
        return np.nan
    octant, z = _reduce(abs(x))
    negative = (octant > 3) != ((octant & 3) > 1)
    octant &= 3
    y = _sine_of(z, z * z) if octant == 1 or octant == 2 else _cosine_of(z * z)
    return -y if negative else y


@_jit
def _tangent(x):
    if x == 0.0 or np.isnan(x):
        return x
    if np.isinf(x):
        return np.nan
    octant, z = _reduce(abs(x))
    zz = z * z
    y = z + z * (zz * _horner(zz, _TAN_P) / _monic(zz, _TAN_Q)) if zz > 1e-14 else z
    if octant & 2:
        y = -1.0 / y
    return -y if x < 0.0 else y


@_jit
def _small_arctangent(x):
    z = x * x
    return x * (z * _horner(z, _ATAN_P) / _monic(z, _ATAN_Q)) + x


@_jit
def _positive_arctangent(x):
    if x <= 0.66:
        return _small_arctangent(x)
    if x > 2.41421356237309504880:
        return _PI / 2.0 - _small_arctangent(1.0 / x) + _MORE_BITS
    return _PI / 4.0 + _small_arctangent((x - 1.0) / (x + 1.0)) + 0.5 * _MORE_BITS


@_jit
def _arctangent(x):
    if x == 0.0:
        return x
    return _positive_arctangent(x) if x > 0.0 else -_positive_arctangent(-x)


@_jit
def arctangent2(y, x):
    """Angle of the point (x, y)."""
    if np.isnan(y) or np.isnan(x):
        return np.nan
    left = np.signbit(x)
    if y == 0.0:
        return np.copysign(_PI if left else 0.0, y)
    if x == 0.0:
        return np.copysign(_PI / 2.0, y)
    if np.isinf(x):
        if np.isinf(y):
            return np.copysign(2.35619449019234492884698253745962716 if left else _PI / 4.0, y)
        return np.copysign(_PI if left else 0.0, y)
    if np.isinf(y):
        return np.copysign(_PI / 2.0, y)
    q = _arctangent(y / x)
    if left:
        return q + _PI if q <= 0.0 else q - _PI
    return q


@_jit
def _arcsine(x):
    if x == 0.0:
        return x
    size = abs(x)
    if not size <= 1.0:
        return np.nan
    root = np.sqrt(1.0 - size * size)
    angle = _PI / 2.0 - _positive_arctangent(root / size) if size > 0.7 else _positive_arctangent(size / root)
    return -angle if x < 0.0 else angle


@_jit
def _arccosine(x):
    return _PI / 2.0 - _arcsine(x)


@_jit
def _hyperbolic_sine(x):
    size = -x if x < 0.0 else x
    if size > 21.0:
        y = exponential(size) * 0.5
    elif size > 0.5:
        e = exponential(size)
        y = (e - 1.0 / e) * 0.5
    else:
        square = size * size
        y = _horner(square, _SINH_P) * size / _monic(square, _SINH_Q)
    return -y if x < 0.0 else y


@_jit
def _hyperbolic_cosine(x):
    e = exponential(abs(x))
    return e * 0.5 if abs(x) > 21.0 else (e + 1.0 / e) * 0.5


@_jit
def _hyperbolic_tangent(x):
    size = abs(x)
    if size > 0.5 * 8.8029691931113054295988e01:
        return -1.0 if x < 0.0 else 1.0
    if size >= 0.625:
        y = 1.0 - 2.0 / (exponential(2.0 * size) + 1.0)
        return -y if x < 0.0 else y
    if x == 0.0:
        return x
    s = x * x
    return x + x * s * _horner(s, _TANH_P) / _monic(s, _TANH_Q)


@_jit
def _area_sine(x):
    size = -x if x < 0.0 else x
    if np.isnan(x) or np.isinf(x):
        return x
    if size > 2.0**28:
        y = logarithm(size) + 6.93147180559945286227e-01
    elif size > 2.0:
        y = logarithm(2.0 * size + 1.0 / (np.sqrt(size * size + 1.0) + size))
    elif size < 2.0**-28:
        y = size
    else:
        y = _log1p(size + size * size / (1.0 + np.sqrt(1.0 + size * size)))
    return -y if x < 0.0 else y


@_jit
def _area_cosine(x):
    if x < 1.0 or np.isnan(x):
        return np.nan
    if x == 1.0:
        return 0.0
    if x >= 2.0**28:
        return logarithm(x) + 0.693147180559945309417232121458176568
    if x > 2.0:
        return logarithm(2.0 * x - 1.0 / (x + np.sqrt(x * x - 1.0)))
    t = x - 1.0
    return _log1p(t + np.sqrt(2.0 * t + t * t))


@_jit
def _area_tangent(x):
    size = -x if x < 0.0 else x
    if not size <= 1.0:
        return np.nan
    if size == 1.0:
        return np.copysign(np.inf, x)
    if size < 2.0**-28:
        y = size
    elif size < 0.5:
        y = size + size
        y = 0.5 * _log1p(y + y * size / (1.0 - size))
    else:
        y = 0.5 * _log1p((size + size) / (1.0 - size))
    return -y if x < 0.0 else y


@_jit
def _odd(y):
    """Tell whether a float is an odd integer."""
    return abs(y) < 2.0**53 and y == np.floor(y) and np.fmod(y, 2.0) != 0.0


@_jit
def power(x, y):
    """``x ** y``: whole part by squaring, the rest by logarithm and exponential."""
    if y == 0.0 or x == 1.0:
        return 1.0
    if y == 1.0:
        return x
    if np.isnan(x) or np.isnan(y):
        return np.nan
    if x == 0.0:
        if y < 0.0:
            return np.copysign(np.inf, x) if _odd(y) else np.inf
        return x if _odd(y) else 0.0
    if np.isinf(y):
        if x == -1.0:
            return 1.0
        return 0.0 if (abs(x) < 1.0) == (y > 0.0) else np.inf
    if np.isinf(x):
        if x < 0.0 and _odd(y):
            return -np.inf if y > 0.0 else -0.0
        return np.inf if y > 0.0 else 0.0
    if y == 0.5:
        return np.sqrt(x)
    if y == -0.5:
        return 1.0 / np.sqrt(x)
    whole = np.floor(abs(y))
    fraction = abs(y) - whole
    if fraction != 0.0 and x < 0.0:
        return np.nan
    if whole >= 2.0**63:
        if x == -1.0:
            return 1.0
        return 0.0 if (abs(x) < 1.0) == (y > 0.0) else np.inf
    result, exponent = 1.0, np.int64(0)
    if fraction != 0.0:
        if fraction > 0.5:
            fraction -= 1.0
            whole += 1.0
        result = exponential(fraction * logarithm(x))
    base, base_exponent = math.frexp(x)
    i = np.int64(whole)
    while i != 0:
        if base_exponent < -4096 or base_exponent > 4096:
            exponent += base_exponent
            break
        if i & 1 == 1:
            result *= base
            exponent += base_exponent
        base *= base
        base_exponent <<= 1
        if base < 0.5:
            base += base
            base_exponent -= 1
        i >>= 1
    if y < 0.0:
        result = 1.0 / result
        exponent = -exponent
    exponent = min(max(exponent, np.int64(-100_000)), np.int64(100_000))
    return math.ldexp(result, int(exponent))


def _looped(function: Any) -> Any:
    """Return the loop that applies a compiled function to each value of an array of shape ``(S, T)``."""

    @_jit
    def loop(x, out):
        for s in range(out.shape[0]):
            for t in range(out.shape[1]):
                out[s, t] = function(x[s, t])

    return loop


def _looped2(function: Any) -> Any:
    @_jit
    def loop(x, y, out):
        for s in range(out.shape[0]):
            for t in range(out.shape[1]):
                out[s, t] = function(x[s, t], y[s, t])

    return loop


_LOOPS = {
    "ln": _looped(logarithm),
    "log2": _looped(_logarithm2),
    "log10": _looped(_logarithm10),
    "exp": _looped(exponential),
    "sin": _looped(_sine),
    "cos": _looped(_cosine),
    "tan": _looped(_tangent),
    "asin": _looped(_arcsine),
    "acos": _looped(_arccosine),
    "atan": _looped(_arctangent),
    "sinh": _looped(_hyperbolic_sine),
    "cosh": _looped(_hyperbolic_cosine),
    "tanh": _looped(_hyperbolic_tangent),
    "asinh": _looped(_area_sine),
    "acosh": _looped(_area_cosine),
    "atanh": _looped(_area_tangent),
}
_LOOPS2 = {"^": _looped2(power), "atan2": _looped2(arctangent2)}


def apply(name: str, values: Any) -> Any:
    """Evaluate the PromQL function `name` for each value of an array of shape ``(S, T)``."""
    out = np.empty(values.shape)
    _LOOPS[name](values, out)
    return out


def apply2(name: str, left: Any, right: Any) -> Any:
    """Evaluate the operator ``^`` or ``atan2`` between arrays of shape ``(S, T)``."""
    out = np.empty(left.shape)
    _LOOPS2[name](left, right, out)
    return out
