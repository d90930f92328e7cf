"""One setting of a rule with everything that is shown of it, computed once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from kmon_analysis.backtest.pages import Firing
from kmon_analysis.backtest.rule import RuleBacktest
from kmon_analysis.backtest.score import Reach, Score
from kmon_analysis.recommend.candidates import Setting, current_setting
from kmon_analysis.report.shapes import Steps, steps_of
from kmon_analysis.timing import Interval

__all__ = ["WORDS", "View", "look", "settings_of"]

# What the settings of a picture are called: the rule's own, and the one beside it.
WORDS = ("now", "proposed")


@dataclass(frozen=True)
class View:
    """What a rule does at one setting.

    Attributes
    ----------
    setting : Setting
        The values.
    firing : Firing
        The firing signal, for every threshold.
    level : float
        `Signal.level` of the threshold.
    score : Score
        Over the period looked at.
    reaches : tuple of Reach
        Of the observed incidents that must page.
    false_pages, pages : Steps
        A week, over thresholds.
    weeks : float
        Observed normal time of the whole history.
    """

    setting: Setting
    firing: Firing
    level: float
    score: Score
    reaches: tuple[Reach, ...]
    false_pages: Steps
    pages: Steps
    weeks: float


def settings_of(replay: RuleBacktest, threshold: float | None, proposed: Setting | None) -> list[Setting]:
    """Return the current setting, at another threshold if one is given, and the proposed one if there is one."""
    current = current_setting(replay)
    if threshold is not None:
        current = replace(current, threshold=threshold)
    return [current] if proposed is None else [current, proposed]


def look(replay: RuleBacktest, settings: Sequence[Setting], period: Interval | None = None) -> list[View]:
    """Compute the views of some settings, one after the other: a replay keeps one firing signal at a time."""
    found = []
    for setting in settings:
        at = setting.at
        firing, counts = replay.firing(**at), replay.curve(**at)
        weeks = firing.windows.quiet_weeks(firing.signal.step_ms)
        false, every = (steps_of(firing.signal, part, weeks or math.nan) for part in (counts.false_pages, counts.pages))
        found.append(
            View(
                setting=setting,
                firing=firing,
                level=replay.level(setting.threshold),
                score=replay.score(setting.threshold, period=period, **at),
                reaches=tuple(reach for reach in replay.reaches(**at) if reach.required),
                false_pages=false,
                pages=every,
                weeks=weeks,
            )
        )
    return found
