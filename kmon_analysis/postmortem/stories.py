"""What each rule did about one incident, and why not more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from kmon_analysis.backtest.notes import is_blind
from kmon_analysis.backtest.rule import RuleBacktest
from kmon_analysis.backtest.run import Backtest
from kmon_analysis.backtest.score import Outcome, Page, Score, columns_of, credit_window
from kmon_analysis.incidents import Incident
from kmon_analysis.labels import Labels
from kmon_analysis.postmortem.recording import holes, unrecorded
from kmon_analysis.postmortem.timeline import Life, Step, lives_of, pages_around, steps_of
from kmon_analysis.recommend.candidates import Setting, current_setting
from kmon_analysis.timing import Interval

__all__ = ["Closest", "RuleStory", "Status", "stories_of"]

Status = Literal[
    "paged",
    "paged early",
    "already firing",
    "pending only",
    "never true",
    "nothing returned",
    "no data",
    "not concerned",
    "not evaluated",
]


@dataclass(frozen=True, slots=True)
class Closest:
    """The value that came nearest to firing, or went furthest beyond."""

    value: float
    at_ms: int
    labels: Labels


@dataclass(frozen=True, slots=True)
class RuleStory:
    """What one rule did.

    Attributes
    ----------
    rule : str
        Alert name, as in the backtest.
    status : str
        See `Status`.
    setting : Setting or None
        The rule's values; None where it is not evaluated.
    op : str or None
        Its comparison.
    window : Interval
        Where a page counts as having found the incident.
    first_ms : int or None
        First firing instant in that window, of any alert that the incident concerns.
    lives, pages, steps : tuple
        What its alerts did, see `kmon_analysis.postmortem.timeline`.
    closest : Closest or None
        Over the window; None without a threshold or without values.
    returned_ratio : float
        Part of the window's evaluations at which the expression returned an alert that the incident concerns.
    score : Score or None
        What the rule did in the whole history.
    reason : str
        Why it is not evaluated, in the words of whoever refused it.
    unrecorded : tuple of Interval
        The parts of the incident of which nothing is recorded.
    blind : bool
        Whether the history holds nothing at all of what it reads, as with a misspelt metric.
    """

    rule: str
    status: Status
    setting: Setting | None
    op: str | None
    window: Interval
    first_ms: int | None = None
    lives: tuple[Life, ...] = ()
    pages: tuple[Page, ...] = ()
    steps: tuple[Step, ...] = ()
    closest: Closest | None = None
    returned_ratio: float = 0.0
    score: Score | None = None
    reason: str = ""
    unrecorded: tuple[Interval, ...] = ()
    blind: bool = False

    @property
    def concerned(self) -> bool:
        """Whether the incident is the rule's business, and the rule could be evaluated."""
        return self.status not in ("not concerned", "not evaluated")

    @property
    def paged(self) -> bool:
        """Whether it found the incident."""
        return self.status in ("paged", "paged early")

    @property
    def known(self) -> bool:
        """Whether it is known what it did: a rule that did not page may have, where nothing is recorded."""
        return self.paged or self.status == "already firing" or not (self.unrecorded and self.concerned)

    @property
    def longest(self) -> Life | None:
        """The life whose condition was true for longest."""
        return max(self.lives, key=lambda life: life.held_ms, default=None)

    @property
    def paged_anew_ms(self) -> int | None:
        """When a page began inside the window, of whichever alert; None: none did."""
        begun = (page.episode.interval.start_ms for page in self.pages)
        return min((at_ms for at_ms in begun if at_ms in self.window), default=None)

    @property
    def merged_into_ms(self) -> int | None:
        """When the page began that the first firing of the window only goes on with; None: that is a page itself."""
        first = self.first_ms
        if first is None or any(page.episode.interval.start_ms == first for page in self.pages):
            return None
        earlier = (page.episode.interval for page in self.pages)
        return min((each.start_ms for each in earlier if each.start_ms < first < each.end_ms), default=None)

    @property
    def open(self) -> bool:
        """Whether an alert was still pending or firing at the last evaluation."""
        return any(life.end_ms is None for life in self.lives)


def stories_of(result: Backtest, incident: Incident) -> tuple[RuleStory, ...]:
    """Tell of every rule of a file what it did, those that have no part in it last."""
    gaps = holes(result)
    told = [_story(name, replay, result.scores[name], incident, gaps) for name, replay in result.results.items()]
    missing = unrecorded(gaps, result.history.interval, incident.interval)
    told = [replace(story, unrecorded=missing) for story in told]
    nowhere = credit_window(incident, result.settings, 0)
    told += [
        RuleStory(name, "not evaluated", None, None, nowhere, reason=error.problem)
        for name, error in result.refused.items()
        # What records is refused, too, and pages nobody.
        if any(rule.name == name or name.startswith(f"{rule.name} (") for rule in result.rules.alerts)
    ]
    return tuple(sorted(told, key=lambda story: not story.concerned))


def outcome_of(score: Score, incident: Incident) -> Outcome | None:
    """Return what a score says about an incident; None where the rule has nothing to do with it."""
    for outcome in (*score.outcomes, *score.optional):
        if outcome.incident.id == incident.id:
            return outcome
    return None


def _story(name: str, replay: RuleBacktest, score: Score, incident: Incident, gaps: Sequence[Interval]) -> RuleStory:
    window = credit_window(incident, replay.settings, replay.rule.for_ms)
    setting, op = current_setting(replay), replay.knobs.op
    reach = next((each for each in replay.reaches() if each.incident.id == incident.id), None)
    if reach is None:
        return RuleStory(name, "not concerned", setting, op, window, score=score)
    if is_blind(replay):
        # Its scores would praise a rule that cannot page.
        return RuleStory(name, "no data", setting, op, window, blind=True)
    level = replay.level()
    lives = lives_of(replay, incident, window, gaps)
    pages = pages_around(score, replay, incident, window)
    returned, closest = _looked_at(replay, incident, window, gaps)
    judged = reach.status(level)
    status: Status
    if judged == "missed":
        # Without a threshold the expression returns what is true, and nothing else.
        silent = not returned and replay.knobs.sweepable
        status = "pending only" if lives else "nothing returned" if silent else "never true"
    else:
        names: dict[str, Status] = {"caught": "paged", "early": "paged early"}
        status = names.get(judged) or ("no data" if judged == "no data" else "already firing")
    return RuleStory(
        name,
        status,
        setting,
        op,
        window,
        first_ms=None if judged == "no data" else reach.first_firing(level),
        lives=lives,
        pages=pages,
        steps=steps_of(lives, pages),
        closest=closest,
        returned_ratio=returned,
        score=score,
    )


def _looked_at(
    replay: RuleBacktest, incident: Incident, window: Interval, gaps: Sequence[Interval]
) -> tuple[float, Closest | None]:
    """Return how often the expression returned something in a window, and its most telling value that was recorded."""
    signal = replay.signal()
    columns = columns_of(window, signal.times)
    times = signal.times[columns]
    returned = np.zeros(len(times), dtype=np.bool_)
    recorded = np.array([not any(at_ms in gap for gap in gaps) for at_ms in times.tolist()], dtype=np.bool_)
    best, closest = -math.inf, None
    for group in signal.groups:
        for row, labels in enumerate(group.members):
            if not incident.concerns(replay.rule.name, labels):
                continue
            ranks = group.ranks[row, columns]
            returned |= ranks > 0
            ranks = np.where(recorded, ranks, 0)
            peak = int(ranks.max(initial=0))
            level = float(group.distinct[peak - 1]) if peak else -math.inf
            if peak and level > best:
                best = level
                at_ms = int(times[int(np.argmax(ranks))])
                closest = Closest(-level if signal.falls else level, at_ms, labels)
    ratio = float(returned.mean()) if len(returned) else 0.0
    return ratio, closest if replay.knobs.sweepable else None
