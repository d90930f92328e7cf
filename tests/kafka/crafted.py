"""Crafted histories as our own samples."""

from __future__ import annotations

import numpy as np

from kmon_analysis.history import History, Provenance
from kmon_analysis.series import Samples, SeriesSet
from kmon_analysis.timing import MINUTE_MS

# A Thursday, as promtool's epoch is.
START = 1_767_225_600_000


def history_of(series, start=START):
    """Turn (labels, course) pairs into a history."""
    parts, length = [], 0
    for labels, course in series:
        values = course.values()
        kept = [place for place, value in enumerate(values) if value is not None]
        times = start + np.array(kept, dtype=np.int64) * MINUTE_MS
        parts.append(Samples(labels, times, np.array([values[place] for place in kept], dtype=float)))
        length = max(length, len(values))
    provenance = Provenance("crafted", start, start + length * MINUTE_MS, scrape_interval_ms=MINUTE_MS)
    return History(SeriesSet.from_samples(parts), provenance)
