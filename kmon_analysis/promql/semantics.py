"""What changed between Prometheus releases, in one table."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kmon_analysis.errors import SettingError

__all__ = ["DEFAULT_VERSION", "Semantics"]

DEFAULT_VERSION = "3.5"


@dataclass(frozen=True, slots=True)
class Semantics:
    """The behaviour of one Prometheus release where releases differ.

    Attributes
    ----------
    version : str
        The release that this stands for, ``major.minor``.
    left_open : bool
        Range and lookback windows exclude their left edge (>= 3.0).
    dot_all : bool
        ``.`` in regular expressions matches a line break (>= 3.0).
    clamp_first : bool
        ``rate`` clamps at zero before it tests the extrapolation threshold (<= 2.50).
    kahan_sum : bool
        ``sum`` aggregation is compensated, and no compensation survives an infinite sum (>= 2.54).
    avg : {"incremental", "incremental-corrected", "direct-sum", "direct-parts"}
        How ``avg_over_time`` adds up: <= 2.53, 2.54, 2.55 to 3.4, >= 3.5.
    avg_aggregation : {"incremental", "direct-sum", "direct-parts"}
        How ``avg`` adds up: <= 2.54, 2.55 to 3.4, >= 3.5.
    strict_deviation : bool
        ``stddev`` and ``stdvar`` are NaN when the first element is not finite (>= 3.0).
    strict_one_side : bool
        Duplicates on the "many" side fail even when the comparison filters them (>= 3.9).
    tolerant_buckets : bool
        ``histogram_quantile`` takes nearly equal counts of neighbouring buckets for equal (>= 2.49).
    fraction_from_zero : bool
        ``histogram_fraction`` lets the first bucket begin at zero where its bound is positive (>= 3.8).
    exact_ranks : bool
        A quantile that falls on an element is that element, also beside an infinite one (>= 3.16).
    degree_factor : bool
        ``deg`` and ``rad`` multiply by one rounded factor instead of multiplying and dividing (>= 3.16).
    atan2_drops_name : bool
        The result of ``atan2`` has no metric name, as with other arithmetic (>= 2.47).
    matchers_sorted : bool
        ``absent`` reads the matchers as the storage has sorted them, those that take away last (>= 2.48).
    utf8_names : bool
        A label may have any text for its name (>= 3.0).
    utf8_replace : bool
        The same for the target of ``label_replace`` (>= 3.3).
    limit_check : {"always", "elements", "wanted"}
        When a number of elements that fits no integer fails ``topk`` and ``bottomk``: always (<= 3.4), where
        there are elements (3.5), always unless it is below one (>= 3.6).
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
        averages = "incremental" if release < (2, 55) else "direct-sum" if release < (3, 5) else "direct-parts"
        return cls(
            version=f"{release[0]}.{release[1]}",
            left_open=release >= (3, 0),
            dot_all=release >= (3, 0),
            clamp_first=release < (2, 51),
            kahan_sum=release >= (2, 54),
            avg="incremental-corrected" if release == (2, 54) else averages,
            avg_aggregation=averages,
            strict_deviation=release >= (3, 0),
            strict_one_side=release >= (3, 9),
            tolerant_buckets=release >= (2, 49),
            fraction_from_zero=release >= (3, 8),
            exact_ranks=release >= (3, 16),
            degree_factor=release >= (3, 16),
            atan2_drops_name=release >= (2, 47),
            matchers_sorted=release >= (2, 48),
            utf8_names=release >= (3, 0),
            utf8_replace=release >= (3, 3),
            limit_check="always" if release < (3, 5) else "elements" if release < (3, 6) else "wanted",
        )
