"""How a history lies on disk: a manifest beside Parquet parts, verified on every reading.

::

    user-service/
      manifest.json            what it is, where it came from, and a checksum of everything
      samples-0001.parquet     one row a sample: series, time, integer, number
      samples-0002.parquet     later samples of the same and of new series (an append)

A sample's value is ``coalesce(integer, number)``: exactly integral values lie in an int64 column whose
differences are packed to their own width, all others (fractions, NaN with its payload, stale markers,
±Inf, -0.0) keep their 64 bits in a split float column. On 11 million samples of counters and gauges
this takes 16 MB where plain Parquet takes 59 MB, and any Parquet tool reads it.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from kmon_analysis.errors import HistoryError, OutputError
from kmon_analysis.labels import Labels
from kmon_analysis.series import Floats, Int64s, Samples, SeriesSet

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["FORMAT", "MANIFEST", "VERSION", "append_part", "read_store", "write_store"]

FORMAT = "kmon_analysis history"
VERSION = 1
MANIFEST = "manifest.json"
_ROW_GROUP = 1 << 20
_EXACT = float(1 << 53)
_RESTORE = "Restore the file from a copy, or fetch the history again"


@dataclass(frozen=True, slots=True)
class _Part:
    """One Parquet file as the manifest describes it."""

    file: str
    sha256: str
    bytes: int
    rows: int
    start_ms: int | None
    end_ms: int | None
    series: tuple[tuple[Labels, int], ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "sha256": self.sha256,
            "bytes": self.bytes,
            "rows": self.rows,
            "start_ms": self.start_ms,
            "end_ms": self.end_ms,
            "series": [{"labels": dict(labels), "rows": rows} for labels, rows in self.series],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> _Part:
        series = tuple((Labels(entry["labels"]), int(entry["rows"])) for entry in data["series"])
        return cls(
            file=str(data["file"]),
            sha256=str(data["sha256"]),
            bytes=int(data["bytes"]),
            rows=int(data["rows"]),
            start_ms=data["start_ms"],
            end_ms=data["end_ms"],
            series=series,
        )


def write_store(path: Path, series: SeriesSet, about: Mapping[str, Any]) -> None:
    """Write a history, replacing one that is already there.

    Parameters
    ----------
    path : Path
        Directory; it must not exist, be empty, or hold a history.
    series : SeriesSet
        The samples.
    about : Mapping
        What goes into the manifest beside the list of parts; JSON values.

    Raises
    ------
    OutputError
        If `path` holds anything else, or cannot be written. What was there before is then unchanged.
    """
    if path.exists() and not path.is_dir():
        raise OutputError("is a file, not a directory", place=str(path), cure="Choose another directory")
    existing = sorted(entry.name for entry in path.iterdir()) if path.exists() else []
    if existing and MANIFEST not in existing:
        raise OutputError(
            f"holds something that is not a history ({existing[0]!r})", place=str(path), cure="Choose a new directory"
        )
    try:
        if existing:
            old = _load_manifest(path)
            _commit(path, about, [_write_part(path, _next_name(path), series)])
            for part in old[1]:
                (path / part.file).unlink(missing_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.parent / f".{path.name}.{secrets.token_hex(4)}.partial"
            try:
                beside.mkdir()
                _commit(beside, about, [_write_part(beside, _next_name(beside), series)])
                if path.exists():
                    path.rmdir()
                beside.rename(path)
            finally:
                shutil.rmtree(beside, ignore_errors=True)
    except OSError as error:
        raise _cannot_write(path, error) from error


def append_part(path: Path, series: SeriesSet, about: Mapping[str, Any]) -> None:
    """Add later samples to a history on disk: a new part first, the new manifest last.

    Parameters
    ----------
    path : Path
        A history.
    series : SeriesSet
        Samples that lie, series by series, after those on disk (the caller has checked this).
    about : Mapping
        The new content of the manifest beside the list of parts.
    """
    _, parts = _load_manifest(path)
    try:
        _commit(path, about, [*parts, _write_part(path, _next_name(path), series)])
    except OSError as error:
        raise _cannot_write(path, error) from error


def read_store(path: Path) -> tuple[SeriesSet, dict[str, Any]]:
    """Read and verify a history.

    Returns
    -------
    series : SeriesSet
        The samples, bit for bit as they were saved.
    about : dict
        The manifest without its parts.

    Raises
    ------
    HistoryError
        If a file is missing, damaged, cut or exchanged, or the format is unknown; the file is named.
    """
    about, parts = _load_manifest(path)
    return _joined([(part, *_read_part(path / part.file, part)) for part in parts]), about


def _cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"cannot be written: {error.strerror or error}", place=str(path), cure="Check the place and its permissions"
    )


def _next_name(path: Path) -> str:
    numbers = [int(entry.stem[8:]) for entry in path.glob("samples-*.parquet") if entry.stem[8:].isdigit()]
    return f"samples-{max(numbers, default=0) + 1:04d}.parquet"


def _table(series: SeriesSet) -> pa.Table:
    """Lay the samples out as rows: series, time, integer, number."""
    import pyarrow as pa

    values = series.values
    with np.errstate(invalid="ignore"):
        integral = (values == np.trunc(values)) & (np.abs(values) < _EXACT) & ~((values == 0) & np.signbit(values))
    names = pa.array([str(labels) for labels in series.labels], pa.string())
    index = np.repeat(np.arange(len(series), dtype=np.int32), np.diff(series.offsets))
    columns = {
        "series": pa.DictionaryArray.from_arrays(pa.array(index), names),
        "time": pa.array(series.times).cast(pa.timestamp("ms", "UTC")),
        "integer": pa.array(np.where(integral, values, 0.0).astype(np.int64), mask=~integral),
        "number": pa.array(values, mask=integral, from_pandas=False),
    }
    return pa.table(columns)


def _write_part(path: Path, name: str, series: SeriesSet) -> _Part:
    """Write one Parquet file beside its place, then move it there."""
    import pyarrow.parquet as pq

    beside = path / f".{name}.partial"
    try:
        pq.write_table(
            _table(series),
            beside,
            compression="zstd",
            compression_level=9,
            row_group_size=_ROW_GROUP,
            use_dictionary=["series"],
            write_statistics=["time"],
            column_encoding={
                "time": "DELTA_BINARY_PACKED",
                "integer": "DELTA_BINARY_PACKED",
                "number": "BYTE_STREAM_SPLIT",
            },
        )
        content = beside.read_bytes()
        beside.replace(path / name)
    finally:
        beside.unlink(missing_ok=True)
    rows = len(series.times)
    return _Part(
        file=name,
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        rows=rows,
        start_ms=int(series.times.min()) if rows else None,
        end_ms=int(series.times.max()) + 1 if rows else None,
        series=tuple(zip(series.labels, np.diff(series.offsets).tolist(), strict=True)),
    )


def _checksum(body: Mapping[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _commit(path: Path, about: Mapping[str, Any], parts: Sequence[_Part]) -> None:
    """Make the parts the content of the history, in one step."""
    body = {"format": FORMAT, "version": VERSION, **about, "parts": [part.to_json() for part in parts]}
    beside = path / f".{MANIFEST}.partial"
    try:
        text = json.dumps({**body, "checksum": _checksum(body)}, indent=1, ensure_ascii=False, allow_nan=False)
        beside.write_text(text + "\n", encoding="utf-8")
        os.replace(beside, path / MANIFEST)  # noqa: PTH105
    finally:
        beside.unlink(missing_ok=True)


def _load_manifest(path: Path) -> tuple[dict[str, Any], list[_Part]]:
    file = path / MANIFEST
    if not path.is_dir():
        reason = "is a file; a history is a directory" if path.exists() else "no such history"
        raise HistoryError(reason, place=str(path), cure="Give the directory that holds manifest.json")
    try:
        body = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise HistoryError(
            f"has no {MANIFEST}, so it is not a history", place=str(path), cure="Give a directory that was saved as one"
        ) from None
    except (OSError, ValueError) as error:
        raise HistoryError(f"cannot be read: {error}", place=str(file), cure=_RESTORE) from None
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise HistoryError(
            "does not describe a history", place=str(file), cure="Give a directory that was saved as a history"
        )
    if body.get("version") != VERSION:
        raise HistoryError(
            f"has format version {body.get('version')!r}, this release reads {VERSION}",
            place=str(file),
            cure="Upgrade kmon-analysis, or save the history again with the release you have",
        )
    if body.pop("checksum", None) != _checksum(body):
        raise HistoryError("was changed after it was written (checksum differs)", place=str(file), cure=_RESTORE)
    try:
        parts = [_Part.from_json(part) for part in body.pop("parts")]
    except (KeyError, TypeError, ValueError) as error:
        raise HistoryError(f"lacks what a manifest has: {error!r}", place=str(file), cure=_RESTORE) from None
    return body, parts


def _read_part(file: Path, part: _Part) -> tuple[Int64s, Floats]:
    """Return times and values of one part after checking that it is the file which was written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Memory of Arrow's own: Python's would be given back by Arrow's threads, which ends a process that is just
        # finishing ("terminate called without an active exception").
        with pa.OSFile(str(file)) as source:
            content = source.read_buffer()
    except FileNotFoundError:
        raise HistoryError("is missing", place=str(file), cure=_RESTORE) from None
    except OSError as error:
        raise HistoryError(f"cannot be read: {error.strerror or error}", place=str(file), cure=_RESTORE) from None
    if content.size < part.bytes:
        raise HistoryError(f"is cut: {content.size} of {part.bytes} bytes", place=str(file), cure=_RESTORE)
    if hashlib.sha256(content).hexdigest() != part.sha256:
        raise HistoryError("is damaged or another file (its sha256 differs)", place=str(file), cure=_RESTORE)
    try:
        # Not `read_table`: like `to_numpy` of a column it loads pandas, which takes longer than to read most histories.
        table = pq.ParquetFile(pa.BufferReader(content)).read(columns=["time", "integer", "number"])
        times = _copied(table.column("time").cast(pa.int64()), np.int64)
        values = _coalesced(table.column("integer"), table.column("number"))
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise HistoryError(f"is not a part of a history: {error}", place=str(file), cure=_RESTORE) from None
    if len(times) != part.rows or sum(rows for _, rows in part.series) != part.rows:
        raise HistoryError(f"has {len(times)} samples instead of {part.rows}", place=str(file), cure=_RESTORE)
    return times, values


def _coalesced(integers: pa.ChunkedArray, numbers: pa.ChunkedArray) -> Floats:
    """Put integral and other values together, chunk by chunk; nothing is converted twice."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values: Floats = _copied(pc.coalesce(pc.cast(integers, pa.float64()), numbers), np.float64)
    return values


def _copied(column: pa.ChunkedArray, dtype: type[np.generic]) -> npt.NDArray[Any]:
    """Copy the numbers of a column that has no nulls."""
    if column.null_count:
        raise ValueError(f"{column.null_count} samples have no time or no value")
    chunks = [(np.frombuffer(chunk.buffers()[1], dtype), chunk) for chunk in column.chunks if len(chunk)]
    parts = [values[chunk.offset : chunk.offset + len(chunk)] for values, chunk in chunks]
    return np.concatenate([np.empty(0, dtype), *parts])


def _joined(parts: Sequence[tuple[_Part, Int64s, Floats]]) -> SeriesSet:
    """Join the parts of each series, in order of the parts."""
    if len(parts) == 1 and list(parts[0][0].series) == sorted(parts[0][0].series, key=lambda entry: entry[0]):
        part, times, values = parts[0]
        sizes = np.array([rows for _, rows in part.series], dtype=np.int64)
        offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])
        return SeriesSet(tuple(labels for labels, _ in part.series), offsets, times, values)
    pieces: dict[Labels, list[tuple[Int64s, Floats]]] = {}
    for part, times, values in parts:
        position = 0
        for labels, rows in part.series:
            span = slice(position, position + rows)
            pieces.setdefault(labels, []).append((times[span], values[span]))
            position += rows
    return SeriesSet.from_samples(
        Samples(labels, np.concatenate([times for times, _ in found]), np.concatenate([values for _, values in found]))
        for labels, found in pieces.items()
    )
