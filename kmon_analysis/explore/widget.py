"""The tuner in a notebook: an anywidget that draws in the browser what the model computes in the kernel."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from kmon_analysis.errors import KmonError
from kmon_analysis.explore.choices import guard_of
from kmon_analysis.explore.model import COLUMNS
from kmon_analysis.explore.packets import facts_of, picture_of, view_of
from kmon_analysis.recommend.candidates import Setting
from kmon_analysis.report.figure import Scale
from kmon_analysis.report.words import clean, describe
from kmon_analysis.timing import MINUTE_MS, Interval, zone_of

if TYPE_CHECKING:
    from kmon_analysis.explore.tuner import Tuner

__all__ = ["TunerWidget"]

_STATIC = Path(__file__).parent / "static"
_NARROW, _WIDE = 200, 2400
_PICTURES = 32
# Fewer, so that drawing ahead never pushes out what it drew.
_AHEAD = 24
_UNTIL_USED = 'The export stays as it is until "use these values".'


class TunerWidget(anywidget.AnyWidget):
    """The tuner's front end.

    Notes
    -----
    The browser sends ``{"kind": "move", "seq", ...}``, one at a time, and gets the traits below back; their ``seq``
    tells which move they answer. ``{"kind": "prepare"}`` comes when nobody moves: the next stops are then computed
    ahead.
    """

    _esm = _STATIC / "tuner.js"
    _css = _STATIC / "tuner.css"
    # JSON as text: the widget machinery walks through nested values twice, which takes longer than counting.
    facts = traitlets.Unicode("{}").tag(sync=True)
    picture = traitlets.Unicode("{}").tag(sync=True)
    points = traitlets.Bytes().tag(sync=True)
    view = traitlets.Unicode("{}").tag(sync=True)

    def __init__(self, tuner: Tuner) -> None:
        super().__init__()
        self._tuner = tuner
        self._period = tuner.model.replay.period
        self._columns = COLUMNS
        self._shown: tuple[Any, ...] = ()
        self._seq = 0
        self._zone = "UTC"
        self._fit = False
        self._pictures: dict[tuple[Any, ...], tuple[str, bytes, Scale]] = {}
        self.facts = json.dumps(facts_of(tuner.model))
        self.refresh()
        self.on_msg(self._heard)

    def refresh(self, message: str = "", *, wrong: bool = False) -> None:
        """Send what is new where the tuner's knobs stand now."""
        tuner, model = self._tuner, self._tuner.model
        setting, group_by, period = tuner.setting, tuner.group_by, self._period
        view = model.at(setting, group_by, period=period, columns=self._columns)
        lines = self._lines(setting)
        with self.hold_sync():
            head, points, scale = self._picture(lines, setting)
            if lines != self._shown:
                self.picture, self.points = head, points
                self._shown = lines
            told = view_of(model, view, period, self._columns, scale=scale)
            hours, zone = tuner.hours
            told["values"] |= {"hours": clean(" ".join(hours.split())), "zone": clean(zone)}
            told |= {"export": f"in the export: {tuner.exported}", "can_propose": tuner.proposed is not None}
            self.view = json.dumps({**told, "seq": self._seq, "message": clean(message), "wrong": wrong})

    def _picture(self, lines: tuple[Any, ...], setting: Setting) -> tuple[str, bytes, Scale]:
        """Draw a stretch of time, or take what was drawn before."""
        if lines not in self._pictures:
            tuner = self._tuner
            stretch = (self._period, self._columns)
            made = picture_of(tuner.model, setting, tuner.group_by, *stretch, fit=self._fit)
            self._pictures[lines] = (json.dumps(made.head), made.points, made.scale)
            while len(self._pictures) > _PICTURES:
                del self._pictures[next(iter(self._pictures))]
        return self._pictures[lines]

    def _heard(self, _widget: Any, content: Any, _buffers: Any) -> None:
        """Answer one message of the browser; a wrong one turns nothing."""
        if not isinstance(content, dict):
            return
        kind = content.get("kind")
        self._zone = str(content.get("zone") or self._zone)
        if kind == "prepare":
            self.send({"kind": "prepared", "more": self._prepare()})
            return
        self._seq = int(content.get("seq", self._seq))
        try:
            message = self._move(content)
            message = self._use() if kind == "use" else message
        except KmonError as error:
            self.refresh(_one_line(error), wrong=True)
        else:
            self.refresh(message)

    def _prepare(self) -> bool:
        """Compute a part of what the next moves need; tell whether anything is left."""
        tuner = self._tuner
        try:
            own = tuner.model.replay.knobs.hours
            hours = [guard_of(text, self._zone, own) for text in tuner.model.choices.hours]
            more = tuner.model.prepare(tuner.setting, tuner.group_by, hours=hours)
            return more or self._draw_ahead(hours)
        except KmonError:
            # Whoever turns to it hears why.
            return False

    def _draw_ahead(self, hours: Sequence[str | None]) -> bool:
        """Draw one picture of those that the next moves of window and hours show; tell whether any is left."""
        tuner, model = self._tuner, self._tuner.model
        near = [replace(tuner.setting, window_ms=window) for window in model.choices.windows_ms]
        near += [replace(tuner.setting, hours=guard) for guard in hours]
        missing = [
            (setting, lines)
            for setting in near[:_AHEAD]
            if model.visited(setting, tuner.group_by) and (lines := self._lines(setting)) not in self._pictures
        ]
        if missing:
            self._picture(missing[0][1], missing[0][0])
        return len({lines for _, lines in missing}) > 1

    def _lines(self, setting: Setting) -> tuple[Any, ...]:
        """Return all that the lines of a picture depend on."""
        return (setting.window_ms, setting.hours, self._tuner.group_by, self._period, self._columns, self._fit)

    def _use(self) -> str:
        tuner = self._tuner
        before = tuner.advice.rules.get(tuner.name)
        entry = tuner.use(show=False)[tuner.name]
        if entry.proposed is None and before is not None and before.proposed is not None:
            return f"Taken back: the export holds the deployed values, {describe(tuner.model.deployed)}."
        return f"Written into the advice: {entry.headline}. Export with tuner.advice.write('tuned/')."

    def _move(self, content: dict[str, Any]) -> str:
        """Turn what the browser turned."""
        tuner, choices = self._tuner, self._tuner.model.choices
        self._look(content)
        turned: dict[str, Any] = {}
        if content.get("reset"):
            deployed = tuner.model.deployed
            tuner.setting = deployed
            return f"The knobs are back at the deployed values: {describe(deployed)}. {_UNTIL_USED}"
        if content.get("propose") and tuner.proposed is not None:
            tuner.setting, tuner.group_by = tuner.proposed
            return f"The knobs are back at the proposed values: {describe(tuner.setting)}. {_UNTIL_USED}"
        for name, stops in (
            ("threshold", choices.thresholds),
            ("window", choices.windows_ms),
            ("for", choices.fors_ms),
        ):
            key = "for_" if name == "for" else name
            if f"{name}_stop" in content and stops:
                stop = stops[max(0, min(int(content[f"{name}_stop"]), len(stops) - 1))]
                turned[key] = stop if name == "threshold" else timedelta(milliseconds=stop)
            elif name in content:
                turned[key] = str(content[name])
        if "zone" in content:
            zone_of(str(content["zone"] or "UTC"))
        if "hours" in content:
            turned |= {"hours": str(content["hours"]), "zone": str(content.get("zone") or "UTC")}
        if "group" in content and 0 <= int(content["group"]) < len(choices.group_by):
            turned["group_by"] = choices.group_by[int(content["group"])]
        if turned:
            tuner.turn(**turned)
        return ""

    def _look(self, content: dict[str, Any]) -> None:
        """Take over which stretch of time is shown, and how wide."""
        whole = self._tuner.model.replay.period
        if "columns" in content:
            self._columns = max(_NARROW, min(int(content["columns"]), _WIDE))
        if "fit" in content:
            self._fit = bool(content["fit"])
        if "period" in content:
            start, end = (int(edge) for edge in content["period"])
            least = max(10 * self._tuner.model.replay.grid.step_ms, MINUTE_MS)
            start = max(whole.start_ms, min(start, whole.end_ms - least))
            self._period = Interval(start, min(max(end, start + least), max(whole.end_ms, start)))


def _one_line(error: KmonError) -> str:
    """Write problem and cure as sentences of one line, as the region for messages shows them."""
    parts = [" ".join(part.split()).rstrip(".") for part in (error.problem, error.cure) if part]
    return "".join(f"{part}. " for part in parts).strip()
