"""Lint a configuration of the JMX exporter: what it exports of Kafka, what it loses, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kmon_analysis.errors import DataFileError
from kmon_analysis.kafka.javaregex import RegexError
from kmon_analysis.kafka.jmx_checks import Case, Remark, all_remarks
from kmon_analysis.kafka.jmx_config import JmxConfig, parse_jmx_config, read_jmx_config
from kmon_analysis.kafka.jmx_replay import DEFAULT_VERSION, ExporterVersion, Replay, replay
from kmon_analysis.kafka.mbeans import Table, kafka_table

__all__ = ["Lint", "Loss", "SeriesRow", "lint_jmx", "lint_jmx_text"]

MOST_EXAMPLES = 3
LEFT_OUT = "left out by object names"


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """Series of one name, with the same labels, from one rule.

    Attributes
    ----------
    name, kind : str
        As exported.
    labels : tuple of str
        Names of the labels.
    count : int
        How many series with the sample topics.
    rule, line : int
        Where they come from.
    example : str
        One series with its labels.
    source : str
        The attribute of the example.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    count: int
    rule: int
    line: int
    example: str
    source: str


@dataclass(frozen=True, slots=True)
class Loss:
    """Attributes that are not exported.

    Attributes
    ----------
    beans : str
        Domain and type.
    attributes : tuple of str
        Names.
    count : int
        How many with the sample topics.
    reason : str
        ``no rule matches``, ``left out by object names``, or what the rule that took them lacks.
    """

    beans: str
    attributes: tuple[str, ...]
    count: int
    reason: str


@dataclass(frozen=True)
class Lint:
    """The result.

    Attributes
    ----------
    path : str
        The file.
    version : ExporterVersion
        The release that was replayed.
    replay : Replay
        Every sample.
    series : tuple of SeriesRow
        What comes out.
    lost : tuple of Loss
        What does not.
    remarks : tuple of Remark
        Faults and notes, by line.
    """

    path: str
    version: ExporterVersion
    replay: Replay
    series: tuple[SeriesRow, ...]
    lost: tuple[Loss, ...]
    remarks: tuple[Remark, ...]

    @property
    def faults(self) -> tuple[Remark, ...]:
        """The faults without the notes."""
        return tuple(remark for remark in self.remarks if remark.fault)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "file": self.path,
            "exporter": f"{self.version.major}.{self.version.minor}",
            "series": [
                {
                    "name": row.name,
                    "type": row.kind,
                    "labels": list(row.labels),
                    "count": row.count,
                    "rule": row.rule,
                    "line": row.line,
                    "example": row.example,
                    "source": row.source,
                }
                for row in self.series
            ],
            "lost": [
                {"beans": loss.beans, "attributes": list(loss.attributes), "count": loss.count, "reason": loss.reason}
                for loss in self.lost
            ],
            "findings": [
                {
                    "code": remark.code,
                    "severity": "fault" if remark.fault else "note",
                    "line": remark.finding.line,
                    "column": remark.finding.column,
                    "problem": remark.finding.problem,
                    "cure": remark.finding.cure,
                }
                for remark in self.remarks
            ],
        }

    def __str__(self) -> str:
        lines = [f"{self.path}, replayed as release {self.version.major}.{self.version.minor} of the JMX exporter", ""]
        rows = [("series", "type", "labels", "how many", "line")]
        rows += [(r.name, r.kind, ", ".join(r.labels) or "-", str(r.count), str(r.line)) for r in self.series]
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        if self.series:
            for row in rows:
                cells = [cell.ljust(width) for cell, width in zip(row[:3], widths, strict=False)]
                lines.append("  ".join([*cells, row[3].rjust(widths[3]), row[4].rjust(widths[4])]).rstrip())
        else:
            lines.append("No series come out.")
        if self.lost:
            lines += ["", f"Not exported: {sum(loss.count for loss in self.lost)} attributes"]
            left_out = [loss for loss in self.lost if loss.reason == LEFT_OUT]
            if left_out:
                count = sum(loss.count for loss in left_out)
                lines.append(f"  {count} of {_counted(len(left_out), 'kind')} of MBeans are {LEFT_OUT}")
            for loss in self.lost:
                if loss.reason == LEFT_OUT:
                    continue
                shown = ", ".join(loss.attributes[:MOST_EXAMPLES])
                more = len(loss.attributes) - MOST_EXAMPLES
                shown += f" and {more} more" if more > 0 else ""
                lines.append(f"  {loss.beans}: {shown} ({loss.count}, {loss.reason})")
        for remark in self.remarks:
            lines += ["", f"{'fault' if remark.fault else 'note'}: {remark.finding}"]
        faults, notes = len(self.faults), len(self.remarks) - len(self.faults)
        lines += ["", f"{_counted(faults, 'fault')}, {_counted(notes, 'note')}"]
        return "\n".join(lines)


def _counted(count: int, what: str) -> str:
    return f"{count or 'no'} {what}{'' if count == 1 else 's'}"


def lint_jmx(path: str | Path, *, exporter_version: str = DEFAULT_VERSION) -> Lint:
    """Replay a configuration file over Kafka's MBeans.

    Parameters
    ----------
    path : str or Path
        YAML, as the exporter reads it.
    exporter_version : str
        Release, from 1.0 to 1.6.

    Raises
    ------
    DataFileError
        If the exporter would refuse the file, or if something in it is not replayed; all findings at once.
    SettingError
        If the release is not replayed.
    """
    version = ExporterVersion.parse(exporter_version)
    return _lint(read_jmx_config(path), version)


def lint_jmx_text(text: str, path: str = "<string>", *, exporter_version: str = DEFAULT_VERSION) -> Lint:
    """Replay the text of a configuration; else as `lint_jmx`.

    Examples
    --------
    >>> [row.name for row in lint_jmx_text("rules: [{pattern: 'name=LeaderCount><>Value:', name: leaders}]").series]
    ['leaders']
    """
    version = ExporterVersion.parse(exporter_version)
    return _lint(parse_jmx_config(text, path), version)


def _lint(config: JmxConfig, version: ExporterVersion) -> Lint:
    table = kafka_table()
    done = replay(config, table.beans, version)
    try:
        remarks = all_remarks(Case(config, table, version, done))
    except RegexError as error:
        fault = config.source.finding(0, f"a pattern {error.problem}", "Write simpler patterns")
        raise DataFileError([fault]) from None
    series = _series(config, done)
    return Lint(config.source.path, version, done, series, _lost(done, table), tuple(remarks))


def _series(config: JmxConfig, done: Replay) -> tuple[SeriesRow, ...]:
    """Group series by name, labels and rule."""
    rows = []
    for family in done.families:
        groups: dict[tuple[tuple[str, ...], int], list[int]] = {}
        for index, (labels, sample) in enumerate(family.rows):
            groups.setdefault((tuple(name for name, _ in labels), sample.rule.number), []).append(index)
        for (names, number), members in groups.items():
            labels, sample = family.rows[members[0]]
            inside = ",".join(f'{name}="{value}"' for name, value in labels)
            reading = sample.reading
            line = config.source.finding(sample.rule.places.get("", 0), "").line or 1
            source = f"{reading.bean.object_name} {'/'.join([*reading.attribute.keys, reading.attribute.name])}"
            example = family.name + (f"{{{inside}}}" if inside else "")
            rows.append(SeriesRow(family.name, family.kind, names, len(members), number, line, example, source))
    return tuple(rows)


def _lost(done: Replay, table: Table) -> tuple[Loss, ...]:
    """Group what is not exported by kind of MBean and reason."""
    groups: dict[tuple[str, str], list[str]] = {}
    reasons = [(reading, why or "no rule matches") for reading, _, why in done.lost]
    reasons += [(reading, LEFT_OUT) for reading in done.filtered]
    order = {id(attribute): index for index, attribute in enumerate(a for bean in table.beans for a in bean.attributes)}
    for reading, reason in sorted(reasons, key=lambda each: order[id(each[0].attribute)]):
        has = dict(reading.bean.properties)
        beans = f"{reading.bean.domain}:type={has.get('type', '')}"
        name = "/".join([*reading.attribute.keys, reading.attribute.name])
        groups.setdefault((beans, reason), []).append(name)
    return tuple(
        Loss(beans, tuple(dict.fromkeys(names)), len(names), reason) for (beans, reason), names in groups.items()
    )
