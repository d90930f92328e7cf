"""Answers that turn hours or keep_firing_for: priced as the rule file with those values is."""

import numpy as np

import kmon_analysis as km
from kmon_analysis.postmortem.content import content_of
from kmon_analysis.timing import MINUTE_MS
from tests.postmortem.world import history, incident, minute, replayed

RULES = "groups:\n- name: g\n  interval: 1m\n  rules:\n  - {{alert: A, expr: '{}', for: 5m}}\n"


def answers(made, knob):
    return {
        rung.sooner_ms // MINUTE_MS: answer
        for rung in made.sooner["A"]
        for answer in rung.answers
        if answer.knob == knob
    }


def low(*spells, minutes=600):
    line = np.full(minutes, 50.0)
    for start, end, value in spells:
        line[start:end] = value
    return history({"a": line}, minutes)


def written(answer, expr, held, listed):
    """Compare the price with a backtest of the rule as it would be written."""
    score = replayed(held, listed, RULES.format(expr)).scores["A"]
    [outcome] = [each for each in score.outcomes if each.incident.id == "INC-1"]
    assert (answer.price.page_ms, answer.price.false_pages) == (outcome.first_firing_ms, score.false_pages)
    assert (answer.price.weeks, answer.price.firing_ratio) == (score.weeks, score.firing_ratio)


def test_a_guard_that_delayed_the_page_is_taken_away_and_priced():
    # It is night until 04:00; what is low at 01:00 would then page, too.
    held = low((60, 80, 0.0), (212, 270, 0.0))
    listed = [incident(start=210, end=270)]
    made = km.postmortem(replayed(held, listed, RULES.format("lag < 5 and on() (hour() >= 4)")), "INC-1", sooner="10m")
    answer = answers(made, "hours")[10]
    assert answer.setting.hours is None
    assert (answer.price.page_ms, answer.price.false_pages) == (minute(217), 1)
    written(answer, "lag < 5", held, listed)
    [section] = content_of(made).sections
    assert any(row[1:3] == ("hours", "at all hours") for row in section.sooner.rows)


def test_a_rule_on_low_values_without_hours_is_offered_some_where_they_save_pages():
    held = low((60, 80, 8.0), (491, 500, 8.0), (500, 540, 0.0))
    listed = [incident(start=490, end=540)]
    made = km.postmortem(replayed(held, listed, RULES.format("lag < 5")), "INC-1", sooner="5m")
    assert answers(made, "threshold")[5].price.false_pages == 1
    answer = answers(made, "hours")[5]
    assert answer.price.false_pages == 0
    guard = "and on() (day_of_week() > 0 < 6) and on() (hour() >= 8 < 18)"
    written(answer, f"lag < {answer.setting.threshold} {answer.setting.hours or guard}", held, listed)
    [section] = content_of(made).sections
    assert any("Mon-Fri 08:00-18:00 UTC" in row[2] for row in section.sooner.rows)
    # Nothing is offered to a rule on high values, or where nights are quiet.
    quiet = km.postmortem(replayed(low((491, 500, 8.0), (500, 540, 0.0)), listed, RULES.format("lag < 5")), "INC-1")
    assert {each.why for each in answers(quiet, "hours").values()} == {"no hours"}


def test_keeping_it_firing_is_offered_where_it_joins_false_pages():
    spells = [(start, start + 8, 0.0) for start in (300, 316, 332)]
    held = low((122, 150, 0.0), *spells, minutes=6000)
    listed = [incident()]
    made = km.postmortem(replayed(held, listed, RULES.format("lag < 5")), "INC-1", sooner="1m")
    answer = answers(made, "keep")[1]
    assert answer.setting.keep_firing_for_ms == 15 * MINUTE_MS
    assert (
        answer.price.false_pages
        == 1
        < min(each.price.false_pages for each in made.sooner["A"][0].answers[:2] if each.price)
    )
    [section] = content_of(made).sections
    assert section.sooner.rows[-1][1:3] == ("keep firing", "threshold 5 · for 4m · keep firing for 15m")
    expr = f"lag < {answer.setting.threshold}"
    text = RULES.format(expr).replace("for: 5m", f"for: {answer.setting.for_ms // 1000}s, keep_firing_for: 15m")
    score = replayed(held, listed, text).scores["A"]
    assert (answer.price.false_pages, answer.price.firing_ratio) == (score.false_pages, score.firing_ratio)
    once = km.postmortem(replayed(low((122, 150, 0.0)), listed, RULES.format("lag < 5")), "INC-1", sooner="1m")
    assert answers(once, "keep")[1].why == "no fewer pages"
