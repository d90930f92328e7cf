"""Adding to a list in its file: every byte that was there stays, and the list says one thing more."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kmon_analysis.errors import IncidentError, KmonError, OutputError, SettingError
from kmon_analysis.incidents import Excluded, Incident, Reviewed, format_incidents, parse_incidents
from kmon_analysis.labelling.edit import EMPTY, IncidentFile, appended
from kmon_analysis.timing import Interval
from tests.test_incidents import lists

HOUR = Interval(1_772_352_000_000, 1_772_355_600_000)
ENTRIES = {
    "incidents": Incident("new: 1", HOUR, {"topic": "a"}, ("Lag",), cause="why: not"),
    "excluded": Excluded(HOUR, "deploy", {"topic": "a"}),
    "reviewed": Reviewed(HOUR, labels={"topic": "a"}, rules=("Lag",), by="ana", when_ms=0, note="x"),
}
BASE = """\
# ours   \t
incidents:   # of the shop

  - id: a    # first
    start: 2026-03-01T08:00:00Z
    end: 2026-03-01T09:00:00Z
    cause: |
      a block
      of text
    # still to be told

# ---- planned
excluded:
- {start: 2026-03-08T02:00:00Z, end: 2026-03-08T04:00:00Z}   # move
# the end, without a line break"""


def added_lines(before, after):
    """Return the lines of `after` that are not in `before`, which must be left when they are taken out."""
    left, new = before.splitlines(keepends=True), []
    for line in after.splitlines(keepends=True):
        if left and line == left[0]:
            left.pop(0)
        else:
            new.append(line)
    assert left == [], "a line that was there is gone or changed"
    return new


def check(text, entry, name):
    edited = appended(text, entry)
    before, after = parse_incidents(text), parse_incidents(edited)
    for each in ("incidents", "excluded", "reviewed"):
        new = (entry,) if each == name else ()
        assert getattr(after, each) == (*getattr(before, each), *new)
    return edited


@pytest.mark.parametrize("name", ENTRIES)
@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=repr)
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=ascii)
def test_lines_are_added_and_no_other_changes(name, newline, mark):
    text = mark + BASE.replace("\n", newline)
    edited = check(text + newline, ENTRIES[name], name)
    new = added_lines(text + newline, edited)
    assert all(line.endswith(newline) for line in new)
    assert new[0].strip().startswith({"incidents": "- id:", "excluded": "- start:", "reviewed": "reviewed:"}[name])
    # Without a line break at the end, that is the only other byte.
    assert check(text, ENTRIES[name], name).replace(newline, "") == edited.replace(newline, "")


def test_a_new_entry_looks_like_its_neighbours():
    assert appended(BASE, ENTRIES["incidents"]) == BASE.replace(
        "    # still to be told\n",
        """\
    # still to be told
  - id: "new: 1"
    start: 2026-03-01T08:00:00Z
    end: 2026-03-01T09:00:00Z
    labels: {topic: a}
    rules: [Lag]
    cause: "why: not"
""",
    )
    assert appended(BASE, ENTRIES["excluded"]).endswith(
        """   # move
- start: 2026-03-01T08:00:00Z
  end: 2026-03-01T09:00:00Z
  labels: {topic: a}
  reason: deploy
# the end, without a line break"""
    )


@pytest.mark.parametrize(
    "text",
    [
        "incidents: []\n",
        "incidents:\n",
        "incidents:",
        "incidents: ~ # none\n",
        "incidents: [ ]\nexcluded: []\nreviewed: null\n",
        "incidents: [ # none\n  ]\n",
        "incidents: # none\n  # yet\n  []\nexcluded: # x\n\n  # y\n  null # z\nreviewed:\n  # w\n  ~\n",
        "excluded:\nincidents: []  # none yet\nreviewed: []\n",
        "---\nincidents: []\n",
        "{incidents: []}\n",
        "{incidents: [], excluded: null, reviewed: []}",
        '{"incidents": [{"id": "a", "start": "2026-03-01T08:00:00Z", "end": "2026-03-01T09:00:00Z"}]}\n',
        "incidents: [{id: a, start: 2026-03-01T08:00:00Z, end: 2026-03-01T09:00:00Z},]\n",
        "incidents:\n  [\n  {id: a, start: 2026-03-01T08:00:00Z, end: 2026-03-01T09:00:00Z}  # last\n  ]\n",
        "  incidents:\n      - id: a\n        start: 2026-03-01T08:00:00Z\n        end: '2026-03-01T09:00:00Z'\n",
        "incidents:\n-\n  id: a\n  start: 2026-03-01T08:00:00Z\n  end: 2026-03-01T09:00:00Z\n  cause: >-\n    x\n",
        'incidents:\n- {id: a, start: 2026-03-01T08:00:00Z, end: 2026-03-01T09:00:00Z, cause: "two\n  lines"}\n',
        "incidents:\n- &x\n  id: a\n  start: 2026-03-01T08:00:00Z\n  end: 2026-03-01T09:00:00Z\nexcluded: # y\n",
    ],
)
@pytest.mark.parametrize("name", ENTRIES)
def test_every_way_to_write_a_list_takes_an_entry(text, name):
    once = check(text, ENTRIES[name], name)
    if name != "incidents":
        check(once, ENTRIES[name], name)
    if text.startswith('{"'):
        import json

        assert [each["start"] for each in json.loads(once)[name]][-1] == "2026-03-01T08:00:00Z"
    # Comments are still there, one by one.
    assert [line.split("#")[1] for line in text.splitlines() if "#" in line] == [
        line.split("#")[1] for line in once.splitlines() if "#" in line
    ]


def test_what_cannot_be_extended_is_refused_with_a_way_out():
    text = (
        "incidents: &list\n- {id: a, start: 2026-03-01T08:00:00Z, end: 2026-03-01T09:00:00Z}\n"
        "excluded: []\nreviewed: []\n...\n"
    )
    with pytest.raises(IncidentError, match="id 'new: 1' is used twice"):
        appended(appended(text, ENTRIES["incidents"]), ENTRIES["incidents"])
    shared = "incidents: []\nexcluded: &w\n- {start: 2026-03-08T02:00:00Z, end: 2026-03-08T04:00:00Z}\n"
    # Whatever an alias stands for must not grow with it.
    aliased = shared.replace("incidents: []", "incidents: []\nreviewed: []").replace("\nreviewed: []", "") + "...\n"
    with pytest.raises(SettingError, match="Write 'reviewed' out as a list"):
        appended(aliased, ENTRIES["reviewed"])
    with pytest.raises(IncidentError):
        appended("incidents: 3\n", ENTRIES["excluded"])


@settings(max_examples=40)
@given(lists, st.sampled_from(sorted(ENTRIES)), lists)
def test_any_list_takes_any_entry(listed, name, others):
    text = format_incidents(listed)
    for entry in getattr(others, name):
        if getattr(entry, "id", None) not in {each.id for each in listed}:
            edited = check(text, entry, name)
            if listed.incidents:
                added_lines(text, edited)


@settings(max_examples=40)
@given(
    lists,
    st.sampled_from(sorted(ENTRIES)),
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["", "# x", "  # x", "    # x: y", "      #- z", "#"]))),
    st.sampled_from(["\n", "\r\n"]),
)
def test_comments_anywhere_stay_where_they_are(listed, name, comments, newline):
    lines = format_incidents(listed).splitlines()
    for place, comment in comments:
        lines.insert(min(place, len(lines)), comment)
    text = newline.join(lines) + newline
    try:
        before = parse_incidents(text)
    except IncidentError:
        # The comment fell into a text.
        return
    if ENTRIES["incidents"].id not in {each.id for each in before}:
        edited = check(text, ENTRIES[name], name)
        kept = text if before.incidents else text.replace("incidents: []", "incidents:", 1)
        added_lines(kept if name == "incidents" else text, edited)


blank = st.sampled_from(["", " # x", "\n", "\n  # y", "\n\n  # z: -\n", "\t", "  "])
nothing = st.sampled_from(["", "[]", "null", "~", "[ ]", "[ # in\n  ]"])


@settings(max_examples=80)
@given(st.tuples(blank, nothing, blank), st.tuples(blank, nothing, blank), st.sampled_from(sorted(ENTRIES)))
def test_comments_around_empty_lists_stay(first, second, name):
    text = "".join(
        f"{key}:{before}{' ' if before != chr(9) else ''}{value}{after}\n"
        for key, (before, value, after) in (("incidents", first), ("excluded", second))
    )
    try:
        parse_incidents(text)
    except IncidentError:
        return
    edited = check(text, ENTRIES[name], name)
    for mark in "# x", "# y", "# z: -", "# in":
        assert edited.count(mark) == text.count(mark)


# ---- the file -----------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path):
    made = tmp_path / "incidents.yml"
    made.write_bytes(BASE.encode())
    made.chmod(0o640)
    return made


def test_a_file_is_replaced_whole_with_its_permissions(path):
    file = IncidentFile.open(path)
    new = file.written(appended(file.text, ENTRIES["excluded"]))
    assert path.read_text() == new.text != BASE
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(path.parent.iterdir()) == [path]
    assert new.written(BASE).text == path.read_text() == BASE


@pytest.mark.parametrize("where", ["fsync", "chmod", "replace"])
def test_an_interruption_leaves_the_old_file_and_nothing_beside_it(path, monkeypatch, where):
    def interrupted(*_):
        raise KeyboardInterrupt

    file = IncidentFile.open(path)
    with monkeypatch.context() as patch:
        patch.setattr(*((os, where) if where == "fsync" else (Path, where)), interrupted)
        with pytest.raises(KeyboardInterrupt):
            file.written(EMPTY)
    assert path.read_text() == BASE
    assert list(path.parent.iterdir()) == [path]


def test_a_link_stays_a_link(path, tmp_path):
    link = tmp_path / "link.yml"
    link.symlink_to(path)
    IncidentFile.open(link).written(EMPTY)
    assert link.is_symlink()
    assert path.read_text() == EMPTY


@pytest.mark.parametrize("change", ["edit", "remove", "appear"])
def test_a_change_by_someone_else_is_noticed_and_kept(path, change):
    if change == "appear":
        path.unlink()
    file = IncidentFile.open(path)
    if change == "remove":
        path.unlink()
    else:
        path.write_text("incidents: []  # theirs\n")
    with pytest.raises(OutputError, match="changed by someone else"):
        file.written(EMPTY)
    assert [each.read_text() for each in path.parent.iterdir()] == (
        [] if change == "remove" else ["incidents: []  # theirs\n"]
    )


def test_a_list_may_begin_with_the_review(path):
    path.unlink()
    file = IncidentFile.open(path)
    assert (file.text, file.exists) == (EMPTY, False)
    assert not path.exists()
    written = file.written(appended(file.text, ENTRIES["reviewed"]))
    assert written.exists
    assert written.incidents.reviewed == (ENTRIES["reviewed"],)
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


def test_tables_and_broken_lists_are_refused(path):
    with pytest.raises(SettingError, match="Write the list as YAML"):
        IncidentFile.open(path.with_suffix(".csv"))
    path.write_text("incidents: [")
    with pytest.raises(IncidentError, match=r"incidents\.yml:1"):
        IncidentFile.open(path)


def test_a_folder_without_permission_or_place_leaves_nothing(path):
    file = IncidentFile.open(path)
    path.unlink()
    path.parent.rmdir()
    with pytest.raises(KmonError, match=r"changed by someone else|cannot write"):
        file.written(EMPTY)
