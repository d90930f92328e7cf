"""``kmon verify``: rules and their tests before promtool, or the replay beside what a server recorded."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kmon_analysis.cli_options import (
    EndOption,
    IntervalOption,
    JsonOption,
    LastOption,
    PhaseOption,
    RulePathOption,
    Samples,
    StartOption,
    TimeoutOption,
    VersionOption,
    make_settings,
)
from kmon_analysis.cli_terminal import put, put_json, say, working
from kmon_analysis.errors import SettingError
from kmon_analysis.labels import Labels
from kmon_analysis.timing import MINUTE_MS, duration, format_instant

if TYPE_CHECKING:
    from prometheus_api_client import PrometheusConnect

    from kmon_analysis.backtest.evidence import Explained
    from kmon_analysis.backtest.settings import Settings
    from kmon_analysis.workflow_verify import RealityCheck

__all__ = ["register", "verify_command", "verify_reality"]

# Differences that are listed; all of them with --json.
MOST_LISTED = 40


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command(
        "verify",
        short_help="Check rules with promtool, or a replay with a server.",
        epilog="""\b
Examples:
  kmon verify tuned
  kmon verify rules.yml --tests rules_test.yml
  kmon verify --prometheus http://localhost:9090 --rules rules.yml --last 6h""",
    )(verify_command)


def verify_command(
    rules: Annotated[
        Path | None, typer.Argument(metavar="[PATH]", help="Rule file, or a folder with rules.yml and rules_test.yml.")
    ] = None,
    tests: Annotated[
        Path | None, typer.Option("--tests", metavar="FILE", help="Unit tests for promtool; they name their rule file.")
    ] = None,
    prometheus: Annotated[
        str | None,
        typer.Option("--prometheus", metavar="URL", help="Compare the replay with the alerts this server recorded."),
    ] = None,
    deployed: Annotated[
        Path | None, typer.Option("--rules", metavar="FILE", help="With --prometheus: the rules as deployed there.")
    ] = None,
    last: LastOption = None,
    start: StartOption = None,
    end: EndOption = None,
    timeout: TimeoutOption = None,
    semantics: VersionOption = None,
    evaluation_interval: IntervalOption = None,
    phase: PhaseOption = None,
    rule_path: RulePathOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check rules and their unit tests with promtool; exits with 1 when it objects.

    With --prometheus, replay the deployed rules and compare with what the server recorded in ALERTS; exits with 1
    unless every difference has a proven cause.
    """
    from kmon_analysis.export.verify import find_promtool, verify_files

    if prometheus is not None:
        if rules is not None or tests is not None:
            raise SettingError(
                "a path for promtool and --prometheus are given", cure="With --prometheus, give --rules FILE"
            )
        if last is None and start is None:
            last = "6h"
        samples = Samples(None, prometheus, last, start, end, None, timeout)
        settings = make_settings(None, "5m", semantics, evaluation_interval, phase, rule_path)
        verify_reality(samples.prometheus or prometheus, deployed, samples, settings, as_json=as_json)
        return
    about_server = {
        "--rules": deployed, "--last": last, "--start": start, "--end": end, "--timeout": timeout,
        "--semantics": semantics, "--evaluation-interval": evaluation_interval, "--phase": phase,
        "--rule-path": rule_path,
    }  # fmt: skip
    for option, value in about_server.items():
        if value is not None:
            raise SettingError("is about a server", place=option, cure="Give --prometheus URL, or leave it out")
    if rules is None:
        raise SettingError(
            "neither PATH nor --prometheus is given", cure="Give a rule file, a folder, or --prometheus URL"
        )
    if rules.is_dir():
        beside = rules / "rules_test.yml"
        rules, tests = rules / "rules.yml", tests or (beside if beside.exists() else None)
    for path in (rules, tests):
        if path is not None and not path.is_file():
            what = "this is a folder" if path.is_dir() else "there is no such file"
            raise SettingError(what, place=str(path), cure="Check the path")
    if find_promtool() is None:
        raise SettingError(
            "nothing was verified: promtool was not found on PATH or at KMON_PROMTOOL",
            cure="Install it (it comes with Prometheus), or set KMON_PROMTOOL to its path",
        )
    with working("asking promtool"):
        found = verify_files(rules, tests)
    if found.check.outcome == "failed":
        check_yaml(rules)
    if as_json:
        put_json({"version": found.version, "check": found.check.outcome, "test": found.test.outcome, "ok": found.ok})
    say(found.sentence)
    if not found.ok:
        outputs = [check.output for check in (found.check, found.test) if check.outcome == "failed"]
        lines = [line for output in outputs for line in output.splitlines() if line.strip()]
        # promtool repeats itself.
        say("\n".join(line for line, _ in groupby(lines)))
        raise typer.Exit(1)


def check_yaml(path: Path) -> None:
    """Refuse a file that is no YAML as every verb does: it is bad input, not a finding about rules."""
    from kmon_analysis.errors import RuleFileError
    from kmon_analysis.rules.document import Source

    source = Source(path.read_text(encoding="utf-8", errors="replace"), str(path))
    source.documents()
    if source.findings:
        raise RuleFileError(source.findings)


def verify_reality(
    prometheus: str | PrometheusConnect,
    rules: Path | None,
    samples: Samples,
    settings: Settings,
    *,
    as_json: bool,
) -> None:
    """Compare with a server, and show what was found; exits with 1 unless every difference is explained."""
    from kmon_analysis.rules.reader import read_rules
    from kmon_analysis.workflow_verify import check_reality

    if rules is None:
        raise SettingError("neither rules nor an export is given", cure="Give --rules FILE, as deployed on that server")
    read = read_rules(rules)
    with working("asking") as work:
        found = check_reality(
            prometheus,
            read,
            **samples.range,
            settings=settings,
            patience=samples.patience,
            stage=work.begin,
            progress=lambda state: work.update(state.done, state.total),
        )
    if as_json:
        put_json(found.to_json())
    else:
        put(report(found))
    for note in found.notes:
        say(f"note: {note}")
    if not found.ok:
        raise typer.Exit(1)


def report(found: RealityCheck) -> str:
    """Write the table and the list of differences."""
    if not found.compared and found.lead:
        return _line(found.lead)
    window = found.window
    span = f"{format_instant(window.start_ms)} to {format_instant(window.end_ms)}"
    head = f"{_line(found.place)}, {span}, replayed as Prometheus {found.version}"
    lines = [*([_line(found.lead), ""] if found.lead else []), head, "", *_table(found), "", *_summary(found)]
    ordered, numbers = found.listed(), found.numbered(MOST_LISTED)
    for verdict, each in ordered[:MOST_LISTED]:
        lines.append(_difference(verdict.rule.name, each, [numbers[cause] for cause in each.causes]))
    lines += [f"[{number}] {cause.kind}: {_line(cause.evidence)}" for cause, number in numbers.items()]
    if len(ordered) > MOST_LISTED:
        lines.append(f"… and {len(ordered) - MOST_LISTED} more (--json lists all)")
    return "\n".join(lines)


def _line(text: str) -> str:
    return text.replace("\n", "\\n")


def _minutes(duration_ms: int) -> str:
    return f"{duration_ms / MINUTE_MS:.2f}"


def _table(found: RealityCheck) -> list[str]:
    """Line up what was recorded, replayed and agreed."""
    rows: list[Sequence[str]] = [
        ("rule", "firing min recorded", "replayed", "agreed", "firings recorded", "replayed", "matched", "equal states")
    ]
    for verdict in found.verdicts:
        name, plain = _line(verdict.rule.name), verdict.plain
        if plain is None:
            rows.append((name, "not compared", *[""] * 6))
            continue
        states = f"{plain.agreed} of {plain.evaluations}"
        rows.append((name, *map(_minutes, plain.firing_ms), *map(str, plain.firings), states))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) if not place else cell.rjust(width) for place, (cell, width) in
                  enumerate(zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]  # fmt: skip


def _summary(found: RealityCheck) -> list[str]:
    """Count the differences by what is known of them."""
    compared = [verdict for verdict in found.verdicts if verdict.plain is not None and verdict.told is not None]
    states = sum(verdict.plain.evaluations for verdict in compared if verdict.plain)
    plain = sum(verdict.plain.agreed for verdict in compared if verdict.plain)
    told = sum(verdict.told.agreed for verdict in compared if verdict.told)
    beginnings = [
        sum(pair[place] for pair in side)
        for side in ([one.beginnings for one in compared], [one.beginnings_told for one in compared])
        for place in (1, 0)
    ]
    counts = dict.fromkeys(("proven", "probable", "unexplained"), 0)
    for each in found.differences:
        counts[each.verdict] += 1
    lines = [
        f"{plain} of {states} states (evaluations of each alert) agree; {told} of {states} once the causes below are "
        "replayed",
        "{} of {} beginnings of alerts (ALERTS_FOR_STATE) agree; {} of {} with the causes".format(*beginnings),
        f"{len(found.differences)} differences: {counts['proven']} with a proven cause, {counts['probable']} with a "
        f"probable one, {counts['unexplained']} unexplained",
    ]
    return lines + [
        f"{_line(verdict.rule.name)} was not compared: {_line(verdict.refused)}"
        for verdict in found.verdicts
        if verdict.refused
    ]


def _difference(name: str, each: Explained, causes: Sequence[int]) -> str:
    one = each.difference
    shown = Labels({key: text for key, text in one.labels.items() if key != "alertname"})
    why = "".join(f" [{number}]" for number in causes)
    return (
        f"{_line(name)}{_line(str(shown))} {format_instant(one.interval.start_ms)} for "
        f"{duration(one.interval.duration_ms)}: recorded {one.recorded}, replayed {one.replayed}: "
        f"{each.verdict}{why}"
    )
