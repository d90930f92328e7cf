"""Ask promtool for the value of expressions, to the bit.

``promtool test rules`` tells what it got when an expectation fails, with all digits; so each question is
a test that expects something impossible.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from kmon_analysis.labels import Labels, unquote
from kmon_analysis.series import STALE_BITS, SeriesSet, is_stale
from kmon_analysis.timing import format_duration

IMPOSSIBLE = [{"labels": '{impossible="1"}', "value": 1}]
_SAMPLE = re.compile(r'(?P<name>[\w:]*)(?P<labels>\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\}) (?P<value>\S+?)(?:, |$)')
_PAIR = re.compile(r'(?:(\w+)|("(?:[^"\\]|\\.)*"))=("(?:[^"\\]|\\.)*")')
Answer = dict[Labels, float] | str


def ask(
    promtool: Path, folder: Path, series: SeriesSet, step_ms: int, questions: list[tuple[str, int]]
) -> list[Answer]:
    """Return what each (expression, time in ms) evaluates to: an instant vector, or the error."""
    tests = [
        {"expr": expr, "eval_time": format_duration(time_ms), "exp_samples": IMPOSSIBLE} for expr, time_ms in questions
    ]
    inputs = [{"series": str(part.labels), "values": in_notation(part, step_ms)} for part in series]
    group = {"interval": format_duration(step_ms), "input_series": inputs, "promql_expr_test": tests}
    file = folder / "questions.yml"
    # JSON is YAML.
    file.write_text(json.dumps({"evaluation_interval": "1m", "tests": [group]}))
    done = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True, check=False)
    blocks = re.split(r"\n    expr: ", done.stderr + done.stdout)[1:]
    assert len(blocks) == len(questions), (done.stderr + done.stdout)[:2000]
    return [_answer(block) for block in blocks]


def in_notation(part, step_ms: int) -> str:
    items = ["_"] * (int(part.times[-1]) // step_ms + 1 if len(part.times) else 1)
    for time, value, stale in zip(part.times.tolist(), part.values.tolist(), is_stale(part.values), strict=True):
        assert time % step_ms == 0
        text = {"inf": "Inf", "-inf": "-Inf", "nan": "NaN"}.get(repr(value), repr(value))
        items[time // step_ms] = "stale" if stale else text
    return " ".join(items)


def _answer(block: str) -> Answer:
    error = re.search(r", time: \w+, err: (.*)", block)
    if error is not None:
        return error[1]
    got = re.search(r"\n        got: (.*)", block)
    assert got is not None, block
    if got[1].strip() == "nil":
        return {}
    found: dict[Labels, float] = {}
    position = 0
    text = got[1].strip()
    while position < len(text):
        sample = _SAMPLE.match(text, position)
        assert sample is not None, text[position:]
        pairs = _PAIR.findall(sample["labels"])
        labels = {bare or unquote(quoted): unquote(text) for bare, quoted, text in pairs}
        found[Labels(labels | ({"__name__": sample["name"]} if sample["name"] else {}))] = float(sample["value"])
        position = sample.end()
    return found


__all__ = ["STALE_BITS", "ask", "in_notation"]
