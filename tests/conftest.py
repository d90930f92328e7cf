"""Settings of the whole suite."""

import os

from hypothesis import settings

# Machines differ and share their cores: an example that takes long is no fault of the code.
settings.register_profile("kmon", deadline=None)
settings.load_profile("kmon")


def pytest_configure():
    """Keep the credentials of whoever runs the tests away from them: servers of tests want none, or others."""
    from kmon_analysis.sources.credentials import VARIABLES

    for name in VARIABLES:
        os.environ.pop(name, None)


def pytest_xdist_auto_num_workers(config):
    """Return one worker more than there are cores for ``-n auto``: tests wait for servers a third of their time."""
    if config.option.numprocesses != "auto":
        return None
    return 1 + (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
