import json
import subprocess
import sys

import pytest

from kmon_analysis.errors import SettingError
from kmon_analysis.health.limits import set_limits, tuned_limit_ms
from kmon_analysis.rules.reader import parse_rules
from tests.tools import REPOSITORY, require

TEXT = """\
# Ours.
kafka: [{bootstrap_servers: a}]
databases: {main: {url: 'sqlite:///x'}}
events:
- name: A           # the first
  max_age: "5m"     # guessed
- {max_age: 90s, name: "B"}
"""


def advice(**entry):
    return {"version": 1, "rules": [{"rule": "OutboxStalled", "verdict": "tuned", **entry}]}


def test_only_the_limits_change():
    text, changed = set_limits(TEXT, "i.yml", 310_000)
    assert text == TEXT.replace('"5m"', "5m10s").replace("90s", "5m10s")
    assert [(each.event, each.before, each.after) for each in changed] == [("A", "5m", "5m10s"), ("B", "90s", "5m10s")]


def test_one_event_can_be_chosen():
    text, _ = set_limits(TEXT, "i.yml", 1_500, "B")
    assert text == TEXT.replace("90s", "1s500ms")
    with pytest.raises(SettingError, match="no event 'C'"):
        set_limits(TEXT, "i.yml", 1_500, "C")


def test_a_shared_limit_is_refused():
    shared = TEXT.replace('"5m" ', "&age 5m").replace("90s", "*age")
    with pytest.raises(SettingError, match="anchor"):
        set_limits(shared, "i.yml", 1_500)


def test_the_limit_is_the_threshold_plus_for():
    assert tuned_limit_ms(advice(proposed={"threshold": 250.0, "for_s": 60.0}), "OutboxStalled") == 310_000
    with pytest.raises(SettingError, match="no rule 'X'"):
        tuned_limit_ms(advice(), "X")
    with pytest.raises(SettingError, match="not tuned"):
        tuned_limit_ms(advice(verdict="keep", proposed=None), "OutboxStalled")
    with pytest.raises(SettingError, match="threshold"):
        tuned_limit_ms(advice(proposed={"threshold": -1.0, "for_s": 0.0}), "OutboxStalled")


def kmon(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "kmon_analysis.cli", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_from_the_bundled_history_to_the_configuration(tmp_path):
    data = REPOSITORY / "data" / "outbox"
    config = tmp_path / "integrations.yml"
    config.write_text(TEXT)
    options = ["--rules", data / "rules.yml", "--incidents", data / "incidents.yml", "--max-delay", "15m"]
    tuned = kmon("tune", "--history", data / "history", *options, "-o", tmp_path / "tuned")
    assert tuned.returncode == 0, tuned.stderr
    (rule,) = json.loads((tmp_path / "tuned" / "advice.json").read_text())["rules"]
    assert rule["verdict"] == "tuned"
    assert rule["past"]["proposed"]["caught"] == rule["past"]["proposed"]["incidents"] == 8
    assert rule["past"]["proposed"]["false_pages"] < rule["past"]["current"]["false_pages"]
    limit = kmon("health", "limit", "--config", config, "--advice", tmp_path / "tuned" / "advice.json")
    assert limit.returncode == 0, limit.stderr
    assert "A: max_age 5m -> " in limit.stderr
    before, after = TEXT.splitlines(), config.read_text().splitlines()
    assert [place for place, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1]] == [5, 6]
    bad = kmon("health", "limit", "--config", config, "--advice", data / "incidents.yml")
    assert bad.returncode == 2
    assert "no advice" in bad.stderr


@pytest.mark.parametrize("program", ["promtool", "promtool3"])
def test_starter_rules(tmp_path, program):
    printed = kmon("health", "rules")
    assert printed.returncode == 0
    rules = tmp_path / "rules.yml"
    rules.write_text(printed.stdout)
    tests = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "30s",
        "tests": [
            {
                "interval": "30s",
                "input_series": [
                    {"series": 'outbox_oldest_pending_age_seconds{event="A"}', "values": "0+30x30"},
                    {"series": 'outbox_oldest_pending_age_seconds{event="B"}', "values": "5x30"},
                    {"series": 'outbox_pending_events{event="A"}', "values": "1x30"},
                    {"series": 'integration_up{integration="A"}', "values": "0x30"},
                    {"series": 'integration_up{integration="kafka"}', "values": "0x30"},
                    {"series": 'integration_up{integration="B"}', "values": "1x30"},
                ],
                "promql_expr_test": [
                    {
                        "expr": 'count by (alertname, event, integration) (ALERTS{alertstate="firing"})',
                        "eval_time": eval_time,
                        "exp_samples": [{"labels": labels, "value": 1} for labels in firing],
                    }
                    for eval_time, firing in (
                        ("6m", ['{alertname="OutboxUnknown", integration="kafka"}']),
                        (
                            "7m",
                            [
                                '{alertname="OutboxUnknown", integration="kafka"}',
                                '{alertname="OutboxStalled", event="A"}',
                            ],
                        ),
                    )
                ],
            }
        ],
    }
    (tmp_path / "tests.yml").write_text(json.dumps(tests))
    judged = subprocess.run(
        [require(program), "test", "rules", tmp_path / "tests.yml"], capture_output=True, text=True, check=False
    )
    assert judged.returncode == 0, judged.stdout + judged.stderr
    assert len(parse_rules(printed.stdout).alerts) == 2


def test_the_bundled_history_and_the_reference_are_current():
    for script in ("data/small_histories.py", "docs/health_reference.py"):
        done = subprocess.run([sys.executable, REPOSITORY / script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, (script, done.stderr)


def test_the_documented_configuration_can_be_used(tmp_path):
    from kmon_analysis.health.reader import parse_settings

    page = (REPOSITORY / "docs" / "health.md").read_text()
    block = next(part for part in page.split("```yaml\n")[1:] if part.startswith("# integrations.yml")).split("```")[0]
    (tmp_path / "password").write_text("x")
    text = block.replace("/run/secrets/db-password", "password")
    assert len(parse_settings(text, "i.yml", {"KAFKA_PASSWORD": "x"}, tmp_path).events) == 2
