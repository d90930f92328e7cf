"""Small replays with known signals, and a longer one that looks like a consumer group's life."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from kmon_analysis.backtest.rule import RuleBacktest
from kmon_analysis.backtest.run import Backtest
from kmon_analysis.backtest.settings import Settings
from kmon_analysis.backtest.signal import make_signal
from kmon_analysis.history import History, Provenance
from kmon_analysis.incidents import Excluded, Incident, Incidents
from kmon_analysis.labels import Labels
from kmon_analysis.promql.parser import parse
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.rules.knobs import find_knobs
from kmon_analysis.rules.model import AlertingRule, RuleFile, RuleGroup
from kmon_analysis.series import Samples, SeriesSet
from kmon_analysis.timing import HOUR_MS, MINUTE_MS, EvaluationGrid, Interval

START = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp() * 1000)


def at(hours, length_hours=1.0):
    start = START + round(hours * HOUR_MS)
    return Interval(start, start + round(length_hours * HOUR_MS))


def incident(name, hours, length_hours=1.0, **more):
    return Incident(id=name, interval=at(hours, length_hours), **more)


def replay(
    values,
    *,
    text="kafka_consumergroup_lag > 10",
    labels=None,
    for_ms=0,
    incidents=(),
    excluded=(),
    name="HighConsumerLag",
    step_ms=MINUTE_MS,
    settings=None,
):
    """Build a replay whose signal is `values`, shape (S, T), NaN where the series is not in the result."""
    values = np.atleast_2d(np.asarray(values, dtype=np.float64))
    sets = labels or [
        Labels({"consumergroup": f"group-{row}", "topic": "user.registered"}) for row in range(len(values))
    ]
    rule = AlertingRule(name=name, expr=parse(text), text=text, for_ms=for_ms, group="kafka", labels={}, annotations={})
    knobs = find_knobs(rule)
    grid = EvaluationGrid(START, START + values.shape[1] * step_ms, step_ms)
    op = knobs.op or ">"
    levels = np.where(np.isnan(values), -np.inf, (-values if op in ("<", "<=") else values) if knobs.sweepable else 1.0)
    signal = make_signal(sets, grid.times, levels, op, group_by=settings.group_by if settings else None)
    up = Samples(Labels({"__name__": "up"}), grid.times, np.ones(len(grid.times)))
    return RuleBacktest(
        rule,
        knobs,
        grid,
        Incidents(incidents=tuple(incidents), excluded=tuple(excluded)),
        settings or Settings(),
        Semantics.of("2.42.0"),
        SeriesSet.from_samples([up]),
        np.ones(len(grid.times), dtype=np.bool_),
        _signals={(None, None): signal, (knobs.window_ms, None): signal},
    )


def backtest_of(*replays, text="groups: []\n", refused=None, source="simulator user-service"):
    first = replays[0]
    rules = RuleFile("rules.yml", text, (RuleGroup("kafka", rules=tuple(r.rule for r in replays)),))
    provenance = Provenance(source, first.period.start_ms, first.period.end_ms, server_version="2.42.0")
    return Backtest(
        rules,
        History(first.series, provenance),
        first.incidents,
        first.settings,
        {r.name: r for r in replays},
        {r.name: r.score() for r in replays},
        refused or {},
    )


def consumer_life(weeks=10, seed=7, step_ms=MINUTE_MS, series=3):
    """Daily load, sawtooth lag, batch peaks at night, six outages, one optional, one maintenance."""
    rng = np.random.default_rng(seed)
    count = weeks * 7 * 24 * 60
    minutes = np.arange(count)
    daily = 1 + 0.7 * np.sin(2 * np.pi * (minutes / 1440 - 0.3))
    noise = np.exp(0.35 * rng.standard_normal(count // 15 + 2)).repeat(15)[:count]
    base = 180 * daily * noise * (1 + 0.2 * rng.random(count))
    lines = []
    for row in range(series):
        line = base * (0.4 + 0.3 * row) * (1 + 0.1 * rng.random(count))
        for day in range(weeks * 7):
            if rng.random() < 0.45:
                begin = day * 1440 + 120 + int(rng.integers(0, 40))
                length = int(rng.integers(4, 26))
                line[begin : begin + length] += rng.uniform(600, 5200) * np.hanning(length + 2)[1:-1]
        lines.append(np.floor(line))
    hours = [60.2, 300.5, 611.0, 905.7, 1210.3, 1490.0]
    truth = []
    for number, begin in enumerate(hours):
        length = int(rng.integers(45, 200))
        first = int(begin * 60)
        ramp = rng.uniform(250, 900) * np.arange(length)
        lines[number % series][first : first + length] += ramp
        drain = np.linspace(ramp[-1], 0, 50)
        lines[number % series][first + length : first + length + 50] += drain
        truth.append(incident(f"INC-{101 + number}", begin + 0.05, length / 60, kind="consumer down"))
    truth.append(incident("deploy-march", 700, 2, must_page=False))
    for row in range(series):
        lines[row][1000 * 60 : 1000 * 60 + 540] = np.nan
    maintenance = Excluded(interval=at(1000, 9), reason="exporter upgrade")
    return replay(
        lines,
        text='sum by (consumergroup, topic) (kafka_consumergroup_lag{namespace="shop"}) > 1000',
        labels=[
            Labels({"consumergroup": name, "topic": "user.registered"})
            for name in ("email", "search", "audit-log")[:series]
        ],
        for_ms=5 * MINUTE_MS,
        incidents=truth,
        excluded=[maintenance],
        step_ms=step_ms,
    )
