"""Time several ways of doing something side by side, and judge the ratios."""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

__all__ = [
    "Number",
    "interleaved",
    "machine",
    "peak_above",
    "processor_seconds",
    "resident",
    "seconds",
    "spread",
    "used",
]

Verdict = Literal["holds", "noise", "FAILS"]


def seconds(work: Callable[[], object]) -> float:
    """Return how long one call takes; what it returns is freed outside the clock."""
    gc.collect()
    began = time.perf_counter()
    result = work()
    taken = time.perf_counter() - began
    del result
    return taken


def used(*processes: int) -> float:
    """Return the processor seconds so far, here and in other processes, on all cores."""
    elsewhere = 0.0
    for process in processes:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        elsewhere += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return time.process_time() + elsewhere


def processor_seconds(work: Callable[[], object], *others: int, times: int = 5) -> float:
    """Return what one call costs on all cores, here and in other processes: other work hardly changes that."""
    before = used(*others)
    for _ in range(times):
        work()
    return round((used(*others) - before) / times, 3)


def _status(name: str) -> int:
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith(f"{name}:"))


def resident() -> int:
    """Return the bytes of this process that are in memory."""
    return _status("VmRSS")


def peak_above(work: Callable[[], object]) -> int:
    """Return by how many bytes the peak of one call exceeds what is resident before."""
    gc.collect()
    # Writing 5 resets the peak (VmHWM) to what is resident now; see proc(5).
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = resident()
    work()
    return _status("VmHWM") - before


def interleaved(
    arms: Mapping[str, Callable[[], float]], repetitions: int, say: Callable[[str], None]
) -> dict[str, list[float]]:
    """Run every arm once a round, in turning order, and return the seconds of each.

    Parameters
    ----------
    arms : Mapping
        From a name to a call that returns its own seconds, so that its preparation is not counted.
    repetitions : int
        Rounds. The order turns from round to round: drift of the machine falls on all arms alike.
    say : callable
        Told the seconds of each round.
    """
    taken: dict[str, list[float]] = {name: [] for name in arms}
    names = list(arms)
    for turn in range(repetitions):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            taken[name].append(arms[name]())
        say("  " + ", ".join(f"{name} {times[-1]:.3g} s" for name, times in taken.items()))
    return taken


@dataclass(frozen=True)
class Number:
    """One number to hold.

    Attributes
    ----------
    what : str
        What is measured.
    unit : str
        What the values are, such as ``"times one query_range"``.
    values : sequence of float
        One a round; ratios are of two measurements of the same round.
    limit : float
        What must hold.
    at_least : bool
        Whether the limit is one from below.
    seconds : Mapping
        The measurements behind the values, by arm.
    notes : Mapping
        Further figures, stated and not judged.
    """

    what: str
    unit: str
    values: Sequence[float]
    limit: float
    at_least: bool = False
    seconds: Mapping[str, Sequence[float]] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def ratio(
        cls,
        what: str,
        taken: Mapping[str, Sequence[float]],
        ours: str,
        theirs: str,
        limit: float,
        *,
        unit: str,
        at_least: bool = False,
        **notes: Any,
    ) -> Number:
        """Compare two arms, round by round; `at_least` turns the ratio to theirs over ours."""
        above, below = (taken[theirs], taken[ours]) if at_least else (taken[ours], taken[theirs])
        values = [one / other for one, other in zip(above, below, strict=True)]
        return cls(what, unit, values, limit, at_least, {ours: taken[ours], theirs: taken[theirs]}, notes)

    @property
    def median(self) -> float:
        """Median of the values."""
        return statistics.median(self.values)

    @property
    def verdict(self) -> Verdict:
        """Whether it holds.

        A number fails when *every* round is beyond the limit: with five rounds that happens once in 32
        runs to a number that lies exactly on its limit. When only the median is beyond, that is noise.
        """
        beyond = [value < self.limit if self.at_least else value > self.limit for value in self.values]
        if all(beyond):
            return "FAILS"
        on_median = self.median < self.limit if self.at_least else self.median > self.limit
        return "noise" if on_median else "holds"

    def line(self) -> str:
        """Say it in one line."""
        must = "at least" if self.at_least else "at most"
        low, high = min(self.values), max(self.values)
        return (
            f"{self.verdict:<5}  {self.what}: {self.median:.3g} {self.unit} "
            f"({low:.3g} to {high:.3g} in {len(self.values)} rounds); {must} {self.limit:g}"
        )

    def details(self) -> list[str]:
        """Say what is behind it."""
        lines = [f"         {name}: {spread(times)}" for name, times in self.seconds.items()]
        return lines + [f"         {name}: {value}" for name, value in self.notes.items()]

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "what": self.what,
            "unit": self.unit,
            "limit": self.limit,
            "direction": "at least" if self.at_least else "at most",
            "median": self.median,
            "values": list(self.values),
            "verdict": self.verdict,
            "seconds": {name: list(times) for name, times in self.seconds.items()},
            "notes": dict(self.notes),
        }


def spread(times: Sequence[float]) -> str:
    """Write smallest, median and largest seconds."""
    return f"{min(times):.3g} / {statistics.median(times):.3g} / {max(times):.3g} s (min / median / max)"


def machine() -> dict[str, Any]:
    """Describe the machine by what matters here."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"cores": os.cpu_count(), "memory_gib": round(memory, 1), "load": round(os.getloadavg()[0], 1)}
