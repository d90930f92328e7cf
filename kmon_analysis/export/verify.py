"""Asking promtool about exported files."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from kmon_analysis.errors import SettingError

__all__ = ["Outcome", "ToolCheck", "Verification", "find_promtool", "promtool_version", "verify_files"]

Outcome = Literal["ok", "failed", "absent", "skipped", "empty"]

_TESTED: Mapping[Outcome, str] = {
    "ok": "their unit tests passed",
    "failed": "their unit tests FAILED",
    "skipped": "their unit tests were not there to run",
    "absent": "their unit tests did not run",
    "empty": "no unit test was run, since the file of tests holds none",
}
_VERSION = re.compile(r"promtool, version (\S+)")
_RESOURCE = re.compile(r"^\"?kind\"?:\s*[\"']?PrometheusRule\b", re.MULTILINE)
_CONTROL = re.compile(r"[^\S\n]|[^\x20-\x7e\n\u00a0-\ud7ff\ue000-\uffff]")


@dataclass(frozen=True, slots=True)
class ToolCheck:
    """One run of promtool.

    Attributes
    ----------
    outcome : {"ok", "failed", "absent", "skipped", "empty"}
        ``absent``: no promtool; ``skipped``: no file to check; ``empty``: a file of unit tests that holds none.
    output : str
        What promtool printed.
    """

    outcome: Outcome
    output: str = ""


@dataclass(frozen=True, slots=True)
class Verification:
    """What promtool said about a rule file and its unit tests.

    Attributes
    ----------
    version : str or None
        promtool's version; None when there is none.
    check, test : ToolCheck
        ``promtool check rules`` and ``promtool test rules``.
    missing : str
        The rule file, where there is none.
    """

    version: str | None
    check: ToolCheck
    test: ToolCheck
    missing: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing failed; an absent promtool is no failure, and `sentence` says so."""
        return "failed" not in (self.check.outcome, self.test.outcome)

    @property
    def sentence(self) -> str:
        """The result in words."""
        if self.version is None:
            return "Not verified: promtool was not found on PATH or at KMON_PROMTOOL."
        if self.missing:
            return f"Not verified: there is no file {self.missing}."
        accepted = "accepts" if self.check.outcome == "ok" else "REFUSES"
        return f"promtool {self.version} {accepted} the rules; {_TESTED[self.test.outcome]}."


def find_promtool() -> Path | None:
    """Return promtool's path: ``KMON_PROMTOOL``, else the first on PATH, else None.

    Raises
    ------
    SettingError
        If ``KMON_PROMTOOL`` names no file.
    """
    stated = os.environ.get("KMON_PROMTOOL")
    if stated:
        path = Path(stated).expanduser()
        if not path.is_file():
            raise SettingError(f"KMON_PROMTOOL names {stated!r}, which is not a file", cure="Correct or unset it")
        return path.resolve()
    found = shutil.which("promtool")
    return Path(found) if found else None


def promtool_version(promtool: Path) -> str:
    """Return the version of a promtool, for example ``2.42.0``; "unknown" when it does not say."""
    check = _run([str(promtool), "--version"], Path.cwd(), 30.0)
    match = _VERSION.search(check.output)
    return match[1].partition("+")[0] if match else "unknown"


def verify_files(
    rules_path: str | Path, tests_path: str | Path | None = None, *, timeout_s: float = 600.0
) -> Verification:
    """Check a rule file, and run its unit tests, with promtool.

    Parameters
    ----------
    rules_path : str or Path
        The rule file.
    tests_path : str or Path, optional
        The unit tests; a missing file counts as none.
    timeout_s : float
        Longest run of each, in seconds.

    Returns
    -------
    Verification
        Without promtool both outcomes are ``absent``.

    Raises
    ------
    SettingError
        If ``KMON_PROMTOOL`` names no file, or the tests are about other rules.

    Notes
    -----
    Kubernetes documents are shown to promtool as the plain rule file that they stand for.
    """
    promtool = find_promtool()
    if promtool is None:
        return Verification(None, ToolCheck("absent"), ToolCheck("absent"))
    rules = Path(rules_path).resolve()
    tests = Path(tests_path).resolve() if tests_path is not None and Path(tests_path).is_file() else None
    if not rules.is_file():
        return Verification(promtool_version(promtool), ToolCheck("failed"), ToolCheck("skipped"), rules.name)
    named, empty = (None, False) if tests is None else _told(tests)
    if tests is not None and named is not None:
        _check_tested(named, tests, rules, str(tests_path), str(rules_path))
    plain = _plain_form(rules)
    with tempfile.TemporaryDirectory(prefix="kmon-") as folder:
        if plain is not None:
            rules = Path(folder) / rules.name
            rules.write_text(plain, encoding="utf-8")
            if tests is not None:
                tests = Path(shutil.copy(tests, folder))
        check = _run([str(promtool), "check", "rules", "--lint=none", rules.name], rules.parent, timeout_s)
        test = ToolCheck("skipped")
        if tests is not None:
            test = _run([str(promtool), "test", "rules", tests.name], tests.parent, timeout_s)
            if test.outcome == "ok" and empty:
                # promtool calls that a success.
                test = ToolCheck("empty", test.output)
    return Verification(promtool_version(promtool), check, test)


def _told(tests: Path) -> tuple[list[str] | None, bool]:
    """Return which rule files a file of unit tests names, None where it does not say, and whether it holds no test."""
    try:
        content = YAML(typ="safe", pure=True).load(tests)
    except (OSError, ValueError, YAMLError):
        # promtool says it better.
        return None, False
    if not isinstance(content, dict):
        return None, not content
    named = content.get("rule_files")
    return [str(name) for name in named] if isinstance(named, list) else None, not content.get("tests")


def _check_tested(named: Sequence[str], tests: Path, rules: Path, shown: str, shown_rules: str) -> None:
    """Refuse unit tests of other files, which say nothing about these rules."""
    if any(found.is_file() and found.samefile(rules) for name in named for found in _matched(tests.parent, name)):
        return
    raise SettingError(
        f"tests {', '.join(map(repr, named)) or 'no rule file'}, not {shown_rules}",
        place=f"{shown}: rule_files",
        cure="Name these rules under rule_files, or give the tests that are theirs",
    )


def _matched(folder: Path, pattern: str) -> Iterable[Path]:
    """Return the files that promtool takes for a rule file: of a pattern, absolute or from the folder of the tests."""
    path = Path(pattern)
    if not path.parts:
        return ()
    return Path(path.anchor).glob(str(path.relative_to(path.anchor))) if path.anchor else folder.glob(pattern)


def _plain_form(path: Path) -> str | None:
    """Return the groups of Kubernetes documents as a rule file; None for anything else."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    if not _RESOURCE.search(text):
        return None
    try:
        documents = list(YAML(typ="safe", pure=True).load_all(text))
        specs = [one["spec"] for one in documents if isinstance(one, dict) and one.get("kind") == "PrometheusRule"]
        groups = [dict(group) for spec in specs for group in spec.get("groups") or []]
    except (YAMLError, KeyError, TypeError, AttributeError, ValueError):
        return None
    for group in groups:
        group.pop("partial_response_strategy", None)
    # JSON is YAML, and there is no layout to keep.
    return json.dumps({"groups": groups}, default=str)


def _run(command: Sequence[str], folder: Path, timeout_s: float) -> ToolCheck:
    """Run promtool in a folder, without a shell and without a terminal."""
    # A name that starts with a dash would be read as an option.
    safe = [*command[:-1], f"./{command[-1]}"] if command[-1].startswith("-") and len(command) > 2 else list(command)
    try:
        done = subprocess.run(
            safe,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return ToolCheck("failed", f"promtool did not end within {timeout_s:g} s")
    except OSError as error:
        return ToolCheck("failed", f"promtool cannot be started: {error.strerror or error}")
    output = _CONTROL.sub(" ", done.stdout.decode("utf-8", "replace")).strip()
    return ToolCheck("ok" if done.returncode == 0 else "failed", output)
