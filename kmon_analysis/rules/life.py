"""An alerting rule on a server that restarts and misses evaluations: what it wrote, evaluation by evaluation."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kmon_analysis.errors import EvaluationError
from kmon_analysis.labels import METRIC_NAME, Labels
from kmon_analysis.rules.model import AlertingRule
from kmon_analysis.rules.outputs import alerts_for_state_labels
from kmon_analysis.rules.states import AlertState, active_alerts, active_count, step
from kmon_analysis.series import Grid
from kmon_analysis.timing import HOUR_MS, MINUTE_MS, SECOND_MS, EvaluationGrid

__all__ = ["Life", "Restoring", "Slots", "live"]

# Evaluations of a new process whose alerts are not written: the state is restored behind the second one.
UNSEEN = 2


@dataclass(frozen=True)
class Slots(EvaluationGrid):
    """The instants of a group, without those at which it was not evaluated.

    Attributes
    ----------
    absent : frozenset of int
        Instants, in milliseconds, at which the server did not evaluate.
    """

    absent: frozenset[int] = frozenset()

    @property
    def times(self) -> npt.NDArray[np.int64]:
        """Evaluation instants, shape ``(T,)``, ascending, in milliseconds."""
        every = EvaluationGrid(self.start_ms, self.end_ms, self.step_ms, self.phase_ms).times
        if not self.absent:
            return every
        return every[~np.isin(every, np.fromiter(self.absent, dtype=np.int64, count=len(self.absent)))]


@dataclass(frozen=True, slots=True)
class Restoring:
    """How a server restores the state of alerts after a start.

    Attributes
    ----------
    grace_ms : int
        ``--rules.alert.for-grace-period``.
    tolerance_ms : int
        ``--rules.alert.for-outage-tolerance``.
    short_firing : bool
        Whether alerts whose ``for`` is shorter than the grace period are restored when they had fired
        (Prometheus >= 3.16).
    """

    grace_ms: int = 10 * MINUTE_MS
    tolerance_ms: int = HOUR_MS
    short_firing: bool = False

    @classmethod
    def of(cls, release: tuple[int, int], grace_ms: int | None = None, tolerance_ms: int | None = None) -> Restoring:
        """Return what a release does; None stands for its default."""
        plain = cls(short_firing=release >= (3, 16))
        return dataclasses.replace(
            plain,
            grace_ms=plain.grace_ms if grace_ms is None else grace_ms,
            tolerance_ms=plain.tolerance_ms if tolerance_ms is None else tolerance_ms,
        )


@dataclass(frozen=True, slots=True)
class Life:
    """What a rule did on such a server.

    Attributes
    ----------
    rule : AlertingRule
        The rule.
    times : int64 array, shape (T,)
        Evaluations, in milliseconds.
    states : tuple of Mapping, length T
        All alerts after each evaluation.
    written : bool array, shape (T,)
        Evaluations whose alerts were written: those that succeeded, from the third of a process on.
    """

    rule: AlertingRule
    times: npt.NDArray[np.int64]
    states: tuple[Mapping[Labels, AlertState], ...]
    written: npt.NDArray[np.bool_]


def live(
    rule: AlertingRule,
    grid: Grid,
    starts: Iterable[int] = (),
    restoring: Restoring | None = None,
    *,
    limit: int = 0,
    demote: bool = False,
    restore_after_ms: int = 1,
) -> Life:
    """Step a rule over the values of its expression, with restarts.

    Parameters
    ----------
    rule : AlertingRule
        The rule; its expression is not looked at.
    grid : Grid
        The expression's values at the evaluations that took place.
    starts : iterable of int
        First evaluation of each process, in milliseconds; evaluations before the first of these belong to a process
        that had been running for long.
    restoring : Restoring, optional
        How state is restored; default as of old releases.
    limit, demote
        As for `kmon_analysis.rules.states.replay`.
    restore_after_ms : int
        How long after the time of the second evaluation the state is restored.

    Notes
    -----
    Prometheus ``rules/group.go``, ``Group.run`` and ``Group.RestoreForState``. The times that are restored are cut to
    seconds there, as is the time of the last sample.
    """
    how = restoring or Restoring()
    beginnings = sorted(starts)
    states: dict[Labels, AlertState] = {}
    # By alert: time of the last sample of ALERTS_FOR_STATE, and its value; None once it was marked stale.
    stored: dict[Labels, tuple[int, int] | None] = {}
    before: set[Labels] = set()
    history: list[Mapping[Labels, AlertState]] = []
    written = np.zeros(len(grid.times), dtype=np.bool_)
    iteration = UNSEEN
    for column, ts_ms in enumerate(grid.times.tolist()):
        while beginnings and beginnings[0] <= ts_ms:
            beginnings.pop(0)
            states, before, iteration = {}, set(), 0
        returned = None
        if not grid.failed[column]:
            try:
                returned = active_alerts(rule, grid.at(column))
            except EvaluationError:
                returned = None
        if returned is not None:
            states = step(states, returned, ts_ms, rule.for_ms, rule.keep_firing_for_ms, demote=demote)
            if limit > 0 and active_count(states.values()) > limit:
                states, returned = {}, None
        history.append(states)
        if returned is not None and iteration >= UNSEEN:
            written[column] = True
            active = {labels: kept for labels, kept in states.items() if kept.state != "inactive"}
            for labels in before - active.keys():
                stored[labels] = None
            for labels, kept in active.items():
                stored[labels] = (ts_ms, kept.active_at_ms // SECOND_MS)
            before = set(active)
        iteration += 1
        if iteration == UNSEEN:
            states = _restored(rule, states, stored, ts_ms + restore_after_ms, how)
    return Life(rule, grid.times, tuple(history), written)


def _restored(
    rule: AlertingRule,
    states: Mapping[Labels, AlertState],
    stored: Mapping[Labels, tuple[int, int] | None],
    now_ms: int,
    how: Restoring,
) -> dict[Labels, AlertState]:
    """Return the alerts with the beginnings that the storage knows of."""
    after = dict(states)
    if rule.for_ms < how.grace_ms and not how.short_firing:
        return after
    for labels, alert in states.items():
        last = stored.get(labels)
        same = alerts_for_state_labels(rule, labels).without(METRIC_NAME) == labels
        if alert.state == "inactive" or last is None or not same or last[0] < now_ms - how.tolerance_ms:
            continue
        down_ms, since_ms = last[0] // SECOND_MS * SECOND_MS, last[1] * SECOND_MS
        left_ms = rule.for_ms - (down_ms - since_ms)
        if left_ms <= 0:
            active_at_ms = since_ms
        elif rule.for_ms < how.grace_ms:
            continue
        elif left_ms < how.grace_ms:
            active_at_ms = now_ms + how.grace_ms - rule.for_ms
        else:
            active_at_ms = since_ms + now_ms - down_ms
        after[labels] = dataclasses.replace(alert, active_at_ms=active_at_ms)
    return after
