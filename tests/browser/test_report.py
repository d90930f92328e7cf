"""The report page as a reader sees it."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest

import kmon_analysis as km
from kmon_analysis.report.words import describe, moment, number, per_week, same_duration
from kmon_analysis.timing import duration
from tests.browser.checks import check_hostile, check_page, table_rows, words
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


def tables_of(here, name):
    """Return the rows of each table in a rule's section, by caption."""
    section = here.page.locator("section").filter(has=here.page.get_by_role("heading", level=2, name=name, exact=True))
    return {
        words(table.locator("caption").text_content()): table_rows(here, table)
        for table in section.locator("table").all()
    }


def test_the_tables_of_each_rule_show_what_the_library_and_the_file_beside_say(visit, report, bundled):
    beside = Path(url2pathname(urlsplit(report).path)).with_name("advice.json")
    stored = {each["rule"]: each for each in json.loads(beside.read_text(encoding="utf-8"))["rules"]}
    with visit() as here:
        here.page.goto(report)
        for name, entry in bundled.items():
            tables = tables_of(here, name)
            pairs = [(entry.current, entry.past_current), (entry.proposed, entry.past_proposed)]
            pairs = [(setting, score) for setting, score in pairs if setting is not None]
            scores = [score for _, score in pairs]

            values = {row: cells for row, *cells in tables["Values and what they did in the past"]}
            told = [stored[name][which] for which in ("current", "proposed")][: len(pairs)]
            assert values["for"] == [same_duration(round(each["for_s"] * 1000)) for each in told]
            if told[0]["threshold"] is not None:
                assert values["threshold"] == [number(each["threshold"]) for each in told]
            past = [stored[name]["past"][which] for which in ("current", "proposed")][: len(pairs)]
            assert values["incidents found"] == [f"{each['caught']} of {each['incidents']}" for each in past]
            assert values["of them false"] == [f"{each['false_pages']:,}" for each in past]
            assert values["worst delay"] == [duration(each["delay_s"]["worst"] * 1000) for each in past]
            assert values["pages"] == [f"{len(each.pages):,}" for each in scores]
            assert values["false pages a week"] == [per_week(each.false_pages_per_week) for each in scores]
            if len(pairs) > 1:
                ahead = stored[name]["next_4_weeks"]
                told = f"probably {ahead['low']}–{ahead['high']}"
                assert values["false pages in the next 4 weeks"] == ["–", told]

            outcomes = sorted(scores[0].outcomes, key=lambda each: each.incident.interval.start_ms)
            shown = {row[0]: row for row in tables["Incidents"]}
            for outcome in outcomes:
                row = shown[outcome.incident.id]
                assert row[1] == moment(outcome.incident.interval.start_ms)
                assert row[6] == duration(outcome.delay_ms)

            weekly = tables["False pages by week"]
            for column, score in enumerate(scores, 1):
                assert [int(row[column].replace(",", "")) for row in weekly] == score.weekly_false_pages().tolist()
                assert sum(int(row[column].replace(",", "")) for row in weekly) == score.false_pages

            if entry.heldout is not None:
                *blocks, together = tables["On weeks that the tuning had not seen"]
                assert [row[1] for row in blocks] == [describe(fold.setting) for fold in entry.heldout.folds]
                unseen = stored[name]["heldout"]
                assert together[4:] == [f"{unseen[which]['false_pages']:,}" for which in ("current", "proposed")]
                assert [sum(int(row[place].replace(",", "")) for row in blocks) for place in (4, 5)] == [
                    unseen[which]["false_pages"] for which in ("current", "proposed")
                ]
            if entry.neighbours:
                replay = bundled.backtest[name]
                shown = [(row[1], row[2]) for row in tables["Neighbouring values on the whole past"]]
                again = [
                    replay.score(n.setting.threshold, for_ms=n.setting.for_ms, window_ms=n.setting.window_ms)
                    for n in entry.neighbours
                ]
                assert shown == [(f"{s.caught} of {s.incidents}", f"{s.false_pages:,}") for s in again]


@pytest.mark.parametrize("width", [1280, 400])
def test_hostile_text_does_nothing_in_the_report(visit, hostile, tmp_path, width):
    km.recommend(hostile, max_delay="30m").write(tmp_path)
    # Without the page's own policy, which would stop a script even where the escaping had failed.
    with visit(width=width, bypass_csp=True) as here:
        here.page.goto((tmp_path / "report.html").as_uri())
        check_page(here, f"report-hostile-{width}")
        check_hostile(here, MARKUP)
