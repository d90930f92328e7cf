"""Evaluate expressions over a history, at all times at once.

Values are arrays of label sets x times (`values.py`); functions are entries of one table (`functions.py`);
sample work is compiled (`kernels.py`, `reductions.py`). What is not evaluated is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from kmon_analysis.errors import ExpressionError
from kmon_analysis.labels import Labels
from kmon_analysis.promql import aggregate, binary
from kmon_analysis.promql.functions import FUNCTIONS, REFUSED_AGGREGATIONS, value_type
from kmon_analysis.promql.printer import format_expr
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.promql.sharing import by_rows
from kmon_analysis.promql.syntax import (
    Aggregate,
    At,
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
from kmon_analysis.promql.values import Bools, Floats, Int64s, Vector, Windows, distinct, frozen, without_name
from kmon_analysis.series import Grid, SeriesSet, is_stale

__all__ = ["check_supported", "evaluate"]

_ELSEWHERE = "Let a Prometheus evaluate it: give --evaluate-on URL (or --prometheus URL; in Python server=URL)"

# Steps of one subquery; a month of them is 2.6 million at one a second.
_MOST_STEPS = 2**24


def evaluate(expr: Expr, series: SeriesSet, times: Int64s, semantics: Semantics) -> Grid:
    """Evaluate an expression as a rule would, at each of many times.

    Parameters
    ----------
    expr : Expr
        The expression, of type vector or scalar.
    series : SeriesSet
        Raw samples, from before the first evaluation as far as `needs.selections` says.
    times : int64 array, shape (T,)
        Evaluation instants in milliseconds, ascending.
    semantics : Semantics
        The Prometheus release to agree with.

    Returns
    -------
    Grid
        Label sets that are returned at least once. ``failed`` marks evaluations that Prometheus would have
        failed; nothing is present there.

    Raises
    ------
    ExpressionError
        If the expression is outside the supported subset.

    Notes
    -----
    Each time is an instant query of its own, as in Prometheus ``rules/manager.go``, ``EngineQueryFunc``: a
    scalar becomes one element without labels.

    Examples
    --------
    >>> from kmon_analysis.promql.parser import parse
    >>> grid = evaluate(parse("vector(time() / 60) > 1"), SeriesSet.from_samples([]),
    ...                 np.array([60_000, 120_000]), Semantics.of("3.5"))
    >>> grid.at(0), grid.at(1)
    ({}, {Labels('{}'): 2.0})
    """
    check_supported(expr, semantics=semantics)
    times = np.ascontiguousarray(times, dtype=np.int64)
    if np.any(np.diff(times) < 0):
        raise ValueError("evaluation times must ascend")
    evaluation = _Evaluation(_Samples(series), times, times, semantics, np.zeros(len(times), dtype=np.bool_))
    if value_type(expr) == "scalar":
        values = np.array(evaluation.scalar(expr), dtype=np.float64, ndmin=2)
        return Grid((Labels(),), times, values, np.ones(values.shape, dtype=np.bool_), evaluation.failed)
    result = evaluation.vector(expr)
    present = result.present & ~evaluation.failed if evaluation.failed.any() else result.present
    ever = np.asarray(present.any(axis=1))
    if ever.all():
        return Grid(result.labels, times, np.ascontiguousarray(result.values), present, evaluation.failed)
    labels = tuple(each for each, there in zip(result.labels, ever.tolist(), strict=True) if there)
    return Grid(labels, times, result.values[ever], present[ever], evaluation.failed)


def check_supported(expr: Expr, text: str | None = None, *, semantics: Semantics | None = None) -> None:
    """Refuse what `evaluate` cannot do.

    Parameters
    ----------
    expr : Expr
        The expression.
    text : str, optional
        Its source, for the place in the message.
    semantics : Semantics, optional
        The release to agree with; without it only what no release is agreed with on is refused.

    Raises
    ------
    ExpressionError
        At the first part that is outside the subset.
    """
    source = format_expr(expr) if text is None else text

    def refuse(part: Expr, what: str, why: str = "") -> ExpressionError:
        start = None if text is None else part.span.start
        reason = f": {why}" if why else ""
        problem = f"{what} is not evaluated here{reason}"
        return ExpressionError(problem, expression=source, start=start, cure=_ELSEWHERE)

    if value_type(expr) in ("matrix", "string"):
        raise refuse(expr, f"an expression of type {value_type(expr)}")
    _check(expr, refuse, None if semantics is None else semantics.release)


def _check(
    part: Expr, refuse: Callable[..., ExpressionError], release: tuple[int, int] | None, *, ahead: bool = False
) -> None:
    """Refuse the first unsupported part; `ahead`: in a subquery that may reach beyond the evaluation.

    Notes
    -----
    Prometheus ``promql/engine.go``, ``setOffsetForAtModifier``: a selector with ``@`` is placed relative to the first
    step of the subquery around it, except where that step happens to be the evaluation itself.
    """
    match part:
        case Call():
            function = FUNCTIONS.get(part.function)
            why = "Prometheus does not know it either" if function is None else function.refusal(release)
            if why is not None:
                raise refuse(part, f"the function {part.function!r}", why)
            _check_timestamp(part, refuse)
        case Aggregate() if part.op not in aggregate.EVALUATED:
            raise refuse(part, f"the aggregation {part.op!r}", REFUSED_AGGREGATIONS.get(part.op, ""))
        case Binary() if part.op not in binary.EVALUATED:
            raise refuse(part, f"the operator {part.op!r}", "it trims native histograms")
        case VectorSelector() if part.edges:
            why = "it is new in 3.16 and behind --enable-feature=promql-extended-range-selectors before"
            raise refuse(part, f"the modifier {part.edges!r}", why)
        case VectorSelector() | Subquery() if ahead and part.at is not None:
            why = "Prometheus then looks at another time whenever the first step is the evaluation"
            raise refuse(part, "'@' in a subquery with a negative offset or an '@' of its own", why)
        case _:
            pass
    if isinstance(part, Subquery):
        ahead = ahead or part.offset_ms < 0 or (part.at is not None and part.at.kind == "time")
    for child in children(part):
        _check(child, refuse, release, ahead=ahead)


def _check_timestamp(call: Call, refuse: Callable[..., ExpressionError]) -> None:
    """Refuse what Prometheus answers from whichever samples the query happens to have loaded.

    Notes
    -----
    Prometheus ``promql/engine.go``, ``rangeEvalTimestampFunctionOverVectorSelector``, overwrites the offset.
    """
    if call.function == "timestamp":
        selector = _bare(call.args[0])
        if isinstance(selector, VectorSelector) and selector.at is not None and selector.offset_ms:
            why = "Prometheus forgets the offset there and answers from whichever samples it happens to have loaded"
            raise refuse(call, "'timestamp' of a selector with both '@' and 'offset'", why)


class _Samples:
    """The raw samples, and those of some series without stale markers, which only ranges need."""

    def __init__(self, series: SeriesSet) -> None:
        self.labels = series.labels
        self.matching = series.matching
        self.offsets = frozen(series.offsets, np.int64)
        self.times = frozen(series.times, np.int64)
        self.values = frozen(series.values, np.float64)
        self._fresh: dict[bytes, tuple[Int64s, Int64s, Int64s, Floats]] = {}

    def without_stale(self, rows: Int64s) -> tuple[Int64s, Int64s, Int64s, Floats]:
        """Return starts, ends, times and values of some series; the samples of others are copied nowhere."""
        key = rows.tobytes()
        if key not in self._fresh:
            self._fresh[key] = self._compacted(rows)
        return self._fresh[key]

    def _compacted(self, rows: Int64s) -> tuple[Int64s, Int64s, Int64s, Floats]:
        from kmon_analysis.promql import kernels

        starts, ends = frozen(self.offsets[rows], np.int64), frozen(self.offsets[rows + 1], np.int64)
        # Series of one metric are neighbours: a stretch of them is looked through at once.
        breaks = np.flatnonzero(np.diff(rows) != 1) + 1
        firsts, lasts = np.append(starts[:1], starts[breaks]), np.append(ends[breaks - 1], ends[-1:])
        stretches = zip(firsts.tolist(), lasts.tolist(), strict=True)
        found = [np.flatnonzero(is_stale(self.values[first:last])) + first for first, last in stretches]
        stale = np.concatenate([np.empty(0, dtype=np.int64), *found])
        if not len(stale):
            return starts, ends, self.times, self.values
        sizes = ends - starts - (np.searchsorted(stale, ends) - np.searchsorted(stale, starts))
        edges = frozen(np.append(0, np.cumsum(sizes)), np.int64)
        times, values = np.empty(edges[-1], dtype=np.int64), np.empty(edges[-1])

        def share(part: slice) -> None:
            kernels.fresh_samples(starts[part], ends[part], self.times, self.values, edges[:-1][part], times, values)

        by_rows(starts, ends, 0, share)
        return edges[:-1], edges[1:], frozen(times, np.int64), frozen(values, np.float64)


@dataclass(slots=True)
class _Evaluation:
    """One evaluation of one expression; implements `values.Context`.

    `rule_times` are the evaluations of the rule, which ``@ start()`` and ``@ end()`` mean also in a subquery.
    """

    samples: _Samples
    times: Int64s
    rule_times: Int64s
    semantics: Semantics
    failed: Bools

    def fail(self, where: Bools) -> None:
        self.failed |= where

    def scalar(self, expr: Expr) -> Floats:
        """Evaluate a scalar, shape ``(T,)``; constants are broadcast, not copied."""
        match expr:
            case NumberLiteral():
                return np.broadcast_to(np.float64(expr.value), self.times.shape)
            case Paren():
                return self.scalar(expr.expr)
            case Unary():
                return np.negative(self.scalar(expr.expr))
            case Binary():
                return binary.between_scalars(expr, self.scalar(expr.left), self.scalar(expr.right))
            case Call():
                values: Floats = self._call(expr)
                return values
            case _:
                raise TypeError(f"not a scalar: {format_expr(expr)}")

    def vector(self, expr: Expr) -> Vector:
        """Evaluate an instant vector."""
        match expr:
            case VectorSelector():
                return self._select(expr, want_times=False)
            case Paren():
                return self.vector(expr.expr)
            case Unary():
                operand = self.vector(expr.expr)
                return distinct(self, without_name(operand.labels), np.negative(operand.values), operand.present)
            case Aggregate():
                return aggregate.aggregate(self, expr)
            case Binary():
                return self._binary(expr)
            case Call():
                result: Vector = self._call(expr)
                return result
            case _:
                raise TypeError(f"not an instant vector: {format_expr(expr)}")

    def sample_times(self, expr: Expr) -> Vector | None:
        """Return the times of the samples behind a selector."""
        expr = _bare(expr)
        return self._select(expr, want_times=True) if isinstance(expr, VectorSelector) else None

    def windows(self, expr: Expr) -> Windows:
        """Evaluate a range vector."""
        expr = _bare(expr)
        if isinstance(expr, Subquery):
            return self._subquery(expr)
        if not isinstance(expr, MatrixSelector):
            raise TypeError(f"not a range vector: {format_expr(expr)}")
        rows = self._matching(expr.selector)
        starts, ends, times, values = self.samples.without_stale(rows)
        return Windows(
            labels=tuple(self.samples.labels[row] for row in rows.tolist()),
            starts=starts,
            ends=ends,
            times=times,
            values=values,
            refs=self._refs(expr.selector.at, expr.selector.offset_ms),
            range_ms=expr.range_ms,
            left_open=self.semantics.left_open,
        )

    def _call(self, expr: Call) -> Any:
        implementation = FUNCTIONS[expr.function].apply
        if implementation is None:
            raise TypeError(f"not evaluated: {expr.function}")
        return implementation(self, expr.args)

    def _matching(self, selector: VectorSelector) -> Int64s:
        return self.samples.matching(selector.matchers, dot_all=self.semantics.dot_all)

    def _refs(self, at: At | None, offset_ms: int) -> Int64s:
        """Return the times that a selector looks at; in a rule ``start()`` and ``end()`` are the evaluation."""
        base = self.times
        if at is not None:
            fixed = at.kind == "time"
            base = np.full(len(self.times), at.time_ms, dtype=np.int64) if fixed else self.rule_times
        return frozen(base - offset_ms if offset_ms else base, np.int64)

    def _select(self, selector: VectorSelector, *, want_times: bool) -> Vector:
        from kmon_analysis.promql import kernels

        rows = self._matching(selector)
        samples, semantics = self.samples, self.semantics
        starts, ends = frozen(samples.offsets[rows], np.int64), frozen(samples.offsets[rows + 1], np.int64)
        refs = self._refs(selector.at, selector.offset_ms)
        given = samples.times, samples.values, refs, semantics.lookback_ms, semantics.left_open, want_times
        values = np.empty((len(rows), len(self.times)))
        present = np.empty(values.shape, dtype=np.bool_)

        def share(part: slice) -> None:
            kernels.last_samples(starts[part], ends[part], *given, values[part], present[part])

        by_rows(starts, ends, len(refs), share)
        return Vector(tuple(self.samples.labels[row] for row in rows.tolist()), values, present)

    def _subquery(self, expr: Subquery) -> Windows:
        """Evaluate the inner expression on the absolute grid of steps that all windows share.

        Notes
        -----
        Prometheus ``promql/engine.go``, ``subqueryTimeRange``.
        """
        refs = self._refs(expr.at, expr.offset_ms)
        step_ms = self.semantics.subquery_step_ms if expr.step_ms is None else expr.step_ms
        if _means_rule_time(expr.expr):
            return self._own_subqueries(expr, refs, step_ms)
        steps = np.empty(0, dtype=np.int64)
        if len(refs):
            first = -((expr.range_ms - int(refs[0])) // step_ms) * step_ms
            _bounded(expr, (int(refs[-1]) - first) // step_ms + 1)
            steps = np.arange(first, int(refs[-1]) + 1, step_ms, dtype=np.int64)
        inner = _Evaluation(self.samples, steps, steps, self.semantics, np.zeros(len(steps), dtype=np.bool_))
        vector = inner.vector(expr.expr)
        if inner.failed.any():
            before = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(inner.failed)])
            side: Literal["left", "right"] = "right" if self.semantics.left_open else "left"
            low = np.searchsorted(steps, refs - expr.range_ms, side=side)
            self.fail(before[np.searchsorted(steps, refs, side="right")] > before[low])
        columns = np.nonzero(vector.present)[1]
        edges = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(vector.present.sum(axis=1))])
        return Windows(
            labels=vector.labels,
            starts=frozen(edges[:-1], np.int64),
            ends=frozen(edges[1:], np.int64),
            times=frozen(steps[columns], np.int64),
            values=frozen(vector.values[vector.present], np.float64),
            refs=refs,
            range_ms=expr.range_ms,
            left_open=self.semantics.left_open,
        )

    def _own_subqueries(self, expr: Subquery, refs: Int64s, step_ms: int) -> Windows:
        """Evaluate an inner expression whose value at a step depends on the evaluation of the rule, too.

        The steps before an evaluation are taken by their rank: the last ones of all evaluations together,
        then those before, and so on, which keeps times ascending. Each evaluation then has a stretch of time
        of its own in the result, because only distances count in a window.
        """
        count = -(-expr.range_ms // step_ms) + 1
        _bounded(expr, count * len(refs))
        rows: dict[Labels, list[tuple[Int64s, Floats]]] = {}
        stretch = np.arange(len(refs), dtype=np.int64) * (2 * expr.range_ms + step_ms) - refs
        for rank in range(count):
            steps = (refs // step_ms - rank) * step_ms
            left = refs - expr.range_ms
            inside = steps > left if self.semantics.left_open else steps >= left
            inner = _Evaluation(self.samples, steps, self.rule_times, self.semantics, np.zeros(len(steps), np.bool_))
            vector = inner.vector(expr.expr)
            self.fail(inner.failed & inside)
            for labels, values, present in zip(vector.labels, vector.values, vector.present, strict=True):
                columns = np.flatnonzero(present & inside)
                moved = steps[columns] + stretch[columns]
                rows.setdefault(labels, []).append((moved, values[columns]))
        parts = []
        for found in rows.values():
            moved = np.concatenate([each[0] for each in found])
            order = np.argsort(moved, kind="stable")
            parts.append((moved[order], np.concatenate([each[1] for each in found])[order]))
        edges = np.cumsum([0, *(len(times) for times, _ in parts)], dtype=np.int64)
        return Windows(
            labels=tuple(rows),
            starts=frozen(edges[:-1], np.int64),
            ends=frozen(edges[1:], np.int64),
            times=frozen(np.concatenate([np.empty(0, np.int64), *(times for times, _ in parts)]), np.int64),
            values=frozen(np.concatenate([np.empty(0), *(values for _, values in parts)]), np.float64),
            refs=frozen(refs + stretch, np.int64),
            range_ms=expr.range_ms,
            left_open=self.semantics.left_open,
            shift_ms=frozen(stretch, np.int64),
        )

    def _binary(self, expr: Binary) -> Vector:
        left_type, right_type = value_type(expr.left), value_type(expr.right)
        if left_type == "scalar":
            scalar, operand = self.scalar(expr.left), self.vector(expr.right)
            return binary.with_scalar(self, expr, operand, scalar, scalar_left=True)
        left = self.vector(expr.left)
        if right_type == "scalar":
            return binary.with_scalar(self, expr, left, self.scalar(expr.right), scalar_left=False)
        right = self.vector(expr.right)
        if expr.op in ("and", "or", "unless"):
            return binary.between_sets(expr, left, right)
        return binary.between_vectors(self, expr, left, right)


def _bounded(expr: Subquery, steps: int) -> None:
    """Refuse a subquery whose steps would not fit into memory."""
    if steps > _MOST_STEPS:
        raise ExpressionError(
            f"a subquery takes {steps:,} steps over these evaluations, more than are evaluated at once here",
            expression=format_expr(expr),
            cure="Give the subquery a longer step or a shorter range, or take a shorter history",
        )


def _means_rule_time(expr: Expr) -> bool:
    """Tell whether ``@ start()`` or ``@ end()`` stands anywhere in an expression."""
    at = expr.at if isinstance(expr, VectorSelector | Subquery) else None
    return (at is not None and at.kind != "time") or any(_means_rule_time(child) for child in children(expr))


def _bare(expr: Expr) -> Expr:
    while isinstance(expr, Paren):
        expr = expr.expr
    return expr
