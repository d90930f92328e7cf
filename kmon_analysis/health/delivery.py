"""The event delivery check: old, unprocessed rows of an outbox table."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from kmon_analysis.errors import SettingError
from kmon_analysis.health.outcome import Backlog, Outcome, Redaction, named
from kmon_analysis.health.settings import DatabaseSettings, EventSettings
from kmon_analysis.timing import duration

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Engine, Select, Table

__all__ = ["DeliveryCheck", "open_database"]

# The Unix epoch as a Julian day, SQLite's own measure of time.
_EPOCH_AS_JULIAN_DAY = 2440587.5
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def open_database(settings: DatabaseSettings, checks: int) -> Engine:
    """Make the connections' owner of a database; nothing is connected yet.

    Parameters
    ----------
    settings : DatabaseSettings
        The database.
    checks : int
        How many checks use it: the most connections that are ever open.

    Raises
    ------
    SettingError
        If its driver is not installed or SQLAlchemy refuses the URL.
    """
    from sqlalchemy import create_engine
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    url = make_url(settings.url.value)
    if settings.password is not None:
        url = url.set(password=settings.password.value)
    seconds = settings.statement_timeout_ms / 1000
    options: dict[str, Any] = {"pool_size": checks, "max_overflow": 0, "pool_timeout": seconds, "pool_pre_ping": True}
    try:
        if url.get_backend_name() == "sqlite":
            from sqlalchemy.pool import NullPool

            path = url.database or ""

            def connect() -> sqlite3.Connection:
                # Read-only: SQLite would make an empty database of a mistyped name.
                return sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, timeout=seconds)

            return create_engine("sqlite://", creator=connect, poolclass=NullPool)
        arguments = {
            "connect_timeout": max(1, round(seconds)),
            # A host that vanished is noticed by TCP, so that no thread waits for it for hours.
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 10_000,
            "application_name": "kmon-health",
        }
        return create_engine(url, connect_args=arguments, **options)
    except (ArgumentError, NoSuchModuleError, ImportError, TypeError) as error:
        problem = f"the database {settings.name!r} cannot be used: {type(error).__name__}"
        raise SettingError(problem, cure='Install its driver, for PostgreSQL: pip install "psycopg[binary]"') from None


class _UnfitError(Exception):
    """The table is not as the configuration says."""


class DeliveryCheck:
    """Look for pending rows of one event that are older than they may be.

    Parameters
    ----------
    event : EventSettings
        The event.
    database : DatabaseSettings
        Where its rows are.
    engine : Engine
        Connections to it.
    redaction : Redaction
        Keeps secrets out of what drivers say.
    """

    def __init__(self, event: EventSettings, database: DatabaseSettings, engine: Engine, redaction: Redaction) -> None:
        self.name = event.name
        self.deadline_ms = event.deadline_ms
        self._event = event
        self._database = database
        self._engine = engine
        self._redaction = redaction
        self._question: Select[Any] | None = None

    def run(self) -> Outcome:
        """Ask once; blocks as long as the database does."""
        from sqlalchemy.exc import SQLAlchemyError

        try:
            return self._judged(self._ask())
        except _UnfitError as error:
            return self._down(str(error))
        except SQLAlchemyError as error:
            # The table may have changed; the next probe looks at it anew.
            self._question = None
            return self._down(self._reason(error))

    def close(self) -> None:
        """Close the connections that are idle; what hangs ends with the program."""
        self._engine.dispose()

    def _down(self, message: str) -> Outcome:
        return Outcome(self.name, False, {"message": message})

    def _ask(self) -> Mapping[str, Any]:
        with self._engine.connect() as connection:
            self._limit(connection)
            if self._question is None:
                self._question = _question(self._event, self._table(connection), connection.dialect.name)
            return dict(connection.execute(self._question).mappings().one())

    def _limit(self, connection: Any) -> None:
        """Let the database end a statement that takes too long."""
        from sqlalchemy import text

        milliseconds = self._database.statement_timeout_ms
        if connection.dialect.name == "sqlite":
            ends_at = time.monotonic() + milliseconds / 1000
            driver = connection.connection.driver_connection
            driver.set_progress_handler(lambda: int(time.monotonic() > ends_at), 10_000)
            return
        connection.execute(text("SET TRANSACTION READ ONLY"))
        connection.execute(text(f"SET LOCAL statement_timeout = {int(milliseconds)}"))

    def _table(self, connection: Any) -> Table:
        """Look the table up, with the columns that are needed."""
        from sqlalchemy import MetaData, Table, inspect
        from sqlalchemy.exc import NoSuchTableError

        event = self._event
        shown = f"{event.schema}.{event.table}" if event.schema else event.table
        inspector = inspect(connection)
        try:
            there = {column["name"] for column in inspector.get_columns(event.table, schema=event.schema or None)}
        except NoSuchTableError:
            there = set()
        if not there:
            raise _UnfitError(f"the database {self._database.name!r} has no table {shown!r}")
        needed = (event.type_column, event.created_column, event.pending.column, event.attempts_column)
        missing = [name for name in dict.fromkeys(needed) if name and name not in there]
        if missing:
            columns = ", ".join(named(sorted(there), 12))
            raise _UnfitError(f"the table {shown!r} has no column {', '.join(map(repr, missing))}; it has {columns}")
        return Table(
            event.table,
            MetaData(),
            schema=event.schema or None,
            autoload_with=connection,
            include_columns=[name for name in needed if name],
            resolve_fks=False,
        )

    def _judged(self, found: Mapping[str, Any]) -> Outcome:
        event = self._event
        pending = int(found["pending"])
        age_s = 0.0 if found["oldest"] is None else max(0.0, float(found["now"]) - float(found["oldest"]))
        details: dict[str, Any] = {
            "pending": pending,
            "oldest_age_seconds": round(age_s, 3),
            "max_age_seconds": event.max_age_ms / 1000,
        }
        problems = []
        undated = pending - int(found["dated"])
        if undated:
            details["without_time"] = undated
            problems.append(f"{undated} pending rows have no readable time in {event.created_column!r}")
        if age_s * 1000 > event.max_age_ms:
            shown, allowed = duration(age_s * 1000), duration(event.max_age_ms)
            problems.append(f"the oldest pending event is {shown} old; the limit is {allowed}")
        if event.max_attempts is not None:
            exhausted = int(found["exhausted"] or 0)
            details["exhausted"] = exhausted
            if exhausted:
                problems.append(f"{exhausted} pending events have had {event.max_attempts} attempts")
        if problems:
            details = {"message": "; ".join(problems), **details}
        backlog = None if undated else Backlog(pending, age_s)
        return Outcome(self.name, not problems, details, backlog)

    def _reason(self, error: Exception) -> str:
        """Say in our words what failed, and in the driver's what it said."""
        from sqlalchemy.exc import TimeoutError as NoConnection

        if isinstance(error, NoConnection):
            return f"all connections to the database {self._database.name!r} are busy"
        original = getattr(error, "orig", None)
        said = self._redaction(str(original if original is not None else error))
        if "statement timeout" in said or said == "interrupted":
            limit = duration(self._database.statement_timeout_ms)
            return f"the database {self._database.name!r} needed longer than {limit} for one statement"
        return f"the database {self._database.name!r} cannot be read: {said}"


def _question(event: EventSettings, table: Table, dialect: str) -> Select[Any]:
    """Build the one statement of a check; names are quoted by SQLAlchemy, values are bound."""
    from sqlalchemy import case, func, select

    created = table.c[event.created_column]
    pending = table.c[event.pending.column]
    seconds = _seconds(event, created, dialect)
    is_pending = pending.is_(None)
    if event.pending.values:
        is_pending = pending.in_([_as_in(pending, value) for value in event.pending.values])
    columns = [
        func.count().label("pending"),
        func.count(seconds).label("dated"),
        func.min(seconds).label("oldest"),
        _now(dialect).label("now"),
    ]
    if event.max_attempts is not None:
        attempts = table.c[event.attempts_column]
        columns.append(func.sum(case((attempts >= event.max_attempts, 1), else_=0)).label("exhausted"))
    return select(*columns).select_from(table).where(table.c[event.type_column] == event.event_type, is_pending)


def _as_in(column: Any, text: str) -> Any:
    """Turn a configured value into one of the column's type, so that the database can use an index."""
    kind = column.type.python_type
    if kind is bool and text.lower() in _BOOLEANS:
        return _BOOLEANS[text.lower()]
    try:
        return int(text) if kind is int else text
    except ValueError:
        raise _UnfitError(f"the column {column.name!r} holds whole numbers; pending.in says {text!r}") from None


def _now(dialect: str) -> ColumnElement[Any]:
    """Return the database's own clock, in seconds since the epoch."""
    from sqlalchemy import extract, func, literal

    if dialect == "sqlite":
        return (func.julianday("now") - literal(_EPOCH_AS_JULIAN_DAY)) * 86400.0
    return extract("epoch", func.clock_timestamp())


def _seconds(event: EventSettings, created: Any, dialect: str) -> ColumnElement[Any]:
    """Return the time of a row in seconds since the epoch; null where it cannot be read."""
    from sqlalchemy import DateTime, Float, cast, extract, func, literal

    if event.created_as != "timestamp":
        return cast(created, Float) / (1000.0 if event.created_as == "epoch_ms" else 1.0)
    if dialect == "sqlite":
        return (func.julianday(created) - literal(_EPOCH_AS_JULIAN_DAY)) * 86400.0
    if not isinstance(created.type, DateTime):
        raise _UnfitError(
            f"the column {event.created_column!r} is no timestamp; say how it is stored in columns.created_as"
        )
    # PostgreSQL takes the epoch of a timestamp without zone as if it were UTC.
    return extract("epoch", created)
