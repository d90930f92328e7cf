import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmon_analysis.errors import SettingError
from kmon_analysis.labels import Labels, Matcher
from kmon_analysis.series import Samples
from kmon_analysis.sources.planning import (
    Piece,
    Selection,
    Stretch,
    merged,
    pieces_of,
    raw_query,
    selector,
    stretches,
)
from kmon_analysis.timing import Interval, parse_duration, parse_instant

LAG = Matcher("__name__", "=", "lag")
ORDERS = Matcher("topic", "=", "orders")


def answered(samples, piece, left_open):
    """Answer a piece's raw query as a Prometheus of 3.x (left-open) or 2.x (closed) would."""
    question = raw_query(piece)
    range_ms = parse_duration(question["query"].partition("[")[2].rstrip("]"))
    high = parse_instant(question["time"])
    low = high - range_ms
    keep = (samples.times <= high) & ((samples.times > low) if left_open else (samples.times >= low))
    return Samples(samples.labels, samples.times[keep], samples.values[keep])


@given(
    times=st.sets(st.integers(-50, 400_000)).map(sorted),
    start=st.integers(0, 150_000),
    length=st.integers(1, 300_000),
    density=st.sampled_from([0.0, 1e-4, 1e-3, 1.0, 1000.0]),
    per_piece=st.integers(1, 50),
    left_open=st.booleans(),
    halved=st.booleans(),
)
def test_split_and_merge_is_the_whole(times, start, length, density, per_piece, left_open, halved):
    whole = Samples(Labels({"__name__": "lag"}), np.array(times, dtype=np.int64), np.array(times, dtype=float) + 0.5)
    pieces = pieces_of(Stretch((LAG,), Interval(start, start + length)), density, per_piece)
    if halved:
        pieces = [half for piece in pieces if piece.duration_ms > 1 for half in piece.halves()] + [
            piece for piece in pieces if piece.duration_ms == 1
        ]
    arrived = [merged([answered(whole, piece, left_open)], piece.interval) for piece in pieces]
    # No sample may come twice even before duplicates are dropped.
    assert sum(part.sample_count for part in arrived) == sum(start <= time < start + length for time in times)
    joined = merged(samples for part in arrived for samples in part)
    inside = [time for time in times if start <= time < start + length]
    assert joined.times.tolist() == inside
    assert joined.values.tolist() == [time + 0.5 for time in inside]


def test_long_pieces_end_at_block_borders():
    day = 86_400_000
    pieces = pieces_of(Stretch((LAG,), Interval(1_000, 3 * day)), 20 / 15_000, 50_000)
    assert {piece.end_ms % 7_200_000 for piece in pieces[:-1]} == {0}
    assert pieces[0].start_ms == 1_000
    assert pieces[-1].end_ms == 3 * day


def test_the_instant_is_exact_to_the_millisecond():
    assert raw_query(Piece((LAG, ORDERS), 1_767_225_600_000, 1_767_225_600_892)) == {
        "query": 'lag{topic="orders"}[892ms]',
        "time": "2026-01-01T00:00:00.891Z",
    }


def test_equal_and_narrower_selections_are_fetched_once():
    wanted = stretches(
        [Selection((LAG, ORDERS), 10), Selection((LAG,), 5, 7), Selection((ORDERS, LAG), 90), Selection((LAG,), 20)],
        1_000,
        2_000,
    )
    assert wanted == (Stretch((LAG,), Interval(910, 2_007)),)
    other = Matcher("topic", "=", "payments")
    assert len(stretches([Selection((LAG, ORDERS)), Selection((LAG, other))], 0, 1)) == 2


def test_nothing_to_fetch_is_refused():
    with pytest.raises(SettingError, match="no series are selected"):
        stretches([], 0, 1)
    with pytest.raises(SettingError, match="is empty"):
        stretches([Selection((LAG,))], 1, 1)


@pytest.mark.parametrize(
    ("matchers", "text"),
    [
        ([LAG], "lag"),
        ([Matcher("__name__", "=~", "lag|up"), ORDERS], '{__name__=~"lag|up",topic="orders"}'),
        ([Matcher("__name__", "=", "my lag")], '{__name__="my lag"}'),
        ([Matcher("topic.name", "!=", 'it\'s "x"\n')], '{"topic.name"!="it\'s \\"x\\"\\n"}'),
    ],
)
def test_selectors(matchers, text):
    assert selector(matchers) == text


def test_overlapping_chunks_keep_every_sample_once():
    labels = Labels({"a": "b"})
    first = Samples(labels, np.array([1, 2, 4]), np.array([1.0, 2.0, 4.0]))
    second = Samples(labels, np.array([2, 3, 5]), np.array([2.0, 3.0, 5.0]))
    assert merged([second, first])[0].values.tolist() == [1, 2, 3, 4, 5]
    assert len(merged([Samples(labels, np.array([], dtype=np.int64), np.array([]))])) == 0
