"""The report page as a reader sees it."""

from __future__ import annotations

import pytest

from kmon_analysis.tabular import SORT_SCRIPT
from tests.browser.checks import check_page, table_rows
from tests.browser.hostile import MARKUP, backtest_of_hostile_text


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_is_readable(visit, report, width, scheme):
    with visit(width=width, color_scheme=scheme) as here:
        here.page.goto(report)
        check_page(here, f"report-{scheme}-{width}")


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


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    import kmon_analysis as km

    folder = tmp_path_factory.mktemp("hostile")
    km.recommend(backtest_of_hostile_text(), max_delay="30m").write(folder)
    return (folder / "report.html").as_uri()


@pytest.mark.parametrize("width", [1280, 400])
def test_hostile_text_does_nothing_in_the_report(visit, hostile, width):
    # Without the page's own policy, which would stop a script even where the escaping had failed.
    with visit(width=width, bypass_csp=True) as here:
        here.page.goto(hostile)
        check_page(here, f"report-hostile-{width}")
        assert here.page.evaluate("window.acted") is None
        assert set(here.page.locator("script").all_text_contents()) <= {SORT_SCRIPT}
        assert here.page.locator("body img, [onload], [onerror], a:not([href^='#'])").count() == 0
        assert MARKUP in here.page.locator("main").text_content()
