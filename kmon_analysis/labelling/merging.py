"""Adding incidents to a list on disk: what is there stays as it is, to the byte."""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from kmon_analysis.errors import OutputError, printable
from kmon_analysis.incidents import Excluded, Incident, Incidents, parse_incidents
from kmon_analysis.incidents_reader import read_text
from kmon_analysis.incidents_writer import block_entry, flow_entry
from kmon_analysis.labelling.phrases import counted
from kmon_analysis.rules.document import Source, is_null
from kmon_analysis.timing import format_instant

__all__ = ["Merged", "added_text", "check_target", "merge_incidents"]

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
    """

    path: Path
    added: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """What happened, in words."""
        if not self.added:
            return f"nothing to add: {self.path} is as it was"
        more = f", {counted(len(self.left_out), 'entry', 'entries')} left out" if self.left_out else ""
        return f"written: {self.path} ({counted(len(self.added), 'entry', 'entries')} added{more})"


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
    path: str | Path, incidents: Incidents, *, renumber: str | None = None, heading: Sequence[str] = ()
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

    Raises
    ------
    IncidentError
        If the file is no valid list of incidents.
    OutputError
        If it cannot be written, is a table, or is laid out so that nothing can be added without changing the rest.
    """
    check_target(path)
    path = Path(path).resolve()
    before = read_text(path) if path.exists() else None
    old = Incidents() if before is None or not before.strip() else parse_incidents(before, str(path))
    listed = _listed(incidents)
    kept, left_out = _without_known(listed, old) if renumber is None else _numbered(listed, old, renumber)
    if kept:
        text = added_text(before or "", str(path), kept, heading)
        _check(text, str(path), old, kept)
        _write(path, text, before)
    return Merged(path, tuple(each.id for each in kept), tuple(left_out))


def _listed(incidents: Incidents) -> tuple[Incident, ...]:
    """Return all incidents, whatever was decided about them."""
    return (*incidents.incidents, *incidents.suggested, *incidents.rejected)


def _without_known(entries: Sequence[Incident], old: Incidents) -> tuple[list[Incident], list[str]]:
    """Leave out the ids that a list holds."""
    there = {each.id: each for each in _listed(old)}
    kept, left_out = [], []
    for each in entries:
        known = there.get(each.id)
        if known is None:
            kept.append(each)
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
        met = next((known for known in everything if known.interval.overlaps(each.interval)), None)
        if met is None:
            last += 1
            kept.append(replace(each, id=f"{prefix}{last:03d}"))
        else:
            named = f"of {met.id!r}" if isinstance(met, Incident) else "of an excluded window"
            left_out.append(f"a suggestion for {_span(each)} is left out: the list already speaks {named} there")
    return kept, left_out


def _span(incident: Incident) -> str:
    return f"{format_instant(incident.interval.start_ms)} to {format_instant(incident.interval.end_ms)}"


def added_text(before: str, path: str, entries: Sequence[Incident], heading: Sequence[str] = ()) -> str:
    """Return the text of a list with entries added at its end.

    Parameters
    ----------
    before : str
        The text of a valid list in YAML; empty: a new one.
    path : str
        Its name, for messages.
    entries : sequence of Incident
        What is added.
    heading : sequence of str
        Paragraphs that stand before them as comments.

    Raises
    ------
    OutputError
        If the list is laid out so that nothing can be added without changing the rest.
    """
    comments = [line for paragraph in heading for line in _comment(paragraph)]
    if not before.strip():
        lines = ["  " + line for each in entries for line in block_entry(each)]
        return "\n".join([*comments, "incidents:", *lines]) + "\n"
    mark = "\ufeff" if before.startswith("\ufeff") else ""
    text = before.removeprefix("\ufeff")
    source = Source(text, path)
    top = next(iter(source.documents()), None)
    field = source.fields(top, None, "the file").get("incidents") if isinstance(top, MappingNode) else None
    if not isinstance(top, MappingNode) or field is None or field.merged or source.composed != text:
        raise _cannot(path)
    value = field.value
    blockwise = not top.flow_style
    empty = is_null(value) or (isinstance(value, SequenceNode) and not value.value)
    if blockwise and empty:
        start, end = int(value.start_mark.index), int(value.end_mark.index)
        text = text[:start].rstrip(" ") + text[end:] if end > start else text
        indent, at = 2, _line_end(text, int(field.key.end_mark.index))
    elif isinstance(value, SequenceNode) and not value.flow_style:
        indent, at = int(value.start_mark.column), _line_end(text, _content_end(value))
    elif isinstance(value, SequenceNode):
        at = int(value.end_mark.index) - 1
        inside = text[int(value.start_mark.index) + 1 : at].rstrip()
        comma = "" if not inside or inside.endswith(",") else ", "
        flow = ", ".join(map(flow_entry, entries))
        return mark + text[:at].rstrip() + comma + flow + text[at:]
    else:
        raise _cannot(path)
    line_break = "\r\n" if "\r\n" in text else "\n"
    lines = [*comments, *(line for each in entries for line in block_entry(each))]
    block = line_break.join(" " * indent + line for line in lines) + line_break
    if at and text[at - 1] not in "\r\n":
        block = line_break + block
    return mark + text[:at] + block + text[at:]


def _cannot(path: str) -> OutputError:
    return OutputError(
        "is laid out so that nothing can be added without changing the rest",
        place=path,
        cure="Write to another file, and copy the entries by hand",
    )


def _comment(paragraph: str) -> list[str]:
    import textwrap

    return [f"# {line}" for line in textwrap.wrap(printable(paragraph), _WIDTH)]


def _content_end(node: Node) -> int:
    """Return where the content of a node ends; a block's own end lies behind the comments that follow it."""
    last = node
    while isinstance(last, MappingNode | SequenceNode) and not last.flow_style and last.value:
        tail = last.value[-1]
        if isinstance(tail, tuple):
            key, value = tail
            last = key if isinstance(value, ScalarNode) and value.value == "" and value.style is None else value
        else:
            last = tail
    return int(last.end_mark.index)


def _line_end(text: str, at: int) -> int:
    """Return where the line that holds a place ends, behind its break; the place itself at the start of a line."""
    if at and text[at - 1] in "\r\n":
        return at
    found = re.compile(r"\r\n|\r|\n").search(text, at)
    return found.end() if found else len(text)


def _check(text: str, path: str, old: Incidents, kept: Sequence[Incident]) -> None:
    """Make sure that the new text says what the old one said, and what was added."""
    if parse_incidents(text, path) != replace(old, incidents=(*old.incidents, *kept)):
        raise _cannot(path)


def _write(path: Path, text: str, before: str | None) -> None:
    """Write beside and rename, unless somebody else wrote in the meantime."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        try:
            beside.write_bytes(text.encode())
            if before is not None:
                shutil.copymode(path, beside)
            if (read_text(path) if path.exists() else None) != before:
                raise OutputError("was changed in the meantime", place=str(path), cure="Run it again")
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot be written: {error.strerror or error}",
            place=str(path),
            cure="Choose a folder that you may write to, with room on its disk",
        ) from None
