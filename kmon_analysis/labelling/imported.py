"""Incidents of another tool, and what could not be taken over from it."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kmon_analysis.errors import printable
from kmon_analysis.incidents import Incident, Incidents
from kmon_analysis.labelling.merging import Merged, merge_incidents
from kmon_analysis.labelling.phrases import counted
from kmon_analysis.tabular import MOST_ROWS, Cell, html_list, html_table, text_lines, text_table
from kmon_analysis.timing import duration, format_instant

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["OWN", "PAGES", "Imported", "LeftOut", "gathered", "summary"]

PAGES = (
    "An entry that a page opened says that the page came, not that anything was wrong. A rule that is scored on its "
    "own pages finds them all."
)
OWN = (
    "An incident that was made from a rule's own alerts is no evidence for that rule: 'suggested_by' says so, and its "
    "delay is that of its own 'for'. Correct the start to when the trouble began."
)
_MOST_ALIKE = 3


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An entry that was not taken over.

    Attributes
    ----------
    why : str
        The reason, the same words for all that share it.
    what : str
        Which one, with its place.
    """

    why: str
    what: str


@dataclass(frozen=True, repr=False)
class Imported:
    """What was read from another tool.

    Attributes
    ----------
    incidents : Incidents
        In the order of their start.
    left_out : tuple of LeftOut
        What was not taken over.
    notes : tuple of str
        What should be known about the rest.
    source : str
        Where it came from.
    services : Mapping
        The service of each entry that the user's mapping speaks of, by id.
    """

    incidents: Incidents
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]
    source: str
    services: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.incidents) + len(self.incidents.suggested)

    def write(self, path: str | Path, *, replace: bool = False) -> Merged:
        """Add them to a list of incidents, which keeps its entries, their order and its comments.

        Parameters
        ----------
        path : str or Path
            A new file, or a list in YAML; an id that it holds is left out.
        replace : bool
            Give entries that it holds the rules and labels of the mapping, where they say nothing yet or what all of
            their service say; what stands apart was written by hand and stays, as do times, causes and comments.

        Raises
        ------
        IncidentError
            If the file is no valid list of incidents.
        OutputError
            If it cannot be written, or is a table.
        """
        services = self.services if replace else None
        return merge_incidents(path, self.incidents, heading=(f"From {self.source}.",), services=services)

    def to_frame(self) -> pd.DataFrame:
        """Return one row an entry, as `Incidents.to_frame` does, with its status."""
        import pandas as pd

        listed = self._listed()
        frame = Incidents(tuple(_confirmed(listed))).to_frame()
        frame["status"] = pd.Series([each.status for each in listed], index=frame.index, dtype="str")
        return frame

    def _listed(self) -> list[Incident]:
        """Return all entries in the order of their start."""
        both = (*self.incidents.incidents, *self.incidents.suggested)
        return sorted(both, key=lambda each: (each.interval, each.id))

    def to_json(self) -> list[dict[str, Any]]:
        """Return JSON values, as the list on disk has them."""
        return [
            {
                "id": each.id,
                "start": format_instant(each.interval.start_ms),
                "end": format_instant(each.interval.end_ms),
                "labels": dict(each.labels),
                "rules": list(each.rules),
                "kind": each.kind,
                "cause": each.cause,
                "status": each.status,
                "suggested_by": list(each.suggested_by),
            }
            for each in self._listed()
        ]

    def _table(self) -> tuple[list[str], list[list[str]]]:
        header = ["id", "start (UTC)", "length", "concerns", "kind", "cause", "status"]
        rows = [
            [
                each.id,
                format_instant(each.interval.start_ms),
                Cell(duration(each.interval.duration_ms), each.interval.duration_ms),
                f"{', '.join(each.rules)}{each.labels or ''}" or "everything",
                each.kind,
                each.cause,
                each.status,
            ]
            for each in self._listed()
        ]
        return header, rows

    def table(self) -> str:
        """Return the entries as aligned text."""
        return text_table(*self._table(), left=7, most=MOST_ROWS)

    @property
    def headline(self) -> str:
        """How many there are, and how many were left out."""
        suggested = len(self.incidents.suggested)
        parts = [counted(len(self), "entry", "entries") + f" from {printable(self.source)}"]
        parts += [f"{suggested:,} of them to be confirmed"] if suggested else []
        parts += [f"{len(self.left_out):,} left out"] if self.left_out else []
        return ", ".join(parts)

    def __repr__(self) -> str:
        return "\n".join([self.headline, self.table(), *text_lines([*summary(self.left_out), *self.notes])])

    def _repr_html_(self) -> str:
        words = {0, 1, 3, 4, 5, 6}
        table = html_table(*self._table(), caption=self.headline, left=words, most=MOST_ROWS)
        return table + html_list([*summary(self.left_out), *self.notes])


def _confirmed(incidents: Iterable[Incident]) -> Iterable[Incident]:
    """Return them as if they were confirmed, to be shown in one table."""
    import dataclasses

    return (dataclasses.replace(each, status="confirmed") for each in incidents)


def summary(left_out: Sequence[LeftOut]) -> tuple[str, ...]:
    """Say what was left out: of each reason the first three, and how many more."""
    lines = []
    counts = Counter(each.why for each in left_out)
    for why, count in counts.items():
        named = [each.what for each in left_out if each.why == why][:_MOST_ALIKE]
        more = f" and {count - len(named):,} more" if count > len(named) else ""
        lines.append(f"left out, {why}: {', '.join(named)}{more}")
    return tuple(printable(line) for line in lines)


def gathered(
    entries: Iterable[Incident],
    left_out: Sequence[LeftOut],
    notes: Sequence[str],
    source: str,
    services: Mapping[str, str] | None = None,
) -> Imported:
    """Put entries in order, and note those that lie over each other."""
    ordered = sorted(entries, key=lambda each: (each.interval, each.id))
    overlapping = sum(
        earlier.interval.overlaps(later.interval) and set(earlier.rules) == set(later.rules)
        for earlier, later in itertools.pairwise(ordered)
    )
    said = list(notes)
    if overlapping:
        said.append(
            f"{counted(overlapping, 'entry overlaps', 'entries overlap')} the one before of the same rules: a page is "
            "credited to one of them only; where they are one incident, write them as one"
        )
    return Imported(Incidents(tuple(ordered), path=source), tuple(left_out), tuple(said), source, services or {})
