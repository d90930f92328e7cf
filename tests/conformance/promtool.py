"""promtool as the judge: cases as unit tests whose expectations are our answers.

What promtool says of an expectation that fails holds what it got, with all digits. Expectations that its comparison
cannot hold (NaN, which equals nothing; -0, which equals 0) are made to fail and read there.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from kmon_analysis.labels import Labels
from kmon_analysis.timing import format_duration
from tests.conformance.case import Case, in_notation
from tests.conformance.ours import Claims, Question

__all__ = ["Verdict", "ask", "telling", "write"]

UNLIKE = {"labels": '{unlike="any"}', "value": 1}
_TITLE = re.compile(r"^(?:Unit Testing:|Processing test file:)\s+(.*)$", re.MULTILINE)
_EXPR = re.compile(
    r'^    expr: (?P<expr>"(?:[^"\\]|\\.)*"), time: (?P<time>\w+)'
    r"(?:, err: (?P<error>.*)|,\s*\n        exp: .*\n        got: (?P<got>.*))$",
    re.MULTILINE,
)
_RULE = re.compile(r"^    rule: (?P<rule>.*?), time: (?P<time>[\w.]+), err: (?P<error>.*)$", re.MULTILINE)
_SAMPLE = re.compile(r'(?P<name>[\w:]*)(?P<labels>\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\}) (?P<value>\S+?)(?:, |$)')
_METRIC = re.compile(r"[A-Za-z_:][\w:]*|")
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PAIR = re.compile(r'("(?:[^"\\]|\\.)*"|[A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"')

Answer = Mapping[Labels, float] | str


@dataclass
class Verdict:
    """What promtool said of one case.

    Attributes
    ----------
    answers : dict
        By expression and time (as promtool writes it): what it got, or its error, where that was not expected.
    rules : list of (str, str)
        Rules that failed, and why.
    refused : str
        What it said instead, where it did not run the test.
    """

    answers: dict[tuple[str, str], Answer] = field(default_factory=dict)
    rules: list[tuple[str, str]] = field(default_factory=list)
    refused: str = ""


def telling(question: Question) -> bool:
    """Tell whether promtool's own comparison cannot decide."""
    answer = question.answer or {}
    return any(value == 0 or math.isnan(value) for value in answer.values()) or not all(map(_writable, answer))


def _writable(labels: Labels) -> bool:
    """Tell whether promtool can read a label set as we write it: newer releases have names of any kind."""
    return _METRIC.fullmatch(labels.value("__name__")) is not None and all(map(_LABEL.fullmatch, labels))


def write(case: Case, claimed: Claims, folder: Path) -> Path:
    """Write a case as a unit test with its rule file; returns the test's path."""
    folder.mkdir(parents=True, exist_ok=True)
    spelled: dict[Labels, str] = {}
    tests = []
    for question in claimed.questions:
        if question.answer is None or telling(question):
            expected = [UNLIKE]
        else:
            expected = [
                {"labels": spelled.get(labels) or spelled.setdefault(labels, str(labels)), "value": value}
                for labels, value in question.answer.items()
            ]
        tests.append({"expr": question.expr, "eval_time": format_duration(question.time_ms), "exp_samples": expected})
    base = {
        "interval": format_duration(case.step_ms),
        "input_series": [{"series": str(part.labels), "values": in_notation(part, case)} for part in case.series],
    }
    parts = [{**base, "promql_expr_test": [*tests, _until(claimed.end_ms)]}] if tests else []
    if claimed.failing:
        parts.append({**base, "promql_expr_test": [_until(claimed.end_ms + case.interval_ms)]})
    document = {
        "evaluation_interval": format_duration(case.interval_ms),
        "group_eval_order": [group["name"] for group in case.groups],
        "rule_files": ["rules.yml"] if case.groups else [],
        "tests": parts,
    }
    if case.groups:
        (folder / "rules.yml").write_text(json.dumps({"groups": list(case.groups)}, ensure_ascii=False))
    # JSON is YAML, but for infinities.
    text = json.dumps(document, ensure_ascii=False).replace('"value": Infinity', '"value": .inf')
    path = folder / "test.yml"
    path.write_text(text.replace('"value": -Infinity', '"value": -.inf'))
    return path


def _until(time_ms: int) -> dict[str, Any]:
    """Let samples be loaded and rules be evaluated up to a time; both end with the last test."""
    return {"expr": "vector(1)", "eval_time": format_duration(time_ms), "exp_samples": [{"labels": "{}", "value": 1}]}


def ask(program: Path, paths: Sequence[Path]) -> list[Verdict]:
    """Run unit tests in one process."""
    done = subprocess.run(
        [program, "test", "rules", *paths],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    pieces = _TITLE.split(done.stdout)
    said = dict(zip(pieces[1::2], pieces[2::2], strict=True))
    return [_verdict(said.get(str(path), done.stdout[:2000] or "nothing")) for path in paths]


def _verdict(text: str) -> Verdict:
    verdict = Verdict()
    if "FAILED" not in text:
        verdict.refused = "" if "SUCCESS" in text else text.strip()
        return verdict
    for found in _EXPR.finditer(text):
        error = found["error"]
        answer = parsed(found["got"].strip()) if error is None else error
        verdict.answers[json.loads(found["expr"]), found["time"]] = answer
    verdict.rules = [(found["rule"], found["error"]) for found in _RULE.finditer(text)]
    if not verdict.answers and not verdict.rules:
        verdict.refused = text.strip()
    return verdict


def parsed(text: str) -> dict[Labels, float]:
    """Read an instant vector as promtool writes it."""
    found: dict[Labels, float] = {}
    position = 0
    while position < len(text) and text != "nil":
        sample = _SAMPLE.match(text, position)
        if sample is None:
            raise ValueError(f"promtool wrote {text[position:]!r}")
        found[labels_of(sample["name"], sample["labels"])] = float(sample["value"])
        position = sample.end()
    return found


@lru_cache(maxsize=65536)
def labels_of(name: str, text: str) -> Labels:
    """Read a label set."""
    labels = {
        json.loads(label) if label[0] == '"' else label: json.loads(f'"{value}"')
        for label, value in _PAIR.findall(text)
    }
    return Labels({**labels, "__name__": name} if name else labels)
