"""The evaluator against promtool of both ends, 2.42 and 3.16, which are right where they differ."""

import math
import random
import re
import subprocess

import numpy as np
import pytest

from kmon_analysis.labels import Labels
from kmon_analysis.promql.evaluate import evaluate
from kmon_analysis.promql.parser import parse
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.series import Samples, SeriesSet
from tests.promql import generate
from tests.promql.promtool import ask
from tests.tools import require


def judge(name):
    path = require(name)
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True)
    version = re.search(r"version (\d+\.\d+)", said.stdout + said.stderr)
    return path, Semantics.of(version[1])


@pytest.fixture(scope="module", params=["promtool", "promtool3"])
def promtool(request):
    return judge(request.param)


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
    expressions = generate.Expressions(rng, any_order=True, release=promtool[1].release)
    compare(promtool, tmp_path, series, [expressions.any() for _ in range(100)], generate.times(rng, 12))


def test_chosen_expressions(promtool, tmp_path):
    series = generate.history(random.Random(7))
    expressions = [
        'absent(none{topic="a", topic="b", group="x"})',
        'absent(none{topic="a", topic="a"})',
        'absent(none{topic!="a", topic="b"})',
        'absent(none{topic=~"a", group="x"})',
        'absent((none{topic="a"}))',
        'absent(sum(none{topic="a"}))',
        'absent_over_time(none{topic="a"}[5m])',
        'absent_over_time(none{topic="a"}[5m:1m])',
        'absent({__name__="none", topic=""})',
        *(f"{field}(odd)" for field in generate.CALENDAR),
        "day_of_week(vector(0)) + hour(vector(-1))",
        "scalar(lag)",
        "vector(scalar(lag{topic='b'}))",
        "1 + 2 * 3 ^ 2 % 5",
        "2 ^ 3 ^ 2",
        "-2 ^ 2",
        "odd ^ 2",
        "odd % 3",
        "odd / 0",
        "clamp(odd, -1, 1)",
        "clamp(odd, 1, -1)",
        "clamp_max(odd, -Inf)",
        "round(odd)",
        "round(lag, 0)",
        "sgn(odd)",
        "lag > bool lag",
        "lag == ignoring (group) lag",
        "lag + on () lag",
        "owner * on (topic) group_right () lag",
        "lag * on (topic) group_left (team) owner",
        "lag * on (topic) group_left (group) owner",
        "(lag > 0) or (lag < 0) or vector(0)",
        "lag and on () (hour() < 3)",
        "lag unless lag offset 5m",
        "topk(2, load) unless bottomk(2, load)",
        "rate(offset_total[1m]) > 0 and on (topic, group) lag > 10",
        "sum by (topic) (rate(offset_total[2m:15s])) >= 0",
        "max_over_time((lag > 0)[5m:15s])",
        "avg_over_time(odd[5m])",
        "quantile_over_time(0.5, odd[5m])",
        "stddev_over_time(odd[1m])",
        "timestamp(lag offset 1m)",
        "timestamp(lag @ 600)",
        "timestamp(-lag)",
        "time() - timestamp(lag)",
        "deriv(lag[5m] offset 1m)",
        "predict_linear(lag[5m] offset 1m, 60)",
        'count({__name__=~"lag|load|size"}) by (__name__)',
        '{__name__=~"lag|size", topic="b"} * 2',
        "sum_over_time(lag[15s])",
        "increase(offset_total[40s500ms])",
    ]
    times = [0, 15_000, 300_000, 305_001, 600_000, 777_777, 1_349_999, 1_650_000]
    compare(promtool, tmp_path, series, expressions, times)


def test_syntax_that_is_new_in_3(tmp_path):
    expressions = [
        "rate(offset_total[2 * 30s + 30])",
        "rate(offset_total[-(-2m) % 90s])",
        "sum_over_time(lag[max_of(1m, min_of(3m, 2m)):step() + 1m / 4])",
        "lag offset (1m + 15s)",
        "lag offset -min_of(1m, 45s)",
        "lag @ 6_00 > -1_000",
        "time() - 5m",
        'label_replace(lag, "with space", "$1", "topic", "(.*)")',
    ]
    compare(
        judge("promtool3"), tmp_path, generate.history(random.Random(8)), expressions, [300_000, 600_000, 1_650_000]
    )


def test_which_of_equal_elements_stay(promtool, tmp_path):
    """The elements of ``a or b or …`` have an order that no storage changes."""
    rng = random.Random(5)
    names = "abcdefghijkl"
    series = SeriesSet.from_samples(
        Samples(
            Labels({"__name__": name, "n": name}),
            np.arange(40) * generate.STEP_MS,
            np.array([rng.choice([1.0, 2.0, 2.0, 3.0, math.nan]) for _ in range(40)]),
        )
        for name in names
    )
    orders = [" or ".join(rng.sample(names, len(names))) for _ in range(3)]
    limits = (1, 2, 3, 5, 8, 11, 12)
    expressions = [f"{op}({k}, {order})" for op in ("topk", "bottomk") for k in limits for order in orders]
    compare(promtool, tmp_path, series, expressions, [15_000 * step for step in range(0, 40, 4)])
