"""What expressions evaluate to, over all evaluation times at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from kmon_analysis.labels import METRIC_NAME, Labels
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.promql.syntax import Expr

__all__ = [
    "Bools",
    "Context",
    "Floats",
    "Int64s",
    "Vector",
    "Windows",
    "distinct",
    "format_value",
    "frozen",
    "without_name",
]

Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Vector:
    """An instant vector at each time: distinct `labels` (S), `values` and `present` of shape ``(S, T)``."""

    labels: tuple[Labels, ...]
    values: Floats
    present: Bools


@dataclass(frozen=True, slots=True)
class Windows:
    """A range vector at each time.

    Attributes
    ----------
    labels : tuple of Labels
        Label sets, length S.
    starts, ends : int64 array, shape (S,)
        Series i owns ``times[starts[i]:ends[i]]`` and the same of ``values``; no stale markers.
    times, values : int64 and float64 array, shape (N,)
        Samples.
    refs : int64 array, shape (T,)
        Right end of the window at each evaluation, ascending.
    range_ms : int
        Length of the window.
    left_open : bool
        Whether a sample on the left edge is outside.
    shift_ms : int64 array, shape (T,), optional
        What was added to the times of each window, where windows share no samples.
    """

    labels: tuple[Labels, ...]
    starts: Int64s
    ends: Int64s
    times: Int64s
    values: Floats
    refs: Int64s
    range_ms: int
    left_open: bool
    shift_ms: Int64s | None = None


class Context(Protocol):
    """What an implementation of a function sees of the evaluation around it."""

    @property
    def times(self) -> Int64s:
        """Evaluation times, shape ``(T,)``."""

    @property
    def semantics(self) -> Semantics:
        """The release to agree with."""

    def vector(self, expr: Expr) -> Vector:
        """Evaluate an expression of type vector."""

    def scalar(self, expr: Expr) -> Floats:
        """Evaluate an expression of type scalar, shape ``(T,)``."""

    def windows(self, expr: Expr) -> Windows:
        """Evaluate an expression of type matrix."""

    def sample_times(self, expr: Expr) -> Vector | None:
        """Return the times (s) of the samples behind an instant selector, None for another expression."""

    def fail(self, where: Bools) -> None:
        """Mark evaluations that Prometheus would fail, shape ``(T,)``."""


def frozen(array: npt.NDArray[Any], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return a contiguous read-only view, so that kernels are compiled for one kind of input only."""
    view = np.ascontiguousarray(array, dtype=dtype).view()
    view.flags.writeable = False
    return view


def format_value(value: float) -> str:
    """Write a value as Prometheus shows samples: the shortest decimal that reads back, without an exponent.

    Notes
    -----
    Go ``strconv.FormatFloat(value, 'f', -1, 64)``.

    Examples
    --------
    >>> format_value(1e-5), format_value(1e21), format_value(-0.0), format_value(float("inf"))
    ('0.00001', '1000000000000000000000', '-0', '+Inf')
    """
    if np.isnan(value):
        return "NaN"
    if np.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return np.format_float_positional(value, trim="-")


def without_name(labels: Sequence[Labels]) -> list[Labels]:
    """Drop the metric name."""
    return [each.without(METRIC_NAME) for each in labels]


def distinct(context: Context, labels: Sequence[Labels], values: Floats, present: Bools) -> Vector:
    """Unite rows that have the same labels; fail the times at which two of them are there.

    Notes
    -----
    Prometheus ``promql/value.go``, ``ContainsSameLabelset``.
    """
    first: dict[Labels, int] = {}
    target = [first.setdefault(each, len(first)) for each in labels]
    if len(first) == len(labels):
        return Vector(tuple(labels), values, present)
    united = np.full((len(first), values.shape[1]), np.nan)
    there = np.zeros(united.shape, dtype=np.bool_)
    clash = np.zeros(values.shape[1], dtype=np.bool_)
    for row, to in enumerate(target):
        clash |= there[to] & present[row]
        np.copyto(united[to], values[row], where=present[row])
        there[to] |= present[row]
    context.fail(clash)
    return Vector(tuple(first), united, there)
