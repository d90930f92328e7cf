"""promtool unit tests from recorded evidence, right by construction."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kmon_analysis.errors import ExpressionError
from kmon_analysis.export.seriestext import common_interval, on_grid, series_name, values_text, yaml_quote
from kmon_analysis.labels import METRIC_NAME, Labels
from kmon_analysis.promql.evaluate import check_supported, evaluate
from kmon_analysis.promql.needs import fixed_selections, selections
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.promql.syntax import Call, Expr, VectorSelector, children
from kmon_analysis.rules.model import AlertingRule, Rule, RuleFile
from kmon_analysis.rules.states import alert_labels, alerts_labels, replay
from kmon_analysis.rules.templates import expand
from kmon_analysis.series import Grid, Samples, SeriesSet
from kmon_analysis.timing import DAY_MS, WEEK_MS, format_duration, format_instant

__all__ = ["MAX_SAMPLES", "MAX_TEXT", "Evidence", "UnitTests", "build_unit_tests", "make_unit_tests"]

MAX_SAMPLES = 2_000
MAX_TEXT = 1_000_000

_DEEP = " " * 10

_OF_THE_WEEK = frozenset(("hour", "minute", "day_of_week"))
_OF_THE_YEAR = frozenset(("day_of_month", "day_of_year", "days_in_month", "month", "year"))

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Evidence:
    """A stretch of recorded time that a rule is tested on.

    Attributes
    ----------
    name : str
        For example the incident's id, or ``quiet spell 2``.
    rule : AlertingRule
        The rule as exported.
    series : SeriesSet
        Raw samples from before `start_ms` as far as the expression looks back; more does no harm.
    start_ms, end_ms : int
        Half-open range of the evaluations.
    note : str
        What there is to know, for the comment above the test.
    """

    name: str
    rule: AlertingRule
    series: SeriesSet
    start_ms: int
    end_ms: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class UnitTests:
    """A file of unit tests.

    Attributes
    ----------
    text : str
        YAML for ``promtool test rules``.
    names : tuple of str
        Evidence that became a test.
    left_out : tuple of (str, str)
        Evidence that did not, and why.
    firing : tuple of str
        Evidence in whose test the rule fires.
    """

    text: str
    names: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]
    firing: tuple[str, ...]


class _LeftOutError(Exception):
    """Evidence makes no test; the message says why."""


def make_unit_tests(
    rule_file_name: str,
    evidences: Sequence[Evidence],
    evaluation_interval_ms: int,
    semantics: Semantics,
    *,
    rules: RuleFile | None = None,
) -> str:
    """Write promtool unit tests; see `build_unit_tests`."""
    return build_unit_tests(rule_file_name, evidences, evaluation_interval_ms, semantics, rules=rules).text


def build_unit_tests(
    rule_file_name: str,
    evidences: Sequence[Evidence],
    evaluation_interval_ms: int,
    semantics: Semantics,
    *,
    rules: RuleFile | None = None,
) -> UnitTests:
    """Make promtool unit tests from recorded evidence.

    Parameters
    ----------
    rule_file_name : str
        The rule file as seen from the test file.
    evidences : sequence of Evidence
        One test each, in this order, as long as the file stays below `MAX_TEXT` characters.
    evaluation_interval_ms : int
        The rules' evaluation interval.
    semantics : Semantics
        The release of the promtool that will run the tests.
    rules : RuleFile, optional
        The exported rule file: rules that share an alert's name are expected together, as promtool does,
        and evidence that another rule of the file would disturb is left out.

    Returns
    -------
    UnitTests
        Sample times are rounded to the scrape grid, the clock starts at the Unix epoch (as promtool's before
        3.9 does; rules that ask for the hour keep it), and what is expected is worked out anew from exactly the
        written samples, at every evaluation that promtool will make.

    Notes
    -----
    Prometheus ``cmd/promtool/unittest.go``.
    """
    semantics = dataclasses.replace(semantics, subquery_step_ms=evaluation_interval_ms)
    blocks: list[str] = []
    names: list[str] = []
    firing: list[str] = []
    left_out: list[tuple[str, str]] = []
    length = 0
    for evidence in evidences:
        try:
            test = _Test.of(evidence, evaluation_interval_ms, semantics, rules)
            block = test.text()
            if length + len(block) > MAX_TEXT:
                raise _LeftOutError(f"the file would grow past {MAX_TEXT} characters")
        except _LeftOutError as reason:
            left_out.append((evidence.name, str(reason)))
            continue
        except ExpressionError as error:
            left_out.append((evidence.name, error.problem))
            continue
        blocks.append(block)
        names.append(evidence.name)
        length += len(block)
        if test.fires:
            firing.append(evidence.name)
    head = [
        f"# Unit tests of {_one_line(rule_file_name)}, made from recorded samples: promtool test rules <this file>",
        "# Sample times are rounded to the scrape grid. What is expected was worked out anew from exactly these",
        f"# samples, as Prometheus {semantics.version} evaluates them.",
        *(f"# Not tested: {_one_line(name)}: {_one_line(reason)}" for name, reason in left_out),
        "rule_files:",
        f"  - {yaml_quote(rule_file_name)}",
        f"evaluation_interval: {format_duration(evaluation_interval_ms)}",
        "tests:" if blocks else "tests: []",
    ]
    return UnitTests("\n".join(head) + "\n" + "".join(blocks), tuple(names), tuple(left_out), tuple(firing))


@dataclass(frozen=True, slots=True)
class _Expectation:
    """What a test says about one evaluation."""

    time_ms: int
    why: str
    # Alert labels with their expanded annotations; None where a template is beyond us.
    alerts: tuple[tuple[AlertingRule, Labels, Mapping[str, str] | None], ...]


@dataclass(frozen=True, slots=True)
class _Test:
    """One test on promtool's clock."""

    evidence: Evidence
    base_ms: int
    interval_ms: int
    moved_ms: int
    series: SeriesSet
    expectations: tuple[_Expectation, ...]
    fires: bool

    @classmethod
    def of(cls, evidence: Evidence, step_ms: int, semantics: Semantics, rules: RuleFile | None) -> _Test:
        """Choose clock, samples and times, small enough."""
        expr = evidence.rule.expr
        check_supported(expr, evidence.rule.text, semantics=semantics)
        _check_clock(expr)
        test = cls._made(evidence, step_ms, semantics, rules)
        if test.series.sample_count > MAX_SAMPLES:
            test = cls._made(_narrowed(test, step_ms), step_ms, semantics, rules)
        if test.series.sample_count > MAX_SAMPLES:
            test = cls._made(_thinned(test), step_ms, semantics, rules)
        if test.series.sample_count > MAX_SAMPLES:
            test = cls._made(_shortened(test, step_ms), step_ms, semantics, rules)
        if test.series.sample_count > MAX_SAMPLES:
            raise _LeftOutError(f"it takes {test.series.sample_count} samples, and a test holds {MAX_SAMPLES}")
        if not len(test.series) and not test.fires:
            raise _LeftOutError("no recorded series matches the rule")
        return test

    @classmethod
    def _made(cls, evidence: Evidence, step_ms: int, semantics: Semantics, rules: RuleFile | None) -> _Test:
        """Make the test for one stretch."""
        rule = evidence.rule
        evidence = dataclasses.replace(evidence, series=_selected(rule.expr, evidence, semantics))
        interval_ms = common_interval(evidence.series)
        base_ms = _base(evidence, interval_ms, step_ms, semantics)
        series, moved_ms = on_grid(evidence.series, base_ms, interval_ms)
        first, last = evidence.start_ms - base_ms, evidence.end_ms - base_ms
        times = np.arange(0, max(last, step_ms), step_ms, dtype=np.int64)
        inside = np.flatnonzero(times >= first)
        if not len(inside):
            raise _LeftOutError("it is shorter than one evaluation interval")
        replayed = replay(rule, evaluate(rule.expr, series, times, semantics), limit=_limit(rule, rules))
        firing = np.array([bool(replayed.at(column, "firing")) for column in range(len(times))])
        picks = _picks(firing, int(inside[0]), int(inside[-1]))
        ahead_ms = max((need.lookahead_ms for need in selections(rule.expr)), default=0)
        series = series.between(0, int(times[max(picks)]) + ahead_ms + 1)
        times = times[: max(picks) + 1]
        _check_neighbours(rule, rules, series, times, semantics)
        family = [rule] if rules is None else [one for one in rules.alerts if one.name == rule.name] or [rule]
        expected = [_expected(one, _limit(one, rules), series, times, semantics, sorted(picks)) for one in family]
        expectations = tuple(
            _Expectation(
                int(times[column]), picks[column], tuple(found for alerts in expected for found in alerts[column])
            )
            for column in sorted(picks)
        )
        return cls(evidence, base_ms, interval_ms, moved_ms, series, expectations, bool(firing[sorted(picks)].any()))

    def text(self) -> str:
        """Write the test as an item of ``tests``."""
        evidence = self.evidence
        notes = [f"{evidence.name}: {evidence.note}" if evidence.note else evidence.name]
        notes.append(f"Time 0 here is {format_instant(self.base_ms)}; samples moved by at most {self.moved_ms} ms.")
        lines = [f"  # {_one_line(note)}" for note in notes]
        lines += [f"  - name: {yaml_quote(evidence.name)}", f"    interval: {format_duration(self.interval_ms)}"]
        lines.append("    input_series:" if len(self.series) else "    input_series: []")
        for part in self.series:
            name = series_name(part.labels).replace("'", "''")
            lines.append(f"      - series: '{name}'")
            values = values_text(part.times, part.values, self.interval_ms)
            lines += ["        values: >-", *(f"{_DEEP}{line}" for line in _wrapped(values))]
        plain = all(found[2] is not None for one in self.expectations for found in one.alerts)
        lines.append("    alert_rule_test:" if plain else "    promql_expr_test:")
        for one in self.expectations:
            lines += self._alerts(one) if plain else self._samples(one)
        return "\n".join(lines) + "\n"

    def _alerts(self, one: _Expectation) -> list[str]:
        """Write an entry of ``alert_rule_test``."""
        lines = [
            f"      # {one.why}",
            f"      - eval_time: {format_duration(one.time_ms)}",
            f"        alertname: {yaml_quote(self.evidence.rule.name)}",
            "        exp_alerts:" if one.alerts else "        exp_alerts: []",
        ]
        for _, labels, texts in one.alerts:
            lead = "          - "
            for title, pairs in (("exp_labels", labels.without("alertname")), ("exp_annotations", texts or {})):
                if pairs:
                    lines.append(f"{lead}{title}:")
                    lines += [f"              {_key(name)}: {yaml_quote(value)}" for name, value in pairs.items()]
                    lead = "            "
            if lead.strip():
                lines.append(f"{lead}exp_labels: {{}}")
        return lines

    def _samples(self, one: _Expectation) -> list[str]:
        """Write an entry of ``promql_expr_test``, which does not look at annotations."""
        selector = Labels({METRIC_NAME: "ALERTS", "alertname": self.evidence.rule.name, "alertstate": "firing"})
        lines = [
            f"      # {one.why}",
            f"      - expr: '{selector}'",
            f"        eval_time: {format_duration(one.time_ms)}",
            "        exp_samples:" if one.alerts else "        exp_samples: []",
        ]
        for rule, labels, _ in one.alerts:
            lines.append(f"          - labels: {yaml_quote(series_name(alerts_labels(rule, labels, 'firing')))}")
            lines.append("            value: 1")
        return lines


def _wrapped(words: str) -> list[str]:
    """Break a long line at blanks; a number's minus is no place to break."""
    return textwrap.wrap(words, 110, break_long_words=False, break_on_hyphens=False)


def _one_line(text: str) -> str:
    """Make a text safe for a comment."""
    return "".join(char if char.isprintable() else " " for char in text)


def _key(name: str) -> str:
    return name if name.isascii() and name.isidentifier() else yaml_quote(name)


def _parts(expr: Expr) -> Iterable[Expr]:
    yield expr
    for child in children(expr):
        yield from _parts(child)


def _calls(expr: Expr) -> set[str]:
    return {part.function for part in _parts(expr) if isinstance(part, Call)}


def _check_clock(expr: Expr) -> None:
    """Refuse what means something else on a clock that starts in 1970."""
    unmovable = sorted(_calls(expr) & _OF_THE_YEAR)
    if unmovable:
        raise _LeftOutError(f"{unmovable[0]}() means something else on promtool's clock, which starts in 1970")
    if fixed_selections(expr):
        raise _LeftOutError("'@' names an instant that promtool's clock, which starts in 1970, does not reach")
    calendar = [part for part in _parts(expr) if isinstance(part, Call) and part.function in _OF_THE_WEEK]
    guarded = sum("time" in _calls(part) for part in calendar)
    clocks = sum(isinstance(part, Call) and part.function == "time" for part in _parts(expr))
    timestamped = any(isinstance(part, Call) and part.function == "timestamp" for part in _parts(expr))
    if clocks > guarded and not timestamped:
        raise _LeftOutError("time() is compared with recorded times, and promtool's clock starts in 1970")
    for part in _parts(expr):
        if isinstance(part, VectorSelector) and (part.name or "").startswith("ALERTS"):
            raise _LeftOutError("it reads ALERTS, which are not recorded samples")


def _selected(expr: Expr, evidence: Evidence, semantics: Semantics) -> SeriesSet:
    """Return the samples that the evaluations of a stretch can see."""
    parts: dict[Labels, Samples] = {}
    for need in selections(expr):
        early_ms = evidence.start_ms - need.lookback_ms - semantics.lookback_ms
        late_ms = evidence.end_ms + need.lookahead_ms
        near = evidence.series.between(early_ms, late_ms)
        for index in near.matching(need.matchers, dot_all=semantics.dot_all).tolist():
            part = near[index]
            before = parts.get(part.labels)
            if before is not None:
                both = np.union1d(before.times, part.times)
                values = np.empty(len(both))
                for one in (before, part):
                    values[np.searchsorted(both, one.times)] = one.values
                part = Samples(part.labels, both, values)
            parts[part.labels] = part
    return SeriesSet.from_samples(parts.values())


def _base(evidence: Evidence, interval_ms: int, step_ms: int, semantics: Semantics) -> int:
    """Return the instant that becomes time 0 of the test."""
    lead_ms = evidence.start_ms - int(evidence.series.times.min(initial=evidence.start_ms))
    if not _calls(evidence.rule.expr) & _OF_THE_WEEK:
        # Evaluations stay where they were against the samples: move by whole evaluation steps.
        return evidence.start_ms - -(-(lead_ms + interval_ms) // step_ms) * step_ms
    # The hour must be kept. The earliest day that the rule does not tell from the true one keeps tests quick.
    exact_ms = evidence.start_ms % WEEK_MS
    exact_ms += WEEK_MS if exact_ms < lead_ms else 0
    wanted = _seen(evidence, exact_ms, interval_ms, step_ms, semantics)
    for day in range(8):
        start_ms = day * DAY_MS + evidence.start_ms % DAY_MS
        if lead_ms <= start_ms < exact_ms:
            seen = _seen(evidence, start_ms, interval_ms, step_ms, semantics)
            if seen.labels == wanted.labels and np.array_equal(seen.present, wanted.present):
                return evidence.start_ms - start_ms
    return evidence.start_ms - exact_ms


def _seen(evidence: Evidence, start_ms: int, interval_ms: int, step_ms: int, semantics: Semantics) -> Grid:
    """Evaluate a stretch as if it started at another time."""
    base_ms = evidence.start_ms - start_ms
    series, _ = on_grid(evidence.series, base_ms, interval_ms)
    first_ms = -(-start_ms // step_ms) * step_ms
    times = np.arange(first_ms, max(evidence.end_ms - base_ms, first_ms + 1), step_ms, dtype=np.int64)
    return evaluate(evidence.rule.expr, series, times, semantics)


def _picks(firing: npt.NDArray[np.bool_], first: int, last: int) -> dict[int, str]:
    """Choose the evaluations that a test looks at, and say why."""
    picks: dict[int, str] = {first: "at the start"}
    inside = firing[first : last + 1]
    if not inside.any():
        picks.setdefault((first + last) // 2, "halfway: quiet")
        picks.setdefault(last, "at the end: quiet")
        return picks
    start = first + int(np.argmax(inside))
    if start > first:
        picks[start - 1] = "one evaluation before the first page"
    picks[start] = "the first page"
    rest = firing[start : last + 1]
    if rest.all():
        picks.setdefault(last, "at the end: still firing")
        return picks
    resolved = start + int(np.argmin(rest))
    picks.setdefault(resolved - 1, "the last evaluation of the page")
    picks[resolved] = "resolved"
    return picks


def _limit(rule: AlertingRule, rules: RuleFile | None) -> int:
    return 0 if rules is None else rules.group_of(rule).limit


def _expected(
    rule: AlertingRule, limit: int, series: SeriesSet, times: Int64s, semantics: Semantics, columns: Sequence[int]
) -> dict[int, list[tuple[AlertingRule, Labels, Mapping[str, str] | None]]]:
    """Work out which alerts of a rule fire at some evaluations, with their annotations."""
    grid = evaluate(rule.expr, series, times, semantics)
    replayed = replay(rule, grid, limit=limit)
    if replayed.failed.any():
        raise _LeftOutError(f"an evaluation of {rule.name} fails on these samples, which stops promtool")
    elements: dict[Labels, tuple[Labels, float]] = {}
    found: dict[int, list[tuple[AlertingRule, Labels, Mapping[str, str] | None]]] = {}
    for column in range(len(times)):
        for element, value in grid.at(column).items():
            elements[alert_labels(rule, element, value)] = (element, value)
        if column in columns:
            alerts = sorted(replayed.at(column, "firing"))
            found[column] = [(rule, labels, _annotations(rule, *elements[labels])) for labels in alerts]
    return found


def _annotations(rule: AlertingRule, element: Labels, value: float) -> Mapping[str, str] | None:
    """Expand the annotations of an alert; None where a template is outside the supported subset."""
    try:
        return {name: expand(text, element, value) for name, text in rule.annotations.items()}
    except ExpressionError:
        return None


def _check_neighbours(
    rule: AlertingRule, rules: RuleFile | None, series: SeriesSet, times: Int64s, semantics: Semantics
) -> None:
    """Refuse samples on which another rule of the file fails, or records what this one reads."""
    if rules is None:
        return
    needs = selections(rule.expr)
    for other in rules.rules:
        if other == rule or not _touched(other, series, semantics):
            continue
        try:
            grid = evaluate(other.expr, series, times, semantics)
        except ExpressionError:
            continue
        if grid.failed.any():
            raise _LeftOutError(f"{other.name} fails on these samples, which stops promtool")
        if isinstance(other, AlertingRule) or not len(grid):
            continue
        recorded = [labels.updated({METRIC_NAME: other.record, **other.labels}) for labels in grid.labels]
        for need in needs:
            for labels in recorded:
                if all(one.matches(labels.value(one.name), dot_all=semantics.dot_all) for one in need.matchers):
                    raise _LeftOutError(
                        f"the rule also reads {other.record}, which the same file records from these samples"
                    )


def _touched(rule: Rule, series: SeriesSet, semantics: Semantics) -> bool:
    """Tell whether a rule reads any of the series."""
    return any(len(series.matching(need.matchers, dot_all=semantics.dot_all)) for need in selections(rule.expr))


def _narrowed(test: _Test, step_ms: int) -> Evidence:
    """Keep what lies around the evaluations that the test looks at."""
    evidence = test.evidence
    if not test.fires:
        return evidence
    pages = [one.time_ms for one in test.expectations if one.alerts]
    last = test.expectations[-1].time_ms
    before_ms = evidence.rule.for_ms + 3 * step_ms
    start_ms = max(evidence.start_ms, test.base_ms + min(pages) - before_ms)
    end_ms = min(evidence.end_ms, test.base_ms + last + step_ms)
    return dataclasses.replace(evidence, start_ms=start_ms, end_ms=max(end_ms, start_ms + step_ms))


def _thinned(test: _Test) -> Evidence:
    """Keep the series that agree with one alert's labels, or with one series where nothing fires."""
    evidence = test.evidence
    alerts = [labels for one in test.expectations for _, labels, _ in one.alerts]
    model = alerts[0] if alerts else evidence.series.labels[0].without(METRIC_NAME)
    kept = [
        index
        for index, labels in enumerate(evidence.series.labels)
        if all(
            labels[name] == value
            for name, value in model.items()
            if name in labels and name not in evidence.rule.labels
        )
    ]
    return dataclasses.replace(evidence, series=evidence.series.take(kept))


def _shortened(test: _Test, step_ms: int) -> Evidence:
    """Cut a stretch that is still too long down to what a test holds."""
    evidence = test.evidence
    excess = test.series.sample_count / MAX_SAMPLES
    kept_ms = int((evidence.end_ms - evidence.start_ms) / (excess * 1.1)) // step_ms * step_ms
    return dataclasses.replace(evidence, end_ms=evidence.start_ms + max(kept_ms, 3 * step_ms))
