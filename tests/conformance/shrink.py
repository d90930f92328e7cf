"""Make a difference small: drop what is not needed for it, as long as the time allows."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from kmon_analysis.errors import ExpressionError
from kmon_analysis.promql.parser import parse
from kmon_analysis.promql.printer import format_expr
from kmon_analysis.series import Samples, SeriesSet
from tests.conformance.case import Case
from tests.conformance.judge import Difference, Judged
from tests.conformance.ours import OUTPUTS
from tests.conformance.rewrite import simpler

__all__ = ["shrink"]

Judge = Callable[[Sequence[Case]], list[Judged]]
# Candidates that are judged in one process.
BATCH = 12


def shrink(difference: Difference, judge: Judge, *, within_s: float = 60.0, batches: int = 1000) -> Difference:
    """Return the same kind of difference in a case that is as small as the time allowed.

    Parameters
    ----------
    difference : Difference
        What was found.
    judge : callable
        Judges cases by the release that differs.
    within_s : float
        Time for it.
    batches : int
        How often `judge` is asked at most.
    """
    give_up = time.monotonic() + within_s
    best = difference
    asked = 0

    def attempt(candidates: Iterator[Case]) -> bool:
        nonlocal best, asked
        while time.monotonic() < give_up and asked < batches:
            batch = list(islice(candidates, BATCH))
            if not batch:
                return False
            asked += 1
            for judged in judge(batch):
                same = [one for one in judged.differences if one.kind == difference.kind]
                if same:
                    best = same[0]
                    return True
        return False

    attempt(iter(_focused(best)))
    changed = True
    while changed:
        changed = False
        for smaller in (_fewer_rules, _fewer_series, _plainer_rules, _plainer_expressions, _shorter, _fewer_samples):
            while attempt(smaller(best)):
                changed = True
    return best


def _focused(found: Difference) -> list[Case]:
    """Ask only what differs."""
    case = found.case
    if found.kind != "answer":
        return [dataclasses.replace(case, expressions=())]
    if found.expr == OUTPUTS:
        return [dataclasses.replace(case, expressions=(), times=case.times[:1])]
    alone = dataclasses.replace(case, expressions=(found.expr,), times=(found.time_ms,))
    return [dataclasses.replace(alone, groups=()), alone]


def _fewer_rules(found: Difference) -> Iterator[Case]:
    case = found.case
    for place in range(len(case.expressions)):
        if found.expr != case.expressions[place]:
            yield dataclasses.replace(case, expressions=case.expressions[:place] + case.expressions[place + 1 :])
    for place, group in enumerate(case.groups):
        yield dataclasses.replace(case, groups=case.groups[:place] + case.groups[place + 1 :])
        for index in range(len(group["rules"]) if len(group["rules"]) > 1 else 0):
            kept = {**group, "rules": group["rules"][:index] + group["rules"][index + 1 :]}
            yield _with_group(case, place, kept)


def _fewer_series(found: Difference) -> Iterator[Case]:
    case = found.case
    size = len(case.series) // 2
    while size:
        for low in range(0, len(case.series), size):
            yield dataclasses.replace(
                case,
                series=case.series.take([*range(low), *range(min(low + size, len(case.series)), len(case.series))]),
            )
        size //= 2


def _plainer_rules(found: Difference) -> Iterator[Case]:
    case = found.case
    for place, group in enumerate(case.groups):
        for name in ("limit", "labels"):
            if name in group:
                yield _with_group(case, place, {key: value for key, value in group.items() if key != name})
        for index, rule in enumerate(group["rules"]):
            for name in ("for", "keep_firing_for", "labels"):
                if name in rule:
                    yield _with_rule(case, place, index, {key: value for key, value in rule.items() if key != name})


def _plainer_expressions(found: Difference) -> Iterator[Case]:
    case = found.case
    for place, text in enumerate(case.expressions):
        for variant in _variants(text):
            yield dataclasses.replace(
                case, expressions=(*case.expressions[:place], variant, *case.expressions[place + 1 :])
            )
    for place, group in enumerate(case.groups):
        for index, rule in enumerate(group["rules"]):
            for variant in _variants(rule["expr"]):
                yield _with_rule(case, place, index, {**rule, "expr": variant})


def _variants(text: str) -> Iterator[str]:
    for variant in simpler(parse(text)):
        written = format_expr(variant)
        try:
            parse(written)
        except ExpressionError:
            continue
        if len(written) < len(text):
            yield written


def _shorter(found: Difference) -> Iterator[Case]:
    """End earlier."""
    case = found.case
    for count in (case.count // 2, case.count - 1):
        end_ms = case.base_ms + (count - 1) * case.interval_ms
        if 0 < count < case.count and (found.time_ms <= end_ms):
            times = tuple(time for time in case.times if time <= end_ms) or (end_ms,)
            yield dataclasses.replace(
                case, count=count, times=times, series=case.series.between(case.base_ms, end_ms + 1)
            )


def _fewer_samples(found: Difference) -> Iterator[Case]:
    case = found.case
    for row, part in enumerate(case.series):
        size = len(part.times) // 2
        while size:
            for low in range(0, len(part.times), size):
                kept = np.ones(len(part.times), dtype=np.bool_)
                kept[low : low + size] = False
                if kept.any():
                    thinner = Samples(part.labels, part.times[kept], part.values[kept])
                    others = [one for place, one in enumerate(case.series) if place != row]
                    yield dataclasses.replace(case, series=SeriesSet.from_samples([*others, thinner]))
            size //= 2


def _with_group(case: Case, place: int, group: dict[str, Any]) -> Case:
    return dataclasses.replace(case, groups=(*case.groups[:place], group, *case.groups[place + 1 :]))


def _with_rule(case: Case, place: int, index: int, rule: dict[str, Any]) -> Case:
    group = case.groups[place]
    rules = [*group["rules"][:index], rule, *group["rules"][index + 1 :]]
    return _with_group(case, place, {**group, "rules": rules})
