"""What matches nothing, or nearly everything, is said; what is as it should be is not."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import numpy as np
import pytest

from kmon_analysis.backtest.again import with_incidents
from kmon_analysis.backtest.run import backtest
from kmon_analysis.backtest.settings import Settings
from kmon_analysis.errors import Finding, IncidentError, SettingError
from kmon_analysis.history import History, Provenance
from kmon_analysis.incidents import Excluded, Incident, Incidents
from kmon_analysis.labels import Labels
from kmon_analysis.recommend.verdict import recommend
from kmon_analysis.rules.reader import parse_rules
from kmon_analysis.series import Samples, SeriesSet
from kmon_analysis.timing import DAY_MS, HOUR_MS, MINUTE_MS, Interval, duration_of

START = 1_767_571_200_000  # Monday 2026-01-05
DAYS = 14
# Minute of each incident; the lag of its group is high for forty minutes.
BEGUN = (1_500, 4_321, 8_067, 12_345, 16_003, 18_400)
RULES = """groups:
- name: kafka
  rules:
  - alert: Lag
    expr: sum by (consumergroup) (kafka_consumergroup_lag) {condition}
    for: 5m
    labels: {{severity: page}}
"""


def history():
    rng = np.random.default_rng(5)
    times = START + np.arange(DAYS * 24 * 60, dtype=np.int64) * MINUTE_MS
    parts = []
    for place, group in enumerate(("billing", "mailer")):
        lag = rng.integers(1, 100, len(times)).astype(float)
        for number, begin in enumerate(BEGUN):
            if number % 2 == place:
                lag[begin : begin + 40] = 5_000 + 100 * number
        labels = {"__name__": "kafka_consumergroup_lag", "consumergroup": group, "topic": f"{group}-in"}
        parts.append(Samples(Labels(labels), times, lag))
    provenance = Provenance("test", START, START + DAYS * DAY_MS, scrape_interval_ms=MINUTE_MS)
    return History(SeriesSet.from_samples(parts), provenance)


def incident(number, shift_ms=0, **more):
    begin = START + BEGUN[number] * MINUTE_MS + shift_ms
    labels = {"consumergroup": ("billing", "mailer")[number % 2]}
    return Incident(f"OPS-{number}", Interval(begin, begin + HOUR_MS), **{"labels": labels, **more})


def result_of(incidents, condition="> 500", rules=None, **more):
    return backtest(parse_rules(rules or RULES.format(condition=condition)), history(), incidents, **more)


def texts(result, kind):
    return [note.text for note in result.findings if note.kind == kind]


ALL = Incidents(tuple(incident(number) for number in range(6)), path="incidents.yml")


def changed(number, **more):
    listed = [dataclasses.replace(each, **more) if each is ALL.incidents[number] else each for each in ALL]
    return dataclasses.replace(ALL, incidents=tuple(listed))


def test_a_list_that_fits_says_nothing():
    result = result_of(ALL)
    assert result.findings == ()
    assert result.scores["Lag"].caught == 6
    assert result_of(None).findings == ()


# ---- labels --------------------------------------------------------------------------------------


def test_a_misspelt_value_is_said_with_place_and_near_value():
    wrong = changed(0, labels={"consumergroup": "biling"}, line=7, column=5)
    wrong = dataclasses.replace(
        wrong, incidents=(*wrong.incidents[:2], *changed(2, labels={"consumergroup": "biling"}).incidents[2:])
    )
    result = result_of(wrong)
    [text] = texts(result, "labels")
    assert text == (
        'incidents.yml:7:5: OPS-0, OPS-2: no alert of Lag ever has consumergroup="biling" in this history, so none can '
        "find it. Did you mean 'billing'?"
    )
    assert text in repr(result)
    assert "Did you mean" in result._repr_html_()
    assert result.findings[0].incidents == ("OPS-0", "OPS-2")


def test_a_label_that_no_alert_has_is_said_with_the_one_that_has_its_value():
    [text] = texts(result_of(changed(0, labels={"group": "billing"})), "labels")
    assert text.endswith(
        "no alert of Lag and no series has the label 'group', so group=\"billing\" is ignored. "
        "Did you mean 'consumergroup'?"
    )


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        # Summed away by the rule, but there below it.
        ({"topic": "billing-in"}, None),
        (
            {"topic": "biling-in"},
            "topic=\"biling-in\" in this history, so none can find it. Did you mean 'billing-in'?",
        ),
        ({"severity": "page"}, None),
        ({"severity": "pgae"}, "Did you mean 'page'?"),
        (
            {"consumergroup": "mailer", "topic": "billing-in"},
            'ever has all of {consumergroup="mailer", topic="billing-in"}',
        ),
        ({"consumergroup": "{who}<b>\u202e"}, "{who}<b>"),
    ],
)
def test_labels_are_compared_with_alerts_and_with_the_series_below(labels, said):
    rules = RULES.format(condition="> 500").replace(
        "sum by (consumergroup) (kafka_consumergroup_lag)", "kafka_consumergroup_lag"
    )
    for text in (RULES.format(condition="> 500"), rules):
        found = texts(result_of(changed(0, labels=labels), rules=text), "labels")
        if said is None:
            assert found == []
        elif "all of" not in said or text is rules:
            [one] = found
            assert said in one


def test_hostile_labels_stay_harmless():
    result = result_of(changed(0, labels={"consumergroup": "<script>\u202e\x1b[31m"}))
    for shown in (repr(result), result._repr_html_()):
        assert "\u202e" not in shown
        assert "\x1b" not in shown
    assert "<script>\\" not in result._repr_html_()


def test_an_incident_that_some_rule_can_find_is_no_misfit_of_the_others():
    other = """
  - alert: Other
    expr: kafka_other_lag > 500
"""
    rules = RULES.format(condition="> 500").rstrip() + other
    data = history()
    times = START + np.arange(10, dtype=np.int64) * MINUTE_MS
    more = Samples(Labels({"__name__": "kafka_other_lag", "consumergroup": "x"}), times, np.ones(10))
    series = SeriesSet.from_samples([*data.series, more])
    found = backtest(parse_rules(rules), History(series, data.provenance), ALL)
    assert texts(found, "labels") == []
    named = changed(0, rules=("Other",))
    [text] = texts(backtest(parse_rules(rules), History(series, data.provenance), named), "labels")
    assert 'no alert of Other ever has consumergroup="billing"' in text


def test_an_excluded_window_for_nobody_is_said():
    window = Excluded(Interval(START, START + HOUR_MS), labels={"consumergroup": "mailr"}, line=3)
    [text] = texts(result_of(dataclasses.replace(ALL, excluded=(window,))), "labels")
    assert text.startswith("incidents.yml:3: the excluded window from 2026-01-05T00:00:00Z: no alert ever has")
    assert text.endswith("Did you mean 'mailer'?")
    fits = dataclasses.replace(window, labels={"consumergroup": "mailer"})
    assert texts(result_of(dataclasses.replace(ALL, excluded=(fits,))), "labels") == []


def test_an_incident_whose_labels_every_selector_excludes_is_said():
    rules = RULES.format(condition="> 500").replace("_lag)", '_lag{consumergroup="billing"})')
    result = result_of(changed(0, labels={"consumergroup": "biling"}), rules=rules)
    [text] = texts(result, "unconcerned")
    assert text == (
        "incidents.yml: OPS-0, OPS-1, OPS-3 and 1 more: no rule selects series with their labels, so they count nowhere"
    )


# ---- metrics, thresholds, firing -------------------------------------------------------------------


def test_a_metric_that_is_not_there_is_no_quiet_rule():
    rules = RULES.format(condition="> 500").replace("_lag)", "_lag_sum)")
    result = result_of(ALL, rules=rules)
    assert texts(result, "no data") == [
        "the history holds nothing of kafka_consumergroup_lag_sum, needed by Lag. "
        "Did you mean 'kafka_consumergroup_lag'?"
    ]
    assert [line.split() for line in repr(result).splitlines()[1:2]] == [["Lag", "no", "data", *"––––"]]
    assert result.to_frame()["has_data"].tolist() == [False]
    value = RULES.format(condition="> 500").replace("_lag)", '_lag{topic="billing-inn"})')
    assert texts(result_of(None, rules=value), "no data")[0].endswith("Did you mean 'billing-in'?")


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("> 500000", "Lag: the threshold 500,000 is never reached; highest 5,500"),
        (">= 5500", None),
        ("> 5500", "Lag: the threshold 5,500 is never reached; highest 5,500"),
        ("< 1", "Lag: the threshold 1 is never reached; lowest 1"),
        ("<= 1", None),
    ],
)
def test_a_threshold_that_is_never_reached_is_said_with_the_highest_value(condition, said):
    assert texts(result_of(ALL, condition), "never reached") == ([said] if said else [])


def test_a_rule_that_fires_all_the_time_is_said_to():
    result = result_of(ALL, "> 0.5")
    assert result.scores["Lag"].caught == 0
    busy = len(result["Lag"].signal().groups)
    [text] = texts(result, "firing")
    already = "6 of 6 incidents found it already firing, which is no catch"
    assert text == f"Lag fires 99.9% of the time, {busy} of its {busy} alerts each more than half of it; {already}"
    early = tuple(incident(number, 25 * MINUTE_MS) for number in range(6))
    late = result_of(Incidents(early))
    assert texts(late, "firing") == [
        "Lag: 6 of 6 incidents found it already firing, which is no catch: OPS-0, OPS-1, OPS-2 and 3 more"
    ]


def test_group_by_a_label_that_is_nowhere_is_said():
    found = result_of(ALL, settings=Settings(group_by=("alertname", "consumergrup")))
    assert texts(found, "group_by") == [
        "group_by: no alert has the label 'consumergrup', so it tells no pages apart. Did you mean 'consumergroup'?"
    ]
    assert texts(result_of(ALL, settings=Settings(group_by=("severity",))), "group_by") == []


@pytest.mark.parametrize(
    ("group_by", "message"),
    [
        (
            ("consumergrup",),
            "group_by: no alert has the label 'consumergrup': all pages would be one\n  Did you mean 'consumergroup'?",
        ),
        (("x", "y"), "group_by: no alert has the labels 'x', 'y': all pages would be one\n  There are alertname, cons"),
        ("topic", "group_by: 'topic' is a text, not a tuple of labels\n  Write group_by=('topic',)."),
    ],
)
def test_a_grouping_that_makes_one_page_of_everything_by_a_slip_is_refused(group_by, message):
    with pytest.raises(SettingError) as caught:
        result_of(ALL, settings=Settings(group_by=group_by))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("chosen", "recorded", "words"),
    [
        (None, None, "the history names no Prometheus release; its rules are replayed as in 3.5, unless --semantics "),
        ("2.42", None, ""),
        (None, "3.16.0", ""),
        ("9.9", "2.42.0", "Prometheus 9.9 is newer than 3.16, the newest release that the replay was compared with; "),
        (None, "3.17.1", "Prometheus 3.17.1 is newer than 3.16"),
        (None, "2.37.0", "Prometheus 2.37.0 is older than 2.42, the oldest release that the replay was compared with"),
    ],
)
def test_a_release_that_nobody_named_or_compared_is_said(chosen, recorded, words):
    data = history()
    data = History(data.series, dataclasses.replace(data.provenance, server_version=recorded))
    rules = parse_rules(RULES.format(condition="> 500"))
    result = backtest(rules, data, ALL, settings=Settings(version=chosen))
    assert result.release_note.startswith(words)
    for shown in (repr(result), result._repr_html_()):
        assert ("replayed as in" in shown) == bool(words)


@pytest.mark.parametrize(
    ("said", "cure"),
    [
        ({"group_by": "topic"}, r"no argument 'group_by'\n  Write settings=km.Settings\(group_by=\('topic',\)\)"),
        ({"incident": ALL}, "no argument 'incident'\n  Did you mean 'incidents'\\?"),
        ({"x": 1}, "no argument 'x'\n  There are rules, history, incidents, settings"),
    ],
)
def test_an_argument_that_a_backtest_has_not_is_told_with_its_place(said, cure):
    import kmon_analysis as km

    with pytest.raises(SettingError, match=cure):
        km.backtest(parse_rules(RULES.format(condition="> 500")), history(), ALL, **said)


# ---- zones ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hours", "said"),
    [
        ((1,), "1 h earlier"),
        ((2, 1), "1 h or 2 h earlier"),
        ((-5.5,), "5 h 30 min later"),
        ((8,), "8 h earlier"),
        ((0,), None),
    ],
)
def test_a_list_in_another_zone_is_asked_about(hours, said):
    listed = Incidents(
        tuple(incident(number, int(hours[number * len(hours) // 6] * HOUR_MS)) for number in range(6)), path="i.yml"
    )
    found = texts(result_of(listed), "shifted")
    wanted = [f"i.yml: is the time zone right? 6 of 6 incidents have a page {said} than listed of Lag"]
    assert found == (wanted if said else [])


@pytest.mark.parametrize("seed", range(5))
def test_incidents_anywhere_are_not_taken_for_shifted_ones(seed):
    rng = np.random.default_rng(seed)
    begun = START + rng.integers(60, DAYS * 24 * 60 - 120, 6) * MINUTE_MS
    listed = Incidents(
        tuple(Incident(f"I-{at}", Interval(int(at), int(at) + HOUR_MS)) for at in sorted(begun.tolist()))
    )
    for condition in ("> 500", "> 95", "> 180"):
        assert texts(result_of(listed, condition), "shifted") == []


# ---- incidents outside -----------------------------------------------------------------------------


def test_incidents_outside_the_history_are_left_out_by_name():
    far = Incident("OLD-1", Interval(START - 9 * DAY_MS, START - 8 * DAY_MS), line=44)
    end = START + DAYS * DAY_MS
    cut = Incident("CUT-1", Interval(end - HOUR_MS, end + HOUR_MS))
    listed = dataclasses.replace(ALL, incidents=(far, cut, *ALL.incidents))
    result = result_of(listed)
    assert texts(result, "outside") == [
        "incidents.yml:44: 1 of 8 incidents lies outside the history, which spans 2026-01-05T00:00:00Z to "
        "2026-01-19T00:00:00Z, and is left out: OLD-1"
    ]
    assert result.left_out == (far,)
    assert result.scores["Lag"].incidents == 7
    assert result.scores == with_incidents(result_of(ALL), listed).scores
    assert with_incidents(result, ALL).left_out == ()
    with pytest.raises(IncidentError, match="'OLD-1' ends before the history"):
        result_of(Incidents((far,)))


# ---- which pages -----------------------------------------------------------------------------------


def test_every_page_and_every_outcome_is_listed():
    result = result_of(ALL, "> 500")
    pages, outcomes = result.pages_frame(), result.outcomes_frame()
    began = [START + (begin + 5) * MINUTE_MS for begin in BEGUN]
    assert sorted(int(each.timestamp() * 1000) for each in pages["start"]) == began
    assert set(pages["kind"]) == {"true"}
    assert sorted(pages["incident"]) == [f"OPS-{number}" for number in range(6)]
    assert pages["labels"].iloc[0]["severity"] == "page"
    assert outcomes["status"].tolist() == ["caught"] * 6
    assert outcomes["delay_s"].tolist() == [300.0] * 6
    assert [int(each.timestamp() * 1000) for each in outcomes["first_firing"]] == began
    none = result_of(ALL, "> 500000")
    assert len(none.pages_frame()) == 0
    assert none.outcomes_frame()["status"].tolist() == ["missed"] * 6
    assert none.outcomes_frame()["first_firing"].isna().all()
    # What fires always began long before the credit windows, not at their edges.
    always = result_of(ALL, "> 0").outcomes_frame()
    assert set(always["status"]) == {"already firing"}
    assert always["first_firing"].isna().all()


def test_it_is_told_what_ended_a_page():
    whole = result_of(ALL, "> 500")
    assert set(whole.pages_frame()["ended_by"]) == {"resolved"}
    first = whole.pages_frame().iloc[0]
    begin, end = (int(first[name].timestamp() * 1000) for name in ("start", "end"))
    middle = (begin + end) // 2
    cut = whole.history.series.between(whole.history.provenance.start_ms, middle)
    later = whole.history.series.between(end + 6 * HOUR_MS, whole.history.provenance.end_ms)
    paused = History.joined(History(part, whole.history.provenance) for part in (cut, later))
    ended = backtest(whole.rules, paused, ALL).pages_frame()["ended_by"].tolist()
    assert (ended[0], set(ended[1:])) == ("gap", {"resolved"})
    stopped = History(cut, dataclasses.replace(whole.history.provenance, end_ms=middle))
    only = whole.incidents.incidents[:1]
    assert backtest(whole.rules, stopped, Incidents(only)).pages_frame()["ended_by"].tolist() == ["end of history"]


def test_a_notebook_shows_the_message_alone():
    error = IncidentError([Finding("a\u202eb", "i.yml", 3)])
    assert error._render_traceback_() == ["IncidentError: i.yml:3: a\\u202eb"]
    error.__cause__ = ZeroDivisionError("ours")
    assert "ZeroDivisionError: ours" in "".join(error._render_traceback_())


def test_a_bare_number_is_no_duration():
    assert duration_of(timedelta(minutes=15), "max_delay") == duration_of("15m", "max_delay") == 15 * MINUTE_MS
    for value in (900, 15.0, None, True):
        with pytest.raises(SettingError, match=rf"max_delay: {value!r} has no unit\n  Give a text such as \"15m\""):
            duration_of(value, "max_delay")
    with pytest.raises(SettingError, match="max_delay: 900 has no unit"):
        recommend(result_of(ALL), max_delay=900)
    with pytest.raises(SettingError, match=r"max_delay: not a duration: '5 minutes'\n  Write it as Prometheus does"):
        duration_of("5 minutes", "max_delay")
    with pytest.raises(SettingError, match=r"max_delay: .* is negative\n  Give zero or more"):
        duration_of(timedelta(minutes=-1), "max_delay")


def test_every_public_function_refuses_a_bare_number_for_a_duration(tmp_path):
    import kmon_analysis as km

    file = tmp_path / "lag.csv"
    file.write_text("time,lag\n1767571200,1\n1767571260,2\n", encoding="utf-8")
    result = result_of(ALL)
    tuner = result.explore("Lag")
    calls = {
        "scrape_interval": [
            lambda value: km.open_history(file, scrape_interval=value),
            lambda value: km.History.from_frame(history().to_frame(), scrape_interval=value),
        ],
        "sooner": [lambda value: km.postmortem(result, "OPS-0", sooner=value)],
        "for": [lambda value: tuner.move(for_=value), lambda value: tuner.turn(for_=value)],
        "neighbours": [lambda value: km.review_incidents(result, tmp_path / "new.yml", neighbours=value)],
        "last": [lambda value: km.fetch("http://127.0.0.1:1", result.rules, last=value)],
    }
    for name, each in calls.items():
        for call in each:
            with pytest.raises(SettingError, match=f"{name}: 300 has no unit"):
                call(300)
            if name != "last":
                call("5m")
                call(timedelta(minutes=5))
    assert km.open_history(file, scrape_interval=timedelta(minutes=5)).scrape_interval_ms == 5 * MINUTE_MS
    assert km.postmortem(result, "OPS-0", sooner=["5m", timedelta(minutes=1)]).ladder_ms == (MINUTE_MS, 5 * MINUTE_MS)


# ---- where else a slip would pass for a result -----------------------------------------------------


def test_a_postmortem_says_what_of_rules_and_list_nothing_in_the_history_has():
    import kmon_analysis as km
    from kmon_analysis.postmortem.content import content_of

    rules = RULES.format(condition="> 500") + RULES.format(condition="> 5").split("rules:\n")[1].replace(
        "kafka_consumergroup_lag", "kafka_consumergroup_lag_sum"
    ).replace("alert: Lag", "alert: Sum")
    wrong = changed(0, labels={"consumergroup": "<b>biling‮"}, line=7, column=5)
    wrong = dataclasses.replace(
        wrong, incidents=(*wrong.incidents[:1], *changed(2, labels={"group": "x"}).incidents[1:])
    )
    made = km.postmortem(result_of(wrong, rules=rules), "OPS-0")
    mine, metric, other = made.unmatched
    assert mine.startswith("OPS-0: no alert of Lag ever has consumergroup=")
    assert metric.endswith("lag_sum, needed by Sum. Did you mean 'kafka_consumergroup_lag'?")
    assert other.startswith("OPS-2: no alert of Lag and no series has the label 'group'")
    # A bundle keeps the list under another name and with other lines, and is compared.
    assert "incidents.yml:7" not in "".join(made.unmatched)
    for shown in (repr(made), made._repr_html_()):
        assert "in this history, so none can find it" in shown
        assert "‮" not in shown
    assert "<b>" not in made._repr_html_()
    facts = [text for term, text in content_of(made).facts if term == "Check first"]
    assert facts == list(made.unmatched)
    assert km.postmortem(result_of(ALL), "OPS-0").unmatched == ()


def test_a_review_says_so_too(tmp_path):
    import kmon_analysis as km
    from kmon_analysis.incidents import format_incidents

    listed = tmp_path / "incidents.yml"
    listed.write_text(format_incidents(changed(0, labels={"consumergroup": "biling"})), encoding="utf-8")
    review = km.review_incidents(result_of(ALL), listed)
    [text] = review.unmatched
    assert text.endswith("so none can find it. Did you mean 'billing'?")
    assert text in repr(review)
    assert "Did you mean" in review._repr_html_()
    assert "Did you mean" in review.widget().children[0].value
    listed.write_text(format_incidents(ALL), encoding="utf-8")
    assert km.review_incidents(result_of(ALL), listed).unmatched == ()


def test_an_incident_that_is_listed_twice_is_named():
    twice = dataclasses.replace(
        ALL,
        incidents=(
            *ALL.incidents,
            dataclasses.replace(incident(0), id="COPY", line=9, column=3),
            dataclasses.replace(incident(0), id="OTHER-RULES", rules=("Lag",)),
        ),
    )
    [said] = texts(result_of(twice), "repeated")
    assert said == (
        "incidents.yml:9:3: OPS-0, COPY have the same times, labels and rules: each is scored, and they are one "
        "example when tuning\n  Keep one of them."
    )


def test_an_incident_that_begins_while_the_page_of_another_one_fires_is_named():
    second = dataclasses.replace(incident(0, shift_ms=30 * MINUTE_MS), id="SECOND")
    result = result_of(dataclasses.replace(ALL, incidents=(*ALL.incidents, second)))
    said = (
        "Lag: SECOND begins while the page of OPS-0 still fires; one unbroken firing pages once, so tuning takes such "
    )
    assert texts(result, "overlapping") == [
        said + "incidents for one example. If they are one outage, merge them or give them one cause"
    ]
    assert texts(result, "firing") == []
    caused = [dataclasses.replace(each, cause="disk") for each in (ALL.incidents[0], second)]
    same = result_of(dataclasses.replace(ALL, incidents=(*caused, *ALL.incidents[1:])))
    assert texts(same, "overlapping") == [said + "incidents for one example"]


def without(whole, *spans):
    """Return the history without the samples of some minutes."""
    parts = []
    for part in whole.series:
        minute = (part.times - START) // MINUTE_MS
        kept = np.ones(len(minute), dtype=bool)
        for begin, end in spans:
            kept &= (minute < begin) | (minute >= end)
        parts.append(Samples(part.labels, part.times[kept], part.values[kept]))
    return History(SeriesSet.from_samples(parts), whole.provenance)


def test_incidents_of_which_little_was_recorded_are_named():
    rules = parse_rules(RULES.format(condition="> 500"))
    # Ten minutes of the first are there, nothing of the second and around it, and half an hour of the third.
    holes = [(1_510, 1_600), (4_200, 4_500), (8_097, 8_140)]
    result = backtest(rules, without(history(), *holes), ALL)
    assert texts(result, "barely seen") == [
        "incidents.yml: little was recorded of OPS-0 (10 min of 1 h): to miss it proves little",
        "incidents.yml: nothing was recorded around OPS-1, which is not counted",
    ]
    assert result.scores["Lag"].incidents == 5
    assert texts(result_of(ALL), "barely seen") == []
    said = recommend(result, max_delay="30m")["Lag"].reasons
    assert texts(result, "barely seen")[0] + "." in said


def test_a_refusal_says_how_much_of_the_delay_was_recorded():
    rules = parse_rules(RULES.format(condition="> 500"))
    result = backtest(rules, without(history(), (1_498, 1_600)), ALL)
    said = " ".join(recommend(result, max_delay="30m")["Lag"].reasons)
    # The last sample is taken for five minutes, two of which lie behind the start.
    assert "OPS-0 (2026-01-06) blocks: by 30 min after its start (the history has values for 2 min of it) " in said


def test_an_alert_that_cannot_be_the_incidents_is_named():
    loose = changed(0, labels={"topic": "billing-in"})
    assert texts(result_of(loose), "credited") == []
    # The mailer's alert fires for it, and no series of the mailer is of that topic.
    wrong = changed(1, labels={"topic": "billing-in"}, line=7, column=3)
    [said] = texts(result_of(wrong), "credited")
    assert said == (
        'incidents.yml:7:3: OPS-1: a page of Lag with {consumergroup="mailer"} is credited to it, but no series that '
        'it reads has these and {topic="billing-in"}. Give OPS-1 its consumergroup, too'
    )
    # A label that no series has, and one that the alert has itself, prove nothing.
    assert texts(result_of(changed(1, labels={"team": "a"})), "credited") == []
    assert texts(result_of(changed(1, labels={"consumergroup": "mailer"})), "credited") == []
