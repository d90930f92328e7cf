"""The tuner: turn the knobs of one rule by hand and see at once what it would have done.

In a notebook ``result.explore("HighConsumerLag")`` shows controls above a picture; anywhere else the same object draws
itself with matplotlib. Names that programs may rely on (accessible names of the controls in the browser):

- sliders ``threshold``, ``window``, ``for``; text boxes ``threshold, exact``, ``window, exact``, ``for, exact``
- lists ``hours``, ``group by``, ``time zone``; text box ``hours, as text``; text box with offers (a combo box)
  ``time zone of the hours``
- checkbox ``fit the axis to what is shown``
- buttons ``use these values``, ``back to deployed``, ``back to proposed`` (where the advice proposes values),
  ``whole range``, ``zoom in``, ``zoom out``
- the picture is ``[data-kmon="picture"]``; every page and incident has a button in the lists
  ``[data-kmon="pages"]`` and ``[data-kmon="incidents"]``, which follow a moment after the hand rests: their attribute
  ``data-seq`` is that of the numbers then, and the kernel knows where the knobs stand
- the attribute ``aria-busy`` of ``[data-kmon="tuner"]`` is ``true`` while an answer is waited for, ``data-ahead`` is
  ``yes`` when the browser has the answers to all moves of one knob
- ``[data-kmon="numbers"]`` (a status region) holds the numbers as JSON in its attribute ``data-numbers``:
  ``{"seq", "chosen": {...}, "deployed": {...}, "values": {...}, "period": [start, end]}``, fields as in
  `kmon_analysis.explore.model.Numbers`
- ``[data-kmon="about-threshold"]``, also ``window``, ``for`` and ``hours``, says below a knob what there is to say of
  it; a box whose text cannot be used has ``aria-invalid="true"``, and "use these values" uses nothing then
- ``[data-kmon="export"]`` says what an export would hold now
- ``[data-kmon="message"]`` (an alert region) holds what went wrong, or what was done
"""

from __future__ import annotations

import html
from dataclasses import dataclass, replace
from datetime import timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from kmon_analysis.backtest.grouping import page_words
from kmon_analysis.backtest.run import Backtest
from kmon_analysis.backtest.windows import short_window
from kmon_analysis.errors import SettingError, nearest
from kmon_analysis.explore.choices import (
    AS_DEPLOYED,
    EVERY_HOUR,
    GroupBy,
    guard_of,
    read_duration,
    read_threshold,
    season_words,
)
from kmon_analysis.explore.model import TunerModel, View
from kmon_analysis.explore.packets import comparison_rows, group_words
from kmon_analysis.recommend.advice import Advice
from kmon_analysis.recommend.by_hand import chosen_by_hand
from kmon_analysis.recommend.candidates import Setting
from kmon_analysis.report.words import clean, describe
from kmon_analysis.tabular import html_list, html_table, text_table
from kmon_analysis.timing import Interval, zone_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kmon_analysis.explore.widget import TunerWidget

__all__ = ["Stand", "Tuner", "explore"]


# Of the table and of the picture.
_WORDS = ("deployed", "chosen")
_KNOBS = ("threshold", "window", "for_", "hours", "zone", "group_by")


@dataclass(frozen=True, slots=True)
class Stand:
    """Where the knobs of a rule stand.

    Attributes
    ----------
    setting : Setting
        The values.
    group_by : tuple of str or None
        How alerts make pages.
    chosen_hours : tuple of (str, str)
        The hours that were chosen last, in words, and their time zone.
    """

    setting: Setting
    group_by: GroupBy
    chosen_hours: tuple[str, str] = ("", "")

    def hours(self, own: str | None) -> tuple[str, str]:
        """Return the hours in the words that were chosen, and their time zone; without words the guard itself.

        Parameters
        ----------
        own : str or None
            The guard of the rule as deployed.
        """
        guard = self.setting.hours
        if guard == own:
            return (EVERY_HOUR if own is None else AS_DEPLOYED), ""
        text, zone = self.chosen_hours
        if text and text != guard and guard_of(text, zone, own) == guard:
            return self.chosen_hours
        return guard or EVERY_HOUR, ""


class Tuner:
    """One rule whose knobs are turned by hand.

    Parameters
    ----------
    advice : Advice
        Where the chosen values go; it may know nothing of the rule yet.
    name : str
        Alert name.
    start : Setting, optional
        Where the knobs stand at first; None: as deployed.

    Attributes
    ----------
    model : TunerModel
        What it computes with.
    advice : Advice
        With the values that were used, see `use`.
    setting : Setting
        Where the knobs stand.
    group_by : tuple of str or None
        How alerts make pages.
    """

    def __init__(self, advice: Advice, name: str, start: Setting | None = None) -> None:
        known = advice.rules.get(name)
        given = [start, *((known.proposed, known.candidate) if known is not None else ())]
        self.model = TunerModel(advice.backtest, name, tuple(setting for setting in given if setting is not None))
        self.advice = advice
        self.setting = start or self.model.deployed
        self.group_by: GroupBy = advice.backtest.settings.group_by if known is None else known.group_by
        self._hours = ("", "")
        # The evidence of the proposed values returns with them after others were chosen by hand.
        self._given = known
        self._widget: TunerWidget | None = None

    @property
    def name(self) -> str:
        """The alert's name."""
        return self.model.name

    @property
    def view(self) -> View:
        """The rule where the knobs stand."""
        found = self.model.at(self.setting, self.group_by)
        return replace(found, table=self._table(found), notes=tuple(self.notes().values()))

    def turn(
        self,
        *,
        threshold: float | str | None = None,
        window: str | timedelta | None = None,
        for_: str | timedelta | None = None,
        hours: str | None = None,
        zone: str = "UTC",
        group_by: GroupBy | str = "",
        **unknown: object,
    ) -> None:
        """Turn knobs; what is left out stays.

        Parameters
        ----------
        threshold : float or str, optional
            Of the comparison.
        window, for_ : str or timedelta, optional
            A duration such as ``"5m"``.
        hours : str, optional
            ``"as deployed"``, ``"at all hours"``, or traffic hours such as ``"Mon-Fri 08:00-18:00"`` in `zone`.
        zone : str
            Time zone of `hours`.
        group_by : tuple of str, str or None, optional
            Labels that make one page of several alerts; None: every alert pages by itself.
        **unknown
            Refused, with the names that exist.

        Raises
        ------
        SettingError
            If a value makes no sense, no alert has a label of `group_by`, or there is no such knob. Nothing is turned
            then.
        ExpressionError
            If the expression cannot be evaluated so. Nothing is turned then.
        """
        stand = self.turned(
            threshold=threshold, window=window, for_=for_, hours=hours, zone=zone, group_by=group_by, **unknown
        )
        self.model.track(stand.setting, stand.group_by)
        self.setting, self.group_by, self._hours = stand.setting, stand.group_by, stand.chosen_hours

    def turned(
        self,
        *,
        threshold: float | str | None = None,
        window: str | timedelta | None = None,
        for_: str | timedelta | None = None,
        hours: str | None = None,
        zone: str = "UTC",
        group_by: GroupBy | str = "",
        **unknown: object,
    ) -> Stand:
        """Return where the knobs would stand after `turn`, with its parameters; nothing is turned or evaluated.

        Raises
        ------
        SettingError
            As `turn` does.
        """
        _no_other_knobs(unknown)
        setting = self.setting
        if threshold is not None:
            value = read_threshold(threshold) if isinstance(threshold, str) else float(threshold)
            setting = replace(setting, threshold=read_threshold(repr(value)))
        if window is not None:
            setting = replace(setting, window_ms=read_duration(window, "window"))
        if for_ is not None:
            setting = replace(setting, for_ms=read_duration(for_, "for"))
        if hours is not None:
            zone_of(zone)
            setting = replace(setting, hours=guard_of(hours, zone, self.model.replay.knobs.hours))
        grouping = self.group_by if group_by == "" else _grouping(group_by)
        for label in grouping or ():
            self._has_label(label)
        setting.applied(self.model.replay.rule)
        return Stand(setting, grouping, self._hours if hours is None else (hours, zone))

    @property
    def stand(self) -> Stand:
        """Where the knobs stand."""
        return Stand(self.setting, self.group_by, self._hours)

    @property
    def hours(self) -> tuple[str, str]:
        """The hours in the words that were chosen, and their time zone; the guard itself where there are no words."""
        return self.stand.hours(self.model.replay.knobs.hours)

    def move(
        self,
        *,
        threshold: float | str | None = None,
        window: str | timedelta | None = None,
        for_: str | timedelta | None = None,
        hours: str | None = None,
        zone: str = "UTC",
        group_by: GroupBy | str = "",
        **unknown: object,
    ) -> View:
        """Turn knobs as `turn` does, with its parameters and errors; show it, and return what the rule does there."""
        self.turn(threshold=threshold, window=window, for_=for_, hours=hours, zone=zone, group_by=group_by, **unknown)
        if self._widget is not None:
            self._widget.refresh()
        return self.view

    def use(self, *, show: bool = True) -> Advice:
        """Write the values where the knobs stand into the advice, counted as they are grouped here, and return it.

        Parameters
        ----------
        show : bool
            Whether the widget shows it at once.

        Returns
        -------
        Advice
            The rule's verdict says that its values were chosen by hand; ``write`` exports them. The deployed values
            take an earlier choice back, and those that the advice proposed come with its evidence.
        """
        given = self._given
        if given is not None and not given.by_hand and (given.proposed, given.group_by) == self._here:
            self.advice = replace(self.advice, rules={**self.advice.rules, self.name: given})
        else:
            setting, group_by = self._here
            self.advice = chosen_by_hand(self.advice, self.name, setting, group_by, hours_words=self.hours_words)
        if show and self._widget is not None:
            self._widget.refresh()
        return self.advice

    @property
    def _here(self) -> tuple[Setting, GroupBy]:
        return self.setting, self.group_by

    @property
    def proposed(self) -> tuple[Setting, GroupBy] | None:
        """The values that the advice proposed when the tuner was opened, and their grouping; None: it proposed none."""
        given = self._given
        return None if given is None or given.proposed is None else (given.proposed, given.group_by)

    @property
    def hours_words(self) -> str:
        """The hours as words, in their zone, and what its seasons leave of them; empty where no words were chosen."""
        return self._hours_words(self.stand)

    def _hours_words(self, stand: Stand) -> str:
        text, zone = stand.hours(self.model.replay.knobs.hours)
        if not zone or stand.setting.hours is None:
            return ""
        return season_words(text, zone)

    def notes(self, stand: Stand | None = None) -> dict[str, str]:
        """Return what there is to say of a knob where it stands, by its name.

        Parameters
        ----------
        stand : Stand, optional
            None: where the knobs stand now.
        """
        at = self.stand if stand is None else stand
        setting, found = at.setting, {}
        scrape_ms = self.advice.backtest.history.scrape_interval_ms
        short = short_window(self.model.replay, scrape_ms, setting.window_ms, setting.hours or "")
        if short:
            found["window"] = f"{short[0].upper()}{short[1:]}."
        words = self._hours_words(at)
        if words:
            # Words in brackets are the seasons, which only some zones have.
            kept = ": rules know UTC only, so counted and exported are the hours that hold all year: "
            kept = kept if words.endswith(")") else ", counted and exported as "
            found["hours"] = clean(f"Hours: {words}{kept}{setting.hours}")
        return found

    @property
    def exported(self) -> str:
        """What ``tuner.advice.write`` would write of this rule, in words."""
        entry = self.advice.rules.get(self.name)
        setting = self.model.deployed if entry is None or entry.proposed is None else entry.proposed
        how = "deployed, unchanged" if entry is None or entry.proposed is None else "proposed"
        if entry is not None and entry.by_hand and entry.proposed is not None:
            how = "chosen by hand"
        words = [describe(setting)]
        if setting.hours != self.model.deployed.hours:
            words.append(clean(setting.hours or "at all hours"))
        if entry is not None and entry.group_by != self.advice.backtest.settings.group_by:
            words.append(f"one page for {group_words(entry.group_by)}")
        return f"{' · '.join(words)} ({how})"

    def _has_label(self, label: str) -> None:
        """Refuse a label to group by that neither an alert nor the history has."""
        replay, result = self.model.replay, self.advice.backtest
        known = {name for labels in replay.signal().labels for name in labels}
        known |= {"alertname", *replay.rule.labels} | {name for each in result.history.series.labels for name in each}
        if label not in known:
            names = ", ".join(sorted(known - {"__name__"}))
            raise SettingError(
                f"group_by: no alert has the label {label!r}",
                cure=nearest(label, sorted(known)) or f"There are {names}",
            )

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return header and rows: what the deployed and the chosen values did."""
        return self._table(self.model.at(self.setting, self.group_by))

    def _table(self, view: View) -> tuple[list[str], list[list[str]]]:
        rows = comparison_rows(self.model.deployed_numbers(self.group_by), view.numbers)
        values = ["values", describe(self.model.deployed), describe(self.setting)]
        guards = [clean(setting.hours or "at all hours") for setting in (self.model.deployed, self.setting)]
        if self.hours_words:
            # What a season leaves of them, and the guard, is in the notes: a cell has no room for it.
            guards[1] = clean(" ".join(self.hours))
        hours = [["hours", *guards]] if len({*guards}) > 1 else []
        return [self.name, *_WORDS], [values, *hours, *rows]

    def plot(self, period: Interval | None = None) -> Figure:
        """Draw the signal with states, pages and incidents, the chosen values beside the deployed ones.

        Parameters
        ----------
        period : Interval, optional
            What to draw of the signal; None: the whole history.
        """
        from kmon_analysis.report.plots import rule_figure

        chosen = self.setting if self.setting != self.model.deployed else None
        return rule_figure(self.model.grouped(self.group_by), period=period, proposed=chosen, words=_WORDS)

    @property
    def widget(self) -> TunerWidget | None:
        """The widget, or None where the extra ``[lab]`` is not installed."""
        if self._widget is None and find_spec("anywidget") is not None:
            from kmon_analysis.explore.widget import TunerWidget

            self._widget = TunerWidget(self)
        return self._widget

    def __repr__(self) -> str:
        header, rows = self.table()
        return "\n".join([text_table([clean(cell) for cell in header], rows, left=1), *self.notes().values()])

    def _repr_html_(self) -> str:
        from kmon_analysis.report.figure import img_html, png_bytes

        header, rows = self.table()
        note = f"Pages: one for {page_words(self.group_by)}. Times in UTC."
        said = f"{clean(self.name)}: deployed and chosen values over time, as in the table"
        return (
            html_table(["", *header[1:]], rows, caption=f"{self.name}, deployed and chosen", sortable=False)
            + html_list([*self.notes().values()])
            + f"<p>{html.escape(note)}</p>"
            + img_html(png_bytes(self.plot(), dpi=110), said)
        )

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any] | tuple[dict[str, Any], dict[str, Any]]:
        plain = {"text/plain": repr(self), "text/html": self._repr_html_()}
        widget = self.widget
        if widget is None:
            return plain
        shown = widget._repr_mimebundle_()
        data, metadata = shown if isinstance(shown, tuple) else (shown or {}, {})
        # A front end without widgets, and a stored page, show the still picture.
        return {**data, **plain}, metadata


def _grouping(group_by: GroupBy | str) -> GroupBy:
    return None if group_by is None else (group_by,) if isinstance(group_by, str) else tuple(group_by)


def _no_other_knobs(unknown: dict[str, object]) -> None:
    for name in unknown:
        cure = f"The knobs are {', '.join(_KNOBS)}"
        near = nearest(name, _KNOBS)
        raise SettingError(f"there is no knob {name!r}", cure=f"{near} {cure}" if near else cure)


def explore(result: Backtest | Advice, name: str) -> Tuner:
    """Open the tuner on a rule.

    Parameters
    ----------
    result : Backtest or Advice
        An advice's proposed values are where the knobs stand at first.
    name : str
        Alert name.

    Raises
    ------
    ExpressionError
        If the rule could not be evaluated.
    """
    if isinstance(result, Backtest):
        _ = result[name]
        return Tuner(Advice(result, None), name)
    _ = result.backtest[name]
    known = result.rules.get(name)
    return Tuner(result, name, None if known is None else known.proposed or known.current)
