"""Windows that may be incidents, for a history that nobody has labelled yet: ranked, each with why."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kmon_analysis.backtest import run
from kmon_analysis.backtest.run import Backtest
from kmon_analysis.backtest.settings import Settings
from kmon_analysis.errors import SettingError, printable
from kmon_analysis.history import History
from kmon_analysis.incidents import Excluded, Incident, Incidents
from kmon_analysis.labelling.merging import Merged, merge_incidents, same_matter
from kmon_analysis.labelling.phrases import counted
from kmon_analysis.labelling.signs import Sign, find_signs
from kmon_analysis.labels import Labels
from kmon_analysis.rules.groups import Outside
from kmon_analysis.rules.model import RuleFile
from kmon_analysis.tabular import MOST_ROWS, Cell, hanging, html_list, html_table, text_lines, text_table
from kmon_analysis.timing import MINUTE_MS, Interval, duration, format_instant

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CIRCULAR", "Suggestion", "Suggestions", "suggest_from", "suggest_incidents"]

CIRCULAR = (
    "These are suggestions, no incidents: each needs a person who knows what happened. A window that was suggested "
    "from a rule's own breaches cannot prove that rule."
)
# Signs closer than this are told as one.
JOINED_MS = 15 * MINUTE_MS
# What a suggestion concerns is said by its stronger signs; weak ones may stand beside it by chance.
TELLING_SHARE = 0.25
# Several signs together count for more than one, and not as much as their sum.
FURTHER_SIGNS, FURTHER_WEIGHT = 2, 0.5
PREFIX = "SUG-"
_WIDTH = 110


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A window that may be an incident.

    Attributes
    ----------
    id : str
        ``SUG-001`` is the strongest.
    interval : Interval
        From the first sign to the last.
    labels : Labels
        What the stronger signs have in common; empty: it may concern anything.
    rules : tuple of str
        Alerts whose signals it was seen in; empty where it was seen in none.
    strength : float
        That of the strongest sign and half of the next two; for the order only.
    signs : tuple of Sign
        The evidence, strongest first.
    """

    id: str
    interval: Interval
    labels: Labels
    rules: tuple[str, ...]
    strength: float
    signs: tuple[Sign, ...]

    @property
    def why(self) -> str:
        """The strongest sign in words, and what was seen with it."""
        first, *others = self.signs
        if not others:
            return first.why
        named = dict.fromkeys(other.rule or _KINDS[other.kind] for other in others if other.rule != first.rule)
        alike = sum(other.rule == first.rule for other in others)
        parts = [f"{counted(alike, 'more sign')} of the same rule"] if alike else []
        return f"{first.why}. Beside it: {', '.join([*named, *parts])}"

    def to_incident(self) -> Incident:
        """Return the window as an entry for a list of incidents."""
        seen_by = tuple(dict.fromkeys(sign.rule for sign in self.signs if sign.rule))
        unseen = (
            "" if self.rules else ". No rule saw it: confirmed, it counts for every rule, and none must page for it"
        )
        return Incident(
            self.id,
            self.interval,
            self.labels,
            self.rules,
            # What no rule's signal showed cannot be demanded of every rule.
            must_page=bool(self.rules),
            cause=self.why + unseen,
            status="suggested",
            suggested_by=seen_by,
        )


_KINDS = {
    "level": "unusual value",
    "firing": "rule fired",
    "gone": "series gone",
    "down": "targets down",
    "no data": "nothing recorded",
}


@dataclass(frozen=True, repr=False)
class Suggestions(Sequence[Suggestion]):
    """Windows that may be incidents, the strongest first.

    Attributes
    ----------
    shown : tuple of Suggestion
        The sequence itself.
    weaker : int
        How many more there were behind them.
    known : int
        How many were left out because the given list already holds something that may be the same.
    period : Interval
        The history that was looked at.
    notes : tuple of str
        What the suggestions do not rest on, such as rules that could not be evaluated.
    """

    shown: tuple[Suggestion, ...]
    weaker: int
    known: int
    period: Interval
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.shown)

    def __iter__(self) -> Iterator[Suggestion]:
        return iter(self.shown)

    def __getitem__(self, place: Any) -> Any:
        return self.shown[place]

    def to_incidents(self) -> Incidents:
        """Return them as a list of incidents in which none is confirmed, so that nothing is scored against them."""
        return Incidents(tuple(each.to_incident() for each in self.shown), path="<suggestions>")

    def write(self, path: str | Path) -> Merged:
        """Write them into a list of incidents, marked as suggestions, for a person to decide on.

        Parameters
        ----------
        path : str or Path
            A new file, or a list in YAML, which keeps its entries, their order and its comments. There the
            suggestions are numbered on, and those at a time that the list already speaks of are left out.

        Returns
        -------
        Merged
            What was added and what was left out.

        Raises
        ------
        IncidentError
            If the file is no valid list of incidents.
        OutputError
            If it cannot be written, or is a table.
        """
        return merge_incidents(path, self.to_incidents(), renumber=PREFIX, heading=(CIRCULAR, _HOW_TO))

    def to_frame(self) -> pd.DataFrame:
        """Return one row a suggestion: times in UTC, `duration` as a time delta."""
        import pandas as pd

        starts, ends = (
            pd.to_datetime(np.array(instants, dtype="datetime64[ms]"), utc=True)
            for instants in ([s.interval.start_ms for s in self], [s.interval.end_ms for s in self])
        )
        return pd.DataFrame(
            {
                "id": pd.Series([each.id for each in self], dtype="str"),
                "start": starts,
                "end": ends,
                "duration": ends - starts,
                "strength": pd.Series([each.strength for each in self], dtype="float64"),
                "labels": pd.Series([str(each.labels) if each.labels else "" for each in self], dtype="str"),
                "rules": pd.Series([", ".join(each.rules) for each in self], dtype="str"),
                "kinds": pd.Series(
                    [", ".join(dict.fromkeys(s.kind for s in each.signs)) for each in self], dtype="str"
                ),
                "why": pd.Series([each.why for each in self], dtype="str"),
            }
        ).set_index("id")

    def to_json(self) -> list[dict[str, Any]]:
        """Return JSON values, the evidence of each included."""
        return [
            {
                "id": each.id,
                "start": format_instant(each.interval.start_ms),
                "end": format_instant(each.interval.end_ms),
                "strength": round(each.strength, 3),
                "labels": dict(each.labels),
                "rules": list(each.rules),
                "why": each.why,
                "signs": [
                    {
                        "kind": sign.kind,
                        "rule": sign.rule or None,
                        "labels": dict(sign.labels),
                        "start": format_instant(sign.interval.start_ms),
                        "end": format_instant(sign.interval.end_ms),
                        "strength": round(sign.strength, 3),
                        "why": sign.why,
                    }
                    for sign in each.signs
                ],
            }
            for each in self
        ]

    @property
    def headline(self) -> str:
        """How many there are, and what was left out."""
        parts = [counted(len(self), "suggestion")]
        parts += [f"{self.weaker:,} weaker left out"] if self.weaker else []
        parts += [f"{self.known:,} that the list already speaks of left out"] if self.known else []
        return ", ".join(parts)

    def _table(self) -> tuple[list[str], list[list[str]]]:
        header = ["id", "start (UTC)", "length", "concerns", "rules", "strength"]
        rows = [
            [
                each.id,
                format_instant(each.interval.start_ms),
                Cell(duration(each.interval.duration_ms), each.interval.duration_ms),
                ", ".join(f"{name}={value}" for name, value in each.labels.items()) or "anything",
                ", ".join(each.rules) or "–",
                f"{each.strength:.1f}",
            ]
            for each in self
        ]
        return header, rows

    def __repr__(self) -> str:
        return self.text()

    def text(self, width: int | None = None) -> str:
        """Write them for a terminal.

        Parameters
        ----------
        width : int, optional
            Characters of a line: where the table is wider, each suggestion is a paragraph. None: a table in any case.
        """
        lines, room = [self.headline], width or _WIDTH
        first = self.shown[:MOST_ROWS]
        if self.shown:
            table = text_table(*self._table(), left=5, most=MOST_ROWS)
            if width is None or max(map(len, table.splitlines())) <= width:
                lines += [table, "", *(line for each in first for line in _paragraph(each.id, each.why, room))]
            else:
                for row, each in zip(self._table()[1], first, strict=False):
                    _, start, held, concerns, rules, strength = row
                    facts = f"from {start} for {held}, strength {strength}, {rules}: {concerns}"
                    lines += ["", *_paragraph(each.id, facts, room), *_paragraph(" " * len(each.id), each.why, room)]
            lines.append("")
        return "\n".join([*lines, *text_lines(self.notes), textwrap.fill(CIRCULAR, room)])

    def _repr_html_(self) -> str:
        reasons = [f"Why: {each.why}" for each in self]
        table = html_table(*self._table(), caption=self.headline, left={0, 1, 3, 4}, most=MOST_ROWS, below=reasons)
        return table + html_list([*self.notes, CIRCULAR])


def _paragraph(name: str, text: str, width: int) -> list[str]:
    """Set a sentence under its name, wrapped."""
    return hanging(f"{printable(name)}  ", printable(text), width)


_HOW_TO = (
    "Decide on each with kmon incidents review, or here: write 'status: confirmed' once you know that it was an "
    "incident, and correct its times and labels; write 'status: rejected' where it was none. kmon tune refuses a list "
    "with undecided suggestions."
)


def suggest_incidents(
    history: History,
    rules: RuleFile,
    incidents: Incidents | None = None,
    *,
    most: int = 20,
    settings: Settings | None = None,
    outside: Outside | None = None,
) -> Suggestions:
    """Propose windows of a history that may have been incidents, ranked, each with why.

    Parameters
    ----------
    history : History
        Raw samples that the rules select; ``up`` is looked at where it is there.
    rules : RuleFile
        From `read_rules`; their thresholds say which differences matter.
    incidents : Incidents, optional
        What is known already: windows that overlap anything in it are left out.
    most : int
        Longest list.
    settings, outside
        As in `kmon_analysis.backtest.run.backtest`.

    Raises
    ------
    RuleFileError, InputError
        If no rule can be evaluated, or the file has no alerting rule.
    SettingError
        If `most` is not positive.

    Notes
    -----
    Evidence is what is far from ordinary at the same hour of other days and weeks
    (`kmon_analysis.labelling.signs.find_signs`). An incident that no rule's series shows cannot be found.
    """
    if most < 1:
        raise SettingError(f"most is {most}", cure="Give a positive number")
    known = None if incidents is None else incidents.within(history.interval)
    return suggest_from(run.backtest(rules, history, settings=settings, outside=outside), known, most=most)


def suggest_from(result: Backtest, incidents: Incidents | None = None, *, most: int = 20) -> Suggestions:
    """Propose windows for rules that have been replayed already; see `suggest_incidents`.

    Parameters
    ----------
    result : Backtest
        Of the rules on the history.
    incidents : Incidents, optional
        What is known already; by default what the backtest was scored against.
    most : int
        Longest list.
    """
    truth = result.incidents if incidents is None else incidents
    everything = sorted(join(find_signs(result)), key=lambda each: (-each.strength, each.interval.start_ms))
    fresh = [each for each in everything if not speaks_of(truth, each)]
    numbered = tuple(replace(each, id=f"{PREFIX}{place:03d}") for place, each in enumerate(fresh[:most], 1))
    notes = [f"{name} was not looked at: {reason}" for name, reason in result.refused.items()]
    return Suggestions(
        shown=numbered,
        weaker=len(fresh) - len(numbered),
        known=len(everything) - len(fresh),
        period=result.history.interval,
        notes=tuple(notes),
    )


def speaks_of(incidents: Incidents, suggestion: Suggestion) -> bool:
    """Tell whether a list holds anything, decided or not, that may be the same."""
    listed: list[Incident | Excluded] = [*incidents.incidents, *incidents.suggested, *incidents.rejected]
    entries = [*listed, *incidents.excluded]
    return any(same_matter(entry, suggestion.interval, suggestion.labels) for entry in entries)


def join(signs: Sequence[Sign]) -> list[Suggestion]:
    """Tell signs that overlap, or nearly do, as one suggestion each."""
    groups: list[list[Sign]] = []
    end_ms = 0
    for sign in sorted(signs, key=lambda each: (each.interval.start_ms, each.interval.end_ms)):
        if groups and sign.interval.start_ms <= end_ms + JOINED_MS:
            groups[-1].append(sign)
            end_ms = max(end_ms, sign.interval.end_ms)
        else:
            groups.append([sign])
            end_ms = sign.interval.end_ms
    return [_suggestion(group) for group in groups]


def _suggestion(group: Sequence[Sign]) -> Suggestion:
    signs = sorted(group, key=lambda sign: (-sign.strength, sign.rule, sign.labels))
    telling = [sign for sign in signs if sign.strength >= TELLING_SHARE * signs[0].strength]
    common = dict(telling[0].labels)
    for sign in telling[1:]:
        common = {name: value for name, value in common.items() if sign.labels.value(name) == value}
    return Suggestion(
        id="",
        interval=Interval(min(s.interval.start_ms for s in signs), max(s.interval.end_ms for s in signs)),
        labels=Labels(common),
        rules=tuple(dict.fromkeys(sign.rule for sign in telling if sign.rule)),
        strength=signs[0].strength + FURTHER_WEIGHT * sum(s.strength for s in signs[1 : 1 + FURTHER_SIGNS]),
        signs=tuple(signs),
    )
