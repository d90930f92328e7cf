"""Causes replayed together: what breaks agreement is taken back or proves nothing; few instants prove no phase."""

from itertools import pairwise
from types import SimpleNamespace

import pytest

from kmon_analysis.backtest.evidence import investigate
from kmon_analysis.backtest.timelines import Difference
from kmon_analysis.backtest.validated import Cause, Step, validated
from kmon_analysis.backtest.worlds import Case
from kmon_analysis.labels import Labels
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.series import SeriesSet
from kmon_analysis.timing import EvaluationGrid, Interval
from tests.verify.naive import STEP_MS, Naive, lag
from tests.verify.test_causes import END_MS, group


def spans(*pairs):
    return tuple(Difference(Labels({"alertname": "A"}), Interval(*pair), "none", "firing") for pair in pairs)


def step(name, places=(0,)):
    return Step((Cause("restart", name),), places, lambda world: SimpleNamespace(has=world.has | {name}))


def judged(table, *names):
    """Run on worlds that are sets of names; a table gives the differences of each."""
    steps = [step(name) for name in names]
    plain = SimpleNamespace(has=frozenset())
    before = {0: spans(*table[frozenset()])}
    kept, unsound = validated(plain, steps, before, lambda world, _: spans(*table[world.has]))
    return [one.causes[0].evidence for one in kept], {one.causes[0].evidence for one in kept if id(one) in unsound}


def test_causes_that_break_nothing_are_kept():
    table = {frozenset(): [(0, 9)], frozenset("a"): [(5, 9)], frozenset("ab"): []}
    assert judged(table, "a", "b") == (["a", "b"], set())


def test_a_cause_that_breaks_more_than_it_explains_is_taken_back():
    table = {
        frozenset(): [(0, 9)], frozenset("a"): [], frozenset("b"): [(0, 9), (20, 90)], frozenset("ab"): [(20, 90)],
    }  # fmt: skip
    assert judged(table, "a", "b") == (["a"], set())


def test_a_cause_that_explains_more_than_it_breaks_proves_nothing():
    table = {frozenset(): [(0, 50)], frozenset("a"): [(60, 62)], frozenset("b"): [(0, 50)], frozenset("ab"): [(60, 62)]}
    assert judged(table, "a", "b") == (["a", "b"], {"a"})


def test_causes_that_only_together_break_more_are_all_taken_back():
    worse = [(0, 50), (60, 90)]
    table = {frozenset(): [(0, 50)], frozenset("a"): worse, frozenset("b"): worse, frozenset("ab"): worse}
    assert judged(table, "a", "b") == ([], set())


def looked_at(server, window, *, starts=(), told=False, phase_ms=1_000):
    case = Case(
        (group(server.for_ms),),
        server.series(),
        (EvaluationGrid(0, END_MS, STEP_MS, phase_ms),),
        window,
        Semantics.of("3.16"),
        (None,),
        starts,
        told_phases=(told,),
    )
    [verdict] = investigate(case)
    return verdict


def test_a_restart_does_not_excuse_that_nothing_was_ever_recorded():
    """The server was up and scraped: that it never wrote the alert is no work of its start."""
    server = Naive(lag(1, END_MS), for_ms=20_000, phase_ms=1_000)
    server.run(END_MS)
    server.written.clear()
    verdict = looked_at(server, Interval(0, END_MS), starts=(60_000,))
    assert verdict.told.evaluations == verdict.plain.evaluations
    assert verdict.told.agreed >= verdict.plain.agreed
    firing = [each for each in verdict.explained if each.difference.interval.start_ms > 120_000]
    assert firing
    assert "proven" not in {each.verdict for each in firing}
    assert all(not each.causes for each in firing if each.verdict == "unexplained")


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("instants", [1, 2])
def test_few_instants_prove_no_phase(told, instants):
    server = Naive({"a": [(ts, 90.0 if 900_000 <= ts < 900_000 + instants * STEP_MS else 0.0)
                          for ts in range(0, END_MS, 5_000)]}, phase_ms=7_000)  # fmt: skip
    server.run(END_MS)
    server.written = {key: [row for row in rows if row[1] == row[1]][:instants] for key, rows in server.written.items()}
    verdict = looked_at(server, Interval(0, END_MS), told=told)
    assert verdict.explained
    assert "proven" not in {each.verdict for each in verdict.explained}


def test_the_verdict_on_a_state_is_that_of_a_longer_range():
    """One instant off the phase that the server tells: alone in a short range, one of many in a long one."""
    server = Naive(lag(3, END_MS), phase_ms=1_000)
    server.run(END_MS)
    stray_ms = END_MS - 3_000 - STEP_MS
    server.written["ghost", "firing"] = [(stray_ms, 1.0)]
    verdicts = [
        {each.verdict for each in looked_at(server, Interval(start_ms, END_MS), told=True).explained
         if each.difference.labels["topic"] == "ghost"}
        for start_ms in (0, END_MS - 60_000)
    ]  # fmt: skip
    assert verdicts == [{"unexplained"}] * 2


@pytest.mark.parametrize("told", [False, True])
def test_a_phase_is_proven_by_three_instants_unless_the_server_tells_another(told):
    server = Naive(lag(0, END_MS), for_ms=20_000, phase_ms=7_300)
    server.run(END_MS)
    verdict = looked_at(server, Interval(0, END_MS), told=told)
    assert {each.verdict for each in verdict.explained} == {"probable" if told else "proven"}
    assert verdict.plain.evaluations == verdict.told.evaluations == verdict.told.agreed
    assert verdict.beginnings[0] == verdict.beginnings_told[0] == verdict.beginnings_told[1]


def test_a_late_sample_is_not_proven_where_instants_lie_off_the_phase():
    samples = lag(1, END_MS, every_ms=10_000)
    server = Naive(samples, for_ms=20_000, phase_ms=3_000)
    rises = [ts + 3_000 for rows in samples.values() for (_, low), (ts, high) in pairwise(rows) if low <= 50 < high]
    server.hidden = frozenset(rises[:2])
    server.run(END_MS)
    window = Interval(0, END_MS)
    late = looked_at(server, window, told=True, phase_ms=3_000).explained
    assert {each.verdict for each in late} == {"proven"}
    server.written["ghost", "firing"] = [(500_000, 1.0)]
    found = looked_at(server, window, told=True, phase_ms=3_000).explained
    assert {each.verdict for each in found if each.difference.labels["topic"] == "ghost"} == {"unexplained"}
    assert {each.verdict for each in found if each.difference.labels["topic"] != "ghost"} == {"probable"}


def test_empty_records_are_compared():
    case = Case((group(),), SeriesSet.from_samples([]), (EvaluationGrid(0, END_MS, STEP_MS),), Interval(0, END_MS),
                Semantics.of("3.16"), starts=(60_000,))  # fmt: skip
    [verdict] = investigate(case)
    assert verdict.explained == ()
