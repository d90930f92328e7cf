"""Files of our own: what was written into a folder and nobody edited may be replaced, anything else is refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from kmon_analysis.errors import OutputError

__all__ = ["RECORD", "check_own", "put_together"]

# Lies beside the files and holds their checksums.
RECORD = ".kmon.json"


def check_own(directory: Path, names: Sequence[str]) -> None:
    """Say before any work that somebody's file would be replaced.

    Raises
    ------
    OutputError
        If one of the files is there and not as it was written.
    """
    known = _recorded(directory)
    for name in names:
        path = directory / name
        try:
            ours = not path.is_file() or _digest(path) in known.get(name, ())
        except OSError as error:
            problem, cure = f"is there and cannot be read: {error.strerror}", "Choose another folder"
            raise OutputError(problem, place=str(path), cure=cure) from None
        if not ours:
            raise OutputError(
                "is there, and was not written by kmon or was edited since",
                place=str(path),
                cure="Choose another folder, or move the file away",
            )


def put_together(staged: Path, directory: Path, names: Sequence[str]) -> None:
    """Move files and folders out of a folder beside into their place, all at the end.

    Parameters
    ----------
    staged : Path
        Holds all of them, on the same file system; renamed whole where `directory` does not exist.
    directory : Path
        Where they go.
    names : sequence of str
        Files, or folders, which replace those of the same name.

    Raises
    ------
    OutputError
        If one of the files is there and not as it was written.
    """
    files = [name for name in names if (staged / name).is_file()]
    new = {name: [_digest(staged / name)] for name in files}
    if not directory.exists():
        _record(staged, new)
        staged.rename(directory)
        return
    check_own(directory, files)
    before = _recorded(directory)
    # Whatever ends this in between, every file is known as ours.
    _record(directory, {**before, **{name: [*before.get(name, []), *new[name]] for name in files}})
    for name in names:
        target = directory / name
        if target.is_dir():
            shutil.rmtree(target)
        (staged / name).replace(target)
    _record(directory, {**before, **new})


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _recorded(directory: Path) -> dict[str, list[str]]:
    """Return the checksums of what was written here, by name; nothing where that is not known."""
    try:
        found = json.loads((directory / RECORD).read_text(encoding="utf-8"))["files"]
        return {str(name): [str(each) for each in digests] for name, digests in found.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _record(directory: Path, known: dict[str, list[str]]) -> None:
    text = json.dumps({"files": dict(sorted(known.items()))}, indent=1) + "\n"
    beside = directory / f"{RECORD}.partial"
    beside.write_text(text, encoding="utf-8", newline="")
    beside.replace(directory / RECORD)
