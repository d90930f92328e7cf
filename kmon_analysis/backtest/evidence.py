"""Why recorded alerts differ from a replay: causes, each put into the replay and kept where it removes differences."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from kmon_analysis.backtest.timelines import Agreement, Difference, agreement, same_beginnings, silent_slots
from kmon_analysis.backtest.worlds import Case, Conditions, Hidden, Replayer, World
from kmon_analysis.labels import METRIC_NAME, Labels
from kmon_analysis.promql.needs import selections
from kmon_analysis.promql.printer import format_expr
from kmon_analysis.rules.life import UNSEEN
from kmon_analysis.rules.model import AlertingRule, RecordingRule, Rule
from kmon_analysis.timing import Interval, format_duration, format_instant

__all__ = ["Cause", "Explained", "Kind", "Verdict", "investigate"]

Int64s = npt.NDArray[np.int64]
Kind = Literal[
    "rule changed",
    "phase",
    "restart",
    "missed evaluation",
    "failed evaluation",
    "version",
    "late sample",
    "series missing",
]

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
# Delays of the restoration behind its evaluation, as parts of the interval.
_RESTORED_AFTER = (0.25, 0.5, 0.75)


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that happened on the server.

    Attributes
    ----------
    kind : str
        What it is.
    evidence : str
        How that is known.
    proven : bool
        Whether the evidence is more than that the replay then agrees.
    at : Interval or None
        When it happened; None: all the time.
    """

    kind: Kind
    evidence: str
    proven: bool = True
    at: Interval | None = None


@dataclass(frozen=True, slots=True)
class Explained:
    """A difference and its causes; without any it is unexplained."""

    difference: Difference
    causes: tuple[Cause, ...]
    removed: bool

    @property
    def verdict(self) -> Literal["proven", "probable", "unexplained"]:
        """How sure it is."""
        if self.causes and all(cause.kind == "series missing" for cause in self.causes):
            return "probable"
        if not self.causes or not self.removed:
            return "unexplained"
        return "proven" if all(cause.proven for cause in self.causes) else "probable"


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
    the release, and samples that a scrape had not delivered yet. What is left is unexplained.
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

    # ---- the whole -------------------------------------------------------------------------------

    def verdicts(self) -> tuple[Verdict, ...]:
        """Go through all causes."""
        plain = self.world
        before = {place: self.left(plain, place) for place in range(len(self.rules))}
        history: list[tuple[list[Cause], dict[int, tuple[Difference, ...]]]] = []
        for stage in (self._rules, self._phases, self._restarts, self._misses, self._versions, self._late):
            for causes, places in stage():
                # What each cause took away is seen against the state before it.
                now = {place: self.left(self.world, place) for place in places}
                history.append((causes, now))
        return tuple(self._verdict(plain, place, before[place], history) for place in range(len(self.rules)))

    def _verdict(
        self,
        plain: World,
        place: int,
        before: Sequence[Difference],
        history: Sequence[tuple[list[Cause], Mapping[int, Sequence[Difference]]]],
    ) -> Verdict:
        rule = self.rules[place]
        if place in self.refused:
            return Verdict(rule, refused=self.refused[place])
        group = self.group_of[place]
        step_ms = self.case.clocks[group].step_ms
        last = self.left(self.world, place)
        explained = []
        for one in before:
            causes: list[Cause] = []
            open_ms = one.interval.duration_ms
            for found, now in history:
                if place not in now:
                    continue
                still_ms = _overlap(one, now[place])
                if still_ms < open_ms:
                    causes += found
                open_ms = still_ms
            if open_ms and not causes and self._missing(place, one):
                evidence = "the history holds nothing of what the rule reads then, and the server recorded an alert"
                causes.append(Cause("series missing", evidence, False, one.interval))
            explained.append(Explained(one, tuple(causes), open_ms == 0))
        fresh = [one for one in last if _overlap(one, before) < one.interval.duration_ms]
        explained += [Explained(one, (), False) for one in fresh]
        measured = [
            agreement(
                self.seen[place].timelines,
                self.replayed(world, place),
                self.slots(world, group),
                step_ms,
                self.case.window,
            )
            for world in (plain, self.world)
        ]
        ordered = sorted(explained, key=lambda each: (each.difference.interval, each.difference.labels))
        begun = [
            same_beginnings(self.seen[place], self.life(world, place), self.case.window)
            for world in (plain, self.world)
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

    def _rules(self) -> Iterator[tuple[list[Cause], list[int]]]:
        """Take the rules that the server has."""
        groups = list(self.world.groups)
        changed: dict[int, list[str]] = {}
        for place, deployed in enumerate(self.case.deployed):
            if deployed is None:
                continue
            for rule, served in zip(groups[place].rules, deployed.rules, strict=True):
                said = _changes(rule, served)
                if said:
                    changed.setdefault(place, []).append(f"{rule.name}: {said}")
            if place in changed:
                groups[place] = deployed
        if not changed:
            return
        self.world = dataclasses.replace(self.world, groups=tuple(groups))
        for place, said_of in changed.items():
            evidence = f"the server has {'; '.join(said_of)}"
            yield [Cause("rule changed", evidence)], self.members(place)

    def _phases(self) -> Iterator[tuple[list[Cause], list[int]]]:
        """Take the instants at which samples were recorded."""
        for group, clock in enumerate(self.case.clocks):
            times = self._events(group)
            if not len(times):
                continue
            phases, counts = np.unique(times % clock.step_ms, return_counts=True)
            phase_ms = int(phases[counts.argmax()])
            if phase_ms == self.world.conditions[group].phase_ms:
                continue
            self.world = self.world.at(group, phase_ms=phase_ms)
            evidence = (
                f"{int(counts.max())} of {len(times)} recorded instants lie {format_duration(phase_ms)} after full "
                f"intervals of {format_duration(clock.step_ms)}, not {format_duration(clock.phase_ms)}"
            )
            yield [Cause("phase", evidence)], self.members(group)

    def _restarts(self) -> Iterator[tuple[list[Cause], list[int]]]:
        """Restart where the server says that its process started, and where all outputs pause as after a start."""
        raw = np.unique(self.case.series.times)
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
    ) -> Iterator[tuple[list[Cause], list[int]]]:
        """Find the first evaluation of a process."""
        clock, what = self.case.clocks[group], self.world.conditions[group]
        events = self._events(group)
        later = events[events >= start_ms]
        # The third evaluation is the first that writes alerts.
        latest = int(later[0]) - UNSEEN * clock.step_ms if len(later) else int(slots[-1])
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
        self.world = best[1]
        ends = best[2] + UNSEEN * clock.step_ms
        evidence = (
            f"{said}; its first evaluation was at {format_instant(best[2])}, {len(best[3])} before did not take place, "
            f"and a process does not write its first {UNSEEN}"
        )
        yield [Cause("restart", evidence, proven, Interval(min(start_ms, best[2]), ends))], members

    def _misses(self) -> Iterator[tuple[list[Cause], list[int]]]:
        """Leave out the evaluations at which nothing was written."""
        for group, clock in enumerate(self.case.clocks):
            what = self.world.conditions[group]
            quiet = self._quiet(group)
            silent = [slot for slot in self._silent(group) if slot not in what.absent and slot not in quiet]
            together = self._events(group)
            missed = [slot for slot in silent if slot not in set(together.tolist())]
            if missed:
                self.world = self.world.at(group, absent=what.absent | frozenset(missed))
                yield (
                    [
                        Cause(
                            "missed evaluation",
                            f"nothing of the group was written at {len(missed)} evaluations "
                            f"({_some(missed)}), and nothing was marked stale",
                            self.case.markers,
                            Interval(missed[0], missed[-1] + clock.step_ms),
                        )
                    ],
                    self.members(group),
                )
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
                self.world = dataclasses.replace(self.world, failed={**self.world.failed, place: frozenset(failed)})
                evidence = f"other rules of the group wrote at {_some(failed)}, this one neither wrote nor ended"
                at = Interval(failed[0], failed[-1] + clock.step_ms)
                yield [Cause("failed evaluation", evidence, self.case.markers, at)], [place]

    def _versions(self) -> Iterator[tuple[list[Cause], list[int]]]:
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
        self.world = tried[best]
        evidence = (
            f"with the semantics of {tried[best].version} instead of {self.case.semantics.version} rules differ for "
            f"{format_duration(costs[best])} instead of {format_duration(cost)}"
        )
        yield [Cause("version", evidence)], every

    def _late(self) -> Iterator[tuple[list[Cause], list[int]]]:
        """Hide the newest samples from single evaluations."""
        for place in range(len(self.rules)):
            tried: set[tuple[int, Labels]] = set()
            for _ in range(_MOST_HIDDEN):
                left = [one for one in self.left(self.world, place) if (one.interval.start_ms, one.labels) not in tried]
                if not left:
                    break
                tried.add((left[0].interval.start_ms, left[0].labels))
                cause = self._hide(place, left[0])
                if cause is not None:
                    yield [cause], [place]

    def _hide(self, place: int, one: Difference) -> Cause | None:
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
                hidden = (*self.world.hidden.get(place, ()), Hidden(slot, target))
                world = dataclasses.replace(self.world, hidden={**self.world.hidden, place: hidden})
                if not self.matters(self.world, world, place, slot):
                    continue
                self.trials[place] += 1
                if self.cost(world, [place]) < cost:
                    self.world = world
                    evidence = (
                        f"the evaluation at {format_instant(slot)} did not see the scrape of {target} that began "
                        f"{format_duration(age_ms)} before"
                    )
                    return Cause("late sample", evidence, sure, Interval(slot, slot + 1))
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


def _overlap(one: Difference, others: Iterable[Difference]) -> int:
    """Return how much of a difference is still there."""
    return sum(
        max(0, min(one.interval.end_ms, each.interval.end_ms) - max(one.interval.start_ms, each.interval.start_ms))
        for each in others
        if each.labels == one.labels
    )


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
