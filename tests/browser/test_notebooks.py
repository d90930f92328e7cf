"""Every notebook, run in JupyterLab from its menu, and read from the screen."""

from __future__ import annotations

import pytest

from tests.browser.checks import table_rows, words
from tests.browser.lab import Notebook
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
      if (!e.closest('.kmon-wide') && e.getBoundingClientRect().right > right) found.push(e.outerHTML.slice(0, 200));
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


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_notebook_runs_and_is_readable(visit, lab, bundled, name):
    stem = name.removesuffix(".ipynb")
    with visit(height=1000) as here:
        notebook = Notebook.open(here, lab, name)
        notebook.run_all()
        assert notebook.errors() == []
        cells = notebook.code_cells()
        assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))

        notebook.unroll()
        here.shoot(f"notebook-{stem}-light")
        shown = shown_rows(here)
        for row in notebook.ask(SCORES):
            assert row in [cells[: len(row)] for cells in shown]
        if name == TUNE:
            # This process computed it, too, by itself.
            for row in bundled.table()[1]:
                assert [words(str(cell)) for cell in row] in shown
        heads = here.page.locator("table.kmon tbody th[scope=row]")
        assert set(heads.evaluate_all("all => all.map(e => getComputedStyle(e).textAlign)")) == {"left"}
        assert here.violations(OUTPUTS) == []
        assert here.page.evaluate(OUT_OF_REACH) == []

        notebook.use_theme("JupyterLab Dark")
        here.shoot(f"notebook-{stem}-dark")
        pictures = here.page.locator("img.kmon-figure")
        filters = pictures.evaluate_all("all => all.map(e => getComputedStyle(e).filter)")
        assert all(each.startswith("invert(") for each in filters)
        assert filters
        assert here.violations(OUTPUTS) == []
