"""The tests are a package, so that `from tests.tools import require` works under any runner."""
