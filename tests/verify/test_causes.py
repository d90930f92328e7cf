"""Faults of a naive server, each of which must be found and named; without a fault nothing may differ."""

from itertools import pairwise

import pytest

from kmon_analysis.backtest.evidence import investigate
from kmon_analysis.backtest.worlds import Case
from kmon_analysis.promql.parser import parse
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.rules.model import AlertingRule, RecordingRule, RuleGroup
from kmon_analysis.series import Samples, SeriesSet, is_stale
from kmon_analysis.timing import EvaluationGrid, Interval
from tests.verify.naive import STEP_MS, Naive, lag

END_MS = 3_600_000
EXPR = "max_over_time(lag[10s]) > 50"


def group(for_ms=0, keep_ms=0, expr=EXPR):
    rule = AlertingRule("Lag", parse(expr), expr, for_ms, keep_ms, group="g")
    return RuleGroup("g", interval_ms=STEP_MS, rules=(rule,))


def look(server, *, phase_ms=None, version="3.16", deployed=None, starts=(), for_ms=None, grace_ms=600_000):
    """Let the naive server run and compare."""
    server.run(END_MS)
    case = Case(
        (group(server.for_ms if for_ms is None else for_ms, server.keep_ms),),
        server.series(),
        (EvaluationGrid(0, END_MS, STEP_MS, server.phase_ms if phase_ms is None else phase_ms),),
        Interval(0, END_MS),
        Semantics.of(version),
        (deployed,),
        starts,
        grace_ms,
    )
    [verdict] = investigate(case)
    return verdict


def kinds(verdict):
    return {cause.kind for each in verdict.explained for cause in each.causes}


def check_explained(verdict, *wanted):
    """Every difference is proven, by these causes, and the replay with them is what was recorded."""
    assert verdict.explained, "the fault makes no difference: the test says nothing"
    assert kinds(verdict) == set(wanted)
    assert {each.verdict for each in verdict.explained} == {"proven"}
    assert verdict.plain.agreed < verdict.plain.evaluations
    assert verdict.told.agreed == verdict.told.evaluations
    assert verdict.told.firing_ms[0] == verdict.told.firing_ms[1] == verdict.told.firing_ms[2]
    assert verdict.beginnings_told[0] == verdict.beginnings_told[1] > 0
    assert verdict.told.firings[0] == verdict.told.firings[1] == verdict.told.firings[2]


@pytest.mark.parametrize("seed", range(12))
def test_without_a_fault_nothing_differs(seed):
    server = Naive(
        lag(seed, END_MS, first_ms=seed * 371 % 5000),
        for_ms=(0, 20_000, 60_000)[seed % 3],
        keep_ms=(0, 30_000)[seed % 2],
        phase_ms=seed * 1234 % STEP_MS,
        closed=seed % 4 == 3,
    )
    verdict = look(server, version="2.42" if seed % 4 == 3 else "3.16")
    assert verdict.explained == ()
    assert verdict.plain == verdict.told
    assert verdict.beginnings[0] == verdict.beginnings[1] > 0
    assert verdict.plain.agreed == verdict.plain.evaluations > 0
    assert verdict.plain.firing_ms[0] > 0


@pytest.mark.parametrize("seed", range(3))
def test_another_phase(seed):
    server = Naive(lag(seed, END_MS), for_ms=20_000, phase_ms=7_300)
    check_explained(look(server, phase_ms=1_200), "phase")


@pytest.mark.parametrize("seed", range(3))
def test_another_release(seed):
    # Samples lie on the left edge of the window of every evaluation.
    server = Naive(lag(seed, END_MS), for_ms=20_000, closed=True)
    check_explained(look(server, version="3.16"), "version")


@pytest.mark.parametrize("seed", range(3))
def test_another_for(seed):
    server = Naive(lag(seed, END_MS), for_ms=30_000)
    check_explained(look(server, for_ms=60_000, deployed=group(30_000)), "rule changed")


def firing_run(server, length=6):
    """Return an evaluation inside a long run of firing."""
    probe = Naive(server.samples, server.for_ms, server.keep_ms, server.phase_ms, server.closed)
    probe.run(END_MS)
    for (_, state), rows in probe.written.items():
        times = [ts for ts, value in rows if value == 1.0]
        for place in range(5, len(times) - length):
            if state == "firing" and times[place + length] - times[place - 5] == (length + 5) * STEP_MS:
                return times[place]
    raise AssertionError("nothing fires for long enough: choose another seed")


@pytest.mark.parametrize("seed", range(3))
def test_missed_evaluations(seed):
    server = Naive(lag(seed, END_MS), for_ms=20_000, phase_ms=1_000)
    at_ms = firing_run(server)
    server.missed = frozenset({at_ms})
    check_explained(look(server), "missed evaluation")


@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_a_restart(seed, short):
    server = Naive(lag(seed, END_MS), for_ms=20_000, phase_ms=1_000, restores_short=short)
    at_ms = firing_run(server)
    server.starts, server.missed = (at_ms + 2 * STEP_MS,), frozenset({at_ms, at_ms + STEP_MS})
    # Nor are there scrapes meanwhile.
    server.samples = {
        topic: [(ts, value) for ts, value in rows if not at_ms <= ts < at_ms + 12_345]
        for topic, rows in server.samples.items()
    }
    version = "3.16" if short else "3.15"
    check_explained(look(server, version=version, starts=(at_ms + 12_345,)), "restart")


@pytest.mark.parametrize("grace_ms", [10_000, 30_000])
@pytest.mark.parametrize("seed", range(3))
def test_a_restart_that_restores(seed, grace_ms):
    server = Naive(lag(seed, END_MS), for_ms=50_000, phase_ms=1_000, grace_ms=grace_ms)
    at_ms = firing_run(server)
    server.starts, server.missed = (at_ms + STEP_MS,), frozenset({at_ms})
    check_explained(look(server, starts=(at_ms + 2_345,), version="3.5", grace_ms=grace_ms), "restart")


def test_an_alert_that_ends_while_the_server_is_away():
    """A new process marks nothing of what the one before had written, so that silence is no sign of evaluations."""
    server = Naive(lag(0, END_MS), for_ms=20_000, phase_ms=1_000)
    at_ms = firing_run(server)
    # It holds at the two evaluations that are not written, and no longer.
    away, later = range(at_ms, at_ms + 12_345), range(at_ms + 3 * STEP_MS - 1_000, at_ms + 150_000)
    server.starts, server.missed = (at_ms + 2 * STEP_MS,), frozenset({at_ms, at_ms + STEP_MS})
    server.samples = {
        topic: [(ts, 0.0 if ts in later else value) for ts, value in rows if ts not in away]
        for topic, rows in server.samples.items()
    }
    verdict = look(server, version="3.5", starts=(at_ms + 12_345,))
    assert kinds(verdict) <= {"restart"}
    assert verdict.told.agreed == verdict.told.evaluations


@pytest.mark.parametrize("seed", range(3))
def test_an_alert_that_had_ended_is_not_restored(seed):
    server = Naive(lag(seed, END_MS), for_ms=50_000, phase_ms=1_000, grace_ms=10_000)
    at_ms = firing_run(server)
    server.starts, server.missed = (at_ms + STEP_MS,), frozenset({at_ms})
    quiet = range(at_ms - 40_000, at_ms + 5_000)
    server.samples = {
        topic: [(ts, 0.0 if ts in quiet else value) for ts, value in rows] for topic, rows in server.samples.items()
    }
    verdict = look(server, version="3.5", starts=(at_ms + 2_345,), grace_ms=10_000)
    check_explained(verdict, "restart")


def test_series_that_the_history_lacks_are_named():
    server = Naive({"a": [(ts, 90.0) for ts in range(0, END_MS, 5_000)]}, for_ms=20_000)
    server.run(END_MS)
    case = Case(
        (group(20_000),),
        SeriesSet.from_samples(one for one in server.series() if one.labels["__name__"] != "lag"),
        (EvaluationGrid(0, END_MS, STEP_MS),),
        Interval(0, END_MS),
        Semantics.of("3.16"),
    )
    [verdict] = investigate(case)
    assert kinds(verdict) == {"series missing"}
    assert {each.verdict for each in verdict.explained} == {"probable"}


def test_without_stale_markers_an_end_is_no_missed_evaluation():
    server = Naive(lag(1, END_MS), for_ms=20_000, phase_ms=1_000)
    server.run(END_MS)
    parts = [Samples(one.labels, *(each[~is_stale(one.values)] for each in (one.times, one.values)))
             for one in server.series()]  # fmt: skip
    case = Case(
        (group(20_000),),
        SeriesSet.from_samples(parts),
        (EvaluationGrid(0, END_MS, STEP_MS, 1_000),),
        Interval(0, END_MS),
        Semantics.of("3.16"),
        markers=False,
    )
    [verdict] = investigate(case)
    assert verdict.explained == ()


def test_a_restart_that_nobody_told_of_is_probable():
    server = Naive(lag(0, END_MS), for_ms=20_000, phase_ms=1_000)
    at_ms = firing_run(server)
    server.starts, server.missed = (at_ms + STEP_MS,), frozenset({at_ms})
    verdict = look(server, version="3.5")
    assert "restart" in kinds(verdict)
    assert {each.verdict for each in verdict.explained} == {"probable"}
    assert verdict.told.agreed == verdict.told.evaluations


@pytest.mark.parametrize("keep_ms", [0, 40_000])
@pytest.mark.parametrize("seed", range(4))
def test_a_hidden_sample(seed, keep_ms):
    # The newest sample is three seconds old at every evaluation, and the only one in the window's last seconds.
    samples = lag(seed, END_MS, every_ms=10_000)
    server = Naive(samples, for_ms=20_000, keep_ms=keep_ms, phase_ms=3_000)
    rises = [ts + 3_000 for rows in samples.values() for (_, low), (ts, high) in pairwise(rows) if low <= 50 < high]
    server.hidden = frozenset(rises[:2])
    check_explained(look(server), "late sample")


def test_what_has_no_cause_stays_unexplained():
    server = Naive(lag(1, END_MS), for_ms=20_000, phase_ms=1_000)
    server.run(END_MS)
    # An alert that nothing in the samples makes.
    server.written["ghost", "firing"] = [(ts, 1.0) for ts in range(1_000_000 + 1_000, 1_100_000, STEP_MS)]
    case = Case(
        (group(20_000),),
        server.series(),
        (EvaluationGrid(0, END_MS, STEP_MS, 1_000),),
        Interval(0, END_MS),
        Semantics.of("3.16"),
    )
    [verdict] = investigate(case)
    assert [each.verdict for each in verdict.explained] == ["unexplained"]
    assert verdict.explained[0].difference.labels["topic"] == "ghost"


def test_a_hidden_sample_reaches_an_alert_through_a_recording_rule():
    """The rule before the alert in its group did not see the sample either."""
    samples = lag(2, END_MS, every_ms=10_000)
    server = Naive(samples, for_ms=20_000, phase_ms=3_000)
    rises = [ts + 3_000 for rows in samples.values() for (_, low), (ts, high) in pairwise(rows) if low <= 50 < high]
    server.hidden = frozenset(rises[:2])
    server.run(END_MS)
    record = "max_over_time(lag[10s])"
    rules = (
        RecordingRule("lag:max", parse(record), record, group="g"),
        AlertingRule("Lag", parse("lag:max > 50"), "lag:max > 50", 20_000, group="g", index=1),
    )
    case = Case(
        (RuleGroup("g", interval_ms=STEP_MS, rules=rules),),
        server.series(),
        (EvaluationGrid(0, END_MS, STEP_MS, 3_000),),
        Interval(0, END_MS),
        Semantics.of("3.16"),
    )
    [verdict] = investigate(case)
    check_explained(verdict, "late sample")
