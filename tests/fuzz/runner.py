"""Feed inputs in child processes, so that a crash, a hang or a lack of memory is seen and named."""

import collections
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.feed import LIMIT_S
from tests.fuzz.inputs import draw
from tests.tools import REPOSITORY

OUT = REPOSITORY / "out" / "fuzz"
# A child is replaced after so many inputs: what it keeps grows.
MOST = 2000


@dataclass
class Summary:
    """What a run has seen."""

    count: int = 0
    crashes: int = 0
    hangs: int = 0
    kinds: collections.Counter = field(default_factory=collections.Counter)
    slowest: tuple = (0.0, "")

    def line(self):
        """Count."""
        return f"{self.count} inputs, {self.crashes} crashes, {self.hangs} hangs"


def run(seed, seconds, *, progress=None, limit_s=LIMIT_S, readers="tests.fuzz.feed:READERS", out=OUT, most=None):
    """Feed until the time is over or `most` inputs are fed; faults are printed and saved."""
    summary, until = Summary(), time.monotonic() + seconds
    while time.monotonic() < until and (most is None or summary.count < most):
        share = MOST if most is None else min(MOST, most - summary.count)
        command = [sys.executable, "-m", "tests.fuzz.child", seed, summary.count, share, until, limit_s, readers]
        with (
            tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints,
            subprocess.Popen(
                list(map(str, command)), stdout=subprocess.PIPE, stderr=complaints, text=True, cwd=REPOSITORY
            ) as child,
        ):
            begun, before = None, summary.count
            for line in child.stdout:
                number, kind, *ended = json.loads(line)
                begun = None if ended else (number, kind)
                if ended:
                    note(summary, seed, number, kind, *ended, out)
                    if progress:
                        progress(summary)
            status = child.wait()
            complaints.seek(0)
            said = complaints.read()
        if begun is not None:
            hung = status == -signal.SIGXCPU or "Timeout (" in said
            wrong = "more than the processor time" if hung else f"the process ended with status {status}"
            note(summary, seed, *begun, f"{wrong}\n{said[-3000:]}", limit_s if hung else 0.0, out, hung=hung)
        elif status or (summary.count == before and time.monotonic() < until):
            raise RuntimeError(f"the feeding process ended with status {status}: {said[-3000:]}")
    return summary


def note(summary, seed, number, kind, wrong, took, out, *, hung=None):
    """Count an input; name and save it where something is wrong."""
    summary.count += 1
    summary.kinds[kind] += 1
    summary.slowest = max(summary.slowest, (took, f"input {number} ({kind})"))
    if not wrong:
        return
    hung = "of processor time" in wrong if hung is None else hung
    summary.hangs += hung
    summary.crashes += not hung
    out.mkdir(parents=True, exist_ok=True)
    path = Path(out, f"{kind}-{seed}-{number}.txt")
    path.write_bytes(draw(random.Random(f"{seed}/{number}"))[1].encode("utf-8", "surrogatepass"))
    print(f"\ninput {number} ({kind}): {wrong}\n  saved as {path}", flush=True)
