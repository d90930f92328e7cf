import json
import re
import struct

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kmon_analysis.errors import HistoryError, InputError, OutputError
from kmon_analysis.history import History, Provenance
from kmon_analysis.labels import Labels
from kmon_analysis.series import Samples, SeriesSet, stale_marker

START = 1_767_225_600_000
WHERE = Provenance(
    source="http://prometheus:9090",
    start_ms=START,
    end_ms=START + 60_000,
    queries=("lag", 'up{job="kafka"}'),
    scrape_interval_ms=15_000,
    server_version="2.42.0",
    warnings=("partial <b>data</b>",),
    fetched_at_ms=START + 70_000,
    extra={"stale_markers": "kept", "n": [1, 2]},
)


def from_bits(bits):
    return struct.unpack("<d", struct.pack("<Q", bits))[0]


def series_of(*rows):
    return SeriesSet.from_samples(
        Samples(Labels(labels), np.asarray(times, dtype=np.int64), np.asarray(values, dtype=np.float64))
        for labels, times, values in rows
    )


def assert_same(left, right):
    assert left.labels == right.labels
    np.testing.assert_array_equal(left.offsets, right.offsets)
    np.testing.assert_array_equal(left.times, right.times)
    np.testing.assert_array_equal(left.values.view(np.uint64), right.values.view(np.uint64))


@pytest.fixture
def history():
    odd = np.concatenate([stale_marker(), [np.nan, np.inf, -np.inf, -0.0, 0.0, 2.0**53, 2.0**53 - 1, 0.1]])
    return History(
        series_of(
            ({"__name__": "lag", "topic": 'a"b\\c\n{},='}, START + np.arange(9) * 15_000, odd),
            ({"__name__": "up"}, [START, START + 1, START + 900_000], [1, 0, 1]),
        ),
        WHERE,
    )


bits = st.one_of(
    st.sampled_from(
        [0x7FF0000000000002, 0x7FF8000000000001, 0xFFF8000000000000, 0x8000000000000000, 0x7FF0DEAD00000001]
    ),
    st.integers(0, 2**64 - 1),
    st.integers(-(2**54), 2**54).map(lambda whole: struct.unpack("<Q", struct.pack("<d", float(whole)))[0]),
)
names = st.dictionaries(
    st.sampled_from(["__name__", "topic", "größe"]), st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
)
some_series = st.dictionaries(
    names.map(Labels),
    st.dictionaries(st.integers(-(2**41), 2**43), bits, max_size=9),
    max_size=4,
).map(
    lambda table: SeriesSet.from_samples(
        Samples(
            labels,
            np.array(sorted(samples), dtype=np.int64),
            np.array([samples[time] for time in sorted(samples)], dtype=np.uint64).view(np.float64),
        )
        for labels, samples in table.items()
    )
)


@given(series=some_series)
@settings(max_examples=60, deadline=None)
def test_a_round_trip_keeps_every_bit(tmp_path_factory, series):
    path = tmp_path_factory.mktemp("history") / "h"
    before = History(series, WHERE)
    before.save(path)
    after = History.open(path)
    assert_same(after.series, before.series)
    assert after.provenance == before.provenance
    assert after.digest == before.digest


@given(series=some_series, cut=st.integers(-(2**41), 2**43))
@settings(max_examples=60, deadline=None)
def test_split_and_append_is_the_same_history(tmp_path_factory, series, cut):
    path = tmp_path_factory.mktemp("history") / "h"
    History(series.between(-(2**62), cut), WHERE).save(path)
    whole = History(series.between(cut, 2**62), WHERE).append_to(path)
    expected = series.between(-(2**62), 2**62)
    assert_same(whole.series, expected)
    assert_same(History.open(path).series, expected)
    assert len(list(path.glob("*.parquet"))) == 2


def test_an_append_must_come_later(tmp_path, history):
    history.save(tmp_path / "h")
    with pytest.raises(HistoryError, match=r"up already has samples up to 2026-01-01T00:15:00Z"):
        History(series_of(({"__name__": "up"}, [START + 900_000], [1])), WHERE).append_to(tmp_path / "h")


def test_saving_twice_replaces_and_leaves_nothing_behind(tmp_path, history):
    history.save(tmp_path / "h")
    other = History(series_of(({"__name__": "up"}, [START], [7])), WHERE)
    other.save(tmp_path / "h")
    assert_same(History.open(tmp_path / "h").series, other.series)
    assert sorted(entry.name for entry in (tmp_path / "h").iterdir()) == ["manifest.json", "samples-0002.parquet"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["h"]


def test_saving_never_overwrites_something_else(tmp_path, history):
    (tmp_path / "thesis.doc").write_text("years of work")
    with pytest.raises(OutputError, match=r"not a history \('thesis.doc'\)"):
        history.save(tmp_path)
    with pytest.raises(OutputError, match="is a file"):
        history.save(tmp_path / "thesis.doc")
    assert (tmp_path / "thesis.doc").read_text() == "years of work"


def test_a_save_that_breaks_off_changes_nothing(tmp_path, history, monkeypatch):
    history.save(tmp_path / "h")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    for place in ("h", "new"):
        with pytest.raises(OutputError, match="No space left on device"):
            history.save(tmp_path / place)
    assert [entry.name for entry in tmp_path.iterdir()] == ["h"]
    assert_same(History.open(tmp_path / "h").series, history.series)


def test_other_tools_read_the_values(tmp_path, history):
    history.save(tmp_path / "h")
    frame = pq.read_table(tmp_path / "h" / "samples-0001.parquet").to_pandas()
    value = frame["integer"].astype("Float64").fillna(frame["number"])
    np.testing.assert_array_equal(value.to_numpy(np.float64, na_value=np.nan), history.series.values)
    assert frame["series"].iloc[-1] == "up"
    assert frame["time"].iloc[-1] == pd.Timestamp("2026-01-01T00:15:00Z")


def damage_cut(path):
    file = path / "samples-0001.parquet"
    file.write_bytes(file.read_bytes()[:-7])


def damage_flip(path):
    file = path / "samples-0001.parquet"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def damage_missing(path):
    (path / "samples-0001.parquet").unlink()


def damage_manifest_cut(path):
    file = path / "manifest.json"
    file.write_text(file.read_text()[:-30])


def damage_manifest_edited(path):
    file = path / "manifest.json"
    file.write_text(file.read_text().replace('"up"', '"down"'))


def damage_version(path):
    file = path / "manifest.json"
    file.write_text(file.read_text().replace('"version": 1', '"version": 2'))


def damage_other_json(path):
    (path / "manifest.json").write_text("[]")


def damage_no_manifest(path):
    (path / "manifest.json").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_cut, r"samples-0001\.parquet: is cut: \d+ of \d+ bytes"),
        (damage_flip, r"samples-0001\.parquet: is damaged or another file"),
        (damage_missing, r"samples-0001\.parquet: is missing"),
        (damage_manifest_cut, r"manifest\.json: cannot be read"),
        (damage_manifest_edited, r"manifest\.json: was changed after it was written"),
        (damage_version, r"manifest\.json: has format version 2, this release reads 1"),
        (damage_other_json, r"manifest\.json: does not describe a history"),
        (damage_no_manifest, r"h: has no manifest\.json"),
    ],
)
def test_damage_is_refused_by_name(tmp_path, history, damage, message):
    history.save(tmp_path / "h")
    damage(tmp_path / "h")
    with pytest.raises(HistoryError, match=message) as caught:
        History.open(tmp_path / "h")
    assert caught.value.cure


def test_swapped_parts_are_refused(tmp_path, history):
    history.save(tmp_path / "h")
    later = History(series_of(({"__name__": "up"}, [START + 10**9], [1])), WHERE)
    later.append_to(tmp_path / "h")
    first, second = (tmp_path / "h" / f"samples-000{n}.parquet" for n in (1, 2))
    content = first.read_bytes(), second.read_bytes()
    first.write_bytes(content[1])
    second.write_bytes(content[0])
    with pytest.raises(HistoryError, match=r"samples-000[12]\.parquet"):
        History.open(tmp_path / "h")


def test_opening_nothing(tmp_path):
    with pytest.raises(HistoryError, match="no such history"):
        History.open(tmp_path / "absent")
    (tmp_path / "file").touch()
    with pytest.raises(HistoryError, match="is a file"):
        History.open(tmp_path / "file")


def test_the_digest_depends_on_content_only(history):
    same = History(history.series, Provenance("elsewhere", 0, 1))
    assert same.digest == history.digest
    changed = history.series.values.copy()
    changed[1] = from_bits(0x7FF8000000000001)
    other = History(SeriesSet(history.series.labels, history.series.offsets, history.series.times, changed), WHERE)
    assert other.digest != history.digest


def test_the_scrape_interval_is_stated_or_measured(history):
    assert history.scrape_interval_ms == 15_000
    unstated = Provenance("x", START, START + 1)
    measured = History(
        series_of(({"a": "1"}, [0, 30_000, 60_000, 60_001], [1] * 4), ({"a": "2"}, [5, 30_005], [1, 1])), unstated
    )
    assert measured.scrape_interval_ms == 30_000
    assert measured.gap_count == 0
    gaps = ({"a": "1"}, [0, 30_000, 120_001], [1] * 3), ({"a": "2"}, [10**9, 10**9 + 30_000], [1, 1])
    assert History(series_of(*gaps), Provenance("x", 0, 2 * 10**9)).gap_count == 1
    with pytest.raises(HistoryError, match="neither stated nor measurable"):
        _ = History(series_of(({"a": "1"}, [0], [1])), unstated).scrape_interval_ms


def test_the_html_is_escaped(history):
    shown = history._repr_html_()
    assert "partial &lt;b&gt;data&lt;/b&gt;" in shown
    assert "<b>" not in shown
    assert "2026-01-01T00:00:00Z" in shown
    assert ", 0 gaps, " in repr(history)


UTC_INDEX = pd.to_datetime([START, START + 15_000, START + 30_000], unit="ms", utc=True)
BACK = ("02:50:00", "02:00:00", "02:10:00")


def test_a_frame_becomes_a_history():
    frame = pd.DataFrame({'lag{topic="it\'s \\n"}': [1, 2, 3], "up": [1.0, np.nan, np.inf]}, index=UTC_INDEX)
    history = History.from_frame(frame)
    assert history.scrape_interval_ms == 15_000
    assert history.interval.end_ms == START + 30_001
    assert_same(
        history.series,
        series_of(
            ({"__name__": "lag", "topic": "it's \n"}, START + np.arange(3) * 15_000, [1, 2, 3]),
            ({"__name__": "up"}, [START, START + 30_000], [1, np.inf]),
        ),
    )
    assert History.from_frame(frame, scrape_interval="1m").scrape_interval_ms == 60_000
    pd.testing.assert_frame_equal(
        history.to_frame().sort_index(axis=1),
        frame.astype(float).sort_index(axis=1),
        check_index_type=False,
        check_freq=False,
    )


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York"])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_other_zones_and_units_mean_the_same_instants(zone, unit):
    frame = pd.DataFrame({"up": [1.0, 2, 3]}, index=UTC_INDEX.tz_convert(zone).as_unit(unit))
    assert History.from_frame(frame).series.times.tolist() == [START, START + 15_000, START + 30_000]


def test_columns_may_be_labels_or_levels():
    columns = pd.MultiIndex.from_tuples([("lag", "a"), ("lag", None)], names=["__name__", "topic"])
    levels = History.from_frame(pd.DataFrame([[1.0, 2.0]] * 3, index=UTC_INDEX, columns=columns))
    assert [str(labels) for labels in levels.series.labels] == ["lag", 'lag{topic="a"}']
    labels = Labels({"__name__": "lag", "topic": "a"})
    assert History.from_frame(pd.DataFrame({labels: [1.0] * 3}, index=UTC_INDEX)).series.labels == (labels,)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"up": [1.0] * 3}, index=UTC_INDEX.tz_localize(None)), "has no time zone"),
        (pd.DataFrame({"up": [1.0] * 3}, index=UTC_INDEX[[0, 2, 1]]), r"goes back to 2026-01-01T00:00:15Z at row 2"),
        (pd.DataFrame({"up": [1.0] * 3}, index=UTC_INDEX[[0, 1, 1]]), r"repeats 2026-01-01T00:00:15Z at row 2"),
        (
            pd.DataFrame({"up": [1.0] * 3}, index=pd.to_datetime([f"2026-10-25T{at}Z" for at in BACK])),
            r"local times, read as UTC\n .*tz_localize\(None\)\.tz_localize\('Europe/Berlin', ambiguous='infer'\)",
        ),
        (pd.DataFrame({"up": [1.0] * 3}), "the index holds int64, not times"),
        (pd.DataFrame({"up": [1.0] * 3}, index=UTC_INDEX + pd.Timedelta("1us")), "finer than a millisecond"),
        (pd.DataFrame({"up": [1.0]}, index=pd.DatetimeIndex([pd.NaT], tz="UTC")), "missing times"),
        (pd.DataFrame(index=UTC_INDEX), "empty"),
        (pd.DataFrame({"consumer lag": [1.0] * 3}, index=UTC_INDEX), "column 'consumer lag' names no series"),
        (pd.DataFrame({7: [1.0] * 3}, index=UTC_INDEX), "column 7 names no series"),
        (pd.DataFrame({"up": ["a", "b", "c"]}, index=UTC_INDEX), "column 'up' is not numeric"),
        (pd.DataFrame([[1.0, 2.0]] * 3, index=UTC_INDEX, columns=["up", "up"]), "two series share the labels up"),
    ],
)
def test_a_frame_that_cannot_be_read_says_why(frame, message):
    with pytest.raises(InputError, match=message) as caught:
        History.from_frame(frame)
    assert caught.value.cure


def test_eleven_million_counter_samples_stay_small(tmp_path):
    # A tenth of the shipped demo's size: counters that grow by about ten bits of noise a sample.
    rng = np.random.default_rng(7)
    times = START + np.arange(100_000) * 15_000
    counters = [({"i": str(i)}, times, np.cumsum(rng.poisson(3000, 100_000))) for i in range(11)]
    History(series_of(*counters), WHERE).save(tmp_path / "h")
    size = sum(file.stat().st_size for file in (tmp_path / "h").iterdir())
    assert size < 2_000_000


def test_the_manifest_is_plain_json(tmp_path, history):
    history.save(tmp_path / "h")
    manifest = json.loads((tmp_path / "h" / "manifest.json").read_text())
    assert manifest["provenance"]["queries"] == ["lag", 'up{job="kafka"}']
    (part,) = manifest["parts"]
    assert part["series"][1] == {"labels": {"__name__": "up"}, "rows": 3}
    assert re.fullmatch("[0-9a-f]{64}", part["sha256"])
    assert (part["start_ms"], part["end_ms"]) == (START, START + 900_001)
