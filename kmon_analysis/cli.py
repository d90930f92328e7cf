"""The command line: each verb calls one public function; data on stdout, words and progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kmon_analysis.errors import KmonError, SettingError

if TYPE_CHECKING:
    from kmon_analysis.backtest.settings import Settings
    from kmon_analysis.history import History
    from kmon_analysis.recommend.advice import Advice
    from kmon_analysis.sources.prometheus import ServerInfo

__all__ = ["app", "main"]

app = typer.Typer(
    name="kmon",
    help="Tune Kafka alert rules from evidence: backtest, score, recommend, export, prove.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

HistoryOption = Annotated[
    Path | None, typer.Option("--history", help="A history on disk: a folder, a CSV, API JSON or OpenMetrics file.")
]
PrometheusOption = Annotated[str | None, typer.Option("--prometheus", help="URL of a running Prometheus.")]
RulesOption = Annotated[Path, typer.Option("--rules", help="Prometheus rule file.")]
IncidentsOption = Annotated[Path | None, typer.Option("--incidents", help="Incidents, YAML or CSV.")]
LastOption = Annotated[str | None, typer.Option("--last", help='How far back to fetch, for example "30d".')]
StartOption = Annotated[str | None, typer.Option("--start", help="RFC 3339 instant with a zone.")]
EndOption = Annotated[str | None, typer.Option("--end", help="RFC 3339 instant with a zone; now if not given.")]
StoreOption = Annotated[
    Path | None,
    typer.Option("--store", help="Where a fetched history is kept; an interrupted fetch resumes from there."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print data as JSON on stdout.")]
GroupByOption = Annotated[
    str | None, typer.Option("--group-by", help="Labels (comma-separated) that make one page of several alerts.")
]
MergeGapOption = Annotated[str, typer.Option("--merge-gap", help="Pages closer than this count once.")]
VersionOption = Annotated[
    str | None, typer.Option("--semantics", help="Prometheus release to replay, for example 2.42 or 3.5.")
]
IntervalOption = Annotated[
    str, typer.Option("--evaluation-interval", help="For rule groups that state none: the server's global interval.")
]


def say(text: str = "") -> None:
    """Write words for the person at the terminal."""
    typer.echo(text, err=True)


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on stderr, when that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(title, total=None)

        def update(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield update


def load_history(path: Path) -> History:
    """Open a history folder, or read a data file by its ending."""
    from kmon_analysis.history import open_history
    from kmon_analysis.sources import files

    readers = {".csv": files.read_csv, ".json": files.read_api_json, ".om": files.read_openmetrics}
    readers |= dict.fromkeys((".txt", ".openmetrics", ".prom"), files.read_openmetrics)
    reader = readers.get(path.suffix.lower())
    return open_history(path) if reader is None or path.is_dir() else reader(path)


def obtain_history(
    rules: Path,
    history: Path | None,
    prometheus: str | None,
    last: str | None,
    start: str | None,
    end: str | None,
    store: Path | None,
) -> History:
    """Open the history, or fetch it."""
    from kmon_analysis.rules.reader import read_rules
    from kmon_analysis.workflow import fetch

    if (history is None) == (prometheus is None):
        raise SettingError("give either --history or --prometheus", cure="Name one source of samples")
    if history is not None:
        return load_history(history)
    with progress_bar("fetching") as update:
        return fetch(
            prometheus or "",
            read_rules(rules),
            last=last,
            start=start,
            end=end,
            directory=store,
            progress=lambda state: update(state.done, state.total),
        )


def make_settings(group_by: str | None, merge_gap: str, version: str | None, interval: str) -> Settings:
    """Turn options into settings."""
    from kmon_analysis.backtest.settings import Settings
    from kmon_analysis.timing import parse_duration

    labels = None if group_by is None else tuple(name.strip() for name in group_by.split(",") if name.strip())
    return Settings(
        group_by=labels,
        merge_gap_ms=parse_duration(merge_gap),
        interval_ms=parse_duration(interval),
        version=version,
    )


def show_json(data: Any) -> None:
    """Write data for a program."""
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False, default=str))


def finite(value: Any) -> Any:
    """Replace what JSON cannot say (NaN, infinity) by null."""
    import math

    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


@app.command("fetch")
def fetch_command(
    rules: RulesOption,
    prometheus: Annotated[str, typer.Option("--prometheus", help="URL of a running Prometheus.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the new history.")],
    last: LastOption = None,
    start: StartOption = None,
    end: EndOption = None,
) -> None:
    """Fetch the raw samples that the rules need into a history on disk; an interrupted fetch resumes."""
    history = obtain_history(rules, None, prometheus, last, start, end, out)
    say(repr(history))
    for warning in history.provenance.warnings:
        say(f"warning from the server: {warning}")
    typer.echo(str(out))


@app.command("backtest")
def backtest_command(
    rules: RulesOption,
    history: HistoryOption = None,
    prometheus: PrometheusOption = None,
    incidents: IncidentsOption = None,
    last: LastOption = None,
    start: StartOption = None,
    end: EndOption = None,
    store: StoreOption = None,
    group_by: GroupByOption = None,
    merge_gap: MergeGapOption = "5m",
    semantics: VersionOption = None,
    evaluation_interval: IntervalOption = "1m",
    as_json: JsonOption = False,
) -> None:
    """Say when the rules as written would have paged, scored against incidents."""
    from kmon_analysis.backtest.run import backtest
    from kmon_analysis.incidents import Incidents, read_incidents
    from kmon_analysis.rules.reader import read_rules

    read = read_rules(rules)
    truth = read_incidents(incidents) if incidents else Incidents()
    samples = obtain_history(rules, history, prometheus, last, start, end, store)
    settings = make_settings(group_by, merge_gap, semantics, evaluation_interval)
    result = backtest(read, samples, truth, settings=settings)
    for name, reason in result.refused.items():
        say(f"{name} is not evaluated: {reason}")
    if as_json:
        show_json([finite({"rule": name, **row}) for name, row in result.to_frame().to_dict("index").items()])
    else:
        typer.echo(repr(result))


@app.command("tune")
def tune_command(
    rules: RulesOption,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder for rules.yml, rules_test.yml, advice.json, report.html.")
    ],
    max_delay: Annotated[str, typer.Option("--max-delay", help="Longest acceptable time from incident start to page.")],
    history: HistoryOption = None,
    prometheus: PrometheusOption = None,
    incidents: IncidentsOption = None,
    last: LastOption = None,
    start: StartOption = None,
    end: EndOption = None,
    store: StoreOption = None,
    false_pages: Annotated[float, typer.Option("--false-pages", help="Accepted false pages of a rule a week.")] = 1.0,
    placement: Annotated[
        float, typer.Option("--placement", help="0: at the false-page edge, 1: at the incident edge.")
    ] = 1 / 3,
    group_by: GroupByOption = None,
    merge_gap: MergeGapOption = "5m",
    semantics: VersionOption = None,
    evaluation_interval: IntervalOption = "1m",
    as_json: JsonOption = False,
) -> None:
    """Find better values for the rules, or say why not; write rules, tests, advice and report."""
    from kmon_analysis.backtest.run import backtest
    from kmon_analysis.incidents import Incidents, read_incidents
    from kmon_analysis.recommend.verdict import recommend
    from kmon_analysis.report.bundle import check_writable
    from kmon_analysis.rules.reader import read_rules

    check_writable(out)
    read = read_rules(rules)
    truth = read_incidents(incidents) if incidents else Incidents()
    samples = obtain_history(rules, history, prometheus, last, start, end, store)
    settings = make_settings(group_by, merge_gap, semantics, evaluation_interval)
    result = backtest(read, samples, truth, settings=settings)
    with progress_bar("tuning") as update:
        advice = recommend(
            result,
            max_delay=max_delay,
            false_pages_per_week=false_pages,
            placement=placement,
            progress=lambda _rule, done, total: update(done, total),
        )
    finish(advice, out, as_json=as_json)


def finish(advice: Advice, out: Path, *, as_json: bool) -> None:
    """Write the files, show the table and the reasons, and fail when the verification failed."""
    written = advice.write(out)
    if as_json:
        show_json(advice.to_json())
    else:
        show_advice(advice)
    say(written.sentence)
    say("written: " + ", ".join(str(path) for path in written.paths))
    if written.failed:
        say(written.output)
        raise typer.Exit(1)


def show_advice(advice: Advice) -> None:
    """Print the before/after table and the reasons of every verdict."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    header, rows = advice.table()
    # The verdict is said below the table, too: in a narrow terminal the numbers need its place.
    shown = [place for place, title in enumerate(header) if title != "verdict" or console.width >= 100]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place in shown:
        left = place < 3
        table.add_column(header[place], justify="left" if left else "right", no_wrap=place < 4)
    for row in rows:
        # Text, not str: square brackets in names are no markup.
        table.add_row(*(Text(row[place]) for place in shown))
    console.print(table)
    for rule in advice.values():
        console.print()
        console.print(Text(f"{rule.rule}: {rule.headline}", style="bold"))
        for reason in rule.reasons:
            console.print(Padding(Text(f"• {reason}"), (0, 0, 0, 2)))


@app.command("verify")
def verify_command(
    rules: Annotated[Path, typer.Argument(help="Rule file, or a folder with rules.yml and rules_test.yml.")],
    tests: Annotated[Path | None, typer.Option("--tests", help="promtool unit tests.")] = None,
) -> None:
    """Check rules and their unit tests with promtool."""
    from kmon_analysis.export.verify import verify_files

    if rules.is_dir():
        rules, tests = rules / "rules.yml", tests or rules / "rules_test.yml"
    found = verify_files(rules, tests)
    say(found.sentence)
    if not found.ok:
        say("\n".join(check.output for check in (found.check, found.test) if check.outcome == "failed"))
        raise typer.Exit(1)


@app.command("doctor")
def doctor_command(
    history: HistoryOption = None,
    prometheus: PrometheusOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at a history or a server: what is there, how often, and what is missing."""
    from kmon_analysis.history_quality import quality
    from kmon_analysis.sources.prometheus import server_info

    if (history is None) == (prometheus is None):
        raise SettingError("give either --history or --prometheus", cure="Name what to look at")
    if prometheus is not None:
        facts = server_facts(server_info(prometheus))
        if as_json:
            show_json(facts)
        else:
            typer.echo("\n".join(f"{name.replace('_', ' ')}: {value}" for name, value in facts.items()))
        return
    opened = load_history(history or Path())
    report = quality(opened)
    if as_json:
        show_json([finite(row) for row in report.to_frame().reset_index().to_dict("records")])
    else:
        typer.echo(repr(opened))
        typer.echo(repr(report))


def server_facts(info: ServerInfo) -> dict[str, Any]:
    """Say in words what a server tells of itself."""
    from kmon_analysis.timing import format_duration

    scrapes = [f"{format_duration(step)} ({count} targets)" for step, count in info.scrape_intervals_ms]
    return {
        "server": info.place,
        "version": info.version or info.application or "unknown",
        "retention": info.retention or "unknown",
        "evaluation_interval": (
            "unknown" if info.evaluation_interval_ms is None else format_duration(info.evaluation_interval_ms)
        ),
        "lookback": "unknown" if info.lookback_ms is None else format_duration(info.lookback_ms),
        "scrape_intervals": ", ".join(scrapes) or "unknown",
    }


@app.command("demo")
def demo_command(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the results.")] = Path("out/demo"),
    scenario: Annotated[
        str,
        typer.Option("--scenario", help="user-service, no-incidents, one-incident, three-incidents, eight-incidents."),
    ] = "user-service",
    max_delay: Annotated[str, typer.Option("--max-delay", help="Longest acceptable delay.")] = "30m",
    as_json: JsonOption = False,
) -> None:
    """Run the main job on bundled data: no server, no network."""
    from kmon_analysis.workflow import demo

    with progress_bar("tuning") as update:
        shown = demo(scenario, max_delay=max_delay, progress=lambda _rule, done, total: update(done, total))
    finish(shown.advice, out, as_json=as_json)
    if shown.confirmation is not None:
        say("\nThe four weeks after, which tuning never saw:")
        say(repr(shown.confirmation))


@app.command("lab")
def lab_command() -> None:
    """Open JupyterLab on the notebooks."""
    import importlib.util
    import os

    if importlib.util.find_spec("jupyterlab") is None:
        raise SettingError("JupyterLab is not installed", cure='Install it with: pip install "kmon-analysis[lab]"')
    notebooks = Path("notebooks")
    target = str(notebooks) if notebooks.is_dir() else "."
    os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", target])  # noqa: S606  # replaces this process


def main() -> None:
    """Run the command line; every error we foresee is one message and an exit status."""
    try:
        app(standalone_mode=True)
    except KmonError as error:
        say(f"kmon: {error}")
        raise SystemExit(error.exit_status) from None
    except KeyboardInterrupt:
        say("kmon: interrupted")
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
