"""Small histories with a known answer: one lag series, ordinary peaks, incidents of a given height."""

from __future__ import annotations

import numpy as np

from kmon_analysis.backtest.run import backtest
from kmon_analysis.history import History, Provenance
from kmon_analysis.incidents import Incident, Incidents
from kmon_analysis.labels import Labels
from kmon_analysis.recommend.verdict import recommend
from kmon_analysis.rules.reader import parse_rules
from kmon_analysis.series import Samples, SeriesSet
from kmon_analysis.timing import DAY_MS, HOUR_MS, MINUTE_MS, WEEK_MS, Interval

START = 1_767_571_200_000  # Monday 2026-01-05
LAG = {"__name__": "kafka_consumer_lag_sum", "consumergroup": "email", "topic": "user.registered"}
RULES = """groups:
- name: kafka
  rules:
  - alert: HighConsumerLag
    expr: kafka_consumer_lag_sum > {threshold}
    for: 5m
"""


def lag_history(
    weeks, *, noise_peak=900.0, noise_per_week=6, noise_min=50, incidents=(), height=8_000.0, heights=None, seed=7
):
    """Build a history and its incidents.

    `incidents` are days (floats) from the start; each lasts an hour at its height. Ordinary peaks last
    `noise_min` minutes and are at most `noise_peak` high.
    """
    rng = np.random.default_rng(seed)
    count = int(weeks * WEEK_MS / MINUTE_MS)
    times = START + np.arange(count, dtype=np.int64) * MINUTE_MS
    lag = rng.integers(0, 50, count).astype(float)
    for at in rng.choice(count - 60, int(weeks * noise_per_week), replace=False):
        lag[at : at + noise_min] = np.maximum(lag[at : at + noise_min], noise_peak * rng.uniform(0.4, 1.0))
    known = []
    for number, day in enumerate(incidents):
        begin = int(day * DAY_MS / MINUTE_MS)
        top = height if heights is None else heights[number]
        lag[begin - 40 : begin + 140] = 10.0
        lag[begin : begin + 60] = top
        start = START + begin * MINUTE_MS
        known.append(Incident(f"INC-{number + 1}", Interval(start, start + HOUR_MS), kind=f"kind-{number % 2}"))
    series = SeriesSet.from_samples([Samples(Labels(LAG), times, lag)])
    provenance = Provenance("test", START, START + count * MINUTE_MS, scrape_interval_ms=MINUTE_MS)
    return History(series, provenance), Incidents(incidents=tuple(known))


def advise(history, incidents, *, threshold=500, rules=None, max_delay="30m", settings=None, **budget):
    read = parse_rules(rules or RULES.format(threshold=threshold))
    return recommend(backtest(read, history, incidents, settings=settings), max_delay=max_delay, **budget)
