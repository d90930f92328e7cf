import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kmon_analysis.errors import SettingError
from kmon_analysis.recommend.margin import round_inside, round_to


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
