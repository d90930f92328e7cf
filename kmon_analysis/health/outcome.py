"""What a check found, and the answer made of all of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from kmon_analysis.errors import printable

__all__ = ["Backlog", "Check", "Outcome", "Redaction", "body", "http_status", "named"]

LONGEST_MESSAGE = 300
_CREDENTIALS = re.compile(r"(?<=://)[^\s/'\"]*@")


@dataclass(frozen=True, slots=True)
class Backlog:
    """Pending rows of one event: how many, and the age of the oldest in seconds (0 where there is none)."""

    pending: int
    oldest_age_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one check found.

    Attributes
    ----------
    name : str
        The check.
    up : bool
        Whether all is well.
    details : Mapping
        JSON values for the answer.
    backlog : Backlog or None
        Of an event; None where it could not be learned.
    duration_s : float
        How long a request waited for it.
    """

    name: str
    up: bool
    details: Mapping[str, Any] = field(default_factory=dict)
    backlog: Backlog | None = None
    duration_s: float = 0.0


class Check(Protocol):
    """Something that can be asked; `run` blocks and may raise."""

    @property
    def name(self) -> str:
        """Key in the answer."""

    @property
    def deadline_ms(self) -> int:
        """Longest time that a request waits."""

    def run(self) -> Outcome:
        """Ask once."""

    def close(self) -> None:
        """Let go of connections."""


@dataclass(frozen=True, slots=True)
class Redaction:
    """Keeps secrets out of words from drivers.

    Attributes
    ----------
    secrets : tuple of str
        Texts to take out, longest first.
    """

    secrets: tuple[str, ...] = ()

    def __call__(self, text: str) -> str:
        """Return the first line of a text, printable, without secrets and credentials of URLs."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        text = _CREDENTIALS.sub("***@", text)
        first = next((line.strip() for line in text.splitlines() if line.strip()), "")
        return printable(first)[:LONGEST_MESSAGE]


def body(outcomes: Iterable[Outcome], *, shutting_down: bool = False) -> dict[str, Any]:
    """Return the answer that clients of NestJS Terminus read.

    Notes
    -----
    NestJS Terminus 11, ``health-check-executor.service.ts``: ``info`` holds what is up, ``error`` what is down,
    ``details`` both.
    """
    details: dict[str, Any] = {}
    info: dict[str, Any] = {}
    error: dict[str, Any] = {}
    for outcome in outcomes:
        entry = {"status": "up" if outcome.up else "down", **outcome.details}
        details[outcome.name] = entry
        (info if outcome.up else error)[outcome.name] = entry
    status = "shutting_down" if shutting_down else "error" if error else "ok"
    return {"status": status, "info": info, "error": error, "details": details}


def http_status(answer: Mapping[str, Any]) -> int:
    """Return 200 where all is well, else 503."""
    return 200 if answer["status"] == "ok" else 503


def named(names: Sequence[str], most: int = 20) -> list[str]:
    """Return the first of many names, and how many more there are."""
    return [*names[:most], *([f"and {len(names) - most} more"] if len(names) > most else [])]
