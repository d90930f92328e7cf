"""Let a server evaluate an expression, at the instants at which a rule would be.

A rule is an instant query at each of its evaluations (Prometheus ``rules/manager.go``, ``EngineQueryFunc``). Range
queries answer many of those at once, and mostly the same; where they do not, instants are asked for one by one:

* One failing step fails a whole range query. Such a piece is halved down to the steps that fail by themselves; an
  instant query has the last word on each of those.
* What looks at the query's own range (``@ start()``, ``step()`` …) means the evaluation itself in a rule.
* Releases from 2.50 to 3.4 take the parameter of ``topk`` and its kin from the first step for all steps.
* Anything else that we do not know of shows in a trial: a few steps are compared with instant queries.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np

from kmon_analysis.errors import ExpressionError, KmonError, SettingError, SourceCorrupt, SourceRefused
from kmon_analysis.labels import Labels
from kmon_analysis.series import Bools, Floats, Grid, Int64s, Samples
from kmon_analysis.sources.connection import (
    Connection,
    FailedThere,
    NotUnderstood,
    Patience,
    TooMuchAtOnce,
    connect,
    plain,
)
from kmon_analysis.sources.decoding import Answer
from kmon_analysis.sources.prometheus import Progress
from kmon_analysis.sources.server import ServerInfo, ask_server
from kmon_analysis.sources.workers import in_threads
from kmon_analysis.timing import EvaluationGrid, format_duration, format_instant

if TYPE_CHECKING:
    from prometheus_api_client import PrometheusConnect

__all__ = ["MOST_INSTANTS", "Evaluated", "Evaluator", "own_range"]

# A month of one-minute evaluations; more questions than that are for a rule file, not for a preview.
MOST_INSTANTS = 50_000
# Prometheus web/api/v1/api.go, queryRange: "exceeded maximum resolution of 11,000 points per timeseries".
_MOST_POINTS = 11_000
_INSTANTS_A_JOB = 50
# Sums over series in another order differ in their last bits (promql/engine.go, rangeEval keeps series in a map).
_ORDER_NOISE = 1e-9

_OPAQUE = re.compile(r'"(?:[^"\\]|\\.)*"|' r"'(?:[^'\\]|\\.)*'|`[^`]*`|#[^\n]*", re.DOTALL)
_OWN_RANGE = re.compile(r"(?<![\w:.])(start|end|range|step)\s*\(", re.IGNORECASE)
_PARAMETRIC = re.compile(
    r"(?<![\w:.])(topk|bottomk|quantile|limitk|limit_ratio)\b\s*(?:(?:by|without)\s*\([^)]*\)\s*)?\("
    r"(?!\s*[-+]?\s*(?:0x[\da-f]+|[\d.]+(?:e[-+]?\d+)?|inf|nan)\s*,)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What a server made of an expression.

    Attributes
    ----------
    text : str
        The expression.
    grid : Grid
        Its values at the evaluations; ``failed`` where the server fails the instant query.
    place : str
        The server's URL without credentials.
    version : str or None
        Its Prometheus release, or what it calls itself.
    warnings : tuple of str
        The server's warnings and infos, and what it said of failing evaluations.
    instants : int
        How many evaluations were asked for one by one.
    """

    text: str
    grid: Grid
    place: str
    version: str | None
    warnings: tuple[str, ...] = ()
    instants: int = 0

    @property
    def by(self) -> str:
        """Who evaluated, in few words: ``the server prometheus:9090 (2.42.0)``."""
        host = urlsplit(self.place).netloc or self.place
        return f"the server {host}" + (f" ({self.version})" if self.version else "")


@dataclass(frozen=True, slots=True)
class _Job:
    """Columns ``[low, high)`` of the grid; each by itself, or in one range query."""

    low: int
    high: int
    singly: bool

    def halves(self) -> tuple[_Job, _Job]:
        middle = (self.low + self.high) // 2
        return dataclasses.replace(self, high=middle), dataclasses.replace(self, low=middle)


@dataclass(frozen=True, slots=True)
class _Done:
    """What came of a job: samples, or that it must be cut."""

    job: _Job
    parts: tuple[Samples, ...] = ()
    failed: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()
    cut: bool = False


def own_range(text: str, version: str | None = None) -> str | None:
    """Name what makes a range query mean something else than a rule's instant query, or return None.

    Parameters
    ----------
    text : str
        The expression; strings and comments in it are passed over.
    version : str or None
        The server's release.

    Examples
    --------
    >>> own_range("lag @ start() > 5"), own_range('lag{job="start("} > 5')
    ('start()', None)
    """
    bare = _OPAQUE.sub('""', text)
    found = _OWN_RANGE.search(bare)
    if found:
        return f"{found[1].lower()}()"
    words = set(re.findall(r"\w+", bare.lower()))
    if "@" in bare and {"timestamp", "offset"} <= words:
        return "timestamp() of a selector with '@' and 'offset'"
    release = re.match(r"(\d+)\.(\d+)", version or "")
    if release is None or (2, 50) <= (int(release[1]), int(release[2])) < (3, 5):
        found = _PARAMETRIC.search(bare)
        if found:
            return f"a computed parameter of {found[1].lower()}"
    return None


class Evaluator:
    """A server that evaluates expressions for us.

    Parameters
    ----------
    source : str or PrometheusConnect
        URL, or the user's own connection, whose session, headers, credentials and TLS settings are used.
    patience : Patience, optional
        Timeouts and retries.
    progress : callable, optional
        Told in the caller's thread how many evaluations are done; `bytes` counts over all expressions.
    concurrency : int
        Requests under way at a time.
    points : int
        Evaluations that one range query should have at most.
    most_instants : int
        How many evaluations of one expression may be asked for one by one.
    """

    def __init__(
        self,
        source: str | PrometheusConnect,
        *,
        patience: Patience | None = None,
        progress: Callable[[Progress], None] | None = None,
        concurrency: int = 4,
        points: int = _MOST_POINTS,
        most_instants: int = MOST_INSTANTS,
    ) -> None:
        if concurrency < 1 or not 1 <= points <= _MOST_POINTS:
            raise SettingError(
                f"concurrency is {concurrency} and points is {points}",
                cure=f"Give a concurrency of 1 or more, and 1 to {_MOST_POINTS:,} points",
            )
        self._client = connect(source)
        self._patience = patience
        self._tell = progress or (lambda _: None)
        self._concurrency, self._points, self._most_instants = concurrency, points, most_instants
        self._info: ServerInfo | None = None

    @property
    def info(self) -> ServerInfo:
        """What the server says of itself; asked once."""
        if self._info is None:
            self._info = ask_server(Connection(self._client, self._patience))
        return self._info

    def evaluate(
        self, text: str, grid: EvaluationGrid, query_offset_ms: int = 0, *, cuts: Sequence[int] = ()
    ) -> Evaluated:
        """Evaluate an expression at each instant of a grid, as a rule on this server would.

        Parameters
        ----------
        text : str
            The expression, of type vector or scalar.
        grid : EvaluationGrid
            When.
        query_offset_ms : int
            How far before the evaluation the expression looks; ``time()`` is shifted, too.
        cuts : sequence of int
            Columns at which a new piece begins, beside those that the server's limits ask for.

        Returns
        -------
        Evaluated
            Rows in the order of their labels. A subquery without a step takes the server's own default,
            as its rules do.

        Raises
        ------
        ExpressionError
            If the server does not take the expression, it returns strings or native histograms, or more than
            `most_instants` evaluations would have to be asked for one by one.
        SourceUnreachable, SourceCorrupt
            See `Connection.ask`.
        SourceRefused
            If the server says no, cannot answer even a single evaluation, or moves the evaluations.
        """
        times = grid.times
        named = own_range(text, self.info.version)
        reason = None if named is None else f"{named} means something else in a range query"
        run = _Run(
            connection=Connection(self._client, self._patience),
            text=text,
            asked=times - query_offset_ms,
            step_ms=grid.step_ms,
            tell=self._tell,
            most_instants=self._most_instants,
        )
        if reason is None:
            edges = sorted({0, len(times), *range(0, len(times), self._points), *cuts})
            edges = [edge for edge in edges if 0 <= edge <= len(times)]
            self._work(run, [_Job(low, high, singly=False) for low, high in itertools.pairwise(edges)])
            if len(times) and not run.stands_trial():
                reason, run = "range queries answer this otherwise than instant queries", run.anew()
        if reason is not None:
            run.check_instants(len(times), reason)
            firsts = range(0, len(times), _INSTANTS_A_JOB)
            self._work(run, [_Job(n, min(n + _INSTANTS_A_JOB, len(times)), singly=True) for n in firsts])
        return Evaluated(
            text=text,
            grid=run.grid(times),
            place=run.connection.place,
            version=self.info.version or self.info.application or None,
            warnings=run.said(times),
            instants=run.instants,
        )

    def _work(self, run: _Run, jobs: Sequence[_Job]) -> None:
        in_threads(run.do, jobs, self._concurrency, run.connection.stop, run.took)


@dataclass
class _Run:
    """One expression under way: the question, and what has arrived."""

    connection: Connection
    text: str
    asked: Int64s
    step_ms: int
    tell: Callable[[Progress], None]
    most_instants: int
    arrived: dict[Labels, list[tuple[Int64s, Floats]]] = field(default_factory=dict)
    failed: set[int] = field(default_factory=set)
    warnings: dict[str, None] = field(default_factory=dict)
    reasons: dict[str, None] = field(default_factory=dict)
    instants: int = 0
    done: int = 0
    samples: int = 0
    bytes: int = 0

    def anew(self) -> _Run:
        """Return the same question with nothing arrived."""
        return _Run(self.connection, self.text, self.asked, self.step_ms, self.tell, self.most_instants)

    def check_instants(self, count: int, reason: str) -> None:
        """Refuse to ask for too many evaluations one by one."""
        self.instants += count
        if self.instants > self.most_instants:
            raise ExpressionError(
                f"{reason}: the server {self.connection.place} would have to be asked for evaluations one by one, "
                f"more than {self.most_instants:,} of {len(self.asked):,}",
                expression=self.text,
                cure="Ask for a shorter range or a longer evaluation interval, or rewrite the expression",
            )

    # ---- in the threads -------------------------------------------------------------------------

    def do(self, job: _Job) -> _Done:
        """Ask for one job."""
        if job.singly:
            return self._singly(job)
        question = {
            "query": self.text,
            # As text: a float of seconds loses the last millisecond of the step on the server.
            "start": format_instant(int(self.asked[job.low])),
            "end": format_instant(int(self.asked[job.high - 1])),
            "step": format_duration(self.step_ms),
        }
        try:
            answer = self._ask("/api/v1/query_range", question)
        except (FailedThere, TooMuchAtOnce):
            return _Done(job, cut=True)
        return _Done(job, self._checked(answer, ("matrix",), job), warnings=answer.warnings)

    def _singly(self, job: _Job) -> _Done:
        parts: list[Samples] = []
        failed: list[int] = []
        warnings: dict[str, None] = {}
        for column in range(job.low, job.high):
            try:
                answer = self._instant(column)
            except FailedThere as refusal:
                failed.append(column)
                self.reasons[refusal.problem] = None
                continue
            parts += self._checked(answer, ("vector", "scalar"), _Job(column, column + 1, singly=True))
            warnings |= dict.fromkeys(answer.warnings)
        return _Done(job, tuple(parts), tuple(failed), tuple(warnings))

    def _instant(self, column: int) -> Answer:
        question = {"query": self.text, "time": format_instant(int(self.asked[column]))}
        return self._ask("/api/v1/query", question)

    def _ask(self, path: str, question: dict[str, str]) -> Answer:
        try:
            return self.connection.ask(path, question, received=self._count)
        except NotUnderstood as refusal:
            raise self._not_taken(refusal.problem.partition("(")[2].removesuffix(")")) from None

    def _count(self, received: int) -> None:
        self.bytes += received

    def _not_taken(self, why: str) -> KmonError:
        return ExpressionError(
            f"the server {self.connection.place} does not take this expression ({why})",
            expression=self.text,
            cure="Correct it, or ask a server whose release and feature flags have what it uses",
        )

    def _checked(self, answer: Answer, kinds: tuple[str, ...], job: _Job) -> tuple[Samples, ...]:
        """Return the series of an answer, if they are what was asked for."""
        if answer.result_type not in kinds:
            raise self._not_taken(f"it is a {answer.result_type or 'result without type'}, which no rule can have")
        if answer.histograms:
            raise ExpressionError(
                f"the result holds native histograms ({answer.histograms[0]}), which have no number to look at",
                expression=self.text,
                cure="Turn them into numbers, for example with histogram_quantile or histogram_count",
            )
        expected = self.asked[job.low : job.high]
        seen: set[Labels] = set()
        for part in answer.series:
            places = np.searchsorted(expected, part.times)
            fits = np.array_equal(expected[np.minimum(places, len(expected) - 1)], part.times)
            if not fits:
                stray = next(int(t) for t in part.times.tolist() if t not in set(expected.tolist()))
                raise SourceRefused(
                    f"the server evaluated at {format_instant(stray)}, which was not asked for",
                    place=self.connection.place,
                    cure="Switch off what aligns queries to their step, or ask the Prometheus behind it",
                )
            if part.labels in seen or np.any(np.diff(part.times) <= 0):
                raise SourceCorrupt(
                    f"the answer holds {part.labels} twice",
                    place=self.connection.place,
                    cure="Check what lies between here and the server",
                )
            seen.add(part.labels)
        return answer.series

    # ---- in the caller's thread -----------------------------------------------------------------

    def took(self, result: _Done) -> list[_Job]:
        """Take a result; return what must be asked instead."""
        job = result.job
        if result.cut:
            if job.high - job.low > 1:
                return list(job.halves())
            self.check_instants(1, "some evaluations fail in range queries")
            return [dataclasses.replace(job, singly=True)]
        self.warnings |= dict.fromkeys(plain(each) for each in result.warnings)
        self.failed |= set(result.failed)
        for part in result.parts:
            columns = np.searchsorted(self.asked, part.times)
            self.arrived.setdefault(part.labels, []).append((columns, part.values))
            self.samples += len(part.times)
        self.done += job.high - job.low
        self.tell(Progress(self.done, len(self.asked), self.samples, self.bytes))
        return []

    def stands_trial(self) -> bool:
        """Compare a few evaluations with instant queries."""
        count = len(self.asked)
        columns = sorted({0, count // 3, 2 * count // 3} - self.failed)
        for column in columns:
            here = {
                labels: float(values[np.searchsorted(places, column)])
                for labels, chunks in self.arrived.items()
                for places, values in chunks
                if column in places
            }
            try:
                answer = self._checked(
                    self._instant(column), ("vector", "scalar"), _Job(column, column + 1, singly=True)
                )
            except FailedThere:
                return False
            there = {part.labels: float(part.values[0]) for part in answer}
            if here.keys() != there.keys() or not all(_alike(here[one], there[one]) for one in here):
                return False
        return True

    def grid(self, times: Int64s) -> Grid:
        """Put everything together."""
        labels = tuple(sorted(self.arrived))
        values = np.full((len(labels), len(times)), np.nan)
        present: Bools = np.zeros(values.shape, dtype=np.bool_)
        for row, each in enumerate(labels):
            for columns, numbers in self.arrived[each]:
                values[row, columns] = numbers
                present[row, columns] = True
        failed = np.zeros(len(times), dtype=np.bool_)
        failed[sorted(self.failed)] = True
        return Grid(labels, times, values, present, failed)

    def said(self, times: Int64s) -> tuple[str, ...]:
        """Return the server's warnings and why evaluations fail."""
        if not self.failed:
            return tuple(self.warnings)
        first = format_instant(int(times[min(self.failed)]))
        reason = next(iter(self.reasons), "")
        failing = f"{len(self.failed)} of {len(times)} evaluations fail on the server, the first at {first}: {reason}"
        return (*self.warnings, failing)


def _alike(here: float, there: float) -> bool:
    """Tell whether two values differ by no more than the order of a sum."""
    if np.isnan(here) or np.isnan(there):
        return bool(np.isnan(here) and np.isnan(there))
    return here == there or abs(here - there) <= _ORDER_NOISE * max(abs(here), abs(there))
