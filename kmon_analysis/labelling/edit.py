"""Adding entries to a list of incidents in its file: what stands there stays, byte for byte."""

from __future__ import annotations

import dataclasses
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from kmon_analysis.errors import IncidentError, OutputError, SettingError
from kmon_analysis.incidents import Excluded, Incident, Incidents, Reviewed, parse_incidents
from kmon_analysis.incidents_reader import read_text
from kmon_analysis.incidents_writer import block_entry, entry_fields, flow_entry
from kmon_analysis.rules.document import Field, Source, is_null
from kmon_analysis.rules.scalars import block_end

__all__ = ["EMPTY", "Draft", "IncidentFile", "appended", "decided", "rewritten"]

EMPTY = "incidents: []\n"
Entry = Incident | Excluded | Reviewed
Entries = Sequence[Entry]
_LISTS: dict[type, str] = {Incident: "incidents", Excluded: "excluded", Reviewed: "reviewed"}
_REST_OF_LINE = re.compile(r"[^\r\n]*")
_BREAK = re.compile(r"\r\n|\r|\n")


def appended(text: str, *entries: Entry, comments: Sequence[str] = ()) -> str:
    r"""Return a list of incidents with more entries, and every other byte as it was.

    Parameters
    ----------
    text : str
        The list, in YAML or JSON.
    *entries : Incident, Excluded or Reviewed
        All of one kind; they go to the end of its list, in the style of the entries before them.
    comments : sequence of str
        Lines that stand before them; left out where the list is written in brackets.

    Raises
    ------
    IncidentError
        If `text` is no valid list, or an entry's id is taken.
    SettingError
        If the list is written so that nothing can be added, for example as an alias.

    Examples
    --------
    >>> from kmon_analysis.timing import Interval
    >>> text = "incidents: []  # none yet\n"
    >>> print(appended(text, Excluded(Interval(0, 60_000), "deploy")), end="")
    incidents: []  # none yet
    excluded:
      - start: "1970-01-01T00:00:00Z"
        end: "1970-01-01T00:01:00Z"
        reason: deploy
    """
    before = parse_incidents(text)
    if not entries:
        return text
    [name] = {_LISTS[type(entry)] for entry in entries}
    longer: dict[str, Any] = {name: (*getattr(before, name), *entries)}
    if name == "incidents":
        # In the order of the file, whatever was decided about them.
        listed = (*before.incidents, *before.suggested, *before.rejected, *entries)
        longer = {"incidents": listed, "suggested": (), "rejected": ()}
    wanted = dataclasses.replace(before, **longer)
    try:
        edited = _Editor(text, comments).add(name, entries)
        if parse_incidents(edited) == wanted:
            return edited
    except IncidentError:
        pass
    raise SettingError(
        f"cannot add to the list {name!r}: it is written in a way that a new entry would change",
        cure=f"Write {name!r} out as a list with '- ' in front of each entry, without anchors and '...', and end the "
        "file with a line break",
    )


def decided(text: str, entry: Incident, changed: Incident) -> str:
    r"""Return a list of incidents with fields of one entry changed in place, and every other byte as it was.

    Parameters
    ----------
    text : str
        The list, in YAML or JSON.
    entry : Incident
        As it stands in the list.
    changed : Incident
        What it is to say.

    Raises
    ------
    IncidentError
        If `text` is no valid list, or the new id is taken.
    SettingError
        If the entry is written so that it cannot be changed alone, for example as an alias.

    Examples
    --------
    >>> text = "incidents:\n- {id: a, start: 2026-03-01T08:00:00Z, end: 2026-03-01T09:00:00Z, status: suggested}\n"
    >>> [found] = parse_incidents(text).suggested
    >>> print(decided(text, found, dataclasses.replace(found, status="rejected")), end="")
    incidents:
    - {id: a, start: 2026-03-01T08:00:00Z, end: 2026-03-01T09:00:00Z, status: rejected}
    """
    return rewritten(text, [(entry, changed)])


def rewritten(text: str, changes: Sequence[tuple[Incident, Incident]]) -> str:
    """Return a list of incidents with fields of some entries changed in place, and every other byte as it was.

    Parameters
    ----------
    text : str
        The list, in YAML or JSON.
    changes : sequence of (Incident, Incident)
        Each as it stands in the list, and what it is to say.

    Raises
    ------
    IncidentError
        If `text` is no valid list, or a new id is taken.
    SettingError
        If an entry is written so that it cannot be changed alone, for example as an alias.
    """
    before = parse_incidents(text)
    new = {entry.id: changed for entry, changed in changes}
    listed = tuple(new.get(each.id, each) for each in _in_file_order(before))
    wanted = dataclasses.replace(before, incidents=listed, suggested=(), rejected=())
    try:
        edited = _Editor(text).change(changes)
        if parse_incidents(edited) == wanted:
            return edited
    except IncidentError:
        pass
    raise SettingError(
        f"cannot change {', '.join(repr(entry.id) for entry, _ in changes[:3])} in place: written in a way that other "
        "entries share",
        cure="Write the entries out, without anchors and aliases",
    )


def _in_file_order(incidents: Incidents) -> list[Incident]:
    listed = (*incidents.incidents, *incidents.suggested, *incidents.rejected)
    return sorted(listed, key=lambda each: (each.line or 0, each.column or 0))


def _flow(entries: Entries) -> str:
    return ", ".join(map(flow_entry, entries))


class _Editor:
    """Finds the place for a new entry."""

    def __init__(self, text: str, comments: Sequence[str] = ()) -> None:
        self.comments = comments
        self.mark = "\ufeff" if text.startswith("\ufeff") else ""
        self.text = text.removeprefix("\ufeff")
        self.source = Source(self.text, "<list>")
        top = self.source.documents()[0]
        if not isinstance(top, MappingNode):
            raise SettingError("a list of incidents is a mapping", cure="Put the list under 'incidents:'")
        self.top = top
        self.fields = self.source.fields(top, None, "the file")
        found = _BREAK.search(self.text)
        self.line_break = found[0] if found else "\n"

    def add(self, name: str, entries: Entries) -> str:
        """Return the text with entries at the end of a list."""
        field = self.fields.get(name)
        if field is None:
            return self._new_list(name, entries)
        items = field.value
        if isinstance(items, SequenceNode) and items.value:
            add = self._into_flow if items.flow_style else self._into_block
            return add(items, entries)
        return self._into_empty(field, entries)

    def change(self, changes: Sequence[tuple[Incident, Incident]]) -> str:
        """Return the text with the fields of entries that differ written anew, or behind their status or end."""
        items = {_id_of(each): each for each in self.fields["incidents"].value.value}
        edits = [edit for entry, changed in changes for edit in self._edits(items[entry.id], entry, changed)]
        found = self.text
        for start, end, text in sorted(edits, reverse=True):
            found = found[:start] + text + found[end:]
        return self.mark + found

    def _edits(self, item: MappingNode, entry: Incident, changed: Incident) -> list[tuple[int, int, str]]:
        """Return what changes an entry: from where to where the text is replaced, and by what."""
        new, old = entry_fields(changed), entry_fields(entry)
        nodes = {str(key.value): value for key, value in item.value}
        edits: list[tuple[int, int, str]] = []
        added: list[str] = []
        for name in dict.fromkeys([*old, *new]):
            if new.get(name) == old.get(name):
                continue
            text = new.get(name, _UNSAID.get(name, '""'))
            node = nodes.get(name)
            if node is None:
                added.append(f'"{name}": {text}' if item.flow_style else f"{name}: {text}")
            else:
                quoted = self.text[self.source.start(node)] in "\"'"
                plain = name == "status" and not quoted
                edits.append((self.source.start(node), self._end_of_value(node), text.strip('"') if plain else text))
        last = nodes.get("status", nodes["end"])
        column = int(item.value[0][0].start_mark.column)
        joint = ", " if item.flow_style else self.line_break + " " * column
        at = self._end(last) if item.flow_style else self._line_end(self._end(last))
        return edits + ([(at, at, "".join(joint + each for each in added))] if added else [])

    def _end_of_value(self, node: Node) -> int:
        """Return where a value's text ends, without the line break of a block scalar."""
        end = self._end(node)
        while self.text[end - 1 : end] in ("\n", "\r"):
            end -= 1
        return end

    def _new_list(self, name: str, entries: Entries) -> str:
        if self.top.flow_style:
            last = self._end(self.top)
            separator = ", " if self.top.value else ""
            return self._spliced(last, last, f'{separator}"{name}": [{_flow(entries)}]')
        column = int(self.top.start_mark.column)
        opening = "" if not self.text or self.text.endswith(("\n", "\r")) else self.line_break
        lines = [" " * column + f"{name}:", *self._indented(column + self._list_indent(), entries)]
        end = len(self.text)
        return self._spliced(end, end, opening + self.line_break.join(lines) + self.line_break)

    def _into_flow(self, items: SequenceNode, entries: Entries) -> str:
        at = self._end(items.value[-1])
        return self._spliced(at, at, f", {_flow(entries)}")

    def _into_block(self, items: SequenceNode, entries: Entries) -> str:
        column = self._dash_column(items)
        at = self._after_lines(self._end(items.value[-1]), column)
        return self._lines_at(at, self._indented(column, entries))

    def _into_empty(self, field: Field, entries: Entries) -> str:
        """Fill a list that is written as nothing, ``null`` or ``[]``."""
        node = field.value
        start, end = int(node.start_mark.index), int(node.end_mark.index)
        if isinstance(node, SequenceNode) and (self.top.flow_style or end - start > len("[]")):
            # Something stands between the brackets: white space or a comment.
            return self._spliced(start + 1, start + 1, _flow(entries))
        if self.top.flow_style:
            return self._spliced(start, end, f"[{_flow(entries)}]")
        colon = self.text.index(":", int(field.key.end_mark.index)) + 1
        empty = is_null(node) and not str(getattr(node, "value", ""))
        if not empty and "#" in self.text[colon:start]:
            # A comment between the key and its null or [] would go with it.
            return self._spliced(start, end, f"[{_flow(entries)}]")
        cut = self if empty else _Editor(self._spliced(colon, end, ""), self.comments)
        column = int(self.top.start_mark.column)
        at = cut._after_lines(colon, column)
        return self.mark + cut._lines_at(at, self._indented(column + self._list_indent(), entries)).removeprefix(
            "\ufeff"
        )

    def _list_indent(self) -> int:
        """Return how far the other lists of the file are indented below their key."""
        for field in self.fields.values():
            node = field.value
            if isinstance(node, SequenceNode) and node.value and not node.flow_style:
                return self._dash_column(node) - int(field.key.start_mark.column)
        return 2

    def _dash_column(self, items: SequenceNode) -> int:
        """Return the column of a block list's dashes; its mark may be an anchor in front of them."""
        dash = self.source.start(items)
        return dash - max(self.text.rfind(each, 0, dash) for each in "\r\n") - 1

    def _plain_times(self) -> bool:
        """Tell whether the file writes times without quotes."""
        for field in self.fields.values():
            for item in field.value.value if isinstance(field.value, SequenceNode) else []:
                for key, value in item.value if isinstance(item, MappingNode) else []:
                    if getattr(key, "value", "") in ("start", "end") and isinstance(value, ScalarNode):
                        return value.style is None
        return False

    def _indented(self, column: int, entries: Entries) -> list[str]:
        plain = self._plain_times()
        lines = [line for entry in entries for line in block_entry(entry, plain_times=plain)]
        return [" " * column + line for line in (*(f"# {line}" for line in self.comments), *lines)]

    def _end(self, node: Node) -> int:
        """Return where a node's own text ends; for a mapping in braces, where its last value does."""
        if isinstance(node, ScalarNode):
            if node.style in ("|", ">"):
                end = block_end(self.source.composed, self.source.start(node), str(node.value))
                return int(node.end_mark.index) if end is None else end
            return int(node.end_mark.index)
        if getattr(node, "flow_style", False) and node is not self.top:
            return int(node.end_mark.index)
        parts = [part for pair in node.value for part in pair] if isinstance(node, MappingNode) else list(node.value)
        return max((self._end(part) for part in parts), default=self.source.start(node) + 1)

    def _after_lines(self, at: int, column: int) -> int:
        """Return the end of the line at an offset, or of the comments below it that belong to the same entry."""
        if self.text[at - 1 : at] in ("\n", "\r"):
            # Block scalars end behind their line break.
            at -= 2 if self.text[at - 2 : at] == "\r\n" else 1
        end = self._line_end(at)
        while found := _BREAK.match(self.text, end):
            line_end = self._line_end(found.end())
            line = self.text[found.end() : line_end]
            body = line.lstrip(" ")
            if not body.startswith("#") or len(line) - len(body) <= column:
                break
            end = line_end
        return end

    def _line_end(self, at: int) -> int:
        found = _REST_OF_LINE.match(self.text, at)
        return found.end() if found else at

    def _lines_at(self, at: int, lines: Iterable[str]) -> str:
        """Put lines behind the line that ends at an offset."""
        return self._spliced(at, at, "".join(self.line_break + line for line in lines))

    def _spliced(self, start: int, end: int, text: str) -> str:
        return self.mark + self.text[:start] + text + self.text[end:]


# What a field that is not to be said any more says instead; the keys stay, with their comments.
_UNSAID = {"status": '"confirmed"', "must_page": "true", "labels": "{}", "rules": "[]", "suggested_by": "[]"}


def _id_of(item: Node) -> str:
    pairs = item.value if isinstance(item, MappingNode) else []
    return next((str(value.value) for key, value in pairs if getattr(key, "value", "") == "id"), "")


@dataclass(frozen=True, slots=True)
class IncidentFile:
    """A list of incidents on disk as it was read, to be replaced only while it is still that.

    Attributes
    ----------
    path : Path
        Where it is.
    text : str
        Its content; that of an empty list where there is no such file yet.
    exists : bool
        Whether it was there.
    """

    path: Path
    text: str
    exists: bool = True

    @classmethod
    def open(cls, path: str | Path) -> IncidentFile:
        """Read a file, or begin one.

        Raises
        ------
        IncidentError
            If it cannot be read or is no list of incidents.
        SettingError
            If it is a table, which has no place for anything but incidents.
        """
        place = Path(path)
        if place.suffix.lower() in (".csv", ".tsv"):
            raise SettingError(
                "a table has no place for expected events and noise",
                place=str(place),
                cure="Write the list as YAML: km.read_incidents reads it, "
                "kmon_analysis.incidents.format_incidents writes it",
            )
        exists = os.path.lexists(place)
        text = read_text(place) if exists else EMPTY
        parse_incidents(text, str(place))
        return cls(place, text, exists)

    @property
    def incidents(self) -> Incidents:
        """What the file says."""
        return parse_incidents(self.text, str(self.path))

    def written(self, text: str) -> IncidentFile:
        """Replace the file's content, whole or not at all.

        Raises
        ------
        OutputError
            If somebody else changed the file since it was read, or it cannot be written.
        """
        # The file itself is replaced, not a link to it.
        target = Path(os.path.realpath(self.path))
        temporary = ""
        try:
            handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            self._check_unchanged(target)
            Path(temporary).chmod(target.stat().st_mode & 0o7777 if self.exists else 0o666 & ~_umask())
            Path(temporary).replace(target)
        except OSError as error:
            raise OutputError(
                f"cannot write: {error.strerror or error}",
                place=str(self.path),
                cure="Check its folder's permissions and free space",
            ) from None
        finally:
            if temporary:
                Path(temporary).unlink(missing_ok=True)
        return IncidentFile(self.path, text)

    def _check_unchanged(self, target: Path) -> None:
        now = target.read_bytes() if target.exists() else None
        if now != (self.text.encode("utf-8") if self.exists else None):
            raise OutputError(
                "was changed by someone else since it was read; nothing was written",
                place=str(self.path),
                cure="Start again: it goes on with the file as it is now",
            )


class Draft(IncidentFile):
    """A list of incidents that is changed in memory only."""

    @classmethod
    def of(cls, file: IncidentFile) -> Draft:
        """Begin with what a file says."""
        return cls(file.path, file.text, file.exists)

    def written(self, text: str) -> Draft:
        """Return the changed list; the file stays as it is."""
        return Draft(self.path, text, self.exists)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
