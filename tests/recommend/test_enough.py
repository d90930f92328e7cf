"""What would be enough, against trying every delay and every number of pages."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from kmon_analysis.backtest.run import backtest
from kmon_analysis.recommend.candidates import Budget, Candidate
from kmon_analysis.recommend.case import case_of, meets
from kmon_analysis.recommend.choose import best, survey
from kmon_analysis.recommend.enough import enough
from kmon_analysis.recommend.verdict import recommend
from kmon_analysis.timing import MINUTE_MS, SECOND_MS, parse_duration
from tests.recommend.test_crowd import two_sizes
from tests.report.samples import incident, replay

HOLDS = tuple(Candidate(None, minutes * MINUTE_MS) for minutes in (0, 2, 5))


def growing(seed, text="lag > 300", sign=1):
    """Ordinary peaks and incidents that grow as long as they last, at different pace."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 60, (2, 2400)).astype(float)
    for at in rng.choice(2300, 30, replace=False):
        row, length = rng.integers(0, 2), rng.integers(1, 9)
        values[row, at : at + length] = rng.integers(150, 420)
    incidents = [incident(name, hour, 0.6) for name, hour in (("A", 6), ("B", 14), ("C", 22), ("D", 31))]
    for number, begin in enumerate((360, 840, 1320, 1860)):
        pace = rng.uniform(12, 45)
        values[number % 2, begin : begin + 40] = pace * np.arange(1, 41)
    rule = replay(values * sign, text=text, incidents=incidents)
    tried = Budget(8 * MINUTE_MS, false_pages_per_week=6.0, firing_ratio=0.2)
    return replace(case_of(rule, rule.score(), tried, MINUTE_MS), tried=HOLDS)


def roomy(case, budget):
    (found,) = survey(case.replay, case.tried, budget)
    return any(each.roomy for each in found)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("text", "sign"), [("lag > 300", 1), ("lag < -300", -1)])
def test_the_least_delay_and_the_fewest_pages_are_those_of_a_search_by_hand(seed, text, sign):
    case = growing(seed, text, sign)
    later, noisier = enough(case)
    budget = case.budget
    # The evaluations are a minute apart, so whole minutes are all the delays that there are.
    delays = [minutes * MINUTE_MS for minutes in range(9, 120)]
    least = next((d for d in delays if roomy(case, replace(budget, max_delay_ms=d))), None)
    assert (None if later is None else later.budget.max_delay_ms) == least
    rates = [tenths / 10 for tenths in range(61, 100)] + [float(whole) for whole in range(10, 500)]
    fewest = next((r for r in rates if roomy(case, replace(budget, false_pages_per_week=r))), None)
    if noisier is None:
        assert fewest is None
    else:
        # Pages come in whole numbers: the rate is the first that can be written and lets as many through.
        own = noisier.budget.false_pages_per_week
        assert int(own * case.past.weeks) == int(fewest * case.past.weeks)
        assert roomy(case, noisier.budget)
    for way in (later, noisier):
        if way is not None:
            assert way.score.caught_within(way.budget.max_delay_ms) == 4
            assert meets(replace(case, budget=way.budget), way.score)


def test_the_samples_hold_both_kinds_of_room():
    ways = [enough(growing(seed)) for seed in range(6)]
    assert sum(later is not None for later, _ in ways) >= 3
    assert sum(noisier is not None for _, noisier in ways) >= 2


def test_fragile_values_are_taken_only_where_all_are():
    case = growing(0)
    later, _ = enough(case)
    assert later is not None
    (found,) = survey(case.replay, case.tried, later.budget)
    assert best(found, later.budget).roomy


def test_following_the_sentence_leads_to_a_value_and_staying_short_of_it_does_not():
    result = backtest(*two_sizes())
    short = recommend(result, max_delay="20m")["Lag"]
    assert short.verdict != "tuned"
    said = next(reason for reason in short.reasons if reason.startswith("Enough would be"))
    delay = parse_duration(re.search(r"a longest delay of (\w+) ", said)[1])
    value = float(re.search(r"for example threshold ([\d,.]+), for", said)[1].replace(",", ""))
    found = recommend(result, max_delay=timedelta(milliseconds=delay))["Lag"]
    assert (found.verdict, found.proposed.threshold) == ("tuned", value)
    assert recommend(result, max_delay=timedelta(milliseconds=delay - 30 * SECOND_MS))["Lag"].verdict != "tuned"
    assert said.endswith("; more false pages alone would not do; less leaves the threshold no room.")
    # With as much firing accepted as there is, more pages would do as well.
    short = recommend(result, max_delay="20m", firing_ratio=1)["Lag"]
    said = next(reason for reason in short.reasons if reason.startswith("Enough would be"))
    rate = float(re.search(r"([\d.]+) false pages a week \(for example", said)[1])
    assert recommend(result, max_delay="20m", firing_ratio=1, false_pages_per_week=rate)["Lag"].plateau.roomy
    less = recommend(result, max_delay="20m", firing_ratio=1, false_pages_per_week=rate - 0.5)["Lag"]
    assert not less.plateau.roomy
