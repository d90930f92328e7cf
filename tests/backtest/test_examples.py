"""Which incidents are one example, and how that is said."""

from __future__ import annotations

from kmon_analysis.backtest.examples import examples_of, together
from kmon_analysis.backtest.score import Outcome
from kmon_analysis.incidents import Incident
from kmon_analysis.timing import MINUTE_MS, Interval


def outcome(name, start=0, cause="", within=None, status="caught", **more):
    incident = Incident(name, Interval(start * MINUTE_MS, (start + 30) * MINUTE_MS), cause=cause, **more)
    return Outcome(incident, "already firing" if within else status, None, None, within)


def ids(outcomes, **more):
    return [example.ids for example in examples_of(outcomes, **more)]


def test_each_incident_is_an_example_of_its_own():
    each = [outcome("A"), outcome("B", 60), outcome("C", 120, status="missed")]
    assert ids(each) == [("A",), ("B",), ("C",)]
    assert [example.found for example in examples_of(each)] == [True, True, False]
    assert together(examples_of(each)) is None
    assert ids([outcome("A"), outcome("B", 60, status="no data")]) == [("A",)]


def test_incidents_of_one_cause_are_one():
    same = [outcome("A", cause="disk"), outcome("B", 60), outcome("C", 120, cause="disk", status="missed")]
    assert ids(same) == [("A", "C"), ("B",)]
    assert [example.found for example in examples_of(same)] == [False, True]
    assert together(examples_of(same)) == "3 incidents are 2 examples: A and C name one cause."
    assert ids(same, causes=False) == [("A",), ("B",), ("C",)]


def test_an_incident_that_is_entered_twice_is_one():
    twice = [outcome("A", labels={"x": "y"}), outcome("B", labels={"x": "y"}), outcome("C"), outcome("D", rules=("R",))]
    assert ids(twice) == [("A", "B"), ("C",), ("D",)]
    said = together(examples_of(twice))
    assert said == "4 incidents are 3 examples: A and B have the same times, labels and rules."


def test_what_one_page_tells_of_is_one_example():
    paged = [outcome("A"), outcome("B", 10, within="A"), outcome("C", 25, within="B")]
    assert ids(paged) == [("A", "B", "C")]
    assert examples_of(paged)[0].found
    said = together(examples_of(paged))
    assert said == "3 incidents are 1 example: one unbroken firing pages for A, B and C."
    # The rule as deployed had one page for both, the tuned one has two: that is no more evidence.
    assert ids([outcome("A"), outcome("B", 10)], others=paged[:2]) == [("A", "B")]
    mixed = [outcome("A", cause="x"), outcome("B", 10, within="A"), outcome("C", 90, cause="x"), outcome("D", 300)]
    assert ids(mixed) == [("A", "B", "C"), ("D",)]
    many = [outcome(name, number, cause="x") for number, name in enumerate("ABCDE")]
    assert together(examples_of(many)) == "5 incidents are 1 example: A, B, C and 2 more name one cause."
