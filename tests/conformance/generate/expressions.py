"""Random expressions over the evaluated subset, each of a kind whose values have one answer."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from kmon_analysis.errors import ExpressionError
from kmon_analysis.promql import aggregate, binary, functions
from kmon_analysis.promql.evaluate import check_supported
from kmon_analysis.promql.semantics import Semantics
from tests.conformance.generate.corners import corner
from tests.conformance.generate.series import FAMILIES, PAIRS, Kind
from tests.conformance.generate.shapes import AGGREGATES, ARITHMETIC, COMPARISONS, FUNCTIONS, OPERATORS, Shape
from tests.conformance.rewrite import read

__all__ = ["Expressions", "evaluated_functions", "supported"]

LABELS = "topic, group, pod, team, le, part, new, both, value, n, alertname, alertstate, severity, tier, text, k"
EVERY_LABEL = f"by (__name__, {LABELS})"
# Aggregations that the order of elements cannot matter to.
UNORDERED = {"count", "group", "count_values"}
POWERS = ("2", "-1", "3", "0", "Inf", "7", "NaN", "0.5", "1.7", "-0.3")
NUMBERS = ("0", "1", "2", "-3", "0.5", "10", "50", "NaN", "Inf", "-Inf", "1e3", "0x1F", "1e-3")


def evaluated_functions() -> set[str]:
    """Return the functions that the evaluator has."""
    return {name for name, function in functions.FUNCTIONS.items() if function.apply is not None}


def supported(text: str, versions: Sequence[str]) -> bool:
    """Tell whether an expression is evaluated here for these releases."""
    try:
        for version in versions:
            check_supported(read(text), semantics=Semantics.of(version))
    except ExpressionError:
        return False
    return True


class Expressions:
    """Writes expressions.

    Parameters
    ----------
    rng : random.Random
        Source of choices.
    versions : tuple of str
        Releases that must know everything.
    base_s, span_s : int
        Where the samples lie.
    for_rules : bool
        Leave out what looks into the future, and what fails easily: a failing rule ends promtool's test.
    records : dict
        Recorded metrics that may be read, and the kind of their values.
    """

    def __init__(
        self,
        rng: random.Random,
        versions: tuple[str, ...],
        *,
        base_s: int,
        span_s: int,
        for_rules: bool = False,
        records: dict[str, Kind] | None = None,
    ) -> None:
        self.rng = rng
        self.versions = versions
        self.base_s, self.span_s = base_s, span_s
        self.for_rules = for_rules
        self.records = {} if records is None else records
        self.used: set[str] = set()
        # Inside a subquery, where the servers put elements of several steps together in a random order.
        self.stepping = False
        known = evaluated_functions()
        self.functions = {
            name: shape for name, shape in FUNCTIONS.items() if name in known and self._known(shape.versions)
        }
        self.aggregates = {
            name: one for name, one in AGGREGATES.items() if name in aggregate.EVALUATED and self._known(one.versions)
        }
        self.arithmetic = [op for op in ARITHMETIC if op in binary.EVALUATED]
        self.sets = [op for op in OPERATORS[-3:] if op in binary.EVALUATED]

    def _known(self, versions: Sequence[str]) -> bool:
        return set(self.versions) <= set(versions)

    def use(self, family: str) -> None:
        """Remember that series of a family are needed."""
        self.used.add(family)

    def pick(self, choices: dict[Callable[[], str], float]) -> str:
        """Write one of several, by weight."""
        return self.rng.choices(list(choices), list(choices.values()))[0]()

    # ---- selectors -----------------------------------------------------------------------------

    def name(self, kind: Kind, *, counters: bool = False, layout: str | None = None) -> str:
        """Return a metric of a kind."""
        rng = self.rng
        recorded = [name for name, of in self.records.items() if kind in ("any", of)]
        if recorded and layout is None and not counters and rng.random() < 0.3:
            return rng.choice(recorded)
        wanted = [
            name
            for name, family in FAMILIES.items()
            if (kind in ("any", family.kind) or (kind == "special" and family.kind == "whole"))
            and (not counters or "counter" in family.style or name == "latency_bucket")
            and (layout is None or family.layout == layout)
        ]
        # Few families a case, so that its expressions meet the same series.
        known = [name for name in wanted if name in self.used]
        name = rng.choice(known if known and rng.random() < 0.6 else wanted)
        self.use(name)
        return name

    def matchers(self, layout: str | None = None) -> str:
        """Return label matchers, mostly such that something is left."""
        rng = self.rng
        if rng.random() < 0.7:
            return ""
        some = ['{topic="a"}', '{topic!="a"}', '{topic=~"a|b"}', '{topic!~"c.*"}', '{topic=~".+"}', '{topic=~"[ab]"}']
        if layout in (None, "pair"):
            some += ['{group=~"x|z"}', '{group="x"}', '{group!="y",topic!=""}', '{group=~".*"}', '{pod=""}']
        if layout == "topic":
            some += ['{team=~"team.*"}', '{team!~"line.break"}', '{team=~"(?i)TEAM-.\\\\..|line.+"}', '{team!="\\\\"}']
        if layout in (None, "pod"):
            some += ['{pod=~"p[0-3]"}', '{pod!="p1"}']
        return rng.choice([*some, '{none="",topic="b"}'])

    def selector(self, kind: Kind, *, counters: bool = False, layout: str | None = None) -> str:
        """Write an instant selector without modifiers."""
        name = self.name(kind, counters=counters, layout=layout)
        family = FAMILIES.get(name)
        if self.rng.random() < 0.04:
            return f'{{__name__="{name}",topic=~"a|b|"}}'
        return name + self.matchers(family.layout if family else "topic")

    def at(self) -> str:
        """Write an ``@`` modifier; a rule must not look at what is not there yet."""
        if self.for_rules:
            return self.rng.choice([" @ start()", " @ end()", f" @ {self.base_s}"])
        moment = (
            f" @ {self.base_s + self.rng.choice([0, 123.456, self.span_s // 2, self.span_s // 2, self.span_s, -10])}"
        )
        return self.rng.choice([moment, moment, " @ start()", " @ end()"])

    def modifiers(self) -> str:
        """Write ``offset`` and ``@``, or nothing."""
        rng = self.rng
        if rng.random() < 0.65:
            return ""
        offset = rng.choice([" offset 45s", " offset 1m", " offset 5m", " offset 7s500ms", ""])
        if not self.for_rules and rng.random() < 0.3:
            offset = rng.choice([" offset -31s", " offset -2m"])
        at = self.at() if rng.random() < 0.35 else ""
        return rng.choice([offset + at, at + offset])

    def matrix(self, depth: int, kind: Kind, *, counters: bool = False) -> str:
        """Write a range vector."""
        rng = self.rng
        length = rng.choice(["30s", "45s", "1m", "90s", "2m", "2m", "5m", "5m", "7m", "10m", "40s500ms"])
        if rng.random() < 0.15:
            outside, self.stepping = self.stepping, True
            inner = self.vector(min(depth - 1, 1), kind)
            self.stepping = outside
            step = rng.choice(["", "7s", "15s", "30s", "1m", "20s"])
            return f"({inner})[{length}:{step}]{self.modifiers()}"
        return f"{self.selector(kind, counters=counters)}[{length}]{self.modifiers()}"

    # ---- scalars -------------------------------------------------------------------------------

    def scalar(self, depth: int) -> str:
        """Write a scalar."""
        rng = self.rng
        if depth <= 0 or rng.random() < 0.6:
            return rng.choice(NUMBERS)
        calls = [shape for shape in self.functions.values() if shape.scalar]
        return rng.choice(
            [
                lambda: rng.choice(calls).write(self, depth, "any"),
                lambda: rng.choice(calls).write(self, depth, "any"),
                lambda: f"({self.scalar(depth - 1)} {rng.choice(self.arithmetic[:5])} {self.scalar(depth - 1)})",
                lambda: f"({self.scalar(depth - 1)} {rng.choice(COMPARISONS)} bool {self.scalar(depth - 1)})",
                lambda: f"-{self.scalar(depth - 1)}",
            ]
        )()

    # ---- vectors -------------------------------------------------------------------------------

    def vector(self, depth: int, kind: Kind = "any") -> str:
        """Write an instant vector whose values are of a kind."""
        if depth <= 0:
            return self.selector(kind) + self.modifiers()
        if kind == "special":
            return self.selector(kind) + self.modifiers()
        choices: dict[Callable[[], str], float] = {
            lambda: self.selector(kind) + self.modifiers(): 0.6,
            lambda: self.call(depth, kind): 3.5,
            lambda: self.aggregation(depth, kind): 2.0,
            lambda: f"({self.filtered(depth, kind)})": 0.5,
        }
        if kind == "any":
            choices |= {
                lambda: f"({self.arithmetic_of(depth)})": 2.0,
                lambda: f"({self.matched(depth)})": 2.0,
                lambda: f"({self.united(depth)})": 1.5,
                lambda: f"-{self.vector(depth - 1)}": 0.4,
            }
            if not self.for_rules:
                choices[lambda: self.risky(depth)] = 0.35
        if kind == "whole":
            choices[lambda: self.whole_binary()] = 0.8
        return self.pick(choices)

    def call(self, depth: int, kind: Kind) -> str:
        """Write a call that gives a vector."""
        fitting: list[Shape] = [
            shape for shape in self.functions.values() if not shape.scalar and (kind == "any" or kind in shape.keeps)
        ]
        return self.rng.choice(fitting).write(self, depth, kind) if fitting else self.selector(kind)

    def aggregation(self, depth: int, kind: Kind) -> str:
        """Write an aggregation whose result does not depend on the order of its elements."""
        rng = self.rng
        fitting = [name for name, one in self.aggregates.items() if kind == "any" or kind in one.keeps]
        if not fitting:
            return self.selector(kind)
        name = rng.choice(fitting)
        one = self.aggregates[name]
        parameter = f"{one.parameter(self)}, " if one.parameter else ""
        clause = rng.choice(
            ["", "by (topic)", "by (topic)", "by (topic, group)", "without (group)", "without (topic, pod)",
             "by (__name__)", "without ()", "by ()", "by (none)"]
        )  # fmt: skip
        if name not in UNORDERED and kind == "any" and not self.stepping and rng.random() < 0.3:
            return f"{name} {clause} ({parameter}{self.ordered()})"
        if one.pairs and rng.random() < 0.6:
            inner = self.selector("whole", layout="pair") + self.modifiers()
            return f"{name} by (topic) ({inner})"
        if not one.of or (kind == "any" and rng.random() < 0.12):
            # Each element is a group of its own.
            return f"{name} {EVERY_LABEL} ({parameter}{self.vector(depth - 1, 'any')})"
        inner_kind = kind if kind in one.of and name not in ("count", "group", "count_values") else rng.choice(one.of)
        if name == "topk" or name == "bottomk":
            inner = self.selector("distinct") + self.modifiers()
        else:
            inner = self.vector(depth - 1, inner_kind)
        return f"{name} {clause} ({parameter}{inner})" if rng.random() < 0.8 else f"{name}({parameter}{inner}) {clause}"

    def ordered(self) -> str:
        """Write a vector whose elements stand in an order of our own, not in that of the storage.

        Sums are rounded, and ties decided, in that order.
        """
        names = [name for name, family in FAMILIES.items() if family.layout == "pair"]
        some = [self.rng.choice(names)] * 5 if self.rng.random() < 0.5 else self.rng.choices(names, k=5)
        places = list(zip(PAIRS, some, strict=True))
        self.rng.shuffle(places)
        for name in some:
            self.use(name)
        return " or ".join(
            f'{name}{{topic="{topic}",group="{group}"}}'
            for (topic, group), name in places[: self.rng.choice([3, 4, 5, 5])]
        )

    def threshold(self) -> str:
        """Write a number near the values of gauges."""
        return self.rng.choice(["0", "1", "5", "10", "20", "40", "50", "80", "100", "-10", "0.5"])

    def filtered(self, depth: int, kind: Kind) -> str:
        """Write a comparison with a scalar that keeps some elements."""
        op = self.rng.choice([">", ">", ">", "<", ">=", "<=", "!=", "!=", "=="])
        return f"{self.vector(depth - 1, kind)} {op} {self.threshold()}"

    def operator(self) -> str:
        """Write an arithmetic operator or comparison."""
        compare = self.rng.choice(COMPARISONS) + self.rng.choice(["", "", " bool"])
        return self.rng.choice([self.rng.choice(self.arithmetic), compare])

    def arithmetic_of(self, depth: int) -> str:
        """Write an operator between a vector and a scalar."""
        scalar = self.scalar(depth - 1)
        if self.rng.random() < 0.15:
            return f"{self.vector(depth - 1)} ^ {self.rng.choice(POWERS)}"
        if self.rng.random() < 0.3:
            return f"{scalar} {self.operator()} {self.vector(depth - 1)}"
        return f"{self.vector(depth - 1)} {self.operator()} {scalar}"

    def whole_binary(self) -> str:
        """Write a sum or difference of whole numbers."""
        left, right = (self.selector("whole", layout="pair") for _ in range(2))
        return f"({left} {self.rng.choice('+-')} {right})"

    def pair(self, depth: int, kind: Kind = "any") -> str:
        """Write a vector whose elements differ in topic and group."""
        rng = self.rng
        plain = self.selector(kind, layout="pair")
        if depth <= 0 or rng.random() < 0.4:
            return plain + self.modifiers()
        over = [name for name in ("rate", "delta", "max_over_time", "avg_over_time") if name in self.functions]
        return rng.choice(
            [
                lambda: f"{rng.choice(over)}({plain}[{rng.choice(['1m', '2m', '5m'])}]{self.modifiers()})",
                lambda: f"abs({plain})",
                lambda: f"({plain} * {self.threshold()})",
                lambda: f"sum by (topic, group) ({self.selector('whole')})",
            ]
        )()

    def matched(self, depth: int) -> str:
        """Write an operator between vectors that match."""
        rng = self.rng
        op = self.operator()
        topic = rng.choice(["max", "min", "count", "sum"])
        kind: Kind = "whole" if topic == "sum" else "distinct"
        by_topic = f"{topic} by (topic) ({self.selector(kind)})"
        self.use("owner")
        forms = [
            lambda: f"{self.pair(depth - 1)} {op} {self.pair(depth - 1)}",
            lambda: f"{self.pair(depth - 1)} {op} on (topic, group) {self.pair(depth - 1)}",
            lambda: f"{self.pair(depth - 1)} {op} ignoring (team, none) {self.pair(depth - 1)}",
            lambda: f"{self.pair(depth - 1)} {op} on (topic) group_left () {by_topic}",
            lambda: f"{self.pair(depth - 1)} {op} ignoring (group) group_left () {by_topic}",
            lambda: f"{self.pair(depth - 1)} {op} on (topic) group_left (team) owner",
            lambda: f"owner {op} on (topic) group_right (team) {self.pair(depth - 1)}",
            lambda: f"{by_topic} {op} ignoring (group) group_right () {self.pair(depth - 1)}",
            lambda: f"{by_topic} {op} on (topic) max by (topic) ({self.selector('distinct')})",
            lambda: f"sum({self.vector(depth - 1, 'whole')}) {op} on () count({self.vector(depth - 1)})",
            lambda: f"{self.pair(0, 'whole')} {op} {self.pair(0, 'whole')}",
        ]
        return rng.choice(forms)()

    def united(self, depth: int) -> str:
        """Write a set operator."""
        on = self.rng.choice(
            ["", "", "on (topic) ", "on (topic, group) ", "ignoring (group) ", "on () ", "ignoring () "]
        )
        left, right = self.vector(depth - 1), self.vector(depth - 1)
        if self.rng.random() < 0.5:
            left, right = self.pair(depth - 1), f"({self.pair(depth - 1)} > {self.threshold()})"
        return f"{left} {self.rng.choice(self.sets)} {on}{right}"

    def risky(self, depth: int) -> str:
        """Write what fails, or may fail, where elements cannot be told apart."""
        rng = self.rng
        one, other = self.name("any"), self.name("any")
        on = rng.choice(["on (topic) ", "on () ", "on (group) ", "ignoring (topic) "])
        return rng.choice(
            [
                lambda: f'abs({{__name__=~"{one}|{other}"}})',
                lambda: f'rate({{__name__=~"{one}|{other}"}}[1m])',
                lambda: f'{{__name__=~"{one}|{other}",topic="a"}}',
                lambda: f"({one} {self.operator()} {on}{other})",
                lambda: f"({self.vector(depth - 1)} {self.operator()} {self.vector(depth - 1)})",
                lambda: f"({one} {self.operator()} {on}group_left () {other})",
                lambda: f"({one} {rng.choice(['>', '<', '=='])} {on}{other})",
                lambda: f'-{{__name__=~"{one}|{other}",topic=~"a|b"}}',
            ]
        )()

    def any(self) -> str:
        """Write an expression of any depth."""
        if self.rng.random() < 0.2:
            return corner(self)
        return self.vector(self.rng.choice([1, 1, 2, 2, 2, 3]))
