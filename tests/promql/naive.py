"""PromQL one evaluation at a time, with dictionaries and loops: a transcription of the semantics.

It shares the parsed tree and the label sets with the evaluator, and nothing else.
"""

from __future__ import annotations

import datetime
import decimal
import itertools
import math
import re
import struct

import numpy as np
import re2

from kmon_analysis.labels import Labels
from kmon_analysis.promql import mathematics
from kmon_analysis.promql.syntax import (
    Aggregate,
    Binary,
    Call,
    MatrixSelector,
    NumberLiteral,
    Paren,
    Unary,
    VectorSelector,
)

NAN, INF = math.nan, math.inf
COMPARISONS = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
}


class Failed(Exception):  # noqa: N818
    """Prometheus fails this evaluation."""


def stale(value):
    return struct.pack("<d", value) == struct.pack("<Q", 0x7FF0000000000002)


def divide(a, b):
    if b == 0:
        if a == 0 or math.isnan(a):
            return NAN
        return math.copysign(INF, a) * math.copysign(1, b)
    return a / b


def root(a):
    return NAN if a < 0 else math.sqrt(a)


def modulo(a, b):
    if math.isnan(a) or math.isnan(b) or math.isinf(a) or b == 0:
        return NAN
    return math.fmod(a, b)


def elementary(name, *values):
    """The last bit is Go's; `test_mathematics` checks these by themselves."""
    arrays = [np.array([[value]]) for value in values]
    return float((mathematics.apply if len(values) == 1 else mathematics.apply2)(name, *arrays)[0, 0])


def power(a, b):
    return elementary("^", a, b)


ARITHMETIC = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": divide,
    "%": modulo,
    "^": power,
    "atan2": lambda a, b: elementary("atan2", a, b),
}


class Naive:
    """The evaluation of an expression at one time."""

    def __init__(self, series, now, semantics):
        self.series, self.now, self.rule_time, self.semantics = series, now, now, semantics

    # -- selectors ---------------------------------------------------------------------------------

    def matched(self, selector):
        for labels, samples in self.series:
            if all(m.matches(labels.value(m.name), dot_all=self.semantics.dot_all) for m in selector.matchers):
                yield labels, samples

    def reference(self, node):
        base = self.now
        if node.at is not None:
            base = node.at.time_ms if node.at.kind == "time" else self.rule_time
        return base - node.offset_ms

    def inside(self, time, low, high):
        return (low < time if self.semantics.left_open else low <= time) and time <= high

    def newest(self, selector):
        ref = self.reference(selector)
        for labels, samples in self.matched(selector):
            found = [s for s in samples if self.inside(s[0], ref - self.semantics.lookback_ms, ref)]
            if found and not stale(found[-1][1]):
                yield labels, found[-1]

    def windows(self, node):
        """Right end, range and the samples of each series."""
        while isinstance(node, Paren):
            node = node.expr
        if isinstance(node, MatrixSelector):
            high = self.reference(node.selector)
            low = high - node.range_ms
            rows = {
                labels: [s for s in samples if self.inside(s[0], low, high) and not stale(s[1])]
                for labels, samples in self.matched(node.selector)
            }
        else:
            high = self.reference(node)
            low = high - node.range_ms
            step = node.step_ms or self.semantics.subquery_step_ms
            time = step * math.trunc(low / step)
            if time < low or (self.semantics.left_open and time == low):
                time += step
            rows = {}
            while time <= high:
                inner = Naive(self.series, time, self.semantics)
                inner.rule_time = self.rule_time
                for labels, value in inner.vector(node.expr).items():
                    rows.setdefault(labels, []).append((time, value))
                time += step
        return high, node.range_ms, {labels: rows[labels] for labels in sorted(rows) if rows[labels]}

    # -- trees -------------------------------------------------------------------------------------

    def is_scalar(self, node):
        match node:
            case NumberLiteral():
                return True
            case Paren() | Unary():
                return self.is_scalar(node.expr)
            case Call():
                return node.function in ("time", "scalar", "pi")
            case Binary():
                return self.is_scalar(node.left) and self.is_scalar(node.right)
        return False

    def scalar(self, node):
        match node:
            case NumberLiteral():
                return node.value
            case Paren():
                return self.scalar(node.expr)
            case Unary():
                return -self.scalar(node.expr)
            case Binary():
                left, right = self.scalar(node.left), self.scalar(node.right)
                if node.op in COMPARISONS:
                    return float(COMPARISONS[node.op](left, right))
                return ARITHMETIC[node.op](left, right)
            case Call(function="time"):
                return self.now / 1000
            case Call(function="scalar"):
                found = list(self.vector(node.args[0]).values())
                return found[0] if len(found) == 1 else NAN
        raise AssertionError(node)

    def vector(self, node):
        match node:
            case VectorSelector():
                return {labels: sample[1] for labels, sample in self.newest(node)}
            case Paren():
                return self.vector(node.expr)
            case Unary():
                return unique((nameless(labels), -value) for labels, value in self.vector(node.expr).items())
            case Aggregate():
                return self.aggregate(node)
            case Binary():
                return self.binary(node)
            case Call():
                return self.call(node)
        raise AssertionError(node)

    # -- functions ---------------------------------------------------------------------------------

    def call(self, node):
        name, args = node.function, node.args
        if name in RANGES or name in WINDOWED:
            high, length, rows = self.windows(args[1] if name == "quantile_over_time" else args[0])
            found = []
            for labels, samples in rows.items():
                if name in ("rate", "increase", "delta"):
                    value = self.extrapolated(name, samples, high, length)
                elif name == "predict_linear":
                    line = self.regression(samples, self.now)
                    value = None if line is None else line[0] * self.scalar(args[1]) + line[1]
                elif name == "quantile_over_time":
                    value = self.quantile(self.scalar(args[0]), [v for _, v in samples])
                elif name == "holt_winters":
                    value = smoothed([v for _, v in samples], self.scalar(args[1]), self.scalar(args[2]))
                else:
                    value = RANGES[name](self, samples)
                if value is not None:
                    found.append((labels if name in KEEP_NAME else nameless(labels), value))
            return unique(found)
        if name == "absent_over_time":
            return {} if self.windows(args[0])[2] else {absent_labels(args[0], self.semantics.matchers_sorted): 1.0}
        if name == "absent":
            return {} if self.vector(args[0]) else {absent_labels(args[0], self.semantics.matchers_sorted): 1.0}
        if name == "vector":
            return {Labels(): self.scalar(args[0])}
        if name == "timestamp":
            inner = args[0]
            while isinstance(inner, Paren):
                inner = inner.expr
            if isinstance(inner, VectorSelector):
                return unique((nameless(labels), sample[0] / 1000) for labels, sample in self.newest(inner))
            return unique((nameless(labels), self.now / 1000) for labels in self.vector(inner))
        if name in CALENDAR:
            if not args:
                return {Labels(): float(CALENDAR[name](self.now // 1000))}
            return unique((nameless(k), float(CALENDAR[name](v))) for k, v in self.vector(args[0]).items())
        if name in ("histogram_quantile", "histogram_fraction"):
            return self.histogram(name, [self.scalar(arg) for arg in args[:-1]], self.vector(args[-1]))
        vector = self.vector(args[0])
        if name in ("label_replace", "label_join"):
            return self.relabelled(name, [arg.value for arg in args[1:]], vector)
        if name == "deg" or name == "rad":
            up, down = (180.0, math.pi) if name == "deg" else (math.pi, 180.0)
            whole = self.semantics.degree_factor
            return unique((nameless(k), v * (up / down) if whole else v * up / down) for k, v in vector.items())
        if name in mathematics.LOOPS:
            return unique((nameless(labels), elementary(name, value)) for labels, value in vector.items())
        if name in ("sort", "sort_desc"):
            return vector
        scalars = [self.scalar(arg) for arg in args[1:]]
        if name == "clamp" and scalars[1] < scalars[0]:
            return {}
        return unique((nameless(labels), ELEMENTS[name](value, *scalars)) for labels, value in vector.items())

    def extrapolated(self, name, samples, high, length):
        if len(samples) < 2:
            return None
        first_time, first = samples[0]
        last_time, last = samples[-1]
        counter = name != "delta"
        total = last - first
        if counter:
            for (_, before), (_, after) in itertools.pairwise(samples):
                if after < before:
                    total += before
        to_start, to_end = (first_time - (high - length)) / 1000, (high - last_time) / 1000
        span = (last_time - first_time) / 1000
        between = span / (len(samples) - 1)
        threshold = between * 1.1
        to_zero = INF
        if counter and total > 0 and first >= 0:
            to_zero = span * (first / total)
        if self.semantics.clamp_first:
            to_start = min(to_start, to_zero)
            if to_start >= threshold:
                to_start = between / 2
        else:
            if to_start >= threshold:
                to_start = between / 2
            to_start = min(to_start, to_zero)
        if to_end >= threshold:
            to_end = between / 2
        factor = (span + to_start + to_end) / span
        if name == "rate":
            factor /= length // 1000 + (length % 1000) * 1e6 / 1e9
        return total * factor

    def kadd(self, x, s, c):
        u = s + x
        if self.semantics.kahan_sum and math.isinf(u):
            return u, 0.0
        if abs(s) >= abs(x):
            c += (s - u) + x
        else:
            c += (x - u) + s
        return u, c

    def sum_over_time(self, samples):
        s = c = 0.0
        for _, value in samples:
            s, c = self.kadd(value, s, c)
        return s if math.isinf(s) else s + c

    def mean(self, values, kind, *, plain=False):
        """The average; `plain` without compensation in the incremental kinds."""
        mean = c = 0.0
        if kind in ("direct-sum", "direct-parts"):
            s, c = values[0], 0.0
            done = 1
            while done < len(values):
                u, d = self.kadd(values[done], s, c)
                if math.isinf(u):
                    break
                s, c, done = u, d, done + 1
            if done == len(values):
                return (s + c) / done if kind == "direct-sum" else s / done + c / done
            mean, c = s / done, c / done
            rest = list(enumerate(values, 1))[done:]
        else:
            rest = list(enumerate(values, 1))
        for count, value in rest:
            if kind == "direct-parts":
                share = (count - 1) / count
                mean, c = self.kadd(value / count, share * mean, share * c)
                continue
            keeps = not math.isinf(value) or (mean > 0) == (value > 0)
            if math.isinf(mean) and not math.isnan(value) and keeps:
                continue
            if plain and kind == "incremental":
                mean += value / count - mean / count
            else:
                corrected = mean if kind == "incremental" else mean + c
                mean, c = self.kadd(value / count - corrected / count, mean, c)
        if math.isinf(mean):
            return mean
        return mean + c

    def variance(self, samples):
        count = mean = mean_c = total = total_c = 0.0
        for _, value in samples:
            count += 1
            delta = value - (mean + mean_c)
            mean, mean_c = self.kadd(delta / count, mean, mean_c)
            total, total_c = self.kadd(delta * (value - (mean + mean_c)), total, total_c)
        return (total + total_c) / count

    def regression(self, samples, origin):
        if len(samples) < 2:
            return None
        if all(value == samples[0][1] for _, value in samples[1:]):
            return (NAN, NAN) if math.isinf(samples[0][1]) else (0.0, samples[0][1])
        sums = [(0.0, 0.0)] * 4
        for time, y in samples:
            x = (time - origin) / 1000
            sums = [self.kadd(term, *pair) for term, pair in zip((x, y, x * y, x * x), sums, strict=True)]
        sx, sy, sxy, sxx = (s + c for s, c in sums)
        n = float(len(samples))
        slope = divide(sxy - sx * sy / n, sxx - sx * sx / n)
        return slope, sy / n - slope * sx / n

    def pair_change(self, samples, *, rate):
        if len(samples) < 2:
            return None
        (before_time, before), (after_time, after) = samples[-2:]
        if not rate:
            return after - before
        change = after if after < before else after - before
        return change / ((after_time - before_time) / 1000)

    # -- aggregations ------------------------------------------------------------------------------

    def aggregate(self, node):
        groups = {}
        if node.op == "count_values":
            name = node.parameter.value
            for labels, value in self.vector(node.expr).items():
                marked = labels.updated({name: printed(value)})
                grouped = marked.only((*node.grouping, name)) if node.by else marked.without("__name__", *node.grouping)
                groups[grouped] = groups.get(grouped, 0.0) + 1.0
            return groups
        for labels, value in self.vector(node.expr).items():
            key = labels.only(node.grouping) if node.by else labels.without("__name__", *node.grouping)
            groups.setdefault(key, []).append((labels, value))
        if node.op in ("topk", "bottomk"):
            sign = 1 if node.op == "topk" else -1
            count = self.scalar(node.parameter)
            below = self.semantics.limit_check == "wanted" and count < 1
            fits = -(2.0**63) <= count <= 9223372036854774784.0 and (
                self.semantics.limit_check != "wanted" or count < 9223372036854774784.0
            )
            if not fits and not below and (groups or self.semantics.limit_check != "elements"):
                raise Failed
            kept = {}
            for members in groups.values():
                kept.update(
                    heap_select(members, int(count) if math.isfinite(count) else 0, sign, self.semantics.heap_replaces)
                )
            return kept
        return {key: self.fold(node, [value for _, value in members]) for key, members in groups.items()}

    def fold(self, node, values):
        match node.op:
            case "count":
                return float(len(values))
            case "group":
                return 1.0
            case "min":
                return extreme(values, lambda a, b: a < b)
            case "max":
                return extreme(values, lambda a, b: a > b)
            case "avg":
                return self.mean(values, self.semantics.avg_aggregation, plain=True)
            case "quantile":
                return self.quantile(self.scalar(node.parameter), values)
            case "sum":
                s, c = values[0], 0.0
                for value in values[1:]:
                    if self.semantics.kahan_sum:
                        s, c = self.kadd(value, s, c)
                    else:
                        s += value
                return s + c
        mean, total = values[0], 0.0
        if self.semantics.left_open and not math.isfinite(mean):
            total = NAN
        for count, value in enumerate(values[1:], 2):
            delta = value - mean
            mean += delta / count
            total += delta * (value - mean)
        return total / len(values) if node.op == "stdvar" else root(total / len(values))

    def quantile(self, q, values):
        if math.isnan(q):
            return NAN
        if q < 0 or q > 1:
            return math.copysign(INF, q)
        ordered = sorted(values, key=lambda v: (not math.isnan(v), 0 if math.isnan(v) else v))
        rank = q * (len(ordered) - 1)
        low = max(0, math.floor(rank))
        weight = rank - math.floor(rank)
        if weight == 0 and self.semantics.exact_ranks:
            return ordered[low]
        return ordered[low] * (1 - weight) + ordered[min(len(ordered) - 1, low + 1)] * weight

    # -- labels and histograms -----------------------------------------------------------------------

    def relabelled(self, name, texts, vector):
        any_text = self.semantics.utf8_replace if name == "label_replace" else self.semantics.utf8_names
        if not any_text and not re.fullmatch("[a-zA-Z_][a-zA-Z0-9_]*", texts[0]):
            raise Failed
        if name == "label_join":
            target, separator, *sources = texts
            return unique(
                (labels.updated({target: separator.join(labels.value(source) for source in sources)}), value)
                for labels, value in vector.items()
            )
        target, replacement, source, pattern = texts
        options = re2.Options()
        options.log_errors = False
        options.dot_nl = self.semantics.dot_all
        try:
            compiled = re2.compile(f"({pattern})", options)
        except re2.error:
            raise Failed from None
        found = []
        for labels, value in vector.items():
            match = compiled.fullmatch(labels.value(source))
            if match is not None:
                groups = {str(n): match[n + 1] for n in range(compiled.groups)}
                groups |= {key: match[n] for key, n in compiled.groupindex.items()}
                text = re.sub(
                    r"\$(?:(\$)|\{(\w+)\}|(\w+))", lambda m, g=groups: m[1] or g.get(m[2] or m[3]) or "", replacement
                )
                labels = labels.updated({target: text})
            found.append((labels, value))
        return unique(found)

    def histogram(self, name, numbers, vector):
        histograms = {}
        for labels, value in vector.items():
            try:
                bound = float(labels.value("le"))
            except ValueError:
                continue
            buckets = histograms.setdefault(labels.without("le"), {})
            buckets.setdefault(bound, []).append(value)
        found = []
        for labels, buckets in histograms.items():
            rising = sorted((bound, sum(values[1:], values[0])) for bound, values in buckets.items())
            of = self.bucket_quantile if name == "histogram_quantile" else self.bucket_fraction
            found.append((nameless(labels), of(*numbers, rising)))
        return unique(found)

    def bucket_quantile(self, q, buckets):
        if math.isnan(q):
            return NAN
        if q < 0 or q > 1:
            return math.copysign(INF, q)
        if buckets[-1][0] != INF or len(buckets) < 2:
            return NAN
        bounds, counts = [bound for bound, _ in buckets], [count for _, count in buckets]
        before = counts[0]
        for i in range(1, len(counts)):
            near = self.semantics.tolerant_buckets and nearly(before, counts[i])
            if counts[i] < before or near:
                counts[i] = before
            elif counts[i] > before or self.semantics.tolerant_buckets:
                before = counts[i]
        if counts[-1] == 0:
            return NAN
        rank = q * counts[-1]
        low, high = 0, len(counts) - 1
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if counts[middle] >= rank else (middle + 1, high)
        if low == len(counts) - 1:
            return bounds[-2]
        if low == 0 and bounds[0] <= 0:
            return bounds[0]
        if low == 0:
            return 0.0 + (bounds[0] - 0.0) * divide(rank, counts[0])
        start, width = bounds[low - 1], bounds[low] - bounds[low - 1]
        return start + width * divide(rank - counts[low - 1], counts[low] - counts[low - 1])

    def bucket_fraction(self, lower, upper, buckets):
        total = buckets[-1][1]
        if buckets[-1][0] != INF or total == 0 or math.isnan(lower) or math.isnan(upper):
            return NAN
        if lower >= upper:
            return 0.0
        first = 0.0 if self.semantics.fraction_from_zero and buckets[0][0] > 0 else -INF
        ranks = []
        for wanted in (lower, upper):
            left, rank, found = first, 0.0, total
            for right, count in buckets:
                if left >= wanted:
                    found = rank
                    break
                if left < wanted < right:
                    inside = left == -INF and self.semantics.fraction_from_zero
                    found = count if inside else rank + divide((count - rank) * (wanted - left), right - left)
                    break
                left, rank = right, count
            ranks.append(total if found > total else found)
        return divide(ranks[1] - ranks[0], total)

    # -- operators ---------------------------------------------------------------------------------

    def binary(self, node):
        if self.is_scalar(node.left) or self.is_scalar(node.right):
            scalar_left = self.is_scalar(node.left)
            scalar = self.scalar(node.left if scalar_left else node.right)
            found = []
            for labels, value in self.vector(node.right if scalar_left else node.left).items():
                a, b = (scalar, value) if scalar_left else (value, scalar)
                if node.op in ARITHMETIC:
                    named = node.op == "atan2" and not self.semantics.atan2_drops_name
                    found.append((labels if named else nameless(labels), ARITHMETIC[node.op](a, b)))
                elif node.return_bool:
                    found.append((nameless(labels), float(COMPARISONS[node.op](a, b))))
                elif COMPARISONS[node.op](a, b):
                    found.append((labels, value))
            return unique(found)
        left, right = self.vector(node.left), self.vector(node.right)
        matching = node.matching

        def signature(labels):
            return labels.only(matching.labels) if matching.on else labels.without("__name__", *matching.labels)

        if node.op in ("and", "unless"):
            there = {signature(labels) for labels in right}
            return {k: v for k, v in left.items() if (signature(k) in there) == (node.op == "and")}
        if node.op == "or":
            there = {signature(labels) for labels in left}
            return left | {k: v for k, v in right.items() if signature(k) not in there}
        if not left or not right:
            return {}
        many, one = (right, left) if matching.cardinality == "one-to-many" else (left, right)
        partners = {}
        for labels, value in one.items():
            if signature(labels) in partners:
                raise Failed
            partners[signature(labels)] = labels, value
        found, matched = [], set()
        for labels, value in many.items():
            key = signature(labels)
            if key not in partners:
                continue
            other_labels, other = partners[key]
            a, b = (other, value) if many is right else (value, other)
            keep = True
            if node.op in ARITHMETIC:
                result = ARITHMETIC[node.op](a, b)
            else:
                keep, result = COMPARISONS[node.op](a, b), a
                if node.return_bool:
                    keep, result = True, float(keep)
            if matching.cardinality == "one-to-one" and (keep or self.semantics.strict_one_side):
                if key in matched:
                    raise Failed
                matched.add(key)
            many_to_one = matching.cardinality != "one-to-one"
            if not keep and not (many_to_one and self.semantics.strict_one_side):
                continue
            named = node.op == "atan2" and not self.semantics.atan2_drops_name
            if (node.op in ARITHMETIC and not named) or node.return_bool:
                labels = nameless(labels)
            if matching.cardinality != "one-to-one":
                labels = labels.updated({name: other_labels.value(name) for name in matching.include})
            elif matching.on:
                labels = labels.only(matching.labels)
            else:
                labels = labels.without(*matching.labels)
            if many_to_one and self.semantics.strict_one_side:
                if (key, labels) in matched:
                    raise Failed
                matched.add((key, labels))
            if keep:
                found.append((labels, result))
        return unique(found)


def printed(value):
    if not math.isfinite(value):
        return {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}[repr(value)]
    return format(decimal.Decimal(repr(value)), "f").removesuffix(".0")


def nameless(labels):
    return labels.without("__name__")


def unique(pairs):
    found = {}
    for labels, value in pairs:
        if labels in found:
            raise Failed
        found[labels] = value
    return found


def extreme(values, better):
    best = values[0]
    for value in values[1:]:
        if better(value, best) or math.isnan(best):
            best = value
    return best


def heap_select(members, count, sign, replaces):
    """Keep the `count` largest, with the very moves of Go's container/heap."""

    def less(i, j):
        a, b = sign * heap[i][1], sign * heap[j][1]
        return math.isnan(a) or a < b

    def swap(i, j):
        heap[i], heap[j] = heap[j], heap[i]

    def up(child):
        while child and less(child, (child - 1) // 2):
            swap(child, (child - 1) // 2)
            child = (child - 1) // 2

    def down(size):
        parent = 0
        while 2 * parent + 1 < size:
            child = 2 * parent + 1
            if child + 1 < size and less(child + 1, child):
                child += 1
            if not less(child, parent):
                break
            swap(child, parent)
            parent = child

    heap = []
    for labels, value in members:
        if heap and len(heap) == count:
            worst = heap[0][1]
            better = sign * worst < sign * value or (math.isnan(worst) and not (replaces and math.isnan(value)))
            if not better:
                continue
            if replaces or count == 1:
                heap[0] = labels, value
                down(count)
                continue
            swap(0, count - 1)
            down(count - 1)
            heap.pop()
        if len(heap) < count:
            heap.append((labels, value))
            up(len(heap) - 1)
    return heap


def absent_labels(node, sort):
    while isinstance(node, Paren):
        node = node.expr
    if isinstance(node, MatrixSelector):
        node = node.selector
    if not isinstance(node, VectorSelector):
        return Labels()
    found, seen = {}, set()
    matchers = node.matchers
    if sort:
        kept, taken = [], []
        for m in matchers:
            must = any(other.name == m.name and not other.matches("") for other in matchers)
            (kept if must and not (m.op[0] == "!" and m.matches("")) else taken).append(m)
        matchers = kept + taken
    for matcher in matchers:
        if matcher.name == "__name__":
            continue
        if matcher.op == "=" and matcher.name not in seen:
            found[matcher.name] = matcher.value
            seen.add(matcher.name)
        else:
            found.pop(matcher.name, None)
    return Labels(found)


def nearly(a, b):
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    total = abs(a) + abs(b)
    if a == 0 or b == 0 or total < 2.2250738585072014e-308:
        return abs(a - b) < 1e-12 * 2.2250738585072014e-308
    return abs(a - b) / min(total, 1.7976931348623157e308) < 1e-12


def smoothed(values, smoothing, trend):
    if smoothing <= 0 or smoothing >= 1 or trend <= 0 or trend >= 1:
        raise Failed
    if len(values) < 2:
        return None
    before, level, slope = 0.0, values[0], values[1] - values[0]
    for i in range(1, len(values)):
        if i > 1:
            slope = trend * (level - before) + (1 - trend) * slope
        before, level = level, smoothing * values[i] + (1 - smoothing) * (level + slope)
    return level


def go_min(a, b):
    if -INF in (a, b):
        return -INF
    if math.isnan(a) or math.isnan(b):
        return NAN
    return min(a, b)


def go_max(a, b):
    return -go_min(-a, -b)


def nearest(value, to=1.0):
    inverse = divide(1.0, to)
    scaled = value * inverse + 0.5
    return divide(math.floor(scaled) if math.isfinite(scaled) else scaled, inverse)


def whole(function):
    return lambda value: float(function(value)) if math.isfinite(value) else value


ELEMENTS = {
    "abs": abs,
    "ceil": whole(math.ceil),
    "floor": whole(math.floor),
    "sqrt": root,
    "sgn": lambda v: v if v == 0 or math.isnan(v) else math.copysign(1.0, v),
    "round": nearest,
    "clamp": lambda v, low, high: go_max(low, go_min(high, v)),
    "clamp_min": go_max,
    "clamp_max": go_min,
}

KEEP_NAME = ("first_over_time", "last_over_time")
WINDOWED = ("rate", "increase", "delta", "predict_linear", "quantile_over_time", "holt_winters")
RANGES = {
    "first_over_time": lambda naive, s: s[0][1],
    "irate": lambda naive, s: naive.pair_change(s, rate=True),
    "idelta": lambda naive, s: naive.pair_change(s, rate=False),
    "deriv": lambda naive, s: None if len(s) < 2 else naive.regression(s, s[0][0])[0],
    "sum_over_time": lambda naive, s: naive.sum_over_time(s),
    "avg_over_time": lambda naive, s: naive.mean([v for _, v in s], naive.semantics.avg),
    "min_over_time": lambda naive, s: extreme([v for _, v in s], lambda a, b: a < b),
    "max_over_time": lambda naive, s: extreme([v for _, v in s], lambda a, b: a > b),
    "count_over_time": lambda naive, s: float(len(s)),
    "last_over_time": lambda naive, s: s[-1][1],
    "present_over_time": lambda naive, s: 1.0,
    "stdvar_over_time": lambda naive, s: naive.variance(s),
    "stddev_over_time": lambda naive, s: root(naive.variance(s)),
    "changes": lambda naive, s: float(
        sum(b != a and not (math.isnan(a) and math.isnan(b)) for (_, a), (_, b) in itertools.pairwise(s))
    ),
    "resets": lambda naive, s: float(sum(b < a for (_, a), (_, b) in itertools.pairwise(s))),
}


def moment(seconds):
    if not abs(seconds) < 2**63:
        # The year 292277026596 has the days of 1996 and 2396 and so on.
        return datetime.datetime(1996, 12, 4, 15, 30, 8, tzinfo=datetime.UTC)
    return datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(seconds=math.trunc(seconds))


def days_in_month(seconds):
    first = moment(seconds).replace(day=1)
    return ((first + datetime.timedelta(days=31)).replace(day=1) - first).days


CALENDAR = {
    "minute": lambda s: moment(s).minute,
    "hour": lambda s: moment(s).hour,
    "day_of_week": lambda s: moment(s).isoweekday() % 7 if abs(s) < 2**63 else 0,
    "day_of_month": lambda s: moment(s).day,
    "day_of_year": lambda s: moment(s).timetuple().tm_yday,
    "month": lambda s: moment(s).month,
    "year": lambda s: moment(s).year if abs(s) < 2**63 else 292277026596,
    "days_in_month": days_in_month,
}


def evaluate(expr, series, time, semantics):
    """Return the instant vector at one time; raises `Failed`."""
    rows = [(part.labels, list(zip(part.times.tolist(), part.values.tolist(), strict=True))) for part in series]
    naive = Naive(rows, time, semantics)
    return {Labels(): naive.scalar(expr)} if naive.is_scalar(expr) else naive.vector(expr)
