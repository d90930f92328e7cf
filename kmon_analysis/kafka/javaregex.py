"""Java's regular expressions, read into a tree: what java.util.regex accepts, and what it would say to the rest.

The strings to be matched are ASCII (object names, attributes and values of MBeans), so that a character
class is a set of 128 bits and one more for "anything else".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from kmon_analysis.kafka.javachars import ALL, CLASSES, LINE_ENDS, LOWER, OTHER, UPPER, VERTICAL, of, property_bits

__all__ = [
    "Alternation",
    "Assertion",
    "Atomic",
    "BackReference",
    "Chars",
    "Group",
    "Look",
    "Node",
    "RegexError",
    "RegexTree",
    "Repeat",
    "Sequence",
    "can_be_empty",
    "longest",
    "parse_java",
]

Greed = Literal["greedy", "lazy", "possessive"]
Place = Literal["begin", "end", "word", "no word", "resume"]

MOST_GROUPS_DEEP = 40
MOST_REPEATS = 1_000_000


class RegexError(Exception):
    """A pattern that Java refuses, or that is not replayed here.

    Attributes
    ----------
    problem : str
        What is wrong.
    at : int
        0-based offset in the pattern.
    java : bool
        Whether Java refuses the pattern, too.
    """

    def __init__(self, problem: str, at: int, *, java: bool) -> None:
        super().__init__(problem)
        self.problem = problem
        self.at = at
        self.java = java


@dataclass(frozen=True, slots=True)
class Chars:
    """One character out of a set: bit c for code point c, bit 128 for all beyond ASCII."""

    bits: int


@dataclass(frozen=True, slots=True)
class Sequence:
    """Parts one after the other."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Alternation:
    """The first alternative that fits."""

    options: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """A capturing group."""

    index: int
    body: Node


@dataclass(frozen=True, slots=True)
class Repeat:
    """A repetition, of at most `most` times where that is given."""

    body: Node
    least: int
    most: int | None
    greed: Greed


@dataclass(frozen=True, slots=True)
class Atomic:
    """A group that is not entered again: ``(?>...)``."""

    body: Node


@dataclass(frozen=True, slots=True)
class Look:
    """Lookahead or lookbehind."""

    body: Node
    ahead: bool
    negative: bool


@dataclass(frozen=True, slots=True)
class BackReference:
    """The text of an earlier group."""

    index: int
    fold: bool


@dataclass(frozen=True, slots=True)
class Assertion:
    """A place in the text."""

    place: Place


Node = Chars | Sequence | Alternation | Group | Repeat | Atomic | Look | BackReference | Assertion


@dataclass(frozen=True, slots=True)
class RegexTree:
    """A pattern as read.

    Attributes
    ----------
    root : Node
        The tree.
    groups : int
        How many capturing groups it has.
    names : dict
        Named groups and their numbers.
    """

    root: Node
    groups: int
    names: dict[str, int]


_SIMPLE = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "a": "\a", "e": "\x1b"}
_FLAGS = "idmsuxU"
_GROUP_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9]*")


def parse_java(pattern: str) -> RegexTree:
    r"""Read a pattern as ``java.util.regex.Pattern.compile`` would.

    Parameters
    ----------
    pattern : str
        Java's syntax.

    Raises
    ------
    RegexError
        If Java refuses the pattern, or if something in it is not replayed.

    Notes
    -----
    ``java.util.regex.Pattern`` (JDK 17), class comment. Line ends do not occur in what is matched, so
    ``$`` and ``\Z`` are the end, with and without ``(?m)``.

    Examples
    --------
    >>> parse_java("a(?<n>b)").names
    {'n': 1}
    """
    parser = _Parser(pattern)
    root = parser.alternation(0)
    if parser.at < len(pattern):
        raise parser.error("unmatched closing ')'")
    return RegexTree(root, parser.groups, parser.names)


class _Parser:
    """Recursive descent over one pattern."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.groups = 0
        self.closed: set[int] = set()
        self.names: dict[str, int] = {}
        self.fold = False
        self.dot_all = False
        self.unix_lines = False

    def error(self, problem: str, at: int | None = None) -> RegexError:
        return RegexError(problem, self.at if at is None else at, java=True)

    def beyond(self, what: str, at: int | None = None) -> RegexError:
        return RegexError(f"{what} is not replayed", self.at if at is None else at, java=False)

    def peek(self, length: int = 1) -> str:
        return self.text[self.at : self.at + length]

    def take(self) -> str:
        if self.at >= len(self.text):
            raise self.error("the pattern ends too early")
        char = self.text[self.at]
        self.at += 1
        return char

    def alternation(self, depth: int) -> Node:
        """Read up to a closing bracket or the end; inline flags end with the group."""
        if depth > MOST_GROUPS_DEEP:
            raise self.beyond(f"a pattern nested deeper than {MOST_GROUPS_DEEP} groups")
        flags = self.fold, self.dot_all, self.unix_lines
        options = [self.sequence(depth)]
        while self.peek() == "|":
            self.at += 1
            options.append(self.sequence(depth))
        self.fold, self.dot_all, self.unix_lines = flags
        return options[0] if len(options) == 1 else Alternation(tuple(options))

    def sequence(self, depth: int) -> Node:
        parts: list[Node] = []
        while self.at < len(self.text) and self.peek() not in "|)":
            if self.peek(2) == "\\Q":
                parts += self.quoted()
                continue
            if self.peek() in "*+?":
                raise self.error(f"dangling {self.peek()!r}: it repeats nothing")
            if self.peek() == "{":
                raise self.beyond("'{' without something to repeat (\\{ is the character)")
            at = self.at
            atom = self.atom(depth)
            if atom is not None:
                parts.append(self.repeated(atom, at))
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def quoted(self) -> list[Node]:
        r"""Read ``\Q...\E``; a quantifier behind it repeats the last character."""
        end = self.text.find("\\E", self.at + 2)
        stop = len(self.text) if end < 0 else end
        parts: list[Node] = [self.literal(char) for char in self.text[self.at + 2 : stop]]
        self.at = len(self.text) if end < 0 else end + 2
        if parts and self.peek() and self.peek() in "*+?{":
            parts[-1] = self.repeated(parts[-1], self.at)
        return parts

    def literal(self, char: str) -> Chars:
        code = ord(char)
        if code > 127:
            # Nothing that is matched holds such a character.
            return Chars(0)
        return Chars(self.folded(1 << code))

    def folded(self, bits: int) -> int:
        if not self.fold:
            return bits
        return bits | (bits & UPPER) << 32 | (bits & LOWER) >> 32

    def repeated(self, atom: Node, start: int) -> Node:
        char = self.peek()
        if char == "{":
            least, most = self.braces()
        elif char and char in "*+?":
            self.at += 1
            least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}[char]
        else:
            return atom
        if isinstance(atom, Group) and longest(atom) == 0:
            raise self.beyond("a repetition of nothing", start)
        greed: Greed = "greedy"
        if self.peek() == "?":
            self.at, greed = self.at + 1, "lazy"
        elif self.peek() == "+":
            self.at, greed = self.at + 1, "possessive"
        if self.peek() == "{":
            raise self.beyond("a repetition of a repetition without a group")
        return Repeat(atom, least, most, greed)

    def braces(self) -> tuple[int, int | None]:
        found = re.compile(r"\{([0-9]+)(?:(,)([0-9]*))?\}").match(self.text, self.at)
        if not found:
            raise self.error("illegal repetition; write \\{ for the character")
        least = int(found[1][:9])
        most = least if found[2] is None else int(found[3][:9]) if found[3] else None
        if most is not None and most < least:
            raise self.error("illegal repetition: the upper bound is below the lower one")
        if max(least, most or 0) > MOST_REPEATS:
            raise self.beyond("so large a repetition")
        self.at = found.end()
        return least, most

    def atom(self, depth: int) -> Node | None:
        """Read one atom; None for flags that stand alone."""
        start, char = self.at, self.take()
        if char == "(":
            return self.group(start, depth)
        if char == "[":
            return Chars(self.char_class(0))
        if char == ".":
            return Chars(ALL if self.dot_all else ALL & ~(of("\n") if self.unix_lines else LINE_ENDS))
        if char == "^":
            return Assertion("begin")
        if char == "$":
            return Assertion("end")
        if char == "\\":
            return self.escape(start)
        return self.literal(char)

    def group(self, start: int, depth: int) -> Node | None:
        if self.peek() != "?":
            return self.capture(None, start, depth)
        self.at += 1
        if self.peek() in ("=", "!"):
            negative = self.take() == "!"
            return Look(self.body(start, depth), ahead=True, negative=negative)
        if self.peek(2) in ("<=", "<!"):
            negative = self.peek(2) == "<!"
            self.at += 2
            body = self.body(start, depth)
            if longest(body) is None:
                raise self.beyond("a look-behind without a bounded length", start)
            return Look(body, ahead=False, negative=negative)
        if self.peek() == ">":
            self.at += 1
            return Atomic(self.body(start, depth))
        if self.peek() == "<":
            self.at += 1
            name = _GROUP_NAME.match(self.text, self.at)
            if not name or self.text[name.end() : name.end() + 1] != ">":
                raise self.error("a group's name is letters and digits, closed by '>'")
            if name[0] in self.names:
                raise self.error(f"named group <{name[0]}> is defined twice")
            self.at = name.end() + 1
            return self.capture(name[0], start, depth)
        return self.flags(start, depth)

    def capture(self, name: str | None, start: int, depth: int) -> Node:
        self.groups += 1
        index = self.groups
        if name is not None:
            self.names[name] = index
        node = Group(index, self.body(start, depth))
        self.closed.add(index)
        return node

    def body(self, start: int, depth: int) -> Node:
        body = self.alternation(depth + 1)
        if self.peek() != ")":
            raise self.error("unclosed group", start)
        self.at += 1
        return body

    def flags(self, start: int, depth: int) -> Node | None:
        found = re.compile(rf"([{_FLAGS}]*)(?:-([{_FLAGS}]*))?([:)])").match(self.text, self.at)
        if not found:
            raise self.error("unknown inline modifier or group", start)
        before = self.fold, self.dot_all, self.unix_lines
        for flags, on in ((found[1], True), (found[2] or "", False)):
            if "x" in flags and on:
                raise self.beyond("the flag (?x)", start)
            self.fold = on if "i" in flags else self.fold
            self.dot_all = on if "s" in flags else self.dot_all
            self.unix_lines = on if "d" in flags else self.unix_lines
        self.at = found.end()
        if found[3] == ")":
            return None
        body = self.body(start, depth)
        self.fold, self.dot_all, self.unix_lines = before
        return body

    def escape(self, start: int) -> Node:
        """Read what follows a backslash outside of a class."""
        char = self.peek()
        if char == "R":
            self.at += 1
            return Chars(VERTICAL)
        if char in ("b", "B", "A", "G", "Z", "z") and char:
            self.at += 1
            if char == "b" and self.peek() == "{":
                raise self.beyond("\\b{g}", start)
            places: dict[str, Place] = {"b": "word", "B": "no word", "A": "begin", "G": "resume"}
            return Assertion(places.get(char, "end"))
        if char == "k":
            found = re.compile(r"k<([a-zA-Z][a-zA-Z0-9]*)>").match(self.text, self.at)
            if not found:
                raise self.error("\\k is not followed by '<name>'", start)
            if found[1] not in self.names:
                raise self.error(f"named group <{found[1]}> does not exist", start)
            self.at = found.end()
            return BackReference(self.names[found[1]], self.fold)
        if char and char in "123456789":
            number = int(self.take())
            while self.peek() and self.peek() in "0123456789" and number * 10 + int(self.peek()) <= self.groups:
                number = number * 10 + int(self.take())
            # Java reads a reference to a group that does not exist as one that never fits.
            return BackReference(number, self.fold)
        return Chars(self.escaped(start))

    def escaped(self, start: int) -> int:
        """Read an escape that stands for characters, inside and outside of classes."""
        char = self.take()
        if char.lower() in CLASSES:
            bits = CLASSES[char.lower()]
            return bits if char.islower() else ALL & ~bits
        if char in "pP":
            bits = self.property(start)
            return bits if char == "p" else ALL & ~bits
        if char in _SIMPLE:
            return self.one(ord(_SIMPLE[char]))
        if char == "0":
            found = re.compile(r"[0-3][0-7]{0,2}|[0-7]{1,2}").match(self.text, self.at)
            if not found:
                raise self.error("illegal octal escape", start)
            self.at = found.end()
            return self.one(int(found[0], 8))
        if char in "xu":
            forms = r"([0-9a-fA-F]{2})|\{([0-9a-fA-F]+)\}" if char == "x" else r"([0-9a-fA-F]{4})"
            found = re.compile(forms).match(self.text, self.at)
            if not found:
                raise self.error("illegal hexadecimal escape", start)
            self.at = found.end()
            return self.one(int(found[found.lastindex or 1], 16))
        if char == "c":
            return self.one(ord(self.take()) ^ 64)
        if char == "E":
            raise self.beyond("\\E without \\Q", start)
        if char in "NX":
            raise self.beyond(f"\\{char}", start)
        if "a" <= char <= "z" or "A" <= char <= "Z":
            raise self.error(f"illegal escape \\{char}", start)
        return self.literal(char).bits

    def one(self, code: int) -> int:
        return self.folded(1 << code) if code < 128 else 0

    def property(self, start: int) -> int:
        if self.peek() == "{":
            end = self.text.find("}", self.at)
            if end < 0:
                raise self.error("unclosed character property", start)
            name, self.at = self.text[self.at + 1 : end], end + 1
        else:
            name = self.take()
        bits = property_bits(name, fold=self.fold)
        if bits is None:
            raise self.beyond(f"the character property {name!r}", start)
        return bits

    def char_class(self, depth: int) -> int:
        """Read behind ``[`` up to its ``]``."""
        start = self.at - 1
        if depth > MOST_GROUPS_DEEP:
            raise self.beyond(f"a class nested deeper than {MOST_GROUPS_DEEP}")
        negated = self.peek() == "^"
        self.at += negated
        bits, first, nested = 0, True, False
        while True:
            if self.at >= len(self.text):
                raise self.error("unclosed character class", start)
            if self.peek(2) == "&&":
                bits, first = self.intersection(bits, first, depth), False
                nested = True
                continue
            char = self.take()
            if char == "]" and not first:
                break
            if char == "[":
                bits |= self.char_class(depth + 1)
                nested = True
            elif char == "\\" and self.peek() == "Q":
                end = self.text.find("\\E", self.at)
                if end < 0:
                    raise self.beyond("\\Q without \\E in a class")
                for each in self.text[self.at + 1 : end]:
                    bits |= self.literal(each).bits
                self.at = end + 2
            else:
                bits |= self.range_from(char)
            first = False
        if negated and nested:
            # Java 8 and Java 9 disagree about what is negated.
            raise self.beyond("a negated class with a class inside", start)
        return ALL & ~bits if negated else bits

    def range_from(self, char: str) -> int:
        """Read one character or range of a class; its first character is taken."""
        start = self.at - 1
        low_bits = self.escaped(start) if char == "\\" else None
        low = self.codeof(low_bits) if low_bits is not None else ord(char)
        if self.peek() != "-" or low is None or self.peek(2) in ("-]", "-["):
            return low_bits if low_bits is not None else self.literal(char).bits
        if self.text[self.at + 1 : self.at + 3] == "&&":
            raise self.beyond("a range that ends in &&", start)
        self.at += 1
        end = self.take()
        high = self.codeof(self.escaped(self.at - 1)) if end == "\\" else ord(end)
        if high is None or high < low:
            raise self.error("illegal character range", start)
        wide = OTHER if high > 127 and not self.fold else 0
        return self.folded(sum(1 << code for code in range(low, min(high, 127) + 1))) | wide

    def codeof(self, bits: int) -> int | None:
        """Return the character that a set of one stands for."""
        if self.fold and bits.bit_count() == 2:
            bits &= -bits if bits & UPPER else bits
        return bits.bit_length() - 1 if bits.bit_count() == 1 else None

    def intersection(self, bits: int, first: bool, depth: int) -> int:
        """Read ``&&`` and its right side: classes, or a plain list up to the end."""
        if first:
            raise self.beyond("a class that starts with &&")
        self.at += 2
        right, seen = 0, False
        while self.peek() and self.peek() != "]" and self.peek(2) != "&&":
            char = self.take()
            right |= self.char_class(depth + 1) if char == "[" else self.range_from(char)
            seen = True
        if not seen:
            raise self.beyond("an intersection with nothing in a class")
        return bits & right


def can_be_empty(node: Node) -> bool:
    """Tell whether a node can match no character at all."""
    if isinstance(node, Chars):
        return False
    if isinstance(node, Sequence):
        return all(map(can_be_empty, node.parts))
    if isinstance(node, Alternation):
        return any(map(can_be_empty, node.options))
    if isinstance(node, Repeat):
        return node.least == 0 or can_be_empty(node.body)
    if isinstance(node, Group | Atomic):
        return can_be_empty(node.body)
    return True


def longest(node: Node) -> int | None:
    """Return the greatest number of characters that a node can match; None without bound."""
    if isinstance(node, Chars):
        return 1
    if isinstance(node, Sequence | Alternation):
        sizes = [longest(each) for each in (node.parts if isinstance(node, Sequence) else node.options)]
        known = [size for size in sizes if size is not None]
        if len(known) < len(sizes):
            return None
        return sum(known) if isinstance(node, Sequence) else max(known)
    if isinstance(node, Repeat):
        size = longest(node.body)
        return None if size is None or node.most is None else size * node.most
    if isinstance(node, Group | Atomic):
        return longest(node.body)
    return None if isinstance(node, BackReference) else 0
