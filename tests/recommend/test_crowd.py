"""Where false pages come from, and whether parts of a rule would have room apart."""

from __future__ import annotations

import re

import numpy as np

from kmon_analysis.backtest.again import some
from kmon_analysis.backtest.run import backtest
from kmon_analysis.history import History, Provenance
from kmon_analysis.incidents import Incident, Incidents
from kmon_analysis.labels import Labels
from kmon_analysis.recommend.crowd import noisiest
from kmon_analysis.recommend.verdict import recommend
from kmon_analysis.rules.reader import parse_rules
from kmon_analysis.series import Samples, SeriesSet
from kmon_analysis.timing import DAY_MS, HOUR_MS, MINUTE_MS, WEEK_MS, Interval
from tests.recommend.world import START

RULES = """groups:
- name: kafka
  rules:
  - alert: Lag
    expr: kafka_consumergroup_lag{matcher} > 500
    for: 5m
    labels:
      severity: page
"""
GROUPS = ("audit", "billing", "mailer", "search")
DAYS = [2.5, 5.5, 9.5, 12.5, 16.5, 19.5]


def two_sizes(matcher="", peaks=40, name="search"):
    """Four consumer groups for four weeks: one with high ordinary peaks, three whose incidents grow slowly."""
    rng = np.random.default_rng(3)
    count = int(4.2 * WEEK_MS / MINUTE_MS)
    times = START + np.arange(count, dtype=np.int64) * MINUTE_MS
    lag = {group: rng.integers(0, 60, count).astype(float) for group in GROUPS}
    incidents = []
    for place, day in enumerate(DAYS):
        group, begin = GROUPS[place % 4], int(day * DAY_MS / MINUTE_MS)
        lag[group][begin : begin + 60] = (400 if group == "search" else 40) * np.arange(1, 61)
        start = START + begin * MINUTE_MS
        labels = {"consumergroup": name if group == "search" else group}
        incidents.append(Incident(f"INC-{place + 1}", Interval(start, start + HOUR_MS), labels=labels))
    for at in rng.choice(count - 200, peaks, replace=False):
        if all(abs(at - day * 1440) > 300 for day in DAYS):
            lag["search"][at : at + 45] = rng.integers(1200, 2000)
    for at in rng.choice(count - 200, 6, replace=False):
        if all(abs(at - day * 1440) > 300 for day in DAYS):
            lag["mailer"][at : at + 45] = 350
    series = [
        Samples(
            Labels({"__name__": "kafka_consumergroup_lag", "consumergroup": name if group == "search" else group}),
            times,
            values,
        )
        for group, values in lag.items()
    ]
    history = History(
        SeriesSet.from_samples(series), Provenance("t", START, START + count * MINUTE_MS, scrape_interval_ms=MINUTE_MS)
    )
    return parse_rules(RULES.replace("{matcher}", matcher)), history, Incidents(incidents=tuple(incidents))


def said_of(advice, start):
    return next((reason for reason in advice.reasons if reason.startswith(start)), None)


def test_the_few_noisy_groups_are_counted():
    result = backtest(*two_sizes())
    advice = recommend(result, max_delay="20m")["Lag"]
    score = advice.past_current
    own = [page for page in score.pages if page.kind == "false" and page.episode.labels["consumergroup"] == "search"]
    assert score.false_pages > len(own) * 0.9 > 20
    assert (
        f'{len(own)} of {score.false_pages} false pages of the current rule come from {{consumergroup="search"}}: '
        "1 of 4 page groups." in advice.reasons
    )
    # Two of four such groups are not few of them any more.
    assert noisiest(some(result["Lag"], [page.episode.labels for page in own[:1]]), score) == []
    assert noisiest(result["Lag"], recommend(backtest(*two_sizes(peaks=2)), max_delay="20m")["Lag"].past_current) == []


def test_parts_that_have_room_apart_are_what_rules_of_their_own_would_have():
    advice = recommend(backtest(*two_sizes()), max_delay="20m")["Lag"]
    assert advice.verdict != "tuned"
    said = said_of(advice, "No one threshold has room for all page groups, but apart they have: ")
    found = re.search(
        r'\{consumergroup="search"\} alone at thresholds from ([\d,.]+) to below ([\d,.]+) \(for (\w+)\) and the other '
        r"groups at thresholds from ([\d,.]+) to below ([\d,.]+) \(for (\w+)\)\. A rule of its own",
        said,
    )
    ends = [found[place].replace(",", "") for place in (1, 2, 4, 5)]
    for matcher, low, high, hold in (
        ('{consumergroup="search"}', *ends[:2], found[3]),
        ('{consumergroup!="search"}', *ends[2:], found[6]),
    ):
        rules, history, incidents = two_sizes(matcher)
        top = recommend(backtest(rules, history, incidents), max_delay="20m")["Lag"].plateau
        assert [f"{top.quiet:.3g}" if top.quiet < 1000 else f"{top.quiet:.0f}"] == [low]
        assert [f"{top.weakest:.3g}" if top.weakest < 1000 else f"{top.weakest:.0f}"] == [high]
        assert f"{top.candidate.for_ms // MINUTE_MS}m" == hold.replace("0s", "0m")
        assert top.roomy


def test_parts_that_have_no_room_either_are_not_offered():
    # Within five minutes nothing of the slow groups is above their own ordinary peaks.
    advice = recommend(backtest(*two_sizes()), max_delay="5m")["Lag"]
    assert advice.headline == "No threshold separates"
    assert said_of(advice, "No one threshold has room") is None


def test_hostile_group_names_are_harmless_and_short(tmp_path):
    name = "<script>alert(1)</script>\u202e\x1b[31m" + "x" * 200 + "`|$x$"
    advice = recommend(backtest(*two_sizes(name=name)), max_delay="20m")
    said = said_of(advice["Lag"], "No one threshold has room")
    assert said is not None
    assert len(said) < 700
    written = advice.write(tmp_path)
    page = written.paths[3].read_text(encoding="utf-8")
    assert "<script>alert(1)" not in page
    assert "\u202e" not in page
    assert "\x1b" not in page
