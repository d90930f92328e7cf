"""A history is surveyed as a server is."""

import time

import pytest

from kmon_analysis.history import History, Provenance
from kmon_analysis.series import SeriesSet
from kmon_analysis.sources.connection import Connection, connect
from kmon_analysis.sources.files import read_openmetrics
from kmon_analysis.timing import DAY_MS
from kmon_analysis.workflow_kafka import survey_history, survey_server
from tests.prometheus_server import openmetrics, running_prometheus


def samples_until_now():
    """Two dialects with their traps: a total beside topics, -1 for never committed, two replicas, three controllers."""
    end = int(time.time()) * 1000
    times = range(end - 2_400_000, end + 1, 30_000)
    falling = {time_ms: str(n % 4) for n, time_ms in enumerate(times)}
    rising = {time_ms: str(n) for n, time_ms in enumerate(times)}
    lag, messages = "kafka_consumergroup_lag", "kafka_server_BrokerTopicMetrics_MessagesInPerSec"
    offline = "kafka_controller_KafkaController_OfflinePartitionsCount"
    series = {
        **{
            f'{lag}{{consumergroup="{group}",topic="{topic}",partition="0",instance="{replica}"}}': dict.fromkeys(
                times, "-1" if group == "new" else "7"
            )
            for group in ("mail", "new")
            for topic in ("orders", "users")
            for replica in ("a:1", "b:1")
        },
        f'{messages}{{instance="a:1"}}': rising,
        f'{messages}{{instance="a:1",topic="orders"}}': rising,
        f'{messages}{{instance="a:1",topic="users"}}': falling,
        **{f'{offline}{{instance="{n}:1",cluster="c{n % 2}"}}': dict.fromkeys(times, "0") for n in range(3)},
    }
    return openmetrics({name: [*values.items()] for name, values in series.items()})


def test_it_says_what_it_would_of_a_server_with_these_samples(tmp_path):
    text = samples_until_now()
    (tmp_path / "samples.om").write_text(text)
    with running_prometheus(text) as server:
        theirs = survey_server(Connection(connect(server.url)))
    ours = survey_history(read_openmetrics(tmp_path / "samples.om"))
    assert ours == theirs
    assert {trap.kind for trap in ours.traps} >= {"double-count", "sentinel", "replicas", "kraft-sum", "rate-of-gauge"}
    assert ours.groups.names == ("mail", "new")


@pytest.mark.parametrize("name", ["empty", "foreign"])
def test_a_history_without_kafka_has_no_dialect(name, tmp_path):
    if name == "empty":
        history = History(SeriesSet.from_samples([]), Provenance("test", 0, DAY_MS))
    else:
        (tmp_path / "s.om").write_text(openmetrics({"up": [(1000, "1"), (2000, "1")]}))
        history = read_openmetrics(tmp_path / "s.om")
    found = survey_history(history)
    assert (found.dialects, found.lines()) == ((), [])
