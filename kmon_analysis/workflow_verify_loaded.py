"""Which rules of a file a server runs, and as what."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from kmon_analysis.errors import KmonError
from kmon_analysis.promql.parser import parse
from kmon_analysis.promql.printer import format_expr
from kmon_analysis.rules.model import AlertingRule, RecordingRule, Rule, RuleGroup
from kmon_analysis.sources.served import DeployedRule

__all__ = ["Loaded", "what_is_loaded"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """The part of a rule file that can be compared with what a server recorded.

    Attributes
    ----------
    groups : tuple of RuleGroup
        Groups of the file, without the rules that the server does not run; none that would be empty.
    deployed : tuple of RuleGroup or None
        By group: the same rules as the server has them; None where it does not run the group.
    absent : tuple of (AlertingRule, str)
        Alerts that are not compared, and why.
    notes : tuple of str
        What else differs.
    """

    groups: tuple[RuleGroup, ...]
    deployed: tuple[RuleGroup | None, ...]
    absent: tuple[tuple[AlertingRule, str], ...] = ()
    notes: tuple[str, ...] = ()


def what_is_loaded(
    groups: Sequence[RuleGroup], served: Sequence[DeployedRule] | None, recorded: Collection[str], path: str | None
) -> Loaded:
    """Tell the rules that a server runs from others.

    Parameters
    ----------
    groups : sequence of RuleGroup
        Those of the file.
    served : sequence of DeployedRule or None
        All that the server runs; None: it does not tell, and is believed to run all of the file.
    recorded : collection of str
        Names of alerts that it recorded. Such an alert is compared, too, unless the server runs another one of that
        name: it was loaded once.
    path : str, optional
        The rule file on the server.
    """
    if served is None:
        return Loaded(tuple(groups), (None,) * len(groups), notes=("the server does not tell which rules it runs",))
    kept: list[RuleGroup] = []
    deployed: list[RuleGroup | None] = []
    absent: list[tuple[AlertingRule, str]] = []
    notes: list[str] = []
    elsewhere = {one.name: one.group for one in served if one.kind == "alerting"}
    for group in groups:
        pairs = _paired(group, served, path)
        loaded = any(one is not None for one in pairs)
        rules: list[Rule] = []
        theirs: list[Rule] = []
        for rule, one in zip(group.rules, pairs, strict=True):
            if one is None and isinstance(rule, AlertingRule):
                if rule.name in elsewhere:
                    where = elsewhere[rule.name]
                    here = (
                        "with another number of alerts of this name" if where == group.name else f"not in {group.name}"
                    )
                    absent.append((rule, f"the server has an alert of this name in its group {where}, {here}"))
                    continue
                if rule.name not in recorded:
                    absent.append((rule, "the server does not run it"))
                    continue
                notes.append(
                    f"the server does not run {rule.name} any more; it is compared with what was recorded once"
                )
            elif one is None and loaded:
                notes.append(f"the server does not run the recording rule {rule.name}; the replay does without it")
                continue
            placed = dataclasses.replace(rule, index=len(rules))
            rules.append(placed)
            theirs.append(placed if one is None else _as_served(placed, one))
        if any(isinstance(rule, AlertingRule) for rule in rules) or loaded:
            kept.append(dataclasses.replace(group, rules=tuple(rules)))
            deployed.append(dataclasses.replace(group, rules=tuple(theirs)) if loaded else None)
    return Loaded(tuple(kept), tuple(deployed), tuple(absent), tuple(notes))


def _paired(group: RuleGroup, served: Sequence[DeployedRule], path: str | None) -> list[DeployedRule | None]:
    """Find the server's rule for each of a group's; the file that has most of them is the one."""
    files = dict.fromkeys(one.file for one in served if one.group == group.name and path in (None, one.file))
    best: list[DeployedRule | None] = [None] * len(group.rules)
    for file in files:
        found = _pairs(group, [one for one in served if (one.file, one.group) == (file, group.name)])
        if sum(one is not None for one in found) > sum(one is not None for one in best):
            best = found
    return best


def _pairs(group: RuleGroup, served: Sequence[DeployedRule]) -> list[DeployedRule | None]:
    free = list(served)
    found: list[DeployedRule | None] = [None] * len(group.rules)
    # Tiers of one alert share its name: first those that are the same word for word, then by their order.
    for exact in (True, False):
        for place, rule in enumerate(group.rules):
            kind = "recording" if isinstance(rule, RecordingRule) else "alerting"
            if found[place] is None:
                fits = [
                    one
                    for one in free
                    if (one.name, one.kind) == (rule.name, kind) and (not exact or _same(rule, _as_served(rule, one)))
                ]
                if fits:
                    found[place] = fits[0]
                    free.remove(fits[0])
    return found


def _same(rule: Rule, served: Rule) -> bool:
    return format_expr(rule.expr) == format_expr(served.expr) and dict(rule.labels) == dict(served.labels)


def _as_served(rule: Rule, served: DeployedRule) -> Rule:
    """Return a rule with what the server has instead."""
    try:
        expr = parse(served.query)
    except KmonError:
        return rule
    labels = dict(served.labels)
    if isinstance(rule, RecordingRule):
        return dataclasses.replace(rule, expr=expr, text=served.query, labels=labels)
    # Releases before 2.42 do not tell keep_firing_for; they do not have it either.
    return dataclasses.replace(
        rule,
        expr=expr,
        text=served.query,
        labels=labels,
        for_ms=served.for_ms,
        keep_firing_for_ms=served.keep_firing_for_ms,
    )
