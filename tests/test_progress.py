from __future__ import annotations

import io
import sys
import threading

import pytest

from kmon_analysis import progress
from kmon_analysis.progress import QUIET, quiet, working
from tests.tools import REPOSITORY


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Place:
    """Where a notebook's bar would be, with what was written there."""

    def __init__(self):
        self.written, self.closed, self.there = [], 0, threading.Event()

    def __call__(self, markup):
        self.write(markup)
        self.there.set()
        return self

    def write(self, markup):
        self.written.append(markup)

    def close(self):
        self.closed += 1


@pytest.fixture
def place(monkeypatch):
    made = Place()
    monkeypatch.delenv(QUIET, raising=False)
    monkeypatch.setattr(progress, "_watched", lambda: True)
    monkeypatch.setattr(progress, "_place", made)
    monkeypatch.setattr(progress, "PATIENCE_S", 0.0)
    return made


def test_nothing_is_shown_where_nobody_looks(capsys):
    for terminal in (True, False):
        with working("waiting", terminal=terminal) as work:
            work.begin("next")
            work.update(1, 2)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_sees_the_title_and_can_be_hushed(monkeypatch):
    monkeypatch.delenv(QUIET, raising=False)

    def seen(terminal=True):
        monkeypatch.setattr(sys, "stderr", Terminal())
        with working("read\x1b[31m this", terminal=terminal) as work:
            work.update(1, 2)
        return sys.stderr.getvalue()

    assert "read\\x1b[31m this" in seen()
    assert seen(terminal=False) == ""
    quiet()
    assert seen() == ""
    quiet(False)
    assert seen() != ""
    monkeypatch.setenv(QUIET, "1")
    assert seen() == ""


@pytest.mark.parametrize("stream", ["closed", "none"])
def test_a_closed_stream_stops_no_work(monkeypatch, stream):
    gone = Terminal()
    gone.close()
    monkeypatch.setattr(sys, "stderr", gone if stream == "closed" else None)
    with working("waiting") as work:
        work.update(1, 2)


def test_a_stream_that_closes_later_stops_no_work(monkeypatch):
    monkeypatch.delenv(QUIET, raising=False)
    monkeypatch.setattr(sys, "stderr", Terminal())
    with working("waiting") as work:
        sys.stderr.close()
        work.begin("next")
        work.update(1, 2)


def test_a_notebook_sees_a_bar_that_is_gone_in_the_end(place):
    with working("<b>reading</b>", terminal=False) as work:
        assert place.there.wait(60)
        work.update(1, 4)
        work.update(1, 4)
        work.begin("next \u202e")
        with working("inner", terminal=False) as inner:
            inner.update(3, 4)
    first, quarter, following, nested, done = place.written
    assert 'role="status"' in first
    assert "&lt;b&gt;reading&lt;/b&gt;" in first
    assert "value=" not in first
    assert 'value="25"' in quarter
    assert "next \\u202e" in following
    assert "inner" in nested
    assert 'value="75"' in done
    assert place.closed == 1


def test_quick_work_and_hushed_work_show_no_bar(place, monkeypatch):
    monkeypatch.setattr(progress, "PATIENCE_S", 3600.0)
    with working("quick") as work:
        work.update(1, 1)
    monkeypatch.setattr(progress, "PATIENCE_S", 0.0)
    monkeypatch.setenv(QUIET, "1")
    with working("hushed"):
        pass
    assert (place.written, place.closed) == ([], 0)


def test_a_bar_that_cannot_be_shown_stops_no_work(place, monkeypatch):
    tried = threading.Event()

    def fail(markup):
        tried.set()
        raise RuntimeError("no front end")

    monkeypatch.setattr(progress, "_place", fail)
    with working("waiting") as work:
        assert tried.wait(60)
        work.update(1, 2)
    assert progress._current.get() is None


KERNEL = """
import sys, time, warnings
from kmon_analysis import progress
progress.PATIENCE_S = 0.0
bars = []
real = progress._place
def noted(markup):
    bars.append(real(markup))
    return bars[-1]
progress._place = noted
"""
WORK = """
with progress.working("waiting", terminal=False) as work:
    end = time.monotonic() + {limit}
    while not bars and time.monotonic() < end:
        time.sleep(0.02)
    work.update(1, 2)
    print("said meanwhile")
print(len(bars), [type(bar).__name__ for bar in bars])
"""
WATCHED = "get_ipython().kernel._allow_stdin = True\n"


def test_a_kernel_shows_the_bar_to_people_only_and_keeps_what_is_printed():
    import nbformat
    from nbclient import NotebookClient

    cells = [
        KERNEL,
        WORK.format(limit=0.2),
        WATCHED + WORK.format(limit=60),
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(REPOSITORY)}}).execute()
    _, alone, shown = [cell.outputs for cell in notebook.cells]
    printed = ["".join(out.get("text", "") for out in outputs) for outputs in (alone, shown)]
    assert printed == [
        "said meanwhile\n0 []\n",
        "said meanwhile\n1 ['_Display']\n",
    ]
    assert [out.output_type for out in alone] == ["stream"]
    [left] = [out for out in shown if out.output_type == "display_data"]
    assert left.data["text/html"] == ""
    # A front end that opens the saved notebook has no widget to look for.
    assert "widget" not in nbformat.writes(notebook).replace(KERNEL, "")
