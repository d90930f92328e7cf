"""Time to page from arithmetic alone: no labels, no statistics, hour by hour of the week.

Given how much is produced in each hour of the week and a fault that one imagines, the moment at
which a rule pages follows. NaN stands for "the rule fires without any fault", infinity for "never".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kmon_analysis.errors import SettingError
from kmon_analysis.timing import HOUR_MS

__all__ = [
    "HOURS",
    "TimeToPage",
    "hour_name",
    "hour_of_week",
    "hourly_rate",
    "slow_consumer",
    "stopped_consumer",
    "stopped_producer",
]

Floats = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]

HOURS = 168
_HOUR_S = 3600.0
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
# 1970-01-01 was a Thursday.
_EPOCH_HOUR = 3 * 24


def hour_of_week(times_ms: Int64s) -> Int64s:
    """Return the hour of the week in UTC, 0 being Monday 00:00, for instants of any shape."""
    return (np.asarray(times_ms, dtype=np.int64) // HOUR_MS + _EPOCH_HOUR) % HOURS


def hour_name(hour: int) -> str:
    """Name an hour of the week.

    Examples
    --------
    >>> hour_name(0), hour_name(27)
    ('Mon 00:00 UTC', 'Tue 03:00 UTC')
    """
    return f"{_DAYS[hour // 24]} {hour % 24:02d}:00 UTC"


def hourly_rate(times_ms: Int64s, rates: Floats) -> Floats:
    """Return the median rate in each hour of the week.

    Parameters
    ----------
    times_ms : int64 array, shape (N,)
        Instants in milliseconds.
    rates : float array, shape (N,)
        Rate at each, in messages a second; values that are not finite are left out.

    Returns
    -------
    float array, shape (168,)
        NaN for an hour without a value.
    """
    kept = np.isfinite(rates)
    hours, values = hour_of_week(times_ms)[kept], np.asarray(rates, dtype=np.float64)[kept]
    order = np.argsort(hours, kind="stable")
    pieces = np.split(values[order], np.searchsorted(hours[order], np.arange(1, HOURS)))
    return np.array([np.median(piece) if len(piece) else np.nan for piece in pieces])


def stopped_consumer(
    rates_per_s: Floats, threshold: float, for_s: float, *, lag: float = 0.0, extra_s: float = 0.0
) -> Floats:
    """Return the time to page when the consumer stops at the beginning of each hour of the week.

    Parameters
    ----------
    rates_per_s : float array, shape (168,)
        Messages produced a second in each hour of the week.
    threshold : float
        Of a rule ``lag > threshold``.
    for_s : float
        Its ``for``.
    lag : float
        Lag at the time of the fault.
    extra_s : float
        What observing adds at most: one scrape, one evaluation, and an exporter's own polling.

    Returns
    -------
    float array, shape (168,)
        Seconds: the least time after which the lag exceeds the threshold, plus `for_s` and `extra_s`.
    """
    return slow_consumer(rates_per_s, threshold, for_s, keeps_up=0.0, lag=lag, extra_s=extra_s)


def slow_consumer(
    rates_per_s: Floats, threshold: float, for_s: float, *, keeps_up: float, lag: float = 0.0, extra_s: float = 0.0
) -> Floats:
    """Return the time to page when the consumer handles only the share `keeps_up` of what arrives.

    Parameters
    ----------
    rates_per_s, threshold, for_s, lag, extra_s
        As for `stopped_consumer`.
    keeps_up : float
        From 0 (stopped) to 1 (keeps up).
    """
    rates = _checked(rates_per_s)
    if not 0 <= keeps_up <= 1:
        raise SettingError(
            f"a consumer that keeps up with {keeps_up:g} of the traffic", cure="Give a share from 0 to 1"
        )
    if lag > threshold:
        return np.full(HOURS, np.nan)
    growth = rates * (1 - keeps_up) * _HOUR_S
    total = float(growth.sum())
    missing = threshold - lag
    if total <= 0:
        return np.full(HOURS, np.inf)
    # Whole weeks first; what is left then is less than a week's growth.
    whole = int(max(missing // total, 0))
    reached = np.concatenate([[0.0], np.cumsum(np.concatenate([growth, growth, growth]))])
    start = reached[:HOURS]
    level = start + max(missing - whole * total, 0.0)
    # The first hour in which the accumulated lag exceeds the level; a plateau at the level does not.
    hour = np.searchsorted(reached, level, side="right") - 1
    into = (level - reached[hour]) / np.concatenate([growth, growth, growth])[hour]
    waited: Floats = (hour + into - np.arange(HOURS)) * _HOUR_S + whole * HOURS * _HOUR_S
    return waited + for_s + extra_s


def stopped_producer(
    rates_per_s: Floats, threshold: float, window_s: float, for_s: float, *, extra_s: float = 0.0
) -> Floats:
    """Return the time to page when production stops, for a rule ``rate(x[window]) < threshold``.

    Parameters
    ----------
    rates_per_s : float array, shape (168,)
        Messages produced a second in each hour of the week.
    threshold : float
        Messages a second.
    window_s, for_s, extra_s : float
        Seconds.

    Returns
    -------
    float array, shape (168,)
        About ``window (1 - threshold / rate) + for``; NaN in hours in which the rule fires without any fault.

    Notes
    -----
    The rate over the window decays linearly while the traffic of before leaves it; traffic is taken
    as constant over the window.
    """
    rates = _checked(rates_per_s)
    with np.errstate(divide="ignore", invalid="ignore"):
        decay = window_s * (1 - threshold / rates)
    if threshold <= 0:
        return np.full(HOURS, np.inf)
    return np.where(rates >= threshold, decay + for_s + extra_s, np.nan)


@dataclass(frozen=True, slots=True)
class TimeToPage:
    """Time to page for a fault at one hour of the week.

    Attributes
    ----------
    fault : str
        What is imagined to fail.
    traffic : str
        ``"peak"``, ``"median"`` or ``"trough"``.
    hour : int
        Hour of the week, 0 being Monday 00:00 UTC.
    rate_per_s : float
        Traffic in that hour.
    seconds : float
        Time to page; NaN when the rule fires without any fault, infinity when it never pages.
    """

    fault: str
    traffic: str
    hour: int
    rate_per_s: float
    seconds: float


def _checked(rates_per_s: Floats) -> Floats:
    rates = np.asarray(rates_per_s, dtype=np.float64)
    if rates.shape != (HOURS,):
        raise SettingError(
            f"rates of shape {rates.shape}", cure=f"Give one rate for each of the {HOURS} hours of the week"
        )
    if not (rates >= 0).all() or np.isinf(rates).any():
        raise SettingError(
            f"{np.count_nonzero(~(rates >= 0) | np.isinf(rates))} hours of the week have no usable rate",
            cure="Fill them, for example from the hours beside them, or leave the table out",
        )
    return rates
