"""Reviewing false pages in a notebook: functions that answer, a table, and buttons where there are widgets."""

from __future__ import annotations

import html
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kmon_analysis.backtest.notes import unmatched
from kmon_analysis.backtest.run import Backtest
from kmon_analysis.incidents import Incidents
from kmon_analysis.labelling.edit import IncidentFile
from kmon_analysis.labelling.review import Decision, Question, questions
from kmon_analysis.labelling.session import Effect, Session
from kmon_analysis.recommend.advice import Advice
from kmon_analysis.report.asked import Links, check_links, links, local_moment, zone_of
from kmon_analysis.report.words import clean, number, short_labels
from kmon_analysis.tabular import html_list, html_table, text_lines, text_table
from kmon_analysis.timing import duration, duration_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["Review", "review_incidents"]


class Review:
    """A review of false pages; a notebook shows it with buttons, or as a table where there are no widgets.

    Made by `review_incidents`. Questions are numbered from 1; every answer is in the file at once.

    Attributes
    ----------
    session : Session
        Questions, answers and the file.
    """

    def __init__(self, session: Session, top: int, where: Links, zone: str | None, by: str) -> None:
        self.session = session
        self.numbers = tuple(range(1, min(top, len(session)) + 1))
        self.where = where
        self.zone = zone_of(zone)
        self.by = by

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, which: int) -> Question:
        return self.session.question(which)

    @property
    def current(self) -> int | None:
        """Number of the first question without an answer, or None."""
        return next((each for each in self.numbers if self.session.question(each).key not in self.session.said), None)

    @property
    def unmatched(self) -> tuple[str, ...]:
        """Metrics and labels of the rules and the list that nothing in the history has, in words, with near names."""
        return tuple(clean(note.text) for note in unmatched(self.session.result))

    @property
    def incidents(self) -> Incidents:
        """The list as it is now, for a new backtest or tuning."""
        return self.session.file.incidents

    def answer(self, which: int, decision: Decision, **said: Any) -> None:
        """Say what a false page was.

        Parameters
        ----------
        which : int
            Number of the question.
        decision : {"incident", "expected", "noise"}
            A missing incident; a planned event, in which pages do not count; or noise, which stays a false page.
        **said
            ``id, start, end, labels, must_page, kind, note``, and ``all_alike=True`` for all of its kind. Times without
            a zone are in that of the review, if it was given one.

        Raises
        ------
        SettingError
            If the answer makes no sense; nothing is written then.
        OutputError
            If the file was changed by someone else, or cannot be written.
        """
        self.session.answer(which, decision, **{**({"by": self.by} if self.by else {}), "zone": self.zone, **said})

    def skip(self, which: int) -> None:
        """Leave a question for another time."""
        self.session.skip(which)

    def back(self) -> int:
        """Take back the last answer or skip, in the file as well, and return the number of its question."""
        return self.session.number_of(self.session.back()[0])

    def effects(self) -> tuple[Effect, ...]:
        """Return how the scores of each rule changed since the review began."""
        return self.session.effects()

    def backtest(self) -> Backtest:
        """Return the same replay, scored against the list as it is now."""
        return self.session.after()

    def links(self, which: int) -> Mapping[str, str]:
        """Return addresses of the question's time in Grafana and Prometheus."""
        return dict(links(self.session, which, self.where))

    def plot(self, which: int) -> Figure:
        """Draw the compared value around a page."""
        from kmon_analysis.explore.picture import page_figure

        return page_figure(self.session.result, self.session.question(which))

    def to_frame(self) -> pd.DataFrame:
        """Return one row a question: what was asked, and what was said."""
        return self.session.to_frame().loc[list(self.numbers)]

    def widget(self) -> Any:
        """Return the buttons; needs the extra ``[lab]``.

        Raises
        ------
        SettingError
            If ipywidgets is not installed.
        """
        from kmon_analysis.explore.buttons import Buttons

        return Buttons(self).box

    def _table(self) -> tuple[list[str], list[list[str]]]:
        asked = [self.session.question(each) for each in self.numbers]
        _, names = short_labels([each.labels for each in asked], 60)
        rows = [
            [
                str(place),
                clean(each.head),
                local_moment(each.breach.start_ms, self.zone),
                duration(each.breach.duration_ms),
                number(each.peak),
                name,
                "–" if each.ruleless else f"{each.days[0]} of {each.days[1]}",
                self.session.said.get(each.key, ""),
            ]
            for place, each, name in zip(self.numbers, asked, names, strict=True)
        ]
        return ["#", "rule", "from", "for", "peak", "labels", "other days", "said"], rows

    def _headline(self) -> str:
        done = sum(self.session.question(each).key in self.session.said for each in self.numbers)
        if not self.numbers:
            return "No suggestion or false page is left to ask about."
        more = len(self.session) - len(self.numbers)
        return f"{done} of {len(self.numbers)} answered" + (f", {more} more of the same kinds" if more else "")

    def __repr__(self) -> str:
        table = [text_table(*self._table())] if self.numbers else []
        return "\n".join([self._headline(), *table, *text_lines(self.unmatched)])

    def _repr_html_(self) -> str:
        if not self.numbers:
            return f"<p>{html.escape(self._headline())}</p>" + html_list(self.unmatched)
        return html_table(*self._table(), caption=self._headline(), left=(1, 2, 5, 7)) + html_list(self.unmatched)

    def _repr_mimebundle_(self, **_: Any) -> Any:
        from kmon_analysis.explore.buttons import widgets_here

        plain = {"text/plain": repr(self), "text/html": self._repr_html_()}
        if not self.numbers or not widgets_here():
            return plain
        shown: Any = self.widget()._repr_mimebundle_()
        data, metadata = shown if isinstance(shown, tuple) else (shown, {})
        return {**data, **plain}, metadata


def review_incidents(
    result: Backtest | Advice,
    incidents: str | Path,
    *,
    rule: str | None = None,
    top: int = 20,
    by: str = "",
    zone: str | None = None,
    grafana: str = "",
    prometheus: str = "",
    neighbours: str | timedelta = "1h",
) -> Review:
    """Look at undecided suggestions and the largest false pages and say what each was; the list learns it.

    An answer about a suggestion decides it where it stands; noise rejects it.

    Parameters
    ----------
    result : Backtest or Advice
        Whose pages are reviewed, at the rules' own values.
    incidents : str or Path
        The list in YAML, begun if there is none. What it says now counts, whatever the result was scored against.
    rule : str, optional
        Only this alert's false pages.
    top : int
        Ask at most so many questions.
    by : str
        Who answers; kept with what is noise.
    zone : str, optional
        Time zone shown beside UTC, such as ``"Europe/Berlin"``; None: the machine's own.
    grafana : str
        Grafana's address, for links to the dashboard of ``kmon dashboard``, or a template with ``{from_ms}``,
        ``{to_ms}``, ``{labels}``, ``{rule}`` and ``{label.NAME}``.
    prometheus : str
        URL of Prometheus, for links.
    neighbours : str or timedelta
        Pages of one alert with a shorter pause between them are one question.

    Raises
    ------
    SettingError
        If an address, the zone or the rule means nothing, or the list is a table.
    IncidentError
        If the list cannot be read.

    Examples
    --------
    ::

        review = km.review_incidents(result, "incidents.yml", by="ana")
        review                                                  # buttons, or a table
        review.answer(3, "incident", id="INC-9", note="full disk")
        review.effects()
    """
    from kmon_analysis.backtest.again import with_incidents

    where = Links(grafana, prometheus)
    check_links(where)
    zone_of(zone)
    file = IncidentFile.open(incidents)
    scored = with_incidents(result.backtest if isinstance(result, Advice) else result, file.incidents)
    asked = questions(scored, rule, neighbours_ms=duration_of(neighbours, "neighbours"))
    return Review(Session(scored, file, asked), top, where, zone, by)
