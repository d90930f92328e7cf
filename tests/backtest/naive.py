"""The slow twins of the sweep: one threshold at a time, one evaluation at a time, with dictionaries.

Transcribed from the semantics page (A10) and the definitions of a page, not from the kernels.
"""

from __future__ import annotations


def fires(levels, times, level, for_ms, keep_ms):
    """State machine of one series; `levels` holds None where the series is not in the result."""
    active_since = None
    firing = False
    keep_since = None
    out = []
    for value, now in zip(levels, times, strict=True):
        if value is not None and value > level:
            if active_since is None:
                active_since, firing = now, False
            keep_since = None
        elif active_since is not None:
            kept = False
            if firing and keep_ms > 0:
                keep_since = now if keep_since is None else keep_since
                kept = now - keep_since < keep_ms
            if not kept:
                active_since, firing, keep_since = None, False, None
        if active_since is not None and not firing and now - active_since >= for_ms:
            firing = True
        out.append(active_since is not None and firing)
    return out


def group_fires(rows, times, level, for_ms, keep_ms):
    each = [fires(row, times, level, for_ms, keep_ms) for row in rows]
    return [any(column) for column in zip(*each, strict=True)]


def pages(firing, times, gap_ms):
    """Lists of firing columns: one list a page, merged where the pause is shorter than the gap."""
    runs = []
    for column, on in enumerate(firing):
        if not on:
            continue
        if runs:
            last = runs[-1][-1]
            # The pause starts at the first evaluation after the last firing one.
            if last == column - 1 or times[column] - times[last + 1] < gap_ms:
                runs[-1].append(column)
                continue
        runs.append([column])
    return runs


def counts(rows, times, level, for_ms, keep_ms, gap_ms, credited, counted):
    """Pages, false pages and firing evaluations of one group."""
    firing = group_fires(rows, times, level, for_ms, keep_ms)
    found = pages(firing, times, gap_ms)
    false = [page for page in found if not any(credited[column] for column in page)]
    quiet = sum(on and count and not credit for on, count, credit in zip(firing, counted, credited, strict=True))
    return len(found), len(false), quiet
