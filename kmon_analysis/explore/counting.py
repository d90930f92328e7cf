"""Pages, incidents and states of one rule at any threshold, counted on plain arrays.

`kmon_analysis.backtest.score` is the slow twin: it makes an object of every page, which a low threshold has by the
thousand. Here a page is a place in a few arrays, so that a hand on a slider need not wait.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kmon_analysis.backtest.pages import Firing
from kmon_analysis.backtest.rule import RuleBacktest
from kmon_analysis.backtest.score import Outcome, Reach, columns_of, credit, outcome_of
from kmon_analysis.recommend.candidates import Setting
from kmon_analysis.timing import WEEK_MS

__all__ = ["DUPLICATE", "EXCLUDED", "FALSE", "KINDS", "TRUE", "Tally", "Track", "tally", "track"]

Bools = npt.NDArray[np.bool_]
Int8s = npt.NDArray[np.int8]
Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

TRUE, DUPLICATE, FALSE, EXCLUDED = range(4)
KINDS = ("true", "duplicate", "false", "excluded")


@dataclass(frozen=True)
class Track:
    """A rule at one setting of everything but the threshold.

    Attributes
    ----------
    firing : Firing
        The firing signal of every page group.
    reaches : tuple of Reach
        How high it gets around each incident.
    windows : int64 array, shape (N, 2)
        First column of each incident's credit window, and the one behind its last.
    concerned : bool array, shape (N, G)
        Which groups an incident concerns.
    active, fired : float64 arrays, shape (T,)
        Highest level, and highest firing level, over all alerts at each evaluation; -inf without any.
    peaks : float64 array, shape (G,)
        Highest firing level of each group.
    """

    firing: Firing
    reaches: tuple[Reach, ...]
    windows: Int64s
    concerned: Bools
    active: Floats
    fired: Floats
    peaks: Floats

    @property
    def bytes(self) -> int:
        """Memory that keeping it takes, beside the signal."""
        rows = sum(row.nbytes for row in self.firing.rows)
        return rows + self.active.nbytes + self.fired.nbytes + self.firing.windows.credited.nbytes


def track(replay: RuleBacktest, setting: Setting) -> Track:
    """Compute what every threshold shares.

    Parameters
    ----------
    replay : RuleBacktest
        The rule on its history.
    setting : Setting
        Its threshold is not looked at.

    Raises
    ------
    ExpressionError
        If the window or the hours cannot be evaluated.
    """
    firing = replay.firing(**setting.at)
    found = replay.reaches(**setting.at)
    signal = firing.signal
    count = len(signal.times)
    active, fired = np.full(count, -np.inf), np.full(count, -np.inf)
    peaks = np.full(len(signal.groups), -np.inf)
    for place, group in enumerate(signal.groups):
        np.maximum(active, group.levels(group.ranks.max(axis=0)), out=active)
        levels = group.levels(firing.rows[place])
        np.maximum(fired, levels, out=fired)
        peaks[place] = levels.max(initial=-np.inf)
    spans = [columns_of(reach.window, signal.times) for reach in found]
    return Track(
        firing,
        found,
        np.array([(span.start, span.stop) for span in spans], dtype=np.int64).reshape(-1, 2),
        np.array(
            [[reach.incident.concerns(replay.name, group.labels) for group in signal.groups] for reach in found],
            dtype=np.bool_,
        ).reshape(len(found), len(signal.groups)),
        active,
        fired,
        peaks,
    )


@dataclass(frozen=True)
class Tally:
    """Every page at one threshold, and what became of the incidents.

    Attributes
    ----------
    starts, ends : int64 arrays, shape (P,)
        Pages in the order of their start, in milliseconds, from the first firing evaluation to the first that no
        longer fires.
    groups : int64 array, shape (P,)
        Page group of each.
    kinds : int8 array, shape (P,)
        Places in `KINDS`.
    credited : int64 array, shape (P,)
        Place of the incident that a page is credited to, -1 for none.
    outcomes : tuple of Outcome
        One for each incident that concerns the rule, in their order.
    weeks : float
        Observed normal time.
    firing_ratio : float
        Alert time outside all windows, per observed normal time; NaN without any.
    """

    starts: Int64s
    ends: Int64s
    groups: Int64s
    kinds: Int8s
    credited: Int64s
    outcomes: tuple[Outcome, ...]
    weeks: float
    firing_ratio: float

    @property
    def must(self) -> tuple[Outcome, ...]:
        """The incidents that must page."""
        return tuple(outcome for outcome in self.outcomes if outcome.incident.must_page)

    @property
    def pages(self) -> int:
        """Pages in all."""
        return len(self.starts)

    def count(self, kind: int) -> int:
        """How many pages are of a kind."""
        return int(np.count_nonzero(self.kinds == kind))

    def per_week(self, pages: int) -> float:
        """Return a count for each week of observed normal time; NaN below a day, where a rate misleads."""
        return pages / self.weeks if self.weeks >= 1 / 7 else math.nan

    @property
    def incidents(self) -> int:
        """Incidents that must page and were observed."""
        return sum(outcome.status != "no data" for outcome in self.must)

    @property
    def caught(self) -> int:
        """How many of them the rule paged for."""
        return sum(outcome.found for outcome in self.must)

    @property
    def delays_ms(self) -> tuple[int, ...]:
        """Delays of the incidents that were found."""
        return tuple(o.delay_ms for o in self.must if o.found and o.delay_ms is not None)


def tally(known: Track, level: float) -> Tally:
    """Count everything at one level.

    Parameters
    ----------
    known : Track
        From `track`.
    level : float
        `Signal.level` of the threshold.

    Notes
    -----
    The same definitions as `kmon_analysis.backtest.score.score`, over the whole period.
    """
    firing, times = known.firing, known.firing.signal.times
    quiet = firing.windows.quiet
    first: list[Int64s] = []
    last: list[Int64s] = []
    groups: list[Int64s] = []
    forgiven: list[Bools] = []
    # (group, first and behind-last episode of it that fire inside the window, incident)
    touched: list[tuple[int, int, int, int]] = []
    busy = 0
    for group in np.flatnonzero(known.peaks > level).tolist():
        columns = np.flatnonzero(firing.fires(group, level))
        inside = firing.windows.credited[group][columns]
        busy += int(np.count_nonzero(quiet[columns] & ~inside))
        begins = np.flatnonzero(np.concatenate([[True], columns[:-1] < firing.merged[columns[1:]]]))
        first.append(columns[begins])
        last.append(columns[np.append(begins[1:], len(columns)) - 1])
        groups.append(np.full(len(begins), group, dtype=np.int64))
        forgiven.append(np.logical_or.reduceat(inside, begins))
        for incident in np.flatnonzero(known.concerned[:, group]).tolist():
            low, high = np.searchsorted(columns, known.windows[incident])
            if high > low:
                early, late = np.searchsorted(begins, [low, high - 1], side="right") - 1
                touched.append((len(groups) - 1, int(early), int(late) + 1, incident))
    return _ordered(known, level, first, last, groups, forgiven, touched, busy, times)


def _ordered(
    known: Track,
    level: float,
    first: list[Int64s],
    last: list[Int64s],
    groups: list[Int64s],
    forgiven: list[Bools],
    touched: list[tuple[int, int, int, int]],
    busy: int,
    times: Int64s,
) -> Tally:
    """Put the groups' pages in one order, give them their kinds, and judge the incidents."""
    none = np.empty(0, dtype=np.int64)
    begun, ended, owners = (np.concatenate([none, *parts]) for parts in (first, last, groups))
    known_good = np.concatenate([np.empty(0, dtype=np.bool_), *forgiven])
    order = np.lexsort((owners, begun))
    place_of = np.empty(len(order), dtype=np.int64)
    place_of[order] = np.arange(len(order))
    starts = times[begun[order]]
    step_ms = known.firing.signal.step_ms
    after = ended[order] + 1
    ends = np.where(after < len(times), times[np.minimum(after, max(len(times) - 1, 0))], 0) if len(order) else none
    ends = np.where(after < len(times), ends, times[-1] + step_ms) if len(order) else none
    kinds = np.where(known_good[order], EXCLUDED, FALSE).astype(np.int8)
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in groups])]).astype(np.int64)
    hits: dict[tuple[int, int], float] = {}
    for part, early, late, incident in touched:
        labelled = known.reaches[incident].incident.interval.start_ms
        for place in place_of[offsets[part] + early : offsets[part] + late].tolist():
            kinds[place] = DUPLICATE
            hits[place, incident] = abs(int(starts[place]) - labelled)
    credited = np.full(len(order), -1, dtype=np.int64)
    for place, incident in credit(hits).items():
        credited[place], kinds[place] = incident, TRUE
    calm = int(np.count_nonzero(known.firing.windows.quiet))
    return Tally(
        starts,
        ends,
        owners[order],
        kinds,
        credited,
        tuple(outcome_of(reach, level) for reach in known.reaches),
        calm * step_ms / WEEK_MS,
        busy / calm if calm else math.nan,
    )
