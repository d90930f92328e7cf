"""A tuner in JupyterLab, and what the library says of the values that it shows."""

from __future__ import annotations

import json

from kmon_analysis.backtest.rule import RuleBacktest
from kmon_analysis.timing import duration, parse_duration

__all__ = ["TUNER", "Turned", "check_numbers"]

TUNER = "[data-kmon=tuner]"


class Turned:
    """A tuner on the screen."""

    def __init__(self, page):
        self.page = page
        self.root = page.locator(TUNER)
        self.root.wait_for()

    def settled(self):
        """Wait until the kernel has answered the last move, and return what is shown."""
        self.page.wait_for_function(
            """where => { const tuner = document.querySelector(where);
              const at = name => tuner.querySelector(`[data-kmon=${name}]`);
              return tuner.getAttribute('aria-busy') !== 'true' && at('numbers').dataset.numbers
                && String(JSON.parse(at('numbers').dataset.numbers).seq) === at('pages').dataset.seq; }""",
            arg=TUNER,
        )
        shown = json.loads(self.root.locator("[data-kmon=numbers]").get_attribute("data-numbers"))
        rows = self.root.locator("[data-kmon=table] tbody tr")
        shown["cells"] = {
            name.strip(): cells for name, *cells in (row.locator("th, td").all_inner_texts() for row in rows.all())
        }
        return shown

    def control(self, name, role="slider"):
        return self.root.get_by_role(role, name=name, exact=True)

    def type(self, name, text):
        """Type a value into a box and leave it."""
        box = self.control(name, "textbox")
        box.fill(text)
        box.press("Enter")
        return self.settled()

    def press(self, name):
        self.root.get_by_role("button", name=name, exact=True).click()
        return self.settled()

    @property
    def message(self):
        return self.root.locator("[data-kmon=message]").text_content()


def check_numbers(shown, rule: RuleBacktest, hours: str | None = None):
    """Compare what is shown with the library's own scores of the values that are shown, and of the deployed ones.

    `hours` is the guard that stands where the screen shows hours in words; None: that of the rule.
    """
    values = shown["values"]
    window = values["window"]
    score = rule.score(
        float(values["threshold"]),
        for_ms=parse_duration(values["for"]),
        window_ms=parse_duration(window) if window else None,
        hours=hours,
    )
    for place, (which, each) in enumerate((("chosen", score), ("deployed", rule.score()))):
        held = shown[which]
        assert (held["caught"], held["incidents"]) == (each.caught, each.incidents)
        assert (held["pages"], held["false_pages"]) == (len(each.pages), each.false_pages)
        assert held["delay_worst_ms"] == each.worst_delay_ms
        cells = {name: row[place] for name, row in shown["cells"].items()}
        assert cells["incidents caught"] == f"{each.caught} of {each.incidents}"
        assert cells["pages"] == f"{len(each.pages):,}"
        assert cells["false pages"] == f"{each.false_pages:,}"
        assert cells["worst delay"] == duration(each.worst_delay_ms)
    return values
