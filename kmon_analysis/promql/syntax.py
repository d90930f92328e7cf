"""The frozen syntax tree of PromQL expressions.

Equality and hashing ignore the spans, so that two trees are equal exactly when they mean the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from kmon_analysis.labels import Matcher

__all__ = [
    "Aggregate",
    "At",
    "Binary",
    "Call",
    "Expr",
    "MatrixSelector",
    "NumberLiteral",
    "Paren",
    "Span",
    "StringLiteral",
    "Subquery",
    "Unary",
    "VectorMatching",
    "VectorSelector",
    "children",
]

BinaryOp = Literal[
    "+", "-", "*", "/", "%", "^", "atan2", "==", "!=", ">", "<", ">=", "<=", "</", ">/", "and", "or", "unless"
]  # fmt: skip
Cardinality = Literal["one-to-one", "many-to-one", "one-to-many", "many-to-many"]


@dataclass(frozen=True, slots=True)
class Span:
    """Half-open range of character offsets in the source of the expression."""

    start: int
    end: int


NOWHERE = Span(0, 0)


def _span() -> Span:
    return field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class NumberLiteral:
    """A number; `span` covers its digits and sign when it was folded into the literal."""

    value: float
    span: Span = _span()

    # Two trees with NaN in the same place are the same expression, which IEEE equality would deny.
    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NumberLiteral):
            return NotImplemented
        return self.value == other.value or (math.isnan(self.value) and math.isnan(other.value))

    def __hash__(self) -> int:
        return hash(None if math.isnan(self.value) else self.value)


@dataclass(frozen=True, slots=True)
class StringLiteral:
    """A string, unquoted."""

    value: str
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class At:
    """An ``@`` modifier: a fixed instant, or ``start()`` / ``end()``."""

    kind: Literal["time", "start", "end"]
    time_ms: int = 0


@dataclass(frozen=True, slots=True)
class VectorSelector:
    """An instant vector selector; the metric name is a ``__name__`` matcher, first when written bare.

    `edges` is ``anchored`` or ``smoothed`` where that is written, else empty.
    """

    matchers: tuple[Matcher, ...]
    offset_ms: int = 0
    at: At | None = None
    edges: str = ""
    span: Span = _span()

    @property
    def name(self) -> str | None:
        """The metric name where it is fixed by an equality matcher."""
        for matcher in self.matchers:
            if matcher.name == "__name__" and matcher.op == "=":
                return matcher.value
        return None


@dataclass(frozen=True, slots=True)
class MatrixSelector:
    """A range vector selector; `range_span` covers the duration between the brackets."""

    selector: VectorSelector
    range_ms: int
    span: Span = _span()
    range_span: Span = _span()


@dataclass(frozen=True, slots=True)
class Subquery:
    """``expr[range:step]``; `step_ms` is None when not written."""

    expr: Expr
    range_ms: int
    step_ms: int | None
    offset_ms: int = 0
    at: At | None = None
    span: Span = _span()
    range_span: Span = _span()


@dataclass(frozen=True, slots=True)
class Call:
    """A function call."""

    function: str
    args: tuple[Expr, ...]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Aggregate:
    """An aggregation; `by` False means ``without``; no clause at all is ``by ()``."""

    op: str
    expr: Expr
    parameter: Expr | None
    grouping: tuple[str, ...]
    by: bool
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class VectorMatching:
    """How the sides of a binary operator are paired; `on` False means ``ignoring``."""

    cardinality: Cardinality
    on: bool = False
    labels: tuple[str, ...] = ()
    include: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Binary:
    """A binary operation; `matching` is None unless both sides are vectors; `span` is the whole."""

    op: BinaryOp
    left: Expr
    right: Expr
    matching: VectorMatching | None = None
    return_bool: bool = False
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Unary:
    """A negation (``+x`` is x)."""

    expr: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Paren:
    """A parenthesised expression."""

    expr: Expr
    span: Span = _span()


Expr = (
    NumberLiteral
    | StringLiteral
    | VectorSelector
    | MatrixSelector
    | Subquery
    | Call
    | Aggregate
    | Binary
    | Unary
    | Paren
)


def children(expr: Expr) -> tuple[Expr, ...]:
    """Return the expressions directly inside, in the order of the text where it does not vary."""
    match expr:
        case MatrixSelector():
            return (expr.selector,)
        case Subquery() | Unary() | Paren():
            return (expr.expr,)
        case Call():
            return expr.args
        case Aggregate():
            return (expr.expr,) if expr.parameter is None else (expr.parameter, expr.expr)
        case Binary():
            return expr.left, expr.right
        case _:
            return ()
