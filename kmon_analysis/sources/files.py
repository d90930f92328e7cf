"""Histories from files that people have: CSV, saved API answers, OpenMetrics text.

Every reader reports all faults of a file at once, each with its line, the value and a cure.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import numpy as np

from kmon_analysis.errors import SettingError
from kmon_analysis.history import History
from kmon_analysis.labels import METRIC_NAME, Labels, parse_series
from kmon_analysis.series import SeriesSet
from kmon_analysis.sources.connection import plain
from kmon_analysis.sources.csvfile import CsvOptions, read_csv, split_columns
from kmon_analysis.sources.datafile import (
    NAMELESS,
    Column,
    Report,
    described,
    make_history,
    opened,
    read_number,
    report_encoding,
)
from kmon_analysis.timing import format_instant

__all__ = ["CsvOptions", "open_history", "read_api_json", "read_csv", "read_openmetrics"]

_LATEST_S = 1e11


def read_api_json(path: str | Path) -> History:
    """Read a history from a saved answer of ``/api/v1/query`` (``metric[range]``) or ``/api/v1/query_range``.

    Parameters
    ----------
    path : str or Path
        The whole body, as curl saves it.

    Returns
    -------
    History
        The answer's warnings are kept in its provenance. Note that the samples of ``query_range`` are
        evaluations at its steps, not what was scraped.

    Raises
    ------
    DataFileError
        If the file is cut, an error answer, or no matrix.
    """
    from kmon_analysis.sources.decoding import decode_answer

    file, report = Path(path), Report(str(path))
    try:
        answer = decode_answer(file.read_bytes())
    except OSError as error:
        report.add(f"cannot be read: {error.strerror}", None, "Check the path")
        report.settle()
        raise
    except ValueError as error:
        line = getattr(error, "lineno", None)
        report.add(f"not a whole answer of the query API: {error}", line, "Save the answer again; is the file cut?")
        report.settle()
        raise
    if answer.status == "error":
        report.add(f"an error answer ({answer.error_type}: {answer.error})", None, "Correct the query and save again")
    elif answer.result_type != "matrix":
        report.add(
            f"a {answer.result_type or 'nothing'}, not a matrix", None, 'Ask for a range: "lag[1d]", or use query_range'
        )
    for part in answer.series:
        falling = np.flatnonzero(np.diff(part.times) <= 0)
        if len(falling):
            instant = format_instant(int(part.times[falling[0] + 1]))
            report.add(f"{part.labels} repeats or goes back to {instant}", None, "Save the answer again")
    ordered = sorted(answer.series, key=lambda part: part.labels)
    for before, after in itertools.pairwise(ordered):
        if before.labels == after.labels:
            report.add(f"two series share the labels {after.labels}", None, "Merge them before reading")
    report.settle()
    warnings = answer.warnings + tuple(
        f"{labels} has native histograms, which are left out" for labels in answer.histograms
    )
    return described(file, SeriesSet.from_samples(ordered), report, tuple(plain(text) for text in warnings))


def read_openmetrics(path: str | Path) -> History:
    r"""Read a history from OpenMetrics text with timestamps, as ``promtool`` backfills it.

    Parameters
    ----------
    path : str or Path
        Text that ends with ``# EOF``. Exemplars and metadata are not kept.

    Raises
    ------
    DataFileError
        With all faults: samples without timestamp, lines of another form, unordered or repeated times
        within a series, a missing end.

    Notes
    -----
    The OpenMetrics text format 1.0; escapes in label values are ``\\``, ``\"`` and ``\n``.
    """
    file, report = Path(path), Report(str(path))
    columns: dict[Labels, Column] = {}
    known: dict[str, tuple[Labels, Column]] = {}
    ended = False
    number = 0
    with opened(file, report) as stream:
        try:
            for number, line in enumerate(stream, 1):
                text = line.rstrip("\r\n")
                if ended:
                    report.add("text after # EOF", number, "Remove it; one file holds one exposition")
                    break
                if text.startswith("#"):
                    ended = text == "# EOF"
                elif text:
                    _openmetrics_line(text, number, columns, known, report)
        except UnicodeDecodeError:
            report_encoding(file, report)
    if not ended:
        report.add("the last line is not # EOF: the file is cut", number or None, "Write the file again, to its end")
    return make_history(file, columns, report, None)


_SAMPLE = re.compile(
    r'(?P<series>[a-zA-Z_:][a-zA-Z0-9_:]*(?:\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})?|\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})'
    r"[ \t]*(?<=[ \t}])[ \t]*(?P<value>[^\s#]+)(?:[ \t]+(?P<time>[^\s#]+))?(?:[ \t]+#[ \t].*)?[ \t]*"
)
_PAIR = re.compile(
    r'\s*(?:(?P<name>[a-zA-Z_][a-zA-Z0-9_]*|"(?:[^"\\]|\\.)*")\s*=\s*)?"(?P<value>(?:[^"\\]|\\.)*)"\s*(?:,|$)'
)
_ESCAPED = re.compile(r'\\(["\\n])')


def _openmetrics_line(
    text: str,
    number: int,
    columns: dict[Labels, Column],
    known: dict[str, tuple[Labels, Column]],
    report: Report,
) -> None:
    match = _SAMPLE.fullmatch(text)
    if match is None:
        report.add(f"not a sample: {text!r}", number, 'Write it like lag{topic="orders"} 12 1767225600.000')
        return
    if match["time"] is None:
        report.add(
            f"{text!r} has no timestamp", number, "Give every sample its time in seconds, as for promtool's backfilling"
        )
        return
    value, seconds = read_number(match["value"]), read_number(match["time"])
    if value is None or seconds is None or not np.isfinite(seconds):
        fault = match["value"] if value is None else match["time"]
        report.add(f"{fault!r} is not a number", number, "Correct the sample")
        return
    if abs(seconds) >= _LATEST_S:
        report.add(f"the time {match['time']} lies after the year 5000", number, "OpenMetrics times are in seconds")
        return
    if match["series"] not in known:
        labels = _openmetrics_labels(match["series"])
        if labels is None:
            report.add(f"{match['series']} is not a series", number, 'Write labels like {topic="orders"}, each once')
            return
        known[match["series"]] = labels, columns.setdefault(labels, Column())
    labels, column = known[match["series"]]
    column.take(round(seconds * 1000), value, labels, number, report)


def _openmetrics_labels(text: str) -> Labels | None:
    name, _, rest = text.partition("{")
    pairs = [(METRIC_NAME, name)] if name else []
    inner, position = rest[:-1], 0
    while position < len(inner):
        match = _PAIR.match(inner, position)
        if match is None:
            return None
        label = METRIC_NAME if match["name"] is None else match["name"]
        pairs.append((_unescaped(label.strip('"')), _unescaped(match["value"])))
        position = match.end()
    return Labels(pairs) if len(dict(pairs)) == len(pairs) else None


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda match: "\n" if match[1] == "n" else match[1], text)


def open_history(
    path: str | Path, *more: str | Path, metric: str | None = None, **options: Unpack[CsvOptions]
) -> History:
    """Open a history folder, or read data files by their ending.

    Parameters
    ----------
    path : str or Path
        A folder written by ``kmon fetch``, ``kmon import`` or `History.save`, or a file: ``.csv``, ``.json`` (an answer
        of the query API), ``.om`` or ``.txt`` (OpenMetrics).
    *more : str or Path
        Further ones, whose samples belong to the same history: other metrics, or other times.
    metric : str, optional
        Name of the series that have none, such as ``{topic="orders"}``, which sums and dashboards give.
    **options
        What CSV files do not say of themselves, such as ``zone="Europe/Berlin"``; see `read_csv`. Of several files,
        each is asked for the ``columns`` that it has.

    Raises
    ------
    SettingError
        If the ending is of no known form, an option is given for anything but CSV, or `metric` is no name.
    HistoryError, DataFileError
        If a folder is no history, a file has faults, or two of them disagree about a sample.
    """
    places = [Path(each) for each in (path, *more)]
    tables = [place for place in places if place.suffix.lower() == ".csv" and not place.is_dir()]
    given = [name for name, value in options.items() if value]
    if given and not tables:
        raise SettingError(f"{given[0]} is about CSV", place=str(path), cure="Leave it out, or give a .csv file")
    if metric is not None and set(parse_series(metric)) != {METRIC_NAME}:
        raise SettingError(f"{metric!r} is no name of a metric", cure="Write it without labels")
    if len(places) == 1:
        history = _open_one(places[0], options)
    else:
        shares = dict(zip(tables, split_columns(tables, options.get("columns") or {}), strict=True)) if tables else {}
        history = History.joined(_open_one(place, {**options, "columns": shares.get(place)}) for place in places)
    return history if metric is None else _named(history, metric)


def _named(history: History, metric: str) -> History:
    """Name the series that have no name."""
    named = [
        part if METRIC_NAME in part.labels else replace(part, labels=part.labels.updated({METRIC_NAME: metric}))
        for part in history.series
    ]
    warnings = tuple(text for text in history.provenance.warnings if not text.endswith(NAMELESS))
    return History(SeriesSet.from_samples(named), replace(history.provenance, warnings=warnings), history.path)


def _open_one(place: Path, options: CsvOptions) -> History:
    readers: dict[str, Callable[[Path], History]] = {".json": read_api_json}
    readers |= dict.fromkeys((".om", ".txt", ".openmetrics", ".prom"), read_openmetrics)
    ending = place.suffix.lower()
    if ending == ".csv" and not place.is_dir():
        return read_csv(place, **options)
    reader = readers.get(ending)
    if place.is_file() and reader is None:
        raise SettingError(
            f"a file that ends in {place.suffix or 'nothing'!r} is no known form of a history",
            place=str(place),
            cure=f"Give a folder written by kmon fetch, or a file that ends in {', '.join(('.csv', *readers))}",
        )
    return History.open(place) if reader is None or place.is_dir() else reader(place)
