"""The evaluator against promtool 2.42, which is right where they differ."""

import math
import random
import re
import subprocess

import numpy as np
import pytest

from kmon_analysis.promql.evaluate import evaluate
from kmon_analysis.promql.parser import parse
from kmon_analysis.promql.semantics import Semantics
from tests.promql import generate
from tests.promql.promtool import ask
from tests.tools import require


@pytest.fixture(scope="module")
def promtool():
    path = require("promtool")
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True)
    version = re.search(r"version (\d+\.\d+)", said.stdout + said.stderr)
    return path, Semantics.of(version[1])


def same(ours: float, theirs: float) -> bool:
    return ours == theirs or (math.isnan(ours) and math.isnan(theirs))


def compare(promtool, tmp_path, series, expressions, times):
    path, semantics = promtool
    questions = [(text, int(time)) for text in expressions for time in times]
    answers = iter(ask(path, tmp_path, series, generate.STEP_MS, questions))
    for text in expressions:
        grid = evaluate(parse(text), series, np.array(times), semantics)
        for column, time in enumerate(times):
            theirs, ours = next(answers), grid.at(column)
            place = f"{text} at {time} ms"
            if isinstance(theirs, str):
                assert grid.failed[column], f"{place}: they fail with {theirs}, we have {ours}"
                continue
            assert not grid.failed[column], f"{place}: we fail, they have {theirs}"
            assert ours.keys() == theirs.keys(), place
            for labels, value in theirs.items():
                assert same(ours[labels], value), f"{place}: {labels} is {value!r}, we have {ours[labels]!r}"


@pytest.mark.parametrize("seed", range(6))
def test_random_expressions(promtool, tmp_path, seed):
    rng = random.Random(seed)
    series = generate.history(rng)
    expressions = generate.Expressions(rng, any_order=True)
    compare(promtool, tmp_path, series, [expressions.any() for _ in range(100)], generate.times(rng, 12))
