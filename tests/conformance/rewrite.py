"""Read expressions once, and change them: simpler ones, and ones whose selectors ask for one label more."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import lru_cache

from kmon_analysis.labels import Matcher
from kmon_analysis.promql.functions import value_type
from kmon_analysis.promql.parser import parse
from kmon_analysis.promql.syntax import (
    Aggregate,
    Binary,
    Call,
    Expr,
    MatrixSelector,
    Paren,
    Subquery,
    Unary,
    VectorSelector,
    children,
)

__all__ = ["parts", "read", "rebuilt", "simpler", "with_label"]

# Replacing what these put together could make the answer depend on the order in storage.
DELICATE = {"sum", "avg", "stddev", "stdvar", "topk", "bottomk", "quantile", "min", "max", "count_values"}


# Generated texts are read by several readers, for several releases.
read = lru_cache(maxsize=16384)(parse)


def parts(expr: Expr) -> Iterator[Expr]:
    """Yield an expression and everything inside it."""
    yield expr
    for child in children(expr):
        yield from parts(child)


def rebuilt(expr: Expr, change: Callable[[Expr], Expr]) -> Expr:
    """Return an expression whose direct children are changed."""
    match expr:
        case MatrixSelector():
            return dataclasses.replace(expr, selector=change(expr.selector))
        case Subquery() | Unary() | Paren():
            return dataclasses.replace(expr, expr=change(expr.expr))
        case Call():
            return dataclasses.replace(expr, args=tuple(change(arg) for arg in expr.args))
        case Aggregate():
            parameter = None if expr.parameter is None else change(expr.parameter)
            return dataclasses.replace(expr, parameter=parameter, expr=change(expr.expr))
        case Binary():
            return dataclasses.replace(expr, left=change(expr.left), right=change(expr.right))
        case _:
            return expr


def with_label(expr: Expr, name: str, value: str) -> Expr:
    """Let every selector ask for one label more."""
    if isinstance(expr, VectorSelector):
        return dataclasses.replace(expr, matchers=(*expr.matchers, Matcher(name, "=", value)))
    return rebuilt(expr, lambda child: with_label(child, name, value))


def simpler(expr: Expr) -> Iterator[Expr]:
    """Yield expressions that are a little smaller, of the same type, the smallest first."""
    kind = value_type(expr)
    for child in children(expr):
        inner = child.selector if isinstance(child, MatrixSelector) else child
        inner = inner.expr if isinstance(inner, Subquery) else inner
        if value_type(inner) == kind and not isinstance(expr, MatrixSelector):
            yield inner
    if isinstance(expr, VectorSelector | Subquery):
        if expr.offset_ms:
            yield dataclasses.replace(expr, offset_ms=0)
        if expr.at is not None:
            yield dataclasses.replace(expr, at=None)
    if isinstance(expr, VectorSelector):
        for matcher in expr.matchers:
            if matcher.name != "__name__":
                yield dataclasses.replace(expr, matchers=tuple(one for one in expr.matchers if one != matcher))
    for place, child in enumerate(children(expr)):
        if isinstance(expr, Aggregate) and expr.op in DELICATE and child is expr.expr:
            continue
        for variant in simpler(child):
            yield _with_child(expr, place, variant)


def _with_child(expr: Expr, place: int, variant: Expr) -> Expr:
    old = children(expr)[place]
    return rebuilt(expr, lambda child: variant if child is old else child)
