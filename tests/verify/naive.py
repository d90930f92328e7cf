"""A naive server: one rule on one gauge, evaluated one after the other, with the faults that are wanted."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np

from kmon_analysis.labels import Labels
from kmon_analysis.series import Samples, SeriesSet, stale_marker

__all__ = ["STEP_MS", "Naive", "lag"]

STEP_MS = 10_000
STALE = float(stale_marker()[0])


def lag(seed: int, end_ms: int, every_ms: int = 5_000, first_ms: int = 0) -> dict[str, list[tuple[int, float]]]:
    """Return random walks of levels, by topic."""
    chance = random.Random(seed)
    found = {}
    for topic in ("a", "b"):
        level, rows = 0.0, []
        for at_ms in range(first_ms, end_ms, every_ms):
            if chance.random() < 0.12:
                level = chance.choice((0.0, 20.0, 60.0, 90.0))
            rows.append((at_ms, level))
        found[topic] = rows
    return found


@dataclass
class Naive:
    """What the server does; the expression is ``max_over_time(lag[10s]) > 50``."""

    samples: dict[str, list[tuple[int, float]]]
    for_ms: int = 0
    keep_ms: int = 0
    phase_ms: int = 0
    closed: bool = False
    missed: frozenset[int] = frozenset()
    failed: frozenset[int] = frozenset()
    # First evaluation of a new process.
    starts: tuple[int, ...] = ()
    hidden: frozenset[int] = frozenset()
    grace_ms: int = 600_000
    restores_short: bool = False
    written: dict[tuple[str, str], list[tuple[int, float]]] = field(default_factory=dict)

    def _returned(self, at_ms: int) -> set[str]:
        found = set()
        for topic, rows in self.samples.items():
            low = at_ms - 10_000
            seen = [(ts, value) for ts, value in rows if ts <= at_ms]
            if at_ms in self.hidden:
                seen = seen[:-1]
            inside = [value for ts, value in seen if (low <= ts if self.closed else low < ts)]
            if inside and max(inside) > 50:
                found.add(topic)
        return found

    def run(self, end_ms: int) -> None:
        """Evaluate up to an instant."""
        since: dict[str, int] = {}
        fires: dict[str, bool] = {}
        missing: dict[str, int] = {}
        before: set[tuple[str, str]] = set()
        count = 2
        for at_ms in range(self.phase_ms, end_ms, STEP_MS):
            if at_ms in self.starts:
                since, fires, missing, before, count = {}, {}, {}, set(), 0
            if at_ms in self.missed:
                continue
            if at_ms not in self.failed:
                returned = self._returned(at_ms)
                for topic in sorted({*since, *returned}):
                    if topic in returned:
                        since.setdefault(topic, at_ms)
                        fires.setdefault(topic, False)
                        missing.pop(topic, None)
                    elif fires[topic] and self.keep_ms and at_ms - missing.setdefault(topic, at_ms) < self.keep_ms:
                        pass
                    else:
                        del since[topic], fires[topic]
                        missing.pop(topic, None)
                        continue
                    if at_ms - since[topic] >= self.for_ms:
                        fires[topic] = True
                if count >= 2:
                    now = {(topic, "firing" if fires[topic] else "pending"): 1.0 for topic in since}
                    now |= {(topic, ""): float(since[topic] // 1000) for topic in since}
                    for key in before - now.keys():
                        self.written.setdefault(key, []).append((at_ms, STALE))
                    for key, value in now.items():
                        self.written.setdefault(key, []).append((at_ms, value))
                    before = set(now)
            count += 1
            if count == 2:
                self._restore(since, at_ms + 1)

    def _restore(self, since: dict[str, int], now_ms: int) -> None:
        for topic in since:
            rows = self.written.get((topic, ""), [])
            if not rows or np.isnan(rows[-1][1]):
                continue
            down_ms, begun_ms = rows[-1][0] // 1000 * 1000, int(rows[-1][1]) * 1000
            left_ms = self.for_ms - (down_ms - begun_ms)
            if self.for_ms < self.grace_ms and not self.restores_short:
                continue
            if left_ms <= 0:
                since[topic] = begun_ms
            elif self.for_ms < self.grace_ms:
                continue
            elif left_ms < self.grace_ms:
                since[topic] = now_ms + self.grace_ms - self.for_ms
            else:
                since[topic] = begun_ms + now_ms - down_ms

    def series(self) -> SeriesSet:
        """Return everything that the storage holds."""
        parts = []
        for topic, rows in self.samples.items():
            labels = {"__name__": "lag", "topic": topic, "job": "j", "instance": f"{topic}:1"}
            parts.append(_samples(labels, rows))
        for (topic, state), rows in self.written.items():
            labels = {"alertname": "Lag", "topic": topic, "job": "j", "instance": f"{topic}:1"}
            own = {"__name__": "ALERTS", "alertstate": state} if state else {"__name__": "ALERTS_FOR_STATE"}
            parts.append(_samples({**labels, **own}, rows))
        return SeriesSet.from_samples(parts)


def _samples(labels: dict[str, str], rows: list[tuple[int, float]]) -> Samples:
    return Samples(
        Labels(labels), np.array([ts for ts, _ in rows], dtype=np.int64), np.array([value for _, value in rows])
    )
