"""Recording rules that give the lag of every source one name and one set of labels."""

from __future__ import annotations

from kmon_analysis.errors import SettingError
from kmon_analysis.kafka.dialects import Dialect, Metric, Profile, choose
from kmon_analysis.kafka.expressions import CANONICAL, canonical_lag
from kmon_analysis.kafka.quoting import yaml_quote
from kmon_analysis.labels import METRIC_NAME, Labels

__all__ = ["LAG", "example", "recording_rules", "recording_tests", "source_of"]

LAG = "kafka_consumer_lag_sum"


def recording_rules(dialect: Dialect, *, names: frozenset[str] | None = None, cluster: str | None = None) -> str:
    """Write a rule file that records ``kafka_consumer_lag_sum{consumergroup, topic}`` from one source.

    Parameters
    ----------
    dialect : Dialect
        A source of lag.
    names : frozenset of str, optional
        Names that exist, where a dialect has several spellings.
    cluster : str, optional
        Label that tells clusters apart.

    Raises
    ------
    SettingError
        If the dialect has no lag, or is this very series.
    """
    profile = choose((dialect,), names, cluster=cluster)
    if not profile.has_lag:
        raise SettingError(f"{dialect.name} has no consumer lag to record", cure="Name a dialect that has")
    if dialect.name == "recorded":
        raise SettingError(f"{LAG} is recorded already", cure="Name the dialect of the lag exporter")
    level = (
        "" if profile.lag is not None and profile.lag.label("topic") else "# Of groups: this source names no topics.\n"
    )
    return (
        f"# {LAG} from {dialect.title}\n{level}groups:\n- name: kafka-lag\n  rules:\n"
        f"  - record: {LAG}\n    expr: |-\n      {canonical_lag(profile)}\n"
    )


def source_of(profile: Profile, names: frozenset[str] | None = None) -> Dialect | None:
    """Return the dialect whose lag is to be recorded; None where there is none, or it is recorded already.

    Parameters
    ----------
    profile : Profile
        With its dialects.
    names : frozenset of str, optional
        Names that exist: a dialect may be there without its lag.
    """
    found = [(each, lag) for each in profile.dialects if (lag := choose((each,), names).lag) is not None]
    if any(each.name == "recorded" for each, _ in found):
        return None
    by_topic = [each for each, lag in found if lag.label("topic")]
    return next(iter([*by_topic, *(each for each, _ in found)]), None)


def example(profile: Profile, group: str, topic: str) -> tuple[list[tuple[Labels, float]], Labels, float]:
    """Return series of one group and topic, the labels of the recorded lag, and its value.

    Notes
    -----
    Two replicas of the exporter report the same, one partition holds -1 ("never committed"): neither may count.
    """
    places = {"group": group, "topic": topic, "cluster": "main"}
    metric = profile.lag
    if metric is None:
        raise KeyError("lag")
    roles = {CANONICAL[role]: places[role] for role in CANONICAL if metric.label(role)}
    out: list[tuple[Labels, float]] = []
    for replica in ("a", "b"):
        if "lag" not in profile.metrics:
            for partition, (end, committed) in enumerate(((100.0, 93.0), (40.0, 35.0), (7.0, 8.0))):
                here = {**places, "partition": str(partition)}
                out.append((_at(profile.metrics["end_offset"], here, replica), end))
                out.append((_at(profile.metrics["committed_offset"], here, replica), committed))
        elif metric.label("partition"):
            for partition, value in enumerate((7.0, 5.0, -1.0)):
                out.append((_at(metric, {**places, "partition": str(partition)}, replica), value))
        else:
            out.append((_at(metric, places, replica), 12.0))
    return out, Labels({METRIC_NAME: LAG, **roles}), 12.0


def _at(metric: Metric, places: dict[str, str], replica: str) -> Labels:
    labels = {label: places[role] for role, label in metric.labels.items() if role in places}
    return Labels({METRIC_NAME: metric.names[0], **metric.matchers, **labels, "instance": replica})


def recording_tests(
    dialect: Dialect,
    *,
    rule_file: str = "recording.yml",
    names: frozenset[str] | None = None,
    cluster: str | None = None,
) -> str:
    """Write a promtool unit test of `recording_rules`."""
    series, labels, value = example(choose((dialect,), names, cluster=cluster), "email-sender", "user.registered")
    lines = [f"rule_files: [{yaml_quote(rule_file)}]", "evaluation_interval: 1m", "tests:", "- interval: 1m"]
    lines.append("  input_series:")
    for each, number in series:
        lines += [f"  - series: {yaml_quote(str(each))}", f"    values: {yaml_quote(f'{number:g}x5')}"]
    lines += [
        "  promql_expr_test:",
        f"  - expr: {LAG}",
        "    eval_time: 3m",
        "    exp_samples:",
        f"    - labels: {yaml_quote(str(labels))}",
        f"      value: {value:g}",
    ]
    return "\n".join(lines) + "\n"
