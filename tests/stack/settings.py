"""What one stack consists of: topics, services, and the configuration of the programs that watch them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SERVICES", "TOPICS", "Service", "alertmanager", "prometheus"]


@dataclass(frozen=True)
class Service:
    """A topic with its producer and the consumer group that reads it."""

    topic: str
    group: str
    rate: float

    @property
    def producer(self) -> str:
        """Return the name of the producer's process."""
        return f"producer-{self.topic}"

    @property
    def consumer(self) -> str:
        """Return the name of the consumer's process."""
        return f"consumer-{self.group}"


SERVICES = (
    Service("user.registered", "user-service", 20.0),
    Service("developer.profile.updated", "profile-service", 10.0),
    Service("user.audited", "audit-service", 6.0),
)

# Replicas of each partition, preferred leader first. The last topic has one replica: a lost broker takes a partition's
# only leader with it.
TOPICS = {
    "user.registered": [[1, 2, 3], [2, 3, 1], [3, 1, 2]],
    "developer.profile.updated": [[2, 3, 1], [3, 1, 2], [1, 2, 3]],
    "user.audited": [[1], [2], [3]],
}


def prometheus(*, interval_s: float, rules: str, brokers: list[int], lag_exporter: int, alertmanager_port: int) -> str:
    """Return the configuration of Prometheus; targets by their ports."""
    interval = f"{round(interval_s * 1000)}ms"
    targets = ", ".join(f'"127.0.0.1:{port}"' for port in brokers)
    return f"""\
global: {{scrape_interval: {interval}, scrape_timeout: {interval}, evaluation_interval: {interval}}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: kafka
    static_configs: [{{targets: [{targets}]}}]
  - job_name: kafka-lag
    static_configs: [{{targets: ["127.0.0.1:{lag_exporter}"]}}]
alerting:
  alertmanagers:
    - static_configs: [{{targets: ["127.0.0.1:{alertmanager_port}"]}}]
"""


def alertmanager(webhook: int) -> str:
    """Return the configuration of Alertmanager: everything to the webhook, at once."""
    return f"""\
route: {{receiver: webhook, group_by: ["..."], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}
receivers:
  - name: webhook
    webhook_configs: [{{url: "http://127.0.0.1:{webhook}/", send_resolved: true}}]
"""
