"""What ``integrations.yml`` says, checked; and the table of its keys, from which reader and reference are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "PRESETS",
    "REFERENCE",
    "DatabaseSettings",
    "EventSettings",
    "KafkaSettings",
    "Key",
    "Pending",
    "Preset",
    "Secret",
    "Section",
    "Settings",
]

TimeKind = Literal["timestamp", "epoch_ms", "epoch_s"]


@dataclass(frozen=True, slots=True)
class Secret:
    """A text that is never shown: neither by `repr` nor by `str`."""

    value: str = field(repr=False)

    def __str__(self) -> str:
        return "***"


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """One Kafka cluster to ask.

    Attributes
    ----------
    name : str
        Its key in the answer.
    client : Mapping of str to str or Secret
        Properties of librdkafka, passed through.
    required_topics : tuple of str
        Topics that must exist and have leaders; empty means all topics must have leaders.
    deadline_ms : int
        Longest time that a request waits for this check.
    """

    name: str
    client: Mapping[str, str | Secret]
    required_topics: tuple[str, ...]
    deadline_ms: int


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """One database: SQLAlchemy's URL, the password if it is not in there, and the longest statement."""

    name: str
    url: Secret
    password: Secret | None
    statement_timeout_ms: int


@dataclass(frozen=True, slots=True)
class Pending:
    """Which rows are pending: ``column`` is null, or one of `values` where those are given."""

    column: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Preset:
    """One flavour of outbox table.

    Attributes
    ----------
    what : str
        Whose table that is.
    table, type, created, attempts : str
        Names; ``attempts`` is empty where the flavour counts none.
    created_as : {"timestamp", "epoch_ms", "epoch_s"}
        How the time is stored.
    pending : Pending
        Which rows are pending.
    """

    what: str
    table: str
    type: str
    created: str
    created_as: TimeKind
    attempts: str
    pending: Pending


PRESETS: Mapping[str, Preset] = {
    "polling": Preset(
        "a polling publisher written by hand",
        "outbox",
        "event_type",
        "created_at",
        "timestamp",
        "attempts",
        Pending("processed_at"),
    ),
    "spring-modulith": Preset(
        "Spring Modulith's event publication registry, schema 2",
        "event_publication",
        "event_type",
        "publication_date",
        "timestamp",
        "completion_attempts",
        Pending("completion_date"),
    ),
    "eventuate-tram": Preset(
        "Eventuate Tram's messages",
        "message",
        "destination",
        "creation_time",
        "epoch_ms",
        "",
        Pending("published", ("0",)),
    ),
}


@dataclass(frozen=True, slots=True)
class EventSettings:
    """One kind of event whose delivery is watched.

    Attributes
    ----------
    name : str
        Its key in the answer, and the label ``event`` of its metrics.
    database : str
        Name of the database.
    table, schema : str
        Where its rows are; an empty schema is the connection's own.
    type_column, created_column, attempts_column : str
        Columns; no attempts are looked at where the last is empty.
    event_type : str
        What the type column holds for this event.
    created_as : {"timestamp", "epoch_ms", "epoch_s"}
        How the time of creation is stored.
    pending : Pending
        Which rows are pending.
    max_age_ms : int
        The oldest pending row may be this old.
    max_attempts : int or None
        A pending row with this many attempts is given up.
    deadline_ms : int
        Longest time that a request waits for this check.
    line : int
        Where the event begins in the file.
    """

    name: str
    database: str
    table: str
    schema: str
    type_column: str
    created_column: str
    attempts_column: str
    event_type: str
    created_as: TimeKind
    pending: Pending
    max_age_ms: int
    max_attempts: int | None
    deadline_ms: int
    line: int = 1


@dataclass(frozen=True, slots=True)
class Settings:
    """A whole configuration.

    Attributes
    ----------
    host : str
        Address to listen on.
    port : int
        Port to listen on; 0 takes a free one.
    shutdown_grace_ms : int
        How long ``shutting_down`` is answered before the listener closes.
    kafka, databases, events : tuples
        What is checked.
    """

    host: str
    port: int
    shutdown_grace_ms: int
    kafka: tuple[KafkaSettings, ...]
    databases: tuple[DatabaseSettings, ...]
    events: tuple[EventSettings, ...]

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that no answer, log or metric may hold, longest first."""
        found = {each.value for kafka in self.kafka for each in kafka.client.values() if isinstance(each, Secret)}
        found |= {each.value for database in self.databases for each in (database.url, database.password) if each}
        return tuple(sorted(filter(None, found), key=len, reverse=True))


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the configuration file.

    Attributes
    ----------
    name : str
        The key.
    kind : str
        What its value is: "text", "secret", "duration", "integer", "texts", "choice", "section", "list", "names".
    what : str
        What it is for, for the reference.
    default : str or None
        What holds when it is left out, as it would be written; None where it must be given.
    choices : tuple of str
        For a choice: the values.
    """

    name: str
    kind: str
    what: str
    default: str | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """One mapping of the configuration file, and where it stands."""

    place: str
    what: str
    keys: tuple[Key, ...]


_DEADLINE = Key("deadline", "duration", "Longest time that a request waits for this check.", "1s")

REFERENCE: Mapping[str, Section] = {
    "top": Section(
        "the file",
        "What is listened on and what is checked. At least one of `kafka` and `events` is needed.",
        (
            Key("host", "text", "Address to listen on.", "127.0.0.1"),
            Key("port", "integer", "Port to listen on; 0 takes a free one.", "8080"),
            Key("shutdown_grace", "duration", "How long `shutting_down` is answered before the port closes.", "5s"),
            Key("kafka", "list", "Kafka clusters; see below.", ""),
            Key("databases", "names", "Databases by name; see below.", ""),
            Key("events", "list", "Events whose delivery is watched; see below.", ""),
        ),
    ),
    "kafka": Section(
        "an entry of `kafka`",
        "One metadata request through one kept client: are the brokers there, have the partitions leaders, "
        "are the topics there.",
        (
            Key("name", "text", "Its key in the answer.", "kafka"),
            Key("bootstrap_servers", "texts", "Brokers to begin with, `host:port` each; must be given.", ""),
            Key(
                "required_topics",
                "texts",
                "Topics that must exist; only their leaders count then. Left out: every partition needs a leader.",
                "",
            ),
            Key(
                "client",
                "section",
                "Properties of librdkafka (`security.protocol`, `sasl.username`, `ssl.ca.location`, …), passed "
                "through; a value may be a secret.",
                "",
            ),
            _DEADLINE,
        ),
    ),
    "database": Section(
        "an entry of `databases`",
        "A PostgreSQL or SQLite database; its name is what `events` refer to. It is only read.",
        (
            Key(
                "url",
                "secret",
                "SQLAlchemy's URL: `postgresql+psycopg://user@host/name`, `sqlite:////path/file.db`.",
            ),
            Key("password", "secret", "The password, where it is not in the URL.", ""),
            Key("statement_timeout", "duration", "The database ends a statement after this.", "1s"),
        ),
    ),
    "event": Section(
        "an entry of `events`",
        "Are there pending rows of this event that are older than they may be? Ages are by the database's clock.",
        (
            Key("name", "text", "Its key in the answer, and the label `event` of its metrics."),
            Key("database", "text", "Name of the database; may be left out where there is only one.", ""),
            Key("outbox", "choice", "Flavour of the table, which presets all names below.", "polling", tuple(PRESETS)),
            Key("schema", "text", "Schema of the table; left out: the connection's own.", ""),
            Key("table", "text", "Name of the table.", "by `outbox`"),
            Key("columns", "section", "Names of the columns; see below.", "by `outbox`"),
            Key("event_type", "text", "What the type column holds for this event.", "the name"),
            Key("pending", "section", "Which rows are pending; see below.", "by `outbox`"),
            Key("max_age", "duration", "The oldest pending row may be this old."),
            Key("max_attempts", "integer", "A pending row with this many attempts counts as given up.", "no limit"),
            _DEADLINE,
        ),
    ),
    "columns": Section(
        "`columns` of an event",
        "Names as they are in the table; they are quoted, never pasted into SQL.",
        (
            Key("type", "text", "Holds the kind of event.", "by `outbox`"),
            Key("created", "text", "Holds the time at which the row was written.", "by `outbox`"),
            Key(
                "created_as",
                "choice",
                "How that time is stored. Timestamps without a zone are read as UTC.",
                "by `outbox`",
                ("timestamp", "epoch_ms", "epoch_s"),
            ),
            Key("attempts", "text", "Counts attempts at delivery; looked at only with `max_attempts`.", "by `outbox`"),
        ),
    ),
    "pending": Section(
        "`pending` of an event",
        "Without `in`, rows are pending while the column is null.",
        (
            Key("column", "text", "The column that tells."),
            Key("in", "texts", "Values that mean pending.", ""),
        ),
    ),
    "secret": Section(
        "a secret",
        "A secret is written as it is, or taken from elsewhere by exactly one of these.",
        (
            Key("env", "text", "Name of an environment variable.", ""),
            Key("file", "text", "Path of a file; one line break at its end is left out.", ""),
        ),
    ),
}
