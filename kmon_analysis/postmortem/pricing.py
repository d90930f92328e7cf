"""Which settings would have paged sooner, and what each would have cost over the whole history.

The sweep answers for every threshold at once; each answer is then replayed once and must give the same numbers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from kmon_analysis.backtest.rule import At, RuleBacktest
from kmon_analysis.backtest.score import Reach, Score
from kmon_analysis.incidents import Incident
from kmon_analysis.kafka.hours import parse_hours, promql_guard
from kmon_analysis.postmortem.answers import Answer, Price, Reference, Rung
from kmon_analysis.postmortem.questions import Question, accepted_ratio, plausible, sweep
from kmon_analysis.postmortem.stories import RuleStory
from kmon_analysis.recommend.candidates import Setting, candidates, current_setting
from kmon_analysis.timing import MINUTE_MS

__all__ = ["HOURS", "LADDER_MS", "price_rule"]

LADDER_MS = tuple(minutes * MINUTE_MS for minutes in (1, 2, 5, 10, 15, 30))
# Offered where a rule on low values has none; few, for the same reason as windows.
HOURS = ("Mon-Fri 08:00-18:00", "Mon-Fri 08:00-20:00", "06:00-22:00")
KEEPS_MS = (5 * MINUTE_MS, 15 * MINUTE_MS)


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
        Empty where the rule returned nothing.

    Raises
    ------
    ValueError
        If the sweep and the replay of an answer disagree, which would be a fault of this toolkit.
    """
    if story.status in ("nothing returned", "no data") or not story.concerned:
        return ()
    steps = _steps(reference, ladder, incident)
    asked = [
        Question(replay, incident, reference.at_ms - sooner_ms)
        for sooner_ms in steps
        if reference.at_ms - sooner_ms >= story.window.start_ms
    ]
    now = replay.score()
    found_now = frozenset(outcome.incident.id for outcome in now.outcomes if outcome.found) - {incident.id}
    last_ms = max((question.deadline_ms for question in asked), default=0)
    settings = candidates(replay, scrape_interval_ms) if asked else ()
    for window_ms, same in itertools.groupby(settings, key=lambda each: each.window_ms):
        for candidate in same:
            if candidate == current_setting(replay).candidate or plausible(
                replay, candidate, incident, last_ms, now.firing_ratio
            ):
                swept = sweep(replay, candidate, incident, found_now, now.firing_ratio)
                for question in asked:
                    question.consider(swept)
            if progress is not None:
                progress()
        replay.forget(window_ms)
    answered = [question.answers() for question in asked]
    prices = _prices(replay, incident, asked, answered, now)
    tried: dict[Setting, _Tried] = {}
    by_deadline = {}
    for question, answers in zip(asked, answered, strict=True):
        threshold, hold, window, combination = (
            answer if answer.setting is None else replace(answer, price=prices[answer.setting, question.deadline_ms])
            for answer in answers
        )
        hours = _hours(replay, incident, question, threshold, now, tried)
        every = (threshold, hold, window, hours, combination)
        by_deadline[question.deadline_ms] = (*every, _keep(replay, incident, question, every, now, tried))
    replay.forget(replay.knobs.window_ms)
    deadlines = [(sooner_ms, reference.at_ms - sooner_ms) for sooner_ms in steps]
    return tuple(Rung(sooner_ms, at_ms, by_deadline.get(at_ms, ())) for sooner_ms, at_ms in deadlines)


def _steps(reference: Reference, ladder: Sequence[int] | None, incident: Incident) -> tuple[int, ...]:
    """Return how much sooner is asked for; where there is no page yet, a page at all is a question, too."""
    if ladder is not None:
        return tuple(dict.fromkeys(ladder))
    room = reference.at_ms - incident.interval.start_ms
    first = () if reference.kind == "own page" else (0,)
    return (*first, *(step for step in LADDER_MS if step <= room))


def _prices(
    replay: RuleBacktest,
    incident: Incident,
    asked: Sequence[Question],
    answered: Sequence[Sequence[Answer]],
    now: Score,
) -> dict[tuple[Setting, int], Price]:
    """Replay every answer once, window by window; by setting and deadline."""
    wanted: dict[Setting, list[Question]] = {}
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


def _best(
    replay: RuleBacktest,
    incident: Incident,
    question: Question,
    settings: Iterable[Setting],
    now: Score,
    tried: dict[Setting, _Tried],
) -> tuple[Setting, Price] | None:
    """Replay some settings, and return the one in time with the fewest false pages; of equals the first."""
    found: tuple[Setting, Price] | None = None
    for setting in settings:
        if setting not in tried:
            tried[setting] = _tried(replay, setting, incident)
        if tried[setting].page_by(question.deadline_ms) is None:
            continue
        price = _price(replay, setting, tried[setting], question, now)
        if found is None or (len(price.lost), price.false_pages) < (len(found[1].lost), found[1].false_pages):
            found = setting, price
    return found


def _hours(
    replay: RuleBacktest,
    incident: Incident,
    question: Question,
    threshold: Answer,
    now: Score,
    tried: dict[Setting, _Tried],
) -> Answer:
    """Turn the hours: take a guard away, or give one to a rule on low values, which nights make noisy."""
    own, knobs = question.current, replay.knobs
    if replay.outside is not None or (own.hours is not None and knobs.hours_span is None):
        return Answer("hours", why="hours of another hand")
    if own.hours is not None:
        found = _best(replay, incident, question, [replace(own, hours=None)], now, tried)
        return Answer("hours", why="not at other hours") if found is None else Answer("hours", *found)
    if threshold.setting is None or threshold.price is None or not replay.signal().falls:
        return Answer("hours", why="no hours")
    guarded = [replace(threshold.setting, hours=promql_guard(parse_hours(text))) for text in HOURS]
    found = _best(replay, incident, question, guarded, now, tried)
    fewer = found is not None and found[1].false_pages < threshold.price.false_pages
    if found is None or not fewer or set(found[1].lost) - set(threshold.price.lost):
        return Answer("hours", why="no hours")
    return Answer("hours", *found)


def _keep(
    replay: RuleBacktest,
    incident: Incident,
    question: Question,
    answers: Sequence[Answer],
    now: Score,
    tried: dict[Setting, _Tried],
) -> Answer:
    """Keep the quietest answer firing for longer, where that joins false pages: it never makes a page come sooner."""
    priced = [(answer.setting, answer.price) for answer in answers if answer.setting and answer.price]
    if not priced:
        return Answer("keep", why="no fewer pages")
    base, price = min(priced, key=lambda each: (len(each[1].lost), each[1].false_pages))
    longer = [replace(base, keep_firing_for_ms=keep_ms) for keep_ms in KEEPS_MS if keep_ms > base.keep_firing_for_ms]
    found = _best(replay, incident, question, longer if price.false_pages else (), now, tried)
    most = max(accepted_ratio(now.firing_ratio), price.firing_ratio)
    if found is None or found[1].false_pages >= price.false_pages or found[1].firing_ratio > most:
        return Answer("keep", why="no fewer pages")
    return Answer("keep", why="no fewer pages") if set(found[1].lost) - set(price.lost) else Answer("keep", *found)


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


def _price(replay: RuleBacktest, setting: Setting, tried: _Tried, question: Question, now: Score) -> Price:
    score, deadline_ms = tried.score, question.deadline_ms
    first, expected = tried.page_by(deadline_ms), question.expected.get(setting, score.false_pages)
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
