"""What `kmon doctor` finds: a history or a server, and whether it holds what the rules need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kmon_analysis.errors import HistoryError, SettingError, printable
from kmon_analysis.timing import DAY_MS, WEEK_MS, format_duration, parse_duration, span

if TYPE_CHECKING:
    from prometheus_api_client import PrometheusConnect

    from kmon_analysis.history import History
    from kmon_analysis.kafka.survey import Survey
    from kmon_analysis.rules.model import RuleFile
    from kmon_analysis.sources.connection import Connection, Patience
    from kmon_analysis.sources.planning import Selection
    from kmon_analysis.sources.server import ServerInfo

__all__ = ["Examination", "examine_history", "examine_server"]

# Weekly behaviour shows in four weeks at the earliest.
WANTED_MS = 4 * WEEK_MS
# Metric names that are shown where no dialect is recognised.
MOST_SIMILAR = 20
AGES_MS = (0, DAY_MS, WEEK_MS, WANTED_MS)


@dataclass(frozen=True, slots=True)
class Examination:
    """A finding for people and for programs.

    Attributes
    ----------
    text : str
        For people.
    data : dict or list
        For programs; JSON values.
    missing : tuple of str
        What the rules need and is not there.
    """

    text: str
    data: Any
    missing: tuple[str, ...] = ()


def _needed(rules: RuleFile | None) -> tuple[Selection, ...]:
    """List what the rules need from outside; what the file itself records is made anew."""
    from kmon_analysis.workflow import needed_selections

    if rules is None:
        return ()
    recorded = {rule.record for rule in rules.recordings}
    return tuple(
        one
        for one in needed_selections(rules)
        if not any(m.name == "__name__" and m.op == "=" and m.value in recorded for m in one.matchers)
    )


def _series(count: int) -> str:
    return f"{count:,} series" if count else "nothing"


def examine_server(
    source: str | PrometheusConnect,
    rules: RuleFile | None,
    patience: Patience | None,
    *,
    stage: Callable[[str], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Examination:
    """Ask a server what it is, what it knows of Kafka, and whether it has what the rules need, today and weeks ago.

    Parameters
    ----------
    source : str or PrometheusConnect
        URL of the server, or a connection with credentials.
    rules : RuleFile, optional
        Whose needs are looked for, and whose traps.
    patience : Patience, optional
        With the server.
    stage, progress : callable, optional
        Told what is asked about, and how many of those questions are answered.

    Raises
    ------
    SourceError
        If the server cannot be reached or refuses.
    """
    from kmon_analysis.sources.connection import Connection, connect
    from kmon_analysis.sources.planning import selector
    from kmon_analysis.sources.server import ask_server

    connection = Connection(connect(source), patience)
    info = ask_server(connection)
    facts = _facts(info)
    lines = [f"{name.replace('_', ' ')}: {value}" for name, value in facts.items()]
    notes = _notes(info)
    lines += [f"note: {note}" for note in notes]
    if stage is not None:
        stage("looking for Kafka")
    kafka_lines, kafka = _kafka(connection, rules, progress)
    lines += kafka_lines
    needs, missing = [], []
    if stage is not None:
        stage("looking for what the rules need")
    for one in _needed(rules):
        name = selector(one.matchers)
        if one.fixed is not None:
            when = f"@ {(one.fixed.end_ms - 1) / 1000:.3f}"
            ranged = f"{name}[{one.fixed.duration_ms}ms] {when}"
            answer = connection.ask("/api/v1/query", {"query": f"count(last_over_time({ranged}))"})
            found = int(max((part.values[-1] for part in answer.series), default=0))
            needs.append({"selector": name, "series": {when: found}})
            lines.append(f"{name}: {_series(found)} {when}")
            if not found:
                missing.append(f"{name} {when}")
            continue
        counts = []
        for age_ms in AGES_MS:
            offset = f" offset {format_duration(age_ms)}" if age_ms else ""
            answer = connection.ask("/api/v1/query", {"query": f"count({name}{offset})"})
            counts.append(int(max((part.values[-1] for part in answer.series), default=0)))
        whens = ["now", *(f"{format_duration(age_ms)} ago" for age_ms in AGES_MS[1:])]
        needs.append({"selector": name, "series": dict(zip(whens, counts, strict=True))})
        words = ["now", *(f"{span(age_ms)} ago" for age_ms in AGES_MS[1:])]
        lines.append(f"{name}: " + ", ".join(f"{_series(n)} {when}" for n, when in zip(counts, words, strict=True)))
        if not any(counts):
            missing.append(name)
    return Examination("\n".join(lines), {**facts, "notes": notes, "needs": needs, "kafka": kafka}, tuple(missing))


def _kafka(
    connection: Connection, rules: RuleFile | None, progress: Callable[[int, int], None] | None
) -> tuple[list[str], dict[str, Any]]:
    """Survey a server's Kafka metrics, and look for traps in the rules."""
    from kmon_analysis.sources.catalogue import names_like
    from kmon_analysis.workflow_kafka import survey_server

    survey = survey_server(connection, last_ms=WANTED_MS, progress=progress)
    lines, data = _surveyed(survey, rules)
    if not survey.dialects:
        similar = names_like(connection, ("kafka", "lag"), MOST_SIMILAR)
        known = f"; it has {', '.join(similar)}" if similar else ""
        lines.append(
            printable(f"note: no metric of a known Kafka dialect has a sample in the last {span(WANTED_MS)}{known}")
        )
        data["similar"] = similar
    return lines, data


def _surveyed(survey: Survey, rules: RuleFile | None) -> tuple[list[str], dict[str, Any]]:
    """Say what a survey found, and which traps are in the rules."""
    from kmon_analysis.kafka.traps import rule_traps

    lines, data = survey.lines(), survey.to_json()
    traps = () if rules is None else rule_traps(rules, survey.aggregated)
    lines += [f"trap in {trap}" for trap in traps]
    data["rule_traps"] = [{"kind": t.kind, "rule": t.where, "problem": t.problem, "cure": t.cure} for t in traps]
    return [printable(line) for line in lines], data


def _facts(info: ServerInfo) -> dict[str, Any]:
    """Say in words what a server tells of itself."""
    scrapes = [f"{format_duration(step)} ({count} targets)" for step, count in info.scrape_intervals_ms]
    interval, lookback = info.evaluation_interval_ms, info.lookback_ms
    return {
        "server": info.place,
        "version": info.version or info.application or "unknown",
        "retention": info.retention or "unknown",
        "evaluation_interval": "unknown" if interval is None else format_duration(interval),
        "lookback": "unknown" if lookback is None else format_duration(lookback),
        "scrape_intervals": ", ".join(scrapes) or "unknown",
    }


def _notes(info: ServerInfo) -> list[str]:
    """Say what of a server weakens conclusions from it."""
    notes = []
    if info.version is None:
        notes.append("it states no Prometheus release; say with --semantics which one evaluates the rules")
    try:
        kept_ms: int | None = parse_duration(info.retention)
    except SettingError:
        kept_ms = None
    if kept_ms is not None and 0 < kept_ms < WANTED_MS:
        notes.append(
            f"it keeps {info.retention}; {span(WANTED_MS)} or more show weekly behaviour: "
            "fetch regularly, or raise --storage.tsdb.retention.time"
        )
    return notes


def examine_history(history: History, rules: RuleFile | None) -> Examination:
    """Look for gaps, resets and silence, for what it knows of Kafka, and for what the rules need."""
    from kmon_analysis.history_quality import quality
    from kmon_analysis.sources.planning import selector
    from kmon_analysis.workflow_kafka import survey_history

    found = quality(history)
    kafka_lines, kafka = _surveyed(survey_history(history), rules)
    lines = [repr(history), repr(found), *kafka_lines]
    needs: list[dict[str, Any]] = []
    missing: list[str] = []
    for one in _needed(rules):
        name, count = selector(one.matchers), len(history.series.matching(one.matchers))
        needs.append({"selector": name, "series": count})
        lines.append(f"{name}: {_series(count)}")
        if not count:
            missing.append(name)
    data = {
        **history.provenance.to_json(),
        "digest": history.digest,
        "scrape_interval_ms": _step(history),
        "findings": list(found.findings()),
        "series": _rows(found.to_frame().reset_index().to_dict("records")),
        "needs": needs,
        "kafka": kafka,
    }
    return Examination("\n".join(lines), data, tuple(missing))


def _step(history: History) -> int | None:
    try:
        return history.scrape_interval_ms
    except HistoryError:
        return None


def _rows(records: Sequence[dict[Any, Any]]) -> list[dict[str, Any]]:
    """Write instants as RFC 3339."""
    return [
        {str(name): value.isoformat() if hasattr(value, "isoformat") else value for name, value in row.items()}
        for row in records
    ]
