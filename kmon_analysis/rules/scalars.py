"""Where each character of a YAML scalar's value stands in the source text."""

from __future__ import annotations

import re

from kmon_analysis.promql.syntax import Span

__all__ = ["block_end", "properties_end", "source_spans"]

_PROPERTY = re.compile(r"[&!][^\s,\[\]{}]*")
_BLANK = re.compile(r"[ \t]*")
_BREAK = re.compile(r"\r\n|\r|\n|\x85|\u2028|\u2029")
_HEADER = re.compile(r"[|>]([+-]?)([1-9]?)([+-]?)[ \t]*(?:#[^\r\n]*)?")
_ESCAPES = {
    "0": "\0", "a": "\a", "b": "\b", "t": "\t", "\t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r", "e": "\x1b",
    " ": " ", '"': '"', "/": "/", "\\": "\\", "N": "\x85", "_": "\xa0", "L": "\u2028", "P": "\u2029",
}  # fmt: skip
_HEX_DIGITS = {"x": 2, "u": 4, "U": 8}
_DEEPEST_INDENT = 200


def properties_end(text: str, index: int) -> int:
    """Return the index of a node's content behind its anchor and tag.

    Parameters
    ----------
    text : str
        The YAML source.
    index : int
        Where the node starts, as ruamel.yaml reports it (at the anchor or tag, if there is one).
    """
    while match := _PROPERTY.match(text, index):
        index = match.end()
        while index < len(text) and text[index] in " \t\r\n#":
            index = text.find("\n", index) if text[index] == "#" else index + 1
            if index < 0:
                return len(text)
    return index


def source_spans(text: str, index: int, style: str | None, value: str, end: int | None = None) -> list[Span] | None:
    r"""Map every character of a scalar's value to the source that it came from.

    Parameters
    ----------
    text : str
        The YAML source.
    index : int
        Where the scalar's content starts: first character, opening quote, or ``|`` / ``>``.
    style : {None, "'", '"', "|", ">"}
        How the scalar is written; None is plain.
    value : str
        The scalar's value as a YAML reader sees it.
    end : int, optional
        Where a plain scalar ends; the others show it themselves.

    Returns
    -------
    list of Span or None
        One span of `text` for each character of `value`; None where the two cannot be reconciled.

    Examples
    --------
    >>> [text for text in ("lag: 'it''s'"[s.start : s.end] for s in source_spans("lag: 'it''s'", 5, "'", "it's"))]
    ['i', 't', "''", 's']
    """
    if style in ("|", ">"):
        return _block(text, index, style, value)
    if style is None:
        pieces = _flow(text, index, len(text) if end is None else end, "")
    else:
        pieces = _flow(text, index + 1, len(text), style)
    return _agreed(pieces, value)


def _agreed(pieces: list[tuple[str, Span]], value: str) -> list[Span] | None:
    """Return the spans if the characters spell the value."""
    spelled = "".join(char for char, _ in pieces)
    return [span for _, span in pieces] if spelled == value else None


def _flow(text: str, index: int, end: int, quote: str) -> list[tuple[str, Span]]:
    """Read a plain or quoted scalar (YAML 1.2, 7.3: line folding and escapes)."""
    pieces: list[tuple[str, Span]] = []
    while index < end:
        blank_end = _end(_BLANK, text, index)
        if _BREAK.match(text, blank_end) and blank_end < end:
            fold_end, breaks = _fold(text, blank_end)
            pieces += [("\n", Span(index, fold_end))] * (breaks - 1) or [(" ", Span(index, fold_end))]
            index = fold_end
            continue
        char = text[index]
        if quote and char == quote:
            if quote == "'" and text[index + 1 : index + 2] == "'":
                pieces.append(("'", Span(index, index + 2)))
                index += 2
                continue
            break
        if quote == '"' and char == "\\":
            if _BREAK.match(text, index + 1):
                fold_end, breaks = _fold(text, index + 1)
                pieces += [("\n", Span(index, fold_end))] * (breaks - 1)
                index = fold_end
                continue
            code = text[index + 1 : index + 2]
            width = 2 + _HEX_DIGITS.get(code, 0)
            digits = text[index + 2 : index + width]
            decoded = _ESCAPES.get(code, "") if width == 2 else chr(int(digits, 16))
            pieces.append((decoded, Span(index, index + width)))
            index += width
            continue
        pieces.append((char, Span(index, index + 1)))
        index += 1
    return pieces


def _fold(text: str, index: int) -> tuple[int, int]:
    """Pass line breaks and the blanks after them; return where content goes on, and how many breaks."""
    breaks = 0
    while match := _BREAK.match(text, index):
        breaks += 1
        index = _end(_BLANK, text, match.end())
    return index, breaks


def _block(text: str, index: int, style: str, value: str) -> list[Span] | None:
    """Read a literal or folded scalar (YAML 1.2, 8.1)."""
    header = _HEADER.match(text, index)
    if header is None:
        return None
    line_break = _BREAK.match(text, header.end())
    start = line_break.end() if line_break else len(text)
    keep = header[1] or header[3]
    indents = range(1, _DEEPEST_INDENT) if header[2] else [_first_indent(text, start)]
    for indent in indents:
        pieces = _block_pieces(text, start, style, keep, indent)
        if (spans := _agreed(pieces, value)) is not None:
            return spans
    return None


def block_end(text: str, index: int, value: str) -> int | None:
    """Return where the last line with content of a block scalar ends, its line break not counted.

    Parameters
    ----------
    text : str
        The YAML source.
    index : int
        Where the header (``|`` or ``>``) stands.
    value : str
        The scalar's value.
    """
    spans = _block(text, index, text[index], value)
    if spans is None:
        return None
    filled = [span.end for char, span in zip(value, spans, strict=True) if char != "\n"]
    header = _HEADER.match(text, index)
    return filled[-1] if filled else header and header.end()


def _first_indent(text: str, index: int) -> int:
    """Return the indentation of the first line that is not blank; past everything when there is none."""
    while index < len(text):
        line_end = _line_end(text, index)
        line = text[index:line_end]
        if line.strip(" "):
            return len(line) - len(line.lstrip(" "))
        match = _BREAK.match(text, line_end)
        index = match.end() if match else len(text)
    return len(text) + 1


def _block_pieces(text: str, index: int, style: str, keep: str, indent: int) -> list[tuple[str, Span]]:
    """Read the lines of a block scalar of a known indentation."""
    index, pieces = _block_breaks(text, index, indent)
    if not _indented(text, index, indent):
        return pieces if keep == "+" else []
    newline: tuple[str, Span] | None = None
    breaks: list[tuple[str, Span]] = []
    while _indented(text, index, indent):
        content = index + indent
        line_end = _line_end(text, content)
        leading_blank = text[content : content + 1] in (" ", "\t")
        pieces += [(text[at], Span(at, at + 1)) for at in range(content, line_end)]
        match = _BREAK.match(text, line_end)
        after = match.end() if match else len(text)
        newline = ("\n", Span(line_end, after)) if match else None
        index, breaks = _block_breaks(text, after, indent)
        if newline is None or not _indented(text, index, indent):
            break
        next_blank = text[index + indent : index + indent + 1] in (" ", "\t")
        if style == ">" and not leading_blank and not next_blank:
            pieces += breaks or [(" ", newline[1])]
        else:
            pieces += [newline, *breaks]
    if keep != "-" and newline is not None:
        pieces.append(newline)
    if keep == "+":
        pieces += breaks
    return pieces


def _indented(text: str, index: int, indent: int) -> bool:
    """Tell whether a line with content at this indentation starts here."""
    return text.startswith(" " * indent, index) and index + indent < len(text)


def _block_breaks(text: str, index: int, indent: int) -> tuple[int, list[tuple[str, Span]]]:
    """Pass blank lines; return where the next line starts, and their line breaks."""
    breaks: list[tuple[str, Span]] = []
    while True:
        at = index
        while at < index + indent and text.startswith(" ", at):
            at += 1
        match = _BREAK.match(text, at)
        if match is None:
            return index, breaks
        breaks.append(("\n", Span(at, match.end())))
        index = match.end()


def _line_end(text: str, index: int) -> int:
    match = _BREAK.search(text, index)
    return match.start() if match else len(text)


def _end(pattern: re.Pattern[str], text: str, index: int) -> int:
    match = pattern.match(text, index)
    return match.end() if match else index
