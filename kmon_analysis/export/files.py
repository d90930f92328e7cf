"""Writing text files whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from kmon_analysis.errors import OutputError

__all__ = ["write_text"]


def write_text(path: str | Path, text: str) -> None:
    """Write a file beside its place, then move it there; line endings stay as they are.

    Parameters
    ----------
    path : str or Path
        The file; its folder is made when it is missing.
    text : str
        Content, written as UTF-8.

    Raises
    ------
    OutputError
        If the folder cannot be made or written.
    """
    target = Path(path)
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            beside.write_bytes(text.encode())
            os.replace(beside, target)  # noqa: PTH105 - os.replace says that it replaces
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot be written: {error.strerror or error}",
            place=str(path),
            cure="Choose a folder that you may write to, with room on its disk",
        ) from None
