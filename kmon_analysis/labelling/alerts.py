"""Entries from alerts: what Prometheus recorded in ``ALERTS``, and what Alertmanager knows."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kmon_analysis.errors import DataFileError, SettingError
from kmon_analysis.history import History
from kmon_analysis.incidents import Incident, Status
from kmon_analysis.labelling.imported import OWN, PAGES, Imported, LeftOut, gathered
from kmon_analysis.labelling.rows import Faults, read_bytes, shown
from kmon_analysis.labels import METRIC_NAME, Labels, Matcher
from kmon_analysis.series import Samples, is_stale
from kmon_analysis.sources.files import open_history
from kmon_analysis.sources.planning import Selection
from kmon_analysis.timing import MINUTE_MS, Interval, format_instant, parse_instant

__all__ = ["ALERTS", "entries_of", "read_alerts"]

# What a server must be asked for.
ALERTS = Selection((Matcher(METRIC_NAME, "=", "ALERTS"), Matcher("alertstate", "=~", "pending|firing")))
# Where nobody says how often rules were evaluated; Prometheus' own default.
DEFAULT_STEP_MS = MINUTE_MS
_STILL = "it still fires (--open-until gives it an end)"
_LATER = "it begins after --open-until"
_ZERO = "0001-01-01"
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def read_alerts(
    path: Path, *, status: Status = "suggested", open_until_ms: int | None = None, merge_gap_ms: int = 5 * MINUTE_MS
) -> Imported:
    """Read alerts from a file or a folder.

    Parameters
    ----------
    path : Path
        A history with ``ALERTS``, a saved answer of Prometheus' query API about it, or alerts in Alertmanager's JSON:
        an answer of ``/api/v2/alerts`` or ``/api/v2/alerts/groups``, or what it sends to a webhook.
    status : str
        What the entries are.
    open_until_ms : int, optional
        End of those that still fire; without it they are left out.
    merge_gap_ms : int
        Firing again within this time is the same entry.

    Raises
    ------
    DataFileError, HistoryError
        If it cannot be read.
    """
    if path.suffix.lower() == ".json" and path.is_file():
        faults = Faults(str(path))
        told = _parsed(path, faults)
        if not (isinstance(told, dict) and "status" in told and "data" in told):
            return _alertmanager(told, faults, status, open_until_ms)
    return entries_of(
        open_history(path), str(path), status=status, open_until_ms=open_until_ms, merge_gap_ms=merge_gap_ms
    )


def entries_of(
    history: History,
    source: str,
    *,
    status: Status = "suggested",
    open_until_ms: int | None = None,
    merge_gap_ms: int = 5 * MINUTE_MS,
) -> Imported:
    """Make an entry of each unbroken firing that a server recorded.

    Parameters
    ----------
    history : History
        With ``ALERTS``; one that fires at its end still does.
    source : str
        Where it came from, for messages.
    status, open_until_ms, merge_gap_ms
        As for `read_alerts`.

    Raises
    ------
    SettingError
        If the history holds no ``ALERTS``.

    Notes
    -----
    Prometheus ``rules/alerting.go``, ``AlertingRule.sample``: 1 at each evaluation at which the alert is pending or
    firing, a stale marker at the one after. An entry starts where its alert went pending, if that was recorded, too.
    """
    step_ms = history.provenance.extra.get("evaluation_interval_ms")
    found: list[Incident] = []
    left_out: list[LeftOut] = []
    series = early = moved = 0
    alerts = [one for one in history.series if one.labels.value(METRIC_NAME) == "ALERTS"]
    waiting = {
        one.labels.without(METRIC_NAME, "alertstate"): list(_spells(one, step_ms, 0))
        for one in alerts
        if one.labels.value("alertstate") == "pending"
    }
    for one in alerts:
        if one.labels.value("alertstate") != "firing":
            continue
        series += 1
        labels = one.labels.without(METRIC_NAME, "alertstate")
        for interval in _spells(one, step_ms, merge_gap_ms):
            early += interval.start_ms - history.interval.start_ms < (step_ms or DEFAULT_STEP_MS)
            end_ms = interval.end_ms if interval.end_ms < history.interval.end_ms else open_until_ms
            if end_ms is not None and end_ms > interval.start_ms:
                entry = _entry(labels, interval.start_ms, end_ms, "", status)
                since = _since(waiting.get(labels, ()), interval.start_ms)
                moved += since < interval.start_ms
                # The id stays that of the firing: another import without what was pending knows it.
                found.append(replace(entry, interval=Interval(since, end_ms)))
            else:
                why = _STILL if end_ms is None else _LATER
                left_out.append(LeftOut(why, f"{labels} since {format_instant(interval.start_ms)}"))
    if not series and not waiting:
        raise SettingError(
            "holds no series ALERTS", place=source, cure="Fetch it: --prometheus URL --last 30d; kmon fetch does not"
        )
    notes = [PAGES, OWN]
    if moved:
        notes.append(f"{moved} of {len(found)} start when the alert went pending, as recorded, not when it fired")
    if early:
        notes.append(f"{early} began with the history, or before it: their starts are not known")
    return gathered(found, left_out, notes, source)


def _since(waiting: Sequence[Interval], fired_ms: int) -> int:
    """Return when an alert went pending before it fired, as far as that was recorded."""
    return min((each.start_ms for each in waiting if each.start_ms < fired_ms <= each.end_ms), default=fired_ms)


def _spells(one: Samples, step_ms: int | None, merge_gap_ms: int) -> Iterator[Interval]:
    """Yield when an alert fired: from its first evaluation until one step behind its last."""
    stale = is_stale(one.values)
    steps = np.diff(one.times)
    usual = step_ms or (int(np.median(steps[~stale[1:] & ~stale[:-1]])) if np.any(~stale[1:] & ~stale[:-1]) else 0)
    usual = usual or DEFAULT_STEP_MS
    at = one.times[~stale]
    if not len(at):
        return
    # A stale marker says when it was over; without one that was a step later at the latest.
    marks = one.times[stale]
    cuts = np.flatnonzero(np.diff(at) > max(merge_gap_ms, 2 * usual))
    firsts = at[np.concatenate([[0], cuts + 1])]
    lasts = at[np.concatenate([cuts, [len(at) - 1]])]
    for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
        later = marks[(marks > last) & (marks <= last + usual)]
        yield Interval(first, int(later[0]) if len(later) else last + usual)


def _entry(labels: Labels, start_ms: int, end_ms: int, cause: str, status: Status) -> Incident:
    """Return an entry for one firing."""
    rule = labels.value("alertname")
    # What a list of incidents has no place for: names beyond letters, digits and _.
    kept = Labels(pair for pair in labels.pairs if _NAME.fullmatch(pair[0]) and pair[0] != "alertname")
    digest = hashlib.sha256(str(labels).encode("utf-8", "surrogatepass")).hexdigest()[:6]
    stamp = "".join(char for char in format_instant(start_ms) if char.isalnum())
    return Incident(
        f"{rule or 'alert'}-{stamp}-{digest}",
        Interval(start_ms, end_ms),
        kept,
        (rule,) if rule else (),
        cause=cause,
        status=status,
        suggested_by=(rule,) if rule else (),
    )


def _parsed(path: Path, faults: Faults) -> Any:
    try:
        return json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        cut = isinstance(error, json.JSONDecodeError) and error.pos >= len(error.doc.rstrip())
        problem = "ends too early: the file may be cut" if cut else f"not valid JSON: {error}"
        faults.add(problem, "Save the answer again", getattr(error, "lineno", None))
        raise DataFileError(faults.findings) from None


def _alertmanager(told: Any, faults: Faults, status: Status, open_until_ms: int | None) -> Imported:
    """Read alerts as Alertmanager writes them."""
    alerts = list(_flat(told))
    if told != [] and not alerts:
        faults.add("holds no alerts", "Save an answer of Alertmanager's /api/v2/alerts, or of Prometheus' query API")
    found: dict[str, Incident] = {}
    left_out: list[LeftOut] = []
    ended: set[tuple[Labels, int]] = set()
    # What ended first: its earlier messages, from while it fired, know no end.
    for place, alert in sorted(enumerate(alerts, 1), key=lambda each: not _resolved(each[1])):
        labels = alert.get("labels")
        if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
            faults.add(f"alert {place} has no labels, or one that is no text", "Save the answer again")
            continue
        named = Labels({_sound(name): _sound(value) for name, value in labels.items()})
        start_ms, end_ms = (_instant(alert, key, place, faults) for key in ("startsAt", "endsAt"))
        if start_ms is None:
            continue
        since = f"{named} since {format_instant(start_ms)}"
        if _resolved(alert) and end_ms is not None:
            ended.add((named, start_ms))
            why = "it lasted no time"
        elif (named, start_ms) in ended:
            continue
        else:
            end_ms, why = open_until_ms, _LATER
        if end_ms is None or end_ms <= start_ms:
            left_out.append(LeftOut(_STILL if end_ms is None else why, since))
            continue
        annotations = alert.get("annotations")
        words = annotations.get("summary") if isinstance(annotations, dict) else None
        entry = _entry(named, start_ms, end_ms, _sound(words) if isinstance(words, str) else "", status)
        if entry.id in found and found[entry.id] != entry:
            left_out.append(LeftOut("there twice", shown(entry.id)))
        found.setdefault(entry.id, entry)
    faults.settle()
    notes = [
        "Alertmanager tells of alerts that fire now, and forgets those that ended: for the past, read ALERTS from "
        "Prometheus",
        PAGES,
        OWN,
    ]
    return gathered(found.values(), left_out, notes, faults.file)


def _sound(text: str) -> str:
    """Replace halves of characters, which JSON can hold and no file."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _flat(told: Any) -> Iterator[dict[str, Any]]:
    """Yield alerts, also from groups and from what is sent to a webhook."""
    for item in told if isinstance(told, list) else [told]:
        if isinstance(item, dict) and isinstance(item.get("alerts"), list):
            yield from (each for each in item["alerts"] if isinstance(each, dict))
        elif isinstance(item, dict) and "startsAt" in item:
            yield item


def _resolved(alert: dict[str, Any]) -> bool:
    """Tell whether an alert ended; the API's own state has no word for it, and `endsAt` is then a deadline."""
    return alert.get("status") == "resolved"


def _instant(alert: dict[str, Any], key: str, place: int, faults: Faults) -> int | None:
    text = alert.get(key)
    if text is None or (isinstance(text, str) and text.startswith(_ZERO)):
        if key == "startsAt":
            faults.add(f"alert {place} has no 'startsAt'", "Save the answer again")
        return None
    try:
        return parse_instant(text if isinstance(text, str) else repr(text))
    except SettingError as error:
        faults.add(f"{key} of alert {place}: {error.problem}", error.cure or "Save the answer again")
        return None
