"""Write the configuration reference of the health endpoint into ``docs/health.md``, from the table of keys.

``python docs/health_reference.py --write``; without it, exit status 1 says that the page is not current.
"""

from __future__ import annotations

import sys
from pathlib import Path

from kmon_analysis.health.settings import PRESETS, REFERENCE, Key

PAGE = Path(__file__).resolve().parent / "health.md"
BEGIN, END = "<!-- reference: written by docs/health_reference.py -->", "<!-- end of reference -->"
_KINDS = {"texts": "text or list", "section": "mapping", "names": "mapping of names", "list": "list"}


def row(key: Key) -> str:
    """Write one key."""
    if key.default is None:
        default = "**must be given**"
    elif " " in key.default:
        default = key.default
    else:
        default = f"`{key.default}`" if key.default else "–"
    what = key.what + (f" One of {', '.join(f'`{each}`' for each in key.choices)}." if key.choices else "")
    return f"| `{key.name}` | {_KINDS.get(key.kind, key.kind)} | {default} | {what} |"


def reference() -> str:
    """Return all tables."""
    parts = []
    for section in REFERENCE.values():
        table = "\n".join(["| key | value | default | what |", "| --- | --- | --- | --- |", *map(row, section.keys)])
        parts.append(f"### {section.place[0].upper()}{section.place[1:]}\n\n{section.what}\n\n{table}")
    presets = [
        "### Flavours of outbox",
        "",
        "| `outbox` | whose | table | type | created | pending | attempts |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, each in PRESETS.items():
        values = f"in {', '.join(each.pending.values)}" if each.pending.values else "is null"
        presets.append(
            f"| `{name}` | {each.what} | `{each.table}` | `{each.type}` | `{each.created}` ({each.created_as}) "
            f"| `{each.pending.column}` {values} | {f'`{each.attempts}`' if each.attempts else '–'} |"
        )
    return "\n\n".join([*parts, "\n".join(presets)])


def page(text: str) -> str:
    """Return the page with a current reference."""
    head, rest = text.split(BEGIN)
    return f"{head}{BEGIN}\n\n{reference()}\n\n{END}{rest.split(END)[1]}"


def main() -> int:
    """Write, or compare."""
    there = PAGE.read_text(encoding="utf-8")
    current = page(there)
    if "--write" in sys.argv:
        PAGE.write_text(current, encoding="utf-8", newline="\n")
        return 0
    return int(current != there)


if __name__ == "__main__":
    raise SystemExit(main())
