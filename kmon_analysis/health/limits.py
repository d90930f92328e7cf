"""Putting a tuned limit into ``integrations.yml``, and changing nothing else there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from kmon_analysis.errors import HealthConfigError, SettingError
from kmon_analysis.rules.document import Source
from kmon_analysis.timing import format_duration

__all__ = ["ChangedLimit", "set_limits", "tuned_limit_ms"]

METRIC = "outbox_oldest_pending_age_seconds"


@dataclass(frozen=True, slots=True)
class ChangedLimit:
    """One limit: the event, what it was, what it is now."""

    event: str
    before: str
    after: str


def tuned_limit_ms(advice: Mapping[str, Any], rule: str) -> int:
    """Return the threshold that an ``advice.json`` proposes for a rule on ages, in milliseconds.

    Parameters
    ----------
    advice : Mapping
        The file's content.
    rule : str
        Name of the rule.

    Raises
    ------
    SettingError
        If the rule is not in there, was not tuned, or its threshold is no age.
    """
    entries = {entry["rule"]: entry for entry in advice.get("rules", ())}
    if rule not in entries:
        known = ", ".join(entries) or "none"
        raise SettingError(f"the advice has no rule {rule!r}", cure=f"Name one of its rules with --rule: {known}")
    proposed = entries[rule].get("proposed")
    if not proposed or proposed.get("threshold") is None:
        verdict = entries[rule].get("verdict")
        raise SettingError(f"{rule!r} was not tuned: the verdict is {verdict!r}", cure="Keep the limit that you have")
    # The endpoint has no "for": a limit that holds for a while is the age at which that while has passed.
    limit_ms = round((float(proposed["threshold"]) + float(proposed.get("for_s") or 0)) * 1000)
    if limit_ms <= 0:
        raise SettingError(
            f"the threshold of {rule!r} is {proposed['threshold']}", cure="Tune a rule on ages in seconds"
        )
    return limit_ms


def set_limits(text: str, path: str, limit_ms: int, event: str | None = None) -> tuple[str, tuple[ChangedLimit, ...]]:
    """Return a configuration with ``max_age`` changed, and every other byte as it was.

    Parameters
    ----------
    text, path : str
        The configuration, which has been read without faults, and its name.
    limit_ms : int
        The new limit.
    event : str, optional
        The one event to change; all without it.

    Raises
    ------
    SettingError
        If there is no such event, or a limit is shared through an anchor.
    """
    source = Source(text, path)
    documents = source.documents()
    if source.findings:
        raise HealthConfigError(source.findings)
    limits = [found for node in _events(documents) if (found := _limit(node)) and event in (None, found[0])]
    if not limits:
        raise SettingError(f"{path} has no event {event!r}", cure="Name one of its events with --event")
    starts = [source.start(node) for _, node in limits]
    if len(set(starts)) < len(starts):
        raise SettingError(f"{path}: a max_age is shared through an anchor", cure="Write it out for each event")
    after = format_duration(limit_ms)
    changed = []
    for (name, node), start in sorted(zip(limits, starts, strict=True), key=lambda each: -each[1]):
        end = int(node.end_mark.index)
        text = f"{text[:start]}{after}{text[end:]}"
        changed.append(ChangedLimit(name, str(node.value), after))
    return text, tuple(reversed(changed))


def _events(documents: list[Node]) -> list[MappingNode]:
    """Return the entries of ``events``."""
    if len(documents) != 1 or not isinstance(documents[0], MappingNode):
        return []
    lists = [value for key, value in documents[0].value if key.value == "events" and isinstance(value, SequenceNode)]
    return [node for each in lists for node in each.value if isinstance(node, MappingNode)]


def _limit(event: MappingNode) -> tuple[str, ScalarNode] | None:
    """Return an event's name and the node of its limit."""
    found = {key.value: value for key, value in event.value if isinstance(key, ScalarNode)}
    name, limit = found.get("name"), found.get("max_age")
    return (str(name.value), limit) if isinstance(name, ScalarNode) and isinstance(limit, ScalarNode) else None
