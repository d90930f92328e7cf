"""When inside its interval each group is evaluated: given, computed, learned, or not known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from kmon_analysis.backtest.settings import Settings
from kmon_analysis.rules.model import RuleGroup
from kmon_analysis.rules.phases import HashForm, group_offset_ns, hash_form
from kmon_analysis.sources.served import ServedGroup, from_json
from kmon_analysis.timing import duration

__all__ = ["Phase", "phase_of", "served_groups", "served_phase_ms"]

# A server begins an evaluation this long after its slot at most, unless it is overloaded.
_LATE_MS = 2_000
_FORMS: tuple[HashForm, ...] = ("separated", "varint", "counted")


@dataclass(frozen=True, slots=True)
class Phase:
    """The offset of a group's evaluations.

    Attributes
    ----------
    ms : int
        Milliseconds inside the interval.
    how : {"given", "path", "server", "swept", "unknown"}
        How it is known.
    """

    ms: int
    how: Literal["given", "path", "server", "swept", "unknown"]

    def sentence(self, group: str) -> str:
        """Say it."""
        told = {
            "given": "as given",
            "path": "by the rule file's path",
            "server": "as the server evaluates it",
            "swept": "one of several tried",
            "unknown": "nothing is known",
        }
        return f"group {group} is evaluated {duration(self.ms, exact=True)} after its full intervals ({told[self.how]})"


def served_groups(extra: Mapping[str, Any]) -> tuple[ServedGroup, ...]:
    """Return the groups that the server of a history evaluated when it was fetched."""
    kept = extra.get("rule_groups")
    found = []
    for each in kept if isinstance(kept, list) else ():
        try:
            found.append(from_json(each))
        except (KeyError, TypeError, ValueError):
            continue
    return tuple(found)


def served_phase_ms(group: ServedGroup, form: HashForm) -> int | None:
    """Return the phase of a served group; None where its hash does not explain when it was evaluated.

    Parameters
    ----------
    group : ServedGroup
        As the server tells.
    form : {"separated", "varint", "counted"}
        That of the server's release; distributions may build another one, so the others are tried, too.
    """
    for tried in dict.fromkeys((form, *_FORMS)):
        offset_ns = group_offset_ns(group.file, group.name, group.interval_ms, tried)
        if group.evaluated_ms is None:
            return offset_ns // 1_000_000
        late_ms = (group.evaluated_ms - offset_ns / 1e6) % group.interval_ms
        # The instant is told in nanoseconds and kept in milliseconds.
        if late_ms < min(_LATE_MS, group.interval_ms / 4) or late_ms > group.interval_ms - 1:
            return offset_ns // 1_000_000
    return None


def phase_of(group: RuleGroup, step_ms: int, settings: Settings, served: Sequence[ServedGroup], version: str) -> Phase:
    """Choose the phase of a group.

    Parameters
    ----------
    group : RuleGroup
        As deployed.
    step_ms : int
        Its interval.
    settings : Settings
        What the user said.
    served : sequence of ServedGroup
        What the server told; a group is recognised by its name, interval and rules.
    version : str
        Release of the server, for the form of the hash.
    """
    if settings.phase_part is not None:
        place, count = settings.phase_part
        return Phase(step_ms * place // count, "swept")
    if settings.phase_ms is not None:
        return Phase(settings.phase_ms % step_ms, "given")
    if settings.rule_path is not None:
        offset_ns = group_offset_ns(settings.rule_path, group.name, step_ms, hash_form(version))
        return Phase(offset_ns // 1_000_000, "path")
    names = tuple(rule.name for rule in group.rules)
    same = [one for one in served if (one.name, one.interval_ms) == (group.name, step_ms)]
    same = [one for one in same if one.rules == names] or same
    phases = {served_phase_ms(one, hash_form(version)) for one in same}
    if len(phases) == 1 and None not in phases:
        return Phase(phases.pop() or 0, "server")
    return Phase(0, "unknown")
