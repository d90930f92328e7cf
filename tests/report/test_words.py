from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from kmon_analysis.labels import Labels
from kmon_analysis.report.words import clean, moment, rough, short_labels, shortened, span
from kmon_analysis.timing import DAY_MS

HOSTILE = ["<script>", "a|b", "`x`", "\u202eevil\u202c", "\x1b[31mred", "two\nlines", "$\\frac$", "_hidden", "[bold]"]


@given(st.text())
def test_clean_text_steers_no_output(text):
    shown = clean(text)
    assert not any(unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp", "Cs", "Co", "Cn") for char in shown)
    assert "\n" not in shown
    if text.isprintable():
        assert shown == text


def test_clean_keeps_lines_where_asked():
    assert clean("a\n\tb\u202e", lines=True) == "a\n\tb\\u202e"


@given(st.text(max_size=60), st.integers(3, 40))
def test_shortened_text_fits_and_keeps_its_ends(text, longest):
    shown = shortened(text, longest)
    assert len(shown) <= max(longest, 0) or shown == text
    if len(text) > longest:
        assert shown[0] == text[0]
        assert "…" in shown


def test_names_say_what_tells_series_apart():
    sets = [Labels({"job": "k", "group": g, "topic": t}) for g, t in [("email", "a"), ("email", "b"), ("audit", "a")]]
    assert short_labels(sets) == ("group · topic", ["email · a", "email · b", "audit · a"])
    assert short_labels(sets[:1]) == ("group · job · topic", ["email · k · a"])
    absent = [Labels({"topic": "a"}), Labels({"topic": "a", "group": "x"})]
    assert short_labels(absent) == ("group", ["–", "x"])


def test_long_names_lose_the_middle_of_their_longest_value():
    heading, [name, _] = short_labels([Labels({"a": "x" * 60, "b": "short"}), Labels({"a": "y", "b": "other"})], 30)
    assert heading == "a · b"
    assert name.endswith(" · short")
    assert len(name) == 30


def test_hostile_labels_are_shown_and_harmless():
    _, names = short_labels([Labels({"topic": text}) for text in HOSTILE], 60)
    assert names[0] == "<script>"
    assert names[3] == "\\u202eevil\\u202c"
    assert names[4] == "\\x1b[31mred"


def test_readings_of_time_and_number():
    assert moment(0) == "1970-01-01 00:00"
    assert moment(61_000, seconds=True) == "1970-01-01 00:01:01"
    assert span(70 * DAY_MS) == "10.0 weeks"
    assert span(3 * DAY_MS) == "3.0 days"
    assert rough(999.7) == "1,000"
    assert rough(-1234.5) == "−1,234"
