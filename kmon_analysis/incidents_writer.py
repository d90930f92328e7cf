"""Writing lists of incidents: entries that every YAML reader takes for the same texts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from kmon_analysis.timing import format_instant

if TYPE_CHECKING:
    from kmon_analysis.incidents import Excluded, Incident, Incidents, Reviewed

__all__ = ["block_entry", "entry_fields", "flow_entry", "write_yaml"]

_INSTANTS = ("start", "end", "detected", "when")
_KEYS = (
    *("id", "start", "end", "decision", "labels", "rules", "must_page", "kind", "cause", "detected"),
    *("reason", "by", "when", "note", "status", "suggested_by"),
)
# What every YAML reader takes as text: no indicator, nothing that looks like a number, a date or a boolean.
_PLAIN = re.compile(r"(?!(?:true|false|yes|no|on|off|null|y|n)$)[A-Za-z_][\w.-]*(?: [A-Za-z0-9_][\w.-]*)*", re.I | re.A)
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def write_yaml(incidents: Incidents) -> str:
    """Write a whole list; see `kmon_analysis.incidents.format_incidents`."""
    listed = (*incidents.incidents, *incidents.suggested, *incidents.rejected)
    lines = ["incidents:" if listed else "incidents: []"]
    lines += ["  " + line for incident in listed for line in block_entry(incident)]
    for key, entries in (("excluded:", incidents.excluded), ("reviewed:", incidents.reviewed)):
        lines += [key] if entries else []
        lines += ["  " + line for entry in entries for line in block_entry(entry)]
    return "\n".join(lines) + "\n"


def block_entry(entry: Incident | Excluded | Reviewed, *, plain_times: bool = False) -> list[str]:
    """Write an entry of a block list: the first line begins with its dash, the others are indented by two.

    Parameters
    ----------
    entry : Incident, Excluded or Reviewed
        What to write.
    plain_times : bool
        Leave out the quotes around times, as people do; other YAML readers take such times for dates, and some
        lose the zone.
    """
    written = []
    for key, value in _fields(entry):
        if isinstance(value, bool):
            text = str(value).lower()
        elif isinstance(value, str):
            text = (value if plain_times else f'"{value}"') if key in _INSTANTS else _scalar(value)
        elif isinstance(value, tuple):
            text = f"[{', '.join(map(_scalar, value))}]"
        else:
            text = "{" + ", ".join(f"{_scalar(name)}: {_scalar(each)}" for name, each in value.items()) + "}"
        written.append(f"{key}: {text}")
    return [("  " if place else "- ") + line for place, line in enumerate(written)]


def flow_entry(entry: Incident | Excluded | Reviewed) -> str:
    """Write an entry in braces on one line, valid in YAML and in JSON."""
    return "{" + ", ".join(f'"{key}": {text}' for key, text in entry_fields(entry).items()) + "}"


def entry_fields(entry: Incident | Excluded | Reviewed) -> dict[str, str]:
    """Write what an entry says, field by field, on one line each, valid in YAML and in JSON."""
    written = {}
    for key, value in _fields(entry):
        if isinstance(value, bool):
            written[key] = str(value).lower()
        elif isinstance(value, str):
            written[key] = _json(value)
        elif isinstance(value, tuple):
            written[key] = f"[{', '.join(map(_json, value))}]"
        else:
            written[key] = "{" + ", ".join(f"{_json(name)}: {_json(each)}" for name, each in value.items()) + "}"
    return written


def _fields(
    entry: Incident | Excluded | Reviewed,
) -> list[tuple[str, str | bool | tuple[str, ...] | Mapping[str, str]]]:
    """Return what an entry says, without keys that say nothing or what holds anyway."""
    instants = {
        "start": entry.interval.start_ms,
        "end": entry.interval.end_ms,
        "detected": getattr(entry, "detected_ms", None),
        "when": getattr(entry, "when_ms", None),
    }
    made = {key: "" if ms is None else format_instant(ms) for key, ms in instants.items()}
    values = {key: made.get(key, getattr(entry, key, "")) for key in _KEYS}
    # These mean the same when they are not written.
    usual = {"must_page": True, "status": "confirmed"}
    return [(key, value) for key, value in values.items() if value != usual.get(key) and (value or value is False)]


def _scalar(text: str) -> str:
    """Write a text as a YAML scalar, plain where that is safe."""
    if _PLAIN.fullmatch(text):
        return text
    return '"' + "".join(_ESCAPES.get(c, c if c.isprintable() else f"\\U{ord(c):08x}") for c in text) + '"'


def _json(text: str) -> str:
    """Write a text as a JSON string; what lies beyond its short escapes stays as it is, which YAML reads, too."""
    return '"' + "".join(_ESCAPES.get(c, f"\\u{ord(c):04x}" if _hidden(c) else c) for c in text) + '"'


def _hidden(char: str) -> bool:
    return not char.isprintable() and ord(char) < 0x10000
