"""From the tree back to PromQL text."""

from __future__ import annotations

import math
import re

from kmon_analysis.labels import METRIC_NAME, Matcher, quote
from kmon_analysis.promql.functions import AGGREGATIONS
from kmon_analysis.promql.parser import BINARY_PRECEDENCE, NOT_METRIC_NAMES
from kmon_analysis.promql.syntax import (
    Aggregate,
    At,
    Binary,
    Call,
    Expr,
    MatrixSelector,
    NumberLiteral,
    Paren,
    StringLiteral,
    Subquery,
    Unary,
    VectorMatching,
    VectorSelector,
)
from kmon_analysis.timing import format_duration

__all__ = ["format_expr", "format_number"]

_METRIC = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEYWORDS = NOT_METRIC_NAMES | AGGREGATIONS | {"by", "without", "offset", "start", "end", "inf", "nan"}
_KEYWORDS |= {"and", "or", "unless"}


def format_expr(expr: Expr) -> str:
    """Write an expression on one line.

    Parameters
    ----------
    expr : Expr
        The tree.

    Returns
    -------
    str
        Text that parses to an equal tree. Parentheses stand where `Paren` nodes are; a tree built by hand
        that lacks a needed one gets it, and then keeps its meaning.

    Notes
    -----
    Prometheus ``promql/parser/printer.go``.

    Examples
    --------
    >>> from kmon_analysis.promql.parser import parse
    >>> format_expr(parse('sum(rate(lag{topic=~"a.*"}[90s]))by(topic)>1e3'))
    'sum by (topic) (rate(lag{topic=~"a.*"}[1m30s])) > 1000'
    """
    match expr:
        case NumberLiteral():
            return format_number(expr.value)
        case StringLiteral():
            return quote(expr.value)
        case VectorSelector():
            return _selector(expr) + _modifiers(expr.offset_ms, expr.at, expr.edges)
        case MatrixSelector():
            selector = expr.selector
            brackets = f"[{format_duration(expr.range_ms)}]"
            return _selector(selector) + brackets + _modifiers(selector.offset_ms, selector.at, selector.edges)
        case Subquery():
            step = "" if expr.step_ms is None else format_duration(expr.step_ms)
            inner = _wrapped(expr.expr, isinstance(expr.expr, Binary | Unary))
            return f"{inner}[{format_duration(expr.range_ms)}:{step}]" + _modifiers(expr.offset_ms, expr.at)
        case Call():
            return f"{expr.function}({', '.join(format_expr(arg) for arg in expr.args)})"
        case Aggregate():
            return _aggregate(expr)
        case Binary():
            return _binary(expr)
        case Unary():
            operand = expr.expr
            needed = isinstance(operand, NumberLiteral) or (isinstance(operand, Binary) and operand.op != "^")
            return "-" + _wrapped(operand, needed)
        case Paren():
            return f"({format_expr(expr.expr)})"


def format_number(value: float) -> str:
    """Write a number as PromQL reads it back to the bit."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    return repr(value).removesuffix(".0")


def _wrapped(expr: Expr, needed: bool) -> str:
    return f"({format_expr(expr)})" if needed else format_expr(expr)


def _names(names: tuple[str, ...]) -> str:
    return "(" + ", ".join(name if _LABEL.fullmatch(name) else quote(name) for name in names) + ")"


def _matcher(matcher: Matcher) -> str:
    name = matcher.name if _LABEL.fullmatch(matcher.name) else quote(matcher.name)
    return f"{name}{matcher.op}{quote(matcher.value)}"


def _selector(selector: VectorSelector) -> str:
    first, *rest = selector.matchers
    bare = first.name == METRIC_NAME and first.op == "=" and _METRIC.fullmatch(first.value) is not None
    if not bare or first.value.lower() in _KEYWORDS or any(matcher.name == METRIC_NAME for matcher in rest):
        return "{" + ", ".join(_matcher(matcher) for matcher in selector.matchers) + "}"
    inner = ", ".join(_matcher(matcher) for matcher in rest)
    return f"{first.value}{{{inner}}}" if inner else first.value


def _modifiers(offset_ms: int, at: At | None, edges: str = "") -> str:
    place = f" {edges}" if edges else ""
    if at is not None and at.kind != "time":
        place += f" @ {at.kind}()"
    elif at is not None:
        seconds, rest = divmod(abs(at.time_ms), 1000)
        place += f" @ {'-' if at.time_ms < 0 else ''}{seconds}.{rest:03d}"
    return place + (f" offset {format_duration(offset_ms)}" if offset_ms else "")


def _aggregate(expr: Aggregate) -> str:
    clause = ""
    if expr.grouping or not expr.by:
        clause = f" {'by' if expr.by else 'without'} {_names(expr.grouping)} "
    parameter = "" if expr.parameter is None else f"{format_expr(expr.parameter)}, "
    return f"{expr.op}{clause}({parameter}{format_expr(expr.expr)})"


def _binary(expr: Binary) -> str:
    precedence = BINARY_PRECEDENCE[expr.op]
    right_associative = expr.op == "^"
    left = _wrapped(expr.left, _binds(expr.left) < precedence + right_associative)
    # A sign on the right side ends the operand by itself.
    right_binds = 9 if isinstance(expr.right, Unary | NumberLiteral) else _binds(expr.right)
    right = _wrapped(expr.right, right_binds < precedence + (not right_associative))
    modifiers = (" bool" if expr.return_bool else "") + _matching(expr.matching)
    return f"{left} {expr.op}{modifiers} {right}"


def _binds(expr: Expr) -> int:
    """Return how tightly the outermost operator binds; operands without one bind tightest."""
    if isinstance(expr, Binary):
        return BINARY_PRECEDENCE[expr.op]
    negative = isinstance(expr, NumberLiteral) and math.copysign(1.0, expr.value) < 0 and not math.isnan(expr.value)
    return BINARY_PRECEDENCE["*"] if isinstance(expr, Unary) or negative else 9


def _matching(matching: VectorMatching | None) -> str:
    if matching is None:
        return ""
    grouped = matching.cardinality in ("many-to-one", "one-to-many")
    if not (matching.on or matching.labels or grouped):
        return ""
    text = f" {'on' if matching.on else 'ignoring'} {_names(matching.labels)}"
    if grouped:
        side = "group_left" if matching.cardinality == "many-to-one" else "group_right"
        text += f" {side} {_names(matching.include)}"
    return text
