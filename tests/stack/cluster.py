"""Start and stop the whole stack, give its workers orders, ask its Prometheus.

Examples
--------
::

    with running_stack() as stack:
        stack.query("kafka_consumer_lag_sum")
        with faults.injected(stack, "consumer-stopped"):
            ...
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from kmon_analysis.kafka.dialects import dialects
from kmon_analysis.kafka.jmx_init import jmx_configuration
from kmon_analysis.kafka.recording import recording_rules
from tests.stack import settings
from tests.stack.brokers import Broker, format_storage, write_configuration
from tests.stack.orders import write_json
from tests.stack.processes import Processes, free_ports
from tests.tools import REPOSITORY, require

__all__ = ["PREFIX", "REAL_LAG_EXPORTER", "Stack", "running_stack"]

PREFIX = "kmon-stack-"
NEEDED = ("kafka", "prometheus3", "prometheus-alertmanager", "setpriv")
# kafka_exporter is in no package registry that CI reaches, so a stack works without it.
REAL_LAG_EXPORTER = "KMON_KAFKA_EXPORTER"
# Generous: on a loaded machine a JVM may need half a minute to come up.
WITHIN_S = 180.0

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Stack:
    """Everything of one cluster.

    Parameters
    ----------
    folder : Path
        An empty folder for all files.
    interval_s : float
        Seconds between scrapes and between evaluations of rules.
    jmx : str, optional
        The configuration of the JMX exporter; by default ours.
    """

    def __init__(self, folder: Path, *, interval_s: float = 2.0, jmx: str | None = None):
        self.folder = folder
        self.interval_s = interval_s
        self.programs = {name: require(name) for name in NEEDED}
        self.jmx = jmx_configuration() if jmx is None else jmx
        self.processes = Processes(folder, self._save)
        ports = iter(free_ports(12))
        self.brokers = [
            Broker(node, folder / f"broker-{node}", next(ports), next(ports), next(ports)) for node in (1, 2, 3)
        ]
        self.prometheus_port, self.alertmanager_port, self.lag_port = next(ports), next(ports), next(ports)
        self.bootstrap = ",".join(broker.address for broker in self.brokers)
        self.url = f"http://127.0.0.1:{self.prometheus_port}"
        self.notifications: list[dict[str, Any]] = []
        self.orders: dict[str, dict[str, Any]] = {}
        self.rules_folder = folder / "rules"
        self._webhook = _webhook(self._notified)

    # Life

    def start(self) -> None:
        """Start everything, and wait until it works."""
        self.rules_folder.mkdir()
        recording = recording_rules(dialects()["kafka-exporter"])
        (self.rules_folder / "recording.yml").write_text(recording, encoding="utf-8")
        write_configuration(self.brokers, self.jmx)
        # The storage tool would take an identifier that begins with a hyphen for an option.
        cluster_id = "k" + urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
        format_storage(self.brokers, self.programs["kafka"], cluster_id)
        for broker in self.brokers:
            self.start_broker(broker)
        self._start_alertmanager()
        self._start_prometheus()
        self._python("topics", "topics", self.bootstrap, json.dumps(settings.TOPICS))
        topics = self.processes.running["topics"]
        code = topics.wait(WITHIN_S)
        if code:
            raise RuntimeError(f"the cluster did not come up: {self.processes.log('topics')}{self._said()}")
        self.processes.stop("topics")
        self.start_lag_exporter()
        for service in settings.SERVICES:
            self.order(service.producer, rate=service.rate)
            self.start_producer(service)
            self.start_consumer(service)
        self.wait(f"count(kafka_consumer_lag_sum) == {len(settings.SERVICES)}")
        self.wait("sum(up) == 4")
        self.wait(lambda: all(self.counts(service.consumer).get("consumed") for service in settings.SERVICES))

    def stop(self) -> None:
        """End every process; the folder stays."""
        self.processes.stop_all()
        self._webhook.shutdown()
        self._webhook.server_close()

    # Parts

    def start_broker(self, broker: Broker) -> None:
        """Start a broker, for the first time or again."""
        self.processes.start(broker.name, broker.command(self.programs["kafka"]))

    def start_lag_exporter(self) -> None:
        """Start kafka_exporter where ``KMON_KAFKA_EXPORTER`` names its program, else our own in its names."""
        if stated := os.environ.get(REAL_LAG_EXPORTER):
            servers = [f"--kafka.server={broker.address}" for broker in self.brokers]
            listen = f"--web.listen-address=127.0.0.1:{self.lag_port}"
            self.processes.start("lag-exporter", [stated, *servers, listen, "--topic.exclude=^__"])
            return
        groups = [f"{service.group}={service.topic}" for service in settings.SERVICES]
        self._python("lag-exporter", "lag_exporter", str(self.lag_port), self.bootstrap, *groups)

    def start_producer(self, service: settings.Service) -> None:
        """Start a service's producer."""
        self._python(service.producer, "producer", self.bootstrap, service.topic, str(self.folder), service.producer)

    def start_consumer(self, service: settings.Service) -> None:
        """Start a service's consumer."""
        given = (self.bootstrap, service.group, service.topic, str(self.folder), service.consumer)
        self._python(service.consumer, "consumer", *given)

    def start_storm(self, service: settings.Service, number: int) -> str:
        """Start a member that joins a service's group and leaves it, again and again; return its process's name."""
        name = f"storm-{service.group}-{number}"
        self._python(name, "consumer", self.bootstrap, service.group, service.topic, "--storm", name)
        return name

    def order(self, worker: str, **changes: Any) -> None:
        """Change a worker's orders; it follows within a fraction of a second. None takes an order back."""
        orders = {**self.orders.get(worker, {}), **changes}
        self.orders[worker] = {key: value for key, value in orders.items() if value is not None}
        write_json(self.folder / f"{worker}.orders.json", self.orders[worker])

    def counts(self, worker: str) -> dict[str, Any]:
        """Return a worker's counts, at most about half a second old."""
        path = self.folder / f"{worker}.counts.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    # Prometheus

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Return the labels and values of an instant query, now."""
        answer = self.api("query", query=expression)
        return [(item["metric"], float(item["value"][1])) for item in answer["result"]]

    def api(self, path: str, **parameters: Any) -> Any:
        """Return the data of one call of Prometheus' API."""
        text = urllib.parse.urlencode(parameters, doseq=True)
        with _OPENER.open(f"{self.url}/api/v1/{path}?{text}", timeout=30) as answer:
            return json.load(answer)["data"]

    def wait(self, condition: str | Callable[[], Any], within_s: float = WITHIN_S) -> Any:
        """Wait until an expression has a result, or until a function returns something true; return it."""
        give_up = time.monotonic() + within_s
        while True:
            try:
                found = self.query(condition) if isinstance(condition, str) else condition()
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                found = None
            if found:
                return found
            if ended := self.processes.ended():
                raise RuntimeError(f"{', '.join(ended)} ended: {''.join(map(self.processes.log, ended))}")
            if time.monotonic() > give_up:
                raise TimeoutError(f"not within {within_s:.0f} s: {condition}{self._said()}")
            time.sleep(0.25)

    def load_rules(self, name: str, text: str | None) -> None:
        """Give Prometheus a rule file (None removes it), and wait until its rules are loaded."""
        path = self.rules_folder / f"{name}.yml"
        if text is None:
            path.unlink()
        else:
            path.write_text(text, encoding="utf-8")
        with _OPENER.open(urllib.request.Request(f"{self.url}/-/reload", method="POST"), timeout=60):
            pass

        def loaded() -> bool:
            files = {group["file"] for group in self.api("rules")["groups"]}
            return (str(path) in files) == (text is not None)

        self.wait(loaded)

    # Inside

    def _python(self, name: str, module: str, *arguments: str) -> None:
        path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
        command = [sys.executable, "-u", "-m", f"tests.stack.{module}", *arguments]
        self.processes.start(name, command, {"PYTHONPATH": path})

    def _start_alertmanager(self) -> None:
        configuration = self.folder / "alertmanager.yml"
        configuration.write_text(settings.alertmanager(self._webhook.server_port), encoding="utf-8")
        command = [
            self.programs["prometheus-alertmanager"],
            f"--config.file={configuration}",
            f"--storage.path={self.folder / 'alertmanager'}",
            f"--web.listen-address=127.0.0.1:{self.alertmanager_port}",
            "--cluster.listen-address=",
            "--log.level=warn",
        ]
        self.processes.start("alertmanager", command)

    def _start_prometheus(self) -> None:
        configuration = self.folder / "prometheus.yml"
        text = settings.prometheus(
            interval_s=self.interval_s,
            rules=f"{self.rules_folder}/*.yml",
            brokers=[broker.metrics_port for broker in self.brokers],
            lag_exporter=self.lag_port,
            alertmanager_port=self.alertmanager_port,
        )
        configuration.write_text(text, encoding="utf-8")
        command = [
            self.programs["prometheus3"],
            f"--config.file={configuration}",
            f"--storage.tsdb.path={self.folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{self.prometheus_port}",
            "--web.enable-lifecycle",
            "--log.level=warn",
        ]
        self.processes.start("prometheus", command)

    def _notified(self, payload: dict[str, Any]) -> None:
        self.notifications.append({"received_ms": time.time_ns() // 1_000_000, **payload})
        with (self.folder / "notifications.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(self.notifications[-1]) + "\n")

    def _save(self) -> None:
        state = {
            "prometheus": self.url,
            "alertmanager": f"http://127.0.0.1:{self.alertmanager_port}",
            "brokers": self.bootstrap,
            "processes": {name: process.pid for name, process in self.processes.running.items()},
        }
        write_json(self.folder / "stack.json", state)

    def _said(self) -> str:
        return "".join(
            f"\n--- {name}:\n{said}" for name in self.processes.running if (said := self.processes.log(name, 800))
        )


def _webhook(notified: Callable[[dict[str, Any]], None]) -> ThreadingHTTPServer:
    """Receive what Alertmanager sends, on a thread of this process."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            notified(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@contextlib.contextmanager
def running_stack(**options: Any) -> Iterator[Stack]:
    """Run a stack in a temporary folder; nothing of it is left at the end."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    stack = None
    try:
        stack = Stack(folder, **options)
        stack.start()
        yield stack
    finally:
        if stack is not None:
            stack.stop()
        shutil.rmtree(folder, ignore_errors=True)
