"""Fetching what rules need, against a real server."""

import json
import urllib.parse
import urllib.request

import numpy as np

from kmon_analysis.cli_doctor import examine_server
from kmon_analysis.promql.evaluate import evaluate
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.rules.reader import read_rules
from kmon_analysis.timing import HOUR_MS, MINUTE_MS, format_instant
from kmon_analysis.workflow import fetch
from tests.prometheus_server import openmetrics, running_prometheus

START = 1_767_225_600_000
RULES = """
groups:
  - name: g
    rules:
      - alert: AboveThatMorning
        expr: lag > on (topic) avg_over_time(lag[10m] @ {at} offset 5m)
      - alert: NotWhatItWas
        expr: lag > lag @ {at}
"""


def test_what_a_rule_reads_at_a_fixed_time_is_fetched_with_the_range(tmp_path):
    rng = np.random.default_rng(11)
    samples = {
        f'lag{{topic="{topic}"}}': [
            (START + step * MINUTE_MS, str(value)) for step, value in enumerate(rng.integers(0, 90, 360).tolist())
        ]
        for topic in "ab"
    }
    at_ms = START + HOUR_MS + 1_500
    (tmp_path / "rules.yml").write_text(RULES.format(at=at_ms / 1000))
    rules = read_rules(tmp_path / "rules.yml")
    times = np.arange(START + 4 * HOUR_MS, START + 5 * HOUR_MS, 5 * MINUTE_MS)
    with running_prometheus(openmetrics(samples)) as server:
        history = fetch(server.url, rules, start=format_instant(int(times[0])), end=format_instant(START + 5 * HOUR_MS))
        for rule in rules.alerts:
            grid = evaluate(rule.expr, history.series, times, Semantics.of("2.42"))
            assert grid.present.any()
            for column, time_ms in enumerate(times.tolist()):
                asked = urllib.parse.urlencode({"query": rule.text, "time": time_ms / 1000})
                with urllib.request.urlopen(f"{server.url}/api/v1/query?{asked}") as answer:
                    found = json.load(answer)["data"]["result"]
                theirs = {item["metric"]["topic"]: float(item["value"][1]) for item in found}
                assert {labels["topic"]: value for labels, value in grid.at(column).items()} == theirs
    assert history.provenance.queries == ("lag",)
    assert not history.provenance.warnings


def test_the_doctor_looks_at_the_fixed_time(tmp_path):
    samples = {"lag": [(START + step * MINUTE_MS, "1") for step in range(60)]}
    before, inside = START - HOUR_MS, START + HOUR_MS
    (tmp_path / "rules.yml").write_text(RULES.format(at=inside / 1000))
    (tmp_path / "early.yml").write_text(RULES.format(at=before / 1000))
    with running_prometheus(openmetrics(samples)) as server:
        found = examine_server(server.url, read_rules(tmp_path / "rules.yml"), None)
        early = examine_server(server.url, read_rules(tmp_path / "early.yml"), None)
    assert "lag: 1 series @ 1767229200.000" in found.text
    assert "lag @ 1767222000.000" in early.missing
