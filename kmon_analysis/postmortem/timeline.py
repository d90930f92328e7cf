"""What every alert did around an incident, evaluation by evaluation, as the replay has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from kmon_analysis.backtest.pages import Firing
from kmon_analysis.backtest.rule import RuleBacktest
from kmon_analysis.backtest.score import Page, Score, columns_of
from kmon_analysis.backtest.signal import Group
from kmon_analysis.incidents import Incident
from kmon_analysis.labels import Labels
from kmon_analysis.timing import Interval

__all__ = ["Ended", "Life", "Step", "Word", "lives_of", "pages_around", "steps_of"]

Bools = npt.NDArray[np.bool_]
Word = Literal["true", "pending", "firing", "page", "reset", "resolved", "still pending", "still firing"]
Ended = Literal["value", "no sample", "gap", "open"]


@dataclass(frozen=True, slots=True)
class Life:
    """One unbroken time in which an alert was pending or firing.

    Attributes
    ----------
    group : int
        Its page group.
    labels : Labels
        The alert.
    active_ms : int
        First evaluation at which the condition was true.
    firing_ms : int or None
        First evaluation at which it fired; None: it never did.
    last_true_ms : int
        Last evaluation at which the condition was true; ``keep_firing_for`` may keep it firing for longer.
    end_ms : int or None
        First evaluation at which it was neither pending nor firing; None: the history ends before.
    ended : {"value", "no sample", "gap", "open"}
        What ended it: the value was on the good side again, there was none, or nothing at all was recorded then, so
        that it is not known whether it ended.
    values : tuple of (float or None)
        Compared value at `active_ms`, `firing_ms`, and `end_ms`, or at `last_true_ms` where the history ends before;
        None where there is none, or no threshold.
    from_first, from_gap : bool
        Whether it was active at the first evaluation of the history, or after nothing had been recorded: since when is
        not known.
    """

    group: int
    labels: Labels
    active_ms: int
    firing_ms: int | None
    last_true_ms: int
    end_ms: int | None
    ended: Ended
    values: tuple[float | None, float | None, float | None]
    from_first: bool
    from_gap: bool = False

    @property
    def held_ms(self) -> int:
        """How long the condition was true, as ``for`` counts: from the first to the last true evaluation."""
        return self.last_true_ms - self.active_ms


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened to an alert at one evaluation.

    Attributes
    ----------
    at_ms : int
        The evaluation.
    labels : Labels
        The alert, or the page group where a page began with an alert of another concern.
    words : tuple of str
        What happened, in this order.
    value : float or None
        Compared value.
    life : Life or None
        What it belongs to.
    page : Page or None
        The page that began.
    """

    at_ms: int
    labels: Labels
    words: tuple[Word, ...]
    value: float | None
    life: Life | None = None
    page: Page | None = None


def lives_of(
    replay: RuleBacktest, incident: Incident, window: Interval, gaps: Sequence[Interval] = ()
) -> tuple[Life, ...]:
    """Return every life that overlaps a window, of the alerts that an incident concerns.

    Parameters
    ----------
    replay : RuleBacktest
        The rule as deployed.
    incident : Incident
        Says which alerts.
    window : Interval
        Lives that began before it or end behind it are given whole.
    gaps : sequence of Interval
        Where nothing was recorded.

    Returns
    -------
    tuple of Life
        By alert, then in the order of time.

    Notes
    -----
    Prometheus ``rules/alerting.go``, ``AlertingRule.Eval``, through the kernels of the backtest: an evaluation
    that fails changes no state, so that it is no step here.
    """
    from kmon_analysis.backtest import kernels

    firing = replay.firing()
    level = replay.level()
    found: list[Life] = []
    for place, group in enumerate(firing.signal.groups):
        index = group.index(level)
        for row, labels in enumerate(group.members):
            if not incident.concerns(replay.rule.name, labels):
                continue
            ranks = np.ascontiguousarray(group.ranks[row : row + 1])
            fires = kernels.firing(ranks, firing.pending, firing.width, firing.kept) > index
            found += _lives(replay, firing, place, row, ranks[0] > index, fires, window, gaps)
    return tuple(sorted(found, key=lambda life: (life.labels, life.active_ms)))


def _lives(
    replay: RuleBacktest,
    firing: Firing,
    place: int,
    row: int,
    above: Bools,
    fires: Bools,
    window: Interval,
    gaps: Sequence[Interval],
) -> list[Life]:
    """Cut one alert's states into lives."""
    signal = firing.signal
    times, group = signal.times, signal.groups[place]
    edges = np.diff((above | fires).astype(np.int8), prepend=0, append=0)
    starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    inside = columns_of(window, times)
    found = []
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        if stop < inside.start or start >= inside.stop:
            continue
        first = int(np.argmax(fires[start:stop])) + start if fires[start:stop].any() else None
        over = stop if stop < len(times) else None

        def value(column: int | None) -> float | None:
            return None if column is None else _value(replay, group, row, column)

        def recorded(column: int) -> bool:
            return not any(int(times[column]) in gap for gap in gaps)

        ended: Ended = "open" if over is None else "value" if group.ranks[row, over] else "no sample"
        if over is not None and not recorded(over):
            ended = "gap"
        last_true = start + int(np.flatnonzero(above[start:stop])[-1])
        found.append(
            Life(
                group=place,
                labels=group.members[row],
                active_ms=int(times[start]),
                firing_ms=None if first is None else int(times[first]),
                last_true_ms=int(times[last_true]),
                end_ms=None if over is None else int(times[over]),
                ended=ended,
                values=(value(start), value(first), value(last_true if over is None else over)),
                from_first=start == 0,
                from_gap=start > 0 and not recorded(start - 1),
            )
        )
    return found


def _value(replay: RuleBacktest, group: Group, row: int, column: int) -> float | None:
    """Return what was compared; None where the rule has no threshold or the result no such element."""
    rank = int(group.ranks[row, column])
    if not rank or not replay.knobs.sweepable:
        return None
    level = float(group.distinct[rank - 1])
    return -level if replay.signal().falls else level


def pages_around(score: Score, replay: RuleBacktest, incident: Incident, window: Interval) -> tuple[Page, ...]:
    """Return the pages that were open at some time of a window, of the alerts that an incident concerns."""
    return tuple(
        page
        for page in score.pages
        if page.episode.interval.overlaps(window) and incident.concerns(replay.rule.name, page.episode.labels)
    )


def steps_of(lives: tuple[Life, ...], pages: tuple[Page, ...]) -> tuple[Step, ...]:
    """Put lives and pages in the order of time; what happens to an alert at one evaluation is one step.

    Parameters
    ----------
    lives : tuple of Life
        From `lives_of`.
    pages : tuple of Page
        From `pages_around`.
    """
    begun = {(page.episode.group, page.episode.interval.start_ms): page for page in pages}
    steps: list[Step] = []
    for life in lives:
        steps.append(_begin(life, begun))
        if life.firing_ms is not None and life.firing_ms != life.active_ms:
            page = begun.pop((life.group, life.firing_ms), None)
            words: tuple[Word, ...] = ("firing",) if page is None else ("firing", "page")
            steps.append(Step(life.firing_ms, life.labels, words, life.values[1], life, page))
        if life.end_ms is not None:
            word: Word = "reset" if life.firing_ms is None else "resolved"
            steps.append(Step(life.end_ms, life.labels, (word,), life.values[2], life))
        else:
            word = "still pending" if life.firing_ms is None else "still firing"
            steps.append(Step(life.last_true_ms, life.labels, (word,), life.values[2], life))
    # A page of several alerts may have begun with one that the incident does not concern.
    steps += [Step(at_ms, page.episode.labels, ("page",), None, None, page) for (_, at_ms), page in begun.items()]
    return tuple(sorted(steps, key=lambda step: (step.at_ms, step.labels)))


def _begin(life: Life, begun: dict[tuple[int, int], Page]) -> Step:
    if life.firing_ms != life.active_ms:
        return Step(life.active_ms, life.labels, ("true", "pending"), life.values[0], life)
    page = begun.pop((life.group, life.active_ms), None)
    words: tuple[Word, ...] = ("true", "firing") if page is None else ("true", "firing", "page")
    return Step(life.active_ms, life.labels, words, life.values[0], life, page)
