import itertools
import math
import random

import numpy as np
import pytest

from kmon_analysis.errors import ExpressionError
from kmon_analysis.labels import Labels
from kmon_analysis.promql.evaluate import check_supported, evaluate
from kmon_analysis.promql.parser import parse
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.series import Samples, SeriesSet, stale_marker
from tests.promql import generate, naive

OLD, NEW = Semantics.of("2.42"), Semantics.of("3.5")
STALE = float(stale_marker()[0])


def series(**named):
    """Series a, b …; each a list of (seconds, value)."""
    return SeriesSet.from_samples(
        Samples(
            Labels({"__name__": name}),
            np.array([int(seconds * 1000) for seconds, _ in samples], dtype=np.int64),
            np.array([float(value) for _, value in samples]),
        )
        for name, samples in named.items()
    )


def at(text, history, seconds, semantics=NEW):
    grid = evaluate(parse(text), history, np.array([int(seconds * 1000)]), semantics)
    return "failed" if grid.failed[0] else {str(labels): value for labels, value in grid.at(0).items()}


def test_lookback_window():
    history = series(a=[(100, 1)])
    for semantics, there in ((OLD, True), (NEW, False)):
        assert bool(at("a", history, 400, semantics)) is there
        assert at("a", history, 399.999, semantics) == {"a": 1.0}
        assert at("a", history, 100, semantics) == {"a": 1.0}
        assert at("a", history, 99.999, semantics) == {}
        assert at("a", history, 400.001, semantics) == {}


def test_stale_marker_ends_a_series_and_nan_does_not():
    history = series(a=[(100, 1), (110, STALE)], b=[(100, 1), (110, math.nan)])
    assert at("a", history, 115) == {}
    assert list(at("b", history, 115)) == ["b"]
    assert at("count_over_time(a[1m])", history, 115) == {"{}": 1.0}
    assert at("count_over_time(b[1m])", history, 115) == {"{}": 2.0}


def test_range_window():
    history = series(a=[(0, 1), (60, 2)])
    assert at("count_over_time(a[1m])", history, 60, OLD) == {"{}": 2.0}
    assert at("count_over_time(a[1m])", history, 60, NEW) == {"{}": 1.0}
    assert at("count_over_time(a[1m] offset -1m)", history, 0, NEW) == {"{}": 1.0}
    assert at("count_over_time(a[1m] @ 60 offset 1m)", history, 999, NEW) == {"{}": 1.0}


def test_rate_clamps_at_zero_before_the_threshold_in_old_releases():
    history = series(a=[(30, 1), (40, 11), (50, 21), (60, 31)])
    assert at("increase(a[1m])", history, 60, NEW)["{}"] == pytest.approx(31)
    assert at("increase(a[1m])", history, 60, OLD)["{}"] == pytest.approx(31)
    late = series(a=[(30, 12), (40, 22), (50, 32), (60, 42)])
    assert at("increase(a[1m])", late, 60, NEW)["{}"] == pytest.approx(35)
    assert at("increase(a[1m])", late, 60, OLD)["{}"] == pytest.approx(35)
    between = series(a=[(30, 8), (40, 18), (50, 28), (60, 38)])
    assert at("increase(a[1m])", between, 60, NEW)["{}"] == pytest.approx(35)
    assert at("increase(a[1m])", between, 60, OLD)["{}"] == pytest.approx(38)


def test_resets_are_added_one_by_one():
    values = [0.1, 0.7, 0.2, 0.4, 0.3, 0.9, 0.05]
    history = series(a=list(enumerate(values)))
    total = values[-1] - values[0]
    for before, after in itertools.pairwise(values):
        total += before if after < before else 0
    assert at("increase(a[6s])", history, 6, OLD) == {"{}": total}


def test_compensated_sums():
    history = series(a=[(0, 1), (1, 1e100), (2, 1), (3, -1e100)])
    assert at("sum_over_time(a[10s])", history, 3) == {"{}": 2.0}
    spread = series(a=[(0, 1)], b=[(0, 1e100)], c=[(0, 1)], d=[(0, -1e100)])
    assert at('sum({__name__=~".+"})', spread, 0, Semantics.of("2.54")) == {"{}": 2.0}
    assert at('sum({__name__=~".+"})', spread, 0, Semantics.of("2.53")) == {"{}": 0.0}


def test_duplicate_labels_fail_only_the_times_at_which_they_meet():
    history = series(a=[(0, 1), (10, STALE)], b=[(5, 2)])
    grid = evaluate(parse('-{__name__=~"a|b"}'), history, np.array([0, 5000, 10_000]), NEW)
    assert grid.failed.tolist() == [False, True, False]
    assert grid.labels == (Labels(),)
    assert grid.present.tolist() == [[True, False, True]]
    assert grid.values[0, [0, 2]].tolist() == [-1.0, -2.0]


def test_failed_inner_steps_fail_the_windows_that_hold_them():
    history = series(a=[(0, 1), (10, STALE)], b=[(5, 2)])
    text = 'count_over_time((-{__name__=~"a|b"})[10s:5s])'
    times = np.array([0, 5000, 10_000, 14_999, 15_000, 20_000])
    assert evaluate(parse(text), history, times, NEW).failed.tolist() == [False, True, True, True, False, False]
    assert evaluate(parse(text), history, times, OLD).failed.tolist() == [False, True, True, True, True, False]


def test_one_to_one_duplicates_that_a_comparison_filters():
    history = SeriesSet.from_samples(
        Samples(Labels({"__name__": name, **labels}), np.array([0]), np.array([value]))
        for name, labels, value in [("a", {"x": "1"}, 1.0), ("a", {"x": "2"}, 9.0), ("b", {}, 5.0)]
    )
    assert at("a > on () b", history, 0, NEW) == {"{}": 9.0}
    assert at("a > on () b", history, 0, Semantics.of("3.9")) == "failed"
    assert at("a > bool on () b", history, 0, NEW) == "failed"
    assert at("b < on () a", history, 0, NEW) == "failed"
    assert at("b < on () (a > 100)", history, 0, NEW) == {}


def test_scalar_result_is_one_element_without_labels():
    assert at("1 + 2", series(), 0) == {"{}": 3.0}
    assert at("time()", series(), 1.5) == {"{}": 1.5}


def test_calendar_of_what_is_no_time():
    history = series(a=[(0, math.nan)])
    assert at("hour(a)", history, 0) == {"{}": 15.0}


def test_scalars_are_not_copied_out():
    times = np.arange(0, 100_000, 1000)
    grid = evaluate(parse("vector(3)"), series(), times, NEW)
    assert grid.values.shape == (1, 100)


def test_no_times_and_no_series():
    none = np.empty(0, dtype=np.int64)
    for text in ("a", "rate(a[5m])", "sum(a)", "a + b", "a or b", "absent(a)", "max_over_time(a[5m:1m])", "topk(1, a)",
                 "quantile_over_time(0.5, a[5m])", "scalar(a)", "-a", "1"):  # fmt: skip
        assert evaluate(parse(text), series(a=[(0, 1)]), none, NEW).values.shape[1] == 0
        evaluate(parse(text), series(), np.array([0, 1]), NEW)


def test_times_must_ascend():
    with pytest.raises(ValueError, match="ascend"):
        evaluate(parse("a"), series(), np.array([1, 0]), NEW)


@pytest.mark.parametrize(
    ("text", "words", "start"),
    [
        ("1 + mad_over_time(a[5m])", "function 'mad_over_time' .* experimental", 4),
        ("histogram_sum(a)", "function 'histogram_sum' .* native histograms", 0),
        ("rate(a[5m] anchored)", "modifier 'anchored' .* 3.16", 5),
        ("a + (a </ 5)", "operator '</' .* native histograms", 5),
        ("limitk(1, a)", "aggregation 'limitk' .* experimental", 0),
        ("timestamp(a @ 5 offset 1m)", "both '@' and 'offset'", 0),
        ("sum_over_time((a @ 5)[1m:] offset -30s)", "'@' in a subquery with a negative offset", 15),
        ("sum_over_time((a @ 5)[1m:] @ 90)", "'@' in a subquery with a negative offset", 15),
        ("a[5m]", "type matrix", 0),
        ('"text"', "type string", 0),
    ],
)
def test_refusals_name_what_and_where(text, words, start):
    with pytest.raises(ExpressionError, match=words) as caught:
        check_supported(parse(text), text)
    assert caught.value.start == start
    with pytest.raises(ExpressionError, match=words):
        evaluate(parse(text), series(), np.array([0]), NEW)


@pytest.mark.parametrize(
    ("text", "version", "words"),
    [
        ("holt_winters(a[5m], 0.5, 0.5)", "3.0", "does not know it: since 3.0 it is double_exponential_smoothing"),
        ("first_over_time(a[5m])", "3.13", "evaluated from 3.14 on"),
        ("histogram_fraction(0, 1, a)", "3.3", "only knows native histograms; here it is evaluated from 3.4 on"),
    ],
)
def test_functions_of_other_releases_are_refused(text, version, words):
    with pytest.raises(ExpressionError, match=words):
        check_supported(parse(text), text, semantics=Semantics.of(version))
    check_supported(parse(text), text)


def test_the_end_in_a_subquery_is_the_evaluation_of_the_rule():
    history = series(a=[(second, second) for second in range(0, 600, 10)])
    assert at("min_over_time((a @ end())[2m:10s])", history, 300) == {"{}": 300.0}
    assert at("min_over_time((a @ start() - a)[2m:10s])", history, 300) == {"{}": 0.0}
    assert at("max_over_time((a @ end() - a)[2m:10s])", history, 300) == {"{}": 110.0}
    nested = "sum_over_time((max_over_time((a @ end())[1m:10s]) - a)[30s:10s])"
    assert at(nested, history, 300) == {"{}": 0.0 + 10.0 + 20.0}
    assert at("predict_linear((a @ end() * 0 + a)[2m:10s], 60)", history, 300)["{}"] == pytest.approx(360)


def test_count_values_that_differ_at_every_time_are_refused_not_tried():
    history = series(a=[(second, second) for second in range(20_000)])
    with pytest.raises(ExpressionError, match="different values"):
        evaluate(parse('count_values("v", a)'), history, np.arange(20_000) * 1000, NEW)


def check_against_naive(text, history, times, semantics):
    expr = parse(text)
    grid = evaluate(expr, history, np.array(times), semantics)
    for column, time in enumerate(times):
        place = f"{text} at {time} ms"
        try:
            expected = naive.evaluate(expr, history, time, semantics)
        except naive.Failed:
            assert grid.failed[column], place
            continue
        assert not grid.failed[column], place
        ours = grid.at(column)
        assert ours.keys() == expected.keys(), place
        for labels, value in expected.items():
            same = ours[labels] == value or (math.isnan(ours[labels]) and math.isnan(value))
            assert same, f"{place}: {labels} is {value!r}, we have {ours[labels]!r}"


VERSIONS = pytest.mark.parametrize("version", ["2.42", "2.54", "2.55", "3.5", "3.16"])


@VERSIONS
@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_the_naive_evaluator(version, seed):
    rng = random.Random(f"{version}-{seed}")
    history = generate.history(rng)
    expressions = generate.Expressions(rng, release=Semantics.of(version).release)
    times = generate.times(rng, 12)
    for text in [expressions.any() for _ in range(50)]:
        check_against_naive(text, history, times, Semantics.of(version))


HARD = {
    "overflow": [1e308, 1.7e308, 3e307, -1e308, 5.0],
    "cancelling": [1e16, 1.0, -1e16, 3.0, 0.1, 1e100, -1e100],
    "infinite": [math.inf, -math.inf, math.nan, 1.0, 2.0, 2.0],
    "whole": [2.0**53 - 1, 2.0**52 + 1, 1.0, -1.0, 3.0, 1 - 2.0**53],
    "ties": [1.0, 2.0, 2.0, 3.0, math.nan, -0.0, 0.0],
}


@VERSIONS
@pytest.mark.parametrize("kind", HARD)
def test_every_reduction_of_hard_values(version, kind):
    rng = random.Random(f"{version}-{kind}")
    history = SeriesSet.from_samples(
        Samples(
            Labels({"__name__": "hard", "n": f"{n:02}"}),
            np.arange(60) * 1000 + 250 * (n % 4),
            np.array([rng.choice(HARD[kind]) for _ in range(60)]),
        )
        for n in range(12)
    )
    functions = [f for f in generate.RANGE_FUNCTIONS if f != "absent_over_time"]
    over_time = [f"{function}(hard[{length}])" for function in functions for length in ("2s", "9s")]
    over_time += [f"quantile_over_time({q}, hard[9s])" for q in (0, 0.3, 0.5, 1)]
    across = [f"{op} (hard)" for op in ("sum", "avg", "min", "max", "stddev", "stdvar")]
    across += ["quantile(0.3, hard)", "stddev by (n) (hard)", "avg by (n) (hard)"]
    across += [f"{op}({k}, hard)" for op in ("topk", "bottomk") for k in (1, 2, 5, 11, 20)]
    for text in over_time + across:
        check_against_naive(text, history, [0, 500, 1250, *range(5000, 62_000, 3000)], Semantics.of(version))


@pytest.mark.parametrize("exponent", [1.7, 0.25, -2.6, 33.3, -0.5])
def test_powers_with_a_fraction_are_close(exponent):
    for base in (0.1, 1.5, 7.0, 1e5):
        power = at(f"a ^ {exponent}", series(a=[(0, base)]), 0)["{}"]
        assert power == pytest.approx(base**exponent, rel=1e-15)
