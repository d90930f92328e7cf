"""How much the counts depend on when inside its interval a group is evaluated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kmon_analysis.backtest.run import Backtest, backtest
from kmon_analysis.backtest.score import Score
from kmon_analysis.errors import SettingError
from kmon_analysis.tabular import MOST_ROWS, Cell, html_table, text_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PhaseSpread", "sweep_phases"]


@dataclass(frozen=True, repr=False)
class PhaseSpread:
    """Counts of each rule at several phases.

    Attributes
    ----------
    count : int
        How many phases were tried, evenly over each group's interval.
    scores : Mapping
        By alert name, the scores of the rule as it is, in the order of the phases; fewer where a rule could not be
        evaluated at a phase.
    """

    count: int
    scores: Mapping[str, tuple[Score, ...]]

    def to_json(self, name: str) -> dict[str, Any]:
        """Return the counts of a rule, one number a phase."""
        found = self.scores.get(name, ())
        return {
            "count": self.count,
            "pages": [len(score.pages) for score in found],
            "false_pages": [score.false_pages for score in found],
            "caught": [score.caught for score in found],
        }

    def to_frame(self) -> pd.DataFrame:
        """Return one row a rule and phase: pages, false pages, incidents caught, worst delay in seconds."""
        import pandas as pd

        rows = [
            {
                "rule": name,
                "phase": place / self.count,
                "pages": len(score.pages),
                "false_pages": score.false_pages,
                "caught": score.caught,
                "delay_worst_s": None if score.worst_delay_ms is None else score.worst_delay_ms / 1000,
            }
            for name, found in self.scores.items()
            for place, score in enumerate(found)
        ]
        return pd.DataFrame(rows).set_index(["rule", "phase"]) if rows else pd.DataFrame()

    def __repr__(self) -> str:
        return text_table(*self._table(), most=MOST_ROWS)

    def _repr_html_(self) -> str:
        header, rows = self._table()
        caption = f"The same rules at {self.count} phases"
        return html_table(["rule", *header[1:]], rows, caption=caption, most=MOST_ROWS)

    def _table(self) -> tuple[list[str], list[list[str]]]:
        header = [f"at {self.count} phases", "pages", "false pages", "caught", "worst delay differs by"]
        rows = []
        for name, found in self.scores.items():
            delays = [score.worst_delay_ms for score in found if score.worst_delay_ms is not None]
            difference = max(delays) - min(delays) if delays else None
            differs = Cell("–" if difference is None else f"{difference / 1000:g}s", difference)
            counts = [
                [len(score.pages) for score in found],
                [score.false_pages for score in found],
                [score.caught for score in found],
            ]
            rows.append([name, *(_between(values) for values in counts), differs])
        return header, rows


def _between(values: list[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low}–{high}"


def sweep_phases(result: Backtest, count: int, *, progress: Callable[[int, int], None] | None = None) -> PhaseSpread:
    """Replay the same rules at several phases.

    Parameters
    ----------
    result : Backtest
        What was replayed at one phase.
    count : int
        How many phases, evenly over each group's interval, beginning with its full intervals.
    progress : callable, optional
        Told how many are done, and `count`.

    Raises
    ------
    SettingError
        If `count` is less than two.
    """
    if count < 2:
        raise SettingError(f"{count} phases show no spread", cure="Try at least two")
    outside = next((replay.outside for replay in result.values() if replay.outside is not None), None)
    scores: dict[str, list[Score]] = {}
    for place in range(count):
        settings = replace(result.settings, phase_part=(place, count))
        again = backtest(result.rules, result.history, result.incidents, settings=settings, outside=outside)
        for name, score in again.scores.items():
            scores.setdefault(name, []).append(score)
        if progress is not None:
            progress(place + 1, count)
    return PhaseSpread(count, {name: tuple(found) for name, found in scores.items()})
