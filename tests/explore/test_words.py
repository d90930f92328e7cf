"""What the tuner says of its knobs: values that cannot be used, and what a zone leaves of hours."""

from __future__ import annotations

import json

import pytest

from kmon_analysis.errors import SettingError
from kmon_analysis.explore.choices import read_threshold
from tests.explore.world import world

NAME = "HighConsumerLag"
BERLIN = {"hours": "Mon-Fri 09:00-17:00", "zone": "Europe/Berlin"}


@pytest.fixture(scope="module")
def result():
    return world()


def heard(tuner, **content):
    tuner.widget._heard(tuner.widget, content, [])
    return json.loads(tuner.widget.view)


@pytest.mark.parametrize(
    ("text", "value"), [("12,000", 12_000.0), ("-1,234,567.5", -1_234_567.5), ("1.5e3", 1500.0), ("+1,000", 1000.0)]
)
def test_a_comma_parts_thousands(text, value):
    assert read_threshold(text) == value


@pytest.mark.parametrize("text", ["1.234,5", "1,5", "1,2345", "1,234,5", "12,00", ",5", "1,234.5,678"])
def test_any_other_comma_can_be_read_in_two_ways(text):
    with pytest.raises(SettingError, match=r"two ways\n  Give a number with a decimal point"):
        read_threshold(text)


def test_the_knob_at_fault_is_named_and_no_other(result):
    tuner = result.explore(NAME)
    for text in ("abc", "2 000", "", "1e400", "12000 messages", "1.234,5"):
        assert heard(tuner, threshold=text)["fields"] == ["threshold"]
    assert heard(tuner, **{"threshold": "5", "for": "soon"})["fields"] == ["for"]
    assert heard(tuner, threshold="x", window="never")["fields"] == ["threshold", "window"]
    assert heard(tuner, hours="Mon 9-17", zone="UTC")["fields"] == ["hours"]
    assert heard(tuner, zone="Mars/Base")["fields"] == ["hours"]
    assert tuner.setting == tuner.model.deployed
    assert "fields" not in heard(tuner, threshold="5")


def test_what_the_seasons_leave_of_hours_is_said_in_full(result):
    tuner = result.explore(NAME)
    view = tuner.move(**BERLIN)
    said = (
        "Hours: Mon-Fri 09:00-17:00 Europe/Berlin (10:00-17:00 in summer, 09:00-16:00 in winter): rules know UTC only, "
        f"so counted and exported are the hours that hold all year: {tuner.setting.hours}"
    )
    assert "hour() >= 8 < 15" in said
    for text in (repr(tuner), repr(view), json.loads(tuner.widget.view)["notes"]["hours"]):
        assert said in text
    assert "Mon-Fri 09:00-17:00 Europe/Berlin\n" in repr(tuner).partition("Hours:")[0]
    assert said.partition("(")[0] in view._repr_html_()
    tuner.move(hours="09:00-17:00", zone="UTC")
    assert tuner.notes() == {"hours": "Hours: 09:00-17:00 UTC, counted and exported as and on() (hour() >= 9 < 17)"}
    tuner.move(hours="at all hours")
    assert tuner.notes() == {}


def test_the_backtest_and_the_tuner_agree_on_the_median(result):
    tuner = result.explore(NAME)
    few = "needs 6 found"
    assert ["median delay", few, few] in tuner.table()[1]
    assert repr(result).count(few) == sum(0 < len(score.delays_ms) < 6 for score in result.scores.values()) > 0
