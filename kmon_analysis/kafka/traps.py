"""Traps that Kafka metrics set for alert rules: found by name, and in the rules themselves."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from kmon_analysis.errors import sentence
from kmon_analysis.kafka.dialects import QUANTITIES, Dialect, Metric, dialects
from kmon_analysis.labels import METRIC_NAME
from kmon_analysis.promql.syntax import Aggregate, Binary, Call, Expr, MatrixSelector, VectorSelector, children
from kmon_analysis.rules.model import AlertingRule, RuleFile

__all__ = ["NamedTrap", "Trap", "named_traps", "rule_traps", "trap_names"]

_RATES = frozenset(("rate", "irate", "increase"))
_DIFFERENCES = _RATES | {"delta", "idelta", "deriv", "resets", "changes", "absent", "absent_over_time"}
_FLOORS = frozenset(("clamp_min", "clamp"))
_SETS = frozenset(("and", "or", "unless"))


@dataclass(frozen=True, slots=True)
class Trap:
    """Something that looks right and is not.

    Attributes
    ----------
    kind : str
        Short name, for programs.
    where : str
        Metric or rule.
    problem, cure : str
        In words.
    """

    kind: str
    where: str
    problem: str
    cure: str

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}. {sentence(self.cure)}"


@dataclass(frozen=True, slots=True)
class NamedTrap:
    """Metrics that are a trap by themselves."""

    kind: str
    names: frozenset[str]
    says: str
    cure: str


@lru_cache(maxsize=1)
def named_traps() -> tuple[NamedTrap, ...]:
    """Return the traps of ``traps.yml``."""
    from ruamel.yaml import YAML

    text = Path(__file__).with_name("traps.yml").read_text(encoding="utf-8")
    entries = YAML(typ="safe", pure=True).load(text)
    return tuple(
        NamedTrap(kind, frozenset(each["names"]), each["says"], each["cure"]) for kind, each in entries.items()
    )


def trap_names() -> frozenset[str]:
    """Return every metric name that is a trap."""
    return frozenset().union(*(each.names for each in named_traps()))


@lru_cache(maxsize=1)
def _known() -> Mapping[str, tuple[tuple[Dialect, str, Metric], ...]]:
    """Return what each metric name can be."""
    known: dict[str, tuple[tuple[Dialect, str, Metric], ...]] = {}
    for dialect in dialects().values():
        for quantity in QUANTITIES:
            metric = dialect.metrics.get(quantity)
            if metric is None:
                continue
            for name in metric.names:
                known[name] = (*known.get(name, ()), (dialect, quantity, metric))
    return known


def rule_traps(rules: RuleFile, aggregated: Collection[str] = ()) -> tuple[Trap, ...]:
    """Look for the traps in the rules of a file.

    Parameters
    ----------
    rules : RuleFile
        Alerting and recording rules.
    aggregated : collection of str
        Metric names under which a server is seen to hold the sum over all topics beside the topics.

    Returns
    -------
    tuple of Trap
        Each once, in file order.
    """
    found: dict[Trap, None] = {}
    for rule in rules.rules:
        is_alert = isinstance(rule, AlertingRule)
        for path in _paths(rule.expr, ()):
            for trap in _traps_of(rule.name, path, is_alert=is_alert, aggregated=aggregated):
                found.setdefault(trap)
    return tuple(found)


def _paths(expr: Expr, above: tuple[Expr, ...]) -> Iterator[tuple[Expr, ...]]:
    """Yield the way from the root to every vector selector."""
    here = (*above, expr)
    if isinstance(expr, VectorSelector):
        yield here
    elif isinstance(expr, MatrixSelector):
        yield (*here, expr.selector)
    else:
        for child in children(expr):
            yield from _paths(child, here)


def _traps_of(rule: str, path: tuple[Expr, ...], *, is_alert: bool, aggregated: Collection[str]) -> Iterator[Trap]:
    selector = path[-1]
    if not isinstance(selector, VectorSelector):
        return
    name = next((each.value for each in selector.matchers if each.name == METRIC_NAME and each.op == "="), "")
    calls = [each.function for each in path if isinstance(each, Call)]
    folds = [each for each in path if isinstance(each, Aggregate)]
    for trap in named_traps():
        if name in trap.names and _applies(trap, calls, folds):
            yield Trap(trap.kind, rule, f"{name} {trap.says}", trap.cure)
    matching = [each for each in _known().get(name, ()) if _selected(each[2], selector)]
    for dialect, _, metric in _known().get(name, ()):
        if metric.matchers and not any(each.name in metric.matchers for each in selector.matchers):
            label = next(iter(metric.matchers))
            problem = f"{name} holds several quantities, and nothing selects {label}="
            yield Trap("mixed", rule, problem, f'Add {label}="…": {dialect.name} mixes offsets, rates and times')
            return
    if not matching:
        return
    _, quantity, metric = matching[0]
    yield from _misused(rule, name, metric, calls, is_alert=is_alert)
    match quantity:
        case "messages_in" | "bytes_in":
            yield from _topic_traps(rule, name, metric, selector, calls, folds, is_alert, aggregated)
        case "lag":
            yield from _lag_traps(rule, name, metric, path, calls, folds)
        case "offline_partitions" if not metric.expr and any(each.op == "sum" for each in folds):
            problem = (
                f"sum() of {name} is too big by the number of controllers, since each KRaft controller publishes it"
            )
            yield Trap("kraft-sum", rule, problem, "Use max()")
        case "leader_count" if is_alert and not calls and not metric.expr:
            problem = f"{name} is 0 on a fresh or drained broker and gone on a dead one, so no threshold of it is sound"
            yield Trap("leader-count", rule, problem, "Alert on the number of partitions without a leader")


def _applies(trap: NamedTrap, calls: list[str], folds: list[Aggregate]) -> bool:
    if trap.kind == "rate-gauge":
        return bool(_RATES.intersection(calls))
    return trap.kind != "churn" or not folds


def _selected(metric: Metric, selector: VectorSelector) -> bool:
    """Tell whether a selector can select the metric's own series."""
    return all(
        matcher.matches(metric.matchers[matcher.name])
        for matcher in selector.matchers
        if matcher.name in metric.matchers
    )


def _misused(rule: str, name: str, metric: Metric, calls: list[str], *, is_alert: bool) -> Iterator[Trap]:
    if metric.kind in ("gauge", "rate_gauge", "delta_gauge") and _RATES.intersection(calls):
        problem = f"{name} is a gauge; rate() takes every fall of it for a reset"
        yield Trap("rate-of-gauge", rule, problem, "Use it as it is, or deriv() for its slope")
    elif metric.kind == "counter" and is_alert and not _DIFFERENCES.intersection(calls):
        problem = f"{name} is a counter that only grows, in spite of its name"
        yield Trap("counter-as-rate", rule, problem, "Use rate()")


def _topic_traps(
    rule: str,
    name: str,
    metric: Metric,
    selector: VectorSelector,
    calls: list[str],
    folds: list[Aggregate],
    is_alert: bool,
    aggregated: Collection[str],
) -> Iterator[Trap]:
    topic = metric.label("topic")
    if "absent" in calls or "absent_over_time" in calls:
        return
    sums = [each for each in folds if each.op == "sum"]
    named = any(each.name == topic for each in selector.matchers)
    by_topic = any(each.by and topic in each.grouping for each in sums)
    if sums and not named and not by_topic and metric.kind == "counter":
        seen = "the server holds" if name in aggregated else "many exporters hold"
        problem = f"the sum of {name} counts double where {seen} the total of all topics under the same name"
        yield Trap("double-count", rule, problem, f'Add {topic}!=""')
    if is_alert and not folds and metric.kind == "counter":
        problem = f"{name} is per broker and topic, so a threshold on it fires for each broker of a healthy topic"
        yield Trap("per-broker", rule, problem, f"Sum the rates: sum by ({topic}) (rate(…))")


def _lag_traps(
    rule: str, name: str, metric: Metric, path: tuple[Expr, ...], calls: list[str], folds: list[Aggregate]
) -> Iterator[Trap]:
    if metric.label("partition") is None:
        return
    floored = _FLOORS.intersection(calls) or any(isinstance(each, Binary) and each.op not in _SETS for each in path[2:])
    if any(each.op == "sum" for each in folds) and not floored:
        problem = f"{name} is -1 for a partition without a commit, and the sum takes that as a message"
        yield Trap("sentinel", rule, problem, "Put clamp_min(…, 0) around it")
    if any(each.op == "sum" for each in folds) and not any(each.op == "max" for each in folds):
        problem = f"the sum of {name} doubles with every further replica of the exporter"
        yield Trap("replicas", rule, problem, "Put max by (group, topic, partition) inside the sum")
