"""The tuner in a notebook: an anywidget that draws in the browser what the model computes in the kernel."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from kmon_analysis.errors import KmonError, sentence
from kmon_analysis.explore.choices import GroupBy
from kmon_analysis.explore.model import COLUMNS, View
from kmon_analysis.explore.packets import facts_of, lists_of, picture_of, view_of
from kmon_analysis.recommend.candidates import Setting
from kmon_analysis.report.figure import Scale
from kmon_analysis.report.words import clean, describe
from kmon_analysis.timing import MINUTE_MS, Interval, zone_of

if TYPE_CHECKING:
    from kmon_analysis.explore.tuner import Stand, Tuner

__all__ = ["TunerWidget"]

_STATIC = Path(__file__).parent / "static"
_NARROW, _WIDE = 200, 2400
_PICTURES = 40
# Answers in one message: a move that comes meanwhile waits for them.
_AHEAD = 8
# As many are looked at, for those that are quickly answered.
_LOOKED_AT = 32
_UNTIL_USED = 'The export stays as it is until "use these values".'


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A picture as it is sent; `key` stands for all of it."""

    key: str
    head: str
    points: bytes
    scale: Scale


class TunerWidget(anywidget.AnyWidget):
    """The tuner's front end.

    Notes
    -----
    The browser sends ``{"kind": "move", "seq", ...}``, one at a time, and gets `view` back, with `picture` and `points`
    where they are others now; its ``seq`` tells which move it answers. `lists`, the long ones, come when asked for by
    ``{"kind": "lists"}``, or with the answer to a move that says ``"lists": true``. A move may say ``"drawn"``, the key
    of a picture that the browser has; it then asks by ``{"kind": "picture"}`` when there is nothing else to do.

    When nobody moves, ``{"kind": "prepare", "moves": [...], "pictures": [...]}`` asks what moves of one knob would
    answer, and the browser keeps the answers: such a move is then seen at once, and told to the kernel when the hand
    rests. The answer is ``{"kind": "prepared", "moves", "answers", "heads", "failed"}``, the points of its pictures as
    buffers.
    """

    _esm = _STATIC / "tuner.js"
    _css = _STATIC / "tuner.css"
    # JSON as text: the widget machinery walks through nested values twice, which takes longer than counting.
    facts = traitlets.Unicode("{}").tag(sync=True)
    picture = traitlets.Unicode("{}").tag(sync=True)
    points = traitlets.Bytes().tag(sync=True)
    view = traitlets.Unicode("{}").tag(sync=True)
    lists = traitlets.Unicode("{}").tag(sync=True)

    def __init__(self, tuner: Tuner) -> None:
        super().__init__()
        self._tuner = tuner
        self._period = tuner.model.replay.period
        self._columns = COLUMNS
        self._seq = 0
        self._fit = False
        self._shown: Stand | None = None
        self._pictures: dict[tuple[Any, ...], _Drawn] = {}
        self.facts = json.dumps(facts_of(tuner.model))
        self.refresh()
        self.on_msg(self._heard)

    def refresh(
        self,
        message: str = "",
        *,
        wrong: bool = False,
        fields: Sequence[str] = (),
        lists: bool = True,
        drawn: str = "",
    ) -> None:
        """Send what is new where the tuner's knobs stand now.

        Parameters
        ----------
        message : str
            What was done, or went wrong.
        wrong : bool
            Whether it went wrong.
        fields : sequence of str
            The knobs whose value cannot be used.
        lists : bool
            Whether the lists are sent, too.
        drawn : str
            Key of a picture that is shown already.
        """
        tuner = self._tuner
        self._shown = tuner.stand
        with self.hold_sync():
            view, told, picture = self._answer(tuner.stand)
            if picture.key != drawn:
                self.picture, self.points = picture.head, picture.points
            told |= {"export": f"in the export: {tuner.exported}", "can_propose": tuner.proposed is not None}
            told |= {"seq": self._seq, "message": clean(message), "wrong": wrong}
            if fields:
                told["fields"] = [*fields]
            self.view = json.dumps(told)
            if lists:
                self.lists = json.dumps({"at": told["at"], **lists_of(tuner.model, view)})

    def _list(self) -> None:
        """Send the lists of what is shown; where the knobs were turned without showing it, all of it."""
        stand = self._tuner.stand
        if stand != self._shown:
            self.refresh()
            return
        view, told, _ = self._answer(stand)
        self.lists = json.dumps({"at": told["at"], **lists_of(self._tuner.model, view)})

    def _answer(self, stand: Stand) -> tuple[View, dict[str, Any], _Drawn]:
        """Return what is seen where the knobs would stand."""
        model, setting = self._tuner.model, stand.setting
        view = model.at(setting, stand.group_by, period=self._period, columns=self._columns)
        drawn = self._picture(stand)
        told = view_of(model, view, self._period, self._columns, scale=drawn.scale)
        hours, zone = stand.hours(model.replay.knobs.hours)
        told["values"] |= {"hours": clean(" ".join(hours.split())), "zone": clean(zone)}
        told["picture"] = drawn.key
        told["notes"] = self._tuner.notes(stand)
        # All that an answer depends on, by knob: it is that of every move there.
        told["at"] = {
            "threshold": repr(setting.threshold),
            "window": repr(setting.window_ms),
            "for": repr((setting.for_ms, setting.keep_firing_for_ms)),
            "hours": repr((setting.hours, hours, zone)),
            "group": repr(stand.group_by),
            "shown": repr((self._period.start_ms, self._period.end_ms, self._columns, self._fit)),
        }
        return view, told, drawn

    def _picture(self, stand: Stand) -> _Drawn:
        """Draw a stretch of time, or take what was drawn before."""
        lines = self._lines(stand)
        if lines not in self._pictures:
            stretch = (self._period, self._columns)
            made = picture_of(self._tuner.model, stand.setting, stand.group_by, *stretch, fit=self._fit)
            head = json.dumps(made.head)
            key = hashlib.blake2b(head.encode() + made.points, digest_size=12).hexdigest()
            self._pictures[lines] = _Drawn(key, json.dumps({**made.head, "key": key}), made.points, made.scale)
            while len(self._pictures) > _PICTURES:
                del self._pictures[next(iter(self._pictures))]
        return self._pictures[lines]

    def _lines(self, stand: Stand) -> tuple[Any, ...]:
        """Return all that the lines of a picture depend on."""
        setting = stand.setting
        return (setting.window_ms, setting.hours, stand.group_by, self._period, self._columns, self._fit)

    def _heard(self, _widget: Any, content: Any, _buffers: Any) -> None:
        """Answer one message of the browser; a wrong one turns nothing."""
        if not isinstance(content, dict):
            return
        kind, lists = content.get("kind"), bool(content.get("lists"))
        if kind == "prepare":
            told, points = self._prepared(content.get("moves") or [], content.get("pictures") or [])
            self.send(told, buffers=points)
            return
        if kind == "lists":
            self._list()
            return
        if kind == "picture":
            drawn = self._picture(self._tuner.stand)
            with self.hold_sync():
                self.picture, self.points = drawn.head, drawn.points
            return
        self._seq = int(content.get("seq", self._seq))
        try:
            message = self._move(content)
            message = self._use() if kind == "use" else message
        except KmonError as error:
            self.refresh(_one_line(error), wrong=True, fields=self._faulty(content), lists=lists)
        else:
            self.refresh(message, lists=lists, drawn=str(content.get("drawn", "")))

    # ---- looking ahead --------------------------------------------------------------------------

    def _prepared(self, moves: Sequence[dict[str, Any]], there: Sequence[str]) -> tuple[dict[str, Any], list[bytes]]:
        """Answer moves that nobody made yet: some of those that cost nothing but counting, else one part of the first.

        Parameters
        ----------
        moves : sequence of dict
            Each as it would be sent.
        there : sequence of str
            Keys of the pictures that the browser has.

        Returns
        -------
        told : dict
            The message; ``failed`` are moves that have no answer, or for whose answer there is no memory.
        points : list of bytes
            Of the pictures whose heads are in it.
        """
        done: list[dict[str, Any]] = []
        failed: list[dict[str, Any]] = []
        answers: list[str] = []
        drawn: dict[str, _Drawn] = {}
        left: list[tuple[dict[str, Any], Stand]] = []
        for move in moves[:_LOOKED_AT]:
            try:
                stand = self._tuner.turned(**self._turned(move))
                if not self._is_there(stand):
                    left.append((move, stand))
                    continue
                _, told, picture = self._answer(stand)
            except KmonError:
                # Whoever turns to it hears why.
                failed.append(move)
                continue
            done.append(move)
            answers.append(json.dumps(told))
            if picture.key not in there:
                drawn[picture.key] = picture
            if drawn or len(done) == _AHEAD:
                break
        if left and not done:
            move, stand = left[0]
            try:
                if not self._work(stand):
                    failed += [each for each, _ in left]
            except KmonError:
                failed.append(move)
        told = {
            "kind": "prepared",
            "moves": done,
            "answers": answers,
            "heads": [each.head for each in drawn.values()],
            "failed": failed,
        }
        here = self._tuner.stand
        if self._tuner.model.visited(here.setting, here.group_by):
            # What is in use is what is kept longest.
            self._tuner.model.track(here.setting, here.group_by)
        return told, [each.points for each in drawn.values()]

    def _needs(self, stand: Stand) -> list[tuple[Setting, GroupBy]]:
        """Return what an answer is computed from: the deployed values stand beside the chosen ones."""
        return [(self._tuner.model.deployed, stand.group_by), (stand.setting, stand.group_by)]

    def _is_there(self, stand: Stand) -> bool:
        return all(self._tuner.model.visited(*each) for each in self._needs(stand))

    def _work(self, stand: Stand) -> bool:
        """Do a part of what an answer needs; tell whether there was memory for it."""
        model = self._tuner.model
        missing = [each for each in self._needs(stand) if not model.visited(*each)]
        # The browser keeps the answers: what gave them may go, but not what is in use.
        if not model.make_room(*self._needs(self._tuner.stand), *self._needs(stand)):
            return False
        model.prepare(*missing[0])
        return True

    def _use(self) -> str:
        tuner = self._tuner
        before = tuner.advice.rules.get(tuner.name)
        entry = tuner.use(show=False)[tuner.name]
        if entry.proposed is None and before is not None and before.proposed is not None:
            return f"Taken back: the export holds the deployed values, {describe(tuner.model.deployed)}."
        return f"Written into the advice: {entry.headline}. Export with tuner.advice.write('tuned/')."

    def _move(self, content: dict[str, Any]) -> str:
        """Turn what the browser turned."""
        tuner = self._tuner
        self._look(content)
        if content.get("reset"):
            deployed = tuner.model.deployed
            tuner.setting = deployed
            return f"The knobs are back at the deployed values: {describe(deployed)}. {_UNTIL_USED}"
        if content.get("propose") and tuner.proposed is not None:
            tuner.setting, tuner.group_by = tuner.proposed
            return f"The knobs are back at the proposed values: {describe(tuner.setting)}. {_UNTIL_USED}"
        if "zone" in content:
            zone_of(str(content["zone"] or "UTC"))
        turned = self._turned(content)
        if turned:
            tuner.turn(**turned)
        return ""

    def _faulty(self, content: dict[str, Any]) -> list[str]:
        """Name the knobs of a message whose value cannot be used, whatever the others are."""
        found = []
        for names in (("threshold",), ("window",), ("for",), ("hours", "zone")):
            alone = {name: content[name] for name in names if name in content}
            try:
                zone_of(str(alone.get("zone") or "UTC"))
                self._tuner.turned(**self._turned(alone))
            except KmonError:
                found.append(names[0])
        return found

    def _turned(self, content: dict[str, Any]) -> dict[str, Any]:
        """Return the knobs that a message turns, as `Tuner.turn` wants them."""
        choices = self._tuner.model.choices
        turned: dict[str, Any] = {}
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
        if "hours" in content:
            turned |= {"hours": str(content["hours"]), "zone": str(content.get("zone") or "UTC")}
        if "group" in content and 0 <= int(content["group"]) < len(choices.group_by):
            turned["group_by"] = choices.group_by[int(content["group"])]
        return turned

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
    return " ".join(map(sentence, parts))
