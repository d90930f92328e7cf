"""Scenarios as directories: history, incidents and deployed rules, written once and found again."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from kmon_analysis.errors import OutputError
from kmon_analysis.history import History, Provenance
from kmon_analysis.sources.simulation.scenarios import Simulation, parameters_of, simulate
from kmon_analysis.timing import format_instant

__all__ = ["differences", "history_of", "incidents_text", "load_scenario", "rules_text", "shipped", "write_scenario"]

_METRICS = (
    "kafka_consumer_lag_sum",
    "kafka_controller_KafkaController_ActiveControllerCount",
    "kafka_controller_KafkaController_OfflinePartitionsCount",
    "kafka_server_BrokerTopicMetrics_BytesInPerSec",
    "kafka_server_BrokerTopicMetrics_MessagesInPerSec",
    "kafka_server_ReplicaManager_LeaderCount",
    "up",
)


def load_scenario(name: str, cache_dir: str | Path | None = None) -> Path:
    """Return the directory of a scenario, and simulate it first if nobody has yet.

    Parameters
    ----------
    name : str
        One of ``SCENARIOS``.
    cache_dir : str or Path, optional
        Where to keep it; ``kmon/scenarios`` in the user's cache when not given. The directory is
        named after the scenario and a hash of its parameters, so an outdated one is never used.

    Returns
    -------
    Path
        Holds ``manifest.json`` with its samples, ``incidents.yml`` and ``rules.yml``. For
        ``user-service`` in a source tree it is the one shipped there.

    Raises
    ------
    SettingError
        If there is no such scenario.
    OutputError
        If the cache cannot be written.
    """
    parameters = parameters_of(name)
    if cache_dir is None:
        at_hand = shipped(name, parameters)
        if at_hand is not None:
            return at_hand
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kmon" / "scenarios"
    else:
        base = Path(cache_dir)
    place = base / f"{name}-{parameters['hash']}"
    if place.is_dir():
        return place
    beside = base / f".{place.name}.{secrets.token_hex(4)}.partial"
    try:
        base.mkdir(parents=True, exist_ok=True)
        write_scenario(simulate(name), beside)
        beside.rename(place)
    except OSError as error:
        # Another process may have been faster; its result is the same.
        if not place.is_dir():
            cure = "Give another cache directory" if cache_dir else "Set XDG_CACHE_HOME to a folder you may write to"
            raise OutputError(f"cannot be written: {error.strerror or error}", place=str(place), cure=cure) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return place


def shipped(name: str, parameters: Mapping[str, Any] | None = None) -> Path | None:
    """Return the directory of a scenario in the source tree, or None.

    Parameters
    ----------
    name : str
        One of ``SCENARIOS``.
    parameters : Mapping, optional
        If given, a history made from others is not accepted; the version of NumPy may differ.
    """
    place = Path(__file__).resolve().parents[3] / "data" / name
    try:
        manifest = json.loads((place / "manifest.json").read_text(encoding="utf-8"))
        made_from = dict(manifest["provenance"]["extra"]["parameters"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    own = ("hash", "numpy")
    if parameters is not None and {k: v for k, v in made_from.items() if k not in own} != {
        k: v for k, v in parameters.items() if k not in own
    }:
        return None
    return place


def write_scenario(simulation: Simulation, path: Path) -> None:
    """Write a simulation as a directory: history, ``incidents.yml`` and ``rules.yml``.

    Raises
    ------
    OutputError
        If the directory holds anything but a history, or cannot be written.
    """
    history_of(simulation).save(path)
    for name, text in (("incidents.yml", incidents_text(simulation)), ("rules.yml", rules_text())):
        beside = path / f".{name}.partial"
        beside.write_text(text, encoding="utf-8", newline="\n")
        beside.replace(path / name)


def differences(simulation: Simulation, path: Path) -> list[str]:
    """Say in what a directory differs from a simulation; empty if in nothing.

    Notes
    -----
    Samples are compared by their content: another version of pyarrow may pack the same samples into
    other bytes.
    """
    found = []
    stored, made = History.open(path), history_of(simulation)
    if stored.digest != made.digest:
        found.append(f"{path}: the samples differ: {stored.digest[:12]} on disk, {made.digest[:12]} simulated")
    if stored.provenance != made.provenance:
        found.append(f"{path / 'manifest.json'}: the provenance differs")
    for name, text in (("incidents.yml", incidents_text(simulation)), ("rules.yml", rules_text())):
        if (path / name).read_text(encoding="utf-8") != text:
            found.append(f"{path / name}: the text differs")
    return found


def history_of(simulation: Simulation) -> History:
    """Return the simulation's series as a history, with all parameters in its provenance."""
    return History(
        simulation.series,
        Provenance(
            source=f"simulator {simulation.scenario}",
            start_ms=simulation.interval.start_ms,
            end_ms=simulation.interval.end_ms,
            queries=_METRICS,
            scrape_interval_ms=simulation.scrape_interval_ms,
            warnings=("simulated data, not a recording of a real service",),
            extra={"parameters": dict(simulation.parameters)},
        ),
    )


def rules_text() -> str:
    """Return the rule file that the simulated team has deployed."""
    return resources.files(__package__).joinpath("rules.yml").read_text(encoding="utf-8")


def incidents_text(simulation: Simulation) -> str:
    """Return the team's list of incidents and excluded windows as YAML."""
    about = f"# Incidents of the simulated user service, {simulation.scenario}: what the team wrote down, times in UTC."
    lines = [about, "incidents:" if simulation.incidents else "incidents: []"]
    for each in simulation.incidents:
        lines += [
            f"- id: {each.id}",
            f"  start: {format_instant(each.interval.start_ms)}",
            f"  end: {format_instant(each.interval.end_ms)}",
            f"  labels: {_flow(each.labels)}",
            f"  rules: [{', '.join(each.rules)}]",
            f"  must_page: {str(each.must_page).lower()}",
            f"  kind: {each.kind}",
            f"  cause: {json.dumps(each.cause)}",
        ]
    lines.append("excluded:" if simulation.excluded else "excluded: []")
    for window in simulation.excluded:
        lines += [
            f"- start: {format_instant(window.interval.start_ms)}",
            f"  end: {format_instant(window.interval.end_ms)}",
            f"  reason: {json.dumps(window.reason)}",
        ]
    return "\n".join(lines) + "\n"


def _flow(labels: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{name}: {value}" for name, value in labels.items()) + "}"
