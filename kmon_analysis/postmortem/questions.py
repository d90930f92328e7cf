"""What pages by a deadline: every window and ``for`` at all thresholds at once, and the answers found in that."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from kmon_analysis.backtest.pages import Curve, curve
from kmon_analysis.backtest.rule import RuleBacktest
from kmon_analysis.backtest.score import Reach, columns_of, credit_window
from kmon_analysis.backtest.signal import Signal
from kmon_analysis.incidents import Incident
from kmon_analysis.postmortem.answers import Answer, Knob, Why
from kmon_analysis.postmortem.rounding import shortest
from kmon_analysis.recommend.candidates import Candidate, Setting, current_setting
from kmon_analysis.recommend.margin import FRAGILE

__all__ = ["FIRING_RATIO", "Question", "Swept", "accepted_ratio", "plausible", "sweep"]

# A threshold so low that the alert never ends would count as one page: statistics 1.1, both are held.
FIRING_RATIO = 0.01


@dataclass(frozen=True, slots=True)
class Swept:
    """One window and ``for`` at every threshold."""

    candidate: Candidate
    signal: Signal
    curve: Curve
    reach: Reach
    others: tuple[Reach, ...]
    floor: float


@dataclass(frozen=True, slots=True)
class _Offer:
    """Levels that page by a deadline, all with the same past."""

    candidate: Candidate
    low: float
    high: float
    false_pages: int
    lost: int
    fragile: bool


def sweep(
    replay: RuleBacktest, candidate: Candidate, incident: Incident, found_now: frozenset[str], firing_now: float
) -> Swept:
    """Sweep one window and ``for``; `found_now` are the other incidents that the rule finds as it is."""
    at = candidate.at
    firing, counted, reaches = replay.firing(**at), replay.curve(**at), replay.reaches(**at)
    accepted = accepted_ratio(firing_now)
    quiet = int(np.count_nonzero(firing.windows.quiet))
    return Swept(
        candidate,
        firing.signal,
        counted,
        next(reach for reach in reaches if reach.incident.id == incident.id),
        tuple(reach for reach in reaches if reach.incident.id in found_now),
        counted.firing_time.lowest_of_falling_within(accepted * quiet),
    )


def accepted_ratio(firing_now: float) -> float:
    """Return the share of normal time in which a setting may fire."""
    return FIRING_RATIO if math.isnan(firing_now) else max(FIRING_RATIO, firing_now)


def plausible(
    replay: RuleBacktest, candidate: Candidate, incident: Incident, deadline_ms: int, firing_ratio: float
) -> bool:
    """Tell from the incident's own alerts whether sweeping all of them can give any answer.

    Notes
    -----
    The alert that goes furthest by the deadline must do so above every level at which it alone would fire for
    longer than all of them together may: with thousands of alerts that spares nearly all of the work.
    """
    from kmon_analysis.backtest import kernels

    firing = replay.firing(**candidate.at)
    signal, windows = firing.signal, firing.windows
    window = credit_window(incident, replay.settings, candidate.for_ms)
    columns = columns_of(window, signal.times)
    stop = int(np.searchsorted(signal.times, deadline_ms, side="right"))
    if stop <= columns.start or replay.rule.keep_firing_for_ms:
        return bool(stop > columns.start)
    # Without keep_firing_for the firing signal depends on no more than the last `for`.
    begin = int(np.searchsorted(signal.times, signal.times[columns.start] - candidate.for_ms, side="left"))
    part = slice(max(begin - 2, 0), stop)
    pending = firing.pending[part] - part.start
    kept = np.arange(stop - part.start, dtype=np.int32)
    best, place = -math.inf, -1
    for number, group in enumerate(signal.groups):
        if not incident.concerns(replay.name, group.labels):
            continue
        ranks = kernels.firing(np.ascontiguousarray(group.ranks[:, part]), pending, 0, kept)
        top = int(ranks[columns.start - part.start :].max(initial=0))
        if top and float(group.distinct[top - 1]) > best:
            best, place = float(group.distinct[top - 1]), number
    if place < 0:
        return False
    own = current_setting(replay)
    if candidate.for_ms == own.for_ms and best > replay.level():
        return True
    if not replay.knobs.sweepable:
        return False
    alone = replace(
        firing,
        signal=replace(signal, groups=(signal.groups[place],)),
        windows=replace(windows, credited=windows.credited[place : place + 1]),
    )
    accepted = accepted_ratio(firing_ratio) * int(np.count_nonzero(windows.quiet))
    return best > curve(alone).firing_time.lowest_of_falling_within(accepted)


class Question:
    """What pages by one deadline; sweeps are shown to it one after the other."""

    def __init__(self, replay: RuleBacktest, incident: Incident, deadline_ms: int) -> None:
        self.replay, self.incident, self.deadline_ms = replay, incident, deadline_ms
        self.current = current_setting(replay)
        self.alone: _Offer | None = None
        self.alone_why: Why = "no threshold"
        self.window: tuple[float, Candidate, int] | None = None
        self.combined: _Offer | None = None
        self.expected: dict[Setting, int] = {}

    def consider(self, swept: Swept) -> None:
        """Look at one window and ``for``."""
        if swept.candidate == self.current.candidate and self.replay.knobs.sweepable:
            self._threshold(swept)
        own = self.current.window_ms
        if own is not None and swept.candidate.for_ms == self.current.for_ms and swept.candidate.window_ms != own:
            level = self.replay.level()
            if self._in_time(swept.reach, level):
                far = abs(math.log((swept.candidate.window_ms or own) / own))
                if self.window is None or far < self.window[0]:
                    self.window = (far, swept.candidate, swept.curve.false_pages.at(level))
        if self.replay.knobs.sweepable:
            offer = self._combined(swept)
            if offer is not None and (self.combined is None or self._rank(offer) < self._rank(self.combined)):
                self.combined = offer

    def answers(self) -> tuple[Answer, ...]:
        """Give the answer for each knob, not priced yet; what each was promised to cost is noted in `expected`."""

        def promised(knob: Knob, setting: Setting, false_pages: int) -> Answer:
            self.expected[setting] = false_pages
            return Answer(knob, setting)

        signal = self.replay.signal()
        if self.alone is None:
            threshold = Answer("threshold", why=self.alone_why)
        else:
            value = shortest(signal, self.alone.low, self.alone.high)
            threshold = promised("threshold", replace(self.current, threshold=value), self.alone.false_pages)
        hold = self._hold()
        if isinstance(hold, int):
            counted = self.replay.curve(for_ms=hold).false_pages.at(self.replay.level())
            hold = promised("for", replace(self.current, for_ms=hold), counted)
        if self.window is not None:
            _, candidate, counted = self.window
            window = promised("window", replace(self.current, window_ms=candidate.window_ms), counted)
        else:
            window = Answer("window", why="no window" if self.current.window_ms is None else "no such window")
        if self.combined is None:
            why: Why = "no combination" if self.replay.knobs.sweepable else "nothing else turns"
            return threshold, hold, window, Answer("combination", why=why)
        offer = self.combined
        quarter = (offer.high - offer.low) / 4
        value = shortest(signal, offer.low + quarter, offer.high - quarter)
        setting = replace(
            self.current, threshold=value, window_ms=offer.candidate.window_ms, for_ms=offer.candidate.for_ms
        )
        return threshold, hold, window, promised("combination", setting, offer.false_pages)

    def _in_time(self, reach: Reach, level: float) -> bool:
        first = reach.first_firing(level)
        return reach.status(level) in ("caught", "early") and first is not None and first <= self.deadline_ms

    def _threshold(self, swept: Swept) -> None:
        """Find the levels nearest to the rule's own that page in time."""
        high = swept.reach.peak(self.deadline_ms)
        if math.isinf(high):
            self.alone_why = "nothing by then"
            return
        if high <= swept.reach.already:
            self.alone_why = "already firing"
            return
        if self.replay.level() < swept.reach.already:
            # It fires as it is: nearest to its own is the lowest level that did not before.
            low, high = swept.reach.already, min(high, _next_above(swept.signal, swept.reach.already))
        else:
            low = max(swept.reach.already, _next_below(swept.signal, high))
        if math.isinf(low):
            low = high - max(1.0, abs(high) / 10)
        self.alone = _Offer(swept.candidate, low, high, swept.curve.false_pages.at(low), 0, fragile=True)

    def _combined(self, swept: Swept) -> _Offer | None:
        """Find the quietest levels of one window and ``for`` that page in time, with room where there is some."""
        for others in (swept.others, ()):
            low = max([swept.floor, swept.reach.already, swept.signal.lowest_level, *(o.already for o in others)])
            high = min([swept.reach.peak(self.deadline_ms), *(other.peak() for other in others)])
            if low < high < math.inf and not math.isinf(low):
                break
        else:
            return None
        with_room = _with_room(high)
        fragile = with_room <= low
        top = high if fragile else with_room
        levels, counts = swept.curve.false_pages.steps(low, top)
        inside = int(np.searchsorted(levels, top, side="left"))
        place = inside - 1 - int(np.argmin(counts[:inside][::-1]))
        above = float(levels[place + 1]) if place + 1 < len(levels) else top
        first = float(levels[place])
        lost = sum(other.status(first) not in ("caught", "early") for other in swept.others)
        return _Offer(swept.candidate, first, min(above, top), int(counts[place]), lost, fragile)

    def _rank(self, offer: _Offer) -> tuple[float, ...]:
        own = self.current
        turned = (offer.candidate.window_ms != own.window_ms) + (offer.candidate.for_ms != own.for_ms)
        far = abs(offer.candidate.for_ms - own.for_ms)
        return (offer.lost, offer.fragile, offer.false_pages, turned, far)

    def _hold(self) -> int | Answer:
        """Return the longest ``for`` below the rule's own that pages in time."""
        if not self.current.for_ms:
            return Answer("for", why="for is zero")
        longest, since_ms = _held_by(self.replay, self.incident, self.deadline_ms)
        if longest is None:
            return Answer("for", why="not true by then", since_ms=since_ms)
        reaches = self.replay.reaches(for_ms=longest)
        reach = next(each for each in reaches if each.incident.id == self.incident.id)
        if longest >= self.current.for_ms or not self._in_time(reach, self.replay.level()):
            return Answer("for", why="already firing")
        return longest


def _next_below(signal: Signal, level: float) -> float:
    """Return the highest level of any alert below one, -inf without any."""
    return max(
        (
            float(group.distinct[place - 1])
            for group in signal.groups
            if (place := int(np.searchsorted(group.distinct, level, side="left")))
        ),
        default=-math.inf,
    )


def _next_above(signal: Signal, level: float) -> float:
    """Return the lowest level of any alert above one, inf without any."""
    return min(
        (
            float(group.distinct[place])
            for group in signal.groups
            if (place := int(np.searchsorted(group.distinct, level, side="right"))) < len(group.distinct)
        ),
        default=math.inf,
    )


def _with_room(high: float) -> float:
    """Move a level away from the value that must be beyond it, by the ratio below which a margin is fragile."""
    return high / FRAGILE if high > 0 else high * FRAGILE


def _held_by(replay: RuleBacktest, incident: Incident, deadline_ms: int) -> tuple[int | None, int | None]:
    """Return how long the condition had been true at most by a deadline, and when it became true.

    Returns
    -------
    int or None
        Milliseconds, of the alert that the incident concerns and that had held for longest at some evaluation of
        the credit window up to the deadline.
    int or None
        The first evaluation of the credit window at which it was true.
    """
    signal, level = replay.signal(), replay.level()
    window = incident.interval.widened(replay.settings.credit_before_ms, replay.rule.for_ms)
    columns = columns_of(window, signal.times)
    stop = int(np.searchsorted(signal.times, deadline_ms, side="right"))
    longest: int | None = None
    since: int | None = None
    for group in signal.groups:
        index = group.index(level)
        for row, labels in enumerate(group.members):
            if not incident.concerns(replay.rule.name, labels):
                continue
            edges = np.diff((group.ranks[row] > index).astype(np.int8), prepend=0, append=0)
            starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
            for start, over in zip(starts.tolist(), stops.tolist(), strict=True):
                if over <= columns.start or start >= columns.stop:
                    continue
                first = int(signal.times[max(start, columns.start)])
                since = first if since is None else min(since, first)
                last = min(over, stop) - 1
                if last >= max(start, columns.start):
                    held = int(signal.times[last] - signal.times[start])
                    longest = held if longest is None else max(longest, held)
    return longest, since
