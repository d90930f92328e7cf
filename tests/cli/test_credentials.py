"""Credentials from the environment on the command line and in notebooks: they reach their server, and no file."""

import json

import pytest

from kmon_analysis.errors import KmonError
from kmon_analysis.workflow_notebook import given
from tests.cli.conftest import tree
from tests.prometheus_server import openmetrics, running_prometheus
from tests.sources.fault_server import Reply, serving
from tests.sources.test_credentials import BASIC, HEADERS, authorization

# bcrypt of "s3cr3t", four rounds.
HASHED = "$2b$04$abcdefghijklmnopqrstuu35fBIWlNgF8BcAW/t2cO158N8svSFHy"


def test_the_command_line_and_what_it_writes(kmon, world, tmp_path, monkeypatch):
    with running_prometheus(openmetrics({"kafka_consumer_lag_sum": [(60_000 * n, "1") for n in range(5)]})) as server:
        times = ("--start", "1970-01-01T00:00:00Z", "--end", "1970-01-01T00:05:00Z")
        from_server = ("--prometheus", server.url, "--rules", world.rules, *times)
        for name, value in BASIC.items():
            monkeypatch.setenv(name, value)
        with serving(lambda *_: Reply(401, b"")) as (other, seen):
            found = kmon("fetch", *from_server, "-o", tmp_path / "h", "--json")
            assert found.status == 0
            assert kmon("backtest", *from_server, "--evaluate-on", other, "--json").status == 0
            assert kmon("doctor", "--prometheus", other).refused(3).count("KMON_PROMETHEUS_TOKEN") == 1
            assert authorization(seen) == {HEADERS["KMON_PROMETHEUS_USER"]}
            rules = tmp_path / "r.yml"
            rules.write_text(world.rules.read_text().replace("expr: kafka", "expr: histogram_sum(x) + kafka"))
            seen.clear()
            arguments = ("backtest", "--prometheus", server.url, *times, "--rules", rules, "--evaluate-on", other)
            assert kmon(*arguments).status == 3
            assert authorization(seen) == {None}, "what is for one server is not shown to another"
    written = b"".join(text for text in tree(tmp_path).values() if text)
    for secret in ("s3cr3t", "asO2cmc6czNjcjN0"):
        assert secret.encode() not in written
        assert secret not in found.out + found.err


def test_a_server_that_wants_them(kmon, world, tmp_path, monkeypatch):
    web = tmp_path / "web.yml"
    web.write_text(f"basic_auth_users: {{bob: {json.dumps(HASHED)}}}\n")
    samples = openmetrics({"kafka_consumer_lag_sum": [(60_000 * n, "1") for n in range(5)]})
    with running_prometheus(samples, arguments=[f"--web.config.file={web}"]) as server:
        said = kmon("doctor", "--prometheus", server.url).refused(3)
        assert "set KMON_PROMETHEUS_TOKEN, or KMON_PROMETHEUS_USER and KMON_PROMETHEUS_PASSWORD" in said
        own = {"KMON_PROMETHEUS_USER": "bob", "KMON_PROMETHEUS_PASSWORD": "s3cr3t"}
        for name, value in own.items():
            monkeypatch.setenv(name, value)
        assert "version: 2" in kmon("doctor", "--prometheus", server.url).out
        notebook = {"KMON_PROMETHEUS_URL": server.url, "KMON_RULES": str(world.rules), "KMON_OUT": str(tmp_path / "o")}
        with pytest.raises(KmonError) as refused:
            given(environment=notebook)
        assert "401" in str(refused.value)
        with pytest.raises(KmonError) as found:
            given(environment={**notebook, **own})
        assert "has no sample of what the rules read" in str(found.value)
        monkeypatch.setenv("KMON_PROMETHEUS_PASSWORD", "wr0ng")
        assert "wr0ng" not in kmon("doctor", "--prometheus", server.url).refused(3)
