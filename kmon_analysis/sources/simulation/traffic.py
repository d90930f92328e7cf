"""How many messages arrive in each topic, step by step.

Notes
-----
The shape follows public count curves: daily peak over trough of 4 to 8, a slow deviation from the hour of
the week that forgets itself over about ten hours, a day effect, noise from minute to minute with short
memory, and counts more dispersed than Poisson's.

Exponentials are read from a table on a coarse grid before anything is drawn from them, so that the last
bit of a maths library cannot change a count.
"""

from __future__ import annotations

import math
import zlib
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from kmon_analysis.series import Floats, Int64s
from kmon_analysis.sources.simulation.service import DAYLIGHT_SAVING_MS, HOLIDAYS, START_MS, STEP_MS, Topic
from kmon_analysis.timing import DAY_MS, HOUR_MS, MINUTE_MS, WEEK_MS

__all__ = ["arrivals", "autoregressive", "coarse_exp", "local_minutes", "ordinary_rate", "stream", "weekly_peak"]

_GRID = 512
_REACH = 6 * _GRID
_EXP = np.array([math.floor(math.exp(k / _GRID) * 65536 + 0.5) / 65536 for k in range(-_REACH, _REACH + 1)])


def stream(seed: int, *names: str) -> np.random.Generator:
    """Return a random stream of its own for a purpose, so that one more draw elsewhere changes nothing here."""
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])


def coarse_exp(exponents: Floats) -> Floats:
    """Return the exponential on a grid of 1/512, the same on every machine; exponents within ±6."""
    index = np.rint(np.clip(exponents, -6.0, 6.0) * _GRID).astype(np.int64) + _REACH
    return _EXP[index]


def autoregressive(random: np.random.Generator, count: int, memory: float) -> Floats:
    """Return a stationary AR(1) series of unit variance, shape ``(count,)``."""
    reach = math.ceil(math.log(1e-6) / math.log(memory))
    noise = random.standard_normal(count + reach)
    total = noise[reach:].copy()
    weight = 1.0
    for lag in range(1, reach + 1):
        weight *= memory
        total += weight * noise[reach - lag : reach - lag + count]
    return total * math.sqrt(1.0 - memory * memory)


def local_minutes(minutes: int) -> Int64s:
    """Return the local minute since the local midnight before the start, for each minute of the world."""
    utc = np.arange(minutes, dtype=np.int64)
    summer = (START_MS + utc * MINUTE_MS) >= DAYLIGHT_SAVING_MS
    return utc + np.where(summer, 120, 60)


def ordinary_rate(topic: Topic, minutes: int) -> Floats:
    """Return the topic's rate on ordinary days, messages a second, shape ``(minutes,)``."""
    week = _ordinary_week(topic)
    local = local_minutes(minutes)
    rate = week[local % len(week)]
    if topic.shape == "office":
        first_day = datetime.fromtimestamp(START_MS / 1000, UTC).date()
        for holiday in HOLIDAYS:
            day = (datetime.fromisoformat(holiday).date() - first_day).days
            rate = np.where(local // 1440 == day, week[6 * 1440 + local % 1440], rate)
    return rate


def weekly_peak(topic: Topic) -> float:
    """Return the highest rate of an ordinary week, messages a second."""
    return float(_ordinary_week(topic).max())


def arrivals(topic: Topic, seed: int, steps: int, surge: Floats) -> npt.NDArray[np.int64]:
    """Draw how many messages are sent to a topic in each step.

    Parameters
    ----------
    topic : Topic
        The topic.
    seed : int
        Of the world.
    steps : int
        Length of the world in steps of ``STEP_MS``.
    surge : float64 array, shape (steps,)
        Factor on the rate: 0 in an outage of the producers, above 1 in a backfill.

    Returns
    -------
    int64 array, shape (steps,)
        Messages.
    """
    minutes = steps * STEP_MS // MINUTE_MS
    random = stream(seed, "traffic", topic.name)
    slow = 0.75 * topic.drift * autoregressive(random, minutes // 60 + 2, 0.9)
    days = 0.65 * topic.drift * autoregressive(random, minutes // 1440 + 2, 0.6)
    clock = np.arange(minutes)
    deviation = (
        np.interp(clock, np.arange(len(slow)) * (HOUR_MS // MINUTE_MS), slow)
        + np.interp(clock, np.arange(len(days)) * (DAY_MS // MINUTE_MS), days)
        + topic.jitter * autoregressive(random, minutes, 0.65)
        + topic.growth_per_week * (clock * MINUTE_MS / WEEK_MS)
    )
    rate = ordinary_rate(topic, minutes) * coarse_exp(deviation)
    mean = np.repeat(rate, MINUTE_MS // STEP_MS) * surge * (STEP_MS / 1000)
    mean[: topic.created_ms // STEP_MS] = 0.0
    if topic.dispersion > 1.0:
        scale = topic.dispersion - 1.0
        mean = random.standard_gamma(mean / scale) * scale
    return random.poisson(mean)


def _ordinary_week(topic: Topic) -> Floats:
    """Return the rate for each local minute of a week that starts on Monday, with the topic's mean."""
    hour = np.arange(1440) / 60.0
    if topic.shape == "office":
        opening = 1.0 / (1.0 + np.exp(-(hour - 8.2) * 3.0))
        closing = 1.0 / (1.0 + np.exp((hour - 17.3) * 2.6))
        lunch = 1.0 - 0.35 * np.exp(-(((hour - 12.6) / 0.6) ** 2))
        day = opening * closing * lunch
    else:
        angle = 2.0 * np.pi * (hour - topic.peak_hour) / 24.0
        wave = np.cos(angle) + 0.28 * np.cos(2.0 * angle + 0.9) - 0.07 * np.cos(3.0 * angle - 0.5)
        wave = (wave - wave.min()) / (wave.max() - wave.min())
        day = np.exp(math.log(topic.swing) * wave)
    week = np.concatenate([np.tile(day, 5), np.tile(day, 2) * topic.weekend])
    week *= topic.rate / week.mean()
    if topic.shape == "office":
        week += 0.05 * topic.rate  # reminders and corrections that machines send at any hour
    return np.floor(week * 2.0**14 + 0.5) / 2.0**14
