import pytest

from kmon_analysis.errors import SettingError
from kmon_analysis.promql.semantics import Semantics

COLUMNS = ("left_open", "dot_all", "clamp_first", "kahan_sum", "avg", "avg_aggregation", "strict_deviation",
           "strict_one_side")  # fmt: skip


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("2.42.0+ds", (False, False, True, False, "incremental", "incremental", False, False)),
        ("2.50", (False, False, True, False, "incremental", "incremental", False, False)),
        ("2.51", (False, False, False, False, "incremental", "incremental", False, False)),
        ("2.53.5", (False, False, False, False, "incremental", "incremental", False, False)),
        ("2.54", (False, False, False, True, "incremental-corrected", "incremental", False, False)),
        ("v2.55.1", (False, False, False, True, "direct-sum", "direct-sum", False, False)),
        ("3.0", (True, True, False, True, "direct-sum", "direct-sum", True, False)),
        ("3.4", (True, True, False, True, "direct-sum", "direct-sum", True, False)),
        ("3.5", (True, True, False, True, "direct-parts", "direct-parts", True, False)),
        ("3.9.1", (True, True, False, True, "direct-parts", "direct-parts", True, True)),
    ],
)
def test_switchboard(version, expected):
    semantics = Semantics.of(version)
    assert tuple(getattr(semantics, column) for column in COLUMNS) == expected


SINCE = {
    "heap_replaces": "2.44",
    "atan2_drops_name": "2.47",
    "matchers_sorted": "2.48",
    "tolerant_buckets": "2.49",
    "utf8_names": "3.0",
    "utf8_replace": "3.3",
    "fraction_from_zero": "3.8",
    "exact_ranks": "3.16",
    "degree_factor": "3.16",
}
RELEASES = [f"2.{n}" for n in range(42, 56)] + [f"3.{n}" for n in range(17)]


@pytest.mark.parametrize("column", SINCE)
def test_what_came_later(column):
    known = [getattr(Semantics.of(version), column) for version in RELEASES]
    first = RELEASES.index(SINCE[column])
    assert known == [False] * first + [True] * (len(RELEASES) - first)


def test_limits():
    assert [Semantics.of(version).limit_check for version in ("3.4", "3.5", "3.6")] == ["always", "elements", "wanted"]


def test_what_is_no_version():
    with pytest.raises(SettingError, match="not a Prometheus version"):
        Semantics.of("three")
