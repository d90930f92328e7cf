"""Random rule groups: recording rules that feed alerts, and alerts that go pending, fire, are kept and resolve."""

from __future__ import annotations

import random
from typing import Any

from kmon_analysis.timing import format_duration
from tests.conformance.generate.expressions import Expressions, supported
from tests.conformance.generate.series import Kind
from tests.conformance.generate.shapes import V3

__all__ = ["TEMPLATES", "rule_groups"]

# Label templates; none of the values has a tie or a rounding that the two releases print differently.
TEMPLATES = (
    "{{ $labels.topic }}",
    "topic {{ $labels.topic }} of {{ $labels.group }}",
    "{{ $value }}",
    "{{ .Value | humanize }}",
    "{{ $value | humanize1024 }}",
    "{{ humanizeDuration $value }}",
    "{{ $value | humanizePercentage }}",
    '{{ printf "%.2f" $value }}',
    '{{ $value | printf "%.3g" }}',
    '{{ printf "%s is %v" $labels.topic $value }}',
    "{{ $labels.topic | toUpper }}",
    "{{ toLower `ABC` }}{{/* nothing */}}",
    "{{- $labels.none -}}",
    "{{ $labels.pod }}",
    "{{ $externalLabels.region }}!",
)


def rule_groups(rng: random.Random, writer: Expressions, interval_ms: int) -> list[dict[str, Any]]:
    """Return groups as in a rule file; recorded metrics become known to the writer."""
    groups = []
    count = 0
    for number in range(rng.choice([1, 1, 2, 3])):
        rules: list[dict[str, Any]] = []
        for _ in range(rng.choice([1, 2, 2, 3, 4])):
            rules.append(_rule(rng, writer, count, interval_ms))
            count += 1
        group: dict[str, Any] = {"name": f"g{number}", "interval": format_duration(interval_ms), "rules": rules}
        if rng.random() < 0.17:
            group["limit"] = rng.choice([40, 40, 40, 40, 40, 40, 40, 6, 3, 2, 1])
        if writer.versions == (V3,) and rng.random() < 0.7:
            group["labels"] = rng.choice(
                [{"tier": "1"}, {"tier": "1", "topic": "z"}, {"tier": ""}, {"severity": "low"}]
            )
        groups.append(group)
    rng.shuffle(groups)
    return groups


def _rule(rng: random.Random, writer: Expressions, number: int, interval_ms: int) -> dict[str, Any]:
    """Write a rule that is evaluated here."""
    alert = rng.random() < 0.6
    while True:
        rule = _alert(rng, writer, number, interval_ms) if alert else _record(rng, writer, number)
        if supported(rule["expr"], writer.versions):
            return rule


def _record(rng: random.Random, writer: Expressions, number: int) -> dict[str, Any]:
    kind: Kind = rng.choice(["whole", "whole", "any", "any", "distinct"])
    before = dict(writer.records)
    expr = writer.vector(rng.choice([1, 2, 2]), kind)
    rule: dict[str, Any] = {"record": f"level:r{number}", "expr": expr}
    if rng.random() < 0.3:
        rule["labels"] = rng.choice([{"k": "v"}, {"k": "v", "none": ""}, {"tier": "2"}])
    if rng.random() < 0.04:
        # It reads itself.
        kind = "whole"
        rule = {"record": f"level:r{number}", "expr": f"(level:r{number} or vector(0)) + {rng.randrange(1, 4)}"}
    elif rng.random() < 0.05:
        # A fixed time may be looked at once it has come.
        moment = writer.base_s + writer.span_s // 2
        rule["expr"] = f"{writer.selector(kind)} @ {moment} and on () (vector(time()) >= {moment})"
    writer.records.update(before)
    writer.records[rule["record"]] = kind
    return rule


def _condition(rng: random.Random, writer: Expressions) -> str:
    """Write what comes and goes."""
    whole = writer.selector("whole")
    recorded = list(writer.records)
    span = rng.choice(["1m", "2m", "5m"])
    return rng.choice(
        [
            lambda: f"{whole} > {writer.threshold()}",
            lambda: f"{writer.selector('whole', layout='pair')} > {rng.choice(['20', '50', '80'])}",
            lambda: f"{writer.selector('whole', layout='pair')} > {rng.choice(['20', '50', '80'])}",
            lambda: f"sum by (topic) ({whole}) > {rng.choice(['50', '100', '200'])}",
            lambda: f"{writer.selector('whole', layout='pod')} == 0",
            lambda: f"rate({writer.selector('any', counters=True)}[{span}]) > {rng.choice(['0.1', '0.5', '1'])}",
            lambda: f"delta({whole}[{span}]) > 0",
            lambda: f"max_over_time({whole}[{span}]) > {writer.threshold()}",
            lambda: f"absent({whole})",
            # Templates write such values with an exponent, or just without one.
            lambda: f"{whole} * {rng.choice(['1e5', '123457', '1e-6', '1e-5'])} != 0",
            lambda: f"{whole} unless on (topic) {writer.selector('whole', layout='pair')} > 40",
            lambda: f"{rng.choice(recorded)} > {writer.threshold()}" if recorded else f"{whole} < 0",
            lambda: f"{rng.choice(recorded)} != 0" if recorded else f"{whole} != 0",
            lambda: f"{writer.vector(2)} > {writer.threshold()}",
            lambda: writer.vector(2),
            lambda: f"count({whole} > 20) > 1",
            lambda: f"vector(time() % {rng.choice([240, 420])} > bool 100) > 0",
            lambda: f"count(ALERTS) > {rng.choice('012')}",
            lambda: f'max by (topic) (ALERTS{{alertstate="{rng.choice(["firing", "pending"])}"}} offset {span})',
            lambda: f"time() - max by (topic, group) (ALERTS_FOR_STATE) > {rng.choice(['60', '150'])}",
        ]
    )()


def _alert(rng: random.Random, writer: Expressions, number: int, interval_ms: int) -> dict[str, Any]:
    rule: dict[str, Any] = {"alert": f"A{number}", "expr": _condition(rng, writer)}
    if rng.random() < 0.75:
        rule["for"] = format_duration(rng.choice([0, 1, 1, 2, 3, 5]) * interval_ms + rng.choice([0, 0, 0, 7_000]))
    if rng.random() < 0.5:
        rule["keep_firing_for"] = format_duration(rng.choice([1, 2, 4]) * interval_ms + rng.choice([0, 0, 5_000]))
    labels = {"severity": rng.choice(["page", "ticket"])} if rng.random() < 0.5 else {}
    if rng.random() < 0.45:
        labels["text"] = rng.choice(TEMPLATES)
    if rng.random() < 0.03:
        labels["topic"] = rng.choice(["", "z", "{{ $labels.group }}"])
    if labels:
        rule["labels"] = labels
    return rule
