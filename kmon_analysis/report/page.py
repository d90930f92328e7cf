"""One self-contained HTML page: the advice, its evidence, and what the data cannot say."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Protocol

import kmon_analysis
from kmon_analysis.backtest.grouping import page_words
from kmon_analysis.backtest.rule import RuleBacktest
from kmon_analysis.promql.semantics import DEFAULT_VERSION
from kmon_analysis.recommend.advice import Advice, RuleAdvice
from kmon_analysis.recommend.candidates import candidates
from kmon_analysis.report import tables
from kmon_analysis.report.front import Outlook, front, outlook
from kmon_analysis.report.front_table import front_table
from kmon_analysis.report.tables import Table
from kmon_analysis.report.templating import environment
from kmon_analysis.report.words import allowance, count
from kmon_analysis.report.zones import clock, local_zone, minute
from kmon_analysis.timing import SECOND_MS, duration, span, zone_of

__all__ = ["Checked", "render_report"]

# Bytes for all pictures together: the page is mailed and attached to tickets.
PICTURES = 2_300_000


class Checked(Protocol):
    """Anything that says in one sentence how the exported files were checked."""

    @property
    def sentence(self) -> str:
        """The result of the check."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One figure of the page; `svg` is empty where it was left out for size."""

    svg: str
    caption: str


@dataclass(frozen=True, slots=True)
class Section:
    """What the page shows of one rule."""

    anchor: str
    name: str
    verdict: str
    headline: str
    reasons: tuple[str, ...]
    place: str
    expression: str
    comparison: Table | None
    pictures: tuple[Picture, ...]
    tables: tuple[tuple[str, Table], ...]
    unknown: tuple[str, ...]


def render_report(
    advice: Advice,
    verification: Checked | None = None,
    generated_at: str | None = None,
    *,
    zone: str = "UTC",
) -> str:
    """Write the report.

    Parameters
    ----------
    advice : Advice
        From `recommend`.
    verification : object with ``sentence``, optional
        What promtool said of the exported files.
    generated_at : str, optional
        An instant to print; nothing here asks a clock.
    zone : str
        Time zone of tables and pictures, by its IANA name; stated at each of them.

    Returns
    -------
    str
        An HTML document without references to other places, under 3 MB. Its one script sorts tables; all can be
        read without it.

    Raises
    ------
    SettingError
        If there is no such zone.
    """
    zone = zone_of(zone).key
    page = environment().get_template("report.html.j2")
    verdicts = [entry.verdict for entry in advice.values()]
    return page.render(
        title=f"Alert rules of {PurePath(advice.backtest.rules.path).name}: what their past says",
        summary=_summary(verdicts),
        analysed=_analysed(advice, zone),
        overview=tables.before_after(advice),
        sections=_sections(advice, zone),
        verification=None if verification is None else verification.sentence,
        unknown=_unknown(advice),
        provenance=_provenance(advice, generated_at, zone),
    )


def _summary(verdicts: Sequence[str]) -> str:
    words = [
        f"{verdicts.count(verdict)} {text}"
        for verdict, text in (("tuned", "to change"), ("keep", "to leave alone"), ("refused", "without advice"))
        if verdicts.count(verdict)
    ]
    return f"{count(len(verdicts), 'rule')}: {', '.join(words)}." if words else "The file holds no alerting rule."


def _analysed(advice: Advice, zone: str) -> list[tuple[str, str]]:
    result, budget = advice.backtest, advice.budget
    history, settings, truth = result.history, result.settings, result.incidents
    interval = history.interval
    must = sum(incident.must_page for incident in truth.incidents)
    version = settings.version or history.provenance.server_version
    groups = f"one for {page_words(settings.group_by)}"
    windows = count(len(truth.excluded), "excluded window")
    accepted = "no limits were given: the values were chosen by hand"
    if budget is not None:
        accepted = (
            f"{allowance(budget.false_pages_per_week)} for each rule; a delay of {duration(budget.max_delay_ms)}; "
            f"firing for {duration(budget.firing_ratio * 7 * 86_400_000)} of a normal week"
        )
    rows = [
        ("Source", history.provenance.source),
        (
            f"Time ({zone})",
            f"{minute(interval.start_ms, zone)} to {minute(interval.end_ms, zone)}, {span(interval.duration_ms)}",
        ),
        (
            "Recorded",
            f"{len(history.series):,} series, {count(history.series.sample_count, 'sample')}, "
            f"one every {duration(history.scrape_interval_ms)}",
        ),
        ("Semantics", f"Prometheus {version}" if version else f"Prometheus {DEFAULT_VERSION} (the source names none)"),
        (
            "Incidents",
            f"{count(len(truth.incidents), 'incident')}, {must} of them must page; {windows}"
            if truth.incidents
            else f"none; {windows}",
        ),
        ("Accepted", accepted),
        (
            "Pages",
            f"{groups}; closer than {duration(settings.merge_gap_ms)} they are one; credited from "
            f"{duration(settings.credit_before_ms)} before an incident to "
            f"{duration(settings.credit_after_ms)} (and the rule's “for”) after it",
        ),
    ]
    rows += [("Warning", warning) for warning in history.provenance.warnings]
    return rows


def _provenance(advice: Advice, generated_at: str | None, zone: str) -> list[tuple[str, str]]:
    rules = advice.backtest.rules
    rows = [
        ("kmon_analysis", kmon_analysis.__version__),
        ("Python", platform.python_version()),
        ("Rule file", f"{rules.path}, SHA-256 {hashlib.sha256(rules.text.encode()).hexdigest()}"),
        ("History", f"SHA-256 {advice.backtest.history.digest}"),
    ]
    fetched = advice.backtest.history.provenance.fetched_at_ms
    if fetched is not None:
        rows.append((f"Fetched ({zone})", clock(fetched // SECOND_MS * SECOND_MS, local_zone(zone))))
    if generated_at is not None:
        rows.append(("Report made", generated_at))
    return rows


def _sections(advice: Advice, zone: str) -> list[Section]:
    """Build the rules' sections; pictures of rules to change come first when there is no room for all."""
    order = sorted(advice, key=lambda name: ("tuned", "refused", "keep").index(advice[name].verdict))
    left = PICTURES
    fronts = {name: _front(advice, name) for name in advice}
    drawn: dict[str, tuple[Picture, ...]] = {}
    for name in order:
        pictures = []
        for picture in _pictures(advice, name, f"p{list(advice).index(name)}", zone, fronts[name]):
            fits = len(picture.svg) <= left
            left -= len(picture.svg) if fits else 0
            pictures.append(picture if fits else Picture("", picture.caption))
        drawn[name] = tuple(pictures)
    return [_section(advice, name, place, drawn[name], zone, fronts[name]) for place, name in enumerate(advice)]


def _section(
    advice: Advice, name: str, place: int, pictures: tuple[Picture, ...], zone: str, points: Sequence[Outlook]
) -> Section:
    entry = advice[name]
    replay = advice.replay(name) if name in advice.backtest.results else None
    return Section(
        anchor=f"rule-{place + 1}",
        name=name,
        verdict=entry.verdict,
        headline=entry.headline,
        reasons=entry.reasons,
        place=_place(advice, replay),
        expression="" if replay is None else replay.rule.text.strip("\n"),
        comparison=tables.comparison(entry) if entry.past_current is not None else None,
        pictures=pictures,
        tables=tuple(_tables(advice, entry, replay, zone, points)),
        unknown=tuple(_unknown_of(entry)),
    )


def _place(advice: Advice, replay: RuleBacktest | None) -> str:
    if replay is None:
        return ""
    rule = replay.rule
    line = f", line {rule.line}" if rule.line else ""
    return f"{advice.backtest.rules.path}{line}, group {rule.group}, evaluated every {duration(replay.grid.step_ms)}"


def _tables(
    advice: Advice, entry: RuleAdvice, replay: RuleBacktest | None, zone: str, points: Sequence[Outlook]
) -> Iterator[tuple[str, Table]]:
    """Give the tables that have rows, each with a sentence that says how to read it."""
    current, proposed, new = entry.past_current, entry.past_proposed, "by hand" if entry.by_hand else "proposed"
    if replay is None or current is None or entry.current is None:
        return
    if current.outcomes or current.optional:
        yield "", tables.incidents_table(current, proposed, new=new, zone=zone)
    setting, score = entry.current, current
    if entry.proposed is not None and proposed is not None:
        setting, score = entry.proposed, proposed
    review = tables.review_table(replay, setting, score, zone=zone)
    if review.rows:
        which = "current" if entry.proposed is None else "chosen" if entry.by_hand else "proposed"
        size = "longest" if setting.threshold is None else "largest by duration times height"
        yield (
            f"Of the {which} values, {size} first. Was it an incident that nobody wrote down, "
            "expected work such as a deployment, or noise? Add what is missing to the incidents and run again.",
            review,
        )
    if entry.heldout is not None:
        unseen = "Each block of weeks was scored with values tuned on the weeks before it only."
        yield unseen, tables.heldout_table(entry.heldout, zone=zone)
    if entry.left_out:
        yield (
            "Values tuned without an incident, tried on that incident; those of one example are left out together.",
            tables.left_out_table(entry),
        )
    if entry.neighbours:
        plateau = "A good choice stands on a plateau: its neighbours keep to the limits, too."
        yield plateau, tables.neighbours_table(entry)
    if current.false_pages or (proposed is not None and proposed.false_pages):
        yield "", tables.weekly_table(current, proposed, new=new, zone=zone)
    if entry.plateau is not None and current.outcomes and advice.budget is not None:
        every = (
            "The points of the picture of what was possible, at most two incidents missed. A letter marks what was no "
            "worse than the proposed values in this past: values are chosen for their distance from ordinary weeks "
            "and from the weakest incident, which the next weeks need, not for the last page of the past ones."
        )
        few = [point for point in points if point.missed <= 2]
        at = None if entry.past_proposed is None else outlook(entry.past_proposed)
        yield every, front_table(replay, few, advice.budget, entry.proposed, at)
    if entry.physics:
        arithmetic = "Arithmetic on the recorded traffic, not statistics; add one scrape and one evaluation."
        yield arithmetic, tables.physics_table(entry)


def _unknown_of(entry: RuleAdvice) -> Iterator[str]:
    """Say what is not known about one rule, beyond its reasons."""
    if entry.past_current is None:
        return
    if not entry.past_current.outcomes:
        yield "Whether the rule finds anything: no incident concerns it."
    if entry.proposed is not None and entry.heldout is None:
        yield f"How the {'chosen' if entry.by_hand else 'proposed'} values do on weeks they were not chosen on."
    if entry.proposed is not None and entry.next_4_weeks is None:
        yield "How many false pages to expect: there are too few weeks for a prediction."
    if entry.suspects:
        yield "Whether every false page is one: incidents that nobody wrote down are counted as noise."


def _unknown(advice: Advice) -> list[str]:
    """Say what holds for all rules."""
    step = max((replay.grid.step_ms for replay in advice.backtest.results.values()), default=0)
    general = [
        "Incidents of kinds that are not in the list, and traffic unlike that of these weeks.",
        "Restarts of Prometheus, and what Alertmanager does after a page: routing, silences, repeats.",
    ]
    if step:
        general.append(
            f"The exact second of a page: the server evaluates at an offset of its own inside the interval "
            f"({duration(step)})."
        )
    return general


# ---- pictures -----------------------------------------------------------------------------------


def _pictures(advice: Advice, name: str, prefix: str, zone: str, points: Sequence[Outlook]) -> Iterator[Picture]:
    from kmon_analysis.report import plots
    from kmon_analysis.report.figure import alt_text, svg_text

    entry = advice[name]
    if name not in advice.backtest.results:
        return
    replay = advice.replay(name)
    figure = plots.advice_figure(replay, entry, advice.budget, zone=zone)
    yield Picture(
        svg_text(figure, prefix, alt=alt_text(figure)),
        "Above: what the rule compares, over time, with its pages. "
        "Below: pages and delays that every other threshold would have had."
        if len(figure.axes) > 1
        else "When the condition held, and the pages.",
    )
    if entry.plateau is not None and entry.past_current is not None and entry.past_current.outcomes:
        figure = plots.front_figure(replay, points, advice.budget, entry.proposed)
        yield Picture(
            svg_text(figure, f"{prefix}f", alt=alt_text(figure)),
            "What was possible in this past: for each number of missed incidents, the settings that nothing beats. "
            "Letters mark what was no worse than the proposal; the table of the points says why it was not taken.",
        )


def _front(advice: Advice, name: str) -> tuple[Outlook, ...]:
    """Return what was possible: over every ``for``, with the windows that are compared; nothing without incidents."""
    entry = advice[name]
    current, budget = entry.past_current, advice.budget
    if entry.plateau is None or current is None or not current.outcomes or budget is None:
        return ()
    replay = advice.replay(name)
    windows = {setting.window_ms for setting in (entry.current, entry.candidate, entry.proposed) if setting is not None}
    tried = candidates(replay, advice.backtest.history.scrape_interval_ms)
    compared = [candidate for candidate in tried if candidate.window_ms in windows]
    return front(replay, compared, firing_ratio=budget.firing_ratio)
