"""Pictures of one rule: its signal over time, and its pages and delays over every threshold.

Each ``*_axes`` function draws on one Axes; ``*_figure`` functions compose them. What is drawn comes as
plain arrays from `kmon_analysis.report.shapes` and `kmon_analysis.report.front`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kmon_analysis.backtest.run import RuleBacktest
from kmon_analysis.backtest.score import Reach
from kmon_analysis.promql.printer import format_expr
from kmon_analysis.recommend.advice import RuleAdvice
from kmon_analysis.recommend.candidates import Budget, Candidate, Setting, current_setting
from kmon_analysis.recommend.choose import Plateau
from kmon_analysis.report import findings, shapes
from kmon_analysis.report.figure import (
    CURRENT,
    DASHES,
    FAINT,
    FALSE,
    INK,
    LINES,
    MUTED,
    PAPER,
    PROPOSED,
    Panel,
    Scale,
    drawable,
    scale_for,
    set_scale,
    stacked,
    styled,
    wrapped,
)
from kmon_analysis.report.front import front, outlook, staircase
from kmon_analysis.report.timeline import LANE, WRAP, legend_beside, score_at, signal_axes
from kmon_analysis.report.words import duration, number, same_duration, shortened
from kmon_analysis.timing import MINUTE_MS, Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["advice_figure", "delay_axes", "front_axes", "front_figure", "pages_axes", "rule_figure", "signal_axes"]

PIXELS = 1200
# More single lines than this cannot be told apart: median and worst are drawn instead.
FEW_INCIDENTS = 6
# Steps of a delay axis that people read at once.
_MINUTES = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880)


def _at(setting: Setting) -> dict[str, int | None]:
    return {"window_ms": setting.window_ms, "for_ms": setting.for_ms}


def _settings(replay: RuleBacktest, threshold: float | None, proposed: Setting | None) -> list[Setting]:
    current = current_setting(replay)
    if threshold is not None:
        current = replace(current, threshold=threshold)
    return [current] if proposed is None else [current, proposed]


def _rest_words(setting: Setting) -> str:
    window = "" if setting.window_ms is None else f"window {same_duration(setting.window_ms)}, "
    return f"{window}for {same_duration(setting.for_ms)}"


def _counts(replay: RuleBacktest, setting: Setting) -> tuple[shapes.Steps, shapes.Steps, float]:
    """Return false pages and all pages a week over thresholds, and the weeks they are spread over."""
    firing = replay.firing(**_at(setting))
    counts = replay.curve(**_at(setting))
    weeks = firing.windows.quiet_weeks(firing.signal.step_ms)
    false, every = (
        shapes.steps_of(firing.signal, part, weeks or math.nan) for part in (counts.false_pages, counts.pages)
    )
    return false, every, weeks


def threshold_scale(replay: RuleBacktest, settings: Sequence[Setting], plateau: Plateau | None = None) -> Scale:
    """Choose the axis that all curves over the threshold share.

    Parameters
    ----------
    replay : RuleBacktest
        The rule.
    settings : sequence of Setting
        Whose curves are drawn.
    plateau : Plateau, optional
        Its ends must be on the axis, too.
    """
    parts = [_counts(replay, setting)[0] for setting in settings]
    low, high, least = shapes.finite_range(parts)
    marks = [setting.threshold for setting in settings if setting.threshold is not None]
    if plateau is not None:
        marks += [end for end in (plateau.quiet, plateau.weakest) if end is not None]
    peaks = [peak for setting in settings for _, peak in _peaks(replay, setting, None)]
    known = [value for value in [low, high, *marks, *peaks] if math.isfinite(value)]
    if not known:
        return scale_for(math.nan, math.nan, math.nan, [])
    return scale_for(min(known), max(known), least, marks)


def _must(reaches: Iterable[Reach]) -> list[Reach]:
    return [reach for reach in reaches if reach.incident.must_page and reach.observed_ratio > 0]


def _peaks(replay: RuleBacktest, setting: Setting, budget: Budget | None) -> list[tuple[str, float]]:
    """Return the threshold that each incident just reaches (in time, with a budget), the weakest first."""
    signal = replay.signal(setting.window_ms)
    found = []
    for reach in _must(replay.reaches(**_at(setting))):
        until = None if budget is None else reach.incident.interval.start_ms + budget.max_delay_ms
        peak = reach.peak(until)
        if math.isfinite(peak):
            found.append((peak, reach.incident.id))
    return [(name, signal.threshold(peak)) for peak, name in sorted(found)]


@styled
def pages_axes(
    ax: Axes,
    replay: RuleBacktest,
    budget: Budget | None = None,
    *,
    threshold: float | None = None,
    proposed: Setting | None = None,
    plateau: Plateau | None = None,
    scale: Scale | None = None,
) -> None:
    """Draw false pages a week, and all pages, against every threshold.

    Parameters
    ----------
    ax : Axes
        To draw on.
    replay : RuleBacktest
        A rule whose threshold can turn.
    budget : Budget, optional
        Draws its limit.
    threshold : float, optional
        None: the rule's own.
    proposed : Setting, optional
        A second setting; when its window or ``for`` differ it gets a curve of its own.
    plateau : Plateau, optional
        Thresholds that meet the budget; shaded where feasible.
    scale : Scale, optional
        Of the threshold axis; None chooses one.
    """
    settings = _settings(replay, threshold, proposed)
    main = settings[-1]
    scale = scale or threshold_scale(replay, settings, plateau)
    bounds = scale.bounds(PIXELS)
    handles: list[Any] = []
    names: list[str] = []
    false, every, weeks = _counts(replay, main)
    x, y = every.polyline(bounds)
    top = np.nanmax(y, initial=0.0)
    (handle,) = ax.plot(x, y, color=CURRENT, linewidth=0.9, alpha=0.8)
    handles.append(handle)
    names.append(f"all pages, {_rest_words(main)}" if main is not settings[0] else "all pages")
    differs = len(settings) > 1 and settings[0].candidate != main.candidate
    if differs:
        x, y = _counts(replay, settings[0])[0].polyline(bounds)
        top = max(top, np.nanmax(y, initial=0.0))
        (handle,) = ax.plot(x, y, color=INK, linestyle=DASHES[2], linewidth=1.2)
        handles.append(handle)
        names.append(f"false pages, {_rest_words(settings[0])} (now)")
    x, y = false.polyline(bounds)
    (handle,) = ax.plot(x, y, color=FALSE, linewidth=1.7)
    handles.append(handle)
    names.append(f"false pages, {_rest_words(main)}" if differs else "false pages")
    limit = None if budget is None else budget.false_pages_per_week
    if limit is not None:
        handles.append(ax.axhline(limit, color=MUTED, linestyle=DASHES[2], linewidth=1.1))
        names.append(f"accepted: {limit:g} a week")
    if plateau is not None and plateau.feasible and plateau.weakest is not None:
        low, high = sorted((plateau.quiet, plateau.weakest))
        handles.append(ax.axvspan(low, high, facecolor=LINES[2], alpha=0.18, linewidth=0, zorder=0.4))
        names.append("meets the budget")
    for setting, marked in zip(settings, _marks(ax, settings), strict=True):
        score = score_at(replay, setting)
        if setting.threshold is not None:
            _dot(ax, setting.threshold, score.false_pages_per_week, setting is main and proposed is not None)
        handles.append(marked)
        names.append(f"{'proposed' if setting is proposed else 'now'}: {number(setting.threshold)}")
    set_scale(ax, "x", scale)
    _page_scale(ax, top, limit, weeks)
    ax.set_ylabel("pages a week")
    ax.set_xlabel(_threshold_label(replay, scale))
    ax.grid(axis="y", color=FAINT)
    if _rug(ax, _peaks(replay, main, budget), scale):
        from matplotlib.lines import Line2D

        handles.append(Line2D([], [], linestyle="", marker=7, color=INK, markersize=6))
        names.append("an incident reaches" + ("" if budget is None else " in time"))
    legend_beside(ax, handles, names)
    title = findings.pages_title(replay, budget, plateau, score_at(replay, settings[0]), settings[0])
    ax.set_title(wrapped(drawable(title), WRAP), pad=30)


def _marks(ax: Axes, settings: Sequence[Setting]) -> list[Any]:
    """Draw a vertical line at each setting's threshold."""
    styles = ((INK, DASHES[1]), (PROPOSED, "-"))
    return [
        ax.axvline(
            math.nan if s.threshold is None else s.threshold, color=color, linestyle=dash, linewidth=1.4, zorder=2
        )
        for s, (color, dash) in zip(settings, styles, strict=False)
    ]


def _dot(ax: Axes, x: float, y: float, is_proposal: bool) -> None:
    face, edge = (PROPOSED, PROPOSED) if is_proposal else (PAPER, INK)
    ax.plot(
        [x],
        [y],
        marker="o",
        markersize=7,
        markerfacecolor=face,
        markeredgecolor=edge,
        markeredgewidth=1.5,
        zorder=5,
        clip_on=False,
    )


def _page_scale(ax: Axes, top: float, limit: float | None, weeks: float) -> None:
    """Linear as long as the budget can be read on it, else logarithmic above the budget."""
    from matplotlib import ticker

    one = 10.0 ** math.floor(math.log10(limit or 1.0))
    top = max(top, limit or 1 / weeks if weeks else 1.0)
    if top <= 15 * (limit or 1.0):
        ax.set_ylim(0, top * 1.08)
        ax.yaxis.set_major_locator(ticker.MaxNLocator(5))
    else:
        ax.set_yscale("symlog", linthresh=one, linscale=0.7)
        ax.set_ylim(0, top * 1.5)
        decades = one * 10.0 ** np.arange(0, math.ceil(math.log10(top / one)) + 1)
        ax.yaxis.set_major_locator(ticker.FixedLocator([0.0, *decades[decades <= top * 1.5]]))
        ax.yaxis.set_minor_locator(ticker.NullLocator())
    ax.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: number(round(value, 6))))


def _threshold_label(replay: RuleBacktest, scale: Scale) -> str:
    expression = drawable(format_expr(replay.knobs.signal))
    on = f"threshold on {expression}" if len(expression) <= 60 else "threshold"
    return f"{on} ({scale.note})" if scale.note else on


def _rug(ax: Axes, peaks: Sequence[tuple[str, float]], scale: Scale) -> bool:
    """Mark above the axes which threshold each incident just reaches; name the weakest ones."""
    inside = [(name, peak) for name, peak in peaks if scale.low <= peak <= scale.high]
    over = ax.get_xaxis_transform()
    values = [peak for _, peak in inside]
    ax.plot(
        values,
        np.full(len(values), 1.0),
        transform=over,
        clip_on=False,
        linestyle="",
        marker=7,
        color=INK,
        markersize=6,
    )
    for row, (name, peak) in enumerate(inside[:2]):
        ax.annotate(
            shortened(drawable(name), 22),
            (peak, 1.0),
            xycoords=over,
            xytext=(0, 7 + 9 * row),
            textcoords="offset points",
            fontsize=7.5,
            ha="center",
            annotation_clip=False,
        )
    return bool(inside)


@styled
def delay_axes(
    ax: Axes,
    replay: RuleBacktest,
    budget: Budget | None = None,
    *,
    threshold: float | None = None,
    proposed: Setting | None = None,
    scale: Scale | None = None,
) -> None:
    """Draw how long after its labelled start each incident is paged, against every threshold.

    Parameters
    ----------
    ax, replay, budget, threshold, proposed, scale
        As for `pages_axes`.

    Notes
    -----
    A line ends where the rule no longer finds the incident. With more than six incidents median and
    worst are drawn over faint single lines; the worst ends with the first incident that is lost.
    """
    settings = _settings(replay, threshold, proposed)
    main = settings[-1]
    scale = scale or threshold_scale(replay, settings)
    bounds = scale.bounds(PIXELS)
    signal = replay.signal(main.window_ms)
    found = _must(replay.reaches(**_at(main)))
    each = [shapes.delay_steps(signal, reach) for reach in found]
    handles: list[Any] = []
    names: list[str] = []
    few = len(each) <= FEW_INCIDENTS
    for place, (reach, steps) in enumerate(zip(found, each, strict=True)):
        x, y = steps.polyline(bounds)
        color, dash = (LINES[place % len(LINES)], DASHES[place % len(DASHES)]) if few else (CURRENT, "-")
        (line,) = ax.plot(x, y, color=color, linestyle=dash, linewidth=1.3 if few else 0.6, alpha=1 if few else 0.55)
        _end_mark(ax, x, y, color, falls=signal.falls)
        if few:
            handles.append(line)
            names.append(shortened(drawable(reach.incident.id), 30))
    if not few:
        handles.append(_legend_line(CURRENT, "-", 0.8))
        names.append("each incident")
        for steps, dash, width, name in zip(
            shapes.combined_delays(each), (DASHES[1], "-"), (1.4, 1.9), ("median", "worst, all found"), strict=True
        ):
            x, y = steps.polyline(bounds)
            (line,) = ax.plot(x, y, color=FALSE if name != "median" else LINES[2], linestyle=dash, linewidth=width)
            handles.append(line)
            names.append(name)
    if each:
        handles.append(_legend_mark("x", INK))
        names.append("not found beyond")
    if budget is not None:
        handles.append(ax.axhline(budget.max_delay_ms / MINUTE_MS, color=MUTED, linestyle=DASHES[2], linewidth=1.1))
        names.append(f"accepted: {duration(budget.max_delay_ms)}")
    for setting, marked in zip(settings, _marks(ax, settings), strict=True):
        handles.append(marked)
        names.append(f"{'proposed' if setting is proposed else 'now'}: {number(setting.threshold)}")
    set_scale(ax, "x", scale)
    _delay_scale(ax, [float(np.nanmax(s.heights)) for s in each if not np.isnan(s.heights).all()], budget)
    ax.set_xlabel(_threshold_label(replay, scale))
    ax.grid(axis="y", color=FAINT)
    legend_beside(ax, handles, names)
    if each:
        marks = [(setting, score_at(replay, setting)) for setting in settings]
        limit = None if budget is None else budget.max_delay_ms
        title = findings.delay_title(marks, limit)
    else:
        title = "No incident concerns this rule: there is no delay to measure"
        ax.set_yticks([])
    ax.set_title(wrapped(drawable(title), WRAP))


def _legend_line(color: str, dash: Any, width: float) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=color, linestyle=dash, linewidth=width)


def _legend_mark(marker: str, color: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=color, linestyle="", marker=marker, markersize=5)


def _end_mark(ax: Axes, x: Any, y: Any, color: str, *, falls: bool) -> None:
    """Mark where a delay curve ends because the incident is lost: too high a threshold, or too low a one."""
    known = np.flatnonzero(~np.isnan(y))
    if len(known) and np.isnan(y[0 if falls else -1]):
        end = known[0 if falls else -1]
        ax.plot([x[end]], [y[end]], marker="x", color=color, markersize=5, markeredgewidth=1.3)


def _delay_scale(ax: Axes, tops: Sequence[float], budget: Budget | None) -> None:
    """Linear as long as the accepted delay can be read on it, else logarithmic above that."""
    from matplotlib import ticker

    accepted = 0.0 if budget is None else budget.max_delay_ms / MINUTE_MS
    top = max([*tops, accepted, 1.0])
    if accepted and top > 4 * accepted:
        ax.set_yscale("symlog", linthresh=accepted, linscale=1.2)
        ax.set_ylim(-0.06 * accepted, top * 1.3)
        wanted = accepted * np.array([0, 0.5, 1, 2, 5, 10, 20, 50, 100, 1000])
        ax.yaxis.set_major_locator(ticker.FixedLocator(wanted[wanted <= top * 1.3].tolist()))
        ax.yaxis.set_minor_locator(ticker.NullLocator())
    else:
        ax.set_ylim(-0.03 * top, top * 1.08)
        step = next((step for step in _MINUTES if top / step <= 6), _MINUTES[-1] * math.ceil(top / _MINUTES[-1] / 6))
        ax.yaxis.set_major_locator(ticker.MultipleLocator(step))
    ax.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: duration(value * MINUTE_MS)))
    ax.set_ylabel("delay of the page")


@styled
def front_axes(
    ax: Axes,
    replay: RuleBacktest,
    tried: Iterable[Candidate],
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
    tried : iterable of Candidate
        Windows and ``for`` durations over which the front is taken.

    Notes
    -----
    The activity monitoring operating characteristic (Fawcett and Provost 1999), with the number of
    missed incidents as a third objective.
    """
    settings = _settings(replay, threshold, proposed)
    here = [outlook(score_at(replay, setting)) for setting in settings]
    points = front(replay, tried, firing_ratio=0.01 if budget is None else budget.firing_ratio)
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
            ax.fill_between([0, corner[0]], 0, corner[1], facecolor=LINES[2], alpha=0.16, linewidth=0, zorder=0.4)
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
        handles.append(_legend_mark("s" if new else "D", edge))
        names.append(f"{'proposed' if new else 'now'}, with its misses")
    _page_limits(ax, rates, budget)
    _delay_scale(ax, delays, budget)
    ax.set_xlabel("false pages a week")
    ax.set_ylabel("worst delay of those found")
    ax.grid(color=FAINT)
    legend_beside(ax, handles, names)
    title = findings.front_title(here[0], here[1] if proposed is not None else None, points)
    ax.set_title(wrapped(drawable(title), WRAP))


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


def rule_figure(replay: RuleBacktest, threshold: float | None = None, period: Interval | None = None) -> Figure:
    """Draw a rule's signal with its states and incidents, and its pages and delays over thresholds.

    Parameters
    ----------
    replay : RuleBacktest
        The rule on its history.
    threshold : float, optional
        Draw this one instead of the rule's own.
    period : Interval, optional
        Draw the signal of this range only; the curves are always about the whole history.

    Returns
    -------
    Figure
        Not registered with pyplot; notebooks show it by themselves.
    """
    return _compose(replay, threshold=threshold, period=period)


def advice_figure(replay: RuleBacktest, advice: RuleAdvice, budget: Budget) -> Figure:
    """Draw the evidence of an advice: what the current and the proposed values do.

    Parameters
    ----------
    replay : RuleBacktest
        The rule on its history.
    advice : RuleAdvice
        Verdict on it.
    budget : Budget
        What the team accepts.
    """
    return _compose(replay, budget=budget, proposed=advice.proposed, plateau=advice.plateau)


@styled
def front_figure(
    replay: RuleBacktest, tried: Iterable[Candidate], budget: Budget | None = None, proposed: Setting | None = None
) -> Figure:
    """Draw `front_axes` alone."""
    figure = stacked([Panel(2.6, above=0.6)])
    front_axes(figure.axes[0], replay, tried, budget, proposed=proposed)
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
) -> Figure:
    lanes = 1 if proposed is None else 2
    # Room for a title of two lines and the incidents' names above, for the states below.
    timeline = Panel(2.45, above=0.95, below=0.6 + lanes * LANE * 2.45)
    if not _has_curves(replay):
        figure = stacked([timeline])
        signal_axes(figure.axes[0], replay, threshold, period)
        return figure
    shown = _plateau_for(plateau, proposed or current_setting(replay))
    scale = threshold_scale(replay, _settings(replay, threshold, proposed), shown)
    panels = [timeline, Panel(1.9, above=0.9)]
    if _must(replay.reaches()):
        panels.append(Panel(1.75))
    figure = stacked(panels)
    axes = figure.axes
    signal_axes(axes[0], replay, threshold, period, proposed=proposed)
    pages_axes(axes[1], replay, budget, threshold=threshold, proposed=proposed, plateau=shown, scale=scale)
    if len(panels) > 2:
        delay_axes(axes[2], replay, budget, threshold=threshold, proposed=proposed, scale=scale)
    return figure


def _has_curves(replay: RuleBacktest) -> bool:
    return replay.knobs.sweepable and math.isfinite(replay.signal().lowest_level)


def _plateau_for(plateau: Plateau | None, setting: Setting) -> Plateau | None:
    """Return the plateau when it belongs to the setting drawn: it holds for one window and ``for`` only."""
    return plateau if plateau is not None and plateau.candidate == setting.candidate else None
