import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmon_analysis.errors import SettingError
from kmon_analysis.labels import Labels, parse_series, quote, unquote

texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(texts)
def test_unquote_reads_what_quote_writes(text):
    assert unquote(quote(text)) == text


@given(
    st.dictionaries(st.sampled_from(["topic", "group", "a_1"]), texts),
    st.sampled_from(["", "up", "job:lag:sum"]),
)
def test_parse_series_reads_what_labels_write(pairs, metric):
    labels = Labels({**pairs, "__name__": metric})
    assert parse_series(str(labels)) == labels


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" up ", {"__name__": "up"}),
        ("{}", {}),
        ("up{ a = 'x\\'y' , }", {"__name__": "up", "a": "x'y"}),
        ('{"topic.name"="a", "my metric"}', {"topic.name": "a", "__name__": "my metric"}),
        (r'{a="\u00e9\x41\101\U0001F600"}', {"a": "éAA😀"}),
    ],
)
def test_prometheus_notations(text, expected):
    assert parse_series(text) == Labels(expected)


@pytest.mark.parametrize(
    "text", ["", "consumer lag", "up{", 'up{a="b"} 1', 'up{a="b" c="d"}', "up{a=b}", 'up{a="b}', r'{a="\q"}', "1up"]
)
def test_what_is_no_series_is_refused(text):
    with pytest.raises(SettingError):
        parse_series(text)


def test_a_label_given_twice_is_refused():
    with pytest.raises(SettingError, match="'a' twice"):
        parse_series('up{a="1", a="2"}')
