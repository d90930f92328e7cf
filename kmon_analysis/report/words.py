"""Numbers, instants and foreign text as people read them; nothing foreign passes unneutralised."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from itertools import pairwise

from kmon_analysis.labels import METRIC_NAME, Labels
from kmon_analysis.recommend.candidates import Setting
from kmon_analysis.tabular import shortened
from kmon_analysis.timing import DAY_MS, MINUTE_MS, SECOND_MS, Interval, format_duration, zone_of

__all__ = [
    "allowance",
    "apart",
    "clean",
    "compact",
    "count",
    "describe",
    "moment",
    "number",
    "per_week",
    "rough",
    "same_duration",
    "short_labels",
    "shortened",
    "zone_words",
]

NOTHING = "–"
# Shorter values say nothing any more; rather leave out a label that the others can do without.
LEAST_ROOM = 10
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


def moment(instant_ms: int, *, seconds: bool = False, zone: tzinfo = UTC) -> str:
    """Write an instant for reading, to the minute; the caller says which zone that is."""
    written = datetime.fromtimestamp(instant_ms / SECOND_MS, zone)
    return written.strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M")


def zone_words(zone: str, period: Interval) -> str:
    """Name a time zone with its distance from UTC, and when that changes.

    Raises
    ------
    SettingError
        If there is no zone of this name.

    Examples
    --------
    >>> zone_words("UTC", Interval(0, 1)), zone_words("Asia/Kolkata", Interval(0, 1))
    ('UTC', 'Asia/Kolkata (UTC+05:30)')
    """
    place = zone_of(zone)
    if zone in ("UTC", "Etc/UTC"):
        return "UTC"

    def ahead(instant_ms: int) -> str:
        offset = datetime.fromtimestamp(instant_ms / SECOND_MS, place).strftime("%z")
        return f"UTC{offset[:3]}:{offset[3:5]}"

    written = [ahead(period.start_ms)]
    steps = range(period.start_ms, period.end_ms, max(DAY_MS, (period.end_ms - period.start_ms) // 1000))
    for before, after in pairwise([*steps, period.end_ms - 1]):
        if ahead(before) == ahead(after):
            continue
        low, high = before, after
        while high - low > MINUTE_MS:
            middle = (low + high) // 2
            low, high = (middle, high) if ahead(middle) == ahead(before) else (low, middle)
        written.append(f"from {moment(high, zone=place)[:10]} {ahead(high)}")
    return f"{zone} ({', '.join(written[:3])}{', …' if len(written) > 3 else ''})"


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


def short_labels(
    sets: Sequence[Labels], longest: int = 38, shown: Callable[[str], str] = clean
) -> tuple[str, list[str]]:
    """Name label sets by the values that tell them apart; different sets never get names that look the same.

    Parameters
    ----------
    sets : sequence of Labels
        Label sets that are shown together.
    longest : int
        Longest name, in characters.
    shown : callable
        Makes a foreign text fit to be shown.

    Returns
    -------
    heading : str
        Names of the labels whose values are shown.
    names : list of str
        One for each set.

    Notes
    -----
    Long values lose their middle; those that look alike then lose what they share instead, and what differs stays.
    Names that still look alike are numbered.

    Examples
    --------
    >>> short_labels([Labels({"job": "kafka", "topic": "a"}), Labels({"job": "kafka", "topic": "b"})])
    ('topic', ['a', 'b'])
    >>> short_labels([Labels({"g": f"production-payments-consumer-{n:02d}-blue"}) for n in (17, 18)], 16)
    ('g', ['producti…17-blue', 'producti…18-blue'])
    """
    present = sorted({name for labels in sets for name in labels}, key=lambda name: (name == METRIC_NAME, name))
    telling = [name for name in present if len({labels.value(name) for labels in sets}) > 1]
    telling = telling or [name for name in present if name != METRIC_NAME] or present
    if not telling:
        return "", _numbered(["(no labels)"] * len(sets), sets, longest)
    columns = {name: [shown(labels.value(name)) or NOTHING for labels in sets] for name in telling}
    while _limit(columns, longest) < min(LEAST_ROOM, _widest(columns)) and (spare := _spare(columns, sets)) is not None:
        del columns[spare]
    limit = _limit(columns, longest)
    cut = [apart(values, limit) for values in columns.values()]
    names = _numbered([" · ".join(parts) for parts in zip(*cut, strict=True)], sets, longest)
    heads = ("metric" if name == METRIC_NAME else shown(name) for name in columns)
    return shortened(" · ".join(heads), longest + 4), names


def _widest(columns: Mapping[str, Sequence[str]]) -> int:
    return max((len(value) for values in columns.values() for value in values), default=0)


def _limit(columns: Mapping[str, Sequence[str]], longest: int) -> int:
    """Return how long a value may be, so that a row of them fits."""
    room = max(longest - 3 * (len(columns) - 1), 3 * len(columns))
    widths = [max(map(len, values)) for values in columns.values() if values]
    limit = _widest(columns)
    while limit > 3 and sum(min(width, limit) for width in widths) > room:
        limit -= 1
    return limit


def _spare(columns: Mapping[str, Sequence[str]], sets: Sequence[Labels]) -> str | None:
    """Return the label with the longest values that the others can do without; None when all are needed."""
    count = len({labels.only(columns) for labels in sets})
    for name in sorted(columns, key=lambda name: -max(map(len, columns[name]), default=0)):
        rest = [other for other in columns if other != name]
        if rest and len({labels.only(rest) for labels in sets}) == count:
            return name
    return None


def apart(values: Sequence[str], limit: int) -> list[str]:
    """Shorten values so that they stay different, as far as that goes.

    Examples
    --------
    >>> apart(["KafkaConsumerLag-1207Z-735b3c", "KafkaConsumerLag-1907Z-735b3c", "INC-1"], 18)
    ['…merLag-1207Z-735…', '…merLag-1907Z-735…', 'INC-1']
    """
    cut = _cut(sorted(set(values)), limit)
    return [cut[value] for value in values]


def _cut(values: Sequence[str], limit: int) -> dict[str, str]:
    """Take the middle out of each value; of those that look alike then, take what they share."""
    found = {value: shortened(value, limit) for value in values}
    for same in _alike(found):
        found |= _around(same, limit)
    return found


def _around(values: Sequence[str], limit: int) -> dict[str, str]:
    head = _shared(values)
    tail = _shared([value[head:][::-1] for value in values])
    found = {value: _keeping(value, head, len(value) - tail, limit) for value in values}
    for same in _alike(found):
        # These share more than all do.
        if len(same) < len(values):
            found |= _around(same, limit)
    return found


def _alike(found: Mapping[str, str]) -> list[list[str]]:
    groups: dict[str, list[str]] = {}
    for value, short in found.items():
        groups.setdefault(short, []).append(value)
    return [same for same in groups.values() if len(same) > 1]


def _shared(values: Sequence[str]) -> int:
    """Return how many characters all values begin with."""
    first, last = min(values), max(values)
    return next((place for place, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first))


def _keeping(value: str, start: int, end: int, limit: int) -> str:
    """Shorten a value around what must stay, ``value[start:end]``; the middle of that where it is too long itself."""
    room = limit - (end - start)
    if start >= end or room < 2:
        left, right = ("…", "…") if start < end else ("", "")
        left, right = left if start else "", right if end < len(value) else ""
        return left + shortened(value[start:end] if start < end else value, limit - len(left) - len(right)) + right
    after = min(len(value) - end, room // 2)
    before = min(start, room - after)
    after = min(len(value) - end, room - before)
    left = value[:start] if before == start else "…" + value[start - before + 1 : start]
    right = value[end:] if end + after == len(value) else value[end : end + after - 1] + "…"
    return left + value[start:end] + right


def _numbered(names: Sequence[str], sets: Sequence[Labels], longest: int) -> list[str]:
    """Number the names of different sets that would look the same."""
    given: dict[Labels, str] = {}
    used: set[str] = set()
    for name, labels in zip(names, sets, strict=True):
        if labels in given:
            continue
        unique, number = name, 2
        while _look(unique) in used:
            mark = f" ({number})"
            unique, number = shortened(name, max(longest - len(mark), 1)) + mark, number + 1
        given[labels] = unique
        used.add(_look(unique))
    return [given[labels] for labels in sets]


def _look(text: str) -> str:
    """Return what is the same for texts that a reader cannot tell apart."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


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
