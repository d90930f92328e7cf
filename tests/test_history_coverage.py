"""Which part of the samples is there, against counting by hand."""

import numpy as np
import pytest

from kmon_analysis.history import History, Provenance
from kmon_analysis.history_coverage import coverage
from kmon_analysis.labels import parse_series
from kmon_analysis.report.coverage import coverage_figure, row_names
from kmon_analysis.report.figure import png_bytes
from kmon_analysis.series import Samples, SeriesSet, stale_marker
from kmon_analysis.timing import DAY_MS, HOUR_MS, MINUTE_MS
from tests.report.test_looks import clipped

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
    worst[1], worst[4:6] = 60 / 120, 0.0
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


def test_names_are_whole_in_two_lines_or_keep_their_end():
    names = ("up", "kafka_controller_KafkaController_OfflinePartitionsCount", "x" * 60 + "_" + "y" * 60)
    found = coverage(history({name: every(0, DAY_MS) for name in names}, DAY_MS))
    shown = dict(zip(found.metrics, row_names(found), strict=True))
    assert shown["up"] == "up (1)"
    assert shown[names[1]] == "kafka_controller_KafkaController_\nOfflinePartitionsCount (1)"
    assert shown[names[2]].replace("\n", "") == "…" + f"{names[2]} (1)"[-75:]
    assert max(len(line) for each in shown.values() for line in each.split("\n")) <= 38
    figure = coverage_figure(history({name: every(0, DAY_MS) for name in names}, DAY_MS))
    assert clipped(figure) == []
    labels = figure.axes[0].get_yticklabels()
    assert [label.get_text() for label in labels] == row_names(found)
    # A notebook shows a picture of this width at 80 pixels an inch.
    assert figure.get_figwidth() * 80 == pytest.approx(816)
    assert min(label.get_fontsize() for label in labels) / 72 * 80 >= 11


def test_a_series_that_begins_late_or_ends_early_is_no_gap_and_the_legend_says_so():
    def words(parts):
        figure = coverage_figure(history(parts, 40 * HOUR_MS))
        return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]

    whole = {'a{n="1"}': every(0, 40 * HOUR_MS), 'a{n="2"}': every(20 * HOUR_MS, 30 * HOUR_MS)}
    assert len(words(whole)) == 4
    assert words({**whole, "late": every(20 * HOUR_MS, 40 * HOUR_MS)})[-1].startswith("no series lives")


def test_a_history_without_samples_is_drawn():
    assert png_bytes(coverage_figure(history({}, DAY_MS)), dpi=50).startswith(b"\x89PNG")
