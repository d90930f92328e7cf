"""The review in a notebook: functions, a table, a picture, and buttons that do the same."""

import json
import sys
from pathlib import Path

import pytest

import kmon_analysis as km
from kmon_analysis.errors import OutputError, SettingError
from kmon_analysis.explore import buttons
from kmon_analysis.explore.buttons import Buttons
from kmon_analysis.explore.review import Review
from kmon_analysis.incidents import read_incidents
from kmon_analysis.labelling.edit import EMPTY, IncidentFile
from kmon_analysis.labelling.review import questions
from kmon_analysis.labelling.session import Session
from kmon_analysis.recommend.verdict import recommend
from kmon_analysis.report.asked import Links
from kmon_analysis.report.figure import png_bytes
from kmon_analysis.rules.reader import parse_rules
from kmon_analysis.workflow import backtest
from tests.labelling.test_review import HOSTILE, pages_of
from tests.recommend.world import RULES, lag_history


@pytest.fixture(scope="module")
def result():
    history, incidents = lag_history(3, incidents=(3.4, 8.3, 12.6))
    return backtest(parse_rules(RULES.format(threshold=500)), history, incidents)


@pytest.fixture
def path(result, tmp_path):
    from kmon_analysis.incidents import format_incidents

    made = tmp_path / "incidents.yml"
    made.write_text("# ours\n" + format_incidents(result.incidents))
    return made


@pytest.fixture
def review(result, path):
    return km.review_incidents(
        result, path, by="ana", zone="Europe/Berlin", grafana="https://g.example.com", prometheus="http://p:9090"
    )


def test_functions_answer_and_go_back(review, path):
    total = len(review)
    assert total == len(review.to_frame()) > 5
    before = path.read_text()
    review.answer(3, "incident", id="INC-9", note="full disk")
    assert read_incidents(path)["INC-9"].cause == "full disk"
    assert review.incidents["INC-9"].interval == review[3].breach
    assert review.to_frame().loc[3, "said"] == "incident"
    [effect] = review.effects()
    assert effect.caught == (3, 4)
    assert review.backtest().scores["HighConsumerLag"].false_pages == effect.false_pages[1]
    review.answer(1, "noise")
    assert read_incidents(path).reviewed[0].by == "ana"
    review.skip(2)
    assert (review.back(), review.back(), review.back()) == (2, 1, 3)
    assert path.read_text() == before


def test_an_advice_is_reviewed_by_its_backtest_and_what_the_file_says_now(result, path):
    first = km.review_incidents(recommend(result, max_delay="30m"), path)
    first.answer(1, "noise")
    again = km.review_incidents(result, path)
    assert first[1].key not in set(again.to_frame()["key"])
    assert len(again.session) == len(first.session) - 1


def test_links_of_a_question(review):
    found = review.links(1)
    assert found["Grafana"].startswith("https://g.example.com/d/kmon-kafka?from=")
    assert found["Prometheus"].startswith("http://p:9090/graph?g0.expr=kafka_consumer_lag_sum")


def test_wrong_settings_are_refused_before_the_work(result, path):
    for options, words in (
        ({"grafana": "javascript:x"}, "is no web address"),
        ({"zone": "Nowhere"}, "no time zone"),
    ):
        with pytest.raises(SettingError, match=words):
            km.review_incidents(result, path, **options)


def test_the_picture_shows_the_page_s_own_alert(monkeypatch):
    result = pages_of([(100, 90, 200)], groups=("a", "b"))
    one = next(each for each in questions(result) if each.labels.value("topic") == "b")
    from kmon_analysis.explore.picture import page_figure

    figure = page_figure(result, one)
    words = {text.get_text() for text in figure.axes[0].get_legend().get_texts()}
    assert any("b" in text.split() for text in words)
    assert not any("a" in text.split() for text in words)
    assert png_bytes(figure).startswith(b"\x89PNG")


# ---- what is shown ------------------------------------------------------------------------------


def test_without_widgets_there_is_a_table(review, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    monkeypatch.setattr(buttons, "widgets_here", lambda: False)
    shown = review._repr_mimebundle_()
    assert set(shown) == {"text/plain", "text/html"}
    assert f"0 of {len(review)} answered" in shown["text/plain"]
    assert "<table" in shown["text/html"]
    with pytest.raises(SettingError, match=r'pip install "kmon-analysis\[lab\]"'):
        review.widget()


def test_with_widgets_there_are_buttons_and_the_table_for_other_readers(review):
    data, _ = review._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert "answered" in data["text/plain"]
    assert "<table" in data["text/html"]


def test_nothing_left_to_ask_is_said(result, tmp_path):
    quiet = pages_of([])
    review = km.review_incidents(quiet, tmp_path / "i.yml")
    assert repr(review) == "No suggestion or false page is left to ask about."
    assert set(review._repr_mimebundle_()) == {"text/plain", "text/html"}
    assert len(review.to_frame()) == 0
    assert review.current is None


def test_buttons_do_what_the_functions_do(review, path):
    before = path.read_text()
    shown = Buttons(review)
    assert shown.at == 1
    assert shown.progress.value == f"<strong>1 of {len(review)}</strong>"
    assert "UTC (" in shown.facts.value
    assert 'alt="What HighConsumerLag compared around the page of question 1"' in shown.picture.value
    assert "https://g.example.com/d/kmon-kafka?from=" in shown.links.value
    assert shown.id.value == "INC-4"
    shown.note.value = "full disk"
    shown.must_page.value = False
    shown.buttons["incident"].click()
    added = read_incidents(path)["INC-4"]
    assert (added.cause, added.must_page, added.interval) == ("full disk", False, review[1].breach)
    assert added.labels == review[1].labels
    assert shown.at == 2
    assert shown.note.value == ""
    assert shown.must_page.value
    shown.buttons["noise"].click()
    shown.buttons["skip"].click()
    assert shown.at == 4
    assert review.to_frame()["said"].head(3).tolist() == ["incident", "noise", "skip"]
    for place in (3, 2, 1):
        shown.buttons["back"].click()
        assert shown.at == place
        assert f"Question {place} is open again." in shown.message.value
    assert path.read_text() == before


def test_what_is_hidden_hides_nothing_else():
    result = pages_of([(100, 90, 200)])
    shown = Buttons(
        Review(Session(result, IncidentFile(Path("i.yml"), EMPTY), questions(result)), 5, Links(), "UTC", "")
    )
    assert shown.alike.layout.display == "none"
    for each in (
        shown.facts,
        shown.id,
        shown.start,
        shown.end,
        shown.labels,
        shown.note,
        shown.must_page,
        shown.fields,
    ):
        assert each.layout.display in (None, "")


def test_labels_may_be_changed_or_left_out(review, path):
    shown = Buttons(review)
    assert shown.labels.value == '{consumergroup="email", topic="user.registered"}'
    shown.labels.value = 'topic="user.registered"'
    shown.buttons["incident"].click()
    shown.labels.value = ""
    shown.buttons["expected"].click()
    assert dict(read_incidents(path)["INC-4"].labels) == {"topic": "user.registered"}
    assert dict(read_incidents(path).excluded[-1].labels) == {}
    shown.labels.value = "topic"
    shown.buttons["noise"].click()
    assert "is not a series" in shown.message.value


def test_a_refusal_is_shown_and_changes_nothing(review, path):
    shown = Buttons(review)
    before = path.read_text()
    shown.id.value = "INC-1"
    shown.buttons["incident"].click()
    assert "there is an incident &#x27;INC-1&#x27; already" in shown.message.value
    assert 'role="alert"' in shown.message.value
    shown.start.value = "yesterday"
    shown.buttons["expected"].click()
    assert "is no time. Write it as &quot;2026-03-01 08:00&quot; in Europe/Berlin, or" in shown.message.value
    shown.buttons["back"].click()
    assert "nothing to take back" in shown.message.value
    assert (shown.at, path.read_text()) == (1, before)
    path.write_text(before + "# theirs\n")
    shown.start.value = ""
    shown.buttons["noise"].click()
    assert "changed by someone else" in shown.message.value
    with pytest.raises(OutputError):
        review.answer(1, "noise")
    assert path.read_text() == before + "# theirs\n"


def test_the_end_tells_what_changed_and_leaves_the_way_back(result, path):
    review = km.review_incidents(result, path, top=2)
    shown = Buttons(review)
    shown.buttons["incident"].click()
    shown.buttons["noise"].click()
    assert "All 2 questions are answered." in shown.progress.value
    assert "incidents caught 3 of 3 → 4 of 4" in shown.facts.value
    assert shown.buttons["noise"].disabled
    assert not shown.buttons["back"].disabled
    shown.buttons["back"].click()
    assert shown.at == 2
    assert not shown.buttons["noise"].disabled


def test_names_of_controls_are_stable(review):
    shown = Buttons(review)
    assert [each.description for each in shown.buttons.values()] == ["Incident", "Expected", "Noise", "Skip", "Back"]
    assert [each.description for each in (shown.id, shown.start, shown.end, shown.labels, shown.note)] == [
        "Id",
        "Start",
        "End",
        "Labels",
        "Note",
    ]
    assert all(each.tooltip for each in shown.buttons.values())


def test_hostile_labels_are_harmless(tmp_path):
    result = pages_of([(100, 90, 200)], groups=(HOSTILE,))
    session = Session(result, IncidentFile.open(tmp_path / "i.yml"), questions(result))
    review = Review(session, 5, Links("https://g.example.com/?t={label.topic}"), "UTC", "")
    shown = Buttons(review)
    texts = [review._repr_html_(), shown.facts.value, shown.links.value, shown.picture.value[:200]]
    assert json.dumps(texts)
    for text in texts:
        assert "<script>" not in text
        assert "\u202e" not in text
        assert "\x1b" not in text
    assert "\u202e" not in repr(review)
    shown.note.value = HOSTILE
    shown.buttons["expected"].click()
    assert len(read_incidents(tmp_path / "i.yml").excluded) == 1
    assert "<script>" not in shown.message.value
