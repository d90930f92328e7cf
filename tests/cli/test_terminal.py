"""What reaches a terminal, a pipe and a program: words, data, progress, and nothing that steers."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from kmon_analysis import __version__, cli_terminal, progress
from kmon_analysis.cli_advice import show_advice
from kmon_analysis.recommend.advice import Advice, RuleAdvice
from kmon_analysis.recommend.candidates import current_setting
from kmon_analysis.report import page
from tests.cli.conftest import environment_of, on_a_terminal, spawned
from tests.report.samples import backtest_of, replay
from tests.tools import REPOSITORY

VERBS = ("backtest", "demo", "doctor", "fetch", "lab", "postmortem", "tune", "verify")


# ---- help ---------------------------------------------------------------------------------------


def test_help_names_every_verb_and_the_exit_statuses(kmon):
    found = kmon("--help")
    assert (found.status, found.err) == (0, "")
    for verb in VERBS:
        assert re.search(rf"^  {verb} +[A-Z].*\.$", found.out, re.MULTILINE), f"{verb} is not said in one line"
    assert "3 server unreachable, 130 interrupted" in found.out
    assert max(map(len, found.out.splitlines())) <= 80
    assert kmon().err == found.out
    assert kmon().status == 2


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_fits_and_explains_every_option(kmon, verb):
    found = kmon(verb, "--help")
    assert (found.status, found.err) == (0, "")
    lines = found.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert found.out.isascii()
    heads = [place for place, line in enumerate(lines) if re.match(r"  -", line)]
    assert heads
    for place in heads:
        explained = re.match(r"  \S.*?\s{2,}[A-Z]", lines[place]) or re.match(r"\s{8,}\S", lines[place + 1])
        assert explained, lines[place]
    assert re.search(rf"^ +kmon {verb}\b", found.out.partition("Example")[2], re.MULTILINE)


def test_the_version(kmon):
    assert kmon("--version").out == f"kmon {__version__}\n"
    assert spawned("--version").out == f"kmon {__version__}\n"


# ---- encodings, pipes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "locale",
    [
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"PYTHONIOENCODING": "latin-1"},
    ],
    ids=str,
)
def test_a_terminal_without_utf8_gets_the_nearest_letters(world, tmp_path, locale):
    rules = tmp_path / "regeln-\u00e4\u5b57.yml"
    rules.write_text(world.rules.read_text().replace("HighConsumerLag", "Rückstand字"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "kmon_analysis.cli", "backtest", "--history", world.history, "--rules", rules],
        capture_output=True,
        env=environment_of(**locale),
        cwd=REPOSITORY,
    )
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert done.stdout.splitlines()[1].endswith(b" -"), "no delay, and no dash either"
    name = b"R\xfcckstand\\u5b57" if "PYTHONIOENCODING" in locale else b"R\\xfcckstand\\u5b57"
    assert name in done.stdout


def test_spelling():
    assert "a – b • c … “d” 字".encode("ascii", errors="kmon-test").decode() == r'a - b * c ... "d" ' + "\\u5b57"


@pytest.fixture(autouse=True, scope="module")
def registered():
    import codecs

    codecs.register_error("kmon-test", cli_terminal.spell)


@pytest.mark.parametrize("unbuffered", [None, "1"])
@pytest.mark.parametrize("arguments", [("--version",), ("doctor", "--json", "--history")], ids=str)
def test_a_reader_that_leaves_early_is_no_finding(world, arguments, unbuffered):
    reader, writer = os.pipe()
    os.close(reader)
    more = [world.history] if "--history" in arguments else []
    done = subprocess.run(
        [sys.executable, "-m", "kmon_analysis.cli", *arguments, *more],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env=environment_of(PYTHONUNBUFFERED=unbuffered),
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


# ---- hostile names ------------------------------------------------------------------------------

HOSTILE = "[bold red]Lag\x1b[31m\u202egal\x9b2J\x07[/]"
ESCAPED = "[bold red]Lag\\x1b[31m\\u202egal\\x9b2J\\x07[/]"


@pytest.fixture
def hostile(world, tmp_path):
    rules = tmp_path / "rules.yml"
    name = json.dumps(HOSTILE)
    text = world.rules.read_text().replace("alert: HighConsumerLag", f"alert: {name}")
    text += (
        f"  - alert: {json.dumps(HOSTILE + ' 2')}\n    expr: 'histogram_sum({{__name__=\"a\", topic={name}}}) > 1'\n"
    )
    rules.write_text(text)
    incidents = tmp_path / "incidents.yml"
    incidents.write_text(
        world.incidents.read_text().replace("id: INC-1\n", f"id: {name}\n").replace("kind-1", "kind-0")
    )
    return ("--history", world.history, "--rules", rules, "--incidents", incidents)


def harmless(text):
    """Tell whether nothing but printable characters and line breaks is left."""
    return all(char.isprintable() or char == "\n" for char in text)


def test_hostile_names_are_shown_escaped(kmon, hostile, tmp_path, monkeypatch):
    found = kmon("backtest", *hostile)
    assert found.status == 0
    assert harmless(found.out + found.err)
    assert ESCAPED in found.out
    assert f"{ESCAPED} 2 is not evaluated" in found.err
    found = kmon("tune", *hostile, "--max-delay", "30m", "-o", tmp_path / "out")
    assert found.status == 0
    assert harmless(found.out + found.err)
    assert ESCAPED in found.out
    assert "\x1b" not in (tmp_path / "out" / "report.html").read_text()
    # The same but for what is printed: its pictures have been looked at.
    monkeypatch.setattr(page, "_pictures", lambda *_: [])
    found = kmon("tune", *hostile, "--max-delay", "30m", "-o", tmp_path / "out", "--json")
    assert harmless(found.out + found.err)
    assert json.loads(found.out)["rules"][0]["rule"] == HOSTILE
    assert "\x1b" not in (tmp_path / "out" / "report.html").read_text()


def test_hostile_faults_are_shown_escaped(kmon, world, tmp_path):
    rules = tmp_path / "rules\x1b[31m.yml"
    said = kmon("backtest", "--history", world.history, "--rules", rules).refused()
    assert "rules\\x1b[31m.yml: there is no such file" in said
    rules.write_text(
        f"groups:\n- name: g\n  rules:\n  - alert: a\n    expr: 'sum(\u202e{'{'}'\n  - {json.dumps(HOSTILE)}: 1\n"
    )
    said = kmon("backtest", "--history", world.history, "--rules", rules).refused()
    assert harmless(said)
    incidents = tmp_path / "incidents.csv"
    incidents.write_text("id,start,end\nINC\u202e,2026-01-05T00:00:00Z,yester\x1b[1mday\n")
    usual = ("--history", world.history, "--rules", world.rules)
    assert harmless(kmon("backtest", *usual, "--incidents", incidents).refused())
    assert harmless(kmon("backtest", "--history", f"no\x1b[31m{HOSTILE}", "--rules", world.rules).refused())
    assert harmless(kmon(f"no\x1b[31m{HOSTILE}").refused())


# ---- a terminal ---------------------------------------------------------------------------------


def test_a_terminal_sees_what_is_going_on(world, tmp_path):
    incidents = ("--incidents", world.incidents)
    usual = ("--history", world.history, "--rules", world.rules, *incidents)
    status, out, seen = on_a_terminal("tune", *usual, "--max-delay", "30m", "-o", tmp_path / "out", "--json")
    assert status == 0
    stages = ["opening the history", "replaying the rules", "tuning HighConsumerLag", "drawing the report"]
    places = [seen.find(stage) for stage in stages]
    assert places == sorted(places)
    assert -1 not in places
    assert re.search(r"\d+%", seen)
    assert json.loads(out)["version"] == 1, "progress never meets the data"
    # What was wiped away leaves the words alone on the screen.
    assert seen.rstrip().endswith("report.html")


def test_reasons_hang_under_their_first_line(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    rule = replay(np.arange(60.0))
    entry = RuleAdvice(rule.name, "keep", "Keep", ("word " * 30, "[b]x[/b]"), current_setting(rule))
    show_advice(Advice(backtest_of(rule), None, {rule.name: replace(entry, past_current=rule.score())}))
    lines = capsys.readouterr().out.splitlines()
    reasons = lines[lines.index(f"{rule.name}: Keep") + 1 :]
    assert [line[:4] for line in reasons] == ["  • ", *["    "] * (len(reasons) - 2), "  • "]
    assert len(reasons) > 3
    assert max(map(len, lines)) <= 60
    assert reasons[-1] == "  • [b]x[/b]"


@pytest.mark.parametrize("asked", ["-q jmx lint absent.yml", "jmx lint -q absent.yml", "jmx lint absent.yml --quiet"])
def test_quiet_may_stand_behind_the_verb_too(kmon, asked):
    assert kmon(*asked.replace("-q ", "").replace(" --quiet", "").split()).status == 2
    assert progress._said["hush"] is False
    try:
        assert "there is no such file" in kmon(*asked.split()).refused()
        assert progress._said["hush"] is True
    finally:
        progress.quiet(False)
