"""A Grafana dashboard in the user's own metric names: plain dictionaries, the same for the same input."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kmon_analysis.errors import InputError
from kmon_analysis.incidents import Incident
from kmon_analysis.kafka import expressions
from kmon_analysis.kafka.dialects import Metric, Profile
from kmon_analysis.kafka.quoting import alternatives
from kmon_analysis.labels import quote

__all__ = ["GUIDE_TOPICS", "STARTING_LIMITS", "UID", "dashboard", "dashboard_text", "incident_queries", "limits_of"]

UID = "kmon-kafka"
GUIDE_TOPICS = ("user.registered", "developer.profile.updated")
# Thresholds of the starter rules, drawn until advice has better ones.
STARTING_LIMITS = {"HighConsumerLag": 1000.0, "LowMessageRate": 1.0, "LagSeconds": 600.0}
# Classic model: understood by every Grafana since 10, migrated by those that come.
SCHEMA = 39
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WINDOW = "$__rate_interval"
_HEIGHT, _WIDTH = 8, 24
# Incidents in one annotation query; a longer one is awkward to send.
_INCIDENTS_A_QUERY = 25


@dataclass(frozen=True, slots=True)
class _Panel:
    """One time series panel: its queries as (expression, legend)."""

    title: str
    unit: str
    description: str
    queries: tuple[tuple[str, str], ...]
    limit: tuple[str, float] | None = None


def limits_of(advice: Mapping[str, Any]) -> dict[str, float]:
    """Read the thresholds that hold after tuning from ``advice.json``: the proposed ones, else the current ones.

    Raises
    ------
    InputError
        If it is no such file.
    """
    found: dict[str, float] = {}
    try:
        for rule in advice["rules"]:
            values = rule.get("proposed") or rule["current"]
            if values.get("threshold") is not None:
                found[str(rule["rule"])] = float(values["threshold"])
    except (AttributeError, KeyError, TypeError, ValueError):
        raise InputError("is no advice.json", cure="Give the file that kmon tune wrote") from None
    return found


def _matching(metric: Metric, *roles: str) -> list[str]:
    """Select what the dashboard's variables select; raw strings, since names may hold quotes and backslashes."""
    return [f"{label}=~`${{{role}:regex}}`" for role in roles if (label := metric.label(role))]


def _legend(metric: Metric, *roles: str) -> str:
    return " · ".join(f"{{{{{label}}}}}" for label in expressions.grouping(metric, *roles)) or "all"


def _overview(profile: Profile, limits: Mapping[str, float]) -> Iterable[_Panel]:
    """Return the panels for the guide's four metrics, as far as they are measured."""
    for quantity, title, unit in (
        ("messages_in", "Messages in", "cps"),
        ("bytes_in", "Bytes in", "Bps"),
    ):
        if (metric := profile.get(quantity)) is not None:
            expr = expressions.rate(metric, _WINDOW, matchers=_matching(metric, "cluster", "topic"))
            yield _Panel(title, unit, "A second, by topic.", ((expr, _legend(metric, "topic")),))
    if profile.lag is not None:
        lag = expressions.lag(profile, _matching(profile.lag, "cluster", "topic", "group"))
        shown = ((lag, _legend(profile.lag, "group", "topic")),)
        yield _Panel("Consumer lag", "short", "Messages, by group and topic.", shown, _limit(limits, "HighConsumerLag"))
    leaders, offline = profile.get("leader_count"), profile.get("offline_partitions")
    if leaders is not None:
        by = ", ".join([*expressions.grouping(leaders), "instance"])
        cluster = "".join(f"{label}, " for label in expressions.grouping(leaders))
        own = leaders.expr.replace("{c}", cluster).replace("by () ", "")
        chosen = expressions.selector(leaders, _matching(leaders, "cluster"))
        expr, legend = (own, "broker {{broker}}") if own else (f"sum by ({by}) ({chosen})", "{{instance}}")
        yield _Panel("Leaders", "short", "Partitions that each broker leads.", ((expr, legend),))
    if offline is not None:
        expr = _offline(offline)
        yield _Panel(
            "Partitions without a leader",
            "short",
            "Any is an outage.",
            ((expr, "without a leader"),),
            ("KafkaNoLeader", 1.0),
        )


def _offline(metric: Metric) -> str:
    if metric.expr:
        cluster = "".join(f"{label}, " for label in expressions.grouping(metric))
        return f"sum({metric.expr.replace('{c}', cluster)})"
    by = expressions.grouping(metric)
    group = f" by ({', '.join(by)})" if by else ""
    return f"max{group} ({expressions.selector(metric, _matching(metric, 'cluster'))})"


def _of_topic(profile: Profile, limits: Mapping[str, float]) -> Iterable[_Panel]:
    """Return the panels of the row that repeats for each topic."""
    messages, size, committed = profile.get("messages_in"), profile.get("bytes_in"), profile.get("committed_offset")
    here = [] if messages is None else _matching(messages, "cluster", "topic")
    if messages is not None:
        written = expressions.rate(messages, _WINDOW, matchers=here)
        queries = [(written, "written")]
        if committed is not None:
            queries.append(_read(committed))
        yield _Panel(
            "Messages a second",
            "cps",
            "Written, and read by each group.",
            tuple(queries),
            _limit(limits, "LowMessageRate"),
        )
        if size is not None and size.label("topic") == messages.label("topic"):
            volume = expressions.rate(size, _WINDOW, matchers=_matching(size, "cluster", "topic"))
            yield _Panel("Bytes a second", "Bps", "Inbound.", ((volume, "bytes in"),))
            yield _Panel("Bytes a message", "bytes", "Mean size.", ((f"{volume} / ({written} > 0)", "mean size"),))
    if profile.lag is None or not profile.lag.label("topic"):
        return
    chosen = _matching(profile.lag, "cluster", "topic", "group")
    lag = ((expressions.lag(profile, chosen), _legend(profile.lag, "group")),)
    yield _Panel("Lag", "short", "Messages that wait, by group.", lag, _limit(limits, "HighConsumerLag"))
    if messages is not None:
        behind = ((expressions.lag_seconds(profile, "30m", chosen, written=here), _legend(profile.lag, "group")),)
        words = "Lag over the rate of writing: an estimate, while that rate is steady."
        yield _Panel("Time behind", "s", words, behind, _limit(limits, "LagSeconds"))


def _read(committed: Metric) -> tuple[str, str]:
    by = expressions.grouping(committed, "group", "topic")
    partition = committed.labels["partition"]
    inner = f"rate({expressions.selector(committed, _matching(committed, 'cluster', 'topic', 'group'))}[{_WINDOW}])"
    expr = f"sum by ({', '.join(by)}) (max by ({', '.join([*by, partition])}) ({inner}))"
    return expr, f"read by {_legend(committed, 'group')}"


def _limit(limits: Mapping[str, float], rule: str) -> tuple[str, float] | None:
    return (rule, limits[rule]) if rule in limits else None


def dashboard(
    profile: Profile,
    *,
    topics: Sequence[str] = GUIDE_TOPICS,
    limits: Mapping[str, float] | None = None,
    incidents: Sequence[Incident] = (),
    title: str = "Kafka",
) -> dict[str, Any]:
    """Build the dashboard.

    Parameters
    ----------
    profile : Profile
        What is called what.
    topics : sequence of str
        Topics whose rows are shown first; every other one can be chosen.
    limits : Mapping, optional
        Thresholds by alert name, drawn where they belong; those of the starter rules, if not given.
    incidents : sequence of Incident
        Shown as regions.
    title : str
        Of the dashboard.

    Returns
    -------
    dict
        Grafana's Classic model, without an internal id: to be imported or provisioned.

    Raises
    ------
    InputError
        If the profile measures nothing that could be shown.

    Notes
    -----
    Grafana documentation, "Dashboard JSON model". Panels between a repeating row and the next row repeat with it.
    """
    drawn = {**STARTING_LIMITS, **(limits or {})}
    panels: list[dict[str, Any]] = []
    top = _row(panels, "Overview", None, 0)
    top = _place(panels, list(_overview(profile, drawn)), top)
    own = list(_of_topic(profile, drawn))
    if own:
        top = _row(panels, "$topic", "topic", top)
        _place(panels, own, top)
    if len(panels) == 1:
        raise InputError("nothing that could be shown is measured", cure="Name a dialect with messages or lag")
    names = [*drawn, "KafkaNoLeader", "ConsumerLagGrowing", "MessageRateDrop", "TopicSilent", "KafkaBrokersGone"]
    return {
        "id": None,
        "uid": UID,
        "title": title,
        "description": "Made by kmon dashboard for " + ", ".join(each.title for each in profile.dialects),
        "tags": ["kafka", "kmon"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "1m",
        "timezone": "",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": _variables(profile, topics)},
        "annotations": {"list": [_alerts(sorted(set(names))), *_marks(incidents)]},
        "panels": panels,
    }


def dashboard_text(model: Mapping[str, Any]) -> str:
    """Write the model as JSON; ASCII, so that no name can hide in it."""
    return json.dumps(model, indent=2, allow_nan=False) + "\n"


def _row(panels: list[dict[str, Any]], title: str, repeat: str | None, top: int) -> int:
    row: dict[str, Any] = {
        "id": len(panels) + 1,
        "type": "row",
        "title": title,
        "collapsed": False,
        "gridPos": {"x": 0, "y": top, "w": _WIDTH, "h": 1},
        "panels": [],
    }
    if repeat is not None:
        row["repeat"] = repeat
    panels.append(row)
    return top + 1


def _place(panels: list[dict[str, Any]], shown: Sequence[_Panel], top: int) -> int:
    """Put panels side by side, three in a line."""
    for number, panel in enumerate(shown):
        where = {"x": number % 3 * 8, "y": top + number // 3 * _HEIGHT, "w": 8, "h": _HEIGHT}
        panels.append(_panel(panel, len(panels) + 1, where))
    return top + -(-len(shown) // 3) * _HEIGHT


def _panel(panel: _Panel, number: int, where: Mapping[str, int]) -> dict[str, Any]:
    words = panel.description
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.limit is not None:
        rule, value = panel.limit
        low = rule == "LowMessageRate"
        steps = [
            {"color": "red" if low else "green", "value": None},
            {"color": "green" if low else "red", "value": value},
        ]
        words += f" The line is the threshold of {rule}."
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": words,
        "datasource": _DATASOURCE,
        "gridPos": dict(where),
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": _DATASOURCE,
                "editorMode": "code",
                "expr": expr,
                "legendFormat": legend,
                "range": True,
            }
            for place, (expr, legend) in enumerate(panel.queries)
        ],
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "min": 0,
                "custom": {
                    "drawStyle": "line",
                    "fillOpacity": 10,
                    "thresholdsStyle": {"mode": "off" if panel.limit is None else "dashed"},
                },
                "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    }


def _variables(profile: Profile, topics: Sequence[str]) -> list[dict[str, Any]]:
    variables: list[dict[str, Any]] = [
        {
            "name": "datasource",
            "label": "Data source",
            "type": "datasource",
            "query": "prometheus",
            "current": {},
            "hide": 0,
        }
    ]
    messages, lag = profile.get("messages_in"), profile.lag
    some = next(iter(profile.metrics.values()))
    clustered = [each for each in (lag, messages, some) if each is not None and each.label("cluster")]
    if clustered:
        variables.append(_variable("cluster", expressions.selector(clustered[0]), clustered[0].labels["cluster"]))
    named = next((each for each in (messages, lag) if each is not None and each.label("topic")), None)
    if named is not None:
        chosen = expressions.selector(named, [*_matching(named, "cluster"), f'{named.labels["topic"]}!=""'])
        variables.append(_variable("topic", chosen, named.labels["topic"], topics))
    if lag is not None and lag.label("group"):
        chosen = expressions.selector(lag, _matching(lag, "cluster", "topic"))
        variables.append(_variable("group", chosen, lag.labels["group"]))
    return variables


def _variable(name: str, chosen: str, label: str, selected: Sequence[str] = ()) -> dict[str, Any]:
    query = f"label_values({chosen},{label})"
    usable = [each for each in selected if "`" not in each]
    return {
        "name": name,
        "label": name.capitalize(),
        "type": "query",
        "datasource": _DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": f"{name}-values", "qryType": 1},
        # Nothing writes a backtick in the raw strings of the panels; such a name is shown by All, and not offered.
        "regex": "/^[^`]*$/",
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        # Not ".*": that would take in the total of all topics, which has no topic.
        "allValue": ".*" if name == "cluster" else ".+",
        "current": {"selected": True, "text": usable or ["All"], "value": usable or ["$__all"]},
        "options": [],
        "hide": 0,
    }


def _alerts(names: Sequence[str]) -> dict[str, Any]:
    expr = f'ALERTS{{alertstate="firing",alertname=~{quote(alternatives(names))}}}'
    return _annotation("Alerts", expr, "red", "{{alertname}}", "{{severity}}")


def _annotation(name: str, expr: str, color: str, title: str, text: str) -> dict[str, Any]:
    return {
        "name": name,
        "datasource": _DATASOURCE,
        "enable": True,
        "hide": False,
        "iconColor": color,
        "expr": expr,
        "target": {"expr": expr, "refId": "Anno", "interval": "", "range": True},
        "step": "60s",
        "titleFormat": title,
        "textFormat": text,
        "tagKeys": "",
    }


def _marks(incidents: Sequence[Incident]) -> list[dict[str, Any]]:
    return [
        _annotation(f"Incidents {number}" if number > 1 else "Incidents", expr, "blue", "{{incident}}", "{{cause}}")
        for number, expr in enumerate(incident_queries(incidents), 1)
    ]


def incident_queries(incidents: Sequence[Incident]) -> list[str]:
    """Write PromQL that has one element for each incident while it lasts, labelled ``incident`` and ``cause``.

    Notes
    -----
    ``label_replace`` of the empty label sets a fixed value; in its replacement a dollar sign is written twice.
    """
    parts = []
    for each in incidents:
        expr = f"vector(time()) >= {_seconds(each.interval.start_ms)} < {_seconds(each.interval.end_ms)}"
        for label, value in (("incident", each.id), ("cause", each.cause or each.kind or "")):
            if value:
                expr = f'label_replace({expr}, "{label}", {_literal(value.replace("$", "$$"))}, "", "")'
        parts.append(expr)
    size = _INCIDENTS_A_QUERY
    return [" or ".join(parts[start : start + size]) for start in range(0, len(parts), size)]


def _literal(text: str) -> str:
    """Quote a text for PromQL so that Grafana finds none of its variables in it, as ``$name`` is one."""
    return quote(text).replace("$", "\\x24").replace("[", "\\x5b")


def _seconds(ms: int) -> str:
    return f"{ms / 1000:.3f}".rstrip("0").rstrip(".")
