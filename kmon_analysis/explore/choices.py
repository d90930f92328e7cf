"""What the tuner's controls offer: stops of the sliders taken from the data, and readers of typed values."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

import numpy as np

from kmon_analysis.backtest.rule import RuleBacktest
from kmon_analysis.backtest.signal import Signal
from kmon_analysis.errors import SettingError
from kmon_analysis.kafka.hours import parse_hours, promql_guard, seasons
from kmon_analysis.recommend.candidates import Setting, candidates, current_setting
from kmon_analysis.report.figure import Scale, scale_for
from kmon_analysis.timing import HOUR_MS, MINUTE_MS, SECOND_MS, duration_of

__all__ = [
    "AS_DEPLOYED",
    "EVERY_HOUR",
    "Choices",
    "GroupBy",
    "choices_of",
    "guard_of",
    "read_duration",
    "read_threshold",
    "season_words",
    "signal_scale",
    "threshold_stops",
]

GroupBy = tuple[str, ...] | None

# Fewer would jump over incidents, more cannot be told apart on a slider of the usual width.
STOPS = 240
MOST_LABELS = 12
AS_DEPLOYED, EVERY_HOUR = "as deployed", "at all hours"
_GUARD = re.compile(r"\s*(?:and|unless)\b")
# A comma that parts thousands; any other one may be a decimal comma.
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?![\d,])(?!\.\d*,)")
_OFFERED_HOURS = ("Mon-Fri 08:00-18:00", "Mon-Fri 08:00-20:00", "06:00-22:00")
_HOLDS = (
    *(0, 30 * SECOND_MS),
    *(minutes * MINUTE_MS for minutes in (1, 2, 3, 5, 7, 10, 15, 20, 30, 45)),
    *(hours * HOUR_MS for hours in (1, 2, 4)),
)


@dataclass(frozen=True, slots=True)
class Choices:
    """What can be turned, and to what.

    Attributes
    ----------
    thresholds : tuple of float
        Ascending; empty for a rule without a threshold that can turn.
    windows_ms : tuple of int
        Ascending; empty for a rule without a single window.
    fors_ms : tuple of int
        Ascending.
    hours : tuple of str
        `AS_DEPLOYED`, `EVERY_HOUR` and hours as `kmon_analysis.kafka.hours.parse_hours` reads them; empty where
        none can turn.
    group_by : tuple of (tuple of str or None)
        Ways to make pages of alerts; None: every alert pages by itself.
    reason : str
        Why the threshold cannot turn; empty when it can.
    """

    thresholds: tuple[float, ...]
    windows_ms: tuple[int, ...]
    fors_ms: tuple[int, ...]
    hours: tuple[str, ...]
    group_by: tuple[GroupBy, ...]
    reason: str = ""


def finite_range(signal: Signal) -> tuple[float, float, float]:
    """Return least, greatest and least positive finite value of a signal; NaN where there is none."""
    parts = [group.distinct[np.isfinite(group.distinct)] for group in signal.groups]
    values = np.concatenate([np.empty(0), *parts])
    values = -values if signal.falls else values
    if not len(values):
        return math.nan, math.nan, math.nan
    positive = values[values > 0]
    return float(values.min()), float(values.max()), float(positive.min()) if len(positive) else math.nan


def signal_scale(signal: Signal, marks: Iterable[float]) -> Scale:
    """Choose the axis on which both a signal and the thresholds can be read."""
    return scale_for(*finite_range(signal), list(marks))


def threshold_stops(signal: Signal, marks: Sequence[float]) -> tuple[float, ...]:
    """Return the thresholds at which a slider stops.

    Parameters
    ----------
    signal : Signal
        What is compared.
    marks : sequence of float
        Thresholds that must be among them, as they are.

    Returns
    -------
    tuple of float
        Ascending, over the range of the signal and a little beyond it; rounded to what the distance to the next
        stop can tell apart.
    """
    bounds = signal_scale(signal, marks).bounds(STOPS)
    steps = np.maximum(np.abs(np.diff(bounds, append=2 * bounds[-1] - bounds[-2])), np.finfo(np.float64).tiny)
    quantum = 10.0 ** np.floor(np.log10(steps))
    stops = {float(f"{value:.12g}") for value in np.round(bounds / quantum) * quantum if math.isfinite(value)}
    return tuple(sorted({stop + 0.0 for stop in stops} | {float(mark) for mark in marks if math.isfinite(mark)}))


def choices_of(replay: RuleBacktest, scrape_interval_ms: int, others: Sequence[Setting] = ()) -> Choices:
    """Take the choices from a rule and its data.

    Parameters
    ----------
    replay : RuleBacktest
        The rule on its history.
    scrape_interval_ms : int
        A window must hold at least four scrapes.
    others : sequence of Setting
        Settings that must be among the choices, such as a proposed one.
    """
    current = current_setting(replay)
    wanted = [current, *others]
    holds = {hold for hold in _HOLDS if hold % replay.grid.step_ms == 0 or hold >= MINUTE_MS}
    fors_ms = tuple(sorted(holds | {setting.for_ms for setting in wanted}))
    if not replay.knobs.sweepable:
        return Choices((), (), fors_ms, (), _groupings(replay), replay.knobs.reason or "there is no comparison")
    marks = [setting.threshold for setting in wanted if setting.threshold is not None]
    windows: set[int] = set()
    if current.window_ms is not None:
        tried = {candidate.window_ms for candidate in candidates(replay, scrape_interval_ms)}
        if replay.knows(HOUR_MS):
            tried.add(HOUR_MS)
        windows = {window for window in tried if window is not None}
        windows |= {setting.window_ms for setting in others if setting.window_ms is not None}
    return Choices(
        threshold_stops(replay.signal(), marks),
        tuple(sorted(windows)),
        fors_ms,
        _hours(replay),
        _groupings(replay),
    )


def _hours(replay: RuleBacktest) -> tuple[str, ...]:
    """Offer hours where they can be changed: here, and in one piece or not there yet."""
    knobs = replay.knobs
    if replay.outside is not None or (knobs.hours is not None and knobs.hours_span is None):
        return ()
    own = (AS_DEPLOYED,) if knobs.hours is not None else ()
    return (*own, EVERY_HOUR, *_OFFERED_HOURS)


def _groupings(replay: RuleBacktest) -> tuple[GroupBy, ...]:
    """Offer each alert, each label that tells alerts apart, what is set, and the whole rule."""
    members = [labels for group in replay.signal().groups for labels in group.members]
    names = sorted({name for labels in members for name in labels})
    telling = [name for name in names if len({labels.value(name) for labels in members}) > 1]
    found: list[GroupBy] = [None, *((name,) for name in telling[:MOST_LABELS]), ()]
    own = replay.settings.group_by
    return tuple(found if own in found else [own, *found])


# ---- typed values -------------------------------------------------------------------------------


def read_threshold(text: str) -> float:
    """Read a threshold that somebody typed.

    Raises
    ------
    SettingError
        If it is no finite number, or a comma in it does not part thousands.

    Examples
    --------
    >>> read_threshold(" 12,000 "), read_threshold("1e-3")
    (12000.0, 0.001)
    """
    shown = text.strip()[:40]
    plain = shown.replace("\N{MINUS SIGN}", "-")
    if "," in plain and not _GROUPED.match(plain):
        raise SettingError(
            f"{shown!r} can be read in two ways", cure="Give a number with a decimal point, for example 12000 or 0.5"
        )
    try:
        value = float(plain.replace(",", ""))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SettingError(f"{shown!r} is no threshold", cure="Give a number, for example 12000 or 0.5")
    return value


def read_duration(said: str | timedelta, name: str) -> int:
    """Read a window or a ``for`` that somebody typed.

    Raises
    ------
    SettingError
        If it is no duration, or a window of zero.
    """
    value = duration_of(said, name)
    if name == "window" and value <= 0:
        raise SettingError("a window of 0 holds nothing", cure='Give a positive duration, for example "5m"')
    return value


@lru_cache(maxsize=64)
def season_words(text: str, zone: str) -> str:
    """Write hours with their zone, and what a guard in UTC watches of them in each season."""
    return seasons(parse_hours(text, zone))


@lru_cache(maxsize=64)
def guard_of(text: str, zone: str, own: str | None) -> str | None:
    """Turn a choice of hours into the guard that `Setting.hours` holds.

    Parameters
    ----------
    text : str
        `AS_DEPLOYED`, `EVERY_HOUR`, hours such as ``Mon-Fri 08:00-18:00``, or a guard as PromQL.
    zone : str
        Time zone of the hours.
    own : str or None
        The guard as deployed.

    Raises
    ------
    SettingError
        If the hours or the zone mean nothing.

    Examples
    --------
    >>> guard_of("08:00-20:00", "UTC", None)
    'and on() (hour() >= 8 < 20)'
    """
    if text == AS_DEPLOYED:
        return own
    if text.strip() in ("", EVERY_HOUR):
        return None
    if _GUARD.match(text):
        return text.strip()
    try:
        return promql_guard(parse_hours(text, zone or "UTC")) or None
    except SettingError as error:
        # Options of the command line have no place here.
        cure = "Give a longer span" if "--" in (error.cure or "") else error.cure
        raise SettingError(error.problem, cure=cure) from None
