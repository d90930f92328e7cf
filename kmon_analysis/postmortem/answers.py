"""What would have paged sooner: the question's terms and its answers, as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from kmon_analysis.incidents import Incident
from kmon_analysis.postmortem.stories import RuleStory
from kmon_analysis.recommend.candidates import Setting
from kmon_analysis.recommend.margin import FRAGILE

__all__ = ["KNOBS", "Answer", "Knob", "Price", "Reference", "Rung", "Why", "reference_of"]

Knob = Literal["threshold", "for", "window", "hours", "combination", "keep"]
KNOBS: tuple[Knob, ...] = ("threshold", "for", "window", "hours", "combination", "keep")
Why = Literal[
    "",
    "no threshold",
    "for is zero",
    "no window",
    "no other window is known",
    "nothing by then",
    "not true by then",
    "already firing",
    "no such window",
    "no combination",
    "nothing else turns",
    "no hours",
    "hours of another hand",
    "not at other hours",
    "no fewer pages",
]


@dataclass(frozen=True, slots=True)
class Reference:
    """What "sooner" is counted from.

    Attributes
    ----------
    kind : {"own page", "detected", "other page", "end"}
        The rule's own page; where it has none, when people knew, else the first page of another rule, else the end
        of the incident.
    at_ms : int
        The instant.
    rule : str
        Whose page it was.
    """

    kind: Literal["own page", "detected", "other page", "end"]
    at_ms: int
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Price:
    """What a setting would have done in this past.

    Attributes
    ----------
    page_ms : int
        When it would have paged for the incident.
    false_pages : int
        Over the whole history.
    weeks, false_pages_per_week, firing_ratio : float
        As in `Score`.
    caught, incidents : int
        Incidents that must page.
    lost, gained : tuple of str
        Incidents that the rule finds as it is and would not, and the other way round.
    margin_ratio : float or None
        How many times the value reached by the deadline exceeds the threshold; None where zero lies between.
    """

    page_ms: int
    false_pages: int
    weeks: float
    false_pages_per_week: float
    firing_ratio: float
    caught: int
    incidents: int
    lost: tuple[str, ...]
    gained: tuple[str, ...]
    margin_ratio: float | None

    @property
    def fragile(self) -> bool:
        """Whether an incident a little weaker would not have been found in time."""
        return self.margin_ratio is not None and self.margin_ratio < FRAGILE


@dataclass(frozen=True, slots=True)
class Answer:
    """The smallest change of one knob, or of all of them, that pages by a deadline.

    Attributes
    ----------
    knob : str
        What turns.
    setting : Setting or None
        The values; None: there are none.
    price : Price or None
        What they would have done.
    why : str
        Why there are none.
    since_ms : int or None
        When the condition became true, where that is the reason.
    """

    knob: Knob
    setting: Setting | None = None
    price: Price | None = None
    why: Why = ""
    since_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of the ladder: the answers for a page by a deadline.

    Attributes
    ----------
    sooner_ms : int
        How much sooner than the reference.
    deadline_ms : int
        The page must begin at or before it.
    answers : tuple of Answer
        One for each knob, in the order of `KNOBS`; empty where the deadline lies before the credit window.
    """

    sooner_ms: int
    deadline_ms: int
    answers: tuple[Answer, ...]


def reference_of(story: RuleStory, others: Sequence[RuleStory], incident: Incident) -> Reference:
    """Choose what a rule's "sooner" is counted from."""
    if story.status in ("paged", "paged early") and story.first_ms is not None:
        return Reference("own page", story.first_ms, story.rule)
    if incident.detected_ms is not None and incident.detected_ms <= story.window.end_ms:
        return Reference("detected", incident.detected_ms)
    pages = [
        (other.first_ms, other.rule)
        for other in others
        if other.status in ("paged", "paged early") and other.first_ms is not None
    ]
    if pages:
        at_ms, rule = min(pages)
        return Reference("other page", at_ms, rule)
    return Reference("end", incident.interval.end_ms)
