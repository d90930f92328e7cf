"""Databases with an outbox table."""

from sqlalchemy import create_engine, text


class Outbox:
    """A database with an outbox table, whichever it is."""

    def __init__(self, url, kind):
        self.url, self.kind = url, kind
        self.engine = create_engine(url)
        self.now = "datetime('now')" if kind == "sqlite" else "clock_timestamp()"

    def run(self, *statements):
        with self.engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))

    def ago(self, seconds):
        if self.kind == "sqlite":
            return f"strftime('%Y-%m-%d %H:%M:%f', 'now', '-{seconds} seconds')"
        return f"clock_timestamp() - interval '{seconds} seconds'"

    def timestamp(self):
        return "text" if self.kind == "sqlite" else "timestamptz"

    def add(self, event, seconds, attempts=0):
        self.run(
            f"INSERT INTO outbox (event_type, created_at, attempts) VALUES ('{event}', {self.ago(seconds)}, {attempts})"
        )

    def close(self):
        self.engine.dispose()
