"""Edits in place: the diff shows the tuned values and one comment, nothing else."""

from __future__ import annotations

import difflib
import json
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kmon_analysis.errors import OutputError, RuleFileError, SettingError
from kmon_analysis.export.files import write_text
from kmon_analysis.export.rulefile import edit_rules
from kmon_analysis.rules.knobs import find_knobs, rule_with
from kmon_analysis.rules.reader import parse_rules
from tests.tools import require

FILE = """# Rules of the data team.   (two blanks, kept)
groups:
  - name: kafka   # the broker
    interval: 30s

    rules:
      # Lag, see runbook 7.
      - alert: HighConsumerLag
        expr: kafka_consumer_lag_sum   > 1000   # chosen by feel
        for: 5m # five
        labels: {severity: "page",  team: 'data'}
        annotations:
          summary: >-
            Lag of {{ $labels.topic }}
            is {{ $value }}
      - record: topic:rate
        expr: sum by (topic) (rate(m[5m]))
      - expr: |
          sum by (topic) (
            rate(m[5m])   # per second
          ) < 1

        alert: LowMessageRate
"""


def diff(before, after):
    """Return the changed lines, removed and added."""
    matcher = difflib.SequenceMatcher(
        None, old := before.splitlines(True), new := after.splitlines(True), autojunk=False
    )
    return [
        line
        for tag, low, high, new_low, new_high in matcher.get_opcodes()
        if tag != "equal"
        for line in [*(f"- {line}" for line in old[low:high]), *(f"+ {line}" for line in new[new_low:new_high])]
    ]


def edited(body, change, key=("g", "A"), words="why", **options):
    text = body if body.startswith(("#", "groups", "\ufeff", "api")) else "groups:\n- name: g\n  rules:\n" + body
    return text, edit_rules(text, {key: change}, words, **options)


def test_only_tuned_values_and_a_comment():
    after = edit_rules(
        FILE,
        {
            ("kafka", "HighConsumerLag"): {"expr": "kafka_consumer_lag_sum   > 12000", "for_ms": 600_000},
            ("kafka", "LowMessageRate"): {
                "expr": "sum by (topic) (\n  rate(m[10m])   # per second\n) < 0.25\n",
                "for_ms": 900_000,
            },
        },
        "kmon: tuned",
    )
    assert diff(FILE, after) == [
        "+       # kmon: tuned\n",
        "-         expr: kafka_consumer_lag_sum   > 1000   # chosen by feel\n",
        "-         for: 5m # five\n",
        "+         expr: kafka_consumer_lag_sum   > 12000   # chosen by feel\n",
        "+         for: 10m # five\n",
        "+       # kmon: tuned\n",
        "-             rate(m[5m])   # per second\n",
        "-           ) < 1\n",
        "+             rate(m[10m])   # per second\n",
        "+           ) < 0.25\n",
        "+         for: 15m\n",
    ]


CASES = {
    # body, change, what the lines become
    "plain": ("  - alert: A\n    expr: x > 5\n", {"expr": "x > 7"}, ["    expr: x > 7\n"]),
    "folded plain": ("  - alert: A\n    expr: x\n      >\n      5\n", {"expr": "x > 7"}, ["      7\n"]),
    "single": (
        "  - alert: A\n    expr: 'x{a=''b''} > 5'\n",
        {"expr": "x{a='b'} > 7"},
        ["    expr: 'x{a=''b''} > 7'\n"],
    ),
    "double": (
        '  - alert: A\n    expr: "x{a=\\"b\\"} > 5" # c\n',
        {"expr": 'x{a="b"} > 7'},
        ['    expr: "x{a=\\"b\\"} > 7" # c\n'],
    ),
    "literal": ("  - alert: A\n    expr: |-\n      x\n        > 5\n", {"expr": "x\n  > 7"}, ["        > 7\n"]),
    "folded": ("  - alert: A\n    expr: >\n      x\n      > 5\n\n", {"expr": "x > 7\n"}, ["      > 7\n"]),
    "for added": ("  - alert: A\n    expr: x > 5 # c\n", {"for_ms": 90_000}, ["    for: 1m30s\n"]),
    "for added last line": (
        "  - alert: A\n    expr: x > 5",
        {"for_ms": 90_000},
        ["    expr: x > 5\n", "    for: 1m30s"],
    ),
    "for added to keep": (
        "  - alert: A\n    expr: |+\n      x > 5\n\n\n    labels: {}\n",
        {"for_ms": 60_000},
        ["    for: 1m\n"],
    ),
    "both added": (
        "  - alert: A\n    expr: |\n      x > 5\n\n    labels: {}\n",
        {"for_ms": 60_000, "keep_firing_for_ms": 120_000},
        ["    for: 1m\n", "    keep_firing_for: 2m\n"],
    ),
    "keep behind for": (
        "  - alert: A\n    for: 1m\n    expr: x > 5\n",
        {"keep_firing_for_ms": 120_000},
        ["    keep_firing_for: 2m\n"],
    ),
    "for quoted": ("  - alert: A\n    expr: x\n    for: '5m'\n", {"for_ms": 1}, ["    for: '1ms'\n"]),
    "for to nothing": ("  - alert: A\n    expr: x\n    for: 5m\n", {"for_ms": 0}, ["    for: 0s\n"]),
    "for empty": ("  - alert: A\n    expr: x\n    for:  # later\n", {"for_ms": 1}, ["    for: 1ms  # later\n"]),
    "for null": ("  - alert: A\n    expr: x\n    for: ~\n", {"for_ms": 1}, ["    for: 1ms\n"]),
    "flow": (
        "  - {alert: A, expr: x > 5, labels: {a: b}}\n",
        {"expr": "x > 7", "for_ms": 60_000, "keep_firing_for_ms": 1},
        ["  - {alert: A, expr: x > 7, for: 1m, keep_firing_for: 1ms, labels: {a: b}}\n"],
    ),
    "alias": (
        "  - {alert: B, expr: &e x > 5}\n  - alert: A\n    expr: *e\n",
        {"expr": "x > 7"},
        ["    expr: x > 7\n"],
    ),
    "merged": (
        "  - &b {alert: B, expr: x > 5, for: 5m}\n  - <<: *b\n    alert: A\n",
        {"expr": "x > 7", "for_ms": 60_000},
        ["    expr: x > 7\n", "    for: 1m\n"],
    ),
    "anchored": ("  - alert: A\n    expr: &e x > 5\n", {"expr": "x > 7"}, ["    expr: &e x > 7\n"]),
    "needs quotes": ("  - alert: A\n    expr: x > 5\n", {"expr": "x{a=': '} > 5"}, ["    expr: 'x{a='': ''} > 5'\n"]),
    "other lines": (
        "  - alert: A\n    expr: |\n      x\n      > 5\n",
        {"expr": "x > 7\n  and y\n"},
        ["      x > 7\n", "        and y\n"],
    ),
    "tab": ("  - alert: A\n    expr:\tx\t> 5\n", {"expr": "x > 7"}, ["    expr:\tx\t> 7\n"]),
    "windows": (
        "groups:\r\n- name: g\r\n  rules:\r\n  - alert: A\r\n    expr: |\r\n      x\r\n      > 5\r\n",
        {"expr": "x\n> 7\n", "for_ms": 60_000},
        ["      > 7\r\n", "    for: 1m\r\n"],
    ),
    "byte order mark": (
        "\ufeffgroups: [{name: g, rules: [{alert: A, expr: x}]}]\n",
        {"for_ms": 60_000},
        ["\ufeff# why\n", "groups: [{name: g, rules: [{alert: A, expr: x, for: 1m}]}]\n"],
    ),
    "kubernetes": (
        "apiVersion: v1\nkind: PrometheusRule\nspec:\n  groups:\n  - name: g\n    rules:\n"
        "    - alert: A\n      expr: x > 5\n",
        {"expr": "x > 7"},
        ["      expr: x > 7\n"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_styles(case):
    body, change, lines = CASES[case]
    before, after = edited(body, change)
    added = [line[2:] for line in diff(before, after) if line[0] == "+"]
    assert [line for line in added if line.strip() != "# why"] == lines
    assert sum("# why" in line for line in added) == 1
    rule = parse_rules(after).alert("A")
    assert rule.text == change.get("expr", parse_rules(before).alert("A").text)
    for name in ("for_ms", "keep_firing_for_ms"):
        assert getattr(rule, name) == change.get(name, getattr(parse_rules(before).alert("A"), name))


def test_no_change_leaves_the_file_alone():
    changes = {("kafka", "HighConsumerLag"): {"expr": "kafka_consumer_lag_sum   > 1000", "for_ms": 300_000}}
    assert edit_rules(FILE, changes, "why") == FILE
    assert edit_rules(FILE, {}, "why") == FILE


def test_the_comment_is_one_line_and_not_repeated():
    body = "  - alert: A\n    expr: x > 5\n"
    before, after = edited(body, {"expr": "x > 7"}, words="a\nb: \x07 é")
    assert "  # a\\nb: \\x07 é\n  - alert: A\n" in after
    again = edit_rules(after, {("g", "A"): {"expr": "x > 8"}}, "a\nb: \x07 é")
    assert again == after.replace("7\n", "8\n")
    assert edit_rules(before, {("g", "A"): {"expr": "x > 7"}}, "") == before.replace("5", "7")
    assert "# mine" in edit_rules(before, {("g", "A"): {"expr": "x > 7"}}, {("g", "A"): "mine"})


def test_a_comment_that_would_fall_into_a_text_goes_to_the_end():
    before, after = edited(
        "groups: [{name: 'g\n\n  h', rules: [{alert: A, expr: x}]}]\n", {"for_ms": 1}, key=("g\nh", "A")
    )
    assert diff(before, after)[-1] == "+ # A: why\n"


def test_tiers_of_one_alert_are_told_apart():
    body = "  - {alert: A, expr: x > 5, labels: {s: warn}}\n  - {alert: A, expr: x > 9, labels: {s: page}}\n"
    with pytest.raises(SettingError, match="2 rules"):
        edited(body, {"expr": "x > 10"})
    before, after = edited(body, {"expr": "x > 10"}, key=("g", "A", 1))
    assert after == before.replace("> 9", "> 10").replace(
        "  - {alert: A, expr: x > 10", "  # why\n  - {alert: A, expr: x > 10"
    )


@pytest.mark.parametrize(
    ("body", "change", "words"),
    [
        ("  - {alert: A, expr: &e x > 5}\n  - {alert: B, expr: *e}\n", {"expr": "x > 7"}, "anchor"),
        ("  - &a {alert: A, expr: x > 5}\n  - {<<: *a, alert: B}\n", {"expr": "x > 7"}, "anchor"),
        ("  - {alert: C, expr: x}\n", {"expr": "x > 7"}, "no alert 'A'"),
        ("  - {alert: A, expr: x}\n", {"expr": "x >"}, "not as wanted"),
    ],
)
def test_what_cannot_be_done_is_refused(body, change, words):
    with pytest.raises(SettingError, match=words) as caught:
        edited(body, change)
    assert caught.value.cure


def test_shared_values_change_together():
    text = "groups:\n- name: g\n  rules:\n  - {alert: A, expr: &e x > 5}\n  - {alert: B, expr: *e}\n"
    after = edit_rules(text, {("g", "A"): {"expr": "x > 7"}, ("g", "B"): {"expr": "x > 7"}}, "")
    assert [rule.text for rule in parse_rules(after).alerts] == ["x > 7", "x > 7"]


def test_a_broken_file_is_refused():
    with pytest.raises(RuleFileError):
        edit_rules("groups: [", {}, "")


expressions = st.sampled_from(
    ["x > 5", "rate(x[5m]) > 1", "sum by (a) (rate(x[5m]))\n  > 5\n", "5 < x", 'x{a="b\'"} > 5\n']
)
styles = st.sampled_from(["json", "|", "|-", ">-", "'", "plain"])


@st.composite
def rule_files(draw):
    lines, count = ["groups:", "- name: g", "  rules:"], draw(st.integers(1, 4))
    for index in range(count):
        text, style = draw(expressions), draw(styles)
        lines += draw(st.lists(st.sampled_from(["", "  # note", "    # deeper"]), max_size=2))
        lines.append(f"  - alert: A{index}")
        if draw(st.booleans()):
            lines.append("    for: 5m  # five")
        if style == "json":
            lines.append(f"    expr: {json.dumps(text)}")
        elif style == "'":
            lines.append("    expr: '" + text.replace("\n", " ").replace("'", "''") + "'")
        elif style == "plain":
            lines.append("    expr: " + text.replace("\n", "\n   "))
        else:
            lines.append(f"    expr: {style}")
            lines += ["      " + line for line in text.rstrip("\n").split("\n")]
        if draw(st.booleans()):
            lines += ["", "    labels:", "      a: b"]
    ending = draw(st.sampled_from(["\n", "\r\n"]))
    return ending.join(lines) + draw(st.sampled_from(["", ending]))


@settings(max_examples=40, deadline=None)
@given(rule_files(), st.data())
def test_any_knob_of_any_rule(text, data):
    file = parse_rules(text)
    rule = data.draw(st.sampled_from(file.alerts))
    window = data.draw(st.integers(1, 10**7)) if find_knobs(rule).window_ms else None
    turned = rule_with(
        rule,
        threshold=data.draw(st.floats(allow_nan=False, allow_infinity=False)),
        window_ms=window,
        for_ms=data.draw(st.integers(0, 10**9)),
        keep_firing_for_ms=data.draw(st.integers(0, 10**9)),
    )
    change = {"expr": turned.text, "for_ms": turned.for_ms, "keep_firing_for_ms": turned.keep_firing_for_ms}
    after = edit_rules(text, {rule.key: change}, "why")
    for old, new in zip(file.alerts, parse_rules(after).alerts, strict=True):
        wanted = turned if old is rule else old
        assert (new.text, new.for_ms, new.keep_firing_for_ms) == (wanted.text, wanted.for_ms, wanted.keep_firing_for_ms)
    kept = [line[2:] for line in difflib.ndiff(text.splitlines(), after.splitlines()) if line[0] == "-"]
    assert len(kept) <= 3


def test_promtool_accepts_every_case(tmp_path):
    promtool = require("promtool")
    paths = []
    for index, (case, (body, change, _)) in enumerate(CASES.items()):
        if case != "kubernetes":
            paths.append(tmp_path / f"{index}.yml")
            write_text(paths[-1], edited(body, change)[1])
    judged = subprocess.run(
        [promtool, "check", "rules", "--lint=none", *paths], capture_output=True, text=True, check=False
    )
    assert judged.returncode == 0, judged.stdout + judged.stderr


def test_files_are_written_whole(tmp_path):
    write_text(tmp_path / "new" / "rules.yml", "a\r\nb\n")
    assert (tmp_path / "new" / "rules.yml").read_bytes() == b"a\r\nb\n"
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written") as caught:
        write_text(tmp_path / "file" / "rules.yml", "x")
    assert caught.value.cure
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError):
        write_text(tmp_path / "folder", "x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder", "new"]
