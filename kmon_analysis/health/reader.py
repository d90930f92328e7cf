"""Reading ``integrations.yml``: all faults at once, each with its place and its cure."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from kmon_analysis.errors import Finding, HealthConfigError, SettingError, nearest
from kmon_analysis.health.settings import (
    PRESETS,
    REFERENCE,
    DatabaseSettings,
    EventSettings,
    KafkaSettings,
    Key,
    Pending,
    Secret,
    Settings,
)
from kmon_analysis.rules.document import Source, is_null, kind_of
from kmon_analysis.timing import parse_duration

__all__ = ["parse_settings", "read_settings"]

LARGEST = 1_000_000  # bytes of a configuration or of a secret's file
LONGEST_IDENTIFIER = 128
LONGEST_DEADLINE_MS = 60_000
_DIALECTS = ("postgresql", "sqlite")
_DEBEZIUM = "debezium"
_SENSITIVE = re.compile(r"(?i)passw|secret|token|://[^/]*@")


def read_settings(path: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Read a configuration.

    Parameters
    ----------
    path : Path
        The file.
    environment : Mapping, optional
        Where secrets ``{env: NAME}`` are looked up; the process's own by default.

    Raises
    ------
    HealthConfigError
        With everything that is wrong.
    """
    name = str(path)
    try:
        raw = path.read_bytes() if path.stat().st_size <= LARGEST else None
    except OSError as error:
        raise HealthConfigError([Finding(f"cannot be read: {error.strerror}", name, cure="Check the path")]) from None
    if raw is None:
        raise HealthConfigError([Finding("larger than 1 MB", name, cure="Name the configuration file")])
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise HealthConfigError([Finding("not UTF-8", name, line, cure="Save the file as UTF-8")]) from None
    return parse_settings(text, name, os.environ if environment is None else environment, path.parent)


def parse_settings(text: str, name: str, environment: Mapping[str, str], folder: Path) -> Settings:
    """Read a configuration from its text; relative paths of secrets start at `folder`.

    Raises
    ------
    HealthConfigError
        With everything that is wrong.
    """
    reader = _Reader(Source(text.removeprefix("\ufeff"), name), environment, folder)
    settings = reader.settings()
    if reader.source.findings or settings is None:
        ordered = sorted(reader.source.findings, key=lambda found: (found.line or 0, found.column or 0))
        raise HealthConfigError([reader.without_secrets(finding) for finding in ordered])
    return settings


class _Reader:
    """Walks one configuration; faults gather in the source."""

    def __init__(self, source: Source, environment: Mapping[str, str], folder: Path) -> None:
        self.source = source
        self.environment = environment
        self.folder = folder
        self.secrets: list[str] = []

    def without_secrets(self, finding: Finding) -> Finding:
        """Leave out a source line that may hold a secret: what is printed may end in a log."""
        excerpt = finding.excerpt or ""
        if _SENSITIVE.search(excerpt) or any(secret in excerpt for secret in self.secrets):
            return replace(finding, excerpt=None)
        return finding

    def report(self, where: Node | int, problem: str, cure: str) -> None:
        """Remember a fault."""
        self.source.report(where, problem, cure)

    def settings(self) -> Settings | None:
        """Read the whole file."""
        documents = self.source.documents()
        if self.source.findings:
            return None
        if len(documents) != 1 or not isinstance(documents[0], MappingNode):
            what = "the file is empty" if not documents else "the file must be one mapping"
            self.report(0, what, "Write kafka:, databases: and events: at its beginning")
            return None
        top = documents[0]
        found = self.section(top, "top", "the file")
        if not 0 <= found["port"] <= 65535:
            self.report(top, f"port {found['port']} is not between 0 and 65535", "Give a port such as 8080")
        databases = tuple(self.database(*each) for each in found["databases"])
        names = [database.name for database in databases if database]
        kafka = tuple(self.kafka(each) for each in found["kafka"])
        events = tuple(self.event(each, names) for each in found["events"])
        if not kafka and not events:
            self.report(top, "nothing is checked", "Add an entry to 'kafka' or 'events'")
        self._distinct(top, [each.name for each in (*kafka, *events) if each])
        if self.source.findings:
            return None
        return Settings(
            found["host"],
            found["port"],
            found["shutdown_grace"],
            tuple(filter(None, kafka)),
            tuple(filter(None, databases)),
            tuple(filter(None, events)),
        )

    def _distinct(self, top: Node, names: list[str]) -> None:
        """In the answer, the later of two equal keys would hide the earlier."""
        for name in sorted({name for name in names if names.count(name) > 1}):
            self.report(top, f"two checks are called {name!r}", "Give each check a name of its own")

    # Mappings by the table of keys

    def section(self, node: Node, section: str, what: str) -> dict[str, Any]:
        """Read a mapping; a key that is left out gets its default, a faulty one too."""
        keys = REFERENCE[section].keys
        fields = {}
        if isinstance(node, MappingNode):
            fields = self.source.fields(node, None, what)
            known = [key.name for key in keys]
            for name in fields.keys() - set(known):
                cure = nearest(name, known) or f"Known here are {', '.join(known)}"
                self.report(fields[name].key, f"unknown key {name!r} in {what}", cure)
        else:
            self.report(node, f"{what} must be a mapping, not a {kind_of(node)}", "Write it as 'key: value' lines")
        found: dict[str, Any] = {}
        for key in keys:
            entry = fields.get(key.name)
            if entry is None or is_null(entry.value):
                if key.default is None and isinstance(node, MappingNode):
                    self.report(node, f"{what} has no {key.name!r}", f"Add {key.name!r}: {key.what}")
                found[key.name] = self._left_out(key)
            else:
                found[key.name] = self.value(entry.value, key, what)
        return found

    @staticmethod
    def _left_out(key: Key) -> Any:
        """Return what holds when a key is left out; a name in backquotes is decided later."""
        match key.kind:
            case "list" | "names" | "texts":
                return ()
            case "section" | "secret":
                return None
            case "duration":
                return parse_duration(key.default) if key.default else 0
            case "integer":
                return int(key.default) if key.default and key.default.isdigit() else None
            case _:
                return "" if not key.default or " " in key.default else key.default

    def value(self, node: Node, key: Key, what: str) -> Any:
        """Read the value of one key."""
        match key.kind:
            case "list":
                return self._list(node, key.name)
            case "names":
                return self._names(node, key.name)
            case "section":
                return node
            case "secret":
                return self.secret(node, f"{key.name!r} of {what}")
            case "texts":
                items = node.value if isinstance(node, SequenceNode) else [node]
                return tuple(filter(None, (self.text(item, key.name, what) for item in items)))
        text = self.text(node, key.name, what)
        if not text:
            return self._left_out(key)
        return self._scalar(node, key, text)

    def _scalar(self, node: Node, key: Key, text: str) -> Any:
        """Turn a text into what the key holds."""
        if key.kind == "duration":
            try:
                milliseconds = parse_duration(text)
            except SettingError as error:
                self.report(node, f"{key.name!r}: {error.problem}", error.cure or "Write it as 30s or 5m")
                return self._left_out(key)
            if milliseconds <= 0 or (key.name == "deadline" and milliseconds > LONGEST_DEADLINE_MS):
                limit = " and at most 1m" if key.name == "deadline" else ""
                self.report(node, f"{key.name!r} is {text!r}", f"It must be longer than 0{limit}")
            return milliseconds
        if key.kind == "integer":
            if not (text.isascii() and text.isdigit() and len(text) < 10):
                self.report(node, f"{key.name!r} must be a whole number, not {text!r}", "Write it in digits")
                return self._left_out(key)
            return int(text)
        if key.kind == "choice" and text not in key.choices:
            if text == _DEBEZIUM:
                cure = (
                    "Its rows say nothing: they stay or are deleted at once; watch the connector and the replication "
                    "slot's lag instead"
                )
            else:
                cure = nearest(text, key.choices) or f"Use one of {', '.join(key.choices)}"
            self.report(node, f"{key.name!r} cannot be {text!r}", cure)
            return self._left_out(key)
        return text

    def text(self, node: Node, name: str, what: str) -> str:
        """Read one scalar as it is written."""
        if not isinstance(node, ScalarNode) or is_null(node):
            self.report(node, f"{name!r} of {what} must be a text, not a {kind_of(node)}", "Write one value")
            return ""
        return str(node.value)

    def _list(self, node: Node, name: str) -> tuple[Node, ...]:
        if isinstance(node, SequenceNode):
            return tuple(node.value)
        self.report(node, f"{name!r} must be a list, not a {kind_of(node)}", "Begin each entry with '- '")
        return ()

    def _names(self, node: Node, name: str) -> tuple[tuple[str, Node], ...]:
        if isinstance(node, MappingNode):
            return tuple((key, entry.value) for key, entry in self.source.fields(node, None, name).items())
        self.report(node, f"{name!r} must be a mapping, not a {kind_of(node)}", "Write 'main: {url: …}' below it")
        return ()

    def secret(self, node: Node, what: str) -> Secret | None:
        """Read a secret, or fetch it from where it is said to be."""
        if isinstance(node, ScalarNode):
            self.secrets += filter(None, [str(node.value)])
            return Secret(str(node.value))
        found = self.section(node, "secret", what)
        if bool(found["env"]) == bool(found["file"]):
            if isinstance(node, MappingNode):
                self.report(node, f"{what} needs either 'env' or 'file'", "Write it as {env: NAME} or {file: PATH}")
            return None
        if found["env"]:
            if found["env"] not in self.environment:
                problem = f"the environment variable {found['env']!r} of {what} is not set"
                self.report(node, problem, "Set it, or take the secret from a file")
                return None
            return Secret(self.environment[found["env"]])
        path = self.folder / found["file"]
        try:
            with path.open("rb") as file:
                raw = file.read(LARGEST)
            return Secret(raw.decode("utf-8").removesuffix("\n").removesuffix("\r"))
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            self.report(node, f"the file {found['file']!r} of {what} cannot be read: {reason}", "Check the path")
            return None

    # Entries

    def kafka(self, node: Node) -> KafkaSettings | None:
        """Read one cluster."""
        found = self.section(node, "kafka", "an entry of 'kafka'")
        if not found["bootstrap_servers"] and isinstance(node, MappingNode):
            self.report(node, "'bootstrap_servers' names no broker", "Write it as [kafka-1:9092, kafka-2:9092]")
        client: dict[str, str | Secret] = {}
        if isinstance(found["client"], MappingNode):
            for name, entry in self.source.fields(found["client"], None, "'client'").items():
                value = self.secret(entry.value, f"the property {name!r}")
                if value is not None:
                    plain = isinstance(entry.value, ScalarNode) and not _is_secret(name)
                    client[name] = value.value if plain else value
        elif found["client"] is not None:
            self.report(found["client"], "'client' must be a mapping", "Write 'security.protocol: SASL_SSL' below it")
        client["bootstrap.servers"] = ",".join(found["bootstrap_servers"])
        return KafkaSettings(found["name"], client, found["required_topics"], found["deadline"])

    def database(self, name: str, node: Node) -> DatabaseSettings | None:
        """Read one database."""
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError

        found = self.section(node, "database", f"the database {name!r}")
        if found["url"] is None:
            return None
        try:
            dialect = make_url(found["url"].value).get_backend_name()
        except (ArgumentError, ValueError):
            problem = f"the URL of the database {name!r} cannot be read"
            self.report(node, problem, "Write it as postgresql+psycopg://user@host/name")
            return None
        if dialect not in _DIALECTS:
            problem = f"the database {name!r} is of a kind that is not supported: {dialect!r}"
            self.report(node, problem, f"Supported are {' and '.join(_DIALECTS)}")
            return None
        return DatabaseSettings(name, found["url"], found["password"], found["statement_timeout"])

    def event(self, node: Node, databases: list[str]) -> EventSettings | None:
        """Read one event."""
        found = self.section(node, "event", "an entry of 'events'")
        if not isinstance(node, MappingNode):
            return None
        what = f"the event {found['name']!r}"
        preset = PRESETS[found["outbox"]]
        columns = self._inner(found["columns"], "columns", f"'columns' of {what}")
        pending = self._inner(found["pending"], "pending", f"'pending' of {what}")
        database = found["database"] or (databases[0] if len(databases) == 1 else "")
        if database not in databases:
            problem = f"{what} names the database {database!r}" if database else f"{what} names no database"
            known = ", ".join(databases) or "none yet"
            cure = (nearest(database, databases) if database else None) or f"Known databases: {known}"
            self.report(node, problem, cure)
        attempts = columns.get("attempts") or preset.attempts
        if found["max_attempts"] is not None and not attempts:
            problem = f"{what} has 'max_attempts', and its table counts no attempts"
            self.report(node, problem, "Name the column in columns.attempts")
        event = EventSettings(
            name=found["name"],
            database=database,
            table=found["table"] or preset.table,
            schema=found["schema"],
            type_column=columns.get("type") or preset.type,
            created_column=columns.get("created") or preset.created,
            attempts_column=attempts if found["max_attempts"] is not None else "",
            event_type=found["event_type"] or found["name"],
            created_as=columns.get("created_as") or preset.created_as,
            pending=Pending(pending["column"], pending["in"]) if pending else preset.pending,
            max_age_ms=found["max_age"],
            max_attempts=found["max_attempts"],
            deadline_ms=found["deadline"],
            line=self.source.finding(node, "").line or 1,
        )
        names = (event.table, event.schema, event.type_column, event.created_column, event.attempts_column)
        for name in (*names, event.pending.column):
            if len(name) > LONGEST_IDENTIFIER or not name.isprintable():
                self.report(
                    node, f"{what} names {name[:40]!r}, which is no identifier", "Write the name of the table's"
                )
        return event

    def _inner(self, node: Node | None, section: str, what: str) -> dict[str, Any]:
        return {} if node is None else self.section(node, section, what)


def _is_secret(name: str) -> bool:
    """Tell whether a property of librdkafka holds a secret even where it is written in the file."""
    return any(word in name for word in ("password", "secret", "token", "pem", "key.pem", "sasl.oauthbearer.config"))
