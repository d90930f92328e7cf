import json
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from prometheus_api_client import PrometheusConnect

from kmon_analysis.errors import ExpressionError, SourceCorrupt, SourceRefused, SourceUnreachable
from kmon_analysis.promql.evaluate import evaluate
from kmon_analysis.promql.parser import parse
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.sources.connection import Patience
from kmon_analysis.sources.evaluation import Evaluator, own_range
from kmon_analysis.timing import EvaluationGrid
from tests.prometheus_server import openmetrics, running_prometheus
from tests.sources.fault_server import Reply, matrix, serving
from tests.sources.tables import same_grid, samples_of
from tests.tools import REPOSITORY

START = 1_767_225_600_000
MINUTE = 60_000
END = START + 90 * MINUTE
GRID = EvaluationGrid(START + 2 * MINUTE, END, 15_000, 137)
QUICK = Patience(connect_s=2, read_s=0.5, attempts=2, pause_s=0.01)


def awkward():
    """Gauges and counters with odd values, gaps, resets, and partners that come and go."""
    rng = np.random.default_rng(5)
    times = [START + step * 15_000 for step in range(360)]
    lag = [str(int(value)) for value in rng.integers(0, 4000, 360)]
    for place, value in ((30, "NaN"), (31, "+Inf"), (32, "-Inf"), (33, "-0"), (34, "0.1"), (35, "5e-324")):
        lag[place] = value
    counter = np.cumsum(rng.poisson(7, 360))
    counter[200:] -= counter[200]
    return {
        'lag{topic="a"}': list(zip(times, lag, strict=True)),
        'lag{topic="b"}': list(zip(times, lag[::-1], strict=True))[40:300],
        'made_total{topic="a"}': list(zip(times, map(str, counter.tolist()), strict=True)),
        'made_total{topic="b"}': list(zip(times, map(str, (counter * 3).tolist()), strict=True))[:120]
        + list(zip(times, map(str, counter.tolist()), strict=True))[180:],
        'owner{topic="a",team="x"}': [(ms, "1") for ms in times],
        # A second owner for some minutes: matching fails then, and only then.
        'owner{topic="a",team="y"}': [(ms, "1") for ms in times[100:110]] + [(ms, "1") for ms in times[260:262]],
        # Two names that never live at the same time.
        'first_total{topic="a"}': [(ms, str(n)) for n, ms in enumerate(times[:100])],
        'second_total{topic="a"}': [(ms, str(n)) for n, ms in enumerate(times[160:])],
    }


# A binary that is built without Prometheus' linker flags does not know its own release.
RELEASES = {"prometheus": "2.42", "prometheus3": "3.16"}


@pytest.fixture(scope="module", params=RELEASES)
def server(request):
    with running_prometheus(openmetrics(awkward()), program=request.param) as running:
        yield running


@pytest.fixture
def release(request, server):
    return RELEASES[request.node.callspec.params["server"]]


def ours(text, grid, release, query_offset_ms=0):
    """Evaluate here; subqueries without a step take the server's global evaluation interval."""
    semantics = replace(Semantics.of(release), subquery_step_ms=15_000)
    return evaluate(parse(text), samples_of(awkward()), grid.times - query_offset_ms, semantics)


SUPPORTED = [
    "lag",
    "lag > 1000",
    "lag >= bool 1000",
    "rate(made_total[5m])",
    "sum by (topic) (increase(made_total[3m]))",
    "max_over_time(lag[2m] offset 1m) unless lag < 100",
    "max_over_time(rate(made_total[1m])[5m:45s])",
    "min_over_time(lag[4m:])",
    "time() - 5",
    "vector(time()) > 3",
    "hour() + minute()",
    'absent(lag{topic="b"})',
    "lag and on(topic) made_total > 100",
    "-lag",
    "1",
]


@pytest.mark.parametrize("text", SUPPORTED)
def test_the_server_and_we_agree_to_the_bit(server, release, text):
    found = Evaluator(server.url, points=97).evaluate(text, GRID)
    assert found.instants == 0
    assert same_grid(found.grid, ours(text, GRID, release))


@pytest.mark.parametrize("step_ms", [1, 999, 1_001, 7_003, 61_001])
def test_steps_and_phases_are_kept_to_the_millisecond(server, release, step_ms):
    grid = EvaluationGrid(START + 10 * MINUTE, START + 10 * MINUTE + 50 * step_ms, step_ms, 333)
    evaluator = Evaluator(server.url, points=7)
    found = evaluator.evaluate("time()", grid, query_offset_ms=61_007)
    assert found.grid.times.tolist() == grid.times.tolist()
    assert found.grid.values[0].tolist() == ((grid.times - 61_007) / 1000).tolist()
    assert same_grid(evaluator.evaluate("lag", grid, 61_007).grid, ours("lag", grid, release, 61_007), times=False)


@pytest.mark.parametrize("text", ["lag @ start() > 1500", "sum_over_time(lag[1m] @ end())", "lag @ START ( )"])
def test_the_ends_of_the_query_are_the_evaluation_itself(server, release, text):
    evaluator = Evaluator(server.url)
    found = evaluator.evaluate(text, GRID)
    assert found.instants == len(GRID)
    assert same_grid(found.grid, ours(text, GRID, release))
    assert len(np.unique(found.grid.values[0, found.grid.present[0]])) > 20


def test_only_the_evaluations_that_fail_by_themselves_are_failed(server, release):
    text = "lag * on(topic) group_left(team) owner"
    evaluator = Evaluator(server.url)
    found = evaluator.evaluate(text, GRID)
    mine = ours(text, GRID, release)
    assert same_grid(found.grid, mine)
    assert 40 < found.grid.failed.sum() < len(GRID) / 2
    assert not found.grid.present[:, found.grid.failed].any()
    assert found.instants == found.grid.failed.sum()
    [said] = [words for words in found.warnings if "evaluations fail on the server" in words]
    assert "found duplicate series for the match group" in said


def test_range_queries_that_fail_as_a_whole_only_are_judged_by_their_instants(server, release):
    text = 'rate({__name__=~"first_total|second_total"}[2m])'
    evaluator = Evaluator(server.url)
    found = evaluator.evaluate(text, GRID)
    assert not found.grid.failed.any()
    assert found.grid.present.sum() > 200
    assert same_grid(found.grid, ours(text, GRID, release))


@pytest.mark.parametrize("cuts", [(1,), (5, 6, 7), (300,), tuple(range(0, 340, 3))])
@pytest.mark.parametrize("text", ["rate(made_total[5m])", "lag * on(topic) group_left(team) owner"])
def test_pieces_change_nothing(server, text, cuts):
    whole = Evaluator(server.url, concurrency=1).evaluate(text, GRID).grid
    assert same_grid(Evaluator(server.url).evaluate(text, GRID, cuts=cuts).grid, whole)


def test_what_we_do_not_evaluate_comes_from_the_server(server):
    found = Evaluator(server.url).evaluate("histogram_count(lag)", GRID)
    assert len(found.grid) == 0
    assert not found.grid.failed.any()
    found = Evaluator(server.url).evaluate("stddev_over_time(lag[1m]) > 10", GRID)
    assert found.grid.present.any()
    said = Evaluator(server.url).info.version
    assert found.by == f"the server {server.url[7:]}" + (f" ({said})" if said else "")


def test_what_the_server_does_not_take_is_one_clear_error(server):
    with pytest.raises(ExpressionError, match="does not take this expression") as refused:
        Evaluator(server.url).evaluate("limitk(1, lag)", GRID)
    assert "feature flags" in str(refused.value)
    for text in ("lag >", '"text"', "lag[5m]", "nonsense(lag)"):
        with pytest.raises(ExpressionError, match="does not take this expression"):
            Evaluator(server.url).evaluate(text, GRID)


def test_experimental_functions_work_where_the_server_has_them():
    with running_prometheus(
        openmetrics(awkward()), program="prometheus3", arguments=["--enable-feature=promql-experimental-functions"]
    ) as running:
        found = Evaluator(running.url).evaluate("limitk(1, lag)", GRID)
        assert found.grid.present.any(axis=0).all()
        assert found.grid.present.sum(axis=0).max() == 1
        mad = Evaluator(running.url).evaluate("mad_over_time(lag[5m])", GRID)
        assert mad.grid.present.any()


def test_the_servers_sample_limit_makes_smaller_pieces():
    with running_prometheus(openmetrics(awkward()), arguments=["--query.max-samples=150"]) as small:
        found = Evaluator(small.url).evaluate("lag", GRID)
        assert found.instants == 0
        assert same_grid(found.grid, ours("lag", GRID, "2.42"))
        with pytest.raises(SourceRefused, match="too many samples"):
            Evaluator(small.url).evaluate("sum(count_over_time(lag[80m]))", GRID)


def test_too_many_single_questions_are_refused_before_they_are_asked(server):
    with pytest.raises(ExpressionError, match=r"^end\(\) means something else.*more than 300 of 352") as refused:
        Evaluator(server.url, most_instants=300).evaluate("lag @ end()", GRID)
    assert "shorter range" in str(refused.value)
    with pytest.raises(ExpressionError, match="some evaluations fail in range queries"):
        Evaluator(server.url, most_instants=5).evaluate("lag * on(topic) group_left(team) owner", GRID)


def test_progress_is_told(server):
    told = []
    Evaluator(server.url, points=100, progress=told.append).evaluate("lag", GRID)
    assert [state.done for state in told] == sorted(state.done for state in told)
    assert (told[-1].done, told[-1].total) == (len(GRID), len(GRID))
    assert told[-1].samples > 300


def test_the_users_own_connection_is_used(server):
    client = PrometheusConnect(url=server.url, headers={"X-Scope-OrgID": "team"}, auth=("me", "secret"))
    found = Evaluator(client).evaluate("lag", GRID)
    assert found.grid.present.any()
    assert "secret" not in repr(found)


def test_an_empty_grid_is_an_empty_result(server):
    found = Evaluator(server.url).evaluate("lag", EvaluationGrid(START, START, 15_000))
    assert found.grid.values.shape == (0, 0)


# ---- text ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "version", "reason"),
    [
        ("lag @ start()", "3.5.0", "start()"),
        ("lag @ /**/end ()", "3.5.0", "end()"),
        ("rate(lag[step()])", "3.16.0", "step()"),
        ("rate(lag[min_of(RANGE(), 5m)])", "3.16.0", "range()"),
        ('lag{job="start()"} # end()', "3.5.0", None),
        ("lag{job='a\\'start('} or `end(`", "3.5.0", None),
        ("sum by (start) (lag) + on (step) group_left (range) up", "3.5.0", None),
        ("my_start(lag) + x:end(lag)", "3.5.0", None),
        ("topk(scalar(k), lag)", "3.4.1", "a computed parameter of topk"),
        ("topk by (step) (scalar(k), lag)", None, "a computed parameter of topk"),
        ("topk(scalar(k), lag)", "3.5.0", None),
        ("topk(scalar(k), lag)", "2.42.0", None),
        ("quantile(0.9, lag) + bottomk by (a) (3, lag) + topk( 1e3 , lag)", "3.4.1", None),
        ("quantile_over_time(scalar(q), lag[5m])", "3.4.1", None),
        ("timestamp(lag @ 5 offset 1m)", "3.5.0", "timestamp() of a selector with '@' and 'offset'"),
    ],
)
def test_what_a_range_query_would_read_otherwise(text, version, reason):
    assert own_range(text, version) == reason


# ---- servers that fail --------------------------------------------------------------------------


def answering(reply):
    """Answer queries by a function of (path, form), and have no status pages."""

    def script(_, path, form, __):
        return reply(path, form) if path.startswith("/api/v1/query") else Reply(404, b"")

    return script


def test_a_server_that_moves_the_evaluations_is_refused():
    def aligned(path, form):
        return Reply(body=matrix([({"a": "b"}, [(START + 2 * MINUTE, "1")])]))

    with serving(answering(aligned)) as (url, _), pytest.raises(SourceRefused, match="was not asked for") as refused:
        Evaluator(url).evaluate("lag", GRID)
    assert "aligns queries" in str(refused.value)


def test_native_histograms_are_named():
    body = {
        "status": "success",
        "data": {"resultType": "matrix", "result": [{"metric": {"__name__": "h"}, "histograms": [[1, {}]]}]},
    }
    with serving(answering(lambda *_: Reply(body=body))) as (url, _), pytest.raises(ExpressionError) as refused:
        Evaluator(url).evaluate("h", GRID)
    assert "native histograms (h)" in str(refused.value)
    assert "histogram_quantile" in str(refused.value)


def test_a_range_query_that_lies_is_found_by_trial():
    """Whatever answers ranges otherwise than instants is asked for instants."""

    def two_faced(path, form):
        if path.endswith("range"):
            return Reply(body=matrix([({"a": "b"}, [(int(t), "2") for t in grid.times.tolist()])]))
        result = [{"metric": {"a": "b"}, "value": [_seconds(form["time"]), "1"]}]
        return Reply(body={"status": "success", "data": {"resultType": "vector", "result": result}})

    grid = EvaluationGrid(START, START + 10 * MINUTE, MINUTE)
    with serving(answering(two_faced)) as (url, _):
        found = Evaluator(url).evaluate("lag", grid)
    assert found.instants == len(grid)
    assert np.all(found.grid.values == 1)


def _seconds(instant):
    from kmon_analysis.timing import parse_instant

    return parse_instant(instant) / 1000


def test_warnings_of_the_server_are_kept():
    def warned(path, form):
        if path.endswith("range"):
            return Reply(body=matrix([], warnings=["a store is\x1b[31m down"], infos=["no counter"]))
        return Reply(body={"status": "success", "data": {"resultType": "vector", "result": []}})

    with serving(answering(warned)) as (url, _):
        found = Evaluator(url).evaluate("lag", GRID)
    assert found.warnings == ("a store is\\x1b[31m down", "no counter")


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(401, b"no"), SourceRefused),
        (Reply(503, b"busy"), SourceRefused),
        (Reply(200, b'{"status":"success","data":', claimed=900), SourceCorrupt),
        (Reply(200, b'{"status":"success","data":'), SourceCorrupt),
        (Reply(200, b"<html>"), SourceRefused),
        (Reply(200, b"", claimed=10, keep=True), SourceUnreachable),
        (Reply(200, matrix([({"a": "b"}, [(START, "1")]), ({"a": "b"}, [(START, "1")])])), SourceCorrupt),
    ],
)
def test_servers_that_do_not_do_their_part(reply, error):
    grid = EvaluationGrid(START, START + 1, MINUTE)
    with serving(answering(lambda *_: reply)) as (url, _), pytest.raises(error) as failure:
        Evaluator(url, patience=QUICK).evaluate("lag", grid)
    assert failure.value.exit_status == 3


def test_a_server_that_dies_midway():
    with running_prometheus(openmetrics(awkward())) as running:

        def dies(state):
            if state.done > 100:
                running.process.kill()
                running.process.wait()

        evaluator = Evaluator(running.url, patience=QUICK, points=10, concurrency=1, progress=dies)
        with pytest.raises(SourceUnreachable) as failure:
            evaluator.evaluate("lag", GRID)
    assert failure.value.exit_status == 3


def test_one_refused_expression_does_not_spoil_the_next(server):
    evaluator = Evaluator(server.url)
    with pytest.raises(ExpressionError):
        evaluator.evaluate("nonsense(lag)", GRID)
    assert evaluator.evaluate("lag", GRID).grid.present.any()


def test_an_interruption_ends_at_once():
    """Ctrl-C while a server is silent: no thread holds the process."""
    with serving(answering(lambda *_: Reply(200, b"", claimed=10, keep=True))) as (url, seen):
        code = (
            "import sys\nfrom kmon_analysis.sources.evaluation import Evaluator\n"
            "from kmon_analysis.timing import EvaluationGrid\n"
            f"Evaluator({url!r}).evaluate('lag', EvaluationGrid({START}, {END}, 15000))\n"
        )
        process = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)
        give_up = time.monotonic() + 30
        while not any(path.startswith("/api/v1/query") for _, path, *_ in seen) and time.monotonic() < give_up:
            time.sleep(0.05)
        process.send_signal(2)
        _, said = process.communicate(timeout=20)
    assert said.rstrip().endswith("KeyboardInterrupt")


def test_json_numbers_are_read_exactly():
    texts = ["0.1", "1e-7", "123456789012345678", "5e-324", "1.7976931348623157e+308", "-0", "NaN", "+Inf", "-Inf"]
    grid = EvaluationGrid(START, START + len(texts) * 1000, 1000)
    samples = list(zip(grid.times.tolist(), texts, strict=True))

    def both(path, form):
        if path.endswith("range"):
            return Reply(body=json.dumps(matrix([({}, samples)])).encode())
        [value] = [text for ms, text in samples if ms / 1000 == _seconds(form["time"])]
        return Reply(
            body={"status": "success", "data": {"resultType": "scalar", "result": [_seconds(form["time"]), value]}}
        )

    with serving(answering(both)) as (url, _):
        found = Evaluator(url).evaluate("x", grid)
    assert found.instants == 0
    expected = np.array([float(text) for text in texts])
    assert found.grid.values[0].view(np.uint64).tolist() == expected.view(np.uint64).tolist()
