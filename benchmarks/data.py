"""The measured data: Kafka-like series from a seed, in memory and as TSDB blocks."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Hashable, Iterable, Iterator
from pathlib import Path

import numpy as np

from kmon_analysis.history import History, Provenance
from kmon_analysis.incidents import Incident, Incidents
from kmon_analysis.labels import Labels
from kmon_analysis.series import Samples, SeriesSet
from kmon_analysis.timing import DAY_MS, HOUR_MS, Interval
from tests.prometheus_server import PrometheusServer, running_prometheus
from tests.tools import require

__all__ = [
    "COUNTER",
    "DAYS",
    "DIGITS",
    "END_MS",
    "GAUGE",
    "SERIES",
    "START_MS",
    "STEP_MS",
    "blocks",
    "history",
    "incidents",
    "server",
]

START_MS = 1_767_225_600_000
STEP_MS = 15_000
DAYS = 30
END_MS = START_MS + DAYS * DAY_MS
SERIES = 10
COUNT = DAYS * DAY_MS // STEP_MS
GAUGE = "kafka_consumer_lag_sum"
COUNTER = "kafka_topic_messages_total"
DIGITS = "kafka_network_request_time_ms_mean"
_SEED = 20_260_101
# Part of the cache key: change it whenever what is generated changes.
_EDITION = 3


@functools.cache
def incidents() -> Incidents:
    """Return five incidents of an hour, one every six days."""
    found = []
    for number in range(5):
        start = START_MS + (3 + 6 * number) * DAY_MS + 10 * HOUR_MS
        found.append(Incident(f"INC-{number + 1}", Interval(start, start + HOUR_MS)))
    return Incidents(incidents=tuple(found))


def _lag(rng: np.random.Generator) -> np.ndarray:
    """Whole numbers: a daily rhythm, ordinary peaks of some minutes, and the incidents."""
    day = np.sin(np.arange(COUNT) * (2 * np.pi * STEP_MS / DAY_MS))
    lag = rng.poisson(60 + 40 * day).astype(np.float64)
    for at in rng.integers(0, COUNT - 200, 150):
        length = int(rng.integers(4, 120))
        lag[at : at + length] += rng.pareto(1.5) * 300 * np.hanning(length + 2)[1:-1]
    for incident in incidents().incidents:
        low = (incident.interval.start_ms - START_MS) // STEP_MS
        high = (incident.interval.end_ms - START_MS) // STEP_MS
        lag[low:high] += np.linspace(0, rng.uniform(3_000, 20_000), high - low)
    return np.floor(lag)


def _total(rng: np.random.Generator) -> np.ndarray:
    """A counter with the same rhythm and a few restarts."""
    day = np.sin(np.arange(COUNT) * (2 * np.pi * STEP_MS / DAY_MS))
    steps = rng.poisson(np.maximum(900 + 500 * day + rng.normal(0, 60, COUNT), 1)).astype(np.float64)
    for incident in incidents().incidents:
        low = (incident.interval.start_ms - START_MS) // STEP_MS
        steps[low : low + 240] *= 4
    total = np.cumsum(steps)
    for at in rng.integers(0, COUNT, 3):
        total[at:] -= total[at] - steps[at]
    return total


def _mean(rng: np.random.Generator) -> np.ndarray:
    """A mean with all its digits."""
    return rng.gamma(4, 3, COUNT)


_VALUES = {GAUGE: _lag, COUNTER: _total, DIGITS: _mean}


def _part(name: str, number: int) -> Samples:
    rng = np.random.default_rng([_SEED, number, list(_VALUES).index(name)])
    labels = {"__name__": name, "topic": f"topic-{number:03d}", "instance": "kafka-1:7071", "job": "kafka"}
    if name == GAUGE:
        labels["consumergroup"] = "email"
    # Every target is scraped at its own moment within the interval, and no scrape is quite on time: so the
    # rates of a counter hardly ever repeat, which is the hardest case for the sweep.
    times = START_MS + int(rng.integers(0, STEP_MS - 50)) + np.arange(COUNT, dtype=np.int64) * STEP_MS
    times += rng.integers(0, 50, COUNT)
    return Samples(Labels(labels), times, _VALUES[name](rng))


def history(name: str, series: int = SERIES) -> History:
    """Return the raw samples of one metric."""
    parts = SeriesSet.from_samples(_part(name, number) for number in range(series))
    provenance = Provenance("benchmark", START_MS, END_MS, scrape_interval_ms=STEP_MS, server_version="2.42.0")
    return History(parts, provenance)


def blocks(key: Hashable, parts: Callable[[], Iterable[Samples]]) -> Path:
    """Return a folder of TSDB blocks that hold these series; made once for each key and kept."""
    name = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kmon" / "bench"
    target = home / f"blocks-{name}"
    if target.is_dir():
        return target
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as folder:
        text = Path(folder) / "samples.txt"
        with text.open("w", encoding="utf-8") as file:
            for part in parts():
                name_and_labels = str(part.labels).replace(", ", ",")
                rows = zip(part.values.tolist(), part.times.tolist(), strict=True)
                file.writelines(f"{name_and_labels} {value!r} {ms // 1000}.{ms % 1000:03d}\n" for value, ms in rows)
            file.write("# EOF\n")
        made = Path(folder) / "data"
        made.mkdir()
        promtool = require("promtool")
        arguments = ["tsdb", "create-blocks-from", "openmetrics", "--quiet", "--max-block-duration=720h", text, made]
        subprocess.run([promtool, *arguments], check=True, stdout=subprocess.DEVNULL)
        with contextlib.suppress(OSError):
            made.rename(target)
    return target


@contextlib.contextmanager
def server() -> Iterator[PrometheusServer]:
    """Run a Prometheus that holds ten series of each metric over thirty days."""
    key = (_EDITION, _SEED, START_MS, STEP_MS, DAYS, SERIES)
    made = blocks(key, lambda: (part for metric in _VALUES for part in history(metric).series))
    with running_prometheus(made) as running:
        yield running
