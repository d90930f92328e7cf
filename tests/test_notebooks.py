"""Notebooks run from top to bottom and show what the library says."""

from __future__ import annotations

import re

import nbformat
import pytest
from nbclient import NotebookClient

import kmon_analysis as km
from tests.tools import REPOSITORY

FOLDER = REPOSITORY / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MOST_CELLS = 25

# Asked of the kernel after the last cell; what it answers is compared with the library's own numbers.
PROBE = """
import json as _json
print(_json.dumps({"advice": advice.to_json(), "later": confirmation.table()[1], "failed": written.failed}))
"""


@pytest.fixture(scope="module")
def executed():
    notebook = nbformat.read(FOLDER / "tune-consumer-lag.ipynb", as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(PROBE))
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(FOLDER)}}).execute()
    return notebook


def texts(notebook):
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            yield output.get("text", "") or output.get("data", {}).get("text/plain", "")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_thin_and_stored_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert len(notebook.cells) < MOST_CELLS
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
        assert cell.source.count("\n") < 10, "keep cells short: what is longer belongs into the library"


def test_the_notebook_shows_what_the_library_says(executed):
    import json

    folder = km.load_scenario("user-service")
    result = km.backtest(
        km.read_rules(folder / "rules.yml"),
        km.open_history(folder),
        km.read_incidents(folder / "incidents.yml"),
    )
    advice = km.recommend(result, max_delay="30m", false_pages_per_week=1)
    shown = json.loads(list(texts(executed))[-1])
    assert shown["advice"] == json.loads(json.dumps(advice.to_json()))
    assert shown["failed"] is False

    everything = "\n".join(texts(executed))
    assert repr(result) in everything
    assert repr(advice) in everything
    lag = result["HighConsumerLag"]
    for threshold in (1_000, 50_000):
        score = lag.score(threshold)
        assert f"found {score.caught} of {score.incidents}, {score.false_pages} false pages" in everything
    tuned = [row for row in shown["later"] if row[1] == "tuned"]
    assert next(row[2] for row in tuned) == "4 of 4"


def test_the_pictures_are_drawn(executed):
    pictures = [
        output["data"]["image/png"]
        for cell in executed.cells
        for output in cell.get("outputs", ())
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 3
    assert all(len(picture) > 10_000 for picture in pictures)
    assert not re.search(r"Traceback|Warning", "\n".join(texts(executed)))
