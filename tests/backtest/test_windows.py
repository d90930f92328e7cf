"""Windows that hold too few samples, always or at the start of a history."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kmon_analysis.backtest.run import backtest
from kmon_analysis.backtest.windows import early_pages, full_from_ms, short_window
from kmon_analysis.history import History, Provenance
from kmon_analysis.labels import Labels
from kmon_analysis.recommend.verdict import recommend
from kmon_analysis.rules.reader import parse_rules
from kmon_analysis.series import Samples, SeriesSet
from kmon_analysis.timing import HOUR_MS, MINUTE_MS

START = 1_772_409_600_000
RULE = "groups: [{name: g, interval: 1m, rules: [{alert: Silent, expr: 'rate(sent_total[%s]) < %s'}]}]"


def result_of(window="10m", threshold=0.5, *, lead_ms=0):
    """Replay a counter that rises by one a second, is scraped each minute and was there before the evaluated time."""
    times = np.arange(START - lead_ms, START + 24 * HOUR_MS, MINUTE_MS, dtype=np.int64)
    samples = Samples(Labels({"__name__": "sent_total"}), times, np.arange(len(times)) * 60.0 + 1e6)
    about = Provenance("test", START, START + 24 * HOUR_MS, scrape_interval_ms=MINUTE_MS)
    return backtest(parse_rules(RULE % (window, threshold)), History(SeriesSet.from_samples([samples]), about))


def kinds(result):
    return {note.kind for note in result.findings}


@pytest.mark.parametrize(
    ("window", "words"),
    [
        ("30s", "two scrape intervals of 1m, for which the expression returns nothing: the rule can never fire"),
        ("1m30s", "two scrape intervals of 1m: it often holds one sample or none"),
        ("2m", ""),
    ],
)
def test_a_window_shorter_than_two_scrapes_is_said_everywhere(window, words, tmp_path):
    result = result_of()
    tuner = result.explore("Silent")
    view = tuner.move(window=window)
    tuner.use()
    tuner.advice.write(tmp_path)
    places = {
        "deployed": repr(result_of(window)),
        "tuner": repr(tuner),
        "tuner in HTML": tuner._repr_html_(),
        "move": repr(view),
        "move in HTML": view._repr_html_(),
        "widget": json.loads(tuner.widget.view)["notes"].get("window", ""),
        "advice": " ".join(tuner.advice["Silent"].reasons),
        "comment": (tmp_path / "rules.yml").read_text(),
    }
    wanted = words or "scrape intervals"
    assert {where for where, text in places.items() if wanted in " ".join(text.split())} == (
        {*places} if words else set()
    )
    replay = result["Silent"]
    assert (words in short_window(replay, MINUTE_MS, result_of(window)["Silent"].knobs.window_ms)) is True
    assert short_window(replay, MINUTE_MS, None) == ""


def test_false_pages_from_before_the_window_was_full_are_named():
    # rate() over a window that holds two of its ten minutes sees a fifth of what it would.
    result = result_of(threshold=0.5)
    replay, found = result["Silent"], result.scores["Silent"]
    assert full_from_ms(replay) == START + 10 * MINUTE_MS
    assert full_from_ms(replay, 4 * MINUTE_MS) == START + 4 * MINUTE_MS
    assert (found.false_pages, found.pages[0].episode.interval.start_ms) == (1, START + MINUTE_MS)
    said = "the only false page begins before 2026-03-02T00:10:00Z, when its window was not full yet"
    assert said in early_pages(replay, found.pages)
    assert said in repr(result)
    assert said in " ".join(recommend(result, max_delay="5m")["Silent"].reasons)
    tuner = result.explore("Silent")
    page = json.loads(tuner.widget.lists)["pages"][0]
    assert page["words"] == "false, before the window was full"
    tuner.move(threshold=0.55)
    tuner.use()
    assert said.replace("the only", "The only") in " ".join(tuner.advice["Silent"].reasons)


def test_what_lies_before_the_start_fills_the_window():
    result = result_of(lead_ms=10 * MINUTE_MS)
    assert (result.scores["Silent"].false_pages, kinds(result)) == (0, {"never reached"})


def test_a_later_false_page_is_no_early_one():
    result = result_of(threshold=2.0)
    pages = result.scores["Silent"].pages
    assert (len(pages), early_pages(result["Silent"], pages) != "") == (1, True)
    assert early_pages(result["Silent"], [], MINUTE_MS) == ""
    late = result_of(threshold=2.0, lead_ms=HOUR_MS)
    assert (late.scores["Silent"].false_pages, early_pages(late["Silent"], late.scores["Silent"].pages)) == (1, "")
