"""How a server's process runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kmon_analysis.errors import SettingError
from kmon_analysis.labels import Labels
from kmon_analysis.sources.catalogue import ask_all
from kmon_analysis.sources.connection import Connection
from kmon_analysis.timing import parse_duration, parse_instant

__all__ = ["Process", "ask_process"]

# The kernel tells when a process started less exactly than the process itself.
_SAME_START_MS = 60_000
_ITSELF = "process_start_time_seconds and on (job, instance) prometheus_build_info"


@dataclass(frozen=True, slots=True)
class Process:
    """The server's process.

    Attributes
    ----------
    started_ms : int or None
        When it started.
    itself : Labels or None
        The target as which the server scrapes itself.
    grace_ms, tolerance_ms : int or None
        ``--rules.alert.for-grace-period`` and ``--rules.alert.for-outage-tolerance``.
    """

    started_ms: int | None = None
    itself: Labels | None = None
    grace_ms: int | None = None
    tolerance_ms: int | None = None


def ask_process(connection: Connection) -> Process:
    """Ask a server about its process.

    Raises
    ------
    SourceError
        If the server cannot be reached.
    """
    runtime = connection.read("/api/v1/status/runtimeinfo")
    flags = connection.read("/api/v1/status/flags")
    started = runtime.get("startTime") if isinstance(runtime, dict) else None
    started_ms = None
    if isinstance(started, str):
        try:
            started_ms = parse_instant(started)
        except SettingError:
            started_ms = None
    itself = None
    rows = ask_all(connection, {"": _ITSELF})[""] or []
    near = [
        labels for labels, value in rows if started_ms is not None and abs(value * 1000 - started_ms) < _SAME_START_MS
    ]
    if len(near) == 1:
        itself = near[0].only(("job", "instance"))
    return Process(
        started_ms,
        itself,
        _flag(flags, "rules.alert.for-grace-period"),
        _flag(flags, "rules.alert.for-outage-tolerance"),
    )


def _flag(flags: Any, name: str) -> int | None:
    text = flags.get(name) if isinstance(flags, Mapping) else None
    try:
        return parse_duration(text) if isinstance(text, str) else None
    except SettingError:
        return None
