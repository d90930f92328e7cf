"""How many labelled incidents are among the first suggestions: ``python -m benchmarks.suggesting [SCENARIO …]``."""

from __future__ import annotations

import sys
from pathlib import Path

import kmon_analysis as km
from kmon_analysis.labelling.suggest import suggest_incidents

SCENARIOS = ("user-service", "user-service-later", "one-incident", "three-incidents", "eight-incidents", "no-incidents")
FIRST = (5, 10, 20, 30)
EVERYTHING = 100_000


def places(history: Path, folder: Path) -> tuple[list[int | None], int]:
    """Return the place of the first suggestion that meets each incident, and how many suggestions there are."""
    found = suggest_incidents(km.open_history(history), km.read_rules(folder / "rules.yml"), most=EVERYTHING)
    truth = km.read_incidents(folder / "incidents.yml")
    return [
        next((place for place, each in enumerate(found, 1) if each.interval.overlaps(incident.interval)), None)
        for incident in truth
    ], len(found)


def main(names: list[str]) -> None:
    """Print a table."""
    header = " | ".join(f"first {count}" for count in FIRST)
    print(f"| history | suggestions | incidents | {header} | any |")
    print("| --- " * (4 + len(FIRST)) + "|")
    for name in names or [*SCENARIOS, "outbox"]:
        folder = Path("data/outbox") if name == "outbox" else km.load_scenario(name)
        ranks, count = places(folder / "history" if name == "outbox" else folder, folder)
        cells = [sum(rank is not None and rank <= first for rank in ranks) for first in FIRST]
        met = sum(rank is not None for rank in ranks)
        print(f"| {name} | {count} | {len(ranks)} | {' | '.join(map(str, cells))} | {met} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
