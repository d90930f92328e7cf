"""The front as a table: the values of each of its points, and why a point was not taken."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from kmon_analysis.backtest.rule import RuleBacktest
from kmon_analysis.recommend.candidates import Budget, Candidate, Setting
from kmon_analysis.recommend.choose import Plateau, survey
from kmon_analysis.recommend.margin import FRAGILE
from kmon_analysis.recommend.wording import thresholds
from kmon_analysis.report.front import Outlook, lettered
from kmon_analysis.report.tables import Table, length
from kmon_analysis.report.words import NOTHING, describe, per_week, rough

__all__ = ["front_table", "why_not"]


def front_table(
    replay: RuleBacktest,
    points: Sequence[Outlook],
    budget: Budget,
    proposed: Setting | None,
    at: Outlook | None = None,
) -> Table:
    """List the points of a front with their values.

    Parameters
    ----------
    replay : RuleBacktest
        The rule on its history.
    points : sequence of Outlook
        From `front`.
    budget : Budget
        What the team accepts.
    proposed : Setting or None
        The values advised.
    at : Outlook, optional
        Where they lie: they get a row of their own, and what is no worse than they are the letter of the picture.
    """
    kept = {point.setting.candidate for point in points if point.setting is not None}
    kept |= set() if proposed is None else {proposed.candidate}
    tried = sorted(kept, key=lambda each: (each.window_ms or 0, each.for_ms))
    (found,) = survey(replay, tried, budget)
    rooms = dict(zip(tried, found, strict=True))
    letters = lettered(points, at)
    if proposed is not None and at is not None and not any(_same(point.setting, proposed) for point in points):
        points = [replace(at, setting=proposed), *points]
    rows = tuple(
        (
            "proposed" if _same(point.setting, proposed) else letters.get(point, NOTHING),
            str(point.missed),
            per_week(point.false_pages_per_week),
            length(point.worst_delay_ms),
            describe(point.setting),
            why_not(point, budget, rooms, proposed),
        )
        for point in points
        if point.setting is not None
    )
    header = ("point", "missed", "false pages a week", "worst delay", "values", "why it is not the advice")
    return Table("What was possible, point by point", header, rows, frozenset({0, 4, 5}))


def _same(setting: Setting | None, proposed: Setting | None) -> bool:
    return setting is not None and proposed is not None and replace(setting, hours=proposed.hours) == proposed


def why_not(point: Outlook, budget: Budget, rooms: dict[Candidate, Plateau], proposed: Setting | None) -> str:
    """Say what a point of the front lacks: the budget, a margin, or the room that the proposed values have."""
    setting = point.setting
    if setting is None or _same(setting, proposed):
        return "it is"
    if point.missed:
        return "misses incidents"
    if (point.worst_delay_ms or 0) > budget.max_delay_ms:
        return "pages later than accepted"
    if point.false_pages_per_week > budget.false_pages_per_week:
        return "more false pages than accepted"
    room = rooms[setting.candidate]
    if not room.roomy:
        return f"margin {room.margin_ratio:.2f}x from end to end with this window and for; {FRAGILE}x is needed"
    ours = _over(setting.threshold, room.weakest, room)
    if proposed is None:
        return f"at an edge: the weakest incident is {ours:.2f}x the threshold" if ours else "at an edge"
    other = rooms[proposed.candidate]
    theirs = _over(proposed.threshold, other.weakest, other)
    if ours and theirs and ours < theirs:
        return f"nearer to the weakest incident: {ours:.2f}x the threshold, {theirs:.2f}x with the proposed values"
    ours, theirs = (_over(room.quiet, setting.threshold, room), _over(other.quiet, proposed.threshold, other))
    if ours and theirs and ours < theirs:
        return f"nearer to ordinary peaks: {ours:.2f}x what they need, {theirs:.2f}x with the proposed values"
    if setting.candidate == proposed.candidate:
        return f"another place in the same room, {_ends(room)}"
    less = "less " if _length(room) < _length(other) else ""
    return f"{less}room for the threshold {_ends(room)}; {_ends(other)} with the proposed values"


def _length(room: Plateau) -> float:
    return math.inf if room.weakest is None else abs(room.weakest - room.quiet)


def _ends(room: Plateau) -> str:
    """Write what the threshold may be: ratios mean nothing where the room reaches zero."""
    return f"from {rough(room.quiet)} on" if room.weakest is None else thresholds(room.quiet, room.weakest, rough)


def _over(one: float | None, other: float | None, room: Plateau) -> float | None:
    """Return how many times one value lies nearer to ordinary weeks than another; None across zero."""
    if one is None or other is None or one * other <= 0 or room.weakest is None:
        return None
    return abs(other / one) if abs(room.quiet) <= abs(room.weakest) else abs(one / other)
