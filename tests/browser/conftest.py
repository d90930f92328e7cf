"""One browser for all tests of a process, and what they show in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

import kmon_analysis as km
from tests.browser.hostile import backtest_of_hostile_text
from tests.browser.lab import started
from tests.browser.watching import FLAGS, watched
from tests.tools import require


@pytest.fixture(scope="session")
def browser():
    program = require("chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(program), args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def axe():
    return require("axe").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def shots(tmp_path_factory):
    """Return the folder for pictures: the one that ``KMON_SCREENSHOTS`` names, else one of pytest's own."""
    stated = os.environ.get("KMON_SCREENSHOTS")
    folder = Path(stated).expanduser().resolve() if stated else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def visit(browser, axe, shots):
    """Open watched pages: ``with visit(width=400, color_scheme="dark") as here``."""

    def open_page(*, width=1280, height=900, **options):
        return watched(browser, axe, shots, viewport={"width": width, "height": height}, **options)

    return open_page


@pytest.fixture(scope="session")
def bundled():
    """Return the advice on the bundled history, as the notebook and ``make demo`` ask for it."""
    folder = km.load_scenario("user-service")
    rules, truth = km.read_rules(folder / "rules.yml"), km.read_incidents(folder / "incidents.yml")
    result = km.backtest(rules, km.open_history(folder), truth)
    return km.recommend(result, max_delay="30m", false_pages_per_week=1)


@pytest.fixture(scope="session")
def hostile():
    """Return a backtest whose every name, label, title and cause is hostile."""
    return backtest_of_hostile_text()


@pytest.fixture(scope="session")
def report(bundled, tmp_path_factory):
    """Return the address of the report on the bundled history."""
    folder = tmp_path_factory.mktemp("report")
    bundled.write(folder / "tuned")
    return (folder / "tuned" / "report.html").as_uri()


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """Return a JupyterLab server on a copy of the notebooks."""
    with started(tmp_path_factory.mktemp("lab")) as server:
        yield server
