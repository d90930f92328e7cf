"""Options of the command line, and what they are turned into before any work begins."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kmon_analysis.cli_terminal import naming, say
from kmon_analysis.errors import OutputError, SettingError
from kmon_analysis.promql.semantics import DEFAULT_VERSION

if TYPE_CHECKING:
    from prometheus_api_client import PrometheusConnect

    from kmon_analysis.backtest.settings import Settings
    from kmon_analysis.cli_terminal import Work
    from kmon_analysis.history import History
    from kmon_analysis.incidents import Incidents
    from kmon_analysis.rules.model import RuleFile
    from kmon_analysis.sources.connection import Patience

__all__ = [
    "AlertsOption",
    "CreditAfterOption",
    "CreditBeforeOption",
    "EndOption",
    "EvaluateOnOption",
    "GroupByOption",
    "HistoryOption",
    "HistoryOutOption",
    "IncidentsOption",
    "IntervalOption",
    "JsonOption",
    "LastOption",
    "MaxDelayOption",
    "MergeGapOption",
    "PhaseOption",
    "PhasesOption",
    "PrometheusOption",
    "ReportZoneOption",
    "ResultsOption",
    "RulePathOption",
    "RulesOption",
    "Samples",
    "StartOption",
    "StoreOption",
    "TimeFormatOption",
    "TimeoutOption",
    "VersionOption",
    "ZoneOption",
    "check_alerts",
    "check_before_work",
    "check_budget",
    "check_zone",
    "make_settings",
    "number",
    "patience_of",
    "read_pairs",
    "read_truth",
    "with_credentials",
]

# An equals sign within the braces of a series does not end it.
_PAIR = re.compile(r'([^={]*(?:\{(?:"(?:[^"\\]|\\.)*"|[^"}])*\}\s*)?)=(.*)', re.DOTALL)

RulesOption = Annotated[
    Path, typer.Option("--rules", metavar="FILE", help="Prometheus rule file, or PrometheusRule resources.")
]
HistoryOption = Annotated[
    Path | None,
    typer.Option(
        "--history",
        metavar="PATH",
        help="Recorded samples: a folder written by kmon fetch or kmon import, or a file: .csv, .json (an answer of "
        "the query API), .om or .txt (OpenMetrics).",
    ),
]
PrometheusOption = Annotated[
    str | None,
    typer.Option(
        "--prometheus", metavar="URL", help="A running Prometheus, instead of --history, with --last or --start."
    ),
]
IncidentsOption = Annotated[
    Path | None,
    typer.Option(
        "--incidents",
        metavar="FILE",
        help="Past incidents, YAML or CSV: id, start, end and optionally labels, rules, must_page, kind, cause, "
        "detected.",
    ),
]
LastOption = Annotated[
    str | None, typer.Option("--last", metavar="TIME", help='How far back from the end to fetch, for example "30d".')
]
StartOption = Annotated[
    str | None,
    typer.Option("--start", metavar="INSTANT", help="Fetch from here, with a zone: 2026-03-01T00:00:00Z."),
]
EndOption = Annotated[
    str | None, typer.Option("--end", metavar="INSTANT", help="Fetch up to here, with a zone; now if not given.")
]
HistoryOutOption = Annotated[
    Path, typer.Option("-o", "--out", metavar="DIR", help="Folder of the history; replaced if it is one.")
]
ResultsOption = Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Folder for the results.")]
StoreOption = Annotated[
    Path | None,
    typer.Option(
        "--store", metavar="DIR", help="Keep the fetched history here; an interrupted fetch goes on from there."
    ),
]
TimeoutOption = Annotated[
    str | None,
    typer.Option(
        "--timeout", metavar="TIME", help='Give up on a server that is silent for this long, for example "30s" [2m10s].'
    ),
]
EvaluateOnOption = Annotated[
    str | None,
    typer.Option(
        "--evaluate-on",
        metavar="URL",
        help="A Prometheus that evaluates the rules which are not evaluated here; by default that of --prometheus. "
        "Its answers are kept with a history on disk.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
GroupByOption = Annotated[
    str | None,
    typer.Option(
        "--group-by",
        metavar="LABELS",
        help="Count alerts that agree on these labels (comma-separated) as one page; by default each pages by itself.",
    ),
]
MergeGapOption = Annotated[
    str, typer.Option("--merge-gap", metavar="TIME", help="Firing again within this time is the same page.")
]
CreditBeforeOption = Annotated[
    str,
    typer.Option(
        "--credit-before", metavar="TIME", help="A page up to this long before an incident's start has found it."
    ),
]
AlertsOption = Annotated[
    list[str] | None,
    typer.Option("--rule", metavar="ALERT", help="Tune this alert, leave the others as they are. May be repeated."),
]
CreditAfterOption = Annotated[
    str,
    typer.Option(
        "--credit-after", metavar="TIME", help="So has one up to this long, and the rule's for, after its end."
    ),
]
VersionOption = Annotated[
    str | None,
    typer.Option(
        "--semantics",
        metavar="RELEASE",
        help="Prometheus release to replay, for example 2.42 or 3.5; by default the one that recorded the history; "
        f"{DEFAULT_VERSION} where it names none, as CSV and OpenMetrics text do not.",
    ),
]
IntervalOption = Annotated[
    str | None,
    typer.Option(
        "--evaluation-interval",
        metavar="TIME",
        help="For rule groups that state none; by default what the server said when the history was fetched, else 1m.",
    ),
]
PhaseOption = Annotated[
    str | None,
    typer.Option(
        "--phase",
        metavar="TIME",
        help="When inside their interval groups are evaluated, for example 7s; by default as the server said when the "
        "history was fetched, else 0.",
    ),
]
RulePathOption = Annotated[
    str | None,
    typer.Option(
        "--rule-path",
        metavar="PATH",
        help="The rule file's path as the server sees it; it decides when inside its interval a group is evaluated.",
    ),
]
PhasesOption = Annotated[
    int | None,
    typer.Option("--phases", metavar="NUMBER", min=2, max=60, help="Replay at so many phases and tell the spread."),
]
ZoneOption = Annotated[
    str | None, typer.Option("--zone", metavar="ZONE", help="Time zone of times that name none: Europe/Berlin.")
]
TimeFormatOption = Annotated[
    str | None,
    typer.Option(
        "--time-format",
        metavar="FORMAT",
        help='How times are written, as for strptime: "%d.%m.%Y %H:%M". By default ISO 8601, or seconds, '
        "milliseconds, microseconds or nanoseconds since 1970.",
    ),
]
ReportZoneOption = Annotated[
    str,
    typer.Option("--zone", metavar="NAME", help="Time zone of the report's tables and pictures: Europe/Zurich."),
]
MaxDelayOption = typer.Option(
    "--max-delay", metavar="TIME", help='Longest acceptable time from the start of an incident to its page: "10m".'
)


def patience_of(timeout: str | None) -> Patience | None:
    """Turn --timeout into patience with a server."""
    from kmon_analysis.sources.connection import Patience
    from kmon_analysis.timing import parse_duration

    if timeout is None:
        return None
    with naming("--timeout"):
        seconds = parse_duration(timeout) / 1000
        if seconds <= 0:
            raise SettingError(f"a server cannot answer in {timeout}", cure='Give a positive time, for example "30s"')
    return Patience(connect_s=min(seconds, Patience().connect_s), read_s=seconds)


def with_credentials(url: str) -> str | PrometheusConnect:
    """Return a server's URL, or a connection with the credentials that the environment holds."""
    from kmon_analysis.sources.credentials import authorised

    return authorised(url, os.environ)


class Samples:
    """Where samples come from, checked before any work begins."""

    def __init__(
        self,
        history: Path | None,
        prometheus: str | None,
        last: str | None = None,
        start: str | None = None,
        end: str | None = None,
        store: Path | None = None,
        timeout: str | None = None,
        evaluate_on: str | None = None,
    ) -> None:
        from kmon_analysis.sources.connection import check_url
        from kmon_analysis.sources.credentials import same_server
        from kmon_analysis.timing import parse_duration, parse_instant

        if (history is None) == (prometheus is None):
            what = "both --history and --prometheus are given" if history else "neither --history nor --prometheus"
            raise SettingError(what, cure="Name one source of samples: --history PATH, or --prometheus URL --last 30d")
        self.history, self.store = history, store
        self.prometheus: str | PrometheusConnect | None = None
        self.server: str | PrometheusConnect | None = None
        self.range = {"last": last, "start": start, "end": end}
        self.patience = patience_of(timeout)
        if evaluate_on is not None:
            with naming("--evaluate-on"):
                check_url(evaluate_on)
            # What is meant for one server is not shown to another.
            theirs = prometheus is None or same_server(evaluate_on, prometheus)
            self.server = with_credentials(evaluate_on) if theirs else evaluate_on
        if prometheus is None:
            fetching = {**self.range, "store": store, "timeout": None if evaluate_on else timeout}
            given = [name for name, value in fetching.items() if value]
            if given:
                raise SettingError("is about fetching", place=f"--{given[0]}", cure="Leave it out with --history")
            return
        check_url(prometheus)
        self.prometheus = with_credentials(prometheus)
        self.server = self.server or self.prometheus
        if (last is None) == (start is None):
            raise SettingError(
                "both --last and --start are given" if last else "neither --last nor --start is given",
                cure='Say which time to fetch: --last 30d, or --start "2026-03-01T00:00:00Z" with --end',
            )
        for name, value in self.range.items():
            if value is not None:
                with naming(f"--{name}"):
                    if name != "last":
                        parse_instant(value)
                    elif parse_duration(value) <= 0:
                        raise SettingError("a range needs a length", cure='Give a positive time, for example "30d"')
        if start is not None and end is not None and parse_instant(start) >= parse_instant(end):
            raise SettingError(f"{end} is not after --start {start}", place="--end", cure="Swap them")
        if store is not None:
            from kmon_analysis.sources.prometheus import check_target

            check_target(store)

    def obtain(self, rules: RuleFile, work: Work) -> History:
        """Open the history, or fetch it."""
        from kmon_analysis.sources.files import open_history
        from kmon_analysis.workflow import fetch

        if self.history is not None:
            work.begin("opening the history")
            return open_history(self.history)
        work.begin("fetching")
        return fetch(
            self.prometheus or "",
            rules,
            **self.range,
            directory=self.store,
            progress=lambda state: work.update(state.done, state.total),
            patience=self.patience,
        )


def number(text: str | float) -> float:
    """Read a number, and repeat what is none."""
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"not a number: {text!r}") from None


def read_pairs(texts: Sequence[str], example: str) -> dict[str, str]:
    """Read what columns are called from WHAT=NAME; WHAT may be a series with labels."""
    pairs: dict[str, str] = {}
    for text in texts:
        match = _PAIR.fullmatch(text)
        what, name = (match[1].strip(), match[2].strip()) if match else ("", "")
        if not what or not name:
            raise SettingError(f"{text!r} names no column", place="--column", cure=f"Write it as --column '{example}'")
        if what in pairs:
            raise SettingError(f"{what!r} is given twice", place="--column", cure="Give each once")
        pairs[what] = name
    return pairs


def make_settings(
    group_by: str | None,
    merge_gap: str,
    version: str | None,
    interval: str | None,
    phase: str | None = None,
    rule_path: str | None = None,
    credit: tuple[str, str] = ("15m", "5m"),
) -> Settings:
    """Turn options into settings."""
    from kmon_analysis.backtest.settings import Settings
    from kmon_analysis.promql.semantics import Semantics
    from kmon_analysis.timing import parse_duration

    labels = None if group_by is None else tuple(name.strip() for name in group_by.split(",") if name.strip())
    if version is not None:
        with naming("--semantics"):
            Semantics.of(version)
    with naming("--merge-gap"):
        merge_gap_ms = parse_duration(merge_gap)
    with naming("--credit-before"):
        before_ms = parse_duration(credit[0])
    with naming("--credit-after"):
        after_ms = parse_duration(credit[1])
    with naming("--evaluation-interval"):
        interval_ms = None if interval is None else parse_duration(interval)
        if interval_ms == 0:
            raise SettingError(f"rules cannot be evaluated every {interval}", cure="Give a positive time")
    if phase is not None and rule_path is not None:
        raise SettingError("--phase and --rule-path both say when groups are evaluated", cure="Give one of them")
    with naming("--phase"):
        phase_ms = None if phase is None else parse_duration(phase)
    return Settings(
        group_by=labels,
        merge_gap_ms=merge_gap_ms,
        credit_before_ms=before_ms,
        credit_after_ms=after_ms,
        interval_ms=interval_ms,
        version=version,
        phase_ms=phase_ms,
        rule_path=rule_path,
    )


def check_budget(max_delay: str, false_pages: float = 1.0, placement: float = 0.5) -> None:
    """Refuse a budget that makes no sense, by the name of its option."""
    from kmon_analysis.recommend.candidates import Budget
    from kmon_analysis.timing import parse_duration

    with naming("--max-delay"):
        delay_ms = parse_duration(max_delay)
        Budget(delay_ms)
    with naming("--false-pages"):
        Budget(delay_ms, false_pages)
    with naming("--placement"):
        Budget(delay_ms, placement=placement)


def check_zone(zone: str) -> None:
    """Refuse a time zone that there is none of, before any work begins."""
    from kmon_analysis.timing import zone_of

    zone_of(zone, place="--zone")


def check_alerts(rules: RuleFile, names: Sequence[str] | None) -> None:
    """Look whether the rules of --rule are there."""
    with naming("--rule"):
        for name in names or ():
            rules.alert(name)


def check_before_work(out: Path, rules: Path | None) -> None:
    """Say before the work, not after it, that its results could not be written or verified."""
    from kmon_analysis.export.verify import find_promtool
    from kmon_analysis.history_store import MANIFEST
    from kmon_analysis.report.bundle import FILES, check_writable

    if rules is not None and rules.exists() and (out / FILES[0]).exists() and rules.samefile(out / FILES[0]):
        raise OutputError(
            "is the rule file that is to be tuned, and would be replaced by the result",
            place=str(out / FILES[0]),
            cure="Choose another folder with -o",
        )
    check_writable(out)
    if (out / MANIFEST).exists():
        say(f"warning: {out} is the folder of a history; the results will lie among its files")
    find_promtool()


def read_truth(path: Path | None) -> Incidents:
    """Read the incidents, if there are any."""
    from kmon_analysis.incidents import Incidents, read_incidents

    return read_incidents(path) if path else Incidents()
