"""What we hold to be true of a case."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from kmon_analysis.labels import Labels
from kmon_analysis.promql.evaluate import evaluate
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.rules.groups import GroupsRun, run_groups
from kmon_analysis.rules.reader import parse_rules
from kmon_analysis.timing import EvaluationGrid
from tests.conformance.case import Case
from tests.conformance.rewrite import read

# Both releases and the run that ends before a failure read the same.
read_rules = lru_cache(maxsize=256)(parse_rules)

__all__ = ["OUTPUTS", "Claims", "Question", "claims", "semantics_of"]

OUTPUTS = '{__name__=~"ALERTS|ALERTS_FOR_STATE|level:.*"}'


@dataclass(frozen=True)
class Question:
    """An expression at a time, and our answer: values by labels, or None where the evaluation fails."""

    expr: str
    time_ms: int
    answer: Mapping[Labels, float] | None


@dataclass(frozen=True)
class Claims:
    """What we say of a case.

    Attributes
    ----------
    questions : list of Question
        Answers, until the first evaluation that fails.
    end_ms : int
        Last evaluation before one fails; negative offset from the base where the first one does.
    failing : tuple of str
        Names of the rules that fail at the evaluation behind `end_ms`, sorted.
    run : GroupsRun or None
        The rules at work.
    """

    questions: list[Question]
    end_ms: int
    failing: tuple[str, ...]
    run: GroupsRun | None


def semantics_of(case: Case, version: str) -> Semantics:
    """Return the behaviour of a release in promtool, whose subqueries step with the file's interval."""
    return dataclasses.replace(Semantics.of(version), subquery_step_ms=case.interval_ms)


def claims(case: Case, version: str) -> Claims:
    """Evaluate a case."""
    semantics = semantics_of(case, version)
    end_ms, failing = case.end_ms, ()
    run = _run(case, semantics, end_ms) if case.groups else None
    if run is not None and (broken := _first_failure(run)) is not None:
        fail_ms, failing = broken
        end_ms = fail_ms - case.interval_ms
        run = _run(case, semantics, end_ms)
    if end_ms < case.base_ms:
        return Claims([], end_ms, failing, run)
    series = run.series if run is not None else case.series
    series = series.between(case.base_ms, end_ms + 1)
    questions = []
    if run is not None:
        times = np.arange(case.base_ms, end_ms + 1, case.interval_ms, dtype=np.int64)
        questions += _answers(OUTPUTS, series, times, semantics)
    times = np.unique(np.minimum(np.array(case.times, dtype=np.int64), end_ms))
    for text in case.expressions:
        questions += _answers(text, series, times, semantics)
    return Claims(questions, end_ms, failing, run)


def _answers(text, series, times, semantics) -> list[Question]:
    grid = evaluate(read(text), series, times, semantics)
    columns = grid.present.T.tolist()
    values = grid.values.T.tolist()
    found = []
    for time, there, row, failed in zip(times.tolist(), columns, values, grid.failed.tolist(), strict=True):
        answer = {labels: value for labels, value, here in zip(grid.labels, row, there, strict=True) if here}
        found.append(Question(text, time, None if failed else answer))
    return found


def _run(case: Case, semantics: Semantics, end_ms: int) -> GroupsRun:
    rules = read_rules(json.dumps({"groups": list(case.groups)}))
    clock = EvaluationGrid(case.base_ms, end_ms + 1, case.interval_ms, case.base_ms)
    run = run_groups(
        rules.groups,
        case.series.between(case.base_ms, end_ms + 1),
        [clock] * len(rules.groups),
        semantics,
        alerts=True,
    )
    for error in run.refused.values():
        raise error
    return run


def _first_failure(run: GroupsRun) -> tuple[int, tuple[str, ...]] | None:
    """Return the first time at which rules fail, and which."""
    found: dict[int, list[str]] = {}
    for one in run.runs.values():
        failed = one.grid.failed if one.replay is None else one.grid.failed | one.replay.failed
        for time in one.grid.times[failed].tolist():
            found.setdefault(time, []).append(one.rule.name)
    if not found:
        return None
    first = min(found)
    return first, tuple(sorted(found[first]))
