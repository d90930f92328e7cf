"""Splitting a range into pieces never changes an episode, here or on a server."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kmon_analysis.backtest.pages import episodes, fire
from kmon_analysis.backtest.score import make_windows
from kmon_analysis.backtest.settings import Settings
from kmon_analysis.backtest.signal import alert_signal
from kmon_analysis.incidents import Incidents
from kmon_analysis.labels import Labels
from kmon_analysis.promql.evaluate import evaluate
from kmon_analysis.promql.parser import parse
from kmon_analysis.promql.printer import format_expr
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.rules.knobs import find_knobs
from kmon_analysis.rules.model import AlertingRule
from kmon_analysis.rules.states import replay
from kmon_analysis.series import Grid, Samples, SeriesSet, stale_marker
from kmon_analysis.sources.evaluation import Evaluator
from kmon_analysis.timing import EvaluationGrid
from tests.prometheus_server import openmetrics, running_prometheus
from tests.sources.tables import same_grid, samples_of

START = 1_767_225_600_000
SECOND = 1_000
RELEASES = {"prometheus": "2.42", "prometheus3": "3.16"}

EXPRESSIONS = [
    "lag > 5",
    "lag <= 3",
    "rate(lag[45s]) > 0.05",
    "max_over_time(lag[40s:20s]) >= 7",
    "sum by (topic) (lag) > 8",
    # Fails where a topic has two owners at a time.
    "lag * on(topic) group_left(team) owner > 5",
    # Two names that become one label set: fails where both are there.
    'delta({__name__=~"lag|other"}[30s]) != 0',
    'absent(lag{topic="a"})',
    "lag > 5 unless on() (minute() % 4 == 1)",
]


def joined(grids):
    """Put the grids of adjoining pieces together, with dictionaries."""
    columns = [(grid.at(column), bool(grid.failed[column])) for grid in grids for column in range(len(grid.times))]
    labels = sorted({one for vector, _ in columns for one in vector})
    values = [[vector.get(one, np.nan) for vector, _ in columns] for one in labels]
    present = [[one in vector for vector, _ in columns] for one in labels]
    shape = (len(labels), len(columns))
    return Grid(
        tuple(labels),
        np.concatenate([grid.times for grid in grids]),
        np.array(values, dtype=np.float64).reshape(shape),
        np.array(present, dtype=np.bool_).reshape(shape),
        np.array([failed for _, failed in columns], dtype=np.bool_),
    )


def pages_of(rule, signal_grid):
    """Return the pages of the sweep at the rule's own threshold."""
    knobs = find_knobs(rule)
    signal = alert_signal(rule, knobs, signal_grid, None)
    observed = np.ones(len(signal.times), dtype=np.bool_)
    windows = make_windows(
        signal, Incidents(), rule=rule.name, settings=Settings(), for_ms=rule.for_ms, observed=observed
    )
    firing = fire(
        signal, windows, for_ms=rule.for_ms, keep_firing_for_ms=rule.keep_firing_for_ms, merge_gap_ms=20 * SECOND
    )
    level = signal.level(knobs.threshold) if knobs.sweepable else 0.0
    return [(found.labels, found.interval, found.firing_columns) for found in episodes(firing, level)]


def rows(draw, count):
    """Samples every ten seconds, give or take: gaps, stale markers, NaN, resets."""
    values = draw(
        st.lists(st.sampled_from([None, "stale", float("nan"), 0, 1, 3, 4, 6, 7, 9]), min_size=count, max_size=count)
    )
    shift = draw(st.integers(0, 9_999))
    kept = [(START + n * 10 * SECOND + shift, value) for n, value in enumerate(values) if value is not None]
    times = np.array([ms for ms, _ in kept], dtype=np.int64)
    numbers = np.array([0.0 if value == "stale" else value for _, value in kept])
    stale = np.array([value == "stale" for _, value in kept], dtype=np.bool_)
    numbers[stale] = stale_marker(int(stale.sum()))
    return times, numbers


@st.composite
def worlds(draw):
    names = [
        {"__name__": "lag", "topic": "a"},
        {"__name__": "lag", "topic": "b"},
        {"__name__": "owner", "topic": "a", "team": "x"},
        {"__name__": "owner", "topic": "a", "team": "y"},
        {"__name__": "other", "topic": "a"},
    ]
    return SeriesSet.from_samples(Samples(Labels(name), *rows(draw, 24)) for name in names)


def rules(text):
    hold = st.sampled_from([0, 15, 30, 45, 60])
    return st.builds(
        lambda for_s, keep_s: AlertingRule("A", parse(text), text, for_s * SECOND, keep_s * SECOND), hold, hold
    )


def cuts(count):
    return st.lists(st.integers(1, count - 1), max_size=8, unique=True).map(sorted)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), worlds(), st.sampled_from(EXPRESSIONS), st.sampled_from(["2.42", "3.16"]), st.integers(0, 14_999))
def test_pieces_evaluated_here(data, world, text, version, phase_ms):
    semantics = replace(Semantics.of(version), lookback_ms=30 * SECOND)
    times = EvaluationGrid(START, START + 280 * SECOND, 15 * SECOND, phase_ms).times
    rule = data.draw(rules(text))
    where = data.draw(cuts(len(times)))
    for expr in (rule.expr, find_knobs(rule).signal):
        whole = evaluate(expr, world, times, semantics)
        pieces = joined([evaluate(expr, world, part, semantics) for part in np.split(times, where)])
        assert same_grid(whole, pieces)
        if expr is rule.expr:
            assert replay(rule, pieces).firing == replay(rule, whole).firing
        else:
            assert pages_of(rule, pieces) == pages_of(rule, whole)


def test_the_failing_expressions_fail_now_and_then():
    """What the properties say of failed evaluations is not said of none."""
    table = wild()
    grid = EvaluationGrid(START, START + 1000 * SECOND, 15 * SECOND, 137)
    for text in EXPRESSIONS[5:7]:
        found = evaluate(parse(text), samples_of(table), grid.times, Semantics.of("3.16"))
        assert 0 < found.failed.sum() < len(grid)


# ---- the same on real servers -------------------------------------------------------------------


def wild():
    """Two topics and their owners over a thousand seconds, with gaps as long as the lookback."""
    rng = np.random.default_rng(11)
    times = [START + step * 10_000 for step in range(100)]
    values = lambda: [str(value) for value in rng.integers(0, 10, 100)]  # noqa: E731
    whole = list(zip(times, values(), strict=True))
    return {
        'lag{topic="a"}': whole[:30] + whole[45:],
        'lag{topic="b"}': list(zip(times, values(), strict=True)),
        'owner{topic="a",team="x"}': list(zip(times, values(), strict=True)),
        'owner{topic="a",team="y"}': list(zip(times, values(), strict=True))[50:56],
        'other{topic="a"}': list(zip(times, values(), strict=True))[20:37]
        + list(zip(times, values(), strict=True))[70:76],
    }


@pytest.fixture(scope="module", params=RELEASES)
def server(request):
    arguments = ["--query.lookback-delta=30s"]
    config = "global: {scrape_interval: 10s, evaluation_interval: 15s}\n"
    with running_prometheus(openmetrics(wild()), program=request.param, arguments=arguments, config=config) as running:
        yield running.url, Evaluator(running.url), RELEASES[request.param]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data(), text=st.sampled_from(EXPRESSIONS), phase_ms=st.integers(0, 14_999), points=st.integers(1, 70))
def test_pieces_evaluated_by_a_server(server, data, text, phase_ms, points):
    url, at_once, version = server
    semantics = replace(Semantics.of(version), lookback_ms=30 * SECOND, subquery_step_ms=15 * SECOND)
    grid = EvaluationGrid(START, START + 1000 * SECOND, 15 * SECOND, phase_ms)
    rule = data.draw(rules(text))
    where = data.draw(cuts(len(grid)))
    # Each asks once what the server is: that is half of the work, and the same for all.
    in_pieces = Evaluator(url, points=points)
    for expr in (rule.expr, find_knobs(rule).signal):
        asked = format_expr(expr)
        whole = at_once.evaluate(asked, grid).grid
        pieces = in_pieces.evaluate(asked, grid, cuts=where).grid
        assert same_grid(pieces, whole)
        assert same_grid(pieces, evaluate(expr, samples_of(wild()), grid.times, semantics))
        if expr is rule.expr:
            assert replay(rule, pieces).firing == replay(rule, whole).firing
        else:
            assert pages_of(rule, pieces) == pages_of(rule, whole)
