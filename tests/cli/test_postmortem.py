"""The verb on a small service: what it writes, what it refuses, and how it checks a bundle."""

import json

import pytest

from tests.cli.conftest import tree


def test_files_and_words(kmon, world, tmp_path):
    done = kmon("postmortem", "INC-2", *world.usual, "-o", tmp_path / "out", "--zone", "America/St_Johns")
    assert done.status == 0, done.err
    assert done.out.splitlines()[0].startswith("INC-2: 2026-01-")
    assert "HighConsumerLag  paged at +5 min" in done.out
    assert "written: " in done.err
    found = {str(path) for path in tree(tmp_path / "out")}
    assert {"postmortem.html", "postmortem.md", "postmortem.json", "bundle/manifest.json", "bundle/history"} <= found
    content = json.loads((tmp_path / "out" / "postmortem.json").read_text())
    assert content["version"] == 1
    assert content["incident"]["id"] == "INC-2"
    assert content["rules"][0]["first_firing"]["offset_s"] == 300
    again = kmon("postmortem", "--bundle", tmp_path / "out" / "bundle")
    assert (again.status, again.err) == (0, "")
    assert again.out == "INC-2: the same numbers again, from 5 unchanged files\n"
    listed = kmon(
        "postmortem", "INC-2", *world.usual, "-o", tmp_path / "out", "--json", "--no-bundle", "--sooner", "2m"
    )
    [rung] = json.loads(listed.out)["rules"][0]["sooner"]
    assert rung["sooner_s"] == 120


def test_a_changed_bundle_is_a_finding(kmon, world, tmp_path):
    kmon("postmortem", "INC-2", *world.usual, "-o", tmp_path)
    rules = tmp_path / "bundle" / "rules.yml"
    rules.write_text(rules.read_text().replace("for: 5m", "for: 7m"))
    found = kmon("postmortem", "--bundle", tmp_path / "bundle")
    assert found.status == 1
    assert "INC-2: not the same\n  file rules.yml: was changed (its sha256 differs)\n" in found.out
    assert "rules[0].values.for_s: 300.0 in the bundle, 420.0 now" in found.out
    as_json = kmon("postmortem", "--bundle", tmp_path / "bundle", "--json")
    assert (as_json.status, json.loads(as_json.out)["same"]) == (1, False)


OUTSIDE = "incidents:\n  - {id: INC-2, start: '2027-01-01T00:00:00Z', end: '2027-01-01T01:00:00Z'}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("INC-22",), ["incidents.yml: has no incident 'INC-22'", "Did you mean 'INC-2'"]),
        (("zzz",), ["has no incident 'zzz'", "Known are 'INC-1', 'INC-2'"]),
        ((), ["INCIDENT: is missing", "or --bundle DIR"]),
        (("INC-2", "--zone", "Mars"), ["--zone: there is no time zone 'Mars'"]),
        (("INC-2", "--sooner", "soon"), ["--sooner: not a duration: 'soon'"]),
        (("INC-2", "--bundle", "x"), ["--bundle: is about a bundle that is there"]),
    ],
)
def test_what_is_refused(kmon, world, tmp_path, arguments, words):
    said = kmon("postmortem", *arguments, *world.usual, "-o", tmp_path / "new").refused()
    for word in words:
        assert word in said
    assert not (tmp_path / "new").exists()


def test_missing_options_and_places(kmon, world, tmp_path):
    assert "--rules: is missing" in kmon("postmortem", "INC-2", "--history", world.history).refused()
    assert (
        "neither --history"
        in kmon("postmortem", "INC-2", "--rules", world.rules, "--incidents", world.incidents).refused()
    )
    assert "manifest.json: cannot be read" in kmon("postmortem", "--bundle", tmp_path / "nowhere").refused()
    (tmp_path / "file").write_text("")
    assert "is a file, not a folder" in kmon("postmortem", "INC-2", *world.usual, "-o", tmp_path / "file").refused()
    (tmp_path / "taken" / "bundle").mkdir(parents=True)
    said = kmon("postmortem", "INC-2", *world.usual, "-o", tmp_path / "taken").refused()
    assert "bundle: is there and no bundle" in said
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["bundle"]


def test_an_incident_outside_the_history_is_refused_with_what_there_is(kmon, world, tmp_path):
    listed = tmp_path / "incidents.yml"
    listed.write_text(OUTSIDE + world.incidents.read_text().partition("\n")[2].replace("INC-2", "INC-20"))
    usual = ("--history", world.history, "--rules", world.rules, "--incidents", listed, "-o", tmp_path / "out")
    said = kmon("postmortem", "INC-2", *usual).refused()
    assert "incident 'INC-2' starts after the history, which spans 2026-01-05T00:00:00Z to" in said
    fine = kmon("postmortem", "INC-3", *usual, "--no-bundle")
    assert fine.status == 0
    assert "note: 1 of 7 incidents lies outside the history and does not count" in fine.err
