"""What is ordinary, against a version that looks at every day and week one by one."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmon_analysis.labelling.ordinary import BIN_MS, Bins, excess, excess_floor, ordinary, runs
from kmon_analysis.timing import DAY_MS, HOUR_MS, MINUTE_MS, WEEK_MS, Interval

DAY, WEEK, NEAR = DAY_MS // BIN_MS, WEEK_MS // BIN_MS, 6


def near(levels, known, place):
    """Return the highest known level within half an hour; None where nothing is known."""
    places = [p for p in range(place - NEAR, place + NEAR + 1) if 0 <= p < len(levels) and known[p]]
    return max((levels[p] for p in places), default=None)


def of_others(levels, known, place, period, fewest, forgiven):
    others = [p for p in range(place % period, len(levels), period) if p != place]
    found = sorted((near(levels, known, p) for p in others if near(levels, known, p) is not None), reverse=True)
    return found[len(found) // forgiven] if len(found) >= fewest - 1 else None


def naive(levels, known):
    days = [of_others(levels, known, p, DAY, 4, 10) for p in range(len(levels))]
    weeks = [of_others(levels, known, p, WEEK, 3, 5) for p in range(len(levels))]
    comparable = [each is not None for each, there in zip(days, known, strict=True) if there]
    if 2 * sum(comparable) < len(comparable) or not comparable:
        inside = sorted(level for level, there in zip(levels, known, strict=True) if there)
        return [inside[math.ceil(0.99 * len(inside)) - 1] if inside else math.inf] * len(levels)
    both = [[each for each in pair if each is not None] for pair in zip(days, weeks, strict=True)]
    return [max(pair) if pair else math.inf for pair in both]


@pytest.mark.parametrize(
    ("bins", "seed"),
    [(1, 0), (3 * DAY, 1), (5 * DAY + 100, 2), (WEEK + 7, 3), (2 * WEEK + 500, 4), (4 * WEEK + 11, 5)],
)
def test_the_ordinary_is_that_of_the_naive_twin(bins, seed):
    rng = np.random.default_rng(seed)
    levels = rng.integers(0, 6, bins).astype(float)
    levels[rng.random(bins) < 0.2] = -np.inf
    known = rng.random(bins) < 0.9
    known[: bins // 7] = False
    usual, _ = ordinary(levels, known)
    some = rng.integers(0, bins, 400)
    expected = naive(levels, known) if bins < 6 * DAY else None
    for place in some if expected is None else range(bins):
        wanted = expected[place] if expected else at_once(levels, known, place)
        assert usual[place] == wanted, place


def at_once(levels, known, place):
    pair = [of_others(levels, known, place, DAY, 4, 10), of_others(levels, known, place, WEEK, 3, 5)]
    return max((each for each in pair if each is not None), default=math.inf)


def test_a_day_never_excuses_itself():
    levels = np.zeros(10 * DAY)
    levels[4 * DAY + 100] = 50.0
    usual, basis = ordinary(levels, np.ones(len(levels), dtype=bool))
    assert usual[4 * DAY + 100] == 0.0
    assert basis == "at this hour of other days"


def test_a_nightly_peak_is_ordinary_at_night_only():
    levels = np.zeros(3 * WEEK)
    levels[24::DAY] = 50.0
    usual, basis = ordinary(levels, np.ones(len(levels), dtype=bool))
    assert usual[24] == 50.0
    assert usual[24 + 7] == 0.0
    assert basis == "at this hour of other days and weeks"


def test_days_of_which_nothing_is_known_are_no_others():
    levels = np.zeros(6 * DAY)
    known = np.arange(6 * DAY) >= 3 * DAY
    levels[5 * DAY + 100] = 50.0
    usual, basis = ordinary(levels, known)
    assert basis == "in 99 % of the time"
    assert (usual == 0.0).all()
    assert ordinary(levels, np.arange(6 * DAY) >= 2 * DAY)[1] == "at this hour of other days"


def test_an_empty_history_has_nothing_unusual():
    usual, _ = ordinary(np.full(10, -np.inf), np.zeros(10, dtype=bool))
    assert np.all(np.isposinf(usual))


@given(
    st.lists(st.floats(0, 1e9), min_size=1, max_size=20),
    st.floats(0, 1e9),
    st.floats(1e-3, 1e6),
    st.booleans(),
    st.floats(0.1, 5),
)
def test_the_floor_is_where_the_excess_reaches_its_least(values, normal, unit, falls, least):
    levels = -np.array(values) if falls else np.array(values)
    usual = np.full(len(levels), -normal if falls else normal)
    over = levels >= excess_floor(usual, unit, least, falls=falls)
    height = excess(levels, usual, unit, falls=falls)
    sure = np.abs(height - least) > 1e-9
    assert np.array_equal(over[sure & (levels != 0)], height[sure & (levels != 0)] >= least)


def test_nothing_is_in_excess_of_the_unknown():
    levels = np.array([5.0, -np.inf, 5.0, np.inf])
    usual = np.array([np.inf, 0.0, -np.inf, 1.0])
    assert list(excess(levels, usual, 1.0, falls=False)[:2]) == [0.0, 0.0]
    assert excess(levels, usual, 1.0, falls=False)[2] == pytest.approx(math.log(6))
    assert np.isfinite(excess(levels, usual, 1.0, falls=False)).all()
    assert excess(-levels, usual, 1.0, falls=True)[2] == 0.0
    assert not excess(levels, usual, 0.0, falls=False).any()


@given(st.lists(st.booleans(), max_size=40), st.integers(0, 4))
def test_runs_cover_the_marked_and_no_long_break(marks, bridge):
    found = runs(np.array(marks, dtype=bool), bridge)
    covered = {place for first, last in found for place in range(first, last + 1)}
    assert {place for place, marked in enumerate(marks) if marked} <= covered
    assert all(marks[first] and marks[last] for first, last in found)
    for (_, last), (first, _) in itertools.pairwise(found):
        assert first - last > bridge + 1
    for first, last in found:
        text = "".join("x" if marks[place] else "." for place in range(first, last + 1))
        assert "." * (bridge + 1) not in text


def test_bins_take_the_highest_value():
    bins = Bins.over(Interval(7, 7 + HOUR_MS + 1))
    assert bins.count == 13
    times = np.array([7, 7 + 4 * MINUTE_MS, 7 + 5 * MINUTE_MS, 7 + HOUR_MS])
    found = bins.highest(times, np.array([1.0, 3.0, 2.0, 9.0]))
    assert list(found[[0, 1, 12]]) == [3.0, 2.0, 9.0]
    assert np.isneginf(found[2:12]).all()
    assert bins.span(1, 1) == Interval(7 + 5 * MINUTE_MS, 7 + 10 * MINUTE_MS)
