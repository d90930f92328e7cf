"""Counts, spans and values inside the sentences of an advice."""

from __future__ import annotations

import math
from collections.abc import Callable

from kmon_analysis.backtest.score import Score
from kmon_analysis.recommend.candidates import Budget, Candidate
from kmon_analysis.tabular import counted
from kmon_analysis.timing import WEEK_MS, duration, format_duration, span

__all__ = [
    "allowance",
    "apart",
    "candidate_words",
    "figures",
    "listed",
    "number",
    "observed",
    "odds",
    "paged_falsely",
    "pages",
    "thresholds",
]


def number(value: float) -> str:
    """Write a measured value: three digits, or whole from a thousand on."""
    return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def apart(value: float, limit: float) -> str:
    """Write a value to two places, or to as many more as it takes to tell it from a limit.

    Examples
    --------
    >>> apart(20.283, 1.0), apart(1.0004, 1.0), apart(2.0, 1.0)
    ('20.28', '1.0004', '2.00')
    """
    return next((text for places in range(2, 12) if float(text := f"{value:.{places}f}") != limit), f"{value:g}")


def thresholds(quiet: float, weakest: float, shown: Callable[[float], str] = number) -> str:
    """Write the interval from what ordinary weeks need, included, to what the weakest incident reaches, excluded.

    Examples
    --------
    >>> thresholds(900, 8000), thresholds(3.62, 0)
    ('from 900 to below 8,000', 'above 0 up to 3.62')
    """
    if quiet <= weakest:
        return f"from {shown(quiet)} to below {shown(weakest)}"
    return f"above {shown(weakest)} up to {shown(quiet)}"


def observed(weeks: float) -> str:
    """Say in how much time false pages were counted: what was observed outside incidents and excluded windows."""
    return f"{span(weeks * WEEK_MS)} of normal time"


def paged_falsely(score: Score) -> str:
    """Say how often a rule paged falsely in the time of a score."""
    if not score.false_pages:
        return f"never paged falsely in {observed(score.weeks)}"
    often = {1: "once", 2: "twice"}.get(score.false_pages, f"{score.false_pages} times")
    return f"paged falsely {often} in {observed(score.weeks)}"


def allowance(budget: Budget) -> str:
    """Write the accepted rate: "1 false page a week"."""
    accepted = budget.false_pages_per_week
    return f"{accepted:g} false page{'' if accepted == 1 else 's'} a week"


def pages(count: int) -> str:
    """Write a number of false pages."""
    return counted(count, "false page")


def figures(score: Score) -> str:
    """Write what a setting did in one line: incidents found, worst delay, false pages."""
    delay = "" if score.worst_delay_ms is None else f", worst delay {duration(score.worst_delay_ms)}"
    rate = "" if math.isnan(score.false_pages_per_week) else f" ({score.shown_rate} a week)"
    found = f"{score.caught} of {counted(score.incidents, 'incident')} found"
    return f"{found}{delay}, {pages(score.false_pages)} in {observed(score.weeks)}{rate}"


def candidate_words(candidate: Candidate) -> str:
    """Write a window and a ``for``."""
    window = "" if candidate.window_ms is None else f"window {format_duration(candidate.window_ms)}, "
    return f"{window}for {format_duration(candidate.for_ms)}"


def odds(probability: float) -> str:
    """Say a probability as a frequency; the data carry no more than that."""
    if probability < 0.02:
        return "less than 1 time in 50"
    return f"about 1 time in {round(1 / probability)}" if probability < 0.5 else "more often than not"


def listed(items: list[str]) -> str:
    """Join items as people do.

    Examples
    --------
    >>> listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
