"""The protocol, row by row: what is advised, what is said, and what must not be said."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from kmon_analysis.backtest.run import backtest
from kmon_analysis.errors import SettingError
from kmon_analysis.history import History
from kmon_analysis.incidents import Incident, Incidents
from kmon_analysis.labels import Labels
from kmon_analysis.recommend.wording import thresholds
from kmon_analysis.report import page
from kmon_analysis.rules.reader import parse_rules
from kmon_analysis.series import Samples, SeriesSet
from kmon_analysis.timing import HOUR_MS, MINUTE_MS, Interval
from tests.recommend.world import RULES, advise, lag_history

TEN = [3.5 + 7 * week for week in range(10)]


def text_of(advice):
    return "\n".join([advice.headline, *advice.reasons])


def _raised(history):
    """Lift a lag of incidents at zero by ten everywhere else."""
    samples = history.series
    values = np.where(samples.values == 0.0, 0.0, samples.values + 10.0)
    return History(SeriesSet.from_samples([Samples(samples.labels[0], samples.times, values)]), history.provenance)


def only(advice):
    return advice["HighConsumerLag"]


def test_without_incidents_it_refuses_and_speaks_of_no_recall():
    history, nothing = lag_history(6)
    found = only(advise(history, nothing))
    assert (found.verdict, found.headline) == ("refused", "No recommendation for detection")
    assert found.proposed is None
    assert found.next_4_weeks is None
    said = text_of(found).lower()
    for word in ("recall", "precision", "optimal", "found", "%"):
        assert word not in said
    # The threshold that is quiet, and how long a proof takes.
    quiet = float(re.search(r"at or above ([\d,.]+) would have kept", text_of(found))[1].replace(",", ""))
    assert 400 < quiet < 900
    assert "A measure of the noise, not a proposal: with for 5m, any threshold at or above" in text_of(found)
    assert "2.3 weeks without a false page" in text_of(found)
    assert "kmon incidents suggest" in text_of(found)
    score = found.past_current
    assert (
        f"paged falsely {score.false_pages} times in 6 weeks of normal time: {score.shown_rate} a week, 1 accepted."
        in text_of(found)
    )
    past = found.to_json()["past"]["current"]
    assert past["caught"] is None
    assert past["incidents"] == 0


def test_one_incident_is_one_example_and_no_percentage():
    advice = advise(*lag_history(6, incidents=[20.5]))
    found = only(advice)
    assert (found.verdict, found.headline) == ("keep", "Consistent with one example")
    assert found.proposed is None
    assert "%" not in text_of(found) + repr(advice)
    assert "INC-1 (2026-01-25) is paged after 5 min" in text_of(found)
    assert re.search(r"shift test p = 0\.\d{3}", text_of(found))
    assert found.candidate is not None
    assert 900 < found.candidate.threshold < 8000


def test_two_incidents_say_two_thirds_and_no_interval():
    found = only(advise(*lag_history(6, incidents=[10.5, 30.5])))
    assert (found.verdict, found.headline) == ("keep", "Consistent with two examples")
    assert "2/3" in text_of(found)
    assert "%" not in text_of(found)


TWO_RULES = (
    RULES.format(threshold=500)
    + """  - alert: VeryHighConsumerLag
    expr: kafka_consumer_lag_sum > 700
    for: 1m
"""
)


def test_one_rule_of_two_is_tuned_and_the_other_stays(tmp_path, monkeypatch):
    # Nobody looks at its pictures.
    monkeypatch.setattr(page, "_pictures", lambda *_: [])
    history, known = lag_history(8, incidents=TEN[:5])
    both = advise(history, known, rules=TWO_RULES)
    assert [advice.decision for advice in both.values()] == ["tuned", "tuned"]
    one = advise(history, known, rules=TWO_RULES, only=["VeryHighConsumerLag"])
    assert list(one) == ["VeryHighConsumerLag"]
    assert one["VeryHighConsumerLag"].to_json() == both["VeryHighConsumerLag"].to_json()
    one.write(tmp_path)
    written = (tmp_path / "rules.yml").read_text()
    assert "kafka_consumer_lag_sum > 500\n    for: 5m" in written
    assert "kafka_consumer_lag_sum > 700" not in written
    with pytest.raises(SettingError, match="no alert 'HighLag'"):
        advise(history, known, rules=TWO_RULES, only=["HighLag"])
    with pytest.raises(SettingError, match="is a text"):
        advise(history, known, rules=TWO_RULES, only="HighConsumerLag")


@pytest.mark.parametrize("count", [3, 5])
def test_three_to_five_are_tentative(count):
    found = only(advise(*lag_history(8, incidents=TEN[:count])))
    assert found.verdict == "tuned"
    assert found.headline.startswith("Tentative")
    assert f"found {count} of {count}" in text_of(found)
    lower = {3: "29%", 5: "48%"}[count]
    assert f"at least {lower}" in text_of(found)
    assert f"{count} of {count} found, always with threshold 1,800" in text_of(found)
    assert "median delay" not in text_of(found)


def test_six_and_more_are_recommended_when_unseen_weeks_agree():
    found = only(advise(*lag_history(10, incidents=TEN)))
    assert found.verdict == "tuned"
    assert found.headline.startswith("Recommended: threshold")
    assert 900 < found.proposed.threshold < 8000
    assert found.past_proposed.caught == 10
    assert found.past_proposed.false_pages == 0
    assert found.past_current.false_pages > 20
    assert found.heldout.proposed.caught_in_time == found.heldout.proposed.incidents == 6
    assert found.heldout.proposed.false_pages < found.heldout.current.false_pages
    low, high = found.next_4_weeks
    assert 0 <= low <= high < 20
    assert re.search(r"median delay \d+ (s|min), worst delay \d+ (s|min)", text_of(found))
    # The threshold is round and lies a third into the interval, on a logarithmic scale.
    assert found.proposed.threshold == float(f"{found.proposed.threshold:.1e}")
    ratio = found.proposed.threshold / found.plateau.quiet
    assert ratio == pytest.approx(found.plateau.margin_ratio ** (1 / 3), rel=0.06)


def test_the_tuned_rule_is_scored_as_rounded():
    advice = advise(*lag_history(10, incidents=TEN))
    found = only(advice)
    again = advice.backtest["HighConsumerLag"].score(
        found.proposed.threshold, for_ms=found.proposed.for_ms, window_ms=found.proposed.window_ms
    )
    assert again.false_pages == found.past_proposed.false_pages
    assert [o.delay_ms for o in again.outcomes] == [o.delay_ms for o in found.past_proposed.outcomes]


def test_no_threshold_separates_and_the_blocking_incident_is_named():
    heights = [8_000.0] * 9 + [300.0]
    found = only(advise(*lag_history(10, incidents=TEN, heights=heights)))
    assert (found.verdict, found.headline) == ("refused", "No threshold separates")
    assert found.proposed is None
    assert found.reasons[0].startswith(
        "INC-10 (2026-03-12) blocks: by 30 min after its start its highest value is 300, but ordinary weeks need a "
    )
    past = found.past_current
    assert (
        f"9 of 10 incidents found, worst delay 5 min, {past.false_pages} false pages in 9.9 weeks of"
        in found.reasons[1]
    )
    assert f"it breaks the budget: {past.shown_rate} false pages a week, 1 accepted" in found.reasons[1]
    # It never gets above what ordinary weeks reach, whatever is accepted: 300 is below every peak.
    assert "Neither a longer delay nor more false pages" in found.reasons[2]
    assert "Recommended" not in text_of(found)


def test_a_thin_margin_keeps_the_current_rule():
    found = only(advise(*lag_history(10, incidents=TEN, height=950.0, noise_per_week=20), threshold=300))
    past = found.past_current
    assert found.verdict == "keep"
    assert found.headline.startswith(
        "No safe better value found; the current rule breaks the budget: "
        f"{past.false_pages_per_week:.2f} false pages a week, 1 accepted; firing for 14 h 12 min of a normal week, 1 h "
    )
    assert found.proposed is None
    # The best values found stand beside the current ones, and why they are not advised.
    near = advise_again(found)
    assert near.caught == 10
    assert found.reasons[0] == (
        f"Best found: {found.candidate}: 10 of 10 incidents found, worst delay 0 s, {near.false_pages} false pages in "
        f"9.9 weeks of normal time ({near.shown_rate} a week). The current rule: 10 of 10 incidents found, worst delay "
        f"5 min, {past.false_pages} false pages in 9.9 weeks of normal time ({past.shown_rate} a week)."
    )
    top = found.plateau
    assert found.reasons[1].startswith("It is not advised because the margin is thin")
    assert f"thresholds from {top.quiet:.0f} to below {top.weakest:.0f} (for 0s)" in found.reasons[1]
    assert f"{top.weakest / top.quiet:.2f}x from end to end; 1.2x is needed" in found.reasons[1]


def advise_again(found):
    history, known = lag_history(10, incidents=TEN, height=950.0, noise_per_week=20)
    replay = backtest(parse_rules(RULES.format(threshold=300)), history, known)["HighConsumerLag"]
    return replay.score(found.candidate.threshold, **found.candidate.at)


def test_a_thin_margin_leaves_a_rule_that_keeps_to_the_budget_in_peace():
    history = lag_history(10, incidents=TEN, height=950.0, noise_per_week=20)
    found = only(advise(*history, threshold=940))
    assert (found.verdict, found.headline) == ("keep", "Keep the current rule")
    assert "the margin is thin" in found.reasons[1]


def test_a_good_rule_is_left_alone():
    found = only(advise(*lag_history(10, incidents=TEN), threshold=3000))
    assert (found.verdict, found.headline) == ("keep", "Keep the current rule")
    assert found.reasons[0].endswith("keeps to the budget, so it is not changed.")
    assert "Fewer false pages" not in text_of(found)


def test_a_kept_rule_is_told_what_would_have_paged_falsely_less_often():
    # Ordinary peaks last eight minutes and are as high as incidents: 5m pages for them, 10m does not.
    world = lag_history(6, incidents=TEN[:5], noise_per_week=1, noise_min=8, noise_peak=7000)
    found = only(advise(*world, threshold=500, false_pages_per_week=2))
    assert (found.verdict, found.headline) == ("keep", "Keep the current rule")
    assert found.past_current.false_pages > 0
    said = next(reason for reason in found.reasons if reason.startswith("Fewer false pages were possible: "))
    assert "5 of 5 incidents found, worst delay" in said
    assert "0 false pages in" in said.partition("The current rule:")[0]
    assert "--false-pages 0 (in Python false_pages_per_week=0) asks for it" in said
    asked = only(advise(*world, threshold=500, false_pages_per_week=0))
    assert said.startswith(f"Fewer false pages were possible: {asked.proposed}:")
    assert asked.past_proposed.false_pages == 0


def test_six_weeks_less_a_minute_are_said_to_lack_a_minute():
    history, known = lag_history(6 - 1 / 10_080, incidents=TEN[:5])
    said = text_of(only(advise(history, known)))
    assert "tuning on the first and testing on the last takes 6 weeks, and the history lacks 1 min." in said


def test_a_rule_that_pages_too_late_is_not_called_consistent():
    found = only(advise(*lag_history(6, incidents=[10.5, 30.5]), threshold=3000, max_delay="4m"))
    assert found.headline == (
        "No change on two examples; the current rule breaks the budget: 0 of 2 incidents found within 4 min"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kafka_consumer_lag_sum > 3000", "from {low:.0f} to below 8,000"),
        ("-kafka_consumer_lag_sum < -3000", "above -8,000 up to -{low:.0f}"),
        ("kafka_consumer_lag_sum < 5", "above 0 up to {low:.0f}"),
    ],
)
def test_the_end_that_misses_the_weakest_incident_is_open(text, words):
    falls = text.endswith("< 5")
    history, known = lag_history(6, incidents=[10.5, 30.5], height=0.0 if falls else 8_000.0)
    if falls:
        history = _raised(history)
    rules = RULES.format(threshold=3000).replace("kafka_consumer_lag_sum > 3000", text)
    found = only(advise(history, known, rules=rules, false_pages_per_week=0))
    low = abs(found.plateau.quiet)
    assert thresholds(found.plateau.quiet, found.plateau.weakest) == words.format(low=low)
    replay = advise(history, known, rules=rules).backtest["HighConsumerLag"]
    at = {"for_ms": found.plateau.candidate.for_ms}
    # The closed end finds both without a false page, the open one misses the weaker.
    assert [replay.score(end, **at).caught for end in (found.plateau.quiet, found.plateau.weakest)] == [2, 0]
    assert replay.score(found.plateau.quiet, **at).false_pages == 0


def test_unseen_weeks_that_disagree_keep_the_current_rule():
    # The last three incidents are much weaker: what the first weeks teach misses them, the old rule does not.
    heights = [20_000.0] * 7 + [1_500.0] * 3
    found = only(advise(*lag_history(10, incidents=TEN, heights=heights), threshold=500))
    assert found.verdict == "keep"
    assert found.headline.startswith("No safe better value found; the current rule breaks the budget: 4.13 false pages")
    assert found.heldout.worse
    new, old = found.heldout.proposed, found.heldout.current
    assert found.reasons[1] == (
        f"It is not advised because on unseen weeks tuning did worse than the current rule: {new.caught_in_time} of 6 "
        f"found in time, {new.false_pages} false pages in 6 weeks of normal time; current rule on the same weeks: "
        f"{old.caught_in_time} of 6, {old.false_pages} false pages."
    )


def test_short_histories_say_so_and_predict_nothing():
    days = [1.5, 3.5, 5.5, 7.5]
    short = only(advise(*lag_history(1.5, incidents=days)))
    assert short.headline.startswith("Tentative; too short for weekly behaviour")
    assert short.next_4_weeks is None
    assert short.overfit_ratio is None
    assert (
        "Not tested on unseen weeks: the history holds 10.5 days, and tuning on the first and testing on the last "
        "takes 6 weeks." in text_of(short)
    )
    provisional = only(advise(*lag_history(3, incidents=days)))
    assert provisional.headline.startswith("Provisional, re-run on 2026-02-02")
    assert provisional.next_4_weeks is None
    assert "exceeded more often than stated" in text_of(provisional)


def test_why_nothing_was_tested_on_unseen_weeks_is_said_exactly():
    early = only(advise(*lag_history(8, incidents=TEN[:4])))
    assert early.verdict == "tuned"
    # Eight weeks: the last three are tested on, from 2026-02-09; the incidents lie in the first four.
    assert "Not tested on unseen weeks: no incident lies in the weeks to test on, from 2026-02-09 on." in text_of(early)
    late = only(advise(*lag_history(8, incidents=[50.5, 52.5, 54.5])))
    assert "Not tested on unseen weeks: the weeks before each incident to test on have no" in text_of(late)


def test_few_incidents_do_not_bless_a_rule_that_breaks_the_budget():
    found = only(advise(*lag_history(6, incidents=[20.5])))
    past = found.past_current
    assert (
        "One example cannot support a change; the current rule stays, although it breaks the budget: "
        f"{past.shown_rate} false pages a week, 1 accepted" in text_of(found)
    )
    quiet = only(advise(*lag_history(6, incidents=[20.5]), threshold=3000))
    assert "One example cannot support a change; the current rule stays." in quiet.reasons


def test_the_chance_of_the_next_miss_is_that_of_a_threshold_at_the_weakest():
    found = only(advise(*lag_history(10, incidents=TEN)))
    assert (
        "A threshold that the weakest of the 10 past incidents only just reaches would miss about 1 in 11 new ones of "
        "these kinds; this one is lower than that, so it should miss fewer." in found.reasons
    )
    assert found.proposed.threshold < found.plateau.weakest
    assert (
        "that would show that it finds at least 69% of such incidents (lower end of the two-sided 95% interval); it was"
        in (text_of(found))
    )


def test_incidents_of_one_cause_count_once():
    history, known = lag_history(8, incidents=TEN[:3])
    same = Incidents(incidents=tuple(_with(item, cause="one bad deploy") for item in known.incidents))
    found = only(advise(history, same))
    assert found.headline == "Consistent with one example"
    assert found.reasons[0] == "3 incidents are 1 example: INC-1, INC-2 and INC-3 name one cause."
    two = Incidents(incidents=tuple(_with(item, cause=str(n % 2)) for n, item in enumerate(known.incidents)))
    assert only(advise(history, two)).reasons[0] == "3 incidents are 2 examples: INC-1 and INC-3 name one cause."
    apart = Incidents(incidents=tuple(_with(item, cause=str(n)) for n, item in enumerate(known.incidents)))
    assert "one cause" not in text_of(only(advise(history, apart)))


def test_how_sure_it_is_counts_examples():
    history, known = lag_history(8, incidents=TEN[:4])
    alone = text_of(only(advise(history, known)))
    assert "finds at least 40%" in alone
    assert "weakest of the 4 past incidents" in alone
    copy = _with(known.incidents[0], id="COPY")
    twice = only(advise(history, Incidents(incidents=(*known.incidents, copy))))
    of_one_cause = [_with(item, cause="disk") for item in (known.incidents[0], known.incidents[1])]
    third = _with(copy, interval=known.incidents[1].interval, cause="disk")
    thrice = only(advise(history, Incidents(incidents=(*of_one_cause, *known.incidents[2:], third))))
    for found, examples, percent, listed in ((twice, 4, 40, 5), (thrice, 3, 29, 5)):
        said = text_of(found)
        assert found.past_proposed.caught == listed
        assert f"finds at least {percent}%" in said
        assert f"{listed} incidents are {examples} examples: " in said
        assert f"weakest of the {examples} past examples" in said
        # What is tuned without an incident must not know its copy either.
        assert f"Each example left out in turn: {examples} of {examples} found" in said
    assert {left.incident for left in thrice.left_out} == {"INC-1, INC-2, COPY", "INC-3", "INC-4"}


def test_an_incident_that_begins_before_the_history_changes_no_advice():
    history, known = lag_history(8, incidents=TEN[:4])
    start_ms = history.interval.start_ms
    before = Incident("BEFORE", Interval(start_ms - HOUR_MS, start_ms + HOUR_MS))
    expected = only(advise(history, known))
    found = only(advise(history, Incidents(incidents=(*known.incidents, before))))
    assert (found.verdict, found.proposed) == ("tuned", expected.proposed)
    assert "BEFORE" not in text_of(found)


def test_a_second_ticket_of_an_outage_asks_for_no_slower_rule():
    history, known = lag_history(8, incidents=TEN[:4])
    first = known.incidents[0]
    later = Interval(first.interval.start_ms + 28 * MINUTE_MS, first.interval.end_ms + 13 * MINUTE_MS)
    second = Incident("SECOND", later, first.labels, kind=first.kind)
    expected = only(advise(history, known))
    found = only(advise(history, Incidents(incidents=(*known.incidents, second))))
    assert found.proposed == expected.proposed
    assert "5 incidents are 4 examples: one unbroken firing pages for INC-1 and SECOND." in text_of(found)
    assert "stuck alert" not in text_of(found)
    few = Incidents(incidents=(first, second))
    alone = only(advise(history, few))
    assert alone.headline == "Consistent with one example"
    assert "SECOND (2026-01-08) is paged with INC-1" in text_of(alone)


def test_what_one_step_away_breaks_is_said():
    # Ordinary peaks are as high as incidents and last four minutes.
    rules = RULES.format(threshold=500).replace("for: 5m", "for: 1m")
    short = lag_history(10, incidents=TEN, noise_peak=9_000.0, noise_min=4)
    found = only(advise(*short, rules=rules, max_delay="8m"))
    assert found.proposed.for_ms == 5 * MINUTE_MS
    [said] = [reason for reason in found.reasons if reason.startswith("One step away a limit no longer holds: ")]
    assert re.search(r"for 2m \(\d+\.\d+ false pages a week, 1 accepted", said)
    assert "for 10m (0 of 10 incidents found within 8 min)" in said


def test_one_kind_says_nothing_about_others():
    history, known = lag_history(8, incidents=TEN[:4])
    alike = Incidents(incidents=tuple(_with(item, kind="consumer-down") for item in known.incidents))
    assert 'All incidents are of one kind ("consumer-down")' in text_of(only(advise(history, alike)))


def _with(incident, **changes):
    from dataclasses import replace

    return replace(incident, **changes)


def test_rules_without_a_threshold_are_scored_and_kept():
    rules = RULES.format(threshold=500).replace("kafka_consumer_lag_sum > 500", "absent(kafka_consumer_lag_sum)")
    found = only(advise(*lag_history(4, incidents=[3.5]), rules=rules))
    assert found.verdict == "keep"
    assert found.headline == "Nothing to tune; the current rule breaks the budget: 0 of 1 incident found within 30 min"
    assert "no threshold that can turn" in text_of(found)
    assert "0 of 1" in text_of(found)


def test_an_expression_outside_the_subset_is_refused_by_name_and_the_rest_is_advised():
    rules = RULES.format(threshold=500) + ("  - alert: Other\n    expr: histogram_sum(rate(x[5m])) > 1\n")
    advice = advise(*lag_history(4), rules=rules)
    assert list(advice) == ["HighConsumerLag", "Other"]
    assert (advice["Other"].verdict, advice["Other"].headline) == ("refused", "Not evaluated")
    assert list(advise(*lag_history(4), rules=rules, only=["HighConsumerLag"])) == ["HighConsumerLag"]
    assert "histogram_sum" in advice["Other"].reasons[0]


def test_advice_is_json_without_infinities():
    advice = advise(*lag_history(10, incidents=TEN))
    data = json.loads(json.dumps(advice.to_json(), allow_nan=False))
    assert data["version"] == 1
    (rule,) = data["rules"]
    assert rule["current"] == {"threshold": 500.0, "window_s": None, "for_s": 300.0, "hours": None}
    assert rule["proposed"]["threshold"] == only(advice).proposed.threshold
    assert rule["past"]["proposed"]["caught"] == 10
    assert set(rule["heldout"]) == {"current", "proposed"}
    assert set(rule["next_4_weeks"]) == {"low", "high"}


def test_a_budget_must_make_sense():
    history, nothing = lag_history(3)
    for budget in ({"false_pages_per_week": -1}, {"placement": 2}, {"max_delay": "0"}):
        with pytest.raises(SettingError):
            advise(history, nothing, **budget)


def test_a_fixed_rule_that_is_too_noisy_learns_which_for_would_do():
    rules = RULES.format(threshold=500).replace(
        "kafka_consumer_lag_sum > 500", "kafka_consumer_lag_sum > 500 or up > 1"
    )
    at_once = rules.replace("for: 5m", "for: 0s")
    # Ordinary peaks last fifty minutes: no `for` that is tried outlasts them, so none is named.
    long = only(advise(*lag_history(6, incidents=[20.5]), rules=at_once))
    assert (long.verdict, long.past_current.false_pages > 20) == ("keep", True)
    assert "would have kept to the budget" not in text_of(long)
    short = only(advise(*lag_history(6, incidents=[20.5], noise_min=4), rules=at_once))
    assert short.past_current.false_pages > 20
    assert "With for 5m it would have kept to the budget: 0 false pages." in text_of(short)


def test_no_incident_is_no_reason_to_keep_a_fixed_rule_either():
    rules = RULES.format(threshold=500).replace("kafka_consumer_lag_sum > 500", "absent(kafka_consumer_lag_sum)")
    found = only(advise(*lag_history(4), rules=rules))
    assert (found.verdict, found.headline) == ("refused", "No recommendation for detection")
    assert "It never paged falsely in 4 weeks of normal time" in text_of(found)


def test_without_incidents_arithmetic_says_how_long_a_fault_goes_unnoticed():
    history, nothing = lag_history(3)
    (part,) = history.series
    rates = SeriesSet.from_samples(
        [
            part,
            Samples(
                Labels({"__name__": "kafka_server_BrokerTopicMetrics_MessagesInPerSec", "topic": "user.registered"}),
                part.times,
                # Two messages a second, all week: 500 of lag take 250 seconds, and `for` is 5 minutes.
                np.arange(len(part.times)) * 120.0,
            ),
        ]
    )
    found = only(advise(History(rates, history.provenance), nothing))
    said = next(reason for reason in found.reasons if reason.startswith("By arithmetic alone"))
    assert '{consumergroup="email", topic="user.registered"}' in said
    assert "pages after 9 min" in said
    assert len(found.physics) == 3


def test_a_rule_about_nothing_in_the_history_is_not_called_quiet():
    rules = RULES.format(threshold=500).replace("kafka_consumer_lag_sum", "kafka_consumergroup_lag")
    found = only(advise(*lag_history(4, incidents=[3.5]), rules=rules))
    assert (found.verdict, found.headline) == ("refused", "No data")
    assert "no series that the rule asks for" in found.reasons[0]
    missing = RULES.format(threshold=500).replace("kafka_consumer_lag_sum > 500", "absent(kafka_consumergroup_lag)")
    always = only(advise(*lag_history(4, incidents=[3.5]), rules=missing))
    assert always.headline.startswith("Nothing to tune; the current rule breaks the budget: firing for 6 d 23 h of a")


def test_minutes_have_no_weekly_rate():
    history, nothing = lag_history(1 / 7 / 24)
    advice = advise(history, nothing, threshold=10)
    assert "1 h of normal time" in text_of(only(advice))
    assert "00.00" not in repr(advice)
    begun = History.from_frame(history.to_frame().iloc[:30])
    assert re.search(r"\b(29|30) min of normal time\b", text_of(only(advise(begun, nothing, threshold=10))))


def test_a_history_of_minutes_gets_a_verdict_without_a_comparison_with_chance():
    minute = 1 / 1440
    history, incidents = lag_history(119 * minute / 7, noise_per_week=0, incidents=[45 * minute])
    found = only(advise(history, incidents))
    assert (found.verdict, found.headline) == ("keep", "Consistent with one example")
    assert found.chance_p is None
    assert "shift test" not in text_of(found)
