"""Functions of instant vectors and scalars."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kmon_analysis.labels import Labels
from kmon_analysis.promql.ranges import absent_labels
from kmon_analysis.promql.syntax import Expr
from kmon_analysis.promql.values import Context, Floats, Int64s, Vector, distinct, without_name

__all__ = [
    "absent",
    "angle",
    "calendar",
    "clamp",
    "elementwise",
    "go_max",
    "go_min",
    "round_to",
    "same",
    "scalar",
    "time",
    "timestamp",
    "vector",
]

Implementation = Callable[[Context, Sequence[Expr]], Vector]


def elementwise(function: Callable[..., Floats]) -> Implementation:
    """Return the implementation of a function of each value and further scalars."""

    def apply(context: Context, args: Sequence[Expr]) -> Vector:
        operand = context.vector(args[0])
        with np.errstate(all="ignore"):
            values = function(operand.values, *(context.scalar(arg) for arg in args[1:]))
        return distinct(context, without_name(operand.labels), values, operand.present)

    return apply


def same(context: Context, args: Sequence[Expr]) -> Vector:
    """Evaluate what only changes the order of the elements."""
    return context.vector(args[0])


def go_min(a: Floats, b: Floats) -> Floats:
    """Return the minimum as Go has it: -Inf before NaN, -0 below +0."""
    smallest = np.where((a == 0) & (b == 0), np.where(np.signbit(a), a, b), np.minimum(a, b))
    return np.where((a == -np.inf) | (b == -np.inf), -np.inf, smallest)


def go_max(a: Floats, b: Floats) -> Floats:
    """Return the maximum as Go has it: +Inf before NaN, +0 above -0."""
    return -go_min(-a, -b)


def round_to(values: Floats, nearest: Floats | float = 1.0) -> Floats:
    """Round halves up, to a multiple of `nearest`."""
    inverse = 1.0 / np.asarray(nearest, dtype=np.float64)
    rounded: Floats = np.floor(values * inverse + 0.5) / inverse
    return rounded


def clamp(context: Context, args: Sequence[Expr]) -> Vector:
    """Evaluate ``clamp(vector, min, max)``; nothing comes back where max is below min."""
    operand = context.vector(args[0])
    lowest, highest = context.scalar(args[1]), context.scalar(args[2])
    values = go_max(lowest, go_min(highest, operand.values))
    present = operand.present & ~(highest < lowest)
    return distinct(context, without_name(operand.labels), values, present)


def absent(context: Context, args: Sequence[Expr]) -> Vector:
    """Evaluate ``absent(vector)``."""
    nothing = np.logical_not(np.any(context.vector(args[0]).present, axis=0))[None, :]
    return Vector((absent_labels(args[0], context.semantics),), np.ones(nothing.shape), nothing)


def scalar(context: Context, args: Sequence[Expr]) -> Floats:
    """Evaluate ``scalar(vector)``: NaN unless there is exactly one element."""
    operand = context.vector(args[0])
    if not operand.labels:
        return np.full(len(context.times), np.nan)
    row = operand.present.argmax(axis=0)
    only: Floats = operand.values[row, np.arange(len(context.times))]
    return np.where(operand.present.sum(axis=0) == 1, only, np.nan)


def vector(context: Context, args: Sequence[Expr]) -> Vector:
    """Evaluate ``vector(scalar)``."""
    values = np.atleast_2d(context.scalar(args[0]))
    return Vector((Labels(),), values, np.ones(values.shape, dtype=np.bool_))


def time(context: Context, args: Sequence[Expr]) -> Floats:
    """Evaluate ``time()``."""
    return context.times / 1000.0


def timestamp(context: Context, args: Sequence[Expr]) -> Vector:
    """Evaluate ``timestamp(vector)``: a selector gives the times of its samples, all else that of evaluation."""
    times = context.sample_times(args[0])
    if times is None:
        operand = context.vector(args[0])
        now = np.broadcast_to(context.times / 1000.0, operand.values.shape)
        times = Vector(operand.labels, now, operand.present)
    return distinct(context, without_name(times.labels), times.values, times.present)


def angle(name: str, context: Context, args: Sequence[Expr]) -> Vector:
    """Evaluate ``deg(vector)`` or ``rad(vector)``."""
    operand = context.vector(args[0])
    up, down = (180.0, np.pi) if name == "deg" else (np.pi, 180.0)
    with np.errstate(all="ignore"):
        values = operand.values * (up / down) if context.semantics.degree_factor else operand.values * up / down
    return distinct(context, without_name(operand.labels), values, operand.present)


def calendar(field: Callable[[Int64s], Any]) -> Implementation:
    """Return the implementation of a function of the date, UTC; `field` takes Unix seconds."""

    def apply(context: Context, args: Sequence[Expr]) -> Vector:
        if not args:
            now = np.atleast_2d(context.times // 1000)
            return Vector((Labels(),), field(now).astype(np.float64), np.ones(now.shape, dtype=np.bool_))
        operand = context.vector(args[0])
        # Go on amd64 turns what does not fit into a moment of the year 292277026596, NaN included.
        fits = np.abs(operand.values) < 2.0**63
        seconds = np.where(fits, operand.values, 0.0).astype(np.int64)
        seconds[~fits] = np.iinfo(np.int64).max
        values = field(seconds).astype(np.float64)
        return distinct(context, without_name(operand.labels), values, operand.present)

    return apply


def _dates(seconds: Int64s, unit: str) -> Any:
    return seconds.astype("datetime64[s]").astype(f"datetime64[{unit}]")


def minute(seconds: Int64s) -> Any:
    """Minute of the hour."""
    return seconds // 60 % 60


def hour(seconds: Int64s) -> Any:
    """Hour of the day."""
    return seconds // 3600 % 24


def day_of_week(seconds: Int64s) -> Any:
    """Day of the week, Sunday 0; day 0 of Unix time was a Thursday."""
    return (seconds // 86400 + 4) % 7


def day_of_month(seconds: Int64s) -> Any:
    """Day of the month from 1."""
    return (_dates(seconds, "D") - _dates(seconds, "M").astype("datetime64[D]")).astype(np.int64) + 1


def day_of_year(seconds: Int64s) -> Any:
    """Day of the year from 1."""
    return (_dates(seconds, "D") - _dates(seconds, "Y").astype("datetime64[D]")).astype(np.int64) + 1


def month(seconds: Int64s) -> Any:
    """Month from 1."""
    return _dates(seconds, "M").astype(np.int64) % 12 + 1


def year(seconds: Int64s) -> Any:
    """Year."""
    return _dates(seconds, "Y").astype(np.int64) + 1970


def days_in_month(seconds: Int64s) -> Any:
    """Number of days of the month."""
    this = _dates(seconds, "M")
    return ((this + 1).astype("datetime64[D]") - this.astype("datetime64[D]")).astype(np.int64)
