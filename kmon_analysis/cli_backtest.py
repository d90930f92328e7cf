"""What ``kmon backtest`` prints beyond its table: every page and every outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kmon_analysis.backtest.listing import outcome_rows, page_rows
from kmon_analysis.labels import Labels
from kmon_analysis.tabular import LONGEST_CELL, length_cell, text_table

if TYPE_CHECKING:
    from kmon_analysis.backtest.run import Backtest

__all__ = ["listing", "rule_rows"]


def rule_rows(result: Backtest) -> list[dict[str, Any]]:
    """Return an object a rule for ``--json``: its counts, pages, outcomes and notes."""
    pages, outcomes = list(page_rows(result.scores, result.history)), list(outcome_rows(result.scores))
    return [
        {
            "rule": name,
            **{str(key): value for key, value in row.items()},
            "page_list": [each for each in pages if each["rule"] == name],
            "outcomes": [each for each in outcomes if each["rule"] == name],
            "notes": [note.text for note in result.findings if name in note.rules],
        }
        for name, row in result.to_frame().to_dict("index").items()
    ]


def listing(result: Backtest) -> str:
    """List the outcomes and pages of every rule, a line each."""
    outcomes = [
        [
            *(each[key] for key in ("rule", "incident", "start")),
            each["status"] if each["must_page"] else f"{each['status']}, need not page",
            each["first_firing"] or "–",
            length_cell(None if each["delay_s"] is None else each["delay_s"] * 1000),
        ]
        for each in outcome_rows(result.scores)
    ]
    paged = [
        [
            *(each[key] for key in ("rule", "start", "end")),
            "" if each["ended_by"] == "resolved" else each["ended_by"],
            each["kind"],
            each["incident"] or "–",
            # The rule's name stands in the first column already.
            str(Labels(each["labels"]).without("alertname")),
        ]
        for each in page_rows(result.scores, result.history)
    ]
    tables = [
        text_table(["rule", "incident", "start", "outcome", "first firing", "delay"], outcomes, left=5),
        text_table(
            ["rule", "page starts", "ends", "ended by", "kind", "incident", "alert"],
            paged,
            left=7,
            longest=LONGEST_CELL,
        ),
    ]
    return "\n" + "\n\n".join(tables)
