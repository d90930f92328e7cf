"""The schedule of a recording: the same from the same seed, enough of everything, nothing at the same time."""

import itertools

import pytest

from tests.stack import record
from tests.stack.faults import EVENTS, FAULTS
from tests.stack.schedule import schedule


@pytest.mark.parametrize("seed", range(5))
def test_a_full_recording_has_fifteen_of_both_kinds(seed):
    steps = schedule(seed, record.MINUTES)
    faults = [step for step in steps if not step.harmless]
    events = [step for step in steps if step.harmless]
    assert len(faults) >= 15
    assert len(events) >= 15
    assert {step.name for step in faults} == set(FAULTS) == set(record.MEANINGS)
    assert {step.name for step in events} == set(EVENTS)
    assert all(30 < step.lasts_s < 160 for step in faults)


@pytest.mark.parametrize("minutes", [3, 4, 20, record.MINUTES])
def test_steps_follow_each_other_and_fit(minutes):
    steps = schedule(1, minutes)
    assert steps == schedule(1, minutes)
    assert steps != schedule(2, minutes)
    for one, after in itertools.pairwise(steps):
        assert one.at_s + one.lasts_s < one.until_s <= after.at_s
    assert steps[-1].until_s <= minutes * 60 + 0.001


@pytest.mark.parametrize("step", schedule(1, record.MINUTES), ids=lambda step: step.name)
def test_every_step_can_be_labelled(step):
    if step.harmless:
        return
    found = record.labelled(step, 3, record.Interval(0, 1000))
    assert [one.id for one in found] == ["INC-004", "INC-005"][: len(found)]
    assert all(set(one.rules) <= set(record.RULE_NAMES) for one in found)
    assert record.recovered(step)
