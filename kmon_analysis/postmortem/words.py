"""The sentences of a postmortem: what a rule did, why not more, and what an answer costs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kmon_analysis.kafka.hours import parse_hours, promql_guard
from kmon_analysis.postmortem.answers import Answer, Reference
from kmon_analysis.postmortem.pricing import HOURS
from kmon_analysis.postmortem.recording import spans_words
from kmon_analysis.postmortem.stories import RuleStory
from kmon_analysis.postmortem.timeline import Step
from kmon_analysis.recommend.candidates import Setting
from kmon_analysis.report.words import count, describe, number, per_week, rough, same_duration
from kmon_analysis.report.zones import offset
from kmon_analysis.timing import WEEK_MS, duration, span

if TYPE_CHECKING:
    from kmon_analysis.postmortem.run import Postmortem

__all__ = ["because", "did", "everywhere", "happened", "knob_words", "sooner_than", "summary", "why_not"]


def summary(made: Postmortem) -> str:
    """Say in one sentence who paged first, or that nobody did."""
    start_ms = made.incident.interval.start_ms
    told = made.concerned
    if not told:
        return "No rule has a part in this incident."
    paged = [(story.first_ms, story.rule) for story in told if story.status in ("paged", "paged early")]
    first = min(((ms, rule) for ms, rule in paged if ms is not None), default=None)
    if first is None:
        already = [story for story in told if story.status == "already firing"]
        if already:
            anew = any(story.paged_anew_ms is not None for story in already)
            names = ", ".join(story.rule for story in already)
            page = "No page that tells of it alone" if anew else "No new page"
            if made.unrecorded:
                page += f" in what is recorded ({_where(made)} nothing is)"
            return f"{page}: {names} had been firing since before."
        return _nobody(made)
    after_ms = first[0] - start_ms
    when = f"{duration(after_ms)} after" if after_ms > 0 else "at"
    if after_ms < 0:
        when = f"{duration(-after_ms)} before"
    merged = next(story.merged_into_ms for story in told if story.rule == first[1])
    did_what = "paged" if merged is None else f"fired again (its page began at {offset(merged - start_ms)})"
    text = f"{first[1]} {did_what} {when} the labelled start"
    if made.incident.detected_ms is not None:
        ahead_ms = made.incident.detected_ms - first[0]
        side = "before" if ahead_ms > 0 else "after"
        text += f", {duration(abs(ahead_ms))} {side} people knew" if ahead_ms else ", just when people knew"
    story = next(each for each in told if each.rule == first[1])
    text += _page_unsure(made, story)
    quiet = len(told) - len(paged)
    known = all(each.known for each in told)
    words = "did not page" if known else "did not page in what is recorded"
    return f"{text}; {count(quiet, 'other rule')} concerned {words}." if quiet else f"{text}."


def _nobody(made: Postmortem) -> str:
    """Say that no rule paged, as far as that is known."""
    if all(story.blind for story in made.concerned):
        return "The history holds nothing of what the rules read: whether one paged is not known."
    if all(story.status == "no data" for story in made.concerned):
        return "The history holds nothing of this time: whether a rule paged is not known."
    blind = [story.rule for story in made.concerned if story.status == "no data"]
    unknown = f"; of {', '.join(blind)} it is not known" if blind else ""
    when, history = made.incident.interval, made.backtest.history.interval
    if [(span.start_ms, span.end_ms) for span in made.unrecorded] == [(history.end_ms, when.end_ms)]:
        return "No rule paged for it before the history ends, which is before the incident does."
    if made.unrecorded == (when,):
        return "Nothing of the incident itself is recorded: whether a rule paged is not known."
    if made.unrecorded:
        text = f"No rule paged for it in what is recorded{unknown}"
        return f"{text}; {_where(made)} nothing is, so of that time it is not known."
    return f"No rule paged for it{unknown}."


def _where(made: Postmortem) -> str:
    return spans_words(made.unrecorded, made.incident.interval)


def _page_unsure(made: Postmortem, story: RuleStory) -> str:
    """Say of a rule that paged what is not known of when it did."""
    first = story.first_ms
    if first is None or not story.paged:
        return ""
    if any(first in span for span in made.unrecorded):
        return f", while nothing is recorded ({_where(made)}): whether it did is not known"
    before = [span for span in made.unrecorded if span.end_ms <= first]
    if before:
        return f"; nothing is recorded {spans_words(before, made.incident.interval)}: it may have paged before"
    return ""


def did(made: Postmortem, story: RuleStory) -> str:
    """Say what a rule did, why not more, and what of it is not known."""
    text = _did(made, story)
    if story.status == "no data":
        return text
    if story.known:
        return f"{text}{_page_unsure(made, story)}"
    return f"{text}; nothing is recorded {_where(made)} (not known)"


def _did(made: Postmortem, story: RuleStory) -> str:
    start_ms = made.incident.interval.start_ms
    first = None if story.first_ms is None else story.first_ms - start_ms
    again = story.merged_into_ms
    so_far = "" if story.known else " in what is recorded"
    match story.status:
        case "paged" | "paged early" if first is not None and again is not None:
            return f"fired at {offset(first)}, in the page that began at {offset(again - start_ms)} and had resolved"
        case "paged" if first is not None:
            return f"paged at {offset(first)}"
        case "paged early" if first is not None:
            return f"paged at {offset(first)}, before the labelled start"
        case "already firing":
            return f"had been firing{_since(story, start_ms)}: {_more(story, start_ms)}"
        case "pending only":
            return f"was pending, and did not fire{so_far}: {because(story, start_ms)}"
        case "never true":
            return f"never came true{so_far}: {because(story, start_ms)}"
        case "nothing returned":
            return f"its expression returned nothing that the incident concerns{so_far}"
        case "no data":
            return f"the history has no samples of {'what it reads' if story.blind else 'this time'}"
        case "not evaluated":
            return f"is not evaluated: {story.reason}"
        case _:
            return _no_part(made, story)


def _since(story: RuleStory, start_ms: int) -> str:
    fired = [life for life in story.lives if life.firing_ms is not None and life.firing_ms < story.window.start_ms]
    if not fired:
        return " already"
    first = min(fired, key=lambda life: life.firing_ms or 0)
    if first.from_first:
        return " since before the history begins"
    return f" since {offset((first.firing_ms or 0) - start_ms)}"


def _more(story: RuleStory, start_ms: int) -> str:
    """Say whether another alert of a rule that was firing already paged anew."""
    anew = story.paged_anew_ms
    if anew is None and story.unrecorded:
        return "no new page in what is recorded"
    return "no new page" if anew is None else f"another of its alerts paged at {offset(anew - start_ms)}"


def _no_part(made: Postmortem, story: RuleStory) -> str:
    if made.incident.rules and story.rule.partition(" (")[0] not in made.incident.rules:
        return "has no part in it: the incident names other rules"
    return "has no part in it: its selectors leave out what the incident's labels name"


def because(story: RuleStory, start_ms: int) -> str:
    """Say why a rule did not fire."""
    longest, setting = story.longest, story.setting
    if story.status == "pending only" and longest is not None and setting is not None:
        held = f"the condition held for {duration(longest.held_ms)} at most"
        held += f" (from {offset(longest.active_ms - start_ms)}), “for” is {same_duration(setting.for_ms)}"
        lost = sum(life.ended in ("no sample", "gap") for life in story.lives)
        if lost:
            held += f"; {count(lost, 'time')} a missing value took it back"
        if story.open:
            held += "; it was still pending when the history ends"
        return held
    if story.closest is None or setting is None or setting.threshold is None:
        return "the condition was not true once"
    return (
        f"the value came nearest with {rough(story.closest.value)} at {offset(story.closest.at_ms - start_ms)}, "
        f"the threshold is {story.op} {number(setting.threshold)}"
    )


def happened(step: Step) -> str:
    """Say what a step is."""
    names = {
        "true": "condition true",
        "page": "page",
        "reset": "condition false again" if step.life is None or step.life.ended == "value" else "no value any more",
        "still pending": "still pending when the history ends",
        "still firing": "still firing when the history ends",
    }
    words = [names.get(word, word) for word in step.words]
    if step.page is not None and step.page.kind in ("duplicate", "false", "excluded"):
        words[-1] += f" ({step.page.kind})"
    life = step.life
    if life is not None and step.words[0] == "true" and life.from_first:
        words[0] = "true at the first evaluation of the history"
    if life is not None and step.words[0] == "true" and life.from_gap:
        words[0] = "true when recording went on (since when is not known)"
    if step.words == ("resolved",) and life is not None and life.ended == "no sample":
        words[0] += ", no value any more"
    if life is not None and life.ended == "gap" and step.words in (("resolved",), ("reset",)):
        return "nothing recorded any more: until when it lasted is not known"
    return ", ".join(words)


def everywhere(story: RuleStory) -> str:
    """Say what a rule did in all incidents, and how often without one."""
    score = story.score
    if score is None:
        return ""
    found = (
        f"paged for {score.caught} of {count(score.incidents, 'incident')}"
        if score.incidents
        else "has no incident that must page"
    )
    already = f" ({score.already_firing} already firing)" if score.already_firing else ""
    weeks = span(round(score.weeks * WEEK_MS))
    rate = "" if math.isnan(score.false_pages_per_week) else f" ({per_week(score.false_pages_per_week)} a week)"
    return (
        f"In the whole history it {found}{already} and sent {count(score.false_pages, 'false page')} in {weeks} of "
        f"observed normal time{rate}."
    )


def sooner_than(reference: Reference, start_ms: int, *, known: bool = True) -> str:
    """Say what sooner is counted from; `known` is that of the rule's story."""
    when = offset(reference.at_ms - start_ms)
    itself = "it did not page itself" if known else "no page of its own is recorded"
    return {
        "own page": f"its own page at {when}",
        "detected": f"when people knew, at {when}; {itself}",
        "other page": f"the page of {reference.rule} at {when}; {itself}",
        "end": f"the end of the incident, at {when}; {itself}",
    }[reference.kind]


def knob_words(answer: Answer, current: Setting, op: str | None) -> str:
    """Say what is turned, from what to what."""
    setting = answer.setting
    if setting is None:
        return "–"
    if answer.knob == "combination":
        return describe(setting)
    if answer.knob == "keep":
        return f"{describe(setting)}{_within(setting)}"
    if answer.knob == "hours":
        return "at all hours" if setting.hours is None else f"{describe(setting)}{_within(setting)}"
    if answer.knob == "threshold":
        return f"threshold {op} {number(setting.threshold)} instead of {number(current.threshold)}"
    if answer.knob == "for":
        return f"for {same_duration(setting.for_ms)} instead of {same_duration(current.for_ms)}"
    return f"window {same_duration(setting.window_ms or 0)} instead of {same_duration(current.window_ms or 0)}"


def _within(setting: Setting) -> str:
    """Write the hours of a setting: in the words that they were offered in, else the guard."""
    if setting.hours is None:
        return ""
    words = {promql_guard(parse_hours(text)): f"{text} UTC" for text in HOURS}
    return f" · {words.get(setting.hours, ' '.join(setting.hours.split()))}"


def why_not(answer: Answer, start_ms: int) -> str:
    """Say why no value of a knob pages in time."""
    return {
        "": "",
        "no threshold": "no threshold that can turn",
        "for is zero": "“for” is 0 already",
        "no window": "no window that can turn",
        "nothing by then": "no value had been there for long enough by then",
        "not true by then": "the condition was not true by then"
        if answer.since_ms is None
        else f"the condition came true at {offset(answer.since_ms - start_ms)} only",
        "already firing": "it would have been firing since before: no new page",
        "no such window": "no window that was tried pages by then",
        "no combination": "none that was tried pages by then without firing most of the time",
        "nothing else turns": "nothing but “for” can turn",
        "no hours": "no hours to turn",
        "hours of another hand": "hours that cannot be turned here",
        "not at other hours": "it would not have paged by then at all hours either",
        "no fewer pages": "keeping it firing saves no page",
    }[answer.why]
