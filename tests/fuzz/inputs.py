"""Hostile inputs: random, mutated, deep, huge, and outright bombs; all from one random number generator."""

import json
import random
from functools import cache
from pathlib import Path

from kmon_analysis.kafka.jmx_init import jmx_configuration
from kmon_analysis.rules.reader import read_rules
from tests.conformance.generate.cases import make
from tests.health.test_reader import GOOD
from tests.kafka import configs
from tests.promql import generate
from tests.tools import REPOSITORY

__all__ = ["KINDS", "draw"]

KINDS = ("expression", "rules", "template", "pattern", "incidents", "duration", "series", "jmx", "health")
PIECES = (
    "(", ")", "{", "}", "[", "]", "{{", "}}", "{{ end }}", "{{ if ", "|", "&a ", "*a", "<<: ", "!!int ",
    "\t", "\r", "\n",
    "\x00", "\x85", "\ufeff", "\ud800", "\u2028", "é", "😀", "'", '"', "`", "\\", "\\x", "\\u12", "- ", "? ",
    ": ", ", ",
    "# ", " </ ", ">/", "---\n", "=~", "!=", "..", "1e999", "0x", "NaN", "Inf", "-", "^", "@ ", "@ end()", " offset -",
    "[5m:]", "[1y:1ms]",
    "9" * 400, "99999999999y", "292y", "1ms", "0s", " by (", " on() group_left ", " bool ", "$value",
    "$labels.", "printf ",
    "(a+)+$", "(?i)", "a{1000}", "[^\\d", ".*" * 50,
)  # fmt: skip


def _files() -> tuple[str, ...]:
    found = [*sorted((REPOSITORY / "data").rglob("*.yml")), *sorted((REPOSITORY / "kmon_analysis").rglob("*.yml"))]
    return tuple(Path(path).read_text(encoding="utf-8")[:6_000] for path in found)


FILES = _files()
INCIDENTS = "incidents:\n- {id: a, start: 2026-03-01T08:00:00Z, end: 2026-03-01T09:00:00Z, labels: {topic: x}}\n"
TABLE = "id,start,end,labels\na,2026-03-01T08:00:00Z,2026-03-01T09:00:00Z,topic=x\n"
JMX = jmx_configuration()
RULES = (
    "groups:\n- name: g\n  interval: 1m\n  rules:\n  - alert: A\n    expr: {}\n    for: 5m\n    labels: {{team: b}}\n"
)


@cache
def real_expressions() -> tuple[str, ...]:
    """Return what real rules ask."""
    files = [
        *sorted((REPOSITORY / "data").rglob("*rules*.yml")),
        *sorted((REPOSITORY / "data/rule-packs").glob("*.yml")),
    ]
    return tuple(rule.text for path in files for group in read_rules(path).groups for rule in group.rules)


@cache
def made(number: int):
    """Return a case of the comparison with Prometheus."""
    return make(11, number)


def draw(rng: random.Random) -> tuple[str, str]:
    """Return a kind and a text; lone surrogates stand for bytes that are not UTF-8."""
    kind = rng.choice(KINDS)
    if kind == "expression":
        writers = (
            lambda: generate.Expressions(rng, any_order=True).any(),
            lambda: rng.choice(made(rng.randrange(20)).expressions),
            lambda: rng.choice(real_expressions()),
            lambda: _deep_expression(rng),
        )
        text = rng.choice(writers)()
    elif kind == "rules":
        base = [rng.choice(FILES), RULES.format("x > 1"), RULES.format(generate.Expressions(rng).any()), _bomb(rng)]
        base.append(json.dumps({"groups": made(rng.randrange(20)).groups}))
        text = rng.choice(base)
    elif kind == "template":
        text = rng.choice(
            ("{{ $value | humanize }}", "{{ $labels.topic }}", '{{ printf "%.3f" $value }}', _deep(rng, "{{", "}}"))
        )
    elif kind == "pattern":
        text = rng.choice(
            ("a.*|b", "(a|b)+", _deep(rng, "(", ")"), "(a{1000}){1000}", "((a*)*)*" * rng.randrange(1, 300))
        )
    elif kind == "incidents":
        text = rng.choice((INCIDENTS, TABLE, INCIDENTS * rng.randrange(1, 9), _bomb(rng)))
    elif kind == "duration":
        text = rng.choice(("5m", "1h30m", "2026-03-01T08:00:00Z", "9" * rng.randrange(1, 6_000) + "s"))
    elif kind == "jmx":
        text = rng.choice((configs.random_config(rng), rng.choice(list(configs.ODD.values())), JMX, _bomb(rng)))
    elif kind == "health":
        text = rng.choice((GOOD, GOOD, GOOD.replace("kafka-1", rng.choice(PIECES)), _bomb(rng)))
    else:
        text = rng.choice(('lag{topic="a",group="b"}', "lag", "{" + ",".join(f'l{i}="x"' for i in range(500)) + "}"))
    return kind, mutated(rng, text) if rng.random() < 0.7 else text


def mutated(rng: random.Random, text: str) -> str:
    """Cut, repeat, move and insert."""
    for _ in range(rng.choice((1, 1, 2, 3, 10))):
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + rng.choice((0, 1, 1, 5, 40)))
        middle = rng.choice(
            (
                "",
                text[start:end] * 2,
                rng.choice(PIECES),
                chr(rng.randrange(0x2FF)),
                rng.choice(PIECES) * rng.choice((2, 150)),
            )
        )
        text = text[:start] + middle + text[end:]
    return text


def _deep(rng: random.Random, opening: str, closing: str) -> str:
    depth = rng.choice((50, 99, 101, 1_000, 10_000))
    return opening * depth + "1" + closing * (depth - rng.choice((0, 0, 1)))


def _deep_expression(rng: random.Random) -> str:
    many = rng.choice((60, 299, 301, 10_000))
    return rng.choice(
        (
            _deep(rng, "(", ")"),
            _deep(rng, "sum(", ")"),
            _deep(rng, "-", ""),
            _deep(rng, "- +", ""),
            _deep(rng, "x[", "]"),
            rng.choice((" + ", "^", " or ", " and ", " == bool ")).join(["lag"] * many),
            "lag" + "[5m:1m]" * many,
            "max_over_time(lag[30y:1ms])",
            "max_over_time((lag offset 9y)[200y:1s])",
            "lag @ " + "9" * many,
            "lag > " + "9" * many,
            "rate(lag[" + "1h" * many + "])",
            'lag{topic=~"' + "(a|" * many + ")" * many + '"}',
            "lag{" + ",".join(['topic!="a"'] * many) + "}",
            'label_replace(lag, "a", "$1", "topic", "(.*)*")',
            'topk(1e308, lag) or count_values("v", lag)',
        )
    )


def _bomb(rng: random.Random) -> str:
    lists = "a: &a0 [x]\n" + "".join(f"b{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9))
    merged = "  - &a0 {alert: A}\n" + "".join(
        f"  - &a{i} {{<<: [{','.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 9)
    )
    many = rng.choice((90, 101, 1_000, 5_000))
    alike = "rules: &r [" + "&a {alert: A, expr: up}, " + "*a, " * many + "]"
    return rng.choice(
        (
            lists + "groups: *a8\n",
            "groups:\n- name: g\n  rules:\n" + merged,
            "groups: &a\n- *a\n",
            "groups:\n- &a\n  <<: *a\n  name: g\n  rules: []\n",
            f"groups: [{{name: g, {alike}}}{', {name: h, rules: *r}' * many}]",
            f"groups: [{{name: g, {alike}}}]",
            f"groups: [{{name: g, rules: [{'{expr: )}, ' * many}]}}]",
            "rules:\n" + "- &a {pattern: '(.*)(.*)(.*)x', name: a}\n" + "- *a\n" * min(many, 300),
            "a: '" + "\n" * many + "'\n" + "\t" * many,
            "x" * many + ": " + "y z\n " * many,
            "groups: " + "[" * many + "]" * many,
            "{a: " * many + "}" * many,
            "".join(" " * depth + "a:\n" for depth in range(min(many, 1_000))),
            "- " * many + "a\n",
            "? " * many,
            "groups:\n- name: g\n  rules:\n"
            + "".join(f"  - alert: A{i}\n    expr:\tx > 1\n" for i in range(min(many, 300))),
            "groups:\n- name: g\n  rules:\n"
            + "".join(f"  - alert: A{i}\n    expr: x\t> 1\n" for i in range(min(many, 300))),
            "groups:\n- {name: g, limit: " + "9" * many + ", interval: " + "9" * many + "s, rules: []}\n",
            "---\n" * many,
            "groups:\n- name: g\n  rules:\n" + "  - alrt: A\n    expr: x >\n" * min(many, 1_000),
        )
    )
