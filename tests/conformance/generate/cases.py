"""Cases put together: rules first, then expressions, then the series that they read."""

from __future__ import annotations

import random

from tests.conformance.case import Case
from tests.conformance.generate.expressions import Expressions, supported
from tests.conformance.generate.rules import rule_groups
from tests.conformance.generate.series import Kind, series_of
from tests.conformance.generate.shapes import V2, V3

__all__ = ["make"]

EXPRESSIONS = 8
TIMES = 7


def make(seed: int, number: int, *, base_ms: int = 0, with_rules: bool = True) -> Case:
    """Return a case.

    Parameters
    ----------
    seed, number : int
        Equal numbers give equal cases.
    base_ms : int
        Time of the first sample.
    with_rules : bool
        Whether rules are wanted.
    """
    rng = random.Random(f"{seed}/{number}")
    versions = rng.choices([(V2, V3), (V3,), (V2,)], [0.8, 0.17, 0.03])[0]
    interval_ms = rng.choice([30_000, 60_000, 60_000])
    step_ms = rng.choice([7_000, 10_000, 13_000, 15_000, 15_000, 30_000])
    count = rng.randrange(14, 22)
    end_ms = base_ms + (count - 1) * interval_ms
    records: dict[str, Kind] = {}
    place = {"base_s": base_ms // 1000, "span_s": (end_ms - base_ms) // 1000, "records": records}
    for_rules = Expressions(rng, versions, for_rules=True, **place)
    groups = rule_groups(rng, for_rules, interval_ms) if with_rules else []
    freely = Expressions(rng, versions, **place)
    freely.used = for_rules.used
    expressions = [_supported(freely) for _ in range(EXPRESSIONS)]
    times = sorted(
        rng.choice([rng.randrange(base_ms, end_ms + 1, 1000), rng.randrange(base_ms, end_ms + 1, step_ms), end_ms])
        + (rng.randrange(-500, 500) if rng.random() < 0.15 else 0)
        for _ in range(TIMES)
    )
    times = sorted({min(max(time, base_ms), end_ms) for time in times})
    # The series end early at times, so that lookback is seen to end.
    last_ms = rng.choice([end_ms, end_ms, base_ms + (end_ms - base_ms) * 2 // 3])
    series = series_of(rng, freely.used | {"lag"}, base_ms=base_ms, step_ms=step_ms, end_ms=last_ms)
    return Case(
        name=f"{seed}/{number}",
        versions=versions,
        step_ms=step_ms,
        interval_ms=interval_ms,
        count=count,
        base_ms=base_ms,
        series=series,
        groups=tuple(groups),
        expressions=tuple(dict.fromkeys(expressions)),
        times=tuple(times),
    )


def _supported(writer: Expressions) -> str:
    """Write an expression that is evaluated here."""
    while not supported(text := writer.any(), writer.versions):
        pass
    return text
