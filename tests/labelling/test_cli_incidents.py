"""The verbs of ``kmon incidents``, and what becomes of suggestions in the others."""

import json

import pytest

from kmon_analysis import cli
from kmon_analysis.incidents import read_incidents
from tests.recommend.world import RULES, lag_history


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("service")
    history, _ = lag_history(4, incidents=(8.4, 12.3, 17.6))
    history.save(folder / "history")
    (folder / "rules.yml").write_text(RULES.format(threshold=500), encoding="utf-8")
    return folder


@pytest.fixture
def kmon(capfd):
    def run(*arguments):
        capfd.readouterr()
        status = cli.main([str(argument) for argument in arguments])
        return (status, *capfd.readouterr())

    return run


@pytest.fixture
def source(place):
    return ("--history", place / "history", "--rules", place / "rules.yml")


def test_suggest_prints_a_table_and_what_it_is_not(kmon, source):
    status, out, _ = kmon("incidents", "suggest", *source, "--most", 3)
    assert status == 0
    assert out.splitlines()[0].startswith("3 suggestions, ")
    assert "SUG-003" in out
    assert "These are suggestions, no incidents" in out


def test_suggest_as_data(kmon, source):
    status, out, err = kmon("incidents", "suggest", *source, "--most", 2, "--json")
    assert status == 0
    found = json.loads(out)
    assert [each["id"] for each in found] == ["SUG-001", "SUG-002"]
    assert {"start", "end", "strength", "labels", "rules", "why", "signs"} <= set(found[0])
    assert "each needs a person who knows what happened" in err


def test_suggestions_are_written_and_neither_scored_nor_tuned_on(kmon, source, tmp_path):
    path = tmp_path / "incidents.yml"
    status, _, err = kmon("incidents", "suggest", *source, "--most", 3, "-o", path)
    assert status == 0
    assert f"written: {path} (3 entries added)" in err
    assert len(read_incidents(path).suggested) == 3
    status, out, err = kmon("backtest", *source, "--incidents", path)
    assert status == 0
    assert "no incidents" in out
    assert "'SUG-001' and 2 more are suggestions that nobody has decided on" in err
    assert err.count("SUG-") == 1
    assert f"kmon incidents review --incidents {path}" in err
    status, out, err = kmon("tune", *source, "--incidents", path, "--max-delay", "10m", "-o", tmp_path / "tuned")
    assert (status, out) == (2, "")
    assert f"{path}:7:5: 'SUG-001' and 2 more are suggestions" in err
    assert f"Decide with: kmon incidents review --incidents {path}" in err
    assert not (tmp_path / "tuned").exists()


def test_confirmed_suggestions_are_scored_and_the_circle_is_said(kmon, source, tmp_path):
    path = tmp_path / "incidents.yml"
    kmon("incidents", "suggest", *source, "--most", 2, "-o", path)
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace("    status: suggested\n", "", 1).replace("suggested\n", "rejected\n"), encoding="utf-8"
    )
    status, out, err = kmon("backtest", *source, "--incidents", path)
    assert status == 0
    assert "1 of 1" in out
    sentence = "of the 1 incident that HighConsumerLag is scored on, its own breaches suggested 1"
    assert sentence in err
    assert sentence in out
    status, _, err = kmon("incidents", "suggest", *source, "--most", 2, "-o", path)
    assert status == 0
    assert [each.id for each in read_incidents(path).suggested] == ["SUG-003", "SUG-004"]


TABLE = "ticket,opened,closed\nT-1,2026-01-10 09:00,2026-01-10 09:30\nT-2,2026-01-11 09:00,\n"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "tickets.csv"
    path.write_text(TABLE, encoding="utf-8")
    columns = [word for each in ("id=ticket", "start=opened", "end=closed") for word in ("--column", each)]
    return (path, "--from", "csv", *columns)


def test_import_writes_and_says_what_it_left_out(kmon, table, tmp_path):
    out_file = tmp_path / "incidents.yml"
    status, out, err = kmon("incidents", "import", *table, "--zone", "Europe/Berlin", "-o", out_file)
    assert status == 0
    assert out.splitlines()[1].split()[:2] == ["T-1", "2026-01-10T08:00:00Z"]
    assert "left out, it has no end yet (--open-until gives it one): 'T-2' (line 3)" in err
    assert [each.id for each in read_incidents(out_file)] == ["T-1"]
    before = out_file.read_bytes()
    status, _, err = kmon("incidents", "import", *table, "--zone", "Europe/Berlin", "-o", out_file)
    assert status == 0
    assert "'T-1' is in the list already: it stays as it is" in err
    assert f"nothing to add: {out_file} is as it was" in err
    assert out_file.read_bytes() == before


def test_a_better_mapping_is_given_to_the_entries_that_are_there(kmon, tmp_path):
    export, out_file = tmp_path / "export.csv", tmp_path / "incidents.yml"
    export.write_text("id,start,end,service\nT-1,2026-01-10T08:00:00Z,2026-01-10T09:00:00Z,mail\n")
    asked = ("incidents", "import", export, "--from", "csv", "-o", out_file)
    assert kmon(*asked)[0] == 0
    assert "stays as it is" in kmon(*asked, "--map", "mail=Lag{group=mail}")[2]
    status, _, err = kmon(*asked, "--map", "mail=Lag{group=mail}", "--replace")
    assert status == 0
    assert "'T-1' concerns Lag{group=\"mail\"} now; it was everything" in err
    assert "(0 entries added, 1 mapped anew)" in err
    assert read_incidents(out_file)["T-1"].rules == ("Lag",)


def test_an_import_of_nothing_makes_no_list(kmon, table, tmp_path):
    mapped = ("--map", "Kafka=HighConsumerLag", "--only-mapped", "--column", "service=ticket", "--zone", "UTC")
    status, out, err = kmon("incidents", "import", *table, *mapped, "-o", tmp_path / "none.yml")
    assert (status, out) == (0, "nothing was taken over\n")
    assert f"nothing to add: {tmp_path / 'none.yml'} was not made" in err
    assert not (tmp_path / "none.yml").exists()


def test_import_as_data(kmon, table):
    status, out, _ = kmon("incidents", "import", *table, "--zone", "UTC", "--json")
    assert status == 0
    [only] = json.loads(out)
    assert (only["id"], only["status"]) == ("T-1", "confirmed")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "which has no time zone"),
        (["--zone", "Mars"], "is no time zone"),
        (["--column", "start"], "--column: 'start' names no column"),
        (["--column", "start=a"], "--column: 'start' is given twice"),
        (["--last", "30d"], "--last: is about a server"),
        (["--prometheus", "http://127.0.0.1:1"], "both FILE and --prometheus are given"),
        (["--only-mapped", "--zone", "UTC"], "nothing is mapped"),
        (["--merge-gap", "soon", "--zone", "UTC"], "--merge-gap: not a duration"),
        (["-o", "list.csv", "--zone", "UTC"], "is a table"),
        (["-o", "list.yml", "--zone", "UTC", "--replace"], "--replace: gives entries of a list what --map says"),
    ],
)
def test_import_refuses_before_it_writes(kmon, table, arguments, problem):
    status, out, err = kmon("incidents", "import", *table, *arguments)
    assert (status, out) == (2, "")
    assert problem in err
    assert "Traceback" not in err


def test_import_without_a_source_and_from_elsewhere(kmon, table):
    assert kmon("incidents", "import", "--from", "csv")[0] == 2
    status, _, err = kmon("incidents", "import", table[0], "--from", "jira")
    assert status == 2
    assert "'jira' is no known source" in err
    status, _, err = kmon(
        "incidents", "import", "--from", "pagerduty", "--prometheus", "http://127.0.0.1:1", "--last", "1h"
    )
    assert status == 2
    assert "--prometheus: is about alerts" in err
    status, _, err = kmon(
        "incidents", "import", "--from", "alerts", "--prometheus", "http://127.0.0.1:1", "--last", "1h"
    )
    assert status == 3


def test_a_list_that_is_no_list_is_refused_before_the_work(kmon, source, table, tmp_path):
    path = tmp_path / "incidents.yml"
    path.write_text("incidents: 3\n", encoding="utf-8")
    for verb in (("suggest", *source), ("import", *table, "--zone", "UTC")):
        status, out, err = kmon("incidents", *verb, "-o", path)
        assert (status, out) == (2, "")
        assert "'incidents' must be a list" in err
    assert path.read_text(encoding="utf-8") == "incidents: 3\n"
