"""A question about a false page in words and links: what a person needs to tell what it was."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from kmon_analysis.labelling.merging import same_matter
from kmon_analysis.labelling.question import Question
from kmon_analysis.labelling.session import Session
from kmon_analysis.promql.printer import format_expr
from kmon_analysis.report.links import grafana_link, prometheus_link
from kmon_analysis.report.words import clean, count, moment, number, rough
from kmon_analysis.timing import SECOND_MS, Interval, duration, format_instant
from kmon_analysis.timing import zone_of as named_zone

__all__ = ["Links", "check_links", "facts", "links", "local_moment", "question_json", "zone_of"]

_WEEKDAYS = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")


@dataclass(frozen=True, slots=True)
class Links:
    """Where the links of a review lead.

    Attributes
    ----------
    grafana : str
        A template, see `kmon_analysis.report.links.grafana_link`; "": none.
    prometheus : str
        URL; "": none.
    """

    grafana: str = ""
    prometheus: str = ""


def check_links(where: Links) -> None:
    """Refuse addresses that no link can be made from, before any work."""
    if where.grafana:
        grafana_link(where.grafana, Interval(0, 0), {})
    if where.prometheus:
        prometheus_link(where.prometheus, "up", Interval(0, 0))


def zone_of(name: str | None) -> tzinfo | None:
    """Return a time zone by its name, or None for the machine's own.

    Raises
    ------
    SettingError
        If there is no such zone.
    """
    return None if name is None else named_zone(name)


def local_moment(instant_ms: int, zone: tzinfo | None = None) -> str:
    """Write an instant in UTC and, where it differs, in a local zone; both are named.

    Parameters
    ----------
    instant_ms : int
        Milliseconds UTC.
    zone : tzinfo, optional
        None: the machine's own.

    Examples
    --------
    >>> local_moment(1_775_725_860_000, ZoneInfo("Asia/Tokyo"))
    '2026-04-09 09:11 UTC (18:11 JST)'
    """
    utc = moment(instant_ms)
    there = datetime.fromtimestamp(instant_ms / SECOND_MS, ZoneInfo("UTC")).astimezone(zone)
    if not there.utcoffset():
        return f"{utc} UTC"
    day = "" if there.strftime("%Y-%m-%d") == utc[:10] else there.strftime("%Y-%m-%d ")
    return f"{utc} UTC ({day}{there.strftime('%H:%M %Z')})"


def facts(session: Session, which: int, zone: tzinfo | None = None) -> list[tuple[str, str]]:
    """Say what is known about a question: pairs of a term and a text, cleaned.

    Parameters
    ----------
    session : Session
        The review.
    which : int
        Number of the question.
    zone : tzinfo, optional
        See `local_moment`.
    """
    asked = session.question(which)
    entry = asked.suggestion
    told = (
        []
        if entry is None
        else [("suggested", f"{clean(entry.id)}, nobody has decided: {clean(entry.cause)}".rstrip(": "))]
    )
    told += [
        ("rule", "none: no rule suggested it" if asked.ruleless else clean(asked.rule)),
        ("when", f"{local_moment(asked.breach.start_ms, zone)}, for {duration(asked.breach.duration_ms)}"),
    ]
    if len(asked.pages) > 1:
        told.append(("pages", f"{len(asked.pages)}, close together; fired for {duration(asked.firing_ms)}"))
    if not asked.ruleless:
        told.append(("value", _height(asked)))
    told.append(("labels", ", ".join(f"{name}={clean(value)}" for name, value in asked.labels.items()) or "none"))
    told.append(("also fired", _others(asked)))
    if not asked.ruleless:
        told.append(("same time", _again(asked, len(session.alike(which)))))
    if near := _in_list(session, asked):
        told.append(("in list", near))
    return told


def _in_list(session: Session, asked: Question) -> str:
    """Name the incidents that the list already holds at the time of a suggestion."""
    near = [
        each
        for each in session.file.incidents
        if asked.suggestion is not None and same_matter(each, asked.breach, asked.labels)
    ]
    return ", ".join(f"{clean(each.id)} is about this time" for each in near)


def _height(asked: Question) -> str:
    if asked.threshold is not None and asked.peak is None:
        return "the rule saw nothing to compare"
    if asked.threshold is None or asked.peak is None:
        return "the rule compares with no number"
    ratio = asked.peak / asked.threshold if asked.threshold > 0 else math.nan
    times = f", {rough(ratio)} times the threshold" if math.isfinite(ratio) and asked.op.startswith(">") else ""
    best = "highest" if asked.op.startswith(">") else "lowest"
    return f"{best} {number(asked.peak)}; fires {asked.op} {number(asked.threshold)}{times}"


def _others(asked: Question) -> str:
    parts = [
        f"{clean(name)} ({count(alerts, 'alert') if name != asked.rule or asked.ruleless else f'{alerts} more'})"
        for name, alerts in asked.others
    ]
    return ", ".join(parts) or "nothing else"


def _again(asked: Question, open_ones: int) -> str:
    days, weekly = asked.days, asked.weekdays
    name = _WEEKDAYS[datetime.fromtimestamp(asked.breach.start_ms / SECOND_MS, ZoneInfo("UTC")).weekday()]
    text = f"on {days[0]} of {days[1]} other days within an hour (UTC)"
    if weekly[1]:
        text += f", {weekly[0]} of {weekly[1]} other {name}"
    return text + (f"; {open_ones} more like it" if open_ones else "")


def links(session: Session, which: int, where: Links) -> list[tuple[str, str]]:
    """Return names and addresses of the links for a question."""
    asked = session.question(which)
    replay = session.result[asked.rule]
    span = asked.around(replay.period)
    found = []
    if where.grafana:
        found.append(
            ("Grafana", grafana_link(where.grafana, span, asked.labels, rule="" if asked.ruleless else asked.alert))
        )
    if where.prometheus and not asked.ruleless:
        version = session.result.history.provenance.server_version
        expr = format_expr(replay.knobs.signal)
        found.append(("Prometheus", prometheus_link(where.prometheus, expr, span, version=version)))
    return found


def question_json(session: Session, which: int, where: Links | None = None) -> dict[str, Any]:
    """Return a question for programs: instants as RFC 3339 in UTC, durations in seconds."""
    asked = session.question(which)
    text: dict[str, Any] = {
        "question": which,
        "key": asked.key,
        "suggestion": None if asked.suggestion is None else asked.suggestion.id,
        "rule": None if asked.ruleless else asked.rule,
        "labels": dict(asked.labels),
        **_span(asked.breach),
        "pages": [_span(page) for page in asked.pages],
        "firing_s": asked.firing_ms / SECOND_MS,
        "op": asked.op or None,
        "threshold": asked.threshold,
        "peak": asked.peak,
        "rank": asked.rank,
        "others": dict(asked.others),
        "other_days": None if asked.ruleless else {"seen": asked.days[0], "of": asked.days[1]},
        "other_weeks": None if asked.ruleless else {"seen": asked.weekdays[0], "of": asked.weekdays[1]},
        "alike": [each.key for each in session.alike(which)],
        "proposed_id": session.proposed_id(which),
        "said": session.said.get(asked.key),
    }
    found: Mapping[str, str] = dict(links(session, which, where or Links()))
    return {**text, "grafana": found.get("Grafana"), "prometheus": found.get("Prometheus")}


def _span(interval: Interval) -> dict[str, str]:
    return {"start": format_instant(interval.start_ms), "end": format_instant(interval.end_ms)}
