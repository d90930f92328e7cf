"""Random series: families of metrics, and what is special about their values.

What across series depends on the order in which a server stores them (ties, rounded sums) has no single answer,
so that every family says how its values may be put together.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

import numpy as np

from kmon_analysis.labels import Labels
from kmon_analysis.series import Samples, SeriesSet, stale_marker

__all__ = ["FAMILIES", "PAIRS", "TOPICS", "Family", "Kind", "series_of"]

STALE = float(stale_marker()[0])
PAIRS = (("a", "x"), ("a", "y"), ("b", "x"), ("b", "y"), ("c", "x"))
# Texts that must be quoted, and that a dot may or may not match.
TEAMS = ("team-b.1", "line\nbreak", "line\nbreak", 'say "yes"', "back\\slash", "Größe ≤ 1", " ")
TOPICS = ("a", "b", "c")

# "whole": small whole numbers, no -0; sums are exact in any order. "special": the same with NaN and infinities.
# "distinct": no two elements are equal at a time. "any": only one element at a time may be looked at.
Kind = Literal["whole", "special", "distinct", "any"]


@dataclass(frozen=True)
class Family:
    """Metrics of one name: their values, and which labels they have."""

    kind: Kind
    layout: Literal["pair", "pod", "topic", "bucket"]
    style: str


FAMILIES = {
    "lag": Family("whole", "pair", "gauge"),
    "size": Family("whole", "pair", "gauge"),
    "offset_total": Family("whole", "pair", "counter"),
    "bytes_total": Family("any", "pair", "fractional counter"),
    "load": Family("distinct", "pair", "smooth"),
    "odd": Family("any", "pair", "odd"),
    "holes": Family("special", "pair", "holes"),
    "up": Family("whole", "pod", "flag"),
    "pods": Family("whole", "pod", "gauge"),
    "owner": Family("whole", "topic", "one"),
    "latency_bucket": Family("whole", "bucket", "bucket"),
    "took_bucket": Family("any", "bucket", "odd bucket"),
}
BOUNDS = ("0.1", "0.5", "1", "2.5", "+Inf")
SPECIAL = (float("nan"), float("inf"), float("-inf"), 0.0, -0.0, 1e308, -1e308, 5e-324, 0.1, 1e-7, 123456789.125)


def series_of(rng: random.Random, names: set[str], *, base_ms: int, step_ms: int, end_ms: int) -> SeriesSet:
    """Return random series of these families."""
    count = (end_ms - base_ms) // step_ms + 1
    parts = []
    for name in sorted(names & FAMILIES.keys()):
        for labels in _label_sets(rng, name):
            values = _values(rng, FAMILIES[name].style, count)
            parts.append(_holed(rng, Labels({"__name__": name, **labels}), values, base_ms, step_ms, step_ms * count))
        if FAMILIES[name].layout == "bucket":
            parts += _buckets(rng, name, base_ms, step_ms, count)
    return SeriesSet.from_samples(part for part in parts if len(part.times))


def _label_sets(rng: random.Random, name: str) -> list[dict[str, str]]:
    layout = FAMILIES[name].layout
    if layout == "pair":
        return [{"topic": topic, "group": group} for topic, group in PAIRS if rng.random() < 0.9]
    if layout == "pod":
        return [{"topic": rng.choice(TOPICS[:2]), "pod": f"p{number}"} for number in range(rng.randrange(3, 7))]
    if layout == "topic":
        return [
            {"topic": topic, "team": rng.choice([f"team-{topic}.{rng.randrange(3)}", *TEAMS])}
            for topic in TOPICS
            if rng.random() < 0.9
        ]
    return []


def _values(rng: random.Random, style: str, count: int) -> list[float]:
    if style == "one":
        return [1.0] * count
    if style == "flag":
        return _held(rng, count, lambda: float(rng.random() < 0.6))
    if style == "smooth":
        return [rng.choice([1.0, 1.0, 1e3, 1e-3]) * rng.uniform(-10, 10) for _ in range(count)]
    if style == "odd":
        level = rng.uniform(-3, 3)
        return [rng.choice([level, level, 1.5, -2.25, rng.choice(SPECIAL)]) for _ in range(count)]
    if style == "holes":
        return _held(rng, count, lambda: rng.choice([1.0, 5.0, -3.0, 40.0, float("nan"), float("inf"), float("-inf")]))
    if style == "gauge":
        shape = rng.choice(["wave", "wave", "walk", "noise"])
        if shape == "wave":
            return _held(rng, count, lambda: float(rng.choice([0, 20, 80, 100, -40]) + rng.randrange(10)))
        if shape == "noise":
            return [float(rng.randrange(-50, 120)) for _ in range(count)]
        return np.cumsum([float(rng.randrange(-12, 15)) for _ in range(count)]).tolist()
    level, values = float(rng.randrange(100)), []
    for _ in range(count):
        level = 0.0 if rng.random() < 0.05 else level + rng.choice([0, 0, 3, 7, rng.randrange(60)])
        if style == "fractional counter":
            level += rng.choice([0.0, rng.random()])
        values.append(level)
    return values


def _held(rng: random.Random, count: int, draw) -> list[float]:
    values: list[float] = []
    while len(values) < count:
        values += [draw()] * rng.choice([1, 2, 4, 8, 12, 16, 24, 32])
    return values[:count]


def _holed(
    rng: random.Random, labels: Labels, values: list[float], base_ms: int, step_ms: int, span_ms: int
) -> Samples:
    """Let a series begin, end, pause and be marked stale."""
    count = len(values)
    begin = rng.choice([0, 0, 0, 0, rng.randrange(count)])
    end = rng.choice([count, count, count, rng.randrange(begin, count) + 1])
    # The longest gaps reach beyond the lookback of five minutes.
    gaps = [0] * 40 + [1, 2, 240_000 // step_ms, 340_000 // step_ms]
    stale_ratio = rng.choice([0.0, 0.0, 0.02, 0.1])
    kept, gap = [], 0
    for place in range(begin, end):
        gap = gap - 1 if gap else rng.choice(gaps)
        if gap == 0:
            kept.append((place, STALE if rng.random() < stale_ratio else values[place]))
    if end < count and rng.random() < 0.5:
        kept.append((end, STALE))
    times = np.array([place for place, _ in kept], dtype=np.int64) * step_ms + base_ms
    return Samples(labels, times, np.array([value for _, value in kept]))


def _buckets(rng: random.Random, name: str, base_ms: int, step_ms: int, count: int) -> list[Samples]:
    """Return classic histograms; some lack the last bucket, some fall, odd ones have bounds that say nothing."""
    parts = []
    odd = "odd" in FAMILIES[name].style
    for topic in TOPICS[:2]:
        bounds = rng.choice([BOUNDS, BOUNDS, BOUNDS, BOUNDS[:-1], ("-1", "0", *BOUNDS), BOUNDS[-2:]])
        growth = np.array([[rng.choice([0, 0, 1, 4]) for _ in range(count)] for _ in bounds], dtype=np.float64)
        if odd:
            # Buckets that are equal but for the last places.
            growth[1::2] = 0.0
        totals = np.cumsum(np.cumsum(growth, axis=1), axis=0)
        if rng.random() < 0.2:
            totals[-1] = totals[0]
        if odd:
            bounds, totals = (
                (*bounds, "1.0", "x", ""),
                np.concatenate([totals, totals[:3] * 0.1 + 1])[: len(bounds) + 3],
            )
            bounds = bounds[: len(totals)]
            noise = [[rng.choice([1.0, 1.0, 1 + 1e-14, 1 - 1e-13, 1 - 1e-13]) for _ in range(count)] for _ in totals]
            totals = totals * np.array(noise)
        for bound, row in zip(bounds, totals.tolist(), strict=True):
            labels = Labels({"__name__": name, "topic": topic, "le": bound})
            parts.append(_holed(rng, labels, row, base_ms, step_ms, step_ms * count))
    return parts
