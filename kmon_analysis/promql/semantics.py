"""What changed between Prometheus releases, in one table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from kmon_analysis.errors import SettingError

__all__ = ["DEFAULT_VERSION", "NEWEST_JUDGED", "OLDEST_JUDGED", "SWITCHBOARD", "Semantics", "Switch"]

DEFAULT_VERSION = "3.5"
# The releases whose own binaries judge the evaluator in the tests.
OLDEST_JUDGED, NEWEST_JUDGED = (2, 42), (3, 16)


@dataclass(frozen=True, slots=True)
class Switch:
    """One behaviour that changed.

    Attributes
    ----------
    meaning : str
        What it says, in one sentence.
    changes : tuple of ((int, int), value)
        The value from each release on, ascending; the first one holds for all that came before, too.
    """

    meaning: str
    changes: tuple[tuple[tuple[int, int], Any], ...]

    def at(self, release: tuple[int, int]) -> Any:
        """Return the value in a release."""
        value = self.changes[0][1]
        for since, changed in self.changes[1:]:
            if release >= since:
                value = changed
        return value


def _since(major: int, minor: int, meaning: str) -> Switch:
    return Switch(meaning, ((OLDEST_JUDGED, False), ((major, minor), True)))


SWITCHBOARD: dict[str, Switch] = {
    "left_open": _since(3, 0, "range and lookback windows exclude their left edge"),
    "dot_all": _since(3, 0, "`.` in regular expressions matches a line break"),
    "clamp_first": Switch(
        "`rate` clamps at zero before it tests the extrapolation threshold", ((OLDEST_JUDGED, True), ((2, 51), False))
    ),
    "kahan_sum": _since(2, 54, "`sum` is compensated, and no compensation survives an infinite sum"),
    "avg": Switch(
        "how `avg_over_time` adds up",
        (
            (OLDEST_JUDGED, "incremental"),
            ((2, 54), "incremental-corrected"),
            ((2, 55), "direct-sum"),
            ((3, 5), "direct-parts"),
        ),
    ),
    "avg_aggregation": Switch(
        "how `avg` adds up", ((OLDEST_JUDGED, "incremental"), ((2, 55), "direct-sum"), ((3, 5), "direct-parts"))
    ),
    "strict_deviation": _since(3, 0, "`stddev` and `stdvar` are NaN when the first element is not finite"),
    "strict_one_side": _since(3, 9, "a match that is not unique fails even when the comparison filters it"),
    "tolerant_buckets": _since(
        2, 49, "`histogram_quantile` takes nearly equal counts of neighbouring buckets for equal"
    ),
    "fraction_from_zero": _since(3, 8, "`histogram_fraction` begins a positive first bucket at zero"),
    "exact_ranks": _since(3, 16, "a quantile that falls on an element is that element, also beside an infinite one"),
    "degree_factor": _since(3, 16, "`deg` and `rad` multiply by one factor instead of multiplying and dividing"),
    "atan2_drops_name": _since(2, 47, "the result of `atan2` has no metric name, as with other arithmetic"),
    "heap_replaces": _since(2, 44, "a better element takes the place of the worst in the heap of `topk` and `bottomk`"),
    "matchers_sorted": _since(
        2, 48, "`absent` reads the matchers as the storage sorted them, those that take away last"
    ),
    "utf8_names": _since(3, 0, "`label_join` and `count_values` take any text for the name of a label"),
    "utf8_replace": _since(3, 3, "`label_replace` does so, too"),
    "limit_check": Switch(
        "when a number that fits no integer fails `topk`, `bottomk`: always, where elements are, unless below 1",
        ((OLDEST_JUDGED, "always"), ((3, 5), "elements"), ((3, 6), "wanted")),
    ),
}


@dataclass(frozen=True, slots=True)
class Semantics:
    """The behaviour of one Prometheus release where releases differ.

    `SWITCHBOARD` says what each switch means and when it changed.

    Attributes
    ----------
    version : str
        The release that this stands for, ``major.minor``.
    lookback_ms : int
        How old a sample an instant selector may return.
    subquery_step_ms : int
        Step of a subquery that names none: the server's global ``evaluation_interval``.
    """

    version: str
    left_open: bool
    dot_all: bool
    clamp_first: bool
    kahan_sum: bool
    avg: str
    avg_aggregation: str
    strict_deviation: bool
    strict_one_side: bool
    tolerant_buckets: bool
    fraction_from_zero: bool
    exact_ranks: bool
    degree_factor: bool
    atan2_drops_name: bool
    heap_replaces: bool
    matchers_sorted: bool
    utf8_names: bool
    utf8_replace: bool
    limit_check: str
    lookback_ms: int = 300_000
    subquery_step_ms: int = 60_000

    @property
    def release(self) -> tuple[int, int]:
        """The release as two numbers, for comparisons."""
        major, _, minor = self.version.partition(".")
        return int(major), int(minor)

    @classmethod
    def of(cls, version: str = DEFAULT_VERSION) -> Semantics:
        """Return the behaviour of a release.

        Parameters
        ----------
        version : str
            For example ``"2.42.0"``, ``"2.42.0+ds"`` or ``"3.5"``.

        Raises
        ------
        SettingError
            If `version` does not start with ``major.minor``.
        """
        match = re.match(r"v?(\d+)\.(\d+)", version)
        if match is None:
            raise SettingError(f"not a Prometheus version: {version!r}", cure='Write it as "2.42" or "3.5"')
        release = int(match[1]), int(match[2])
        values = {name: switch.at(release) for name, switch in SWITCHBOARD.items()}
        return cls(version=f"{release[0]}.{release[1]}", **values)
