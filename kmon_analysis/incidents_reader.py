"""Reading lists of incidents: YAML and tables, with the place of everything that is wrong."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from kmon_analysis.errors import Finding, IncidentError, SettingError, nearest
from kmon_analysis.incidents import STATUSES, Excluded, Incident, Incidents, Reviewed, Status
from kmon_analysis.labels import Labels
from kmon_analysis.rules.document import Field, Source, is_null, kind_of
from kmon_analysis.timing import Interval, format_instant, parse_instant

__all__ = ["parse_table", "parse_yaml", "read_text"]

_INCIDENT_KEYS = (
    *("id", "start", "end", "labels", "rules", "must_page", "kind", "cause", "detected"),
    *("status", "suggested_by"),
)
_EXCLUDED_KEYS = ("start", "end", "reason", "labels")
_REVIEWED_KEYS = ("start", "end", "decision", "labels", "rules", "by", "when", "note")
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_LABEL_PAIR = re.compile(r'\s*([^=,;{}"\s]*)\s*=\s*("(?:[^"\\]|\\.)*"|[^,;"]*?)\s*(?:[,;]|$)')
_EXAMPLE = "incidents:\n      - {id: INC-1, start: 2026-03-01T08:00:00Z, end: 2026-03-01T09:00:00Z}"


def read_text(path: Path) -> str:
    """Read a file as UTF-8; what goes wrong is an `IncidentError`."""
    problem, cure, line, column = "", "", None, None
    try:
        raw = path.read_bytes()
        return raw.decode("utf-8")
    except FileNotFoundError:
        problem, cure = "there is no such file", "Check the path"
    except IsADirectoryError:
        problem, cure = "this is a directory", "Name the list of incidents in it"
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line, column = before.count(b"\n") + 1, len(before) - before.rfind(b"\n")
        problem, cure = f"not UTF-8: byte 0x{raw[error.start]:02x}", "Save the file as UTF-8"
    except OSError as error:
        problem, cure = f"cannot be read: {error.strerror}", "Check its permissions"
    raise IncidentError([Finding(problem, str(path), line, column, cure)])


def parse_yaml(text: str, path: str) -> Incidents:
    """Read a list of incidents in YAML; see `kmon_analysis.incidents.parse_incidents`."""
    reader = _Reader(Source(text.removeprefix("\ufeff"), path))
    reader.yaml()
    return reader.result()


def parse_table(text: str, path: str) -> Incidents:
    """Read a list of incidents in CSV; see `kmon_analysis.incidents.parse_incidents`."""
    reader = _Reader(Source(text.removeprefix("\ufeff"), path))
    reader.table()
    return reader.result()


@dataclass(frozen=True, slots=True)
class _Text:
    """A piece of text and its offset in the source."""

    at: int
    text: str


class _Reader:
    """Walks one list; faults gather in the source, so that all are reported at once."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.incidents: list[Incident] = []
        self.excluded: list[Excluded] = []
        self.reviewed: list[Reviewed] = []
        self.first_line: dict[str, int] = {}

    def result(self) -> Incidents:
        """Return the list, or raise everything that was found."""
        if self.source.findings:
            ordered = sorted(self.source.findings, key=lambda found: (found.line or 0, found.column or 0))
            raise IncidentError(ordered)
        return Incidents(tuple(self.incidents), tuple(self.excluded), self.source.path, tuple(self.reviewed))

    def report(self, at: int, problem: str, cure: str) -> None:
        """Remember a fault at an offset."""
        self.source.report(at, problem, cure)

    # What both formats share

    def incident(
        self, at: int, given: Mapping[str, _Text], labels: Labels, rules: tuple[str, ...], suggested_by: tuple[str, ...]
    ) -> None:
        """Check one incident and keep it."""
        incident_id = given["id"].text.strip() if "id" in given else ""
        what = f"incident {incident_id!r}" if incident_id else f"incident {len(self.incidents) + 1}"
        here = self.source.finding(at, "")
        if not incident_id:
            self.report(given["id"].at if "id" in given else at, f"{what} has no 'id'", "Give it a name of its own")
        elif incident_id in self.first_line:
            problem = f"id {incident_id!r} is used twice; the first is on line {self.first_line[incident_id]}"
            self.report(given["id"].at, problem, "Give each incident its own id")
        self.first_line.setdefault(incident_id, here.line or 0)
        interval = self.interval(what, at, given)
        must_page = True
        if "must_page" in given:
            must_page = self.boolean("must_page", what, given["must_page"])
        kind, cause = (given[key].text if key in given else "" for key in ("kind", "cause"))
        detected_ms = self.detected(what, given["detected"], interval) if "detected" in given else None
        span = interval or Interval(0, 0)
        status = self.status(what, given)
        self.incidents.append(
            Incident(
                id=incident_id,
                interval=span,
                labels=labels,
                rules=rules,
                must_page=must_page,
                kind=kind,
                cause=cause,
                suggested_by=suggested_by,
                detected_ms=detected_ms,
                status=status,
                line=here.line,
                column=here.column,
            )
        )

    def interval(self, what: str, at: int, given: Mapping[str, _Text]) -> Interval | None:
        """Read ``start`` and ``end``."""
        ends = []
        for key in ("start", "end"):
            if key not in given or not given[key].text.strip():
                place = given[key].at if key in given else at
                self.report(place, f"{what} has no {key!r}", f"Add '{key}: 2026-03-01T08:00:00Z'")
            elif (instant := self.instant(key, what, given[key])) is not None:
                ends.append(instant)
        if len(ends) < 2:
            return None
        start_ms, end_ms = ends
        if end_ms <= start_ms:
            relation = "before" if end_ms < start_ms else "when"
            problem = f"{what} ends at {format_instant(end_ms)}, {relation} it starts"
            if end_ms < start_ms:
                problem += f" at {format_instant(start_ms)}"
            self.report(given["end"].at, problem, "Correct the times; mind their zones")
            return None
        return Interval(start_ms, end_ms)

    def detected(self, what: str, given: _Text, interval: Interval | None) -> int | None:
        """Read when people knew of it; that may be after its end."""
        instant_ms = self.instant("detected", what, given) if given.text.strip() else None
        if interval is not None and instant_ms is not None and instant_ms < interval.start_ms:
            problem = f"{what} is detected at {format_instant(instant_ms)}, before it starts"
            self.report(given.at, problem, "Correct the times, or leave 'detected' out")
            return None
        return instant_ms

    def instant(self, key: str, what: str, given: _Text) -> int | None:
        """Read an instant."""
        try:
            return parse_instant(given.text)
        except SettingError as error:
            self.report(given.at, f"{key} of {what}: {error.problem}", error.cure or "Correct it")
        return None

    def status(self, what: str, given: Mapping[str, _Text]) -> Status:
        """Read what a person decided."""
        if "status" not in given:
            return "confirmed"
        word = given["status"].text.strip().lower()
        for known in STATUSES:
            if word == known:
                return known
        problem = f"status of {what} is {given['status'].text!r}"
        self.report(given["status"].at, problem, f"Write {', '.join(STATUSES[:-1])} or {STATUSES[-1]}")
        return "confirmed"

    def boolean(self, key: str, what: str, given: _Text) -> bool:
        """Read ``true`` or ``false``."""
        word = given.text.strip().lower()
        if word not in ("true", "false"):
            self.report(given.at, f"{key} of {what} is {given.text!r}", "Write true or false")
        return word == "true"

    def label(self, what: str, name: _Text, value: _Text) -> None:
        """Check one label."""
        if not _LABEL_NAME.fullmatch(name.text):
            self.report(name.at, f"{name.text!r} in the labels of {what} is no label name", "Use letters, digits and _")
        if not value.text:
            problem = f"label {name.text!r} of {what} has no value"
            self.report(value.at, problem, "Give its value, or remove the label to mean any")

    # YAML

    def yaml(self) -> None:
        """Read the whole text as YAML."""
        source = self.source
        if not source.text.strip():
            self.report(0, "the file is empty", f"Write at least\n\n    {_EXAMPLE}\n\n  or 'incidents: []' for none")
            return
        documents = source.documents()
        if source.findings:
            return
        if not documents:
            self.report(0, "the file holds only comments", f"Write at least\n\n    {_EXAMPLE}\n")
            return
        for extra in documents[1:]:
            self.report(
                source.start(extra), "a second YAML document", "Put everything into one document, without '---'"
            )
        top = documents[0]
        if not isinstance(top, MappingNode):
            problem = f"a list of incidents is a mapping with the key 'incidents', not a {kind_of(top)}"
            self.report(source.start(top), problem, "Put the list under 'incidents:'")
            return
        fields = self.fields(top, ("incidents", "excluded", "reviewed"), "the file")
        if "incidents" not in fields and not source.findings:
            self.report(
                source.start(top), "the file has no 'incidents'", "Add 'incidents:', or 'incidents: []' for none"
            )
        for key, read in (
            ("incidents", self.yaml_incident),
            ("excluded", self.yaml_excluded),
            ("reviewed", self.yaml_reviewed),
        ):
            for item in self.items(fields, key):
                if isinstance(item, MappingNode):
                    read(item)
                else:
                    problem = f"an entry of {key!r} must be a mapping, not a {kind_of(item)}"
                    self.report(source.start(item), problem, "Write it as 'key: value' lines")

    def yaml_incident(self, node: MappingNode) -> None:
        """Read one entry of ``incidents``."""
        fields = self.fields(node, _INCIDENT_KEYS, f"incident {len(self.incidents) + 1}")
        given = self.texts(fields, ("id", "start", "end", "must_page", "kind", "cause", "detected", "status"))
        what = f"incident {given['id'].text!r}" if "id" in given else f"incident {len(self.incidents) + 1}"
        labels, rules = self.yaml_labels(fields, what), self.yaml_rules(fields, what)
        by = self.yaml_rules(fields, what, "suggested_by")
        self.incident(self.source.start(node), given, labels, rules, by)

    def yaml_excluded(self, node: MappingNode) -> None:
        """Read one entry of ``excluded``."""
        what = f"excluded window {len(self.excluded) + 1}"
        fields = self.fields(node, _EXCLUDED_KEYS, what)
        given = self.texts(fields, ("start", "end", "reason"))
        at = self.source.start(node)
        interval = self.interval(what, at, given) or Interval(0, 0)
        reason = given["reason"].text if "reason" in given else ""
        here = self.source.finding(at, "")
        labels = self.yaml_labels(fields, what)
        self.excluded.append(Excluded(interval, reason, labels, line=here.line, column=here.column))

    def yaml_reviewed(self, node: MappingNode) -> None:
        """Read one entry of ``reviewed``."""
        what = f"reviewed page {len(self.reviewed) + 1}"
        fields = self.fields(node, _REVIEWED_KEYS, what)
        given = self.texts(fields, ("start", "end", "decision", "by", "when", "note"))
        at = self.source.start(node)
        here = self.source.finding(at, "")
        interval = self.interval(what, at, given) or Interval(0, 0)
        decision = given["decision"].text.strip() if "decision" in given else ""
        if decision != "noise":
            place = given["decision"].at if "decision" in given else at
            problem = f"decision of {what} is {decision!r}" if decision else f"{what} has no 'decision'"
            cure = "Write 'decision: noise'; incidents belong under 'incidents', expected events under 'excluded'"
            self.report(place, problem, cure)
        when_ms = self.instant("when", what, given["when"]) if "when" in given else None
        labels, rules = self.yaml_labels(fields, what), self.yaml_rules(fields, what)
        by, note = (given[key].text if key in given else "" for key in ("by", "note"))
        self.reviewed.append(
            Reviewed(interval, "noise", labels, rules, by, when_ms, note, line=here.line, column=here.column)
        )

    def fields(self, node: MappingNode, known: tuple[str, ...], what: str) -> dict[str, Field]:
        """Return a mapping's known entries; report the others with the nearest known name."""
        fields = self.source.fields(node, None, what)
        for key, entry in fields.items():
            # What << brings in may serve other readers of the anchored mapping.
            if key not in known and not entry.merged:
                cure = nearest(key, known) or f"Known here are {', '.join(known)}"
                self.report(self.source.start(entry.key), f"unknown key {key!r} in {what}", cure)
        return fields

    def items(self, fields: Mapping[str, Field], key: str) -> list[Node]:
        """Return the items of a list; null is an empty one."""
        node = fields[key].value if key in fields else None
        if node is None or is_null(node):
            return []
        if isinstance(node, SequenceNode):
            return list(node.value)
        self.report(
            self.source.start(node), f"{key!r} must be a list, not a {kind_of(node)}", "Start each item with '- '"
        )
        return []

    def texts(self, fields: Mapping[str, Field], keys: tuple[str, ...]) -> dict[str, _Text]:
        """Return the scalars among the fields as they are written, without YAML's guess at a type."""
        found = {}
        for key in keys:
            if key not in fields or is_null(fields[key].value):
                continue
            node = fields[key].value
            if isinstance(node, ScalarNode):
                found[key] = self.text(node)
            else:
                self.report(
                    self.source.start(node), f"{key!r} must be a text, not a {kind_of(node)}", "Write one value"
                )
        return found

    def text(self, node: ScalarNode) -> _Text:
        """Return a scalar as text."""
        return _Text(self.source.start(node), "" if is_null(node) else str(node.value))

    def yaml_labels(self, fields: Mapping[str, Field], what: str) -> Labels:
        """Read ``labels``."""
        node = fields["labels"].value if "labels" in fields else None
        if node is None or is_null(node):
            return Labels()
        if not isinstance(node, MappingNode):
            problem = f"labels of {what} must be a mapping, not a {kind_of(node)}"
            self.report(self.source.start(node), problem, "Write them as {topic: user.registered}")
            return Labels()
        pairs = {}
        for name, entry in self.source.fields(node, None, f"the labels of {what}").items():
            if isinstance(entry.value, ScalarNode):
                value = self.text(entry.value)
                self.label(what, _Text(self.source.start(entry.key), name), value)
                pairs[name] = value.text
            else:
                problem = f"label {name!r} of {what} must be a text, not a {kind_of(entry.value)}"
                self.report(self.source.start(entry.value), problem, "Write one value")
        return Labels(pairs)

    def yaml_rules(self, fields: Mapping[str, Field], what: str, key: str = "rules") -> tuple[str, ...]:
        """Read names of rules: a list of them, or one name."""
        node = fields[key].value if key in fields else None
        if node is None or is_null(node):
            return ()
        names = []
        for item in node.value if isinstance(node, SequenceNode) else [node]:
            if isinstance(item, ScalarNode) and not is_null(item) and str(item.value).strip():
                names.append(str(item.value).strip())
            else:
                problem = f"a rule of {what} must be a name, not {'empty' if is_null(item) else 'a ' + kind_of(item)}"
                self.report(self.source.start(item), problem, f"Write it as {key}: [HighConsumerLag]")
        return tuple(dict.fromkeys(names))

    # Tables

    def table(self) -> None:
        """Read the whole text as CSV."""
        rows = self.rows()
        if not rows:
            self.report(0, "the file is empty", "Start it with the line 'id,start,end'")
            return
        header, *records = rows
        names = [cell.text.strip().lower() for cell in header]
        for cell, name in zip(header, names, strict=True):
            if name not in _INCIDENT_KEYS:
                cure = nearest(name, _INCIDENT_KEYS) or (
                    f"Known columns are {', '.join(_INCIDENT_KEYS)}; a table with columns of its own is read by "
                    f"kmon incidents import {shlex.quote(self.source.path or 'FILE')} --from csv"
                )
                self.report(cell.at, f"unknown column {cell.text!r}", cure)
            elif names.index(name) != header.index(cell):
                self.report(cell.at, f"column {name!r} is repeated", "Keep one of the two")
        if missing := [name for name in ("id", "start", "end") if name not in names]:
            problem = f"the table has no column {' and no '.join(map(repr, missing))}"
            cure = "Start the file with a line such as 'id,start,end', or see kmon incidents import --help"
            self.report(header[0].at, problem, cure)
        if not self.source.findings:
            for record in records:
                self.record(names, record)

    def record(self, names: list[str], record: list[_Text]) -> None:
        """Read one line of a table."""
        if len(record) > len(names):
            problem = f"this line has {len(record)} cells under {len(names)} columns"
            self.report(record[len(names)].at, problem, 'Put quotes around a cell that holds the separator: "a,b"')
            return
        given = {name: cell for name, cell in zip(names, record, strict=False) if cell.text.strip()}
        what = f"incident {given['id'].text.strip()!r}" if "id" in given else f"incident {len(self.incidents) + 1}"
        labels = self.table_labels(what, given["labels"]) if "labels" in given else Labels()
        rules, by = (_names(given[key].text) if key in given else () for key in ("rules", "suggested_by"))
        self.incident(record[0].at, given, labels, rules, by)

    def table_labels(self, what: str, cell: _Text) -> Labels:
        """Read ``topic=user.registered,consumergroup=email``, with or without PromQL's quotes and braces."""
        text = cell.text.strip()
        if text.startswith("{") and text.endswith("}"):
            text = text[1:-1]
        pairs, index = {}, 0
        while index < len(text) and not text[index:].isspace():
            match = _LABEL_PAIR.match(text, index)
            if match is None:
                problem = f"labels of {what} cannot be read from {text[index:]!r}"
                self.report(cell.at, problem, "Write them as topic=user.registered,consumergroup=email")
                break
            name, value = match.groups()
            if value.startswith('"'):
                value = re.sub(r"\\(.)", lambda found: {"n": "\n", "t": "\t"}.get(found[1], found[1]), value[1:-1])
            if name in pairs:
                self.report(cell.at, f"label {name!r} of {what} is repeated", "Keep one of the two")
            self.label(what, _Text(cell.at, name), _Text(cell.at, value))
            pairs[name], index = value, match.end()
        return Labels(pairs)

    def rows(self) -> list[list[_Text]]:
        """Split the text into lines of cells (RFC 4180), each with its offset; empty lines are left out."""
        text, rows, index = self.source.text, [], 0
        head = text.lstrip("\r\n").split("\n", 1)[0]
        separator = max(",;\t", key=head.count)
        plain = re.compile(rf"[^{separator}\r\n]*")
        row: list[_Text] = []
        while index < len(text):
            start = index
            if text[index] == '"':
                quoted = re.compile(r'"((?:[^"]|"")*)"').match(text, index)
                if quoted is None:
                    self.report(index, "a quote is not closed", 'Close it with ", and write a quote in a cell as ""')
                    return []
                index = quoted.end()
                row.append(_Text(start + 1, quoted[1].replace('""', '"')))
                tail = plain.match(text, index)
                if tail is not None and tail[0].strip():
                    self.report(index, f"{tail[0].strip()!r} follows a closed quote", 'Write a quote in a cell as ""')
                index = tail.end() if tail is not None else index
            else:
                cell = plain.match(text, index)
                index = cell.end() if cell is not None else index
                row.append(_Text(start, text[start:index]))
            if index < len(text) and text[index] == separator:
                index += 1
                if index < len(text):
                    continue
                row.append(_Text(index, ""))
            index += 1
            if any(cell.text.strip() for cell in row):
                rows.append(row)
            row = []
        return rows


def _names(cell: str) -> tuple[str, ...]:
    """Split a cell that lists names of rules."""
    return tuple(dict.fromkeys(word.strip() for word in re.split("[,;]", cell) if word.strip()))
