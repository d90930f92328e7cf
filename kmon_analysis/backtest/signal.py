"""The firing signal: one grey-scale signal that answers for every threshold at once."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from kmon_analysis.errors import ExpressionError
from kmon_analysis.labels import Labels
from kmon_analysis.rules.knobs import Knobs
from kmon_analysis.rules.model import AlertingRule
from kmon_analysis.rules.states import alert_labels
from kmon_analysis.series import Grid

__all__ = ["Group", "Signal", "alert_signal", "for_each_group", "make_signal"]

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
T = TypeVar("T")

# Below this many levels starting threads costs more than they save.
_WORTH_THREADS = 200_000


@dataclass(frozen=True, slots=True)
class Group:
    """Alerts that make one page, with their levels numbered.

    Attributes
    ----------
    labels : Labels
        The labels that the group's alerts share and page by.
    members : tuple of Labels
        Label sets of its alerts, length S.
    distinct : float64 array, shape (U,)
        Ascending distinct levels of all members.
    ranks : int32 array, shape (S, T)
        1-based place of each level in `distinct`; 0: not in the result.
    """

    labels: Labels
    members: tuple[Labels, ...]
    distinct: Floats
    ranks: Int32s

    def index(self, level: float) -> int:
        """Return how many distinct levels are at or below a level: ranks above it fire."""
        return int(np.searchsorted(self.distinct, level, side="right"))

    def levels(self, ranks: Int32s) -> Floats:
        """Turn ranks back into levels; 0 is -inf."""
        from kmon_analysis.backtest import kernels

        levels = np.empty(ranks.shape)
        kernels.levels_of(np.ascontiguousarray(ranks).reshape(-1), self.distinct, levels.reshape(-1))
        return levels


@dataclass(frozen=True)
class Signal:
    """What a rule compares with its threshold, turned so that it fires *above* a level.

    Attributes
    ----------
    groups : tuple of Group
        One for each page group, length G, in the order of their labels.
    times : int64 array, shape (T,)
        Evaluations that succeeded, in milliseconds.
    op : {">", ">=", "<", "<="}
        The comparison of the rule; for the last two a level is the negated value.
    failed : int64 array
        Evaluations that Prometheus would have failed.
    """

    groups: tuple[Group, ...]
    times: Int64s
    op: str
    failed: Int64s

    @property
    def falls(self) -> bool:
        """Whether the rule fires on low values."""
        return self.op in ("<", "<=")

    @property
    def labels(self) -> tuple[Labels, ...]:
        """Label sets of all alerts, in the order of `values`."""
        return tuple(member for group in self.groups for member in group.members)

    @cached_property
    def step_ms(self) -> int:
        """Usual distance of the evaluations."""
        return int(np.median(np.diff(self.times))) if len(self.times) > 1 else 1

    @property
    def lowest_level(self) -> float:
        """The lowest level of any alert, -inf without any."""
        return min((float(group.distinct[0]) for group in self.groups if len(group.distinct)), default=-math.inf)

    @property
    def highest_level(self) -> float:
        """The highest level of any alert, -inf without any."""
        return max((float(group.distinct[-1]) for group in self.groups if len(group.distinct)), default=-math.inf)

    def level(self, threshold: float) -> float:
        """Return the level above which the rule with this threshold fires."""
        level = -threshold if self.falls else threshold
        return math.nextafter(level, -math.inf) if self.op in (">=", "<=") else level

    def threshold(self, level: float) -> float:
        """Return the threshold that stands for a level (the inverse of `level`)."""
        level = math.nextafter(level, math.inf) if self.op in (">=", "<=") else level
        return -level if self.falls else level

    def values(self) -> Floats:
        """Return the compared values, shape (S, T) over all groups; NaN where not in the result."""
        rows = [group.levels(group.ranks) for group in self.groups]
        levels = np.concatenate(rows) if rows else np.empty((0, len(self.times)))
        values = -levels if self.falls else levels
        values[np.isneginf(levels)] = np.nan
        return values


def make_signal(
    labels: Sequence[Labels],
    times: Int64s,
    levels: Floats,
    op: str,
    *,
    failed: Int64s | None = None,
    group_by: Sequence[str] | None = None,
) -> Signal:
    """Number the levels of a signal, page group by page group.

    Parameters
    ----------
    labels : sequence of Labels
        Alert label sets, length S.
    times : int64 array, shape (T,)
        Evaluations that succeeded.
    levels : float64 array, shape (S, T)
        Compared values, negated for ``<`` and ``<=``; -inf where not in the result.
    op : {">", ">=", "<", "<="}
        The comparison.
    failed : int64 array, optional
        Evaluations that failed.
    group_by : sequence of str, optional
        Labels to page by; None: every alert is its own group.

    Notes
    -----
    It needs 12 bytes a level: the sorting order, which turns into the distinct levels in place, and the
    ranks. Ranks make every later pass a walk over small integers, and groups keep it in the cache.
    """
    from kmon_analysis.backtest import kernels

    keys = [item if group_by is None else item.only(group_by) for item in labels]
    distinct_keys = sorted(set(keys))

    def numbered(place: int) -> Group:
        key = distinct_keys[place]
        rows = sorted((row for row, other in enumerate(keys) if other == key), key=lambda row: labels[row])
        flat = np.ascontiguousarray(levels[rows[0]] if len(rows) == 1 else levels[rows]).reshape(-1)
        order = np.argsort(flat)
        ranks = np.empty((len(rows), len(times)), dtype=np.int32)
        distinct = order.view(np.float64)
        count = kernels.rank_sorted(flat, order, distinct, ranks.reshape(-1))
        # Few distinct levels are the rule for counts: do not keep the whole buffer alive for them.
        kept = distinct[:count] if 2 * count > len(distinct) else distinct[:count].copy()
        return Group(key, tuple(labels[row] for row in rows), kept, ranks)

    groups = for_each_group(numbered, len(distinct_keys), len(times))
    return Signal(tuple(groups), times, op, np.empty(0, dtype=np.int64) if failed is None else failed)


def for_each_group(work: Callable[[int], T], groups: int, evaluations: int) -> list[T]:
    """Do the same for every page group, on all cores where that pays: the kernels release the interpreter.

    Parameters
    ----------
    work : callable
        Takes the place of the group.
    groups, evaluations : int
        How many there are.
    """
    workers = min(groups, os.cpu_count() or 1)
    if workers < 2 or groups * evaluations < _WORTH_THREADS:
        return [work(place) for place in range(groups)]

    def share(first: int) -> list[T]:
        return [work(place) for place in range(first, groups, workers)]

    # One share for each core, the caller's among them: handing over single groups costs as much as it saves.
    with ThreadPoolExecutor(workers - 1) as pool:
        others = [pool.submit(share, first) for first in range(1, workers)]
        shares = [share(0), *(other.result() for other in others)]
    return [shares[place % workers][place // workers] for place in range(groups)]


def alert_signal(rule: AlertingRule, knobs: Knobs, grid: Grid, group_by: tuple[str, ...] | None) -> Signal:
    """Turn the evaluated left side of a rule into levels, one row for each alert.

    Raises
    ------
    ExpressionError
        If a label of the rule changes with the value, so that hardly any alert lasts.

    Notes
    -----
    Series that differ in their metric name only, or whose labels the rule overwrites, are one alert;
    where two of them are returned at once Prometheus fails the evaluation (``rules/alerting.go``,
    "vector contains metrics with the same labelset after applying alert labels").
    """
    for name, template in rule.labels.items():
        if "value" in template.lower() and "{{" in template:
            raise ExpressionError(
                f"label {name!r} of {rule.name} depends on the value: every new value is a new alert",
                expression=rule.text,
                cure="Move the value to an annotation",
            )
    op = knobs.op or ">"
    identities = [alert_labels(rule, labels, 0.0) for labels in grid.labels]
    if knobs.sweepable:
        present = grid.present & ~np.isnan(grid.values)
        levels = np.where(present, -grid.values if op in ("<", "<=") else grid.values, -np.inf)
    else:
        present = grid.present
        levels = np.where(present, 1.0, -np.inf)
    failed = grid.failed.copy()
    distinct = sorted(set(identities))
    if len(distinct) < len(identities):
        merged = np.full((len(distinct), len(grid.times)), -np.inf)
        for place, identity in enumerate(distinct):
            rows = [row for row, other in enumerate(identities) if other == identity]
            failed |= np.count_nonzero(present[rows], axis=0) > 1
            merged[place] = levels[rows].max(axis=0)
        identities, levels = distinct, merged
    kept = ~failed
    return make_signal(
        identities,
        grid.times[kept],
        levels if kept.all() else levels[:, kept],
        op,
        failed=grid.times[failed],
        group_by=group_by,
    )
