"""What the generator knows of every function and aggregation: arguments, values, releases.

A test fails when something that is evaluated has no entry here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.conformance.generate.series import Kind

if TYPE_CHECKING:
    from tests.conformance.generate.expressions import Expressions

__all__ = ["AGGREGATES", "COMPARISONS", "COUNTS", "FUNCTIONS", "OPERATORS", "V2", "V3", "Aggregation", "Shape"]

V2, V3 = "2.42", "3.16"
BOTH = (V2, V3)
COUNTS = ("1", "1", "2", "2", "3", "2.9", "0", "-1", "1e30", "NaN")
QUANTILES = ("0.5", "0.9", "0", "1", "0.25", "-1", "1.5", "NaN")
ELEMENTARY = (
    *("exp", "ln", "log2", "log10", "sin", "cos", "tan", "asin", "acos", "atan"),
    *("sinh", "cosh", "tanh", "asinh", "acosh", "atanh"),
)
CALENDAR = ("minute", "hour", "day_of_week", "day_of_month", "day_of_year", "month", "year", "days_in_month")


@dataclass(frozen=True)
class Shape:
    """How a call is written.

    Attributes
    ----------
    write : callable
        ``write(generator, depth, kind)`` returns the text of a call whose values are of that kind.
    keeps : tuple of Kind
        Kinds of values that `write` can promise; "any" always.
    versions : tuple of str
        Releases that know it.
    scalar : bool
        Whether it is a scalar.
    """

    write: Callable[[Expressions, int, Kind], str]
    keeps: tuple[Kind, ...] = ()
    versions: tuple[str, ...] = BOTH
    scalar: bool = False


def _over_range(
    name: str, *, keeps: tuple[Kind, ...] = (), of: Kind = "any", versions: tuple[str, ...] = BOTH
) -> Shape:
    """A function of one range vector; `of` is the kind of argument that a promise needs."""
    return Shape(lambda g, depth, kind: f"{name}({g.matrix(depth, of if kind != 'any' else 'any')})", keeps, versions)


def _counter(name: str) -> Shape:
    return Shape(lambda g, depth, kind: f"{name}({g.matrix(depth, 'any', counters=g.rng.random() < 0.7)})")


def _count(g: Expressions) -> str:
    # Newer releases fail on the last two, which would end promtool's test of rules.
    return g.rng.choice(COUNTS[:-2] if g.for_rules else COUNTS)


def _of_vector(name: str, *, keeps: tuple[Kind, ...] = ()) -> Shape:
    return Shape(lambda g, depth, kind: f"{name}({g.vector(depth - 1, kind)})", keeps)


def _with_scalars(name: str, count: int) -> Shape:
    return Shape(
        lambda g, depth, kind: (
            f"{name}({', '.join([g.vector(depth - 1, 'any'), *(g.scalar(1) for _ in range(count))])})"
        )
    )


def _constant(text: str) -> Shape:
    return Shape(lambda g, depth, kind: text, scalar=True)


def _round(g: Expressions, depth: int, kind: Kind) -> str:
    nearest = g.rng.choice(["", ", 5", ", 10"] if kind == "whole" else ["", ", 5", ", 0.1", ", 0", ", 1e-3"])
    return f"round({g.vector(depth - 1, kind)}{nearest})"


def _quantile_over_time(g: Expressions, depth: int, kind: Kind) -> str:
    return f"quantile_over_time({g.rng.choice([*QUANTILES, g.scalar(1)])}, {g.matrix(depth, 'any')})"


def _predict(g: Expressions, depth: int, kind: Kind) -> str:
    return f"predict_linear({g.matrix(depth, 'any')}, {g.rng.choice(['600', '-60', '3600', g.scalar(1)])})"


def _calendar(name: str) -> Shape:
    def write(g: Expressions, depth: int, kind: Kind) -> str:
        inner = g.rng.choice(
            ["", "", "vector(time())", f"{g.vector(0, 'any')} * 1e6", f"timestamp({g.vector(0, 'any')})"]
        )
        return f"{name}({inner})"

    return Shape(write, ("whole",) if name != "year" else ())


def _holt_winters(g: Expressions, depth: int, kind: Kind) -> str:
    factors = f"{g.rng.choice(['0.5', '0.1', '0.9'])}, {g.rng.choice(['0.5', '0.1', '0.3'])}"
    return f"holt_winters({g.matrix(depth, 'any')}, {factors})"


def _label_replace(g: Expressions, depth: int, kind: Kind) -> str:
    target, source = (
        g.rng.choice(["part", "part", "new", "topic", "group", "__name__"]),
        g.rng.choice(["topic", "group", "team", "team", "none", "pod"]),
    )
    replacement, pattern = g.rng.choice(
        [
            ("$1", "(.*)"),
            ("x-$1", "([a-b])"),
            ("${1}y", "(.)"),
            ("$team.$2", "team-(?P<team>.)\\\\.(.)"),
            ("fixed", ""),
            ("<$1>", "(.+)"),
            ("$1", "(line.)break|(?:team-)(.*)"),
            ("", ".*"),
            ("$$1$", "(a|x|p.)"),
            ("$9", "(.+)"),
        ]
    )
    inner = "owner" if source == "team" else g.vector(depth - 1, kind)
    if source == "team":
        g.use("owner")
    return f'label_replace({inner}, "{target}", "{replacement}", "{source}", "{pattern}")'


def _label_join(g: Expressions, depth: int, kind: Kind) -> str:
    target = g.rng.choice(["topic", "both", "new"])
    sources = g.rng.choice(['"topic", "group"', '"topic"', '"none", "topic", "pod"', '"group", "group"'])
    return f'label_join({g.vector(depth - 1, kind)}, "{target}", "{g.rng.choice(["-", "", "::"])}", {sources})'


def _buckets(g: Expressions) -> str:
    span = g.rng.choice(["1m", "2m", "5m"])
    name = g.rng.choice(["latency_bucket", "latency_bucket", "took_bucket"])
    g.use(name)
    whole = [
        "sum by (le) (latency_bucket)",
        "sum by (le, topic) (latency_bucket)",
        f"sum by (le) (increase(latency_bucket[{span}]) * 0 + latency_bucket)",
    ]
    return g.rng.choice(
        [
            f"rate({name}[{span}])",
            f"increase({name}[{span}]{g.modifiers()})",
            name,
            f'{name}{{topic="a"}}',
            f'{name}{{le!="1"}}',
            f'{name}{{le!="+Inf"}}',
            g.vector(0, "any"),
            *(whole if name == "latency_bucket" else ()),
        ]
    )


def _histogram_quantile(g: Expressions, depth: int, kind: Kind) -> str:
    return f"histogram_quantile({g.rng.choice([*QUANTILES, g.scalar(1)])}, {_buckets(g)})"


def _histogram_fraction(g: Expressions, depth: int, kind: Kind) -> str:
    lower, upper = g.rng.choice(["0", "-1", "0.3", "-Inf"]), g.rng.choice(["0.7", "3", "Inf", g.scalar(1)])
    return f"histogram_fraction({lower}, {upper}, {_buckets(g)})"


def _absent(g: Expressions, depth: int, kind: Kind) -> str:
    inner = g.rng.choice(
        [
            g.vector(depth - 1, "any"),
            g.vector(0, "any"),
            'none{topic="a", group=~"x"}',
            'lag{topic="none", group="x"}',
            "sum(none)",
            '(none{topic="a", topic="b", group="y"})',
        ]
    )
    return f"absent({inner})"


def _timestamp(g: Expressions, depth: int, kind: Kind) -> str:
    # With both modifiers Prometheus answers by accident, and it is refused here.
    modifier = g.rng.choice(["", "", " offset 1m", " offset 7s", g.at(), "x"])
    return f"timestamp({g.vector(depth - 1, 'any') if modifier == 'x' else g.selector('any') + modifier})"


FUNCTIONS: dict[str, Shape] = {
    **{name: _counter(name) for name in ("rate", "increase", "irate", "resets")},
    **{name: _over_range(name) for name in ("delta", "idelta", "deriv", "avg_over_time", "stddev_over_time")},
    **{name: _over_range(name) for name in ("stdvar_over_time",)},
    **{name: _over_range(name, keeps=("whole",)) for name in ("count_over_time", "present_over_time", "changes")},
    **{
        name: _over_range(name, keeps=("whole",), of="whole")
        for name in ("sum_over_time", "min_over_time", "max_over_time", "last_over_time")
    },
    "first_over_time": _over_range("first_over_time", keeps=("whole",), of="whole", versions=(V3,)),
    "absent_over_time": _over_range("absent_over_time", keeps=("whole",)),
    "quantile_over_time": Shape(_quantile_over_time),
    "predict_linear": Shape(_predict),
    "holt_winters": Shape(_holt_winters, (), (V2,)),
    "absent": Shape(_absent, ("whole",)),
    **{name: _of_vector(name, keeps=("whole",)) for name in ("abs", "sgn")},
    **{name: _of_vector(name, keeps=("whole",)) for name in ("ceil", "floor")},
    **{name: _of_vector(name) for name in ("sqrt", "deg", "rad", *ELEMENTARY)},
    "round": Shape(_round, ("whole",)),
    "clamp": _with_scalars("clamp", 2),
    "clamp_min": _with_scalars("clamp_min", 1),
    "clamp_max": _with_scalars("clamp_max", 1),
    "sort": _of_vector("sort", keeps=("whole", "special", "distinct")),
    "sort_desc": _of_vector("sort_desc", keeps=("whole", "special", "distinct")),
    **{name: _calendar(name) for name in CALENDAR},
    "timestamp": Shape(_timestamp),
    "label_replace": Shape(_label_replace, ("whole",)),
    "label_join": Shape(_label_join, ("whole",)),
    "histogram_quantile": Shape(_histogram_quantile),
    "histogram_fraction": Shape(_histogram_fraction, (), (V3,)),
    "vector": Shape(lambda g, depth, kind: f"vector({g.scalar(1 if kind == 'any' else 0)})"),
    "scalar": Shape(lambda g, depth, kind: f"scalar({g.vector(0, 'any')})", scalar=True),
    "time": _constant("time()"),
    "pi": _constant("pi()"),
}


@dataclass(frozen=True)
class Aggregation:
    """How an aggregation may be used.

    Attributes
    ----------
    of : tuple of Kind
        Kinds of elements that it may put together in any number.
    pairs : tuple of Kind
        Kinds of which it may put together two.
    keeps : tuple of Kind
        Kinds of result it can promise where the elements are of that kind.
    parameter : callable or None
        Writes the parameter.
    versions : tuple of str
        Releases that know it.
    """

    of: tuple[Kind, ...] = ()
    pairs: tuple[Kind, ...] = ()
    keeps: tuple[Kind, ...] = ()
    parameter: Callable[[Expressions], str] | None = None
    versions: tuple[str, ...] = BOTH


AGGREGATES: dict[str, Aggregation] = {
    "sum": Aggregation(of=("whole", "special"), keeps=("whole",)),
    "min": Aggregation(of=("whole", "special", "distinct"), keeps=("whole", "special", "distinct")),
    "max": Aggregation(of=("whole", "special", "distinct"), keeps=("whole", "special", "distinct")),
    "count": Aggregation(of=("whole", "special", "distinct", "any"), keeps=("whole",)),
    "group": Aggregation(of=("whole", "special", "distinct", "any"), keeps=("whole",)),
    "avg": Aggregation(pairs=("whole",)),
    "stddev": Aggregation(pairs=("whole",)),
    "stdvar": Aggregation(pairs=("whole",)),
    "quantile": Aggregation(
        of=("whole", "special", "distinct"), parameter=lambda g: g.rng.choice([*QUANTILES, g.scalar(1)])
    ),
    "topk": Aggregation(of=("distinct",), keeps=("distinct",), parameter=_count),
    "bottomk": Aggregation(of=("distinct",), keeps=("distinct",), parameter=_count),
    "count_values": Aggregation(
        of=("whole", "special", "distinct"),
        keeps=("whole",),
        parameter=lambda g: g.rng.choice(['"value"', '"value"', '"topic"']),
    ),
}

ARITHMETIC = ("+", "-", "*", "/", "%", "^", "atan2")
COMPARISONS = ("==", "!=", ">", "<", ">=", "<=")
SETS = ("and", "or", "unless")
OPERATORS = (*ARITHMETIC, *COMPARISONS, *SETS)
