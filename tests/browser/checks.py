"""What every page must keep to."""

from __future__ import annotations

from playwright.sync_api import Locator

from tests.browser.watching import Visit

__all__ = ["check_page", "table_rows", "words"]


def words(text: str) -> str:
    """Return a text with every run of blanks as one."""
    return " ".join(text.split())


def check_page(here: Visit, name: str) -> None:
    """Look at a page: accessibility, width, keyboard; and keep a picture of it."""
    here.shoot(name, whole=True)
    assert here.violations() == []
    assert here.hidden_by_width() == []
    missed, faults = here.tab_through()
    assert missed == set()
    assert faults == []


def table_rows(here: Visit, table: Locator | None = None) -> list[list[str]]:
    """Return the texts of a table's rows, without the head; None: the first table of the page."""
    rows = (table or here.page.locator("table").first).locator("tbody tr, tfoot tr")
    return [[words(cell) for cell in row.locator("th, td").all_text_contents()] for row in rows.all()]
