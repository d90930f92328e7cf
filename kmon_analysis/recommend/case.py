"""What every check of one rule looks at, and whether a score keeps to the budget."""

from __future__ import annotations

from dataclasses import dataclass

from kmon_analysis.backtest.examples import examples_of
from kmon_analysis.backtest.rule import RuleBacktest
from kmon_analysis.backtest.score import Page, Score
from kmon_analysis.recommend.candidates import Budget, Candidate, Setting, candidates, current_setting
from kmon_analysis.recommend.wording import apart, observed, pages
from kmon_analysis.tabular import counted
from kmon_analysis.timing import MINUTE_MS, SECOND_MS, WEEK_MS, Interval, duration

__all__ = ["Case", "breaches", "case_of", "meets", "suspects_of"]

REVIEWED_PAGES = 10


@dataclass(frozen=True, slots=True)
class Case:
    """One rule with everything that is asked of it.

    Attributes
    ----------
    replay : RuleBacktest
        The rule on its history.
    budget : Budget
        What the team accepts.
    current : Setting
        The values as deployed.
    past : Score
        What they did.
    tried : tuple of Candidate
        Windows and ``for`` durations that are tried.
    clusters : int
        Examples among the incidents that must page and were observed: those of one cause count once.
    weeks : float
        Observed time.
    """

    replay: RuleBacktest
    budget: Budget
    current: Setting
    past: Score
    tried: tuple[Candidate, ...]
    clusters: int
    weeks: float

    def score(self, setting: Setting, period: Interval | None = None) -> Score:
        """Score values other than the deployed ones."""
        return self.replay.score(setting.threshold, period=period, window_ms=setting.window_ms, for_ms=setting.for_ms)


def case_of(replay: RuleBacktest, past: Score, budget: Budget, scrape_interval_ms: int) -> Case:
    """Gather what the checks of one rule look at."""
    observed = replay.observed(replay.signal())
    weeks = float(observed.mean()) * replay.period.duration_ms / WEEK_MS if observed.size else 0.0
    tried = candidates(replay, scrape_interval_ms)
    return Case(replay, budget, current_setting(replay), past, tried, len(examples_of(past.outcomes)), weeks)


def suspects_of(score: Score) -> tuple[Page, ...]:
    """Return the longest false pages first: the ones most likely to be unlabelled incidents."""
    false = [page for page in score.pages if page.kind == "false"]
    return tuple(sorted(false, key=lambda page: -page.episode.interval.duration_ms)[:REVIEWED_PAGES])


def meets(case: Case, score: Score) -> bool:
    """Tell whether a scored rule keeps to the budget and finds every incident in time."""
    return not breaches(case.budget, score)


def breaches(budget: Budget, score: Score) -> list[str]:
    """Say in which respects a scored rule breaks a budget, with both numbers; empty where it keeps to it.

    Parameters
    ----------
    budget : Budget
        What the team accepts.
    score : Score
        Of the rule.
    """
    found = []
    accepted = budget.false_pages_per_week
    if score.false_pages > accepted * score.weeks:
        noise = f"{pages(score.false_pages)} in {observed(score.weeks)}"
        if score.weeks >= 1 / 7:
            noise = f"{apart(score.false_pages_per_week, accepted)} false pages a week"
        found.append(f"{noise}, {accepted:g} accepted" + ("" if score.weeks >= 1 / 7 else " a week"))
    if score.firing_ratio > budget.firing_ratio:
        fires, limit = _apart(score.firing_ratio * WEEK_MS, budget.firing_ratio * WEEK_MS)
        found.append(f"firing for {fires} of a normal week, {limit} accepted")
    in_time = score.caught_within(budget.max_delay_ms)
    if in_time < score.required:
        found.append(f"{in_time} of {counted(score.required, 'incident')} found within {duration(budget.max_delay_ms)}")
    return found


def _apart(length_ms: float, limit_ms: float) -> tuple[str, str]:
    """Write two spans to the minute, or to the second or less where they would look the same."""
    for unit in (MINUTE_MS, SECOND_MS, 1):
        one, other = (duration(round(each / unit) * unit, exact=unit < SECOND_MS) for each in (length_ms, limit_ms))
        if one != other:
            break
    return one, other
