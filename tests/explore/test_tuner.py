"""The tuner without a browser: what it turns, what it answers, what it shows where there are no widgets."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kmon_analysis.backtest import rule as rule_module
from kmon_analysis.backtest.run import backtest
from kmon_analysis.backtest.signal import make_signal
from kmon_analysis.errors import ExpressionError, KmonError, SettingError
from kmon_analysis.explore import model as computing
from kmon_analysis.explore import tuner as turning
from kmon_analysis.explore import widget as front
from kmon_analysis.explore.choices import STOPS, guard_of, read_duration, read_threshold, signal_scale, threshold_stops
from kmon_analysis.explore.counting import FALSE
from kmon_analysis.explore.model import TunerModel
from kmon_analysis.explore.packets import LISTED, lists_of, picture_of, ticks, view_of
from kmon_analysis.incidents import Incidents
from kmon_analysis.labels import Labels
from kmon_analysis.recommend.verdict import recommend
from kmon_analysis.report.figure import scale_for
from kmon_analysis.rules.reader import parse_rules
from kmon_analysis.series import Grid
from kmon_analysis.timing import HOUR_MS, MINUTE_MS, Interval
from tests.explore.world import HOSTILE, START, TRUTH, history, world

NAME = "HighConsumerLag"
RESULT = world()


@pytest.fixture
def tuner():
    return RESULT.explore(NAME)


def instants(text, period):
    """Read what the browser draws: the inverse of what the packets write."""
    return (period.start_ms + np.cumsum([int(step) for step in text.split(",")])).tolist() if text else []


def heard(tuner, **content):
    """Send one message as the browser does and return the answer."""
    tuner.widget._heard(tuner.widget, {"kind": "move", "seq": 7, **content}, [])
    return json.loads(tuner.widget.view)


# ---- what it turns ------------------------------------------------------------------------------


def test_a_move_turns_what_it_names_and_nothing_else(tuner):
    before = tuner.setting
    view = tuner.move(threshold=250, for_="90s")
    assert tuner.setting == replace(before, threshold=250.0, for_ms=90_000)
    assert view.tally.pages == RESULT[NAME].score(250.0, for_ms=90_000)._count("true", "duplicate", "false", "excluded")
    tuner.move(window="3m", hours="Mon-Fri 08:00-18:00", zone="Europe/Berlin", group_by=("topic",))
    assert tuner.setting.window_ms == 3 * MINUTE_MS
    assert tuner.setting.hours == "and on() (hour() >= 7 < 16) and on() (day_of_week() >= 1 <= 5)"
    assert tuner.hours == ("Mon-Fri 08:00-18:00", "Europe/Berlin")
    assert tuner.group_by == ("topic",)
    tuner.move(hours="as deployed", group_by=None)
    assert (tuner.setting.hours, tuner.hours) == (before.hours, ("as deployed", ""))
    tuner.move(hours="and on() (hour() < 3)")
    assert tuner.hours == ("and on() (hour() < 3)", "")
    tuner.move(hours="at all hours")
    assert tuner.setting.hours is None


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"threshold": "a lot"}, "no threshold"),
        ({"threshold": math.nan}, "no threshold"),
        ({"threshold": math.inf}, "no threshold"),
        ({"for_": "soon"}, "not a duration"),
        ({"for_": -1}, "for: -1 has no unit"),
        ({"window": "0"}, "holds nothing"),
        ({"window": -5}, "window: -5 has no unit"),
        ({"hours": "Blursday 08:00-09:00"}, "Blursday"),
        ({"hours": "08:00-09:00", "zone": "Europe/Nowhere"}, "no time zone"),
        ({"hours": "and lag > 3"}, "no guard of hours"),
        ({"hours": "and on() (hour() < 3)", "zone": "Mars/Base"}, "no time zone"),
        ({"treshold": 3}, "no knob 'treshold'\\n  Did you mean 'threshold'\\? The knobs are threshold, window, for_"),
        ({"group_by": ("topik",)}, "no alert has the label 'topik'\\n  Did you mean 'topic'\\?"),
    ],
)
def test_a_wrong_value_turns_nothing(tuner, knobs, words):
    with pytest.raises(KmonError, match=words):
        tuner.move(**knobs)
    assert tuner.setting == tuner.model.deployed


def test_a_knob_that_a_rule_has_not_does_not_turn():
    tuner = RESULT.explore("NoThreshold")
    for knobs in ({"threshold": 5}, {"window": "5m"}):
        with pytest.raises(SettingError, match=r"no threshold that can turn|no single window"):
            tuner.move(**knobs)
    assert tuner.model.choices.thresholds == tuner.model.choices.windows_ms == tuner.model.choices.hours == ()
    assert "'or'" in tuner.model.choices.reason


def test_it_begins_where_the_advice_stands_and_gives_it_back():
    advice = recommend(RESULT, max_delay="30m", false_pages_per_week=50)
    assert advice.explore("LowRate").advice is advice
    chosen = RESULT.explore(NAME)
    chosen.move(threshold=300)
    advice = chosen.use()
    assert chosen.advice is advice
    following = advice.explore(NAME)
    assert following.setting == chosen.setting
    assert list(advice) == [NAME]
    other = advice.explore("LowRate")
    other.move(threshold=5)
    assert list(other.use()) == [NAME, "LowRate"]


def test_one_rule_of_a_result_opens_the_tuner_too():
    tuner = RESULT[NAME].explore()
    assert (tuner.name, tuner.advice.backtest) == (NAME, RESULT)
    advice = RESULT.explore(NAME)
    advice.turn(threshold=333)
    advice = advice.use()
    following = advice[NAME].explore()
    assert following.setting.threshold == 333
    assert following.advice is advice
    assert [following.use()[NAME].verdict, advice[NAME].taken_from] == ["tuned", (advice, NAME)]
    with pytest.raises(SettingError, match="which backtest HighConsumerLag is part"):
        RESULT.results[NAME].explore()
    with pytest.raises(SettingError, match="which advice HighConsumerLag is part"):
        advice.rules[NAME].explore()


@pytest.mark.parametrize("group_by", [None, (), ("topic",)])
def test_the_advice_counts_as_the_tuner_showed(group_by):
    tuner = RESULT.explore(NAME)
    tuner.turn(threshold=150, for_="1m", group_by=group_by)
    shown, deployed = tuner.view.numbers, tuner.model.deployed_numbers(group_by)
    entry = tuner.use()[NAME]
    for numbers, score in ((shown, entry.past_proposed), (deployed, entry.past_current)):
        assert (numbers.pages, numbers.false_pages) == (len(score.pages), score.false_pages)
        assert (numbers.incidents, numbers.caught) == (score.incidents, score.caught)
        assert numbers.delay_worst_ms == score.worst_delay_ms
    assert entry.group_by == group_by
    again = tuner.advice[NAME].explore()
    assert (again.group_by, again.view.numbers) == (group_by, shown)


def test_tiers_of_one_name_open_as_themselves():
    tiers = "".join(f"  - alert: Lag\n    expr: lag > {threshold}\n" for threshold in (100, 400))
    result = world(f"groups:\n- name: kafka\n  rules:\n{tiers}")
    name = "Lag (kafka, rule 2)"
    assert result[name].explore().setting.threshold == 400


def test_a_rule_that_is_not_there_is_named():
    with pytest.raises(KmonError, match="HighConsumerLag"):
        RESULT.explore("HighConsumerLap")


# ---- what it answers ----------------------------------------------------------------------------


def test_the_widget_answers_with_the_numbers_of_the_model(tuner):
    stops = tuner.model.choices.thresholds
    told = heard(tuner, threshold_stop=180)
    assert (told["seq"], told["wrong"], told["message"]) == (7, False, "")
    assert tuner.setting.threshold == stops[180]
    assert told["numbers"]["chosen"]["pages"] == tuner.view.numbers.pages
    assert told["values"]["threshold_stop"] == 180
    assert heard(tuner, threshold="1,234.5")["values"]["threshold"] == "1234.5"
    assert heard(tuner, reset=True)["values"]["threshold"] == "100"


def test_the_widget_says_what_was_wrong_and_answers_still(tuner):
    told = heard(tuner, window="never")
    assert told["wrong"]
    assert "not a duration" in told["message"]
    assert heard(tuner, for_stop=99)["values"]["for_stop"] == len(tuner.model.choices.fors_ms) - 1
    tuner.widget._heard(tuner.widget, "nonsense", [])
    assert heard(tuner, kind="use")["message"].startswith("Written into the advice: Chosen by hand")


def exported(tuner):
    return json.loads(tuner.widget.view)["export"]


def test_what_the_export_holds_is_always_said():
    given = recommend(RESULT, max_delay="30m", false_pages_per_week=50)["LowRate"]
    advice = RESULT.explore(NAME)
    advice.turn(threshold=300)
    advice = advice.use()
    entry = replace(advice.rules[NAME], by_hand=False)
    proposing = replace(advice, rules={NAME: entry})
    tuner = proposing.explore(NAME)
    assert given.rule == "LowRate"
    assert exported(tuner) == "in the export: threshold 300 · window 5m · for 2m (proposed)"
    heard(tuner, threshold="0.25")
    assert "300" in exported(tuner)
    heard(tuner, kind="use")
    assert exported(tuner) == "in the export: threshold 0.25 · window 5m · for 2m (chosen by hand)"
    told = heard(tuner, reset=True)
    assert (tuner.setting, "0.25" in told["export"]) == (tuner.model.deployed, True)
    assert told["message"].endswith('The export stays as it is until "use these values".')
    assert "Taken back" in heard(tuner, kind="use")["message"]
    assert exported(tuner) == "in the export: threshold 100 · window 5m · for 2m (deployed, unchanged)"
    assert heard(tuner, propose=True)["values"]["threshold"] == "300"
    heard(tuner, kind="use")
    assert tuner.advice.rules[NAME] is entry
    assert exported(tuner).endswith("(proposed)")
    plain = RESULT.explore(NAME)
    assert json.loads(plain.widget.view)["can_propose"] is False
    plain.turn(threshold=120, hours="at all hours", group_by="topic")
    plain.use()
    assert exported(plain) == (
        "in the export: threshold 120 · window 5m · for 2m · at all hours · one page for topic (chosen by hand)"
    )


def test_messages_are_one_line_and_name_no_option(tuner):
    for content in ({"threshold": "abc"}, {"hours": "Mon-Fri 9-17"}, {"zone": "Mars/Base"}, {"window": "never"}):
        told = heard(tuner, **content)
        assert told["wrong"]
        assert "\\n" not in told["message"]
        assert "\n" not in told["message"]
        assert "--" not in told["message"]
        assert told["message"].endswith(".")
    assert heard(tuner, threshold="abc")["message"] == "'abc' is no threshold. Give a number, for example 12000 or 0.5."


def test_a_move_returns_the_comparison_and_shows_the_hours_as_written(tuner):
    view = tuner.move(threshold=250, hours="Mon-Fri 08:00-18:00", zone="Europe/Berlin")
    words = "Mon-Fri 08:00-18:00 Europe/Berlin (09:00-18:00 in summer, 08:00-17:00 in winter)"
    assert len(repr(view)) < 2000
    assert str(START) not in repr(view)
    for shown in (view._repr_html_(), tuner._repr_html_()):
        assert words in shown
    assert f"{words}: and on() (hour()" in tuner.use()[NAME].headline
    assert ["median delay", "needs 6 found", "needs 6 found"] in view.table[1]


def test_a_move_from_python_is_shown(tuner):
    assert json.loads(tuner.widget.view)["values"]["threshold"] == "100"
    tuner.move(threshold=321)
    assert json.loads(tuner.widget.view)["values"]["threshold"] == "321"


@given(st.integers(-(10**6), 10**10), st.integers(-(10**6), 10**10))
@settings(max_examples=60, deadline=None)
def test_any_period_lies_inside_the_history(start, length):
    whole = WIDGET.tuner.model.replay.period
    heard(WIDGET.tuner, period=[START + start, START + start + length])
    shown = WIDGET.tuner.widget._period
    assert whole.start_ms <= shown.start_ms < shown.end_ms <= whole.end_ms


class WIDGET:
    """One tuner for all examples."""

    tuner = RESULT.explore(NAME)


def test_a_list_of_pages_ends_somewhere():
    model = TunerModel(RESULT, NAME)
    noisy = replace(model.deployed, threshold=45.0, for_ms=0)
    view = model.at(noisy)
    told = lists_of(model, view)
    assert view.tally.pages > LISTED
    assert (len(told["pages"]), told["more_pages"]) == (LISTED, view.tally.pages - LISTED)
    period = model.replay.period
    marks = instants(view_of(model, view, period)["marks"]["false"], period)
    assert 0 < len(marks) <= 1000
    assert set(marks) <= {*view.tally.starts[view.tally.kinds == FALSE].tolist()}


def test_lists_come_when_they_are_asked_for(tuner):
    before = tuner.widget.lists
    told = heard(tuner, threshold_stop=180)
    assert tuner.widget.lists == before
    tuner.widget._heard(tuner.widget, {"kind": "lists"}, [])
    lists = json.loads(tuner.widget.lists)
    assert lists["at"] == told["at"] != json.loads(before)["at"]
    assert len(lists["pages"]) == told["numbers"]["chosen"]["pages"]
    assert {each["id"] for each in lists["incidents"] if each["found"]} == {
        incident.id
        for incident in TRUTH.incidents
        if [incident.interval.start_ms, incident.interval.end_ms, 1] in told["found"]
    }
    told = heard(tuner, threshold_stop=20, lists=True)
    assert json.loads(tuner.widget.lists)["at"] == told["at"]
    # Turned from Python without showing it: whoever asks for the lists sees that, too.
    tuner.turn(threshold=333)
    tuner.widget._heard(tuner.widget, {"kind": "lists"}, [])
    assert json.loads(tuner.widget.view)["values"]["threshold"] == "333"
    assert json.loads(tuner.widget.lists)["at"] == json.loads(tuner.widget.view)["at"]


# ---- what is drawn ------------------------------------------------------------------------------


def test_no_peak_is_lost_at_any_width():
    model = TunerModel(RESULT, NAME)
    signal = model.replay.signal()
    for period in (model.replay.period, Interval(START + 9 * HOUR_MS, START + 12 * HOUR_MS)):
        for columns in (200, 1000):
            picture = picture_of(model, model.deployed, None, period, columns)
            points = np.frombuffer(picture.points, dtype="<f4")
            scale = model.scale(model.deployed)
            inside = (signal.times >= period.start_ms) & (signal.times < period.end_ms)
            at = 0
            drawn = {}
            for line in picture.head["lines"]:
                size = line["size"]
                x, y = points[at : at + size], points[at + size : at + 2 * size]
                at += 2 * size
                assert np.nanmin(x) >= -0.01
                assert np.nanmax(x) <= 1.01
                drawn[line["name"]] = (np.nanmin(y), np.nanmax(y))
            assert at == len(points)
            values = signal.values()[:, inside]
            names = {f"{labels['consumergroup']} · {labels['topic']}": row for row, labels in enumerate(signal.labels)}
            assert drawn.keys() == names.keys()
            for name, (low, high) in drawn.items():
                row = values[names[name]]
                wanted = scale.places(np.array([np.nanmin(row), np.nanmax(row)]))
                np.testing.assert_allclose((low, high), wanted, atol=1e-6)


@pytest.mark.parametrize("name", [NAME, "LowRate"])
def test_states_are_those_of_every_evaluation(name):
    model = TunerModel(RESULT, name)
    period = Interval(START + 9 * HOUR_MS, START + 13 * HOUR_MS)
    for threshold in model.choices.thresholds[::40]:
        view = model.at(replace(model.deployed, threshold=threshold), period=period, columns=100_000)
        firing = RESULT[name].firing()
        level = RESULT[name].level(threshold)
        fires = np.any([firing.fires(row, level) for row in range(len(firing.signal.groups))], axis=0)
        above = [rank > group.index(level) for group in firing.signal.groups for rank in group.ranks]
        active = np.any(above, axis=0)
        for runs, wanted in ((view.firing, fires), (view.pending, active & ~fires)):
            for at in firing.signal.times[
                (firing.signal.times >= period.start_ms) & (firing.signal.times < period.end_ms)
            ]:
                inside = any(start <= at < start + length for start, length in runs)
                assert inside == wanted[np.searchsorted(firing.signal.times, at)]


@given(
    values=st.lists(st.one_of(st.floats(), st.floats(0, 1e6), st.sampled_from([0.0, 1.0, -5.0])), max_size=30),
    mark=st.floats(-1e9, 1e9),
    op=st.sampled_from([">", "<", ">=", "<="]),
)
@settings(max_examples=200, deadline=None)
def test_any_data_gives_a_slider(values, mark, op):
    levels = np.array([values or [np.nan]], dtype=np.float64)
    levels = np.where(np.isnan(levels), -np.inf, -levels if op.startswith("<") else levels)
    signal = make_signal([Labels({"a": "b"})], np.arange(levels.shape[1]) * 60_000, levels, op)
    stops = threshold_stops(signal, [mark])
    assert mark in stops
    assert list(stops) == sorted(set(stops))
    assert 2 <= len(stops) <= STOPS + 2
    assert all(math.isfinite(stop) for stop in stops)
    scale = signal_scale(signal, [mark])
    places = scale.places(np.array(stops))
    assert np.all(np.diff(places) >= 0)
    assert all(0 <= place <= 1 and isinstance(text, str) for place, text in ticks(scale))


@pytest.mark.parametrize(
    "scale",
    [
        scale_for(0.0, 100.0, 1.0, [50]),
        scale_for(1.0, 1e6, 1.0, [10.0]),
        scale_for(-50.0, 1e8, 1.0, [1000.0]),
        scale_for(0.9, 1.1, 0.9, [1.0]),
        scale_for(math.nan, math.nan, math.nan, []),
    ],
    ids=lambda scale: f"{scale.kind}-{scale.high:g}",
)
def test_places_on_an_axis_are_where_matplotlib_puts_them(scale):
    from matplotlib.figure import Figure

    from kmon_analysis.report.figure import set_scale

    ax = Figure().add_subplot()
    set_scale(ax, "y", scale)
    values = np.array([scale.low, *np.linspace(scale.low, scale.high, 7)[1:-1], scale.high])
    points = np.column_stack([np.zeros(len(values)), values])
    shown = ax.transAxes.inverted().transform(ax.transData.transform(points))[:, 1]
    np.testing.assert_allclose(scale.places(values), shown, atol=1e-9)


# ---- memory, and looking ahead ------------------------------------------------------------------


def test_what_is_kept_is_bounded_and_what_is_asked_for_stays(monkeypatch):
    model = TunerModel(RESULT, NAME)
    one = model.track(model.deployed, None).bytes
    monkeypatch.setattr(computing, "KEPT_BYTES", int(3.5 * one))
    for minutes in range(10):
        setting = replace(model.deployed, for_ms=minutes * MINUTE_MS)
        model.track(setting, None)
        assert sum(kept.bytes for kept in model._tracks.values()) <= 3.5 * one
        assert [*model._tracks][-1][3] == minutes * MINUTE_MS
    monkeypatch.setattr(computing, "KEPT_BYTES", 0)
    model.track(model.deployed, None)
    assert len(model._tracks) == 1


def every_move(tuner, zone="Europe/Berlin"):
    """List the moves of one knob that the browser can make without typing."""
    choices = tuner.model.choices
    return [
        *({"window_stop": place} for place in range(len(choices.windows_ms))),
        *({"hours": text, "zone": zone} for text in choices.hours),
        *({"group": place} for place in range(len(choices.group_by))),
        *({"for_stop": place} for place in range(len(choices.fors_ms))),
        *({"threshold_stop": place} for place in range(0, len(choices.thresholds), 20)),
    ]


def asked_ahead(tuner, moves, told=lambda: None):
    """Ask as the browser does until every move is answered; return the answers, and the pictures by their keys."""
    sent, answers, pictures = [], {}, {}
    tuner.widget.send = lambda content, buffers=(): sent.append((content, buffers))
    left = list(moves)
    while left:
        tuner.widget._heard(tuner.widget, {"kind": "prepare", "moves": left, "pictures": [*pictures]}, [])
        content, buffers = sent[-1]
        assert content["failed"] == []
        for move, answer in zip(content["moves"], content["answers"], strict=True):
            answers[json.dumps(move)] = json.loads(answer)
        for head, points in zip(map(json.loads, content["heads"]), buffers, strict=True):
            assert head["key"] not in pictures
            pictures[head["key"]] = (head, points)
        left = [move for move in left if json.dumps(move) not in answers]
        told()
        assert len(sent) < 200
    return answers, pictures


@pytest.mark.parametrize("name", [NAME, "LowRate", "NoThreshold"])
def test_an_answer_ahead_is_that_of_the_move(name):
    tuner = world().explore(name)
    if name == NAME:
        heard(tuner, threshold_stop=150, hours="06:00-22:00", zone="UTC", fit=True)
    here, before = tuner.stand, tuner.widget.view
    answers, pictures = asked_ahead(tuner, every_move(tuner))
    assert (tuner.stand, tuner.widget.view) == (here, before)
    assert len({answer["picture"] for answer in answers.values()}) >= (6 if name == NAME else 1)
    own = {"seq", "message", "wrong", "export", "can_propose"}
    for move, answer in answers.items():
        tuner.setting, tuner.group_by, tuner._hours = here.setting, here.group_by, here.chosen_hours
        told = heard(tuner, **json.loads(move))
        assert answer == {key: value for key, value in told.items() if key not in own}
        head, points = pictures[answer["picture"]]
        assert (head, points) == (json.loads(tuner.widget.picture), tuner.widget.points)
        fresh = picture_of(
            tuner.model, tuner.setting, tuner.group_by, tuner.widget._period, tuner.widget._columns, fit=name == NAME
        )
        assert (json.loads(json.dumps(fresh.head)), fresh.points) == (
            {key: value for key, value in head.items() if key != "key"},
            points,
        )


def test_all_that_an_answer_depends_on_is_in_its_place():
    tuner = RESULT.explore(NAME)
    heard(tuner, threshold_stop=150)
    seen = set()
    for move in (
        *({"threshold": text} for text in ("100", "100.00000000000001")),
        *({"for": text} for text in ("90s", "91s")),
        *({"window": text} for text in ("3m", "4m")),
        # The same guard in other words is shown as other words.
        *({"hours": "08:00-18:00", "zone": zone} for zone in ("UTC", "Africa/Abidjan")),
        {"group": 1},
        {"fit": True},
        {"columns": 500},
        {"period": [START + HOUR_MS, START + 9 * HOUR_MS]},
    ):
        seen.add(json.dumps(heard(tuner, **move)["at"]))
    assert len(seen) == 12


def test_looking_ahead_computes_one_part_at_a_time(monkeypatch):
    tuner = world().explore(NAME)
    assert tuner.widget.view
    done, parts = [], []
    for place in ("track", "alert_signal", "picture_of"):
        home = {"track": computing, "alert_signal": rule_module, "picture_of": front}[place]
        real = getattr(home, place)
        monkeypatch.setattr(
            home, place, lambda *given, real=real, place=place, **how: (done.append(place), real(*given, **how))[1]
        )

    def told():
        parts.append(tuple(done))
        done.clear()

    moves = every_move(tuner)
    asked_ahead(tuner, moves, told)
    assert all(len(part) - part.count("picture_of") <= 1 for part in parts)
    assert ("alert_signal",) in parts[:4]
    # Now every stop is there: a move counts, and evaluates and draws nothing.
    for move in moves:
        tuner.setting = tuner.model.deployed
        tuner.group_by = None
        told = heard(tuner, **move)
        assert told["numbers"]["chosen"]["pages"] >= 0
        assert done == []


def test_a_series_keeps_its_colour_in_every_stretch_of_time():
    topics = tuple(f"topic-{place:02}" for place in range(9))
    truth = Incidents(tuple(each for each in TRUTH.incidents if "topic" not in each.labels))
    model = TunerModel(world(topics=topics, incidents=truth), NAME)
    whole = picture_of(model, model.deployed, None, model.replay.period).head["lines"]
    kept = {line["name"].split(" · ")[-1]: line["colour"] for line in whole}
    assert len({*kept.values()}) == len(whole) == 5
    for hour in range(1, 90, 3):
        period = Interval(START + hour * HOUR_MS, START + (hour + 2) * HOUR_MS)
        lines = picture_of(model, model.deployed, None, period).head["lines"]
        assert len({line["colour"] for line in lines}) == len(lines)
        for line in lines:
            name = line["name"].split(" · ")[-1]
            assert line["colour"] == kept.get(name, line["colour"])


def test_looking_ahead_ends_where_the_memory_does(monkeypatch):
    tuner = world().explore(NAME)
    assert tuner.widget.view
    model = tuner.model
    monkeypatch.setattr(computing, "KEPT_BYTES", model.kept_bytes - 1)
    kept = len(model._tracks)
    moves = [{"for_stop": 0}, {"threshold_stop": 3}, {"group": 1}, {"threshold_stop": 4}]
    told, points = tuner.widget._prepared(moves, [json.loads(tuner.widget.picture)["key"]])
    # Thresholds cost nothing to keep.
    assert (told["moves"], told["failed"], points) == (moves[1::2], [], [])
    told, points = tuner.widget._prepared(moves[::2], [])
    assert (told["moves"], told["failed"], points) == ([], moves[::2], [])
    assert len(model._tracks) == kept


def test_a_picture_that_is_drawn_already_comes_later(tuner):
    first = tuner.widget.picture
    answers, pictures = asked_ahead(tuner, [{"window_stop": 2}])
    key = answers['{"window_stop": 2}']["picture"]
    told = heard(tuner, window_stop=2, drawn=key)
    assert (told["picture"], tuner.widget.picture) == (key, first)
    tuner.widget._heard(tuner.widget, {"kind": "picture"}, [])
    assert (json.loads(tuner.widget.picture), tuner.widget.points) == pictures[key]
    # Whoever drew something else gets it.
    told = heard(tuner, window_stop=0, drawn=key)
    assert json.loads(tuner.widget.picture)["key"] == told["picture"] != key


def test_looking_ahead_forgets_what_is_not_in_use(monkeypatch):
    tuner = world().explore(NAME)
    moves = every_move(tuner)
    asked_ahead(tuner, moves)
    signals = tuner.model.kept_bytes - sum(kept.bytes for kept in tuner.model._tracks.values())
    one = tuner.model.track(tuner.setting, tuner.group_by).bytes
    assert len(tuner.model._tracks) > 12
    tuner = world().explore(NAME)
    monkeypatch.setattr(computing, "KEPT_BYTES", signals + 6 * one)
    here = tuner.model._key(tuner.setting, tuner.group_by)

    def told():
        assert here in tuner.model._tracks
        assert tuner.model.kept_bytes <= signals + 8 * one

    answers, _ = asked_ahead(tuner, moves, told)
    assert len(answers) == len(moves)


def test_looking_ahead_passes_over_what_means_nothing():
    tuner = RESULT.explore(NAME)
    wrong = {"hours": "08:00-18:00", "zone": "Nowhere/Land"}
    told, _ = tuner.widget._prepared([wrong, {"threshold_stop": 3}], [])
    assert (told["failed"], told["moves"]) == ([wrong], [{"threshold_stop": 3}])
    assert tuner.setting == tuner.model.deployed


# ---- without widgets ----------------------------------------------------------------------------


def test_the_still_picture_uses_the_words_of_the_table(tuner):
    tuner.move(threshold=250, window="10m")
    figure = tuner.plot()
    legends = [
        text.get_text() for ax in figure.axes for text in (ax.get_legend().get_texts() if ax.get_legend() else ())
    ]
    lanes = [tick.get_text() for ax in (*figure.axes, *figure.axes[0].child_axes) for tick in ax.get_yticklabels()]
    assert "chosen: 250" in legends
    assert "deployed: 100" in legends
    assert {"chosen", "deployed"} <= set(lanes)
    assert not [text for text in (*legends, *lanes) if "proposed" in text or text.startswith("now") or "(now)" in text]


def test_a_front_end_without_widgets_gets_a_still_picture(tuner):
    tuner.move(threshold=250)
    data, _ = tuner._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert "data:image/png;base64," in data["text/html"]
    assert "threshold 250" in data["text/html"]
    assert "threshold 250" in data["text/plain"]


def test_it_works_where_the_extra_is_not_installed(monkeypatch):
    monkeypatch.setattr(turning, "find_spec", lambda name: None if name == "anywidget" else sys.modules[name])
    tuner = RESULT.explore(NAME)
    assert tuner.widget is None
    tuner.move(threshold=250)
    shown = tuner._repr_mimebundle_()
    assert shown.keys() == {"text/plain", "text/html"}
    assert tuner.use()[NAME].by_hand
    assert len(tuner.plot().axes) >= 2
    assert len(tuner.plot(Interval(START, START + 10 * HOUR_MS)).axes) >= 2


def test_rules_without_data_or_threshold_are_drawn_too():
    for name in ("NoThreshold", "Nothing", "LowRate"):
        tuner = RESULT.explore(name)
        tuner.move(for_="10m")
        assert "<img" in tuner._repr_html_()


def test_foreign_text_is_text():
    truth = Incidents(tuple(each for each in TRUTH.incidents if "topic" not in each.labels))
    tuner = world(topics=(HOSTILE, "orders"), incidents=truth).explore(NAME)
    tuner.move(threshold=200)
    for shown in (tuner._repr_html_(), repr(tuner), tuner.widget.view, tuner.widget.picture, tuner.widget.facts):
        assert "\u202e" not in shown
        assert "\x1b" not in shown
        assert "\\u202e" not in shown.replace("\\\\u202e", "")
    assert "<script" not in tuner._repr_html_()


def test_typed_values():
    assert read_threshold("\N{MINUS SIGN}1,000.5") == -1000.5
    assert read_duration("1h30m", "for") == 90 * MINUTE_MS
    assert read_duration("0", "for") == 0
    assert guard_of("Mon-Sun 00:00-24:00", "UTC", None) is None


# ---- a rule that somebody else evaluates --------------------------------------------------------


def test_a_rule_evaluated_elsewhere_turns_as_far_as_that_is_known():
    def outside(rule, clock, _offset_ms):
        if not any(f"[{window}]" in rule.text for window in ("5m", "10m")):
            raise ExpressionError("nothing of it is kept", expression=rule.text, cure="Give a server")
        height = 200 if "[5m]" in rule.text else 400
        values = np.abs(np.sin(np.arange(len(clock.times)) / 50))[None] * height
        return Grid((Labels({"topic": "orders"}),), clock.times, values, np.ones_like(values, dtype=np.bool_))

    text = "groups: [{name: g, rules: [{alert: Far, expr: 'limitk(1, rate(lag[5m])) > 100', for: 2m}]}]"
    result = backtest(parse_rules(text), history(), TRUTH, outside=outside)
    assert list(result.evaluated_by) == ["Far"]
    tuner = result.explore("Far")
    assert tuner.model.choices.windows_ms == (5 * MINUTE_MS, 10 * MINUTE_MS)
    assert tuner.model.choices.hours == ()
    five = tuner.view.numbers.pages
    ten = tuner.move(window="10m", threshold=250)
    assert (five > 0, ten.numbers.pages > 0, tuner.setting.window_ms) == (True, True, 10 * MINUTE_MS)
    for knobs in ({"window": "7m"}, {"hours": "and on() (hour() < 3)", "window": "7m"}):
        with pytest.raises(ExpressionError, match="nothing of it is kept"):
            tuner.move(**knobs)
    told = heard(tuner, window="7m")
    assert told["wrong"]
    assert tuner.setting.window_ms == 10 * MINUTE_MS
    assert tuner.move(group_by=()).tally.pages == ten.tally.pages
    far = {"window": "7m"}
    told, _ = tuner.widget._prepared([far], [])
    assert told["failed"] == [far]
    entry = tuner.use()["Far"]
    assert entry.evaluated_by == "somebody else"
    assert any("evaluated by somebody else" in reason for reason in entry.reasons)


@pytest.mark.parametrize(
    ("expr", "said"),
    [
        ("lag > 5", "lag"),
        ("sum by (topic) (rate(kafka_server_BrokerTopicMetrics_MessagesInPerSec[5m])) < 5", "Some, messages a second"),
        ("kafka_consumer_lag_sum > 5", "kafka_consumer_lag_sum, messages"),
    ],
)
def test_the_axis_says_what_is_compared_and_in_which_unit(expr, said):
    model = TunerModel(world("groups: [{name: g, rules: [{alert: Some, expr: '" + expr + "'}]}]"), "Some")
    assert picture_of(model, model.deployed, None, model.replay.period).head["unit"] == said
