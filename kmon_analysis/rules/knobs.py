"""Which parts of an alerting rule can turn: threshold, window, ``for``, ``keep_firing_for``, hours."""

from __future__ import annotations

import dataclasses
import itertools
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from kmon_analysis.errors import SettingError
from kmon_analysis.promql.functions import value_type
from kmon_analysis.promql.parser import parse
from kmon_analysis.promql.printer import format_number
from kmon_analysis.promql.syntax import (
    Binary,
    Call,
    Expr,
    MatrixSelector,
    NumberLiteral,
    Paren,
    Span,
    Subquery,
    Unary,
    VectorSelector,
    children,
)
from kmon_analysis.rules.model import AlertingRule
from kmon_analysis.timing import format_duration

__all__ = ["Knobs", "SweepOp", "find_knobs", "hours_guards", "rule_with"]

SweepOp = Literal[">", ">=", "<", "<="]

_SWEEPABLE = (">", ">=", "<", "<=")
_MIRRORED: dict[str, SweepOp] = {">": "<", ">=": "<=", "<": ">", "<=": ">="}
_CALENDAR = frozenset(
    ("hour", "minute", "day_of_week", "day_of_month", "day_of_year", "month", "year", "days_in_month")
)
_ARITHMETIC: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "^": math.pow,
}
_BLANKS = re.compile(r"(?:\s|#[^\n]*(?:\n|$))*")


@dataclass(frozen=True, slots=True)
class Knobs:
    """The tunable parts of a rule.

    Attributes
    ----------
    op : {">", ">=", "<", "<="} or None
        The comparison, turned round where the number stands on its left; None where no threshold can turn.
    threshold : float or None
        The number, a product of numbers multiplied out.
    threshold_span : Span or None
        Where it stands in ``rule.text``.
    window_ms : int or None
        The range of every range selector in the signal; None where there is none, or they differ.
    window_spans : tuple of Span
        Where those ranges stand in ``rule.text``.
    for_ms, keep_firing_for_ms : int
        As in the rule.
    hours : str or None
        The calendar guard as written, its operator included: ``and on() (hour() >= 8 < 20)``.
    hours_span : Span or None
        Where it stands, when it is in one piece; without it the expression is the rule at all hours.
    signal : Expr
        The rule's expression with the comparison ``L op threshold`` replaced by ``L``, guards in place: the
        rule returns an element at t exactly when the signal returns it with a value v and ``v op threshold``.
        Where `op` is None, the rule's expression.
    reason : str or None
        Why no threshold can turn.
    """

    op: SweepOp | None
    threshold: float | None
    threshold_span: Span | None
    window_ms: int | None
    window_spans: tuple[Span, ...]
    for_ms: int
    keep_firing_for_ms: int
    hours: str | None
    hours_span: Span | None
    signal: Expr
    reason: str | None = None

    @property
    def sweepable(self) -> bool:
        """Whether the threshold can turn."""
        return self.op is not None


@dataclass(frozen=True, slots=True)
class _Comparison:
    """A comparison with a number, found on the way down the left sides of an expression."""

    op: SweepOp
    threshold: float
    span: Span
    signal: Expr


def find_knobs(rule: AlertingRule) -> Knobs:
    """Find the tunable parts of a rule.

    Parameters
    ----------
    rule : AlertingRule
        The rule.

    Returns
    -------
    Knobs
        The outermost comparison of a vector with a number whose other operators only let elements through
        unchanged: parentheses, ``and``, ``unless``, other comparisons. Comparisons inside functions,
        aggregations, arithmetic, ``or`` and with ``bool`` are no knobs.

    Examples
    --------
    >>> text = "lag > 1000 and on() (hour() >= 8 < 20)"
    >>> knobs = find_knobs(AlertingRule("HighLag", parse(text), text))
    >>> knobs.op, knobs.threshold, knobs.hours
    ('>', 1000.0, 'and on() (hour() >= 8 < 20)')
    """
    found = _comparison(rule.expr)
    signal = rule.expr if isinstance(found, str) else found.signal
    guards = tuple(_guards(rule.expr))
    hours, hours_span = _hours(rule.text, guards)
    window_ms, window_spans = _window(signal)
    return Knobs(
        op=None if isinstance(found, str) else found.op,
        threshold=None if isinstance(found, str) else found.threshold,
        threshold_span=None if isinstance(found, str) else found.span,
        window_ms=window_ms,
        window_spans=window_spans,
        for_ms=rule.for_ms,
        keep_firing_for_ms=rule.keep_firing_for_ms,
        hours=hours,
        hours_span=hours_span,
        signal=signal,
        reason=found if isinstance(found, str) else None,
    )


def _comparison(expr: Expr) -> _Comparison | str:
    """Return the comparison that can turn, or why there is none."""
    match expr:
        case Paren():
            found = _comparison(expr.expr)
            return found if isinstance(found, str) else _within(found, dataclasses.replace(expr, expr=found.signal))
        case Binary(op="and" | "unless"):
            if _is_guard(expr.left):
                return "what the alert returns is the calendar, not a measurement"
            return _on_the_left(expr)
        case Binary(op="or"):
            return "with 'or' one threshold of several would turn"
        case Binary(op=">" | ">=" | "<" | "<=" | "==" | "!=") if expr.return_bool:
            return "a comparison with 'bool' lets every element through"
        case Binary(op=">" | ">=" | "<" | "<=" | "==" | "!="):
            return _compared(expr)
        case Binary():
            return "the outermost operator is arithmetic, not a comparison"
        case Call():
            return f"the outermost part is the function {expr.function}(), not a comparison"
    return "there is no comparison with a number"


def _compared(expr: Binary) -> _Comparison | str:
    """Look at a comparison: it can turn when one side is a number and the other a vector."""
    if _is_guard(expr):
        return "what the alert returns is the calendar, not a measurement"
    for vector, number, op in ((expr.left, expr.right, expr.op), (expr.right, expr.left, _MIRRORED.get(expr.op, ""))):
        threshold = _constant(number)
        if threshold is None or value_type(vector) != "vector":
            continue
        if expr.op in _SWEEPABLE and math.isfinite(threshold):
            sweep: SweepOp = op  # type: ignore[assignment]
            return _Comparison(sweep, threshold, number.span, vector)
        # The filter stays as it is; a comparison that can turn may stand inside it.
        inner = _comparison(vector)
        if isinstance(inner, str):
            return f"{expr.op} {format_number(threshold)} is no threshold that can turn"
        if vector is expr.left:
            return _within(inner, dataclasses.replace(expr, left=inner.signal))
        return _within(inner, dataclasses.replace(expr, right=inner.signal))
    return "the comparison is not with a number"


def _on_the_left(expr: Binary) -> _Comparison | str:
    """Look for the comparison on the left side, whose elements and values the operator returns."""
    found = _comparison(expr.left)
    return found if isinstance(found, str) else _within(found, dataclasses.replace(expr, left=found.signal))


def _within(found: _Comparison, signal: Expr) -> _Comparison:
    return dataclasses.replace(found, signal=signal)


def _constant(expr: Expr) -> float | None:
    """Return the value of a number, or of a sum, product or quotient of numbers."""
    match expr:
        case NumberLiteral():
            return expr.value
        case Paren():
            return _constant(expr.expr)
        case Unary():
            inner = _constant(expr.expr)
            return None if inner is None else -inner
        case Binary():
            left, right = _constant(expr.left), _constant(expr.right)
            if left is None or right is None or expr.op not in _ARITHMETIC:
                return None
            try:
                return _ARITHMETIC[expr.op](left, right)
            except (ArithmeticError, ValueError):
                return None
    return None


def _descendants(expr: Expr) -> Iterator[Expr]:
    yield expr
    for child in children(expr):
        yield from _descendants(child)


def _is_guard(expr: Expr) -> bool:
    """Tell whether an expression depends on the calendar alone."""
    parts = list(_descendants(expr))
    asks_calendar = any(isinstance(part, Call) and part.function in _CALENDAR for part in parts)
    return asks_calendar and not any(isinstance(part, VectorSelector) for part in parts)


def _guards(expr: Expr) -> Iterator[tuple[Binary, Span]]:
    """Yield the calendar guards on the way down the left sides, innermost first."""
    match expr:
        case Paren():
            yield from _guards(expr.expr)
        case Binary(op="and" | "unless"):
            yield from _guards(expr.left)
            if _is_guard(expr.right) and not _is_guard(expr.left):
                yield expr, Span(expr.left.span.end, expr.right.span.end)
        case Binary(op=op) if op in _SWEEPABLE or op in ("==", "!="):
            yield from _guards(expr.left if _constant(expr.right) is not None else expr.right)


def hours_guards(expr: Expr) -> tuple[Binary, ...] | None:
    """Return the ``and`` and ``unless`` of an expression whose right sides decide when it returns anything.

    Returns
    -------
    tuple of Binary or None
        Calendar guards, innermost first; None where one of them looks at the labels of the elements, too.
    """
    found = tuple(guard for guard, _ in _guards(expr))
    return found if all(each.matching and each.matching.on and not each.matching.labels for each in found) else None


def _hours(text: str, guards: Sequence[tuple[Binary, Span]]) -> tuple[str | None, Span | None]:
    """Return the text of all guards, and where it stands if they follow each other."""
    if not guards:
        return None, None
    spans = [Span(_skip_blanks(text, span.start), span.end) for _, span in guards]
    written = [text[span.start : span.end] for span in spans]
    for before, after in itertools.pairwise(spans):
        if _skip_blanks(text, before.end) != after.start:
            return " ".join(written), None
    whole = Span(spans[0].start, spans[-1].end)
    return text[whole.start : whole.end], whole


def _skip_blanks(text: str, index: int) -> int:
    """Pass blanks and comments."""
    match = _BLANKS.match(text, index)
    return match.end() if match else index


def _window(signal: Expr) -> tuple[int | None, tuple[Span, ...]]:
    """Return the one range that all range selectors share."""
    ranges = [part for part in _descendants(signal) if isinstance(part, MatrixSelector | Subquery)]
    if len({part.range_ms for part in ranges}) != 1:
        return None, ()
    return ranges[0].range_ms, tuple(sorted((part.range_span for part in ranges), key=lambda span: span.start))


def rule_with(
    rule: AlertingRule,
    *,
    threshold: float | None = None,
    window_ms: int | None = None,
    for_ms: int | None = None,
    keep_firing_for_ms: int | None = None,
    hours: str | None = None,
) -> AlertingRule:
    """Return the rule with other values; its text changes at those values only.

    Parameters
    ----------
    rule : AlertingRule
        The rule.
    threshold : float, optional
        New number of the comparison.
    window_ms : int, optional
        New range of the range selectors.
    for_ms, keep_firing_for_ms : int, optional
        New durations.
    hours : str, optional
        New calendar guard, its operator included; an empty one takes the guard away.

    Raises
    ------
    SettingError
        If the rule has no such knob, or the value makes no sense.

    Examples
    --------
    >>> text = "lag > 1000 and on() (hour() >= 8 < 20)"
    >>> rule_with(AlertingRule("HighLag", parse(text), text), threshold=12000.0).text
    'lag > 12000 and on() (hour() >= 8 < 20)'
    """
    knobs = find_knobs(rule)
    edits: list[tuple[Span, str]] = []
    if threshold is not None:
        if knobs.threshold_span is None:
            raise SettingError(
                f"{rule.name} has no threshold that can turn: {knobs.reason}",
                cure="Write the condition as '<vector> > <number>'",
            )
        if not math.isfinite(threshold):
            raise SettingError(f"{format_number(threshold)} is no threshold", cure="Give a finite number")
        edits.append((knobs.threshold_span, format_number(threshold)))
    if window_ms is not None:
        if not knobs.window_spans:
            raise SettingError(
                f"{rule.name} has no single window: its range selectors are missing or differ",
                cure="Give all range selectors one range",
            )
        _positive(window_ms, "window")
        edits += [(span, format_duration(window_ms)) for span in knobs.window_spans]
    if hours is not None and hours != (knobs.hours or ""):
        edits += _guarded(rule, knobs, hours)
    for name, duration_ms in (("for", for_ms), ("keep_firing_for", keep_firing_for_ms)):
        if duration_ms is not None and duration_ms < 0:
            raise SettingError(f"{name} is {duration_ms} ms", cure="Give a duration of 0 or more")
    text = rule.text
    for span, replacement in sorted(edits, key=lambda edit: edit[0].start, reverse=True):
        text = text[: span.start] + replacement + text[span.end :]
    return dataclasses.replace(
        rule,
        text=text,
        expr=parse(text) if edits else rule.expr,
        for_ms=rule.for_ms if for_ms is None else for_ms,
        keep_firing_for_ms=rule.keep_firing_for_ms if keep_firing_for_ms is None else keep_firing_for_ms,
    )


def _guarded(rule: AlertingRule, knobs: Knobs, hours: str) -> list[tuple[Span, str]]:
    """Return the edits that put one guard in the place of another, or behind an expression that has none."""
    span = knobs.hours_span
    if span is None and knobs.hours is not None:
        raise SettingError(
            f"{rule.name} asks for the hours in several places",
            cure="Write its guards one after the other: '... and on() (hour() >= 8 < 20)'",
        )
    if span is None:
        whole = rule.expr.span
        # Only `or` binds less than the guard's `and`.
        loose = isinstance(rule.expr, Binary) and rule.expr.op == "or"
        edits = [(Span(whole.end, whole.end), f"{')' * loose} {hours}")]
        edits += [(Span(whole.start, whole.start), "(")] * loose
    else:
        start = span.start - (0 if hours else len(rule.text[: span.start]) - len(rule.text[: span.start].rstrip(" ")))
        edits = [(Span(start, span.end), hours)]
    text = rule.text
    for place, new in edits:
        text = text[: place.start] + new + text[place.end :]
    changed = dataclasses.replace(rule, text=text, expr=parse(text))
    found = find_knobs(changed)
    if (found.hours or "") != hours or found.threshold != knobs.threshold:
        raise SettingError(f"{hours!r} is no guard of hours", cure="Write for example 'and on() (hour() >= 8 < 20)'")
    return edits


def _positive(duration_ms: int, name: str) -> None:
    if duration_ms <= 0:
        raise SettingError(f"the {name} is {duration_ms} ms", cure="Give a positive duration")
