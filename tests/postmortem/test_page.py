"""Page and Markdown: complete, self-contained, for everybody, and harmless whatever names and labels hold."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

import kmon_analysis as km
from kmon_analysis.backtest.run import backtest
from kmon_analysis.incidents import Excluded
from kmon_analysis.postmortem.markdown import code, markdown, plain
from kmon_analysis.postmortem.page import render_page
from kmon_analysis.report.words import clean
from kmon_analysis.rules.reader import parse_rules
from kmon_analysis.tabular import SORT_SCRIPT, SORT_SOURCE
from tests.browser.hostile import MARKUP, backtest_of_hostile_text
from tests.postmortem.world import bumped, flat, history, incident, minute, replayed
from tests.report.test_page import Reader


@pytest.fixture(scope="module")
def made():
    held = history({"a": bumped((122, 140, 500.0), (300, 320, 400.0)), "b": flat()})
    listed = [
        incident(labels={"topic": "a"}, kind="disk full", cause="Nobody looked.", detected_ms=minute(135)),
        incident("INC-2", 300, 330),
    ]
    return km.postmortem(replayed(held, listed), "INC-1", zone="Asia/Kathmandu")


@pytest.fixture(scope="module")
def hostile():
    result = backtest_of_hostile_text()
    return km.postmortem(result, next(iter(result.incidents)).id)


def parsed(text):
    return MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)


def shown(text):
    """Return what a reader of the rendered Markdown sees, and the kinds of what it is made of."""
    words, kinds = [], set()
    for token in parsed(text):
        kinds.add(token.type)
        if token.type in ("fence", "code_block"):
            words.append(token.content)
        for child in token.children or ():
            kinds.add(child.type)
            if child.type == "html_inline":
                assert child.content == "<!-- -->"
            elif child.content:
                words.append(child.content)
    return "".join(words), kinds


def test_a_history_ends_with_its_last_sample():
    held = history({"a": bumped((580, 600, 500.0)), "b": flat()})
    held = km.History(held.series, replace(held.provenance, end_ms=minute(599) + 1))
    cut = km.postmortem(replayed(held, [incident(start=580, end=620)]), "INC-1")
    assert "to 2026-03-02 09:59:00" in render_page(cut)
    assert ".001" not in render_page(cut) + markdown(cut)


def test_the_page_is_well_formed_self_contained_and_for_everybody(made):
    page = render_page(made)
    read = Reader(page)
    assert page.startswith("<!DOCTYPE html>")
    assert f"<script>{SORT_SCRIPT}</script>" in page
    assert read.tags.count("script") == 1
    [policy] = [value for _, name, value in read.attributes if name == "content" and "default-src" in value]
    assert policy == f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {SORT_SOURCE}"
    for value in read.values("href", "src", "xlink:href"):
        assert value.startswith(("#", "data:image/png;base64,")), value
    ids = read.values("id")
    assert len(ids) == len(set(ids))
    for target in [*read.values("href"), *(f"#{value}" for value in read.values("aria-labelledby"))]:
        assert target.startswith("data:") or target[1:] in ids
    assert read.headings[0] == 1
    assert read.headings.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(read.headings, read.headings[1:], strict=False))
    headers = [value for tag, name, value in read.attributes if tag == "th" and name == "scope"]
    assert len(headers) == read.tags.count("th")
    assert read.tags.count("caption") == read.tags.count("table")
    assert read.tags.count("svg") == page.count('role="img"') == 2
    assert {"header", "main", "nav"} <= set(read.tags)
    assert 'class="skip" href="#main"' in page
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page


def test_the_page_tells_the_whole_story(made):
    text = Reader(render_page(made)).text.replace("\N{NO-BREAK SPACE}", " ")
    for words in [
        "Postmortem of INC-1",
        "HighLag paged 7 min after the labelled start, 8 min before people knew; 1 other rule concerned did not page.",
        "2026-03-02 02:00:00 UTC (2026-03-02 07:45:00 +05:45 Asia/Kathmandu)",
        "2026-03-02 02:15:00 UTC (2026-03-02 08:00:00 +05:45 Asia/Kathmandu), +15 min",
        "topic=a",
        "disk full",
        "Nobody looked.",
        "07:52:00 +05:45",
        "firing, page",
        "paged for 2 of 2 incidents and sent 0 false pages",
        "Silent the history has no samples of what it reads",
        "for 4m instead of 5m",
        "nothing is known better than to 2 min",
        "is not known; full intervals are taken",
        "one example, no forecast",
    ]:
        assert words in text, words


def test_markdown_says_the_same(made):
    text, kinds = shown(markdown(made))
    for words in [
        "Postmortem of INC-1",
        "HighLag paged 7 min after the labelled start",
        "Nobody looked.",
        "firing, page",
        "for 4m instead of 5m",
        "lag > 100",
        "What the data cannot say",
    ]:
        assert words in text, words
    assert {"table_open", "fence", "bullet_list_open"} <= kinds
    assert "link_open" not in kinds


def test_hostile_text_does_nothing_in_the_page(hostile):
    page = render_page(hostile)
    read = Reader(page)
    assert read.tags.count("script") == 1
    assert not [name for _, name, _ in read.attributes if name.startswith("on")]
    assert not {"img", "iframe", "form"} & set(read.tags)
    assert all(value.startswith(("#", "data:image/png;base64,")) for value in read.values("href", "src"))
    assert "\u202e" not in page
    assert "\x1b" not in page
    assert MARKUP in read.text
    assert "{{ 7 * 7 }}" in read.text


def test_hostile_text_does_nothing_in_markdown(hostile):
    written = markdown(hostile)
    text, kinds = shown(written)
    assert not {"image", "link_open", "html_block", "strong_link"} & kinds
    assert "\u202e" not in written
    assert "\x1b" not in written
    assert "<script>window.acted = 1; alert(1)</script>" in text
    rows = [token for token in parsed(written) if token.type in ("th_open", "tr_open")]
    assert rows


DIRTY = st.text(
    st.sampled_from("`|\\*_[]()<>!#&~$@:/.-+=1) \t\n\r\u202eaZwé") | st.characters(exclude_categories=["Cs"]),
    max_size=30,
)


@given(st.lists(DIRTY, min_size=1, max_size=4))
def test_any_text_shows_as_it_is_in_markdown_tables_lists_and_paragraphs(texts):
    cells = [plain(text) for text in texts]
    seen = [" ".join(clean(text, lines=True).split()) for text in texts]
    table = f"| {' | '.join(cells)} |\n| {' | '.join('--' for _ in cells)} |\n| {' | '.join(cells)} |\n"
    tokens = parsed(table)
    assert [token.type for token in tokens].count("th_open") == len(texts)
    rendered = [inline_text(token) for token in tokens if token.type == "inline"]
    assert rendered == seen * 2
    for text, expected in zip(texts, seen, strict=True):
        for before, kinds in (("", 1), ("- x: ", 1)):
            tokens = parsed(before + plain(text))
            inner = [inline_text(token) for token in tokens if token.type == "inline"]
            assert "".join(inner) == (before[2:] + expected).strip(), (text, kinds)
            assert not {"heading_open", "blockquote_open", "ordered_list_open", "hr", "fence"} & {
                t.type for t in tokens
            }


def inline_text(token):
    assert {child.type for child in token.children} <= {"text", "html_inline", "text_special"}
    return "".join(child.content for child in token.children if child.type != "html_inline")


@given(DIRTY)
def test_any_text_shows_as_it_is_in_code(text):
    [_, token, _] = parsed(f"x {code(text)} y".replace("\\|", "|"))
    [inner] = [child.content for child in token.children if child.type == "code_inline"]
    assert inner.strip() == clean(text).strip()


@pytest.mark.parametrize("text", ["@team", "see #12", "http://example.org", "www.example.org", "GH-12", "a@b.example"])
def test_nothing_becomes_a_mention_or_a_link_by_itself(text):
    assert not re.search(r"@\w|#\d|://\w|www\.\w|GH-\d", plain(text))


def test_a_flapping_alert_is_cut_on_the_page_and_whole_in_json():
    line = np.tile([500.0, 10.0], 300)
    made = km.postmortem(
        replayed(history({"a": line}), [incident(end=240)], RULES_AT_ONCE, settings=km.Settings(merge_gap_ms=0)),
        "INC-1",
    )
    assert len(made["Flaps"].steps) > 60
    assert len(made.to_json()["rules"][0]["steps"]) == len(made["Flaps"].steps)
    text = Reader(render_page(made)).text
    assert f"the first 60 of {len(made['Flaps'].steps)}" in text


RULES_AT_ONCE = "groups:\n- name: g\n  interval: 1m\n  rules:\n  - {alert: Flaps, expr: lag > 100}\n"


def test_a_notebook_shows_it(made, hostile):
    shown_html = made._repr_html_()
    assert "INC-1: 2026-03-02T02:00:00Z" in shown_html
    assert "paged at +7 min" in shown_html
    assert "<script>window" not in hostile._repr_html_()
    assert "\x1b" not in repr(hostile)
    frame = made.to_frame()
    assert list(frame["step"]) == ["true, pending", "firing, page", "resolved"]
    assert list(frame["offset_s"]) == [120.0, 420.0, 1200.0]
    assert made.plot()._repr_png_()[0].startswith(b"\x89PNG")
    assert made.plot("Silent").axes
    [strip] = made.plot().axes[0].child_axes
    assert strip.get_xlabel().startswith("time in Asia/Kathmandu (UTC+05:45), 2026-03-02 ")
    with pytest.raises(km.KmonError, match=r"has no alert 'HighLog'[\s\S]*HighLag"):
        made.plot("HighLog")


def test_an_incident_that_no_rule_concerns_is_told_so():
    result = replayed(history({"a": flat()}), [incident(rules=("Other",))])
    made = km.postmortem(result, "INC-1")
    assert made.concerned == ()
    assert made.to_frame().empty
    text = Reader(render_page(made)).text
    assert "No rule has a part in this incident." in text
    assert "has no part in it: the incident names other rules" in text
    with pytest.raises(km.KmonError, match="no rule has a part in 'INC-1'"):
        made.plot()


def test_the_limits_name_what_was_going_on():
    line = bumped((122, 140, 500.0))
    line[100:110] = np.nan
    listed = km.Incidents(
        (incident(labels={"topic": "a", "region": "eu"}), incident("INC-2", 140, 160)),
        tuple(Excluded(km.Interval(minute(start), minute(end)), "works") for start, end in [(110, 130), (125, 160)]),
    )
    rules = parse_rules(
        "groups:\n- {name: g, interval: 1m, limit: 9, rules: [{alert: A, expr: lag > 100}, "
        "{alert: B, expr: histogram_sum(lag) > 1}]}"
    )
    made = km.postmortem(backtest(rules, history({"a": line}), listed), "INC-1")
    codes = [limit.code for limit in made.limits]
    assert [code for code in codes if code != "excluded"] == [
        "unmatched",
        "gaps",
        "labels missing",
        "other incidents",
        "little normal time",
        "resolution",
        "phase",
        "limit",
        "not evaluated",
        "labels by people",
        "one example",
        "not replayed",
    ]
    assert codes.count("excluded") == 2
    [gap] = [limit for limit in made.limits if limit.code == "gaps"]
    assert gap.facts["gaps"] == [
        {"series": {"__name__": "lag", "topic": "a"}, "start": "2026-03-02T01:40:00Z", "end": "2026-03-02T01:50:00Z"}
    ]
    assert made["B"].status == "not evaluated"
    assert [page.kind for page in made["A"].pages] == ["true"]


def test_an_incident_of_no_length_is_looked_at_with_its_margins():
    held = history({"a": bumped((122, 140, 500.0))})
    made = km.postmortem(replayed(held, [incident(start=120, end=120)]), "INC-1")
    assert made["HighLag"].status == "paged"
    assert "after 0 s" in Reader(render_page(made)).text
