"""Plant each fault of the table, one at a time, and see whether the conformance run notices.

``python -m tests.mutants --cases 1500 --seed 1 --write docs/mutations.md``; ends with 0 when all were caught.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.table import TABLE, Mutant
from tests.tools import REPOSITORY

CAUGHT = Path("out", "mutants.json")
PATIENCE_S = 1800  # for one fault; the longest run is that of a fault that is not caught


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of one fault: ``verdict`` is "caught", "survived" or "broke"."""

    mutant: Mutant
    verdict: str
    how: str


def plant(mutant: Mutant, folder: Path) -> None:
    """Copy the package and the tests into `folder`, with one fault in them."""
    for name in ("kmon_analysis", "tests"):
        shutil.copytree(REPOSITORY / name, folder / name)
    shutil.copy(REPOSITORY / "pyproject.toml", folder)
    file = folder / "kmon_analysis" / mutant.file
    text = file.read_text()
    if text.count(mutant.old) != 1:
        raise ValueError(f"{mutant.what}: the text to replace occurs {text.count(mutant.old)} times in {mutant.file}")
    file.write_text(text.replace(mutant.old, mutant.new))
    # Numba takes compiled code from its cache although a function that it calls was changed in another file.
    if "numba" in text:
        for compiled in (folder / "kmon_analysis").rglob("*.nb[ic]"):
            compiled.unlink()


def attempt(mutant: Mutant, cases: int, seed: int) -> Trial:
    """Run the comparison on code with one fault, until the first difference."""
    with tempfile.TemporaryDirectory(prefix="kmon-mutant-") as name:
        folder = Path(name)
        plant(mutant, folder)
        command = [sys.executable, "-m", "tests.conformance", "--cases", str(cases), "--seed", str(seed), "--jobs", "1"]
        environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}
        done = subprocess.run(
            [*command, "--shrink", "0"],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    said = done.stdout + done.stderr
    closing = re.search(r"(\d[\d,]*) cases, (\d+) differences?", said)
    if closing is None or done.returncode not in (0, 1):
        lines = said.strip().splitlines() or [""]
        return Trial(mutant, "broke", lines[-1][:200])
    if done.returncode == 0:
        return Trial(mutant, "survived", f"{closing[1]} cases")
    return Trial(mutant, "caught", f"by case {closing[1]}")


def remember(trials: list[Trial]) -> None:
    """Keep what was caught, for ``--again``."""
    CAUGHT.parent.mkdir(parents=True, exist_ok=True)
    beside = CAUGHT.with_suffix(".new")
    beside.write_text(json.dumps({trial.mutant.what: trial.how for trial in trials if trial.verdict == "caught"}))
    beside.replace(CAUGHT)


def report(trials: list[Trial], cases: int, seed: int) -> str:
    """Write the results down as a page."""
    caught = sum(trial.verdict == "caught" for trial in trials)
    command = f'make mutants ARGS="--cases {cases} --seed {seed} --write docs/mutations.md"'
    lines = [
        "# Faults that were planted",
        "",
        "Each row is a fault that was put into a copy of the code, alone; then the conformance run compared that copy",
        "with the real Prometheus 2.42 and 3.16 until the first difference. With `--again`, what was caught before is",
        "not planted anew. Written by",
        "",
        "```console",
        f"$ {command}",
        "```",
        "",
        f"{len(trials)} planted, {caught} caught.",
        "",
        "| fault | file | result |",
        "| --- | --- | --- |",
        *(
            f"| {trial.mutant.what} | `{trial.mutant.file}` | {trial.verdict}"
            f"{f' {trial.how}' if trial.verdict == 'caught' else f' ({trial.how})'} |"
            for trial in trials
        ),
        "",
    ]
    return "\n".join(lines)


def main() -> int:
    """Run the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--cases", type=int, default=1500, help="how many cases a fault may survive")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", default="", help="regular expression on the fault or the file")
    parser.add_argument("--write", type=Path, help="page to write the results to")
    parser.add_argument("--again", action="store_true", help="plant only what was not caught before")
    options = parser.parse_args()
    chosen = [mutant for mutant in TABLE if re.search(options.only, f"{mutant.what} {mutant.file}")]
    began = time.monotonic()
    known = json.loads(CAUGHT.read_text()) if options.again else {}
    trials = [Trial(mutant, "caught", known[mutant.what]) for mutant in chosen if mutant.what in known]
    chosen = [mutant for mutant in chosen if mutant.what not in known]
    with ThreadPoolExecutor(options.jobs) as pool:
        for trial in pool.map(lambda mutant: attempt(mutant, options.cases, options.seed), chosen):
            trials.append(trial)
            place = f"{len(trials)}/{len(known) + len(chosen)}, {time.monotonic() - began:.0f} s"
            remember(trials)
            print(f"[{place}] {trial.verdict}: {trial.mutant.what} ({trial.how})", flush=True)
    if options.write:
        beside = options.write.with_suffix(".new")
        beside.write_text(report(trials, options.cases, options.seed))
        beside.replace(options.write)
    caught = sum(trial.verdict == "caught" for trial in trials)
    print(f"{len(trials)} planted, {caught} caught")
    return int(caught < len(trials))


if __name__ == "__main__":
    sys.exit(main())
