"""The watch sees what it must see."""

from __future__ import annotations

import re

import pytest

from tests.browser.hostile import MARKUP
from tests.browser.watching import is_near


def page_of(tmp_path, body):
    path = tmp_path / "page.html"
    path.write_text(f"<!DOCTYPE html><html lang='en'><title>t</title><main><h1>h</h1>{body}</main>")
    return path.as_uri()


def test_text_that_is_taken_for_markup_acts(visit, tmp_path):
    page = page_of(tmp_path, f"{MARKUP}<output>{MARKUP}</output>")
    with pytest.raises(AssertionError, match="dialog: 1"), visit() as here:
        here.page.goto(page)
    with visit(forgiven=("dialog: 1", "console: ")) as here:
        here.page.goto(page)
        assert here.page.evaluate("window.acted") in (1, 2, 3)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("<img alt='' src='http://example.org/a.png'>", "request: http://example.org/a.png"),
        ("<script>console.error('lost')</script>", "console: lost"),
        ("<script>undefinedName()</script>", "undefinedName is not defined"),
        ("<script>new WebSocket('ws://example.org')</script>", "websocket: ws://example.org"),
    ],
)
def test_what_goes_wrong_is_a_problem(visit, tmp_path, body, problem):
    with pytest.raises(AssertionError, match=re.escape(problem)), visit() as here:
        here.page.goto(page_of(tmp_path, body))


def test_near_and_far():
    assert is_near("http://127.0.0.1:8888/lab?token=x")
    assert is_near("data:text/plain,x")
    assert not is_near("http://127.0.0.1.example.org/")


def test_axe_width_and_keyboard_find_faults(visit, tmp_path):
    body = (
        "<p style='color:#999;background:#fff'>pale</p><button style='outline:none'>a</button>"
        "<div style='width:3000px'>wide</div><a href='#x' style='position:fixed;left:-500px'>away</a>"
        "<input aria-label='trap' onkeydown='event.preventDefault()'><button>never reached</button>"
    )
    with visit() as here:
        here.page.goto(page_of(tmp_path, body))
        assert any("color-contrast" in found for found in here.violations())
        assert any("page:" in found for found in here.hidden_by_width())
        missed, faults = here.tab_through()
        assert any("never reached" in name for name in missed)
        assert {fault.partition(":")[0] for fault in faults} >= {"no ring", "out of view"}
