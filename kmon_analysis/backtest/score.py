"""Scoring pages against labelled incidents.

Definitions: a page is *true* when its episode fires inside a credit window of an incident that
concerns it, *excluded* when it fires inside an excluded window and in no credit window, else *false*.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from kmon_analysis.backtest.pages import Episode, Firing, PageKind, Windows, touches
from kmon_analysis.backtest.settings import Settings
from kmon_analysis.backtest.signal import Signal
from kmon_analysis.incidents import Incident, Incidents, labels_agree
from kmon_analysis.labels import Labels
from kmon_analysis.tabular import Cell, counted, length_cell
from kmon_analysis.timing import WEEK_MS, Interval, span

__all__ = [
    "MEDIAN_FROM",
    "Outcome",
    "OutcomeStatus",
    "Page",
    "Reach",
    "Score",
    "columns_of",
    "credit",
    "credit_window",
    "make_windows",
    "outcome_of",
    "reaches",
    "score",
]

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]

OutcomeStatus = Literal["caught", "early", "already firing", "missed", "no data"]
# Assignment cost of a page and an incident that do not touch; far above any real distance in ms.
_APART = 1e15
# A median of fewer delays suggests more than it holds.
MEDIAN_FROM = 6


def credit_window(incident: Incident, settings: Settings, for_ms: int) -> Interval:
    """Return where a page counts as having found the incident."""
    return incident.interval.widened(settings.credit_before_ms, for_ms + settings.credit_after_ms)


def columns_of(interval: Interval, times: Int64s) -> slice:
    """Return the evaluations inside a half-open interval."""
    low, high = np.searchsorted(times, [interval.start_ms, interval.end_ms], side="left")
    return slice(int(low), int(high))


def make_windows(
    signal: Signal, incidents: Incidents, *, rule: str, settings: Settings, for_ms: int, observed: Bools
) -> Windows:
    """Lay incidents and excluded windows over the page groups of a rule.

    Parameters
    ----------
    observed : bool array, shape (T,)
        Evaluations at which the history has data at all.
    """
    credited = np.zeros((len(signal.groups), len(signal.times)), dtype=np.bool_)
    anywhere = np.zeros(len(signal.times), dtype=np.bool_)
    for incident in incidents.incidents:
        if not incident.concerns(rule, Labels()):
            continue
        columns = columns_of(credit_window(incident, settings, for_ms), signal.times)
        anywhere[columns] = True
        for row, group in enumerate(signal.groups):
            if incident.concerns(rule, group.labels):
                credited[row, columns] = True
    for window in incidents.excluded:
        columns = columns_of(window.interval, signal.times)
        if not window.labels:
            anywhere[columns] = True
        for row, group in enumerate(signal.groups):
            if window.concerns(group.labels):
                credited[row, columns] = True
    return Windows(credited, observed & ~anywhere)


@dataclass(frozen=True, slots=True)
class Reach:
    """How high the firing signal gets around one incident: its fate at every threshold.

    Attributes
    ----------
    incident : Incident
        The labelled truth.
    window : Interval
        Its credit window.
    already : float
        Level of the firing signal just before the window: below it the rule was firing anyway.
    levels, times : arrays, shape (N,)
        Steps of the running maximum inside the window, rising, and when each is reached.
    observed_ratio : float
        Share of the evaluations in the window at which the history has data.
    begins_inside : bool
        Whether the incident begins in the evaluated time; one that began before is not scored.
    stuck : float
        Level of the firing that is older than the credit windows of earlier incidents which are on when this one
        begins and may be the same outage; `already` where there are none.
    earlier : str or None
        The first of those.
    """

    incident: Incident
    window: Interval
    already: float
    levels: Floats
    times: Int64s
    observed_ratio: float
    begins_inside: bool = True
    stuck: float = math.nan
    earlier: str | None = None

    def __post_init__(self) -> None:
        if math.isnan(self.stuck):
            object.__setattr__(self, "stuck", self.already)

    @property
    def required(self) -> bool:
        """Whether values have to find it: it must page, begins in the evaluated time and was observed."""
        return self.incident.must_page and self.begins_inside and self.observed_ratio > 0

    def peak(self, until_ms: int | None = None) -> float:
        """Return the highest level reached, optionally only up to an instant (inclusive); -inf if none."""
        count = len(self.times) if until_ms is None else int(np.searchsorted(self.times, until_ms, side="right"))
        return float(self.levels[count - 1]) if count else -math.inf

    def first_firing(self, level: float) -> int | None:
        """Return the first firing instant in the window at a level, or None."""
        place = int(np.searchsorted(self.levels, level, side="right"))
        return int(self.times[place]) if place < len(self.times) else None

    def delay_ms(self, level: float) -> int | None:
        """Return how long after the labelled start it fires (0 when early), or None."""
        instant = self.first_firing(level)
        return None if instant is None else max(0, instant - self.incident.interval.start_ms)

    def status(self, level: float) -> OutcomeStatus:
        """Return the incident's fate at a level."""
        if self.observed_ratio == 0:
            return "no data"
        if self.already > level:
            return "already firing"
        instant = self.first_firing(level)
        if instant is None:
            return "missed"
        return "early" if instant < self.incident.interval.start_ms else "caught"

    def covered(self, level: float) -> bool:
        """Tell whether the alert fires already, and began to for an earlier incident: one page for both."""
        return self.observed_ratio > 0 and self.stuck <= level < self.already

    def caught_within(self, level: float, max_delay_ms: int) -> bool:
        """Tell whether a page that was not already open comes in time."""
        delay = self.delay_ms(level)
        return self.status(level) in ("caught", "early") and delay is not None and delay <= max_delay_ms


def reaches(
    firing: Firing,
    incidents: Iterable[Incident],
    *,
    rule: str,
    settings: Settings,
    for_ms: int,
    observed: Bools,
    period: Interval,
) -> tuple[Reach, ...]:
    """Follow the firing signal through the credit window of each incident that concerns the rule."""
    signal = firing.signal
    concerned = [incident for incident in incidents if incident.concerns(rule, Labels())]
    before = _earlier([incident for incident in concerned if incident.interval.start_ms in period])
    # First columns of the credit windows of an outage, by incident and group, where it has several incidents.
    opened: dict[tuple[str, int], int] = {}
    found = {}
    for incident in sorted(concerned, key=lambda each: each.interval.start_ms):
        window = credit_window(incident, settings, for_ms)
        columns = columns_of(window, signal.times)
        earlier = before.get(incident.id, ())
        highest = np.full(columns.stop - columns.start, -np.inf)
        already = stuck = -math.inf
        for row, group in enumerate(signal.groups):
            if not incident.concerns(rule, group.labels):
                continue
            ranks = firing.rows[row]
            # One evaluation more on the left tells whether the rule was firing before.
            levels = group.levels(ranks[max(columns.start - 1, 0) : columns.stop])
            if columns.start > 0:
                already = max(already, float(levels[0]))
                first = columns.start
                for other in earlier:
                    if other.concerns(rule, group.labels):
                        own = columns_of(credit_window(other, settings, for_ms), signal.times).start
                        first = min(first, opened.get((other.id, row), own))
                if first < columns.start:
                    opened[incident.id, row] = first
                if first > 0:
                    stuck = max(stuck, float(group.levels(ranks[first - 1 : columns.start]).min()))
                levels = levels[1:]
            np.maximum(highest, levels, out=highest)
        running = np.maximum.accumulate(highest)
        steps = np.flatnonzero(running > np.concatenate([[-np.inf], running[:-1]]))
        seen = observed[columns]
        found[incident.id] = Reach(
            incident=incident,
            window=window,
            already=already,
            levels=running[steps],
            times=signal.times[columns][steps],
            observed_ratio=float(seen.mean()) if seen.size else 0.0,
            begins_inside=incident.interval.start_ms in period,
            stuck=stuck,
            earlier=earlier[0].id if earlier else None,
        )
    return tuple(found[incident.id] for incident in concerned)


def _earlier(incidents: Sequence[Incident]) -> dict[str, tuple[Incident, ...]]:
    """Name for each incident those that are on when it begins and may be the same outage, the first one first."""
    found = {}
    on: list[Incident] = []
    for incident in sorted(incidents, key=lambda each: each.interval.start_ms):
        start_ms = incident.interval.start_ms
        on = [other for other in on if other.interval.end_ms > start_ms]
        found[incident.id] = tuple(
            other for other in on if other.interval.start_ms < start_ms and labels_agree(other.labels, incident.labels)
        )
        on.append(incident)
    return found


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one rule did about one incident.

    Attributes
    ----------
    incident : Incident
        The labelled truth.
    status : str
        ``caught``, ``early`` (fired before the labelled start), ``already firing`` (it was firing
        before the credit window, which may be a stuck alert), ``missed``, or ``no data``.
    first_firing_ms : int or None
        First firing instant in the credit window; None where it was already firing.
    delay_ms : int or None
        Time from the labelled start, 0 when early; None unless caught or early.
    within : str or None
        Where it was already firing: the earlier, overlapping incident that the alert began to fire for. One page
        tells of both, so that this one is neither a miss nor an example of its own.
    """

    incident: Incident
    status: OutcomeStatus
    first_firing_ms: int | None
    delay_ms: int | None
    within: str | None = None

    @property
    def found(self) -> bool:
        """Whether the rule paged for it."""
        return self.status in ("caught", "early")


@dataclass(frozen=True, slots=True)
class Page:
    """One page and what it was worth.

    Attributes
    ----------
    episode : Episode
        When and for what it fired.
    kind : {"true", "duplicate", "false", "excluded"}
        A duplicate is a further page for an incident that already has one.
    incident : str or None
        The one incident this page is credited to.
    """

    episode: Episode
    kind: PageKind
    incident: str | None


@dataclass(frozen=True, slots=True)
class Score:
    """A rule's pages against the incidents of a period.

    Attributes
    ----------
    outcomes : tuple of Outcome
        One for each incident that must page.
    optional : tuple of Outcome
        Incidents that need no page: finding them costs and earns nothing.
    pages : tuple of Page
        In the order of their start.
    weeks : float
        Observed normal time: without credit windows, excluded windows and time without data.
    firing_ratio : float
        Alert time outside all windows, per observed normal time.
    period : Interval
        What the score is about.
    """

    outcomes: tuple[Outcome, ...]
    optional: tuple[Outcome, ...]
    pages: tuple[Page, ...]
    weeks: float
    firing_ratio: float
    period: Interval

    def _count(self, *kinds: PageKind) -> int:
        return sum(page.kind in kinds for page in self.pages)

    @property
    def incidents(self) -> int:
        """Incidents that must page and were observed."""
        return sum(outcome.status != "no data" for outcome in self.outcomes)

    @property
    def caught(self) -> int:
        """How many of them the rule paged for."""
        return sum(outcome.found for outcome in self.outcomes)

    @property
    def required(self) -> int:
        """How many of them need a page of their own: not those that the page of an earlier one tells of."""
        return self.incidents - sum(outcome.within is not None for outcome in self.outcomes)

    def caught_within(self, max_delay_ms: int) -> int:
        """How many of them the rule paged for in time."""
        return sum(o.found and o.delay_ms is not None and o.delay_ms <= max_delay_ms for o in self.outcomes)

    @property
    def already_firing(self) -> int:
        """How many found the rule firing since before their credit window."""
        return sum(outcome.status == "already firing" for outcome in self.outcomes)

    @property
    def missed(self) -> tuple[Outcome, ...]:
        """Observed incidents without a page."""
        return tuple(o for o in self.outcomes if o.status == "missed")

    @property
    def false_pages(self) -> int:
        """Pages that no incident and no excluded window explains."""
        return self._count("false")

    @property
    def true_pages(self) -> int:
        """Pages credited to an incident, without duplicates."""
        return self._count("true")

    @property
    def duplicate_pages(self) -> int:
        """Further pages for an incident that already has one."""
        return self._count("duplicate")

    @property
    def false_pages_per_week(self) -> float:
        """False pages for each week of observed normal time; NaN below a day, where a rate misleads."""
        return self.false_pages / self.weeks if self.weeks >= 1 / 7 else float("nan")

    def __repr__(self) -> str:
        found = f"{self.caught} of {counted(self.incidents, 'incident')} caught"
        normal = f"{span(self.weeks * WEEK_MS)} of normal time ({self.shown_rate} a week)"
        return f"<Score: {found}, {counted(self.false_pages, 'false page')} in {normal}>"

    @property
    def shown_rate(self) -> str:
        """The same as text, or a dash."""
        return "–" if math.isnan(self.false_pages_per_week) else f"{self.false_pages_per_week:.2f}"

    @property
    def delays_ms(self) -> tuple[int, ...]:
        """Delays of the incidents that were found."""
        return tuple(o.delay_ms for o in self.outcomes if o.found and o.delay_ms is not None)

    @property
    def median_delay_ms(self) -> float | None:
        """Median delay of the incidents that were found."""
        return float(np.median(self.delays_ms)) if self.delays_ms else None

    @property
    def shown_median(self) -> Cell:
        """The same for a table, which shows no median of few."""
        if 0 < len(self.delays_ms) < MEDIAN_FROM:
            return Cell(f"needs {MEDIAN_FROM} found", None)
        return length_cell(self.median_delay_ms)

    @property
    def worst_delay_ms(self) -> int | None:
        """Longest delay of the incidents that were found."""
        return max(self.delays_ms, default=None)

    def weekly_false_pages(self) -> Int64s:
        """Return false pages by whole week from the start of the period, shape (W,)."""
        count = max(1, -(-self.period.duration_ms // WEEK_MS))
        starts = [p.episode.interval.start_ms - self.period.start_ms for p in self.pages if p.kind == "false"]
        return np.bincount([start // WEEK_MS for start in starts], minlength=count).astype(np.int64)


def credit(hits: dict[tuple[int, int], float]) -> dict[int, int]:
    """Give each incident at most one page and each page at most one incident, as near as possible.

    `hits` maps (page, incident) to the distance of page start and labelled start. Greedy matching
    would waste pages (truth 10, 12 and pages 11, 13 must give two pairs), so this is an assignment.
    """
    from scipy.optimize import linear_sum_assignment

    if not hits:
        return {}
    rows = sorted({page for page, _ in hits})
    columns = sorted({incident for _, incident in hits})
    cost = np.full((len(rows), len(columns)), _APART)
    row_of = {page: row for row, page in enumerate(rows)}
    column_of = {incident: column for column, incident in enumerate(columns)}
    for (page, incident), distance in hits.items():
        cost[row_of[page], column_of[incident]] = distance
    chosen = zip(*linear_sum_assignment(cost), strict=True)
    return {rows[row]: columns[column] for row, column in chosen if cost[row, column] < _APART}


def score(
    firing: Firing,
    found: Sequence[Reach],
    pages: Sequence[Episode],
    *,
    rule: str,
    level: float,
    period: Interval,
) -> Score:
    """Score the pages at one threshold over a period.

    Parameters
    ----------
    firing : Firing
        From `kmon_analysis.backtest.pages.fire`.
    found : sequence of Reach
        From `reaches`.
    pages : sequence of Episode
        From `kmon_analysis.backtest.pages.episodes` at the same level.
    rule : str
        Alert name.
    level : float
        `Signal.level` of the threshold.
    period : Interval
        Pages and incidents that start in it count.
    """
    signal, windows = firing.signal, firing.windows
    counted = [episode for episode in pages if episode.interval.start_ms in period]
    hits: dict[tuple[int, int], float] = {}
    kinds: list[PageKind] = []
    for place, episode in enumerate(counted):
        truth = False
        for number, reach in enumerate(found):
            if not episode.interval.overlaps(reach.window) or not reach.incident.concerns(rule, episode.labels):
                continue
            mask = np.zeros(len(signal.times), dtype=np.bool_)
            mask[columns_of(reach.window, signal.times)] = True
            if touches(episode, firing, level, mask):
                hits[place, number] = abs(episode.interval.start_ms - reach.incident.interval.start_ms)
                truth = True
        known = truth or touches(episode, firing, level, windows.credited[episode.group])
        kinds.append("true" if truth else "excluded" if known else "false")
    credited = credit(hits)
    listed = tuple(
        Page(
            episode,
            "duplicate" if kind == "true" and place not in credited else kind,
            found[credited[place]].incident.id if place in credited else None,
        )
        for place, (episode, kind) in enumerate(zip(counted, kinds, strict=True))
    )
    outcomes = [outcome_of(reach, level) for reach in found if reach.incident.interval.start_ms in period]
    span = columns_of(period, signal.times)
    quiet = windows.quiet[span]
    busy = sum(
        int(np.count_nonzero(firing.fires(row, level)[span] & quiet & ~windows.credited[row, span]))
        for row in range(len(signal.groups))
    )
    calm = int(np.count_nonzero(quiet))
    return Score(
        outcomes=tuple(o for o in outcomes if o.incident.must_page),
        optional=tuple(o for o in outcomes if not o.incident.must_page),
        pages=listed,
        weeks=calm * signal.step_ms / WEEK_MS,
        firing_ratio=busy / calm if calm else float("nan"),
        period=period,
    )


def outcome_of(reach: Reach, level: float) -> Outcome:
    """Return what became of one incident at a level."""
    status = reach.status(level)
    first = None if status in ("no data", "already firing") else reach.first_firing(level)
    delay_ms = reach.delay_ms(level) if status in ("caught", "early") else None
    return Outcome(reach.incident, status, first, delay_ms, reach.earlier if reach.covered(level) else None)
