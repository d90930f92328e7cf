"""Turn the bytes of an API answer into arrays, without one Python object a sample."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kmon_analysis.labels import Labels
from kmon_analysis.series import Floats, Int64s, Samples

__all__ = ["Answer", "decode_answer", "parse_floats"]

# Bytes of the shortest possible sample, [0,"0"] and a comma.
_SHORTEST = 8


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query API returned.

    Attributes
    ----------
    status : str
        ``"success"`` or ``"error"``.
    result_type : str
        ``"matrix"``, ``"vector"``, ``"scalar"`` … or ``""``.
    series : tuple of Samples
        Float samples; a series appears as often as the server sent it.
    warnings : tuple of str
        The server's warnings and infos.
    error_type, error : str
        The server's own words when `status` is ``"error"``.
    histograms : tuple of Labels
        Series that hold native histograms, whose samples are not among `series`.
    """

    status: str
    result_type: str = ""
    series: tuple[Samples, ...] = ()
    warnings: tuple[str, ...] = ()
    error_type: str = ""
    error: str = ""
    histograms: tuple[Labels, ...] = ()


def parse_floats(text: bytes, ends: Int64s) -> Floats:
    """Read many decimals, each exactly as ``float()`` does.

    Parameters
    ----------
    text : bytes
        The literals end to end.
    ends : int64 array, shape (N,)
        Where each one ends.

    Raises
    ------
    ValueError
        If one is not a number.
    """
    import pyarrow as pa

    offsets = np.concatenate([np.zeros(1, dtype=np.int64), ends])
    strings = pa.Array.from_buffers(pa.large_utf8(), len(ends), [None, pa.py_buffer(offsets), pa.py_buffer(text)])
    try:
        values: Floats = strings.cast(pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        spans = zip(offsets[:-1].tolist(), ends.tolist(), strict=True)
        values = np.array([float(text[begin:end]) for begin, end in spans])
    return values


def decode_answer(body: bytes) -> Answer:
    """Read the answer of ``/api/v1/query`` or ``/api/v1/query_range``.

    The lists of samples are read by a compiled scanner straight into arrays; everything around them
    (labels, warnings, errors) goes through `json`, which also proves that the body is whole.

    Parameters
    ----------
    body : bytes
        JSON as Prometheus and its relatives send it.

    Raises
    ------
    ValueError
        If the body is cut or not such an answer; the message says where.
    """
    from kmon_analysis.sources.scan_kernels import MALFORMED, UNUSUAL, scan_samples

    data = np.frombuffer(body, dtype=np.uint8)
    room = len(body) // _SHORTEST + 1
    times, values = np.empty(room, dtype=np.int64), np.empty(room)
    text = np.empty(len(body), dtype=np.uint8)
    ends, late = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)
    count = late_count = copied = position = 0
    frame: list[bytes] = []
    spans: list[tuple[int, int]] = []
    while (found := body.find(b'"values"', position)) >= 0:
        opening = _opening(body, found + 8)
        if opening < 0:
            position = found + 8
            continue
        begin = count
        position, count, late_count = scan_samples(data, opening, times, values, count, text, ends, late, late_count)
        if position == MALFORMED:
            raise ValueError(f"it is cut or malformed in the sample list at byte {opening}")
        if position == UNUSUAL:
            return _decode_plainly(body)
        frame += [body[copied:opening], str(len(spans)).encode()]
        spans.append((begin, count))
        copied = position
    try:
        rest = json.loads(b"".join([*frame, body[copied:]]))
    except json.JSONDecodeError:
        # Ask again with the whole, for a position that is true.
        return _decode_plainly(body)
    if late_count:
        slow = parse_floats(text[: ends[late_count - 1]].tobytes(), ends[:late_count])
        values[late[:late_count]] = slow

    def samples_of(entry: Mapping[str, Any]) -> tuple[Int64s, Floats]:
        place = entry["values"]
        if not isinstance(place, int):
            raise TypeError("values is not a list of samples")
        span = slice(*spans[place])
        return times[span], values[span]

    return _assembled(rest, samples_of)


def _opening(body: bytes, position: int) -> int:
    """Return where the list after the key ``"values"`` opens; negative if this was no such key."""
    ahead = body[position : position + 64]
    after_colon = ahead.lstrip()
    if not after_colon.startswith(b":"):
        return -1
    value = after_colon[1:].lstrip()
    return position + len(ahead) - len(value) if value.startswith(b"[") else -1


def _decode_plainly(body: bytes) -> Answer:
    """Read an answer with `json` alone: slower, and it takes any number notation."""

    def samples_of(entry: Mapping[str, Any]) -> tuple[Int64s, Floats]:
        pairs = entry["values"]
        times = [round(float(time) * 1000) for time, _ in pairs]
        return np.array(times, dtype=np.int64), np.array([float(value) for _, value in pairs], dtype=np.float64)

    return _assembled(json.loads(body), samples_of)


def _assembled(body: Any, samples_of: Any) -> Answer:
    if not isinstance(body, dict) or body.get("status") not in ("success", "error"):
        raise ValueError("it has no status, so it is not an answer of the query API")
    warnings = _texts(body.get("warnings")) + _texts(body.get("infos"))
    if body["status"] == "error":
        return Answer(
            "error", warnings=warnings, error_type=str(body.get("errorType", "")), error=str(body.get("error", ""))
        )
    try:
        data = body["data"]
        kind, result = data["resultType"], data["result"]
        series, histograms = [], []
        if kind == "scalar":
            result = [{"metric": {}, "value": result}]
        for entry in result if kind in ("matrix", "vector", "scalar") else ():
            if not isinstance(entry["metric"], dict):
                raise TypeError("metric is not a set of labels")
            labels = Labels(entry["metric"])
            if "values" in entry:
                series.append(Samples(labels, *samples_of(entry)))
            elif "value" in entry:
                time, value = entry["value"]
                series.append(Samples(labels, np.array([round(float(time) * 1000)]), np.array([float(value)])))
            if "histograms" in entry or "histogram" in entry:
                histograms.append(labels)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"it is not an answer of the query API: {error!r}") from None
    return Answer("success", kind, tuple(series), warnings, histograms=tuple(histograms))


def _texts(value: Any) -> tuple[str, ...]:
    items: Sequence[Any] = value if isinstance(value, list) else ()
    return tuple(str(item) for item in items)
