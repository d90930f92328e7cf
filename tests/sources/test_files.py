import csv
import itertools
import json
import subprocess
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kmon_analysis.errors import DataFileError, HistoryError, SettingError
from kmon_analysis.history import History
from kmon_analysis.labels import Labels
from kmon_analysis.sources.files import open_history, read_api_json, read_csv, read_openmetrics
from tests.prometheus_server import running_prometheus
from tests.sources.fault_server import matrix
from tests.tools import require

START = 1_767_225_600_000


def content(history):
    return {
        str(part.labels): list(zip(part.times.tolist(), map(str, part.values.tolist()), strict=True))
        for part in history.series
    }


@pytest.fixture
def write(tmp_path):
    def writer(text, name="data.csv"):
        file = tmp_path / name
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    return writer


def faults(read, file, **more):
    with pytest.raises(DataFileError) as caught:
        read(file, **more)
    assert all(finding.file == str(file) for finding in caught.value.findings)
    return [(finding.line, finding.problem) for finding in caught.value.findings]


# --- CSV ---------------------------------------------------------------------------------------------------------


def test_a_wide_file(write):
    file = write(
        'Time,"lag{topic=""orders""}",up\n'
        "2026-01-01T00:00:00Z,1,NaN\n"
        "2026-01-01T01:00:15+01:00,,+Inf\n"
        "\n"
        "2026-01-01 00:00:30.5Z,3.5,null\n"
    )
    history = read_csv(file, scrape_interval="15s")
    assert content(history) == {
        'lag{topic="orders"}': [(START, "1.0"), (START + 30_500, "3.5")],
        "up": [(START, "nan"), (START + 15_000, "inf")],
    }
    assert (history.provenance.source, history.scrape_interval_ms) == ("file data.csv", 15_000)
    assert history.interval.end_ms == START + 30_501


def test_a_long_file(write):
    file = write(
        "metric,topic,group,timestamp,value\n"
        "lag,orders,a,1767225600,1\n"
        "lag,orders,b,1767225600,2\n"
        "lag,orders,a,1767225615.25,3\n"
        "up,,,1767225600,1\n"
    )
    assert content(read_csv(file)) == {
        'lag{group="a", topic="orders"}': [(START, "1.0"), (START + 15_250, "3.0")],
        'lag{group="b", topic="orders"}': [(START, "2.0")],
        "up": [(START, "1.0")],
    }


def test_a_long_file_with_series(write):
    file = write('ts,series,value\n1767225600000,"lag{topic=""it\'s""}",1\n1767225600001,up,2\n')
    assert content(read_csv(file)) == {'lag{topic="it\'s"}': [(START, "1.0")], "up": [(START + 1, "2.0")]}


def test_two_columns_are_wide_even_when_one_is_called_value(write):
    assert content(read_csv(write("time,value\n1767225600,7\n"))) == {"value": [(START, "7.0")]}


def test_what_pandas_writes_is_read_back(write, tmp_path):
    index = pd.date_range("2026-01-01", periods=4, freq="15s", tz="UTC", name="time")
    frame = pd.DataFrame({'lag{a="b,c"}': [1, np.nan, 3.25, 4], "up": [0.1, 0.2, 1e300, -5e-324]}, index=index)
    frame.to_csv(tmp_path / "p.csv")
    assert read_csv(tmp_path / "p.csv").digest == History.from_frame(frame).digest


def test_a_byte_order_mark_and_crlf_are_no_harm(write):
    assert content(read_csv(write(b"\xef\xbb\xbftime,up\r\n1767225600,1\r\n"))) == {"up": [(START, "1.0")]}


def test_all_faults_of_a_csv_are_named_with_their_lines(write):
    file = write(
        "time,up,consumer lag\n"  # 1
        "2026-01-01T00:00:00,1,1\n"  # 2: no zone
        "2026-01-01T00:00:30Z,one,1\n"  # 3: not a number
        "2026-01-01T00:00:15Z,1,1\n"  # 4: goes back
        "2026-01-01T00:00:30Z,1,1\n"  # 5: repeats
        "yesterday,1,1\n"  # 6: no instant
        "2026-01-01T00:01:00Z,1\n"  # 7: short
        "1234,1,1\n"  # 8: unit
    )
    assert faults(read_csv, file) == [
        (1, "'consumer lag' names no series: 'consumer lag' is not a series"),
        (2, "'2026-01-01T00:00:00' has no time zone"),
        (3, "'one' of up is not a number"),
        (4, "the time goes back to 2026-01-01T00:00:15Z"),
        (5, "the time repeats 2026-01-01T00:00:30Z"),
        (6, "'yesterday' is no time"),
        (7, "2 fields instead of 3"),
        (8, "'1234' is no time: as a number its unit is not clear"),
    ]


def test_a_long_file_names_the_series_that_goes_back(write):
    file = write("time,metric,value\n1767225600,up,1\n1767225600,lag,1\n1767225600,up,1\n1767225500,lag,1\n")
    assert faults(read_csv, file) == [
        (4, "up repeats 2026-01-01T00:00:00Z"),
        (5, "lag goes back to 2025-12-31T23:58:20Z"),
    ]


def test_the_unit_may_be_stated(write):
    file = write("time,up\n1234,1\n")
    assert content(read_csv(file, unit="s")) == {"up": [(1_234_000, "1.0")]}
    assert content(read_csv(file, unit="ms")) == {"up": [(1_234, "1.0")]}
    assert faults(read_csv, write("time,up\n99999999999999999999,1\n"), unit="s") == [
        (2, "'99999999999999999999' is no time: it is out of range")
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [(1, "the header has fewer than two columns")]),
        ("time,up\n", [(None, "there are no samples")]),
        ("time,up\n1767225600,\n", [(None, "there are no samples")]),
        ("time,up,up\n1767225600,1,1\n", [(1, "two columns are called 'up'")]),
        ("time,up,up{}\n1767225600,1,\n", [(1, "two columns are the series up")]),
        ('time,up\n1767225600,"1\n', [(2, "not CSV: unexpected end of data")]),
        (b"time,up\n1767225600,\xff\n", [(2, "not UTF-8 text: invalid start byte")]),
        ("time,up\n1767225600,1_000\n", [(2, "'1_000' of up is not a number")]),
        ("time,series,value\n1767225600,a b,1\n", [(2, "'a b' names no series: 'a b' is not a series")]),
    ],
)
def test_other_faults_of_a_csv(write, text, expected):
    assert faults(read_csv, write(text)) == expected


def test_many_faults_are_counted(write):
    file = write("time,up\n" + "x,1\n" * 1_080 + "".join(f"2026-03-01T08:00:{n:02}Z,y\n" for n in range(7)))
    assert faults(read_csv, file) == [
        (2, "'x' is no time; so it is with 1,079 more, the last on line 1,081"),
        *[(line, "'y' of up is not a number") for line in range(1_082, 1_087)],
        (None, "… and 2 more faults"),
    ]


def one_fault(file, **more):
    with pytest.raises(DataFileError) as caught:
        read_csv(file, **more)
    [finding] = caught.value.findings
    return finding.line, finding.problem, finding.cure


LOCAL = 'Time,orders,"{topic=""users""}"\r\n2026-03-01 00:00:00,1.5,\r\n2026-03-01 00:01:00,,2\r\n\r\n'


def test_what_a_dashboard_exports_in_local_time(write):
    columns = {'lag{topic="orders"}': "orders", 'lag{topic="users"}': '{topic="users"}'}
    for text in (LOCAL, "sep=,\r\n" + LOCAL, "\ufeffsep=,\r\n" + LOCAL):
        history = read_csv(write(text), zone="Europe/Berlin", columns=columns)
        assert content(history) == {
            'lag{topic="orders"}': [(1_772_319_600_000, "1.5")],
            'lag{topic="users"}': [(1_772_319_660_000, "2.0")],
        }
    assert open_history(write(LOCAL), zone="Europe/Berlin", columns=columns).digest == history.digest
    file = write(LOCAL)
    assert one_fault(file) == (
        2,
        "'2026-03-01 00:00:00' has no time zone; so it is with 1 more, the last on line 3",
        f"Say which one its times are in: kmon import {file} --zone Europe/Berlin -o history "
        "(in Python: zone='Europe/Berlin')",
    )


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_every_unit_since_1970(write, unit):
    zeros = {"s": "", "ms": "000", "us": "000000", "ns": "000000000"}[unit]
    text = f"time,up\n1767225600{zeros},1\n1767225615{zeros},2\n"
    assert content(read_csv(write(text))) == {"up": [(START, "1.0"), (START + 15_000, "2.0")]}
    assert read_csv(write(text), unit=unit).digest == read_csv(write(text)).digest


def test_samples_too_thin_for_rules_are_warned_of(write):
    def told(step):
        rows = "".join(f"{1_767_225_600 + step * n},1\n" for n in range(4))
        return read_csv(write(f"time,up\n{rows}")).provenance.warnings

    [warning] = told(301)
    assert "5 min 1 s apart" in warning
    assert told(300) == ()
    assert read_csv(write("time,up,down\n1767225600,1,\n1767229200,,1\n")).provenance.warnings == ()


def test_semicolons_and_decimal_commas(write):
    text = 'Zeit;lag{topic="a",group="b"};up\n01.03.2026 09:00;1,25;0\n01.03.2026 09:01;-1,5e3;\n'
    form = {"zone": "Europe/Berlin", "time_format": "%d.%m.%Y %H:%M"}
    found = content(read_csv(write(text), decimal_comma=True, **form))
    assert found == {
        'lag{group="b", topic="a"}': [(1_772_352_000_000, "1.25"), (1_772_352_060_000, "-1500.0")],
        "up": [(1_772_352_000_000, "0.0")],
    }
    assert content(read_csv(write(text.replace(";", "\t")), decimal_comma=True, **form)) == found
    with pytest.raises(DataFileError) as caught:
        read_csv(write(text), **form)
    assert [finding.line for finding in caught.value.findings] == [2, 3]
    assert "--decimal-comma" in caught.value.findings[0].cure
    line, problem, cure = one_fault(write(text), decimal_comma=True)
    assert (line, "which part is the day" in problem, "last on line 3" in problem) == (2, True, True)
    assert "--time-format" in cure


@pytest.mark.parametrize("text", ["1.234", "1.234,5", "1,234,5", ",", "1,2.3"])
def test_what_may_be_thousands_is_no_number(write, text):
    assert "is not a number" in one_fault(write(f"time;up\n1767225600;{text}\n"), decimal_comma=True)[1]
    if "," in text:
        assert "is not a number" in one_fault(write(f"time;up\n1767225600;{text}\n"))[1]


def test_numbers_with_units_name_the_cure(write):
    for text in ("1.23 K", "12 ms", "5%", "1.2 Mil"):
        assert "Formatted data" in one_fault(write(f"time,up\n1767225600,{text}\n"))[2]


def test_hours_that_clocks_showed_twice_or_never(write):
    # An hour that is there once only may be the one before the clocks were set back, or the one after.
    text = "time,up\n" + "".join(f"2026-10-25 02:{minute:02}:00,1\n" for minute in range(0, 60, 10))
    line, problem, cure = one_fault(write(text), zone="Europe/Berlin")
    assert (line, problem) == (
        2,
        "the clocks of Europe/Berlin showed '2026-10-25 02:00:00' twice; so it is with 5 more, the last on line 7",
    )
    assert "in UTC" in cure
    line, problem, _ = one_fault(write("time,up\n2026-03-29 02:30:00,1\n"), zone="Europe/Berlin")
    assert (line, problem) == (2, "the clocks of Europe/Berlin showed '2026-03-29 02:30:00' never")
    # Written with their offsets, these hours are as clear as the others.
    mended = "time,up\n2026-10-25 01:30:00,1\n2026-10-25 02:30:00+02:00,2\n2026-10-25 02:30:00+01:00,3\n"
    first = 1_792_884_600_000
    assert content(read_csv(write(mended), zone="Europe/Berlin")) == {
        "up": [(first, "1.0"), (first + 3_600_000, "2.0"), (first + 7_200_000, "3.0")]
    }


@pytest.mark.parametrize(
    ("second", "problem"),
    [
        ("1767225660", "the time '1767225660' is written in another way than '2026-01-01T00:00:00Z' on line 2"),
        ("1767225660000", "the time '1767225660000' is written in another way"),
        ("2026-01-01T00:00:00Z", "the time repeats 2026-01-01T00:00:00Z"),
        ("2025-12-31T23:59:00Z", "the time goes back to 2025-12-31T23:59:00Z"),
    ],
)
def test_a_fault_of_the_whole_column_is_told_once(write, second, problem):
    file = write("time,up\n2026-01-01T00:00:00Z,1\n" + f"{second},2\n" * 3)
    line, found, _ = one_fault(file)
    assert line == 3
    assert found.startswith(problem)
    assert found.endswith("; so it is with 2 more, the last on line 5")


def test_units_are_not_mixed(write):
    assert "another way" in one_fault(write("time,up\n1767225600,1\n1767225601000,2\n"))[1]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"zone": "Europe/Berln"}, "no time zone 'Europe/Berln'"),
        ({"time_format": "%d.%m. %H:%M"}, "names no year"),
        ({"unit": "d"}, "'d' is no unit"),
        ({"unit": "s", "time_format": "%Y"}, "exclude each other"),
    ],
)
def test_options_that_make_no_sense(write, options, problem):
    with pytest.raises(SettingError, match=problem):
        read_csv(write("time,up\n1767225600,1\n"), **options)


def test_a_column_that_is_not_there(write):
    line, problem, cure = one_fault(write("time,orders\n1767225600,1\n"), columns={"lag": "ordres"})
    assert (line, problem, "orders" in cure) == (1, "no column is called 'ordres'", True)


def test_options_of_a_table_are_for_tables(write, tmp_path):
    for place in (tmp_path, write("up 1 1767225600\n# EOF\n", "x.om"), write("{}", "x.json")):
        with pytest.raises(SettingError, match="zone is about CSV"):
            open_history(place, zone="UTC")


@given(st.text(alphabet='time,;\t"a=\n', max_size=60))
@settings(deadline=None, max_examples=60)
def test_any_header_ends(tmp_path_factory, text):
    file = tmp_path_factory.mktemp("files") / "x.csv"
    file.write_text(text + '"' * 60)
    with pytest.raises(DataFileError):
        read_csv(file)


@given(
    st.lists(st.datetimes(datetime(1980, 1, 1), datetime(2060, 1, 1)), min_size=1, max_size=8),  # noqa: DTZ001
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]),
    st.sampled_from(["%Y-%m-%d %H:%M:%S", "%d.%m.%Y %H:%M:%S", "%m/%d/%y %I:%M:%S %p"]),
)
@settings(deadline=None, max_examples=60)
def test_local_times_are_what_pandas_makes_of_them(tmp_path_factory, moments, zone, written):
    index = pd.DatetimeIndex(sorted({moment.replace(microsecond=0) for moment in moments}))
    local = index.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
    file = tmp_path_factory.mktemp("files") / "x.csv"
    file.write_text("t,up\n" + "".join(f"{moment.strftime(written)},1\n" for moment in index))
    form = None if written.startswith("%Y") else written
    if local.hasnans:
        # Distinct in order, none of them goes back.
        with pytest.raises(DataFileError, match=r"twice|never"):
            read_csv(file, zone=zone, time_format=form)
        return
    # They go back only in the hour that is shown twice, which is refused.
    assert local.is_monotonic_increasing
    [part] = read_csv(file, zone=zone, time_format=form).series
    assert part.times.tolist() == [round(moment.timestamp() * 1000) for moment in local]


def test_beside_a_format_a_time_that_the_clocks_showed_twice_is_read_with_its_offset(tmp_path):
    file, how = tmp_path / "x.csv", {"zone": "Europe/Berlin", "time_format": "%d.%m.%Y %H:%M"}
    file.write_text("t,up\n25.10.2026 01:30,1\n25.10.2026 02:30,1\n25.10.2026 03:30,1\n")
    with pytest.raises(DataFileError, match="twice") as caught:
        read_csv(file, **how)
    assert "this one as 2026-10-25T02:30:00+02:00 or 2026-10-25T02:30:00+01:00" in str(caught.value)
    file.write_text(file.read_text().replace("25.10.2026 02:30", "2026-10-25T02:30:00+01:00"))
    [part] = read_csv(file, **how).series
    assert np.diff(part.times).tolist() == [2 * 3_600_000, 3_600_000]


AUTUMN = pd.date_range("2026-10-24 22:00", "2026-10-25 04:00", freq="7min", tz="Europe/Berlin")


def local_rows(index, written="%Y-%m-%d %H:%M:%S", fields=("1",)):
    return [",".join((moment.strftime(written), *fields)) for moment in index]


@pytest.mark.parametrize("written", ["%Y-%m-%d %H:%M", "%d.%m.%Y %H:%M", "%m/%d/%Y, %I:%M %p"])
def test_rows_in_order_tell_which_of_two_hours_they_are_of(write, written):
    """As pandas infers it: a wide table, a long one sorted by time, and a long one sorted by series."""
    wanted = [round(moment.timestamp() * 1000) for moment in AUTUMN]
    wide = "\n".join(["time,up", *(row.replace(", ", " ", 1) for row in local_rows(AUTUMN, written))])
    [part] = read_csv(write(wide), zone="Europe/Berlin").series
    assert part.times.tolist() == wanted
    both = [[f'"{moment.strftime(written)}",up,{job},1' for moment in AUTUMN] for job in "ab"]
    for rows in (both[0] + both[1], [row for pair in zip(*both, strict=True) for row in pair]):
        found = read_csv(write("\n".join(["time,metric,job,value", *rows])), zone="Europe/Berlin").series
        assert [each.times.tolist() for each in found] == [wanted, wanted]


def test_local_times_that_were_read_as_utc_are_told_as_such(write):
    naive = local_rows(AUTUMN)
    marked = [row.replace(",", "Z,") for row in naive]
    first = next(line for line, (a, b) in enumerate(itertools.pairwise(naive), 3) if b <= a)
    for rows, more in ((naive, {"zone": "UTC"}), (marked, {})):
        line, problem, cure = one_fault(write("\n".join(["time,up", *rows])), **more)
        assert (line, "goes back" in problem) == (first, False)
        assert "the times go back once, to 2026-10-25T02:" in problem
        assert "local times, read as UTC" in problem
        assert "--zone Europe/Berlin -o history (in Python: zone='Europe/Berlin')" in cure
        assert cure.startswith("Say so") == bool(more)
    text = "\n".join(["time,series,value", *(f"{row.split(',')[0]},{name},1" for name in "ab" for row in naive)])
    line, problem, _ = one_fault(write(text), zone="UTC")
    assert (line, "the times go back once" in problem) == (first, True)
    # New York's clocks go back a week later and an hour earlier.
    york = pd.date_range("2026-10-31 22:00", "2026-11-01 04:00", freq="5min", tz="America/New_York")
    assert "--zone America/" in one_fault(write("\n".join(["t,up", *local_rows(york)])), zone="UTC")[2]
    # Going back at another time, or twice, is just a want of order.
    other = local_rows(AUTUMN - pd.Timedelta(days=3))
    for rows in (other[:9] + other[5:], naive + naive[:5]):
        with pytest.raises(DataFileError, match="the time goes back to"):
            read_csv(write("\n".join(["time,up", *rows])), zone="UTC")


def test_one_row_tells_which_part_of_all_dates_is_the_day(write):
    days = pd.date_range("2026-03-01", "2026-03-20", freq="2min", tz="UTC")
    for written in ("%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M"):
        text = "\n".join(["time,up", *local_rows(days, written)])
        [part] = read_csv(write(text), zone="UTC").series
        assert part.times.tolist() == [round(moment.timestamp() * 1000) for moment in days]
        line, problem, cure = one_fault(write("\n".join(["time,up", *local_rows(days[:1600], written)])), zone="UTC")
        assert line == 2
        assert "neither it nor another time tells which part is the day; so it is with" in problem
        assert '--time-format "%d/%m/%Y %H:%M" where the day comes first, "%m/%d/%Y %H:%M" where' in cure
    mixed = ["time,up", "13/03/2026 08:00,1", "03/14/2026 08:00,1", "03/04/2026 08:00,1"]
    assert "'13/03/2026 08:00' begins with the day, '03/14/2026 08:00' with the month" in str(
        one_fault(write("\n".join(mixed)), zone="UTC")
    )


@pytest.mark.parametrize("read", [read_csv, read_api_json, read_openmetrics])
def test_a_missing_file(read, tmp_path):
    assert faults(read, tmp_path / "absent") == [(None, "cannot be read: No such file or directory")]


finite_or_not = st.floats(allow_nan=False)


@given(
    st.dictionaries(
        st.sampled_from(["up", 'lag{topic="a"}', 'lag{topic="b, \\"c\\""}']),
        st.dictionaries(st.integers(10**11, 10**13), finite_or_not, min_size=1, max_size=6),
        min_size=1,
    ),
    st.sampled_from(["s", "ms", "rfc3339"]),
)
@settings(deadline=None, max_examples=60)
def test_long_wide_and_openmetrics_files_mean_the_same(tmp_path_factory, table, notation):
    folder = tmp_path_factory.mktemp("files")

    def shown(ms):
        if notation == "ms":
            return str(ms)
        if notation == "s":
            return f"{ms // 1000}.{ms % 1000:03d}"
        moment = datetime.fromtimestamp(ms // 1000, UTC)
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"

    def quoted(text):
        return '"' + text.replace('"', '""') + '"'

    instants = sorted({ms for samples in table.values() for ms in samples})
    wide = [",".join(["time", *map(quoted, table)])] + [
        ",".join([shown(ms), *(repr(samples[ms]) if ms in samples else "" for samples in table.values())])
        for ms in instants
    ]
    long = ["time,series,value"] + [
        f"{shown(ms)},{quoted(name)},{samples[ms]!r}" for name, samples in table.items() for ms in sorted(samples)
    ]
    text = [
        f"{name} {samples[ms]!r} {ms // 1000}.{ms % 1000:03d}"
        for name, samples in table.items()
        for ms in sorted(samples)
    ]
    (folder / "wide.csv").write_text("\n".join(wide))
    (folder / "long.csv").write_text("\n".join(long))
    (folder / "om.txt").write_text("\n".join([*text, "# EOF\n"]))
    unit = None if notation == "rfc3339" else notation
    digests = {
        read_csv(folder / "wide.csv", unit=unit).digest,
        read_csv(folder / "long.csv", unit=unit).digest,
        read_openmetrics(folder / "om.txt").digest,
    }
    assert len(digests) == 1


# --- saved answers -------------------------------------------------------------------------------------------------


def test_a_saved_answer(write):
    samples = [(START, "1"), (START + 15_500, "NaN"), (START + 30_000, "+Inf"), (START + 45_000, "-Inf")]
    file = write(json.dumps(matrix([({"__name__": "up"}, samples)], warnings=["partial"])), "answer.json")
    history = read_api_json(file)
    assert content(history) == {
        "up": [(START, "1.0"), (START + 15_500, "nan"), (START + 30_000, "inf"), (START + 45_000, "-inf")]
    }
    assert (history.provenance.warnings, history.provenance.source) == (("partial",), "file answer.json")


def test_faults_of_saved_answers(write):
    body = json.dumps(matrix([({"__name__": "up"}, [(START, "1"), (START, "2")]), ({"__name__": "up"}, [(1, "1")])]))
    assert faults(read_api_json, write(body)) == [
        (None, "up repeats or goes back to 2026-01-01T00:00:00Z"),
        (None, "two series share the labels up"),
    ]
    ((_, problem),) = faults(read_api_json, write(body[:-20]))
    assert problem.startswith("not a whole answer of the query API: Expecting")
    ((line, problem),) = faults(read_api_json, write('{"status":"success",\n"data"'))
    assert line == 2
    error = {"status": "error", "errorType": "bad_data", "error": "parse\x1b error"}
    assert faults(read_api_json, write(json.dumps(error)))[0] == (None, "an error answer (bad_data: parse\\x1b error)")
    vector = {"status": "success", "data": {"resultType": "vector", "result": []}}
    assert faults(read_api_json, write(json.dumps(vector)))[0] == (None, "a vector, not a matrix")
    assert faults(read_api_json, write(json.dumps(matrix([])))) == [(None, "there are no samples")]


# --- OpenMetrics ---------------------------------------------------------------------------------------------------

EXPOSITION = r"""# HELP lag How far behind.
# TYPE lag gauge
lag{topic="a\"b\\c\nd}#, e",} 12 1767225600
lag{topic="a\"b\\c\nd}#, e",} 1e3 1767225615.25
lag 5 1767225600 # {trace_id="x y"} 0.5 1767225600
# TYPE up counter
up_total{}	NaN	1767225600.000 # {} 1
{"my.metric",region="eu"} -Inf 1767225600
# EOF
"""


def test_openmetrics_text(write):
    history = read_openmetrics(write(EXPOSITION, "m.txt"))
    assert {part.labels: part.times.tolist() for part in history.series} == {
        Labels({"__name__": "lag", "topic": 'a"b\\c\nd}#, e'}): [START, START + 15_250],
        Labels({"__name__": "lag"}): [START],
        Labels({"__name__": "up_total"}): [START],
        Labels({"__name__": "my.metric", "region": "eu"}): [START],
    }
    assert history.series[1].values.tolist() == [12.0, 1000.0]


def test_faults_of_openmetrics_text(write):
    file = write(
        "lag 1\n"
        "lag 1 1767225600000\n"
        "lag one 1767225600\n"
        'lag{topic="a} 1 1767225600\n'
        'lag{topic="a",topic="b"} 1 1767225600\n'
        "up 1 1767225600\n"
        "up 1 1767225600\n"
        "up 1 1767225500\n"
        "lag{a=b} 1 1767225600\n"
        "up 1 NaN\n"
    )
    assert faults(read_openmetrics, file) == [
        (1, "'lag 1' has no timestamp"),
        (2, "the time 1767225600000 lies after the year 5000"),
        (3, "'one' is not a number"),
        (4, "not a sample: 'lag{topic=\"a} 1 1767225600'"),
        (5, 'lag{topic="a",topic="b"} is not a series'),
        (7, "up repeats 2026-01-01T00:00:00Z"),
        (8, "up goes back to 2025-12-31T23:58:20Z"),
        (9, "lag{a=b} is not a series"),
        (10, "'NaN' is not a number"),
        (10, "the last line is not # EOF: the file is cut"),
    ]
    assert faults(read_openmetrics, write("up 1 1\n# EOF\nup 1 2\n")) == [(3, "text after # EOF")]
    assert faults(read_openmetrics, write("")) == [(None, "the last line is not # EOF: the file is cut")]
    assert faults(read_openmetrics, write(b"up 1 1\n# \xff\n# EOF\n"))[0] == (2, "not UTF-8 text: invalid start byte")


def test_we_read_what_promtool_dumps_and_loads(tmp_path):
    promtool = require("promtool")
    (tmp_path / "in.txt").write_text('lag{topic="a"} 1.5 1767225600\nlag{topic="a"} +Inf 1767225615\n# EOF\n')
    subprocess.run(
        [promtool, "tsdb", "create-blocks-from", "openmetrics", tmp_path / "in.txt", tmp_path / "data"],
        check=True,
        capture_output=True,
    )
    ours = read_openmetrics(tmp_path / "in.txt")
    with running_prometheus(tmp_path / "data") as server:
        url = f"{server.url}/api/v1/query?query=lag[1h]&time={START // 1000 + 60}"
        saved = subprocess.run([require("curl"), "-sg", url], check=True, capture_output=True).stdout
    (tmp_path / "answer.json").write_bytes(saved)
    assert read_api_json(tmp_path / "answer.json").digest == ours.digest


def test_a_setting_that_makes_no_sense(write):
    with pytest.raises(SettingError):
        read_csv(write("time,up\n1767225600,1\n"), scrape_interval="often")


LEGENDS = "Time,pay / orders,pay / users,total\n1767225600,1,2,3\n"


def test_columns_by_the_legend_of_a_panel(write):
    by_legend = {'lag{group="{{g}}",topic="{{ t }}"}': "{{g}} / {{t}}", "all": "total"}
    at = [(START, "1.0")], [(START, "2.0")], [(START, "3.0")]
    assert content(read_csv(write(LEGENDS), columns=by_legend)) == {
        'lag{group="pay", topic="orders"}': at[0],
        'lag{group="pay", topic="users"}': at[1],
        "all": at[2],
    }
    # A legend of nothing but a hole means all columns but the times, wherever those stand.
    found = read_csv(write("a,b,Time\n1,2,1767225600\n"), columns={'lag{topic="{{t}}"}': "{{t}}"})
    assert content(found) == {'lag{topic="a"}': at[0], 'lag{topic="b"}': at[1]}
    # A column that is called with braces is no legend.
    assert content(read_csv(write("t,{{a}}\n1767225600,1\n"), columns={"lag": "{{a}}"})) == {"lag": at[0]}


def test_a_text_that_is_repeated_in_a_legend_is_the_same(write):
    text = "t,a-a,a-b,a-b-a\n1767225600,1,2,3\n"
    named = {'lag{topic="{{t}}"}': "{{t}}-{{t}}", "other": "a-b", "third": "a-b-a"}
    assert set(content(read_csv(write(text), columns=named))) == {'lag{topic="a"}', "other", "third"}


@given(st.text(min_size=1, max_size=12).filter(lambda text: text == text.strip() and text.isprintable()))
@settings(deadline=None, max_examples=60)
def test_any_text_goes_through_a_legend(tmp_path_factory, text):
    file = tmp_path_factory.mktemp("files") / "x.csv"
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([["t", f"lag of {text}"], ["1767225600", "1"]])
    history = read_csv(file, columns={'lag{topic="{{t}}"}': "lag of {{t}}"})
    assert [dict(labels) for labels in history.series.labels] == [{"__name__": "lag", "topic": text}]


@pytest.mark.parametrize(
    ("header", "columns", "problem"),
    [
        ("a,b", {'lag{t="{{t}}"}': "x {{t}}"}, "no column fits the legend 'x {{t}}'"),
        ("a,b", {'lag{t="{{u}}"}': "{{t}}"}, "{{u}} of 'lag{t=\"{{u}}\"}' is not in the legend '{{t}}'"),
        ("a,b", {'lag{t="{{t}}"': "{{t}}"}, "names no series"),
        ("a/b/c", {'lag{t="{{t}}",u="{{u}}"}': "{{t}}/{{u}}"}, "'a/b/c' fits the legend '{{t}}/{{u}}' in two ways"),
        ("a b", {'x{t="{{t}}"}': "{{t}} b", 'y{t="{{t}}"}': "a {{t}}"}, "'a b' fits two legends"),
        ("a,A ", {'lag{t="x"}': "a", 'lag{u="{{t}}"}': "b{{t}}"}, "no column fits"),
    ],
)
def test_legends_that_do_not_say_which(write, header, columns, problem):
    text = f"t,{header}\n1767225600{',1' * (header.count(',') + 1)}\n"
    with pytest.raises(DataFileError) as caught:
        read_csv(write(text), columns=columns)
    first = caught.value.findings[0]
    assert first.line == 1
    assert problem in first.problem


def test_columns_that_are_no_series_are_told_at_once(write):
    line, problem, cure = one_fault(write("t,pay / orders\n1767225600,1\n"))
    assert (line, "neither" in problem, "legend" in cure) == (1, False, False)
    assert "--column 'lag{topic=\"orders\"}=pay / orders'" in cure
    assert "; neither does 'pay / users'" in one_fault(write("t,pay / orders,pay / users\n1767225600,1,2\n"))[1]
    _, problem, cure = one_fault(write("t,pay / orders,pay / users,all / x\n1767225600,1,2,3\n"))
    assert "; neither do 2 more columns" in problem
    assert "--column 'lag{topic=\"{{topic}}\"}={{topic}}'" in cure


def test_several_tables_become_one_history(write):
    lag = write("Time,orders,users\n2026-01-01 01:00,1,2\n2026-01-01 01:01,1,\n", "lag.csv")
    rate = write("Time,orders in\n2026-01-01 01:00,7\n2026-01-01 01:01,8\n", "rate.csv")
    later = write("Time,orders\n2026-01-01 01:01,1\n2026-01-01 01:02,3\n", "later.csv")
    columns = {'lag{t="{{t}}"}': "{{t}}", 'rate{t="orders"}': "orders in"}
    history = open_history(rate, later, lag, zone="Europe/Berlin", columns=columns)
    step = 60_000
    assert content(history) == {
        'lag{t="orders"}': [(START, "1.0"), (START + step, "1.0"), (START + 2 * step, "3.0")],
        'lag{t="users"}': [(START, "2.0")],
        'rate{t="orders"}': [(START, "7.0"), (START + step, "8.0")],
    }
    assert history.provenance.source == "file rate.csv; file later.csv; file lag.csv"
    with pytest.raises(DataFileError, match="no column is called 'nobody'"):
        open_history(rate, lag, zone="Europe/Berlin", columns=columns | {"x": "nobody"})
    with pytest.raises(SettingError, match="zone is about CSV"):
        open_history(write("up 1 1767225600\n# EOF\n", "x.om"), write("{}", "x.json"), zone="UTC")


def test_tables_that_disagree_are_refused(write):
    one = write("t,up\n1767225600,1\n1767225660,NaN\n", "one.csv")
    same = write("t,up\n1767225660,NaN\n1767225720,1\n", "same.csv")
    other = write("t,up\n1767225600,2\n", "other.csv")
    assert open_history(one, same).series.sample_count == 3
    with pytest.raises(HistoryError, match="up is 1 in one and 2 in another at 2026-01-01T00:00:00Z"):
        open_history(one, other)


def test_columns_that_nobody_named_are_left_out_when_asked(write):
    text = "Time,pay / orders,total,Total of 3,up\n1767225600,1,2,3,4\n"
    named = {'lag{topic="{{t}}"}': "pay / {{t}}", "all": "total"}
    found = content(read_csv(write(text), columns=named, only_named=True))
    assert set(found) == {'lag{topic="orders"}', "all"}
    assert "Total of 3" in one_fault(write(text), columns=named)[1]
    assert one_fault(write(text), only_named=True)[1] == "no column is named"


def test_series_without_a_name_are_told_and_get_one(write):
    text = 'Time,"{topic=""a""}","{topic=""b""}",up\n1767225600,1,2,3\n1767225660,1,2,3\n'
    [warning] = open_history(write(text)).provenance.warnings
    assert warning.startswith('{topic="a"} and 1 series more have no metric name, and no rule finds such series')
    history = open_history(write(text), metric="lag")
    assert set(content(history)) == {'lag{topic="a"}', 'lag{topic="b"}', "up"}
    assert history.provenance.warnings == ()
    body = matrix([({"topic": "a"}, [(START, "1"), (START + 60_000, "1")])])
    assert set(content(open_history(write(json.dumps(body), "x.json"), metric="lag"))) == {'lag{topic="a"}'}
    for name in ('lag{topic="a"}', "", "1x", "{}"):
        with pytest.raises(SettingError):
            open_history(write(text), metric=name)
