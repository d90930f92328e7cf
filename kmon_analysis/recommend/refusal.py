"""The sentences where nothing is advised: what stands in the way, how near the nearest values are, what would do."""

from __future__ import annotations

import numpy as np

from kmon_analysis.backtest.score import Reach, Score, columns_of
from kmon_analysis.recommend.advice import RuleAdvice
from kmon_analysis.recommend.case import Case, breaches, meets
from kmon_analysis.recommend.choose import Plateau
from kmon_analysis.recommend.crowd import split_sentence
from kmon_analysis.recommend.enough import Enough
from kmon_analysis.recommend.holdout import HeldOut
from kmon_analysis.recommend.margin import FRAGILE
from kmon_analysis.recommend.wording import (
    allowance,
    candidate_words,
    figures,
    number,
    observed,
    pages,
    thresholds,
)
from kmon_analysis.timing import Interval, duration, format_duration, format_instant

__all__ = ["current_sentence", "heldout_sentence", "inseparable", "kept_headline", "nearest", "objections"]


def kept_headline(case: Case) -> str:
    """Say that the current rule stays, and not as a blessing where it breaks the budget."""
    broken = breaches(case.budget, case.past)
    if not broken:
        return "Keep the current rule"
    return f"No safe better value found; the current rule breaks the budget: {'; '.join(broken)}"


def current_sentence(case: Case) -> str:
    """Say what the current rule did, and where that breaks the budget."""
    broken = breaches(case.budget, case.past)
    verdict = f"it breaks the budget: {'; '.join(broken)}" if broken else "it keeps to the budget"
    return f"The current rule ({case.current}): {figures(case.past)}; {verdict}."


def objections(case: Case, base: RuleAdvice, top: Plateau, scored: Score) -> tuple[str, ...]:
    """Return the reasons not to advise the best values found, if any; each can follow "because"."""
    against = []
    if not top.roomy:
        against.append(
            "the margin is thin, as it is for all that was tried: "
            f"thresholds {thresholds(top.quiet, top.weakest or 0)} ({candidate_words(top.candidate)}) "
            "keep to the budget and find every incident in time, "
            f"{top.margin_ratio:.2f}x from end to end; {FRAGILE}x is needed, since the next incident may be a little "
            "weaker and the next ordinary peak a little higher"
        )
    if base.heldout is not None and base.heldout.worse:
        against.append("on unseen weeks tuning did worse than the current rule: " + heldout_sentence(base.heldout))
    if base.overfit_ratio is not None and base.overfit_ratio > 0.5:
        against.append(
            "the search is fitting noise: what is best on one half of the weeks lands in the lower half on the other "
            f"in {base.overfit_ratio:.0%} of the splits"
        )
    if not meets(case, scored):
        against.append(f"no rounded value in the room keeps to the budget: {'; '.join(breaches(case.budget, scored))}")
    return tuple(against)


def nearest(case: Case, base: RuleAdvice, scored: Score, against: tuple[str, ...], top: Plateau) -> tuple[str, ...]:
    """Show the best values found with their numbers, why they are not advised, and what would be enough."""
    said = [
        f"Best found: {base.candidate}: {figures(scored)}. The current rule: {figures(case.past)}.",
        *(f"{'It is not advised because' if not place else 'And because'} {why}." for place, why in enumerate(against)),
    ]
    if not top.roomy:
        said += [*_enough(base.enough), *split_sentence(case)]
    return tuple(said)


def heldout_sentence(heldout: HeldOut) -> str:
    """Compare tuned and current values on unseen weeks; without a full stop."""
    new, old = heldout.proposed, heldout.current
    return (
        f"{new.caught_in_time} of {new.incidents} found in time, {pages(new.false_pages)} in {observed(new.weeks)}; "
        f"current rule on the same weeks: {old.caught_in_time} of {old.incidents}, {pages(old.false_pages)}"
    )


def inseparable(case: Case, base: RuleAdvice, top: Plateau) -> tuple[str, ...]:
    """Say which incident stands in the way of every threshold, and what would be enough."""
    reaches = case.replay.reaches(**top.candidate.at)
    blocked = next(reach for reach in reaches if reach.incident.id == top.blocking)
    name = blocked.incident.id
    others = (
        f"Else try another expression (rate of lag, lag in seconds) or hours, or mark {name} as must_page: false if "
        "it needs no page."
    )
    return (
        f"{name} ({format_instant(blocked.incident.interval.start_ms)[:10]}) blocks: {_height(case, top, blocked)}, "
        f"but {_need(case, top, reaches)}.",
        current_sentence(case),
        *_enough(base.enough),
        *split_sentence(case),
        others,
    )


def _height(case: Case, top: Plateau, blocked: Reach) -> str:
    """Say how high the blocking incident holds, by the last moment at which a page would be in time."""
    if not len(blocked.levels):
        if _left_out(case, top, blocked):
            return f"it lies outside of the rule's hours ({case.current.hours}), at all hours the rule could see it"
        return "the expression returns nothing that lasts long enough around it"
    by = f"by {duration(case.budget.max_delay_ms)} after its start{_recorded(case, blocked)}"
    if blocked.peak(blocked.incident.interval.start_ms + case.budget.max_delay_ms) == float("-inf"):
        return f"{by} the expression has returned nothing for {format_duration(top.candidate.for_ms)}"
    falls, end = case.replay.signal().falls, number(top.weakest or 0.0)
    if not top.candidate.for_ms:
        return f"{by} its {'lowest' if falls else 'highest'} value is {end}"
    extreme, side = ("lowest", "at or below") if falls else ("highest", "at or above")
    return f"{by} the {extreme} level that it has stayed {side} for {format_duration(top.candidate.for_ms)} is {end}"


def _recorded(case: Case, blocked: Reach) -> str:
    """Say for how much of the accepted delay there are values, where that is not all of it."""
    signal, start_ms = case.replay.signal(), blocked.incident.interval.start_ms
    columns = columns_of(Interval(start_ms, start_ms + case.budget.max_delay_ms), signal.times)
    seen_ms = int(np.count_nonzero(case.replay.observed(signal)[columns])) * signal.step_ms
    whole_ms = case.budget.max_delay_ms // signal.step_ms * signal.step_ms
    return f" (the history has values for {duration(seen_ms)} of it)" if seen_ms < whole_ms else ""


def _left_out(case: Case, top: Plateau, blocked: Reach) -> bool:
    """Tell whether only the rule's hours keep an incident from having a level."""
    if not case.current.hours or case.replay.knobs.hours_span is None:
        return False
    at_all_hours = case.replay.reaches(window_ms=top.candidate.window_ms, for_ms=top.candidate.for_ms, hours="")
    return any(reach.incident.id == blocked.incident.id and len(reach.levels) for reach in at_all_hours)


def _need(case: Case, top: Plateau, reaches: tuple[Reach, ...]) -> str:
    """Say what asks for a threshold beyond that: ordinary weeks, or an alert that is open before an incident."""
    level = case.replay.signal(top.candidate.window_ms).level(top.quiet)
    before = [r.incident.id for r in reaches if r.required and r.stuck >= level]
    if before:
        return (
            f"just before {before[0]} a threshold short of {number(top.quiet)} fires already "
            f"({candidate_words(top.candidate)})"
        )
    return (
        f"ordinary weeks need a threshold of {number(top.quiet)} to keep to {allowance(case.budget)} "
        f"({candidate_words(top.candidate)})"
    )


def _enough(found: tuple[Enough | None, Enough | None]) -> tuple[str, ...]:
    """Say with which longer delay, and with how many more false pages, a value would have room."""
    later, noisier = found
    ways = []
    if later is not None:
        ways.append(f"a longest delay of {format_duration(later.budget.max_delay_ms)} (for example {_then(later)})")
    if noisier is not None:
        ways.append(f"{allowance(noisier.budget)} (for example {_then(noisier)})")
    if not ways:
        return ("Neither a longer delay nor more false pages would give any of the tried windows and “for” room.",)
    rest = ""
    if len(ways) == 1:
        rest = "; a longer delay alone would not do" if later is None else "; more false pages alone would not do"
    return (f"Enough would be {' or '.join(ways)}{rest}; less leaves the threshold no room.",)


def _then(way: Enough) -> str:
    return f"{way.setting}: {figures(way.score)}"
