"""The whole of it, by value: what a hand would write down of a small past."""

import numpy as np
import pytest

import kmon_analysis as km
from kmon_analysis.errors import IncidentError, SettingError
from kmon_analysis.postmortem.run import incidents_for
from kmon_analysis.postmortem.words import did, summary
from tests.postmortem.world import bumped, flat, history, incident, minute, replayed


def steps(made, rule="HighLag"):
    start = made.incident.interval.start_ms
    return [((step.at_ms - start) // 60_000, step.words, step.value) for step in made[rule].steps]


def test_a_page_is_told_from_breach_to_resolved():
    held = history({"a": bumped((122, 140, 500.0)), "b": flat()})
    made = km.postmortem(replayed(held, [incident(labels={"topic": "a"})]), "INC-1")
    assert made["HighLag"].status == "paged"
    assert steps(made) == [(2, ("true", "pending"), 500.0), (7, ("firing", "page"), 500.0), (20, ("resolved",), 10.0)]
    assert made["Silent"].status == "no data"
    assert repr(made).splitlines()[2:] == [
        "HighLag  paged at +7 min",
        "Silent   the history has no samples of what it reads",
        "the history holds nothing of sent, needed by Silent",
    ]


def test_unknown_incidents_are_refused_with_the_nearest_name():
    result = replayed(history({"a": flat()}), [incident("INC-101")])
    with pytest.raises(IncidentError, match="Did you mean 'INC-101'"):
        km.postmortem(result, "INC-11")
    with pytest.raises(SettingError, match=r"no time zone 'Europe/Zurch'[\s\S]*Did you mean 'Europe/Zurich'"):
        km.postmortem(result, "INC-101", zone="Europe/Zurch")


def test_an_incident_outside_the_history_is_refused_with_its_range_and_others_are_left_out():
    held = history({"a": flat()})
    listed = km.Incidents((incident(), incident("later", 6000, 6010)))
    with pytest.raises(IncidentError, match="'later' starts after the history, which spans 2026-03-02T00:00:00Z to"):
        incidents_for(listed, "later", held)
    assert [each.id for each in incidents_for(listed, "INC-1", held)] == ["INC-1"]
    assert minute(600) == held.interval.end_ms


def test_another_alert_that_pages_while_one_is_firing_is_told():
    held = history({"a": bumped((60, 400, 500.0)), "b": bumped((122, 140, 500.0))})
    made = km.postmortem(replayed(held, [incident()]), "INC-1")
    assert made["HighLag"].status == "already firing"
    assert did(made, made["HighLag"]) == "had been firing since -55 min: another of its alerts paged at +7 min"
    assert summary(made) == "No page that tells of it alone: HighLag had been firing since before."
    alone = km.postmortem(replayed(history({"a": bumped((60, 400, 500.0))}), [incident()]), "INC-1")
    assert did(alone, alone["HighLag"]) == "had been firing since -55 min: no new page"
    assert summary(alone) == "No new page: HighLag had been firing since before."


def test_why_a_rule_did_not_page_is_said():
    rules = (
        "groups:\n- name: g\n  interval: 1m\n  rules:\n"
        "  - {alert: Short, expr: lag > 100, for: 30m}\n"
        "  - {alert: High, expr: lag > 5000, for: 1m}\n"
        "  - {alert: Gone, expr: absent(lag)}\n"
    )
    made = km.postmortem(replayed(history({"a": bumped((122, 140, 500.0))}), [incident()], rules), "INC-1")
    assert dict(made.table()[1]) == {
        "Short": "was pending, and did not fire: the condition held for 17 min at most (from +2 min), “for” is 30m",
        "High": "never came true: the value came nearest with 500 at +2 min, the threshold is > 5,000",
        "Gone": "never came true: the condition was not true once",
    }
    assert summary(made) == "No rule paged for it."


def test_a_history_that_holds_nothing_of_the_time_says_no_data():
    line = bumped(minutes=600)
    line[90:200] = np.nan
    made = km.postmortem(replayed(history({"a": line}), [incident()]), "INC-1")
    assert made["HighLag"].status == "no data"
    assert made.sooner["HighLag"] == ()
    assert "gaps" in [limit.code for limit in made.limits]
