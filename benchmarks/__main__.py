"""Measure the numbers to hold: ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import json
import sys
import time

import pytest

from benchmarks import data, evaluating, fetching, starting, sweep
from benchmarks.measure import Number, machine

PARTS = ("start", "sweep", "fetch", "growth", "memory")
# Only when named: a server takes minutes for some of its queries.
LONG_PARTS = ("evaluating",)


def main() -> int:
    """Run what is asked for, print one line a number, and return 1 if one fails."""
    options = _options()
    began = time.monotonic()
    before = machine()

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    say(f"{before['cores']} cores, {before['memory_gib']} GiB, load {before['load']}")
    numbers = _measured(options, say)
    after = machine()
    say("")
    words = sys.stderr if options.json else sys.stdout
    for number in numbers:
        print(number.line(), file=words)
        if options.verbose:
            print(*number.details(), sep="\n", file=words)
    busy = max(before["load"], after["load"] - 1)
    say(f"\n{time.monotonic() - began:.0f} s; load {before['load']} before, {after['load']} after")
    if busy > before["cores"]:
        say("Other work kept the machine busy: run it again when it is quiet before you believe a failure.")
    if options.json:
        record = {"version": 1, "machine": before, "numbers": [number.as_json() for number in numbers]}
        print(json.dumps(record, indent=2))
    return int(any(number.verdict == "FAILS" for number in numbers))


def _measured(options: argparse.Namespace, say) -> list[Number]:
    rounds, few = options.rounds, max(3, options.rounds // 2)
    numbers: list[Number] = []
    if "start" in options.parts:
        numbers += starting.starting(2 * rounds, say)
    try:
        numbers += _against_peers(options, say)
    except pytest.skip.Exception as absent:
        say(f"NOT MEASURED: sweep and fetch. {absent}")
    if "evaluating" in options.parts:
        recording = evaluating.Recording(options.days)
        numbers += evaluating.against_the_servers(recording, min(options.rounds, few), say)
        numbers += evaluating.memory(recording, say)
    for case in sweep.CASES:
        if "growth" in options.parts:
            numbers += sweep.growth(case, few, say)
        if "memory" in options.parts:
            for series in (data.SERIES, 10 * data.SERIES):
                numbers += sweep.memory(case, series, 1, say)
    return numbers


def _against_peers(options: argparse.Namespace, say) -> list[Number]:
    numbers: list[Number] = []
    if not {"sweep", "fetch"} & set(options.parts):
        return numbers
    with data.server() as server:
        if "sweep" in options.parts:
            for case in sweep.CASES:
                numbers += sweep.against_the_server(case, server, options.rounds, say)
        if "fetch" in options.parts:
            for metric in (data.GAUGE, data.DIGITS):
                numbers += fetching.fetching(server.url, metric, options.rounds, 2, say)
    return numbers


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        help=f"any of {', '.join(PARTS)}, which run if none is named, and {', '.join(LONG_PARTS)}",
    )
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each comparison (default: %(default)s)")
    parser.add_argument(
        "--days", type=int, default=evaluating.DAYS, help="days of data for 'evaluating' (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on stdout")
    parser.add_argument("--verbose", action="store_true", help="print the seconds behind each number, too")
    options = parser.parse_args()
    unknown = set(options.parts) - {*PARTS, *LONG_PARTS}
    if unknown or options.rounds < 1 or options.days < 1:
        parser.error(f"no such part: {', '.join(sorted(unknown))}" if unknown else "rounds and days are at least 1")
    options.parts = options.parts or list(PARTS)
    return options


if __name__ == "__main__":
    sys.exit(main())
