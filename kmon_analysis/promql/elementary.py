"""Logarithms, exponentials, powers and hyperbolic functions as Go has them on amd64, compiled.

The published methods behind Go's: FreeBSD's ``e_log`` and ``s_log1p``, Shibata's exponential (ISC 2010) with
fused multiply-add, Cephes for the hyperbolic functions. No operation may be reordered or contracted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numba.core import types
from numba.extending import intrinsic

from kmon_analysis.promql.compiled import compiled

__all__ = [
    "area_cosine",
    "area_sine",
    "area_tangent",
    "bits_of",
    "exponential",
    "float_of",
    "horner",
    "hyperbolic_cosine",
    "hyperbolic_sine",
    "hyperbolic_tangent",
    "logarithm",
    "logarithm2",
    "logarithm10",
    "monic",
    "power",
]

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
_SINH_P = (
    -26.30563213397497062819489,
    -2894.211355989563807284660366,
    -89912.72022039509355398013511,
    -630767.3640497716991184787251,
)
_SINH_Q = (-173.678953558233699533450911, 15215.17378790019070696485176, -630767.3640497716991212077277)
_TANH_P = (-9.64399179425052238628e-1, -9.92877231001918586564e1, -1.61468768441708447952e3)
_TANH_Q = (1.12811678491632931402e2, 2.23548839060100448583e3, 4.84406305325125486048e3)


def _fused(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c`` with one rounding."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fma(*args)

    return types.float64(types.float64, types.float64, types.float64), generate


# Its callers do not pass the typing context.
_fma = cast("Callable[[float, float, float], float]", intrinsic(_fused))


@compiled
def bits_of(x: float) -> np.uint64:
    """Bits of a float."""
    return np.float64(x).view(np.uint64)


@compiled
def float_of(bits: np.uint64) -> float:
    """Float of these bits."""
    return np.uint64(bits).view(np.float64)


@compiled
def horner(x: float, coefficients: tuple[float, ...]) -> float:
    """Value of a polynomial, highest power first."""
    total = coefficients[0]
    for i in range(1, len(coefficients)):
        total = total * x + coefficients[i]
    return total


@compiled
def monic(x: float, coefficients: tuple[float, ...]) -> float:
    """The same with a leading 1 that is not written."""
    total = x + coefficients[0]
    for i in range(1, len(coefficients)):
        total = total * x + coefficients[i]
    return total


@compiled
def logarithm(x: float) -> float:
    """Natural logarithm; a subnormal number is not normalised first, as in Go's amd64 assembly."""
    if np.isnan(x) or x == np.inf:
        return x
    if x == 0.0:
        return -np.inf
    if x < 0.0:
        return np.nan
    bits = bits_of(x)
    k = float(np.int64(bits >> np.uint64(52)) - 1022)
    fraction = float_of((bits & np.uint64(0x000FFFFFFFFFFFFF)) | np.uint64(0x3FE0000000000000))
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


@compiled
def logarithm2(x: float) -> float:
    """Logarithm to base 2, exact for powers of two."""
    fraction, exponent = math.frexp(x)
    if fraction == 0.5:
        return float(exponent - 1)
    return logarithm(fraction) * 1.44269504088896340736 + float(exponent)


@compiled
def logarithm10(x: float) -> float:
    """Logarithm to base 10."""
    return logarithm(x) * 0.43429448190325182765


@compiled
def _log1p(x: float) -> float:
    """``log(1 + x)``."""
    if x < -1.0 or np.isnan(x):
        return np.nan
    if x == -1.0:
        return -np.inf
    if x == np.inf:
        return np.inf
    size = abs(x)
    k: int | np.int64
    k, f, c, mantissa = 1, 0.0, 0.0, np.uint64(1)
    if size < 4.142135623730950488017e-01:
        if size < 2.0**-29:
            return x if size < 2.0**-54 else x - x * x * 0.5
        if x > -2.928932188134524755992e-01:
            k, f = 0, x
    if k != 0:
        u = 1.0 + x if size < 2.0**53 else x
        bits = bits_of(u)
        k = np.int64(bits >> np.uint64(52)) - 1023
        if size < 2.0**53:
            c = (1.0 - (u - x) if k > 0 else x - (u - 1.0)) / u
        mantissa = bits & np.uint64(0x000FFFFFFFFFFFFF)
        if mantissa < np.uint64(0x0006A09E667F3BCD):
            u = float_of(mantissa | np.uint64(0x3FF0000000000000))
        else:
            k += 1
            u = float_of(mantissa | np.uint64(0x3FE0000000000000))
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


@compiled
def exponential(x: float) -> float:
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
    biased: int | np.int64 = exponent + 1023
    if biased <= 0:
        if biased < -52:
            return 0.0
        x *= float_of(np.uint64(biased + 1022) << np.uint64(52))
        biased = 1
    elif biased >= 2047:
        return np.inf
    return x * float_of(np.uint64(biased) << np.uint64(52))


@compiled
def hyperbolic_sine(x: float) -> float:
    """Hyperbolic sine."""
    size = -x if x < 0.0 else x
    if size > 21.0:
        y = exponential(size) * 0.5
    elif size > 0.5:
        e = exponential(size)
        y = (e - 1.0 / e) * 0.5
    else:
        square = size * size
        y = horner(square, _SINH_P) * size / monic(square, _SINH_Q)
    return -y if x < 0.0 else y


@compiled
def hyperbolic_cosine(x: float) -> float:
    """Hyperbolic cosine."""
    e = exponential(abs(x))
    return e * 0.5 if abs(x) > 21.0 else (e + 1.0 / e) * 0.5


@compiled
def hyperbolic_tangent(x: float) -> float:
    """Hyperbolic tangent."""
    size = abs(x)
    if size > 0.5 * 8.8029691931113054295988e01:
        return -1.0 if x < 0.0 else 1.0
    if size >= 0.625:
        y = 1.0 - 2.0 / (exponential(2.0 * size) + 1.0)
        return -y if x < 0.0 else y
    if x == 0.0:
        return x
    s = x * x
    return x + x * s * horner(s, _TANH_P) / monic(s, _TANH_Q)


@compiled
def area_sine(x: float) -> float:
    """Inverse of the hyperbolic sine."""
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


@compiled
def area_cosine(x: float) -> float:
    """Inverse of the hyperbolic cosine."""
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


@compiled
def area_tangent(x: float) -> float:
    """Inverse of the hyperbolic tangent."""
    size = -x if x < 0.0 else x
    if not size <= 1.0:
        return np.nan
    if size == 1.0:
        return math.copysign(np.inf, x)
    if size < 2.0**-28:
        y = size
    elif size < 0.5:
        y = size + size
        y = 0.5 * _log1p(y + y * size / (1.0 - size))
    else:
        y = 0.5 * _log1p((size + size) / (1.0 - size))
    return -y if x < 0.0 else y


@compiled
def _odd(y: float) -> bool:
    """Tell whether a float is an odd integer."""
    return abs(y) < 2.0**53 and y == np.floor(y) and np.fmod(y, 2.0) != 0.0


@compiled
def power(x: float, y: float) -> float:
    """``x ** y``: whole part by squaring, the rest by logarithm and exponential."""
    if y == 0.0 or x == 1.0:
        return 1.0
    if y == 1.0:
        return x
    if np.isnan(x) or np.isnan(y):
        return np.nan
    if x == 0.0:
        if y < 0.0:
            return math.copysign(np.inf, x) if _odd(y) else np.inf
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
        return math.sqrt(x)
    if y == -0.5:
        return 1.0 / math.sqrt(x)
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
