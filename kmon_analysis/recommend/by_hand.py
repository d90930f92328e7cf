"""Values that a person chose: scored on the whole past, and said to be just that.

Whoever turns a knob until the past looks well has fitted it to the past. So nothing here is called a recommendation, no
held-out result and no prediction is carried over, and with few incidents each one is named instead of counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from kmon_analysis.backtest.grouping import alertmanager_grouping, page_words
from kmon_analysis.backtest.run import alert_names
from kmon_analysis.backtest.score import Score
from kmon_analysis.backtest.windows import early_pages, short_window
from kmon_analysis.recommend.advice import Advice, RuleAdvice
from kmon_analysis.recommend.candidates import Budget, Setting
from kmon_analysis.recommend.case import Case, breaches, case_of, meets, suspects_of
from kmon_analysis.recommend.verdict import FEW_INCIDENTS, fate, limits_of, marked
from kmon_analysis.recommend.wording import observed, pages
from kmon_analysis.tabular import counted
from kmon_analysis.timing import HOUR_MS, duration

__all__ = ["chosen_by_hand"]

_HEADLINE = "Chosen by hand"


def chosen_by_hand(
    advice: Advice,
    name: str,
    setting: Setting,
    group_by: tuple[str, ...] | str | None = "",
    *,
    hours_words: str = "",
) -> Advice:
    """Return an advice in which a person's values take the place of the proposed ones.

    Parameters
    ----------
    advice : Advice
        What is known so far; it may hold nothing of the rule.
    name : str
        Alert name.
    setting : Setting
        The chosen values. Those of the rule as deployed leave it alone; those that the advice proposes anyway keep
        its evidence.
    group_by : tuple of str or None, optional
        Labels that make one page of several alerts; None: every alert pages by itself. Without it the alerts are
        grouped as in the advice so far.
    hours_words : str
        The hours as a person wrote them; said beside their guard.

    Raises
    ------
    SettingError
        If the rule has no such knob.
    ExpressionError
        If the rule cannot be evaluated with these values.
    IncidentError
        If the incidents hold suggestions that nobody has confirmed or rejected.
    """
    result = advice.backtest
    known = advice.rules.get(name)
    usual = result.settings.group_by if known is None else known.group_by
    grouping = usual if isinstance(group_by, str) else group_by
    if known is not None and not known.by_hand and (known.proposed, known.group_by) == (setting, grouping):
        return advice
    replay = result[name].grouped(grouping)
    result.incidents.require_decided()
    setting.applied(replay.rule)
    budget = advice.budget or Budget(HOUR_MS)
    past = result.scores[name] if grouping == result.settings.group_by else replay.score()
    case = case_of(replay, past, budget, result.history.scrape_interval_ms)
    counted = _counted(result.settings.group_by, grouping)
    short = _short(case, setting, result.history.scrape_interval_ms)
    entry = RuleAdvice(
        name,
        "keep",
        _kept(case, asked=advice.budget is not None),
        ("Its values were looked at and left as they are.", *short, *counted, *limits_of(case)),
        case.current,
        past_current=case.past,
        suspects=suspects_of(case.past),
        by_hand=True,
        group_by=grouping,
    )
    if setting != case.current:
        score = replay.score(setting.threshold, **setting.at)
        entry = replace(
            entry,
            verdict="tuned",
            headline=f"{_HEADLINE}: {setting}{_other_hours(case.current, setting, hours_words)}"
            f"{_one_page(counted, grouping)}",
            reasons=(
                f"{_HEADLINE} with the whole past in view: this is no recommendation, and nothing was held out to test "
                "it on.",
                *short,
                *counted,
                *_found(case, score),
                *_early(case, setting, score),
                *([] if advice.budget is None else [_kept_to_budget(case, score)]),
                *_circular(case),
                *_procedure(known),
                *limits_of(case),
            ),
            proposed=setting,
            past_proposed=score,
            suspects=suspects_of(score),
        )
    if name in result.evaluated_by:
        entry = marked(entry, replay, result.evaluated_by[name])
    rules = {**advice.rules, name: entry}
    return replace(advice, rules={each: rules[each] for each in alert_names(result.rules) if each in rules})


def _kept(case: Case, *, asked: bool) -> str:
    broken = breaches(case.budget, case.past) if asked else []
    return "Keep the current rule, by hand" + (f"; it breaks the budget: {'; '.join(broken)}" if broken else "")


def _short(case: Case, setting: Setting, scrape_interval_ms: int) -> list[str]:
    """Say that the window is too short for the scrapes, where it is."""
    said = short_window(case.replay, scrape_interval_ms, setting.window_ms, setting.hours or "")
    return [f"{said[0].upper()}{said[1:]}."] if said else []


def _early(case: Case, setting: Setting, score: Score) -> list[str]:
    """Say which false pages begin before the window was full."""
    said = early_pages(case.replay, score.pages, setting.window_ms)
    return [f"{said[0].upper()}{said[1:]}."] if said else []


def _other_hours(current: Setting, setting: Setting, words: str) -> str:
    if current.hours == setting.hours:
        return ""
    told = f"{words}: " if words else ""
    return f", {told}{setting.hours}" if setting.hours else ", at all hours"


def _counted(usual: tuple[str, ...] | None, grouping: tuple[str, ...] | None) -> list[str]:
    """Say how pages were counted, where that is not as for the other rules."""
    if grouping == usual:
        return []
    return [
        f"Its pages are counted as one for {page_words(grouping)}, those of the other rules as one for "
        f"{page_words(usual)}. No rule file can say so: Alertmanager has to send them with "
        f"{alertmanager_grouping(grouping)}."
    ]


def _one_page(counted: Sequence[str], grouping: tuple[str, ...] | None) -> str:
    return f", one page for {page_words(grouping)}" if counted else ""


def _quiet(score: Score) -> str:
    """Write the false pages with the time that they stand in."""
    return f"{pages(score.false_pages)} in {observed(score.weeks)}"


def _found(case: Case, score: Score) -> list[str]:
    """Say what the values found, in words that so few or so many incidents carry."""
    now, then = _quiet(score), _quiet(case.past)
    if not score.outcomes:
        return [
            f"No incident concerns this rule: what the values would find is unknown. In the past: {now}, now {then}."
        ]
    if case.clusters <= FEW_INCIDENTS:
        seen = "; ".join(fate(outcome) for outcome in score.outcomes if outcome.status != "no data")
        few = "One incident" if case.clusters == 1 else "So few incidents" if case.clusters == 0 else "Two incidents"
        return [
            f"With these values: {seen or 'no incident was observed'}. {few} cannot support a change.",
            f"In the past: {now}; the current rule {then}.",
        ]
    delay = "" if score.worst_delay_ms is None else f", worst delay {duration(score.worst_delay_ms)}"
    return [
        f"In the past it would have found {score.caught} of {counted(score.incidents, 'incident')}{delay}, with {now}. "
        f"The current rule on the same weeks: {case.past.caught} of {case.past.incidents}, {then}."
    ]


def _kept_to_budget(case: Case, score: Score) -> str:
    if meets(case, score):
        return "On that past it keeps to the budget."
    missed = [
        outcome
        for outcome in score.outcomes
        if outcome.status in ("missed", "already firing") and outcome.within is None
    ]
    late = score.caught - score.caught_within(case.budget.max_delay_ms)
    parts = [fate(outcome) for outcome in missed[:3]]
    if late:
        parts.append(f"{late} paged later than {duration(case.budget.max_delay_ms)}")
    if score.false_pages > case.budget.false_pages_per_week * score.weeks:
        parts.append("more false pages than accepted")
    if not math.isnan(score.firing_ratio) and score.firing_ratio > case.budget.firing_ratio:
        parts.append("firing for longer than accepted")
    return f"Even on that past it does not keep to the budget: {', '.join(parts) or 'not every incident in time'}."


def _circular(case: Case) -> list[str]:
    """Say how many incidents the rule's own breaches suggested: that it finds those is no evidence."""
    own = sum(case.replay.name in outcome.incident.suggested_by for outcome in case.past.outcomes)
    if not own:
        return []
    return [f"Of the incidents, its own breaches suggested {own}: that it finds them is no evidence for it."]


def _procedure(known: RuleAdvice | None) -> list[str]:
    """Repeat what the procedure itself said of the rule."""
    return [] if known is None or known.by_hand else [f'The procedure itself says "{known.headline}".']
