"""The breach behind a page: from when its alert went pending to the last evaluation over the threshold."""

from __future__ import annotations

import math

import numpy as np

from kmon_analysis.backtest.pages import Episode, Firing
from kmon_analysis.backtest.signal import Group

__all__ = ["breach_of", "peak_of", "top_level"]


def breach_of(firing: Firing, episode: Episode, level: float) -> tuple[int, int]:
    """Return the first and last evaluation of a page's breach, as columns of the grid.

    Parameters
    ----------
    firing : Firing
        Whose page it is, for its ``for``.
    episode : Episode
        The page.
    level : float
        The level that it was over.

    Notes
    -----
    It begins where an alert that starts the page went over the level without a break since, and ends with the last
    evaluation over the level: ``keep_firing_for`` fires longer.
    """
    group, (first, last) = firing.signal.groups[episode.group], episode.columns
    before = group.ranks[:, : first + 1] > group.index(level)
    held = before[:, firing.pending[first] :].all(axis=1)
    begins = [int(np.flatnonzero(~row)[-1]) + 1 if not row.all() else 0 for row in before[held]]
    over = (group.ranks[:, first : last + 1] > group.index(level)).any(axis=0)
    return min(begins, default=first), first + int(np.flatnonzero(over)[-1]) if over.any() else last


def peak_of(firing: Firing, episode: Episode, level: float) -> float:
    """Return the highest level of a page's alerts over its whole breach, pending or firing; -inf without any."""
    first, last = breach_of(firing, episode, level)
    return top_level(firing.signal.groups[episode.group], slice(first, last + 1))


def top_level(group: Group, inside: slice) -> float:
    """Return the highest level of a group's alerts at some evaluations, -inf without any."""
    top = int(group.ranks[:, inside].max(initial=0))
    return float(group.distinct[top - 1]) if top else -math.inf
