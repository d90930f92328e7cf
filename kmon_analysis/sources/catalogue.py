"""What metric names a server has now, and short answers about them: few questions, bounded answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from kmon_analysis.errors import SourceRefused
from kmon_analysis.labels import METRIC_NAME, Labels, quote
from kmon_analysis.sources.connection import Connection

__all__ = ["MOST_ROWS", "Row", "ask_all", "names_like", "names_now"]

Row = tuple[Labels, float]
# Rows of one answer that are looked at; questions ask for fewer.
MOST_ROWS = 1_000
_MOST_NAMES = 100_000


def names_now(connection: Connection, names: Iterable[str]) -> dict[str, int]:
    """Count the series that these metric names have now; names without any are left out.

    Parameters
    ----------
    connection : Connection
        The server.
    names : iterable of str
        Metric names, plain enough to stand in a pattern.

    Raises
    ------
    SourceError
        If the server cannot be reached, or refuses.
    """
    pattern = quote("|".join(sorted(set(names))))
    rows = _ask(connection, f"count by ({METRIC_NAME}) ({{{METRIC_NAME}=~{pattern}}})")
    return {labels.value(METRIC_NAME): int(value) for labels, value in rows}


def names_like(connection: Connection, words: Sequence[str], most: int) -> list[str]:
    """Return metric names that contain one of some words, whatever their case; at most so many.

    Raises
    ------
    SourceError
        As for `Connection.read`.
    """
    known = connection.read(f"/api/v1/label/{METRIC_NAME}/values")
    if not isinstance(known, list):
        return []
    names = (name for name in known[:_MOST_NAMES] if isinstance(name, str))
    return [name for name in names if any(word in name.lower() for word in words)][:most]


def ask_all(
    connection: Connection,
    questions: Mapping[str, str],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, list[Row] | None]:
    """Put instant queries one after the other.

    Parameters
    ----------
    connection : Connection
        The server.
    questions : Mapping
        From a key to PromQL.
    progress : callable, optional
        Told how many are answered, and how many there are.

    Returns
    -------
    dict
        From key to rows, at most `MOST_ROWS`; None where the server refuses the question, as it does when that is
        too much for it.

    Raises
    ------
    SourceUnreachable, SourceCorrupt
        As for `Connection.ask`.
    """
    answers: dict[str, list[Row] | None] = {}
    for done, (key, query) in enumerate(questions.items(), 1):
        try:
            answers[key] = _ask(connection, query)
        except SourceRefused:
            answers[key] = None
        if progress is not None:
            progress(done, len(questions))
    return answers


def _ask(connection: Connection, query: str) -> list[Row]:
    answer = connection.ask("/api/v1/query", {"query": query})
    return [(part.labels, float(part.values[-1])) for part in answer.series[:MOST_ROWS] if len(part.values)]
