"""Pictures of one rule: its signal over time, its pages and delays over every threshold, what is possible.

Each ``*_axes`` function draws on one Axes; ``*_figure`` functions compose them. What is drawn comes as
plain arrays from `kmon_analysis.report.shapes` and `kmon_analysis.report.front`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kmon_analysis.backtest.rule import RuleBacktest
from kmon_analysis.recommend.advice import RuleAdvice
from kmon_analysis.recommend.candidates import Budget, Setting
from kmon_analysis.recommend.choose import Plateau
from kmon_analysis.report import findings, shapes
from kmon_analysis.report.curves import delay_axes, legend_mark, pages_axes, scale_delays, threshold_scale
from kmon_analysis.report.figure import (
    DASHES,
    FAINT,
    INK,
    LINES,
    PAPER,
    PROPOSED,
    TRUE,
    Panel,
    note,
    set_title,
    stacked,
    styled,
)
from kmon_analysis.report.front import Outlook, lettered, outlook, staircase
from kmon_analysis.report.timeline import LANE, WRAP, legend_beside, rows_of, signal_axes
from kmon_analysis.report.view import WORDS, look, settings_of
from kmon_analysis.report.words import number
from kmon_analysis.timing import MINUTE_MS, Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["advice_figure", "delay_axes", "front_axes", "front_figure", "pages_axes", "rule_figure", "signal_axes"]


@styled
def front_axes(
    ax: Axes,
    replay: RuleBacktest,
    points: Sequence[Outlook],
    budget: Budget | None = None,
    *,
    threshold: float | None = None,
    proposed: Setting | None = None,
) -> None:
    """Draw what is possible at all: worst delay against false pages a week, for each number of misses.

    Parameters
    ----------
    ax, replay, budget, threshold, proposed
        As for `pages_axes`.
    points : sequence of Outlook
        From `kmon_analysis.report.front.front`.

    Notes
    -----
    Points that are no worse than the proposal in any respect carry letters, as the table has them.
    The activity monitoring operating characteristic (Fawcett and Provost 1999), with the number of
    missed incidents as a third objective.
    """
    settings = settings_of(replay, threshold, proposed)
    here = [outlook(view.score) for view in look(replay, settings)]
    handles: list[Any] = []
    names: list[str] = []
    rates = [p.false_pages_per_week for p in here if math.isfinite(p.false_pages_per_week)]
    delays = [p.worst_delay_ms / MINUTE_MS for p in here if p.worst_delay_ms is not None]
    most = max((p.missed for p in here), default=0)
    for place, missed in enumerate(sorted({p.missed for p in points if p.missed <= max(most, 2)})):
        x, y = staircase([p for p in points if p.missed == missed])
        color = LINES[place % len(LINES)]
        dash = DASHES[place % len(DASHES)]
        (line,) = ax.plot(x, y, drawstyle="steps-post", color=color, linestyle=dash, linewidth=1.3)
        ax.plot(x, y, linestyle="", marker="o", markersize=4.5, color=color)
        handles.append(line)
        names.append("none missed" if not missed else f"{missed} missed")
        rates += [float(x.max()), float(x.min())]
        delays += [float(y.max()), float(y.min())]
    if budget is not None:
        corner = (budget.false_pages_per_week, budget.max_delay_ms / MINUTE_MS)
        handles.append(
            ax.fill_between(
                [0, corner[0]], 0, corner[1], facecolor=(TRUE, 0.16), edgecolor=TRUE, linewidth=0.8, zorder=0.4
            )
        )
        names.append("within the budget")
    for setting, point in zip(settings, here, strict=True):
        if point.worst_delay_ms is None:
            continue
        new = setting is proposed
        at = (point.false_pages_per_week, point.worst_delay_ms / MINUTE_MS)
        face, edge, text = (PROPOSED, PROPOSED, PAPER) if new else (PAPER, INK, INK)
        ax.plot(
            *at,
            marker="s" if new else "D",
            markersize=13,
            markerfacecolor=face,
            markeredgecolor=edge,
            zorder=6,
            clip_on=False,
        )
        ax.annotate(
            str(point.missed), at, ha="center", va="center", color=text, fontsize=8.5, fontweight="bold", zorder=7
        )
        handles.append(legend_mark("s" if new else "D", edge))
        names.append(f"{'proposed' if new else 'now'}, with its misses")
    letters = lettered(points, here[1] if proposed is not None else None)
    for point, letter in letters.items():
        ax.annotate(
            letter,
            (point.false_pages_per_week, (point.worst_delay_ms or 0) / MINUTE_MS),
            xytext=(-4, -10),
            textcoords="offset points",
            ha="right",
            fontsize=9,
            fontweight="bold",
            annotation_clip=False,
        )
    if letters:
        handles.append(legend_mark("", INK))
        names.append(f"{', '.join(letters.values())}: no worse in this past")
        note(ax, f"Points {', '.join(letters.values())} are no worse than the proposed values in this past")
    _page_limits(ax, rates, budget)
    scale_delays(ax, delays, budget)
    ax.set_xlabel("false pages a week")
    ax.set_ylabel("worst delay of those found")
    ax.grid(color=FAINT)
    legend_beside(ax, handles, names)
    title = findings.front_title(here[0], here[1] if proposed is not None else None, points)
    set_title(ax, title, WRAP)


def _page_limits(ax: Axes, rates: Sequence[float], budget: Budget | None) -> None:
    from matplotlib import ticker

    limit = (0.0 if budget is None else budget.false_pages_per_week) or 1.0
    one = 10.0 ** math.floor(math.log10(limit))
    top = max([*rates, limit])
    if top > 15 * limit:
        ax.set_xscale("symlog", linthresh=one, linscale=0.7)
        ax.xaxis.set_minor_locator(ticker.NullLocator())
        decades = one * 10.0 ** np.arange(0, math.ceil(math.log10(top / one)) + 1)
        ax.xaxis.set_major_locator(ticker.FixedLocator([0.0, *decades[decades <= top * 1.5]]))
    ax.set_xlim(*((-0.1 * one, top * 1.5) if top > 15 * limit else (-0.03 * top, top * 1.08)))
    ax.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: number(round(value, 6))))


# ---- figures ------------------------------------------------------------------------------------


def rule_figure(
    replay: RuleBacktest,
    threshold: float | None = None,
    period: Interval | None = None,
    *,
    proposed: Setting | None = None,
    words: tuple[str, str] = WORDS,
    zone: str = "UTC",
) -> Figure:
    """Draw a rule's signal with its states and incidents, and its pages and delays over thresholds.

    Parameters
    ----------
    replay : RuleBacktest
        The rule on its history.
    threshold : float, optional
        Draw this one instead of the rule's own.
    period : Interval, optional
        Draw the signal of this range only, without the curves, which are about the whole history, unless they compare
        it with `proposed`. Alerts that an incident there concerns have a row of their own.
    proposed : Setting, optional
        A second setting to draw beside it.
    words : (str, str)
        What the two are called.
    zone : str
        Time zone of the time axis, by its IANA name.

    Returns
    -------
    Figure
        Not registered with pyplot; notebooks show it by themselves.

    Raises
    ------
    SettingError
        If there is no such zone.
    """
    return _compose(replay, threshold=threshold, period=period, proposed=proposed, words=words, zone=zone)


def advice_figure(replay: RuleBacktest, advice: RuleAdvice, budget: Budget | None, *, zone: str = "UTC") -> Figure:
    """Draw the evidence of an advice: what the current and the proposed values do.

    Parameters
    ----------
    replay : RuleBacktest
        The rule on its history.
    advice : RuleAdvice
        Verdict on it.
    budget : Budget or None
        What the team accepts.
    zone : str
        Time zone of the time axis, by its IANA name.

    Raises
    ------
    SettingError
        If there is no such zone.
    """
    words = (WORDS[0], "by hand") if advice.by_hand else WORDS
    return _compose(replay, budget=budget, proposed=advice.proposed, plateau=advice.plateau, words=words, zone=zone)


@styled
def front_figure(
    replay: RuleBacktest, points: Sequence[Outlook], budget: Budget | None = None, proposed: Setting | None = None
) -> Figure:
    """Draw `front_axes` alone."""
    figure = stacked([Panel(2.6, above=0.6)])
    front_axes(figure.axes[0], replay, points, budget, proposed=proposed)
    return figure


@styled
def _compose(
    replay: RuleBacktest,
    *,
    threshold: float | None = None,
    period: Interval | None = None,
    budget: Budget | None = None,
    proposed: Setting | None = None,
    plateau: Plateau | None = None,
    words: tuple[str, str] = WORDS,
    zone: str = "UTC",
) -> Figure:
    lanes = rows_of(replay, period, 1 if proposed is None else 2)
    # Room for a title of two lines and the incidents' names above, for the states below.
    timeline = Panel(2.45, above=0.95, below=0.6 + lanes * LANE * 2.45)
    if period is not None and proposed is None and _has_curves(replay):
        figure = stacked([timeline])
        signal_axes(figure.axes[0], replay, threshold, period, zone=zone)
        return figure
    if not _has_curves(replay):
        rows = 0 if replay.knobs.sweepable else sum(len(group.members) for group in replay.signal().groups)
        height = max(1.6, 0.3 * min(rows, shapes.LANES))
        figure = stacked([Panel(height, above=timeline.above, below=0.6 + lanes * LANE * height)])
        signal_axes(figure.axes[0], replay, threshold, period, zone=zone)
        return figure
    views = look(replay, settings_of(replay, threshold, proposed))
    over_time = views if period is None else None
    shown = _plateau_for(plateau, views[-1].setting)
    scale = threshold_scale(views, shown)
    panels = [timeline, Panel(1.9, above=0.9)]
    if views[-1].reaches:
        panels.append(Panel(1.75))
    figure = stacked(panels)
    axes = figure.axes
    at: dict[str, Any] = {"threshold": threshold, "proposed": proposed, "scale": scale, "views": views, "words": words}
    signal_axes(axes[0], replay, threshold, period, proposed=proposed, views=over_time, words=words, zone=zone)
    pages_axes(axes[1], replay, budget, plateau=shown, **at)
    if len(panels) > 2:
        delay_axes(axes[2], replay, budget, **at)
    return figure


def _has_curves(replay: RuleBacktest) -> bool:
    return replay.knobs.sweepable and math.isfinite(replay.signal().lowest_level)


def _plateau_for(plateau: Plateau | None, setting: Setting) -> Plateau | None:
    """Return the plateau when it belongs to the setting drawn: it holds for one window and ``for`` only."""
    return plateau if plateau is not None and plateau.candidate == setting.candidate else None
