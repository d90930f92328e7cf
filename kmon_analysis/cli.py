"""The command line: each verb calls one public function; data on stdout, words and progress on stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kmon_analysis import __version__, cli_import, cli_kafka, cli_postmortem, cli_verify
from kmon_analysis.cli_advice import finish
from kmon_analysis.cli_health import health_app
from kmon_analysis.cli_incidents import incidents_app
from kmon_analysis.cli_jmx import jmx_app
from kmon_analysis.cli_once import refuse_repeats
from kmon_analysis.cli_options import (
    AlertsOption,
    CreditAfterOption,
    CreditBeforeOption,
    EndOption,
    EvaluateOnOption,
    GroupByOption,
    HistoryOption,
    HistoryOutOption,
    IncidentsOption,
    IntervalOption,
    JsonOption,
    LastOption,
    MaxDelayOption,
    MergeGapOption,
    PhaseOption,
    PhasesOption,
    PrometheusOption,
    ReportZoneOption,
    ResultsOption,
    RulePathOption,
    RulesOption,
    Samples,
    StartOption,
    StoreOption,
    TimeoutOption,
    VersionOption,
    check_alerts,
    check_before_work,
    check_budget,
    check_zone,
    make_settings,
    number,
    patience_of,
    read_truth,
    with_credentials,
)
from kmon_analysis.cli_terminal import (
    let_be_quiet,
    put,
    put_json,
    put_saved,
    say,
    set_up_streams,
    working,
)
from kmon_analysis.errors import KmonError, SettingError
from kmon_analysis.progress import quiet

if TYPE_CHECKING:
    from kmon_analysis.backtest.run import Backtest
    from kmon_analysis.backtest.settings import Settings
    from kmon_analysis.cli_terminal import Work
    from kmon_analysis.incidents import Incidents
    from kmon_analysis.rules.model import RuleFile
    from kmon_analysis.sources.prometheus import Progress

__all__ = ["app", "main"]

app = typer.Typer(
    name="kmon",
    add_completion=False,
    pretty_exceptions_enable=False,
    # Plain help: half the start-up time, and it reads the same in a pipe and without UTF-8.
    rich_markup_mode=None,
    context_settings={"max_content_width": 100},
)

app.add_typer(health_app)
app.add_typer(incidents_app)
app.add_typer(jmx_app)

# Warnings of one kind that are said in full.
MOST_ALIKE = 3


def show_version(wanted: bool) -> None:
    """Print the release and end."""
    if wanted:
        put(f"kmon {__version__}")
        raise typer.Exit


@app.callback(
    invoke_without_command=True,
    epilog="""\b
Start here:
  kmon demo                     the main job on bundled data, no server needed
  kmon doctor --prometheus URL  what a server has, and whether it suits
  kmon VERB --help              options and examples of a verb

\b
Exit status: 0 fine, 1 findings or a failed verification,
2 usage or bad input, 3 server unreachable, 130 interrupted.""",
)
def kmon(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=show_version, is_eager=True)
    ] = False,
    hush: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress. KMON_QUIET=1 does the same.")] = False,
) -> None:
    """Tune Kafka alert rules from evidence: backtest, score, recommend, export, prove."""
    quiet(hush)
    if context.invoked_subcommand is None:
        say(context.get_help())
        raise typer.Exit(2)


# ---- what several verbs do ----------------------------------------------------------------------


def replay(rules: RuleFile, truth: Incidents, samples: Samples, settings: Settings, work: Work) -> Backtest:
    """Obtain the samples and replay the rules."""
    from kmon_analysis.workflow import backtest

    history = samples.obtain(rules, work)
    work.begin("replaying the rules")

    def show(rule: str, state: Progress) -> None:
        work.begin(f"the server evaluates {rule}")
        work.update(state.done, state.total)

    return backtest(
        rules, history, truth, settings=settings, server=samples.server, patience=samples.patience, progress=show
    )


def say_warnings(rules: RuleFile, truth: Incidents, result: Backtest, *, notes: bool = True) -> None:
    """Say what does not stop the work and should be known; notes are left out where a table has them below it."""
    for finding in rules.notes:
        say(f"warning: {finding}")
    strangers = truth.check_rules([rule.name for rule in rules.alerts])
    for finding in strangers[:MOST_ALIKE]:
        say(f"warning: {finding}")
    if (more := len(strangers) - MOST_ALIKE) > 0:
        say(f"warning: {more} more incident{' names' if more == 1 else 's name'} rules that are not in the rule file")
    for finding in truth.check_decided():
        say(f"warning: {finding}")
    for sentence in truth.check_circular():
        say(f"warning: {sentence}")
    for warning in result.history.provenance.warnings:
        say(f"warning: the history says: {warning}")
    for note in result.notes:
        say(f"warning: the server says: {note}")
    for note in result.recorded:
        say(f"warning: {note}")
    for text in (note.text for note in result.findings if notes):
        say(f"warning: {text}")
    for name, reason in result.refused.items():
        say(f"warning: {name} is not evaluated: {reason}")
    if result.release_note and notes:
        say(f"note: {result.release_note}")


def stop_without_data(result: Backtest) -> None:
    """End with a finding when no rule of the file finds its series: nothing was judged."""
    from kmon_analysis.backtest.notes import is_blind

    if all(is_blind(each) for each in result.results.values()):
        say("kmon: the history holds no series that any of the rules asks for; nothing was judged")
        raise typer.Exit(1)


# ---- verbs --------------------------------------------------------------------------------------


@app.command(
    "demo",
    epilog="""\b
Examples:
  kmon demo
  kmon demo --scenario one-incident -o out/one""",
)
def demo_command(
    out: ResultsOption = Path("out/demo"),
    scenario: Annotated[
        str,
        typer.Option(
            "--scenario",
            metavar="NAME",
            help="user-service, no-incidents, one-incident, three-incidents or eight-incidents.",
        ),
    ] = "user-service",
    max_delay: Annotated[str, MaxDelayOption] = "30m",
    zone: ReportZoneOption = "UTC",
    as_json: JsonOption = False,
) -> None:
    """Run the main job on bundled data: no server, no network."""
    from kmon_analysis.workflow import demo

    check_before_work(out, None)
    check_budget(max_delay)
    check_zone(zone)
    with working("starting") as work:
        done = demo(
            scenario,
            max_delay=max_delay,
            stage=work.begin,
            progress=lambda rule, done, total: show_rule(work, rule, done, total),
        )
    finish(done.advice, out, as_json=as_json, zone=zone)
    if done.confirmation is not None:
        say("\nThe four weeks after, which tuning never saw:")
        say(repr(done.confirmation))


@app.command(
    "doctor",
    short_help="Look at a history or a server: what is there, what is missing.",
    epilog="""\b
Examples:
  kmon doctor --prometheus http://localhost:9090 --rules rules.yml
  kmon doctor --history data/user-service""",
)
def doctor_command(
    history: HistoryOption = None,
    prometheus: Annotated[
        str | None, typer.Option("--prometheus", metavar="URL", help="A running Prometheus, instead of --history.")
    ] = None,
    rules: Annotated[
        Path | None,
        typer.Option("--rules", metavar="FILE", help="Say for each series that these rules need whether it is there."),
    ] = None,
    timeout: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at a history or a server: what is there, how often, and what is missing.

    Exits with 1 when something that the rules need is missing.
    """
    from kmon_analysis.cli_doctor import examine_history, examine_server
    from kmon_analysis.rules.reader import read_rules
    from kmon_analysis.sources.files import open_history

    if (history is None) == (prometheus is None):
        what = "both --history and --prometheus are given" if history else "neither --history nor --prometheus"
        raise SettingError(what, cure="Name what to look at: --history PATH or --prometheus URL")
    if history is not None and timeout is not None:
        raise SettingError("is about a server", place="--timeout", cure="Leave it out with --history")
    patience = patience_of(timeout)
    server = None if prometheus is None else with_credentials(prometheus)
    file = None if rules is None else read_rules(rules)
    with working("looking") as work:
        if server is not None:
            found = examine_server(server, file, patience, stage=work.begin, progress=work.update)
        else:
            work.begin("opening the history")
            opened = open_history(history or Path())
            work.begin("looking for gaps, resets and silence")
            found = examine_history(opened, file)
    if as_json:
        put_json(found.data)
    else:
        put(found.text)
    for missing in found.missing:
        say(f"missing: {missing}")
    if found.missing:
        raise typer.Exit(1)


@app.command(
    "fetch",
    short_help="Fetch the raw samples that rules need into a history on disk.",
    epilog="""\b
Example:
  kmon fetch --prometheus http://localhost:9090 --rules rules.yml \\
      --last 30d -o history""",
)
def fetch_command(
    rules: RulesOption,
    prometheus: Annotated[str, typer.Option("--prometheus", metavar="URL", help="A running Prometheus.")],
    out: HistoryOutOption,
    last: LastOption = None,
    start: StartOption = None,
    end: EndOption = None,
    timeout: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch the raw samples that the rules need into a history on disk.

    Interrupted, it keeps what has arrived; the same command then goes on from there.
    """
    from kmon_analysis.rules.reader import read_rules

    samples = Samples(None, prometheus, last, start, end, out, timeout)
    read = read_rules(rules)
    with working("fetching") as work:
        history = samples.obtain(read, work)
    put_saved(history, out, as_json=as_json)


cli_import.register(app)


@app.command(
    "backtest",
    short_help="Say when the rules as written would have paged.",
    epilog="""\b
Examples:
  kmon backtest --history history --rules rules.yml --incidents incidents.yml
  kmon backtest --prometheus http://localhost:9090 --last 7d --rules rules.yml""",
)
def backtest_command(
    rules: RulesOption,
    history: HistoryOption = None,
    prometheus: PrometheusOption = None,
    incidents: IncidentsOption = None,
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
    phases: PhasesOption = None,
    pages: Annotated[bool, typer.Option("--pages", help="List every page and what became of every incident.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say when the rules as written would have paged, scored against incidents."""
    from kmon_analysis.backtest.spread import sweep_phases
    from kmon_analysis.cli_backtest import listing, rule_rows
    from kmon_analysis.rules.reader import read_rules

    samples = Samples(history, prometheus, last, start, end, store, timeout, evaluate_on)
    credit = (credit_before, credit_after)
    settings = make_settings(group_by, merge_gap, semantics, evaluation_interval, phase, rule_path, credit)
    read = read_rules(rules)
    truth = read_truth(incidents)
    with working("starting") as work:
        result = replay(read, truth, samples, settings, work)
        spread = None
        if phases is not None:
            work.begin(f"replaying at {phases} phases")
            spread = sweep_phases(result, phases, progress=work.update)
    say_warnings(read, truth, result, notes=as_json)
    if spread is None and any(phase.how == "unknown" for phase in result.phases.values()):
        say("note: groups are taken to be evaluated at their full intervals; --phases 4 tells whether that matters")
    if as_json:
        rows = rule_rows(result)
        put_json([{**row, "phases": spread.to_json(row["rule"])} for row in rows] if spread else rows)
    else:
        put(repr(result))
        if spread is not None:
            put(repr(spread))
        if pages:
            put(listing(result))
    stop_without_data(result)


@app.command(
    "tune",
    short_help="Find better values for the rules, or say why not.",
    epilog="""\b
Examples:
  kmon tune --history history --rules rules.yml --incidents incidents.yml \\
      --max-delay 10m -o tuned
  kmon tune --prometheus http://localhost:9090 --last 30d --store history \\
      --rules rules.yml --incidents incidents.csv --max-delay 10m -o tuned""",
)
def tune_command(
    rules: RulesOption,
    out: Annotated[
        Path,
        typer.Option(
            "-o", "--out", metavar="DIR", help="Folder for rules.yml, rules_test.yml, advice.json and report.html."
        ),
    ],
    max_delay: Annotated[str, MaxDelayOption],
    history: HistoryOption = None,
    prometheus: PrometheusOption = None,
    incidents: IncidentsOption = None,
    last: LastOption = None,
    start: StartOption = None,
    end: EndOption = None,
    store: StoreOption = None,
    evaluate_on: EvaluateOnOption = None,
    timeout: TimeoutOption = None,
    false_pages: Annotated[
        float,
        typer.Option("--false-pages", metavar="NUMBER", parser=number, help="Accepted false pages of one rule a week."),
    ] = 1.0,
    placement: Annotated[
        float,
        typer.Option(
            "--placement",
            metavar="0..1",
            parser=number,
            show_default=False,
            help="Where the threshold goes between the highest ordinary value (0) and the lowest of an incident (1).  "
            "[default: 1/3]",
        ),
    ] = 1 / 3,
    rule: AlertsOption = None,
    group_by: GroupByOption = None,
    merge_gap: MergeGapOption = "5m",
    credit_before: CreditBeforeOption = "15m",
    credit_after: CreditAfterOption = "5m",
    semantics: VersionOption = None,
    evaluation_interval: IntervalOption = None,
    phase: PhaseOption = None,
    rule_path: RulePathOption = None,
    zone: ReportZoneOption = "UTC",
    as_json: JsonOption = False,
) -> None:
    """Find better values for the rules, or say why not; write rules, tests, advice and report."""
    from kmon_analysis.recommend.verdict import recommend
    from kmon_analysis.rules.reader import read_rules

    samples = Samples(history, prometheus, last, start, end, store, timeout, evaluate_on)
    credit = (credit_before, credit_after)
    settings = make_settings(group_by, merge_gap, semantics, evaluation_interval, phase, rule_path, credit)
    check_budget(max_delay, false_pages, placement)
    check_zone(zone)
    check_before_work(out, rules)
    read, truth = read_rules(rules), read_truth(incidents)
    check_alerts(read, rule)
    truth.require_decided()
    with working("starting") as work:
        result = replay(read, truth, samples, settings, work)
        advice = recommend(
            result,
            max_delay=max_delay,
            false_pages_per_week=false_pages,
            placement=placement,
            only=rule or (),
            progress=lambda name, done, total: show_rule(work, name, done, total),
        )
    say_warnings(read, truth, result)
    finish(advice, out, as_json=as_json, zone=zone)
    stop_without_data(result)


def show_rule(work: Work, rule: str, done: int, total: int) -> None:
    """Show how far the tuning of a rule is."""
    if done <= 1:
        work.begin(f"tuning {rule}")
    work.update(done, total)


cli_verify.register(app)
cli_kafka.register(app)
cli_postmortem.register(app)


@app.command(
    "lab",
    short_help="Open JupyterLab on a copy of the notebooks.",
    epilog="""\b
Examples:
  kmon lab
  KMON_PROMETHEUS_URL=http://localhost:9090 KMON_RULES=rules.yml \\
      kmon lab --dir ours -- --no-browser""",
)
def lab_command(
    directory: Annotated[
        Path, typer.Option("--dir", metavar="DIR", help="Folder for the notebooks; what is there already stays.")
    ] = Path("kmon-notebooks"),
    more: Annotated[
        list[str] | None, typer.Argument(metavar="-- ARGUMENTS", help="Passed on to JupyterLab.", show_default=False)
    ] = None,
) -> None:
    """Open JupyterLab on a copy of the notebooks, on this machine only.

    They run on bundled data, or on yours: set KMON_PROMETHEUS_URL (or KMON_HISTORY), KMON_RULES, KMON_INCIDENTS and
    KMON_LAST before.
    """
    from kmon_analysis.workflow_lab import copy_notebooks, lab_command, lab_environment
    from kmon_analysis.workflow_notebook import check_given

    check_given(os.environ)
    command = lab_command(directory, more or [])
    for path in copy_notebooks(directory).kept:
        say(f"kept: {path} differs from the one that is shipped; remove it to get that one")
    say(f"notebooks: {directory}; what they write goes to {os.environ.get('KMON_OUT') or directory / 'results'}")
    os.execve(command[0], command, lab_environment(os.environ, directory))  # noqa: S606  # replaces this process


# ---- running ------------------------------------------------------------------------------------

INTERRUPTED = 130
# As the shell says of a program that SIGPIPE ended.
NOBODY_READS = 141
UsageError: Any = typer.BadParameter.__base__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, with these arguments or the process's own; return the exit status."""
    set_up_streams()
    try:
        return run(arguments)
    except BrokenPipeError:
        # Whoever read stdout has seen enough; what is left of it would fail again at exit. As in Python's documentation
        # of the module signal, "Note on SIGPIPE".
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOBODY_READS


def run(arguments: Sequence[str] | None) -> int:
    """Run a verb; every error we foresee is one message and an exit status."""
    try:
        command = typer.main.get_command(app)
        refuse_repeats(command)
        let_be_quiet(command)
        status = command(args=None if arguments is None else list(arguments), prog_name="kmon", standalone_mode=False)
        sys.stdout.flush()
    except KmonError as error:
        say(f"kmon: {error}")
        return error.exit_status
    except UsageError as error:
        verb = error.ctx.command_path if error.ctx else "kmon"
        say(f"{verb}: {error.format_message()}\n  {verb} --help tells what there is.")
        return 2
    except SystemExit as end:
        # The parser ends with 1 where nobody reads on, which would read as a finding.
        if isinstance(end.__context__, BrokenPipeError):
            raise end.__context__ from None
        raise
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    if status == INTERRUPTED:
        say("kmon: interrupted")
    return status if isinstance(status, int) else 0


if __name__ == "__main__":
    sys.exit(main())
