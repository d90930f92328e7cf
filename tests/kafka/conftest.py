from tests.cli.conftest import kmon

__all__ = ["kmon"]
