"""Several requests under way at a time, their results taken in one thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

__all__ = ["in_threads"]

Job = TypeVar("Job")
Result = TypeVar("Result")


def in_threads(
    work: Callable[[Job], Result],
    jobs: Iterable[Job],
    concurrency: int,
    stop: threading.Event,
    took: Callable[[Result], Iterable[Job] | None],
) -> None:
    """Do pieces of work in threads and hand over each result in the caller's thread.

    Parameters
    ----------
    work : callable
        Does one job, in any of the threads.
    jobs : iterable
        What to begin with.
    concurrency : int
        Jobs under way at a time.
    stop : threading.Event
        Set when a job fails or the caller is interrupted, so that the others end early.
    took : callable
        Takes one result; what it returns are further jobs.

    Raises
    ------
    BaseException
        Whatever the first failing job, or `took`, raised.

    Notes
    -----
    The threads are daemons: after Ctrl-C nobody waits for an answer that may never come.
    """
    waiting: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
    results: queue.SimpleQueue[tuple[Result | None, BaseException | None]] = queue.SimpleQueue()
    open_jobs = 0
    for job in jobs:
        waiting.put(job)
        open_jobs += 1

    def serve() -> None:
        while (job := waiting.get()) is not None and not stop.is_set():
            try:
                results.put((work(job), None))
            except BaseException as error:
                results.put((None, error))

    threads = 0
    try:
        while open_jobs:
            while threads < min(concurrency, open_jobs):
                threading.Thread(target=serve, name="kmon-fetch", daemon=True).start()
                threads += 1
            result, error = results.get()
            if error is not None:
                raise error
            for job in took(result) or ():  # type: ignore[arg-type]
                waiting.put(job)
                open_jobs += 1
            open_jobs -= 1
    except BaseException:
        stop.set()
        raise
    finally:
        for _ in range(threads):
            waiting.put(None)
