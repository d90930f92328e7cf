"""Random cases: a seed and a number give the same case everywhere."""

from tests.conformance.generate.cases import make

__all__ = ["make"]
