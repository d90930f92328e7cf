"""Scalars as YAML 1.1 resolves them, and numbers as Java reads them: what the JMX exporter makes of a plain word."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ruamel.yaml.nodes import ScalarNode

__all__ = ["Scalar", "java_number", "scalar_of"]

_BOOLEANS = re.compile(r"yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF")
_FALSE = ("no", "false", "off")
_INTEGER = re.compile(r"[-+]?(?:0b_*[01][01_]*|0x_*[0-9a-fA-F][0-9a-fA-F_]*|0[0-7_]+|0|[1-9][0-9_]*(?::[0-5]?[0-9])*)")
_FLOAT = re.compile(
    r"[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt]|[ \t]+)[0-9]{1,2}:.*")
_JAVA_NUMBER = re.compile(r"[-+]?(?:NaN|Infinity|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?[fFdD]?)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Scalar:
    """A scalar as YAML 1.1 resolves it, which is what the exporter's reader does.

    Attributes
    ----------
    kind : str
        ``text``, ``bool``, ``int``, ``float``, ``null`` or ``time``.
    text : str
        What ``String.valueOf`` makes of it.
    """

    kind: str
    text: str


def scalar_of(node: ScalarNode) -> Scalar:
    """Resolve a scalar as YAML 1.1.

    Examples
    --------
    >>> scalar_of(ScalarNode("", "yes", style=None))
    Scalar(kind='bool', text='true')
    """
    text = str(node.value)
    if node.style is not None:
        return Scalar("text", text)
    if text in ("", "~", "null", "Null", "NULL"):
        return Scalar("null", "null")
    if _BOOLEANS.fullmatch(text):
        return Scalar("bool", "false" if text.lower() in _FALSE else "true")
    if _INTEGER.fullmatch(text):
        return Scalar("int", str(_integer(text.replace("_", ""))))
    if _FLOAT.fullmatch(text):
        return Scalar("float", _float(text.replace("_", "")))
    return Scalar("time" if _TIME.fullmatch(text) else "text", text)


def _integer(text: str) -> int:
    sign, digits = (-1, text[1:]) if text[0] == "-" else (1, text.lstrip("+"))
    if ":" in digits:
        number = 0
        for part in digits.split(":"):
            number = number * 60 + int(part)
        return sign * number
    for prefix, base in (("0b", 2), ("0x", 16)):
        if digits.startswith(prefix):
            return sign * int(digits[2:], base)
    return sign * int(digits[:300], 8 if digits.startswith("0") else 10)


def _float(text: str) -> str:
    plain = text.lower()
    if plain.endswith(".inf"):
        return "-Infinity" if plain[0] == "-" else "Infinity"
    if plain == ".nan":
        return "NaN"
    return text if ":" in text else repr(float(text))


def java_number(text: str) -> float | None:
    """Read a number as ``Double.valueOf``; None for what it refuses (hexadecimal floats are not read)."""
    plain = text.strip("".join(map(chr, range(33))))
    if not _JAVA_NUMBER.fullmatch(plain):
        return None
    if plain.endswith(("NaN", "Infinity")):
        return float(plain)
    return float(plain.rstrip("fFdD"))
