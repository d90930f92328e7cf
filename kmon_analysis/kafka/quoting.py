"""Names from outside, written so that PromQL, RE2, YAML, Go templates and Grafana read them back unchanged."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kmon_analysis.labels import quote

__all__ = ["alternatives", "equals_any", "regex_quote", "template_text", "yaml_quote"]

_META = re.compile(r"[\\.+*?()|\[\]{}^$]")


def regex_quote(text: str) -> str:
    r"""Write a text as an RE2 pattern that matches it alone.

    Notes
    -----
    Go ``regexp.QuoteMeta``.

    Examples
    --------
    >>> print(regex_quote("user.registered"))
    user\.registered
    """
    return _META.sub(lambda found: "\\" + found[0], text)


def alternatives(texts: Sequence[str]) -> str:
    """Write an RE2 pattern that matches exactly these texts."""
    return "|".join(regex_quote(text) for text in texts)


def equals_any(label: str, values: Sequence[str]) -> str:
    r"""Write a label matcher for one or several values.

    Examples
    --------
    >>> print(equals_any("topic", ["user.registered"]), equals_any("topic", ["a.b", "c"]))
    topic="user.registered" topic=~"a\\.b|c"
    """
    if len(values) == 1:
        return f"{label}={quote(values[0])}"
    return f"{label}=~{quote(alternatives(values))}"


def yaml_quote(text: str) -> str:
    r"""Write a text as a double-quoted YAML scalar on one line.

    Examples
    --------
    >>> print(yaml_quote('a "b"\n'))
    "a \"b\"\n"
    """
    named = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return '"' + "".join(named.get(char) or (char if char.isprintable() else _escape(char)) for char in text) + '"'


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def template_text(text: str) -> str:
    """Write a text so that a Go template prints it.

    Examples
    --------
    >>> print(template_text("a {{ b"))
    a {{ "{{" }} b
    """
    return text.replace("{{", '{{ "{{" }}')
