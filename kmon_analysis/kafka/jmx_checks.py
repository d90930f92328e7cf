"""What is wrong with a configuration of the JMX exporter, told from its replay."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from kmon_analysis.errors import Finding
from kmon_analysis.kafka.javamatch import Captures
from kmon_analysis.kafka.jmx_config import JmxConfig, JmxRule
from kmon_analysis.kafka.jmx_replay import (
    ExporterVersion,
    Reading,
    Replay,
    Sample,
    matched,
    readings,
    safe_name,
)
from kmon_analysis.kafka.mbeans import Attribute, MBean, Table

__all__ = ["Case", "Remark", "all_remarks"]

# Said once for each place, however many series there are.
ALIKE = ("collision", "counted-twice", "labels-differ", "replica-lag", "scrape-fails", "type-differs")
KINDS = ("COUNTER", "GAUGE", "UNKNOWN")
# Attributes that go up and down; a counter of them seems to be reset all the time.
_LEVELS = re.compile(r"Value|.*Rate|Mean|Max|Min|StdDev|\d+thPercentile")
_NEXT_KEY = re.compile(r", ([\w.-]+)=")
_GROUP_USES = re.compile(r"\\.|\$(\d)|\$\{(\w+)\}")
_AIM = re.compile(r"([\w.\\-]+)<")
_AIM_TYPE = re.compile(r"type=\(?([\w-]+)")


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing to know.

    Attributes
    ----------
    code : str
        A stable name.
    fault : bool
        Whether it is a fault; else a note.
    finding : Finding
        What, where, and the cure.
    """

    code: str
    fault: bool
    finding: Finding


@dataclass
class Case:
    """A configuration with its replay.

    Attributes
    ----------
    config : JmxConfig
        The configuration.
    table : Table
        The MBeans.
    version : ExporterVersion
        The release.
    replay : Replay
        What comes of it.
    matches : dict
        Per rule number, every attribute that it matches whatever the rules before it do.
    """

    config: JmxConfig
    table: Table
    version: ExporterVersion
    replay: Replay
    matches: dict[int, list[tuple[Reading, Captures]]] = field(init=False)
    remarks: list[Remark] = field(default_factory=list)

    def __post_init__(self) -> None:
        # Attributes are told apart by identity: each bean of the table has its own.
        left_out = {id(reading.attribute) for reading in self.replay.filtered}
        self.everything = readings(self.table.beans)
        self.kept = [each for each in self.everything if id(each.attribute) not in left_out]
        self.matches = {rule.number: list(_matching(rule, self.kept)) for rule in self.config.rules}
        self._takers = {id(sample.reading.attribute): sample.rule for sample in self.replay.samples}
        self._takers |= {id(each.attribute): rule for each, rule, _ in self.replay.lost if rule is not None}

    def say(self, code: str, at: int, problem: str, cure: str, *, fault: bool = True) -> None:
        """Add a remark."""
        self.remarks.append(Remark(code, fault, self.config.source.finding(at, problem, cure)))

    def line(self, rule: JmxRule, key: str = "") -> int:
        """Return the line of a rule."""
        return self.config.source.finding(place(rule, key), "").line or 0

    def took(self, rule: JmxRule) -> list[Reading]:
        """List what a rule takes."""
        return [each for each, _ in self.matches[rule.number] if self.taker(each) is rule]

    def taker(self, reading: Reading) -> JmxRule | None:
        """Return the rule that takes an attribute."""
        return self._takers.get(id(reading.attribute))


def place(rule: JmxRule, key: str = "pattern") -> int:
    """Return the offset of a key's value, else of the rule."""
    return rule.places.get(key, rule.places.get("", 0))


def _matching(rule: JmxRule, among: Iterable[Reading]) -> Iterator[tuple[Reading, Captures]]:
    for reading in among:
        captures = matched(rule, reading)
        if captures is not None:
            yield reading, captures


def all_remarks(case: Case) -> list[Remark]:
    """Run every check.

    Returns
    -------
    list of Remark
        By line, faults before notes of the same place.
    """
    for check in (_odd, _names, _rules_at_all, _breaks, _reach, _needs, _swallowed, _families, _kinds, _values):
        check(case)
    groups: dict[tuple[str, int | None, int | None, str], list[Remark]] = {}
    for remark in case.remarks:
        once = "" if remark.code in ALIKE else remark.finding.problem
        groups.setdefault((remark.code, remark.finding.line, remark.finding.column, once), []).append(remark)
    kept = [_counted(group) for group in groups.values()]
    return sorted(kept, key=lambda each: (each.finding.line or 0, each.finding.column or 0, not each.fault))


def _counted(alike: Sequence[Remark]) -> Remark:
    """Say the first of many, and how many there are."""
    first, more = alike[0], len({remark.finding.problem for remark in alike}) - 1
    if not more:
        return first
    return replace(first, finding=replace(first.finding, problem=f"{first.finding.problem} (and {more} more like it)"))


def _odd(case: Case) -> None:
    """What the exporter overlooks in silence."""
    case.remarks += [Remark("no-effect", True, finding) for finding in case.config.odd]
    if not case.version.infers_counters:
        for key in ("inferCounterTypeFromName", "excludeJvmMetrics"):
            if key in case.config.places:
                problem = f"{key!r} has no effect before release 1.4 of the exporter"
                case.say("no-effect", case.config.places[key], problem, "Remove it, or name your release")


def _names(case: Case) -> None:
    """Object names that find nothing."""
    config, beans = case.config, case.table.beans
    domains = {bean.domain for bean in beans}
    for what, names in (("included", config.include or ()), ("excluded", config.exclude)):
        for name, at in names:
            if any(name.matches(bean) for bean in beans):
                continue
            known = name.domain in domains or any(char in name.domain for char in "*?")
            spaced = any(key != key.strip() for key, _ in name.properties)
            exact = not name.more and any(
                type(name)(name.text, name.domain, name.properties, more=True).matches(bean) for bean in beans
            )
            cure = "Check the spelling; the table of MBeans is not complete"
            if spaced:
                cure = "Remove the blank behind the comma: object names have none"
            elif exact:
                cure = f"Write {name.text},* to allow further properties"
            problem = f"no MBean is {what} by {name.text!r}"
            case.say("object-name", at, problem, cure, fault=known or spaced or exact)
    for name, attributes, at in config.attributes:
        if name.is_pattern:
            problem = f"{name.text!r} leaves no attribute out: wildcards are not understood here"
            case.say("object-name", at, problem, "Write the whole object name, or use excludeObjectNames")
        elif not attributes:
            case.say("object-name", at, f"{name.text!r} names no attributes", "Name some, or remove it")


def _rules_at_all(case: Case) -> None:
    if not case.config.rules:
        problem = "there are no rules, so that nothing is exported"
        case.say("no-rules", case.config.places["rules"], problem, "Remove 'rules:' for all attributes, or add rules")


def _breaks(case: Case) -> None:
    """What makes scrapes fail."""
    for each in case.replay.breaks:
        result = "every scrape is answered with an error" if each.whole else "the scrape ends there, at random"
        problem = f"rule {each.rule.number}: {each.problem}; {result}"
        case.say("scrape-fails", place(each.rule, each.key), problem, _cure_of(each.problem))


def _cure_of(problem: str) -> str:
    if "of its own" in problem:
        return "Give the metric another name"
    if "label" in problem:
        return "Use letters, digits and '_', and each label once"
    if "negative" in problem:
        return "Write 'type: GAUGE'"
    if "without 'pattern'" in problem:
        return "Add 'pattern: .*'"
    return "Name a group that the pattern has"


# ---- rules that take nothing --------------------------------------------------------------------


def _reach(case: Case) -> None:
    """Rules that take nothing, or not what they are for."""
    for rule in case.config.rules:
        if rule.pattern is None:
            if not case.took(rule) and case.kept:
                problem = f"rule {rule.number} is never reached: earlier rules take everything"
                case.say("shadowed", place(rule), problem, "Move it up, or remove it")
            continue
        if not case.matches[rule.number]:
            _dead(case, rule)
            continue
        lost: dict[int, list[Reading]] = {}
        for reading, _ in case.matches[rule.number]:
            taker = case.taker(reading)
            if taker is not None and taker is not rule:
                lost.setdefault(taker.number, []).append(reading)
        takers = [other for other in case.config.rules if other.number in lost]
        where = _listed([f"the rule on line {case.line(other)}" for other in takers])
        count = sum(map(len, lost.values()))
        if count == len(case.matches[rule.number]):
            problem = (
                f"rule {rule.number} is never reached: all {count} attributes that it matches are taken by {where}"
            )
            case.say("shadowed", place(rule), problem, f"Move it before line {case.line(takers[0])}")
            continue
        wider = [other for other in takers if len(other.labels) < len(rule.labels) and other.name is not None]
        if wider:
            some, example = lost[wider[0].number], lost[wider[0].number][0].bean.object_name
            problem = (
                f"rule {rule.number} loses {len(some)} of the {len(case.matches[rule.number])} attributes that it "
                f"matches to the rule on line {case.line(wider[0])}, which gives them fewer labels: {example}"
            )
            case.say("shadowed", place(rule), problem, f"Move it before line {case.line(wider[0])}")


def _dead(case: Case, rule: JmxRule) -> None:
    """Say why a rule matches nothing."""
    at, what = place(rule), f"rule {rule.number} matches nothing"
    left_out = list(_matching(rule, case.replay.filtered))
    if left_out:
        problem = f"{what}: {left_out[0][0].bean.object_name} is left out by the object names of the configuration"
        case.say("filtered", at, problem, "Include it, or remove the rule")
        return
    if rule.cache and any(_matching(_uncached(rule), case.kept)):
        problem = f"{what}: with 'cache: true' the value is not part of what is matched"
        case.say("cached-value", at, problem, "End the pattern at ':', or remove 'cache'")
        return
    aimed = _other_attributes(case, rule, case.table.beans)
    if aimed:
        bean, name = aimed[0]
        case.say("no-attribute", at, f"{what}: {_lacks(bean, name)}", _attribute_cure(bean, name))
        return
    gone = _other_attributes(case, rule, case.table.gone)
    if gone:
        problem = f"{what}: {gone[0][0].object_name} is gone since Kafka 4.0 (no ZooKeeper)"
        case.say("gone", at, problem, "Remove the rule")
        return
    known = _is_known(case, rule)
    problem = f"{what} that a broker or controller of Kafka 4 has"
    if not known:
        problem = f"rule {rule.number} is about MBeans that are not in the table; nothing is said about it"
    cure = "Patterns are matched against 'domain<key=value, key=value><>Attribute: value', with a blank behind commas"
    case.say("dead" if known else "unknown", at, problem, cure, fault=known)


def _uncached(rule: JmxRule) -> JmxRule:
    return JmxRule(rule.number, pattern=rule.pattern, snake=rule.snake)


def _is_known(case: Case, rule: JmxRule) -> bool:
    """Tell whether the pattern names a domain, and a type if it names one, that the table has."""
    aim = _AIM.search(rule.text)
    domain = aim[1].replace("\\", "") if aim else ""
    kind = _AIM_TYPE.search(rule.text)
    types = {dict(bean.properties).get("type") for bean in case.table.beans if not aim or bean.domain == domain}
    return bool(types) and (kind is None or kind[1] in types)


def _other_attributes(case: Case, rule: JmxRule, beans: Sequence[MBean]) -> list[tuple[MBean, str]]:
    """List beans that the rule would match if they had an attribute of another bean, with that attribute."""
    # Names of meters, histograms and gauges, and those that the pattern itself says.
    said = set(re.findall(r"[\w-]+", rule.text))
    names = {
        each.attribute.name: each.attribute
        for each in case.everything
        if _LEVELS.fullmatch(each.attribute.name) or each.attribute.name in said | {"Count"}
    }
    found = []
    for bean in beans:
        own = {attribute.name for attribute in bean.attributes}
        for name, attribute in names.items():
            if name not in own and matched(rule, Reading(bean, Attribute((), name, attribute.value))) is not None:
                found.append((bean, name))
                break
    return found


def _lacks(bean: MBean, name: str) -> str:
    own = [attribute.name for attribute in bean.attributes if not isinstance(attribute.value, str)]
    shown = ", ".join(own[:3]) + (", …" if len(own) > 3 else "")
    kind = "a meter" if "OneMinuteRate" in own else "this MBean"
    return f"{bean.object_name} has no attribute {name!r}: {kind} has {shown}"


def _attribute_cure(bean: MBean, name: str) -> str:
    own = [attribute.name for attribute in bean.attributes]
    better = "Count" if "Count" in own else "Value" if "Value" in own else own[0]
    return f"Write {better}: instead of {name}"


def _needs(case: Case) -> None:
    """What alert rules stand on and is not exported."""
    exported = {(s.reading.bean.object_name, s.reading.attribute.name) for s in case.replay.samples}
    filtered = {each.bean.object_name for each in case.replay.filtered}
    beans = {bean.object_name: bean for bean in case.table.beans}
    failing: dict[tuple[int, str], list[str]] = {}
    beside: dict[int, MBean] = {}
    for need in case.table.needed:
        missing = [name for name in need.objects if (name, need.attribute) not in exported]
        if not missing:
            continue
        bean = beans[missing[0]]
        if bean.object_name in filtered:
            at = next(
                (case.config.places[key] for key in case.config.places if key.endswith("ObjectNames")),
                0,
            )
            problem = f"nothing tells {need.purpose}: {need.name} is left out by the object names"
            case.say("missing", at, problem, "Include it")
            continue
        aimed = [
            (rule, name)
            for rule in case.config.rules
            if rule.pattern is not None
            for _, name in _other_attributes(case, rule, [bean])
        ]
        for rule, name in aimed:
            failing.setdefault((rule.number, name), []).append(need.purpose)
            beside.setdefault(rule.number, bean)
        if not aimed:
            problem = f"nothing tells {need.purpose}: {need.name} ({need.attribute}) is not exported"
            cure = "Add a rule for it; 'kmon jmx init' writes one"
            case.say("missing", case.config.places.get("rules", 0), problem, cure)
    for (number, name), purposes in failing.items():
        rule, bean = case.config.rules[number - 1], beside[number]
        problem = f"rule {number} gives nothing for {_listed(purposes)}: {_lacks(bean, name)}"
        # A rule that is of use for other attributes stays as it is.
        cure = "Add a rule with Count: for meters before it" if case.took(rule) else _attribute_cure(bean, name)
        case.say("no-attribute", place(rule), problem, cure)


# ---- what comes out -----------------------------------------------------------------------------


def _swallowed(case: Case) -> None:
    """Groups that take more than one property, and topics that end up in names."""
    for rule in case.config.rules:
        if rule.pattern is None or rule.name is None:
            continue
        used = {"name": _groups(rule, rule.name)}
        for label, template in rule.labels:
            used[f"label {label!r}"] = _groups(rule, template)
        taken: dict[tuple[str, int], dict[str, str]] = {}
        # Of a rule that is never reached, what it would do is told.
        mine = [each for each in case.matches[rule.number] if case.taker(each[0]) is rule]
        for _, captures in mine or case.matches[rule.number]:
            for part, groups in used.items():
                for group in groups:
                    text = (captures[group] if group < len(captures) else None) or ""
                    for key in _NEXT_KEY.findall(text):
                        taken.setdefault((part, group), {}).setdefault(key, text)
        for (part, group), texts in taken.items():
            key = "topic" if "topic" in texts else next(iter(texts))
            _say_swallowed(case, rule, group, part, texts[key], key)
        if not taken:
            _topic_in_name(case, rule)


def _say_swallowed(case: Case, rule: JmxRule, group: int, part: str, text: str, key: str) -> None:
    inside = f"the metric's name: one metric for each {key}, without a label" if part == "name" else f"the {part}"
    problem = f"rule {rule.number}: group {group} takes {text!r}, so that '{key}' becomes part of {inside}"
    cure = f"Write ([^,]+) for the group, and a group and a label for {key!r}"
    case.say("greedy", place(rule), problem, cure)


def _topic_in_name(case: Case, rule: JmxRule) -> None:
    for sample in case.replay.samples:
        if sample.rule is not rule:
            continue
        for key in ("topic", "clientId", "client-id"):
            value = dict(sample.reading.bean.properties).get(key)
            if value and safe_name(value).lower() in sample.said.lower():
                problem = f"rule {rule.number} puts the {key} into the metric's name: {sample.said}"
                case.say("topic-in-name", place(rule, "name"), problem, f"Put it into 'labels:' as {key}")
                return


def _groups(rule: JmxRule, template: str) -> list[int]:
    """List the groups that a template uses."""
    names = rule.pattern.tree.names if rule.pattern is not None else {}
    found = []
    for use in _GROUP_USES.finditer(template):
        if use[1]:
            found.append(int(use[1]))
        elif use[2] in names:
            found.append(names[use[2]])
    return found


def _families(case: Case) -> None:
    """Series that are one, counted twice, or of differing labels and types."""
    for family in case.replay.families:
        samples = [sample for _, sample in family.rows]
        first = samples[0]
        if family.collides:
            _say_collision(case, family.name, samples)
        else:
            _twice(case, family.name, samples)
        kinds = {sample.kind: sample.rule for sample in samples}
        if len(kinds) > 1:
            said = _listed([f"{kind} (line {case.line(rule, 'type')})" for kind, rule in kinds.items()])
            problem = f"{family.name} is {said}: it is exported without a type"
            case.say("type-differs", place(samples[-1].rule, "type"), problem, "Give both rules the same type")
        if first.rule.name is not None and "ConsumerLag" in family.name:
            problem = f"{family.name} is how far this broker's own replicas are behind, not the lag of consumers"
            cure = "Take the lag of consumers from kafka_exporter or another source; no MBean of a broker has it"
            case.say("replica-lag", place(first.rule, "name"), problem, cure, fault=False)


def _say_collision(case: Case, name: str, samples: Sequence[Sample]) -> None:
    seen: dict[tuple[tuple[str, str], ...], Sample] = {}
    for sample in samples:
        key = tuple(sorted(sample.labels))
        other = seen.setdefault(key, sample)
        if other is sample:
            continue
        one, two = other.reading, sample.reading
        if one.bean is two.bean:
            differs, cure = "attribute", "End the pattern at one attribute, as in <>Count:, or put it into the name"
        else:
            has = dict(one.bean.properties)
            keys = [key for key, value in two.bean.properties if has.get(key) != value]
            differs = keys[0] if keys else "domain"
            cure = f"Give the rule a group and a label for {differs!r}"
        problem = (
            f"{_short(one)} and {_short(two)} both become {name}{_braces(key)}: the exporter tells all series of that "
            "name apart by a label _objectname"
        )
        case.say("collision", place(sample.rule), problem, cure)
        return


def _twice(case: Case, name: str, samples: Sequence[Sample]) -> None:
    """Find the sum over all topics beside its parts."""
    totals = {
        (s.reading.bean.domain, frozenset(s.reading.bean.properties), s.reading.attribute.name): s for s in samples
    }
    for sample in samples:
        bean = sample.reading.bean
        if "topic" not in dict(bean.properties) or "partition" in dict(bean.properties):
            continue
        rest = frozenset(pair for pair in bean.properties if pair[0] != "topic")
        total = totals.get((bean.domain, rest, sample.reading.attribute.name))
        if total is not None:
            problem = (
                f"{name} holds the topics (line {case.line(sample.rule)}) and the sum over all topics "
                f"(line {case.line(total.rule)}): sum({name}) counts everything twice"
            )
            cure = "Give the sum over all topics another name, or leave it out"
            case.say("counted-twice", place(total.rule, "name"), problem, cure)
            return
    sets = {tuple(sorted(label for label, _ in s.labels)): s for s in samples}
    if len(sets) > 1:
        said = _listed(["{" + ", ".join(names) + "}" for names in sets])
        problem = f"{name} has series with different labels: {said}"
        case.say("labels-differ", place(samples[-1].rule), problem, "Give them different names", fault=False)


def _kinds(case: Case) -> None:
    """Types and the suffixes that go with them."""
    for rule in case.config.rules:
        mine = [sample for sample in case.replay.samples if sample.rule is rule]
        if rule.kind not in KINDS:
            better = rule.kind.upper() if rule.kind.upper() in (*KINDS, "UNTYPED") else "COUNTER, GAUGE or UNTYPED"
            problem = f"rule {rule.number}: the exporter does not know the type {rule.kind!r} and exports without one"
            case.say("type", place(rule, "type"), problem, f"Write {better}")
        if not mine:
            continue
        where = place(rule, "name" if rule.name is not None else "")
        cut = [sample for sample in mine if sample.said != sample.name and sample.kind != "COUNTER"]
        if cut:
            suffix = cut[0].said[len(cut[0].name) :]
            kept = f"the exporter keeps {suffix!r} for itself"
            problem = f"rule {rule.number}: {kept}: {cut[0].said} is exported as {cut[0].name}"
            case.say("suffix", where, problem, "Add 'type: COUNTER'" if suffix == "_total" else "Choose another name")
        counters = [sample for sample in mine if sample.kind == "COUNTER"]
        plain = [sample for sample in counters if not sample.said.endswith("_total")]
        if plain:
            problem = f"rule {rule.number}: {plain[0].said} is a COUNTER and is exported as {plain[0].name}_total"
            case.say("suffix", where, problem, "Write 'type: UNTYPED' to keep the name", fault=False)
        levels = [sample for sample in counters if _LEVELS.fullmatch(sample.reading.attribute.name)]
        if levels:
            reading = levels[0].reading
            problem = (
                f"rule {rule.number}: {_short(reading)} goes up and down; as a COUNTER each fall seems to be a reset"
            )
            case.say("type", place(rule, "type"), problem, "Write 'type: GAUGE'")
        gauges = [s for s in mine if s.kind == "GAUGE" and s.reading.attribute.name == "Count"]
        if gauges:
            problem = f"rule {rule.number}: {_short(gauges[0].reading)} only grows and is exported as a GAUGE"
            case.say("type", place(rule, "type"), problem, "Write 'type: UNTYPED' or 'type: COUNTER'", fault=False)


def _values(case: Case) -> None:
    """Rules that take attributes and export none."""
    for rule in case.config.rules:
        reasons = [(reading, why) for reading, taker, why in case.replay.lost if taker is rule]
        broken = {each.problem for each in case.replay.breaks}
        odd = [(reading, why) for reading, why in reasons if why != "its value is text" and why not in broken]
        if odd:
            reading, why = odd[0]
            problem = f"rule {rule.number} takes {_short(reading)} and exports nothing of it: {why}"
            case.say("no-value", place(rule, "name" if why == "the name is empty" else "value"), problem, "Correct it")
        elif reasons and rule.pattern is not None and not any(s.rule is rule for s in case.replay.samples):
            problem = f"rule {rule.number} exports nothing: {_short(reasons[0][0])} is text"
            if not any(why in broken for _, why in reasons):
                case.say("no-value", place(rule), problem, "Add 'value: 1' and a label, or choose another attribute")


def _short(reading: Reading) -> str:
    return f"{reading.bean.object_name} {'/'.join([*reading.attribute.keys, reading.attribute.name])}"


def _braces(labels: tuple[tuple[str, str], ...]) -> str:
    return "{" + ", ".join(f'{name}="{value}"' for name, value in labels) + "}" if labels else ""


def _listed(items: Sequence[str]) -> str:
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)
