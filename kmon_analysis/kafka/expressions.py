"""PromQL for the quantities of a profile, in the profile's own names."""

from __future__ import annotations

from collections.abc import Sequence

from kmon_analysis.kafka.dialects import Metric, Profile
from kmon_analysis.kafka.quoting import alternatives, equals_any
from kmon_analysis.labels import quote

__all__ = [
    "canonical_lag",
    "grouping",
    "lag",
    "lag_growth",
    "lag_seconds",
    "missing",
    "no_leader",
    "rate",
    "selector",
    "topic_matchers",
]

# Labels of the canonical series.
CANONICAL = {"cluster": "cluster", "group": "consumergroup", "topic": "topic"}
# How often a subquery looks: the usual evaluation interval.
STEP = "1m"


def selector(metric: Metric, matchers: Sequence[str] = ()) -> str:
    """Select the series of a metric.

    Parameters
    ----------
    metric : Metric
        With one or several names.
    matchers : sequence of str
        Further matchers, written out.

    Examples
    --------
    >>> selector(Metric(("a", "a_ratio"), "gauge", "messages"), ['topic="t"'])
    '{__name__=~"a|a_ratio",topic="t"}'
    """
    fixed = [f"{name}={quote(value)}" for name, value in metric.matchers.items()]
    if len(metric.names) == 1:
        inner = ",".join([*fixed, *matchers])
        return metric.names[0] + (f"{{{inner}}}" if inner else "")
    return "{" + ",".join([f"__name__=~{quote(alternatives(metric.names))}", *fixed, *matchers]) + "}"


def topic_matchers(metric: Metric, topics: Sequence[str] = (), pattern: str | None = None) -> list[str]:
    """Select topics: those named, a written pattern, or else all but the aggregate and Kafka's own."""
    label = metric.label("topic")
    if label is None:
        return []
    if pattern is not None:
        return [f"{label}=~{pattern}"]
    if topics:
        return [equals_any(label, topics)]
    return [f'{label}!=""', f'{label}!~"__.+"']


def grouping(metric: Metric, *roles: str) -> list[str]:
    """Return the label names of some roles, the cluster first; what the dialect lacks is left out."""
    return [label for role in ("cluster", *roles) if (label := metric.label(role))]


def _by(labels: Sequence[str]) -> str:
    return f" by ({', '.join(labels)})" if labels else ""


def lag(profile: Profile, matchers: Sequence[str] = ()) -> str:
    """Lag in messages by group and topic, in the dialect's own labels.

    Raises
    ------
    KeyError
        If the profile has no lag.

    Notes
    -----
    Replicas of an exporter are folded by ``max`` before anything is summed; an exporter's -1 ("never committed") and
    the small negatives of offsets read at different moments count as 0.
    """
    if "lag" not in profile.metrics:
        return _lag_from_offsets(profile, matchers)
    metric = profile.metrics["lag"]
    chosen = selector(metric, matchers)
    if metric.names == ("kafka_consumer_lag_sum",):
        return chosen
    by = grouping(metric, "group", "topic")
    if (partition := metric.label("partition")) is None:
        return f"max{_by(by)} ({chosen})"
    return f"sum{_by(by)} (max{_by([*by, partition])} (clamp_min({chosen}, 0)))"


def _lag_from_offsets(profile: Profile, matchers: Sequence[str]) -> str:
    end, committed = profile.metrics["end_offset"], profile.metrics["committed_offset"]
    place = grouping(end, "topic", "partition")
    by = grouping(committed, "group", "topic")
    read = f"max{_by([*by, committed.labels['partition']])} ({selector(committed, matchers)})"
    written = f"max{_by(place)} ({selector(end)})"
    # A difference keeps the labels of its many side only, so the committed offset stands first and the sign turns.
    behind = f"-1 * ({read} - on ({', '.join(place)}) group_left () {written})"
    return f"sum{_by(by)} (clamp_min({behind}, 0))"


def lag_growth(profile: Profile, window: str, matchers: Sequence[str] = ()) -> str:
    """Growth of the lag in messages a second, fitted over a window."""
    inner = lag(profile, matchers)
    plain = "lag" in profile.metrics and profile.metrics["lag"].names == ("kafka_consumer_lag_sum",)
    return f"deriv({inner}[{window}])" if plain else f"deriv(({inner})[{window}:{STEP}])"


def rate(
    metric: Metric,
    window: str,
    *,
    offset: str = "",
    matchers: Sequence[str] | None = None,
) -> str:
    """Events a second by topic: rates first, then the sum over brokers.

    Parameters
    ----------
    metric : Metric
        Of messages or bytes.
    window : str
        Range of the rate.
    offset : str
        How long ago; empty for now.
    matchers : sequence of str, optional
        Instead of those of `topic_matchers`.
    """
    chosen = selector(metric, topic_matchers(metric) if matchers is None else matchers)
    ago = f" offset {offset}" if offset else ""
    by = _by(grouping(metric, "topic"))
    if metric.kind == "delta_gauge":
        return f"sum{by} (avg_over_time({chosen}[{window}]{ago})) / 60"
    if metric.kind == "rate_gauge":
        return f"sum{by} (avg_over_time({chosen}[{window}]{ago}))"
    inner = f"rate({chosen}[{window}]{ago})"
    if metric.kind == "counter":
        return f"sum{by} ({inner})"
    if (partition := metric.label("partition")) is None:
        return f"max{by} ({inner})"
    return f"sum{by} (max{_by([*grouping(metric, 'topic'), partition])} ({inner}))"


def lag_seconds(
    profile: Profile, window: str, matchers: Sequence[str] = (), *, written: Sequence[str] | None = None
) -> str:
    """Time behind in seconds: lag over the rate at which the topic is written.

    Parameters
    ----------
    profile : Profile
        With lag by topic and messages.
    window : str
        Range of the rate.
    matchers : sequence of str
        Of the lag.
    written : sequence of str, optional
        Of the messages, instead of those of `topic_matchers`.

    Raises
    ------
    KeyError
        If either is not measured, or names no topic.

    Notes
    -----
    Messages arrive at this rate, so the oldest unread one is about this old. A topic that receives nothing has no
    such time; it is left out instead of divided by zero.
    """
    messages, behind = profile.metrics["messages_in"], profile.lag
    if behind is None:
        raise KeyError("lag")
    topic = messages.label("topic")
    arriving = f"{rate(messages, window, matchers=written)} > 0"
    roles = [role for role in ("cluster", "topic") if behind.label(role) and messages.label(role)]
    renamed = [role for role in roles if behind.label(role) != messages.label(role)]
    if topic is None or "topic" not in roles:
        raise KeyError("topic")
    for role in renamed:
        arriving = relabelled(arriving, messages.labels[role], behind.labels[role])
    on = [behind.labels[role] for role in roles]
    if renamed:
        arriving = f"max{_by(on)} ({arriving})"
    return f"{lag(profile, matchers)} / on ({', '.join(on)}) group_left () ({arriving})"


def relabelled(expr: str, source: str, target: str) -> str:
    """Copy a label under another name; values may hold anything, line breaks too."""
    return f'label_replace({expr}, "{target}", "$1", "{source}", "(?s:(.+))")'


def canonical_lag(profile: Profile) -> str:
    """Lag with the labels ``cluster`` (where there is one), ``consumergroup`` and ``topic``."""
    metric, expr = profile.lag, lag(profile)
    if metric is None:
        raise KeyError("lag")
    roles = [role for role in CANONICAL if metric.label(role)]
    renamed = [role for role in roles if metric.label(role) != CANONICAL[role]]
    for role in renamed:
        expr = relabelled(expr, metric.labels[role], CANONICAL[role])
    return f"max{_by([CANONICAL[role] for role in roles])} ({expr})" if renamed else expr


def no_leader(profile: Profile) -> str:
    """Partitions without a leader, or nobody who could elect one, or nobody who would tell.

    Notes
    -----
    ``max``, not ``sum``: every KRaft controller publishes the count from its own copy of the metadata.
    """
    offline, controllers = profile.metrics["offline_partitions"], profile.get("active_controllers")
    by = _by(grouping(offline))
    if offline.expr:
        cluster = "".join(f"{label}, " for label in grouping(offline))
        parts = [f"({offline.expr.replace('{c}', cluster)}) > 0"]
    else:
        parts = [f"max{by} ({selector(offline)}) > 0"]
    if controllers is not None:
        parts.append(f"sum{by} ({selector(controllers)}) == 0")
    parts.append(missing(offline))
    return " or ".join(parts)


def missing(metric: Metric) -> str:
    """One element when no series of the metric is there."""
    return f"absent({selector(metric)})"
