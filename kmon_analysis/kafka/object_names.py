"""Patterns of object names, as JMX queries understand them."""

from __future__ import annotations

from dataclasses import dataclass

from kmon_analysis.kafka.mbeans import MBean

__all__ = ["NamePattern", "parse_name_pattern"]


@dataclass(frozen=True, slots=True)
class NamePattern:
    """A pattern of object names.

    Attributes
    ----------
    text : str
        As written.
    domain : str
        With wildcards.
    properties : tuple of (str, str)
        Values with wildcards.
    more : bool
        Whether further properties are allowed.
    """

    text: str
    domain: str
    properties: tuple[tuple[str, str], ...]
    more: bool

    def matches(self, bean: MBean) -> bool:
        """Tell whether a query for the pattern finds the bean."""
        has = dict(bean.properties)
        return (
            _wild(self.domain, bean.domain)
            and (self.more or len(self.properties) == len(has))
            and all(key in has and _wild(value, has[key]) for key, value in self.properties)
        )

    @property
    def is_pattern(self) -> bool:
        """Whether it has wildcards."""
        return self.more or any(char in self.text for char in "*?")


def parse_name_pattern(text: str) -> NamePattern | str:
    """Read a pattern, or say what is wrong with it.

    Notes
    -----
    ``javax.management.ObjectName``. A comma inside of quotes is not replayed.

    Examples
    --------
    >>> parse_name_pattern("kafka.server:type=Rep*,*").properties
    (('type', 'Rep*'),)
    >>> parse_name_pattern("kafka.server")
    "has no ':' behind the domain"
    """
    if not text:
        return NamePattern(text, "*", (), more=True)
    domain, colon, rest = text.partition(":")
    if not colon:
        return "has no ':' behind the domain"
    pairs: dict[str, str] = {}
    more = False
    for part in rest.split(","):
        key, equals, value = part.partition("=")
        if part == "*":
            if more:
                return "has '*' twice"
            more = True
        elif not equals or not key:
            return f"has {part!r} instead of a 'key=value'"
        elif any(char in "*?:\n" for char in key) or any(char in '=:"\n' for char in _unquoted(value)):
            return f"has {part!r}, where a character is not allowed (commas in quotes are not replayed)"
        elif key in pairs:
            return f"has the key {key!r} twice"
        else:
            pairs[key] = value
    return NamePattern(text, domain, tuple(pairs.items()), more)


def _unquoted(value: str) -> str:
    """Return a value without the quotes around it; inside, an object name may have what it likes."""
    quoted = len(value) > 1 and value[0] == value[-1] == '"' and '"' not in value[1:-1]
    return "" if quoted else value


def _wild(pattern: str, text: str) -> bool:
    """Match ``*`` and ``?`` in one pass with one place to return to."""
    at = place = 0
    star, mark = -1, 0
    while at < len(text):
        if place < len(pattern) and pattern[place] == "*":
            star, mark = place, at
            place += 1
        elif place < len(pattern) and pattern[place] in ("?", text[at]):
            place, at = place + 1, at + 1
        elif star >= 0:
            mark += 1
            place, at = star + 1, mark
        else:
            return False
    return not pattern[place:].strip("*")
