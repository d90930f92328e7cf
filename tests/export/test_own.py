"""Files of our own: replaced as long as nobody edited them, however a run ended."""

import contextlib
import os
import tempfile
from pathlib import Path

import pytest

from kmon_analysis.errors import OutputError
from kmon_analysis.export.own import RECORD, check_own, put_together

NAMES = ("a.txt", "b.txt", "folder")
NOBODY = 65534


def put(place, text, target):
    staged = place / "staged"
    (staged / "folder").mkdir(parents=True)
    for name in ("a.txt", "b.txt", "folder/c.txt"):
        (staged / name).write_text(text)
    put_together(staged, target, NAMES)


def texts(target):
    return [(target / name).read_text() for name in ("a.txt", "b.txt", "folder/c.txt")]


def test_a_new_folder_is_renamed_whole_and_a_later_run_replaces_it(tmp_path):
    target = tmp_path / "out"
    for text in ("one", "two"):
        put(tmp_path / text, text, target)
        assert texts(target) == [text] * 3
    assert {path.name for path in target.iterdir()} == {*NAMES, RECORD}
    assert not (tmp_path / "one/staged").exists()


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"files": {"a.txt": 1}}'])
def test_what_is_not_known_is_not_replaced(tmp_path, broken):
    target = tmp_path / "out"
    put(tmp_path / "one", "one", target)
    (target / RECORD).write_text(broken)
    with pytest.raises(OutputError, match="was not written by kmon or was edited since"):
        put(tmp_path / "two", "two", target)
    assert texts(target) == ["one"] * 3


def test_a_run_that_ended_in_between_can_be_repeated(tmp_path, monkeypatch):
    target = tmp_path / "out"
    put(tmp_path / "one", "one", target)
    whole = Path.replace

    def ends(path, other):
        if Path(other).name == "b.txt":
            raise KeyboardInterrupt
        return whole(path, other)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", ends)
        with pytest.raises(KeyboardInterrupt):
            put(tmp_path / "two", "two", target)
    assert texts(target) == ["two", "one", "one"]
    put(tmp_path / "three", "three", target)
    assert texts(target) == ["three"] * 3
    (target / "a.txt").write_text("one")
    with pytest.raises(OutputError):
        check_own(target, NAMES)


@contextlib.contextmanager
def without_rights():
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_file_that_cannot_be_read_is_refused_by_name():
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        secret = Path(folder) / "a.txt"
        secret.write_text("theirs")
        secret.chmod(0)
        with (
            without_rights(),
            pytest.raises(OutputError, match="is there and cannot be read: Permission denied") as caught,
        ):
            check_own(Path(folder), NAMES)
        assert caught.value.place == str(secret)
