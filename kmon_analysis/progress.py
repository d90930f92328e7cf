"""What is going on, for the person who waits: a bar in a terminal or in a notebook, gone when the work is done."""

from __future__ import annotations

import html
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from threading import RLock, Timer
from typing import Any

from kmon_analysis.errors import printable

__all__ = ["QUIET", "Work", "quiet", "working"]

# Set to anything but 0: nothing is shown.
QUIET = "KMON_QUIET"
# What is done sooner shows nothing in a notebook: a bar that flashes says less than none.
PATIENCE_S = 0.7


@dataclass
class Work:
    """What is going on.

    Attributes
    ----------
    begin : callable
        Told the title of the next stage, whose length is not known yet.
    update : callable
        Told how many steps are done, and how many there are.
    """

    begin: Callable[[str], None] = field(default=lambda title: None)
    update: Callable[[int, int], None] = field(default=lambda done, total: None)


_current: ContextVar[Work | None] = ContextVar("work", default=None)


_said = {"hush": False}


def quiet(hush: bool = True) -> None:
    """Show no progress from now on, or show it again; the environment variable `QUIET` does the same from outside."""
    _said["hush"] = hush


@contextmanager
def working(title: str, *, terminal: bool = True) -> Iterator[Work]:
    """Show what is going on, on stderr when that is a terminal, or in a notebook that somebody looks at.

    Parameters
    ----------
    title : str
        Of the first stage.
    terminal : bool
        False: in notebooks only, for what libraries do by themselves.

    Notes
    -----
    Nothing is left when the work ends. Work inside of other work shows itself there. What cannot be shown is no
    reason to stop: a closed stream, a kernel without a display.
    """
    outer = _current.get()
    if outer is not None:
        outer.begin(title)
        yield outer
        return
    if _said["hush"] or os.environ.get(QUIET, "0") not in ("", "0"):
        yield Work()
        return
    shown = _notebook(title) if _watched() else _terminal(title) if terminal and _is_terminal() else None
    if shown is None:
        yield Work()
        return
    with shown as work:
        token = _current.set(work)
        try:
            yield work
        finally:
            _current.reset(token)


def _is_terminal() -> bool:
    try:
        return sys.stderr is not None and sys.stderr.isatty()
    except ValueError:
        return False


@contextmanager
def _terminal(title: str) -> Iterator[Work]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task(printable(title), total=None)

    def begin(title: str) -> None:
        with suppress(OSError, ValueError):
            bar.reset(task, description=printable(title), total=None)

    def update(done: int, total: int) -> None:
        with suppress(OSError, ValueError):
            bar.update(task, completed=done, total=total)

    with suppress(OSError, ValueError):
        bar.start()
    try:
        yield Work(begin, update)
    finally:
        with suppress(OSError, ValueError):
            bar.stop()


# ---- notebooks ----------------------------------------------------------------------------------


def _watched() -> bool:
    """Tell whether this runs in a notebook's kernel for somebody who could also be asked a question."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    kernel = getattr(shell, "kernel", None)
    # Programs that execute notebooks (nbclient, nbconvert) take no input, and would save the bar.
    return kernel is not None and bool(getattr(kernel, "_allow_stdin", True))


@contextmanager
def _notebook(title: str) -> Iterator[Work]:
    bar = _NotebookBar(title)
    timer = Timer(PATIENCE_S, copy_context().run, (bar.show,))
    timer.daemon = True
    timer.start()
    try:
        yield Work(bar.begin, bar.update)
    finally:
        timer.cancel()
        bar.close()


class _NotebookBar:
    """A native progress element that is shown late and taken away at the end; its failures end no work.

    Rich's own bar for notebooks is an output widget: while it draws, it swallows what anybody prints or warns.
    """

    def __init__(self, title: str) -> None:
        self._lock = RLock()
        self._title, self._percent = title, -1
        self._place: Any = None
        self._closed = False

    def begin(self, title: str) -> None:
        with self._lock:
            self._title, self._percent = title, -1
            self._write()

    def update(self, done: int, total: int) -> None:
        percent = min(100 * done // total, 100) if total > 0 else -1
        with self._lock:
            if percent != self._percent:
                self._percent = percent
                self._write()

    def show(self) -> None:
        with self._lock:
            if not self._closed:
                with suppress(Exception):
                    self._place = _place(self._markup())

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._place is not None:
                with suppress(Exception):
                    self._place.close()

    def _write(self) -> None:
        if self._place is not None:
            with suppress(Exception):
                self._place.write(self._markup())

    def _markup(self) -> str:
        title = html.escape(printable(self._title))
        value = "" if self._percent < 0 else f' value="{self._percent}"'
        share = "" if self._percent < 0 else f" {self._percent} %"
        return (
            f'<div role="status"><progress aria-label="{title}" max="100"{value} style="vertical-align: middle">'
            f"</progress> {title}{share}</div>"
        )


class _Display:
    """An output that is overwritten, at the end by nothing: a closed widget would be an error in a saved notebook."""

    def __init__(self, markup: str) -> None:
        from IPython import display

        self._html: Any = display.HTML
        self._handle: Any = display.display(self._html(markup), display_id=True)  # type: ignore[no-untyped-call]

    def write(self, markup: str) -> None:
        self._handle.update(self._html(markup))

    def close(self) -> None:
        self.write("")


def _place(markup: str) -> _Display:
    return _Display(markup)
