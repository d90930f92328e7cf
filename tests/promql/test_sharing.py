"""Results do not depend on how rows and columns are shared among cores, nor on blocks."""

import random

import numpy as np
import pytest

from kmon_analysis.labels import Labels
from kmon_analysis.promql import sharing
from kmon_analysis.promql.evaluate import _Samples, evaluate
from kmon_analysis.promql.parser import parse
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.series import Samples, SeriesSet, is_stale, stale_marker
from tests.promql import generate

STALE = float(stale_marker()[0])


def hard_history(rng, series=7):
    """Series of unequal length with gaps, resets, stale markers and every special value."""

    def one(number):
        count = rng.choice([0, 1, 2, 30, 150])
        times = np.cumsum([rng.choice([1, 1000, 15_000, 15_000, 15_001, 400_000]) for _ in range(count)])
        special = [np.nan, np.inf, -np.inf, -0.0, 0.0, STALE, 1e308, -1e308, 5e-324]
        values = [rng.choice(special) if rng.random() < 0.2 else rng.choice([7, 0.1]) * k % 50 for k in range(count)]
        labels = {"__name__": "x", "topic": f"t{number % 3}", "n": str(number)}
        return Samples(Labels(labels), np.array(times, dtype=np.int64), np.array(values, dtype=np.float64))

    return SeriesSet.from_samples(one(number) for number in range(series))


def bits(grid):
    values = np.where(grid.present, grid.values, 0.0)
    return grid.labels, values.tobytes(), grid.present.tobytes(), grid.failed.tobytes()


TEXTS = [
    *(
        f"{function}(x[{length}])"
        for function in sorted({*generate.RANGE_FUNCTIONS, "rate"})
        for length in ("1m", "1d")
    ),
    *(f"quantile_over_time({q}, x[{length}])" for q in ("0.9", "time() / 1e6") for length in ("1m", "1h", "1d")),
    *(f"{op} by (topic) (x)" for op in ("sum", "avg", "min", "max", "count", "group", "stddev", "stdvar")),
    *(f"{op}(x)" for op in ("sum", "avg")),
    "sum by (topic) (rate(x[5m]))",
    "quantile by (topic) (0.9, x)",
    "topk by (topic) (1, x)",
    "bottomk(2, x)",
    "max_over_time(rate(x[1m])[10m:30s])",
    "x / on (topic) max by (topic) (x)",
    "x / on (n) x",
    "x",
]


@pytest.mark.parametrize("seed", range(3))
def test_same_bits_on_any_number_of_cores(seed, monkeypatch):
    rng = random.Random(seed)
    history = hard_history(rng)
    times = np.sort(np.array([rng.randrange(-1000, 6_000_000) for _ in range(211)]))
    for text in TEXTS:
        expr = parse(text)
        alone = bits(evaluate(expr, history, times, Semantics.of("3.5")))
        for cores, block in ((2, 50), (3, 1), (40, 8192)):
            with monkeypatch.context() as patch:
                patch.setattr(sharing, "_WORTH_THREADS", 0)
                patch.setattr(sharing, "_BLOCK", block)
                patch.setattr(sharing, "cores", lambda cores=cores: cores)
                assert bits(evaluate(expr, history, times, Semantics.of("3.5"))) == alone, (text, cores, block)


@pytest.mark.parametrize("seed", range(3))
def test_stale_markers_are_left_out_of_any_selection(seed, monkeypatch):
    rng = random.Random(seed)
    history = hard_history(rng, series=9)
    monkeypatch.setattr(sharing, "_WORTH_THREADS", 0)
    monkeypatch.setattr(sharing, "cores", lambda: 3)
    samples = _Samples(history)
    for count in [*range(10), *range(2, 8)]:
        rows = sorted(rng.sample(range(9), count))
        starts, ends, times, values = samples.without_stale(np.array(rows, dtype=np.int64))
        assert len(starts) == len(ends) == count
        for row, start, end in zip(rows, starts, ends, strict=True):
            fresh = ~is_stale(history[row].values)
            assert times[start:end].tolist() == history[row].times[fresh].tolist()
            assert values[start:end].tobytes() == history[row].values[fresh].tobytes()


@pytest.mark.parametrize("cores", [1, 2, 3, 8])
def test_every_row_and_column_once(cores, monkeypatch):
    monkeypatch.setattr(sharing, "cores", lambda: cores)
    monkeypatch.setattr(sharing, "_WORTH_THREADS", 1)
    monkeypatch.setattr(sharing, "_BLOCK", 3)
    for sizes in ([], [0], [5], [0, 0, 100, 0], [1] * 9, [1000, 1, 1]):
        starts = np.zeros(len(sizes), dtype=np.int64)
        rows = np.zeros(len(sizes), dtype=np.int64)

        def count(part, rows=rows):
            rows[part] += 1

        sharing.by_rows(starts, np.array(sizes, dtype=np.int64), 4, count)
        assert rows.tolist() == [1] * len(sizes)
        columns = np.zeros(sum(sizes), dtype=np.int64)

        def tally(first, last, columns=columns):
            assert 0 < last - first <= 3
            columns[first:last] += 1

        sharing.by_columns((2, len(columns)), tally)
        assert columns.tolist() == [1] * len(columns)


def test_an_error_in_a_share_is_raised(monkeypatch):
    monkeypatch.setattr(sharing, "cores", lambda: 4)
    monkeypatch.setattr(sharing, "_WORTH_THREADS", 1)

    def fail_late(part):
        if part.start:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        sharing.by_rows(np.zeros(8, dtype=np.int64), np.ones(8, dtype=np.int64), 1, fail_late)
