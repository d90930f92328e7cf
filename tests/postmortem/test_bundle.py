"""A bundle gives the same numbers again, without its server, or says what differs."""

import hashlib
import json
import shutil
import socket
import sys

import numpy as np
import pytest

import kmon_analysis as km
from kmon_analysis.errors import InputError, OutputError
from kmon_analysis.history import History
from kmon_analysis.labels import Labels
from kmon_analysis.postmortem.bundle import check_files, read_manifest, sliced
from kmon_analysis.promql.evaluate import evaluate
from kmon_analysis.promql.parser import parse
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.rules.reader import parse_rules
from kmon_analysis.series import Samples, SeriesSet
from kmon_analysis.sources.evaluation import Evaluated
from kmon_analysis.sources.kept import Kept
from kmon_analysis.timing import EvaluationGrid
from kmon_analysis.workflow import backtest
from kmon_analysis.workflow_postmortem import rerun
from tests.postmortem.world import RULES, START, bumped, flat, history, incident, minute, replayed


def written(tmp_path, **how):
    held = history({"a": bumped((122, 140, 500.0), (300, 320, 400.0)), "b": flat()})
    listed = [incident(labels={"topic": "a"}, cause="the <disk> was full"), incident("INC-2", 300, 330)]
    made = km.postmortem(replayed(held, listed, **how), "INC-1", zone="Asia/Kathmandu", sooner=["2m", "1m"])
    made.write(tmp_path)
    return made, tmp_path / "bundle"


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a bundle asks nobody")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr("kmon_analysis.workflow_server.Evaluator", refuse)


def test_the_same_numbers_again_without_any_server(tmp_path, no_network):
    settings = km.Settings(group_by=("topic",), merge_gap_ms=60_000, phase_ms=7_000)
    _, folder = written(tmp_path, settings=settings)
    found = rerun(folder)
    assert found.same, found
    manifest = read_manifest(folder)
    assert manifest.settings == settings
    assert (manifest.incident, manifest.zone, manifest.sooner_ms) == ("INC-1", "Asia/Kathmandu", (60_000, 120_000))
    assert {"kmon_analysis", "python", "numpy", "pyarrow"} <= manifest.made_with.keys()
    assert (folder / "postmortem.json").read_bytes() == (tmp_path / "postmortem.json").read_bytes()


def test_writing_twice_gives_the_same_bytes(tmp_path):
    made, _ = written(tmp_path / "one")
    written(tmp_path / "two")
    made.write(tmp_path / "one")
    for name in ("postmortem.html", "postmortem.md", "postmortem.json", "bundle/manifest.json", "bundle/rules.yml"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == [
        ".kmon.json",
        "bundle",
        "postmortem.html",
        "postmortem.json",
        "postmortem.md",
    ]


@pytest.mark.parametrize("name", ["postmortem.md", "bundle/rules.yml", "bundle/notes.txt", "bundle/manifest.json"])
def test_what_somebody_edited_is_not_replaced(tmp_path, name):
    made, _ = written(tmp_path)
    path = tmp_path / name
    path.write_text((path.read_text() if path.exists() else "") + "\nmine")
    with pytest.raises(OutputError, match=r"was edited since|is not as it was written") as caught:
        made.write(tmp_path)
    assert "another folder" in caught.value.cure
    assert path.name in f"{caught.value.place} {caught.value.problem}"
    assert path.read_text().endswith("mine")


def test_an_interruption_leaves_nothing_half_written(tmp_path, monkeypatch):
    made, _ = written(tmp_path / "there")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules[check_files.__module__], "sliced", stop)
    for place in ("there", "new"):
        with pytest.raises(KeyboardInterrupt):
            made.write(tmp_path / place)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def changed(path, before, after):
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf-8")


def test_tampered_rules_are_named_with_what_they_change(tmp_path):
    _, folder = written(tmp_path)
    changed(folder / "rules.yml", "for: 5m", "for: 4m")
    found = rerun(folder)
    assert found.files == ("rules.yml: was changed (its sha256 differs)",)
    assert "rules[0].values.for_s: 300.0 in the bundle, 240.0 now" in found.differences
    assert not found.same
    # Whoever mends the checksum as well is found out by the numbers.
    manifest = folder / "manifest.json"
    content = json.loads(manifest.read_text())
    content["files"]["rules.yml"] = hashlib.sha256((folder / "rules.yml").read_bytes()).hexdigest()
    manifest.write_text(json.dumps(content))
    again = rerun(folder)
    assert again.files == ()
    assert again.differences == found.differences


def test_a_cut_history_is_named(tmp_path):
    _, folder = written(tmp_path)
    part = folder / "history" / "samples-0001.parquet"
    part.write_bytes(part.read_bytes()[:-100])
    found = rerun(folder)
    assert found.files == ("history/samples-0001.parquet: was changed (its sha256 differs)",)
    assert "is cut" in found.failure
    part.unlink()
    assert rerun(folder).files == ("history/samples-0001.parquet: is missing",)


def test_another_release_with_other_semantics_is_seen_in_the_numbers(tmp_path):
    line = bumped((118, 140, 500.0))
    line[121:128] = np.nan
    made = km.postmortem(replayed(history({"a": line}), [incident()]), "INC-1")
    made.write(tmp_path)
    folder = tmp_path / "bundle"
    # As if this release took another side on samples at the very edge of the lookback.
    manifest = folder / "manifest.json"
    changed(manifest, '"version": null', '"version": "3.5"')
    found = rerun(folder)
    assert any(each.startswith('semantics: "2.42" in the bundle, "3.5" now') for each in found.differences)
    assert any("offset_s" in each or "at:" in each for each in found.differences)


def test_what_is_no_bundle_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"manifest\.json: cannot be read"):
        rerun(tmp_path)
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(InputError, match="is not the manifest"):
        rerun(tmp_path)
    _, folder = written(tmp_path / "out")
    for before, after, said in [
        ('"version": 1,', '"version": 2,', "has version 2, this release reads 1"),
        ('"group_by"', '"group"', "lacks what a manifest has"),
    ]:
        copy = tmp_path / said[:5]
        shutil.copytree(folder, copy)
        changed(copy / "manifest.json", before, after)
        with pytest.raises(InputError, match=said):
            rerun(copy)


def test_a_bundle_reads_nothing_outside_itself(tmp_path):
    _, folder = written(tmp_path)
    (tmp_path / "secret").write_text("x")
    changed(folder / "manifest.json", '"rules.yml":', '"../secret": "0", "/etc/hostname": "0", "rules.yml":')
    (folder / "extra.txt").write_text("x")
    assert check_files(read_manifest(folder)) == (
        "../secret: does not lie in the bundle",
        "/etc/hostname: does not lie in the bundle",
        "extra.txt: is not listed",
    )


def test_only_what_the_rules_read_is_taken_along_and_what_shows_that_the_server_was_up(tmp_path):
    line = bumped((122, 140, 500.0))
    line[400:450] = np.nan
    held = history({"a": line})
    times = START + np.arange(600, dtype=np.int64) * 60_000
    others = [
        Samples(Labels({"__name__": "up", "job": "kafka"}), times, np.ones(600)),
        Samples(Labels({"__name__": "unread"}), times[:100], np.ones(100)),
    ]
    whole = History(SeriesSet.from_samples([*held.series, *others]), held.provenance)
    result = replayed(whole, [incident()])
    kept = sliced(result)
    assert [labels["__name__"] for labels in kept.series.labels] == ["lag", "up"]
    assert kept.scrape_interval_ms == whole.scrape_interval_ms
    km.postmortem(result, "INC-1").write(tmp_path)
    assert rerun(tmp_path / "bundle").same
    assert [labels["__name__"] for labels in sliced(replayed(held, [incident()])).series.labels] == ["lag"]


def test_a_bundle_knows_where_recording_stopped_and_went_on(tmp_path, no_network):
    lag, other = flat(), flat()
    lag[135:200], other[138:195] = np.nan, np.nan
    held, more = history({"a": lag}), history({"a": other}, name="up")
    result = replayed(History(SeriesSet.from_samples([*held.series, *more.series]), held.provenance), [incident()])
    made = km.postmortem(result, "INC-1")
    assert [(gap.start_ms, gap.end_ms) for gap in made.unrecorded] == [(minute(138), minute(150))]
    made.write(tmp_path)
    assert rerun(tmp_path / "bundle").same


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    made, _ = written(tmp_path / "ok")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file"):
        made.write(tmp_path / "file")
    (tmp_path / "taken" / "bundle").mkdir(parents=True)
    (tmp_path / "taken" / "bundle" / "mine.txt").write_text("")
    with pytest.raises(OutputError, match="is there and no bundle"):
        made.write(tmp_path / "taken")
    assert (tmp_path / "taken" / "bundle" / "mine.txt").exists()
    assert made.write(tmp_path / "slim", bundle=False).paths[-1].name == "postmortem.json"
    assert not (tmp_path / "slim" / "bundle").exists()


def test_a_rule_that_a_server_evaluated_is_bundled_with_the_answer(tmp_path, no_network):
    text = "histogram_fraction(0, 1, lag) > 100"
    rules = parse_rules(RULES.replace("lag > 100", text))
    history({"a": bumped((122, 140, 500.0))}).save(tmp_path / "held")
    held = km.open_history(tmp_path / "held")
    grid = EvaluationGrid(START, minute(600), 60_000)
    values = evaluate(parse("lag"), held.series, grid.times, Semantics.of("2.42"))
    for asked in ("histogram_fraction(0, 1, lag)", text):
        Kept.beside(held).store(Evaluated(asked, values, "prometheus:9090", "2.42.0", (), 600), grid, 0)
    result = backtest(rules, held, km.Incidents((incident(),)))
    assert dict(result.evaluated_by) == {"HighLag": "the server prometheus:9090 (2.42.0)"}
    made = km.postmortem(result, "INC-1")
    assert made["HighLag"].status == "paged"
    assert "evaluated by" in [limit.code for limit in made.limits]
    made.write(tmp_path / "out")
    assert rerun(tmp_path / "out" / "bundle").same
    shutil.rmtree(tmp_path / "held" / "evaluated")
    with pytest.raises(OutputError, match="its answers are not on disk"):
        made.write(tmp_path / "again")
