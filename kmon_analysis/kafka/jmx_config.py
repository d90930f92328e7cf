"""Read a configuration of the JMX exporter as the exporter reads it, every fault at once with its place."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from kmon_analysis.errors import DataFileError, Finding, nearest
from kmon_analysis.kafka.javamatch import Budget, JavaPattern
from kmon_analysis.kafka.javaregex import RegexError
from kmon_analysis.kafka.object_names import NamePattern, parse_name_pattern
from kmon_analysis.kafka.yaml11 import Scalar, java_number, scalar_of
from kmon_analysis.rules.document import Field, Source, kind_of

__all__ = ["JmxConfig", "JmxRule", "parse_jmx_config", "read_jmx_config"]

LARGEST_FILE = 256_000
MOST_RULES = 300
DEEPEST = 200
WRAP = ("^.*(?:", ").*$")
_TOP_KEYS = (
    "startDelaySeconds", "hostPort", "jmxUrl", "username", "password", "ssl", "lowercaseOutputName",
    "lowercaseOutputLabelNames", "inferCounterTypeFromName", "includeObjectNames", "whitelistObjectNames",
    "excludeObjectNames", "blacklistObjectNames", "excludeObjectNameAttributes", "autoExcludeObjectNameAttributes",
    "excludeJvmMetrics", "metricCustomizers", "scrapeTimeoutSeconds", "rules", "httpServer", "openTelemetry",
)  # fmt: skip
_RULE_KEYS = (
    "pattern", "name", "value", "valueFactor", "labels", "help", "cache", "type", "attrNameSnakeCase",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class JmxRule:
    """One rule.

    Attributes
    ----------
    number : int
        1-based.
    pattern : JavaPattern or None
        Wrapped as the exporter wraps it.
    text : str
        The pattern as written; empty without one.
    name, value, help : str or None
        Templates.
    factor : float
        Multiplies numbers.
    labels : tuple of (str, str)
        Templates, sorted by name.
    kind : str
        ``COUNTER``, ``GAUGE``, ``UNKNOWN`` or what was written.
    cache, snake : bool
        ``cache`` and ``attrNameSnakeCase``.
    places : dict
        Where its keys and values stand: offsets by key; ``""`` the rule itself.
    """

    number: int
    pattern: JavaPattern | None = None
    text: str = ""
    name: str | None = None
    value: str | None = None
    help: str | None = None
    factor: float = 1.0
    labels: tuple[tuple[str, str], ...] = ()
    kind: str = "UNKNOWN"
    cache: bool = False
    snake: bool = False
    places: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JmxConfig:
    """A whole configuration.

    Attributes
    ----------
    source : Source
        The text, for positions.
    rules : tuple of JmxRule
        In order.
    lowercase_names, lowercase_labels, infer_counters, exclude_jvm : bool
        Switches.
    include : tuple of (NamePattern, int) or None
        With offsets; None takes all.
    exclude : tuple of (NamePattern, int)
        With offsets.
    attributes : tuple of (NamePattern, frozenset, int)
        ``excludeObjectNameAttributes`` with offsets.
    odd : tuple of Finding
        What the exporter overlooks in silence, such as unknown keys.
    places : dict
        Offsets of top-level keys.
    """

    source: Source
    rules: tuple[JmxRule, ...]
    lowercase_names: bool
    lowercase_labels: bool
    infer_counters: bool
    exclude_jvm: bool
    include: tuple[tuple[NamePattern, int], ...] | None
    exclude: tuple[tuple[NamePattern, int], ...]
    attributes: tuple[tuple[NamePattern, frozenset[str], int], ...]
    odd: tuple[Finding, ...]
    places: dict[str, int]


def read_jmx_config(path: str | Path) -> JmxConfig:
    """Read a configuration file.

    Raises
    ------
    DataFileError
        If the file cannot be read or the exporter would refuse it, or if it holds what is not replayed; all
        findings at once.
    """
    name = str(path)
    try:
        with Path(path).open("rb") as file:
            raw = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise _refused(name, "there is no such file", "Check the path") from None
    except IsADirectoryError:
        raise _refused(name, "this is a directory", "Name the configuration file in it") from None
    except OSError as error:
        raise _refused(name, f"cannot be read: {error.strerror}", "Check its permissions") from None
    except ValueError:
        raise _refused(name, "is no path", "Check the path") from None
    if len(raw) > LARGEST_FILE:
        raise _refused(name, f"is larger than {LARGEST_FILE:,} bytes", "Name the exporter's configuration")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        fault = Finding(f"not UTF-8: byte 0x{raw[error.start]:02x}", name, line, cure="Save the file as UTF-8")
        raise DataFileError([fault]) from None
    return parse_jmx_config(text, name)


def _refused(path: str, problem: str, cure: str) -> DataFileError:
    return DataFileError([Finding(problem, path, cure=cure)])


def parse_jmx_config(text: str, path: str = "<string>") -> JmxConfig:
    """Read the text of a configuration.

    Raises
    ------
    DataFileError
        As for `read_jmx_config`.

    Notes
    -----
    jmx_exporter ``JmxCollector.loadConfig``; scalars as SnakeYAML's ``Resolver`` (YAML 1.1).

    Examples
    --------
    >>> parse_jmx_config("rules: [{pattern: 'kafka.server<type=(.+)>', name: 'x_$1'}]").rules[0].name
    'x_$1'
    """
    reader = _Reader(Source(text.removeprefix("\ufeff"), path))
    config = reader.config()
    if reader.source.findings:
        raise DataFileError(sorted(reader.source.findings, key=lambda found: (found.line or 0, found.column or 0)))
    assert config is not None  # noqa: S101 - a reader without findings has one
    return config


def _too_deep(text: str) -> int | None:
    """Return where brackets are nested so deeply that reading the YAML would take long."""
    depth = 0
    for found in re.finditer(r"[\[{(\]})]", text):
        depth = depth + 1 if found[0] in "[{(" else max(depth - 1, 0)
        if depth > DEEPEST:
            return found.start()
    return None


class _Reader:
    """Walks one document."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.odd: list[Finding] = []
        self.budget = Budget()

    def config(self) -> JmxConfig | None:
        source = self.source
        deep = _too_deep(source.text)
        if deep is not None:
            source.report(deep, f"brackets nested deeper than {DEEPEST}", "Flatten the file")
            return None
        documents = source.documents() if source.text.strip() else []
        if source.findings:
            return None
        if len(documents) > 1:
            source.report(documents[1], "the exporter refuses a second document", "Keep one document in the file")
            return None
        fields: dict[str, Field] = {}
        if documents:
            document = documents[0]
            if not isinstance(document, MappingNode):
                source.report(
                    document, f"a configuration is a mapping, not a {kind_of(document)}", "Start with 'rules:'"
                )
                return None
            fields = self.fields(document, _TOP_KEYS, "the configuration")
        if "hostPort" in fields and "jmxUrl" in fields:
            source.report(fields["hostPort"].key, "the exporter refuses hostPort and jmxUrl together", "Keep one")
        for key in ("metricCustomizers",):
            if key in fields:
                source.report(fields[key].key, f"{key!r} is not replayed", "Lint the configuration without it")
        config = JmxConfig(
            source=source,
            rules=self.rules(fields),
            lowercase_names=self.boolean(fields, "lowercaseOutputName"),
            lowercase_labels=self.boolean(fields, "lowercaseOutputLabelNames"),
            infer_counters=self.boolean(fields, "inferCounterTypeFromName"),
            exclude_jvm=self.boolean(fields, "excludeJvmMetrics"),
            include=self.names(fields, "includeObjectNames", "whitelistObjectNames"),
            exclude=self.names(fields, "excludeObjectNames", "blacklistObjectNames") or (),
            attributes=self.attributes(fields),
            odd=(),
            places={key: source.start(entry.key) for key, entry in fields.items()},
        )
        self.boolean(fields, "autoExcludeObjectNameAttributes")
        return replace(config, odd=tuple(self.odd))

    def fields(self, node: MappingNode, known: tuple[str, ...] | None, what: str) -> dict[str, Field]:
        """Return a mapping's entries; the exporter overlooks unknown keys in silence."""
        for key, _ in node.value:
            if isinstance(key, ScalarNode) and key.value == "<<":
                self.source.report(key, "'<<' is not replayed", "Write the merged keys out")
                return {}
        fields = self.source.fields(node, None, what)
        for name, entry in fields.items():
            if known is not None and name not in known:
                cure = nearest(name, known) or f"The exporter knows here: {', '.join(known)}"
                self.odd.append(self.source.finding(entry.key, f"unknown key {name!r} in {what} has no effect", cure))
        return {name: entry for name, entry in fields.items() if known is None or name in known}

    def scalar(self, entry: Field, what: str, wanted: tuple[str, ...]) -> Scalar | None:
        """Return a scalar of one of the wanted kinds; anything else makes the exporter stop."""
        node = entry.value
        if not isinstance(node, ScalarNode):
            self.source.report(node, f"{what} is a {kind_of(node)}; the exporter refuses it", f"Write a {wanted[0]}")
            return None
        start = int(node.start_mark.index)
        if "!" in self.source.text[start : self.source.start(node)]:
            self.source.report(start, "a YAML tag is not replayed", "Remove the tag")
            return None
        found = scalar_of(node)
        if found.kind not in wanted:
            said = "empty" if found.kind == "null" else f"a {found.kind} ({found.text})"
            cure = "Put it in quotes" if "text" in wanted and found.kind != "null" else f"Write a {wanted[0]}"
            self.source.report(node, f"{what} is {said}; the exporter refuses it", cure)
            return None
        return found

    def boolean(self, fields: dict[str, Field], key: str) -> bool:
        if key not in fields:
            return False
        found = self.scalar(fields[key], repr(key), ("bool",))
        return found is not None and found.text == "true"

    def text(self, fields: dict[str, Field], key: str, what: str) -> str | None:
        if key not in fields:
            return None
        found = self.scalar(fields[key], f"{key!r} of {what}", ("text", "null"))
        return found.text if found is not None and found.kind == "text" else None

    def list_of(self, entry: Field, what: str) -> list[Node]:
        if not isinstance(entry.value, SequenceNode):
            said = "empty" if kind_of(entry.value) == "null" else f"a {kind_of(entry.value)}"
            self.source.report(
                entry.value, f"{what} is {said}; the exporter refuses it", "Write a list, or remove the key"
            )
            return []
        return list(entry.value.value)

    # ---- rules ----------------------------------------------------------------------------------

    def rules(self, fields: dict[str, Field]) -> tuple[JmxRule, ...]:
        if "rules" not in fields:
            return (JmxRule(1),)
        items = self.list_of(fields["rules"], "'rules'")
        if len(items) > MOST_RULES:
            self.source.report(items[MOST_RULES], f"more than {MOST_RULES} rules are not replayed", "Shorten the list")
            return ()
        rules = []
        for number, item in enumerate(items, 1):
            if isinstance(item, MappingNode):
                rules.append(self.rule(item, number))
            else:
                problem = f"rule {number} is a {kind_of(item)}; the exporter refuses it"
                self.source.report(item, problem, "Write it as '- pattern: ...'")
        return tuple(rules)

    def rule(self, node: MappingNode, number: int) -> JmxRule:
        what = f"rule {number}"
        fields = self.fields(node, _RULE_KEYS, what)
        places = {key: self.source.start(entry.value) for key, entry in fields.items()}
        places[""] = self.source.start(node)
        text = self.loose(fields, "pattern", what)
        value, factor = self.loose(fields, "value", what), self.loose(fields, "valueFactor", what)
        kind = "UNKNOWN"
        if "type" in fields:
            found = self.scalar(fields["type"], f"'type' of {what}", ("text",))
            kind = found.text if found is not None else kind
        name, help_ = self.text(fields, "name", what), self.text(fields, "help", what)
        labels = self.labels(fields, what)
        if name is None and (help_ is not None or "labels" in fields):
            problem = f"{what} has labels or help and no name; the exporter refuses it"
            self.source.report(places[""], problem, "Add 'name:'")
        if name is not None and text is None:
            problem = f"{what} has a name and no pattern; the exporter refuses it"
            self.source.report(places[""], problem, "Add 'pattern:'")
        number_of = None if factor is None else java_number(factor)
        if factor is not None and number_of is None:
            problem = f"valueFactor {factor!r} is no number: 1.0 to 1.5 take 1 instead, 1.6 refuses it"
            self.odd.append(self.source.finding(places["valueFactor"], problem, "Write a number"))
        return JmxRule(
            number=number,
            pattern=None if text is None else self.pattern(text, fields["pattern"], what),
            text=text or "",
            name=name,
            value=value,
            help=help_,
            factor=1.0 if number_of is None else number_of,
            labels=labels,
            kind="UNKNOWN" if kind == "UNTYPED" else kind,
            cache=self.boolean(fields, "cache"),
            snake=self.boolean(fields, "attrNameSnakeCase"),
            places=places,
        )

    def loose(self, fields: dict[str, Field], key: str, what: str) -> str | None:
        """Return what the exporter takes whatever its type, as the text that Java makes of it."""
        if key not in fields:
            return None
        # A number with a point would be written as Java writes it.
        wanted = ("text", "int", "bool", "null", *(() if key == "pattern" else ("float",)))
        found = self.scalar(fields[key], f"{key!r} of {what}", wanted)
        if found is not None and key == "pattern" and found.kind == "null":
            problem = f"{what} has an empty pattern, which the exporter reads as the word 'null'"
            self.odd.append(self.source.finding(fields[key].key, problem, "Write a pattern, or remove the key"))
        return None if found is None else found.text

    def pattern(self, text: str, entry: Field, what: str) -> JavaPattern | None:
        try:
            pattern = JavaPattern(WRAP[0] + text + WRAP[1], self.budget)
        except RegexError as error:
            self.source.report(
                self.inside(entry, error.at - len(WRAP[0])),
                f"{what}: {error.problem}" + ("; Java refuses the pattern" if error.java else ""),
                "Correct the pattern" if error.java else "Write it without, or lint the other rules alone",
            )
            return None
        if not self.wrapped(text):
            problem = f"{what}: brackets that close what the exporter puts around a pattern are not replayed"
            self.source.report(self.inside(entry, 0), problem, "Balance the brackets of the pattern")
            return None
        return pattern

    @staticmethod
    def wrapped(text: str) -> bool:
        """Tell whether the pattern stays inside the group that the exporter puts around it."""
        try:
            JavaPattern(text)
        except RegexError:
            return False
        return True

    def inside(self, entry: Field, offset: int) -> int:
        """Return where a character of a scalar stands in the file."""
        spans = self.source.spans(entry.value)
        if not spans:
            return self.source.start(entry.value)
        return spans[min(max(offset, 0), len(spans) - 1)].start

    def labels(self, fields: dict[str, Field], what: str) -> tuple[tuple[str, str], ...]:
        if "labels" not in fields:
            return ()
        node = fields["labels"].value
        if not isinstance(node, MappingNode):
            self.source.report(node, f"'labels' of {what} is no mapping; the exporter refuses it", "Write name: value")
            return ()
        found = []
        for name, entry in self.fields(node, None, f"the labels of {what}").items():
            for part, each in (("name", Field(entry.key, entry.key)), ("value", entry)):
                if self.scalar(each, f"the {part} of label {name!r}", ("text",)) is None:
                    break
            else:
                assert isinstance(entry.value, ScalarNode)  # noqa: S101 - said by scalar
                found.append((name, str(entry.value.value)))
        return tuple(sorted(found))

    # ---- object names ---------------------------------------------------------------------------

    def names(self, fields: dict[str, Field], key: str, old: str) -> tuple[tuple[NamePattern, int], ...] | None:
        if key in fields and old in fields:
            problem = f"{old!r} has no effect beside {key!r}"
            self.odd.append(self.source.finding(fields[old].key, problem, "Keep one of the two"))
        used = key if key in fields else old
        if used not in fields:
            return None
        found = []
        for node in self.list_of(fields[used], repr(used)):
            text = self.scalar(Field(fields[used].key, node), f"an item of {used!r}", ("text",))
            pattern = None if text is None else self.name_pattern(text.text, node)
            if pattern is not None:
                found.append((pattern, self.source.start(node)))
        return tuple(found)

    def name_pattern(self, text: str, node: Node) -> NamePattern | None:
        pattern = parse_name_pattern(text)
        if isinstance(pattern, NamePattern):
            return pattern
        cure = "Write it like kafka.server:type=BrokerTopicMetrics,*"
        self.source.report(node, f"object name {text!r} {pattern}; the exporter refuses it", cure)
        return None

    def attributes(self, fields: dict[str, Field]) -> tuple[tuple[NamePattern, frozenset[str], int], ...]:
        key = "excludeObjectNameAttributes"
        if key not in fields:
            return ()
        node = fields[key].value
        if not isinstance(node, MappingNode):
            self.source.report(
                node, f"{key!r} is no mapping; the exporter refuses it", "Write object name: [attributes]"
            )
            return ()
        found = []
        for name, entry in self.fields(node, None, repr(key)).items():
            pattern = self.name_pattern(name, entry.key)
            names = [
                self.scalar(Field(entry.key, item), f"an attribute of {name!r}", ("text",))
                for item in self.list_of(entry, f"the attributes of {name!r}")
            ]
            if pattern is not None:
                said = frozenset(each.text for each in names if each is not None)
                found.append((pattern, said, self.source.start(entry.key)))
        return tuple(found)
