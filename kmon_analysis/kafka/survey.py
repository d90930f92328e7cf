"""What a server knows of Kafka: dialects, clusters, topics, groups, traps, and which alerts it supports.

Pure: `questions` says what to ask, somebody asks, `examine` reads the answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kmon_analysis.kafka.dialects import NO_LAG, Dialect, Metric, Profile, choose, dialects, recognise
from kmon_analysis.kafka.expressions import grouping, selector
from kmon_analysis.kafka.starter import starters
from kmon_analysis.kafka.traps import Trap, named_traps, trap_names
from kmon_analysis.labels import Labels
from kmon_analysis.timing import duration, format_instant

__all__ = ["CLUSTER_LABELS", "MOST_NAMES", "Listed", "Survey", "examine", "names_of_interest", "questions"]

# Labels by which scrape configurations tell clusters apart.
CLUSTER_LABELS = ("cluster", "cluster_name", "kafka_cluster", "strimzi_io_cluster", "kafka_id", "kafka_cluster_id")
# Topics and groups that are listed; more are counted.
MOST_NAMES = 200
# A counter resets when a broker restarts, not several times in half an hour.
_RESETS, _RESETS_WINDOW = 3, "30m"
_LISTS = ("topic", "group")
_NAMED = 3

Answers = Mapping[str, Sequence[tuple[Labels, float]] | None]


@dataclass(frozen=True, slots=True)
class Listed:
    """Names found, as many as are shown, and how many there are."""

    names: tuple[str, ...] = ()
    total: int = 0


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found.

    Attributes
    ----------
    dialects : tuple of Dialect
        Present now.
    names : frozenset of str
        Metric names of interest that exist now.
    profile : Profile
        The dialects together.
    clusters, topics, groups : Listed
        Names, sorted.
    cluster_label : str or None
        The label that tells clusters apart, when there are several.
    traps : tuple of Trap
        What to beware of.
    aggregated : frozenset of str
        Metrics that hold the total of all topics beside the topics.
    unanswered : tuple of str
        Questions that the server refused.
    as_of_ms, now_ms : int or None
        Where no metric of interest has a sample now: when the newest sample was that all of this is about, and the
        server's clock.
    """

    dialects: tuple[Dialect, ...]
    names: frozenset[str]
    profile: Profile
    clusters: Listed = Listed()
    topics: Listed = Listed()
    groups: Listed = Listed()
    cluster_label: str | None = None
    traps: tuple[Trap, ...] = ()
    aggregated: frozenset[str] = frozenset()
    unanswered: tuple[str, ...] = ()
    as_of_ms: int | None = None
    now_ms: int | None = None

    @property
    def ended(self) -> str:
        """Since when no metric of a known dialect has a sample, as a sentence; empty where there are some now."""
        if self.as_of_ms is None or self.now_ms is None:
            return ""
        known = sorted(self.names)
        more = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
        names = f"{', '.join(known[:_NAMED])}{more} {'is' if len(known) == 1 else 'are'} known"
        when = f"{format_instant(self.as_of_ms)}, {duration(self.now_ms - self.as_of_ms)} ago"
        return f"{names}, but no metric of a known Kafka dialect has a sample now: the newest is of {when}"

    @property
    def limits(self) -> tuple[tuple[str, str], ...]:
        """What cannot be known, as (dialect, sentence); what another dialect here supplies can be known."""
        supplied = {NO_LAG} if self.profile.has_lag else set()
        return tuple((each.name, one) for each in self.dialects for one in each.limits if one not in supplied)

    def lines(self) -> list[str]:
        """Say it in words."""
        out = [f"note: {self.ended}; what follows is as of then"] if self.ended else []
        out += [f"dialect {each.name}: {each.title}" for each in self.dialects]
        for title, found in (("clusters", self.clusters), ("topics", self.topics), ("groups", self.groups)):
            if found.total:
                more = f" and {found.total - len(found.names):,} more" if found.total > len(found.names) else ""
                out.append(f"{title} ({found.total:,}): {', '.join(found.names)}{more}")
        out += [f"trap: {each}" for each in self.traps]
        out += [f"limit of {name}: {limit}" for name, limit in self.limits]
        if self.dialects:
            possible = starters(self.profile)
            out += [f"alert {rule.name}: possible. {rule.cannot}" for rule in possible.rules]
            out += [f"alert {each.name}: not possible: {each.reason}" for each in possible.left_out]
        out += [f"note: the server refused to answer about {each}" for each in self.unanswered]
        return out

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        possible = starters(self.profile)
        return {
            "dialects": [each.name for each in self.dialects],
            "cluster_label": self.cluster_label,
            **{
                title: {"total": found.total, "names": list(found.names)}
                for title, found in (("clusters", self.clusters), ("topics", self.topics), ("groups", self.groups))
            },
            "limits": [{"dialect": name, "limit": limit} for name, limit in self.limits],
            "traps": [{"kind": t.kind, "where": t.where, "problem": t.problem, "cure": t.cure} for t in self.traps],
            "alerts": [
                *({"alert": rule.name, "possible": True, "cannot": rule.cannot} for rule in possible.rules),
                *({"alert": each.name, "possible": False, "cannot": each.reason} for each in possible.left_out),
            ],
        }


def names_of_interest() -> frozenset[str]:
    """Return every metric name that the registry or a trap knows."""
    return frozenset(name for each in dialects().values() for name in each.names) | trap_names()


def questions(names: frozenset[str]) -> dict[str, str]:
    """Say what to ask about the metrics that exist.

    Returns
    -------
    dict
        From a key to an instant query; at most about thirty, each with a bounded answer.
    """
    found = recognise(names)
    profile = choose(found, names)
    asked: dict[str, str] = {}
    for role in _LISTS:
        metric = _naming(profile, role)
        if metric is not None:
            label = metric.labels[role]
            chosen = selector(metric, [f'{label}!=""'])
            asked[role] = f"topk({MOST_NAMES}, count by ({label}) ({chosen}))"
            asked[f"{role} total"] = f"count(count by ({label}) ({chosen}))"
    anything = next(iter(profile.metrics.values()), None)
    if anything is not None:
        asked["cluster"] = f"topk(50, count by ({', '.join(CLUSTER_LABELS)}) ({selector(anything)}))"
    for dialect in found:
        asked |= _doubts(dialect, names)
    return asked


def _doubts(dialect: Dialect, names: frozenset[str]) -> dict[str, str]:
    """Ask whether the traps of a dialect are there."""
    asked: dict[str, str] = {}
    own = choose((dialect,), names).metrics
    messages, lag = own.get("messages_in"), own.get("lag")
    if messages is not None and messages.kind == "counter":
        topic = messages.labels["topic"]
        by_topic, total = (selector(messages, [f'{topic}{op}""']) for op in ("!=", "="))
        asked[f"{dialect.name} total beside topics"] = f"count({total}) and on() count({by_topic})"
        window = f"{selector(messages)}[{_RESETS_WINDOW}]"
        asked[f"{dialect.name} falls"] = f"count(resets({window}) > {_RESETS})"
    if lag is not None and lag.label("partition"):
        by = ", ".join(dict.fromkeys([*CLUSTER_LABELS, *grouping(lag, "group", "topic", "partition")]))
        asked[f"{dialect.name} negative"] = f"count({selector(lag)} < 0)"
        asked[f"{dialect.name} replicas"] = f"max(count by ({by}) ({selector(lag)}))"
    offline = own.get("offline_partitions")
    if offline is not None and not offline.expr:
        by = ", ".join(CLUSTER_LABELS)
        asked[f"{dialect.name} controllers"] = f"max(count by ({by}) ({selector(offline)}))"
    return asked


def _naming(profile: Profile, role: str) -> Metric | None:
    """Return the metric that names topics or groups."""
    candidates = (
        (profile.lag, profile.get("messages_in")) if role == "group" else (profile.get("messages_in"), profile.lag)
    )
    return next((each for each in candidates if each is not None and each.label(role)), None)


def examine(names: frozenset[str], answers: Answers) -> Survey:
    """Read the answers to `questions`."""
    found = recognise(names)
    plain = choose(found, names)
    clusters, label = _clusters(answers.get("cluster") or ())
    lists = {role: _listed(answers, role, _naming(plain, role)) for role in _LISTS}
    aggregated: set[str] = set()
    traps = [
        Trap(each.kind, name, each.says, each.cure) for each in named_traps() for name in sorted(each.names & names)
    ]
    for dialect in found:
        traps += _seen(dialect, names, answers, aggregated)
    if found and not plain.has_lag:
        cure = "Run a lag exporter such as kafka_exporter"
        traps.append(Trap("no-lag", "consumer lag", "no metric on this server tells it", cure))
    if clusters.total > 1:
        problem = f"{clusters.total} clusters are told apart by {label}; what is summed without it mixes them"
        traps.append(Trap("clusters", str(label), problem, f"Keep it: --cluster-label {label}"))
    several = label if clusters.total > 1 else None
    return Survey(
        found,
        names,
        choose(found, names, cluster=several),
        clusters,
        lists["topic"],
        lists["group"],
        several,
        tuple(traps),
        frozenset(aggregated),
        tuple(key for key, rows in answers.items() if rows is None),
    )


def _listed(answers: Answers, role: str, metric: Metric | None) -> Listed:
    if metric is None:
        return Listed()
    names = sorted({labels.value(metric.labels[role]) for labels, _ in answers.get(role) or ()})
    return Listed(tuple(names), max(_value(answers, f"{role} total"), len(names)))


def _clusters(rows: Sequence[tuple[Labels, float]]) -> tuple[Listed, str | None]:
    for label in CLUSTER_LABELS:
        names = sorted({labels.value(label) for labels, _ in rows} - {""})
        if names:
            return Listed(tuple(names), len(names)), label
    return Listed(), None


def _value(answers: Answers, key: str) -> int:
    return int(max((value for _, value in answers.get(key) or ()), default=0))


def _seen(dialect: Dialect, names: frozenset[str], answers: Answers, aggregated: set[str]) -> list[Trap]:
    own = choose((dialect,), names).metrics
    traps = []

    def see(kind: str, quantity: str, problem: str, cure: str) -> None:
        traps.append(Trap(kind, own[quantity].names[0], problem, cure))

    if _value(answers, f"{dialect.name} total beside topics"):
        aggregated.update(own["messages_in"].names)
        problem = "the total of all topics stands beside the topics, so a plain sum counts double"
        see("double-count", "messages_in", problem, f'Select {own["messages_in"].labels["topic"]}!=""')
    if falls := _value(answers, f"{dialect.name} falls"):
        problem = f"{falls} series fall more than {_RESETS} times in {_RESETS_WINDOW}, so it is no counter here"
        see("rate-of-gauge", "messages_in", problem, "Export the meter's Count; rate() of a gauge means nothing")
    if negative := _value(answers, f"{dialect.name} negative"):
        problem = f"{negative} partitions have a negative lag: -1 says that nothing was ever committed"
        see("sentinel", "lag", problem, "Put clamp_min(…, 0) around it before summing")
    if (replicas := _value(answers, f"{dialect.name} replicas")) > 1:
        problem = f"{replicas} replicas of the exporter report the same partition, so a plain sum counts it again"
        see("replicas", "lag", problem, "Put max by (group, topic, partition) inside the sum")
    if (controllers := _value(answers, f"{dialect.name} controllers")) > 1:
        problem = f"{controllers} instances publish it, each from its own copy, as with KRaft, so a sum is too big"
        see("kraft-sum", "offline_partitions", problem, "Use max()")
    return traps
