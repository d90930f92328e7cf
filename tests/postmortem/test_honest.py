"""What cannot be known is said, and not told as if it were good news."""

import numpy as np
import pytest

import kmon_analysis as km
from kmon_analysis.postmortem.content import content_of
from kmon_analysis.postmortem.words import did, summary
from tests.postmortem.world import RULES, bumped, flat, history, incident, minute, replayed


def made(held, *listed, rules=RULES):
    return km.postmortem(replayed(held, listed or [incident()], rules), "INC-1")


def notes(found, rule="HighLag"):
    [section] = [each for each in content_of(found).sections if each.rule == rule]
    return " ".join(section.sooner_notes)


def codes(found):
    return [limit.code for limit in found.limits]


def test_a_gap_over_the_whole_incident_is_no_quiet_rule():
    line = bumped()
    line[100:170] = np.nan
    found = made(history({"a": line}))
    assert summary(found) == "The history holds nothing of this time: whether a rule paged is not known."
    assert notes(found) == "Nothing can be said of other settings: the history holds nothing of this time."


def test_a_history_that_ends_inside_knows_only_so_far():
    found = made(history({"a": flat(125)}, 125))
    assert summary(found) == "No rule paged for it before the history ends, which is before the incident does."
    assert codes(found)[0] == "ends after the history"


def test_series_that_are_gone_can_be_caught_by_no_threshold():
    found = made(history({"a": flat()}), incident(labels={"topic": "gone"}))
    assert found["HighLag"].status == "nothing returned"
    assert "nothing that the incident concerns was returned" in notes(found)


def test_firing_again_in_an_old_page_is_no_page():
    line = bumped((95, 103, 500.0), (106, 112, 500.0))
    found = made(history({"a": line}), rules=RULES.replace("for: 5m", "for: 0m"))
    assert found["HighLag"].merged_into_ms == minute(95)
    assert did(found, found["HighLag"]) == "fired at -14 min, in the page that began at -25 min and had resolved"
    assert summary(found).startswith("HighLag fired again (its page began at -25 min) 14 min before the labelled start")


@pytest.mark.parametrize(("others", "amount"), [([incident("ALL", 0, 600)], "(none)"), ([], "(9 h 5 min)")])
def test_without_ordinary_time_no_false_pages_are_no_praise(others, amount):
    found = made(history({"a": bumped((122, 140, 500.0))}), incident(), *others)
    assert "little normal time" in codes(found)
    [limit] = [each for each in found.limits if each.code == "little normal time"]
    assert amount in limit.text


def test_a_rule_that_missed_it_is_told_what_would_have_caught_it_or_why_nothing():
    low = made(history({"a": bumped((122, 140, 80.0))}))
    assert "It would have been caught with threshold" in notes(low)
    assert "0 false pages in the whole history" in notes(low)
    none = made(history({"a": flat()}))
    assert none["HighLag"].status == "never true"
    assert "No setting that was tried would have caught it. threshold alone: " in notes(none)
    assert "for alone: the condition was not true by then" in notes(none)


def test_a_rule_that_fired_all_along_is_told_a_threshold_that_pages_anew():
    line = np.full(600, 300.0)
    line[122:140] = 5_000.0
    found = made(history({"a": line}))
    assert found["HighLag"].status == "already firing"
    [at_all] = [rung for rung in found.sooner["HighLag"] if not rung.sooner_ms]
    threshold = at_all.answers[0]
    assert 300 <= threshold.setting.threshold < 5_000
    assert threshold.price.page_ms == minute(127)
    assert "It would have been caught with threshold" in notes(found)
