"""A service small enough to be gone through by hand: one lag series a topic, a minute apart."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from kmon_analysis.backtest.run import backtest
from kmon_analysis.history import History, Provenance
from kmon_analysis.incidents import Incident, Incidents
from kmon_analysis.labels import Labels
from kmon_analysis.rules.reader import parse_rules
from kmon_analysis.series import Samples, SeriesSet
from kmon_analysis.timing import MINUTE_MS, Interval

START = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp() * 1000)

RULES = """groups:
- name: kafka
  interval: 1m
  rules:
  - alert: HighLag
    expr: lag > 100
    for: 5m
  - alert: Silent
    expr: rate(sent[5m]) < 1
    for: 2m
"""


def minute(number):
    return START + number * MINUTE_MS


def incident(name="INC-1", start=120, end=150, **more):
    return Incident(name, Interval(minute(start), minute(end)), **more)


def history(lags, minutes=600, *, name="lag", version="2.42.0", **more):
    """Build a history of one series a topic; NaN is a missing sample."""
    parts = []
    for topic, values in lags.items():
        values = np.asarray(values, dtype=np.float64)
        there = ~np.isnan(values)
        times = START + np.arange(len(values), dtype=np.int64) * MINUTE_MS
        parts.append(Samples(Labels({"__name__": name, "topic": topic}), times[there], values[there]))
    about = Provenance("test", START, minute(minutes), scrape_interval_ms=MINUTE_MS, server_version=version, **more)
    return History(SeriesSet.from_samples(parts), about)


def flat(minutes=600, value=10.0):
    return np.full(minutes, value)


def bumped(*bumps, minutes=600, value=10.0):
    """Return a flat line with bumps: (first minute, last minute + 1, height)."""
    line = flat(minutes, value)
    for start, end, height in bumps:
        line[start:end] = height
    return line


def replayed(held, incidents, rules=RULES, **settings):
    return backtest(parse_rules(rules), held, Incidents(incidents=tuple(incidents)), **settings)
