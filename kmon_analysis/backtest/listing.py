"""The pages and the outcomes behind the counts of a backtest, one row each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kmon_analysis.backtest.score import Score
from kmon_analysis.history import History
from kmon_analysis.timing import format_instant

__all__ = ["outcome_rows", "page_rows"]


def page_rows(scores: Mapping[str, Score], history: History) -> Iterator[dict[str, Any]]:
    """Yield for each page its rule, start and end (RFC 3339, UTC), kind, incident and alert labels.

    ``ended_by`` tells what its end is worth: ``resolved``, ``gap`` (nothing was recorded then, so the page may have
    lasted longer) or ``end of history``.
    """
    last_ms = int(history.series.times.max(initial=history.provenance.start_ms))

    def ended_by(end_ms: int) -> str:
        if end_ms > last_ms:
            return "end of history"
        return "gap" if any(pause.start_ms <= end_ms < pause.end_ms for pause in history.silences) else "resolved"

    for rule, found in scores.items():
        for page in found.pages:
            when = page.episode.interval
            yield {
                "rule": rule,
                "start": format_instant(when.start_ms),
                "end": format_instant(when.end_ms),
                "ended_by": ended_by(when.end_ms),
                "kind": page.kind,
                "incident": page.incident,
                "labels": dict(page.episode.labels),
            }


def outcome_rows(scores: Mapping[str, Score]) -> Iterator[dict[str, Any]]:
    """Yield for each rule and incident that concerns it what became of it: status, first firing, delay in seconds.

    An alert that was already firing has no first firing: it began before the credit window.
    """
    for rule, found in scores.items():
        for outcome in (*found.outcomes, *found.optional):
            first = outcome.first_firing_ms
            yield {
                "rule": rule,
                "incident": outcome.incident.id,
                "start": format_instant(outcome.incident.interval.start_ms),
                "end": format_instant(outcome.incident.interval.end_ms),
                "must_page": outcome.incident.must_page,
                "status": outcome.status,
                "first_firing": None if first is None else format_instant(first),
                "delay_s": None if outcome.delay_ms is None else outcome.delay_ms / 1000,
            }
