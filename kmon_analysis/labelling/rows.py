"""Tables as spreadsheets and other tools export them: rows of cells under named columns, with their places."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kmon_analysis.errors import DataFileError, Finding, nearest, printable

__all__ = ["Faults", "Row", "Table", "near_column", "no_column", "read_bytes", "read_table", "shown"]

_MOST_FINDINGS = 50
_SHOWN = 80
_SEPARATORS = ",;\t|"


@dataclass
class Faults:
    """What is wrong with a file; beyond the first fifty only their number is kept."""

    file: str
    findings: list[Finding] = field(default_factory=list)
    more: int = 0

    def add(self, problem: str, cure: str, line: int | None = None) -> None:
        """Remember one."""
        if len(self.findings) < _MOST_FINDINGS:
            self.findings.append(Finding(printable(problem), self.file, line=line, cure=printable(cure)))
        else:
            self.more += 1

    def settle(self) -> None:
        """Raise if there are any.

        Raises
        ------
        DataFileError
            With all of them.
        """
        if self.more:
            self.findings.append(Finding(f"… and {self.more:,} more faults", self.file))
        if self.findings:
            raise DataFileError(self.findings)


@dataclass(frozen=True, slots=True)
class Row:
    """One record: its cells by column, and the line on which it begins."""

    line: int
    cells: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Table:
    """A header and its records."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def column(self, *names: str) -> str | None:
        """Return the first of these columns that there is; case, blanks and underscores do not matter."""
        there = {_folded(column): column for column in reversed(self.columns)}
        return next((there[_folded(name)] for name in names if _folded(name) in there), None)


def _folded(name: str) -> str:
    return "".join(char for char in name.casefold() if char.isalnum() or char == ".")


def read_bytes(path: Path) -> bytes:
    """Read a file; what goes wrong is a `DataFileError`."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        problem, cure = "there is no such file", "Check the path"
    except IsADirectoryError:
        problem, cure = "is a folder, not a file", "Name the file in it"
    except OSError as error:
        problem, cure = f"cannot be read: {error.strerror or error}", "Check its permissions"
    raise DataFileError([Finding(problem, str(path), cure=cure)])


def read_table(path: Path) -> Table:
    """Read a table: separated by commas, semicolons, tabs or bars, in UTF-8 or in UTF-16 with its mark.

    Raises
    ------
    DataFileError
        With every fault of its form; each with its line.
    """
    faults = Faults(str(path))
    text = _decoded(read_bytes(path), faults)
    head, _, rest = text.partition("\n")
    first_line = 1
    separator = max(_SEPARATORS, key=lambda each: _unquoted(text).count(each))
    if head.rstrip("\r").lower().startswith("sep=") and len(head.rstrip("\r")) == len("sep=;"):
        separator, text, first_line = head[4], rest, 2
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows: list[tuple[int, list[str]]] = []
    line = first_line
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append((line, cells))
            line = first_line + reader.line_num
    except csv.Error as error:
        cut = "unexpected end" in str(error)
        problem = "a quote opened here is never closed: the file may be cut" if cut else f"not readable: {error}"
        faults.add(problem, "Export it again" if cut else 'Write a quote inside a cell as ""', line)
    faults.settle()
    if not rows:
        faults.add("the table is empty", "Export it again, with its header")
        faults.settle()
    (header_line, header), *records = rows
    columns = tuple(cell.strip() for cell in header)
    for place, column in enumerate(columns):
        if column and columns.index(column) != place:
            faults.add(f"column {column!r} is there twice", "Keep one of the two", header_line)
    found = []
    for at, cells in records:
        if len(cells) != len(columns):
            few = len(cells) < len(columns)
            cure = "Export it again: the file may be cut" if few else "Put quotes around cells that hold the separator"
            faults.add(f"this row has {len(cells)} cells under {len(columns)} columns", cure, at)
        else:
            found.append(Row(at, dict(zip(columns, cells, strict=True))))
    faults.settle()
    return Table(columns, tuple(found))


def _unquoted(text: str) -> str:
    """Return the header line without what stands in quotes."""
    kept: list[str] = []
    quoted = False
    for char in text[: 1 << 16]:
        if char == '"':
            quoted = not quoted
        elif char in "\r\n" and not quoted and kept:
            break
        elif not quoted:
            kept.append(char)
    return "".join(kept)


def _decoded(raw: bytes, faults: Faults) -> str:
    """Decode a table by its mark, else as UTF-8."""
    marks = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
    body, encoding = raw, "utf-8"
    for mark, name in marks:
        if raw.startswith(mark):
            body, encoding = raw[len(mark) :], name
    text = ""
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        faults.add(f"not {encoding.upper()}: byte 0x{body[error.start]:02x}", "Save the file as UTF-8", line)
    if "\x00" in text:
        faults.add(
            "holds zero bytes: this is no table", "Export it as CSV", text.count("\n", 0, text.index("\x00")) + 1
        )
    faults.settle()
    return text


def shown(text: str) -> str:
    """Repeat a value in a message, not longer than a line."""
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…")


def no_column(role: str, table: Table) -> tuple[str, str]:
    """Say that a column is missing, and which there are."""
    there = ", ".join(map(shown, table.columns[:30]))
    return f"there is no column for the {role}; there are {there}", f"Name it: --column {role}=NAME"


def near_column(name: str, table: Table) -> str:
    """Offer the nearest column."""
    return nearest(name, table.columns) or f"Known are {', '.join(map(shown, table.columns[:30]))}"
