from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kmon_analysis.backtest.pages import episodes, fire
from kmon_analysis.backtest.score import credit_window, make_windows, reaches, score
from kmon_analysis.backtest.settings import Settings
from kmon_analysis.backtest.signal import make_signal
from kmon_analysis.incidents import Excluded, Incident, Incidents
from kmon_analysis.labels import Labels
from kmon_analysis.timing import MINUTE_MS, Interval
from tests.backtest import naive

RULE = "HighConsumerLag"


def truth(*incidents, excluded=()):
    return Incidents(incidents=tuple(incidents), excluded=tuple(excluded))


def minutes(start, end):
    return Interval(start * MINUTE_MS, end * MINUTE_MS)


def scored(levels, known, *, level, for_min=0, gap_min=0, period=None, observed=None, labels=None, by=None):
    levels = np.atleast_2d(np.array(levels, dtype=float))
    times = np.arange(levels.shape[1], dtype=np.int64) * MINUTE_MS
    chosen = Settings(merge_gap_ms=gap_min * MINUTE_MS, group_by=by)
    names = labels or [Labels({"topic": f"t{row}"}) for row in range(len(levels))]
    signal = make_signal(names, times, levels, ">", group_by=by)
    seen = np.ones(len(times), dtype=bool) if observed is None else np.array(observed)
    at = {"rule": RULE, "settings": chosen, "for_ms": for_min * MINUTE_MS, "observed": seen}
    windows = make_windows(signal, known, **at)
    firing = fire(signal, windows, for_ms=for_min * MINUTE_MS, keep_firing_for_ms=0, merge_gap_ms=chosen.merge_gap_ms)
    everything = minutes(0, levels.shape[1])
    found = reaches(firing, known.incidents, **at, period=everything)
    whole = period or everything
    return score(firing, found, episodes(firing, level), rule=RULE, level=level, period=whole)


def spikes(length, *columns, height=9.0):
    levels = np.zeros(length)
    for column in columns:
        levels[column] = height
    return levels


def test_a_page_in_time_is_true_and_its_delay_counts_from_the_labelled_start():
    found = scored(spikes(120, 65, 66, 67), truth(Incident("A", minutes(60, 70))), level=5)
    assert [page.kind for page in found.pages] == ["true"]
    assert [(o.status, o.delay_ms) for o in found.outcomes] == [("caught", 5 * MINUTE_MS)]
    assert (found.caught, found.false_pages, found.incidents) == (1, 0, 1)


def test_a_page_before_the_start_is_early_and_one_that_was_open_is_no_success():
    known = truth(Incident("A", minutes(60, 70)))
    early = scored(spikes(120, *range(50, 55)), known, level=5)
    assert [(o.status, o.delay_ms) for o in early.outcomes] == [("early", 0)]
    stuck = scored(spikes(120, *range(30, 90)), known, level=5)
    assert [(o.status, o.delay_ms) for o in stuck.outcomes] == [("already firing", None)]
    assert (stuck.caught, stuck.already_firing) == (0, 1)
    # The page itself touches the credit window: it is not a false one either.
    assert [page.kind for page in stuck.pages] == ["true"]


def test_the_credit_window_is_half_open_and_grows_with_for():
    incident = Incident("A", minutes(60, 70))
    assert credit_window(incident, Settings(), 10 * MINUTE_MS) == minutes(45, 85)
    known = truth(incident)
    assert scored(spikes(120, 44), known, level=5).false_pages == 1
    assert scored(spikes(120, 45), known, level=5).false_pages == 0
    assert scored(spikes(120, 74), known, level=5).false_pages == 0
    assert scored(spikes(120, 75), known, level=5).false_pages == 1


def test_incidents_of_other_series_and_rules_give_no_credit():
    other = truth(Incident("A", minutes(60, 70), labels={"topic": "t1"}))
    found = scored([spikes(120, 65), spikes(120)], other, level=5)
    assert (found.caught, found.false_pages) == (0, 1)
    assert scored(spikes(120, 65), truth(Incident("A", minutes(60, 70), rules=("Other",))), level=5).incidents == 0
    # A label that the alert does not carry cannot contradict.
    loose = truth(Incident("A", minutes(60, 70), labels={"consumergroup": "email"}))
    assert scored(spikes(120, 65), loose, level=5).caught == 1


def test_excluded_windows_forgive_but_do_not_credit():
    known = truth(Incident("A", minutes(200, 210)), excluded=[Excluded(minutes(60, 70), "maintenance")])
    found = scored(spikes(300, 65, 205), known, level=5)
    assert [page.kind for page in found.pages] == ["excluded", "true"]
    assert found.false_pages == 0


def test_pages_are_credited_one_to_one_as_near_as_possible():
    known = truth(Incident("A", minutes(100, 102)), Incident("B", minutes(104, 106)))
    found = scored(spikes(300, 103, 110), known, level=5)
    # Greedy would give the page at 103 to B (nearer) and leave the one at 110 without a partner.
    assert [(page.kind, page.incident) for page in found.pages] == [("true", "A"), ("true", "B")]
    one = scored(spikes(300, 105, 107, 119), truth(Incident("A", minutes(100, 120))), level=5)
    assert [page.kind for page in one.pages] == ["true", "duplicate", "duplicate"]
    both = scored(spikes(300, *range(101, 126)), known, level=5)
    assert both.caught == 2
    assert len(both.pages) == 1


def test_optional_incidents_neither_earn_nor_cost():
    known = truth(Incident("A", minutes(60, 70), must_page=False))
    found = scored(spikes(120, 65), known, level=5)
    assert (found.incidents, found.caught, found.false_pages) == (0, 0, 0)
    assert [o.status for o in found.optional] == ["caught"]


def test_an_incident_without_data_is_not_counted_as_missed():
    observed = np.ones(200, dtype=bool)
    observed[40:100] = False
    found = scored(spikes(200), truth(Incident("A", minutes(60, 70))), level=5, observed=observed)
    assert [o.status for o in found.outcomes] == ["no data"]
    assert (found.incidents, found.missed) == (0, ())


def test_normal_time_leaves_out_windows_and_silence():
    observed = np.ones(1000, dtype=bool)
    observed[900:] = False
    known = truth(Incident("A", minutes(60, 70)), excluded=[Excluded(minutes(200, 250), "maintenance")])
    found = scored(spikes(1000, 500, 501), known, level=5, observed=observed)
    # 1000 minutes - 100 without data - 30 of the credit window (45 to 75) - 50 excluded.
    assert found.weeks == (1000 - 100 - 30 - 50) / (7 * 24 * 60)
    assert found.firing_ratio == 2 / 820


def test_a_period_counts_what_starts_in_it():
    known = truth(Incident("A", minutes(60, 70)), Incident("B", minutes(360, 370)))
    found = scored(spikes(600, 65, 200, 365, 500), known, level=5, period=minutes(300, 600))
    assert [o.incident.id for o in found.outcomes] == ["B"]
    assert [page.episode.interval.start_ms // MINUTE_MS for page in found.pages] == [365, 500]
    assert found.weekly_false_pages().tolist() == [1]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_kinds_agree_with_the_definitions(data):
    length = 90
    rows = data.draw(st.integers(1, 3))
    value = st.sampled_from([0.0, 2.0, 6.0])
    levels = np.array([[data.draw(value) for _ in range(length)] for _ in range(rows)])
    span = st.tuples(st.integers(0, length - 2), st.integers(1, 12))
    incidents = [
        Incident(
            f"I{number}",
            minutes(start, start + size),
            labels=data.draw(st.sampled_from([{}, {"topic": "t0"}, {"topic": "t1"}])),
            must_page=data.draw(st.booleans()),
        )
        for number, (start, size) in enumerate(data.draw(st.lists(span, max_size=3)))
    ]
    excluded = [Excluded(minutes(s, s + n), "x") for s, n in data.draw(st.lists(span, max_size=2))]
    known = truth(*incidents, excluded=excluded)
    for_min, gap_min = data.draw(st.sampled_from([0, 1, 3])), data.draw(st.sampled_from([0, 2, 5]))
    level = data.draw(st.sampled_from([-1.0, 0.0, 2.0, 5.0]))
    found = scored(levels, known, level=level, for_min=for_min, gap_min=gap_min)

    times = [column * MINUTE_MS for column in range(length)]
    kinds = []
    firing = {}
    for row in range(rows):
        labels = Labels({"topic": f"t{row}"})
        on = naive.group_fires([levels[row].tolist()], times, level, for_min * MINUTE_MS, 0)
        firing[row] = [times[column] for column in range(length) if on[column]]
        for page in naive.pages(on, times, gap_min * MINUTE_MS):
            at = [times[column] for column in page]
            hit = any(
                instant in credit_window(incident, Settings(), for_min * MINUTE_MS)
                for incident in incidents
                if incident.concerns(RULE, labels)
                for instant in at
            )
            out = any(instant in window.interval for window in excluded for instant in at)
            kinds.append((at[0], row, "true" if hit else "excluded" if out else "false"))
    got = [
        (p.episode.interval.start_ms, p.episode.group, "true" if p.kind == "duplicate" else p.kind) for p in found.pages
    ]
    assert got == sorted(kinds)
    for outcome in [*found.outcomes, *found.optional]:
        window = credit_window(outcome.incident, Settings(), for_min * MINUTE_MS)
        concerned = [r for r in range(rows) if outcome.incident.concerns(RULE, Labels({"topic": f"t{r}"}))]
        before = [i for r in concerned for i in firing[r] if i < window.start_ms]
        inside = [i for r in concerned for i in firing[r] if i in window]
        last = max((t for t in times if t < window.start_ms), default=None)
        if last is not None and last in before:
            assert outcome.status == "already firing"
        elif not inside:
            assert outcome.status == "missed"
        else:
            start = outcome.incident.interval.start_ms
            assert outcome.status == ("early" if min(inside) < start else "caught")
            assert outcome.delay_ms == max(0, min(inside) - start)


def on(length, start, stop, height=9.0):
    return spikes(length, *range(start, stop), height=height)


def test_a_page_tells_of_the_incident_that_begins_while_it_fires_for_an_earlier_one():
    both = truth(Incident("A", minutes(60, 120)), Incident("B", minutes(90, 130)))
    one = scored(on(200, 65, 120), both, level=5)
    assert [(o.incident.id, o.status, o.within) for o in one.outcomes] == [
        ("A", "caught", None),
        ("B", "already firing", "A"),
    ]
    assert (one.incidents, one.caught, one.required) == (2, 1, 1)
    # The alert fired since before A, too: it tells of neither.
    stuck = scored(on(200, 30, 120), both, level=5)
    assert [o.within for o in stuck.outcomes] == [None, None]
    assert stuck.required == 2
    # A ends before B begins, or is about other series: its page is none for B.
    apart = truth(Incident("A", minutes(60, 90)), Incident("B", minutes(90, 130)))
    assert scored(on(200, 65, 120), apart, level=5).required == 2
    other = truth(
        Incident("A", minutes(60, 120), {"consumergroup": "a"}), Incident("B", minutes(90, 130), {"consumergroup": "b"})
    )
    assert scored(on(200, 65, 120), other, level=5).required == 2
    # A third one that only the second overlaps: the same firing, the same page.
    three = truth(*both, Incident("C", minutes(125, 140)))
    assert [o.within for o in scored(on(200, 65, 150), three, level=5).outcomes] == [None, "A", "B"]


def test_what_began_before_the_evaluated_time_need_not_be_found():
    levels, times = on(200, 30, 60), np.arange(200, dtype=np.int64) * MINUTE_MS
    signal = make_signal([Labels()], times, np.atleast_2d(levels), ">")
    known = (Incident("A", minutes(-60, 20)), Incident("B", minutes(30, 60)), Incident("C", minutes(90, 99)))
    seen = times < 70 * MINUTE_MS
    at = {"rule": RULE, "settings": Settings(), "for_ms": 0, "observed": seen}
    firing = fire(signal, make_windows(signal, truth(*known), **at), for_ms=0, keep_firing_for_ms=0, merge_gap_ms=0)
    found = reaches(firing, known, **at, period=minutes(0, 200))
    assert [each.required for each in found] == [False, True, False]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_one_page_for_several_incidents_agrees_with_a_walk_back_in_time(data):
    length = 90
    rows = data.draw(st.integers(1, 2))
    levels = np.array([[data.draw(st.sampled_from([0.0, 2.0, 6.0, 6.0])) for _ in range(length)] for _ in range(rows)])
    span = st.tuples(st.integers(16, 60), st.integers(1, 40))
    incidents = [
        Incident(
            f"I{number}", minutes(start, start + size), data.draw(st.sampled_from([{}, {"topic": "t0"}, {"x": "y"}]))
        )
        for number, (start, size) in enumerate(data.draw(st.lists(span, min_size=2, max_size=4)))
    ]
    level, for_min = data.draw(st.sampled_from([0.0, 2.0, 5.0])), data.draw(st.sampled_from([0, 2]))
    found = scored(levels, truth(*incidents), level=level, for_min=for_min)
    times = [column * MINUTE_MS for column in range(length)]
    on_at = {
        row: naive.group_fires([levels[row].tolist()], times, level, for_min * MINUTE_MS, 0) for row in range(rows)
    }

    def first_window(incident, row):
        """Where the credit windows of the outage begin that an incident is part of."""
        columns = [incident.interval.start_ms // MINUTE_MS - 15]
        for other in incidents:
            before = other.interval.start_ms < incident.interval.start_ms < other.interval.end_ms
            alike = all(incident.labels.get(name, value) == value for name, value in other.labels.items())
            if before and alike and other.concerns(RULE, {"topic": f"t{row}"}):
                columns.append(first_window(other, row))
        return min(columns)

    for outcome in found.outcomes:
        begin = outcome.incident.interval.start_ms // MINUTE_MS - 15
        fresh, old = False, False
        for row in range(rows):
            if not outcome.incident.concerns(RULE, {"topic": f"t{row}"}):
                continue
            column = begin - 1
            if not on_at[row][column]:
                continue
            while column >= 0 and on_at[row][column]:
                column -= 1
            begun = column + 1
            if begun >= first_window(outcome.incident, row):
                fresh = True
            else:
                old = True
        assert (outcome.status == "already firing") == (fresh or old)
        assert (outcome.within is not None) == (fresh and not old)
