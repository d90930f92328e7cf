"""A real node of Kafka judges the table of MBeans."""

import re
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from kmon_analysis.kafka.mbeans import kafka_table
from tests.kafka.agent import LABEL, unescape
from tests.prometheus_server import free_port
from tests.stack.brokers import Broker, format_storage, write_configuration
from tests.tools import require

# Every attribute becomes a series that says where it comes from.
DUMP = r"""
excludeObjectNames: ["java.*:*", "JMImplementation:*", "jdk.*:*", "com.sun.*:*"]
rules:
- pattern: '^([^<]+)<(.*)><(.*)>([^:]*): .*$'
  name: dump
  value: 1
  labels: {domain: $1, properties: $2, keys: $3, attribute: $4}
"""
# Beans that a single node without topics, clients and quotas does not have.
LATER = re.compile(
    r"topic=|type=(?:Fetcher\w+|Fetch|Produce|Request), |clientSoftware|type=RequestMetrics|DelayedProduce|java"
)
CHANGING = r"((?:networkProcessor|processor|id|broker|listener|logDirectory|clientId|version)=)[^,]+"


def general(name):
    return re.sub(CHANGING, r"\1*", name)


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    kafka = require("kafka")
    folder = tmp_path_factory.mktemp("node")
    broker = Broker(1, folder / "broker", free_port(), free_port(), free_port())
    write_configuration([broker], DUMP)
    format_storage([broker], kafka, "MkU3OEVBNTcwNTJENDM2Qk")
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(list(map(str, broker.command(kafka))), stdout=log, stderr=subprocess.STDOUT)
        try:
            yield dump_of(broker, process)
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def name_of(bean):
    return general(f"{bean.domain}<{', '.join(f'{key}={value}' for key, value in bean.properties)}>")


def dump_of(broker, process):
    """Wait until all beans are there that should be; return attributes by general object name."""
    wanted = {name for name in map(name_of, kafka_table().beans) if not LATER.search(name)}
    deadline = time.monotonic() + 120
    found = {}
    while time.monotonic() < deadline and process.poll() is None and wanted - set(found):
        time.sleep(0.5)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{broker.metrics_port}/metrics", timeout=30) as answer:
                found = parsed(answer.read().decode())
        except (urllib.error.URLError, ConnectionError):
            continue
    return found


def parsed(text):
    found = {}
    for line in text.splitlines():
        if line.startswith("dump{"):
            labels = {name: unescape(value) for name, value in LABEL.findall(line[5 : line.rindex("}")])}
            name = general(f"{labels['domain']}<{labels['properties']}>")
            keys = labels["keys"].split(", ") if "keys" in labels else []
            found.setdefault(name, set()).add("/".join([*keys, labels["attribute"]]))
    return found


def test_a_real_node_has_what_the_table_says(real):
    missing, differing = [], []
    for bean in kafka_table().beans:
        name = name_of(bean)
        if name not in real:
            missing.append(name)
        elif wrong := {"/".join([*each.keys, each.name]) for each in bean.attributes} - real[name]:
            differing.append((name, wrong))
    assert [name for name in missing if not LATER.search(name)] == []
    assert differing == []
    assert len(kafka_table().beans) - len(missing) > 90


def test_what_is_gone_is_gone(real):
    assert {name_of(bean) for bean in kafka_table().gone} & set(real) == set()
