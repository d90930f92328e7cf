"""Values are compared to the bit: no operation has a tolerance.

Only the payload of a NaN is left out, which neither promtool nor the query API shows.
"""

from __future__ import annotations

import struct

__all__ = ["same"]


def same(ours: float, theirs: float) -> bool:
    """Tell whether two values are equal to the bit."""
    return struct.pack("<d", ours) == struct.pack("<d", theirs) or (ours != ours and theirs != theirs)
