"""The pages under docs say what the code says."""

import importlib.util
import re

import pytest

from kmon_analysis.promql.functions import AGGREGATIONS, FUNCTIONS
from tests.tools import REPOSITORY


def generator():
    spec = importlib.util.spec_from_file_location("generate_docs", REPOSITORY / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["semantics.md", "kafka.md"])
def test_tables_are_current(name):
    page = (REPOSITORY / "docs" / name).read_text(encoding="utf-8")
    assert generator().written(page, name) == page, "make docs"


def test_every_function_and_aggregation_is_on_the_page():
    page = (REPOSITORY / "docs" / "semantics.md").read_text(encoding="utf-8")
    tables = re.findall(r"^\|.*\|$", page, re.MULTILINE)
    named = set(re.findall(r"`(\w+)`", "\n".join(tables)))
    assert (FUNCTIONS.keys() | AGGREGATIONS) <= named
