"""A picture of what a history holds: each metric over time, and where samples are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kmon_analysis.history import History
from kmon_analysis.history_coverage import Coverage, coverage
from kmon_analysis.report.figure import (
    BAND,
    FALSE,
    INK,
    MUTED,
    PAPER,
    Panel,
    drawable,
    note,
    set_title,
    stacked,
    styled,
    text_width,
)
from kmon_analysis.report.timeline import legend_beside, time_axis
from kmon_analysis.timing import DAY_MS, duration

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["coverage_axes", "coverage_figure", "row_names"]

# Least part of the samples, its words and its colour.
_STEPS = (
    (0.99, "99 % or more there", "#a9c9e2"),
    (0.9, "up to 10 % missing", BAND),
    (1e-12, "more missing", FALSE),
    (-1.0, "nothing recorded", INK),
)
_NOBODY = "no series lives\n(begins later, ended)"
# Characters of a line of a name, which may take two; rows of names with two lines are higher.
_LINE = 38
_ROW, _HIGH_ROW = 0.29, 0.4
_SIZE = 10.0


def row_names(found: Coverage) -> list[str]:
    """Name the rows: each metric with its number of series, in two lines where one is too short.

    Names that need more lose their beginning, which most metrics of one exporter share.
    """
    ends = [f" ({count:,})" for count in found.series]
    whole = [drawable(name) for name in found.metrics]
    return [_two_lines(f"{name}{end}") for name, end in zip(whole, ends, strict=True)]


def _two_lines(name: str) -> str:
    if len(name) <= _LINE:
        return name
    if len(name) > 2 * _LINE:
        name = "…" + name[1 - 2 * _LINE :]
    # After an underscore, as near to the end of the first line as both lines allow.
    places = [at for at in range(len(name) - _LINE, _LINE + 1) if at and name[at - 1] in "_:"]
    at = places[-1] if places else min(_LINE, len(name) - 1)
    return f"{name[:at]}\n{name[at:]}"


@styled
def coverage_axes(ax: Axes, found: Coverage, zone: str = "UTC") -> None:
    """Draw one row a metric, one cell a stretch of time, coloured by the part of its samples that is there.

    Parameters
    ----------
    ax : Axes
        Where.
    found : Coverage
        What is there.
    zone : str
        Time zone of the time axis, by its IANA name.
    """
    from matplotlib.colors import BoundaryNorm, ListedColormap
    from matplotlib.patches import Patch

    rows, cells = found.share.shape
    edges = np.minimum(found.interval.start_ms + np.arange(cells + 1) * found.cell_ms, found.interval.end_ms) / DAY_MS
    limits = [-1.0, *(low for low, _, _ in reversed(_STEPS[:-1])), 2.0]
    colours = ListedColormap([colour for _, _, colour in reversed(_STEPS)])
    ax.pcolormesh(
        edges,
        np.arange(rows + 1) + 0.0,
        np.ma.masked_invalid(found.share),
        cmap=colours,
        norm=BoundaryNorm(limits, len(_STEPS)),
        edgecolors=PAPER,
        linewidth=0.4,
    )
    ax.set_yticks(np.arange(rows) + 0.5, row_names(found))
    for label in ax.get_yticklabels():
        label.set_parse_math(False)
    ax.tick_params(axis="y", length=0, labelsize=_SIZE)
    ax.set_ylim(max(rows, 1), 0)
    if not rows:
        ax.text(0.5, 0.5, "no series has two samples", transform=ax.transAxes, ha="center", va="center")
    ax.set_xlim(edges[0], edges[-1])
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    time_axis(ax, found.interval, zone)
    handles, words = [Patch(color=colour) for _, _, colour in _STEPS], [words for _, words, _ in _STEPS]
    if np.isnan(found.share).any():
        handles.append(Patch(facecolor=PAPER, edgecolor=MUTED, linewidth=0.6))
        words.append(_NOBODY)
    legend_beside(ax, handles, words)


@styled
def coverage_figure(history: History, *, zone: str = "UTC") -> Figure:
    """Draw what a history holds; each cell shows the worst of its metric's series that have begun and not ended.

    Parameters
    ----------
    history : History
        Any.
    zone : str
        Time zone of the time axis, by its IANA name.

    Raises
    ------
    SettingError
        If there is no such zone.
    """
    found = coverage(history)
    high = any("\n" in name for name in row_names(found))
    height = max(len(found.metrics), 2) * (_HIGH_ROW if high else _ROW)
    # As much room as the names take, and what their distance from the cells is.
    wide = max((text_width(name, _SIZE) for name in row_names(found)), default=0.0) / 72 + 0.2
    figure = stacked([Panel(height, above=0.75)], left=max(wide, 0.7), right=1.75)
    (ax,) = figure.axes
    coverage_axes(ax, found, zone)
    set_title(
        ax,
        f"Samples there, in cells of {duration(found.cell_ms)}: the worst living series of each metric",
        72,
    )
    note(
        ax,
        "A series is expected from its first sample to its last, and each metric's number of series stands in brackets",
    )
    return figure
