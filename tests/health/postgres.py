"""A real PostgreSQL on loopback, for the length of a test session."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.tools import absent

WAIT_S = 120


def programs() -> Path:
    """Return the folder of PostgreSQL's programs, or skip (or fail) the test."""
    if stated := os.environ.get("KMON_POSTGRES"):
        return Path(stated)
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if found := shutil.which("initdb"):
        folders.insert(0, Path(found).parent)
    folders = [folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()]
    if not folders:
        absent("postgres", "PostgreSQL is not installed (looked for initdb on PATH and in Debian's place)")
    return folders[-1]


class Server:
    """One server; `url` is for SQLAlchemy."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.url = f"postgresql+psycopg://kmon:hush-hush@127.0.0.1:{port}/postgres"

    def pids(self) -> list[int]:
        """Return the server and the processes of its connections."""
        listed = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True).stdout
        pairs = [tuple(map(int, line.split())) for line in listed.splitlines()[1:]]
        return [self.process.pid, *(pid for pid, parent in pairs if parent == self.process.pid)]

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """Stop all its processes: connections stay, nothing answers."""
        stopped = self.pids()
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in stopped:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)


def accepts(port: int) -> bool:
    """Tell whether the server takes connections and has come up."""
    import psycopg

    try:
        psycopg.connect(f"host=127.0.0.1 port={port} user=kmon password=hush-hush dbname=postgres").close()
    except psycopg.OperationalError:
        return False
    return True


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Server]:
    """Run a server with its data in `folder`."""
    where = programs()
    data = folder / "data"
    data.mkdir()
    password = folder / "password"
    password.write_text("hush-hush\n")
    # PostgreSQL refuses to run as root.
    options: dict[str, object] = {}
    if os.geteuid() == 0:
        options = {"user": "postgres", "group": "postgres", "extra_groups": []}
        for path in (folder, data, password):
            shutil.chown(path, "postgres", "postgres")
        for parent in folder.parents:
            if parent.owner() == "root" and not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o011)
    subprocess.run(
        [where / "initdb", "-D", data, "-U", "kmon", "-A", "scram-sha-256", f"--pwfile={password}", "--no-sync"],
        check=True,
        capture_output=True,
        cwd=folder,
        **options,
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = ["-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", folder, "-F", "-c", "max_connections=40"]
    process = subprocess.Popen(
        [where / "postgres", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder, **options
    )
    server = Server(process, port)
    try:
        began = time.monotonic()
        while not accepts(port):
            assert process.poll() is None, "PostgreSQL ended"
            assert time.monotonic() - began < WAIT_S, "PostgreSQL does not come up"
            time.sleep(0.1)
        yield server
    finally:
        # Fast shutdown: connections are ended, not waited for.
        process.send_signal(signal.SIGINT)
        process.wait(timeout=WAIT_S)
