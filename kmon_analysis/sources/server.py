"""What a Prometheus server says of itself."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kmon_analysis.errors import SettingError
from kmon_analysis.sources.connection import Connection, plain
from kmon_analysis.timing import parse_duration

__all__ = ["ServerInfo", "about", "ask_server"]


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What a server says of itself; None or empty where it does not say.

    Attributes
    ----------
    place : str
        URL without credentials.
    version : str or None
        Prometheus release, for example ``"2.42.0"``; None for relatives that number otherwise.
    application : str
        What the server calls itself when it is no plain Prometheus.
    retention : str
        For example ``"15d"``.
    lookback_ms : int or None
        ``--query.lookback-delta``.
    max_samples : int or None
        ``--query.max-samples``.
    evaluation_interval_ms : int or None
        Global interval of rule evaluations.
    scrape_intervals_ms : tuple of (int, int)
        Scrape intervals of the active targets and how many targets use each, most used first; the
        global one with 0 targets when there are none.
    external_labels : Mapping or None
        ``global.external_labels``; None when the configuration cannot be read.
    """

    place: str
    version: str | None = None
    application: str = ""
    retention: str = ""
    lookback_ms: int | None = None
    max_samples: int | None = None
    evaluation_interval_ms: int | None = None
    scrape_intervals_ms: tuple[tuple[int, int], ...] = ()
    external_labels: Mapping[str, str] | None = None


def ask_server(connection: Connection) -> ServerInfo:
    """Ask for build, flags, configuration and targets; what is missing is left out."""
    build = _mapping(connection.read("/api/v1/status/buildinfo"))
    flags = _mapping(connection.read("/api/v1/status/flags"))
    runtime = _mapping(connection.read("/api/v1/status/runtimeinfo"))
    config = _mapping(connection.read("/api/v1/status/config")).get("yaml")
    targets = _mapping(connection.read("/api/v1/targets?state=active")).get("activeTargets")
    settings = _global_settings(config) if isinstance(config, str) else {}
    intervals = Counter(
        interval
        for target in (targets if isinstance(targets, list) else ())
        if (interval := _duration(_mapping(target).get("scrapeInterval"))) is not None
    )
    stated = _duration(settings.get("scrape_interval"))
    if not intervals and stated is not None:
        intervals[stated] = 0
    version, application = str(build.get("version", "")), str(build.get("application", ""))
    release = re.match(r"v?(\d+\.\d+\.\d+[^+]*)", version)
    # Relatives count their own releases: Thanos from 0, Mimir and Cortex say their name.
    is_prometheus = release is not None and not release[1].startswith("0.") and not application
    max_samples = str(flags.get("query.max-samples", ""))
    retention = str(runtime.get("storageRetention") or flags.get("storage.tsdb.retention.time") or "")
    labels = settings.get("external_labels", {}) if isinstance(config, str) else None
    return ServerInfo(
        place=connection.place,
        version=release[1] if release and is_prometheus else None,
        application=plain(application or ("" if is_prometheus else version)),
        retention=plain(retention),
        lookback_ms=_duration(flags.get("query.lookback-delta")),
        max_samples=int(max_samples) if max_samples.isdigit() else None,
        evaluation_interval_ms=_duration(settings.get("evaluation_interval")),
        scrape_intervals_ms=tuple(intervals.most_common()),
        external_labels={str(name): str(value) for name, value in labels.items()} if labels is not None else None,
    )


def about(info: ServerInfo) -> dict[str, Any]:
    """Return what of a server's settings belongs into a history."""
    facts = {
        "application": info.application or None,
        "retention": info.retention or None,
        "lookback_ms": info.lookback_ms,
        "evaluation_interval_ms": info.evaluation_interval_ms,
    }
    return {name: value for name, value in facts.items() if value is not None}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _duration(text: Any) -> int | None:
    try:
        return parse_duration(text) if isinstance(text, str) else None
    except SettingError:
        return None


def _global_settings(config: str) -> dict[str, Any]:
    """Return the ``global`` block of a Prometheus configuration."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        document = YAML(typ="safe", pure=True).load(config)
    except YAMLError:
        return {}
    return dict(_mapping(_mapping(document).get("global")))
