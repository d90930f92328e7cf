import pytest

from tests import tools

SKIPPED = pytest.skip.Exception
FAILED = pytest.fail.Exception


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    for name in ("KMON_REQUIRE", "KMON_DATASETS", "KMON_NO_SUCH_TOOL", "KMON_SH"):
        monkeypatch.delenv(name, raising=False)


def test_a_program_on_the_path_is_found():
    assert tools.require("sh").name == "sh"


def test_the_variable_wins_over_the_path(monkeypatch, tmp_path):
    other = tmp_path / "another sh"
    other.write_text("")
    monkeypatch.setenv("KMON_SH", str(other))
    assert tools.require("sh") == other


def test_a_variable_that_names_nothing_fails(monkeypatch, tmp_path):
    monkeypatch.setenv("KMON_SH", str(tmp_path / "absent"))
    with pytest.raises(FAILED, match="KMON_SH names"):
        tools.require("sh")


@pytest.mark.parametrize("look_up", [tools.require, tools.dataset])
def test_absent_skips_with_a_reason(look_up):
    with pytest.raises(SKIPPED, match="no-such-tool"):
        look_up("no-such-tool")


@pytest.mark.parametrize("look_up", [tools.require, tools.dataset])
def test_absent_and_required_fails(monkeypatch, look_up):
    monkeypatch.setenv("KMON_REQUIRE", "promtool, no-such-tool")
    with pytest.raises(FAILED, match="KMON_REQUIRE lists it"):
        look_up("no-such-tool")


def test_data_sets_are_found_in_the_stated_folder(monkeypatch, tmp_path):
    (tmp_path / "ingress").mkdir()
    monkeypatch.setenv("KMON_DATASETS", str(tmp_path))
    assert tools.dataset("ingress") == tmp_path / "ingress"


def test_built_judges_are_looked_for_in_the_cache(monkeypatch, tmp_path):
    monkeypatch.delenv("KMON_PROMTOOL3", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(SKIPPED, match="make judges"):
        tools.require("promtool3")
    folder = tools.judges_folder()
    folder.mkdir(parents=True)
    (folder / "promtool").write_text("")
    assert tools.require("promtool3") == folder / "promtool"


def test_kafka_is_looked_for_in_the_cache(monkeypatch, tmp_path):
    monkeypatch.delenv("KMON_KAFKA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("KMON_REQUIRE", "kafka")
    with pytest.raises(FAILED, match="make judges"):
        tools.require("kafka")
