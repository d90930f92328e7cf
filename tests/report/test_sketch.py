import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmon_analysis.report.sketch import sketch

NONE = np.zeros(0)
values = st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=300).map(np.array)


@given(values, st.none() | st.floats(allow_nan=False), st.integers(1, 60), st.integers(1, 9), st.booleans())
def test_every_picture_has_its_size(line, threshold, width, height, plain):
    line = np.asarray(line, dtype=np.float64)
    lines = sketch(line, threshold, line > 0, width=width, height=height, plain=plain)
    assert [len(each) for each in lines] == [width] * (height + 1)
    assert not plain or "".join(lines).isascii()
    assert all(char.isprintable() for char in "".join(lines))


def test_a_peak_a_gap_and_the_threshold_are_where_they_belong():
    line = np.full(160, 100.0)
    line[40:80] = 900.0
    line[120:] = np.nan
    lines = sketch(line, 500.0, line > 500, width=80, height=8)
    assert all(20 <= place <= 40 for place, char in enumerate(lines[0]) if char != " ")
    assert lines[-1] == " " * 20 + "▔" * 20 + " " * 40
    [row] = [row for row in range(8) if "┄" in lines[row]]
    assert row in (3, 4)
    assert all(each[62:].strip("┄ ") == "" for each in lines[:-1])


def test_plain_pictures_say_the_same():
    line = np.array([0.0, 0.0, 10.0, 10.0])
    assert sketch(line, 5.0, line > 5, width=4, height=3, plain=True) == ["  ##", "--##", "####", "  ^^"]


@pytest.mark.parametrize("line", [NONE, np.full(3, np.nan), np.full(3, np.inf), np.zeros(3), np.full(3, -7.0)])
def test_nothing_to_see_is_no_error(line):
    assert len(sketch(line, None, np.zeros(len(line), bool), width=10, height=2)) == 3


def test_many_values_keep_their_extremes():
    line = np.zeros(100_000)
    line[77_777] = 5.0
    lines = sketch(line, 4.0, line > 4, width=50, height=4)
    assert [place for place, char in enumerate(lines[0]) if char not in " ┄"] == [38]
    assert [place for place, char in enumerate(lines[-1]) if char != " "] == [38]
