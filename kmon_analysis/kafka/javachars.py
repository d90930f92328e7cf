"""Sets of characters as Java's regular expressions name them.

A set is a whole number: bit c for code point c below 128, and bit 128 for all others. The names of MBeans,
attributes and topics are ASCII, so that nothing is lost by that.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

__all__ = ["ALL", "CLASSES", "LINE_ENDS", "LOWER", "OTHER", "UPPER", "VERTICAL", "of", "property_bits"]

OTHER = 1 << 128
ALL = (OTHER << 1) - 1


def _bits(test: Callable[[str], bool], other: bool = False) -> int:
    return sum(1 << code for code in range(128) if test(chr(code))) | (OTHER if other else 0)


def of(text: str) -> int:
    """Return the set of the characters of a text."""
    return sum({1 << ord(char) for char in text})


_DIGIT = _bits(lambda c: c in "0123456789")
UPPER = _bits(lambda c: "A" <= c <= "Z")
LOWER = _bits(lambda c: "a" <= c <= "z")
_LETTER = UPPER | LOWER
_WORD = _LETTER | _DIGIT | of("_")
_SPACE = of(" \t\n\x0b\f\r")
LINE_ENDS = of("\n\r")
VERTICAL = of("\n\x0b\f\r")
_PUNCT = of("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
CLASSES = {"d": _DIGIT, "w": _WORD, "s": _SPACE, "h": of(" \t"), "v": VERTICAL}
_PROPERTIES = {
    "lower": LOWER,
    "upper": UPPER,
    "ascii": ALL & ~OTHER,
    "alpha": _LETTER,
    "digit": _DIGIT,
    "alnum": _LETTER | _DIGIT,
    "punct": _PUNCT,
    "graph": _PUNCT | _LETTER | _DIGIT,
    "print": _PUNCT | _LETTER | _DIGIT | of(" "),
    "blank": of(" \t"),
    "cntrl": _bits(lambda c: ord(c) < 32 or ord(c) == 127),
    "xdigit": of("0123456789abcdefABCDEF"),
    "space": _SPACE,
    "javalowercase": LOWER,
    "javauppercase": UPPER,
    "javaletter": _LETTER,
    "javadigit": _DIGIT,
    "javaletterordigit": _LETTER | _DIGIT,
    "isalphabetic": _LETTER,
    "isletter": _LETTER,
    "isdigit": _DIGIT,
    "isuppercase": UPPER,
    "islowercase": LOWER,
    "ispunctuation": _bits(lambda c: unicodedata.category(c).startswith("P")),
    "iswhite_space": _SPACE,
    "islatin": _LETTER,
    "inbasic_latin": ALL & ~OTHER,
    "inbasiclatin": ALL & ~OTHER,
}
# Classes that hold characters beyond ASCII, too, as far as that bit can say it.
_WIDE = {"javalowercase", "javauppercase", "javaletter", "javadigit", "javaletterordigit", "isalphabetic", "isletter"}
_CATEGORY = re.compile(r"(?:Is|gc=|general_category=)?([LMNPZSC][a-z]?|LC|LD|L1)\Z")


def property_bits(name: str, *, fold: bool) -> int | None:
    r"""Return the set of ``\p{name}``; None for a name that is not known here.

    Parameters
    ----------
    name : str
        For example ``Lower``, ``L``, ``IsAlphabetic``, ``javaUpperCase``.
    fold : bool
        Whether case is ignored.
    """
    plain = name.lower()
    if plain in _PROPERTIES:
        bits = _PROPERTIES[plain] | (OTHER if plain in _WIDE else 0)
        return bits | _LETTER if fold and plain in ("lower", "upper", "javalowercase", "javauppercase") else bits
    found = _CATEGORY.match(name)
    if found is None:
        return None
    category = {"L1": "L", "LD": "L"}.get(found[1], found[1])
    if category == "LC":
        return _LETTER | OTHER
    bits = _bits(lambda char: unicodedata.category(char).startswith(category), other=True)
    bits |= _DIGIT if found[1] == "LD" else 0
    return bits | _LETTER if fold and category in ("Lu", "Ll", "Lt") else bits
