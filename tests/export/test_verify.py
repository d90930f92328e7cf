"""Asking promtool, and saying so when there is none."""

from __future__ import annotations

import pytest

from kmon_analysis.errors import SettingError
from kmon_analysis.export.verify import find_promtool, promtool_version, verify_files
from tests.tools import require

RULES = "groups: [{name: g, rules: [{alert: A, expr: up == 0, for: 1m}]}]\n"
TESTS = """rule_files: [r.yml]
evaluation_interval: 1m
tests:
- interval: 1m
  input_series: [{series: up, values: '0x5'}]
  alert_rule_test:
  - {eval_time: 1m, alertname: A, exp_alerts: [{exp_labels: {}}]}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "r.yml").write_text(RULES)
    (tmp_path / "t.yml").write_text(TESTS)
    return tmp_path


def test_good_files_pass(folder):
    require("promtool")
    found = verify_files(folder / "r.yml", folder / "t.yml")
    assert (found.check.outcome, found.test.outcome, found.ok) == ("ok", "ok", True)
    assert found.version == promtool_version(find_promtool())
    assert found.sentence == f"promtool {found.version} accepts the rules; their unit tests passed."


def test_failures_carry_promtools_words(folder):
    require("promtool")
    (folder / "t.yml").write_text(TESTS.replace("eval_time: 1m", "eval_time: 0m"))
    found = verify_files(folder / "r.yml", folder / "t.yml")
    assert (found.check.outcome, found.test.outcome, found.ok) == ("ok", "failed", False)
    assert "exp:" in found.test.output
    (folder / "r.yml").write_text("groups: [{name: g, rulez: []}]")
    found = verify_files(folder / "r.yml")
    assert (found.check.outcome, found.test.outcome, found.ok) == ("failed", "skipped", False)
    assert "REFUSES" in found.sentence


def test_a_file_that_does_not_exist_is_named_so(folder):
    require("promtool")
    found = verify_files(folder / "never.yml", folder / "t.yml")
    assert (found.ok, found.sentence) == (False, "Not verified: there is no file never.yml.")


def test_tests_of_other_rules_are_refused(folder):
    require("promtool")
    (folder / "deep").mkdir()
    (folder / "other.yml").write_text(RULES)
    wrong = {"[other.yml]": "'other.yml'", "[none.yml, 'o*.yml']": "'none.yml', 'o*.yml'", "[]": "no rule file"}
    for named, words in wrong.items():
        (folder / "t.yml").write_text(TESTS.replace("[r.yml]", named))
        with pytest.raises(SettingError) as caught:
            verify_files(folder / "r.yml", folder / "t.yml")
        assert caught.value.place == f"{folder / 't.yml'}: rule_files"
        assert caught.value.problem == f"tests {words}, not {folder / 'r.yml'}"
    for named in ("[other.yml, r.yml]", "['*.yml']", "[deep/../r.yml]", f"['{folder / 'r.yml'}']"):
        (folder / "t.yml").write_text(TESTS.replace("[r.yml]", named))
        assert verify_files(folder / "r.yml", folder / "t.yml").check.outcome == "ok"
    (folder / "t.yml").write_text("rule_files: [")
    assert verify_files(folder / "r.yml", folder / "t.yml").test.outcome == "failed"


def test_a_folder_called_like_a_pattern_and_a_hidden_file_are_found(folder):
    require("promtool")
    place = folder / "tuned[1] *"
    place.mkdir()
    for name, named in (("r.yml", "[r.yml]"), (".r.yml", "['*.yml']")):
        (place / name).write_text(RULES)
        (place / "t.yaml").write_text(TESTS.replace("[r.yml]", named))
        assert verify_files(place / name, place / "t.yaml").test.outcome == "ok"
        (place / name).unlink()


@pytest.mark.parametrize("name", ["-x.yml", "with blank; touch pwned.yml", "$(touch pwned).yml"])
def test_odd_names_are_only_names(folder, name):
    require("promtool")
    (folder / "r.yml").rename(folder / name)
    assert verify_files(folder / name).check.outcome == "ok"
    assert [path.name for path in folder.iterdir() if "pwned" in path.name and path.name != name] == []


def test_without_promtool_it_says_so(folder, monkeypatch):
    monkeypatch.delenv("KMON_PROMTOOL", raising=False)
    monkeypatch.setenv("PATH", str(folder))
    found = verify_files(folder / "r.yml", folder / "t.yml")
    assert (found.version, found.check.outcome, found.test.outcome, found.ok) == (None, "absent", "absent", True)
    assert "Not verified" in found.sentence
    monkeypatch.setenv("KMON_PROMTOOL", str(folder / "nothing"))
    with pytest.raises(SettingError, match="not a file"):
        verify_files(folder / "r.yml")


def test_a_promtool_that_hangs_or_is_none(folder, monkeypatch):
    tool = folder / "slow"
    tool.write_text("#!/bin/sh\nexec sleep 5\n")
    monkeypatch.setenv("KMON_PROMTOOL", str(tool))
    assert "cannot be started" in verify_files(folder / "r.yml").check.output
    tool.chmod(0o755)
    monkeypatch.setattr("kmon_analysis.export.verify.promtool_version", lambda _: "unknown")
    assert "within 0.2 s" in verify_files(folder / "r.yml", timeout_s=0.2).check.output


def test_kubernetes_documents_are_shown_in_plain_form(folder):
    require("promtool")
    rules = RULES.replace("rules:", "partial_response_strategy: warn, rules:")
    body = "\n".join("  " + line for line in rules.splitlines())
    (folder / "r.yml").write_text(f"kind: PrometheusRule\nspec:\n{body}\n---\nkind: Other\n")
    found = verify_files(folder / "r.yml", folder / "t.yml")
    assert (found.check.outcome, found.test.outcome) == ("ok", "ok"), found
    (folder / "r.yml").write_text("kind: PrometheusRule\nspec: 5\n")
    assert verify_files(folder / "r.yml").check.outcome == "failed"


def test_a_file_without_tests_is_not_called_passed(folder):
    require("promtool")
    (folder / "t.yml").write_text("rule_files: [r.yml]\nevaluation_interval: 1m\ntests: []\n")
    found = verify_files(folder / "r.yml", folder / "t.yml")
    assert (found.check.outcome, found.test.outcome, found.ok) == ("ok", "empty", True)
    assert found.sentence.endswith("accepts the rules; no unit test was run, since the file of tests holds none.")
