"""A postmortem as JSON: numbers, instants and codes; no sentences, so that wording may change and numbers not."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kmon_analysis.backtest.score import Page, Score
from kmon_analysis.postmortem.answers import Answer, Reference, Rung
from kmon_analysis.postmortem.stories import RuleStory
from kmon_analysis.postmortem.timeline import Life, Step
from kmon_analysis.recommend.candidates import Setting
from kmon_analysis.timing import SECOND_MS, format_instant

if TYPE_CHECKING:
    from kmon_analysis.postmortem.run import Postmortem

__all__ = ["VERSION", "json_bytes", "postmortem_json"]

VERSION = 1


def json_bytes(content: Mapping[str, Any]) -> bytes:
    """Write JSON the same way every time: ASCII, so that no character can turn the reading order round."""
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode("ascii")


def postmortem_json(made: Postmortem) -> dict[str, Any]:
    """Return the content of ``postmortem.json``."""
    incident, result = made.incident, made.backtest
    replays = list(result.results.values())
    start_ms = incident.interval.start_ms
    return {
        "version": VERSION,
        "semantics": replays[0].semantics.version if replays else None,
        "incident": {
            "id": incident.id,
            "start": format_instant(start_ms),
            "end": format_instant(incident.interval.end_ms),
            "detected": None if incident.detected_ms is None else format_instant(incident.detected_ms),
            "labels": dict(incident.labels),
            "rules": list(incident.rules),
            "must_page": incident.must_page,
            "kind": incident.kind,
            "cause": incident.cause,
        },
        "zone": made.zone,
        "history": {
            "start": format_instant(result.history.interval.start_ms),
            "end": format_instant(result.history.interval.end_ms),
            "scrape_s": result.history.scrape_interval_ms / SECOND_MS,
        },
        # What happened in these parts of the incident is not known.
        "unrecorded": [
            {"start": _at(span.start_ms, start_ms), "end": _at(span.end_ms, start_ms)} for span in made.unrecorded
        ],
        "rules": [
            {
                **_story(story, start_ms),
                "sooner_than": _reference(made.references.get(story.rule), start_ms),
                "sooner": [_rung(rung, start_ms) for rung in made.sooner.get(story.rule, ())],
            }
            for story in made.rules
        ],
        "unknown": [{"code": limit.code, **limit.facts} for limit in made.limits],
    }


def _story(story: RuleStory, start_ms: int) -> dict[str, Any]:
    closest, score = story.closest, story.score
    return {
        "rule": story.rule,
        "status": story.status,
        "known": story.known and story.status != "no data",
        "values": _setting(story.setting),
        "op": story.op,
        "credited": {"start": format_instant(story.window.start_ms), "end": format_instant(story.window.end_ms)},
        "first_firing": _instant(story.first_ms, start_ms),
        "furthest": None
        if closest is None
        else {**_at(closest.at_ms, start_ms), "value": _number(closest.value), "alert": dict(closest.labels)},
        "returned_ratio": story.returned_ratio,
        "steps": [_step(step, start_ms) for step in story.steps],
        "held": [_life(life, start_ms) for life in story.lives],
        "pages": [_page(page, start_ms) for page in story.pages],
        "whole_history": None if score is None else _score(score),
    }


def _step(step: Step, start_ms: int) -> dict[str, Any]:
    return {
        **_at(step.at_ms, start_ms),
        "alert": dict(step.labels),
        "what": list(step.words),
        "value": _number(step.value),
    }


def _life(life: Life, start_ms: int) -> dict[str, Any]:
    return {
        "alert": dict(life.labels),
        "true": _instant(life.active_ms, start_ms),
        "firing": _instant(life.firing_ms, start_ms),
        "last_true": _instant(life.last_true_ms, start_ms),
        "end": _instant(life.end_ms, start_ms),
        "ended_by": life.ended,
        "since_unknown": life.from_first or life.from_gap,
    }


def _page(page: Page, start_ms: int) -> dict[str, Any]:
    return {
        **_at(page.episode.interval.start_ms, start_ms),
        "end": format_instant(page.episode.interval.end_ms),
        "alert": dict(page.episode.labels),
        "kind": page.kind,
        "incident": page.incident,
    }


def _score(score: Score) -> dict[str, Any]:
    return {
        "incidents": score.incidents,
        "caught": score.caught,
        "already_firing": score.already_firing,
        "missed": [outcome.incident.id for outcome in score.missed],
        "false_pages": score.false_pages,
        "weeks": score.weeks,
        "false_pages_per_week": _number(score.false_pages_per_week),
        "firing_ratio": _number(score.firing_ratio),
        "outcomes": [
            {
                "incident": outcome.incident.id,
                "status": outcome.status,
                "delay_s": None if outcome.delay_ms is None else outcome.delay_ms / SECOND_MS,
            }
            for outcome in (*score.outcomes, *score.optional)
        ],
    }


def _reference(reference: Reference | None, start_ms: int) -> dict[str, Any] | None:
    if reference is None:
        return None
    return {"kind": reference.kind, **_at(reference.at_ms, start_ms), "rule": reference.rule or None}


def _rung(rung: Rung, start_ms: int) -> dict[str, Any]:
    return {
        "sooner_s": rung.sooner_ms / SECOND_MS,
        "deadline": _at(rung.deadline_ms, start_ms),
        "answers": [_answer(answer, start_ms) for answer in rung.answers],
    }


def _answer(answer: Answer, start_ms: int) -> dict[str, Any]:
    price = answer.price
    return {
        "turn": answer.knob,
        "values": _setting(answer.setting),
        "why_not": answer.why or None,
        "true_since": _instant(answer.since_ms, start_ms),
        "price": None
        if price is None
        else {
            "page": _at(price.page_ms, start_ms),
            "false_pages": price.false_pages,
            "weeks": price.weeks,
            "false_pages_per_week": _number(price.false_pages_per_week),
            "firing_ratio": _number(price.firing_ratio),
            "incidents": price.incidents,
            "caught": price.caught,
            "lost": list(price.lost),
            "gained": list(price.gained),
            "margin_ratio": _number(price.margin_ratio),
            "fragile": price.fragile,
        },
    }


def _setting(setting: Setting | None) -> dict[str, Any] | None:
    if setting is None:
        return None
    return {
        "threshold": setting.threshold,
        "window_s": None if setting.window_ms is None else setting.window_ms / SECOND_MS,
        "for_s": setting.for_ms / SECOND_MS,
        "keep_firing_for_s": setting.keep_firing_for_ms / SECOND_MS,
        "hours": setting.hours,
    }


def _at(instant_ms: int, start_ms: int) -> dict[str, Any]:
    return {"at": format_instant(instant_ms), "offset_s": (instant_ms - start_ms) / SECOND_MS}


def _instant(instant_ms: int | None, start_ms: int) -> dict[str, Any] | None:
    return None if instant_ms is None else _at(instant_ms, start_ms)


def _number(value: float | None) -> float | str | None:
    """Write what JSON cannot say, an infinite value, as a text."""
    if value is None or math.isnan(value):
        return None
    return value if math.isfinite(value) else "+Inf" if value > 0 else "-Inf"
