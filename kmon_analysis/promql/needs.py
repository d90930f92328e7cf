"""Which raw samples an expression needs."""

from __future__ import annotations

from typing import NamedTuple

from kmon_analysis.labels import Matcher
from kmon_analysis.promql.syntax import At, Expr, MatrixSelector, Subquery, VectorSelector, children

__all__ = ["FixedNeed", "SelectionNeed", "fixed_selections", "selections"]


class SelectionNeed(NamedTuple):
    """The samples behind one selector, relative to the evaluations.

    Attributes
    ----------
    matchers : tuple of Matcher
        Which series.
    lookback_ms, lookahead_ms : int
        Needed from ``start - lookback_ms`` (before the staleness lookback of the server, which comes on
        top) to ``end + lookahead_ms``, where start and end are the first and the last evaluation.
    """

    matchers: tuple[Matcher, ...]
    lookback_ms: int
    lookahead_ms: int


class FixedNeed(NamedTuple):
    """The samples behind one selector under ``@ <time>``: an absolute span, both ends included."""

    matchers: tuple[Matcher, ...]
    start_ms: int
    end_ms: int


class _Window(NamedTuple):
    """When something is evaluated: from `low` to `high`, relative to the rule's time or to `anchor`."""

    anchor_ms: int | None
    low_ms: int
    high_ms: int

    def pinned(self, at: At | None) -> _Window:
        """Apply ``@``; in a rule ``start()`` and ``end()`` are the evaluation itself, whatever lies around."""
        if at is None:
            return self
        return _Window(at.time_ms if at.kind == "time" else None, 0, 0)

    def shifted(self, offset_ms: int, range_ms: int = 0) -> _Window:
        return _Window(self.anchor_ms, self.low_ms - offset_ms - range_ms, self.high_ms - offset_ms)


def selections(expr: Expr) -> tuple[SelectionNeed, ...]:
    """Return what raw data an expression needs, one entry for each distinct set of matchers.

    Parameters
    ----------
    expr : Expr
        The tree.

    Returns
    -------
    tuple of SelectionNeed
        In the order of the text; needs of the same matchers are united. What stands under ``@ <time>`` is
        in `fixed_selections` instead.

    Examples
    --------
    >>> from kmon_analysis.promql.parser import parse
    >>> [need.lookback_ms for need in selections(parse("rate(a[5m] offset 1m) / b"))]
    [360000, 0]
    """
    found: dict[tuple[Matcher, ...], SelectionNeed] = {}
    for matchers, window in _walk(expr, _Window(None, 0, 0)):
        if window.anchor_ms is None:
            before = found.get(matchers, SelectionNeed(matchers, 0, 0))
            lookback_ms, lookahead_ms = (
                max(before.lookback_ms, -window.low_ms),
                max(before.lookahead_ms, window.high_ms),
            )
            found[matchers] = SelectionNeed(matchers, lookback_ms, lookahead_ms)
    return tuple(found.values())


def fixed_selections(expr: Expr) -> tuple[FixedNeed, ...]:
    """Return the raw data that an expression needs at fixed times, through ``@ <time>``.

    Returns
    -------
    tuple of FixedNeed
        In the order of the text; needs of the same matchers are united.

    Examples
    --------
    >>> from kmon_analysis.promql.parser import parse
    >>> [(need.start_ms, need.end_ms) for need in fixed_selections(parse("rate(a[1m] @ 100)"))]
    [(40000, 100000)]
    """
    found: dict[tuple[Matcher, ...], FixedNeed] = {}
    for matchers, window in _walk(expr, _Window(None, 0, 0)):
        if window.anchor_ms is not None:
            start_ms, end_ms = window.anchor_ms + window.low_ms, window.anchor_ms + window.high_ms
            before = found.get(matchers, FixedNeed(matchers, start_ms, end_ms))
            found[matchers] = FixedNeed(matchers, min(before.start_ms, start_ms), max(before.end_ms, end_ms))
    return tuple(found.values())


def _walk(expr: Expr, window: _Window) -> list[tuple[tuple[Matcher, ...], _Window]]:
    """Collect selectors below `expr` with the window in which each is read."""
    match expr:
        case MatrixSelector():
            selector = expr.selector
            return [(selector.matchers, window.pinned(selector.at).shifted(selector.offset_ms, expr.range_ms))]
        case VectorSelector():
            return [(expr.matchers, window.pinned(expr.at).shifted(expr.offset_ms))]
        case Subquery():
            return _walk(expr.expr, window.pinned(expr.at).shifted(expr.offset_ms, expr.range_ms))
        case _:
            return [need for child in children(expr) for need in _walk(child, window)]
