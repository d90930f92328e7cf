"""`kmon starter` as people run it."""

from __future__ import annotations

import json

import pytest

from kmon_analysis.rules.reader import read_rules

FILES = {"rules.yml", "rules_test.yml", "recording.yml", "recording_test.yml", "alertmanager.yml"}


def test_the_files_are_written_and_promtool_has_judged_them(kmon, tmp_path):
    out = tmp_path / "alerts"
    arguments = ("starter", "-o", out, "--dialect", "jmx-example,kafka-exporter", "--guard", "alertmanager")
    found = kmon(*arguments, "--hours", "Mon-Fri 08:00-18:00", "--zone", "Europe/Berlin")
    assert found.status == 0, found.err
    assert {path.name for path in out.iterdir()} == FILES
    assert set(found.out.splitlines()) == {str(out / name) for name in FILES}
    assert found.err.count("their unit tests passed") == 2
    assert "hour()" not in (out / "rules.yml").read_text()
    assert 'location: "Europe/Berlin"' in (out / "alertmanager.yml").read_text()
    (out / "rules.yml").write_text("# mine\n")
    assert "is there already and differs" in kmon(*arguments).refused()
    assert (out / "rules.yml").read_text() == "# mine\n"


def test_without_promtool_it_says_so(kmon, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("KMON_PROMTOOL", raising=False)
    found = kmon("starter", "-o", tmp_path / "a", "--topics", "user.registered,orders", "--json")
    assert found.status == 0
    assert "Not verified" in found.err
    assert json.loads(found.out)["dialects"] == ["founding", "recorded"]
    rules = read_rules(tmp_path / "a" / "rules.yml")
    assert r'topic=~"user\\.registered|orders"' in rules.alert("LowMessageRate").text
    assert "hour() >= 8 < 20" in rules.alert("LowMessageRate").text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--dialect", "jmx"), "there is no dialect 'jmx'"),
        (("--dialect", "recorded", "--prometheus", "http://127.0.0.1:1"), "both --dialect and --prometheus"),
        (("--hours", "always"), "not traffic hours"),
        (("--zone", "Mars/Olympus"), "there is no time zone"),
        (("--guard", "cron"), "no such guard"),
        (("--topics", ","), "no topic is named"),
        (("--cluster-label", "a b"), "no label name"),
        (("--timeout", "1s"), "is about a server"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(kmon, tmp_path, arguments, said):
    assert said in kmon("starter", "-o", tmp_path / "out", *arguments).refused()
    assert not (tmp_path / "out").exists()


def test_a_server_that_is_down(kmon, tmp_path):
    said = kmon("starter", "-o", tmp_path / "out", "--prometheus", "http://127.0.0.1:1").refused(3)
    assert "127.0.0.1:1" in said
