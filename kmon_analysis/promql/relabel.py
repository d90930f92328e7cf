"""``label_replace`` and ``label_join``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from kmon_analysis.errors import SettingError
from kmon_analysis.labels import Labels, compiled
from kmon_analysis.promql.syntax import Expr, Paren, StringLiteral
from kmon_analysis.promql.values import Context, Vector, distinct

__all__ = ["expand", "label_join", "label_replace", "text_of", "valid_label_name"]

_ASCII_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_NAMED = re.compile(r"\{(\w+)\}|(\w+)")


def text_of(expr: Expr) -> str:
    """Return the value of an argument of type string."""
    while isinstance(expr, Paren):
        expr = expr.expr
    if not isinstance(expr, StringLiteral):
        raise TypeError("not a string")
    return expr.value


def valid_label_name(name: str, *, any_text: bool) -> bool:
    """Tell whether Prometheus takes this as the name of a label; since 3.0 any text but the empty one is."""
    return name != "" if any_text else _ASCII_NAME.fullmatch(name) is not None


def expand(template: str, groups: Sequence[str | None], numbers: dict[str, int]) -> str:
    """Fill ``$1`` and ``${name}`` in a template.

    Parameters
    ----------
    template : str
        The template; ``$$`` is a dollar sign, and so is one that no name follows.
    groups : sequence of str or None
        What each capturing group matched, the whole match first.
    numbers : dict
        Names of groups.

    Notes
    -----
    Go ``regexp``, ``Expand``: a name is as long as it can be, an unknown one stands for nothing.
    """
    parts: list[str] = []
    while True:
        before, dollar, template = template.partition("$")
        parts.append(before)
        if not dollar:
            return "".join(parts)
        match = _NAMED.match(template)
        if template.startswith("$") or match is None:
            parts.append("$")
            template = template.removeprefix("$")
            continue
        name = match[1] or match[2]
        number = int(name) if re.fullmatch(r"0|[1-9][0-9]{0,8}", name) else numbers.get(name, -1)
        parts.append((groups[number] or "") if 0 <= number < len(groups) else "")
        template = template[match.end() :]


def _always(context: Context) -> Any:
    return np.ones(len(context.times), dtype=np.bool_)


def label_replace(context: Context, args: Sequence[Expr]) -> Vector:
    """Evaluate ``label_replace(vector, target, replacement, source, regex)``.

    Notes
    -----
    Prometheus ``promql/functions.go``, ``evalLabelReplace``: a malformed name or expression fails every
    evaluation.
    """
    target, replacement, source, regex = (text_of(arg) for arg in args[1:])
    operand = context.vector(args[0])
    try:
        pattern = compiled(f"^(?:{regex})$", context.semantics.dot_all)
    except SettingError:
        context.fail(_always(context))
        return operand
    if not valid_label_name(target, any_text=context.semantics.utf8_replace):
        context.fail(_always(context))
        return operand
    names = dict(pattern.groupindex)

    def replaced(labels: Labels) -> Labels:
        match = pattern.search(labels.value(source))
        if match is None:
            return labels
        return labels.updated({target: expand(replacement, (match[0], *match.groups()), names)})

    return distinct(context, [replaced(labels) for labels in operand.labels], operand.values, operand.present)


def label_join(context: Context, args: Sequence[Expr]) -> Vector:
    """Evaluate ``label_join(vector, target, separator, source, …)``.

    Notes
    -----
    Prometheus ``promql/functions.go``, ``evalLabelJoin``.
    """
    target, separator, *sources = (text_of(arg) for arg in args[1:])
    operand = context.vector(args[0])
    if not all(valid_label_name(name, any_text=context.semantics.utf8_names) for name in (target, *sources)):
        context.fail(_always(context))
        return operand
    joined = [separator.join(labels.value(name) for name in sources) for labels in operand.labels]
    renamed = [labels.updated({target: text}) for labels, text in zip(operand.labels, joined, strict=True)]
    return distinct(context, renamed, operand.values, operand.present)
