"""Windows and the samples in them: too few at all times, or not all of them yet at the start of a history."""

from __future__ import annotations

import math
from collections.abc import Iterable

from kmon_analysis.backtest.rule import RuleBacktest
from kmon_analysis.backtest.score import Page
from kmon_analysis.promql.needs import selections
from kmon_analysis.rules.knobs import rule_with
from kmon_analysis.timing import format_duration, format_instant

__all__ = ["early_pages", "full_from_ms", "short_window"]


def short_window(replay: RuleBacktest, scrape_interval_ms: int, window_ms: int | None, hours: str | None = None) -> str:
    """Say what a window shorter than two scrape intervals does to a rule; empty where it is not that short.

    Parameters
    ----------
    replay : RuleBacktest
        The rule on its history.
    scrape_interval_ms : int
        Of the history.
    window_ms : int or None
        The window that is looked at; None: the rule has none.
    hours : str, optional
        The guard that goes with it, an empty text for none; None: the rule's own.

    Returns
    -------
    str
        A sentence without capital and full stop.
    """
    if window_ms is None or window_ms >= 2 * scrape_interval_ms:
        return ""
    short = (
        f"the window of {format_duration(window_ms)} is shorter than two scrape intervals of "
        f"{format_duration(scrape_interval_ms)}"
    )
    if math.isfinite(replay.signal(window_ms, hours).lowest_level):
        return f"{short}: it often holds one sample or none, for which rate and its like return nothing"
    return f"{short}, for which the expression returns nothing: the rule can never fire on this data"


def full_from_ms(replay: RuleBacktest, window_ms: int | None = None) -> int:
    """Return the first instant at which a rule's windows hold all that a running server would have had in them.

    Parameters
    ----------
    replay : RuleBacktest
        The rule on its history.
    window_ms : int, optional
        Another window than the rule's own.

    Notes
    -----
    Range and offset after the first sample of the history. A series that begins later began for the server, too.
    """
    rule = replay.rule if window_ms is None else rule_with(replay.rule, window_ms=window_ms)
    first = int(replay.series.times.min()) if len(replay.series.times) else replay.period.start_ms
    return first + max((need.lookback_ms for need in selections(rule.expr)), default=0)


def early_pages(replay: RuleBacktest, pages: Iterable[Page], window_ms: int | None = None) -> str:
    """Say how many false pages begin before the windows were full; empty where none does.

    Parameters
    ----------
    replay : RuleBacktest
        The rule on its history.
    pages : iterable of Page
        At any setting with the window.
    window_ms : int, optional
        Another window than the rule's own.

    Returns
    -------
    str
        A sentence without full stop.
    """
    full = full_from_ms(replay, window_ms)
    false = [page for page in pages if page.kind == "false"]
    early = sum(page.episode.interval.start_ms < full for page in false)
    if not early:
        return ""
    which = "the only false page" if len(false) == 1 else f"{early} of {len(false)} false pages"
    verb = "begins" if early == 1 else "begin"
    return (
        f"{which} {verb} before {format_instant(full)}, when its window was not full yet since the history begins "
        "there; a server that had run before might not have paged"
    )
