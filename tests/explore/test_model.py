"""The tuner's numbers against the backtest's own: another way to count, and a rule file written anew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kmon_analysis.explore.counting import KINDS
from kmon_analysis.explore.model import TunerModel
from kmon_analysis.incidents import Incidents
from kmon_analysis.rules.model import AlertingRule
from kmon_analysis.timing import MINUTE_MS
from tests.explore.world import world

RESULT = world()
GUARDS = [None, "and on() (hour() >= 6 < 22)", "and on() (hour() >= 9 < 12)", "and on() (day_of_week() == 2)"]
GROUPS = [None, (), ("topic",), ("consumergroup",), ("severity",)]


def same(view, score):
    """Compare everything that both know."""
    found = view.tally
    assert found.starts.tolist() == [page.episode.interval.start_ms for page in score.pages]
    assert found.ends.tolist() == [page.episode.interval.end_ms for page in score.pages]
    assert found.groups.tolist() == [page.episode.group for page in score.pages]
    assert [KINDS[kind] for kind in found.kinds] == [page.kind for page in score.pages]
    credited = [found.outcomes[place].incident.id if place >= 0 else None for place in found.credited]
    assert credited == [page.incident for page in score.pages]
    assert found.must == score.outcomes
    assert tuple(o for o in found.outcomes if not o.incident.must_page) == score.optional
    assert found.weeks == score.weeks
    np.testing.assert_equal(found.firing_ratio, score.firing_ratio)
    numbers = view.numbers
    assert (numbers.pages, numbers.false_pages) == (len(score.pages), score.false_pages)
    np.testing.assert_equal(found.per_week(numbers.false_pages), score.false_pages_per_week)
    assert numbers.delay_worst_ms == score.worst_delay_ms
    if score.outcomes:
        assert (numbers.incidents, numbers.caught) == (score.incidents, score.caught)


@given(
    threshold=st.one_of(st.floats(-10, 700), st.sampled_from([0.0, 60.0, 100.0, 500.0, 600.0, 700.0, 1e300])),
    window_min=st.sampled_from([5, 1, 10, 30]),
    for_min=st.sampled_from([0, 1, 2, 5, 30, 600]),
    hours=st.sampled_from(GUARDS),
    group_by=st.sampled_from(GROUPS),
)
@settings(max_examples=60, deadline=None)
def test_any_setting_counts_as_a_rule_file_with_these_values_does(threshold, window_min, for_min, hours, group_by):
    setting = replace(
        MODEL.deployed, threshold=threshold, window_ms=window_min * MINUTE_MS, for_ms=for_min * MINUTE_MS, hours=hours
    )
    view = MODEL.at(setting, group_by)
    same(view, MODEL.grouped(group_by).score(setting.threshold, **setting.at))


MODEL = TunerModel(RESULT, "HighConsumerLag")


@pytest.mark.parametrize("name", ["HighConsumerLag", "LowRate"])
@pytest.mark.parametrize("group_by", [None, ("topic",), ()])
def test_a_turned_rule_equals_one_that_was_written_so(name, group_by):
    model = TunerModel(RESULT, name)
    for threshold, window_min, for_min, hours in [
        (70.0, 10, 0, GUARDS[2]),
        (30.0, 5, 3, None),
        (450.0, 2, 10, GUARDS[1]),
    ]:
        setting = replace(
            model.deployed,
            threshold=threshold,
            window_ms=window_min * MINUTE_MS,
            for_ms=for_min * MINUTE_MS,
            hours=hours,
        )
        rule = setting.applied(model.replay.rule)
        assert isinstance(rule, AlertingRule)
        text = f"groups:\n- name: kafka\n  rules:\n  - alert: {name}\n    expr: {rule.text}\n    for: {for_min}m\n"
        text += "    labels: {severity: page}\n" if name == "HighConsumerLag" else ""
        anew = world(text, group_by=group_by)
        same(model.at(setting, group_by), anew.scores[name])


@pytest.mark.parametrize("name", ["NoThreshold", "Nothing"])
def test_a_rule_without_threshold_or_data_is_counted_too(name):
    model = TunerModel(RESULT, name)
    for for_ms in model.choices.fors_ms:
        setting = replace(model.deployed, for_ms=for_ms)
        same(model.at(setting), model.score(setting))


def test_nothing_is_caught_where_no_incident_is_known():
    model = TunerModel(world(incidents=Incidents(())), "HighConsumerLag")
    numbers = model.at().numbers
    assert (numbers.incidents, numbers.caught, numbers.delay_worst_ms) == (None, None, None)
    assert numbers.false_pages == numbers.pages > 0
