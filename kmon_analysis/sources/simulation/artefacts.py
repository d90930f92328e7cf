"""How Prometheus sees the service: failed scrapes, stale markers, restarts, wrong numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kmon_analysis.labels import METRIC_NAME, Labels
from kmon_analysis.series import Bools, Floats, Int64s, Samples, stale_marker
from kmon_analysis.sources.simulation.service import SCRAPE_MS, START_MS, STEP_MS
from kmon_analysis.sources.simulation.traffic import stream

__all__ = ["STEPS_PER_SCRAPE", "Target", "exporter_pods", "mismeasured", "observed", "target_of", "up_samples"]

STEPS_PER_SCRAPE = SCRAPE_MS // STEP_MS
_FAILED = 6e-4
_LOST = 4e-4


@dataclass(frozen=True, slots=True)
class Target:
    """What Prometheus got from one endpoint.

    Attributes
    ----------
    times : int64 array, shape (K,)
        Scrape instants, milliseconds.
    recorded : bool array, shape (K,)
        Whether Prometheus wrote anything at all; False leaves no trace, not even a stale marker.
    answered : bool array, shape (K,)
        Whether the endpoint answered; a failed scrape ends every series of it by a stale marker.
    """

    times: Int64s
    recorded: Bools
    answered: Bools


def target_of(name: str, seed: int, offset_ms: int, running: Bools, blackouts: Sequence[tuple[int, int]]) -> Target:
    """Scrape an endpoint.

    Parameters
    ----------
    name : str
        Of the endpoint; it has its own misses.
    seed : int
        Of the world.
    offset_ms : int
        Prometheus spreads its targets over the scrape interval.
    running : bool array, shape (T,)
        In which steps the endpoint runs.
    blackouts : sequence of (start, end)
        Steps in which Prometheus itself is down.
    """
    steps = np.arange(0, len(running), STEPS_PER_SCRAPE)
    random = stream(seed, "scrapes", name)
    luck = random.random(len(steps))
    recorded = luck >= _LOST
    for start, end in blackouts:
        recorded &= (steps < start) | (steps >= end)
    answered = running[steps] & (luck < 1.0 - _FAILED)
    return Target(START_MS + steps * STEP_MS + offset_ms, recorded, answered)


def observed(labels: Labels, target: Target, values: Int64s, exists: Bools) -> Samples | None:
    """Turn a metric inside an endpoint into the samples that Prometheus stores.

    Parameters
    ----------
    labels : Labels
        Of the series.
    target : Target
        The endpoint.
    values : int64 array, shape (K,)
        The metric at each scrape.
    exists : bool array, shape (K,)
        Whether the endpoint shows the metric.

    Returns
    -------
    Samples or None
        With a stale marker at the first scrape without it; None if it was never seen.

    Notes
    -----
    Prometheus ``scrape/scrape.go``, ``scrapeLoop.scrapeAndReport`` and ``append``.
    """
    present = (exists & target.answered)[target.recorded]
    if not present.any():
        return None
    ended = np.zeros(len(present), dtype=np.bool_)
    ended[1:] = present[:-1] & ~present[1:]
    stored: Floats = values[target.recorded].astype(np.float64)
    stored[ended] = stale_marker(int(ended.sum()))
    kept = present | ended
    return Samples(labels, target.times[target.recorded][kept], stored[kept])


def up_samples(job: str, instance: str, target: Target, known: Bools) -> Samples | None:
    """Return Prometheus' own ``up`` series of an endpoint; `known`, shape ``(K,)``: it is a target at all."""
    always = Target(target.times, target.recorded, np.ones(len(known), dtype=np.bool_))
    labels = Labels({METRIC_NAME: "up", "job": job, "instance": instance})
    return observed(labels, always, target.answered.astype(np.int64), known)


def mismeasured(
    lag: Int64s, arriving: Int64s, sent: Int64s, seed: int, name: str, bogus: Sequence[int]
) -> tuple[Int64s, Bools]:
    """Measure a lag as exporters do.

    Parameters
    ----------
    lag : int64 array, shape (K,)
        End offsets minus committed offsets at one instant.
    arriving : int64 array, shape (K,)
        Messages that arrive in 10 s.
    sent : int64 array, shape (K,)
        All messages sent so far.
    seed : int
        Of the world.
    name : str
        Of the pair.
    bogus : sequence of int
        Scrapes at which the committed offset reads -1, so the lag is everything ever sent.

    Returns
    -------
    measured : int64 array, shape (K,)
        Now and then the committed offset is read up to a second after the end offset: too small a
        lag, even a negative one.
    shown : bool array, shape (K,)
        The sum is missing for single scrapes.
    """
    random = stream(seed, "exporter", name)
    skewed = random.random(len(lag)) < 0.02
    late_ms = random.integers(100, 1000, size=len(lag))
    measured = lag - np.where(skewed, arriving * late_ms // STEP_MS, 0)
    measured[list(bogus)] = sent[list(bogus)]
    return measured, random.random(len(lag)) >= 1.5e-4


def exporter_pods(restarts: Sequence[tuple[int, int]], steps: int, seed: int) -> list[tuple[str, int, int]]:
    """Return the exporter's pods (instance, first step, step after the last): each restart is a new name."""
    random = stream(seed, "pods")
    letters = np.array(list("bcdfghjklmnpqrstvwxz2456789"))
    pods, start = [], 0
    for end in [*(end for _, end in sorted(restarts)), steps]:
        if end > start:
            suffix = "".join(random.choice(letters, size=5).tolist())
            pods.append((f"kafka-exporter-6c9f7d5b8-{suffix}:9308", start, end))
            start = end
    return pods
