"""The differential proof: it covers what is evaluated, and it sees what it must see."""

import dataclasses

import pytest

from kmon_analysis.promql import aggregate, binary
from kmon_analysis.promql.semantics import Semantics
from tests.conformance.case import Case
from tests.conformance.generate import make
from tests.conformance.generate.expressions import evaluated_functions
from tests.conformance.generate.shapes import AGGREGATES, FUNCTIONS, OPERATORS
from tests.conformance.harness import PROMTOOLS, run
from tests.conformance.judge import judge
from tests.conformance.ours import OUTPUTS
from tests.conformance.servers import judging_server
from tests.conformance.shrink import shrink
from tests.tools import REPOSITORY, require

REGRESSIONS = sorted((REPOSITORY / "tests" / "conformance" / "regressions").glob("*.json"))


def test_everything_that_is_evaluated_is_generated():
    assert evaluated_functions() - FUNCTIONS.keys() == set()
    assert aggregate.EVALUATED - AGGREGATES.keys() == set()
    assert binary.EVALUATED - set(OPERATORS) == set()


def test_a_seed_and_a_number_make_a_case():
    assert make(7, 3).to_json() == make(7, 3).to_json()
    assert make(7, 3).to_json() != make(8, 3).to_json()


@pytest.mark.parametrize("version", PROMTOOLS)
def test_promtool_and_a_server_agree(version):
    summary = run(11, 1, [version])
    assert [(one.case.name, one.expr, one.said) for one in summary.differences] == []
    assert summary.judged[version] > 5
    assert summary.counts[version, "values"] > 1000
    assert summary.counts[f"{version} server", "values"] > 100


def judged(case, version, folder):
    if case.base_ms:
        # At other times than promtool's: it was found by a server.
        with judging_server(version) as server:
            [one] = server([case])
    else:
        [one] = judge([case], version, require(PROMTOOLS[version]), folder)
    return [(found.expr, found.time_ms, found.said) for found in one.differences]


@pytest.mark.parametrize("version", PROMTOOLS)
@pytest.mark.parametrize("path", REGRESSIONS, ids=lambda path: path.stem)
def test_what_once_differed_agrees(path, version, tmp_path):
    case = Case.from_json(path.read_text(encoding="utf-8"))
    if version in case.versions:
        assert judged(case, version, tmp_path) == []


def test_a_planted_fault_is_found_and_shrunk(tmp_path, monkeypatch):
    version = "3.16"
    program = require(PROMTOOLS[version])
    plain = Semantics.of
    monkeypatch.setattr(Semantics, "of", lambda text: dataclasses.replace(plain(text), lookback_ms=200_000))
    summary = run(10, 1, [version], servers=False)
    assert summary.differences
    found = next(one for one in summary.differences if one.expr not in ("", OUTPUTS))
    small = shrink(found, lambda cases: judge(cases, version, program, tmp_path), within_s=600, batches=20)
    assert small.case.series.sample_count < found.case.series.sample_count / 2
    assert len(small.case.expressions) == 1
    assert judged(small.case, version, tmp_path)
    monkeypatch.undo()
    assert judged(small.case, version, tmp_path) == []
