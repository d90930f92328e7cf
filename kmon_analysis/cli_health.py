"""The verbs around the integration health endpoint: `kmon health serve`, `check` and `limit`."""

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

health_app = typer.Typer(
    name="health", help="The integration health endpoint: is Kafka there, are events delivered.", no_args_is_help=True
)

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
