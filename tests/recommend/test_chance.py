import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmon_analysis.errors import SettingError
from kmon_analysis.recommend.chance import overfitting_probability, shift_test
from kmon_analysis.timing import HOUR_MS, WEEK_MS, Interval

SPAN = Interval(0, 4 * WEEK_MS)


def spans(*pairs):
    return np.array(pairs, dtype=np.int64).reshape(-1, 2) * HOUR_MS


def naive_hits(firing, windows, span, offset):
    """Move each window hour by hour around the span and look."""
    lit = np.zeros(span.duration_ms // HOUR_MS, dtype=bool)
    for start, end in firing // HOUR_MS:
        lit[max(start, 0) : max(end, 0)] = True
    return sum(
        any(lit[(hour + offset) % len(lit)] for hour in range(max(start, 0), min(end, len(lit))))
        for start, end in windows // HOUR_MS
    )


interval = st.tuples(st.integers(-3, 42), st.integers(1, 8)).map(lambda p: (p[0], p[0] + p[1]))


@given(st.lists(interval, max_size=5), st.lists(interval, max_size=4))
def test_every_shift_counts_as_the_naive_one(fires, marks):
    span = Interval(0, 40 * HOUR_MS)
    firing, windows = spans(*fires), spans(*marks)
    inside = [(start, end) for start, end in marks if start < 40 and end > 0]
    result = shift_test(firing, windows, span)
    hits = [naive_hits(firing, windows, span, offset) for offset in range(40)]
    assert result.windows == len(inside)
    assert result.hits == hits[0]
    assert result.shifts == 39
    assert result.p == pytest.approx(sum(hit >= hits[0] for hit in hits) / 40)


def test_a_span_away_from_the_epoch_gives_the_same():
    firing, windows = spans((5, 6), (100, 130)), spans((4, 7), (120, 121), (300, 301))
    here = shift_test(firing, windows, SPAN)
    far = 77 * WEEK_MS
    assert shift_test(firing + far, windows + far, Interval(far, far + SPAN.duration_ms)) == here
    assert here.hits == 2
    assert here.firing_ratio == pytest.approx(31 / (4 * 168))


def test_a_rule_that_sees_every_incident_beats_chance():
    windows = spans((10, 11), (100, 101), (333, 334), (500, 501))
    result = shift_test(windows, windows, SPAN)
    assert result.hits == 4
    assert 0 < result.p < 0.01
    assert result.floor == pytest.approx((4 / 672) ** 4)


def test_one_incident_is_no_evidence_for_a_rule_that_fires_a_lot():
    firing = spans(*((start, start + 1) for start in range(0, 672, 16)))
    result = shift_test(firing, spans((16, 17)), SPAN)
    assert result.p == pytest.approx(1 / 16, abs=0.02)
    assert result.floor == pytest.approx(1 / 16)


def test_clustered_firing_keeps_its_clusters():
    # All four incidents within one noisy day: one lucky day, not four hits.
    firing = spans((24, 48), (300, 324))
    result = shift_test(firing, spans((25, 26), (30, 31), (35, 36), (40, 41)), SPAN)
    assert result.hits == 4
    assert result.p > 0.01 > result.floor


def test_random_rules_are_rarely_distinguished():
    rng = np.random.default_rng(7)
    values = []
    for _ in range(120):
        starts = np.sort(rng.choice(672, size=(2, 20)), axis=1)
        firing, windows = (spans(*((start, start + 1) for start in each)) for each in starts)
        values.append(shift_test(firing, windows, SPAN).p)
    assert np.mean(np.array(values) <= 0.05) <= 0.1


def test_each_window_may_have_its_own_firing():
    firing = [spans((10, 11)), spans((100, 101))]
    windows = spans((10, 11), (100, 101))
    assert shift_test(firing, windows, SPAN).hits == 2
    assert shift_test(firing[::-1], windows, SPAN).hits == 0
    with pytest.raises(SettingError, match="1 firing lists for 2 windows"):
        shift_test(firing[:1], windows, SPAN)


def test_long_spans_draw_their_shifts_and_repeat():
    span = Interval(0, 20 * WEEK_MS)
    firing, windows = spans((5, 60), (900, 1500)), spans((4, 7), (1000, 1001))
    first = shift_test(firing, windows, span)
    assert first.shifts == 999
    assert first == shift_test(firing, windows, span)
    assert len({shift_test(firing, windows, span, seed=seed).p for seed in range(5)}) > 1
    exact = shift_test(firing, windows, span, shifts=10_000)
    assert exact.shifts == 20 * 168 - 1
    assert first.p == pytest.approx(exact.p, abs=0.05)


def test_nothing_to_hit_and_nothing_that_fires():
    assert shift_test(spans(), spans((1, 2)), SPAN).p == 1
    empty = shift_test(spans((1, 2)), spans(), SPAN)
    assert (empty.hits, empty.windows, empty.p, empty.floor) == (0, 0, 1, 1)
    with pytest.raises(SettingError, match="no two shifts"):
        shift_test(spans(), spans(), Interval(0, HOUR_MS))


def naive_pbo(losses):
    """Rank by sorting fractions of whole numbers, so that ties are exact."""
    shares = []
    blocks = range(len(losses))
    for chosen in itertools.combinations(blocks, len(losses) // 2):
        tuned = [sum(int(losses[b][c]) for b in chosen) for c in range(len(losses[0]))]
        tested = [sum(int(losses[b][c]) for b in blocks if b not in chosen) for c in range(len(losses[0]))]
        winners = [c for c, loss in enumerate(tuned) if loss == min(tuned)]
        share = 0
        for c in winners:
            rank = 1 + sum(t < tested[c] for t in tested) + (sum(t == tested[c] for t in tested) - 1) / 2
            middle = (len(tested) + 1) / 2
            share += 1 if rank > middle else 0.5 if rank == middle else 0
        shares.append(share / len(winners))
    return sum(shares) / math.comb(len(losses), len(losses) // 2)


@given(
    st.integers(2, 6).flatmap(
        lambda c: st.lists(st.lists(st.integers(0, 4), min_size=c, max_size=c), min_size=8, max_size=8)
    )
)
def test_overfitting_is_that_of_the_naive_ranking(rows):
    assert overfitting_probability(np.array(rows, dtype=float)) == pytest.approx(naive_pbo(rows))


def test_a_candidate_that_is_always_better_is_no_overfitting():
    rng = np.random.default_rng(8)
    losses = rng.random((8, 10)) + 1
    losses[:, 3] = 0
    assert overfitting_probability(losses) == 0


def test_candidates_without_a_difference_are_undecided():
    assert overfitting_probability(np.full((8, 5), 0.1)) == 0.5


def test_noise_is_undecided_on_average():
    rng = np.random.default_rng(9)
    assert np.mean([overfitting_probability(rng.random((8, 20))) for _ in range(60)]) == pytest.approx(0.5, abs=0.06)


def test_what_one_half_gains_and_the_other_loses_is_overfitting():
    losses = np.random.default_rng(9).random((8, 20))
    assert overfitting_probability(losses - losses.mean(axis=0)) == 1


def test_weeks_are_put_together_into_blocks_and_scale_does_not_matter():
    rng = np.random.default_rng(10)
    rows = rng.integers(0, 9, (8, 6)).astype(float)
    value = overfitting_probability(rows)
    assert overfitting_probability(np.repeat(rows, 3, axis=0)) == value
    assert overfitting_probability(rows * 0.1) == value
    assert 0 <= overfitting_probability(rng.random((11, 6))) <= 1


@pytest.mark.parametrize(
    ("losses", "blocks"),
    [(np.zeros((7, 3)), 8), (np.zeros((8, 1)), 8), (np.zeros(8), 8), (np.zeros((9, 3)), 3), (np.zeros((9, 3)), 0)],
)
def test_tables_that_cannot_be_halved_are_refused(losses, blocks):
    with pytest.raises(SettingError, match="losses of shape"):
        overfitting_probability(losses, blocks)


def test_losses_must_be_finite():
    with pytest.raises(SettingError, match="not finite"):
        overfitting_probability(np.array([[0, np.nan]] * 8))
