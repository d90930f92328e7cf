"""The table of functions and the types of expressions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from kmon_analysis.promql import histograms, instant, ranges, relabel, smoothing
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

__all__ = [
    "AGGREGATIONS",
    "FUNCTIONS",
    "PARAMETRIC_AGGREGATIONS",
    "REFUSED_AGGREGATIONS",
    "Function",
    "ValueType",
    "value_type",
]

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
    since, until : (int, int), optional
        The first release that has it without a feature flag, and the first that has it no more.
    why : str
        Why it is not evaluated here, or was not in releases before `since`.
    """

    apply: Callable[[Context, Sequence[Expr]], Any] | None
    result: ValueType = "vector"
    since: tuple[int, int] = (2, 42)
    until: tuple[int, int] | None = None
    why: str = ""

    def refusal(self, release: tuple[int, int] | None) -> str | None:
        """Return why a release does not evaluate it, or None; without a release, why none does."""
        if self.apply is None:
            return self.why
        if release is None or (release >= self.since and (self.until is None or release < self.until)):
            return None
        version = f"{release[0]}.{release[1]}"
        if release < self.since:
            since = f"{self.since[0]}.{self.since[1]}"
            return f"in Prometheus {version} {self.why or 'it does not exist'}; here it is evaluated from {since} on"
        return f"Prometheus {version} does not know it: {self.why}"


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


def _last_bit(name: str) -> Function:
    """Evaluate an elementary function whose last bit is Go's."""

    def evaluate(values: Any) -> Any:
        from kmon_analysis.promql import mathematics

        return mathematics.apply(name, values)

    return _elementwise(evaluate)


def _angle(name: str) -> Function:
    def apply(context: Context, args: Sequence[Expr]) -> Any:
        return instant.angle(name, context, args)

    return Function(apply)


def _calendar(field: Callable[[Any], Any]) -> Function:
    return Function(instant.calendar(field))


_FLAG = "it is experimental (behind --enable-feature=promql-experimental-functions)"
_EXPERIMENTAL_OR_NONE = "it is experimental from 3.7 on and unknown before"
_RENAMED = "since 3.0 it is double_exponential_smoothing, which is experimental"
_NATIVE_BEFORE = "it only knows native histograms"
_NATIVE = "it is about native histograms, which are not evaluated"
_LAST_BIT = (
    *("exp", "ln", "log2", "log10", "sin", "cos", "tan", "asin", "acos", "atan"),
    *("sinh", "cosh", "tanh", "asinh", "acosh", "atanh"),
)
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
    "first_over_time": Function(smoothing.first_over_time, since=(3, 14), why=_EXPERIMENTAL_OR_NONE),
    "holt_winters": Function(smoothing.holt_winters, until=(3, 0), why=_RENAMED),
    "label_replace": Function(relabel.label_replace),
    "label_join": Function(relabel.label_join),
    "histogram_quantile": Function(histograms.histogram_quantile),
    "histogram_fraction": Function(histograms.histogram_fraction, since=(3, 4), why=_NATIVE_BEFORE),
    **{name: _last_bit(name) for name in _LAST_BIT},
    "deg": _angle("deg"),
    "rad": _angle("rad"),
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
_EXPERIMENTAL = (
    *("double_exponential_smoothing", "histogram_quantiles", "info", "integral", "mad_over_time", "sort_by_label"),
    *("sort_by_label_desc", "start_timestamp"),
    *(f"ts_of_{which}_over_time" for which in ("first", "last", "max", "min")),
)
_EXPERIMENTAL_SCALARS = ("end", "max_of", "min_of", "range", "start", "step")
_NATIVE_ONLY = tuple(f"histogram_{what}" for what in ("avg", "count", "stddev", "stdvar", "sum"))

FUNCTIONS = {
    **_EVALUATED,
    **dict.fromkeys(_EXPERIMENTAL, Function(None, why=_FLAG)),
    **dict.fromkeys(_EXPERIMENTAL_SCALARS, Function(None, "scalar", why=_FLAG)),
    **dict.fromkeys(_NATIVE_ONLY, Function(None, why=_NATIVE)),
}
REFUSED_AGGREGATIONS = dict.fromkeys(("limitk", "limit_ratio"), _FLAG)


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
