"""The page of a postmortem as a reader sees it."""

from __future__ import annotations

import pytest

from kmon_analysis.postmortem.run import postmortem
from tests.browser.checks import check_hostile, check_page, table_rows, words
from tests.browser.hostile import MARKUP


@pytest.fixture(scope="module")
def made(bundled):
    return postmortem(bundled.backtest, "INC-01", zone="Europe/Zurich")


def page_of(made, folder):
    made.write(folder, bundle=False)
    return (folder / "postmortem.html").as_uri()


@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_is_readable_and_shows_what_the_library_says(visit, made, tmp_path, width):
    with visit(width=width) as here:
        here.page.goto(page_of(made, tmp_path))
        check_page(here, f"postmortem-{width}")
        shown = [row for table in here.page.locator("table").all() for row in table_rows(here, table)]
        for row in made.table()[1]:
            assert any(words(str(row[0])) in cells[0] for cells in shown if cells), row
        assert made.incident.id in here.page.locator("h1").text_content()


@pytest.mark.parametrize("width", [1280, 400])
def test_hostile_text_does_nothing_in_the_page(visit, hostile, tmp_path, width):
    made = postmortem(hostile, hostile.incidents.incidents[0].id)
    with visit(width=width, bypass_csp=True) as here:
        here.page.goto(page_of(made, tmp_path))
        check_page(here, f"postmortem-hostile-{width}")
        check_hostile(here, MARKUP)


def test_the_first_stop_of_the_keyboard_leads_past_the_head(visit, made, tmp_path):
    with visit(color_scheme="dark") as here:
        here.page.goto(page_of(made, tmp_path))
        check_page(here, "postmortem-dark")
        here.page.goto(page_of(made, tmp_path))
        here.page.keyboard.press("Tab")
        skip = here.page.locator("a.skip")
        assert skip.evaluate("link => link === document.activeElement")
        assert skip.bounding_box()["x"] >= 0
        here.page.keyboard.press("Enter")
        assert here.page.evaluate("document.activeElement.id") == "main"
