"""Which rules read what other rules write, and in which order they can therefore be evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kmon_analysis.labels import Matcher
from kmon_analysis.promql.needs import fixed_selections, selections
from kmon_analysis.promql.syntax import Expr
from kmon_analysis.rules.model import Rule, RuleGroup
from kmon_analysis.rules.outputs import Shape, output_shapes, sees
from kmon_analysis.timing import EvaluationGrid

__all__ = ["Node", "Reading", "collide", "reading", "reads", "strong_components"]


@dataclass(frozen=True, slots=True)
class Reading:
    """What an expression selects.

    Attributes
    ----------
    selectors : tuple of tuple of Matcher
        Each selector's matchers.
    pinned : tuple of tuple of Matcher
        The selectors under ``@ <time>``, which look at the same samples from every evaluation.
    reach_ms, ahead_ms : int
        How far before and behind the time of the query the others look, without the lookback.
    """

    selectors: tuple[tuple[Matcher, ...], ...]
    pinned: tuple[tuple[Matcher, ...], ...]
    reach_ms: int
    ahead_ms: int


def reading(expr: Expr) -> Reading:
    """Return what an expression selects."""
    needs, fixed = selections(expr), fixed_selections(expr)
    return Reading(
        tuple(dict.fromkeys((*(n.matchers for n in needs), *(n.matchers for n in fixed)))),
        tuple(need.matchers for need in fixed),
        max((need.lookback_ms for need in needs), default=0),
        max((need.lookahead_ms for need in needs), default=0),
    )


@dataclass(frozen=True, slots=True)
class Node:
    """One rule in its group.

    Attributes
    ----------
    place : int
        Order of evaluation among all rules at equal instants.
    rule : Rule
        The rule.
    group : RuleGroup
        Its group.
    clock : EvaluationGrid
        When the group is evaluated.
    shapes : tuple of Mapping
        What is known beforehand of the series that it writes; none for alerts that nobody reads.
    reading : Reading
        What it selects; nothing when the server evaluates it.
    """

    place: int
    rule: Rule
    group: RuleGroup = field(repr=False)
    clock: EvaluationGrid
    shapes: tuple[Shape, ...]
    reading: Reading = field(repr=False)

    @property
    def offset_ms(self) -> int:
        """The group's query offset."""
        return self.group.query_offset_ms

    @classmethod
    def of(cls, place: int, rule: Rule, group: RuleGroup, clock: EvaluationGrid) -> Node:
        """Return the node of a rule."""
        return cls(place, rule, group, clock, output_shapes(rule), reading(rule.expr))


def reads(what: Reading, writer: Node, *, dot_all: bool = True) -> bool:
    """Tell whether a reader may select what a rule writes."""
    return any(sees(matchers, shape, dot_all=dot_all) for matchers in what.selectors for shape in writer.shapes)


def collide(one: Node, other: Node) -> bool:
    """Tell whether two rules may write the same series."""
    return any(all(b.get(name, value) == value for name, value in a.items()) for a in one.shapes for b in other.shapes)


def strong_components(count: int, edges: Mapping[int, Sequence[int]]) -> list[list[int]]:
    """Group nodes that depend on each other, each group behind all that it depends on.

    Parameters
    ----------
    count : int
        Nodes are ``0 .. count - 1``.
    edges : Mapping
        From a node to those it depends on.

    Notes
    -----
    Tarjan's algorithm, with a stack of its own, so that long chains are no problem.

    Examples
    --------
    >>> strong_components(4, {0: [1], 1: [2], 2: [1], 3: [3]})
    [[1, 2], [0], [3]]
    """
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    waiting: list[int] = []
    inside: set[int] = set()
    found: list[list[int]] = []
    for root in range(count):
        if root in index:
            continue
        work = [(root, iter(edges.get(root, ())))]
        index[root] = low[root] = len(index)
        waiting.append(root)
        inside.add(root)
        while work:
            node, rest = work[-1]
            for child in rest:
                if child not in index:
                    index[child] = low[child] = len(index)
                    waiting.append(child)
                    inside.add(child)
                    work.append((child, iter(edges.get(child, ()))))
                    break
                if child in inside:
                    low[node] = min(low[node], index[child])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    start = waiting.index(node)
                    found.append(sorted(waiting[start:]))
                    inside.difference_update(waiting[start:])
                    del waiting[start:]
    return found
