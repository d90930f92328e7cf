"""Every result shows itself: short, escaped, and never by the megabyte."""

from __future__ import annotations

import numpy as np
import pytest

from kmon_analysis.backtest.spread import PhaseSpread
from kmon_analysis.errors import ExpressionError
from kmon_analysis.history import History, Provenance
from kmon_analysis.history_quality import quality
from kmon_analysis.incidents import Excluded, Incident, Incidents
from kmon_analysis.labels import Labels
from kmon_analysis.recommend.advice import Advice, RuleAdvice
from kmon_analysis.recommend.candidates import Budget, current_setting
from kmon_analysis.recommend.confirm import Confirmation
from kmon_analysis.rules.model import RuleFile
from kmon_analysis.rules.reader import parse_rules
from kmon_analysis.series import SeriesSet
from kmon_analysis.tabular import SORT_SCRIPT, TABLE_STYLE
from kmon_analysis.timing import HOUR_MS, Interval
from tests.report.samples import START, backtest_of, incident, replay
from tests.test_tabular import HOSTILE, Reader

# Of a hundred rows, beside the style and the script.
MOST = 60_000


def shown(result):
    text, page = repr(result), result._repr_html_()
    assert len(text) < 20_000
    assert len(page) < MOST
    read = Reader(page.replace(f"<script>{SORT_SCRIPT}</script>", "").replace(f"<style>{TABLE_STYLE}</style>", ""))
    assert "table" in read.tags
    assert read.tags.count("table") == read.tags.count("caption")
    assert not {"script", "style", "b", "img"} & set(read.tags)
    for raw in ("\u202e", "\x1b"):
        assert raw not in text
        assert raw not in page
    return text, page, read


def history_of(count, name="lag", source="simulator"):
    labels = sorted(Labels({"__name__": name, "topic": f"t{n}"}) for n in range(count))
    series = SeriesSet(
        tuple(labels),
        np.arange(count + 1, dtype=np.int64) * 2,
        np.tile(np.array([START, START + 60_000], dtype=np.int64), count),
        np.ones(2 * count),
    )
    return History(
        series, Provenance(source, START, START + HOUR_MS, scrape_interval_ms=60_000, warnings=(source,) * 3)
    )


def incidents_of(count, text="INC"):
    spans = [Interval(START + n * HOUR_MS, START + n * HOUR_MS + 90_000) for n in range(count)]
    return Incidents(
        tuple(Incident(f"{text}-{n}", span, kind=text, cause=text) for n, span in enumerate(spans)),
        tuple(Excluded(span, reason=text) for span in spans),
    )


def rules_of(count, name="Lag"):
    alerts = "\n".join(f"  - alert: {name}{n}\n    expr: lag > {n}\n    for: 5m" for n in range(count))
    text = f"groups:\n- name: kafka\n  rules:\n{alerts}\n" if count else "groups: []\n"
    return parse_rules(text, "rules.yml")


def results(text="Lag", rows=1):
    """A backtest, an advice and what else is made from them, with this many refused rules."""
    values = np.zeros(600)
    values[130:160] = 50
    rule = replay(values, name=text, labels=[Labels({"topic": text})], incidents=[incident(text, 2)])
    refused = {f"{text}-{n}": ExpressionError(text, expression=text) for n in range(rows)}
    result = backtest_of(rule, refused=refused, source=text)
    entries = {name: RuleAdvice(name, "refused", text, (text,), None) for name in refused}
    entries[text] = RuleAdvice(text, "keep", text, (text,), current_setting(rule), past_current=rule.score())
    advice = Advice(result, Budget(600_000), entries)
    return result, advice, entries[text], Confirmation(result, result), PhaseSpread(2, {text: (rule.score(),) * 2})


def test_a_history_says_what_was_recorded():
    text, _, read = shown(history_of(3))
    assert text.startswith("<History: 3 series, 6 samples, 2026-03-02T00:00:00Z to 2026-03-02T01:00:00Z, every 1 min")
    assert ["lag", "3", "6"] in [[cell[2] for cell in row] for row in read.rows]


def test_a_rule_file_shows_its_rules():
    first = "groups:\n- name: g\n  rules:\n  - record: a:b\n    expr: sum(x)\n"
    text = f"{first}  - alert: A\n    expr: a:b > 1\n    for: 5m\n"
    rules = parse_rules(text, "rules.yml")
    words, _, read = shown(rules)
    assert words.splitlines()[0] == "rules.yml: 1 group, 1 alerting rule, 1 recording rule"
    assert [cell[2] for cell in read.rows[2]] == ["g", "A", "alert", "5m", "a:b > 1"]
    frame = rules.to_frame()
    assert frame[["rule", "kind", "expr", "line"]].to_numpy().tolist() == [
        ["a:b", "record", "sum(x)", 4],
        ["A", "alert", "a:b > 1", 6],
    ]
    assert frame["for_s"].tolist()[1] == 300


def test_incidents_show_what_they_concern():
    _, _, read = shown(incidents_of(2))
    rows = [[cell[2] for cell in row] for row in read.rows]
    assert rows[0] == ["id", "start", "length", "concerns", "kind", "must page", "cause"]
    assert rows[1] == ["INC-0", "2026-03-02T00:00:00Z", "1 min 30 s", "", "INC", "yes", "INC"]
    assert rows[3] == ["start", "length", "concerns", "reason"]


@pytest.mark.parametrize("make", [history_of, incidents_of, rules_of])
def test_empty_ones_show_themselves(make):
    result = make(0)
    shown(result)
    assert len(result.to_frame()) == 0


def test_huge_ones_show_a_summary():
    history = history_of(100_000)
    text, _, _ = shown(history)
    assert "100,000 series" in text
    assert len(repr(history.series)) < 400
    _, page, _ = shown(quality(history_of(2_000)))
    assert "… and 1,900 more" in page
    _, page, _ = shown(incidents_of(3_000))
    assert "… and 2,900 more" in page
    _, page, _ = shown(rules_of(1_000))
    assert "… and 900 more" in page
    for result in results(rows=3_000):
        shown(result)


def test_parts_of_results_are_short():
    rule = replay(np.random.default_rng(1).normal(size=(300, 900)) * 100)
    for part in (rule, rule.score(), rule.series, RuleFile("x" * 10, "t" * 10**6, ())):
        assert len(repr(part)) < 500
    assert repr(rule.score()).startswith("<Score: 0 of 0 incidents caught, ")


def test_the_values_of_an_advice_are_named():
    entry = results()[2]
    shown = entry._repr_html_()
    assert f"now: {entry.current}" in shown
    assert "None" not in shown


def test_every_result_becomes_a_frame():
    result, advice, _, confirmation, spread = results()
    assert result.to_frame().index.tolist() == ["Lag"]
    assert advice.to_frame().index.tolist() == [("Lag", "current")]
    assert confirmation.to_frame().index.tolist() == [("Lag", "now"), ("Lag", "tuned")]
    assert confirmation.to_frame().loc[("Lag", "now"), "caught"] == 1
    assert spread.to_frame().index.tolist() == [("Lag", 0.0), ("Lag", 0.5)]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_are_only_text(text):
    visible = text.replace("\u202e", "\\u202e").replace("\u202c", "\\u202c").replace("\x1b", "\\x1b")
    for result in (*results(text), history_of(2, source=text), incidents_of(2, text)):
        words, _, read = shown(result)
        assert visible in words
        assert visible in words
        assert read.open == []
