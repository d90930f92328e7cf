"""Java's regular expressions: what Java itself says, and RE2 against the step-by-step twin."""

import base64
import random
import subprocess
from pathlib import Path

import pytest

from kmon_analysis.kafka.javamatch import JavaPattern, match_slowly
from kmon_analysis.kafka.javaregex import RegexError
from tests.tools import require

TEXTS = [
    "kafka.server<type=BrokerTopicMetrics, name=MessagesInPerSec, topic=user.registered><>Count: 100",
    "kafka.log<type=Log, name=Size, topic=orders-v2, partition=0><>Value: 7",
    "java.lang<type=Memory><HeapMemoryUsage>used: 12.5",
    "aab", "abab", "", "a", "AbC1_2 b-", "a{2}b", "x]y^z",
]  # fmt: skip
# One a line.
STATED = r"""
a+b
(a)(a)?b
(?<x>a)\k<x>b
(a)\1b
(\w)\2
a{2}b
a{2,}b
a{0,1}a{1}b
a\{2\}b
a{2}{1}b
(a|b)*
(?:(a)|(b))*
(a*)*b
(a*?)+b
(a|b*)*
(?:a|ab)(c|bab)?
((a)|b)*
a*+b
a*+ab
(?>a|aa)b
(?=aa)a+b
(?!b)a+b
.*(?<=a)b
.*(?<!b)b
.*(?<=(a)b).*
(?i)ABC1_2 B-
(?i:A)bC.*
a(?i)AB
((?i)A)ab
[a-c]+
[^a-c]*
[]a]+
[a\]]+b
[\w&&[^b]]+b
[a-c&&b-z]*
[a-z&&[ab]]*
[[a][b]]*
[x\]y^z]*
x\]y\^z
x]y\^z
\Qa{2}\Eb
\Qa{2}b
\Qaa\E*b
\p{Alpha}+
\p{Lu}\p{Ll}\p{IsAlphabetic}.*
\P{Lu}+
\pL+
\p{javaLowerCase}*
[\p{L}&&[^A-Z]]*
\x61\u0061\142
\x61\u0061\0142
\x{61}ab
\ca*.*
a\Eb
(?s).*
(?m)^aab$
(?d)a.b
^aab\z
\Aaab\Z
\Gaab
.*\b.*
\baab\b
a\Ba\Bb
a||b
(|a)+b
()
a**
+a
a)
(a
[a
[b-a]
a{2
a{3,2}
{2}
(?<a>a)(?<a>a)b
(?<1a>a)
\y
\p{Nonsense}
(?<=a*)b
(?z)a
(?#c)a
\k<a>
a\\
\u00zz
(?<a-b>a)
a???b
(?i)[A-C]+
(?i)\p{Upper}+
(?x)a a b
\Raab
\h*aab
\v*\S+
\D+\d.*
(a)(b)?\2
(?:(a)b?)+
(?:(a)|b)+?
(a{1,2}){1,2}b
(?:a++|b)++
(?<!a)a.*
(?<=^)aab
(?=(a+))\1b
(?=(a+))a*b
(?!(a)b)a.*
((?=a)|b)+aab
[a&&]
[&&a]
[^&a]+
kafka.server<type=(.+), name=(.+)><>Count.*
kafka.(\w+)<type=([^,]+), name=(.+?)(?:, topic=(.+))?><>(\w+): (.*)
^.*(?:(\w+)<type=(\w*)M(\w+)).*$
^.*(?:name=(\w+), topic=([^,>]+)(, partition=(\d))?).*$

a\
""".splitlines()
ATOMS = [
    "a", "b", ".", r"\w", "[ab]", "[^a]", r"\d", "(a)", "(b|ab)", "(?:a|b)", "(a*)", "()", r"\1", r"\2", "(?=a)",
    "(?!b)", "(?<=a)", "(?>a|ab)", "^", "$", r"\b", "(?i)", "(?i:A)", "<", "(?<n>b)", "c?", r"(?<!b)",
]  # fmt: skip
QUANTIFIERS = ["", "", "", "*", "+", "?", "*?", "+?", "??", "*+", "?+", "{2}", "{1,2}", "{0,2}?"]


def random_pattern(rng):
    parts, named = [], False
    for _ in range(rng.randint(1, 5)):
        atom = rng.choice(ATOMS)
        if atom == "(?<n>b)":
            atom = "(b)" if named else atom
            named = True
        parts.append(atom + ("" if atom in ("^", "$", r"\b", "(?i)") else rng.choice(QUANTIFIERS)))
        if rng.random() < 0.15:
            parts.append("|")
    return "".join(parts)


def random_cases():
    rng = random.Random(11)
    return [(random_pattern(rng), "".join(rng.choice("aabc") for _ in range(rng.randint(0, 5)))) for _ in range(3000)]


CASES = [(pattern, text) for pattern in STATED for text in TEXTS] + random_cases()


def ours(pattern, text):
    try:
        return JavaPattern(pattern).match(text) or "no"
    except RegexError as error:
        return "refused" if error.java else "not replayed"


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def decoded(line):
    if not line.startswith("="):
        return line
    return tuple(None if cell == "-" else base64.b64decode(cell).decode() for cell in line[1:].split(","))


def test_java_says_the_same(tmp_path):
    require("jmx")
    cases = tmp_path / "cases"
    cases.write_text("".join(f"{encoded(pattern)}\t{encoded(text)}\n" for pattern, text in CASES))
    program = Path(__file__).parent / "Regexes.java"
    done = subprocess.run(
        [str(require("java")), "-XX:TieredStopAtLevel=1", str(program), str(cases)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    theirs = [decoded(line) for line in done.stdout.splitlines()]
    assert len(theirs) == len(CASES)
    wrong = [
        (pattern, text, said, found)
        for (pattern, text), found in zip(CASES, theirs, strict=True)
        if (said := ours(pattern, text)) not in (found, "not replayed")
    ]
    assert wrong == []
    assert sum(ours(*case) == "not replayed" for case in CASES) < len(CASES) / 8
    assert sum(isinstance(each, tuple) for each in theirs) > 500


def test_the_fast_way_and_the_slow_way_agree():
    fast = 0
    for pattern, text in CASES:
        try:
            compiled = JavaPattern(pattern)
        except RegexError:
            continue
        if compiled._fast is not None:
            fast += 1
            assert compiled.match(text) == match_slowly(pattern, text), (pattern, text)
    assert fast > 1000


@pytest.mark.parametrize(
    ("pattern", "words", "at"),
    [
        ("ab(c", "unclosed group", 2),
        ("a(?x)b", "(?x) is not replayed", 1),
        (r"a\Xb", r"\X is not replayed", 1),
        ("[^a[b]]", "negated class", 0),
        ("(?<=a+)b", "look-behind", 0),
        ("a()*", "repetition of nothing", 1),
        ("{2}", "'{' without", 0),
        ("a{4000000}", "so large a repetition", 1),
        ("(" * 60 + ")" * 60, "nested deeper", 41),
        (r"\p{IsGreek}", "'IsGreek' is not replayed", 0),
    ],
)
def test_what_is_refused_is_named(pattern, words, at):
    with pytest.raises(RegexError) as caught:
        JavaPattern(pattern)
    assert words in caught.value.problem
    assert caught.value.at == at


@pytest.mark.parametrize("body", [r"(\w+\s?)*(?!x)!", r"(.*)\1(.*)\2(.*)\3(.*)!", "(.*)(.*)(.*)(.*)(.*)(?=!)!"])
def test_no_pattern_hangs(body):
    compiled = JavaPattern(f"^.*(?:{body}).*$")
    assert compiled._fast is None
    with pytest.raises(RegexError, match="not replayed"):
        compiled.match("a" * 40 + " b c d e f g h i j k l m n o p q r s t u v w")


def test_what_hangs_java_takes_re2_no_time():
    assert JavaPattern("(a|aa)*(a|b)*(?:a*)*c").match("a" * 5000) is None
