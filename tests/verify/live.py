"""Real servers that evaluate real rules over a scripted target, with a restart of the target and of the servers."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.prometheus_server import free_port
from tests.tools import require

__all__ = ["RULES", "Live", "live_servers"]

RULES = """\
groups:
  - name: direct
    interval: 1s
    rules:
      - alert: LagNow
        expr: lag > 50
        labels: {severity: page}
      - alert: LagFor
        expr: lag > 50
        for: 3s
      - alert: LagLong
        expr: lag > 20
        for: 8s
      - alert: LagKept
        expr: lag > 60
        for: 1s
        keep_firing_for: 2s
      - alert: Steady
        expr: vector(1) > 0
        for: 8s
      - alert: Short
        expr: vector(1) > 0
        for: 4s
      - alert: Gone
        expr: absent(up{job="orders"} == 1)
        for: 1s
  - name: windows
    interval: 1s
    rules:
      - record: topic:produced:rate5s
        expr: rate(produced_total[5s])
      - alert: Busy
        expr: topic:produced:rate5s > 40
        for: 2s
      - alert: Mean
        expr: avg_over_time(lag[4s]) > 50
        for: 2s
      - alert: Total
        expr: sum(topic:produced:rate5s) > 100
"""
TOPICS = ("audit", "orders", "users")


class Script:
    """Values of a target, a function of the time since it began."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.began = time.monotonic()

    def text(self) -> str:
        """Return what the target exposes now."""
        now = time.monotonic() - self.began
        lines = ["# TYPE lag gauge", "# TYPE produced_total counter"]
        for topic in TOPICS:
            total, level = 0.0, 0
            chance = random.Random(f"{self.seed} {topic}")
            at = 0.0
            while at < now:
                span = chance.choice((1.3, 2.7, 4.1, 6.5, 11.0))
                level = chance.choice((0, 10, 40, 55, 70, 90))
                total += min(span, now - at) * level
                at += span
            lines += [f'lag{{topic="{topic}"}} {level}', f'produced_total{{topic="{topic}"}} {total:.3f}']
        return "\n".join(lines) + "\n"


@contextlib.contextmanager
def target(script: Script, port: int) -> Iterator[None]:
    """Expose a script."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = script.text().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Live:
    """One server."""

    program: str
    directory: Path
    target_port: int
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    begun_s: float = 0.0
    logs: list[Path] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def rules(self) -> Path:
        """Its rule file."""
        return self.directory / "rules.yml"

    def write(self) -> None:
        """Write its files."""
        self.port = free_port()
        self.rules.write_text(RULES, encoding="utf-8")
        (self.directory / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\n"
            "rule_files: [rules.yml]\n"
            "scrape_configs:\n"
            f"- job_name: orders\n  static_configs: [{{targets: ['127.0.0.1:{self.target_port}']}}]\n"
            f"- job_name: itself\n  static_configs: [{{targets: ['127.0.0.1:{self.port}']}}]\n",
            encoding="utf-8",
        )

    def start(self) -> None:
        """Start it, or start it again on what it stored."""
        log = self.directory / f"log{len(self.logs)}"
        self.logs.append(log)
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [
                    require(self.program),
                    "--config.file=prometheus.yml",
                    "--storage.tsdb.path=data",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    "--rules.alert.for-grace-period=5s",
                    "--log.level=warn",
                ],
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env={**os.environ, "HTTP_PROXY": "", "http_proxy": ""},
            )

    def wait(self, within_s: float = 60.0) -> None:
        """Wait until it is ready."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        give_up = time.monotonic() + within_s
        while time.monotonic() < give_up:
            assert self.process is not None
            assert self.process.poll() is None, self.logs[-1].read_text()
            with contextlib.suppress(OSError), opener.open(f"{self.url}/-/ready", timeout=1) as answer:
                if answer.status == 200:
                    return
            time.sleep(0.1)
        raise RuntimeError(f"{self.program} did not come up: {self.logs[-1].read_text()}")

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None


@contextlib.contextmanager
def live_servers(programs: tuple[str, ...], seconds: float, seed: int = 7) -> Iterator[list[Live]]:
    """Run servers side by side for a while and leave them running.

    At two fifths of the time the target is away for three seconds; at three fifths the servers are restarted.
    """
    folder = Path(tempfile.mkdtemp(prefix="kmon-live-"))
    target_port, script = free_port(), Script(seed)
    servers = []
    for program in programs:
        require(program)
        (folder / program).mkdir()
        servers.append(Live(program, folder / program, target_port))
    try:
        with contextlib.ExitStack() as stack:
            first = contextlib.ExitStack()
            stack.callback(first.close)
            first.enter_context(target(script, target_port))
            for server in servers:
                server.write()
                server.begun_s = time.time()
                server.start()
                stack.callback(server.stop)
            for server in servers:
                server.wait()
            time.sleep(seconds * 2 / 5)
            first.close()
            time.sleep(3)
            stack.enter_context(target(script, target_port))
            time.sleep(seconds / 5)
            for server in servers:
                server.stop()
            time.sleep(1)
            for server in servers:
                server.start()
            for server in servers:
                server.wait()
            time.sleep(seconds * 2 / 5)
            yield servers
    finally:
        shutil.rmtree(folder, ignore_errors=True)
