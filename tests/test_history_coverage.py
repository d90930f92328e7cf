"""Which part of the samples is there, against counting by hand."""

import numpy as np
import pytest

from kmon_analysis.history import History, Provenance
from kmon_analysis.history_coverage import coverage
from kmon_analysis.labels import parse_series
from kmon_analysis.report.coverage import coverage_figure
from kmon_analysis.report.figure import png_bytes
from kmon_analysis.series import Samples, SeriesSet, stale_marker
from kmon_analysis.timing import DAY_MS, HOUR_MS, MINUTE_MS

START = 1_767_225_600_000
STEP_MS = 30_000


def history(parts, length_ms):
    series = [Samples(parse_series(name), np.asarray(times), np.ones(len(times))) for name, times in parts.items()]
    return History(SeriesSet.from_samples(series), Provenance("test", START, START + length_ms))


def every(first_ms, last_ms, *, without=()):
    times = np.arange(START + first_ms, START + last_ms, STEP_MS)
    for low, high in without:
        times = times[(times < START + low) | (times >= START + high)]
    return times


def test_each_cell_is_the_worst_series_of_its_metric():
    found = coverage(
        history(
            {
                'a{n="1"}': every(0, 40 * HOUR_MS),
                'a{n="2"}': every(
                    0, 40 * HOUR_MS, without=[(HOUR_MS, HOUR_MS + 30 * MINUTE_MS), (4 * HOUR_MS, 6 * HOUR_MS)]
                ),
                "late": every(10 * HOUR_MS, 20 * HOUR_MS),
            },
            40 * HOUR_MS,
        )
    )
    assert (found.cell_ms, found.metrics, found.series) == (HOUR_MS, ("a", "late"), (2, 1))
    worst = np.ones(40)
    worst[1], worst[4:6] = (60 + 1) / 120, 0.0
    assert found.share[0].tolist() == worst.tolist()
    lives = np.full(40, np.nan)
    lives[10:20] = 1.0
    np.testing.assert_array_equal(found.share[1], lives)


@pytest.mark.parametrize("length_ms", [10 * MINUTE_MS, HOUR_MS, DAY_MS, 70 * DAY_MS, 900 * DAY_MS])
def test_there_are_never_too_many_cells_nor_too_few_samples_in_one(length_ms):
    step_ms = max(STEP_MS, length_ms // 10_000)
    found = coverage(history({"a": np.arange(START, START + length_ms, step_ms)}, length_ms))
    assert 1 <= found.share.shape[1] <= 101
    assert found.cell_ms >= 20 * step_ms
    assert np.nanmin(found.share) == 1.0


def test_stale_markers_are_no_samples():
    times = every(0, 4 * HOUR_MS)
    values = np.ones(len(times))
    late = times >= START + 2 * HOUR_MS
    values[late] = stale_marker(int(late.sum()))
    whole = History(
        SeriesSet.from_samples([Samples(parse_series("a"), times, values)]), Provenance("t", START, START + 4 * HOUR_MS)
    )
    found = coverage(whole)
    np.testing.assert_array_equal(np.isnan(found.share[0]), np.arange(found.share.shape[1]) >= found.share.shape[1] / 2)


@pytest.mark.parametrize("name", ["a", '{__name__="$x^2$ <script> \u202e"}', f'{{__name__="{"x" * 300}"}}'])
def test_the_picture_is_drawn_whatever_the_names(name):
    picture = png_bytes(coverage_figure(history({name: every(0, DAY_MS)}, DAY_MS)), dpi=50)
    assert picture.startswith(b"\x89PNG")


def test_a_history_without_samples_is_drawn():
    assert png_bytes(coverage_figure(history({}, DAY_MS)), dpi=50).startswith(b"\x89PNG")
