"""One event has one peak: in the report's table of false pages, in a suggestion and in a review."""

import re

import numpy as np

from kmon_analysis.backtest.breach import breach_of, peak_of
from kmon_analysis.history import History, Provenance
from kmon_analysis.incidents import Incidents
from kmon_analysis.labelling.review import questions
from kmon_analysis.labelling.suggest import suggest_from
from kmon_analysis.labels import Labels
from kmon_analysis.recommend.candidates import Setting
from kmon_analysis.report.tables import review_table
from kmon_analysis.rules.reader import parse_rules
from kmon_analysis.series import Samples, SeriesSet
from kmon_analysis.timing import DAY_MS, MINUTE_MS
from kmon_analysis.workflow import backtest
from tests.recommend.world import START

RULE = """
groups:
- name: g
  interval: 1m
  rules:
  - {alert: Lag, expr: lag > 500, for: 5m}
"""


def test_the_three_agree_where_the_peak_lies_before_the_first_firing():
    minutes = 14 * 24 * 60
    values = np.full(minutes, 20.0)
    values[9000:9002], values[9002:9020] = 1937.0, 1360.0
    times = START + np.arange(minutes, dtype=np.int64) * MINUTE_MS
    one = Samples(Labels({"__name__": "lag", "group": "checkout"}), times, values)
    history = History(SeriesSet.from_samples([one]), Provenance("test", START, START + 14 * DAY_MS))
    result = backtest(parse_rules(RULE), history, Incidents())
    replay, score = result["Lag"], result.scores["Lag"]

    [page] = [each.episode for each in score.pages]
    firing, level = replay.firing(), replay.level()
    first, last = breach_of(firing, page, level)
    assert ((firing.signal.times[[first, last]] - START) // MINUTE_MS).tolist() == [9000, 9019]
    assert peak_of(firing, page, level) == 1937.0

    [asked] = questions(result)
    assert asked.peak == 1937.0
    setting = Setting(500.0, None, 5 * MINUTE_MS, 0, None)
    [row] = review_table(replay, setting, score).rows
    assert row[3] == "1,937"
    [found] = suggest_from(result)
    assert re.search("above ordinary for 20 min, up to 1,937;", found.why)
    assert "a threshold just short of the 1,360 held for 5m pages once in all" in found.why
