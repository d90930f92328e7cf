"""Read the samples of one piece, in either of the two ways a Prometheus offers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from kmon_analysis.errors import SourceError
from kmon_analysis.labels import Labels
from kmon_analysis.series import Samples, SeriesSet, is_stale
from kmon_analysis.sources import remote_read
from kmon_analysis.sources.connection import Connection, TooMuchAtOnce
from kmon_analysis.sources.planning import Piece, merged, raw_query, selector
from kmon_analysis.timing import MINUTE_MS

__all__ = ["PROTOCOLS", "PieceData", "Protocol", "objection", "read_piece"]

Protocol = Literal["query", "remote-read"]
PROTOCOLS: tuple[Protocol, ...] = ("query", "remote-read")
_SMALLEST_MS = MINUTE_MS
Received = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class PieceData:
    """The samples of a piece, and what the server warned of."""

    series: SeriesSet
    warnings: tuple[str, ...] = ()


def read_piece(
    connection: Connection,
    piece: Piece,
    protocol: Protocol,
    external_labels: Mapping[str, str] | None = None,
    received: Received | None = None,
) -> PieceData:
    """Read a piece, in halves where the server finds it too much.

    Parameters
    ----------
    connection : Connection
        The server.
    piece : Piece
        What is wanted.
    protocol : {"query", "remote-read"}
        ``"query"`` leaves stale markers out, as the query API does.
    external_labels : Mapping, optional
        Labels that the server adds to every series it sends by remote read; they are taken off.
    received : callable, optional
        Told the number of bytes as they arrive.

    Raises
    ------
    SourceUnreachable, SourceRefused, SourceCorrupt
        See `Connection.ask`.
    """
    try:
        if protocol == "query":
            return _by_query(connection, piece, received)
        return _remotely(connection, piece, external_labels or {}, received)
    except TooMuchAtOnce:
        if piece.duration_ms < 2 * _SMALLEST_MS:
            raise
    left, right = (read_piece(connection, half, protocol, external_labels, received) for half in piece.halves())
    return PieceData(merged([*left.series, *right.series]), tuple(dict.fromkeys(left.warnings + right.warnings)))


def objection(connection: Connection, piece: Piece, external_labels: Mapping[str, str] | None) -> str:
    """Say why remote read should not be used for a selector, or "" when it gives what queries give.

    Parameters
    ----------
    connection : Connection
        The server.
    piece : Piece
        A short one that has samples; it is read both ways and compared bit by bit.
    external_labels : Mapping or None
        The server's external labels, as far as known.

    Notes
    -----
    The server strips matchers on its external labels and adds these labels to every series
    (``storage/remote/read_handler.go``); a rule evaluated on the server knows nothing of them. That is
    why it is tried on real data instead of believed.
    """
    external = external_labels or {}
    hidden = sorted({matcher.name for matcher in piece.matchers} & set(external))
    if hidden:
        return f"{selector(piece.matchers)} asks for the external label {hidden[0]}"
    try:
        remote = read_piece(connection, piece, "remote-read", external).series
        queried = read_piece(connection, piece, "query").series
    except SourceError as error:
        return error.problem
    alive = merged(
        Samples(part.labels, part.times[~is_stale(part.values)], part.values[~is_stale(part.values)]) for part in remote
    )
    same = (
        alive.labels == queried.labels
        and np.array_equal(alive.times, queried.times)
        and np.array_equal(_comparable(alive), _comparable(queried))
    )
    return "" if same else f"remote read and queries differ for {selector(piece.matchers)}"


def _comparable(series: SeriesSet) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """Return the bits of the values with all NaNs alike: JSON knows only one."""
    return np.where(np.isnan(series.values), np.nan, series.values).view(np.uint64)


def _by_query(connection: Connection, piece: Piece, received: Received | None) -> PieceData:
    answer = connection.ask("/api/v1/query", raw_query(piece), received=received)
    return PieceData(merged(answer.series, piece.interval), answer.warnings + _left_out(answer.histograms))


def _remotely(
    connection: Connection, piece: Piece, external: Mapping[str, str], received: Received | None
) -> PieceData:
    answer = connection.exchange(
        remote_read.PATH,
        remote_read.encode_read_request(piece),
        remote_read.HEADERS,
        remote_read.decode_read_response,
        received=received,
    )
    own = (Samples(_own(part.labels, external), part.times, part.values) for part in answer.series)
    return PieceData(merged(own, piece.interval), _left_out(answer.histograms))


def _own(labels: Labels, external: Mapping[str, str]) -> Labels:
    """Take the server's external labels off a series."""
    added = [name for name, value in external.items() if labels.value(name) == value]
    return labels.without(*added) if added else labels


def _left_out(histograms: tuple[Labels, ...]) -> tuple[str, ...]:
    return tuple(f"{labels} has native histograms, which are left out" for labels in histograms)
