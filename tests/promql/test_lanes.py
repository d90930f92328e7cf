"""Sums of neighbouring windows side by side, against the naive evaluator, which takes every window alone."""

import math
import random

import numpy as np
import pytest

from kmon_analysis.labels import Labels
from kmon_analysis.promql.kernels_lanes import LANES, alongside
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.series import Samples, SeriesSet, stale_marker
from tests.promql.test_evaluate import check_against_naive

STALE = float(stale_marker()[0])
COUNT = 2 * LANES + 9
KINDS = {
    "digits": lambda rng: rng.gauss(0, 1),
    "cancelling": lambda rng: rng.choice([1e16, -1e16, 1.0, 0.1, -0.0]),
    "constant here and there": lambda rng: rng.choice([0.5] * 9 + [0.25]),
    "one special value": lambda rng: rng.choice([0.1] * 40 + [0.3] * 40 + [math.nan, math.inf, -math.inf, STALE]),
    "overflow": lambda rng: rng.choice([1.7e308, -1.7e308, 1e308, 0.1]),
    "squares overflow": lambda rng: rng.choice([1e160, -1e160, 3.5]),
}
FUNCTIONS = ("sum_over_time", "avg_over_time", "stddev_over_time", "stdvar_over_time", "deriv")


@pytest.mark.parametrize("version", ["2.42", "2.54", "2.55", "3.5"])
@pytest.mark.parametrize("kind", KINDS)
def test_neighbouring_windows(kind, version):
    rng = random.Random(f"{kind}-{version}")
    kept = [second for second in range(COUNT) if kind == "overflow" or rng.random() > 0.02]
    values = np.array([KINDS[kind](rng) for _ in kept])
    times = np.array(kept, dtype=np.int64) * 1000 + 250
    history = SeriesSet.from_samples([Samples(Labels({"__name__": "x"}), times, values)])
    length = rng.choice(["4500ms", "9s", "1d"]) if kind == "digits" else rng.choice(["1500ms", "4500ms", "9s"])
    for text in [f"{function}(x[{length}])" for function in FUNCTIONS] + [f"predict_linear(x[{length}] offset 2s, 60)"]:
        check_against_naive(text, history, list(range(0, COUNT * 1000 + 5000, 1000)), Semantics.of(version))


def test_windows_are_neighbours_only_where_both_ends_move_by_one():
    low = np.arange(3 * LANES)
    high = low + 5
    assert [alongside(low, high, t) for t in (0, 1, 2 * LANES, 3 * LANES - 2, 3 * LANES - 1)] == [LANES] * 3 + [2, 1]
    low[10:] += 1
    high[7:] -= 1
    assert [alongside(low, high, t) for t in (0, 6, 7, 9, 10)] == [7, 1, 3, 1, LANES]
