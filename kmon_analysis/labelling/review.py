"""Reviewing false pages: which ones to ask a person about, and what an answer adds to the list of incidents.

Missing labels are the most common fault of a list of incidents: they look like false pages and push thresholds up.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from kmon_analysis.backtest.pages import Episode, Firing
from kmon_analysis.backtest.rule import RuleBacktest
from kmon_analysis.backtest.run import Backtest
from kmon_analysis.backtest.signal import Signal
from kmon_analysis.errors import SettingError, nearest
from kmon_analysis.incidents import Excluded, Incident, Incidents, Reviewed, parse_incidents
from kmon_analysis.labelling.edit import appended
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
# How far from the same hour of another day a page still counts as "at that hour".
SAME_HOUR_MS = HOUR_MS
# Alerts of one rule that begin nearer than this have one cause more often than not.
SAME_MOMENT_MS = 5 * MINUTE_MS
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_NUMBERED = re.compile(r"(.*?)(\d+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Question:
    """A false page, or several of one alert that follow each other closely, that a person is asked about.

    Attributes
    ----------
    key : str
        Names it in every run over the same history and rules.
    rule : str
        The alert's name in the backtest.
    alert : str
        Its name in the rule file; the same unless several rules share it.
    labels : Labels
        Labels of the page, without those that the rule sets itself.
    pages : tuple of Interval
        When it fired, in order.
    breach : Interval
        From the first evaluation over the threshold that led to the page to the end of the last one.
    threshold, peak : float or None
        What was compared with, and the value farthest beyond it; None for rules without a threshold.
    op : str
        The comparison, "" without a threshold.
    rank : float
        Duration in hours times height in heights of the rule's median false page.
    others : tuple of (str, int)
        Rules that fired meanwhile, with their number of other alerts, the rule's own ones included.
    days, weekdays : (int, int)
        On how many other days, and other weeks on that weekday, the alert fired within an hour of the same time
        (UTC) without an incident, and how many the history holds.
    credit_ms : (int, int)
        How long before and after an incident a page still counts as finding it.
    repeats : bool
        Whether a question comes before it about the same alert at the same time of day, or about another alert of the
        rule that began within five minutes.
    """

    key: str
    rule: str
    alert: str
    labels: Labels
    pages: tuple[Interval, ...]
    breach: Interval
    threshold: float | None
    peak: float | None
    op: str
    rank: float
    others: tuple[tuple[str, int], ...]
    days: tuple[int, int]
    weekdays: tuple[int, int]
    credit_ms: tuple[int, int]
    repeats: bool = False

    @property
    def interval(self) -> Interval:
        """From the first page to the end of the last one."""
        return Interval(self.pages[0].start_ms, self.pages[-1].end_ms)

    @property
    def firing_ms(self) -> int:
        """How long it fired."""
        return sum(page.duration_ms for page in self.pages)

    @property
    def height(self) -> float | None:
        """How far the peak lies beyond the threshold."""
        return None if self.peak is None or self.threshold is None else abs(self.peak - self.threshold)

    def around(self, period: Interval) -> Interval:
        """Return the time to look at: the breach with as much again around it, an hour at least, within a period."""
        margin = max(HOUR_MS, min(self.breach.duration_ms // 2, DAY_MS))
        wide = self.breach.widened(margin, margin)
        return Interval(max(wide.start_ms, period.start_ms), min(wide.end_ms, period.end_ms))


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
    must_page : bool
        Whether a rule that misses the incident is unacceptable.
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
    must_page: bool = True
    kind: str = ""
    note: str = ""
    by: str = ""
    when_ms: int | None = None

    def __post_init__(self) -> None:
        decision_of(self.decision)


# ---- questions ----------------------------------------------------------------------------------


def questions(result: Backtest, rule: str | None = None, *, neighbours_ms: int = NEIGHBOURS_MS) -> tuple[Question, ...]:
    """List the false pages to ask about, the longest and highest of each kind first.

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
    fired = {name: _spans(page.episode.interval for page in score.pages) for name, score in result.scores.items()}
    found: list[Question] = []
    for name in result if rule is None else (rule,):
        found += _of_rule(result, name, neighbours_ms, fired)
    return _kinds_first(sorted(found, key=lambda each: (-each.rank, each.breach.start_ms, each.key)))


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
    heights = [peak - level for episode in unexplained if (peak := _peak(firing, episode)) < math.inf]
    usual = float(np.median(heights)) if heights and replay.knobs.sweepable else 1.0
    before_ms = replay.settings.credit_before_ms
    after_ms = replay.settings.credit_after_ms + replay.rule.for_ms
    found: list[Question] = []
    for episodes in by_group.values():
        labels = _concerned(replay, episodes[0].labels)
        spans = _spans(episode.interval for episode in episodes)
        asked = [
            each
            for each in episodes
            if not any(
                seen.interval.overlaps(each.interval) and seen.concerns(replay.rule.name, each.labels)
                for seen in result.incidents.reviewed
            )
        ]
        for part in _neighbours(asked, neighbours_ms):
            pages = tuple(each.interval for each in part)
            breach = Interval(_begin(firing, part[0], level), _over(firing, part[-1], level))
            top = max(_peak(firing, each) for each in part)
            sweepable = replay.knobs.sweepable
            height = (min(top, 1e300) - level) / (usual or 1.0) if sweepable else 1.0
            hours = sum(page.duration_ms for page in pages) / HOUR_MS
            days, weekdays = _recurrence(breach.start_ms, spans, replay.period)
            found.append(
                Question(
                    key=_key(name, episodes[0].labels, pages[0].start_ms),
                    rule=name,
                    alert=replay.rule.name,
                    labels=labels,
                    pages=pages,
                    breach=breach,
                    threshold=replay.knobs.threshold if sweepable else None,
                    peak=(-top if firing.signal.falls else top) if sweepable else None,
                    op=replay.knobs.op or "",
                    rank=hours * height,
                    others=_others(fired, breach, name, len(part)),
                    days=days,
                    weekdays=weekdays,
                    credit_ms=(before_ms, after_ms),
                )
            )
    return found


def _key(rule: str, labels: Labels, start_ms: int) -> str:
    digest = sha256("\0".join([rule, str(labels)]).encode()).hexdigest()[:8]
    return f"{format_instant(start_ms)}-{digest}"


def _concerned(replay: RuleBacktest, labels: Labels) -> Labels:
    """Return the labels that an entry about a page names: those of its series, as far as a list can hold them."""
    own = labels.without("alertname", *replay.rule.labels)
    return Labels(pair for pair in own.pairs if _LABEL_NAME.fullmatch(pair[0]))


def _neighbours(episodes: Sequence[Episode], neighbours_ms: int) -> list[list[Episode]]:
    """Put episodes of one group together that follow each other closely."""
    parts: list[list[Episode]] = []
    for episode in episodes:
        if parts and episode.interval.start_ms - parts[-1][-1].interval.end_ms < neighbours_ms:
            parts[-1].append(episode)
        else:
            parts.append([episode])
    return parts


def _peak(firing: Firing, episode: Episode) -> float:
    """Return the highest level of the page's alerts while it was on."""
    group = firing.signal.groups[episode.group]
    first, last = episode.columns
    top = int(group.ranks[:, first : last + 1].max(initial=0))
    return float(group.distinct[top - 1]) if top else -math.inf


def _begin(firing: Firing, episode: Episode, level: float) -> int:
    """Return since when an alert that starts the page was over the level without a break."""
    group, first = firing.signal.groups[episode.group], episode.columns[0]
    over = group.ranks[:, : first + 1] > group.index(level)
    held = over[:, firing.pending[first] :].all(axis=1)
    begins = [int(np.flatnonzero(~row)[-1]) + 1 if not row.all() else 0 for row in over[held]]
    return int(firing.signal.times[min(begins, default=first)])


def _over(firing: Firing, episode: Episode, level: float) -> int:
    """Return the end of the last evaluation over the level: ``keep_firing_for`` fires longer."""
    group = firing.signal.groups[episode.group]
    first, last = episode.columns
    over = (group.ranks[:, first : last + 1] > group.index(level)).any(axis=0)
    column = first + int(np.flatnonzero(over)[-1]) if over.any() else last
    return min(episode.interval.end_ms, int(firing.signal.times[column]) + firing.signal.step_ms)


def _spans(intervals: Iterable[Interval]) -> Int64s:
    """Return starts and ends, shape (N, 2)."""
    pairs = [(each.start_ms, each.end_ms) for each in intervals]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _others(fired: Mapping[str, Int64s], breach: Interval, own: str, own_pages: int) -> tuple[tuple[str, int], ...]:
    counts = {
        name: int(np.count_nonzero((spans[:, 0] < breach.end_ms) & (spans[:, 1] > breach.start_ms)))
        for name, spans in fired.items()
    }
    counts[own] = max(0, counts[own] - own_pages)
    return tuple((name, count) for name, count in counts.items() if count)


def _recurrence(start_ms: int, spans: Int64s, period: Interval) -> tuple[tuple[int, int], tuple[int, int]]:
    """Count the other days, and weeks, on which one of these disjoint pages was on around the same time."""
    first = -((start_ms - period.start_ms) // DAY_MS)
    last = (period.end_ms - 1 - start_ms) // DAY_MS
    shifts = np.arange(first, last + 1, dtype=np.int64)
    shifts = shifts[shifts != 0]
    when = start_ms + shifts * DAY_MS
    begun = np.searchsorted(spans[:, 0], when + SAME_HOUR_MS, side="left")
    over = np.searchsorted(spans[:, 1], when - SAME_HOUR_MS, side="right")
    seen, weekly = begun > over, shifts % 7 == 0
    return (int(seen.sum()), len(shifts)), (int((seen & weekly).sum()), int(weekly.sum()))


def alike(question: Question, among: Sequence[Question]) -> tuple[Question, ...]:
    """Return the other questions about the same alert within an hour of the same time of day (UTC)."""

    def near(other: Question) -> bool:
        apart = (other.breach.start_ms - question.breach.start_ms) % DAY_MS
        return min(apart, DAY_MS - apart) <= SAME_HOUR_MS

    return tuple(
        each
        for each in among
        if each.key != question.key and (each.rule, each.labels) == (question.rule, question.labels) and near(each)
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
        answer.must_page,
        answer.kind,
        answer.note,
        # That the rule finds what its own page has taught the list is no evidence for it.
        suggested_by=(question.alert,),
    )


def _ids(incidents: Incidents) -> set[str]:
    return {each.id for each in (*incidents, *incidents.suggested, *incidents.rejected)}


def proposed_id(incidents: Incidents, question: Question) -> str:
    """Return an id for a new incident: the next number where the last ones are numbered, else its time."""
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
    """Tell whether a list explains, or has seen, every page of a question; or `some` page of it."""
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
    start_ms = question.pages[0].start_ms
    [place] = [
        place
        for place, group in enumerate(signal.groups)
        if _key(question.rule, group.labels, start_ms) == question.key
    ]
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
