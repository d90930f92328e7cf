"""The main job on real input: labelled disruptions of five ingress rates, through a real Prometheus and back.

The rates are integrated into the counter that Kafka exports, loaded into a server, fetched and tuned; the
tuned file is given to the same server and read back from it.

This proves the way through real parts, not the method: the three rules were picked, one for each kind of
verdict, from seven groupings of the topics, of which only this one could be tuned.
"""

from __future__ import annotations

import csv
import json
import shutil
import time

import numpy as np
import pytest
import requests

from kmon_analysis import cli
from kmon_analysis.timing import MINUTE_MS, format_instant, parse_instant
from tests.prometheus_server import openmetrics, running_prometheus
from tests.tools import dataset

TOPICS = [f"ingress-{number:02d}" for number in range(1, 6)]
METRIC = "kafka_server_BrokerTopicMetrics_MessagesInPerSec"
START, END = "2018-04-25T00:00:00Z", "2018-05-06T00:00:00Z"
# A decision of this test, not of the labels: dips of two and three minutes are declared to need no page.
SHORTEST_MIN = 10

RULES = f"""# message rates, as the founding document has them
groups:
- name: rates
  interval: 1m
  rules:
  - alert: LowMessageRate            # one number for five topics
    expr: sum by (topic) (rate({METRIC}{{topic!=""}}[5m])) < 1
    for: 10m
  - alert: LowMessageRateAlike
    expr: sum by (topic) (rate({METRIC}{{topic=~"ingress-0[45]"}}[5m])) < 1
    for: 10m
    labels: {{severity: page}}
  - alert: LowMessageRateFirst
    expr: sum by (topic) (rate({METRIC}{{topic="ingress-01"}}[5m])) < 1
    for: 10m
"""


@pytest.fixture(scope="module")
def ingress():
    folder = dataset("ingress")
    found = {}
    for topic in TOPICS:
        with (folder / f"{topic}.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        times = np.array([parse_instant(row["TimeStamp"]) for row in rows])
        values = np.array([float(row["Value"]) for row in rows])
        labels = np.array([int(row["Label"]) for row in rows])
        found[topic] = times, values, labels
    return found


def incidents_of(ingress):
    lines = ["incidents:"]
    for topic, (times, _, labels) in ingress.items():
        edges = np.flatnonzero(np.diff(np.concatenate([[0], labels, [0]])))
        for number, (begin, end) in enumerate(zip(edges[::2], edges[1::2], strict=True), start=1):
            must = "true" if end - begin >= SHORTEST_MIN else "false"
            lines += [
                f"- id: {topic}-{number}",
                f"  start: {format_instant(int(times[begin]))}",
                f"  end: {format_instant(int(times[end - 1]) + MINUTE_MS)}",
                f"  labels: {{topic: {topic}}}",
                f"  must_page: {must}",
            ]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def tuned(ingress, tmp_path_factory):
    """Tune against the server, load the result into it, and read it back."""
    folder = tmp_path_factory.mktemp("ingress")
    series = {}
    for topic, (times, values, _) in ingress.items():
        counter = np.cumsum(values * 60)
        name = f'{METRIC}{{instance="b1:7071",topic="{topic}"}}'
        series[name] = [(int(ms), repr(float(value))) for ms, value in zip(times, counter, strict=True)]
    (folder / "rules.yml").write_text(RULES, encoding="utf-8")
    (folder / "incidents.yml").write_text(incidents_of(ingress), encoding="utf-8")
    deployed = folder / "deployed.yml"
    shutil.copy(folder / "rules.yml", deployed)
    with running_prometheus(openmetrics(series), rule_files=[deployed], arguments=["--web.enable-lifecycle"]) as server:
        arguments = ["tune", "--prometheus", server.url, "--start", START, "--end", END]
        arguments += ["--rules", str(folder / "rules.yml"), "--incidents", str(folder / "incidents.yml")]
        arguments += ["--max-delay", "1h", "-o", str(folder / "out")]
        status = cli.app(arguments, standalone_mode=False)
        shutil.copy(folder / "out" / "rules.yml", deployed)
        requests.post(f"{server.url}/-/reload", timeout=10).raise_for_status()
        loaded = requests.get(f"{server.url}/api/v1/rules", timeout=10).json()["data"]["groups"]
        if not loaded:
            time.sleep(1)
            loaded = requests.get(f"{server.url}/api/v1/rules", timeout=10).json()["data"]["groups"]
    advice = json.loads((folder / "out" / "advice.json").read_text(encoding="utf-8"))
    return status, {rule["rule"]: rule for rule in advice["rules"]}, loaded, folder


def test_one_number_for_unlike_topics_is_refused_with_the_blocking_incident(tuned):
    _, advice, _, _ = tuned
    rule = advice["LowMessageRate"]
    assert (rule["verdict"], rule["headline"]) == ("refused", "No threshold separates")
    # ingress-02 is silent most of the time: any threshold that sees the others fires on it.
    assert rule["reasons"][0].startswith("ingress-01-1 (2018-04-27) blocks")
    assert rule["proposed"] is None


def test_topics_alike_are_tuned_and_their_four_longer_disruptions_are_found(tuned):
    _, advice, _, _ = tuned
    rule = advice["LowMessageRateAlike"]
    assert rule["verdict"] == "tuned"
    assert rule["headline"].startswith("Tentative; too short for weekly behaviour")
    before, after = rule["past"]["current"], rule["past"]["proposed"]
    assert (before["incidents"], before["caught"]) == (4, 0)
    assert (after["incidents"], after["caught"], after["false_pages"]) == (4, 4, 0)
    assert 24_500 < rule["proposed"]["threshold"] < 60_000
    assert rule["next_4_weeks"] is None


def test_two_disruptions_are_two_examples(tuned):
    _, advice, _, _ = tuned
    # As deployed it finds neither, which is not called consistent.
    assert advice["LowMessageRateFirst"]["headline"] == (
        "No change on two examples; the current rule breaks the budget: 0 of 2 incidents found within 1 h"
    )
    assert "%" not in " ".join(advice["LowMessageRateFirst"]["reasons"])


def test_the_server_runs_the_tuned_file(tuned):
    _, advice, loaded, folder = tuned
    rules = {rule["name"]: rule for group in loaded for rule in group["rules"]}
    assert list(rules) == ["LowMessageRate", "LowMessageRateAlike", "LowMessageRateFirst"]
    proposed = advice["LowMessageRateAlike"]["proposed"]
    assert rules["LowMessageRateAlike"]["query"].endswith(f"< {proposed['threshold']:.0f}")
    assert rules["LowMessageRateAlike"]["duration"] == proposed["for_s"]
    assert all(rule["health"] != "err" for rule in rules.values())
    # What was not tuned is as it was.
    assert rules["LowMessageRate"]["query"].endswith("< 1")
    assert rules["LowMessageRate"]["duration"] == 600
    text = (folder / "out" / "rules.yml").read_text(encoding="utf-8")
    assert text.startswith("# message rates, as the founding document has them\n")
    assert "# one number for five topics" in text


def test_promtool_accepts_rules_and_tests_from_the_real_disruptions(tuned):
    status, _, _, folder = tuned
    assert status in (None, 0)
    tests = (folder / "out" / "rules_test.yml").read_text(encoding="utf-8")
    assert "LowMessageRateAlike pages for ingress-04-1" in tests
    assert "passed" in (folder / "out" / "report.html").read_text(encoding="utf-8")
