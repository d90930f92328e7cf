"""The health endpoint beside a real cluster and a real outbox, from well to ill and back without a restart."""

import contextlib
import threading
import time
from datetime import UTC, datetime

import pytest
from confluent_kafka import Producer
from sqlalchemy import create_engine, text

from tests.health import postgres
from tests.health.served import Process
from tests.stack.cluster import running_stack
from tests.stack.faults import injected

TOPICS = {"UserRegistered": "user.registered", "DeveloperProfileUpdated": "developer.profile.updated"}


class Relay(threading.Thread):
    """Writes events to an outbox, and publishes what is pending there, as a service would."""

    def __init__(self, url, bootstrap):
        super().__init__(daemon=True)
        self.engine = create_engine(url)
        self.producer = Producer({"bootstrap.servers": bootstrap, "log_level": 0, "acks": "all"})
        self.ended = threading.Event()
        self.stopped = set()
        with self.engine.begin() as connection:
            connection.execute(
                text(
                    "CREATE TABLE outbox (id serial PRIMARY KEY, event_type text, created_at timestamptz, "
                    "processed_at timestamptz)"
                )
            )

    def run(self):
        while not self.ended.wait(0.2):
            with self.engine.begin() as connection:
                for event in TOPICS:
                    insert = text("INSERT INTO outbox (event_type, created_at) VALUES (:event, now())")
                    connection.execute(insert, {"event": event})
            self.publish()

    def publish(self):
        with self.engine.begin() as connection:
            pending = connection.execute(text("SELECT id, event_type FROM outbox WHERE processed_at IS NULL")).all()
        delivered = []
        for number, event in pending:
            if event not in self.stopped:
                told = {"number": number}
                self.producer.produce(
                    TOPICS[event],
                    datetime.now(UTC).isoformat().encode(),
                    on_delivery=lambda error, _, told=told: delivered.append(told["number"]) if error is None else None,
                )
        self.producer.flush(5)
        if delivered:
            with self.engine.begin() as connection:
                mark = text("UPDATE outbox SET processed_at = now() WHERE id = ANY(:numbers)")
                connection.execute(mark, {"numbers": delivered})

    def end(self):
        self.ended.set()
        self.join(60)
        self.engine.dispose()


def until(condition, served):
    began = time.monotonic()
    while not condition(found := served.get()):
        assert time.monotonic() - began < 120, found
        time.sleep(0.2)
    return found[1]


def well(found):
    return found[0] == 200


@pytest.fixture
def world(tmp_path):
    with contextlib.ExitStack() as ending:
        (tmp_path / "postgres").mkdir()
        database = ending.enter_context(postgres.running(tmp_path / "postgres"))
        stack = ending.enter_context(running_stack())
        relay = Relay(database.url, stack.bootstrap)
        relay.start()
        ending.callback(relay.end)
        configuration = {
            "port": 0,
            "kafka": [
                {
                    "bootstrap_servers": [broker.address for broker in stack.brokers],
                    "required_topics": [*TOPICS.values(), "user.audited"],
                    "deadline": "3s",
                }
            ],
            "databases": {"main": {"url": database.url}},
            "events": [{"name": event, "max_age": "15s", "deadline": "3s"} for event in TOPICS],
        }
        served = Process(tmp_path, configuration)
        ending.callback(served.end)
        yield stack, relay, served


def test_from_well_to_ill_and_back(world):
    stack, relay, served = world
    answer = until(well, served)
    assert answer["info"]["kafka"]["brokers"] == 3

    relay.stopped.add("UserRegistered")
    answer = until(lambda found: "UserRegistered" in found[1]["error"], served)
    assert list(answer["error"]) == ["UserRegistered"]
    assert answer["error"]["UserRegistered"]["oldest_age_seconds"] > 15
    relay.stopped.clear()
    until(well, served)

    with injected(stack, "broker-killed"):
        answer = until(lambda found: "leaderless_partitions" in found[1]["error"].get("kafka", {}), served)
        assert all(name.startswith("user.audited-") for name in answer["error"]["kafka"]["leaderless_partitions"])
    until(well, served)

    for broker in stack.brokers:
        stack.processes.stop(broker.name)
    answer = until(lambda found: "message" in found[1]["error"].get("kafka", {}), served)
    assert answer["status"] == "error"
    # Nothing can be published: in time the outbox tells, too.
    until(lambda found: set(TOPICS) < set(found[1]["error"]), served)
    for broker in stack.brokers:
        stack.start_broker(broker)
    until(well, served)
    assert served.process.poll() is None
