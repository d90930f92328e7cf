"""What is missing in a history: the one definition of missing samples, gaps, late beginnings, early ends and silence.

Every part of the toolkit that speaks of them asks here, so that their numbers agree.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kmon_analysis.series import Samples, SeriesSet, is_stale
from kmon_analysis.timing import Interval

__all__ = ["GAP_SAMPLES", "Absence", "absence", "absences", "alive", "silences", "usual_step"]

Int64s = npt.NDArray[np.int64]

# One scrape that failed is soon made up for by the next; from two on it is a gap.
GAP_SAMPLES = 2
_FEWEST_STEPS = 2


@dataclass(frozen=True, slots=True)
class Absence:
    """What one series lacks inside the range of its history.

    Attributes
    ----------
    interval : Interval
        The range.
    step_ms : int
        Its usual time between samples; 0 where nobody knows.
    samples : int
        Samples inside the range; a stale marker is none.
    before_ms, lost : int64 arrays, shape (pauses,)
        The sample before each pause in which samples are missing, and how many are.
    gap_starts_ms, gap_ends_ms : int64 arrays, shape (gaps,)
        Pauses in which at least two samples in a row are missing: from when the first of them was due to the sample
        that ends the gap.
    late_ms : int
        From the start of the range to the first sample, where two or more fitted before it; else 0.
    early_ms : int
        From when the sample after the last one was due to the end of the range, where two or more fitted; else 0.
    """

    interval: Interval
    step_ms: int
    samples: int
    before_ms: Int64s
    lost: Int64s
    gap_starts_ms: Int64s
    gap_ends_ms: Int64s
    late_ms: int
    early_ms: int

    @property
    def missing(self) -> int:
        """How many samples are not there between the first and the last one."""
        return int(self.lost.sum())

    @property
    def missing_in_gaps(self) -> int:
        """How many of the missing ones lie in gaps; the others are single."""
        return int(self.lost[self.lost >= GAP_SAMPLES].sum())

    @property
    def expected(self) -> int:
        """How many samples there should be from the first to the last one."""
        return self.samples + self.missing

    @property
    def missing_ratio(self) -> float:
        """Part of the expected samples that is missing; 0 without any."""
        return self.missing / self.expected if self.expected else 0.0

    @property
    def longest_gap_ms(self) -> int:
        """Length of the longest gap, or 0."""
        return int((self.gap_ends_ms - self.gap_starts_ms).max(initial=0))

    def gaps(self) -> list[Interval]:
        """Return the gaps in order."""
        return [Interval(*ends) for ends in zip(self.gap_starts_ms.tolist(), self.gap_ends_ms.tolist(), strict=True)]

    def away(self) -> list[Interval]:
        """Return where the series is not there: before a late beginning, in gaps, and after an early end."""
        whole = self.interval
        if not self.samples:
            return [whole] if whole.duration_ms else []
        before = [Interval(whole.start_ms, whole.start_ms + self.late_ms)] if self.late_ms else []
        behind = [Interval(whole.end_ms - self.early_ms, whole.end_ms)] if self.early_ms else []
        return [*before, *self.gaps(), *behind]

    def missing_in(self, edges: Int64s) -> Int64s:
        """Count missing samples by when they were due.

        Parameters
        ----------
        edges : int64 array, shape (cells + 1,)
            Ascending, ms UTC.

        Returns
        -------
        int64 array, shape (cells,)
        """
        if not len(self.lost):
            return np.zeros(len(edges) - 1, dtype=np.int64)
        # The k-th one was due k steps after the sample before the pause; so many were due before an edge.
        due = -((self.before_ms[:, None] - edges) // self.step_ms) - 1
        before: Int64s = np.clip(due, 0, self.lost[:, None]).sum(axis=0)
        return np.diff(before)


def usual_step(times: Int64s, otherwise_ms: int = 0) -> int:
    """Return the median time between samples in ms, the lower of two middle ones; with fewer than three, the other."""
    steps = np.diff(times)
    if len(steps) < _FEWEST_STEPS:
        return otherwise_ms
    middle = (len(steps) - 1) // 2
    return max(int(np.partition(steps, middle)[middle]), 1)


def absence(times: Int64s, interval: Interval, otherwise_ms: int = 0) -> Absence:
    """Say what a series lacks.

    Parameters
    ----------
    times : int64 array, shape (samples,)
        Of its samples without stale markers, ascending, ms UTC; those outside the range are not looked at.
    interval : Interval
        Range of the history.
    otherwise_ms : int
        Time between samples of series that have too few to tell; usually the history's scrape interval.

    Notes
    -----
    A sample is missing for every whole step, rounded, that two neighbours lie further apart than one; scrapes that come
    a little late are not missing.
    """
    inside = times[np.searchsorted(times, interval.start_ms) : np.searchsorted(times, interval.end_ms)]
    step_ms = usual_step(inside, otherwise_ms)
    nothing = np.zeros(0, dtype=np.int64)
    if not len(inside) or not step_ms:
        return Absence(interval, step_ms, len(inside), nothing, nothing, nothing, nothing, 0, 0)
    lost = (np.diff(inside) + step_ms // 2) // step_ms - 1
    pauses = np.flatnonzero(lost > 0)
    gaps = np.flatnonzero(lost >= GAP_SAMPLES)
    first, last = int(inside[0]), int(inside[-1])
    late = (first - interval.start_ms) // step_ms >= GAP_SAMPLES
    early = (interval.end_ms - 1 - last) // step_ms >= GAP_SAMPLES
    return Absence(
        interval=interval,
        step_ms=step_ms,
        samples=len(inside),
        before_ms=inside[pauses],
        lost=lost[pauses],
        gap_starts_ms=inside[gaps] + step_ms,
        gap_ends_ms=inside[gaps + 1],
        late_ms=first - interval.start_ms if late else 0,
        early_ms=interval.end_ms - last - step_ms if early else 0,
    )


def alive(part: Samples) -> Int64s:
    """Return the times of a series' samples without its stale markers."""
    return part.times[~is_stale(part.values)]


def absences(series: SeriesSet, interval: Interval, otherwise_ms: int = 0) -> list[Absence]:
    """Say of each series what it lacks, in their order; see `absence`."""
    return [absence(alive(part), interval, otherwise_ms) for part in series]


def silences(found: Sequence[Absence], interval: Interval) -> Iterator[Interval]:
    """Yield where no series has samples: where all of them are away at once.

    Parameters
    ----------
    found : sequence of Absence
        Of all series.
    interval : Interval
        Range of the history; all of it, where no series has a sample.
    """
    there = [each for each in found if each.samples]
    if not there:
        if interval.duration_ms:
            yield interval
        return
    spans = [span for each in there for span in each.away()]
    at = np.array([(span.start_ms, span.end_ms) for span in spans], dtype=np.int64).reshape(-1, 2)
    times = np.concatenate([at[:, 0], at[:, 1]])
    steps = np.repeat([1, -1], len(at))
    # At one instant ends come first: two spans that only touch have no moment in common.
    order = np.lexsort((steps, times))
    times, count = times[order], np.cumsum(steps[order])
    shortest_ms = min(each.step_ms for each in there) * (GAP_SAMPLES - 0.5)
    for place in np.flatnonzero(count == len(there)).tolist():
        silence = Interval(int(times[place]), int(times[place + 1]))
        if silence.duration_ms >= shortest_ms:
            yield silence
