"""Which false pages are asked about, and what answers add, by value on the bundled service and on made pages."""

from dataclasses import replace

import numpy as np
import pytest

from kmon_analysis.backtest.again import with_incidents
from kmon_analysis.errors import SettingError
from kmon_analysis.history import History, Provenance
from kmon_analysis.incidents import Excluded, Incident, Incidents, Reviewed, parse_incidents
from kmon_analysis.labelling.edit import IncidentFile
from kmon_analysis.labelling.review import (
    Answer,
    alike,
    answered,
    proposed_id,
    questions,
    settled,
    trace,
)
from kmon_analysis.labelling.session import Session
from kmon_analysis.labels import Labels
from kmon_analysis.report.asked import facts, question_json
from kmon_analysis.rules.reader import parse_rules
from kmon_analysis.series import Samples, SeriesSet
from kmon_analysis.timing import DAY_MS, HOUR_MS, MINUTE_MS, WEEK_MS, Interval, format_instant, parse_instant
from kmon_analysis.workflow import backtest
from tests.labelling.conftest import SERVICE
from tests.recommend.world import START

ARCHIVER = Labels({"consumergroup": "audit-archiver", "topic": "user.account.deleted"})
HOSTILE = "<script>alert(1)</script> | `x` $y$ \u202eevil\x1b[31m\n" + "long " * 50


# ---- the bundled service ------------------------------------------------------------------------


def test_every_false_page_is_asked_about_once(service, asked):
    for name, score in service.scores.items():
        false = sorted(page.episode.interval for page in score.pages if page.kind == "false")
        assert sorted(page for each in asked if each.rule == name for page in each.pages) == false
    assert len({each.key for each in asked}) == len(asked) == 242
    assert sum(not each.repeats for each in asked) == 20


def test_the_worst_page_of_the_service(service, asked):
    first = asked[0]
    assert (first.rule, first.labels, len(first.pages)) == ("HighConsumerLag", ARCHIVER, 1)
    assert format_instant(first.breach.start_ms) == "2026-04-09T09:11:00Z"
    assert first.interval.start_ms - first.breach.start_ms == 5 * MINUTE_MS
    assert (first.threshold, first.peak, first.op, first.height) == (1000.0, 3613.0, ">", 2613.0)
    assert dict(first.others) == {"HighConsumerLag": 1, "LowMessageRate": 2}
    assert first.key.startswith("2026-04-09T09:16:00Z-")


def test_a_rule_that_fires_on_low_values_and_one_without_a_threshold(asked):
    low = next(each for each in asked if each.rule == "LowMessageRate")
    assert (low.threshold, low.peak, low.op, low.labels) == (1.0, 0.0, "<", Labels({"topic": "user.account.deleted"}))
    [leader] = [each for each in asked if each.rule == "KafkaNoLeader"]
    assert (leader.threshold, leader.peak, leader.height, leader.labels) == (None, None, None, Labels())
    assert leader.rank == pytest.approx(leader.firing_ms / HOUR_MS)


def test_one_rule_alone_gives_its_part_in_its_order(service, asked):
    alone = questions(service, "LowMessageRate")
    assert alone == tuple(each for each in asked if each.rule == "LowMessageRate")
    kinds = [each.rank for each in alone if not each.repeats]
    assert kinds == sorted(kinds, reverse=True)
    with pytest.raises(Exception, match="NoSuchRule"):
        questions(service, "NoSuchRule")


@pytest.mark.parametrize("place", [0, 6, 17, 200])
def test_what_is_asked_agrees_with_a_slow_look_at_the_pages(service, asked, place):
    one = asked[place]
    score = service.scores[one.rule]
    mine = [
        p.episode
        for p in score.pages
        if p.kind == "false" and all(p.episode.labels.value(name) == text for name, text in one.labels.items())
    ]
    days = set()
    for page in mine:
        for shift in range(-80, 81):
            when = one.breach.start_ms + shift * DAY_MS
            if page.interval.start_ms < when + HOUR_MS and page.interval.end_ms > when - HOUR_MS:
                days.add(shift)
    held = [
        shift for shift in range(-80, 81) if shift and one.breach.start_ms + shift * DAY_MS in service[one.rule].period
    ]
    assert one.days == (len(days & set(held)), len(held))
    assert one.weekdays == (len([s for s in days & set(held) if s % 7 == 0]), len([s for s in held if s % 7 == 0]))
    for name, count in one.others:
        pages = [p.episode for p in service.scores[name].pages if p.episode.interval.overlaps(one.breach)]
        assert count == len(pages) - (len(one.pages) if name == one.rule else 0)


def test_a_trace_is_what_the_rule_compared(service, asked):
    for one in (asked[0], next(each for each in asked if each.rule == "LowMessageRate")):
        seen = trace(service, one)
        assert seen.times[0] <= one.breach.start_ms - HOUR_MS + MINUTE_MS
        inside = (seen.times >= one.breach.start_ms) & (seen.times < one.breach.end_ms)
        beyond = seen.values[inside] > one.threshold if one.op == ">" else seen.values[inside] < one.threshold
        assert beyond.all()
        best = np.nanmax(seen.values[inside]) if one.op == ">" else np.nanmin(seen.values[inside])
        assert best == one.peak
        assert seen.firing.sum() == one.firing_ms / MINUTE_MS


# ---- answers, and what they change --------------------------------------------------------------


@pytest.fixture(scope="module")
def text():
    return (SERVICE / "incidents.yml").read_text()


def after(service, text):
    return with_incidents(service, parse_incidents(text))


def test_an_incident_is_added_and_the_page_is_no_longer_false(service, asked, text):
    one = asked[9]
    assert one.rule == "HighConsumerLag"
    new = answered(text, one, Answer("incident", note="mail relay: slow"))
    added = parse_incidents(new).incidents[-1]
    assert added == Incident(
        "INC-21",
        one.breach,
        one.labels,
        ("HighConsumerLag",),
        cause="mail relay: slow",
        suggested_by=("HighConsumerLag",),
    )
    [circular] = parse_incidents(new).check_circular()
    assert "HighConsumerLag" in circular
    assert "no evidence" in circular
    scored = after(service, new)
    assert scored.scores[one.rule].false_pages == service.scores[one.rule].false_pages - len(one.pages)
    assert scored.scores[one.rule].incidents == service.scores[one.rule].incidents + 1
    assert scored.scores[one.rule].caught == service.scores[one.rule].caught + 1
    assert one.key not in {each.key for each in questions(scored)}


def test_an_expected_event_is_an_excluded_window(service, asked, text):
    one = next(each for each in asked if each.rule == "LowMessageRate")
    new = answered(text, one, Answer("expected", note="no business on Tuesdays"))
    assert parse_incidents(new).excluded[-1] == Excluded(one.breach, "no business on Tuesdays", one.labels)
    scored = after(service, new)
    assert scored.scores[one.rule].false_pages == service.scores[one.rule].false_pages - 1
    assert scored.scores[one.rule].incidents == service.scores[one.rule].incidents


def test_noise_keeps_counting_and_is_not_asked_again(service, asked, text):
    one = asked[0]
    when = parse_instant("2026-05-01T10:00:00Z")
    new = answered(text, one, Answer("noise", note="nightly", by="ana", when_ms=when))
    [seen] = parse_incidents(new).reviewed
    assert seen == Reviewed(one.interval, "noise", one.labels, ("HighConsumerLag",), "ana", when, "nightly")
    scored = after(service, new)
    assert scored.scores == service.scores
    left = questions(scored)
    assert {each.key for each in asked} - {each.key for each in left} == {one.key}


def test_every_answer_settles_its_own_question_only_by_the_file(service, asked, text):
    """A second run goes on where the first stopped, whatever was said."""
    for place, decision in ((0, "incident"), (4, "expected"), (6, "noise"), (18, "noise"), (19, "incident")):
        text = answered(text, asked[place], Answer(decision))
        assert settled(asked[place], parse_incidents(text))
    left = {each.key for each in questions(after(service, text))}
    gone = {each.key for each in asked} - left
    assert {asked[place].key for place in (0, 4, 6, 18, 19)} <= gone
    said = parse_incidents(text)
    assert all(settled(each, said) for each in asked if each.key in gone)
    assert not any(settled(each, said) for each in asked if each.key in left)


def test_answers_that_do_not_concern_the_page_are_refused(asked, text):
    one = asked[0]
    far = Interval(one.interval.end_ms + DAY_MS, one.interval.end_ms + 2 * DAY_MS)
    for decision in ("incident", "expected", "noise"):
        with pytest.raises(SettingError, match=f"the {decision} does not concern the page"):
            answered(text, one, Answer(decision, interval=far))
        with pytest.raises(SettingError, match="keep labels that the page has"):
            answered(text, one, Answer(decision, labels={"topic": "other"}))
    with pytest.raises(SettingError, match="an incident 'INC-03' already"):
        answered(text, one, Answer("incident", id="INC-03"))
    with pytest.raises(SettingError, match=r"'incidnet' is no answer\n.*Did you mean 'incident'"):
        Answer("incidnet")
    # Near enough to be credited with the page is near enough.
    early = Interval(one.interval.start_ms - 2 * HOUR_MS, one.interval.start_ms - 9 * MINUTE_MS)
    assert len(parse_incidents(answered(text, one, Answer("incident", interval=early)))) == 21


def test_ids_go_on_where_the_list_stopped(asked):
    def given(*ids):
        return Incidents(tuple(Incident(each, Interval(place, place + 1)) for place, each in enumerate(ids)))

    assert proposed_id(given("INC-20", "INC-7", "x"), asked[0]) == "INC-21"
    assert proposed_id(given("outage-009", "big one"), asked[0]) == "outage-010"
    assert proposed_id(given("99"), asked[0]) == "100"
    assert proposed_id(given("a"), asked[0]) == "page-20260409-0911"
    assert proposed_id(given(), asked[0]) == "page-20260409-0911"
    with_digits = given("a", "page-20260409-0911")
    assert proposed_id(with_digits, asked[0]) not in {each.id for each in with_digits}


def test_alike_is_the_same_alert_at_the_same_time_of_day(asked):
    first = asked[0]
    others = alike(first, asked)
    assert first not in others
    assert others
    for each in asked:
        clock = abs(each.breach.start_ms % DAY_MS - first.breach.start_ms % DAY_MS)
        near = min(clock, DAY_MS - clock) <= HOUR_MS
        same = (each.rule, each.labels) == (first.rule, first.labels)
        assert (each in others) == (near and same and each.key != first.key)


# ---- made pages ---------------------------------------------------------------------------------


def pages_of(levels, rule="lag > 100", extra="", groups=("a",), minutes=2 * WEEK_MS // MINUTE_MS, **settings):
    """Replay a rule over series that are at `levels` = (minute, length, value) and else at 0."""
    times = START + np.arange(minutes, dtype=np.int64) * MINUTE_MS
    samples = []
    for group in groups:
        values = np.zeros(minutes)
        for at, length, value in levels:
            values[at : at + length] = value
        samples.append(Samples(Labels({"__name__": "lag", "topic": group}), times, values))
    history = History(
        SeriesSet.from_samples(samples),
        Provenance("test", START, START + minutes * MINUTE_MS, scrape_interval_ms=MINUTE_MS),
    )
    rules = parse_rules(f"groups:\n- name: g\n  rules:\n  - alert: Lag\n    expr: {rule}\n{extra}")
    return backtest(rules, history, **settings)


def minute(at):
    return START + at * MINUTE_MS


def test_neighbours_are_one_question():
    result = pages_of([(100, 10, 200), (150, 10, 900), (230, 5, 300)])
    first, second = questions(result)
    assert first.pages == (Interval(minute(100), minute(110)), Interval(minute(150), minute(160)))
    assert first.breach == Interval(minute(100), minute(160))
    assert (first.peak, first.firing_ms) == (900.0, 20 * MINUTE_MS)
    assert second.pages == (Interval(minute(230), minute(235)),)
    assert len(questions(result, neighbours_ms=0)) == 3


def test_the_breach_begins_before_the_page_and_ends_before_keep_firing_for_does():
    extra = "    for: 10m\n    keep_firing_for: 30m\n"
    [one] = questions(pages_of([(100, 40, 200)], extra=extra))
    assert one.pages == (Interval(minute(110), minute(170)),)
    assert one.breach == Interval(minute(100), minute(140))
    # The page was credited with what its rule waits for.
    assert one.credit_ms == (15 * MINUTE_MS, 15 * MINUTE_MS)


def test_longer_and_higher_comes_first_and_equal_ones_in_time():
    spikes = [(1000, 10, 300), (3000, 30, 300), (5500, 10, 800), (8100, 10, 300)]
    order = [each.breach.start_ms for each in questions(pages_of(spikes))]
    assert order == [minute(at) for at in (5500, 3000, 1000, 8100)]


def test_what_repeats_stands_behind_what_is_new():
    daily = [(day * 1440 + 120, 60, 900) for day in range(5)]
    asked = questions(pages_of([*daily, (10_000, 5, 200)]))
    assert [each.repeats for each in asked] == [False, False, *[True] * 4]
    assert asked[0].days == (4, 13)
    assert asked[0].weekdays == (0, 1)
    assert asked[1].breach.start_ms == minute(10_000)


def test_alerts_that_begin_together_are_one_cause():
    result = pages_of([(100, 30, 300), (5000, 10, 200)], groups=("a", "b", "c"))
    asked = questions(result)
    assert [each.repeats for each in asked] == [False, False, *[True] * 4]
    assert dict(asked[0].others) == {"Lag": 2}
    # What is said of all of them settles all of them.
    document = answered("incidents: []\n", asked[0], Answer("incident", labels={}))
    left = questions(with_incidents(result, parse_incidents(document)))
    assert [(each.breach.start_ms, each.repeats) for each in left] == [
        (minute(5000), False),
        (minute(5000), True),
        (minute(5000), True),
    ]


@pytest.mark.parametrize(("shift", "seen"), [(-121, 0), (-120, 0), (-119, 1), (0, 1), (59, 1), (60, 0), (61, 0)])
def test_the_same_hour_is_an_hour_to_either_side(shift, seen):
    # The other day's page lasts an hour, and touches the two hours around the same time or does not.
    asked = questions(pages_of([(3000, 30, 900), (3000 + 1440 + shift, 60, 200)]))
    assert next(each for each in asked if each.breach.start_ms == minute(3000)).days == (seen, 13)


def test_infinite_values_and_thresholds_of_zero_are_ranked():
    for rule in ("lag > 0", "lag / 0 > 5", "lag >= 50"):
        asked = questions(pages_of([(100, 10, 50), (3000, 20, 50)], rule=rule))
        assert [each.breach.start_ms for each in asked] == [minute(3000), minute(100)], rule
        assert all(np.isfinite(each.rank) for each in asked)


def test_a_history_without_false_pages_asks_nothing():
    assert questions(pages_of([])) == ()


def test_hostile_labels_go_into_the_list_and_come_back(text):
    [one] = questions(pages_of([(100, 10, 200)], groups=(HOSTILE,)))
    assert one.labels == Labels({"topic": HOSTILE})
    for decision in ("incident", "expected", "noise"):
        new = answered(text, one, Answer(decision, note=HOSTILE, by=HOSTILE))
        assert settled(one, parse_incidents(new))
        assert "\u202e" not in new
        assert "\x1b" not in new


def test_labels_that_a_list_cannot_name_are_left_out():
    result = pages_of([(100, 10, 200)], rule='label_replace(lag, "severity", "x", "", "") > 100')
    [one] = questions(result)
    assert one.labels == Labels({"topic": "a", "severity": "x"})
    own = pages_of([(100, 10, 200)], extra="    labels: {topic: all, team: b}\n")
    assert questions(own)[0].labels == Labels()


def test_a_group_of_alerts_is_one_page():
    from kmon_analysis.backtest.settings import Settings

    result = pages_of([(100, 10, 200)], groups=("a", "b"), settings=Settings(group_by=("alertname",)))
    [one] = questions(result)
    assert one.labels == Labels()
    assert one.pages == (Interval(minute(100), minute(110)),)
    two = questions(pages_of([(100, 10, 200)], groups=("a", "b")))
    assert [each.repeats for each in two] == [False, True]
    assert [each.labels.value("topic") for each in sorted(two, key=lambda each: each.labels)] == ["a", "b"]
    assert [dict(each.others) for each in two] == [{"Lag": 1}, {"Lag": 1}]


def test_reviewed_pages_are_left_out_for_their_rule_and_labels_only():
    result = pages_of([(100, 10, 200), (3000, 10, 200)], groups=("a", "b"))
    all_of_it = Interval(START, START + WEEK_MS)

    def left(**said):
        seen = Incidents(reviewed=(Reviewed(all_of_it, **said),))
        return len(questions(replace(result, incidents=seen)))

    assert left() == 0
    assert left(labels={"topic": "a"}) == 2
    assert left(rules=("Other",)) == 4
    assert len(questions(with_incidents(result, Incidents(excluded=(Excluded(all_of_it),))))) == 0


# ---- suggestions of the list --------------------------------------------------------------------


@pytest.fixture(scope="module")
def suggested(asked, text):
    """Return a list that holds two false pages of the service as undecided suggestions, with comments, and them."""
    one, two = asked[0], next(each for each in asked if each.rule == "LowMessageRate")
    lines = [
        "",
        "- id: SUG-1  # seen by ana",
        f'  start: "{format_instant(one.breach.start_ms)}"',
        f'  end: "{format_instant(one.breach.end_ms)}"  # or later',
        f"  labels: {{consumergroup: audit-archiver, topic: {one.labels.value('topic')}}}",
        "  rules: [HighConsumerLag]",
        "  status: suggested  # decide",
        '  kind: "suggested: unusual value"',
        "  suggested_by: [HighConsumerLag]",
        f'- {{id: SUG-2, start: "{format_instant(two.breach.start_ms)}", end: "{format_instant(two.breach.end_ms)}",',
        "   status: suggested, rules: [LowMessageRate], labels: {topic: user.account.deleted}}",
    ]
    end = text.index("\nexcluded:")
    return text[:end].rstrip("\n") + "\n".join(lines) + text[end:], one, two


def test_an_undecided_suggestion_is_asked_instead_of_its_page(service, asked, suggested):
    document, one, two = suggested
    found = questions(after(service, document))
    assert [each.suggestion and each.suggestion.id for each in found[:3]] == ["SUG-1", "SUG-2", None]
    assert {one.key, two.key}.isdisjoint(each.key for each in found)
    first = found[0]
    assert (first.rule, first.labels, first.breach, first.peak) == ("HighConsumerLag", ARCHIVER, one.breach, one.peak)
    assert found[1].peak == two.peak == 0.0
    seen = trace(service, first)
    assert np.nanmax(seen.values) == one.peak
    assert [each.suggestion.id for each in questions(after(service, document), "LowMessageRate")[:1]] == ["SUG-2"]


def test_the_page_of_a_suggestion_is_not_among_what_fired_meanwhile(service, asked, suggested):
    document, one, two = suggested
    first, second = questions(after(service, document))[:2]
    assert dict(first.others) == dict(one.others)
    assert dict(second.others) == dict(two.others)


def test_a_suggestion_of_no_rule_is_shown_as_what_it_is(service, text, tmp_path):
    path = tmp_path / "incidents.yml"
    end = text.index("\nexcluded:")
    path.write_text(
        text[:end].rstrip("\n")
        + '\n- {id: SUG-9, start: "2026-04-09T10:00:00Z", end: "2026-04-09T12:00:00Z",\n'
        + '   must_page: false, status: suggested, cause: "nothing at all was recorded for 2 h"}\n'
        + text[end:]
    )
    result = after(service, path.read_text())
    session = Session(result, IncidentFile.open(path), questions(result))
    first = session.question(1)
    assert first.ruleless
    assert (first.threshold, first.peak, first.op) == (None, None, "")
    assert first.head == "SUG-9 (suggested), no rule"
    told = dict(facts(session, 1))
    assert told["rule"] == "none: no rule suggested it"
    assert {"value", "same time"}.isdisjoint(told)
    assert "nothing at all was recorded for 2 h" in told["suggested"]
    said = question_json(session, 1)
    assert [said[key] for key in ("rule", "threshold", "peak", "op", "other_days", "other_weeks")] == [None] * 6


def test_each_decision_changes_the_suggestion_where_it_stands(service, suggested):
    document, one, _ = suggested
    first, second = questions(after(service, document))[:2]
    before = parse_incidents(document)

    new = answered(document, first, Answer("incident", note='slow "mail"'))
    changed = [pair for pair in zip(document.splitlines(), new.splitlines(), strict=False) if pair[0] != pair[1]]
    assert [old.strip() for old, _ in changed][:1] == ["status: suggested  # decide"]
    assert 'status: confirmed  # decide\n  cause: "slow \\"mail\\""\n  kind: ""\n' in new
    assert "SUG-1  # seen by ana" in new
    read = parse_incidents(new)
    assert len(read.incidents) == len(before.incidents) + 1
    assert len(read.suggested) == 1
    assert read["SUG-1"] == replace(before.suggested[0], status="confirmed", kind="", cause='slow "mail"')
    scored = after(service, new).scores["HighConsumerLag"]
    base = service.scores["HighConsumerLag"]
    assert (scored.incidents, scored.caught) == (base.incidents + 1, base.caught + 1)
    assert settled(first, read)
    assert not settled(second, read)

    moved = Interval(one.breach.start_ms + MINUTE_MS, one.breach.end_ms)
    new = answered(document, first, Answer("incident", id="INC-77", interval=moved, labels={}, must_page=False))
    assert parse_incidents(new)["INC-77"].interval == moved
    assert not parse_incidents(new)["INC-77"].labels
    assert not parse_incidents(new)["INC-77"].must_page
    assert "  # or later" in new

    new = answered(document, second, Answer("noise", note="batch"))
    assert [(each.id, each.cause) for each in parse_incidents(new).rejected] == [("SUG-2", "batch")]
    assert not any(each.suggestion and each.suggestion.id == "SUG-2" for each in questions(after(service, new)))
    assert not any(
        p.overlaps(second.breach) and each.rule == "LowMessageRate" and each.labels == second.labels
        for each in questions(after(service, new))
        for p in each.pages
    )
    assert after(service, new).scores["LowMessageRate"].false_pages == service.scores["LowMessageRate"].false_pages

    new = answered(document, first, Answer("expected", note="reload"))
    read = parse_incidents(new)
    assert len(read.rejected) == 1
    assert read.excluded[-1] == Excluded(one.breach, "reload", ARCHIVER)


def test_a_suggestion_that_repeats_an_incident_of_the_list_cannot_count_twice(service, asked, suggested, text):
    document, one, _ = suggested
    first = questions(after(service, document))[0]
    both = answered(document, one, Answer("incident"))
    with pytest.raises(SettingError, match="'INC-21' is about the same time"):
        answered(both, first, Answer("incident"))
    assert parse_incidents(answered(both, first, Answer("noise"))).rejected
    with pytest.raises(SettingError, match="lies outside the suggestion"):
        answered(document, first, Answer("incident", interval=Interval(0, 1)))
    with pytest.raises(SettingError, match="no undecided suggestion"):
        answered(text, first, Answer("noise"))
