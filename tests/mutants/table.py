"""Faults to plant, one at a time: each must be seen by the comparison with the real Prometheus."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TABLE", "Mutant"]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault.

    Attributes
    ----------
    what : str
        The fault in words, unique.
    file : str
        Module, below ``kmon_analysis``.
    old, new : str
        Text that occurs exactly once there, and what replaces it.
    """

    what: str
    file: str
    old: str
    new: str


_STATES = "rules/states.py"
_SEMANTICS = "promql/semantics.py"
_EVALUATE = "promql/evaluate.py"
_KERNELS = "promql/kernels.py"
_BINARY = "promql/binary.py"
_INSTANT = "promql/instant.py"
_TEMPLATES = "rules/templates.py"

TABLE = (
    # Windows and lookback.
    Mutant("lookback of 4 minutes", _SEMANTICS, "lookback_ms: int = 300_000", "lookback_ms: int = 240_000"),
    Mutant("3.x windows closed on the left", _SEMANTICS, '"left_open": _since(3, 0,', '"left_open": _since(4, 0,'),
    Mutant("2.x windows open on the left", _SEMANTICS, '"left_open": _since(3, 0,', '"left_open": _since(2, 0,'),
    Mutant("3.x dots match no line break", _SEMANTICS, '"dot_all": _since(3, 0,', '"dot_all": _since(4, 0,'),
    Mutant("rate clamped first in 3.x too", _SEMANTICS, "((2, 51), False))", "((4, 0), False))"),
    Mutant(
        "rate clamped last in 2.42 too",
        _SEMANTICS,
        "((OLDEST_JUDGED, True), ((2, 51)",
        "((OLDEST_JUDGED, False), ((2, 51)",
    ),
    Mutant("plain sums in 3.x", _SEMANTICS, '"kahan_sum": _since(2, 54,', '"kahan_sum": _since(4, 0,'),
    Mutant(
        "deviations lenient in 3.x", _SEMANTICS, '"strict_deviation": _since(3, 0,', '"strict_deviation": _since(4, 0,'
    ),
    Mutant(
        "filtered duplicates pass in 3.x",
        _SEMANTICS,
        '"strict_one_side": _since(3, 9,',
        '"strict_one_side": _since(4, 0,',
    ),
    Mutant("3.16 ranks as before it", _SEMANTICS, '"exact_ranks": _since(3, 16,', '"exact_ranks": _since(4, 0,'),
    Mutant(
        "offset looks ahead",
        _EVALUATE,
        "base - offset_ms if offset_ms else base",
        "base + offset_ms if offset_ms else base",
    ),
    # Functions of ranges.
    Mutant("rate extrapolates to 1.2 intervals", _KERNELS, "threshold = between * 1.1", "threshold = between * 1.2"),
    Mutant("rate extrapolates by a whole interval at the end", _KERNELS, "to_end = between / 2.0", "to_end = between"),
    Mutant(
        "rate ignores resets",
        _KERNELS,
        "if values[i] < values[i - 1]:\n                    resets[count]",
        "if values[i] < values[i - 1] - 1e300:\n                    resets[count]",
    ),
    Mutant("rate goes below zero at the start", _KERNELS, "if to_zero < to_start:", "if to_zero > to_start:"),
    Mutant("increase is a rate", "promql/functions.py", "if per_second else 0.0", "if True else 0.0"),
    Mutant("irate of a reset is negative", _KERNELS, "if not (rate and values[j] < values[j - 1]):", "if True:"),
    Mutant("changes counts NaN to NaN", _KERNELS, " and not (np.isnan(newer) and np.isnan(older))", ""),
    Mutant("resets counts rises", _KERNELS, "step = newer < older", "step = newer > older"),
    Mutant(
        "last_over_time is the one before",
        _KERNELS,
        "out[s, t] = values[j - 1]\n",
        "out[s, t] = values[max(i, j - 2)]\n",
    ),
    Mutant(
        "averages as (s+c)/n in 3.16",
        "promql/kernels_sums.py",
        "return (s + c) / n if mode == 3 else s / n + c / n",
        "return (s + c) / n",
    ),
    Mutant(
        "quantiles take the next element",
        "promql/kernels_order.py",
        "upper = min(n - 1, lower + 1)",
        "upper = min(n - 1, lower + 2)",
    ),
    Mutant(
        "histogram_quantile ignores the tolerance",
        "promql/buckets.py",
        "if now < before or (tolerant and _nearly_equal(before, now)):",
        "if now < before:",
    ),
    Mutant(
        "histogram_quantile without interpolation",
        "promql/buckets.py",
        "return start + (edges[b] - start) * (rank / count)",
        "return edges[b]",
    ),
    Mutant(
        "label_replace matches anywhere", "promql/relabel.py", 'compiled(f"^(?:{regex})$"', 'compiled(f"(?:{regex})"'
    ),
    Mutant(
        "label_join without its separator",
        "promql/relabel.py",
        "separator.join(labels.value(name) for name in sources)",
        '"".join(labels.value(name) for name in sources)',
    ),
    # Alerts.
    Mutant("for needs one evaluation more", _STATES, "lasted_ms >= for_ms", "lasted_ms > for_ms"),
    Mutant(
        "keep_firing_for holds one evaluation more",
        _STATES,
        "ts_ms - since_ms < keep_firing_for_ms",
        "ts_ms - since_ms <= keep_firing_for_ms",
    ),
    Mutant(
        "keep_firing_for keeps pending alerts",
        _STATES,
        'if alert.state == "firing" and keep_firing_for_ms > 0',
        "if keep_firing_for_ms > 0",
    ),
    Mutant(
        "keeping starts anew each time",
        _STATES,
        "since_ms = ts_ms if alert.keep_firing_since_ms is None else alert.keep_firing_since_ms",
        "since_ms = ts_ms",
    ),
    Mutant(
        "keeping survives a return",
        _STATES,
        "alert = dataclasses.replace(alert, keep_firing_since_ms=None)\n        lasted_ms",
        "pass\n        lasted_ms",
    ),
    Mutant(
        "a pending alert survives one miss",
        _STATES,
        '    if alert.state == "pending":\n        return None\n',
        '    if alert.state == "pending":\n        return alert\n',
    ),
    Mutant("a resolved alert keeps its start", _STATES, 'before.state != "inactive"', "before.state"),
    Mutant("the metric name identifies alerts", _STATES, "element.without(METRIC_NAME).updated(", "element.updated("),
    Mutant(
        "rule labels lose to the element's",
        _STATES,
        "element.without(METRIC_NAME).updated({**own, ALERT_NAME: rule.name})",
        "Labels({**own, **element.without(METRIC_NAME), ALERT_NAME: rule.name})",
    ),
    # Groups.
    Mutant(
        "rules of a group do not see each other", "rules/stepping.py", "(0 if writer.place < node.place else 1)", "1"
    ),
    Mutant(
        "no stale marker after a series ends",
        "rules/stepping.py",
        "ended = dict.fromkeys(sorted(member.alive - rows.keys()), STALE)",
        "ended = dict[Labels, float]()",
    ),
    Mutant(
        "recorded series carry no rule labels",
        "rules/outputs.py",
        "labels.updated({**rule.labels, METRIC_NAME: rule.record})",
        "labels.updated({METRIC_NAME: rule.record})",
    ),
    Mutant(
        "recorded series end without a marker",
        "rules/outputs.py",
        "np.setdiff1d(after[after < len(kept)], after - 1, assume_unique=True)",
        "after[:0]",
    ),
    Mutant(
        "limit allows one series fewer",
        "rules/outputs.py",
        "grid.present.sum(axis=0) > limit",
        "grid.present.sum(axis=0) >= limit",
    ),
    # Operators.
    Mutant("% as in Python", _BINARY, '"%": np.fmod', '"%": np.mod'),
    Mutant("> holds for equal values", _BINARY, '">": np.greater,', '">": np.greater_equal,'),
    Mutant("<= as <", _BINARY, '"<=": np.less_equal', '"<=": np.less'),
    Mutant(
        "bool keeps the metric name",
        _BINARY,
        "drop_name = _drops_name(context, expr)",
        "drop_name = _drops_name(context, expr) and not expr.return_bool",
    ),
    Mutant(
        "comparisons with a scalar on the left keep the scalar",
        _BINARY,
        "return Vector(operand.labels, operand.values, holds)",
        "return Vector(operand.labels, operand.values * 0 + left, holds)",
    ),
    Mutant(
        "group_left keeps old labels",
        _BINARY,
        "return labels.updated({name: one.value(name) for name in matching.include})",
        "return labels",
    ),
    Mutant(
        "the metric name takes part in matching",
        _BINARY,
        "labels.without(METRIC_NAME, *matching.labels)",
        "labels.without(*matching.labels)",
    ),
    Mutant(
        "duplicates on the one side pass",
        _BINARY,
        "context.fail(_several(one_rows, len(known), one.present, width) & ~either_empty)",
        "pass",
    ),
    Mutant("unless as and", _BINARY, 'if expr.op == "and" else ~partner', 'if expr.op == "unless" else ~partner'),
    Mutant(
        "or adds all of the right side",
        _BINARY,
        "additional = right.present & ~_partner_there(right.labels, left, signature)",
        "additional = right.present",
    ),
    # Functions of instants.
    Mutant(
        "round halves to even",
        _INSTANT,
        "np.floor(values * inverse + 0.5) / inverse",
        "np.round(values * inverse) / inverse",
    ),
    Mutant(
        "clamp with crossed limits keeps elements", _INSTANT, "operand.present & ~(highest < lowest)", "operand.present"
    ),
    Mutant(
        "scalar of several elements takes the first",
        _INSTANT,
        "operand.present.sum(axis=0) == 1",
        "operand.present.sum(axis=0) >= 1",
    ),
    Mutant("Sunday is 7", _INSTANT, "(seconds // 86400 + 4) % 7", "(seconds // 86400 + 3) % 7 + 1"),
    Mutant(
        "time() without its milliseconds",
        _INSTANT,
        "    return context.times / 1000.0\n",
        "    return context.times // 1000 * 1.0\n",
    ),
    Mutant(
        "absent of something is there",
        _INSTANT,
        "np.logical_not(np.any(context.vector(args[0]).present, axis=0))",
        "np.any(context.vector(args[0]).present, axis=0)",
    ),
    # Templates.
    Mutant(
        "missing labels are called <no value>", _TEMPLATES, 'labels.get(word, "")', 'labels.get(word, "<no value>")'
    ),
    Mutant(
        "the exponent of {{ $value }} begins at 1e+07",
        _TEMPLATES,
        "power >= 6",
        "power >= 7",
    ),
    Mutant(
        "limit does not count pending alerts",
        _STATES,
        'alert.state != "inactive" for alert',
        'alert.state == "firing" for alert',
    ),
)
