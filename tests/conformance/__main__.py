"""Compare random cases with real Prometheus programs: ``python -m tests.conformance --cases 1000``."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from pathlib import Path

import pytest

from tests.conformance.harness import PROMTOOLS, run, shrunk
from tests.conformance.judge import Difference
from tests.conformance.summary import Summary
from tests.conformance.tables import table

OUT = Path("out", "conformance")
# So many differences are made small.
SHRUNK = 3


def main(arguments: list[str] | None = None) -> int:
    """Run; 0 where nothing differs, 1 where something does, 2 where a judge is missing."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--cases", type=int, default=1000, help="how many cases (default 1000)")
    parser.add_argument("--seed", type=int, help="seed of the cases (default: a fresh one, printed first)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: all cores)")
    parser.add_argument("--time", type=float, help="begin nothing new after so many seconds")
    parser.add_argument("--first", type=int, default=0, help="number of the first case (default 0)")
    parser.add_argument("--versions", nargs="+", default=list(PROMTOOLS), choices=PROMTOOLS, help="releases that judge")
    parser.add_argument("--no-servers", action="store_true", help="ask promtool only")
    parser.add_argument("--shrink", type=float, default=60.0, help="seconds for making a difference small (default 60)")
    parser.add_argument("--all", action="store_true", help="go on after the first difference")
    chosen = parser.parse_args(arguments)
    seed = secrets.randbelow(10**9) if chosen.seed is None else chosen.seed
    print(f"seed {seed}, {chosen.cases} cases, Prometheus {' and '.join(chosen.versions)}", flush=True)
    began = time.monotonic()

    def progress(summary: Summary) -> None:
        took = time.monotonic() - began
        line = f"{summary.cases} of {chosen.cases} cases, {len(summary.differences)} differences, {took:.0f} s"
        print(f"\r{line}", end="" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)

    try:
        summary = run(
            chosen.cases,
            seed,
            chosen.versions,
            stop_at_first=not chosen.all,
            jobs=chosen.jobs,
            time_s=chosen.time,
            first=chosen.first,
            servers=not chosen.no_servers,
            progress=progress,
        )
    except (pytest.skip.Exception, pytest.fail.Exception) as missing:
        print(f"A judge is missing: {missing.msg}", file=sys.stderr)
        return 2
    print(table(summary))
    for difference in summary.differences[:20]:
        tell(difference)
    for difference in distinct(summary)[:SHRUNK]:
        print(f"shrinking that of case {difference.case.name} ({difference.version}) …", file=sys.stderr, flush=True)
        small = shrunk(difference, within_s=chosen.shrink)
        path = save(small)
        print(small.case.to_json())
        tell(small)
        print(f"  saved as {path}")
    print(f"{summary.cases} cases, {len(summary.differences)} differences")
    return 1 if summary.differences else 0


def tell(difference: Difference) -> None:
    """Print one difference."""
    print(f"case {difference.case.name}, {difference.version}, {difference.time_ms} ms: {difference.expr}")
    print(f"  {difference.said}")


def distinct(summary: Summary) -> list[Difference]:
    """Return one difference of each release and expression."""
    return list({(one.version, one.kind, one.expr): one for one in reversed(summary.differences)}.values())[::-1]


def save(difference: Difference) -> Path:
    """Write a case where regressions can be taken from."""
    release = difference.version.replace(" ", "-")
    path = OUT / f"{release}-{difference.case.name.replace('/', '-')}.json"
    OUT.mkdir(parents=True, exist_ok=True)
    path.write_text(difference.case.to_json() + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    sys.exit(main())
