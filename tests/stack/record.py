"""Record a real cluster while it is being broken on a schedule; ``make record`` or ``python -m tests.stack.record``.

The result is a folder like those in ``data``: the history with everything that Prometheus has of Kafka (its own
ALERTS included), ``incidents.yml``, the rules that ran as ``rules.yml``, ``recording.json`` with versions, seed and
every harmless event, and a ``README.md`` that tells all of it.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import confluent_kafka

from kmon_analysis.history import History
from kmon_analysis.incidents import Incident, Incidents, format_incidents
from kmon_analysis.labels import Matcher
from kmon_analysis.sources.planning import Selection
from kmon_analysis.sources.prometheus import fetch_history
from kmon_analysis.timing import Interval
from tests.stack.cluster import REAL_LAG_EXPORTER, Stack, running_stack
from tests.stack.faults import injected, service_of
from tests.stack.record_page import page
from tests.stack.schedule import Step, schedule
from tests.stack.settings import SERVICES
from tests.tools import REPOSITORY, stated_version

INTERVAL_S = 5.0
MINUTES = 91.0
SEED = 20261128
OUTPUT = REPOSITORY / "data" / "recorded-kafka"
LARGEST_BYTES = 15_000_000

RULES = """\
groups:
  - name: kafka
    interval: 5s
    rules:
      - alert: HighConsumerLag
        expr: kafka_consumer_lag_sum > 1000
        for: 1m
      - alert: LowMessageRate
        expr: sum by (topic) (rate(kafka_server_BrokerTopicMetrics_MessagesInPerSec{topic!=""}[1m])) < 1
        for: 1m
      - alert: KafkaNoLeader
        expr: max(kafka_controller_KafkaController_OfflinePartitionsCount) > 0
        for: 15s
"""
# Of Kafka and of how it was watched; not of the virtual machines that ran it.
KEPT = r"kafka_|up$|scrape_duration_seconds$|ALERTS"
RULE_NAMES = ("HighConsumerLag", "LowMessageRate", "KafkaNoLeader")

# Traffic swings around its usual rate, and single messages come at random.
SWINGS = {"user-service": (900.0, 0.5), "profile-service": (1500.0, 0.4), "audit-service": (600.0, 0.3)}

RATE = "sum(rate(kafka_server_BrokerTopicMetrics_MessagesInPerSec{{topic={topic!r}}}[30s])) > {rate}"
LAG = "kafka_consumer_lag_sum{{consumergroup={group!r}}} < {lag}"
WHOLE = 'max(kafka_controller_KafkaController_OfflinePartitionsCount) == 0 and on() sum(up{job="kafka"}) == 3'
BACK = f"count(kafka_consumer_lag_sum) == {len(SERVICES)}"


@dataclass(frozen=True)
class Meaning:
    """What a fault is to the team: the rule that must see it, if any, and those that may."""

    must: tuple[str, ...] = ()
    may: tuple[str, ...] = ()


MEANINGS = {
    "consumer-stopped": Meaning(must=("HighConsumerLag",)),
    "consumer-slow": Meaning(must=("HighConsumerLag",)),
    "partition-poisoned": Meaning(must=("HighConsumerLag",)),
    "rebalance-storm": Meaning(may=("HighConsumerLag",)),
    "producer-stopped": Meaning(must=("LowMessageRate",)),
    "producer-thinned": Meaning(must=("LowMessageRate",)),
    "broker-killed": Meaning(must=("KafkaNoLeader",), may=("HighConsumerLag", "LowMessageRate")),
    "broker-paused": Meaning(must=("KafkaNoLeader",), may=("HighConsumerLag", "LowMessageRate")),
    "exporter-stopped": Meaning(may=RULE_NAMES),
}


def main(arguments: list[str] | None = None) -> int:
    """Record and save."""
    parser = argparse.ArgumentParser(prog="python -m tests.stack.record", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument(
        "--note", default="", help="what else is worth knowing, such as what ran on the machine beside it"
    )
    parser.add_argument("--plan", action="store_true", help="only show the schedule")
    given = parser.parse_args(arguments)
    steps = schedule(given.seed, given.minutes)
    if given.plan:
        for step in steps:
            print(json.dumps(dataclasses.asdict(step)))
        return 0
    if given.output.exists() and not (given.output / "recording.json").exists():
        print(f"{given.output} is there and is no recording: name another folder", file=sys.stderr)
        return 2
    with running_stack(interval_s=INTERVAL_S) as stack:
        history, incidents, events = run(stack, steps, given.minutes * 60)
        said = versions(stack)
    about = {
        "script": "tests/stack/record.py",
        "seed": given.seed,
        "minutes": given.minutes,
        "scrape_interval_s": INTERVAL_S,
        "versions": said,
        "note": given.note,
    }
    size = save(given.output, history, incidents, {**about, "events": events})
    print(f"{len(incidents.incidents)} incidents, {len(events)} harmless events, {size:,} bytes in {given.output}")
    return 0


def run(stack: Stack, steps: tuple[Step, ...], lasts_s: float) -> tuple[History, Incidents, list[dict[str, Any]]]:
    """Follow a schedule; return what Prometheus recorded, the incidents and the harmless events."""
    stack.load_rules("team", RULES)
    for number, service in enumerate(SERVICES):
        period_s, depth = SWINGS[service.group]
        stack.order(service.producer, swing={"period_s": period_s, "depth": depth, "seed": number})
    began = time.monotonic()
    start_ms = now_ms()
    incidents: list[Incident] = []
    events: list[dict[str, Any]] = []
    for step in steps:
        rest(stack, began + step.at_s)
        first = now_ms()
        with injected(stack, step.name, step.target or None):
            print(f"{time.monotonic() - began:7.1f} s: {step.name} {step.target}", file=sys.stderr, flush=True)
            rest(stack, time.monotonic() + step.lasts_s)
        undone = now_ms()
        if step.harmless:
            events.append({"name": step.name, "target": step.target, "start_ms": first, "end_ms": undone})
            continue
        # What is left of its share; a backlog that takes longer is the next step's, too, as it is in life.
        with contextlib.suppress(TimeoutError):
            stack.wait(recovered(step), max(10.0, began + step.until_s - time.monotonic()))
        incidents += labelled(step, len(incidents), Interval(first, now_ms()))
    rest(stack, began + lasts_s)
    end_ms = now_ms()
    time.sleep(1)
    names = [name for name in stack.api("label/__name__/values") if re.match(KEPT, name)]
    wanted = [Selection((Matcher("__name__", "=", name),)) for name in names]
    history = fetch_history(stack.url, wanted, start_ms=start_ms, end_ms=end_ms)
    return history, Incidents(tuple(incidents)), events


def rest(stack: Stack, until: float) -> None:
    """Sleep, but not beside a program that has ended by itself."""
    while (left := until - time.monotonic()) > 0:
        if ended := stack.processes.ended():
            raise RuntimeError(f"{', '.join(ended)} ended: {''.join(map(stack.processes.log, ended))}")
        time.sleep(min(left, 1.0))


def recovered(step: Step) -> str:
    """Return the expression that has a result once a fault's effects are over."""
    if step.name.startswith("broker"):
        return WHOLE
    if step.name == "exporter-stopped":
        return BACK
    service = service_of(step.target)
    if step.name.startswith("producer"):
        return RATE.format(topic=service.topic, rate=service.rate * 0.4)
    return LAG.format(group=service.group, lag=service.rate * 4)


def labelled(step: Step, number: int, interval: Interval) -> list[Incident]:
    """Write down a fault as a team would: once for the rules that must see it, once for those that may."""
    meaning = MEANINGS[step.name]
    found = []
    for rules, must in ((meaning.must, True), (meaning.may, False)):
        if rules:
            cause = f"{step.name} {step.target}".strip()
            name = f"INC-{number + len(found) + 1:03d}"
            labels = labels_of(step)
            found.append(Incident(name, interval, labels, rules, must_page=must, kind=step.name, cause=cause))
    return found


def labels_of(step: Step) -> dict[str, str]:
    """Return the labels that an incident concerns."""
    if step.name.startswith("broker") or step.name == "exporter-stopped":
        return {}
    service = service_of(step.target)
    if step.name.startswith("producer"):
        return {"topic": service.topic}
    return {"consumergroup": service.group, "topic": service.topic}


def versions(stack: Stack) -> dict[str, str]:
    """Return the versions of everything that took part."""

    def says(*command: str | Path) -> str:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return (done.stdout + done.stderr).strip().splitlines()[0]

    exporter = os.environ.get(REAL_LAG_EXPORTER)
    agent = re.search(r"^AGENT=(\S+)", (REPOSITORY / "tests" / "judges" / "kafka").read_text(), re.MULTILINE)
    return {
        "kafka": stated_version("kafka"),
        "jmx_exporter": agent[1] if agent else "",
        "lag exporter": says(exporter, "--version") if exporter else "tests/stack/lag_exporter.py",
        "prometheus": stack.api("status/buildinfo")["version"],
        "alertmanager": says(stack.programs["prometheus-alertmanager"], "--version"),
        "java": says("java", "-version"),
        "confluent-kafka": confluent_kafka.__version__,
        "librdkafka": confluent_kafka.libversion()[0],
        "python": platform.python_version(),
    }


def save(output: Path, history: History, incidents: Incidents, about: dict[str, Any]) -> int:
    """Write the folder beside and put it into its place; return its size in bytes."""
    making = output.with_name(f".{output.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    recording = {key: about[key] for key in about if key != "events"}
    provenance = dataclasses.replace(
        history.provenance,
        scrape_interval_ms=round(about["scrape_interval_s"] * 1000),
        extra={**history.provenance.extra, "recording": recording},
    )
    History(history.series, provenance).save(making)
    (making / "incidents.yml").write_text(format_incidents(incidents), encoding="utf-8")
    (making / "rules.yml").write_text(RULES, encoding="utf-8")
    (making / "README.md").write_text(page(history, incidents, about) + "\n", encoding="utf-8")
    (making / "recording.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    size = sum(path.stat().st_size for path in making.rglob("*") if path.is_file())
    if size > LARGEST_BYTES:
        raise RuntimeError(f"{size:,} bytes in {making}: more than {LARGEST_BYTES:,}; it stays there")
    shutil.rmtree(output, ignore_errors=True)
    making.replace(output)
    return size


def now_ms() -> int:
    """Return the time."""
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    sys.exit(main())
