"""Make the small histories anew from their seeds; compare with what is here, or replace it (``--write``)."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kmon_analysis.history import History, Provenance
from kmon_analysis.labels import Labels
from kmon_analysis.series import Samples, SeriesSet
from kmon_analysis.sources.files import open_history
from kmon_analysis.timing import format_instant, parse_instant

HERE = Path(__file__).resolve().parent
SEED = 20260302
SCRAPE_MS = 30_000
START_MS = parse_instant("2026-03-02T00:00:00Z")
WEEKS = 8
EVENTS = ("DeveloperProfileUpdated", "UserRegistered")
# Minutes from the start of the history, event, length in minutes, and what happened; the relay stands still.
FAULTS = (
    (3_301, "UserRegistered", 34, "The relay's pod was evicted and did not come back."),
    (10_845, "DeveloperProfileUpdated", 41, "A payload that could not be serialised stopped the queue."),
    (18_122, "UserRegistered", 27, "Kafka refused the relay's certificate."),
    (26_951, "DeveloperProfileUpdated", 52, "A migration held a lock on the outbox table."),
    (39_377, "UserRegistered", 63, "The relay was deployed with the wrong topic name."),
    (47_510, "DeveloperProfileUpdated", 31, "The connection pool of the relay was exhausted."),
    (58_664, "UserRegistered", 45, "The relay's leader lease was lost and nobody took it."),
    (71_203, "DeveloperProfileUpdated", 38, "Kafka had no leader for the topic."),
)


# The world of the rule packs: fourteen hours, with one fault for each kind of alert.
PACKS_SEED = 20260316
PACKS_START_MS = parse_instant("2026-03-16T00:00:00Z")
PACKS_HOURS = 14
PACKS_SCRAPE_MS = 30_000
# Hours of the fault in which lag grows, the broker is gone, the topic is silent, the disk fills.
LAG, BROKER, SILENT, DISK = (2.0, 3.5), (5.0, 5.6), (7.5, 8.7), (10.0, 13.0)


def main(arguments: list[str] | None = None) -> int:
    """Compare or replace; 1 if something differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="replace what is here")
    write = parser.parse_args(arguments).write
    texts = {HERE / "outbox" / "incidents.yml": incident_list()}
    differs = []
    for name, made in (("outbox", outbox()), ("rule-packs", rule_packs())):
        place = HERE / name / "history"
        if write:
            shutil.rmtree(place, ignore_errors=True)
            made.save(place)
        elif open_history(place).digest != made.digest:
            differs.append(str(place))
    for path, text in texts.items():
        if write:
            path.write_text(text, encoding="utf-8", newline="\n")
        elif path.read_text(encoding="utf-8") != text:
            differs.append(str(path))
    for each in differs:
        sys.stderr.write(f"{each} differs: make data ARGS=--write replaces it, if that is what you want\n")
    return int(bool(differs))


def outbox() -> History:
    """Simulate what the endpoint's metrics would have said."""
    random = np.random.default_rng(SEED)
    count = WEEKS * 7 * 24 * 3_600_000 // SCRAPE_MS
    times = START_MS + np.arange(count, dtype=np.int64) * SCRAPE_MS
    minutes = (times - START_MS) / 60_000
    hour = times / 3_600_000 % 24
    parts = []
    for event in EVENTS:
        busy = 0.35 + 0.3 * np.sin((hour - 8) / 24 * 2 * np.pi)
        age_s = np.where(random.random(count) < busy, random.exponential(2.5, count), 0.0)
        # Deploys, bulk imports and vacuum: a few minutes of delay that nobody wants to be woken for.
        for at in random.choice(count - 40, size=90, replace=False).tolist():
            length = int(random.integers(2, 9))
            age_s[at : at + length] += random.uniform(20, 55) * np.arange(1, length + 1) / 2
        for start, whose, length, _ in FAULTS:
            if whose == event:
                stuck = (minutes >= start) & (minutes < start + length)
                age_s[stuck] = (minutes[stuck] - start) * 60 + random.uniform(0, 20)
                # What had gathered is published within some scrapes.
                drained = np.flatnonzero(minutes >= start + length)[:6]
                age_s[drained] = np.linspace(length * 60, 30, len(drained))
        pending = np.where(age_s > 0, 1 + np.floor(age_s * (0.05 + busy / 20)), 0.0)
        for name, values in (
            ("outbox_oldest_pending_age_seconds", np.round(age_s, 3)),
            ("outbox_pending_events", pending),
        ):
            labels = Labels({"__name__": name, "event": event, "job": "user-service", "instance": "10.0.0.7:8080"})
            parts.append(Samples(labels, times, values))
    provenance = Provenance(
        f"simulator outbox, seed {SEED}", START_MS, int(times[-1]) + SCRAPE_MS, ("outbox_*",), SCRAPE_MS
    )
    return History(SeriesSet.from_samples(parts), provenance)


def rule_packs() -> History:
    """Simulate one cluster in the metric names of every pack in ``data/rule-packs``."""
    random = np.random.default_rng(PACKS_SEED)
    count = PACKS_HOURS * 3_600_000 // PACKS_SCRAPE_MS
    times = PACKS_START_MS + np.arange(count, dtype=np.int64) * PACKS_SCRAPE_MS
    hours = np.arange(count) * PACKS_SCRAPE_MS / 3_600_000
    parts: list[Samples] = []

    def during(span: tuple[float, float]) -> npt.NDArray[np.bool_]:
        return (hours >= span[0]) & (hours < span[1])

    def add(
        name: str, values: npt.NDArray[np.float64], there: npt.NDArray[np.bool_] | None = None, **labels: str
    ) -> None:
        kept = np.ones(count, dtype=np.bool_) if there is None else there
        parts.append(Samples(Labels({"__name__": name, **labels}), times[kept], values[kept]))

    broker = during(BROKER).astype(np.float64)
    for topic, rate in (("user.registered", 40), ("developer.profile.updated", 9)):
        sent = np.where(during(SILENT), 0, random.poisson(rate, count)).astype(np.float64)
        offset = np.cumsum(sent)
        lag = random.integers(0, 30, count) + np.where(during(LAG), (hours - LAG[0]) * 12_000 * rate / 40, 0.0).round()
        who = {"consumergroup": "mailer", "topic": topic}
        job = {"job": "kafka-exporter", "instance": "10.0.0.9:9308"}
        for partition in ("0", "1"):
            place = {**job, "topic": topic, "partition": partition}
            part = np.floor(lag / 2) if partition == "0" else np.ceil(lag / 2)
            add("kafka_consumergroup_lag", part, consumergroup="mailer", **place)
            add("kafka_topic_partition_current_offset", np.floor(offset / 2), **place)
            add("kafka_topic_partition_in_sync_replica", 3 - broker, **place)
            add("kafka_topic_partition_under_replicated_partition", broker, **place)
            burrow = {"cluster": "main", "group": "mailer", "topic": topic, "partition": partition}
            add("kafka_burrow_partition_lag", part, **burrow)
            rewound = np.where(during((LAG[1], LAG[1] + 0.02)), 500.0, 0.0)
            add("kafka_burrow_partition_current_offset", np.maximum(0, offset - lag - rewound), **burrow)
            del burrow["group"]
            add("kafka_burrow_topic_partition_offset", offset, **burrow)
        add("kafka_consumer_lag_sum", lag, **who, **job)
        add(
            "kafka_server_BrokerTopicMetrics_MessagesInPerSec",
            offset,
            job="kafka",
            instance="10.0.0.1:7071",
            topic=topic,
        )
        add("redpanda_kafka_consumer_group_lag_max", lag, redpanda_group="mailer", redpanda_topic=topic)
        add("redpanda_kafka_under_replicated_replicas", broker, redpanda_topic=topic, redpanda_partition="0")
    for number in (1, 2, 3):
        there = ~during(BROKER) if number == 3 else np.ones(count, dtype=np.bool_)
        alive = np.where(there, 1.0, 0.0)
        at = {"job": "kafka", "instance": f"10.0.0.{number}:7071"}
        pod = {**at, "strimzi_io_name": "main-kafka", "kubernetes_pod_name": f"main-kafka-{number}"}
        pod["kubernetes_namespace"] = "events"
        add("up", alive, **pod)
        leads = 8.0 + 4.0 * broker if number < 3 else 8.0 * alive
        add("kafka_server_replicamanager_leadercount", leads, there, **pod)
        add("kafka_server_ReplicaManager_LeaderCount", leads, there, **at)
        add("kafka_server_replicamanager_underreplicatedpartitions", broker * 8, there, **pod)
        add(
            "kafka_server_replicamanager_underminisrpartitioncount",
            np.where(during((5.1, 5.2)), 2.0, 0.0),
            there,
            **pod,
        )
        add("kafka_server_replicamanager_isrexpands_total", np.where(hours > BROKER[1], 4.0, 0.0), there, **at)
        add("kafka_server_kafkaserver_brokerstate", 3.0 * alive, there, **at)
        leaderless = np.where(during((5.0, 5.15)) & (number == 1), 2.0, 0.0)
        controls = np.where(during((5.0, 5.12)), 0.0, float(number == 1))
        for form in (
            "kafka_controller_kafkacontroller_{}",
            "kafka_controller_KafkaController_{}",
        ):
            lower = "kafkacontroller" in form
            for name, values in (("OfflinePartitionsCount", leaderless), ("ActiveControllerCount", controls)):
                add(form.format(name.lower() if lower else name), values, there, **(pod if lower else at))
        unclean = np.where(hours > 5.05, float(number == 1), 0.0)
        add("kafka_controller_controllerstats_uncleanleaderelections_total", unclean, there, **at)
        idle = np.where(during(LAG), 0.04, 0.8) + random.uniform(0, 0.02, count)
        add("kafka_server_kafkarequesthandlerpool_requesthandleravgidlepercent", idle.round(4), there, **at)
    used = np.where(during(DISK), (hours - DISK[0]) * 30e9, 0.0)
    add("redpanda_storage_disk_free_bytes", (100e9 - used).round(), instance="10.0.0.1:9644")
    slow = during(LAG)
    total = np.zeros(count)
    for le, share, slow_share in (("0.01", 60, 5), ("0.1", 35, 10), ("1", 4, 60), ("+Inf", 1, 25)):
        total = total + np.cumsum(np.where(slow, slow_share, share))
        labels = {"redpanda_request": "produce", "le": le, "instance": "10.0.0.1:9644"}
        add("redpanda_kafka_request_latency_seconds_bucket", total, **labels)
    end_ms = int(times[-1]) + PACKS_SCRAPE_MS
    source = f"simulator rule-packs, seed {PACKS_SEED}"
    return History(SeriesSet.from_samples(parts), Provenance(source, PACKS_START_MS, end_ms, (), PACKS_SCRAPE_MS))


def incident_list() -> str:
    """Write down the faults as a team would."""
    lines = ["# Made by data/small_histories.py", "incidents:"]
    for number, (start, event, length, cause) in enumerate(FAULTS, 1):
        begins_ms = START_MS + start * 60_000
        lines += [
            f"- id: OUT-{number:02}",
            f"  start: {format_instant(begins_ms)}",
            f"  end: {format_instant(begins_ms + length * 60_000)}",
            f"  labels: {{event: {event}}}",
            f"  cause: {cause!r}",
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
