"""Small JSON files between the stack and its workers: orders go in, counts come out."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

__all__ = ["Orders", "write_json"]


def write_json(path: Path, value: Any) -> None:
    """Write beside and rename, so that a reader never sees half a file."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(json.dumps(value), encoding="utf-8")
    beside.replace(path)


class Orders:
    """A worker's orders, read again when the file changes, and its counts, written twice a second."""

    def __init__(self, folder: Path, name: str):
        self.orders_path = folder / f"{name}.orders.json"
        self.counts_path = folder / f"{name}.counts.json"
        self.current: dict[str, Any] = {}
        self.counts: dict[str, Any] = {}
        self._seen = 0
        self._written = 0.0

    def refresh(self) -> dict[str, Any]:
        """Return the orders in force, and write the counts when it is time."""
        stamp = self.orders_path.stat().st_mtime_ns if self.orders_path.exists() else 0
        if stamp != self._seen:
            self._seen = stamp
            self.current = json.loads(self.orders_path.read_text(encoding="utf-8"))
        if time.monotonic() - self._written > 0.5:
            self._written = time.monotonic()
            write_json(self.counts_path, self.counts)
        return self.current
