"""Rules that read their own outputs, one evaluation after the other, as a server does it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from kmon_analysis.errors import EvaluationError
from kmon_analysis.labels import METRIC_NAME, Labels
from kmon_analysis.promql.evaluate import evaluate
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.rules.dependencies import Node
from kmon_analysis.rules.model import AlertingRule, RecordingRule
from kmon_analysis.rules.outputs import alerts_for_state_labels, gather, same_bits, selected
from kmon_analysis.rules.states import AlertState, Replay, active_alerts, active_count, alerts_labels, step
from kmon_analysis.series import Grid, Samples, stale_marker
from kmon_analysis.timing import SECOND_MS

__all__ = ["Stepped", "run_stepwise"]

STALE = float(stale_marker()[0])
Column = tuple[list[int], list[float]]


@dataclass
class Storage:
    """Samples that rules have written so far; accepts what a server's storage would.

    Notes
    -----
    Prometheus ``tsdb/head_append.go``, ``appendable``: without an out-of-order window older samples are
    rejected, and so are other values at the newest time.
    """

    series: dict[Labels, Column] = field(default_factory=dict)

    def append(self, labels: Labels, time_ms: int, value: float) -> tuple[bool, bool]:
        """Append a sample; tell whether that succeeded, and whether the storage changed."""
        times, values = self.series.setdefault(labels, ([], []))
        if times and time_ms <= times[-1]:
            return time_ms == times[-1] and same_bits(value, values[-1]), False
        times.append(time_ms)
        values.append(value)
        return True, True


@dataclass
class Stepped:
    """One rule under way, and what it has done at the end.

    Attributes
    ----------
    node : Node
        The rule.
    inputs : sequence of Samples
        Recorded samples that it may select.
    upstream : sequence of (Node, Samples)
        What rules outside the circle wrote, by writer.
    ready : Grid or None
        Values of the expression where they are known already.
    returned : list of Mapping
        Result of each evaluation.
    broken, failed : list of bool
        Evaluations whose expression failed, and all that failed.
    states : list of Mapping
        Alerts after each evaluation.
    written : dict
        What it got into the storage.
    """

    node: Node
    inputs: Sequence[Samples]
    upstream: Sequence[tuple[Node, Samples]]
    ready: Grid | None = None
    returned: list[Mapping[Labels, float]] = field(default_factory=list)
    broken: list[bool] = field(default_factory=list)
    failed: list[bool] = field(default_factory=list)
    states: list[Mapping[Labels, AlertState]] = field(default_factory=list)
    written: dict[Labels, Column] = field(default_factory=dict)
    alive: set[Labels] = field(default_factory=set)

    @property
    def grid(self) -> Grid:
        """Values of the expression at the rule's evaluations."""
        labels = tuple({each: None for column in self.returned for each in column})
        rows = {each: row for row, each in enumerate(labels)}
        values = np.full((len(labels), len(self.returned)), np.nan)
        present = np.zeros(values.shape, dtype=np.bool_)
        for place, column in enumerate(self.returned):
            for each, value in column.items():
                values[rows[each], place] = value
                present[rows[each], place] = True
        failed = self.failed if isinstance(self.node.rule, RecordingRule) else self.broken
        return Grid(labels, self.node.clock.times, values, present, np.array(failed, dtype=np.bool_))

    @property
    def replay(self) -> Replay | None:
        """States of an alerting rule."""
        if not isinstance(self.node.rule, AlertingRule):
            return None
        clock = self.node.clock
        end_ms = int(clock.times[-1]) + clock.step_ms if len(clock) else 0
        failed = np.array(self.failed, dtype=np.bool_)
        return Replay(self.node.rule, clock.times, tuple(self.states), failed, end_ms)

    @property
    def samples(self) -> list[Samples]:
        """What it wrote."""
        return [
            Samples(labels, np.array(times, dtype=np.int64), np.array(values))
            for labels, (times, values) in self.written.items()
        ]


def run_stepwise(members: Sequence[Stepped], semantics: Semantics) -> None:
    """Evaluate rules that depend on each other, in the order of time and place; fills the members in.

    Parameters
    ----------
    members : sequence of Stepped
        The rules.
    semantics : Semantics
        The Prometheus release to agree with.

    Notes
    -----
    Prometheus ``rules/group.go``, ``Group.Eval``: each rule's result is in the storage before the next query.
    """
    storage = Storage()
    events = sorted(
        (ts_ms, member.node.place, column, member)
        for member in members
        for column, ts_ms in enumerate(member.node.clock.times.tolist())
    )
    for ts_ms, _, column, member in events:
        query_ms = ts_ms - member.node.offset_ms
        if member.ready is None:
            seen = gather(visible(member, storage, ts_ms, semantics))
            result = evaluate(member.node.rule.expr, seen, np.array([query_ms]), semantics)
            vector = None if result.failed[0] else result.at(0)
        else:
            vector = None if member.ready.failed[column] else member.ready.at(column)
        rows = None if vector is None else rows_of(member, vector, ts_ms)
        member.returned.append(vector or {})
        member.broken.append(vector is None)
        member.failed.append(rows is None)
        if isinstance(member.node.rule, AlertingRule) and len(member.states) < len(member.failed):
            member.states.append(member.states[-1] if member.states else {})
        if rows is not None and member.node.shapes:
            commit(member, storage, rows, query_ms)


def rows_of(member: Stepped, vector: Mapping[Labels, float], ts_ms: int) -> dict[Labels, float] | None:
    """Return what a rule writes for a result; None where the evaluation fails."""
    rule, limit = member.node.rule, member.node.group.limit
    if isinstance(rule, RecordingRule):
        rows = {labels.updated({**rule.labels, METRIC_NAME: rule.record}): value for labels, value in vector.items()}
        return None if len(rows) < len(vector) or 0 < limit < len(rows) else rows
    try:
        returned = active_alerts(rule, vector)
    except EvaluationError:
        return None
    before = member.states[-1] if member.states else {}
    states = step(before, returned, ts_ms, rule.for_ms, rule.keep_firing_for_ms)
    if 0 < limit < active_count(states.values()):
        member.states.append({})
        return None
    member.states.append(states)
    rows = {}
    for alert, kept in states.items():
        if kept.state != "inactive":
            rows[alerts_labels(rule, alert, kept.state)] = 1.0
            rows[alerts_for_state_labels(rule, alert)] = float(kept.active_at_ms // SECOND_MS)
    return rows


def commit(member: Stepped, storage: Storage, rows: Mapping[Labels, float], time_ms: int) -> None:
    """Write a result, and mark what the evaluation before wrote and this one did not."""
    ended = dict.fromkeys(sorted(member.alive - rows.keys()), STALE)
    alive = set()
    for labels, value in (*rows.items(), *ended.items()):
        accepted, changed = storage.append(labels, time_ms, value)
        if changed:
            times, values = member.written.setdefault(labels, ([], []))
            times.append(time_ms)
            values.append(value)
        if accepted and labels in rows:
            alive.add(labels)
    member.alive = alive


def visible(member: Stepped, storage: Storage, ts_ms: int, semantics: Semantics) -> Iterator[Samples]:
    """Yield the samples that a rule can see at one of its evaluations."""
    node, what = member.node, member.node.reading
    query_ms = ts_ms - node.offset_ms
    low_ms, high_ms = query_ms - what.reach_ms - semantics.lookback_ms, query_ms + what.ahead_ms
    if what.pinned:
        low_ms, high_ms = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    for part in member.inputs:
        yield between(part, low_ms, high_ms)
    for writer, part in member.upstream:
        known_ms = ts_ms - writer.offset_ms - (0 if writer.place < node.place else 1)
        yield between(part, low_ms, min(high_ms, known_ms))
    for labels, (times, values) in storage.series.items():
        if selected(labels, what.selectors, dot_all=semantics.dot_all):
            low, high = bisect_left(times, low_ms), bisect_right(times, high_ms)
            yield Samples(labels, np.array(times[low:high], dtype=np.int64), np.array(values[low:high]))


def between(part: Samples, low_ms: int, high_ms: int) -> Samples:
    """Return the samples with ``low_ms <= time <= high_ms``."""
    low, high = np.searchsorted(part.times, low_ms), np.searchsorted(part.times, high_ms, side="right")
    return Samples(part.labels, part.times[low:high], part.values[low:high])
