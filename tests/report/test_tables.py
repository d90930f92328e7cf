from __future__ import annotations

import io
import math

import numpy as np
import pandas as pd
import pytest

from kmon_analysis.labels import Labels
from kmon_analysis.recommend.advice import Advice, Neighbour, RuleAdvice
from kmon_analysis.recommend.candidates import Budget, Setting, current_setting
from kmon_analysis.recommend.holdout import Fold, HeldOut, LeftOut, Tally
from kmon_analysis.recommend.physics import TimeToPage
from kmon_analysis.report import tables
from kmon_analysis.timing import Interval
from tests.report.samples import START, backtest_of, incident, replay
from tests.report.test_words import HOSTILE


@pytest.fixture(scope="module")
def rule():
    """Two weeks; two incidents seen after 5 min and before their start, one missed; three false pages."""
    values = np.zeros(14 * 1440)
    values[605:650] = 50
    values[1790:1830] = 40
    values[5000:5010] = 20
    values[7000:7100] = 11
    values[12_000:12_005] = 900
    incidents = [
        incident("INC-1", 10, kind="lag"),
        incident("INC-2", 30),
        incident("INC-3", 60),
        incident("minor", 100, must_page=False),
    ]
    return replay(values, labels=[Labels({"topic": "user.registered", "severity": "page"})], incidents=incidents)


def proposal(rule, threshold=30.0):
    return Setting(threshold, None, 0, 0, None)


def advised(rule, **more):
    now, new = current_setting(rule), proposal(rule)
    given = {
        "rule": rule.name,
        "verdict": "tuned",
        "headline": "Tentative",
        "reasons": ("because",),
        "current": now,
        "proposed": new,
        "past_current": rule.score(),
        "past_proposed": rule.score(new.threshold),
    }
    return RuleAdvice(**{**given, **more})


def column(table, name):
    return [row[table.header.index(name)] for row in table.rows]


def test_before_and_after(rule):
    other = RuleAdvice("Broken", "refused", "Not evaluated", ("why",), None)
    result = Advice(backtest_of(rule), Budget(600_000), {rule.name: advised(rule), "Broken": other})
    table = tables.before_after(result)
    assert table.rows == (
        ("HighConsumerLag", "tuned", "now: threshold 10 · for 0", "2 of 3", "3", "1.52", "5 min"),
        ("", "", "proposed: threshold 30 · for 0", "2 of 3", "1", "0.51", "5 min"),
        ("Broken", "refused", "not evaluated", "–", "–", "–", "–"),
    )


def test_no_incident_is_said_in_words():
    quiet = replay(np.zeros(300))
    table = tables.comparison(advised(quiet, proposed=None, past_proposed=None))
    assert table.header == ("", "now")
    assert dict(table.rows)["incidents found"] == "no incident"
    assert "worst delay" not in dict(table.rows)


def test_the_comparison_prints_what_the_data_carry(rule):
    table = tables.comparison(advised(rule, next_4_weeks=(0, 9)))
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["threshold"] == ("10", "30")
    assert rows["of them false"] == ("3", "1")
    assert rows["false pages in the next 4 weeks"] == ("–", "probably 0–9")
    # Three incidents carry no median, and the rule has neither window nor hours.
    assert not {"median delay", "window", "hours"} & set(rows)
    assert not any("%" in cell for row in table.rows for cell in row)


def test_what_became_of_each_incident(rule):
    table = tables.incidents_table(rule.score(), rule.score(30.0))
    assert column(table, "incident") == ["INC-1", "INC-2", "INC-3", "minor"]
    assert column(table, "now") == ["found, paged 10:05", "found early, paged 05:50", "not found", "not found"]
    assert table.rows[0][5:] == ("found, paged 10:05", "5 min", "found, paged 10:05", "5 min")
    assert table.rows[1][6] == "0 s"
    assert column(table, "must page") == ["yes", "yes", "yes", "no"]
    assert table.rows[0][3] == "lag"
    assert len(tables.incidents_table(rule.score()).header) == 7


def test_a_page_on_another_day_shows_its_date():
    values = np.zeros(3000)
    values[1430:1450] = 50
    found = replay(values, incidents=[incident("night", 24)])
    assert column(tables.incidents_table(found.score()), "what became of it") == ["found early, paged 2026-03-02 23:50"]


def test_false_pages_to_review_are_the_largest_first(rule):
    table = tables.review_table(rule, current_setting(rule), rule.score())
    # 5 min x 890, then 100 min x 1 and 10 min x 10: equal size, the earlier one first.
    assert [row[3] for row in table.rows] == ["900", "20", "11"]
    assert (
        table.rows[0] == ("2026-03-10 08:00", "5 min", '{topic="user.registered"}', "900")
        or "severity" in table.rows[0][2]
    )
    assert table.caption == "False pages"
    short = tables.review_table(rule, current_setting(rule), rule.score(), most=1)
    assert (len(short.rows), short.caption) == (1, "The largest 1 of 3 false pages")


def test_rules_on_low_values_show_the_lowest():
    values = np.full(3000, 9.0)
    values[100:120], values[900:910] = 1.0, 3.0
    low = replay(values, text="rate < 5")
    table = tables.review_table(low, current_setting(low), low.score())
    assert table.header[-1] == "lowest value"
    assert [row[3] for row in table.rows] == ["1", "3"]


def test_rules_without_threshold_are_reviewed_by_duration():
    values = np.full(3000, np.nan)
    values[100:110], values[900:940] = 1, 1
    bare = replay(values, text="absent(lag)")
    table = tables.review_table(bare, current_setting(bare), bare.score())
    assert table.header == ("start (UTC)", "length", "alert")
    assert [row[1] for row in table.rows] == ["40 min", "10 min"]


def test_weeks_add_up(rule):
    table = tables.weekly_table(rule.score(), rule.score(30.0))
    assert table.rows == (("2026-03-02", "2", "0"), ("2026-03-09", "1", "1"))
    assert [sum(map(int, cells)) for cells in zip(*[row[1:] for row in table.rows], strict=True)] == [3, 1]


def test_evidence_tables(rule):
    setting, score = proposal(rule), rule.score(30.0)
    tally = Tally.of([score], 600_000)
    block = Interval(START, START + 7 * 86_400_000)
    held = HeldOut((Fold(block, setting, rule.score(), score),), Tally.of([rule.score()], 600_000), tally)
    table = tables.heldout_table(held)
    assert table.rows[0] == ("2026-03-02 to 2026-03-08", "threshold 30 · for 0", "2 of 3", "2 of 3", "3", "1")
    assert table.rows[1][2:] == ("2 of 3", "2 of 3", "3", "1")
    entry = advised(
        rule,
        neighbours=(Neighbour("threshold −20 %", setting, score, ("2 of 3 incidents found within 10 min",)),),
        left_out=(LeftOut("INC-1", None, False), LeftOut("INC-2", setting, True)),
        physics=(
            {"alert": '{topic="a"}', "time": TimeToPage("consumer stops", "trough", 27, 0.25, 15_000.0)},
            {"alert": "{}", "time": TimeToPage("consumer stops", "peak", 0, 12.0, float("inf"))},
            {"alert": "{}", "time": TimeToPage("producer stops", "peak", 0, 12.0, float("nan"))},
        ),
    )
    assert tables.neighbours_table(entry).rows == (
        ("threshold −20 %", "2 of 3", "1", "0.51", "5 min", "no: 2 of 3 incidents found within 10 min"),
    )
    assert [row[1:] for row in tables.left_out_table(entry).rows] == [
        ("no threshold separates", "no"),
        ("threshold 30 · for 0", "yes"),
    ]
    physics = tables.physics_table(entry).rows
    assert physics[0] == ("consumer stops", '{topic="a"}', "Tue 03:00 UTC (trough)", "0.25", "4 h 10 min")
    assert [row[4] for row in physics[1:]] == ["never", "fires without a fault"]


@pytest.mark.parametrize("text", HOSTILE)
def test_the_terminal_shows_hostile_text_as_text(text):

    values = np.zeros(2000)
    values[600:700] = 50
    odd = replay(values, labels=[Labels({"topic": text})], name=text, incidents=[incident(text, 2, kind=text)])
    result = Advice(backtest_of(odd), Budget(600_000), {text: advised(odd)})
    out = io.StringIO()
    for table in (
        tables.before_after(result),
        tables.incidents_table(odd.score()),
        tables.review_table(odd, current_setting(odd), odd.score()),
    ):
        out.write(repr(table))
    shown = out.getvalue()
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    if text.isprintable():
        assert text in shown


def test_a_frame_is_written_for_reading():
    index = pd.MultiIndex.from_tuples([("Lag", "$x$"), ("\u202eRate", "up")], names=["alert", "reads"])
    columns = {"series": [3, 28], "seen_ratio": [0.99995, math.nan], "blind_s": [90.0, math.nan], "gap_min": [2.5, 0.0]}
    table = tables.frame_table(pd.DataFrame({**columns, "turns": ["yes", "no"]}, index=index), "Sight")
    assert table.header == ("alert", "reads", "series", "seen", "blind", "gap", "turns")
    assert table.rows == (
        ("Lag", "$x$", "3", ">99.9%", "1 min 30 s", "2 min 30 s", "yes"),
        ("\\u202eRate", "up", "28", "–", "–", "0 s", "no"),
    )
    assert table.left == {0, 1, 6}
    assert [cell.key for cell in table.rows[0][3:6]] == [0.99995, 90_000, 150_000]
