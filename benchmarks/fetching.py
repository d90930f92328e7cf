"""Raw samples over the network: against `curl` and against prometheus-api-client."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from prometheus_api_client import MetricRangeDataFrame, PrometheusConnect

from benchmarks import data
from benchmarks.measure import Number, interleaved, seconds
from kmon_analysis.history import History
from kmon_analysis.labels import Matcher
from kmon_analysis.sources.prometheus import Selection, fetch_history
from tests.tools import require

__all__ = ["fetching"]

CONCURRENCY = 4
Say = Callable[[str], None]


def _fetch(source: str | PrometheusConnect, metric: str, protocol: str | None = "query", **more) -> History:
    wanted = [Selection((Matcher("__name__", "=", metric),))]
    span = {"start_ms": data.START_MS, "end_ms": data.END_MS}
    return fetch_history(source, wanted, **span, protocol=protocol, concurrency=CONCURRENCY, **more)


def _recorded(url: str, metric: str) -> tuple[list[tuple[str, str, str]], int]:
    """Fetch once and return what was asked (method, URL, body), and the bytes that came back."""
    asked: list[tuple[str, str, str]] = []
    received = []
    client = PrometheusConnect(url=url)

    def note(response, **_):
        request = response.request
        asked.append((request.method, request.url, request.body or ""))

    client._session.hooks["response"].append(note)
    _fetch(client, metric, progress=lambda progress: received.append(progress.bytes))
    return asked, received[-1]


def _curl(asked: list[tuple[str, str, str]], directory: Path) -> list[str]:
    """Return a command that puts the same questions with the same number under way at a time."""
    lines = []
    for number, (method, url, body) in enumerate(asked):
        lines += ["next"] if number else []
        lines += [f'url = "{url}"', f'output = "{directory / str(number)}"', 'header = "Accept-Encoding: identity"']
        if method == "POST":
            lines.append(f'data = "{body}"')
    config = directory / "curl.txt"
    config.write_text("\n".join(lines), encoding="utf-8")
    return [str(require("curl")), "--silent", "--fail", "--no-progress-meter", "--parallel", "--parallel-immediate",
            "--parallel-max", str(CONCURRENCY), "--config", str(config)]  # fmt: skip


def _frame(url: str, metric: str) -> pd.DataFrame:
    client = PrometheusConnect(url=url)
    start, end = (datetime.fromtimestamp(ms / 1000, UTC) for ms in (data.START_MS, data.END_MS))
    return MetricRangeDataFrame(client.get_metric_range_data(metric, start_time=start, end_time=end))


def _agree(history: History, frame: pd.DataFrame) -> None:
    """Prove that both read the same samples."""
    for part in history.series:
        theirs = frame[frame["topic"] == part.labels["topic"]]
        if not np.array_equal(part.values, theirs["value"].to_numpy()):
            raise RuntimeError(f"prometheus-api-client read other samples of {part.labels}")


def fetching(url: str, metric: str, rounds: int, slow_rounds: int, say: Say) -> list[Number]:
    """Compare reading a metric's samples with its two peers.

    The peers answer different questions: `curl` tells what the bytes cost that the query API must send,
    prometheus-api-client what users pay today for arrays of the same samples.
    """
    say(f"fetch: {metric}")
    asked, received = _recorded(url, metric)
    history = _fetch(url, metric)
    _agree(history, _frame(url, metric))
    chosen = _fetch(url, metric, None).provenance.extra["protocol"]
    ours, default, peer = "query API", f"default ({chosen})", "prometheus-api-client"
    with tempfile.TemporaryDirectory(prefix="kmon-bench-") as name:
        command = _curl(asked, Path(name))
        subprocess.run(command, check=True)
        size = sum(path.stat().st_size for path in Path(name).iterdir() if path.suffix != ".txt")
        if size < received:
            raise RuntimeError(f"curl read {size:,} bytes, we read {received:,}")
        arms = {
            ours: lambda: seconds(lambda: _fetch(url, metric)),
            "curl": lambda: seconds(lambda: subprocess.run(command, check=True)),
            default: lambda: seconds(lambda: _fetch(url, metric, None)),
        }
        taken = interleaved(arms, rounds, say)
    arms = {ours: arms[ours], peer: lambda: seconds(lambda: _frame(url, metric))}
    slow = interleaved(arms, slow_rounds, say)
    about = {
        "samples": history.series.sample_count,
        "bytes": received,
        "requests": len(asked),
        f"{default}, median seconds": round(statistics.median(taken[default]), 3),
    }
    what, unit = f"fetch and decode by the query API, {metric}", "times curl of the same bytes"
    faster = f"times faster than {peer}"
    return [
        Number.ratio(what, taken, ours, "curl", 1.5, unit=unit, **about),
        Number.ratio(what, slow, ours, peer, 10.0, unit=faster, at_least=True),
    ]
