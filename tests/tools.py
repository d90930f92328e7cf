"""Find the real programs and recordings that some tests need.

A test asks by name and gets a path. When the thing is absent the test is skipped with a plain
reason, but it fails where ``KMON_REQUIRE`` (comma-separated names) lists that name: CI lists all,
so nothing is skipped there in silence.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

__all__ = ["REPOSITORY", "dataset", "require"]

REPOSITORY = Path(__file__).resolve().parent.parent
# Programs of Prometheus 3.x, which no distribution packages here.
JUDGES = {"promtool3": "promtool", "prometheus3": "prometheus"}


def require(name: str) -> Path:
    """Return the path of a program such as ``promtool``, or skip (or fail) the test.

    Parameters
    ----------
    name : str
        The program's name on PATH, a key of `JUDGES`, ``"kafka"`` (which runs a class of Kafka's), ``"jmx"`` (the
        JMX exporter's agent, which came with Kafka), or ``"axe"`` (the script of axe-core).
        ``KMON_<NAME>`` (for example ``KMON_PROMTOOL``, ``KMON_PROMTOOL3``) points to a file elsewhere and wins.
    """
    variable = "KMON_" + re.sub(r"\W", "_", name).upper()
    if stated := os.environ.get(variable):
        path = Path(stated).expanduser()
        if not path.is_file():
            pytest.fail(f"{variable} names {stated!r}, which is not a file", pytrace=False)
        return path.resolve()
    if name in JUDGES:
        built = judges_folder() / JUDGES[name]
        if not built.is_file():
            absent(name, f"{JUDGES[name]} 3.x is not built (make judges; looked at {variable} too)")
        return built
    if name == "kafka":
        program = cache_folder() / f"kafka-{stated_version('kafka')}" / "run"
        if not program.is_file() or shutil.which("java") is None:
            absent(name, f"Kafka is not here, or java is not (make judges; looked at {variable} too)")
        return program
    if name == "jmx":
        agent = cache_folder() / f"kafka-{stated_version('kafka')}" / "agent" / "jmx_exporter.jar"
        if not agent.is_file() or shutil.which("java") is None:
            absent(
                name, f"the JMX exporter's agent is not here, or java is not (make judges; looked at {variable} too)"
            )
        return agent
    if name == "axe":
        script = cache_folder() / f"axe-{stated_version('axe')}" / "axe.min.js"
        if not script.is_file():
            absent(name, f"axe-core is not here (make judges; looked at {variable} too)")
        return script
    found = shutil.which(name)
    if found is None:
        absent(name, f"{name} is not installed (looked on PATH and at {variable})")
    return Path(found)


def judges_folder() -> Path:
    """Return the folder into which ``make judges`` builds Prometheus 3.x."""
    return cache_folder() / "judges" / f"prometheus-{stated_version('build')}"


def stated_version(script: str) -> str:
    """Return the version that a script in ``tests/judges`` brings."""
    version = re.search(r"^VERSION=(\S+)", (REPOSITORY / "tests" / "judges" / script).read_text(), re.MULTILINE)
    assert version is not None
    return version[1]


def cache_folder() -> Path:
    """Return the folder that outlives checkouts."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kmon"


def dataset(name: str) -> Path:
    """Return the folder of a recorded data set such as ``ingress``, or skip (or fail) the test.

    The folder is looked for in ``KMON_DATASETS``, else in ``shared/datasets`` beside the repository.
    """
    stated = os.environ.get("KMON_DATASETS")
    folder = Path(stated).expanduser() if stated else REPOSITORY.parent / "shared" / "datasets"
    path = folder / name
    if not path.is_dir():
        absent(name, f"the data set {name!r} is not here (looked in KMON_DATASETS and ../shared/datasets)")
    return path


def absent(name: str, reason: str) -> NoReturn:
    """Skip the running test, or fail it where ``KMON_REQUIRE`` lists `name`."""
    required = {item.strip() for item in os.environ.get("KMON_REQUIRE", "").split(",")}
    if name in required:
        pytest.fail(f"{reason}, and KMON_REQUIRE lists it", pytrace=False)
    pytest.skip(reason, allow_module_level=True)
