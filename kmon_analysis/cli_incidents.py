"""The verbs of ``kmon incidents``: lists of incidents where there are none yet, or where another tool holds them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kmon_analysis import cli_incidents_review
from kmon_analysis.cli_options import (
    EndOption,
    EvaluateOnOption,
    GroupByOption,
    HistoryOption,
    IntervalOption,
    JsonOption,
    LastOption,
    MergeGapOption,
    PhaseOption,
    PrometheusOption,
    RulePathOption,
    RulesOption,
    Samples,
    StartOption,
    StoreOption,
    TimeFormatOption,
    TimeoutOption,
    VersionOption,
    ZoneOption,
    make_settings,
    read_pairs,
    read_truth,
)
from kmon_analysis.cli_terminal import columns, naming, put, put_json, say, working
from kmon_analysis.errors import SettingError

if TYPE_CHECKING:
    from kmon_analysis.incidents import Status
    from kmon_analysis.labelling.imported import Imported
    from kmon_analysis.labelling.merging import Merged
    from kmon_analysis.labelling.suggest import Suggestions
    from kmon_analysis.sources.prometheus import Progress

__all__ = ["incidents_app"]

# Entries that were left out for one reason and are said in full.
MOST_ALIKE = 3

incidents_app = typer.Typer(
    name="incidents",
    help="Suggest incidents from a history, take them over from other tools, and review false pages.",
    no_args_is_help=False,
    rich_markup_mode=None,
)


@incidents_app.callback()
def incidents() -> None:
    """Suggest incidents from a history, take them over from other tools, and review false pages."""


cli_incidents_review.register(incidents_app)


@incidents_app.command(
    "suggest",
    short_help="Propose windows of a history that may have been incidents.",
    epilog="""\b
Examples:
  kmon incidents suggest --history history --rules rules.yml
  kmon incidents suggest --history history --rules rules.yml --incidents incidents.yml -o incidents.yml""",
)
def suggest_command(
    rules: RulesOption,
    history: HistoryOption = None,
    prometheus: PrometheusOption = None,
    known: Annotated[
        Path | None,
        typer.Option("--incidents", metavar="FILE", help="What is known already; nothing at those times is suggested."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="FILE",
            help="Add the suggestions to this list of incidents, marked as such; made if it is not there.",
        ),
    ] = None,
    most: Annotated[int, typer.Option("--most", metavar="NUMBER", min=1, help="Longest list.")] = 20,
    last: LastOption = None,
    start: StartOption = None,
    end: EndOption = None,
    store: StoreOption = None,
    evaluate_on: EvaluateOnOption = None,
    timeout: TimeoutOption = None,
    group_by: GroupByOption = None,
    merge_gap: MergeGapOption = "5m",
    semantics: VersionOption = None,
    evaluation_interval: IntervalOption = None,
    phase: PhaseOption = None,
    rule_path: RulePathOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose windows of a history that may have been incidents, ranked, each with why.

    A suggestion is no incident until a person has confirmed it; kmon tune refuses a list with undecided ones.
    """
    from kmon_analysis.labelling.merging import check_target
    from kmon_analysis.labelling.suggest import suggest_from
    from kmon_analysis.rules.reader import read_rules
    from kmon_analysis.workflow import backtest

    samples = Samples(history, prometheus, last, start, end, store, timeout, evaluate_on)
    settings = make_settings(group_by, merge_gap, semantics, evaluation_interval, phase, rule_path)
    if out is not None:
        check_target(out)
    truth = read_truth(known if known is not None else out if out is not None and out.exists() else None)
    read = read_rules(rules)
    with working("starting") as work:
        recorded = samples.obtain(read, work)
        work.begin("replaying the rules")

        def show(rule: str, state: Progress) -> None:
            work.begin(f"the server evaluates {rule}")
            work.update(state.done, state.total)

        result = backtest(
            read, recorded, settings=settings, server=samples.server, patience=samples.patience, progress=show
        )
        work.begin("comparing with other days and weeks")
        found = suggest_from(result, truth.within(recorded.interval), most=most)
    show_suggestions(found, as_json=as_json)
    if out is not None:
        say_merged(found.write(out))


ColumnOption = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="ROLE=NAME",
        help="What a column is called; ROLE is id, start, end, service, kind, cause, duration_ms, detected, must_page, "
        "rules, or labels.topic for the label topic. May be repeated.",
    ),
]
MapOption = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="SERVICE=RULE",
        help="Which rules, and with {label=value} which series, a service stands for. May be repeated.",
    ),
]


@incidents_app.command(
    "import",
    short_help="Take incidents over from PagerDuty, Opsgenie, a table, or alerts.",
    epilog="""\b
Examples:
  kmon incidents import incidents.csv --from pagerduty \\
      --map "Kafka lag=HighConsumerLag" --only-mapped -o incidents.yml
  kmon incidents import tickets.csv --from csv --zone Europe/Berlin \\
      --column id=ticket --column start=opened_at --column end=resolved_at
  kmon incidents import --from alerts --prometheus http://localhost:9090 \\
      --last 30d -o incidents.yml""",
)
def import_command(
    source: Annotated[
        str, typer.Option("--from", metavar="TOOL", help="pagerduty, opsgenie, csv or alerts.", show_default=False)
    ],
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="An export; for alerts a history with ALERTS, an answer of the query API, or Alertmanager JSON.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", metavar="FILE", help="Add them to this list of incidents; made if it is not there."
        ),
    ] = None,
    column: ColumnOption = None,
    zone: ZoneOption = None,
    time_format: TimeFormatOption = None,
    mapped: MapOption = None,
    only_mapped: Annotated[bool, typer.Option("--only-mapped", help="Leave out what no --map speaks of.")] = False,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace", help="Give entries that the list holds what --map says now; what was edited by hand stays."
        ),
    ] = False,
    open_until: Annotated[
        str | None,
        typer.Option("--open-until", metavar="INSTANT", help="End of entries that have none; by default left out."),
    ] = None,
    confirmed: Annotated[
        bool | None,
        typer.Option(
            "--confirmed/--unconfirmed",
            help="Whether they are incidents, or suggestions to decide on; alerts are suggestions by default.",
            show_default=False,
        ),
    ] = None,
    merge_gap: Annotated[
        str, typer.Option("--merge-gap", metavar="TIME", help="For alerts: firing again within this time is one entry.")
    ] = "5m",
    prometheus: Annotated[
        str | None,
        typer.Option("--prometheus", metavar="URL", help="For alerts: a running Prometheus, with --last or --start."),
    ] = None,
    last: LastOption = None,
    start: StartOption = None,
    end: EndOption = None,
    timeout: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take incidents over from another tool; what cannot be taken over is said, and nothing is overwritten.

    A list that is there keeps its entries, their order and its comments; an id that it holds is left out, or, with
    --replace, concerns what --map says.
    """
    from kmon_analysis.labelling.importing import import_incidents
    from kmon_analysis.labelling.merging import check_target
    from kmon_analysis.timing import parse_duration

    if (file is None) == (prometheus is None):
        what = "both FILE and --prometheus are given" if file else "neither FILE nor --prometheus is given"
        raise SettingError(what, cure="Name one source: a file, or --prometheus URL --last 30d")
    with naming("--merge-gap"):
        merge_gap_ms = parse_duration(merge_gap)
    if replace and (out is None or not mapped):
        raise SettingError(
            "gives entries of a list what --map says", place="--replace", cure="Give --map and -o with it"
        )
    if out is not None:
        check_target(out)
    if prometheus is not None:
        if source != "alerts":
            raise SettingError("is about alerts", place="--prometheus", cure="Give --from alerts with it")
        found = fetch_alerts(
            Samples(None, prometheus, last, start, end, None, timeout),
            open_until=open_until,
            status="confirmed" if confirmed else "suggested",
            merge_gap_ms=merge_gap_ms,
        )
    else:
        for name, value in {"--last": last, "--start": start, "--end": end, "--timeout": timeout}.items():
            if value is not None:
                raise SettingError("is about a server", place=name, cure="Leave it out with a file")
        with working("reading"):
            found = import_incidents(
                file or Path(),
                source,
                columns=read_pairs(column or [], "start=opened_at"),
                zone=zone,
                time_format=time_format,
                services=mapped or [],
                only_mapped=only_mapped,
                open_until=open_until,
                confirmed=confirmed,
                merge_gap_ms=merge_gap_ms,
            )
    show_imported(found, as_json=as_json)
    if out is not None:
        say_merged(found.write(out, replace=replace))


def fetch_alerts(samples: Samples, *, open_until: str | None, status: Status, merge_gap_ms: int) -> Imported:
    """Read what a server recorded about its alerts."""
    from kmon_analysis.labelling.alerts import ALERTS, entries_of
    from kmon_analysis.sources.prometheus import fetch_history
    from kmon_analysis.timing import format_end, format_instant, parse_duration, parse_instant

    asked = samples.range
    open_until_ms = None if open_until is None else parse_instant(open_until)
    with working("fetching ALERTS") as work:
        history = fetch_history(
            samples.prometheus or "",
            [ALERTS],
            start_ms=None if asked["start"] is None else parse_instant(asked["start"]),
            end_ms=None if asked["end"] is None else parse_instant(asked["end"]),
            last_ms=None if asked["last"] is None else parse_duration(asked["last"]),
            progress=lambda state: work.update(state.done, state.total),
            patience=samples.patience,
        )
    for warning in history.provenance.warnings:
        say(f"warning: {warning}")
    source = history.provenance.source
    if not len(history.series):
        span = f"{format_instant(history.interval.start_ms)} to {format_end(history.interval.end_ms)}"
        raise SettingError(
            f"recorded no ALERTS from {span}",
            place=source,
            cure="Give a longer --last, or check that this server evaluates alerting rules",
        )
    return entries_of(history, source, status=status, open_until_ms=open_until_ms, merge_gap_ms=merge_gap_ms)


def show_imported(found: Imported, *, as_json: bool) -> None:
    """Print entries as data, and what became of the others as words."""
    from kmon_analysis.labelling.imported import summary

    if as_json:
        put_json(found.to_json())
    else:
        put(found.table() if len(found) else "nothing was taken over")
    say(found.headline)
    for line in (*summary(found.left_out), *found.notes):
        say(f"note: {line}")


def say_merged(merged: Merged) -> None:
    """Say what was changed in a list, what was added and what was not."""
    for sentence in merged.changed:
        say(sentence)
    for sentence in merged.left_out[:MOST_ALIKE]:
        say(f"note: {sentence}")
    if len(merged.left_out) > MOST_ALIKE:
        say(f"note: {len(merged.left_out) - MOST_ALIKE} more were left out for the same reasons")
    say(merged.sentence)


def show_suggestions(found: Suggestions, *, as_json: bool) -> None:
    """Print suggestions as data, and what they are and are not as words."""
    from kmon_analysis.labelling.suggest import CIRCULAR

    if as_json:
        put_json(found.to_json())
        say(found.headline)
        for note in found.notes:
            say(f"note: {note}")
        say(CIRCULAR)
    else:
        put(found.text(columns()) if sys.stdout.isatty() else repr(found))
