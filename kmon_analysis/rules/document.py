"""YAML with positions: findings that point into the source, and mappings with their keys."""

from __future__ import annotations

import re
from bisect import bisect_right
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
_BREAK = re.compile(r"\r\n|\r|\n")
_BLANKS = re.compile(r"[ \t]+")
_MOST_TEXT = 5_000_000
_MOST_LEVELS = 100
_MOST_TABS = 10_000
_MOST_FINDINGS = 1000
_LONGEST_EXCERPT = 500
# Values that aliases may stand for, besides five for each that is written.
_MOST_ALIASED = 50_000


class _Scanner(Scanner):
    """Refuses deep nesting, for which the usual scanner needs time that grows with the square of the depth.

    Tabs between words, which YAML allows and ruamel.yaml refuses, become blanks.
    """

    composed = ""
    tabs = 0

    def fetch_flow_collection_start(self, *arguments: Any, **options: Any) -> None:
        """Open a bracket."""
        self._check(len(self.flow_context))
        super().fetch_flow_collection_start(*arguments, **options)

    def add_indent(self, column: int) -> bool:
        """Begin a deeper block."""
        self._check(len(self.indents))
        return bool(super().add_indent(column))

    def scan_to_next_token(self) -> None:
        """Pass blanks, tabs too, comments and line breaks (YAML 1.2, 6.2)."""
        self._blank_tabs()
        super().scan_to_next_token()

    def scan_plain_spaces(self, indent: Any, start_mark: Any) -> Any:
        """Pass blanks, tabs too, inside a plain scalar."""
        self._blank_tabs()
        return super().scan_plain_spaces(indent, start_mark)

    def _blank_tabs(self) -> None:
        """Make tabs here blanks, unless they indent the line or brackets are open."""
        reader = self.reader
        at: int = reader.pointer
        if self.flow_level or reader.buffer[at] not in " \t":
            return
        blanks = _BLANKS.match(reader.buffer, at)
        if blanks is None or "\t" not in blanks[0] or self.tabs >= _MOST_TABS:
            return
        line_start = max(reader.buffer.rfind(each, 0, at) for each in "\r\n") + 1
        if reader.buffer[line_start:at].strip():
            self.tabs += 1
            reader.buffer = reader.buffer[:at] + " " * len(blanks[0]) + reader.buffer[blanks.end() :]
            self.composed = reader.buffer[:-1]

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
    _lines: list[int] = field(default_factory=list)

    def finding(self, where: int | Node, problem: str, cure: str | None = None) -> Finding:
        """Describe a fault at an offset or node."""
        index = where if isinstance(where, int) else self.start(where)
        if not self._lines:
            self._lines = [0, *(found.end() for found in _BREAK.finditer(self.text))]
        line = bisect_right(self._lines, index)
        line_start = self._lines[line - 1]
        line_end = self._lines[line] if line < len(self._lines) else len(self.text)
        # A file may be one line: a copy of it for each fault would fill the memory.
        short = line_end - line_start <= _LONGEST_EXCERPT
        return Finding(
            problem=problem,
            file=self.path,
            line=line,
            column=index - line_start + 1,
            cure=cure,
            excerpt=self.text[line_start:line_end].rstrip("\r\n") if short else None,
        )

    def report(self, where: int | Node, problem: str, cure: str | None = None) -> None:
        """Remember a fault; behind the first thousand only that there are more."""
        if len(self.findings) < _MOST_FINDINGS:
            self.findings.append(self.finding(where, problem, cure))
        elif len(self.findings) == _MOST_FINDINGS:
            self.findings.append(Finding(f"more than {_MOST_FINDINGS} faults", self.path, cure="Correct these first"))

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
            self._check_aliases(nodes)
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
        """Compose, with a blank for each tab that ruamel.yaml would stumble over."""
        self.composed = self.text
        loader: Any = YAML(typ="safe", pure=True)
        loader.Scanner = _Scanner
        # Reusing an anchor's name is allowed in YAML.
        loader.composer.warn_double_anchors = False
        nodes = [node for node in loader.compose_all(self.text) if node is not None]
        self.composed = loader.scanner.composed or self.text
        return nodes

    def _check_aliases(self, documents: Sequence[Node]) -> None:
        """Refuse anchors that hold themselves, and aliases that stand for far more than is written.

        Notes
        -----
        yaml.v3 ``decode.go``, ``alias`` and ``allowedAliasRatio``, which Prometheus reads with.
        """
        sizes: dict[int, int] = {}
        open_nodes: set[int] = set()
        pending = [(node, False) for node in documents]
        while pending:
            node, done = pending.pop()
            inner = _inner(node)
            if done:
                sizes[id(node)] = min(1 + sum(sizes[id(each)] for each in inner), 2**60)
                open_nodes.discard(id(node))
            elif id(node) in open_nodes:
                raise YAMLError(f"the anchor on line {node.start_mark.line + 1} contains itself")
            elif id(node) not in sizes:
                open_nodes.add(id(node))
                pending.append((node, True))
                pending += [(each, False) for each in inner]
        if sum(sizes[id(node)] for node in documents) > _MOST_ALIASED + 5 * len(sizes):
            raise YAMLError("its aliases stand for far more than is written")

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

    def _merged(self, node: MappingNode) -> Iterator[tuple[str, Field]]:
        """Yield the entries that ``<<`` brings in, nearest first."""
        pending, seen = [node], set()
        while pending:
            mapping = pending.pop()
            if id(mapping) in seen:
                continue
            seen.add(id(mapping))
            sources: list[MappingNode] = []
            for key, value in mapping.value:
                if key.tag == _MERGE:
                    sources += self._sources(value)
                elif mapping is not node and isinstance(key, ScalarNode):
                    yield str(key.value), Field(key, value, merged=True)
            pending += reversed(sources)

    def _sources(self, value: Node) -> Iterator[MappingNode]:
        """Yield the mappings that one ``<<`` names."""
        for source in value.value if isinstance(value, SequenceNode) else [value]:
            if isinstance(source, MappingNode):
                yield source
            else:
                self.report(value, "<< needs a mapping to merge", "Point it at an anchored mapping")


def _inner(node: Node) -> list[Node]:
    """Return the nodes right below a node."""
    if isinstance(node, MappingNode):
        return [part for entry in node.value for part in entry]
    return list(node.value) if isinstance(node, SequenceNode) else []


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
    return f"Did you mean {near[0]!r}?" if near else f"Prometheus refuses it; known here are {', '.join(known)}"


def _syntax_cure(text: str, index: int, problem: str) -> str:
    """Guess what to change about a YAML syntax error."""
    if "levels deep" in problem:
        return "Flatten the file"
    if "\t" in text[max(index - 1, 0) : index + 1]:
        return "Indent with spaces; YAML allows no tabs there"
    if "mapping values are not allowed" in problem:
        return "Put quotes around a text that contains ': '"
    if "alias" in problem:
        return "Define the anchor before it is used"
    return "Check indentation, quotes and brackets around this place"
