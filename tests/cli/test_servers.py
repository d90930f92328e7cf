"""Servers that are down, slow, broken or only half there, and a fetch that is interrupted."""

import json
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from kmon_analysis.history import History
from kmon_analysis.timing import MINUTE_MS, parse_instant
from tests.cli.conftest import Result, environment_of, on_a_terminal, spawned, tree
from tests.prometheus_server import openmetrics, running_prometheus
from tests.sources.fault_server import Reply, matrix, serving
from tests.tools import REPOSITORY

START, END = parse_instant("2026-01-05T00:00:00Z"), parse_instant("2026-03-02T00:00:00Z")
RANGE = ("--start", "2026-01-05T00:00:00Z", "--end", "2026-03-02T00:00:00Z")
SERIES = {"__name__": "kafka_consumer_lag_sum", "topic": "a"}
READING = re.compile(r"kafka_consumer_lag_sum\[(\d+)ms\]")


def well(method, path, form, headers):
    """Answer like a server that has one sample every ten minutes and no status pages."""
    if path != "/api/v1/query":
        return Reply(404, b"404 page not found")
    reading = READING.fullmatch(form["query"])
    if reading is None:
        return Reply(body=matrix([({}, [(START, "10")])]))
    end = parse_instant(form["time"]) + 1
    first = max(START, end - int(reading[1]))
    step = 10 * MINUTE_MS
    samples = [(ms, str(ms // step % 7)) for ms in range(-(-first // step) * step, min(end, END), step)]
    return Reply(body=matrix([(SERIES, samples)] if samples else []))


def reads(seen):
    return [form["query"] + form["time"] for _, _, form, _ in seen if READING.fullmatch(form.get("query", ""))]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    """Ask again soon; what is tested is that we ask again."""
    from kmon_analysis.sources import connection

    real = connection.Patience

    def hurried(**given):
        return real(**{"pause_s": 0.01, **given})

    monkeypatch.setattr(connection, "Patience", hurried)


def fetching(url, world, out, *more):
    return ("fetch", "--prometheus", url, "--rules", world.rules, *RANGE, "-o", out, *more)


def test_a_fetch_is_kept_and_says_where(kmon, world, tmp_path):
    with serving(well) as (url, _):
        found = kmon(*fetching(url, world, tmp_path / "h"))
    assert found.status == 0
    assert found.out == f"{tmp_path / 'h'}\n"
    assert "<History: 1 series, 8,064 samples" in found.err
    assert History.open(tmp_path / "h").series.sample_count == 8_064
    assert [path.name for path in tmp_path.iterdir()] == ["h"]


def test_a_server_that_is_down(kmon, world, tmp_path):
    server = ("--prometheus", "http://127.0.0.1:1")
    for arguments in (
        fetching(server[1], world, tmp_path / "h"),
        ("backtest", *server, "--rules", world.rules, "--last", "1d"),
        ("tune", *server, "--rules", world.rules, "--last", "1d", "--max-delay", "9m", "-o", tmp_path / "out"),
        ("doctor", *server),
    ):
        said = kmon(*arguments).refused(3)
        assert "http://127.0.0.1:1/api/v1/" in said
        assert "refused" in said
        assert "that the server runs" in said
    assert tree(tmp_path) == {}


def test_a_server_that_wakes_up_is_waited_for(kmon, world, tmp_path):
    left = [503, 503]

    def script(method, path, form, headers):
        if READING.fullmatch(form.get("query", "")) and left:
            return Reply(left.pop(), b"upstream sleeps")
        return well(method, path, form, headers)

    with serving(script) as (url, _):
        assert kmon(*fetching(url, world, tmp_path / "h")).status == 0
    assert not left
    assert History.open(tmp_path / "h").series.sample_count == 8_064


def test_a_server_that_hangs_is_given_up_in_the_time_asked(world, tmp_path):
    release = threading.Event()

    def script(*_):
        release.wait(60)
        return Reply()

    with serving(script) as (url, _):
        began = time.monotonic()
        said = spawned(*fetching(url, world, tmp_path / "h", "--timeout", "700ms")).refused(3)
        assert time.monotonic() - began < 20
        release.set()
    assert "no answer within 0.7 s" in said
    assert "allow it more time" in said
    assert tree(tmp_path) == {}


def test_a_cut_answer_is_refused_and_pieces_are_kept(kmon, world, tmp_path):
    def script(method, path, form, headers):
        reply = well(method, path, form, headers)
        if READING.fullmatch(form.get("query", "")) and form["time"] > "2026-02-20":
            time.sleep(0.3)
            return Reply(body=reply.body[:-20])
        return reply

    with serving(script) as (url, _):
        said = kmon(*fetching(url, world, tmp_path / "h")).refused(3)
    assert "cannot be read" in said
    assert "the same call goes on from there" in said
    assert [path.name for path in tmp_path.iterdir()] == [".h.fetch"]
    with serving(script) as (url, _):
        said = kmon("backtest", "--prometheus", url, "--rules", world.rules, *RANGE).refused(3)
    assert "cannot be read" in said


def test_a_warning_of_partial_data_goes_with_the_history_into_the_report(kmon, world, tmp_path):
    def script(method, path, form, headers):
        reply = well(method, path, form, headers)
        if READING.fullmatch(form.get("query", "")):
            return Reply(body={**json.loads(reply.body), "warnings": ["store-3 \x1b[31mis away <b>"]})
        return reply

    with serving(script) as (url, _):
        found = kmon(*fetching(url, world, tmp_path / "h"))
    assert (found.status, found.out) == (0, f"{tmp_path / 'h'}\n")
    assert "warning: store-3 \\x1b[31mis away <b>" in found.err
    assert "store-3" in (tmp_path / "h" / "manifest.json").read_text()
    usual = ("--history", tmp_path / "h", "--rules", world.rules)
    found = kmon("tune", *usual, "--max-delay", "9m", "-o", tmp_path / "out")
    assert found.status == 0
    assert "warning: the history says: store-3" in found.err
    report = (tmp_path / "out" / "report.html").read_text()
    assert "store-3" in report
    assert "is away &lt;b&gt;" in report


def test_credentials_are_never_shown(kmon, world, tmp_path):
    def refusing(method, path, form, headers):
        return Reply(401, b"who are you")

    with serving(refusing) as (url, _), serving(well) as (good, _):
        secret = url.replace("http://", "http://user:s3cr/et@")
        plain = url.replace("http://", "http://user:s3cret@")
        runs = [
            kmon(*fetching(plain, world, tmp_path / "a")),
            kmon(*fetching(secret, world, tmp_path / "a")),
            kmon("doctor", "--prometheus", plain),
            kmon("doctor", "--prometheus", plain, plain),
            kmon("backtest", plain, "--rules", world.rules),
            kmon("doctor", "--prometheus", "http://user:s3cret@127.0.0.1:1"),
            kmon("doctor", "--prometheus", "ftp://user:s3cret@127.0.0.1:1"),
            kmon("doctor", "--prometheus", "user:s3cret@127.0.0.1:1"),
            kmon(*fetching(good.replace("http://", "http://user:s3cret@"), world, tmp_path / "b")),
        ]
    assert [run.status for run in runs[:-1]] == [3, 2, 3, 2, 2, 3, 2, 2]
    assert runs[-1].status == 0
    for run in runs:
        assert "s3cr" not in run.out + run.err
    assert "s3cr" not in (tmp_path / "b" / "manifest.json").read_text()


def test_a_terminal_sees_how_far_a_fetch_is(world, tmp_path):
    one_at_a_time = threading.Lock()

    def script(method, path, form, headers):
        if READING.fullmatch(form.get("query", "")):
            with one_at_a_time:
                time.sleep(0.8)
        return well(method, path, form, headers)

    with serving(script) as (url, _):
        status, out, seen = on_a_terminal(*fetching(url, world, tmp_path / "h"))
    assert (status, out) == (0, f"{tmp_path / 'h'}\n")
    assert "fetching" in seen
    assert re.search(r"[1-9]\d?%", seen)
    assert "<History: 1 series" in seen


# ---- Ctrl-C -------------------------------------------------------------------------------------


def wait_for(condition, within_s=60):
    give_up = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def test_an_interrupted_fetch_goes_on_with_what_is_missing(world, tmp_path):
    release, begun = threading.Event(), []

    def script(method, path, form, headers):
        if READING.fullmatch(form.get("query", "")) and not release.is_set():
            begun.append(form)
            if len(begun) > 3:
                release.wait(60)
        return well(method, path, form, headers)

    arguments = [str(each) for each in fetching("URL", world, tmp_path / "h")]
    with serving(script) as (url, seen):
        arguments[arguments.index("URL")] = url
        process = subprocess.Popen(
            [sys.executable, "-m", "kmon_analysis.cli", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
            env=environment_of(),
        )
        wait_for(lambda: len(begun) >= 4 and len(list((tmp_path / ".h.fetch").glob("piece-*"))) == 3)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        said = Result(process.returncode, out, err).refused(130)
        assert "stopped; 3 pieces are kept" in said
        assert "Repeat the same command to go on" in said
        assert not (tmp_path / "h").exists()
        release.set()
        time.sleep(0.2)
        first = set(reads(seen))
        seen.clear()
        assert spawned(*arguments).status == 0
        second = reads(seen)
        assert [path for _, path, *_ in seen if "status" in path] == [], "the plan is known"
    with serving(well) as (url, seen):
        arguments[arguments.index("--prometheus") + 1] = url
        arguments[-1] = str(tmp_path / "straight")
        assert spawned(*arguments).status == 0
        everything = set(reads(seen))
    assert len(second) == len(set(second)) == len(everything) - 3
    assert first | set(second) == everything
    assert History.open(tmp_path / "h").digest == History.open(tmp_path / "straight").digest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["h", "straight"]


def test_ctrl_c_elsewhere_ends_in_one_word(kmon, monkeypatch, tmp_path):
    from kmon_analysis import workflow

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(workflow, "demo", interrupted)
    assert kmon("demo", "-o", tmp_path / "out").refused(130) == "kmon: interrupted\n"
    assert tree(tmp_path) == {}


# ---- a real server ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def prometheus():
    now = int(time.time()) // 60 * 60_000
    times = range(now - 3 * 3_600_000, now, 15_000)
    lag = [(ms, str(5_000 if 40 <= n % 240 < 80 else 3)) for n, ms in enumerate(times)]
    config = "global: {scrape_interval: 15s, evaluation_interval: 30s}\n"
    with running_prometheus(openmetrics({'kafka_consumer_lag_sum{topic="a"}': lag}), config=config) as server:
        yield server


def test_the_doctor_sees_a_server(kmon, world, prometheus, tmp_path):
    found = kmon("doctor", "--prometheus", prometheus.url)
    assert found.status == 0
    for line in (f"server: {prometheus.url}", "version: 2.42.0", "evaluation interval: 30s", "lookback: 5m"):
        assert line in found.out.splitlines()
    found = kmon("doctor", "--prometheus", prometheus.url, "--rules", world.rules, "--json")
    assert found.status == 0
    data = json.loads(found.out)
    assert data["version"] == "2.42.0"
    [need] = data["needs"]
    assert need == {
        "selector": "kafka_consumer_lag_sum",
        "series": {"now": 1, "1d ago": 0, "1w ago": 0, "4w ago": 0},
    }
    (tmp_path / "r.yml").write_text(world.rules.read_text().replace("kafka_consumer_lag_sum", "kafka_lag"))
    found = kmon("doctor", "--prometheus", prometheus.url, "--rules", tmp_path / "r.yml")
    assert found.status == 1
    assert found.err == "missing: kafka_lag\n"
    assert "kafka_lag: nothing now, nothing 1 day ago" in found.out


def test_backtest_and_doctor_from_a_real_server(kmon, world, prometheus, tmp_path):
    server = ("--prometheus", prometheus.url, "--last", "3h", "--rules", world.rules)
    found = kmon("backtest", *server, "--store", tmp_path / "h", "--json")
    assert found.status == 0
    [row] = json.loads(found.out)
    # Ten minutes above the threshold each hour, for 5m, evaluated every 30 s.
    assert (row["rule"], row["pages"], row["false_pages"], row["incidents"]) == ("HighConsumerLag", 3, 3, 0)
    again = kmon("backtest", "--history", tmp_path / "h", "--rules", world.rules, "--json")
    assert json.loads(again.out) == [row]
    found = kmon("doctor", "--history", tmp_path / "h", "--rules", world.rules)
    assert found.status == 0
    assert "kafka_consumer_lag_sum: 1 series" in found.out
    data = json.loads(kmon("doctor", "--history", tmp_path / "h", "--json").out)
    assert data["server_version"] == "2.42.0"
    assert data["scrape_interval_ms"] == 15_000
    assert data["series"][0]["series"] == 'kafka_consumer_lag_sum{topic="a"}'


def test_a_range_without_samples_is_no_history(kmon, world, prometheus, tmp_path):
    quiet = ("--start", "2020-01-01T00:00:00Z", "--end", "2020-01-01T01:00:00Z")
    server = ("--prometheus", prometheus.url)
    for arguments in (
        ("fetch", *server, "--rules", world.rules, *quiet, "-o", tmp_path / "h"),
        ("backtest", *server, "--rules", world.rules, *quiet),
        ("backtest", *server, "--rules", world.rules, *quiet, "--store", tmp_path / "h"),
    ):
        found = kmon(*arguments)
        assert (found.status, found.out) == (2, "")
        assert "has no sample of what the rules read from 2020-01-01T00:00:00Z to 2020-01-01T01:00:00Z" in found.err
        assert "Traceback" not in found.err
    assert list(tmp_path.iterdir()) == []


AN_HOUR_AGO = r"20\S+Z, 1 h( \d min)?( \d+ s)? ago"


@pytest.fixture(scope="module")
def ended():
    now = int(time.time()) // 60 * 60_000
    lag = [(ms, "3") for ms in range(now - 2 * 3_600_000, now - 3_600_000, 15_000)]
    samples = {'kafka_consumergroup_lag{consumergroup="g",topic="a",partition="0"}': lag}
    with running_prometheus(openmetrics(samples)) as server:
        yield server


def test_a_server_whose_data_ended_says_when(kmon, ended, tmp_path):
    advice = {"version": 1, "rules": [{"rule": "Other", "current": {"threshold": 3}, "proposed": {"threshold": 4}}]}
    (tmp_path / "advice.json").write_text(json.dumps(advice))
    before = tree(tmp_path)
    for arguments in (
        ("starter", "-o", tmp_path / "alerts"),
        ("dashboard", "-o", tmp_path / "kafka.json", "--advice", tmp_path / "advice.json"),
    ):
        said = kmon(*arguments, "--prometheus", ended.url).refused()
        assert re.search(
            r"kafka_consumergroup_lag is known, but .* the newest is of 20\S+Z, 1 h( \d min)?( \d+ s)? ago", said
        )
        assert "note:" not in said
    assert tree(tmp_path) == before


def test_an_empty_range_says_when_the_newest_sample_was_or_what_may_have_been_meant(kmon, ended, tmp_path):
    rules = tmp_path / "rules.yml"
    text = "groups: [{name: g, rules: [{alert: A, expr: 'METRIC{topic=\"a\"} > 1'}]}]\n"
    arguments = ("backtest", "--prometheus", ended.url, "--rules", rules, "--last", "30m")
    rules.write_text(text.replace("METRIC", "kafka_consumergroup_lag"))
    said = kmon(*arguments).refused()
    assert re.search(
        r'; the newest sample of kafka_consumergroup_lag\{topic="a"\} is of ' + AN_HOUR_AGO + "; nothing was saved",
        said,
    )
    assert re.search(r"\n  Give a range that holds it: one that begins before 20\S+Z\.$", said)
    rules.write_text(text.replace("METRIC", "kafka_consumergroup_lagg"))
    said = kmon(*arguments).refused()
    assert "; it knows no metric kafka_consumergroup_lagg; nothing was saved" in said
    assert said.endswith("\n  Did you mean 'kafka_consumergroup_lag'?\n")
    rules.write_text(text.replace("METRIC", "something_else"))
    assert "Check the metric names (kmon doctor shows" in kmon(*arguments).refused()


def test_a_server_that_recorded_no_alert_says_so(kmon, prometheus, tmp_path):
    out = tmp_path / "incidents.yml"
    arguments = ("incidents", "import", "--from", "alerts", "--prometheus", prometheus.url, "--last", "10m", "-o", out)
    found = kmon(*arguments)
    assert (found.status, found.out) == (2, "")
    assert f"{prometheus.url}: recorded no ALERTS from " in found.err
    assert "Give a longer --last" in found.err
    assert not out.exists()
