"""The only place where digits may differ, and by how much.

Everything else is compared to the bit; but the bits of a NaN, which no program shows.
"""

from __future__ import annotations

import struct
from kmon_analysis.promql.parser import parse
from kmon_analysis.promql.syntax import Binary, Call, Expr, NumberLiteral
from tests.conformance.rewrite import parts

__all__ = ["ULPS", "allowed", "near"]

# Go computes these by routines of its own, and on amd64 partly in assembly; bounds in units of the last place.
ULPS = {
    "exp": 1,
    "^": 3,
    **dict.fromkeys(("sin", "cos", "tan", "asin", "acos", "atan", "atan2"), 2),
    **dict.fromkeys(("sinh", "cosh", "tanh", "asinh", "acosh", "atanh"), 4),
}


def allowed(text: str) -> tuple[str, int]:
    """Return which tolerance an expression needs, and its bound; ``("", 0)`` is to the bit."""
    needed = {name for part in parts(parse(text)) if (name := _name(part))}
    worst = max(needed, key=lambda name: ULPS[name], default="")
    return worst, ULPS.get(worst, 0)


def _name(part: Expr) -> str:
    if isinstance(part, Call) and part.function in ULPS:
        return part.function
    if isinstance(part, Binary) and part.op in ULPS:
        # Whole powers are multiplications; so is what is no number at all.
        power = part.right
        whole = isinstance(power, NumberLiteral) and (power.value % 1 == 0 or power.value - power.value != 0)
        return "" if part.op == "^" and whole else part.op
    return ""


def near(ours: float, theirs: float, ulps: int) -> bool:
    """Tell whether two values are the same up to some units of the last place; 0 asks for equal bits."""
    if ours != ours or theirs != theirs:
        return ours != ours and theirs != theirs
    one, other = _ordinal(ours), _ordinal(theirs)
    return abs(one - other) <= ulps and (ulps > 0 or struct.pack("<d", ours) == struct.pack("<d", theirs))


def _ordinal(value: float) -> int:
    bits = struct.unpack("<q", struct.pack("<d", value))[0]
    return bits if bits >= 0 else -(bits & 0x7FFF_FFFF_FFFF_FFFF)
