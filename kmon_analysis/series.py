"""Raw samples (`SeriesSet`) and evaluated values (`Grid`), as plain arrays beside a table of labels."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from kmon_analysis.errors import InputError, printable
from kmon_analysis.labels import Labels, Matcher
from kmon_analysis.tabular import counted, shortened

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["STALE_BITS", "Grid", "Samples", "SeriesSet", "is_stale", "stale_marker"]

# Prometheus model/value, StaleNaN. Compare bits: an ordinary NaN is a value, this is "series ended".
STALE_BITS = 0x7FF0000000000002

Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def stale_marker(count: int = 1) -> Floats:
    """Return `count` stale markers, shape ``(count,)``."""
    return np.full(count, STALE_BITS, dtype=np.uint64).view(np.float64)


def is_stale(values: Floats) -> Bools:
    """Tell which values are stale markers, by their bits."""
    bits = np.ascontiguousarray(values).view(np.uint64)
    return np.equal(bits, np.uint64(STALE_BITS))


def _some(sets: Sequence[Labels]) -> str:
    """Name the first label sets, for a repr."""
    words = [shortened(printable(str(labels)), 80) for labels in sets[:3]]
    return "".join([f": {', '.join(words)}" if words else "", ", …" if len(sets) > 3 else ""])


@dataclass(frozen=True, slots=True)
class Samples:
    """One series: its labels with times (ms, strictly ascending) and values, both shape ``(N,)``."""

    labels: Labels
    times: Int64s
    values: Floats


@dataclass(frozen=True, slots=True)
class SeriesSet:
    """Raw samples of many series, end to end in two flat arrays.

    Attributes
    ----------
    labels : tuple of Labels
        One label set for each series, distinct, in ascending order; length S.
    offsets : int64 array, shape (S + 1,)
        Series i owns ``times[offsets[i]:offsets[i + 1]]`` and the same of ``values``.
    times : int64 array, shape (N,)
        Milliseconds UTC, strictly ascending within a series.
    values : float64 array, shape (N,)
        Stale markers keep their bit pattern; NaN and ±Inf are ordinary values.
    """

    labels: tuple[Labels, ...]
    offsets: Int64s
    times: Int64s
    values: Floats

    @classmethod
    def from_samples(cls, parts: Iterable[Samples]) -> SeriesSet:
        """Gather series into one set.

        Parameters
        ----------
        parts : iterable of Samples
            Series in any order; label sets must differ.

        Raises
        ------
        InputError
            If two series share their labels, or times do not ascend strictly.
        """
        ordered = sorted(parts, key=lambda part: part.labels)
        for before, after in itertools.pairwise(ordered):
            if before.labels == after.labels:
                raise InputError(
                    f"two series share the labels {after.labels}",
                    cure="Merge them, or add a label that tells them apart",
                )
        for part in ordered:
            if len(part.times) != len(part.values):
                raise InputError(f"{part.labels} has {len(part.times)} times and {len(part.values)} values")
            falling = np.flatnonzero(np.diff(part.times) <= 0)
            if len(falling):
                raise InputError(
                    f"times of {part.labels} do not ascend at sample {int(falling[0]) + 1}",
                    cure="Sort the samples and remove duplicate times",
                )
        sizes = np.array([len(part.times) for part in ordered], dtype=np.int64)
        return cls(
            labels=tuple(part.labels for part in ordered),
            offsets=np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)]),
            times=np.concatenate([np.empty(0, dtype=np.int64), *(part.times for part in ordered)]),
            values=np.concatenate([np.empty(0), *(part.values for part in ordered)]),
        )

    def __repr__(self) -> str:
        return f"<SeriesSet: {len(self):,} series, {counted(self.sample_count, 'sample')}{_some(self.labels)}>"

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[Samples]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Samples:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        span = slice(int(self.offsets[index]), int(self.offsets[index + 1]))
        return Samples(self.labels[index], self.times[span], self.values[span])

    @property
    def sample_count(self) -> int:
        """Samples over all series."""
        return len(self.times)

    def matching(self, matchers: Sequence[Matcher], *, dot_all: bool = True) -> Int64s:
        """Return the indices of the series that satisfy every matcher, ascending."""
        hits = [
            index
            for index, labels in enumerate(self.labels)
            if all(matcher.matches(labels.value(matcher.name), dot_all=dot_all) for matcher in matchers)
        ]
        return np.array(hits, dtype=np.int64)

    def take(self, indices: Iterable[int]) -> SeriesSet:
        """Return a set of only these series (copied)."""
        return SeriesSet.from_samples(self[int(index)] for index in indices)

    def between(self, start_ms: int, end_ms: int) -> SeriesSet:
        """Return the samples with ``start_ms <= time < end_ms``; series without any are left out."""
        parts = []
        for part in self:
            low, high = np.searchsorted(part.times, [start_ms, end_ms])
            if high > low:
                parts.append(Samples(part.labels, part.times[low:high], part.values[low:high]))
        return SeriesSet.from_samples(parts)

    def to_frame(self) -> pd.DataFrame:
        """Return the samples as a frame: UTC index, one column a series; stale and missing are NaN."""
        import pandas as pd

        columns = {
            str(part.labels): pd.Series(
                np.where(is_stale(part.values), np.nan, part.values),
                index=pd.to_datetime(part.times, unit="ms", utc=True),
            )
            for part in self
        }
        return pd.DataFrame(columns)


@dataclass(frozen=True, slots=True)
class Grid:
    """Values of an expression for each output label set at each evaluation.

    Attributes
    ----------
    labels : tuple of Labels
        Output label sets, length S.
    times : int64 array, shape (T,)
        Evaluation instants in milliseconds.
    values : float64 array, shape (S, T)
        Only meaningful where `present`.
    present : bool array, shape (S, T)
        Whether the label set is in the result at that evaluation. NaN where present is a value.
    failed : bool array, shape (T,)
        Evaluations that Prometheus would have failed as a whole (for example by duplicate label sets).
    """

    labels: tuple[Labels, ...]
    times: Int64s
    values: Floats
    present: Bools
    failed: Bools = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))

    def __post_init__(self) -> None:
        if self.failed.shape != self.times.shape:
            if self.failed.size:
                raise ValueError("failed must have one entry for each evaluation")
            object.__setattr__(self, "failed", np.zeros(len(self.times), dtype=np.bool_))
        shape = (len(self.labels), len(self.times))
        if self.values.shape != shape or self.present.shape != shape:
            raise ValueError(f"expected shape {shape}, got {self.values.shape} and {self.present.shape}")

    def __repr__(self) -> str:
        return f"<Grid: {len(self):,} series at {counted(len(self.times), 'evaluation')}{_some(self.labels)}>"

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, column: int) -> Mapping[Labels, float]:
        """Return the instant vector of one evaluation."""
        return {
            labels: float(self.values[row, column])
            for row, labels in enumerate(self.labels)
            if self.present[row, column]
        }

    def to_frame(self) -> pd.DataFrame:
        """Return the values as a frame: UTC index, one column a label set; absent is NaN."""
        import pandas as pd

        shown = np.where(self.present, self.values, np.nan)
        index = pd.to_datetime(self.times, unit="ms", utc=True)
        return pd.DataFrame({str(labels): shown[row] for row, labels in enumerate(self.labels)}, index=index)
