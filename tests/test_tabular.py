from __future__ import annotations

import base64
import hashlib
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import kmon_analysis
from kmon_analysis.tabular import (
    SORT_SCRIPT,
    SORT_SOURCE,
    TABLE_STYLE,
    Cell,
    hanging,
    html_list,
    html_table,
    length_cell,
    shortened,
    shortened_cell,
    text_lines,
    text_table,
)

HOSTILE = ["<script>alert(1)</script>", "a|b", "`x`", "\u202eevil\u202c", "\x1b[31mred", 'x" onload="y', "&lt;", "$^_"]


STEERING = {"\u202e": "\\u202e", "\u202c": "\\u202c", "\x1b": "\\x1b"}


class Reader(HTMLParser):
    """Rows of (tag, attributes, text) and all tags."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.rows, self.tags, self.attributes, self.caption, self.open = [], [], set(), "", []
        self.bodies, self.style = [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag != "wbr":
            self.open.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.style = dict(attrs).get("style", "") if tag == "table" else self.style
        if tag == "tr":
            self.rows.append([])
        if tag == "tbody":
            self.bodies.append(len(self.rows))
        if tag in ("td", "th"):
            self.rows[-1].append([tag, dict(attrs), ""])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "caption" in self.open:
            self.caption += data
        elif "td" in self.open or "th" in self.open:
            self.rows[-1][-1][2] += data


def test_a_table_says_what_its_heads_and_numbers_are():
    read = Reader(html_table(["rule", "pages"], [["Lag", "1,234"], ["Rate", "–"]], caption="Pages & more"))
    assert read.caption == "Pages & more"
    head, first, second = read.rows
    assert [(tag, given["scope"]) for tag, given, _ in head] == [("th", "col"), ("th", "col")]
    assert first[0][0] == "th"
    assert first[0][1]["scope"] == "row"
    assert first[1][1] == {"class": "n", "data-key": "1234"}
    assert second[1][1]["data-key"] == ""
    assert head[1][1]["class"] == "n"
    assert "class" not in head[0][1]


def test_values_are_sorted_as_values():
    rows = [
        ["a", length_cell(None)],
        ["b", length_cell(90_000)],
        ["c", Cell("never", math.inf)],
        ["d", Cell("?", math.nan)],
    ]
    keys = [row[1][1]["data-key"] for row in Reader(html_table(["x", "delay"], rows)).rows[1:]]
    assert keys == ["", "90000", "Infinity", ""]
    assert [row[1] for row in rows] == ["–", "1 min 30 s", "never", "?"]
    numbers = ["−3", "0.45", "12,000", "2.5e+12", "∞", "3 of 10", "1,2,3"]
    shown = Reader(html_table(["x", "n"], [["r", number] for number in numbers])).rows[1:]
    assert [row[1][1].get("data-key") for row in shown] == ["-3", "0.45", "12000", "2.5e+12", "Infinity", None, None]


def test_rows_that_belong_together_stay_together():
    rows = [["Lag", "now"], ["", "tuned"], ["Rate", "now"]]
    assert Reader(html_table(["rule", "values"], rows, grouped=True)).bodies == [1, 3]
    assert Reader(html_table(["rule", "values"], rows)).bodies == [1]
    footed = html_table(["week", "pages"], [["1", "3"], ["2", "4"], ["together", "7"]], footer=1)
    assert re.search(r"</tbody><tfoot><tr><th[^>]*>together", footed)


def test_a_table_wider_than_its_place_scrolls_by_mouse_and_keyboard():
    made = html_table(["x", "y"], [["a", "b"]], caption='Pages "<b>')
    [(tag, given)] = re.findall(r"<(div) ([^>]*)><table", made)
    assert tag == "div"
    assert given == 'class="kmon-place" tabindex="0" role="region" aria-label="Pages &quot;&lt;b&gt;"'
    assert ".kmon-place { overflow-x: auto" in TABLE_STYLE
    shadows = TABLE_STYLE[TABLE_STYLE.index(".kmon-place, .wide {") :].partition("}")[0]
    assert (shadows.count("no-repeat local"), shadows.count("no-repeat scroll")) == (2, 2)
    assert ".kmon-place, .wide { overflow: visible; background: none; }" in TABLE_STYLE.partition("@media print")[2]
    assert "kmon-place" not in html_table(["x", "y"], [["a", "b"]], bare=True)


def test_what_cannot_be_sorted_has_no_script():
    many = [["a", "1"], ["b", "2"]]
    assert "data-sort" in html_table(["x", "y"], many)
    for table in (
        html_table(["x", "y"], many, sortable=False),
        html_table(["x", "y"], many[:1]),
        html_table(["", "now"], many),
        html_table(["x", "y"], []),
    ):
        assert "data-sort" not in table
        assert "<script" not in table
    bare = html_table(["x", "y"], many, bare=True)
    assert "data-sort" in bare
    assert not {"script", "style"} & set(Reader(bare).tags)


def test_the_script_is_named_by_its_hash_and_ends_nothing_early():
    digest = base64.b64encode(hashlib.sha256(SORT_SCRIPT.encode()).digest()).decode()
    assert f"'sha256-{digest}'" == SORT_SOURCE
    assert not re.search(r"</|<!--|http|innerHTML", SORT_SCRIPT)
    assert not re.search(r"</|http|url\(|@import", TABLE_STYLE)


def test_huge_tables_are_cut_and_say_so():
    rows = [[f"rule-{n}", str(n)] for n in range(100_000)]
    table, text = html_table(["rule", "n"], rows, most=50), text_table(["rule", "n"], rows, most=50)
    assert len(table) < 10_000 + len(SORT_SCRIPT) + len(TABLE_STYLE)
    for shown in (table, text):
        assert "… and 99,950 more" in shown
        assert "rule-49" in shown
        assert "rule-50" not in shown
    assert len(Reader(table).rows) == 52
    endless = html_table(["rule"], [["x" * 10_000_000]])
    assert len(endless) < 1_000 + len(TABLE_STYLE)
    assert len(text_table(["rule"], [["x" * 10_000_000]])) < 200
    assert text_lines(["a", "b", "c"], most=2) == ["a", "b", "… and 1 more"]
    assert html_list([]) == ""


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_only_text(text):
    table = html_table([text, "n"], [[text, text], [text, "1"]], caption=text, bare=True) + html_list([text])
    read = Reader(table)
    assert set(read.tags) <= {"table", "caption", "thead", "tbody", "tr", "th", "td", "bdi", "wbr", "ul", "li"}
    assert read.attributes <= {"class", "data-sort", "scope", "data-key", "style"}
    assert table.count("style=") == 1
    shown = text.replace("\u202e", "\\u202e").replace("\u202c", "\\u202c").replace("\x1b", "\\x1b")
    assert [cell[2] for cell in read.rows[1]] == [shown, shown]
    assert read.caption == shown
    assert "\x1b" not in table
    assert "\u202e" not in table
    lines = text_table([text], [[text]])
    assert "\x1b" not in lines
    assert len(lines.splitlines()) == 2


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_heads_and_sentences_are_only_text(text):
    long = f"{text}_{text}.{text} and more of it"
    made = html_table([text, "b", "c", "d"], [[long, long, "1", ""]], below=[long], bare=True)
    read = Reader(made)
    assert set(read.tags) <= {"table", "thead", "tbody", "tr", "th", "td", "div", "bdi", "wbr"}
    assert read.attributes <= {"class", "scope", "style", "data-key", "colspan"}
    shown = long.replace("\u202e", "\\u202e").replace("\u202c", "\\u202c").replace("\x1b", "\\x1b")
    assert [cell[2] for cell in read.rows[1]] == [shown, shown, "1", ""]
    assert [cell[2] for cell in read.rows[2]] == [shown]
    names = re.fullmatch(r"--c1: '(.*)'; --c2: 'b'; --c3: 'c'; --c4: 'd'", read.style)[1]
    # A backslash stands for what would end the string, and nothing else.
    assert re.fullmatch(r"(?:[^\\']|\\(?:5c|27) )*", names)
    unescaped = re.sub(r"\\(5c|27) ", lambda code: chr(int(code[1], 16)), names)
    assert unescaped == shortened(text.translate(str.maketrans(STEERING)), 40)
    assert "\x1b" not in made
    assert "\u202e" not in made


def test_long_names_are_broken_at_their_seams_and_instants_nowhere():
    series = 'kafka_lag{topic="user.registered"}'
    made = html_table(["x", "y"], [[series, "2026-04-03T08:00:00Z"]], bare=True)
    assert "kafka_<wbr>lag{<wbr>topic=&quot;user.<wbr>registered&quot;}" in made
    assert "2026-04-03T08:00:00Z" in made
    assert [cell[2] for cell in Reader(made).rows[1]] == [series, "2026-04-03T08:00:00Z"]
    assert "<wbr>" not in html_table(["x"], [["a_b.c short words_of it, all of them"]], bare=True)


def test_a_sentence_stands_below_its_row_and_is_sorted_with_it():
    why = 'Why: Lag{topic="a.b"} was at 8,321 for 39 min, ordinarily at most 55. ' * 5
    read = Reader(html_table(["id", "n"], [["a", "1"], ["b", "2"]], below=[why, "short"], most=1, sortable=True))
    assert read.bodies == [1]
    assert [row[0][2] for row in read.rows[1:3]] == ["a", why]
    assert read.rows[2][0][1] == {"class": "below", "colspan": "2"}
    assert len(read.rows) == 4
    both = html_table(["id", "n"], [["a", "1"], ["b", "2"]], below=[why, "short"])
    assert Reader(both).bodies == [1, 3]
    assert "data-sort" in both


def test_cells_name_their_column_where_a_table_may_be_stacked():
    few, many = (html_table(list("abcdefg"[:n]), [["1"] * n], bare=True) for n in (3, 4))
    assert "--c" not in few
    assert Reader(many).style == "--c1: 'a'; --c2: 'b'; --c3: 'c'; --c4: 'd'"
    assert all(f"--head: var(--c{column})" in TABLE_STYLE for column in range(1, 13))
    assert 'class="kmon many ' in many
    assert 'class="kmon very-many ' in html_table(list("abcdefg"), [["1"] * 7], bare=True)


@given(st.text("ab-{}=, ä漢", max_size=200), st.integers(5, 60))
def test_hanging_lines_hold_whole_words(text, width):
    lines = hanging("ab  ", text, width)
    assert " ".join(lines)[4:].split() == text.split()
    for line in lines:
        assert len(line) <= width or len(line.split()) <= 1 + line.startswith("ab")


@given(st.lists(st.lists(st.text(max_size=20), min_size=2, max_size=2), max_size=5), st.text(max_size=20))
def test_any_text_makes_a_table(rows, caption):
    read = Reader(html_table(["a", "b"], rows, caption=caption, bare=True))
    assert len(read.rows) == len(rows) + 1
    assert all(len(row) == 2 for row in read.rows)


@given(st.text(max_size=60), st.integers(3, 40))
def test_shortened_text_fits_and_keeps_its_ends(text, longest):
    shown = shortened(text, longest)
    assert shown == text or (len(shown) == longest and "…" in shown and shown[0] == text[0] and shown[-1] == text[-1])


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("at this hour of other days and weeks ordinarily at most 74", ""),
        ('Lag{consumergroup="search-indexer", topic="user.registered"} up to 8,321 for 39 min, as never before', ""),
        ("the value came nearest with 51.1 at -14m30s, the threshold is > 60", ""),
        ("sum by (topic) (rate(lag[5m])) > 1 and on() (hour() >= 7)", "…"),
        ("a-very-long-consumer-group-name-of-production", "…"),
        ("many short words " + "x" * 60 + " and one of them too long", "…"),
    ],
)
def test_only_names_and_code_lose_their_middle(text, mark):
    found = shortened_cell(text, 40)
    assert found == (shortened(text, 40) if mark else text)
    assert ("…" in found) == bool(mark)


def test_far_too_long_sentences_lose_whole_words_at_their_end():
    sentence = "every word of it counts " * 40
    found = shortened_cell(sentence, 40, 100)
    assert len(found) <= 101
    assert sentence.startswith(found.removesuffix("…") + " ")


def test_the_tuners_style_reaches_no_table():
    # A widget's style sheet holds for the whole notebook: a class of both would give tables the height of its lists.
    style = (Path(kmon_analysis.__file__).parent / "explore" / "static" / "tuner.css").read_text(encoding="utf-8")
    ours = set(re.findall(r"\.(kmon-[a-z-]+)", TABLE_STYLE))
    assert ours == {"kmon-place"}
    assert not ours & set(re.findall(r"\.(kmon-[a-z-]+)", style))
