"""The table of functions and the types of expressions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from kmon_analysis.promql import instant, ranges
from kmon_analysis.promql.syntax import (
    Binary,
    Call,
    Expr,
    MatrixSelector,
    NumberLiteral,
    Paren,
    StringLiteral,
    Subquery,
    Unary,
)
from kmon_analysis.promql.values import Context, frozen

__all__ = ["AGGREGATIONS", "FUNCTIONS", "PARAMETRIC_AGGREGATIONS", "Function", "ValueType", "value_type"]

ValueType = Literal["scalar", "vector", "matrix", "string"]

PARAMETRIC_AGGREGATIONS = frozenset(("topk", "bottomk", "quantile", "count_values", "limitk", "limit_ratio"))
AGGREGATIONS = PARAMETRIC_AGGREGATIONS | {"sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"}


@dataclass(frozen=True, slots=True)
class Function:
    """One PromQL function.

    Attributes
    ----------
    apply : callable or None
        ``apply(context, args)``, which returns a `Vector`, or for a scalar an array of shape ``(T,)``;
        None where the function is known and not evaluated here.
    result : {"vector", "scalar"}
        Type of the result.
    """

    apply: Callable[[Context, Sequence[Expr]], Any] | None
    result: ValueType = "vector"


def _rate(*, counter: bool, per_second: bool) -> Function:
    def settings(windows: Any, semantics: Any) -> tuple[Any, ...]:
        return counter, ranges.range_seconds(windows.range_ms) if per_second else 0.0, semantics.clamp_first

    return Function(ranges.over_time("rates", settings))


def _counted(kind: int, *, keep_name: bool = False) -> Function:
    return Function(ranges.over_time("counts", lambda windows, semantics: (kind,), keep_name=keep_name))


def _fixed(kernel: str, *settings: Any) -> Function:
    return Function(ranges.over_time(kernel, lambda windows, semantics: settings))


def _compensated(kernel: str, flag: bool) -> Function:
    return Function(ranges.over_time(kernel, lambda windows, semantics: (flag, semantics.kahan_sum)))


def _sums(*, average: bool) -> Function:
    return Function(
        ranges.over_time(
            "sums",
            lambda windows, semantics: (average, ranges.average_mode(semantics.avg), semantics.kahan_sum),
        )
    )


def _deriv() -> Function:
    def settings(windows: Any, semantics: Any) -> tuple[Any, ...]:
        return windows.refs, frozen(np.zeros(len(windows.refs)), np.float64), False, semantics.kahan_sum

    return Function(ranges.over_time("regressions", settings))


def _elementwise(function: Callable[..., Any]) -> Function:
    return Function(instant.elementwise(function))


def _calendar(field: Callable[[Any], Any]) -> Function:
    return Function(instant.calendar(field))


_EVALUATED = {
    "rate": _rate(counter=True, per_second=True),
    "increase": _rate(counter=True, per_second=False),
    "delta": _rate(counter=False, per_second=False),
    "irate": _fixed("instant_rates", True),
    "idelta": _fixed("instant_rates", False),
    "deriv": _deriv(),
    "predict_linear": Function(ranges.predict_linear),
    "sum_over_time": _sums(average=False),
    "avg_over_time": _sums(average=True),
    "min_over_time": _fixed("extremes", -1.0),
    "max_over_time": _fixed("extremes", 1.0),
    "count_over_time": _counted(0),
    "present_over_time": _counted(1),
    "last_over_time": _counted(2, keep_name=True),
    "changes": _counted(3),
    "resets": _counted(4),
    "stdvar_over_time": _compensated("deviations", False),
    "stddev_over_time": _compensated("deviations", True),
    "quantile_over_time": Function(ranges.quantile_over_time),
    "absent_over_time": Function(ranges.absent_over_time),
    "absent": Function(instant.absent),
    "abs": _elementwise(np.abs),
    "ceil": _elementwise(np.ceil),
    "floor": _elementwise(np.floor),
    "sqrt": _elementwise(np.sqrt),
    "sgn": _elementwise(lambda values: np.where(values == 0, values, np.sign(values))),
    "round": _elementwise(instant.round_to),
    "clamp": Function(instant.clamp),
    "clamp_min": _elementwise(instant.go_max),
    "clamp_max": _elementwise(instant.go_min),
    "sort": Function(instant.same),
    "sort_desc": Function(instant.same),
    "minute": _calendar(instant.minute),
    "hour": _calendar(instant.hour),
    "day_of_week": _calendar(instant.day_of_week),
    "day_of_month": _calendar(instant.day_of_month),
    "day_of_year": _calendar(instant.day_of_year),
    "month": _calendar(instant.month),
    "year": _calendar(instant.year),
    "days_in_month": _calendar(instant.days_in_month),
    "timestamp": Function(instant.timestamp),
    "vector": Function(instant.vector),
    "scalar": Function(instant.scalar, "scalar"),
    "time": Function(instant.time, "scalar"),
    "pi": Function(lambda context, args: np.broadcast_to(np.pi, context.times.shape), "scalar"),
}
_SCALARS_NOT_EVALUATED = ("end", "range", "start", "step")

FUNCTIONS = {**_EVALUATED, **dict.fromkeys(_SCALARS_NOT_EVALUATED, Function(None, "scalar"))}


def value_type(expr: Expr) -> ValueType:
    """Return the type of an expression's value."""
    match expr:
        case NumberLiteral():
            return "scalar"
        case StringLiteral():
            return "string"
        case MatrixSelector() | Subquery():
            return "matrix"
        case Call():
            known = FUNCTIONS.get(expr.function)
            return "vector" if known is None else known.result
        case Binary():
            return "scalar" if value_type(expr.left) == value_type(expr.right) == "scalar" else "vector"
        case Paren() | Unary():
            return value_type(expr.expr)
        case _:
            return "vector"
