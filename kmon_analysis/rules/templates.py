"""Templates in rule labels and annotations: the part of Go's text/template that rules use."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache

from kmon_analysis.errors import ExpressionError

__all__ = ["check_template", "expand", "format_go", "is_constant"]

_ACTION = re.compile(
    r"(?P<trim_left>[ \t\r\n]*\{\{-(?=[ \t\r\n])|\{\{)"
    r"(?P<body>(?:\"(?:[^\"\\\n]|\\.)*\"|`[^`]*`|/\*.*?\*/|[^\"`}]|\}(?!\}))*?)"
    r"(?P<trim_right>(?<=[ \t\r\n])-\}\}[ \t\r\n]*|\}\})",
    re.DOTALL,
)
_TOKEN = re.compile(
    r"\s*(?:(?P<string>\"(?:[^\"\\\n]|\\.)*\"|`[^`]*`)"
    r"|(?P<value>(?:\$value|\.Value)(?![\w.]))"
    r"|(?P<label>(?:\$labels|\.Labels)\.(?P<name>[A-Za-z_]\w*)(?![\w.]))"
    r"|(?P<external>(?:\$externalLabels|\.ExternalLabels)\.[A-Za-z_]\w*(?![\w.]))"
    r"|(?P<word>[A-Za-z_]\w*)"
    r"|(?P<pipe>\|)"
    r"|(?P<other>[^\s|]+))"
)
_LITERAL = re.compile(r"\"(?:[^\"\\\n]|\\.)*\"|`[^`]*`|/\*.*?\*/", re.DOTALL)
_VARIABLE = re.compile(r"\$\w*")
_DECLARED = re.compile(r"((?:\$\w+\s*,\s*)?\$\w+)\s*:=")
_WORD = re.compile(r"(?<![\w.$])[A-Za-z_]\w*")
_DEFINED = {"$", "$labels", "$externalLabels", "$externalURL", "$value"}
_OPENERS = ("if", "range", "with", "define", "block")
_WORDS = """
and or not len index slice print printf println html js urlquery call eq ne lt le gt ge if else end range with
define template block nil true false break continue query first label value sortByLabel strvalue args tmpl
reReplaceAll safeHtml match title toUpper toLower graphLink tableLink humanize humanize1024 humanizeDuration
humanizePercentage humanizeTimestamp toTime toDuration pathPrefix externalURL parseDuration stripPort
stripDomain now urlQueryEscape
"""
_KNOWN_WORDS = frozenset(_WORDS.split())
_STRING_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))", re.DOTALL)
_PLAIN_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_VERB = re.compile(r"%(?:\.(\d+))?([a-zA-Z%])")
_LARGE, _LARGE_BINARY = ("k", "M", "G", "T", "P", "E", "Z", "Y"), ("ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi")
_SMALL = ("m", "u", "n", "p", "f", "a", "z", "y")
_LONGEST = 20_000
_CURE = "Use $labels.x, $value, printf or a humanize function, or take the template out of the labels"

Value = str | float


def format_go(value: float) -> str:
    """Write a float as Go's ``%v`` does.

    Notes
    -----
    Go ``strconv.FormatFloat(v, 'g', -1, 64)``: shortest digits, an exponent below 1e-4 and from 1e+06.

    Examples
    --------
    >>> [format_go(number) for number in (999999.0, 1e6, 0.0001, 1e-5, float("inf"))]
    ['999999', '1e+06', '0.0001', '1e-05', '+Inf']
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    sign, digit_tuple, exponent = Decimal(repr(value)).as_tuple()
    digits = "".join(map(str, digit_tuple)).lstrip("0")
    trimmed = digits.rstrip("0")
    power = int(exponent) + len(digits) - 1
    prefix = "-" if sign else ""
    if not trimmed:
        return f"{prefix}0"
    if power < -4 or power >= 6:
        mantissa = trimmed[0] + ("." + trimmed[1:] if len(trimmed) > 1 else "")
        return f"{prefix}{mantissa}e{'-' if power < 0 else '+'}{abs(power):02d}"
    if power < 0:
        return f"{prefix}0.{'0' * (-power - 1)}{trimmed}"
    whole, rest = trimmed[: power + 1].ljust(power + 1, "0"), trimmed[power + 1 :]
    return f"{prefix}{whole}{'.' + rest if rest else ''}"


def check_template(text: str) -> str | None:
    """Return why Prometheus refuses a template when it reads the rule file; None where nothing is found.

    Notes
    -----
    Go ``text/template/parse``: delimiters, nesting, variables. Functions are only questioned where their
    name looks like a slip of a known one, because newer releases bring new functions.

    Examples
    --------
    >>> check_template("{{ $label.topic }}")
    "the variable '$label' is not defined"
    """
    # Asked first: a search from every opening to the end of the text would take a square of its length.
    if text.rfind("{{") > text.rfind("}}"):
        return "'{{' is never closed"
    if len(text) > _LONGEST:
        return f"it has {len(text):,} characters, at most {_LONGEST:,} are read"
    if "{{" in _ACTION.sub("", text):
        return "'{{' is never closed"
    bodies = [_LITERAL.sub(" '' ", match["body"]).strip() for match in _ACTION.finditer(text)]
    declared = _DEFINED | {
        name for body in bodies for found in _DECLARED.findall(body) for name in _VARIABLE.findall(found)
    }
    depth = 0
    for body in bodies:
        if not body:
            return "'{{ }}' is empty"
        if "}" in body or "{" in body:
            return f"'{body}' has a brace too many"
        for name in _VARIABLE.findall(body):
            if name not in declared:
                return f"the variable '{name}' is not defined"
        words = _WORD.findall(body)
        depth += bool(words) and words[0] in _OPENERS
        depth -= bool(words) and words[0] == "end"
        if depth < 0:
            return "'end' closes nothing"
        for word in words:
            near = [] if word in _KNOWN_WORDS else difflib.get_close_matches(word, _KNOWN_WORDS, n=1, cutoff=0.8)
            if near:
                return f"there is no function '{word}'; did you mean '{near[0]}'"
    return f"{depth} of 'if', 'range' or 'with' have no 'end'" if depth else None


def is_constant(text: str) -> bool:
    """Tell whether a text has no template action."""
    return "{{" not in text


def expand(text: str, labels: Mapping[str, str], value: float) -> str:
    """Expand a template for one alert.

    Parameters
    ----------
    text : str
        The template.
    labels : Mapping
        Labels of the query result, the metric name included; a missing one is "".
    value : float
        The sample's value.

    Raises
    ------
    ExpressionError
        For functions and statements outside the supported subset, by name.

    Notes
    -----
    Prometheus ``rules/alerting.go``, ``Eval`` and ``template/template.go``. Supported are ``$labels.x``,
    ``$value``, strings, pipes, ``printf`` and the humanize functions; external labels are taken as empty.

    Examples
    --------
    >>> expand("{{ $labels.topic }} at {{ $value }}", {"topic": "orders"}, 1500.0)
    'orders at 1500'
    """
    if is_constant(text):
        return text
    return "".join(part if isinstance(part, str) else _printed(part(labels, value)) for part in _parsed(text))


# Each function of a pipe is called by the one behind it.
_MOST_COMMANDS = 50
Evaluator = Callable[[Mapping[str, str], float], Value]


@lru_cache(maxsize=1024)
def _parsed(text: str) -> tuple[str | Evaluator, ...]:
    """Split a template into text and compiled actions."""
    problem = check_template(text)
    if problem:
        raise ExpressionError(f"invalid template: {problem}", expression=text, start=text.find("{{"), cure="Close it")
    parts: list[str | Evaluator] = []
    at = 0
    for match in _ACTION.finditer(text):
        parts.append(text[at : match.start()])
        body = match["body"].strip()
        if not (body.startswith("/*") and body.endswith("*/")):
            parts.append(_pipeline(text, match["body"], match.start("body")))
        at = match.end()
    return (*parts, text[at:])


def _pipeline(text: str, body: str, offset: int) -> Evaluator:
    """Compile ``a | f b | g``."""
    commands: list[list[tuple[str, str, int]]] = [[]]
    for token in _TOKEN.finditer(body.rstrip()):
        kind = str(token.lastgroup if token.lastgroup != "name" else "label")
        if kind == "pipe":
            commands.append([])
        else:
            commands[-1].append((kind, token["name"] if kind == "label" else token[kind], offset + token.start(kind)))
    if len(commands) > _MOST_COMMANDS:
        problem = f"a template pipes through more than {_MOST_COMMANDS} functions"
        raise ExpressionError(problem, expression=text, start=offset, cure="Use fewer")
    evaluate: Evaluator | None = None
    for command in commands:
        if not command:
            raise ExpressionError("invalid template: an empty command", expression=text, start=offset, cure=_CURE)
        evaluate = _command(text, command, evaluate)
    assert evaluate is not None  # noqa: S101 - there is at least one command
    return evaluate


def _command(text: str, tokens: list[tuple[str, str, int]], before: Evaluator | None) -> Evaluator:
    """Compile one command; the result of the one before is its last argument."""
    kind, word, start = tokens[0]
    if kind == "word":
        function = _FUNCTIONS.get(word)
        if function is None:
            raise ExpressionError(
                f"the template function or statement {word!r} is not supported",
                expression=text,
                start=start,
                cure=_CURE,
            )
        arguments = [_operand(text, token) for token in tokens[1:]] + ([before] if before else [])

        def call(labels: Mapping[str, str], value: float) -> Value:
            try:
                return function(*(argument(labels, value) for argument in arguments))
            except (TypeError, ValueError, IndexError):
                raise ExpressionError(
                    f"the template calls {word!r} in a way that is not supported",
                    expression=text,
                    start=start,
                    cure=_CURE,
                ) from None

        return call
    if before is not None or len(tokens) > 1:
        raise ExpressionError(f"{word!r} cannot take arguments", expression=text, start=start, cure=_CURE)
    return _operand(text, tokens[0])


def _operand(text: str, token: tuple[str, str, int]) -> Evaluator:
    """Compile an argument."""
    kind, word, start = token
    if kind == "value":
        return lambda _labels, value: value
    if kind == "label":
        return lambda labels, _value: labels.get(word, "")
    if kind == "external":
        return lambda _labels, _value: ""
    if kind == "string":
        literal = word[1:-1] if word[0] == "`" else _STRING_ESCAPE.sub(_unescaped, word[1:-1])
        return lambda _labels, _value: literal
    raise ExpressionError(f"{word!r} in a template is not supported", expression=text, start=start, cure=_CURE)


def _unescaped(match: re.Match[str]) -> str:
    code = match[1] or match[2] or match[3]
    if code:
        return chr(int(code, 16))
    return chr(int(match[4], 8)) if match[4] else _PLAIN_ESCAPES.get(match[5], match[5])


def _printed(value: Value) -> str:
    return value if isinstance(value, str) else format_go(value)


def _number(value: Value) -> float:
    """Convert an argument as Prometheus' ``convertToFloat``."""
    return float(value)


def _short(value: float) -> str:
    """Write as Go's ``%.4g``."""
    return f"{value:.4g}" if math.isfinite(value) else format_go(value)


def _shrunk(value: float) -> tuple[float, str]:
    """Scale a number below 1 up by thousands."""
    prefix = ""
    for candidate in _SMALL:
        if abs(value) >= 1:
            break
        prefix, value = candidate, value * 1000
    return value, prefix


def _humanize(value: Value) -> str:
    number, prefix = _number(value), ""
    if number == 0 or not math.isfinite(number):
        return _short(number)
    if abs(number) < 1:
        number, prefix = _shrunk(number)
        return _short(number) + prefix
    for candidate in _LARGE:
        if abs(number) < 1000:
            break
        prefix, number = candidate, number / 1000
    return _short(number) + prefix


def _humanize1024(value: Value) -> str:
    number, prefix = _number(value), ""
    if abs(number) <= 1 or not math.isfinite(number):
        return _short(number)
    for candidate in _LARGE_BINARY:
        if abs(number) < 1024:
            break
        prefix, number = candidate, number / 1024
    return _short(number) + prefix


def _humanize_duration(value: Value) -> str:
    number = _number(value)
    if not math.isfinite(number):
        return _short(number)
    if number == 0:
        return f"{_short(number)}s"
    if abs(number) < 1:
        number, prefix = _shrunk(number)
        return f"{_short(number)}{prefix}s"
    sign, number = ("-" if number < 0 else ""), abs(number)
    # As Go converts on amd64: what does not fit becomes the smallest integer. Its division rounds towards zero.
    whole, minus = (int(number), 1) if number < 2**63 else (2**63, -1)
    seconds, minutes = minus * (whole % 60), minus * (whole // 60 % 60)
    hours, days = minus * (whole // 3600 % 24), minus * (whole // 86400)
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {seconds}s"
    if hours:
        return f"{sign}{hours}h {minutes}m {seconds}s"
    return f"{sign}{minutes}m {seconds}s" if minutes else f"{sign}{_short(number)}s"


def _humanize_percentage(value: Value) -> str:
    return f"{_short(_number(value) * 100)}%"


def _printf(form: Value, *arguments: Value) -> str:
    """Write with the verbs that rules use: %s %v %f %g %e %%."""
    rest = list(arguments)

    def one(match: re.Match[str]) -> str:
        precision, verb = match[1], match[2]
        if verb == "%":
            return "%"
        argument = rest.pop(0)
        if verb in "vs" and isinstance(argument, str) and precision is None:
            return argument
        if isinstance(argument, str) or verb not in "vfge":
            raise ValueError(verb)
        if verb in "vg" and precision is None:
            return format_go(argument)
        if not math.isfinite(argument):
            return format_go(argument)
        if verb == "v":
            verb = "g"
        return f"{argument:.{precision or 6}{verb}}"

    if not isinstance(form, str):
        raise TypeError("printf needs a format")
    leftover = _VERB.sub("", form)
    if "%" in leftover:
        raise ValueError(form)
    written = _VERB.sub(one, form)
    if rest:
        raise ValueError(form)
    return written


_FUNCTIONS: Mapping[str, Callable[..., Value]] = {
    "humanize": _humanize,
    "humanize1024": _humanize1024,
    "humanizeDuration": _humanize_duration,
    "humanizePercentage": _humanize_percentage,
    "printf": _printf,
    "toLower": lambda text: str.lower(text),
    "toUpper": lambda text: str.upper(text),
}
