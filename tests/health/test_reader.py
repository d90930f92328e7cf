import json
import re

import pytest

from kmon_analysis.errors import HealthConfigError
from kmon_analysis.health.reader import parse_settings, read_settings

GOOD = """\
kafka:
- bootstrap_servers: [kafka-1:9092, kafka-2:9092]
  required_topics: [user.registered]
  client:
    security.protocol: SASL_SSL
    sasl.username: app
    sasl.password: {env: KAFKA_PASSWORD}
databases:
  main:
    url: postgresql+psycopg://app@db/users
    password: {file: password.txt}
events:
- {name: DeveloperProfileUpdated, max_age: 5m}
- {name: UserRegistered, max_age: 90s, outbox: spring-modulith, event_type: com.example.UserRegistered}
"""


def read(text, environment=None, folder=None):
    return parse_settings(text, "integrations.yml", environment or {}, folder)


def faults(text, environment=None, folder=None):
    with pytest.raises(HealthConfigError) as raised:
        read(text, environment, folder)
    return str(raised.value)


def test_a_whole_configuration(tmp_path):
    (tmp_path / "integrations.yml").write_text(GOOD)
    (tmp_path / "password.txt").write_text("p w\n")
    settings = read_settings(tmp_path / "integrations.yml", {"KAFKA_PASSWORD": "k"})
    (kafka,) = settings.kafka
    assert kafka.name == "kafka"
    assert kafka.client["bootstrap.servers"] == "kafka-1:9092,kafka-2:9092"
    assert kafka.client["sasl.password"].value == "k"
    assert kafka.required_topics == ("user.registered",)
    first, second = settings.events
    assert (first.table, first.pending.column, first.max_age_ms, first.event_type) == (
        "outbox",
        "processed_at",
        300_000,
        "DeveloperProfileUpdated",
    )
    assert (second.table, second.event_type, second.max_attempts) == (
        "event_publication",
        "com.example.UserRegistered",
        None,
    )
    assert (settings.host, settings.port, settings.shutdown_grace_ms) == ("127.0.0.1", 8080, 5000)
    assert settings.databases[0].password.value == "p w"
    assert set(settings.secrets) == {"k", "p w", "postgresql+psycopg://app@db/users"}
    for secret in ("p w", "'k'"):
        assert secret not in repr(settings)


def test_all_faults_are_told_at_once_with_their_places(tmp_path):
    said = faults(
        """\
prot: 1
port: 99999
kafka:
- bootstrap_servers: []
  deadline: 2h
  client: {sasl.password: {env: ABSENT}, sasl.username: {env: A, file: b}}
databases:
  main: {url: nonsense}
  other: {url: "mysql://h/x"}
  third: {}
events:
- {name: A, max_age: 5x, max_attempts: many, outbox: debezium}
- {name: B, database: mian, max_age: 0s}
- {max_age: 5m, columns: [a], pending: {in: [x]}}
- text
"""
    )
    for expected in (
        r"1:1: unknown key 'prot'",
        r"1:1: port 99999",
        r"4:3: 'bootstrap_servers' names no broker",
        r"5:13: 'deadline' is '2h'",
        r"6:\d+: the environment variable 'ABSENT'",
        r"6:\d+: the property 'sasl.username' needs either",
        r"8:\d+: the URL of the database 'main' cannot be read",
        r"9:\d+: the database 'other' is of a kind that is not supported: 'mysql'",
        r"10:\d+: the database 'third' has no 'url'",
        r"12:\d+: 'max_age': not a duration: '5x'",
        r"12:\d+: 'max_attempts' must be a whole number, not 'many'",
        r"12:\d+: 'outbox' cannot be 'debezium'",
        r"13:\d+: 'max_age' is '0s'",
        r"14:\d+: an entry of 'events' has no 'name'",
        r"14:\d+: 'columns' of the event '' must be a mapping",
        r"14:\d+: 'pending' of the event '' has no 'column'",
        r"15:\d+: an entry of 'events' must be a mapping",
    ):
        assert re.search(expected, said), (expected, said)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the file is empty"),
        ("- a", "must be one mapping"),
        ("a: [", "not valid YAML"),
        ("{}", "nothing is checked"),
        ("kafka: 5", "'kafka' must be a list"),
        ("events: [{name: A, max_age: 5m}]", "names no database"),
        ("kafka: [{bootstrap_servers: a, name: x}, {bootstrap_servers: b, name: x}]", "two checks are called 'x'"),
        ("kafka: [{bootstrap_servers: {a: b}}]", "must be a text"),
        ("databases: {m: {url: 'sqlite:///x'}}\nevents: [{name: A, max_age: 5m, table: \"a\\0b\"}]", "no identifier"),
        ("databases: {m: {url: {file: absent}}}", "cannot be read"),
        ("&a [*a]", ""),
        ("kafka: &k\n- bootstrap_servers: *k", ""),
    ],
)
def test_bad_files(text, expected, tmp_path):
    assert expected in faults(text, folder=tmp_path)


def test_secrets_are_in_no_message(tmp_path):
    said = faults(
        "databases: {main: {url: 'postgresql://u:p4ss@h/x', pasword: hush}}\n"
        "kafka: [{bootstrap_servers: a, client: {sasl.password: sesame, deadline: [x]}}]"
    )
    for secret in ("p4ss", "hush", "sesame"):
        assert secret not in said


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "integrations.yml"
    path.write_bytes(b"kafka:\n\xff")
    with pytest.raises(HealthConfigError, match=":2: not UTF-8"):
        read_settings(path)
    with pytest.raises(HealthConfigError, match="cannot be read"):
        read_settings(tmp_path / "absent.yml")
    path.write_text(json.dumps({"kafka": [{"bootstrap_servers": "a", "name": "x" * 1_000_001}]}))
    with pytest.raises(HealthConfigError, match="larger"):
        read_settings(path)
