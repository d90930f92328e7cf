"""What a person is told about a question, by value."""

from zoneinfo import ZoneInfo

import pytest

from kmon_analysis.backtest.again import with_incidents
from kmon_analysis.errors import SettingError
from kmon_analysis.incidents import Incident, Incidents, format_incidents
from kmon_analysis.labelling.edit import Draft
from kmon_analysis.labelling.review import questions
from kmon_analysis.labelling.session import Session
from kmon_analysis.report.asked import Links, facts, links, local_moment, question_json, zone_of
from kmon_analysis.timing import parse_instant
from tests.labelling.test_review import HOSTILE, pages_of


def session_of(tmp_path, result, text="incidents: []\n"):
    return Session(result, Draft(tmp_path / "i.yml", text), questions(result))


def test_times_are_told_in_utc_and_in_the_zone_by_name():
    berlin = zone_of("Europe/Berlin")
    summer, night = parse_instant("2026-07-01T08:00:00Z"), parse_instant("2026-01-01T23:30:00Z")
    assert local_moment(summer, berlin) == "2026-07-01 08:00 UTC (10:00 CEST)"
    assert local_moment(night, berlin) == "2026-01-01 23:30 UTC (2026-01-02 00:30 CET)"
    assert local_moment(night, ZoneInfo("UTC")) == "2026-01-01 23:30 UTC"
    for name in ("Nowhere", "../etc/passwd", "", "/"):
        with pytest.raises(SettingError, match="there is no time zone"):
            zone_of(name)


def test_facts_by_value(tmp_path):
    result = pages_of([(100, 30, 250), (140, 20, 900), (1540, 30, 150)], groups=("a", "b"))
    told = dict(facts(session_of(tmp_path, result), 1, ZoneInfo("UTC")))
    assert told == {
        "rule": "Lag",
        "when": "2026-01-05 01:40 UTC, for 1 h",
        "pages": "2, close together; fired for 50 min",
        "value": "highest 900; fires > 100, 9 times the threshold",
        "labels": "topic=a",
        "also fired": "Lag (2 more)",
        "same time": "on 1 of 13 other days within an hour (UTC), 0 of 1 other Mondays; 1 more like it",
    }


def test_rules_on_low_values_and_without_a_threshold(tmp_path):
    low = pages_of([(100, 30, 250)], rule="250 - lag < 20")
    assert dict(facts(session_of(tmp_path, low), 1))["value"] == "lowest 0; fires < 20"
    none = pages_of([(100, 30, 250)], rule="lag > 100 and lag < 300")
    session = session_of(tmp_path, none)
    assert "lag" in dict(facts(session, 1))["rule"].lower()


def test_an_undecided_suggestion_is_named(tmp_path):
    result = pages_of([(100, 30, 250)])
    [one] = questions(result)
    hinted = Incidents((Incident("SUG-1", one.breach, one.labels, status="suggested"),))
    session = session_of(tmp_path, with_incidents(result, hinted), format_incidents(hinted))
    assert dict(facts(session, 1))["suggested"] == "SUG-1, nobody has decided"
    assert session.proposed_id(1) == "SUG-1", "it is decided where it stands"
    assert len(session) == 1, "its page is no question of its own"


def test_links_and_json_say_the_same(tmp_path):
    result = pages_of([(100, 30, 250)], groups=(HOSTILE,))
    session = session_of(tmp_path, result)
    where = Links("https://g.example.com", "http://p:9090")
    found = dict(links(session, 1, where))
    told = question_json(session, 1, where)
    assert (told["grafana"], told["prometheus"]) == (found["Grafana"], found["Prometheus"])
    assert all(address.isascii() for address in found.values())
    assert question_json(session, 1)["grafana"] is None
    assert links(session, 1, Links()) == []
    shown = " ".join(text for _, text in facts(session, 1))
    assert shown.isprintable()
