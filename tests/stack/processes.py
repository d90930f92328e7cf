"""Start, pause and stop the programs of one stack; they end with the process that started them.

Every program is started through ``setpriv --pdeathsig KILL`` (util-linux): the kernel ends it when the starting
thread ends, however that comes about. So start programs from the main thread only.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

__all__ = ["Processes", "free_ports"]


class Processes:
    """The running programs of a stack, by name.

    Parameters
    ----------
    folder : Path
        Where their output goes, one file ``NAME.log`` each.
    changed : callable, optional
        Called whenever a program was started or has ended.
    """

    def __init__(self, folder: Path, changed: Callable[[], None] = lambda: None):
        self.folder = folder
        self.changed = changed
        self.running: dict[str, subprocess.Popen] = {}
        self.ever: list[int] = []

    def start(self, name: str, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> None:
        """Start a program under a name that nothing runs under."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(f"{name} would end with this thread: start it from the main thread")
        if name in self.running:
            raise RuntimeError(f"{name} runs already")
        proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"), "")
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env={**os.environ, **proxies, **(environment or {})},
            )
        self.running[name] = process
        self.ever.append(process.pid)
        self.changed()

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal, for example to pause (SIGSTOP) and to go on (SIGCONT)."""
        self.running[name].send_signal(number)

    def stop(self, name: str, *, at_once: bool = False, within_s: float = 15.0) -> None:
        """End a program: ask it, or kill it `at_once`; kill it too when it does not end in time."""
        process = self.running.pop(name)
        if at_once:
            process.kill()
        else:
            process.terminate()
            process.send_signal(signal.SIGCONT)
        try:
            process.wait(within_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self.changed()

    def stop_all(self) -> None:
        """Kill everything at once: all state lies in a folder that is thrown away."""
        if not self.running:
            return
        for process in self.running.values():
            process.kill()
        for process in self.running.values():
            process.wait()
        self.running.clear()
        self.changed()

    def ended(self) -> list[str]:
        """Name the programs that ended by themselves."""
        return [name for name, process in self.running.items() if process.poll() is not None]

    def log(self, name: str, last: int = 2000) -> str:
        """Return the end of a program's output."""
        path = self.folder / f"{name}.log"
        return path.read_text(encoding="utf-8", errors="replace")[-last:] if path.exists() else ""


def free_ports(count: int) -> list[int]:
    """Find loopback ports that are free now.

    They lie below the range from which systems take ports for outgoing connections, so that a stopped broker finds
    its port free again.
    """
    found: list[int] = []
    while len(found) < count:
        port = random.SystemRandom().randrange(10_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found
