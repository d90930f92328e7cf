"""The review of false pages in JupyterLab: named controls, a picture that is described, answers in the file."""

from __future__ import annotations

import json

from kmon_analysis.incidents import read_incidents
from tests.browser.lab import Notebook

CODE = """\
import kmon_analysis as km
from tests.labelling.test_review import HOSTILE, pages_of
result = pages_of([(100, 90, 200), (5000, 60, 200)], groups=(HOSTILE,))
review = km.review_incidents(
    result, {path!r}, zone="Europe/Berlin", grafana="https://g.example.com", prometheus="http://p:9090"
)
review"""


def test_a_person_answers_with_the_keyboard_or_by_name(visit, lab, tmp_path):
    path = tmp_path / "incidents.yml"
    cell = {"cell_type": "code", "metadata": {}, "source": CODE.format(path=str(path)), "outputs": []}
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = {"cells": [{**cell, "execution_count": None}], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    (lab.folder / "review.ipynb").write_text(json.dumps(notebook))
    with visit(height=1200) as here:
        opened = Notebook.open(here, lab, "review.ipynb")
        opened.run_all()
        assert opened.errors() == []
        box = here.page.locator(".kmon-review")
        box.get_by_text("1 of 2", exact=True).wait_for()
        box.get_by_alt_text("What Lag compared around the page of question 1").wait_for()
        assert box.get_by_role("link", name="Grafana").get_attribute("href").startswith("https://g.example.com/d/")
        opened.unroll()
        here.shoot("review-light")
        assert here.violations(".jp-OutputArea-output") == []
        box.get_by_label("Id", exact=True).fill("INC-9")
        box.get_by_label("Note", exact=True).fill("disk: full")
        box.get_by_role("button", name="Incident").focus()
        here.page.keyboard.press("Enter")
        box.get_by_text("2 of 2", exact=True).wait_for()
        assert read_incidents(path)["INC-9"].cause == "disk: full"
        box.get_by_role("button", name="Back").click()
        box.get_by_text("1 of 2", exact=True).wait_for()
        assert len(read_incidents(path)) == 0
        box.get_by_role("button", name="Noise").click()
        box.get_by_role("button", name="Skip").click()
        box.get_by_text("All 2 questions are answered.").wait_for()
        box.get_by_text("false pages a week").wait_for()
        opened.use_theme("JupyterLab Dark")
        opened.unroll()
        here.shoot("review-dark")
        assert here.violations(".jp-OutputArea-output") == []
    assert len(read_incidents(path).reviewed) == 1
