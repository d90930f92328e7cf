"""The postmortem of one incident: `postmortem` and its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kmon_analysis.backtest.run import Backtest
from kmon_analysis.errors import Finding, IncidentError, SettingError, nearest, printable
from kmon_analysis.history import History
from kmon_analysis.incidents import Incident, Incidents
from kmon_analysis.postmortem.answers import Reference, Rung, reference_of
from kmon_analysis.postmortem.limits import UNMATCHED, Limit, limits_of
from kmon_analysis.postmortem.pricing import price_rule
from kmon_analysis.postmortem.stories import RuleStory, stories_of
from kmon_analysis.report.zones import local_zone
from kmon_analysis.tabular import html_list, html_table, text_lines, text_table
from kmon_analysis.timing import SECOND_MS, Interval, duration_of, format_instant

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["Postmortem", "Written", "find_incident", "incidents_for", "postmortem"]


@dataclass(frozen=True, slots=True, repr=False)
class Written:
    """What `Postmortem.write` wrote: page, Markdown, JSON, and the bundle's folder if there is one."""

    paths: tuple[Path, ...]

    def __repr__(self) -> str:
        return "\n".join(map(str, self.paths))


@dataclass(frozen=True, repr=False)
class Postmortem:
    """What every rule did about one incident, and what would have paged sooner.

    Attributes
    ----------
    backtest : Backtest
        What it rests on.
    incident : Incident
        Which one.
    zone : str
        IANA name of the local time that is written beside UTC.
    ladder_ms : tuple of int or None
        How much sooner was asked for; None: the default steps.
    rules : tuple of RuleStory
        One for each alerting rule; those without a part in it last.
    references : Mapping
        By rule: what "sooner" is counted from.
    sooner : Mapping
        By rule: the ladder; empty where the question makes no sense.
    limits : tuple of Limit
        What the data cannot say.
    """

    backtest: Backtest
    incident: Incident
    zone: str
    ladder_ms: tuple[int, ...] | None
    rules: tuple[RuleStory, ...]
    references: Mapping[str, Reference]
    sooner: Mapping[str, tuple[Rung, ...]]
    limits: tuple[Limit, ...]

    def __getitem__(self, rule: str) -> RuleStory:
        for story in self.rules:
            if story.rule == rule:
                return story
        self.backtest.rules.alert(rule)
        raise KeyError(rule)

    @property
    def concerned(self) -> tuple[RuleStory, ...]:
        """The rules whose business the incident is, and that could be evaluated."""
        return tuple(story for story in self.rules if story.concerned)

    @property
    def unrecorded(self) -> tuple[Interval, ...]:
        """The parts of the incident of which nothing is recorded: what happened in them is not known."""
        return next((story.unrecorded for story in self.rules if story.concerned), ())

    @property
    def period(self) -> Interval:
        """What the pictures show: the time in which a page counts, with a margin."""
        window = self.incident.interval
        for story in self.concerned:
            start_ms = min([story.window.start_ms, *(life.active_ms for life in story.lives)])
            window = Interval(min(window.start_ms, start_ms), max(window.end_ms, story.window.end_ms))
        # An alert that has been firing for weeks would leave nothing of the incident to be seen.
        margin_ms = max(self.incident.interval.duration_ms // 4, 15 * 60 * SECOND_MS)
        first_ms = max(window.start_ms, self.incident.interval.start_ms - 4 * margin_ms - 6 * 3600 * SECOND_MS)
        whole = self.backtest.history.interval
        return Interval(max(first_ms - margin_ms, whole.start_ms), min(window.end_ms + margin_ms, whole.end_ms))

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``postmortem.json``."""
        from kmon_analysis.postmortem.tojson import postmortem_json

        return postmortem_json(self)

    def to_frame(self) -> pd.DataFrame:
        """Return one row a step: rule, alert, what happened, instant (UTC), offset (seconds), and value."""
        import pandas as pd

        rows = [
            {
                "at": pd.Timestamp(step.at_ms, unit="ms", tz="UTC"),
                "offset_s": (step.at_ms - self.incident.interval.start_ms) / SECOND_MS,
                "rule": story.rule,
                "alert": str(step.labels),
                "step": ", ".join(step.words),
                "value": float("nan") if step.value is None else step.value,
            }
            for story in self.concerned
            for step in story.steps
        ]
        columns = ["at", "offset_s", "rule", "alert", "step", "value"]
        return pd.DataFrame(rows, columns=columns).sort_values("at", kind="stable").reset_index(drop=True)

    def plot(self, rule: str | None = None) -> Figure:
        """Draw a rule's signal around the incident, with threshold, states and pages.

        Parameters
        ----------
        rule : str, optional
            Alert name; None: the first one concerned.

        Raises
        ------
        SettingError
            If there is nothing to draw.
        """
        from kmon_analysis.postmortem.picture import story_figure

        names = [story.rule for story in self.concerned]
        if rule is not None and rule not in names:
            self[rule]
        if not names or (rule is not None and rule not in names):
            raise SettingError(
                f"{'no rule' if rule is None else rule} has a part in {self.incident.id!r}",
                cure=f"Name one of {', '.join(names)}" if names else "Compare the incident's labels and rules",
            )
        return story_figure(self, rule or names[0])

    def write(
        self, directory: str | Path, *, bundle: bool = True, stage: Callable[[str], None] | None = None
    ) -> Written:
        """Write ``postmortem.html``, ``postmortem.md``, ``postmortem.json``, and what is needed to compute them again.

        Parameters
        ----------
        directory : str or Path
            Made when it does not exist; files of an earlier run are replaced if nobody edited them.
        bundle : bool
            Whether to write the folder ``bundle`` as well.
        stage : callable, optional
            Told what is being done.

        Raises
        ------
        OutputError
            If the directory cannot be written, or would lose a file that is none of ours or was edited.
        """
        from kmon_analysis.postmortem.bundle import write_postmortem

        return Written(write_postmortem(self, Path(directory), bundle=bundle, stage=stage))

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return header and rows of the short form: what each rule did."""
        from kmon_analysis.postmortem.words import did

        return ["rule", "what it did"], [[story.rule, did(self, story)] for story in self.rules]

    @property
    def unmatched(self) -> tuple[str, ...]:
        """Metrics and labels of the rules and the list that nothing in the history has, in words, with near names."""
        return tuple(limit.text for limit in self.limits if limit.code == UNMATCHED)

    def __repr__(self) -> str:
        return "\n".join([self._headline(), text_table(*self.table(), left=2), *text_lines(self.unmatched)])

    def _repr_html_(self) -> str:
        return html_table(*self.table(), caption=self._headline(), left=2) + html_list(self.unmatched)

    def _headline(self) -> str:
        when = self.incident.interval
        return f"{printable(self.incident.id)}: {format_instant(when.start_ms)} to {format_instant(when.end_ms)}"


def find_incident(incidents: Incidents, incident_id: str) -> Incident:
    """Return an incident by its id.

    Raises
    ------
    IncidentError
        If there is none; the nearest id is offered.
    """
    try:
        return incidents[incident_id]
    except KeyError:
        for other in (*incidents.suggested, *incidents.rejected):
            if other.id == incident_id:
                finding = Finding(
                    f"{incident_id!r} is {other.status}, no confirmed incident",
                    incidents.path,
                    other.line,
                    other.column,
                    "Confirm it first, by removing its 'status'",
                )
                raise IncidentError([finding]) from None
        known = [each.id for each in incidents]
        some = f"Known are {', '.join(map(repr, known[:10]))}" + (" and more" if len(known) > 10 else "")
        cure = nearest(incident_id, known) or (some if known else "Add it to the list")
        raise IncidentError([Finding(f"has no incident {incident_id!r}", incidents.path, cure=cure)]) from None


def incidents_for(incidents: Incidents, incident_id: str, history: History) -> Incidents:
    """Return the list as the postmortem of one incident needs it: what lies outside the history left out.

    Raises
    ------
    IncidentError
        If there is no such incident, or it lies outside the history itself; the message says what is there.
    """
    chosen = find_incident(incidents, incident_id)
    alone = replace(incidents, incidents=(chosen,), excluded=())
    outside = alone.check_within(history.interval).errors
    if outside:
        raise IncidentError(outside)
    return incidents.within(history.interval)


def _ladder(sooner: str | timedelta | Sequence[str | timedelta]) -> tuple[int, ...]:
    steps = sooner if isinstance(sooner, Sequence) and not isinstance(sooner, str) else [sooner]
    return tuple(sorted({duration_of(each, "sooner") for each in steps}))


def postmortem(
    result: Backtest,
    incident: str,
    *,
    zone: str = "UTC",
    sooner: str | timedelta | Sequence[str | timedelta] | None = None,
    progress: Callable[[str, int], None] | None = None,
) -> Postmortem:
    """Say what each rule did about one incident, and what would have paged sooner at what price.

    Parameters
    ----------
    result : Backtest
        From `backtest`, with the incident in its list.
    incident : str
        Its id.
    zone : str
        IANA name of a time zone that is written beside UTC.
    sooner : str, timedelta or sequence of these, optional
        How much sooner a page is wanted, for example ``"5m"``; by default a ladder from one minute up to the
        start of the incident.
    progress : callable, optional
        Told the rule's name and how many settings were swept.

    Raises
    ------
    IncidentError
        If there is no such incident; the nearest id is offered.
    SettingError
        If the zone does not exist or a time is none.
    """
    chosen = find_incident(result.incidents, incident)
    local_zone(zone)
    ladder = None if sooner is None else _ladder(sooner)
    stories = stories_of(result, chosen)
    references, rungs = {}, {}
    for story in stories:
        if not story.concerned:
            continue
        reference = reference_of(story, stories, chosen)
        done = 0

        def tell(name: str = story.rule) -> None:
            nonlocal done
            done += 1
            if progress is not None:
                progress(name, done)

        references[story.rule] = reference
        rungs[story.rule] = price_rule(
            result.results[story.rule],
            story,
            chosen,
            reference,
            ladder,
            result.history.scrape_interval_ms,
            progress=tell,
        )
    return Postmortem(result, chosen, zone, ladder, stories, references, rungs, limits_of(result, chosen, stories))
