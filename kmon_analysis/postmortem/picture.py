"""The picture of one rule around an incident."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kmon_analysis.backtest.rule import RuleBacktest
from kmon_analysis.incidents import Incident
from kmon_analysis.postmortem.stories import RuleStory
from kmon_analysis.postmortem.words import did
from kmon_analysis.report.figure import FALSE, INK, PROPOSED, Panel, drawable, stacked, styled, wrapped
from kmon_analysis.report.timeline import LANE, WRAP, rows_of, signal_axes
from kmon_analysis.rules.states import ALERT_NAME
from kmon_analysis.timing import DAY_MS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from kmon_analysis.postmortem.run import Postmortem

__all__ = ["concerned_only", "story_figure"]


def concerned_only(replay: RuleBacktest, incident: Incident) -> RuleBacktest:
    """Return a replay of those alerts only that an incident concerns."""
    signal = replay.signal()
    groups = []
    for group in signal.groups:
        rows = [row for row, labels in enumerate(group.members) if incident.concerns(replay.rule.name, labels)]
        if rows:
            # What the rule itself sets tells no alert from another, and takes the legend's room.
            members = tuple(group.members[row].without(ALERT_NAME, *replay.rule.labels) for row in rows)
            groups.append(replace(group, members=members, ranks=np.ascontiguousarray(group.ranks[rows])))
    return replace(replay, groups=None, _signals={(None, None): replace(signal, groups=tuple(groups))}, _latest={})


@styled
def story_figure(made: Postmortem, rule: str) -> Figure:
    """Draw what a rule compares around the incident, with threshold, states, pages, and the incident's own times."""
    replay, story = concerned_only(made.backtest.results[rule], made.incident), made[rule]
    height = 2.3 if replay.knobs.sweepable else 1.4
    figure = stacked([Panel(height, above=1.0, below=0.65 + rows_of(replay, made.period, 1) * LANE * height)])
    ax = figure.axes[0]
    signal_axes(ax, replay, period=made.period, zone=made.zone)
    _mark(ax, made, story)
    ax.set_title(wrapped(drawable(f"{rule} {did(made, story)}"), WRAP), pad=30)
    return figure


def _mark(ax: Axes, made: Postmortem, story: RuleStory) -> None:
    """Mark start, first page and detection, with their names at the top of the axes."""
    marks: list[tuple[int, str, Any]] = [(made.incident.interval.start_ms, "start", INK)]
    if story.first_ms is not None and story.status in ("paged", "paged early"):
        marks.append((story.first_ms, "page", PROPOSED))
    if made.incident.detected_ms is not None and made.incident.detected_ms in made.period:
        marks.append((made.incident.detected_ms, "detected", FALSE))
    for place, (at_ms, word, color) in enumerate(sorted(marks)):
        ax.axvline(at_ms / DAY_MS, color=color, linewidth=1.0, linestyle=(0, (1, 1.5)), zorder=3.5)
        ax.annotate(
            word,
            (at_ms / DAY_MS, 1.0),
            xycoords=ax.get_xaxis_transform(),
            xytext=(3, -10 - 11 * place),
            textcoords="offset points",
            fontsize=8,
            color=color,
            zorder=6,
        )
