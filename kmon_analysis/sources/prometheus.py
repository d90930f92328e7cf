"""Raw samples from a running Prometheus."""

from __future__ import annotations

import queue
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kmon_analysis.errors import InterruptedFetch, OutputError, SettingError, SourceError
from kmon_analysis.history import History, Provenance
from kmon_analysis.sources.connection import Connection, Patience, TooMuchAtOnce, connect, plain
from kmon_analysis.sources.pending import Pending
from kmon_analysis.sources.planning import Piece, Selection, Stretch, merged, pieces_of, raw_query, selector, stretches
from kmon_analysis.timing import MINUTE_MS, format_instant, parse_duration

if TYPE_CHECKING:
    from prometheus_api_client import PrometheusConnect

__all__ = ["Patience", "Progress", "Selection", "ServerInfo", "fetch_history", "server_info"]

_PROBES = 6
_PROBE_MS = 10 * MINUTE_MS
_NO_MARKERS = "not exposed by the HTTP API"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a fetch is.

    Attributes
    ----------
    done, total : int
        Pieces.
    samples, bytes : int
        What has arrived, pieces of earlier runs included in `samples`.
    """

    done: int
    total: int
    samples: int
    bytes: int


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What a server says of itself; None or empty where it does not say.

    Attributes
    ----------
    place : str
        URL without credentials.
    version : str or None
        Prometheus release, for example ``"2.42.0"``; None for relatives that number otherwise.
    application : str
        What the server calls itself when it is no plain Prometheus.
    retention : str
        For example ``"15d"``.
    lookback_ms : int or None
        ``--query.lookback-delta``.
    max_samples : int or None
        ``--query.max-samples``.
    evaluation_interval_ms : int or None
        Global interval of rule evaluations.
    scrape_intervals_ms : tuple of (int, int)
        Scrape intervals of the active targets and how many targets use each, most used first; the
        global one with 0 targets when there are none.
    external_labels : Mapping or None
        ``global.external_labels``; None when the configuration cannot be read.
    """

    place: str
    version: str | None = None
    application: str = ""
    retention: str = ""
    lookback_ms: int | None = None
    max_samples: int | None = None
    evaluation_interval_ms: int | None = None
    scrape_intervals_ms: tuple[tuple[int, int], ...] = ()
    external_labels: Mapping[str, str] | None = None


def server_info(source: str | PrometheusConnect, *, patience: Patience | None = None) -> ServerInfo:
    """Ask a server what it is.

    Parameters
    ----------
    source : str or PrometheusConnect
        URL, or the user's own connection.
    patience : Patience, optional
        Timeouts and retries.

    Raises
    ------
    SourceUnreachable
        If there is no connection or no answer in time. Endpoints that are missing are not an error.
    """
    return _server_info(Connection(connect(source), patience))


def fetch_history(
    source: str | PrometheusConnect,
    selections: Sequence[Selection],
    *,
    start_ms: int | None = None,
    end_ms: int | None = None,
    last_ms: int | None = None,
    directory: str | Path | None = None,
    progress: Callable[[Progress], None] | None = None,
    concurrency: int = 4,
    samples_per_piece: int = 250_000,
    patience: Patience | None = None,
) -> History:
    """Read raw samples from a server.

    Parameters
    ----------
    source : str or PrometheusConnect
        URL, or the user's own connection, whose session, headers, credentials and TLS settings are used.
    selections : sequence of Selection
        Which series, and how far around the range.
    start_ms, end_ms : int, optional
        Half-open range of the analysis. The end defaults to the last full minute.
    last_ms : int, optional
        Length of the range, instead of `start_ms`. An interrupted fetch with the same `last_ms` goes on
        with the range it had.
    directory : str or Path, optional
        Where the history is saved. Pieces are kept beside it as they arrive; after an interruption the
        same call fetches only what is missing. A changed question starts anew.
    progress : callable, optional
        Called in the caller's thread after each piece.
    concurrency : int
        Requests under way at a time.
    samples_per_piece : int
        Samples that one answer should have; the server's own limit is respected.
    patience : Patience, optional
        Timeouts and retries.

    Returns
    -------
    History
        Samples with ``start - lookback <= time < end + lookahead``.

    Raises
    ------
    SourceUnreachable, SourceRefused, SourceCorrupt
        See `Connection.ask`. With a `directory`, pieces that arrived are kept.
    InterruptedFetch
        On Ctrl-C.

    Notes
    -----
    The query API leaves **stale markers** out of range selectors (``promql/engine.go``,
    ``matrixIterSlice``). A series that ends or pauses therefore seems to last for the server's lookback
    (5 minutes) longer than it did there; the history says so in its warnings.
    """
    if concurrency < 1 or samples_per_piece < 1:
        raise SettingError("concurrency and samples_per_piece are at least 1", cure="Give positive numbers")
    target = None if directory is None else Path(directory)
    if target is not None:
        _refuse_strangers(target)
    fetch = _Fetch(Connection(connect(source), patience), progress or (lambda _: None))
    key = _key(fetch.connection.place, selections, start_ms, end_ms, last_ms)
    pending = None if target is None else Pending.beside(target)
    try:
        known = None if pending is None else pending.plan(key)
        if known is None:
            known = fetch.plan(selections, *_range(start_ms, end_ms, last_ms), samples_per_piece)
            if pending is not None:
                pending.begin(key, known)
        history = fetch.run(known, selections, pending, concurrency)
    except KeyboardInterrupt:
        raise _interrupted(fetch, pending) from None
    except SourceError as error:
        if pending is not None and fetch.done:
            error.cure = (
                f"{error.cure}; the {fetch.done} pieces that arrived are kept, the same call goes on from there"
            )
        raise
    if target is not None and pending is not None:
        history.save(target)
        pending.remove()
    return history


@dataclass
class _Fetch:
    """One run: a connection, and what has arrived."""

    connection: Connection
    tell: Callable[[Progress], None]
    done: int = 0
    samples: int = 0
    bytes: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def plan(
        self, selections: Sequence[Selection], start_ms: int, end_ms: int, samples_per_piece: int
    ) -> dict[str, Any]:
        """Ask the server what it is and how dense the series are, and cut the range into pieces."""
        info = _server_info(self.connection)
        bearable = min(samples_per_piece, (info.max_samples or samples_per_piece * 4) // 4 or 1)
        warnings: list[str] = []
        pieces = []
        for number, stretch in enumerate(stretches(selections, start_ms, end_ms)):
            density = self._density(stretch, warnings)
            cut = pieces_of(stretch, density, bearable)
            pieces += [[number, piece.start_ms, piece.end_ms] for piece in cut]
        return {
            "start_ms": start_ms,
            "end_ms": end_ms,
            "version": info.version,
            "about": _about(info),
            "warnings": list(dict.fromkeys(warnings)),
            "pieces": pieces,
        }

    def _density(self, stretch: Stretch, warnings: list[str]) -> float:
        """Return the most samples a millisecond over a few short windows spread over the stretch."""
        interval = stretch.interval
        window = min(_PROBE_MS, interval.duration_ms)
        most = 0.0
        for probe in range(_PROBES):
            at = interval.end_ms - probe * (interval.duration_ms - window) // (_PROBES - 1)
            question = {
                "query": f"sum(count_over_time({selector(stretch.matchers)}[{window}ms]))",
                "time": format_instant(at),
            }
            answer = self.connection.ask("/api/v1/query", question)
            warnings += answer.warnings
            most = max([most, *(float(part.values[0]) for part in answer.series)])
        return most / window

    def run(
        self, plan: Mapping[str, Any], selections: Sequence[Selection], pending: Pending | None, concurrency: int
    ) -> History:
        """Fetch what is missing and put everything together."""
        wanted = stretches(selections, plan["start_ms"], plan["end_ms"])
        pieces = [Piece(wanted[number].matchers, low, high) for number, low, high in plan["pieces"]]
        arrived = {} if pending is None else pending.load(range(len(pieces)))
        self.done = len(arrived)
        self.samples = sum(piece.series.sample_count for piece in arrived.values())
        self.tell(Progress(self.done, len(pieces), self.samples, self.bytes))

        def work(number: int) -> tuple[int, History]:
            piece = self._piece(pieces[number])
            if pending is not None:
                pending.store(number, piece)
            return number, piece

        def took(result: tuple[int, History]) -> None:
            number, piece = result
            arrived[number] = piece
            self.done += 1
            self.samples += piece.series.sample_count
            self.tell(Progress(self.done, len(pieces), self.samples, self.bytes))

        missing = [number for number in range(len(pieces)) if number not in arrived]
        _in_threads(work, missing, concurrency, self.connection.stop, took)
        return self._whole(plan, wanted, pieces, [arrived[number] for number in range(len(pieces))])

    def _piece(self, piece: Piece) -> History:
        """Fetch one piece, in halves where the server finds it too much."""
        try:
            answer = self.connection.ask("/api/v1/query", raw_query(piece), received=self._count)
        except TooMuchAtOnce:
            if piece.duration_ms < 2 * MINUTE_MS:
                raise
            left, right = (self._piece(half) for half in piece.halves())
            return History(
                merged([*left.series, *right.series]),
                _provenance_of_piece(
                    self.connection.place, piece, left.provenance.warnings + right.provenance.warnings
                ),
            )
        warnings = answer.warnings + tuple(
            f"{labels} has native histograms, which are left out" for labels in answer.histograms
        )
        whole = merged(answer.series)
        return History(
            whole.between(piece.start_ms, piece.end_ms), _provenance_of_piece(self.connection.place, piece, warnings)
        )

    def _count(self, received: int) -> None:
        with self.lock:
            self.bytes += received

    def _whole(
        self, plan: Mapping[str, Any], wanted: Sequence[Stretch], pieces: Sequence[Piece], parts: Sequence[History]
    ) -> History:
        series = merged(samples for part in parts for samples in part.series)
        warnings = [*plan["warnings"], *(warning for part in parts for warning in part.provenance.warnings)]
        for stretch in wanted:
            here = [part for piece, part in zip(pieces, parts, strict=True) if piece.matchers == stretch.matchers]
            if not any(part.series.sample_count for part in here):
                warnings.append(f"no samples of {selector(stretch.matchers)}")
        provenance = Provenance(
            source=self.connection.place,
            start_ms=plan["start_ms"],
            end_ms=plan["end_ms"],
            queries=tuple(selector(stretch.matchers) for stretch in wanted),
            server_version=plan["version"],
            warnings=tuple(dict.fromkeys(plain(warning) for warning in warnings)),
            fetched_at_ms=_now_ms(),
            extra={**plan["about"], "stale_markers": _NO_MARKERS},
        )
        return History(series, provenance)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _range(start_ms: int | None, end_ms: int | None, last_ms: int | None) -> tuple[int, int]:
    end_ms = _now_ms() // MINUTE_MS * MINUTE_MS if end_ms is None else end_ms
    if (start_ms is None) == (last_ms is None):
        raise SettingError("the range needs either a start or a length", cure="Give one of start and last")
    start_ms = end_ms - last_ms if start_ms is None and last_ms is not None else start_ms
    if start_ms is None or start_ms >= end_ms:
        raise SettingError(
            f"the range ends at {format_instant(end_ms)}, not after its start", cure="Give an end after the start"
        )
    return start_ms, end_ms


def _key(
    place: str, selections: Sequence[Selection], start_ms: int | None, end_ms: int | None, last_ms: int | None
) -> dict[str, Any]:
    """Return what makes two fetches the same question."""
    asked = [[selector(one.matchers), one.lookback_ms, one.lookahead_ms] for one in selections]
    return {"source": place, "selections": asked, "start_ms": start_ms, "end_ms": end_ms, "last_ms": last_ms}


def _refuse_strangers(target: Path) -> None:
    """Say before a long fetch, not after it, that its result could not be saved."""
    if target.is_file() or (target.is_dir() and any(target.iterdir()) and not (target / "manifest.json").exists()):
        raise OutputError("holds something that is not a history", place=str(target), cure="Choose a new directory")


def _interrupted(fetch: _Fetch, pending: Pending | None) -> InterruptedFetch:
    if pending is None:
        return InterruptedFetch("stopped; nothing is kept", cure="Give a directory to be able to go on later")
    return InterruptedFetch(
        f"stopped; {fetch.done} pieces are kept", place=str(pending.path), cure="Repeat the same command to go on"
    )


def _provenance_of_piece(place: str, piece: Piece, warnings: tuple[str, ...]) -> Provenance:
    return Provenance(
        source=place,
        start_ms=piece.start_ms,
        end_ms=piece.end_ms,
        queries=(selector(piece.matchers),),
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _in_threads(
    work: Callable[[int], Any],
    numbers: Sequence[int],
    concurrency: int,
    stop: threading.Event,
    took: Callable[[Any], None],
) -> None:
    """Do pieces of work in threads and hand over each result in the caller's thread.

    The threads are daemons: after Ctrl-C nobody waits for an answer that may never come.
    """
    jobs: queue.SimpleQueue[int] = queue.SimpleQueue()
    results: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
    for number in numbers:
        jobs.put(number)

    def serve() -> None:
        while not stop.is_set():
            try:
                number = jobs.get_nowait()
            except queue.Empty:
                return
            try:
                results.put((work(number), None))
            except BaseException as error:
                results.put((None, error))

    for _ in range(min(concurrency, len(numbers))):
        threading.Thread(target=serve, name="kmon-fetch", daemon=True).start()
    try:
        for _ in numbers:
            result, error = results.get()
            if error is not None:
                raise error
            took(result)
    except BaseException:
        stop.set()
        raise


def _server_info(connection: Connection) -> ServerInfo:
    build = _mapping(connection.read("/api/v1/status/buildinfo"))
    flags = _mapping(connection.read("/api/v1/status/flags"))
    runtime = _mapping(connection.read("/api/v1/status/runtimeinfo"))
    config = _mapping(connection.read("/api/v1/status/config")).get("yaml")
    targets = _mapping(connection.read("/api/v1/targets?state=active")).get("activeTargets")
    settings = _global_settings(config) if isinstance(config, str) else {}
    intervals = Counter(
        interval
        for target in (targets if isinstance(targets, list) else ())
        if (interval := _duration(_mapping(target).get("scrapeInterval"))) is not None
    )
    stated = _duration(settings.get("scrape_interval"))
    if not intervals and stated is not None:
        intervals[stated] = 0
    version, application = str(build.get("version", "")), str(build.get("application", ""))
    release = re.match(r"v?(\d+\.\d+\.\d+[^+]*)", version)
    # Relatives count their own releases: Thanos from 0, Mimir and Cortex say their name.
    is_prometheus = release is not None and not release[1].startswith("0.") and not application
    max_samples = str(flags.get("query.max-samples", ""))
    retention = str(runtime.get("storageRetention") or flags.get("storage.tsdb.retention.time") or "")
    labels = settings.get("external_labels", {}) if isinstance(config, str) else None
    return ServerInfo(
        place=connection.place,
        version=release[1] if release and is_prometheus else None,
        application=plain(application or ("" if is_prometheus else version)),
        retention=plain(retention),
        lookback_ms=_duration(flags.get("query.lookback-delta")),
        max_samples=int(max_samples) if max_samples.isdigit() else None,
        evaluation_interval_ms=_duration(settings.get("evaluation_interval")),
        scrape_intervals_ms=tuple(intervals.most_common()),
        external_labels={str(name): str(value) for name, value in labels.items()} if labels is not None else None,
    )


def _about(info: ServerInfo) -> dict[str, Any]:
    """Return what of a server's settings belongs into a history."""
    facts = {
        "application": info.application or None,
        "retention": info.retention or None,
        "lookback_ms": info.lookback_ms,
        "evaluation_interval_ms": info.evaluation_interval_ms,
    }
    return {name: value for name, value in facts.items() if value is not None}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _duration(text: Any) -> int | None:
    try:
        return parse_duration(text) if isinstance(text, str) else None
    except SettingError:
        return None


def _global_settings(config: str) -> dict[str, Any]:
    """Return the ``global`` block of a Prometheus configuration."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        document = YAML(typ="safe", pure=True).load(config)
    except YAMLError:
        return {}
    return dict(_mapping(_mapping(document).get("global")))
