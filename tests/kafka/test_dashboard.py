"""The dashboard: every query of it, as Grafana would send it, on a real Prometheus."""

from __future__ import annotations

import json
import re
import urllib.parse
import urllib.request

import pytest

from kmon_analysis.errors import InputError
from kmon_analysis.incidents import Incident
from kmon_analysis.kafka.dashboard import GUIDE_TOPICS, dashboard, dashboard_text, incident_queries, limits_of
from kmon_analysis.kafka.dialects import choose, named
from kmon_analysis.kafka.starter import starters
from kmon_analysis.kafka.starter_tests import render, scenes
from kmon_analysis.labels import quote
from kmon_analysis.timing import MINUTE_MS, Interval
from tests.kafka.crafted import START
from tests.kafka.grafana import interpolate
from tests.kafka.test_starter import SETS
from tests.prometheus_server import openmetrics, running_prometheus
from tests.tools import REPOSITORY

NOW = START + 80 * MINUTE_MS
DECOY = "userXregistered"
NASTY = 'a"b\\c`d{{e}}\nü$1 $topic ${group} [[topic]]'
# A dialect with nothing to show in one of these is right: it does not measure that.
SHOWN = [label for label in SETS if label != "recorded"]


@pytest.fixture(scope="module")
def server():
    """Hold the quiet history of every dialect, for both topics and one that differs by the dot only."""
    samples = {}
    for names in SETS.values():
        profile = choose(named(names))
        quiet = scenes(starters(profile))[0]
        for topic in (*GUIDE_TOPICS, DECOY):
            for labels, course in render(profile, quiet, topic=topic):
                written = [(START + m * MINUTE_MS, str(v)) for m, v in enumerate(course.values())]
                samples[exposed(labels.updated({"instance": "a:1"}))] = written
                if "essages" in labels["__name__"]:
                    # Exporters put the total of all topics under the same name, without a topic.
                    samples[exposed(labels.without("topic").updated({"instance": "a:1"}))] = written
    with running_prometheus(openmetrics(samples)) as running:
        yield running.url


def exposed(labels):
    """Write a series without the blanks that OpenMetrics forbids."""
    inner = ",".join(f"{name}={quote(value)}" for name, value in labels.items() if name != "__name__")
    return f"{labels['__name__']}{{{inner}}}"


def ask(url, path, **parameters):
    with urllib.request.urlopen(f"{url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}") as answer:
        return json.load(answer)["data"]


def series(url, query, at=NOW):
    return ask(url, "query", query=query, time=at / 1000)["result"]


def targets(model):
    return [(panel["title"], each["expr"]) for panel in model["panels"] for each in panel.get("targets", ())]


@pytest.mark.parametrize("label", SETS)
def test_every_query_returns_data(server, label):
    model = dashboard(choose(named(SETS[label])))
    asked = targets(model)
    assert asked
    for chosen in ({"topic": [GUIDE_TOPICS[0]]}, {"topic": list(GUIDE_TOPICS)}, {}):
        for title, expr in asked:
            query = interpolate(expr, chosen, model)
            assert not re.search(r"\$[{_a-z]", query)
            found = series(server, query)
            assert found, (title, query)
            topics = {value for each in found for key, value in each["metric"].items() if "topic" in key}
            whole = [each for each in found if not any("topic" in key for key in each["metric"])]
            assert not topics or not whole, (title, query)
            assert topics <= set(chosen.get("topic", (*GUIDE_TOPICS, DECOY))), (title, query)


@pytest.mark.parametrize("label", SETS)
def test_every_variable_has_values(server, label):
    model = dashboard(choose(named(SETS[label])))
    for variable in model["templating"]["list"][1:]:
        metric, name = re.fullmatch(r"label_values\((.+),(\w+)\)", variable["query"]["query"]).groups()
        values = ask(server, f"label/{name}/values", **{"match[]": interpolate(metric, {}, model)})
        assert values, variable["name"]
        if variable["name"] == "topic":
            assert set(GUIDE_TOPICS) <= set(values)
            assert variable["current"]["value"] == list(GUIDE_TOPICS)


def test_the_annotations_are_queries_too(server):
    incidents = [
        Incident("INC-1", Interval(NOW - MINUTE_MS, NOW + MINUTE_MS), cause="the relay"),
        Incident(NASTY, Interval(NOW - 500, NOW + 1), cause=NASTY),
        Incident("over", Interval(NOW - MINUTE_MS, NOW)),
        *(Incident(f"later-{n}", Interval(NOW + MINUTE_MS, NOW + 2 * MINUTE_MS)) for n in range(30)),
    ]
    first, second = incident_queries(incidents)
    assert series(server, second) == []
    found = {each["metric"]["incident"]: each["metric"].get("cause") for each in series(server, first)}
    assert not re.search(r"\$|\[\[", first), "Grafana would take it for a variable"
    assert found == {"INC-1": "the relay", NASTY: NASTY}
    model = dashboard(choose(named("founding")), incidents=incidents)
    alerts, *marks = model["annotations"]["list"]
    assert [each["expr"] for each in marks] == [first, second]
    assert series(server, alerts["expr"]) == []


def test_names_that_could_break_a_query_do_not(server):
    model = dashboard(choose(named("kafka-exporter")), topics=(NASTY,))
    name = NASTY.replace("`", "")
    for variable in model["templating"]["list"][1:]:
        offered = re.compile(variable["regex"].strip("/"))
        assert (bool(offered.search(NASTY)), bool(offered.search(name))) == (False, True)
        assert variable["current"]["value"] == ["$__all"]
    for title, expr in targets(model):
        assert (
            series(server, interpolate(expr, {"topic": [name], "group": [name, "b"]}, model)) == [] or "eader" in title
        )


def test_the_model_is_grafanas():
    nasty = NASTY.replace("`", "")
    model = dashboard(choose(named("jmx-example,kafka-exporter")), topics=("a.b", nasty))
    assert model["id"] is None
    assert re.fullmatch(r"[\w-]{1,40}", model["uid"])
    assert model["schemaVersion"] >= 39
    ids = [panel["id"] for panel in model["panels"]]
    assert len(set(ids)) == len(ids)
    rows = [panel for panel in model["panels"] if panel["type"] == "row"]
    assert [(row["title"], row.get("repeat")) for row in rows] == [("Overview", None), ("$topic", "topic")]
    places = set()
    for panel in model["panels"]:
        where = panel["gridPos"]
        assert where["x"] + where["w"] <= 24
        cells = {
            (x, y)
            for x in range(where["x"], where["x"] + where["w"])
            for y in range(where["y"], where["y"] + where["h"])
        }
        assert places.isdisjoint(cells)
        places |= cells
    topic = next(each for each in model["templating"]["list"] if each["name"] == "topic")
    assert topic["multi"]
    assert topic["current"]["value"] == ["a.b", nasty]
    assert json.loads(dashboard_text(model)) == model
    assert dashboard_text(model).isascii()
    assert dashboard_text(model) == dashboard_text(
        dashboard(choose(named("jmx-example,kafka-exporter")), topics=("a.b", nasty))
    )


def test_tuned_thresholds_are_drawn():
    advice = {
        "version": 1,
        "rules": [
            {"rule": "HighConsumerLag", "proposed": {"threshold": 12000}, "current": {"threshold": 1000}},
            {"rule": "LowMessageRate", "proposed": None, "current": {"threshold": 0.5}},
            {"rule": "KafkaNoLeader", "proposed": None, "current": {"threshold": None}},
        ],
    }
    model = dashboard(choose(named("founding,recorded")), limits=limits_of(advice))
    steps = {
        panel["title"]: [
            (step["color"], step["value"]) for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        ]
        for panel in model["panels"]
        if "fieldConfig" in panel
    }
    assert steps["Lag"] == steps["Consumer lag"] == [("green", None), ("red", 12000.0)]
    assert steps["Messages a second"] == [("red", None), ("green", 0.5)]
    assert steps["Time behind"] == [("green", None), ("red", 600.0)]
    assert steps["Bytes in"] == [("green", None)]
    with pytest.raises(InputError, match=r"no advice\.json"):
        limits_of({"rules": [{"rule": "x"}]})


def test_all_clusters_are_kept_apart():
    model = dashboard(choose(named("jmx-example,kafka-exporter"), cluster="env"))
    assert [each["name"] for each in model["templating"]["list"]] == ["datasource", "cluster", "topic", "group"]
    for title, expr in targets(model):
        assert re.search(r"by \(env[,)]", expr), title


def test_the_verb(kmon, tmp_path):
    out, folder = tmp_path / "kafka.json", REPOSITORY / "data" / "user-service"
    found = kmon("dashboard", "-o", out, "--incidents", folder / "incidents.yml", "--topics", "orders,user.registered")
    assert (found.status, found.out) == (0, f"{out}\n"), found.err
    model = json.loads(out.read_text())
    assert any(each["name"] == "Incidents" for each in model["annotations"]["list"])
    assert (
        kmon(
            "dashboard", "-o", out, "--incidents", folder / "incidents.yml", "--topics", "orders,user.registered"
        ).status
        == 0
    )
    assert "is there already and differs" in kmon("dashboard", "-o", out).refused()
    assert kmon("dashboard", "-o", out, "--replace").status == 0
    (tmp_path / "advice.json").write_text("{")
    assert "is no JSON" in kmon("dashboard", "-o", tmp_path / "x", "--advice", tmp_path / "advice.json").refused()
    assert "this is a folder" in kmon("dashboard", "-o", tmp_path).refused()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["advice.json", "kafka.json"]
