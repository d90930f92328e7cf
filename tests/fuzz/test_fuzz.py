"""A short seeded run, and what longer runs have found."""

import random
import time

import pytest

from kmon_analysis.errors import KmonError
from kmon_analysis.labels import compiled
from kmon_analysis.promql.parser import parse
from kmon_analysis.rules.reader import parse_rules
from kmon_analysis.timing import parse_duration
from tests.fuzz.__main__ import main
from tests.fuzz.feed import LIMIT_S, feed
from tests.fuzz.inputs import KINDS, draw
from tests.fuzz.runner import run

GROUP = "groups:\n- name: g\n  rules:\n"


def test_a_short_run(tmp_path):
    began, seen = time.process_time(), set()
    for number in range(150):
        kind, text = draw(random.Random(f"3/{number}"))
        seen.add(kind)
        wrong, _ = feed(kind, text, tmp_path)
        assert not wrong, (number, text[:300])
        if time.process_time() - began > 12 and seen == set(KINDS):
            break
    assert seen == set(KINDS)


FOUND = {
    "a subquery of a trillion steps": ("expression", "max_over_time(lag[30y:1ms])"),
    "one of its own for each evaluation": ("expression", "max_over_time((lag @ end())[30y:1ms])"),
    "a pattern of ten thousand groups": ("expression", 'lag{topic=~"' + "(a|" * 10_000 + ")" * 10_000 + '"}'),
    "half a character in a pattern": ("pattern", "a\ud800"),
    "a limit of five thousand digits": ("rules", GROUP.replace("rules:", "limit: " + "9" * 5_000 + "\n  rules: []")),
    "an interval of five thousand digits": (
        "rules",
        GROUP.replace("rules:", "interval: " + "9" * 5_000 + "s\n  rules: []"),
    ),
    "a duration of six thousand digits": ("duration", "9" * 6_000 + "s"),
    "subqueries of subqueries": ("expression", "lag" + "[5m:1m]" * 10_000),
    "a refused chain of subqueries": ("expression", "lag" + "[5m:1m]" * 300 + "[5m]"),
    "groups that share rules that share": (
        "rules",
        "groups: [{name: g, rules: &r [&a {alert: A, expr: up}" + ", *a" * 600 + "]}" + ", {rules: *r}" * 600 + "]",
    ),
    "half a character in a string": ("expression", 'absent(load{group=~"x\udc80"})'),
    "openings that are never closed": ("template", "{{" * 20_000),
    "a pipe of eight thousand functions": ("template", "{{ $value " + "| humanize " * 8_000 + "}}"),
    "ten thousand brackets": ("rules", "groups: " + "[" * 10_000 + "]" * 10_000),
    "five thousand levels of lists": ("rules", "- " * 5_000 + "a"),
    "tabs inside values": ("rules", GROUP + "".join(f"  - alert: A{i}\n    expr: x\t> 1\n" for i in range(300))),
    "merges of merges": (
        "rules",
        GROUP
        + "  - &a0 {alert: A, expr: x}\n"
        + "".join(f"  - &a{i} {{<<: [{','.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 12)),
    ),
    "a mapping that merges itself": ("rules", "groups:\n- &a\n  <<: *a\n  name: g\n  rules: []\n"),
}


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found(name, tmp_path):
    wrong, took = feed(*FOUND[name], tmp_path)
    assert not wrong
    assert took < LIMIT_S


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (lambda: parse_duration("293y"), "out of range"),
        (lambda: parse_rules("groups: " + "[" * 101), "more than 100 levels"),
        (lambda: parse_rules("#" * 5_000_001), "longer than 5,000,000 characters"),
        (lambda: compiled("(" * 1001 + ")" * 1001, True), "more than 1000 levels"),
        (lambda: parse("(" * 10_000), "more than 100 levels"),
    ],
)
def test_limits_say_what_they_are(read, words):
    with pytest.raises(KmonError, match=words):
        read()


def test_limits_leave_room():
    assert parse_duration("292y") == 292 * 365 * 86_400_000
    compiled("(" * 999 + r"\(" * 99 + ")" * 999, True)
    text = GROUP + "".join(f"  - alert:\tA{i}\n    expr:\t\tx > 1\n" for i in range(300))
    assert [rule.name for rule in parse_rules(text).alerts] == [f"A{i}" for i in range(300)]
    assert {rule.text for rule in parse_rules(text).alerts} == {"x > 1"}


@pytest.mark.parametrize(
    "text",
    ["lag" + " + lag" * 198, "sum(" * 98 + "lag" + ")" * 98, "abs(-(" * 48 + "lag" + "))" * 48],
)
def test_the_deepest_expressions_need_few_frames(text, tmp_path):
    def with_frames(count):
        return feed("expression", text, tmp_path)[0] if count == 0 else with_frames(count - 1)

    # As from a test, a notebook or a web server.
    assert not with_frames(100)


@pytest.mark.parametrize(
    ("fault", "words", "hangs"),
    [
        ("ENDS", "status -11", 0),
        ("TAKES_MEMORY", "MemoryError", 0),
        ("RECURSES", "RecursionError", 0),
        ("SPINS", "", 1),
    ],
)
def test_it_sees_what_goes_wrong(fault, words, hangs, tmp_path, capsys):
    summary = run(4, 600, limit_s=1.0, readers=f"tests.fuzz.planted:{fault}", out=tmp_path, most=1)
    assert (summary.count, summary.crashes, summary.hangs) == (1, 1 - hangs, hangs)
    assert words in capsys.readouterr().out
    [saved] = tmp_path.iterdir()
    kind, text = draw(random.Random("4/0"))
    assert saved.name == f"{kind}-4-0.txt"
    assert saved.read_bytes().decode("utf-8", "surrogatepass") == text


def test_the_closing_line(capsys):
    assert main(["--seconds", "600", "--seed", "4"], readers="tests.fuzz.planted:NONE", most=3) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (lines[0], lines[-1]) == ("seed 4, 600 s", "3 inputs, 0 crashes, 0 hangs")
