"""Write the tables of docs/semantics.md and docs/kafka.md anew from the tables of the code."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from kmon_analysis.kafka.dialects import QUANTITIES, choose, dialects
from kmon_analysis.kafka.starter import starters
from kmon_analysis.kafka.traps import named_traps
from kmon_analysis.promql import aggregate, binary
from kmon_analysis.promql.functions import FUNCTIONS, REFUSED_AGGREGATIONS
from kmon_analysis.promql.mathematics import LAST_PLACES
from kmon_analysis.promql.semantics import SWITCHBOARD

HERE = Path(__file__).parent


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


def known_dialects() -> str:
    """What each dialect is."""
    rows = [(f"`{each.name}`", each.title, " ".join(each.limits)) for each in dialects().values()]
    return _table(("name", "what makes it", "limits"), rows)


def dialect_names() -> str:
    """What each dialect calls each quantity."""
    rows = []
    for each in dialects().values():
        for quantity in QUANTITIES:
            if (metric := each.metrics.get(quantity)) is not None:
                fixed = "".join(f" `{label}={value}`" for label, value in metric.matchers.items())
                labels = ", ".join(f"{role} `{label}`" for role, label in metric.labels.items())
                what = quantity.replace("_", " ")
                rows.append((f"`{each.name}`", what, _names(list(metric.names)) + fixed, metric.kind, labels))
    return _table(("dialect", "quantity", "metric", "kind", "labels"), rows)


def starter_rules() -> str:
    """What the starter rules are, in the guide's names."""
    known = dialects()
    found = starters(choose((known["founding"], known["recorded"])))
    bare = starters(choose((known["founding"],), {"kafka_server_ReplicaManager_LeaderCount"}))
    rows = [(f"`{each.name}`", f"{each.severity}, {each.duration}", each.why, each.cannot) for each in found.rules]
    rows += [(f"`{each.name}`", f"{each.severity}, {each.duration}", each.why, each.cannot) for each in bare.rules]
    return _table(("alert", "severity, for", "why", "what it cannot know"), rows)


def name_traps() -> str:
    """Which metrics are a trap by themselves."""
    rows = [(f"`{each.kind}`", f"{each.says}. {each.cure}.", _names(sorted(each.names))) for each in named_traps()]
    return _table(("trap", "what it is", "metrics"), rows)


Tables = dict[str, Callable[[], str]]
PAGES: dict[str, Tables] = {
    "semantics.md": {
        "evaluated": evaluated,
        "refused": refused,
        "switches": switches,
        "last places": last_places,
    },
    "kafka.md": {
        "dialects": known_dialects,
        "dialect names": dialect_names,
        "starter rules": starter_rules,
        "traps": name_traps,
    },
}


def _filled(table: str, found: re.Match[str]) -> str:
    return f"{found[1]}{table}\n{found[2]}"


def written(page: str, name: str = "semantics.md") -> str:
    """Return the text of a page with its tables made anew."""
    for table, make in PAGES[name].items():
        mark = re.escape(f"<!-- table: {table} -->\n")
        page, count = re.subn(
            f"({mark}).*?(<!-- end -->)",
            partial(_filled, make()),
            page,
            flags=re.DOTALL,
        )
        if count != 1:
            raise SystemExit(f"{name}: the marks of the table {table!r} are missing or twice there")
    return page


def main() -> None:
    """Write the pages that are not current."""
    for name in PAGES:
        page = HERE / name
        before = page.read_text(encoding="utf-8")
        after = written(before, name)
        if after != before:
            page.write_text(after, encoding="utf-8")
        sys.stdout.write(f"{name}: {'written' if after != before else 'current'}\n")


if __name__ == "__main__":
    main()
