"""The picture of one page: what its alert compared, the threshold, and when it fired."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kmon_analysis.backtest.again import alone
from kmon_analysis.backtest.run import Backtest
from kmon_analysis.labelling.review import Question, group_of
from kmon_analysis.report.figure import Panel, stacked, styled
from kmon_analysis.report.timeline import LANE, rows_of, signal_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["page_figure"]


@styled
def page_figure(result: Backtest, question: Question) -> Figure:
    """Draw the compared value around a page, of its own alert only.

    Parameters
    ----------
    result : Backtest
        Rules over a history.
    question : Question
        From `kmon_analysis.labelling.review.questions`.
    """
    replay = result[question.rule]
    # What the rule sets is the same for all its alerts, and would crowd the legend.
    one = alone(replay, group_of(replay.signal(), question), ("alertname", *replay.rule.labels))
    height = 2.2
    around = question.around(replay.period)
    figure = stacked([Panel(height, above=0.75, below=0.6 + rows_of(one, around, 1) * LANE * height)])
    signal_axes(figure.axes[0], one, None, around)
    return figure
