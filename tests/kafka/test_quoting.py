"""Names that hold quotes, backslashes, line breaks, Unicode and braces come out right everywhere."""

from __future__ import annotations

import subprocess

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from kmon_analysis.kafka.dialects import choose, named
from kmon_analysis.kafka.expressions import lag, selector, topic_matchers
from kmon_analysis.kafka.hours import parse_hours
from kmon_analysis.kafka.quoting import alternatives, equals_any, regex_quote, template_text, yaml_quote
from kmon_analysis.kafka.starter import rules_text, starters
from kmon_analysis.kafka.starter_tests import unit_tests
from kmon_analysis.promql.parser import parse
from kmon_analysis.rules.reader import parse_rules
from tests.tools import require

NASTY = (
    'a"b\\c',
    "line\nbreak\ttab",
    "ünï 😀 \u202e",
    "{{ $labels.x }}",
    "`back`",
    "a.b|c*(d)[e]$",
    "%lag%",
    "'",
    "# x: y",
)
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)


@given(TEXT)
def test_a_pattern_matches_its_text_alone(text):
    options = re2.Options()
    options.log_errors = False
    pattern = re2.compile(regex_quote(text), options)
    assert pattern.fullmatch(text)
    assert not pattern.fullmatch(text + "x")


@given(TEXT)
def test_yaml_reads_back_the_text(text):
    written = yaml_quote(text)
    assert "\n" not in written
    assert YAML(typ="safe", pure=True).load(f"a: {written}\n") == {"a": text}


@given(st.lists(TEXT.filter(bool), min_size=1, max_size=4, unique=True), TEXT)
def test_promql_selects_these_and_no_others(values, other):
    expr = parse(f"m{{{equals_any('topic', values)}}}")
    [matcher] = [each for each in expr.matchers if each.name == "topic"]
    assert all(matcher.matches(value) for value in values)
    assert matcher.matches(other) == (other in values)
    assert alternatives(values).count("|") >= len(values) - 1


def test_a_go_template_prints_braces():
    assert template_text("a {{ b }}") == 'a {{ "{{" }} b }}'


@pytest.mark.parametrize("program", ["promtool", "promtool3"])
def test_promtool_runs_rules_for_such_topics(tmp_path, program):
    profile = choose(named("kafka-exporter"))
    hours = parse_hours("Mon-Sun 00:00-24:00", "Europe/Berlin")
    files = []
    for number, topics in enumerate((("".join(NASTY),), NASTY)):
        found = starters(profile, hours=hours, topics=topics)
        text = rules_text(found, profile, hours=hours)
        (tmp_path / f"{number}.yml").write_text(text)
        tests = unit_tests(found, profile, rule_file=f"{number}.yml", hours=hours, topics=topics)
        (tmp_path / f"{number}.tests.yml").write_text(tests)
        files.append(f"{number}.tests.yml")
        assert {rule.name: rule.text for rule in parse_rules(text).alerts} == {
            rule.name: rule.expr for rule in found.rules
        }
        expr = parse(lag(profile, topic_matchers(profile.lag, topics)))
        assert expr is not None
    done = subprocess.run([require(program), "test", "rules", *files], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_fixed_matchers_and_spellings():
    profile = choose(named("msk"))
    assert selector(profile.metrics["lag"]) == 'kafka_consumer_group_ConsumerLagMetrics_Value{name="SumOffsetLag"}'
    assert selector(choose(named("otel")).metrics["lag"], ['topic="t"']) == (
        '{__name__=~"kafka_consumer_group_lag_sum|kafka_consumer_group_lag_sum_ratio",topic="t"}'
    )
