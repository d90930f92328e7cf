"""Changing tuned values in a rule file, and nothing else."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from ruamel.yaml.nodes import ScalarNode

from kmon_analysis.errors import RuleFileError, SettingError
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.promql.syntax import Span
from kmon_analysis.rules.document import Field, Source, is_null
from kmon_analysis.rules.model import AlertingRule, RuleFile, RuleKey
from kmon_analysis.rules.reader import RuleNodes, parse_rules, rule_nodes
from kmon_analysis.rules.scalars import block_end
from kmon_analysis.timing import format_duration

__all__ = ["Change", "edit_rules"]

# Prometheus 3 reads every file that Prometheus 2 reads.
_LENIENT = Semantics.of("3.5")
_ALIAS = re.compile(r"\s*:\s*(\*[^\s,\[\]{}]+)")
_COLON = re.compile(r"\s*:")
_LINE_END = re.compile(r"[^\r\n]*")
_TOKEN = re.compile(r"[\w.:]+|\s+|.")
# Plain YAML would read these otherwise; quotes are always safe.
_UNSAFE_PLAIN = re.compile(r"^[\s,\[\]{}#&*!|>'\"%@`]|^[-?:](\s|$)|: |:$| #|[\n\t]|\s$|^$")
_UNSAFE_FLOW = re.compile(r"[,\[\]{}]")


class Change(TypedDict, total=False):
    """New values of one rule; what is left out stays."""

    expr: str
    for_ms: int
    keep_firing_for_ms: int


@dataclass(frozen=True, slots=True)
class _Edit:
    """A replacement of part of the text."""

    span: Span
    text: str


def edit_rules(
    text: str,
    changes: Mapping[tuple[str, str] | RuleKey, Change],
    provenance: str | Mapping[tuple[str, str] | RuleKey, str],
) -> str:
    r"""Return a rule file with tuned values changed, and every other byte as it was.

    Parameters
    ----------
    text : str
        The rule file.
    changes : Mapping
        New values by ``(group, alert)``, or ``(group, alert, place in the group)`` where several rules of a
        group share the alert's name.
    provenance : str or Mapping
        Where the values come from: one comment line above each changed rule, the same for all or by the
        key that is used in `changes`; an empty one is left out.

    Returns
    -------
    str
        The edited file. It has been read again: the changed values are there, all else means the same.

    Raises
    ------
    SettingError
        If a key names no rule or several, or a value is shared with another rule through an anchor.
    RuleFileError
        If `text` is not a valid rule file.

    Examples
    --------
    >>> text = "groups:\n- name: g\n  rules:\n  - alert: Lag\n    expr: lag > 1000 # why?\n"
    >>> print(edit_rules(text, {("g", "Lag"): {"expr": "lag > 12000", "for_ms": 300_000}}, "tuned"))
    groups:
    - name: g
      rules:
      # tuned
      - alert: Lag
        expr: lag > 12000 # why?
        for: 5m
    <BLANKLINE>
    """
    source, rules = rule_nodes(text)
    before = parse_rules(text, semantics=_LENIENT)
    wanted = {_resolved(key, rules).rule.key: (key, change) for key, change in changes.items()}
    goal = {key: _changed(nodes.rule, wanted[key][1]) for nodes in rules if (key := nodes.rule.key) in wanted}
    edited, wrong = text, set(goal)
    # Tidy first; what a second reading does not confirm is written out whole, comments move to the end.
    for comments_last in (False, True):
        whole: set[RuleKey] = set()
        for _ in range(2):
            edits: list[_Edit] = []
            for nodes in rules:
                new = goal.get(nodes.rule.key, nodes.rule)
                if new != nodes.rule:
                    writer = _Writer(source, nodes)
                    edits += writer.edits(new, whole=new.key in whole)
                    edits += writer.comment(_provenance(provenance, wanted[new.key][0]), last=comments_last)
            edited = _spliced(text, edits)
            wrong = _differing(before, edited, goal)
            if not wrong:
                return edited
            whole = wrong & set(goal)
    shared = ", ".join(sorted(name for _, name, _ in wrong))
    raise SettingError(
        f"cannot change the rules one by one: {shared} would change, too, or not as wanted",
        cure="Write values out where rules share them through an anchor (&name, *name, <<)",
    )


def _resolved(key: tuple[Any, ...], rules: Iterable[RuleNodes]) -> RuleNodes:
    """Return the one rule that a key names."""
    found = [nodes for nodes in rules if nodes.rule.key[: len(key)] == key]
    if len(found) == 1:
        return found[0]
    named = f"alert {key[1]!r} in group {key[0]!r}"
    if not found:
        raise SettingError(f"there is no {named}", cure="Check the spelling against the rule file")
    raise SettingError(f"{len(found)} rules are named {named}", cure="Add the rule's place in the group to the key")


def _changed(rule: AlertingRule, change: Change) -> AlertingRule:
    """Return the rule as it shall be; the tree follows from the text."""
    return dataclasses.replace(
        rule,
        text=change.get("expr", rule.text),
        for_ms=change.get("for_ms", rule.for_ms),
        keep_firing_for_ms=change.get("keep_firing_for_ms", rule.keep_firing_for_ms),
    )


def _provenance(provenance: str | Mapping[Any, str], key: tuple[Any, ...]) -> str:
    """Return the comment for a rule on one line that no YAML reader stumbles over."""
    words = provenance if isinstance(provenance, str) else provenance.get(key, "")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in words).strip()


def _spliced(text: str, edits: Iterable[_Edit]) -> str:
    """Apply edits that do not overlap, last one first."""
    edited, frontier = text, len(text) + 1
    for edit in sorted(dict.fromkeys(edits), key=lambda edit: (edit.span.start, edit.span.end), reverse=True):
        if edit.span.end > frontier:
            raise SettingError("two changes overlap", cure="Write values out where rules share them through an anchor")
        frontier = edit.span.start
        edited = edited[: edit.span.start] + edit.text + edited[edit.span.end :]
    return edited


def _differing(before: RuleFile, edited: str, goal: Mapping[RuleKey, AlertingRule]) -> set[RuleKey]:
    """Return the rules of the edited file that are not as they should be."""
    try:
        after = parse_rules(edited, semantics=_LENIENT)
    except RuleFileError:
        return set(goal)
    old_rules, new_rules = before.rules, after.rules
    if len(old_rules) != len(new_rules) or [_frame(group) for group in before.groups] != [
        _frame(group) for group in after.groups
    ]:
        return set(goal)
    wrong = set()
    for old, new in zip(old_rules, new_rules, strict=True):
        expected = goal.get(old.key, old) if isinstance(old, AlertingRule) else old
        if _content(expected) != _content(new):
            wrong.add(old.key if isinstance(old, AlertingRule) else (old.group, old.name, old.index))
    return wrong


def _frame(group: Any) -> Any:
    """Return a group without its rules."""
    return dataclasses.replace(group, rules=())


def _content(rule: Any) -> Any:
    """Return what a rule means: all but the parsed tree, which follows from the text, and its place."""
    values = {item.name: getattr(rule, item.name) for item in dataclasses.fields(rule)}
    return {name: value for name, value in values.items() if name not in ("expr", "line", "column")}


class _Writer:
    """Finds the places to edit of one rule."""

    def __init__(self, source: Source, nodes: RuleNodes) -> None:
        self.source = source
        self.text = source.text
        self.nodes = nodes
        self.flow = bool(nodes.mapping.flow_style)

    def edits(self, new: AlertingRule, *, whole: bool) -> list[_Edit]:
        """Return the edits that turn the rule into `new`."""
        old = self.nodes.rule
        edits: list[_Edit] = []
        missing: list[tuple[str, str]] = []
        if new.text != old.text:
            field = self.nodes.fields["expr"]
            if field.merged:
                missing.append(("expr", _encoded(new.text, None, flow=self.flow)))
            else:
                edits += self._expression(field, new.text, whole=whole)
        for key, was_ms, is_ms in (
            ("for", old.for_ms, new.for_ms),
            ("keep_firing_for", old.keep_firing_for_ms, new.keep_firing_for_ms),
        ):
            if was_ms == is_ms:
                continue
            duration = format_duration(is_ms)
            own = self.nodes.fields.get(key)
            if own is None or own.merged:
                missing.append((key, duration))
            else:
                edits.append(self._scalar(own, duration))
        return edits + self._added(missing, before=whole)

    def _expression(self, field: Field, new: str, *, whole: bool) -> list[_Edit]:
        """Change an expression token by token, or as a whole."""
        node = field.value
        spans = self.source.spans(node)
        if whole or spans is None or self._alias(field) or not isinstance(node, ScalarNode):
            return [self._scalar(field, new)]
        old = str(node.value)
        old_tokens, new_tokens = _TOKEN.findall(old.replace("\n", " ")), _TOKEN.findall(new.replace("\n", " "))
        old_at, new_at = _offsets(old_tokens), _offsets(new_tokens)
        edits = []
        matcher = difflib.SequenceMatcher(None, old_tokens, new_tokens, autojunk=False)
        for tag, low, high, new_low, new_high in matcher.get_opcodes():
            if tag == "equal":
                continue
            start, end = old_at[low], old_at[high]
            first = spans[start].start if start < len(spans) else spans[-1].end
            last = spans[end - 1].end if end > start else first
            piece = new[new_at[new_low] : new_at[new_high]]
            edits.append(_Edit(Span(first, last), _escaped(piece, node.style)))
        return edits

    def _scalar(self, field: Field, value: str) -> _Edit:
        """Replace a scalar as a whole, in its own style where that can hold the value."""
        alias = self._alias(field)
        if alias is not None:
            return _Edit(alias, _encoded(value, None, flow=self.flow))
        node = field.value
        if is_null(node) and not str(node.value):
            colon = self._colon_end(field)
            return _Edit(Span(colon, colon), " " + _encoded(value, None, flow=self.flow))
        start = self.source.start(node)
        style = node.style if isinstance(node, ScalarNode) else None
        if isinstance(node, ScalarNode) and style in ("|", ">"):
            end = block_end(self.source.composed, start, str(node.value))
            if end is None:
                end = int(node.end_mark.index)
            return _Edit(Span(start, end), self._block(node, value))
        return _Edit(Span(start, int(node.end_mark.index)), _encoded(value, style, flow=self.flow))

    def _block(self, node: ScalarNode, value: str) -> str:
        """Write a literal block at the indentation of the key, or quotes where that cannot hold the value."""
        body = value.rstrip("\n")
        if not body or body[0] in " \t\n" or value.count("\n", len(body)) > 1:
            return _encoded(value, '"', flow=False)
        indent = " " * (self._key_column("expr") + 2)
        break_ = self._line_break()
        return ("|" if value.endswith("\n") else "|-") + "".join(
            f"{break_}{indent if line else ''}{line}" for line in body.split("\n")
        )

    def _added(self, missing: list[tuple[str, str]], *, before: bool) -> list[_Edit]:
        """Add keys behind ``for``, the expression or the name, whichever the rule writes itself."""
        if not missing:
            return []
        own = {key: field for key, field in self.nodes.fields.items() if not field.merged}
        anchors = ["for", "expr", "alert"] if missing[0][0] == "keep_firing_for" else ["expr", "alert"]
        anchor = next((key for key in anchors if key in own), next(iter(own)))
        field = own[anchor]
        if self.flow:
            end = self._value_end(field)
            return [_Edit(Span(end, end), "".join(f", {key}: {value}" for key, value in missing))]
        indent = " " * self._key_column(anchor)
        if before:
            # Behind a block scalar that keeps its line breaks, a new line would cut them off.
            start = int(field.key.start_mark.index)
            lines = "".join(f"{key}: {value}{self._line_break()}{indent}" for key, value in missing)
            return [_Edit(Span(start, start), lines)]
        match = _LINE_END.match(self.text, self._value_end(field))
        end = match.end() if match else len(self.text)
        lines = "".join(f"{self._line_break()}{indent}{key}: {value}" for key, value in missing)
        return [_Edit(Span(end, end), lines)]

    def comment(self, words: str, *, last: bool) -> list[_Edit]:
        """Write a comment above the rule, or at the end of the file where a line above is not free."""
        if not words:
            return []
        line_break = self._line_break()
        if last:
            opening = "" if self.text.endswith(("\n", "\r")) else line_break
            end = len(self.text)
            return [_Edit(Span(end, end), f"{opening}# {self.nodes.rule.name}: {words}{line_break}")]
        at = int(self.nodes.mapping.start_mark.index)
        line_start = max(self.text.rfind("\n", 0, at), self.text.rfind("\r", 0, at)) + 1
        line_start += self.text.startswith("\ufeff", line_start)
        line = self.text[line_start:at]
        indent = line[: len(line) - len(line.lstrip(" "))]
        if self.text[:line_start].rstrip("\r\n").endswith(f"{indent}# {words}"):
            return []
        return [_Edit(Span(line_start, line_start), f"{indent}# {words}{line_break}")]

    def _key_column(self, key: str) -> int:
        return int(self.nodes.fields[key].key.start_mark.column)

    def _line_break(self) -> str:
        """Return the line break that the file uses."""
        first = self.text.find("\n")
        return "\r\n" if first > 0 and self.text[first - 1] == "\r" else "\n"

    def _colon_end(self, field: Field) -> int:
        match = _COLON.match(self.text, int(field.key.end_mark.index))
        return match.end() if match else int(field.key.end_mark.index)

    def _alias(self, field: Field) -> Span | None:
        """Return where an alias stands that was written as the value."""
        match = _ALIAS.match(self.text, int(field.key.end_mark.index))
        return Span(*match.span(1)) if match else None

    def _value_end(self, field: Field) -> int:
        """Return where a value's own text ends."""
        alias = self._alias(field)
        if alias is not None:
            return alias.end
        node = field.value
        if is_null(node) and not str(node.value):
            return self._colon_end(field)
        if isinstance(node, ScalarNode) and node.style in ("|", ">"):
            end = block_end(self.source.composed, self.source.start(node), str(node.value))
            return int(node.end_mark.index) if end is None else end
        return int(node.end_mark.index)


def _offsets(tokens: Iterable[str]) -> list[int]:
    """Return where each token starts, and where the last one ends."""
    at = [0]
    for token in tokens:
        at.append(at[-1] + len(token))
    return at


def _escaped(piece: str, style: str | None) -> str:
    """Write part of a scalar in its style."""
    if style == '"':
        return piece.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return piece.replace("'", "''") if style == "'" else piece


def _encoded(value: str, style: str | None, *, flow: bool) -> str:
    """Write a whole scalar, in its style where that can hold the value."""
    if style is None and not (_UNSAFE_PLAIN.search(value) or (flow and _UNSAFE_FLOW.search(value))):
        return value
    if style == '"' or any(char in value for char in "\n\t\r") or not value.isprintable():
        body = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
        return '"' + body.replace("\r", "\\r") + '"'
    return "'" + value.replace("'", "''") + "'"
