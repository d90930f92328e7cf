"""Which incidents tell something of their own: those of one cause, and those entered twice, are one example."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kmon_analysis.backtest.score import Outcome
from kmon_analysis.incidents import Incident
from kmon_analysis.tabular import counted

__all__ = ["Example", "copy_key", "examples_of", "together"]

_NAMED = 3


@dataclass(frozen=True, slots=True)
class Example:
    """Incidents that are one example, in the order of the list.

    Attributes
    ----------
    outcomes : tuple of Outcome
        What became of them.
    """

    outcomes: tuple[Outcome, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """Their ids."""
        return tuple(outcome.incident.id for outcome in self.outcomes)

    @property
    def found(self) -> bool:
        """Whether each of them was paged, by itself or by the page of another one."""
        return all(outcome.found or outcome.within is not None for outcome in self.outcomes)

    @property
    def why(self) -> str:
        """Say why they are one."""
        incidents = [outcome.incident for outcome in self.outcomes]
        names = _names(self.ids)
        if incidents[0].cause and len({each.cause for each in incidents}) == 1:
            return f"{names} name one cause"
        if len({copy_key(incident) for incident in incidents}) == 1:
            return f"{names} have the same times, labels and rules"
        if sum(outcome.within is None for outcome in self.outcomes) == 1:
            return f"one unbroken firing pages for {names}"
        return f"{names} are of one cause, the same or paged together"


def examples_of(
    outcomes: Iterable[Outcome], others: Iterable[Outcome] = (), *, causes: bool = True
) -> tuple[Example, ...]:
    """Put together what is one example.

    Parameters
    ----------
    outcomes : iterable of Outcome
        Of one rule at one setting; those without data are left out.
    others : iterable of Outcome
        Of the same incidents at another setting: what one page tells of there is one example, too.
    causes : bool
        Whether incidents of one cause are one example.

    Notes
    -----
    Incidents are one example if they name one cause, if only their ids differ, or if one page tells of both
    (`Outcome.within`); and so are those that are one example with the same third one.
    """
    seen = [outcome for outcome in outcomes if outcome.status != "no data"]
    group = list(range(len(seen)))
    first: dict[object, int] = {}
    paged_with = [(outcome.incident.id, outcome.within) for outcome in others if outcome.within is not None]
    for place, outcome in enumerate(seen):
        keys: list[object] = [("id", outcome.incident.id), copy_key(outcome.incident)]
        keys += [("cause", outcome.incident.cause)] * bool(causes and outcome.incident.cause)
        keys += [("id", outcome.within)] * (outcome.within is not None)
        keys += [("id", earlier) for later, earlier in paged_with if later == outcome.incident.id]
        for key in keys:
            one, other = group[place], group[first.setdefault(key, place)]
            group = [min(one, other) if each in (one, other) else each for each in group]
    return tuple(
        Example(tuple(outcome for outcome, of in zip(seen, group, strict=True) if of == number))
        for number in sorted(set(group))
    )


def together(examples: Sequence[Example]) -> str | None:
    """Say how many examples so many incidents are, and why; None where each is one."""
    several = [example for example in examples if len(example.outcomes) > 1]
    if not several:
        return None
    whole = sum(len(example.outcomes) for example in examples)
    more = f", and {len(several) - _NAMED} more such groups" if len(several) > _NAMED else ""
    why = "; ".join(example.why for example in several[:_NAMED])
    return f"{counted(whole, 'incident')} are {counted(len(examples), 'example')}: {why}{more}."


def copy_key(incident: Incident) -> object:
    """Return what copies of an incident have in common: their times, labels and rules."""
    return (incident.interval, incident.labels, frozenset(incident.rules))


def _names(ids: Sequence[str]) -> str:
    if len(ids) > _NAMED:
        return f"{', '.join(ids[:_NAMED])} and {len(ids) - _NAMED} more"
    return f"{', '.join(ids[:-1])} and {ids[-1]}"
