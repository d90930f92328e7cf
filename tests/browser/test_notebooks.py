"""Every notebook, run in JupyterLab from its menu, and read from the screen."""

from __future__ import annotations

from pathlib import Path

import pytest

import kmon_analysis as km
from kmon_analysis.kafka.hours import parse_hours, promql_guard
from tests.browser.checks import table_rows, words
from tests.browser.lab import Notebook
from tests.browser.turned import Turned, check_numbers
from tests.test_notebooks import CHECKS, FOLDER, PROBES, Shown, files_of
from tests.tools import REPOSITORY

NOTEBOOKS = sorted(path.name for path in (REPOSITORY / "notebooks").glob("*.ipynb"))
TUNE = "tune-consumer-lag.ipynb"
# What our results draw; the areas around them are JupyterLab's.
OUTPUTS = ".jp-OutputArea-output > *"
# What the kernel holds, and the screen must show: the beginning of each row of the notebook's result.
SCORES = """[
  [name, f"{score.caught} of {score.incidents}" if score.incidents else "no incidents", str(score.false_pages)]
  for name, score in globals()["result"].scores.items()
] if "result" in globals() else []""".replace("\n", "")


def shown_rows(here):
    tables = here.page.locator(".jp-OutputArea-output table.kmon")
    return [row for place in range(tables.count()) for row in table_rows(here, tables.nth(place))]


# What the reader cannot get at: a result that is wider than its place without scrolling, and, in a sortable table, an
# arrow that lies outside the head that it belongs to.
OUT_OF_REACH = """() => {
  const found = [];
  for (const area of document.querySelectorAll('.jp-OutputArea-output')) {
    const right = area.getBoundingClientRect().right + 1;
    for (const e of area.querySelectorAll('table, img, p, li')) {
      if (!e.closest('.kmon-place') && e.getBoundingClientRect().right > right) found.push(e.outerHTML.slice(0, 200));
    }
  }
  for (const button of document.querySelectorAll('table.kmon thead button')) {
    const style = getComputedStyle(button), arrow = getComputedStyle(button, '::after');
    const left = parseFloat(style.paddingLeft), right = parseFloat(style.paddingRight);
    const width = parseFloat(arrow.width);
    const head = button.parentElement.getBoundingClientRect(), box = button.getBoundingClientRect();
    if (Math.max(left, right) < width || box.left < head.left || box.right > head.right)
      found.push(`arrow of ${button.textContent}`);
  }
  return found; }"""


# Tables that need scrolling sideways, by their captions.
TOO_WIDE = """async () => {
  await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
  return [...document.querySelectorAll('.jp-OutputArea-output .kmon-place')].filter(e => e.scrollWidth > e.clientWidth)
    .map(e => `${e.scrollWidth} > ${e.clientWidth}: ${e.querySelector('caption')?.textContent}`); }"""


def turn_consumer_lag(tuner, rule, advice):
    first = check_numbers(tuner.settled(), rule)
    assert float(first["threshold"]) == advice[rule.name].proposed.threshold
    for _ in range(2):
        tuner.control("threshold").press("ArrowRight")
        tuner.control("for").press("ArrowLeft")
    moved = check_numbers(tuner.settled(), rule)
    assert float(moved["threshold"]) > float(first["threshold"])
    assert moved["for"] != first["for"]
    return tuner.type("threshold, exact", "2345")


def turn_message_rate(tuner, rule, advice):
    first = check_numbers(tuner.settled(), rule)
    assert float(first["threshold"]) == advice[rule.name].proposed.threshold
    for _ in range(3):
        tuner.control("window").press("ArrowRight")
    assert check_numbers(tuner.settled(), rule)["window"] != first["window"]
    hours = parse_hours("Mon-Fri 08:00-20:00", "Europe/Berlin")
    tuner.control("hours", "combobox").select_option("own")
    tuner.control("time zone of the hours", "combobox").fill("Europe/Berlin")
    guarded = tuner.type("hours, as text", hours.text)
    assert check_numbers(guarded, rule, promql_guard(hours))["hours"] == hours.text
    tuner.control("hours", "combobox").select_option("at all hours")
    check_numbers(tuner.settled(), rule, "")
    tuner.control("hours", "combobox").select_option("as deployed")
    check_numbers(tuner.settled(), rule)
    return tuner.type("window, exact", "3m")


TURNED = {
    TUNE: ("HighConsumerLag", turn_consumer_lag),
    "tune-message-rate.ipynb": ("LowMessageRate", turn_message_rate),
}


def turn_by_hand(notebook, advice, alert, turn):
    """Turn the tuner of a notebook, use its values, export them: the file does what the screen said."""
    result, tuner = advice.backtest, Turned(notebook.here.page)
    shown = turn(tuner, result[alert], advice)
    values = check_numbers(shown, result[alert])
    tuner.press("use these values")
    assert "Written into the advice" in tuner.message
    folder = Path(notebook.ask("str(ours.folder)")) / f"by-hand-{alert}"
    assert notebook.ask(f"tuner.advice.write({str(folder)!r}).failed") is False
    score = km.backtest(km.read_rules(folder / "rules.yml"), result.history, result.incidents).scores[alert]
    assert (score.caught, score.false_pages) == (shown["chosen"]["caught"], shown["chosen"]["false_pages"])
    used = notebook.ask(f"tuner.advice[{alert!r}].to_json()['proposed']")
    assert used["threshold"] == float(values["threshold"])


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_notebook_runs_and_is_readable(visit, lab, bundled, name):
    stem = name.removesuffix(".ipynb")
    before = files_of(FOLDER, REPOSITORY / "data")
    with visit(height=1000) as here:
        notebook = Notebook.open(here, lab, name)
        notebook.run_all()
        assert notebook.errors() == []
        cells = notebook.code_cells()
        assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))

        outputs = [output for cell in cells for output in cell["outputs"]]
        folder = Path(notebook.ask("str(ours.folder)"))
        CHECKS[stem](Shown(outputs, notebook.ask(PROBES[stem])), folder)
        assert files_of(FOLDER, REPOSITORY / "data") == before, "a notebook writes to its own folder or to data"

        notebook.unroll()
        here.shoot(f"notebook-{stem}-light")
        shown = shown_rows(here)
        for row in notebook.ask(SCORES):
            assert row in [cells[: len(row)] for cells in shown]
        if name == TUNE:
            # This process computed it, too, by itself.
            for row in bundled.table()[1]:
                assert [words(str(cell)) for cell in row] in shown
        if name in TURNED:
            turn_by_hand(notebook, bundled, *TURNED[name])
        heads = here.page.locator("table.kmon tbody th[scope=row]")
        assert set(heads.evaluate_all("all => all.map(e => getComputedStyle(e).textAlign)")) == {"left"}
        assert here.violations(OUTPUTS) == []
        assert here.page.evaluate(OUT_OF_REACH) == []
        assert here.page.evaluate(TOO_WIDE) == []

        notebook.use_theme("JupyterLab Dark")
        here.shoot(f"notebook-{stem}-dark")
        pictures = here.page.locator("img.kmon-figure")
        filters = pictures.evaluate_all("all => all.map(e => getComputedStyle(e).filter)")
        assert all(each.startswith("invert(") for each in filters)
        assert filters
        assert here.violations(OUTPUTS) == []

        # A narrow window without the list of files: cells stand below each other, and none is out of sight.
        here.page.evaluate("window.jupyterapp.shell.collapseLeft()")
        here.page.set_viewport_size({"width": 700, "height": 1000})
        assert here.page.evaluate(TOO_WIDE) == []
