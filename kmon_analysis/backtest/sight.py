"""What each alert can see: whether its selectors find anything, how much of the time, and where it is blind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kmon_analysis.backtest.run import Backtest, observed_evaluations
from kmon_analysis.history_gaps import absences
from kmon_analysis.labels import Matcher
from kmon_analysis.promql.needs import selections
from kmon_analysis.promql.printer import format_expr
from kmon_analysis.promql.syntax import VectorSelector
from kmon_analysis.timing import MINUTE_MS, SECOND_MS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["sight"]


def sight(result: Backtest) -> pd.DataFrame:
    """Say for each alert, selector by selector, what it sees of a history.

    Parameters
    ----------
    result : Backtest
        The replay.

    Returns
    -------
    pandas.DataFrame
        One row an alert and selector: how many ``series`` it matches, ``seen_ratio`` of the evaluations at which any of
        them has a sample within the lookback, ``blind_s``, the longest time without one, ``gap_min``, the longest
        gap of a single series (see `kmon_analysis.history_gaps`), and whether the threshold ``turns``, else why not.
    """
    import pandas as pd

    rows = []
    usual_ms = result.history.usual_step_ms
    for name, replay in result.items():
        turns = "yes" if replay.knobs.sweepable else f"no: {replay.knobs.reason}"
        for need in selections(replay.rule.expr):
            found = replay.series.take(replay.series.matching(need.matchers).tolist())
            back_ms = replay.semantics.lookback_ms + need.lookback_ms
            seen = observed_evaluations(found, replay.grid.times, back_ms, left_open=replay.semantics.left_open)
            gaps = [lacks.longest_gap_ms for lacks in absences(found, result.history.interval, usual_ms)]
            rows.append(
                {
                    "alert": name,
                    "reads": _selector(need.matchers),
                    "series": len(found),
                    "seen_ratio": float(seen.mean()) if len(seen) else 0.0,
                    "blind_s": _longest_false(seen) * replay.grid.step_ms / SECOND_MS,
                    "gap_min": max(gaps, default=0) / MINUTE_MS,
                    "turns": turns,
                }
            )
    return pd.DataFrame(rows).set_index(["alert", "reads"]) if rows else pd.DataFrame()


def _selector(matchers: tuple[Matcher, ...]) -> str:
    return format_expr(VectorSelector(matchers))


def _longest_false(seen: np.ndarray) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[True], seen, [True]]).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max(initial=0))
