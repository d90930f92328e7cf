"""Which windows and ``for`` durations are worth trying."""

from __future__ import annotations

from dataclasses import dataclass

from kmon_analysis.backtest.rule import At, RuleBacktest
from kmon_analysis.errors import SettingError
from kmon_analysis.rules.knobs import rule_with
from kmon_analysis.rules.model import AlertingRule
from kmon_analysis.timing import MINUTE_MS, WEEK_MS, Interval, format_duration

__all__ = ["Budget", "Candidate", "Setting", "candidates", "current_setting"]

MINUTES = (0, 1, 2, 5, 10, 15, 30)


@dataclass(frozen=True, slots=True)
class Budget:
    """What the team accepts of one rule.

    Attributes
    ----------
    max_delay_ms : int
        Longest acceptable time from the labelled start of an incident to the page; there is no
        honest default for it.
    false_pages_per_week : float
        Accepted false pages for each week of normal time.
    firing_ratio : float
        Accepted share of normal time in which the alert may fire. Without it a threshold so low
        that the alert never ends would count as a single page.
    placement : float
        Where in the feasible interval the threshold goes: 0 at the false-page edge, 1 at the
        incident edge. A quarter if misses hurt more, a half if pages hurt more.
    """

    max_delay_ms: int
    false_pages_per_week: float = 1.0
    firing_ratio: float = 0.01
    placement: float = 1 / 3

    def __post_init__(self) -> None:
        if self.max_delay_ms <= 0:
            raise SettingError(f"the longest acceptable delay is {self.max_delay_ms} ms", cure="Give a positive one")
        if not self.false_pages_per_week >= 0:
            raise SettingError(f"false pages a week: {self.false_pages_per_week}", cure="Give zero or more")
        for name in ("firing_ratio", "placement"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingError(f"{name} is {getattr(self, name)}", cure="Give a value from 0 to 1")


@dataclass(frozen=True, slots=True)
class Candidate:
    """Everything that turns except the threshold, which is swept."""

    window_ms: int | None
    for_ms: int

    @property
    def at(self) -> At:
        """Where the knobs stand, as a replay wants it told."""
        return {"window_ms": self.window_ms, "for_ms": self.for_ms}


@dataclass(frozen=True, slots=True)
class Setting:
    """Values of a rule's knobs.

    Attributes
    ----------
    threshold : float or None
        None for rules without one.
    window_ms : int or None
        Range of the rule's range selectors, where it has one.
    for_ms, keep_firing_for_ms : int
        As in the rule.
    hours : str or None
        The guard, as PromQL.
    """

    threshold: float | None
    window_ms: int | None
    for_ms: int
    keep_firing_for_ms: int
    hours: str | None

    @property
    def candidate(self) -> Candidate:
        """The part that is not swept."""
        return Candidate(self.window_ms, self.for_ms)

    @property
    def at(self) -> At:
        """Where the knobs stand but for the threshold, as a replay wants it told."""
        return {"window_ms": self.window_ms, "for_ms": self.for_ms, "hours": self.hours or ""}

    def applied(self, rule: AlertingRule) -> AlertingRule:
        """Return the rule with these values in place of its own."""
        return rule_with(
            rule,
            threshold=self.threshold,
            window_ms=self.window_ms,
            for_ms=self.for_ms,
            hours=self.hours or "",
        )

    def short(self, op: str | None) -> str:
        """Write the values in one glance, such as ``[5m] < 1 for 10m``; a threshold without its `op` by name."""
        window = "" if self.window_ms is None else f"[{format_duration(self.window_ms)}] "
        compared = "" if self.threshold is None else f"{op or 'threshold'} {self.threshold:,.12g} "
        return f"{window}{compared}for {format_duration(self.for_ms)}"

    def __str__(self) -> str:
        parts = []
        if self.threshold is not None:
            parts.append(f"threshold {self.threshold:,.12g}")
        if self.window_ms is not None:
            parts.append(f"window {format_duration(self.window_ms)}")
        parts.append(f"for {format_duration(self.for_ms)}")
        if self.keep_firing_for_ms:
            parts.append(f"keep firing for {format_duration(self.keep_firing_for_ms)}")
        return ", ".join(parts)


def current_setting(replay: RuleBacktest) -> Setting:
    """Return the values of the rule as deployed."""
    knobs = replay.knobs
    return Setting(knobs.threshold, knobs.window_ms, replay.rule.for_ms, replay.rule.keep_firing_for_ms, knobs.hours)


def candidates(replay: RuleBacktest, scrape_interval_ms: int) -> tuple[Candidate, ...]:
    """List windows and ``for`` durations to try, the rule's own among them.

    Parameters
    ----------
    replay : RuleBacktest
        The rule on its history.
    scrape_interval_ms : int
        A window must hold at least four scrapes: with fewer, one missed scrape empties it.

    Notes
    -----
    Few on purpose: the number of distinct outcomes tried is what makes a search fit noise. Windows that whoever
    evaluates the rule does not know, because no server was given and nothing of them was kept, are left out.
    """
    own = replay.knobs.window_ms
    windows: set[int | None] = {own}
    if own is not None:
        others = {m * MINUTE_MS for m in MINUTES if m * MINUTE_MS >= 4 * scrape_interval_ms and m}
        windows |= {window for window in others if replay.knows(window)}
    holds = {m * MINUTE_MS for m in MINUTES} | {replay.rule.for_ms}
    return tuple(Candidate(w, d) for w in sorted(windows, key=lambda w: w or 0) for d in sorted(holds))


def whole_weeks(period: Interval) -> int:
    """Return how many whole weeks a period holds."""
    return period.duration_ms // WEEK_MS
