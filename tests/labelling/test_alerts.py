"""Entries from alerts: what Prometheus recorded, what a real one records, and what Alertmanager knows."""

import json
import time

import numpy as np
import pytest
import requests

from kmon_analysis import cli
from kmon_analysis.errors import DataFileError, SettingError
from kmon_analysis.history import History, Provenance
from kmon_analysis.incidents import read_incidents
from kmon_analysis.labelling.alerts import ALERTS, entries_of, read_alerts
from kmon_analysis.labels import Labels
from kmon_analysis.series import Samples, SeriesSet, stale_marker
from kmon_analysis.sources.prometheus import fetch_history
from kmon_analysis.timing import HOUR_MS, MINUTE_MS, Interval, format_instant
from tests.prometheus_server import openmetrics, running_prometheus

START = 1_772_352_000_000  # 2026-03-01T08:00:00Z
FIRING = {"__name__": "ALERTS", "alertname": "HighConsumerLag", "alertstate": "firing", "topic": "orders"}


def history(*series, minutes=600, step_ms=MINUTE_MS):
    provenance = Provenance("test", START, START + minutes * MINUTE_MS, extra={"evaluation_interval_ms": step_ms})
    return History(SeriesSet.from_samples(series), provenance)


def firing(*spans, stale=True, **labels):
    """Fire from minute to minute, evaluated each minute; a stale marker follows."""
    times, values = [], []
    for first, last in spans:
        times += [START + minute * MINUTE_MS for minute in range(first, last)]
        values += [1.0] * (last - first)
        if stale:
            times.append(START + last * MINUTE_MS)
            values.append(float(stale_marker()[0]))
    return Samples(Labels({**FIRING, **labels}), np.array(times, dtype=np.int64), np.array(values))


def at(first, last):
    return Interval(START + first * MINUTE_MS, START + last * MINUTE_MS)


@pytest.mark.parametrize("stale", [True, False])
def test_each_unbroken_firing_is_an_entry_to_be_confirmed(stale):
    found = entries_of(history(firing((10, 40), (42, 50), (100, 101), stale=stale)), "here")
    assert len(found.incidents) == 0
    first, second = found.incidents.suggested
    # Two minutes apart is the same page.
    assert (first.interval, second.interval) == (at(10, 50), at(100, 101))
    assert first.rules == first.suggested_by == ("HighConsumerLag",)
    assert first.labels == Labels({"topic": "orders"})
    assert first.id.startswith("HighConsumerLag-20260301T081000Z-")
    apart = entries_of(history(firing((10, 40), (42, 50), stale=stale)), "here", merge_gap_ms=0)
    assert [each.interval for each in apart.incidents.suggested] == [at(10, 40), at(42, 50)]


def test_what_still_fires_has_no_end():
    given = history(firing((590, 600), stale=False), firing((0, 5), topic="users"))
    found = entries_of(given, "here")
    assert [each.interval for each in found.incidents.suggested] == [at(0, 5)]
    assert found.left_out[0].what.endswith("since 2026-03-01T17:50:00Z")
    assert "1 began with the history, or before it: their starts are not known" in found.notes
    until = entries_of(given, "here", open_until_ms=START + 700 * MINUTE_MS)
    assert at(590, 700) in [each.interval for each in until.incidents.suggested]
    early = entries_of(given, "here", open_until_ms=START + 590 * MINUTE_MS)
    assert (len(early), early.left_out[0].why) == (1, "it begins after --open-until")


def test_an_entry_starts_where_its_alert_went_pending():
    waiting = firing((5, 10), (20, 25), alertstate="pending")
    other = firing((90, 100), alertstate="pending", topic="users")
    found = entries_of(history(firing((10, 40), (100, 110)), waiting, other), "here")
    assert [each.interval for each in found.incidents.suggested] == [at(5, 40), at(100, 110)]
    plain = entries_of(history(firing((10, 40), (100, 110))), "here")
    assert [each.id for each in plain.incidents.suggested] == [each.id for each in found.incidents.suggested]
    assert not any(each.kind for each in found.incidents.suggested)
    assert "1 of 2 start when the alert went pending, as recorded, not when it fired" in found.notes
    assert any("no evidence for that rule" in note for note in found.notes)


def test_pending_is_no_firing_and_nothing_is_an_error():
    pending = entries_of(history(firing((10, 40), alertstate="pending")), "here")
    assert len(pending) == 0
    other = Samples(Labels({"__name__": "up"}), np.array([START]), np.array([1.0]))
    with pytest.raises(SettingError, match="holds no series ALERTS"):
        entries_of(history(other), "here")


def test_labels_that_a_list_has_no_place_for_are_left_out(tmp_path):
    found = entries_of(history(firing((10, 40), **{"my.label": "x"})), "here")
    assert found.incidents.suggested[0].labels == Labels({"topic": "orders"})
    found.write(tmp_path / "incidents.yml")
    assert len(read_incidents(tmp_path / "incidents.yml").suggested) == 1


def alert(**changes):
    """Return an alert as Alertmanager's API v2 does."""
    return {
        "annotations": {"summary": "behind"},
        "endsAt": "2026-03-01T08:34:00.000Z",
        "fingerprint": "5f7b2c",
        "receivers": [{"name": "team"}],
        "startsAt": "2026-03-01T08:00:00.000Z",
        "status": {"inhibitedBy": [], "silencedBy": [], "state": "active"},
        "updatedAt": "2026-03-01T08:30:00.000Z",
        "labels": {"alertname": "HighConsumerLag", "topic": "orders"},
        **changes,
    }


@pytest.fixture
def saved(tmp_path):
    def save(told):
        path = tmp_path / "alerts.json"
        path.write_text(told if isinstance(told, str) else json.dumps(told), encoding="utf-8")
        return path

    return save


@pytest.mark.parametrize("wrap", [lambda a: [a], lambda a: [{"labels": {}, "receiver": {"name": "x"}, "alerts": [a]}]])
def test_alertmanager_tells_of_what_fires_now(saved, wrap):
    """Its API returns no alert that has ended; `endsAt` of the others is a deadline (api/v2, alertFilter)."""
    found = read_alerts(saved(wrap(alert())))
    assert len(found) == 0
    assert found.left_out[0].why.startswith("it still fires")
    assert "forgets those that ended" in found.notes[0]
    [until] = read_alerts(saved(wrap(alert())), open_until_ms=START + HOUR_MS).incidents.suggested
    assert until.interval == Interval(START, START + HOUR_MS)
    assert (until.rules, until.cause) == (("HighConsumerLag",), "behind")


def test_what_is_sent_to_a_webhook_has_an_end(saved):
    resolved = alert(status="resolved", endsAt="2026-03-01T08:30:00.000Z")
    open_one = alert(status="firing", endsAt="0001-01-01T00:00:00Z", startsAt="2026-03-01T09:00:00Z")
    found = read_alerts(saved({"version": "4", "alerts": [resolved, open_one, resolved]}))
    [only] = found.incidents.suggested
    assert only.interval == Interval(START, START + 30 * MINUTE_MS)
    assert len(found.left_out) == 1


def test_messages_from_while_it_fired_do_not_hide_its_end(saved):
    fired = alert(status="firing", endsAt="0001-01-01T00:00:00Z")
    resolved = alert(status="resolved", endsAt="2026-03-01T08:30:00.000Z")
    for told in ([fired, resolved], [resolved, fired], [fired, fired, resolved]):
        for until in (None, START + HOUR_MS):
            found = read_alerts(saved({"alerts": told}), open_until_ms=until)
            assert [each.interval for each in found.incidents.suggested] == [Interval(START, START + 30 * MINUTE_MS)]
            assert found.left_out == ()


def test_what_lasted_no_time_or_begins_too_late_is_said(saved):
    blink = alert(status="resolved", endsAt="2026-03-01T08:00:00.000Z")
    found = read_alerts(saved([blink]))
    assert (len(found), found.left_out[0].why) == (0, "it lasted no time")
    found = read_alerts(saved([alert()]), open_until_ms=START)
    assert (len(found), found.left_out[0].why) == (0, "it begins after --open-until")


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        ("[", "ends too early"),
        ("{]", "not valid JSON"),
        ("{}", "holds no alerts"),
        ("[1, 2]", "holds no alerts"),
        ("[" * 100_000, "not valid JSON"),
        ([{"startsAt": "2026-03-01T08:00:00Z"}], "alert 1 has no labels"),
        ([alert(labels={"a": 1})], "alert 1 has no labels, or one that is no text"),
        ([alert(startsAt="yesterday")], "startsAt of alert 1: 'yesterday' is not an RFC 3339 instant"),
        ([alert(startsAt=None)], "alert 1 has no 'startsAt'"),
        ([alert(startsAt=17)], "startsAt of alert 1"),
    ],
)
def test_what_is_no_answer_is_refused(saved, told, problem):
    with pytest.raises(DataFileError) as caught:
        read_alerts(saved(told))
    assert caught.value.findings[0].problem.startswith(problem)


def test_halves_of_characters_are_replaced(saved, tmp_path):
    told = alert(labels={"alertname": "A", "topic": "\ud800x"}, status="resolved", annotations={"summary": "\udfff"})
    found = read_alerts(saved([told]))
    found.write(tmp_path / "incidents.yml")
    assert read_incidents(tmp_path / "incidents.yml").suggested[0].labels["topic"] == "\ufffdx"


# ---- a real server ----------------------------------------------------------------------------------


BOTH = ("prometheus", "prometheus3")


@pytest.fixture(scope="module", params=BOTH)
def server(request):
    """Run a server whose storage holds an hour of ALERTS, as its rule evaluation writes them."""
    step_ms = 15_000
    spans = {"orders": [(20, 60), (70, 80)], "users": [(100, 101)]}
    series = {}
    for topic, firings in spans.items():
        name = f'ALERTS{{alertname="HighConsumerLag",alertstate="firing",severity="page",topic="{topic}"}}'
        series[name] = [(START + k * step_ms, "1") for first, last in firings for k in range(first, last)]
    with running_prometheus(openmetrics(series), program=request.param) as running:
        yield running


def test_a_real_server_gives_what_it_recorded(server):
    found = fetch_history(server.url, [ALERTS], start_ms=START, end_ms=START + HOUR_MS)
    entries = entries_of(found, "server", merge_gap_ms=0)
    step = 15_000
    got = sorted((each.labels["topic"], each.interval) for each in entries.incidents.suggested)
    assert got == [
        ("orders", Interval(START + 20 * step, START + 60 * step)),
        ("orders", Interval(START + 70 * step, START + 80 * step)),
        ("users", Interval(START + 100 * step, START + 101 * step)),
    ]
    assert all(each.labels["severity"] == "page" for each in entries.incidents.suggested)


def test_a_saved_answer_of_the_query_api_gives_the_same(server, tmp_path):
    end = START + HOUR_MS
    asked = {"query": 'ALERTS{alertstate="firing"}[1h]', "time": end / 1000}
    answer = requests.get(f"{server.url}/api/v1/query", params=asked, timeout=10)
    path = tmp_path / "answer.json"
    path.write_bytes(answer.content)
    found = read_alerts(path, merge_gap_ms=0)
    assert sorted(each.labels["topic"] for each in found.incidents.suggested) == ["orders", "orders"]
    # The last sample of the answer is where its knowledge ends.
    assert [each.what for each in found.left_out] == [
        f'{{alertname="HighConsumerLag", severity="page", topic="users"}} since {format_instant(START + 100 * 15_000)}'
    ]


CYCLE = """groups:
- name: cycle
  interval: 1s
  rules:
  - alert: Cycling
    expr: vector(time()) % 6 < 3
    labels: {severity: page}
"""


def recorded(url):
    """Return when a server wrote that the alert fires, in milliseconds."""
    asked = {"query": 'ALERTS{alertname="Cycling",alertstate="firing"}[1h]'}
    found = requests.get(f"{url}/api/v1/query", params=asked, timeout=10).json()["data"]["result"]
    return [round(at_s * 1000) for one in found for at_s, _ in one["values"]]


def cut(times):
    """Cut times where more than two seconds lie between, the slow and obvious way."""
    spells = []
    for ms in times:
        if spells and ms - spells[-1][-1] <= 2000:
            spells[-1].append(ms)
        else:
            spells.append([ms])
    return spells


@pytest.mark.parametrize("program", BOTH)
def test_what_a_real_server_evaluates_is_imported_by_the_verb(program, tmp_path, capfd):
    rules = tmp_path / "rules.yml"
    rules.write_text(CYCLE, encoding="utf-8")
    config = "global: {evaluation_interval: 1s}\n"
    with running_prometheus(rule_files=[rules], config=config, program=program) as server:
        deadline = time.monotonic() + 120
        while len(cut(recorded(server.url))) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        spells = cut(recorded(server.url))
        first, last = (format_instant(ms) for ms in (spells[0][0] - 5000, spells[2][0] + 1))
        arguments = ["incidents", "import", "--from", "alerts", "--prometheus", server.url, "--merge-gap", "0s"]
        arguments += ["--start", first, "--end", last, "-o", str(tmp_path / "incidents.yml"), "--json"]
        capfd.readouterr()
        assert cli.main(arguments) == 0
    out, err = capfd.readouterr()
    found = json.loads(out)
    ends = [spell[-1] + 1000 for spell in spells[:2]]
    expected = [(format_instant(spell[0]), format_instant(end)) for spell, end in zip(spells[:2], ends, strict=True)]
    assert [(each["start"], each["end"]) for each in found] == expected
    assert [each["status"] for each in found] == ["suggested"] * 2
    assert "it still fires" in err
    assert len(read_incidents(tmp_path / "incidents.yml").suggested) == 2
