"""Credentials from the environment: they reach the server that they are for, and nothing else."""

import traceback

import pytest

from kmon_analysis.errors import SettingError
from kmon_analysis.sources.connection import Connection, Patience, connect
from kmon_analysis.sources.credentials import authorised, check_credentials, same_server
from tests.sources.fault_server import Reply, serving

TOKEN = {"KMON_PROMETHEUS_TOKEN": "s3cr3t-t0ken"}
BASIC = {"KMON_PROMETHEUS_USER": "jörg", "KMON_PROMETHEUS_PASSWORD": "s3cr3t wörd"}
HEADERS = {"KMON_PROMETHEUS_TOKEN": "Bearer s3cr3t-t0ken", "KMON_PROMETHEUS_USER": "Basic asO2cmc6czNjcjN0IHfDtnJk"}


def authorization(seen):
    return {headers.get("Authorization") for *_, headers in seen}


def asked(source, environment):
    connection = Connection(connect(authorised(source, environment)), Patience(attempts=1))
    connection.ask("/api/v1/query", {"query": "up"})
    connection.read("/api/v1/status/buildinfo")


@pytest.mark.parametrize("environment", [TOKEN, BASIC], ids=["token", "basic"])
def test_every_request_carries_them(environment, tmp_path, monkeypatch):
    # A .netrc would go before a header of the session.
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login other password wrong\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with serving(lambda *_: Reply()) as (url, seen):
        asked(url, environment)
    assert len(seen) == 2
    assert authorization(seen) == {HEADERS[next(iter(environment))]}


@pytest.mark.parametrize("environment", [TOKEN, BASIC], ids=["token", "basic"])
def test_another_host_does_not_get_them(environment):
    with serving(lambda *_: Reply()) as (other, there):
        elsewhere = other.replace("127.0.0.1", "localhost")

        def away(_method, path, _form, _headers):
            return Reply(302, b"", {"Location": elsewhere + path})

        with serving(away) as (url, here):
            asked(url, environment)
    assert HEADERS[next(iter(environment))] in authorization(here)
    assert there
    assert authorization(there) == {None}


def test_the_url_goes_before_the_environment():
    with serving(lambda *_: Reply()) as (url, seen):
        asked(url.replace("//", "//me:mine@"), TOKEN)
        asked(url, {})
    assert authorization(seen[:2]) == {"Basic bWU6bWluZQ=="}
    assert authorization(seen[2:]) == {None}


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({**TOKEN, **BASIC}, "KMON_PROMETHEUS_TOKEN and KMON_PROMETHEUS_USER: both a token and a user are given"),
        ({"KMON_PROMETHEUS_USER": "s3cr3t"}, "KMON_PROMETHEUS_USER: is set without KMON_PROMETHEUS_PASSWORD"),
        ({"KMON_PROMETHEUS_PASSWORD": "s3cr3t"}, "KMON_PROMETHEUS_PASSWORD: is set without KMON_PROMETHEUS_USER"),
        ({"KMON_PROMETHEUS_TOKEN": "s3cr3t\nHost: a"}, "KMON_PROMETHEUS_TOKEN: holds a character that no token has"),
        ({"KMON_PROMETHEUS_TOKEN": "s3cr3tö"}, "KMON_PROMETHEUS_TOKEN: holds a character"),
        ({**BASIC, "KMON_PROMETHEUS_USER": "s3cr3t:a"}, "KMON_PROMETHEUS_USER: holds a colon"),
        ({"KMON_PROMETHEUS_CA": "nowhere.pem"}, "KMON_PROMETHEUS_CA: there is no such file: 'nowhere.pem'"),
    ],
)
def test_what_cannot_be_used_is_refused_without_repeating_it(environment, words):
    with pytest.raises(SettingError) as caught:
        authorised("http://localhost:9090", environment)
    assert str(caught.value).startswith(words)
    assert "s3cr3t" not in "".join(traceback.format_exception(caught.value))


def test_a_file_of_certificates(tmp_path):
    path = tmp_path / "ca.pem"
    path.write_text("")
    made = authorised("https://localhost:9090", {"KMON_PROMETHEUS_CA": str(path)})
    assert made._session.verify == str(path)
    assert made.auth is None
    assert check_credentials({}) == (None, None)
    assert authorised("https://localhost:9090", {}) == "https://localhost:9090"


def test_same_server():
    assert same_server("http://a:1/x", "http://A:1")
    assert not same_server("http://a:1", "http://a:2")
    assert not same_server("http://a", "https://a")
