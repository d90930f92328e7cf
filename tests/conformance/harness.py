"""Run cases before their judges; the entry for people, for CI and for tests of the tests."""

from __future__ import annotations

import itertools
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

from tests.conformance.generate import make
from tests.conformance.judge import judge
from tests.conformance.summary import Summary
from tests.tools import require

__all__ = ["PROMTOOLS", "run"]

PROMTOOLS = {"2.42": "promtool", "3.16": "promtool3"}
# Enough to make the start of a process cheap, few enough to see progress.
CHUNK = 20


def run(
    cases: int,
    seed: int,
    versions: Sequence[str] = tuple(PROMTOOLS),
    *,
    stop_at_first: bool = True,
    jobs: int = 1,
    time_s: float | None = None,
    first: int = 0,
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
    progress : callable
        Is told the summary so far, after each chunk.

    Returns
    -------
    Summary
        What was compared, and the differences.
    """
    programs = {version: require(PROMTOOLS[version]) for version in versions}
    chunks = [range(low, min(low + CHUNK, first + cases)) for low in range(first, first + cases, CHUNK)]
    total = Summary(seed)
    give_up = None if time_s is None else time.monotonic() + time_s
    for part in _parts(chunks, seed, programs, jobs):
        total.merge(part)
        progress(total)
        if (stop_at_first and total.differences) or (give_up is not None and time.monotonic() > give_up):
            break
    return total


def _parts(chunks: Sequence[range], seed: int, programs: dict[str, Path], jobs: int) -> Iterator[Summary]:
    """Yield the summary of each chunk as it is done."""
    if jobs <= 1:
        yield from (judge_chunk(chunk, seed, programs) for chunk in chunks)
        return
    # A fresh interpreter each: forked ones would share the threads of compiled code.
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        rest = iter(chunks)
        waiting: set[Future[Summary]] = set()
        try:
            while True:
                for chunk in itertools.islice(rest, jobs + 1 - len(waiting)):
                    waiting.add(pool.submit(judge_chunk, chunk, seed, programs))
                if not waiting:
                    return
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        finally:
            for future in waiting:
                future.cancel()


def judge_chunk(numbers: range, seed: int, programs: dict[str, Path]) -> Summary:
    """Judge some cases by every release."""
    summary = Summary(seed, cases=len(numbers))
    made = [make(seed, number) for number in numbers]
    for version, program in programs.items():
        with tempfile.TemporaryDirectory(prefix="kmon-conformance-") as folder:
            known = [case for case in made if version in case.versions]
            for judged in judge(known, version, program, Path(folder)):
                summary.add(judged)
    return summary
