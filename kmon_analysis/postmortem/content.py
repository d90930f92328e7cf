"""What page and Markdown say, in order, as plain values: sections of sentences, facts, tables and pictures."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import kmon_analysis
from kmon_analysis.backtest.grouping import page_words
from kmon_analysis.postmortem.answers import KNOBS, Answer, Rung
from kmon_analysis.postmortem.recording import spans_words
from kmon_analysis.postmortem.stories import RuleStory
from kmon_analysis.postmortem.words import did, everywhere, happened, knob_words, sooner_than, summary, why_not
from kmon_analysis.recommend.candidates import Setting
from kmon_analysis.report.tables import Table
from kmon_analysis.report.words import clean, describe, number, per_week, short_labels
from kmon_analysis.report.zones import clock, local_zone, offset
from kmon_analysis.tabular import Cell
from kmon_analysis.timing import WEEK_MS, duration, shown_end, span

if TYPE_CHECKING:
    from kmon_analysis.postmortem.run import Postmortem

__all__ = ["Content", "Section", "content_of"]

# Steps of one rule that are listed; a flapping alert has thousands, all of them in postmortem.json.
MOST_STEPS = 60
TURNS = {"combination": "all", "keep": "keep firing", "hours": "hours"}
# What a rule does not have is no row of its table.
_UNASKED = ("no hours", "hours of another hand", "no fewer pages")


@dataclass(frozen=True, slots=True)
class Section:
    """One rule.

    Attributes
    ----------
    rule : str
        Its name.
    verdict : str
        In one or two words, for the badge.
    tone : {"good", "bad", "plain"}
        How the badge looks.
    headline : str
        What it did and why not more.
    expression, values : str
        As in the rule file.
    notes : tuple of str
        Sentences above the tables.
    timeline : Table or None
        Its steps.
    sooner : tuple of (Table, sentence)
        What would have paged sooner.
    """

    rule: str
    verdict: str
    tone: str
    headline: str
    expression: str = ""
    values: str = ""
    notes: tuple[str, ...] = ()
    timeline: Table | None = None
    sooner: Table | None = None
    sooner_notes: tuple[str, ...] = ()
    drawn: bool = False


@dataclass(frozen=True, slots=True)
class Content:
    """The whole postmortem."""

    title: str
    lead: str
    facts: tuple[tuple[str, str], ...]
    timeline: Table
    rules: Table
    sections: tuple[Section, ...]
    unknown: tuple[str, ...]
    provenance: tuple[tuple[str, str], ...]


def content_of(made: Postmortem) -> Content:
    """Put a postmortem into words and tables."""
    return Content(
        title=f"Postmortem of {clean(made.incident.id)}",
        lead=summary(made),
        facts=tuple(_facts(made)),
        timeline=_overall(made),
        rules=_rules(made),
        sections=tuple(_section(made, story) for story in made.rules if story.concerned),
        unknown=tuple(limit.text for limit in made.limits),
        provenance=tuple(_provenance(made)),
    )


def _facts(made: Postmortem) -> Iterator[tuple[str, str]]:
    incident, zone = made.incident, local_zone(made.zone)
    when = incident.interval

    def both(at_ms: int) -> str:
        local = "" if zone is None else f" ({clock(at_ms, zone)} {made.zone})"
        return f"{clock(at_ms)} UTC{local}"

    yield "Start", both(when.start_ms)
    yield "End", f"{both(when.end_ms)}, after {duration(when.duration_ms)}"
    if incident.detected_ms is not None:
        yield "Detected", f"{both(incident.detected_ms)}, {offset(incident.detected_ms - when.start_ms)}"
    else:
        yield "Detected", "not written down"
    if incident.labels:
        yield "Concerns", ", ".join(f"{name}={value}" for name, value in incident.labels.items())
    for text in made.unmatched:
        yield "Check first", text
    if incident.kind:
        yield "Kind", incident.kind
    if incident.cause:
        yield "Cause", incident.cause
    if made.unrecorded:
        yield "Not recorded", f"{spans_words(made.unrecorded, when)}: what happened then is not known"
    yield "Must page", "yes" if incident.must_page else "no"
    if incident.suggested_by:
        rules = ", ".join(incident.suggested_by)
        yield (
            "Evidence",
            f"made from what {rules} itself saw: that it finds the incident is no evidence for it",
        )
    history = made.backtest.history.interval
    yield (
        "History (UTC)",
        f"{clock(history.start_ms)} to {clock(shown_end(history.end_ms))}, {span(history.duration_ms)}",
    )
    settings = made.backtest.settings
    yield (
        "Pages",
        f"one for {page_words(settings.group_by)}; closer than {duration(settings.merge_gap_ms)} they are one; "
        f"credited from {duration(settings.credit_before_ms)} before the incident to "
        f"{duration(settings.credit_after_ms)} (and the rule's “for”) after it",
    )


def _provenance(made: Postmortem) -> Iterator[tuple[str, str]]:
    result = made.backtest
    replays = list(result.results.values())
    if replays:
        yield "Semantics", f"Prometheus {replays[0].semantics.version}"
    yield "kmon_analysis", f"{kmon_analysis.__version__}, Python {platform.python_version()}"
    yield "Rule file", f"SHA-256 {hashlib.sha256(result.rules.text.encode()).hexdigest()}"
    yield "History", f"{result.history.provenance.source}, SHA-256 {result.history.digest}"
    yield "The same numbers again", "kmon postmortem --bundle bundle, where the folder bundle was kept"


def _time_header(made: Postmortem) -> tuple[str, ...]:
    return ("offset", "UTC") if made.zone == "UTC" else ("offset", "UTC", made.zone)


def _times(made: Postmortem, at_ms: int) -> tuple[str, ...]:
    """Write offset, UTC and local time; the date only where the incident leaves the day."""
    start_ms, zone = made.incident.interval.start_ms, local_zone(made.zone)
    dated = clock(at_ms)[:10] != clock(start_ms)[:10]
    utc = clock(at_ms, date=dated)
    first, utc = Cell(offset(at_ms - start_ms), at_ms), Cell(utc, at_ms)
    if zone is None:
        return (first, utc)
    local = clock(at_ms, zone)
    same = local[:10] == clock(start_ms, zone)[:10]
    return (first, utc, Cell(local[11:] if same else local, at_ms))


def _overall(made: Postmortem) -> Table:
    """List the incident's own times and every rule's first page, in the order of time."""
    incident = made.incident
    rows: list[tuple[int, int, str, str]] = [(incident.interval.start_ms, 0, "incident", "starts")]
    if incident.detected_ms is not None:
        rows.append((incident.detected_ms, 2, "incident", "people know of it"))
    history = made.backtest.history.interval
    rows.append((incident.interval.end_ms, 3, "incident", "ends"))
    for gap in made.unrecorded:
        if gap.start_ms == history.end_ms:
            words = "ends: nothing is known from here on"
        else:
            words = f"nothing recorded {spans_words([gap], incident.interval)} (not known)"
        rows.append((shown_end(gap.start_ms) if gap.start_ms == history.end_ms else gap.start_ms, 4, "history", words))
    for story in made.concerned:
        steps = [step for step in story.steps if step.life is not None]
        first_true = min((step.at_ms for step in steps if "true" in step.words), default=None)
        pages = [page.episode.interval.start_ms for page in story.pages]
        if first_true is not None:
            unknown = any(life.from_first or (life.from_gap and life.active_ms == first_true) for life in story.lives)
            rows.append(
                (first_true, 1, story.rule, "condition true" + (" (since when is not known)" if unknown else ""))
            )
        rows += [(at_ms, 1, story.rule, "page") for at_ms in pages[:5]]
        if len(pages) > 5:
            rows.append((pages[5], 1, story.rule, f"{len(pages) - 5} more pages"))
        ends = [page.episode.interval.end_ms for page in story.pages]
        if ends:
            rows.append((max(ends), 1, story.rule, _end_words(story, max(ends))))
    return Table(
        "Timeline",
        (*_time_header(made), "who", "what"),
        tuple((*_times(made, at_ms), clean(who), what) for at_ms, _, who, what in sorted(rows)),
        frozenset({0, 1, 2, 3, 4}),
    )


def _end_words(story: RuleStory, end_ms: int) -> str:
    """Say what the end of a rule's last page is worth."""
    if any(life.firing_ms is not None and life.end_ms is None for life in story.lives):
        return "still firing when the history ends"
    if any(life.end_ms == end_ms and life.ended == "gap" for life in story.lives):
        return "page not recorded any further: when it resolved is not known"
    return "resolved"


def _rules(made: Postmortem) -> Table:
    rows = []
    for story in made.rules:
        score = story.score
        known = score is not None and story.concerned
        rows.append(
            (
                clean(story.rule),
                clean(did(made, story)),
                "–" if story.setting is None else describe(story.setting),
                f"{score.caught} of {score.incidents}" if score is not None and known and score.incidents else "–",
                f"{score.false_pages:,}" if score is not None and known else "–",
                per_week(score.false_pages_per_week) if score is not None and known else "–",
            )
        )
    header = ("rule", "what it did", "values", "pages for all incidents", "false pages", "a week")
    return Table("What each rule did", header, tuple(rows), frozenset({0, 1, 2}))


def _section(made: Postmortem, story: RuleStory) -> Section:
    replay = made.backtest.results[story.rule]
    tone = "good" if story.paged else "bad" if story.known and story.status != "no data" else "plain"
    table, notes = _sooner(made, story)
    return Section(
        rule=story.rule,
        verdict=story.status if story.known or story.status == "no data" else "not known",
        tone=tone,
        headline=did(made, story),
        expression=replay.rule.text.strip("\n"),
        values="" if story.setting is None else describe(story.setting),
        notes=tuple(filter(None, [everywhere(story)])),
        timeline=_steps(made, story),
        sooner=table,
        sooner_notes=notes,
        drawn=story.blind or story.status != "no data",
    )


def _steps(made: Postmortem, story: RuleStory) -> Table | None:
    if not story.steps:
        return None
    alerts = sorted({step.labels for step in story.steps})
    own = made.backtest.results[story.rule].rule.labels
    heading, names = short_labels([labels.without("alertname", *own) for labels in alerts])
    named = dict(zip(alerts, names, strict=True))
    shown = story.steps[:MOST_STEPS]
    rows = tuple((*_times(made, step.at_ms), named[step.labels], happened(step), number(step.value)) for step in shown)
    more = f", the first {len(shown)} of {len(story.steps):,}" if len(shown) < len(story.steps) else ""
    header = (*_time_header(made), heading or "alert", "what happened", "value")
    words = len(header) - 1
    return Table(f"Steps of {clean(story.rule)}{more}", header, rows, frozenset(range(words)))


def _sooner(made: Postmortem, story: RuleStory) -> tuple[Table | None, tuple[str, ...]]:
    """Price the ladder; steps with the same answer are told once."""
    rungs = made.sooner.get(story.rule, ())
    start_ms, setting = made.incident.interval.start_ms, story.setting
    if setting is None:
        return None, ()
    if not rungs or story.score is None:
        return None, tuple(filter(None, [_no_ladder(story)]))
    reference = made.references[story.rule]
    reference_is_own = reference.kind == "own page"
    notes = [f"Sooner than {sooner_than(reference, start_ms, known=story.known)}."]
    beyond = [rung for rung in rungs if not rung.answers]
    notes += [
        f"{duration(rung.sooner_ms)} sooner would be {offset(rung.deadline_ms - start_ms)}, before any page "
        "could count for this incident."
        for rung in beyond
    ]
    rows = []
    if not reference_is_own:
        notes += filter(None, [_caught_at_all(story, rungs, start_ms)])
    for knob in KNOBS:
        for first, last, answer in _spans(rungs, knob):
            if answer.why in _UNASKED:
                continue
            rows.append(_row(made, story, setting, first, last, answer))
    if not rows:
        return None, tuple(notes)
    now = story.score
    weeks = span(round(now.weeks * WEEK_MS))
    notes.append(
        f"False pages are counted over the whole history, {weeks} of observed normal time; now: "
        f"{now.false_pages:,} ({per_week(now.false_pages_per_week)} a week)."
    )
    notes.append(
        "Where a single knob is turned, it is turned just far enough for a page in time: the value lies at an edge, "
        "chosen with this incident in view. “Room” says how many times the value exceeds the new threshold by then; "
        "below 1.2 a slightly weaker incident is missed. "
        "With all of them turned, the answer is the quietest of the windows and “for”s that tuning tries, with room "
        "where there is some, that loses no incident where that is possible. Pages a week and alert time a week are of "
        "normal time, alert time summed over alerts. A setting fitted to one incident is an anecdote: with a threshold "
        "just within the reach of one incident, the next one like it is missed one time in two."
    )
    header = (
        "sooner",
        "turn",
        "values",
        "page",
        "false pages",
        "a week",
        "alert time",
        "room",
        "other incidents",
    )
    return Table("Settings that would have, and their price", header, tuple(rows), frozenset({0, 1, 2, 3, 8})), tuple(
        notes
    )


def _spans(rungs: tuple[Rung, ...], knob: str) -> Iterator[tuple[Rung, Rung, Answer]]:
    """Join neighbouring steps of the ladder with one and the same answer: first, last, the answer of the last."""
    open_first: Rung | None = None
    before: tuple[Rung, Answer] | None = None
    for rung in rungs:
        answer = next((each for each in rung.answers if each.knob == knob), None)
        if answer is None:
            continue
        if before is not None and (answer.setting, answer.why, answer.since_ms) != (
            before[1].setting,
            before[1].why,
            before[1].since_ms,
        ):
            yield (open_first or before[0], *before)
            open_first = None
        open_first = open_first or rung
        before = (rung, answer)
    if before is not None:
        yield (open_first or before[0], *before)


def _no_ladder(story: RuleStory) -> str:
    so_far = "" if story.known else " in what is recorded"
    return {
        "paged early": "It paged before the labelled start; what is sooner than that is asked with --sooner.",
        "paged": "It paged within a minute of the labelled start; what is sooner than that is asked with --sooner.",
        "nothing returned": f"No threshold, window or “for” would have caught it{so_far}: nothing that the incident "
        "concerns was returned, so there was nothing to compare. Only another expression would, for example one with "
        "absent().",
        "no data": "Nothing can be said of other settings: the history holds nothing of "
        f"{'what the rule reads' if story.blind else 'this time'}.",
    }.get(story.status, "")


def _caught_at_all(story: RuleStory, rungs: tuple[Rung, ...], start_ms: int) -> str:
    """Say of a rule that did not page whether any setting would have, and which one most quietly."""
    asked = next((rung.answers for rung in rungs if not rung.sooner_ms), ())
    priced = [(answer.price, answer.setting) for answer in asked if answer.price and answer.setting]
    if priced:
        price, setting = min(priced, key=lambda each: (len(each[0].lost), each[0].false_pages))
        lost = f", and would have lost {', '.join(map(clean, price.lost))}" if price.lost else ""
        return (
            f"It would have been caught with {describe(setting)}: {price.false_pages:,} false pages in the whole "
            f"history{lost}. That is the quietest answer below, fitted to this incident."
        )
    if not asked:
        return ""
    reasons = "; ".join(
        f"{TURNS.get(answer.knob, f'{answer.knob} alone')}: {why_not(answer, start_ms)}"
        for answer in asked
        if answer.why not in _UNASKED
    )
    so_far = "" if story.known else " in what is recorded"
    return f"No setting that was tried would have caught it{so_far}. {reasons}."


def _row(
    made: Postmortem, story: RuleStory, current: Setting, first: Rung, last: Rung, answer: Answer
) -> tuple[str, ...]:
    start_ms = made.incident.interval.start_ms
    low, high = (_by(rung.sooner_ms) for rung in (first, last))
    by = Cell(low if low == high else f"{low} to {high}", last.sooner_ms)
    turn = TURNS.get(answer.knob, f"{answer.knob} alone")
    price = answer.price
    if price is None:
        return (by, turn, why_not(answer, start_ms), *["–"] * 6)
    others = []
    if price.lost:
        others.append(f"loses {', '.join(map(clean, price.lost))}")
    if price.gained:
        gained = [name for name in price.gained if name != made.incident.id]
        others += [f"finds {', '.join(map(clean, gained))} as well"] if gained else []
    room = "–" if price.margin_ratio is None else f"{price.margin_ratio:.2f}"
    return (
        by,
        turn,
        knob_words(answer, current, story.op),
        Cell(offset(price.page_ms - start_ms), price.page_ms),
        f"{price.false_pages:,}",
        per_week(price.false_pages_per_week),
        Cell(duration(price.firing_ratio * WEEK_MS), price.firing_ratio),
        Cell(room + (" (edge)" if price.fragile else ""), price.margin_ratio),
        "; ".join(others) or "none lost",
    )


def _by(sooner_ms: int) -> str:
    return "at all" if not sooner_ms else duration(sooner_ms)
