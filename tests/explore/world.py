"""A small service whose rule has every knob, with gaps, NaN, incidents and excluded time."""

from __future__ import annotations

import numpy as np

from kmon_analysis.backtest.run import backtest
from kmon_analysis.backtest.settings import Settings
from kmon_analysis.history import History, Provenance
from kmon_analysis.incidents import Excluded, Incident, Incidents
from kmon_analysis.labels import Labels
from kmon_analysis.rules.reader import parse_rules
from kmon_analysis.series import Samples, SeriesSet
from kmon_analysis.timing import HOUR_MS, MINUTE_MS, Interval

START = 1_772_409_600_000  # Monday 2026-03-02
DAYS = 4
TOPICS = ("orders", "users", "audit")
HOSTILE = '<script>alert(1)</script>|`$x^2$\u202e\x1b[31m"' + "long" * 40
RULES = """groups:
- name: kafka
  rules:
  - alert: HighConsumerLag
    expr: max_over_time(lag[5m]) > 100 and on() (hour() >= 6 < 22)
    for: 2m
    labels: {{severity: page}}
  - alert: LowRate
    expr: {low}
    for: 5m
  - alert: NoThreshold
    expr: lag > 300 or lag < -1
    for: 1m
  - alert: Nothing
    expr: absent_metric > 5
"""
LOW = "avg_over_time(lag[10m]) <= 20"


def at(hours, length_hours=1.0):
    start = START + round(hours * HOUR_MS)
    return Interval(start, start + round(length_hours * HOUR_MS))


TRUTH = Incidents(
    (
        Incident("INC-1", at(10), labels=Labels({"topic": "orders"}), kind="consumer"),
        Incident("INC-2", at(33.2, 0.5), labels=Labels({"topic": "users"}), kind="consumer"),
        Incident("INC-3", at(34, 2), kind="broker"),
        Incident("INC-4", at(58, 0.7), labels=Labels({"topic": "audit"}), must_page=False),
        Incident("INC-5", at(61, 0.7), labels=Labels({"topic": "orders"}), rules=("HighConsumerLag",)),
        Incident("INC-6", at(80, 1.0), labels=Labels({"topic": "elsewhere"})),
    ),
    (Excluded(at(20, 1.5), reason="deployment"), Excluded(at(70, 0.5), labels=Labels({"topic": "users"}))),
)


def history(topics=TOPICS, *, seed=3):
    """Build the samples: noise, peaks at the incidents, peaks elsewhere, a gap, missing and NaN samples."""
    rng = np.random.default_rng(seed)
    count = DAYS * 24 * 60
    times = START + np.arange(count, dtype=np.int64) * MINUTE_MS
    parts = []
    for place, topic in enumerate(topics):
        lag = np.round(rng.gamma(2.0, 15.0, count))
        for begin in rng.choice(count - 90, 22, replace=False):
            length = int(rng.integers(1, 25))
            lag[begin : begin + length] = np.round(rng.uniform(60, 400))
        for hour, length in ((10, 60), (33.2, 30), (34, 120), (61, 40)):
            begin = int(hour * 60) + 3 * place
            lag[begin : begin + length] = 500 + 100 * place
        lag[rng.choice(count, 30, replace=False)] = np.nan
        kept = rng.random(count) > 0.01
        kept[50 * 60 : 53 * 60] = False
        parts.append(
            Samples(Labels({"__name__": "lag", "topic": topic, "consumergroup": f"g{place}"}), times[kept], lag[kept])
        )
    series = SeriesSet.from_samples(parts)
    return History(series, Provenance("test", START, START + count * MINUTE_MS, scrape_interval_ms=MINUTE_MS))


def world(text=None, *, incidents=TRUTH, group_by=None, topics=TOPICS, low=LOW):
    rules = parse_rules(text or RULES.format(low=low))
    return backtest(rules, history(topics), incidents, settings=Settings(group_by=group_by))
