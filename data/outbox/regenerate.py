"""Make the history of outbox ages anew from its seed; compare with what is here, or replace it (``--write``)."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import numpy as np

from kmon_analysis.history import History, Provenance, open_history
from kmon_analysis.labels import Labels
from kmon_analysis.series import Samples, SeriesSet
from kmon_analysis.timing import format_instant, parse_instant

HERE = Path(__file__).resolve().parent
SEED = 20260302
SCRAPE_MS = 30_000
START_MS = parse_instant("2026-03-02T00:00:00Z")
WEEKS = 8
EVENTS = ("DeveloperProfileUpdated", "UserRegistered")
# Minutes from the start of the history, event, length in minutes, and what happened; the relay stands still.
FAULTS = (
    (3_301, "UserRegistered", 34, "The relay's pod was evicted and did not come back."),
    (10_845, "DeveloperProfileUpdated", 41, "A payload that could not be serialised stopped the queue."),
    (18_122, "UserRegistered", 27, "Kafka refused the relay's certificate."),
    (26_951, "DeveloperProfileUpdated", 52, "A migration held a lock on the outbox table."),
    (39_377, "UserRegistered", 63, "The relay was deployed with the wrong topic name."),
    (47_510, "DeveloperProfileUpdated", 31, "The connection pool of the relay was exhausted."),
    (58_664, "UserRegistered", 45, "The relay's leader lease was lost and nobody took it."),
    (71_203, "DeveloperProfileUpdated", 38, "Kafka had no leader for the topic."),
)


def main(arguments: list[str] | None = None) -> int:
    """Compare or replace; 1 if something differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="replace what is here")
    write = parser.parse_args(arguments).write
    made, incidents = history(), incident_list()
    if write:
        shutil.rmtree(HERE / "history", ignore_errors=True)
        made.save(HERE / "history")
        (HERE / "incidents.yml").write_text(incidents, encoding="utf-8", newline="\n")
        return 0
    there = open_history(HERE / "history")
    same = there.digest == made.digest and (HERE / "incidents.yml").read_text(encoding="utf-8") == incidents
    sys.stderr.write("outbox: nothing differs\n" if same else "outbox: differs; ARGS=--write replaces it\n")
    return int(not same)


def history() -> History:
    """Simulate what the endpoint's metrics would have said."""
    random = np.random.default_rng(SEED)
    count = WEEKS * 7 * 24 * 3_600_000 // SCRAPE_MS
    times = START_MS + np.arange(count, dtype=np.int64) * SCRAPE_MS
    minutes = (times - START_MS) / 60_000
    hour = times / 3_600_000 % 24
    parts = []
    for event in EVENTS:
        busy = 0.35 + 0.3 * np.sin((hour - 8) / 24 * 2 * np.pi)
        age_s = np.where(random.random(count) < busy, random.exponential(2.5, count), 0.0)
        # Deploys, bulk imports and vacuum: a few minutes of delay that nobody wants to be woken for.
        for at in random.choice(count - 40, size=90, replace=False).tolist():
            length = int(random.integers(2, 9))
            age_s[at : at + length] += random.uniform(20, 55) * np.arange(1, length + 1) / 2
        for start, whose, length, _ in FAULTS:
            if whose == event:
                stuck = (minutes >= start) & (minutes < start + length)
                age_s[stuck] = (minutes[stuck] - start) * 60 + random.uniform(0, 20)
                # What had gathered is published within some scrapes.
                drained = np.flatnonzero(minutes >= start + length)[:6]
                age_s[drained] = np.linspace(length * 60, 30, len(drained))
        pending = np.where(age_s > 0, 1 + np.floor(age_s * (0.05 + busy / 20)), 0.0)
        for name, values in (
            ("outbox_oldest_pending_age_seconds", np.round(age_s, 3)),
            ("outbox_pending_events", pending),
        ):
            labels = Labels({"__name__": name, "event": event, "job": "user-service", "instance": "10.0.0.7:8080"})
            parts.append(Samples(labels, times, values))
    provenance = Provenance(
        f"simulator outbox, seed {SEED}", START_MS, int(times[-1]) + SCRAPE_MS, ("outbox_*",), SCRAPE_MS
    )
    return History(SeriesSet.from_samples(parts), provenance)


def incident_list() -> str:
    """Write down the faults as a team would."""
    lines = ["# Made by data/outbox/regenerate.py", "incidents:"]
    for number, (start, event, length, cause) in enumerate(FAULTS, 1):
        begins_ms = START_MS + start * 60_000
        lines += [
            f"- id: OUT-{number:02}",
            f"  start: {format_instant(begins_ms)}",
            f"  end: {format_instant(begins_ms + length * 60_000)}",
            f"  labels: {{event: {event}}}",
            f"  cause: {cause!r}",
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
