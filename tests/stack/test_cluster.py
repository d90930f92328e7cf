"""The stack is what it says: real metrics under the founding names, faults that show and are undone, nothing left.

One test holds all checks of the running cluster, so that one cluster serves them however tests are spread over
processes.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from kmon_analysis.kafka.dialects import recognise
from kmon_analysis.kafka.jmx_lint import lint_jmx_text
from tests.stack import settings
from tests.stack.cluster import running_stack
from tests.stack.faults import EVENTS, FAULTS, injected
from tests.stack.processes import free_ports
from tests.tools import REPOSITORY, require

RATE = 'sum(rate(kafka_server_BrokerTopicMetrics_MessagesInPerSec{topic="user.audited"}[6s]))'
LAG = 'kafka_consumer_lag_sum{consumergroup="%s"}'
PARTITION_LAG = 'kafka_consumergroup_lag{consumergroup="profile-service", partition%s"0"}'
OFFLINE = "max(kafka_controller_KafkaController_OfflinePartitionsCount)"
LEADERS = "kafka_server_ReplicaManager_LeaderCount"
TERMINAL = [sys.executable, "-m", "tests.stack"]
ON_FIRST_FAILURE = {"BytesRejectedPerSec", "FailedFetchRequestsPerSec", "FailedProduceRequestsPerSec"}
PARTITIONS = 12  # nine of ours and three that keep the consumers' offsets
UP = 'up{job="kafka"}'
WHOLE = f"{OFFLINE} == 0 and on() sum({LEADERS}) == {PARTITIONS} and on() min({LEADERS}) >= 3 and on() sum({UP}) == 3"
LOST = f"{OFFLINE} == 1 and on() sum({LEADERS}) == {PARTITIONS - 1} and on() count({UP} == 0) == 1"


@dataclass(frozen=True)
class Case:
    """A fault with what must be seen while it lasts and what must be seen again behind it."""

    name: str
    target: str
    shows: str
    undone: str


# Faults of one row touch different parts: they run together.
WAVES = [
    [
        Case("consumer-stopped", "user-service", LAG % "user-service" + " > 150", LAG % "user-service" + " < 60"),
        Case(
            "partition-poisoned",
            "profile-service",
            f"{PARTITION_LAG % '='} > 25 and on() max({PARTITION_LAG % '!='}) < 20",
            PARTITION_LAG % "=" + " < 15",
        ),
        Case("producer-stopped", "audit-service", f"{RATE} == 0", f"{RATE} > 4"),
    ],
    [
        Case("consumer-slow", "user-service", LAG % "user-service" + " > 100", LAG % "user-service" + " < 60"),
        Case("rebalance-storm", "profile-service", "", LAG % "profile-service" + " < 30"),
        Case("producer-thinned", "audit-service", f"{RATE} > 0 and {RATE} < 2", f"{RATE} > 4"),
    ],
    [
        Case("broker-killed", "3", LOST, WHOLE),
        Case("exporter-stopped", "", "absent(kafka_consumer_lag_sum)", "count(kafka_consumer_lag_sum) == 3"),
    ],
    [Case("broker-paused", "2", LOST, WHOLE)],
]


def test_the_cluster(subtests):
    with running_stack(interval_s=1.0) as stack:
        with subtests.test("metrics under the founding names"):
            for name, labels in {
                "kafka_server_BrokerTopicMetrics_MessagesInPerSec": {"topic"},
                "kafka_server_BrokerTopicMetrics_BytesInPerSec": {"topic"},
                "kafka_consumer_lag_sum": {"consumergroup", "topic"},
                LEADERS: set(),
            }.items():
                found = stack.wait(name)
                assert all(labels <= set(metric) for metric, _ in found), found
                if "topic" in labels:
                    assert set(settings.TOPICS) <= {metric["topic"] for metric, _ in found}
        with subtests.test("names that are recognised"):
            names = stack.api("label/__name__/values")
            assert {"founding", "kafka-exporter", "recorded"} == {dialect.name for dialect in recognise(names)}
        with subtests.test("what the linter says of our exporter's configuration"):
            check_lint(stack)
        for wave in WAVES[:-1]:
            check_wave(stack, wave, subtests)
        # The last faults consist of waiting: the second stack comes up meanwhile.
        with second_stack() as second:
            check_wave(stack, WAVES[-1], subtests)
            with subtests.test("harmless events"):
                check_events(stack)
            with subtests.test("a second stack"):
                check_second_stack(stack, second)
        assert stack.processes.ended() == []
        pids, folder = stack.processes.ever, stack.folder
    with subtests.test("nothing is left"):
        assert not folder.exists()
        assert [pid for pid in pids if alive(pid)] == []
        assert mentioning(folder) == []


def test_every_fault_is_checked():
    assert {case.name for wave in WAVES for case in wave} == set(FAULTS)


def check_lint(stack):
    """Compare names, kinds and labels with those that real brokers export, those of beans made later left out."""
    said = {(row.name, row.kind, row.labels) for row in lint_jmx_text(stack.jmx, exporter_version="1.0").series}
    found = set()
    for broker in stack.brokers:
        with urllib.request.urlopen(f"http://127.0.0.1:{broker.metrics_port}/metrics", timeout=60) as answer:
            text = answer.read().decode()
        kinds = dict(re.findall(r"^# TYPE (kafka_\S+) (\S+)", text, re.MULTILINE))
        for name, labels in re.findall(r"^(kafka_[^{ ]+)(?:\{(.*)\})? ", text, re.MULTILINE):
            found.add((name, kinds[name], tuple(re.findall(r'(\w+)="', labels))))
    assert found <= said
    assert {name.rpartition("_")[2] for name, _, _ in said - found} <= ON_FIRST_FAILURE


def check_wave(stack, wave, subtests):
    for case in wave:
        stack.wait(case.undone)
        assert not (case.shows and stack.query(case.shows)), f"{case.name} shows before it begins"
    before = stack.counts("consumer-profile-service")["rebalances"]
    with contextlib.ExitStack() as broken:
        for case in wave:
            broken.enter_context(injected(stack, case.name, case.target))
        for case in wave:
            with subtests.test(f"{case.name} shows"):
                stack.wait(case.shows or (lambda: stack.counts("consumer-profile-service")["rebalances"] >= before + 4))
    for case in wave:
        with subtests.test(f"{case.name} is undone"):
            stack.wait(case.undone)
            if not case.shows:
                assert [name for name in stack.processes.running if name.startswith("storm")] == []
                stack.wait(lambda: stack.counts("consumer-profile-service")["assigned"] == 3)


def check_events(stack):
    name = "producer-developer.profile.updated"
    before = stack.counts(name)["produced"]
    with injected(stack, "backfill", "profile-service"), injected(stack, "burst", "audit-service"):
        stack.wait(lambda: stack.counts(name)["produced"] >= before + 3000)
        stack.wait(f"{RATE} > 15")
    with injected(stack, "deploy", "user-service"):
        assert "consumer-user-service" in stack.processes.running
    for service in settings.SERVICES:
        stack.wait(f"{LAG % service.group} < 60")
    assert set(EVENTS) == {"backfill", "burst", "deploy"}


@contextlib.contextmanager
def second_stack():
    """Start another stack from a terminal, which ends with this process at the latest."""
    command = ["setpriv", "--pdeathsig", "TERM", "--", *TERMINAL, "up", "--foreground"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as process:
        try:
            yield process
        finally:
            process.terminate()


def check_second_stack(stack, starting):
    """Another one was started beside the first: break something there, and stop it."""
    second = json.loads(starting.stdout.readline())
    folder = second["folder"]

    def fault(*arguments):
        command = [*TERMINAL, "fault", "--stack", folder, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, timeout=100)
        return json.loads(done.stdout)["active"] if done.returncode == 0 else done.stderr

    assert second["ended"] == []
    assert second["prometheus"] != stack.url
    assert not set(second["brokers"].split(",")) & set(stack.bootstrap.split(","))
    assert fault("producer-stopped") == ["producer-stopped user-service"]
    assert "is broken already" in fault("producer-stopped")
    assert fault("producer-stopped", "--undo") == []
    assert "none of the brokers" in fault("broker-killed", "7")
    assert subprocess.run([*TERMINAL, "down", "--stack", folder], cwd=REPOSITORY, timeout=100).returncode == 0
    assert starting.wait(100) == 0
    assert not Path(folder).exists()
    assert mentioning(folder) == []
    stack.wait(WHOLE)


def test_programs_end_with_their_starter(tmp_path):
    require("setpriv")
    code = f"""
import pathlib, time
from tests.stack.processes import Processes
processes = Processes(pathlib.Path({str(tmp_path)!r}))
processes.start("sleeper", ["sleep", "600"])
print(processes.running["sleeper"].pid, flush=True)
time.sleep(600)
"""
    starter = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    sleeper = int(starter.stdout.readline())
    try:
        # Until setpriv, which has "sleep" among its arguments, has become it.
        while not Path(f"/proc/{sleeper}/cmdline").read_bytes().startswith(b"sleep\x00"):
            time.sleep(0.01)
        assert alive(sleeper)
    finally:
        starter.send_signal(signal.SIGKILL)
        starter.communicate()
    give_up = time.monotonic() + 60
    while alive(sleeper) and time.monotonic() < give_up:
        time.sleep(0.02)
    assert not alive(sleeper)


def test_ports_are_free_and_different():
    ports = free_ports(12)
    assert len(set(ports)) == 12
    assert all(10_000 <= port < 32_000 for port in ports)


@pytest.mark.parametrize("target", ["no-such-service", "4"])
def test_a_wrong_target_is_named(target):
    class Bare:
        brokers = ()

    name = "broker-killed" if target == "4" else "consumer-slow"
    with pytest.raises(ValueError, match=target), injected(Bare(), name, target):
        pass


def alive(pid):
    """Say whether a process runs; one that only waits for its end to be noted does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def mentioning(folder):
    """Find processes whose command line names a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int(path.name) != os.getpid() and str(folder).encode() in (path / "cmdline").read_bytes():
                found.append(path.name)
    return found
