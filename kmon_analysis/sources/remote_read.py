"""Prometheus' remote-read protocol: raw samples with their stale markers, bit for bit.

The server sends its chunks as they lie in storage (Prometheus ``prompb/remote.proto``,
``ChunkedReadResponse``; ``storage/remote/chunked.go``), about a tenth of the bytes of JSON and hardly any
work for it. It is also the only way to see where a series was declared stale. Messages are small enough to
be written and read here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kmon_analysis.labels import Labels
from kmon_analysis.series import Samples
from kmon_analysis.sources.planning import Piece

__all__ = ["HEADERS", "PATH", "RemoteAnswer", "decode_read_response", "encode_read_request"]

PATH = "/api/v1/read"
HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Read-Version": "0.1.0",
}
_MATCH_TYPES = {"=": 0, "!=": 1, "=~": 2, "!~": 3}
_STREAMED_XOR_CHUNKS = 1
_XOR = 1
_HISTOGRAMS = (2, 3)
# The bit reader may look at whole bytes behind the last one.
_PADDING = bytes(16)


@dataclass(frozen=True, slots=True)
class RemoteAnswer:
    """What a remote read returned.

    Attributes
    ----------
    series : tuple of Samples
        Samples including stale markers; a series may come in several parts, and its samples may reach
        beyond the range that was asked for.
    histograms : tuple of Labels
        Series with native histograms, whose samples are not among `series`.
    """

    series: tuple[Samples, ...]
    histograms: tuple[Labels, ...]


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Where the bytes of one chunk are, and what they are."""

    kind: int
    begin: int
    end: int
    samples: int


def encode_read_request(piece: Piece) -> bytes:
    """Write the request for the samples of a piece, compressed as the protocol demands."""
    import pyarrow as pa

    matchers = b"".join(
        _field(
            3,
            _number(1, _MATCH_TYPES[matcher.op]) + _field(2, matcher.name.encode()) + _field(3, matcher.value.encode()),
        )
        for matcher in piece.matchers
    )
    query = _number(1, piece.start_ms) + _number(2, piece.end_ms - 1) + matchers
    message = _field(1, query) + _number(2, _STREAMED_XOR_CHUNKS)
    compressed: bytes = pa.Codec("snappy").compress(message, asbytes=True)
    return compressed


def decode_read_response(body: bytes) -> RemoteAnswer:
    """Read the answer to one request.

    Parameters
    ----------
    body : bytes
        Frames of length, CRC-32C and ``ChunkedReadResponse``.

    Raises
    ------
    ValueError
        If the body is cut, damaged or not such an answer.
    """
    from kmon_analysis.sources.scan_kernels import checksum, scan_chunk

    padded = body + _PADDING
    data = np.frombuffer(padded, dtype=np.uint8)
    found: list[tuple[Labels, list[_Chunk]]] = []
    position = 0
    try:
        while position < len(body):
            size, position = _varint(body, position)
            begin = position + 4
            if begin + size > len(body):
                raise ValueError(f"it is cut at byte {position}")
            if int(checksum(data, begin, begin + size)) != int.from_bytes(body[position:begin], "big"):
                raise ValueError(f"the checksum of the frame at byte {position} is wrong")
            position = begin + size
            found += _series_of_frame(body, begin, position)
    except (IndexError, UnicodeDecodeError) as error:
        raise ValueError(f"it is malformed: {error}") from None
    room = sum(chunk.samples for _, chunks in found for chunk in chunks if chunk.kind == _XOR)
    times, bits = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.uint64)
    count = 0
    series, histograms = [], []
    for labels, chunks in found:
        start = count
        for chunk in chunks:
            if chunk.kind == _XOR:
                count = int(scan_chunk(data, chunk.begin, chunk.end, times, bits, count))
                if count < 0:
                    raise ValueError(f"the chunk at byte {chunk.begin} is malformed")
            elif chunk.kind in _HISTOGRAMS:
                histograms.append(labels)
            else:
                raise ValueError(f"it has a chunk of an unknown kind ({chunk.kind})")
        series.append(Samples(labels, times[start:count], bits[start:count].view(np.float64)))
    return RemoteAnswer(tuple(series), tuple(dict.fromkeys(histograms)))


def _series_of_frame(body: bytes, begin: int, end: int) -> Iterator[tuple[Labels, list[_Chunk]]]:
    for number, low, high in _fields(body, begin, end):
        if number != 1:
            continue
        pairs, chunks = [], []
        for inner, first, last in _fields(body, low, high):
            if inner == 1:
                texts = {part: body[one:two].decode() for part, one, two in _fields(body, first, last)}
                pairs.append((texts.get(1, ""), texts.get(2, "")))
            elif inner == 2:
                parts = {part: (one, two) for part, one, two in _fields(body, first, last)}
                one, two = parts.get(4, (0, 0))
                chunks.append(_Chunk(parts.get(3, (0, 0))[0], one, two, int.from_bytes(body[one : one + 2], "big")))
        yield Labels(pairs), chunks


def _fields(message: bytes, position: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield the fields of a message: number, and begin and end of its content (or its value, twice)."""
    while position < end:
        tag, position = _varint(message, position)
        kind = tag & 7
        length, position = _varint(message, position)
        if kind == 0:
            yield tag >> 3, length, length
        elif kind == 2 and position + length <= end:
            yield tag >> 3, position, position + length
            position += length
        else:
            raise ValueError(f"it has an unexpected field at byte {position}")


def _varint(message: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = message[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
        shift += 7
        if shift > 63:
            raise ValueError(f"it has an endless number at byte {position}")


def _written(number: int) -> bytes:
    number &= (1 << 64) - 1
    parts = []
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


def _number(field: int, number: int) -> bytes:
    return _written(field << 3) + _written(number)


def _field(field: int, content: bytes) -> bytes:
    return _written(field << 3 | 2) + _written(len(content)) + content
