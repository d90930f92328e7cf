"""Where the feasible interval lies, which candidate has most room, and what is known when."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from kmon_analysis.backtest.run import backtest
from kmon_analysis.history import History
from kmon_analysis.incidents import Incident, Incidents
from kmon_analysis.recommend import verdict
from kmon_analysis.recommend.candidates import Budget, Candidate, Setting, candidates, current_setting
from kmon_analysis.recommend.choose import Plateau, Question, best, place, survey
from kmon_analysis.recommend.overfit import MISS, loss_matrix
from kmon_analysis.rules.reader import parse_rules
from kmon_analysis.series import Samples, SeriesSet
from kmon_analysis.timing import HOUR_MS, MINUTE_MS, WEEK_MS, Interval
from tests.recommend.world import RULES, START, advise, lag_history
from tests.report.samples import incident
from tests.report.samples import replay as sampled

BUDGET = Budget(max_delay_ms=30 * MINUTE_MS)
TEN = [3.5 + 7 * week for week in range(10)]


def plateau(for_min=5, *, quiet=1_000.0, weakest=8_000.0, delay_min=5, feasible=True):
    candidate = Candidate(None, for_min * MINUTE_MS)
    return Plateau(candidate, quiet, weakest, "A", feasible, delay_min * MINUTE_MS)


def test_room_in_time_counts_like_room_in_height():
    wide_but_late = plateau(30, quiet=50.0, delay_min=29)
    narrow_and_quick = plateau(5, quiet=4_000.0, delay_min=5)
    balanced = plateau(10, quiet=2_000.0, delay_min=10)
    assert best([wide_but_late, narrow_and_quick, balanced], BUDGET) is balanced


def test_more_than_enough_room_is_decided_by_the_interval_then_the_delay_then_the_for():
    quick, slower = plateau(1, quiet=1_000.0, delay_min=1), plateau(5, quiet=900.0, delay_min=6)
    assert best([quick, slower], BUDGET) is slower
    assert best([plateau(1, delay_min=2), plateau(5, delay_min=6)], BUDGET).candidate.for_ms == MINUTE_MS
    assert best([plateau(1, delay_min=2), plateau(2, delay_min=2)], BUDGET).candidate.for_ms == 2 * MINUTE_MS


def test_where_incidents_reach_zero_the_longer_interval_has_more_room():
    short, longer = plateau(1, quiet=0.01, weakest=0.0, delay_min=3), plateau(5, quiet=0.02, weakest=0.0, delay_min=6)
    assert math.isinf(short.margin_ratio)
    assert best([short, longer], BUDGET) is longer


def test_infeasible_candidates_come_last_and_the_nearest_first():
    far = plateau(1, quiet=9_000.0, weakest=100.0, feasible=False)
    near = plateau(2, quiet=9_000.0, weakest=8_000.0, feasible=False)
    assert best([far, near], BUDGET) is near
    assert best([far, near, plateau(30, delay_min=30)], BUDGET).feasible


@pytest.mark.parametrize(
    ("quiet", "weakest", "expected"),
    [(1_000.0, 64_000.0, 4_000.0), (1_000.0, 2_500.0, 1_500.0), (-10.0, 20.0, 0.0), (0.03, 0.0, 0.02)],
)
def test_the_threshold_goes_a_third_into_the_interval(quiet, weakest, expected):
    current = Setting(5.0, None, 0, 0, None)
    found = place(plateau(quiet=quiet, weakest=weakest), BUDGET, current)
    assert found.threshold == pytest.approx(expected, rel=0.05, abs=1e-9)
    low, high = sorted((quiet, weakest))
    assert low < found.threshold < high


def replay_of(history, incidents):
    rules = parse_rules(RULES.format(threshold=500))
    return backtest(rules, history, incidents)["HighConsumerLag"]


def test_the_interval_is_the_true_one():
    history, known = lag_history(8, incidents=TEN[:8], heights=[4_000.0 + 500 * n for n in range(8)], seed=3)
    replay = replay_of(history, known)
    tried = candidates(replay, MINUTE_MS)
    (found,) = survey(replay, tried, BUDGET)
    for plateau_ in found:
        assert plateau_.weakest == 4_000.0 or plateau_.candidate.for_ms >= 30 * MINUTE_MS
        accepted = 8
        at = {"for_ms": plateau_.candidate.for_ms}
        quiet = replay.score(plateau_.quiet, **at)
        assert quiet.false_pages <= accepted
        # Just below the quiet end the budget breaks: in pages, or in firing time.
        below = replay.score(np.nextafter(plateau_.quiet, 0), **at)
        assert below.false_pages > quiet.weeks or below.firing_ratio > BUDGET.firing_ratio


@pytest.mark.parametrize("seed", range(6))
def test_the_interval_is_where_each_incident_has_a_page_or_that_of_an_earlier_one(seed):
    rng = np.random.default_rng(seed)
    values = np.repeat(rng.integers(0, 9, 80), 10).astype(float)
    incidents = [incident("A", 5, 1), incident("B", 5.6, 0.8), incident("C", 6.1, 0.5)]
    rule = sampled(values, text="lag > 2", incidents=incidents)
    budget = Budget(25 * MINUTE_MS, false_pages_per_week=1e9, firing_ratio=1.0)
    tried = [Candidate(None, minutes * MINUTE_MS) for minutes in (0, 2, 10, 15)]
    (found,) = survey(rule, tried, budget)
    for plateau_ in found:
        for threshold in np.arange(0.5, 9, 0.5):
            score = rule.score(threshold, for_ms=plateau_.candidate.for_ms)
            inside = plateau_.feasible and plateau_.quiet <= threshold < plateau_.weakest
            assert inside == (score.caught_within(budget.max_delay_ms) == score.required)


def test_an_alert_that_was_firing_before_is_no_detection():
    history, _ = lag_history(4, noise_per_week=0)
    (part,) = history.series
    lag = part.values.copy()
    # A plateau of 700 for two hours, in the middle of which an incident of 5,000 is labelled.
    lag[10_000:10_120], lag[10_060:10_090] = 700.0, 5_000.0
    series = SeriesSet.from_samples([Samples(part.labels, part.times, lag)])
    start = START + 10_060 * MINUTE_MS
    known = Incidents(incidents=(Incident("A", Interval(start, start + HOUR_MS // 2)),))
    replay = replay_of(History(series, history.provenance), known)
    budget = Budget(max_delay_ms=30 * MINUTE_MS, false_pages_per_week=1e9, firing_ratio=1.0)
    (found,) = survey(replay, [Candidate(None, 5 * MINUTE_MS)], budget)
    assert (found[0].quiet, found[0].weakest) == (700.0, 5_000.0)


def test_a_fold_knows_nothing_of_what_comes_after():
    heights = [8_000.0] * 9 + [2_000.0]
    history, known = lag_history(10, incidents=TEN, heights=heights)
    replay = replay_of(history, known)
    tried = [Candidate(None, 5 * MINUTE_MS)]
    stop = START + 6 * WEEK_MS
    everything, early, without = survey(
        replay, tried, BUDGET, [Question(), Question(stop_ms=stop), Question(without=("INC-10",))]
    )
    assert (everything[0].weakest, everything[0].blocking) == (2_000.0, "INC-10")
    assert early[0].weakest == without[0].weakest == 8_000.0
    cut = History(history.series.between(START, stop), history.provenance)
    early_only = Incidents(incidents=tuple(i for i in known if i.interval.end_ms < stop))
    shorter = backtest(parse_rules(RULES.format(threshold=500)), _ending(cut, stop), early_only)["HighConsumerLag"]
    (alone,) = survey(shorter, tried, BUDGET)
    assert alone[0].quiet == early[0].quiet


def _ending(history, end_ms):
    return History(history.series, replace(history.provenance, end_ms=end_ms))


def test_the_weakest_incident_is_the_one_that_leaving_out_misses():
    heights = [8_000.0, 9_000.0, 8_500.0, 1_100.0]
    found = advise(*lag_history(8, incidents=TEN[:4], heights=heights))["HighConsumerLag"]
    assert [left.caught for left in found.left_out] == [True, True, True, False]
    assert found.left_out[3].setting.threshold > found.left_out[0].setting.threshold


def test_candidates_hold_four_scrapes_and_the_rules_own_values():
    history, known = lag_history(2)
    text = RULES.format(threshold=5).replace("kafka_consumer_lag_sum", "rate(kafka_consumer_lag_sum[7m])")
    replay = backtest(parse_rules(text.replace("for: 5m", "for: 3m")), history, known)["HighConsumerLag"]
    tried = candidates(replay, MINUTE_MS)
    assert sorted({c.window_ms // MINUTE_MS for c in tried}) == [5, 7, 10, 15, 30]
    assert sorted({c.for_ms // MINUTE_MS for c in tried}) == [0, 1, 2, 3, 5, 10, 15, 30]
    assert current_setting(replay).candidate in tried


def test_a_threshold_below_which_the_alert_never_ends_is_not_quiet():
    history, _ = lag_history(4, noise_per_week=0)
    (part,) = history.series
    lag = part.values.copy()
    # One single page, three days long.
    lag[10_000 : 10_000 + 3 * 24 * 60] = 700.0
    replay = replay_of(
        History(SeriesSet.from_samples([Samples(part.labels, part.times, lag)]), history.provenance), None
    )
    many = Budget(max_delay_ms=MINUTE_MS, false_pages_per_week=1e9)
    (found,) = survey(replay, [Candidate(None, 0)], many)
    assert found[0].quiet == 700.0
    (patient,) = survey(replay, [Candidate(None, 0)], replace(many, firing_ratio=1.0))
    assert patient[0].quiet < 50


def test_losses_count_false_pages_and_misses_in_their_block():
    history, known = lag_history(8, incidents=TEN[:8])
    replay = replay_of(history, known)
    (found,) = survey(replay, [Candidate(None, 5 * MINUTE_MS)], BUDGET)
    losses = loss_matrix(replay, found, BUDGET)
    assert losses.shape[0] == 8
    # The highest threshold never fires: every block holds one incident, and misses it.
    assert losses[:, -1].tolist() == [MISS] * 8
    # The lowest is the one with ten times the accepted pages: all found, only pages count.
    start, week = START, WEEK_MS
    lowest = replay.score(survey_lowest(replay))
    by_week = [0] * 8
    for page in lowest.pages:
        if page.kind == "false":
            by_week[(page.episode.interval.start_ms - start) // week] += 1
    assert losses[:, 0].tolist() == by_week


def survey_lowest(replay):
    from kmon_analysis.backtest.pages import curve

    firing = replay.firing(for_ms=5 * MINUTE_MS)
    weeks = firing.windows.quiet_weeks(firing.signal.step_ms)
    return max(curve(firing).false_pages.lowest_within(10 * weeks), firing.signal.lowest_level)


def test_a_search_that_fits_noise_keeps_the_current_rule(monkeypatch):
    monkeypatch.setattr(verdict, "overfit_ratio", lambda *_: 0.6)
    found = advise(*lag_history(10, incidents=TEN))["HighConsumerLag"]
    assert found.verdict == "keep"
    assert "because the search is fitting noise" in found.reasons[1]
