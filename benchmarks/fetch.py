"""Fetch and decode raw samples, against curl of the same bytes and against prometheus-api-client.

Run with ``python -m benchmarks.fetch``; needs prometheus, promtool and curl. Ratios come from one run on one machine.
"""

from __future__ import annotations

import datetime
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from prometheus_api_client import MetricRangeDataFrame, PrometheusConnect

from kmon_analysis.labels import Matcher
from kmon_analysis.sources.planning import Selection, pieces_of, raw_query, stretches
from kmon_analysis.sources.prometheus import fetch_history
from tests.prometheus_server import running_prometheus
from tests.tools import require

START_MS = 1_767_225_600_000
STEP_MS = 15_000
SERIES = 40
STEPS = 57_600
END_MS = START_MS + STEPS * STEP_MS
LAG = Selection((Matcher("__name__", "=", "lag"),))
CURL = "curl of the queries' bytes"
PEER = "prometheus-api-client"


def write_samples(file: Path) -> None:
    """Write 40 series of ten days: counters, rounded gauges and gauges with all their digits."""
    rng = np.random.default_rng(0)
    with file.open("w", encoding="utf-8") as stream:
        for number in range(SERIES):
            noise = rng.normal(50, 9, STEPS)
            values = {0: noise, 4: np.round(noise, 6)}.get(number % 8, np.cumsum(rng.poisson(3000, STEPS)))
            stream.writelines(
                f'lag{{i="{number}"}} {value!r} {START_MS // 1000 + 15 * step}\n'
                for step, value in enumerate(values.tolist())
            )
        stream.write("# EOF\n")


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def curl_command(url: str) -> list[str | Path]:
    """Return a command that asks for exactly what `fetch_history` asks by queries."""
    (stretch,) = stretches([LAG], START_MS, END_MS)
    command: list[str | Path] = [require("curl"), "-s"]
    for piece in pieces_of(stretch, SERIES / STEP_MS, 250_000):
        for key, value in raw_query(piece).items():
            command += ["--data-urlencode", f"{key}={value}"]
        command += ["-o", "/dev/null", f"{url}/api/v1/query", "--next"]
    return command[:-1]


def peer(url: str) -> object:
    """Do what users of prometheus-api-client do."""
    data = PrometheusConnect(url=url).get_metric_range_data(
        "lag",
        start_time=datetime.datetime.fromtimestamp(START_MS / 1000, datetime.UTC),
        end_time=datetime.datetime.fromtimestamp(END_MS / 1000, datetime.UTC),
        chunk_size=datetime.timedelta(days=1),
    )
    return MetricRangeDataFrame(data)


def measure(rounds: int = 7) -> dict[str, float]:
    """Return median seconds by name; every contender takes its turn in each round, the slow peer once."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "samples.txt"
        write_samples(file)
        with running_prometheus(file) as server:
            span = {"start_ms": START_MS, "end_ms": END_MS}
            command = curl_command(server.url)
            contenders: dict[str, Callable[[], object]] = {
                "fetch_history": lambda: fetch_history(server.url, [LAG], **span),
                "fetch_history by queries": lambda: fetch_history(server.url, [LAG], protocol="query", **span),
                CURL: lambda: subprocess.run(command, check=True),
            }
            for work in contenders.values():
                work()
            taken: dict[str, list[float]] = {label: [] for label in contenders}
            for _ in range(rounds):
                for label, work in contenders.items():
                    taken[label].append(timed(work))
            medians = {label: statistics.median(times) for label, times in taken.items()}
            return {**medians, PEER: timed(lambda: peer(server.url))}


def main() -> None:
    """Print seconds and ratios."""
    seconds = measure()
    print(f"{SERIES * STEPS:,} samples of {SERIES} series")
    for label, taken in seconds.items():
        print(
            f"{label:28} {taken:7.3f} s {taken / seconds[CURL]:7.2f} x curl "
            f"{seconds[PEER] / taken:7.1f} x faster than {PEER}"
        )


if __name__ == "__main__":
    main()
