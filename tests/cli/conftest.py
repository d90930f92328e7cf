"""A small service on disk, and the command line run in this process or as a real one."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from kmon_analysis import cli
from kmon_analysis.incidents import format_incidents
from kmon_analysis.report import page
from tests.recommend.world import RULES, lag_history
from tests.tools import REPOSITORY

WEEKS = 6
DAYS = (8.4, 12.3, 17.6, 22.5, 27.3, 33.6)


@dataclass(frozen=True)
class Result:
    """What a run left behind."""

    status: int
    out: str
    err: str

    def refused(self, status=2):
        """Check what every refusal has in common, and return its words."""
        assert self.status == status, self.err
        assert self.out == ""
        assert "Traceback" not in self.err
        assert self.err.startswith("kmon")
        assert self.err.count("\nkmon") == 0, "one error, said once"
        assert "\x1b" not in self.err
        return self.err


@pytest.fixture
def undrawn(monkeypatch):
    """Draw no pictures: nobody looks at this report, and they take longer than all else together."""
    monkeypatch.setattr(page, "_pictures", lambda *_: [])


@pytest.fixture
def kmon(capfd, monkeypatch):
    """Run a verb in this process."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments):
        capfd.readouterr()
        status = cli.main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Result(status, out, err)

    return run


def spawned(*arguments, cwd=None, **environment):
    """Run a verb as a real process; bytes are decoded as UTF-8."""
    done = subprocess.run(
        [sys.executable, "-m", "kmon_analysis.cli", *map(str, arguments)],
        capture_output=True,
        cwd=cwd or REPOSITORY,
        env=environment_of(**environment),
        stdin=subprocess.DEVNULL,
        timeout=120,
    )
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


def environment_of(**changes):
    usual = {**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "80", **changes}
    return {name: value for name, value in usual.items() if value is not None}


def on_a_terminal(*arguments, **environment):
    """Run with stderr on a pseudo terminal; return status, stdout and what the terminal got."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "kmon_analysis.cli", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=theirs,
        stdin=subprocess.DEVNULL,
        cwd=REPOSITORY,
        env=environment_of(TERM="xterm-256color", **environment),
    )
    os.close(theirs)
    seen = b""
    with contextlib.suppress(OSError):
        while chunk := os.read(ours, 65_536):
            seen += chunk
    os.close(ours)
    out, _ = process.communicate(timeout=60)
    return process.returncode, out.decode(), seen.decode()


@dataclass(frozen=True)
class World:
    """Paths of a history with six incidents, its rules and its list."""

    folder: Path

    @property
    def history(self):
        return self.folder / "history"

    @property
    def rules(self):
        return self.folder / "rules.yml"

    @property
    def incidents(self):
        return self.folder / "incidents.yml"

    @property
    def usual(self):
        return ("--history", self.history, "--rules", self.rules, "--incidents", self.incidents)


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    made = World(folder)
    history, incidents = lag_history(WEEKS, incidents=DAYS)
    history.save(made.history)
    made.rules.write_text("# of the shop\n" + RULES.format(threshold=500) + "    labels: {severity: page}  # wakes\n")
    made.incidents.write_text(format_incidents(incidents))
    return made


def tree(folder):
    """Return every file below a folder with its content."""
    return {path.relative_to(folder): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}
