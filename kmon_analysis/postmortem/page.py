"""A postmortem as one self-contained HTML page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kmon_analysis.postmortem.content import Section, content_of
from kmon_analysis.report.templating import environment
from kmon_analysis.report.words import clean

if TYPE_CHECKING:
    from kmon_analysis.postmortem.run import Postmortem

__all__ = ["render_page"]

# Bytes for all pictures together: the page is mailed and attached to tickets.
PICTURES = 2_300_000


@dataclass(frozen=True, slots=True)
class Picture:
    """One figure of the page; `svg` is empty where it was left out for size."""

    svg: str
    caption: str


def render_page(made: Postmortem) -> str:
    """Write the page.

    Returns
    -------
    str
        An HTML document without references to other places. Its one script sorts tables; all can be read without it.
    """
    content = content_of(made)
    pictures, left = {}, PICTURES
    for place, section in enumerate(content.sections):
        if section.drawn:
            picture = _picture(made, section, place)
            fits = len(picture.svg) <= left
            left -= len(picture.svg) if fits else 0
            pictures[section.rule] = picture if fits else Picture("", picture.caption)
    page = environment("kmon_analysis.postmortem").get_template("postmortem.html.j2")
    return page.render(content=content, pictures=pictures)


def _picture(made: Postmortem, section: Section, place: int) -> Picture:
    from kmon_analysis.postmortem.picture import story_figure
    from kmon_analysis.report.figure import svg_text

    figure = story_figure(made, section.rule)
    alt = (
        f"{clean(section.rule)} around the incident: the compared value with its threshold, the incident shaded, "
        f"the alert's states below. {clean(section.headline)}"
    )
    return Picture(
        svg_text(figure, f"p{place}", alt=alt),
        "What the rule compares for the alerts that the incident concerns, its threshold, the incident (shaded), and "
        "below it when they were pending and firing. Its axis says which time it is.",
    )
