"""Times as other tools write them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmon_analysis.errors import SettingError
from kmon_analysis.timing import format_instant, parse_instant, zone_of
from kmon_analysis.timing_written import (
    ClockChangeError,
    NaiveTimeError,
    NotationError,
    check_time_format,
    day_comes_first,
    epoch_unit,
    read_instant,
)

MORNING = 1_772_352_000_000  # 2026-03-01T08:00:00Z
BERLIN = zone_of("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01T08:00:00Z", MORNING),
        ("2026-03-01 08:00:00 UTC", MORNING),
        ("2026-03-01T09:00:00+01:00", MORNING),
        ("2026-03-01T09:00:00+0100", MORNING),
        ("2026-03-01T00:00:00-08:00", MORNING),
        ("2026-03-01T08:00Z", MORNING),
        ("2026-03-01T08:00:00.123456Z", MORNING + 123),
        ("2026-03-01T08:00:00,5Z", MORNING + 500),
        ("1772352000", MORNING),
        ("1772352000.25", MORNING + 250),
        ("1772352000123", MORNING + 123),
        ("1772352000000.4", MORNING),
        ("1772352000,1229999", MORNING + 123),
        ("1772352000123456", MORNING + 123),
        ("1772352000123000000", MORNING + 123),
        ("  1772352000  ", MORNING),
    ],
)
def test_what_names_its_instant_is_read(text, expected):
    assert read_instant(text) == expected
    # A zone for the others changes nothing.
    assert read_instant(text, BERLIN) == expected


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("14.10.2026 10:12", "2026-10-14T10:12:00Z"),
        ("10/14/2026 10:12:05", "2026-10-14T10:12:05Z"),
        ("10/14/2026, 12:12 AM", "2026-10-14T00:12:00Z"),
        ("10-14-2026 1:12:05.250 p.m.", "2026-10-14T13:12:05.250Z"),
        ("5.5.2026 9:00", "2026-05-05T09:00:00Z"),
        ("2026/3/1 08:00", "2026-03-01T08:00:00Z"),
        ("14.10.2026 10:12+02:00", "2026-10-14T08:12:00Z"),
    ],
)
def test_dates_that_can_be_read_in_one_way_only_are_read(text, iso):
    assert read_instant(text, UTC) == parse_instant(iso)


def test_one_date_tells_which_part_is_the_day_in_all():
    assert day_comes_first(["01/03/2026 08:00", "2026-03-14", "", "14/03/2026 08:00"]) is True
    assert day_comes_first(["01/03/2026 08:00", "03/14/2026 08:00"]) is False
    assert day_comes_first(["01/03/2026 08:00", "05/05/2026 08:00"]) is None
    with pytest.raises(NotationError, match="begins with the day"):
        day_comes_first(["14/03/2026 08:00", "03/14/2026 08:00"])
    assert read_instant("01/03/2026 08:00", UTC, day_first=True) == MORNING
    assert read_instant("03/01/2026 08:00", UTC, day_first=False) == MORNING
    with pytest.raises(NotationError, match="begins with the month, other times with the day"):
        read_instant("03/14/2026 08:00", UTC, day_first=True)


@pytest.mark.parametrize("text", ["2026-03-01T09:00:00", "2026-03-01 9:00", "2026-03-01 09:00:00.000"])
def test_what_names_no_zone_needs_one(text):
    with pytest.raises(NaiveTimeError, match="has no time zone"):
        read_instant(text)
    assert read_instant(text, BERLIN) == MORNING


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("01/03/2026 08:00", "can be read in several ways: neither it nor another time tells"),
        ("1.3.26", "can be read in several ways"),
        ("13.13.2026 08:00", "is no time: month"),
        ("14.10.2026", "is a day without a time"),
        ("14.10.2026 13:00 PM", "is no time"),
        ("31/02/2026 08:00", "is no time: day"),
        ("2026-03-01", "is a day without a time"),
        ("2026-02-30T08:00:00Z", "is no time: day"),
        ("2026-03-01T25:00:00Z", "is no time: hour"),
        ("yesterday", "is no time"),
        ("", "is no time"),
        ("17723520", "is no time"),
        ("20260301", "its unit is not clear"),
        ("177235200000000000000", "its unit is not clear"),
        ("9" * 5000, "its unit is not clear"),
        ("1.772352e+09", "has lost its last digits"),
        ("٢٠٢٦-03-01T08:00:00Z", "is no time"),
        ("2026-03-01T08:00:00Z; drop", "is no time"),
    ],
)
def test_what_is_no_instant_is_refused(text, problem):
    with pytest.raises(SettingError) as caught:
        read_instant(text, UTC)
    assert problem in caught.value.problem
    assert caught.value.cure


def test_hours_that_clocks_show_twice_or_never_are_refused():
    with pytest.raises(ClockChangeError, match="twice"):
        read_instant("2026-10-25 02:30:00", BERLIN)
    with pytest.raises(ClockChangeError, match="never"):
        read_instant("2026-03-29 02:30:00", BERLIN)
    assert read_instant("2026-10-25T02:30:00+01:00", BERLIN) == read_instant("2026-10-25T01:30:00Z")


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("0001-01-01 00:00:00", "Europe/Berlin"),
        ("9999-12-31 23:59:59", "America/New_York"),
        ("0001-01-01T00:00:00+14:00", "UTC"),
        ("9999-12-31T23:59:59-01:00", "UTC"),
    ],
)
def test_times_beyond_the_calendar_are_refused(text, zone):
    with pytest.raises(SettingError, match="is no time"):
        read_instant(text, zone_of(zone))
    if zone == "UTC":
        with pytest.raises(SettingError, match="is not an instant"):
            parse_instant(text)


def test_the_calendar_ends_where_it_can_be_written():
    for text in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z"):
        assert format_instant(read_instant(text)) == text
        assert format_instant(parse_instant(text)) == text
    with pytest.raises(SettingError, match="out of range"):
        read_instant("253402300800000", unit="ms")


def test_a_format_of_ones_own():
    assert read_instant("1.3.2026 09:00", BERLIN, "%d.%m.%Y %H:%M") == MORNING
    assert read_instant("03/01/2026 08:00 +0000", None, "%m/%d/%Y %H:%M %z") == MORNING
    with pytest.raises(NaiveTimeError):
        read_instant("1.3.2026 09:00", None, "%d.%m.%Y %H:%M")
    with pytest.raises(SettingError, match="is not written as"):
        read_instant("2026-03-01", UTC, "%d.%m.%Y %H:%M")


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("%d.%m.%Y %H:%M %Z", "takes the zone by its name"),
        ("%d.%m. %H:%M", "names no year"),
        ("%H:%M %%Y", "names no year"),
        ("%d.%d.%Y", "names a part twice"),
        ("%Y %q", "is no format"),
        ("%Y %", "is no format"),
        ("", "names no year"),
    ],
)
def test_formats_that_would_be_read_wrongly_are_refused(written, problem):
    with pytest.raises(SettingError, match=problem):
        check_time_format(written)


@pytest.mark.parametrize("written", ["%d.%m.%Y %H:%M", "%c", "%y%m%d", "%Y-%m-%dT%H:%M:%S.%f%z", "%d %b %Y, %I %p"])
def test_formats_that_can_be_read(written):
    check_time_format(written)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_stated_unit_needs_no_guess(unit):
    per = {"s": 1000, "ms": 1, "us": 1 / 1000, "ns": 1 / 1_000_000}[unit]
    assert read_instant("12000000", None, None, unit) == round(12_000_000 * per)
    assert read_instant("-12000000", None, None, unit) == -round(12_000_000 * per)
    with pytest.raises(SettingError, match="out of range"):
        read_instant("9" * 24, None, None, unit)


@given(st.integers(100_000_000, 99_999_999_999), st.integers(0, 999))
def test_the_size_of_a_number_tells_its_unit(seconds, rest):
    written = {"s": f"{seconds}.{rest:03d}", "ms": f"{seconds}{rest:03d}", "us": f"{seconds}{rest:03d}000"}
    written["ns"] = written["us"] + "000"
    for unit, text in written.items():
        assert epoch_unit(text) == unit
        assert read_instant(text) == seconds * 1000 + rest


@pytest.mark.parametrize("name", ["Europe/Berlin2", "../../etc/passwd", "", "/etc/localtime", "a\x00b"])
def test_unknown_zones_are_refused(name):
    with pytest.raises(SettingError, match="no time zone"):
        zone_of(name)


@given(
    st.datetimes(datetime(1974, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001 - the zone is drawn beside it
    st.integers(-14 * 60, 14 * 60),
)
def test_any_moment_in_any_zone_comes_back(moment, minutes):
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    wanted = int((aware - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))
    written = aware.isoformat(timespec="microseconds")
    assert abs(read_instant(written) - wanted) <= 1
    naive = moment.isoformat(sep=" ", timespec="milliseconds")
    assert read_instant(naive, aware.tzinfo) == read_instant(aware.isoformat(timespec="milliseconds"))


def test_beside_a_format_a_time_with_its_offset_is_read():
    how = {"zone": BERLIN, "time_format": "%d.%m.%Y %H:%M"}
    with pytest.raises(ClockChangeError, match="twice") as caught:
        read_instant("25.10.2026 02:30", **how)
    first, second = caught.value.cure.partition(": ")[2].split(" or ")
    assert (first, second) == ("2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00")
    assert read_instant(first, **how) == parse_instant("2026-10-25T00:30:00Z")
    assert read_instant(second, **how) == parse_instant("2026-10-25T01:30:00Z")
    for text in ("2026-10-25 02:30", "2026-10-25+01:00", "1772352000"):
        with pytest.raises(SettingError, match="is not written as"):
            read_instant(text, **how)
