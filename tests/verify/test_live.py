"""Two real servers evaluate real rules over live series; every difference to the replay must have a proven cause."""

import json
import os
import time

import pytest

from kmon_analysis.rules.reader import read_rules
from kmon_analysis.timing import format_instant
from kmon_analysis.workflow_verify import check_reality
from tests.verify.live import live_servers

SECONDS = float(os.environ.get("KMON_LIVE_SECONDS", "60"))


@pytest.fixture(scope="module")
def checked():
    """Both servers, compared after a while in which target and servers were restarted."""
    with live_servers(("prometheus", "prometheus3"), SECONDS) as servers:
        end = format_instant(int(time.time() * 1000) - 2_000)
        return {
            server.program: check_reality(
                server.url,
                read_rules(server.rules),
                start=format_instant(int(server.begun_s * 1000) - 1_000),
                end=end,
            )
            for server in servers
        }


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
