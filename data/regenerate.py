"""Make the bundled histories anew from their seeds; compare with what is here, or replace it (``--write``)."""

from __future__ import annotations

import argparse
import sys
import tempfile
import textwrap
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa

from kmon_analysis.series import is_stale
from kmon_analysis.sources.simulation.service import SUBSCRIPTIONS, TOPICS
from kmon_analysis.sources.simulation.store import differences
from kmon_analysis.sources.simulator import SCENARIOS, Simulation, simulate, write_scenario
from kmon_analysis.timing import format_duration, format_instant

HERE = Path(__file__).resolve().parent
SHIPPED = ("user-service",)


def main(arguments: list[str] | None = None) -> int:
    """Compare or replace; 1 if something differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="replace what is here")
    write = parser.parse_args(arguments).write
    found: list[str] = []
    simulations = {}
    for name in SCENARIOS:
        say(f"simulating {name} …")
        simulations[name] = simulate(name)
        if name in SHIPPED:
            if write:
                renew(simulations[name], HERE / name)
            else:
                found += compare(simulations[name], HERE / name)
    page, text = HERE / "README.md", readme(simulations)
    if write:
        page.write_text(text, encoding="utf-8", newline="\n")
    elif not page.is_file() or page.read_text(encoding="utf-8") != text:
        found.append(f"{page}: the text differs")
    for line in found:
        say(line)
    if not write:
        say("differs: make data ARGS=--write replaces it, if that is what you want" if found else "nothing differs")
    return 1 if found else 0


def renew(simulation: Simulation, place: Path) -> None:
    """Replace a directory as a whole."""
    with tempfile.TemporaryDirectory(dir=HERE) as beside:
        made = Path(beside) / simulation.scenario
        write_scenario(simulation, made)
        if place.exists():
            place.rename(Path(beside) / "old")
        made.rename(place)


def compare(simulation: Simulation, place: Path) -> list[str]:
    """Compare content always, and bytes where pyarrow is the pinned one that wrote them."""
    found = differences(simulation, place)
    pins = (HERE.parent / "constraints.txt").read_text(encoding="utf-8").split()
    if f"pyarrow=={pa.__version__}" in pins:
        with tempfile.TemporaryDirectory() as beside:
            made = Path(beside) / simulation.scenario
            write_scenario(simulation, made)
            names = {file.name for folder in (made, place) for file in folder.iterdir()}
            for name in sorted(names):
                new, old = made / name, place / name
                if not (new.is_file() and old.is_file() and new.read_bytes() == old.read_bytes()):
                    found.append(f"{old}: the bytes differ")
    return found


def readme(simulations: dict[str, Simulation]) -> str:
    """Write the page about the data; every number in it is counted."""
    shipped = ", ".join(f"`{name}`" for name in SHIPPED)
    table = "| scenario | seed | from | to | series | samples | incidents | must page | excluded windows |\n"
    table += "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for name, each in simulations.items():
        must = sum(incident.must_page for incident in each.incidents)
        table += (
            f"\n| {name} | {SCENARIOS[name].seed} | {format_instant(each.interval.start_ms)[:10]} "
            f"| {format_instant(each.interval.end_ms)[:10]} | {len(each.series)} | {each.series.sample_count:,} "
            f"| {len(each.incidents)} | {must} | {len(each.excluded)} |"
        )
    parts = [
        "# Histories with known answers",
        wrapped(
            "Simulated, but for `recorded-kafka`: a user service on Kafka, scraped by Prometheus, with every fault "
            "known. It is made to learn the toolkit and to test it. Do not choose product defaults on it: the "
            "simulator and the toolkit share their assumptions."
        ),
        wrapped(
            "`make data` simulates everything anew from the seeds and compares; the same run writes this page. The "
            "generator is `kmon_analysis.sources.simulator`; all parameters stand in each `manifest.json` under "
            "`provenance.extra.parameters`."
        ),
        table,
        wrapped(
            f"Only {shipped} lies here. The others are made when first asked for and kept in the cache: "
            '`load_scenario("three-incidents")`. `user-service-later` is the true continuation of `user-service`: '
            "one simulation, cut in two."
        ),
    ]
    for name in SHIPPED:
        parts += about(simulations[name], HERE / name)
    parts += [
        "## outbox",
        wrapped(
            "Eight weeks of outbox ages as the health endpoint shows them, simulated by `data/small_histories.py`, "
            "with eight labelled incidents and the rule `OutboxStalled` as guessed on its first day; "
            "see docs/health.md."
        ),
        "## recorded-kafka",
        wrapped(
            "An hour and a half of a real cluster that was broken on a schedule, with the faults labelled: recorded, "
            "not simulated. Its own page, recorded-kafka/README.md, says what ran and when it was broken; "
            "`make record` records another."
        ),
    ]
    return "\n\n".join(parts) + "\n"


def about(simulation: Simulation, place: Path) -> list[str]:
    """Describe one directory."""
    series = simulation.series
    size = sum(file.stat().st_size for file in place.iterdir()) / 1e6
    groups = len({each.group for each in SUBSCRIPTIONS})
    metrics = Counter(labels["__name__"] for labels in series.labels)
    kinds = Counter(incident.kind for incident in simulation.incidents)
    stale = int(is_stale(series.values).sum())
    negative = int(np.count_nonzero(series.values < 0))
    return [
        f"## {simulation.scenario}",
        wrapped(
            f"{len(TOPICS)} topics, {groups} consumer groups, three brokers (one is replaced on the way), scraped "
            f"every {format_duration(simulation.scrape_interval_ms)}. {size:.1f} MB."
        ),
        "- `manifest.json`, `samples-0001.parquet`: the history; `kmon_analysis.open_history` reads and verifies it.\n"
        "- `incidents.yml`: what the team wrote down. Starts are some minutes late, ends include the drain.\n"
        "- `rules.yml`: the three alerts as deployed, untuned.",
        "| metric | series |\n| --- | --- |"
        + "".join(f"\n| `{metric}` | {count} |" for metric, count in sorted(metrics.items())),
        "`MessagesInPerSec` and `BytesInPerSec` are counters in spite of their names, as the JMX exporter shows them.",
        "| kind of incident | labelled |\n| --- | --- |"
        + "".join(f"\n| {kind} | {count} |" for kind, count in sorted(kinds.items())),
        wrapped(
            f"{len(simulation.unlabelled)} further disturbances were never written down, and one labelled incident had "
            "nothing to do with Kafka. Beside them: a nightly batch consumer, a nightly pause, deploys, bulk imports, "
            "restarts of producers and brokers, a consumer near saturation at the evening peak, two public holidays "
            "and the change to summer time."
        ),
        wrapped(
            f"Artefacts of measurement: {stale:,} stale markers from failed scrapes and vanished series, counters "
            f"that start again at 0, {negative:,} negative lags, lag series missing for single scrapes and outages of "
            "their exporter, `instance` labels that change, a topic born in the fourth week, bogus lags from a missing "
            "offset, and minutes in which Prometheus itself was down."
        ),
    ]


def wrapped(text: str) -> str:
    """Break a paragraph into lines."""
    return textwrap.fill(text, 118, break_long_words=False, break_on_hyphens=False)


def say(text: str) -> None:
    """Tell the person who runs this."""
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
