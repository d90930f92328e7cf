import asyncio
import json
import signal
import subprocess
import sys

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.routing import Mount

from kmon_analysis.health.application import application, health_routes, make_prober
from kmon_analysis.health.reader import parse_settings
from tests.health.mock_kafka import mock_cluster
from tests.health.served import Process

EVENTS = ("UserRegistered", "DeveloperProfileUpdated")


def configuration(bootstrap, url, **more):
    return {
        "port": 0,
        "shutdown_grace": "2s",
        "kafka": [{"bootstrap_servers": [bootstrap], "deadline": "5s"}],
        "databases": {"main": {"url": url}},
        "events": [{"name": name, "max_age": "5m", "deadline": "5s"} for name in EVENTS],
        **more,
    }


@pytest.fixture(scope="module")
def cluster():
    with mock_cluster(1) as made:
        made.create("user.registered", 1)
        yield made


@pytest.fixture
def prober(cluster, box):
    made = make_prober(parse_settings(json.dumps(configuration(cluster.bootstrap, box.url)), "i.yml", {}, None))
    yield made
    made.close()


class Answer:
    """What an ASGI application answers to one request."""

    def __init__(self, app, path, method="GET"):
        self.parts = []
        scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b""}
        scope |= {"headers": [], "root_path": "", "scheme": "http", "http_version": "1.1", "asgi": {"version": "3.0"}}
        asyncio.run(app(scope, self.receive, self.send))
        self.status_code = self.parts[0]["status"]
        self.headers = {name.decode(): value.decode() for name, value in self.parts[0]["headers"]}
        self.text = b"".join(part.get("body", b"") for part in self.parts).decode()

    async def receive(self):
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message):
        self.parts.append(message)

    def json(self):
        return json.loads(self.text)


def metrics(text):
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_answers_and_metrics(prober, box):
    app = application(prober)
    well = Answer(app, "/health/integrations")
    assert well.status_code == 200
    assert well.headers["cache-control"] == "no-cache, no-store, must-revalidate"
    assert well.json()["status"] == "ok"
    assert list(well.json()["details"]) == ["kafka", *EVENTS]
    box.add("UserRegistered", 600)
    ill = Answer(app, "/health/integrations")
    assert ill.status_code == 503
    assert ill.json()["status"] == "error"
    assert list(ill.json()["error"]) == ["UserRegistered"]
    assert list(ill.json()["info"]) == ["kafka", "DeveloperProfileUpdated"]
    answer = Answer(app, "/metrics")
    assert answer.status_code == 200
    found = metrics(answer.text)
    assert found["integration_up", "kafka"] == 1
    assert found["integration_up", "UserRegistered"] == 0
    assert found["outbox_pending_events", "UserRegistered"] == 1
    assert 600 <= found["outbox_oldest_pending_age_seconds", "UserRegistered"] < 660
    assert found["outbox_oldest_pending_age_seconds", "DeveloperProfileUpdated"] == 0
    assert found["integration_check_duration_seconds", "kafka"] > 0
    box.run("DROP TABLE outbox")
    gone = metrics(Answer(app, "/metrics").text)
    assert ("outbox_pending_events", "UserRegistered") not in gone
    assert gone["integration_up", "UserRegistered"] == 0
    assert Answer(app, "/health/integrations").status_code == 503
    assert Answer(app, "/health/integrations", "POST").status_code == 405
    prober.shutting_down = True
    leaving = Answer(app, "/health/integrations")
    assert (leaving.status_code, leaving.json()["status"]) == (503, "shutting_down")


def test_routes_mount_in_an_application_that_is_there(prober):
    app = Starlette(routes=[Mount("/internal", routes=health_routes(prober))])
    assert Answer(app, "/internal/health/integrations").json()["status"] == "ok"


@pytest.fixture
def served(cluster, postgres_server, tmp_path):
    from tests.health.boxes import Outbox

    box = Outbox(postgres_server.url, "postgresql")
    box.run(
        "DROP TABLE IF EXISTS served",
        "CREATE TABLE served (event_type text, created_at timestamptz, processed_at timestamptz)",
    )
    events = [{"name": name, "max_age": "5m", "table": "served", "deadline": "1s"} for name in EVENTS]
    process = Process(tmp_path, configuration(cluster.bootstrap, box.url, events=events))
    yield process
    process.end()
    box.close()


def test_a_database_that_hangs_costs_a_deadline_and_recovers_without_restart(served, postgres_server):
    served.until(200)
    with postgres_server.hanging():
        status, answer = served.get()
        assert status == 503
        assert list(answer["error"]) == list(EVENTS)
        assert answer["info"]["kafka"]["status"] == "up"
        for _ in range(5):
            assert served.get()[1]["error"]["UserRegistered"]["message"] == "timeout of 1000ms exceeded"
        threads = served.threads()
        for _ in range(3):
            served.get()
        assert served.threads() == threads
    served.until(200)
    assert "hush-hush" not in served.log.read_text()
    assert "UserRegistered is up" in served.log.read_text()


def test_shutting_down_is_said_before_the_port_closes(served):
    served.until(200)
    served.process.send_signal(signal.SIGTERM)
    assert served.until(503)["status"] == "shutting_down"
    assert served.process.wait(60) == 0


def test_the_published_description_holds(served, tmp_path):
    found = subprocess.run(
        [
            sys.executable,
            "-m",
            "schemathesis.cli",
            "run",
            f"{served.url}/openapi.json",
            "--max-examples",
            "5",
            "--seed",
            "1",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert "No issues found" in found.stdout


def test_a_port_that_is_taken_is_one_clear_error(served, tmp_path):
    port = served.url.rsplit(":", 1)[1]
    path = tmp_path / "taken.yml"
    path.write_text(f"port: {port}\nkafka: [{{bootstrap_servers: '127.0.0.1:1'}}]\n")
    command = [sys.executable, "-m", "kmon_analysis.cli", "health", "serve", "--config", str(path)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 2
    assert "cannot listen" in found.stderr
    assert "Traceback" not in found.stderr


def test_checks_once_for_probes_and_cron(box, cluster, tmp_path):
    path = tmp_path / "integrations.yml"
    path.write_text(json.dumps(configuration(cluster.bootstrap, box.url)))
    command = [sys.executable, "-m", "kmon_analysis.cli", "health", "check", "--config", str(path)]
    well = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    assert (well.returncode, json.loads(well.stdout)["status"], well.stderr) == (0, "ok", "")
    box.add("UserRegistered", 600)
    ill = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ill.returncode == 1
    assert "down  UserRegistered  the oldest pending event is 10 min" in ill.stdout
