"""Aggregations across the elements of a vector."""

from __future__ import annotations

import numpy as np

from kmon_analysis.errors import ExpressionError
from kmon_analysis.labels import METRIC_NAME, Labels
from kmon_analysis.promql.printer import format_expr
from kmon_analysis.promql.relabel import text_of, valid_label_name
from kmon_analysis.promql.sharing import by_columns
from kmon_analysis.promql.syntax import Aggregate
from kmon_analysis.promql.values import Bools, Context, Floats, Int64s, Vector, format_value, frozen

__all__ = ["EVALUATED", "aggregate"]

_FOLDS = {"sum": 0, "avg": 1, "min": 2, "max": 3, "count": 4, "group": 5, "stdvar": 6, "stddev": 7}
_SELECTIONS = {"topk": 1.0, "bottomk": -1.0}
_AVERAGES = {"incremental": 0, "direct-sum": 3, "direct-parts": 4}

_LEAST_INTEGER, _MOST_INTEGER = -9223372036854775808.0, 9223372036854774784.0
_MOST_CELLS = 2**28

EVALUATED = frozenset((*_FOLDS, *_SELECTIONS, "quantile", "count_values"))


def aggregate(context: Context, expr: Aggregate) -> Vector:
    """Evaluate an aggregation.

    Notes
    -----
    Prometheus ``promql/engine.go``, ``aggregation`` and ``aggregationK``. Elements are added in the order
    of their rows, which is that of their labels where they come from a selector.
    """
    from kmon_analysis.promql import reductions

    operand = context.vector(expr.expr)
    if expr.op == "count_values":
        return _count_values(context, expr, operand)
    values, present = frozen(operand.values, np.float64), frozen(operand.present, np.bool_)
    labels, group = _groups(operand.labels, expr)
    if expr.op in _SELECTIONS:
        wanted = _parameter(context, expr)
        context.fail(_no_limit(context, wanted, operand))
        with np.errstate(invalid="ignore"):
            k = np.where(np.abs(wanted) < 2.0**62, wanted, np.where(wanted > 0, 2.0**62, -1.0)).astype(np.int64)
        kept = np.zeros(present.shape, dtype=np.bool_)
        order, edges = _members(group, len(labels))
        sign, replace = _SELECTIONS[expr.op], context.semantics.heap_replaces
        by_columns(
            present.shape,
            lambda first, last: reductions.select_extreme(
                values, present, order, edges, k, sign, replace, first, last, kept
            ),
        )
        return Vector(operand.labels, operand.values, kept)
    out = np.empty((len(labels), values.shape[1]))
    there = np.zeros(out.shape, dtype=np.bool_)
    if expr.op == "quantile":
        q = frozen(_parameter(context, expr), np.float64)
        exact = context.semantics.exact_ranks
        order, edges = _members(group, len(labels))
        by_columns(
            present.shape,
            lambda first, last: reductions.quantile_groups(
                values, present, order, edges, q, exact, first, last, out, there
            ),
        )
    else:
        semantics = context.semantics
        mode = _AVERAGES[semantics.avg_aggregation]
        strict = semantics.strict_deviation
        given = values, present, group, _FOLDS[expr.op], mode, semantics.kahan_sum, strict
        by_columns(present.shape, lambda first, last: reductions.fold(*given, first, last, out, there))
    return Vector(labels, out, there)


def _no_limit(context: Context, wanted: Floats, operand: Vector) -> Bools:
    """Tell when a number of elements is none to Prometheus, shape ``(T,)``.

    Notes
    -----
    Prometheus ``promql/engine.go``, ``rangeEvalAgg``; up to 3.5 ``convertibleToInt64``.
    """
    check = context.semantics.limit_check
    if check == "wanted":
        return np.isnan(wanted) | (wanted >= _MOST_INTEGER)
    outside = ~((wanted <= _MOST_INTEGER) & (wanted >= _LEAST_INTEGER))
    return outside & operand.present.any(axis=0) if check == "elements" else outside


def _count_values(context: Context, expr: Aggregate, operand: Vector) -> Vector:
    """Evaluate ``count_values("label", vector)``.

    Notes
    -----
    Prometheus ``promql/engine.go``, ``aggregationCountValues``: the value becomes a label first, and then
    the groups are made.
    """
    if expr.parameter is None:
        raise TypeError("count_values without a parameter")
    name = text_of(expr.parameter)
    if not valid_label_name(name, any_text=context.semantics.utf8_names):
        context.fail(np.ones(len(context.times), dtype=np.bool_))
        return Vector((), np.empty((0, len(context.times))), np.empty((0, len(context.times)), dtype=np.bool_))
    groups: dict[Labels, list[tuple[int, Floats]]] = {}
    for row, labels in enumerate(operand.labels):
        for value in _distinct_values(operand.values[row][operand.present[row]]):
            marked = labels.updated({name: format_value(float(value))})
            key = marked.only((*expr.grouping, name)) if expr.by else marked.without(METRIC_NAME, *expr.grouping)
            groups.setdefault(key, []).append((row, value))
    if len(groups) * len(context.times) > _MOST_CELLS:
        raise ExpressionError(
            f"count_values finds {len(groups):,} different values over {len(context.times):,} evaluations, "
            "more than is evaluated at once here",
            expression=format_expr(expr),
            cure="Round the values first, for example count_values('v', round(x)), or take a shorter history",
        )
    counts = np.zeros((len(groups), len(context.times)))
    for index, members in enumerate(groups.values()):
        for row, value in members:
            same = np.isnan(operand.values[row]) if np.isnan(value) else _equal_bits(operand.values[row], value)
            counts[index] += operand.present[row] & same
    return Vector(tuple(groups), counts, counts > 0)


def _distinct_values(values: Floats) -> Floats:
    """Return each value once; zero has two, NaN counts as one."""
    bits = np.unique(np.where(np.isnan(values), np.nan, values).view(np.int64))
    return bits.view(np.float64)


def _equal_bits(values: Floats, value: Floats) -> Bools:
    same: Bools = (values == value) & (np.signbit(values) == np.signbit(value))
    return same


def _parameter(context: Context, expr: Aggregate) -> Floats:
    if expr.parameter is None:
        raise TypeError(f"{expr.op} without a parameter")
    return context.scalar(expr.parameter)


def _groups(labels: tuple[Labels, ...], expr: Aggregate) -> tuple[tuple[Labels, ...], Int64s]:
    """Return the labels of the groups and the group of each element."""
    dropped = (*expr.grouping, METRIC_NAME)
    keys = [each.only(expr.grouping) if expr.by else each.without(*dropped) for each in labels]
    first: dict[Labels, int] = {}
    group = np.array([first.setdefault(key, len(first)) for key in keys], dtype=np.int64)
    return tuple(first), group


def _members(group: Int64s, groups: int) -> tuple[Int64s, Int64s]:
    """Return rows by group, and where each group begins and ends there: ``order[edges[g]:edges[g + 1]]``."""
    order = np.argsort(group, kind="stable")
    return order, np.searchsorted(group[order], np.arange(groups + 1))
