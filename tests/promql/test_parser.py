import math
from dataclasses import replace

import promql_parser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kmon_analysis.errors import ExpressionError
from kmon_analysis.labels import Matcher
from kmon_analysis.promql.parser import parse
from kmon_analysis.promql.printer import format_expr
from kmon_analysis.promql.syntax import (
    Aggregate,
    At,
    Binary,
    Call,
    MatrixSelector,
    NumberLiteral,
    Paren,
    StringLiteral,
    Subquery,
    Unary,
    VectorMatching,
    VectorSelector,
    children,
)


def selector(name, **equal):
    return VectorSelector((Matcher("__name__", "=", name), *(Matcher(k, "=", v) for k, v in equal.items())))


A, B = selector("a"), selector("b")
ONE_TO_ONE = VectorMatching("one-to-one")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", A),
        ("  a # why\n", A),
        ('a{x="1",}', selector("a", x="1")),
        ('{x="1", "a"}', selector("a", x="1")),
        ('a{or="1", by="2", inf="3"}', selector("a", **{"or": "1", "by": "2", "inf": "3"})),
        ("a:b", selector("a:b")),
        ("sum", selector("sum")),
        ("offset offset 5m", VectorSelector((Matcher("__name__", "=", "offset"),), 300_000)),
        ("5", NumberLiteral(5.0)),
        ("-5", NumberLiteral(-5.0)),
        ("- -5", NumberLiteral(5.0)),
        ("+5", NumberLiteral(5.0)),
        ("0x1F", NumberLiteral(31.0)),
        ("011", NumberLiteral(9.0)),
        ("089", NumberLiteral(89.0)),
        ("1_000", NumberLiteral(1000.0)),
        ("1e3", NumberLiteral(1000.0)),
        (".5", NumberLiteral(0.5)),
        ("5.", NumberLiteral(5.0)),
        ("5m", NumberLiteral(300.0)),
        ("iNf", NumberLiteral(math.inf)),
        ("-Inf", NumberLiteral(-math.inf)),
        ("NaN", NumberLiteral(math.nan)),
        ("-NaN", NumberLiteral(math.nan)),
        (r'"a\"\x41\101\u00e4\n"', StringLiteral('a"AAä\n')),
        (r'"\xc3\xa4"', StringLiteral("ä")),
        (r"'\'\\'", StringLiteral("'\\")),
        (r"`\n`", StringLiteral("\\n")),
        ("-a", Unary(A)),
        ("+a", A),
        ("-a^2", Unary(Binary("^", A, NumberLiteral(2.0)))),
        ("-2^2", Unary(Binary("^", NumberLiteral(2.0), NumberLiteral(2.0)))),
        ("-(5)", Unary(Paren(NumberLiteral(5.0)))),
        ("a + b * a", Binary("+", A, Binary("*", B, A, ONE_TO_ONE), ONE_TO_ONE)),
        ("a - b - a", Binary("-", Binary("-", A, B, ONE_TO_ONE), A, ONE_TO_ONE)),
        ("2 ^ 3 ^ 2", Binary("^", NumberLiteral(2.0), Binary("^", NumberLiteral(3.0), NumberLiteral(2.0)))),
        ("2 ^ -3 * 4", Binary("*", Binary("^", NumberLiteral(2.0), NumberLiteral(-3.0)), NumberLiteral(4.0))),
        (
            "a or b and a",
            Binary("or", A, Binary("and", B, A, VectorMatching("many-to-many")), VectorMatching("many-to-many")),
        ),
        ("1 > BOOL 2", Binary(">", NumberLiteral(1.0), NumberLiteral(2.0), None, True)),
        (
            "a * ON (x, y) GROUP_LEFT (z) b",
            Binary("*", A, B, VectorMatching("many-to-one", True, ("x", "y"), ("z",))),
        ),
        ("a * ignoring (x) group_right b", Binary("*", A, B, VectorMatching("one-to-many", False, ("x",)))),
        ("a > 1", Binary(">", A, NumberLiteral(1.0))),
        ("a[5m]", MatrixSelector(A, 300_000)),
        ("a[90]", MatrixSelector(A, 90_000)),
        ("a[1m500ms]", MatrixSelector(A, 60_500)),
        ("a[5m] offset -1ms", MatrixSelector(VectorSelector(A.matchers, -1), 300_000)),
        ("a @ 1.0005", VectorSelector(A.matchers, 0, At("time", 1001))),
        ("a @ -5 offset 1m", VectorSelector(A.matchers, 60_000, At("time", -5000))),
        ("a @ start()", VectorSelector(A.matchers, 0, At("start"))),
        ("a[5m:]", Subquery(A, 300_000, None)),
        ("a offset 1m [5m:30s] @ end()", Subquery(VectorSelector(A.matchers, 60_000), 300_000, 30_000, 0, At("end"))),
        ("sum(a)", Aggregate("sum", A, None, (), True)),
        ("SUM without (x, ) (a)", Aggregate("sum", A, None, ("x",), False)),
        ('topk(3, a) by ("x.y")', Aggregate("topk", A, NumberLiteral(3.0), ("x.y",), True)),
        ("rate(a[5m])", Call("rate", (MatrixSelector(A, 300_000),))),
        ("time()", Call("time", ())),
    ],
)
def test_tree(text, expected):
    tree = parse(text)
    assert tree == expected
    assert hash(tree) == hash(expected)
    assert parse(format_expr(tree)) == tree


def test_nan_is_the_same_number_wherever_it_came_from():
    assert parse("NaN") == NumberLiteral(float("nan")) != parse("1")
    assert hash(parse("NaN")) == hash(NumberLiteral(float("nan")))


def test_spans():
    text = 'sum by (x) (\n  rate(a{x=~".*"}[5m] offset 1m) # rate\n) > -1e3'
    tree = parse(text)

    def cut(span):
        return text[span.start : span.end]

    assert isinstance(tree, Binary)
    assert cut(tree.span) == text
    assert cut(tree.right.span) == "-1e3"
    assert cut(tree.left.span) == text[: text.rindex(")") + 1]
    rate = tree.left.expr
    assert cut(rate.span) == 'rate(a{x=~".*"}[5m] offset 1m)'
    matrix = rate.args[0]
    assert cut(matrix.span) == 'a{x=~".*"}[5m] offset 1m'
    assert cut(matrix.range_span) == "5m"
    assert cut(matrix.selector.span) == 'a{x=~".*"}'
    subquery = parse("(a + b)[1h:5m] offset 1d")
    assert (subquery.range_span.start, subquery.range_span.end) == (8, 10)
    assert subquery.span.end == 24
    assert parse("- 5").span.start == 0


@pytest.mark.parametrize(
    ("text", "start", "words"),
    [
        ("", None, "no expression"),
        ("  # c", None, "no expression"),
        ("a +", 3, "unexpected end"),
        ("a b", 2, "unexpected 'b'"),
        ("(a", 2, "')'"),
        ("a{x=1}", 4, "expected a string"),
        ('a{x=="1"}', 3, "expected one of"),
        ('a{x:y="1"}', 2, "expected a label name"),
        ('a{x="1" or y="2"}', 8, "expected ','"),
        ('a{x=~"["}', 5, "regular expression"),
        (r'a{x="\q"}', 5, "escape"),
        (r'a{x="\xff"}', 4, "UTF-8"),
        ('a{x="1}', 4, "not closed"),
        ("a > 5x", 4, "not a number"),
        ("a[1.5m]", 2, "not a number or duration"),
        ("a[30s1m]", 2, "not a duration"),
        ("a[0s]", 2, "longer than 0"),
        ("a[5m:0s]", 5, "longer than 0"),
        ("a[5m", 4, "expected ']'"),
        ("a offset 1m [5m]", 12, "before a range"),
        ("(a)[5m]", 3, "only allowed behind a vector selector"),
        ("(a) offset 5m", 4, "must be preceded"),
        ("a offset 1m offset 2m", 12, "more than once"),
        ("a @ 1 @ 2", 6, "more than once"),
        ("a @ Inf", 4, "out of bounds"),
        ("on", 0, "unexpected 'on'"),
        ("topk(a)", 0, "takes 2"),
        ("1 + rate(a)", 4, "expected type"),
        ("a + nonsense(b)", 4, "nonsense"),
        ("a + (1 > 2)", 5, "BOOL"),
        ("a + on(x) 1", 4, "vector matching"),
        ("a and on(x) group_left b", 0, "grouping"),
        ('a + {x=~".*"}', 4, "non-empty"),
        ('a{__name__="b"}', 0, "twice"),
        ("a ! b", 2, "unexpected character"),
        ("sum(a,)", 6, "unexpected ')'"),
        ("rate(a[5m]) anchored", 12, "anchored modifier must be preceded"),
        ("(" * 5000, 100, "nested"),
        ("1" + "+1" * 5000, 0, "in a row"),
    ],
)
def test_refusal_names_its_place(text, start, words):
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert caught.value.start == start
    assert words in str(caught.value)


def test_regular_expressions_are_re2():
    assert parse(r'a{x=~"\\Q.\\E"}').matchers[1].value == r"\Q.\E"
    with pytest.raises(ExpressionError, match="regular expression"):
        parse('a{x=~"a{1001}"}')


def _shape(node):
    """The structure that promql-parser reads, in the same words as `_our_shape`."""
    kind = type(node).__name__
    if kind == "NumberLiteral":
        return repr(node.val)
    if kind == "StringLiteral":
        return "s", node.val
    if kind == "VectorSelector":
        return _their_selector(node)
    if kind == "MatrixSelector":
        return "[]", _their_selector(node.vector_selector), node.range.total_seconds()
    if kind == "SubqueryExpr":
        step = None if node.step is None else node.step.total_seconds()
        return "[:]", _shape(node.expr), node.range.total_seconds(), step, _seconds(node.offset)
    if kind == "Call":
        return "call", node.func.name, tuple(map(_shape, node.args))
    if kind == "AggregateExpr":
        parameter = None if node.param is None else _shape(node.param)
        modifier = node.modifier
        clause = ("By", ()) if modifier is None else (str(modifier.type).split(".")[-1], tuple(modifier.labels))
        return "agg", str(node.op), _shape(node.expr), parameter, clause
    if kind == "BinaryExpr":
        modifier = node.modifier
        matching = None
        if modifier is not None:
            card = str(modifier.card).split(".")[-1].lower().replace("onetoone", "")
            labels = () if modifier.matching is None else tuple(modifier.matching.labels)
            matching = modifier.return_bool, card, labels, tuple(modifier.group_labels or ())
        return "bin", str(node.op), _shape(node.lhs), _shape(node.rhs), matching or (False, "", (), ())
    assert kind in ("UnaryExpr", "ParenExpr")
    return kind, _shape(node.expr)


def _seconds(delta):
    return 0.0 if delta is None else delta.total_seconds()


def _their_selector(node):
    names = {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}
    matchers = {(m.name, names[str(m.op).split(".")[-1]], m.value) for m in node.matchers.matchers}
    if node.name is not None:
        matchers.add(("__name__", "=", node.name))
    return "sel", frozenset(matchers), _seconds(node.offset)


def _our_shape(expr):
    match expr:
        case NumberLiteral():
            return repr(expr.value)
        case StringLiteral():
            return "s", expr.value
        case VectorSelector():
            return "sel", frozenset((m.name, m.op, m.value) for m in expr.matchers), expr.offset_ms / 1000
        case MatrixSelector():
            return "[]", _our_shape(expr.selector), expr.range_ms / 1000
        case Subquery():
            step = None if expr.step_ms is None else expr.step_ms / 1000
            return "[:]", _our_shape(expr.expr), expr.range_ms / 1000, step, expr.offset_ms / 1000
        case Call():
            return "call", expr.function, tuple(map(_our_shape, expr.args))
        case Aggregate():
            parameter = None if expr.parameter is None else _our_shape(expr.parameter)
            return "agg", expr.op, _our_shape(expr.expr), parameter, ("By" if expr.by else "Without", expr.grouping)
        case Binary():
            card, labels, include = "", (), ()
            if expr.matching is not None:
                card = expr.matching.cardinality.replace("-to-", "to").replace("onetoone", "")
                labels, include = expr.matching.labels, expr.matching.include
            matching = expr.return_bool, card, labels, include
            return "bin", expr.op, _our_shape(expr.left), _our_shape(expr.right), matching
        case Unary() | Paren():
            return type(expr).__name__ + "Expr", _our_shape(expr.expr)


names = st.sampled_from(["a", "b", "lag:sum", "sum", "on", "and", "nan", "offset"])
label_names = st.sampled_from(["x", "topic", "le", "or", "by", "bool"])
strings = st.text(st.sampled_from("ab.\"\\'`\n\t\x00ä€ {}"), max_size=6)
durations = st.one_of(st.integers(1, 10**9), st.integers(1, 5000).map(lambda n: n * 60_000))
offsets = st.one_of(st.just(0), durations, durations.map(lambda n: -n))
ats = st.one_of(
    st.none(), st.just(At("start")), st.just(At("end")), st.integers(-(10**9), 10**14).map(lambda n: At("time", n))
)
numbers = st.one_of(st.floats(allow_nan=False), st.integers(-10, 10).map(float)).map(NumberLiteral)


@st.composite
def matchers(draw, *, first):
    named = [Matcher("__name__", "=", draw(names))] if first else [Matcher("topic", "=", "t")]
    ops = st.sampled_from(["=", "!=", "=~", "!~"])
    others = draw(st.lists(st.tuples(label_names, ops, strings), max_size=2))
    for name, op, value in others:
        named.append(Matcher(name, op, "a.*|" if "~" in op else value))
    return tuple(named)


selectors = st.builds(VectorSelector, st.booleans().flatmap(lambda f: matchers(first=f)), offsets, ats)
matrices = st.builds(MatrixSelector, selectors, durations)


def grow(inner):
    labels = st.lists(label_names, max_size=2, unique=True).map(tuple)
    scalars = st.one_of(numbers, st.just(Call("time", ())))
    tight = inner.map(lambda e: Paren(e) if isinstance(e, Binary | Unary) else e)
    plain = VectorMatching("one-to-one")
    extra = st.sampled_from([(), ("extra",), ("some", "more")])
    grouped = st.builds(VectorMatching, st.sampled_from(["many-to-one", "one-to-many"]), st.booleans(), labels, extra)
    matching = st.one_of(st.just(plain), grouped)
    arithmetic = st.sampled_from(["+", "-", "*", "/", "%", "^", "atan2"])
    comparison = st.sampled_from(["==", "!=", ">", "<", ">=", "<="])
    sets = st.sampled_from(["and", "or", "unless"])
    many = st.builds(VectorMatching, st.just("many-to-many"), st.booleans(), labels)
    subqueries = st.builds(Subquery, tight, durations, st.one_of(st.none(), durations), offsets, ats)
    return st.one_of(
        st.builds(Unary, tight),
        st.builds(Paren, inner),
        st.builds(lambda op, e, g, by: Aggregate(op, e, None, g, by), st.sampled_from(["sum", "max"]), inner, labels,
                  st.booleans()),
        st.builds(lambda p, e: Aggregate("topk", e, p, (), True), scalars, inner),
        st.builds(lambda m: Call("rate", (m,)), st.one_of(matrices, subqueries)),
        st.builds(lambda op, a, b, m: Binary(op, a, b, m), arithmetic, tight, tight, matching),
        st.builds(lambda op, a, b, m, r: Binary(op, a, b, m, r), comparison, tight, tight, matching, st.booleans()),
        st.builds(lambda op, a, b, r: Binary(op, a, b, None, r), comparison, tight, scalars, st.booleans()),
        st.builds(lambda op, a, b, m: Binary(op, a, b, m), sets, tight, tight, many),
        st.builds(lambda e, s: Call("label_replace", (e, *map(StringLiteral, ("x", s, "y", ".*")))), inner, strings),
    )  # fmt: skip


expressions = st.recursive(selectors, grow, max_leaves=6)


@settings(max_examples=400, deadline=None)
@given(expressions)
def test_printed_text_parses_to_an_equal_tree(expr):
    text = format_expr(expr)
    tree = parse(text)
    assert tree == expr
    assert format_expr(tree) == text


@settings(max_examples=300, deadline=None)
@given(expressions)
def test_both_parsers_read_the_same(expr):
    text = format_expr(expr)
    theirs = promql_parser.parse(text)
    assert _shape(theirs) == _our_shape(parse(text))


@pytest.mark.parametrize(
    "text",
    [
        "a or b and a unless b == bool a + b * a ^ b",
        "-a * b ^ -2",
        "a / b * on (x) a % ignoring (y) b",
        "- - a",
        "2 ^ -3 ^ 2 * 4",
        "a > b > a == b",
        "sum by (x) (rate(a[5m])) > on () group_left () max(b)",
        "-sum_over_time((-a)[5m:1m] offset 1h)",
        "a unless b or a and b",
        "-1 ^ 2 atan2 3",
    ],
)
def test_precedence_agrees_with_the_other_parser(text):
    assert _shape(promql_parser.parse(text)) == _our_shape(parse(text))


@settings(max_examples=300, deadline=None)
@given(expressions)
def test_spans_cut_out_the_text_of_each_part(expr):
    text = format_expr(expr)

    def check(part):
        if not isinstance(part, MatrixSelector):
            assert parse(text[part.span.start : part.span.end]) == part
        for child in children(part):
            if not (isinstance(part, MatrixSelector)):
                check(child)

    check(parse(text))


def test_printer_adds_the_parentheses_that_a_tree_needs():
    product = Binary("*", Binary("+", A, B, ONE_TO_ONE), NumberLiteral(2.0))
    assert format_expr(product) == "(a + b) * 2"
    assert format_expr(Binary("^", NumberLiteral(-2.0), NumberLiteral(2.0))) == "(-2) ^ 2"
    assert format_expr(Unary(NumberLiteral(2.0))) == "-(2)"
    assert format_expr(Subquery(Unary(A), 60_000, None)) == "(-a)[1m:]"


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("rate(a[2 * 30s])", "rate(a[1m])"),
        ("rate(a[5m - 60])", "rate(a[4m])"),
        ("rate(a[-(-2m)])", "rate(a[2m])"),
        ("rate(a[2 ^ 6])", "rate(a[1m4s])"),
        ("rate(a[7m % 2m + 1])", "rate(a[1m1s])"),
        ("rate(a[1m / 7])", "rate(a[8s571ms])"),
        ("rate(a[step() + max_of(1m, min_of(3m, 2m))])", "rate(a[2m])"),
        ("max_over_time(a[2m * 2:1m / 2])", "max_over_time(a[4m:30s])"),
        ("a offset (1m + 30s)", "a offset 90s"),
        ("a offset -(1m)", "a offset -1m"),
        ("a offset -min_of(1m, 30s)", "a offset -30s"),
        ("a offset step()", "a"),
        ("a offset 1m + 1", "(a offset 1m) + 1"),
        ("a @ 1_0", "a @ 10"),
        ("rate(a[1_20])", "rate(a[2m])"),
        ("a offset 1_0", "a offset 10s"),
    ],
)
def test_arithmetic_between_durations(written, plain):
    expected = parse(plain)
    if isinstance(expected, Binary):
        expected = replace(expected, left=expected.left.expr)
    assert parse(written) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rate(a[5m / 0])", "divided by zero"),
        ("rate(a[5m % 0])", "divided by zero"),
        ("rate(a[1m - 2m])", "longer than 0"),
        ("rate(a[step()])", "longer than 0"),
        ("rate(a[9999999999 ^ 99])", "out of range"),
        ("rate(a[5m +])", "expected a duration"),
        ("rate(a[(5m])", "expected '\\)'"),
        ("rate(a[" + "(" * 500 + "5m" + ")" * 500 + "])", "levels deep"),
        ("a offset 1m * 2 offset 1m", "offset"),
    ],
)
def test_arithmetic_that_is_none(text, words):
    with pytest.raises(ExpressionError, match=words):
        parse(text)


def test_spans_of_arithmetic_cover_it():
    text = "rate(a[2 * 30s]) > 5"
    span = parse(text).left.args[0].range_span
    assert text[span.start : span.end] == "2 * 30s"


@pytest.mark.parametrize("text", ["rate(a[1m] anchored)", "a smoothed offset 1m", "rate(a[1m] smoothed @ 5.000)"])
def test_other_edges_are_read_and_written(text):
    assert format_expr(parse(text)) == text


@pytest.mark.parametrize("text", ["a </ 5", "a + 1 >/ b * 2", "(a </ 5) >/ on (x) b"])
def test_the_operators_of_native_histograms_are_read_and_written(text):
    assert format_expr(parse(text)) == text
    assert parse("a </ 5 or b").left.op == "</"


@pytest.mark.parametrize(
    ("text", "words", "start"),
    [
        ("a + fill(0) b", "modifier 'fill' .* experimental", 4),
        ("a + on (x) fill_left(0) b", "modifier 'fill_left' .* experimental", 11),
        ("a </ bool 5", "'bool' is only allowed behind comparisons", 5),
    ],
)
def test_syntax_of_other_releases_is_named(text, words, start):
    with pytest.raises(ExpressionError, match=words) as caught:
        parse(text)
    assert caught.value.start == start
    parse("a + fill")
