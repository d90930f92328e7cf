import pytest

from kmon_analysis.promql.needs import fixed_selections, selections
from kmon_analysis.promql.parser import parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", [(0, 0)]),
        ("a offset 1s", [(1000, 0)]),
        ("a offset -1s", [(0, 1000)]),
        ("rate(a[5s])", [(5000, 0)]),
        ("rate(a[5s] offset -2s)", [(3000, 2000)]),
        ("a + a offset -3s + rate(a[5s])", [(5000, 3000)]),
        ("a + b offset 1s", [(0, 0), (1000, 0)]),
        ("max_over_time(rate(a[5s] offset 1s)[10s:1s] offset 2s)", [(18000, 0)]),
        ("max_over_time(a[10s] @ start())", [(10000, 0)]),
        ("sum(a) by (x) and on(x) topk(scalar(a), -(b) > bool 1)", [(0, 0), (0, 0)]),
        ("1 + time()", []),
        ("a @ 5", []),
    ],
)
def test_selections(text, expected):
    assert [(lookback, lookahead) for _, lookback, lookahead in selections(parse(text))] == expected


def test_fixed_selections():
    spans = fixed_selections(parse("rate(a[10s] @ 100) + a @ 50 offset 1s + max_over_time(b[5s:1s] @ 10) + c"))
    assert [(str(matchers[0]), start, end) for matchers, start, end in spans] == [
        ('__name__="a"', 49_000, 100_000),
        ('__name__="b"', 5_000, 10_000),
    ]
