"""A rule file with other traffic hours."""

from __future__ import annotations

from kmon_analysis.export.rulefile import edit_rules
from kmon_analysis.rules.knobs import rule_with
from kmon_analysis.rules.model import RuleFile
from kmon_analysis.rules.reader import parse_rules

__all__ = ["with_hours"]


def with_hours(rules: RuleFile, alert: str, guard: str) -> RuleFile:
    """Return a rule file in which one alert keeps to other hours.

    Parameters
    ----------
    rules : RuleFile
        From `read_rules`.
    alert : str
        Its name.
    guard : str
        As from `kmon_analysis.kafka.hours.promql_guard`: ``and on() (hour() >= 8 < 20)``. It takes the place of the
        guard that the rule has; empty: the rule at all hours.

    Raises
    ------
    SettingError
        If there is no such alert, its guards stand in several places, or `guard` is none.

    Examples
    --------
    >>> text = "groups: [{name: g, rules: [{alert: Few, expr: 'x < 1 and on() (hour() >= 8)'}]}]"
    >>> with_hours(parse_rules(text, "rules.yml"), "Few", "and on() (hour() < 6)").alert("Few").text
    'x < 1 and on() (hour() < 6)'
    """
    rule = rules.alert(alert)
    changed = rule_with(rule, hours=guard)
    text = rules.text if changed == rule else edit_rules(rules.text, {rule.key: {"expr": changed.text}}, "")
    return parse_rules(text, rules.path)
