"""The same replay against other labelled truth: signals do not depend on incidents, scores do."""

from __future__ import annotations

from dataclasses import replace

from kmon_analysis.backtest.run import Backtest, incidents_of
from kmon_analysis.errors import IncidentError
from kmon_analysis.incidents import Incidents

__all__ = ["with_incidents"]


def with_incidents(result: Backtest, incidents: Incidents) -> Backtest:
    """Score a backtest against another list of incidents, without evaluating anything again.

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
        If incidents lie wholly outside the history; with all of them.
    """
    beyond = incidents.check_within(result.history.interval).errors
    if beyond:
        raise IncidentError(beyond)
    results = {
        name: replace(replay, incidents=incidents_of(replay.rule, incidents), _latest={})
        for name, replay in result.results.items()
    }
    scores = {name: replay.score() for name, replay in results.items()}
    return replace(result, incidents=incidents, results=results, scores=scores)
