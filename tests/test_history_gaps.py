"""The one definition of what is missing, against walking from sample to sample, and in every place that tells of it."""

import itertools
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kmon_analysis as km
from kmon_analysis.backtest.sight import sight
from kmon_analysis.cli_doctor import examine_history
from kmon_analysis.history import History, Provenance
from kmon_analysis.history_coverage import coverage
from kmon_analysis.history_gaps import absence, silences
from kmon_analysis.history_quality import quality
from kmon_analysis.labels import Labels, parse_series
from kmon_analysis.rules.reader import parse_rules
from kmon_analysis.series import Samples, SeriesSet, stale_marker
from kmon_analysis.sources.csvfile import read_csv
from kmon_analysis.timing import DAY_MS, MINUTE_MS, Interval, duration, format_instant

START = 1_767_225_600_000
WHOLE = Interval(START, START + 600)


def walked(times, interval, otherwise):
    """Say what is missing by walking: each due time, with the gap that it is in."""
    inside = [time for time in times if time in interval]
    steps = sorted(after - before for before, after in itertools.pairwise(inside))
    step = steps[(len(steps) - 1) // 2] if len(steps) >= 2 else otherwise
    due, gaps = [], []
    if not step:
        return step, due, gaps, 0, 0
    for before, after in itertools.pairwise(inside):
        at, here = before, []
        while after - at + step // 2 >= 2 * step:
            at += step
            here.append(at)
        due += here
        if len(here) >= 2:
            gaps.append((here[0], after))
    late = inside[0] - interval.start_ms if inside and inside[0] - 2 * step >= interval.start_ms else 0
    early = interval.end_ms - inside[-1] - step if inside and inside[-1] + 2 * step < interval.end_ms else 0
    return step, due, gaps, late, early


TIMES = st.one_of(
    st.sets(st.integers(-50, 650), max_size=40).map(sorted),
    # Scrapes of a regular step, a little late now and then, some of them lost.
    st.tuples(
        st.integers(8, 30), st.integers(-30, 200), st.lists(st.sampled_from([0, 0, 0, 1, 2, None]), max_size=40)
    ).map(lambda made: [made[1] + made[0] * n + late for n, late in enumerate(made[2]) if late is not None]),
)


@given(TIMES, st.sampled_from([0, 7, 20]))
@settings(deadline=None)
def test_one_series_lacks_what_walking_finds(offsets, otherwise):
    times = np.array(offsets, dtype=np.int64) + START
    found = absence(times, WHOLE, otherwise)
    step, due, gaps, late, early = walked(times.tolist(), WHOLE, otherwise)
    assert (found.step_ms, found.missing, found.late_ms, found.early_ms) == (step, len(due), late, early)
    assert [(gap.start_ms, gap.end_ms) for gap in found.gaps()] == gaps
    assert found.longest_gap_ms == max([end - start for start, end in gaps], default=0)
    assert found.missing_in_gaps == sum(any(start <= each < end for start, end in gaps) for each in due)
    assert found.expected == sum(each in WHOLE for each in times.tolist()) + len(due)
    edges = START + np.array([0, 50, 130, 131, 400, 600])
    cells = [sum(low <= each < high for each in due) for low, high in itertools.pairwise(edges)]
    assert found.missing_in(edges).tolist() == cells


@given(st.lists(TIMES, max_size=4))
@settings(deadline=None)
def test_silence_is_where_every_series_is_away(rows):
    times = [np.array(row, dtype=np.int64) + START for row in rows]
    made = [absence(each, WHOLE, 20) for each in times]
    there = [one for one in made if one.samples]
    quiet = [all(any(ms in span for span in one.away()) for one in there) for ms in range(START, START + 600)]
    runs, begun = [], None
    for ms, silent in enumerate([*quiet, False], START):
        if silent and begun is None:
            begun = ms
        elif not silent and begun is not None:
            runs.append((begun, ms))
            begun = None
    shortest = 1.5 * min((one.step_ms for one in there), default=0)
    assert [(one.start_ms, one.end_ms) for one in silences(made, WHOLE)] == [
        (start, end) for start, end in runs if end - start >= shortest
    ]


def minutes(count, *, without=(), single=(), first=0, last=None):
    kept = list(range(first, count if last is None else last))
    kept = [n for n in kept if n not in single and not any(low <= n < high for low, high in without)]
    return START + MINUTE_MS * np.array(kept, dtype=np.int64)


def test_a_hole_of_minutes_has_one_length_everywhere(tmp_path):
    """41 empty rows, single empty cells, a late series, a series that ends: told alike in every place."""
    count = 3 * 1440
    cells = {
        "a": minutes(count, without=[(2000, 2041), (3000, 3002)], single=(70, 500, 4000)),
        "b": minutes(count, without=[(2000, 2041)], single=(71, 90)),
        "late": minutes(count, without=[(2000, 2041)], first=1500),
        "ended": minutes(count, without=[(2000, 2041)], last=4000),
    }
    names = list(cells)
    there = {name: set(times.tolist()) for name, times in cells.items()}
    rows = ["time," + ",".join(f'"lag{{group=""{name}""}}"' for name in names)]
    for n in range(count):
        at = START + n * MINUTE_MS
        rows.append(format_instant(at) + "," + ",".join("1" if at in there[name] else "" for name in names))
    table = tmp_path / "lag.csv"
    table.write_text("\n".join(rows) + "\n")
    history = read_csv(table)
    report = quality(history)
    by = {part.labels.value("group"): part for part in report.series}

    missing = {"a": 46, "b": 43, "late": 41, "ended": 41}
    assert {name: part.missing for name, part in by.items()} == missing
    assert {name: part.gaps for name, part in by.items()} == {"a": 2, "b": 1, "late": 1, "ended": 1}
    assert {part.longest_gap_ms for part in by.values()} == {41 * MINUTE_MS}
    assert by["a"].missing_ratio == 46 / count
    assert (by["late"].late_ms, by["late"].expected) == (1500 * MINUTE_MS, count - 1500)
    assert by["ended"].early_ms == pytest.approx(319 * MINUTE_MS, abs=1)

    hole = Interval(START + 2000 * MINUTE_MS, START + 2041 * MINUTE_MS)
    assert report.silences == (hole,)
    words = report.findings()
    assert (
        f"no series has samples for 41 min, from {format_instant(hole.start_ms)} to {format_instant(hole.end_ms)}"
        in words
    )
    assert '4 of 4 series have gaps, 5 in all; the longest is 41 min in lag{group="a"}' in words
    assert "171 of 15,460 samples are missing (1.11 %), 166 of them in gaps" in words
    assert "lag: 1 of 4 series begin later than the history, 1 end earlier; at most 4 on one day" in words
    assert history.gap_count == 5
    assert ", 5 gaps, the longest 41 min, " in repr(history)

    found = coverage(history)
    hours = count // 60
    assert found.share.shape == (1, hours)
    worst = np.ones(hours)
    for name in names:
        for hour in range(hours):
            due = list(range(60 * hour, 60 * hour + 60))
            due = [n for n in due if (name != "late" or n >= 1500) and (name != "ended" or n < 4000)]
            if due:
                share = sum(START + n * MINUTE_MS in there[name] for n in due) / len(due)
                worst[hour] = min(worst[hour], share)
    np.testing.assert_array_equal(found.share[0], worst)

    rules = parse_rules("groups:\n- {name: g, interval: 1m, rules: [{alert: A, expr: lag > 10, for: 5m}]}")
    result = km.backtest(rules, history, km.Incidents())
    assert sight(result)["gap_min"].tolist() == [41.0]
    [suggested] = [
        sign for each in km.suggest_incidents(history, rules) for sign in each.signs if sign.kind == "no data"
    ]
    assert suggested.interval == hole
    assert "nothing at all was recorded for 41 min" in suggested.why

    incident = km.Incident("INC-1", Interval(hole.start_ms - 30 * MINUTE_MS, hole.end_ms + 30 * MINUTE_MS))
    made = km.postmortem(km.backtest(rules, history, km.Incidents((incident,))), "INC-1")
    [limit] = [each for each in made.limits if each.code == "gaps"]
    assert {(each["start"], each["end"]) for each in limit.facts["gaps"]} == {
        (format_instant(hole.start_ms), format_instant(hole.end_ms))
    }
    assert "for 41 min from" in limit.text

    told = examine_history(history, None).data
    assert sum(row["gaps"] for row in told["series"]) == 5
    assert sum(row["missing"] for row in told["series"]) == sum(missing.values())
    assert told["findings"] == list(words)


def of(parts, length_ms, **more):
    series = [Samples(parse_series(name), times, np.ones(len(times))) for name, times in parts.items()]
    return History(SeriesSet.from_samples(series), Provenance("test", START, START + length_ms, **more))


def test_what_ends_or_begins_with_all_others_is_no_gap_but_is_said():
    held = of({"a": minutes(1440, first=30, last=1370), "b": minutes(1440, first=30, last=1370)}, DAY_MS)
    report = quality(held)
    assert ", 0 gaps, nothing in the first 30 min, nothing in the last 1 h 10 min, " in repr(held)
    assert report.findings() == (
        "no series has samples in the first 30 min, until 2026-01-01T00:30:00Z",
        "no series has samples in the last 1 h 10 min, from 2026-01-01T22:50:00Z",
    )
    assert [(part.gaps, part.missing, part.late_ms) for part in report.series] == [(0, 0, 30 * MINUTE_MS)] * 2


def test_stale_markers_are_missing_samples_and_lie_beside_the_point_otherwise():
    times = minutes(1440)
    values = np.ones(len(times))
    values[100:110] = stale_marker(10)
    held = History(
        SeriesSet.from_samples([Samples(Labels({"__name__": "a"}), times, values)]),
        Provenance("test", START, START + DAY_MS),
    )
    [part] = quality(held).series
    assert (part.gaps, part.missing, part.longest_gap_ms, held.gap_count) == (1, 10, 10 * MINUTE_MS, 1)


def test_samples_outside_the_range_are_no_part_of_it():
    """Fetches hold what expressions look back to, and fixed times far away."""
    times = np.concatenate([[START - 90 * DAY_MS], minutes(1440, first=-5)])
    [part] = quality(of({"a": times}, DAY_MS)).series
    assert (part.gaps, part.missing, part.late_ms, part.samples, part.expected) == (0, 0, 0, 1446, 1440)


def test_a_series_of_another_interval_is_judged_by_its_own():
    slow = START + 5 * MINUTE_MS * np.arange(288)
    report = quality(of({"fast": minutes(1440), "slow": slow[slow != START + 500 * MINUTE_MS]}, DAY_MS))
    assert [(part.step_ms, part.gaps, part.missing) for part in report.series] == [
        (MINUTE_MS, 0, 0),
        (5 * MINUTE_MS, 0, 1),
    ]
    assert statistics.fmean(part.missing_ratio for part in report.series) == 1 / 288 / 2


def test_lengths_are_whole_seconds_from_ten_on():
    assert (duration(9_949), duration(10_400), duration(41 * MINUTE_MS + 4)) == ("9.9 s", "10 s", "41 min")
