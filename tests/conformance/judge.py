"""Compare what we claim with what promtool says."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kmon_analysis.labels import Labels
from kmon_analysis.timing import format_duration
from tests.conformance.case import Case
from tests.conformance.compare import same
from tests.conformance.ours import Claims, Question, claims
from tests.conformance.promtool import Answer, Verdict, ask, telling, write

__all__ = ["Difference", "Judged", "judge", "unlike"]

# promtool's engine holds no more samples than this at a time; larger questions have no judge there.
TOO_MANY = "too many samples"


@dataclass(frozen=True)
class Difference:
    """One question that two sides answer differently.

    Attributes
    ----------
    case : Case
        What it was found in.
    version : str
        The release.
    kind : {"answer", "rules", "refused", "breakdown"}
        Values or failures of expressions, which rules fail, a test that the judge refuses, an error of ours.
    expr : str
        The expression, "" where it is about rules.
    time_ms : int
        When.
    said : str
        Both answers, for people.
    """

    case: Case
    version: str
    kind: Literal["answer", "rules", "refused", "breakdown"]
    expr: str
    time_ms: int
    said: str


@dataclass(frozen=True)
class Judged:
    """One case before one judge.

    Attributes
    ----------
    case : Case
        The case.
    version : str
        The release.
    claims : Claims or None
        Our answers; None where we failed to give any.
    differences : list of Difference
        Where the sides differ.
    unanswered : int
        Questions that are beyond promtool's limit of samples.
    """

    case: Case
    version: str
    claims: Claims | None
    differences: list[Difference]
    unanswered: int = 0


def judge(cases: Sequence[Case], version: str, program: Path, folder: Path) -> list[Judged]:
    """Ask promtool about cases, in one process."""
    found: list[Judged] = []
    asked: list[tuple[Case, Claims, Path]] = []
    for place, case in enumerate(cases):
        try:
            claimed = claims(case, version)
        except Exception as error:
            said = f"we break down: {type(error).__name__}: {error}"
            found.append(Judged(case, version, None, [Difference(case, version, "breakdown", "", -1, said)]))
            continue
        asked.append((case, claimed, write(case, claimed, folder / f"case{place}")))
    verdicts = ask(program, [path for _, _, path in asked]) if asked else []
    for (case, claimed, _), verdict in zip(asked, verdicts, strict=True):
        found.append(_compare(case, version, claimed, verdict))
    return found


def _compare(case: Case, version: str, claimed: Claims, verdict: Verdict) -> Judged:
    differences = []
    unanswered = 0
    if verdict.refused:
        said = f"promtool says: {verdict.refused[:1500]}"
        return Judged(case, version, claimed, [Difference(case, version, "refused", "", -1, said)])
    if sorted(name for name, _ in verdict.rules) != list(claimed.failing):
        at = claimed.end_ms + case.interval_ms
        said = f"rules that fail: ours at {at} ms {list(claimed.failing)}, theirs {verdict.rules}"
        differences.append(Difference(case, version, "rules", "", at, said))
        return Judged(case, version, claimed, differences)
    for question in claimed.questions:
        key = question.expr, format_duration(question.time_ms)
        theirs = verdict.answers.get(key)
        if theirs is None:
            if question.answer is None or telling(question):
                differences.append(_answered(case, version, question, "promtool says nothing"))
            continue
        if isinstance(theirs, str) and TOO_MANY in theirs:
            unanswered += 1
            continue
        if said := unlike(question, theirs):
            differences.append(_answered(case, version, question, said))
    return Judged(case, version, claimed, differences, unanswered)


def _answered(case: Case, version: str, question: Question, said: str) -> Difference:
    return Difference(case, version, "answer", question.expr, question.time_ms, said)


def unlike(question: Question, theirs: Answer) -> str:
    """Say how two answers differ; "" where they do not."""
    if isinstance(theirs, str):
        return "" if question.answer is None else f"they fail ({theirs}), ours is {shown(question.answer)}"
    if question.answer is None:
        return f"we fail, theirs is {shown(theirs)}"
    ours = question.answer
    if ours.keys() != theirs.keys():
        only = {labels: value for labels, value in ours.items() if labels not in theirs}
        other = {labels: value for labels, value in theirs.items() if labels not in ours}
        return f"only ours {shown(only)}, only theirs {shown(other)}"
    with contextlib.suppress(StopIteration):
        labels = next(labels for labels, value in theirs.items() if not same(ours[labels], value))
        return f"{labels}: ours {ours[labels]!r}, theirs {theirs[labels]!r}"
    return ""


def shown(vector: Mapping[Labels, float]) -> str:
    """Write a vector for people."""
    return "{" + ", ".join(f"{labels}: {value!r}" for labels, value in vector.items()) + "}"
