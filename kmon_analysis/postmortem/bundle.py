"""Writing a postmortem, and the bundle from which it can be computed again without any server.

::

    OUT/
      postmortem.html, postmortem.md, postmortem.json
      bundle/
        manifest.json        versions, settings, a checksum of every file
        postmortem.json      the numbers to arrive at
        rules.yml            as given
        incidents.yml        those that lie in the history, and the excluded windows
        history/             the series that the rules read, over the whole range
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

import kmon_analysis
from kmon_analysis.backtest.run import Backtest, observed_evaluations
from kmon_analysis.backtest.settings import Settings
from kmon_analysis.errors import InputError, OutputError
from kmon_analysis.export.own import check_own, put_together
from kmon_analysis.history import History
from kmon_analysis.history_gaps import Int64s, alive
from kmon_analysis.incidents import format_incidents
from kmon_analysis.labels import METRIC_NAME
from kmon_analysis.postmortem.markdown import markdown
from kmon_analysis.postmortem.page import render_page
from kmon_analysis.postmortem.recording import holes
from kmon_analysis.postmortem.tojson import json_bytes
from kmon_analysis.promql.needs import fixed_selections, selections
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.sources.kept import FOLDER, Kept
from kmon_analysis.timing import EvaluationGrid, Interval

if TYPE_CHECKING:
    from kmon_analysis.postmortem.run import Postmortem

__all__ = ["BUNDLE", "RESULT", "Manifest", "check_files", "check_place", "read_manifest", "sliced", "write_postmortem"]

FORMAT = "kmon_analysis postmortem"
VERSION = 1
BUNDLE, MANIFEST, RESULT = "bundle", "manifest.json", "postmortem.json"
FILES = ("postmortem.html", "postmortem.md", RESULT)
_DEPENDENCIES = ("numpy", "scipy", "numba", "llvmlite", "pyarrow", "pandas", "matplotlib", "jinja2", "google-re2")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle says of itself.

    Attributes
    ----------
    directory : Path
        Where it lies.
    incident : str
        Which incident.
    zone : str
        Local zone.
    sooner_ms : tuple of int or None
        What was asked for.
    settings : Settings
        Of the backtest.
    semantics : str or None
        Release that was replayed.
    made_with : Mapping
        Versions.
    files : Mapping
        Checksums by relative path.
    """

    directory: Path
    incident: str
    zone: str
    sooner_ms: tuple[int, ...] | None
    settings: Settings
    semantics: str | None
    made_with: Mapping[str, str]
    files: Mapping[str, str]


def write_postmortem(
    made: Postmortem, directory: Path, *, bundle: bool = True, stage: Callable[[str], None] | None = None
) -> tuple[Path, ...]:
    """Write page, Markdown, JSON and bundle into a folder beside, then put all of it in its place at once.

    Raises
    ------
    OutputError
        If the directory cannot be written, would lose a file that is none of ours or was edited, or a server evaluated
        rules and its answers are not on disk.
    """
    tell = stage or (lambda _: None)
    check_place(directory, bundle=bundle)
    result = json_bytes(made.to_json())
    tell("drawing")
    contents = dict(zip(FILES, (render_page(made).encode(), markdown(made).encode(), result), strict=True))
    names = (*FILES, BUNDLE) if bundle else FILES
    beside = directory.with_name(f".{directory.name}.{os.getpid()}.partial")
    try:
        beside.mkdir(parents=True)
        for name, content in contents.items():
            (beside / name).write_bytes(content)
        if bundle:
            tell("bundling the history")
            _write_bundle(made, beside / BUNDLE, result)
        put_together(beside, directory, names)
    except OSError as error:
        raise OutputError(
            f"cannot write: {error.strerror or error}",
            place=str(directory),
            cure="Choose a folder that you may write to",
        ) from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return tuple(directory / name for name in names)


def check_place(directory: Path, *, bundle: bool = True) -> None:
    """Say before any work that something else is where the results would go.

    Raises
    ------
    OutputError
        If it is a file, or holds files of these names, or a folder ``bundle``, that are none of ours or were edited.
    """
    if directory.is_file():
        raise OutputError("is a file, not a folder", place=str(directory), cure="Choose another folder")
    check_own(directory, FILES)
    taken = directory / BUNDLE
    if not bundle or not taken.exists():
        return
    if not (taken / MANIFEST).exists():
        raise OutputError("is there and no bundle", place=str(taken), cure="Remove it, or choose another folder")
    try:
        wrong = check_files(read_manifest(taken))
    except InputError as error:
        wrong = (f"{MANIFEST}: {error.problem}",)
    if wrong:
        raise OutputError(
            f"is not as it was written: {wrong[0]}", place=str(taken), cure="Remove it, or choose another folder"
        )


def _write_bundle(made: Postmortem, folder: Path, result: bytes) -> None:
    folder.mkdir()
    backtest = made.backtest
    history = sliced(backtest)
    history.save(folder / "history")
    _copy_answers(backtest, History(history.series, history.provenance, folder / "history"))
    (folder / "rules.yml").write_bytes(backtest.rules.text.encode())
    (folder / "incidents.yml").write_bytes(format_incidents(backtest.incidents).encode())
    (folder / RESULT).write_bytes(result)
    (folder / MANIFEST).write_bytes(json_bytes(_manifest(made, folder, history)))


def _manifest(made: Postmortem, folder: Path, history: History) -> dict[str, Any]:
    files = {
        str(PurePosixPath(path.relative_to(folder))): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    versions = {"kmon_analysis": kmon_analysis.__version__, "python": platform.python_version()}
    for name in _DEPENDENCIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "format": FORMAT,
        "version": VERSION,
        "incident": made.incident.id,
        "zone": made.zone,
        "sooner_ms": None if made.ladder_ms is None else list(made.ladder_ms),
        "settings": asdict(made.backtest.settings),
        "semantics": made.to_json()["semantics"],
        "history": {"source": made.backtest.history.provenance.source, "digest": history.digest},
        "made_with": versions,
        "files": files,
    }


def sliced(backtest: Backtest) -> History:
    """Return the part of a history that the rules read, with which a backtest gives the same numbers.

    Notes
    -----
    Observed time is time in which the history holds any sample at all: where the series that the rules read do not
    show all of it, or not where recording stopped and went on, series that do are added.
    """
    history, series = backtest.history, backtest.history.series
    dot_all = all(replay.semantics.dot_all for replay in backtest.results.values())
    chosen: set[int] = set()
    for rule in backtest.rules.rules:
        read = [need.matchers for need in selections(rule.expr)]
        for matchers in (*read, *(need.matchers for need in fixed_selections(rule.expr))):
            chosen |= set(series.matching(matchers, dot_all=True).tolist())
            if not dot_all:
                chosen |= set(series.matching(matchers, dot_all=False).tolist())
    recorded = {rule.record for rule in backtest.rules.recordings}
    chosen |= {place for place, labels in enumerate(series.labels) if labels.value(METRIC_NAME) in recorded}
    chosen |= _witnesses(backtest, chosen)
    chosen |= _edges(backtest, chosen)
    about = replace(history.provenance, scrape_interval_ms=history.scrape_interval_ms)
    return History(series if len(chosen) == len(series) else series.take(sorted(chosen)), about)


def _witnesses(backtest: Backtest, chosen: set[int]) -> set[int]:
    """Return series that show when the server was up, where the chosen ones do not."""
    series, added = backtest.history.series, set[int]()
    rest = [place for place in range(len(series)) if place not in chosen]
    # Rules of one group are evaluated at the same instants.
    clocks = {(replay.grid, replay.semantics): replay for replay in backtest.results.values()} if rest else {}
    for replay in clocks.values():
        times, semantics = replay.grid.times, replay.semantics

        def seen(places: set[int], at: Any, semantics: Semantics = semantics) -> Any:
            part = series.take(sorted(places))
            return observed_evaluations(part, at, semantics.lookback_ms, left_open=semantics.left_open)

        missing = times[replay.seen & ~seen(chosen | added, times)]
        for place in rest:
            if not len(missing):
                break
            helps = seen({place}, missing)
            if helps.any():
                added.add(place)
                missing = missing[~helps]
    return added


def _edges(backtest: Backtest, chosen: set[int]) -> set[int]:
    """Return series that have the last sample before, and the next after, a time of which nothing is recorded."""
    parts = backtest.history.series
    added: set[int] = set()
    if len(chosen) == len(parts):
        return added
    for gap in holes(backtest):
        ends = {place: _around(alive(parts[place]), gap) for place in range(len(parts))}
        for side, best in ((0, max), (1, min)):
            wanted = best(each[side] for each in ends.values())
            if not any(ends[place][side] == wanted for place in chosen | added):
                added.add(next(place for place, each in ends.items() if each[side] == wanted))
    return added


def _around(times: Int64s, gap: Interval) -> tuple[float, float]:
    """Return the last sample before a time and the first one at or after its end; infinite without any."""
    before, after = np.searchsorted(times, (gap.start_ms, gap.end_ms))
    return (
        float(times[before - 1]) if before else -math.inf,
        float(times[after]) if after < len(times) else math.inf,
    )


def _copy_answers(backtest: Backtest, target: History) -> None:
    """Copy what a server evaluated, under the digest of the slice."""
    source = Kept.beside(backtest.history)
    copied = 0
    place = None if backtest.history.path is None else backtest.history.path / FOLDER
    if source is not None and place is not None and place.is_dir():
        into = Kept.beside(target)
        for folder in sorted(place.iterdir()):
            asked = History.open(folder).provenance.extra.get("question", {}) if folder.is_dir() else {}
            if into is None or asked.get("history") != source.digest:
                continue
            grid = EvaluationGrid(asked["start_ms"], asked["end_ms"], asked["step_ms"], asked["phase_ms"])
            answer = source.load(asked["expression"], grid, asked["query_offset_ms"])
            if answer is not None:
                into.store(answer, grid, asked["query_offset_ms"])
                copied += 1
    if backtest.evaluated_by and not copied:
        raise OutputError(
            f"a server evaluated {', '.join(backtest.evaluated_by)}, and its answers are not on disk",
            place=BUNDLE,
            cure="Fetch the history to a folder with --store, or leave the bundle out with --no-bundle",
        )


def read_manifest(directory: Path) -> Manifest:
    """Read what a bundle says of itself.

    Raises
    ------
    InputError
        If the folder is no bundle, or of a version that this release does not know.
    """
    file = directory / MANIFEST
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"cannot be read: {error.strerror if isinstance(error, OSError) else error}",
            place=str(file),
            cure="Give the folder 'bundle' that kmon postmortem wrote",
        ) from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise InputError("is not the manifest of a postmortem", place=str(file), cure="Give the folder 'bundle'")
    if found.get("version") != VERSION:
        raise InputError(
            f"has version {found.get('version')!r}, this release reads {VERSION}",
            place=str(file),
            cure="Use the release that made it, see made_with",
        )
    try:
        settings = dict(found["settings"])
        for name in ("group_by", "phase_part"):
            settings[name] = None if settings[name] is None else tuple(settings[name])
        sooner = found["sooner_ms"]
        return Manifest(
            directory,
            str(found["incident"]),
            str(found["zone"]),
            None if sooner is None else tuple(int(each) for each in sooner),
            Settings(**settings),
            found["semantics"],
            {str(name): str(version) for name, version in found["made_with"].items()},
            {str(name): str(digest) for name, digest in found["files"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"lacks what a manifest has: {error!r}", place=str(file), cure="Take an unchanged copy"
        ) from None


def check_files(manifest: Manifest) -> tuple[str, ...]:
    """Return what is wrong with the files of a bundle: missing, changed, or not listed."""
    wrong = []
    here = manifest.directory
    for name, digest in manifest.files.items():
        parts = PurePosixPath(name)
        if parts.is_absolute() or ".." in parts.parts:
            wrong.append(f"{name}: does not lie in the bundle")
            continue
        try:
            content = (here / parts).read_bytes()
        except OSError:
            wrong.append(f"{name}: is missing")
            continue
        if hashlib.sha256(content).hexdigest() != digest:
            wrong.append(f"{name}: was changed (its sha256 differs)")
    present = {str(PurePosixPath(path.relative_to(here))) for path in here.rglob("*") if path.is_file()}
    wrong += [f"{name}: is not listed" for name in sorted(present - manifest.files.keys() - {MANIFEST})]
    return tuple(wrong)
