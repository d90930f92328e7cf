"""The invented user service: its topics, consumer groups and brokers, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kmon_analysis.timing import HOUR_MS, MINUTE_MS, SECOND_MS, WEEK_MS, parse_instant

__all__ = [
    "BROKERS",
    "DAYLIGHT_SAVING_MS",
    "HOLIDAYS",
    "SCRAPE_MS",
    "START_MS",
    "STEP_MS",
    "SUBSCRIPTIONS",
    "TOPICS",
    "WORLD_WEEKS",
    "Subscription",
    "Topic",
]

START_MS = parse_instant("2026-02-02T00:00:00Z")  # a Monday
WORLD_WEEKS = 14
STEP_MS = 10 * SECOND_MS
SCRAPE_MS = 30 * SECOND_MS

# The service's users live on Central European Time; rules count hours in UTC.
DAYLIGHT_SAVING_MS = parse_instant("2026-03-29T01:00:00Z")
HOLIDAYS = ("2026-04-03", "2026-04-06", "2026-05-01")

# Slot 2 is served by broker-3 until the maintenance in week 6 replaces the machine by broker-4.
BROKERS = ("broker-1:7071", "broker-2:7071", "broker-3:7071", "broker-4:7071")


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic and its traffic.

    Attributes
    ----------
    name : str
        Topic name.
    partitions : int
        At most 16.
    rate : float
        Messages a second, averaged over an ordinary week.
    shape : {"people", "office"}
        Daily pattern: people's evenings and weekends, or office hours with a trickle outside.
    swing : float
        Peak over trough of the daily pattern (``"people"``).
    peak_hour : float
        Local hour of the daily peak (``"people"``).
    weekend : float
        Factor on Saturday and Sunday.
    drift : float
        Standard deviation of the slow log deviation from the hour of the week.
    jitter : float
        Standard deviation of the log noise from minute to minute.
    dispersion : float
        Variance over mean of the counts in 10 s, given their rate.
    message_bytes : int
        Typical size of a message.
    skew : float
        Zipf exponent of the partitions' shares.
    growth_per_week : float
        Relative growth of the rate.
    retention_ms : int
        How long a message can be read.
    created_ms : int
        Milliseconds after the world's start.
    """

    name: str
    partitions: int
    rate: float
    shape: Literal["people", "office"] = "people"
    swing: float = 5.0
    peak_hour: float = 19.0
    weekend: float = 0.9
    drift: float = 0.10
    jitter: float = 0.07
    dispersion: float = 4.0
    message_bytes: int = 600
    skew: float = 0.2
    growth_per_week: float = 0.005
    retention_ms: int = WEEK_MS
    created_ms: int = 0


@dataclass(frozen=True, slots=True)
class Subscription:
    """One consumer group on one topic.

    Attributes
    ----------
    group, topic : str
        Names.
    headroom : float
        Capacity over the topic's ordinary weekly peak.
    members : int
        Consumers in the group; partitions are dealt out in turn.
    commit_ms : int
        Longest age of the committed offset of a healthy consumer.
    gain : float
        Relative capacity gained under backlog (fuller batches, autoscaling).
    knee : int
        Backlog of a member, in messages, at which the whole gain is reached.
    wobble : float
        Standard deviation of the log capacity.
    batch_hour : float or None
        Local hour at which a nightly batch reads everything; None for a running consumer.
    pause_hour, pause_ms : float or None, int
        Local hour of a nightly pause (for example a snapshot of the index), and its typical length.
    """

    group: str
    topic: str
    headroom: float = 1.6
    members: int = 3
    commit_ms: int = 5 * SECOND_MS
    gain: float = 0.3
    knee: int = 800
    wobble: float = 0.12
    batch_hour: float | None = None
    pause_hour: float | None = None
    pause_ms: int = 0


TOPICS = (
    Topic("user.registered", 6, 24.0, swing=5.0, peak_hour=17.5, weekend=0.85, message_bytes=740),
    Topic("developer.profile.updated", 6, 30.0, swing=4.2, peak_hour=15.5, weekend=0.65, message_bytes=1350),
    Topic(
        "user.session.refreshed", 12, 130.0, swing=4.5, peak_hour=19.5, weekend=1.05, drift=0.07, dispersion=10.0,
        message_bytes=310,
    ),
    Topic(
        "user.login.succeeded", 6, 50.0, swing=5.5, peak_hour=18.0, weekend=0.95, message_bytes=420, skew=0.3,
        retention_ms=3 * HOUR_MS,
    ),
    Topic(
        "billing.invoice.issued", 3, 1.6, shape="office", weekend=0.06, drift=0.18, jitter=0.10, message_bytes=2900,
    ),
    Topic(
        "user.account.deleted", 3, 0.033, swing=3.0, peak_hour=15.0, weekend=0.8, drift=0.08, dispersion=1.0,
        message_bytes=230, growth_per_week=0.0,
    ),
    Topic(
        "developer.badge.awarded", 3, 5.0, swing=4.0, peak_hour=16.0, drift=0.15, message_bytes=520,
        created_ms=3 * WEEK_MS + 34 * HOUR_MS,
    ),
)  # fmt: skip

SUBSCRIPTIONS = (
    Subscription("email-sender", "user.registered", headroom=1.7, commit_ms=300),
    Subscription("search-indexer", "user.registered", headroom=1.6),
    Subscription(
        "search-indexer", "developer.profile.updated", headroom=1.5, pause_hour=3.5, pause_ms=5 * MINUTE_MS,
    ),
    Subscription("analytics-loader", "user.session.refreshed", headroom=0.88, members=6, gain=1.0, knee=1350),
    Subscription("analytics-loader", "user.login.succeeded", headroom=1.35, gain=0.5),
    Subscription("analytics-loader", "developer.badge.awarded", headroom=4.0, members=1),
    Subscription("billing-sync", "billing.invoice.issued", headroom=6.0, members=1, commit_ms=10 * SECOND_MS),
    Subscription("billing-sync", "developer.profile.updated", headroom=1.8, members=2),
    Subscription("audit-archiver", "user.login.succeeded", headroom=2.6, members=2),
    Subscription("audit-archiver", "user.account.deleted", headroom=400.0, members=1, batch_hour=2.25),
)  # fmt: skip
