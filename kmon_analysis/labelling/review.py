"""Reviewing false pages: which ones to ask a person about, and what an answer adds to the list of incidents.

Missing labels are the most common fault of a list of incidents: they look like false pages and push thresholds up.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from kmon_analysis.backtest.breach import breach_of, peak_of, top_level
from kmon_analysis.backtest.pages import Episode
from kmon_analysis.backtest.rule import RuleBacktest
from kmon_analysis.backtest.run import Backtest
from kmon_analysis.backtest.signal import Signal
from kmon_analysis.errors import SettingError, nearest
from kmon_analysis.incidents import Excluded, Incident, Incidents, Reviewed, parse_incidents
from kmon_analysis.labelling.edit import appended, decided
from kmon_analysis.labelling.question import SAME_HOUR_MS, Question, concerned, key_of, others_of, recurrence, spans_of
from kmon_analysis.labels import Labels
from kmon_analysis.timing import DAY_MS, HOUR_MS, MINUTE_MS, Interval, format_instant

__all__ = [
    "Answer",
    "Decision",
    "Question",
    "Trace",
    "alike",
    "answered",
    "decision_of",
    "group_of",
    "proposed_id",
    "questions",
    "settled",
    "trace",
]

Decision = Literal["incident", "expected", "noise"]
DECISIONS: tuple[Decision, ...] = get_args(Decision)
Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# Two pages of one alert nearer than this are asked about as one.
NEIGHBOURS_MS = HOUR_MS
# Alerts of one rule that begin nearer than this have one cause more often than not.
SAME_MOMENT_MS = 5 * MINUTE_MS
_NUMBERED = re.compile(r"(.*?)(\d+)", re.DOTALL)


def decision_of(word: str) -> Decision:
    """Return a decision by its word.

    Raises
    ------
    SettingError
        If there is none of this word.
    """
    if word in DECISIONS:
        return word
    cure = nearest(str(word), DECISIONS) or f"Answer {', '.join(DECISIONS[:-1])} or {DECISIONS[-1]}"
    raise SettingError(f"{word!r} is no answer", cure=cure)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person says about a question.

    Attributes
    ----------
    decision : {"incident", "expected", "noise"}
        An incident that was missing in the list; a planned event in which pages do not count; or a false page.
    id : str
        Of the incident; "": the next one, see `proposed_id`.
    interval : Interval or None
        Of the incident or the planned event; None: the breach.
    labels : Mapping or None
        What it concerns; None: the labels of the page.
    must_page : bool or None
        Whether a rule that misses the incident is unacceptable; None: as the suggestion says, else yes.
    kind : str
        Of the incident.
    note : str
        Its cause, the reason of the planned event, or why it is noise.
    by : str
        Who says so; kept with noise.
    when_ms : int or None
        When that is said; kept with noise.
    """

    decision: Decision
    id: str = ""
    interval: Interval | None = None
    labels: Mapping[str, str] | None = None
    must_page: bool | None = None
    kind: str = ""
    note: str = ""
    by: str = ""
    when_ms: int | None = None

    def __post_init__(self) -> None:
        decision_of(self.decision)


# ---- questions ----------------------------------------------------------------------------------


def questions(result: Backtest, rule: str | None = None, *, neighbours_ms: int = NEIGHBOURS_MS) -> tuple[Question, ...]:
    """List what to ask about: undecided suggestions of the list, then false pages, the longest and highest first.

    A false page that an undecided suggestion would explain is asked about as that suggestion.

    What an alert does at the same time on many days comes once, at the place of the worst day, and so do alerts of one
    rule that begin together; the others follow behind everything that is of its own kind.

    Parameters
    ----------
    result : Backtest
        Rules over a history, scored against the list that is reviewed.
    rule : str, optional
        Only this alert's.
    neighbours_ms : int
        Pages of one alert with a shorter pause between them are one question.

    Notes
    -----
    The rank is duration times height. Heights of rules in different units are compared in units of the rule's own
    median false page; a rule without a threshold has height one.
    """
    if rule is not None:
        result[rule]
    fired = {name: spans_of(page.episode.interval for page in score.pages) for name, score in result.scores.items()}
    found: list[Question] = []
    for name in result if rule is None else (rule,):
        found += _of_rule(result, name, neighbours_ms, fired)
    ranked = _kinds_first(sorted(found, key=lambda each: (-each.rank, each.breach.start_ms, each.key)))
    return (*_undecided(result, rule, fired), *ranked)


def _undecided(result: Backtest, only: str | None, fired: Mapping[str, Int64s]) -> list[Question]:
    """Ask about each suggestion of the list, in its order, as the rule saw it that it was made from."""
    found = []
    for each in result.incidents.suggested:
        concerns = [name for name, replay in result.items() if not each.rules or replay.rule.name in each.rules]
        near = [name for name in concerns if result[name].rule.name in each.suggested_by] or concerns or list(result)
        if only is None or only in concerns:
            found.append(_of_suggestion(result, only or near[0], each, fired))
    return found


def _of_suggestion(result: Backtest, name: str, entry: Incident, fired: Mapping[str, Int64s]) -> Question:
    replay = result[name]
    signal, span = replay.firing().signal, entry.interval
    inside = slice(*(int(at) for at in np.searchsorted(signal.times, [span.start_ms, span.end_ms])))
    seen = [
        (top_level(group, inside), -place)
        for place, group in enumerate(signal.groups)
        if entry.concerns(replay.rule.name, group.labels)
    ]
    top, place = max(seen, default=(-math.inf, 0))
    series = signal.groups[-place].labels if signal.groups else Labels()
    false = [page.episode for page in result.scores[name].pages if page.kind == "false"]
    again = spans_of(each.interval for each in false if each.labels == series)
    days, weekdays = recurrence(span.start_ms, again, replay.period)
    value = -top if signal.falls else top
    ruleless = not entry.suggested_by and not entry.rules
    sweepable = replay.knobs.sweepable and not ruleless
    own = 0 if ruleless else sum(_about(entry, replay, page.episode) for page in result.scores[name].pages)
    return Question(
        key=f"{key_of(name, Labels(entry.labels), span.start_ms)}-{entry.id}",
        rule=name,
        alert=replay.rule.name,
        labels=Labels(entry.labels),
        pages=(span,),
        breach=span,
        threshold=replay.knobs.threshold if sweepable else None,
        peak=value if sweepable and math.isfinite(top) else None,
        op="" if ruleless else replay.knobs.op or "",
        rank=0.0,
        others=others_of(fired, span, name, own),
        days=days,
        weekdays=weekdays,
        credit_ms=_credit_ms(replay),
        series=series,
        suggestion=entry,
    )


def _about(entry: Incident, replay: RuleBacktest, episode: Episode) -> bool:
    """Tell whether a page is the one that a suggestion asks about."""
    return episode.interval.overlaps(entry.interval) and entry.concerns(replay.rule.name, episode.labels)


def _credit_ms(replay: RuleBacktest) -> tuple[int, int]:
    return replay.settings.credit_before_ms, replay.settings.credit_after_ms + replay.rule.for_ms


def _known(result: Backtest, rule: str, episode: Episode, credit_ms: tuple[int, int]) -> bool:
    """Tell whether a person looked at a page already, or is asked about it as a suggestion."""
    seen: list[Reviewed | Incident] = [*result.incidents.reviewed, *result.incidents.rejected]
    windows = [each.interval for each in seen if each.concerns(rule, episode.labels)]
    windows += [
        each.interval.widened(*credit_ms) for each in result.incidents.suggested if each.concerns(rule, episode.labels)
    ]
    return any(window.overlaps(episode.interval) for window in windows)


def _kinds_first(ranked: Sequence[Question]) -> tuple[Question, ...]:
    """Put what only repeats an earlier question behind the others; the order stays otherwise."""
    first: list[Question] = []
    again: list[Question] = []
    same_alert: dict[tuple[str, Labels], list[Question]] = {}
    begun: dict[str, list[int]] = {}
    for question in ranked:
        known = same_alert.setdefault((question.rule, question.labels), [])
        starts, start_ms = begun.setdefault(question.rule, []), question.breach.start_ms
        after = bisect_left(starts, start_ms - SAME_MOMENT_MS)
        together = after < len(starts) and starts[after] <= start_ms + SAME_MOMENT_MS
        if together or alike(question, known):
            again.append(replace(question, repeats=True))
        else:
            first.append(question)
            known.append(question)
            insort(starts, start_ms)
    return (*first, *again)


def _of_rule(result: Backtest, name: str, neighbours_ms: int, fired: Mapping[str, Int64s]) -> list[Question]:
    replay = result[name]
    unexplained = [page.episode for page in result.scores[name].pages if page.kind == "false"]
    firing, level = replay.firing(), replay.level()
    by_group: dict[int, list[Episode]] = {}
    for episode in unexplained:
        by_group.setdefault(episode.group, []).append(episode)
    heights = [peak - level for episode in unexplained if (peak := peak_of(firing, episode, level)) < math.inf]
    usual = float(np.median(heights)) if heights and replay.knobs.sweepable else 1.0
    credit_ms = _credit_ms(replay)
    found: list[Question] = []
    for episodes in by_group.values():
        labels = concerned(replay, episodes[0].labels)
        spans = spans_of(episode.interval for episode in episodes)
        asked = [each for each in episodes if not _known(result, replay.rule.name, each, credit_ms)]
        for part in _neighbours(asked, neighbours_ms):
            pages = tuple(each.interval for each in part)
            times, step_ms = firing.signal.times, firing.signal.step_ms
            begin, over = breach_of(firing, part[0], level)[0], breach_of(firing, part[-1], level)[1]
            breach = Interval(int(times[begin]), min(part[-1].interval.end_ms, int(times[over]) + step_ms))
            top = max(peak_of(firing, each, level) for each in part)
            sweepable = replay.knobs.sweepable
            height = (min(top, 1e300) - level) / (usual or 1.0) if sweepable else 1.0
            hours = sum(page.duration_ms for page in pages) / HOUR_MS
            days, weekdays = recurrence(breach.start_ms, spans, replay.period)
            found.append(
                Question(
                    key=key_of(name, episodes[0].labels, pages[0].start_ms),
                    rule=name,
                    alert=replay.rule.name,
                    labels=labels,
                    pages=pages,
                    breach=breach,
                    threshold=replay.knobs.threshold if sweepable else None,
                    peak=(-top if firing.signal.falls else top) if sweepable else None,
                    op=replay.knobs.op or "",
                    rank=hours * height,
                    others=others_of(fired, breach, name, len(part)),
                    days=days,
                    weekdays=weekdays,
                    credit_ms=credit_ms,
                    series=episodes[0].labels,
                )
            )
    return found


def _neighbours(episodes: Sequence[Episode], neighbours_ms: int) -> list[list[Episode]]:
    """Put episodes of one group together that follow each other closely."""
    parts: list[list[Episode]] = []
    for episode in episodes:
        if parts and episode.interval.start_ms - parts[-1][-1].interval.end_ms < neighbours_ms:
            parts[-1].append(episode)
        else:
            parts.append([episode])
    return parts


def alike(question: Question, among: Sequence[Question]) -> tuple[Question, ...]:
    """Return the other questions about the same alert within an hour of the same time of day (UTC)."""

    def near(other: Question) -> bool:
        apart = (other.breach.start_ms - question.breach.start_ms) % DAY_MS
        return min(apart, DAY_MS - apart) <= SAME_HOUR_MS

    return tuple(
        each
        for each in among
        if each.key != question.key
        and not (each.suggestion or question.suggestion)
        and (each.rule, each.labels) == (question.rule, question.labels)
        and near(each)
    )


# ---- answers ------------------------------------------------------------------------------------


def answered(document: str, question: Question, answer: Answer, also: Sequence[Question] = ()) -> str:
    """Return the text of a list of incidents with what a person said about a question added.

    Parameters
    ----------
    document : str
        The list, in YAML or JSON.
    question : Question
        From `questions`.
    answer : Answer
        Of a person.
    also : sequence of Question
        Others of which the same is said, each at its own time.

    Raises
    ------
    IncidentError
        If the document is no valid list.
    SettingError
        If the answer does not settle the question, its id is taken, or nothing can be added to the list.
    """
    incidents = parse_incidents(document)
    if question.suggestion is not None:
        return _decided(document, incidents, question.suggestion, answer)
    entries = []
    for each in (question, *also):
        entry = _entry(incidents, each, answer if each is question else replace(answer, interval=None))
        if not settled(each, _only(entry), some=True):
            raise SettingError(
                f"with this time and these labels the {answer.decision} does not concern the page of "
                f"{format_instant(each.pages[0].start_ms)} with {each.labels}",
                cure=f"Let it overlap {format_instant(each.breach.start_ms)} to "
                f"{format_instant(each.breach.end_ms)}, and keep labels that the page has",
            )
        entries.append(entry)
    return appended(document, *entries)


def _decided(document: str, incidents: Incidents, entry: Incident, answer: Answer) -> str:
    """Decide a suggestion where it stands; an expected event is an excluded window beside the rejected entry."""
    if entry.id not in {each.id for each in incidents.suggested}:
        raise SettingError(f"{entry.id!r} is no undecided suggestion of the list any more", cure="Start again")
    interval = answer.interval or entry.interval
    labels = entry.labels if answer.labels is None else Labels(answer.labels)
    if not interval.overlaps(entry.interval):
        raise SettingError(
            f"this time lies outside the suggestion {entry.id!r}",
            cure=f"Let it overlap {format_instant(entry.interval.start_ms)} to {format_instant(entry.interval.end_ms)}",
        )
    if answer.decision != "incident":
        changed = decided(document, entry, replace(entry, status="rejected", cause=answer.note or entry.cause))
        if answer.decision == "noise":
            return changed
        return appended(changed, Excluded(interval, answer.note, labels))
    name = answer.id.strip() or entry.id
    if name != entry.id and name in _ids(incidents):
        raise SettingError(f"there is an incident {name!r} already", cure=f"Keep {entry.id}")
    for known in incidents:
        shared = not known.rules or not entry.rules or set(known.rules) & set(entry.rules)
        if known.interval.overlaps(interval) and known.labels == labels and shared:
            raise SettingError(
                f"the incident {known.id!r} is about the same time and labels already: it would count twice",
                cure=f"Answer noise, which rejects {entry.id}, or change its times or labels",
            )
    return decided(
        document,
        entry,
        replace(
            entry,
            id=name,
            interval=interval,
            labels=labels,
            must_page=entry.must_page if answer.must_page is None else answer.must_page,
            # A suggestion's reason is no kind.
            kind=answer.kind or ("" if entry.kind.startswith("suggested: ") else entry.kind),
            cause=answer.note or entry.cause,
            status="confirmed",
        ),
    )


def _only(entry: Incident | Excluded | Reviewed) -> Incidents:
    if isinstance(entry, Incident):
        return Incidents((entry,))
    return Incidents(excluded=(entry,)) if isinstance(entry, Excluded) else Incidents(reviewed=(entry,))


def _entry(incidents: Incidents, question: Question, answer: Answer) -> Incident | Excluded | Reviewed:
    labels = question.labels if answer.labels is None else Labels(answer.labels)
    interval = answer.interval or question.breach
    if answer.decision == "expected":
        return Excluded(interval, answer.note, labels)
    if answer.decision == "noise":
        return Reviewed(
            answer.interval or question.interval,
            labels=labels,
            rules=(question.alert,),
            by=answer.by,
            when_ms=answer.when_ms,
            note=answer.note,
        )
    name = answer.id.strip() or proposed_id(incidents, question)
    if name in _ids(incidents):
        cure = f"Give another one, for example {proposed_id(incidents, question)}"
        raise SettingError(f"there is an incident {name!r} already", cure=cure)
    return Incident(
        name,
        interval,
        labels,
        (question.alert,),
        answer.must_page is not False,
        answer.kind,
        answer.note,
        # That the rule finds what its own page has taught the list is no evidence for it.
        suggested_by=(question.alert,),
    )


def _ids(incidents: Incidents) -> set[str]:
    return {each.id for each in (*incidents, *incidents.suggested, *incidents.rejected)}


def proposed_id(incidents: Incidents, question: Question) -> str:
    """Return an id for a new incident: the next number where the last ones are numbered, else its time.

    A suggestion keeps its own.
    """
    if question.suggestion is not None:
        return question.suggestion.id
    taken = _ids(incidents)
    for each in reversed(incidents.incidents):
        if match := _NUMBERED.fullmatch(each.id):
            prefix, digits = match.groups()
            numbers = [int(found[2]) for name in taken if (found := _NUMBERED.fullmatch(name)) and found[1] == prefix]
            return f"{prefix}{max(numbers) + 1:0{len(digits)}d}"
    stem = format_instant(question.breach.start_ms)[:16].replace("-", "").replace(":", "").replace("T", "-")
    names = (f"page-{stem}{suffix}" for suffix in ("", *(f"-{number}" for number in range(2, len(taken) + 3))))
    return next(name for name in names if name not in taken)


def settled(question: Question, incidents: Incidents, *, some: bool = False) -> bool:
    """Tell whether a list explains, or has seen, every page of a question; or `some` page of it.

    A suggestion is settled once it is decided.
    """
    if question.suggestion is not None:
        return question.suggestion.id not in {each.id for each in incidents.suggested}
    before_ms, after_ms = question.credit_ms
    windows = [
        each.interval.widened(before_ms, after_ms)
        for each in incidents
        if each.concerns(question.alert, question.labels)
    ]
    windows += incidents.excluding(question.labels)
    windows += [each.interval for each in incidents.reviewed if each.concerns(question.alert, question.labels)]
    known = [any(page.overlaps(window) for window in windows) for page in question.pages]
    return any(known) if some else all(known)


# ---- what it looked like ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Trace:
    """The compared value around a page.

    Attributes
    ----------
    times : int64 array, shape (T,)
        Evaluations, in milliseconds.
    values : float64 array, shape (T,)
        Of the page's alert, of several the one that is nearest to firing; NaN where there is none.
    firing : bool array, shape (T,)
        Where it fired.
    """

    times: Int64s
    values: Floats
    firing: npt.NDArray[np.bool_]


def group_of(signal: Signal, question: Question) -> int:
    """Return the page group that a question is about."""
    [place] = [place for place, group in enumerate(signal.groups) if group.labels == question.series]
    return place


def trace(result: Backtest, question: Question, period: Interval | None = None) -> Trace:
    """Return the values around a page; those of a rule without a threshold are 1 where its condition holds."""
    replay = result[question.rule]
    firing, span = replay.firing(), period or question.around(replay.period)
    signal = firing.signal
    low, high = (int(at) for at in np.searchsorted(signal.times, [span.start_ms, span.end_ms]))
    place = group_of(signal, question)
    group = signal.groups[place]
    levels = group.levels(group.ranks[:, low:high].max(axis=0))
    values = np.where(np.isneginf(levels), np.nan, -levels if signal.falls else levels)
    return Trace(signal.times[low:high], values, firing.fires(place, replay.level())[low:high])
