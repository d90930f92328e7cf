"""Asking a server what it knows of Kafka."""

from __future__ import annotations

from collections.abc import Callable

from kmon_analysis.kafka.survey import Survey, examine, names_of_interest, questions
from kmon_analysis.sources.catalogue import ask_all, names_now
from kmon_analysis.sources.connection import Connection

__all__ = ["survey_server"]


def survey_server(connection: Connection, *, progress: Callable[[int, int], None] | None = None) -> Survey:
    """Find the dialects, clusters, topics, groups and traps of a running Prometheus, as of now.

    Parameters
    ----------
    connection : Connection
        The server.
    progress : callable, optional
        Told how many questions are answered, and how many there are.

    Raises
    ------
    SourceError
        If the server cannot be reached or refuses.
    """
    names = frozenset(names_now(connection, names_of_interest()))
    return examine(names, ask_all(connection, questions(names), progress=progress))
