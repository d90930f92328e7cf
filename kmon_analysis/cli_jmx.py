"""The verbs of ``kmon jmx``: write a configuration of the JMX exporter, and lint one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kmon_analysis.cli_options import JsonOption
from kmon_analysis.cli_terminal import naming, put, put_json, say, working

__all__ = ["jmx_app"]

jmx_app = typer.Typer(
    name="jmx",
    help="Write and check configurations of the Prometheus JMX exporter for Kafka.",
    no_args_is_help=False,
    rich_markup_mode=None,
)


@jmx_app.command(
    "init",
    short_help="Write a configuration of the JMX exporter for Kafka.",
    epilog="""\b
Examples:
  kmon jmx init
  kmon jmx init --idiomatic -o kafka-jmx-config.yml""",
)
def init_command(
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="A new file; nothing is overwritten. By default stdout."),
    ] = None,
    idiomatic: Annotated[
        bool,
        typer.Option("--idiomatic", help="Names in small letters and counters with _total, instead of Kafka's names."),
    ] = False,
) -> None:
    """Write a configuration of the JMX exporter that gives the metrics of the rules, topics as labels."""
    from kmon_analysis.kafka.jmx_init import jmx_configuration, write_new

    text = jmx_configuration(idiomatic=idiomatic)
    if out is None:
        put(text.rstrip("\n"))
        return
    write_new(out, text)
    say(f"written: {out}")


@jmx_app.command(
    "lint",
    short_help="Say what a configuration of the JMX exporter exports of Kafka, and what is wrong with it.",
    epilog="""\b
Example:
  kmon jmx lint kafka-jmx-config.yml""",
)
def lint_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Configuration of the exporter, YAML.")],
    exporter_version: Annotated[
        str, typer.Option("--exporter-version", metavar="RELEASE", help="Release to replay, from 1.0 to 1.6.")
    ] = "1.0.1",
    as_json: JsonOption = False,
) -> None:
    """Replay a configuration over Kafka's MBeans: what series come out, what is lost, shadowed or counted twice.

    Exits with 1 when there are faults, with 2 when the exporter would refuse the file.
    """
    from kmon_analysis.kafka.jmx_lint import lint_jmx
    from kmon_analysis.kafka.jmx_replay import ExporterVersion

    with naming("--exporter-version"):
        ExporterVersion.parse(exporter_version)
    with working("replaying"):
        found = lint_jmx(file, exporter_version=exporter_version)
    if as_json:
        put_json(found.to_json())
    else:
        put(str(found))
    if found.faults:
        raise typer.Exit(1)
