"""The postmortem of one incident from files, and again from its bundle."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kmon_analysis.errors import InputError, KmonError
from kmon_analysis.incidents import read_incidents
from kmon_analysis.postmortem.bundle import RESULT, Manifest, check_files, read_manifest
from kmon_analysis.postmortem.run import postmortem
from kmon_analysis.postmortem.tojson import json_bytes
from kmon_analysis.rules.reader import read_rules
from kmon_analysis.sources.files import open_history
from kmon_analysis.timing import format_duration
from kmon_analysis.workflow import backtest

__all__ = ["Rerun", "rerun"]

MOST_DIFFERENCES = 20


@dataclass(frozen=True, slots=True)
class Rerun:
    """What came of computing a postmortem again.

    Attributes
    ----------
    manifest : Manifest
        Of the bundle.
    files : tuple of str
        What is wrong with its files.
    differences : tuple of str
        Fields of ``postmortem.json`` that came out differently.
    failure : str
        Why it could not be computed at all.
    """

    manifest: Manifest
    files: tuple[str, ...]
    differences: tuple[str, ...]
    failure: str = ""

    @property
    def same(self) -> bool:
        """Whether every file and every number is as it was."""
        return not (self.files or self.differences or self.failure)


def rerun(directory: str | Path) -> Rerun:
    """Check the files of a bundle, compute its postmortem again, and compare.

    Parameters
    ----------
    directory : str or Path
        The folder ``bundle`` that `Postmortem.write` made. Nothing is asked of any server.

    Raises
    ------
    InputError
        If the folder is no bundle.
    """
    here = Path(directory)
    manifest = read_manifest(here)
    wrong = check_files(manifest)
    try:
        stored = (here / RESULT).read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror}", place=str(here / RESULT), cure="Take an unchanged copy"
        ) from None
    try:
        result = backtest(
            read_rules(here / "rules.yml"),
            open_history(here / "history"),
            read_incidents(here / "incidents.yml"),
            settings=manifest.settings,
        )
        sooner: Sequence[str] | None = None
        if manifest.sooner_ms is not None:
            sooner = [format_duration(each) for each in manifest.sooner_ms]
        again = json_bytes(postmortem(result, manifest.incident, zone=manifest.zone, sooner=sooner).to_json())
    except KmonError as error:
        return Rerun(manifest, wrong, (), str(error))
    if again == stored:
        return Rerun(manifest, wrong, ())
    try:
        before = json.loads(stored)
    except ValueError:
        return Rerun(manifest, wrong, (f"{RESULT} is not JSON any more",))
    found = list(_differences("", before, json.loads(again))) or [f"{RESULT} is written in another way"]
    more = len(found) - MOST_DIFFERENCES
    shown = found[:MOST_DIFFERENCES] + ([f"and {more} more fields"] if more > 0 else [])
    return Rerun(manifest, wrong, tuple(shown))


def _differences(place: str, before: Any, after: Any) -> Iterator[str]:
    """Name the fields in which two JSON values differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in dict.fromkeys([*before, *after]):
            yield from _differences(f"{place}.{name}" if place else name, before.get(name), after.get(name))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _differences(f"{place}[{index}]", one, other)
    elif before != after:
        yield f"{place}: {_short(before)} in the bundle, {_short(after)} now"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
