"""What a notebook works on, chosen by the environment."""

import time
from pathlib import Path

import pytest

import kmon_analysis as km
from kmon_analysis.cli_doctor import examine_server
from kmon_analysis.errors import KmonError, SettingError
from kmon_analysis.postmortem.markdown import markdown
from kmon_analysis.sources.connection import Connection, connect
from kmon_analysis.timing import HOUR_MS, MINUTE_MS, Interval, format_instant
from kmon_analysis.workflow_kafka import survey_server
from kmon_analysis.workflow_notebook import check_given, close_up, given, one_incident, why_chosen
from tests.prometheus_server import openmetrics, running_prometheus

START = 1_767_225_600_000
RULES = """
groups:
- name: g
  rules:
  - record: deep
    expr: max by (topic) (kafka_consumergroup_lag)
  - record: deeper
    expr: deep
  - alert: Up
    expr: up == 0
  - alert: Seconds
    expr: deeper / on() group_left() sum(rate(kafka_server_brokertopicmetrics_messagesin_total[5m])) > 1e9
  - alert: Behind
    expr: deeper > 10
  - alert: Rate
    expr: rate(kafka_server_brokertopicmetrics_messagesin_total[5m]) < 1
"""
INCIDENTS = """
incidents:
- {id: inside, start: 2026-01-01T01:00:00Z, end: 2026-01-01T02:00:00Z}
- {id: before, start: 2025-12-01T01:00:00Z, end: 2025-12-01T02:00:00Z}
"""


@pytest.fixture
def own(tmp_path):
    samples = {
        'kafka_consumergroup_lag{consumergroup="a",topic="t",partition="0"}': [
            (START + n * MINUTE_MS, "5000" if 60 <= n < 90 or n == 200 else "1") for n in range(360)
        ],
        'kafka_server_brokertopicmetrics_messagesin_total{topic="t"}': [
            (START + n * MINUTE_MS, str(n)) for n in range(360)
        ],
    }
    (tmp_path / "samples.om").write_text(openmetrics(samples))
    (tmp_path / "rules.yml").write_text(RULES)
    (tmp_path / "incidents.yml").write_text(INCIDENTS)
    return {
        "KMON_HISTORY": str(tmp_path / "samples.om"),
        "KMON_RULES": str(tmp_path / "rules.yml"),
        "KMON_INCIDENTS": str(tmp_path / "incidents.yml"),
        "KMON_OUT": str(tmp_path / "out"),
    }


def test_without_anything_the_bundled_history_is_taken(tmp_path):
    found = given(environment={"KMON_OUT": str(tmp_path), "KMON_PROMETHEUS_URL": " "})
    assert found.bundled
    assert found.server is None
    assert found.folder == tmp_path
    assert repr(found).startswith("Bundled: the simulated history user-service from 2026-02-02T00:00:00Z")
    assert "set KMON_PROMETHEUS_URL" in repr(found)
    assert (found.alert("lag"), found.alert("messages_in")) == ("HighConsumerLag", "LowMessageRate")


def test_each_notebook_gets_a_new_folder_where_none_is_named_once_it_writes(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    first, second = (given(environment={}) for _ in range(2))
    with pytest.raises(SettingError):
        given(environment={"KMON_RULES": "rules.yml"})
    assert not list(tmp_path.iterdir())
    assert first.folder != second.folder
    assert sorted(tmp_path.iterdir()) == sorted([first.folder, second.folder])
    assert f"Results go to {first.folder}." in repr(first)
    assert first.folder.stat().st_mode & 0o777 == 0o700


def test_own_samples_rules_and_incidents_are_taken(own):
    found = given(environment=own)
    assert not found.bundled
    assert [incident.id for incident in found.incidents] == ["inside"]
    assert "1 of 2 lie in the history." in repr(found)
    assert "no value is advised" not in repr(found)
    # Through two recording rules.
    assert (found.alert("lag"), found.alert("messages_in")) == ("Behind", "Rate")


def test_an_alert_is_found_by_its_name_and_a_misspelt_one_has_near_names(own):
    found = given(environment=own)
    assert found.alert("Behind") == "Behind"
    with pytest.raises(SettingError, match=r"no alert 'Behnd'.*\n?.*Did you mean Behind"):
        found.alert("Behnd")


def test_undecided_suggestions_are_counted_and_left_out(own):
    undecided = "- {id: maybe, start: 2026-01-01T03:00:00Z, end: 2026-01-01T03:30:00Z, status: suggested}\n"
    Path(own["KMON_INCIDENTS"]).write_text("incidents:\n" + undecided)
    found = given(environment=own)
    assert "0 of 0 lie in the history. Left out: 1 suggestion that nobody has decided" in " ".join(found.words)
    advice = km.recommend(km.backtest(found.rules, found.history, found.incidents), max_delay="10m")
    assert {each.verdict for each in advice.values()} == {"refused"}


def test_without_incidents_it_says_what_still_works(own):
    del own["KMON_INCIDENTS"]
    found = given(environment=own)
    assert not found.incidents.incidents
    assert "KMON_INCIDENTS is not set. When each rule pages" in repr(found)
    assert "no value is advised" in repr(found)


def test_without_rules_starter_rules_in_the_metric_names_are_taken(own):
    del own["KMON_RULES"]
    found = given(environment=own)
    assert "starter rules in the metric names found" in repr(found)
    assert "kafka_consumergroup_lag" in found.rules.alert(found.alert("lag")).text
    assert km.backtest(found.rules, found.history)[found.alert("lag")].score().pages


def test_without_rules_and_known_metrics_it_says_so(own, tmp_path):
    (tmp_path / "samples.om").write_text(openmetrics({"nothing_of_kafka": [(START, "1"), (START + 1000, "2")]}))
    del own["KMON_RULES"]
    with pytest.raises(SettingError, match="no starter rule fits") as caught:
        given(environment=own)
    assert "Name your rule file" in str(caught.value)


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"KMON_RULES": "rules.yml"}, "KMON_RULES: is set, but neither KMON_PROMETHEUS_URL nor KMON_HISTORY is"),
        ({"KMON_HISTORY": "h", "KMON_PROMETHEUS_URL": "http://localhost:1"}, "both a server and recorded samples"),
        ({"KMON_HISTORY": "h", "KMON_LAST": "3d"}, "KMON_LAST: is about fetching"),
        ({"KMON_PROMETHEUS_URL": "ftp://me:secret@host"}, "not the URL of a server: 'ftp://host'"),
        ({"KMON_PROMETHEUS_URL": "http://localhost:1", "KMON_LAST": "3days"}, "KMON_LAST: "),
        ({"KMON_PROMETHEUS_URL": "http://localhost:1", "KMON_INCIDENTS": "no.yml"}, "KMON_INCIDENTS: there is no such"),
        ({"KMON_PROMETHEUS_URL": "http://localhost:1", "KMON_RULES": "no.yml"}, "KMON_RULES: there is no such file"),
        ({"KMON_HISTORY": "no.csv"}, "KMON_HISTORY: there is no such file: 'no.csv'"),
    ],
)
def test_what_does_not_go_together_is_refused(environment, words, tmp_path):
    with pytest.raises(SettingError) as caught:
        given(environment={**environment, "KMON_OUT": str(tmp_path)})
    assert words in str(caught.value)
    # What kmon lab asks before it starts.
    with pytest.raises(SettingError) as before:
        check_given(environment)
    assert str(before.value) == str(caught.value)


@pytest.mark.parametrize("name", ["KMON_HISTORY", "KMON_RULES", "KMON_INCIDENTS"])
def test_files_are_read_before_jupyterlab_starts(own, name):
    check_given(own)
    Path(own[name]).write_text("- nonsense: [")
    with pytest.raises(KmonError) as caught:
        check_given(own)
    assert own[name] in str(caught.value)


def test_metrics_that_ended_are_said_and_taken(tmp_path):
    """The exporter was stopped an hour ago: nothing is there now, and the last two hours are worth looking at."""
    now = int(time.time()) * 1000
    end = now - HOUR_MS
    lag = 'kafka_consumergroup_lag{consumergroup="a",topic="t",partition="0"}'
    samples = openmetrics({lag: [(end - n * 15_000, "7") for n in reversed(range(240))], "up": [(now, "1")]})
    with running_prometheus(samples) as server:
        environment = {"KMON_PROMETHEUS_URL": server.url, "KMON_LAST": "3h", "KMON_OUT": str(tmp_path)}
        found = given(environment=environment)
        said = examine_server(server.url, None, None).text
        with pytest.raises(SettingError) as caught:
            given(environment={**environment, "KMON_LAST": "30m"})
        survey = survey_server(Connection(connect(server.url)), last_ms=3 * HOUR_MS)
    assert found.alert("lag") == "HighConsumerLag"
    assert len(found.history.series) == 1
    words = (
        "kafka_consumergroup_lag is known, but no metric of a known Kafka dialect has a sample now: the newest is of "
        f"{format_instant(end)}, 1 h"
    )
    assert words in repr(found)
    assert words in said
    assert "topics (1): t" in said
    assert survey.as_of_ms == end
    assert str(caught.value) == (
        "KMON_RULES: is not set, and no starter rule fits: no metric of a known Kafka dialect has a sample in the last "
        "30m\n  Name your rule file with it, or a longer time with KMON_LAST."
    )


def test_an_alert_that_nobody_reads_is_asked_for(own, tmp_path):
    (tmp_path / "rules.yml").write_text("groups: [{name: g, rules: [{alert: Up, expr: up == 0}]}]")
    with pytest.raises(SettingError, match="no alert reads consumer lag") as caught:
        given(environment=own).alert("lag")
    assert "Write the name of one instead: Up" in str(caught.value)


def test_names_in_messages_are_escaped(own, tmp_path):
    hostile = tmp_path / "<script>alert(1)</script>.yml"
    hostile.parent.mkdir()
    hostile.write_text(RULES)
    shown = given(environment={**own, "KMON_RULES": str(hostile)})._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown


def test_the_closer_look_is_at_a_found_incident_else_at_the_longest_page_else_at_the_end(own):
    found = given(environment=own)
    result = km.backtest(found.rules, found.history, found.incidents)
    [incident] = found.incidents.incidents
    assert close_up(result["Behind"]) == incident.interval.widened(HOUR_MS, HOUR_MS)
    alone = km.backtest(found.rules, found.history)
    page = Interval(START + 60 * MINUTE_MS, START + 90 * MINUTE_MS)
    near = close_up(alone["Behind"])
    assert near.start_ms == page.start_ms - HOUR_MS
    assert page.end_ms + HOUR_MS <= near.end_ms <= page.end_ms + HOUR_MS + 6 * MINUTE_MS
    assert close_up(alone["Up"]) == found.history.interval
    assert format_instant(near.start_ms) == "2026-01-01T00:00:00Z"


def test_the_incident_to_look_at_is_a_missed_one_else_the_slowest(own, tmp_path):
    (tmp_path / "incidents.yml").write_text(
        "incidents:\n"
        "- {id: slow, start: 2026-01-01T00:50:00Z, end: 2026-01-01T01:30:00Z, rules: [Behind]}\n"
        "- {id: quick, start: 2026-01-01T03:19:00Z, end: 2026-01-01T03:40:00Z, rules: [Behind]}\n"
    )
    found = given(environment=own)
    result = km.backtest(found.rules, found.history, found.incidents)
    assert one_incident(result) == (result, "slow")
    assert why_chosen(result, "slow") == "slow: of all incidents it was paged for last, counted from its start."
    with (tmp_path / "incidents.yml").open("a") as file:
        file.write("- {id: missed, start: 2026-01-01T05:00:00Z, end: 2026-01-01T05:10:00Z, rules: [Behind]}\n")
    found = given(environment=own)
    result, chosen = one_incident(km.backtest(found.rules, found.history, found.incidents))
    assert chosen == "missed"
    assert why_chosen(result, chosen) == "missed: a rule that must page for it missed it."


def test_a_candidate_of_the_list_comes_before_other_stand_ins(own, tmp_path):
    (tmp_path / "incidents.yml").write_text(
        "incidents:\n- {id: SUG-7, start: 2026-01-01T00:50:00Z, end: 2026-01-01T01:30:00Z, status: suggested,\n"
        "   suggested_by: [Behind]}\n"
    )
    found = given(environment=own)
    result, chosen = one_incident(km.backtest(found.rules, found.history, found.incidents), found.undecided)
    assert (
        why_chosen(result, chosen)
        == "SUG-7: nobody has confirmed an incident; this is the first candidate of the list."
    )
    assert "made from what Behind itself saw" in markdown(km.postmortem(result, chosen))


def test_without_incidents_the_longest_page_stands_in(own):
    found = given(environment=own)
    result, incident = one_incident(km.backtest(found.rules, found.history))
    assert [each.id for each in result.incidents] == [incident] == ["LONGEST-PAGE"]
    assert why_chosen(result, incident) == "LONGEST-PAGE: no incident is known; this is the longest page."
    # Rate fires as soon as there is a rate, and never stops.
    assert result.incidents[incident].interval.start_ms == START + MINUTE_MS
    assert km.postmortem(result, incident).concerned


def test_without_incidents_the_strongest_suggestion_stands_in_where_there_is_one(own, tmp_path):
    series = 'kafka_consumergroup_lag{consumergroup="a",topic="t",partition="0"}'
    week = [(START + n * MINUTE_MS, "90000" if 5000 <= n < 5060 else str(n % 7)) for n in range(14 * 24 * 60)]
    (tmp_path / "samples.om").write_text(openmetrics({series: week}))
    found = given(environment=own)
    result, incident = one_incident(km.backtest(found.rules, found.history))
    assert [each.id for each in result.incidents] == [incident] == ["SUG-001"]
    spike = Interval(START + 5000 * MINUTE_MS, START + 5060 * MINUTE_MS)
    assert result.incidents[incident].interval.overlaps(spike)


def test_where_nothing_happened_it_asks_for_incidents(own, tmp_path):
    quiet = {"kafka_consumergroup_lag": [(START + n * MINUTE_MS, "1") for n in range(360)]}
    (tmp_path / "samples.om").write_text(openmetrics(quiet))
    found = given(environment=own)
    with pytest.raises(SettingError, match="nothing unusual") as caught:
        one_incident(km.backtest(found.rules, found.history))
    assert "KMON_INCIDENTS" in str(caught.value)


def test_the_list_to_add_to_is_a_copy_that_is_begun_once(own, tmp_path):
    found = given(environment=own)
    place = found.incident_list()
    assert place == tmp_path / "out" / "incidents.yml"
    assert km.read_incidents(place).incidents == found.incidents.incidents
    place.write_text("incidents: []\n")
    assert given(environment=own).incident_list().read_text() == "incidents: []\n"
    assert (tmp_path / "incidents.yml").read_text() == INCIDENTS
