"""Signals made from others without evaluating anything: hours only hide evaluations, a grouping only joins alerts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kmon_analysis.backtest.signal import Group, Signal, for_each_group
from kmon_analysis.labels import Labels

__all__ = ["regrouped", "shown_at"]

Bools = npt.NDArray[np.bool_]
Int32s = npt.NDArray[np.int32]


def shown_at(signal: Signal, shown: Bools) -> Signal:
    """Return the signal of a rule that returns nothing at some evaluations.

    Parameters
    ----------
    signal : Signal
        Of the rule at all hours.
    shown : bool array, shape (T,)
        Where it may return something.

    Returns
    -------
    Signal
        With the alerts and levels that are left. Alerts that never have a level are left out.
    """

    def hidden(place: int) -> Group | None:
        group = signal.groups[place]
        ranks = np.where(shown, group.ranks, np.int32(0))
        rows = np.flatnonzero(ranks.any(axis=1)).tolist()
        if not rows:
            return None
        left = ranks if len(rows) == len(ranks) else ranks[rows]
        return _renumbered(group.labels, [group.members[row] for row in rows], [(group, left)])

    found = for_each_group(hidden, len(signal.groups), len(signal.times))
    return Signal(tuple(group for group in found if group is not None), signal.times, signal.op, signal.failed)


def regrouped(signal: Signal, group_by: Sequence[str] | None) -> Signal:
    """Return the signal with its alerts put together to pages in another way.

    Parameters
    ----------
    signal : Signal
        In any grouping.
    group_by : sequence of str or None
        Labels to page by; None: every alert is its own group.
    """
    owners: dict[Labels, list[tuple[Labels, int, int]]] = {}
    for place, group in enumerate(signal.groups):
        for row, member in enumerate(group.members):
            key = member if group_by is None else member.only(group_by)
            owners.setdefault(key, []).append((member, place, row))
    keys = sorted(owners)

    def joined(place: int) -> Group:
        rows = sorted(owners[keys[place]])
        parts = [(signal.groups[source], signal.groups[source].ranks[row : row + 1]) for _, source, row in rows]
        return _renumbered(keys[place], [member for member, _, _ in rows], parts)

    return Signal(tuple(for_each_group(joined, len(keys), len(signal.times))), signal.times, signal.op, signal.failed)


def _renumbered(labels: Labels, members: Sequence[Labels], parts: Sequence[tuple[Group, Int32s]]) -> Group:
    """Make one group of rows of others, its levels those that still occur."""
    used = []
    for group, ranks in parts:
        there = np.zeros(len(group.distinct) + 1, dtype=np.bool_)
        there[ranks.reshape(-1)] = True
        used.append(np.flatnonzero(there[1:]))
    levels = [group.distinct[places] for (group, _), places in zip(parts, used, strict=True)]
    distinct = levels[0] if len(levels) == 1 else np.unique(np.concatenate(levels))
    rows = []
    for (group, ranks), places, own in zip(parts, used, levels, strict=True):
        new = np.zeros(len(group.distinct) + 1, dtype=np.int32)
        new[places + 1] = np.searchsorted(distinct, own) + 1 if len(levels) > 1 else np.arange(1, len(own) + 1)
        rows.append(new[ranks])
    return Group(labels, tuple(members), distinct, rows[0] if len(rows) == 1 else np.concatenate(rows))
