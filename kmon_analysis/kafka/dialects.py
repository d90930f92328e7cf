"""Dialects of metric names, read from ``dialects.yml``, and the one profile that several of them make together."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from kmon_analysis.errors import SettingError, nearest

__all__ = ["NO_LAG", "QUANTITIES", "Dialect", "Metric", "Profile", "choose", "dialects", "named", "recognise"]

QUANTITIES = (
    "messages_in",
    "bytes_in",
    "leader_count",
    "offline_partitions",
    "active_controllers",
    "lag",
    "end_offset",
    "committed_offset",
)
# Quantities that are known in order to warn of them.
_ASIDE = ("messages_in_rate",)
# The limit of a dialect without lag, where no other one supplies it.
NO_LAG = "No consumer lag; it needs a lag exporter beside it."


@dataclass(frozen=True, slots=True)
class Metric:
    """One quantity in one dialect.

    Attributes
    ----------
    names : tuple of str
        What it is called.
    kind : str
        ``counter``, ``offset_gauge``, ``rate_gauge``, ``delta_gauge`` or ``gauge``: what may be done with it.
    unit : str
        Of its values.
    matchers : Mapping
        Fixed label values.
    labels : Mapping
        From ``topic``, ``group``, ``partition`` and ``cluster`` to the dialect's own label names.
    expr : str
        PromQL where no plain selector says it; ``{c}`` stands for the cluster label and a comma.
    """

    names: tuple[str, ...]
    kind: str
    unit: str
    matchers: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    expr: str = ""

    def label(self, role: str) -> str | None:
        """Return the dialect's name of a label, or None when it has no such label."""
        return self.labels.get(role)


@dataclass(frozen=True, slots=True)
class Dialect:
    """One convention of metric names.

    Attributes
    ----------
    name, title, source : str
        What it is called here, what makes it, and where that is written down.
    metrics : Mapping
        From quantity to `Metric`.
    detect, not_with : tuple of str
        Names that prove it, and names that disprove it.
    also : tuple of str
        Names that it has too, which another dialect knows.
    lag_from : str
        ``"offsets"`` when lag is the difference of two metrics.
    limits : tuple of str
        What cannot be known from it.
    """

    name: str
    title: str
    source: str
    metrics: Mapping[str, Metric]
    detect: tuple[str, ...]
    not_with: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    lag_from: str = ""
    limits: tuple[str, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """Every metric name of the dialect."""
        used = frozenset(name for metric in self.metrics.values() for name in metric.names)
        return used | frozenset(self.detect) | frozenset(self.also)

    @property
    def has_lag(self) -> bool:
        """Whether consumer lag can be had from it."""
        return "lag" in self.metrics or self.lag_from == "offsets"


@dataclass(frozen=True, slots=True)
class Profile:
    """What is called what in one place: the quantities of one or several dialects.

    Attributes
    ----------
    dialects : tuple of Dialect
        In order of precedence.
    metrics : Mapping
        From quantity to the `Metric` that is used.
    """

    dialects: tuple[Dialect, ...]
    metrics: Mapping[str, Metric]

    def get(self, quantity: str) -> Metric | None:
        """Return the metric of a quantity, or None."""
        return self.metrics.get(quantity)

    @property
    def has_lag(self) -> bool:
        """Whether lag of consumer groups can be had."""
        return "lag" in self.metrics or {"end_offset", "committed_offset"} <= self.metrics.keys()

    @property
    def lag(self) -> Metric | None:
        """The metric whose labels the lag carries."""
        return self.metrics.get("lag") or (self.metrics.get("committed_offset") if self.has_lag else None)


@lru_cache(maxsize=1)
def dialects() -> Mapping[str, Dialect]:
    """Return the registry, in the file's order.

    Raises
    ------
    ValueError
        If the file has a key that means nothing.

    Examples
    --------
    >>> dialects()["kminion"].metrics["lag"].label("group")
    'group_id'
    """
    from ruamel.yaml import YAML

    text = Path(__file__).with_name("dialects.yml").read_text(encoding="utf-8")
    return {name: _dialect(name, entry) for name, entry in YAML(typ="safe", pure=True).load(text).items()}


def _dialect(name: str, entry: dict[str, Any]) -> Dialect:
    rest = dict(entry)
    metrics = {key: _metric(rest.pop(key)) for key in (*QUANTITIES, *_ASIDE) if key in rest}
    proofs = [each for key in ("messages_in", "lag") if key in metrics for each in metrics[key].names]
    detect = tuple(rest.pop("detect", proofs))
    lagless = "lag" not in metrics and rest.get("lag_from") != "offsets"
    return Dialect(
        name,
        rest.pop("title"),
        rest.pop("source"),
        metrics,
        detect,
        not_with=tuple(rest.pop("not_with", ())),
        also=tuple(rest.pop("also", ())),
        limits=(*([NO_LAG] if lagless else []), *rest.pop("limits", ())),
        **rest,
    )


def _metric(entry: dict[str, Any]) -> Metric:
    return Metric(**{**entry, "names": tuple(entry["names"])})


def named(text: str) -> tuple[Dialect, ...]:
    """Find dialects by their names, separated by commas.

    Raises
    ------
    SettingError
        If there is none of a name; the message offers the nearest.
    """
    known = dialects()
    found = []
    for name in dict.fromkeys(part.strip() for part in text.split(",") if part.strip()):
        if name not in known:
            cure = nearest(name, known) or f"Choose from {', '.join(known)}"
            raise SettingError(f"there is no dialect {name!r}", place="--dialect", cure=cure)
        found.append(known[name])
    if not found:
        raise SettingError("no dialect is named", place="--dialect", cure=f"Choose from {', '.join(known)}")
    return tuple(found)


def recognise(names: Collection[str]) -> tuple[Dialect, ...]:
    """Tell which dialects a set of metric names speaks.

    Parameters
    ----------
    names : collection of str
        Names that exist.

    Returns
    -------
    tuple of Dialect
        Those that a name proves; where nothing proves any, those that share most names with what is there.
    """
    there = frozenset(names)
    proved = [
        each for each in dialects().values() if there.intersection(each.detect) and there.isdisjoint(each.not_with)
    ]
    explained = frozenset(name for each in proved for name in each.names)
    rest = there - explained
    for each in dialects().values():
        # A broker whose exporter lost the message counters still has its gauges.
        if each not in proved and rest.intersection(each.names) and there.isdisjoint(each.not_with):
            proved.append(each)
            rest -= each.names
    order = list(dialects())
    return tuple(sorted(proved, key=lambda each: order.index(each.name)))


def choose(chosen: Iterable[Dialect], names: Collection[str] | None = None, *, cluster: str | None = None) -> Profile:
    """Make one profile of several dialects.

    Parameters
    ----------
    chosen : iterable of Dialect
        In order of precedence; lag that names its topic goes before lag that does not.
    names : collection of str, optional
        Names that exist: what does not is left out.
    cluster : str, optional
        A label from the scrape configuration that tells clusters apart, for dialects that have none of their own.
    """
    kept = tuple(chosen)
    metrics: dict[str, Metric] = {}
    for each in kept:
        for quantity, metric in each.metrics.items():
            here = metric.names if names is None else tuple(name for name in metric.names if name in names)
            if not here or quantity in _ASIDE:
                continue
            labels = metric.labels
            if cluster is not None:
                labels = {"cluster": cluster, **labels}
            new = dataclasses.replace(metric, names=here, labels=labels)
            old = metrics.get(quantity)
            if old is None or (quantity == "lag" and "topic" not in old.labels and "topic" in new.labels):
                metrics[quantity] = new
    if {"end_offset", "committed_offset"} <= metrics.keys() and "topic" not in getattr(
        metrics.get("lag"), "labels", {}
    ):
        metrics.pop("lag", None)
    return Profile(kept, metrics)
