"""The unit of an expression's values, as far as metric names and functions tell it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

from kmon_analysis.kafka.dialects import Metric, dialects
from kmon_analysis.promql.syntax import (
    Aggregate,
    Binary,
    Call,
    Expr,
    MatrixSelector,
    NumberLiteral,
    Paren,
    Subquery,
    Unary,
    VectorSelector,
    children,
)

__all__ = ["unit_of"]

# Exponents by base unit; without any it is a plain ratio.
Unit = Mapping[str, int]

_SECONDS = "seconds"
# Prometheus' naming conventions: base units at the end, before what counters and histograms add.
_ADDED = ("_total", "_sum", "_bucket")
_ENDINGS: Mapping[str, Unit] = {
    "seconds": {_SECONDS: 1},
    "milliseconds": {"milliseconds": 1},
    "bytes": {"bytes": 1},
    "messages": {"messages": 1},
    "records": {"records": 1},
    "partitions": {"partitions": 1},
    "ratio": {},
}
_PER_SECOND = frozenset({"rate", "irate", "deriv"})
_SAME = frozenset(
    {
        *("abs", "avg_over_time", "ceil", "clamp", "clamp_max", "clamp_min", "delta", "double_exponential_smoothing"),
        *("first_over_time", "floor", "holt_winters", "idelta", "increase", "label_join", "label_replace"),
        *("last_over_time", "max_over_time", "min_over_time", "predict_linear", "quantile_over_time", "round"),
        *("scalar", "sort", "sort_by_label", "sort_by_label_desc", "sort_desc", "stddev_over_time"),
        *("sum_over_time", "vector"),
    }
)
_OF_SAMPLES = frozenset({"avg", "bottomk", "limitk", "max", "min", "quantile", "stddev", "sum", "topk"})


def unit_of(expr: Expr) -> str | None:
    """Name the unit of an expression's values.

    Parameters
    ----------
    expr : Expr
        Any; usually the compared side of an alert.

    Returns
    -------
    str or None
        For example "messages", "messages/s", "seconds"; "ratio" for a quotient of equal units; None where names do
        not tell.

    Notes
    -----
    Units of metrics come from ``dialects.yml``, else from the ending of the name (Prometheus, "Metric and label
    naming"). A factor other than one makes the unit unknown: nobody says what it converts.

    Examples
    --------
    >>> from kmon_analysis.promql.parser import parse
    >>> unit_of(parse("sum by (topic) (rate(kafka_server_BrokerTopicMetrics_MessagesInPerSec[5m]))"))
    'messages/s'
    >>> unit_of(parse("some_gauge"))
    """
    unit = _unit(expr)
    return None if unit is None else _written(unit)


def _written(unit: Unit) -> str | None:
    over = [name for name, power in unit.items() if power == 1]
    under = [name for name, power in unit.items() if power == -1]
    if len(over) + len(under) < len(unit) or len(over) > 1 or len(under) > 1:
        return None
    per = "s" if under == [_SECONDS] else "".join(under)
    if not over:
        return f"1/{per}" if per else "ratio"
    return f"{over[0]}/{per}" if per else over[0]


def _unit(expr: Expr) -> Unit | None:
    match expr:
        case Paren() | Unary() | Subquery():
            return _unit(expr.expr)
        case MatrixSelector():
            return _unit(expr.selector)
        case VectorSelector():
            return _metric_unit(expr)
        case Aggregate():
            return _unit(expr.expr) if expr.op in _OF_SAMPLES else None
        case Call():
            return _call_unit(expr)
        case Binary():
            return _binary_unit(expr)
        case _:
            return None


def _call_unit(call: Call) -> Unit | None:
    if call.function in ("time", "timestamp"):
        return {_SECONDS: 1}
    if call.function == "histogram_quantile" and len(call.args) == 2:
        # Buckets hold counts; the quantile is in the unit of what was measured.
        named = next(_selectors(call.args[1]), None)
        return None if named is None else _metric_unit(named)
    if not call.args:
        return None
    if call.function in _PER_SECOND:
        inner = _unit(call.args[0])
        return None if inner is None else _times(inner, {_SECONDS: 1}, -1)
    if call.function in _SAME:
        return _unit(call.args[1 if call.function == "quantile_over_time" else 0])
    return None


def _selectors(expr: Expr) -> Iterator[VectorSelector]:
    if isinstance(expr, VectorSelector):
        yield expr
    for inner in children(expr):
        yield from _selectors(inner)


def _binary_unit(expr: Binary) -> Unit | None:
    left, right = expr.left, expr.right
    if expr.return_bool:
        return {}
    if expr.op in ("==", "!=", ">", "<", ">=", "<=", "and", "unless"):
        return _unit(right if _number(left) is not None else left)
    if expr.op in ("+", "-", "or", "%"):
        units = [_unit(side) for side in (left, right) if _number(side) is None]
        return units[0] if units and all(unit == units[0] for unit in units) else None
    if expr.op not in ("*", "/"):
        return None
    if 1.0 in (_number(left), _number(right)) and _number(left if expr.op == "/" else right) is None:
        return _unit(left)
    one, other = _unit(left), _unit(right)
    return None if one is None or other is None else _times(one, other, 1 if expr.op == "*" else -1)


def _number(expr: Expr) -> float | None:
    match expr:
        case NumberLiteral():
            return expr.value
        case Paren():
            return _number(expr.expr)
        case Call() if expr.function == "vector" and expr.args:
            return _number(expr.args[0])
        case Unary():
            inner = _number(expr.expr)
            return None if inner is None else -inner
        case _:
            return None


def _times(one: Unit, other: Unit, sign: int) -> Unit:
    powers = {name: one.get(name, 0) + sign * other.get(name, 0) for name in (*one, *other)}
    return {name: power for name, power in powers.items() if power}


@lru_cache(maxsize=1)
def _known() -> Mapping[str, tuple[Metric, ...]]:
    found: dict[str, list[Metric]] = {}
    for dialect in dialects().values():
        for metric in dialect.metrics.values():
            for name in metric.names:
                # Where an expression must be written, the plain metric holds something else.
                if not metric.expr:
                    found.setdefault(name, []).append(metric)
    return {name: tuple(metrics) for name, metrics in found.items()}


def _metric_unit(selector: VectorSelector) -> Unit | None:
    name = selector.name
    if name is None:
        return None
    fixed = {matcher.name: matcher.value for matcher in selector.matchers if matcher.op == "="}
    units = [_dialect_unit(metric) for metric in _known().get(name, ()) if metric.matchers.items() <= fixed.items()]
    if units:
        return units[0] if all(unit == units[0] for unit in units) else None
    stem = name
    for added in _ADDED:
        stem = stem.removesuffix(added)
    return _ENDINGS.get(stem.rpartition("_")[2]) if name not in _known() else None


def _dialect_unit(metric: Metric) -> Unit:
    if metric.kind == "rate_gauge":
        return {metric.unit: 1, _SECONDS: -1}
    return {metric.unit: 1, "min": -1} if metric.kind == "delta_gauge" else {metric.unit: 1}
