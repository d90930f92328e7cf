"""The same facts as metrics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from kmon_analysis.health.outcome import Outcome

__all__ = ["exposition"]


class _Facts:
    """Hands the outcomes of one probe to prometheus_client."""

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        self._outcomes = outcomes

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; what could not be learned is left out, never repeated from before."""
        up = GaugeMetricFamily("integration_up", "Whether the check found all well.", labels=["integration"])
        took = GaugeMetricFamily(
            "integration_check_duration_seconds", "How long the last check took.", labels=["integration"]
        )
        pending = GaugeMetricFamily("outbox_pending_events", "Pending rows of the outbox.", labels=["event"])
        oldest = GaugeMetricFamily(
            "outbox_oldest_pending_age_seconds",
            "Age of the oldest pending row by the database's clock; 0 if none is pending.",
            labels=["event"],
        )
        for outcome in self._outcomes:
            up.add_metric([outcome.name], float(outcome.up))
            took.add_metric([outcome.name], outcome.duration_s)
            if outcome.backlog is not None:
                pending.add_metric([outcome.name], outcome.backlog.pending)
                oldest.add_metric([outcome.name], outcome.backlog.oldest_age_s)
        yield from (up, took, pending, oldest)


def exposition(outcomes: Sequence[Outcome]) -> bytes:
    """Write the outcomes of one probe in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Facts(outcomes))
    return generate_latest(registry)
