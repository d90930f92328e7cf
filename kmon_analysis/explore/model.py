"""What the tuner computes: one rule at any setting of its knobs, quickly and without any drawing.

A move of the threshold counts on arrays that all thresholds share (`kmon_analysis.explore.counting`); they are kept
for every window, ``for``, hours and grouping that was visited, up to `KEPT_BYTES`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from kmon_analysis.backtest.rule import RuleBacktest
from kmon_analysis.backtest.run import Backtest
from kmon_analysis.backtest.score import MEDIAN_FROM, Score
from kmon_analysis.explore.choices import Choices, GroupBy, choices_of, signal_scale
from kmon_analysis.explore.counting import FALSE, Tally, Track, tally, track
from kmon_analysis.labels import Labels
from kmon_analysis.recommend.candidates import Setting, current_setting
from kmon_analysis.report.figure import Scale
from kmon_analysis.report.shapes import SignalLines, presence, signal_lines, thin_mask
from kmon_analysis.report.words import clean
from kmon_analysis.tabular import html_list, html_table, text_table
from kmon_analysis.timing import Interval

__all__ = ["COLUMNS", "Numbers", "TunerModel", "View", "numbers_of"]

Floats = npt.NDArray[np.float64]

COLUMNS = 1000
# Beside the signals themselves; a rule with a thousand series keeps a few settings, one with ten all of them.
KEPT_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a person on call would have felt at a setting.

    Attributes
    ----------
    pages, false_pages : int
        In the whole history.
    pages_per_week, false_pages_per_week : float or None
        For each week of observed normal time; None below a day of it.
    incidents, caught : int or None
        Observed incidents that must page, and those that were paged for; None where no incident concerns the rule.
    delay_median_ms, delay_worst_ms : float or None
        From the labelled start to the page, of the incidents found; no median of fewer than six.
    weeks : float
        Observed normal time.
    """

    pages: int
    false_pages: int
    pages_per_week: float | None
    false_pages_per_week: float | None
    incidents: int | None
    caught: int | None
    delay_median_ms: float | None
    delay_worst_ms: float | None
    weeks: float


def numbers_of(found: Tally) -> Numbers:
    """Sum a tally up, leaving out what too few incidents or weeks cannot carry."""
    false, delays = found.count(FALSE), found.delays_ms
    rates = [None if math.isnan(rate) else rate for rate in map(found.per_week, (found.pages, false))]
    known = bool(found.must)
    return Numbers(
        found.pages,
        false,
        rates[0],
        rates[1],
        found.incidents if known else None,
        found.caught if known else None,
        float(np.median(delays)) if len(delays) >= MEDIAN_FROM else None,
        max(delays, default=None),
        found.weeks,
    )


@dataclass(frozen=True, repr=False)
class View:
    """A rule at one setting.

    Attributes
    ----------
    setting : Setting
        The values.
    group_by : tuple of str or None
        How alerts make pages.
    tally : Tally
        Its pages and incidents.
    numbers : Numbers
        The same, summed up.
    pending, firing : float64 arrays, shape (N, 2)
        Start and length, in milliseconds, of the alert states in the period shown, no shorter than a pixel.
    table : tuple of (list of str, list of list of str) or None
        Header and rows of the comparison with the deployed values, for showing.
    notes : tuple of str
        What there is to say of the knobs, for showing.
    """

    setting: Setting
    group_by: GroupBy
    tally: Tally
    numbers: Numbers
    pending: Floats
    firing: Floats
    table: tuple[list[str], list[list[str]]] | None = field(default=None, compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __repr__(self) -> str:
        if self.table is None:
            return f"View({self.setting}: {self.numbers.pages} pages, {self.numbers.false_pages} false)"
        header, rows = self.table
        return "\n".join([text_table([clean(cell) for cell in header], rows, left=1), *self.notes])

    def _repr_html_(self) -> str | None:
        if self.table is None:
            return None
        header, rows = self.table
        table = html_table(["", *header[1:]], rows, caption=f"{header[0]}, deployed and chosen", sortable=False)
        return table + html_list(self.notes)


@dataclass
class TunerModel:
    """One rule of a backtest, at any setting.

    Attributes
    ----------
    result : Backtest
        Where the rule lies.
    name : str
        Its alert.
    others : tuple of Setting
        Settings that the controls must be able to show.
    """

    result: Backtest
    name: str
    others: tuple[Setting, ...] = ()
    _replays: dict[GroupBy, RuleBacktest] = field(default_factory=dict, repr=False)
    _tracks: dict[tuple[Any, ...], Track] = field(default_factory=dict, repr=False)
    _deployed: dict[GroupBy, Numbers] = field(default_factory=dict, repr=False)
    _choices: Choices | None = field(default=None, repr=False)
    _colours: dict[Labels, int] | None = field(default=None, repr=False)

    @property
    def replay(self) -> RuleBacktest:
        """The rule, its alerts grouped as in the backtest."""
        return self.result[self.name]

    @property
    def deployed(self) -> Setting:
        """The values of the rule as it is."""
        return current_setting(self.replay)

    @property
    def choices(self) -> Choices:
        """What can be turned."""
        if self._choices is None:
            self._choices = choices_of(self.replay, self.result.history.scrape_interval_ms, self.others)
        return self._choices

    def grouped(self, group_by: GroupBy) -> RuleBacktest:
        """Return the rule with its alerts grouped in a way."""
        if group_by not in self._replays:
            self._replays[group_by] = self.replay.grouped(group_by)
        return self._replays[group_by]

    def visited(self, setting: Setting, group_by: GroupBy) -> bool:
        """Tell whether what all thresholds share at a setting is there."""
        return self._key(setting, group_by) in self._tracks

    def _key(self, setting: Setting, group_by: GroupBy) -> tuple[Any, ...]:
        return (group_by, setting.window_ms, setting.hours, setting.for_ms, setting.keep_firing_for_ms)

    def track(self, setting: Setting, group_by: GroupBy) -> Track:
        """Return what all thresholds share at a setting, kept from an earlier visit if there was one."""
        key = self._key(setting, group_by)
        found = self._tracks.pop(key, None) or track(self.grouped(group_by), setting)
        self._tracks[key] = found
        total = sum(kept.bytes for kept in self._tracks.values())
        # The one asked for stays, and what was visited longest ago goes first.
        for old in [*self._tracks][:-1]:
            if total <= KEPT_BYTES:
                break
            total -= self._tracks.pop(old).bytes
        return found

    def at(
        self,
        setting: Setting | None = None,
        group_by: GroupBy = None,
        *,
        period: Interval | None = None,
        columns: int = COLUMNS,
    ) -> View:
        """Return the rule at a setting.

        Parameters
        ----------
        setting : Setting, optional
            None: as deployed.
        group_by : tuple of str, optional
            Labels that make one page of several alerts; None: every alert pages by itself.
        period : Interval, optional
            For which the alert states are wanted; None: all of it. Pages and incidents are always those of the whole
            history.
        columns : int
            Width of the picture in pixels.

        Raises
        ------
        SettingError
            If the rule has no such knob.
        ExpressionError
            If its expression cannot be evaluated with the window or the hours.
        """
        chosen = self.deployed if setting is None else setting
        known = self.track(chosen, group_by)
        level = self.replay.level(chosen.threshold)
        found = tally(known, level)
        times, step_ms = known.firing.signal.times, known.firing.signal.step_ms
        span = self.replay.period if period is None else period
        fires = known.fired > level
        masks = ((known.active > level) & ~fires, fires)
        pending, firing = (thin_mask(times, mask, span, step_ms, columns) for mask in masks)
        return View(chosen, group_by, found, numbers_of(found), pending, firing)

    def deployed_numbers(self, group_by: GroupBy) -> Numbers:
        """Return what the rule as it is did, with its alerts grouped in a way."""
        if group_by not in self._deployed:
            self._deployed[group_by] = self.at(group_by=group_by).numbers
        return self._deployed[group_by]

    def score(self, setting: Setting) -> Score:
        """Score a setting as the backtest does: its own grouping, an object for every page."""
        return self.replay.score(setting.threshold, **setting.at)

    def lines(self, setting: Setting, period: Interval | None = None, columns: int = COLUMNS) -> SignalLines:
        """Return what the rule compares, thinned to pixels without losing a peak."""
        span = self.replay.period if period is None else period
        return signal_lines(self.replay.signal(setting.window_ms, setting.hours or ""), span, columns=columns)

    def colours(self, drawn: Sequence[Labels], most: int) -> list[int]:
        """Return a colour for each of some lines, the same in every stretch of time.

        Parameters
        ----------
        drawn : sequence of Labels
            Series that get a line.
        most : int
            Number of colours.

        Notes
        -----
        Those with a line over the whole history at the deployed values have theirs by the order of their labels; the
        others take what is free.
        """
        if self._colours is None:
            whole = sorted(self.lines(self.deployed).labels, key=str)
            self._colours = {labels: place % most for place, labels in enumerate(whole)}
        taken = {labels: self._colours[labels] for labels in drawn if labels in self._colours}
        free = [place for place in range(most) if place not in taken.values()]
        for place, labels in enumerate(sorted((each for each in drawn if each not in taken), key=str)):
            taken[labels] = free[place] if place < len(free) else place % most
        return [taken[labels] for labels in drawn]

    def presence(self, period: Interval | None = None, columns: int = COLUMNS) -> list[tuple[Any, Floats]]:
        """Return when the series of a rule without a threshold are there."""
        return presence(self.replay.signal(), self.replay.period if period is None else period, columns=columns)

    def scale(self, setting: Setting) -> Scale:
        """Return the axis of values, the same wherever the threshold stands."""
        signal = self.replay.signal(setting.window_ms, setting.hours or "")
        marks = [mark for mark in (self.deployed.threshold, *(o.threshold for o in self.others)) if mark is not None]
        return signal_scale(signal, marks)

    def prepare(self, setting: Setting, group_by: GroupBy) -> bool:
        """Do a part of what a visit of a setting needs; tell whether there was any left.

        Notes
        -----
        Whoever prepares while nothing is asked for keeps others waiting for one part at most: a signal, or what its
        thresholds share.
        """
        if self.visited(setting, group_by):
            return False
        if not self.grouped(group_by).advance(setting.window_ms, setting.hours or ""):
            self.track(setting, group_by)
        return True

    def make_room(self, *stay: tuple[Setting, GroupBy]) -> bool:
        """Forget what was visited longest ago, as far as `KEPT_BYTES` want it; tell whether that was enough.

        Parameters
        ----------
        *stay : (Setting, tuple of str or None)
            What is not forgotten.
        """
        spared = {self._key(*each) for each in stay}
        for old in [key for key in self._tracks if key not in spared]:
            if self.kept_bytes <= KEPT_BYTES:
                break
            del self._tracks[old]
        return self.kept_bytes <= KEPT_BYTES

    @property
    def kept_bytes(self) -> int:
        """Memory of everything that was visited, with all signals."""
        signals = sum(replay.signal_bytes for replay in {id(each): each for each in self._known}.values())
        return signals + sum(kept.bytes for kept in self._tracks.values())

    @property
    def _known(self) -> list[RuleBacktest]:
        """The rule in every grouping that was asked for."""
        return [self.replay, *self._replays.values()]
