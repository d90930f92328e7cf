"""Words, data and progress of the command line: what may reach a terminal, and how."""

from __future__ import annotations

import codecs
import copy
import json
import math
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kmon_analysis.errors import KmonError, printable
from kmon_analysis.progress import Work, quiet, working

if TYPE_CHECKING:
    from kmon_analysis.history import History

__all__ = [
    "Work",
    "columns",
    "let_be_quiet",
    "naming",
    "put",
    "put_json",
    "put_saved",
    "say",
    "set_up_streams",
    "shown",
    "spell",
    "working",
]

_CREDENTIALS = re.compile(r"(?<=://)[^\s'\"]*@")
# What our own sentences use beyond ASCII, for terminals that have no UTF-8.
_SPELLINGS = str.maketrans(
    {
        "–": "-",
        "—": "-",
        "•": "*",
        "…": "...",
        "×": "x",
        "→": "->",
        "≥": ">=",
        "≤": "<=",
        "±": "+/-",
        "∞": "inf",
        "θ": "theta",
        "“": '"',
        "”": '"',
        "‘": "'",
        "’": "'",
        "\u00a0": " ",
    }
)


def spell(error: UnicodeError) -> tuple[str, int]:
    """Write what the terminal's encoding lacks in its nearest letters, else as an escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return missing.translate(_SPELLINGS).encode("ascii", "backslashreplace").decode("ascii"), error.end


def set_up_streams() -> None:
    """Keep an encoding that lacks a character from ending the program."""
    codecs.register_error("kmon-spell", spell)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="kmon-spell")


def shown(text: str) -> str:
    """Return a text as it may reach a terminal: no control characters, no credentials of a URL."""
    return _CREDENTIALS.sub("", printable(text, lines=True))


def say(text: str = "") -> None:
    """Write words for the person at the terminal."""
    print(shown(text), file=sys.stderr, flush=True)  # noqa: T201


def put(text: str) -> None:
    """Write data on stdout."""
    print(shown(text))  # noqa: T201


def columns() -> int:
    """Return how many characters a line of the terminal holds."""
    return max(40, shutil.get_terminal_size().columns)


def put_json(data: Any) -> None:
    """Write data for a program: ASCII, with null for what JSON cannot say (NaN, infinity)."""
    print(json.dumps(_finite(data), indent=2, allow_nan=False, default=str))  # noqa: T201


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def put_saved(history: History, folder: Path, *, as_json: bool) -> None:
    """Tell what a history holds that was saved, and where it lies now."""
    say(repr(history))
    for warning in history.provenance.warnings:
        say(f"warning: {warning}")
    if as_json:
        put_json({"history": str(folder), "digest": history.digest, **history.provenance.to_json()})
    else:
        put(str(folder))


@contextmanager
def naming(option: str) -> Iterator[None]:
    """Name the option in an error that names no place."""
    try:
        yield
    except KmonError as error:
        error.place = error.place or option
        raise


def let_be_quiet(command: Any, option: Any = None) -> None:
    """Give every verb the option --quiet that stands in front of it: people write it where the others are."""
    if option is None:
        option = copy.copy(next(each for each in command.params if "--quiet" in each.opts))
        option.expose_value = False
        option.callback = _hush
    for verb in command.commands.values():
        if hasattr(verb, "commands"):
            let_be_quiet(verb, option)
        else:
            verb.params.append(option)


def _hush(_context: object, _option: object, wanted: bool) -> None:
    if wanted:
        quiet(True)
