"""The whole of it, by value: what a hand would write down of a small past."""

import pytest

import kmon_analysis as km
from kmon_analysis.errors import IncidentError, SettingError
from kmon_analysis.postmortem.run import incidents_for
from tests.postmortem.world import bumped, flat, history, incident, minute, replayed


def steps(made, rule="HighLag"):
    start = made.incident.interval.start_ms
    return [((step.at_ms - start) // 60_000, step.words, step.value) for step in made[rule].steps]


def test_a_page_is_told_from_breach_to_resolved():
    held = history({"a": bumped((122, 140, 500.0)), "b": flat()})
    made = km.postmortem(replayed(held, [incident(labels={"topic": "a"})]), "INC-1")
    assert made["HighLag"].status == "paged"
    assert steps(made) == [(2, ("true", "pending"), 500.0), (7, ("firing", "page"), 500.0), (20, ("resolved",), 10.0)]
    assert made["Silent"].status == "nothing returned"
    assert repr(made).splitlines()[2:] == [
        "HighLag  paged at +7m",
        "Silent   its expression returned nothing that the incident concerns",
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
