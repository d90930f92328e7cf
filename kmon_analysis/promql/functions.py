"""The types of PromQL expressions, functions and aggregations."""

from __future__ import annotations

from typing import Literal

from kmon_analysis.promql.syntax import (
    Binary,
    Call,
    Expr,
    MatrixSelector,
    NumberLiteral,
    Paren,
    StringLiteral,
    Subquery,
    Unary,
)

__all__ = ["AGGREGATIONS", "PARAMETRIC_AGGREGATIONS", "ValueType", "value_type"]

ValueType = Literal["scalar", "vector", "matrix", "string"]

PARAMETRIC_AGGREGATIONS = frozenset(("topk", "bottomk", "quantile", "count_values", "limitk", "limit_ratio"))
AGGREGATIONS = PARAMETRIC_AGGREGATIONS | {"sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"}

_SCALAR_FUNCTIONS = frozenset(("end", "pi", "range", "scalar", "start", "step", "time"))


def value_type(expr: Expr) -> ValueType:
    """Return the type of an expression's value."""
    match expr:
        case NumberLiteral():
            return "scalar"
        case StringLiteral():
            return "string"
        case MatrixSelector() | Subquery():
            return "matrix"
        case Call():
            return "scalar" if expr.function in _SCALAR_FUNCTIONS else "vector"
        case Binary():
            return "scalar" if value_type(expr.left) == value_type(expr.right) == "scalar" else "vector"
        case Paren() | Unary():
            return value_type(expr.expr)
        case _:
            return "vector"
