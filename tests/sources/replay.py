"""A small, slow and separate replay of the deployed rules, to judge simulated histories by."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from kmon_analysis.series import is_stale
from kmon_analysis.timing import HOUR_MS, MINUTE_MS, WEEK_MS

LAG = "kafka_consumer_lag_sum"
MESSAGES = "kafka_server_BrokerTopicMetrics_MessagesInPerSec"
BEFORE_MS = 15 * MINUTE_MS


def of_metric(series, name, **labels):
    return [
        part
        for part in series
        if part.labels["__name__"] == name and all(part.labels.value(k) == v for k, v in labels.items())
    ]


def evaluations(interval):
    return np.arange(interval.start_ms, interval.end_ms, MINUTE_MS)


def latest(part, times):
    """Instant selector: the last sample within five minutes, -inf where there is none or a stale marker."""
    index = np.searchsorted(part.times, times, side="right") - 1
    at = np.maximum(index, 0)
    absent = (index < 0) | (times - part.times[at] >= 5 * MINUTE_MS) | is_stale(part.values[at])
    return np.where(absent, -np.inf, part.values[at])


def rate(part, times, window_ms=5 * MINUTE_MS):
    """Increase over the window, without extrapolation; NaN with fewer than two samples."""
    kept = ~is_stale(part.values)
    at, values = part.times[kept], part.values[kept]
    steps = np.diff(values, prepend=values[0])
    total = np.cumsum(np.where(steps < 0, values, steps))
    first = np.searchsorted(at, times - window_ms, side="right")
    last = np.searchsorted(at, times, side="right") - 1
    low = np.minimum(first, len(at) - 1)
    return np.where(last > first, (total[last] - total[low]) / (window_ms / 1000), np.nan)


def topic_rate(series, topic, times):
    """``sum by (topic) (rate(…[5m]))``, NaN where no broker has a rate."""
    rates = np.array([rate(part, times) for part in of_metric(series, MESSAGES, topic=topic)])
    return np.where(np.isnan(rates).all(axis=0), np.nan, np.nansum(rates, axis=0))


def traffic_hours(times):
    hour, weekday = times // HOUR_MS % 24, (times // (24 * HOUR_MS) + 4) % 7
    return (hour >= 8) & (hour < 20) & (weekday > 0) & (weekday < 6)


def firing_signal(signal, for_minutes):
    n = for_minutes + 1
    return np.concatenate([np.full(n - 1, -np.inf), sliding_window_view(signal, n).min(axis=1)])


def lag_signals(simulation, for_minutes):
    times = evaluations(simulation.interval)
    return times, {
        part.labels.only(["consumergroup", "topic"]): firing_signal(latest(part, times), for_minutes)
        for part in of_metric(simulation.series, LAG)
    }


def rate_signals(simulation, for_minutes):
    """Negated rates, so that the rule fires where the signal is above the negated threshold."""
    times = evaluations(simulation.interval)
    open_hours = traffic_hours(times)
    topics = {part.labels["topic"]: part.labels.only(["topic"]) for part in of_metric(simulation.series, MESSAGES)}
    found = {}
    for topic, labels in topics.items():
        rates = topic_rate(simulation.series, topic, times)
        found[labels] = firing_signal(np.where(open_hours & ~np.isnan(rates), -rates, -np.inf), for_minutes)
    return times, found


def concerns(incident, rule, labels):
    return rule in incident.rules and all(labels.value(name) == value for name, value in incident.labels.items())


def false_pages_per_week(simulation, rule, times, signals, threshold, for_minutes):
    """Episodes that touch no credit window of an incident concerning them and no excluded window."""
    after_ms = (for_minutes + 5) * MINUTE_MS
    count = 0
    for labels, signal in signals.items():
        pardoned = np.zeros(len(times), dtype=bool)
        for incident in simulation.incidents:
            if concerns(incident, rule, labels):
                start, end = incident.interval.start_ms - BEFORE_MS, incident.interval.end_ms + after_ms
                pardoned |= (times >= start) & (times <= end)
        for window in simulation.excluded:
            pardoned |= (times >= window.interval.start_ms) & (times <= window.interval.end_ms + after_ms)
        firing = signal > threshold
        edges = np.flatnonzero(np.diff(np.concatenate([[False], firing, [False]]).astype(int)))
        count += sum(not pardoned[a:b].any() for a, b in edges.reshape(-1, 2))
    return count / ((simulation.interval.end_ms - simulation.interval.start_ms) / WEEK_MS)


def peaks(simulation, rule, times, signals, delay_minutes):
    """For each incident that must page: the highest threshold that catches it within the delay."""
    found = {}
    for incident in simulation.incidents:
        if incident.must_page and rule in incident.rules:
            start = incident.interval.start_ms
            inside = (times >= start - BEFORE_MS) & (times <= start + delay_minutes * MINUTE_MS)
            found[incident.id] = max(
                float(signal[inside].max()) for labels, signal in signals.items() if concerns(incident, rule, labels)
            )
    return found
