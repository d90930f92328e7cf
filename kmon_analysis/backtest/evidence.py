"""Why recorded alerts differ from a replay: causes, each put into the replay and kept where it removes differences."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from kmon_analysis.backtest.timelines import Agreement, Difference, agreement, same_beginnings, silent_slots
from kmon_analysis.backtest.validated import Cause, Step, overlap_ms, validated
from kmon_analysis.backtest.worlds import Case, Conditions, Hidden, Replayer, World
from kmon_analysis.labels import METRIC_NAME, Labels
from kmon_analysis.promql.needs import selections
from kmon_analysis.promql.printer import format_expr
from kmon_analysis.rules.life import UNSEEN
from kmon_analysis.rules.model import AlertingRule, RecordingRule, Rule, RuleGroup
from kmon_analysis.timing import Interval, duration, format_duration, format_instant

__all__ = ["Explained", "Verdict", "investigate"]

Int64s = npt.NDArray[np.int64]
# Slots after a start of the server at which its first evaluation is looked for.
_FIRST_SLOTS = 40
_FEW_SLOTS = 8
# Evaluations of one rule of which it is tried whether a sample was hidden.
_MOST_HIDDEN = 500
# Evaluations before a difference at which that is tried, targets at each, and replays for one rule.
_MOST_SLOTS, _MOST_TARGETS, _MOST_TRIALS = 40, 12, 400
# A scrape ends before the next one of its target; markers of a target that went away come a few later.
_LATE_SCRAPES = 4
_FEW_DIFFERENCES = 3
_VERSIONS = ("2.42", "3.0", "3.5", "3.16")
# One instant lies at some phase always. Each further one that lies there, too, would do so by chance once in as many
# times as the interval has milliseconds; two of them at least are asked for.
_LEAST_INSTANTS = 3
# Delays of the restoration behind its evaluation, as parts of the interval.
_RESTORED_AFTER = (0.25, 0.5, 0.75)


@dataclass(frozen=True, slots=True)
class Explained:
    """A difference and its causes; without any it is unexplained."""

    difference: Difference
    causes: tuple[Cause, ...]
    removed: bool
    sound: bool = True

    @property
    def verdict(self) -> Literal["proven", "probable", "unexplained"]:
        """How sure it is; nothing is proven by causes that are not sound: with them, states differ that had agreed."""
        if self.causes and all(cause.kind == "series missing" for cause in self.causes):
            return "probable"
        if not self.causes or not self.removed:
            return "unexplained"
        return "proven" if self.sound and all(cause.proven for cause in self.causes) else "probable"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One rule.

    Attributes
    ----------
    rule : AlertingRule
        As in the file.
    plain : Agreement
        Of the replay of a server that never restarts, misses nothing and sees everything at once.
    told : Agreement
        Of the replay with all causes that were found.
    explained : tuple of Explained
        Differences of the plain replay, then those that only the other has, in the order of time.
    refused : str
        Why the rule could not be compared.
    beginnings, beginnings_told : (int, int)
        Values of ``ALERTS_FOR_STATE`` that could be compared, and equal ones: of the plain replay, and of the other.
    """

    rule: AlertingRule
    plain: Agreement | None = None
    told: Agreement | None = None
    explained: tuple[Explained, ...] = ()
    refused: str = ""
    beginnings: tuple[int, int] = (0, 0)
    beginnings_told: tuple[int, int] = (0, 0)


def investigate(case: Case) -> tuple[Verdict, ...]:
    """Compare every alerting rule with what the server recorded, and look for the causes of all differences.

    Parameters
    ----------
    case : Case
        What is compared.

    Returns
    -------
    tuple of Verdict
        In file order.

    Notes
    -----
    Causes are put into the replay one after the other, those that are seen elsewhere first: a rule that the server
    has otherwise, the instants of the recorded samples, starts of the server, evaluations that wrote nothing; then
    the release, and samples that a scrape had not delivered yet. Then all of them are replayed together; those that
    make states differ which had agreed, and explain no more than they break, are taken back
    (`kmon_analysis.backtest.validated`). What is left is unexplained.
    """
    return _Investigation(case).verdicts()


class _Investigation(Replayer):
    """One comparison; `world` is what is believed so far."""

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        self.world = World(
            case.groups, case.semantics.version, tuple(Conditions(clock.phase_ms) for clock in case.clocks)
        )
        self.trials = [0] * len(self.rules)
        self._usual: dict[int, int] = {}
        self._inputs: dict[int, list[int]] = {}
        self._deployed: dict[frozenset[int], tuple[RuleGroup, ...]] = {}

    # ---- the whole -------------------------------------------------------------------------------

    def verdicts(self) -> tuple[Verdict, ...]:
        """Go through all causes."""
        plain = self.world
        every = range(len(self.rules))
        before = {place: self.left(plain, place) for place in every}
        found = [
            step
            for stage in (self._rules, self._phases, self._restarts, self._misses, self._versions, self._late)
            for step in stage()
        ]
        steps, unsound = validated(plain, found, before, self.left)
        world, history = plain, []
        for step in steps:
            # What each cause took away is seen against the state before it.
            world = step.put(world)
            history.append((step, {place: self.left(world, place) for place in step.places}))
        self.world = world
        return tuple(self._verdict(plain, place, before[place], history, unsound) for place in every)

    def _taken(self, causes: list[Cause], places: list[int], put: Callable[[World], World]) -> Step:
        """Believe in causes from here on."""
        self.world = put(self.world)
        return Step(tuple(causes), tuple(places), put)

    def _verdict(
        self,
        plain: World,
        place: int,
        before: Sequence[Difference],
        history: Sequence[tuple[Step, Mapping[int, Sequence[Difference]]]],
        unsound: frozenset[int],
    ) -> Verdict:
        rule = self.rules[place]
        if place in self.refused:
            return Verdict(rule, refused=self.refused[place])
        group = self.group_of[place]
        clock = self.case.clocks[group]
        last = self.left(self.world, place)
        explained = []
        for one in before:
            causes: list[Cause] = []
            sound = True
            open_ms = one.interval.duration_ms
            for step, now in history:
                if place not in now:
                    continue
                still_ms = overlap_ms(one, now[place])
                if still_ms < open_ms:
                    causes += step.causes
                    sound = sound and id(step) not in unsound
                open_ms = still_ms
            if open_ms:
                # A cause is told of what it explains, not of what it merely shortens.
                causes = []
                if self._missing(place, one):
                    evidence = "the history holds nothing of what the rule reads then, and the server recorded an alert"
                    causes = [Cause("series missing", evidence, False, one.interval)]
            explained.append(Explained(one, tuple(causes), open_ms == 0, sound))
        fresh = [one for one in last if overlap_ms(one, before) < one.interval.duration_ms]
        explained += [Explained(one, (), False) for one in fresh]
        worlds = (plain, self.world)
        replays = [self.replayed(world, place) for world in worlds]
        # Both are counted over the same alerts and evaluations, so that the counts can be compared.
        alerts = frozenset().union(self.seen[place].timelines, *replays)
        measured = [
            agreement(
                self.seen[place].timelines,
                replay,
                self.slots(self.world, group),
                clock.step_ms,
                self.case.window,
                alerts,
            )
            for replay in replays
        ]
        ordered = sorted(explained, key=lambda each: (each.difference.interval, each.difference.labels))
        begun = [
            same_beginnings(self.seen[place], self.life(world, place), self.case.window, clock.start_ms + clock.step_ms)
            for world in worlds
        ]
        return Verdict(rule, measured[0], measured[1], tuple(ordered), "", begun[0], begun[1])

    def _missing(self, place: int, one: Difference) -> bool:
        """Tell whether a rule's series are not in the history where the server's record needs them."""
        if one.recorded == "none":
            return False
        needs = selections(self.rule(self.world, place).expr)
        for need in needs:
            back_ms = need.lookback_ms + self.case.semantics.lookback_ms
            for index in self.case.series.matching(need.matchers).tolist():
                times = self.case.series[index].times
                if np.any((times > one.interval.start_ms - back_ms) & (times <= one.interval.end_ms)):
                    return False
        return bool(needs)

    # ---- stages ----------------------------------------------------------------------------------

    def _rules(self) -> Iterator[Step]:
        """Take the rules that the server has."""
        changed: dict[int, list[str]] = {}
        for place, deployed in enumerate(self.case.deployed):
            if deployed is None:
                continue
            for rule, served in zip(self.case.groups[place].rules, deployed.rules, strict=True):
                said = _changes(rule, served)
                if said:
                    changed.setdefault(place, []).append(f"{rule.name}: {said}")
        for place, said_of in changed.items():
            evidence = f"the server has {'; '.join(said_of)}"
            put = partial(self._with_deployed, place)
            yield self._taken([Cause("rule changed", evidence)], self._rules_after(place), put)

    def _with_deployed(self, place: int, world: World) -> World:
        """Put the server's rules in the place of one group's; equal choices share one tuple, by which runs are kept."""
        taken = frozenset(
            where
            for where, (group, deployed) in enumerate(zip(world.groups, self.case.deployed, strict=False))
            if where == place or group is deployed
        )
        if taken not in self._deployed:
            self._deployed[taken] = tuple(
                (self.case.deployed[where] or group) if where in taken else group
                for where, group in enumerate(self.case.groups)
            )
        return dataclasses.replace(world, groups=self._deployed[taken])

    def _rules_after(self, group: int) -> list[int]:
        """Return the rules that a change of a group reaches: others, too, where it records what they read."""
        if any(isinstance(rule, RecordingRule) for rule in self.case.groups[group].rules):
            return [place for place in range(len(self.rules)) if place not in self.refused]
        return self.members(group)

    def _phases(self) -> Iterator[Step]:
        """Take the instants at which samples were recorded."""
        for group, clock in enumerate(self.case.clocks):
            times = self._events(group)
            if not len(times):
                continue
            phases, counts = np.unique(times % clock.step_ms, return_counts=True)
            phase_ms, most = int(phases[counts.argmax()]), int(counts.max())
            if phase_ms == self.world.conditions[group].phase_ms or most * 2 <= len(times):
                continue
            told = group < len(self.case.told_phases) and self.case.told_phases[group]
            if most < _LEAST_INSTANTS and told:
                continue
            evidence = (
                f"{most} of {len(times)} recorded instants lie {duration(phase_ms, exact=True)} after full "
                f"intervals of {duration(clock.step_ms, exact=True)}, not {duration(clock.phase_ms, exact=True)}"
            )
            if told:
                evidence += ", where the server evaluates the group now"
            elif most < _LEAST_INSTANTS:
                evidence += f"; fewer than {_LEAST_INSTANTS} prove no phase"
            sure = not told and most == len(times) and most >= _LEAST_INSTANTS
            put = partial(World.at, place=group, phase_ms=phase_ms)
            yield self._taken([Cause("phase", evidence, sure)], self._rules_after(group), put)

    def _restarts(self) -> Iterator[Step]:
        """Restart where the server says that its process started, and where all outputs pause as after a start."""
        raw = np.unique(self.case.series.times)
        written = {rule.record for one in self.case.groups for rule in one.rules if isinstance(rule, RecordingRule)}
        written |= {"ALERTS", "ALERTS_FOR_STATE"}
        self._scraped = np.unique(
            np.concatenate(
                [
                    np.empty(0, dtype=np.int64),
                    *(one.times for one in self.case.series if one.labels.value(METRIC_NAME) not in written),
                ]
            )
        )
        for group, clock in enumerate(self.case.clocks):
            slots = self.slots(self.world, group)
            known = [start for start in self.case.starts if clock.start_ms < start < clock.end_ms]
            for start_ms in sorted(known):
                before = raw[raw < start_ms]
                events = self._events(group)
                lived_until = max([*before[-1:].tolist(), *events[events < start_ms][-1:].tolist()], default=-1)
                said = f"its process started at {format_instant(start_ms)}"
                yield from self._restart(group, slots, lived_until, start_ms, said, proven=True)
            for first, last in _runs(self._silent(group), clock.step_ms):
                begun = self.world.conditions[group].starts
                if any(first <= start <= last for start in begun) or last - first < (UNSEEN - 1) * clock.step_ms:
                    continue
                said = "its outputs pause for at least two evaluations and are not marked stale"
                yield from self._restart(group, slots, first - 1, first, said, proven=False)

    def _restart(
        self, group: int, slots: Int64s, lived_until: int, start_ms: int, said: str, *, proven: bool
    ) -> Iterator[Step]:
        """Find the first evaluation of a process."""
        clock, what = self.case.clocks[group], self.world.conditions[group]
        events = self._events(group)
        later = events[events >= start_ms]
        # The third evaluation is the first that writes alerts.
        latest = int(later[0]) - UNSEEN * clock.step_ms if len(later) else int(slots[-1])
        # A server that scrapes evaluates. Without this bound a restart would excuse every silence after it.
        scraped = self._scraped[self._scraped >= start_ms]
        latest = min(latest, (int(scraped[0]) if len(scraped) else start_ms) + UNSEEN * clock.step_ms)
        candidates = slots[(slots >= start_ms) & (slots <= latest)]
        # Recording rules must be evaluated anew for each.
        records = any(isinstance(rule, RecordingRule) for group_ in self.world.groups for rule in group_.rules)
        most = _FEW_SLOTS if records else _FIRST_SLOTS
        if len(candidates) > most:
            candidates = np.concatenate([candidates[: most // 2], candidates[-most // 2 :]])
        members = self.members(group)
        best: tuple[int, World, int, frozenset[int]] | None = None
        for first in candidates.tolist():
            down = frozenset(slots[(slots > lived_until) & (slots < first)].tolist())
            world = self.world.at(group, absent=what.absent | down, starts=(*what.starts, first))
            cost = self.cost(world, members)
            if best is None or cost < best[0]:
                best = cost, world, first, down
        for part in _RESTORED_AFTER:
            if best is not None and best[0]:
                world = best[1].at(group, restored_after_ms=int(part * clock.step_ms))
                cost = self.cost(world, members)
                best = min(best, (cost, world, *best[2:]), key=lambda each: each[0])
        if best is None or (not proven and best[0] >= self.cost(self.world, members)):
            return
        ends = best[2] + UNSEEN * clock.step_ms
        evidence = (
            f"{said}; its first evaluation was at {format_instant(best[2])}, {len(best[3])} before did not take place, "
            f"and a process does not write its first {UNSEEN}"
        )
        found = best

        def put(world: World) -> World:
            now = world.conditions[group]
            return world.at(
                group,
                absent=now.absent | found[3],
                starts=(*now.starts, found[2]),
                restored_after_ms=found[1].conditions[group].restored_after_ms,
            )

        cause = Cause("restart", evidence, proven and self._clocked(group), Interval(min(start_ms, found[2]), ends))
        yield self._taken([cause], self._rules_after(group), put)

    def _misses(self) -> Iterator[Step]:
        """Leave out the evaluations at which nothing was written."""
        for group, clock in enumerate(self.case.clocks):
            what = self.world.conditions[group]
            quiet = self._quiet(group)
            silent = [slot for slot in self._silent(group) if slot not in what.absent and slot not in quiet]
            together = self._events(group)
            missed = [slot for slot in silent if slot not in set(together.tolist())]
            if missed:
                cause = Cause(
                    "missed evaluation",
                    f"nothing of the group was written at {len(missed)} evaluations "
                    f"({_some(missed)}), and nothing was marked stale",
                    self.case.markers and self._clocked(group),
                    Interval(missed[0], missed[-1] + clock.step_ms),
                )
                yield self._taken([cause], self._rules_after(group), partial(_absent, group, frozenset(missed)))
            slots = self.slots(self.world, group)
            gone = self.world.conditions[group].absent
            for place in self.members(group):
                failed = (
                    []
                    if not self.case.markers
                    else [
                        int(slot)
                        for slot in silent_slots(self.seen[place], slots, self.world.conditions[group].starts)
                        if int(slot) not in gone and int(slot) not in quiet
                    ]
                )
                if not failed:
                    continue
                evidence = f"other rules of the group wrote at {_some(failed)}, this one neither wrote nor ended"
                at = Interval(failed[0], failed[-1] + clock.step_ms)
                cause = Cause("failed evaluation", evidence, self.case.markers and self._clocked(group), at)
                yield self._taken([cause], [place], partial(_failed, place, frozenset(failed)))

    def _versions(self) -> Iterator[Step]:
        """Try other releases."""
        every = [place for place in range(len(self.rules)) if place not in self.refused]
        cost = self.cost(self.world, every)
        many = sum(len(self.left(self.world, place)) for place in every)
        if not cost:
            return
        tried = [dataclasses.replace(self.world, version=version) for version in _VERSIONS]
        costs = [self.cost(world, every) for world in tried]
        best = int(np.argmin(costs))
        # A hidden sample explains a single evaluation; another release must explain most of several.
        if costs[best] * 2 > cost or many < _FEW_DIFFERENCES:
            return
        evidence = (
            f"with the semantics of {tried[best].version} instead of {self.case.semantics.version} rules differ for "
            f"{duration(costs[best], exact=True)} instead of {duration(cost, exact=True)}"
        )
        if self.case.told_version:
            evidence += ", but the server says its release"
        put = partial(_released, tried[best].version)
        yield self._taken([Cause("version", evidence, not self.case.told_version)], every, put)

    def _late(self) -> Iterator[Step]:
        """Hide the newest samples from single evaluations."""
        for place in range(len(self.rules)):
            tried: set[tuple[int, Labels]] = set()
            for _ in range(_MOST_HIDDEN):
                left = [one for one in self.left(self.world, place) if (one.interval.start_ms, one.labels) not in tried]
                if not left:
                    break
                tried.add((left[0].interval.start_ms, left[0].labels))
                found = self._hide(place, left[0])
                if found is not None:
                    cause, hidden = found
                    yield self._taken([cause], [place], partial(_hidden, place, hidden))

    def _hide(self, place: int, one: Difference) -> tuple[Cause, Hidden] | None:
        """Find the scrape that was under way when a difference began."""
        group = self.group_of[place]
        slots = self.slots(self.world, group)
        rule, step_ms = self.rule(self.world, place), self.case.clocks[group].step_ms
        begun_ms = one.interval.start_ms
        at = slots[slots <= begun_ms][-1:].tolist()
        # Other rules were evaluated at the same instants, mostly with the same samples.
        known = {each.slot_ms for other in self.members(group) for each in self.world.hidden.get(other, ())}
        at += sorted((slot for slot in known if slot < begun_ms), reverse=True)
        # The first evaluations of a process are not written, but count.
        starts = [start for start in self.world.conditions[group].starts if start <= begun_ms]
        at += slots[(slots >= starts[-1])][:UNSEEN].tolist() if starts else []
        # What keeps firing does not show when the expression stopped to hold.
        back = slots[(slots < begun_ms) & (slots >= begun_ms - rule.keep_firing_for_ms - 2 * step_ms)]
        at = list(dict.fromkeys([*at, *back[::-1].tolist()]))[:_MOST_SLOTS]
        cost = self.cost(self.world, [place])
        for slot in at:
            for target, age_ms, sure in self._young(place, slot, one.labels)[:_MOST_TARGETS]:
                if self.trials[place] >= _MOST_TRIALS:
                    return None
                world = _hidden(place, Hidden(slot, target), self.world)
                if not self.matters(self.world, world, place, slot):
                    continue
                self.trials[place] += 1
                if self.cost(world, [place]) < cost:
                    evidence = (
                        f"the evaluation at {format_instant(slot)} did not see the scrape of {target} that began "
                        f"{duration(age_ms, exact=True)} before"
                    )
                    sure = sure and self._clocked(group)
                    return Cause("late sample", evidence, sure, Interval(slot, slot + 1)), Hidden(slot, target)
        return None

    def _young(self, place: int, slot: int, alert: Labels) -> list[tuple[Labels, int, bool]]:
        """Return targets whose scrape may have been under way at an evaluation.

        Returns
        -------
        list of (Labels, int, bool)
            The target, how long before its scrape began, and whether that is less than the time between its scrapes;
            first those that the alert names.
        """
        at_ms = slot - self.world.groups[self.group_of[place]].query_offset_ms
        found: dict[Labels, tuple[int, bool]] = {}
        for index in self._read(place):
            one = self.case.series[index]
            stop = int(np.searchsorted(one.times, at_ms, side="right"))
            if not stop or one.labels.value(METRIC_NAME).startswith("ALERTS"):
                continue
            age_ms = at_ms - int(one.times[stop - 1])
            usual_ms = self._usual_ms(index)
            target = one.labels.only(("job", "instance"))
            if age_ms <= _LATE_SCRAPES * usual_ms:
                found[target] = min((age_ms, age_ms < usual_ms), found.get(target, (age_ms, True)))
        named = alert.only(("job", "instance"))
        return sorted(
            ((target, *age) for target, age in found.items()), key=lambda item: (item[0] != named, item[1], item[0])
        )

    def _usual_ms(self, index: int) -> int:
        """Return the usual time between the samples of a series."""
        if index not in self._usual:
            times = self.case.series[index].times
            self._usual[index] = int(np.median(np.diff(times))) if len(times) > 1 else 0
        return self._usual[index]

    def _read(self, place: int) -> list[int]:
        """Return the recorded series that a rule reads, through recording rules, too."""
        if place not in self._inputs:
            readers: list[Rule] = [self.rule(self.world, place)]
            readers += [
                other for group in self.world.groups for other in group.rules if isinstance(other, RecordingRule)
            ]
            self._inputs[place] = sorted({row for one in readers for row in self.selected(one, self.case.series)})
        return self._inputs[place]

    # ---- what the server wrote ---------------------------------------------------------------------

    def _events(self, group: int) -> Int64s:
        """Return all times at which alerts of a group were written."""
        parts = [self.seen[place].times for place in self.members(group)]
        return np.unique(np.concatenate([np.empty(0, dtype=np.int64), *parts]))

    def _clocked(self, group: int) -> bool:
        """Tell whether all that was recorded of a group lies at its evaluations; else these are in doubt."""
        times = self._events(group)
        step_ms, phase_ms = self.case.clocks[group].step_ms, self.world.conditions[group].phase_ms
        return bool(len(times)) and not np.any((times - phase_ms) % step_ms)

    def _silent(self, group: int) -> list[int]:
        """Return evaluations at which nothing of a group was written though some rule's alerts went on."""
        if not self.case.markers:
            return []
        slots = self.slots(self.world, group)
        silent: set[int] = set()
        for place in self.members(group):
            silent |= set(silent_slots(self.seen[place], slots, self.world.conditions[group].starts).tolist())
        return sorted(silent - set(self._events(group).tolist()))

    def _quiet(self, group: int) -> frozenset[int]:
        """Return the evaluations of new processes that are not written."""
        slots = self.slots(self.world, group)
        return frozenset(
            slot for start in self.world.conditions[group].starts for slot in slots[slots >= start][:UNSEEN].tolist()
        )


def _changes(rule: Rule, served: Rule) -> str:
    """Say in what a rule on the server differs from the file's."""
    said = []
    if format_expr(rule.expr) != format_expr(served.expr):
        said.append(f"expr {served.text}")
    if isinstance(rule, AlertingRule) and isinstance(served, AlertingRule):
        if rule.for_ms != served.for_ms:
            said.append(f"for {format_duration(served.for_ms)} instead of {format_duration(rule.for_ms)}")
        if rule.keep_firing_for_ms != served.keep_firing_for_ms:
            said.append(
                f"keep_firing_for {format_duration(served.keep_firing_for_ms)} instead of "
                f"{format_duration(rule.keep_firing_for_ms)}"
            )
    if Labels(rule.labels) != Labels(served.labels):
        said.append(f"labels {Labels(served.labels)} instead of {Labels(rule.labels)}")
    return ", ".join(said)


def _absent(group: int, slots: frozenset[int], world: World) -> World:
    return world.at(group, absent=world.conditions[group].absent | slots)


def _failed(place: int, slots: frozenset[int], world: World) -> World:
    return dataclasses.replace(world, failed={**world.failed, place: slots})


def _released(version: str, world: World) -> World:
    return dataclasses.replace(world, version=version)


def _hidden(place: int, hidden: Hidden, world: World) -> World:
    together = (*world.hidden.get(place, ()), hidden)
    return dataclasses.replace(world, hidden={**world.hidden, place: together})


def _runs(slots: Sequence[int], step_ms: int) -> list[tuple[int, int]]:
    """Return first and last of each run of neighbouring slots."""
    runs: list[tuple[int, int]] = []
    for slot in slots:
        if runs and slot - runs[-1][1] == step_ms:
            runs[-1] = (runs[-1][0], slot)
        else:
            runs.append((slot, slot))
    return runs


def _some(slots: Sequence[int]) -> str:
    """Name the first few instants."""
    shown = ", ".join(format_instant(slot) for slot in slots[:3])
    return f"{shown} …" if len(slots) > 3 else shown
