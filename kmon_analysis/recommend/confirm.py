"""Scoring advice on a period that it never saw."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kmon_analysis.backtest.run import Backtest, alert_names, backtest
from kmon_analysis.history import History
from kmon_analysis.incidents import Incidents
from kmon_analysis.recommend.advice import Advice
from kmon_analysis.rules.model import AlertingRule, RuleFile
from kmon_analysis.tabular import MOST_ROWS, html_table, text_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Confirmation", "confirm", "tuned_rules"]


def tuned_rules(advice: Advice) -> RuleFile:
    """Return the rule file with the proposed values in place."""
    rules = advice.backtest.rules
    names = dict(zip((rule.key for rule in rules.alerts), alert_names(rules), strict=True))
    groups = []
    for group in rules.groups:
        changed = []
        for rule in group.rules:
            found = advice.rules.get(names[rule.key]) if isinstance(rule, AlertingRule) else None
            setting = None if found is None else found.proposed
            if isinstance(rule, AlertingRule) and setting is not None:
                rule = setting.applied(rule)
            changed.append(rule)
        groups.append(replace(group, rules=tuple(changed)))
    return replace(rules, groups=tuple(groups))


@dataclass(frozen=True, repr=False)
class Confirmation:
    """The current and the tuned rules on unseen data.

    Attributes
    ----------
    current, proposed : Backtest
        Both rule files on the same unseen history.
    """

    current: Backtest
    proposed: Backtest

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return header and rows."""
        header = ["rule", "values", "incidents caught", "false pages", "a week"]
        rows = []
        for name, before in self.current.scores.items():
            for which, score in (("now", before), ("tuned", self.proposed.scores[name])):
                caught = f"{score.caught} of {score.incidents}" if score.outcomes else "no incidents"
                first = name if which == "now" else ""
                rows.append([first, which, caught, str(score.false_pages), score.shown_rate])
        return header, rows

    def __repr__(self) -> str:
        return text_table(*self.table(), left=2, most=MOST_ROWS)

    def _repr_html_(self) -> str:
        caption = "The current and the tuned rules on weeks that tuning never saw"
        return html_table(*self.table(), caption=caption, left=2, grouped=True, most=MOST_ROWS)

    def to_frame(self) -> pd.DataFrame:
        """Return one row a rule and values (now, tuned), with the columns of `Backtest.to_frame`."""
        import pandas as pd

        frames = {"now": self.current.to_frame(), "tuned": self.proposed.to_frame()}
        return pd.concat(frames, names=["values"]).swaplevel().sort_index()


def confirm(advice: Advice, history: History, incidents: Incidents) -> Confirmation:
    """Backtest the current and the tuned rules on a history that the advice never saw.

    Parameters
    ----------
    advice : Advice
        From `recommend`.
    history : History
        Another period of the same service.
    incidents : Incidents
        Its labelled truth.

    Raises
    ------
    IncidentError
        If the incidents hold suggestions that nobody has confirmed or rejected.
    """
    incidents.require_decided()
    settings = advice.backtest.settings
    return Confirmation(
        current=_paged(advice, backtest(advice.backtest.rules, history, incidents, settings=settings)),
        proposed=_paged(advice, backtest(tuned_rules(advice), history, incidents, settings=settings)),
    )


def _paged(advice: Advice, result: Backtest) -> Backtest:
    """Group the alerts of each rule to pages as in its advice."""
    usual = result.settings.group_by
    other = {
        name: replay.grouped(advice.rules[name].group_by)
        for name, replay in result.results.items()
        if name in advice.rules and advice.rules[name].group_by != usual
    }
    scores = {name: replay.score() for name, replay in other.items()}
    return replace(result, results={**result.results, **other}, scores={**result.scores, **scores})
