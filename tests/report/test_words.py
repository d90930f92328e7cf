from __future__ import annotations

import unicodedata
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmon_analysis.errors import SettingError
from kmon_analysis.labels import Labels
from kmon_analysis.report.figure import drawable
from kmon_analysis.report.words import clean, moment, rough, short_labels, shortened, zone_words
from kmon_analysis.timing import DAY_MS, Interval, span

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


# Values that differ little, in the middle of much that is the same; that look alike; that are no value at all.
alike = st.sampled_from(["", "–", "a", "a ", " a", "é", "e\u0301", "\n", "\\n", "\u6ce8", "\u6587", "x · y", "x", "y"])
piece = st.sampled_from(["prod-eu-west-1-", "consumer-group-", "-v2", "0", "1"])
value = st.one_of(alike, st.lists(piece, min_size=2, max_size=8).map("".join), st.text(max_size=50))
sets = st.lists(
    st.dictionaries(st.sampled_from(["__name__", "group", "topic"]), value, max_size=3).map(Labels),
    min_size=2,
    max_size=12,
)


def look(text):
    return " ".join(unicodedata.normalize("NFKC", text).split())


@given(sets, st.integers(16, 60), st.sampled_from([clean, drawable]))
def test_different_series_never_look_the_same(sets, longest, shown):
    heading, names = short_labels(sets, longest, shown)
    assert len(names) == len(sets)
    assert len({look(name) for name in names}) == len(set(sets))
    assert len(dict(zip(sets, names, strict=True))) == len(set(names))
    for text in (heading, *names):
        assert "\n" not in text
        assert len(text) <= longest + 4


def test_what_differs_is_kept_and_what_all_share_goes():
    groups = [f"prod-eu-west-1-payments-service-consumer-group-{n:03d}-v2" for n in (21, 98, 70)]
    hosts = [f"kafka-exporter-{n}.kafka.svc.cluster.local:9308" for n in (0, 0, 5)]
    heading, names = short_labels([Labels({"g": g, "i": i}) for g, i in zip(groups, hosts, strict=True)])
    assert heading == "g · i"
    for name, number, host in zip(names, ("021", "098", "070"), (0, 0, 5), strict=True):
        assert f"{number}-v2" in name
        assert f"porter-{host}." in name
    # In too little room, a label that the others can do without goes first.
    wide = [Labels({"g": g, "i": i, "j": i}) for g, i in zip(groups, hosts, strict=True)]
    assert short_labels(wide, 20)[0] == "g"


def test_series_that_differ_by_their_metric_say_so():
    assert short_labels([Labels({"__name__": "a", "x": "1"}), Labels({"__name__": "b", "x": "1"})]) == (
        "metric",
        ["a", "b"],
    )


def test_zones_say_how_far_from_utc_they_are():
    spring = Interval(*(int(datetime(2026, month, 20, tzinfo=UTC).timestamp() * 1000) for month in (3, 4)))
    assert zone_words("UTC", spring) == "UTC"
    assert zone_words("Europe/Berlin", spring) == "Europe/Berlin (UTC+01:00, from 2026-03-29 UTC+02:00)"
    assert zone_words("America/St_Johns", spring) == "America/St_Johns (UTC-02:30)"
    with pytest.raises(SettingError, match="no time zone 'Europe/Berln'") as failed:
        zone_words("Europe/Berln", spring)
    assert failed.value.cure == "Did you mean 'Europe/Berlin'?"


def test_hostile_labels_are_shown_and_harmless():
    _, names = short_labels([Labels({"topic": text}) for text in HOSTILE], 60)
    assert names[0] == "<script>"
    assert names[3] == "\\u202eevil\\u202c"
    assert names[4] == "\\x1b[31mred"


def test_readings_of_time_and_number():
    assert moment(0) == "1970-01-01 00:00"
    assert moment(61_000, seconds=True) == "1970-01-01 00:01:01"
    assert span(70 * DAY_MS) == "10 weeks"
    assert span(3 * DAY_MS) == "3 days"
    assert rough(999.7) == "1,000"
    assert rough(-1234.5) == "−1,234"
