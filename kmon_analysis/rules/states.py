"""The alert state machine of Prometheus, as a pure step, and a plain replay of a rule over a grid."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from kmon_analysis.errors import EvaluationError
from kmon_analysis.labels import METRIC_NAME, Labels
from kmon_analysis.rules.model import AlertingRule
from kmon_analysis.rules.templates import expand
from kmon_analysis.series import Grid
from kmon_analysis.timing import MINUTE_MS, Interval

__all__ = [
    "ALERT_NAME",
    "RESOLVED_RETENTION_MS",
    "AlertHistory",
    "AlertState",
    "Replay",
    "State",
    "active_alerts",
    "active_count",
    "alert_labels",
    "alerts_labels",
    "replay",
    "step",
]

State = Literal["pending", "firing", "inactive"]

RESOLVED_RETENTION_MS = 15 * MINUTE_MS
ALERT_NAME = "alertname"


@dataclass(frozen=True, slots=True)
class AlertState:
    """What Prometheus keeps in memory about one alert.

    Attributes
    ----------
    state : {"pending", "firing", "inactive"}
        An inactive alert is one that fired and resolved not long ago.
    active_at_ms : int
        First evaluation of the unbroken run that returned it.
    value : float
        The sample's value at the last evaluation that returned it.
    fired_at_ms, resolved_at_ms, keep_firing_since_ms : int or None
        As in Prometheus' ``Alert``; None is its zero time.
    """

    state: State
    active_at_ms: int
    value: float
    fired_at_ms: int | None = None
    resolved_at_ms: int | None = None
    keep_firing_since_ms: int | None = None


def step(
    states: Mapping[Labels, AlertState],
    returned: Mapping[Labels, float],
    ts_ms: int,
    for_ms: int,
    keep_firing_for_ms: int = 0,
    *,
    demote: bool = False,
) -> dict[Labels, AlertState]:
    """Take all alerts of a rule over one successful evaluation.

    Parameters
    ----------
    states : Mapping
        Alerts after the evaluation before, by their labels.
    returned : Mapping
        What the expression returned now: alert labels (see `alert_labels`) and values.
    ts_ms : int
        Time of the evaluation.
    for_ms, keep_firing_for_ms : int
        The rule's durations.
    demote : bool
        Whether a firing alert that is younger than ``for`` becomes pending again (Prometheus >= 3.11;
        happens only after ``for`` was raised).

    Returns
    -------
    dict
        Alerts after this evaluation; `states` is left alone.

    Notes
    -----
    Prometheus ``rules/alerting.go``, ``AlertingRule.Eval``.
    """
    known = dict(states)
    for labels, value in returned.items():
        before = known.get(labels)
        if before is not None and before.state != "inactive":
            known[labels] = dataclasses.replace(before, value=value)
        else:
            known[labels] = AlertState("pending", active_at_ms=ts_ms, value=value)
    after: dict[Labels, AlertState] = {}
    for labels, alert in known.items():
        if labels not in returned:
            kept = _missed(alert, ts_ms, keep_firing_for_ms)
            if kept is not None:
                after[labels] = kept
            if kept is None or kept.state == "inactive":
                continue
            alert = kept
        else:
            alert = dataclasses.replace(alert, keep_firing_since_ms=None)
        lasted_ms = ts_ms - alert.active_at_ms
        if alert.state == "pending" and lasted_ms >= for_ms:
            alert = dataclasses.replace(alert, state="firing", fired_at_ms=ts_ms)
        elif demote and alert.state == "firing" and lasted_ms < for_ms:
            alert = dataclasses.replace(alert, state="pending", fired_at_ms=None, keep_firing_since_ms=None)
        after[labels] = alert
    return after


def _missed(alert: AlertState, ts_ms: int, keep_firing_for_ms: int) -> AlertState | None:
    """Return what becomes of an alert that was not returned; None when it is forgotten."""
    if alert.state == "firing" and keep_firing_for_ms > 0:
        since_ms = ts_ms if alert.keep_firing_since_ms is None else alert.keep_firing_since_ms
        alert = dataclasses.replace(alert, keep_firing_since_ms=since_ms)
        if ts_ms - since_ms < keep_firing_for_ms:
            return alert
    if alert.state == "pending":
        return None
    if alert.resolved_at_ms is not None and ts_ms - alert.resolved_at_ms > RESOLVED_RETENTION_MS:
        return None
    if alert.state != "inactive":
        alert = dataclasses.replace(alert, state="inactive", resolved_at_ms=ts_ms)
    return alert


def alert_labels(rule: AlertingRule, element: Labels, value: float) -> Labels:
    """Return the labels that identify the alert of one element of the result.

    Raises
    ------
    ExpressionError
        If a label's template is outside the supported subset.

    Notes
    -----
    Prometheus ``rules/alerting.go``, ``Eval``: the metric name is dropped, rule labels are expanded and
    win, an empty one removes the label, ``alertname`` comes last.
    """
    own = {name: expand(text, element, value) for name, text in rule.labels.items()}
    return element.without(METRIC_NAME).updated({**own, ALERT_NAME: rule.name})


def alerts_labels(rule: AlertingRule, alert: Labels, state: State) -> Labels:
    """Return the labels of the ``ALERTS`` series that stands for an alert.

    Notes
    -----
    Prometheus ``rules/alerting.go``, ``sample``: the rule's labels come first as they are written, so that
    a template which expands to nothing shows its text.
    """
    own = {**rule.labels, **alert}
    return Labels({**own, METRIC_NAME: "ALERTS", ALERT_NAME: rule.name, "alertstate": state})


def active_alerts(rule: AlertingRule, vector: Mapping[Labels, float]) -> dict[Labels, float]:
    """Return the alert labels and values of a result.

    Raises
    ------
    EvaluationError
        If two elements make the same alert; Prometheus fails the evaluation.
    """
    found: dict[Labels, float] = {}
    for element, value in vector.items():
        labels = alert_labels(rule, element, value)
        if labels in found:
            raise EvaluationError(
                f"{rule.name} returns two elements that make the same alert {labels}",
                cure="Keep a label that tells them apart, or aggregate them",
            )
        found[labels] = value
    return found


@dataclass(frozen=True, slots=True)
class AlertHistory:
    """When one alert was pending and firing; intervals start and end at evaluations."""

    labels: Labels
    pending: tuple[Interval, ...]
    firing: tuple[Interval, ...]


@dataclass(frozen=True, slots=True)
class Replay:
    """What a rule did over a grid.

    Attributes
    ----------
    rule : AlertingRule
        The rule.
    times : int64 array, shape (T,)
        Evaluations, in milliseconds.
    states : tuple of Mapping, length T
        All alerts after each evaluation; a failed one leaves them as they were.
    failed : bool array, shape (T,)
        Evaluations that Prometheus fails: the expression failed, or two elements made the same alert, or
        the group's limit was exceeded.
    end_ms : int
        Where an interval ends that is still open at the last evaluation.
    """

    rule: AlertingRule
    times: npt.NDArray[np.int64]
    states: tuple[Mapping[Labels, AlertState], ...]
    failed: npt.NDArray[np.bool_]
    end_ms: int

    def at(self, column: int, state: State) -> dict[Labels, AlertState]:
        """Return the alerts that are in a state after an evaluation."""
        return {labels: alert for labels, alert in self.states[column].items() if alert.state == state}

    @property
    def alerts(self) -> tuple[AlertHistory, ...]:
        """Every alert that ever was, in the order of its labels."""
        labels = sorted({one for states in self.states for one in states})
        return tuple(
            AlertHistory(one, self._intervals(one, "pending"), self._intervals(one, "firing")) for one in labels
        )

    @property
    def firing(self) -> dict[Labels, tuple[Interval, ...]]:
        """Firing intervals of each alert that fired."""
        return {alert.labels: alert.firing for alert in self.alerts if alert.firing}

    def _intervals(self, labels: Labels, state: State) -> tuple[Interval, ...]:
        """Return the unbroken runs of one state."""
        inside = np.array([labels in states and states[labels].state == state for states in self.states], dtype=np.int8)
        edges = np.diff(inside, prepend=0, append=0)
        ends = np.append(self.times, self.end_ms)
        return tuple(
            Interval(int(ends[start]), int(ends[stop]))
            for start, stop in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True)
        )


def replay(
    rule: AlertingRule, grid: Grid, *, limit: int = 0, demote: bool = False, end_ms: int | None = None
) -> Replay:
    """Step a rule over the values of its expression, one evaluation after the other.

    Parameters
    ----------
    rule : AlertingRule
        The rule; its expression is not looked at.
    grid : Grid
        The expression's values at the rule's evaluations.
    limit : int
        The group's limit; 0 is none.
    demote : bool
        As for `step`.
    end_ms : int, optional
        Where an open interval ends; without it one step behind the last evaluation.

    Returns
    -------
    Replay
        States after every evaluation. This is the reference that the compiled kernels are compared with.

    Notes
    -----
    Prometheus ``rules/group.go``, ``Group.Eval``, of a server that never restarts: a failed evaluation
    leaves the alerts untouched; beyond the limit they are all forgotten.
    """
    states: dict[Labels, AlertState] = {}
    history: list[Mapping[Labels, AlertState]] = []
    failed = grid.failed.copy()
    for column, ts_ms in enumerate(grid.times.tolist()):
        try:
            returned = None if failed[column] else active_alerts(rule, grid.at(column))
        except EvaluationError:
            returned = None
        if returned is None:
            failed[column] = True
        else:
            states = step(states, returned, ts_ms, rule.for_ms, rule.keep_firing_for_ms, demote=demote)
            if limit > 0 and active_count(states.values()) > limit:
                states, failed[column] = {}, True
        history.append(states)
    return Replay(rule, grid.times, tuple(history), failed, _end(grid.times) if end_ms is None else end_ms)


def active_count(alerts: Iterable[AlertState]) -> int:
    """Count the alerts that are pending or firing, which is what a group's limit is about."""
    return sum(alert.state != "inactive" for alert in alerts)


def _end(times: npt.NDArray[np.int64]) -> int:
    """Return the instant one step behind the last evaluation."""
    if len(times) > 1:
        return int(2 * times[-1] - times[-2])
    return int(times[-1]) + 1 if len(times) else 0
