"""What the verbs find and write, by value."""

import difflib
import json
import re
import shutil

import pytest

from kmon_analysis.export import verify
from kmon_analysis.incidents import read_incidents
from kmon_analysis.rules.reader import read_rules
from tests.cli.conftest import DAYS, on_a_terminal, spawned, tree
from tests.tools import REPOSITORY, require

FILES = {"rules.yml", "rules_test.yml", "advice.json", "report.html"}
WRITTEN = FILES | {".kmon.json"}


@pytest.fixture(scope="session")
def tuned(world, tmp_path_factory):
    """The world, tuned by a real process; `found` is what it said."""
    require("promtool")
    out = tmp_path_factory.mktemp("tuned") / "deep" / "out"
    return out, spawned("tune", *world.usual, "--max-delay", "30m", "-o", out)


# ---- backtest -----------------------------------------------------------------------------------


def test_backtest_prints_one_row_a_rule(kmon, world):
    found = kmon("backtest", *world.usual)
    assert found.status == 0
    assert found.err.startswith("note: groups are taken to be evaluated at their full intervals")
    assert len(found.err.splitlines()) == 1
    header, row, release = found.out.splitlines()
    assert release.startswith("the history names no Prometheus release")
    assert re.split(r"\s{2,}", header)[:3] == ["rule", "incidents caught", "false pages"]
    assert re.split(r"\s{2,}", row)[:2] == ["HighConsumerLag", "6 of 6"]
    [data] = json.loads(kmon("backtest", *world.usual, "--json").out)
    assert (data["rule"], data["incidents"], data["caught"], data["true_pages"]) == ("HighConsumerLag", 6, 6, 6)
    assert data["false_pages"] == int(re.split(r"\s{2,}", row)[2])
    assert data["pages"] == data["true_pages"] + data["false_pages"] + data["duplicate_pages"]
    # The peaks are at their full height from the labelled start on: for: 5m is the delay.
    assert data["delay_worst_s"] == 300


def test_backtest_without_incidents_counts_pages(kmon, world):
    found = kmon("backtest", *world.usual[:4])
    assert found.status == 0
    assert "no incidents" in found.out
    [data] = json.loads(kmon("backtest", *world.usual[:4], "--json").out)
    assert data["incidents"] == 0
    assert data["delay_worst_s"] is None
    assert data["false_pages"] == data["pages"] > 6


def test_phases_are_given_and_swept(kmon, world):
    swept = kmon("backtest", *world.usual, "--phases", "4", "--json")
    assert swept.status == 0
    [data] = json.loads(swept.out)
    assert data["phases"]["count"] == 4
    assert data["phases"]["caught"] == [6] * 4
    assert data["phases"]["false_pages"][0] == data["false_pages"]
    table = kmon("backtest", *world.usual, "--phases", "2").out
    assert "at 2 phases" in table
    given = kmon("backtest", *world.usual, "--phase", "17s")
    assert given.err == ""
    assert "group kafka is evaluated 17 s after its full intervals (as given)" in given.out
    by_path = kmon("backtest", *world.usual, "--rule-path", "/etc/prometheus/rules.yml")
    assert "by the rule file's path" in by_path.out
    both = kmon("backtest", *world.usual, "--phase", "1s", "--rule-path", "r.yml")
    assert "--rule-path" in both.refused(2)
    assert "--phase" in kmon("backtest", *world.usual, "--phase", "soon").refused(2)


def test_what_is_credited_to_an_incident_can_be_said(kmon, world):
    [usual] = json.loads(kmon("backtest", *world.usual, "--json").out)
    [narrow] = json.loads(kmon("backtest", *world.usual, "--credit-before", "0s", "--credit-after", "0s", "--json").out)
    assert (narrow["caught"], narrow["false_pages"]) == (6, usual["false_pages"])
    assert narrow["weeks"] > usual["weeks"]
    wide = json.loads(kmon("backtest", *world.usual, "--credit-before", "70d", "--credit-after", "70d", "--json").out)
    assert wide[0]["false_pages"] == 0 < usual["false_pages"]
    assert "--credit-after" in kmon("backtest", *world.usual, "--credit-after", "later").refused(2)


def test_a_tuned_rule_is_proven_at_another_phase_too(kmon, undrawn, world, tmp_path):
    require("promtool")
    found = kmon("tune", *world.usual, "--max-delay", "30m", "--phase", "17s", "-o", tmp_path / "out")
    assert found.status == 0, found.err
    assert "their unit tests passed" in found.out + found.err


def test_settings_reach_the_replay(kmon, world):
    plain = json.loads(kmon("backtest", *world.usual, "--json").out)
    wide = json.loads(kmon("backtest", *world.usual, "--merge-gap", "2d", "--json").out)
    slow = json.loads(kmon("backtest", *world.usual, "--evaluation-interval", "15m", "--json").out)
    assert wide[0]["pages"] < plain[0]["pages"]
    assert slow[0]["delay_worst_s"] > plain[0]["delay_worst_s"]
    grouped = json.loads(kmon("backtest", *world.usual, "--group-by", "topic", "--semantics", "2.42", "--json").out)
    labels = [[page.pop("labels") for page in rows[0]["page_list"]] for rows in (grouped, plain)]
    assert {*map(len, labels[0])} == {1} != {*map(len, labels[1])}
    assert grouped == plain


def test_pages_and_outcomes_are_listed(kmon, world):
    [row] = json.loads(kmon("backtest", *world.usual, "--json").out)
    kinds = [page["kind"] for page in row["page_list"]]
    assert (len(kinds), kinds.count("false")) == (row["pages"], row["false_pages"])
    assert [outcome["status"] for outcome in row["outcomes"]] == ["caught"] * 6
    listed = kmon("backtest", *world.usual, "--pages").out
    assert all(page["start"] in listed for page in row["page_list"])
    assert all(outcome["first_firing"] in listed for outcome in row["outcomes"])


# ---- tune ---------------------------------------------------------------------------------------


def test_an_alert_to_tune_that_is_not_there(kmon, world, tmp_path):
    found = kmon("tune", *world.usual, "--max-delay", "30m", "--rule", "HighConsumerLg", "-o", tmp_path / "out")
    assert found.status == 2
    assert "--rule: " in found.err
    assert "Did you mean HighConsumerLag" in found.err
    assert not (tmp_path / "out").exists()


def test_tune_writes_its_four_files_and_says_so(tuned):
    out, found = tuned
    assert found.status == 0, found.err
    assert {path.name for path in out.iterdir()} == WRITTEN
    assert "promtool" in found.err
    assert "accepts the rules; their unit tests passed." in found.err
    for name in FILES:
        assert str(out / name) in found.err
    assert "HighConsumerLag" in found.out
    assert "tuned: > " in found.out
    assert not any(line.endswith(" ") for line in found.out.splitlines())


SETTING = {"threshold", "window_s", "for_s", "hours"}
SCORE = {"incidents", "caught", "false_pages", "weeks", "delay_s"}


def check_schema(data):
    assert data.keys() == {"version", "rules"}
    assert data["version"] == 1
    for rule in data["rules"]:
        assert rule.keys() == {
            "rule", "verdict", "headline", "evaluated_by", "by_hand", "group_by", "reasons", "current", "proposed",
            "candidate", "enough", "past", "heldout", "next_4_weeks",
        }  # fmt: skip
        assert rule["verdict"] in ("tuned", "keep", "refused")
        assert all(isinstance(reason, str) and reason for reason in rule["reasons"])
        assert rule["current"].keys() == SETTING
        assert (rule["proposed"] is not None) == (rule["verdict"] == "tuned")
        assert rule["past"].keys() == {"current", "proposed", "candidate"}
        for score in filter(None, rule["past"].values()):
            assert score.keys() == SCORE
            assert score["delay_s"].keys() == {"median", "worst"}
        if rule["proposed"]:
            assert rule["proposed"].keys() == SETTING
            assert rule["past"]["proposed"] is not None
        assert (rule["candidate"] is None) == (rule["past"]["candidate"] is None)
        assert rule["enough"].keys() == {"longer_delay", "more_false_pages"}
        for way in filter(None, rule["enough"].values()):
            assert way.keys() == {"max_delay_s", "false_pages_per_week", "values", "past"}
            assert (way["values"].keys(), way["past"].keys()) == (SETTING, SCORE)
        if rule["next_4_weeks"]:
            assert rule["next_4_weeks"].keys() == {"low", "high"}
            assert rule["next_4_weeks"]["low"] <= rule["next_4_weeks"]["high"]
        if rule["heldout"]:
            assert rule["heldout"].keys() == {"current", "proposed"}


def test_the_advice_has_the_promised_form(kmon, undrawn, world, tuned, tmp_path):
    out, _ = tuned
    data = json.loads((out / "advice.json").read_text())
    check_schema(data)
    [rule] = data["rules"]
    assert (rule["rule"], rule["verdict"]) == ("HighConsumerLag", "tuned")
    assert rule["current"] == {"threshold": 500, "window_s": None, "for_s": 300, "hours": None}
    assert rule["past"]["current"]["caught"] == rule["past"]["current"]["incidents"] == len(DAYS)
    assert rule["past"]["proposed"]["caught"] == len(DAYS)
    # Ordinary peaks reach 900, incidents 8,000.
    assert 900 <= rule["proposed"]["threshold"] < 8_000
    assert rule["past"]["proposed"]["false_pages"] == 0
    found = kmon("tune", *world.usual, "--max-delay", "30m", "-o", tmp_path / "out", "--json")
    assert json.loads(found.out) == data


def test_nothing_advised_is_said_and_a_folder_of_a_history_is_warned_of(kmon, undrawn, world, tmp_path):
    out = shutil.copytree(world.history, tmp_path / "history")
    rules = tmp_path / "rules.yml"
    rules.write_text(world.rules.read_text().replace("> 500", "> 2000"))
    arguments = ("--history", world.history, "--rules", rules, "--incidents", world.incidents, "--max-delay", "30m")
    found = kmon("tune", *arguments, "-o", out)
    assert found.status == 0
    assert f"warning: {out} is the folder of a history; the results will lie among its files" in found.err
    assert f"nothing was advised: {out / 'rules.yml'} is the deployed file, unchanged" in found.err
    assert (out / "rules.yml").read_text() == rules.read_text()


def test_what_was_advised_is_not_called_unchanged(tuned):
    _, found = tuned
    assert "nothing was advised" not in found.err
    assert "folder of a history" not in found.err


def changed_lines(before, after):
    return [
        line
        for line in difflib.ndiff(before.splitlines(keepends=True), after.splitlines(keepends=True))
        if line[0] in "+-"
    ]


def test_the_rules_differ_in_tuned_values_and_a_comment_only(world, tuned):
    out, _ = tuned
    [rule] = json.loads((out / "advice.json").read_text())["rules"]
    changed = changed_lines(world.rules.read_text(), (out / "rules.yml").read_text())
    removed = [line[2:].strip() for line in changed if line[0] == "-"]
    added = [line[2:].strip() for line in changed if line[0] == "+"]
    threshold = f"{rule['proposed']['threshold']:g}"
    assert "expr: kafka_consumer_lag_sum > 500" in removed
    assert set(removed) <= {"expr: kafka_consumer_lag_sum > 500", "for: 5m"}
    values = [line for line in added if not line.startswith("#")]
    assert f"expr: kafka_consumer_lag_sum > {threshold}" in values
    assert len(values) == len(removed)
    comments = [line for line in added if line.startswith("#")]
    assert len(comments) == 1
    assert comments[0].startswith("# tuned by kmon_analysis: was > 500 for 5m; history ") or "500" in comments[0]
    alert = read_rules(out / "rules.yml").alert("HighConsumerLag")
    assert alert.for_ms == rule["proposed"]["for_s"] * 1_000
    assert dict(alert.labels) == {"severity": "page"}


def test_the_same_input_gives_the_same_bytes(world, tuned, tmp_path):
    out, first = tuned
    # Another hash seed, zone and locale: nothing of the machine may show.
    second = spawned(
        "tune", *world.usual, "--max-delay", "30m", "-o", tmp_path / "out",
        PYTHONHASHSEED="7", TZ="Asia/Tokyo", LC_ALL="C",
    )  # fmt: skip
    assert second.status == 0
    assert second.out == first.out
    assert tree(tmp_path / "out") == tree(out)


def test_a_second_run_replaces_what_nobody_edited(kmon, undrawn, world, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    tune = ("tune", *world.usual, "--max-delay", "30m", "-o", tmp_path)
    assert kmon(*tune).status == 0
    assert kmon(*tune).status == 0
    assert {path.name for path in tmp_path.iterdir()} == WRITTEN | {"notes.txt"}
    with (tmp_path / "rules.yml").open("a") as file:
        file.write("# mine\n")
    before = tree(tmp_path)
    said = kmon(*tune).refused()
    assert f"{tmp_path / 'rules.yml'}: is there, and was not written by kmon or was edited since" in said
    assert "Choose another folder" in said
    assert tree(tmp_path) == before


def test_a_foreign_file_is_not_replaced(kmon, world, tmp_path):
    (tmp_path / "advice.json").write_text("theirs")
    said = kmon("tune", *world.usual, "--max-delay", "30m", "-o", tmp_path).refused()
    assert "advice.json: is there, and was not written by kmon" in said
    assert {path.name for path in tmp_path.iterdir()} == {"advice.json"}


# ---- promtool -----------------------------------------------------------------------------------


def test_without_promtool_everything_is_written_and_the_lack_is_said(
    kmon, undrawn, world, tuned, tmp_path, monkeypatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("KMON_PROMTOOL", raising=False)
    found = kmon("tune", *world.usual, "--max-delay", "30m", "-o", tmp_path / "out")
    assert found.status == 0
    assert "Not verified: promtool was not found on PATH or at KMON_PROMTOOL." in found.err
    assert {path.name for path in (tmp_path / "out").iterdir()} == WRITTEN
    for name in ("rules.yml", "advice.json"):
        assert (tmp_path / "out" / name).read_bytes() == (tuned[0] / name).read_bytes()
    assert "promtool was not found" in (tmp_path / "out" / "report.html").read_text()
    said = kmon("verify", tmp_path / "out").refused()
    assert "nothing was verified: promtool was not found" in said
    assert "KMON_PROMTOOL" in said


def test_verify_passes_what_was_tuned(kmon, tuned):
    out, _ = tuned
    for arguments in ((out,), (out / "rules.yml", "--tests", out / "rules_test.yml")):
        found = kmon("verify", *arguments)
        assert (found.status, found.out) == (0, "")
        assert re.fullmatch(r"promtool \S+ accepts the rules; their unit tests passed.\n", found.err)
    found = kmon("verify", out, "--json")
    assert json.loads(found.out) == {
        "version": verify.promtool_version(require("promtool")), "check": "ok", "test": "ok", "ok": True,
    }  # fmt: skip
    assert "were not there to run" in kmon("verify", out / "rules.yml").err


def test_a_failed_verification_exits_1_with_promtools_words(kmon, tuned, tmp_path):
    out, _ = tuned
    for name in ("rules.yml", "rules_test.yml"):
        shutil.copy(out / name, tmp_path)
    text = (tmp_path / "rules.yml").read_text()
    (tmp_path / "rules.yml").write_text(re.sub(r"lag_sum > \d+", "lag_sum > 99999", text))
    found = kmon("verify", tmp_path)
    assert (found.status, found.out) == (1, "")
    assert "accepts the rules; their unit tests FAILED." in found.err
    assert "FAILED:" in found.err
    assert "alertname: HighConsumerLag" in found.err
    assert all(line.strip() for line in found.err.splitlines())
    (tmp_path / "rules.yml").write_text("groups: [{name: a, rules: [{alert: b, expr: 'sum('}]}]")
    found = kmon("verify", tmp_path / "rules.yml", "--json")
    assert found.status == 1
    assert json.loads(found.out)["check"] == "failed"
    assert "REFUSES the rules" in found.err
    assert "parse error" in found.err


def test_a_refusal_by_promtool_makes_tune_fail(kmon, undrawn, world, tmp_path, monkeypatch):
    stub = tmp_path / "promtool"
    stub.write_text("#!/bin/sh\necho 'promtool, version 9.9.9'\necho 'no \033[31mway'\ntest \"$1\" = --version\n")
    stub.chmod(0o755)
    monkeypatch.setenv("KMON_PROMTOOL", str(stub))
    found = kmon("tune", *world.usual, "--max-delay", "30m", "-o", tmp_path / "out")
    assert found.status == 1
    assert "promtool 9.9.9 REFUSES the rules; their unit tests FAILED." in found.err
    assert "no " in found.err
    assert "\x1b" not in found.err
    assert "REFUSES" in (tmp_path / "out" / "report.html").read_text()


def test_verify_of_missing_tests(kmon, tuned, tmp_path):
    out, _ = tuned
    said = kmon("verify", out / "rules.yml", "--tests", tmp_path / "none.yml").refused()
    assert "none.yml: there is no such file" in said
    assert "rules.yml: there is no such file" in kmon("verify", tmp_path).refused()


# ---- doctor -------------------------------------------------------------------------------------


def test_the_doctor_looks_at_a_history(kmon, world, tmp_path):
    found = kmon("doctor", "--history", world.history, "--rules", world.rules)
    assert found.status == 0
    assert "1 series, 60,480 samples" in found.out
    assert "kafka_consumer_lag_sum: 1 series" in found.out
    rules = tmp_path / "rules.yml"
    rules.write_text(world.rules.read_text().replace("kafka_consumer_lag_sum", 'kafka_lag{topic="a"}'))
    found = kmon("doctor", "--history", world.history, "--rules", rules)
    assert found.status == 1
    assert found.err == 'missing: kafka_lag{topic="a"}\n'
    recorded = "groups: [{name: g, rules: [{record: r, expr: kafka_consumer_lag_sum}, {alert: A, expr: r > 1}]}]"
    rules.write_text(recorded)
    found = kmon("doctor", "--history", world.history, "--rules", rules, "--json")
    assert found.status == 0
    assert json.loads(found.out)["needs"] == [{"selector": "kafka_consumer_lag_sum", "series": 1}]


# ---- demo ---------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def cache(request):
    """Simulated once for all runs on this machine; named after all that it is made from."""
    return request.config.cache.mkdir("kmon")


@pytest.fixture
def demo(kmon, cache, tmp_path, monkeypatch):
    def run(scenario):
        monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
        found = kmon("demo", "--scenario", scenario, "-o", tmp_path / "out")
        assert found.status == 0, found.err
        data = json.loads((tmp_path / "out" / "advice.json").read_text())
        check_schema(data)
        assert {path.name for path in (tmp_path / "out").iterdir()} == WRITTEN
        tests = (tmp_path / "out" / "rules_test.yml").read_text()
        assert ("no unit test was run" if "tests: []" in tests else "their unit tests passed") in found.err
        assert ("tests: []" in tests) == (scenario == "no-incidents")
        return found, {rule["rule"]: rule for rule in data["rules"]}

    return run


def page_text(folder):
    """Return the words of a report: no markup, no styles, no pictures' coordinates."""
    page = (folder / "report.html").read_text()
    page = re.sub(r"(?s)<(style|script).*?</\1>", " ", page)
    return re.sub(r"<[^>]*>", " ", page)


RECALL = re.compile(r"recall|\d+ of \d+ incidents|shows at least|chance to find", re.IGNORECASE)


def test_demo_without_incidents_refuses_and_prints_no_recall(demo, tmp_path):
    found, rules = demo("no-incidents")
    assert [rule["verdict"] for rule in rules.values()] == ["refused"] * 3
    assert rules["HighConsumerLag"]["headline"] == "No recommendation for detection"
    for rule in rules.values():
        assert rule["proposed"] is None
        assert rule["past"]["current"]["caught"] is None
        assert rule["past"]["current"]["incidents"] == 0
    assert "tuned:" not in found.out
    for text in (found.out, (tmp_path / "out" / "advice.json").read_text(), page_text(tmp_path / "out")):
        assert not RECALL.search(text), RECALL.search(text)
    # A rule file that changed nothing is the user's own.
    assert (tmp_path / "out" / "rules.yml").read_text() == (REPOSITORY / "data/user-service/rules.yml").read_text()


PERCENT = re.compile(r"\d\s?%|percent", re.IGNORECASE)


def test_demo_with_one_incident_prints_no_percentage(demo, tmp_path):
    found, rules = demo("one-incident")
    lag = rules["HighConsumerLag"]
    assert (lag["verdict"], lag["headline"]) == ("keep", "Consistent with one example")
    assert lag["proposed"] is None
    assert lag["past"]["current"]["caught"] == 1
    for text in (found.out, (tmp_path / "out" / "advice.json").read_text(), page_text(tmp_path / "out")):
        assert not PERCENT.search(text), PERCENT.search(text)


def test_demo_with_three_incidents(tmp_path):
    out = tmp_path / "out"
    # A process of its own, on a terminal, and simulated anew.
    status, shown, seen = on_a_terminal(
        "demo", "--scenario", "three-incidents", "-o", out, XDG_CACHE_HOME=str(tmp_path)
    )
    assert status == 0
    for stage in ("simulating the scenario", "tuning HighConsumerLag", "drawing the report"):
        assert stage in seen
    data = json.loads((out / "advice.json").read_text())
    check_schema(data)
    rules = {rule["rule"]: rule for rule in data["rules"]}
    lag = rules["HighConsumerLag"]
    assert lag["verdict"] == "tuned"
    assert lag["headline"].startswith("Tentative")
    assert lag["past"]["proposed"]["caught"] == lag["past"]["proposed"]["incidents"] == 3
    assert lag["past"]["proposed"]["false_pages"] <= 10 < 100 < lag["past"]["current"]["false_pages"]
    assert lag["past"]["proposed"]["delay_s"]["worst"] <= 1800
    assert "3 of 3" in shown


def test_demo_with_eight_incidents(demo, undrawn, tmp_path):
    _, rules = demo("eight-incidents")
    lag = rules["HighConsumerLag"]
    assert lag["verdict"] == "tuned"
    assert lag["past"]["proposed"]["caught"] == lag["past"]["proposed"]["incidents"] == 5
    assert lag["past"]["proposed"]["false_pages"] <= 10 < 100 < lag["past"]["current"]["false_pages"]
    assert rules["LowMessageRate"]["headline"] == "Consistent with two examples"
    assert rules["LowMessageRate"]["proposed"] is None
    changed = changed_lines(
        (REPOSITORY / "data/user-service/rules.yml").read_text(), (tmp_path / "out" / "rules.yml").read_text()
    )
    assert all("1000" in line or "for:" in line for line in changed if line[0] == "-")
    assert "LowMessageRate" not in "".join(changed)


def test_the_world_is_what_the_tests_think(world):
    assert len(read_incidents(world.incidents)) == len(DAYS)
