"""Kafka's MBeans with sample topics, as the JMX exporter finds them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

__all__ = ["Attribute", "MBean", "Need", "Table", "kafka_table", "parse_object_name"]

Value = int | float | bool | str

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Attribute:
    """One readable value of an MBean.

    Attributes
    ----------
    keys : tuple of str
        Names of the composite attributes around it, outermost first.
    name : str
        Its own name.
    value : int, float, bool or str
        A sample; each attribute of the table has another number.
    """

    keys: tuple[str, ...]
    name: str
    value: Value


@dataclass(frozen=True, slots=True)
class MBean:
    """One MBean.

    Attributes
    ----------
    domain : str
        In front of the colon.
    properties : tuple of (str, str)
        Key properties in the order of registration.
    attributes : tuple of Attribute
        What can be read.
    """

    domain: str
    properties: tuple[tuple[str, str], ...]
    attributes: tuple[Attribute, ...]

    @property
    def object_name(self) -> str:
        """``domain:key=value,key=value``."""
        return f"{self.domain}:{','.join(f'{key}={value}' for key, value in self.properties)}"


@dataclass(frozen=True, slots=True)
class Need:
    """What alert rules stand on.

    Attributes
    ----------
    name : str
        Object name; ``{topic}`` stands for any topic.
    objects : tuple of str
        The same with each sample.
    attribute : str
        The attribute that says it.
    purpose : str
        What it tells.
    """

    name: str
    objects: tuple[str, ...]
    attribute: str
    purpose: str


@dataclass(frozen=True, slots=True)
class Table:
    """All MBeans.

    Attributes
    ----------
    beans : tuple of MBean
        What a broker and controller of Kafka 4 registers, with sample topics.
    gone : tuple of MBean
        What earlier releases registered; without attributes.
    needed : tuple of Need
        What alert rules stand on.
    samples : dict
        Sample values by placeholder.
    own : frozenset of str
        Metrics of the exporter itself, without the suffixes of their types.
    """

    beans: tuple[MBean, ...]
    gone: tuple[MBean, ...]
    needed: tuple[Need, ...]
    samples: Mapping[str, tuple[str, ...]]
    own: frozenset[str]


def parse_object_name(name: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Split an object name without wildcards and quotes into domain and key properties.

    Examples
    --------
    >>> parse_object_name("a.b:type=X,topic=t")
    ('a.b', (('type', 'X'), ('topic', 't')))
    """
    domain, _, rest = name.partition(":")
    pairs = (pair.partition("=") for pair in rest.split(","))
    return domain, tuple((key, value) for key, _, value in pairs)


@cache
def kafka_table() -> Table:
    """Read the table that lies beside this module."""
    text = Path(__file__).with_name("mbeans.yml").read_text(encoding="utf-8")
    data: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    samples = {name: tuple(values) for name, values in data["samples"].items()}
    numbers = itertools.count(100)
    beans: list[MBean] = []
    for entry in data["beans"]:
        attributes = entry.get("attributes") or data["kinds"][entry["kind"]]
        for name in _filled(entry["name"], {**samples, "each": entry.get("each", ())}):
            bean = MBean(*parse_object_name(name), _attributes(attributes, numbers))
            beans.append(bean)
    gone = tuple(MBean(*parse_object_name(name), ()) for name in data["gone"])
    needed = tuple(
        Need(need["name"], tuple(_filled(need["name"], samples)), need["attribute"], need["for"])
        for need in data["needed"]
    )
    return Table(tuple(beans), gone, needed, samples, frozenset(data["own"]))


def _filled(name: str, samples: Mapping[str, Any]) -> list[str]:
    """Put every combination of samples into a name."""
    places = _PLACEHOLDER.findall(name)
    combinations = itertools.product(*(samples[place] for place in places))
    return [name.format(**dict(zip(places, chosen, strict=True))) for chosen in combinations]


def _attributes(kinds: Mapping[str, str], numbers: itertools.count[int]) -> tuple[Attribute, ...]:
    """Give each attribute a value of its own."""
    made = []
    for path, kind in kinds.items():
        *keys, name = path.split("/")
        number = next(numbers)
        others: dict[str, Value] = {"double": number + 0.5, "bool": True, "text": f"text:{number}"}
        value = others.get(kind, number)
        made.append(Attribute(tuple(keys), name, value))
    return tuple(made)
