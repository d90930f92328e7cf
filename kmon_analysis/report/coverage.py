"""A picture of what a history holds: each metric over time, and where samples are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kmon_analysis.history import History
from kmon_analysis.history_coverage import Coverage, coverage
from kmon_analysis.report.figure import BAND, FALSE, INK, PAPER, Panel, drawable, stacked, styled
from kmon_analysis.report.timeline import legend_beside, time_axis
from kmon_analysis.report.words import shortened
from kmon_analysis.timing import DAY_MS, format_duration

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["coverage_axes", "coverage_figure"]

# Least part of the samples, its words and its colour.
_STEPS = (
    (0.99, "99 % or more there", "#a9c9e2"),
    (0.9, "up to 10 % missing", BAND),
    (1e-12, "more missing", FALSE),
    (-1.0, "nothing recorded", INK),
)
_LONGEST_NAME = 50
_ROW = 0.27


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
    names = [
        f"{drawable(shortened(name, _LONGEST_NAME))} ({count})"
        for name, count in zip(found.metrics, found.series, strict=True)
    ]
    ax.set_yticks(np.arange(rows) + 0.5, names)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(max(rows, 1), 0)
    if not rows:
        ax.text(0.5, 0.5, "no series has two samples", transform=ax.transAxes, ha="center", va="center")
    ax.set_xlim(edges[0], edges[-1])
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    time_axis(ax, found.interval, zone)
    legend_beside(ax, [Patch(color=colour) for _, _, colour in _STEPS], [words for _, words, _ in _STEPS])


@styled
def coverage_figure(history: History, *, zone: str = "UTC") -> Figure:
    """Draw what a history holds; each cell shows the worst series of its metric.

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
    figure = stacked([Panel(max(len(found.metrics), 2) * _ROW)], left=4.0, right=1.55)
    (ax,) = figure.axes
    coverage_axes(ax, found, zone)
    ax.set_title(
        f"Samples that are there, in cells of {format_duration(found.cell_ms)} (series of each metric in brackets)"
    )
    return figure
