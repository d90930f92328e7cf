"""Asking a server, or a history, what it knows of Kafka."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from kmon_analysis.history import History
from kmon_analysis.kafka.dialects import recognise
from kmon_analysis.kafka.survey import Survey, examine, names_of_interest, questions
from kmon_analysis.labels import METRIC_NAME, Labels
from kmon_analysis.promql.evaluate import evaluate
from kmon_analysis.promql.parser import parse
from kmon_analysis.promql.semantics import DEFAULT_VERSION, Semantics
from kmon_analysis.sources.catalogue import ask_all, last_seen, names_now
from kmon_analysis.sources.connection import Connection
from kmon_analysis.timing import HOUR_MS

__all__ = ["survey_history", "survey_server"]


def survey_server(
    connection: Connection, *, last_ms: int | None = None, progress: Callable[[int, int], None] | None = None
) -> Survey:
    """Find the dialects, clusters, topics, groups and traps of a running Prometheus, as of now.

    Parameters
    ----------
    connection : Connection
        The server.
    last_ms : int, optional
        How far back to look where no metric of a known dialect has a sample now; the survey is as of the newest one.
    progress : callable, optional
        Told how many questions are answered, and how many there are.

    Raises
    ------
    SourceError
        If the server cannot be reached or refuses.
    """
    names, at_ms, now_ms = frozenset(names_now(connection, names_of_interest())), None, None
    if last_ms is not None and not recognise(names):
        at_ms, now_ms = last_seen(connection, names_of_interest(), last_ms)
        if at_ms is not None:
            names = frozenset(names_now(connection, names_of_interest(), at_ms=at_ms))
    found = examine(names, ask_all(connection, questions(names), at_ms=at_ms, progress=progress))
    return found if at_ms is None else replace(found, as_of_ms=at_ms, now_ms=now_ms)


def survey_history(history: History) -> Survey:
    """Find the dialects, clusters, topics, groups and traps of a history, as of its last sample.

    Parameters
    ----------
    history : History
        Recorded series; the questions for a server are evaluated on them.
    """
    times = history.series.times
    at = np.array([times.max() if len(times) else history.interval.end_ms], dtype=np.int64)
    # No question looks back further than half an hour.
    series = history.series.between(int(at[0]) - HOUR_MS, int(at[0]) + 1)
    names = names_of_interest() & {part.labels.value(METRIC_NAME) for part in series if len(part.times)}
    semantics = Semantics.of(history.provenance.server_version or DEFAULT_VERSION)
    answers: dict[str, list[tuple[Labels, float]] | None] = {
        key: [*evaluate(parse(query), series, at, semantics).at(0).items()] for key, query in questions(names).items()
    }
    return examine(names, answers)
