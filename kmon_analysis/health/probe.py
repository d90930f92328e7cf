"""Asking all checks at once, one probe at a time, none of them longer than its deadline."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace

from kmon_analysis.health.outcome import Check, Outcome, Redaction

__all__ = ["Prober"]

_LOG = logging.getLogger("kmon_analysis.health")


class _Worker:
    """Runs one check in a thread of its own, of which there is never more than one.

    Notes
    -----
    A check that hangs keeps its thread; those who come later wait for the same attempt. Threads are daemons,
    so that what hangs does not keep the program from ending.
    """

    def __init__(self, check: Check, redaction: Redaction) -> None:
        self.check = check
        self._redaction = redaction
        self._attempt: Future[Outcome] | None = None
        # One waiter for each attempt, however many probes wait for it: a hang must not gather callbacks.
        self._waiting: asyncio.Future[Outcome] | None = None

    async def ask(self) -> Outcome:
        """Return what the check finds, or that it took too long."""
        began = time.monotonic()
        # What is left of the deadline is for writing the answers of all who wait.
        patience_s = self.check.deadline_ms / 1000 * 0.95
        done, _ = await asyncio.wait({self._begin()}, timeout=patience_s)
        waited = time.monotonic() - began
        if not done:
            message = f"timeout of {self.check.deadline_ms}ms exceeded"
            return Outcome(self.check.name, False, {"message": message}, duration_s=waited)
        return replace(done.pop().result(), duration_s=waited)

    def _begin(self) -> asyncio.Future[Outcome]:
        loop = asyncio.get_running_loop()
        if self._attempt is None or self._attempt.done():
            self._attempt = Future()
            self._waiting = None
            name = f"kmon-health-{self.check.name}"
            threading.Thread(target=self._run, args=(self._attempt,), name=name, daemon=True).start()
        if self._waiting is None or self._waiting.get_loop() is not loop:
            self._waiting = asyncio.wrap_future(self._attempt, loop=loop)
        return self._waiting

    def _run(self, attempt: Future[Outcome]) -> None:
        try:
            outcome = self.check.run()
        except Exception as error:
            kind = type(error).__name__
            _LOG.error("%s: unexpected %s: %s", self.check.name, kind, self._redaction(str(error)))
            outcome = Outcome(self.check.name, False, {"message": f"unexpected error: {kind}"})
        attempt.set_result(outcome)


class Prober:
    """Asks all checks; simultaneous requests share one probe.

    Parameters
    ----------
    checks : sequence of Check
        What is asked, in the order of the answer.
    redaction : Redaction
        Keeps secrets out of the log.

    Attributes
    ----------
    shutting_down : bool
        Whether the program is about to end; said in every answer.
    """

    def __init__(self, checks: Sequence[Check], redaction: Redaction | None = None) -> None:
        redaction = redaction or Redaction()
        self.shutting_down = False
        self._workers = tuple(_Worker(check, redaction) for check in checks)
        self._probe: asyncio.Task[tuple[Outcome, ...]] | None = None
        self._last: dict[str, bool] = {}

    async def outcomes(self) -> tuple[Outcome, ...]:
        """Return what all checks find, from a probe that is under way or a new one."""
        probe = self._probe
        if probe is None or probe.done() or probe.get_loop() is not asyncio.get_running_loop():
            probe = self._probe = asyncio.create_task(self._ask_all())
        # A client that goes away must not end the probe for the others.
        return await asyncio.shield(probe)

    async def _ask_all(self) -> tuple[Outcome, ...]:
        found = tuple(await asyncio.gather(*(worker.ask() for worker in self._workers)))
        for outcome in found:
            if self._last.get(outcome.name, True) != outcome.up:
                level = logging.INFO if outcome.up else logging.WARNING
                reason = "" if outcome.up else f": {outcome.details.get('message', '')}"
                _LOG.log(level, "%s is %s%s", outcome.name, "up" if outcome.up else "down", reason)
            self._last[outcome.name] = outcome.up
        return found

    def close(self) -> None:
        """Let go of all connections."""
        for worker in self._workers:
            worker.check.close()
