from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kmon_analysis.backtest import kernels, pages
from kmon_analysis.backtest import signal as signals
from kmon_analysis.backtest.pages import Windows, curve, episodes, fire
from kmon_analysis.backtest.signal import make_signal
from kmon_analysis.labels import Labels
from tests.backtest import naive

STEP = 60_000


@st.composite
def cases(draw):
    """A few short series with absences, ties and infinities, on a grid that may have holes."""
    columns = draw(st.integers(1, 40))
    rows = draw(st.integers(1, 4))
    pool = draw(st.lists(st.sampled_from([0.0, -1.0, 1.0, 2.0, 3.5, -2.5, 7.0, 1e300, np.inf, 0.1]), min_size=1))
    value = st.one_of(st.none(), st.sampled_from(pool))
    levels = [[draw(value) for _ in range(columns)] for _ in range(rows)]
    holes = draw(st.sets(st.integers(0, columns - 1), max_size=columns // 3))
    kept = [column for column in range(columns) if column not in holes] or [0]
    mask = st.integers(0, 2**columns - 1)
    masks = [draw(mask) for _ in range(3)]
    return {
        "levels": [[row[column] for column in kept] for row in levels],
        "times": [column * STEP for column in kept],
        "groups": draw(st.lists(st.integers(0, 1), min_size=rows, max_size=rows)),
        "for_ms": draw(st.sampled_from([0, 1, STEP, 90_000, 2 * STEP, 5 * STEP])),
        "keep_ms": draw(st.sampled_from([0, 1, STEP, 90_000, 3 * STEP])),
        "gap_ms": draw(st.sampled_from([0, STEP, 90_000, 3 * STEP])),
        "credited": [[bool(bits >> column & 1) for column in kept] for bits in masks[:2]],
        "quiet": [bool(masks[2] >> column & 1) for column in kept],
    }


def build(case, op=">"):
    sign = -1 if op in ("<", "<=") else 1
    raw = np.array([[-np.inf if v is None else sign * v for v in row] for row in case["levels"]])
    labels = [Labels({"row": str(row), "group": str(group)}) for row, group in enumerate(case["groups"])]
    signal = make_signal(labels, np.array(case["times"], dtype=np.int64), raw, op, group_by=("group",))
    used = sorted(set(case["groups"]))
    windows = Windows(
        credited=np.array([case["credited"][group] for group in used]),
        quiet=np.array(case["quiet"]),
    )
    at = {"for_ms": case["for_ms"], "keep_firing_for_ms": case["keep_ms"], "merge_gap_ms": case["gap_ms"]}
    return signal, fire(signal, windows, **at), used


def measured(firing, level, stop=None):
    counted = curve(firing, stop=stop)
    return counted.pages.at(level), counted.false_pages.at(level), counted.firing_time.at(level)


def expected(case, used, fires_at):
    totals = np.zeros(3, dtype=int)
    for group in used:
        rows = [
            [v if v is not None and fires_at(v) else None for v in row]
            for row, g in zip(case["levels"], case["groups"], strict=True)
            if g == group
        ]
        rows = [[None if v is None else 1.0 for v in row] for row in rows]
        totals += naive.counts(
            rows,
            case["times"],
            0.0,
            case["for_ms"],
            case["keep_ms"],
            case["gap_ms"],
            case["credited"][group],
            case["quiet"],
        )
    return tuple(totals)


def every_level(signal):
    found = {float(level) for group in signal.groups for level in group.distinct}
    return sorted(found | {-np.inf, -3.0, 0.5, 1e301})


@settings(max_examples=300, deadline=None)
@given(cases())
def test_every_threshold_agrees_with_the_state_machine(case):
    signal, firing, used = build(case)
    for level in every_level(signal):
        assert measured(firing, level) == expected(case, used, lambda v, limit=level: v > limit)


@settings(max_examples=150, deadline=None)
@given(cases(), st.sampled_from(["<", "<=", ">="]), st.sampled_from([-2.5, 0.0, 1.0, 1.5, 7.0]))
def test_all_comparisons_at_and_beside_their_threshold(case, op, threshold):
    compare = {"<": lambda v: v < threshold, "<=": lambda v: v <= threshold, ">=": lambda v: v >= threshold}[op]
    signal, firing, used = build(case, op)
    assert measured(firing, signal.level(threshold)) == expected(case, used, compare)


@settings(max_examples=150, deadline=None)
@given(cases(), st.data())
def test_episodes_are_the_pages_of_the_curve(case, data):
    signal, firing, used = build(case)
    level = data.draw(st.sampled_from(every_level(signal)))
    found = episodes(firing, level)
    assert len(found) == curve(firing).pages.at(level)
    for row, group in enumerate(used):
        members = [levels for levels, g in zip(case["levels"], case["groups"], strict=True) if g == group]
        on = naive.group_fires(members, case["times"], level, case["for_ms"], case["keep_ms"])
        runs = naive.pages(on, case["times"], case["gap_ms"])
        mine = [episode for episode in found if episode.group == row]
        assert [(e.columns[0], e.columns[1], e.firing_columns) for e in mine] == [(r[0], r[-1], len(r)) for r in runs]


@settings(max_examples=100, deadline=None)
@given(cases(), st.data())
def test_a_prefix_counts_like_a_history_that_ends_there(case, data):
    stop = data.draw(st.integers(0, len(case["times"])))
    signal, firing, used = build(case)
    cut = {
        **case,
        "levels": [row[:stop] for row in case["levels"]],
        "times": case["times"][:stop],
        "credited": [row[:stop] for row in case["credited"]],
        "quiet": case["quiet"][:stop],
    }
    for level in every_level(signal):
        assert measured(firing, level, stop) == expected(cut, used, lambda v, limit=level: v > limit)


@pytest.mark.parametrize("longest", [1, 2, 7, 300])
@pytest.mark.parametrize("sign", [1, -1])
def test_extremes_of_long_and_uneven_windows(longest, sign):
    rng = np.random.default_rng(longest)
    values = rng.integers(0, 50, 400).astype(np.int32)
    lengths = rng.integers(0, longest, 400)
    starts = np.maximum.accumulate(np.arange(400) - lengths).astype(np.int32)
    starts[: longest // 3] = -1
    expected = [
        0 if start < 0 else sign * max(sign * values[start : t + 1].astype(int)) for t, start in enumerate(starts)
    ]
    found = np.empty(400, dtype=np.int32)
    kernels._highest_in_window(values, starts, sign, found)
    assert found.tolist() == expected
    kernels._highest_in_window(values, starts, sign, starts)
    assert starts.tolist() == expected


@pytest.mark.parametrize("width", [1, 2, 3, 20, 1024, 1025, 9001])
def test_equal_windows_are_windows(width):
    rng = np.random.default_rng(width)
    ranks = rng.integers(0, 1000, (1, 9000)).astype(np.int32)
    pending = np.maximum(np.arange(9000) - width + 1, -1).astype(np.int32)
    expected = np.empty(9000, dtype=np.int32)
    kernels._highest_in_window(ranks[0], pending, -1, expected)
    found = kernels.firing(ranks, pending, kernels.common_width(pending), np.arange(9000, dtype=np.int32))
    np.testing.assert_array_equal(found, expected)
    assert kernels.common_width(pending) == width
    pending[-1] = 8998 - (width == 2)
    assert kernels.common_width(pending) == 0


def test_many_cores_find_what_one_finds(monkeypatch):
    rng = np.random.default_rng(0)
    levels, labels = rng.normal(0, 1, (9, 500)), [Labels({"n": str(number)}) for number in range(9)]

    def counted():
        signal = make_signal(labels, np.arange(500, dtype=np.int64) * STEP, levels, ">", group_by=("n",))
        windows = Windows(np.zeros((9, 500), dtype=bool), np.ones(500, dtype=bool))
        found = curve(fire(signal, windows, for_ms=STEP, keep_firing_for_ms=0, merge_gap_ms=2 * STEP))
        return [[part.tolist() for part in counts.steps()] for counts in (found.pages, found.firing_time)]

    alone = counted()
    monkeypatch.setattr(signals, "_WORTH_THREADS", 0)
    assert counted() == alone


@settings(max_examples=150, deadline=None)
@given(cases(), st.sampled_from([0, 0.5, 1, 2, 3, 7]))
def test_lowest_within_is_the_last_crossing_of_the_total(case, limit):
    signal, firing, _ = build(case)
    for counts in (curve(firing).pages, curve(firing).false_pages, curve(firing).firing_time):
        levels = every_level(signal)
        beyond = [place for place, level in enumerate(levels) if counts.at(level) > limit]
        got = counts.lowest_within(limit)
        assert all(counts.at(level) <= limit for level in levels if level >= got)
        if beyond:
            # Totals change at observed levels only: the crossing is the next one of those.
            steps = [level for level in levels if any(level in group.distinct for group in signal.groups)]
            assert got == min(level for level in steps if level > levels[beyond[-1]])
        else:
            assert got == -np.inf
        steps_at, totals = counts.steps()
        assert [counts.at(level) for level in steps_at] == totals.tolist()
        cut_at, cut = counts.steps(-np.inf, levels[len(levels) // 2])
        assert (cut_at.tolist(), cut.tolist()) == (steps_at[: len(cut)].tolist(), totals[: len(cut)].tolist())
        assert steps_at[len(cut) :].tolist() == steps_at[steps_at > levels[len(levels) // 2]].tolist()


@settings(max_examples=150, deadline=None)
@given(cases(), st.sampled_from([0, 0.5, 1, 2, 3, 7]), st.sampled_from([0, 3, 50_000]))
def test_bisection_finds_what_sorting_finds(case, limit, few):
    _, firing, _ = build(case)
    total = curve(firing).firing_time
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "_FEW", few)
        assert total.lowest_of_falling_within(limit) == total.lowest_within(limit)


def test_lowest_within_is_the_envelope_not_the_first_crossing():
    # One endless episode at the bottom, three pages in the middle, none at the top.
    levels = np.array([[5.0, 9.0, 5.0, 9.0, 5.0, 9.0, 5.0]])
    signal = make_signal([Labels()], np.arange(7, dtype=np.int64) * STEP, levels, ">")
    windows = Windows(np.zeros((1, 7), dtype=bool), np.ones(7, dtype=bool))
    firing = fire(signal, windows, for_ms=0, keep_firing_for_ms=0, merge_gap_ms=0)
    pages = curve(firing).pages
    assert [pages.at(level) for level in (0.0, 5.0, 9.0)] == [1, 3, 0]
    assert (pages.lowest_within(1), pages.lowest_within(3)) == (9.0, -np.inf)
    assert [curve(firing).firing_time.at(level) for level in (0.0, 5.0, 9.0)] == [7, 3, 0]


def test_without_any_alert_nothing_fires():
    signal = make_signal([], np.arange(3, dtype=np.int64) * STEP, np.empty((0, 3)), ">")
    windows = Windows(np.zeros((0, 3), dtype=bool), np.ones(3, dtype=bool))
    found = curve(fire(signal, windows, for_ms=0, keep_firing_for_ms=0, merge_gap_ms=0))
    assert [counts.at(0.0) for counts in (found.pages, found.false_pages, found.firing_time)] == [0, 0, 0]
    assert found.pages.lowest_within(0) == -np.inf


def test_a_signal_gives_its_values_back():
    levels = np.array([[3.0, -np.inf, -2.0], [-2.0, 3.0, 8.0]])
    signal = make_signal([Labels({"a": "1"}), Labels({"a": "2"})], np.arange(3, dtype=np.int64), levels, "<")
    np.testing.assert_array_equal(signal.values(), [[-3.0, np.nan, 2.0], [2.0, -3.0, -8.0]])
    assert signal.threshold(signal.level(4.0)) == 4.0


@pytest.mark.parametrize("op", [">", ">=", "<", "<="])
def test_level_and_threshold_are_inverse(op):
    signal = make_signal([Labels()], np.arange(1, dtype=np.int64), np.array([[1.0]]), op)
    for threshold in (0.0, -3.0, 1e9, 0.1):
        assert signal.threshold(signal.level(threshold)) == threshold
