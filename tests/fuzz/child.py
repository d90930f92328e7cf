"""The process that feeds: limited in memory, ended by the system when one input takes too long."""

import faulthandler
import importlib
import json
import random
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.feed import feed
from tests.fuzz.inputs import draw

MEMORY = 4 * 2**30
# A process that waits uses no processor time.
WAITS_S = 900
WARM = ("rate(lag[5m]) > 1", "sum by (topic) (max_over_time(lag[5m:1m])) or x", "histogram_quantile(0.9, lag)")


def main(arguments):
    """Feed from one number on until a time of the monotonic clock; tell on stdout what begins and what ends."""
    seed, first, most, until, limit_s, readers = arguments
    module, name = readers.split(":")
    chosen = getattr(importlib.import_module(module), name)
    faulthandler.enable()
    faulthandler.register(signal.SIGXCPU, all_threads=False, chain=True)
    with tempfile.TemporaryDirectory() as folder:
        # What is compiled at its first use does not count.
        for text in WARM:
            feed("expression", text, Path(folder))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for number in range(int(first), int(first) + int(most)):
            if time.monotonic() > float(until):
                return
            kind, text = draw(random.Random(f"{seed}/{number}"))
            used = resource.getrusage(resource.RUSAGE_SELF)
            allowed = int(used.ru_utime + used.ru_stime + float(limit_s)) + 2
            resource.setrlimit(resource.RLIMIT_CPU, (allowed, resource.RLIM_INFINITY))
            tell(number, kind)
            faulthandler.dump_traceback_later(WAITS_S, exit=True)
            wrong, took = feed(kind, text, Path(folder), chosen, float(limit_s))
            faulthandler.cancel_dump_traceback_later()
            tell(number, kind, wrong, took)


def tell(*words):
    """Say it at once: there may be no later."""
    print(json.dumps(words), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
