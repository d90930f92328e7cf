"""Rule files as plain values: groups, alerting rules and recording rules."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kmon_analysis.errors import Finding, SettingError, printable
from kmon_analysis.labels import Labels
from kmon_analysis.promql.syntax import Expr
from kmon_analysis.tabular import MOST_ROWS, Cell, html_list, html_table, text_table
from kmon_analysis.timing import SECOND_MS, format_duration

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AlertingRule", "RecordingRule", "Rule", "RuleFile", "RuleGroup", "RuleKey"]

# Group, alert, and the rule's place in the group: two tiers of one alert may share its name.
RuleKey = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class AlertingRule:
    """One alerting rule.

    Attributes
    ----------
    name : str
        Value of ``alert``.
    expr : Expr
        The parsed expression; its spans point into `text`.
    text : str
        The expression exactly as the YAML scalar's value.
    for_ms, keep_firing_for_ms : int
        0 where not written.
    labels : Mapping
        The rule's labels over the group's; an empty value removes the label from alerts.
    annotations : Mapping
        Templates, as written.
    group : str
        Name of the group.
    index : int
        0-based place of the rule in its group.
    line, column : int
        1-based position of the rule in the file; 0 when it does not come from a file.
    """

    name: str
    expr: Expr
    text: str
    for_ms: int = 0
    keep_firing_for_ms: int = 0
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    group: str = ""
    index: int = 0
    line: int = 0
    column: int = 0

    @property
    def key(self) -> RuleKey:
        """Group, alert name, and place in the group."""
        return (self.group, self.name, self.index)


@dataclass(frozen=True, slots=True)
class RecordingRule:
    """One recording rule; attributes as in `AlertingRule`."""

    record: str
    expr: Expr
    text: str
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    group: str = ""
    index: int = 0
    line: int = 0
    column: int = 0

    @property
    def name(self) -> str:
        """The recorded metric."""
        return self.record


Rule = AlertingRule | RecordingRule


@dataclass(frozen=True, slots=True)
class RuleGroup:
    """A group of rules, evaluated in order at one interval.

    Attributes
    ----------
    name : str
        Unique in its file.
    interval_ms : int or None
        None: the server's global ``evaluation_interval``.
    query_offset_ms : int
        How far before the evaluation time the expressions look.
    limit : int
        Most alerts (or series) that a rule may return; 0 is no limit.
    labels : Mapping
        Labels that every rule of the group gets (Prometheus 3).
    rules : tuple
        In file order.
    """

    name: str
    interval_ms: int | None = None
    query_offset_ms: int = 0
    limit: int = 0
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class RuleFile:
    """A rule file that was read without findings.

    Attributes
    ----------
    path : str
        As the user gave it.
    text : str
        The whole source; exports edit this text.
    groups : tuple of RuleGroup
        In file order.
    notes : tuple of Finding
        What Prometheus accepts and the user probably did not mean.
    """

    path: str
    text: str
    groups: tuple[RuleGroup, ...]
    notes: tuple[Finding, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """Return one row a rule, in file order; durations in seconds, labels as Prometheus writes them."""
        import pandas as pd

        rows = [
            {
                "group": group.name,
                "rule": rule.name,
                "kind": "alert" if isinstance(rule, AlertingRule) else "record",
                "expr": rule.text,
                "for_s": rule.for_ms / SECOND_MS if isinstance(rule, AlertingRule) else None,
                "keep_firing_for_s": rule.keep_firing_for_ms / SECOND_MS if isinstance(rule, AlertingRule) else None,
                "interval_s": None if group.interval_ms is None else group.interval_ms / SECOND_MS,
                "labels": str(Labels(rule.labels)) if rule.labels else "",
                "line": rule.line,
            }
            for group in self.groups
            for rule in group.rules
        ]
        columns = ["group", "rule", "kind", "expr", "for_s", "keep_firing_for_s", "interval_s", "labels", "line"]
        return pd.DataFrame(rows, columns=columns)

    def __repr__(self) -> str:
        return "\n".join([self._headline(), text_table(*self._table(), left=5, most=MOST_ROWS)])

    def _repr_html_(self) -> str:
        table = html_table(*self._table(), caption=self._headline(), left={0, 1, 2, 4}, most=MOST_ROWS)
        return table + html_list([str(note) for note in self.notes])

    def _headline(self) -> str:
        counts = (
            (len(self.groups), "group"),
            (len(self.alerts), "alerting rule"),
            (len(self.recordings), "recording rule"),
        )
        words = [f"{count:,} {noun}{'' if count == 1 else 's'}" for count, noun in counts]
        return f"{printable(self.path)}: {', '.join(words)}"

    def _table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        header = ("group", "rule", "kind", "for", "expression")
        rows: list[tuple[str, ...]] = [
            (
                rule.group,
                rule.name,
                "alert" if isinstance(rule, AlertingRule) else "record",
                Cell(format_duration(rule.for_ms), rule.for_ms) if isinstance(rule, AlertingRule) else "–",
                " ".join(rule.text.split()),
            )
            for rule in self.rules
        ]
        return header, rows

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All rules, in file order."""
        return tuple(rule for group in self.groups for rule in group.rules)

    @property
    def alerts(self) -> tuple[AlertingRule, ...]:
        """The alerting rules, in file order."""
        return tuple(rule for rule in self.rules if isinstance(rule, AlertingRule))

    @property
    def recordings(self) -> tuple[RecordingRule, ...]:
        """The recording rules, in file order."""
        return tuple(rule for rule in self.rules if isinstance(rule, RecordingRule))

    def group_of(self, rule: Rule) -> RuleGroup:
        """Return the group that a rule stands in.

        Raises
        ------
        SettingError
            If the rule comes from another file.
        """
        for group in self.groups:
            if group.name == rule.group:
                return group
        raise SettingError(f"{self.path} has no group {rule.group!r}", cure="Take the rule from the same file")

    def alert(self, name: str) -> AlertingRule:
        """Return the first alerting rule of this name.

        Raises
        ------
        SettingError
            If there is none; the message offers the nearest names.
        """
        for rule in self.alerts:
            if rule.name == name:
                return rule
        names = list(dict.fromkeys(rule.name for rule in self.alerts))
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or names[:10]
        cure = f"Did you mean {' or '.join(near)}?" if near else "Add an alerting rule to the file"
        raise SettingError(f"{self.path} has no alert {name!r}", cure=cure)
