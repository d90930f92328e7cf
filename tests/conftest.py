"""Settings of the whole suite."""

import os

from hypothesis import settings

# Machines differ and share their cores: an example that takes long is no fault of the code.
settings.register_profile("kmon", deadline=None)
settings.load_profile("kmon")


def pytest_xdist_auto_num_workers(config):
    """Return one worker more than there are cores for ``-n auto``: tests wait for servers a third of their time."""
    if config.option.numprocesses != "auto":
        return None
    return 1 + (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
