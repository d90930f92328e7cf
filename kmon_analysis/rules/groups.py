"""Whole rule files over a history: groups at their own instants, rules in order, outputs that feed other rules.

Rules are evaluated at all their instants at once, after everything that they read. Rules that read themselves
through others are evaluated one instant after the other (`stepping.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from kmon_analysis.errors import ExpressionError, InputError
from kmon_analysis.labels import METRIC_NAME, Labels
from kmon_analysis.promql.evaluate import check_supported, evaluate
from kmon_analysis.promql.printer import format_expr
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.promql.syntax import Expr
from kmon_analysis.rules.dependencies import Node, Reading, collide, reading, reads, strong_components
from kmon_analysis.rules.model import AlertingRule, RecordingRule, Rule, RuleGroup, RuleKey
from kmon_analysis.rules.outputs import Outcome, alerted, contested, cut, gather, recorded, selected
from kmon_analysis.rules.states import Replay, alert_labels, replay
from kmon_analysis.rules.stepping import Stepped, run_stepwise
from kmon_analysis.series import Grid, Samples, SeriesSet
from kmon_analysis.timing import EvaluationGrid

__all__ = ["GroupsRun", "Outside", "RuleRun", "rule_key", "run_groups"]

Bools = npt.NDArray[np.bool_]
Int64s = npt.NDArray[np.int64]
# Evaluates a rule's expression elsewhere: rule, instants, query offset; the grid's times are the instants.
Outside = Callable[[Rule, EvaluationGrid, int], Grid]

NOTHING = Reading((), (), 0, 0)


def rule_key(rule: Rule) -> RuleKey:
    """Return group, name, and place in the group."""
    return (rule.group, rule.name, rule.index)


@dataclass(frozen=True, slots=True)
class RuleRun:
    """One rule at all its evaluations.

    Attributes
    ----------
    rule : AlertingRule or RecordingRule
        The rule.
    grid : Grid
        Values of its expression. ``times`` are the evaluations; the values are those of the query offset before.
        ``failed`` holds every failed evaluation of a recording rule, and for an alerting rule those of the
        expression (`replay` has the others).
    replay : Replay or None
        Alert states after each evaluation, where they were asked for.
    evaluated_by : {"kmon", "server"}
        Who evaluated the expression.
    """

    rule: Rule
    grid: Grid
    replay: Replay | None
    evaluated_by: Literal["kmon", "server"]


@dataclass(frozen=True, slots=True)
class GroupsRun:
    """What whole groups did on a history.

    Attributes
    ----------
    runs : Mapping
        By `rule_key`.
    series : SeriesSet
        The input with everything that the groups wrote, stale markers included.
    refused : Mapping
        By `rule_key`: rules that could not be evaluated, and why.
    notes : tuple of str
        What should be known: recorded series that were replaced or had to be used.
    stepwise : frozenset
        Keys of rules that read their own outputs.
    """

    runs: Mapping[RuleKey, RuleRun]
    series: SeriesSet
    refused: Mapping[RuleKey, InputError]
    notes: tuple[str, ...]
    stepwise: frozenset[RuleKey]
    _runner: _Runner = field(repr=False)

    def evaluate(self, key: RuleKey, expr: Expr | None = None) -> Grid:
        """Evaluate an expression in the place of a rule, at its evaluations, seeing what the rule would see.

        Parameters
        ----------
        key : RuleKey
            See `rule_key`.
        expr : Expr, optional
            Instead of the rule's own.

        Raises
        ------
        ExpressionError
            If the rule was refused.
        """
        if key in self.refused:
            raise self.refused[key]
        node = self._runner.by_key[key]
        return self._runner.grid(node, node.rule.expr if expr is None else expr)

    def by_server(self, key: RuleKey) -> bool:
        """Tell whether a rule is evaluated elsewhere."""
        return self._runner.by_key[key].place in self._runner.server


def run_groups(
    groups: Sequence[RuleGroup],
    series: SeriesSet,
    clocks: Sequence[EvaluationGrid],
    semantics: Semantics,
    *,
    alerts: bool = False,
    writers_only: bool = False,
    outside: Outside | None = None,
) -> GroupsRun:
    """Evaluate rule groups over a history, as a server that never restarts.

    Parameters
    ----------
    groups : sequence of RuleGroup
        At instants that several share, they are evaluated in this order.
    series : SeriesSet
        Raw samples. Series that the groups record themselves end where our own output begins.
    clocks : sequence of EvaluationGrid
        When each group is evaluated.
    semantics : Semantics
        The Prometheus release to agree with.
    alerts : bool
        Whether states, ``ALERTS`` and ``ALERTS_FOR_STATE`` of every alerting rule are wanted; otherwise only
        of those that some rule reads.
    writers_only : bool
        Leave out the runs of alerting rules that no rule reads (`GroupsRun.evaluate` evaluates them later).
    outside : callable, optional
        Evaluates, at the given instants and query offset, the rules that are outside the supported subset.

    Returns
    -------
    GroupsRun
        Results by rule, and the series with all outputs.

    Notes
    -----
    Prometheus ``rules/group.go``, ``Group.run`` and ``Group.Eval``. A sample can be read from the instant at
    which it was written, not only by its time: with a query offset the two differ.
    """
    if len(groups) != len(clocks):
        raise ValueError("one clock for each group")
    return _Runner(groups, series, clocks, semantics, outside, alerts=alerts).run(writers_only=writers_only)


class _Runner:
    """The state of one run; nodes are named by their place."""

    def __init__(
        self,
        groups: Sequence[RuleGroup],
        series: SeriesSet,
        clocks: Sequence[EvaluationGrid],
        semantics: Semantics,
        outside: Outside | None,
        *,
        alerts: bool,
    ) -> None:
        self.semantics, self.outside = semantics, outside
        pairs = [(rule, group, clock) for group, clock in zip(groups, clocks, strict=True) for rule in group.rules]
        nodes = [Node.of(place, *pair) for place, pair in enumerate(pairs)]
        self.server: set[int] = set()
        self.refused: dict[int, InputError] = {}
        for node in nodes:
            try:
                check_supported(node.rule.expr, node.rule.text, semantics=semantics)
            except ExpressionError as error:
                if outside is None:
                    self.refused[node.place] = error
                else:
                    self.server.add(node.place)
                    nodes[node.place] = dataclasses.replace(node, reading=NOTHING)
        # Alerts are written where somebody reads them, or all of them.
        for node in nodes:
            if not isinstance(node.rule, AlertingRule):
                continue
            if not alerts and not any(self._reads(other, node) for other in nodes):
                nodes[node.place] = dataclasses.replace(node, shapes=())
                continue
            try:
                alert_labels(node.rule, Labels(), 0.0)
            except ExpressionError as error:
                self.refused[node.place] = error
        self.nodes = nodes
        # By reader: whose output it may select.
        self.edges = {
            node.place: {writer.place for writer in nodes if writer.shapes and self._reads(node, writer)}
            for node in nodes
        }
        self.by_key = {rule_key(node.rule): node for node in nodes}
        self.notes: list[str] = []
        self.held: set[int] = set()
        by_name: dict[str, list[int]] = {}
        for index, labels in enumerate(series.labels):
            by_name.setdefault(labels.value(METRIC_NAME), []).append(index)
        # By rule: the recorded series that a rule of this name and these labels wrote.
        self.recorded_before = [
            frozenset(
                index
                for shape in node.shapes
                for index in by_name.get(shape[METRIC_NAME], ())
                if all(series.labels[index].value(name) == value for name, value in shape.items())
            )
            for node in nodes
        ]
        self._hold_and_refuse(series)
        self.base = self._take_over(series)
        self.grids: dict[int, Grid] = {}
        self.replays: dict[int, Replay] = {}
        self.outcomes: dict[int, Outcome] = {}
        self.written: dict[int, list[Samples]] = {}
        self.stepped: set[int] = set()

    def _reads(self, reader: Node, writer: Node) -> bool:
        return reads(reader.reading, writer, dot_all=self.semantics.dot_all)

    # ---- before the first evaluation -----------------------------------------------------------

    def _hold_and_refuse(self, series: SeriesSet) -> None:
        """Find the rules whose recorded outputs must do, and refuse what depends on refused rules."""
        for node in self.nodes:
            recorded_before = self.recorded_before[node.place]
            if not recorded_before or node.place in self.server:
                continue
            if node.place in self.refused:
                why = "it cannot be evaluated here"
            elif self._blind(series, node):
                why = "the history holds nothing of what the rule reads"
            else:
                continue
            self.held.add(node.place)
            self.notes.append(f"{node.rule.name}: the series that the server recorded are used, since {why}")
        self._refuse_dependents()

    def _refuse_dependents(self) -> None:
        """Refuse what reads the output of a refused rule."""
        changed = True
        while changed:
            changed = False
            for node in self.nodes:
                if node.place in self.refused or node.place in self.held:
                    continue
                missing = (self.edges[node.place] & self.refused.keys()) - self.held
                if missing:
                    self.refused[node.place] = self._because(node, self.nodes[min(missing)])
                    changed = True

    def _ask_server(self) -> None:
        """Let the server evaluate what others read; what it does not take is refused like anything else."""
        before = len(self.refused)
        for place in sorted(self.server):
            node = self.nodes[place]
            if not node.shapes or place in self.refused:
                continue
            try:
                self.grids[place] = self.grid(node, node.rule.expr)
            except ExpressionError as error:
                self.refused[place] = error
        if len(self.refused) > before:
            self._refuse_dependents()

    def _blind(self, series: SeriesSet, node: Node) -> bool:
        """Tell whether nothing that a rule selects exists."""
        dot_all = self.semantics.dot_all
        own = self.recorded_before[node.place]
        return (
            bool(node.reading.selectors)
            and not self.edges[node.place] - {node.place}
            and not any(
                selected(labels, node.reading.selectors, dot_all=dot_all)
                for index, labels in enumerate(series.labels)
                if index not in own
            )
        )

    def _because(self, node: Node, writer: Node) -> ExpressionError:
        reason = self.refused[writer.place]
        return ExpressionError(
            f"it reads what {writer.rule.name!r} writes, and that rule cannot be evaluated: {reason.problem}",
            expression=node.rule.text,
            cure=reason.cure,
        )

    def _take_over(self, series: SeriesSet) -> SeriesSet:
        """End the recorded series that the groups write themselves where they begin to."""
        ends: dict[int, int] = {}
        for node in self.nodes:
            if node.place in self.held or node.place in self.refused or not len(node.clock):
                continue
            start_ms = int(node.clock.times[0]) - node.offset_ms
            for index in self.recorded_before[node.place]:
                ends[index] = min(start_ms, ends.get(index, start_ms))
        if not ends:
            return series
        names = sorted({series.labels[index].value(METRIC_NAME) for index in ends})
        self.notes.append(
            f"the history also holds {', '.join(names)} as the server recorded them; "
            "from the first evaluation on our own output stands in their place"
        )
        parts = [cut(part, ends[index]) if index in ends else part for index, part in enumerate(series)]
        return SeriesSet.from_samples(part for part in parts if len(part.times))

    # ---- evaluating ----------------------------------------------------------------------------

    def run(self, *, writers_only: bool) -> GroupsRun:
        """Evaluate everything in an order in which each rule comes after what it reads."""
        self._ask_server()
        needed = [node for node in self.nodes if node.place not in self.refused and node.place not in self.held]
        for places in self._order(needed):
            if len(places) > 1 or places[0] in self.stepped:
                self._step([self.nodes[place] for place in places])
            elif self.nodes[places[0]].shapes or not writers_only:
                self._whole(self.nodes[places[0]])
        runs = {
            rule_key(node.rule): RuleRun(
                node.rule,
                self.grids[node.place],
                self.replays.get(node.place),
                "server" if node.place in self.server else "kmon",
            )
            for node in self.nodes
            if node.place in self.grids
        }
        refused = {rule_key(self.nodes[place].rule): error for place, error in self.refused.items()}
        stepped = frozenset(rule_key(self.nodes[place].rule) for place in self.stepped)
        return GroupsRun(runs, self.series, refused, tuple(self.notes), stepped, self)

    def _order(self, nodes: Sequence[Node]) -> list[list[int]]:
        """Return places in the order of evaluation; those that need each other stand together."""
        writers = [node for node in nodes if node.shapes]
        wanted = {node.place for node in nodes}
        edges = {place: self.edges[place] & wanted for place in wanted}
        while True:
            groups = [
                found
                for found in strong_components(len(self.nodes), {p: sorted(to) for p, to in edges.items()})
                if found[0] in wanted
            ]
            circles = [
                found
                for found in groups
                if len(found) > 1
                or found[0] in edges[found[0]]
                or (self.nodes[found[0]].reading.pinned and edges[found[0]])
            ]
            self.stepped = {place for found in circles for place in found}
            joined = False
            # Whoever writes the same series as a rule of a circle takes part in it: the storage decides between them.
            for place in self.stepped:
                for writer in writers:
                    both = writer.place in edges[place] and place in edges[writer.place]
                    if not both and collide(self.nodes[place], writer):
                        edges[place].add(writer.place)
                        edges[writer.place].add(place)
                        joined = True
            if not joined:
                return groups

    def grid(self, node: Node, expr: Expr) -> Grid:
        """Evaluate an expression in the place of a rule."""
        if node.place in self.server and self.outside is not None:
            rule = (
                node.rule
                if expr == node.rule.expr
                else dataclasses.replace(node.rule, expr=expr, text=format_expr(expr))
            )
            return self.outside(rule, node.clock, node.offset_ms)
        what = node.reading if expr is node.rule.expr else reading(expr)
        times = node.clock.times
        writers = self.writers(what)
        if not writers:
            return self._dated(evaluate(expr, self.base, times - node.offset_ms, self.semantics), times)
        if what.pinned:
            return self._one_by_one(node, expr, what)
        hidden = {writer.place: self._hidden(node, what, writer) for writer in writers}
        inputs = self._inputs(what)
        if not any((stop > start).any() for start, stop in hidden.values()):
            seen = gather([*inputs, *(part for writer in writers for part in self._parts(writer))])
            return self._dated(evaluate(expr, seen, times - node.offset_ms, self.semantics), times)
        slack_ms = max(writer.offset_ms - node.offset_ms for writer in writers)
        reach_ms = what.reach_ms + self.semantics.lookback_ms + 2 * what.ahead_ms + max(0, slack_ms)
        # Windows of evaluations that are this far apart do not meet, so each sees its own samples hidden only.
        stride = min(reach_ms // node.clock.step_ms + 2, max(1, len(times)))
        grids = []
        for first in range(stride):
            chosen = slice(first, None, stride)
            parts = [
                _without(part, writer, *(edge[chosen] for edge in hidden[writer.place]))
                for writer in writers
                for part in self._parts(writer)
            ]
            grids.append(evaluate(expr, gather([*inputs, *parts]), times[chosen] - node.offset_ms, self.semantics))
        return _interleaved(grids, times)

    def _one_by_one(self, node: Node, expr: Expr, what: Reading) -> Grid:
        """Evaluate what looks at a fixed time, where the outputs of later evaluations must not be seen."""
        rule = dataclasses.replace(node.rule, expr=expr)
        alone = dataclasses.replace(node, rule=rule, reading=what, shapes=())
        member = self._member(alone, set())
        run_stepwise([member], self.semantics)
        return member.grid

    @staticmethod
    def _dated(grid: Grid, times: Int64s) -> Grid:
        return Grid(grid.labels, times, grid.values, grid.present, grid.failed)

    def writers(self, what: Reading) -> list[Node]:
        """Return the rules that an expression may read."""
        return [
            node for node in self.nodes
            if node.place in self.written and reads(what, node, dot_all=self.semantics.dot_all)
        ]  # fmt: skip

    def _inputs(self, what: Reading) -> list[Samples]:
        rows = [self.base.matching(matchers, dot_all=self.semantics.dot_all) for matchers in what.selectors]
        return [self.base[int(row)] for row in np.unique(np.concatenate(rows))]

    @staticmethod
    def _hidden(node: Node, what: Reading, writer: Node) -> tuple[Int64s, Int64s]:
        """Return which of the writer's evaluations have the right time for each reader's, and come too late.

        Returns
        -------
        start, stop : int64 array, shape (T,)
            Half-open ranges of columns of the writer.
        """
        mine, theirs = node.clock.times, writer.clock.times
        side: Literal["left", "right"] = "left" if writer.place >= node.place else "right"
        start = np.searchsorted(theirs, mine, side=side)
        last = mine + (writer.offset_ms - node.offset_ms + what.ahead_ms)
        stop = np.searchsorted(theirs, last, side="right")
        return start, np.maximum(start, stop)

    def _parts(self, writer: Node) -> list[Samples]:
        return self.written[writer.place]

    def _whole(self, node: Node) -> None:
        """Evaluate a rule at all its instants at once."""
        grid = self.grids[node.place] if node.place in self.grids else self.grid(node, node.rule.expr)
        self.grids[node.place] = grid
        if isinstance(node.rule, RecordingRule):
            outcome = recorded(node.rule, grid, limit=node.group.limit, query_offset_ms=node.offset_ms)
            self.grids[node.place] = Grid(grid.labels, grid.times, grid.values, grid.present, outcome.failed)
        elif node.shapes:
            end_ms = int(grid.times[-1]) + node.clock.step_ms if len(grid.times) else 0
            states = replay(node.rule, grid, limit=node.group.limit, end_ms=end_ms)
            self.replays[node.place] = states
            outcome = alerted(states, query_offset_ms=node.offset_ms)
        else:
            return
        self._write(node, outcome)

    def _write(self, node: Node, outcome: Outcome) -> None:
        """Keep what a rule writes; settle what others write, too."""
        rivals = {
            place: other for place, other in self.outcomes.items() if not other.rows.keys().isdisjoint(outcome.rows)
        }
        self.outcomes[node.place] = outcome
        self.written[node.place] = [outcome.samples(labels) for labels in outcome.rows]
        for labels in {each for other in rivals.values() for each in other.rows} & outcome.rows.keys():
            places = sorted(place for place, other in self.outcomes.items() if labels in other.rows)
            settled = contested(labels, [self.outcomes[place] for place in places])
            for place, part in zip(places, settled, strict=True):
                kept = [one for one in self.written[place] if one.labels != labels]
                self.written[place] = [*kept, part]

    def _step(self, nodes: Sequence[Node]) -> None:
        """Evaluate rules that read each other, one instant after the other."""
        places = {node.place for node in nodes}
        members = [self._member(node, places) for node in nodes]
        run_stepwise(members, self.semantics)
        for member in members:
            place = member.node.place
            self.grids[place] = member.grid
            self.written[place] = member.samples
            if member.replay is not None:
                self.replays[place] = member.replay

    def _member(self, node: Node, together: set[int]) -> Stepped:
        upstream = [
            (writer, part)
            for writer in self.writers(node.reading)
            if writer.place not in together
            for part in self._parts(writer)
            if selected(part.labels, node.reading.selectors, dot_all=self.semantics.dot_all)
        ]
        if node.reading.selectors:
            return Stepped(node, self._inputs(node.reading), upstream)
        return Stepped(node, [], upstream, self.grid(node, node.rule.expr))

    @cached_property
    def series(self) -> SeriesSet:
        """The input with everything that was written."""
        if not any(self.written.values()):
            return self.base
        return gather([*self.base, *(part for parts in self.written.values() for part in parts)])


def _without(part: Samples, writer: Node, start: Int64s, stop: Int64s) -> Samples:
    """Drop what was written at these ranges of evaluations, which do not overlap and ascend."""
    late = stop > start
    if not late.any():
        return part
    dated = writer.clock.times - writer.offset_ms
    low, high = dated[start[late]], dated[stop[late] - 1]
    place = np.searchsorted(low, part.times, side="right") - 1
    kept = (place < 0) | (part.times > high[place])
    return Samples(part.labels, part.times[kept], part.values[kept])


def _interleaved(grids: Sequence[Grid], times: Int64s) -> Grid:
    """Put together grids of every n-th evaluation."""
    labels = tuple({each: None for grid in grids for each in grid.labels})
    rows = {each: row for row, each in enumerate(labels)}
    values = np.full((len(labels), len(times)), np.nan)
    present = np.zeros(values.shape, dtype=np.bool_)
    failed = np.zeros(len(times), dtype=np.bool_)
    for first, grid in enumerate(grids):
        chosen = slice(first, None, len(grids))
        failed[chosen] = grid.failed
        at = [rows[each] for each in grid.labels]
        values[at, chosen] = grid.values
        present[at, chosen] = grid.present
    return Grid(labels, times, values, present, failed)
