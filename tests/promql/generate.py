"""Seeded random histories and expressions, for comparisons with the naive evaluator and with promtool.

Expressions are text, so that every evaluator reads them by itself.
"""

from __future__ import annotations

import random
import re

import numpy as np

from kmon_analysis.errors import ExpressionError
from kmon_analysis.labels import Labels
from kmon_analysis.promql.evaluate import check_supported
from kmon_analysis.promql.parser import parse
from kmon_analysis.series import Samples, SeriesSet, stale_marker

STEP_MS = 15_000
COUNT = 90
STALE = float(stale_marker()[0])

# The families of metrics, and what is special about their values.
GAUGES = ("lag", "size")  # whole numbers, any sign
COUNTERS = ("offset_total", "bytes_total")  # whole, falling back to zero sometimes; bytes_total has fractions
SMOOTH = ("load",)  # fractions, all distinct
ODD = ("odd",)  # NaN, infinities, both zeros, huge
ALL = (*GAUGES, *COUNTERS, *SMOOTH, *ODD)


def history(rng: random.Random) -> SeriesSet:
    """A history with gaps, stale markers, resets and special values."""
    parts = []
    for name in ALL:
        for labels in ({"topic": "a", "group": "x"}, {"topic": "a", "group": "y"}, {"topic": "b"}, {"group": "x"}):
            if rng.random() < 0.9:
                parts.append(_series(rng, Labels({"__name__": name, **labels})))
    for topic in ("a", "b"):
        parts.append(_series(rng, Labels({"__name__": "owner", "topic": topic, "team": f"team-{topic}"})))
        for le in ("0.1", "0.5", "1", "1.0", "2.5", "+Inf", "x", ""):
            if rng.random() < 0.9:
                parts.append(_series(rng, Labels({"__name__": "took_bucket", "topic": topic, "le": le})))
    return SeriesSet.from_samples(parts)


def _series(rng: random.Random, labels: Labels) -> Samples:
    name = labels["__name__"]
    values, times, level, gap = [], [], float(rng.randrange(100)), 0
    for index in range(COUNT):
        if name in COUNTERS:
            level = 0.0 if rng.random() < 0.06 else level + rng.randrange(9)
            if name == "bytes_total":
                level += rng.choice([0.0, rng.random()])
        elif name == "took_bucket":
            # Rises with the bound, mostly; equal but for the last places, sometimes.
            bound = {"0.1": 1, "0.5": 5, "1": 6, "1.0": 6, "2.5": 8, "+Inf": 9}.get(labels.value("le"), 3)
            level = (index + 1) * bound * rng.choice([1.0, 1.0, 1.0, 0.1, 1 + 1e-14, rng.random()])
        elif name in SMOOTH:
            level = rng.uniform(-10, 10)
        elif name in ODD:
            special = [float("nan"), float("inf"), float("-inf"), 0.0, -0.0, 1e308, -1e308, 5e-324]
            level = rng.choice([level, 1.5, -2.25, *special])
        else:
            level = float(rng.choice([level, level + rng.randrange(-20, 20)]))
        gap = gap - 1 if gap else rng.choice([0] * 20 + [1, 2, 12, 30])
        if gap == 0:
            values.append(STALE if rng.random() < 0.04 else level)
            times.append(index * STEP_MS)
    return Samples(labels, np.array(times, dtype=np.int64), np.array(values))


def times(rng: random.Random, count: int) -> list[int]:
    """Evaluation times: on samples, beside them, and before and after all of them."""
    last = STEP_MS * COUNT
    found = {0, last + 285_000, last + 290_000}
    while len(found) < count:
        found.add(rng.choice([rng.randrange(0, last, STEP_MS), rng.randrange(0, last + 400_000)]))
    return sorted(found)


RANGE_FUNCTIONS = [
    *("rate", "increase", "delta", "deriv", "irate", "idelta", "changes", "resets"),
    *(
        f"{kind}_over_time"
        for kind in ("sum", "avg", "min", "max", "count", "last", "present", "stddev", "stdvar", "absent")
    ),
]
INSTANT_FUNCTIONS = ["abs", "ceil", "floor", "round", "sqrt", "sgn", "timestamp", "sort"]
LAST_BIT = ["exp", "ln", "log2", "log10", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh",
            "acosh", "atanh", "deg", "rad"]  # fmt: skip
CALENDAR = ["minute", "hour", "day_of_week", "day_of_month", "day_of_year", "month", "year", "days_in_month"]
ARITHMETIC = ["+", "-", "*", "/", "%", "atan2"]
COMPARISONS = ["==", "!=", ">", "<", ">=", "<="]


class Expressions:
    """Random expressions of a given type.

    Parameters
    ----------
    rng : random.Random
        Source of choices.
    any_order : bool
        Leave out what depends on the order in which the server stores series: ties, and sums and averages
        across series where rounding matters.
    release : (int, int)
        The release that the expressions are for.
    """

    def __init__(self, rng: random.Random, *, any_order: bool = False, release: tuple[int, int] = (3, 5)) -> None:
        self.rng = rng
        self.any_order = any_order
        self.release = release

    def selector(self, names=ALL) -> str:
        rng = self.rng
        name = rng.choice(names)
        matchers = rng.choice(
            ["", "", "", '{topic="a"}', '{topic!="a"}', '{group=~"x|z"}', '{topic!~".+"}', '{group="x",topic=""}']
        )
        return name + matchers

    def modifiers(self) -> str:
        rng = self.rng
        offset = rng.choice(["", "", "", "", " offset 45s", " offset -31s", " offset 5m"])
        at = rng.choice(["", "", "", "", "", "", " @ 600", " @ 123.456", " @ end()"])
        return rng.choice([offset + at, at + offset])

    def matrix(self, names=ALL) -> str:
        rng = self.rng
        length = rng.choice(["15s", "30s", "45s", "1m", "90s", "2m", "5m", "7m", "20m", "40s500ms"])
        if rng.random() < 0.12:
            step = rng.choice(["", "7s", "15s", "30s", "1m"])
            fixed = f"({self.selector(names)} {rng.choice('+-')} lag @ {rng.choice(['end()', 'start()', '600'])})"
            plain = self.selector(names)
            inner = rng.choice([plain, f"rate({plain}[1m])", f"-{plain}", fixed, f"{plain} @ end() offset 31s"])
            return f"({inner})[{length}:{step}]" + rng.choice(["", "", " offset 45s", " @ 600", " offset -31s"])
        return f"{self.selector(names)}[{length}]{self.modifiers()}"

    def scalar(self, depth: int) -> str:
        rng = self.rng
        numbers = ["0", "1", "2", "-3", "0.5", "10", "NaN", "Inf", "1e3", "100"]
        if depth <= 0 or rng.random() < 0.7:
            return rng.choice(numbers)
        return rng.choice(
            [
                lambda: "time()",
                lambda: f"scalar({self.selector((*GAUGES, *SMOOTH))})",
                lambda: f"({self.scalar(depth - 1)} {rng.choice(ARITHMETIC)} {self.scalar(depth - 1)})",
                lambda: f"({self.scalar(depth - 1)} {rng.choice(COMPARISONS)} bool {self.scalar(depth - 1)})",
                lambda: f"-{self.scalar(depth - 1)}",
            ]
        )()

    def aggregate(self, depth: int) -> str:
        rng = self.rng
        clause = rng.choice(["", "by (topic)", "by (topic, group)", "without (group)", "by (__name__)", "without ()"])
        exact = ["min", "max", "count", "group"]
        op = rng.choice([*exact, "sum", "avg", "stddev", "stdvar", "topk", "bottomk", "quantile"])
        if rng.random() < 0.1:
            inner = self.selector(rng.choice([GAUGES, ODD]))
            return f'count_values {clause} ("{rng.choice(["v", "topic", "value", "__name__"])}", {inner})'
        if op in ("topk", "bottomk"):
            inner = self.selector(SMOOTH) if self.any_order else self.vector(depth - 1)
            return f"{op} {clause} ({rng.choice(['1', '2', '3', '0', '-1', '2.9', 'NaN', '1e30', '-Inf'])}, {inner})"
        if op == "quantile":
            q = rng.choice(["0.5", "0.9", "0", "1", "-1", "2", "NaN"])
            return f"quantile {clause} ({q}, {self.vector(depth - 1)})"
        if self.any_order and op not in exact:
            if op == "sum":
                return f"sum {clause} ({self.selector(GAUGES)})"
            # One series in each group: no order.
            return f"{op} by (__name__, topic, group) ({self.selector()})"
        return f"{op} {clause} ({self.vector(depth - 1)})"

    def binary(self, depth: int) -> str:
        rng = self.rng
        left, right = self.vector(depth - 1), self.vector(depth - 1)
        scalar = self.scalar(depth - 1)
        on = rng.choice(
            ["", "on (topic) ", "on (topic, group) ", "ignoring (group) ", "ignoring (topic, group) ", "on () "]
        )
        compare = rng.choice(COMPARISONS) + rng.choice([" ", " bool "])
        op = rng.choice([rng.choice(ARITHMETIC) + " ", compare])
        return rng.choice(
            [
                lambda: f"{left} {op}{scalar}",
                lambda: f"{scalar} {op}{right}",
                lambda: f"{left} ^ {rng.choice(['2', '-1', '3', '0', '0.5', 'Inf', '7', '1.7', '-0.3'])}",
                lambda: f"{left} {op}{on}{right}",
                lambda: f"{self.selector(GAUGES)} {op}{self.selector(SMOOTH)}",
                lambda: f"{self.selector()} {op}on (topic) group_left (team) owner",
                lambda: f"{self.selector()} {op}on (topic) group_left () owner",
                lambda: f"owner {op}on (topic) group_right (team) {self.selector()}",
                lambda: f"{left} {rng.choice(['and', 'or', 'unless'])} {on}{right}",
                lambda: f"{left} {rng.choice(['and', 'or', 'unless'])} {on}{right}",
            ]
        )()

    def vector(self, depth: int) -> str:
        rng = self.rng
        if depth <= 0 or rng.random() < 0.15:
            return self.selector() + self.modifiers()
        return rng.choice(
            [
                lambda: self.range_call(),
                lambda: self.range_call(),
                lambda: self.range_call(),
                lambda: self.aggregate(depth),
                lambda: self.aggregate(depth),
                lambda: f"({self.binary(depth)})",
                lambda: f"({self.binary(depth)})",
                lambda: f"({self.binary(depth)})",
                lambda: f"{rng.choice(INSTANT_FUNCTIONS)}({self.vector(depth - 1)})",
                lambda: f"{rng.choice(LAST_BIT)}({self.vector(depth - 1)})",
                lambda: self.histogram(),
                lambda: self.relabelled(depth),
                lambda: f"round({self.vector(depth - 1)}, {rng.choice(['5', '0.1', '0'])})",
                lambda: f"clamp({self.vector(depth - 1)}, {self.scalar(1)}, {self.scalar(1)})",
                lambda: f"{rng.choice(['clamp_min', 'clamp_max'])}({self.vector(depth - 1)}, {self.scalar(1)})",
                lambda: (
                    f"{rng.choice(CALENDAR)}({rng.choice(['', self.selector(GAUGES) + ' * 1e6', 'vector(time())'])})"
                ),
                lambda: f"absent({self.vector(depth - 1)})",
                lambda: f"absent({self.selector()})",
                lambda: f"-{self.selector()}",
                lambda: f"vector({self.scalar(1)})",
                lambda: f'{{__name__=~"lag|load", topic="{rng.choice("ab")}"}}',
            ]
        )()

    def histogram(self) -> str:
        rng = self.rng
        buckets = rng.choice(
            [
                "took_bucket",
                'took_bucket{topic="a"}',
                "rate(took_bucket[2m])",
                'took_bucket{le!="+Inf"}',
                self.selector(),
            ]
        )
        if self.release >= (3, 4) and rng.random() < 0.3:
            lower, upper = rng.choice(["0", "-1", "0.3", "-Inf"]), rng.choice(["0.7", "3", "Inf"])
            return f"histogram_fraction({lower}, {upper}, {buckets})"
        return f"histogram_quantile({rng.choice(['0.5', '0.9', '0.99', '0', '1', '-1', '2', 'NaN'])}, {buckets})"

    def relabelled(self, depth: int) -> str:
        rng = self.rng
        inner = self.vector(depth - 1)
        target = rng.choice(["topic", "new", "group", "__name__", "not valid"])
        if rng.random() < 0.3:
            separator, source = rng.choice(["", "-"]), rng.choice(["group", "team"])
            return f'label_join({inner}, "{target}", "{separator}", "topic", "{source}")'
        regex = rng.choice(["(.*)", "a(b?)", "(?P<x>[ab])", ".+", "", "x|y", "a)"])
        filled = rng.choice(["$1", "v-$1", "${x}$$", "$1x", "", "plain", "$0${9}"])
        return f'label_replace({inner}, "{target}", "{filled}", "{rng.choice(["topic", "group", "none"])}", "{regex}")'

    def range_call(self) -> str:
        rng = self.rng
        if self.release < (3, 0) and rng.random() < 0.05:
            return (
                f"holt_winters({self.matrix()}, {rng.choice(['0.3', '0.8', '1'])}, {rng.choice(['0.1', '0.6', '0'])})"
            )
        if self.release >= (3, 14) and rng.random() < 0.05:
            return f"first_over_time({self.matrix()})"
        if rng.random() < 0.1:
            return f"quantile_over_time({rng.choice(['0.5', '0.99', '0', '-1', '1.5'])}, {self.matrix()})"
        if rng.random() < 0.06:
            return f"predict_linear({self.matrix()}, {rng.choice(['600', '-60', '3600'])})"
        return f"{rng.choice(RANGE_FUNCTIONS)}({self.matrix()})"

    def any(self) -> str:
        text = self.vector(self.rng.choice([0, 1, 1, 2, 2, 3]))
        # Refused, because Prometheus answers by accident.
        by_accident = re.search(r"timestamp\([^()]*(offset[^()]* @|@ [^()]*(\(\))? offset)", text) or refused_place(
            text
        )
        return self.any() if by_accident else text


def refused_place(text: str) -> bool:
    """Tell whether a text has ``@`` in a subquery that may reach beyond the evaluation."""
    try:
        check_supported(parse(text))
    except ExpressionError as error:
        return "'@' in a subquery" in error.problem
    return False
