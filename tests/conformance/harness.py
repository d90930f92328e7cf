"""Run cases before their judges; the entry for people, for CI and for tests of the tests."""

from __future__ import annotations

import itertools
import multiprocessing
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.conformance.generate import make
from tests.conformance.judge import Difference, judge
from tests.conformance.servers import PROMETHEUSES, judging_server
from tests.conformance.shrink import shrink
from tests.conformance.summary import Summary
from tests.tools import require

__all__ = ["PROMTOOLS", "run", "shrunk"]

PROMTOOLS = {"2.42": "promtool", "3.16": "promtool3"}
# Enough to make the start of a process cheap, few enough to see progress.
CHUNK = 20
# Every tenth case is judged by running servers, too; so many of them share a server.
SERVED_EVERY, SERVED_TOGETHER = 10, 30


@dataclass(frozen=True)
class Work:
    """Cases for one judge."""

    judge: Literal["promtool", "server"]
    seed: int
    numbers: tuple[int, ...]
    versions: tuple[str, ...]


def run(
    cases: int,
    seed: int,
    versions: Sequence[str] = tuple(PROMTOOLS),
    *,
    stop_at_first: bool = True,
    jobs: int = 1,
    time_s: float | None = None,
    first: int = 0,
    servers: bool = True,
    progress: Callable[[Summary], None] = lambda summary: None,
) -> Summary:
    """Judge cases.

    Parameters
    ----------
    cases : int
        How many.
    seed : int
        Of the generator.
    versions : sequence of str
        Releases that judge, of `PROMTOOLS`.
    stop_at_first : bool
        Stop soon after a difference was found.
    jobs : int
        Processes.
    time_s : float, optional
        Begin nothing new after so many seconds.
    first : int
        Number of the first case.
    servers : bool
        Whether running servers judge every tenth case, too.
    progress : callable
        Is told the summary so far, after each part.

    Returns
    -------
    Summary
        What was compared, and the differences.

    Notes
    -----
    A judge that is not installed skips or fails as in a test (`tests.tools.require`).
    """
    for version in versions:
        require(PROMTOOLS[version])
        if servers:
            require(PROMETHEUSES[version])
    numbers = range(first, first + cases)
    served = [number for number in numbers if number % SERVED_EVERY == 0] if servers else []
    works = [
        *(Work("server", seed, chunk, tuple(versions)) for chunk in _chunks(served, SERVED_TOGETHER)),
        *(Work("promtool", seed, chunk, tuple(versions)) for chunk in _chunks(numbers, CHUNK)),
    ]
    total = Summary(seed)
    give_up = None if time_s is None else time.monotonic() + time_s
    for part in _parts(works, jobs):
        total.merge(part)
        progress(total)
        if (stop_at_first and total.differences) or (give_up is not None and time.monotonic() > give_up):
            break
    return total


def _chunks(numbers: Sequence[int], size: int) -> Iterator[tuple[int, ...]]:
    for low in range(0, len(numbers), size):
        yield tuple(numbers[low : low + size])


def _parts(works: Sequence[Work], jobs: int) -> Iterator[Summary]:
    """Yield the summary of each piece of work as it is done."""
    if jobs <= 1:
        yield from map(judged, works)
        return
    # A fresh interpreter each: forked ones would share the threads of compiled code.
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        rest = iter(works)
        waiting: set[Future[Summary]] = set()
        try:
            while True:
                waiting |= {pool.submit(judged, work) for work in itertools.islice(rest, jobs + 1 - len(waiting))}
                if not waiting:
                    return
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        finally:
            for future in waiting:
                future.cancel()


def judged(work: Work) -> Summary:
    """Judge some cases by every release."""
    summary = Summary(work.seed, cases=len(work.numbers) if work.judge == "promtool" else 0)
    if work.judge == "promtool":
        made = [make(work.seed, number) for number in work.numbers]
    else:
        # Some day from 2001 on: dates, leap years, and times of rules as they are.
        # A server refuses samples of the future.
        base_ms = random.Random(work.seed).randrange(980_000_000, 1_790_000_000) * 1000
        made = [make(work.seed, number, base_ms=base_ms, with_rules=False) for number in work.numbers]
    for version in work.versions:
        known = [case for case in made if version in case.versions]
        if work.judge == "promtool":
            with tempfile.TemporaryDirectory(prefix="kmon-conformance-") as folder:
                found = judge(known, version, require(PROMTOOLS[version]), Path(folder))
        else:
            with judging_server(version) as server:
                found = server(known)
        for one in found:
            summary.add(one)
    return summary


def shrunk(difference: Difference, *, within_s: float = 60.0) -> Difference:
    """Return a difference in a case that is as small as the time allowed."""
    version, _, by_server = difference.version.partition(" ")
    if by_server:
        with judging_server(version) as server:
            return shrink(difference, server, within_s=within_s)
    with tempfile.TemporaryDirectory(prefix="kmon-conformance-") as folder:
        program = require(PROMTOOLS[version])
        return shrink(difference, lambda cases: judge(cases, version, program, Path(folder)), within_s=within_s)
