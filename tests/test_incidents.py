import itertools
import json
import string
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas import NaT
from ruamel.yaml import YAML

from kmon_analysis.errors import IncidentError
from kmon_analysis.incidents import (
    STATUSES,
    Excluded,
    Incident,
    Incidents,
    Reviewed,
    format_incidents,
    parse_incidents,
    read_incidents,
)
from kmon_analysis.incidents_writer import flow_entry
from kmon_analysis.labels import Labels
from kmon_analysis.timing import HOUR_MS, MINUTE_MS, Interval

MORNING = int(datetime(2026, 3, 1, 8, tzinfo=UTC).timestamp()) * 1000
HOUR = Interval(MORNING, MORNING + HOUR_MS)

FULL = """\
# what the team wrote down
incidents:
  - id: INC-101
    start: 2026-03-01T08:00:00Z
    end: 2026-03-01T10:00:00+01:00
    labels: {topic: user.registered, partition: 3}
    rules: [HighConsumerLag, NoLeader]
    must_page: false
    kind: slow consumer
    cause: "index: rebuild"
    detected: 2026-03-01T08:20:00Z
  - id: 42
    start: '2026-03-02 08:00:00.250+00:00'
    end: 2026-03-02T08:00:01Z
    rules: HighConsumerLag
excluded:
  - {start: 2026-03-08T02:00:00Z, end: 2026-03-08T04:00:00Z, reason: maintenance, labels: {topic: user.registered}}
reviewed:
  - start: 2026-03-09T14:00:00Z
    end: 2026-03-09T14:20:00Z
    decision: noise
    labels: {topic: user.registered}
    rules: HighConsumerLag
    by: ana
    when: 2026-03-10T09:00:00+01:00
    note: "batch: nightly"
  - {start: 2026-03-09T15:00:00Z, end: 2026-03-09T15:20:00Z, decision: noise}
"""


def findings(text, **how):
    with pytest.raises(IncidentError) as caught:
        parse_incidents(text, "i.yml", **how)
    return [(f.line, f.column, f.problem, f.cure) for f in caught.value.findings]


def places(text, **how):
    return [found[:2] for found in findings(text, **how)]


def one(line, **how):
    return findings(
        f"incidents:\n  - {{id: a, start: 2026-03-01T08:00:00Z, end: 2026-03-01T09:00:00Z, {line}}}\n", **how
    )


def test_yaml_is_read_whole():
    read = parse_incidents(FULL)
    first, second = read
    assert first == Incident(
        "INC-101",
        HOUR,
        Labels({"topic": "user.registered", "partition": "3"}),
        ("HighConsumerLag", "NoLeader"),
        must_page=False,
        kind="slow consumer",
        cause="index: rebuild",
        detected_ms=MORNING + 20 * MINUTE_MS,
    )
    assert (first.line, first.column) == (3, 5)
    assert second.id == "42"
    assert second.rules == ("HighConsumerLag",)
    assert second.must_page
    assert second.interval.duration_ms == 750
    [window] = read.excluded
    assert window.reason == "maintenance"
    assert window.interval.duration_ms == 2 * HOUR_MS
    assert window.labels == Labels({"topic": "user.registered"})
    asked, bare = read.reviewed
    instant = MORNING + 9 * 24 * HOUR_MS
    assert asked == Reviewed(
        Interval(asked.interval.start_ms, asked.interval.start_ms + 20 * MINUTE_MS),
        "noise",
        {"topic": "user.registered"},
        ("HighConsumerLag",),
        "ana",
        instant,
        "batch: nightly",
    )
    assert (asked.line, asked.column) == (19, 5)
    assert (bare.by, bare.when_ms, bare.note, bare.rules) == ("", None, "", ())
    assert repr(read).startswith("2 incidents (1 must page), 1 excluded window, 2 pages reviewed as noise\n")


@pytest.mark.parametrize(
    ("entry", "place", "problem"),
    [
        ("{start: 2026-03-01T08:00:00Z, end: 2026-03-01T09:00:00Z}", (3, 5), "reviewed page 1 has no 'decision'"),
        (
            "{start: 2026-03-01T08:00:00Z, end: 2026-03-01T09:00:00Z, decision: incident}",
            (3, 72),
            "decision of reviewed page 1 is 'incident'",
        ),
        (
            "{start: 2026-03-01T08:00:00Z, end: 2026-03-01T09:00:00Z, decision: noise, when: today}",
            (3, 85),
            "when of reviewed page 1: 'today' is not an RFC 3339 instant",
        ),
        ("{end: 2026-03-01T09:00:00Z, decision: noise}", (3, 5), "reviewed page 1 has no 'start'"),
        (
            "{start: 2026-03-01T08:00:00Z, end: 2026-03-01T09:00:00Z, decision: noise, note: [x]}",
            (3, 85),
            "'note' must be a text, not a list",
        ),
        (
            "{start: 2026-03-01T08:00:00Z, end: 2026-03-01T09:00:00Z, decision: noise, buy: ana}",
            (3, 79),
            "unknown key 'buy' in reviewed page 1",
        ),
    ],
)
def test_reviewed_pages_are_checked(entry, place, problem):
    [found] = findings(f"incidents: []\nreviewed:\n  - {entry}\n")
    assert found[:3] == (*place, problem)
    assert found[3]


def plain_yaml(text):
    """Read as most tools do: YAML 1.1, with its guesses at types."""
    reader = YAML(typ="safe", pure=True)
    reader.version = "1.1"
    return reader.load(text)


def test_a_plain_yaml_reader_would_have_lost_the_zone():
    text = "incidents: [{id: a, start: 2026-03-01T08:00:00, end: 2026-03-01T09:00:00Z}]"
    assert plain_yaml(text)["incidents"][0]["start"] == datetime(2026, 3, 1, 8)  # noqa: DTZ001
    [(line, column, problem, cure)] = findings(text)
    assert (line, column) == (1, 28)
    assert problem == "start of incident 'a': '2026-03-01T08:00:00' has no time zone"
    assert "2026-03-01T08:00:00Z" in cure


@pytest.mark.parametrize("empty", ["incidents: []\n", "incidents:\n", "incidents: []\nexcluded:\n"])
def test_no_incidents_is_a_list(empty):
    assert parse_incidents(empty) == Incidents()


def test_all_faults_are_reported_at_once_with_places():
    text = """\
incidents:
  - id: a
    strat: 2026-03-01T08:00:00Z
    end: 2026-03-01T09:00:00Z
  - id: a
    start: 2026-03-01T09:00:00Z
    end: 2026-03-01T08:00:00Z
  - start: yesterday
    end: 2026-03-01T08:00:00Z
    labels: [topic]
    must_page: maybe
  - just text
excluded:
  - start: 2026-03-01T08:00:00Z
    end: 2026-03-01T08:00:00Z
    raeson: x
"""
    found = findings(text)
    assert [f[:2] for f in found] == [
        (2, 5), (3, 5), (5, 9), (7, 10), (8, 5), (8, 12), (10, 13), (11, 16), (12, 5), (15, 10), (16, 5),
    ]  # fmt: skip
    problems = [f[2] for f in found]
    assert problems[0] == "incident 'a' has no 'start'"
    assert problems[1] == "unknown key 'strat' in incident 1"
    assert found[1][3] == "Did you mean 'start'?"
    assert problems[2] == "id 'a' is used twice; the first is on line 2"
    assert "ends at 2026-03-01T08:00:00Z, before it starts at 2026-03-01T09:00:00Z" in problems[3]
    assert problems[4] == "incident 3 has no 'id'"
    assert "'yesterday' is not an RFC 3339 instant" in problems[5]
    assert "must be a mapping, not a list" in problems[6]
    assert found[7][3] == "Write true or false"
    assert "when it starts" in problems[9]
    assert found[10][3] == "Did you mean 'reason'?"


def test_the_message_shows_the_line_and_a_caret():
    with pytest.raises(IncidentError) as caught:
        parse_incidents("incidents:\n  - {id: a, start: now, end: 2026-03-01T09:00:00Z}\n", "my.yml")
    assert str(caught.value).startswith("my.yml:2:20: start of incident 'a': 'now' is not an RFC 3339 instant\n")
    assert "\n    " + " " * 19 + "^" not in str(caught.value)
    lines = str(caught.value).splitlines()
    assert lines[2].index("^") == lines[1].index("now")


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("", (1, 1), "the file is empty"),
        (" \n\n", (1, 1), "the file is empty"),
        ("# nothing\n", (1, 1), "only comments"),
        ("- id: a\n", (1, 1), "not a list"),
        ("text\n", (1, 1), "not a text"),
        ("incident: []\n", (1, 1), "unknown key 'incident'"),
        ("excluded: []\n", (1, 1), "no 'incidents'"),
        ("incidents: 3\n", (1, 12), "must be a list, not a text"),
        ("incidents: {id: a}\n", (1, 12), "must be a list, not a mapping"),
        ("incidents:\n\t- id: a\n", (2, 1), "not valid YAML"),
        ("incidents: [\n", (2, 1), "not valid YAML"),
        ("incidents: []\n---\nincidents: []\n", (3, 1), "second YAML document"),
        ("incidents: []\nincidents: []\n", (2, 1), "repeated"),
        ("incidents: [null]\n", (1, 13), "not a null"),
        ("incidents: [{? [a] : b}]\n", (1, 16), "is a list"),
    ],
)
def test_broken_files(text, place, said):
    found = findings(text)
    assert any(f[:2] == place and said in f[2] for f in found), found
    assert all(f[3] for f in found)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("labels: {topic: [a]}", "label 'topic' of incident 'a' must be a text, not a list"),
        ("labels: {topic: {a: b}}", "not a mapping"),
        ("labels: {topic: }", "label 'topic' of incident 'a' has no value"),
        ("labels: {to-pic: a}", "'to-pic' in the labels of incident 'a' is no label name"),
        ("labels: {a: b, a: c}", "repeated"),
        ("labels: topic=a", "must be a mapping, not a text"),
        ("rules: [a, a, 3, {}]", "not a mapping"),
        ("rules: [[a]]", "must be a name, not a list"),
        ("rules: [~]", "must be a name, not empty"),
        ("rules: {a: b}", "must be a name, not a mapping"),
        ("must_page: yes", "must_page of incident 'a' is 'yes'"),
        ("must_page: [true]", "'must_page' must be a text, not a list"),
        ("kind: {a: b}", "'kind' must be a text"),
        ("detected: then", "detected of incident 'a': 'then' is not an RFC 3339 instant"),
        ("detected: 2026-03-01T07:59:59Z", "detected at 2026-03-01T07:59:59Z, before it starts"),
        ("labls: {}", "unknown key 'labls'"),
        ("colour: red", "unknown key 'colour'"),
    ],
)
def test_broken_entries(line, said):
    [found] = one(line)
    assert said in found[2]
    assert found[3]


def test_anchors_and_merges_work_as_in_yaml():
    text = """\
incidents:
  - &base {id: a, start: 2026-03-01T08:00:00Z, end: 2026-03-01T09:00:00Z, labels: {topic: x}}
  - <<: *base
    id: b
"""
    first, second = parse_incidents(text)
    assert second == Incident("b", first.interval, first.labels)
    shared = "x-base: &x {owner: me}\n"
    assert places(shared + "incidents: []\n") == [(1, 1)]
    [merged] = parse_incidents(text[: text.index("  - <<")].replace("{id", "{<<: {owner: me}, id"))
    assert merged == first


HEADER = ["id", "start", "end", "labels", "rules", "must_page", "kind", "cause", "detected"]
ROWS = [
    [
        "INC-101",
        "2026-03-01T08:00:00Z",
        "2026-03-01T10:00:00+01:00",
        '"topic=user.registered,partition=3"',
        '"HighConsumerLag,NoLeader"',
        "false",
        "slow consumer",
        "index: rebuild",
        "2026-03-01T09:20:00+01:00",
    ],
    [],
    ["42", "2026-03-02 08:00:00.250+00:00", "2026-03-02T08:00:01Z", "", "HighConsumerLag", "", "", "", ""],
]


def table(separator=",", newline="\n"):
    return newline.join(separator.join(row) for row in [HEADER, *ROWS]) + newline


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_tables_say_the_same_as_yaml(separator, newline):
    text = table(separator, newline)
    expected = parse_incidents(FULL).incidents
    assert parse_incidents(text, table=True).incidents == expected
    assert parse_incidents(text.rstrip(newline), table=True).incidents == expected


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ("topic=a", {"topic": "a"}),
        (" topic = a , group = b ", {"topic": "a", "group": "b"}),
        ('"{topic=""a,b"", group=""c\\""d""}"', {"topic": "a,b", "group": 'c"d'}),
        ("topic=a;group=b", {"topic": "a", "group": "b"}),
        ("topic=http://x?y=z", {"topic": "http://x?y=z"}),
        ('"topic=a,"', {"topic": "a"}),
    ],
)
def test_labels_in_a_cell(cell, labels):
    cell = cell if cell.startswith('"') else f'"{cell}"'
    [incident] = parse_incidents(
        f"id,start,end,labels\na,2026-03-01T08:00:00Z,2026-03-01T09:00:00Z,{cell}\n", table=True
    )
    assert incident.labels == Labels(labels)


def test_faults_of_a_table_have_places():
    text = """\
id,start,end,must_page,labels
a,2026-03-01T08:00:00,2026-03-01T09:00:00Z,yes,topic
"b
c",2026-03-01T08:00:00Z,2026-03-01T07:00:00Z,,x=1;x=2
,2026-03-01T08:00:00Z
d,2026-03-01T08:00:00Z,2026-03-01T09:00:00Z,,=a,too much
"a",2026-03-01T08:00:00Z,2026-03-01T09:00:00Z,,to-pic=a
"""
    found = findings(text, table=True)
    assert [f[:2] for f in found] == [
        (2, 3),
        (2, 44),
        (2, 48),
        (4, 25),
        (4, 47),
        (5, 1),
        (5, 1),
        (6, 49),
        (7, 2),
        (7, 48),
    ]
    assert "has no time zone" in found[0][2]
    assert "cannot be read from 'topic'" in found[2][2]
    assert "before it starts" in found[3][2]
    assert "label 'x'" in found[4][2]
    assert {found[5][2], found[6][2]} == {"incident 3 has no 'id'", "incident 3 has no 'end'"}
    assert "6 cells under 5 columns" in found[7][2]
    assert found[8][2] == "id 'a' is used twice; the first is on line 2"


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("", (1, 1), "empty"),
        ("\n \n", (1, 1), "empty"),
        ("id,strat,end\n", (1, 4), "unknown column 'strat'"),
        ("id,end\n", (1, 1), "no column 'start'"),
        ("id,start,end,id\n", (1, 14), "repeated"),
        ('id,start,end\n"a,b\n', (2, 1), "a quote is not closed"),
        ('id,start,end\n"a"b,,\n', (2, 4), "'b' follows a closed quote"),
    ],
)
def test_broken_tables(text, place, said):
    found = findings(text, table=True)
    assert any(f[:2] == place and said in f[2] and f[3] for f in found), found


def test_files_are_read_by_their_ending(tmp_path):
    for name, text in [("i.yml", FULL), ("i.YAML", FULL), ("i.csv", table()), ("i.json", '{"incidents": []}')]:
        (tmp_path / name).write_text("\ufeff" + text, encoding="utf-8")
        read = read_incidents(tmp_path / name)
        assert len(read) == (0 if name.endswith("json") else 2)
        assert read.path.endswith(name)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(IncidentError, match="no such file"):
        read_incidents(tmp_path / "absent.yml")
    with pytest.raises(IncidentError, match="is a directory"):
        read_incidents(tmp_path)
    (tmp_path / "latin.yml").write_bytes("incidents: []\n# Störung\n".encode("latin-1"))
    with pytest.raises(IncidentError, match=r"latin\.yml:2:5: not UTF-8: byte 0xf6"):
        read_incidents(tmp_path / "latin.yml")


@pytest.mark.parametrize(
    ("incident", "alert", "concerned"),
    [
        ({}, {}, True),
        ({}, {"topic": "a"}, True),
        ({"topic": "a"}, {"topic": "a", "group": "g"}, True),
        ({"topic": "a"}, {"topic": "b"}, False),
        ({"topic": "a"}, {"group": "g"}, True),
        ({"topic": "a"}, {"topic": ""}, True),
        ({"topic": "a", "group": "g"}, {"topic": "a", "group": "h"}, False),
    ],
)
def test_labels_agree_on_what_both_have(incident, alert, concerned):
    made = Incident("i", HOUR, incident)
    listed = Incidents((made,), (Excluded(HOUR, labels=incident),))
    assert made.concerns("Any", alert) is concerned
    assert listed.concerning("Any", Labels(alert)) == ((made,) if concerned else ())
    assert listed.excluding(alert) == ((HOUR,) if concerned else ())


def test_an_incident_may_name_its_rules():
    made = Incident("i", HOUR, rules=("Lag", "Rate"))
    assert made.concerns("Lag", {})
    assert not made.concerns("Leader", {})
    assert (
        parse_incidents(FULL.replace("[HighConsumerLag, NoLeader]", "[Lag, Rate, Lag]"))["INC-101"].rules == made.rules
    )
    assert Incidents((made,)).check_rules(["Lag", "Rate"]) == ()
    [found] = Incidents((made,)).check_rules(["Lags", "Rate"])
    assert "'Lag', which is not in the rule file" in found.problem
    assert found.cure == "Did you mean 'Lags'?"
    [both] = Incidents((made,)).check_rules(["Other", "Rates"])
    assert "names the rules 'Lag', 'Rate', which are not in the rule file" in both.problem
    assert both.cure == "Did you mean 'Rates'?"


def minutes(start, end):
    return Interval(MORNING + start * MINUTE_MS, MORNING + end * MINUTE_MS)


def test_a_list_is_compared_with_the_span_of_a_history():
    spans = {
        "before": (-20, 0),
        "cut at start": (-5, 5),
        "inside": (0, 60),
        "cut at end": (59, 61),
        "after": (60, 70),
        "around": (-1, 61),
    }
    listed = Incidents(tuple(Incident(name, minutes(*span), line=n) for n, (name, span) in enumerate(spans.items(), 1)))
    errors, warnings = listed.check_within(HOUR)
    assert [f.line for f in errors] == [1, 5]
    assert [f.line for f in warnings] == [2, 4, 6]
    assert str(errors[0]).startswith(
        "<incidents>:1: incident 'before' ends before the history, which spans 2026-03-01T08:00:00Z"
    )
    assert [each.id for each in listed.within(HOUR)] == ["cut at start", "inside", "cut at end", "around"]


def test_ids_are_distinct_however_a_list_is_made():
    with pytest.raises(IncidentError, match="'a' is used twice"):
        Incidents((Incident("a", HOUR), Incident("a", HOUR)))


texts = st.one_of(
    st.sampled_from(
        [
            "true",
            "no",
            "null",
            "12",
            "1e3",
            "2026-03-01",
            "a: b",
            "a #b",
            "- x",
            "~",
            "é",
            "\x85\u2028",
            "'",
            '"',
            "x\n\ty",
            "=",
            "<<",
        ]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12),
)
label_sets = st.dictionaries(st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,5}", fullmatch=True), texts, max_size=3)
intervals = st.tuples(st.integers(-(10**12), 4 * 10**12), st.integers(1, 10**11)).map(
    lambda p: Interval(p[0], p[0] + p[1])
)
words = texts.map(str.strip).filter(bool)
remarks = texts | st.just("")
named_rules = st.lists(words, max_size=2, unique=True).map(tuple)
plain_incidents = st.builds(Incident, words, intervals, label_sets, named_rules, st.booleans(), remarks, remarks)
made_incidents = st.builds(
    lambda made, late, status, by: replace(
        made,
        detected_ms=None if late is None else made.interval.start_ms + late,
        status=status,
        suggested_by=by,
    ),
    plain_incidents,
    st.none() | st.integers(0, 10**9),
    st.sampled_from(STATUSES),
    named_rules,
)
made_reviews = st.builds(
    Reviewed,
    intervals,
    st.just("noise"),
    label_sets,
    named_rules,
    remarks,
    st.none() | st.integers(-(10**12), 4 * 10**12),
    remarks,
)
lists = st.builds(
    Incidents,
    st.lists(made_incidents, max_size=3, unique_by=lambda incident: incident.id).map(tuple),
    st.lists(st.builds(Excluded, intervals, texts | st.just(""), label_sets), max_size=2).map(tuple),
    st.just("<incidents>"),
    st.lists(made_reviews, max_size=2).map(tuple),
)


def everything(listed):
    """Return all incidents, whatever was decided about them."""
    return (*listed.incidents, *listed.suggested, *listed.rejected)


@given(lists)
def test_writing_and_reading_give_the_same_list(listed):
    written = format_incidents(listed)
    assert parse_incidents(written) == listed
    assert "{}" not in written.replace("incidents: []", ""), "what says nothing is not written"
    assert format_incidents(parse_incidents(written)) == written


@given(lists)
def test_entries_in_braces_say_the_same_to_readers_of_yaml_and_json(listed):
    parts = {
        key: "[" + ", ".join(map(flow_entry, entries)) + "]"
        for key, entries in (
            ("incidents", everything(listed)),
            ("excluded", listed.excluded),
            ("reviewed", listed.reviewed),
        )
    }
    text = "{" + ", ".join(f'"{key}": {part}' for key, part in parts.items()) + "}"
    assert parse_incidents(text) == listed
    assert [each["id"] for each in json.loads(text)["incidents"]] == [each.id for each in everything(listed)]


@given(lists)
def test_other_yaml_readers_see_the_same_texts(listed):
    read = plain_yaml(format_incidents(listed))
    for got, made in itertools.zip_longest(read["incidents"], everything(listed)):
        assert got["id"] == made.id
        assert got.get("labels", {}) == dict(made.labels)
        assert got.get("cause", "") == made.cause
        assert isinstance(got["start"], str)
        assert isinstance(got.get("detected", ""), str)


@given(st.text(st.sampled_from(string.printable + "é\x00"), max_size=60), st.booleans())
def test_any_text_reads_or_is_refused_with_a_place(text, as_table):
    try:
        parse_incidents(text, table=as_table)
        found = ()
    except IncidentError as error:
        found = error.findings
    assert all(f.line and f.column and f.cure for f in found)


def test_results_show_themselves_safely():
    listed = Incidents((Incident("<script>", HOUR, {"topic": "<b>"}, ("<i>",), kind="a&b"),), (Excluded(HOUR),))
    assert repr(listed).startswith("1 incident (1 must page), 1 excluded window\n  <script>  2026-03-01T08:00:00Z  1 h")
    shown = listed._repr_html_()
    for raw in ("><script>", "<b>", "<i>", "a&b"):
        assert raw not in shown
    assert "&lt;script&gt;" in shown


def test_frames_have_the_same_columns_with_and_without_rows():
    frame = parse_incidents(FULL).to_frame()
    assert list(frame.index) == ["INC-101", "42"]
    assert str(frame["start"].dt.tz) == "UTC"
    assert frame.loc["INC-101", "duration"].total_seconds() == 3600
    assert frame.loc["INC-101", "detected"] == frame.loc["INC-101", "start"] + timedelta(minutes=20)
    assert frame.loc["42", "detected"] is NaT
    assert frame.loc["INC-101", "labels"] == '{partition="3", topic="user.registered"}'
    empty = Incidents().to_frame()
    assert list(empty.columns) == list(frame.columns)
    assert (empty.dtypes == frame.dtypes).all()


# ---- suggestions ----------------------------------------------------------------------------------

DECIDED = """\
incidents:
- {id: a, start: 2026-03-01T08:00:00Z, end: 2026-03-01T09:00:00Z}
- {id: b, start: 2026-03-02T08:00:00Z, end: 2026-03-02T09:00:00Z, status: suggested, suggested_by: [HighConsumerLag]}
- {id: c, start: 2026-03-03T08:00:00Z, end: 2026-03-03T09:00:00Z, status: Rejected}
- {id: d, start: 2026-03-04T08:00:00Z, end: 2026-03-04T09:00:00Z, status: confirmed, suggested_by: HighConsumerLag}
"""


def test_only_what_is_confirmed_is_truth():
    read = parse_incidents(DECIDED)
    assert [[each.id for each in group] for group in (read, read.suggested, read.rejected)] == [
        ["a", "d"],
        ["b"],
        ["c"],
    ]
    assert "1 suggestion that nobody confirmed, 1 rejected" in repr(read)
    assert read.within(Interval(MORNING, MORNING + HOUR_MS)).suggested == ()
    assert len(read.concerning("HighConsumerLag", {})) == 2


def test_a_suggestion_is_no_truth_wherever_it_is_put():
    suggestion = Incident("s", HOUR, status="suggested")
    made = Incidents((suggestion,))
    assert (made.incidents, made.suggested) == ((), (suggestion,))
    with pytest.raises(IncidentError, match="id 's' is used twice"):
        Incidents((suggestion, replace(suggestion, status="confirmed")))


def test_undecided_suggestions_are_refused_where_they_would_count_as_ordinary_time():
    with pytest.raises(IncidentError) as caught:
        parse_incidents(DECIDED, "i.yml").require_decided()
    [finding] = caught.value.findings
    assert (finding.place, finding.problem[:22]) == ("i.yml:3:3", "'b' is a suggestion th")
    parse_incidents(DECIDED.replace("suggested,", "rejected,")).require_decided()


def test_the_circle_is_counted_for_each_rule():
    [sentence] = parse_incidents(DECIDED).check_circular()
    assert sentence.startswith("of the 2 incidents that HighConsumerLag is scored on, its own breaches suggested 1")
    other = DECIDED.replace("status: confirmed,", "rules: [Other],")
    assert parse_incidents(other).check_circular() == ()


def test_a_status_that_nobody_knows_is_named():
    [(line, _, problem, cure)] = findings(DECIDED.replace("Rejected", "resolved"))
    assert (line, problem) == (4, "status of incident 'c' is 'resolved'")
    assert cure == "Write confirmed, suggested or rejected"


def test_tables_have_a_status_too():
    text = (
        "id,start,end,status,suggested_by\n"
        "a,2026-03-01T08:00:00Z,2026-03-01T09:00:00Z,,\n"
        "b,2026-03-02T08:00:00Z,2026-03-02T09:00:00Z,suggested,A;B\n"
    )
    read = parse_incidents(text, table=True)
    assert [each.id for each in read] == ["a"]
    assert read.suggested[0].suggested_by == ("A", "B")


def test_a_table_with_columns_of_its_own_is_sent_to_the_import():
    with pytest.raises(IncidentError) as caught:
        parse_incidents("Ticket;Anfang;Ursache\n1;2;3\n".replace(";", ","), "my tickets.csv", table=True)
    assert "kmon incidents import 'my tickets.csv' --from csv" in str(caught.value)
