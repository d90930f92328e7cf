"""Expressions about the corners in which releases differ, or only a few values show a fault."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.conformance.generate.series import PAIRS
from tests.conformance.generate.shapes import COMPARISONS, COUNTS, V3

if TYPE_CHECKING:
    from tests.conformance.generate.expressions import Expressions

__all__ = ["corner"]


def corner(g: Expressions) -> str:
    """Write one of them."""
    rng = g.rng
    choices = [
        _rounded,
        _tied,
        _filtered_duplicates,
        _equal_buckets,
        _whole_rank,
        _angle,
        _absent,
        _named,
        _limit,
        _dot,
    ]
    if g.versions == (V3,):
        choices.append(_fraction)
    return rng.choice(choices)(g)


def _chain(g: Expressions, write: str, names: tuple[str, ...]) -> str:
    """Write single elements in an order of our own."""
    places = list(PAIRS)
    g.rng.shuffle(places)
    for name in names:
        g.use(name)
    return " or ".join(
        write.format(f'{g.rng.choice(names)}{{topic="{topic}",group="{group}"}}') for topic, group in places
    )


def _rounded(g: Expressions) -> str:
    name = g.rng.choice(["sum", "sum", "avg", "avg", "stddev", "stdvar"])
    return f"{name} ({_chain(g, '{}', ('load', 'bytes_total', 'load'))})"


def _tied(g: Expressions) -> str:
    elements = _chain(g, f"({{}} > bool {g.threshold()})", ("lag", "size", "holes"))
    return f"{g.rng.choice(['topk', 'bottomk'])}({g.rng.choice('1234')}, {elements})"


def _filtered_duplicates(g: Expressions) -> str:
    side = f"max by (topic) ({g.selector('whole', layout='pair')})"
    return f"{g.selector('whole', layout='pair')} {g.rng.choice(COMPARISONS)} on (topic) {side}"


def _equal_buckets(g: Expressions) -> str:
    g.use("took_bucket")
    return f"histogram_quantile({g.rng.choice(['0.5', '0.9', '0.2', '0.75', '0.99'])}, took_bucket)"


def _fraction(g: Expressions) -> str:
    g.use("latency_bucket")
    lower, upper = g.rng.choice(["-1", "-0.5", "0", "-Inf", "0.05"]), g.rng.choice(["0.05", "0.3", "2", "Inf"])
    return f"histogram_fraction({lower}, {upper}, latency_bucket)"


def _whole_rank(g: Expressions) -> str:
    g.use("holes")
    q = g.rng.choice(["0", "1", "0.5", "0.25"])
    return g.rng.choice(
        [f"quantile ({q}, holes)", f"quantile_over_time({q}, holes[{g.rng.choice(['2m', '5m', '10m'])}])"]
    )


def _angle(g: Expressions) -> str:
    return f"{g.rng.choice(['deg', 'rad'])}({g.selector('any', layout='pair')})"


def _absent(g: Expressions) -> str:
    some = ['topic="a"', 'topic="b"', 'group="x"', 'group!="x"', 'group=~"y"', 'team="c"', 'team=""', 'topic!="q"']
    chosen = ",".join(g.rng.sample(some, g.rng.choice([2, 3, 4])))
    return g.rng.choice([f"absent(none{{{chosen}}})", f"absent_over_time(none{{{chosen}}}[5m])"])


def _named(g: Expressions) -> str:
    target = g.rng.choice(["not valid", "größe", "9", "fine", "a.b", "__name__"])
    plain = g.selector("whole", layout="pair")
    return g.rng.choice(
        [
            f'label_join({plain}, "{target}", "-", "topic", "group")',
            f'label_replace({plain}, "{target}", "$1", "topic", "(.*)")',
            f'count_values("{target}", {plain})',
        ]
    )


def _limit(g: Expressions) -> str:
    k = g.rng.choice(["NaN", "1e19", "-1e19", "Inf", "-Inf", "9.3e18", *COUNTS])
    return f"{g.rng.choice(['topk', 'bottomk'])}({k}, {g.rng.choice([g.selector('distinct'), 'none'])})"


def _dot(g: Expressions) -> str:
    g.use("owner")
    return g.rng.choice(
        [
            'owner{team=~"line.break|team.*"}',
            'owner{team!~"l.*k"}',
            'label_replace(owner, "part", "<$1>", "team", "(l.*)")',
            'label_replace(owner, "part", "$1$2", "team", "(?s:line(.)break)|(team.*)")',
        ]
    )
