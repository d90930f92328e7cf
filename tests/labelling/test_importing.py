"""Incidents from other tools: what is taken over, what is left out, what is refused."""

import contextlib
import csv
import io
import string
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmon_analysis.errors import DataFileError, OutputError, SettingError
from kmon_analysis.incidents import Incident, Incidents, format_incidents, read_incidents
from kmon_analysis.labelling.importing import import_incidents
from kmon_analysis.labelling.merging import merge_incidents
from kmon_analysis.labelling.services import Concern, parse_services
from kmon_analysis.labels import Labels
from kmon_analysis.timing import HOUR_MS, MINUTE_MS, Interval, format_instant, parse_instant

HOSTILE = '<script>alert("x")</script>|`$\\mathrm{x}$`\u202e\x1b[31m\n- a: b'

PAGERDUTY = """\
id,incident_number,description,service_id,service_name,created_on,resolved_on,seconds_to_resolve,auto_resolved,urgency
PAAA,1,Lag of email-sender,PS1,Kafka lag,2026-03-01T09:00:00+01:00,2026-03-01T09:30:00+01:00,1800,false,high
PBBB,2,"Disk, ""full"",
on two lines",PS2,Database,2026-03-02T09:00:00+01:00,2026-03-02T09:10:00+01:00,600,true,high
PCCC,3,Still open,PS1,Kafka lag,2026-03-03T09:00:00+01:00,,,false,high
PAAA,1,Lag of email-sender,PS1,Kafka lag,2026-03-01T09:00:00+01:00,2026-03-01T09:30:00+01:00,1800,false,high
PDDD,4,Flapped,PS1,Kafka lag,2026-03-04T09:00:00+01:00,2026-03-04T09:00:00+01:00,0,true,low
"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="export.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_pagerduty(write):
    found = import_incidents(write(PAGERDUTY), "pagerduty")
    first, second = found.incidents
    assert first == Incident(
        "PAAA",
        Interval(parse_instant("2026-03-01T08:00:00Z"), parse_instant("2026-03-01T08:30:00Z")),
        cause="Lag of email-sender",
    )
    assert second.cause == 'Disk, "full",\non two lines'
    assert [(each.why, each.what) for each in found.left_out] == [
        ("it has no end yet (--open-until gives it one)", "'PCCC' (line 5)"),
        ("there twice with the same times", "'PAAA' (line 6)"),
        ("it lasted no time", "'PDDD' (line 7)"),
    ]
    assert "no service is mapped" in found.notes[0]
    assert "says that the page came, not that anything was wrong" in found.notes[-1]


def test_services_stand_for_rules_and_series(write):
    mapped = ["Kafka lag=HighConsumerLag,LowMessageRate{topic=user.registered}"]
    found = import_incidents(write(PAGERDUTY), "pagerduty", services=mapped)
    first, second = found.incidents
    assert first.rules == ("HighConsumerLag", "LowMessageRate")
    assert first.labels == Labels({"topic": "user.registered"})
    assert second.rules == ()
    assert "1 service mapped to no rule, so that each of their incidents concerns every rule: 'Database'" in found.notes
    only = import_incidents(write(PAGERDUTY), "pagerduty", services=mapped, only_mapped=True)
    assert [each.id for each in only.incidents] == ["PAAA"]
    assert only.left_out[0].why == "its service is mapped to no rule"
    unmet = import_incidents(write(PAGERDUTY), "pagerduty", services=["Kafka lags=HighConsumerLag"])
    assert "--map: no row has the service 'Kafka lags'" in unmet.notes


def test_open_entries_get_an_end_when_asked(write):
    found = import_incidents(write(PAGERDUTY), "pagerduty", open_until="2026-03-05T00:00:00Z")
    assert found.incidents["PCCC"].interval.end_ms == parse_instant("2026-03-05T00:00:00Z")
    early = import_incidents(write(PAGERDUTY), "pagerduty", open_until="2026-01-01T00:00:00Z")
    assert ("it begins after --open-until", "'PCCC' (line 5)") in [(each.why, each.what) for each in early.left_out]


def test_opsgenie_by_the_names_of_its_api(write):
    text = "TinyId;Message;CreatedAt;report.closeTime;Entity\n7;Lag;1772352000000;1800000;kafka\n"
    text += "8;Lag;1772355600000;;kafka\n"
    found = import_incidents(write(text), "opsgenie")
    [only] = found.incidents
    assert (only.id, only.kind, only.cause) == ("7", "", "Lag")
    assert only.interval == Interval(1_772_352_000_000, 1_772_353_800_000)
    assert [each.what for each in found.left_out] == ["'8' (line 3)"]
    spaced = "Alert ID,Message,Created At,Closed At\nx,Lag,2026-03-01T08:00:00Z,2026-03-01T08:30:00Z\n"
    assert import_incidents(write(spaced), "opsgenie").incidents["x"].interval == only.interval
    with pytest.raises(DataFileError, match="'soon', no whole number of milliseconds"):
        import_incidents(write(text.replace("1800000", "soon")), "opsgenie")


def test_columns_of_ones_own(write):
    text = "ticket\topened_at\tresolved_at\twhat\nT-1\t2026-03-01 09:00\t2026-03-01 09:30\tlag\n"
    columns = {"id": "ticket", "start": "opened_at", "end": "Resolved At", "cause": "what"}
    [only] = import_incidents(write(text), columns=columns, zone="Europe/Berlin").incidents
    assert only.interval.start_ms == parse_instant("2026-03-01T08:00:00Z")
    assert only.cause == "lag"


RICH = """\
Ticket;Begin;End;Topic;Group;Seen;Page;Alerts;Owner
A;2026-03-01T08:00Z;2026-03-01T09:00Z;orders;;2026-03-01T08:10Z;No;Lag, Rate;ann
B;2026-03-02T08:00Z;2026-03-02T09:00Z;;g;;;;bob
"""
RICH_COLUMNS = {
    "id": "Ticket",
    "start": "Begin",
    "labels.topic": "Topic",
    "labels.consumergroup": "Group",
    "detected": "Seen",
    "must_page": "Page",
    "rules": "Alerts",
}


def test_columns_say_all_that_an_incident_has(write):
    found = import_incidents(write(RICH), columns=RICH_COLUMNS)
    first, second = found.incidents
    assert (dict(first.labels), first.rules, first.must_page) == ({"topic": "orders"}, ("Lag", "Rate"), False)
    assert first.detected_ms == parse_instant("2026-03-01T08:10:00Z")
    assert (dict(second.labels), second.rules, second.must_page, second.detected_ms) == (
        {"consumergroup": "g"},
        (),
        True,
        None,
    )
    assert found.notes[0] == "not read: 'Owner'; --column ROLE=NAME says what a column holds"
    # What services stand for goes before what a row says, and the labels of both hold.
    mapped = import_incidents(
        write(RICH), columns={**RICH_COLUMNS, "service": "Owner"}, services=["ann=Other{topic=users}"]
    )
    [ann] = [each for each in mapped.incidents if each.id == "A"]
    assert (ann.rules, dict(ann.labels)) == (("Other",), {"topic": "users"})


def test_columns_that_hold_something_else_are_refused(write):
    text = RICH.replace("2026-03-01T08:10Z;No", "2026-03-01T07:10Z;maybe")
    with pytest.raises(DataFileError) as caught:
        import_incidents(write(text), columns=RICH_COLUMNS)
    assert [(each.line, each.problem) for each in caught.value.findings] == [
        (2, "'A' was detected at 2026-03-01T07:10:00Z, before it starts at 2026-03-01T08:00:00Z"),
        (2, "Page is 'maybe'"),
    ]
    for role in ("labels.", "labels.a-b", "labels", "topic"):
        with pytest.raises(SettingError, match="is nothing that a column can hold"):
            import_incidents(write(RICH), columns={**RICH_COLUMNS, role: "Topic"})


def test_a_missing_column_is_named_with_those_there(write):
    path = write("ticket,from_time,to_time\nT-1,1772352000,1772352600\n")
    with pytest.raises(DataFileError) as caught:
        import_incidents(path)
    problems = [found.problem for found in caught.value.findings]
    assert problems == [
        f"there is no column for the {role}; there are 'ticket', 'from_time', 'to_time'" for role in ("start", "end")
    ]
    assert "--column start=NAME" in str(caught.value)
    with pytest.raises(DataFileError, match="there is no column 'fromtime2'\n  Did you mean 'from_time'"):
        import_incidents(path, columns={"start": "fromtime2", "end": "to_time"})
    with pytest.raises(SettingError, match="'begin' is nothing that a column can hold"):
        import_incidents(path, columns={"begin": "from_time"})


def test_times_without_a_zone_are_one_error(write):
    rows = "".join(f"T-{n},2026-03-0{n} 09:00,2026-03-0{n} 09:30\n" for n in range(1, 6))
    with pytest.raises(DataFileError) as caught:
        import_incidents(write("id,start,end\n" + rows))
    [finding] = caught.value.findings
    assert finding.line == 2
    assert finding.problem == "start is '2026-03-01 09:00', which has no time zone; so have 9 more"
    assert finding.cure == "Say which one such times are in: --zone Europe/Berlin, or --zone UTC"


def test_one_date_of_a_table_tells_which_part_is_the_day_in_all(write):
    text = "id,start,end\na,03/01/2026 08:00,03/01/2026 09:00\nb,03/02/2026 08:00,03/14/2026 09:00\n"
    [first, _] = import_incidents(write(text), zone="UTC").incidents
    assert first.interval.start_ms == parse_instant("2026-03-01T08:00:00Z")
    [first, _] = import_incidents(write(text.replace("03/14", "14/03")), zone="UTC").incidents
    assert first.interval.start_ms == parse_instant("2026-01-03T08:00:00Z")
    with pytest.raises(DataFileError, match="'14/03/2026 08:00' begins with the day, '03/14/2026 09:00' with the mon"):
        import_incidents(write(text.replace("03/02", "14/03")), zone="UTC")


def test_ambiguous_dates_are_told_once_a_column_with_their_first_lines(write):
    rows = "".join(f"T-{n},03/0{n}/2026 08:00,03/0{n}/2026 9:30 PM\n" for n in (1, 2, 4, 5, 6, 7, 8, 9))
    with pytest.raises(DataFileError) as caught:
        import_incidents(write("id,start,end\n" + rows), zone="UTC")
    start, end = caught.value.findings
    assert (start.line, end.line) == (2, 2)
    assert start.problem == (
        "start: '03/01/2026 08:00' can be read in several ways: neither it nor another time tells which part is the "
        "day; so it is on lines 3, 4, 5, 6, 7 and 2 more"
    )
    assert '--time-format "%d/%m/%Y %I:%M %p" where the day comes first, "%m/%d/%Y %I:%M %p" where' in end.cure


def test_all_faults_are_reported_at_once_with_their_lines(write):
    text = "id,start,end\na,soon,1772352000\n,1772352000,1772352600\nb,1772352600,1772352000\nc,1772352000,01/02/2026\n"
    with pytest.raises(DataFileError) as caught:
        import_incidents(write(text))
    assert [found.line for found in caught.value.findings] == [2, 3, 4, 5]
    assert "'b' ends at 2026-03-01T08:00:00Z, before it starts at 2026-03-01T08:10:00Z" in str(caught.value)


def test_an_id_with_two_different_times_is_refused(write):
    with pytest.raises(DataFileError, match="'a' is there twice with different times, first on line 2"):
        import_incidents(write("id,start,end\na,1772352000,1772352600\na,1772352000,1772353600\n"))


@pytest.mark.parametrize("mark", ["\ufeff", ""])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_dialects_of_tables(write, separator, line_end, mark):
    rows = [["id", "start", "end", "cause"], ["a", "1772352000", "1772352600", "x, y; z"], ["", "", "", ""]]
    text = line_end.join(separator.join(f'"{cell}"' for cell in row) for row in rows) + line_end
    [only] = import_incidents(write(mark + text)).incidents
    assert (only.id, only.cause) == ("a", "x, y; z")


def test_separators_within_quotes_do_not_count(write):
    text = 'id;start;end;"notes, remarks, words, more, and more, a, b, c, d, e, f, g"\na;1772352000;1772352600;x\n'
    assert [each.id for each in import_incidents(write(text)).incidents] == ["a"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_with_its_mark(write, encoding):
    text = "id\tstart\tend\tcause\nä\t1772352000\t1772352600\tLäg\n"
    body = text.encode(encoding) if encoding == "utf-16" else ("\ufeff" + text).encode(encoding)
    assert import_incidents(write(body)).incidents["ä"].cause == "Läg"


def test_the_separator_that_a_spreadsheet_states(write):
    text = "sep=|\r\nid|start|end|cause\r\na|1772352000|1772352600|x;y;z,1,2,3\r\nb|1772352000|later|\r\n"
    with pytest.raises(DataFileError, match=":4: end: 'later' is no time"):
        import_incidents(write(text))


@pytest.mark.parametrize(
    ("raw", "problem", "line"),
    [
        (b"", "the table is empty", None),
        (b"\n\n \n", "the table is empty", None),
        (b"id,start,end\na,1772352000\n", "this row has 2 cells under 3 columns", 2),
        (b"id,start,end\na,1,2,3\n", "this row has 4 cells under 3 columns", 2),
        (b'id,start,end,cause\na,1772352000,1772352600,"cut he', "a quote opened here is never closed", 2),
        (b"id,start,end,start\na,1,2,3\n", "column 'start' is there twice", 1),
        (b"id,start,end\n\xff,1,2\n", "not UTF-8: byte 0xff", 2),
        (b"id,start,end\na,\x00,2\n", "holds zero bytes", 2),
        (b'id,start,end\n"a"b,1,2\n', "not readable", 2),
        (b"PK\x03\x04\x14\x00\x06\x00", "holds zero bytes", 1),
    ],
)
def test_damaged_tables_are_refused_with_their_place(write, raw, problem, line):
    with pytest.raises(DataFileError) as caught:
        import_incidents(write(raw))
    [finding] = caught.value.findings
    assert finding.problem.startswith(problem)
    assert finding.line == line
    assert finding.cure


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(DataFileError, match="there is no such file"):
        import_incidents(tmp_path / "none.csv")
    with pytest.raises(DataFileError, match="is a folder"):
        import_incidents(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"format": "jira"}, "'jira' is no known source"),
        ({"zone": "Berlin"}, "no time zone 'Berlin'"),
        ({"only_mapped": True}, "nothing is mapped"),
        ({"services": ["x"]}, "'x' maps no service to a rule"),
        ({"open_until": "tomorrow"}, "is not an RFC 3339 instant"),
        ({"format": "alerts", "zone": "UTC"}, "is about tables"),
    ],
)
def test_options_that_make_no_sense(write, arguments, problem):
    with pytest.raises(SettingError, match=problem):
        import_incidents(write(PAGERDUTY), **arguments)


def test_entries_that_overlap_are_noted(write):
    text = "id,start,end\na,1772352000,1772355600\nb,1772353000,1772356600\n"
    assert any("1 entry overlaps the one before" in note for note in import_incidents(write(text)).notes)


@pytest.mark.parametrize(
    ("text", "service", "concern"),
    [
        ("Kafka lag=HighConsumerLag", "Kafka lag", Concern(("HighConsumerLag",))),
        (" a = B , C ", "a", Concern(("B", "C"))),
        ("a={topic=x}", "a", Concern((), Labels({"topic": "x"}))),
        ('a=B{topic="x, y=z", group = g }', "a", Concern(("B",), Labels({"topic": "x, y=z", "group": "g"}))),
        ("ä:ö=B", "ä:ö", Concern(("B",))),
    ],
)
def test_services_are_read(text, service, concern):
    assert parse_services([text]) == {service: concern}


@pytest.mark.parametrize(
    "texts", [["a"], ["=B"], ["a="], ["a={}"], ["a=B{topic}"], ["a=B{1x=y}"], ["a=B", "a=C"], ["a=B}"]]
)
def test_services_that_cannot_be_read(texts):
    with pytest.raises(SettingError) as caught:
        parse_services(texts)
    assert caught.value.cure


def test_one_set_of_labels_is_for_all_rules():
    with pytest.raises(SettingError) as caught:
        parse_services(["pay / in=Lag{topic=a}, Rate{group=b}"])
    assert caught.value.cure.endswith("--map 'pay / in=Lag,Rate{topic=a,group=b}'")
    quoted = parse_services(['pay=Lag{topic="x{y},c{z}"}'])
    assert quoted["pay"].labels == Labels({"topic": "x{y},c{z}"})


@pytest.mark.parametrize("text", ["billing=Lag(group=a)", "billing=Lag [group=a] "])
def test_labels_in_other_brackets_are_no_rule(text):
    with pytest.raises(SettingError, match="labels stand in braces") as caught:
        parse_services([text])
    written = caught.value.cure.partition("'")[2].rstrip("'")
    assert parse_services([written]) == {"billing": Concern(("Lag",), Labels({"group": "a"}))}


def test_hostile_text_is_harmless(write, tmp_path):
    text = io.StringIO()
    csv.writer(text).writerows(
        [["id", "start", "end", "service", "cause"], [HOSTILE, 1772352000, 1772352600, HOSTILE, HOSTILE]]
    )
    found = import_incidents(write(text.getvalue()))
    assert repr(found).replace("\n", "").isprintable()
    assert "<script" not in found._repr_html_()
    found.write(tmp_path / "incidents.yml")
    [only] = read_incidents(tmp_path / "incidents.yml")
    assert (only.id, only.kind, only.cause) == (HOSTILE, "", HOSTILE)
    with pytest.raises(DataFileError) as caught:
        import_incidents(write(f'id,start,end\n"{HOSTILE.replace(chr(34), chr(34) * 2)}",soon,x\n'))
    assert str(caught.value).replace("\n", "").isprintable()


# ---- merging into a list --------------------------------------------------------------------------

LIST = """\
# ours
incidents:
- id: INC-1          # the first
  start: 2026-02-01T08:00:00Z
  end: 2026-02-01T09:00:00Z
  cause: >
    folded
    text

# in between
excluded:
- {start: 2026-02-08T02:00:00Z, end: 2026-02-08T04:00:00Z, reason: maintenance}
"""


def test_a_list_keeps_everything_that_it_has(write):
    path = write(LIST, "incidents.yml")
    merged = import_incidents(write(PAGERDUTY), "pagerduty").write(path)
    assert merged.added == ("PAAA", "PBBB")
    text = path.read_text()
    lines = text.splitlines()
    kept = [line for line in lines if line in LIST.splitlines()]
    assert kept == LIST.splitlines()
    assert [each.id for each in read_incidents(path)] == ["INC-1", "PAAA", "PBBB"]
    assert len(read_incidents(path).excluded) == 1
    again = import_incidents(write(PAGERDUTY), "pagerduty").write(path)
    assert again.added == ()
    assert again.left_out[0] == "'PAAA' is in the list already: it stays as it is"
    assert path.read_text() == text
    assert "is as it was" in again.sentence


TICKETS = "id,start,end,service,cause\n" + "".join(
    f"T-{n},2026-03-0{n}T08:00:00Z,2026-03-0{n}T09:00:00Z,{service},lag\n"
    for n, service in enumerate(("mail", "mail", "mail", "billing", "orders"), 1)
)


def test_a_better_mapping_replaces_what_an_earlier_one_said_and_nothing_else(write, tmp_path):
    export, path = write(TICKETS), tmp_path / "incidents.yml"
    import_incidents(export).write(path)
    first = ["mail=Lag{group=mail}", "billing=Lag"]
    # Without being asked, nothing changes.
    assert import_incidents(export, services=first).write(path).changed == ()
    edited = path.read_text().replace("cause: lag", "cause: disk full  # Ana asked", 1)
    edited = edited.replace('"2026-03-02T08:00:00Z"', '"2026-03-02T07:45:00Z"  # when it began')
    edited = "# ours\n" + edited + "    must_page: false\nexcluded: []\n"
    path.write_text(edited)

    merged = import_incidents(export, services=first).write(path, replace=True)
    assert merged.changed == (
        "'T-1' concerns Lag{group=\"mail\"} now; it was everything",
        "'T-2' concerns Lag{group=\"mail\"} now; it was everything",
        "'T-3' concerns Lag{group=\"mail\"} now; it was everything",
        "'T-4' concerns Lag now; it was everything",
    )
    assert merged.sentence.endswith("(0 entries added, 4 mapped anew, 1 entry left out)")
    mapped = path.read_text()
    added = [line for line in mapped.splitlines() if line not in edited.splitlines()]
    assert {line.strip() for line in added} == {'labels: {"group": "mail"}', 'rules: ["Lag"]'}
    assert [line for line in mapped.splitlines() if line not in added] == edited.splitlines()
    found = read_incidents(path)
    assert (found["T-2"].interval.start_ms, found["T-1"].cause) == (parse_instant("2026-03-02T07:45:00Z"), "disk full")
    assert (found["T-5"].rules, found["T-5"].must_page) == ((), False)

    # What stands apart, or is written in another way, is a person's.
    path.write_text(mapped.replace('labels: {"group": "mail"}', 'labels: {"group": "relay"}', 1))
    merged = import_incidents(export, services=["mail=Lag2", "orders=Lag2"]).write(path, replace=True)
    assert merged.changed == (
        "'T-2' concerns Lag2 now; it was Lag{group=\"mail\"}",
        "'T-3' concerns Lag2 now; it was Lag{group=\"mail\"}",
        "'T-5' concerns Lag2 now; it was everything",
    )
    assert "'T-1' keeps Lag{group=\"relay\"}, which was edited by hand; --map says Lag2" in merged.left_out
    assert read_incidents(path)["T-4"].rules == ("Lag",)
    again = import_incidents(export, services=["mail=Lag2", "orders=Lag2"])
    before = path.read_text()
    assert again.write(path, replace=True).changed == ()
    assert path.read_text() == before
    # Lists in braces are changed in place, too.
    path.write_text('{"incidents": [{"id": "T-4", "start": "2026-03-04T08:00:00Z", "end": "2026-03-04T09:00:00Z"}]}')
    assert (
        len(import_incidents(export, services=["billing=Lag"], only_mapped=True).write(path, replace=True).changed) == 1
    )
    assert read_incidents(path)["T-4"].rules == ("Lag",)


def test_an_id_with_other_times_stays_and_is_said(write):
    path = write(LIST, "incidents.yml")
    other = Incidents((Incident("INC-1", Interval(0, HOUR_MS)),))
    merged = merge_incidents(path, other)
    assert merged.left_out == (
        "'INC-1' is in the list already, from 2026-02-01T08:00:00Z to 2026-02-01T09:00:00Z instead of "
        "1970-01-01T00:00:00Z to 1970-01-01T01:00:00Z: it stays as it is",
    )
    assert path.read_text() == LIST


def test_suggestions_are_numbered_behind_those_there(write):
    first = Incident("SUG-007", Interval(0, HOUR_MS), {"topic": "a"}, status="rejected")
    path = write(format_incidents(Incidents((first,))), "incidents.yml")
    new = [
        Incident("SUG-001", Interval(0, MINUTE_MS), {"topic": "a"}, status="suggested"),
        Incident("SUG-002", Interval(0, MINUTE_MS), {"topic": "b"}, status="suggested"),
        Incident("SUG-003", Interval(5 * HOUR_MS, 6 * HOUR_MS), status="suggested"),
    ]
    merged = merge_incidents(path, Incidents(tuple(new)), renumber="SUG-", heading=("Look at them.",))
    assert merged.added == ("SUG-008", "SUG-009")
    assert "the list already speaks of 'SUG-007' there" in merged.left_out[0]
    read = read_incidents(path)
    assert [each.id for each in read.suggested] == ["SUG-008", "SUG-009"]
    assert read.rejected == (first,)
    assert "# Look at them." in path.read_text()


@pytest.mark.parametrize("first", ["confirmed", "suggested", "rejected"])
@pytest.mark.parametrize("second", ["confirmed", "suggested", "rejected"])
def test_what_is_decided_and_what_is_not_stand_side_by_side(tmp_path, first, second):
    path = tmp_path / "incidents.yml"
    entries = [
        Incident(f"I-{place}", Interval(place * HOUR_MS, place * HOUR_MS + MINUTE_MS), status=status)
        for place, status in enumerate([first, second, first, second])
    ]
    for each in entries:
        assert merge_incidents(path, Incidents((each,))).added == (each.id,)
    assert read_incidents(path) == Incidents(tuple(entries))


@pytest.mark.parametrize("name", ["incidents.csv", "incidents.tsv"])
def test_a_table_is_not_added_to(write, tmp_path, name):
    with pytest.raises(OutputError, match="is a table"):
        import_incidents(write(PAGERDUTY), "pagerduty").write(tmp_path / name)


def test_a_folder_that_is_not_there(write, tmp_path):
    with pytest.raises(OutputError, match="lies in no folder"):
        import_incidents(write(PAGERDUTY), "pagerduty").write(tmp_path / "none" / "incidents.yml")


words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)
names = words.filter(str.strip).map(str.strip)
plain = st.text(string.ascii_letters, min_size=1, max_size=6)
spans = st.tuples(st.integers(10**9, 2 * 10**9), st.integers(1, 10**6)).map(
    lambda pair: Interval(pair[0] * 1000, (pair[0] + pair[1]) * 1000)
)
incidents = st.builds(Incident, names, spans, kind=words.map(str.strip), cause=words.map(str.strip))
lists = st.lists(incidents, max_size=5, unique_by=lambda each: each.id)
HOW = [
    lambda ms: format_instant(ms),
    lambda ms: str(ms // 1000),
    lambda ms: str(ms),
    lambda ms: format_instant(ms).replace("T", " ").removesuffix("Z"),
]


@given(lists, st.sampled_from(",;\t|"), st.sampled_from(HOW), st.sampled_from(["\n", "\r\n"]))
def test_what_is_written_as_a_table_comes_back(tmp_path_factory, given_list, separator, how, line_end):
    path = tmp_path_factory.mktemp("import") / "export.csv"
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    writer.writerow(["id", "start", "end", "kind", "cause"])
    for each in given_list:
        writer.writerow([each.id, how(each.interval.start_ms), how(each.interval.end_ms), each.kind, each.cause])
    path.write_bytes(text.getvalue().encode())
    found = import_incidents(path, zone="UTC")
    ordered = tuple(sorted(given_list, key=lambda each: (each.interval, each.id)))
    assert found.incidents.incidents == ordered
    assert found.left_out == ()
    found.write(path.with_name("incidents.yml"))
    if ordered:
        assert read_incidents(path.with_name("incidents.yml")).incidents == ordered


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory, raw):
    path = tmp_path_factory.mktemp("import") / "export.csv"
    path.write_bytes(b"id,start,end\n" + raw)
    with contextlib.suppress(DataFileError):
        import_incidents(path, zone="UTC")


def test_the_frame_has_the_status(write):
    found = import_incidents(write(PAGERDUTY), "pagerduty", confirmed=False)
    assert list(found.to_frame()["status"]) == ["suggested", "suggested"]
    assert len(found.incidents) == 0
    assert found.headline.endswith("2 of them to be confirmed, 3 left out")
    assert [each["status"] for each in found.to_json()] == ["suggested", "suggested"]
    assert replace(found.incidents.suggested[0], status="confirmed").suggested_by == ()
