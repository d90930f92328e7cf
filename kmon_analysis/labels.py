"""Label sets and label matchers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import re2

from kmon_analysis.errors import SettingError

__all__ = ["METRIC_NAME", "Labels", "MatchOp", "Matcher", "compiled", "parse_series", "quote", "unquote"]

METRIC_NAME = "__name__"
MatchOp = Literal["=", "!=", "=~", "!~"]


def quote(text: str) -> str:
    r"""Write a string as a double-quoted PromQL literal.

    Notes
    -----
    Prometheus ``util/strutil/quote.go`` reads what Go's ``strconv.Quote`` writes; control characters
    are written as ``\xNN`` escapes so that no terminal or file is ever confused by them.
    """
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    body = "".join(
        escapes.get(char, char if char.isprintable() else "".join(f"\\x{byte:02x}" for byte in char.encode()))
        for char in text
    )
    return f'"{body}"'


class Labels(Mapping[str, str]):
    """An immutable label set, ordered by name; an empty value means that the label is absent.

    Parameters
    ----------
    items : Mapping or iterable of pairs
        Label names and values.

    Examples
    --------
    >>> Labels({"topic": "user.registered", "__name__": "lag"})
    Labels('lag{topic="user.registered"}')
    """

    __slots__ = ("_dict", "_hash", "pairs")
    pairs: tuple[tuple[str, str], ...]

    def __init__(self, items: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        given = dict(items)
        self.pairs = tuple(sorted((name, value) for name, value in given.items() if value != ""))
        self._dict = dict(self.pairs)
        self._hash = hash(self.pairs)

    def __getitem__(self, name: str) -> str:
        return self._dict[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._dict)

    def __len__(self) -> int:
        return len(self.pairs)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Labels) and self.pairs == other.pairs

    def __lt__(self, other: Labels) -> bool:
        return self.pairs < other.pairs

    def __str__(self) -> str:
        name = self._dict.get(METRIC_NAME, "")
        inner = ", ".join(f"{key}={quote(value)}" for key, value in self.pairs if key != METRIC_NAME)
        return f"{name}{{{inner}}}" if inner or not name else name

    def __repr__(self) -> str:
        return f"Labels({str(self)!r})"

    def value(self, name: str) -> str:
        """Return the label's value, or "" when it is absent."""
        return self._dict.get(name, "")

    def without(self, *names: str) -> Labels:
        """Return the set without these labels."""
        return Labels(pair for pair in self.pairs if pair[0] not in names)

    def only(self, names: Iterable[str]) -> Labels:
        """Return the set reduced to these labels."""
        kept = set(names)
        return Labels(pair for pair in self.pairs if pair[0] in kept)

    def updated(self, changes: Mapping[str, str]) -> Labels:
        """Return the set with labels replaced, added, or (by an empty value) removed."""
        return Labels({**self._dict, **changes})


# Go's regexp/syntax refuses the same depth, "expression nests too deeply"; RE2 would need minutes for a match.
_MOST_NESTED = 1_000
_ESCAPED = re.compile(r"\\.", re.DOTALL)
_LONE = re.compile("[\ud800-\udfff]")


def _deepest(pattern: str) -> int:
    """Return how deep the parentheses of a pattern are nested at most, where there may be too many."""
    if pattern.count("(") <= _MOST_NESTED:
        return 0
    depth = deepest = 0
    for char in _ESCAPED.sub("", pattern):
        depth += (char == "(") - (char == ")")
        deepest = max(deepest, depth)
    return deepest


@lru_cache(maxsize=4096)
def compiled(pattern: str, dot_all: bool) -> re2._Regexp[str]:
    """Return a compiled RE2 pattern; `dot_all` lets ``.`` match a line break.

    Raises
    ------
    SettingError
        If RE2 refuses it.
    """
    if _deepest(pattern) > _MOST_NESTED:
        raise SettingError(
            f"a regular expression is nested more than {_MOST_NESTED} levels deep", cure="Use fewer parentheses"
        )
    if _LONE.search(pattern):
        raise SettingError(f"a regular expression is not valid Unicode: {pattern!r}", cure="Remove lone surrogates")
    options = re2.Options()
    options.log_errors = False
    options.dot_nl = dot_all
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        raise SettingError(
            f"invalid regular expression {pattern!r}: {error}", cure="Use RE2 syntax, as Prometheus does"
        ) from None


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label.

    Attributes
    ----------
    name : str
        Label name; ``__name__`` for the metric.
    op : {"=", "!=", "=~", "!~"}
        Kind of comparison. Regular expressions are RE2 and fully anchored.
    value : str
        Right side.
    """

    name: str
    op: MatchOp
    value: str

    def matches(self, value: str, *, dot_all: bool = True) -> bool:
        """Tell whether a label value ("" when absent) satisfies the condition.

        Parameters
        ----------
        value : str
            The label's value.
        dot_all : bool
            Whether ``.`` matches a line break (Prometheus 3.x: yes, 2.x: no).
        """
        if self.op == "=":
            return value == self.value
        if self.op == "!=":
            return value != self.value
        found = compiled(self.value, dot_all).fullmatch(value) is not None
        return found if self.op == "=~" else not found

    def __str__(self) -> str:
        return f"{self.name}{self.op}{quote(self.value)}"


_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)", re.DOTALL)
_SHORT_ESCAPES = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, "'": 39, '"': 34}
_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(
    r"""\s*(?:(?P<name>[a-zA-Z_][a-zA-Z0-9_.]*|"(?:[^"\\]|\\.)*")\s*=\s*)?(?P<value>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')\s*""",
    re.DOTALL,
)


def unquote(literal: str) -> str:
    r"""Read a quoted PromQL string literal, the inverse of `quote`.

    Raises
    ------
    SettingError
        If an escape is unknown or the bytes are not UTF-8.

    Notes
    -----
    Prometheus ``util/strutil/quote.go``, ``Unquote``: Go's escapes, in single or double quotes.

    Examples
    --------
    >>> unquote(r'"it\'s \x41\n"') == "it's A\n"
    True
    """

    def decoded(match: re.Match[str]) -> bytes:
        body = match[1]
        if body[0] in "uU":
            return chr(int(body[1:], 16)).encode()
        if body[0] == "x":
            return bytes([int(body[1:], 16)])
        if body in _SHORT_ESCAPES:
            return bytes([_SHORT_ESCAPES[body]])
        return bytes([int(body, 8)])

    parts, position, inner = [], 0, literal[1:-1]
    try:
        for match in _ESCAPE.finditer(inner):
            parts += [inner[position : match.start()].encode(), decoded(match)]
            position = match.end()
        return b"".join([*parts, inner[position:].encode()]).decode()
    except ValueError:
        raise SettingError(
            f"{literal} has an escape that Prometheus does not know", cure=r"Write a backslash as \\"
        ) from None


def parse_series(text: str) -> Labels:
    r"""Read a series in Prometheus' notation, the inverse of ``str(Labels)``.

    Parameters
    ----------
    text : str
        For example ``lag{topic="orders"}``, ``up`` or ``{job="kafka"}``.

    Raises
    ------
    SettingError
        If `text` is not in that notation, or names a label twice.

    Examples
    --------
    >>> parse_series('lag{topic="user.registered", partition="0"}')
    Labels('lag{partition="0", topic="user.registered"}')
    """
    stripped = text.strip()
    name = _METRIC.match(stripped)
    pairs = [(METRIC_NAME, name[0])] if name else []
    rest = stripped[name.end() :].lstrip() if name else stripped
    cure = 'Write it as Prometheus does, for example kafka_consumergroup_lag{topic="orders"}'
    if rest or not name:
        if not (rest.startswith("{") and rest.endswith("}")):
            raise SettingError(f"{text!r} is not a series", cure=cure)
        inner, position = rest[1:-1], 0
        while inner[position:].strip():
            match = _LABEL.match(inner, position)
            end = match.end() if match else len(inner)
            if match is None or (end < len(inner) and inner[end] != ","):
                raise SettingError(f"{text!r} is not a series: trouble at {inner[position:]!r}", cure=cure)
            label = METRIC_NAME if match["name"] is None else match["name"]
            pairs.append((unquote(label) if label.startswith('"') else label, unquote(match["value"])))
            position = end + 1
    repeated = [label for label, count in Counter(label for label, _ in pairs).items() if count > 1]
    if repeated:
        raise SettingError(f"{text!r} gives the label {repeated[0]!r} twice", cure="Give every label once")
    return Labels(pairs)
