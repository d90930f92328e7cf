"""Tokens of a PromQL expression with their places in the text."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from kmon_analysis.errors import ExpressionError, SettingError
from kmon_analysis.timing import parse_duration

__all__ = ["Token", "duration_ms", "number", "tokenize", "unquote"]

TokenKind = Literal["identifier", "number", "duration", "string", "symbol", "end"]

_DURATION = r"(?:[0-9]+(?:ms|[smhdwy]))+"
_NUMBER = r"0[xX][0-9a-fA-F_]+|(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9_]+)?"
_TOKEN = re.compile(
    rf"""
    (?P<blank>[ \t\r\n]+|\#[^\n\r]*)
    | (?P<duration>{_DURATION})(?![0-9A-Za-z_.])
    | (?P<number>{_NUMBER})(?![0-9A-Za-z_.])
    | (?P<identifier>[A-Za-z_:][A-Za-z0-9_:]*)
    | (?P<string>"(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*' | `[^`]*`)
    | (?P<symbol>==|!=|>=|<=|=~|!~|[-+*/%^(){{}}\[\],=<>@:])
    """,
    re.VERBOSE,
)
_SPECIAL_NUMBERS = {"inf": math.inf, "nan": math.nan}
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_SIMPLE_ESCAPES = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, "'": 39, '"': 34}


@dataclass(frozen=True, slots=True)
class Token:
    """One token; `start` and `end` are character offsets."""

    kind: TokenKind
    text: str
    start: int
    end: int

    @property
    def word(self) -> str:
        """The text as keywords are compared: PromQL keywords ignore case."""
        return self.text.lower()


def tokenize(text: str) -> list[Token]:
    """Cut an expression into tokens, without blanks and comments; the last one is of kind "end".

    Raises
    ------
    ExpressionError
        At the first character that starts no token.

    Notes
    -----
    Prometheus ``promql/parser/lex.go``. Colons at the edge of an identifier inside brackets (``[5m:1m]``)
    are symbols, because a range never holds a metric name.
    """
    tokens: list[Token] = []
    position, brackets = 0, 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ExpressionError(_lexical_problem(text, position), expression=text, start=position)
        kind, end = match.lastgroup or "", match.end()
        if brackets and text[position] == ":":
            kind, end = "symbol", position + 1
        if kind != "blank":
            piece = text[position:end]
            if kind == "identifier" and piece.lower() in _SPECIAL_NUMBERS:
                kind = "number"
            brackets += {"[": 1, "]": -1}.get(piece, 0)
            tokens.append(Token(kind, piece, position, end))  # type: ignore[arg-type]
        position = end
    tokens.append(Token("end", "", len(text), len(text)))
    return tokens


def _lexical_problem(text: str, position: int) -> str:
    """Say why no token starts here."""
    char = text[position]
    if char in "\"'`":
        return "the string is not closed" if text.find(char, position + 1) < 0 else "the string is malformed"
    if char.isdigit() or char == ".":
        word = re.match(r"[0-9A-Za-z_.]+", text[position:])
        return f"not a number or duration: {word[0] if word else char!r}"
    return f"unexpected character {char!r}"


def number(token: Token, text: str) -> float:
    """Return the value of a number token, or of a duration standing for its seconds.

    Notes
    -----
    Prometheus ``promql/parser/parse.go``, ``number``: integers are read as in Go, ``011`` is nine.
    """
    if token.kind == "duration":
        return duration_ms(token, text) / 1000
    word = token.word
    if word in _SPECIAL_NUMBERS:
        return _SPECIAL_NUMBERS[word]
    if re.fullmatch(r"0[0-7_]+", word):
        return float(int(word, 8))
    try:
        return float(int(word, 16)) if word.startswith("0x") else float(word)
    except (ValueError, OverflowError):
        raise ExpressionError(f"not a number: {token.text!r}", expression=text, start=token.start) from None


def duration_ms(token: Token, text: str) -> int:
    """Return the milliseconds of a duration token, or of a number of seconds."""
    if token.kind == "number":
        seconds = number(token, text)
        if not math.isfinite(seconds) or abs(seconds) > 1e12:
            raise ExpressionError(f"not a duration: {token.text!r}", expression=text, start=token.start)
        return round(seconds * 1000)
    try:
        return parse_duration(token.text)
    except SettingError as error:
        raise ExpressionError(error.problem, expression=text, start=token.start, cure=error.cure) from None


def unquote(token: Token, text: str) -> str:
    r"""Return the value of a string token.

    Notes
    -----
    Prometheus ``util/strutil/quote.go``, ``Unquote``: ``\xNN`` and ``\NNN`` are bytes of UTF-8.
    """
    quote, body = token.text[0], token.text[1:-1]
    if quote == "`":
        return body

    def fail(problem: str, place: int) -> ExpressionError:
        return ExpressionError(problem, expression=text, start=token.start + 1 + place)

    parts, position = bytearray(), 0
    for match in _ESCAPE.finditer(body):
        parts += body[position : match.start()].encode("utf-8", "surrogatepass")
        position = match.end()
        hexadecimal, octal, short, long, simple = match.groups()
        if simple is not None:
            other_quote = {"'": '"', '"': "'"}[quote]
            if simple not in _SIMPLE_ESCAPES or simple == other_quote:
                raise fail(f"unknown escape sequence {match[0]!r}", match.start())
            parts.append(_SIMPLE_ESCAPES[simple])
        elif hexadecimal is not None or octal is not None:
            byte = int(hexadecimal, 16) if hexadecimal is not None else int(octal, 8)
            if byte > 255:
                raise fail(f"escape {match[0]!r} is more than a byte", match.start())
            parts.append(byte)
        else:
            code = int(short or long, 16)
            if code > 0x10FFFF or 0xD800 <= code < 0xE000:
                raise fail(f"escape {match[0]!r} is not a character", match.start())
            parts += chr(code).encode()
    parts += body[position:].encode("utf-8", "surrogatepass")
    try:
        return parts.decode()
    except UnicodeDecodeError:
        raise fail("the string is not valid UTF-8", -1) from None
