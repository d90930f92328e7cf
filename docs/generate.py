"""Write the tables of docs/semantics.md anew from the tables of the code."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from kmon_analysis.promql import aggregate, binary
from kmon_analysis.promql.functions import FUNCTIONS, REFUSED_AGGREGATIONS
from kmon_analysis.promql.mathematics import LAST_PLACES
from kmon_analysis.promql.semantics import SWITCHBOARD

PAGE = Path(__file__).with_name("semantics.md")


def _version(release: tuple[int, int]) -> str:
    return f"{release[0]}.{release[1]}"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _names(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def evaluated() -> str:
    """What is evaluated in which releases."""
    groups: dict[str, list[str]] = {}
    for name, function in sorted(FUNCTIONS.items()):
        if function.apply is not None:
            since = "all" if function.since == (2, 42) else f"{_version(function.since)} and newer"
            groups.setdefault(since if function.until is None else f"before {_version(function.until)}", []).append(
                name
            )
    rows = [("functions", releases, _names(names)) for releases, names in groups.items()]
    rows.append(("aggregations", "all", _names(sorted(aggregate.EVALUATED))))
    rows.append(("operators", "all", _names(sorted(binary.EVALUATED))))
    return _table(("", "releases", "names"), rows)


def refused() -> str:
    """What is refused, and why."""
    reasons: dict[str, list[str]] = {}
    for name, function in sorted(FUNCTIONS.items()):
        if function.apply is None:
            reasons.setdefault(function.why, []).append(name)
    for name, why in sorted(REFUSED_AGGREGATIONS.items()):
        reasons.setdefault(why, []).append(name)
    return _table(("names", "why"), [(_names(names), why) for why, names in reasons.items()])


def switches() -> str:
    """What changed between releases."""
    rows = []
    for name, switch in SWITCHBOARD.items():
        first, *later = switch.changes
        values = [f"{_shown(first[1])}", *(f"{_version(since)}: {_shown(value)}" for since, value in later)]
        rows.append((f"`{name}`", switch.meaning, " → ".join(values)))
    return _table(("switch", "meaning", "value, and since when another"), rows)


def _shown(value: object) -> str:
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def last_places() -> str:
    """How far elementary functions may be off."""
    groups: dict[int, list[str]] = {}
    for name, units in LAST_PLACES.items():
        groups.setdefault(units, []).append(name)
    return _table(("units in the last place", "functions"), [(str(u), _names(names)) for u, names in groups.items()])


TABLES: dict[str, Callable[[], str]] = {
    "evaluated": evaluated,
    "refused": refused,
    "switches": switches,
    "last places": last_places,
}


def _filled(table: str, found: re.Match[str]) -> str:
    return f"{found[1]}{table}\n{found[2]}"


def written(page: str) -> str:
    """Return the page with its tables made anew."""
    for name, make in TABLES.items():
        mark = re.escape(f"<!-- table: {name} -->\n")
        page, count = re.subn(
            f"({mark}).*?(<!-- end -->)",
            partial(_filled, make()),
            page,
            flags=re.DOTALL,
        )
        if count != 1:
            raise SystemExit(f"{PAGE.name}: the marks of the table {name!r} are missing or twice there")
    return page


def main() -> None:
    """Write the page where it is not current."""
    before = PAGE.read_text(encoding="utf-8")
    after = written(before)
    if after != before:
        PAGE.write_text(after, encoding="utf-8")
    sys.stdout.write(f"{PAGE.name}: {'written' if after != before else 'current'}\n")


if __name__ == "__main__":
    main()
