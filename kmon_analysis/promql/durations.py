"""Arithmetic between durations, as in ``[2 * 30s]`` (by default from Prometheus 3.14 on), folded when read."""

from __future__ import annotations

import math
from typing import Protocol

from kmon_analysis.errors import ExpressionError
from kmon_analysis.promql.lexer import Token, number

__all__ = ["CALLS", "read_operand", "read_seconds"]

_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, "%": 2, "^": 3}
CALLS = frozenset(("step", "range", "min_of", "max_of"))
_MAX_DEPTH = 100
_LONGEST_S = 2**63 / 1e9


class Reader(Protocol):
    """What is needed of the parser."""

    text: str
    depth: int

    def now(self) -> Token:
        """Return the present token."""

    def take(self) -> Token:
        """Return the present token and go on."""

    def accept(self, symbol: str) -> bool:
        """Go on if the present token is this symbol."""

    def expect(self, symbol: str, context: str) -> None:
        """Go on if the present token is this symbol, else fail."""

    def fail(self, problem: str, start: int | None = None) -> ExpressionError:
        """Return an error at a place, or at the present token."""

    def unexpected(self, context: str) -> ExpressionError:
        """Return an error about the present token."""


def read_seconds(reader: Reader, context: str) -> float:
    """Read durations, numbers of seconds and operators between them, and return the seconds.

    Raises
    ------
    ExpressionError
        If it is no arithmetic, divides by zero or is out of range.

    Notes
    -----
    Prometheus ``promql/durations.go``, ``evaluateDurationExpr``.
    """
    return _checked(reader, reader.now().start, _sum(reader, context, 1))


def _checked(reader: Reader, start: int, seconds: float) -> float:
    if not math.isfinite(seconds) or abs(seconds) > _LONGEST_S:
        raise reader.fail("the duration is out of range", start)
    return seconds


def _sum(reader: Reader, context: str, lowest: int) -> float:
    reader.depth += 1
    if reader.depth > _MAX_DEPTH:
        raise reader.fail(f"the duration is nested more than {_MAX_DEPTH} levels deep")
    left = read_operand(reader, context)
    while True:
        token = reader.now()
        precedence = _PRECEDENCE.get(token.text, 0) if token.kind == "symbol" else 0
        if precedence < lowest:
            reader.depth -= 1
            return left
        reader.take()
        right = _sum(reader, context, precedence if token.text == "^" else precedence + 1)
        if token.text in "/%" and right == 0:
            raise reader.fail("a duration is divided by zero", token.start)
        left = _applied(token.text, left, right)


def read_operand(reader: Reader, context: str) -> float:
    """Read one duration with its sign, parentheses or call, and return the seconds."""
    token = reader.now()
    if token.kind == "symbol" and token.text in "+-":
        reader.take()
        inner = _sum(reader, context, _PRECEDENCE["*"])
        return -inner if token.text == "-" else inner
    if reader.accept("("):
        inner = _sum(reader, context, 1)
        reader.expect(")", context)
        return inner
    if token.kind in ("number", "duration"):
        return number(reader.take(), reader.text)
    if token.kind == "identifier" and token.word in CALLS:
        return _called(reader, context)
    raise reader.unexpected(f"{context}, expected a duration")


def _called(reader: Reader, context: str) -> float:
    """Read a call; the queries of a rule are instants, without step and range."""
    name = reader.take().word
    reader.expect("(", context)
    if name in ("step", "range"):
        reader.expect(")", context)
        return 0.0
    first = _sum(reader, context, 1)
    reader.expect(",", context)
    second = _sum(reader, context, 1)
    reader.expect(")", context)
    return min(first, second) if name == "min_of" else max(first, second)


def _applied(op: str, left: float, right: float) -> float:
    try:
        match op:
            case "+":
                return left + right
            case "-":
                return left - right
            case "*":
                return left * right
            case "/":
                return left / right
            case "%":
                return math.fmod(left, right)
            case _:
                return math.pow(left, right)
    except (OverflowError, ValueError):
        return math.nan
