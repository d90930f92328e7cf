"""`kmon import`: a table becomes a history that every verb takes."""

import json

import pytest

import kmon_analysis as km
from kmon_analysis.labels import parse_series


def exported(history, place, zone, written, comma=False):
    """Write a history as a dashboard would: local times, legends for names."""
    table = history.to_frame()
    names = {str(series): f"Lag {number}" for number, series in enumerate(table.columns)}
    table.columns = list(names.values())
    table.index = table.index.tz_convert(zone).strftime(written)
    table.to_csv(
        place, index_label="Time", lineterminator="\r\n", sep=";" if comma else ",", decimal="," if comma else "."
    )
    return [argument for series, name in names.items() for argument in ("--column", f"{series}={name}")]


@pytest.mark.parametrize(
    ("written", "more"),
    [
        ("%Y-%m-%d %H:%M:%S", ()),
        ("%d.%m.%Y %H:%M:%S", ("--time-format", "%d.%m.%Y %H:%M:%S", "--decimal-comma")),
    ],
)
def test_a_table_in_local_time_replays_as_the_history_does(kmon, world, tmp_path, written, more):
    history = km.open_history(world.history)
    columns = exported(history, tmp_path / "lag.csv", "America/Phoenix", written, comma=bool(more))
    found = kmon("import", tmp_path / "lag.csv", "--zone", "America/Phoenix", *more, *columns, "-o", tmp_path / "h")
    assert (found.status, found.out) == (0, f"{tmp_path / 'h'}\n")
    assert km.open_history(tmp_path / "h").digest == history.digest
    usual = ("--rules", world.rules, "--incidents", world.incidents, "--json")
    before, after = (kmon("backtest", "--history", place, *usual) for place in (world.history, tmp_path / "h"))
    assert (after.status, json.loads(after.out)) == (0, json.loads(before.out))


def test_the_error_of_a_history_is_mended_by_what_it_says(kmon, world, tmp_path):
    file = tmp_path / "my lag.csv"
    file.write_text("Time,up\n2026-03-01 00:00:00,1\n2026-03-01 00:00:15,1\n")
    said = kmon("backtest", "--history", file, "--rules", world.rules).refused()
    assert f"kmon import '{file}' --zone Europe/Berlin -o history" in said
    assert said == kmon("doctor", "--history", file).refused()
    assert "--zone Europe/Berlin" in kmon("import", file, "-o", tmp_path / "h").refused()
    assert not (tmp_path / "h").exists()
    found = kmon("import", file, "--zone", "Europe/Berlin", "-o", tmp_path / "h", "--json")
    assert json.loads(found.out)["digest"] == km.open_history(file, zone="Europe/Berlin").digest
    assert kmon("doctor", "--history", tmp_path / "h").status == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--zone", "Berlin"), ["--zone: there is no time zone 'Berlin'", "Europe/Berlin"]),
        (("--time-format", "%d.%m."), ["--time-format: ", "names no year"]),
        (("--unit", "h"), ["--unit: 'h' is no unit", "ns"]),
        (("--unit", "s", "--time-format", "%Y"), ["exclude each other"]),
        (("--scrape-interval", "often"), ["--scrape-interval: not a duration"]),
        (("--column", "lag"), ["--column: 'lag' names no column"]),
        (("--column", "lag=a", "--column", "lag=b"), ["--column: 'lag' is given twice"]),
        (("--column", 'lag{a="x=y"}=gone'), ["no column is called 'gone'"]),
    ],
)
def test_options_that_make_no_sense(kmon, tmp_path, arguments, words):
    (tmp_path / "x.csv").write_text("time,up\n1767225600,1\n")
    said = kmon("import", tmp_path / "x.csv", "-o", tmp_path / "h", *arguments).refused()
    assert all(word in said for word in words)
    assert not (tmp_path / "h").exists()


def test_a_series_may_hold_equals_signs_and_braces(kmon, tmp_path):
    name = 'lag{a="x=}y", b="\\"="}'
    (tmp_path / "x.csv").write_text("time,a=b\n1767225600,1\n")
    assert kmon("import", tmp_path / "x.csv", "--column", f"{name}=a=b", "-o", tmp_path / "h").status == 0
    assert list(km.open_history(tmp_path / "h").series.labels) == [parse_series(name)]
