"""Which settings would have paged sooner, and what each would have cost over the whole history.

The sweep answers for every threshold at once; each answer is then replayed once and must give the same numbers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from kmon_analysis.backtest.pages import Curve, curve
from kmon_analysis.backtest.rule import At, RuleBacktest
from kmon_analysis.backtest.score import Reach, Score, columns_of, credit_window
from kmon_analysis.backtest.signal import Signal
from kmon_analysis.incidents import Incident
from kmon_analysis.postmortem.rounding import shortest
from kmon_analysis.postmortem.stories import RuleStory
from kmon_analysis.recommend.candidates import Candidate, Setting, candidates, current_setting
from kmon_analysis.recommend.margin import FRAGILE
from kmon_analysis.timing import MINUTE_MS

__all__ = ["KNOBS", "LADDER_MS", "Answer", "Knob", "Price", "Reference", "Rung", "Why", "price_rule", "reference_of"]

LADDER_MS = tuple(minutes * MINUTE_MS for minutes in (1, 2, 5, 10, 15, 30))
# A threshold so low that the alert never ends would count as one page: statistics 1.1, both are held.
FIRING_RATIO = 0.01

Knob = Literal["threshold", "for", "window", "hours", "combination", "keep"]
KNOBS: tuple[Knob, ...] = ("threshold", "for", "window", "hours", "combination", "keep")
Why = Literal[
    "",
    "no threshold",
    "for is zero",
    "no window",
    "no other window is known",
    "nothing by then",
    "not true by then",
    "already firing",
    "no such window",
    "no combination",
    "nothing else turns",
]


@dataclass(frozen=True, slots=True)
class Reference:
    """What "sooner" is counted from.

    Attributes
    ----------
    kind : {"own page", "detected", "other page", "end"}
        The rule's own page; where it has none, when people knew, else the first page of another rule, else the end
        of the incident.
    at_ms : int
        The instant.
    rule : str
        Whose page it was.
    """

    kind: Literal["own page", "detected", "other page", "end"]
    at_ms: int
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Price:
    """What a setting would have done in this past.

    Attributes
    ----------
    page_ms : int
        When it would have paged for the incident.
    false_pages : int
        Over the whole history.
    weeks, false_pages_per_week, firing_ratio : float
        As in `Score`.
    caught, incidents : int
        Incidents that must page.
    lost, gained : tuple of str
        Incidents that the rule finds as it is and would not, and the other way round.
    margin_ratio : float or None
        How many times the value reached by the deadline exceeds the threshold; None where zero lies between.
    """

    page_ms: int
    false_pages: int
    weeks: float
    false_pages_per_week: float
    firing_ratio: float
    caught: int
    incidents: int
    lost: tuple[str, ...]
    gained: tuple[str, ...]
    margin_ratio: float | None

    @property
    def fragile(self) -> bool:
        """Whether an incident a little weaker would not have been found in time."""
        return self.margin_ratio is not None and self.margin_ratio < FRAGILE


@dataclass(frozen=True, slots=True)
class Answer:
    """The smallest change of one knob, or of all of them, that pages by a deadline.

    Attributes
    ----------
    knob : str
        What turns.
    setting : Setting or None
        The values; None: there are none.
    price : Price or None
        What they would have done.
    why : str
        Why there are none.
    since_ms : int or None
        When the condition became true, where that is the reason.
    """

    knob: Knob
    setting: Setting | None = None
    price: Price | None = None
    why: Why = ""
    since_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of the ladder: the answers for a page by a deadline.

    Attributes
    ----------
    sooner_ms : int
        How much sooner than the reference.
    deadline_ms : int
        The page must begin at or before it.
    answers : tuple of Answer
        One for each knob, in the order of `KNOBS`; empty where the deadline lies before the credit window.
    """

    sooner_ms: int
    deadline_ms: int
    answers: tuple[Answer, ...]


def reference_of(story: RuleStory, others: Sequence[RuleStory], incident: Incident) -> Reference:
    """Choose what a rule's "sooner" is counted from."""
    if story.status in ("paged", "paged early") and story.first_ms is not None:
        return Reference("own page", story.first_ms, story.rule)
    if incident.detected_ms is not None and incident.detected_ms <= story.window.end_ms:
        return Reference("detected", incident.detected_ms)
    pages = [
        (other.first_ms, other.rule)
        for other in others
        if other.status in ("paged", "paged early") and other.first_ms is not None
    ]
    if pages:
        at_ms, rule = min(pages)
        return Reference("other page", at_ms, rule)
    return Reference("end", incident.interval.end_ms)


def price_rule(
    replay: RuleBacktest,
    story: RuleStory,
    incident: Incident,
    reference: Reference,
    ladder: Sequence[int] | None,
    scrape_interval_ms: int,
    *,
    progress: Callable[[], None] | None = None,
) -> tuple[Rung, ...]:
    """Find what would have paged sooner, for every step of a ladder.

    Parameters
    ----------
    replay : RuleBacktest
        The rule on its history.
    story : RuleStory
        What it did.
    incident : Incident
        About which incident.
    reference : Reference
        From `reference_of`.
    ladder : sequence of int or None
        Milliseconds; None: `LADDER_MS` as far as it does not lead before the start of the incident.
    scrape_interval_ms : int
        Decides which windows are tried, see `candidates`.
    progress : callable, optional
        Called after each window and ``for`` that was swept.

    Returns
    -------
    tuple of Rung
        Empty where the rule was firing anyway, or returned nothing.

    Raises
    ------
    ValueError
        If the sweep and the replay of an answer disagree, which would be a fault of this toolkit.
    """
    if story.status not in ("paged", "paged early", "pending only", "never true"):
        return ()
    steps = _steps(reference, ladder, incident)
    asked = [
        _Question(replay, incident, reference.at_ms - sooner_ms)
        for sooner_ms in steps
        if reference.at_ms - sooner_ms >= story.window.start_ms
    ]
    now = replay.score()
    found_now = frozenset(outcome.incident.id for outcome in now.outcomes if outcome.found) - {incident.id}
    last_ms = max((question.deadline_ms for question in asked), default=0)
    tried = candidates(replay, scrape_interval_ms) if asked else ()
    for window_ms, same in itertools.groupby(tried, key=lambda each: each.window_ms):
        for candidate in same:
            if candidate == current_setting(replay).candidate or _plausible(
                replay, candidate, incident, last_ms, now.firing_ratio
            ):
                swept = _sweep(replay, candidate, incident, found_now, now.firing_ratio)
                for question in asked:
                    question.consider(swept)
            if progress is not None:
                progress()
        replay.forget(window_ms)
    answered = [question.answers() for question in asked]
    prices = _prices(replay, incident, asked, answered, now)
    by_deadline = {
        question.deadline_ms: tuple(
            answer if answer.setting is None else replace(answer, price=prices[answer.setting, question.deadline_ms])
            for answer in answers
        )
        for question, answers in zip(asked, answered, strict=True)
    }
    deadlines = [(sooner_ms, reference.at_ms - sooner_ms) for sooner_ms in steps]
    return tuple(Rung(sooner_ms, at_ms, by_deadline.get(at_ms, ())) for sooner_ms, at_ms in deadlines)


def _steps(reference: Reference, ladder: Sequence[int] | None, incident: Incident) -> tuple[int, ...]:
    """Return how much sooner is asked for; where there is no page yet, a page at all is a question, too."""
    if ladder is not None:
        return tuple(dict.fromkeys(ladder))
    room = reference.at_ms - incident.interval.start_ms
    first = () if reference.kind == "own page" else (0,)
    return (*first, *(step for step in LADDER_MS if step <= room))


@dataclass(frozen=True, slots=True)
class _Swept:
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


def _sweep(
    replay: RuleBacktest, candidate: Candidate, incident: Incident, found_now: frozenset[str], firing_now: float
) -> _Swept:
    at = candidate.at
    firing, counted, reaches = replay.firing(**at), replay.curve(**at), replay.reaches(**at)
    accepted = _accepted(firing_now)
    quiet = int(np.count_nonzero(firing.windows.quiet))
    return _Swept(
        candidate,
        firing.signal,
        counted,
        next(reach for reach in reaches if reach.incident.id == incident.id),
        tuple(reach for reach in reaches if reach.incident.id in found_now),
        counted.firing_time.lowest_of_falling_within(accepted * quiet),
    )


def _accepted(firing_now: float) -> float:
    """Return the share of normal time in which a setting may fire."""
    return FIRING_RATIO if math.isnan(firing_now) else max(FIRING_RATIO, firing_now)


def _plausible(
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
    accepted = _accepted(firing_ratio) * int(np.count_nonzero(windows.quiet))
    return best > curve(alone).firing_time.lowest_of_falling_within(accepted)


class _Question:
    """What pages by one deadline; sweeps are shown to it one after the other."""

    def __init__(self, replay: RuleBacktest, incident: Incident, deadline_ms: int) -> None:
        self.replay, self.incident, self.deadline_ms = replay, incident, deadline_ms
        self.current = current_setting(replay)
        self.alone: _Offer | None = None
        self.alone_why: Why = "no threshold"
        self.window: tuple[float, Candidate, int] | None = None
        self.combined: _Offer | None = None
        self.expected: dict[Setting, int] = {}

    def consider(self, swept: _Swept) -> None:
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

    def _threshold(self, swept: _Swept) -> None:
        """Find the levels nearest to the rule's own that page in time."""
        high = swept.reach.peak(self.deadline_ms)
        if math.isinf(high):
            self.alone_why = "nothing by then"
            return
        if high <= swept.reach.already:
            self.alone_why = "already firing"
            return
        low = max(swept.reach.already, _next_below(swept.signal, high))
        if math.isinf(low):
            low = high - max(1.0, abs(high) / 10)
        self.alone = _Offer(swept.candidate, low, high, swept.curve.false_pages.at(low), 0, fragile=True)

    def _combined(self, swept: _Swept) -> _Offer | None:
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


def _prices(
    replay: RuleBacktest,
    incident: Incident,
    asked: Sequence[_Question],
    answered: Sequence[Sequence[Answer]],
    now: Score,
) -> dict[tuple[Setting, int], Price]:
    """Replay every answer once, window by window; by setting and deadline."""
    wanted: dict[Setting, list[_Question]] = {}
    for question, answers in zip(asked, answered, strict=True):
        for answer in answers:
            if answer.setting is not None and question not in wanted.setdefault(answer.setting, []):
                wanted[answer.setting].append(question)

    def order(setting: Setting) -> tuple[int, str, int, int]:
        return (setting.window_ms or 0, setting.hours or "", setting.for_ms, setting.keep_firing_for_ms)

    prices = {}
    for window_ms, same in itertools.groupby(sorted(wanted, key=order), key=lambda each: each.window_ms):
        for setting in same:
            tried = _tried(replay, setting, incident)
            for question in wanted[setting]:
                prices[setting, question.deadline_ms] = _price(replay, setting, tried, question, now)
        replay.forget(window_ms)
    return prices


@dataclass(frozen=True, slots=True)
class _Tried:
    """One setting, replayed."""

    score: Score
    reach: Reach
    level: float

    def page_by(self, deadline_ms: int) -> int | None:
        """Return when it pages for the incident, if that is anew and in time."""
        first = self.reach.first_firing(self.level)
        anew = self.reach.status(self.level) in ("caught", "early")
        return first if anew and first is not None and first <= deadline_ms else None

    @property
    def found(self) -> set[str]:
        return {outcome.incident.id for outcome in self.score.outcomes if outcome.found}


def _tried(replay: RuleBacktest, setting: Setting, incident: Incident) -> _Tried:
    at: At = {**setting.at, "keep_ms": setting.keep_firing_for_ms}
    reach = next(each for each in replay.reaches(**at) if each.incident.id == incident.id)
    return _Tried(replay.score(setting.threshold, **at), reach, replay.level(setting.threshold))


def _price(replay: RuleBacktest, setting: Setting, tried: _Tried, question: _Question, now: Score) -> Price:
    score, deadline_ms = tried.score, question.deadline_ms
    first, expected = tried.page_by(deadline_ms), question.expected[setting]
    if first is None or score.false_pages != expected:
        raise ValueError(
            f"{replay.name} at {setting}: the sweep promised {expected} false pages and a page by "
            f"{deadline_ms}, the replay has {score.false_pages} and {first}"
        )
    before = {outcome.incident.id for outcome in now.outcomes if outcome.found}
    return Price(
        page_ms=first,
        false_pages=score.false_pages,
        weeks=score.weeks,
        false_pages_per_week=score.false_pages_per_week,
        firing_ratio=score.firing_ratio,
        caught=score.caught,
        incidents=score.incidents,
        lost=tuple(sorted(before - tried.found)),
        gained=tuple(sorted(tried.found - before)),
        margin_ratio=_margin(replay, tried.reach.peak(deadline_ms), setting.threshold),
    )


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


def _with_room(high: float) -> float:
    """Move a level away from the value that must be beyond it, by the ratio below which a margin is fragile."""
    return high / FRAGILE if high > 0 else high * FRAGILE


def _margin(replay: RuleBacktest, peak: float, threshold: float | None) -> float | None:
    """Return how many times the value exceeds the threshold, or falls below it."""
    if threshold is None or not math.isfinite(peak):
        return None
    falls = replay.signal().falls
    value = -peak if falls else peak
    if value * threshold <= 0:
        return None
    larger, smaller = (threshold, value) if falls == (value > 0) else (value, threshold)
    return larger / smaller


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
