"""What each alert sees, against counting by hand."""

import numpy as np

import kmon_analysis as km
from kmon_analysis.backtest.sight import sight
from kmon_analysis.history import History, Provenance
from kmon_analysis.labels import parse_series
from kmon_analysis.rules.reader import parse_rules
from kmon_analysis.series import Samples, SeriesSet
from kmon_analysis.timing import HOUR_MS, MINUTE_MS

START = 1_767_225_600_000
RULES = """
groups:
- name: g
  interval: 1m
  rules:
  - {alert: Lag, expr: 'lag > 5'}
  - {alert: Either, expr: 'lag > 5 or absent(gone)'}
"""


def test_selectors_are_looked_at_one_by_one():
    minutes = np.arange(600)
    gone = (minutes >= 100) & (minutes < 160)
    parts = [
        Samples(parse_series('lag{n="1"}'), START + minutes[~gone] * MINUTE_MS, np.ones(540)),
        Samples(parse_series('lag{n="2"}'), START + minutes[:120] * MINUTE_MS, np.ones(120)),
    ]
    history = History(SeriesSet.from_samples(parts), Provenance("test", START, START + 10 * HOUR_MS))
    table = sight(km.backtest(parse_rules(RULES, "rules.yml"), history)).reset_index()
    assert table[["alert", "reads", "series"]].to_numpy().tolist() == [
        ["Lag", "lag", 2],
        ["Either", "lag", 2],
        ["Either", "gone", 0],
    ]
    lag, _, absent = table.to_dict("records")
    # The second series ends at minute 119 and is seen for five minutes more; the first is back at 160.
    blind = 160 - 119 - 5
    assert abs(lag["blind_s"] / 60 - blind) <= 1
    assert abs(lag["seen_ratio"] - (1 - blind / 600)) <= 1 / 600
    assert lag["gap_min"] == 60
    assert lag["turns"] == "yes"
    assert (absent["seen_ratio"], absent["blind_s"]) == (0.0, 600 * 60.0)
    assert absent["turns"] == "no: with 'or' one threshold of several would turn"
