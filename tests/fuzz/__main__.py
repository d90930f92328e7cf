"""Feed hostile inputs for a while: ``python -m tests.fuzz --seconds 600 --seed 7``."""

import argparse
import secrets
import sys
import time
from pathlib import Path

from tests.fuzz.feed import READERS, feed
from tests.fuzz.runner import run


def main(arguments=None, **how):
    """Run; 1 where something crashed or hung."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, help="seed of the inputs (default: a fresh one, printed first)")
    parser.add_argument("--again", type=Path, help="feed one saved input, named KIND-SEED-NUMBER.txt, in this process")
    chosen = parser.parse_args(arguments)
    if chosen.again:
        return again(chosen.again)
    seed = secrets.randbelow(10**9) if chosen.seed is None else chosen.seed
    print(f"seed {seed}, {chosen.seconds:g} s", flush=True)
    began = said = time.monotonic()

    def progress(summary):
        nonlocal said
        if time.monotonic() - said > 5:
            said = time.monotonic()
            print(f"{summary.line()}, {said - began:.0f} s", file=sys.stderr, flush=True)

    summary = run(seed, chosen.seconds, progress=progress, **how)
    print(", ".join(f"{number} {kind}" for kind, number in sorted(summary.kinds.items())))
    print(f"slowest: {summary.slowest[1]}, {summary.slowest[0]:.1f} s of processor time")
    print(summary.line())
    return int(bool(summary.crashes or summary.hangs))


def again(path):
    """Feed a saved input with its trace."""
    text = path.read_bytes().decode("utf-8", "surrogatepass")
    wrong, took = feed(path.name.split("-")[0], text, path.parent, READERS)
    print(f"{wrong or 'nothing is wrong'}, {took:.1f} s of processor time")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
