import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from kmon_analysis.errors import SettingError
from kmon_analysis.recommend import uncertainty
from kmon_analysis.recommend.uncertainty import (
    clopper_pearson,
    delay_summary,
    fano_factor,
    next_missed,
    poisson_upper_count,
    predict_pages,
    quiet_weeks_needed,
)

# n of n found: lower bounds in percent, two-sided 95 % and one-sided 90 %.
ALL_FOUND = {
    1: (3, 10),
    2: (16, 32),
    3: (29, 46),
    5: (48, 63),
    8: (63, 75),
    10: (69, 79),
    15: (78, 86),
    20: (83, 89),
    30: (88, 93),
}


@pytest.mark.parametrize("n", ALL_FOUND)
def test_all_found_says_little_when_all_are_few(n):
    both, one = ALL_FOUND[n]
    assert round(100 * clopper_pearson(n, n).low) == both
    assert round(100 * clopper_pearson(n, n, level=0.8).low) == one
    assert clopper_pearson(n, n).low == pytest.approx(0.025 ** (1 / n))
    assert clopper_pearson(n, n).high == 1


def naive_clopper_pearson(k, n, level):
    """Bisect the tail sums of the binomial distribution."""
    tail = (1 - level) / 2

    def at_least(p):
        return sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))

    def bisect(rising, target):
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if rising(middle) < target else (low, middle)
        return low

    low = bisect(at_least, tail) if k else 0.0
    high = bisect(lambda p: at_least(p) - math.comb(n, k) * p**k * (1 - p) ** (n - k), 1 - tail) if k < n else 1.0
    return low, high


@given(
    st.integers(1, 25).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.5, 0.9, 0.95])
)
def test_exact_bounds_are_those_of_the_tail_sums(counts, level):
    assert clopper_pearson(*counts, level) == pytest.approx(naive_clopper_pearson(*counts, level), abs=1e-9)


@pytest.mark.parametrize(("n", "p"), [(5, 0.7), (10, 0.9), (20, 0.5)])
def test_exact_bounds_cover_at_least_as_stated(n, p):
    covered = sum(
        stats.binom.pmf(k, n, p) for k in range(n + 1) if (b := clopper_pearson(k, n, 0.9)).low <= p <= b.high
    )
    assert covered >= 0.9


def test_the_next_incident_has_a_uniform_rank():
    assert next_missed(3) == 0.25
    assert next_missed(9, edge=2) == 0.2
    rng = np.random.default_rng(1)
    peaks = rng.lognormal(size=(20_000, 6))
    for edge in (1, 2):
        threshold = np.sort(peaks[:, :5], axis=1)[:, edge - 1]
        assert np.mean(peaks[:, 5] < threshold) == pytest.approx(next_missed(5, edge), abs=0.01)


@pytest.mark.parametrize(("edge", "n"), [(0, 3), (4, 3), (1, 0)])
def test_an_edge_must_be_one_of_the_incidents(edge, n):
    with pytest.raises(SettingError, match="edge"):
        next_missed(n, edge)


def test_delays_below_five_incidents_have_no_interval():
    summary = delay_summary([30.0, 10, 20, 90])
    assert (summary.found, summary.missed, summary.median_s, summary.worst_s) == (4, 0, 25, 90)
    assert summary.median_bounds_s is None
    assert summary.coverage is None


@pytest.mark.parametrize(
    ("n", "rank", "coverage"),
    [(5, 1, 0.9375), (6, 1, 0.96875), (7, 1, 0.984375), (8, 2, 0.9296875), (11, 3, 0.9345703125)],
)
def test_the_median_lies_between_order_statistics(n, rank, coverage):
    summary = delay_summary(np.arange(1.0, n + 1))
    assert summary.median_bounds_s == (rank, n + 1 - rank)
    assert summary.coverage == coverage


def test_a_missed_incident_is_an_endless_delay():
    summary = delay_summary([60, math.inf, 120, 30, math.inf])
    assert (summary.found, summary.missed, summary.median_s, summary.worst_s) == (3, 2, 120, 120)
    assert summary.median_bounds_s == (30, math.inf)
    assert delay_summary([60, math.inf]).median_s == math.inf
    assert delay_summary([math.inf, math.inf]).median_s == math.inf
    assert math.isnan(delay_summary([math.inf]).worst_s)
    assert math.isnan(delay_summary([]).median_s)


@pytest.mark.parametrize("bad", [[-1.0], [math.nan]])
def test_delays_are_times(bad):
    with pytest.raises(SettingError, match="delay"):
        delay_summary(bad)


def test_the_interval_for_the_median_covers_as_stated():
    rng = np.random.default_rng(2)
    held = 0
    for delays in rng.exponential(size=(2000, 9)):
        low, high = delay_summary(delays).median_bounds_s
        held += low <= math.log(2) <= high
    assert held / 2000 == pytest.approx(delay_summary(np.arange(9.0)).coverage, abs=0.02)


@pytest.mark.parametrize(("pages", "upper"), [(0, 2.30), (1, 3.89), (2, 5.32), (3, 6.68), (5, 9.27), (8, 12.99)])
def test_upper_counts_are_the_tabled_ones(pages, upper):
    assert round(poisson_upper_count(pages), 2) == upper


@pytest.mark.parametrize(("budget", "weeks"), [(1, 2.3), (0.25, 9.2), (0.1, 23.0)])
def test_quiet_weeks_that_show_a_budget(budget, weeks):
    assert round(quiet_weeks_needed(budget), 1) == weeks


def test_dispersion_of_weekly_counts():
    assert fano_factor([2, 2, 2]) == 0
    assert fano_factor([0, 0, 0, 8]) == 8
    assert math.isnan(fano_factor([0, 0, 0]))
    assert math.isnan(fano_factor([5]))
    rng = np.random.default_rng(3)
    assert fano_factor(rng.poisson(5, 20_000)) == pytest.approx(1, abs=0.03)


def drawn_pages(pages, weeks, fano, horizon=4, size=200_000, seed=4):
    """The specification, drawn literally."""
    rng = np.random.default_rng(seed)
    rate = rng.gamma((pages + 0.5) / fano, fano / weeks, size)
    mean = rate * horizon * np.exp(np.clip(0.8 * rng.standard_t(4, size), -4, 4))
    if fano == 1:
        return rng.poisson(mean)
    return rng.poisson(rng.gamma(np.maximum(mean / (fano - 1), 1e-300), fano - 1))


# Pages, weeks, dispersion; the first three are those of the pilot at its budgets.
CASES = [
    (16, 8, 4.5),
    (8, 8, 3.2),
    (4, 8, 2.4),
    (0, 8, 1.0),
    (0, 2, 1.0),
    (3, 11, 1.2),
    (5, 4, 5.0),
    (500, 8, 4.0),
    (100, 20, 1.0),
    (1, 8, 30.0),
]


@pytest.mark.parametrize(("pages", "weeks", "fano"), CASES)
def test_predictions_are_those_of_the_drawn_mixture(pages, weeks, fano):
    predicted = predict_pages(pages, weeks, fano)
    drawn = drawn_pages(pages, weeks, fano)
    for probability, quantile in [(0.05, predicted.low), (0.5, predicted.median), (0.95, predicted.high)]:
        # The least count that reaches the probability, within the error of the draw.
        assert np.mean(drawn <= quantile) >= probability - 0.003
        assert np.mean(drawn < quantile) < probability + 0.003
    for count in {0, 1, predicted.median, predicted.high, 2 * predicted.high}:
        assert predicted.probability_above(count) == pytest.approx(np.mean(drawn > count), abs=0.004)


@pytest.mark.parametrize(("pages", "weeks", "fano"), CASES)
def test_predictions_are_integrated_as_exactly_as_stated(pages, weeks, fano):
    predicted = predict_pages(pages, weeks, fano)
    finer = uncertainty._mixture(pages, weeks, predicted.fano, 4, (4 * 96, 4 * 32))
    assert finer[1].sum() == pytest.approx(1)
    for count in {0, 1, predicted.low, predicted.median, predicted.high, 3 * predicted.high}:
        exact = 1 - uncertainty._mixture_cdf(count, *finer, predicted.fano)
        assert predicted.probability_above(count) == pytest.approx(exact, abs=1e-4)


@pytest.mark.parametrize("shape", [0.02, 0.5, 3, 40, 4000])
def test_nodes_of_the_rate_have_its_moments(shape):
    nodes, weights = uncertainty._gamma(shape, 1e-9, 32)
    assert weights.sum() == pytest.approx(1)
    assert weights @ nodes == pytest.approx(shape, rel=1e-4)
    assert weights @ nodes**2 == pytest.approx(shape * (shape + 1), rel=1e-4)


def test_nodes_of_the_level_shift_are_those_of_student_t():
    factors, weights = uncertainty._level_shift(96)
    assert weights.sum() == pytest.approx(1)
    shift = np.log(factors) / 0.8
    assert (shift[0], shift[-1]) == pytest.approx((-5, 5))
    assert weights[0] == weights[-1] == pytest.approx(stats.t.sf(5, 4))
    inside = stats.t.expect(lambda x: x * x, args=(4,), lb=-5, ub=5)
    assert weights @ shift**2 == pytest.approx(inside + 2 * 25 * stats.t.sf(5, 4), rel=1e-6)


def test_predictions_are_wide_and_say_so():
    # The widths that the form had in rolling windows: 49, 27 and 14 pages in 4 weeks.
    widths = [(p := predict_pages(*case)).high - p.low for case in CASES[:3]]
    assert widths == [52, 28, 16]
    quiet = predict_pages(0, 8)
    assert (quiet.low, quiet.median, quiet.high, quiet.fano) == (0, 0, 2, 1)


@given(st.integers(0, 60), st.floats(2, 60), st.floats(1, 20), st.floats(1, 12))
@settings(max_examples=30)
def test_predictions_are_ordered_and_grow_with_the_past(pages, weeks, fano, horizon):
    less = predict_pages(pages, weeks, fano, horizon_weeks=horizon)
    more = predict_pages(pages + 5, weeks, fano, horizon_weeks=horizon)
    assert 0 <= less.low <= less.median <= less.high
    assert less.low <= more.low
    assert less.median <= more.median
    assert less.high <= more.high
    assert less.probability_above(less.high) <= 0.05 + 1e-9
    assert less.high == 0 or less.probability_above(less.high - 1) > 0.05 - 1e-9
    assert less.probability_above(-1) == 1


@pytest.mark.parametrize("fano", [math.nan, 0.0, 0.4, 1.0, 1 + 1e-9])
def test_less_than_independent_counts_as_independent(fano):
    given, independent = predict_pages(8, 8, fano), predict_pages(8, 8, 1.0)
    assert (given.low, given.median, given.high) == (independent.low, independent.median, independent.high)


def test_the_limit_of_independent_pages_is_reached_smoothly():
    exact, near = predict_pages(8, 8, 1.0), predict_pages(8, 8, 1.00001)
    for count in range(0, 60, 5):
        assert near.probability_above(count) == pytest.approx(exact.probability_above(count), abs=1e-4)


def test_a_prediction_is_the_same_every_time():
    assert repr(predict_pages(500, 8, 4.0)) == repr(predict_pages(500, 8, 4.0))


def test_a_prediction_needs_two_weeks():
    with pytest.raises(SettingError, match="too few to predict"):
        predict_pages(3, 1.9)
    with pytest.raises(SettingError, match="over 0 weeks"):
        predict_pages(3, 8, horizon_weeks=0)


def test_the_interval_covers_weeks_to_come_when_the_model_is_true():
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(200):
        past = rng.negative_binomial(1.5, 0.5, size=8)  # mean 1.5 a week, variance over mean 2
        shift = math.exp(np.clip(0.8 * rng.standard_t(4), -4, 4))
        coming = rng.negative_binomial(1.5 * 4 * shift, 0.5)
        predicted = predict_pages(int(past.sum()), 8, fano_factor(past))
        held += predicted.low <= coming <= predicted.high
    assert 0.85 <= held / 200 <= 0.98


@pytest.mark.parametrize(
    "call",
    [
        lambda: clopper_pearson(3, 2),
        lambda: clopper_pearson(-1, 2),
        lambda: clopper_pearson(1, 1, level=0.0),
        lambda: quiet_weeks_needed(0),
    ],
)
def test_senseless_counts_are_refused(call):
    with pytest.raises(SettingError) as caught:
        call()
    assert caught.value.cure
