"""Order statistics of sliding windows, each against its twin, which sorts every window anew."""

import itertools
import math
import random

import numpy as np
import pytest

from kmon_analysis.labels import Labels
from kmon_analysis.promql import kernels_order
from kmon_analysis.promql.evaluate import evaluate
from kmon_analysis.promql.parser import parse
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.series import Samples, SeriesSet, is_stale, stale_marker

STALE = float(stale_marker()[0])
KINDS = {
    "digits": lambda rng: rng.gauss(0, 1),
    "ties": lambda rng: float(rng.randrange(5)),
    "zeros": lambda rng: rng.choice([0.0, -0.0, -0.0, 1.0]),
    "special": lambda rng: rng.choice([math.nan, math.nan, math.inf, -math.inf, -0.0, 0.0, 1.5, -7.0, STALE]),
    "only NaN": lambda rng: math.nan,
}


def recording(rng, kind, count):
    """One series with gaps, some of them longer than a window."""
    times = np.cumsum([rng.choice([1000] * 400 + [1, 1001, 5000, 700_000]) for _ in range(count)])
    values = np.array([KINDS[kind](rng) for _ in range(count)])
    return SeriesSet.from_samples([Samples(Labels({"__name__": "x"}), times.astype(np.int64), values)])


def in_window(series, now, length_ms):
    """The values behind ``x[length]``, left edge outside."""
    low, high = np.searchsorted(series.times, [now - length_ms, now], side="right")
    values = series.values[low:high]
    return values[~is_stale(values)].tolist()


def sorted_quantile(q, values):
    """Quantile of values sorted stably, NaN first."""
    ordered = sorted(values, key=lambda value: (not math.isnan(value), 0.0 if math.isnan(value) else value))
    if math.isnan(q):
        return math.nan
    if not 0 <= q <= 1:
        return math.copysign(math.inf, q)
    rank = q * (len(ordered) - 1)
    lower = math.floor(rank)
    upper = min(len(ordered) - 1, lower + 1)
    weight = rank - math.floor(rank)
    return ordered[lower] * (1 - weight) + ordered[upper] * weight


def first_extreme(sign, values):
    """The first of the largest values (of the smallest with sign -1), NaN if there is nothing else."""
    numbers = [value for value in values if not math.isnan(value)]
    return max(numbers, key=lambda value: sign * value) if numbers else math.nan


def same_bits(one, other):
    return (math.isnan(one) and math.isnan(other)) or (
        one == other and math.copysign(1, one) == math.copysign(1, other)
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length_s", [1, 3, 60, 900, 10_000_000])
def test_sliding_windows(kind, length_s):
    rng = random.Random(f"{kind}-{length_s}")
    series = recording(rng, kind, 1500)
    end = int(series.times[-1])
    steps = rng.choices([1, 500, 1000, 1000, 3000, 400_000], [1, 4, 40, 40, 40, 1], k=500)
    times = np.array([now for now in itertools.accumulate(steps) if now < end + 2_000_000], dtype=np.int64)
    q = rng.choice([0.0, 0.3, 0.5, 0.9, 1.0])
    twins = {f"quantile_over_time({q}, x[{length_s}s])": lambda values: sorted_quantile(q, values)}
    twins |= {f"max_over_time(x[{length_s}s])": lambda values: first_extreme(1, values)}
    twins |= {f"min_over_time(x[{length_s}s])": lambda values: first_extreme(-1, values)}
    for text, twin in twins.items():
        grid = evaluate(parse(text), series, times, Semantics.of("3.5"))
        for column, now in enumerate(times.tolist()):
            values = in_window(series, now, length_s * 1000)
            assert bool(grid.present.any(axis=0)[column]) is bool(values)
            if values:
                assert same_bits(float(grid.values[0, column]), twin(values)), f"{text} at {now}"


@pytest.mark.parametrize("q", [-0.1, 1.1, math.nan, math.inf])
def test_quantiles_outside_their_range(q):
    series = recording(random.Random(0), "special", 40)
    grid = evaluate(parse(f"quantile_over_time({q}, x[9s])"), series, series.times, Semantics.of("3.5"))
    assert all(same_bits(value, sorted_quantile(q, [1.0])) for value in grid.values[grid.present].tolist())


@pytest.mark.parametrize("count", [3, 2 * kernels_order._COUNTED])
def test_a_place_by_counting_and_by_halving(count):
    rng = random.Random(count)
    kept = np.empty(count + 1)
    values, nans = [], 0
    for _ in range(count):
        values.append(KINDS["special"](rng) if rng.random() < 0.3 else float(rng.randrange(20)))
        nans = kernels_order.insert(kept, len(values) - 1, nans, values[-1])
    expected = sorted(values, key=lambda value: (not math.isnan(value), 0.0 if math.isnan(value) else value))
    assert nans == sum(map(math.isnan, values))
    assert all(map(same_bits, kept[:count].tolist(), expected))
