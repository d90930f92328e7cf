"""Which pieces of raw samples to ask for, so that nothing is lost and nothing comes twice."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from kmon_analysis.errors import SettingError
from kmon_analysis.labels import METRIC_NAME, Labels, Matcher, quote
from kmon_analysis.series import Samples, SeriesSet
from kmon_analysis.timing import DAY_MS, HOUR_MS, Interval, format_instant

__all__ = ["Piece", "Selection", "Stretch", "merged", "pieces_of", "raw_query", "selector", "stretches"]

# Prometheus cuts its blocks at multiples of two hours; a piece that ends there touches fewer of them.
_BLOCK_MS = 2 * HOUR_MS
_SHORTEST_MS = 60_000
_LONGEST_MS = 14 * DAY_MS
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


@dataclass(frozen=True, slots=True)
class Selection:
    """Series that are needed, and how far around the range their samples are.

    Attributes
    ----------
    matchers : tuple of Matcher
        Which series.
    lookback_ms : int
        Samples are needed from this long before the start of the range.
    lookahead_ms : int
        And to this long after its end (negative offsets).
    fixed : Interval, optional
        The samples are needed at this fixed place in time (``@ <time>``), wherever the range is.
    """

    matchers: tuple[Matcher, ...]
    lookback_ms: int = 0
    lookahead_ms: int = 0
    fixed: Interval | None = None


@dataclass(frozen=True, slots=True)
class Stretch:
    """A selector and the half-open range of its samples that is needed."""

    matchers: tuple[Matcher, ...]
    interval: Interval


@dataclass(frozen=True, slots=True)
class Piece:
    """One request: the samples of a selector with ``start_ms <= time < end_ms``."""

    matchers: tuple[Matcher, ...]
    start_ms: int
    end_ms: int

    @property
    def interval(self) -> Interval:
        """The range of the samples."""
        return Interval(self.start_ms, self.end_ms)

    @property
    def duration_ms(self) -> int:
        """Length in milliseconds."""
        return self.end_ms - self.start_ms

    def halves(self) -> tuple[Piece, Piece]:
        """Return the two pieces that together are this one."""
        middle = (self.start_ms + self.end_ms) // 2
        return Piece(self.matchers, self.start_ms, middle), Piece(self.matchers, middle, self.end_ms)


def selector(matchers: Sequence[Matcher]) -> str:
    """Write matchers as a PromQL selector.

    Examples
    --------
    >>> selector([Matcher("__name__", "=", "lag"), Matcher("topic", "=~", "a|b")])
    'lag{topic=~"a|b"}'
    """
    names = [matcher for matcher in matchers if matcher.name == METRIC_NAME and matcher.op == "="]
    head = names[0].value if len(names) == 1 and _METRIC.fullmatch(names[0].value) else ""
    inner = ",".join(
        f"{matcher.name if _NAME.fullmatch(matcher.name) else quote(matcher.name)}{matcher.op}{quote(matcher.value)}"
        for matcher in matchers
        if not (head and matcher is names[0])
    )
    return f"{head}{{{inner}}}" if inner or not head else head


def raw_query(piece: Piece) -> dict[str, str]:
    """Return the instant query whose answer holds the raw samples of a piece.

    Parameters
    ----------
    piece : Piece
        What is wanted.

    Returns
    -------
    dict
        Fields ``query`` and ``time`` of ``/api/v1/query``.

    Notes
    -----
    A range selector at T covers ``(T - range, T]`` since Prometheus 3.0 and ``[T - range, T]`` before.
    Asked at ``end - 1 ms`` with the range ``end - start``, the first is exactly the piece and the second
    has at most the one sample at ``start - 1 ms`` more, which the receiver cuts off. The time is sent as
    RFC 3339, because seconds as a float lose the last millisecond on the server (``web/api/v1``,
    ``parseTime``).
    """
    return {
        "query": f"{selector(piece.matchers)}[{piece.duration_ms}ms]",
        "time": format_instant(piece.end_ms - 1),
    }


def stretches(selections: Iterable[Selection], start_ms: int, end_ms: int) -> tuple[Stretch, ...]:
    """Reduce selections to distinct selectors, each with the one range that serves all.

    Parameters
    ----------
    selections : iterable of Selection
        What is needed; equal matchers may come several times.
    start_ms, end_ms : int
        The half-open range of the analysis.

    Returns
    -------
    tuple of Stretch
        In the order of first appearance, those at fixed times last. A selector that only narrows another
        one is left out, for its series come with the wider one.
    """
    if end_ms <= start_ms:
        raise SettingError(
            f"the range from {format_instant(start_ms)} to {format_instant(end_ms)} is empty",
            cure="Give an end after the start",
        )
    found: dict[frozenset[Matcher], tuple[tuple[Matcher, ...], int, int]] = {}
    pinned: list[Stretch] = []
    for selection in selections:
        if selection.fixed is not None:
            pinned.append(Stretch(selection.matchers, selection.fixed))
            continue
        key = frozenset(selection.matchers)
        matchers, before, after = found.get(key, (selection.matchers, 0, 0))
        found[key] = matchers, max(before, selection.lookback_ms), max(after, selection.lookahead_ms)
    if not found and not pinned:
        raise SettingError("no series are selected", cure="Give at least one selection")
    for narrow in list(found):
        wider = next((key for key in found if key < narrow), None)
        if wider is not None:
            _, before, after = found.pop(narrow)
            matchers, wide_before, wide_after = found[wider]
            found[wider] = matchers, max(before, wide_before), max(after, wide_after)
    around = [
        Stretch(matchers, Interval(start_ms - before, end_ms + after)) for matchers, before, after in found.values()
    ]
    return (*around, *dict.fromkeys(pinned))


def pieces_of(stretch: Stretch, samples_per_ms: float, samples_per_piece: int) -> tuple[Piece, ...]:
    """Cut a stretch into pieces of about equal and bearable size.

    Parameters
    ----------
    stretch : Stretch
        What is needed.
    samples_per_ms : float
        The most samples a millisecond that were seen for this selector; 0 when none were.
    samples_per_piece : int
        How many samples an answer should have.

    Returns
    -------
    tuple of Piece
        Ascending, adjoining, together exactly the stretch.
    """
    wanted = samples_per_piece / samples_per_ms if samples_per_ms > 0 else _LONGEST_MS
    length = int(min(max(wanted, _SHORTEST_MS), _LONGEST_MS))
    if length > _BLOCK_MS:
        length -= length % _BLOCK_MS
    start_ms, end_ms = stretch.interval.start_ms, stretch.interval.end_ms
    cuts = [start_ms, *range((start_ms // length + 1) * length, end_ms, length), end_ms]
    return tuple(Piece(stretch.matchers, low, high) for low, high in itertools.pairwise(cuts))


def merged(parts: Iterable[Samples], within: Interval | None = None) -> SeriesSet:
    """Join the samples of pieces, series by series.

    Parameters
    ----------
    parts : iterable of Samples
        In any order; a series may come often. A sample that comes twice (from overlapping selections)
        is kept once.
    within : Interval, optional
        Samples outside are left out.

    Returns
    -------
    SeriesSet
        Series without samples are left out.
    """
    found: dict[Labels, list[Samples]] = {}
    for part in parts if within is None else (_clipped(part, within) for part in parts):
        if len(part.times):
            found.setdefault(part.labels, []).append(part)
    return SeriesSet.from_samples(_joined(labels, chunks) for labels, chunks in found.items())


def _clipped(part: Samples, within: Interval) -> Samples:
    low, high = np.searchsorted(part.times, [within.start_ms, within.end_ms])
    return Samples(part.labels, part.times[low:high], part.values[low:high])


def _joined(labels: Labels, chunks: list[Samples]) -> Samples:
    if len(chunks) == 1:
        return Samples(labels, chunks[0].times, chunks[0].values)
    chunks.sort(key=lambda chunk: int(chunk.times[0]))
    times = np.concatenate([chunk.times for chunk in chunks])
    values = np.concatenate([chunk.values for chunk in chunks])
    if np.any(np.diff(times) <= 0):
        times, first = np.unique(times, return_index=True)
        values = values[first]
    return Samples(labels, times, values)
