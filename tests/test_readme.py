"""What the README shows is what comes out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import kmon_analysis as km
from tests.tools import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def advice():
    return km.demo().advice


def test_the_table_is_the_demos(advice):
    block = re.search(r"```text\n(rule .*?)```", README, re.DOTALL)[1]
    shown = [line.split() for line in block.splitlines()]
    header, rows = advice.table()
    kept = [place for place, title in enumerate(header) if title != "verdict"]
    expected = [" ".join(row[place] for place in kept).split() for row in [header, *rows]]
    assert shown == expected


def test_the_caption_tells_the_same_numbers(advice):
    caption = README[README.index("*`advice.plot") : README.index("## Two commands")]
    lag = advice["HighConsumerLag"]
    assert f"({lag.current.threshold:,.0f} for 5m)" in caption
    assert f"pages falsely {lag.past_current.false_pages}" in caption.replace("\n", " ")
    assert f"({lag.proposed.threshold:,.0f} for 2m)" in caption
    assert lag.past_proposed.false_pages == 0
    assert lag.past_current.caught == lag.past_proposed.caught == 10


def test_named_files_and_links_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (REPOSITORY / target).exists(), target


def test_the_incident_example_can_be_read():
    from kmon_analysis.incidents import parse_incidents

    example = re.search(r"```yaml\n(incidents:.*?)```", README, re.DOTALL)[1]
    found = parse_incidents(example)
    assert [incident.id for incident in found] == ["INC-01"]
    assert len(found.excluded) == 1


def test_the_python_example_names_what_exists():
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]
    for name in re.findall(r"\bkm\.(\w+)", code):
        assert hasattr(km, name)


def test_every_verb_and_option_in_the_readme_exists():
    from typer.main import get_command

    from kmon_analysis.cli import app

    command = get_command(app)
    for line in re.findall(r"^\$ kmon (.*)$", README, re.MULTILINE):
        words = line.split("#")[0].split()
        verb = command
        while hasattr(verb, "commands"):
            verb = verb.commands[words.pop(0)]
        options = {option for parameter in verb.params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= options, line
    assert Path(REPOSITORY / "docs/images/tuned.png").stat().st_size > 50_000
