from __future__ import annotations

import re
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from kmon_analysis.labels import Labels
from kmon_analysis.recommend.advice import RuleAdvice
from kmon_analysis.recommend.candidates import Budget, Candidate, Setting, current_setting
from kmon_analysis.recommend.choose import best, place, survey
from kmon_analysis.report import plots
from kmon_analysis.report.figure import DARK_STYLE, Panel, Scale, png_bytes, scale_for, set_scale, stacked, svg_text
from kmon_analysis.report.front import front
from kmon_analysis.timing import DAY_MS, MINUTE_MS, Interval
from tests.report.samples import START, consumer_life, incident, replay
from tests.report.test_words import HOSTILE
from tests.tools import REPOSITORY

BUDGET = Budget(30 * MINUTE_MS)


@pytest.fixture(scope="module")
def life():
    return consumer_life(weeks=10)


@pytest.fixture(scope="module")
def advised(life):
    tried = [Candidate(None, minutes * MINUTE_MS) for minutes in (5, 15)]
    [found] = survey(life, tried, BUDGET)
    top = best(found, BUDGET)
    setting = place(top, BUDGET, current_setting(life))
    return RuleAdvice(life.name, "tuned", "", (), current_setting(life), setting, setting, plateau=top)


def one_axes():
    return stacked([Panel(2.0)]).axes[0]


def titles(figure):
    return [ax.get_title(loc="left").replace("\n", " ").replace("\N{NO-BREAK SPACE}", " ") for ax in figure.axes]


def legend_of(ax):
    handles, texts = ax.get_legend().legend_handles, ax.get_legend().get_texts()
    return dict(zip([text.get_text() for text in texts], handles, strict=True))


def line_of(ax, color):
    [found] = [line for line in ax.lines if line.get_color() == color and len(line.get_xdata()) > 2]
    return np.asarray(found.get_xdata()), np.asarray(found.get_ydata())


def test_drawn_pages_are_the_scored_pages(life):
    ax = one_axes()
    plots.pages_axes(ax, life)
    weeks = life.score().weeks
    for color, kinds in (("#d55e00", {"false"}), ("#6b7a8c", {"false", "true", "duplicate", "excluded"})):
        x, y = line_of(ax, color)
        for threshold in (40.5, 333.5, 999.5, 2500.5, 20_000.5):
            expected = sum(page.kind in kinds for page in life.score(threshold).pages) / weeks
            at = np.searchsorted(x, threshold)
            # Between its neighbours on the thinned line, and equal where the line is exact there.
            near = y[max(at - 4, 0) : at + 4]
            assert near.min() - 1e-9 <= expected <= near.max() + 1e-9


def test_few_steps_are_drawn_exactly():
    rule = replay([0, 3, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 5], text="lag > 1")
    ax = one_axes()
    plots.pages_axes(ax, rule)
    x, y = line_of(ax, "#d55e00")
    weeks = rule.score().weeks
    for threshold, pages in ((0.5, 3), (2.0, 3), (4.0, 2), (6.0, 1), (7.1, 0)):
        place = int(np.searchsorted(x, threshold))
        assert y[place - 1] == pytest.approx(pages / weeks)


def test_the_advice_is_marked_where_it_lies(life, advised):
    figure = plots.advice_figure(life, advised, BUDGET)
    over_time, pages, delays = figure.axes
    names = legend_of(pages)
    assert {
        "now: 1,000",
        f"proposed: {advised.proposed.threshold:,.0f}",
        "accepted: 1 a week",
        "meets the budget",
    } <= set(names)
    [shaded] = [patch for patch in pages.patches if patch.get_width() > 0]
    low, high = sorted((advised.plateau.quiet, advised.plateau.weakest))
    assert (shaded.get_x(), shaded.get_x() + shaded.get_width()) == pytest.approx((low, high))
    assert pages.get_xlim() == delays.get_xlim()
    now, new = life.score(), life.score(advised.proposed.threshold, for_ms=advised.proposed.for_ms)
    dots = [line for line in pages.lines if line.get_marker() == "o"]
    assert [float(dot.get_ydata()[0]) for dot in dots] == [now.false_pages_per_week, new.false_pages_per_week]
    [strip] = over_time.child_axes
    assert [label.get_text() for label in strip.get_yticklabels()] == ["now", "proposed"]
    assert "UTC" in strip.get_xlabel()
    first, second, third = titles(figure)
    assert first.startswith(f"HighConsumerLag at 1,000 for 5m: finds 6 of 6 incidents, {now.false_pages} false pages")
    assert second.startswith("From ")
    assert third.startswith("Worst delay ")


def test_pages_stand_on_the_strip_where_they_start(life):
    figure = plots.rule_figure(life)
    [strip] = figure.axes[0].child_axes
    for kind, marker in (("true", "^"), ("false", "x")):
        [drawn] = [line for line in strip.lines if line.get_marker() == marker]
        starts = [page.episode.interval.start_ms for page in life.score().pages if page.kind == kind]
        assert np.asarray(drawn.get_xdata()) * DAY_MS == pytest.approx(starts, rel=0, abs=1)


def test_incidents_and_windows_differ_without_colour(life):
    ax = one_axes()
    plots.signal_axes(ax, life)
    names = legend_of(ax)
    assert names["incident"].get_hatch() is None
    assert names["incident, need not page"].get_hatch() == "////"
    assert names["excluded time"].get_hatch() == "xxxx"
    assert {"found", "page for an incident", "false page", "firing", "pending"} <= set(names)


def test_missed_incidents_are_drawn_hollow():
    values = np.zeros(3000)
    values[605:640] = 50
    rule = replay(values, incidents=[incident("seen", 10), incident("unseen", 30)])
    ax = one_axes()
    plots.signal_axes(ax, rule)
    assert legend_of(ax)["found"].get_markerfacecolor() != legend_of(ax)["not found"].get_markerfacecolor()
    assert "finds 1 of 2 incidents" in titles(ax.figure)[0]


def test_only_the_period_asked_for_is_drawn(life):
    period = Interval(START + 2 * DAY_MS, START + 4 * DAY_MS)
    figure = plots.rule_figure(life, threshold=2000, period=period)
    low, high = figure.axes[0].get_xlim()
    assert (low * DAY_MS, high * DAY_MS) == pytest.approx((period.start_ms, period.end_ms), rel=0, abs=1)
    score = life.score(2000, period=period)
    assert f"finds {score.caught} of {score.incidents} incident" in titles(figure)[0]
    # The curves are about the whole history: they are in the other picture.
    assert len(figure.axes) == 1


def test_a_close_up_tells_the_alerts_of_its_incident_from_the_others():
    values = np.zeros((2, 3000))
    values[0, 610:640] = 50
    values[1, :] = 50
    labels = [Labels({"topic": "orders"}), Labels({"topic": "audit"})]
    one = incident("one", 10, labels=Labels({"topic": "orders"}))
    rule = replay(values, labels=labels, incidents=[one])
    period = Interval(one.interval.start_ms - 30 * MINUTE_MS, one.interval.end_ms + 30 * MINUTE_MS)
    [strip] = plots.rule_figure(rule, period=period).axes[0].child_axes
    assert [text.get_text() for text in strip.get_yticklabels()] == ["of the incident", "other alerts"]
    runs = {}
    for bars in strip.collections:
        for path in bars.get_paths():
            box = path.get_extents()
            runs.setdefault(round(box.y0 + box.height / 2), []).append(box.width)
    assert max(runs[1]) * DAY_MS == pytest.approx(period.duration_ms, rel=0.02)
    assert max(runs[0]) * DAY_MS < period.duration_ms / 2
    [strip] = plots.rule_figure(rule).axes[0].child_axes
    assert [text.get_text() for text in strip.get_yticklabels()] == ["alert"]


@pytest.mark.parametrize(
    "rule",
    [
        replay(np.full((2, 50), np.nan)),
        replay(np.empty((0, 50)), labels=[]),
        replay(np.zeros(50)),
        replay(np.full(50, np.inf)),
        replay(np.full(50, -3.0), text="lag > -5"),
        replay([0, 1e-300, 1e300, 0] * 20),
        replay(np.random.default_rng(0).normal(size=(100, 400)) * 100),
        replay(np.where(np.random.default_rng(0).random((3, 400)) < 0.1, 1, np.nan), text="absent(lag)"),
        replay(np.full(60, np.nan), text="absent(lag)"),
        replay([5.0], incidents=[incident("only", 0)]),
        replay(np.zeros(500), incidents=[incident("flat", 1)]),
        replay(np.random.default_rng(0).normal(size=(2, 900)), text="rate < -1", incidents=[incident("low", 4)]),
    ],
    ids=[
        "nan",
        "no series",
        "flat",
        "infinite",
        "negative",
        "huge",
        "100 series",
        "unsweepable",
        "silent",
        "one",
        "miss",
        "low",
    ],
)
def test_every_rule_can_be_drawn(rule):
    figure = plots.rule_figure(rule)
    assert png_bytes(figure, 50).startswith(b"\x89PNG")
    assert titles(figure)[0].startswith("HighConsumerLag ")
    if rule.knobs.sweepable and len(rule.signal().labels) == 100:
        assert "95 more: highest and lowest" in legend_of(figure.axes[0])


def test_a_rule_without_a_threshold_has_no_curves():
    rule = replay(np.where(np.arange(300) % 50 < 3, 1, np.nan), text="absent(lag)")
    figure = plots.rule_figure(rule)
    assert len(figure.axes) == 1
    assert titles(figure)[0].startswith("HighConsumerLag as it is: 6 false pages")


def test_the_front_shows_what_beats_the_rule(life, advised):
    points = front(life, [advised.proposed.candidate, advised.current.candidate], firing_ratio=BUDGET.firing_ratio)
    figure = plots.front_figure(life, points, BUDGET, advised.proposed)
    [ax] = figure.axes
    now = life.score()
    assert titles(figure)[0].startswith("Proposed: ")
    markers = {line.get_marker(): line for line in ax.lines if line.get_marker() in "Ds"}
    assert float(markers["D"].get_xdata()[0]) == now.false_pages_per_week
    assert float(markers["D"].get_ydata()[0]) == now.worst_delay_ms / MINUTE_MS
    assert [text.get_text() for text in ax.texts] == ["0", "0", "a"]
    # The letter stands at a point that the proposal does not beat in this past.
    new, (pages, delay) = life.score(advised.proposed.threshold, for_ms=advised.proposed.for_ms), ax.texts[2].xy
    assert pages <= new.false_pages_per_week
    assert delay <= new.worst_delay_ms / MINUTE_MS
    assert (pages, delay) != (new.false_pages_per_week, new.worst_delay_ms / MINUTE_MS)


def svg_tree(figure, alt="what it shows"):
    text = svg_text(figure, "p1", alt=alt)
    return text, ElementTree.fromstring(text.replace("&nbsp;", " "))


def test_an_embedded_picture_names_no_address_and_follows_the_page(life):
    text, tree = svg_tree(plots.rule_figure(life), alt='<b> "quoted" & more')
    assert tree.attrib["role"] == "img"
    assert tree.find("title").text == '<b> "quoted" & more'
    assert "http" not in text
    assert "var(--ink)" in text
    assert "var(--paper)" in text
    assert "#1b1e23" not in text
    ids = re.findall(r'\sid="([^"]*)"', text)
    assert len(ids) == len(set(ids))
    assert all(name.startswith("p1-") for name in ids)
    for used in re.findall(r'url\(#([^)]*)\)|href="#([^"]*)"', text):
        assert "".join(used) in ids
    assert text == svg_text(plots.rule_figure(life), "p1", alt='<b> "quoted" & more')


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_are_only_text_in_pictures(text):
    values = np.zeros((2, 400))
    values[0, 125:160] = 50
    labels = [Labels({"topic": text}), Labels({"topic": "plain"})]
    rule = replay(values, labels=labels, name=text, incidents=[incident(text, 2)])
    drawn, tree = svg_tree(plots.rule_figure(rule), alt=text)
    assert "<script" not in drawn
    assert "\u202e" not in drawn
    assert "\x1b" not in drawn
    shown = {"".join(node.itertext()).strip() for node in tree.iter("text")}
    plain = {"\u202eevil\u202c": "\\u202eevil\\u202c", "\x1b[31mred": "\\x1b[31mred", "two\nlines": "two\\nlines"}
    assert plain.get(text, text) in shown


def test_characters_without_a_glyph_warn_nobody():
    rule = replay(np.zeros(60), labels=[Labels({"topic": "\u6ce8\u6587\U0001f525"})], incidents=[incident("\u6ce8", 0)])
    assert png_bytes(plots.rule_figure(rule), 50)


def test_pictures_leave_the_user_s_settings_alone(life):
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    with mpl.rc_context({"text.usetex": True, "font.size": 40, "text.parse_math": True}):
        figure = plots.rule_figure(life)
        assert figure.axes[0].title.get_fontsize() == 10.5
        png_bytes(figure, 40)
        assert mpl.rcParams["font.size"] == 40
    assert dict(mpl.rcParams) == before


def test_notebooks_show_pictures_without_pyplot():
    code = (
        "import sys, numpy as np\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "from tests.report.samples import replay\n"
        "from kmon_analysis.report.plots import rule_figure\n"
        "data, meta = InteractiveShell.instance().display_formatter.format(rule_figure(replay(np.arange(60.0))))\n"
        "assert data['image/png'].startswith(b'\\x89PNG'), data.keys()\n"
        "assert meta['image/png']['width'] == 816, meta\n"
        "assert 'alt=\"HighConsumerLag at 10' in data['text/html'], data['text/html'][:200]\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    pytest.importorskip("IPython")
    run = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_pictures_in_notebooks_have_words_that_are_no_markup():
    name = '"><script>alert(1)</script>\u202e $\\frac{1}{2}$'
    figure = plots.rule_figure(replay(np.arange(60.0), name=name))
    style, _, head = figure._repr_html_().partition(" src=")[0].partition("</style><img ")
    assert style == f"<style>{DARK_STYLE}"
    assert head.startswith('class="kmon-figure" alt="&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;\\u202e ')
    assert "<" not in head
    assert "False pages at every threshold" in head


def test_drawing_modules_are_light_to_import():
    code = "import sys, kmon_analysis.report.plots; print('matplotlib' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("low", "high", "least", "marks", "kind"),
    [
        (0, 100, 1, [50], "linear"),
        (0, 1e6, 1, [1000], "symlog"),
        (500, 1e6, 500, [1000], "log"),
        (-3, 1e8, 1, [1000], "symlog"),
        (0, 5e5, 0.001, [], "symlog"),
        (np.nan, np.nan, np.nan, [], "linear"),
        (7, 7, 7, [7], "linear"),
        (-1e6, 3, 1, [-10], "symlog"),
    ],
)
def test_scales_let_range_and_marks_be_read(low, high, least, marks, kind):
    scale = scale_for(low, high, least, marks)
    assert scale.kind == kind
    known = [v for v in (low, high, *marks) if np.isfinite(v)]
    assert all(scale.low <= v <= scale.high for v in known)
    bounds = scale.bounds(50)
    assert len(bounds) == 51
    assert (np.diff(bounds) > 0).all()
    assert (bounds[0], bounds[-1]) == (scale.low, scale.high)


def test_pixels_are_even_on_the_axis_they_are_for():
    for scale in (Scale("symlog", -50.0, 1e6, 100.0), Scale("log", 2.0, 1e5), Scale("linear", -1.0, 4.0)):
        ax = one_axes()
        set_scale(ax, "x", scale)
        pixels = ax.transData.transform(np.column_stack([scale.bounds(20), np.zeros(21)]))[:, 0]
        assert np.diff(pixels) == pytest.approx(np.full(20, np.diff(pixels).mean()), rel=1e-6)


def test_a_setting_with_another_hold_has_its_own_curve(life):
    proposed = Setting(2000.0, None, 15 * MINUTE_MS, 0, None)
    ax = one_axes()
    plots.pages_axes(ax, life, BUDGET, proposed=proposed)
    assert {"false, for 5m (now)", "false, for 15m", "all pages, for 15m"} <= set(legend_of(ax))
