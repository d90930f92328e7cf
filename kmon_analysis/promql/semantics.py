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
    lookback_ms: int = 300_000
    subquery_step_ms: int = 60_000

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
        )
