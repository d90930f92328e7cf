"""Label sets and label matchers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import re2

from kmon_analysis.errors import SettingError

__all__ = ["METRIC_NAME", "Labels", "MatchOp", "Matcher", "quote"]

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


@lru_cache(maxsize=4096)
def _compiled(pattern: str, dot_all: bool) -> re2._Regexp[str]:
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
        found = _compiled(self.value, dot_all).fullmatch(value) is not None
        return found if self.op == "=~" else not found

    def __str__(self) -> str:
        return f"{self.name}{self.op}{quote(self.value)}"
