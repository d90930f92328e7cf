import itertools

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from kmon_analysis.history import History, Provenance
from kmon_analysis.history_quality import quality
from kmon_analysis.labels import Labels
from kmon_analysis.series import STALE_BITS, Samples, SeriesSet, stale_marker

START = 1_767_225_600_000
DAY = 86_400_000
STEP = 60_000


def history_of(*rows, end=START + 21 * DAY, **more):
    parts = [
        Samples(Labels({"__name__": name, "i": str(index)}), np.asarray(times), np.asarray(values, dtype=float))
        for index, (name, times, values) in enumerate(rows)
    ]
    return History(SeriesSet.from_samples(parts), Provenance("x", START, end, scrape_interval_ms=STEP, **more))


def test_a_faultless_history():
    times = np.arange(START, START + 21 * DAY, STEP)
    report = quality(history_of(("up", times, np.ones(len(times)))))
    (part,) = report.series
    assert (part.samples, part.gaps, part.resets, part.stale_markers, part.nans) == (len(times), 0, 0, 0, 0)
    assert (part.step_ms, part.missing_ratio, part.constant, part.counter) == (STEP, 0.0, True, False)
    assert report.findings() == ()
    assert [covered for _, covered in report.weeks] == [1.0, 1.0, 1.0]
    assert "nothing to complain of" in repr(report)
    made = quality(history_of(("up", times, np.ones(len(times))), end=int(times[-1]) + 1))
    assert "to 2026-01-21T23:59:00Z" in repr(made), "the end is the last sample's time"


def test_gaps_resets_silence_and_churn():
    times = np.arange(START, START + 21 * DAY, STEP)
    away = (times >= START + 7 * DAY) & (times < START + 14 * DAY)
    kept = times[~away]
    counter = np.arange(len(kept), dtype=float)
    counter[5_000:] -= 5_000
    counter[12_000:] -= 7_000
    young = kept[kept >= START + 15 * DAY]
    marked = np.concatenate([np.full(99, 2.0), stale_marker()])
    report = quality(
        history_of(
            ("in_total", kept, counter),
            ("lag", young, np.sin(np.arange(len(young)))),
            ("lag", kept[:100], marked),
            warnings=("partial <data>",),
        )
    )
    total, lag, ended = report.series
    assert (total.counter, total.resets, total.gaps, total.longest_gap_ms) == (True, 2, 1, 7 * DAY)
    assert (total.missing, total.missing_ratio) == (7 * 1440, 1 / 3)
    assert (lag.counter, lag.resets, lag.gaps) == (False, 0, 0)
    assert (ended.samples, ended.stale_markers) == (99, 1)
    assert [(week.start_ms - START) / DAY for week in report.weeks_without_data] == [7]
    (silence,) = report.silences
    assert (silence.start_ms, silence.end_ms) == (START + 7 * DAY, START + 14 * DAY)
    churn = {part.metric: part for part in report.churn}
    assert (churn["lag"].series, churn["lag"].appeared, churn["lag"].vanished) == (2, 1, 1)
    assert churn["lag"].most_at_once == 1
    words = report.findings()
    assert words[0] == "the source warned: partial <data>"
    assert "no series has samples for 7 d, from 2026-01-08T00:00:00Z to 2026-01-15T00:00:00Z" in words
    assert "2 counter resets in 1 series" in words
    assert "partial &lt;data&gt;" in report._repr_html_()
    assert "<data>" not in report._repr_html_()


def test_a_counter_is_known_by_its_ways():
    times = np.arange(START, START + DAY, STEP)
    values = np.cumsum(np.random.default_rng(1).poisson(5, len(times))).astype(float)
    values[700:] -= values[700]
    report = quality(history_of(("MessagesInPerSec", times, values), ("gauge", times, np.tile([1.0, 2.0], 720))))
    assert [(part.counter, part.resets) for part in report.series] == [(True, 1), (False, 0)]


def test_the_frame_has_one_row_a_series():
    times = np.arange(START, START + DAY, STEP)
    frame = quality(history_of(("up", times, np.ones(len(times))))).to_frame()
    assert frame.index.tolist() == ['up{i="0"}']
    assert frame["first"].iloc[0] == pd.Timestamp("2026-01-01T00:00:00Z")
    assert frame["step_s"].iloc[0] == 60.0
    empty = quality(History(SeriesSet.from_samples([]), Provenance("x", START, START)))
    assert empty.to_frame().empty
    assert empty.findings() == ()


@given(
    st.lists(
        st.tuples(
            st.sets(st.integers(0, 60), min_size=1).map(sorted),
            st.lists(st.sampled_from([0.0, 1.0, 2.5, float("nan"), "stale"]), min_size=61, max_size=61),
        ),
        max_size=3,
    )
)
@settings(deadline=None)
def test_counts_agree_with_a_naive_look(rows):
    def bits(value):
        return stale_marker()[0] if value == "stale" else value

    made = [
        ("m", [START + 1000 * tick for tick in ticks], np.array([bits(values[tick]) for tick in ticks]))
        for ticks, values in rows
    ]
    history = history_of(*made, end=START + 61_000)
    report = quality(history)
    alive = [
        [
            (time, value)
            for time, value in zip(part.times.tolist(), part.values, strict=True)
            if value.view(np.uint64) != STALE_BITS
        ]
        for part in history.series
    ]
    assert [part.samples for part in report.series] == [len(samples) for samples in alive if samples]
    assert sum(part.nans for part in report.series) == sum(value != value for samples in alive for _, value in samples)
    for part, samples in zip(report.series, [samples for samples in alive if samples], strict=True):
        pauses = [after - before for (before, _), (after, _) in itertools.pairwise(samples)]
        step = part.step_ms
        lost = [max((2 * pause + step) // (2 * step) - 1, 0) if step else 0 for pause in pauses]
        assert (part.gaps, part.missing) == (sum(each >= 2 for each in lost), sum(lost))
