"""What a hostile YAML file may cost; places and values of tabs, aliases and merges."""

import pytest

from kmon_analysis.errors import RuleFileError
from kmon_analysis.rules import document
from kmon_analysis.rules.reader import parse_rules, rule_nodes

HEAD = "groups:\n- name: g\n  rules:\n"


def refusal(text):
    with pytest.raises(RuleFileError) as caught:
        parse_rules(text)
    return caught.value.findings


def test_a_file_full_of_tabs_is_read_once(monkeypatch):
    starts = []
    composed = document.Source._composed
    monkeypatch.setattr(document.Source, "_composed", lambda source: starts.append(source) or composed(source))
    text = HEAD + "".join(f"  - alert: A{i}\t# x\n    expr:\tup\t>\t{i}\t# y\n    for:\t5m\n" for i in range(300))
    assert [rule.text for group in parse_rules(text).groups for rule in group.rules][7] == "up > 7"
    assert len(starts) == 1
    source, alerts = rule_nodes(text)
    spans = source.spans(alerts[299].fields["expr"].value)
    assert text[spans[0].start : spans[-1].end] == "up\t>\t299"


def test_tabs_beyond_the_bound_are_a_finding(monkeypatch):
    monkeypatch.setattr(document, "_MOST_TABS", 2)
    [found] = refusal(HEAD + "  - alert:\tA\n    expr:\tup\n    for:\t5m\n")
    assert (found.line, "YAML allows no tabs there" in found.cure) == (6, True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("groups: " + "[" * 100_000, "nested more than"),
        ("groups: " + "{a: " * 100_000, "nested more than"),
        ("- " * 100_000, "nested more than"),
        ("groups: [&a {rules: [], <<: &b {<<: *a}}]", "contains itself"),
        ("groups: &a [*a]", "contains itself"),
        ("a0: &a0 {x: y}\n" + "".join(f"a{i}: &a{i} {{<<: [{f'*a{i - 1},' * 9}]}}\n" for i in range(1, 40)), "aliases"),
        (f"groups: [{{name: g, rules: &r [{{alert: A, expr: up}}]}}{', {name: h, rules: *r}' * 9}]", "repeated"),
    ],
)
def test_bombs_are_refused_by_name(text, words):
    assert words in refusal(text)[0].problem


def test_aliases_that_rules_are_written_with_are_read():
    labels = "labels: &l {team: a, <<: [&m {x: '1'}, *m]}"
    rules = f"{HEAD}  - &r {{alert: A, expr: up, {labels}}}\n" + "  - {<<: *r, expr: up > 1}\n" * 200
    [group] = parse_rules(rules).groups
    assert (len(group.rules), dict(group.rules[200].labels)) == (201, {"team": "a", "x": "1"})


def test_a_chain_of_merges_is_followed_nearest_first():
    chain = "".join(f"    - &a{i} {{alert: A{i}, <<: *a{i - 1}}}\n" for i in range(1, 150))
    text = f"groups:\n- name: g\n  rules:\n    - &a0 {{alert: A0, expr: up, for: 3m}}\n{chain}"
    last = parse_rules(text).groups[0].rules[-1]
    assert (last.name, last.text, last.for_ms) == ("A149", "up", 180_000)


def test_faults_of_one_long_line_do_not_copy_it_each():
    found = refusal("groups: [{name: g, rules: [" + "{expr: )}, " * 5000 + "]}]")
    assert len(found) == document._MOST_FINDINGS + 1
    assert sum(len(each.excerpt or "") for each in found) == 0
    assert "more than 1000 faults" in found[0].problem
