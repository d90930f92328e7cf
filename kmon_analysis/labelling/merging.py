"""Adding incidents to a list on disk: what is there stays as it is, to the byte."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kmon_analysis.errors import OutputError, printable
from kmon_analysis.incidents import Excluded, Incident, Incidents, parse_incidents
from kmon_analysis.incidents_reader import read_text
from kmon_analysis.labelling.edit import IncidentFile, appended, rewritten
from kmon_analysis.labelling.phrases import counted
from kmon_analysis.labelling.remapping import remapped
from kmon_analysis.timing import Interval, format_instant

__all__ = ["Merged", "check_target", "merge_incidents", "same_matter"]

_WIDTH = 100


@dataclass(frozen=True, slots=True)
class Merged:
    """What became of incidents that were added to a list.

    Attributes
    ----------
    path : Path
        The list.
    added : tuple of str
        Ids of those that it did not hold yet.
    left_out : tuple of str
        A sentence for each of the others.
    changed : tuple of str
        A sentence for each that the list held and that concerns other rules or series now.
    """

    path: Path
    added: tuple[str, ...]
    left_out: tuple[str, ...]
    changed: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """What happened, in words."""
        if not self.added and not self.changed:
            return f"nothing to add: {self.path} " + ("is as it was" if self.path.exists() else "was not made")
        more = f", {counted(len(self.left_out), 'entry', 'entries')} left out" if self.left_out else ""
        remapped = f", {len(self.changed):,} mapped anew" if self.changed else ""
        return f"written: {self.path} ({counted(len(self.added), 'entry', 'entries')} added{remapped}{more})"


def check_target(path: str | Path) -> None:
    """Say before the work that nothing could be added to a file.

    Raises
    ------
    OutputError
        If it is a folder or a table, or its own folder does not exist.
    IncidentError
        If it is no valid list.
    """
    path = Path(path)
    if path.suffix.lower() in (".csv", ".tsv"):
        raise OutputError(
            "is a table, and entries are written as YAML", place=str(path), cure="Name a file that ends in .yml"
        )
    if path.is_dir():
        raise OutputError("is a folder, not a file", place=str(path), cure="Name a file in it")
    if not path.parent.is_dir():
        raise OutputError("lies in no folder that is there", place=str(path), cure="Make the folder first")
    if path.exists():
        parse_incidents(read_text(path), str(path))


def merge_incidents(
    path: str | Path,
    incidents: Incidents,
    *,
    renumber: str | None = None,
    heading: Sequence[str] = (),
    services: Mapping[str, str] | None = None,
) -> Merged:
    """Add incidents to a list on disk, or begin one.

    Parameters
    ----------
    path : str or Path
        A list in YAML, or a new file. Entries, order, comments and line ends of what is there stay.
    incidents : Incidents
        What is added, at the end of the list, with the status that it has here; its excluded windows are not.
    renumber : str, optional
        Beginning of the ids, such as ``SUG-``: new ones are numbered behind those in the list, and those at a time
        that the list already speaks of are left out. None: ids stay, and an id that is there is left out.
    heading : sequence of str
        Paragraphs that stand before them as comments.
    services : Mapping, optional
        The service of each entry whose rules and labels replace those in the list, by id; see
        `kmon_analysis.labelling.remapping.remapped`. All else that the list says of it stays.

    Raises
    ------
    IncidentError
        If the file is no valid list of incidents.
    SettingError
        If it is laid out so that nothing can be added without changing the rest.
    OutputError
        If it cannot be written, or is a table.
    """
    check_target(path)
    file = IncidentFile.open(path)
    old = file.incidents
    listed = _listed(incidents)
    there = {each.id: each for each in _listed(old)}
    changed, told = remapped(there, listed, services or {}, file.text)
    if renumber is None:
        kept, left_out = _without_known(listed, there, told)
    else:
        kept, left_out = _numbered(listed, old, renumber)
    text = rewritten(file.text, [(there[name], new) for name, new in changed.items()]) if changed else file.text
    if kept:
        comments = [line for paragraph in heading for line in _wrapped(paragraph)]
        # A new list begins with what is to be known about it.
        above = "" if file.exists else "".join(f"# {line}\n" for line in comments)
        text = above + appended(text, *kept, comments=comments if file.exists else ())
    if text != file.text:
        file.written(text)
    sentences = tuple(told[name] for name in changed)
    return Merged(Path(path), tuple(each.id for each in kept), tuple(left_out), sentences)


def same_matter(known: Incident | Excluded, interval: Interval, labels: Mapping[str, str]) -> bool:
    """Tell whether an entry may speak of the same: at that time, and no label of both differs."""
    agree = all(labels.get(name, value) == value for name, value in known.labels.items())
    return agree and known.interval.overlaps(interval)


def _listed(incidents: Incidents) -> tuple[Incident, ...]:
    """Return all incidents, whatever was decided about them."""
    return (*incidents.incidents, *incidents.suggested, *incidents.rejected)


def _without_known(
    entries: Sequence[Incident], there: Mapping[str, Incident], told: Mapping[str, str]
) -> tuple[list[Incident], list[str]]:
    """Leave out the ids that a list holds; of some is told already what became of them."""
    kept, left_out = [], []
    for each in entries:
        known = there.get(each.id)
        if known is None:
            kept.append(each)
            continue
        if each.id in told:
            if "keeps" in told[each.id]:
                left_out.append(told[each.id])
            continue
        differs = "" if known.interval == each.interval else f", from {_span(known)} instead of {_span(each)}"
        left_out.append(f"{each.id!r} is in the list already{differs}: it stays as it is")
    return kept, left_out


def _numbered(entries: Sequence[Incident], old: Incidents, prefix: str) -> tuple[list[Incident], list[str]]:
    """Number entries behind those of a list, without those at a time that it speaks of."""
    everything: list[Incident | Excluded] = [*_listed(old), *old.excluded]
    used = [re.fullmatch(re.escape(prefix) + "([0-9]{1,9})", each.id) for each in _listed(old)]
    last = max((int(match[1]) for match in used if match), default=0)
    kept: list[Incident] = []
    left_out = []
    for each in entries:
        met = next((known for known in everything if same_matter(known, each.interval, each.labels)), None)
        if met is None:
            last += 1
            kept.append(replace(each, id=f"{prefix}{last:03d}"))
        else:
            named = f"of {met.id!r}" if isinstance(met, Incident) else "of an excluded window"
            left_out.append(f"a suggestion for {_span(each)} is left out: the list already speaks {named} there")
    return kept, left_out


def _span(incident: Incident) -> str:
    return f"{format_instant(incident.interval.start_ms)} to {format_instant(incident.interval.end_ms)}"


def _wrapped(paragraph: str) -> list[str]:
    import textwrap

    return textwrap.wrap(printable(paragraph), _WIDTH)
