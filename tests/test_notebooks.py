"""Notebooks run from top to bottom, show what the library says, and leave nothing behind."""

from __future__ import annotations

import json
import os
import re
import time
from functools import lru_cache

import pytest

import kmon_analysis as km
from kmon_analysis.backtest.sight import sight
from kmon_analysis.export.hours import with_hours
from kmon_analysis.history_quality import quality
from kmon_analysis.kafka.hours import parse_hours, promql_guard
from kmon_analysis.kafka.starter import alertmanager_text
from kmon_analysis.labelling.suggest import suggest_from
from kmon_analysis.postmortem.content import content_of
from kmon_analysis.timing import MINUTE_MS, format_instant
from kmon_analysis.workflow_kafka import survey_history
from kmon_analysis.workflow_notebook import VARIABLES, one_incident
from tests.prometheus_server import openmetrics, running_prometheus
from tests.tools import REPOSITORY

# nbformat compiles grammars for seconds when it is imported: only where a notebook is read, not in every worker.
FOLDER = REPOSITORY / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MOST_CELLS = 26
# What JupyterLab shows of a line of code in a window of 1280 pixels, with its side bar open.
LONGEST_LINE = 105
FILES = {"rules.yml", "rules_test.yml", "advice.json", "report.html", ".kmon.json"}
SKELETON = ["Question", "Data and gaps", "Picture", "Backtest", "Decision", "Export"]


def files_of(*folders):
    return {
        (path, path.stat().st_size, path.stat().st_mtime_ns)
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file()
    }


class Shown:
    """What a notebook shows after it ran, and the answer to a question put to its kernel."""

    def __init__(self, outputs, answer):
        self.outputs, self.answer = outputs, answer
        assert [each for each in outputs if each.get("name") == "stderr"] == []
        texts = [each.get("text", "") or each.get("data", {}).get("text/plain", "") for each in outputs]
        self.text = "\n".join("".join(text) for text in texts)
        assert not re.search(r"Traceback|Warning", self.text)

    @property
    def pictures(self):
        found = [each["data"]["image/png"] for each in self.outputs if "image/png" in each.get("data", {})]
        assert all(len(picture) > 10_000 for picture in found)
        return len(found)


class Executed(Shown):
    """A notebook that ran in a kernel of its own."""

    def __init__(self, name, out, *, probe="0", **environment):
        """Run it; `probe` is an expression that is asked for after the last cell."""
        import nbformat
        from nbclient import NotebookClient

        self.notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
        asked = f"import json as _json\nprint(_json.dumps({probe}))"
        self.notebook.cells.append(nbformat.v4.new_code_cell(asked))
        inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
        before = files_of(FOLDER, REPOSITORY / "data")
        client = NotebookClient(self.notebook, timeout=900, resources={"metadata": {"path": str(FOLDER)}})
        client.execute(env={**inherited, "KMON_OUT": str(out), **environment})
        assert files_of(FOLDER, REPOSITORY / "data") == before, "a notebook writes to its own folder or to data"
        *outputs, asked = [output for cell in self.notebook.cells for output in cell.get("outputs", ())]
        super().__init__(outputs, json.loads(asked["text"]))


@lru_cache(maxsize=1)
def replayed():
    folder = km.load_scenario("user-service")
    rules, history = km.read_rules(folder / "rules.yml"), km.open_history(folder)
    return km.backtest(rules, history, km.read_incidents(folder / "incidents.yml"))


@lru_cache(maxsize=1)
def advised():
    return km.recommend(replayed(), max_delay="30m", false_pages_per_week=1)


def written(folder):
    return {path.name for path in folder.iterdir()}


def as_json(value):
    return json.loads(json.dumps(value))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_thin_and_stored_without_outputs(path):
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert len(notebook.cells) < MOST_CELLS
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.metadata.language_info == {"name": "python"}
    for place, cell in enumerate(notebook.cells):
        assert cell.id == f"cell-{place:02d}"
        if cell.cell_type == "code":
            assert max(map(len, cell.source.splitlines())) <= LONGEST_LINE
        assert not cell.metadata
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
        assert cell.source.count("\n") < 10, "keep cells short: what is longer belongs into the library"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_have_one_skeleton(path):
    import nbformat

    cells = nbformat.read(path, as_version=4).cells
    words = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert len(re.findall(r"^# ", words, re.MULTILINE)) == 1
    assert re.findall(r"^## (.*)$", words, re.MULTILINE) == SKELETON


# How notebooks look on the bundled history is asked where they run as users run them: tests/browser/test_notebooks.py.
SEEN = "sight(result).reset_index().to_dict('records')"
ADVISED = "'advice': advice.to_json(), 'failed': written.failed"
PROBES = {
    "first-look": SEEN,
    "tune-consumer-lag": f"{{{ADVISED}}}",
    "tune-message-rate": f"{{{ADVISED}, 'sight': {SEEN}}}",
    "live-to-verified": f"{{{ADVISED}}}",
    "postmortem": "[found.to_json(), repr(section.sooner), incident]",
}


def check_first_look(found, tmp_path):
    result = replayed()
    assert repr(result.history) in found.text
    assert repr(result) in found.text
    assert all(finding in found.text for finding in quality(result.history).findings())
    assert all(line in found.text for line in survey_history(result.history).lines())
    assert found.answer == as_json(sight(result).reset_index().to_dict("records"))
    assert found.pictures == 1
    table = (tmp_path / "quality.csv").read_text(encoding="utf-8").splitlines()
    assert len(table) == 1 + len(result.history.series)
    suggested = suggest_from(result, most=8)
    assert repr(suggested) in found.text
    assert [each.id for each in km.read_incidents(tmp_path / "suggestions.yml").suggested] == [s.id for s in suggested]


def check_tune_consumer_lag(found, tmp_path):
    result, advice = replayed(), advised()
    assert found.answer == {"advice": as_json(advice.to_json()), "failed": False}
    assert repr(result) in found.text
    assert repr(advice) in found.text
    later = km.load_scenario("user-service-later")
    asked = km.review_incidents(result, tmp_path / "incidents.yml", rule="HighConsumerLag", top=5)
    assert repr(asked) in found.text
    confirmed = km.confirm(advice, km.open_history(later), km.read_incidents(later / "incidents.yml"))
    assert repr(confirmed) in found.text
    assert found.pictures == 3
    assert written(tmp_path / "consumer-lag") == FILES


def check_tune_message_rate(found, tmp_path):
    result, advice = replayed(), advised()
    seen = as_json(sight(result).reset_index().to_dict("records"))
    assert found.answer == {"advice": as_json(advice.to_json()), "failed": False, "sight": seen}
    hours = parse_hours("Mon-Fri 08:00-20:00", "Europe/Berlin")
    assert promql_guard(hours) in found.text
    assert alertmanager_text(hours) in found.text
    for words, guard in (("at all hours", ""), (hours.text, promql_guard(hours))):
        rules = with_hours(result.rules, "LowMessageRate", guard)
        score = km.backtest(rules, result.history, result.incidents).scores["LowMessageRate"]
        row = f"{words}: found {score.caught} of {score.incidents}, {score.false_pages} false pages"
        assert f"{row}, {24 * score.firing_ratio:.1f} hours of alerts a day" in found.text
    assert found.pictures == 3
    assert written(tmp_path / "message-rate") == FILES


def check_live_to_verified(found, tmp_path):
    result, advice = replayed(), advised()
    assert found.answer == {"advice": as_json(advice.to_json()), "failed": False}
    tuned = km.backtest(km.read_rules(tmp_path / "verified" / "rules.yml"), result.history, result.incidents)
    assert repr(tuned) in found.text
    for name, rule in advice.items():
        promised = rule.past_proposed or rule.past_current
        assert (tuned.scores[name].caught, tuned.scores[name].false_pages) == (promised.caught, promised.false_pages)
    assert "their unit tests passed" in found.text
    assert "No server is named" in found.text
    assert found.pictures == 1
    assert written(tmp_path / "verified") == FILES


def check_postmortem(found, tmp_path):
    result, incident = one_incident(replayed())
    expected = km.postmortem(result, incident, zone="Europe/Berlin")
    content = content_of(expected)
    assert found.answer == as_json([expected.to_json(), repr(content.sections[0].sooner), incident])
    for shown in (repr(expected), repr(content.timeline), repr(content.sections[0].sooner)):
        assert shown in found.text
    assert all(limit.text in found.text for limit in expected.limits)
    assert found.pictures == 1
    assert written(tmp_path / "postmortem") == {
        "postmortem.html",
        "postmortem.md",
        "postmortem.json",
        "bundle",
        ".kmon.json",
    }


CHECKS = {
    "first-look": check_first_look,
    "tune-consumer-lag": check_tune_consumer_lag,
    "tune-message-rate": check_tune_message_rate,
    "live-to-verified": check_live_to_verified,
    "postmortem": check_postmortem,
}


SECRET = "hunter2"
OWN_RULES = """
groups:
- name: ours
  interval: 15s
  rules:
  - alert: Behind
    expr: sum by (topic) (kafka_consumergroup_lag) > 60
    for: 2m
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Run a server with three days of lag, in which three incidents stand out, and its own rule."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "rules.yml").write_text(OWN_RULES, encoding="utf-8")
    now_ms = int(time.time()) // 60 * MINUTE_MS
    times = [now_ms - (4_319 - n) * MINUTE_MS for n in range(4_320)]
    spikes = (1_000, 2_000, 3_000)
    lag = [(at, str(5_000 if any(low <= n < low + 45 for low in spikes) else n % 40)) for n, at in enumerate(times)]
    rows = [f"I{low},{format_instant(times[low - 2])},{format_instant(times[low + 50])}" for low in spikes]
    (folder / "incidents.csv").write_text("\n".join(["id,start,end", *rows, ""]), encoding="utf-8")
    count = [(at, str(300 * n)) for n, at in enumerate(times)]
    series = {
        'kafka_consumergroup_lag{consumergroup="mail",topic="orders",partition="0"}': lag,
        'kafka_server_brokertopicmetrics_messagesin_total{topic="orders"}': count,
    }
    with running_prometheus(openmetrics(series), rule_files=[folder / "rules.yml"]) as server:
        yield folder, server.url


def live(own, name, out, probe, **more):
    _, url = own
    found = Executed(name, out, probe=probe, KMON_PROMETHEUS_URL=url.replace("//", f"//me:{SECRET}@"), **more)
    assert f"of {url}, from" in found.text
    assert SECRET not in json.dumps(found.notebook)
    assert [path for path in out.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()] == []
    return found


def test_on_a_running_server_with_own_rules_and_incidents(own, tmp_path):
    folder, url = own
    named = {
        "KMON_RULES": str(folder / "rules.yml"),
        "KMON_INCIDENTS": str(folder / "incidents.csv"),
        "KMON_LAST": "3d",
    }
    found = live(own, "live-to-verified", tmp_path, "advice.to_json()", **named)
    rules = km.read_rules(folder / "rules.yml")
    result = km.backtest(rules, km.open_history(tmp_path / "history"), km.read_incidents(folder / "incidents.csv"))
    assert result.scores["Behind"].caught == 3
    assert repr(result) in found.text
    assert found.answer == as_json(km.recommend(result, max_delay="30m", false_pages_per_week=1).to_json())
    assert "(as the server evaluates it)" in found.text
    assert f"The replay beside what {url} recorded" in found.text


def test_on_a_running_server_alone_it_says_what_still_works(own, tmp_path):
    probe = "[alert, [rule.name for rule in rules.alerts], advice[alert].verdict]"
    found = live(own, "tune-message-rate", tmp_path, probe)
    alert, names, verdict = found.answer
    assert alert == "LowMessageRate"
    assert {"HighConsumerLag", "LagSeconds", "LowMessageRate"} <= set(names)
    assert verdict == "refused"
    assert "KMON_RULES is not set, so" in found.text
    assert "no value is advised" in found.text
    assert written(tmp_path / "message-rate") == FILES
