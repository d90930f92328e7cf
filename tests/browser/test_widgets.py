"""The widgets of a notebook, turned by mouse and keyboard in JupyterLab."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from tests.browser.hostile import MARKUP
from tests.browser.lab import Notebook
from tests.browser.turned import TUNER, Turned, check_numbers
from tests.explore.world import TRUTH, world

RULE = "HighConsumerLag"
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


@pytest.fixture
def opened(visit, lab):
    """Write a notebook of some cells, open it in JupyterLab and run it."""

    @contextmanager
    def run(name, *cells, **options):
        import nbformat

        made = nbformat.v4.new_notebook(metadata=KERNEL, cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        nbformat.write(made, lab.folder / f"{name}.ipynb")
        with visit(width=1400, height=1000, **options) as here:
            notebook = Notebook.open(here, lab, f"{name}.ipynb")
            notebook.run_all()
            assert notebook.errors() == []
            yield notebook
            assert here.page.locator(".jp-Dialog").count() == 0
            assert len(notebook.code_cells()) == len(cells), "a key went to the notebook"

    return run


@pytest.fixture(scope="module")
def rule():
    return world()[RULE]


def test_the_tuner_is_turned_by_keyboard_and_mouse(opened, rule):
    make = "from tests.explore.world import world\nresult = world()\ntuner = result.explore('HighConsumerLag')\ntuner"
    with opened("tuner", make) as notebook:
        page, tuner = notebook.here.page, Turned(notebook.here.page)
        before = check_numbers(tuner.settled(), rule)
        assert (float(before["threshold"]), before["for"], before["window"]) == (100, "2m", "5m")

        for name, key in (("threshold", "ArrowRight"), ("window", "ArrowRight"), ("for", "ArrowRight")):
            for _ in range(3):
                tuner.control(name).press(key)
            after = check_numbers(tuner.settled(), rule)
            assert after[name] != before[name]
            before = after

        box = tuner.control("threshold").bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.down()
        page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + box["height"] / 2, steps=8)
        page.mouse.up()
        dragged = check_numbers(tuner.settled(), rule)
        assert float(dragged["threshold"]) > float(before["threshold"])

        for name, text in (("threshold", "333.25"), ("window", "7m"), ("for", "3m")):
            exact = tuner.control(f"{name}, exact", "textbox")
            exact.fill(text)
            exact.press("Enter")
            assert check_numbers(tuner.settled(), rule)[name] == text
        kept = tuner.settled()
        exact.fill("b dd a")
        exact.press("Enter")
        page.wait_for_function("document.querySelector('[data-kmon=message]').textContent.includes('b dd a')")
        assert tuner.settled()["chosen"] == kept["chosen"]

        exact.fill("3m")
        exact.press("Enter")
        check_numbers(tuner.settled(), rule)
        tuner.root.get_by_role("button", name="use these values").click()
        tuner.settled()
        assert tuner.message
        used = notebook.ask(f"tuner.advice['{RULE}'].to_json()['proposed']")
        assert (used["threshold"], used["window_s"], used["for_s"]) == (333.25, 420, 180)
        tuner.root.get_by_role("button", name="back to deployed").click()
        assert float(check_numbers(tuner.settled(), rule)["threshold"]) == 100
        notebook.here.shoot("tuner-used")


def test_the_tuner_shows_what_is_pointed_at(opened, rule):
    make = "from tests.explore.world import world\nresult = world()\ntuner = result.explore('HighConsumerLag')\ntuner"
    with opened("tuner-zoom", make) as notebook:
        page, tuner = notebook.here.page, Turned(notebook.here.page)
        whole = tuner.settled()["period"]
        incident = TRUTH.incidents[2]

        def zoomed_to(interval):
            start, end = tuner.settled()["period"]
            assert start <= interval.start_ms < end
            assert end - start < (whole[1] - whole[0]) / 2

        tuner.root.locator("[data-kmon=incidents]").get_by_role("button", name=incident.id).press("Enter")
        zoomed_to(incident.interval)
        tuner.root.get_by_role("button", name="whole range").click()
        assert tuner.settled()["period"] == whole

        page_button = tuner.root.locator("[data-kmon=pages] button").nth(3)
        page_button.click()
        zoomed_to(sorted((each.episode.interval for each in rule.score().pages), key=lambda each: each.start_ms)[3])

        picture = tuner.root.locator("[data-kmon=picture]")
        picture.focus()
        for _ in range(2):
            page.keyboard.press("0")  # twice in a row, JupyterLab would restart the kernel
        assert tuner.settled()["period"] == whole
        page.keyboard.press("+")
        start, end = tuner.settled()["period"]
        assert end - start == pytest.approx((whole[1] - whole[0]) / 2, rel=0.01)
        page.keyboard.press("0")
        tuner.settled()

        area = picture.locator("svg.kmon-moving").bounding_box()
        page.mouse.move(area["x"] + 0.4 * area["width"], area["y"] + 60)
        page.mouse.down()
        page.mouse.move(area["x"] + 0.6 * area["width"], area["y"] + 60, steps=5)
        page.mouse.up()
        start, end = tuner.settled()["period"]
        assert 0.1 < (end - start) / (whole[1] - whole[0]) < 0.3
        assert start > whole[0]
        assert end < whole[1]

        tuner.root.get_by_role("button", name="whole range").click()
        tuner.settled()
        band = picture.locator(".kmon-band-incident").nth(1).bounding_box()
        picture.locator("svg.kmon-moving").click(
            position={"x": band["x"] + band["width"] / 2 - area["x"], "y": 40}, force=True
        )
        start, end = tuner.settled()["period"]
        assert end - start < (whole[1] - whole[0]) / 2

        notebook.unroll()
        for theme, word in (("JupyterLab Light", "light"), ("JupyterLab Dark", "dark")):
            notebook.use_theme(theme)
            notebook.here.shoot(f"tuner-{word}")
            assert notebook.here.violations(TUNER) == []
        missed, faults = notebook.here.tab_through(TUNER)
        assert missed == set()
        assert faults == []


def test_hostile_text_does_nothing_in_a_notebook(opened):
    make = (
        "import kmon_analysis as km\n"
        "from tests.browser.hostile import backtest_of_hostile_text\n"
        "result = backtest_of_hostile_text()\nresult"
    )
    name = "next(iter(result.results))"
    shown = (
        "result.history",
        "result.rules",
        "result.incidents",
        "km.recommend(result, max_delay='30m')",
        f"result.plot({name})",
        f"result.explore({name})",
        "km.postmortem(result, result.incidents.incidents[0].id)",
        "km.review_incidents(result, 'hostile.yml', top=2)",
    )
    with opened("hostile", make, *shown) as notebook:
        page = notebook.here.page
        Turned(page).settled()
        page.locator(".kmon-review").wait_for()
        assert page.evaluate("window.acted") is None
        outputs = page.locator(".jp-Notebook")
        assert outputs.locator("[onload], [onerror], img[src=x], a[href^=javascript]").count() == 0
        assert MARKUP in outputs.text_content()
        assert page.locator("mjx-container").count() == 0
        assert not set(outputs.text_content()) & set("\u202e\u202c\x1b")
        notebook.unroll()
        notebook.here.shoot("notebook-hostile")
