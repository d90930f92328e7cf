"""Phases of groups in a backtest: where they come from and what they change."""

import dataclasses

import numpy as np
import pytest

from kmon_analysis.backtest.phases import phase_of
from kmon_analysis.backtest.run import backtest
from kmon_analysis.backtest.settings import Settings
from kmon_analysis.backtest.spread import sweep_phases
from kmon_analysis.errors import SettingError
from kmon_analysis.history import History, Provenance
from kmon_analysis.labels import Labels
from kmon_analysis.rules.phases import group_offset_ns
from kmon_analysis.rules.reader import parse_rules
from kmon_analysis.series import Samples, SeriesSet
from kmon_analysis.sources.served import ServedGroup, to_json
from kmon_analysis.timing import MINUTE_MS

RULES = """
groups:
- name: slow
  interval: 1m
  rules:
  - {record: "lag:max", expr: max by (topic) (lag)}
  - {alert: Lag, expr: "lag:max > 100"}
- name: fast
  interval: 15s
  rules:
  - {alert: Recorded, expr: "lag:max > 100"}
"""
START = 1_800_000_000_000 // MINUTE_MS * MINUTE_MS


def history(extra=None):
    """One sample every 5 s; above 100 for 20 s of every tenth minute, from its 30th second on."""
    times = START + np.arange(0, 120 * MINUTE_MS, 5000, dtype=np.int64)
    second = (times - START) // 1000 % 600
    values = np.where((second >= 30) & (second < 50), 500.0, 10.0)
    series = SeriesSet.from_samples([Samples(Labels({"__name__": "lag", "topic": "a"}), times, values)])
    return History(
        series, Provenance("test", START, START + 120 * MINUTE_MS, extra=extra or {}, server_version="3.16.0")
    )


def pages(settings=None, extra=None):
    result = backtest(parse_rules(RULES), history(extra), settings=settings)
    return {name: len(score.pages) for name, score in result.scores.items()}, result


def test_the_phase_decides_what_is_seen():
    assert pages(Settings(phase_ms=0))[0] == {"Lag": 0, "Recorded": 0}
    assert pages(Settings(phase_ms=35_000))[0] == {"Lag": 12, "Recorded": 12}
    # Each group has its own interval: 65 s into a minute are 5 s, and 5 s into 15 s.
    _, result = pages(Settings(phase_ms=65_000))
    assert {name: phase.ms for name, phase in result.phases.items()} == {"slow": 5_000, "fast": 5_000}


def test_the_server_that_recorded_the_history_says_when():
    def served(name, interval_ms, rules):
        offset_ns = group_offset_ns("r.yml", name, interval_ms, "counted")
        slot_ms = START + offset_ns / 1e6
        return to_json(ServedGroup("r.yml", name, interval_ms, rules, slot_ms + 12.0))

    extra = {
        "rule_groups": [served("slow", 60_000, ("lag:max", "Lag")), served("fast", 15_000, ("Recorded",)), {"x": 1}]
    }
    _, result = pages(extra=extra)
    assert {name: phase.how for name, phase in result.phases.items()} == {"slow": "server", "fast": "server"}
    for name, interval_ms in (("slow", 60_000), ("fast", 15_000)):
        assert result.phases[name].ms == group_offset_ns("r.yml", name, interval_ms, "counted") // 10**6
        assert (
            int(result["Lag" if name == "slow" else "Recorded"].grid.times[0]) % interval_ms == result.phases[name].ms
        )
    _, by_path = pages(Settings(rule_path="r.yml"), extra)
    assert [phase.how for phase in by_path.phases.values()] == ["path", "path"]
    assert [phase.ms for phase in by_path.phases.values()] == [phase.ms for phase in result.phases.values()]
    assert "as the server evaluates it" in repr(result)


@pytest.mark.parametrize("change", [{"name": "other"}, {"interval_ms": 30_000}])
def test_another_group_says_nothing(change):
    group = parse_rules(RULES).groups[0]
    served = dataclasses.replace(ServedGroup("r.yml", "slow", 60_000, ("lag:max", "Lag")), **change)
    assert phase_of(group, 60_000, Settings(), [served], "3.16").how == "unknown"


def test_two_files_with_the_group_say_nothing_unless_the_rules_tell_them_apart():
    group = parse_rules(RULES).groups[0]
    one, two = ServedGroup("a.yml", "slow", 60_000, ("X",)), ServedGroup("b.yml", "slow", 60_000, ("lag:max", "Lag"))
    found = phase_of(group, 60_000, Settings(), [one, two], "3.16")
    assert (found.how, found.ms) == ("server", group_offset_ns("b.yml", "slow", 60_000, "counted") // 10**6)
    same = dataclasses.replace(one, rules=two.rules)
    assert phase_of(group, 60_000, Settings(), [same, two], "3.16").how == "unknown"


def test_a_sweep_tells_the_spread():
    counts, result = pages()
    assert counts == {"Lag": 0, "Recorded": 0}
    spread = sweep_phases(result, 4)
    assert spread.to_json("Lag")["pages"] == [0, 0, 12, 12]
    assert spread.to_json("Lag")["false_pages"] == [0, 0, 12, 12]
    assert "0–12" in repr(spread)
    assert {score.caught for score in spread.scores["Recorded"]} == {0}
    with pytest.raises(SettingError):
        sweep_phases(result, 1)
