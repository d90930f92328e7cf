"""The verb about one incident: what each rule did, and what would have paged sooner."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kmon_analysis.cli_options import (
    CreditAfterOption,
    CreditBeforeOption,
    EndOption,
    EvaluateOnOption,
    GroupByOption,
    HistoryOption,
    IncidentsOption,
    IntervalOption,
    JsonOption,
    LastOption,
    MergeGapOption,
    PhaseOption,
    PrometheusOption,
    ResultsOption,
    RulePathOption,
    Samples,
    StartOption,
    StoreOption,
    TimeoutOption,
    VersionOption,
    make_settings,
)
from kmon_analysis.cli_terminal import naming, put, put_json, say, working
from kmon_analysis.errors import SettingError

if TYPE_CHECKING:
    from kmon_analysis.workflow_postmortem import Rerun

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(
        "postmortem",
        short_help="Say what each rule did about one incident.",
        epilog="""\b
Examples:
  kmon postmortem INC-7 --history history --rules rules.yml \\
      --incidents incidents.yml --zone Europe/Zurich -o postmortem
  kmon postmortem INC-7 --prometheus http://localhost:9090 --last 15d \\
      --rules rules.yml --incidents incidents.yml
  kmon postmortem --bundle postmortem/bundle""",
    )(postmortem_command)


def postmortem_command(
    incident: Annotated[str | None, typer.Argument(metavar="INCIDENT", help="Its id.", show_default=False)] = None,
    rules: Annotated[
        Path | None,
        typer.Option("--rules", metavar="FILE", help="Prometheus rule file, or PrometheusRule resources."),
    ] = None,
    history: HistoryOption = None,
    prometheus: PrometheusOption = None,
    incidents: IncidentsOption = None,
    out: ResultsOption = Path("postmortem"),
    zone: Annotated[
        str, typer.Option("--zone", metavar="NAME", help="Local time beside UTC, for example Europe/Zurich.")
    ] = "UTC",
    sooner: Annotated[
        list[str] | None,
        typer.Option(
            "--sooner",
            metavar="TIME",
            help="How much sooner a page is wanted; may be repeated. By default a ladder from 1m to 30m, as far as the "
            "start of the incident.",
        ),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle",
            metavar="DIR",
            help="Compute the postmortem of this bundle again, offline, and compare; no other option is needed.",
        ),
    ] = None,
    no_bundle: Annotated[
        bool, typer.Option("--no-bundle", help="Write no bundle (the data from which all of it can be computed again).")
    ] = False,
    last: LastOption = None,
    start: StartOption = None,
    end: EndOption = None,
    store: StoreOption = None,
    evaluate_on: EvaluateOnOption = None,
    timeout: TimeoutOption = None,
    group_by: GroupByOption = None,
    merge_gap: MergeGapOption = "5m",
    credit_before: CreditBeforeOption = "15m",
    credit_after: CreditAfterOption = "5m",
    semantics: VersionOption = None,
    evaluation_interval: IntervalOption = None,
    phase: PhaseOption = None,
    rule_path: RulePathOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what each rule did about one incident, and what would have paged sooner at what price.

    Writes postmortem.html, postmortem.md, postmortem.json, and a bundle from which the numbers can be computed
    again. With --bundle it exits with 1 when they come out differently.
    """
    if bundle is not None:
        if incident is not None or any((rules, history, prometheus, incidents)):
            raise SettingError("is about a bundle that is there", place="--bundle", cure="Give it alone")
        again(bundle, as_json=as_json)
        return
    for name, value in (("INCIDENT", incident), ("--rules", rules), ("--incidents", incidents)):
        if value is None:
            raise SettingError("is missing", place=name, cure="Give it, or --bundle DIR to check a bundle")
    from kmon_analysis.incidents import read_incidents
    from kmon_analysis.postmortem.bundle import check_place
    from kmon_analysis.postmortem.run import find_incident, incidents_for, postmortem
    from kmon_analysis.report.zones import local_zone
    from kmon_analysis.rules.reader import read_rules
    from kmon_analysis.tabular import counted
    from kmon_analysis.timing import parse_duration
    from kmon_analysis.workflow import backtest

    samples = Samples(history, prometheus, last, start, end, store, timeout, evaluate_on)
    credit = (credit_before, credit_after)
    settings = make_settings(group_by, merge_gap, semantics, evaluation_interval, phase, rule_path, credit)
    check_place(out, bundle=not no_bundle)
    with naming("--zone"):
        local_zone(zone)
    with naming("--sooner"):
        for text in sooner or ():
            parse_duration(text)
    read, truth = read_rules(rules or Path()), read_incidents(incidents or Path())
    chosen = find_incident(truth, incident or "")
    with working("starting") as work:
        opened = samples.obtain(read, work)
        inside = incidents_for(truth, chosen.id, opened)
        work.begin("replaying the rules")
        result = backtest(read, opened, inside, settings=settings, server=samples.server, patience=samples.patience)
        work.begin("looking for what would have paged sooner")
        made = postmortem(
            result,
            chosen.id,
            zone=zone,
            sooner=sooner,
            progress=lambda rule, done: work.begin(f"{rule}: what would have paged sooner, {done} settings"),
        )
        written = made.write(out, bundle=not no_bundle, stage=work.begin)
    left_out = len(truth) - len(inside)
    if left_out:
        does = "lies outside the history and does" if left_out == 1 else "lie outside the history and do"
        say(f"note: {left_out} of {counted(len(truth), 'incident')} {does} not count")
    for finding in truth.check_rules([rule.name for rule in read.alerts]):
        if repr(chosen.id) in finding.problem:
            say(f"warning: {finding}")
    if as_json:
        put_json(made.to_json())
    else:
        put(repr(made))
    say("written: " + ", ".join(str(path) for path in written.paths))


def again(bundle: Path, *, as_json: bool) -> None:
    """Compute a bundle's postmortem again, and say what differs."""
    from kmon_analysis.workflow_postmortem import rerun

    with working("computing the postmortem again"):
        found = rerun(bundle)
    if as_json:
        put_json(
            {
                "same": found.same,
                "files": list(found.files),
                "differences": list(found.differences),
                "failure": found.failure or None,
            }
        )
    else:
        put(verdict(found))
    if not found.same:
        raise typer.Exit(1)


def verdict(found: Rerun) -> str:
    """Say what came of it."""
    from kmon_analysis import __version__

    manifest = found.manifest
    if found.same:
        return f"{manifest.incident}: the same numbers again, from {len(manifest.files)} unchanged files"
    lines = [f"{manifest.incident}: not the same"]
    lines += [f"  file {each}" for each in found.files]
    if found.failure:
        lines.append(f"  it cannot be computed: {found.failure}")
    lines += [f"  {each}" for each in found.differences]
    made = manifest.made_with.get("kmon_analysis", "?")
    if made != __version__:
        lines.append(f"  it was made with kmon_analysis {made}; this is {__version__}")
    return "\n".join(lines)
