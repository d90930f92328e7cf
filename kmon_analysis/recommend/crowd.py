"""Where false pages come from: one threshold for page groups of different size is often the fault of a rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from kmon_analysis.backtest.again import some
from kmon_analysis.backtest.rule import RuleBacktest
from kmon_analysis.backtest.score import Score
from kmon_analysis.labels import Labels
from kmon_analysis.recommend.case import Case
from kmon_analysis.recommend.choose import Plateau, best, survey
from kmon_analysis.recommend.wording import allowance, candidate_words, listed, number, pages, thresholds
from kmon_analysis.tabular import shortened

__all__ = ["crowd_sentence", "noisiest", "split_sentence"]

# "Mostly from few": so large a share of the false pages, from so few groups, and at least so many pages.
MOSTLY, FEW, ENOUGH_PAGES = 0.6, 3, 5
LONGEST_NAME = 80


def noisiest(replay: RuleBacktest, score: Score) -> list[tuple[Labels, int]]:
    """Return the fewest page groups that send most of the false pages, the noisiest first; none where many do.

    Parameters
    ----------
    replay : RuleBacktest
        With all its page groups.
    score : Score
        Whose false pages are counted.
    """
    ranked = _ranked(score)
    total, most = sum(count for _, count in ranked), min(FEW, len(replay.signal().groups) // 2)
    if total < ENOUGH_PAGES:
        return []
    for size in range(1, most + 1):
        if sum(count for _, count in ranked[:size]) >= MOSTLY * total:
            return ranked[:size]
    return []


def _ranked(score: Score) -> list[tuple[Labels, int]]:
    counts = Counter(page.episode.labels for page in score.pages if page.kind == "false")
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def crowd_sentence(case: Case) -> list[str]:
    """Say which few page groups the current rule's false pages come from."""
    few = noisiest(case.replay, case.past)
    if not few:
        return []
    total, groups = sum(count for _, count in few), len(case.replay.signal().groups)
    each = f" ({listed([str(count) for _, count in few])})" if len(few) > 1 else ""
    names = listed([_name(case, labels) for labels, _ in few])
    return [
        f"{total} of {pages(case.past.false_pages)} of the current rule come from {names}{each}: "
        f"{len(few)} of {groups} page groups."
    ]


def split_sentence(case: Case) -> list[str]:
    """Say that rules of their own would have room where one rule has none; nothing where they would not either.

    Notes
    -----
    The noisiest groups are taken out one after the other. Each part is looked for like a rule with the whole budget,
    among the same windows and ``for``, on the whole past; a part counts when its margin is not fragile.
    """
    if not noisiest(case.replay, case.past):
        return []
    others = [group.labels for group in case.replay.signal().groups]
    taken: list[tuple[str, Plateau]] = []
    for labels, _ in _ranked(case.past)[:FEW]:
        others.remove(labels)
        own = _best(case, [labels])
        if not own.roomy or not others:
            return []
        taken.append((_name(case, labels), own))
        rest = _best(case, others)
        if rest.roomy:
            return [_split(case, taken, rest)]
    return []


def _best(case: Case, kept: Collection[Labels]) -> Plateau:
    part = some(case.replay, kept, {candidate.window_ms for candidate in case.tried})
    (found,) = survey(part, case.tried, case.budget)
    return best(found, case.budget)


def _split(case: Case, taken: Sequence[tuple[str, Plateau]], rest: Plateau) -> str:
    parts = [f"{name} alone at {_room(case, plateau)}" for name, plateau in taken]
    parts.append(f"the other groups at {_room(case, rest)}")
    names = listed([name for name, _ in taken])
    own = "A rule of its own" if len(taken) == 1 else "Rules of their own"
    return (
        f"No one threshold has room for all page groups, but apart they have: {listed(parts)}. {own} for {names} may "
        f"be worth it; each rule would then be allowed {allowance(case.budget)}, and this was looked for in the past "
        "only."
    )


def _room(case: Case, found: Plateau) -> str:
    if found.weakest is not None:
        return f"thresholds {thresholds(found.quiet, found.weakest)} ({candidate_words(found.candidate)})"
    side = "at or below" if case.replay.signal().falls else "at or above"
    return f"thresholds {side} {number(found.quiet)} ({candidate_words(found.candidate)}; no incident concerns it)"


def _name(case: Case, labels: Labels) -> str:
    """Name a page group by the labels that the rule does not set itself."""
    return shortened(str(labels.without("alertname", *case.replay.rule.labels)), LONGEST_NAME)
