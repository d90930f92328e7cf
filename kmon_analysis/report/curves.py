"""Pages and delays of a rule over every threshold at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kmon_analysis.backtest.rule import RuleBacktest
from kmon_analysis.recommend.candidates import Budget, Setting
from kmon_analysis.recommend.choose import Plateau
from kmon_analysis.report import findings, shapes
from kmon_analysis.report.figure import (
    ACCEPTED_DASH,
    CURRENT,
    DASHES,
    FAINT,
    FALSE,
    INK,
    LINES,
    MUTED,
    TRUE,
    Scale,
    drawable,
    scale_for,
    set_scale,
    set_title,
    styled,
)
from kmon_analysis.report.timeline import WRAP, legend_beside, setting_style, unit_words, value_name
from kmon_analysis.report.view import WORDS, View, look, settings_of
from kmon_analysis.report.words import apart, number, same_duration
from kmon_analysis.timing import MINUTE_MS, duration

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["delay_axes", "pages_axes", "scale_delays", "threshold_scale"]

PIXELS = 1200
# More single lines than this cannot be told apart: median and worst are drawn instead.
FEW_INCIDENTS = 6
# Steps of a delay axis that people read at once.
_MINUTES = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880)


def _rest_words(setting: Setting) -> str:
    window = "" if setting.window_ms is None else f"window {same_duration(setting.window_ms)}, "
    return f"{window}for {same_duration(setting.for_ms)}"


def threshold_scale(views: Sequence[View], plateau: Plateau | None = None) -> Scale:
    """Choose the axis that all curves over the threshold share.

    Parameters
    ----------
    views : sequence of View
        Whose curves are drawn.
    plateau : Plateau, optional
        Its ends must be on the axis, too.
    """
    low, high, least = shapes.finite_range(view.false_pages for view in views)
    marks = [view.setting.threshold for view in views if view.setting.threshold is not None]
    if plateau is not None:
        marks += [end for end in (plateau.quiet, plateau.weakest) if end is not None]
    peaks = [peak for view in views for _, peak in _peaks(view, None)]
    known = [value for value in [low, high, *marks, *peaks] if math.isfinite(value)]
    if not known:
        return scale_for(math.nan, math.nan, math.nan, [])
    return scale_for(min(known), max(known), least, marks)


def _peaks(view: View, budget: Budget | None) -> list[tuple[str, float]]:
    """Return the threshold that each incident just reaches (in time, with a budget), the weakest first."""
    found = []
    for reach in view.reaches:
        peak = reach.peak(None if budget is None else reach.incident.interval.start_ms + budget.max_delay_ms)
        if math.isfinite(peak):
            found.append((peak, reach.incident.id))
    return [(name, view.firing.signal.threshold(peak)) for peak, name in sorted(found)]


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
    views: Sequence[View] | None = None,
    words: tuple[str, str] = WORDS,
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
    views : sequence of View, optional
        What `look` returned for these settings, to compute it once only.
    words : (str, str)
        What the rule's own setting and the proposed one are called.
    """
    views = views or look(replay, settings_of(replay, threshold, proposed))
    now, main = views[0], views[-1]
    scale = scale or threshold_scale(views, plateau)
    bounds = scale.bounds(PIXELS)
    handles: list[Any] = []
    names: list[str] = []
    x, y = main.pages.polyline(bounds)
    top = np.nanmax(y, initial=0.0)
    differs = now.setting.candidate != main.setting.candidate
    (handle,) = ax.plot(x, y, color=CURRENT, linestyle=DASHES[4], linewidth=1.2)
    handles.append(handle)
    names.append(f"all pages, {_rest_words(main.setting)}" if differs else "all pages")
    if differs:
        x, y = now.false_pages.polyline(bounds)
        top = max(top, np.nanmax(y, initial=0.0))
        (handle,) = ax.plot(x, y, color=INK, linestyle=DASHES[2], linewidth=1.2)
        handles.append(handle)
        names.append(f"false, {_rest_words(now.setting)} ({words[0]})")
    x, y = main.false_pages.polyline(bounds)
    (handle,) = ax.plot(x, y, color=FALSE, linewidth=1.7)
    handles.append(handle)
    names.append(f"false, {_rest_words(main.setting)}" if differs else "false pages")
    limit = None if budget is None else budget.false_pages_per_week
    if limit is not None:
        handles.append(ax.axhline(limit, color=MUTED, linestyle=ACCEPTED_DASH, linewidth=1.4))
        names.append(f"accepted: {limit:g} a week")
    if plateau is not None and plateau.feasible and plateau.weakest is not None:
        low, high = sorted((plateau.quiet, plateau.weakest))
        handles.append(ax.axvspan(low, high, facecolor=(TRUE, 0.18), edgecolor=TRUE, linewidth=0.8, zorder=0.4))
        names.append("meets the budget")
    for view in views:
        if view.setting.threshold is not None:
            _dot(ax, view.setting.threshold, view.score.false_pages_per_week, view.setting is proposed)
    _mark(ax, views, proposed, words, handles, names)
    set_scale(ax, "x", scale)
    _page_scale(ax, top, limit, main.weeks)
    ax.set_ylabel("pages a week")
    ax.set_xlabel(_threshold_label(replay, scale))
    ax.grid(axis="y", color=FAINT)
    if _rug(ax, _peaks(main, budget), scale):
        from matplotlib.lines import Line2D

        handles.append(Line2D([], [], linestyle="", marker=7, color=INK, markersize=6))
        names.append("an incident reaches" + ("" if budget is None else " in time"))
    legend_beside(ax, handles, names)
    title = findings.pages_title(replay, budget, plateau, now.score, now.setting)
    set_title(ax, title, WRAP, pad=30)


def _mark(
    ax: Axes,
    views: Sequence[View],
    proposed: Setting | None,
    words: tuple[str, str],
    handles: list[Any],
    names: list[str],
) -> None:
    """Draw a vertical line at each setting's threshold."""
    from matplotlib.lines import Line2D

    for view in views:
        threshold, new = view.setting.threshold, view.setting is proposed
        if threshold is None:
            continue
        style, dot = setting_style(new=new)
        ax.axvline(threshold, zorder=2, **style)
        handles.append(Line2D([], [], **style, **dot))
        names.append(f"{words[new]}: {number(threshold)}")


def _dot(ax: Axes, x: float, y: float, is_proposal: bool) -> None:
    _, dot = setting_style(new=is_proposal)
    ax.plot([x], [y], linestyle="", zorder=5, clip_on=False, **dot)


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
    notes = ", ".join(filter(None, [unit_words(replay), scale.note]))
    return f"threshold on {value_name(replay, 60)}" + (f" ({notes})" if notes else "")


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
    named = inside[:2]
    short = apart([drawable(name) for name, _ in named], 22)
    for row, (name, (_, peak)) in enumerate(zip(short, named, strict=True)):
        ax.annotate(
            name,
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
    views: Sequence[View] | None = None,
    words: tuple[str, str] = WORDS,
) -> None:
    """Draw how long after its labelled start each incident is paged, against every threshold.

    Parameters
    ----------
    ax, replay, budget, threshold, proposed, scale, views, words
        As for `pages_axes`.

    Notes
    -----
    A line ends where the rule no longer finds the incident. With more than six incidents median and
    worst are drawn over faint single lines; the worst ends with the first incident that is lost.
    """
    views = views or look(replay, settings_of(replay, threshold, proposed))
    main = views[-1]
    scale = scale or threshold_scale(views)
    bounds = scale.bounds(PIXELS)
    signal, found = main.firing.signal, main.reaches
    each = [shapes.delay_steps(signal, reach) for reach in found]
    handles: list[Any] = []
    names: list[str] = []
    few = len(each) <= FEW_INCIDENTS
    ids = apart([drawable(reach.incident.id) for reach in found], 30)
    for place, (name, steps) in enumerate(zip(ids, each, strict=True)):
        x, y = steps.polyline(bounds)
        color, dash = (LINES[place % len(LINES)], DASHES[place % len(DASHES)]) if few else (CURRENT, "-")
        (line,) = ax.plot(x, y, color=color, linestyle=dash, linewidth=1.3 if few else 0.6, alpha=1 if few else 0.55)
        _end_mark(ax, x, y, color, falls=signal.falls)
        if few:
            handles.append(line)
            names.append(name)
    if not few:
        handles.append(legend_line(CURRENT, "-", 0.8))
        names.append("each incident")
        for steps, dash, width, name in zip(
            shapes.combined_delays(each), (DASHES[1], "-"), (1.4, 1.9), ("median", "worst, all found"), strict=True
        ):
            x, y = steps.polyline(bounds)
            (line,) = ax.plot(x, y, color=FALSE if name != "median" else TRUE, linestyle=dash, linewidth=width)
            handles.append(line)
            names.append(name)
    if each:
        handles.append(legend_mark("x", INK))
        names.append("not found beyond")
    if budget is not None:
        handles.append(ax.axhline(budget.max_delay_ms / MINUTE_MS, color=MUTED, linestyle=ACCEPTED_DASH, linewidth=1.4))
        names.append(f"accepted: {duration(budget.max_delay_ms)}")
    _mark(ax, views, proposed, words, handles, names)
    for view in views:
        if view.setting.threshold is not None and view.score.worst_delay_ms is not None:
            _dot(ax, view.setting.threshold, view.score.worst_delay_ms / MINUTE_MS, view.setting is proposed)
    set_scale(ax, "x", scale)
    scale_delays(ax, [float(np.nanmax(s.heights)) for s in each if not np.isnan(s.heights).all()], budget)
    if views[0].setting.candidate != main.setting.candidate:
        ax.set_ylabel(f"delay of the page\n({_rest_words(main.setting)})")
    ax.set_xlabel(_threshold_label(replay, scale))
    ax.grid(axis="y", color=FAINT)
    legend_beside(ax, handles, names)
    if each:
        marks = [(view.setting, view.score) for view in views]
        limit = None if budget is None else budget.max_delay_ms
        title = findings.delay_title(marks, limit)
    else:
        title = "No incident concerns this rule: there is no delay to measure"
        ax.set_yticks([])
    set_title(ax, title, WRAP)


def legend_line(color: str, dash: Any, width: float) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=color, linestyle=dash, linewidth=width)


def legend_mark(marker: str, color: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=color, linestyle="", marker=marker, markersize=5)


def _end_mark(ax: Axes, x: Any, y: Any, color: str, *, falls: bool) -> None:
    """Mark where a delay curve ends because the incident is lost: too high a threshold, or too low a one."""
    known = np.flatnonzero(~np.isnan(y))
    if len(known) and np.isnan(y[0 if falls else -1]):
        end = known[0 if falls else -1]
        ax.plot([x[end]], [y[end]], marker="x", color=color, markersize=5, markeredgewidth=1.3)


def scale_delays(ax: Axes, tops: Sequence[float], budget: Budget | None) -> None:
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
