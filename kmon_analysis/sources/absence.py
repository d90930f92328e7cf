"""Why a server has nothing of what rules read: since when, and what its metrics are called instead."""

from __future__ import annotations

from collections.abc import Sequence

from kmon_analysis.errors import SourceError, nearest
from kmon_analysis.labels import METRIC_NAME
from kmon_analysis.sources.catalogue import last_sample, names_known
from kmon_analysis.sources.connection import Connection
from kmon_analysis.sources.planning import Selection, selector
from kmon_analysis.timing import WEEK_MS, duration, format_instant

__all__ = ["absence"]

_LOOKED_BACK_MS = 4 * WEEK_MS
_MOST_ASKED = 5


def absence(connection: Connection, selections: Sequence[Selection]) -> tuple[str, str]:
    """Return what is known of a range without samples, to follow a problem, and the cure; empty where nothing is known.

    Parameters
    ----------
    connection : Connection
        The server.
    selections : sequence of Selection
        What was asked for.
    """
    try:
        return _ended(connection, selections) or _misspelt(connection, selections) or ("", "")
    except SourceError:
        # The range is empty whatever else the server does not tell.
        return "", ""


def _ended(connection: Connection, selections: Sequence[Selection]) -> tuple[str, str] | None:
    found = []
    for one in selections[:_MOST_ASKED]:
        at_ms, now_ms = last_sample(connection, selector(one.matchers), _LOOKED_BACK_MS)
        if at_ms is not None:
            found.append((at_ms, now_ms, selector(one.matchers)))
    if not found:
        return None
    at_ms, now_ms, name = max(found)
    when = format_instant(at_ms)
    known = f"; the newest sample of {name} is of {when}, {duration(now_ms - at_ms)} ago"
    return known, f"Give a range that holds it: one that begins before {when}"


def _misspelt(connection: Connection, selections: Sequence[Selection]) -> tuple[str, str] | None:
    known = names_known(connection)
    names = [each.value for one in selections for each in one.matchers if each.name == METRIC_NAME and each.op == "="]
    for name in dict.fromkeys(names):
        near = nearest(name, known)
        if name not in known and near is not None:
            return f"; it knows no metric {name}", near
    return None
