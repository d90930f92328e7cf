"""A postmortem as GitHub-flavoured Markdown, to paste into an issue or a wiki."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kmon_analysis.postmortem.content import Section, content_of
from kmon_analysis.report.tables import Table
from kmon_analysis.report.words import clean

if TYPE_CHECKING:
    from kmon_analysis.postmortem.run import Postmortem

__all__ = ["code", "markdown", "plain"]

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~&$])")
# What begins a heading, a list or a quotation, where it stands first.
_FIRST = re.compile(r"^(?:(#+(?=\s|$)|[+-](?=[\s-]|$)|=(?==*$))|(\d+)([.)])(?=\s|$))")
# What GitHub turns into links and mentions by itself, wherever it stands: an empty comment breaks it up.
_LINKING = re.compile(r"(?i)(@|#|://|www\\?\.|gh\\?-)(?=\w)")
_BREAK = "<!-- -->"


def plain(text: str) -> str:
    r"""Write a foreign text so that it shows as it is: no markup, no link, no mention.

    Examples
    --------
    >>> plain("a|b <i> @team")
    'a\\|b \\<i\\> @<!-- -->team'
    """
    line = " ".join(clean(text, lines=True).split())
    parts, position = [], 0
    for match in _LINKING.finditer(line):
        parts += [_SPECIAL.sub(r"\\\1", line[position : match.end()]), _BREAK]
        position = match.end()
    written = "".join([*parts, _SPECIAL.sub(r"\\\1", line[position:])])
    return _FIRST.sub(lambda found: f"\\{found[1]}" if found[1] else f"{found[2]}\\{found[3]}", written)


def code(text: str) -> str:
    r"""Write a foreign text as code, with a fence that is longer than any in it.

    Examples
    --------
    >>> code("a`b"), code("a|b")
    ('``a`b``', '`a\\|b`')
    """
    line = " ".join(clean(text).split(" ")) or " "
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    edge = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{edge}{line.replace('|', chr(92) + '|')}{edge}{fence}"


def markdown(made: Postmortem) -> str:
    """Write a postmortem as Markdown.

    Notes
    -----
    Foreign text is escaped character by character, the rules' expressions stand in fenced blocks.
    """
    content = content_of(made)
    lines = [f"# {plain(content.title)}", "", f"**{plain(content.lead)}**", ""]
    lines += [f"- {plain(name)}: {plain(value)}" for name, value in content.facts]
    lines += ["", *_table(content.timeline), *_table(content.rules)]
    for section in content.sections:
        lines += _section(section)
    lines += ["## What the data cannot say", "", *(f"- {plain(text)}" for text in content.unknown), ""]
    lines += ["## Provenance", "", *(f"- {plain(name)}: {plain(value)}" for name, value in content.provenance), ""]
    return "\n".join(lines)


def _section(section: Section) -> list[str]:
    lines = [f"## {plain(section.rule)}", "", f"**{plain(section.verdict)}**: {plain(section.headline)}", ""]
    if section.expression:
        lines += [*_block(section.expression), ""]
    if section.values:
        lines += [plain(section.values), ""]
    for note in section.notes:
        lines += [plain(note), ""]
    if section.timeline is not None:
        lines += _table(section.timeline)
    if section.sooner_notes or section.sooner is not None:
        lines += ["### What would have paged sooner", ""]
    lines += [line for note in section.sooner_notes for line in (plain(note), "")]
    return lines + (_table(section.sooner) if section.sooner is not None else [])


def _block(text: str) -> list[str]:
    """Fence a block of code."""
    shown = clean(text, lines=True)
    fence = "`" * max(3, max((len(run) for run in re.findall("`+", shown)), default=0) + 1)
    return [f"{fence}promql", *shown.split("\n"), fence]


def _table(table: Table) -> list[str]:
    def row(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |"

    rule = [":--" if place in table.left else "--:" for place in range(len(table.header))]
    rows = [row([plain(cell) for cell in cells]) for cells in table.rows]
    return [f"**{plain(table.caption)}**", "", row([plain(name) for name in table.header]), row(rule), *rows, ""]
