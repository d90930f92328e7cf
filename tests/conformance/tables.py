"""A summary as text."""

from __future__ import annotations

from tests.conformance.summary import Summary

__all__ = ["table"]


def table(summary: Summary) -> str:
    """Write what was reached: by construct the cases and values of each release, then totals."""
    versions = sorted(summary.judged)
    names = sorted({name for _, name in summary.seen}, key=lambda name: (not name.endswith("()"), name))
    width = max([len(name) for name in names], default=0)
    lines = [f"{'cases and values':<{width}}" + "".join(f"{version:>18}" for version in versions)]
    for name in names:
        cells = "".join(
            f"{summary.seen[version, name]:>9}{summary.values[version, name] or '':>9}" for version in versions
        )
        lines.append(f"{name:<{width}}{cells}")
    for what in sorted({what for _, what in summary.counts}):
        told = ", ".join(f"{version}: {summary.counts[version, what]}" for version in versions)
        lines.append(f"{what}: {told}")
    return "\n".join(lines)
