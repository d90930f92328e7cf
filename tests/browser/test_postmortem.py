"""The page of a postmortem as a reader sees it."""

from __future__ import annotations

import re

import pytest

from kmon_analysis.postmortem.content import content_of
from kmon_analysis.postmortem.run import postmortem
from kmon_analysis.report.zones import offset
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


def test_every_cell_and_number_is_that_of_the_library_and_sorts_by_what_it_means(visit, made, tmp_path):
    content = content_of(made)
    tables = [content.timeline, content.rules]
    for section in content.sections:
        tables += [table for table in (section.timeline, section.sooner) if table is not None]
    with visit(width=1280) as here:
        here.page.goto(page_of(made, tmp_path))
        drawn = here.page.locator("table").all()
        assert len(drawn) == len(tables)
        for table, expected in zip(drawn, tables, strict=True):
            assert table_rows(here, table) == [[words(str(cell)) for cell in row] for row in expected.rows]
        told = made.to_json()["rules"][0]
        prices = [each["price"] for rung in told["sooner"] for each in rung["answers"] if each["price"]]
        shown = [row for table in drawn for row in table_rows(here, table)]
        for price in prices:
            cell = words(f"{price['false_pages']:,}")
            page = words(offset(round(price["page"]["offset_s"] * 1000)))
            assert any(page in row and cell in row for row in shown), price
        # Sorted by false pages and by when they page: as numbers and durations, not as text.
        table = drawn[-1]
        header = [words(cell) for cell in table.locator("thead th").all_text_contents()]
        for name, value in (("false pages", number_of), ("page", seconds_of)):
            place = next(place for place, text in enumerate(header) if text.startswith(name))
            button = table.locator("thead th").nth(place).locator("button")
            button.focus()
            here.page.keyboard.press("Enter")
            cells = [row[place] for row in table_rows(here, table)]
            values = [value(cell) for cell in cells if cell != "–"]
            assert len(values) > 2
            assert values in (sorted(values), sorted(values, reverse=True))
        here.page.emulate_media(media="print")
        assert here.page.pdf().startswith(b"%PDF")


def number_of(cell):
    return int(cell.replace(",", ""))


def seconds_of(cell):
    sign = -1 if cell[0] == "-" else 1
    units = {"h": 3600, "min": 60, "s": 1, "d": 86400}
    parts = re.findall(r"([\d.]+)\s(d|h|min|s)\b", cell)
    assert parts, cell
    return sign * sum(float(count) * units[unit] for count, unit in parts)


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
