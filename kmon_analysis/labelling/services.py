"""Which rules and series the services of another tool stand for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kmon_analysis.errors import SettingError
from kmon_analysis.labels import Labels

__all__ = ["Concern", "parse_services"]

_MAPPED = re.compile(r"(?P<service>[^=]+)=(?P<rules>[^{}]*)(?:\{(?P<labels>.*)\})?\s*", re.DOTALL)
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*("(?:[^"\\]|\\.)*"|[^,"]*?)\s*(?:,|$)')
# Braces after each of several rules.
_EACH = re.compile(r"([^{},]+)\{([^{}]*)\}")
# No alert is called so; labels are meant.
_ROUNDED = re.compile(r"[(\[]([^()\[\]]*=[^()\[\]]*)[)\]]\s*$")
_HOW = "Write it as --map 'Kafka lag=HighConsumerLag', or with labels: 'Orders=HighConsumerLag{topic=orders}'"


@dataclass(frozen=True, slots=True)
class Concern:
    """What incidents of one service are about.

    Attributes
    ----------
    rules : tuple of str
        Alerts that should have seen them; empty: all.
    labels : Labels
        Series that they concern; empty: all.
    """

    rules: tuple[str, ...] = ()
    labels: Labels = field(default_factory=Labels)


def parse_services(texts: Iterable[str]) -> Mapping[str, Concern]:
    """Read what services stand for.

    Parameters
    ----------
    texts : iterable of str
        Each ``SERVICE=RULE``, ``SERVICE=RULE,RULE{label=value}`` or ``SERVICE={label=value}``.

    Raises
    ------
    SettingError
        If one cannot be read, or a service is given twice.

    Examples
    --------
    >>> parse_services(["Kafka lag=HighConsumerLag{topic=orders}"])["Kafka lag"].labels
    Labels('{topic="orders"}')
    """
    found: dict[str, Concern] = {}
    for text in texts:
        match = _MAPPED.fullmatch(text)
        if match is None or not match["service"].strip():
            raise SettingError(f"{text!r} maps no service to a rule", cure=_HOW)
        service = match["service"].strip()
        rules = tuple(dict.fromkeys(name.strip() for name in match["rules"].split(",") if name.strip()))
        try:
            labels = _labels(match["labels"] or "", text)
        except SettingError as error:
            each = _EACH.findall(text[match.start("rules") :])
            if len(each) > 1:
                meant = f"{','.join(name.strip() for name, _ in each)}{{{','.join(given for _, given in each)}}}"
                error.cure = f"One set of labels, for all rules, says which series: --map '{service}={meant}'"
            raise
        if rounded := _ROUNDED.search(match["rules"]):
            meant = f"{text[: match.start('rules')]}{match['rules'][: rounded.start()]}{{{rounded[1]}}}"
            raise SettingError(f"{text!r}: labels stand in braces", cure=f"Write it as --map '{meant}'")
        if not rules and not labels:
            raise SettingError(f"{text!r} maps the service to nothing", cure=_HOW)
        if service in found:
            raise SettingError(
                f"the service {service!r} is mapped twice", cure="Put its rules into one: 'X=A,B{topic=a}'"
            )
        found[service] = Concern(rules, labels)
    return found


def _labels(text: str, whole: str) -> Labels:
    pairs, at = {}, 0
    while at < len(text) and text[at:].strip():
        match = _LABEL.match(text, at)
        if match is None or not match[2]:
            raise SettingError(f"the labels of {whole!r} cannot be read from {text[at:]!r}", cure=_HOW)
        value = re.sub(r"\\(.)", r"\1", match[2][1:-1]) if match[2].startswith('"') else match[2]
        pairs[match[1]], at = value, match.end()
    return Labels(pairs)
