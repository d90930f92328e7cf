"""What metric names a server has now, and short answers about them: few questions, bounded answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from kmon_analysis.errors import SourceRefused
from kmon_analysis.labels import METRIC_NAME, Labels, quote
from kmon_analysis.sources.connection import Connection

__all__ = ["MOST_ROWS", "Row", "ask_all", "last_sample", "last_seen", "names_known", "names_like", "names_now"]

Row = tuple[Labels, float]
# Rows of one answer that are looked at; questions ask for fewer.
MOST_ROWS = 1_000
_MOST_NAMES = 100_000
# In so many steps a range is looked through.
_STEPS = 200
# Nearer than the lookback of any server, so that no sample lies between two steps.
_NEAR_S = 60


def names_now(connection: Connection, names: Iterable[str], *, at_ms: int | None = None) -> dict[str, int]:
    """Count the series that these metric names have now, or had at an instant; names without any are left out.

    Parameters
    ----------
    connection : Connection
        The server.
    names : iterable of str
        Metric names, plain enough to stand in a pattern.
    at_ms : int, optional
        When; None: now, by the server's clock.

    Raises
    ------
    SourceError
        If the server cannot be reached, or refuses.
    """
    rows = _ask(connection, f"count by ({METRIC_NAME}) ({_any_of(names)})", at_ms)
    return {labels.value(METRIC_NAME): int(value) for labels, value in rows}


def last_seen(connection: Connection, names: Iterable[str], last_ms: int) -> tuple[int | None, int]:
    """Find the newest sample that any of these metric names has.

    Parameters
    ----------
    connection : Connection
        The server.
    names : iterable of str
        Metric names, plain enough to stand in a pattern.
    last_ms : int
        How far back to look.

    Returns
    -------
    tuple of (int or None, int)
        Its time, None where there is none, and what the server's clock says.

    Raises
    ------
    SourceError
        If the server cannot be reached, or refuses.
    """
    return last_sample(connection, _any_of(names), last_ms)


def last_sample(connection: Connection, chosen: str, last_ms: int) -> tuple[int | None, int]:
    """Find the newest sample of what a selector selects, and the server's time, as `last_seen` does."""
    now_s = int(_ask(connection, "vector(time())")[0][1])
    step_s = max(-(-last_ms // (1000 * _STEPS)), 1)
    found = _latest(connection, f"count(count_over_time({chosen}[{step_s}s]))", now_s - _STEPS * step_s, now_s, step_s)
    if found is None:
        return None, now_s * 1000
    begin_s = found[0] // 1000 - step_s
    exact = _latest(connection, f"max(timestamp({chosen}))", begin_s, found[0] // 1000, min(_NEAR_S, step_s))
    return found[0] if exact is None else round(1000 * exact[1]), now_s * 1000


def _latest(connection: Connection, query: str, start_s: int, end_s: int, step_s: int) -> tuple[int, float] | None:
    """Return the last step at which a query has an answer, and that."""
    asked = {"query": query, "start": str(start_s), "end": str(end_s), "step": str(step_s)}
    parts = [part for part in connection.ask("/api/v1/query_range", asked).series if len(part.times)]
    return (int(parts[0].times[-1]), float(parts[0].values[-1])) if parts else None


def _any_of(names: Iterable[str]) -> str:
    return f"{{{METRIC_NAME}=~{quote('|'.join(sorted(set(names))))}}}"


def names_like(connection: Connection, words: Sequence[str], most: int) -> list[str]:
    """Return metric names that contain one of some words, whatever their case; at most so many.

    Raises
    ------
    SourceError
        As for `Connection.read`.
    """
    return [name for name in names_known(connection) if any(word in name.lower() for word in words)][:most]


def names_known(connection: Connection) -> list[str]:
    """Return the metric names that a server knows, of any time; at most a hundred thousand.

    Raises
    ------
    SourceError
        As for `Connection.read`.
    """
    known = connection.read(f"/api/v1/label/{METRIC_NAME}/values")
    return [name for name in known[:_MOST_NAMES] if isinstance(name, str)] if isinstance(known, list) else []


def ask_all(
    connection: Connection,
    questions: Mapping[str, str],
    *,
    at_ms: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, list[Row] | None]:
    """Put instant queries one after the other.

    Parameters
    ----------
    connection : Connection
        The server.
    questions : Mapping
        From a key to PromQL.
    at_ms : int, optional
        When; None: now, by the server's clock.
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
            answers[key] = _ask(connection, query, at_ms)
        except SourceRefused:
            answers[key] = None
        if progress is not None:
            progress(done, len(questions))
    return answers


def _ask(connection: Connection, query: str, at_ms: int | None = None) -> list[Row]:
    when = {} if at_ms is None else {"time": f"{at_ms / 1000:.3f}"}
    answer = connection.ask("/api/v1/query", {"query": query, **when})
    return [(part.labels, float(part.values[-1])) for part in answer.series[:MOST_ROWS] if len(part.values)]
