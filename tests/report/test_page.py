from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from kmon_analysis.errors import ExpressionError, SettingError
from kmon_analysis.labels import Labels
from kmon_analysis.recommend.advice import Advice, RuleAdvice
from kmon_analysis.recommend.candidates import Budget, Candidate, current_setting
from kmon_analysis.recommend.choose import best, place, survey
from kmon_analysis.report import page as page_module
from kmon_analysis.report.page import render_report
from kmon_analysis.tabular import SORT_SCRIPT, SORT_SOURCE
from kmon_analysis.timing import MINUTE_MS
from tests.report.samples import backtest_of, consumer_life, incident, replay
from tests.report.test_words import HOSTILE

BUDGET = Budget(30 * MINUTE_MS)
VOID = {"wbr", "meta", "br", "img", "link", "hr", "input"}


class Reader(HTMLParser):
    """Collect elements, attributes and text, and check that tags nest."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.words = [], [], [], []
        self.headings = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open[-1:] == [tag], f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.words.append(data)

    @property
    def text(self):
        return " ".join("".join(self.words).split())

    def values(self, *names):
        return [value for _, name, value in self.attributes if name in names]


def tuned(rule):
    tried = [Candidate(None, minutes * MINUTE_MS) for minutes in (5, 15)]
    [found] = survey(rule, tried, BUDGET)
    top = best(found, BUDGET)
    setting = place(top, BUDGET, current_setting(rule))
    return RuleAdvice(
        rule.name,
        "tuned",
        "Tentative: threshold & more",
        ("First reason <b>.", "Second reason."),
        current_setting(rule),
        setting,
        setting,
        past_current=rule.score(),
        past_proposed=rule.score(setting.threshold, for_ms=setting.for_ms),
        plateau=top,
        next_4_weeks=(0, 7),
    )


def kept(rule, **more):
    entry = RuleAdvice(rule.name, "keep", "Keep the current rule", ("Why.",), current_setting(rule))
    return replace(entry, past_current=rule.score(), **more)


@pytest.fixture(scope="module")
def life():
    return consumer_life(weeks=10)


@pytest.fixture(scope="module")
def report(life):
    bare = replay(np.where(np.arange(3000) % 500 < 3, 1, np.nan), text="absent(lag)", name="NoLag")
    reason = ExpressionError("holt_winters() is outside the subset", expression="holt_winters(x[5m], 1, 1)", start=0)
    result = backtest_of(life, bare, refused={"Odd": reason})
    entries = {
        life.name: tuned(life),
        "NoLag": kept(bare),
        "Odd": RuleAdvice("Odd", "refused", "Not evaluated", (str(reason),), None),
    }
    verification = SimpleNamespace(sentence="promtool 2.42.0: 3 tests passed.")
    return render_report(Advice(result, BUDGET, entries), verification, "2026-05-12T08:00:00Z")


def test_the_page_is_well_formed_and_self_contained(report):
    read = Reader(report)
    assert report.startswith("<!DOCTYPE html>")
    assert read.tags.count("script") == report.count("<script") == 1
    assert f"<script>{SORT_SCRIPT}</script>" in report
    [policy] = [value for _, name, value in read.attributes if name == "content" and "default-src" in value]
    assert policy == f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {SORT_SOURCE}"
    assert not {"link", "iframe", "object", "embed", "form"} & set(read.tags)
    assert not [name for _, name, _ in read.attributes if name.startswith("on")]
    for value in read.values("href", "src", "xlink:href", "action", "data"):
        assert value.startswith(("#", "data:image/png;base64,")), value
    assert not re.findall(r"(?:https?:)?//[a-z]", re.sub(r"data:image/png;base64,[^\"]*", "", report))
    assert not re.findall(r"url\((?!#)", report)
    assert "@import" not in report
    assert len(report.encode()) < 3_000_000
    ids = read.values("id")
    assert len(ids) == len(set(ids))
    for target in read.values("href"):
        if target.startswith("#"):
            assert target[1:] in ids
    for _, name, value in read.attributes:
        if name == "aria-labelledby":
            assert value in ids


def test_the_page_can_be_read_by_everybody(report):
    read = Reader(report)
    assert ("html", "lang", "en") in read.attributes
    assert read.headings[0] == 1
    assert read.headings.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(read.headings, read.headings[1:], strict=False))
    headers = [value for tag, name, value in read.attributes if tag == "th" and name == "scope"]
    assert len(headers) == read.tags.count("th")
    assert {"col", "row"} == set(headers)
    pictures = read.tags.count("svg")
    assert pictures == 3
    assert report.count('role="img"') == pictures == len(re.findall(r'<title id="[^"]*-alt">[^<]{30,}</title>', report))
    assert read.tags.count("caption") == read.tags.count("table")
    assert "prefers-color-scheme: dark" in report
    assert "@media print" in report


def test_the_page_says_what_it_rests_on(report, life):
    text = Reader(report).text
    score = life.score()
    for words in [
        "3 rules: 1 to change, 1 to leave alone, 1 without advice.",
        "simulator user-service",
        "2026-03-02 00:00 to 2026-05-11 00:00, 10 weeks",
        "Prometheus 2.42.0",
        "1 false page a week for each rule; a delay of 30 min",
        "7 incidents, 6 of them must page; 1 excluded window",
        "First reason <b>.",
        "holt_winters() is outside the subset holt_winters(x[5m], 1, 1) ^",
        "promtool 2.42.0: 3 tests passed.",
        "2026-05-12T08:00:00Z",
        f"finds {score.caught} of {score.incidents} incidents, {score.false_pages} false pages",
        "probably 0–7",
        "Not known How the proposed values do on weeks they were not chosen on.",
        "Whether the rule finds anything: no incident concerns it.",
    ]:
        assert words in text.replace("\N{NO-BREAK SPACE}", " "), words
    assert re.search(r"SHA-256 [0-9a-f]{64}", text)


def test_without_verification_and_time_the_page_says_so(life):
    text = Reader(render_report(Advice(backtest_of(life), BUDGET, {life.name: kept(life)}))).text
    assert "The exported files were not checked with promtool." in text
    assert "Report made" not in text


def test_the_same_advice_gives_the_same_page(life):
    advice = Advice(backtest_of(life), BUDGET, {life.name: tuned(life)})
    assert render_report(advice) == render_report(advice)


@pytest.mark.parametrize("count", [0, 1])
def test_few_incidents_print_no_percentage(count):
    values = np.zeros(3 * 7 * 1440)
    values[600:700] = 50
    values[9000:9020] = 30
    rule = replay(values, incidents=[incident("only", 10)][:count])
    text = Reader(render_report(Advice(backtest_of(rule), BUDGET, {rule.name: kept(rule)}))).text
    assert "%" not in text
    assert not re.search(r"recall|precision|median delay", text)
    if not count:
        assert "no incident" in text
        assert not re.search(r"\b0 of\b|\bof 0\b", text)


def test_an_empty_file_has_a_page(life):
    text = Reader(render_report(Advice(backtest_of(life), BUDGET, {}))).text
    assert "The file holds no alerting rule." in text


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_text(text):
    values = np.zeros(3000)
    values[130:160], values[2000:2100] = 50, 60
    rule = replay(
        values, labels=[Labels({"topic": text})], name=text, incidents=[incident(text, 2, kind=text, cause=text)]
    )
    entry = kept(rule, headline=f"about {text}", reasons=(f"reason {text}",))
    result = backtest_of(rule, source=f"file {text}")
    written = render_report(Advice(result, BUDGET, {text: entry}), SimpleNamespace(sentence=text), text)
    read = Reader(written)
    assert written.count("<script") == 1
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x1b]", written)
    shown = "".join(read.words)
    plain = {"\u202eevil\u202c": "\\u202eevil\\u202c", "\x1b[31mred": "\\x1b[31mred"}.get(text, text)
    assert f"reason {plain}" in shown
    assert f"about {plain}" in shown


def test_pictures_without_room_are_named_instead(life, monkeypatch):
    monkeypatch.setattr(page_module, "PICTURES", 1000)
    written = render_report(Advice(backtest_of(life), BUDGET, {life.name: tuned(life)}))
    assert "<svg" not in written
    assert "A picture was left out to keep this page small." in written


def test_a_report_keeps_to_one_zone_and_says_so(life):
    advice = Advice(backtest_of(life), BUDGET, {life.name: tuned(life)})
    page = render_report(advice, zone="Asia/Kolkata")
    assert "(UTC)" not in page
    assert "time in UTC" not in page
    for head in ("Time (Asia/Kolkata)", "start (Asia/Kolkata)", "time in Asia/Kolkata (UTC+05:30)"):
        assert head in page
    incident = life.incidents.incidents[0]
    local = datetime.fromtimestamp(incident.interval.start_ms / 1000, ZoneInfo("Asia/Kolkata"))
    row = page[page.index(f">{incident.id}</th>") :].partition("</tr>")[0]
    assert f'data-key="{incident.interval.start_ms}">{local:%Y-%m-%d %H:%M} +05:30<' in row
    assert render_report(advice, zone="utc") == render_report(advice)
    with pytest.raises(SettingError, match=r"(?s)no time zone 'Asia/Kolkatta'.*Asia/Kolkata"):
        render_report(advice, zone="Asia/Kolkatta")
