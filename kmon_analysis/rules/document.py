"""YAML with positions: findings that point into the source, and mappings with their keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.scanner import Scanner

from kmon_analysis.errors import Finding
from kmon_analysis.promql.syntax import Span
from kmon_analysis.rules.scalars import properties_end, source_spans

__all__ = ["Field", "Source", "is_null", "kind_of"]

_NULLS = ("", "~", "null", "Null", "NULL")
_MERGE = "tag:yaml.org,2002:merge"
_MOST_TEXT = 5_000_000
_MOST_LEVELS = 100
# Characters that are read again because of tabs; ruamel.yaml reads some 100,000 a second.
_MOST_READ_AGAIN = 100_000


class _Scanner(Scanner):
    """Refuses deep nesting, for which the usual scanner needs time that grows with the square of the depth."""

    def fetch_flow_collection_start(self, *arguments: Any, **options: Any) -> None:
        """Open a bracket."""
        self._check(len(self.flow_context))
        super().fetch_flow_collection_start(*arguments, **options)

    def add_indent(self, column: int) -> bool:
        """Begin a deeper block."""
        self._check(len(self.indents))
        return bool(super().add_indent(column))

    def scan_to_next_token(self) -> None:
        """Pass blanks; a tab behind a colon is one, too (YAML 1.2, 6.2)."""
        super().scan_to_next_token()
        reader = self.reader
        while reader.peek() == "\t" and reader.buffer[max(reader.pointer - 80, 0) : reader.pointer].rstrip(
            " \t"
        ).endswith(":"):
            reader.forward()
            super().scan_to_next_token()

    def _check(self, levels: int) -> None:
        if levels >= _MOST_LEVELS:
            mark = self.reader.get_mark()
            raise MarkedYAMLError(None, None, f"nested more than {_MOST_LEVELS} levels deep", mark)


@dataclass(frozen=True, slots=True)
class Field:
    """One entry of a mapping.

    Attributes
    ----------
    key : ScalarNode
        The key.
    value : Node
        The value; shared with its anchor where it was written as an alias.
    merged : bool
        Whether the entry came in through ``<<``.
    """

    key: ScalarNode
    value: Node
    merged: bool = False


@dataclass(slots=True)
class Source:
    """A YAML text and what was found wrong with it.

    Attributes
    ----------
    text, path : str
        The source and its name.
    composed : str
        The text that the nodes were made from: tabs that ruamel.yaml refuses and YAML allows are blanks.
    findings : list of Finding
        Faults, in the order of discovery.
    """

    text: str
    path: str
    findings: list[Finding] = field(default_factory=list)
    composed: str = ""

    def finding(self, where: int | Node, problem: str, cure: str | None = None) -> Finding:
        """Describe a fault at an offset or node."""
        index = where if isinstance(where, int) else self.start(where)
        before = self.text[:index]
        line_start = max(before.rfind("\n"), before.rfind("\r")) + 1
        line_end = min((at for at in map(self.text[index:].find, "\r\n") if at >= 0), default=len(self.text) - index)
        return Finding(
            problem=problem,
            file=self.path,
            line=before.count("\n") + before.count("\r") - before.count("\r\n") + 1,
            column=index - line_start + 1,
            cure=cure,
            excerpt=self.text[line_start : index + line_end],
        )

    def report(self, where: int | Node, problem: str, cure: str | None = None) -> None:
        """Remember a fault."""
        self.findings.append(self.finding(where, problem, cure))

    def start(self, node: Node) -> int:
        """Return the offset of a node's content, behind anchor and tag."""
        return properties_end(self.text, int(node.start_mark.index))

    def spans(self, node: Node) -> list[Span] | None:
        """Map each character of a scalar's value to its source, where that is possible."""
        if not isinstance(node, ScalarNode):
            return None
        end = int(node.end_mark.index) if node.style is None else None
        return source_spans(self.composed, self.start(node), node.style, str(node.value), end)

    def documents(self) -> list[Node]:
        """Compose the documents of the text; a syntax error becomes a finding and ends the list."""
        nodes: list[Node] = []
        if len(self.text) > _MOST_TEXT:
            self.report(0, f"longer than {_MOST_TEXT:,} characters", "Split the file")
            return nodes
        try:
            nodes = self._composed()
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            context = f" {error.context}" if error.context else ""
            index = int(mark.index) if mark is not None else 0
            self.report(
                min(index, len(self.text)),
                f"not valid YAML: {error.problem}{context}",
                _syntax_cure(self.text, index, str(error.problem)),
            )
        except ReaderError as error:
            self.report(
                int(error.position),
                f"not valid YAML: character U+{ord(self.text[error.position]):04X} is not allowed",
                "Remove the character",
            )
        except (YAMLError, ValueError) as error:
            self.report(0, f"not valid YAML: {error}", "Correct the file")
        except RecursionError:
            self.report(0, "nested too deeply", "Flatten the file")
        return nodes

    def _composed(self) -> list[Node]:
        """Compose, and compose again with a blank for each tab that ruamel.yaml stumbles over."""
        self.composed = self.text
        read_again = 0
        while True:
            loader: Any = YAML(typ="safe", pure=True)
            loader.Scanner = _Scanner
            # Reusing an anchor's name is allowed in YAML.
            loader.composer.warn_double_anchors = False
            try:
                return [node for node in loader.compose_all(self.composed) if node is not None]
            except MarkedYAMLError as error:
                index = int(error.problem_mark.index) if error.problem_mark is not None else 0
                line_start = self.composed.rfind("\n", 0, index) + 1
                if self.composed[index : index + 1] != "\t" or not self.composed[line_start:index].strip():
                    raise
                read_again += index
                if read_again > _MOST_READ_AGAIN:
                    mark, problem = error.problem_mark, "more tabs between words than are read here"
                    raise MarkedYAMLError(None, None, problem, mark) from None
                # All tabs of a run are blanks together.
                rest = self.composed[index:].lstrip("\t")
                self.composed = f"{self.composed[:index]:<{len(self.text) - len(rest)}}{rest}"

    def fields(self, node: MappingNode, known: Sequence[str] | None, what: str) -> dict[str, Field]:
        """Return a mapping's entries by key; unknown and repeated keys are reported.

        Parameters
        ----------
        node : MappingNode
            The mapping.
        known : sequence of str or None
            Keys that Prometheus knows here; None allows any.
        what : str
            What the mapping is, for messages.
        """
        found: dict[str, Field] = {}
        for key, value in node.value:
            if key.tag == _MERGE:
                continue
            if not isinstance(key, ScalarNode):
                self.report(key, f"a key of {what} is a {kind_of(key)}", "Write a plain name before the colon")
                continue
            name = str(key.value)
            if name in found:
                self.report(key, f"key {name!r} of {what} is repeated", "Keep one of the two")
            elif known is not None and name not in known:
                self.report(key, f"unknown key {name!r} in {what}", _unknown_cure(name, known))
            else:
                found[name] = Field(key, value)
        for name, entry in self._merged(node):
            if known is None or name in known:
                found.setdefault(name, entry)
        return found

    def _merged(self, node: MappingNode, seen: set[int] | None = None) -> Iterator[tuple[str, Field]]:
        """Yield the entries that ``<<`` brings in, nearest first; each mapping once, however often it is named."""
        seen = {id(node)} if seen is None else seen
        for key, value in node.value:
            if key.tag != _MERGE:
                continue
            for source in value.value if isinstance(value, SequenceNode) else [value]:
                if not isinstance(source, MappingNode):
                    self.report(value, "<< needs a mapping to merge", "Point it at an anchored mapping")
                    continue
                if id(source) in seen:
                    continue
                seen.add(id(source))
                for inner_key, inner_value in source.value:
                    if isinstance(inner_key, ScalarNode) and inner_key.tag != _MERGE:
                        yield str(inner_key.value), Field(inner_key, inner_value, merged=True)
                yield from self._merged(source, seen)


def is_null(node: Node) -> bool:
    """Tell whether a node is empty or a plain ``null``."""
    return isinstance(node, ScalarNode) and node.style is None and node.value in _NULLS


def kind_of(node: Node) -> str:
    """Name the kind of a node for messages."""
    if isinstance(node, MappingNode):
        return "mapping"
    if isinstance(node, SequenceNode):
        return "list"
    return "null" if is_null(node) else "text"


def _unknown_cure(name: str, known: Sequence[str]) -> str:
    """Offer the nearest known key."""
    import difflib

    near = difflib.get_close_matches(name.lower(), known, n=1)
    return f"Did you mean {near[0]!r}" if near else f"Prometheus refuses it; known here are {', '.join(known)}"


def _syntax_cure(text: str, index: int, problem: str) -> str:
    """Guess what to change about a YAML syntax error."""
    if "more tabs" in problem:
        return "Replace the tabs by blanks"
    if "levels deep" in problem:
        return "Flatten the file"
    if "\t" in text[max(index - 1, 0) : index + 1]:
        return "Indent with spaces; YAML allows no tabs there"
    if "mapping values are not allowed" in problem:
        return "Put quotes around a text that contains ': '"
    if "alias" in problem:
        return "Define the anchor before it is used"
    return "Check indentation, quotes and brackets around this place"
