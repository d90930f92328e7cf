"""Variants of a replay that need no evaluation: other labelled truth, some of its page groups only."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from kmon_analysis.backtest.rule import RuleBacktest
from kmon_analysis.backtest.run import Backtest, incidents_of, inside
from kmon_analysis.backtest.signal import Signal
from kmon_analysis.incidents import Incidents
from kmon_analysis.labels import Labels

__all__ = ["alone", "some", "with_incidents"]


def with_incidents(result: Backtest, incidents: Incidents) -> Backtest:
    """Score a backtest against another list of incidents: signals do not depend on it.

    Parameters
    ----------
    result : Backtest
        From `kmon_analysis.workflow.backtest`.
    incidents : Incidents
        The new truth.

    Returns
    -------
    Backtest
        Equal to that of a new run with these incidents.

    Raises
    ------
    IncidentError
        If all incidents lie wholly outside the history; some that do are left out, and the result says so.
    """
    truth, left_out = inside(incidents, result.history.interval)
    results = {
        name: replace(replay, incidents=incidents_of(replay.rule, truth), _latest={})
        for name, replay in result.results.items()
    }
    scores = {name: replay.score() for name, replay in results.items()}
    return replace(result, incidents=truth, results=results, scores=scores, left_out=left_out)


def alone(replay: RuleBacktest, place: int, hidden: Collection[str] = ()) -> RuleBacktest:
    """Return the replay of one page group only, at its own window and hours.

    Parameters
    ----------
    replay : RuleBacktest
        With all its groups.
    place : int
        Of the group in its signal.
    hidden : collection of str
        Labels that its alerts are not named by.
    """
    signal = replay.signal()
    group = signal.groups[place]
    group = replace(group, members=tuple(member.without(*hidden) for member in group.members))
    one = replace(signal, groups=(group,))
    return replace(replay, groups=None, outside=None, _signals={(None, None): one}, _latest={})


def some(replay: RuleBacktest, kept: Collection[Labels], windows_ms: Iterable[int | None] = ()) -> RuleBacktest:
    """Return the replay of some page groups, as if a rule of their own selected them, with their incidents.

    Parameters
    ----------
    replay : RuleBacktest
        With all its groups.
    kept : collection of Labels
        Labels of page groups.
    windows_ms : iterable of int or None
        Windows besides the rule's own at which it can be asked.

    Notes
    -----
    An incident that concerns none of these groups is left out.
    """
    signals: dict[tuple[int | None, str | None], Signal] = {}
    for window in {None, *windows_ms} - {replay.knobs.window_ms} | {None}:
        whole = replay.signal(window)
        signals[window, None] = replace(whole, groups=tuple(each for each in whole.groups if each.labels in kept))
    concerned = [item for item in replay.incidents.incidents if any(item.concerns(replay.name, each) for each in kept)]
    incidents = replace(replay.incidents, incidents=tuple(concerned))
    return replace(replay, incidents=incidents, groups=None, outside=None, _signals=signals, _latest={})
