"""One case: series, rule groups and expressions, as plain data that JSON holds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from kmon_analysis.labels import Labels, parse_series
from kmon_analysis.series import Samples, SeriesSet, is_stale, stale_marker

__all__ = ["Case", "from_notation", "in_notation"]


@dataclass(frozen=True)
class Case:
    """What is asked of both sides.

    Attributes
    ----------
    name : str
        Seed and number, from which `generate.make` builds it again.
    versions : tuple of str
        Releases that know everything in it.
    step_ms : int
        Grid of the samples.
    interval_ms, count : int
        Rules are evaluated `count` times from `base_ms` on.
    base_ms : int
        Time of the first sample and evaluation: 0 for promtool.
    series : SeriesSet
        Samples, from `base_ms` to the last evaluation.
    groups : list of dict
        As in a rule file, in the order of evaluation.
    expressions : tuple of str
        Asked after all evaluations.
    times : tuple of int
        Milliseconds at which the expressions are asked.
    """

    name: str
    versions: tuple[str, ...]
    step_ms: int
    interval_ms: int
    count: int
    base_ms: int
    series: SeriesSet
    groups: tuple[dict[str, Any], ...]
    expressions: tuple[str, ...]
    times: tuple[int, ...]

    @property
    def end_ms(self) -> int:
        """Time of the last evaluation."""
        return self.base_ms + (self.count - 1) * self.interval_ms

    def to_json(self) -> str:
        """Write it for people to read."""
        plain = {**vars(self), "series": {str(part.labels): in_notation(part, self) for part in self.series}}
        return json.dumps(plain, indent=1, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Case:
        """Read what `to_json` wrote."""
        plain = json.loads(text)
        base_ms, step_ms = plain["base_ms"], plain["step_ms"]
        parts = [
            from_notation(parse_series(labels), values, base_ms, step_ms) for labels, values in plain["series"].items()
        ]
        for field in ("versions", "groups", "expressions", "times"):
            plain[field] = tuple(plain[field])
        return cls(**{**plain, "series": SeriesSet.from_samples(parts)})


def in_notation(part: Samples, case: Case) -> str:
    """Write the values of a series as promtool reads them."""
    places = ((part.times - case.base_ms) // case.step_ms).tolist()
    items = ["_"] * (places[-1] + 1 if places else 1)
    for place, value, stale in zip(places, part.values.tolist(), is_stale(part.values).tolist(), strict=True):
        text = {"inf": "Inf", "-inf": "-Inf", "nan": "NaN"}.get(repr(value), repr(value))
        items[place] = "stale" if stale else text
    return " ".join(items)


def from_notation(labels: Labels, text: str, base_ms: int, step_ms: int) -> Samples:
    """Read what `in_notation` wrote."""
    items = text.split()
    places = [place for place, item in enumerate(items) if item != "_"]
    values = np.array([stale_marker()[0] if items[place] == "stale" else float(items[place]) for place in places])
    return Samples(labels, np.array(places, dtype=np.int64) * step_ms + base_ms, values)
