from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmon_analysis.backtest.settings import Settings
from kmon_analysis.report import shapes
from kmon_analysis.report.view import look, settings_of
from kmon_analysis.timing import MINUTE_MS, Interval
from tests.report.samples import START, incident, replay

STEP = MINUTE_MS
value = st.one_of(st.just(math.nan), st.floats(-1e6, 1e6, allow_nan=False).map(lambda v: round(v, 2)))


def line(values):
    return np.arange(len(values), dtype=np.int64) * STEP, np.array(values, dtype=np.float64)


def spans(x, y):
    """Cut a drawn line at its NaN into unbroken runs."""
    breaks = np.flatnonzero(np.isnan(y))
    return [(a, b) for a, b in zip(np.split(x, breaks), np.split(y, breaks), strict=True)]


@given(st.lists(value, min_size=1, max_size=400), st.integers(2, 40))
def test_a_thinned_line_keeps_the_extremes_of_every_pixel(values, columns):
    times, what = line(values)
    period = Interval(0, len(values) * STEP)
    x, y = shapes.thin_line(times, what, period, STEP, columns)
    width = period.duration_ms / columns
    for column in range(columns):
        inside = what[(times // width).astype(int) == column]
        inside = inside[~np.isnan(inside)]
        if len(values) <= 2 * columns:
            assert set(inside) <= set(y[~np.isnan(y)])
            continue
        drawn = y[(x >= column * width) & (x < (column + 1) * width)]
        drawn = drawn[~np.isnan(drawn)]
        if len(inside):
            assert (drawn.min(), drawn.max()) == (inside.min(), inside.max())
        else:
            assert not len(drawn)
    assert len(x) <= max(3 * columns, 6 * columns)
    assert not np.isnan(x).any()


@given(st.lists(st.booleans(), min_size=3, max_size=300), st.integers(2, 20))
def test_a_gap_breaks_the_line_and_nothing_else_does(present, columns):
    times, what = line([1.0 if here else math.nan for here in present])
    _x, y = shapes.thin_line(times, what, Interval(0, len(present) * STEP), STEP, columns)
    breaks = int(np.isnan(y).sum())
    assert bool(breaks) == (not all(present))


def test_a_hole_in_the_evaluations_is_a_gap():
    times = np.array([0, 1, 2, 7, 8]) * STEP
    for columns in (100, 2):
        _, y = shapes.thin_line(times, np.ones(5), Interval(0, 10 * STEP), STEP, columns)
        assert np.isnan(y).any()


def test_a_value_between_two_gaps_has_an_extent():
    times, what = line([math.nan, 5.0, math.nan])
    x, y = shapes.thin_line(times, what, Interval(0, 3 * STEP), STEP)
    [drawn] = [x[y == 5.0]]
    assert drawn.max() > drawn.min()


def test_a_long_line_is_thinned_to_the_width_of_the_picture():
    values = np.random.default_rng(1).normal(size=200_000)
    times = np.arange(200_000, dtype=np.int64) * STEP
    x, y = shapes.thin_line(times, values, Interval(0, 200_000 * STEP), STEP)
    assert len(x) <= 3 * shapes.COLUMNS
    assert (np.nanmin(y), np.nanmax(y)) == (values.min(), values.max())


@given(st.lists(st.booleans(), min_size=1, max_size=200), st.integers(3, 50))
def test_thinned_runs_cover_the_state_to_a_pixel(mask, columns):
    times = np.arange(len(mask), dtype=np.int64) * STEP
    period = Interval(0, len(mask) * STEP)
    runs = shapes.thin_mask(times, np.array(mask), period, STEP, columns)
    pixel = period.duration_ms / columns
    for column, on in enumerate(mask):
        now = column * STEP
        covered = any(start <= now < start + length for start, length in runs)
        assert covered or not on
        near = any(abs(now - other * STEP) <= 2 * pixel + STEP for other, there in enumerate(mask) if there)
        assert near or not covered


@pytest.mark.parametrize("op", [">", ">=", "<", "<="])
@given(st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.5, 7.0, math.nan]), min_size=4, max_size=40), st.integers(0, 2))
def test_steps_are_the_curve_at_every_threshold(op, values, hold):
    rule = replay([values, values[::-1]], text=f"lag {op} 2", for_ms=hold * STEP)
    curve, signal = rule.curve(), rule.signal()
    steps = shapes.steps_of(signal, curve.false_pages)
    for threshold in [-1.0, 0.0, 0.5, 1.0, 1.7, 2.0, 3.0, 3.5, 5.0, 7.0, 8.0]:
        expected = rule.score(threshold).false_pages
        if threshold in steps.edges:
            # An edge belongs to one of its two sides, depending on the comparison.
            place = int(np.searchsorted(steps.edges, threshold))
            assert expected in (steps.heights[place], steps.heights[place + 1])
        else:
            assert steps.between(threshold) == expected


@given(st.lists(st.integers(0, 30), min_size=2, max_size=200), st.integers(4, 30))
def test_drawn_steps_show_every_pixel_s_extremes(heights, pixels):
    edges = np.arange(1, len(heights), dtype=np.float64)
    steps = shapes.Steps(edges, np.array(heights, dtype=np.float64))
    bounds = np.linspace(0.5, len(heights) - 0.5, pixels + 1)
    x, y = steps.polyline(bounds)
    assert (np.diff(x) >= 0).all()
    assert (x[0], x[-1]) == (bounds[0], bounds[-1])
    if len(edges) <= 2 * len(bounds):
        for middle in np.arange(0.75, len(heights) - 0.5, 0.5):
            assert y[np.searchsorted(x, middle) - 1] == steps.between(float(middle))
        return
    for low, high in itertools.pairwise(bounds):
        seen = {float(h) for h in y[(x >= low) & (x <= high)]}
        inside = [low, *edges[(edges > low) & (edges < high)], high]
        between = {steps.between(float(p) + move) for p in inside for move in (-1e-9, 1e-9) if low < p + move < high}
        # A pixel includes its borders: what holds just beyond them may be drawn on them.
        about = between | {steps.between(float(p) + move) for p in (low, high) for move in (-1e-9, 1e-9)}
        assert seen <= about
        assert min(seen) <= min(between)
        assert max(seen) >= max(between)


def test_an_infinite_value_is_no_edge():
    rule = replay([1.0, math.inf, 1.0, math.inf, 1.0], text="lag > 2", settings=Settings(merge_gap_ms=0))
    steps = shapes.steps_of(rule.signal(), rule.curve().pages)
    assert (steps.edges.tolist(), steps.heights.tolist()) == ([1.0], [1.0, 2.0])


def delays(values, incidents, text="lag > 2", for_ms=0):
    rule = replay(values, text=text, for_ms=for_ms, incidents=incidents)
    [view] = look(rule, settings_of(rule, None, None))
    return rule, [shapes.delay_steps(view.firing.signal, reach) for reach in view.reaches]


@pytest.mark.parametrize(("text", "sign"), [("lag > 2", 1), ("lag < -2", -1)])
def test_delay_steps_are_the_scored_delays(text, sign):
    rng = np.random.default_rng(3)
    values = rng.integers(0, 9, 600).astype(float) * sign
    incidents = [incident("A", 2, 1), incident("B", 5, 0.5)]
    rule, each = delays(values, incidents, text)
    for threshold in np.arange(-0.5, 9, 1.0) * sign:
        outcomes = rule.score(float(threshold)).outcomes
        for steps, outcome in zip(each, outcomes, strict=True):
            shown = steps.between(float(threshold))
            if outcome.delay_ms is None:
                assert math.isnan(shown)
            else:
                assert shown == outcome.delay_ms / MINUTE_MS


def test_a_rule_that_fired_before_has_no_delay():
    values = np.full(400, 5.0)
    values[105:125], values[130:160] = 3.0, 8.0
    rule, [steps] = delays(values, [incident("A", 2, 0.5)])
    for threshold, minutes in ((2.0, math.nan), (4.0, math.nan), (6.0, 10.0), (9.0, math.nan)):
        [outcome] = rule.score(threshold).outcomes
        assert (outcome.status == "caught") == (not math.isnan(minutes))
        assert steps.between(threshold) == pytest.approx(minutes, nan_ok=True)


def test_an_incident_that_the_page_of_an_earlier_one_tells_of_does_not_end_the_worst():
    values = np.zeros(400)
    values[100:115], values[115:160], values[140:150] = 3.0, 5.0, 8.0
    rule, each = delays(values, [incident("A", 2), incident("B", 2.25)])
    for threshold, within, minutes in ((2.0, None, math.nan), (4.0, "A", 0.0), (6.0, None, 5.0), (9.0, None, math.nan)):
        assert rule.score(threshold).outcomes[1].within == within
        assert each[1].between(threshold) == pytest.approx(minutes, nan_ok=True)
    assert shapes.combined_delays(each)[1].between(4.0) == 0.0


def test_worst_and_median_end_where_incidents_are_lost():
    values = np.zeros(600)
    values[125:140], values[300:320], values[420:430] = 5, 10, 20
    _, each = delays(values, [incident("A", 2, 0.5), incident("B", 5, 0.5), incident("C", 7, 0.5)], for_ms=0)
    median, worst = shapes.combined_delays(each)
    assert worst.between(4.0) == 5.0
    assert math.isnan(worst.between(6.0))
    assert median.between(6.0) == 0.0
    assert math.isnan(median.between(15.0))
    nothing, _ = shapes.combined_delays([])
    assert math.isnan(nothing.between(1.0))


def test_the_lines_of_a_signal_are_the_ones_that_come_nearest():
    values = np.tile(np.arange(10.0)[:, None], (1, 50))
    values[9, 3] = math.inf
    rule = replay(values, text="lag > 2")
    lines = shapes.signal_lines(rule.signal(), rule.period, lines=4)
    assert [labels["consumergroup"] for labels in lines.labels] == ["group-9", "group-8", "group-7"]
    assert lines.rest == 7
    assert (lines.rest_low[1].min(), lines.rest_high[1].max()) == (0.0, 6.0)
    assert (lines.low, lines.high, lines.least_positive, lines.infinite) == (0.0, 9.0, 1.0, 1)


def test_falling_rules_show_their_lowest_lines():
    rule = replay(np.tile(np.arange(1.0, 9.0)[:, None], (1, 20)), text="rate < 2")
    lines = shapes.signal_lines(rule.signal(), rule.period, lines=3)
    assert [labels["consumergroup"] for labels in lines.labels] == ["group-0", "group-1"]
    assert lines.lines[0][1].max() == 1.0


def test_nothing_to_draw_is_no_error():
    rule = replay(np.full((2, 30), np.nan))
    lines = shapes.signal_lines(rule.signal(), rule.period)
    assert lines.labels == ()
    assert math.isnan(lines.high)
    elsewhere = Interval(START - 10 * STEP, START - 5 * STEP)
    assert shapes.signal_lines(rule.signal(), elsewhere).labels == ()


def test_the_lane_shows_pending_then_firing():
    rule = replay([0, 5, 5, 5, 5, 0, 0], text="lag > 2", for_ms=2 * STEP)
    states = shapes.lane(rule.firing(), rule.level(), rule.period, 700)
    relative = [((runs - [START, 0]) / STEP).tolist() for runs in (states.pending, states.firing)]
    assert relative == [[[1.0, 2.0]], [[3.0, 2.0]]]
