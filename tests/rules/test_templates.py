"""Templates, with promtool as the judge of what they expand to."""

from __future__ import annotations

import json
import math
import subprocess

import pytest

from kmon_analysis.errors import ExpressionError
from kmon_analysis.rules.templates import check_template, expand, format_go
from tests.tools import require

LABELS = {"__name__": "x", "topic": "user.registered", "quoted": 'a"b', "n": "1500"}
TEMPLATES = [
    "plain",
    "{{ $labels.topic }}",
    "a {{.Labels.topic}}/{{ $labels.nothing }}b",
    "a  {{- $value -}}  b",
    "a  {{- /* note */ -}}  b",
    "{{ $value }} {{ .Value }}",
    '{{ "text \\"x\\" \\u00e9" }}{{ `raw \\n` }}',
    "{{ $value | humanize }} {{ humanize1024 $value }} {{ $value | humanizePercentage }}",
    "{{ $value | humanizeDuration }}",
    '{{ printf "%.2f of %v%%, %g, %.3e, %.4g" $value $value $value $value $value }}',
    '{{ $value | printf "%.0f" }}',
    '{{ $labels.topic | printf "%s: %v" "topic" }}',
    "{{ $labels.topic | toUpper }} {{ toLower $labels.topic }}",
    "{{ $labels.n | humanize }}",
    "{{ $externalLabels.cluster }}",
    "}} { %",
]
VALID = [
    '{{ "}}" }}',
    "{{ with query `up` }}{{ . | first | value }}{{ end }}",
    "{{ range $i, $x := query `up` }}{{ $x.Value }}{{ $i }}{{ else }}{{ $ }}{{ end }}",
    "{{ if gt $value 1.0 }}a{{ else if eq $labels.topic `x` }}b{{ end }}",
    "{{ $x := .Value }}{{ $x }}",
    '{{ define "t" }}{{ .arg0 }}{{ end }}{{ template "t" (args 1) }}',
    "{{/* { $note } */}}",
    "{{ ($labels.topic | printf `%s`) | title }}",
]
INVALID = [
    "{{ $value",
    "{{ $value }} {{ `",
    "{{ }}",
    "{{ $label.x }}",
    "{{ $value }) }} {{ x }}",
    "{{ humnize $value }}",
    "{{ if $value }}x",
    "{{ end }}",
    "{{ range query `up` }}",
]
NUMBERS = [0.0, 1.0, -1.0, 0.5, 999999.0, 1e6, 1234567.0, 123456789.0, 0.0001, 0.00001, 1e21, 1e-300, 1500.0, 59.99,
           3600.0, 86400.5, -90061.0, 0.07, 1 / 3, 2.0**53, 1023.0, 1024.0, 1e30]  # fmt: skip


def test_promtool_expands_alike(tmp_path):
    rules = [
        {"alert": f"A{index}", "expr": "x", "annotations": {"a": text}, "labels": {"n": "{{ $labels.n }}"}}
        for index, text in enumerate(TEMPLATES)
    ]
    labels = {name: value for name, value in LABELS.items() if name != "__name__"}
    tests = [
        {"eval_time": f"{minute}m", "alertname": f"A{index}",
         "exp_alerts": [{"exp_labels": labels, "exp_annotations": {"a": expand(text, LABELS, value)}}]}
        for minute, value in enumerate([*NUMBERS, math.inf, -math.inf, math.nan])
        for index, text in enumerate(TEMPLATES)
        if "Duration" not in text or not 2**63 <= abs(value) < math.inf
    ]  # fmt: skip
    inner = ", ".join(f"{name}={json.dumps(value)}" for name, value in labels.items())
    values = " ".join([*map(repr, NUMBERS), "Inf", "-Inf", "NaN"])
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "g", "rules": rules}]}))
    body = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": [
        {"interval": "1m", "input_series": [{"series": f"x{{{inner}}}", "values": values}], "alert_rule_test": tests}
    ]}  # fmt: skip
    (tmp_path / "tests.yml").write_text(json.dumps(body))
    judged = subprocess.run(
        [require("promtool"), "test", "rules", tmp_path / "tests.yml"], capture_output=True, text=True, check=False
    )
    assert judged.returncode == 0, (judged.stdout + judged.stderr)[:4000]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-0.0, "-0"),
        (100.0, "100"),
        (1e5, "100000"),
        (1e6, "1e+06"),
        (1.5e-7, "1.5e-07"),
        (1e100, "1e+100"),
        (0.00012, "0.00012"),
        (5e-324, "5e-324"),
        (math.nan, "NaN"),
        (-math.inf, "-Inf"),
    ],
)
def test_numbers_as_go_writes_them(value, text):
    assert format_go(value) == text


@pytest.mark.parametrize(
    ("text", "word", "start"),
    [
        ('{{ query "up" }}', "'query'", 3),
        ("x {{ if $value }}y{{ end }}", "'if'", 5),
        ("{{ with $labels }}{{ end }}", "'with'", 3),
        ("{{ $labels }}", r"'\$labels'", 3),
        ("{{ first (query `up`) }}", "'first'", 3),
        ('{{ printf "%d" $value }}', "'printf'", 3),
        ("{{ $value | 5 }}", "'5'", 12),
        ("{{ $value $value }}", "arguments", 3),
        ("{{ }}", "empty", 0),
        ("{{ $labels.topic | humanize }}", "'humanize'", 19),
    ],
)
def test_the_rest_is_refused_by_name(text, word, start):
    with pytest.raises(ExpressionError, match=word) as caught:
        expand(text, LABELS, 1.0)
    assert caught.value.start == start
    assert caught.value.cure


@pytest.mark.parametrize("text", [*TEMPLATES, *VALID])
def test_valid_templates(text, tmp_path):
    assert check_template(text) is None
    assert accepted(text, tmp_path)


@pytest.mark.parametrize("text", INVALID)
def test_invalid_templates(text, tmp_path):
    assert check_template(text) is not None
    assert not accepted(text, tmp_path)


def accepted(text, folder):
    rules = {"groups": [{"name": "g", "rules": [{"alert": "A", "expr": "x", "annotations": {"a": text}}]}]}
    (folder / "rules.yml").write_text(json.dumps(rules))
    done = subprocess.run(
        [require("promtool"), "check", "rules", folder / "rules.yml"], capture_output=True, check=False
    )
    return done.returncode == 0
