"""The tuner's front end in a real browser, its kernel in this process: every control, click, key, and hostile text."""

from __future__ import annotations

import base64
import functools
import http.server
import json
import threading
from contextlib import contextmanager

import numpy as np
import pytest

from kmon_analysis.explore import widget as front
from kmon_analysis.incidents import Incidents
from kmon_analysis.labels import Labels
from kmon_analysis.report.words import describe
from kmon_analysis.timing import HOUR_MS, Interval
from tests.browser.hostile import MARKUP, backtest_of_hostile_text
from tests.explore.world import HOSTILE, START, TRUTH, world

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>tuner</title>
<link rel="stylesheet" href="tuner.css"><body data-jp-theme-light="THEME" style="BACKGROUND">
<main id="here"></main><script type="module">
import tuner from "./tuner.js";
const state = {}, listeners = {};
const bytes = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
const took = (news) => {
  for (const [name, value] of Object.entries(news)) state[name] = name === "points" ? bytes(value) : value;
  for (const name of Object.keys(news)) for (const each of listeners[`change:${name}`] ?? []) each();
};
const model = {
  get: (name) => state[name],
  on: (name, listener) => { (listeners[name] ??= []).push(listener); },
  off: (name, listener) => { listeners[name] = (listeners[name] ?? []).filter((each) => each !== listener); },
  send: async (content) => {
    const [news, told] = JSON.parse(await window.kernel(JSON.stringify(content)));
    took(news);
    for (const [message, buffers] of told)
      for (const each of listeners["msg:custom"] ?? []) each(message, buffers.map(bytes));
  },
};
took(JSON.parse(await window.kernel("{}"))[0]);
window.dispose = tuner.render({ model, el: document.getElementById("here") });
window.model = model;
</script></body></html>"""
SETTLED = """() => {
  const at = (name) => document.querySelector(`[data-kmon=${name}]`);
  const { seq } = JSON.parse(at("numbers").dataset.numbers);
  return at("tuner").getAttribute("aria-busy") !== "true" && at("pages").dataset.seq === String(seq); }"""
DARK = "background:#111;--jp-content-font-color0:#fff;--jp-layout-color0:#111;--jp-layout-color1:#212121"


class Kernel:
    """Answer the page's messages with the widget's state, as Jupyter would."""

    def __init__(self, tuner):
        self.tuner = tuner
        self.widget = tuner.widget
        self.heard = []
        self.told = []
        self.sent = {}
        self.widget.send = lambda message, buffers=(): self.told.append(
            [message, [base64.b64encode(each).decode() for each in buffers]]
        )

    def __call__(self, text):
        content = json.loads(text)
        self.heard.append(content)
        if content:
            self.widget._heard(self.widget, content, [])
        state = {name: getattr(self.widget, name) for name in ("facts", "picture", "view", "lists")}
        state["points"] = base64.b64encode(self.widget.points).decode()
        # Lines before what is drawn with them, as Jupyter sets all values before it tells of any.
        news = {
            name: state[name]
            for name in ("facts", "points", "picture", "view", "lists")
            if state[name] != self.sent.get(name)
        }
        self.sent, told, self.told = state, self.told, []
        return json.dumps([news, told])


@contextmanager
def serving():
    """Serve the front end's files, and nothing else, until the block ends."""
    handler = functools.partial(Quiet, directory=str(front._STATIC))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def served():
    with serving() as address:
        yield address


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Shown:
    """A tuner on a page."""

    def __init__(self, here, tuner, address, dark=False):
        self.page, self.kernel = here.page, Kernel(tuner)
        self.page.expose_function("kernel", self.kernel)
        text = PAGE.replace("THEME", "false" if dark else "true").replace("BACKGROUND", DARK if dark else "")
        self.page.route(f"{address}page.html", lambda route: route.fulfill(body=text, content_type="text/html"))
        self.page.goto(f"{address}page.html")
        self.page.locator("[data-kmon=picture] .kmon-moving").wait_for()
        self.settle()

    def settle(self):
        self.page.wait_for_function(SETTLED)

    def control(self, name, role="slider"):
        return self.page.get_by_role(role, name=name, exact=True)

    def box(self, selector):
        """Return where something stands, once it is drawn: a picture that is just being replaced stands nowhere."""
        drawn = f"() => document.querySelector({json.dumps(selector)})?.getBoundingClientRect().width > 0"
        while True:
            self.page.wait_for_function(drawn)
            if found := self.page.locator(selector).bounding_box():
                return found

    def slide(self, name, place):
        self.control(name).fill(str(place))
        self.settle()

    def press(self, name):
        self.page.get_by_role("button", name=name, exact=True).click()
        self.settle()

    @property
    def numbers(self):
        return json.loads(self.page.locator("[data-kmon=numbers]").get_attribute("data-numbers"))

    @property
    def message(self):
        return self.page.locator("[data-kmon=message]").inner_text()


@pytest.fixture(scope="module")
def result():
    return world()


def test_every_control_moves_the_numbers(visit, served, result):
    with visit() as here:
        tuner = result.explore("HighConsumerLag")
        shown = Shown(here, tuner, served)
        assert shown.numbers["chosen"] == shown.numbers["deployed"]
        stops = tuner.model.choices.thresholds
        shown.slide("threshold", 200)
        assert tuner.setting.threshold == stops[200]
        assert shown.control("threshold").get_attribute("aria-valuetext") == f"{stops[200]:g}"
        assert shown.numbers["values"]["threshold_stop"] == 200
        for name, key, typed, wanted in [
            ("threshold, exact", "threshold", "123.25", 123.25),
            ("for, exact", "for_ms", "90s", 90_000),
            ("window, exact", "window_ms", "3m", 180_000),
        ]:
            box = shown.control(name, "textbox")
            box.fill(typed)
            box.press("Enter")
            shown.settle()
            assert getattr(tuner.setting, key) == wanted
        shown.control("hours", "combobox").select_option("at all hours")
        shown.settle()
        assert tuner.setting.hours is None
        shown.control("group by", "combobox").select_option("the whole rule")
        shown.settle()
        assert tuner.group_by == ()
        view = tuner.view
        told = shown.numbers["chosen"]
        assert (told["pages"], told["false_pages"]) == (view.numbers.pages, view.numbers.false_pages)
        assert shown.page.locator("[data-kmon=pages] button").count() == min(view.tally.pages, 200)
        shown.page.get_by_role("status").filter(has_text="caught").wait_for()


def test_what_is_stored_is_shown_without_a_kernel(visit, served, result):
    with visit() as here:
        tuner = result.explore("HighConsumerLag")
        kernel = Kernel(tuner)
        here.page.expose_function("kernel", lambda text: kernel(text) if text == "{}" else "[{}, []]")
        text = PAGE.replace("THEME", "true").replace("BACKGROUND", "")
        here.page.route(f"{served}stored.html", lambda route: route.fulfill(body=text, content_type="text/html"))
        here.page.goto(f"{served}stored.html")
        here.page.locator(".kmon-still path.kmon-line").first.wait_for(state="attached")
        assert here.page.locator("[data-kmon=shown]").inner_text() == "2026-03-02 00:00 to 2026-03-06 00:00, UTC"
        assert here.page.locator("[data-kmon=pages] button").count() == min(tuner.view.tally.pages, 200)
        assert here.page.locator("[data-kmon=table] tbody tr").count() == 7


# Turn a control and read at once what is shown, before anything that was sent can be answered.
TURN = """([name, value]) => {
  const tuner = document.querySelector("[data-kmon=tuner]"), control = tuner.querySelector(`[aria-label="${name}"]`);
  const bars = (kind) => tuner.querySelector(`.kmon-moving .kmon-${kind}`).getAttribute("d").match(/h[^-]/g) ?? [];
  control.value = value;
  control.dispatchEvent(new Event(control.tagName === "SELECT" ? "change" : "input", { bubbles: true }));
  return {
    busy: tuner.getAttribute("aria-busy"), ...JSON.parse(tuner.querySelector("[data-kmon=numbers]").dataset.numbers),
    cells: [...tuner.querySelectorAll("[data-kmon=table] .kmon-chosen")].map((cell) => cell.textContent),
    bars: [bars("pending").length, bars("firing").length],
  }; }"""
READY = "document.querySelector('[data-kmon=tuner]').dataset.ahead === 'yes'"


def test_what_was_asked_ahead_is_shown_at_once_and_told_at_rest(visit, served):
    with visit() as here:
        tuner = world().explore("HighConsumerLag")
        shown = Shown(here, tuner, served)
        shown.page.wait_for_function(READY)
        choices = tuner.model.choices
        told = len(shown.kernel.heard)
        for name, value, knob, wanted in [
            ("threshold", 200, "threshold", choices.thresholds[200]),
            ("threshold", 20, "threshold", choices.thresholds[20]),
            ("for", 0, "for_ms", choices.fors_ms[0]),
            ("window", 0, "window_ms", choices.windows_ms[0]),
            ("hours", "at all hours", "hours", None),
            ("hours", "06:00-22:00", "hours", "and on() (hour() >= 6 < 22)"),
            ("group by", len(choices.group_by) - 1, "", ()),
        ]:
            before = tuner.stand
            at_once = shown.page.evaluate(TURN, [name, str(value)])
            assert (at_once["busy"], shown.kernel.heard[told:], tuner.stand) == ("false", [], before)
            shown.settle()
            assert (getattr(tuner.setting, knob) if knob else tuner.group_by) == wanted
            view = tuner.model.at(
                tuner.setting, tuner.group_by, period=tuner.widget._period, columns=tuner.widget._columns
            )
            for key in ("pages", "false_pages", "caught", "delay_worst_ms"):
                assert at_once["chosen"][key] == shown.numbers["chosen"][key] == getattr(view.numbers, key)
            assert at_once["cells"] == [row[-1] for row in json.loads(tuner.widget.view)["rows"]]
            assert at_once["bars"] == [len(view.pending), len(view.firing)]
            assert at_once["values"] == shown.numbers["values"]
            shown.page.wait_for_function(READY)
            told = len(shown.kernel.heard)


def test_the_kernel_learns_where_the_knobs_stand_before_a_cell_runs(visit, served):
    with visit() as here:
        tuner = world().explore("HighConsumerLag")
        shown = Shown(here, tuner, served)
        shown.page.wait_for_function(READY)
        shown.page.evaluate("document.body.append(document.createElement('textarea'))")
        shown.control("threshold").focus()
        # No time passes between the move and the focus that leaves.
        shown.page.evaluate(f"() => {{ ({TURN})(['threshold', '200']); document.querySelector('textarea').focus(); }}")
        shown.page.evaluate("window.kernel('{}')")
        assert tuner.setting.threshold == tuner.model.choices.thresholds[200]
        # What is known, what is not, and the use of both, in one breath.
        shown.page.evaluate(
            f"""() => {{ ({TURN})(["threshold", "100"]);
              const box = document.querySelector("[aria-label='for, exact']");
              box.value = "4m";
              box.dispatchEvent(new Event("change"));
              ({TURN})(["group by", "0"]);
              document.querySelector("button.kmon-main").click(); }}"""
        )
        shown.settle()
        wanted = (tuner.model.choices.thresholds[100], 240_000)
        assert (tuner.setting.threshold, tuner.setting.for_ms) == wanted
        assert tuner.advice["HighConsumerLag"].proposed == tuner.setting
        assert shown.numbers["chosen"]["pages"] == tuner.view.tally.pages


def test_a_wrong_value_says_so_and_turns_nothing(visit, served, result):
    with visit() as here:
        tuner = result.explore("HighConsumerLag")
        shown = Shown(here, tuner, served)
        box = shown.control("threshold, exact", "textbox")
        box.fill("a lot")
        box.press("Enter")
        shown.page.get_by_text("no threshold").first.wait_for()
        assert "no threshold" in shown.message
        assert tuner.setting == tuner.model.deployed
        shown.slide("for", 3)
        assert shown.message == ""


@pytest.mark.parametrize("text", ["abc", "", "12000 messages", "1.234,5"])
def test_nothing_is_used_while_a_box_holds_what_cannot_be(visit, served, result, text):
    with visit() as here:
        tuner = result.explore("HighConsumerLag")
        shown = Shown(here, tuner, served)
        box, about = shown.control("threshold, exact", "textbox"), shown.page.locator("[data-kmon=about-threshold]")
        box.fill(text)
        # The click takes the focus from the box, so both come at once.
        shown.page.get_by_role("button", name="use these values").click()
        about.get_by_text("Give a number").wait_for()
        shown.settle()
        assert (box.input_value(), box.get_attribute("aria-invalid")) == (text, "true")
        shown.slide("for", 3)
        assert "Give a number" in about.text_content()
        shown.page.get_by_role("button", name="use these values").click()
        assert shown.message == "Nothing was used: correct threshold first."
        assert tuner.advice.rules == {}
        shown.slide("threshold", 100)
        assert (box.get_attribute("aria-invalid"), about.is_visible()) == ("false", False)
        shown.press("use these values")
        assert tuner.advice["HighConsumerLag"].proposed == tuner.setting


def test_the_zone_of_hours_is_named_and_what_it_leaves_of_them(visit, served, result):
    with visit() as here:
        tuner = result.explore("HighConsumerLag")
        shown = Shown(here, tuner, served)
        hours, zone = shown.control("hours", "combobox"), shown.page.get_by_label("time zone of the hours")
        assert f"Mon-Fri 08:00-18:00 {zone.input_value()}" in hours.inner_text()
        hours.select_option("Mon-Fri 08:00-18:00")
        zone.fill("Europe/Berlin")
        zone.press("Enter")
        shown.settle()
        assert "06:00-22:00 Europe/Berlin" in hours.inner_text()
        about = shown.page.locator("[data-kmon=about-hours]").text_content()
        assert "(09:00-18:00 in summer, 08:00-17:00 in winter)" in about
        assert "hour() >= 7 < 16" in about
        shown.control("time zone", "combobox").select_option("Europe/Zurich")
        assert "Europe/Zurich" in shown.page.locator("[data-kmon=shown]").text_content()


def test_a_click_in_the_list_brings_the_picture_into_view(visit, served, result):
    with visit() as here:
        here.page.set_viewport_size({"width": 1280, "height": 500})
        tuner = result.explore("HighConsumerLag")
        shown = Shown(here, tuner, served)
        scroll = shown.page.locator("[data-kmon=pages] .kmon-scroll")
        bottom = scroll.evaluate("e => e.getBoundingClientRect().bottom")
        rows = scroll.evaluate("e => [...e.querySelectorAll('tr')].map((r) => r.getBoundingClientRect().bottom)")
        assert len(rows) > 7
        assert min(abs(bottom - each) for each in rows) < 3
        shown.page.locator("[data-kmon=pages] button").first.click()
        shown.settle()
        box = shown.box("[data-kmon=picture]")
        assert -1 < box["y"] <= box["y"] + box["height"] < 501


def test_pages_and_incidents_zoom_and_the_button_goes_back(visit, served, result):
    with visit() as here:
        tuner = result.explore("HighConsumerLag")
        shown = Shown(here, tuner, served)
        whole = shown.numbers["period"]
        page = tuner.view.tally
        for name in ("pages", "incidents"):
            button = shown.page.locator(f"[data-kmon={name}] button").first
            button.focus()
            shown.page.keyboard.press("Enter")
            shown.settle()
            start, end = shown.numbers["period"]
            at = int(page.starts[0]) if name == "pages" else page.outcomes[0].incident.interval.start_ms
            assert start <= at <= end < whole[1]
            assert end - start < (whole[1] - whole[0]) / 4
            shown.press("whole range")
            assert shown.numbers["period"] == whole
        svg = shown.page.locator("[data-kmon=picture] .kmon-moving")
        box = svg.bounding_box()
        incident = tuner.model.replay.incidents.incidents[0].interval
        share = (incident.start_ms + incident.duration_ms / 2 - whole[0]) / (whole[1] - whole[0])
        shown.page.mouse.click(box["x"] + 64 + share * (box["width"] - 76), box["y"] + 60)
        shown.settle()
        start, end = shown.numbers["period"]
        assert start < incident.start_ms < incident.end_ms < end
        assert end - start < (whole[1] - whole[0]) / 4
        shown.page.locator("[data-kmon=picture]").focus()
        for key in ("ArrowLeft", "+", "-", "0"):
            shown.page.keyboard.press(key)
            shown.settle()
        assert shown.numbers["period"] == whole


def whole_of(tuner):
    period = tuner.model.replay.period
    return period.start_ms, period.end_ms


def test_the_axis_fits_what_is_shown(visit, served, result):
    with visit() as here:
        tuner = result.explore("HighConsumerLag")
        shown = Shown(here, tuner, served)
        shown.slide("threshold", len(tuner.model.choices.thresholds) - 1)
        hours = [Interval(hour, hour + HOUR_MS) for hour in range(*whole_of(tuner), HOUR_MS)]
        quiet = next(hour for hour in hours if tuner.model.lines(tuner.setting, hour).high < 100)
        tuner.widget._heard(tuner.widget, {"kind": "move", "seq": 100, "period": [quiet.start_ms, quiet.end_ms]}, [])
        shown.settle()
        box = shown.page.get_by_label("fit the axis to what is shown")
        assert not box.is_checked()
        before = json.loads(tuner.widget.picture)
        box.check()
        shown.settle()
        after = json.loads(tuner.widget.picture)
        assert (before["fit"], after["fit"]) == (False, True)
        assert after["ticks"] != before["ticks"]
        top = np.frombuffer(tuner.widget.points, dtype="<f4")
        assert 0.9 < np.nanmax(top) <= 1
        # The thresholds lie beyond: their lines stay at the edge and say so, and a hand on the slider moves them.
        words = shown.page.locator("[data-kmon=picture] text.kmon-over")
        assert {"chosen, above ↑", "deployed, above ↑"} <= set(words.all_text_contents())
        here.shoot("tuner-fit")
        shown.slide("threshold", 10)
        assert any(text.startswith("chosen") and "above" not in text for text in words.all_text_contents())
        box.uncheck()
        shown.settle()
        assert json.loads(tuner.widget.picture)["ticks"] == before["ticks"]


def test_the_pointer_reads_values_and_the_wheel_zooms_only_when_asked(visit, served, result):
    with visit() as here:
        tuner = result.explore("HighConsumerLag")
        shown = Shown(here, tuner, served)
        whole = shown.numbers["period"]
        box = shown.box("[data-kmon=picture] .kmon-moving")
        # The incident of the first day: each series stands on a plateau of its own, 500, 600 or 700.
        middle = START + 10.6 * HOUR_MS
        share = (middle - whole[0]) / (whole[1] - whole[0])
        at = 64 + share * (box["width"] - 76)
        high = 26 + 250 * (1 - tuner.model.scale(tuner.setting).places(np.array([700.0]))[0])
        shown.page.mouse.move(box["x"] + at, box["y"] + high)
        told = shown.page.locator("[data-kmon=under]").inner_text()
        assert "audit: 700 at 2026-03-02 1" in told
        shown.page.mouse.wheel(0, -240)
        shown.page.mouse.move(box["x"] + at + 1, box["y"] + high)
        assert shown.numbers["period"] == whole
        shown.page.keyboard.down("Control")
        shown.page.mouse.wheel(0, -120)
        shown.page.wait_for_function(
            "(whole) => JSON.parse(document.querySelector('[data-kmon=numbers]').dataset.numbers).period[1] < whole",
            arg=whole[1],
        )
        shown.page.keyboard.up("Control")
        shown.settle()
        start, end = shown.numbers["period"]
        assert whole[0] <= start < middle < end < whole[1]
        here.shoot("tuner-hover", whole=True)


def test_dragging_zooms_and_a_narrow_window_holds_all(visit, served, result):
    with visit(width=420) as here:
        shown = Shown(here, result.explore("HighConsumerLag"), served)
        whole = shown.numbers["period"]
        box = shown.box("[data-kmon=picture] .kmon-moving")
        shown.page.mouse.move(box["x"] + 120, box["y"] + 100)
        shown.page.mouse.down()
        shown.page.mouse.move(box["x"] + 200, box["y"] + 110, steps=4)
        shown.page.mouse.up()
        shown.settle()
        start, end = shown.numbers["period"]
        assert whole[0] < start < end < whole[1]
        wide = shown.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0


def test_the_values_go_into_the_advice(visit, served, result):
    with visit() as here:
        tuner = result.explore("HighConsumerLag")
        shown = Shown(here, tuner, served)
        shown.slide("threshold", 150)
        shown.press("use these values")
        shown.page.get_by_text("Written into the advice").first.wait_for()
        assert "Written into the advice" in shown.message
        entry = tuner.advice["HighConsumerLag"]
        assert entry.by_hand
        assert entry.proposed == tuner.setting
        told = shown.page.locator("[data-kmon=export]").inner_text
        chosen = f"in the export: {describe(tuner.setting)} (chosen by hand)"
        assert told() == chosen
        shown.press("back to deployed")
        assert tuner.setting == tuner.model.deployed
        assert told() == chosen
        shown.press("use these values")
        assert told() == f"in the export: {describe(tuner.model.deployed)} (deployed, unchanged)"
        assert not shown.page.get_by_role("button", name="back to proposed").is_visible()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_can_be_used_without_eyes_or_mouse(visit, served, result, dark):
    with visit() as here:
        shown = Shown(here, result.explore("HighConsumerLag"), served, dark)
        # JupyterLab looks for this on the focused element itself; without it "d d" would delete the cell.
        unguarded = "[data-kmon=tuner] :is(button, input, select, [tabindex]):not([data-lm-suppress-shortcuts])"
        assert shown.page.locator(unguarded).count() == 0
        missed, faults = here.tab_through()
        assert (missed, faults) == (set(), [])
        shown.slide("for", 8)
        here.shoot(f"tuner-{'dark' if dark else 'light'}", whole=True)
        assert here.violations() == []


@pytest.mark.parametrize("name", ["NoThreshold", "Nothing", "LowRate"])
def test_rules_that_lack_something_are_shown(visit, served, result, name):
    with visit() as here:
        tuner = result.explore(name)
        shown = Shown(here, tuner, served)
        shown.slide("for", 5)
        assert shown.numbers["chosen"]["pages"] == tuner.view.tally.pages
        assert shown.control("threshold").count() == (name != "NoThreshold")
        here.shoot(f"tuner-{name}", whole=True)


def test_no_incident_is_no_zero(visit, served):
    with visit() as here:
        shown = Shown(here, world(incidents=Incidents(())).explore("HighConsumerLag"), served)
        assert shown.numbers["chosen"]["caught"] is None
        assert "no incident" in shown.page.locator("[data-kmon=table]").inner_text()


def test_hostile_text_stays_text(visit, served):
    with visit() as here:
        tuner = backtest_of_hostile_text().explore(f"Lag {MARKUP}")
        shown = Shown(here, tuner, served)
        shown.slide("threshold", 100)
        shown.press("use these values")
        shown.page.locator("[data-kmon=pages] button").first.click()
        shown.settle()
        assert shown.page.evaluate("window.acted") is None
        assert "\u202e" not in shown.page.inner_text("body")
        assert shown.page.locator("[data-kmon=tuner] :is(img, script, iframe, a)").count() == 0
        here.shoot("tuner-hostile", whole=True)


def test_a_hostile_topic_in_the_lists(visit, served):
    with visit() as here:
        truth = Incidents(tuple(each for each in TRUTH.incidents if "topic" not in each.labels))
        tuner = world(topics=(HOSTILE, "orders"), incidents=truth).explore("HighConsumerLag")
        assert Labels({"topic": HOSTILE})["topic"] == HOSTILE
        shown = Shown(here, tuner, served)
        assert shown.page.locator("[data-kmon=pages] tr").count() > 3
        assert shown.page.locator("[data-kmon=tuner] :is(img, script, iframe, a)").count() == 0


def test_what_is_taken_away_stops_talking(visit, served, result):
    with visit() as here:
        shown = Shown(here, result.explore("HighConsumerLag"), served)
        # Its width is told a moment after it was drawn.
        for _ in range(600):
            if any("columns" in message for message in shown.kernel.heard):
                break
            shown.page.wait_for_timeout(50)
        shown.settle()
        heard = len(shown.kernel.heard)
        shown.page.evaluate("window.dispose()")
        shown.page.wait_for_timeout(900)
        assert [message for message in shown.kernel.heard[heard:] if message.get("kind") == "move"] == []
