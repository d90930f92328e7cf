"""Prometheus 1.x rules (``ALERT x IF y FOR z``): recognised, and offered in their modern form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from kmon_analysis.labels import quote

__all__ = ["LegacyAlert", "find_legacy", "modern_form"]

_START = re.compile(r"\bALERT\s+([A-Za-z_]\w*)(?=\s+(?:IF|FOR|LABELS|ANNOTATIONS|WITH)\b)", re.IGNORECASE)
_BRACES = r"\{(?:[^{}\"']|\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')*\}"
_FOR = re.compile(r"\s+FOR\s+([0-9]+(?:ms|[smhdwy]))\b", re.IGNORECASE)
_IF = re.compile(
    r"\s+IF\s+(.+?)(?=\s+FOR\s+[0-9]|\s+(?:LABELS|ANNOTATIONS|WITH)\s*\{|\s+(?:SUMMARY|DESCRIPTION|RUNBOOK)\s+[\"']"
    r"|\n[ \t]*\r?\n|\s*\Z)",
    re.IGNORECASE | re.DOTALL,
)
_SET = re.compile(rf"\s+(LABELS|WITH|ANNOTATIONS)\s*({_BRACES})", re.IGNORECASE)
_TEXT = re.compile(r"\s+(SUMMARY|DESCRIPTION|RUNBOOK)\s+(\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')", re.IGNORECASE)
_PAIR = re.compile(r"([A-Za-z_]\w*)\s*=\s*(\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')")

_MISSING = "# the condition is missing; kmon starter writes Kafka's alerts with theirs"


@dataclass(frozen=True, slots=True)
class LegacyAlert:
    """One ``ALERT`` statement.

    Attributes
    ----------
    name : str
        The alert.
    expr : str or None
        Text behind ``IF``; None where the statement has none, which even 1.x refused.
    duration : str or None
        Text behind ``FOR``.
    labels, annotations : Mapping
        As written, unquoted.
    start : int
        Offset of ``ALERT`` in the text.
    """

    name: str
    expr: str | None
    duration: str | None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    start: int = 0


def find_legacy(text: str) -> list[LegacyAlert]:
    """Find the Prometheus 1.x alert statements in a text.

    Examples
    --------
    >>> [found] = find_legacy("ALERT HighLag IF lag > 1000 FOR 5m")
    >>> found.name, found.expr, found.duration
    ('HighLag', 'lag > 1000', '5m')
    """
    starts = list(_START.finditer(text))
    ends = [*(match.start() for match in starts[1:]), len(text)][: len(starts)]
    return [_statement(text, match, end) for match, end in zip(starts, ends, strict=True)]


def _statement(text: str, match: re.Match[str], end: int) -> LegacyAlert:
    """Read the clauses of one statement."""
    if text[match.start() - 1 : match.start()] == "`" and "`" in text[match.end() : end]:
        end = text.index("`", match.end())
    rest, at = text[:end], match.end()
    expr = duration = None
    sets: dict[str, dict[str, str]] = {"labels": {}, "annotations": {}}
    while True:
        if expr is None and (found := _IF.match(rest, at)):
            expr = " ".join(found[1].split())
        elif duration is None and (found := _FOR.match(rest, at)):
            duration = found[1]
        elif found := _SET.match(rest, at):
            pairs = {name: _unquoted(value) for name, value in _PAIR.findall(found[2])}
            sets["annotations" if found[1].lower() == "annotations" else "labels"].update(pairs)
        elif found := _TEXT.match(rest, at):
            sets["annotations"][found[1].lower()] = _unquoted(found[2])
        else:
            return LegacyAlert(match[1], expr, duration, sets["labels"], sets["annotations"], match.start())
        at = found.end()


def _unquoted(literal: str) -> str:
    """Strip the quotes of a 1.x string."""
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], literal[1:-1])


def modern_form(alert: LegacyAlert, *, group: str = "alerts") -> str:
    """Write the statement as a rule file of today.

    Examples
    --------
    >>> print(modern_form(LegacyAlert("HighLag", "lag > 1000", "5m")))
    groups:
      - name: alerts
        rules:
          - alert: HighLag
            expr: lag > 1000
            for: 5m
    """
    lines = ["groups:", f"  - name: {group}", "    rules:", f"      - alert: {alert.name}"]
    lines.append(f"        expr: {_scalar(alert.expr) if alert.expr else _MISSING}")
    if alert.duration:
        lines.append(f"        for: {alert.duration}")
    for title, pairs in (("labels", alert.labels), ("annotations", alert.annotations)):
        if pairs:
            lines.append(f"        {title}:")
            lines += [f"          {name}: {quote(value)}" for name, value in pairs.items()]
    return "\n".join(lines)


def _scalar(text: str) -> str:
    """Write an expression as a YAML scalar, plain where that is safe."""
    if text[0] in "{[&*!|>%@`\"'#-?," or ": " in text or " #" in text or text.endswith(":"):
        return "'" + text.replace("'", "''") + "'"
    return text
