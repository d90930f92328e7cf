"""Labelled truth: which incidents happened when, which alerts they concern, and what not to count.

A file of incidents is YAML::

    incidents:
      - id: INC-101
        start: 2026-03-01T08:00:00Z        # with its zone; from `start` up to, not including, `end`
        end: 2026-03-01T09:10:00+00:00
        labels: {topic: user.registered}   # optional: which series it concerns
        rules: [HighConsumerLag]           # optional: which rules should have seen it; none named: all
        must_page: true                    # optional: false for one that nobody needs to be woken for
        detected: 2026-03-01T08:20:00Z     # optional: when people knew of it, whoever told them
        kind: slow consumer                # optional
        cause: index rebuild               # optional
      - id: SUG-001
        start: 2026-03-05T10:00:00Z
        end: 2026-03-05T10:40:00Z
        status: suggested                  # nobody has decided yet; or rejected. Left out: it is confirmed
        suggested_by: [HighConsumerLag]    # optional: whose breaches it was suggested from
    excluded:
      - {start: 2026-03-08T02:00:00Z, end: 2026-03-08T04:00:00Z, reason: maintenance}
    reviewed:                              # false pages that somebody looked at; they still count
      - start: 2026-03-09T14:00:00Z
        end: 2026-03-09T14:20:00Z
        decision: noise
        labels: {topic: user.registered}   # optional, as for incidents
        rules: [HighConsumerLag]           # optional, as for incidents
        by: ana                            # optional, like when (an instant) and note

or CSV with the columns ``id, start, end`` and any of
``labels, rules, must_page, kind, cause, detected, status, suggested_by``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from kmon_analysis.errors import Finding, IncidentError, nearest, printable
from kmon_analysis.labels import Labels
from kmon_analysis.tabular import MOST_ROWS, Cell, html_table, shortened
from kmon_analysis.timing import Interval, duration, format_end, format_instant

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "STATUSES",
    "Coverage",
    "Excluded",
    "Incident",
    "Incidents",
    "Reviewed",
    "Status",
    "format_incidents",
    "labels_agree",
    "parse_incidents",
    "read_incidents",
]


Status = Literal["confirmed", "suggested", "rejected"]
STATUSES: tuple[Status, ...] = ("confirmed", "suggested", "rejected")


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident.

    Attributes
    ----------
    id : str
        Its name, unique in a list.
    interval : Interval
        When it was on, half-open, in milliseconds UTC.
    labels : Labels
        Which series it concerns; empty: all. Any mapping of text is accepted.
    rules : tuple of str
        Names of the rules that should have seen it; empty: all.
    must_page : bool
        Whether a rule that misses it is unacceptable.
    kind, cause : str
        Free text; `kind` groups incidents in reports.
    detected_ms : int or None
        When people knew of it, not before its start; None where nobody wrote it down.
    status : {"confirmed", "suggested", "rejected"}
        What a person decided about it; only what is confirmed is truth.
    suggested_by : tuple of str
        Names of the rules from whose own breaches the window was suggested: that they find it proves little.
    line, column : int or None
        Where it stands in its file; no part of its identity.
    """

    id: str
    interval: Interval
    labels: Mapping[str, str] = field(default_factory=Labels)
    rules: tuple[str, ...] = ()
    must_page: bool = True
    kind: str = ""
    cause: str = ""
    detected_ms: int | None = None
    status: Status = "confirmed"
    suggested_by: tuple[str, ...] = ()
    line: int | None = field(default=None, compare=False, repr=False)
    column: int | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", Labels(self.labels))

    def concerns(self, rule: str, labels: Mapping[str, str]) -> bool:
        """Tell whether an alert of this rule with these labels should see the incident.

        Notes
        -----
        It should when the incident names the rule (or none), and every label that both have is
        equal: an alert that aggregates the topic away still concerns an incident of one topic.
        """
        return (not self.rules or rule in self.rules) and labels_agree(self.labels, labels)


@dataclass(frozen=True, slots=True)
class Excluded:
    """A window in which pages count neither as right nor as false, such as announced maintenance."""

    interval: Interval
    reason: str = ""
    labels: Mapping[str, str] = field(default_factory=Labels)
    line: int | None = field(default=None, compare=False, repr=False)
    column: int | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", Labels(self.labels))

    def concerns(self, labels: Mapping[str, str]) -> bool:
        """Tell whether pages of an alert with these labels are to be left out in this window."""
        return labels_agree(self.labels, labels)


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A false page that somebody looked at and found to be noise.

    It is not asked about again, and counts as a false page like any other.

    Attributes
    ----------
    interval : Interval
        When the page was on.
    decision : str
        ``noise``; incidents and expected events have lists of their own.
    labels : Labels
        Which alerts it is about; empty: all.
    rules : tuple of str
        Names of rules; empty: all.
    by, note : str
        Who said so, and why.
    when_ms : int or None
        When that was said, in milliseconds UTC.
    """

    interval: Interval
    decision: str = "noise"
    labels: Mapping[str, str] = field(default_factory=Labels)
    rules: tuple[str, ...] = ()
    by: str = ""
    when_ms: int | None = None
    note: str = ""
    line: int | None = field(default=None, compare=False, repr=False)
    column: int | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", Labels(self.labels))

    def concerns(self, rule: str, labels: Mapping[str, str]) -> bool:
        """Tell whether it is about pages of this rule with these labels."""
        return (not self.rules or rule in self.rules) and labels_agree(self.labels, labels)


class Coverage(NamedTuple):
    """How a list lies in a history: incidents wholly outside (`errors`) and cut by its ends (`warnings`)."""

    errors: tuple[Finding, ...]
    warnings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Incidents:
    """A checked list of incidents and excluded windows, in the order of the file.

    Attributes
    ----------
    incidents : tuple of Incident
        The truth: what counts in every score. Ids are distinct over all three tuples of incidents.
    excluded : tuple of Excluded
        Windows in which no page counts.
    reviewed : tuple of Reviewed
        False pages that need no second look; they change no score.
    path : str
        Where the list came from, for messages; no part of its identity.
    suggested : tuple of Incident
        Windows that a person has yet to decide on; no truth, and counted nowhere.
    rejected : tuple of Incident
        Suggestions that a person decided against; ordinary time, kept so that nobody suggests them again.
    """

    incidents: tuple[Incident, ...] = ()
    excluded: tuple[Excluded, ...] = ()
    path: str = field(default="<incidents>", compare=False)
    reviewed: tuple[Reviewed, ...] = ()
    suggested: tuple[Incident, ...] = ()
    rejected: tuple[Incident, ...] = ()

    def __post_init__(self) -> None:
        seen: set[str] = set()
        listed = (*self.incidents, *self.suggested, *self.rejected)
        # Each goes where its own status says, so that a suggestion is never taken for truth by accident.
        for name, status in zip(("incidents", "suggested", "rejected"), STATUSES, strict=True):
            object.__setattr__(self, name, tuple(each for each in listed if each.status == status))
        for incident in listed:
            if incident.id in seen:
                raise IncidentError(
                    [Finding(f"id {incident.id!r} is used twice", self.path, cure="Give each incident its own id")]
                )
            seen.add(incident.id)

    def __len__(self) -> int:
        return len(self.incidents)

    def __iter__(self) -> Iterator[Incident]:
        return iter(self.incidents)

    def __getitem__(self, incident_id: str) -> Incident:
        for incident in self.incidents:
            if incident.id == incident_id:
                return incident
        raise KeyError(incident_id)

    def concerning(self, rule: str, labels: Mapping[str, str]) -> tuple[Incident, ...]:
        """Return the incidents that an alert of this rule with these labels should see."""
        return tuple(incident for incident in self.incidents if incident.concerns(rule, labels))

    def excluding(self, labels: Mapping[str, str]) -> tuple[Interval, ...]:
        """Return the windows in which pages of an alert with these labels do not count."""
        return tuple(window.interval for window in self.excluded if window.concerns(labels))

    def within(self, history: Interval) -> Incidents:
        """Return the list without what lies wholly outside the history."""
        return Incidents(
            tuple(incident for incident in self.incidents if incident.interval.overlaps(history)),
            tuple(window for window in self.excluded if window.interval.overlaps(history)),
            self.path,
            tuple(page for page in self.reviewed if page.interval.overlaps(history)),
            tuple(each for each in self.suggested if each.interval.overlaps(history)),
            tuple(each for each in self.rejected if each.interval.overlaps(history)),
        )

    def check_decided(self) -> tuple[Finding, ...]:
        """Return one finding about all suggestions that nobody has confirmed or rejected, at the first; none: empty."""
        if not self.suggested:
            return ()
        first, *others = self.suggested
        more = f" and {len(others)} more are suggestions" if others else " is a suggestion"
        problem = f"{first.id!r}{more} that nobody has decided on, and no {'incidents' if others else 'incident'}"
        place = self.path if self.path.endswith((".yml", ".yaml", ".json")) else "FILE"
        cure = f"Decide with: kmon incidents review --incidents {place} … (or write status: confirmed or rejected)"
        return (self._finding(first, problem, cure),)

    def require_decided(self) -> None:
        """Refuse a list with suggestions that nobody has decided on: an answer would treat them as ordinary time.

        Raises
        ------
        IncidentError
            With their number and the way to decide.
        """
        undecided = self.check_decided()
        if undecided:
            raise IncidentError(undecided)

    def check_circular(self) -> tuple[str, ...]:
        """Return a sentence for each rule that is scored on incidents suggested from its own breaches."""
        rules = dict.fromkeys(name for each in self.incidents for name in each.suggested_by)
        sentences = []
        for rule in rules:
            scored = [each for each in self.incidents if each.concerns(rule, {})]
            own = sum(rule in each.suggested_by for each in scored)
            if own:
                sentences.append(
                    f"of the {_counted(len(scored), 'incident')} that {rule} is scored on, its own breaches suggested "
                    f"{own}: that it finds them is no evidence for it"
                )
        return tuple(sentences)

    def check_within(self, history: Interval) -> Coverage:
        """Compare the list with the span of a history.

        Parameters
        ----------
        history : Interval
            Span with recorded samples.

        Returns
        -------
        Coverage
            Errors: incidents of which the history holds nothing. Warnings: incidents that it cuts.
        """
        errors, warnings = [], []
        span = f"{format_instant(history.start_ms)} to {format_end(history.end_ms)}"
        for incident in self.incidents:
            what, when = f"incident {incident.id!r}", incident.interval
            if not when.overlaps(history):
                side = "ends before" if when.end_ms <= history.start_ms else "starts after"
                problem = f"{what} {side} the history, which spans {span}"
                errors.append(self._finding(incident, problem, "Fetch that time as well, or leave the incident out"))
            elif when.start_ms < history.start_ms or when.end_ms > history.end_ms:
                side, means = "ends after", "only the part inside is seen"
                if when.start_ms < history.start_ms:
                    side, means = "starts before", "it is not scored, and pages within it are not false"
                problem = f"{what} {side} the history, which spans {span}; {means}"
                warnings.append(self._finding(incident, problem, "Fetch more history to see all of it"))
        return Coverage(tuple(errors), tuple(warnings))

    def check_rules(self, names: Iterable[str]) -> tuple[Finding, ...]:
        """Return a finding for each incident that names rules which are not among `names`."""
        known = list(names)
        found = []
        for incident in self.incidents:
            strange = [rule for rule in incident.rules if rule not in known]
            if strange:
                many = len(strange) > 1
                what = f"rule{'s' * many} {', '.join(map(repr, strange))}, which {'are' if many else 'is'}"
                cure = next(filter(None, (nearest(rule, known) for rule in strange)), None)
                problem = f"incident {incident.id!r} names the {what} not in the rule file"
                found.append(
                    self._finding(incident, problem, cure or "Correct the name, or remove 'rules' to mean all")
                )
        return tuple(found)

    def _finding(self, incident: Incident, problem: str, cure: str) -> Finding:
        return Finding(problem, self.path, incident.line, incident.column, cure)

    def to_frame(self) -> pd.DataFrame:
        """Return the incidents as a frame: one row each, times in UTC, `duration` as a time delta."""
        import pandas as pd

        unknown = np.iinfo(np.int64).min  # NumPy's not-a-time
        starts, ends, detected = (
            pd.to_datetime(np.array(instants, dtype=np.int64).view("datetime64[ms]"), utc=True)
            for instants in (
                [each.interval.start_ms for each in self.incidents],
                [each.interval.end_ms for each in self.incidents],
                [unknown if each.detected_ms is None else each.detected_ms for each in self.incidents],
            )
        )
        return pd.DataFrame(
            {
                "id": pd.Series([each.id for each in self.incidents], dtype="str"),
                "start": starts,
                "end": ends,
                "duration": ends - starts,
                "labels": pd.Series([_label_text(each.labels) for each in self.incidents], dtype="str"),
                "rules": pd.Series([", ".join(each.rules) for each in self.incidents], dtype="str"),
                "must_page": pd.Series([each.must_page for each in self.incidents], dtype="bool"),
                "kind": pd.Series([each.kind for each in self.incidents], dtype="str"),
                "cause": pd.Series([each.cause for each in self.incidents], dtype="str"),
                "detected": detected,
            }
        ).set_index("id")

    def __repr__(self) -> str:
        rows = ("  ".join(shortened(printable(cell), 80) for cell in row) for row in self._rows(MOST_ROWS))
        more = [f"  … and {len(self) - MOST_ROWS:,} more"] if len(self) > MOST_ROWS else []
        return "\n".join([self._headline(), *(f"  {row}".rstrip() for row in rows), *more])

    def _repr_html_(self) -> str:
        words = ("yes" if each.must_page else "no" for each in self.incidents)
        rows = [(*row, must, each.cause) for row, must, each in zip(self._rows(), words, self.incidents, strict=True)]
        header = ("id", "start", "length", "concerns", "kind", "must page", "cause")
        table = html_table(header, rows, caption=self._headline(), left={0, 1, 3, 4, 5, 6}, most=MOST_ROWS)
        if not self.excluded:
            return table
        windows = [
            (
                format_instant(window.interval.start_ms),
                Cell(duration(window.interval.duration_ms), window.interval.duration_ms),
                _label_text(window.labels),
                window.reason,
            )
            for window in self.excluded
        ]
        caption = "Excluded windows: pages in them count for nothing"
        return table + html_table(
            ("start", "length", "concerns", "reason"), windows, caption=caption, left={0, 2, 3}, most=MOST_ROWS
        )

    def _headline(self) -> str:
        must = sum(each.must_page for each in self.incidents)
        parts = [f"{_counted(len(self), 'incident')} ({must} must page)"]
        parts.append(_counted(len(self.excluded), "excluded window"))
        if self.reviewed:
            parts.append(f"{_counted(len(self.reviewed), 'page')} reviewed as noise")
        if self.suggested:
            parts.append(f"{_counted(len(self.suggested), 'suggestion')} that nobody confirmed")
        if self.rejected:
            parts.append(f"{len(self.rejected)} rejected")
        return ", ".join(parts)

    def _rows(self, most: int | None = None) -> list[tuple[str, ...]]:
        return [
            (
                each.id,
                format_instant(each.interval.start_ms),
                Cell(duration(each.interval.duration_ms), each.interval.duration_ms),
                " ".join(filter(None, [_label_text(each.labels), ", ".join(each.rules)])),
                each.kind,
            )
            for each in self.incidents[:most]
        ]


def read_incidents(path: str | Path) -> Incidents:
    """Read a list of incidents.

    Parameters
    ----------
    path : str or Path
        A YAML file (``.yml``, ``.yaml``, ``.json``) or a table (``.csv``, ``.tsv``), in UTF-8.

    Raises
    ------
    IncidentError
        With every finding in the file, each with line and column.
    """
    from kmon_analysis.incidents_reader import read_text

    path = Path(path)
    text = read_text(path)
    return parse_incidents(text, str(path), table=path.suffix.lower() in (".csv", ".tsv"))


def parse_incidents(text: str, path: str = "<string>", *, table: bool = False) -> Incidents:
    """Read the text of a list of incidents.

    Parameters
    ----------
    text : str
        YAML, or CSV when `table`.
    path : str
        Name for messages.
    table : bool
        Whether the text is CSV (comma, semicolon or tab; the header decides).

    Raises
    ------
    IncidentError
        With every finding in the text.

    Examples
    --------
    >>> parse_incidents("incidents: [{id: a, start: 2026-03-01T08:00:00Z, end: 2026-03-01T08:30:00Z}]")
    1 incident (1 must page), 0 excluded windows
      a  2026-03-01T08:00:00Z  30 min
    """
    from kmon_analysis.incidents_reader import parse_table, parse_yaml

    return parse_table(text, path) if table else parse_yaml(text, path)


def format_incidents(incidents: Incidents) -> str:
    """Write a list of incidents as YAML; reading it gives an equal list, and the same list the same text.

    Notes
    -----
    Times are quoted, since other YAML readers would take them for dates and lose the zone.
    """
    from kmon_analysis.incidents_writer import write_yaml

    return write_yaml(incidents)


def labels_agree(mine: Mapping[str, str], alert: Mapping[str, str]) -> bool:
    """Tell whether two label sets agree on every label that both have."""
    return all(alert.get(name) in (None, "", value) for name, value in mine.items())


def _label_text(labels: Mapping[str, str]) -> str:
    return str(labels) if labels else ""


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
