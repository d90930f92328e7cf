"""Numbers, instants and foreign text as people read them; nothing foreign passes unneutralised."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime

from kmon_analysis.labels import METRIC_NAME, Labels
from kmon_analysis.recommend.candidates import Setting
from kmon_analysis.tabular import shortened
from kmon_analysis.timing import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, format_duration

__all__ = [
    "allowance",
    "clean",
    "compact",
    "count",
    "describe",
    "duration",
    "moment",
    "number",
    "per_week",
    "rough",
    "same_duration",
    "short_labels",
    "shortened",
    "span",
]

NOTHING = "–"
# Format characters can turn reading order round or hide text; separators and controls break lines and terminals.
_UNPRINTABLE = frozenset({"Cc", "Cf", "Zl", "Zp", "Cs", "Co", "Cn"})


def clean(text: str, *, lines: bool = False) -> str:
    r"""Replace characters that are invisible or steer the output by visible escapes.

    Parameters
    ----------
    text : str
        Foreign text: label values, names, annotations.
    lines : bool
        Keep line feeds and tabs.

    Examples
    --------
    >>> clean("a\u202eb\x1b[31m\n")
    'a\\u202eb\\x1b[31m\\n'
    """
    kept = "\n\t" if lines else ""
    if text.isprintable():
        return text
    return "".join(_escaped(char) if char not in kept else char for char in text)


def _escaped(char: str) -> str:
    if unicodedata.category(char) not in _UNPRINTABLE:
        return char
    named = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(char)
    if named is not None:
        return named
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def number(value: float | None) -> str:
    """Write a threshold or a measured value: as many digits as it has, but never more than six.

    Examples
    --------
    >>> number(12000.0), number(0.00315), number(1234567.0), number(None), number(2.5e12)
    ('12,000', '0.00315', '1,234,567', '–', '2.5e+12')
    """
    if value is None or math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == round(value) and abs(value) < 1e9:
        return f"{value:,.0f}".replace("-", "−")
    if 1e-4 <= abs(value) < 1e9:
        digits = max(0, 6 - 1 - math.floor(math.log10(abs(value))))
        shown = f"{value:,.{digits}f}"
        return (shown.rstrip("0").rstrip(".") if "." in shown else shown).replace("-", "−")
    return f"{value:.6g}".replace("-", "−", 1) if value < 0 else f"{value:.6g}"


def rough(value: float) -> str:
    """Write a measured value inside a sentence: three digits, or whole from a thousand on.

    Examples
    --------
    >>> rough(5711.817), rough(0.031482), rough(12.0)
    ('5,712', '0.0315', '12')
    """
    return number(float(f"{value:.3g}") if abs(value) < 1000 else float(round(value)))


def per_week(value: float) -> str:
    """Write a rate a week with the digits that a count of pages carries.

    Examples
    --------
    >>> per_week(0.0), per_week(0.453), per_week(31.25), per_week(250.4)
    ('0', '0.45', '31.2', '250')
    """
    if math.isnan(value):
        return NOTHING
    if value == 0:
        return "0"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def allowance(false_pages_per_week: float) -> str:
    """Write an accepted rate: "1 false page a week"."""
    return f"{false_pages_per_week:g} false page{'' if false_pages_per_week == 1 else 's'} a week"


def duration(length_ms: float | None) -> str:
    """Write a measured duration to two units.

    Examples
    --------
    >>> duration(None), duration(0), duration(95_400), duration(3_725_000), duration(200_000_000)
    ('–', '0 s', '1 min 35 s', '1 h 2 min', '2 d 7 h')
    """
    if length_ms is None or math.isnan(length_ms):
        return NOTHING
    rest = round(length_ms / SECOND_MS) * SECOND_MS
    units = (("d", DAY_MS), ("h", HOUR_MS), ("min", MINUTE_MS), ("s", SECOND_MS))
    for place, (unit, unit_ms) in enumerate(units):
        whole, left = divmod(rest, unit_ms)
        if not whole:
            continue
        small_unit, small_ms = units[min(place + 1, 3)]
        small = left // small_ms if place < 3 else 0
        return f"{whole} {unit} {small} {small_unit}" if small else f"{whole} {unit}"
    return "0 s"


def moment(instant_ms: int, *, seconds: bool = False) -> str:
    """Write an instant for reading, to the minute; the caller says that it is UTC."""
    written = datetime.fromtimestamp(instant_ms / SECOND_MS, UTC)
    return written.strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M")


def span(length_ms: int) -> str:
    """Write a long span in days, or weeks from four weeks on."""
    days = length_ms / DAY_MS
    if days >= 28:
        return f"{days / 7:.1f} weeks"
    return f"{days:.1f} days" if days >= 1 else duration(length_ms)


def count(items: int, noun: str, plural: str | None = None) -> str:
    """Write a number with its noun.

    Examples
    --------
    >>> count(1, "false page"), count(3, "false page"), count(0, "series", "series")
    ('1 false page', '3 false pages', '0 series')
    """
    return f"{items:,} {noun if items == 1 else plural or noun + 's'}"


def same_duration(length_ms: int) -> str:
    """Write a configured duration as the rule file does, a zero without its unit's fuss."""
    return "0" if length_ms == 0 else format_duration(length_ms)


def describe(setting: Setting) -> str:
    """Write a rule's values in one line.

    Examples
    --------
    >>> describe(Setting(1000.0, None, 300_000, 0, None))
    'threshold 1,000 · for 5m'
    """
    parts = []
    if setting.threshold is not None:
        parts.append(f"threshold {number(setting.threshold)}")
    if setting.window_ms is not None:
        parts.append(f"window {format_duration(setting.window_ms)}")
    parts.append(f"for {same_duration(setting.for_ms)}")
    if setting.keep_firing_for_ms:
        parts.append(f"keep firing for {format_duration(setting.keep_firing_for_ms)}")
    return " · ".join(parts)


def short_labels(sets: Sequence[Labels], longest: int = 38) -> tuple[str, list[str]]:
    """Name label sets by the values that tell them apart.

    Parameters
    ----------
    sets : sequence of Labels
        Label sets that are shown together.
    longest : int
        Longest name, in characters.

    Returns
    -------
    heading : str
        Names of the labels whose values are shown.
    names : list of str
        One for each set, cleaned.

    Examples
    --------
    >>> short_labels([Labels({"job": "kafka", "topic": "a"}), Labels({"job": "kafka", "topic": "b"})])
    ('topic', ['a', 'b'])
    """
    present = sorted({name for labels in sets for name in labels if name != METRIC_NAME})
    telling = [name for name in present if len({labels.value(name) for labels in sets}) > 1] or present
    if not telling:
        return "", [shortened(clean(labels.value(METRIC_NAME)) or "(no labels)", longest) for labels in sets]
    names = [_joined([clean(labels.value(name)) or NOTHING for name in telling], longest) for labels in sets]
    return shortened(clean(" · ".join(telling)), longest + 4), names


def _joined(values: list[str], longest: int) -> str:
    """Join values, taking from the longest ones what is too much."""
    room = max(longest - 3 * (len(values) - 1), 3 * len(values))
    limit = max(map(len, values))
    while limit > 3 and sum(min(len(value), limit) for value in values) > room:
        limit -= 1
    return " · ".join(shortened(value, limit) for value in values)


def compact(value: float) -> str:
    """Write a number on an axis: whole up to a hundred thousand, then in millions and billions.

    Examples
    --------
    >>> compact(100_000.0), compact(2_000_000.0), compact(0.005), compact(1.5e9)
    ('100,000', '2M', '0.005', '1.5G')
    """
    for factor, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if factor <= abs(value) < 1000 * factor:
            return f"{number(value / factor)}{letter}"
    return number(value)
