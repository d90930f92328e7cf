"""Aggregations across the elements of a vector."""

from __future__ import annotations

import numpy as np

from kmon_analysis.labels import METRIC_NAME, Labels
from kmon_analysis.promql.sharing import by_columns
from kmon_analysis.promql.syntax import Aggregate
from kmon_analysis.promql.values import Context, Floats, Int64s, Vector, frozen

__all__ = ["EVALUATED", "aggregate"]

_FOLDS = {"sum": 0, "avg": 1, "min": 2, "max": 3, "count": 4, "group": 5, "stdvar": 6, "stddev": 7}
_SELECTIONS = {"topk": 1.0, "bottomk": -1.0}
_AVERAGES = {"incremental": 0, "direct-sum": 3, "direct-parts": 4}

EVALUATED = frozenset((*_FOLDS, *_SELECTIONS, "quantile"))


def aggregate(context: Context, expr: Aggregate) -> Vector:
    """Evaluate an aggregation.

    Notes
    -----
    Prometheus ``promql/engine.go``, ``aggregation`` and ``aggregationK``. Elements are added in the order
    of their rows, which is that of their labels where they come from a selector.
    """
    from kmon_analysis.promql import reductions

    operand = context.vector(expr.expr)
    values, present = frozen(operand.values, np.float64), frozen(operand.present, np.bool_)
    labels, group = _groups(operand.labels, expr)
    if expr.op in _SELECTIONS:
        wanted = _parameter(context, expr)
        # As Go converts on amd64: NaN and what does not fit become the smallest integer.
        with np.errstate(invalid="ignore"):
            k = np.where(np.abs(wanted) < 2.0**62, wanted, np.where(wanted > 0, 2.0**62, -1.0)).astype(np.int64)
        kept = np.zeros(present.shape, dtype=np.bool_)
        order, edges = _members(group, len(labels))
        sign = _SELECTIONS[expr.op]
        by_columns(
            present.shape,
            lambda first, last: reductions.select_extreme(values, present, order, edges, k, sign, first, last, kept),
        )
        return Vector(operand.labels, operand.values, kept)
    out = np.empty((len(labels), values.shape[1]))
    there = np.zeros(out.shape, dtype=np.bool_)
    if expr.op == "quantile":
        q = frozen(_parameter(context, expr), np.float64)
        order, edges = _members(group, len(labels))
        by_columns(
            present.shape,
            lambda first, last: reductions.quantile_groups(values, present, order, edges, q, first, last, out, there),
        )
    else:
        semantics = context.semantics
        mode = _AVERAGES[semantics.avg_aggregation]
        strict = semantics.strict_deviation
        given = values, present, group, _FOLDS[expr.op], mode, semantics.kahan_sum, strict
        by_columns(present.shape, lambda first, last: reductions.fold(*given, first, last, out, there))
    return Vector(labels, out, there)


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
