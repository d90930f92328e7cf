"""The faults of every scenario, in the order of time."""

from __future__ import annotations

from kmon_analysis.sources.simulation.faults import Fault

__all__ = ["EIGHT", "LATER", "MAINTENANCE", "ONE", "THREE", "TWENTY", "UNLABELLED"]

REGISTERED = "user.registered"
PROFILE = "developer.profile.updated"
SESSION = "user.session.refreshed"
LOGIN = "user.login.succeeded"
INVOICE = "billing.invoice.issued"

TWENTY = (
    Fault(
        "slow-consumer", "w1 Tue 15:12", 75, REGISTERED, "email-sender", 0.08,
        cause="The mail relay throttled us; confirmation mails went out over an hour late.",
    ),
    Fault(
        "producer-outage", "w1 Thu 14:20", 45, PROFILE,
        cause="A migration locked the profile outbox; no profile change left the service.",
    ),
    Fault(
        "consumer-down", "w2 Mon 15:05", 35, "", "search-indexer",
        cause="A bad release of the search indexer crashed on start in every pod.",
    ),
    Fault(
        "partial-producer-loss", "w2 Fri 09:30", 190, LOGIN, size=0.45,
        cause="One of two regions could not reach the brokers, so its logins were missing downstream.",
    ),
    Fault(
        "stuck-partition", "w3 Wed 12:40", 70, SESSION, "analytics-loader", partitions=(2, 7, 9),
        cause="A malformed session record made one analytics loader crash and restart on the same offset.",
    ),
    Fault(
        "leader-loss", "w3 Thu 08:50", 22, PROFILE, partitions=(1, 4),
        cause="Two profile partitions lost their last in-sync replica after a disk filled up.",
    ),
    Fault(
        "producer-outage", "w4 Tue 15:10", 32, REGISTERED,
        cause="Expired client certificate: registrations were stored but not published.",
    ),
    Fault(
        "rebalance-storm", "w4 Sat 17:30", 50, SESSION, "analytics-loader",
        cause="Session loaders exceeded their poll interval and rebalanced without end.",
    ),
    Fault(
        "broker-loss", "w5 Wed 03:20", 38, broker=1,
        cause="broker-2 was killed by the kernel for lack of memory; replicas took over.",
    ),
    Fault(
        "consumer-down", "w5 Fri 16:00", 40, REGISTERED, "email-sender",
        cause="The mail sender was scaled to zero by a wrong autoscaler change.",
    ),
    Fault(
        "silent-topic", "w6 Tue 08:40", 270, INVOICE,
        cause="A feature flag switched invoice events off; accounting noticed at noon.",
    ),
    Fault(
        "hot-partition", "w6 Thu 17:10", 55, SESSION, size=6.0, partitions=(3,),
        cause="A looping mobile client refreshed one session thousands of times a minute.",
    ),
    Fault(
        "backlog-beyond-retention", "w7 Mon 19:40", 290, LOGIN, "audit-archiver",
        cause="The archive bucket refused writes all evening; logins older than three hours were lost.",
    ),
    Fault(
        "group-vanished", "w7 Wed 10:25", 55, INVOICE, "billing-sync",
        cause="The billing sync lost its credentials and left the group; its lag was not even reported.",
    ),
    Fault(
        "producer-outage", "w8 Tue 09:20", 26, LOGIN,
        cause="A broken client library release buffered logins for ever.",
    ),
    Fault(
        "stuck-partition", "w8 Thu 16:35", 85, LOGIN, "audit-archiver", partitions=(0, 4),
        cause="An oversized login record blocked the archiver on two partitions.",
    ),
    Fault(
        "unrelated", "w9 Mon 12:05", 50, REGISTERED, "email-sender",
        cause="Users missed confirmation mails; it turned out to be a spam filter at a large mail provider.",
    ),
    Fault(
        "leader-loss", "w9 Wed 10:45", 16, SESSION, partitions=(0, 5, 6),
        cause="An operator removed the wrong volume; three session partitions were offline.",
    ),
    Fault(
        "slow-consumer", "w9 Fri 17:50", 60, LOGIN, "analytics-loader", 0.15,
        cause="The analytics warehouse was resized and accepted a tenth of the usual writes.",
    ),
    Fault(
        "slow-consumer", "w10 Tue 14:15", 80, PROFILE, "billing-sync", 0.1,
        cause="A missing database index slowed the billing sync down after its release.",
    ),
)  # fmt: skip

LATER = (
    Fault(
        "consumer-down", "w11 Tue 16:30", 45, LOGIN, "analytics-loader",
        cause="A schema change that the analytics loader could not read stopped it.",
    ),
    Fault(
        "producer-outage", "w11 Thu 13:15", 30, REGISTERED,
        cause="The outbox relay of the registration service hung after a failover of its database.",
    ),
    Fault(
        "slow-consumer", "w12 Wed 13:20", 70, PROFILE, "search-indexer", 0.1,
        cause="The search cluster ran a heavy merge and rejected most bulk requests.",
    ),
    Fault(
        "leader-loss", "w12 Fri 10:05", 18, LOGIN, partitions=(2,),
        cause="A login partition went offline when two brokers lost their network for some minutes.",
    ),
    Fault(
        "partial-producer-loss", "w13 Mon 12:30", 150, PROFILE, size=0.35,
        cause="A third of the service's pods failed to publish after a configuration change.",
    ),
    Fault(
        "stuck-partition", "w13 Thu 16:10", 60, SESSION, "analytics-loader", partitions=(1, 4),
        cause="A record in an unknown encoding stopped an analytics loader on two partitions.",
    ),
    Fault(
        "producer-outage", "w14 Tue 11:40", 35, LOGIN,
        cause="A firewall change cut the login service off from the brokers.",
    ),
    Fault(
        "rebalance-storm", "w14 Thu 13:05", 55, PROFILE, "search-indexer",
        cause="Search indexers were evicted in turn and kept rebalancing.",
    ),
)  # fmt: skip

UNLABELLED = (
    Fault("slow-consumer", "w2 Wed 16:40", 14, PROFILE, "search-indexer", 0.3, labelled=False),
    Fault("controller-blip", "w4 Fri 02:10", 3, labelled=False),
    Fault("slow-consumer", "w5 Mon 17:20", 13, LOGIN, "analytics-loader", 0.5, labelled=False),
    Fault("stuck-partition", "w8 Sun 11:30", 25, REGISTERED, "search-indexer", partitions=(5,), labelled=False),
    Fault("producer-outage", "w10 Thu 15:30", 9, PROFILE, labelled=False),
    Fault("slow-consumer", "w13 Fri 15:10", 12, REGISTERED, "email-sender", 0.35, labelled=False),
)  # fmt: skip

MAINTENANCE = (
    Fault(
        "maintenance", "w6 Sun 01:00", 100,
        cause="Announced maintenance: broker-3 replaced by broker-4, consumers stopped on purpose.",
    ),
    Fault(
        "monitoring-outage", "w8 Wed 05:10", 14,
        cause="Prometheus moved to a larger disk; nothing was recorded.",
    ),
)  # fmt: skip

ONE = (
    Fault(
        "slow-consumer", "w6 Wed 15:25", 70, LOGIN, "analytics-loader", 0.12,
        cause="The analytics warehouse ran out of slots and accepted few writes.",
    ),
)  # fmt: skip

THREE = (
    Fault(
        "consumer-down", "w2 Thu 13:45", 40, PROFILE, "billing-sync",
        cause="The billing sync could not start after its secret was rotated.",
    ),
    Fault(
        "slow-consumer", "w5 Tue 16:30", 65, REGISTERED, "email-sender", 0.08,
        cause="The mail relay answered slowly after a certificate change on its side.",
    ),
    Fault(
        "stuck-partition", "w8 Mon 17:10", 75, LOGIN, "audit-archiver", partitions=(1, 3),
        cause="A login record that the archive refused was retried for over an hour.",
    ),
)  # fmt: skip

EIGHT = (
    Fault(
        "slow-consumer", "w1 Thu 15:40", 60, PROFILE, "search-indexer", 0.12,
        cause="The search cluster was rebuilding its replicas.",
    ),
    Fault(
        "producer-outage", "w2 Tue 10:30", 35, REGISTERED,
        cause="The registration service lost its broker addresses after a change of its configuration.",
    ),
    Fault(
        "consumer-down", "w3 Fri 14:50", 45, LOGIN, "analytics-loader",
        cause="A failed migration kept the analytics loader from starting.",
    ),
    Fault(
        "leader-loss", "w5 Mon 09:35", 20, SESSION, partitions=(2, 8),
        cause="Two session partitions lost their leader after a switch was replaced.",
    ),
    Fault(
        "rebalance-storm", "w6 Wed 17:20", 50, SESSION, "analytics-loader",
        cause="A new poll timeout was shorter than a batch; the group never settled.",
    ),
    Fault(
        "stuck-partition", "w8 Tue 13:00", 70, SESSION, "analytics-loader", partitions=(5, 10),
        cause="A record too large for the loader blocked two partitions.",
    ),
    Fault(
        "producer-outage", "w9 Thu 12:20", 40, LOGIN,
        cause="The login service published to a topic of the staging cluster.",
    ),
    Fault(
        "slow-consumer", "w10 Wed 16:45", 70, REGISTERED, "email-sender", 0.08,
        cause="The mail provider limited our sending rate.",
    ),
)  # fmt: skip
