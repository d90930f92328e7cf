"""Whatever is wrong with what the user gives: one error with place, value and cure; no traces left."""

import os
import shutil

import pytest

from tests.cli.conftest import spawned, tree

GOOD = """groups:
- name: g
  rules:
  - alert: Lag
    expr: kafka_consumer_lag_sum > 1000
"""
BAD_RULES = {
    "yaml": ("groups:\n- name: [\n", ["rules.yml:3:1: not valid YAML"]),
    "two expressions": (
        GOOD + "  - alert: Sum\n    expr: sum(lag\n  - alert: Rate\n    expr: rate(lag) > 1\n",
        ["rules.yml:7:", "'Sum'", "rules.yml:9:", "'Rate'"],
    ),
    "1.x": ("ALERT Lag\n  IF lag > 1000\n  FOR 5m\n", ["'ALERT Lag …' is Prometheus 1.x syntax", "alert: Lag"]),
    "empty": ("", ["rules.yml:1:1: the file is empty", "starts with 'groups:'"]),
    "binary": (b"\x00\x01\xfe\xff" * 9, ["rules.yml", "not UTF-8: byte 0xfe"]),
    "no alert": ("groups:\n- name: g\n  rules: [{record: a, expr: b}]\n", ["has no alerting rule"]),
    "not supported": (
        "groups:\n- name: g\n  rules: [{alert: A, expr: 'histogram_sum(b) > 1'}]\n",
        ["rules.yml:3:11: 'A' cannot be evaluated", "histogram_sum", "--prometheus URL"],
    ),
}


@pytest.mark.parametrize("verb", ["backtest", "tune"])
@pytest.mark.parametrize("case", BAD_RULES)
def test_rule_files(kmon, world, tmp_path, case, verb):
    text, words = BAD_RULES[case]
    rules = tmp_path / "rules.yml"
    rules.write_bytes(text if isinstance(text, bytes) else text.encode())
    before = tree(tmp_path)
    more = ("-o", tmp_path / "new" / "out", "--max-delay", "10m") if verb == "tune" else ()
    said = kmon(verb, "--history", world.history, "--rules", rules, *more).refused()
    for word in words:
        assert word in said
    assert tree(tmp_path) == before


@pytest.mark.parametrize(("name", "words"), [("nowhere.yml", "there is no such file"), (".", "this is a directory")])
def test_a_rule_file_that_is_none(kmon, world, tmp_path, name, words):
    said = kmon("backtest", "--history", world.history, "--rules", tmp_path / name).refused()
    assert f"{tmp_path / name}: {words}" in said


def incident(start, end, **more):
    fields = "".join(f", {key}: {value}" for key, value in more.items())
    return f"incidents:\n- {{id: INC-9, start: '{start}', end: '{end}'{fields}}}\n"


BAD_INCIDENTS = {
    "backwards": (
        incident("2026-01-10T09:00:00Z", "2026-01-10T08:00:00Z"),
        ["incidents.yml:2:", "'INC-9'", "2026-01-10T08:00:00Z"],
    ),
    "no zone": (incident("2026-01-10T09:00:00", "2026-01-10T10:00:00Z"), ["'2026-01-10T09:00:00'", "zone"]),
    "outside": (
        incident("2025-01-10T09:00:00Z", "2025-01-10T10:00:00Z"),
        ["incident 'INC-9' ends before the history, which spans 2026-01-05T00:00:00Z", "Fetch that time as well"],
    ),
    "not a list": ("incidents: 7\n", ["incidents.yml"]),
    "binary": (b"\xff\xfe\x00", ["incidents.yml"]),
}


@pytest.mark.parametrize("case", BAD_INCIDENTS)
def test_incidents(kmon, world, tmp_path, case):
    text, words = BAD_INCIDENTS[case]
    path = tmp_path / "incidents.yml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    before = tree(tmp_path)
    usual = ("--history", world.history, "--rules", world.rules, "--incidents", path)
    for arguments in (
        ("backtest", *usual),
        ("tune", *usual, "--max-delay", "10m", "-o", tmp_path / "out"),
    ):
        said = kmon(*arguments).refused()
        for word in words:
            assert word in said
    assert tree(tmp_path) == before


def test_an_incident_of_an_unknown_rule_is_a_warning_with_the_nearest_name(kmon, world, tmp_path):
    path = tmp_path / "incidents.yml"
    path.write_text(incident("2026-01-10T09:00:00Z", "2026-01-10T10:00:00Z", rules="[HighConsumerLagg]"))
    found = kmon("backtest", "--history", world.history, "--rules", world.rules, "--incidents", path)
    assert found.status == 0
    assert "warning" not in found.out
    assert "incidents.yml:2:3: incident 'INC-9' names the rule 'HighConsumerLagg'" in found.err
    assert "Did you mean 'HighConsumerLag'?" in found.err


def test_warnings_of_one_kind_are_not_said_forever(kmon, world, tmp_path):
    path = tmp_path / "incidents.yml"
    lines = [
        f"- {{id: X-{n}, start: 2026-01-1{n}T09:00:00Z, end: 2026-01-1{n}T10:00:00Z, rules: [Other, Others]}}"
        for n in range(8)
    ]
    path.write_text("\n".join(["incidents:", *lines, ""]))
    found = kmon("backtest", "--history", world.history, "--rules", world.rules, "--incidents", path)
    assert found.err.count("names the rules 'Other', 'Others'") == 3
    assert "warning: 5 more incidents name rules that are not in the rule file" in found.err
    path.write_text("\n".join(["incidents:", *lines, ""]).replace("2026", "2025"))
    outside = kmon("backtest", "--history", world.history, "--rules", world.rules, "--incidents", path).refused()
    assert outside.count("ends before the history") == 3
    assert "5 more incidents lie outside, too" in outside


def test_a_metric_that_is_not_there_is_a_warning(kmon, world, tmp_path):
    rules = tmp_path / "rules.yml"
    rules.write_text(
        GOOD + "  - {alert: A, expr: 'other{topic=\"x\"} > 1'}\n  - {alert: B, expr: 'sum(other{topic=\"x\"}) > 9'}\n"
        "  - {record: made, expr: kafka_consumer_lag_sum}\n  - {alert: C, expr: made > 1}\n"
    )
    found = kmon("backtest", "--history", world.history, "--rules", rules, "--group-by", "topic,tpic")
    assert found.status == 0
    assert [line.split() for line in found.out.splitlines() if line[:2] in ("A ", "B ")] == [
        ["A", "no", "data", *"––––"],
        ["B", "no", "data", *"––––"],
    ]
    notes = [
        'the history holds nothing of other{topic="x"}, needed by A, B',
        "group_by: no alert has the label 'tpic', so it tells no pages apart. Did you mean 'topic'?",
    ]
    assert [line for line in found.out.splitlines() if line in notes] == notes
    said = kmon("backtest", "--history", world.history, "--rules", rules, "--group-by", "topic,tpic", "--json").err
    assert said.splitlines()[:2] == [f"warning: {note}" for note in notes]


def test_the_release_that_is_replayed_is_said_where_nobody_named_it(kmon, undrawn, world, tmp_path):
    usual, named = ("--history", world.history, "--rules", world.rules), ("--semantics", "2.42")
    words = (
        "the history names no Prometheus release; its rules are replayed as in 3.5, unless --semantics (in Python: "
        "settings=km.Settings(version=...)) names another"
    )
    assert words in kmon("backtest", *usual).out.splitlines()
    assert f"note: {words}" in kmon("backtest", *usual, "--json").err.splitlines()
    tuned = ("tune", *usual, "--incidents", world.incidents, "--max-delay", "30m", "-o", tmp_path / "out")
    assert f"note: {words}" in kmon(*tuned).err.splitlines()
    for arguments in (("backtest", *usual, *named), ("backtest", *usual, *named, "--json"), (*tuned, *named)):
        found = kmon(*arguments)
        assert "--semantics" not in found.out + found.err


def test_an_incident_that_the_history_cuts_is_a_warning(kmon, world, tmp_path):
    path = tmp_path / "incidents.yml"
    path.write_text(incident("2026-01-04T23:00:00Z", "2026-01-05T01:00:00Z"))
    asked = ("backtest", "--history", world.history, "--rules", world.rules, "--incidents", path)
    found = kmon(*asked)
    assert found.status == 0
    assert "'INC-9' starts before the history" in found.out
    assert "it is not scored, and pages within it are not false" in found.out
    assert "no incidents" in found.out
    [said] = [line for line in kmon(*asked, "--json").err.splitlines() if "INC-9" in line]
    assert said.startswith("warning: ")


HEAD = 'time,"lag{topic=""a""}"\n'
TIMES = ["2026-03-01T00:00:00Z,1\n", "2026-03-01T00:01:00Z,2\n", "2026-03-01T00:02:00Z,3\n"]
BAD_HISTORIES = {
    "unordered.csv": (HEAD + TIMES[0] + TIMES[2] + TIMES[1], ["unordered.csv:4"]),
    "duplicate.csv": (HEAD + TIMES[0] + TIMES[1] + TIMES[1], ["duplicate.csv:4"]),
    "words.csv": (HEAD + "2026-03-01T00:00:00Z,much\n", ["words.csv:2", "much"]),
    "empty.csv": ("", ["empty.csv"]),
    "cut.json": ('{"status":"success","data":{"resultType":"mat', ["cut.json"]),
    "text.om": ("lag{ 7\n", ["text.om:1"]),
    "lag.xlsx": ("PK", ["lag.xlsx", "'.xlsx'", ".csv"]),
}


@pytest.mark.parametrize("name", BAD_HISTORIES)
def test_data_files(kmon, world, tmp_path, name):
    text, words = BAD_HISTORIES[name]
    (tmp_path / name).write_text(text)
    said = kmon("backtest", "--history", tmp_path / name, "--rules", world.rules).refused()
    for word in words:
        assert word in said
    assert kmon("doctor", "--history", tmp_path / name).refused() == said


@pytest.fixture
def copied(world, tmp_path):
    shutil.copytree(world.history, tmp_path / "copy")
    return tmp_path / "copy"


def test_a_cut_parquet_file(kmon, world, copied):
    [part] = copied.glob("*.parquet")
    os.truncate(part, part.stat().st_size // 2)
    said = kmon("backtest", "--history", copied, "--rules", world.rules).refused()
    assert f"{part}: is cut: {part.stat().st_size} of " in said
    assert "fetch the history again" in said


def test_a_history_without_a_manifest(kmon, world, copied):
    (copied / "manifest.json").unlink()
    said = kmon("backtest", "--history", copied, "--rules", world.rules).refused()
    assert f"{copied}: has no manifest.json" in said


def test_a_history_that_is_not_there(kmon, world, tmp_path):
    said = kmon("doctor", "--history", tmp_path / "none").refused()
    assert f"{tmp_path / 'none'}: no such history" in said


SERVER = ("--prometheus", "http://127.0.0.1:1")
BAD_OPTIONS = [
    (("backtest",), ["neither --history nor --prometheus"]),
    (("backtest", "--history", "x", *SERVER), ["both --history and --prometheus"]),
    (("backtest", *SERVER), ["neither --last nor --start"]),
    (("backtest", *SERVER, "--last", "7d", "--start", "2026-03-01T00:00:00Z"), ["both --last and --start"]),
    (("backtest", *SERVER, "--last", "fortnight"), ["--last: not a duration: 'fortnight'"]),
    (("backtest", *SERVER, "--last", "-3d"), ["--last: not a duration: '-3d'"]),
    (("backtest", *SERVER, "--last", "0s"), ["--last: a range needs a length"]),
    (("backtest", *SERVER, "--start", "2026-03-01"), ["--start:", "2026-03-01"]),
    (
        ("backtest", *SERVER, "--start", "2026-03-02T00:00:00Z", "--end", "2026-03-01T00:00:00Z"),
        ["--end: 2026-03-01T00:00:00Z is not after --start 2026-03-02T00:00:00Z"],
    ),
    (("backtest", *SERVER, "--last", "1d", "--timeout", "soon"), ["--timeout: not a duration: 'soon'"]),
    (("backtest", *SERVER, "--last", "1d", "--timeout", "0s"), ["--timeout: a server cannot answer in 0s"]),
    (("backtest", "--history", "x", "--last", "7d"), ["--last: is about fetching"]),
    (("backtest", "--history", "x", "--timeout", "7s"), ["--timeout: is about fetching"]),
    (("backtest", "--prometheus", "localhost:9090", "--last", "1d"), ["not the URL of a server: 'localhost:9090'"]),
    (("backtest", "--prometheus", "127.0.0.1:9961", "--last", "1d"), ["not the URL of a server: '127.0.0.1:9961'"]),
    (("backtest", "--prometheus", "http://me:pw@a:port/?t=x", "--last", "1d"), ["server: 'http://a:port/'"]),
    (("backtest", "--history", "x", "--merge-gap", "often"), ["--merge-gap: not a duration: 'often'"]),
    (("backtest", "--history", "x", "--semantics", "newest"), ["--semantics: not a Prometheus version: 'newest'"]),
    (("backtest", "--history", "x", "--evaluation-interval", "0s"), ["--evaluation-interval: ", "every 0s"]),
    (("backtest", "--historie", "x"), ["--historie", "kmon backtest --help"]),
    (("tune", "--history", "x", "-o", "OUT"), ["--max-delay"]),
    (("tune", "--history", "x", "-o", "OUT", "--max-delay", "quick"), ["--max-delay: not a duration: 'quick'"]),
    (("tune", "--history", "x", "-o", "OUT", "--max-delay", "0s"), ["--max-delay: "]),
    (("tune", "--history", "x", "-o", "OUT", "--max-delay", "1m", "--false-pages", "-1"), ["--false-pages: ", "-1"]),
    (("tune", "--history", "x", "-o", "OUT", "--max-delay", "1m", "--false-pages", "nan"), ["--false-pages: "]),
    (("tune", "--history", "x", "-o", "OUT", "--max-delay", "1m", "--false-pages", "few"), ["--false-pages", "few"]),
    (("tune", "--history", "x", "-o", "OUT", "--max-delay", "1m", "--placement", "2"), ["--placement: ", "2"]),
    (
        ("tune", "--history", "x", "-o", "OUT", "--max-delay", "1m", "--zone", "Europe/Berlyn"),
        ["--zone: there is no time zone 'Europe/Berlyn'", "Europe/Berlin"],
    ),
]


@pytest.mark.parametrize(("arguments", "words"), BAD_OPTIONS, ids=lambda value: " ".join(value)[:60])
def test_options(kmon, world, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    said = kmon(*arguments, "--rules", world.rules).refused()
    for word in words:
        assert word in said
    assert tree(tmp_path) == {}


REPEATED = [
    (
        ("backtest", "--history", "A", "--rules", "r", "--history", "my B"),
        "--history: is given twice: 'A' and 'my B'\n  Make one history of them: kmon import A 'my B' -o history.",
    ),
    (("tune", "-o", "x", "--out", "y"), "-o/--out: is given twice: 'x' and 'y'\n  Give it once."),
    (("fetch", "--last", "1d", "--last=1d", "--last", "2d"), "--last: is given 3 times: '1d' and '1d' and '2d'"),
    (("backtest", "--phases", "3", "--phases", "4"), "--phases: is given twice: '3' and '4'"),
    (("doctor", "--prometheus", "http://a:b@c", "--prometheus", "http://c"), "--prometheus: is given twice\n"),
    (("backtest", "--evaluate-on", "http://a?token=b", "--evaluate-on", "c"), "--evaluate-on: is given twice\n"),
    (
        ("jmx", "lint", "x.yml", "--exporter-version", "1.0", "--exporter-version", "1.1"),
        "--exporter-version: is given twice: '1.0' and '1.1'",
    ),
    (("health", "check", "--config", "a", "--config", "b"), "--config: is given twice: 'a' and 'b'"),
]


@pytest.mark.parametrize(("arguments", "words"), REPEATED, ids=lambda value: " ".join(value)[:60])
def test_an_option_that_is_given_twice_is_refused(kmon, arguments, words):
    assert words in kmon(*arguments).refused()


def test_what_may_be_repeated_may(kmon, tmp_path):
    (tmp_path / "lag.csv").write_text("time,a,b\n2026-03-01T00:00:00Z,1,2\n2026-03-01T00:01:00Z,2,3\n")
    columns = ("--column", "lag=a", "--column", "rate=b", "--json", "--json", "-q", "-q")
    assert kmon("import", tmp_path / "lag.csv", *columns, "-o", tmp_path / "h").status == 0


def test_groups_without_a_verb_say_so(kmon):
    for group in ("health", "incidents", "jmx"):
        said = kmon(group).refused()
        assert said == f"kmon {group}: Missing command.\n  kmon {group} --help tells what there is.\n"


def test_other_verbs_want_their_options_too(kmon):
    assert "'tun'" in kmon("tun").refused()
    assert "--rules" in kmon("fetch", "-o", "x", *SERVER).refused()
    assert "neither --history nor --prometheus" in kmon("doctor").refused()
    assert "both --history and --prometheus" in kmon("doctor", "--history", "x", *SERVER).refused()
    assert "--timeout: is about a server" in kmon("doctor", "--history", "x", "--timeout", "1s").refused()
    assert "PATH" in kmon("verify").refused()
    assert "nowhere: there is no such file" in kmon("verify", "nowhere").refused()


def test_an_unknown_scenario_offers_the_nearest(kmon, tmp_path):
    said = kmon("demo", "--scenario", "eight-incident", "-o", tmp_path / "out").refused()
    assert "no such scenario: 'eight-incident'" in said
    assert "Did you mean 'eight-incidents'?" in said
    assert "no-incidents" in kmon("demo", "--scenario", "x", "-o", tmp_path / "out").refused()
    assert tree(tmp_path) == {}


# ---- places that cannot be written --------------------------------------------------------------


def test_a_place_that_cannot_be_written_is_named_before_any_work(kmon, world, tmp_path):
    (tmp_path / "file").write_text("mine")
    before = tree(tmp_path)
    # Neither the rules nor the history exist: whoever looked at them first would say so.
    work = ("--history", "nowhere", "--rules", "nowhere.yml", "--max-delay", "10m")
    for out in (tmp_path / "file", tmp_path / "file" / "out", "/proc/kmon", "/proc/kmon/deep"):
        for verb in (("tune", *work), ("demo",)):
            assert str(out) in kmon(*verb, "-o", out).refused()
        fetch = ("fetch", *SERVER, "--rules", "nowhere.yml", "--last", "1d", "-o", out)
        assert "nowhere.yml" not in kmon(*fetch).refused()
        assert "nowhere.yml" not in kmon("backtest", *fetch[1:-2], "--store", out).refused()
    assert tree(tmp_path) == before


def test_a_folder_of_the_user_is_not_fetched_into(kmon, world, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    said = kmon("fetch", *SERVER, "--rules", world.rules, "--last", "1d", "-o", tmp_path).refused()
    assert f"{tmp_path}: holds something that is not a history" in said
    assert list(tree(tmp_path)) == [(tmp_path / "notes.txt").relative_to(tmp_path)]


def test_the_rules_are_not_replaced_by_their_result(kmon, world, tmp_path):
    rules = tmp_path / "rules.yml"
    shutil.copy(world.rules, rules)
    before = tree(tmp_path)
    history = ("--history", world.history, "--rules", rules, "--incidents", world.incidents)
    said = kmon("tune", *history, "--max-delay", "30m", "-o", tmp_path).refused()
    assert f"{rules}: is the rule file that is to be tuned" in said
    assert tree(tmp_path) == before


def test_a_folder_where_a_result_belongs_is_named_before_any_work(kmon, tmp_path):
    (tmp_path / "report.html").mkdir()
    work = ("--history", "nowhere", "--rules", "nowhere.yml", "--max-delay", "10m")
    assert "report.html: is a folder" in kmon("tune", *work, "-o", tmp_path).refused()


def test_a_missing_promtool_that_was_named_is_said_before_any_work(kmon, tmp_path, monkeypatch):
    monkeypatch.setenv("KMON_PROMTOOL", str(tmp_path / "none"))
    work = ("--history", "nowhere", "--rules", "nowhere.yml", "--max-delay", "10m")
    assert "KMON_PROMTOOL names" in kmon("tune", *work, "-o", tmp_path / "out").refused()


def test_the_same_holds_for_a_real_process(world, tmp_path):
    bad = tmp_path / "bad.yml"
    bad.write_text(BAD_RULES["two expressions"][0])
    out = ("--max-delay", "10m", "-o", tmp_path / "out")
    said = spawned("tune", "--history", world.history, "--rules", bad, *out).refused()
    assert "'Sum'" in said
    assert "'Rate'" in said
    assert "--rules" in spawned("tune", "--history", world.history, *out).refused()
    assert not (tmp_path / "out").exists()
