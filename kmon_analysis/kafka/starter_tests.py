"""Crafted histories for the starter rules, in any dialect's names: each alert fires on one and is silent on another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kmon_analysis.kafka.dialects import Metric, Profile
from kmon_analysis.kafka.hours import TrafficHours, utc_spans
from kmon_analysis.kafka.quoting import yaml_quote
from kmon_analysis.kafka.starter import Guard, Starters
from kmon_analysis.labels import METRIC_NAME, Labels

__all__ = ["Course", "Scene", "render", "scenes", "series_of", "unit_tests"]

# promtool counts from 1970-01-01T00:00Z, a Thursday.
_EPOCH_DAY = 4
_DAY, _WEEK = 24 * 60, 7 * 24 * 60
GROUP, TOPIC = "email-sender", "user.registered"
# No quiet check before the longest window of the rules is full.
_SETTLED = 80


@dataclass(frozen=True, slots=True)
class Course:
    """Values a minute apart: stretches of (first value, change a minute, number of samples); None is no sample."""

    stretches: tuple[tuple[float | None, float, int], ...]

    def values(self) -> list[float | None]:
        """Return every value."""
        return [
            None if first is None else first + change * place
            for first, change, count in self.stretches
            for place in range(count)
        ]

    def notation(self) -> str:
        """Write promtool's notation."""
        return " ".join(
            f"_x{count}" if first is None else f"{first:g}{change:+g}x{count - 1}"
            for first, change, count in self.stretches
        )


@dataclass(frozen=True, slots=True)
class Scene:
    """A crafted history and what is expected of alerts.

    Attributes
    ----------
    name : str
        In words.
    lag, messages, offline, controllers : Course
        Lag in messages; messages so far; partitions without a leader; active controllers.
    fires : tuple of (str, int)
        Alerts that must fire at a minute.
    silent : tuple of (str, int)
        Alerts that must not.
    """

    name: str
    lag: Course
    messages: Course
    offline: Course
    fires: tuple[tuple[str, int], ...] = ()
    silent: tuple[tuple[str, int], ...] = ()


def scenes(found: Starters, *, hours: TrafficHours | None = None, guard: Guard = "promql") -> tuple[Scene, ...]:
    """Return the histories that show that each rule fires, and that all are silent on a quiet one."""
    opens, length = _open(hours if guard == "promql" else None)
    names = [rule.name for rule in found.rules]
    at = opens + min(length - 1, 30)
    last, stop, end = max(at, _SETTLED) + 5, 90, 120
    lots, flat = _steady(600.0, last), _steady(0.0, last)
    little = _level(10.0, last)
    dropped = Course(((0.0, 600.0, stop), (600.0 * stop, 6.0, end - stop)))
    ended = Course(((0.0, 600.0, stop), (None, 0.0, end - stop)))
    kept = hours is not None and guard == "promql" and "LowMessageRate" in names
    closed = [("LowMessageRate", minute) for minute in (_closed(hours, at) if kept and hours is not None else ())]
    quiet = tuple((name, minute) for name in names for minute in (_SETTLED, last - 1))
    every = [
        Scene("quiet", little, lots, flat, silent=quiet),
        Scene("lag is high", _level(50_000.0, 50), lots, flat, (("HighConsumerLag", 45), ("LagSeconds", 45))),
        Scene("lag grows", Course(((0.0, 60.0, 70),)), lots, flat, (("ConsumerLagGrowing", 65),)),
        Scene("no leader", little, lots, _level(1.0, 15), (("KafkaNoLeader", 10),)),
        Scene("few messages", little, _steady(6.0, last), flat, (("LowMessageRate", at),), tuple(closed)),
        Scene("a sudden drop", little, dropped, flat, (("MessageRateDrop", stop + 15),)),
        Scene("the topic is gone", little, ended, flat, (("TopicSilent", stop + 20),)),
    ]
    out = []
    for each in every:
        fires = tuple(pair for pair in each.fires if pair[0] in names)
        if fires or each.silent:
            out.append(Scene(each.name, each.lag, each.messages, each.offline, fires, each.silent))
    return tuple(out)


def _steady(a_minute: float, count: int) -> Course:
    return Course(((0.0, a_minute, count),))


def _level(value: float, count: int) -> Course:
    return Course(((value, 0.0, count),))


def _open(hours: TrafficHours | None) -> tuple[int, int]:
    """Find the first span of at least half an hour after the epoch: its minute and its length."""
    if hours is None:
        return 0, _WEEK
    later = sorted((((start - _EPOCH_DAY * _DAY) % _WEEK), end - start) for start, end in utc_spans(hours))
    return next(((start, length) for start, length in later if length >= 30), later[0])


def _closed(hours: TrafficHours, last: int) -> list[int]:
    """Return one minute outside the hours, if there is one before the end."""
    spans = utc_spans(hours)
    for minute in range(30, last, 10):
        in_week = (minute + _EPOCH_DAY * _DAY) % _WEEK
        if not any(start <= in_week < end for start, end in spans):
            return [minute]
    return []


def series_of(metric: Metric, places: Mapping[str, str]) -> Labels:
    """Return a series of a metric, with the given topic, group, partition and cluster as far as it has such labels."""
    labels = {METRIC_NAME: metric.names[0], **metric.matchers}
    labels |= {label: places.get(role, role) for role, label in metric.labels.items()}
    return Labels(labels)


def render(profile: Profile, scene: Scene, *, group: str = GROUP, topic: str = TOPIC) -> list[tuple[Labels, Course]]:
    """Write a history in the names of a profile.

    Notes
    -----
    One partition; a dialect that counts in per-minute deltas gets the differences.
    """
    places = {"group": group, "topic": topic, "partition": "0", "cluster": "main"}
    out: list[tuple[Labels, Course]] = []
    if "lag" in profile.metrics:
        out.append((series_of(profile.metrics["lag"], places), scene.lag))
        if (committed := profile.get("committed_offset")) is not None:
            out.append((series_of(committed, places), scene.messages))
    elif profile.has_lag:
        out.append((series_of(profile.metrics["end_offset"], places), scene.lag))
        out.append((series_of(profile.metrics["committed_offset"], places), _level(0.0, _length(scene.lag))))
    out += [
        (series_of(metric, places), _counted(metric, scene.messages))
        for quantity in ("messages_in", "bytes_in")
        if (metric := profile.get(quantity)) is not None
    ]
    return out + _brokers(profile, scene, places)


def _counted(metric: Metric, course: Course) -> Course:
    if metric.kind in ("counter", "offset_gauge"):
        return course
    scale = 1.0 if metric.kind == "delta_gauge" else 1 / 60
    levels = tuple((None if first is None else change * scale, 0.0, count) for first, change, count in course.stretches)
    return Course(levels)


def _brokers(profile: Profile, scene: Scene, places: Mapping[str, str]) -> list[tuple[Labels, Course]]:
    out: list[tuple[Labels, Course]] = []
    length = _length(scene.offline)
    offline = profile.get("offline_partitions")
    if offline is not None and offline.expr:
        # kafka_exporter: the number of partitions, and a series a partition that has a leader.
        is_down = scene.offline.stretches[0][0] == 1
        out.append((series_of(offline, places), _level(1.0, length)))
        leader = Labels({METRIC_NAME: "kafka_topic_partition_leader", "topic": places["topic"], "partition": "0"})
        out += [] if is_down else [(leader, _level(1.0, length))]
    elif offline is not None:
        out.append((series_of(offline, places), scene.offline))
    for quantity in ("active_controllers", "leader_count"):
        metric = profile.get(quantity)
        if metric is not None and not metric.expr:
            out.append((series_of(metric, places), _level(1.0, length)))
    return out


def _length(course: Course) -> int:
    return sum(count for *_, count in course.stretches)


def unit_tests(
    found: Starters,
    profile: Profile,
    *,
    rule_file: str = "rules.yml",
    hours: TrafficHours | None = None,
    guard: Guard = "promql",
    topics: Sequence[str] = (),
) -> str:
    """Write promtool unit tests: every rule fires on its crafted history, all are silent on the quiet one."""
    lines = [f"rule_files: [{yaml_quote(rule_file)}]", "evaluation_interval: 1m", "tests:"]
    for scene in scenes(found, hours=hours, guard=guard):
        lines += [f"- name: {yaml_quote(scene.name)}", "  interval: 1m", "  input_series:"]
        for labels, course in render(profile, scene, topic=topics[0] if topics else TOPIC):
            lines.append(f"  - series: {yaml_quote(str(labels))}")
            lines.append(f"    values: {yaml_quote(course.notation())}")
        lines.append("  promql_expr_test:")
        for name, minute in scene.fires:
            lines += _expected(name, minute, "1")
        for name, minute in scene.silent:
            lines += _expected(name, minute, None)
    return "\n".join(lines) + "\n"


def _expected(alert: str, minute: int, value: str | None) -> list[str]:
    query = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})'
    samples = [] if value is None else [f"    - {{labels: '{{}}', value: {value}}}"]
    head = "    exp_samples: []" if value is None else "    exp_samples:"
    return [f"  - expr: {yaml_quote(query)}", f"    eval_time: {minute}m", head, *samples]
