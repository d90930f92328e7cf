import dataclasses
import json

import numpy as np
import pytest

from kmon_analysis.errors import HistoryError
from kmon_analysis.history import History, Provenance
from kmon_analysis.labels import Labels
from kmon_analysis.series import Grid, Samples, SeriesSet
from kmon_analysis.sources.evaluation import Evaluated
from kmon_analysis.sources.files import open_history
from kmon_analysis.sources.kept import FOLDER, Kept
from kmon_analysis.timing import EvaluationGrid
from tests.sources.tables import same_grid

START = 1_767_225_600_000
GRID = EvaluationGrid(START, START + 10_000, 1_000, 137)


@pytest.fixture
def history(tmp_path):
    series = SeriesSet.from_samples([Samples(Labels({"__name__": "lag"}), np.array([START]), np.array([1.0]))])
    History(series, Provenance("http://x", START, START + 10_000)).save(tmp_path / "h")
    return open_history(tmp_path / "h")


def evaluated(text="lag > 1"):
    rng = np.random.default_rng(1)
    values = rng.normal(size=(3, 10))
    values[0, :5] = [np.nan, np.inf, -np.inf, -0.0, 5e-324]
    present = rng.random((3, 10)) < 0.6
    present[0, :5] = True
    failed = np.zeros(10, dtype=bool)
    failed[[6, 7]] = True
    present[:, failed] = False
    labels = (Labels(), Labels({"__name__": "lag", "topic": 'a"\n'}), Labels({"topic": "b"}))
    return Evaluated(text, Grid(labels, GRID.times, values, present, failed), "http://x:9090", "3.5.0", ("w",), 2)


def test_what_is_kept_comes_back_to_the_bit(history):
    kept = Kept.beside(history)
    assert kept.load("lag > 1", GRID, 0) is None
    one = evaluated()
    kept.store(one, GRID, 0)
    kept.store(evaluated("other"), GRID, 0)
    back = Kept.beside(open_history(history.path)).load("lag > 1", GRID, 0)
    assert same_grid(back.grid, one.grid)
    assert dataclasses.replace(back, grid=one.grid) == one
    assert open_history(history.path).digest == history.digest, "the history itself is as it was"


@pytest.mark.parametrize(
    "change",
    [
        {"text": "lag  > 1"},
        {"query_offset_ms": 1},
        {"grid": EvaluationGrid(START, START + 10_000, 1_000, 138)},
        {"grid": EvaluationGrid(START, START + 10_000, 2_000, 137)},
        {"grid": EvaluationGrid(START, START + 11_000, 1_000, 137)},
    ],
)
def test_another_question_finds_nothing(history, change):
    kept = Kept.beside(history)
    kept.store(evaluated(), GRID, 0)
    assert kept.load(**{"text": "lag > 1", "grid": GRID, "query_offset_ms": 0, **change}) is None


def test_other_samples_find_nothing(history):
    Kept.beside(history).store(evaluated(), GRID, 0)
    changed = SeriesSet(history.series.labels, history.series.offsets, history.series.times, history.series.values + 1)
    History(changed, history.provenance).save(history.path)
    assert Kept.beside(open_history(history.path)).load("lag > 1", GRID, 0) is None


def test_a_damaged_entry_is_named(history):
    kept = Kept.beside(history)
    kept.store(evaluated(), GRID, 0)
    [place] = (history.path / FOLDER).iterdir()
    content = json.loads((place / "manifest.json").read_text())
    content["provenance"]["extra"]["failed_ms"] = []
    (place / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(HistoryError, match="checksum differs"):
        kept.load("lag > 1", GRID, 0)


def test_a_history_in_memory_keeps_nothing(history):
    assert Kept.beside(History(history.series, history.provenance)) is None
