"""``kmon incidents review``: for scripts, in a conversation, on a real terminal."""

import contextlib
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import threading
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import kmon_analysis as km
from kmon_analysis import cli, cli_incidents_review
from kmon_analysis.incidents import read_incidents
from kmon_analysis.labelling.edit import IncidentFile
from kmon_analysis.labelling.review import questions
from kmon_analysis.labelling.session import Session
from kmon_analysis.labelling.suggest import suggest_incidents
from kmon_analysis.report.asked import Links, zone_of
from kmon_analysis.timing import format_instant
from tests.cli.conftest import REPOSITORY, Result, environment_of
from tests.labelling.test_edit import added_lines
from tests.labelling.test_review import HOSTILE, pages_of


@pytest.fixture
def path(world, tmp_path):
    return shutil.copy(world.incidents, tmp_path / "incidents.yml")


@pytest.fixture
def usual(world, path):
    return ("incidents", "review", "--history", world.history, "--rules", world.rules, "--incidents", path)


@pytest.fixture
def review(capfd, monkeypatch, usual):
    """Run the verb in this process, with lines on stdin; `terminal` makes that a terminal."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TZ", "UTC")

    def run(*arguments, lines=(), terminal=False):
        stream = Lines(lines, terminal)
        monkeypatch.setattr(sys, "stdin", stream)
        monkeypatch.setattr("builtins.input", stream.ask)
        capfd.readouterr()
        status = cli.main([str(each) for each in (*usual, *arguments)])
        return Result(status, *capfd.readouterr())

    return run


class Lines:
    """Stands for stdin."""

    def __init__(self, lines, terminal):
        self.lines, self.terminal = list(lines), terminal

    def isatty(self):
        return self.terminal

    def read(self):
        return "".join(f"{line}\n" for line in self.lines)

    def ask(self):
        if not self.lines:
            raise EOFError
        line = self.lines.pop(0)
        if isinstance(line, BaseException):
            raise line
        return line


# ---- for scripts --------------------------------------------------------------------------------


def test_questions_for_programs(review, path):
    found = review("--json", "--grafana", "https://g.example.com", "--prometheus-url", "http://p:9090", "--top", "3")
    asked = json.loads(found.out)
    assert [each["question"] for each in asked] == [1, 2, 3]
    first = asked[0]
    assert first["rule"] == "HighConsumerLag"
    assert first["labels"] == {"consumergroup": "email", "topic": "user.registered"}
    assert first["threshold"] == 500
    assert first["peak"] > 500
    assert first["proposed_id"] == "INC-7"
    assert first["grafana"].startswith("https://g.example.com/d/kmon-kafka?from=")
    assert first["grafana"].endswith("&var-topic=user.registered&var-group=email")
    assert first["prometheus"].startswith("http://p:9090/graph?g0.expr=kafka_consumer_lag_sum&")
    assert first["others"] == {}
    assert first["start"] < first["pages"][0]["start"] < first["end"]
    assert path.read_bytes() == path.read_bytes()
    every = json.loads(review("--json", "--top", "1000").out)
    assert len(every) > 20
    assert len({each["key"] for each in every}) == len(every)


def test_without_a_terminal_and_without_answers_there_is_a_table(review, path):
    before = path.read_bytes()
    found = review("--top", "2")
    lines = found.out.splitlines()
    assert re.match(r" *# +from, UTC +for +peak +rule, labels$", lines[0])
    assert re.match(r" *1 +2026-\d\d-\d\d \d\d:\d\d .* HighConsumerLag$", lines[1])
    assert "of a kind of their own; --top" in found.err
    assert path.read_bytes() == before


def test_answers_are_applied_and_their_effect_is_told(review, path, tmp_path):
    before = path.read_text()
    asked = json.loads(review("--json").out)
    answers = tmp_path / "answers.jsonl"
    lines = [
        {"question": asked[0]["key"], "decision": "incident", "id": "INC-9", "note": "disk: full", "kind": "slow"},
        {"question": 2, "decision": "noise", "note": "batch", "when": "2026-05-01T10:00:00+02:00"},
        {"question": 3, "decision": "expected", "note": "deploy", "end": asked[2]["end"]},
    ]
    answers.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    found = review("--answers", answers, "--by", "ana", "--json")
    assert found.status == 0, found.err
    told = json.loads(found.out)
    assert told["answers"] == 3
    [lag] = told["effects"]
    assert lag["false_pages"]["before"] - lag["false_pages"]["after"] == len(asked[0]["pages"]) + len(asked[2]["pages"])
    assert lag["caught"] == {"before": 6, "after": 7}
    assert re.search(
        r"false pages a week \d+\.\d+ → \d+\.\d+ \(\d+ → \d+\), incidents caught 6 of 6 → 7 of 7", found.err
    )
    new = added_lines(before, path.read_text())
    assert "reviewed:\n" in new
    read = read_incidents(path)
    assert read["INC-9"].cause == "disk: full"
    assert (read.reviewed[0].by, read.reviewed[0].note) == ("ana", "batch")
    assert read.excluded[-1].reason == "deploy"
    # The next run goes on with what is left.
    left = json.loads(review("--json", "--top", "1000").out)
    assert {each["key"] for each in asked[:3]}.isdisjoint(each["key"] for each in left)


def test_lines_on_stdin_are_answers(review, path):
    found = review(lines=['{"question": 1, "decision": "noise"}'])
    assert (found.status, found.out) == (0, "")
    assert found.err.splitlines()[-1] == f"written: {path} (1 answer)"
    assert len(read_incidents(path).reviewed) == 1
    assert "(2 answers)" in review("--answers", "-", lines=['{"question": 1, "decision": "noise"}'] * 1 + [
        '{"question": 2, "decision": "noise"}']).err  # fmt: skip


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("nonsense", "not a line of JSON"),
        ("[1]", "needs 'question' and 'decision'"),
        ('{"question": 1}', "needs 'question' and 'decision'"),
        ('{"question": 1, "decision": "noise", "idea": "x"}', "'idea' means nothing in an answer"),
        ('{"question": true, "decision": "noise"}', "Write its number or its key"),
        ('{"question": 1, "decision": "noise", "note": 3}', "Write a text"),
        ('{"question": 1, "decision": "incident", "labels": {"topic": 3}}', "Write an object of texts"),
        ('{"question": 1, "decision": "maybe"}', "'maybe' is no answer"),
        ('{"question": 999, "decision": "noise"}', "there is no question 999"),
        ('{"question": 1, "decision": "incident", "id": "INC-1"}', "an incident 'INC-1' already"),
        ('{"question": 1, "decision": "incident", "start": "2026-01-01"}', "not an RFC 3339 instant"),
    ],
)
def test_a_wrong_answer_names_its_line_and_nothing_is_written(review, path, line, words):
    before = path.read_bytes()
    said = review(lines=['{"question": 2, "decision": "noise"}', line]).refused()
    assert words in said
    assert "<stdin>:2: " in said
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--grafana", "javascript:alert(1)"), "is no web address"),
        (("--grafana", "https://g/{topic}"), "{topic} means nothing"),
        (("--prometheus-url", "localhost:9090"), "is no web address"),
        (("--zone", "Mars/Phobos"), "there is no time zone 'Mars/Phobos'"),
        (("--rule", "HighConsumerLog"), "HighConsumerLag"),
        (("--answers", "missing.jsonl"), "cannot be read"),
    ],
)
def test_wrong_options_are_refused(review, arguments, words):
    assert words in review(*arguments).refused()


def test_a_list_that_is_not_there_yet_is_begun_by_the_first_answer(review, path):
    path.unlink()
    assert "does not exist" in review("--top", "1").err
    assert not path.exists()
    assert review(lines=['{"question": 1, "decision": "expected", "note": "x"}']).status == 0
    assert len(read_incidents(path).excluded) == 1


# ---- a conversation -----------------------------------------------------------------------------


def test_a_conversation_answers_goes_back_and_tells_the_effect(review, path):
    before = path.read_text()
    # Whether there are more like it decides on a further prompt.
    asked = json.loads(review("--json").out)
    said = [
        "n",
        "nightly",
        *(["n"] if asked[0]["alike"] else []),
        "b",
        "s",
        "x",
        "3",
        "i",
        "INC-50",
        "",
        "",
        "",
        "n",
        "disk",
        "l",
        "q",
    ]
    found = review("--zone", "Europe/Berlin", "--by", "ana", lines=said, terminal=True)
    assert found.status == 0, found.err
    assert found.out == ""
    assert "1 of 20 ─" in found.err
    assert "UTC (" in found.err
    assert " CET)" in found.err
    assert "┄" in found.err
    assert "▔" in found.err
    assert "Type one of the letters in brackets" in found.err
    assert "incidents caught 6 of 6 → 6 of 6" in found.err
    read = read_incidents(path)
    assert read.reviewed == ()
    assert (read["INC-50"].must_page, read["INC-50"].cause) == (False, "disk")
    assert added_lines(before, path.read_text())[0].strip() == "- id: INC-50"


def test_a_refused_detail_is_asked_again_at_its_prompt(review, path):
    said = ["b", "9999", "i", "INC-1", "INC-50", "yesterday", "", "2020-01-01T00:00:00Z", "", "", "topic=", "-"]
    said += ["perhaps", "n", "disk"]
    found = review("--top", "1", lines=said, terminal=True)
    assert found.status == 0, found.err
    for words in (
        "'INC-1' already",
        "not an RFC 3339 instant",
        "nothing to take back",
        "no question 9999",
        "is not a series",
        "it would end before it starts",
        "'perhaps' is neither yes nor no",
    ):
        assert words in found.err
    read = read_incidents(path)
    assert len(read) == 7
    assert (read["INC-50"].must_page, read["INC-50"].cause, dict(read["INC-50"].labels)) == (False, "disk", {})


def test_times_may_be_local_ones_of_the_zone_that_is_shown(review, path):
    asked = json.loads(review("--json").out)[0]
    berlin = datetime.fromisoformat(asked["start"]).astimezone(ZoneInfo("Europe/Berlin"))
    said = ["i", "", f"{berlin:%H:%M}", f"{berlin + timedelta(minutes=10):%Y-%m-%d %H:%M}", "", "", "disk", "q"]
    found = review("--zone", "Europe/Berlin", lines=said, terminal=True)
    assert "start (with its zone, or local in Europe/Berlin)" in found.err
    one = read_incidents(path)[asked["proposed_id"]]
    assert format_instant(one.interval.start_ms) == f"{asked['start'][:16]}:00Z"
    assert one.interval.duration_ms == 600_000


def test_the_end_of_input_and_an_interruption_keep_what_was_answered(review, path):
    assert review(lines=["n", "", "n"], terminal=True).status == 0
    assert len(read_incidents(path).reviewed) >= 1
    stopped = review(lines=["n", "", "n", "i", KeyboardInterrupt()], terminal=True)
    assert stopped.status == 130
    assert f"1 answer is in {path}" in stopped.err
    assert len(read_incidents(path).reviewed) >= 2


def test_a_file_that_someone_else_changed_ends_the_review(review, path):
    class Meanwhile(str):
        __slots__ = ()

        def strip(self):
            path.write_text(path.read_text() + "# theirs\n")
            return ""

    found = review("--top", "1", lines=["n", Meanwhile("")], terminal=True)
    assert (found.status, found.out) == (2, "")
    assert "kmon: " in found.err
    assert "was changed by someone else" in found.err
    assert path.read_text().endswith("# theirs\n")
    assert "reviewed" not in path.read_text()


def test_hostile_labels_are_harmless_in_a_conversation(tmp_path):
    from rich.console import Console

    result = pages_of([(100, 10, 200)], groups=(HOSTILE, "[red]x[/red]"))
    session = Session(result, IncidentFile.open(tmp_path / "i.yml"), questions(result))
    with Path(os.devnull).open("w") as nowhere:
        console = Console(file=nowhere, record=True, width=100, highlight=False)
        said = iter(["l", "2", "n", HOSTILE, "q"])
        where = Links("https://g.example.com/?t={label.topic}", "http://p:9090")
        cli_incidents_review.Dialogue(session, console, [1, 2], where, zone_of("UTC"), "", lambda: next(said)).run()
        shown = console.export_text()
    assert all(char.isprintable() or char == "\n" for char in shown)
    assert "[red]x[/red]" in shown
    assert "\\u202e" in shown
    assert session.answers == 1


# ---- a real terminal ----------------------------------------------------------------------------


def on_terminal(arguments, answers, term="dumb"):
    """Run as a real process on a pseudo terminal; each answer is typed when a prompt waits. None interrupts."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "kmon_analysis.cli", *map(str, arguments)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=REPOSITORY,
        env=environment_of(TERM=term, TZ="UTC", PYTHONIOENCODING="utf-8"),
        start_new_session=True,
    )
    os.close(theirs)
    seen = bytearray()
    ended = threading.Event()

    def interrupt():
        # Python may miss a signal that comes just before it waits for a line; people press the keys again.
        while not ended.is_set() and b"answers are in" not in seen:
            process.send_signal(signal.SIGINT)
            ended.wait(5)

    # A process that never asks must not block the tests.
    guard = threading.Timer(240, process.kill)
    guard.start()
    asked, left = 0, list(answers)
    with contextlib.suppress(OSError):
        while chunk := os.read(ours, 65_536):
            seen += chunk
            if left and seen.endswith((b": ", b": \x1b[0m")) and b"\n" in seen[asked:]:
                asked = len(seen)
                answer = left.pop(0)
                if answer is None:
                    threading.Thread(target=interrupt).start()
                else:
                    os.write(ours, answer.encode() + b"\n")
    ended.set()
    os.close(ours)
    status = process.wait(timeout=60)
    guard.cancel()
    return status, seen.decode()


def test_a_session_on_a_real_terminal(kmon, usual, path):
    before = path.read_text()
    alike = json.loads(kmon(*usual, "--json").out)[0]["alike"]
    status, seen = on_terminal(usual, ["n", "nightly batch", *(["n"] if alike else []), "i", None])
    assert status == 130, seen
    assert "1 of 20" in seen
    assert "2 of 20" in seen
    assert f"1 answer is in {path}" in seen.replace("\r\n", "\n")
    [one] = read_incidents(path).reviewed
    assert one.note == "nightly batch"
    assert len(added_lines(before, path.read_text())) >= 6
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def lines_on_screen(seen):
    """Return what stands on the screen behind the last picture of progress, without colours."""
    rest = seen.rpartition("\x1b[?25h")[2].replace("\r", "")
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", rest).split("\n")


def test_questions_and_their_list_fit_a_terminal_of_80_columns_in_colour(usual):
    status, seen = on_terminal(usual, ["l", "q"], term="xterm-256color")
    assert status == 0, seen
    lines = lines_on_screen(seen)
    assert "\\x1b" not in "\n".join(lines)
    [head] = [place for place, line in enumerate(lines) if line.endswith("rule, labels")]
    assert lines[head + 1].split()[0] == "1"
    assert max(map(len, lines)) <= 80, max(lines, key=len)


def test_suggestions_fit_a_terminal_of_80_columns_without_breaking_words(world):
    asked = ["incidents", "suggest", "--history", world.history, "--rules", world.rules]
    status, seen = on_terminal(asked, [], term="xterm-256color")
    assert status == 0, seen
    lines = lines_on_screen(seen)
    assert max(map(len, lines)) <= 80, max(lines, key=len)
    text = " ".join(" ".join(lines).split())
    found = suggest_incidents(km.open_history(world.history), km.read_rules(world.rules))
    assert len(found) > 2
    for each in found:
        assert f"{each.id} {format_instant(each.interval.start_ms)}" in text
        assert " ".join(each.why.split()) in text
    # A table that would be wider than the terminal becomes paragraphs.
    narrow = found.text(60).split("\n")
    assert max(map(len, narrow)) <= 60
    assert "start (UTC)" not in found.text(60)
    for each in found:
        [at] = [place for place, line in enumerate(narrow) if line.startswith(f"{each.id}  ")]
        assert narrow[at - 1] == ""
        assert narrow[at].startswith(f"{each.id}  from {format_instant(each.interval.start_ms)} for")
        assert f"strength {each.strength:.1f}" in " ".join(" ".join(narrow[at : at + 2]).split())
        assert " ".join(each.why.split()) in " ".join(" ".join(narrow[at:]).split())
