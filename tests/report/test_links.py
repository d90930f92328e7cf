"""Links survive every text, and lead where the servers' own pages read them."""

import urllib.error
import urllib.request
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmon_analysis.errors import SettingError
from kmon_analysis.kafka.dashboard import dashboard
from kmon_analysis.kafka.dialects import choose, dialects, named
from kmon_analysis.report.links import grafana_link, prometheus_link
from kmon_analysis.timing import HOUR_MS, Interval, parse_instant
from tests.prometheus_server import running_prometheus

SPAN = Interval(parse_instant("2026-03-01T08:00:00Z"), parse_instant("2026-03-01T10:30:00.250Z"))
HOSTILE = "a&b=c #?/\\%41+\"'<script>$x{from_ms} \u202e\U0001f600\n"
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


def query_of(address):
    return parse_qs(urlsplit(address).query, keep_blank_values=True, strict_parsing=True)


def test_the_dashboard_of_kmon_is_the_default():
    model = dashboard(choose(named("recorded,founding")))
    address = grafana_link("https://grafana.example.com/ops/", SPAN, {"topic": "a", "consumergroup": "b", "x": "y"})
    assert address.startswith(f"https://grafana.example.com/ops/d/{model['uid']}?")
    assert query_of(address) == {
        "from": [str(SPAN.start_ms)],
        "to": [str(SPAN.end_ms)],
        "var-topic": ["a"],
        "var-group": ["b"],
    }
    variables = {each["name"] for each in model["templating"]["list"]}
    assert {"topic", "group"} <= variables


@pytest.mark.parametrize("name", dialects())
def test_every_dialect_s_labels_set_the_dashboard_s_variables(name):
    for metric in dialects()[name].metrics.values():
        labels = {label: f"value of {role}" for role, label in metric.labels.items()}
        found = query_of(grafana_link("http://g", SPAN, labels))
        for role in ("cluster", "topic", "group"):
            if role in metric.labels:
                assert found[f"var-{role}"] == [f"value of {role}"]


def test_a_dashboard_of_one_s_own_keeps_its_query():
    address = grafana_link("https://g.example.com/d/abc/kafka?orgId=2&var-datasource=prom", SPAN, {"topic": "a"})
    assert urlsplit(address).path == "/d/abc/kafka"
    assert query_of(address)["orgId"] == ["2"]
    assert query_of(address)["var-topic"] == ["a"]


@given(texts, texts)
def test_templates_are_filled_and_escaped(value, rule):
    template = "https://g.example.com/d/x?from={from_ms}&to={to_ms}&{labels}&r={rule}&t={label.topic}&n={label.none}#z"
    address = grafana_link(template, SPAN, {"topic": value, "pod": HOSTILE}, rule=rule)
    assert address.isascii()
    assert urlsplit(address).fragment == "z"
    assert query_of(address) == {
        "from": [str(SPAN.start_ms)],
        "to": [str(SPAN.end_ms)],
        "var-topic": [value],
        "var-pod": [HOSTILE],
        "r": [rule],
        "t": [value],
        "n": [""],
    }


@given(texts)
def test_expressions_are_escaped(expr):
    address = prometheus_link("http://localhost:9090/prom/", expr, SPAN)
    assert urlsplit(address).path == "/prom/graph"
    # A server that cleans the path of a redirect would make one slash of two.
    assert not {"+", "/"} & set(urlsplit(address).query)
    assert query_of(address)["g0.expr"] == [expr]


def test_the_time_of_a_graph():
    found = query_of(prometheus_link("http://localhost:9090", "up", SPAN))
    assert found["g0.end_input"] == ["2026-03-01 10:30:01"]
    assert found["g0.range_input"] == ["2h30m1s"]
    assert found["g0.tab"] == ["0"]
    day = Interval(SPAN.start_ms, SPAN.start_ms + 24 * HOUR_MS)
    assert query_of(prometheus_link("http://h", "up", day))["g0.range_input"] == ["1d"]


@pytest.mark.parametrize(
    ("version", "page"), [("2.42.0", "graph"), ("3.16.0", "query"), ("10.1", "query"), (None, "graph"), ("x", "graph")]
)
def test_the_page_of_a_release(version, page):
    assert urlsplit(prometheus_link("http://h", "up", SPAN, version=version)).path == f"/{page}"


@pytest.mark.parametrize(
    "address",
    ["javascript:alert(1)", "data:text/html,x", "/d/x", "https://", "http://[", "http://a b", "http://a\n", ""],
)
def test_what_is_no_web_address_is_refused(address):
    with pytest.raises(SettingError, match="is no web address"):
        prometheus_link(address, "up", SPAN)
    with pytest.raises(SettingError, match="is no web address"):
        grafana_link(address, SPAN, {})


def test_placeholders_are_known_and_credentials_stay_behind():
    with pytest.raises(SettingError, match=r"\{fom_ms\} means nothing.*\n.*Known are \{from_ms\}"):
        grafana_link("https://g/{fom_ms}", SPAN, {})
    assert grafana_link("https://me:secret@g.example.com/x?{from_ms}", SPAN, {}).startswith("https://g.example.com/x?")
    assert "secret" not in prometheus_link("https://me:secret@p.example.com:9090", "up", SPAN)


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


@pytest.mark.parametrize(("judge", "page"), [("prometheus", "/graph/"), ("prometheus3", "/query")])
def test_real_servers_lead_to_their_page_with_the_query_unchanged(judge, page):
    expr = 'sum by (topic) (rate(lag{topic=~"a//b|c d"}[5m])) < 1'
    with running_prometheus(program=judge) as server:
        address = prometheus_link(server.url, expr, SPAN)
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.build_opener(NoRedirect).open(address)
        with caught.value as answer:
            target = urlsplit(answer.headers["Location"])
    assert answer.code in (301, 302)
    assert target.path == page
    assert target.query == urlsplit(address).query
