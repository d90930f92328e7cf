"""One ``query_range`` of a Prometheus over many evaluations, to time and to compare with."""

from __future__ import annotations

import http.client
from collections.abc import Iterable, Iterator
from urllib.parse import urlencode, urlsplit

import numpy as np

from kmon_analysis.series import Grid
from kmon_analysis.sources.decoding import decode_answer

__all__ = ["RangeQuery"]

POINTS = 11_000


class RangeQuery:
    """One ``query_range`` over evenly spaced times, in pieces as the server's limit demands, on one connection."""

    def __init__(self, url: str, expression: str, times: np.ndarray) -> None:
        parts = urlsplit(url)
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=300)
        self.expression = expression
        self.times = times
        self.bytes = 0

    def pieces(self) -> Iterator[bytes]:
        """Ask piece by piece and read every byte."""
        step = int(self.times[1] - self.times[0]) / 1000
        for first in range(0, len(self.times), POINTS):
            span = self.times[first : first + POINTS]
            fields = {"query": self.expression, "start": span[0] / 1000, "end": span[-1] / 1000, "step": step}
            self.connection.request("GET", f"/api/v1/query_range?{urlencode(fields)}")
            answer = self.connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                raise RuntimeError(body[:500])
            yield body

    def run(self) -> None:
        """Read the answer and drop it: decoding would be the caller's, not the server's."""
        self.bytes = sum(len(body) for body in self.pieces())

    def agree(self, grid: Grid, pieces: Iterable[bytes] | None = None) -> None:
        """Prove that both sides computed the same thing, bit for bit; asks unless `pieces` are there already."""
        offset = 0
        for body in self.pieces() if pieces is None else pieces:
            width = min(POINTS, len(self.times) - offset)
            seen = 0
            rows = {part.labels: part for part in decode_answer(body).series}
            for row, labels in enumerate(grid.labels):
                part = rows.get(labels)
                span = slice(offset, offset + width)
                columns = np.flatnonzero(grid.present[row, span]) + offset
                times = np.empty(0, dtype=np.int64) if part is None else part.times
                values = np.empty(0) if part is None else part.values
                same = np.array_equal(times, self.times[columns]) and _same_bits(values, grid.values[row, columns])
                if not same:
                    raise RuntimeError(f"{self.expression}: the server disagrees on {labels}")
                seen += part is not None
            if seen != len(rows):
                raise RuntimeError(f"{self.expression}: the server returns series that we do not")
            offset += width


def _same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    """Compare bits, except that JSON knows only one NaN."""
    if len(one) != len(other):
        return False
    return bool(np.all((one.view(np.int64) == other.view(np.int64)) | (np.isnan(one) & np.isnan(other))))
