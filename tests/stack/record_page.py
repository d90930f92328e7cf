"""The page of a recording: what ran, what was broken when, and what was harmless; made from its own files."""

from __future__ import annotations

import textwrap
from typing import Any

from kmon_analysis.history import History
from kmon_analysis.incidents import Incidents
from kmon_analysis.timing import format_duration, format_instant
from tests.stack.settings import SERVICES, TOPICS

__all__ = ["page"]


def page(history: History, incidents: Incidents, about: dict[str, Any]) -> str:
    """Return the text of a recording's README.

    Parameters
    ----------
    history : History
        What was recorded.
    incidents : Incidents
        The faults as labelled; those for rules that must see a fault and those for rules that may share its time.
    about : dict
        The content of ``recording.json``.
    """
    faults: dict[tuple[int, int, str], list[str]] = {}
    for one in incidents.incidents:
        key = (one.interval.start_ms, one.interval.end_ms, one.cause)
        faults.setdefault(key, []).append(f"{', '.join(one.rules)} {'must' if one.must_page else 'may'}")
    services = ", ".join(f"`{each.topic}` ({each.rate:g}/s, read by {each.group})" for each in SERVICES)
    alone = next(topic for topic, replicas in TOPICS.items() if len(replicas[0]) == 1)
    rows = [
        (start, f"| {cause} | {length(end - start)} | {'; '.join(meant)} page |")
        for (start, end, cause), meant in faults.items()
    ]
    rows += [
        (
            each["start_ms"],
            f"| {each['name']} {each['target']} | {length(each['end_ms'] - each['start_ms'])} | harmless |",
        )
        for each in about["events"]
    ]
    first = history.interval.start_ms
    table = "\n".join(f"| {length(start - first)} {row}" for start, row in sorted(rows))
    versions = "\n".join(f"| {name} | {version} |" for name, version in about["versions"].items())
    return "\n\n".join(
        [
            "# A recorded Kafka cluster with labelled faults",
            wrapped(
                f"Recorded, not simulated: {len(faults)} faults and {len(about['events'])} harmless events in "
                f"{about['minutes']:g} minutes of a real cluster, from {format_instant(first)} on. Three brokers of "
                "Kafka (KRaft) with the JMX exporter and the configuration of `kmon jmx init`, kafka_exporter, "
                f"Prometheus and Alertmanager on one machine; producers and consumers of {services}. Partitions have "
                f"three replicas, but for `{alone}`, which has one. Scraped and evaluated every "
                f"{about['scrape_interval_s']:g} s."
            ),
            wrapped(
                "`make record` made it (`tests/stack/record.py`, seed "
                f"{about['seed']}); nothing was corrected afterwards. A fault's interval is from the moment it was "
                "broken to the moment its effects were over, as the script saw them. The faults are ours, "
                "not those of a production cluster, and last minutes where those last hours; the times in "
                "the alerts are short accordingly. The recording says how alerts and metrics behave, not how often "
                "things break."
            ),
            *([wrapped(about["note"])] if about.get("note") else []),
            "- `manifest.json`, `samples-0001.parquet`: the history, with the server's own `ALERTS`\n"
            "- `incidents.yml`: the faults, labelled as a team would\n"
            "- `rules.yml`: the three alerts that ran\n"
            "- `recording.json`: versions, seed, and the harmless events",
            f"| part | version |\n| --- | --- |\n{versions}",
            f"| at | what | lasted | |\n| --- | --- | --- | --- |\n{table}",
        ]
    )


def length(milliseconds: int) -> str:
    """Write a length of time to the second."""
    return format_duration(round(milliseconds / 1000) * 1000)


def wrapped(text: str) -> str:
    """Break a paragraph into lines."""
    return textwrap.fill(text, 118, break_long_words=False, break_on_hyphens=False)
