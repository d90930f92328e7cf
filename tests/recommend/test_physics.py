import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kmon_analysis.errors import SettingError
from kmon_analysis.recommend.physics import (
    HOURS,
    hour_name,
    hour_of_week,
    hourly_rate,
    slow_consumer,
    stopped_consumer,
    stopped_producer,
)
from kmon_analysis.timing import DAY_MS, HOUR_MS, WEEK_MS, parse_instant


def naive_wait(rates, threshold, lag, keeps_up, hour):
    """Fill the queue minute by minute, and inside the minute by proportion."""
    waited = 0.0
    for minute in range(40 * HOURS * 60):
        growth = rates[(hour + minute // 60) % HOURS] * (1 - keeps_up) * 60
        if lag + growth > threshold:
            return waited + (threshold - lag) / growth * 60
        lag, waited = lag + growth, waited + 60
    return math.inf


weekly = st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0]), min_size=24, max_size=24).map(
    lambda day: np.tile(np.array(day), 7)
)


@given(weekly, st.sampled_from([0, 1, 900, 10_000, 200_000]), st.sampled_from([0.0, 0.5]), st.integers(0, HOURS - 1))
@settings(max_examples=40)
def test_a_consumer_pages_when_its_queue_is_full(rates, threshold, keeps_up, hour):
    waited = slow_consumer(rates, threshold, 300, keeps_up=keeps_up)[hour]
    if not rates.any():
        assert waited == math.inf
        return
    expected = naive_wait(rates, threshold, 0.0, keeps_up, hour) + 300
    assert waited == pytest.approx(expected, rel=1e-9, abs=1e-3)


def test_constant_traffic_is_the_division_that_it_is():
    rates = np.full(HOURS, 2.0)
    assert stopped_consumer(rates, 1000, 300) == pytest.approx(np.full(HOURS, 800))
    assert stopped_consumer(rates, 1000, 300, lag=400, extra_s=45) == pytest.approx(np.full(HOURS, 645))
    assert slow_consumer(rates, 1000, 300, keeps_up=0.75) == pytest.approx(np.full(HOURS, 2300))
    assert np.isinf(slow_consumer(rates, 1000, 300, keeps_up=1)).all()


def test_the_night_waits_for_the_morning():
    day = np.concatenate([np.zeros(8), np.full(16, 10.0)])
    seconds = stopped_consumer(np.tile(day, 7), 1000, 0)
    assert seconds[3] == pytest.approx(5 * 3600 + 100)
    assert seconds[14] == pytest.approx(100)
    assert seconds[27] == seconds[3]


def test_a_threshold_beyond_weeks_of_traffic():
    rates = np.zeros(HOURS)
    rates[10] = 1.0
    seconds = stopped_consumer(rates, 3 * 3600 + 1800, 0)
    assert seconds[10] == pytest.approx((3 * HOURS + 0.5) * 3600)
    assert seconds[11] == pytest.approx((3 * HOURS + HOURS - 1 + 0.5) * 3600)
    # Exactly three weeks: equal is not above, so it takes until the traffic comes again.
    assert stopped_consumer(rates, 3 * 3600, 0)[11] == pytest.approx((3 * HOURS + HOURS - 1) * 3600)


def test_a_rule_that_fires_already_is_no_number():
    assert np.isnan(stopped_consumer(np.ones(HOURS), 1000, 300, lag=1001)).all()
    assert (stopped_consumer(np.ones(HOURS), 1000, 300, lag=1000) == 300).all()


def test_a_stopped_producer_leaves_the_window():
    rates = np.full(HOURS, 4.0)
    rates[:3] = [1, 0.5, 0]
    seconds = stopped_producer(rates, 1.0, 300, 600, extra_s=30)
    assert seconds[0] == 630
    assert np.isnan(seconds[1:3]).all()
    assert seconds[3:] == pytest.approx(np.full(HOURS - 3, 300 * 0.75 + 630))
    assert np.isinf(stopped_producer(rates, 0, 300, 600)).all()


def test_a_decaying_rate_crosses_the_threshold_when_stated():
    window, rate, threshold = 300.0, 4.0, 1.0
    elapsed = np.arange(0, window, 0.5)
    decayed = rate * (window - elapsed) / window
    crossing = elapsed[np.argmax(decayed < threshold)]
    assert stopped_producer(np.full(HOURS, rate), threshold, window, 0)[0] == pytest.approx(crossing, abs=1)


def test_hours_of_the_week_start_on_monday():
    assert hour_of_week(
        np.array([parse_instant("2026-03-02T00:00:00Z"), parse_instant("2026-03-01T23:59:59Z")])
    ).tolist() == [0, 167]
    assert hour_of_week(np.array([-1])).tolist() == [3 * 24 - 1]
    assert hour_name(167) == "Sun 23:00 UTC"


def test_hourly_rates_are_medians():
    monday = parse_instant("2026-03-02T00:00:00Z")
    times = monday + np.array([0, WEEK_MS, 2 * WEEK_MS, HOUR_MS, DAY_MS])
    rates = hourly_rate(times, np.array([1.0, 9.0, 2.0, np.nan, 5.0]))
    assert rates[[0, 24]].tolist() == [2, 5]
    assert np.isnan(np.delete(rates, [0, 24])).all()
    assert np.isnan(hourly_rate(np.array([], dtype=np.int64), np.array([]))).all()


@pytest.mark.parametrize("rates", [np.ones(24), np.full(HOURS, np.nan), -np.ones(HOURS), np.full(HOURS, np.inf)])
def test_rates_must_be_usable(rates):
    with pytest.raises(SettingError) as caught:
        stopped_consumer(rates, 1, 1)
    assert caught.value.cure
    assert "of shape" in str(caught.value) or "168 hours" in str(caught.value)


def test_a_share_is_a_share():
    with pytest.raises(SettingError, match="keeps up"):
        slow_consumer(np.ones(HOURS), 1, 1, keeps_up=1.5)
