"""How pages are counted and credited."""

from __future__ import annotations

from dataclasses import dataclass

from kmon_analysis.errors import SettingError
from kmon_analysis.timing import MINUTE_MS

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Options of a backtest.

    Attributes
    ----------
    group_by : tuple of str or None
        Labels that make one page out of several alerts; None: every alert pages by itself.
    merge_gap_ms : int
        Episodes closer than this are one page (default: Alertmanager's ``group_interval``, 5 min).
    credit_before_ms : int
        How long before the labelled start a page still counts as finding the incident.
    credit_after_ms : int
        The same after the labelled end, on top of the rule's ``for``.
    interval_ms : int or None
        Evaluation interval of groups that state none; None: the global one of the server that recorded
        the history, else Prometheus' default, 1 min.
    phase_ms : int or None
        Offset of all groups' evaluations inside their interval; None: from `rule_path`, else as the server that
        recorded the history evaluates a group of that name, else 0.
    rule_path : str or None
        The rule file's path as the server sees it, from which each group's offset follows.
    phase_part : (int, int) or None
        Place and count of a sweep: offset ``interval * place / count`` for each group, whatever else is said.
    version : str or None
        Prometheus release whose semantics apply; None: the one that recorded the history.
    """

    group_by: tuple[str, ...] | None = None
    merge_gap_ms: int = 5 * MINUTE_MS
    credit_before_ms: int = 15 * MINUTE_MS
    credit_after_ms: int = 5 * MINUTE_MS
    interval_ms: int | None = None
    phase_ms: int | None = None
    rule_path: str | None = None
    phase_part: tuple[int, int] | None = None
    version: str | None = None

    def __post_init__(self) -> None:
        _no_text(self.group_by)
        for name in ("merge_gap_ms", "credit_before_ms", "credit_after_ms", "phase_ms"):
            if (getattr(self, name) or 0) < 0:
                raise SettingError(f"{name} is {getattr(self, name)}", cure="Give zero or a positive duration")
        if self.interval_ms is not None and self.interval_ms <= 0:
            raise SettingError(f"interval_ms is {self.interval_ms}", cure="Give a positive duration")


def _no_text(labels: object) -> None:
    """Refuse one text in the place of several, whose letters would be taken for labels."""
    if isinstance(labels, str):
        problem = f"{labels!r} is a text, not a tuple of labels"
        raise SettingError(problem, place="group_by", cure=f"Write group_by=({labels!r},)")
