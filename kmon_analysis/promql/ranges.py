"""Functions of range vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kmon_analysis.labels import METRIC_NAME, Labels, Matcher
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.promql.sharing import by_rows
from kmon_analysis.promql.syntax import Expr, MatrixSelector, Paren
from kmon_analysis.promql.values import Bools, Context, Floats, Vector, Windows, distinct, frozen, without_name

__all__ = ["absent_labels", "absent_over_time", "over_time", "predict_linear", "quantile_over_time"]

# The arguments of a kernel between its windows and its outputs.
Settings = Callable[[Windows, Semantics], tuple[Any, ...]]
_AVERAGES = {"incremental": 1, "incremental-corrected": 2, "direct-sum": 3, "direct-parts": 4}


def average_mode(name: str) -> int:
    """Return the kernels' number for a way to average."""
    return _AVERAGES[name]


def range_seconds(range_ms: int) -> float:
    """Return a range in seconds, rounded as Go's ``Duration.Seconds`` rounds."""
    seconds, rest = divmod(range_ms, 1000)
    return float(seconds) + rest * 1e6 / 1e9


def _run(kernel: str, windows: Windows, settings: tuple[Any, ...]) -> tuple[Floats, Bools]:
    """Call a kernel by name, rows shared among the cores; the compiler is loaded by the first call."""
    from kmon_analysis.promql import kernels

    values = np.empty((len(windows.labels), len(windows.refs)))
    present = np.empty(values.shape, dtype=np.bool_)
    compiled = getattr(kernels, kernel)
    given = windows.times, windows.values, windows.refs, windows.range_ms, windows.left_open, *settings

    def share(rows: slice) -> None:
        compiled(windows.starts[rows], windows.ends[rows], *given, values[rows], present[rows])

    by_rows(windows.starts, windows.ends, len(windows.refs), share)
    return values, present


def over_time(
    kernel: str, settings: Settings, *, keep_name: bool = False
) -> Callable[[Context, Sequence[Expr]], Vector]:
    """Return the implementation of a function with one range vector argument."""

    def apply(context: Context, args: Sequence[Expr]) -> Vector:
        windows = context.windows(args[0])
        values, present = _run(kernel, windows, settings(windows, context.semantics))
        labels: Sequence[Labels] = windows.labels if keep_name else without_name(windows.labels)
        return distinct(context, labels, values, present)

    return apply


def quantile_over_time(context: Context, args: Sequence[Expr]) -> Vector:
    """Evaluate ``quantile_over_time(q, range)``."""
    windows = context.windows(args[1])
    settings = frozen(context.scalar(args[0]), np.float64), context.semantics.exact_ranks
    values, present = _run("quantiles", windows, settings)
    return distinct(context, without_name(windows.labels), values, present)


def predict_linear(context: Context, args: Sequence[Expr]) -> Vector:
    """Evaluate ``predict_linear(range, seconds)``; the line starts at the evaluation, whatever the offset."""
    windows = context.windows(args[0])
    ahead = frozen(context.scalar(args[1]), np.float64)
    origins = context.times if windows.shift_ms is None else context.times + windows.shift_ms
    settings = frozen(origins, np.int64), ahead, True, context.semantics.kahan_sum
    values, present = _run("regressions", windows, settings)
    return distinct(context, without_name(windows.labels), values, present)


def absent_over_time(context: Context, args: Sequence[Expr]) -> Vector:
    """Evaluate ``absent_over_time(range)``."""
    windows = context.windows(args[0])
    _, present = _run("counts", windows, (1,))
    absent = np.logical_not(np.any(present, axis=0))[None, :]
    return Vector((absent_labels(args[0], context.semantics),), np.ones(absent.shape), absent)


def absent_labels(expr: Expr, semantics: Semantics) -> Labels:
    """Return the labels that ``absent`` makes up from a selector.

    Notes
    -----
    Prometheus ``promql/functions.go``, ``createLabelsForAbsentFunction``; ``tsdb/querier.go``,
    ``PostingsForMatchers``, has sorted the matchers in place by then.
    """
    while isinstance(expr, Paren):
        expr = expr.expr
    selector = expr.selector if isinstance(expr, MatrixSelector) else expr
    matchers: Sequence[Matcher] = getattr(selector, "matchers", ())
    if semantics.matchers_sorted:
        needed = {matcher.name for matcher in matchers if not matcher.matches("")}
        matchers = sorted(
            matchers,
            key=lambda matcher: matcher.name not in needed or (matcher.op in ("!=", "!~") and matcher.matches("")),
        )
    found: dict[str, str] = {}
    seen: set[str] = set()
    for matcher in matchers:
        if matcher.op == "=" and matcher.name not in seen:
            found[matcher.name] = matcher.value
            seen.add(matcher.name)
        else:
            found.pop(matcher.name, None)
    return Labels((name, value) for name, value in found.items() if name != METRIC_NAME)
