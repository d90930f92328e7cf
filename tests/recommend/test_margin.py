import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kmon_analysis.errors import SettingError
from kmon_analysis.recommend.margin import margin, round_inside, round_to


def test_ratios_read_as_they_are_printed():
    found = margin(1000, 3100, 700)
    assert (found.incident_ratio, found.quiet_ratio) == (3.1, 0.7)
    assert found.ratio == pytest.approx(1 / 0.7)
    assert not found.fragile
    assert margin(1000, 1100, 100).fragile
    assert margin(1000, 5000, 900).fragile


def test_a_falling_signal_is_measured_downwards():
    found = margin(10, 2, 40, op="<")
    assert (found.incident_ratio, found.quiet_ratio) == (0.2, 4)
    assert found.ratio == 4
    assert margin(10, 0, 15, op="<").ratio == 1.5
    assert margin(10, 9, 40, op="<").fragile
    assert margin(10, 2, 9, op="<").ratio < 1


@pytest.mark.parametrize("op", [">", "<"])
@pytest.mark.parametrize("threshold", [7.0, -7.0])
def test_what_lies_on_the_wrong_side_is_below_one(op, threshold):
    beyond, short = (2.0, -2.0) if op == ">" else (-2.0, 2.0)
    assert margin(threshold, threshold + beyond, threshold + short, op=op).ratio > 1
    assert margin(threshold, threshold + short, threshold + short, op=op).ratio < 1
    assert margin(threshold, threshold + beyond, threshold + beyond, op=op).ratio < 1
    far = 100 * beyond
    assert margin(threshold, threshold + far, threshold - far, op=op).ratio > 1
    assert margin(threshold, threshold - far, threshold - far, op=op).ratio < 1


def test_zero_has_no_ratio():
    found = margin(0, 5, -5)
    assert math.isnan(found.ratio)
    assert found.fragile
    assert margin(10, 50, 0).ratio == 5
    assert margin(10, 50, -math.inf).ratio == 5


@pytest.mark.parametrize(
    ("value", "digits", "rounded"),
    [
        (12_345, 1, 1e4),
        (12_345, 2, 12e3),
        (0.0678, 1, 0.07),
        (-987, 1, -1000),
        (9.96, 2, 10),
        (0, 2, 0),
        (0.1 + 0.2, 2, 0.3),
    ],
)
def test_significant_digits(value, digits, rounded):
    assert round_to(value, digits) == rounded


@pytest.mark.parametrize(
    ("value", "low", "high", "rounded"),
    [
        (9_870, 8_000, 12_000, 10_000),
        (14_200, 8_000, 30_000, 14_000),  # one digit would move it by a third
        (12_345, 12_000, 13_000, 12_300),  # 12,000 would be the edge
        (9_999, 0, 10_000, 9_900),
        (0.034, 0.01, 0.1, 0.034),
        (1.0, 1.0, 2.0, 1.0),
        (1.01, 1.0, 1e300, 1.1),
        (0.0, -1, 1, 0),
        (-14_200, -30_000, -8_000, -14_000),
        (5.0, -math.inf, math.inf, 5),
        (1 / 3, 1 / 3, 0.34, 0.334),
    ],
)
def test_thresholds_are_rounded_inside_their_interval(value, low, high, rounded):
    assert round_inside(value, low, high) == rounded


finite = st.floats(-1e12, 1e12)


@given(finite, finite, finite)
def test_rounding_never_gives_up_more_than_half_of_the_distance(a, b, c):
    low, value, high = sorted([a, b, c])
    assume(low <= value < high)
    rounded = round_inside(value, low, high)
    assert low <= rounded < high
    assert rounded - low >= (value - low) / 2 * (1 - 1e-9)
    assert high - rounded >= (high - value) / 2 * (1 - 1e-9)


def test_a_value_outside_is_refused():
    with pytest.raises(SettingError, match="is not in"):
        round_inside(5, 1, 5)
