"""Expressions at every 30 s of a month over 100 series: against ``query_range``, and the memory they take."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from benchmarks import data
from benchmarks.measure import Number, interleaved, peak_above, seconds, used
from benchmarks.peer import RangeQuery
from kmon_analysis.labels import Labels
from kmon_analysis.promql.evaluate import evaluate
from kmon_analysis.promql.parser import parse
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.series import Grid, Samples, SeriesSet
from kmon_analysis.timing import DAY_MS
from tests.prometheus_server import PrometheusServer, running_prometheus

__all__ = ["CASES", "DAYS", "PEERS", "Recording", "against_the_servers", "memory"]

DAYS = 30
SERIES = 100
STEP_MS = 30_000
BYTES_A_SAMPLE = 100.0
COUNTER, LAG, MEAN = "kafka_topic_messages_total", "kafka_consumer_lag_sum", "kafka_network_request_time_ms_mean"
# By the name that `tests.tools.require` knows; the version is what the local evaluation follows.
PEERS = {"prometheus": "2.42", "prometheus3": "3.16"}
_SEED = 20_260_201
# Part of the cache key: change it whenever what is generated changes.
_EDITION = 1
Say = Callable[[str], None]


@dataclass(frozen=True)
class Case:
    """One expression and the metrics that it reads."""

    name: str
    expression: str
    metrics: tuple[str, ...]


CASES = (
    Case("rate", f"rate({COUNTER}[5m])", (COUNTER,)),
    Case("sum of rates", f"sum by (topic) (rate({COUNTER}[5m]))", (COUNTER,)),
    Case("maximum", f"max_over_time({LAG}[1h])", (LAG,)),
    Case("quantile", f"quantile_over_time(0.9, {MEAN}[1h])", (MEAN,)),
    Case("ratio", f"{LAG} / on (topic) {MEAN}", (LAG, MEAN)),
)


@dataclass(frozen=True)
class Recording:
    """A hundred series of each metric, one sample every 30 s."""

    days: int

    @property
    def times(self) -> np.ndarray:
        """The evaluations, shape ``(T,)``."""
        return np.arange(data.START_MS, data.START_MS + self.days * DAY_MS, STEP_MS, dtype=np.int64)

    def parts(self, metric: str, series: int = SERIES) -> Iterator[Samples]:
        """Return the series of one metric."""
        for number in range(series):
            rng = np.random.default_rng([_SEED, number, (COUNTER, LAG, MEAN).index(metric)])
            labels = {"__name__": metric, "instance": "kafka-1:7071", "topic": f"topic-{number:03d}"}
            if metric == COUNTER:
                labels |= {"topic": f"topic-{number % 10:03d}", "partition": str(number // 10)}
            # Every target at its own moment, and no scrape quite on time.
            times = self.times + int(rng.integers(0, STEP_MS - 50))
            times += rng.integers(0, 50, len(times))
            # Some scrapes fail.
            kept = rng.random(len(times)) > 0.001
            yield Samples(Labels(labels), times[kept], self._values(metric, rng)[kept])

    def _values(self, metric: str, rng: np.random.Generator) -> np.ndarray:
        count = len(self.times)
        day = np.sin(np.arange(count) * (2 * np.pi * STEP_MS / DAY_MS))
        if metric == MEAN:
            return rng.gamma(4, 3, count)
        if metric == LAG:
            return rng.poisson(60 + 40 * day) + np.floor(rng.pareto(1.5, count) * 10)
        steps = rng.poisson(np.maximum(900 + 500 * day, 1)).astype(np.float64)
        total = np.cumsum(steps)
        for at in rng.integers(0, count, 3):
            total[at:] -= total[at] - steps[at]
        return total

    def series(self, metrics: tuple[str, ...], series: int = SERIES) -> SeriesSet:
        """Return the raw samples of some metrics."""
        return SeriesSet.from_samples(part for metric in metrics for part in self.parts(metric, series))

    def blocks(self) -> Path:
        """Return a folder of TSDB blocks with all metrics."""
        key = ("evaluating", _EDITION, _SEED, data.START_MS, STEP_MS, self.days, SERIES)
        return data.blocks(key, lambda: (part for metric in (COUNTER, LAG, MEAN) for part in self.parts(metric)))


def _evaluated(case: Case, series: SeriesSet, times: np.ndarray, semantics: Semantics) -> Grid:
    return evaluate(parse(case.expression), series, times, semantics)


def against_the_servers(recording: Recording, rounds: int, say: Say) -> list[Number]:
    """Compare each expression with one query of it, on every Prometheus that is here."""
    numbers: list[Number] = []
    for program, version in PEERS.items():
        say(f"evaluation, {recording.days} days, Prometheus {version}")
        try:
            with running_prometheus(recording.blocks(), program=program) as server:
                numbers += [_against(case, recording, server, version, rounds, say) for case in CASES]
        except pytest.skip.Exception as absent:
            say(f"NOT MEASURED: evaluation against {version}. {absent}")
    return numbers


def _against(case: Case, recording: Recording, server: PrometheusServer, version: str, rounds: int, say: Say) -> Number:
    say(f"  {case.expression}")
    series, times, semantics = recording.series(case.metrics), recording.times, Semantics.of(version)
    query = RangeQuery(server.url, case.expression, times)
    # The first call of everything is not counted, but the longest query is not asked for once more than needed.
    _evaluated(case, recording.series(case.metrics, 2), times, semantics)
    for metric in case.metrics:
        RangeQuery(server.url, f"sum({metric})", times).run()
    processor: dict[str, list[float]] = {"evaluation": [], "query_range": []}
    answer: list[bytes] = []

    def counted(name: str, work: Callable[[], object], *processes: int) -> float:
        def both() -> object:
            before = used(*processes)
            result = work()
            processor[name].append(used(*processes) - before)
            return result

        return seconds(both)

    def ask() -> None:
        answer[:] = query.pieces()

    arms = {
        "evaluation": lambda: counted("evaluation", lambda: _evaluated(case, series, times, semantics)),
        "query_range": lambda: counted("query_range", ask, server.process.pid),
    }
    taken = interleaved(arms, rounds, say)
    query.agree(_evaluated(case, series, times, semantics), answer)
    notes = {f"processor_s_of_{name}": round(float(np.median(each)), 3) for name, each in processor.items()}
    return Number.ratio(
        f"evaluation, {case.name}, {version}", taken, "evaluation", "query_range", 1.0, unit="times one query_range",
        **notes, samples=series.sample_count, answer_bytes=sum(map(len, answer)),
    )  # fmt: skip


def memory(recording: Recording, say: Say) -> list[Number]:
    """Measure the peak of each evaluation's memory beyond the raw samples, each in a process of its own."""
    say(f"memory of evaluation, {recording.days} days")
    numbers = []
    for case in CASES:
        command = [sys.executable, "-m", "benchmarks.evaluating", case.name, str(recording.days)]
        home = Path(__file__).resolve().parent.parent
        # Memory that is freed goes back to the system, so that the peak is what was in use.
        environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
        found = json.loads(subprocess.run(command, check=True, capture_output=True, cwd=home, env=environment).stdout)
        say(f"  {case.name}: {found}")
        per_sample = [found["peak"] / found["samples"]]
        what = f"memory of evaluation, {case.name}"
        numbers.append(Number(what, "bytes a sample", per_sample, BYTES_A_SAMPLE, notes=found))
    return numbers


def _measure_memory(case: Case, recording: Recording) -> dict[str, int]:
    """Return bytes above the raw samples at the peak of an evaluation; for a fresh process."""
    semantics = Semantics.of("2.42")
    series = recording.series(case.metrics)
    # The first result is kept, so that the second cannot live in memory that was freed.
    kept = [_evaluated(case, series, recording.times, semantics)]
    peak = peak_above(lambda: kept.append(_evaluated(case, series, recording.times, semantics)))
    result = kept[0].values.nbytes + kept[0].present.nbytes
    return {"peak": peak, "samples": series.sample_count, "result": result}


if __name__ == "__main__":
    _name, _days = sys.argv[1:]
    _case = next(case for case in CASES if case.name == _name)
    sys.stdout.write(json.dumps(_measure_memory(_case, Recording(int(_days)))))
