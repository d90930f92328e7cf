"""The map from a scalar's value to its source, against ruamel.yaml's own reading."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from ruamel.yaml.nodes import ScalarNode

from kmon_analysis.rules.document import Source
from kmon_analysis.rules.scalars import block_end

STYLES = [
    "e: lag > 1000\n",
    "e: lag >\n    1000  # why\n",
    "e: lag\n\n\n   > 1\n   and\ty\nf: 2\n",
    "e: 'it''s > 1'\n",
    "e: 'a\n\n   b  c '\n",
    'e: "a\\tb \\"q\\" \\u00e9 \\x41 \\U0001F600"\n',
    'e: "a \\\n    b\n    c\n\n    d"\n',
    "e: |\n  lag\n    > 1000\n\n  and y\n\n",
    "e: |-\n  lag\n  > 1\nf: 1\n",
    "e: |+\n  lag\n\n\nf: 1\n",
    "e: >\n  lag\n  > 1\n\n  and\n    (more\n     indented)\n  end\n",
    "e: >-\n  lag\n  > 1",
    "e: >+\n\n  lag\n  > 1\n\n",
    "e: |2-\n    lag\n   > 1\n",
    "e: |  # comment\n  lag\n",
    "e: |\r\n  lag\r\n  > 1\r\nf: 1\r\n",
    "e: lag >\r\n  1\r\n",
    "e: &x lag > 1\n",
    "e: !!str &x\n  lag > 1\n",
    "e: &x # note\n  'lag'\n",
    "{e: lag > 1, f: 2}\n",
    "e: ''\n",
    "e:\n",
    "- - e: a\n",
]


def scalars(text):
    def walk(node):
        if isinstance(node, ScalarNode):
            yield node
        else:
            for item in node.value:
                for part in item if isinstance(item, tuple) else [item]:
                    yield from walk(part)

    source = Source(text, "")
    return source, [scalar for document in source.documents() for scalar in walk(document)]


@pytest.mark.parametrize("text", STYLES)
def test_every_style_is_mapped(text):
    source, nodes = scalars(text)
    assert nodes
    for node in nodes:
        spans = source.spans(node)
        assert spans is not None
        assert len(spans) == len(node.value)
        for before, after in itertools.pairwise(spans):
            assert before.start <= after.start
        for char, span in zip(node.value, spans, strict=True):
            written = text[span.start : span.end]
            assert written == char or char in " \n" or written[0] in "\\'"


@given(
    st.text(alphabet="ab >'\"\\\n\t#:-é", max_size=25), st.sampled_from(["'", '"', "|", ">", "|-", ">-", "|+", ">+"])
)
def test_values_written_by_ruamel_come_back(value, style):
    if style in "'\"":
        body = value.replace("'", "''") if style == "'" else value.replace("\\", "\\\\").replace('"', '\\"')
        text = f"e: {style}{body.replace(chr(10), chr(10) + '  ')}{style}\n"
    else:
        text = f"e: {style}\n" + "".join(f"  {line}\n" for line in value.split("\n"))
    # A first line of blanks alone, deeper than the content, ends the scalar early in ruamel.yaml: no map, no harm.
    assume(not re.match(r"\n* [ \n]*\n", value))
    source, nodes = scalars(text)
    assume(len(nodes) > 1)
    node = nodes[1]
    spans = source.spans(node)
    assert spans is not None
    assert len(spans) == len(node.value)


def test_end_of_a_block_is_its_last_line_with_content():
    text = "e: |\n  lag\n  > 1\n\n\n# comment\nf: 1\n"
    assert text[: block_end(text, 3, "lag\n> 1\n")] == "e: |\n  lag\n  > 1"
