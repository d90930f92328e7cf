"""Recorded samples in the notation of promtool's unit tests."""

from __future__ import annotations

import math
import re

import numpy as np
import numpy.typing as npt

from kmon_analysis.labels import METRIC_NAME, Labels, quote
from kmon_analysis.promql.printer import format_number
from kmon_analysis.series import Samples, SeriesSet, is_stale

__all__ = ["common_interval", "on_grid", "series_name", "values_text", "yaml_quote"]

_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def yaml_quote(text: str) -> str:
    r"""Write a text as a double-quoted YAML scalar on one line.

    Examples
    --------
    >>> print(yaml_quote('a "b" \x07'))
    "a \"b\" \U00000007"
    """
    body = "".join(_ESCAPES.get(char, char if char.isprintable() else f"\\U{ord(char):08x}") for char in text)
    return f'"{body}"'


def series_name(labels: Labels) -> str:
    """Write a label set as promtool reads it."""
    name = labels.value(METRIC_NAME)
    if not name or _METRIC.fullmatch(name):
        return str(labels)
    return "{" + ", ".join(f"{key}={quote(value)}" for key, value in labels.pairs) + "}"


def common_interval(series: SeriesSet) -> int:
    """Return the scrape interval of the most often scraped series, in milliseconds; a minute if unknown."""
    steps = [int(np.median(np.diff(part.times))) for part in series if len(part.times) > 1]
    shortest = min(steps, default=60_000)
    # Scrapes jitter by milliseconds; intervals are whole seconds, but for the fastest.
    return max(round(shortest / 1000) * 1000, 1000) if shortest >= 1000 else shortest


def on_grid(series: SeriesSet, base_ms: int, interval_ms: int) -> tuple[SeriesSet, int]:
    """Move samples onto the grid ``k * interval_ms`` of a clock that starts at `base_ms`.

    Parameters
    ----------
    series : SeriesSet
        Samples; those that come to lie before `base_ms` are left out.
    base_ms, interval_ms : int
        Start and step of the grid.

    Returns
    -------
    SeriesSet
        Times are on the new clock. Each series keeps the order of its scrapes: its usual phase is taken off
        first, then times are rounded; of two samples on one place the later stays.
    int
        Largest distance that a sample was moved, in milliseconds.
    """
    parts, farthest = [], 0
    for part in series:
        ages = part.times - base_ms
        phase = _phase(ages, interval_ms)
        places = np.floor((ages - phase) / interval_ms + 0.5).astype(np.int64)
        last = np.append(np.diff(places) > 0, np.ones(min(len(places), 1), dtype=np.bool_))
        kept = last & (places >= 0)
        if kept.any():
            times = places[kept] * interval_ms
            farthest = max(farthest, int(np.abs(times - ages[kept]).max()))
            parts.append(Samples(part.labels, times, part.values[kept]))
    return SeriesSet.from_samples(parts), farthest


def _phase(ages: npt.NDArray[np.int64], interval_ms: int) -> int:
    """Return the usual distance from the grid, between minus and plus half a step."""
    angles = ages % interval_ms * (2 * math.pi / interval_ms)
    mean = math.atan2(float(np.sin(angles).sum()), float(np.cos(angles).sum()))
    return round(mean / (2 * math.pi) * interval_ms)


def values_text(times: npt.NDArray[np.int64], values: npt.NDArray[np.float64], interval_ms: int) -> str:
    """Write samples that lie on the grid as promtool's ``values``, exactly.

    Parameters
    ----------
    times : int64 array, shape (N,)
        Ascending multiples of `interval_ms`.
    values : float64 array, shape (N,)
        Stale markers, NaN and infinities included.
    interval_ms : int
        The test's ``interval``.

    Notes
    -----
    Prometheus ``promql/parser``, series descriptions: ``_xN`` is N gaps, ``axN`` is N + 1 times a.

    Examples
    --------
    >>> values_text(np.array([2, 3, 4, 6]) * 1000, np.array([1.0, 1.0, 1.0, 0.5]), 1000)
    '_x2 1x2 _ 0.5'
    """
    words: list[str] = []
    stale = is_stale(values).tolist()
    bits = np.ascontiguousarray(values).view(np.uint64).tolist()
    places = (times // interval_ms).tolist()
    index, next_place = 0, 0
    while index < len(places):
        gap = places[index] - next_place
        if gap:
            words.append("_" if gap == 1 else f"_x{gap}")
        value = float(values[index])
        last = index
        if math.isfinite(value):
            while last + 1 < len(places) and bits[last + 1] == bits[index] and places[last + 1] == places[last] + 1:
                last += 1
        word = "stale" if stale[index] else format_number(value)
        words.append(word if last == index else f"{word}x{last - index}")
        next_place, index = places[last] + 1, last + 1
    return " ".join(words)
