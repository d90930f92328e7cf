"""What cannot be known is said, and not told as if it were good news."""

import numpy as np
import pandas as pd
import pytest

import kmon_analysis as km
from kmon_analysis.history import History
from kmon_analysis.postmortem.content import content_of
from kmon_analysis.postmortem.markdown import markdown
from kmon_analysis.postmortem.page import render_page
from kmon_analysis.postmortem.words import did, summary
from tests.postmortem.world import RULES, bumped, flat, history, incident, minute, replayed

ONE = RULES[: RULES.index("  - alert: Silent")]


def made(held, *listed, rules=RULES):
    return km.postmortem(replayed(held, listed or [incident()], rules), "INC-1")


def notes(found, rule="HighLag"):
    [section] = [each for each in content_of(found).sections if each.rule == rule]
    return " ".join(section.sooner_notes)


def codes(found):
    return [limit.code for limit in found.limits]


def test_a_gap_over_the_whole_incident_is_no_quiet_rule():
    line = bumped()
    line[100:170] = np.nan
    found = made(history({"a": line}))
    assert summary(found) == "The history holds nothing of this time: whether a rule paged is not known."
    assert notes(found) == "Nothing can be said of other settings: the history holds nothing of this time."


def test_a_history_that_ends_inside_knows_only_so_far():
    found = made(history({"a": flat(125)}, 125))
    assert summary(found) == "No rule paged for it before the history ends, which is before the incident does."
    assert codes(found)[0] == "ends after the history"


def holed(start, end, line=None):
    line = flat() if line is None else line
    line[start:end] = np.nan
    return made(history({"a": line}), rules=ONE)


def frame(minutes):
    index = pd.date_range("2026-03-02", periods=minutes, freq="1min", tz="UTC")
    return pd.DataFrame({'lag{topic="a"}': flat(minutes)}, index=index)


def timeline(found):
    return [(row[-2], row[-1]) for row in content_of(found).timeline.rows]


@pytest.mark.parametrize(
    ("start", "end", "where"),
    [
        (135, 200, "from +15 min to the end"),
        (100, 135, "from the start to +15 min"),
        (125, 140, "from +5 min to +20 min"),
    ],
)
def test_a_hole_inside_the_incident_is_no_quiet_rule(start, end, where):
    found = holed(start, end)
    story = found["HighLag"]
    assert summary(found) == (
        f"No rule paged for it in what is recorded; {where} nothing is, so of that time it is not known."
    )
    assert did(found, story).startswith("never came true in what is recorded: the value came nearest with 10 at ")
    assert did(found, story).endswith(f"; nothing is recorded {where} (not known)")
    assert ("history", f"nothing recorded {where} (not known)") in timeline(found)
    assert [section.verdict for section in content_of(found).sections] == ["not known"]
    assert "would have caught it in what is recorded" in notes(found)
    for text in (markdown(found), render_page(found)):
        assert f"nothing recorded {where}" in text.replace("\\", "")
        assert f"in what is recorded; {where} nothing is" in text.replace("\\", "")
    written = found.to_json()
    assert [rule["known"] for rule in written["rules"]] == [False]
    [span] = written["unrecorded"]
    assert span["start"]["offset_s"] == (max(start, 120) - 120) * 60
    assert span["end"]["offset_s"] == (min(end, 150) - 120) * 60


def test_what_the_lookback_bridges_is_no_hole():
    found = holed(125, 129)
    assert summary(found) == "No rule paged for it."
    assert found.to_json()["unrecorded"] == []
    assert found.to_json()["rules"][0]["known"] is True


def test_a_page_that_a_hole_cuts_is_not_said_to_have_resolved():
    found = holed(135, 200, bumped((122, 300, 500.0)))
    assert summary(found) == "HighLag paged 7 min after the labelled start."
    assert did(found, found["HighLag"]) == "paged at +7 min"
    assert ("HighLag", "page not recorded any further: when it resolved is not known") in timeline(found)
    steps = content_of(found).sections[0].timeline.rows
    assert [row[-2] for row in steps] == [
        "condition true, pending",
        "firing, page",
        "nothing recorded any more: until when it lasted is not known",
    ]
    assert "cut" in codes(found)
    assert found.to_json()["rules"][0]["held"][0]["ended_by"] == "gap"


def test_a_page_after_a_hole_may_not_have_been_the_first():
    found = holed(118, 130, bumped((110, 148, 500.0)))
    assert found["HighLag"].status == "paged early"
    later = holed(115, 130, bumped((115, 148, 500.0)))
    unsure = "nothing is recorded from the start to +10 min: it may have paged before"
    assert did(later, later["HighLag"]) == f"paged at +15 min; {unsure}"
    assert unsure in summary(later)
    assert ("HighLag", "condition true (since when is not known)") in timeline(later)
    assert "unknown since" in codes(later)


def test_what_is_pending_at_the_end_is_not_said_to_be_unresolved():
    found = made(history({"a": bumped((146, 300, 500.0), minutes=149)}, 149))
    [limit] = [each for each in found.limits if each.code == "open"]
    assert limit.text == "HighLag was pending, and had not fired, when the history ends."


def test_the_end_of_a_history_made_from_samples_is_the_last_sample():
    found = made(History.from_frame(frame(130)))
    assert dict(content_of(found).facts)["History (UTC)"].startswith("2026-03-02 00:00:00 to 2026-03-02 02:09:00, ")
    [ends] = [row for row in content_of(found).timeline.rows if row[-2] == "history"]
    assert ends[:2] == ("+9 min", "02:09:00")


def test_a_misspelt_metric_is_no_data_and_scores_nothing():
    found = made(history({"a": flat()}), rules=RULES.replace("lag > 100", "lagg > 100"))
    story = found["HighLag"]
    assert (story.status, story.score) == ("no data", None)
    assert did(found, story) == "the history has no samples of what it reads"
    assert summary(found) == "The history holds nothing of what the rules read: whether one paged is not known."
    [row] = [row for row in content_of(found).rules.rows if row[0] == "HighLag"]
    assert row[3:] == ("–", "–", "–")
    assert notes(found) == "Nothing can be said of other settings: the history holds nothing of what the rule reads."
    assert "false pages" not in markdown(found).partition("## HighLag")[2].partition("## Silent")[0]
    written = found.to_json()["rules"][0]
    assert (written["known"], written["whole_history"], written["sooner"]) == (False, None, [])


def test_series_that_are_gone_can_be_caught_by_no_threshold():
    found = made(history({"a": flat()}), incident(labels={"topic": "gone"}))
    assert found["HighLag"].status == "nothing returned"
    assert "nothing that the incident concerns was returned" in notes(found)


def test_firing_again_in_an_old_page_is_no_page():
    line = bumped((95, 103, 500.0), (106, 112, 500.0))
    found = made(history({"a": line}), rules=RULES.replace("for: 5m", "for: 0m"))
    assert found["HighLag"].merged_into_ms == minute(95)
    assert did(found, found["HighLag"]) == "fired at -14 min, in the page that began at -25 min and had resolved"
    assert summary(found).startswith("HighLag fired again (its page began at -25 min) 14 min before the labelled start")


@pytest.mark.parametrize(("others", "amount"), [([incident("ALL", 0, 600)], "(none)"), ([], "(9 h 5 min)")])
def test_without_ordinary_time_no_false_pages_are_no_praise(others, amount):
    found = made(history({"a": bumped((122, 140, 500.0))}), incident(), *others)
    assert "little normal time" in codes(found)
    [limit] = [each for each in found.limits if each.code == "little normal time"]
    assert amount in limit.text


def test_a_rule_that_missed_it_is_told_what_would_have_caught_it_or_why_nothing():
    low = made(history({"a": bumped((122, 140, 80.0))}))
    assert "It would have been caught with threshold" in notes(low)
    assert "0 false pages in the whole history" in notes(low)
    none = made(history({"a": flat()}))
    assert none["HighLag"].status == "never true"
    assert "No setting that was tried would have caught it. threshold alone: " in notes(none)
    assert "for alone: the condition was not true by then" in notes(none)


def test_a_rule_that_fired_all_along_is_told_a_threshold_that_pages_anew():
    line = np.full(600, 300.0)
    line[122:140] = 5_000.0
    found = made(history({"a": line}))
    assert found["HighLag"].status == "already firing"
    [at_all] = [rung for rung in found.sooner["HighLag"] if not rung.sooner_ms]
    threshold = at_all.answers[0]
    assert 300 <= threshold.setting.threshold < 5_000
    assert threshold.price.page_ms == minute(127)
    assert "It would have been caught with threshold" in notes(found)
