"""The look of every picture: colours, type, scales, and how a figure becomes SVG or PNG.

Imports matplotlib only inside functions; never pyplot, so that nothing is shared or left behind.
"""

from __future__ import annotations

import html
import io
import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from kmon_analysis.report.words import clean, compact, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "ACCEPTED_DASH",
    "BAND",
    "CURRENT",
    "DARK_STYLE",
    "FALSE",
    "INK",
    "LINES",
    "MARKS",
    "MUTED",
    "PAPER",
    "PROPOSED",
    "TRUE",
    "Panel",
    "Scale",
    "alt_text",
    "drawable",
    "img_html",
    "inches",
    "note",
    "png_bytes",
    "scale_for",
    "set_scale",
    "set_title",
    "size_for",
    "stacked",
    "styled",
    "svg_text",
    "text_width",
    "wrapped",
]

P = ParamSpec("P")
R = TypeVar("R")

# Okabe and Ito's palette: told apart with any colour vision. Lines also differ in dashes, areas in hatch.
INK, MUTED, FAINT, PAPER = "#1b1e23", "#626a75", "#d5d9df", "#fefefe"
CURRENT, PROPOSED, FALSE, TRUE, BAND = "#6b7a8c", "#0072b2", "#d55e00", "#009e73", "#e69f00"
# Series and incidents: none of the colours above, which have a meaning.
LINES = ("#56a0d3", "#b5579a", "#a87900", "#7466c9", "#5f9e3e", "#a0623d")
# What a team accepts is drawn like nothing else.
ACCEPTED_DASH: Any = (0, (1, 2.5))
# One to a series, at a few places of its line: dashes cannot be told apart where lines go up and down steeply.
# A shape, and whether it is filled.
MARKS = (("o", True), ("s", True), ("D", True), ("o", False), ("s", False), (">", True))
DASHES: tuple[Any, ...] = ("-", (0, (6, 1.5)), (0, (2.5, 1)), (0, (6, 1.5, 1, 1.5)), (0, (1, 1)), (0, (9, 2)))
# A notebook's picture cannot know the theme it is shown in, and themes change: where the front end says that it is
# dark, light and dark change places and hues stay. Where it says nothing, or removes styles, paper stays paper.
DARK_STYLE = """body[data-jp-theme-light="false"] img.kmon-figure, body.vscode-dark img.kmon-figure {
  filter: invert(.93) hue-rotate(180deg); border-radius: 4px; }"""
# In a page these follow the reader's light or dark scheme.
_VARIABLES = {INK: "ink", MUTED: "muted", FAINT: "line", PAPER: "paper", PROPOSED: "tuned", CURRENT: "aside"}

_STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.grid": False,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.linewidth": 0.7,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlepad": 8,
    "figure.facecolor": PAPER,
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "hatch.color": MUTED,
    "hatch.linewidth": 0.6,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.1,
    "path.simplify": True,
    "savefig.facecolor": PAPER,
    "svg.fonttype": "none",
    "svg.hashsalt": "kmon",
    "text.color": INK,
    # Foreign text may hold dollar signs: they are no mathematics.
    "text.parse_math": False,
    "text.usetex": False,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 8.5,
}


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Run a drawing function under the style of the house, whatever the user's settings are."""

    @wraps(draw)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R:
        import matplotlib as mpl

        with mpl.rc_context():
            mpl.rcdefaults()
            for key, value in _STYLE.items():
                mpl.rcParams[key] = value  # type: ignore[index,unused-ignore]
            return draw(*args, **kwargs)

    return inside


@lru_cache(maxsize=1)
def _figure_class() -> type[Figure]:
    from matplotlib.figure import Figure as Plain

    class Picture(Plain):
        """A figure that notebooks show without pyplot, with what it shows in words."""

        def _repr_png_(self) -> tuple[bytes, dict[str, Any]]:
            width, height = self.get_size_inches() * 80
            about = {"width": int(width), "height": int(height), "alt": alt_text(self)}
            return png_bytes(self, dpi=160), about

        def _repr_html_(self) -> str:
            # JupyterLab gives a bare image no words for those who cannot see it.
            picture, size = self._repr_png_()
            return img_html(picture, size["alt"], (size["width"], size["height"]))

    return Picture


def img_html(picture: bytes, alt: str, size: tuple[int, int] | None = None) -> str:
    """Write a PNG as an element that is as wide as its place allows, and dark where a notebook's theme is.

    Parameters
    ----------
    picture : bytes
        The PNG.
    alt : str
        What it shows, for those who do not see it.
    size : (int, int), optional
        Width and height in CSS pixels; None: those of the PNG.
    """
    sized = "" if size is None else f' width="{size[0]}" height="{size[1]}"'
    return (
        f'<style>{DARK_STYLE}</style><img class="kmon-figure" alt="{html.escape(alt)}"{sized} '
        f'style="max-width: 100%; height: auto" src="data:image/png;base64,{b64encode(picture).decode()}">'
    )


def note(ax: Axes, sentence: str) -> None:
    """Add a sentence to the words that stand for a picture."""
    figure = ax.get_figure()
    if figure is not None:
        figure.__dict__.setdefault("kmon_notes", []).append(sentence)


def alt_text(figure: Figure) -> str:
    """Return what a picture shows, for those who do not see it: its titles, and its series with all their labels."""
    titles = (" ".join(ax.get_title(side) for side in ("left", "center", "right")) for ax in figure.axes)
    sentences = [*(" ".join(title.split()) for title in titles), *figure.__dict__.get("kmon_notes", [])]
    return ". ".join(clean(sentence).rstrip(".") for sentence in sentences if sentence) or "Picture"


@dataclass(frozen=True, slots=True)
class Panel:
    """Heights of one axes in a stack, in inches: the axes, and the room above and below it."""

    height: float
    above: float = 0.4
    below: float = 0.55


def stacked(panels: Sequence[Panel], *, width: float = 10.2, left: float = 1.2, right: float = 2.75) -> Figure:
    """Make a figure with axes below each other, all of one width, with room for legends on the right.

    Parameters
    ----------
    panels : sequence of Panel
        From top to bottom.
    width, left, right : float
        Of the figure and its margins, in inches.

    Notes
    -----
    Laid out by hand: automatic layouts count what hangs beside an axes as its height. The figure
    belongs to no window and no global state.
    """
    total = sum(panel.above + panel.height + panel.below for panel in panels)
    figure = _figure_class()(figsize=(width, total))
    top = total
    for panel in panels:
        top -= panel.above + panel.height
        figure.add_axes((left / width, top / total, (width - left - right) / width, panel.height / total))
        top -= panel.below
    return figure


@styled
def png_bytes(figure: Figure, dpi: float = 144) -> bytes:
    """Render a figure as PNG."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=dpi, metadata={"Software": None})
    return out.getvalue()


@styled
def svg_text(figure: Figure, name: str, *, alt: str = "", dpi: float = 150) -> str:
    """Render a figure as an SVG element to stand inside an HTML page.

    Parameters
    ----------
    figure : Figure
        Anything marked as rasterised becomes an embedded picture.
    name : str
        Prefix of all identifiers, unique in the page; letters, digits and hyphens.
    alt : str
        What the picture shows, for those who do not see it.
    dpi : float
        Resolution of the embedded pictures.

    Notes
    -----
    Colours of paper, ink and grid become CSS variables, so that the picture follows the page's light
    or dark scheme. Metadata, document type and namespaces are dropped: the page names no address.
    """
    out = io.StringIO()
    figure.savefig(out, format="svg", dpi=dpi, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = out.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], count=1, flags=re.DOTALL)
    head, body = text.split(">", 1)
    head = re.sub(r'\s(?:xmlns(?::\w+)?|width|height|version)="[^"]*"', "", head)
    body = re.sub(r'(<[^<>]*?\sid=")', rf"\g<1>{name}-", body)
    body = re.sub(r"url\(#", f"url(#{name}-", body)
    body = re.sub(r'xlink:href="#', f'href="#{name}-', body)
    body = body.replace('xlink:href="data:', 'href="data:')
    for colour, variable in _VARIABLES.items():
        body = body.replace(colour, f"var(--{variable})")
    # Verdana has the same widths where DejaVu is not installed.
    body = body.replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif")
    return (
        f'{head} role="img" aria-labelledby="{name}-alt"><title id="{name}-alt">{html.escape(clean(alt))}</title>{body}'
    )


@lru_cache(maxsize=4096)
def _has_glyph(char: str) -> bool:
    from matplotlib.font_manager import findfont, get_font

    return bool(get_font(findfont("DejaVu Sans")).get_char_index(ord(char)))


def drawable(text: str) -> str:
    """Clean a text and replace what the picture's font cannot draw."""
    return "".join(char if char.isascii() or _has_glyph(char) else "\N{REPLACEMENT CHARACTER}" for char in clean(text))


def wrapped(text: str, width: int) -> str:
    """Break a sentence into lines of about equal length, never between a number and its unit."""
    import textwrap

    kept = re.sub(r"(?<=\d) (?=[a-z])|(?<=\bfor) (?=\d)", "\N{NO-BREAK SPACE}", text)
    lines = textwrap.wrap(kept, width, break_long_words=True)
    if len(lines) > 1:
        even = textwrap.wrap(kept, max(len(kept) // len(lines) + 8, 20), break_long_words=True)
        lines = even if len(even) <= len(lines) else lines
    return "\n".join(lines)


# ---- text that fits ------------------------------------------------------------------------------

# Smaller type than this is not read even on paper.
LEAST_SIZE = 4.0


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Return the width of the widest line of a text, in points."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal")))
    font.set_size(size, 72)
    widths = []
    for line in text.split("\n"):
        font.set_text(line, 0.0)
        widths.append(font.get_width_height()[0] / 64)
    return max(widths)


def size_for(texts: Sequence[str], size: float, width: float, *, bold: bool = False) -> float:
    """Return the size at which texts are no wider than `width` points; never below what can be read."""
    widest = max((text_width(text, size, bold=bold) for text in texts), default=0.0)
    return size if widest <= width else max(LEAST_SIZE, size * width / widest)


def inches(ax: Axes, *, beside: bool = False) -> float:
    """Return the width of an axes in inches, or that of the room to its right."""
    place = ax.get_position()
    return float(ax.figure.figure.get_figwidth()) * float(1 - place.x1 if beside else place.width)


def set_title(ax: Axes, text: str, characters: int, *, pad: float = 8) -> None:
    """Write a title over an axes, in as many lines as it needs and in type that leaves room for them."""
    width, size = 72.0 * inches(ax) * 1.3, 10.5
    shown = wrapped(drawable(text), characters)
    widest = text_width(shown, size, bold=True)
    if widest > width:
        shown = wrapped(drawable(text), max(20, int(characters * width / widest)))
    lines = shown.count("\n") + 1
    size = min(size_for([shown], size, width, bold=True), size * 2 / max(lines, 2))
    ax.set_title(shown, pad=pad, fontsize=max(size, LEAST_SIZE))


# ---- scales -------------------------------------------------------------------------------------

# Room of the linear part of a symmetric logarithm in decades, and as matplotlib's transform uses it.
_LINEAR_SCALE = 0.6
_LINEAR_SHARE = _LINEAR_SCALE / (1 - 1 / 10)
_FURTHEST = 1e12
# No axis tells values apart that are nearer to each other, and their logarithms would underflow.
_TINY = 1e-290


@dataclass(frozen=True)
class Scale:
    """An axis over values.

    Attributes
    ----------
    kind : {"linear", "log", "symlog"}
        Kind of scale; "symlog" is linear up to `linear_to` on both sides of zero.
    low, high : float
        Limits, with a little air.
    linear_to : float
        Only for "symlog".
    """

    kind: str
    low: float
    high: float
    linear_to: float = 1.0

    @property
    def note(self) -> str:
        """What a reader must know about the scale; empty for a linear one."""
        if self.kind == "linear":
            return ""
        return "log scale" if self.kind == "log" else f"log scale, linear below {number(self.linear_to)}"

    def bounds(self, pixels: int) -> npt.NDArray[np.float64]:
        """Return the values between which the pixels of the axis lie, shape (pixels + 1,)."""
        if self.kind == "log":
            return np.geomspace(self.low, self.high, pixels + 1)
        if self.kind == "linear":
            return np.linspace(self.low, self.high, pixels + 1)
        places = np.linspace(self._forward(self.low), self._forward(self.high), pixels + 1)
        linear = np.abs(places) <= _LINEAR_SHARE
        grown = np.sign(places) * self.linear_to * 10.0 ** (np.abs(places) - _LINEAR_SHARE)
        bounds: npt.NDArray[np.float64] = np.where(linear, places / _LINEAR_SHARE * self.linear_to, grown)
        bounds[0], bounds[-1] = self.low, self.high
        return bounds

    def places(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return where values lie on the axis, 0 at its low end and 1 at its high one; NaN stays NaN."""
        if self.kind == "log":
            with np.errstate(divide="ignore", invalid="ignore"):
                shown = np.log(np.maximum(values, 0.0))
            ends = np.log(self.low), np.log(self.high)
        elif self.kind == "symlog":
            share = np.abs(values) / self.linear_to
            with np.errstate(divide="ignore"):
                far = _LINEAR_SHARE + np.log10(share)
            shown = np.sign(values) * np.where(share <= 1, _LINEAR_SHARE * share, far)
            ends = self._forward(self.low), self._forward(self.high)
        else:
            shown, ends = values, (self.low, self.high)
        places: npt.NDArray[np.float64] = (shown - ends[0]) / (ends[1] - ends[0])
        return places

    def _forward(self, value: float) -> float:
        share = abs(value) / self.linear_to
        length = _LINEAR_SHARE * share if share <= 1 else _LINEAR_SHARE + np.log10(share)
        return float(np.sign(value) * length)


def scale_for(low: float, high: float, least_positive: float, marks: Sequence[float]) -> Scale:
    """Choose a scale on which both the range and the marked values can be read.

    Parameters
    ----------
    low, high : float
        Range of the values; NaN where there are none.
    least_positive : float
        Smallest value above zero; NaN where there is none.
    marks : sequence of float
        Thresholds and other values that must lie on the axis.

    Notes
    -----
    Linear unless a mark would sit in the lowest twentieth of the axis. The logarithm begins two decades
    below the smallest mark: what lies lower is drawn linearly, zero included.
    """
    given = [mark for mark in marks if np.isfinite(mark)]
    known = [*given, *(value for value in (low, high) if np.isfinite(value))]
    if not known:
        return Scale("linear", 0.0, 1.0)
    bottom, top = min(known), max(known)
    if top - bottom <= _TINY:
        air = abs(bottom) * 0.1 if abs(bottom) > _TINY else 1.0
        return Scale("linear", bottom - air, top + air)
    smallest = min((abs(mark) for mark in given if abs(mark) > _TINY), default=0.0)
    if not given and np.isfinite(least_positive) and top > 1000 * max(least_positive, _TINY):
        smallest = top / 1000
    if not smallest or max(top, -bottom) < 20 * smallest:
        air = 0.04 * (top - bottom)
        return Scale("linear", bottom if bottom == 0 else bottom - air, top + air)
    # Beyond that many decades nothing can be read any more, and the ticks would overflow.
    bottom, top = max(bottom, -_FURTHEST * smallest), min(top, _FURTHEST * smallest)
    floor: float = 10.0 ** np.floor(np.log10(smallest / 10))
    if bottom >= floor:
        return Scale("log", bottom / 1.15, top * 1.3)
    return Scale("symlog", min(bottom * 1.3, 0.0), max(top * 1.3, 0.0), floor)


def set_scale(ax: Axes, axis: str, scale: Scale) -> None:
    """Apply a scale to an axis ("x" or "y"), with plain numbers on its ticks."""
    from matplotlib import ticker

    which = ax.xaxis if axis == "x" else ax.yaxis
    set_kind = ax.set_xscale if axis == "x" else ax.set_yscale
    # Limits of its own choice would overflow for values near the largest float.
    (ax.set_autoscalex_on if axis == "x" else ax.set_autoscaley_on)(False)
    if scale.kind == "symlog":
        set_kind("symlog", linthresh=scale.linear_to, linscale=_LINEAR_SCALE)
    elif scale.kind == "log":
        set_kind("log")
    (ax.set_xlim if axis == "x" else ax.set_ylim)(scale.low, scale.high)
    if scale.kind == "symlog":
        furthest = max(scale.high, -scale.low)
        decades = scale.linear_to * 10.0 ** np.arange(np.ceil(np.log10(furthest / scale.linear_to)) + 1)
        step = 1 if len(decades) <= 7 else 2
        major = np.concatenate([-decades[::step], [0.0], decades[::step]])
        minor = np.outer(decades, np.arange(2, 10)).ravel()
        which.set_major_locator(ticker.FixedLocator(_within(scale, major)))
        which.set_minor_locator(ticker.FixedLocator(_within(scale, np.concatenate([-minor, minor]))))
    elif scale.kind == "log":
        decades = np.log10(scale.high / scale.low)
        subs = (1.0, 2.0, 5.0) if decades < 2.5 else (1.0,)
        which.set_major_locator(ticker.LogLocator(subs=subs, numticks=12))
    which.set_major_formatter(ticker.FuncFormatter(lambda value, _: compact(value)))
    which.set_minor_formatter(ticker.NullFormatter())


def _within(scale: Scale, values: npt.NDArray[np.float64]) -> list[float]:
    kept: list[float] = values[(values >= scale.low) & (values <= scale.high)].tolist()
    return kept
