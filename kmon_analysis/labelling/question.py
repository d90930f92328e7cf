"""A question of a review: a false page, or a suggestion that nobody has decided on, and what is known about it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np
import numpy.typing as npt

from kmon_analysis.backtest.rule import RuleBacktest
from kmon_analysis.incidents import Incident
from kmon_analysis.labels import Labels
from kmon_analysis.timing import DAY_MS, HOUR_MS, Interval, format_instant

__all__ = ["Question", "concerned", "key_of", "others_of", "recurrence", "spans_of"]

Int64s = npt.NDArray[np.int64]

# How far from the same hour of another day a page still counts as "at that hour".
SAME_HOUR_MS = HOUR_MS
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(frozen=True, slots=True)
class Question:
    """A false page, or several of one alert that follow each other closely, or an undecided suggestion.

    Attributes
    ----------
    key : str
        Names it in every run over the same history and rules.
    rule : str
        The alert's name in the backtest.
    alert : str
        Its name in the rule file; the same unless several rules share it.
    labels : Labels
        Labels of the page, without those that the rule sets itself.
    pages : tuple of Interval
        When it fired, in order.
    breach : Interval
        From the first evaluation over the threshold that led to the page to the end of the last one.
    threshold, peak : float or None
        What was compared with, and the value farthest beyond it; None for rules without a threshold.
    op : str
        The comparison, "" without a threshold.
    rank : float
        Duration in hours times height in heights of the rule's median false page.
    others : tuple of (str, int)
        Rules that fired meanwhile, with their number of other alerts, the rule's own ones included.
    days, weekdays : (int, int)
        On how many other days, and other weeks on that weekday, the alert fired within an hour of the same time
        (UTC) without an incident, and how many the history holds.
    credit_ms : (int, int)
        How long before and after an incident a page still counts as finding it.
    repeats : bool
        Whether a question comes before it about the same alert at the same time of day, or about another alert of the
        rule that began within five minutes.
    series : Labels
        Of the page group that it is about.
    suggestion : Incident or None
        The entry of the list that an answer decides; its time stands for the pages and the breach then.
    """

    key: str
    rule: str
    alert: str
    labels: Labels
    pages: tuple[Interval, ...]
    breach: Interval
    threshold: float | None
    peak: float | None
    op: str
    rank: float
    others: tuple[tuple[str, int], ...]
    days: tuple[int, int]
    weekdays: tuple[int, int]
    credit_ms: tuple[int, int]
    repeats: bool = False
    series: Labels = field(default_factory=Labels)
    suggestion: Incident | None = None

    @property
    def ruleless(self) -> bool:
        """Whether it is a suggestion that no rule has made and that names none: there is nothing to compare."""
        entry = self.suggestion
        return entry is not None and not entry.suggested_by and not entry.rules

    @property
    def head(self) -> str:
        """What it is about, for a line of a list."""
        if self.suggestion is None:
            return self.rule
        return f"{self.suggestion.id} (suggested), {'no rule' if self.ruleless else self.rule}"

    @property
    def interval(self) -> Interval:
        """From the first page to the end of the last one."""
        return Interval(self.pages[0].start_ms, self.pages[-1].end_ms)

    @property
    def firing_ms(self) -> int:
        """How long it fired."""
        return sum(page.duration_ms for page in self.pages)

    @property
    def height(self) -> float | None:
        """How far the peak lies beyond the threshold."""
        return None if self.peak is None or self.threshold is None else abs(self.peak - self.threshold)

    def around(self, period: Interval) -> Interval:
        """Return the time to look at: the breach with as much again around it, an hour at least, within a period."""
        margin = max(HOUR_MS, min(self.breach.duration_ms // 2, DAY_MS))
        wide = self.breach.widened(margin, margin)
        return Interval(max(wide.start_ms, period.start_ms), min(wide.end_ms, period.end_ms))


def key_of(rule: str, labels: Labels, start_ms: int) -> str:
    """Return a name that every run gives a question."""
    digest = sha256("\0".join([rule, str(labels)]).encode()).hexdigest()[:8]
    return f"{format_instant(start_ms)}-{digest}"


def concerned(replay: RuleBacktest, labels: Labels) -> Labels:
    """Return the labels that an entry about a page names: those of its series, as far as a list can hold them."""
    own = labels.without("alertname", *replay.rule.labels)
    return Labels(pair for pair in own.pairs if _LABEL_NAME.fullmatch(pair[0]))


def spans_of(intervals: Iterable[Interval]) -> Int64s:
    """Return starts and ends, shape (N, 2)."""
    pairs = [(each.start_ms, each.end_ms) for each in intervals]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def others_of(fired: Mapping[str, Int64s], breach: Interval, own: str, own_pages: int) -> tuple[tuple[str, int], ...]:
    """Count the pages of each rule that overlap a breach, without the question's own."""
    counts = {
        name: int(np.count_nonzero((spans[:, 0] < breach.end_ms) & (spans[:, 1] > breach.start_ms)))
        for name, spans in fired.items()
    }
    counts[own] = max(0, counts[own] - own_pages)
    return tuple((name, count) for name, count in counts.items() if count)


def recurrence(start_ms: int, spans: Int64s, period: Interval) -> tuple[tuple[int, int], tuple[int, int]]:
    """Count the other days, and weeks, on which one of these disjoint pages was on around the same time."""
    first = -((start_ms - period.start_ms) // DAY_MS)
    last = (period.end_ms - 1 - start_ms) // DAY_MS
    shifts = np.arange(first, last + 1, dtype=np.int64)
    shifts = shifts[shifts != 0]
    when = start_ms + shifts * DAY_MS
    begun = np.searchsorted(spans[:, 0], when + SAME_HOUR_MS, side="left")
    over = np.searchsorted(spans[:, 1], when - SAME_HOUR_MS, side="right")
    seen, weekly = begun > over, shifts % 7 == 0
    return (int(seen.sum()), len(shifts)), (int((seen & weekly).sum()), int(weekly.sum()))
