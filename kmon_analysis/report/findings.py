"""The titles of the pictures: what each one shows, in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kmon_analysis.backtest.rule import RuleBacktest
from kmon_analysis.backtest.score import Score
from kmon_analysis.recommend.candidates import Budget, Setting
from kmon_analysis.recommend.choose import Plateau
from kmon_analysis.recommend.wording import thresholds
from kmon_analysis.report.front import Outlook
from kmon_analysis.report.words import allowance, clean, count, number, per_week, rough, same_duration, shortened
from kmon_analysis.timing import duration, span

__all__ = ["delay_title", "front_title", "pages_title", "setting_words", "signal_title"]

WEEK_MS = 7 * 86_400_000
# Longest name inside a title.
NAME = 60


def setting_words(setting: Setting) -> str:
    """Write a setting inside a sentence: "at 1,000 for 5m", or "as it is" where no threshold can turn."""
    if setting.threshold is None:
        return "as it is"
    words = ["at", number(setting.threshold)]
    if setting.window_ms is not None:
        words.append(f"over {same_duration(setting.window_ms)}")
    if setting.for_ms:
        words.append(f"for {same_duration(setting.for_ms)}")
    return " ".join(words)


def _found(score: Score) -> str:
    if not score.outcomes:
        return ""
    return f"finds {score.caught} of {count(score.incidents, 'incident')}, "


def _false(score: Score) -> str:
    if not score.false_pages:
        return "no false page"
    return count(score.false_pages, "false page")


def signal_title(name: str, current: tuple[Setting, Score], proposed: tuple[Setting, Score] | None) -> str:
    """Say what the rule did over the time drawn, and what the proposal would have done."""
    setting, score = current
    weeks = span(round(score.weeks * WEEK_MS))
    first = f"{shortened(clean(name), NAME)} {setting_words(setting)}: {_found(score)}{_false(score)} in {weeks}"
    if proposed is None:
        return first
    return f"{first}; {setting_words(proposed[0])}: {_found(proposed[1])}{_false(proposed[1])}"


def pages_title(
    replay: RuleBacktest,
    budget: Budget | None,
    plateau: Plateau | None,
    current: Score,
    setting: Setting,
) -> str:
    """Say which thresholds the team could live with."""
    if budget is None or plateau is None or not np.isfinite(plateau.quiet):
        rate = per_week(current.false_pages_per_week)
        return f"False pages at every threshold: {rate} a week {setting_words(setting)}"
    allowed = allowance(budget.false_pages_per_week)
    if plateau.weakest is None:
        side = "Up to" if replay.signal().falls else "From"
        way = "" if replay.signal().falls else " on"
        return f"{side} {rough(plateau.quiet)}{way} the rule keeps to {allowed}; no incident says how far it may go"
    limit = f"finds every incident within {duration(budget.max_delay_ms)}"
    if not plateau.feasible:
        return f"No threshold keeps to {allowed} and {limit}"
    where = thresholds(plateau.quiet, plateau.weakest, rough)
    return f"{where[0].upper()}{where[1:]} the rule keeps to {allowed} and {limit}"


def delay_title(marks: Sequence[tuple[Setting, Score]], max_delay_ms: int | None) -> str:
    """Say how late the rule pages at the settings marked."""
    parts = []
    for setting, score in marks:
        if score.worst_delay_ms is None:
            parts.append(f"no incident is found {setting_words(setting)}")
        else:
            missed = score.incidents - score.caught
            rest = f" ({missed} not found)" if missed else ""
            parts.append(f"{duration(score.worst_delay_ms)} {setting_words(setting)}{rest}")
    joined = ", ".join(parts)
    if joined.startswith("no incident"):
        return joined[0].upper() + joined[1:]
    limit = f"; accepted: {duration(max_delay_ms)}" if max_delay_ms is not None else ""
    return f"Worst delay {joined}{limit}"


def front_title(current: Outlook, proposed: Outlook | None, points: Sequence[Outlook]) -> str:
    """Say whether another setting is better in every respect."""
    if proposed is not None:
        missed = "none" if not proposed.missed else str(proposed.missed)
        return (
            f"Proposed: {per_week(proposed.false_pages_per_week)} false pages a week instead of "
            f"{per_week(current.false_pages_per_week)}, worst delay {duration(proposed.worst_delay_ms)} instead of "
            f"{duration(current.worst_delay_ms)}, {missed} missed instead of {current.missed or 'none'}"
        ).replace("none missed instead of none", "none missed, as now")
    better = [
        point
        for point in points
        if point.missed <= current.missed
        and point.false_pages_per_week < current.false_pages_per_week
        and (current.worst_delay_ms is None or (point.worst_delay_ms or 0) <= current.worst_delay_ms)
    ]
    if not better:
        return "No setting tried beats the current rule in false pages, delay and misses at once"
    least = min(better, key=lambda point: point.false_pages_per_week)
    return (
        f"In this past, {per_week(least.false_pages_per_week)} instead of {per_week(current.false_pages_per_week)} "
        "false pages a week were possible without more delay or misses"
    )
