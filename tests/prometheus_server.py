"""A real Prometheus on a free loopback port, loaded with given samples; for tests and benchmarks.

Examples
--------
::

    with running_prometheus(openmetrics_text, rule_files=["rules.yml"]) as server:
        requests.get(f"{server.url}/api/v1/query", params={"query": "up"})
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.tools import require

__all__ = ["PrometheusServer", "free_port", "openmetrics", "running_prometheus"]


@dataclass(frozen=True)
class PrometheusServer:
    """A running server."""

    url: str
    directory: Path
    process: subprocess.Popen


def free_port() -> int:
    """Return a loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def openmetrics(series: Mapping[str, Sequence[tuple[int, str]]]) -> str:
    """Write samples as OpenMetrics text.

    Parameters
    ----------
    series : Mapping
        From a series such as ``lag{topic="a"}`` to pairs of milliseconds and a value as text.
    """
    lines = [
        f"{name} {value} {ms // 1000}.{ms % 1000:03d}" for name, samples in series.items() for ms, value in samples
    ]
    return "\n".join([*lines, "# EOF", ""])


@contextlib.contextmanager
def running_prometheus(
    samples: str | Path | None = None,
    *,
    rule_files: Sequence[str | Path] = (),
    config: str | None = None,
    arguments: Sequence[str] = (),
    program: str = "prometheus",
) -> Iterator[PrometheusServer]:
    """Run Prometheus with these samples in its storage, and stop it at the end.

    Parameters
    ----------
    samples : str or Path, optional
        OpenMetrics text with timestamps (see `openmetrics`), or a file of it, or a directory that
        holds ready TSDB blocks (copied).
    rule_files : sequence of paths
        Rule files to load.
    config : str, optional
        YAML that replaces the default configuration (no scrape targets).
    arguments : sequence of str
        Further command-line arguments.
    program : str
        Which binary, by its name for `tests.tools.require`: ``"prometheus"``, ``"prometheus3"`` …
    """
    binary = require(program)
    with tempfile.TemporaryDirectory(prefix="kmon-prometheus-") as name:
        directory = Path(name)
        data = directory / "data"
        if isinstance(samples, Path) and samples.is_dir():
            shutil.copytree(samples, data)
        elif samples is not None:
            data.mkdir()
            source = samples if isinstance(samples, Path) else directory / "samples.txt"
            if isinstance(samples, str):
                source.write_text(samples, encoding="utf-8")
            promtool = require("promtool")
            subprocess.run(
                [promtool, "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=720h", source, data],
                check=True,
                stdout=subprocess.DEVNULL,
            )
        rules = "".join(f"\n- {str(Path(rule).resolve())!r}" for rule in rule_files)
        text = config if config is not None else "global: {scrape_interval: 15s, evaluation_interval: 15s}\n"
        (directory / "prometheus.yml").write_text(text + (f"rule_files:{rules}\n" if rules else ""), encoding="utf-8")
        yield from _run(binary, directory, data, arguments)


def _run(
    binary: Path, directory: Path, data: Path, arguments: Sequence[str], attempts: int = 3
) -> Iterator[PrometheusServer]:
    port = free_port()
    log = (directory / "prometheus.log").open("w+", encoding="utf-8")
    process = subprocess.Popen(
        [
            binary,
            f"--config.file={directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={data}",
            "--storage.tsdb.retention.time=100y",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
            *arguments,
        ],
        stdout=log,
        stderr=subprocess.STDOUT,
        cwd=directory,
        env={**os.environ, "HTTP_PROXY": "", "http_proxy": ""},
    )
    try:
        if not _ready(process, f"http://127.0.0.1:{port}/-/ready"):
            log.seek(0)
            said = log.read()
            if attempts > 1 and "address already in use" in said:
                yield from _run(binary, directory, data, arguments, attempts - 1)
                return
            raise RuntimeError(f"Prometheus did not come up:\n{said[-2000:]}")
        yield PrometheusServer(f"http://127.0.0.1:{port}", directory, process)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


def _ready(process: subprocess.Popen, url: str, within_s: float = 60.0) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    give_up = time.monotonic() + within_s
    while time.monotonic() < give_up and process.poll() is None:
        try:
            with opener.open(url, timeout=1) as answer:
                if answer.status == 200:
                    return True
        except urllib.error.HTTPError as error:
            # It is up, and wants credentials.
            if error.code == 401:
                return True
        except OSError:
            pass
        time.sleep(0.05)
    return False
