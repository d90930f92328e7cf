"""Elementary functions with the last bit that Prometheus gives them on amd64.

Prometheus calls Go's ``math``, whose results differ from those of C libraries in the last places;
`elementary` and `trigonometry` are equal to it, and here they are applied to arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kmon_analysis.promql import elementary, trigonometry
from kmon_analysis.promql.compiled import compiled
from kmon_analysis.promql.values import Floats, frozen

__all__ = ["LAST_PLACES", "LOOPS", "apply", "apply2"]


# One loop for each function, written out: the compiler's cache finds no function made by another.
@compiled
def _ln(x: Floats, out: Floats) -> None:
    for i in range(len(x)):
        out[i] = elementary.logarithm(x[i])


@compiled
def _log2(x: Floats, out: Floats) -> None:
    for i in range(len(x)):
        out[i] = elementary.logarithm2(x[i])


@compiled
def _log10(x: Floats, out: Floats) -> None:
    for i in range(len(x)):
        out[i] = elementary.logarithm10(x[i])


@compiled
def _exp(x: Floats, out: Floats) -> None:
    for i in range(len(x)):
        out[i] = elementary.exponential(x[i])


@compiled
def _sin(x: Floats, out: Floats) -> None:
    for i in range(len(x)):
        out[i] = trigonometry.sine(x[i])


@compiled
def _cos(x: Floats, out: Floats) -> None:
    for i in range(len(x)):
        out[i] = trigonometry.cosine(x[i])


@compiled
def _tan(x: Floats, out: Floats) -> None:
    for i in range(len(x)):
        out[i] = trigonometry.tangent(x[i])


@compiled
def _asin(x: Floats, out: Floats) -> None:
    for i in range(len(x)):
        out[i] = trigonometry.arcsine(x[i])


@compiled
def _acos(x: Floats, out: Floats) -> None:
    for i in range(len(x)):
        out[i] = trigonometry.arccosine(x[i])


@compiled
def _atan(x: Floats, out: Floats) -> None:
    for i in range(len(x)):
        out[i] = trigonometry.arctangent(x[i])


@compiled
def _sinh(x: Floats, out: Floats) -> None:
    for i in range(len(x)):
        out[i] = elementary.hyperbolic_sine(x[i])


@compiled
def _cosh(x: Floats, out: Floats) -> None:
    for i in range(len(x)):
        out[i] = elementary.hyperbolic_cosine(x[i])


@compiled
def _tanh(x: Floats, out: Floats) -> None:
    for i in range(len(x)):
        out[i] = elementary.hyperbolic_tangent(x[i])


@compiled
def _asinh(x: Floats, out: Floats) -> None:
    for i in range(len(x)):
        out[i] = elementary.area_sine(x[i])


@compiled
def _acosh(x: Floats, out: Floats) -> None:
    for i in range(len(x)):
        out[i] = elementary.area_cosine(x[i])


@compiled
def _atanh(x: Floats, out: Floats) -> None:
    for i in range(len(x)):
        out[i] = elementary.area_tangent(x[i])


@compiled
def _power(x: Floats, y: Floats, out: Floats) -> None:
    for i in range(len(x)):
        out[i] = elementary.power(x[i], y[i])


@compiled
def _atan2(x: Floats, y: Floats, out: Floats) -> None:
    for i in range(len(x)):
        out[i] = trigonometry.arctangent2(x[i], y[i])


LOOPS: dict[str, Any] = {
    "ln": _ln,
    "log2": _log2,
    "log10": _log10,
    "exp": _exp,
    "sin": _sin,
    "cos": _cos,
    "tan": _tan,
    "asin": _asin,
    "acos": _acos,
    "atan": _atan,
    "sinh": _sinh,
    "cosh": _cosh,
    "tanh": _tanh,
    "asinh": _asinh,
    "acosh": _acosh,
    "atanh": _atanh,
}
_LOOPS2: dict[str, Any] = {"^": _power, "atan2": _atan2}


# Units in the last place by which a value may differ from Prometheus on amd64 (Go 1.19 and 1.26, a processor
# with fused multiply-add). Measured by tests/promql/test_mathematics.py, which fails beyond.
LAST_PLACES = dict.fromkeys((*LOOPS, *_LOOPS2, "deg", "rad"), 0)


def apply(name: str, values: Any) -> Any:
    """Evaluate the PromQL function `name` for each value of an array."""
    out = np.empty(values.size)
    LOOPS[name](frozen(values.reshape(-1), np.float64), out)
    return out.reshape(values.shape)


def apply2(name: str, left: Any, right: Any) -> Any:
    """Evaluate the operator ``^`` or ``atan2`` between arrays of one shape."""
    out = np.empty(left.size)
    _LOOPS2[name](frozen(left.reshape(-1), np.float64), frozen(right.reshape(-1), np.float64), out)
    return out.reshape(left.shape)
