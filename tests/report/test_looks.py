"""What people see: told apart without colour, units and zones on axes, nothing clipped, words instead of pictures."""

from __future__ import annotations

import itertools
import re
from itertools import pairwise

import numpy as np
import pytest
from matplotlib import colors
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.colors import rgb_to_hsv
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from kmon_analysis.errors import SettingError
from kmon_analysis.labels import Labels
from kmon_analysis.recommend.advice import RuleAdvice
from kmon_analysis.recommend.candidates import Budget, Candidate, Setting, current_setting
from kmon_analysis.report import plots, shapes
from kmon_analysis.report.figure import (
    BAND,
    CURRENT,
    DARK_STYLE,
    FALSE,
    INK,
    LINES,
    MUTED,
    PAPER,
    PROPOSED,
    TRUE,
    alt_text,
    size_for,
    text_width,
)
from kmon_analysis.report.front import front
from kmon_analysis.timing import DAY_MS, MINUTE_MS, Interval
from tests.report.samples import START, consumer_life, incident, replay
from tests.report.test_plots import legend_of, one_axes, titles
from tests.report.test_words import HOSTILE

BUDGET = Budget(30 * MINUTE_MS)

# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB; luminance of BT.709.
VISIONS = {
    "grey": [[0.2126, 0.7152, 0.0722]] * 3,
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
}


def linear(color):
    rgba = np.asarray(colors.to_rgba(color))
    shown = rgba[:3] * rgba[3] + np.asarray(colors.to_rgb(PAPER)) * (1 - rgba[3])
    return np.where(shown <= 0.04045, shown / 12.92, ((shown + 0.055) / 1.055) ** 2.4)


def lightness(rgb):
    y = float(np.dot([0.2126, 0.7152, 0.0722], rgb))
    return 116 * (y ** (1 / 3) if y > 0.008856 else 7.787 * y + 16 / 116) - 16


def lab(color, vision):
    rgb = np.clip(np.asarray(VISIONS[vision]) @ linear(color), 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ rgb
    scaled = xyz / np.array([0.9505, 1.0, 1.089])
    f = np.where(scaled > 0.008856, np.cbrt(scaled), 7.787 * scaled + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def apart(one, other, vision):
    """CIE 1976 distance of two colours as a vision sees them."""
    return float(np.linalg.norm(lab(one, vision) - lab(other, vision)))


def contrast(one, other):
    high, low = sorted((float(np.dot([0.2126, 0.7152, 0.0722], linear(c))) for c in (one, other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def faded(color, alpha):
    return (*colors.to_rgb(color), 1.0 if alpha is None else alpha)


def channels(handle):
    """What is seen of a legend's handle besides its colour, and the colour."""
    if isinstance(handle, Line2D):
        marker = handle.get_marker()
        hollow = marker not in ("None", None, "") and handle.get_markerfacecolor() == PAPER
        dash = handle._unscaled_dash_pattern if handle.get_linestyle() not in ("None", "") else None
        width = "wide" if handle.get_linewidth() >= 1.5 * 0.9 else "thin"
        seen = ("line", marker, hollow, repr(dash), width if dash else "")
        return seen, faded(handle.get_color(), handle.get_alpha())
    assert isinstance(handle, Patch)
    face = handle.get_facecolor()
    return ("patch", handle.get_hatch(), face[3] == 0), face


def told_apart(ax):
    for (name, one), (other_name, other) in itertools.combinations(legend_of(ax).items(), 2):
        if "none" in (getattr(one, "get_color", str)(), getattr(other, "get_color", str)()):
            continue
        (seen, color), (other_seen, other_color) = channels(one), channels(other)
        if seen == other_seen:
            for vision in VISIONS:
                assert apart(color, other_color, vision) > 14, (name, other_name, vision)


@pytest.fixture(scope="module")
def life():
    return consumer_life(weeks=10)


@pytest.fixture(scope="module")
def figures(life):
    proposed = Setting(2000.0, None, 15 * MINUTE_MS, 0, None)
    advice = RuleAdvice(life.name, "tuned", "", (), current_setting(life), proposed)
    many = np.tile(np.arange(1.0, 9.0)[:, None], (1, 400)) * 3
    return {
        "rule": plots.rule_figure(life),
        "advice": plots.advice_figure(life, advice, BUDGET),
        "front": plots.front_figure(life, front(life, [Candidate(None, 5 * MINUTE_MS)]), BUDGET, proposed),
        "many": plots.rule_figure(replay(many, incidents=[incident("a", 1), incident("b", 3)])),
        "missed": plots.rule_figure(replay(np.zeros(900), incidents=[incident(f"i{n}", n) for n in range(6)])),
    }


@pytest.mark.parametrize("name", ["rule", "advice", "front", "many", "missed"])
def test_everything_in_a_legend_is_told_apart_without_colour(figures, name):
    for ax in figures[name].axes:
        told_apart(ax)


def test_the_check_itself_sees_colours_that_look_the_same():
    ax = one_axes()
    ax.legend(handles=[Line2D([], [], color="#d55e00"), Line2D([], [], color="#8a8a00")], labels=["a", "b"])
    with pytest.raises(AssertionError, match="grey"):
        told_apart(ax)


def test_lines_and_words_stand_out_from_the_paper():
    for text in (INK, MUTED):
        assert contrast(text, PAPER) > 4.5
    for mark in (CURRENT, PROPOSED, FALSE, *LINES):
        assert contrast(mark, PAPER) > 2.8, mark
    for soft in (TRUE, BAND):
        assert contrast(soft, PAPER) > 2
    # Dark pages keep the colours of series.
    for mark in (FALSE, TRUE, BAND, *LINES):
        assert contrast(mark, "#16191d") > 3, mark


def in_the_dark(color):
    """Apply the filters of `DARK_STYLE` to a colour, as the Filter Effects module (level 1) defines them."""
    inverted, turned = (float(re.search(rf"{name}\(([\d.]+)", DARK_STYLE)[1]) for name in ("invert", "hue-rotate"))
    opaque = np.asarray(colors.to_rgba(color))
    rgb = opaque[:3] * opaque[3] + np.asarray(colors.to_rgb(PAPER)) * (1 - opaque[3])
    rgb = inverted + rgb * (1 - 2 * inverted)
    cos, sin = np.cos(np.radians(turned)), np.sin(np.radians(turned))
    luminance = np.array([[0.213, 0.715, 0.072]] * 3)
    across = np.array([[-0.213, -0.715, 0.928], [0.143, 0.140, -0.283], [-0.787, 0.715, 0.072]])
    return np.clip((luminance + cos * (np.eye(3) - luminance) + sin * across) @ rgb, 0, 1)


def test_pictures_in_a_dark_notebook_are_dark_and_can_be_read():
    paper = in_the_dark(PAPER)
    assert max(paper) < 0.1
    for words in (INK, MUTED):
        assert contrast(in_the_dark(words), paper) >= 4.5
    for line in (*LINES, PROPOSED, FALSE, TRUE, CURRENT):
        assert contrast(in_the_dark(line), paper) >= 3
    for color in (PROPOSED, FALSE, TRUE):
        before, after = (rgb_to_hsv(each)[0] for each in (colors.to_rgb(color), in_the_dark(color)))
        assert abs((after - before + 0.5) % 1 - 0.5) < 0.04


@pytest.mark.parametrize(("text", "falls"), [("lag > 10", False), ("rate < 1", True)])
def test_each_series_is_marked_where_it_comes_nearest_to_firing(text, falls):
    values = np.abs(np.random.default_rng(4).normal(size=(3, 4000)).cumsum(axis=1))
    rule = replay(values, text=text)
    ax = one_axes()
    plots.signal_axes(ax, rule)
    marked = [line for line in ax.lines if line.get_linestyle() == "None" and line.get_color() in LINES]
    assert len(marked) == 3
    assert len({(line.get_marker(), line.get_markerfacecolor() == PAPER) for line in marked}) == 3
    ends = values.min(axis=1) if falls else values.max(axis=1)
    assert sorted(float(line.get_ydata()[0]) for line in marked) == sorted(ends.tolist())
    assert all(len(line.get_xdata()) == 1 for line in marked)
    names = [name.get_text() for name in ax.get_legend().get_texts()]
    assert names[0] == f"consumergroup (mark: {'lowest' if falls else 'highest'})"


def test_series_without_values_carry_no_mark():
    nothing = np.full(3, np.nan)
    assert len(shapes.peak((np.arange(3.0), nothing), falls=False)[0]) == 0
    assert len(shapes.peak((nothing[:0], nothing[:0]), falls=True)[0]) == 0


def test_crowded_series_are_drawn_as_envelopes_and_few_evaluations_as_lines():
    values = np.abs(np.random.default_rng(5).normal(size=(10, 6000))) + np.arange(10.0)[:, None] * 3
    found = incident("INC", 2, labels={"consumergroup": "group-0"})
    ax = one_axes()
    plots.signal_axes(ax, replay(values, incidents=[found]))
    bands = [part for part in ax.collections if isinstance(part, PolyCollection) and part.get_alpha() in (0.25, 0.3)]
    assert len(bands) == 6
    box = [part.get_paths()[0].get_extents() for part in bands]
    # The others first, at the bottom; then the series from the last to that of the incident.
    assert (box[0].y0, box[0].y1) == (values[1:6].min(), values[1:6].max())
    for place, row in enumerate((6, 7, 8, 9, 0)):
        assert (box[1 + place].y0, box[1 + place].y1) == (values[row].min(), values[row].max())
    few = one_axes()
    plots.signal_axes(few, replay(values[:, :2000]))
    assert not [part for part in few.collections if part.get_alpha() in (0.25, 0.3)]


@pytest.mark.parametrize("seed", range(6))
def test_envelopes_hold_every_value_and_no_other(seed):
    random = np.random.default_rng(seed)
    times = np.flatnonzero(random.random(900) < 0.9).astype(np.int64) * MINUTE_MS
    values = np.where(random.random(len(times)) < 0.3, np.nan, random.normal(size=len(times)))
    values[200:400] = values[600:615] = np.nan
    values[300] = 7.0
    period = Interval(30 * MINUTE_MS, 880 * MINUTE_MS)
    width = period.duration_ms / 50
    parts: list[list[tuple[int, float]]] = []
    for time, value in zip(times.tolist(), values.tolist(), strict=True):
        if np.isnan(value) or not period.start_ms <= time < period.end_ms:
            continue
        before = parts[-1][-1][0] if parts else -np.inf
        columns = [(each - period.start_ms) // width for each in (before, time)]
        if time - before > max(1.5 * MINUTE_MS, width / 2) or columns[0] != columns[1]:
            parts.append([])
        parts[-1].append((time, value))
    x, low, high = shapes.envelope(times, values, period, MINUTE_MS, 50)
    bands = np.split(np.column_stack([x, low, high]), np.flatnonzero(np.isnan(low)))
    drawn = np.concatenate([band[~np.isnan(band[:, 1])].reshape(-1, 2, 3) for band in bands])
    assert len(drawn) == len(parts)
    assert 2 < len(bands) < len(parts)
    for (one, other), part in zip(drawn, parts, strict=True):
        inside = [value for _, value in part]
        assert (one[1], one[2]) == (other[1], other[2]) == (min(inside), max(inside))
        assert one[0] <= part[0][0] <= part[-1][0] < other[0]
    # Nothing is drawn over a hole, and what is drawn ends within half a column of it.
    for (_, end), (begin, _) in pairwise(drawn[:, :, 0]):
        assert end <= begin
    for band, after in pairwise(bands):
        values_before, value_after = times[times < band[-1, 0]], after[1, 0]
        assert value_after in times
        assert band[-1, 0] - values_before[-1] <= width / 2 + MINUTE_MS


def test_the_envelope_of_nothing_is_empty():
    times = np.arange(10) * MINUTE_MS
    for values in (np.full(10, np.nan), np.arange(10.0)):
        assert [len(part) for part in shapes.envelope(times, values, Interval(DAY_MS, 2 * DAY_MS), MINUTE_MS, 5)] == [
            0
        ] * 3


@pytest.mark.parametrize(
    ("text", "value", "threshold"),
    [
        (
            "kafka_consumer_lag_sum > 10",
            "kafka_consumer_lag_sum\nmessages",
            "threshold on kafka_consumer_lag_sum (messages)",
        ),
        ("some_gauge > 10", "some_gauge", "threshold on some_gauge"),
        (
            "rate(kafka_server_BrokerTopicMetrics_MessagesInPerSec[5m]) > 10",
            "HighConsumerLag\nmessages a second",
            "threshold on rate(kafka_server_BrokerTopicMetrics_MessagesInPerSec[5m]) (messages a second)",
        ),
        (
            "sum by (topic) (rate(kafka_server_BrokerTopicMetrics_MessagesInPerSec[5m])) > 10",
            "HighConsumerLag\nmessages a second",
            "threshold on HighConsumerLag (messages a second)",
        ),
    ],
)
def test_axes_name_their_unit(text, value, threshold):
    figure = plots.rule_figure(replay(np.tile([5.0, 15.0], 60), text=text, incidents=[incident("a", 1)]))
    over_time, pages, delays = figure.axes
    shown = over_time.get_ylabel().split("\n")
    assert shown == value.split("\n")
    FigureCanvasAgg(figure).draw()
    label, panel = over_time.yaxis.label.get_window_extent(), over_time.get_window_extent()
    assert panel.y0 <= label.y0 <= label.y1 <= panel.y1
    assert pages.get_xlabel() == delays.get_xlabel() == threshold
    assert pages.get_ylabel() == "pages a week"
    delays.figure.canvas.draw()
    assert any("min" in label.get_text() for label in delays.get_yticklabels())


def test_scales_are_noted_beside_the_unit(life):
    figure = plots.rule_figure(life)
    assert figure.axes[0].get_ylabel().split("\n")[1:] == ["messages", "log scale, linear below 100"]
    assert figure.axes[0].yaxis.label.get_fontsize() == 9
    assert figure.axes[1].get_xlabel().endswith("(messages, log scale, linear below 100)")


def test_the_time_axis_says_which_zone_it_is_in():
    rule = replay(np.zeros(600))
    [strip] = plots.rule_figure(rule).axes[0].child_axes
    assert strip.get_xlabel() == "time in UTC, 2026-03-02 00:00 to 2026-03-02 09:59"
    figure = plots.rule_figure(rule, zone="Asia/Kolkata")
    [strip] = figure.axes[0].child_axes
    assert strip.get_xlabel() == "time in Asia/Kolkata (UTC+05:30), 2026-03-02 05:30 to 2026-03-02 15:29"
    figure.canvas.draw()
    # Midnight of UTC is half past five there: ticks stand on full hours of the zone.
    ticks = {
        label.get_text(): round(tick * DAY_MS)
        for tick, label in zip(strip.get_xticks(), strip.get_xticklabels(), strict=True)
    }
    assert ticks["08:00"] == START + 150 * MINUTE_MS
    with pytest.raises(SettingError, match="no time zone 'Mars/Olympus'"):
        plots.rule_figure(rule, zone="Mars/Olympus")


def test_changing_clocks_are_told_on_the_axis():
    rule = replay(np.zeros(10 * 24 * 60), step_ms=5 * MINUTE_MS)
    [strip] = plots.rule_figure(rule, zone="Europe/Berlin").axes[0].child_axes
    words = "time in Europe/Berlin (UTC+01:00, from 2026-03-29 UTC+02:00), 2026-03-02 to 2026-04-21"
    assert strip.get_xlabel() == words


def texts_of(ax):
    """Every text that is drawn: ticks beyond the limits are not."""
    legend = ax.get_legend()
    yield from (ax.title, ax._left_title, ax.xaxis.label, ax.yaxis.label, *ax.texts)
    yield from legend.get_texts() if legend else ()
    for axis in (ax.xaxis, ax.yaxis):
        low, high = sorted(axis.get_view_interval())
        for tick in axis.get_major_ticks():
            if low <= tick.get_loc() <= high:
                yield tick.label1
    for inner in ax.child_axes:
        yield from texts_of(inner)


def clipped(figure):
    """Return the texts that reach beyond the picture."""
    FigureCanvasAgg(figure).draw()
    beyond = []
    for text in (text for ax in figure.axes for text in texts_of(ax)):
        if text.get_visible() and text.get_text().strip():
            box = text.get_window_extent()
            if box.x0 < -1 or box.x1 > figure.bbox.x1 + 1 or box.y0 < -1 or box.y1 > figure.bbox.y1 + 1:
                beyond.append((text.get_text(), box))
    return beyond


@pytest.mark.parametrize("text", [*HOSTILE, "W" * 400, "m" * 40, "a.b-" * 60, "$x_1^2$"])
def test_no_text_is_clipped_and_none_becomes_mathematics(text):
    values = np.abs(np.random.default_rng(2).normal(size=(6, 700)).cumsum(axis=1))
    values[0, 125:160] = 900
    labels = [Labels({"topic": f"{text}{n}"}) for n in range(5)] + [Labels({"topic": text})]
    rule = replay(values, labels=labels, name=text, incidents=[incident(f"{text}{n}", 2 * n + 1) for n in range(3)])
    figure = plots.rule_figure(rule)
    assert clipped(figure) == []
    if "$" in text:
        assert any("$" in label.get_text() for label in figure.axes[0].get_legend().get_texts())
    assert not any(label.get_parse_math() for ax in figure.axes for label in ax.get_legend().get_texts())


def test_no_text_of_the_usual_figures_is_clipped(figures):
    for figure in figures.values():
        assert clipped(figure) == []


def test_a_hundred_series_stay_readable():
    values = np.abs(np.random.default_rng(0).normal(size=(100, 900)).cumsum(axis=1)) * 30
    labels = [
        Labels(
            {
                "consumergroup": f"prod-eu-west-1-payments-service-consumer-group-{n:03d}-v2",
                "topic": "t",
                "job": "kafka",
            }
        )
        for n in range(100)
    ]
    figure = plots.rule_figure(replay(values, labels=labels))
    names = list(legend_of(figure.axes[0]))
    assert names[0] == "consumergroup (mark: highest)"
    assert "95 more: highest and lowest" in names
    assert len({name for name in names if name.endswith("-v2")}) == 5
    assert clipped(figure) == []
    assert figure.axes[0].get_legend().get_window_extent().x0 > figure.axes[0].get_window_extent().x1
    words = alt_text(figure)
    assert words.count('topic="t"') == 5
    assert "and 95 more" in words


def test_the_words_for_a_picture_hold_titles_and_whole_labels(life):
    figure = plots.rule_figure(life)
    words = alt_text(figure)
    assert words.startswith(titles(figure)[0])
    assert '{consumergroup="email", topic="user.registered"}' in words
    data, about = figure._repr_png_()
    assert data.startswith(b"\x89PNG")
    assert about["alt"] == words
    hostile = plots.rule_figure(replay(np.zeros(60), labels=[Labels({"topic": "\u202e\x1b"})]))
    assert not {"\u202e", "\x1b"} & set(alt_text(hostile))


def test_rows_of_a_rule_without_threshold_are_named_clear_of_their_bars():
    values = np.where(np.random.default_rng(0).random((12, 900)) < 0.05, 1, np.nan)
    figure = plots.rule_figure(replay(values, text="absent(lag)"))
    [ax] = figure.axes
    FigureCanvasAgg(figure).draw()
    named = [text for text in ax.texts if text.get_text().removeprefix("consumergroup: ").startswith("group-")]
    assert len(named) == 8
    assert any(text.get_text() == "4 more" for text in ax.texts)
    bars = [part for part in ax.collections if isinstance(part, PolyCollection)]
    assert len(bars) == 8
    for text, bar in zip(named, bars, strict=True):
        low, high = bar.get_paths()[0].get_extents().get_points()[:, 1]
        inside = ax.transData.inverted().transform(text.get_window_extent().get_points())[:, 1]
        assert max(inside) <= min(low, high) + 0.02
        assert min(inside) > min(low, high) - 0.6


def test_type_shrinks_until_words_fit():
    assert size_for(["short"], 8, 200) == 8
    small = size_for(["W" * 40], 8, 200)
    assert text_width("W" * 40, small) <= 201
    assert size_for(["W" * 4000], 8, 200) == 4
    assert text_width("aa\na", 8) == text_width("aa", 8)
    assert text_width("abc", 8, bold=True) > text_width("abc", 8)
