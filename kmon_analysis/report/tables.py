"""Tables of a result as plain rows of text, for the terminal and for HTML."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kmon_analysis.backtest.breach import peak_of
from kmon_analysis.backtest.grouping import page_words
from kmon_analysis.backtest.rule import RuleBacktest
from kmon_analysis.backtest.score import MEDIAN_FROM, Outcome, Page, Score
from kmon_analysis.labels import Labels
from kmon_analysis.recommend.advice import Advice, RuleAdvice
from kmon_analysis.recommend.candidates import Setting
from kmon_analysis.recommend.holdout import HeldOut
from kmon_analysis.recommend.physics import TimeToPage, hour_name
from kmon_analysis.report.words import clean, count, describe, number, per_week, rough, same_duration
from kmon_analysis.report.zones import day, minute
from kmon_analysis.tabular import Cell, html_table, text_table
from kmon_analysis.timing import MINUTE_MS, SECOND_MS, WEEK_MS, duration, span

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Table",
    "before_after",
    "comparison",
    "frame_table",
    "heldout_table",
    "incidents_table",
    "left_out_table",
    "neighbours_table",
    "physics_table",
    "review_table",
    "weekly_table",
]

REVIEWED = 10
_STATUS = {
    "caught": "found",
    "early": "found early",
    "already firing": "already firing",
    "missed": "not found",
    "no data": "no data",
}


@dataclass(frozen=True, slots=True, repr=False)
class Table:
    """Rows of text under a header.

    Attributes
    ----------
    caption : str
        What the table shows.
    header : tuple of str
        One name a column.
    rows : tuple of tuple of str
        Cells; foreign text in them is cleaned, but not escaped for any markup.
    left : frozenset of int
        Columns of words; the others hold numbers and are set flush right.
    grouped : bool
        Rows with an empty first cell belong to the row before.
    footer : int
        Last rows that are totals.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: frozenset[int] = frozenset({0})
    grouped: bool = False
    footer: int = 0

    def to_html(self) -> str:
        """Write the table for a page that holds `TABLE_STYLE` and `SORT_SCRIPT` once."""
        options: dict[str, Any] = {"caption": self.caption, "left": self.left, "footer": self.footer}
        return html_table(self.header, self.rows, grouped=self.grouped, bare=True, **options)

    def __repr__(self) -> str:
        words = max([0, *(place + 1 for place in self.left)])
        return "\n".join([self.caption, text_table(self.header, self.rows, left=words)])

    def _repr_html_(self) -> str:
        return html_table(
            self.header, self.rows, grouped=self.grouped, caption=self.caption, left=self.left, footer=self.footer
        )


# What a column's name says of its values.
_UNITS_MS = {"_s": float(SECOND_MS), "_min": float(MINUTE_MS)}


def frame_table(frame: pd.DataFrame, caption: str) -> Table:
    """Show a frame of ours: index first, words to the left, durations and shares written for reading.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns whose names end in ``_s`` or ``_min`` hold durations, in ``_ratio`` shares; others as they are.
    caption : str
        What it shows.

    Examples
    --------
    >>> import pandas as pd
    >>> frame_table(pd.DataFrame({"blind_s": [600.0], "seen_ratio": [0.5]}, index=pd.Index(["Lag"], name="alert")), "x")
    x
    alert   blind   seen
    Lag    10 min  50.0%
    """
    flat = frame.reset_index()
    columns = [_shown(str(name), flat[name].tolist()) for name in flat.columns]
    words = {
        place
        for place, name in enumerate(flat.columns)
        if place < frame.index.nlevels or any(isinstance(value, str) for value in flat[name])
    }
    header = tuple(name for name, _ in columns)
    rows = tuple(zip(*(cells for _, cells in columns), strict=True))
    return Table(caption, header, rows, frozenset(words))


def _shown(name: str, values: Sequence[Any]) -> tuple[str, list[str]]:
    """Return the head and the cells of a column."""
    unit = next((end for end in _UNITS_MS if name.endswith(end)), None)
    if unit is not None:
        return name.removesuffix(unit).replace("_", " "), [length(value * _UNITS_MS[unit]) for value in values]
    if name.endswith("_ratio"):
        cells = [Cell("–" if math.isnan(value) else _share(value), value) for value in values]
        return name.removesuffix("_ratio").replace("_", " "), list(cells)
    written = [clean(value) if isinstance(value, str) else number(float(value)) for value in values]
    return name.replace("_", " "), written


def _share(ratio: float) -> str:
    """Write a share in percent; what is not all is never written as all, nor what is not nothing as nothing.

    Examples
    --------
    >>> _share(0.5), _share(0.99995), _share(1.0), _share(0.0), _share(0.0001)
    ('50.0%', '>99.9%', '100%', '0%', '<0.1%')
    """
    if ratio in (0.0, 1.0):
        return f"{ratio:.0%}"
    return "<0.1%" if ratio < 0.001 else ">99.9%" if 0.999 < ratio < 1 else f"{ratio:.1%}"


def length(length_ms: float | None) -> Cell:
    """Write a measured duration, and sort it by its length."""
    return Cell(duration(length_ms), length_ms)


def found(score: Score) -> str:
    """Write how many incidents were found; in words where there is nothing to count."""
    if not score.outcomes:
        return "no incident"
    return f"{score.caught} of {score.incidents}" if score.incidents else "none observed"


def before_after(advice: Advice) -> Table:
    """Compare the current and the proposed values of every rule on the whole past."""
    rows = []
    for name, verdict in advice.items():
        if verdict.current is None or verdict.past_current is None:
            rows.append((clean(name), verdict.verdict, "not evaluated", *["–"] * 4))
            continue
        pairs = [("now", verdict.current, verdict.past_current)]
        if verdict.proposed is not None and verdict.past_proposed is not None:
            pairs.append(("by hand" if verdict.by_hand else "proposed", verdict.proposed, verdict.past_proposed))
        for word, setting, score in pairs:
            first = word == "now"
            rows.append(
                (
                    clean(name) if first else "",
                    verdict.decision if first else "",
                    f"{word}: {describe(setting)}",
                    found(score),
                    f"{score.false_pages:,}",
                    per_week(score.false_pages_per_week),
                    length(score.worst_delay_ms),
                )
            )
    header = ("rule", "verdict", "values", "incidents found", "false pages", "a week", "worst delay")
    return Table("Every rule, before and after", header, tuple(rows), frozenset({0, 1, 2}), grouped=True)


def comparison(advice: RuleAdvice) -> Table:
    """Compare the current and the proposed values of one rule, one property a row."""
    columns = [(advice.current, advice.past_current)]
    if advice.proposed is not None:
        columns.append((advice.proposed, advice.past_proposed))
    shown = [(setting, score) for setting, score in columns if setting is not None and score is not None]
    settings, scores = [setting for setting, _ in shown], [score for _, score in shown]
    rows: list[tuple[str, ...]] = []

    def row(name: str, cells: Sequence[str]) -> None:
        if any(cell not in ("", "–") for cell in cells):
            rows.append((name, *cells))

    row("threshold", [number(s.threshold) for s in settings])
    row("window", ["–" if s.window_ms is None else same_duration(s.window_ms) for s in settings])
    row("for", [same_duration(s.for_ms) for s in settings])
    row("keep firing for", [same_duration(s.keep_firing_for_ms) if s.keep_firing_for_ms else "–" for s in settings])
    row("hours", [clean(s.hours or "–") for s in settings])
    if advice.group_by is not None:
        row("one page for", [clean(page_words(advice.group_by))] * len(settings))
    row("incidents found", [found(s) for s in scores])
    if any(len(score.delays_ms) >= MEDIAN_FROM for score in scores):
        row("median delay", [s.shown_median for s in scores])
    row("worst delay", [duration(s.worst_delay_ms) for s in scores])
    row("pages", [f"{len(s.pages):,}" for s in scores])
    row("of them false", [f"{s.false_pages:,}" for s in scores])
    row("false pages a week", [per_week(s.false_pages_per_week) for s in scores])
    row("firing in normal time, a week", [duration(s.firing_ratio * WEEK_MS) for s in scores])
    if advice.next_4_weeks is not None and len(settings) > 1:
        low, high = advice.next_4_weeks
        row("false pages in the next 4 weeks", ["–", f"probably {low:,}–{high:,}"])
    header = ("", "now", "chosen by hand" if advice.by_hand else "proposed")[: len(settings) + 1]
    return Table("Values and what they did in the past", header, tuple(rows))


def incidents_table(
    current: Score, proposed: Score | None = None, *, new: str = "proposed", zone: str = "UTC"
) -> Table:
    """List what became of each incident: status, page time in a zone and delay; `new` names the other values."""
    scores = [current] if proposed is None else [current, proposed]
    each = [{o.incident.id: o for o in (*score.outcomes, *score.optional)} for score in scores]
    rows = []
    for outcome in sorted(each[0].values(), key=lambda o: o.incident.interval.start_ms):
        incident = outcome.incident
        cells = [
            clean(incident.id),
            Cell(minute(incident.interval.start_ms, zone), incident.interval.start_ms),
            length(incident.interval.duration_ms),
            clean(incident.kind) or "–",
            "yes" if incident.must_page else "no",
        ]
        for outcomes in each:
            cells += _fate(outcomes.get(incident.id), zone)
        rows.append(tuple(cells))
    header = ["incident", f"start ({zone})", "length", "kind", "must page"]
    for word in ["what became of it"] if proposed is None else ["now", new]:
        header += [word, "delay"]
    return Table("Incidents", tuple(header), tuple(rows), frozenset({0, 1, 3, 4, 5, 7}))


def _fate(outcome: Outcome | None, zone: str) -> list[str]:
    """Write status and page time in one cell, the date only where it is another day's, and the delay."""
    if outcome is None:
        return ["–", "–"]
    status = _STATUS[outcome.status]
    if outcome.found and outcome.first_firing_ms is not None:
        start_ms = outcome.incident.interval.start_ms
        date, clock, *ahead = minute(outcome.first_firing_ms, zone).split()
        same = date == day(start_ms, zone) and ahead == minute(start_ms, zone).split()[2:]
        status += f", paged {clock}" if same else f", paged {' '.join([date, clock, *ahead])}"
    return [status, length(outcome.delay_ms)]


def _extreme(replay: RuleBacktest, setting: Setting, page: Page) -> float:
    """Return the value of a page's alerts that lies furthest beyond the threshold in its whole breach."""
    if not replay.knobs.sweepable or setting.threshold is None:
        return math.nan
    firing = replay.firing(
        window_ms=setting.window_ms,
        hours=setting.hours or "",
        for_ms=setting.for_ms,
        keep_ms=setting.keep_firing_for_ms,
    )
    level = peak_of(firing, page.episode, replay.level(setting.threshold))
    return math.nan if math.isinf(level) else -level if firing.signal.falls else level


def _telling(replay: RuleBacktest, page: Page) -> Labels:
    """Return the labels of a page's alerts that the rule does not set itself."""
    return page.episode.labels.without("alertname", *replay.rule.labels)


def review_table(
    replay: RuleBacktest, setting: Setting, score: Score, *, most: int = REVIEWED, zone: str = "UTC"
) -> Table:
    """List the largest false pages: the ones most likely to be incidents that nobody wrote down.

    Parameters
    ----------
    replay : RuleBacktest
        The rule on its history.
    setting : Setting
        The values that `score` is about.
    score : Score
        Whose false pages are listed.
    most : int
        Longest list.
    zone : str
        Time zone of the starts, by its IANA name.

    Notes
    -----
    Largest by duration times height above the threshold; by duration alone where there is none.
    """
    false = [page for page in score.pages if page.kind == "false"]
    peaks = [_extreme(replay, setting, page) for page in false]

    def size(place: int) -> float:
        length = float(false[place].episode.interval.duration_ms)
        if setting.threshold is None or math.isnan(peaks[place]):
            return length
        return length * abs(peaks[place] - setting.threshold)

    order = sorted(range(len(false)), key=lambda place: (-size(place), false[place].episode.interval.start_ms))[:most]
    rows = tuple(
        (
            Cell(minute(false[place].episode.interval.start_ms, zone), false[place].episode.interval.start_ms),
            length(false[place].episode.interval.duration_ms),
            clean(", ".join(f"{k}={v}" for k, v in _telling(replay, false[place]).items())) or "–",
            *([] if setting.threshold is None else [rough(peaks[place])]),
        )
        for place in order
    )
    header = [f"start ({zone})", "length", "alert"]
    if setting.threshold is not None:
        header.append(
            "lowest value" if replay.signal(setting.window_ms, setting.hours or "").falls else "highest value"
        )
    caption = (
        f"The largest {len(rows)} of {count(len(false), 'false page')}" if len(rows) < len(false) else "False pages"
    )
    return Table(caption, tuple(header), rows, frozenset({0, 2}))


def weekly_table(current: Score, proposed: Score | None = None, *, new: str = "proposed", zone: str = "UTC") -> Table:
    """Count false pages week by week; `new` names the other values."""
    scores = [current] if proposed is None else [current, proposed]
    counts = [score.weekly_false_pages() for score in scores]
    rows = tuple(
        (day(current.period.start_ms + week * WEEK_MS, zone), *(f"{int(each[week]):,}" for each in counts))
        for week in range(len(counts[0]))
    )
    header = (f"week from ({zone})", *(["false pages"] if proposed is None else ["now", new]))
    return Table("False pages by week", header, rows)


def neighbours_table(advice: RuleAdvice) -> Table:
    """List the settings one step away from the proposed one."""
    rows = tuple(
        (
            clean(neighbour.change),
            found(neighbour.score),
            f"{neighbour.score.false_pages:,}",
            per_week(neighbour.score.false_pages_per_week),
            length(neighbour.score.worst_delay_ms),
            f"no: {'; '.join(neighbour.broken)}" if neighbour.broken else "yes",
        )
        for neighbour in advice.neighbours
    )
    header = ("one step away", "incidents found", "false pages", "a week", "worst delay", "keeps to the limits")
    return Table("Neighbouring values on the whole past", header, rows, frozenset({0, 5}))


def heldout_table(heldout: HeldOut, *, zone: str = "UTC") -> Table:
    """Show the test on unseen weeks, block by block and in all."""
    rows = [
        (
            f"{day(fold.period.start_ms, zone)} to {day(fold.period.end_ms - 1, zone)}",
            describe(fold.setting),
            found(fold.current),
            found(fold.proposed),
            f"{fold.current.false_pages:,}",
            f"{fold.proposed.false_pages:,}",
        )
        for fold in heldout.folds
    ]
    now, tuned = heldout.current, heldout.proposed
    rows.append(
        (
            f"together, {span(now.weeks * WEEK_MS)}, found in time",
            "",
            f"{now.caught_in_time} of {now.incidents}",
            f"{tuned.caught_in_time} of {tuned.incidents}",
            f"{now.false_pages:,}",
            f"{tuned.false_pages:,}",
        )
    )
    header = (f"unseen weeks ({zone})", "tuned before them to", "found now", "found tuned", "false now", "false tuned")
    return Table("On weeks that the tuning had not seen", header, tuple(rows), frozenset({0, 1}), footer=1)


def left_out_table(advice: RuleAdvice) -> Table:
    """Show each incident scored by values that were tuned without it."""
    rows = tuple(
        (
            clean(left.incident),
            "no threshold separates" if left.setting is None else describe(left.setting),
            "yes" if left.caught else "no",
        )
        for left in advice.left_out
    )
    header = ("incident left out", "tuned without it to", "found in time")
    return Table("Each incident left out in turn", header, rows, frozenset({0, 1, 2}))


def physics_table(advice: RuleAdvice) -> Table:
    """Show how long an imagined fault would go unnoticed: arithmetic on the traffic, not statistics."""
    rows = []
    for row in advice.physics:
        time: TimeToPage = row["time"]
        rows.append(
            (
                time.fault,
                clean(row["alert"]),
                f"{hour_name(time.hour)} ({time.traffic})",
                rough(time.rate_per_s),
                _time_to_page(time.seconds),
            )
        )
    header = ("fault", "alert", "hour of the week", "messages a second", "time to page")
    return Table("Time to page for imagined faults", header, tuple(rows), frozenset({0, 1, 2}))


def _time_to_page(seconds: float) -> Cell:
    if math.isnan(seconds):
        return Cell("fires without a fault", -1)
    return Cell("never" if math.isinf(seconds) else duration(seconds * SECOND_MS), seconds * SECOND_MS)
