"""The verbs around the integration health endpoint: `kmon health serve`, `check`, `rules` and `limit`."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kmon_analysis.cli_options import JsonOption
from kmon_analysis.cli_terminal import put, put_json, say
from kmon_analysis.errors import SettingError

if TYPE_CHECKING:
    from kmon_analysis.health.settings import Settings

__all__ = ["health_app"]

health_app = typer.Typer(name="health", help="The integration health endpoint: is Kafka there, are events delivered.")

ConfigOption = Annotated[Path, typer.Option("--config", metavar="FILE", help="What is checked: integrations.yml.")]
NEEDED = ("confluent_kafka", "prometheus_client", "sqlalchemy", "starlette", "uvicorn")


def _settings(path: Path) -> Settings:
    """Read a configuration, once everything that it needs is installed."""
    absent = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if absent:
        problem = f"the health endpoint needs {', '.join(absent)}"
        raise SettingError(problem, cure='Install it with: pip install "kmon-analysis[health]"')
    from kmon_analysis.health.reader import read_settings

    return read_settings(path)


@health_app.command("serve")
def serve_command(config: ConfigOption) -> None:
    """Serve /health/integrations and /metrics until a signal ends it.

    Listens on loopback unless the configuration says otherwise.
    """
    settings = _settings(config)
    import logging

    from kmon_analysis.health.serve import serve

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")

    def ready(address: str) -> None:
        say(f"listening on {address}: /health/integrations, /metrics, /openapi.json")

    serve(settings, ready)


@health_app.command("check")
def check_command(config: ConfigOption, as_json: JsonOption = False) -> None:
    """Run all checks once: exit status 0 if all are up, 1 if one is down; for probes and cron."""
    settings = _settings(config)
    import asyncio

    from kmon_analysis.health.application import make_prober
    from kmon_analysis.health.outcome import body

    prober = make_prober(settings)
    answer = body(asyncio.run(prober.outcomes()))
    prober.close()
    if as_json:
        put_json(answer)
    else:
        for name, entry in answer["details"].items():
            facts = {key: value for key, value in entry.items() if key not in ("status", "message")}
            told = [entry["message"]] if "message" in entry else []
            told += [f"{key.replace('_', ' ')} {value}" for key, value in facts.items()]
            put(f"{entry['status']:<4}  {name}{'  ' if told else ''}{'; '.join(told)}")
    if answer["status"] != "ok":
        raise typer.Exit(1)


@health_app.command("rules")
def rules_command() -> None:
    """Print starter rules on the endpoint's metrics, with why and what to do; tune them with kmon tune."""
    from importlib import resources

    put(resources.files("kmon_analysis.health").joinpath("rules.yml").read_text(encoding="utf-8").rstrip("\n"))


@health_app.command("limit")
def limit_command(
    config: ConfigOption,
    advice: Annotated[Path, typer.Option("--advice", metavar="FILE", help="advice.json of kmon tune.")],
    rule: Annotated[str, typer.Option("--rule", help="The tuned rule on the age of pending events.")] = "OutboxStalled",
    event: Annotated[str | None, typer.Option("--event", help="Change this event only.")] = None,
) -> None:
    """Put the tuned limit of a rule into the configuration; all else in the file stays as it is.

    The limit is the rule's threshold plus its "for": the endpoint answers at once.
    """
    import json

    from kmon_analysis.export.files import write_text
    from kmon_analysis.health.limits import set_limits, tuned_limit_ms
    from kmon_analysis.health.reader import parse_settings, read_settings

    _settings(config)
    try:
        told = json.loads(advice.read_text(encoding="utf-8"))
        limit_ms = tuned_limit_ms(told, rule)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no advice of kmon tune"
        raise SettingError(f"cannot be read: {reason}", place=str(advice), cure="Name an advice.json") from None
    read_settings(config)
    text, changed = set_limits(config.read_text(encoding="utf-8"), str(config), limit_ms, event)
    import os

    parse_settings(text, str(config), os.environ, config.parent)
    write_text(config, text)
    for each in changed:
        say(f"{each.event}: max_age {each.before} -> {each.after}")
