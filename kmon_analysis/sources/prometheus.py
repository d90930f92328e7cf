"""Raw samples from a running Prometheus."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kmon_analysis.errors import InterruptedFetch, OutputError, SettingError, SourceError
from kmon_analysis.history import History, Provenance
from kmon_analysis.history_gaps import absences
from kmon_analysis.labels import METRIC_NAME
from kmon_analysis.series import SeriesSet
from kmon_analysis.sources.absence import absence
from kmon_analysis.sources.connection import Connection, Patience, connect, plain
from kmon_analysis.sources.pending import Pending
from kmon_analysis.sources.planning import Piece, Selection, Stretch, merged, pieces_of, raw_query, selector, stretches
from kmon_analysis.sources.reading import PROTOCOLS, Protocol, objection, read_piece
from kmon_analysis.sources.served import ask_groups, to_json
from kmon_analysis.sources.server import ServerInfo, about, ask_server
from kmon_analysis.sources.workers import in_threads
from kmon_analysis.timing import MINUTE_MS, Interval, format_duration, format_end, format_instant

if TYPE_CHECKING:
    from prometheus_api_client import PrometheusConnect

__all__ = ["Patience", "Progress", "Selection", "ServerInfo", "check_target", "fetch_history"]

# Rule groups that a history remembers: when each is evaluated.
_MOST_GROUPS = 1000
_PROBES = 6
_PROBE_MS = 10 * MINUTE_MS
_USUAL_SCRAPE_MS = 15_000
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
    protocol: Protocol | None = None,
    refuse_empty: bool = False,
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
    protocol : {"query", "remote-read"}, optional
        How to read. By default remote read, if the server offers it and a trial gives bit for bit what
        a query gives; else queries.
    refuse_empty : bool
        Whether a range without any sample is an error; nothing is saved then.

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
    SettingError
        If no sample came and that is to be refused, or an argument cannot be used.

    Notes
    -----
    The query API leaves **stale markers** out of range selectors (``promql/engine.go``,
    ``matrixIterSlice``). A series that ends or pauses then seems to last for up to the server's lookback
    (5 minutes) longer than it did there; such a history says so in its warnings. Remote read sends the
    markers. ``provenance.extra`` tells which of the two it was.
    """
    if concurrency < 1 or samples_per_piece < 1:
        raise SettingError("concurrency and samples_per_piece are at least 1", cure="Give positive numbers")
    if protocol not in (None, *PROTOCOLS):
        raise SettingError(f"unknown protocol {protocol!r}", cure=f"Choose one of {', '.join(PROTOCOLS)}, or none")
    target = None if directory is None else Path(directory)
    if target is not None:
        check_target(target)
    fetch = _Fetch(Connection(connect(source), patience), progress or (lambda _: None))
    key = _key(fetch.connection.place, selections, start_ms, end_ms, last_ms, protocol)
    pending = None if target is None else Pending.beside(target)
    try:
        known = None if pending is None else pending.plan(key)
        if known is None:
            known = fetch.plan(selections, *_range(start_ms, end_ms, last_ms), samples_per_piece, protocol)
            if pending is not None:
                pending.begin(key, known)
        history = fetch.run(known, selections, pending, concurrency)
        if refuse_empty and selections and not len(history.series):
            if pending is not None:
                pending.remove()
            raise _nothing(history, fetch.connection, selections)
        if target is not None:
            history.save(target)
            history = dataclasses.replace(history, path=target)
    except KeyboardInterrupt:
        raise _interrupted(fetch, pending) from None
    except SourceError as error:
        if pending is not None and fetch.done:
            error.cure = (
                f"{error.cure}; the {fetch.done} pieces that arrived are kept, the same call goes on from there"
            )
        raise
    if pending is not None:
        pending.remove()
    return history


def _nothing(history: History, connection: Connection, selections: Sequence[Selection]) -> SettingError:
    span = f"{format_instant(history.interval.start_ms)} to {format_end(history.interval.end_ms)}"
    known, cure = absence(connection, selections)
    return SettingError(
        f"has no sample of what the rules read from {span}{known}; nothing was saved",
        place=history.provenance.source,
        cure=cure or "Check the metric names (kmon doctor shows what is there), or give another range",
    )


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
        self,
        selections: Sequence[Selection],
        start_ms: int,
        end_ms: int,
        samples_per_piece: int,
        protocol: Protocol | None,
    ) -> dict[str, Any]:
        """Ask the server what it is, how dense the series are and how to read them; cut the range into pieces."""
        info = ask_server(self.connection)
        groups = ask_groups(self.connection)[:_MOST_GROUPS]
        bearable = min(samples_per_piece, (info.max_samples or samples_per_piece * 4) // 4 or 1)
        warnings: list[str] = []
        pieces = []
        samples = []
        for number, stretch in enumerate(stretches(selections, start_ms, end_ms)):
            densest, density = self._densest(stretch, warnings)
            cut = pieces_of(stretch, density, bearable)
            pieces += [[number, piece.start_ms, piece.end_ms] for piece in cut]
            if density:
                samples.append(densest)
        why_not = ""
        if protocol is None and samples:
            objections = (objection(self.connection, sample, info.external_labels) for sample in samples)
            why_not = next(filter(None, objections), "")
        return {
            "start_ms": start_ms,
            "end_ms": end_ms,
            "version": info.version,
            "about": {
                **about(info),
                **({"no_remote_read": plain(why_not)} if why_not else {}),
                **({"rule_groups": [to_json(group) for group in groups]} if groups else {}),
            },
            "warnings": list(dict.fromkeys(warnings)),
            "protocol": protocol or ("query" if why_not else "remote-read"),
            "external_labels": dict(info.external_labels or {}),
            "pieces": pieces,
        }

    def _densest(self, stretch: Stretch, warnings: list[str]) -> tuple[Piece, float]:
        """Return the fullest of a few short windows spread over the stretch, and its samples a millisecond."""
        interval = stretch.interval
        window = min(_PROBE_MS, interval.duration_ms)
        usual = max(1, window // _USUAL_SCRAPE_MS)
        fullest, most = Piece(stretch.matchers, interval.start_ms, interval.start_ms + window), 0.0
        for probe in range(_PROBES):
            low = interval.start_ms + probe * (interval.duration_ms - window) // (_PROBES - 1)
            piece = Piece(stretch.matchers, low, low + window)
            question = raw_query(piece)
            named = any(matcher.name == METRIC_NAME and matcher.op == "=" for matcher in stretch.matchers)
            # Counting samples drops the metric's name, so that series of several metrics would clash.
            counting = ("sum(count_over_time(", "))") if named else ("count(last_over_time(", f")) * {usual}")
            question["query"] = question["query"].join(counting)
            answer = self.connection.ask("/api/v1/query", question)
            warnings += answer.warnings
            seen = max((float(part.values[0]) for part in answer.series), default=0.0)
            if seen > most:
                fullest, most = piece, seen
        return fullest, most / window

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
            data = read_piece(
                self.connection, pieces[number], plan["protocol"], plan["external_labels"], received=self._count
            )
            return number, History(
                data.series, _provenance_of_piece(self.connection.place, pieces[number], data.warnings)
            )

        def took(result: tuple[int, History]) -> None:
            number, piece = result
            # Only this thread writes: a thread that outlives an interruption must not meet the next run.
            if pending is not None:
                pending.store(number, piece)
            arrived[number] = piece
            self.done += 1
            self.samples += piece.series.sample_count
            self.tell(Progress(self.done, len(pieces), self.samples, self.bytes))

        missing = [number for number in range(len(pieces)) if number not in arrived]
        in_threads(work, missing, concurrency, self.connection.stop, took)
        return self._whole(plan, wanted, pieces, [arrived[number] for number in range(len(pieces))])

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
        if plan["protocol"] == "query":
            warnings += _unmarked_ends(series, plan["start_ms"], plan["end_ms"], plan["about"].get("lookback_ms"))
        provenance = Provenance(
            source=self.connection.place,
            start_ms=plan["start_ms"],
            end_ms=plan["end_ms"],
            queries=tuple(dict.fromkeys(selector(stretch.matchers) for stretch in wanted)),
            server_version=plan["version"],
            warnings=tuple(dict.fromkeys(plain(warning) for warning in warnings)),
            fetched_at_ms=_now_ms(),
            extra={
                **plan["about"],
                "protocol": plan["protocol"],
                "stale_markers": _NO_MARKERS if plan["protocol"] == "query" else "kept",
            },
        )
        return History(series, provenance)


def _unmarked_ends(series: SeriesSet, start_ms: int, end_ms: int, lookback_ms: int | None) -> list[str]:
    """Warn of series whose end or pause is known only to within the lookback."""
    found = absences(series, Interval(start_ms, end_ms), MINUTE_MS)
    pausing = sum(bool(len(each.gap_starts_ms) or each.early_ms) for each in found)
    if not pausing:
        return []
    lookback = format_duration(lookback_ms or 5 * MINUTE_MS)
    return [
        f"{pausing} of {len(series)} series pause or end, and queries do not show where the server marked them "
        f"stale: each may seem present for up to {lookback} longer than it was"
    ]


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
    place: str,
    selections: Sequence[Selection],
    start_ms: int | None,
    end_ms: int | None,
    last_ms: int | None,
    protocol: Protocol | None,
) -> dict[str, Any]:
    """Return what makes two fetches the same question."""
    asked = [
        [selector(one.matchers), one.lookback_ms, one.lookahead_ms]
        + ([] if one.fixed is None else [one.fixed.start_ms, one.fixed.end_ms])
        for one in selections
    ]
    span = {"start_ms": start_ms, "end_ms": end_ms, "last_ms": last_ms}
    return {"source": place, "selections": asked, **span, "protocol": protocol}


def check_target(target: Path) -> None:
    """Say before a long fetch, not after it, that its result could not be saved.

    Raises
    ------
    OutputError
        If the directory holds anything but a history, or neither it nor the place beside it can be written.
    """
    if target.is_file():
        raise OutputError("is a file, not a directory", place=str(target), cure="Choose another directory")
    if target.is_dir() and any(target.iterdir()) and not (target / "manifest.json").exists():
        raise OutputError("holds something that is not a history", place=str(target), cure="Choose a new directory")
    Pending.beside(target).check()
    if target.is_dir():
        Pending(target / "pending").check()


def _interrupted(fetch: _Fetch, pending: Pending | None) -> InterruptedFetch:
    if pending is None:
        return InterruptedFetch(
            "stopped; nothing is kept", cure="Name a place for the history to be able to go on later"
        )
    if not fetch.done:
        return InterruptedFetch("stopped before anything had arrived", cure="Repeat the same command to begin again")
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
