"""What `kmon tune` and `kmon demo` print and write in the end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from kmon_analysis.cli_terminal import put_json, say, shown, working

if TYPE_CHECKING:
    from kmon_analysis.recommend.advice import Advice

__all__ = ["finish", "show_advice"]


def finish(advice: Advice, out: Path, *, as_json: bool, zone: str) -> None:
    """Write the files, show the table and the reasons, and fail when the verification failed."""
    with working("writing") as work:
        written = advice.write(out, stage=work.begin, zone=zone)
    if as_json:
        put_json(advice.to_json())
    else:
        show_advice(advice)
    say(written.sentence)
    say("written: " + ", ".join(str(path) for path in written.paths))
    if not any(rule.proposed for rule in advice.values()):
        say(f"nothing was advised: {written.paths[0]} is the deployed file, unchanged")
    if written.failed:
        say(written.output)
        raise typer.Exit(1)


def show_advice(advice: Advice) -> None:
    """Print the before/after table and the reasons of every verdict."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    header, rows = advice.table()
    # The verdict is said below the table, too: in a narrow terminal the numbers need its place.
    kept = [place for place, title in enumerate(header) if title != "verdict" or console.width >= 100]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place in kept:
        table.add_column(header[place], justify="left" if place < 3 else "right", no_wrap=place < 4)
    for row in rows:
        # Text, not str: square brackets in names are no markup.
        table.add_row(*(Text(plain_cell(row[place])) for place in kept))
    with console.capture() as captured:
        console.print(table)
        for rule in advice.values():
            console.print()
            console.print(Text(plain_cell(f"{rule.rule}: {rule.headline}"), style="bold"))
            reasons = Table.grid(padding=(0, 1, 0, 0))
            for reason in rule.reasons:
                reasons.add_row(Text("•"), Text(shown(reason)))
            console.print(Padding(reasons, (0, 0, 0, 2), expand=False))
    # Rich fills lines with blanks up to the edge.
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def plain_cell(text: str) -> str:
    """Return one line that is safe to show."""
    return shown(text).replace("\n", "\\n")
