"""When alerts were pending and firing: as a server recorded it, as a replay has it, and where the two differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

from kmon_analysis.labels import METRIC_NAME, Labels
from kmon_analysis.rules.life import Life
from kmon_analysis.rules.model import AlertingRule
from kmon_analysis.rules.outputs import output_shapes
from kmon_analysis.rules.states import alerts_labels
from kmon_analysis.series import SeriesSet, is_stale
from kmon_analysis.timing import SECOND_MS, Interval

__all__ = [
    "Agreement",
    "Difference",
    "Recorded",
    "Seen",
    "Timelines",
    "agreement",
    "differences",
    "lived",
    "owners",
    "recorded",
    "same_beginnings",
    "silent_slots",
]

Seen = Literal["pending", "firing"]
Int64s = npt.NDArray[np.int64]
# By alert: its state at every evaluation at which it had one.
Timelines = Mapping[Labels, Mapping[int, Seen]]


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a server recorded of one rule.

    Attributes
    ----------
    timelines : Mapping
        By the labels of the alert: its state at each evaluation (milliseconds) at which it was written.
    events : Mapping
        By the labels of the alert: all times of its ``ALERTS`` and ``ALERTS_FOR_STATE``, stale markers included;
        ascending.
    ends : Mapping
        By the labels of the alert: times of the stale markers of ``ALERTS_FOR_STATE``.
    beginnings : Mapping
        By the labels of the alert: the second at which it became active, at each evaluation.
    """

    timelines: Timelines
    events: Mapping[Labels, Int64s]
    ends: Mapping[Labels, Int64s]
    beginnings: Mapping[Labels, Mapping[int, int]]

    @property
    def times(self) -> Int64s:
        """Every time at which something was written."""
        return np.unique(np.concatenate([np.empty(0, dtype=np.int64), *self.events.values()]))


def owners(rules: Sequence[AlertingRule], series: SeriesSet) -> tuple[dict[int, list[int]], frozenset[int]]:
    """Tell which rule wrote which ``ALERTS`` and ``ALERTS_FOR_STATE``.

    Returns
    -------
    dict
        From the place of a rule to the indices of its series.
    frozenset of int
        Places of rules whose series cannot be told from those of another.
    """
    found: dict[int, list[int]] = {place: [] for place in range(len(rules))}
    shared: set[int] = set()
    shapes = [
        {name: text for name, text in output_shapes(rule)[-1].items() if name != METRIC_NAME and text} for rule in rules
    ]
    for index, labels in enumerate(series.labels):
        if labels.value(METRIC_NAME) not in ("ALERTS", "ALERTS_FOR_STATE"):
            continue
        fits = [
            place
            for place, shape in enumerate(shapes)
            if all(labels.value(name) == text for name, text in shape.items())
        ]
        # The rule that says most about its labels wrote the series.
        most = max((len(shapes[place]) for place in fits), default=0)
        fits = [place for place in fits if len(shapes[place]) == most]
        if len(fits) == 1:
            found[fits[0]].append(index)
        else:
            shared.update(fits)
    return found, frozenset(shared)


def recorded(series: SeriesSet, indices: Iterable[int], *, query_offset_ms: int = 0) -> Recorded:
    """Read what a server wrote about the alerts of one rule.

    Parameters
    ----------
    series : SeriesSet
        With ``ALERTS`` and ``ALERTS_FOR_STATE``.
    indices : iterable of int
        Those of the rule, see `owners`.
    query_offset_ms : int
        How far before the evaluation the samples are dated.
    """
    states: dict[Labels, dict[int, Seen]] = {}
    events: dict[Labels, list[Int64s]] = {}
    ends: dict[Labels, list[Int64s]] = {}
    beginnings: dict[Labels, dict[int, int]] = {}
    for index in indices:
        one = series[index]
        alert = one.labels.without(METRIC_NAME, "alertstate")
        times, stale = one.times + query_offset_ms, is_stale(one.values)
        events.setdefault(alert, []).append(times)
        if one.labels[METRIC_NAME] == "ALERTS_FOR_STATE":
            ends.setdefault(alert, []).append(times[stale])
            told = zip(times[~stale].tolist(), one.values[~stale].tolist(), strict=True)
            beginnings.setdefault(alert, {}).update({ts_ms: int(value) for ts_ms, value in told})
            continue
        state: Seen = "firing" if one.labels.value("alertstate") == "firing" else "pending"
        states.setdefault(alert, {}).update(dict.fromkeys(times[~stale].tolist(), state))
    return Recorded(
        states,
        {alert: np.unique(np.concatenate(parts)) for alert, parts in events.items()},
        {alert: np.unique(np.concatenate(parts)) for alert, parts in ends.items()},
        beginnings,
    )


def lived(life: Life) -> dict[Labels, dict[int, Seen]]:
    """Return what a replay would have written."""
    found: dict[Labels, dict[int, Seen]] = {}
    names: dict[Labels, Labels] = {}
    for column in np.flatnonzero(life.written).tolist():
        ts_ms = int(life.times[column])
        for alert, kept in life.states[column].items():
            if kept.state == "inactive":
                continue
            if alert not in names:
                names[alert] = alerts_labels(life.rule, alert, "firing").without(METRIC_NAME, "alertstate")
            found.setdefault(names[alert], {})[ts_ms] = kept.state
    return found


def same_beginnings(one: Recorded, life: Life, window: Interval, known_ms: int) -> tuple[int, int]:
    """Compare since when alerts are active, as ``ALERTS_FOR_STATE`` tells it.

    Parameters
    ----------
    one : Recorded
        What the server wrote.
    life : Life
        The replay.
    window : Interval
        What is compared.
    known_ms : int
        Beginnings up to here are not compared: the replay may have begun later.

    Returns
    -------
    int
        Beginnings recorded; the same for every replay.
    int
        Those that the replay has, too, at the same evaluation and equal to the second.
    """
    had: dict[Labels, dict[int, int]] = {}
    names: dict[Labels, Labels] = {}
    for column in np.flatnonzero(life.written).tolist():
        ts_ms = int(life.times[column])
        for alert, kept in life.states[column].items():
            if kept.state == "inactive":
                continue
            if alert not in names:
                names[alert] = alerts_labels(life.rule, alert, "firing").without(METRIC_NAME, "alertstate")
            had.setdefault(names[alert], {})[ts_ms] = kept.active_at_ms // SECOND_MS
    told = [
        had.get(alert, {}).get(ts_ms) == begun
        for alert, values in one.beginnings.items()
        for ts_ms, begun in values.items()
        if ts_ms in window and begun * SECOND_MS > known_ms
    ]
    return len(told), sum(told)


def silent_slots(one: Recorded, slots: Int64s, starts: Iterable[int] = ()) -> Int64s:
    """Return the evaluations at which a rule with active alerts wrote nothing, although it wrote later.

    A series that is not marked stale was written at the next evaluation; where it was not, there was none.

    Parameters
    ----------
    one : Recorded
        With stale markers.
    slots : int64 array
        When the rule should have been evaluated.
    starts : iterable of int
        First evaluations of new processes; these do not mark what an earlier one wrote.
    """
    begun = sorted(starts)
    open_slots = np.zeros(len(slots), dtype=np.bool_)
    for alert, events in one.events.items():
        marks = one.ends.get(alert, np.empty(0, dtype=np.int64))
        for start, stop in zip(events[:-1].tolist(), events[1:].tolist(), strict=True):
            if not np.isin(start, marks):
                until = min([stop, *(first for first in begun if start < first)])
                open_slots |= (slots > start) & (slots < until)
    return slots[open_slots & ~np.isin(slots, one.times)]


@dataclass(frozen=True, slots=True)
class Difference:
    """A span in which an alert's recorded and replayed states differ.

    Attributes
    ----------
    labels : Labels
        The alert, ``alertname`` included.
    interval : Interval
        From the first evaluation that differs to one step behind the last.
    recorded, replayed : {"pending", "firing", "none"}
        The states.
    """

    labels: Labels
    interval: Interval
    recorded: str
    replayed: str


def _spells(states: Mapping[int, Seen], step_ms: int) -> list[tuple[int, int, str]]:
    """Return unbroken runs of one state as (start, end, state), in order."""
    spells: list[tuple[int, int, str]] = []
    for ts_ms in sorted(states):
        state = states[ts_ms]
        if spells and spells[-1][2] == state and ts_ms <= spells[-1][1]:
            spells[-1] = (spells[-1][0], ts_ms + step_ms, state)
        else:
            spells.append((ts_ms, ts_ms + step_ms, state))
    # A state lasts one step, or until the next evaluation if that came earlier.
    return [
        (start, min(end, spells[place + 1][0]) if place + 1 < len(spells) else end, state)
        for place, (start, end, state) in enumerate(spells)
    ]


def _pieces(
    one: Mapping[int, Seen], other: Mapping[int, Seen], step_ms: int, window: Interval
) -> list[tuple[int, int, str, str]]:
    """Cut a window where one of two timelines changes: (start, end, state of one, state of other)."""
    left, right = _spells(one, step_ms), _spells(other, step_ms)
    edges = {window.start_ms, window.end_ms}
    edges |= {edge for start, end, _ in (*left, *right) for edge in (start, end) if edge in window}
    ordered = sorted(edges)
    pieces: list[tuple[int, int, str, str]] = []
    at = [0, 0]
    for start, end in pairwise(ordered):
        states = []
        for side, spells in enumerate((left, right)):
            while at[side] < len(spells) and spells[at[side]][1] <= start:
                at[side] += 1
            inside = at[side] < len(spells) and spells[at[side]][0] <= start
            states.append(spells[at[side]][2] if inside else "none")
        if pieces and pieces[-1][2:] == (states[0], states[1]):
            pieces[-1] = (pieces[-1][0], end, states[0], states[1])
        else:
            pieces.append((start, end, states[0], states[1]))
    return pieces


def differences(one: Timelines, other: Timelines, step_ms: int, window: Interval) -> tuple[Difference, ...]:
    """Return every span inside a window in which recorded and replayed states differ, in the order of time.

    Parameters
    ----------
    one, other : Mapping
        Recorded, and replayed.
    step_ms : int
        How long a state holds from its evaluation on: the group's interval.
    window : Interval
        What is compared.
    """
    found = [
        Difference(alert, Interval(start, end), state, against)
        for alert in {**one, **other}
        for start, end, state, against in _pieces(one.get(alert, {}), other.get(alert, {}), step_ms, window)
        if state != against
    ]
    return tuple(sorted(found, key=lambda each: (each.interval, each.labels)))


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two timelines of one rule agree.

    Attributes
    ----------
    evaluations, agreed : int
        Evaluations of the window, counted once for each alert that any side knows, and those of equal state.
    firing_ms, pending_ms : (int, int, int)
        Recorded, replayed, and what both have; summed over alerts.
    firings : (int, int, int)
        Unbroken runs of firing: recorded, replayed, and pairs that overlap.
    """

    evaluations: int
    agreed: int
    firing_ms: tuple[int, int, int]
    pending_ms: tuple[int, int, int]
    firings: tuple[int, int, int]


def agreement(
    one: Timelines, other: Timelines, slots: Int64s, step_ms: int, window: Interval, alerts: Iterable[Labels]
) -> Agreement:
    """Measure how far two timelines agree; arguments as for `differences`, with the evaluations and all alerts."""
    counted = frozenset(alerts)
    firing, pending, runs = [0, 0, 0], [0, 0, 0], [0, 0, 0]
    agreed = 0
    for alert in counted:
        both = one.get(alert, {}), other.get(alert, {})
        for start, end, state, against in _pieces(*both, step_ms, window):
            if state == against:
                agreed += int(np.searchsorted(slots, end) - np.searchsorted(slots, start))
            for sums, name in ((firing, "firing"), (pending, "pending")):
                sums[0] += (end - start) * (state == name)
                sums[1] += (end - start) * (against == name)
                sums[2] += (end - start) * (state == against == name)
        episodes = [
            [(max(start, window.start_ms), min(end, window.end_ms)) for start, end, state in _spells(side, step_ms)
             if state == "firing" and start < window.end_ms and end > window.start_ms]
            for side in both
        ]  # fmt: skip
        runs[0] += len(episodes[0])
        runs[1] += len(episodes[1])
        runs[2] += _pairs(*episodes)
    inside = int(((slots >= window.start_ms) & (slots < window.end_ms)).sum())
    return Agreement(
        inside * len(counted),
        agreed,
        (firing[0], firing[1], firing[2]),
        (pending[0], pending[1], pending[2]),
        (runs[0], runs[1], runs[2]),
    )


def _pairs(one: Sequence[tuple[int, int]], other: Sequence[tuple[int, int]]) -> int:
    """Count pairs of overlapping runs, each run in one pair at most."""
    count = left = right = 0
    while left < len(one) and right < len(other):
        if one[left][0] < other[right][1] and other[right][0] < one[left][1]:
            count, left, right = count + 1, left + 1, right + 1
        elif one[left][1] <= other[right][0]:
            left += 1
        else:
            right += 1
    return count
