"""Is it more than chance? A rule against random times, and a search against its own noise."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kmon_analysis.errors import SettingError
from kmon_analysis.timing import HOUR_MS, Interval

__all__ = ["SHIFT_STEP_MS", "ShiftTest", "overfitting_probability", "shift_test"]

# Traffic and faults of neighbouring hours are much alike: shorter steps add shifts, not evidence.
SHIFT_STEP_MS = HOUR_MS

Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ShiftTest:
    """How often a rule hits as many incidents when all incidents are moved to other times.

    Attributes
    ----------
    hits, windows : int
        Windows in which the rule fired, and all windows inside the span.
    shifts : int
        Number of other times that were tried.
    p : float
        Share of shifts, the true times included, with at least as many hits.
    firing_ratio : float
        Largest share of the span in which the rule fires, over the windows' firing intervals.
    floor : float
        About the least p that so few windows can give for a rule that fires so much.
    """

    hits: int
    windows: int
    shifts: int
    p: float
    firing_ratio: float
    floor: float


def shift_test(
    firing: Int64s | Sequence[Int64s],
    windows: Int64s,
    span: Interval,
    *,
    shifts: int = 999,
    step_ms: int = SHIFT_STEP_MS,
    seed: int = 0,
) -> ShiftTest:
    """Compare a rule's hits with those at random times.

    Parameters
    ----------
    firing : int64 array, shape (F, 2), or a sequence of such arrays
        Starts and ends of firing intervals in milliseconds, half-open; a sequence has one array a window,
        for incidents that concern different alerts.
    windows : int64 array, shape (W, 2)
        Credit windows of the incidents, half-open.
    span : Interval
        Time that both are seen in; what sticks out is cut.
    shifts : int
        How many common offsets to try; where the span has fewer, each is tried once.
    step_ms : int
        Offsets are multiples of this.
    seed : int
        For the choice of offsets.

    Returns
    -------
    ShiftTest

    Notes
    -----
    All windows move together and around the end of the span, which keeps their spacing and the
    clustering of the firing. p counts the true times as one of the shifts, so it is never zero.
    """
    each = [firing] * len(windows) if isinstance(firing, np.ndarray) else list(firing)
    if len(each) != len(windows):
        raise SettingError(
            f"{len(each)} firing lists for {len(windows)} windows", cure="Give one list a window, or one"
        )
    if span.duration_ms < 2 * step_ms:
        raise SettingError("the span holds no two shifts", cure="Give a longer history or a smaller step")
    wide = span.duration_ms
    offsets = _offsets((wide - 1) // step_ms, shifts, seed) * step_ms
    hits = np.zeros(len(offsets), dtype=np.int64)
    kept, firing_ratio = 0, 0.0
    for window, fires in zip(np.asarray(windows, dtype=np.int64).reshape(-1, 2), each, strict=True):
        start, end = np.clip(window, span.start_ms, span.end_ms) - span.start_ms
        if end <= start:
            continue
        kept += 1
        laid = _disjoint(np.clip(np.asarray(fires, dtype=np.int64).reshape(-1, 2), span.start_ms, span.end_ms))
        laid -= span.start_ms
        firing_ratio = max(firing_ratio, float((laid[:, 1] - laid[:, 0]).sum()) / wide)
        # A second lap lets a moved window run over the end of the span.
        twice = np.concatenate([laid, laid + wide])
        moved = start + offsets
        first = np.searchsorted(twice[:, 1], moved, side="right")
        begins = np.append(twice[:, 0], np.iinfo(np.int64).max)[first]
        hits += begins < moved + (end - start)
    true, others = int(hits[0]), hits[1:]
    p = float(1 + np.count_nonzero(others >= true)) / (1 + len(others))
    return ShiftTest(true, kept, len(others), p, firing_ratio, firing_ratio**kept)


def _offsets(available: int, wanted: int, seed: int) -> Int64s:
    """Return zero and then distinct offsets from ``1..available``."""
    if available <= wanted:
        return np.arange(available + 1, dtype=np.int64)
    drawn = np.random.default_rng(seed).choice(available, size=wanted, replace=False) + 1
    return np.concatenate([[0], np.sort(drawn)]).astype(np.int64)


def _disjoint(intervals: Int64s) -> Int64s:
    """Return the union of intervals as ascending disjoint ones."""
    ordered = intervals[intervals[:, 1] > intervals[:, 0]]
    ordered = ordered[np.argsort(ordered[:, 0], kind="stable")]
    if not len(ordered):
        return ordered
    reach = np.maximum.accumulate(ordered[:, 1])
    opens = np.append(True, ordered[1:, 0] > reach[:-1])
    ends = reach[np.append(np.flatnonzero(opens)[1:] - 1, len(ordered) - 1)]
    return np.column_stack([ordered[opens, 0], ends])


def overfitting_probability(losses: Floats, blocks: int = 8) -> float:
    """Return how often the best candidate of one half of the weeks is below the middle in the other.

    Parameters
    ----------
    losses : float array, shape (weeks, candidates)
        Loss of each candidate in each week or block, in order of time; smaller is better.
    blocks : int
        Neighbouring rows are put together into so many blocks, an even number.

    Returns
    -------
    float
        The probability of backtest overfitting: above ½ the search fits noise.

    Raises
    ------
    SettingError
        With fewer rows than blocks, fewer than two candidates, or losses that are not finite.

    Notes
    -----
    Combinatorially symmetric cross-validation (Bailey, Borwein, López de Prado and Zhu 2015): each of
    the C(8, 4) = 70 halves is tuned on, its complement ranks the winner. Counts tie often, so a tied
    winner stands for the mean of all that tie, ranks are mid-ranks, and the exact middle counts half:
    candidates that never differ give ½.
    """
    table = np.asarray(losses, dtype=np.float64)
    if table.ndim != 2 or len(table) < blocks or table.shape[1] < 2 or blocks < 2 or blocks % 2:
        raise SettingError(
            f"losses of shape {table.shape} in {blocks} blocks",
            cure="Give at least as many weeks as blocks, an even number of blocks, and two candidates",
        )
    if not np.isfinite(table).all():
        raise SettingError("a loss is not finite", cure="Leave out candidates without a score")
    sums = np.stack([part.sum(axis=0) for part in np.array_split(table, blocks)])
    below: list[float] = []
    for chosen in itertools.combinations(range(blocks), blocks // 2):
        inside = np.zeros(blocks, dtype=np.bool_)
        inside[list(chosen)] = True
        tuned = sums[inside].sum(axis=0)
        tested = sums[~inside].sum(axis=0)
        winners = _same(tuned, tuned.min())
        below.append(float(np.mean([_below_middle(tested, loss) for loss in tested[winners]])))
    return float(np.mean(below))


def _same(values: Floats, value: float) -> npt.NDArray[np.bool_]:
    """Tell which values equal `value`, up to the rounding of sums in another order."""
    return np.isclose(values, value, rtol=1e-12, atol=1e-12)


def _below_middle(losses: Floats, loss: float) -> float:
    """Return 1 where a loss ranks below the middle of all, ½ at the middle, else 0."""
    ties = _same(losses, loss)
    better = np.count_nonzero((losses < loss) & ~ties)
    worse = np.count_nonzero((losses > loss) & ~ties)
    return 0.5 if better == worse else float(better > worse)
