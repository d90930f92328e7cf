"""Reading rule files: positions, all findings at once, and promtool as the judge of what is valid."""

from __future__ import annotations

import subprocess

import pytest

from kmon_analysis.errors import RuleFileError, SettingError
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.rules.reader import parse_rules, read_rules
from tests.tools import require

BROKEN = r"""# a comment
groups:
- name: g
  intervall: 1m
  rules:
  - alert: A
    expr: |
      sum(rate(x[5m]))
        > > 1000
    for: 5
  - alert: B
    expr: "foo{a=\"b\"} > > 3"
    labels: {a-b: x, c: '{{ $value'}
  - record: r
    alert: C
    expr: foo
      +
      * 3
  - expr: up
  - alert: D
  - alert: E
    expr: [1]
  - record: r
    expr: 'it is ''no'' PromQL'
    for: 1m
- name: g
  rules: {alert: x}
- rules: 5
"""


def findings(text, **options):
    with pytest.raises(RuleFileError) as caught:
        parse_rules(text, "r.yml", **options)
    return caught.value.findings


def test_all_findings_come_at_once_with_their_places():
    found = [(f.line, f.column, f.problem) for f in findings(BROKEN)]
    assert found == [
        (4, 3, "unknown key 'intervall' in a group"),
        (9, 11, "invalid PromQL in 'A': unexpected '>' where an operand should be"),
        (10, 10, "'for' is not a duration: '5'"),
        (12, 27, "invalid PromQL in 'B': unexpected '>' where an operand should be"),
        (13, 14, "invalid label name 'a-b'"),
        (13, 25, "label 'c': '{{' is never closed"),
        (14, 5, "rule 3 of group 'g' has both 'alert' and 'record'"),
        (18, 7, "invalid PromQL in 'C': unexpected '*' where an operand should be"),
        (19, 5, "rule 4 of group 'g' has neither 'alert' nor 'record'"),
        (20, 5, "'D' has no 'expr'"),
        (22, 11, "'expr' must be text, not a list"),
        (24, 15, "invalid PromQL in 'r': unexpected 'is' after the expression"),
        (25, 5, "recording rule 'r' has 'for'"),
        (26, 3, "group 'g' is repeated; the first is on line 3"),
        (27, 10, "'rules' must be a list, not a mapping"),
        (28, 3, "a group has no 'name'"),
        (28, 10, "'rules' must be a list, not a text"),
    ]
    for finding in findings(BROKEN):
        assert finding.cure
        assert BROKEN.splitlines()[finding.line - 1] == finding.excerpt


def test_values_are_read_as_prometheus_reads_them():
    file = parse_rules(
        """
groups:
- name: 5
  interval: 30s
  query_offset: 1m
  limit: 0x10
  labels: {team: data, severity: none}
  rules:
  - record: topic:lag:sum
    expr: sum by (topic) (lag)
  - alert: true
    expr: >-
      lag
      > 1000
    for: 1m30s
    keep_firing_for: 2m
    labels: {severity: page, n: 3, gone: }
    annotations: {text: 'lag is {{ $value }}'}
  - alert: Other
    expr: up == 0
""",
        "r.yml",
    )
    [group] = file.groups
    first, second = file.alerts
    assert (group.name, group.interval_ms, group.query_offset_ms, group.limit) == ("5", 30_000, 60_000, 16)
    assert (first.name, first.text, first.for_ms, first.keep_firing_for_ms) == ("true", "lag > 1000", 90_000, 120_000)
    assert dict(first.labels) == {"team": "data", "severity": "page", "n": "3", "gone": ""}
    assert (first.index, first.line, first.column, first.key) == (1, 11, 5, ("5", "true", 1))
    assert dict(second.labels) == {"team": "data", "severity": "none"}
    assert [rule.record for rule in file.recordings] == ["topic:lag:sum"]
    assert file.group_of(second) is group
    assert isinstance(hash(first), int)


def test_an_unknown_alert_offers_near_names():
    file = parse_rules("groups: [{name: g, rules: [{alert: HighConsumerLag, expr: lag > 1}]}]")
    with pytest.raises(SettingError, match="Did you mean HighConsumerLag"):
        file.alert("HighLag")


def test_valid_promql_outside_the_subset_is_no_read_error():
    assert parse_rules("groups: [{name: g, rules: [{alert: A, expr: 'acosh(x) > 1'}]}]").alert("A")


def test_names_that_only_prometheus_3_allows():
    text = "groups: [{name: g, rules: [{alert: A, expr: up, labels: {my.label: x}}]}]"
    assert "Prometheus 3" in findings(text)[0].cure
    assert parse_rules(text, semantics=Semantics.of("3.5")).alert("A").labels == {"my.label": "x"}


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("", 1, 1, "empty"),
        ("\ufeff\n", 1, 1, "empty"),
        ("# only this\n", 1, 1, "only comments"),
        ("groups: [", 1, 10, "not valid YAML"),
        ("groups:\n\t- name: g", 2, 1, "not valid YAML"),
        ("groups:\n- name: a: b\n", 2, 10, "mapping values"),
        ("groups: *nothing", 1, 9, "undefined alias"),
        ("groups: \x01", 1, 9, "U+0001"),
        ("[" * 5000, 1, 101, "nested more than 100 levels"),
        ("a: b", 1, 1, "unknown key 'a'"),
        ("- a", 1, 1, "not a list"),
        ("groups:\n- name: g\n  name: h\n", 3, 3, "repeated"),
        ("groups:\n- name: g\n  [a]: h\n", 3, 3, "a list"),
        ("kind: PrometheusRule\nmetadata: {}\n", 1, 1, "no 'spec'"),
    ],
)
def test_files_that_are_no_rule_files(text, line, column, words):
    [found] = findings(text)
    assert (found.line, found.column) == (line, column)
    assert words in found.problem
    assert found.cure


def test_kubernetes_documents():
    file = parse_rules(
        """apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata: {name: x, labels: {role: alert-rules}}
spec:
  groups:
  - name: k
    partial_response_strategy: abort
    rules:
    - alert: A
      expr: up > 1
---
kind: ConfigMap
""",
        "k.yml",
    )
    assert [rule.name for rule in file.alerts] == ["A"]
    assert "passed over" in file.notes[0].problem


def test_a_second_document_is_noted():
    file = parse_rules("groups: []\n---\ngroups: []\n")
    assert (file.notes[0].line, "ignores" in file.notes[0].problem) == (3, True)


def test_unreadable_files(tmp_path):
    (tmp_path / "latin.yml").write_bytes(b"# caf\xc3\xa9\n# caf\xe9\n")
    cases = {"missing.yml": "no such file", ".": "directory", "latin.yml": "not UTF-8: byte 0xe9"}
    for name, words in cases.items():
        with pytest.raises(RuleFileError, match=words):
            read_rules(tmp_path / name)


def test_anchors_and_merges():
    file = parse_rules(
        "groups:\n- name: g\n  rules:\n  - &a {alert: A, expr: &e up > 1, for: 5m}\n  - <<: *a\n    alert: B\n"
        "  - {alert: C, expr: *e}\n"
    )
    assert [(rule.name, rule.text, rule.for_ms) for rule in file.alerts] == [
        ("A", "up > 1", 300_000),
        ("B", "up > 1", 300_000),
        ("C", "up > 1", 0),
    ]


RULE = "groups:\n- name: g\n  rules:\n  - "
JUDGED = {
    "merge": RULE + "&a {alert: A, expr: up}\n  - <<: *a\n    alert: B\n",
    "documents": "groups: []\n---\nnonsense: 1\n",
    "nulls": "groups:\n- name: g\n  interval:\n  limit:\n  rules:\n  - alert: A\n    expr: 5 > bool 3\n    for:\n"
    "    labels:\n    annotations: ~\n  - \n",
    "empty label": RULE + "{alert: A, expr: up, labels: {a: }}",
    "number label": RULE + "{alert: A, expr: up, labels: {a: 5, b: true}}",
    "for without unit": RULE + "{alert: A, expr: up, for: 5}",
    "for zero": RULE + "{alert: A, expr: up, for: 0}",
    "for empty": RULE + "{alert: A, expr: up, for: ''}",
    "for blank": RULE + "{alert: A, expr: up, for: ' 5m'}",
    "for negative": RULE + "{alert: A, expr: up, for: -5m}",
    "for list": RULE + "{alert: A, expr: up, for: [5m]}",
    "for fraction": RULE + "{alert: A, expr: up, for: 1.5m}",
    "for mixed": RULE + "{alert: A, expr: up, for: 1h30m5s20ms}",
    "for unordered": RULE + "{alert: A, expr: up, for: 30m1h}",
    "expr null": RULE + "{alert: A, expr: ~}",
    "expr missing": RULE + "{alert: A}",
    "expr number": RULE + "{record: a, expr: 5}",
    "expr string": RULE + "{alert: A, expr: '\"x\"'}",
    "expr matrix": RULE + "{alert: A, expr: 'up[5m]'}",
    "expr blanks": RULE + "{alert: A, expr: ' \n '}",
    "expr scalar comparison": RULE + "{alert: A, expr: '1 > 2'}",
    "expr bad regex": RULE + "{alert: A, expr: 'up{a=~\"(\"}'}",
    "recording annotations": RULE + "{record: a, expr: up, annotations: {a: b}}",
    "recording name": RULE + "{record: a-b, expr: up}",
    "both": RULE + "{record: a, alert: b, expr: up}",
    "neither": RULE + "{expr: up}",
    "label name": RULE + "{alert: A, expr: up, labels: {a-b: x}}",
    "name label": RULE + "{alert: A, expr: up, labels: {__name__: x}}",
    "annotation name": RULE + "{alert: A, expr: up, annotations: {a-b: x}}",
    "open template": RULE + "{alert: A, expr: up, annotations: {a: '{{ $value'}}",
    "duplicate key": RULE + "{alert: A, expr: up, labels: {a: b, a: c}}",
    "odd alert name": RULE + "{alert: 'A b:c', expr: up}",
    "duplicate group": "groups: [{name: g}, {name: g}]",
    "no group name": "groups: [{rules: []}]",
    "empty group name": "groups: [{name: ''}]",
    "no groups": "groups:\n",
    "groups mapping": "groups: {}",
    "rules mapping": "groups: [{name: g, rules: {alert: A, expr: up}}]",
    "rule text": "groups: [{name: g, rules: [foo]}]",
    "limit text": "groups: [{name: g, limit: x}]",
    "limit negative": "groups: [{name: g, limit: -5}]",
    "limit quoted": "groups: [{name: g, limit: '5'}]",
    "interval zero": "groups: [{name: g, interval: 0s}]",
    "unknown rule key": RULE + "{alert: A, expr: up, severity: page}",
    "unknown group key": "groups: [{name: g, rulez: []}]",
    "unknown key": "groups: []\nnamespace: x\n",
    "list": "- a\n",
    "legacy": "ALERT A IF up == 0 FOR 5m\n",
    "legacy rule": RULE + "ALERT A IF up == 0 FOR 5m\n",
    "byte order mark": "\ufeffgroups: []\n",
    "tabs inside lines": "groups:\n- name: g\n  rules:\n  - alert: A\n    expr:\tup\t>\t1\t# x\n    for:\t5m\n",
    "tab as indentation": "groups:\n- name: g\n\trules: []\n",
}


@pytest.mark.parametrize("case", JUDGED)
def test_promtool_accepts_exactly_what_we_read(case, tmp_path):
    path = tmp_path / "rules.yml"
    path.write_text(JUDGED[case])
    judged = subprocess.run(
        [require("promtool"), "check", "rules", "--lint=none", path], capture_output=True, text=True, check=False
    )
    try:
        read_rules(path)
        read = 0
    except RuleFileError:
        read = 1
    assert read == judged.returncode, judged.stdout + judged.stderr
