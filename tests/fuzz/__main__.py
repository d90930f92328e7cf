"""Feed hostile inputs for a while: ``python -m tests.fuzz --seconds 600 --seed 7``."""

import argparse
import collections
import faulthandler
import random
import secrets
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.feed import LIMIT_S, feed
from tests.fuzz.inputs import draw


def main(arguments=None):
    """Run; 1 where something crashed or hung."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int)
    chosen = parser.parse_args(arguments)
    seed = secrets.randbelow(10**9) if chosen.seed is None else chosen.seed
    print(f"seed {seed}, {chosen.seconds:g} s", flush=True)
    # A crash of the interpreter, or an input that never ends, shows where it was.
    faulthandler.enable(file=sys.__stderr__)
    began = said = time.monotonic()
    count, crashes, hangs, kinds, slowest = 0, 0, 0, collections.Counter(), (0.0, "")
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() - began < chosen.seconds:
            kind, text = draw(random.Random(f"{seed}/{count}"))
            faulthandler.dump_traceback_later(30 * LIMIT_S, exit=True, file=sys.__stderr__)
            wrong, took = feed(kind, text, Path(folder))
            faulthandler.cancel_dump_traceback_later()
            if wrong:
                hung = "processor time" in wrong
                crashes, hangs = crashes + (not hung), hangs + hung
                print(f"\ninput {count} ({kind}): {wrong}\n  {text[:300]!r}", flush=True)
            kinds[kind] += 1
            slowest = max(slowest, (took, f"input {count} ({kind})"))
            count += 1
            if time.monotonic() - said > 5:
                said = time.monotonic()
                print(
                    f"{count} inputs, {crashes} crashes, {hangs} hangs, {said - began:.0f} s",
                    file=sys.stderr,
                    flush=True,
                )
    print(", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items())))
    print(f"slowest: {slowest[1]}, {slowest[0]:.1f} s of processor time")
    print(f"{count} inputs, {crashes} crashes, {hangs} hangs")
    return int(bool(crashes or hangs))


if __name__ == "__main__":
    sys.exit(main())
