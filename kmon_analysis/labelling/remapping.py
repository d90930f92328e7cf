"""Giving entries of a list what a better mapping of their services says, and leaving what a person wrote."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from kmon_analysis.incidents import Incident
from kmon_analysis.incidents_writer import block_entry, flow_entry

__all__ = ["remapped"]

# Rules and labels, as a mapping gives both.
Concerns = tuple[tuple[str, ...], tuple[tuple[str, str], ...]]


def remapped(
    listed: Mapping[str, Incident], entries: Sequence[Incident], services: Mapping[str, str], text: str
) -> tuple[dict[str, Incident], dict[str, str]]:
    """Say which entries of a list get other rules and labels, and what is to be told of which.

    Parameters
    ----------
    listed : Mapping
        The list's entries by id.
    entries : sequence of Incident
        As they are imported now.
    services : Mapping
        Of those whose service is mapped: its name, by id. The others stay.
    text : str
        The list as it is written.

    Returns
    -------
    dict of Incident, dict of str
        The changed entries; a sentence for each entry that changes, or that differs and stays, by id.

    Notes
    -----
    An import writes rules and labels in one way, and all entries of a service get the same. So an entry that says
    nothing yet, or what most of its service say, in the way of an import, has it from an earlier mapping; anything
    else was written by a person.
    """
    lines = text.splitlines()
    wanted = {each.id: each for each in entries if each.id in services and each.id in listed}
    usual = _usual({name: listed[name] for name in wanted}, services)
    changed, told = {}, {}
    for name, new in wanted.items():
        old = listed[name]
        if _concerns(old) == _concerns(new):
            continue
        imported = _concerns(old) == usual.get(services[name]) and _as_imported(old, text, lines)
        if imported or _concerns(old) == _NOTHING:
            changed[name] = replace(old, rules=new.rules, labels=new.labels)
            told[name] = f"{name!r} concerns {_words(new)} now; it was {_words(old)}"
        else:
            told[name] = f"{name!r} keeps {_words(old)}, which was edited by hand; --map says {_words(new)}"
    return changed, told


_NOTHING: Concerns = ((), ())
_CONCERNING = ("labels:", "rules:")
# Comment lines that an entry may have.
_LINES_BETWEEN = 20


def _usual(listed: Mapping[str, Incident], services: Mapping[str, str]) -> dict[str, Concerns]:
    """Return what most entries of a service say, where that is more than any other says."""
    counts: dict[str, Counter[Concerns]] = {}
    for name, entry in listed.items():
        if _concerns(entry) != _NOTHING:
            counts.setdefault(services[name], Counter())[_concerns(entry)] += 1
    found = {}
    for service, said in counts.items():
        (first, most), *others = said.most_common(2)
        if not others or others[0][1] < most:
            found[service] = first
    return found


def _as_imported(entry: Incident, text: str, lines: Sequence[str]) -> bool:
    """Tell whether rules and labels stand where and as an import writes them; comments behind them do not matter."""
    if flow_entry(entry) in text:
        return True
    written = [line.strip().replace('"', "") for line in block_entry(entry) if line.strip().startswith(_CONCERNING)]
    there = [line.strip() for line in lines[(entry.line or 1) - 1 :][: len(block_entry(entry)) + _LINES_BETWEEN]]
    ends = next((place for place, line in enumerate(there) if line.startswith("end:")), len(there))
    found = there[ends + 1 : ends + 1 + len(written)]
    # Changed in place, they have quotes that new entries do without.
    return [line.partition(" #")[0].rstrip().replace('"', "") for line in found] == written


def _concerns(entry: Incident) -> Concerns:
    return entry.rules, tuple(sorted(entry.labels.items()))


def _words(entry: Incident) -> str:
    labels = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in entry.labels.items())
    return f"{', '.join(entry.rules)}{f'{{{labels}}}' if labels else ''}" or "everything"
