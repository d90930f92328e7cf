"""The differential proof: it covers what is evaluated, and it sees what it must see."""

import pytest

from kmon_analysis.promql import aggregate, binary
from tests.conformance.generate import make
from tests.conformance.generate.expressions import evaluated_functions
from tests.conformance.generate.shapes import AGGREGATES, FUNCTIONS, OPERATORS
from tests.conformance.harness import PROMTOOLS, run
from tests.tools import require


def test_everything_that_is_evaluated_is_generated():
    assert evaluated_functions() - FUNCTIONS.keys() == set()
    assert aggregate.EVALUATED - AGGREGATES.keys() == set()
    assert binary.EVALUATED - set(OPERATORS) == set()


def test_a_seed_and_a_number_make_a_case():
    assert make(7, 3).to_json() == make(7, 3).to_json()
    assert make(7, 3).to_json() != make(8, 3).to_json()


@pytest.mark.parametrize("version", PROMTOOLS)
def test_promtool_agrees(version):
    require(PROMTOOLS[version])
    summary = run(20, 1, [version])
    assert [(one.case.name, one.expr, one.said) for one in summary.differences] == []
    assert summary.judged[version] > 10
    assert summary.counts[version, "values"] > 1000
