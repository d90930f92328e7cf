"""One service's thirty hours, told in the names and habits of any dialect; nothing is fetched, all is seeded.

The truth is kept by partition and minute: messages written, and messages that a group has not read. A dialect's entry
says what that is called; what no entry says (who reports it twice, what resets, what comes late) is in `HABITS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from kmon_analysis.incidents import Incident, Incidents
from kmon_analysis.kafka.dialects import Metric, dialects
from kmon_analysis.labels import METRIC_NAME, Labels
from kmon_analysis.timing import MINUTE_MS, Interval
from tests.kafka.exporter import escaped

__all__ = ["HABITS", "LENGTH", "Habit", "Told", "tell"]

LENGTH = 30 * 60
ORDERS, USERS, OWN = "orders", "user.registered", "__consumer_offsets"
# Messages a minute, and partitions.
TOPICS = {ORDERS: (240, 2), USERS: (600, 2), OWN: (30, 1)}
STALLED = 'email`s "sender"'
GROUPS = (("audit", ORDERS), ("audit", USERS), ("billing", ORDERS), (STALLED, USERS))
STOPPED_FOR, CATCHING_UP = 40, 3000
CONSUMER_STOPS, PRODUCER_STOPS, LEADER_GONE = (250, 850, 1550), (480, 1100, 1650), (330, 950, 1250)
# Ordinary: a batch that leaves some lag, a lull of the producer, a restarted broker.
BATCHES, LULLS, RESTART = (100, 400, 760, 1020, 1400), (180, 620, 1300), 700
GONE_FOR, LULL_FOR, BATCH_FOR = 12, 20, 12
# Without a stale marker Prometheus 2 sees a sample until it is more than five minutes old.
SEEN = 5
COMMIT, BYTES = 1_000_000, 200


@dataclass(frozen=True)
class World:
    """What happened.

    Attributes
    ----------
    written : dict
        From topic and partition to all messages so far, a minute apart.
    behind : dict
        From group, topic and partition to messages not read.
    gone : dict
        From topic and partition to whether it has no leader.
    """

    written: Mapping[tuple[str, int], np.ndarray]
    behind: Mapping[tuple[str, str, int], np.ndarray]
    gone: Mapping[tuple[str, int], np.ndarray]


@dataclass(frozen=True)
class Habit:
    """How a dialect's exporter behaves, beyond its names.

    Attributes
    ----------
    instances : tuple of str
        Who reports: brokers, each its own part, or replicas of an exporter, all the same.
    total : bool
        Whether the sum of all topics stands beside them under the same name.
    never_read : bool
        Whether a partition without a commit is reported, with -1.
    drops : bool
        Whether partitions without a leader vanish.
    late : int
        Minutes until a value arrives.
    clusters : tuple of str
        Values of its own label for clusters.
    spelling : int
        Which of several names.
    beside : tuple of str
        Dialects that the same program speaks, too.
    without : tuple of str
        Quantities that its settings leave out.
    replicas : bool
        Whether each instance reports every lag.
    companions : Mapping
        Other series of the same exporter, which are not used: from a name to its labels.
    """

    instances: tuple[str, ...] = ("exporter:9308",)
    total: bool = False
    never_read: bool = False
    drops: bool = False
    late: int = 0
    clusters: tuple[str, ...] = ("",)
    spelling: int = 0
    beside: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    replicas: bool = False
    companions: tuple[Mapping[str, str], ...] = ()


BROKERS = Habit(instances=("kafka-0:7071", "kafka-1:7071", "kafka-2:7071"))
TWICE = ("exporter-a:9308", "exporter-b:9308")
MEMBER = {"cluster_name": "main", "group": STALLED, "topic": USERS, "partition": "0", "member_host": "/10.0.0.7"}
FETCHER = {"clientId": "ReplicaFetcherThread-0-1", "topic": USERS, "partition": "0"}
JMX_TOTAL = Habit(
    BROKERS.instances, total=True, companions=({METRIC_NAME: "kafka_server_fetcherlagmetrics_consumerlag", **FETCHER},)
)
HABITS = {
    "recorded": Habit(instances=("",)),
    "founding": BROKERS,
    "founding-total": BROKERS,
    "jmx-example": JMX_TOTAL,
    "strimzi-reporter": BROKERS,
    "grafana-cloud": Habit(BROKERS.instances, total=True),
    "confluent": Habit(
        BROKERS.instances,
        companions=({METRIC_NAME: "kafka_server_brokertopicmetrics_messagesinpersec_oneminuterate_alltopics"},),
    ),
    "bitnami": Habit(
        BROKERS.instances,
        companions=({METRIC_NAME: "kafka_server_brokertopicmetrics_total_messagesinpersec_count"},),
    ),
    "msk": Habit(
        BROKERS.instances,
        total=True,
        companions=(
            {METRIC_NAME: "kafka_server_BrokerTopicMetrics_OneMinuteRate", "name": "MessagesInPerSec", "topic": USERS},
            {METRIC_NAME: "kafka_server_FetcherLagMetrics_Value", "name": "ConsumerLag", **FETCHER},
            *(
                {
                    METRIC_NAME: "kafka_consumer_group_ConsumerLagMetrics_Value",
                    "name": kind,
                    "groupId": STALLED,
                    "topic": USERS,
                }
                for kind in ("MaxOffsetLag", "EstimatedMaxTimeLag")
            ),
        ),
    ),
    "kafka-exporter": Habit(
        TWICE,
        replicas=True,
        never_read=True,
        drops=True,
        companions=(
            {METRIC_NAME: "kafka_brokers"},
            {METRIC_NAME: "kafka_consumergroup_lag_sum", "consumergroup": STALLED, "topic": USERS},
            {METRIC_NAME: "kafka_consumergroup_members", "consumergroup": STALLED},
        ),
    ),
    "grafana-exporter": Habit(
        never_read=True,
        drops=True,
        companions=(
            {METRIC_NAME: "kafka_consumergroup_uncommitted_offsets_sum", "consumergroup": STALLED, "topic": USERS},
            {METRIC_NAME: "kafka_consumergroup_current_offset", "consumergroup": STALLED, "topic": USERS},
            {METRIC_NAME: "kafka_consumer_lag_millis", "consumergroup": STALLED, "topic": USERS},
        ),
    ),
    "lag-exporter": Habit(
        clusters=("main", "second"),
        companions=(
            {METRIC_NAME: "kafka_consumergroup_group_lag", **MEMBER},
            {METRIC_NAME: "kafka_consumergroup_group_lag_seconds", **MEMBER},
            {METRIC_NAME: "kafka_consumergroup_group_sum_lag", "cluster_name": "main", "group": STALLED},
        ),
    ),
    "kminion": Habit(
        companions=(
            {
                METRIC_NAME: "kminion_kafka_consumer_group_topic_partition_lag",
                "group_id": STALLED,
                "topic_name": USERS,
                "partition_id": "0",
            },
        ),
    ),
    "burrow": Habit(
        clusters=("main", "second"),
        companions=({METRIC_NAME: "burrow_kafka_consumer_lag_total", "cluster": "main", "consumer_group": STALLED},),
    ),
    "burrow-exporter": Habit(
        clusters=("main", "second"),
        companions=({METRIC_NAME: "kafka_burrow_total_lag", "cluster": "main", "group": STALLED},),
    ),
    "otel": Habit(
        spelling=1,
        companions=(
            {METRIC_NAME: "kafka_topic_partitions", "topic": USERS},
            {METRIC_NAME: "kafka_consumer_group_lag_ratio", "group": STALLED, "topic": USERS, "partition": "0"},
            {METRIC_NAME: "kafka_brokers"},
        ),
    ),
    "redpanda": Habit(("redpanda-0:9644", "redpanda-1:9644", "redpanda-2:9644")),
    "redpanda-group-lag": Habit(("redpanda-0:9644",), beside=("redpanda",), without=("end_offset", "committed_offset")),
    "confluent-cloud": Habit(("api.telemetry.confluent.cloud:443",), late=3, clusters=("lkc-main", "lkc-second")),
}


@lru_cache(maxsize=1)
def world() -> World:
    """Let thirty hours pass."""
    rng = np.random.default_rng(20_260_301)
    minutes = np.arange(LENGTH + 1)
    gone = {(topic, p): np.zeros(minutes.size, bool) for topic, (_, parts) in TOPICS.items() for p in range(parts)}
    for start in LEADER_GONE:
        gone[ORDERS, 1][start : start + GONE_FOR] = True
    written, arrived = {}, {}
    for topic, (a_minute, parts) in TOPICS.items():
        expected = a_minute * (1 + 0.2 * np.sin(minutes / 229))
        if topic == ORDERS:
            for at in LULLS:
                expected[at : at + LULL_FOR] = 40
            for at in PRODUCER_STOPS:
                expected[at : at + STOPPED_FOR] = 6
        counts = rng.poisson(expected / parts, (parts, minutes.size))
        for p in range(parts):
            written[topic, p] = COMMIT + np.cumsum(np.where(gone[topic, p], 0, counts[p]))
        arrived[topic] = sum(np.diff(written[topic, p], prepend=COMMIT) for p in range(parts))
    behind = {}
    for group, topic in GROUPS:
        lag = rng.integers(0, 30, minutes.size)
        if group == STALLED:
            for at in BATCHES:
                lag[at : at + BATCH_FOR] = rng.integers(1500, 2200, BATCH_FOR)
            for at in CONSUMER_STOPS:
                lag = stopped(lag, arrived[topic], at)
        parts = TOPICS[topic][1]
        for p in range(parts):
            behind[group, topic, p] = lag // parts + (p < lag % parts)
    return World(written, behind, gone)


def stopped(lag, arrived, start):
    """Let a consumer stand still, and then read what has come in."""
    lag = lag.copy()
    waiting = 0
    for at in range(start, lag.size):
        waiting += int(arrived[at]) if at < start + STOPPED_FOR else -CATCHING_UP
        if waiting <= 0:
            break
        lag[at] = waiting
    return lag


@dataclass(frozen=True)
class Told:
    """A history in one dialect's names.

    Attributes
    ----------
    series : dict
        From labels to values a minute apart; NaN is no sample.
    times : ndarray
        In milliseconds.
    lag : dict
        From the labels of the recorded series to the truth.
    rate : dict
        From the labels that the dialect's rate has to messages a second over five minutes; NaN where an extrapolation
        is all that the samples allow.
    incidents : Incidents
        In the dialect's labels.
    topics, groups, clusters : list of str
        All names, sorted.
    """

    series: Mapping[Labels, np.ndarray]
    times: np.ndarray
    lag: Mapping[Labels, np.ndarray]
    rate: Mapping[Labels, np.ndarray]
    incidents: Incidents
    topics: list[str]
    groups: list[str]
    clusters: list[str]

    def openmetrics(self) -> dict[str, list[tuple[int, str]]]:
        """Return every sample as text."""
        return {
            written_out(labels): [
                (at, f"{value:.10g}")
                for at, value in zip(self.times.tolist(), values.tolist(), strict=True)
                if value == value
            ]
            for labels, values in self.series.items()
        }


def written_out(labels):
    """Write a series as OpenMetrics has it: without blanks."""
    inner = ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items() if name != METRIC_NAME)
    return f"{labels[METRIC_NAME]}{{{inner}}}"


def spoken(name, clusters):
    """Return a dialect's metrics and habit; where several clusters are scraped, the scrapes add a label."""
    habit, metrics = HABITS[name], dict[str, Metric]()
    for each in (*habit.beside, name):
        metrics |= dialects()[each].metrics
    metrics = {quantity: metric for quantity, metric in metrics.items() if quantity not in habit.without}
    if clusters:
        habit = replace(habit, clusters=clusters)
        labelled = {"cluster": "cluster"}
        metrics = {quantity: replace(each, labels=labelled | dict(each.labels)) for quantity, each in metrics.items()}
    return metrics, habit


def tell(names: str, end_ms: int, *, clusters: tuple[str, ...] = (), left_open: bool = False) -> Told:
    """Tell what happened in the names of dialects, separated by commas, the first of which knows best.

    Parameters
    ----------
    names : str
        Dialects; one that its program speaks beside another is added.
    end_ms : int
        When the history ends.
    clusters : tuple of str
        Values of a label ``cluster`` that the scrapes add.
    left_open : bool
        Whether ranges are those of Prometheus 3, without their first instant.
    """
    series: dict[Labels, np.ndarray] = {}
    known: dict[str, tuple[Metric, Habit]] = {}
    for name in names.split(","):
        metrics, habit = spoken(name, clusters)
        known = {quantity: (metric, habit) for quantity, metric in metrics.items()} | known
        for quantity, metric in metrics.items():
            for cluster in habit.clusters:
                for labels, values in told(quantity, metric, habit, cluster):
                    assert labels not in series, labels
                    series[labels] = shifted(values, habit.late)
        for companion in habit.companions:
            at = Labels({**companion, "job": "kafka", "instance": habit.instances[0]})
            series[at] = np.full(LENGTH + 1, 7.0)
    times = end_ms + (np.arange(LENGTH + 1) - LENGTH) * MINUTE_MS
    topics = {topic for topic in TOPICS if "messages_in" in known or topic != OWN}
    groups = {group for group, _ in GROUPS} if {"lag", "committed_offset"} & known.keys() else set()
    return Told(
        series,
        times,
        canonical(known.get("lag", known.get("committed_offset")), SEEN - left_open),
        rates(known.get("messages_in"), left_open),
        Incidents(tuple(happened(known, times))),
        sorted(topics),
        sorted(groups),
        sorted({each for _, habit in known.values() for each in habit.clusters if each}),
    )


def shifted(values, late):
    """Let values arrive some minutes late."""
    return np.concatenate([np.full(late, np.nan), values[: values.size - late]]).astype(float)


def written(cluster, topic, partition):
    """Return all messages so far; in any cluster but the first, nothing ever happens."""
    if cluster.endswith("second"):
        return COMMIT + 120 * np.arange(LENGTH + 1)
    return world().written[topic, partition]


def behind(cluster, group, topic, partition):
    """Return how many messages a group has not read."""
    return np.full(LENGTH + 1, 3) if cluster.endswith("second") else world().behind[group, topic, partition]


def gone(cluster, topic, partition):
    """Tell when a partition has no leader."""
    return world().gone[topic, partition] & (not cluster.endswith("second"))


def dropped(habit, cluster, topic, partition):
    """Tell when a partition is not reported."""
    return gone(cluster, topic, partition) & habit.drops


def places(cluster="", **more):
    return {"cluster": cluster, **more}


def named(metric, habit, instance, where):
    """Return the labels of a series, in the dialect's words."""
    labels = {METRIC_NAME: metric.names[min(habit.spelling, len(metric.names) - 1)], **metric.matchers}
    labels |= {label: where[role] for role, label in metric.labels.items() if where.get(role)}
    return Labels(labels | ({"job": "kafka", "instance": instance} if instance else {}))


def partitions():
    return [(topic, p) for topic, (_, parts) in TOPICS.items() for p in range(parts)]


def read_partitions():
    return [(group, topic, p) for group, topic in GROUPS for p in range(TOPICS[topic][1])]


def told(quantity, metric, habit, cluster) -> Iterator[tuple[Labels, np.ndarray]]:
    """Yield the series of one quantity in one cluster."""
    count = LENGTH + 1
    match quantity:
        case "messages_in" | "bytes_in" | "messages_in_rate":
            size = BYTES if quantity == "bytes_in" else 1
            yield from TRAFFIC[metric.kind](metric, habit, cluster, size)
        case "lag":
            yield from lags(metric, habit, cluster)
        case "end_offset":
            for topic, p in partitions():
                for late, instance in zip((0, 3), habit.instances, strict=False):
                    # A follower knows a little less.
                    at = named(metric, habit, instance, places(cluster, topic=topic, partition=str(p)))
                    yield at, written(cluster, topic, p) - late
        case "committed_offset":
            for group, topic, p in read_partitions():
                at = named(
                    metric, habit, habit.instances[0], places(cluster, group=group, topic=topic, partition=str(p))
                )
                yield at, written(cluster, topic, p) - behind(cluster, group, topic, p)
        case "offline_partitions" if metric.expr:
            labelled = {**metric.labels, "partition": "partition"}
            leader = replace(metric, names=("kafka_topic_partition_leader",), labels=labelled)
            for instance in habit.instances:
                for topic, (_, parts) in TOPICS.items():
                    yield named(metric, habit, instance, places(cluster, topic=topic)), np.full(count, parts)
                for topic, p in partitions():
                    at = named(leader, habit, instance, places(cluster, topic=topic, partition=str(p)))
                    yield at, np.where(dropped(habit, cluster, topic, p), np.nan, p)
        case "offline_partitions" | "leader_count" | "active_controllers" if not metric.expr:
            for broker, instance in enumerate(habit.instances):
                own = [gone(cluster, *each) for each in partitions() if each[1] % len(habit.instances) == broker]
                values = {
                    # With KRaft each controller publishes the whole.
                    "offline_partitions": sum(gone(cluster, *each).astype(int) for each in partitions()),
                    "leader_count": sum(((~each).astype(int) for each in own), np.zeros(count, int)),
                    "active_controllers": np.full(count, int(broker == 0)),
                }
                yield named(metric, habit, instance, places(cluster)), values[quantity]


def counters(metric, habit, cluster, size):
    """Yield what each broker has counted since it started; one is restarted."""
    for broker, instance in enumerate(habit.instances):
        led = [(topic, p) for topic, p in partitions() if p % len(habit.instances) == broker]
        topics = {topic: sum(written(cluster, *each) for each in led if each[0] == topic) for topic, _ in led}
        if habit.total:
            topics[""] = sum(topics.values(), np.zeros(LENGTH + 1, int))
        for topic, values in topics.items():
            kept = values.copy()
            if broker == 1:
                kept[RESTART:] -= values[RESTART - 1]
            yield named(metric, habit, instance, places(cluster, topic=topic)), kept * size


def positions(metric, habit, cluster, size):
    """Yield the offsets of partitions, or their sum."""
    assert size == 1
    for instance in habit.instances:
        if metric.label("partition"):
            for topic, p in partitions():
                at = named(metric, habit, instance, places(cluster, topic=topic, partition=str(p)))
                yield at, np.where(dropped(habit, cluster, topic, p), np.nan, written(cluster, topic, p))
        else:
            for topic in TOPICS:
                yield named(metric, habit, instance, places(cluster, topic=topic)), in_all(cluster, topic)


def in_all(cluster, topic):
    return sum(written(cluster, topic, p) for p in range(TOPICS[topic][1]))


def in_minutes(cluster, topic):
    return np.diff(in_all(cluster, topic), prepend=in_all(cluster, topic)[0] - 60)


def deltas(metric, habit, cluster, size):
    """Yield the messages of each minute."""
    for topic in TOPICS:
        yield named(metric, habit, habit.instances[0], places(cluster, topic=topic)), in_minutes(cluster, topic) * size


def levels(metric, habit, cluster, size):
    """Yield messages a second."""
    for topic in TOPICS:
        at = named(metric, habit, habit.instances[0], places(cluster, topic=topic))
        yield at, in_minutes(cluster, topic) * size / 60


TRAFFIC = {"counter": counters, "offset_gauge": positions, "delta_gauge": deltas, "rate_gauge": levels}


def lags(metric, habit, cluster):
    """Yield lag by partition, by topic or by group, as the dialect has it."""
    found: dict[tuple[str, ...], np.ndarray] = {}
    for group, topic, p in read_partitions():
        values = np.where(dropped(habit, cluster, topic, p), np.nan, behind(cluster, group, topic, p))
        where = {"group": group, "topic": topic, "partition": str(p)}
        key = tuple(where[role] if metric.label(role) else "" for role in where)
        found[key] = found[key] + values if key in found else values
    if habit.never_read:
        found |= {(group, topic, "9"): np.full(LENGTH + 1, -1) for group, topic in GROUPS}
    for (group, topic, partition), values in found.items():
        for instance in habit.instances if habit.replicas else habit.instances[:1]:
            yield named(metric, habit, instance, places(cluster, group=group, topic=topic, partition=partition)), values


def canonical(source, seen_for):
    """Return the truth of what the recording rule should say."""
    truth: dict[Labels, np.ndarray] = {}
    if source is None:
        return truth
    metric, habit = source
    roles = {"cluster": "cluster", "group": "consumergroup", "topic": "topic"}
    for cluster in habit.clusters:
        for group, topic, p in read_partitions():
            where = places(cluster, group=group, topic=topic)
            labels = Labels({name: where[role] for role, name in roles.items() if metric.label(role)})
            there = np.where(dropped(habit, cluster, topic, p), np.nan, behind(cluster, group, topic, p))
            truth[labels] = truth.get(labels, 0) + shifted(seen(there, seen_for), habit.late)
    return truth


def seen(values, minutes):
    """Return what an instant query sees: the last sample, while it is not too old; 0 when there is none."""
    out = values.copy()
    for at in np.flatnonzero(np.isnan(values)):
        recent = values[max(0, at - minutes) : at + 1]
        there = recent[~np.isnan(recent)]
        out[at] = there[-1] if there.size else 0
    return out


def rates(source, left_open):
    """Return the truth of the rate over five minutes of every topic but Kafka's own."""
    truth: dict[Labels, np.ndarray] = {}
    if source is None:
        return truth
    metric, habit = source
    span = 5 - left_open
    for cluster in habit.clusters:
        for topic in (ORDERS, USERS):
            where = places(cluster, topic=topic)
            labels = Labels({label: where[role] for role in ("cluster", "topic") if (label := metric.label(role))})
            values = np.full(LENGTH + 1, np.nan)
            for at in range(10, LENGTH + 1):
                window = slice(at - span, at + 1)
                absent = [dropped(habit, cluster, topic, p)[window] for p in range(TOPICS[topic][1])]
                if metric.kind == "delta_gauge":
                    values[at] = shifted(in_minutes(cluster, topic), habit.late)[window].mean() / 60
                elif not any(each.any() for each in absent):
                    values[at] = (in_all(cluster, topic)[at] - in_all(cluster, topic)[at - span]) / (60 * span)
            if left_open and metric.kind == "counter":
                # What Prometheus 3 extrapolates to its open edge stops at zero, where a restarted counter began.
                values[RESTART : RESTART + 6] = np.nan
            truth[labels] = values
    return truth


def happened(known, times):
    """Yield the incidents that these metrics can show, with their labels."""

    def during(start, minutes):
        return Interval(int(times[start]), int(times[start + minutes]))

    def where(source, **roles):
        metric, habit = source
        roles["cluster"] = habit.clusters[0]
        return Labels({label: value for role, value in roles.items() if (label := metric.label(role)) and value})

    lag, messages = known.get("lag", known.get("committed_offset")), known.get("messages_in")
    if lag is not None:
        rules = ("HighConsumerLag", "ConsumerLagGrowing", "LagSeconds")
        for n, at in enumerate(CONSUMER_STOPS):
            labels = where(lag, group=STALLED)
            yield Incident(f"lag-{n}", during(at, STOPPED_FOR), labels, rules, kind="consumer stopped")
    if messages is not None:
        rules = ("LowMessageRate", "MessageRateDrop")
        for n, at in enumerate(PRODUCER_STOPS):
            labels = where(messages, topic=ORDERS)
            yield Incident(f"rate-{n}", during(at, STOPPED_FOR), labels, rules, kind="producer stopped")
    if "offline_partitions" in known:
        for n, at in enumerate(LEADER_GONE):
            yield Incident(f"leader-{n}", during(at, GONE_FOR), Labels(), ("KafkaNoLeader",), kind="no leader")
