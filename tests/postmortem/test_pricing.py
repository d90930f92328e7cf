"""What would have paged sooner: against a loop over every threshold, and by value on the bundled service."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kmon_analysis as km
from kmon_analysis.backtest import rule
from kmon_analysis.postmortem import pricing
from kmon_analysis.postmortem.questions import FIRING_RATIO
from kmon_analysis.recommend.candidates import Setting, candidates, current_setting
from kmon_analysis.recommend.margin import FRAGILE
from kmon_analysis.timing import MINUTE_MS
from tests.postmortem.world import history, incident, minute, replayed

RULES = """groups:
- name: kafka
  interval: 1m
  rules:
  - alert: A
    expr: {expr}
    for: {hold}
"""


MINUTES = 600


def past(seed, expr="lag > 100", hold="5m", **settings):
    """Make a day with one incident to ask about, two others, and ordinary peaks."""
    rng = np.random.default_rng(seed)
    lines = {}
    for topic in "ab":
        line = rng.integers(0, 60, MINUTES).astype(float)
        for begin in rng.integers(0, MINUTES, 8):
            line[begin : begin + int(rng.integers(1, 12))] += rng.integers(20, 200)
        for begin in (150, 350):
            length = int(rng.integers(25, 60))
            line[begin : begin + length] += np.linspace(5, rng.uniform(150, 500), length)
        # Few values, so that each of them can be tried.
        line = np.round(line / 20) * 20
        line[rng.random(MINUTES) < 0.01] = np.nan
        lines[topic] = line
    listed = [incident(f"INC-{n}", begin, begin + 60) for n, begin in enumerate((150, 350))]
    rules = RULES.format(expr=expr, hold=hold)
    return replayed(history(lines, MINUTES), listed, rules, settings=km.Settings(**settings) if settings else None)


def fate(replay, setting, asked="INC-1"):
    """Return the score of a setting, and when it pages for the incident; None: no new page."""
    score = replay.score(setting.threshold, window_ms=setting.window_ms, for_ms=setting.for_ms)
    [outcome] = [each for each in score.outcomes if each.incident.id == asked]
    return score, outcome.first_firing_ms if outcome.found else None


def thresholds(replay, window_ms=None):
    """Return every value that was ever compared, one just above it, and one between any two of them."""
    values = np.unique(np.concatenate([group.distinct for group in replay.signal(window_ms).groups]))
    values = -values if replay.signal().falls else values
    ordered = np.sort(values)
    tried = [ordered[:1] - 1, ordered, np.nextafter(ordered, np.inf), (ordered[:-1] + ordered[1:]) / 2, [1e6]]
    return np.concatenate(tried).tolist()


def found(score, but="INC-1"):
    return {each.incident.id for each in score.outcomes if each.found} - {but}


CASES = [
    (0, "lag > 110", "5m"),
    (1, "lag > 250", "5m"),
    (2, "lag >= 120", "3m"),
    (3, "-lag < -110", "5m"),
    (4, "max_over_time(lag[5m]) > 250", "2m"),
]


@pytest.mark.parametrize(("seed", "expr", "hold"), CASES)
def test_the_smallest_changes_are_those_of_a_loop_over_everything(seed, expr, hold):
    result = past(seed, expr, hold)
    replay = result["A"]
    made = km.postmortem(result, "INC-1", sooner=["1m", "3m", "10m"])
    own = current_setting(replay)
    now = replay.score()
    tried = {
        candidate: [
            (value, *fate(replay, Setting(value, candidate.window_ms, candidate.for_ms, 0, None)))
            for value in thresholds(replay, candidate.window_ms)
        ]
        for candidate in candidates(replay, MINUTE_MS)
    }
    for rung in made.sooner["A"]:
        by_knob = {answer.knob: answer for answer in rung.answers}
        assert by_knob, "the deadline is one that a page can meet"

        def in_time(page_ms, deadline_ms=rung.deadline_ms):
            return page_ms is not None and page_ms <= deadline_ms

        alone = [(value, score) for value, score, page_ms in tried[own.candidate] if in_time(page_ms)]
        answer = by_knob["threshold"]
        assert (answer.setting is None) == (not alone)
        if alone:
            nearest, score = min(alone, key=lambda each: abs(each[0] - own.threshold))
            assert answer.price.false_pages == score.false_pages
            # Between two neighbouring values of the signal every threshold has the same past.
            one, other = (replay.level(value) for value in (answer.setting.threshold, nearest))
            assert all(group.index(one) == group.index(other) for group in replay.signal().groups)

        holds = [
            hold_ms
            for hold_ms in range(0, own.for_ms, MINUTE_MS)
            if in_time(fate(replay, Setting(own.threshold, own.window_ms, hold_ms, 0, None))[1])
        ]
        answer = by_knob["for"]
        assert (answer.setting.for_ms if answer.setting else None) == max(holds, default=None)

        windows = [
            candidate.window_ms
            for candidate in tried
            if candidate.for_ms == own.for_ms
            and candidate.window_ms != own.window_ms
            and in_time(fate(replay, Setting(own.threshold, candidate.window_ms, own.for_ms, 0, None))[1])
        ]
        answer = by_knob["window"]
        assert (answer.setting is None) == (not windows)
        if windows:
            nearest = min(windows, key=lambda window: abs(math.log(window / own.window_ms)))
            assert abs(math.log(answer.setting.window_ms / own.window_ms)) == abs(math.log(nearest / own.window_ms))

        answer = by_knob["combination"]
        accepted = max(FIRING_RATIO, now.firing_ratio)

        def kept(score, page_ms):
            return in_time(page_ms) and found(now) <= found(score)

        quiet = [
            (score.false_pages, Setting(value, candidate.window_ms, candidate.for_ms, 0, None))
            for candidate, each in tried.items()
            for value, score, page_ms in each
            if kept(score, page_ms) and score.firing_ratio <= accepted
        ]
        # With room: with values a fifth weaker, which is the same as a threshold a fifth further, it still does.
        roomy = [
            count
            for count, setting in quiet
            if setting.threshold and kept(*fate(replay, replace(setting, threshold=setting.threshold * FRAGILE)))
        ]
        if answer.setting is not None and not answer.price.lost:
            assert answer.price.false_pages == min(roomy or [count for count, _ in quiet])
            assert answer.price.fragile == (not roomy) or answer.price.margin_ratio >= FRAGILE
        else:
            assert not quiet
        for answer in rung.answers:
            if answer.price is not None and answer.knob not in ("hours", "keep"):
                score, page_ms = fate(replay, answer.setting)
                assert in_time(page_ms)
                assert (answer.price.page_ms, answer.price.false_pages) == (page_ms, score.false_pages)
                assert answer.price.weeks == score.weeks
                assert set(answer.price.lost) == found(now) - found(score)


@given(st.integers(0, 3), st.floats(0, 400), st.floats(0, 400), st.sampled_from([0, 2, 5]))
def test_a_sooner_page_never_comes_from_a_higher_threshold(seed, one, other, hold):
    replay = PASTS[seed]["A"]
    low, high = sorted((one, other))
    firsts = []
    for value in (low, high):
        [reach] = [each for each in replay.reaches(for_ms=hold * MINUTE_MS) if each.incident.id == "INC-1"]
        first = reach.first_firing(replay.level(value))
        firsts.append(math.inf if first is None else first)
    assert firsts[0] <= firsts[1]


PASTS = [past(seed) for seed in range(4)]


def test_a_sooner_page_is_never_cheaper_to_ask_for_less():
    """More time asked for: the smallest change of one knob never gets smaller."""
    for result in PASTS:
        made = km.postmortem(result, "INC-1")
        own = current_setting(result["A"])
        for knob, part in (("threshold", "threshold"), ("for", "for_ms")):
            changes = [
                math.inf if answer.setting is None else getattr(own, part) - getattr(answer.setting, part)
                for rung in made.sooner["A"]
                for answer in rung.answers
                if answer.knob == knob
            ]
            assert changes == sorted(changes)


def test_a_lower_threshold_may_page_less():
    """Ordinary lag that swings between 200 and 300 pages at every swing, or once at a threshold below both."""
    line = np.full(600, 10.0)
    line[120:150], line[450:550] = 330.0, 160.0
    for swing in range(300, 420, 12):
        line[swing : swing + 6], line[swing + 6 : swing + 12] = 300.0, 200.0
    rules = RULES.format(expr="lag > 150", hold="5m")
    made = km.postmortem(replayed(history({"a": line}), [incident()], rules), "INC-1", sooner="1m")
    [rung] = made.sooner["A"]
    [best] = [answer for answer in rung.answers if answer.knob == "combination"]
    assert best.price.false_pages == 1
    assert 160 <= best.setting.threshold < 200
    assert fate(made.backtest["A"], replace(best.setting, threshold=250.0))[0].false_pages == 10


def test_sooner_than_what():
    quiet = {"a": np.full(600, 10.0)}
    slow = history(quiet)
    page = history({"a": np.concatenate([np.full(125, 10.0), np.full(20, 500.0), np.full(455, 10.0)])})
    one, known = incident(), incident(detected_ms=minute(140))
    rules = RULES.format(expr="lag > 100", hold="5m")
    two = rules + "  - alert: B\n    expr: lag > 1000\n    for: 5m\n"
    assert km.postmortem(replayed(page, [one], rules), "INC-1").references["A"].kind == "own page"
    assert km.postmortem(replayed(slow, [one], rules), "INC-1").references["A"].kind == "end"
    assert km.postmortem(replayed(slow, [known], rules), "INC-1").references["A"].kind == "detected"
    other = km.postmortem(replayed(page, [one], two), "INC-1").references["B"]
    assert (other.kind, other.rule, other.at_ms) == ("other page", "A", minute(130))


def test_why_nothing_pages_in_time():
    line = np.full(600, 10.0)
    line[125:145] = 500.0
    result = replayed(history({"a": line}), [incident()], RULES.format(expr="lag > 100", hold="0s"))
    made = km.postmortem(result, "INC-1", sooner=["3m", "25m"])
    near, far = made.sooner["A"]
    whys = {answer.knob: answer.why for answer in near.answers}
    assert whys == {
        "threshold": "already firing",
        "for": "for is zero",
        "window": "no window",
        "hours": "no hours",
        "combination": "no combination",
        "keep": "no fewer pages",
    }
    assert far.answers == ()
    firing = np.full(600, 500.0)
    stuck = km.postmortem(replayed(history({"a": firing}), [incident()]), "INC-1")
    assert stuck["HighLag"].status == "already firing"
    assert {answer.price for rung in stuck.sooner["HighLag"] for answer in rung.answers} == {None}
    assert stuck.sooner["HighLag"][0].answers[0].why == "already firing"


@pytest.fixture(scope="module")
def service():
    folder = km.load_scenario("user-service")
    return km.backtest(
        km.read_rules(folder / "rules.yml"), km.open_history(folder), km.read_incidents(folder / "incidents.yml")
    )


def test_the_bundled_service_by_value(service):
    made = km.postmortem(service, "INC-07", sooner="1m")
    [rung] = made.sooner["LowMessageRate"]
    threshold, hold, window, hours, best, keep = rung.answers
    assert (hours.why, keep.why) == ("not at other hours", "no fewer pages")
    priced = (threshold, hold, window, best)
    replay = service["LowMessageRate"]
    assert [answer.setting.short("<") for answer in priced] == [
        "[5m] < 9.783 for 10m",
        "[5m] < 1 for 9m",
        "[2m] < 1 for 10m",
        "[2m] < 0.01 for 10m",
    ]
    assert [answer.price.false_pages for answer in priced] == [250, 101, 105, 0]
    assert threshold.price.lost == ("INC-11",)
    assert (hold.price.lost, window.price.lost, best.price.lost) == ((), (), ())
    for answer in priced:
        score, page_ms = fate(replay, answer.setting, "INC-07")
        assert (score.false_pages, page_ms) == (answer.price.false_pages, answer.price.page_ms)
    # A handful of thresholds between the rule's own and the answer: none pages in time.
    for value in [*np.linspace(1.0, 9.7, 8), 9.78]:
        _, page_ms = fate(replay, Setting(float(value), 300_000, 600_000, 0, None), "INC-07")
        assert page_ms is None or page_ms > rung.deadline_ms


@pytest.mark.parametrize(("seed", "expr", "hold"), CASES)
def test_sparing_work_and_memory_changes_no_number(monkeypatch, seed, expr, hold):
    asked = {"incident": "INC-1", "sooner": ["1m", "3m", "10m"]}
    told = km.postmortem(past(seed, expr, hold), **asked).to_json()
    swept = []
    monkeypatch.setattr(pricing, "plausible", lambda *_: swept.append(1) or True)
    assert km.postmortem(past(seed, expr, hold), **asked).to_json() == told
    # Nothing is asked before the credit window.
    assert swept or not any(rung["answers"] for rung in told["rules"][0]["sooner"])
    monkeypatch.undo()
    monkeypatch.setattr(rule, "_LARGE_BYTES", 0)
    result = past(seed, expr, hold)
    assert km.postmortem(result, **asked).to_json() == told
    # Only the rule's own signal is left.
    assert list(result["A"]._signals) == [(None, None)]
