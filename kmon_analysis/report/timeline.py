"""A rule over time: the compared signal, its threshold, the alert states and the incidents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kmon_analysis.backtest.rule import RuleBacktest
from kmon_analysis.backtest.score import Score
from kmon_analysis.kafka.units import unit_of
from kmon_analysis.labels import Labels
from kmon_analysis.promql.printer import format_expr
from kmon_analysis.recommend.candidates import Setting
from kmon_analysis.report import findings, shapes
from kmon_analysis.report.figure import (
    BAND,
    CURRENT,
    DASHES,
    FAINT,
    FALSE,
    INK,
    LINES,
    MARKS,
    MUTED,
    PAPER,
    PROPOSED,
    TRUE,
    drawable,
    inches,
    note,
    scale_for,
    set_scale,
    set_title,
    size_for,
    styled,
    text_width,
)
from kmon_analysis.report.view import WORDS, View, look, settings_of
from kmon_analysis.report.words import apart, moment, number, short_labels, shortened, zone_words
from kmon_analysis.timing import DAY_MS, Interval, zone_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "WRAP",
    "legend_beside",
    "rows_of",
    "setting_style",
    "signal_axes",
    "time_axis",
    "unit_words",
    "value_name",
]

# Characters of a title that fit over an axes of the usual width.
WRAP = 100
# Share of the signal's height that a lane of states takes.
LANE = 0.15
# Coarser than the signal: a page of a minute must still be seen in a history of months.
LANE_COLUMNS = 500
LEGEND_SIZE = 8.0
LABEL_SIZE = 9.0
PENDING_ALPHA = 0.75
_HATCH_OPTIONAL, _HATCH_EXCLUDED = "////", "xxxx"


def legend_beside(ax: Axes, handles: Sequence[Any], labels: Sequence[str]) -> None:
    """Put a legend to the right of an axes, where it covers nothing."""
    # A name that begins with an underscore would be left out of a legend.
    safe = [f" {label}" if label.startswith("_") else label for label in labels]
    # The handle with its gap takes about four times the type's size.
    room = 72.0 * inches(ax, beside=True) - 4 * LEGEND_SIZE
    ax.legend(
        handles,
        safe,
        loc="upper left",
        bbox_to_anchor=(1.005, 1.02),
        borderaxespad=0,
        labelspacing=0.45,
        handlelength=2.4,
        fontsize=size_for(safe, LEGEND_SIZE, room) if room > 0 else LEGEND_SIZE,
    )


def setting_style(*, new: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return how the line of a setting is drawn, and the dot on it: hollow now, filled proposed."""
    color = PROPOSED if new else INK
    line = {"color": color, "linestyle": "-" if new else DASHES[1], "linewidth": 1.4}
    face = color if new else PAPER
    dot = {"marker": "o", "markersize": 6.5, "markerfacecolor": face, "markeredgecolor": color, "markeredgewidth": 1.5}
    return line, dot


def value_name(replay: RuleBacktest, longest: int) -> str:
    """Name what a rule compares: its expression if that is short, else the alert itself."""
    text = drawable(format_expr(replay.knobs.signal))
    return text if len(text) <= longest else shortened(drawable(replay.name), longest)


def unit_words(replay: RuleBacktest) -> str:
    """Write the unit of what a rule compares in words; empty where its metrics do not tell it."""
    unit = unit_of(replay.knobs.signal) or ""
    return f"{unit[:-2]} a second" if unit.endswith("/s") else unit


def _label_values(ax: Axes, replay: RuleBacktest, scale_note: str) -> None:
    """Name the values along an axes, in lines no longer than it: what they are, then their unit and scale."""
    room = 0.95 * 72.0 * float(ax.get_position().height * ax.figure.figure.get_figheight())
    notes = [note for note in (unit_words(replay), scale_note) if note]
    if text_width(", ".join(notes), LABEL_SIZE) <= room:
        notes = [", ".join(notes)]
    name = value_name(replay, 36)
    if text_width(name, LABEL_SIZE) > room:
        name = shortened(drawable(replay.name), 36)
    lines = [line for line in (name, *notes) if line]
    ax.set_ylabel("\n".join(lines), fontsize=size_for(lines, LABEL_SIZE, room))


def time_axis(ax: Axes, span: Interval, zone: str = "UTC") -> None:
    """Write dates of a zone along the x axis, whose unit is days since 1970 (UTC), and below it which time it is.

    Raises
    ------
    SettingError
        If there is no zone of this name.
    """
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    place = zone_of(zone)
    locator = AutoDateLocator(tz=place, minticks=4, maxticks=11)  # type: ignore[no-untyped-call]
    formats = ["%Y", "%b", "%d %b", "%H:%M", "%H:%M", "%H:%M:%S"]
    formatter = ConciseDateFormatter(  # type: ignore[no-untyped-call]
        locator,
        tz=place,
        formats=formats,
        zero_formats=["", "%Y", "%d %b", "%d %b", "%H:%M", "%H:%M"],
        show_offset=False,
    )
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(formatter)
    dates = [moment(instant_ms, zone=place) for instant_ms in (span.start_ms, span.end_ms - 1)]
    if span.duration_ms >= 3 * DAY_MS:
        dates = [date[:10] for date in dates]
    ax.set_xlabel(f"time in {zone_words(zone, span)}, {dates[0]} to {dates[1]}")


@styled
def signal_axes(
    ax: Axes,
    replay: RuleBacktest,
    threshold: float | None = None,
    period: Interval | None = None,
    *,
    proposed: Setting | None = None,
    views: Sequence[View] | None = None,
    words: tuple[str, str] = WORDS,
    zone: str = "UTC",
) -> None:
    """Draw what the rule compares, with its threshold, states, pages and incidents.

    Parameters
    ----------
    ax : Axes
        To draw on; a strip with the alert states is put below it.
    replay : RuleBacktest
        The rule on its history.
    threshold : float, optional
        None: the rule's own.
    period : Interval, optional
        What to draw; None: the whole history.
    proposed : Setting, optional
        A second setting with a threshold line and a strip of its own.
    views : sequence of View, optional
        What `look` returned for these settings and this period, to compute it once only.
    words : (str, str)
        What the rule's own setting and the proposed one are called.
    zone : str
        Time zone of the time axis, by its IANA name.

    Raises
    ------
    SettingError
        If there is no such zone.
    """
    zone_of(zone)
    span = replay.period if period is None else period
    views = views or look(replay, settings_of(replay, threshold, proposed), span)
    settings, scores = [view.setting for view in views], [view.score for view in views]
    handles: list[Any] = []
    names: list[str] = []
    if replay.knobs.sweepable:
        _draw_lines(ax, replay, settings, words, span, handles, names)
    else:
        _draw_presence(ax, replay, span)
    _draw_incidents(ax, replay, scores[-1], span, handles, names)
    rows = _rows(replay, views, words, None if period is None else span)
    _draw_lanes(ax, rows, span, zone, handles, names)
    legend_beside(ax, handles, names)
    title = findings.signal_title(
        replay.name, (settings[0], scores[0]), (settings[1], scores[1]) if proposed is not None else None
    )
    set_title(ax, title, WRAP, pad=30)


def _days(instants_ms: Any) -> Any:
    return np.asarray(instants_ms, dtype=np.float64) / DAY_MS


def _draw_lines(
    ax: Axes,
    replay: RuleBacktest,
    settings: Sequence[Setting],
    words: tuple[str, str],
    span: Interval,
    handles: list[Any],
    names: list[str],
) -> None:
    signal = replay.signal(settings[-1].window_ms, settings[-1].hours or "")
    lines = shapes.signal_lines(signal, span, first=_series_of(replay, span), enveloped=True)
    heading, shown = short_labels(lines.labels, shown=drawable)
    if lines.labels:
        every = ", ".join(str(labels) for labels in lines.labels)
        note(ax, f"Series: {every}" + (f", and {lines.rest:,} more" if lines.rest else ""))
    if heading and shown:
        handles.append(_line(color="none"))
        names.append(f"{heading} (mark: {'lowest' if signal.falls else 'highest'})")
    handle: Any = None
    if lines.rest and lines.envelopes:
        x, low, high = lines.envelopes[-1]
        handle = ax.fill_between(_days(x), low, high, color=CURRENT, alpha=0.25, linewidth=0, rasterized=True)
    elif lines.rest_low is not None and lines.rest_high is not None:
        x, y = lines.rest_high
        (handle,) = ax.plot(_days(x), y, color=CURRENT, alpha=0.75, linewidth=0.8, rasterized=True)
        ax.plot(_days(lines.rest_low[0]), lines.rest_low[1], color=CURRENT, alpha=0.5, linewidth=0.8, rasterized=True)
    for place, (x, y) in reversed(list(enumerate(lines.lines))):
        color = LINES[place % len(LINES)]
        if lines.envelopes:
            x, low, high = lines.envelopes[place]
            ax.fill_between(_days(x), low, high, color=color, alpha=0.3, linewidth=0, rasterized=True)
            ax.plot(_days(x), low if signal.falls else high, color=color, alpha=0.9, linewidth=0.7, rasterized=True)
        else:
            ax.plot(_days(x), y, color=color, linewidth=0.9, rasterized=True)
    for place, label in enumerate(shown):
        handles.append(_line(**_mark(place)))
        names.append(label)
    if lines.rest:
        handles.append(handle)
        names.append(f"{lines.rest:,} more: highest and lowest")
    marks = [setting.threshold for setting in settings if setting.threshold is not None]
    for place, setting in enumerate(settings):
        if setting.threshold is None:
            continue
        style, dot = setting_style(new=place > 0)
        ax.axhline(setting.threshold, zorder=4, **style)
        over = ax.get_yaxis_transform()
        ax.plot([1.0], [setting.threshold], transform=over, clip_on=False, zorder=5, **dot)
        handles.append(_line(**style, **dot))
        names.append(f"{'threshold' if len(settings) == 1 else words[place]}: {number(setting.threshold)}")
    scale = scale_for(lines.low, lines.high, lines.least_positive, marks)
    set_scale(ax, "y", scale)
    for place, line in enumerate(lines.lines):
        x, y = shapes.peak(line, falls=signal.falls)
        ax.plot(_days(x), y, linestyle="", zorder=3, **_mark(place))
    ax.grid(axis="y", color=FAINT)
    _label_values(ax, replay, scale.note)
    if np.isnan(lines.low):
        _say_nothing(ax)
    if lines.infinite:
        infinite = f"{lines.infinite:,} infinite values are not drawn"
        ax.text(0.995, 0.97, infinite, transform=ax.transAxes, ha="right", va="top", color=MUTED, fontsize=8)


def _draw_presence(ax: Axes, replay: RuleBacktest, span: Interval) -> None:
    rows = shapes.presence(replay.signal(), span, columns=LANE_COLUMNS)
    labels = [labels.without(*replay.rule.labels) for labels, _ in rows]
    heading, shown = short_labels(labels, 60, drawable)
    for place, ((_, runs), label) in enumerate(zip(rows, shown, strict=True)):
        ax.broken_barh(list(map(tuple, _days(runs))), (place - 0.1, 0.45), color=LINES[0], linewidth=0)
        if len(rows) > 1:
            text = f"{heading}: {label}" if not place and heading else label
            ax.text(0.004, place - 0.2, text, transform=ax.get_yaxis_transform(), fontsize=7)
    every = sum(len(group.members) for group in replay.signal().groups)
    if labels:
        note(ax, f"Series: {', '.join(map(str, labels))}" + (f" of {every:,}" if every > len(labels) else ""))
    if every > len(rows):
        more = f"{every - len(rows):,} more"
        ax.text(0.995, -0.55, more, transform=ax.get_yaxis_transform(), ha="right", va="top", color=MUTED, fontsize=7)
    ax.set_yticks([])
    ax.set_ylim(max(len(rows), 2) - 0.4, -0.7)
    ax.set_ylabel("condition true\n(no threshold to turn)")
    if not rows:
        _say_nothing(ax)


def _say_nothing(ax: Axes) -> None:
    text = "The expression returned nothing in this time"
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", color=MUTED)


def _line(**style: Any) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], **{"linestyle": "-", "linewidth": 1.6, **style})


def _mark(place: int) -> dict[str, Any]:
    """Return the mark of a series: a shape in its colour, with an edge that lifts it off the lines."""
    color, (shape, filled) = LINES[place % len(LINES)], MARKS[place % len(MARKS)]
    return {
        "color": color,
        "marker": shape,
        "markersize": 5.5,
        "markerfacecolor": color if filled else PAPER,
        "markeredgecolor": PAPER if filled else color,
        "markeredgewidth": 0.8 if filled else 1.3,
    }


def _band(ax: Axes, interval: Interval, least_ms: float, **style: Any) -> Any:
    """Shade an interval, at least so wide that it can be seen."""
    missing = max(0.0, least_ms - interval.duration_ms) / 2
    return ax.axvspan(_days(interval.start_ms - missing), _days(interval.end_ms + missing), zorder=0.5, **style)


def _draw_incidents(
    ax: Axes, replay: RuleBacktest, score: Score, span: Interval, handles: list[Any], names: list[str]
) -> None:
    from matplotlib.lines import Line2D

    least = span.duration_ms / 450
    optional = {"facecolor": "none", "edgecolor": MUTED, "hatch": _HATCH_OPTIONAL, "linewidth": 0.5}
    excluded = {"facecolor": "none", "edgecolor": FAINT, "hatch": _HATCH_EXCLUDED, "linewidth": 0.5}
    for window in replay.incidents.excluded:
        if window.interval.overlaps(span):
            band = _band(ax, window.interval, least, **excluded)
            if "excluded time" not in names:
                handles.append(band)
                names.append("excluded time")
    for outcome in score.optional:
        band = _band(ax, outcome.incident.interval, least, **optional)
        if "incident, need not page" not in names:
            handles.append(band)
            names.append("incident, need not page")
    tops = []
    for outcome in score.outcomes:
        band = _band(ax, outcome.incident.interval, least, facecolor=BAND, alpha=0.45, linewidth=0)
        if "incident" not in names:
            handles.append(band)
            names.append("incident")
        middle = (outcome.incident.interval.start_ms + outcome.incident.interval.end_ms) / 2
        tops.append((middle, outcome.found, outcome.incident.id))
    ax.set_xlim(_days(span.start_ms), _days(span.end_ms))
    over = ax.get_xaxis_transform()
    for found, filled in ((True, INK), (False, PAPER)):
        places = [middle for middle, caught, _ in tops if caught is found]
        if places:
            style: dict[str, Any] = {
                "marker": "v",
                "markersize": 6.5,
                "markeredgecolor": INK,
                "markerfacecolor": filled,
                "linestyle": "",
            }
            ax.plot(_days(places), np.full(len(places), 1.03), transform=over, clip_on=False, **style)
            handles.append(Line2D([], [], **style))
            names.append("found" if found else "not found")
    _label_above(ax, [(middle, name) for middle, _, name in tops], span)


def _label_above(ax: Axes, tops: Sequence[tuple[float, str]], span: Interval) -> None:
    """Write incident names above the axes, on two rows, leaving out what would overlap."""
    width_inches = ax.bbox.width / ax.figure.dpi
    per_char = 0.068 / width_inches * span.duration_ms
    ends = [-np.inf, -np.inf]
    tops = sorted(tops)
    short = apart([drawable(name) for _, name in tops], 18)
    for (middle, _), text in zip(tops, short, strict=True):
        half = (len(text) + 1.5) * per_char / 2
        centre = min(max(middle, span.start_ms + half), span.end_ms - half)
        row = next((row for row in (0, 1) if centre - half > ends[row]), None)
        if row is None:
            continue
        ends[row] = centre + half
        ax.annotate(
            text,
            (float(_days(centre)), 1.03),
            xycoords=ax.get_xaxis_transform(),
            xytext=(0, 6 + 10 * row),
            textcoords="offset points",
            ha="center",
            fontsize=7.5,
            color=INK,
            annotation_clip=False,
        )


class Row(NamedTuple):
    """A row of alert states: its name, the setting, and the page groups in it; None: all."""

    name: str
    view: View
    groups: frozenset[int] | None = None


def rows_of(replay: RuleBacktest, period: Interval | None, settings: int) -> int:
    """Return how many rows of states a picture has."""
    return settings if settings > 1 or period is None or not _concerned(replay, period) else 2


def _concerned(replay: RuleBacktest, period: Interval) -> frozenset[int]:
    """Return the page groups that an incident of the period concerns; none where it concerns all of them."""
    near = [each for each in replay.incidents.incidents if each.interval.overlaps(period)]
    groups = replay.signal().groups
    found = frozenset(
        place
        for place, group in enumerate(groups)
        if any(incident.concerns(replay.name, group.labels) for incident in near)
    )
    return found if len(found) < len(groups) else frozenset()


def _series_of(replay: RuleBacktest, period: Interval) -> frozenset[Labels]:
    groups = replay.signal().groups
    return frozenset(labels for place in _concerned(replay, period) for labels in groups[place].members)


def _rows(replay: RuleBacktest, views: Sequence[View], words: tuple[str, str], period: Interval | None) -> list[Row]:
    """Give every setting a row; in a close-up the alerts that an incident there concerns stand apart."""
    if len(views) > 1:
        return [Row(name, view) for name, view in zip(words, views, strict=True)]
    concerned = frozenset() if period is None else _concerned(replay, period)
    if not concerned:
        return [Row("alert", views[0])]
    others = frozenset(range(len(replay.signal().groups))) - concerned
    return [Row("of the incident", views[0], concerned), Row("other alerts", views[0], others)]


def _draw_lanes(
    ax: Axes,
    rows: Sequence[Row],
    span: Interval,
    zone: str,
    handles: list[Any],
    names: list[str],
) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    height = LANE * len(rows)
    strip = ax.inset_axes((0.0, -height - 0.03, 1.0, height), sharex=ax)
    pages: dict[str, list[npt.NDArray[np.float64]]] = {"true": [], "false": []}
    for place, (_, view, groups) in enumerate(rows):
        states = shapes.lane(view.firing, view.level, span, LANE_COLUMNS, groups)
        for runs, color, size in ((states.pending, CURRENT, 0.22), (states.firing, INK, 0.4)):
            alpha = PENDING_ALPHA if runs is states.pending else 1.0
            ax_runs = list(map(tuple, _days(runs)))
            strip.broken_barh(ax_runs, (place + 0.28 - size / 2, size), color=color, linewidth=0, alpha=alpha)
        for kind, marker, color, level in (("true", "^", TRUE, -0.18), ("false", "x", FALSE, -0.18)):
            starts = np.array(
                [
                    page.episode.interval.start_ms
                    for page in view.score.pages
                    if page.kind == kind and (groups is None or page.episode.group in groups)
                ],
                dtype=np.float64,
            )
            pages[kind].append(starts)
            strip.plot(
                _days(starts),
                np.full(len(starts), place + level),
                linestyle="",
                marker=marker,
                markersize=5 if marker == "x" else 6,
                color=color,
                markeredgewidth=1.3 if marker == "x" else 0.5,
                clip_on=False,
            )
    strip.set_ylim(len(rows) - 0.45, -0.45)
    strip.set_yticks(range(len(rows)), [row.name for row in rows])
    strip.tick_params(axis="y", length=0)
    for side in ("left", "right", "top"):
        strip.spines[side].set_visible(False)
    ax.tick_params(axis="x", labelbottom=False, length=0)
    ax.spines["bottom"].set_color(FAINT)
    time_axis(strip, span, zone)
    if any(len(starts) for starts in pages["true"]):
        handles.append(Line2D([], [], linestyle="", marker="^", color=TRUE, markersize=6))
        names.append("page for an incident")
    if any(len(starts) for starts in pages["false"]):
        handles.append(Line2D([], [], linestyle="", marker="x", color=FALSE, markersize=5, markeredgewidth=1.3))
        names.append("false page")
    handles += [Patch(color=INK), Patch(color=CURRENT, alpha=PENDING_ALPHA)]
    names += ["firing", "pending"]
