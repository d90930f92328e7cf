"""The health endpoint under load with a database that hangs: ``python -m benchmarks.health_load --seconds 30``.

Needs PostgreSQL (see CONTRIBUTING.md). Asks from this machine only, over loopback.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import tempfile
import time
from pathlib import Path

from tests.health import postgres
from tests.health.boxes import Outbox
from tests.health.mock_kafka import mock_cluster
from tests.health.served import Process

REQUEST = b"GET /health/integrations HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
DEADLINE_S = 1.0


def main() -> int:
    """Measure, and print one line a fact."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.health_load", description=__doc__)
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, mock_cluster(1) as cluster:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "postgres").mkdir()
        with postgres.running(folder / "postgres") as server:
            box = Outbox(server.url, "postgresql")
            box.run("CREATE TABLE outbox (event_type text, created_at timestamptz, processed_at timestamptz)")
            deadline = f"{DEADLINE_S:g}s"
            process = Process(
                folder,
                {
                    "port": 0,
                    "kafka": [{"bootstrap_servers": [cluster.bootstrap], "deadline": deadline}],
                    "databases": {"main": {"url": server.url}},
                    "events": [{"name": event, "max_age": "5m", "deadline": deadline} for event in ("A", "B")],
                },
            )
            try:
                process.until(200)
                before = memory_mb(process), process.threads()
                with server.hanging():
                    process.until(503)
                    hung = memory_mb(process), process.threads()
                    took, statuses = asyncio.run(load(process.url, options.connections, options.seconds))
                    after = memory_mb(process), process.threads()
                process.until(200)
            finally:
                process.end()
                box.close()
    took.sort()
    print(
        f"{len(took)} answers to {options.connections} connections in {options.seconds:g} s, statuses {dict(statuses)}"
    )
    print(f"deadline {DEADLINE_S:g} s; slowest {took[-1]:.3f} s, 99 % within {took[int(len(took) * 0.99)]:.3f} s")
    for what, (mb, threads) in (("well", before), ("hung, before the load", hung), ("hung, after the load", after)):
        print(f"{what}: {mb:.1f} MB resident, {threads} threads")
    return int(took[-1] > DEADLINE_S * 1.1 or 500 in statuses)


def memory_mb(process: Process) -> float:
    """Return what the process holds in memory."""
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


async def load(url: str, connections: int, seconds: float) -> tuple[list[float], collections.Counter[int]]:
    """Ask again and again over kept connections; return how long each answer took, and the statuses."""
    host, port = url.removeprefix("http://").split(":")
    took: list[float] = []
    statuses: collections.Counter[int] = collections.Counter()
    ends_at = time.monotonic() + seconds

    async def ask() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        while time.monotonic() < ends_at:
            began = time.monotonic()
            writer.write(REQUEST)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split()[0])
            json.loads(await reader.readexactly(length))
            took.append(time.monotonic() - began)
            statuses[int(head.split()[1])] += 1
        writer.close()

    await asyncio.gather(*(ask() for _ in range(connections)))
    return took, statuses


if __name__ == "__main__":
    raise SystemExit(main())
