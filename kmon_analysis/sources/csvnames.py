"""What the columns of a table are: by the names that its user gives them, or by the legends of a dashboard."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence

from kmon_analysis.errors import SettingError, nearest
from kmon_analysis.labels import Labels, parse_series
from kmon_analysis.sources.datafile import Report

__all__ = ["meant", "renamed"]

# As in Grafana's "Legend": {{topic}}.
_HOLE = re.compile(r"\{\{\s*(\w+)\s*\}\}", re.ASCII)


def renamed(
    header: Sequence[str],
    wanted: Mapping[str, str],
    clock_of: Callable[[Sequence[str]], int],
    line: int,
    report: Report,
) -> list[str]:
    """Return a header in its user's own names.

    Parameters
    ----------
    header : sequence of str
        The columns as the file calls them.
    wanted : Mapping
        What they are called in the file, by what they are. ``{{topic}}`` in both stands for any text, as in
        Grafana's legends: ``{'lag{topic="{{t}}"}': "{{t}} (lag)"}``.
    clock_of : callable
        Tells from the names which column holds the times; no legend is meant for it.
    line : int
        Where the header stands in the file.
    report : Report
        Takes names that are not there, and legends that fit nothing or fit in two ways.
    """
    names = [name.strip() for name in header]
    exact, rest = _exact(wanted, names), _unnamed(names, wanted, clock_of)
    given = {theirs: series for series, theirs in exact.items()}
    for theirs in [each for each in given if each not in names]:
        there = ", ".join(repr(each) for each in names[:10])
        report.add(f"no column is called {theirs!r}", line, nearest(theirs, names) or f"There are {there}")
    for series in [each for each in wanted if each not in exact]:
        legend = wanted[series].strip()
        for name, labels in _fitting(series, legend, rest, line, report).items():
            if given.setdefault(name, labels) != labels:
                report.add(f"{name!r} fits two legends, one is {legend!r}", line, "Name this column on its own")
    return [given.get(name, name) for name in names]


def meant(
    header: Sequence[str], wanted: Mapping[str, str], clock_of: Callable[[Sequence[str]], int]
) -> dict[str, set[int]]:
    """Return for each series of `wanted` the places of the columns that it stands for, on their own or by a legend."""
    names = [name.strip() for name in header]
    exact, rest = _exact(wanted, names), _unnamed(names, wanted, clock_of)
    found = {}
    for series, theirs in wanted.items():
        fits = {theirs.strip()} if series in exact else {*filter(_pattern(theirs.strip()).fullmatch, rest)}
        found[series] = {place for place, name in enumerate(names) if name in fits}
    return found


def _unnamed(names: Sequence[str], wanted: Mapping[str, str], clock_of: Callable[[Sequence[str]], int]) -> list[str]:
    """Return the columns that only a legend can mean: not the times, and not named on their own."""
    given = {theirs: series for series, theirs in _exact(wanted, names).items()}
    clock = clock_of([given.get(name, name) for name in names])
    return [name for place, name in enumerate(names) if place != clock and name not in given]


def _exact(wanted: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """Return what is a name of its own: without holes, or with, when a column is called just so."""
    stripped = {series: theirs.strip() for series, theirs in wanted.items()}
    return {series: theirs for series, theirs in stripped.items() if theirs in names or not _HOLE.search(theirs)}


def _pattern(legend: str, some: str = ".+") -> re.Pattern[str]:
    """Return what a legend matches; a hole that is repeated holds the same text."""
    parts, names = _HOLE.split(legend), set[str]()
    written = re.escape(parts[0])
    for hole, text in zip(parts[1::2], parts[2::2], strict=True):
        written += f"(?P=_{hole})" if hole in names else f"(?P<_{hole}>{some})"
        written += re.escape(text)
        names.add(hole)
    return re.compile(written, re.DOTALL)


def _fitting(series: str, legend: str, names: Collection[str], line: int, report: Report) -> dict[str, str]:
    """Return the series of each column that a legend fits."""
    holes = set(_HOLE.findall(legend))
    try:
        template = parse_series(series)
    except SettingError as error:
        report.add(f"{series!r} names no series: {error.problem}", line, error.cure or "Correct it")
        return {}
    for hole in sorted({hole for value in template.values() for hole in _HOLE.findall(value)} - holes):
        report.add(f"{{{{{hole}}}}} of {series!r} is not in the legend {legend!r}", line, "Write it in both")
        return {}
    eager, reluctant = _pattern(legend), _pattern(legend, ".+?")
    fitting = {}
    for name in sorted(names):
        match = eager.fullmatch(name)
        if match is None:
            continue
        other = reluctant.fullmatch(name)
        if other is None or other.groupdict() != match.groupdict():
            report.add(f"{name!r} fits the legend {legend!r} in two ways", line, "Name this column on its own")
            continue
        texts = {hole: match[f"_{hole}"] for hole in holes}
        fitting[name] = str(Labels({label: _filled(value, texts) for label, value in template.items()}))
    if not fitting and not report.findings:
        there = ", ".join(repr(each) for each in sorted(names)[:10])
        cure = f"There are {there}" if names else "Every column is named on its own already"
        report.add(f"no column fits the legend {legend!r}", line, cure)
    return fitting


def _filled(value: str, texts: Mapping[str, str]) -> str:
    """Put the texts into the holes of a label's value."""

    def text_of(match: re.Match[str]) -> str:
        return texts[match[1]]

    return _HOLE.sub(text_of, value)
