"""From PromQL text to the frozen tree, with places.

The grammar is read here, because promql-parser keeps no positions; promql-parser then judges the same
text, so that an expression is only accepted when an independent reading accepts it, too (syntax, argument
types, counts of arguments, cardinalities).
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator
from typing import cast

import promql_parser

from kmon_analysis.errors import ExpressionError, SettingError
from kmon_analysis.labels import METRIC_NAME, Matcher, MatchOp
from kmon_analysis.promql.durations import CALLS, read_operand, read_seconds
from kmon_analysis.promql.functions import AGGREGATIONS, PARAMETRIC_AGGREGATIONS, value_type
from kmon_analysis.promql.lexer import Token, duration_ms, number, tokenize, unquote
from kmon_analysis.promql.syntax import (
    Aggregate,
    At,
    Binary,
    BinaryOp,
    Call,
    Cardinality,
    Expr,
    MatrixSelector,
    NumberLiteral,
    Paren,
    Span,
    StringLiteral,
    Subquery,
    Unary,
    VectorMatching,
    VectorSelector,
    children,
)
from kmon_analysis.timing import format_duration

__all__ = ["BINARY_PRECEDENCE", "COMPARISONS", "NOT_METRIC_NAMES", "SET_OPERATORS", "parse"]

COMPARISONS = frozenset(("==", "!=", ">", "<", ">=", "<="))
SET_OPERATORS = frozenset(("and", "or", "unless"))
BINARY_PRECEDENCE = {
    "or": 1,
    "and": 2,
    "unless": 2,
    **dict.fromkeys((*COMPARISONS, "</", ">/"), 3),
    "+": 4,
    "-": 4,
    **dict.fromkeys(("*", "/", "%", "atan2"), 5),
    "^": 6,
}
NOT_METRIC_NAMES = frozenset(("bool", "on", "ignoring", "group_left", "group_right", "atan2"))
# What promql-parser only knows by another name.
_RENAMED = {"holt_winters": "double_exponential_smoothing"}
_MAX_DEPTH = 100
_MAX_CHAIN = 300
# Levels of the tree: what walks it later needs three frames of Python for an operator, seven for a call.
_MAX_LEVELS = 200
_OFFSET_OWNER = "must be preceded by an instant vector selector, a range vector selector or a subquery"


def parse(text: str) -> Expr:
    """Read a PromQL expression.

    Parameters
    ----------
    text : str
        The expression; comments and line breaks are allowed.

    Returns
    -------
    Expr
        The tree; spans are character offsets into `text`.

    Raises
    ------
    ExpressionError
        If Prometheus would refuse the text, with the place where it is known.

    Notes
    -----
    Prometheus ``promql/parser/generated_parser.y``.

    Examples
    --------
    >>> parse("lag > 1000")  # doctest: +ELLIPSIS
    Binary(op='>', left=VectorSelector(...), right=NumberLiteral(value=1000.0), ...)
    """
    reader = _Reader(text)
    expr = reader.whole()
    _judge(expr, text, reader.replacements)
    return expr


def _judge(expr: Expr, text: str, replacements: list[tuple[int, int, str]]) -> None:
    """Let promql-parser check the text; on refusal name the innermost expression that it refuses."""
    problem = _refusal(text, replacements, Span(0, len(text)))
    if problem is None:
        return
    for part in _innermost_first(expr):
        inner = _refusal(text, replacements, part.span)
        if inner is not None:
            raise ExpressionError(inner, expression=text, start=part.span.start)
    raise ExpressionError(problem, expression=text)


def _innermost_first(expr: Expr) -> Iterator[Expr]:
    for child in children(expr):
        yield from _innermost_first(child)
    yield expr


def _refusal(text: str, replacements: list[tuple[int, int, str]], span: Span) -> str | None:
    """Return why promql-parser refuses this part of the text, or None."""
    pieces, position = [], span.start
    for start, end, replacement in replacements:
        if span.start <= start and end <= span.end:
            pieces += [text[position:start], replacement]
            position = end
    pieces.append(text[position : span.end])
    try:
        promql_parser.parse("".join(pieces))
    except ValueError as error:
        return str(error)
    except BaseException as error:
        # pyo3's PanicException is not an Exception; anything else (an interrupt) is not ours to keep.
        if type(error).__name__ != "PanicException":
            raise
        return "invalid promql query"
    return None


class _Reader:
    """A recursive descent over the tokens of one expression."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokenize(text)
        self.index = 0
        self.depth = 0
        # What promql-parser must not see: RE2 patterns that Rust's regex reads otherwise, `1_000`.
        self.replacements: list[tuple[int, int, str]] = []

    def now(self) -> Token:
        return self.tokens[self.index]

    def fail(self, problem: str, start: int | None = None) -> ExpressionError:
        return ExpressionError(problem, expression=self.text, start=self.now().start if start is None else start)

    def unexpected(self, context: str) -> ExpressionError:
        if self.now().kind == "end":
            return self.fail(f"unexpected end of the expression {context}")
        return self.fail(f"unexpected {self.now().text!r} {context}")

    def take(self) -> Token:
        token = self.now()
        self.index += 1
        return token

    def accept(self, symbol: str) -> bool:
        if self.now().kind == "symbol" and self.now().text == symbol:
            self.index += 1
            return True
        return False

    def expect(self, symbol: str, context: str) -> None:
        if not self.accept(symbol):
            raise self.unexpected(f"{context}, expected {symbol!r}")

    def accept_word(self, *words: str) -> str | None:
        if self.now().kind == "identifier" and self.now().word in words:
            return self.take().word
        return None

    def span_from(self, start: int) -> Span:
        return Span(start, self.tokens[self.index - 1].end)

    def whole(self) -> Expr:
        if self.now().kind == "end":
            raise ExpressionError("no expression found", expression=self.text, cure="Write a PromQL expression")
        expr = self.binary(0)
        if self.now().kind != "end":
            raise self.unexpected("after the expression")
        self.check_levels(expr)
        return expr

    def check_levels(self, expr: Expr) -> None:
        """Refuse a tree that is too high, where chains of operators and of brackets count, too."""
        pending = [(expr, 0)]
        while pending:
            part, above = pending.pop()
            levels = above + (2 if isinstance(part, Call | Aggregate) else 1)
            if levels > _MAX_LEVELS:
                problem = f"the expression is nested more than {_MAX_LEVELS} levels deep (a call counts as two)"
                raise self.fail(f"{problem}, or has as many operators in a row", part.span.start)
            pending += [(each, levels) for each in children(part)]

    def binary(self, lowest: int) -> Expr:
        """Read operands joined by operators that bind at least as tightly as `lowest`."""
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self.fail(f"the expression is nested more than {_MAX_DEPTH} levels deep")
        start, left = self.now().start, self.unary()
        for _ in range(_MAX_CHAIN):
            op = self.now().word if self.now().kind in ("symbol", "identifier") else ""
            precedence = BINARY_PRECEDENCE.get(op, -1)
            if precedence < max(lowest, 1):
                break
            self.take()
            left = self.operation(cast("BinaryOp", op), left, start, precedence)
        else:
            raise self.fail(f"more than {_MAX_CHAIN} operators in a row", start)
        self.depth -= 1
        return left

    def operation(self, op: BinaryOp, left: Expr, start: int, precedence: int) -> Expr:
        """Read the modifiers and the right side of a binary operator."""
        modifiers_start = self.now().start
        if op in ("<", ">") and self.now().text == "/" and self.now().start == self.tokens[self.index - 1].end:
            slash = self.take()
            self.replacements.append((slash.start, slash.end, ""))
            op = "</" if op == "<" else ">/"
            if self.now().word == "bool":
                raise self.fail(f"'bool' is only allowed behind comparisons, not {op!r}")
        return_bool = self.accept_word("bool") is not None
        matching = self.matching(op)
        word = self.now().word
        if word in ("fill", "fill_left", "fill_right") and self.tokens[self.index + 1].text == "(":
            flag = "--enable-feature=promql-binop-fill-modifiers"
            raise self.fail(f"the modifier {word!r} is not evaluated here: it is experimental (behind {flag})")
        right = self.binary(precedence if op == "^" else precedence + 1)
        if "vector" == value_type(left) == value_type(right):
            default: Cardinality = "many-to-many" if op in SET_OPERATORS else "one-to-one"
            matching = matching or VectorMatching(default)
        elif matching is not None:
            raise self.fail("vector matching is only allowed between instant vectors", modifiers_start)
        return Binary(op, left, right, matching, return_bool, self.span_from(start))

    def matching(self, op: str) -> VectorMatching | None:
        """Read ``on (…) group_left (…)``."""
        kind = self.accept_word("on", "ignoring")
        if kind is None:
            return None
        labels = self.label_list(kind)
        group = self.accept_word("group_left", "group_right")
        cardinality: Cardinality = "many-to-many" if op in SET_OPERATORS else "one-to-one"
        include: tuple[str, ...] = ()
        if group is not None:
            cardinality = "many-to-one" if group == "group_left" else "one-to-many"
            if self.now().text == "(":
                include = self.label_list(group)
        return VectorMatching(cardinality, kind == "on", labels, include)

    def label_list(self, context: str) -> tuple[str, ...]:
        """Read ``(a, b)``; a comma at the end is allowed."""
        self.expect("(", f"after {context!r}")
        names: list[str] = []
        while not self.accept(")"):
            if self.now().kind == "string":
                names.append(unquote(self.now(), self.text))
            elif self.now().kind == "identifier" and ":" not in self.now().text:
                names.append(self.now().text)
            else:
                raise self.unexpected(f"in the labels of {context!r}, expected a label name")
            self.take()
            if self.now().text != ")":
                self.expect(",", f"in the labels of {context!r}")
        return tuple(names)

    def unary(self) -> Expr:
        """Read signs and their operand: a sign binds like ``*``, so ``-2 ^ 2`` is ``-(2 ^ 2)``."""
        start = self.now().start
        if self.now().kind == "symbol" and self.now().text in "+-":
            sign = self.take().text
            operand = self.binary(BINARY_PRECEDENCE["^"])
            span = self.span_from(start)
            if isinstance(operand, NumberLiteral):
                value = operand.value if sign == "+" or math.isnan(operand.value) else -operand.value
                return NumberLiteral(value, span)
            return operand if sign == "+" else Unary(operand, span)
        return self.postfix(self.primary())

    def primary(self) -> Expr:
        """Read an operand without what may follow it."""
        token = self.now()
        if token.kind in ("number", "duration"):
            value = number(token, self.text)
            if "_" in token.text:
                self.replacements.append((token.start, token.end, repr(value)))
            self.take()
            return NumberLiteral(value, Span(token.start, token.end))
        if token.kind == "string":
            self.take()
            return StringLiteral(unquote(token, self.text), Span(token.start, token.end))
        if self.accept("("):
            expr = self.binary(0)
            self.expect(")", "inside parentheses")
            return Paren(expr, self.span_from(token.start))
        if token.kind == "symbol" and token.text == "{":
            return self.selector(())
        if token.kind == "identifier":
            return self.named()
        raise self.unexpected("where an operand should be")

    def named(self) -> Expr:
        """Read what starts with a name: an aggregation, a call or a selector."""
        after = self.tokens[self.index + 1]
        word = self.now().word
        if word in AGGREGATIONS and (after.text == "(" or after.word in ("by", "without")):
            return self.aggregate()
        if after.text == "(" and after.kind == "symbol":
            start, name = self.now().start, self.take().text
            if name in _RENAMED:
                self.replacements.append((start, start + len(name), _RENAMED[name]))
            return Call(name, self.arguments(f"in the call of {name!r}"), self.span_from(start))
        if word in NOT_METRIC_NAMES:
            raise self.unexpected("where an operand should be")
        return self.selector((Matcher(METRIC_NAME, "=", self.now().text),))

    def arguments(self, context: str) -> tuple[Expr, ...]:
        """Read ``(a, b)``; no comma at the end."""
        self.expect("(", context)
        args: list[Expr] = []
        if not self.accept(")"):
            args.append(self.binary(0))
            while self.accept(","):
                args.append(self.binary(0))
            self.expect(")", context)
        return tuple(args)

    def aggregate(self) -> Expr:
        """Read an aggregation; its clause may stand before or after the arguments."""
        start, op = self.now().start, self.take().word
        clause = self.accept_word("by", "without")
        grouping = self.label_list(clause) if clause else ()
        args = self.arguments(f"in the aggregation {op!r}")
        if clause is None:
            clause = self.accept_word("by", "without")
            grouping = self.label_list(clause) if clause else ()
        wanted = 2 if op in PARAMETRIC_AGGREGATIONS else 1
        if len(args) != wanted:
            raise self.fail(f"aggregation {op!r} takes {wanted} argument(s), got {len(args)}", start)
        parameter = args[0] if wanted == 2 else None
        return Aggregate(op, args[-1], parameter, grouping, clause != "without", self.span_from(start))

    def selector(self, name: tuple[Matcher, ...]) -> VectorSelector:
        """Read a selector; `name` is the matcher of a metric name that is the present token."""
        start = self.now().start
        self.index += len(name)
        matchers: list[Matcher] = list(name)
        if self.accept("{"):
            while not self.accept("}"):
                self.matcher(matchers)
                if self.now().text != "}":
                    self.expect(",", "in the label matchers")
        return VectorSelector(tuple(matchers), span=self.span_from(start))

    def matcher(self, matchers: list[Matcher]) -> None:
        """Read one ``name="value"``, or a quoted metric name, which goes first."""
        token = self.take()
        quoted = token.kind == "string"
        name = unquote(token, self.text) if quoted else token.text
        if quoted and self.now().text in (",", "}"):
            matchers.insert(0, Matcher(METRIC_NAME, "=", name))
            return
        if not quoted and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            self.index -= 1
            raise self.unexpected("in the label matchers, expected a label name")
        if self.now().kind != "symbol" or self.now().text not in ("=", "!=", "=~", "!~"):
            raise self.unexpected("in the label matchers, expected one of = != =~ !~")
        op = cast("MatchOp", self.take().text)
        if self.now().kind != "string":
            raise self.unexpected("in the label matchers, expected a string")
        value_token = self.take()
        matcher = Matcher(name, op, unquote(value_token, self.text))
        if op in ("=~", "!~"):
            try:
                matches_nothing = Matcher(name, "=~", matcher.value).matches("")
            except SettingError as error:
                raise ExpressionError(
                    error.problem, expression=self.text, start=value_token.start, cure=error.cure
                ) from None
            stand_in = '".*"' if matches_nothing else '".+"'
            self.replacements.append((value_token.start, value_token.end, stand_in))
        matchers.append(matcher)

    def postfix(self, expr: Expr) -> Expr:
        """Read the brackets, offsets and ``@`` that follow an operand."""
        start = self.tokens[self.index - 1].start if isinstance(expr, NumberLiteral) else expr.span.start
        offset_seen = at_seen = False
        while True:
            place = self.now().start
            if self.accept("["):
                expr = self.brackets(expr, start, place, offset_seen or at_seen)
                offset_seen = at_seen = False
            elif self.now().kind == "identifier" and self.now().word == "offset":
                self.take()
                expr = self.owner(expr, "the offset modifier", place, offset_seen)
                expr = self.modified(expr, start, offset_ms=self.signed_duration())
                offset_seen = True
            elif not isinstance(expr, Subquery) and self.now().word in ("anchored", "smoothed"):
                word = self.take()
                self.replacements.append((word.start, word.end, ""))
                expr = self.owner(expr, f"the {word.word} modifier", place, False)
                expr = self.modified(expr, start, edges=word.word)
            elif self.accept("@"):
                expr = self.owner(expr, "the @ modifier", place, at_seen)
                expr = self.modified(expr, start, at=self.instant())
                at_seen = True
            else:
                return expr

    def owner(self, expr: Expr, modifier: str, place: int, seen: bool) -> VectorSelector | MatrixSelector | Subquery:
        """Check that a modifier stands behind something that can have it, once."""
        if not isinstance(expr, VectorSelector | MatrixSelector | Subquery):
            raise self.fail(f"{modifier} {_OFFSET_OWNER}", place)
        if seen:
            raise self.fail(f"{modifier} may not be set more than once", place)
        return expr

    def modified(
        self,
        expr: VectorSelector | MatrixSelector | Subquery,
        start: int,
        *,
        offset_ms: int | None = None,
        at: At | None = None,
        edges: str = "",
    ) -> Expr:
        """Return the operand with an offset, ``@`` or another way to treat the edges of its range."""
        span = self.span_from(start)
        inner = expr.selector if isinstance(expr, MatrixSelector) else expr
        offset_ms = inner.offset_ms if offset_ms is None else offset_ms
        at = inner.at if at is None else at
        if isinstance(expr, MatrixSelector):
            edges = edges or expr.selector.edges
            selector = dataclasses.replace(expr.selector, offset_ms=offset_ms, at=at, edges=edges)
            return dataclasses.replace(expr, selector=selector, span=span)
        if isinstance(expr, VectorSelector):
            expr = dataclasses.replace(expr, edges=edges or expr.edges)
        return dataclasses.replace(expr, offset_ms=offset_ms, at=at, span=span)

    def brackets(self, expr: Expr, start: int, place: int, modified: bool) -> Expr:
        """Read ``5m]`` or ``5m:1m]``."""
        token = self.now()
        range_ms = self.duration("in the brackets")
        range_span = self.span_from(token.start)
        if range_ms <= 0:
            raise self.fail("a range must be longer than 0", token.start)
        if self.accept(":"):
            step_ms = None
            if self.now().text != "]":
                step_start = self.now().start
                step_ms = self.duration("in the brackets")
                if step_ms <= 0:
                    raise self.fail("a step must be longer than 0", step_start)
            self.expect("]", "in the brackets")
            return Subquery(expr, range_ms, step_ms, span=self.span_from(start), range_span=range_span)
        self.expect("]", "in the brackets")
        if not isinstance(expr, VectorSelector):
            raise self.fail("a range is only allowed behind a vector selector", place)
        if modified:
            raise self.fail("no offset or @ modifier is allowed before a range", place)
        return MatrixSelector(expr, range_ms, self.span_from(start), range_span)

    def duration(self, context: str) -> int:
        """Read what stands in brackets, up to ``]`` or ``:``: a duration, or arithmetic between durations."""
        token = self.now()
        after = self.tokens[self.index + 1].text if token.kind != "end" else ""
        if token.kind in ("duration", "number") and after in ("]", ":"):
            return self.plain_duration(context)
        if token.kind == "symbol" and token.text not in "+-(":
            raise self.unexpected(f"{context}, expected a duration")
        return self.folded(token, read_seconds(self, context))

    def plain_duration(self, context: str) -> int:
        token = self.now()
        if token.kind not in ("duration", "number"):
            raise self.unexpected(f"{context}, expected a duration")
        value = duration_ms(self.take(), self.text)
        if "_" in token.text:
            self.replacements.append((token.start, token.end, format_duration(value)))
        return value

    def folded(self, token: Token, seconds: float) -> int:
        """Return milliseconds of arithmetic that began at `token`, which promql-parser must not see."""
        value = math.trunc(seconds * 1000)
        end = self.tokens[self.index - 1].end
        self.replacements.append((token.start, end, format_duration(value or 1000)))
        return value

    def signed_duration(self) -> int:
        """Read what follows ``offset``; arithmetic stands in parentheses there."""
        start = self.now()
        negative = self.accept("-")
        if not negative:
            self.accept("+")
        if self.now().text != "(" and self.now().word not in CALLS:
            value = self.plain_duration("after 'offset'")
            return -value if negative else value
        seconds = read_operand(self, "after 'offset'")
        return self.folded(start, -seconds if negative else seconds)

    def instant(self) -> At:
        """Read what follows ``@``."""
        word = self.accept_word("start", "end")
        if word is not None:
            self.expect("(", f"after '@ {word}'")
            self.expect(")", f"after '@ {word}'")
            return At("start" if word == "start" else "end")
        negative = self.accept("-")
        if not negative:
            self.accept("+")
        if self.now().kind not in ("number", "duration"):
            raise self.unexpected("after '@', expected a Unix time, start() or end()")
        token = self.take()
        seconds = number(token, self.text)
        if "_" in token.text:
            self.replacements.append((token.start, token.end, repr(seconds)))
        if not math.isfinite(seconds) or seconds >= 2**63 / 1000:
            raise self.fail(f"the time of '@' is out of bounds: {token.text}", token.start)
        # Go's math.Round: halves away from zero.
        time_ms = math.floor(seconds * 1000 + 0.5)
        return At("time", -time_ms if negative else time_ms)
