"""Reading Prometheus rule files: everything that is wrong at once, with positions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from kmon_analysis.errors import ExpressionError, Finding, KmonError, RuleFileError, SettingError
from kmon_analysis.promql.parser import parse
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.promql.syntax import Expr
from kmon_analysis.rules.document import Field, Source, is_null, kind_of
from kmon_analysis.rules.legacy import find_legacy, modern_form
from kmon_analysis.rules.model import AlertingRule, RecordingRule, Rule, RuleFile, RuleGroup
from kmon_analysis.rules.templates import check_template
from kmon_analysis.timing import parse_duration

__all__ = ["RuleNodes", "parse_rules", "read_rules", "rule_nodes"]

_GROUP_KEYS = ("name", "interval", "query_offset", "limit", "labels", "rules")
_RULE_KEYS = ("record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations")
# The custom resource of the Prometheus operator has one more, for Thanos.
_RESOURCE_GROUP_KEYS = (*_GROUP_KEYS, "partial_response_strategy")
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_INTEGER = re.compile(r"[-+]?[0-9][0-9_]*|0[xX][0-9a-fA-F_]+|0o?[0-7_]+|0b[01_]+")


@dataclass(frozen=True, slots=True)
class RuleNodes:
    """Where one alerting rule stands.

    Attributes
    ----------
    rule : AlertingRule
        The rule.
    mapping : MappingNode
        Its YAML mapping.
    fields : Mapping
        The mapping's entries by key.
    """

    rule: AlertingRule
    mapping: MappingNode
    fields: Mapping[str, Field]


def read_rules(path: str | Path, *, semantics: Semantics | None = None) -> RuleFile:
    """Read a rule file.

    Parameters
    ----------
    path : str or Path
        A Prometheus rule file, or Kubernetes documents of ``kind: PrometheusRule``.
    semantics : Semantics, optional
        The release that the rules are for; Prometheus 3 allows more label names.

    Raises
    ------
    RuleFileError
        If the file cannot be read, or Prometheus would refuse it; all findings at once.
    """
    name = str(path)
    try:
        raw = Path(path).read_bytes()
    except FileNotFoundError:
        raise _refused(name, "there is no such file", "Check the path") from None
    except IsADirectoryError:
        raise _refused(name, "this is a directory", "Name the rule file in it") from None
    except OSError as error:
        raise _refused(name, f"cannot be read: {error.strerror}", "Check its permissions") from None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise RuleFileError(
            [Finding(f"not UTF-8: byte 0x{raw[error.start]:02x}", name, line, cure="Save the file as UTF-8")]
        ) from None
    return parse_rules(text, name, semantics=semantics)


def _refused(path: str, problem: str, cure: str) -> RuleFileError:
    return RuleFileError([Finding(problem, path, cure=cure)])


def parse_rules(text: str, path: str = "<string>", *, semantics: Semantics | None = None) -> RuleFile:
    """Read the text of a rule file.

    Parameters
    ----------
    text : str
        YAML.
    path : str
        Name for messages.
    semantics : Semantics, optional
        As for `read_rules`.

    Raises
    ------
    RuleFileError
        With every finding in the file.

    Notes
    -----
    Prometheus ``model/rulefmt/rulefmt.go``, ``Parse`` and ``Validate``. Expressions that are valid and
    outside the supported subset are read; they are refused where they are evaluated.

    Examples
    --------
    >>> file = parse_rules("groups: [{name: g, rules: [{alert: HighLag, expr: lag > 1000, for: 5m}]}]")
    >>> file.alert("HighLag").for_ms
    300000
    """
    reader = _Reader(Source(text, path), legacy_names=semantics is None or not semantics.left_open)
    groups = reader.read()
    if reader.source.findings:
        raise RuleFileError(sorted(reader.source.findings, key=lambda found: (found.line or 0, found.column or 0)))
    return RuleFile(path, text, tuple(groups), tuple(reader.notes))


def rule_nodes(text: str, path: str = "<string>") -> tuple[Source, list[RuleNodes]]:
    """Return the alerting rules of a file with their YAML nodes, for exports that edit in place.

    Raises
    ------
    RuleFileError
        If the file does not read without findings.
    """
    reader = _Reader(Source(text, path), legacy_names=False)
    reader.read()
    if reader.source.findings:
        raise RuleFileError(reader.source.findings)
    return reader.source, reader.alerts


class _Reader:
    """Walks the documents of one file."""

    def __init__(self, source: Source, *, legacy_names: bool) -> None:
        self.source = source
        self.legacy_names = legacy_names
        self.notes: list[Finding] = []
        self.alerts: list[RuleNodes] = []

    def read(self) -> list[RuleGroup]:
        """Read all documents."""
        source = self.source
        if not source.text.strip("\ufeff \t\r\n"):
            source.report(0, "the file is empty", "A rule file starts with 'groups:'")
            return []
        documents = source.documents()
        if source.findings:
            if self._legacy_statements():
                source.findings = source.findings[1:]
            return []
        if not documents:
            source.report(0, "the file holds only comments", "A rule file starts with 'groups:'")
            return []
        if any(_text_at(document, "kind") for document in documents):
            return [group for document in documents for group in self._resource(document)]
        for extra in documents[1:]:
            note = "Prometheus reads only the first document of a rule file and ignores this one"
            self.notes.append(source.finding(extra, note, "Move its groups into the first document"))
        return self._file(documents[0])

    def _legacy_statements(self, where: ScalarNode | None = None) -> bool:
        """Report Prometheus 1.x statements in the text, or in one scalar."""
        text = self.source.text if where is None else str(where.value)
        spans = self.source.spans(where) if where is not None else None
        statements = find_legacy(text)
        for statement in statements:
            at = statement.start if where is None else self.source.start(where)
            if spans is not None:
                at = spans[statement.start].start
            missing = (
                f", and {statement.name} has no IF expression, which is invalid even there"
                if statement.expr is None
                else ""
            )
            form = "\n".join("      " + line for line in modern_form(statement).splitlines())
            self.source.report(
                at,
                f"'ALERT {statement.name} …' is Prometheus 1.x syntax{missing}",
                f"Prometheus 2 and later read YAML; write it as\n\n{form}\n\n  and read that file",
            )
        return bool(statements)

    def _file(self, document: Node) -> list[RuleGroup]:
        """Read a plain rule file."""
        source = self.source
        if not isinstance(document, MappingNode) or not any(_is_key(key, "groups") for key, _ in document.value):
            if self._legacy_statements():
                return []
            if not isinstance(document, MappingNode):
                problem = f"a rule file is a mapping with the key 'groups', not a {kind_of(document)}"
                source.report(document, problem, "Start the file with 'groups:'")
                return []
        fields = source.fields(document, ("groups",), "a rule file")
        if "groups" not in fields:
            if not source.findings:
                source.report(document, "the file has no 'groups'", "Start the file with 'groups:'")
            return []
        return self._groups(fields["groups"].value, _GROUP_KEYS)

    def _resource(self, document: Node) -> list[RuleGroup]:
        """Read a Kubernetes document; only PrometheusRule is of interest."""
        source = self.source
        kind = _text_at(document, "kind")
        if not isinstance(document, MappingNode) or kind != "PrometheusRule":
            note = f"this document is of kind {kind!r}" if kind else "this document has no kind"
            self.notes.append(source.finding(document, f"{note} and is passed over", "Only PrometheusRule holds rules"))
            return []
        spec = source.fields(document, None, "a Kubernetes document").get("spec")
        if spec is None or not isinstance(spec.value, MappingNode):
            source.report(document, "this PrometheusRule has no 'spec'", "Put 'groups' under 'spec'")
            return []
        fields = source.fields(spec.value, ("groups",), "the spec of a PrometheusRule")
        return self._groups(fields["groups"].value, _RESOURCE_GROUP_KEYS) if "groups" in fields else []

    def _groups(self, node: Node, known: tuple[str, ...]) -> list[RuleGroup]:
        """Read a list of groups."""
        groups: list[RuleGroup] = []
        seen: dict[str, int] = {}
        for item in self._items(node, "'groups'"):
            if not self._mapping(item, "a group"):
                continue
            group = self._group(item, known)
            if group.name in seen and group.name:
                self.source.report(
                    item,
                    f"group {group.name!r} is repeated; the first is on line {seen[group.name]}",
                    "Give each group of a file its own name",
                )
            seen.setdefault(group.name, item.start_mark.line + 1)
            groups.append(group)
        return groups

    def _group(self, node: MappingNode, known: tuple[str, ...]) -> RuleGroup:
        """Read one group."""
        fields = self.source.fields(node, known, "a group")
        name = self._text(fields, "name") or ""
        if not name:
            self.source.report(node, "a group has no 'name'", "Add 'name:' to the group")
        labels = self._labels(fields, "labels", "label")
        rules: list[Rule] = []
        if "rules" in fields:
            for index, item in enumerate(self._items(fields["rules"].value, "'rules'")):
                if self._mapping(item, f"rule {index + 1} of group {name!r}"):
                    rule = self._rule(item, name, index, labels)
                    if rule is not None:
                        rules.append(rule)
        return RuleGroup(
            name=name,
            interval_ms=self._duration(fields, "interval") or None,
            query_offset_ms=self._duration(fields, "query_offset") or 0,
            limit=self._limit(fields),
            labels=labels,
            rules=tuple(rules),
        )

    def _rule(self, node: MappingNode, group: str, index: int, group_labels: Mapping[str, str]) -> Rule | None:
        """Read one rule; None when it is too broken to stand for anything."""
        source = self.source
        fields = source.fields(node, _RULE_KEYS, f"rule {index + 1} of group {group!r}")
        alert, record = self._text(fields, "alert"), self._text(fields, "record")
        what = f"rule {index + 1} of group {group!r}"
        if alert and record:
            source.report(fields["record"].key, f"{what} has both 'alert' and 'record'", "Make it two rules")
        elif not alert and not record:
            source.report(node, f"{what} has neither 'alert' nor 'record'", "Name it with 'alert:' or 'record:'")
        expr, text = self._expression(fields, node, alert or record or what)
        labels = {**group_labels, **self._labels(fields, "labels", "label", templated=bool(alert))}
        annotations = self._labels(fields, "annotations", "annotation", templated=bool(alert))
        for_ms, keep_ms = self._duration(fields, "for"), self._duration(fields, "keep_firing_for")
        line, column = node.start_mark.line + 1, node.start_mark.column + 1
        if record and not alert:
            for key, given in (("for", for_ms), ("keep_firing_for", keep_ms), ("annotations", annotations)):
                if given:
                    source.report(fields[key].key, f"recording rule {record!r} has {key!r}", f"Remove {key!r}")
            if not _METRIC_NAME.fullmatch(record) and self.legacy_names:
                cure = "Use letters, digits, '_' and ':', as in 'topic:lag:sum'"
                source.report(fields["record"].value, f"invalid metric name {record!r}", cure)
            return RecordingRule(record, expr, text, labels, group, index, line, column) if expr else None
        if expr is None:
            return None
        rule = AlertingRule(
            alert or "", expr, text, for_ms or 0, keep_ms or 0, labels, annotations, group, index, line, column
        )
        self.alerts.append(RuleNodes(rule, node, fields))
        return rule

    def _expression(self, fields: Mapping[str, Field], rule: Node, name: str) -> tuple[Expr | None, str]:
        """Read and parse ``expr``."""
        source = self.source
        text = self._text(fields, "expr")
        if text is None and "expr" in fields and not is_null(fields["expr"].value):
            return None, ""
        if not text or not text.strip():
            where = fields["expr"].key if "expr" in fields else rule
            source.report(where, f"{name!r} has no 'expr'", "Add the condition, for example 'expr: lag > 1000'")
            return None, ""
        node = fields["expr"].value
        try:
            return parse(text), text
        except ExpressionError as error:
            if not (isinstance(node, ScalarNode) and self._legacy_statements(node)):
                source.report(
                    self._offset(node, error.start),
                    f"invalid PromQL in {name!r}: {error.problem}",
                    error.cure or "Correct the expression",
                )
        except KmonError as error:
            source.report(node, f"invalid PromQL in {name!r}: {error.problem}", error.cure)
        return None, text

    def _offset(self, node: Node, start: int | None) -> int:
        """Return where a character of a scalar's value stands in the file."""
        spans = self.source.spans(node)
        if spans and start is not None:
            return spans[start].start if start < len(spans) else spans[-1].end
        return self.source.start(node)

    def _items(self, node: Node, what: str) -> list[Node]:
        """Return the items of a list; null is an empty one."""
        if isinstance(node, SequenceNode):
            return [item for item in node.value if not is_null(item)]
        if not is_null(node):
            legacy = isinstance(node, ScalarNode) and self._legacy_statements(node)
            if not legacy:
                problem = f"{what} must be a list, not a {kind_of(node)}"
                self.source.report(node, problem, "Start each item with '- '")
        return []

    def _mapping(self, node: Node, what: str) -> TypeGuard[MappingNode]:
        """Tell whether a node is a mapping; report it otherwise."""
        if isinstance(node, MappingNode):
            return True
        if not (isinstance(node, ScalarNode) and self._legacy_statements(node)):
            self.source.report(
                node, f"{what} must be a mapping, not a {kind_of(node)}", "Write it as 'key: value' lines"
            )
        return False

    def _text(self, fields: Mapping[str, Field], key: str) -> str | None:
        """Return a scalar as text; None where missing, null or of another kind."""
        entry = fields.get(key)
        if entry is None or is_null(entry.value):
            return None
        if isinstance(entry.value, ScalarNode):
            return str(entry.value.value)
        problem = f"{key!r} must be text, not a {kind_of(entry.value)}"
        cure = "Put quotes around it" if isinstance(entry.value, MappingNode) else "Write one value"
        self.source.report(entry.value, problem, cure)
        return None

    def _duration(self, fields: Mapping[str, Field], key: str) -> int | None:
        """Return a duration in milliseconds; None where missing."""
        text = self._text(fields, key)
        if text is None:
            return None
        try:
            if text != text.strip():
                raise SettingError(f"not a duration: {text!r}", cure="Remove the blanks")
            return parse_duration(text)
        except SettingError as error:
            cure = error.cure
            if text.isdigit():
                cure = f"Add a unit, for example '{text}s' or '{text}m'"
            self.source.report(fields[key].value, f"{key!r} is {error.problem}", cure)
            return None

    def _limit(self, fields: Mapping[str, Field]) -> int:
        """Return the limit of a group; 0 is none."""
        text = self._text(fields, "limit")
        if text is None:
            return 0
        try:
            if getattr(fields["limit"].value, "style", None) is not None:
                raise ValueError(text)
            # Prometheus cuts a fraction: 1.5 is read as 1.
            return max(int(text, 0) if _INTEGER.fullmatch(text) else int(float(text)), 0)
        except (ValueError, OverflowError):
            self.source.report(fields["limit"].value, f"'limit' is not a whole number: {text!r}", "Write 'limit: 100'")
            return 0

    def _labels(self, fields: Mapping[str, Field], key: str, what: str, *, templated: bool = False) -> dict[str, str]:
        """Read labels or annotations."""
        entry = fields.get(key)
        if entry is None or is_null(entry.value):
            return {}
        if not isinstance(entry.value, MappingNode):
            self.source.report(entry.value, f"{key!r} must be a mapping, not a {kind_of(entry.value)}")
            return {}
        pairs: dict[str, str] = {}
        inner = self.source.fields(entry.value, None, f"{key!r}")
        for name, item in inner.items():
            if not self._valid_name(name, what):
                cure = "Use letters, digits and '_'"
                if name and name != "__name__":
                    cure += ", or read the file for Prometheus 3, which allows more"
                self.source.report(item.key, f"invalid {what} name {name!r}", cure)
            if is_null(item.value):
                pairs[name] = ""
                continue
            value = self._text(inner, name)
            if value is not None:
                pairs[name] = value
                problem = check_template(value) if templated else None
                if problem:
                    self.source.report(item.value, f"{what} {name!r}: {problem}", "Correct the template")
        return pairs

    def _valid_name(self, name: str, what: str) -> bool:
        """Tell whether a label or annotation name is one that Prometheus takes."""
        if not name or (what == "label" and name == "__name__"):
            return False
        return not self.legacy_names or _LABEL_NAME.fullmatch(name) is not None


def _is_key(node: Node, name: str) -> bool:
    return isinstance(node, ScalarNode) and node.value == name


def _text_at(node: Node, name: str) -> str | None:
    """Return a scalar of a mapping, if it is there."""
    if isinstance(node, MappingNode):
        for key, value in node.value:
            if _is_key(key, name) and isinstance(value, ScalarNode):
                return str(value.value)
    return None
