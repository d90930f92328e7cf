import json
import math
import struct

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kmon_analysis.labels import Labels
from kmon_analysis.sources.decoding import decode_answer, parse_floats


def shown(value):
    """Write a float as Go's strconv 'f' format does: shortest digits, never an exponent."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return np.format_float_positional(value, unique=True, trim="-")


def naive(body):
    """The obvious reader: json and float."""
    return [
        (
            Labels(entry["metric"]),
            [round(float(time) * 1000) for time, _ in entry["values"]],
            [float(value) for _, value in entry["values"]],
        )
        for entry in json.loads(body)["data"]["result"]
        if "values" in entry
    ]


def assert_as_naive(body):
    decoded = decode_answer(body)
    expected = naive(body)
    assert len(decoded.series) == len(expected)
    for part, (labels, times, values) in zip(decoded.series, expected, strict=True):
        assert part.labels == labels
        assert part.times.tolist() == times
        wanted = np.array(values, dtype=np.float64)
        np.testing.assert_array_equal(part.values.view(np.uint64), wanted.view(np.uint64))
    return decoded


def body_of(series, **more):
    result = [{"metric": metric, "values": [list(pair) for pair in pairs]} for metric, pairs in series]
    return {"status": "success", "data": {"resultType": "matrix", "result": result}, **more}


any_float = st.one_of(
    st.floats(width=64),
    st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("<d", struct.pack("<Q", bits))[0]),
    st.decimals(-(10**6), 10**6, places=3).map(float),
    st.integers(-(2**60), 2**60).map(float),
)
literal = st.one_of(
    any_float.map(shown),
    any_float.map(repr),
    st.from_regex(r"[+-]?[0-9]{1,30}(\.[0-9]{1,40})?(e[+-]?[0-9]{1,3})?", fullmatch=True),
    st.sampled_from(
        ["NaN", "+Inf", "-Inf", "-0", "0.0", "9007199254740993", "9007199254740992.5", "00000000000000000000001.5"]
    ),
)
instant = st.one_of(
    st.integers(-(10**11), 10**12),
    st.integers(-(10**13), 10**13).map(lambda ms: ms / 1000),
    st.sampled_from([1767225600.001, 1.5, 0, 0.25]),
)
label_text = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.sampled_from(['"values":[[1,"2"]]', "values", "]]}", "\\", "<b>"]),
)
answers = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(["__name__", "values", "metric", "a"]), label_text),
        st.lists(st.tuples(instant, literal), max_size=5),
    ),
    max_size=4,
)


@given(series=answers, indent=st.sampled_from([None, 0, 2]), ascii_only=st.booleans())
@settings(deadline=None, max_examples=300)
def test_every_answer_reads_as_json_and_float_read_it(series, indent, ascii_only):
    separators = (",", ":") if indent is None else None
    body = json.dumps(body_of(series), indent=indent, separators=separators, ensure_ascii=ascii_only)
    assert_as_naive(body.encode())


@given(series=answers.filter(bool), at=st.floats(0, 0.999))
@settings(deadline=None, max_examples=200)
def test_a_cut_answer_is_never_read(series, at):
    body = json.dumps(body_of(series)).encode()
    with pytest.raises(ValueError):  # noqa: PT011
        decode_answer(body[: int(len(body) * at)])


@given(st.lists(literal, min_size=1))
@example(["1e400", "-1e400", "1e-400", "4.9e-324", "2.4703282292062327e-324", "1.7976931348623157e308"])
@settings(deadline=None)
def test_floats_are_exact(literals):
    text = "".join(literals).encode()
    ends = np.cumsum([len(item) for item in literals])
    expected = np.array([float(item) for item in literals])
    np.testing.assert_array_equal(parse_floats(text, ends).view(np.uint64), expected.view(np.uint64))


def test_warnings_infos_and_errors_are_kept():
    answer = assert_as_naive(json.dumps(body_of([], warnings=["partial"], infos=["i"])).encode())
    assert answer.warnings == ("partial", "i")
    failed = decode_answer(b'{"status":"error","errorType":"bad_data","error":"parse error: \\"x\\""}')
    assert (failed.status, failed.error_type, failed.error) == ("error", "bad_data", 'parse error: "x"')


def test_vectors_scalars_and_histograms():
    vector = b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":"b"},"value":[1.5,"NaN"]}]}}'
    (part,) = decode_answer(vector).series
    assert part.times.tolist() == [1500]
    assert np.isnan(part.values[0])
    scalar = b'{"status":"success","data":{"resultType":"scalar","result":[1,"2"]}}'
    assert decode_answer(scalar).result_type == "scalar"
    mixed = (
        b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"a":"b"},"values":[[1,"2"]],'
        b'"histograms":[[2,{"count":"1","sum":"1","buckets":[[0,"1","2","1"]]}]]}]}}'
    )
    answer = decode_answer(mixed)
    assert answer.histograms == (Labels({"a": "b"}),)
    assert answer.series[0].times.tolist() == [1000]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"<html>",
        b"{}",
        b'{"status":"success"}',
        b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":[],"values":[[1,"2"]]}]}}',
        b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":7}]}}',
        b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"two"]]}]}}',
        b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"+"]]}]}}',
        b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"."]]}]}}',
        b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,""]]}]}}',
        b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"2"],]}]}}',
        b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"2"]]}]}}{',
    ],
)
def test_anything_else_is_refused(body):
    with pytest.raises(ValueError):  # noqa: PT011
        decode_answer(body)


@pytest.mark.parametrize("pairs", ['[[1e9,"1"]]', '[[1.0005,"1"]]', "[[1,2]]", '[[1,"1e3"]]', "[]"])
def test_unusual_notations_are_read_plainly(pairs):
    body = f'{{"status":"success","data":{{"resultType":"matrix","result":[{{"metric":{{}},"values":{pairs}}}]}}}}'
    assert_as_naive(body.encode())
