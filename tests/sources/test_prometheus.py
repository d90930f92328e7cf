import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import requests
from prometheus_api_client import PrometheusConnect
from requests.adapters import HTTPAdapter

from kmon_analysis.errors import (
    InterruptedFetch,
    OutputError,
    SettingError,
    SourceCorrupt,
    SourceRefused,
    SourceUnreachable,
)
from kmon_analysis.history import History
from kmon_analysis.labels import Labels, Matcher
from kmon_analysis.series import is_stale
from kmon_analysis.sources import prometheus as room
from kmon_analysis.sources.connection import Connection, connect
from kmon_analysis.sources.prometheus import Patience, Selection, fetch_history
from kmon_analysis.sources.served import DeployedRule, ServedGroup, ask_groups, ask_rules
from kmon_analysis.sources.server import ask_server
from tests.prometheus_server import openmetrics, running_prometheus
from tests.sources.fault_server import ANSWER, Reply, matrix, serving
from tests.tools import REPOSITORY

START = 1_767_225_600_000
HOUR = 3_600_000
END = START + 6 * HOUR
LAG = Selection((Matcher("__name__", "=", "lag"),))
QUICK = Patience(connect_s=2, read_s=0.5, attempts=4, pause_s=0.01)


def awkward():
    """Samples on and around piece borders, odd values, a gap, a series that ends."""
    rng = np.random.default_rng(3)
    regular = [(START + step * 15_000, str(int(value))) for step, value in enumerate(np.cumsum(rng.poisson(9, 1440)))]
    borders = sorted({START + hour * HOUR + delta for hour in range(7) for delta in (-1, 0, 1)})
    odd = ["NaN", "+Inf", "-Inf", "-0", "0.1", "123456789.123", "1e+300", "5e-324", "9007199254740993"]
    return {
        'lag{topic="regular"}': regular,
        'lag{topic="borders"}': [(ms, str(ms % 97)) for ms in borders],
        'lag{topic="odd \\"q\\" \\\\ \\n <b>"}': [(START + 777 * n, value) for n, value in enumerate(odd)],
        'lag{topic="ends"}': regular[:100] + regular[300:400],
        "other{}": regular[:10],
    }


@pytest.fixture(scope="module")
def server():
    with running_prometheus(openmetrics(awkward())) as running:
        yield running


def test_one_selector_over_several_metrics(server):
    both = Selection((Matcher("__name__", "=~", "lag|other"),))
    found = fetch_history(server.url, [both], start_ms=START, end_ms=END)
    assert {part.labels["__name__"] for part in found.series} == {"lag", "other"}
    assert found.series.sample_count >= sum(len(samples) for samples in awkward().values()) - 10


def content(history):
    return {
        part.labels.value("topic"): bits(zip(part.times.tolist(), part.values.tolist(), strict=True))
        for part in history.series
    }


def bits(samples):
    """Compare values by their bits, but all NaNs as one: text knows only one."""
    return [
        (ms, "NaN" if float(value) != float(value) else float(value).hex())
        for ms, value in samples
        if START <= ms < END
    ]


@pytest.mark.parametrize("protocol", ["query", "remote-read"])
@pytest.mark.parametrize("per_piece", [1, 100, 1_000, 10**7])
def test_raw_samples_come_whole_and_once(server, per_piece, protocol):
    history = fetch_history(
        server.url, [LAG], start_ms=START, end_ms=END, samples_per_piece=per_piece, protocol=protocol
    )
    source = awkward()
    assert content(history) == {
        "regular": bits(source['lag{topic="regular"}']),
        "borders": bits(source['lag{topic="borders"}']),
        'odd "q" \\ \n <b>': bits((ms, float(value)) for ms, value in source[list(source)[2]]),
        "ends": bits(source['lag{topic="ends"}']),
    }


def test_the_provenance_says_where_from(server):
    history = fetch_history(server.url, [LAG], start_ms=START, end_ms=END)
    about = history.provenance
    assert (about.source, about.server_version, about.queries) == (server.url, "2.42.0", ("lag",))
    assert about.extra["lookback_ms"] == 300_000
    assert history.scrape_interval_ms == 15_000


def test_lookback_and_lookahead_widen_the_range(server):
    selection = Selection((Matcher("topic", "=", "regular"),), lookback_ms=60_000, lookahead_ms=30_000)
    history = fetch_history(server.url, [selection], start_ms=START + HOUR, end_ms=START + 2 * HOUR)
    assert (history.series.times[0], history.series.times[-1]) == (START + HOUR - 60_000, START + 2 * HOUR + 15_000)
    assert history.interval.start_ms == START + HOUR


def test_a_selection_without_samples_is_named(server):
    nothing = Selection((Matcher("__name__", "=", "nothing"),))
    history = fetch_history(server.url, [LAG, nothing], start_ms=START, end_ms=END)
    assert history.provenance.warnings == ("no samples of nothing",)


def test_the_users_own_connection_is_used(server):
    session = requests.Session()
    seen = []
    session.hooks["response"].append(lambda response, **_: seen.append(response.request))
    client = PrometheusConnect(
        url=server.url + "/", headers={"X-Scope-OrgID": "team"}, auth=("me", "secret"), session=session
    )
    history = fetch_history(client, [LAG], start_ms=START, end_ms=END)
    assert history.series.sample_count > 1000
    assert {request.headers["X-Scope-OrgID"] for request in seen} == {"team"}
    assert all(request.headers["Authorization"].startswith("Basic ") for request in seen)
    assert "secret" not in repr(history.provenance)


def test_pieces_are_halved_where_the_server_finds_them_too_large():
    with running_prometheus(openmetrics(awkward()), arguments=["--query.max-samples=500"]) as small:
        history = fetch_history(small.url, [LAG], start_ms=START, end_ms=END, samples_per_piece=10**6, protocol="query")
        assert history.series.sample_count == sum(
            START <= ms < END for name, samples in awkward().items() if name != "other{}" for ms, _ in samples
        )


def test_remote_read_is_chosen_where_it_agrees_with_queries(server):
    history = fetch_history(server.url, [LAG], start_ms=START, end_ms=END)
    assert (history.provenance.extra["protocol"], history.provenance.extra["stale_markers"]) == ("remote-read", "kept")
    assert history.provenance.warnings == ()


def test_without_remote_read_unmarked_ends_are_warned_of(server):
    history = fetch_history(server.url, [LAG], start_ms=START, end_ms=END, protocol="query")
    assert history.provenance.extra["stale_markers"] == "not exposed by the HTTP API"
    (warning,) = history.provenance.warnings
    assert warning.startswith("3 of 4 series pause or end, and queries do not show")
    with serving(failing(None, 0)) as (url, _):
        other = read(url, protocol=None)
        assert other.provenance.extra["no_remote_read"] == "the server refuses (404: 404 page not found)"
        assert other.provenance.extra["protocol"] == "query"


EXTERNAL = "global: {external_labels: {cluster: east, topic: regular}}\n"


def test_external_labels_do_not_leak_into_the_series():
    series = {'lag{cluster="west"}': [(START, "1")], 'lag{topic="x"}': [(START, "2")], "lag{}": [(START, "3")]}
    with running_prometheus(openmetrics(series), config=EXTERNAL) as labelled:
        history = fetch_history(labelled.url, [LAG], start_ms=START, end_ms=END)
        assert [str(labels) for labels in history.series.labels] == ["lag", 'lag{cluster="west"}', 'lag{topic="x"}']
        assert history.provenance.extra["protocol"] == "remote-read"
        narrow = Selection((*LAG.matchers, Matcher("cluster", "=", "west")))
        assert fetch_history(labelled.url, [narrow], start_ms=START, end_ms=END).series.sample_count == 1


def test_external_labels_that_cannot_be_told_apart_are_read_by_queries():
    series = {'lag{cluster="east"}': [(START, "1")]}
    with running_prometheus(openmetrics(series), config=EXTERNAL) as labelled:
        history = fetch_history(labelled.url, [LAG], start_ms=START, end_ms=END)
        assert [str(labels) for labels in history.series.labels] == ['lag{cluster="east"}']
        assert history.provenance.extra["no_remote_read"] == "remote read and queries differ for lag"


def test_stale_markers_of_a_scraped_series_are_kept():
    pages = {"now": 'lag{topic="a"} 1\nlag{topic="b"} 2\n'}

    def exporter(method, path, form, headers):
        return Reply(200, pages["now"].encode(), {"Content-Type": "text/plain; version=0.0.4"})

    with serving(exporter) as (url, _):
        config = (
            "global: {scrape_interval: 100ms, scrape_timeout: 100ms}\n"
            f"scrape_configs: [{{job_name: e, static_configs: [{{targets: ['{url.removeprefix('http://')}']}}]}}]\n"
        )
        with running_prometheus(config=config) as scraping:

            def values(query):
                answer = requests.get(f"{scraping.url}/api/v1/query", params={"query": query}, timeout=10).json()
                return [float(row["value"][1]) for row in answer["data"]["result"]]

            wait_for(lambda: sum(values("count_over_time(lag[1m])")) > 10)
            pages["now"] = 'lag{topic="a"} 1\n'
            wait_for(lambda: values("lag") == [1.0])
            end = int(time.time() * 1000)
            range_ = {"start_ms": end - 60_000, "end_ms": end}
            history = fetch_history(scraping.url, [LAG], **range_)
            queried = fetch_history(scraping.url, [LAG], **range_, protocol="query")
            info = ask_server(Connection(connect(scraping.url)))
    ended = history.series[1]
    assert is_stale(ended.values).tolist() == [False] * (len(ended.values) - 1) + [True]
    assert not is_stale(history.series[0].values).any()
    assert queried.series[1].times.tolist() == ended.times[:-1].tolist()
    assert info.scrape_intervals_ms == ((100, 1),)


def wait_for(condition, within_s=20.0):
    give_up = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.05)


def test_server_info(server):
    info = ask_server(Connection(connect(server.url)))
    assert (info.version, info.lookback_ms, info.max_samples) == ("2.42.0", 300_000, 50_000_000)
    assert (info.evaluation_interval_ms, info.scrape_intervals_ms) == (15_000, ((15_000, 0),))
    assert info.external_labels == {}


def healthy(series=()):
    """Return a script that answers status pages with 404, probes with one, and reads with `series`."""

    def script(method, path, form, headers):
        if path != "/api/v1/query":
            return Reply(404, b"404 page not found")
        return Reply(body=matrix(series))

    return script


def failing(reply, times):
    """Return a script that gives `reply` the first times that samples are read, then is well."""
    left = {"n": times}
    well = healthy([({"__name__": "lag"}, [(START, "7")])])

    def script(method, path, form, headers):
        if path == "/api/v1/query" and form["query"].startswith("lag") and left["n"] > 0:
            left["n"] -= 1
            return reply
        return well(method, path, form, headers)

    return script


def read(url, **more):
    usual = {"start_ms": START, "end_ms": END, "patience": QUICK, "samples_per_piece": 10**9, "protocol": "query"}
    return fetch_history(url, [LAG], **{**usual, **more})


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_passing_failure_is_waited_out(status):
    with serving(failing(Reply(status, b"upstream sleeps"), 2)) as (url, seen):
        assert read(url).series.values.tolist() == [7.0]
        assert sum(form.get("query", "").startswith("lag") for _, _, form, _ in seen) == 3


def test_a_lasting_failure_is_reported_with_the_servers_words():
    with (
        serving(failing(Reply(503, b"upstream \x1b[31msleeps"), 10**6)) as (url, _),
        pytest.raises(SourceRefused, match=r"still answers 503: .*upstream \\x1b\[31msleeps after 4 attempts"),
    ):
        read(url)


@pytest.mark.parametrize("status", [400, 422])
def test_a_refusal_is_not_repeated(status):
    error = {"status": "error", "errorType": "bad_data", "error": 'parse error: unexpected "}"\n<script>'}
    with serving(failing(Reply(status, error), 10**6)) as (url, seen):
        with pytest.raises(
            SourceRefused, match=rf'refuses \({status}: bad_data: parse error: unexpected "}}" <script>'
        ):
            read(url)
        assert sum(form.get("query", "").startswith("lag") for _, _, form, _ in seen) == 1


def test_a_timeout_of_the_server_halves_the_piece():
    def script(method, path, form, headers):
        if path == "/api/v1/query" and form["query"].startswith("lag["):
            range_ms = int(form["query"][4:-3])
            if range_ms > 2 * HOUR:
                return Reply(503, {"status": "error", "errorType": "timeout", "error": "query timed out in eval"})
            return Reply(body=matrix([({"__name__": "lag"}, [(START + 1, "1")])]))
        return healthy()(method, path, form, headers)

    with serving(script) as (url, seen):
        assert read(url).series.sample_count == 1
        assert len([1 for _, _, form, _ in seen if form.get("query", "").startswith("lag[")]) == 1 + 2 + 4


def test_a_limit_that_halving_cannot_meet_ends():
    limit = {"status": "error", "errorType": "execution", "error": "query processing would load too many samples"}
    with serving(failing(Reply(422, limit), 10**6)) as (url, _), pytest.raises(SourceRefused, match="too many samples"):
        read(url, end_ms=START + 600_000)


def test_a_hanging_server_is_given_up():
    release = threading.Event()

    def script(method, path, form, headers):
        release.wait(20)
        return Reply()

    with serving(script) as (url, _):
        began = time.monotonic()
        with pytest.raises(SourceUnreachable, match=rf"{url}/api/v1/status/buildinfo: no answer within 0\.5 s"):
            read(url)
        assert time.monotonic() - began < 5
        release.set()


def test_a_server_that_falls_silent_within_an_answer_is_given_up():
    whole = Reply(body=matrix([({"__name__": "lag"}, [(START, "7")])]))
    reply = Reply(body=whole.body[:40], claimed=10**6, keep=True)
    with serving(failing(reply, 10**6)) as (url, _), pytest.raises(SourceUnreachable, match=r"no answer within 0\.5 s"):
        read(url)


def test_no_more_requests_at_a_time_than_allowed():
    under_way = {"now": 0, "most": 0}
    lock = threading.Lock()

    def script(method, path, form, headers):
        if path == "/api/v1/query" and form["query"].startswith("lag["):
            with lock:
                under_way["now"] += 1
                under_way["most"] = max(under_way.values())
            time.sleep(0.02)
            with lock:
                under_way["now"] -= 1
        return failing(None, 0)(method, path, form, headers)

    with serving(script) as (url, _):
        read(url, samples_per_piece=20, concurrency=3)
    assert under_way["most"] == 3


CTRL_C = """
import sys
from kmon_analysis.errors import KmonError
from kmon_analysis.labels import Matcher
from kmon_analysis.sources.prometheus import Selection, fetch_history
try:
    fetch_history(sys.argv[1], [Selection((Matcher("__name__", "=", "lag"),))], start_ms=1767225600000,
                  end_ms=1767247200000, directory=sys.argv[2], samples_per_piece=20, concurrency=2, protocol="query")
except KmonError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_status)
"""


def test_ctrl_c_stops_at_once_and_keeps_the_pieces(tmp_path):
    release, reads = threading.Event(), []

    def script(method, path, form, headers):
        if path == "/api/v1/query" and form["query"].startswith("lag["):
            reads.append(form)
            if len(reads) > 3:
                release.wait(60)
        return failing(None, 0)(method, path, form, headers)

    with serving(script) as (url, _):
        arguments = [sys.executable, "-c", CTRL_C, url, str(tmp_path / "h")]
        process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY)
        kept = tmp_path / ".h.fetch"
        wait_for(lambda: len(reads) >= 5 and len(list(kept.glob("piece-*"))) == 3, within_s=60)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        _, said = process.communicate(timeout=30)
        assert time.monotonic() - began < 10
        release.set()
    assert process.returncode == 130, said
    assert "3 pieces are kept" in said
    assert "Traceback" not in said


def test_nobody_there():
    with pytest.raises(SourceUnreachable, match=r"http://127\.0\.0\.1:1/api/v1/\S+: no connection \(.*refused\)"):
        read("http://127.0.0.1:1")


def test_an_answer_that_breaks_off_is_asked_for_again():
    whole = matrix([({"__name__": "lag"}, [(START, "7")])])
    cut = Reply(body=Reply(body=whole).body[:-9])
    short = Reply(body=Reply(body=whole).body[:-9], claimed=10**6)
    for reply in (cut, short):
        with serving(failing(reply, 2)) as (url, _):
            assert read(url).series.values.tolist() == [7.0]
        with (
            serving(failing(reply, 10**6)) as (url, _),
            pytest.raises(SourceCorrupt, match=r"cannot be read|broke off"),
        ):
            read(url)


def test_of_a_web_page_only_the_first_words_are_repeated():
    page = b"<!DOCTYPE html><html><head><title>Not &lt;found&gt;</title><script>evil('x')</script><style>p {}</style>"
    page += b"</head><body><p>\x1b[2J This is \xe2\x80\xae Grafana</p>" + b"<p>word</p>" * 500
    with (
        serving(lambda *_: Reply(404, page)) as (url, _),
        pytest.raises(SourceRefused) as caught,
    ):
        read(url)
    said = str(caught.value)
    assert "a web page that begins: Not <found>" in said
    assert "This is" in said
    assert len(said) < 400
    for bad in ("evil", "<p>", "<html", "\x1b", "\u202e", "{}"):
        assert bad not in said


def test_a_login_page_is_recognised():
    with serving(failing(Reply(200, b"<html>Sign in"), 1)) as (url, _), pytest.raises(SourceRefused, match="web page"):
        read(url)


def test_warnings_of_partial_data_are_kept():
    partial = Reply(body=matrix([({"__name__": "lag"}, [(START, "7")])], warnings=["store b\x1b is <down>"]))
    with serving(failing(partial, 1)) as (url, _):
        assert read(url).provenance.warnings[0] == "store b\\x1b is <down>"


def test_native_histograms_are_named():
    body = {
        "status": "success",
        "data": {
            "resultType": "matrix",
            "result": [{"metric": {"__name__": "lag"}, "histograms": [[1, {"count": "1", "sum": "1"}]]}],
        },
    }
    with serving(failing(Reply(body=body), 1)) as (url, _):
        assert read(url).provenance.warnings[0] == "lag has native histograms, which are left out"


@pytest.mark.parametrize("status", [403, 405, 302])
def test_a_server_that_takes_only_get(status):
    def script(method, path, form, headers):
        if method == "POST":
            return Reply(status, b"no", {"Location": "/login"} if status == 302 else {})
        return failing(None, 0)(method, path, form, headers)

    with serving(script) as (url, seen):
        assert read(url).series.values.tolist() == [7.0]
        assert [method for method, *_ in seen].count("POST") == 1


def test_credentials_are_shown_nowhere():
    with serving(failing(Reply(401, b"who are you"), 10**6)) as (url, _):
        with pytest.raises(SourceRefused, match="Give credentials") as caught:
            read(url.replace("//", "//me:s3cret@"))
        assert "s3cret" not in str(caught.value)
        with pytest.raises(SettingError, match="query part") as caught:
            read(url + "/?token=t0ken")
        assert "t0ken" not in str(caught.value)
    with pytest.raises(SourceUnreachable) as caught:
        read("http://me:s3cret@127.0.0.1:1")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["localhost:9090", "ftp://x", "http://", ""])
def test_what_is_no_url_is_refused(url):
    with pytest.raises(SettingError, match="not the URL of a server"):
        read(url)


def test_an_interrupted_fetch_goes_on_where_it_stopped(server, tmp_path):
    def stop_after_three(progress):
        if progress.done == 3:
            raise KeyboardInterrupt

    target = tmp_path / "h"
    asked = {"start_ms": START, "end_ms": END, "samples_per_piece": 300, "directory": target, "concurrency": 1}
    with pytest.raises(InterruptedFetch, match="3 pieces are kept"):
        fetch_history(server.url, [LAG], progress=stop_after_three, **asked)
    assert not target.exists()
    seen = []
    history = fetch_history(server.url, [LAG], progress=seen.append, **asked)
    assert seen[0].done >= 3
    assert seen[0].samples > 0
    whole = fetch_history(server.url, [LAG], start_ms=START, end_ms=END)
    assert history.digest == whole.digest == History.open(target).digest
    assert [entry.name for entry in tmp_path.iterdir()] == ["h"]


def test_a_damaged_piece_is_fetched_again_and_a_changed_question_starts_anew(server, tmp_path):
    def stop_after_three(progress):
        if progress.done == 3:
            raise KeyboardInterrupt

    asked = {"samples_per_piece": 300, "directory": tmp_path / "h", "concurrency": 1}
    for _ in range(2):
        with pytest.raises(InterruptedFetch):
            fetch_history(server.url, [LAG], start_ms=START, end_ms=END, progress=stop_after_three, **asked)
        (kept,) = (tmp_path / ".h.fetch").glob("piece-00001")
        part = next(kept.glob("*.parquet"))
        part.write_bytes(part.read_bytes()[:-1])
    seen = []
    with pytest.raises(InterruptedFetch):
        fetch_history(
            server.url,
            [LAG],
            start_ms=START,
            end_ms=END,
            progress=lambda progress: seen.append(progress) or stop_after_three(progress),
            **asked,
        )
    changed = []
    fetch_history(server.url, [LAG], start_ms=START, end_ms=END - 1, progress=changed.append, **asked)
    assert seen[0].done == 2
    assert changed[0].done == 0


def test_the_last_hours_keep_their_range_over_an_interruption(server, tmp_path, monkeypatch):
    clock = {"now": END + 59_000}
    monkeypatch.setattr(room, "_now_ms", lambda: clock["now"])
    asked = {"last_ms": 6 * HOUR, "samples_per_piece": 300, "directory": tmp_path / "h"}

    def stop(progress):
        if progress.done == 1:
            raise KeyboardInterrupt

    with pytest.raises(InterruptedFetch):
        fetch_history(server.url, [LAG], progress=stop, **asked)
    clock["now"] += 600_000
    history = fetch_history(server.url, [LAG], **asked)
    assert (history.interval.start_ms, history.interval.end_ms) == (START, END)


def test_a_failing_server_keeps_what_arrived(tmp_path):
    def script(method, path, form, headers):
        if path == "/api/v1/query" and form["query"].startswith("lag[") and form["time"] > "2026-01-01T03":
            return Reply(400, {"status": "error", "errorType": "bad_data", "error": "no"})
        return failing(None, 0)(method, path, form, headers)

    with serving(script) as (url, _), pytest.raises(SourceRefused, match="pieces that arrived are kept"):
        read(url, directory=tmp_path / "h", samples_per_piece=10, concurrency=1)


def test_a_place_that_is_no_history_is_refused_before_the_fetch(tmp_path):
    (tmp_path / "thesis.doc").touch()
    with serving(healthy()) as (url, seen):
        with pytest.raises(OutputError, match="not a history"):
            read(url, directory=tmp_path)
        assert seen == []


@pytest.mark.parametrize(
    "more",
    [
        {"start_ms": None},
        {"last_ms": 5},
        {"end_ms": START},
        {"concurrency": 0},
        {"samples_per_piece": 0},
        {"protocol": "smoke signals"},
    ],
)
def test_settings_that_make_no_sense(more):
    with pytest.raises(SettingError):
        fetch_history("http://127.0.0.1:1", [LAG], **{"start_ms": START, "end_ms": END, **more})


def test_retry_after_is_heard_within_reason(monkeypatch):
    waits = []
    original = threading.Event.wait
    with serving(failing(Reply(429, b"slow down", {"Retry-After": "7200"}), 1)) as (url, _):
        monkeypatch.setattr(
            threading.Event, "wait", lambda self, timeout=None: waits.append(timeout) or original(self, 0.01)
        )
        read(url)
    assert 30.0 in waits


def test_a_session_with_its_own_retries_is_left_alone():
    with serving(failing(Reply(503, b"sleeps"), 2)) as (url, _):
        client = PrometheusConnect(url=url)
        adapter = client._session.get_adapter(url)
        assert read(client).series.values.tolist() == [7.0]
        assert client._session.get_adapter(url) is adapter
        assert isinstance(adapter, HTTPAdapter)


def test_answers_to_status_pages_may_be_anything():
    for reply in (Reply(200, b"[]"), Reply(200, b"not json"), Reply(404, b""), Reply(200, ANSWER)):
        with serving(lambda *_, reply=reply: reply) as (url, _):
            assert ask_server(Connection(connect(url))).version is None


def test_what_a_relative_tells_of_its_rules_is_taken_as_far_as_it_goes():
    rule = {"name": "A", "query": "up", "type": "alerting", "duration": 60, "labels": {"a": "b"}}
    group = {"file": "f", "name": "g", "interval": 30, "lastEvaluation": "yesterday", "rules": [rule, 7, {"name": "x"}]}
    data = {"groups": [group, 3, {"name": "h"}, {"file": "f", "name": "i", "interval": 0}]}
    with serving(lambda *_: Reply(200, {"status": "success", "data": data})) as (url, _):
        connection = Connection(connect(url))
        assert ask_groups(connection) == (ServedGroup("f", "g", 30_000, ("A", "x"), None),)
        assert ask_rules(connection) == (DeployedRule("f", "g", "alerting", "A", "up", 60_000, 0, Labels({"a": "b"})),)


def test_relatives_do_not_pass_for_prometheus():
    for data in ({"version": "0.35.0"}, {"version": "2.10.0", "application": "Grafana Mimir"}):
        with serving(lambda *_, data=data: Reply(200, {"status": "success", "data": data})) as (url, _):
            info = ask_server(Connection(connect(url)))
            assert info.version is None
            assert info.application
