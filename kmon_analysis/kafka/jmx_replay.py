"""What the JMX exporter makes of each attribute: first rule that matches, names made safe, types, labels.

Replays jmx_exporter 1.0 to 1.6 on its first scrape.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from kmon_analysis.errors import DataFileError, SettingError
from kmon_analysis.kafka.javamatch import Captures
from kmon_analysis.kafka.javaregex import RegexError, RegexTree
from kmon_analysis.kafka.jmx_config import JmxConfig, JmxRule
from kmon_analysis.kafka.mbeans import Attribute, MBean, kafka_table
from kmon_analysis.kafka.yaml11 import java_number

__all__ = ["Breakage", "ExporterVersion", "Family", "Reading", "Replay", "Sample", "matched", "readings", "replay"]

FIRST, LAST = (1, 0), (1, 6)
DEFAULT_VERSION = "1.0.1"
OBJECT_NAME_LABEL = "_objectname"
_RESERVED = ("_total", "_created", "_bucket", "_info")
_ILLEGAL = re.compile(r"[^a-zA-Z0-9:]+")
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(frozen=True, slots=True, order=True)
class ExporterVersion:
    """A release of the exporter; what differs between releases asks it.

    Attributes
    ----------
    major, minor : int
        Release.
    """

    major: int
    minor: int

    @classmethod
    def parse(cls, text: str) -> ExporterVersion:
        """Read ``1.0.1`` or ``1.4``.

        Raises
        ------
        SettingError
            If it is no release that is replayed.
        """
        found = re.fullmatch(r"v?(\d{1,3})\.(\d{1,3})(?:\.\d{1,3})?", text.strip())
        version = (int(found[1]), int(found[2])) if found else None
        if version is None or not FIRST <= version <= LAST:
            raise SettingError(
                f"release {text!r} of the exporter is not replayed",
                cure=f"Name one from {'.'.join(map(str, FIRST))} to {'.'.join(map(str, LAST))}, for example 1.0.1",
            )
        return cls(*version)

    @property
    def labels_while_scraping(self) -> bool:
        """Whether labels are checked as each attribute is read (else when the answer is made)."""
        return (self.major, self.minor) >= (1, 3)

    @property
    def infers_counters(self) -> bool:
        """Whether ``inferCounterTypeFromName`` and ``excludeJvmMetrics`` exist."""
        return (self.major, self.minor) >= (1, 4)


@dataclass(frozen=True, slots=True)
class Reading:
    """One attribute of one MBean.

    Attributes
    ----------
    bean : MBean
        The bean.
    attribute : Attribute
        The attribute.
    prefix : str
        ``domain<key=value, ...><keys>``.
    """

    bean: MBean
    attribute: Attribute
    prefix: str = field(init=False)

    def __post_init__(self) -> None:
        properties = ", ".join(f"{key}={value}" for key, value in self.bean.properties)
        prefix = f"{self.bean.domain}<{properties}><{', '.join(self.attribute.keys)}>"
        object.__setattr__(self, "prefix", prefix)

    def text(self, *, snake: bool = False, cache: bool = False) -> str:
        """Return the string that patterns are matched against."""
        value = self.attribute.value
        said = str(value).lower() if isinstance(value, bool) else str(value)
        name = snake_case(self.attribute.name) if snake else self.attribute.name
        return f"{self.prefix}{name}: {'<cache>' if cache else said}"


@dataclass(frozen=True, slots=True)
class Sample:
    """One value that a rule makes.

    Attributes
    ----------
    name : str
        Of the family, without ``_total``.
    labels : tuple of (str, str)
        As the rule makes them, in its order.
    value : float
        Value.
    help : str or None
        Help; None where it is not known here.
    rule : JmxRule
        The rule.
    reading : Reading
        The attribute.
    captures : tuple
        Groups of the pattern.
    kind : str
        ``COUNTER``, ``GAUGE``, ``UNKNOWN`` or what was written.
    said : str
        The name before reserved suffixes were removed.
    """

    name: str
    labels: tuple[tuple[str, str], ...]
    value: float
    help: str | None
    rule: JmxRule
    reading: Reading
    captures: Captures
    kind: str
    said: str


@dataclass(frozen=True, slots=True)
class Family:
    """All samples of one name, as exported.

    Attributes
    ----------
    name : str
        As exported, with ``_total`` for counters.
    kind : str
        ``counter``, ``gauge`` or ``untyped``.
    rows : tuple of (labels, Sample)
        Labels sorted by name.
    collides : bool
        Whether label sets were repeated, so that ``_objectname`` was added to all.
    """

    name: str
    kind: str
    rows: tuple[tuple[tuple[tuple[str, str], ...], Sample], ...]
    collides: bool


@dataclass(frozen=True, slots=True)
class Breakage:
    """What makes a scrape fail.

    Attributes
    ----------
    rule : JmxRule
        The rule.
    key : str
        The key of the rule, for its place.
    problem : str
        What happens.
    whole : bool
        Whether the exporter answers with an error, instead of with what it had read so far.
    """

    rule: JmxRule
    key: str
    problem: str
    whole: bool


@dataclass(frozen=True, slots=True)
class Replay:
    """All that the exporter exports.

    Attributes
    ----------
    families : tuple of Family
        Sorted by name; what is exported when nothing breaks.
    samples : tuple of Sample
        In the order of the table.
    lost : tuple of (Reading, JmxRule or None, str)
        Attributes that are not exported, with the rule that took them and the reason; "" where no rule matched.
    filtered : tuple of Reading
        Attributes left out by object names.
    breaks : tuple of Breakage
        What makes scrapes fail; then the families are not what arrives.
    """

    families: tuple[Family, ...]
    samples: tuple[Sample, ...]
    lost: tuple[tuple[Reading, JmxRule | None, str], ...]
    filtered: tuple[Reading, ...]
    breaks: tuple[Breakage, ...]


class _ScrapeError(Exception):
    """An exception in the exporter while it reads an attribute."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(problem)
        self.key = key
        self.problem = problem


def readings(beans: Iterable[MBean]) -> list[Reading]:
    """List all attributes of MBeans."""
    return [Reading(bean, attribute) for bean in beans for attribute in bean.attributes]


def matched(rule: JmxRule, reading: Reading) -> Captures | None:
    """Match one rule on one attribute; a rule without a pattern matches all."""
    if rule.pattern is None:
        return ("",)
    return rule.pattern.match(reading.text(snake=rule.snake, cache=rule.cache))


def replay(config: JmxConfig, beans: Sequence[MBean], version: ExporterVersion | None = None) -> Replay:
    """Replay one scrape.

    Parameters
    ----------
    config : JmxConfig
        The configuration.
    beans : sequence of MBean
        What is registered.
    version : ExporterVersion, optional
        1.0 by default.

    Raises
    ------
    DataFileError
        If a pattern needs too many steps.

    Notes
    -----
    jmx_exporter ``JmxCollector.Receiver.recordBean``, ``JmxScraper.doScrape``,
    ``MatchedRuleToMetricSnapshotsConverter.convert``; client_java ``PrometheusNaming``, ``Labels``.
    """
    version = version or ExporterVersion(*FIRST)
    samples: list[Sample] = []
    lost: list[tuple[Reading, JmxRule | None, str]] = []
    filtered: list[Reading] = []
    breaks: list[Breakage] = []
    for reading in readings(beans):
        if not _kept(config, reading, version):
            filtered.append(reading)
            continue
        for rule in config.rules:
            try:
                captures = matched(rule, reading)
            except RegexError as error:
                where = rule.places.get("pattern", 0)
                fault = config.source.finding(where, f"rule {rule.number} {error.problem}", "Write a simpler pattern")
                raise DataFileError([fault]) from None
            if captures is None:
                continue
            try:
                made = _record(config, rule, reading, captures, version)
            except _ScrapeError as abort:
                breaks.append(Breakage(rule, abort.key, abort.problem, whole=False))
                lost.append((reading, rule, abort.problem))
                break
            if isinstance(made, str):
                lost.append((reading, rule, made))
            else:
                samples.append(made)
            break
        else:
            lost.append((reading, None, ""))
    families = _families(samples, breaks, kafka_table().own)
    return Replay(tuple(families), tuple(samples), tuple(lost), tuple(filtered), tuple(breaks))


def _kept(config: JmxConfig, reading: Reading, version: ExporterVersion) -> bool:
    """Tell whether the object names let an attribute through."""
    bean = reading.bean
    if config.include is not None and not any(name.matches(bean) for name, _ in config.include):
        return False
    if any(name.matches(bean) for name, _ in config.exclude):
        return False
    if config.exclude_jvm and version.infers_counters and bean.domain.startswith(("java.", "jdk.", "com.sun.", "sun.")):
        return False
    # Looked up by equality: wildcards match nothing here.
    top = reading.attribute.keys[0] if reading.attribute.keys else reading.attribute.name
    return not any(
        top in names
        and name.domain == bean.domain
        and not name.is_pattern
        and dict(name.properties) == dict(bean.properties)
        for name, names, _ in config.attributes
    )


def _record(
    config: JmxConfig, rule: JmxRule, reading: Reading, captures: Captures, version: ExporterVersion
) -> Sample | str:
    """Make a sample of a matched attribute, or say why there is none."""
    value: float | None = None
    if rule.value:
        if rule.pattern is None:
            raise _ScrapeError("value", "'value' without 'pattern' stops every scrape")
        said = _fill(rule, "value", rule.value, captures)
        value = java_number(said)
        if value is None:
            return f"the value {said!r} is no number"
    if rule.name is None:
        name, labels = _default_export(config, rule, reading)
        help_ = _default_help(reading)
    else:
        name = safe_name(_fill(rule, "name", rule.name, captures))
        if not name:
            return "the name is empty"
        name = name.lower() if config.lowercase_names else name
        help_ = _default_help(reading) if rule.help is None else _fill(rule, "help", rule.help, captures)
        labels = []
        for label, template in rule.labels:
            label_name = safe_name(_fill(rule, "labels", label, captures))
            label_value = _fill(rule, "labels", template, captures)
            label_name = label_name.lower() if config.lowercase_labels else label_name
            if label_name and label_value:
                labels.append((label_name, label_value))
    kind = rule.kind
    if config.infer_counters and version.infers_counters and name.endswith("_total"):
        kind = "COUNTER"
    if version.labels_while_scraping:
        problem = _label_fault([label for label, _ in labels])
        if problem:
            raise _ScrapeError("labels", problem)
    if value is None:
        number = reading.attribute.value
        if isinstance(number, str):
            return "its value is text"
        value = float(number)
        if not isinstance(number, bool):
            value *= rule.factor
    else:
        value *= rule.factor
    return Sample(strip_reserved(name), tuple(labels), value, help_, rule, reading, captures, kind, name)


def _default_export(config: JmxConfig, rule: JmxRule, reading: Reading) -> tuple[str, list[tuple[str, str]]]:
    """Name an attribute by domain, first property, keys and attribute; the other properties are labels."""
    bean, attribute = reading.bean, reading.attribute
    last = snake_case(attribute.name) if rule.snake else attribute.name
    first = [bean.properties[0][1]] if bean.properties else []
    name = safe_name("_".join([bean.domain, *first, *attribute.keys, last]))
    labels = [(safe_name(key), value) for key, value in bean.properties[1:]]
    if config.lowercase_labels:
        labels = [(key.lower(), value) for key, value in labels]
    return (name.lower() if config.lowercase_names else name), labels


def _default_help(reading: Reading) -> str | None:
    """Return the exporter's help of a plain attribute of a standard MBean."""
    if reading.attribute.keys:
        return None
    has = dict(reading.bean.properties)
    about = f"name={has.get('name', 'null')},type={has.get('type', 'null')},attribute={reading.attribute.name}"
    return f"Attribute exposed for management {reading.bean.domain}:{about}"


def _label_fault(names: Sequence[str]) -> str | None:
    """Say what the client library has against label names."""
    for name in names:
        if not _LABEL_NAME.fullmatch(name) or name.startswith("__"):
            return f"{name!r} is no valid label name"
    doubled = next((name for name in names if names.count(name) > 1), None)
    return None if doubled is None else f"the label {doubled!r} is set twice"


def _families(samples: Sequence[Sample], breaks: list[Breakage], own: frozenset[str]) -> list[Family]:
    """Group samples by name as exported, and note what turns the answer into an error."""
    by_name: dict[str, list[Sample]] = {}
    for sample in samples:
        by_name.setdefault(sample.name, []).append(sample)
    families = []
    for name, group in sorted(by_name.items()):
        kinds = {sample.kind for sample in group}
        kind = group[0].kind if len(kinds) == 1 else "UNKNOWN"
        for sample in group:
            fault = _label_fault([label for label, _ in sample.labels])
            if fault:
                breaks.append(Breakage(sample.rule, "labels", fault, whole=True))
            if kind == "COUNTER" and sample.value < 0:
                breaks.append(Breakage(sample.rule, "type", "a counter cannot have a negative value", whole=True))
        if name in own:
            problem = f"the exporter has a metric {name!r} of its own"
            breaks.append(Breakage(group[0].rule, "name", problem, whole=True))
        sets = [tuple(sorted(sample.labels)) for sample in group]
        collides = len(set(sets)) < len(sets)
        rows = []
        for labels, sample in zip(sets, group, strict=True):
            if collides:
                if OBJECT_NAME_LABEL in dict(labels):
                    problem = f"the label {OBJECT_NAME_LABEL!r} is set twice"
                    breaks.append(Breakage(sample.rule, "labels", problem, whole=True))
                text = sample.reading.text(snake=sample.rule.snake, cache=sample.rule.cache)
                labels = tuple(sorted([*labels, (OBJECT_NAME_LABEL, text[: text.rfind(":")])]))
            rows.append((labels, sample))
        exported = name + "_total" if kind == "COUNTER" else name
        shown = {"COUNTER": "counter", "GAUGE": "gauge"}.get(kind, "untyped")
        families.append(Family(exported, shown, tuple(rows), collides))
    return families


# ---- names and templates ------------------------------------------------------------------------


def safe_name(name: str) -> str:
    """Replace runs of illegal characters and underscores by one underscore, and keep a digit from the start.

    Examples
    --------
    >>> safe_name("kafka.server_user.registered"), safe_name("5a__b")
    ('kafka_server_user_registered', '_5a_b')
    """
    prefix = "_" if name and name[0].isdigit() else ""
    return prefix + _ILLEGAL.sub("_", name)


def snake_case(name: str) -> str:
    """Write an attribute's name in lower case with underscores before capitals.

    Examples
    --------
    >>> snake_case("OneMinuteRate"), snake_case("50thPercentile")
    ('one_minute_rate', '50th_percentile')
    """
    made: list[str] = []
    before = True
    for char in name:
        if char.isupper() and not before:
            made.append("_")
        made.append(char.lower())
        before = char.isupper() or char == "_"
    return "".join(made)


def strip_reserved(name: str) -> str:
    """Remove suffixes that the client library keeps for itself.

    Notes
    -----
    client_java ``PrometheusNaming.sanitizeMetricName``.

    Examples
    --------
    >>> strip_reserved("messages_total"), strip_reserved("_info")
    ('messages', 'info')
    """
    changed = True
    while changed:
        changed = False
        for suffix in _RESERVED:
            if name == suffix:
                return suffix[1:]
            if name.endswith(suffix):
                name, changed = name[: -len(suffix)], True
    return name


def _fill(rule: JmxRule, key: str, template: str, captures: Captures) -> str:
    """Fill a replacement text as ``Matcher.replaceAll``."""
    assert rule.pattern is not None  # noqa: S101 - the reader refuses a name without pattern
    return expand(template, rule.pattern.tree, captures, key)


def expand(template: str, tree: RegexTree, captures: Captures, key: str = "name") -> str:
    """Replace ``$1``, ``${name}`` and escapes.

    Raises
    ------
    _ScrapeError
        Where Java throws.

    Notes
    -----
    ``java.util.regex.Matcher.appendExpandedReplacement``.
    """
    made: list[str] = []
    at = 0
    while at < len(template):
        char = template[at]
        at += 1
        if char == "\\":
            if at == len(template):
                raise _ScrapeError(key, f"{template!r} ends in a backslash")
            made.append(template[at])
            at += 1
        elif char == "$":
            group, at = _reference(template, at, tree.names, tree.groups, key)
            made.append(captures[group] or "")
        else:
            made.append(char)
    return "".join(made)


def _reference(template: str, at: int, names: Mapping[str, int], groups: int, key: str) -> tuple[int, int]:
    """Read what follows a ``$``: group number and the next offset."""
    named = re.compile(r"\{([a-zA-Z][a-zA-Z0-9]*)\}").match(template, at)
    if named:
        if named[1] not in names:
            raise _ScrapeError(key, f"{template!r} names the group {named[1]!r}, which the pattern does not have")
        return names[named[1]], named.end()
    if template[at : at + 1] not in tuple("0123456789"):
        raise _ScrapeError(key, f"{template!r} has a '$' that names no group; write \\$ for the character")
    number = int(template[at])
    at += 1
    if number > groups:
        raise _ScrapeError(key, f"{template!r} names group {number}, and the pattern has {groups}")
    while template[at : at + 1] in tuple("0123456789") and number * 10 + int(template[at]) <= groups:
        number, at = number * 10 + int(template[at]), at + 1
    return number, at
