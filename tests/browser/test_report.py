"""The report page as a reader sees it."""

from __future__ import annotations

import pytest

import kmon_analysis as km
from tests.browser.checks import check_hostile, check_page, table_rows
from tests.browser.hostile import MARKUP


@pytest.mark.parametrize("width", [1280, 400])
def test_the_report_is_readable(visit, report, width):
    with visit(width=width) as here:
        here.page.goto(report)
        check_page(here, f"report-{width}")


def test_a_table_is_sorted_by_a_press_on_its_head(visit, report, bundled):
    ascending = sorted(entry.past_current.false_pages for entry in bundled.values())
    with visit() as here:
        here.page.goto(report)
        head = here.page.locator("table").first.get_by_role("columnheader", name="false pages")
        for order, keys in (("ascending", ascending), ("descending", ascending[::-1])):
            head.get_by_role("button").press("Enter")
            assert head.get_attribute("aria-sort") == order
            shown = [int(row[4].replace(",", "")) for row in table_rows(here) if row[0]]
            assert shown == keys


def test_the_report_shows_what_the_library_says(visit, report, bundled):
    with visit() as here:
        here.page.goto(report)
        scores = [
            score
            for entry in bundled.values()
            for score in (entry.past_current, entry.past_proposed if entry.proposed else None)
            if score is not None
        ]
        assert [(row[3], row[4]) for row in table_rows(here)] == [
            (f"{score.caught} of {score.incidents}", f"{score.false_pages:,}") for score in scores
        ]
        assert here.page.locator("svg[role=img]").count() > len(bundled)
        for link in here.page.locator("nav a").all():
            link.click()
            target = here.page.locator(link.get_attribute("href"))
            assert target.bounding_box()["y"] < here.page.viewport_size["height"]


@pytest.mark.parametrize("width", [1280, 400])
def test_hostile_text_does_nothing_in_the_report(visit, hostile, tmp_path, width):
    km.recommend(hostile, max_delay="30m").write(tmp_path)
    # Without the page's own policy, which would stop a script even where the escaping had failed.
    with visit(width=width, bypass_csp=True) as here:
        here.page.goto((tmp_path / "report.html").as_uri())
        check_page(here, f"report-hostile-{width}")
        check_hostile(here, MARKUP)
