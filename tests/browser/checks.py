"""What every page must keep to."""

from __future__ import annotations

from playwright.sync_api import Locator

from kmon_analysis.tabular import SORT_SCRIPT
from tests.browser.watching import Visit

__all__ = ["check_hostile", "check_page", "table_rows", "words"]

# They turn the reading order round, or move a terminal's cursor.
STEERING_CHARACTERS = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\x1b")


def words(text: str) -> str:
    """Return a text with every run of blanks as one."""
    return " ".join(text.split())


def check_page(here: Visit, name: str) -> None:
    """Look at a page in light and dark: accessibility, width, keyboard; and keep pictures of it."""
    for scheme in ("light", "dark"):
        here.page.emulate_media(color_scheme=scheme)
        here.shoot(f"{name}-{scheme}", whole=True)
        assert here.violations() == []
    assert here.hidden_by_width() == []
    missed, faults = here.tab_through()
    assert missed == set()
    assert faults == []


def check_hostile(here: Visit, text: str) -> None:
    """Look at a page that was made of text which would act as markup: it did not, and can be read."""
    assert here.page.evaluate("window.acted") is None
    assert set(here.page.locator("script").all_text_contents()) <= {SORT_SCRIPT}
    assert here.page.locator("body img, [onload], [onerror], a:not([href^='#'])").count() == 0
    shown = here.page.locator("main").text_content()
    assert text in shown
    assert not set(shown) & STEERING_CHARACTERS


def table_rows(here: Visit, table: Locator | None = None) -> list[list[str]]:
    """Return the texts of a table's rows, without the head; None: the first table of the page."""
    rows = (table or here.page.locator("table").first).locator("tbody tr, tfoot tr")
    return [[words(cell) for cell in row.locator("th, td").all_text_contents()] for row in rows.all()]
