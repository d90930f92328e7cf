"""How long a move of the tuner takes on the bundled ten weeks: ``python -m benchmarks.exploring [--browser] [--lab]``.

Prints distributions, no verdict: times of this machine under its load, in milliseconds. *model* is
`TunerModel.at`; *move* is all that the kernel does for one message of the browser: turning, counting, writing the
answer, and its JSON. With ``--browser`` (needs Chromium and the extra ``[dev]``) *seen* is all from the event of the
slider to the second frame after the answer, with the kernel in this process: two frames are up to 33 ms; *at once*
begins as soon as the tuner is there, *prepared* when the browser has the answers of all moves of one knob. ``--lab``
times the same in JupyterLab, and nothing else.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

import kmon_analysis as km
from kmon_analysis.explore.model import TunerModel
from kmon_analysis.explore.tuner import Tuner
from kmon_analysis.explore.widget import TunerWidget

__all__ = ["main"]

SHOWN = (50, 90, 99, 100)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return wall and processor milliseconds: other work on the machine hardly changes the latter."""
    began, used = time.perf_counter(), time.process_time()
    work()
    return 1000 * (time.perf_counter() - began), 1000 * (time.process_time() - used)


def line(name: str, taken: Iterable[tuple[float, float]], sizes: Iterable[int] = ()) -> None:
    values, lengths = np.array(list(taken)), np.array(list(sizes))
    spread = " |".join(
        "".join(f"{np.percentile(values[:, column], share):8.1f}" for share in SHOWN) for column in (0, 1)
    )
    sent = f"  {np.median(lengths) / 1000:6.1f} {lengths.max() / 1000:6.1f} kB" if len(lengths) else ""
    print(f"{name:<42} {len(values):4d}  {spread}{sent}")


class Heard:
    """Send messages to a widget as the browser does, and see what it answers."""

    def __init__(self, widget: TunerWidget) -> None:
        self.widget = widget
        self.seq = 0
        self.sizes: list[int] = []
        self.changed: set[str] = set()
        widget.observe(lambda change: self.changed.add(change["name"]), ("picture", "points", "view"))

    def move(self, **content: object) -> tuple[float, float]:
        self.seq += 1
        self.changed.clear()
        taken = timed(lambda: self._answered(content))
        assert not json.loads(self.widget.view)["wrong"]
        return taken

    def _answered(self, content: dict[str, object]) -> None:
        self.widget._heard(self.widget, {"kind": "move", "seq": self.seq, **content}, [])
        size = 0
        for name in self.changed:
            value = getattr(self.widget, name)
            size += len(value)
        self.sizes.append(size)


def rule(result: km.Backtest, name: str) -> None:
    tuner = result.explore(name)
    model: TunerModel = tuner.model
    choices = model.choices
    print(f"\n{name}: {len(model.replay.signal().labels)} alerts, {len(model.replay.grid)} evaluations")
    columns = "".join(f"{f'p{share}':>8}" for share in SHOWN)
    print(f"{'':<42} {'n':>4}  {columns} |{columns}  sent: median, most")
    model.at()
    settings = [replace(model.deployed, threshold=at) for at in choices.thresholds]
    if settings:
        line(
            "model, every threshold of the slider",
            [timed(lambda setting=setting: model.at(setting)) for setting in settings],
        )
    line("opening, picture included", [timed(lambda: TunerWidget(tuner))])
    heard = Heard(TunerWidget(tuner))
    kinds: dict[str, list[dict[str, object]]] = {
        "move, threshold": [{"threshold_stop": place} for place in range(len(choices.thresholds))],
        "move, for, first visit": [{"for_stop": place} for place in range(len(choices.fors_ms))],
        "move, for, again": [{"for_stop": place} for place in range(len(choices.fors_ms))],
        "move, window, first visit": [{"window_stop": place} for place in range(len(choices.windows_ms))],
        "move, window, again": [{"window_stop": place} for place in range(len(choices.windows_ms))],
        "move, hours, first visit": [{"hours": text, "zone": "Europe/Berlin"} for text in choices.hours],
        "move, hours, again": [{"hours": text, "zone": "Europe/Berlin"} for text in choices.hours],
        "move, zoom": [
            {"period": [start, start + 86_400_000]}
            for start in range(model.replay.period.start_ms, model.replay.period.end_ms - 86_400_000, 86_400_000)
        ],
        "move, grouping, first visit": [{"group": place} for place in range(len(choices.group_by))],
    }
    for name_of_kind, moves in kinds.items():
        if not moves:
            continue
        heard.sizes.clear()
        line(name_of_kind, [heard.move(**content) for content in moves], heard.sizes)
        heard.move(reset=True, period=[model.replay.period.start_ms, model.replay.period.end_ms])


# From the event to the second frame after the answer was drawn: the first one may have begun before it. Without a
# control it is nothing but the two frames.
DRAG = """async ([name, stops, pause]) => {
  const root = document.querySelector("[data-kmon=tuner]"), control = root.querySelector(`[aria-label="${name}"]`);
  const frame = () => new Promise((done) => requestAnimationFrame(done)), taken = [];
  for (const stop of stops) {
    const began = performance.now();
    if (control) {
      control.value = stop;
      control.dispatchEvent(new Event(control.tagName === "SELECT" ? "change" : "input", { bubbles: true }));
    }
    while (root.getAttribute("aria-busy") === "true") await new Promise((done) => setTimeout(done));
    await frame();
    await frame();
    taken.push(performance.now() - began);
    await new Promise((done) => setTimeout(done, pause));
  }
  return taken; }"""
PREPARED = "() => document.querySelector('[data-kmon=tuner]').dataset.ahead === 'yes'"
PAUSE_MS = 60


def stops_of(tuner: Tuner) -> dict[str, list[object]]:
    """List all stops of every knob, by its name on the screen."""
    choices = tuner.model.choices
    return {
        "threshold": [*range(len(choices.thresholds))],
        "window": [*range(len(choices.windows_ms))],
        "hours": [*choices.hours],
        "for": [*range(len(choices.fors_ms))],
        "group by": [str(place) for place in range(len(choices.group_by))],
    }


def seen(result: km.Backtest, name: str) -> None:
    """Turn every knob through all its stops in a real browser: as it is opened, and once all is prepared."""
    from playwright.sync_api import sync_playwright

    from tests.browser.test_tuner_alone import Shown, serving
    from tests.browser.watching import FLAGS, watched
    from tests.tools import require

    with serving() as address, sync_playwright() as playwright, tempfile.TemporaryDirectory() as shots:
        browser = playwright.chromium.launch(executable_path=str(require("chromium")), args=FLAGS)
        for when in ("at once", "prepared"):
            # Nothing may be left of an earlier visit.
            tuner = km.backtest(result.rules, result.history, result.incidents).explore(name)
            with watched(browser, "", Path(shots), viewport={"width": 1280, "height": 1000}) as here:
                shown = Shown(here, tuner, address)
                for knob, places in stops_of(tuner).items():
                    if not places:
                        continue
                    if when == "prepared":
                        shown.page.wait_for_function(PREPARED)
                    used = time.process_time()
                    taken = shown.page.evaluate(DRAG, [knob, places, 0])
                    ours = 1000 * (time.process_time() - used) / len(places)
                    line(f"seen, {when}: {knob} (processor: kernel)", [(one, ours) for one in taken])
                    shown.press("back to deployed")
        browser.close()


CELL = """import kmon_analysis as km
folder = km.load_scenario("user-service")
truth = km.read_incidents(folder / "incidents.yml")
km.backtest(km.read_rules(folder / "rules.yml"), km.open_history(folder), truth).explore({name!r})"""


def seen_in_lab(tuners: dict[str, Tuner]) -> None:
    """Turn every knob through all its stops in JupyterLab, its kernel a process of its own."""
    import nbformat
    from playwright.sync_api import sync_playwright

    from tests.browser.lab import Notebook, started
    from tests.browser.watching import FLAGS, watched
    from tests.tools import require

    with tempfile.TemporaryDirectory() as home, started(Path(home)) as lab, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(require("chromium")), args=FLAGS)
        for name, tuner in tuners.items():
            cells = [nbformat.v4.new_code_cell(CELL.format(name=name))]
            kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
            nbformat.write(
                nbformat.v4.new_notebook(metadata={"kernelspec": kernel}, cells=cells), lab.folder / "tuner.ipynb"
            )
            print(f"\n{name} in JupyterLab, prepared\n{'':<20} {'n':>4}  " + "".join(f"{f'p{s}':>8}" for s in SHOWN))
            with watched(browser, "", Path(home), viewport={"width": 1280, "height": 1000}) as here:
                Notebook.open(here, lab, "tuner.ipynb").run_all()
                here.page.wait_for_selector("[data-kmon=tuner]")
                for knob, places in {"two bare frames": [None] * 40, **stops_of(tuner)}.items():
                    if places:
                        here.page.wait_for_function(PREPARED)
                        taken = here.page.evaluate(DRAG, [knob, places * -(-12 // len(places)), PAUSE_MS])
                        shares = "".join(f"{np.percentile(taken, share):8.0f}" for share in SHOWN)
                        print(f"{knob:<20} {len(taken):4d}  {shares}", flush=True)
                        here.page.get_by_role("button", name="back to deployed", exact=True).click()
                        here.page.wait_for_selector("[data-kmon=tuner][aria-busy=false]")
        browser.close()


def main() -> int:
    """Measure every rule of the bundled scenario."""
    folder = km.load_scenario("user-service")
    truth = km.read_incidents(folder / "incidents.yml")
    result = km.backtest(km.read_rules(folder / "rules.yml"), km.open_history(folder), truth)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, milliseconds: wall | processor")
    if "--lab" in sys.argv[1:]:
        seen_in_lab({name: result.explore(name) for name in result if result[name].knobs.sweepable})
        return 0
    for name in result:
        rule(result, name)
        if "--browser" in sys.argv[1:] and result[name].knobs.sweepable:
            seen(result, name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
