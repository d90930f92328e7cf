"""Binary operators: arithmetic, comparisons and sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kmon_analysis.labels import METRIC_NAME, Labels
from kmon_analysis.promql.syntax import Binary, VectorMatching
from kmon_analysis.promql.values import Bools, Context, Floats, Int64s, Vector, distinct, without_name

__all__ = ["EVALUATED", "between_scalars", "between_sets", "between_vectors", "with_scalar"]


def _elementary(op: str) -> Callable[[Floats, Floats], Floats]:
    """Return an operator whose last bit is Go's."""

    def evaluate(left: Floats, right: Floats) -> Floats:
        from kmon_analysis.promql import mathematics

        shape = np.broadcast_shapes(left.shape, right.shape)
        flat = np.atleast_2d(np.empty(shape)).shape
        pair = (np.broadcast_to(side, flat) for side in (left, right))
        values: Floats = mathematics.apply2(op, *pair)
        return values.reshape(shape)

    return evaluate


_ARITHMETIC: dict[str, Callable[[Floats, Floats], Floats]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.fmod,
    "^": _elementary("^"),
    "atan2": _elementary("atan2"),
}
_COMPARISONS: dict[str, Callable[[Floats, Floats], Any]] = {
    "==": np.equal,
    "!=": np.not_equal,
    ">": np.greater,
    "<": np.less,
    ">=": np.greater_equal,
    "<=": np.less_equal,
}
_SETS = frozenset(("and", "or", "unless"))

EVALUATED = _SETS | _ARITHMETIC.keys() | _COMPARISONS.keys()


def between_scalars(expr: Binary, left: Floats, right: Floats) -> Floats:
    """Evaluate an operator between scalars, shape ``(T,)``."""
    with np.errstate(all="ignore"):
        if expr.op in _COMPARISONS:
            return np.asarray(_COMPARISONS[expr.op](left, right), dtype=np.float64)
        return _ARITHMETIC[expr.op](left, right)


def with_scalar(context: Context, expr: Binary, operand: Vector, scalar: Floats, *, scalar_left: bool) -> Vector:
    """Evaluate an operator between a vector and a scalar; a comparison keeps the vector's values.

    Notes
    -----
    Prometheus ``promql/engine.go``, ``VectorscalarBinop``.
    """
    left, right = (scalar, operand.values) if scalar_left else (operand.values, scalar)
    with np.errstate(all="ignore"):
        if expr.op not in _COMPARISONS:
            values = _ARITHMETIC[expr.op](left, right)
            labels = without_name(operand.labels) if _drops_name(context, expr) else operand.labels
            return distinct(context, labels, values, operand.present)
        holds = _COMPARISONS[expr.op](left, right)
    if expr.return_bool:
        return distinct(context, without_name(operand.labels), holds.astype(np.float64), operand.present)
    holds &= operand.present
    return Vector(operand.labels, operand.values, holds)


def _drops_name(context: Context, expr: Binary) -> bool:
    """Tell whether the result is another metric (Prometheus ``promql/engine.go``, ``changesMetricSchema``)."""
    if expr.op == "atan2":
        return context.semantics.atan2_drops_name
    return expr.op in _ARITHMETIC or expr.return_bool


def _signature(matching: VectorMatching) -> Callable[[Labels], Labels]:
    """Return what must be equal on both sides."""
    if matching.on:
        return lambda labels: labels.only(matching.labels)
    return lambda labels: labels.without(METRIC_NAME, *matching.labels)


def _several(rows: Int64s, count: int, there: Bools, width: int) -> Bools:
    """Tell at which times two rows of one signature are there; ``rows[i]`` is the signature of row i."""
    clash = np.zeros(width, dtype=np.bool_)
    sizes = np.bincount(rows, minlength=count)
    for signature in np.flatnonzero(sizes > 1):
        clash |= there[rows == signature].sum(axis=0) > 1
    return clash


def between_vectors(context: Context, expr: Binary, left: Vector, right: Vector) -> Vector:
    """Evaluate an arithmetic operator or comparison between vectors.

    Notes
    -----
    Prometheus ``promql/engine.go``, ``VectorBinop`` and ``resultMetric``. Rows are paired by signature
    first; all pairs are then computed together, and times at which a pairing is ambiguous fail.
    """
    matching = expr.matching or VectorMatching("one-to-one")
    swapped = matching.cardinality == "one-to-many"
    many, one = (right, left) if swapped else (left, right)
    signature = _signature(matching)
    known: dict[Labels, int] = {}
    many_rows = np.array([known.setdefault(signature(each), len(known)) for each in many.labels], dtype=np.int64)
    one_rows = np.array([known.setdefault(signature(each), len(known)) for each in one.labels], dtype=np.int64)
    width = len(context.times)
    either_empty = ~(many.present.any(axis=0) & one.present.any(axis=0))
    context.fail(_several(one_rows, len(known), one.present, width) & ~either_empty)

    partners: dict[int, list[int]] = {}
    for row, key in enumerate(one_rows.tolist()):
        partners.setdefault(key, []).append(row)
    pairs = [(i, j) for i, key in enumerate(many_rows.tolist()) for j in partners.get(key, ())]
    many_index = np.array([i for i, _ in pairs], dtype=np.int64)
    one_index = np.array([j for _, j in pairs], dtype=np.int64)
    matched = _rows(many.present, many_index) & _rows(one.present, one_index)
    many_values, one_values = _rows(many.values, many_index), _rows(one.values, one_index)
    left_values, right_values = (one_values, many_values) if swapped else (many_values, one_values)
    kept, values = matched, left_values
    with np.errstate(all="ignore"):
        if expr.op in _ARITHMETIC:
            values = _ARITHMETIC[expr.op](left_values, right_values)
        elif expr.return_bool:
            values = _COMPARISONS[expr.op](left_values, right_values).astype(np.float64)
        else:
            kept = _COMPARISONS[expr.op](left_values, right_values) & matched
    if matching.cardinality == "one-to-one":
        counted = matched if context.semantics.strict_one_side else kept
        context.fail(_several(many_rows[many_index], len(known), counted, width))
    drop_name = _drops_name(context, expr)
    labels = [_result_labels(matching, many.labels[i], one.labels[j], drop_name) for i, j in pairs]
    if matching.cardinality != "one-to-one" and context.semantics.strict_one_side:
        seen: dict[tuple[int, Labels], int] = {}
        keys = zip(many_rows[many_index].tolist(), labels, strict=True)
        results = np.array([seen.setdefault(key, len(seen)) for key in keys], dtype=np.int64)
        context.fail(_several(results, len(seen), matched, width))
    return distinct(context, labels, values, kept)


def _rows(table: Any, index: Int64s) -> Any:
    """Select rows; no copy when that is all of them in order."""
    if len(index) == len(table) and np.array_equal(index, np.arange(len(table))):
        return table
    return table[index]


def _result_labels(matching: VectorMatching, many: Labels, one: Labels, drop_name: bool) -> Labels:
    """Return the labels of a pair's result."""
    labels = many.without(METRIC_NAME) if drop_name else many
    if matching.cardinality == "one-to-one":
        return labels.only(matching.labels) if matching.on else labels.without(*matching.labels)
    return labels.updated({name: one.value(name) for name in matching.include})


def between_sets(expr: Binary, left: Vector, right: Vector) -> Vector:
    """Evaluate ``and``, ``or``, ``unless``.

    Notes
    -----
    Prometheus ``promql/engine.go``, ``VectorAnd``, ``VectorOr``, ``VectorUnless``.
    """
    matching = expr.matching or VectorMatching("many-to-many")
    signature = _signature(matching)
    if expr.op == "or":
        additional = right.present & ~_partner_there(right.labels, left, signature)
        return _united(left, Vector(right.labels, right.values, additional))
    partner = _partner_there(left.labels, right, signature)
    return Vector(left.labels, left.values, left.present & (partner if expr.op == "and" else ~partner))


def _partner_there(labels: Sequence[Labels], other: Vector, signature: Callable[[Labels], Labels]) -> Bools:
    """Tell for each of `labels` when an element of `other` has the same signature, shape ``(len(labels), T)``."""
    known: dict[Labels, int] = {}
    rows = [known.setdefault(signature(each), len(known)) for each in other.labels]
    # One row more, never there, for signatures without a partner.
    there = np.zeros((len(known) + 1, other.present.shape[1]), dtype=np.bool_)
    for row, to in enumerate(rows):
        there[to] |= other.present[row]
    found: Bools = there[[known.get(signature(each), len(known)) for each in labels]]
    return found


def _united(left: Vector, right: Vector) -> Vector:
    """Put two vectors together whose elements of equal labels are never there at the same time."""
    place = {labels: row for row, labels in enumerate(left.labels)}
    new = [row for row, labels in enumerate(right.labels) if labels not in place]
    values = np.concatenate([left.values, right.values[new]])
    present = np.concatenate([left.present, right.present[new]])
    for row, labels in enumerate(right.labels):
        if labels in place:
            np.copyto(values[place[labels]], right.values[row], where=right.present[row])
            present[place[labels]] |= right.present[row]
    return Vector((*left.labels, *(right.labels[row] for row in new)), values, present)
