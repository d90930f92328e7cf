"""Pages of a real browser that are watched: whatever goes wrong in one is a problem of the test."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page

__all__ = ["FLAGS", "Visit", "is_near", "watched"]

# No sandbox: CI runs as root, and every page is our own. No name but this machine's resolves.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
LIMIT_MS = 60_000

# Everything that the Tab key should reach, as the page's author meant it.
REACHABLE = """inside => [...document.querySelector(inside).querySelectorAll(
    'a[href], button, input, select, textarea, summary, [tabindex]')]
  .filter(e => e.tabIndex >= 0 && !e.disabled && e.checkVisibility({visibilityProperty: true}))
  .map(e => e.dataset.reach ??= String(document.querySelectorAll('[data-reach]').length))"""
FOCUSED = """() => { const e = document.activeElement;
  if (!e || e === document.body || e === document.documentElement) return null;
  const style = getComputedStyle(e), box = e.getBoundingClientRect();
  return {
    reach: e.dataset.reach ?? null, name: e.outerHTML.slice(0, 120),
    ringed: (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== 'none',
    inView: box.bottom > 0 && box.right > 0 && box.top < innerHeight && box.left < innerWidth }; }"""


def is_near(url: str) -> bool:
    """Tell whether a request stays on this machine."""
    parts = urlsplit(url)
    return parts.scheme in ("file", "data", "blob", "about") or parts.hostname in LOOPBACK


@dataclass
class Visit:
    """One page and what went wrong in it."""

    page: Page
    axe: str
    shots: Path
    problems: list[str] = field(default_factory=list)
    forgiven: tuple[str, ...] = ()
    later: list[Callable[[], None]] = field(default_factory=list)

    def report(self, problem: str) -> None:
        """Note a problem, unless its text is forgiven."""
        if not any(words in problem for words in self.forgiven):
            self.problems.append(problem)

    def shoot(self, name: str, *, whole: bool = False) -> Path:
        """Save a picture of what is in view, or (where ``KMON_SCREENSHOTS`` asks for pictures) of the whole page."""
        path = self.shots / f"{name}.png"
        self.page.screenshot(path=path, full_page=whole and bool(os.environ.get("KMON_SCREENSHOTS")))
        return path

    def violations(self, inside: str = "html") -> list[str]:
        """List what axe-core finds serious or critical within a selector."""
        self.page.evaluate(self.axe)
        found = self.page.evaluate("where => axe.run(where)", inside)
        assert found["passes"], "axe-core looked at nothing"
        return [
            f"{violation['impact']} {violation['id']}: {violation['help']}: {node['html'][:300]}"
            for violation in found["violations"]
            if violation["impact"] in ("serious", "critical")
            for node in violation["nodes"]
        ]

    def hidden_by_width(self) -> list[str]:
        """List what makes the page wider than the window, or loses text at an edge."""
        return self.page.evaluate(
            """() => {
              const wide = document.documentElement, found = [];
              if (wide.scrollWidth > wide.clientWidth) found.push(`page: ${wide.scrollWidth} > ${wide.clientWidth}`);
              for (const e of document.body.querySelectorAll('*')) {
                const style = getComputedStyle(e);
                if (['hidden', 'clip'].includes(style.overflowX) && e.scrollWidth > e.clientWidth + 1 && e.clientWidth
                    && !(e instanceof SVGElement)) found.push(`clipped: ${e.outerHTML.slice(0, 200)}`);
              }
              return found; }"""
        )

    def tab_through(self, inside: str = "html", limit: int = 300) -> tuple[set[str], list[str]]:
        """Press Tab from the top of the page, or the first control within a selector, until the focus leaves it.

        Returns
        -------
        missed : set of str
            What should have been reached and was not.
        faults : list of str
            Elements whose focus cannot be seen.
        """
        wanted = dict.fromkeys(self.page.evaluate(REACHABLE, inside))
        reached: dict[str, None] = {}
        faults: list[str] = []
        if inside != "html":
            self.page.locator(f'[data-reach="{next(iter(wanted))}"]').focus()
            reached[next(iter(wanted))] = None
        for _ in range(limit):
            self.page.keyboard.press("Tab")
            here = self.page.evaluate(FOCUSED)
            if here is None or here["reach"] in reached or (inside != "html" and here["reach"] not in wanted):
                break
            if here["reach"] is not None:
                reached[here["reach"]] = None
            if not here["ringed"]:
                faults.append(f"no ring: {here['name']}")
            if not here["inView"]:
                faults.append(f"out of view: {here['name']}")
        names = {
            name: self.page.locator(f'[data-reach="{name}"]').evaluate("e => e.outerHTML.slice(0, 120)")
            for name in wanted
            if name not in reached
        }
        return set(names.values()), faults


@contextmanager
def watched(browser: Browser, axe: str, shots: Path, *, forgiven: tuple[str, ...] = (), **options):
    """Open a page whose errors, dialogs and requests are noted, and fail at its end if there were any."""
    context = browser.new_context(**options)
    context.set_default_timeout(LIMIT_MS)
    page = context.new_page()
    visit = Visit(page, axe, shots, forgiven=forgiven)

    def on_dialog(dialog) -> None:
        visit.report(f"dialog: {dialog.message}")
        dialog.dismiss()

    def on_request(request) -> None:
        if not is_near(request.url):
            visit.report(f"request: {request.url[:300]}")

    context.on("dialog", on_dialog)
    context.on("request", on_request)
    context.on("weberror", lambda error: visit.report(f"page error: {error.error}"))
    context.on(
        "console",
        lambda message: (
            message.type == "error" and visit.report(f"console: {message.text} {json.dumps(message.location)}")
        ),
    )
    page.on("websocket", lambda socket: is_near(socket.url) or visit.report(f"websocket: {socket.url}"))
    page.on("crash", lambda _: visit.report("the page crashed"))
    try:
        yield visit
        page.wait_for_load_state()
        page.evaluate("0")  # what the page said before this has been heard after it
        assert not visit.problems, "\n".join(visit.problems)
    finally:
        context.close()
        for each in visit.later:
            each()
