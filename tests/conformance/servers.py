"""A running Prometheus as the judge: samples by remote write, then range and instant queries.

All cases lie in one server at one time; a label of its own, which every selector asks for, keeps each to itself.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import struct
import urllib.parse
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from kmon_analysis.labels import Labels
from kmon_analysis.promql.evaluate import evaluate
from kmon_analysis.promql.printer import format_expr
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.promql.syntax import Subquery, VectorSelector
from kmon_analysis.series import Samples, SeriesSet
from tests.conformance.case import Case
from tests.conformance.judge import Difference, Judged, unlike
from tests.conformance.ours import Claims, Question
from tests.conformance.promtool import Answer
from tests.conformance.rewrite import parts, read, with_label
from tests.prometheus_server import running_prometheus

__all__ = ["PROMETHEUSES", "ServerJudge", "judging_server"]

PROMETHEUSES = {"2.42": "prometheus", "3.16": "prometheus3"}
# Default step of subqueries in the server.
SUBQUERY_STEP_MS = 30_000
CONFIG = "global: {scrape_interval: 1m, evaluation_interval: 30s}\n"
LABEL = "case"
# Instants asked beside the range query.
INSTANTS = 2


@contextlib.contextmanager
def judging_server(version: str) -> Iterator[ServerJudge]:
    """Run a Prometheus that takes samples and judges."""
    arguments = ["--web.enable-remote-write-receiver"]
    with running_prometheus(config=CONFIG, arguments=arguments, program=PROMETHEUSES[version]) as server:
        address = urllib.parse.urlsplit(server.url)
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=120)
        try:
            yield ServerJudge(version, connection)
        finally:
            connection.close()


class ServerJudge:
    """Judges the expressions of cases by one running server; called with cases, as `judge.judge`."""

    def __init__(self, version: str, connection: http.client.HTTPConnection) -> None:
        self.version = version
        self.connection = connection
        self.semantics = dataclasses.replace(Semantics.of(version), subquery_step_ms=SUBQUERY_STEP_MS)
        self.count = 0

    def __call__(self, cases: Sequence[Case]) -> list[Judged]:
        """Write the samples of all cases, then ask."""
        marked = []
        for case in cases:
            self.count += 1
            marked.append((case, str(self.count), _marked(case.series, str(self.count))))
        self.write([part for _, _, series in marked for part in series])
        return [self._judge(case, mark, series) for case, mark, series in marked]

    def write(self, parts_of_all: Sequence[Samples]) -> None:
        """Send samples by remote write."""
        import pyarrow as pa

        body = pa.Codec("snappy").compress(b"".join(map(_encoded, parts_of_all)), asbytes=True)
        headers = {
            "Content-Type": "application/x-protobuf",
            "Content-Encoding": "snappy",
            "X-Prometheus-Remote-Write-Version": "0.1.0",
        }
        self.connection.request("POST", "/api/v1/write", body, headers)
        response = self.connection.getresponse()
        said = response.read()
        if response.status // 100 != 2:
            raise RuntimeError(f"Prometheus {self.version} refuses the samples: {response.status} {said[:500]!r}")

    def ask(self, path: str, **settings: str) -> Any:
        """Send a query; returns the data, or the error as text."""
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        self.connection.request("POST", f"/api/v1/{path}", urllib.parse.urlencode(settings), headers)
        answer = json.loads(self.connection.getresponse().read())
        return answer["data"] if answer["status"] == "success" else str(answer["error"])

    def _judge(self, case: Case, mark: str, series: SeriesSet) -> Judged:
        questions: list[Question] = []
        differences: list[Difference] = []
        for text in case.expressions:
            try:
                asked = self._questions(case, format_expr(with_label(read(text), LABEL, mark)), series)
            except Exception as error:
                said = f"we break down: {type(error).__name__}: {error}"
                differences.append(Difference(case, f"{self.version} server", "breakdown", text, -1, said))
                continue
            questions += [dataclasses.replace(question, expr=text) for question, _ in asked]
            for question, theirs in asked:
                if said := unlike(question, theirs):
                    at = question.time_ms
                    differences.append(Difference(case, f"{self.version} server", "answer", text, at, said))
                    break
        claimed = Claims(questions, case.end_ms, (), None)
        return Judged(case, f"{self.version} server", claimed, differences)

    def _questions(self, case: Case, text: str, series: SeriesSet) -> list[tuple[Question, Answer]]:
        """Return our answers and theirs."""
        grid_ms = np.arange(case.base_ms, case.end_ms + 1, case.interval_ms, dtype=np.int64)
        instants = list(case.times)
        found: list[tuple[Question, Answer]] = []
        fixed = any(isinstance(one, VectorSelector | Subquery) and _of_query(one) for one in parts(read(text)))
        theirs: Any = (
            ""
            if fixed
            else self.ask(
                "query_range",
                query=text,
                start=_seconds(case.base_ms),
                end=_seconds(int(grid_ms[-1])),
                step=_seconds(case.interval_ms),
            )
        )
        if isinstance(theirs, str):
            # A range query fails as a whole, and start() is its own: a rule asks instants.
            instants = sorted({*instants[:INSTANTS], *grid_ms.tolist()})
        else:
            ours = _answers(text, series, grid_ms, self.semantics)
            vectors = _columns(theirs["result"], grid_ms.tolist())
            found += zip(ours, vectors, strict=True)
            wrong = [question.time_ms for question, vector in found if unlike(question, vector)]
            # An instant decides where the two kinds of query differ.
            found = [(question, vector) for question, vector in found if question.time_ms not in wrong]
            instants = sorted({*instants[:INSTANTS], *wrong[:1]})
        ours = _answers(text, series, np.array(instants, dtype=np.int64), self.semantics)
        return [*found, *((question, self._instant(text, question.time_ms)) for question in ours)]

    def _instant(self, text: str, time_ms: int) -> Answer:
        data = self.ask("query", query=text, time=_seconds(time_ms))
        if isinstance(data, str):
            return data
        if data["resultType"] == "scalar":
            return {Labels(): float(data["result"][1])}
        return {Labels(each["metric"]): float(each["value"][1]) for each in data["result"]}


def _of_query(part: VectorSelector | Subquery) -> bool:
    return part.at is not None and part.at.kind != "time"


def _answers(text: str, series: SeriesSet, times: Any, semantics: Semantics) -> list[Question]:
    grid = evaluate(read(text), series, times, semantics)
    failed = grid.failed.tolist()
    return [
        Question(text, time, None if failed[column] else grid.at(column)) for column, time in enumerate(times.tolist())
    ]


def _columns(result: Sequence[dict[str, Any]], times: Sequence[int]) -> list[dict[Labels, float]]:
    """Turn the series of a range query into vectors."""
    found: dict[int, dict[Labels, float]] = {time: {} for time in times}
    for each in result:
        labels = Labels(each["metric"])
        for seconds, value in each["values"]:
            found[round(seconds * 1000)][labels] = float(value)
    return list(found.values())


def _seconds(ms: int) -> str:
    return f"{ms // 1000}.{ms % 1000:03d}"


def _marked(series: SeriesSet, mark: str) -> SeriesSet:
    return SeriesSet.from_samples(
        Samples(part.labels.updated({LABEL: mark}), part.times, part.values) for part in series
    )


def _encoded(part: Samples) -> bytes:
    """Write one series of a ``WriteRequest`` (Prometheus ``prompb/types.proto``)."""
    labels = b"".join(
        _field(1, _field(1, name.encode()) + _field(2, value.encode())) for name, value in sorted(part.labels.items())
    )
    samples = b"".join(
        _field(2, b"\x09" + struct.pack("<d", value) + b"\x10" + _varint(time))
        for time, value in zip(part.times.tolist(), part.values, strict=True)
    )
    return _field(1, labels + samples)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*written, number])
