"""A review in progress: answers are in the file at once, `back` takes them out again, byte for byte."""

from zoneinfo import ZoneInfo

import pytest

from kmon_analysis.errors import OutputError, SettingError
from kmon_analysis.incidents import parse_incidents
from kmon_analysis.labelling.edit import IncidentFile
from kmon_analysis.labelling.session import Session, said_instant
from kmon_analysis.rules.reader import read_rules
from kmon_analysis.sources.files import open_history
from kmon_analysis.timing import Interval, parse_instant
from kmon_analysis.workflow import backtest
from tests.labelling.conftest import SERVICE
from tests.labelling.test_edit import added_lines


@pytest.fixture
def session(service, asked, tmp_path):
    path = tmp_path / "incidents.yml"
    path.write_bytes((SERVICE / "incidents.yml").read_bytes())
    return Session(service, IncidentFile.open(path), asked)


def on_disk(session):
    return session.file.path.read_text(encoding="utf-8")


def test_answers_are_in_the_file_at_once_and_back_takes_them_out(session):
    texts = [on_disk(session)]
    session.answer(1, "noise", by="ana", note="nightly")
    texts.append(on_disk(session))
    session.skip(2)
    session.answer(10, "incident", id="INC-99", start="2026-04-05T21:30:00Z", must_page=False, kind="slow")
    texts.append(on_disk(session))
    assert session.current == 3
    assert session.answers == 2
    assert added_lines(texts[0], texts[1])[0] == "reviewed:\n"
    added = parse_incidents(texts[2])["INC-99"]
    breach = session.question(10).breach
    assert added.interval == Interval(parse_instant("2026-04-05T21:30:00Z"), breach.end_ms)
    assert (added.must_page, added.kind) == (False, "slow")
    assert session.back() == (session.question(10),)
    assert on_disk(session) == texts[1]
    assert session.back() == (session.question(2),)
    assert session.back() == (session.question(1),)
    assert on_disk(session) == texts[0]
    assert (session.current, session.said) == (1, {})
    with pytest.raises(SettingError, match="nothing to take back"):
        session.back()


def test_one_answer_for_all_of_a_kind(session, service):
    one = session.question(1)
    others = session.alike(1)
    assert len(others) == 7
    answered = session.answer(one.key, "expected", note="nightly archive", all_alike=True)
    assert set(answered) == {one, *others}
    windows = parse_incidents(on_disk(session)).excluded[-8:]
    assert {each.interval for each in windows} == {each.breach for each in answered}
    [lag] = [each for each in session.effects() if each.rule == "HighConsumerLag"]
    pages = sum(len(each.pages) for each in answered)
    assert lag.false_pages == (214, 214 - pages)
    session.back()
    assert session.said == {}
    # Other times are said of the question itself; the others have their own.
    session.answer(1, "expected", start=one.breach.start_ms - 1000, all_alike=True)
    moved = {each.interval for each in session.file.incidents.excluded[-8:]}
    assert Interval(one.breach.start_ms - 1000, one.breach.end_ms) in moved
    assert {each.breach for each in others} < moved
    session.back()
    with pytest.raises(SettingError, match="one by one"):
        session.answer(1, "incident", all_alike=True)


def test_an_answer_may_settle_other_questions_too(session):
    asked = [each for each in session.questions if each.rule == "HighConsumerLag"]
    one = session.question(4)
    assert one.rule == "LowMessageRate"
    inside = [
        each
        for each in asked
        if each.labels.value("topic") == one.labels.value("topic")
        and all(page.overlaps(one.breach) for page in each.pages)
    ]
    assert inside
    session.answer(4, "expected")
    assert {session.said[each.key] for each in inside} == {"settled"}
    assert session.answers == 1
    session.back()
    assert session.said == {}


def test_effects_are_those_of_a_new_backtest(session):
    session.answer(10, "incident")
    session.answer(5, "expected")
    session.answer(1, "noise")
    new = backtest(read_rules(SERVICE / "rules.yml"), open_history(SERVICE), session.file.incidents)
    effects = {each.rule: each for each in session.effects()}
    for name, score in new.scores.items():
        assert effects[name].false_pages[1] == score.false_pages
        assert effects[name].per_week[1] == score.shown_rate
        assert (effects[name].caught[1], effects[name].incidents[1]) == (score.caught, score.incidents)
    assert effects["HighConsumerLag"].sentence == (
        "HighConsumerLag: false pages a week 21.78 → 21.69 (214 → 213), incidents caught 10 of 10 → 11 of 11"
    )


def test_what_makes_no_sense_is_refused_and_nothing_written(session):
    before = on_disk(session)
    for arguments, said, words in (
        ((0, "noise"), {}, "no question 0"),
        ((243, "noise"), {}, "Give 1 to 242"),
        (("x", "noise"), {}, "no question 'x'"),
        ((1, "maybe"), {}, "'maybe' is no answer"),
        ((1, "incident"), {"id": "INC-01"}, "'INC-01' already"),
        ((1, "incident"), {"start": "yesterday"}, "not an RFC 3339 instant"),
        ((1, "incident"), {"end": "2026-04-01T00:00:00Z"}, "end before it starts"),
    ):
        with pytest.raises(SettingError, match=words):
            session.answer(*arguments, **said)
    assert on_disk(session) == before
    assert session.said == {}
    session.answer(1, "noise")
    with pytest.raises(SettingError, match="question 1 is answered: noise"):
        session.answer(1, "noise")


def test_instants_may_be_local_where_a_zone_is_given():
    berlin, noon = ZoneInfo("Europe/Berlin"), parse_instant("2026-10-15T12:00:00Z")
    for text in ("2026-10-15 11:00", "11:00", " 11:00:00 ", "2026-10-15T09:00:00Z", "15.10.2026 11:00"):
        assert said_instant(text, noon, berlin) == parse_instant("2026-10-15T09:00:00Z")
    with pytest.raises(SettingError, match="has no time zone"):
        said_instant("2026-10-15T11:00:00", noon)
    for text, often, one, other in (
        ("2026-10-25 02:30", "twice", "2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"),
        ("2026-03-29 02:30", "never", "2026-03-29T02:30:00+01:00", "2026-03-29T02:30:00+02:00"),
    ):
        with pytest.raises(SettingError, match=f"showed '{text}' {often}") as caught:
            said_instant(text, noon, berlin)
        assert caught.value.cure == f"Write it with its offset: {one} or {other}"
    with pytest.raises(SettingError, match="'noon' is no time") as caught:
        said_instant("noon", noon, berlin)
    assert "in Europe/Berlin, or with its zone" in caught.value.cure


def test_a_check_refuses_what_an_answer_would_and_writes_nothing(session):
    before = on_disk(session)
    session.check(1, "incident", id="INC-99", start=None, note="x", zone=None)
    with pytest.raises(SettingError, match="'INC-01' already"):
        session.check(1, "incident", id="INC-01")
    assert (on_disk(session), session.said) == (before, {})


def test_a_file_that_someone_else_changed_is_left_alone(session):
    session.answer(1, "noise")
    theirs = on_disk(session).replace("INC-20", "OPS-20")
    session.file.path.write_text(theirs, encoding="utf-8")
    for work in (lambda: session.answer(2, "noise"), session.back):
        with pytest.raises(OutputError, match="changed by someone else"):
            work()
        assert on_disk(session) == theirs
    assert session.current == 2
    assert len(session.said) == 1


def test_the_table_of_a_session(session):
    session.answer(1, "noise")
    frame = session.to_frame()
    assert frame.index.name == "number"
    assert len(frame) == len(session) == 242
    assert frame.loc[1, "said"] == "noise"
    assert frame.loc[1, "peak"] == 3613.0
    assert str(frame["start"].dt.tz) == "UTC"
    assert frame.loc[4, "rule"] == "LowMessageRate"
    empty = Session(session.result, session.file, ())
    assert len(empty.to_frame()) == 0
    with pytest.raises(SettingError, match="Nothing is left to ask"):
        empty.question(1)
