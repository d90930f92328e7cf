"""Elementary functions: near those of Python everywhere, and equal to those of both promtools to the bit."""

import math
import random

import numpy as np
import pytest

from kmon_analysis.labels import Labels
from kmon_analysis.promql import mathematics
from kmon_analysis.series import Samples, SeriesSet
from tests.promql.promtool import ask
from tests.tools import require

PYTHON = {
    "ln": math.log,
    "log2": math.log2,
    "log10": math.log10,
    **{name: getattr(math, name) for name in ("exp", "sin", "cos", "tan", "asin", "acos", "atan")},
    **{name: getattr(math, name) for name in ("sinh", "cosh", "tanh", "asinh", "acosh", "atanh")},
}
CORNERS = (0.0, -0.0, math.inf, -math.inf, 5e-324, -1e-310, 2.3e-308, 1.7976931348623157e308, 1.0, -1.0, 0.5, 2.0,
           0.66, 0.7, 21.0, 709.5, 709.78, -745.1, -708.4, 2.0**29, 2.0**28, 1e22, 1e300)  # fmt: skip


def values(count):
    rng = random.Random(17)
    kinds = (
        lambda: rng.uniform(-1, 1),
        lambda: rng.gauss(0, 50),
        lambda: rng.uniform(-800, 800),
        lambda: math.exp(rng.uniform(-700, 709)) * rng.choice((1, -1)),
        lambda: rng.uniform(2**29, 2**40),
        lambda: 2.0 ** rng.randrange(-1074, 1024),
        lambda: float(rng.randrange(-50, 50)),
    )
    return [*CORNERS, *(rng.choice(kinds)() for _ in range(count))]


@pytest.mark.parametrize("name", PYTHON)
def test_near_python(name):
    for value in values(400):
        try:
            expected = PYTHON[name](value)
        except OverflowError:
            expected = math.inf if value > 0 or name == "cosh" else -math.inf
        except ValueError:
            expected = -math.inf if name.startswith("l") and value == 0 else math.nan
            if name == "atanh" and abs(value) == 1:
                expected = math.copysign(math.inf, value)
        ours = mathematics.apply(name, np.array([[value]]))[0, 0]
        if name in ("ln", "log10") and 0 < abs(value) < 2.3e-308:
            continue  # Go's logarithm takes subnormal numbers for larger ones.
        if name in ("exp", "sinh", "cosh") and 709.4 < abs(value) < 709.8:
            continue  # Go's exponential overflows a little early.
        place = f"{name}({value!r}): {ours!r}, Python has {expected!r}"
        assert math.isclose(ours, expected, rel_tol=4e-15, abs_tol=2e-16) or ours == expected or (
            math.isnan(ours) and math.isnan(expected)
        ), place  # fmt: skip


@pytest.mark.parametrize("program", ["promtool", "promtool3"])
def test_equal_to_promtool(program, tmp_path):
    given = np.array(values(700))
    history = SeriesSet.from_samples(
        Samples(Labels({"__name__": "a", "n": f"{n:04}"}), np.array([0]), np.array([value]))
        for n, value in enumerate(given.tolist())
    )
    exponents = (1.7, -0.3, 0.1, 33.0, -5.0, 1e9)
    questions = (
        [f"{name}(a)" for name in PYTHON] + [f"a ^ {y}" for y in exponents] + [f"a atan2 {y}" for y in exponents]
    )
    answers = ask(require(program), tmp_path, history, 1000, [(text, 0) for text in questions])
    grid = given[None, :]
    ours = [mathematics.apply(name, grid) for name in PYTHON]
    ours += [mathematics.apply2(op, grid, np.full_like(grid, y)) for op in ("^", "atan2") for y in exponents]
    for text, answer, row in zip(questions, answers, ours, strict=True):
        theirs = {labels["n"]: value for labels, value in answer.items()}
        for n, value in enumerate(row[0].tolist()):
            expected = theirs[f"{n:04}"]
            same = value == expected or (math.isnan(value) and math.isnan(expected))
            assert same, f"{text} of {given[n]!r}: {value!r}, promtool has {expected!r}"
