"""Buttons for a review in a notebook: one question at a time, with its picture and links."""

from __future__ import annotations

import html
from functools import partial
from typing import TYPE_CHECKING, Any

from kmon_analysis.errors import KmonError, SettingError
from kmon_analysis.labelling.review import decision_of
from kmon_analysis.report.asked import facts, links
from kmon_analysis.report.figure import img_html, png_bytes
from kmon_analysis.report.words import clean, count
from kmon_analysis.tabular import html_list
from kmon_analysis.timing import format_instant

if TYPE_CHECKING:
    from kmon_analysis.explore.review import Review

__all__ = ["Buttons", "widgets_here"]


def widgets_here() -> bool:
    """Tell whether the extra ``[lab]`` is installed."""
    from importlib.util import find_spec

    return find_spec("ipywidgets") is not None


class Buttons:
    """The widget of a review.

    Attributes
    ----------
    box : VBox
        To be displayed.
    at : int or None
        Number of the question that is shown; None at the end.
    """

    def __init__(self, review: Review) -> None:
        if not widgets_here():
            raise SettingError("ipywidgets is not installed", cure='Install it with: pip install "kmon-analysis[lab]"')
        import ipywidgets as w

        self.review = review
        self.at: int | None = review.current

        # Each has a layout of its own: what hides one must not hide all.
        def wide() -> Any:
            return w.Layout(width="100%", max_width="60em")

        self.progress = w.HTML()
        self.unmatched = w.HTML(html_list(review.unmatched) if review.unmatched else "", layout=wide())
        self.unmatched.layout.display = "" if review.unmatched else "none"
        self.facts = w.HTML(layout=wide())
        # Widgets have a margin of two pixels.
        self.picture = w.HTML(layout=w.Layout(width="calc(100% - 4px)", max_width="900px"))
        self.links = w.HTML()
        self.id = w.Text(description="Id", layout=wide())
        self.start = w.Text(description="Start", layout=wide())
        self.end = w.Text(description="End", layout=wide())
        self.labels = w.Text(description="Labels", placeholder="none: all", layout=wide())
        self.note = w.Text(description="Note", placeholder="cause, reason, or why it is noise", layout=wide())
        self.must_page = w.Checkbox(
            value=True, description="A rule must page for it (incidents)", indent=False, layout=wide()
        )
        self.alike = w.Checkbox(value=False, indent=False, layout=wide())
        self.buttons = {
            "incident": w.Button(description="Incident", tooltip="It was an incident that the list did not know"),
            "expected": w.Button(description="Expected", tooltip="A planned event: pages in this time do not count"),
            "noise": w.Button(description="Noise", tooltip="Nothing happened: stays a false page, not asked again"),
            "skip": w.Button(description="Skip", tooltip="Leave it for another time"),
            "back": w.Button(description="Back", tooltip="Take back the last answer, in the file as well"),
        }
        for name, button in self.buttons.items():
            button.on_click(partial(self._pressed, name))
        self.message = w.HTML()
        self.fields = w.VBox([self.id, self.start, self.end, self.labels, self.note, self.must_page, self.alike])
        row = w.HBox(list(self.buttons.values()), layout=w.Layout(flex_flow="row wrap"))
        shown = [self.unmatched, self.progress, self.facts, self.picture, self.links, self.fields, row, self.message]
        self.box = w.VBox(shown)
        self.box.add_class("kmon-review")
        self.show()

    def show(self) -> None:
        """Show the question at hand, or what the answers changed."""
        review, total = self.review, len(self.review)
        for each in (self.picture, self.fields, self.links):
            each.layout.display = "none" if self.at is None else ""
        for name, button in self.buttons.items():
            button.disabled = self.at is None and name != "back"
        if self.at is None:
            self.progress.value = f"<strong>All {total} questions are answered.</strong>"
            sentences = "".join(f"<li>{html.escape(each.sentence)}</li>" for each in review.effects())
            self.facts.value = f"<ul>{sentences}</ul>"
            return
        session, place = review.session, self.at
        asked = session.question(place)
        self.progress.value = f"<strong>{place} of {total}</strong>"
        rows = "".join(
            '<tr><th style="text-align:left;vertical-align:top;white-space:nowrap;padding-right:1em">'
            f"{html.escape(term)}</th>"
            f'<td style="text-align:left;overflow-wrap:anywhere">{html.escape(text)}</td></tr>'
            for term, text in facts(session, place, review.zone)
        )
        self.facts.value = f"<table>{rows}</table>"
        alt = f"What {clean(asked.rule)} compared around the page of question {place}"
        self.picture.layout.display = "none" if asked.ruleless else ""
        self.picture.value = "" if asked.ruleless else img_html(png_bytes(review.plot(place), dpi=110), alt)
        self.links.value = " · ".join(
            f'<a href="{html.escape(address, quote=True)}" style="text-decoration:underline" target="_blank" '
            'rel="noopener noreferrer">'
            f"{html.escape(name)}</a>"
            for name, address in links(session, place, review.where)
        )
        self.id.value = session.proposed_id(place)
        self.start.value = format_instant(asked.breach.start_ms)
        self.end.value = format_instant(asked.breach.end_ms)
        self.labels.value = str(asked.labels) if asked.labels else ""
        self.note.value = ""
        self.must_page.value = asked.suggestion is None or asked.suggestion.must_page
        like_it = len(session.alike(place))
        self.alike.value = False
        self.alike.description = f"Say the same of {count(like_it, 'question')} like it (expected, noise)"
        self.alike.layout.display = "" if like_it else "none"

    def _pressed(self, name: str, _: Any = None) -> None:
        """Do what a button says; a refusal is shown and changes nothing."""
        try:
            self.message.value = f'<span role="status">{html.escape(self._done(name))}</span>'
        except KmonError as error:
            sentences = ". ".join(line.strip() for line in str(error).splitlines())
            self.message.value = f'<span role="alert">{html.escape(sentences)}</span>'
            return
        self.show()

    def _done(self, name: str) -> str:
        review = self.review
        if name == "back":
            self.at = review.back()
            return f"Question {self.at} is open again."
        if self.at is None:
            return ""
        place = self.at
        if name == "skip":
            review.skip(place)
        else:
            review.answer(place, decision_of(name), **self._said(name))
        self.at = review.current
        return f"Question {place}: {name}."

    def _said(self, decision: str) -> dict[str, Any]:
        """Return what the fields say, as far as it differs from what is proposed."""
        asked = self.review[self.at or 0]
        breach = asked.breach
        said: dict[str, Any] = {"note": self.note.value.strip()}
        if self.labels.value.strip() != (str(asked.labels) if asked.labels else ""):
            said["labels"] = self.labels.value
        if decision == "incident":
            said |= {"id": self.id.value, "must_page": self.must_page.value}
        else:
            said["all_alike"] = self.alike.value
        for key, field, own in (("start", self.start, breach.start_ms), ("end", self.end, breach.end_ms)):
            if field.value.strip() not in ("", format_instant(own)):
                said[key] = field.value
        return said
