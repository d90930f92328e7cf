"""Functions of classic histograms: series with a label ``le``."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kmon_analysis.labels import Labels
from kmon_analysis.promql.syntax import Expr
from kmon_analysis.promql.values import Bools, Context, Floats, Int64s, Vector, distinct, frozen, without_name

__all__ = ["bound", "histogram_fraction", "histogram_quantile"]

_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_HEXADECIMAL = re.compile(r"[+-]?0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)[pP][+-]?[0-9]+")
_INFINITE = re.compile(r"(?i)[+-]?inf(?:inity)?")


def bound(text: str) -> float | None:
    """Return the upper bound that a label ``le`` states, None where Prometheus ignores the bucket.

    Notes
    -----
    Go ``strconv.ParseFloat``; what is out of range is an error there. NaN is ignored since 3.16 and has no
    place in an order before.
    """
    if _INFINITE.fullmatch(text):
        return -math.inf if text[0] == "-" else math.inf
    try:
        if _DECIMAL.fullmatch(text):
            value = float(text)
        elif _HEXADECIMAL.fullmatch(text):
            value = float.fromhex(text)
        else:
            return None
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def _each(operand: Vector, context: Context, evaluate: Callable[[Int64s, Floats, Floats, Bools, int], None]) -> Vector:
    """Evaluate one histogram after the other; a histogram is what has the same labels but for ``le``."""
    found: dict[Labels, list[tuple[float, int]]] = {}
    for row, labels in enumerate(operand.labels):
        edge = bound(labels.value("le"))
        if edge is not None:
            found.setdefault(labels.without("le"), []).append((edge, row))
    values = np.empty((len(found), len(context.times)))
    present = np.zeros(values.shape, dtype=np.bool_)
    for index, members in enumerate(found.values()):
        members.sort(key=lambda member: member[0])
        rows = frozen(np.array([row for _, row in members]), np.int64)
        bounds = frozen(np.array([edge for edge, _ in members]), np.float64)
        evaluate(rows, bounds, values[index], present[index], index)
    return distinct(context, without_name(list(found)), values, present)


def histogram_quantile(context: Context, args: Sequence[Expr]) -> Vector:
    """Evaluate ``histogram_quantile(q, buckets)``."""
    from kmon_analysis.promql import buckets

    q = frozen(context.scalar(args[0]), np.float64)
    operand = context.vector(args[1])
    data = frozen(operand.values, np.float64), frozen(operand.present, np.bool_)
    tolerant = context.semantics.tolerant_buckets

    def evaluate(rows: Any, bounds: Any, out: Any, there: Any, index: int) -> None:
        buckets.quantiles(rows, bounds, *data, q, tolerant, out, there)

    return _each(operand, context, evaluate)


def histogram_fraction(context: Context, args: Sequence[Expr]) -> Vector:
    """Evaluate ``histogram_fraction(lower, upper, buckets)``."""
    from kmon_analysis.promql import buckets

    lower, upper = (frozen(context.scalar(arg), np.float64) for arg in args[:2])
    operand = context.vector(args[2])
    data = frozen(operand.values, np.float64), frozen(operand.present, np.bool_)
    from_zero = context.semantics.fraction_from_zero

    def evaluate(rows: Any, bounds: Any, out: Any, there: Any, index: int) -> None:
        buckets.fractions(rows, bounds, *data, lower, upper, from_zero, out, there)

    return _each(operand, context, evaluate)
