"""The slow twin of `rules.groups`: every evaluation in the order of time, over one dictionary of samples."""

from __future__ import annotations

import math
import struct

import numpy as np

from kmon_analysis.labels import Labels
from kmon_analysis.promql.evaluate import evaluate
from kmon_analysis.rules.model import AlertingRule
from kmon_analysis.rules.states import alert_labels, step
from kmon_analysis.series import Samples, SeriesSet, stale_marker

STALE = float(stale_marker()[0])


def bits(value):
    return struct.pack("<d", value)


class Server:
    """A Prometheus without a clock."""

    def __init__(self, series):
        self.samples = {
            part.labels: dict(zip(part.times.tolist(), part.values.tolist(), strict=True)) for part in series
        }
        self.input = {labels: set(times) for labels, times in self.samples.items()}
        self.newest = {}

    def set(self):
        """All samples there are now; those of the input also from the future, as a history has them."""
        return SeriesSet.from_samples(
            Samples(labels, np.array(sorted(kept), dtype=np.int64), np.array([kept[t] for t in sorted(kept)]))
            for labels, kept in self.samples.items()
            if kept
        )

    def append(self, labels, time, value):
        if labels in self.newest:
            last, before = self.newest[labels]
            if time == last:
                return bits(value) == bits(before)
            if time < last:
                return False
        self.newest[labels] = time, value
        self.samples.setdefault(labels, {})[time] = value
        return True


def naive(groups, series, clocks, semantics):
    """Return the samples at the end, and of each rule: vectors, failures, states."""
    server = Server(series)
    told = {}
    events = []
    for place, (group, clock) in enumerate(zip(groups, clocks, strict=True)):
        for time in clock.times.tolist():
            events += [(time, place, index) for index in range(len(group.rules))]
    active, previous = {}, {}
    for time, place, index in sorted(events):
        group = groups[place]
        rule = group.rules[index]
        key = (place, index)
        log = told.setdefault((group.name, rule.name, rule.index), [])
        at = time - group.query_offset_ms
        grid = evaluate(rule.expr, server.set(), np.array([at]), semantics)
        vector = dict(grid.at(0))
        result = None
        if not grid.failed[0]:
            result = (
                eval_alert(rule, group, active, key, vector, time)
                if isinstance(rule, AlertingRule)
                else eval_record(rule, group, vector)
            )
        log.append((bool(grid.failed[0]), vector, result is None, dict(active.get(key, {}))))
        if result is None:
            continue
        returned = {labels for labels, value in result.items() if server.append(labels, at, value)}
        for labels in previous.get(key, set()) - returned:
            server.append(labels, at, STALE)
        previous[key] = returned
    return server.samples, told


def eval_record(rule, group, vector):
    named = [(Labels({**labels, "__name__": rule.record, **rule.labels}), value) for labels, value in vector.items()]
    if len({labels for labels, _ in named}) < len(named) or (group.limit and len(named) > group.limit):
        return None
    return dict(named)


def eval_alert(rule, group, active, key, vector, time):
    found = [(alert_labels(rule, labels, value), value) for labels, value in vector.items()]
    if len({labels for labels, _ in found}) < len(found):
        return None
    states = step(active.get(key, {}), dict(found), time, rule.for_ms, rule.keep_firing_for_ms)
    going = {labels: alert for labels, alert in states.items() if alert.state != "inactive"}
    active[key] = states
    if group.limit and len(going) > group.limit:
        active[key] = {}
        return None
    written = {}
    for labels, alert in going.items():
        own = {**rule.labels, **labels, "alertname": rule.name}
        written[Labels({**own, "__name__": "ALERTS", "alertstate": alert.state})] = 1.0
        written[Labels({**own, "__name__": "ALERTS_FOR_STATE"})] = float(math.floor(alert.active_at_ms / 1000))
    return written
