"""What the data cannot say about an incident."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kmon_analysis.backtest.notes import Note, unmatched
from kmon_analysis.backtest.rule import RuleBacktest
from kmon_analysis.backtest.run import Backtest
from kmon_analysis.history_gaps import absence, alive
from kmon_analysis.incidents import Incident
from kmon_analysis.labels import Labels
from kmon_analysis.postmortem.stories import RuleStory
from kmon_analysis.promql.needs import selections
from kmon_analysis.rules.model import RuleGroup
from kmon_analysis.tabular import counted
from kmon_analysis.timing import SECOND_MS, WEEK_MS, Interval, duration, format_end, format_instant

__all__ = ["UNMATCHED", "Limit", "limits_of"]

# The kind of what would pass for a quiet rule or a missed incident and is a misspelt name.
UNMATCHED = "unmatched"
# Gaps are told one by one up to this many.
GAPS = 5


@dataclass(frozen=True, slots=True)
class Limit:
    """Something that is not known.

    Attributes
    ----------
    code : str
        Its kind, for programs.
    text : str
        A sentence.
    facts : Mapping
        The numbers and names in it; JSON values.
    """

    code: str
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)


def limits_of(result: Backtest, incident: Incident, stories: Sequence[RuleStory]) -> tuple[Limit, ...]:
    """List what weakens the statements of a postmortem, the nearest to the incident first."""
    told = [story for story in stories if story.concerned]
    slips = unmatched(result)
    return (
        *(_unmatched(note) for note in slips if incident.id in note.incidents),
        *_ends(result, incident, told),
        *_gaps(result, incident, told),
        *_alerts(result, incident, told),
        *_overlaps(result, incident),
        *_normal_time(told),
        *_clocks(result, told),
        *_others(result, stories),
        *(_unmatched(note) for note in slips if incident.id not in note.incidents),
        Limit(
            "labels by people",
            "Start, end and labels of incidents are what people wrote down; every offset here is as good as they are. "
            "A false page may be an incident that nobody wrote down.",
        ),
        Limit(
            "one example",
            "What would have paged sooner is found with this incident in view: one example, no forecast. "
            "Tuning (kmon tune) weighs all incidents and tests on weeks that it did not see.",
        ),
        Limit(
            "not replayed",
            "Restarts of Prometheus, and what Alertmanager does behind a page: routing, grouping waits, silences.",
        ),
    )


def _unmatched(note: Note) -> Limit:
    """Say which metric or label nothing in the history has."""
    # Without the line of the list: a bundle holds another one, and is compared.
    facts = {"note": note.bare, "rules": list(note.rules), "incidents": list(note.incidents)}
    return Limit(UNMATCHED, note.bare, facts)


def _ends(result: Backtest, incident: Incident, told: Sequence[RuleStory]) -> Iterator[Limit]:
    """Say where the history begins or ends inside what is looked at."""
    history, when = result.history.interval, incident.interval
    facts = {"start": format_instant(history.start_ms), "end": format_end(history.end_ms)}
    if when.start_ms < history.start_ms:
        yield Limit(
            "starts before the history",
            f"The incident starts at {format_instant(when.start_ms)}, before the history ({facts['start']}): "
            "what came before is not seen.",
            facts,
        )
    if when.end_ms > history.end_ms:
        yield Limit(
            "ends after the history",
            f"The incident ends at {format_instant(when.end_ms)}, after the history ({facts['end']}): "
            "what came after is not seen.",
            facts,
        )
    else:
        cut = [story.rule for story in told if story.window.end_ms > history.end_ms]
        if cut:
            yield Limit(
                "history ends soon after",
                f"The history ends at {facts['end']}, inside the time in which a page still counts.",
                {**facts, "rules": cut},
            )
    for story in told:
        # A rule whose pending alert never fired has nothing to resolve.
        if story.open:
            fired = any(life.firing_ms is not None for life in story.lives if life.end_ms is None)
            words = "had not resolved" if fired else "was pending, and had not fired,"
            yield Limit("open", f"{story.rule} {words} when the history ends.", {"rule": story.rule})
        lost = [life.end_ms for life in story.lives if life.ended == "gap" and life.end_ms is not None]
        if lost:
            yield Limit(
                "cut",
                f"{story.rule} was pending or firing when nothing was recorded any more, at "
                f"{format_instant(lost[0])}: until when is not known.",
                {"rule": story.rule, "at": [format_instant(at_ms) for at_ms in lost]},
            )
        found = [life.active_ms for life in story.lives if life.from_gap]
        if found:
            yield Limit(
                "unknown since",
                f"{story.rule} was pending or firing when recording went on, at {format_instant(found[0])}: since when "
                "is not known.",
                {"rule": story.rule, "at": [format_instant(at_ms) for at_ms in found]},
            )
        if any(life.from_first for life in story.lives):
            yield Limit(
                "unknown past",
                f"{story.rule} was pending or firing at the first evaluation of the history: since when is not known.",
                {"rule": story.rule},
            )


def _gaps(result: Backtest, incident: Incident, told: Sequence[RuleStory]) -> Iterator[Limit]:
    """Say where samples are missing around the incident."""
    scrape_ms, whole = result.history.usual_step_ms, result.history.interval
    for story in told:
        replay = result.results[story.rule]
        silent = _away(replay, incident, story.window, whole, scrape_ms)
        if silent:
            shown = "; ".join(
                f"{labels} for {duration(gap.duration_ms)} from {format_instant(gap.start_ms)}"
                for labels, gap in silent[:GAPS]
            )
            more = f"; and {len(silent) - GAPS} more" if len(silent) > GAPS else ""
            yield Limit(
                "gaps",
                f"{story.rule} reads series with gaps, two samples or more missing in a row: {shown}{more}. "
                "A gap may reset a pending alert, or hide that the condition was true.",
                {
                    "rule": story.rule,
                    "gaps": [
                        {
                            "series": dict(labels),
                            "start": format_instant(gap.start_ms),
                            "end": format_instant(gap.end_ms),
                        }
                        for labels, gap in silent
                    ],
                },
            )
        failed = replay.signal().failed
        count = int(np.count_nonzero((failed >= story.window.start_ms) & (failed < story.window.end_ms)))
        if count:
            yield Limit(
                "failed evaluations",
                f"Prometheus would have failed {counted(count, 'evaluation')} of {story.rule} in this time; what fails "
                "changes no state.",
                {"rule": story.rule, "count": count},
            )


def _away(
    replay: RuleBacktest, incident: Incident, window: Interval, whole: Interval, scrape_ms: int
) -> list[tuple[Labels, Interval]]:
    """Return gaps and early ends in a window, of the series that a rule reads and the incident may concern.

    A series that ended before the window, or begins in it, has no gap there.
    """
    chosen: set[int] = set()
    for need in selections(replay.rule.expr):
        chosen |= set(replay.series.matching(need.matchers, dot_all=replay.semantics.dot_all).tolist())
    found = []
    inside = Interval(max(window.start_ms, replay.period.start_ms), min(window.end_ms, replay.period.end_ms))
    for index in sorted(chosen):
        part = replay.series[index]
        if not incident.concerns(replay.rule.name, part.labels):
            continue
        lacks = absence(alive(part), whole, scrape_ms)
        spans = lacks.gaps()
        ends_ms = whole.end_ms - lacks.early_ms
        if lacks.early_ms and inside.start_ms < ends_ms < inside.end_ms:
            spans.append(Interval(ends_ms, inside.end_ms))
        found += [(part.labels, span) for span in spans if span.overlaps(inside)]
    return sorted(found, key=lambda each: (-each[1].duration_ms, each[1].start_ms, each[0]))


def _alerts(result: Backtest, incident: Incident, told: Sequence[RuleStory]) -> Iterator[Limit]:
    """Say where alerts cannot be told to be about the incident."""
    if not incident.labels and told:
        yield Limit(
            "no labels",
            "The incident names no labels, so every alert of a rule counts as being about it.",
        )
    for story in told:
        lacking = sorted(
            {
                name
                for group in result.results[story.rule].signal().groups
                for member in group.members
                for name in incident.labels
                if name not in member
            }
        )
        if lacking and incident.labels:
            yield Limit(
                "labels missing",
                f"Alerts of {story.rule} lack {', '.join(lacking)}: whether they are about this incident is taken on "
                "the labels that both have.",
                {"rule": story.rule, "labels": lacking},
            )


def _overlaps(result: Backtest, incident: Incident) -> Iterator[Limit]:
    """Say what else was going on."""
    others = [
        other.id for other in result.incidents if other.id != incident.id and other.interval.overlaps(incident.interval)
    ]
    if others:
        yield Limit(
            "other incidents",
            f"At the same time: {', '.join(others)}. One page may be about either.",
            {"incidents": others},
        )
    for window in result.incidents.excluded:
        if window.interval.overlaps(incident.interval):
            reason = f" ({window.reason})" if window.reason else ""
            yield Limit(
                "excluded",
                f"Part of it lies in time excluded from the scores{reason}, "
                f"{format_instant(window.interval.start_ms)} to {format_instant(window.interval.end_ms)}. "
                "Pages for the incident count, others there do not.",
                {
                    "start": format_instant(window.interval.start_ms),
                    "end": format_instant(window.interval.end_ms),
                    "reason": window.reason,
                },
            )


def _normal_time(told: Sequence[RuleStory]) -> Iterator[Limit]:
    """Say where there is too little ordinary time for false pages to mean anything."""
    short = {story.rule: story.score.weeks for story in told if story.score is not None and story.score.weeks < 1 / 7}
    if short:
        least_s = round(min(short.values()) * WEEK_MS / SECOND_MS)
        amount = duration(least_s * SECOND_MS) if least_s else "none"
        yield Limit(
            "little normal time",
            f"There is less than a day of ordinary time to count false pages in ({amount}) for {', '.join(short)}: few "
            "or none of them mean nothing.",
            {"rules": list(short), "least_s": least_s},
        )


def _clocks(result: Backtest, told: Sequence[RuleStory]) -> Iterator[Limit]:
    """Say how well instants are known."""
    if not told:
        return
    steps = {result.results[story.rule].grid.step_ms for story in told}
    scrape_ms, step_ms = result.history.scrape_interval_ms, max(steps)
    yield Limit(
        "resolution",
        f"Values are known every {duration(scrape_ms)} (scrape) and states every {duration(step_ms)} "
        f"(evaluation): nothing is known better than to {duration(scrape_ms + step_ms)}.",
        {"scrape_s": scrape_ms / SECOND_MS, "evaluation_s": step_ms / SECOND_MS},
    )
    groups = dict.fromkeys(result.results[story.rule].rule.group for story in told)
    unknown = [name for name in groups if name in result.phases and result.phases[name].how == "unknown"]
    if unknown:
        yield Limit(
            "phase",
            f"When inside its interval a server evaluates {_listed('group', unknown)} is not known; full intervals are "
            f"taken, and every instant may be up to {duration(step_ms)} later or earlier.",
            {"groups": unknown},
        )
    limited = [name for name in groups if _group(result, name).limit]
    if limited:
        yield Limit("limit", f"The limit of {_listed('group', limited)} is not replayed.", {"groups": limited})


def _others(result: Backtest, stories: Sequence[RuleStory]) -> Iterator[Limit]:
    """Say which rules were not evaluated here, or not at all."""
    for story in stories:
        if story.status == "not evaluated":
            yield Limit(
                "not evaluated",
                f"{story.rule} is not evaluated: {story.reason}.",
                {"rule": story.rule},
            )
    for name, who in result.evaluated_by.items():
        yield Limit(
            "evaluated by",
            f"{name} was evaluated by {who}, from what it held when it was asked.",
            {"rule": name, "by": who},
        )
    waiting = [each.id for each in result.incidents.suggested]
    if waiting:
        yield Limit(
            "undecided",
            f"Nobody has decided on the suggestions {', '.join(waiting)}: pages in them count as false.",
            {"incidents": waiting},
        )
    for warning in result.history.provenance.warnings:
        yield Limit("warning", f"The history says: {warning}", {"warning": warning})
    for note in (*result.notes, *result.recorded):
        yield Limit("note", note, {"note": note})


def _group(result: Backtest, name: str) -> RuleGroup:
    return next(group for group in result.rules.groups if group.name == name)


def _listed(noun: str, names: Sequence[str]) -> str:
    return f"{noun}{'' if len(names) == 1 else 's'} {', '.join(names)}"
