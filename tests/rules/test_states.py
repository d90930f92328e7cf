"""The alert state machine: small known histories, properties, and promtool as the judge."""

from __future__ import annotations

import json
import math
import subprocess

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmon_analysis.errors import EvaluationError, ExpressionError
from kmon_analysis.labels import Labels
from kmon_analysis.promql.parser import parse
from kmon_analysis.rules.model import AlertingRule
from kmon_analysis.rules.states import AlertState, active_alerts, alert_labels, alerts_labels, replay, step
from kmon_analysis.rules.templates import format_go
from kmon_analysis.series import Grid
from kmon_analysis.timing import MINUTE_MS, Interval, format_duration
from tests.tools import require

M = MINUTE_MS
X = Labels({"__name__": "x"})
ALERT = Labels({"alertname": "A"})


def rule(for_ms=0, keep_ms=0, name="A", **labels):
    return AlertingRule(name, parse("x > 0"), "x > 0", for_ms, keep_ms, labels)


def grid(*rows, step_ms=M, failed=()):
    """One row for each label set: 'x' present, '.' absent."""
    table = np.array([[char == "x" for char in row] for row in rows])
    times = np.arange(table.shape[1], dtype=np.int64) * step_ms
    bad = np.isin(np.arange(len(times)), list(failed))
    labels = [X.updated({"i": str(index)}) if index else X for index in range(len(rows))]
    return Grid(tuple(labels), times, np.ones(table.shape), table, bad)


def shown(replayed, labels=ALERT):
    """One letter for each evaluation."""
    return "".join(
        {"pending": "p", "firing": "F", "inactive": "i"}[states[labels].state] if labels in states else "."
        for states in replayed.states
    )


@pytest.mark.parametrize(
    ("present", "for_m", "keep_m", "expected"),
    [
        (".xx.x.", 0, 0, ".FFiFi"),
        (".xxx..", 2, 0, ".ppFii"),
        (".xx.xxx", 2, 0, ".pp.ppF"),
        (".xxx.....", 2, 3, ".ppFFFFii"),
        (".xxx..x....", 2, 3, ".ppFFFFFFFi"),
        (".x.x.", 2, 3, ".p.p."),
        ("x" + "." * 18, 0, 0, "F" + "i" * 16 + ".."),
        ("x...x.", 0, 0, "FiiiFi"),
        ("xxxx", 1.5, 0, "ppFF"),
        ("x....", 0, 1.5, "FFFii"),
    ],
)
def test_known_histories(present, for_m, keep_m, expected):
    assert shown(replay(rule(int(for_m * M), int(keep_m * M)), grid(present))) == expected


def test_intervals_are_half_open_and_cover_failed_evaluations():
    replayed = replay(rule(2 * M), grid("xxxxx..xxx", failed=[4]))
    assert shown(replayed) == "ppFFFiippF"
    [alert] = replayed.alerts
    assert alert.pending == (Interval(0, 2 * M), Interval(7 * M, 9 * M))
    assert alert.firing == (Interval(2 * M, 5 * M), Interval(9 * M, 10 * M))
    assert replayed.firing == {ALERT: alert.firing}
    assert replay(rule(), grid("x"), end_ms=5).firing == {ALERT: (Interval(0, 5),)}
    assert replay(rule(), grid("x")).firing == {ALERT: (Interval(0, 1),)}


def test_a_failed_evaluation_leaves_alerts_untouched():
    assert shown(replay(rule(2 * M), grid("xx.xx", failed=[2]))) == "pppFF"
    replayed = replay(rule(), Grid((X, Labels({"__name__": "y"})), np.arange(3), np.ones((2, 3)),
                                   np.array([[True, True, True], [False, True, False]])))  # fmt: skip
    assert replayed.failed.tolist() == [False, True, False]
    assert shown(replayed) == "FFF"


def test_beyond_the_limit_all_alerts_are_forgotten():
    replayed = replay(rule(2 * M), grid("xxxxxx", "..x...", "......"), limit=1)
    assert replayed.failed.tolist() == [False, False, True, False, False, False]
    assert shown(replayed) == "pp.ppF"


def test_a_raised_for_demotes_only_where_asked():
    firing = {ALERT: AlertState("firing", 0, 1.0, fired_at_ms=0, keep_firing_since_ms=5)}
    assert step(firing, {ALERT: 2.0}, M, 2 * M)[ALERT].state == "firing"
    demoted = step(firing, {ALERT: 2.0}, M, 2 * M, demote=True)[ALERT]
    assert demoted == AlertState("pending", 0, 2.0)


def test_identity():
    element = Labels({"__name__": "lag", "topic": "orders", "alertname": "theirs", "pod": "p"})
    labelled = rule(severity="page", pod="", where="{{ $labels.topic }}/{{ .Labels.nothing }}", size="{{ $value }}")
    assert alert_labels(labelled, element, 1e6) == Labels(
        {"alertname": "A", "topic": "orders", "severity": "page", "where": "orders/", "size": "1e+06"}
    )
    with pytest.raises(EvaluationError, match="same alert"):
        active_alerts(rule(), {Labels({"__name__": "a"}): 1.0, Labels({"__name__": "b"}): 1.0})
    with pytest.raises(ExpressionError, match="'query'"):
        alert_labels(rule(x='{{ query "up" }}'), element, 1.0)


def test_a_template_that_expands_to_nothing_leaks_into_alerts():
    templated = rule(gone="{{ $labels.nothing }}")
    assert alerts_labels(templated, ALERT, "firing") == Labels(
        {"__name__": "ALERTS", "alertname": "A", "alertstate": "firing", "gone": "{{ $labels.nothing }}"}
    )


presence = st.lists(st.booleans(), max_size=40).map(lambda bits: "".join(".x"[bit] for bit in bits))
durations = st.integers(0, 6 * M)


@given(presence, durations, durations)
def test_a_longer_for_never_fires_more(present, shorter, longer):
    shorter, longer = sorted((shorter, longer))
    less, more = (shown(replay(rule(for_ms), grid(present))) for for_ms in (longer, shorter))
    assert all(b == "F" for a, b in zip(less, more, strict=True) if a == "F")


@given(presence, durations, durations)
def test_keep_firing_for_only_fills_behind(present, for_ms, keep_ms):
    plain, kept = (shown(replay(rule(for_ms, keep), grid(present))) for keep in (0, keep_ms))
    assert all(b == "F" for a, b in zip(plain, kept, strict=True) if a == "F")
    assert plain.find("F") == kept.find("F")


@given(presence, durations)
def test_step_does_not_touch_what_it_is_given(present, for_ms):
    replayed = replay(rule(for_ms, 2 * M), grid(present))
    for before, after in zip(replayed.states, replayed.states[1:], strict=False):
        copy = dict(before)
        step(before, {ALERT: 1.0}, 10**9, for_ms, 2 * M)
        assert dict(before) == copy
        assert before is not after


LOOKBACK_MS = 5 * M


def selected(samples, t, interval_ms):
    """The naive twin of an instant selector of Prometheus 2: newest sample within 5 minutes, closed."""
    for index in range(min(t // interval_ms, len(samples) - 1), -1, -1):
        if index * interval_ms < t - LOOKBACK_MS:
            return None
        if samples[index] is not None:
            return None if samples[index] == "stale" else samples[index]
    return None


def text_of(samples):
    """The samples in the notation of promtool's unit tests."""
    words = []
    for value in samples:
        if value is None or isinstance(value, str):
            words.append(value or "_")
        else:
            words.append("NaN" if math.isnan(value) else "Inf" if value > 1e300 else "-Inf" if value < -1e300 else
                         repr(value))  # fmt: skip
    return " ".join(words)


def random_rules(rng, count):
    """Rules over one metric each, with up to three series, and what each sample is."""
    for index in range(count):
        metric = f"m{index}"
        text = f"{metric} {rng.choice(['>', '<=', '!='])} 5"
        for_ms, keep_ms = (int(rng.choice([0, 0, 30_000, M, 90_000, 2 * M, 3 * M, 7 * M])) for _ in range(2))
        labels = {"severity": "page"}
        if rng.random() < 0.3:
            labels["size"] = "{{ $value }}"
        if rng.random() < 0.3:
            labels["where"] = "at {{ $labels.i }}{{ $labels.nothing }}"
        if rng.random() < 0.2:
            labels["gone"] = "{{ $labels.nothing }}"
        name = f"R{index}"
        yield AlertingRule(name, parse(text), text, for_ms, keep_ms, labels), metric


def random_samples(rng, count):
    """Runs above and below 5, with gaps, stale markers, NaN and infinities."""
    samples, level = [], 1.0
    while len(samples) < count:
        kind = rng.choice(["run", "gap", "odd", "long gap"], p=[0.6, 0.2, 0.15, 0.05])
        if kind == "run":
            level = float(rng.choice([1.0, 5.0, 7.0, 1e6, 0.00001, 123456789.0]))
            samples += [level] * int(rng.integers(1, 6))
        elif kind == "odd":
            samples.append(rng.choice(np.array(["stale", math.nan, math.inf, -math.inf], dtype=object)))
        else:
            samples += [None] * int(rng.integers(1, 4) if kind == "gap" else 8)
    return samples[:count]


OPERATORS = {">": lambda v: v > 5, "<=": lambda v: v <= 5, "!=": lambda v: v != 5}


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("interval_ms", [M, 2 * M, 6 * M])
def test_promtool_agrees_at_every_evaluation(seed, interval_ms, tmp_path):
    promtool = require("promtool")
    rng = np.random.default_rng(seed)
    count, step_ms = 25, int(rng.choice([M, 2 * M]))
    times = np.arange(0, count * interval_ms, step_ms, dtype=np.int64)
    series, rules, alert_tests, expr_tests = [], [], [], []
    fired = 0
    for one, metric in random_rules(rng, 12):
        compare = OPERATORS[one.text.split()[1]]
        rows = {
            Labels({"__name__": metric, "i": str(i)}): random_samples(rng, count) for i in range(rng.integers(1, 4))
        }
        series += [{"series": str(labels), "values": text_of(samples)} for labels, samples in rows.items()]
        found = [[selected(samples, int(t), interval_ms) for t in times] for samples in rows.values()]
        present = np.array([[value is not None and compare(value) for value in row] for row in found])
        values = np.array([[math.nan if value is None else value for value in row] for row in found])
        replayed = replay(one, Grid(tuple(rows), times, values, present))
        rules.append(
            {"alert": one.name, "expr": one.text, "for": format_duration(one.for_ms),
             "keep_firing_for": format_duration(one.keep_firing_for_ms), "labels": dict(one.labels),
             "annotations": {"v": "{{ $value }}"}}
        )  # fmt: skip
        for column, t in enumerate(times.tolist()):
            firing = replayed.at(column, "firing")
            fired += len(firing)
            alert_tests.append({
                "eval_time": format_duration(t), "alertname": one.name,
                "exp_alerts": [{"exp_labels": dict(labels.without("alertname")),
                                "exp_annotations": {"v": format_go(alert.value)}} for labels, alert in firing.items()],
            })  # fmt: skip
            if column % 3 == 0:
                samples = [
                    {"labels": str(alerts_labels(one, labels, state)), "value": 1}
                    for state in ("pending", "firing") for labels in replayed.at(column, state)
                ]  # fmt: skip
                expr_tests.append({"expr": f'ALERTS{{alertname="{one.name}"}}', "eval_time": format_duration(t),
                                   "exp_samples": samples})  # fmt: skip
    assert fired > 100
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "g", "rules": rules}]}))
    body = {"rule_files": ["rules.yml"], "evaluation_interval": format_duration(step_ms), "tests": [
        {"interval": format_duration(interval_ms), "input_series": series, "alert_rule_test": alert_tests,
         "promql_expr_test": expr_tests}
    ]}  # fmt: skip
    (tmp_path / "tests.yml").write_text(json.dumps(body))
    judged = subprocess.run(
        [promtool, "test", "rules", tmp_path / "tests.yml"], capture_output=True, text=True, check=False
    )
    assert judged.returncode == 0, (judged.stdout + judged.stderr)[:4000]
