"""What a fetch keeps on disk until it is whole, so that an interrupted one goes on where it stopped."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kmon_analysis.errors import HistoryError, OutputError
from kmon_analysis.history import History

__all__ = ["Pending"]

_FORMAT = "kmon_analysis pending fetch"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Pending:
    """A directory beside the history to be, with a plan and the pieces that arrived.

    Attributes
    ----------
    path : Path
        ``.NAME.fetch`` beside the target ``NAME``.
    """

    path: Path

    @classmethod
    def beside(cls, target: Path) -> Pending:
        """Return the place that belongs to a target directory."""
        # Resolved, since "." and ".." have no name of their own.
        place = target.resolve()
        return cls(place.parent / f".{place.name}.fetch")

    def check(self) -> None:
        """Make sure that the place can be made, and leave nothing behind.

        Raises
        ------
        OutputError
            If it cannot.
        """
        above = next(path for path in self.path.parents if path.exists())
        try:
            with tempfile.TemporaryDirectory(prefix=".kmon-", dir=above):
                pass
        except OSError as error:
            raise OutputError(
                f"cannot be written: {error.strerror}", place=str(above), cure="Choose a place that you may write to"
            ) from None

    def plan(self, key: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the plan on disk if it answers the same question, else None."""
        try:
            body = json.loads((self.path / "plan.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        same = isinstance(body, dict) and body.get("format") == _FORMAT and body.get("version") == _VERSION
        return body["plan"] if same and body.get("key") == json.loads(json.dumps(key)) else None

    def begin(self, key: Mapping[str, Any], plan: Mapping[str, Any]) -> None:
        """Write a new plan; pieces of another one are removed.

        Raises
        ------
        OutputError
            If the place cannot be written.
        """
        try:
            shutil.rmtree(self.path, ignore_errors=True)
            self.path.mkdir(parents=True)
            beside = self.path / ".plan.partial"
            body = {"format": _FORMAT, "version": _VERSION, "key": key, "plan": plan}
            beside.write_text(json.dumps(body, indent=1), encoding="utf-8")
            os.replace(beside, self.path / "plan.json")  # noqa: PTH105
        except OSError as error:
            raise OutputError(
                f"cannot be written: {error.strerror}", place=str(self.path), cure="Check the place and its permissions"
            ) from None

    def store(self, number: int, piece: History) -> None:
        """Keep one piece."""
        piece.save(self._place(number))

    def load(self, numbers: Sequence[int]) -> dict[int, History]:
        """Return the pieces that are here, whole and undamaged."""
        found = {}
        for number in numbers:
            try:
                found[number] = History.open(self._place(number))
            except HistoryError:
                shutil.rmtree(self._place(number), ignore_errors=True)
        return found

    def remove(self) -> None:
        """Clear the place."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _place(self, number: int) -> Path:
        return self.path / f"piece-{number:05d}"
