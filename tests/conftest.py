"""Settings of the whole suite."""

from hypothesis import settings

# Machines differ and share their cores: an example that takes long is no fault of the code.
settings.register_profile("kmon", deadline=None)
settings.load_profile("kmon")
