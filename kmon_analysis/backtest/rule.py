"""One rule of a backtest, at any setting of its knobs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypedDict, Unpack

import numpy as np
import numpy.typing as npt

from kmon_analysis.backtest.derived import regrouped, shown_at
from kmon_analysis.backtest.pages import Curve, Episode, Firing, curve, episodes, fire
from kmon_analysis.backtest.score import Reach, Score, make_windows, reaches, score
from kmon_analysis.backtest.settings import Settings
from kmon_analysis.backtest.signal import Signal, alert_signal
from kmon_analysis.errors import ExpressionError, SettingError, printable
from kmon_analysis.incidents import Incidents
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.promql.syntax import Expr
from kmon_analysis.rules.groups import GroupsRun, Outside
from kmon_analysis.rules.knobs import Knobs, find_knobs, hours_guards, rule_with
from kmon_analysis.rules.model import AlertingRule
from kmon_analysis.series import Grid, SeriesSet
from kmon_analysis.tabular import counted, shortened
from kmon_analysis.timing import EvaluationGrid, Interval, format_end, format_instant

if TYPE_CHECKING:
    from kmon_analysis.backtest.run import Backtest
    from kmon_analysis.explore.tuner import Tuner

__all__ = ["At", "RuleBacktest"]

# Signals of other windows are kept up to this size each: those of a thousand alerts fill the memory.
_LARGE_BYTES = 50_000_000

Bools = npt.NDArray[np.bool_]


class At(TypedDict, total=False):
    """Where a rule's knobs stand, but for the threshold; what is left out or None is as in the rule.

    An empty text for `hours` is a rule without its guard.
    """

    window_ms: int | None
    for_ms: int | None
    keep_ms: int | None
    hours: str | None


@dataclass(repr=False)
class RuleBacktest:
    """One alerting rule on one history, at any setting of its knobs.

    Attributes
    ----------
    rule : AlertingRule
        As deployed.
    knobs : Knobs
        What can turn.
    grid : EvaluationGrid
        When it is evaluated.
    incidents : Incidents
        The labelled truth.
    settings : Settings
        How pages are counted.
    semantics : Semantics
        Which Prometheus release is replayed.
    series : SeriesSet
        Raw samples, with the outputs of the file's rules that other rules read.
    seen : bool array, shape (T,)
        Evaluations of the grid at which the history has data at all.
    groups : GroupsRun or None
        Evaluates an expression in the rule's place.
    outside : callable or None
        Evaluates the expression; None: it is evaluated here.
    unknown_windows : set of int
        Windows that `knows` was asked about and that whoever evaluates the rule does not know.
    taken_from : (Backtest, str) or None
        The backtest and the name under which it was asked for this rule.
    """

    rule: AlertingRule
    knobs: Knobs
    grid: EvaluationGrid
    incidents: Incidents
    settings: Settings
    semantics: Semantics
    series: SeriesSet = field(repr=False)
    seen: Bools = field(repr=False)
    groups: GroupsRun | None = field(default=None, repr=False)
    outside: Outside | None = field(default=None, repr=False)
    _signals: dict[tuple[int | None, str | None], Signal] = field(default_factory=dict, repr=False)
    _latest: dict[tuple[int, int, int], Firing] = field(default_factory=dict, repr=False)
    unknown_windows: set[int] = field(default_factory=set, repr=False)
    taken_from: tuple[Backtest, str] | None = field(default=None, repr=False)
    # The same rule in the grouping of the backtest: its signals are only put together anew.
    _ungrouped: RuleBacktest | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        start, end = format_instant(self.period.start_ms), format_end(self.period.end_ms)
        text = shortened(" ".join(printable(self.rule.text).split()), 120)
        times = counted(len(self.grid.times), "evaluation")
        return f"<RuleBacktest {printable(self.name)}: {times}, {start} to {end}: {text}>"

    @property
    def name(self) -> str:
        """The alert's name."""
        return self.rule.name

    @property
    def period(self) -> Interval:
        """The evaluated range."""
        return Interval(self.grid.start_ms, self.grid.end_ms)

    def signal(self, window_ms: int | None = None, hours: str | None = None) -> Signal:
        """Return the compared signal, for the rule's own window and hours or other ones."""
        key = self._key(window_ms, hours)
        if key not in self._signals:
            self._signals[key] = self._made(*key)
        return self._signals[key]

    def _key(self, window_ms: int | None, hours: str | None) -> tuple[int | None, str | None]:
        """Name a signal: None is what the rule says itself."""
        return (
            window_ms if window_ms != self.knobs.window_ms else None,
            hours if hours != (self.knobs.hours or "") else None,
        )

    def advance(self, window_ms: int | None, hours: str | None) -> bool:
        """Do a part of the work that `signal` would do at once; tell whether there was any left.

        Notes
        -----
        Whoever prepares while nothing is asked for keeps others waiting for one part at most.
        """
        key = self._key(window_ms, hours)
        if key in self._signals:
            return False
        if self._ungrouped is not None and self._ungrouped.advance(window_ms, hours):
            return True
        always = self._ungrouped is None and bool(key[1]) and self._key(window_ms, "") not in self._signals
        self.signal(window_ms, "" if always else hours)
        return True

    def _made(self, window: int | None, guard: str | None) -> Signal:
        """Make a signal, from one that is there where that is enough."""
        if self._ungrouped is not None:
            return regrouped(self._ungrouped.signal(window, guard), self.settings.group_by)
        rule = self.rule if window is None and guard is None else rule_with(self.rule, window_ms=window, hours=guard)
        if guard:
            shown = self._shown(rule)
            always = None if shown is None else self.signal(window, "")
            # Hidden elements cannot clash, so an evaluation that fails at all hours need not fail.
            if always is not None and shown is not None and not len(always.failed):
                return shown_at(always, shown)
        knobs = self.knobs if rule is self.rule else find_knobs(rule)
        return alert_signal(self.rule, knobs, self._evaluated(knobs.signal), self.settings.group_by)

    def _shown(self, rule: AlertingRule) -> Bools | None:
        """Tell when the guards of a rule let anything through, shape (T,); None where that is not for all alike."""
        guards = hours_guards(rule.expr)
        if guards is None or self.outside is not None:
            return None
        shown = np.ones(len(self.grid.times), dtype=np.bool_)
        for each in guards:
            calendar = self._evaluated(each.right)
            if calendar.failed.any():
                return None
            there = calendar.present.any(axis=0)
            shown &= there if each.op == "and" else ~there
        return shown

    def grouped(self, group_by: tuple[str, ...] | None) -> RuleBacktest:
        """Return the same rule with its alerts grouped to pages in another way."""
        if group_by == self.settings.group_by:
            return self
        settings = replace(self.settings, group_by=group_by)
        return replace(self, settings=settings, _signals={}, _latest={}, _ungrouped=self._ungrouped or self)

    def _evaluated(self, expr: Expr) -> Grid:
        """Evaluate an expression in the place of the rule's own."""
        if self.groups is None:
            raise ValueError("a replay that was made from a signal knows no other")
        return self.groups.evaluate(self.rule.key, expr)

    def knows(self, window_ms: int) -> bool:
        """Tell whether another window can be evaluated; here every one can."""
        if self.outside is not None and window_ms not in self.unknown_windows:
            try:
                self.signal(window_ms)
            except ExpressionError:
                self.unknown_windows.add(window_ms)
        return window_ms not in self.unknown_windows

    @property
    def signal_bytes(self) -> int:
        """Memory of the signals that were asked for."""
        groups = [group for signal in self._signals.values() for group in signal.groups]
        return sum(group.ranks.nbytes + group.distinct.nbytes for group in groups)

    def forget(self, window_ms: int | None) -> None:
        """Let go of the signals of a window, where they are large and not the rule's own."""
        window = window_ms if window_ms != self.knobs.window_ms else None
        for key, signal in list(self._signals.items()):
            large = sum(group.ranks.nbytes for group in signal.groups) > _LARGE_BYTES
            if key[0] == window and key != (None, None) and large and self.outside is None:
                del self._signals[key]
                # Its key is the identity of a signal, which another one may be given.
                self._latest.clear()

    def observed(self, signal: Signal) -> Bools:
        """Tell at which evaluations of a signal the history has data at all."""
        return self.seen[np.searchsorted(self.grid.times, signal.times)]

    def firing(self, **at: Unpack[At]) -> Firing:
        """Return the firing signal at a setting; None takes the rule's own value."""
        hold, keep = at.get("for_ms"), at.get("keep_ms")
        hold = self.rule.for_ms if hold is None else hold
        keep = self.rule.keep_firing_for_ms if keep is None else keep
        signal = self.signal(at.get("window_ms"), at.get("hours"))
        key = (id(signal), hold, keep)
        if key not in self._latest:
            windows = make_windows(
                signal,
                self.incidents,
                rule=self.name,
                settings=self.settings,
                for_ms=hold,
                observed=self.observed(signal),
            )
            # Only the last one is kept: a search visits each setting once, a plot asks for one often.
            self._latest.clear()
            gap = self.settings.merge_gap_ms
            self._latest[key] = fire(signal, windows, for_ms=hold, keep_firing_for_ms=keep, merge_gap_ms=gap)
        return self._latest[key]

    def curve(self, *, stop: int | None = None, **at: Unpack[At]) -> Curve:
        """Count pages and false pages for every threshold.

        Parameters
        ----------
        stop : int, optional
            Only evaluations before this column count.
        **at
            See `At`.
        """
        return curve(self.firing(**at), stop=stop)

    def reaches(self, **at: Unpack[At]) -> tuple[Reach, ...]:
        """Return how high the firing signal gets around each incident that concerns the rule."""
        firing = self.firing(**at)
        hold = at.get("for_ms")
        return reaches(
            firing,
            self.incidents.incidents,
            rule=self.name,
            settings=self.settings,
            for_ms=self.rule.for_ms if hold is None else hold,
            observed=self.observed(firing.signal),
            period=self.period,
        )

    def level(self, threshold: float | None = None) -> float:
        """Return `Signal.level` of a threshold (None: the rule's own; 0 for rules without one)."""
        if not self.knobs.sweepable:
            return 0.0
        chosen = self.knobs.threshold if threshold is None else threshold
        if chosen is None:
            raise SettingError(f"{self.name} has no threshold", cure="Give one")
        return self.signal().level(chosen)

    def episodes(self, threshold: float | None = None, **at: Unpack[At]) -> tuple[Episode, ...]:
        """List the pages at one setting; None takes the rule's own value."""
        return episodes(self.firing(**at), self.level(threshold))

    def score(self, threshold: float | None = None, *, period: Interval | None = None, **at: Unpack[At]) -> Score:
        """Score one setting against the incidents.

        Parameters
        ----------
        threshold : float, optional
            None takes the rule's own.
        period : Interval, optional
            Only pages and incidents that start in it count.
        **at
            See `At`.
        """
        firing = self.firing(**at)
        level = self.level(threshold)
        return score(
            firing,
            self.reaches(**at),
            episodes(firing, level),
            rule=self.name,
            level=level,
            period=period or self.period,
        )

    def explore(self) -> Tuner:
        """Open the tuner on this rule, as `Backtest.explore` does.

        Raises
        ------
        SettingError
            If it was not taken from a backtest by its name.
        """
        from kmon_analysis.explore.tuner import explore

        if self.taken_from is None:
            raise SettingError(
                f"it is not known of which backtest {self.name} is part", cure="Open result.explore(name)"
            )
        return explore(*self.taken_from)
