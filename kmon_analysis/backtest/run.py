"""Run a rule file over a history: `backtest` and its result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from kmon_analysis.backtest import kernels
from kmon_analysis.backtest.listing import outcome_rows, page_rows
from kmon_analysis.backtest.notes import Note, is_blind, labels_known, notes_of, release_note
from kmon_analysis.backtest.phases import Phase, phase_of, served_groups
from kmon_analysis.backtest.rule import RuleBacktest
from kmon_analysis.backtest.score import Score
from kmon_analysis.backtest.settings import Settings
from kmon_analysis.errors import (
    ExpressionError,
    Finding,
    IncidentError,
    InputError,
    RuleFileError,
    SettingError,
    nearest,
)
from kmon_analysis.history import History
from kmon_analysis.incidents import Incident, Incidents
from kmon_analysis.labels import METRIC_NAME
from kmon_analysis.promql.needs import selections
from kmon_analysis.promql.semantics import DEFAULT_VERSION, Semantics
from kmon_analysis.rules.groups import Outside, rule_key, run_groups
from kmon_analysis.rules.knobs import find_knobs
from kmon_analysis.rules.model import AlertingRule, RecordingRule, RuleFile
from kmon_analysis.series import SeriesSet
from kmon_analysis.tabular import MOST_ROWS, counted, html_list, html_table, length_cell, text_lines, text_table
from kmon_analysis.timing import MINUTE_MS, EvaluationGrid, Interval

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from kmon_analysis.explore.tuner import Tuner

__all__ = ["Backtest", "alert_names", "backtest"]

# So many incidents are named with all that is wrong with them, the others are counted.
MOST_ALIKE = 3

Bools = npt.NDArray[np.bool_]
Int64s = npt.NDArray[np.int64]


def alert_names(rules: RuleFile) -> tuple[str, ...]:
    """Name the alerts of a file, in order; tiers that share a name get their group and place added."""
    names = [rule.name for rule in rules.alerts]
    return tuple(
        name if names.count(name) == 1 else f"{name} ({rule.group}, rule {rule.index + 1})"
        for name, rule in zip(names, rules.alerts, strict=True)
    )


def incidents_of(rule: AlertingRule, incidents: Incidents) -> Incidents:
    """Keep the incidents that a rule is about.

    An incident that names other rules is not, nor one whose labels every selector of the rule excludes: a
    rule on ``topic="a"`` cannot be blamed for an incident of topic b. One whose series are gone still is.
    """
    needs = selections(rule.expr)

    def selected(incident: Incident) -> bool:
        return not needs or any(
            all(m.matches(incident.labels[m.name]) for m in need.matchers if m.name in incident.labels)
            for need in needs
        )

    kept = [item for item in incidents.incidents if item.concerns(rule.name, {}) and selected(item)]
    return replace(incidents, incidents=tuple(kept))


def inside(incidents: Incidents, history: Interval) -> tuple[Incidents, tuple[Incident, ...]]:
    """Part the incidents of which a history holds something from those of which it holds nothing.

    Raises
    ------
    IncidentError
        If all lie outside: a score against none of them would say nothing of the rules.
    """
    beyond = incidents.check_within(history).errors
    if not beyond:
        return incidents, ()
    kept = tuple(each for each in incidents.incidents if each.interval.overlaps(history))
    if not kept:
        more = len(beyond) - MOST_ALIKE
        rest = [
            Finding(f"{counted(more, 'more incident')} {'lies' if more == 1 else 'lie'} outside, too", incidents.path)
        ]
        raise IncidentError([*beyond[:MOST_ALIKE], *rest * (more > 0)])
    left_out = tuple(each for each in incidents.incidents if not each.interval.overlaps(history))
    return replace(incidents, incidents=kept), left_out


def observed_evaluations(series: SeriesSet, times: Int64s, lookback_ms: int, *, left_open: bool = True) -> Bools:
    """Tell at which evaluations the history has any sample within the lookback.

    Parameters
    ----------
    series : SeriesSet
        The whole history.
    times : int64 array, shape (T,)
        Evaluations, ascending.
    lookback_ms : int
        How far back a sample may lie.
    left_open : bool
        Whether a sample that is exactly so old is too old, see `Semantics`.
    """
    seen: Bools = kernels.newest(series.offsets, series.times, times) >= times - lookback_ms + (1 if left_open else 0)
    return seen


@dataclass(frozen=True, repr=False)
class Backtest(Mapping[str, RuleBacktest]):
    """What the rules of a file would have done on a history; a mapping from alert name to its replay.

    Attributes
    ----------
    rules : RuleFile
        As deployed.
    history : History
        The recorded series.
    incidents : Incidents
        The labelled truth; empty when there is none.
    settings : Settings
        How pages are counted.
    results : Mapping
        By alert name.
    scores : Mapping
        Scores of the rules as they are.
    refused : Mapping
        Rules that could not be evaluated, with the reason.
    evaluated_by : Mapping
        Who evaluated the rules that we do not evaluate ourselves, by alert name or recorded metric.
    notes : tuple of str
        What whoever evaluated rules in our place warned of.
    phases : Mapping
        By group: when inside its interval it is evaluated, and how that is known.
    recorded : tuple of str
        What became of series that the history holds and the rules record themselves.
    left_out : tuple of Incident
        Incidents of which the history holds nothing.
    """

    rules: RuleFile
    history: History
    incidents: Incidents
    settings: Settings
    results: Mapping[str, RuleBacktest]
    scores: Mapping[str, Score]
    refused: Mapping[str, InputError]
    evaluated_by: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    phases: Mapping[str, Phase] = field(default_factory=dict)
    recorded: tuple[str, ...] = ()
    left_out: tuple[Incident, ...] = ()

    def __getitem__(self, name: str) -> RuleBacktest:
        if name in self.results:
            # Not kept in the rule itself: that would be a circle, which frees a large history late.
            return replace(self.results[name], taken_from=(self, name))
        if name in self.refused:
            raise self.refused[name]
        self.rules.alert(name)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def to_frame(self) -> pd.DataFrame:
        """Return one row a rule: counts, rates a week, delays in seconds."""
        import pandas as pd

        rows = [
            {
                "rule": name,
                "incidents": found.incidents,
                "caught": found.caught,
                "already_firing": found.already_firing,
                "pages": len(found.pages),
                "true_pages": found.true_pages,
                "duplicate_pages": found.duplicate_pages,
                "false_pages": found.false_pages,
                "weeks": found.weeks,
                "false_pages_per_week": found.false_pages_per_week,
                "firing_ratio": found.firing_ratio,
                "delay_median_s": None if found.median_delay_ms is None else found.median_delay_ms / 1000,
                "delay_worst_s": None if found.worst_delay_ms is None else found.worst_delay_ms / 1000,
                "evaluated_by": self.evaluated_by.get(name, "kmon"),
                "has_data": not is_blind(self.results[name]),
            }
            for name, found in self.scores.items()
        ]
        return pd.DataFrame(rows).set_index("rule") if rows else pd.DataFrame()

    def pages_frame(self) -> pd.DataFrame:
        """Return one row a page: rule, start, end (UTC), what ended it, kind, incident credited, labels of the alert.

        ``ended_by`` is ``resolved``, ``gap`` (nothing was recorded then) or ``end of history``.
        """
        import pandas as pd

        columns = ["rule", "start", "end", "ended_by", "kind", "incident", "labels"]
        frame = pd.DataFrame(list(page_rows(self.scores, self.history)), columns=columns)
        return frame.assign(start=pd.to_datetime(frame["start"], utc=True), end=pd.to_datetime(frame["end"], utc=True))

    def outcomes_frame(self) -> pd.DataFrame:
        """Return one row a rule and incident: status, first firing and start (UTC), delay in seconds.

        ``first_firing`` is empty where the alert was already firing: it began before the credit window.
        """
        import pandas as pd

        columns = ["rule", "incident", "start", "end", "must_page", "status", "first_firing", "delay_s"]
        frame = pd.DataFrame(list(outcome_rows(self.scores)), columns=columns)
        for name in ("start", "end", "first_firing"):
            frame[name] = pd.to_datetime(frame[name], utc=True)
        return frame

    def _table(self) -> tuple[list[str], list[list[str]]]:
        header = ["rule", "incidents caught", "false pages", "a week", "median delay", "worst delay"]
        rows = []
        for name, found in self.scores.items():
            if is_blind(self.results[name]):
                rows.append([name, "no data", "–", "–", "–", "–"])
                continue
            shown = [found.shown_median, length_cell(found.worst_delay_ms)]
            caught = f"{found.caught} of {found.incidents}" if found.incidents else "no incidents"
            rows.append([name, caught, str(found.false_pages), found.shown_rate, *shown])
        rows += [[name, "not evaluated", "–", "–", "–", "–"] for name in self.refused]
        return header, rows

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a table cannot say: who evaluated, when, and which incidents are no evidence."""
        evaluated = (f"{name}: evaluated by {who}" for name, who in self.evaluated_by.items())
        known = (phase.sentence(group) for group, phase in self.phases.items() if phase.how != "unknown")
        undecided = len(self.incidents.suggested)
        open_words = f"{undecided} suggestions that nobody has confirmed count as no incidents"
        if undecided == 1:
            open_words = "1 suggestion that nobody has confirmed counts as no incident"
        open_ones = [open_words] if undecided else []
        said = (note.text for note in self.findings)
        release = [self.release_note] if self.release_note else []
        return (*said, *evaluated, *known, *open_ones, *self.incidents.check_circular(), *release)

    @property
    def release_note(self) -> str:
        """Which Prometheus release was replayed, where nobody named one that was compared; else empty."""
        return release_note(self.settings.version, self.history.provenance.server_version)

    @cached_property
    def findings(self) -> tuple[Note, ...]:
        """What matches nothing or nearly always: misspelt labels and metrics, thresholds never reached, and so on."""
        return notes_of(self)

    def __repr__(self) -> str:
        return "\n".join([text_table(*self._table(), most=MOST_ROWS), *text_lines(self.remarks)])

    def _repr_html_(self) -> str:
        caption = f"What the rules of {self.rules.path} would have done"
        return html_table(*self._table(), caption=caption, most=MOST_ROWS) + html_list(self.remarks)

    def explore(self, name: str) -> Tuner:
        """Open the tuner on a rule: its knobs are turned by hand, and what they do is shown at once.

        Parameters
        ----------
        name : str
            Alert name.

        Raises
        ------
        ExpressionError
            If the rule could not be evaluated.

        Notes
        -----
        The controls need the extra ``[lab]`` and a notebook; without them the tuner is turned by its ``move`` and
        shows still pictures.
        """
        from kmon_analysis.explore.tuner import explore

        return explore(self, name)

    def plot(
        self, name: str, *, threshold: float | None = None, period: Interval | None = None, zone: str = "UTC"
    ) -> Figure:
        """Draw a rule's signal with its threshold, states and incidents, and its curves.

        Parameters
        ----------
        name : str
            Alert name.
        threshold : float, optional
            Draw this one instead of the rule's own.
        period : Interval, optional
            Draw only this range.
        zone : str
            Time zone of the time axis, by its IANA name, for example ``"Europe/Berlin"``.

        Raises
        ------
        SettingError
            If there is no such alert, or no such zone.
        """
        from kmon_analysis.report.plots import rule_figure

        return rule_figure(self[name], threshold=threshold, period=period, zone=zone)


def backtest(
    rules: RuleFile,
    history: History,
    incidents: Incidents | None = None,
    *,
    settings: Settings | None = None,
    outside: Outside | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Backtest:
    """Say when each alert of a rule file would have paged, and score it.

    Parameters
    ----------
    rules : RuleFile
        From `read_rules`.
    history : History
        Raw samples that the rules select.
    incidents : Incidents, optional
        Labelled truth; without it every page is a false one.
    settings : Settings, optional
        How pages are counted and which Prometheus release is replayed.
    outside : callable, optional
        Evaluates rules that are outside the supported subset, instead of refusing them; its attribute ``by``
        says who that is, ``warnings`` what was warned of.
    progress : callable, optional
        Told an alert's name, how many are done and how many there are, before it is evaluated.

    Raises
    ------
    RuleFileError
        If no rule can be evaluated; with every reason.
    IncidentError
        If all incidents lie wholly outside the history; some that do are left out, and the result says so.
    InputError
        If the file has no alerting rule.
    SettingError
        If nothing has any of the labels to group by.
    """
    chosen = settings or Settings()
    truth = Incidents() if incidents is None else incidents
    truth, left_out = inside(truth, history.interval)
    if not rules.alerts:
        raise InputError("has no alerting rule", place=rules.path, cure="Name a file with at least one 'alert:'")
    release = Semantics.of(chosen.version or history.provenance.server_version or DEFAULT_VERSION)
    said = history.provenance.extra
    interval_ms = chosen.interval_ms or said.get("evaluation_interval_ms") or MINUTE_MS
    lookback_ms = said.get("lookback_ms") or release.lookback_ms
    semantics = replace(release, subquery_step_ms=interval_ms, lookback_ms=lookback_ms)
    served = served_groups(said)
    steps = [group.interval_ms or interval_ms for group in rules.groups]
    phases = [
        phase_of(group, step, chosen, served, history.provenance.server_version or semantics.version)
        for group, step in zip(rules.groups, steps, strict=True)
    ]
    clocks = [
        EvaluationGrid(history.interval.start_ms, history.interval.end_ms, step, phase.ms)
        for step, phase in zip(steps, phases, strict=True)
    ]
    run = run_groups(rules.groups, history.series, clocks, semantics, writers_only=True, outside=outside)
    results: dict[str, RuleBacktest] = {}
    refused: dict[str, InputError] = {}
    elsewhere: list[str] = []
    names = dict(zip((rule.key for rule in rules.alerts), alert_names(rules), strict=True))
    for group, clock in zip(rules.groups, clocks, strict=True):
        seen = observed_evaluations(history.series, clock.times, semantics.lookback_ms, left_open=semantics.left_open)
        for rule in group.rules:
            name = rule.record if isinstance(rule, RecordingRule) else names[rule.key]
            helper = outside if run.by_server(rule_key(rule)) else None
            if rule_key(rule) in run.refused:
                refused[name] = run.refused[rule_key(rule)]
            elif isinstance(rule, AlertingRule):
                truths = incidents_of(rule, truth)
                replay = RuleBacktest(
                    rule, find_knobs(rule), clock, truths, chosen, semantics, run.series, seen, run, helper
                )
                if progress is not None:
                    progress(name, len(results) + len(refused), len(names))
                try:
                    replay.signal()
                except ExpressionError as error:
                    refused[name] = error
                    continue
                results[name] = replay
            if helper is not None and name not in refused:
                elsewhere.append(name)
    if refused and not results:
        raise _nothing_to_replay(rules, refused)
    scores = {name: replay.score() for name, replay in results.items()}
    _check_labels(results, rules, history, chosen.group_by)
    by, warnings = getattr(outside, "by", "somebody else"), tuple(getattr(outside, "warnings", ()))
    return Backtest(
        rules,
        history,
        truth,
        chosen,
        results,
        scores,
        refused,
        dict.fromkeys(elsewhere, by),
        warnings,
        {group.name: phase for group, phase in zip(rules.groups, phases, strict=True)},
        run.notes,
        left_out,
    )


def _check_labels(
    results: Mapping[str, RuleBacktest], rules: RuleFile, history: History, group_by: tuple[str, ...] | None
) -> None:
    """Refuse a grouping of which nothing has any label: all alerts would silently make one page."""
    known = labels_known(results, rules, history)
    if group_by and not known.intersection(group_by):
        near = " ".join(filter(None, (nearest(label, sorted(known)) for label in group_by)))
        names = ", ".join(sorted(known - {METRIC_NAME}))
        listed = ", ".join(map(repr, group_by))
        problem = f"no alert has the label{'s' if len(group_by) > 1 else ''} {listed}: all pages would be one"
        raise SettingError(problem, place="group_by", cure=near or f"There are {names}")


def _nothing_to_replay(rules: RuleFile, refused: Mapping[str, InputError]) -> RuleFileError:
    """Say for each rule of a file why it is not evaluated."""
    lines = {rule.name: (rule.line, rule.column) for rule in reversed(rules.rules)}
    lines |= {name: (rule.line, rule.column) for name, rule in zip(alert_names(rules), rules.alerts, strict=True)}
    return RuleFileError(
        [
            Finding(f"{name!r} cannot be evaluated: {error.problem}", rules.path, *lines[name], cure=error.cure)
            for name, error in refused.items()
        ]
    )
