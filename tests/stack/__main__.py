"""Run a stack from a terminal.

``python -m tests.stack up [--interval SECONDS] [--foreground]`` starts one and says where it listens, ``down`` stops
the one that runs (``down --all`` all of them), ``status`` lists them, ``faults`` lists what can be broken, ``fault NAME
[TARGET] [--for SECONDS | --undo]`` breaks it until it is mended. A stack that is one of several is named by ``--stack
FOLDER``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.stack import faults
from tests.stack.cluster import PREFIX, Stack
from tests.tools import REPOSITORY

SOCKET = "control"


def main() -> int:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(prog="python -m tests.stack", description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start a stack")
    up.add_argument("--interval", type=float, default=5.0, help="seconds between scrapes")
    up.add_argument("--foreground", action="store_true", help="stay here: it ends with this process, or by Ctrl-C")
    for name in ("down", "status", "fault"):
        one = commands.add_parser(name)
        one.add_argument("--stack", type=Path, metavar="FOLDER", help="which, when several run")
        if name == "down":
            one.add_argument("--all", action="store_true")
        if name == "fault":
            one.add_argument("name", choices=[*faults.FAULTS, *faults.EVENTS])
            one.add_argument("target", nargs="?", help="a consumer group or a broker's number")
            end = one.add_mutually_exclusive_group()
            end.add_argument("--undo", action="store_true", help="mend it")
            end.add_argument("--for", type=float, dest="seconds", metavar="SECONDS", help="mend it after that time")
    commands.add_parser("faults", help="list what can be broken")
    keeper = commands.add_parser("keep")
    keeper.add_argument("folder", type=Path)
    keeper.add_argument("interval", type=float)
    given = parser.parse_args()
    if given.command == "up":
        return start(given.interval, given.foreground)
    if given.command == "keep":
        return keep(given.folder, given.interval)
    if given.command == "faults":
        for kind, table in (("faults", faults.FAULTS), ("harmless", faults.EVENTS)):
            print(f"{kind}:")
            for name, fault in table.items():
                print(f"  {name:20} {fault.effect} [{fault.target or 'no target'}]")
        return 0
    folders = [given.stack] if given.stack else stacks()
    if given.command == "status":
        for folder in folders:
            print(json.dumps(ask(folder, {"do": "status"})))
        return 0
    if not folders or (len(folders) > 1 and not getattr(given, "all", False)):
        print(f"{len(folders)} stacks run{': ' if folders else ''}{', '.join(map(str, folders))}", file=sys.stderr)
        return 0 if given.command == "down" and not folders else 2
    if given.command == "down":
        for folder in folders:
            ask(folder, {"do": "down"})
        return 0
    answer = ask(folders[0], {"do": "mend" if given.undo else "break", "name": given.name, "target": given.target})
    if given.seconds and "error" not in answer:
        time.sleep(given.seconds)
        answer = ask(folders[0], {"do": "mend", "name": given.name, "target": given.target})
    print(answer.get("error") or json.dumps(answer), file=sys.stderr if "error" in answer else sys.stdout)
    return 2 if "error" in answer else 0


def stacks() -> list[Path]:
    """Return the folders of this user's running stacks."""
    found = []
    for folder in sorted(Path(tempfile.gettempdir()).glob(f"{PREFIX}*")):
        with contextlib.suppress(OSError):
            if folder.stat().st_uid == os.getuid():
                ask(folder, {"do": "status"})
                found.append(folder)
    return found


def ask(folder: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Send one request to the process that keeps a stack, and return its answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(folder / SOCKET))
        connection.sendall(json.dumps(request).encode() + b"\n")
        return json.loads(connection.makefile().readline() or "{}")


def start(interval_s: float, foreground: bool) -> int:
    """Start a stack here, or in a process of its own that outlives this one."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    if foreground:
        return keep(folder, interval_s)
    with (folder / "keeper.log").open("wb") as log:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "tests.stack", "keep", str(folder), str(interval_s)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=REPOSITORY,
            start_new_session=True,
        )
    while keeper.poll() is None:
        with contextlib.suppress(OSError):
            print(json.dumps(ask(folder, {"do": "status"})))
            return 0
        time.sleep(0.2)
    print((folder / "keeper.log").read_text(encoding="utf-8"), file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    return 2


def keep(folder: Path, interval_s: float) -> int:
    """Run a stack and do what is asked through its socket, until told to end."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))
    stack = Stack(folder, interval_s=interval_s)
    active: dict[tuple[str, str], contextlib.ExitStack] = {}
    try:
        stack.start()
        with socket.socket(socket.AF_UNIX) as door, selectors.DefaultSelector() as waiting:
            door.bind(str(folder / SOCKET))
            door.listen()
            waiting.register(door, selectors.EVENT_READ)
            print(json.dumps(done(stack, active, {"do": "status"})), flush=True)
            while True:
                waiting.select()
                connection, _ = door.accept()
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(5)
                    request = json.loads(connection.makefile().readline())
                    if request["do"] == "down":
                        stack.stop()
                        shutil.rmtree(folder, ignore_errors=True)
                        return 0
                    answer = done(stack, active, request)
                    connection.sendall(json.dumps(answer).encode() + b"\n")
    finally:
        stack.stop()
        shutil.rmtree(folder, ignore_errors=True)


def done(stack: Stack, active: dict[tuple[str, str], contextlib.ExitStack], request: dict[str, Any]) -> dict[str, Any]:
    """Do what is asked; say what is broken afterwards."""
    if request["do"] != "status":
        key = (request["name"], request["target"] or {**faults.FAULTS, **faults.EVENTS}[request["name"]].target)
        if request["do"] == "mend":
            if key not in active:
                return {"error": f"{key[0]} of {key[1]} is not broken"}
            active.pop(key).close()
        elif key in active:
            return {"error": f"{key[0]} of {key[1]} is broken already"}
        else:
            broken = contextlib.ExitStack()
            try:
                broken.enter_context(faults.injected(stack, *key))
            except Exception as error:  # a wrong target must not end the stack
                return {"error": f"{type(error).__name__}: {error}"}
            if key[0] in faults.FAULTS or key[0] == "burst":
                active[key] = broken
    state = json.loads((stack.folder / "stack.json").read_text(encoding="utf-8"))
    return {
        "folder": str(stack.folder),
        "active": [" ".join(key) for key in active],
        "ended": stack.processes.ended(),
        **state,
    }


if __name__ == "__main__":
    sys.exit(main())
