"""How long a start takes: the import, and the command line's help."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import Number, interleaved, seconds

__all__ = ["starting"]

HOME = Path(__file__).resolve().parent.parent
Say = Callable[[str], None]


def _start(*arguments: str) -> Callable[[], float]:
    def run() -> None:
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, cwd=HOME)

    return lambda: seconds(run)


def starting(rounds: int, say: Say) -> list[Number]:
    """Compare the import with that of pandas, and the help with a Python that does nothing."""
    say("start: import and help")
    arms = {
        "import kmon_analysis": _start("-c", "import kmon_analysis"),
        "import pandas": _start("-c", "import pandas"),
        "kmon --help": _start("-m", "kmon_analysis.cli", "--help"),
        "python -c pass": _start("-c", "pass"),
    }
    for arm in arms.values():
        arm()
    taken = interleaved(arms, rounds, say)
    more = [ours - bare for ours, bare in zip(taken["kmon --help"], taken["python -c pass"], strict=True)]
    behind = {name: taken[name] for name in ("kmon --help", "python -c pass")}
    return [
        Number.ratio("start", taken, "import kmon_analysis", "import pandas", 1.5, unit="times import pandas"),
        Number("start, kmon --help", "s more than python -c pass", more, 0.5, seconds=behind),
    ]
