"""Which rule groups a server evaluates, and when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kmon_analysis.sources.connection import Connection
from kmon_analysis.timing import parse_instant

__all__ = ["ServedGroup", "ask_groups", "from_json", "to_json"]


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


def ask_groups(connection: Connection) -> tuple[ServedGroup, ...]:
    """Ask a server for its rule groups; a server that does not tell has none.

    Notes
    -----
    Prometheus ``web/api/v1/api.go``, ``rules``.
    """
    answer = connection.read("/api/v1/rules")
    groups = answer.get("groups") if isinstance(answer, dict) else None
    found = (_group(each) for each in (groups if isinstance(groups, list) else ()))
    return tuple(group for group in found if group is not None)


def _group(told: Any) -> ServedGroup | None:
    if not isinstance(told, dict) or not isinstance(told.get("file"), str) or not isinstance(told.get("name"), str):
        return None
    interval, rules = told.get("interval"), told.get("rules")
    if not isinstance(interval, int | float) or interval <= 0:
        return None
    names = tuple(str(rule.get("name", "")) for rule in (rules if isinstance(rules, list) else ()))
    evaluated: float | None = None
    if isinstance(told.get("lastEvaluation"), str) and not told["lastEvaluation"].startswith("0001-"):
        evaluated = float(parse_instant(told["lastEvaluation"]))
    return ServedGroup(told["file"], told["name"], round(interval * 1000), names, evaluated)


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
