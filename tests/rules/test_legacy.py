"""Prometheus 1.x statements, wherever they turn up."""

from __future__ import annotations

import textwrap

import pytest

from kmon_analysis.errors import RuleFileError
from kmon_analysis.rules.legacy import find_legacy, modern_form
from kmon_analysis.rules.reader import parse_rules

GUIDE = """### Alerting
-   **High Consumer Lag**: `ALERT HighConsumerLag IF kafka_consumer_lag_sum > 1000 FOR 5m`
-   **No Leader**: `ALERT KafkaNoLeader FOR 1m`
-   **Low Message Rate**: `ALERT LowMessageRate IF rate(M[5m]) < 1 FOR 10m` (during expected traffic hours).
"""
FULL = """ALERT InstanceDown
  IF up == 0
  FOR 5m
  LABELS { severity = "page", team='a\\'b' }
  ANNOTATIONS {
    summary = "{{ $labels.instance }}: down",
  }
"""


def test_clauses_are_read():
    [alert] = find_legacy(FULL)
    assert (alert.name, alert.expr, alert.duration) == ("InstanceDown", "up == 0", "5m")
    assert alert.labels == {"severity": "page", "team": "a'b"}
    assert alert.annotations == {"summary": "{{ $labels.instance }}: down"}


def test_the_modern_form_reads():
    [alert] = find_legacy(FULL)
    rule = parse_rules(modern_form(alert)).alert("InstanceDown")
    assert (rule.text, rule.for_ms, rule.labels, rule.annotations) == (
        "up == 0",
        300_000,
        alert.labels,
        alert.annotations,
    )


@pytest.mark.parametrize("expr", ['x{a="b: c"} > 1', "-x > 1", "{a='b'} > 1", "x # y\n > 1"])
def test_the_modern_form_quotes_where_yaml_needs_it(expr):
    [alert] = find_legacy(f"ALERT A IF {expr} FOR 5m")
    assert parse_rules(modern_form(alert)).alert("A").text == alert.expr


def test_the_statements_of_a_guide_are_all_named_with_their_cure():
    with pytest.raises(RuleFileError) as caught:
        parse_rules(GUIDE, "guide.md")
    first, second, third = caught.value.findings
    assert [found.line for found in (first, second, third)] == [2, 3, 4]
    assert "Prometheus 1.x" in first.problem
    assert "has no IF expression" in second.problem
    assert "kmon starter writes" in second.cure
    assert "has no IF" not in third.problem
    yaml = textwrap.dedent(third.cure.split("\n\n")[1])
    assert (parse_rules(yaml).alert("LowMessageRate").text, parse_rules(yaml).alerts[0].for_ms) == (
        "rate(M[5m]) < 1",
        600_000,
    )


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("groups:\n- name: g\n  rules:\n  - alert: A\n    expr: ALERT A IF up == 0 FOR 5m\n", 5, 11),
        ("groups:\n- name: g\n  rules:\n  - alert: A\n    expr: |\n      ALERT A\n        IF up == 0\n", 6, 7),
        ("groups:\n- name: g\n  rules:\n  - ALERT A IF up == 0\n", 4, 5),
        ("groups:\n- name: g\n  rules: ALERT A IF up == 0\n", 3, 10),
        ("groups:\n- ALERT A IF up == 0\n", 2, 3),
        ("rules:\n- alert a if up == 0 for 5m\n", 2, 3),
        (FULL, 1, 1),
    ],
)
def test_anywhere(text, line, column):
    with pytest.raises(RuleFileError) as caught:
        parse_rules(text)
    [found] = caught.value.findings
    assert "Prometheus 1.x" in found.problem
    assert (found.line, found.column) == (line, column)


def test_prose_about_alerts_is_left_alone():
    text = "groups: [{name: g, rules: [{alert: A, expr: up, annotations: {a: 'alert someone if it lasts'}}]}]"
    assert parse_rules(text).alert("A")
