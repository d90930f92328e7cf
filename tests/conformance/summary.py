"""What a run reached, by release, function and construct."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from kmon_analysis.promql.syntax import (
    Aggregate,
    Binary,
    Call,
    Expr,
    MatrixSelector,
    Subquery,
    Unary,
    VectorSelector,
)
from kmon_analysis.series import is_stale
from tests.conformance.case import Case
from tests.conformance.judge import Difference, Judged
from tests.conformance.ours import OUTPUTS, Claims
from tests.conformance.rewrite import parts, read

__all__ = ["Summary", "constructs"]


@dataclass
class Summary:
    """What was compared.

    Attributes
    ----------
    seed : int
        Of the generator.
    cases : int
        Cases judged, each by every release that knows what is in it.
    judged : Counter
        Cases by release.
    differences : list of Difference
        Where the sides differ.
    seen, values : Counter
        By (release, construct): cases in which it appeared, values compared of questions that hold it.
    counts : Counter
        By (release, what): answers, empty ones, failures agreed, states of alerts and so on.
    """

    seed: int
    cases: int = 0
    judged: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    values: Counter[tuple[str, str]] = field(default_factory=Counter)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, judged: Judged) -> None:
        """Count one case before one judge."""
        version, case = judged.version, judged.case
        self.judged[version] += 1
        self.differences += judged.differences
        found = set()
        for rule in (rule for group in case.groups for rule in group["rules"]):
            found |= constructs(rule["expr"])
        for text in case.expressions:
            found |= constructs(text)
        found |= _of_series(case) | _of_rules(case)
        if judged.claims is not None:
            found |= self._of_claims(version, case, judged.claims)
            self.counts[version, "answers beyond promtool's limit of samples"] += judged.unanswered
        self.seen.update((version, name) for name in found)

    def _of_claims(self, version: str, case: Case, claimed: Claims) -> set[str]:
        counts = self.counts
        rules = {rule.get("alert") or rule["record"]: rule["expr"] for group in case.groups for rule in group["rules"]}
        for question in claimed.questions:
            counts[version, "answers"] += 1
            if question.answer is None:
                counts[version, "expressions that fail on both sides"] += 1
                continue
            counts[version, "empty answers"] += not question.answer
            counts[version, "values"] += len(question.answer)
            # What rules wrote stands for their expressions.
            asked = Counter({question.expr: len(question.answer)})
            if question.expr == OUTPUTS:
                asked = Counter(rules[labels.value("alertname") or labels["__name__"]] for labels in question.answer)
            for text, values in asked.items():
                for name in constructs(text):
                    self.values[version, name] += values
        counts[version, "cases with a rule that fails on both sides"] += bool(claimed.failing)
        return _of_alerts(claimed)

    def merge(self, other: Summary) -> None:
        """Add what another part of the run found."""
        self.cases += other.cases
        self.differences += other.differences
        for name in ("judged", "seen", "values", "counts"):
            getattr(self, name).update(getattr(other, name))


def _of_alerts(claimed: Claims) -> set[str]:
    found = set()
    runs = claimed.run.runs.values() if claimed.run is not None else ()
    for replay in (run.replay for run in runs if run.replay is not None):
        states = {
            (alert.state, alert.keep_firing_since_ms is not None) for at in replay.states for alert in at.values()
        }
        names = {"pending": "alert pending", "firing": "alert firing", "inactive": "alert resolved"}
        found |= {names[state] for state, _ in states}
        if ("firing", True) in states:
            found.add("alert kept firing")
        pending = [{labels for labels, alert in at.items() if alert.state == "pending"} for at in replay.states]
        if any(labels not in after for at, after in zip(pending, replay.states[1:], strict=False) for labels in at):
            found.add("alert dropped while pending")
    return found


def _of_rules(case: Case) -> set[str]:
    found = set()
    for group in case.groups:
        found |= {f"group {name}" for name in ("limit", "labels") if name in group}
        for rule in group["rules"]:
            found |= {
                f"rule {name}" for name in ("record", "alert", "for", "keep_firing_for", "labels") if name in rule
            }
            if any("{{" in text for text in rule.get("labels", {}).values()):
                found.add("rule label template")
            if "level:" in rule["expr"]:
                found.add(f"{'alert' if 'alert' in rule else 'record'} reads recorded series")
            if "ALERTS" in rule["expr"]:
                found.add("rule reads ALERTS")
    return found


def _of_series(case: Case) -> set[str]:
    values = case.series.values
    stale = is_stale(values)
    special = {
        "stale markers": stale,
        "NaN": np.isnan(values) & ~stale,
        "infinities": np.isinf(values),
        "-0": (values == 0) & np.signbit(values),
        "negative values": values < 0,
    }
    found = {f"samples: {name}" for name, hit in special.items() if hit.any()}
    if case.interval_ms % case.step_ms:
        found.add("samples: off the evaluation grid")
    if any(part.times[0] > case.base_ms or part.times[-1] + case.step_ms < case.end_ms for part in case.series):
        found.add("samples: begin late or end early")
    return found


@lru_cache(maxsize=65536)
def constructs(text: str) -> frozenset[str]:
    """Return what an expression is made of."""
    return frozenset(name for part in parts(read(text)) for name in _names(part))


def _names(part: Expr) -> Iterator[str]:
    if isinstance(part, VectorSelector | Subquery):
        if part.offset_ms:
            yield "offset" if part.offset_ms > 0 else "negative offset"
        if part.at is not None:
            yield "@" if part.at.kind == "time" else f"@ {part.at.kind}()"
    match part:
        case Call():
            yield f"{part.function}()"
        case Aggregate():
            yield part.op
            if part.grouping:
                yield "by" if part.by else "without"
        case Binary():
            yield part.op
            if part.return_bool:
                yield "bool"
            if part.matching is not None:
                yield from ("on",) if part.matching.on else ("ignoring",) if part.matching.labels else ()
                cardinality = part.matching.cardinality
                yield from ("group_left",) if cardinality == "many-to-one" else ()
                yield from ("group_right",) if cardinality == "one-to-many" else ()
        case MatrixSelector():
            yield "range"
        case Subquery():
            yield "subquery" if part.step_ms else "subquery with the default step"
        case Unary():
            yield "unary minus"
        case VectorSelector():
            yield from (f"matcher {matcher.op}" for matcher in part.matchers if matcher.name != "__name__")
        case _:
            pass
