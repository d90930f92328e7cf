"""What a refusal says stands in the way."""

from __future__ import annotations

import numpy as np

from kmon_analysis.recommend.advice import RuleAdvice
from kmon_analysis.recommend.candidates import Budget, Candidate
from kmon_analysis.recommend.case import case_of
from kmon_analysis.recommend.choose import best, survey
from kmon_analysis.recommend.refusal import inseparable
from kmon_analysis.timing import MINUTE_MS
from tests.recommend.world import RULES, advise, lag_history
from tests.report.samples import incident, replay


def test_hours_that_leave_an_incident_out_are_named():
    guard = "and on() (hour() >= 7 < 20)"
    rules = RULES.format(threshold=500).replace("> 500", f"> 500 {guard}")
    for day, left_out in ((2.1, True), (2.5, False)):
        found = advise(*lag_history(4, incidents=[day, 9.5, 16.5, 20.5]), rules=rules)["HighConsumerLag"]
        said = f"blocks: it lies outside of the rule's hours ({guard}), at all hours the rule could see it"
        assert (said in found.reasons[0]) is left_out


def blocked(before):
    """Two incidents of 400 in 40 hours; before the second the value holds `before` for half an hour."""
    values = np.full(2400, 10.0)
    values[600:640] = 400
    values[1170:1200] = before
    values[1200:1240] = 400
    rule = replay(values, text="lag > 300", incidents=[incident("A", 10, 0.6), incident("B", 20, 0.6)])
    case = case_of(rule, rule.score(), Budget(8 * MINUTE_MS, firing_ratio=0.2), MINUTE_MS)
    (found,) = survey(rule, [Candidate(None, 2 * MINUTE_MS)], case.budget)
    return case, best(found, case.budget)


def test_an_alert_that_fires_already_is_named_as_what_stands_in_the_way():
    case, top = blocked(before=900.0)
    assert not top.feasible
    said = inseparable(case, RuleAdvice("Lag", "keep", "", (), case.current), top)[0]
    assert "just before B a threshold short of 900 fires already (for 2m)" in said
    assert "ordinary weeks" not in said


def test_below_the_incidents_an_open_alert_stands_in_nobodys_way():
    _, top = blocked(before=100.0)
    assert top.feasible
