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


def test_what_is_no_version():
    with pytest.raises(SettingError, match="not a Prometheus version"):
        Semantics.of("three")
