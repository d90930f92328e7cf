"""Rules that we do not evaluate: asked of a real server, marked, kept, repeated without it."""

import json
from pathlib import Path

import numpy as np
import pytest

import kmon_analysis as km
from kmon_analysis.errors import RuleFileError, SourceUnreachable
from kmon_analysis.sources.kept import FOLDER
from kmon_analysis.timing import format_instant
from tests.cli.conftest import tree
from tests.prometheus_server import openmetrics, running_prometheus

START = 1_767_571_200_000
MINUTE = 60_000
HOURS = 60
END = START + HOURS * 60 * MINUTE
RANGE = ("--start", format_instant(START), "--end", format_instant(END))
# Native histograms are not evaluated here; of floats they are nothing, so that "or" changes nothing.
NOTHING = "histogram_count(kafka_consumer_lag_sum)"
RULES = """groups:
- name: kafka
  interval: 30s
  rules:
  - alert: Lag
    expr: (max_over_time(kafka_consumer_lag_sum[5m]){more}) > 1000
    for: 5m
    keep_firing_for: 3m
  - alert: Ordinary
    expr: kafka_consumer_lag_sum > 1000
"""


def samples():
    rng = np.random.default_rng(2)
    times = range(START - 60 * MINUTE, END, 30_000)
    lag = rng.integers(0, 900, len(times))
    for hour in (8, 20, 31, 45, 55):
        lag[(hour + 1) * 120 : (hour + 1) * 120 + 60] = rng.integers(4000, 9000, 60)
    return {'kafka_consumer_lag_sum{topic="a"}': [(ms, str(n)) for ms, n in zip(times, lag.tolist(), strict=True)]}


@pytest.fixture(scope="module", params=["prometheus", "prometheus3"])
def server(request):
    with running_prometheus(openmetrics(samples()), program=request.param) as running:
        yield running.url


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "rules.yml").write_text(RULES.format(more=f" or {NOTHING}"))
    (tmp_path / "plain.yml").write_text(RULES.format(more=""))
    incidents = "".join(
        f"- id: I{hour}\n  start: {format_instant(START + hour * 60 * MINUTE)}\n"
        f"  end: {format_instant(START + (hour * 60 + 30) * MINUTE)}\n"
        for hour in (8, 20, 31, 45, 55)
    )
    (tmp_path / "incidents.yml").write_text(f"incidents:\n{incidents}")
    return tmp_path


def by_rule(result):
    rows = {row.pop("rule"): row for row in json.loads(result.out)}
    return rows, {name: row.pop("evaluated_by") for name, row in rows.items()}


def test_a_rule_that_we_refuse_is_evaluated_by_the_server_and_marked(kmon, server, folder):
    asked = ("--prometheus", server, *RANGE, "--incidents", folder / "incidents.yml", "--store", folder / "h")
    found = kmon("backtest", "--rules", folder / "rules.yml", *asked, "--json")
    assert found.status == 0, found.err
    rows, by = by_rule(found)
    assert by["Ordinary"] == "kmon"
    assert by["Lag"].startswith(f"the server {server[7:]}")
    plain = kmon("backtest", "--rules", folder / "plain.yml", *asked[:-2], "--json")
    expected, nobody = by_rule(plain)
    assert set(nobody.values()) == {"kmon"}
    assert rows == expected
    assert rows["Lag"]["caught"] == 5
    text = kmon("backtest", "--rules", folder / "rules.yml", "--history", folder / "h")
    assert f"Lag: evaluated by the server {server[7:]}" in text.out
    assert "Ordinary: evaluated" not in text.out


def test_the_same_numbers_come_later_without_the_server(kmon, server, folder):
    tuned = ("--rules", folder / "rules.yml", "--incidents", folder / "incidents.yml", "--max-delay", "20m")
    online = kmon("tune", *tuned, "--prometheus", server, *RANGE, "--store", folder / "h", "-o", folder / "a")
    assert online.status == 0, online.err
    # The window as deployed, and those that were tried.
    assert len(list((folder / "h" / FOLDER).iterdir())) == 5
    offline = kmon("tune", *tuned, "--history", folder / "h", "-o", folder / "b")
    assert offline.status == 0, offline.err
    assert json.loads((folder / "a/advice.json").read_text()) == json.loads((folder / "b/advice.json").read_text())
    [lag, ordinary] = json.loads((folder / "a/advice.json").read_text())["rules"]
    assert lag["evaluated_by"].startswith("the server")
    assert any(f"evaluated by the server {server[7:]}" in reason for reason in lag["reasons"])
    assert ordinary["evaluated_by"] == "kmon"
    assert "evaluated by the server" in (folder / "a/report.html").read_text()


def test_windows_that_nobody_knows_are_not_tried_and_that_is_said(kmon, server, folder):
    fetched = ("--prometheus", server, *RANGE, "--store", folder / "h")
    assert kmon("backtest", "--rules", folder / "rules.yml", *fetched).status == 0
    tuned = kmon(
        *("tune", "--rules", folder / "rules.yml", "--incidents", folder / "incidents.yml", "--max-delay", "20m"),
        *("--history", folder / "h", "-o", folder / "a"),
    )
    assert tuned.status == 0, tuned.err
    lag = json.loads((folder / "a/advice.json").read_text())["rules"][0]
    assert "Other windows were not tried: nothing of them is kept, and no server was given." in lag["reasons"]
    assert lag["current"]["window_s"] == (lag["proposed"] or lag["current"])["window_s"]


def test_a_history_and_a_server_beside_it(kmon, server, folder):
    rules = ("--rules", folder / "rules.yml")
    assert kmon("fetch", *rules, "--prometheus", server, *RANGE, "-o", folder / "h").status == 0
    alone = kmon("backtest", *rules, "--history", folder / "h")
    assert alone.status == 0
    assert "Lag is not evaluated: the function 'histogram_count' is not evaluated here" in alone.err
    assert "--evaluate-on URL" in alone.err
    beside = kmon("backtest", *rules, "--history", folder / "h", "--evaluate-on", server, "--timeout", "20s", "--json")
    assert beside.status == 0
    assert by_rule(beside)[1]["Lag"].startswith("the server")
    again = kmon("backtest", *rules, "--history", folder / "h", "--json")
    assert again.out == beside.out


def test_what_the_server_refuses_is_refused_by_name_and_the_others_go_on(kmon, server, folder):
    text = (folder / "rules.yml").read_text().replace(NOTHING, "mad_over_time(kafka_consumer_lag_sum[5m])")
    (folder / "rules.yml").write_text(text)
    found = kmon("backtest", "--rules", folder / "rules.yml", "--prometheus", server, *RANGE, "--json")
    assert found.status == 0, found.err
    rows, _ = by_rule(found)
    assert list(rows) == ["Ordinary"]
    assert "Lag is not evaluated: the server" in found.err
    assert "does not take this expression" in found.err


def test_a_server_that_is_down(kmon, server, folder):
    rules = ("--rules", folder / "rules.yml")
    assert kmon("fetch", *rules, "--prometheus", server, *RANGE, "-o", folder / "h").status == 0
    before = tree(folder)
    found = kmon("backtest", *rules, "--history", folder / "h", "--evaluate-on", "http://127.0.0.1:9")
    assert "127.0.0.1:9" in found.refused(3)
    assert tree(folder) == before


@pytest.mark.parametrize("url", ["nonsense", "http://x?query=1", "ftp://x"])
def test_an_address_that_is_none(kmon, world, url):
    said = kmon("backtest", *world.usual, "--evaluate-on", url).refused(2)
    assert "--evaluate-on" in said


def test_from_python(server, folder):
    rules = km.read_rules(folder / "rules.yml")
    history = km.fetch(server, rules, start=RANGE[1], end=RANGE[3])
    result = km.backtest(rules, history, server=server)
    assert list(result.evaluated_by) == ["Lag"]
    assert result.to_frame().loc["Lag", "evaluated_by"] == result.evaluated_by["Lag"]
    assert "evaluated by the server" in repr(result)
    assert "evaluated by the server" in result._repr_html_()
    plain = km.backtest(km.read_rules(folder / "plain.yml"), history)
    assert result["Lag"].episodes() == plain["Lag"].episodes()
    for window_ms in (2 * MINUTE, 30 * MINUTE):
        assert result["Lag"].episodes(3000, window_ms=window_ms) == plain["Lag"].episodes(3000, window_ms=window_ms)
    assert km.backtest(rules, history).refused.keys() == {"Lag"}, "a history in memory keeps nothing"


def test_recorded_series_from_the_server_feed_the_alerts_here(server, folder):
    text = RULES.format(more="").replace(
        "  - alert: Ordinary\n    expr: kafka_consumer_lag_sum", "  - alert: Ordinary\n    expr: lag:max"
    )
    record = (
        "  - record: lag:max\n    expr: max_over_time(kafka_consumer_lag_sum[5m]) or histogram_count(x)\n  - alert: Lag"
    )
    (folder / "rules.yml").write_text(text.replace("  - alert: Lag", record))
    (folder / "plain.yml").write_text(text.replace("  - alert: Lag", record.replace(" or histogram_count(x)", "")))
    rules = km.read_rules(folder / "rules.yml")
    history = km.fetch(server, rules, start=RANGE[1], end=RANGE[3])
    result = km.backtest(rules, history, server=server)
    plain = km.backtest(km.read_rules(folder / "plain.yml"), history)
    assert "lag:max" in result.evaluated_by
    assert "Lag" not in result.evaluated_by
    assert result["Ordinary"].episodes() == plain["Ordinary"].episodes()
    assert len(result["Ordinary"].episodes()) == 5


def test_a_history_that_cannot_be_written_stops_nothing(server, folder):
    rules = km.read_rules(folder / "rules.yml")
    km.fetch(server, rules, start=RANGE[1], end=RANGE[3], directory=folder / "h")
    (folder / "h" / FOLDER).write_text("in the way")
    result = km.backtest(rules, km.open_history(folder / "h"), server=server)
    assert "Lag" in result.results
    assert any("not kept" in note for note in result.notes)


def test_nothing_else_is_touched_by_a_dead_server_midway(server, folder):
    """What was answered before is kept; the rest is cleanly absent."""
    rules = km.read_rules(folder / "rules.yml")
    history = km.fetch(server, rules, start=RANGE[1], end=RANGE[3], directory=folder / "h")
    result = km.backtest(rules, history, server=server)
    kept = tree(Path(folder / "h"))
    for replay in (result["Lag"],):
        replay.outside._evaluator._client.url = "http://127.0.0.1:9"
        with pytest.raises(SourceUnreachable):
            replay.signal(7 * MINUTE)
    assert tree(Path(folder / "h")) == kept


def test_refusing_everything_names_every_rule(folder, server):
    only = "groups: [{name: g, rules: [{alert: A, expr: histogram_count(x) > 1}]}]\n"
    (folder / "only.yml").write_text(only)
    history = km.fetch(server, km.read_rules(folder / "plain.yml"), start=RANGE[1], end=RANGE[3])
    with pytest.raises(RuleFileError, match="--evaluate-on URL"):
        km.backtest(km.read_rules(folder / "only.yml"), history)
