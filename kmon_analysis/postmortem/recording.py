"""Where nothing was recorded: what happened there is not known, whatever a replay says of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kmon_analysis.backtest.run import Backtest
from kmon_analysis.history_gaps import GAP_SAMPLES
from kmon_analysis.report.zones import offset
from kmon_analysis.series import is_stale
from kmon_analysis.timing import Interval

__all__ = ["holes", "spans_words", "unrecorded"]


def holes(result: Backtest) -> tuple[Interval, ...]:
    """Return where no series of a history has a sample, for so long that no value was left to evaluate.

    Returns
    -------
    tuple of Interval
        From when the first missing sample was due to the next one; the lookback bridges what is shorter.
    """
    history, whole = result.history, result.history.interval
    replays = list(result.results.values())
    if not replays:
        return ()
    # Longer than this, some evaluation of every rule has no value.
    least_ms = replays[0].semantics.lookback_ms + max(replay.grid.step_ms for replay in replays)
    step_ms = history.usual_step_ms
    series = history.series
    times = np.sort(series.times[~is_stale(series.values)])
    times = times[np.searchsorted(times, whole.start_ms) : np.searchsorted(times, whole.end_ms)]
    if not len(times):
        return (whole,) if whole.duration_ms else ()
    pauses = np.diff(times)
    long = np.flatnonzero((pauses > least_ms) & (pauses >= (GAP_SAMPLES + 0.5) * step_ms))
    found = [Interval(int(times[place]) + step_ms, int(times[place + 1])) for place in long.tolist()]
    first_ms, last_ms = int(times[0]), int(times[-1])
    if first_ms - whole.start_ms > least_ms:
        found.insert(0, Interval(whole.start_ms, first_ms))
    if whole.end_ms - last_ms > least_ms:
        found.append(Interval(min(last_ms + step_ms, whole.end_ms), whole.end_ms))
    return tuple(found)


def unrecorded(gaps: Sequence[Interval], whole: Interval, when: Interval) -> tuple[Interval, ...]:
    """Return the parts of a time in which nothing is recorded, those outside the history among them.

    Examples
    --------
    >>> unrecorded([Interval(40, 60), Interval(90, 100)], Interval(0, 100), Interval(50, 120))
    (Interval(start_ms=50, end_ms=60), Interval(start_ms=90, end_ms=120))
    """
    away = [*gaps]
    if when.start_ms < whole.start_ms:
        away.insert(0, Interval(when.start_ms, whole.start_ms))
    if when.end_ms > whole.end_ms:
        away.append(Interval(whole.end_ms, when.end_ms))
    found: list[Interval] = []
    for span in away:
        start_ms, end_ms = max(span.start_ms, when.start_ms), min(span.end_ms, when.end_ms)
        if start_ms >= end_ms:
            continue
        if found and found[-1].end_ms >= start_ms:
            start_ms = found.pop().start_ms
        found.append(Interval(start_ms, end_ms))
    return tuple(found)


def spans_words(spans: Sequence[Interval], when: Interval) -> str:
    """Write parts of an incident by their distance from its start.

    Examples
    --------
    >>> spans_words([Interval(0, 60_000), Interval(120_000, 180_000)], Interval(0, 180_000))
    'from the start to +1 min and from +2 min to the end'
    """

    def point(at_ms: int) -> str:
        if at_ms == when.start_ms:
            return "the start"
        return "the end" if at_ms == when.end_ms else offset(at_ms - when.start_ms)

    return " and ".join(f"from {point(span.start_ms)} to {point(span.end_ms)}" for span in spans)
