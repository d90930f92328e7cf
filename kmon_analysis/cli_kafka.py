"""The verbs of Kafka's own room: starter rules and the dashboard."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kmon_analysis.cli_options import JsonOption, TimeoutOption, patience_of, with_credentials
from kmon_analysis.cli_terminal import naming, put, put_json, say, working
from kmon_analysis.errors import OutputError, SettingError
from kmon_analysis.timing import span

if TYPE_CHECKING:
    from kmon_analysis.cli_terminal import Work
    from kmon_analysis.kafka.dialects import Profile
    from kmon_analysis.kafka.hours import TrafficHours
    from kmon_analysis.kafka.survey import Survey

__all__ = ["register"]

# Topics of a server whose rows are open at first; the others can be chosen.
MOST_ROWS = 6
DEFAULT_DIALECTS = "founding,recorded"

DialectOption = Annotated[
    str | None,
    typer.Option(
        "--dialect",
        metavar="NAMES",
        help="Whose metric names to use, comma-separated, for example jmx-example,kafka-exporter "
        f"(docs/kafka.md lists all).  [default: {DEFAULT_DIALECTS}]",
    ),
]
ServerOption = Annotated[
    str | None,
    typer.Option("--prometheus", metavar="URL", help="Take the dialects, topics and clusters that this server has."),
]
TopicsOption = Annotated[
    str | None, typer.Option("--topics", metavar="NAMES", help="Only these topics, comma-separated.")
]
ClusterOption = Annotated[
    str | None,
    typer.Option(
        "--cluster-label", metavar="LABEL", help="The label that tells clusters apart, if several are scraped."
    ),
]
ReplaceOption = Annotated[bool, typer.Option("--replace", help="Replace files that are there and differ.")]


def profile_of(
    dialect: str | None, prometheus: str | None, cluster: str | None, timeout: str | None, work: Work
) -> tuple[Profile, Survey | None]:
    """Take the profile from the names given, or from what the server has."""
    from kmon_analysis.cli_doctor import WANTED_MS
    from kmon_analysis.kafka.dialects import choose, named
    from kmon_analysis.sources.connection import Connection, connect
    from kmon_analysis.workflow_kafka import survey_server

    if prometheus is None:
        return choose(named(dialect or DEFAULT_DIALECTS), cluster=cluster), None
    work.begin("asking the server")
    connection = Connection(connect(with_credentials(prometheus)), patience_of(timeout))
    survey = survey_server(connection, last_ms=WANTED_MS, progress=work.update)
    if survey.ended or not survey.dialects:
        raise SettingError(
            survey.ended or f"no metric of a known dialect has a sample in the last {span(WANTED_MS)}",
            place="--prometheus",
            cure="See what is there with kmon doctor --prometheus URL, or name a dialect with --dialect",
        )
    label = cluster or survey.cluster_label
    return choose(survey.dialects, survey.names, cluster=label), survey


def check_source(dialect: str | None, prometheus: str | None, cluster: str | None, timeout: str | None) -> None:
    """Refuse options that contradict each other, before any work."""
    from kmon_analysis.kafka.dialects import named
    from kmon_analysis.sources.connection import check_url

    if dialect is not None and prometheus is not None:
        raise SettingError("both --dialect and --prometheus are given", cure="Name one source of metric names")
    if dialect is not None:
        named(dialect)
    if prometheus is not None:
        check_url(prometheus)
        patience_of(timeout)
    elif timeout is not None:
        raise SettingError("is about a server", place="--timeout", cure="Leave it out without --prometheus")
    if cluster is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", cluster):
        raise SettingError(f"no label name: {cluster!r}", place="--cluster-label", cure="Write letters, digits and _")


def topics_of(text: str | None) -> tuple[str, ...]:
    """Split a list of topics."""
    topics = tuple(dict.fromkeys(part.strip() for part in (text or "").split(",") if part.strip()))
    if text is not None and not topics:
        raise SettingError("no topic is named", place="--topics", cure='Write for example "user.registered,orders"')
    return topics


def check_free(files: Mapping[Path, str], replace: bool) -> None:
    """Refuse to overwrite what somebody may have edited."""
    if replace:
        return
    for path, text in files.items():
        try:
            same = not path.exists() or path.read_bytes() == text.encode()
        except OSError as error:
            raise OutputError(
                f"cannot be read: {error.strerror}", place=str(path), cure="Choose another place"
            ) from None
        if not same:
            raise OutputError(
                "is there already and differs", place=str(path), cure="Add --replace, or choose another place"
            )


def starter_command(
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Folder for the files.")],
    dialect: DialectOption = None,
    prometheus: ServerOption = None,
    hours: Annotated[
        str, typer.Option("--hours", metavar="HOURS", help="When traffic is expected: a low rate matters only then.")
    ] = "Mon-Fri 08:00-20:00",
    zone: Annotated[str, typer.Option("--zone", metavar="ZONE", help="Time zone of --hours: Europe/Berlin.")] = "UTC",
    guard: Annotated[
        str,
        typer.Option(
            "--guard",
            metavar="WHERE",
            help="What keeps to the hours: promql (in the rule, UTC) or alertmanager (local time, mutes only).",
        ),
    ] = "promql",
    topics: TopicsOption = None,
    cluster_label: ClusterOption = None,
    replace: ReplaceOption = False,
    timeout: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write starter alert rules in your own metric names, with recording rules, tests and an Alertmanager snippet."""
    from kmon_analysis.export.files import write_text
    from kmon_analysis.export.verify import find_promtool, verify_files
    from kmon_analysis.kafka.hours import parse_hours, promql_guard

    check_source(dialect, prometheus, cluster_label, timeout)
    if guard not in ("promql", "alertmanager"):
        raise SettingError(f"no such guard: {guard!r}", place="--guard", cure="Write promql or alertmanager")
    find_promtool()
    wanted, traffic = topics_of(topics), parse_hours(hours, zone)
    if guard == "promql":
        promql_guard(traffic)
    with working("starting") as work:
        profile, survey = profile_of(dialect, prometheus, cluster_label, timeout, work)
        files, left_out, recorded = starter_files(profile, traffic, guard, wanted, out, cluster_label, survey)
        check_free(files, replace)
        work.begin("writing")
        for path, text in files.items():
            write_text(path, text)
        work.begin("asking promtool")
        checks = [verify_files(out / "rules.yml", out / "rules_test.yml")]
        checks += [verify_files(out / "recording.yml", out / "recording_test.yml")] if recorded else []
    for line in left_out:
        say(f"left out: {line}")
    if guard == "promql":
        say(f"traffic hours: {traffic.note}")
    if as_json:
        put_json({"files": [str(path) for path in files], "dialects": [each.name for each in profile.dialects]})
    else:
        for path in files:
            put(str(path))
    for found in checks:
        say(found.sentence)
        if not found.ok:
            say("\n".join(check.output for check in (found.check, found.test) if check.outcome == "failed"))
    if not all(found.ok for found in checks):
        raise typer.Exit(1)


def starter_files(
    profile: Profile,
    hours: TrafficHours,
    guard: str,
    topics: tuple[str, ...],
    out: Path,
    cluster: str | None,
    survey: Survey | None,
) -> tuple[dict[Path, str], list[str], bool]:
    """Make the texts of all files, what is left out, and whether there are recording rules."""
    from kmon_analysis.kafka import recording, starter, starter_tests

    where: starter.Guard = "promql" if guard == "promql" else "alertmanager"
    found = starter.starters(profile, hours=hours, guard=where, topics=topics)
    if not found.rules:
        reasons = "; ".join(f"{each.name}: {each.reason}" for each in found.left_out)
        raise SettingError(f"no rule can be written: {reasons}", cure="Name a dialect with lag or message counts")
    files = {
        out / "rules.yml": starter.rules_text(found, profile, hours=hours, guard=where),
        out / "rules_test.yml": starter_tests.unit_tests(found, profile, hours=hours, guard=where, topics=topics),
        out / "alertmanager.yml": starter.alertmanager_text(hours),
    }
    names = survey.names if survey is not None else None
    source = recording.source_of(profile, names)
    if source is not None:
        label = cluster or (survey.cluster_label if survey is not None else None)
        files[out / "recording.yml"] = recording.recording_rules(source, names=names, cluster=label)
        files[out / "recording_test.yml"] = recording.recording_tests(source, names=names, cluster=label)
    return files, [f"{each.name}: {each.reason}" for each in found.left_out], source is not None


def dashboard_command(
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="The dashboard: kafka.json.")],
    dialect: DialectOption = None,
    prometheus: ServerOption = None,
    advice: Annotated[
        Path | None,
        typer.Option("--advice", metavar="FILE", help="advice.json of kmon tune: its thresholds are drawn."),
    ] = None,
    incidents: Annotated[
        Path | None, typer.Option("--incidents", metavar="FILE", help="Past incidents, shown as regions.")
    ] = None,
    topics: TopicsOption = None,
    cluster_label: ClusterOption = None,
    replace: ReplaceOption = False,
    timeout: TimeoutOption = None,
) -> None:
    """Write a Grafana dashboard in your own metric names, with tuned thresholds and past incidents."""
    from kmon_analysis.export.files import write_text
    from kmon_analysis.incidents import Incidents, read_incidents
    from kmon_analysis.kafka.dashboard import GUIDE_TOPICS, STARTING_LIMITS, dashboard, dashboard_text

    check_source(dialect, prometheus, cluster_label, timeout)
    if out.is_dir():
        raise SettingError("this is a folder", place=str(out), cure="Name a file: -o kafka.json")
    wanted = topics_of(topics)
    limits = None if advice is None else read_limits(advice)
    past = Incidents() if incidents is None else read_incidents(incidents)
    with working("starting") as work:
        profile, survey = profile_of(dialect, prometheus, cluster_label, timeout, work)
        if not wanted:
            seen = survey.topics.names if survey is not None else ()
            wanted = tuple(name for name in seen if not name.startswith("__"))[:MOST_ROWS] or GUIDE_TOPICS
        text = dashboard_text(dashboard(profile, topics=wanted, limits=limits, incidents=tuple(past)))
        check_free({out: text}, replace)
        write_text(out, text)
    for name in limits or ():
        if name not in STARTING_LIMITS:
            say(f"note: no panel shows what {name} looks at, so its threshold is not drawn")
    put(str(out))


def read_limits(path: Path) -> dict[str, float]:
    """Read the thresholds of an advice.json."""
    import json

    from kmon_analysis.kafka.dashboard import limits_of

    try:
        advice = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(f"cannot be read: {error.strerror}", place=str(path), cure="Check the path") from None
    except ValueError as error:
        raise SettingError(f"is no JSON: {error}", place=str(path), cure="Give the advice.json of kmon tune") from None
    with naming(str(path)):
        return limits_of(advice)


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.command(
        "starter",
        short_help="Write starter alert rules in your own metric names.",
        epilog="""\b
Examples:
  kmon starter -o alerts --dialect jmx-example,kafka-exporter \\
      --hours "Mon-Fri 08:00-18:00" --zone Europe/Berlin
  kmon starter -o alerts --prometheus http://localhost:9090""",
    )(starter_command)
    app.command(
        "dashboard",
        short_help="Write a Grafana dashboard in your own metric names.",
        epilog="""\b
Examples:
  kmon dashboard -o kafka.json --dialect jmx-example,kafka-exporter
  kmon dashboard -o kafka.json --prometheus http://localhost:9090 \\
      --advice tuned/advice.json --incidents incidents.yml""",
    )(dashboard_command)
