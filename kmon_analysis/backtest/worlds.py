"""Replays under assumptions: other releases and instants, restarts, evaluations and samples that were not there."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from kmon_analysis.backtest.timelines import (
    Difference,
    Recorded,
    Timelines,
    differences,
    lived,
    owners,
    recorded,
)
from kmon_analysis.errors import InputError
from kmon_analysis.labels import METRIC_NAME, Labels
from kmon_analysis.promql.evaluate import evaluate
from kmon_analysis.promql.needs import fixed_selections, selections
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.rules.groups import GroupsRun, rule_key, run_groups
from kmon_analysis.rules.life import Life, Restoring, Slots, live
from kmon_analysis.rules.model import AlertingRule, RecordingRule, Rule, RuleGroup
from kmon_analysis.series import Grid, Samples, SeriesSet, stale_marker
from kmon_analysis.timing import EvaluationGrid, Interval

__all__ = ["Case", "Conditions", "Hidden", "Replayer", "World"]

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Case:
    """What is compared.

    Attributes
    ----------
    groups : tuple of RuleGroup
        As in the file, each with its interval stated.
    series : SeriesSet
        Raw samples of what the rules read, and ``ALERTS`` and ``ALERTS_FOR_STATE``.
    clocks : tuple of EvaluationGrid
        By group: when the file's groups are believed to be evaluated, from before the window on.
    window : Interval
        What is compared.
    semantics : Semantics
        The release that is believed to run.
    deployed : tuple of RuleGroup or None
        By group: as the server has it, where it says so.
    starts : tuple of int
        Known starts of the server's process, in milliseconds.
    grace_ms, tolerance_ms : int or None
        The server's settings for restoring; None: the defaults.
    markers : bool
        Whether the series hold stale markers.
    told_phases : tuple of bool
        By group: whether the server itself tells when it is evaluated.
    told_version : bool
        Whether the server itself tells its release.
    """

    groups: tuple[RuleGroup, ...]
    series: SeriesSet
    clocks: tuple[EvaluationGrid, ...]
    window: Interval
    semantics: Semantics
    deployed: tuple[RuleGroup | None, ...] = ()
    starts: tuple[int, ...] = ()
    grace_ms: int | None = None
    tolerance_ms: int | None = None
    markers: bool = True
    told_phases: tuple[bool, ...] = ()
    told_version: bool = False


@dataclass(frozen=True)
class Conditions:
    """What the replay of a group assumes."""

    phase_ms: int
    absent: frozenset[int] = frozenset()
    starts: tuple[int, ...] = ()
    restored_after_ms: int = 1


@dataclass(frozen=True, slots=True)
class Hidden:
    """Samples of one scrape target that an evaluation did not see yet."""

    slot_ms: int
    target: Labels


@dataclass(frozen=True)
class World:
    """What the replay of all groups assumes."""

    groups: tuple[RuleGroup, ...]
    version: str
    conditions: tuple[Conditions, ...]
    # By the place of the rule among all alerting rules.
    failed: Mapping[int, frozenset[int]] = field(default_factory=dict)
    hidden: Mapping[int, tuple[Hidden, ...]] = field(default_factory=dict)

    def at(self, place: int, **changes: object) -> World:
        """Return a world in which one group has other conditions."""
        changed = dataclasses.replace(self.conditions[place], **changes)  # type: ignore[arg-type]
        return dataclasses.replace(self, conditions=(*self.conditions[:place], changed, *self.conditions[place + 1 :]))


class Replayer:
    """Replays the rules of a case in any world, and measures what is left.

    Parameters
    ----------
    case : Case
        What is compared.

    Attributes
    ----------
    rules : list of AlertingRule
        All alerting rules, in file order; they are named by their place here.
    group_of : list of int
        By rule: the place of its group.
    seen : list of Recorded
        By rule: what the server wrote.
    refused : dict
        By rule: why it cannot be compared.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        self.rules = [rule for group in case.groups for rule in group.rules if isinstance(rule, AlertingRule)]
        self.group_of = [
            place for place, group in enumerate(case.groups) for rule in group.rules if isinstance(rule, AlertingRule)
        ]
        found, shared = owners(self.rules, case.series)
        self.seen: list[Recorded] = [
            recorded(case.series, found[place], query_offset_ms=case.groups[self.group_of[place]].query_offset_ms)
            for place in range(len(self.rules))
        ]
        self.refused: dict[int, str] = dict.fromkeys(
            shared, "several rules of the file write the same series of ALERTS"
        )
        self._runs: dict[object, GroupsRun] = {}
        self._patched: dict[object, tuple[dict[Labels, float], bool]] = {}

    def run(self, world: World) -> GroupsRun:
        """Evaluate all groups."""
        # Evaluations that did not take place matter to recording rules; alerts drop their columns later.
        records = [any(isinstance(rule, RecordingRule) for rule in group.rules) for group in world.groups]
        clocks = [
            Slots(clock.start_ms, clock.end_ms, clock.step_ms, what.phase_ms, what.absent if record else frozenset())
            for clock, what, record in zip(self.case.clocks, world.conditions, records, strict=True)
        ]
        key = (id(world.groups), world.version, tuple(clocks))
        if key not in self._runs:
            self._runs[key] = run_groups(world.groups, self.case.series, clocks, self.semantics(world))
        return self._runs[key]

    def semantics(self, world: World) -> Semantics:
        """Return the semantics of a world."""
        base = self.case.semantics
        if world.version == base.version:
            return base
        return dataclasses.replace(
            Semantics.of(world.version), lookback_ms=base.lookback_ms, subquery_step_ms=base.subquery_step_ms
        )

    def slots(self, world: World, group: int) -> Int64s:
        """Return all instants of a group, also those at which it was not evaluated."""
        clock = self.case.clocks[group]
        return EvaluationGrid(clock.start_ms, clock.end_ms, clock.step_ms, world.conditions[group].phase_ms).times

    def rule(self, world: World, place: int) -> AlertingRule:
        """Return a rule as a world has it."""
        group = world.groups[self.group_of[place]]
        chosen = group.rules[self.rules[place].index]
        return chosen if isinstance(chosen, AlertingRule) else self.rules[place]

    def replayed(self, world: World, place: int) -> Timelines:
        """Replay one rule; as `life`."""
        return lived(self.life(world, place))

    def life(self, world: World, place: int) -> Life:
        """Replay one rule.

        Raises
        ------
        InputError
            If the rule cannot be evaluated.
        """
        group = self.group_of[place]
        rule, what = self.rule(world, place), world.conditions[group]
        run = self.run(world)
        if rule_key(rule) in run.refused:
            raise run.refused[rule_key(rule)]
        grid = run.runs[rule_key(rule)].grid
        for hidden in world.hidden.get(place, ()):
            grid = self._patch(world, place, run, grid, hidden)
        gone = what.absent | world.failed.get(place, frozenset())
        if gone:
            kept = ~np.isin(grid.times, np.array(sorted(what.absent), dtype=np.int64))
            failed = grid.failed | np.isin(grid.times, np.array(sorted(gone), dtype=np.int64))
            grid = Grid(grid.labels, grid.times[kept], grid.values[:, kept], grid.present[:, kept], failed[kept])
        semantics = self.semantics(world)
        return live(
            rule,
            grid,
            what.starts,
            Restoring.of(semantics.release, self.case.grace_ms, self.case.tolerance_ms),
            limit=world.groups[group].limit,
            demote=semantics.release >= (3, 11),
            restore_after_ms=what.restored_after_ms,
        )

    def left(self, world: World, place: int) -> tuple[Difference, ...]:
        """Return the differences of one rule in a world; none for rules that cannot be compared."""
        if place in self.refused:
            return ()
        try:
            replay = self.replayed(world, place)
        except InputError as error:
            self.refused[place] = error.problem
            return ()
        step_ms = self.case.clocks[self.group_of[place]].step_ms
        return differences(self.seen[place].timelines, replay, step_ms, self.case.window)

    def cost(self, world: World, places: Iterable[int]) -> int:
        """Return how long some rules differ, over all their alerts."""
        return sum(one.interval.duration_ms for place in places for one in self.left(world, place))

    def members(self, group: int) -> list[int]:
        """Return the rules of a group that are compared."""
        return [place for place, where in enumerate(self.group_of) if where == group and place not in self.refused]

    def selected(self, rule: Rule, series: SeriesSet) -> list[int]:
        """Return the series that an expression selects."""
        dot_all = self.case.semantics.dot_all
        needs = [need.matchers for need in selections(rule.expr)]
        needs += [need.matchers for need in fixed_selections(rule.expr)]
        rows = (series.matching(matchers, dot_all=dot_all).tolist() for matchers in needs)
        return sorted({int(row) for each in rows for row in each})

    def matters(self, one: World, other: World, place: int, slot_ms: int) -> bool:
        """Tell whether hiding samples changes what a rule returns at an evaluation."""
        run = self.run(one)
        grid = run.runs[rule_key(self.rule(one, place))].grid
        columns = np.flatnonzero(grid.times == slot_ms)
        if not len(columns):
            return False
        returned = []
        for world in (one, other):
            patched = grid
            for hidden in world.hidden.get(place, ()):
                if hidden.slot_ms == slot_ms:
                    patched = self._patch(world, place, run, patched, hidden)
            returned.append((dict(patched.at(int(columns[0]))), bool(patched.failed[columns[0]])))
        return returned[0] != returned[1]

    def _unseen(
        self,
        world: World,
        rule: AlertingRule,
        group: RuleGroup,
        series: SeriesSet,
        together: tuple[Hidden, ...],
        at_ms: int,
    ) -> SeriesSet:
        """Return what a rule could read at an evaluation that did not see some targets' newest samples."""
        before = [other for other in group.rules[: rule.index] if isinstance(other, RecordingRule)]
        readers: list[Rule] = [rule, *before]
        rows = sorted({row for each in readers for row in self.selected(each, series)})
        written = {other.record for each in world.groups for other in each.rules if isinstance(other, RecordingRule)}
        targets = {each.target for each in together}
        kept = series.take(rows)
        if not any(fixed_selections(each.expr) for each in readers):
            needs = [need for each in readers for need in selections(each.expr)]
            back_ms = max((need.lookback_ms for need in needs), default=0) + self.case.semantics.lookback_ms
            ahead_ms = max((need.lookahead_ms for need in needs), default=0)
            kept = kept.between(at_ms - back_ms - 1, at_ms + ahead_ms + 1)
        seen = SeriesSet.from_samples(
            _without_newest(one, at_ms)
            if one.labels.only(("job", "instance")) in targets and one.labels.value(METRIC_NAME) not in written
            else one
            for one in kept
        )
        # Recording rules before it in the group were evaluated on the same samples.
        for other in before:
            found = evaluate(other.expr, seen, np.array([at_ms], dtype=np.int64), self.semantics(world)).at(0)
            now = {
                labels.updated({**other.labels, METRIC_NAME: other.record}): value for labels, value in found.items()
            }
            seen = _rewritten(seen, other, now, at_ms)
        return seen

    def _patch(self, world: World, place: int, run: GroupsRun, grid: Grid, hidden: Hidden) -> Grid:
        """Evaluate one column without the newest samples of a target."""
        rule, group = self.rule(world, place), world.groups[self.group_of[place]]
        columns = np.flatnonzero(grid.times == hidden.slot_ms)
        if not len(columns):
            return grid
        together = tuple(one for one in world.hidden.get(place, ()) if one.slot_ms == hidden.slot_ms)
        key = (id(run), place, hidden.slot_ms, together)
        if key not in self._patched:
            at_ms = hidden.slot_ms - group.query_offset_ms
            series = self._unseen(world, rule, group, run.series, together, at_ms)
            found = evaluate(rule.expr, series, np.array([at_ms], dtype=np.int64), self.semantics(world))
            self._patched[key] = dict(found.at(0)), bool(found.failed[0])
        values, failed = self._patched[key]
        return _with_column(grid, int(columns[0]), values, failed=failed)


def _without_newest(one: Samples, at_ms: int) -> Samples:
    """Drop the newest sample that an evaluation could see."""
    stop = int(np.searchsorted(one.times, at_ms, side="right"))
    if not stop:
        return one
    kept = np.arange(len(one.times)) != stop - 1
    return Samples(one.labels, one.times[kept], one.values[kept])


def _rewritten(series: SeriesSet, rule: RecordingRule, now: Mapping[Labels, float], at_ms: int) -> SeriesSet:
    """Replace what a recording rule wrote at one evaluation."""
    parts = {one.labels: one for one in series}
    own = {
        labels
        for labels in parts
        if labels.value(METRIC_NAME) == rule.record
        and all(labels.value(name) == value for name, value in rule.labels.items())
    }
    for labels in own | now.keys():
        old = parts.get(labels, Samples(labels, np.empty(0, dtype=np.int64), np.empty(0)))
        stop = int(np.searchsorted(old.times, at_ms))
        later = stop + int(stop < len(old.times) and old.times[stop] == at_ms)
        if labels not in now and later == stop:
            continue
        value = now.get(labels, float(stale_marker()[0]))
        parts[labels] = Samples(
            labels,
            np.concatenate([old.times[:stop], np.array([at_ms], dtype=np.int64), old.times[later:]]),
            np.concatenate([old.values[:stop], np.array([value]), old.values[later:]]),
        )
    return SeriesSet.from_samples(parts.values())


def _with_column(grid: Grid, column: int, values: Mapping[Labels, float], *, failed: bool) -> Grid:
    """Replace one evaluation."""
    labels = (*grid.labels, *(each for each in values if each not in set(grid.labels)))
    rows = {each: row for row, each in enumerate(labels)}
    shape = (len(labels), len(grid.times))
    numbers, present = np.full(shape, np.nan), np.zeros(shape, dtype=np.bool_)
    numbers[: len(grid.labels)], present[: len(grid.labels)] = grid.values, grid.present
    numbers[:, column], present[:, column] = np.nan, False
    for each, value in values.items():
        numbers[rows[each], column], present[rows[each], column] = value, True
    broken = grid.failed.copy()
    broken[column] = failed
    return Grid(labels, grid.times, numbers, present, broken)
