"""Whole groups against a plain replay, sample by sample, and against promtool."""

from __future__ import annotations

import itertools
import json
import random
import re
import subprocess

import numpy as np
import pytest

from kmon_analysis.errors import ExpressionError
from kmon_analysis.labels import Labels
from kmon_analysis.promql.evaluate import evaluate
from kmon_analysis.promql.parser import parse
from kmon_analysis.promql.printer import format_expr
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.rules.groups import rule_key, run_groups
from kmon_analysis.rules.outputs import recorded
from kmon_analysis.rules.reader import parse_rules
from kmon_analysis.series import Grid, Samples, SeriesSet, is_stale, stale_marker
from kmon_analysis.timing import EvaluationGrid, format_duration
from tests.promql.promtool import in_notation
from tests.rules.naive_groups import bits, naive
from tests.tools import require

S = 1000
START, END = 1_000_000, 1_000_000 + 1200 * S
SEMANTICS = Semantics.of("3.5")


def inputs(rng, step=15):
    parts = []
    for name in ("x", "y"):
        for topic in ("a", "b", "c"):
            times = np.arange(START - 400 * S, END, step * S, dtype=np.int64) + rng.randrange(S) * (step > 1)
            values = np.array([rng.choice([0.0, 1.0, 2.0, 5.0, rng.uniform(-3, 9)]) for _ in times])
            for index in range(len(values)):
                if rng.random() < 0.04:
                    values[index] = rng.choice([np.nan, np.inf, stale_marker()[0]])
            kept = np.array([rng.random() > 0.1 for _ in times])
            gap = rng.randrange(len(times))
            kept[gap : gap + rng.randrange(50)] = False
            parts.append(Samples(Labels({"__name__": name, "topic": topic}), times[kept], values[kept]))
    return SeriesSet.from_samples(parts)


def expression(rng, names):
    name = rng.choice(names)
    if name == "ALERTS":
        name = rng.choice(["ALERTS", 'ALERTS{alertstate="firing"}', 'ALERTS{alertname="A0"}', "ALERTS_FOR_STATE"])
    other = rng.choice([each for each in names if each != "ALERTS"])
    span = rng.choice(["20s", "45s", "2m", "61s"])
    return rng.choice(
        [
            name,
            f"{name} offset {rng.choice(['10s', '15s', '1m'])}",
            f"{name} offset -30s",
            f"sum by (topic) ({name})",
            f"count(({name}))",
            f"{name} > 1",
            f"{name} < 2",
            f"max_over_time({name}[{span}])",
            f"count_over_time({name}[{span}])",
            f"rate({name}[{span}])",
            f"sum_over_time(({name} > 0)[{span}:10s])",
            f"timestamp({name})",
            f"{name} + on(topic) {other}",
            f"{name} unless on(topic) {other} > 2",
            f"absent({name})",
            "vector(time() % 60 > bool 20)",
            '{topic="a"} > 3',
            f"last_over_time({name}[5m]) + 1",
            f"{name} @ {(START + 300 * S) // S}",
        ]
    )


def rule_file(rng):
    """Several groups, each at its own pace, whose rules read one another in any direction."""
    names = ["x", "y", "r0", "r1", "r2", "ALERTS"]
    weights = [4, 3, 2, 2, 2, 1]
    chosen = [name for name in names for _ in range(weights[names.index(name)])]
    groups = []
    alerts = 0
    for number in range(rng.randrange(1, 4)):
        rules = []
        for _ in range(rng.randrange(1, 4)):
            rule = {"expr": expression(rng, chosen)}
            if rng.random() < 0.35:
                rule |= {"alert": f"A{alerts if rng.random() < 0.8 else 0}", "for": rng.choice(["0s", "20s", "1m"])}
                alerts += 1
                if rng.random() < 0.3:
                    rule["keep_firing_for"] = "40s"
            else:
                rule["record"] = rng.choice(["r0", "r1", "r2"])
            if rng.random() < 0.3:
                rule["labels"] = {rng.choice(["topic", "k"]): rng.choice(["a", "z", ""])}
            rules.append(rule)
        group = {"name": f"g{number}", "interval": rng.choice(["10s", "15s", "20s", "37s"]), "rules": rules}
        if rng.random() < 0.3:
            group["query_offset"] = rng.choice(["5s", "10s", "25s", "1m"])
        if rng.random() < 0.2:
            group["limit"] = rng.choice([1, 2, 3])
        groups.append(group)
    return groups


def read(groups):
    return parse_rules(json.dumps({"groups": groups}))


def clocks_of(rules, rng):
    phases = [0, 0, 5 * S, 7321, 10 * S]
    return [EvaluationGrid(START, END, group.interval_ms, rng.choice(phases)) for group in rules.groups]


def same_storage(series, samples):
    ours = {
        part.labels: list(zip(part.times.tolist(), map(bits, part.values.tolist()), strict=True)) for part in series
    }
    theirs = {labels: [(time, bits(kept[time])) for time in sorted(kept)] for labels, kept in samples.items() if kept}
    assert ours.keys() == theirs.keys()
    for labels in ours:
        assert ours[labels] == theirs[labels], labels


def same_vector(ours, theirs):
    assert ours.keys() == theirs.keys()
    assert all(
        bits(ours[labels]) == bits(theirs[labels])
        or (ours[labels] != ours[labels] and theirs[labels] != theirs[labels])
        for labels in ours
    )


def compare(rules, series, clocks, semantics=SEMANTICS):
    run = run_groups(rules.groups, series, clocks, semantics, alerts=True)
    samples, told = naive(rules.groups, series, clocks, semantics)
    assert not run.refused
    same_storage(run.series, samples)
    for rule in rules.rules:
        key = rule_key(rule)
        mine, log = run.runs[key], told[key]
        assert mine.grid.times.tolist() == clocks[[g.name for g in rules.groups].index(rule.group)].times.tolist()
        for column, (broken, vector, failed, states) in enumerate(log):
            if mine.replay is None:
                assert mine.grid.failed[column] == failed
            else:
                assert mine.grid.failed[column] == broken
                assert mine.replay.failed[column] == failed
                assert sorted(map(str, mine.replay.states[column].items())) == sorted(map(str, states.items()))
            same_vector(mine.grid.at(column), {} if broken else vector)
        same = run.evaluate(key)
        for column, (broken, vector, _, _) in enumerate(log):
            same_vector(same.at(column), {} if broken else vector)
    return run


@pytest.mark.parametrize("seed", range(30))
def test_random_groups(seed):
    rng = random.Random(seed)
    rules = read(rule_file(rng))
    compare(rules, inputs(rng), clocks_of(rules, rng))


# ---- chosen cases -------------------------------------------------------------------------------

M = 60 * S


def flat(name, value=1.0, start=0, stop=20, **labels):
    times = np.arange(start, stop, dtype=np.int64) * M
    return Samples(Labels({"__name__": name, **labels}), times, np.full(len(times), value))


def run_of(text, *parts, phases=(), **options):
    rules = parse_rules(text)
    phases = phases or (0,) * len(rules.groups)
    clocks = [
        EvaluationGrid(0, 20 * M, group.interval_ms or M, phase)
        for group, phase in zip(rules.groups, phases, strict=True)
    ]
    return run_groups(rules.groups, SeriesSet.from_samples(parts), clocks, SEMANTICS, **options)


def values(run, name):
    return {
        labels: dict(zip((part.times // S).tolist(), part.values.tolist(), strict=True))
        for part in run.series
        for labels in [part.labels]
        if labels.value("__name__") == name
    }


def test_a_recorded_series_ends_with_a_marker_but_not_where_the_evaluation_failed():
    times = np.arange(6, dtype=np.int64) * M
    grid = Grid(
        labels=(Labels({"topic": "a"}),),
        times=times,
        values=np.array([[1.0, 2.0, 0.0, 4.0, 0.0, 0.0]]),
        present=np.array([[True, True, False, True, False, False]]),
        failed=np.array([False, False, True, False, True, False]),
    )
    rule = parse_rules("groups: [{name: g, rules: [{record: r, expr: x, labels: {k: v}}]}]").groups[0].rules[0]
    outcome = recorded(rule, grid, query_offset_ms=1)
    (part,) = map(outcome.samples, outcome.rows)
    assert part.labels == Labels({"__name__": "r", "topic": "a", "k": "v"})
    # Nothing is written by the failed evaluations, so the old output lives on; the next one marks the end.
    assert (part.times + 1).tolist() == times[[0, 1, 3, 5]].tolist()
    assert part.values[:3].tolist() == [1.0, 2.0, 4.0]
    assert is_stale(part.values).tolist() == [False, False, False, True]


def test_order_and_phase_decide_what_is_seen():
    text = """groups:
- {name: late, interval: 1m, rules: [{record: seen, expr: timestamp(now)}, {record: mine, expr: timestamp(seen)}]}
- {name: early, interval: 1m, rules: [{record: now, expr: x}]}
"""
    # At equal instants the first group runs first, and sees the second one's output of a minute ago.
    assert values(run_of(text, flat("x")), "seen")[Labels({"__name__": "seen"})] == {
        m * 60: (m - 1) * 60 for m in range(1, 20)
    }
    ahead = values(run_of(text, flat("x"), phases=(10 * S, 0)), "seen")[Labels({"__name__": "seen"})]
    assert ahead == {m * 60 + 10: m * 60 for m in range(20)}
    behind = values(run_of(text, flat("x"), phases=(0, 10 * S)), "seen")[Labels({"__name__": "seen"})]
    assert behind == {m * 60: (m - 1) * 60 + 10 for m in range(1, 20)}
    # Within a group a later rule sees the earlier one's output of the same evaluation.
    assert values(run_of(text, flat("x")), "mine")[Labels({"__name__": "mine"})] == {
        m * 60: m * 60 for m in range(1, 20)
    }


def test_a_counter_of_its_own_evaluations():
    run = run_of("groups: [{name: g, rules: [{record: n, expr: '(n or vector(0)) + 1'}]}]")
    assert values(run, "n")[Labels({"__name__": "n"})] == {m * 60: m + 1.0 for m in range(20)}
    assert run.stepwise == {("g", "n", 0)}


def test_what_is_not_evaluated_is_refused_with_all_that_depends_on_it():
    text = """groups:
- name: g
  rules:
  - {record: odd, expr: 'sum(limitk(1, x))'}
  - {record: odder, expr: odd + 1}
  - {alert: A, expr: odder > 1}
  - {alert: B, expr: x > 1}
"""
    run = run_of(text, flat("x"))
    assert set(run.refused) == {("g", "odd", 0), ("g", "odder", 1), ("g", "A", 2)}
    assert "'odd'" in str(run.refused["g", "odder", 1])
    assert "limitk" in str(run.refused["g", "A", 2])
    with pytest.raises(ExpressionError, match="limitk"):
        run.evaluate(("g", "A", 2))
    assert set(run.runs) == {("g", "B", 3)}
    # The history holds what the server recorded: then the others go on with that.
    held = run_of(text, flat("x"), flat("odd", 41.0))
    assert set(held.refused) == {("g", "odd", 0)}
    assert "odd: the series that the server recorded are used" in held.notes[0]
    assert held.runs["g", "A", 2].grid.at(5) == {Labels({"__name__": "odder"}): 42.0}


def test_what_is_not_evaluated_may_come_from_elsewhere():
    text = """groups:
- name: g
  query_offset: 30s
  rules: [{record: odd, expr: 'sum(limitk(1, x))', labels: {k: v}}, {alert: A, expr: odd > 5}]
"""
    asked = []

    def outside(rule, clock, query_offset_ms):
        asked.append((rule.name, format_expr(rule.expr), query_offset_ms))
        times = clock.times
        return Grid((Labels(),), times, times[None, :] / M, times[None, :] >= 3 * M)

    run = run_of(text, flat("x"), outside=outside)
    assert asked == [("odd", "sum(limitk(1, x))", 30 * S)]
    assert run.runs["g", "odd", 0].evaluated_by == "server"
    assert run.runs["g", "A", 1].evaluated_by == "kmon"
    written = values(run, "odd")[Labels({"__name__": "odd", "k": "v"})]
    assert written == {m * 60 - 30: float(m) for m in range(3, 20)}
    assert [column for column in range(20) if run.runs["g", "A", 1].grid.at(column)] == list(range(6, 20))
    run.evaluate(("g", "odd", 0), parse("x"))
    assert asked[-1] == ("odd", "x", 30 * S)


def test_our_own_output_takes_the_place_of_what_the_server_recorded():
    text = "groups: [{name: g, rules: [{record: r, expr: x + 1, labels: {own: yes}}, {record: all, expr: count(r)}]}]"
    before = Samples(Labels({"__name__": "r", "own": "yes", "topic": "gone"}), np.arange(-9, 9) * M, np.full(18, 7.0))
    other = flat("r", 9.0, own="no")
    run = run_of(text, flat("x"), before, other)
    assert "r as the server recorded" in run.notes[0]
    found = values(run, "r")
    gone = found[before.labels]
    assert list(gone) == [m * 60 for m in range(-9, 1)]
    assert is_stale(np.array([gone[0]]))[0]
    assert found[Labels({"__name__": "r", "own": "yes"})] == {m * 60: 2.0 for m in range(20)}
    assert set(found[other.labels].values()) == {9.0}
    assert set(values(run, "all")[Labels({"__name__": "all"})].values()) == {2.0}


def test_recorded_series_must_do_where_the_inputs_are_not_there():
    text = "groups: [{name: g, rules: [{record: r, expr: x + 1}, {alert: A, expr: r > 5}]}]"
    run = run_of(text, flat("r", 7.0))
    assert "nothing of what the rule reads" in run.notes[0]
    assert run.runs["g", "A", 1].grid.present.all()
    assert ("g", "r", 0) not in run.runs


def test_nothing_is_copied_where_nothing_is_written():
    series = SeriesSet.from_samples([flat("x")])
    rules = parse_rules("groups: [{name: g, rules: [{alert: A, expr: x > 5}]}]")
    run = run_groups(rules.groups, series, [EvaluationGrid(0, 20 * M, M)], SEMANTICS, writers_only=True)
    assert run.series is series
    assert not run.runs
    assert run.evaluate(("g", "A", 0)).times.tolist() == [m * M for m in range(20)]


def test_a_template_outside_the_subset_is_refused_where_alerts_are_written():
    text = "groups: [{name: g, rules: [{alert: A, expr: x > 0, labels: {l: '{{ query \"x\" }}'}}]}]"
    assert "query" in str(run_of(text, flat("x"), alerts=True).refused["g", "A", 0])
    assert not run_of(text, flat("x")).refused


# ---- promtool as the judge ----------------------------------------------------------------------


def judged(folder, seed, promtool, semantics):
    """Say in a unit test what we hold to be true of every series at every minute."""
    rng = random.Random(seed)
    groups = rule_file(rng)
    number = itertools.count()
    for group in groups:
        group["interval"] = "1m"
        group.pop("query_offset", None)
        for rule in group["rules"]:
            rule["expr"] = re.sub(r" @ \d+| offset -30s", "", rule["expr"])
            rule["expr"] = re.sub(r"\[\d+[sm]\]", lambda _: f"[{rng.choice(['2m', '90s', '5m'])}]", rule["expr"])
            rule["expr"] = rule["expr"].replace(":10s]", ":30s]")
            # promtool ends at the first sample that the storage rejects; each rule writes series of its own.
            rule["labels"] = {**rule.get("labels", {}), "n": str(next(number))}
    order = [group["name"] for group in groups]
    rng.shuffle(order)
    series = SeriesSet.from_samples(
        Samples(part.labels, ((part.times - part.times[0] // 15_000 * 15_000) // 15_000 * 15_000), part.values)
        for part in inputs(rng)
    ).between(0, 20 * M)
    rules = read(groups)
    ordered = [next(group for group in rules.groups if group.name == name) for name in order]
    clocks = [EvaluationGrid(0, 20 * M, M)] * len(ordered)
    run = run_groups(ordered, series, clocks, semantics, alerts=True)
    if any(one.grid.failed.any() or (one.replay is not None and one.replay.failed.any()) for one in run.runs.values()):
        return False
    expected = []
    for name in ("r0", "r1", "r2", "ALERTS", "ALERTS_FOR_STATE"):
        for expr in (f"{name} == {name}", f"timestamp({name})", f"count_over_time({name}[20m])"):
            grid = evaluate(parse(expr), run.series, clocks[0].times, semantics)
            expected += [
                {
                    "expr": expr,
                    "eval_time": format_duration(int(time)),
                    "exp_samples": [
                        {"labels": str(labels), "value": value} for labels, value in grid.at(column).items()
                    ],
                }
                for column, time in enumerate(grid.times)
            ]
    (folder / "rules.yml").write_text(json.dumps({"groups": groups}))
    test = {
        "interval": "15s",
        "input_series": [{"series": str(part.labels), "values": in_notation(part, 15_000)} for part in series],
        "promql_expr_test": expected,
    }
    document = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "group_eval_order": order, "tests": [test]}
    (folder / "test.yml").write_text(json.dumps(document).replace("Infinity", ".inf"))
    done = subprocess.run([promtool, "test", "rules", folder / "test.yml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[:3000]
    return True


@pytest.fixture(scope="module")
def promtool():
    path = require("promtool")
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True)
    version = re.search(r"version (\d+\.\d+)", said.stdout + said.stderr)
    # A build from the Go module knows no version of its own; such a build is of a 3.x.
    return path, Semantics.of(version[1] if version else "3.16")


def test_promtool_agrees_on_whole_groups(promtool, tmp_path):
    assert sum(judged(tmp_path, seed, *promtool) for seed in range(50)) > 15
