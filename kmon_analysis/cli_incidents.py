"""The verbs of ``kmon incidents``: lists of incidents where there are none yet, or where another tool holds them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
    TimeoutOption,
    VersionOption,
    make_settings,
    read_truth,
)
from kmon_analysis.cli_terminal import put, put_json, say, working

if TYPE_CHECKING:
    from kmon_analysis.labelling.suggest import Suggestions
    from kmon_analysis.sources.prometheus import Progress

__all__ = ["incidents_app"]

incidents_app = typer.Typer(
    name="incidents",
    help="Suggest incidents from a history, and take them over from other tools.",
    no_args_is_help=False,
    rich_markup_mode=None,
)


@incidents_app.callback()
def incidents() -> None:
    """Suggest incidents from a history, and take them over from other tools."""


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
        merged = found.write(out)
        for sentence in merged.left_out:
            say(f"note: {sentence}")
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
        put(repr(found))
