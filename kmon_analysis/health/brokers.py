"""The Kafka check: one metadata request through one kept client."""

from __future__ import annotations

from typing import Any

from kmon_analysis.errors import SettingError
from kmon_analysis.health.outcome import Outcome, Redaction, named
from kmon_analysis.health.settings import KafkaSettings, Secret

__all__ = ["KafkaCheck"]

INTERNAL = ("__consumer_offsets", "__transaction_state", "__share_group_state")


class KafkaCheck:
    """Ask a cluster for its metadata.

    Parameters
    ----------
    settings : KafkaSettings
        The cluster.
    redaction : Redaction
        Keeps secrets out of what librdkafka says.

    Raises
    ------
    SettingError
        If librdkafka refuses a property.

    Notes
    -----
    librdkafka's ``rd_kafka_metadata``: a partition without a leader has leader -1, often without an error.
    """

    def __init__(self, settings: KafkaSettings, redaction: Redaction) -> None:
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        self.name = settings.name
        self.deadline_ms = settings.deadline_ms
        self._required = settings.required_topics
        self._redaction = redaction
        properties: dict[str, Any] = {
            "client.id": "kmon-health",
            # A broker that comes back is to be seen within a probe or two.
            "reconnect.backoff.max.ms": 1000,
            "log_level": 0,
            **{key: value.value if isinstance(value, Secret) else value for key, value in settings.client.items()},
        }
        try:
            self._client = AdminClient(properties)
        except (KafkaException, ValueError, TypeError) as error:
            said = error.args[0].str() if isinstance(error, KafkaException) else str(error)
            problem = f"librdkafka refuses the configuration of {settings.name!r}: {redaction(said)}"
            raise SettingError(problem, cure="Correct the property under 'client'") from None

    def run(self) -> Outcome:
        """Ask once; blocks for the deadline at most."""
        from confluent_kafka import KafkaException

        # The request ends a little before the reader gives up on it, so that the true reason is told.
        patience_s = self.deadline_ms / 1000 * 0.9
        try:
            metadata = self._client.list_topics(timeout=patience_s)
        except KafkaException as error:
            return Outcome(self.name, False, {"message": self._reason(error)})
        topics = {name: topic for name, topic in metadata.topics.items() if name not in INTERNAL}
        missing = sorted(set(self._required) - topics.keys())
        leaderless = sorted(
            f"{name}-{number}"
            for name, topic in topics.items()
            for number, partition in topic.partitions.items()
            if partition.leader < 0
        )
        wanted = [each for each in leaderless if not self._required or each.rpartition("-")[0] in self._required]
        details: dict[str, Any] = {"brokers": len(metadata.brokers)}
        problems = []
        if missing:
            details["missing_topics"] = named(missing)
            problems.append(f"{len(missing)} required topics are missing")
        if leaderless:
            details["leaderless_partitions"] = named(leaderless)
        if wanted:
            problems.append(f"{len(wanted)} partitions have no leader")
        if problems:
            details = {"message": "; ".join(problems), **details}
        return Outcome(self.name, not problems, details)

    def _reason(self, error: Any) -> str:
        kafka_error = error.args[0]
        said = self._redaction(kafka_error.str())
        if kafka_error.name() in ("_TRANSPORT", "_TIMED_OUT", "_ALL_BROKERS_DOWN"):
            return f"no broker answered within {self.deadline_ms} ms"
        return f"Kafka: {said}"

    def close(self) -> None:
        """Let go of the client; librdkafka ends its threads when it is collected."""
        del self._client
