"""Steps of alerts: against the plain state machine, evaluation by evaluation, and by hand."""

import numpy as np
import pytest

import kmon_analysis as km
from kmon_analysis.postmortem.timeline import lives_of
from kmon_analysis.rules.states import replay
from tests.postmortem.world import bumped, flat, history, incident, minute, replayed

RULES = """groups:
- name: kafka
  interval: 1m
  rules:
  - alert: A
    expr: lag {op} 100
    for: {hold}
    keep_firing_for: {keep}
    labels: {{severity: page}}
"""


def rules(hold="0s", keep="0s", op=">"):
    return RULES.format(hold=hold, keep=keep, op=op)


def spans(intervals, last):
    """Return (start, end) of each interval; None for an end behind the last evaluation."""
    return [(each.start_ms, each.end_ms if each.end_ms <= last else None) for each in intervals]


@pytest.mark.parametrize("op", [">", ">=", "<", "<="])
@pytest.mark.parametrize(("hold", "keep"), [("0s", "0s"), ("3m", "0s"), ("90s", "4m"), ("5m", "2m30s"), ("0s", "3m")])
def test_lives_are_those_of_the_plain_state_machine(hold, keep, op):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        lines = {}
        for topic in "abc":
            line = rng.choice([50.0, 99.0, 100.0, 101.0, 300.0], 300).repeat(rng.integers(1, 5, 300))[:300]
            line[rng.random(300) < 0.1] = np.nan
            outage = int(rng.integers(20, 280))
            line[outage : outage + 9] = np.nan
            lines[topic] = line
        whole = incident(start=0, end=300)
        result = replayed(history(lines, 300), [whole], rules(hold, keep, op))
        one = result["A"]
        found = lives_of(one, whole, one.period)
        twin = replay(one.rule, one.groups.evaluate(one.rule.key))
        last = int(twin.times[-1])
        for alert in twin.alerts:
            mine = [life for life in found if life.labels == alert.labels]
            firing = [(life.firing_ms, life.end_ms) for life in mine if life.firing_ms is not None]
            pending = [
                (life.active_ms, life.end_ms if life.firing_ms is None else life.firing_ms)
                for life in mine
                if life.firing_ms != life.active_ms
            ]
            assert firing == spans(alert.firing, last)
            assert pending == spans(alert.pending, last)
        assert {life.labels for life in found} == {alert.labels for alert in twin.alerts}
        assert found


def said(made, rule="A"):
    start = made.incident.interval.start_ms
    return [((step.at_ms - start) // 60_000, step.words, step.value) for step in made[rule].steps]


@pytest.mark.parametrize(("version", "gone"), [("2.42.0", 6), ("3.5.0", 5)])
def test_a_gap_takes_back_a_pending_alert(version, gone):
    line = bumped((118, 140, 500.0))
    # Prometheus looks back five minutes for a sample, its second generation to the millisecond included.
    line[121:128] = np.nan
    made = km.postmortem(replayed(history({"a": line}, version=version), [incident()], rules("10m")), "INC-1")
    assert said(made) == [
        (-2, ("true", "pending"), 500.0),
        (gone, ("reset",), None),
        (8, ("true", "pending"), 500.0),
        (18, ("firing", "page"), 500.0),
        (20, ("resolved",), 10.0),
    ]
    assert [life.ended for life in made["A"].lives] == ["gap", "value"]


def test_a_kept_alert_resolves_late_and_says_since_when_it_was_not_true():
    made = km.postmortem(replayed(history({"a": bumped((125, 130, 500.0))}), [incident()], rules("2m", "10m")), "INC-1")
    assert said(made) == [(5, ("true", "pending"), 500.0), (7, ("firing", "page"), 500.0), (20, ("resolved",), 10.0)]
    [life] = made["A"].lives
    assert life.last_true_ms == minute(129)
    assert life.held_ms == 4 * 60_000


def test_firing_again_within_the_merge_gap_is_no_new_page():
    line = bumped((122, 125, 500.0), (127, 130, 500.0), (140, 143, 500.0))
    made = km.postmortem(replayed(history({"a": line}), [incident()], rules()), "INC-1")
    assert [(when, words) for when, words, _ in said(made)] == [
        (2, ("true", "firing", "page")),
        (5, ("resolved",)),
        (7, ("true", "firing")),
        (10, ("resolved",)),
        (20, ("true", "firing", "page")),
        (23, ("resolved",)),
    ]
    assert [page.kind for page in made["A"].pages] == ["true", "duplicate"]


def test_what_is_open_when_the_history_ends_stays_open():
    held = history({"a": bumped((122, 300, 500.0), minutes=135), "b": bumped((133, 300, 500.0), minutes=135)}, 135)
    made = km.postmortem(replayed(held, [incident()], rules("5m")), "INC-1")
    assert said(made) == [
        (2, ("true", "pending"), 500.0),
        (7, ("firing", "page"), 500.0),
        (13, ("true", "pending"), 500.0),
        (14, ("still firing",), 500.0),
        (14, ("still pending",), 500.0),
    ]
    assert made["A"].open
    codes = [limit.code for limit in made.limits]
    assert codes[:2] == ["ends after the history", "open"]


def test_what_is_active_at_the_first_evaluation_has_an_unknown_past():
    held = history({"a": bumped((0, 130, 500.0))})
    made = km.postmortem(replayed(held, [incident(start=10, end=40)], rules("5m")), "INC-1")
    assert made["A"].lives[0].from_first
    assert "unknown past" in [limit.code for limit in made.limits]
    # Fifteen minutes before the start lie before the history: what fires there cannot have fired before.
    assert made["A"].status == "paged early"
    later = km.postmortem(replayed(held, [incident(start=60, end=90)], rules("5m")), "INC-1")
    assert later["A"].status == "already firing"
    assert said(later)[0] == (-60, ("true", "pending"), 500.0)


def test_an_alert_of_another_topic_is_no_step():
    held = history({"a": flat(), "b": bumped((122, 140, 500.0))})
    made = km.postmortem(replayed(held, [incident(labels={"topic": "a"})], rules()), "INC-1")
    assert made["A"].steps == ()
    assert made["A"].status == "never true"
    grouped = km.postmortem(
        replayed(held, [incident(labels={"topic": "a"})], rules(), settings=km.Settings(group_by=())), "INC-1"
    )
    # One page for all topics: the alert that began it is not the incident's, the page may be.
    assert [(step.words, dict(step.labels)) for step in grouped["A"].steps] == [(("page",), {})]
    assert grouped["A"].status == "paged"
