"""Tables as aligned text and as escaped HTML: in notebooks, in pages, on the terminal."""

from __future__ import annotations

import base64
import hashlib
import html
import math
import re
import textwrap
from collections.abc import Collection, Sequence
from typing import Self

from kmon_analysis.errors import printable
from kmon_analysis.timing import duration

__all__ = [
    "MOST_ROWS",
    "SORT_SCRIPT",
    "SORT_SOURCE",
    "TABLE_STYLE",
    "Cell",
    "counted",
    "hanging",
    "html_list",
    "html_table",
    "length_cell",
    "shortened",
    "shortened_cell",
    "text_lines",
    "text_table",
]

# What a repr shows at most: a notebook is saved with its outputs.
MOST_ROWS = 100
LONGEST_CELL = 300
LONGEST_SENTENCE = 900
# Never broken: as long as an instant.
SHORT_CELL = 20
LONGEST_TEXT = 80
_LONGEST_NAME = 40
# So many words are a sentence.
_WORDS = 5
# From so many columns on, a table with little room puts its cells one below another.
MANY, VERY_MANY = 4, 7
_CODE = re.compile(r"\w\(|[{}\[\]]")
_SELECTOR = re.compile(r"\{[^{}]*\}")
# A line is broken behind these before a word is broken anywhere; none of them stands in an escaped character.
_SEAM = re.compile(r"(?<=[A-Za-z0-9][_./,{])(?=[A-Za-z0-9])")
_LONG_WORD = re.compile(r"\S{16,}")
NOTHING = "–"
# Foreign text may hold dollar signs, which notebooks would set as formulas: MathJax 3, and 2 in older front ends.
NO_MATHEMATICS = "mathjax_ignore tex2jax_ignore"
_NUMBER = re.compile(r"[−+-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[+-]?\d+)?")

# Buttons are made by the script, so that without it the header holds no button that does nothing.
SORT_SCRIPT = """(() => {
for (const table of document.querySelectorAll("table.kmon[data-sort]")) {
  table.removeAttribute("data-sort");
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const bodies = [...table.tBodies];
      const parts = bodies.length > 1 ? bodies : [...bodies[0].rows];
      const key = part => {
        const cell = (part.cells || part.rows[0].cells)[column];
        return cell.dataset.key === undefined ? cell.textContent.trim() : cell.dataset.key;
      };
      const order = (a, b) => {
        if (a === "" || b === "") return (a === "") - (b === "");
        const numbers = [Number(a), Number(b)];
        if (!numbers.some(Number.isNaN)) return sign * (numbers[0] - numbers[1] || 0);
        return sign * a.localeCompare(b, "en", {numeric: true});
      };
      const keyed = parts.map(part => [key(part), part]).sort((a, b) => order(a[0], b[0]));
      keyed.forEach(([, part]) => part.parentNode.insertBefore(part, bodies.length > 1 ? table.tFoot : null));
    });
  });
}
})();"""
# What a page's Content-Security-Policy says of the script.
SORT_SOURCE = f"'sha256-{base64.b64encode(hashlib.sha256(SORT_SCRIPT.encode()).digest()).decode()}'"

# A table with little room: smaller, and heads of several words in as many lines.
_TIGHT = """TABLE { font-size: .8rem; } TABLE thead th { white-space: normal; }
TABLE th, TABLE td { padding-left: .25rem; padding-right: .25rem; }
TABLE tbody :is(th, td):not([class]) { min-width: 7rem; }"""
# A table without room for its columns: each cell a line, with the name of its column before it.
_STACKED = """TABLE, TABLE :is(caption, thead, tbody, tfoot, tr, th, td) { display: block; }
TABLE caption { white-space: normal; }
TABLE :is(tbody, tfoot) :is(th, td) { display: flow-root; max-width: none; min-width: 0; white-space: normal;
  padding: .1rem 0 .1rem 8.5rem; border: 0; }
TABLE.kmon :is(th, td, .n) { text-align: left; }
TABLE :is(tbody, tfoot) :is(th, td)::before { content: var(--head); float: left; width: 8rem;
  margin-left: -8.5rem; font-weight: 400; opacity: .75; }
TABLE :is(tbody, tfoot) :is(td:empty, td.below) { padding-left: 0; }
TABLE :is(tbody, tfoot) td:empty { display: none; }
TABLE td.below.below::before { content: none; }
TABLE tbody th { font-weight: 600; }
TABLE tbody tr { border-top: 1px solid rgb(128 128 128 / .5); padding: .4rem 0; }
TABLE tbody tr.below { border-top: 0; padding-top: 0; }
TABLE thead tr { display: flex; flex-wrap: wrap; gap: 0 1rem; }
TABLE thead :is(th, td) { border: 0; padding: 0; min-width: 0; }"""
# A shadow at an edge says that a table goes on there; what scrolls with the table covers it at the end.
# Twice the class where JupyterLab's own rule for tables (all flush right) would win.
TABLE_STYLE = (
    """table.kmon { border-collapse: collapse; font-variant-numeric: tabular-nums; }
table.kmon caption { text-align: left; font-weight: 600; padding: 0 0 .3rem; color: inherit; caption-side: top; }
table.kmon tbody :is(th, td):not([class]) { min-width: 10rem; }
table.kmon.kmon th, table.kmon.kmon td { text-align: left; }
table.kmon th, table.kmon td { vertical-align: top; overflow-wrap: anywhere; max-width: 26rem; }
table.kmon .n { white-space: nowrap; }
table.kmon.kmon .n { text-align: right; }
table.kmon .s { white-space: nowrap; }
table.kmon tbody th, table.kmon tfoot th { font-weight: 500; }
table.kmon thead th { vertical-align: bottom; overflow-wrap: normal; white-space: normal; }
"""
    + "\n".join(f"table.kmon tr > :nth-child({column}) {{ --head: var(--c{column}); }}" for column in range(1, 13))
    + """
table.kmon td.below { max-width: none; white-space: normal; padding-bottom: .8rem; }
table.kmon td.below > div { max-width: min(46rem, 100cqw - 1rem); position: sticky; left: 0; }
table.kmon button { font: inherit; color: inherit; background: none; border: 0; margin: 0; padding: .1rem 1em .1rem 0;
  text-align: inherit; cursor: pointer; min-height: 1.5rem; position: relative; }
table.kmon .n button { padding: .1rem 0 .1rem 1em; }
table.kmon button:hover { text-decoration: underline; }
table.kmon button:focus-visible { outline: 2px solid currentColor; outline-offset: 2px; }
table.kmon button::after { content: "\\2195"; opacity: .55; position: absolute; right: 0; bottom: .1rem; width: .8em;
  text-align: center; }
table.kmon .n button::after { right: auto; left: 0; }
table.kmon [aria-sort=ascending] button::after { content: "\\2191"; opacity: 1; }
table.kmon [aria-sort=descending] button::after { content: "\\2193"; opacity: 1; }
.kmon-place { overflow-x: auto; max-width: 100%; }
.kmon-place, .wide { container-type: inline-size; --kmon-under: var(--jp-layout-color0, var(--paper, #fff));
  background: linear-gradient(to right, var(--kmon-under) 40%, transparent) left / 2.5rem 100% no-repeat local,
    linear-gradient(to left, var(--kmon-under) 40%, transparent) right / 2.5rem 100% no-repeat local,
    linear-gradient(to right, rgb(128 128 128 / .5), transparent) left / .7rem 100% no-repeat scroll,
    linear-gradient(to left, rgb(128 128 128 / .5), transparent) right / .7rem 100% no-repeat scroll; }
"""
    + "\n".join(
        f"@media screen {{ @container (max-width: {width}) {{ {style.replace('TABLE', f'table.kmon.{kind}')} }} }}"
        for kind, style, width in (
            ("many", _TIGHT, "44rem"),
            ("very-many", _TIGHT, "56rem"),
            ("many", _STACKED, "36rem"),
            ("very-many", _STACKED, "44rem"),
        )
    )
    + """
@media print { table.kmon button { padding: 0; } table.kmon button::after { content: ""; }
  .kmon-place, .wide { overflow: visible; background: none; } }"""
)


def counted(items: int, noun: str, plural: str | None = None) -> str:
    """Write a number with its noun.

    Examples
    --------
    >>> counted(1, "incident"), counted(1_200, "incident"), counted(0, "series", "series")
    ('1 incident', '1,200 incidents', '0 series')
    """
    return f"{items:,} {noun if items == 1 else plural or noun + 's'}"


class Cell(str):
    """A text with the value that a table is sorted by where the text would sort wrongly.

    Parameters
    ----------
    text : str
        What is shown.
    key : float or None
        What it stands for, for example milliseconds; None and NaN: nothing, which is sorted last.

    Examples
    --------
    >>> Cell("2 min", 120_000) == "2 min"
    True
    """

    key: float | None

    def __new__(cls, text: str, key: float | None) -> Self:
        """Keep the key beside the text."""
        made = super().__new__(cls, text)
        made.key = key
        return made


def shortened(text: str, longest: int) -> str:
    """Cut the middle out of a long text.

    Examples
    --------
    >>> shortened("user-registered-events", 13)
    'user-r…events'
    """
    if len(text) <= longest:
        return text
    tail = (longest - 1) // 2
    return f"{text[: longest - 1 - tail]}…{text[len(text) - tail :]}"


def shortened_cell(text: str, longest: int, sentence: int = LONGEST_SENTENCE) -> str:
    """Cut the middle out of a long name or value; a sentence is kept whole, and loses its end where it is far too long.

    Examples
    --------
    >>> shortened_cell("user-registered-events", 13)
    'user-r…events'
    >>> shortened_cell("at this hour ordinarily at most 74", 13), shortened_cell("at this hour at most 74", 13, 14)
    ('at this hour ordinarily at most 74', 'at this hour…')
    """
    if len(text) <= longest:
        return text
    outside = _SELECTOR.sub("", text)
    words = [word for word in outside.split() if word.strip("(),;:.").isalpha()]
    # Names hold few spaces, PromQL calls and brackets; and a word longer than any language's is no prose.
    if len(words) < _WORDS or max(map(len, text.split())) > longest or _CODE.search(outside):
        return shortened(text, longest)
    if len(text) <= sentence:
        return text
    kept = text[:sentence].rsplit(maxsplit=1)[0]
    return f"{kept}…"


def text_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: int = 1,
    most: int | None = None,
    longest: int = LONGEST_TEXT,
) -> str:
    """Align a table for a terminal; the first `left` columns are set flush left, the others right.

    Parameters
    ----------
    header, rows : sequences of str
        What is shown; very long names and values lose their middle, sentences beyond `LONGEST_CELL` their end.
    left : int
        Columns of words.
    most : int, optional
        Rows shown at most; a last line says how many there are beyond.
    longest : int
        Characters of a name or value; raise it where the last column tells rows apart.

    Examples
    --------
    >>> print(text_table(["rule", "pages"], [["HighConsumerLag", "7"]]))
    rule             pages
    HighConsumerLag      7
    """
    shown = rows if most is None else rows[:most]
    table = [[shortened_cell(printable(cell), longest) for cell in row] for row in [header, *shown]]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    lines = []
    for row in table:
        cells = [
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    if len(shown) < len(rows):
        lines.append(_beyond(len(rows) - len(shown)))
    return "\n".join(lines)


def html_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    caption: str = "",
    left: int | Collection[int] = 1,
    grouped: bool = False,
    footer: int = 0,
    sortable: bool = True,
    most: int | None = None,
    bare: bool = False,
    below: Sequence[str] = (),
) -> str:
    """Write a table as HTML that can be sorted by its column heads; everything in it is escaped.

    Parameters
    ----------
    header, rows : sequences of str
        What is shown; a `Cell` is sorted by its key, other cells as numbers where they are, else as text.
    caption : str
        What the table shows.
    left : int or collection of int
        Columns of words (a number: the first ones); the others are set flush right.
    grouped : bool
        Rows with an empty first cell belong to the row before, and stay with it when sorted.
    footer : int
        Last rows that are totals, and stay last.
    sortable : bool
        Whether the heads become buttons (where scripts run).
    most : int, optional
        Rows shown at most; a last row says how many there are beyond.
    bare : bool
        Without `TABLE_STYLE` and `SORT_SCRIPT`, for a page that holds them once.
    below : sequence of str
        A sentence for each row, to stand under it as wide as the table.

    Notes
    -----
    Buttons by the pattern of the ARIA Authoring Practices for sortable tables: ``aria-sort`` on the head, a
    ``button`` inside.
    """
    words = set(range(left)) if isinstance(left, int) else set(left)
    shown = list(rows if most is None else rows[:most])
    body, foot = shown[: len(shown) - footer], shown[len(shown) - footer :]
    parts: list[list[str]] = []
    for place, row in enumerate(body):
        if not parts or below or (grouped and row[0]):
            parts.append([])
        parts[-1].append(_row(row, words))
        if below:
            sentence = f'<td class="below" colspan="{len(header)}"><div>{_escaped(below[place])}</div></td>'
            parts[-1].append(f'<tr class="below">{sentence}</tr>')
    groups = "".join(f"<tbody>{''.join(part)}</tbody>" for part in parts) or "<tbody></tbody>"
    last = "".join(_row(row, words) for row in foot)
    if len(shown) < len(rows):
        last += f'<tr><td colspan="{len(header)}">{_beyond(len(rows) - len(shown))}</td></tr>'
    heads = "".join(_head(name, column in words) for column, name in enumerate(header))
    titled = f"<caption>{_escaped(caption)}</caption>" if caption else ""
    sort = " data-sort" if sortable and len(parts) + len(body) > 2 and all(header) else ""
    size = " very-many" if len(header) >= VERY_MANY else " many" if len(header) >= MANY else ""
    table = (
        f'<table class="kmon{size} {NO_MATHEMATICS}"{sort}{_named(header)}>'
        f"{titled}<thead><tr>{heads}</tr></thead>{groups}"
        f"{f'<tfoot>{last}</tfoot>' if last else ''}</table>"
    )
    if bare:
        return table
    script = f"<script>{SORT_SCRIPT}</script>" if sort else ""
    # Wider than its cell, it scrolls by mouse and, because it can have the focus, by keyboard.
    named = f' role="region" aria-label="{html.escape(shortened(printable(caption), LONGEST_CELL))}"' if caption else ""
    wide = f'<div class="kmon-place" tabindex="0"{named}>{table}</div>'
    return f"<style>{TABLE_STYLE}</style>{wide}{script}"


def hanging(first: str, text: str, width: int) -> list[str]:
    """Set a text behind what its first line begins with, in lines of whole words.

    Examples
    --------
    >>> hanging("id  ", "topic=user.registered, group=a", 26)
    ['id  topic=user.registered,', '    group=a']
    """
    indent = " " * len(first)
    lines = textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return lines or [first.rstrip()]


def text_lines(items: Sequence[str], *, most: int = MOST_ROWS) -> list[str]:
    """Return sentences as lines for a terminal, the first ones where there are too many."""
    shown = [printable(item, lines=True) for item in items[:most]]
    return shown + ([f"… and {len(items) - most:,} more"] if len(items) > most else [])


def html_list(items: Sequence[str], *, most: int = MOST_ROWS) -> str:
    """Write sentences as a list in HTML, escaped; nothing where there are none."""
    lines = "".join(f"<li>{html.escape(line)}</li>" for line in text_lines(items, most=most))
    return f'<ul class="{NO_MATHEMATICS}" style="overflow-wrap: anywhere">{lines}</ul>' if lines else ""


def length_cell(length_ms: float | None) -> Cell:
    """Write a duration for reading, and sort it by its length.

    Examples
    --------
    >>> length_cell(90_000), length_cell(None)
    ('1 min 30 s', '–')
    """
    if length_ms is None or math.isnan(length_ms):
        return Cell(NOTHING, None)
    return Cell(duration(length_ms), length_ms)


def _beyond(count: int) -> str:
    return f"… and {count:,} more: to_frame() has all"


def _head(name: str, left: bool) -> str:
    if not name:
        return "<td></td>"
    kind = "" if left else ' class="n"'
    return f'<th scope="col"{kind}>{_escaped(name)}</th>'


def _named(header: Sequence[str]) -> str:
    """Write the names of columns once, as strings of CSS: a name at each cell would double a long table."""
    if len(header) < MANY:
        return ""
    names = (
        printable(name) if len(name) <= _LONGEST_NAME else shortened(printable(name), _LONGEST_NAME) for name in header
    )
    quoted = (re.sub(r"[\\'\n]", lambda char: f"\\{ord(char[0]):x} ", name) for name in names)
    written = "; ".join(f"--c{column}: '{name}'" for column, name in enumerate(quoted, 1) if name)
    return f' style="{html.escape(written)}"'


def _row(row: Sequence[str], words: Collection[int]) -> str:
    cells = []
    for column, cell in enumerate(row):
        tag = 'th scope="row"' if column == 0 and cell else "td"
        kind = ' class="n"' if column not in words else ' class="s"' if len(cell) <= SHORT_CELL else ""
        key = _key(cell)
        keyed = "" if key is None else f' data-key="{key}"'
        cells.append(f"<{tag}{kind}{keyed}>{_escaped(cell)}</{tag[:2]}>")
    return f"<tr>{''.join(cells)}</tr>"


def _escaped(text: str) -> str:
    shown = html.escape(shortened_cell(printable(text, lines=True), LONGEST_CELL))
    # What is never broken, an instant for example, must hold no place to break at.
    if len(text) > SHORT_CELL:
        shown = _LONG_WORD.sub(lambda word: _SEAM.sub("<wbr>", word[0]), shown)
    return f"<bdi>{shown}</bdi>" if not shown.isascii() else shown


def _key(cell: str) -> str | None:
    """Return what a cell is sorted by; None: by its text."""
    if isinstance(cell, Cell):
        return "" if cell.key is None or math.isnan(cell.key) else f"{cell.key:.17g}".replace("inf", "Infinity")
    if cell in ("", NOTHING):
        return ""
    if _NUMBER.fullmatch(cell):
        return cell.replace(",", "").replace("−", "-")
    return {"∞": "Infinity", "−∞": "-Infinity"}.get(cell)
