from __future__ import annotations

import numpy as np
import pytest

from kmon_analysis.recommend.candidates import Candidate
from kmon_analysis.report.front import front, outlook, staircase
from kmon_analysis.timing import MINUTE_MS
from tests.report.samples import incident, replay


def noisy(seed, text="lag > 3", sign=1):
    rng = np.random.default_rng(seed)
    values = np.where(rng.random((2, 2000)) < 0.9, rng.integers(0, 3, (2, 2000)), rng.integers(3, 9, (2, 2000)))
    incidents = [incident(name, hour, 0.4) for name, hour in (("A", 5), ("B", 12.3), ("C", 22), ("D", 27.5))]
    # It begins while the page of A fires, and has no other.
    incidents[0] = incident("A", 5, 0.6)
    incidents.append(incident("E", 5.5, 0.1))
    for number, begin in enumerate((310, 745, 1322, 1655)):
        values[number % 2, begin : begin + 12] = 4 + number
    return replay(values.astype(float) * sign, text=text, incidents=incidents)


def every_setting(rule, tried, sign):
    """The slow twin: score each threshold between two values, for each candidate."""
    for candidate in tried:
        for threshold in np.arange(-0.5, 10, 0.5) * sign:
            score = rule.score(float(threshold), window_ms=candidate.window_ms, for_ms=candidate.for_ms)
            if score.caught and score.firing_ratio <= 0.05:
                yield outlook(score)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("text", "sign"), [("lag > 3", 1), ("lag < -3", -1)])
def test_the_front_is_what_nothing_beats(seed, text, sign):
    rule = noisy(seed, text, sign)
    tried = [Candidate(None, minutes * MINUTE_MS) for minutes in (0, 2, 5)]
    points = front(rule, tried, firing_ratio=0.05)
    assert points
    key = lambda p: (p.missed, p.false_pages_per_week, p.worst_delay_ms)  # noqa: E731
    for rival in every_setting(rule, tried, sign):
        assert any(
            all(mine <= theirs + 1e-9 for mine, theirs in zip(key(point), key(rival), strict=True)) for point in points
        ), rival
    for point in points:
        again = outlook(
            rule.score(point.setting.threshold, window_ms=point.setting.window_ms, for_ms=point.setting.for_ms)
        )
        assert key(again) == pytest.approx(key(point))
    told = [p for p in points if any(outcome.within == "A" for outcome in scored(rule, p).outcomes)]
    assert min(p.missed for p in told) == 0


def scored(rule, point):
    setting = point.setting
    return rule.score(setting.threshold, window_ms=setting.window_ms, for_ms=setting.for_ms)


def test_without_incidents_there_is_no_front():
    rule = replay([0, 1, 2, 3] * 20)
    assert front(rule, [Candidate(None, 0)]) == ()


def test_stairs_rise_to_the_left():
    points = list(front(noisy(1), [Candidate(None, m * MINUTE_MS) for m in (0, 2, 5)], firing_ratio=0.05))
    for missed in {p.missed for p in points}:
        x, y = staircase([p for p in points if p.missed == missed])
        assert (np.diff(x) > 0).all()
        assert (np.diff(y) < 0).all()
