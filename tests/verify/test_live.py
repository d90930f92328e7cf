"""Two real servers evaluate real rules over live series; every difference to the replay must have a proven cause."""

import json
import os
import time

import pytest

from kmon_analysis.cli_verify import report
from kmon_analysis.rules.reader import read_rules
from kmon_analysis.timing import format_instant
from kmon_analysis.workflow_verify import check_reality
from tests.verify.live import live_servers

NOT_LOADED = """\
groups:
  - name: starter
    rules:
      - {alert: TopicSilent, expr: lag < 5, for: 2s}
      - {alert: HighLag, expr: lag > 50}
"""
PARTLY = """\
groups:
  - name: direct
    interval: 1s
    rules:
      - {alert: TopicSilent, expr: lag < 5}
      - {alert: LagLong, expr: lag > 20, for: 8s}
  - name: other
    rules:
      - {alert: LagFor, expr: lag > 50}
"""
SECONDS = float(os.environ.get("KMON_LIVE_SECONDS", "60"))


@pytest.fixture(scope="module")
def checked():
    """Both servers, compared after a while in which target and servers were restarted."""
    with live_servers(("prometheus", "prometheus3"), SECONDS) as servers:
        end = format_instant(int(time.time() * 1000) - 2_000)

        def check(server, path):
            return check_reality(
                server.url, read_rules(path), start=format_instant(int(server.begun_s * 1000) - 1_000), end=end
            )

        found = {server.program: check(server, server.rules) for server in servers}
        for name, text in (("not loaded", NOT_LOADED), ("partly", PARTLY)):
            path = servers[0].directory / f"{name}.yml"
            path.write_text(text, encoding="utf-8")
            found[name] = check(servers[0], path)
        return found


@pytest.mark.parametrize("program", ["prometheus", "prometheus3"])
def test_every_difference_is_explained(checked, program):
    found = checked[program]
    said = json.dumps(found.to_json(), indent=1)
    assert [verdict.refused for verdict in found.verdicts if verdict.refused] == [], said
    assert [each for each in found.differences if each.verdict != "proven"] == [], said
    assert found.ok
    for verdict in found.verdicts:
        told = verdict.told
        assert told.agreed == told.evaluations, (verdict.rule.name, said)
        assert len(set(told.firing_ms)) == len(set(told.pending_ms)) == len(set(told.firings)) == 1, said
    kinds = {cause.kind for each in found.differences for cause in each.causes}
    assert "restart" in kinds
    assert "rule changed" not in kinds
    assert "version" not in kinds
    assert "phase" not in kinds
    assert {phase.how for _, phase in found.phases} == {"server"}
    recorded = {verdict.rule.name: verdict.plain.firing_ms[0] for verdict in found.verdicts}
    assert recorded["Steady"] > 0
    assert recorded["Gone"] > 0


@pytest.mark.parametrize(("program", "again"), [("prometheus", True), ("prometheus3", False)])
def test_the_release_decides_whether_a_short_for_begins_anew(checked, program, again):
    """Only 3.16 restores alerts that had fired when their ``for`` is shorter than the grace period."""
    [short] = [verdict for verdict in checked[program].verdicts if verdict.rule.name == "Short"]
    restarts = [
        cause for each in short.explained for cause in each.causes if cause.kind == "restart" and cause.at is not None
    ]
    begun_ms = max(cause.at.start_ms for cause in restarts)
    pending = [
        each
        for each in short.explained
        if each.difference.recorded == "pending" and each.difference.interval.start_ms >= begun_ms
    ]
    assert bool(pending) == again


def test_rules_that_the_server_does_not_run_are_said_first_and_alone(checked):
    found = checked["not loaded"]
    assert (found.differences, found.compared, found.ok) == ((), False, False)
    said = "The server does not run these rules, so there is nothing to compare: "
    said += "TopicSilent (group starter), HighLag (group starter)."
    assert repr(found) == report(found) == said
    assert said in found._repr_html_()
    assert "<table" not in found._repr_html_()


def test_of_a_file_that_is_loaded_in_part_only_that_part_is_compared(checked):
    found = checked["partly"]
    whole = {verdict.rule.name: verdict for verdict in checked["prometheus"].verdicts}
    by_name = {verdict.rule.name: verdict for verdict in found.verdicts}
    assert {name for name, verdict in by_name.items() if verdict.plain is not None} == {"LagLong"}
    assert by_name["LagLong"].plain == whole["LagLong"].plain
    assert {each.verdict for each in by_name["LagLong"].explained} <= {"proven"}
    assert by_name["TopicSilent"].refused == "the server does not run it"
    assert "in its group direct, not in other" in by_name["LagFor"].refused
    assert not found.ok
    for shown in (repr(found), report(found)):
        assert shown.startswith("The server does not run 2 of the 3 alerts of the file; these were not compared: ")


def test_a_notebook_shows_each_difference_with_its_cause(checked):
    found = checked["prometheus"]
    shown, html = repr(found), found._repr_html_()
    for text in (shown, html):
        assert "[1]" in text
        assert "restart" in text
    causes = list(found.numbered(40))
    assert causes
    assert all(cause.evidence[:30] in shown for cause in causes)
