"""From plateaus to a verdict: which sentences the data can carry, and which they cannot.

The order of the checks is the protocol: too few incidents, no separating threshold, a margin that
is too thin, unseen weeks that disagree, a search that fits noise; what passes all of them is advised.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np

from kmon_analysis.backtest.examples import examples_of, together
from kmon_analysis.backtest.notes import is_blind
from kmon_analysis.backtest.rule import RuleBacktest
from kmon_analysis.backtest.run import Backtest, alert_names
from kmon_analysis.backtest.score import Outcome, Score
from kmon_analysis.backtest.windows import early_pages
from kmon_analysis.errors import SettingError, sentence
from kmon_analysis.recommend import chance, uncertainty
from kmon_analysis.recommend.advice import Advice, Neighbour, RuleAdvice
from kmon_analysis.recommend.candidates import Budget, Setting
from kmon_analysis.recommend.case import Case, breaches, case_of, meets, suspects_of
from kmon_analysis.recommend.choose import EVERYTHING, Plateau, Question, best, place, survey
from kmon_analysis.recommend.crowd import crowd_sentence
from kmon_analysis.recommend.detection import detection_table
from kmon_analysis.recommend.enough import accepted_rate, enough
from kmon_analysis.recommend.holdout import MIN_WEEKS, folds_of, forward_chain, leave_one_out
from kmon_analysis.recommend.overfit import overfit_ratio
from kmon_analysis.recommend.physics import TimeToPage, hour_name
from kmon_analysis.recommend.refusal import heldout_sentence, inseparable, kept_headline, nearest, objections
from kmon_analysis.recommend.wording import (
    allowance,
    figures,
    number,
    observed,
    odds,
    paged_falsely,
    pages,
    thresholds,
)
from kmon_analysis.tabular import counted
from kmon_analysis.timing import WEEK_MS, Interval, duration, duration_of, format_duration, format_instant, span

__all__ = ["fate", "limits_of", "marked", "recommend"]

# Fewer than this many weeks hide weekly behaviour altogether; fewer than the second make it provisional.
SHORT_WEEKS, PROVISIONAL_WEEKS = 2, 4
FEW_INCIDENTS, TENTATIVE_INCIDENTS = 2, 5

UNKNOWN = "No recommendation for detection"
KEPT = "The current rule finds every incident in time and keeps to the budget, so it is not changed."

Progress = Callable[[str, int, int], None]


def recommend(
    result: Backtest,
    *,
    max_delay: str | timedelta,
    false_pages_per_week: float = 1.0,
    firing_ratio: float = 0.01,
    placement: float = 1 / 3,
    only: Collection[str] = (),
    progress: Progress | None = None,
) -> Advice:
    """Advise values for each rule of a backtest, or say why not.

    Parameters
    ----------
    result : Backtest
        From `backtest`.
    max_delay : str or timedelta
        Longest acceptable time from the labelled start of an incident to the page: a duration such
        as ``"10m"``. There is no honest default.
    false_pages_per_week : float
        Accepted false pages of one rule for each week of normal time.
    firing_ratio : float
        Accepted share of normal time in which the alert may fire.
    placement : float
        Where in the feasible interval the threshold goes, from 0 (false-page edge) to 1 (incident edge).
    only : collection of str
        Names of the alerts to advise on; empty: all. The others stay as they are.
    progress : callable, optional
        Called with a rule's name, steps done and steps in all.

    Returns
    -------
    Advice
        A verdict for each rule: ``tuned``, ``keep`` or ``refused``.

    Raises
    ------
    IncidentError
        If the incidents hold suggestions that nobody has confirmed or rejected.
    SettingError
        If a rule of this name is not in the file.
    """
    if isinstance(only, str):
        raise SettingError(f"only={only!r} is a text", cure=f"Write only=[{only!r}]")
    for name in only:
        result.rules.alert(name)
    result.incidents.require_decided()
    delay_ms = duration_of(max_delay, "max_delay")
    budget = Budget(delay_ms, false_pages_per_week, firing_ratio, placement)
    advices = {
        name: _advise(name, replay, result.scores[name], budget, result.history.scrape_interval_ms, progress)
        for name, replay in result.items()
        if not only or name in only
    }
    for name, advice in advices.items():
        if name in result.evaluated_by:
            advices[name] = marked(advice, result[name], result.evaluated_by[name])
    for note in result.findings:
        for name in (name for name in note.rules if name in advices):
            # Labels and times that fit nothing stand first: they explain away what the other reasons say.
            first = note.kind in ("labels", "shifted")
            if first or note.kind in ("barely seen", "credited", "no data", "never reached", "window", "start"):
                said, reasons = (sentence(note.text),), advices[name].reasons
                advices[name] = replace(advices[name], reasons=(*said, *reasons) if first else (*reasons, *said))
    for name, advice in advices.items():
        setting, found = advice.proposed or advice.candidate, advice.past_proposed or advice.past_candidate
        if setting is not None and found is not None:
            early = early_pages(result[name], found.pages, setting.window_ms)
            more = [f"With {setting} {early}."] if early else []
            advices[name] = replace(advice, reasons=(*advice.reasons, *more))
    for name, reason in result.refused.items():
        if only and name not in only:
            continue
        advices[name] = RuleAdvice(name, "refused", "Not evaluated", (str(reason),), None)
    return Advice(result, budget, {name: advices[name] for name in alert_names(result.rules) if name in advices})


def _advise(
    name: str, replay: RuleBacktest, past: Score, budget: Budget, scrape_interval_ms: int, progress: Progress | None
) -> RuleAdvice:
    case = case_of(replay, past, budget, scrape_interval_ms)
    current, tried, weeks = case.current, case.tried, case.weeks
    base = RuleAdvice(
        name,
        "keep",
        "",
        (),
        current,
        past_current=past,
        suspects=suspects_of(past),
        group_by=replay.settings.group_by,
    )
    if is_blind(replay):
        nothing = "The history holds no series that the rule asks for: nothing can be said about it."
        return replace(base, verdict="refused", headline="No data", reasons=(nothing,))
    if not replay.knobs.sweepable:
        if case.clusters == 0:
            return replace(base, verdict="refused", headline=UNKNOWN, reasons=_fixed_reasons(case))
        return replace(base, headline=_fixed_headline(case), reasons=_fixed_reasons(case))
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1
        if progress is not None:
            progress(name, steps, len(tried))

    folds = folds_of(replay.period)
    must = [each.ids for each in examples_of(past.outcomes)] if case.clusters > FEW_INCIDENTS else []
    questions = _questions(folds, must)
    found, *others = survey(replay, tried, budget, questions, progress=step)
    winners = [best(other, budget) for other in others]
    top = best(found, budget)
    if case.clusters == 0:
        return _without_incidents(case, base, next(p for p in found if p.candidate == current.candidate))
    if not top.feasible:
        base = replace(base, enough=enough(case))
        return replace(
            base,
            verdict="refused",
            headline="No threshold separates",
            reasons=(*inseparable(case, base, top), *crowd_sentence(case), *limits_of(case)),
            plateau=top,
        )
    setting, scored = _placed(case, top)
    base = replace(base, plateau=top, candidate=setting, past_candidate=scored, chance_p=_chance(case, setting, scored))
    case = replace(case, clusters=len(examples_of(scored.outcomes, past.outcomes)))
    if case.clusters <= FEW_INCIDENTS:
        return _one_or_two(case, base, setting, scored, top)
    base = replace(
        base,
        heldout=forward_chain(replay, winners[: len(folds)], budget, current),
        left_out=leave_one_out(replay, must, winners[len(folds) :], budget, current),
        neighbours=_neighbours(case, setting),
        overfit_ratio=overfit_ratio(replay, found, budget) if weeks >= PROVISIONAL_WEEKS else None,
    )
    against = objections(case, base, top, scored)
    if against:
        base = base if top.roomy else replace(base, enough=enough(case))
        near = nearest(case, base, scored, against, top)
        return replace(base, headline=kept_headline(case), reasons=(*near, *crowd_sentence(case), *limits_of(case)))
    if meets(case, case.past) and past.false_pages <= scored.false_pages:
        return replace(base, headline=kept_headline(case), reasons=(KEPT, *_quieter(case, base), *limits_of(case)))
    return _tuned(case, base, setting, scored, top)


def _questions(folds: Sequence[Interval], must: Sequence[tuple[str, ...]]) -> list[Question]:
    """Ask with everything known, before each fold, and without each incident."""
    return [
        EVERYTHING,
        *(Question(stop_ms=fold.start_ms) for fold in folds),
        *(Question(without=ids) for ids in must),
    ]


def _quieter(case: Case, base: RuleAdvice) -> tuple[str, ...]:
    """Say which values would have paged falsely less often than a rule that is kept, and pass the same checks."""
    past = case.past
    if not past.false_pages:
        return ()
    folds = folds_of(case.replay.period)
    for fewer in sorted({0, past.false_pages // 2, past.false_pages - 1}):
        rate = accepted_rate(fewer, past.weeks)
        if math.floor(rate * past.weeks) >= past.false_pages:
            continue
        other = replace(case, budget=replace(case.budget, false_pages_per_week=rate))
        found, *before = survey(case.replay, case.tried, other.budget, _questions(folds, ()))
        top = best(found, other.budget)
        if not top.feasible:
            continue
        setting, scored = _placed(other, top)
        winners = [best(each, other.budget) for each in before]
        tested = replace(
            base,
            heldout=forward_chain(case.replay, winners, other.budget, case.current),
            overfit_ratio=None if base.overfit_ratio is None else overfit_ratio(case.replay, found, other.budget),
        )
        if scored.false_pages < past.false_pages and not objections(other, tested, top, scored):
            return (
                f"Fewer false pages were possible: {setting}: {figures(scored)}. The current rule: {figures(past)}. "
                f"It passes the same checks; --false-pages {rate:g} (in Python false_pages_per_week={rate:g}) asks for "
                "it.",
            )
    return ("Of what was tried, nothing with fewer false pages passes the same checks.",)


def marked(advice: RuleAdvice, replay: RuleBacktest, who: str) -> RuleAdvice:
    """Say who evaluated the expression, where we did not."""
    said = [f"Its expression was evaluated by {who}; alert states and pages are our own replay of that."]
    if replay.unknown_windows:
        said.append("Other windows were not tried: nothing of them is kept, and no server was given.")
    return replace(advice, evaluated_by=who, reasons=(*advice.reasons, *said))


def _placed(case: Case, found: Plateau) -> tuple[Setting, Score]:
    setting = place(found, case.budget, case.current)
    return setting, case.score(setting)


def _chance(case: Case, setting: Setting, score: Score) -> float | None:
    """Return the share of shifted incident lists that the setting would have caught as well.

    None where nothing can be shifted: no incidents, or a history of less than two steps.
    """
    reaches = case.replay.reaches(window_ms=setting.window_ms, for_ms=setting.for_ms)
    wanted = [reach for reach in reaches if reach.required]
    if not wanted or case.replay.period.duration_ms < 2 * chance.SHIFT_STEP_MS:
        return None
    firing = [
        np.array(
            [
                (page.episode.interval.start_ms, page.episode.interval.end_ms)
                for page in score.pages
                if reach.incident.concerns(case.replay.name, page.episode.labels)
            ],
            dtype=np.int64,
        ).reshape(-1, 2)
        for reach in wanted
    ]
    windows = np.array([(reach.window.start_ms, reach.window.end_ms) for reach in wanted], dtype=np.int64)
    return chance.shift_test(firing, windows, case.replay.period).p


def _neighbours(case: Case, setting: Setting) -> tuple[Neighbour, ...]:
    """Score the settings one step away: a plateau has neighbours that keep to the budget, too."""
    if setting.threshold is None:
        return ()
    changes: list[tuple[str, Setting]] = [
        ("threshold −20 %", replace(setting, threshold=setting.threshold * 0.8)),
        ("threshold +20 %", replace(setting, threshold=setting.threshold * 1.2)),
    ]
    holds = sorted({candidate.for_ms for candidate in case.tried})
    at = holds.index(setting.for_ms)
    changes += [
        (f"for {format_duration(holds[other])}", replace(setting, for_ms=holds[other]))
        for other in (at - 1, at + 1)
        if 0 <= other < len(holds)
    ]
    windows = sorted({candidate.window_ms for candidate in case.tried if candidate.window_ms is not None})
    if setting.window_ms in windows:
        at = windows.index(setting.window_ms)
        changes += [
            (f"window {format_duration(windows[other])}", replace(setting, window_ms=windows[other]))
            for other in (at - 1, at + 1)
            if 0 <= other < len(windows)
        ]
    found = []
    for change, other in changes:
        score = case.score(other)
        found.append(Neighbour(change, other, score, tuple(breaches(case.budget, score))))
    return tuple(found)


# ---- sentences --------------------------------------------------------------------------------


def _fixed_headline(case: Case) -> str:
    broken = breaches(case.budget, case.past)
    if not broken:
        return "Keep the current rule"
    return f"Nothing to tune; the current rule breaks the budget: {'; '.join(broken)}"


def _fixed_reasons(case: Case) -> tuple[str, ...]:
    past = case.past
    reasons = ["The expression has no threshold that can turn; it is scored as it stands."]
    if past.outcomes:
        reasons.append(
            f"It found {past.caught} of {counted(past.incidents, 'incident')} with {pages(past.false_pages)} "
            f"in {observed(past.weeks)}."
        )
    else:
        reasons.append(f"It {paged_falsely(past)}; no incident concerns it: what it would find is unknown.")
    if past.false_pages > case.budget.false_pages_per_week * past.weeks:
        quieter = [case.score(replace(case.current, for_ms=c.for_ms)) for c in case.tried]
        good = [(c.for_ms, score) for c, score in zip(case.tried, quieter, strict=True) if meets(case, score)]
        if good:
            hold, score = min(good, key=lambda item: item[0])
            reasons.append(
                f"With for {format_duration(hold)} it would have kept to the budget: {pages(score.false_pages)}."
            )
    return tuple(reasons)


def limits_of(case: Case) -> tuple[str, ...]:
    """Say what the data cannot say."""
    limits = []
    kinds = {outcome.incident.kind for outcome in case.past.outcomes if outcome.incident.kind}
    if len(kinds) == 1 and case.past.outcomes:
        limits.append(f'All incidents are of one kind ("{next(iter(kinds))}"): this says nothing about other kinds.')
    if case.weeks < SHORT_WEEKS:
        limits.append("Too short for weekly behaviour: the history holds less than two weeks.")
    elif case.weeks < PROVISIONAL_WEEKS:
        upper = (
            uncertainty.poisson_upper_count(case.past.false_pages) / case.past.weeks if case.past.weeks else math.nan
        )
        again = format_instant(case.replay.period.start_ms + PROVISIONAL_WEEKS * WEEK_MS)[:10]
        limits.append(
            f"Provisional: re-run on {again} or later. The current rule pages falsely at most {upper:.1f} times a week "
            "(nine times out of ten, if pages were independent); that will be exceeded more often than stated."
        )
    unseen = [outcome.incident.id for outcome in case.past.outcomes if outcome.status == "no data"]
    if unseen:
        limits.append(f"The history has no data around {', '.join(unseen)}; they are not counted.")
    already = [o.incident.id for o in case.past.outcomes if o.status == "already firing" and o.within is None]
    if already:
        limits.append(
            f"The current rule was already firing before {', '.join(already)}: a precursor or a stuck alert, "
            "not a success."
        )
    return tuple(limits)


def _without_incidents(case: Case, base: RuleAdvice, own: Plateau) -> RuleAdvice:
    past, budget = case.past, case.budget
    side = "at or below" if case.replay.signal().falls else "at or above"
    reasons = [
        "No incident concerns this rule: what it would find is unknown.",
        f"As it is, it {paged_falsely(past)}{_over(past, budget)}.",
        "To get a list of incidents: kmon incidents suggest points out unusual spells of this history, for people to "
        "confirm or reject; kmon incidents import takes over what another tool recorded.",
    ]
    if math.isfinite(own.quiet):
        reasons.append(
            f"A measure of the noise, not a proposal: with for {format_duration(own.candidate.for_ms)}, any threshold "
            f"{side} {number(own.quiet)} would have kept to {allowance(budget)}. Incidents may well stay short of that."
        )
    if budget.false_pages_per_week > 0:
        needed = uncertainty.quiet_weeks_needed(budget.false_pages_per_week)
        reasons.append(
            f"It takes {needed:.1f} weeks without a false page to show (nine times out of ten) that a rule keeps to "
            f"{allowance(budget)}; {observed(past.weeks)} were observed."
        )
    physics = detection_table(case.replay, case.current)
    reasons += _arithmetic(physics)
    return replace(
        base,
        verdict="refused",
        headline=UNKNOWN,
        reasons=(*reasons, *limits_of(case)),
        plateau=own,
        physics=tuple(physics),
    )


def _over(past: Score, budget: Budget) -> str:
    """Say how much that is a week, where it is more than accepted."""
    if past.false_pages <= budget.false_pages_per_week * past.weeks or math.isnan(past.false_pages_per_week):
        return ""
    return f": {past.shown_rate} a week, {budget.false_pages_per_week:g} accepted"


def _arithmetic(physics: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say for the busiest alert how long a fault would go unnoticed; it is arithmetic, and says so."""
    if not physics:
        return []
    alert = physics[0]["alert"]
    hours = [row["time"] for row in physics if row["alert"] == alert]

    def after(time: TimeToPage) -> str:
        if math.isnan(time.seconds):
            return "is hidden: the rule fires without any fault then"
        if math.isinf(time.seconds):
            return "never pages"
        return f"pages after {duration(max(60, round(time.seconds / 60) * 60) * 1000)}"

    busy, calm = hours[0], hours[-1]
    return [
        f"By arithmetic alone, for {alert}: if the {busy.fault.replace(' stops', '')} stops, a fault on "
        f"{hour_name(busy.hour)} (most traffic) {after(busy)}, one on {hour_name(calm.hour)} (least) {after(calm)}."
    ]


def _untested(case: Case) -> str:
    """Say which of its conditions the test on unseen weeks lacks."""
    folds = folds_of(case.replay.period)
    if not folds:
        whole = span(case.replay.period.duration_ms)
        why = f"the history holds {whole}, and tuning on the first and testing on the last takes {MIN_WEEKS} weeks"
        if whole == span(MIN_WEEKS * WEEK_MS):
            lacking = duration(MIN_WEEKS * WEEK_MS - case.replay.period.duration_ms)
            why = (
                f"tuning on the first and testing on the last takes {MIN_WEEKS} weeks, and the history lacks {lacking}"
            )
    elif not any(
        o.status != "no data" and o.incident.interval.start_ms >= folds[0].start_ms for o in case.past.outcomes
    ):
        why = f"no incident lies in the weeks to test on, from {format_instant(folds[0].start_ms)[:10]} on"
    else:
        why = "the weeks before each incident to test on have no threshold that separates, or no incident to tune on"
    return f"Not tested on unseen weeks: {why}."


def _margin_sentence(top: Plateau, setting: Setting, falls: bool) -> str:
    """State the margin as a ratio of the threshold."""
    threshold = setting.threshold or 0.0
    weakest = math.nan if top.weakest is None else top.weakest
    if threshold == 0 or top.quiet * weakest <= 0 or threshold * weakest <= 0:
        return (
            f"Thresholds {thresholds(top.quiet, weakest)} all keep to the budget and find every incident in time; "
            "incidents lie at the one end, ordinary weeks at the other."
        )
    incident, ordinary = weakest / threshold, top.quiet / threshold
    words = ("at most", "at least") if falls else ("at least", "at most")
    return (
        f"Incidents reach {words[0]} {incident:.2g}x, ordinary weeks (within the budget) {words[1]} {ordinary:.2g}x "
        f"of this threshold."
    )


def _one_or_two(case: Case, base: RuleAdvice, setting: Setting, scored: Score, top: Plateau) -> RuleAdvice:
    words = "one example" if case.clusters == 1 else "two examples"
    seen = {o.incident.id: o for o in case.past.outcomes if o.status != "no data"}
    reasons = list(filter(None, [together(examples_of(scored.outcomes, case.past.outcomes))]))
    reasons += [f"The current rule: {fate(outcome)}." for outcome in seen.values()]
    reasons += [
        f"With {setting} the past shows {pages(scored.false_pages)} in {observed(scored.weeks)}, and: "
        + "; ".join(fate(outcome) for outcome in scored.outcomes if outcome.status != "no data")
        + ". "
        + _margin_sentence(top, setting, case.replay.signal().falls)
    ]
    if case.clusters == FEW_INCIDENTS:
        reasons.append("Just under the weaker of two such incidents, the chance to find the next one like them is 2/3.")
    if base.chance_p is not None:
        verdict = "cannot be distinguished from chance" if base.chance_p > 0.05 else "is more than chance"
        reasons.append(
            f"Finding {words.replace('example', 'incident')} {verdict} (shift test p = {base.chance_p:.3f})."
        )
    broken = breaches(case.budget, case.past)
    stays = f"stays, although it breaks the budget: {'; '.join(broken)}" if broken else "stays"
    reasons.append(f"{words.capitalize()} cannot support a change; the current rule {stays}.")
    late = case.past.caught_within(case.budget.max_delay_ms) < case.past.required
    return replace(
        base,
        headline=f"No change on {words}; the current rule breaks the budget: {'; '.join(broken)}"
        if late
        else f"Consistent with {words}",
        reasons=(*reasons, *crowd_sentence(case), *limits_of(case)),
    )


def fate(outcome: Outcome) -> str:
    """Say what became of one incident."""
    name = f"{outcome.incident.id} ({format_instant(outcome.incident.interval.start_ms)[:10]})"
    if outcome.status == "missed":
        return f"{name} is missed"
    if outcome.within is not None:
        return f"{name} is paged with {outcome.within}"
    if outcome.status == "already firing":
        return f"{name} finds the rule already firing"
    if outcome.status == "early":
        return f"{name} is paged before its labelled start"
    return f"{name} is paged after {duration(outcome.delay_ms or 0)}"


def _tuned(case: Case, base: RuleAdvice, setting: Setting, scored: Score, top: Plateau) -> RuleAdvice:
    n, falls = case.clusters, case.replay.signal().falls
    examples = examples_of(scored.outcomes, case.past.outcomes)
    lower = uncertainty.clopper_pearson(sum(each.found for each in examples), n, level=0.95).low
    one = "incident" if n == scored.incidents else "example"
    delays = f"worst delay {duration(scored.worst_delay_ms or 0)}"
    if n > TENTATIVE_INCIDENTS:
        middle = uncertainty.delay_summary([delay / 1000 for delay in scored.delays_ms])
        delays = f"median delay {duration(round(middle.median_s) * 1000)}, {delays}"
    reasons = [
        f"In the past {span(case.weeks * WEEK_MS)} it found {scored.caught} of "
        f"{counted(scored.incidents, 'incident')}, {delays}. "
        # The exact interval holds for a rule fixed before looking only: `uncertainty.clopper_pearson`.
        f"Had the rule been fixed before these incidents, that would show that it finds at least {lower:.0%} of such "
        "incidents (lower end of the two-sided 95% interval); it was chosen by looking at them, which shows less.",
        *filter(None, [together(examples)]),
        f"{pages(scored.false_pages).capitalize()} in {observed(scored.weeks)}. "
        f"Current rule on the same weeks: {case.past.caught} of {case.past.incidents}, "
        f"{pages(case.past.false_pages)}.",
    ]
    prediction = None
    if scored.weeks >= PROVISIONAL_WEEKS:
        fano = uncertainty.fano_factor(scored.weekly_false_pages())
        ahead = uncertainty.predict_pages(scored.false_pages, scored.weeks, fano, horizon_weeks=4)
        prediction = (ahead.low, ahead.high)
        over = ahead.probability_above(2 * 4 * case.budget.false_pages_per_week)
        reasons.append(
            f"Next 4 weeks: probably {ahead.low}–{ahead.high} false pages (nine times out of ten); "
            f"more than double the budget: {odds(over)}."
        )
    if base.heldout is not None:
        reasons.append("Tested on unseen weeks (tuned on the weeks before): " + heldout_sentence(base.heldout) + ".")
    else:
        reasons.append(_untested(case))
    if base.left_out:
        hits = sum(left.caught for left in base.left_out)
        values = [
            left.setting.threshold for left in base.left_out if left.setting and left.setting.threshold is not None
        ]
        spread = ""
        if values and min(values) == max(values):
            spread = f", always with threshold {number(values[0])}"
        elif values:
            spread = f"; thresholds from {number(min(values))} to {number(max(values))}"
        each = "incident" if len(base.left_out) == case.past.incidents else "example"
        reasons.append(f"Each {each} left out in turn: {hits} of {len(base.left_out)} found{spread}.")
    reasons.append(_margin_sentence(top, setting, falls))
    fragile = [f"{each.change} ({'; '.join(each.broken)})" for each in base.neighbours if each.broken]
    if fragile:
        reasons.append(f"One step away a limit no longer holds: {', '.join(fragile)}.")
    if n < 30:
        reasons.append(
            # The law for thresholds chosen on the same incidents: `uncertainty.next_missed`.
            f"A threshold that the weakest of the {n} past {one}s only just reaches would miss about 1 in "
            f"{round(1 / uncertainty.next_missed(n))} new ones of these kinds; this one is "
            f"{'higher' if falls else 'lower'} than that, so it should miss fewer."
        )
    headline = "Recommended" if n > TENTATIVE_INCIDENTS and base.heldout is not None else "Tentative"
    if case.weeks < SHORT_WEEKS:
        headline = "Tentative; too short for weekly behaviour"
    elif case.weeks < PROVISIONAL_WEEKS:
        again = format_instant(case.replay.period.start_ms + PROVISIONAL_WEEKS * WEEK_MS)[:10]
        headline = f"Provisional, re-run on {again}"
    return replace(
        base,
        verdict="tuned",
        headline=f"{headline}: {setting}",
        reasons=(*reasons, *limits_of(case)),
        proposed=setting,
        past_proposed=scored,
        next_4_weeks=prediction,
        suspects=suspects_of(scored),
    )
