"""Traffic hours against the calendar itself."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from kmon_analysis.errors import SettingError
from kmon_analysis.kafka.hours import alertmanager_interval, parse_hours, promql_guard, utc_spans
from kmon_analysis.kafka.starter import alertmanager_text
from kmon_analysis.labels import Labels
from kmon_analysis.promql.evaluate import evaluate
from kmon_analysis.promql.parser import parse
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.series import Samples, SeriesSet
from tests.tools import require

CASES = [
    ("Mon-Fri 08:00-18:00", "Europe/Berlin"),
    ("Mon-Fri 08:00-20:00", "UTC"),
    ("Mon-Fri 08:30-17:45, Sat 10:00-14:00", "America/New_York"),
    ("22:00-06:00", "Australia/Lord_Howe"),
    ("Fri-Mon 00:00-24:00", "Asia/Kathmandu"),
    ("Sun 23:00-02:00", "Pacific/Auckland"),
    ("Mon, Wed 09:00-10:00".replace("Mon,", "Mon 09:00-10:00,"), "UTC"),
]


def is_traffic(hours, instant):
    """Ask the calendar: the naive twin."""
    local = instant.astimezone(ZoneInfo(hours.zone))
    minute = (local.weekday() + 1) % 7 * 1440 + local.hour * 60 + local.minute
    return any(start <= minute < end for start, end in hours.spans)


def guarded(guard, instants):
    times = np.array([int(each.timestamp() * 1000) for each in instants])
    up = SeriesSet.from_samples([Samples(Labels({"__name__": "up"}), times, np.ones(len(times)))])
    return evaluate(parse(f"up {guard}"), up, times, Semantics.of("2.42")).present.any(axis=0)


@pytest.mark.parametrize(("text", "zone"), CASES)
def test_the_guard_holds_where_every_season_has_traffic(text, zone):
    hours = parse_hours(text, zone)
    week = [datetime(2026, 1, 4, tzinfo=UTC) + timedelta(minutes=15 * step) for step in range(7 * 96)]
    spans = utc_spans(hours)
    inside = [any(s <= m < e for s, e in spans) for m in range(0, 7 * 1440, 15)]
    guard = promql_guard(hours)
    shown = guarded(guard, week) if guard else np.ones(len(week), dtype=bool)
    assert shown.tolist() == inside
    # Never outside traffic hours, in any week of the year; and where all weeks agree, it is not missed.
    for minute, held in enumerate(inside):
        agreed = {is_traffic(hours, week[minute] + timedelta(weeks=number)) for number in range(51)}
        assert held == (agreed == {True}), week[minute]


def test_the_guard_reads_like_the_usual_ones():
    assert promql_guard(parse_hours("Mon-Fri 08:00-20:00")) == (
        "and on() (hour() >= 8 < 20) and on() (day_of_week() >= 1 <= 5)"
    )
    assert promql_guard(parse_hours("00:00-24:00")) == ""
    assert "60 minutes at one end" in parse_hours("Mon 08:00-18:00", "Europe/Berlin").note
    assert "the same in UTC" in parse_hours("Mon 08:00-18:00", "Asia/Tokyo").note


def test_an_hour_that_no_guard_can_keep_is_refused():
    with pytest.raises(SettingError, match="no minute that is in it in summer and in winter"):
        promql_guard(parse_hours("Mon 08:00-09:00", "Europe/Berlin"))


@pytest.mark.parametrize(
    ("text", "zone", "problem"),
    [
        ("whenever", "UTC", "not traffic hours"),
        ("Mon-Fri 8-18", "UTC", "not traffic hours"),
        ("Mon-Fry 08:00-18:00", "UTC", "no day: 'Fry'"),
        ("Mon-Fri 08:00-25:00", "UTC", "no time of day"),
        ("Mon-Fri 08:61-18:00", "UTC", "no time of day"),
        ("08:00-18:00", "Europe/Berlyn", "no time zone"),
        ("08:00-18:00", "../etc/passwd", "no time zone"),
        ("", "UTC", "not traffic hours"),
    ],
)
def test_nonsense_is_refused(text, zone, problem):
    with pytest.raises(SettingError, match=problem):
        parse_hours(text, zone)


def test_alertmanager_accepts_the_intervals(tmp_path):
    amtool = require("amtool")
    for number, (text, zone) in enumerate(CASES):
        (tmp_path / f"{number}.yml").write_text(alertmanager_text(parse_hours(text, zone)))
    (tmp_path / "wrong.yml").write_text(alertmanager_text(parse_hours("08:00-18:00")).replace("'18:00'", "'08:00'"))
    good = [str(tmp_path / f"{number}.yml") for number in range(len(CASES))]
    done = subprocess.run([amtool, "check-config", *good], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("SUCCESS") == len(CASES)
    assert subprocess.run([amtool, "check-config", tmp_path / "wrong.yml"], capture_output=True).returncode != 0


def test_the_interval_is_local():
    assert alertmanager_interval(parse_hours("Sat 22:00-02:00", "Europe/Berlin")) == (
        '- name: "traffic-hours"\n  time_intervals:\n'
        "  - times: [{start_time: '00:00', end_time: '02:00'}]\n    weekdays: [sunday]\n"
        '    location: "Europe/Berlin"\n'
        "  - times: [{start_time: '22:00', end_time: '24:00'}]\n    weekdays: [saturday]\n"
        '    location: "Europe/Berlin"\n'
    )
