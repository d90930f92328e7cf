"""``kmon verify --prometheus`` at the command line."""

import json

import pytest

from kmon_analysis import cli, cli_verify, workflow_verify
from kmon_analysis.backtest.evidence import Explained, Verdict
from kmon_analysis.backtest.timelines import Agreement, Difference
from kmon_analysis.backtest.validated import Cause
from kmon_analysis.labels import Labels
from kmon_analysis.promql.parser import parse
from kmon_analysis.rules.model import AlertingRule
from kmon_analysis.timing import Interval
from tests.prometheus_server import free_port
from tests.tools import require

RULES = """\
groups:
  - name: g
    rules:
      - {alert: Lag, expr: lag > 5}
"""


@pytest.fixture
def rules(tmp_path):
    path = tmp_path / "rules.yml"
    path.write_text(RULES, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--prometheus", "http://127.0.0.1:9"], "--rules"),
        (["--last", "6h"], "--last"),
        (["--rules", "x.yml"], "--rules"),
        (["--rule-path", "/etc/x.yml", "x.yml"], "--rule-path"),
        (["x.yml", "--prometheus", "http://127.0.0.1:9"], "--prometheus"),
        (["--prometheus", "http://127.0.0.1:9", "--rules", "nowhere.yml"], "nowhere.yml"),
        (["--prometheus", "http://127.0.0.1:9", "--rules", "x", "--last", "6h", "--start", "now"], "--last"),
        (["--prometheus", "http://127.0.0.1:9", "--rules", "x", "--last", "soon"], "--last"),
    ],
)
def test_bad_input_ends_with_2(arguments, said, capsys):
    assert cli.main(["verify", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_rules_that_are_no_yaml_are_bad_input_and_others_a_finding(rules, capsys):
    require("promtool")
    rules.write_text("groups:\n- name: [\n", encoding="utf-8")
    assert cli.main(["verify", str(rules)]) == 2
    said = capsys.readouterr().err
    assert f"{rules}:3:1: not valid YAML" in said
    rules.write_text(RULES + "      - {alert: B, expr: 'sum('}\n  - {name: g, rulez: []}\n", encoding="utf-8")
    assert cli.main(["verify", str(rules)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len([line for line in lines if "rulez" in line]) == 1, lines


def test_a_server_that_is_not_there_ends_with_3(rules, capsys):
    assert cli.main(["verify", "--prometheus", f"http://127.0.0.1:{free_port()}", "--rules", str(rules)]) == 3
    assert "127.0.0.1" in capsys.readouterr().err


def check(*explained):
    rule = AlertingRule("Lag\x1b[31m", parse("lag > 5"), "lag > 5", group="g")
    measured = Agreement(10, 9, (60_000, 50_000, 50_000), (0, 0, 0), (1, 1, 1))
    verdict = Verdict(rule, measured, measured, explained)
    return workflow_verify.RealityCheck("http://server", Interval(0, 600_000), "3.16", (), (verdict,), ())


ONE = Difference(Labels({"alertname": "Lag", "topic": "a\x1b[2J\nb"}), Interval(0, 10_000), "firing", "none")
PROVEN = Explained(ONE, (Cause("late sample", "a scrape \x1b[2J", True),), True)


@pytest.mark.parametrize(
    ("found", "status"),
    [
        (check(), 0),
        (check(PROVEN), 0),
        (check(PROVEN, Explained(ONE, (), False)), 1),
        (check(Explained(ONE, (Cause("restart", "", False),), True)), 1),
    ],
)
def test_the_status_says_whether_all_is_explained(found, status, rules, monkeypatch, capsys):
    monkeypatch.setattr(workflow_verify, "check_reality", lambda *_, **__: found)
    arguments = ["verify", "--prometheus", "http://127.0.0.1:9", "--rules", str(rules)]
    assert cli.main(arguments) == status
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "9 of 10" in shown
    assert "%" not in shown
    assert cli.main([*arguments, "--json"]) == status
    data = json.loads(capsys.readouterr().out)
    assert data["ok"] == (status == 0)
    assert len(data["rules"][0]["differences"]) == len(found.differences)


def test_the_list_is_bounded_and_puts_first_what_is_open():
    text = cli_verify.report(check(*[PROVEN] * 60, Explained(ONE, (), False)))
    listed = [line for line in text.splitlines() if line.startswith("Lag") and "recorded firing" in line]
    assert len(listed) == cli_verify.MOST_LISTED
    assert listed[0].endswith("unexplained")
    assert text.count("a scrape") == 1
    assert "21 more" in text
