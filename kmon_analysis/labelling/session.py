"""A review in progress: numbered questions, answers that are in the file at once, and the way back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any

from kmon_analysis.backtest.again import with_incidents
from kmon_analysis.backtest.run import Backtest
from kmon_analysis.errors import SettingError
from kmon_analysis.incidents import parse_incidents
from kmon_analysis.labelling.edit import IncidentFile
from kmon_analysis.labelling.review import Answer, Decision, Question, alike, answered, proposed_id, settled
from kmon_analysis.labels import Labels, parse_series
from kmon_analysis.timing import SECOND_MS, Interval, parse_instant
from kmon_analysis.timing_written import ClockChangeError, read_instant

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Effect", "Session", "read_labels", "said_instant"]

_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Effect:
    """What the answers change about the scores of a rule.

    Attributes
    ----------
    rule : str
        The alert's name.
    false_pages, incidents, caught : (int, int)
        Before and after.
    per_week : (str, str)
        False pages a week, as text.
    """

    rule: str
    false_pages: tuple[int, int]
    per_week: tuple[str, str]
    incidents: tuple[int, int]
    caught: tuple[int, int]

    @property
    def sentence(self) -> str:
        """All of it in words."""
        weekly = f"false pages a week {self.per_week[0]} → {self.per_week[1]}"
        counts = f"({self.false_pages[0]} → {self.false_pages[1]})"
        found = f"incidents caught {self.caught[0]} of {self.incidents[0]} → {self.caught[1]} of {self.incidents[1]}"
        return f"{self.rule}: {weekly} {counts}, {found}"


@dataclass
class _Step:
    """What `Session.back` takes back."""

    keys: tuple[str, ...]
    text: str | None


@dataclass
class Session:
    """A review of the false pages of a backtest.

    Attributes
    ----------
    result : Backtest
        Scored against the list as it was when the review began.
    file : IncidentFile
        The list as it is now.
    questions : tuple of Question
        All questions, numbered from 1 in this order.
    said : dict
        Decisions by key; "skip" among them, and "settled" where another answer explained the page, too.
    """

    result: Backtest
    file: IncidentFile
    questions: tuple[Question, ...]
    said: dict[str, str] = field(default_factory=dict)
    _steps: list[_Step] = field(default_factory=list, repr=False)

    def __len__(self) -> int:
        return len(self.questions)

    @property
    def current(self) -> int | None:
        """Number of the first question without an answer, or None."""
        return next((place for place, each in enumerate(self.questions, 1) if each.key not in self.said), None)

    @property
    def answers(self) -> int:
        """How many questions a person decided."""
        return sum(word not in ("skip", "settled") for word in self.said.values())

    def question(self, which: int | str) -> Question:
        """Return a question by its number or key.

        Raises
        ------
        SettingError
            If there is none.
        """
        if isinstance(which, int):
            if not 1 <= which <= len(self.questions):
                cure = f"Give 1 to {len(self.questions)}" if self.questions else "Nothing is left to ask"
                raise SettingError(f"there is no question {which}", cure=cure)
            return self.questions[which - 1]
        for each in self.questions:
            if each.key == which:
                return each
        raise SettingError(f"there is no question {which!r}", cure="Take a number or a key of those listed")

    def number_of(self, question: Question) -> int:
        """Return a question's number."""
        return self.questions.index(question) + 1

    def proposed_id(self, which: int | str) -> str:
        """Return an id for a new incident."""
        return proposed_id(self.file.incidents, self.question(which))

    def alike(self, which: int | str) -> tuple[Question, ...]:
        """Return the open questions about the same alert at the same time of day."""
        return tuple(each for each in alike(self.question(which), self.questions) if each.key not in self.said)

    def answer(
        self,
        which: int | str,
        decision: Decision,
        *,
        start: str | int | None = None,
        end: str | int | None = None,
        labels: Mapping[str, str] | str | None = None,
        all_alike: bool = False,
        zone: tzinfo | None = None,
        **said: Any,
    ) -> tuple[Question, ...]:
        """Write what a person says about a question into the file.

        Parameters
        ----------
        which : int or str
            Number or key.
        decision : {"incident", "expected", "noise"}
            See `Answer`.
        start, end : str or int, optional
            Instants (RFC 3339, local times of `zone`, or milliseconds) instead of those of the breach.
        labels : Mapping or str, optional
            What it concerns, instead of the page's labels; as text ``topic="a", partition="0"``, or ``-`` for all.
        all_alike : bool
            Say the same of every open question about the same alert at the same time of day.
        zone : tzinfo, optional
            Of instants that name none; see `said_instant`.
        **said
            Fields of `Answer`: ``id, must_page, kind, note, by, when_ms``.

        Returns
        -------
        tuple of Question
            What was answered.

        Raises
        ------
        SettingError
            If the answer makes no sense; nothing is written then.
        OutputError
            If the file was changed by someone else, or cannot be written.
        """
        asked, text = self._said(which, decision, start, end, labels, zone, all_alike=all_alike, said=said)
        self._write(text, asked, decision)
        return asked

    def check(self, which: int | str, decision: Decision, **said: Any) -> None:
        """Refuse what `answer` would refuse, and write nothing; takes the same."""
        ends = {key: said.pop(key, None) for key in ("start", "end", "labels", "zone")}
        self._said(which, decision, **ends, all_alike=said.pop("all_alike", False), said=said)

    def _said(
        self,
        which: int | str,
        decision: Decision,
        start: str | int | None,
        end: str | int | None,
        labels: Mapping[str, str] | str | None,
        zone: tzinfo | None,
        *,
        all_alike: bool,
        said: Mapping[str, Any],
    ) -> tuple[tuple[Question, ...], str]:
        """Return what an answer is about, and the text of the list with it."""
        first = self.question(which)
        if self.said.get(first.key) in ("incident", "expected", "noise"):
            raise SettingError(f"question {which} is answered: {self.said[first.key]}", cure="Take it back first")
        if all_alike and decision == "incident":
            raise SettingError("incidents are told one by one", cure="Answer for this question alone")
        chosen = read_labels(labels) if isinstance(labels, str) else labels
        answer = Answer(decision, interval=_moved(first.breach, start, end, zone), labels=chosen, **said)
        asked = (first, *(self.alike(which) if all_alike else ()))
        return asked, answered(self.file.text, first, answer, asked[1:])

    def skip(self, which: int | str) -> None:
        """Leave a question for another time."""
        key = self.question(which).key
        self._steps.append(_Step((key,), None))
        self.said[key] = "skip"

    def back(self) -> tuple[Question, ...]:
        """Take back the last answer or skip, in the file as well, and return what is open again.

        Raises
        ------
        SettingError
            If there is none in this session.
        OutputError
            If the file was changed by someone else, or cannot be written.
        """
        if not self._steps:
            raise SettingError("there is nothing to take back", cure="Earlier sessions' answers are lines of the file")
        step = self._steps[-1]
        if step.text is not None:
            self.file = self.file.written(step.text)
        self._steps.pop()
        for key in step.keys:
            self.said.pop(key, None)
        return tuple(self.question(key) for key in step.keys)

    def _write(self, text: str, asked: tuple[Question, ...], decision: str) -> None:
        before = self.file.text
        self.file = self.file.written(text)
        for each in asked:
            self.said[each.key] = decision
        truth = parse_incidents(text)
        beside = [each for each in self.questions if each.key not in self.said and settled(each, truth)]
        for each in beside:
            self.said[each.key] = "settled"
        self._steps.append(_Step(tuple(each.key for each in (*asked, *beside)), before))

    def after(self) -> Backtest:
        """Score the same replay against the list as it is now."""
        return with_incidents(self.result, self.file.incidents)

    def effects(self, after: Backtest | None = None) -> tuple[Effect, ...]:
        """Return how the scores of each rule changed since the review began."""
        new = after or self.after()
        return tuple(
            Effect(
                name,
                (old.false_pages, new.scores[name].false_pages),
                (old.shown_rate, new.scores[name].shown_rate),
                (old.incidents, new.scores[name].incidents),
                (old.caught, new.scores[name].caught),
            )
            for name, old in self.result.scores.items()
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row a question, by number: what was asked, and what was said."""
        import pandas as pd

        rows: list[Mapping[str, Any]] = [
            {
                "rule": "" if each.ruleless else each.rule,
                "labels": str(each.labels),
                "start": pd.Timestamp(each.breach.start_ms, unit="ms", tz="UTC"),
                "end": pd.Timestamp(each.breach.end_ms, unit="ms", tz="UTC"),
                "pages": len(each.pages),
                "firing": pd.Timedelta(each.firing_ms, unit="ms"),
                "peak": each.peak,
                "threshold": each.threshold,
                "others": ", ".join(name for name, _ in each.others),
                "same_hour_days": each.days[0],
                "same_weekday_hours": each.weekdays[0],
                "said": self.said.get(each.key, ""),
                "suggestion": "" if each.suggestion is None else each.suggestion.id,
                "key": each.key,
            }
            for each in self.questions
        ]
        return pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="number"))


def read_labels(text: str) -> Labels:
    """Read labels as a person writes them, with or without braces; ``-`` or nothing: none.

    Examples
    --------
    >>> read_labels('topic="user.registered"')
    Labels('{topic="user.registered"}')
    """
    stripped = text.strip()
    if stripped in ("", "-"):
        return Labels()
    return parse_series(stripped if stripped.startswith("{") else f"{{{stripped}}}")


def said_instant(text: str, near_ms: int, zone: tzinfo | None = None) -> int:
    """Read an instant as a person writes it; without its own zone it is a local time of the given one.

    Parameters
    ----------
    text : str
        RFC 3339; with `zone` also ``2026-10-15 11:00`` or, on the day of another instant, ``11:00``.
    near_ms : int
        That other instant.
    zone : tzinfo, optional
        Without it, only instants that name theirs are read.

    Raises
    ------
    SettingError
        If it is none, or the clocks of the zone showed it twice or never; both possibilities are offered then.

    Examples
    --------
    >>> from zoneinfo import ZoneInfo
    >>> said_instant("11:00", 0, ZoneInfo("Asia/Tokyo"))
    7200000
    """
    try:
        return parse_instant(text)
    except SettingError:
        if zone is None:
            raise
        written = text.strip()
        if _CLOCK.fullmatch(written):
            day = datetime.fromtimestamp(near_ms / SECOND_MS, UTC).astimezone(zone)
            written = f"{day:%Y-%m-%d} {written}"
        try:
            return read_instant(written, zone)
        except ClockChangeError:
            raise
        except SettingError as error:
            cure = f'Write it as "2026-03-01 08:00" in {zone}, or with its zone: "2026-03-01T08:00:00Z"'
            raise SettingError(error.problem, cure=cure) from None


def _moved(
    breach: Interval, start: str | int | None, end: str | int | None, zone: tzinfo | None = None
) -> Interval | None:
    """Return the breach with other ends; None where neither is given."""
    if start is None and end is None:
        return None
    ends = [
        given if isinstance(given, int) else said_instant(given, own, zone) if given is not None else own
        for given, own in ((start, breach.start_ms), (end, breach.end_ms))
    ]
    if ends[1] <= ends[0]:
        raise SettingError("it would end before it starts", cure="Correct start or end; mind their zones")
    return Interval(ends[0], ends[1])
