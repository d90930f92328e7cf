"""Starter rules in the user's own names, with the reason for each, and what each cannot know."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from kmon_analysis.kafka import expressions
from kmon_analysis.kafka.dialects import Metric, Profile
from kmon_analysis.kafka.hours import TrafficHours, alertmanager_interval, promql_guard
from kmon_analysis.kafka.quoting import template_text, yaml_quote

__all__ = ["Guard", "LeftOut", "StarterRule", "Starters", "alertmanager_text", "rules_text", "starters"]

Guard = Literal["promql", "alertmanager"]

_EXPRESSION = re.compile(r"%([a-z_]+)(?: (\w+))?(?: offset (\w+))?%")
_LABELS = re.compile(r"\{\{ \$labels\.%(\w+)% \}\}")
INTERVAL_NAME = "traffic-hours"
_HOURS_LABEL = ("hours", "traffic")


@dataclass(frozen=True, slots=True)
class StarterRule:
    """One alert.

    Attributes
    ----------
    name, expr, duration, severity : str
        As in a rule file.
    summary, why, runbook, cannot : str
        Words for the person who is paged; `cannot` says what the alert does not see. `summary` is a template.
    labels : Mapping
        Besides the severity.
    """

    name: str
    expr: str
    duration: str
    severity: str
    summary: str
    why: str
    runbook: str
    cannot: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An alert that cannot be had, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Starters:
    """What a profile allows.

    Attributes
    ----------
    rules : tuple of StarterRule
        In the order of ``starter.yml``.
    left_out : tuple of LeftOut
        What is missing.
    """

    rules: tuple[StarterRule, ...]
    left_out: tuple[LeftOut, ...]


@lru_cache(maxsize=1)
def _entries() -> Mapping[str, dict[str, Any]]:
    from ruamel.yaml import YAML

    text = Path(__file__).with_name("starter.yml").read_text(encoding="utf-8")
    return dict(YAML(typ="safe", pure=True).load(text))


def _has(profile: Profile, need: str) -> str | None:
    """Return why a need is not met, or None."""
    words = {
        "lag": "no source of consumer lag",
        "messages_in": "no count of messages by topic",
        "offline_partitions": "no count of partitions without a leader",
        "leader_count": "no count of leaders",
    }
    if need == "lag":
        return None if profile.has_lag else words[need]
    if need == "lag_topic":
        if profile.lag is None:
            return words["lag"]
        return None if profile.lag.label("topic") else "the lag is known for whole groups only, not by topic"
    return None if need in profile.metrics else words[need]


def starters(
    profile: Profile,
    *,
    hours: TrafficHours | None = None,
    guard: Guard = "promql",
    topics: Sequence[str] = (),
) -> Starters:
    """Write the starter rules that a profile allows.

    Parameters
    ----------
    profile : Profile
        What is called what.
    hours : TrafficHours, optional
        When a low rate is worth a page; always, if not given.
    guard : {"promql", "alertmanager"}
        Whether the expression itself keeps to the hours.
    topics : sequence of str
        Only these topics; all but Kafka's own, if empty.
    """
    rules, left_out = [], []
    for name, entry in _entries().items():
        if any(_has(profile, each) is None for each in entry.get("unless", ())):
            continue
        reasons = [reason for need in entry["needs"] if (reason := _has(profile, need))]
        if reasons:
            left_out.append(LeftOut(name, "; ".join(reasons)))
        else:
            rules.append(_rule(name, entry, profile, hours if guard == "promql" else None, topics))
    return Starters(tuple(rules), tuple(left_out))


def _rule(
    name: str, entry: Mapping[str, Any], profile: Profile, hours: TrafficHours | None, topics: Sequence[str]
) -> StarterRule:
    expr = _EXPRESSION.sub(lambda found: _expression(found, profile, hours, topics), entry["expr"]).strip()
    subject = profile.lag if {"lag", "lag_topic"} & set(entry["needs"]) else profile.get("messages_in")
    return StarterRule(
        name,
        expr,
        entry["for"],
        entry["severity"],
        _LABELS.sub(lambda found: _label(found[1], subject), entry["summary"]),
        entry["why"],
        entry["runbook"],
        entry["cannot"],
        entry.get("labels", {}),
    )


def _label(role: str, subject: Metric | None) -> str:
    label = subject.label(role) if subject is not None else None
    return f"{{{{ $labels.{label} }}}}" if label else "all topics" if role == "topic" else "a group"


def _expression(found: re.Match[str], profile: Profile, hours: TrafficHours | None, topics: Sequence[str]) -> str:
    what, window, offset = found[1], found[2], found[3] or ""
    metrics = profile.metrics
    about = expressions.topic_matchers(profile.lag, topics) if topics and profile.lag is not None else []
    match what:
        case "lag":
            return expressions.lag(profile, about)
        case "growth":
            return expressions.lag_growth(profile, window, about)
        case "seconds":
            return expressions.lag_seconds(profile, window, about)
        case "rate":
            messages = metrics["messages_in"]
            chosen = expressions.topic_matchers(messages, topics)
            return expressions.rate(messages, window, offset=offset, matchers=chosen)
        case "no_leader":
            return expressions.no_leader(profile)
        case "brokers_gone":
            return expressions.missing(metrics["leader_count"])
        case "hours":
            return promql_guard(hours) if hours is not None else ""
    raise ValueError(f"starter.yml: {found[0]} means nothing")


def rules_text(found: Starters, profile: Profile, *, hours: TrafficHours | None = None, guard: Guard = "promql") -> str:
    """Write the rule file, with the reasons as comments and annotations."""
    lines = [
        "# Starter rules for " + ", ".join(each.title for each in profile.dialects),
        "# The numbers are where to begin: kmon tune finds those that your own history supports.",
        *(f"# Left out: {each.name}: {each.reason}" for each in found.left_out),
    ]
    if hours is not None:
        kept = (
            hours.note if guard == "promql" else f"{hours.text} {hours.zone}, kept by Alertmanager (alertmanager.yml)"
        )
        lines.append(f"# Traffic hours: {kept}.")
    lines += ["groups:", "- name: kafka-starter", "  interval: 1m", "  rules:"]
    for rule in found.rules:
        lines += [
            "",
            f"  # {rule.why}",
            f"  # Cannot know: {rule.cannot}",
            f"  - alert: {rule.name}",
            f"    expr: |-\n      {rule.expr}",
            f"    for: {rule.duration}",
            "    labels:",
            f"      severity: {rule.severity}",
            *(f"      {name}: {yaml_quote(value)}" for name, value in rule.labels.items()),
            "    annotations:",
            f"      summary: {yaml_quote(rule.summary)}",
            f"      description: {yaml_quote(template_text(rule.why))}",
            f"      runbook: {yaml_quote(template_text(rule.runbook))}",
        ]
    return "\n".join(lines) + "\n"


def alertmanager_text(hours: TrafficHours) -> str:
    """Write an Alertmanager configuration whose route keeps the alerts of traffic hours to those hours.

    Notes
    -----
    Needs Alertmanager 0.25 (``location``). An alert that begins at night still fires in Prometheus, and notifies when
    the interval opens.
    """
    name, value = _HOURS_LABEL
    return (
        "# Merge the route and the interval into your own configuration; the receiver here delivers nowhere.\n"
        f"# {_comment(hours.text)} {hours.zone}, in local time: right in summer and in winter.\n"
        "route:\n"
        "  receiver: nowhere\n"
        "  routes:\n"
        f"  - matchers: ['{name}=\"{value}\"']\n"
        f"    active_time_intervals: [{INTERVAL_NAME}]\n"
        "    receiver: nowhere\n"
        "receivers:\n"
        "- name: nowhere\n"
        "time_intervals:\n" + alertmanager_interval(hours, INTERVAL_NAME)
    )


def _comment(text: str) -> str:
    return " ".join(text.split())
