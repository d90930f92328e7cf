"""What rules write: recorded series, the series that stand for alerts, and which selectors can see them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from kmon_analysis.labels import METRIC_NAME, Labels, Matcher
from kmon_analysis.rules.model import AlertingRule, RecordingRule, Rule
from kmon_analysis.rules.states import ALERT_NAME, Replay, alerts_labels
from kmon_analysis.series import Samples, SeriesSet, is_stale, stale_marker
from kmon_analysis.timing import SECOND_MS

if TYPE_CHECKING:
    from kmon_analysis.series import Grid

__all__ = [
    "Outcome",
    "alerted",
    "alerts_for_state_labels",
    "contested",
    "cut",
    "gather",
    "output_shapes",
    "recorded",
    "same_bits",
    "sees",
    "selected",
]

Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Shape = Mapping[str, str]


def output_shapes(rule: Rule) -> tuple[Shape, ...]:
    """Return what is known beforehand of the labels that a rule writes, one mapping for each kind of series.

    Notes
    -----
    Labels of alerts may be templates; those are left out, since their values come with the data.
    """
    if isinstance(rule, RecordingRule):
        return ({**rule.labels, METRIC_NAME: rule.record},)
    known = {name: text for name, text in rule.labels.items() if "{{" not in text}
    known[ALERT_NAME] = rule.name
    states = ({**known, METRIC_NAME: "ALERTS", "alertstate": state} for state in ("pending", "firing"))
    return (*states, {**known, METRIC_NAME: "ALERTS_FOR_STATE"})


def sees(matchers: Iterable[Matcher], shape: Shape, *, dot_all: bool = True) -> bool:
    """Tell whether a selector can match a series of which only these labels are known."""
    return all(m.matches(shape[m.name], dot_all=dot_all) for m in matchers if m.name in shape)


def selected(labels: Labels, selectors: Iterable[Iterable[Matcher]], *, dot_all: bool = True) -> bool:
    """Tell whether any of these selectors matches a series."""
    return any(all(m.matches(labels.value(m.name), dot_all=dot_all) for m in matchers) for matchers in selectors)


def alerts_for_state_labels(rule: AlertingRule, alert: Labels) -> Labels:
    """Return the labels of the ``ALERTS_FOR_STATE`` series that stands for an alert.

    Notes
    -----
    Prometheus ``rules/alerting.go``, ``forStateSample``.
    """
    return Labels({**rule.labels, **alert, METRIC_NAME: "ALERTS_FOR_STATE", ALERT_NAME: rule.name})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rule returned at each of its evaluations, under the labels that it writes.

    Attributes
    ----------
    times : int64 array, shape (T,)
        Evaluations, in milliseconds.
    offset_ms : int
        How far before the evaluation the samples are dated: the group's query offset.
    failed : bool array, shape (T,)
        Evaluations that wrote nothing and marked nothing.
    rows : Mapping
        By label set: the columns at which it was returned (ascending), and its values there.
    """

    times: Int64s
    offset_ms: int
    failed: Bools
    rows: Mapping[Labels, tuple[Int64s, Floats]]

    def samples(self, labels: Labels) -> Samples:
        """Return one written series, with a stale marker wherever it ends.

        Notes
        -----
        Prometheus ``rules/group.go``, ``Group.Eval``: the marker comes with the next evaluation that
        succeeds without returning the series.
        """
        columns, values = self.rows[labels]
        kept = np.flatnonzero(~self.failed)
        after = np.searchsorted(kept, columns) + 1
        after = np.setdiff1d(after[after < len(kept)], after - 1, assume_unique=True)
        at = np.concatenate([columns, kept[after]])
        order = np.argsort(at)
        marked = np.concatenate([values, stale_marker(len(after))])
        return Samples(labels, self.times[at[order]] - self.offset_ms, marked[order])


def recorded(rule: RecordingRule, grid: Grid, *, limit: int = 0, query_offset_ms: int = 0) -> Outcome:
    """Turn an evaluated recording rule into what it writes.

    Parameters
    ----------
    rule : RecordingRule
        The rule; its expression is not looked at.
    grid : Grid
        Values of the expression at the rule's evaluations.
    limit : int
        The group's limit; 0 is none.
    query_offset_ms : int
        The group's query offset.

    Notes
    -----
    Prometheus ``rules/recording.go``, ``RecordingRule.Eval``: the element's labels, then the rule's name and
    labels; equal label sets and more series than the limit fail the evaluation.
    """
    places: dict[Labels, list[int]] = {}
    for row, labels in enumerate(grid.labels):
        places.setdefault(labels.updated({**rule.labels, METRIC_NAME: rule.record}), []).append(row)
    failed = grid.failed.copy()
    if limit > 0:
        failed |= grid.present.sum(axis=0) > limit
    for same in places.values():
        if len(same) > 1:
            failed |= grid.present[same].sum(axis=0) > 1
    rows: dict[Labels, tuple[Int64s, Floats]] = {}
    for labels, same in places.items():
        columns = np.flatnonzero(grid.present[same].any(axis=0) & ~failed)
        if len(columns):
            which = np.array(same)[grid.present[same][:, columns].argmax(axis=0)]
            rows[labels] = columns, grid.values[which, columns]
    return Outcome(grid.times, query_offset_ms, failed, rows)


def alerted(replay: Replay, *, query_offset_ms: int = 0) -> Outcome:
    """Turn the states of an alerting rule into ``ALERTS`` and ``ALERTS_FOR_STATE``.

    Notes
    -----
    Prometheus ``rules/alerting.go``, ``AlertingRule.Eval``, of a server that never restarts: after a restart
    nothing is written before the third evaluation.
    """
    rule = replay.rule
    names: dict[tuple[Labels, str], Labels] = {}
    rows: dict[Labels, tuple[list[int], list[float]]] = {}
    for column, states in enumerate(replay.states):
        if replay.failed[column]:
            continue
        for alert, kept in states.items():
            if kept.state == "inactive":
                continue
            if (alert, kept.state) not in names:
                names[alert, kept.state] = alerts_labels(rule, alert, kept.state)
                names[alert, ""] = alerts_for_state_labels(rule, alert)
            for labels, value in (
                (names[alert, kept.state], 1.0),
                (names[alert, ""], float(kept.active_at_ms // SECOND_MS)),
            ):
                columns, values = rows.setdefault(labels, ([], []))
                columns.append(column)
                values.append(value)
    arrays = {
        labels: (np.array(columns, dtype=np.int64), np.array(values)) for labels, (columns, values) in rows.items()
    }
    return Outcome(replay.times, query_offset_ms, replay.failed, arrays)


def contested(labels: Labels, writers: Sequence[Outcome]) -> list[Samples]:
    """Settle what becomes of one series that several rules write.

    Parameters
    ----------
    labels : Labels
        The series.
    writers : sequence of Outcome
        In the order of evaluation at equal instants.

    Returns
    -------
    list of Samples
        What each of the writers got into the storage.

    Notes
    -----
    Prometheus ``tsdb/head_append.go``, ``appendable``: whoever comes first with a time wins, older times are
    rejected; ``rules/group.go``, ``Group.Eval``: what was rejected is not marked stale later.
    """
    stale = float(stale_marker()[0])
    events = sorted(
        (int(ts_ms), place, column)
        for place, outcome in enumerate(writers)
        for column, ts_ms in enumerate(outcome.times)
        if not outcome.failed[column]
    )
    values = [
        dict(zip(*(side.tolist() for side in outcome.rows[labels]), strict=True)) if labels in outcome.rows else {}
        for outcome in writers
    ]
    kept: list[tuple[list[int], list[float]]] = [([], []) for _ in writers]
    open_ones = [False] * len(writers)
    newest: tuple[int, float] | None = None
    for ts_ms, place, column in events:
        time_ms = ts_ms - writers[place].offset_ms
        returned = column in values[place]
        if not returned and not open_ones[place]:
            continue
        value = values[place][column] if returned else stale
        accepted = newest is None or time_ms > newest[0]
        if accepted:
            newest = time_ms, value
            kept[place][0].append(time_ms)
            kept[place][1].append(value)
        elif newest is not None:
            accepted = time_ms == newest[0] and same_bits(value, newest[1])
        open_ones[place] = returned and accepted
    return [Samples(labels, np.array(times, dtype=np.int64), np.array(written)) for times, written in kept]


def same_bits(one: float, other: float) -> bool:
    """Tell whether two values are the same sample, as the storage sees it."""
    pair = np.array([one, other]).view(np.uint64)
    return bool(pair[0] == pair[1])


def gather(parts: Iterable[Samples]) -> SeriesSet:
    """Unite samples into one set; of two with equal labels and time the later part's counts."""
    together: dict[Labels, list[Samples]] = {}
    for part in parts:
        together.setdefault(part.labels, []).append(part)
    return SeriesSet.from_samples(
        one[0] if len(one) == 1 else _merged(one) for one in together.values() if any(len(part.times) for part in one)
    )


def _merged(parts: Sequence[Samples]) -> Samples:
    times = np.concatenate([part.times for part in parts])
    values = np.concatenate([part.values for part in parts])
    order = np.argsort(times, kind="stable")
    times, values = times[order], values[order]
    last = np.append(times[1:] != times[:-1], np.ones(min(1, len(times)), dtype=np.bool_))
    return Samples(parts[0].labels, times[last], values[last])


def cut(part: Samples, at_ms: int) -> Samples:
    """End a series that others wrote where our own output takes over."""
    stop = int(np.searchsorted(part.times, at_ms))
    times, values = part.times[:stop], part.values[:stop]
    if stop and not is_stale(values[-1:])[0]:
        times, values = np.append(times, at_ms), np.append(values, stale_marker())
    return Samples(part.labels, times, values)
