"""What every page must keep to."""

from __future__ import annotations

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


def table_rows(here: Visit, index: int = 0) -> list[list[str]]:
    """Return the texts of a table's body, one list a row."""
    rows = here.page.locator("table").nth(index).locator("tbody tr")
    return [[words(cell) for cell in row.locator("th, td").all_text_contents()] for row in rows.all()]
