"""Time to page for imagined faults, from the traffic in the history: arithmetic, not statistics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from kmon_analysis.backtest.rule import RuleBacktest
from kmon_analysis.labels import Labels
from kmon_analysis.promql.evaluate import evaluate
from kmon_analysis.promql.parser import parse
from kmon_analysis.recommend.candidates import Setting
from kmon_analysis.recommend.physics import HOURS, TimeToPage, hourly_rate, stopped_consumer, stopped_producer
from kmon_analysis.timing import HOUR_MS, MINUTE_MS, SECOND_MS

__all__ = ["detection_table"]

Floats = npt.NDArray[np.float64]

# The founding document's name for messages in; a history without it has no produce rate to reckon with.
PRODUCED = parse('sum by (topic) (rate(kafka_server_BrokerTopicMetrics_MessagesInPerSec{topic!=""}[5m]))')
BUSIEST = 3


def _own(replay: RuleBacktest, labels: Labels) -> Labels:
    """Leave the labels that tell alerts of the rule apart: not those that all of them carry."""
    return labels.without("alertname", *replay.rule.labels)


def _rows(fault: str, labels: Labels, rates: Floats, seconds: Floats) -> list[Mapping[str, Any]]:
    """Pick the hours of highest, middle and lowest traffic among those with data."""
    hours = np.flatnonzero(np.isfinite(rates))
    ordered = hours[np.argsort(rates[hours], kind="stable")]
    picks = {"peak": ordered[-1], "median": ordered[len(ordered) // 2], "trough": ordered[0]}
    return [
        {"alert": str(labels), "time": TimeToPage(fault, name, int(hour), float(rates[hour]), float(seconds[hour]))}
        for name, hour in picks.items()
    ]


def _filled(rates: Floats) -> Floats:
    """Give hours without data the middle of the others, so that a lag can grow through them."""
    return np.where(np.isfinite(rates), rates, np.nanmedian(rates))


def _producer_rows(replay: RuleBacktest, setting: Setting) -> list[Mapping[str, Any]]:
    signal = replay.signal(setting.window_ms)
    hold, window = setting.for_ms / SECOND_MS, (setting.window_ms or 0) / SECOND_MS
    found = []
    for labels, values in zip(signal.labels, signal.values(), strict=True):
        rates = hourly_rate(signal.times, np.maximum(values, 0.0))
        if np.isfinite(rates).any():
            seconds = stopped_producer(_filled(rates), setting.threshold or 0.0, window, hold)
            found.append((float(np.nanmedian(rates)), _rows("producer stops", _own(replay, labels), rates, seconds)))
    return [row for _, rows in sorted(found, key=lambda item: -item[0])[:BUSIEST] for row in rows]


def _consumer_rows(replay: RuleBacktest, setting: Setting) -> list[Mapping[str, Any]]:
    times = replay.grid.times
    hourly = times[:: max(1, HOUR_MS // (4 * max(replay.grid.step_ms, MINUTE_MS)))]
    produced = evaluate(PRODUCED, replay.series, hourly, replay.semantics)
    by_topic = {labels.value("topic"): row for row, labels in enumerate(produced.labels)}
    hold, found = setting.for_ms / SECOND_MS, []
    for labels in replay.signal().labels:
        row = by_topic.get(labels.value("topic"))
        if row is None:
            continue
        rates = hourly_rate(hourly, np.where(produced.present[row], produced.values[row], np.nan))
        if np.isfinite(rates).any():
            seconds = stopped_consumer(_filled(rates), setting.threshold or 0.0, hold)
            found.append((float(np.nanmedian(rates)), _rows("consumer stops", _own(replay, labels), rates, seconds)))
    return [row for _, rows in sorted(found, key=lambda item: -item[0])[:BUSIEST] for row in rows]


def detection_table(replay: RuleBacktest, setting: Setting) -> list[Mapping[str, Any]]:
    """Say how long a stopped consumer or producer would go unnoticed.

    Parameters
    ----------
    replay : RuleBacktest
        A rule on lag (``> threshold``), or on a rate (``< threshold``).
    setting : Setting
        Its values.

    Returns
    -------
    list of Mapping
        ``alert`` (label set) and ``time`` (`TimeToPage`), for the alerts with the most traffic; empty
        where the history holds nothing to reckon with. Add one scrape and one evaluation.
    """
    if setting.threshold is None or replay.period.duration_ms < HOURS * HOUR_MS:
        return []
    if replay.signal().falls:
        return _producer_rows(replay, setting) if setting.window_ms is not None else []
    return _consumer_rows(replay, setting) if setting.window_ms is None else []
