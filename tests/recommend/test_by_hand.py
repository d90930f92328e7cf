"""Values that a person chose: what the advice says of them, and that the export takes them."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace

import pytest
from ruamel.yaml import YAML

from kmon_analysis.backtest.run import backtest
from kmon_analysis.backtest.settings import Settings
from kmon_analysis.errors import IncidentError, SettingError
from kmon_analysis.incidents import Incidents
from kmon_analysis.recommend.advice import Advice
from kmon_analysis.recommend.by_hand import chosen_by_hand
from kmon_analysis.recommend.candidates import Budget, Setting, current_setting
from kmon_analysis.recommend.case import breaches
from kmon_analysis.recommend.confirm import confirm
from kmon_analysis.report.page import render_report
from kmon_analysis.rules.knobs import find_knobs
from kmon_analysis.rules.reader import parse_rules, read_rules
from kmon_analysis.timing import MINUTE_MS
from tests.explore.world import history, world
from tests.recommend.world import RULES, advise, lag_history
from tests.tools import require

NAME = "HighConsumerLag"
SIX = (8.4, 12.3, 17.6, 22.5, 27.3, 33.6)


def lag_advice(days=SIX, weeks=6, **more):
    return advise(*lag_history(weeks, incidents=days, **more))


def setting_of(advice, threshold=2_000.0, for_min=3):
    return replace(current_setting(advice.backtest[NAME]), threshold=threshold, for_ms=for_min * MINUTE_MS)


def legend_texts(axes):
    return [] if axes.get_legend() is None else axes.get_legend().get_texts()


def words(entry):
    return " ".join((entry.headline, *entry.reasons))


def test_it_is_scored_on_the_whole_past_and_says_no_more():
    advice = lag_advice()
    setting = setting_of(advice)
    entry = chosen_by_hand(advice, NAME, setting)[NAME]
    assert (entry.verdict, entry.by_hand, entry.proposed) == ("tuned", True, setting)
    assert entry.past_proposed == advice.backtest[NAME].score(2_000.0, for_ms=3 * MINUTE_MS)
    assert entry.past_current == advice.backtest.scores[NAME]
    assert (entry.heldout, entry.left_out, entry.next_4_weeks, entry.neighbours) == (None, (), None, ())
    assert (entry.plateau, entry.overfit_ratio, entry.chance_p) == (None, None, None)
    said = words(entry)
    assert entry.headline.startswith("Chosen by hand: threshold 2,000")
    assert "no recommendation" in said
    assert "nothing was held out" in said
    assert "6 of 6 incidents" in said
    assert "%" not in said
    assert "Recommended" not in entry.headline
    # What the procedure itself would say stays readable.
    assert f'"{advice[NAME].headline}"' in said
    assert advice[NAME].by_hand is False


@pytest.mark.parametrize(
    ("days", "told", "forbidden"),
    [
        ((), ["No incident concerns this rule", "unknown"], [" of 0", "%", "caught", "found"]),
        ((8.4,), ["One incident cannot support a change", "INC-1"], ["1 of 1", "%"]),
        ((8.4, 17.6), ["Two incidents cannot support a change", "INC-2"], ["2 of 2", "%"]),
        ((8.4, 12.3, 17.6), ["3 of 3 incidents"], ["%", "median"]),
    ],
)
def test_few_incidents_are_named_and_not_counted(days, told, forbidden):
    advice = lag_advice(days)
    entry = chosen_by_hand(advice, NAME, setting_of(advice))[NAME]
    said = words(entry).replace(advice[NAME].headline, "")
    assert all(text in said for text in told)
    assert [text for text in forbidden if text in said] == []


def test_a_short_past_is_called_short():
    advice = lag_advice((2.4, 4.3, 6.6), weeks=1)
    entry = chosen_by_hand(advice, NAME, setting_of(advice))[NAME]
    assert "less than two weeks" in words(entry)


def test_it_says_where_it_breaks_the_budget():
    advice = lag_advice()
    assert "it keeps to the budget" in words(chosen_by_hand(advice, NAME, setting_of(advice))[NAME])
    missing = chosen_by_hand(advice, NAME, setting_of(advice, threshold=9_000.0))[NAME]
    assert "does not keep to the budget: INC-1 (2026-01-13) is missed" in words(missing)
    noisy = chosen_by_hand(advice, NAME, setting_of(advice, threshold=60.0, for_min=0))[NAME]
    assert "more false pages than accepted" in words(noisy)


def test_without_a_budget_nothing_is_said_of_one():
    advice = Advice(lag_advice().backtest, None)
    entry = chosen_by_hand(advice, NAME, setting_of(advice))[NAME]
    assert "budget" not in words(entry)


def test_the_proposed_values_keep_their_evidence_and_the_deployed_ones_change_nothing():
    advice = lag_advice()
    assert advice[NAME].proposed is not None
    assert chosen_by_hand(advice, NAME, advice[NAME].proposed) is advice
    kept = chosen_by_hand(advice, NAME, advice[NAME].current)[NAME]
    assert (kept.verdict, kept.proposed, kept.by_hand) == ("keep", None, True)
    again = chosen_by_hand(chosen_by_hand(advice, NAME, setting_of(advice)), NAME, setting_of(advice, 3_000.0))
    assert again[NAME].proposed.threshold == 3_000.0
    assert "The procedure" not in words(again[NAME])


def test_suggestions_are_decided_first_and_no_evidence_for_the_rule_that_made_them():
    known, truth = lag_history(6, incidents=SIX)
    ours = replace(truth, incidents=tuple(replace(each, suggested_by=(NAME,)) for each in truth.incidents))
    advice = Advice(backtest(parse_rules(RULES.format(threshold=500)), known, ours), None)
    assert "its own breaches suggested 6" in words(chosen_by_hand(advice, NAME, setting_of(advice))[NAME])
    open_one = replace(truth, suggested=(replace(truth.incidents[0], id="new", status="suggested"),))
    advice = Advice(backtest(parse_rules(RULES.format(threshold=500)), known, open_one), None)
    with pytest.raises(IncidentError, match="new"):
        chosen_by_hand(advice, NAME, setting_of(advice))


def test_a_value_that_makes_no_sense_is_refused():
    advice = lag_advice()
    with pytest.raises(SettingError, match="no single window"):
        chosen_by_hand(advice, NAME, replace(setting_of(advice), window_ms=MINUTE_MS))
    with pytest.raises(SettingError, match="no threshold"):
        chosen_by_hand(advice, NAME, replace(setting_of(advice), threshold=float("inf")))


def test_other_rules_stay_as_they_are():
    result = world()
    first = chosen_by_hand(Advice(result, Budget(30 * MINUTE_MS)), "LowRate", Setting(10.0, 600_000, 60_000, 0, None))
    both = chosen_by_hand(first, NAME, Setting(200.0, 300_000, 60_000, 0, None))
    assert list(both) == [NAME, "LowRate"]
    assert both["LowRate"] == first["LowRate"]


@pytest.mark.parametrize("prometheus", ["promtool", "promtool3"])
def test_the_export_holds_the_chosen_values_and_promtool_agrees(tmp_path, monkeypatch, prometheus):
    monkeypatch.setenv("KMON_PROMTOOL", str(require(prometheus)))
    result = world()
    hours = "and on() (hour() >= 7 < 20)"
    setting = Setting(250.0, 600_000, 3 * MINUTE_MS, 0, hours)
    assert setting.short("<") == "[10m] < 250 for 3m"
    assert setting.short(None) == "[10m] threshold 250 for 3m"
    written = chosen_by_hand(Advice(result, None), NAME, setting).write(tmp_path)
    assert not written.failed, written.output
    assert "promtool" in written.sentence
    assert written.changes == (f"{NAME}: {setting}",)
    assert repr(written).split("\n")[1:] == [f"changed: {NAME}: {setting}", *map(str, written.paths)]
    text = (tmp_path / "rules.yml").read_text(encoding="utf-8")
    assert (
        "chosen by hand with kmon_analysis: was threshold 100, window 5m, for 2m, and on() (hour() >= 6 < 22);" in text
    )
    rule = read_rules(tmp_path / "rules.yml").alert(NAME)
    knobs = find_knobs(rule)
    assert (knobs.threshold, knobs.window_ms, knobs.for_ms, knobs.hours) == (250.0, 600_000, 180_000, hours)
    tests = (tmp_path / "rules_test.yml").read_text(encoding="utf-8")
    assert f"{NAME} pages for INC-" in tests
    entry = json.loads((tmp_path / "advice.json").read_text(encoding="utf-8"))["rules"][0]
    assert (entry["by_hand"], entry["heldout"], entry["next_4_weeks"]) == (True, None, None)
    assert entry["proposed"]["hours"] == hours
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Chosen by hand" in page
    assert "no limits were given" in page
    assert "by hand: threshold" in page
    assert "proposed: threshold" not in page
    # What was written is what was scored.
    anew = backtest(read_rules(tmp_path / "rules.yml"), result.history, result.incidents)
    assert anew.scores[NAME] == result[NAME].score(250.0, **setting.at)


@pytest.mark.parametrize(
    ("usual", "chosen"),
    [(None, ()), (None, ("consumergroup", "topic")), (("topic",), None), (("topic",), ("topic",))],
)
def test_its_numbers_are_those_of_the_grouping_it_was_chosen_in(tmp_path, usual, chosen):
    result = world(group_by=usual)
    setting = Setting(150.0, 300_000, 60_000, 0, None)
    advice = chosen_by_hand(Advice(result, None), NAME, setting, chosen)
    entry = advice[NAME]
    grouped = world(group_by=chosen)[NAME]
    assert entry.past_proposed == grouped.score(150.0, **setting.at)
    assert entry.past_current == grouped.score()
    assert (entry.group_by, advice.replay(NAME).settings.group_by) == (chosen, chosen)
    said = {
        None: "one for each alert",
        (): "one for the whole rule",
        ("topic",): "one for each topic",
        ("consumergroup", "topic"): "one for each consumergroup, topic",
    }[chosen]
    assert (f"counted as {said}, those of the other rules" in words(entry)) is (chosen != usual)
    assert entry.headline.endswith(said.replace("one for", "one page for")) is (chosen != usual)
    # What follows counts in the same way: another choice, the export, a check on other weeks.
    again = chosen_by_hand(advice, NAME, replace(setting, threshold=140.0))[NAME]
    assert (again.group_by, again.past_current) == (chosen, entry.past_current)
    known, truth = history(seed=9), result.incidents
    checked = confirm(advice, known, truth)
    alone = backtest(result.rules, known, truth, settings=replace(result.settings, group_by=chosen))
    assert checked.current.scores[NAME] == alone.scores[NAME]
    assert checked.proposed.scores[NAME] == alone[NAME].score(150.0, **setting.at)
    advice.write(tmp_path)
    assert json.loads((tmp_path / "advice.json").read_text(encoding="utf-8"))["rules"][0]["group_by"] == (
        None if chosen is None else list(chosen)
    )
    names = ", ".join(dict.fromkeys(("alertname", *(chosen or ()))))
    comment = f"; one page for {said.removeprefix('one for ')} (Alertmanager group_by: [{names}])"
    assert (comment in (tmp_path / "rules.yml").read_text(encoding="utf-8")) is (chosen is not None)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert ("one page for</th>" in page) is (chosen is not None)


def test_the_grouping_of_the_whole_backtest_is_said_as_well():
    advice = advise(*lag_history(6, incidents=SIX), settings=Settings(group_by=("topic",)))
    assert advice[NAME].group_by == ("topic",)
    entry = chosen_by_hand(advice, NAME, advice[NAME].proposed, ())[NAME]
    assert (entry.by_hand, entry.group_by) == (True, ())


def test_a_guard_can_be_given_and_taken_away():
    result = world()
    for hours in (None, "and on() (day_of_week() >= 1 <= 3)"):
        setting = Setting(100.0, 300_000, 120_000, 0, hours)
        advice = chosen_by_hand(Advice(result, None), NAME, setting)
        checked = confirm(advice, history(seed=9), result.incidents)
        [rule] = [each for each in checked.proposed.rules.alerts if each.name == NAME]
        assert find_knobs(rule).hours == hours
        assert ("hours" in advice[NAME].headline or "day_of_week" in advice[NAME].headline) is True


def test_no_incident_no_score_of_any():
    known, _ = lag_history(6)
    advice = advise(known, Incidents(()))
    entry = chosen_by_hand(advice, NAME, setting_of(advice))[NAME]
    assert entry.to_json()["past"]["proposed"]["caught"] is None


def test_a_choice_by_hand_is_called_that_in_table_frame_plot_and_report():
    result = world()
    setting = Setting(250.0, 600_000, 3 * MINUTE_MS, 0, None)
    advice = chosen_by_hand(Advice(result, None), NAME, setting)
    frame = advice.to_frame()
    assert frame.index.tolist() == [(NAME, "current"), (NAME, "by hand")]
    assert frame["verdict"].tolist() == ["by hand", "by hand"]
    texts = [text.get_text() for axes in advice.plot(NAME).axes for text in legend_texts(axes)]
    assert "by hand: 250" in texts
    assert not [text for text in texts if "proposed" in text]
    shown = render_report(advice)
    assert "by hand" in shown
    assert "proposed" not in re.sub(r"<style>.*?</style>", "", shown, flags=re.DOTALL)


def test_keeping_by_hand_what_breaks_the_budget_says_so():
    noisy = advise(*lag_history(6, incidents=SIX), threshold=60)
    kept = chosen_by_hand(noisy, NAME, noisy[NAME].current)[NAME]
    rate = kept.past_current.shown_rate
    broken = "; ".join(breaches(noisy.budget, kept.past_current))
    assert kept.headline == f"Keep the current rule, by hand; it breaks the budget: {broken}"
    assert f"{rate} false pages a week, 1 accepted" in kept.headline
    fine = advise(*lag_history(6, incidents=SIX), threshold=2_000)
    assert chosen_by_hand(fine, NAME, fine[NAME].current)[NAME].headline == "Keep the current rule, by hand"
    # Nobody who gave no limits is told that one is broken.
    unasked = Advice(noisy.backtest, None)
    assert chosen_by_hand(unasked, NAME, noisy[NAME].current)[NAME].headline == "Keep the current rule, by hand"


def test_a_choice_by_hand_is_called_that_and_its_quiet_tests_hold_no_alert(tmp_path):
    result = world()
    setting = Setting(250.0, 600_000, 3 * MINUTE_MS, 0, None)
    advice = chosen_by_hand(Advice(result, None), NAME, setting)
    assert advice[NAME].decision == "by hand"
    assert repr(advice[NAME]).startswith(f"{NAME}: {advice[NAME].headline}")
    assert f"{NAME}: {html.escape(advice[NAME].headline)}" in advice[NAME]._repr_html_()
    assert advice.table()[1][0][1] == "by hand"
    assert advice.table()[1][1][2].startswith("by hand: ")
    tests = YAML(typ="safe").load(advice.write(tmp_path).paths[1].read_text(encoding="utf-8"))["tests"]
    quiet = [test for test in tests if "stays quiet on" in test["name"]]
    assert quiet
    for test in quiet:
        assert not any(check["exp_alerts"] for check in test["alert_rule_test"])
