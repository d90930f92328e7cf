"""Which rule groups a server evaluates, when, and their rules word for word."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kmon_analysis.errors import SettingError
from kmon_analysis.labels import Labels
from kmon_analysis.sources.connection import Connection
from kmon_analysis.timing import parse_instant

__all__ = ["DeployedRule", "ServedGroup", "ask_groups", "ask_rules", "from_json", "to_json"]


@dataclass(frozen=True, slots=True)
class ServedGroup:
    """One rule group as the server tells of it.

    Attributes
    ----------
    file, name : str
        The rule file's path as the server sees it, and the group's name.
    interval_ms : int
        The group's interval.
    rules : tuple of str
        Names of its rules in order.
    evaluated_ms : float or None
        When its last evaluation began by the server's clock: the slot's time or a little later.
    """

    file: str
    name: str
    interval_ms: int
    rules: tuple[str, ...]
    evaluated_ms: float | None = None


@dataclass(frozen=True, slots=True)
class DeployedRule:
    """One rule as the server has it.

    Attributes
    ----------
    file, group : str
        Where it stands.
    kind : str
        ``alerting`` or ``recording``.
    name, query : str
        The alert or the recorded metric, and the expression.
    for_ms, keep_firing_for_ms : int
        0 where there is none.
    labels : Labels
        Those of the rule, over the group's.
    """

    file: str
    group: str
    kind: str
    name: str
    query: str
    for_ms: int
    keep_firing_for_ms: int
    labels: Labels


def ask_groups(connection: Connection) -> tuple[ServedGroup, ...]:
    """Ask a server for its rule groups; a server that does not tell has none."""
    answer = connection.read("/api/v1/rules")
    return tuple(group for told, rules in _told(answer) if (group := _group(told, rules)) is not None)


def ask_rules(connection: Connection) -> tuple[DeployedRule, ...] | None:
    """Ask a server for its rules, in order; None: it does not tell."""
    answer = connection.read("/api/v1/rules")
    if not isinstance(answer, dict) or not isinstance(answer.get("groups"), list):
        return None
    return tuple(rule for group, rules in _told(answer) for told in rules if (rule := _rule(group, told)) is not None)


def _told(answer: Any) -> Iterator[tuple[Mapping[str, Any], list[Mapping[str, Any]]]]:
    """Return the groups and their rules, as far as they are such.

    Notes
    -----
    Prometheus ``web/api/v1/api.go``, ``rules``.
    """
    for group in _mappings(answer, "groups"):
        yield group, _mappings(group, "rules")


def _mappings(told: Any, name: str) -> list[Mapping[str, Any]]:
    found = told.get(name) if isinstance(told, dict) else None
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _group(told: Mapping[str, Any], rules: list[Mapping[str, Any]]) -> ServedGroup | None:
    if not isinstance(told.get("file"), str) or not isinstance(told.get("name"), str):
        return None
    interval = told.get("interval")
    if not isinstance(interval, int | float) or interval <= 0:
        return None
    names = tuple(str(rule.get("name", "")) for rule in rules)
    return ServedGroup(
        told["file"], told["name"], round(interval * 1000), names, _evaluated(told.get("lastEvaluation"))
    )


def _evaluated(told: Any) -> float | None:
    if not isinstance(told, str) or told.startswith("0001-"):
        return None
    try:
        return float(parse_instant(told))
    except SettingError:
        return None


def _rule(group: Mapping[str, Any], told: Mapping[str, Any]) -> DeployedRule | None:
    if not all(isinstance(told.get(key), str) for key in ("name", "query", "type")):
        return None
    labels = told.get("labels")
    return DeployedRule(
        str(group.get("file", "")),
        str(group.get("name", "")),
        told["type"],
        told["name"],
        told["query"],
        _seconds(told.get("duration")),
        _seconds(told.get("keepFiringFor")),
        Labels({str(name): str(value) for name, value in labels.items()} if isinstance(labels, dict) else {}),
    )


def _seconds(told: Any) -> int:
    return round(told * 1000) if isinstance(told, int | float) else 0


def to_json(group: ServedGroup) -> dict[str, Any]:
    """Return what of a group belongs into a history."""
    return {
        "file": group.file,
        "name": group.name,
        "interval_ms": group.interval_ms,
        "rules": list(group.rules),
        "evaluated_ms": group.evaluated_ms,
    }


def from_json(kept: Mapping[str, Any]) -> ServedGroup:
    """Read what `to_json` wrote.

    Raises
    ------
    KeyError, TypeError
        If it is something else.
    """
    rules = tuple(str(name) for name in kept["rules"])
    evaluated = kept.get("evaluated_ms")
    return ServedGroup(
        str(kept["file"]),
        str(kept["name"]),
        int(kept["interval_ms"]),
        rules,
        None if evaluated is None else float(evaluated),
    )
