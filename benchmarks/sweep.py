"""Every threshold × 20 values of ``for``: against one query of the server, and as the data grow."""

from __future__ import annotations

import gc
import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from benchmarks import data
from benchmarks.measure import Number, interleaved, peak_above, processor_seconds, resident, seconds
from benchmarks.peer import RangeQuery
from kmon_analysis.backtest.pages import curve, fire
from kmon_analysis.backtest.run import observed_evaluations
from kmon_analysis.backtest.score import make_windows
from kmon_analysis.backtest.settings import Settings
from kmon_analysis.backtest.signal import Signal, alert_signal
from kmon_analysis.promql.evaluate import evaluate
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.rules.knobs import find_knobs
from kmon_analysis.rules.reader import parse_rules
from kmon_analysis.series import Grid
from kmon_analysis.timing import MINUTE_MS
from tests.prometheus_server import PrometheusServer

__all__ = ["CASES", "Case", "against_the_server", "growth", "memory"]

FOR_MS = tuple(
    minutes * MINUTE_MS for minutes in (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 45, 50, 60, 90, 120)
)
SEMANTICS = Semantics.of("2.42")
SETTINGS = Settings(interval_ms=data.STEP_MS)
Say = Callable[[str], None]


@dataclass(frozen=True)
class Case:
    """One rule: its left side is what server and toolkit both evaluate."""

    name: str
    metric: str
    expression: str
    threshold: str

    @cached_property
    def rule(self):
        """The parsed alerting rule."""
        expr = f"{self.expression} > {self.threshold}"
        text = f"groups: [{{name: g, rules: [{{alert: A, expr: '{expr}', for: 5m}}]}}]"
        return parse_rules(text).alerts[0]

    @cached_property
    def knobs(self):
        """What can turn."""
        return find_knobs(self.rule)


CASES = (
    Case("gauge", data.GAUGE, data.GAUGE, "1000"),
    Case("rate", data.COUNTER, f"sum by (topic) (rate({data.COUNTER}[5m]))", "100"),
)
TIMES = np.arange(data.START_MS, data.END_MS, data.STEP_MS, dtype=np.int64)


def evaluated(case: Case, history) -> Grid:
    """Evaluate the left side locally."""
    return evaluate(case.knobs.signal, history.series, TIMES, SEMANTICS)


def surface(signal: Signal, observed) -> list[float]:
    """Return the quietest level within a budget for each ``for``."""
    return [quiet_level(signal, observed, for_ms) for for_ms in FOR_MS]


def quiet_level(signal: Signal, observed, for_ms: int) -> float:
    """Compute pages, false pages and firing time at every threshold, and where they are within the budget."""
    windows = make_windows(signal, data.incidents(), rule="A", settings=SETTINGS, for_ms=for_ms, observed=observed)
    firing = fire(signal, windows, for_ms=for_ms, keep_firing_for_ms=0, merge_gap_ms=SETTINGS.merge_gap_ms)
    counted = curve(firing)
    return max(
        counted.false_pages.lowest_within(1.0 * windows.quiet_weeks(data.STEP_MS)),
        counted.firing_time.lowest_within(0.01 * np.count_nonzero(windows.quiet)),
    )


def from_grid(case: Case, grid: Grid, observed) -> list[float]:
    """Compute the surface of an evaluated expression."""
    return surface(alert_signal(case.rule, case.knobs, grid, None), observed)


def against_the_server(case: Case, server: PrometheusServer, rounds: int, say: Say) -> list[Number]:
    """Compare the whole surface with one query of its expression."""
    say(f"sweep, {case.name}: {case.expression}")
    history = data.history(case.metric)
    observed = observed_evaluations(history.series, TIMES, SEMANTICS.lookback_ms)
    grid = evaluated(case, history)
    query = RangeQuery(server.url, case.expression, TIMES)
    query.agree(grid)
    from_grid(case, grid, observed)
    arms = {
        "sweep": lambda: seconds(lambda: from_grid(case, grid, observed)),
        "evaluation and sweep": lambda: seconds(lambda: from_grid(case, evaluated(case, history), observed)),
        "query_range": lambda: seconds(query.run),
    }
    taken = interleaved(arms, rounds, say)
    about: dict[str, float] = {
        "processor_s_of_the_query": processor_seconds(query.run, server.process.pid),
        "processor_s_of_evaluation_and_sweep": processor_seconds(
            lambda: from_grid(case, evaluated(case, history), observed)
        ),
    }
    about |= {"samples": history.series.sample_count, "evaluations": grid.values.size, "answer_bytes": query.bytes}
    unit = "times one query_range"
    return [
        Number.ratio(f"{arm}, {case.name}", taken, arm, "query_range", 1.0, unit=unit, **about)
        for arm in ("sweep", "evaluation and sweep")
    ]


def growth(case: Case, rounds: int, say: Say) -> list[Number]:
    """Compare ten times the series with once."""
    say(f"growth, {case.name}: {data.SERIES} and {10 * data.SERIES} series")
    sizes = {"once": data.SERIES, "tenfold": 10 * data.SERIES}
    histories = {name: data.history(case.metric, size) for name, size in sizes.items()}
    observed = observed_evaluations(histories["once"].series, TIMES, SEMANTICS.lookback_ms)
    from_grid(case, evaluated(case, histories["once"]), observed)
    arms = {
        name: lambda history=history: seconds(lambda: from_grid(case, evaluated(case, history), observed))
        for name, history in histories.items()
    }
    taken = interleaved(arms, rounds, say)
    count = histories["tenfold"].series.sample_count
    unit = "times the time for ten times the samples"
    return [Number.ratio(f"growth, {case.name}", taken, "tenfold", "once", 11.0, unit=unit, samples=count)]


def memory(case: Case, series: int, rounds: int, say: Say) -> list[Number]:
    """Measure the peak of a sweep's memory, each time in a process of its own."""
    say(f"memory, {case.name}, {series} series")
    found = []
    for _ in range(rounds):
        command = [sys.executable, "-m", "benchmarks.sweep", case.name, str(series)]
        home = Path(__file__).resolve().parent.parent
        found.append(json.loads(subprocess.run(command, check=True, capture_output=True, cwd=home).stdout))
        say(f"  {found[-1]}")
    count = series * data.COUNT
    notes = {
        name: round(max(each[name] for each in found) / count, 1) for name in ("levels", "with_levels", "with_series")
    }
    values = [each["sweep"] / count for each in found]
    return [Number(f"memory, {case.name}, {count:,} samples", "bytes a sample", values, 24.0, notes=notes)]


def _measure_memory(case: Case, series: int) -> dict[str, int]:
    """Return bytes above the levels at the peak of a sweep; for a fresh process.

    Notes
    -----
    ``make_signal`` and everything after it count; the levels that it reads are there before.
    """
    from kmon_analysis.backtest.signal import make_signal

    few = data.history(case.metric, 1)
    observed = observed_evaluations(few.series, TIMES, SEMANTICS.lookback_ms)
    from_grid(case, evaluated(case, few), observed)
    gc.collect()
    bare = resident()
    history = data.history(case.metric, series)
    grid = evaluated(case, history)
    levels, labels = np.where(grid.present, grid.values, -math.inf), grid.labels
    raw = history.series.times.nbytes + history.series.values.nbytes
    del history, grid
    gc.collect()
    baseline = resident()
    above = peak_above(lambda: surface(make_signal(labels, TIMES, levels, ">"), observed))
    return {
        "sweep": above,
        "levels": levels.nbytes,
        "with_levels": above + levels.nbytes,
        "with_series": above + levels.nbytes + raw,
        "process": above + baseline,
        "bare": bare,
    }


if __name__ == "__main__":
    _name, _series = sys.argv[1:]
    _case = next(case for case in CASES if case.name == _name)
    sys.stdout.write(json.dumps(_measure_memory(_case, int(_series))))
