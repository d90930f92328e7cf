"""From a real cluster's history to tuned rules, and back to the cluster: they alert when the replay says so.

One test, for one cluster. It waits for what it provokes, so that a slow machine takes longer and changes nothing else.
"""

import math
import time
from collections.abc import Iterator

import pytest

import kmon_analysis as km
from kmon_analysis.backtest.rule import RuleBacktest
from kmon_analysis.labels import Labels
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.rules.groups import run_groups
from kmon_analysis.rules.model import RuleFile
from kmon_analysis.timing import EvaluationGrid, parse_instant
from tests.stack.cluster import Stack, running_stack
from tests.stack.faults import injected

STEP_MS = 5000
RULES = """\
groups:
  - name: kafka
    interval: 5s
    rules:
      - alert: HighConsumerLag
        expr: kafka_consumer_lag_sum > 1000
        for: 10s
      - alert: LowMessageRate
        expr: sum by (topic) (rate(kafka_server_BrokerTopicMetrics_MessagesInPerSec{topic!=""}[15s])) < 0.1
        for: 5s
      - alert: KafkaNoLeader
        expr: max(kafka_controller_KafkaController_OfflinePartitionsCount) > 0
        for: 10s
"""
LAG = 'kafka_consumer_lag_sum{consumergroup="user-service"}'
INCIDENTS = 3
ALERTS = {
    "HighConsumerLag": {"consumergroup": "user-service", "topic": "user.registered"},
    "LowMessageRate": {"topic": "developer.profile.updated"},
    "KafkaNoLeader": {},
}
# How long after a scrape ended its samples may have come into the storage, when the machine is busy.
COMMIT_MS = 1000

Alert = tuple[str, Labels]
Timeline = dict[Alert, list[tuple[int, str]]]


def test_from_history_to_the_page(tmp_path):
    with running_stack(interval_s=STEP_MS / 1000) as stack:
        stack.load_rules("team", RULES)
        began = now_ms()
        incidents = km.Incidents(tuple(live_through(stack)))

        rules_path = tmp_path / "rules.yml"
        rules_path.write_text(RULES)
        deployed = km.read_rules(rules_path)
        history = fetched(stack, deployed, began)
        settings = km.Settings(merge_gap_ms=0, credit_before_ms=0, credit_after_ms=2 * STEP_MS)
        advice = km.recommend(km.backtest(deployed, history, incidents, settings=settings), max_delay="40s")
        lag = advice["HighConsumerLag"]
        assert lag.verdict == "tuned", (lag.headline, lag.reasons)
        # Within seconds the backfills take lag far above what an incident does: only `for` tells them apart.
        assert lag.proposed.threshold < 1000
        assert lag.proposed.for_ms == 10_000
        assert not advice.write(tmp_path / "tuned").failed
        tuned = km.read_rules(tmp_path / "tuned" / "rules.yml")

        stack.load_rules("team", (tmp_path / "tuned" / "rules.yml").read_text())
        loaded = now_ms()
        with (
            injected(stack, "consumer-stopped", "user-service"),
            injected(stack, "producer-stopped", "profile-service"),
            injected(stack, "broker-killed", "3"),
        ):
            for name, labels in ALERTS.items():
                stack.wait(lambda name=name, labels=labels: notified(stack, "firing", name, labels))
        for name, labels in ALERTS.items():
            stack.wait(lambda name=name, labels=labels: notified(stack, "resolved", name, labels))

        said = as_prometheus_said(stack, loaded)
        (phase_ms,) = {instant % STEP_MS for steps in said.values() for instant, _ in steps}
        later = fetched(stack, tuned, loaded)
        replayed = as_replayed(tuned, later, phase_ms)
        compare(said, replayed, scrapes(stack, loaded))
        result = km.backtest(tuned, later, settings=km.Settings(merge_gap_ms=0))
        # The server's list of groups tells the offset at which it evaluates them.
        assert {(phase.ms, phase.how) for phase in result.phases.values()} == {(phase_ms, "server")}
        for name, labels in ALERTS.items():
            key = (name, Labels(labels))
            states = [state for _, state in said[key]]
            assert states[:2] == ["pending", "firing"], f"{name}: {states}"
            assert first(replayed[key], "firing") in pages(result[name], labels)
            # Alertmanager was told the instant of the evaluation at which the alert fired.
            told = {parse_instant(one["startsAt"]) for one in notified(stack, "firing", name, labels)}
            assert first(said[key], "firing") in told


def live_through(stack: Stack) -> Iterator[km.Incident]:
    """Provoke incidents with harmless backfills between them; say which."""
    for number in range(INCIDENTS):
        backfill(stack)
        stack.wait(f"{LAG} < 60")
        start = now_ms()
        with (
            injected(stack, "consumer-stopped", "user-service"),
            injected(stack, "producer-stopped", "profile-service"),
        ):
            stack.wait(f"{LAG} > 400")
        interval = km.Interval(start, now_ms())
        stack.wait(f"{LAG} < 60")
        for rule, labels in list(ALERTS.items())[:2]:
            yield km.Incident(f"{rule}-{number}", interval, labels, (rule,))


def backfill(stack: Stack) -> None:
    """Let the consumer rest while many messages come in at once, until Prometheus has seen them."""
    stack.order("consumer-user-service", hold=True)
    with injected(stack, "backfill", "user-service"):
        stack.wait(f"{LAG} > 1500")
    stack.order("consumer-user-service", hold=None)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def fetched(stack: Stack, rules: RuleFile, start_ms: int) -> km.History:
    """Fetch what the rules read, up to an instant whose samples are all in the storage."""
    time.sleep(1)
    return km.fetch(stack.url, rules, start=instant(start_ms), end=instant(now_ms() - 500))


def instant(ms: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms // 1000)) + f".{ms % 1000:03d}Z"


def notified(stack: Stack, status: str, name: str, labels: dict[str, str]) -> list[dict]:
    """Return what the webhook received of one alert."""
    return [
        alert
        for payload in list(stack.notifications)
        for alert in payload["alerts"]
        if alert["status"] == status and alert["labels"] == {"alertname": name, **labels}
    ]


def first(steps: list[tuple[int, str]], wanted: str) -> int:
    """Return when a state began for the first time."""
    return next(at for at, state in steps if state == wanted)


def pages(replay: RuleBacktest, labels: dict[str, str]) -> set[int]:
    """Return when the backtest says that one alert paged."""
    wanted = {"alertname": replay.name, **labels}
    return {one.interval.start_ms for one in replay.episodes() if dict(one.labels) == wanted}


def as_prometheus_said(stack: Stack, since_ms: int) -> Timeline:
    """Read each alert's states from Prometheus' own ALERTS, evaluation by evaluation."""
    seconds = math.ceil((now_ms() - since_ms) / 1000)
    states: dict[Alert, dict[int, str]] = {}
    for one in stack.api("query", query=f"ALERTS[{seconds}s]")["result"]:
        labels = {name: value for name, value in one["metric"].items() if name not in ("__name__", "alertstate")}
        key = (labels.pop("alertname"), Labels(labels))
        for at, _ in one["values"]:
            states.setdefault(key, {})[round(at * 1000)] = one["metric"]["alertstate"]
    return {key: changes(by_time, sorted(by_time)) for key, by_time in states.items()}


def as_replayed(rules: RuleFile, history: km.History, phase_ms: int) -> Timeline:
    """Replay the rules over the recorded samples at Prometheus' own instants."""
    grid = EvaluationGrid(history.interval.start_ms, history.interval.end_ms, STEP_MS, phase_ms)
    semantics = Semantics.of(history.provenance.server_version)
    run = run_groups(rules.groups, history.series, [grid], semantics, alerts=True)
    found: Timeline = {}
    for rule_run in run.runs.values():
        replay = rule_run.replay
        for alert in replay.alerts:
            own = alert.labels
            key = (rule_run.rule.name, Labels({name: own[name] for name in own if name != "alertname"}))
            by_time = {
                int(at): states[own].state
                for at, states in zip(replay.times, replay.states, strict=True)
                if own in states and states[own].state != "inactive"
            }
            found[key] = changes(by_time, sorted(by_time))
    return {key: steps for key, steps in found.items() if steps}


def changes(by_time: dict[int, str], times: list[int]) -> list[tuple[int, str]]:
    """List when a state began, from the states at the evaluations at which there was one; its end is a state, too."""
    steps: list[tuple[int, str]] = []
    for at in times:
        if by_time.get(at - STEP_MS) != by_time[at]:
            steps.append((at, by_time[at]))
        if at + STEP_MS not in by_time:
            steps.append((at + STEP_MS, "inactive"))
    return steps


def scrapes(stack: Stack, since_ms: int) -> list[tuple[int, float]]:
    """Return start and duration of every scrape, in milliseconds."""
    seconds = math.ceil((now_ms() - since_ms) / 1000)
    found = stack.api("query", query=f"scrape_duration_seconds[{seconds}s]")["result"]
    return [(round(at * 1000), float(took) * 1000) for one in found for at, took in one["values"]]


def compare(said: Timeline, replayed: Timeline, scraped: list[tuple[int, float]]) -> None:
    """Demand the same states at the same evaluations.

    One thing is not in the recorded samples: a sample carries the time at which its scrape began, and an evaluation
    that ran before the scrape had ended did not see it. So a change may come one evaluation later than replayed, where
    such a scrape is shown.
    """
    assert set(said) == set(replayed)
    for key, steps in said.items():
        ours = replayed[key]
        assert [state for _, state in steps] == [state for _, state in ours], f"{key}: {steps} {ours}"
        for (at, state), (expected, _) in zip(steps, ours, strict=True):
            if at == expected:
                continue
            running = [(start, took) for start, took in scraped if start <= expected <= start + took + COMMIT_MS]
            print(f"{key}: {state} at {at}, replayed {expected}; scrapes under way then: {running}")
            assert at - expected == STEP_MS
            assert running


def test_changes_are_read_from_states():
    states = {0: "pending", 5000: "pending", 10_000: "firing", 20_000: "pending"}
    steps = [(0, "pending"), (10_000, "firing"), (15_000, "inactive"), (20_000, "pending"), (25_000, "inactive")]
    assert changes(states, sorted(states)) == steps


def test_the_comparison_allows_what_it_says_and_no_more():
    key = ("A", Labels({}))
    ours = {key: [(5000, "firing"), (20_000, "inactive")]}
    late = {key: [(10_000, "firing"), (20_000, "inactive")]}
    compare(ours, ours, [])
    compare(late, ours, [(4990, 20.0)])
    early = {key: [(0, "firing"), (20_000, "inactive")]}
    for said, scraped in ((late, [(2000, 20.0)]), (early, [(4990, 20.0)]), ({}, [])):
        with pytest.raises(AssertionError):
            compare(said, ours, scraped)
