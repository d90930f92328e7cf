"""Every error that users can meet, in one tree.

::

    KmonError                    exit status 2 unless said otherwise
    ├── InputError               something the user gave us
    │   ├── RuleFileError        a rule file; carries all findings at once
    │   ├── ExpressionError      PromQL that is invalid or outside the supported subset
    │   ├── EvaluationError      an expression that fails at evaluation (as Prometheus would)
    │   ├── IncidentError        a list of incidents; carries all findings at once
    │   ├── HistoryError         a history on disk that is damaged, cut or unknown
    │   ├── DataFileError        CSV, API JSON or OpenMetrics text; carries all findings at once
    │   ├── HealthConfigError    a configuration of the health endpoint; carries all findings at once
    │   └── SettingError         an argument or option
    ├── OutputError              a place that we cannot write to
    ├── InterruptedFetch         exit status 130; what was fetched is kept
    └── SourceError              exit status 3: a server we depend on
        ├── SourceUnreachable    no connection, or no answer in time
        ├── SourceRefused        it answered with an error
        └── SourceCorrupt        it answered with something we cannot read

A message names the place, the value, the reason and the cure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = [
    "DataFileError",
    "EvaluationError",
    "ExpressionError",
    "Finding",
    "HealthConfigError",
    "HistoryError",
    "IncidentError",
    "InputError",
    "InterruptedFetch",
    "KmonError",
    "OutputError",
    "RuleFileError",
    "SettingError",
    "SourceCorrupt",
    "SourceError",
    "SourceRefused",
    "SourceUnreachable",
    "nearest",
    "printable",
    "sentence",
]


class KmonError(Exception):
    """Say what is wrong, where, and what to do about it.

    Parameters
    ----------
    problem : str
        What is wrong, with the offending value.
    place : str, optional
        Where: ``file:line:column``, an option, a URL without credentials.
    cure : str, optional
        The next step, as an imperative sentence without a final stop, or a question with its mark.
    """

    exit_status = 2

    def __init__(self, problem: str, *, place: str | None = None, cure: str | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.place = place
        self.cure = cure

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        what_next = f"\n  {sentence(self.cure)}" if self.cure else ""
        return f"{where}{self.problem}{what_next}"

    def _render_traceback_(self) -> list[str]:
        """Show the message alone in IPython and Jupyter; a cause that is none of ours is a fault, with its lines."""
        import traceback

        cause = self.__cause__
        if cause is not None and not isinstance(cause, KmonError):
            return traceback.format_exception(self)
        return [printable(f"{type(self).__name__}: {self}", lines=True)]


class InputError(KmonError):
    """Something the user gave us cannot be used."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault in a file.

    Attributes
    ----------
    problem : str
        What is wrong, with the offending value.
    file : str
        Path of the file as the user gave it.
    line, column : int or None
        1-based position, when known.
    cure : str or None
        The next step.
    excerpt : str or None
        The offending source line, for a caret display.
    """

    problem: str
    file: str
    line: int | None = None
    column: int | None = None
    cure: str | None = None
    excerpt: str | None = None

    @property
    def place(self) -> str:
        """``file:line:column`` as far as known."""
        parts = [self.file, *(str(part) for part in (self.line, self.column) if part is not None)]
        return ":".join(parts)

    def __str__(self) -> str:
        lines = [f"{self.place}: {self.problem}"]
        if self.excerpt is not None and self.column is not None:
            lines += [f"  {self.excerpt}", "  " + " " * (self.column - 1) + "^"]
        if self.cure:
            lines.append(f"  {sentence(self.cure)}")
        return "\n".join(lines)


class FindingsError(InputError):
    """A file with one or more faults, all reported at once."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        if not findings:
            raise ValueError("an error needs at least one finding")
        super().__init__("\n".join(str(finding) for finding in findings))
        self.findings = tuple(findings)


class RuleFileError(FindingsError):
    """A rule file that Prometheus or this toolkit would refuse."""


class IncidentError(FindingsError):
    """A list of incidents that contradicts itself or the history."""


class ExpressionError(InputError):
    """PromQL that is invalid, or valid and outside the supported subset.

    Parameters
    ----------
    problem : str
        What is refused, by name.
    expression : str
        The whole expression.
    start : int or None
        0-based character offset of the offending part.
    cure : str, optional
        The next step.
    """

    def __init__(self, problem: str, *, expression: str, start: int | None = None, cure: str | None = None) -> None:
        super().__init__(problem, cure=cure)
        self.expression = expression
        self.start = start

    def __str__(self) -> str:
        lines = [self.problem]
        if self.start is not None:
            before = self.expression[: self.start]
            line_start = before.rfind("\n") + 1
            line = self.expression[line_start:].split("\n", 1)[0]
            lines += [f"  {line}", "  " + " " * (self.start - line_start) + "^"]
        if self.cure:
            lines.append(f"  {sentence(self.cure)}")
        return "\n".join(lines)


class EvaluationError(InputError):
    """An evaluation that Prometheus would fail, too."""


class HistoryError(InputError):
    """A history on disk that is damaged, cut, or of an unknown format."""


class DataFileError(FindingsError):
    """A CSV, API JSON or OpenMetrics file that cannot be read."""


class HealthConfigError(FindingsError):
    """A configuration of the health endpoint that cannot be used."""


class SettingError(InputError):
    """An argument or option with a value that makes no sense."""


class OutputError(KmonError):
    """A place that we cannot write to."""


class InterruptedFetch(KmonError):
    """The user stopped a fetch; the pieces that arrived are kept for the next run."""

    exit_status = 130


class SourceError(KmonError):
    """A server that we depend on did not do its part."""

    exit_status = 3


class SourceUnreachable(SourceError):
    """No connection, or no complete answer in time."""


class SourceRefused(SourceError):
    """The server answered with an error."""


class SourceCorrupt(SourceError):
    """The server answered with something that we cannot read."""


def printable(text: str, *, lines: bool = False) -> str:
    r"""Escape what could steer a terminal or hide text: control characters, escapes, direction marks.

    Parameters
    ----------
    text : str
        Words that may hold names and values from anywhere.
    lines : bool
        Whether line breaks stay.

    Examples
    --------
    >>> print(printable("a\x1b[31mred"))
    a\x1b[31mred
    """
    if text.isprintable():
        return text
    kept = "\n\u00a0" if lines else "\u00a0"
    return "".join(char if char.isprintable() or char in kept else ascii(char)[1:-1] for char in text)


def sentence(text: str) -> str:
    """End a sentence with a stop, a question with its mark alone.

    Examples
    --------
    >>> sentence("Check the path"), sentence("Did you mean 'start'?")
    ('Check the path.', "Did you mean 'start'?")
    """
    return text if text.endswith("?") else f"{text}."


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Offer the known name nearest to a mistyped one, as a cure; None when nothing is near.

    Examples
    --------
    >>> nearest("strat", ["id", "start", "end"])
    "Did you mean 'start'?"
    """
    import difflib

    by_folded = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), by_folded, n=1)
    return f"Did you mean {by_folded[near[0]]!r}?" if near else None
