"""What matches nothing, or nearly everything: said beside a score that would pass for a good or a bad rule."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kmon_analysis.backtest.examples import copy_key
from kmon_analysis.backtest.rule import RuleBacktest
from kmon_analysis.backtest.score import Score
from kmon_analysis.backtest.shifted import shifted_sentence
from kmon_analysis.backtest.windows import early_pages, short_window
from kmon_analysis.errors import Finding, nearest, printable
from kmon_analysis.history import History
from kmon_analysis.incidents import Incident, Incidents, labels_agree
from kmon_analysis.labels import METRIC_NAME, Labels, quote
from kmon_analysis.promql.needs import SelectionNeed, selections
from kmon_analysis.promql.semantics import DEFAULT_VERSION, NEWEST_JUDGED, OLDEST_JUDGED, Semantics
from kmon_analysis.rules.model import RuleFile
from kmon_analysis.sources.planning import selector
from kmon_analysis.tabular import counted, shortened
from kmon_analysis.timing import Interval, duration, format_end, format_instant

if TYPE_CHECKING:
    from kmon_analysis.backtest.run import Backtest

__all__ = ["Note", "is_blind", "labels_known", "left_out_finding", "notes_of", "release_note", "unmatched", "unseen"]

# From this share of the time on, firing is said to be the rule's usual state.
_MOSTLY = 0.5
# An incident of whose time less than this share was recorded is barely seen.
_BARELY = 0.5
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Note:
    """Something about a result that its counts do not show.

    Attributes
    ----------
    kind : str
        ``no data``, ``labels``, ``unconcerned``, ``group_by``, ``outside``, ``cut``, ``repeated``,
        ``barely seen``, ``firing``, ``overlapping``, ``credited``, ``never reached``, ``window``, ``start``,
        ``shifted``.
    text : str
        One or two sentences, with place, value and what to do where that is known.
    rules : tuple of str
        The alerts it is about; empty: none in particular.
    incidents : tuple of str
        Ids of the incidents it is about.
    place : str
        Where in the list of incidents, with which `text` begins; empty: nowhere in particular.
    """

    kind: str
    text: str
    rules: tuple[str, ...] = ()
    incidents: tuple[str, ...] = ()
    place: str = ""

    @property
    def bare(self) -> str:
        """The text without the place."""
        return self.text.removeprefix(f"{self.place}: ") if self.place else self.text


def notes_of(result: Backtest) -> tuple[Note, ...]:
    """List what the counts of a backtest do not show.

    Parameters
    ----------
    result : Backtest
        With its scores.
    """
    notes = [*_outside(result), *_repeated(result), *_barely_seen(result), *unmatched(result)]
    for name, replay in result.results.items():
        if not is_blind(replay):
            notes += _firing(name, replay, result.scores[name])
            notes += _windows(name, replay, result)
            notes += _overlapping(name, result.scores[name])
            notes += _credited(name, replay, result)
    return (*notes, *_shifted(result))


def unmatched(result: Backtest) -> tuple[Note, ...]:
    """List the metrics and labels of rules, incidents and settings that nothing in the history has.

    Parameters
    ----------
    result : Backtest
        With its scores.
    """
    return (*_no_data(result), *_labels(result), *_group_by(result))


def release_note(chosen: str | None, recorded: str | None) -> str:
    """Say which release is replayed where nobody named it, or the replay was compared with none of its kind."""
    named = chosen or recorded
    if named is None:
        return (
            f"the history names no Prometheus release; its rules are replayed as in {DEFAULT_VERSION}, "
            "unless --semantics (in Python: settings=km.Settings(version=...)) names another"
        )
    release = Semantics.of(named).release
    for beyond, than, limit in (
        (release > NEWEST_JUDGED, "newer than {}, the newest", NEWEST_JUDGED),
        (release < OLDEST_JUDGED, "older than {}, the oldest", OLDEST_JUDGED),
    ):
        if beyond:
            edge = ".".join(map(str, limit))
            words = f"Prometheus {named} is {than.format(edge)} release that the replay was compared with"
            return f"{words}; rules are replayed as in {edge}"
    return ""


# ---- incidents outside the history ---------------------------------------------------------------


def left_out_finding(incidents: Incidents, left_out: Sequence[Incident], span: str) -> Finding:
    """Name the incidents that are left out since the history holds nothing of them."""
    first = left_out[0]
    whole = len(incidents) + len(left_out)
    verb = "lies" if len(left_out) == 1 else "lie"
    return Finding(
        f"{len(left_out)} of {counted(whole, 'incident')} {verb} outside the history, which spans {span}, and "
        f"{'is' if len(left_out) == 1 else 'are'} left out: {_some([each.id for each in left_out])}",
        incidents.path,
        first.line,
        first.column,
    )


def _outside(result: Backtest) -> Iterator[Note]:
    if result.left_out:
        whole = result.history.interval
        span = f"{format_instant(whole.start_ms)} to {format_end(whole.end_ms)}"
        text = str(left_out_finding(result.incidents, result.left_out, span))
        yield Note("outside", text, incidents=tuple(each.id for each in result.left_out))
    cut = result.incidents.check_within(result.history.interval).warnings
    for finding in cut[:_NAMED]:
        yield Note("cut", str(finding))
    if len(cut) > _NAMED:
        yield Note("cut", f"so it is with {counted(len(cut) - _NAMED, 'more incident')}")


def _repeated(result: Backtest) -> Iterator[Note]:
    """Name the incidents that differ in nothing but what does not count."""
    copies: dict[object, list[Incident]] = {}
    for each in result.incidents.incidents:
        copies.setdefault(copy_key(each), []).append(each)
    for several in (group for group in copies.values() if len(group) > 1):
        ids = tuple(each.id for each in several)
        text = (
            f"{_some(ids)} have the same times, labels and rules: each is scored, and they are one example when tuning"
        )
        finding = Finding(text, result.incidents.path, several[1].line, several[1].column, "Keep one of them")
        yield Note("repeated", str(finding), (), ids, finding.place)


def _barely_seen(result: Backtest) -> Iterator[Note]:
    """Name the incidents of whose time little or nothing was recorded."""
    history, truth = result.history, result.incidents
    scored = [each for found in result.scores.values() for each in (*found.outcomes, *found.optional)]
    counts = {each.incident.id for each in scored if each.status != "no data"}
    little: dict[str, str] = {}
    nothing: list[str] = []
    for incident in dict.fromkeys(each.incident for each in scored):
        when = incident.interval
        seen_ms = _shared_ms(when, history.interval) - sum(_shared_ms(when, each) for each in history.silences)
        if incident.id not in counts:
            nothing.append(incident.id)
        elif seen_ms < _BARELY * when.duration_ms:
            little[incident.id] = f"{incident.id} ({duration(seen_ms)} of {duration(when.duration_ms)})"
    if little:
        names = tuple(
            name
            for name, found in result.scores.items()
            if any(each.incident.id in little for each in (*found.outcomes, *found.optional))
        )
        which = "it" if len(little) == 1 else "them"
        text = f"{truth.path}: little was recorded of {_some(list(little.values()))}: to miss {which} proves little"
        yield Note("barely seen", text, names, tuple(little), truth.path)
    if nothing:
        verb = "is" if len(nothing) == 1 else "are"
        text = f"{truth.path}: nothing was recorded around {_some(nothing)}, which {verb} not counted"
        yield Note("barely seen", text, (), tuple(nothing), truth.path)


def _shared_ms(one: Interval, other: Interval) -> int:
    return max(0, min(one.end_ms, other.end_ms) - max(one.start_ms, other.start_ms))


def _credited(name: str, replay: RuleBacktest, result: Backtest) -> Iterator[Note]:
    """Name the incidents that are credited to an alert which, by all series that the rule reads, cannot be theirs."""
    read = list(_selected(replay))
    there = {label for labels in read for label in labels} - {METRIC_NAME}
    pairs = {
        (page.incident, page.episode.labels.only(there))
        for page in result.scores[name].pages
        if page.incident is not None
    }
    for number, alert in sorted(pairs):
        incident = result.incidents[number]
        own = Labels(incident.labels).only(there)
        of_alert, of_incident = ([labels_agree(each, labels) for labels in read] for each in (alert, own))
        both = any(one and other for one, other in zip(of_alert, of_incident, strict=True))
        if both or not any(of_alert) or not any(of_incident):
            continue
        lacking = ", ".join(sorted(set(alert) - set(own)))
        why = f"no series that it reads has these and {own}"
        text = f"{number}: a page of {name} with {alert} is credited to it, but {why}"
        finding = Finding(text, result.incidents.path, incident.line, incident.column)
        yield Note("credited", f"{finding}. Give {number} its {lacking}, too", (name,), (number,), finding.place)


def _overlapping(name: str, found: Score) -> Iterator[Note]:
    """Name the incidents that begin while the page of an earlier one still fires."""
    pairs = [(each, each.within) for each in found.outcomes if each.within is not None]
    if not pairs:
        return
    causes = {each.incident.id: each.incident.cause for each in (*found.outcomes, *found.optional)}
    listed = _some([f"{each.incident.id} begins while the page of {earlier} still fires" for each, earlier in pairs])
    text = f"{name}: {listed}; one unbroken firing pages once, so tuning takes such incidents for one example"
    if any(not each.incident.cause or each.incident.cause != causes.get(earlier) for each, earlier in pairs):
        text += ". If they are one outage, merge them or give them one cause"
    ids = dict.fromkeys(each for later, earlier in pairs for each in (earlier, later.incident.id))
    yield Note("overlapping", text, (name,), tuple(ids))


# ---- series that are not there -------------------------------------------------------------------


def is_blind(replay: RuleBacktest) -> bool:
    """Tell whether no selector of the rule finds a series, and the rule never returned anything."""
    if math.isfinite(replay.signal().lowest_level):
        return False
    needs = selections(replay.rule.expr)
    return bool(needs) and not any(len(replay.series.matching(need.matchers)) for need in needs)


def unseen(rules: RuleFile, history: History) -> dict[str, tuple[tuple[str, ...], str | None]]:
    """List the selectors that find nothing in a history, each with the rules that read it and a near name.

    A rule on a metric that is spelled otherwise never pages, which would pass for a quiet one.
    """
    recorded = {rule.record for rule in rules.recordings}
    readers: dict[str, list[str]] = {}
    near: dict[str, str | None] = {}
    for rule in rules.rules:
        for need in selections(rule.expr):
            made_here = any(m.name == METRIC_NAME and m.op == "=" and m.value in recorded for m in need.matchers)
            if not made_here and not len(history.series.matching(need.matchers)):
                text = selector(need.matchers)
                names = readers.setdefault(text, [])
                if rule.name not in names:
                    names.append(rule.name)
                if text not in near:
                    near[text] = _near_series(need, history.series.labels)
    return {text: (tuple(names), near[text]) for text, names in readers.items()}


def _near_series(need: SelectionNeed, series: Sequence[Labels]) -> str | None:
    """Offer a name or value that is there for the first one of a selector that is not."""
    left = series
    for matcher in sorted(need.matchers, key=lambda each: each.name != METRIC_NAME):
        kept = [labels for labels in left if matcher.matches(labels.get(matcher.name, ""))]
        if not kept:
            known = {labels[matcher.name] for labels in left if matcher.name in labels}
            return nearest(matcher.value, sorted(known)) if matcher.op == "=" else None
        left = kept
    return None


def _no_data(result: Backtest) -> Iterator[Note]:
    for text, (names, near) in unseen(result.rules, result.history).items():
        cure = f". {near}" if near else ""
        yield Note("no data", f"the history holds nothing of {text}, needed by {', '.join(names)}{cure}", names)


# ---- labels that no alert has --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Known:
    """Label sets that a rule's alerts have or could have."""

    sets: frozenset[Labels]
    values: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, labels: Iterable[Mapping[str, str]]) -> _Known:
        sets = frozenset(Labels(each) for each in labels)
        values: dict[str, set[str]] = {}
        for each in sets:
            for name, value in each.items():
                values.setdefault(name, set()).add(value)
        return cls(sets, {name: frozenset(found) for name, found in values.items()})


def _labels(result: Backtest) -> Iterator[Note]:
    """Say which labels of incidents and excluded windows fit nothing that the concerned rules look at."""
    truth = result.incidents
    if not any([*(each.labels for each in truth.incidents), *(each.labels for each in truth.excluded)]):
        return
    everything = _Known.of(result.history.series.labels)
    of_rule = {
        name: _Known.of((*replay.signal().labels, *_selected(replay))) for name, replay in result.results.items()
    }
    found: dict[tuple[str, str, tuple[str, ...]], list[Incident]] = {}
    for incident in truth.incidents:
        if not incident.labels:
            continue
        concerned = tuple(
            name
            for name, replay in result.results.items()
            if not is_blind(replay) and any(each.id == incident.id for each in replay.incidents.incidents)
        )
        problems = [_misfit(incident.labels, of_rule[name], everything) for name in concerned]
        # Without names of rules it is meant for whichever can see it; one that can is enough.
        if not problems or (not incident.rules and not all(problems)):
            continue
        for problem in dict.fromkeys(each for each in problems if each is not None):
            names = tuple(name for name, each in zip(concerned, problems, strict=True) if each == problem)
            found.setdefault((*problem, names), []).append(incident)
    for (text, cure, names), of_problem in found.items():
        first = of_problem[0]
        ids = tuple(each.id for each in of_problem)
        words = f"{_some(ids)}: {text.format(who=f'of {_some(names)} ')}"
        finding = Finding(words, truth.path, first.line, first.column)
        yield Note("labels", f"{finding}. {cure}".removesuffix(". "), names, ids, finding.place)
    known_to = [_Known.of(replay.signal().labels) for replay in result.results.values() if not is_blind(replay)]
    for window in truth.excluded:
        misfits = [_misfit(window.labels, each, everything) for each in known_to]
        problem_of = next(iter(misfits), None)
        if problem_of is not None and all(misfits):
            since = format_instant(window.interval.start_ms)
            text = f"the excluded window from {since}: {problem_of[0].format(who='')}"
            finding = Finding(text, truth.path, window.line, window.column)
            text = f"{finding}. {problem_of[1]}".removesuffix(". ")
            yield Note("labels", text, place=finding.place)
    yield from _unconcerned(result)


def _selected(replay: RuleBacktest) -> Iterator[Labels]:
    for need in selections(replay.rule.expr):
        for place in replay.series.matching(need.matchers).tolist():
            yield replay.series.labels[place]


def _misfit(labels: Mapping[str, str], known: _Known, everything: _Known) -> tuple[str, str] | None:
    """Say what of a label set no alert can have, and what may have been meant; None: it can."""
    for name, value in labels.items():
        pair = f"{name}={quote(value)}"
        # An alert that sums a label away has it no more, the series below it still do.
        there = known.values.get(name) or everything.values.get(name)
        if there is None:
            meant = [other for other, values in known.values.items() if value in values and other != METRIC_NAME]
            names = sorted({*known.values} - {METRIC_NAME})
            cure = f"Did you mean {meant[0]!r}?" if meant else nearest(name, names) or f"They have {', '.join(names)}"
            problem = f"no alert {{who}}and no series has the label {_braced(name)!r}, so {_braced(pair)} is ignored"
            return problem, cure
        if value not in there:
            cure = nearest(value, sorted(there)) or ""
            return f"no alert {{who}}ever has {_braced(pair)} in this history, so none can find it", cure
    if known.sets and not any(labels_agree(labels, each) for each in known.sets):
        return f"no alert {{who}}ever has all of {_braced(str(Labels(labels)))} in this history", ""
    return None


def _unconcerned(result: Backtest) -> Iterator[Note]:
    """Name the incidents that no rule of the file is about, since every selector excludes their labels."""
    seen = {each.id for replay in result.results.values() for each in replay.incidents.incidents}
    ids = tuple(
        each.id
        for each in result.incidents.incidents
        if each.id not in seen
        and any(each.concerns(name, {}) for name in result.results)
        and not any(each.concerns(name, {}) for name in result.refused)
    )
    if ids:
        own, counts = ("its", "it counts") if len(ids) == 1 else ("their", "they count")
        first = result.incidents[ids[0]]
        text = f"{_some(ids)}: no rule selects series with {own} labels, so {counts} nowhere"
        finding = Finding(text, result.incidents.path, first.line, first.column)
        yield Note("unconcerned", str(finding), (), ids, finding.place)


def labels_known(results: Mapping[str, RuleBacktest], rules: RuleFile, history: History) -> frozenset[str]:
    """Name the labels that alerts have or could have."""
    known = {name for replay in results.values() for labels in replay.signal().labels for name in labels}
    known |= {name for rule in rules.alerts for name in rule.labels} | {"alertname"}
    return frozenset(known | {name for labels in history.series.labels for name in labels})


def _group_by(result: Backtest) -> Iterator[Note]:
    known = labels_known(result.results, result.rules, result.history)
    for label in result.settings.group_by or ():
        if label not in known:
            near = nearest(label, sorted(known))
            text = f"group_by: no alert has the label {label!r}, so it tells no pages apart"
            yield Note("group_by", f"{text}. {near}" if near else text)


# ---- rules that fire always or never -------------------------------------------------------------


def _busiest(replay: RuleBacktest, shares: Sequence[float]) -> str:
    """Say which of several alerts make firing the usual state by themselves."""
    usual = [place for place, share in enumerate(shares) if share > _MOSTLY]
    if len(shares) < 2 or not usual:
        return ""
    if len(usual) > 1:
        return f", {len(usual)} of its {len(shares)} alerts each more than half of it"
    labels = replay.signal().groups[usual[0]].labels.without("alertname", *replay.rule.labels)
    return f", {shortened(printable(str(labels)), 100)} alone {_percent(shares[usual[0]])}"


def _firing(name: str, replay: RuleBacktest, found: Score) -> Iterator[Note]:
    firing = replay.firing()
    signal, level = firing.signal, replay.level()
    fires = np.zeros(len(signal.times), dtype=np.bool_)
    observed = replay.observed(signal)
    shares = []
    for row in range(len(signal.groups)):
        each = firing.fires(row, level)
        fires |= each
        shares.append(float(each[observed].mean()) if observed.any() else 0.0)
    share = float(fires[observed].mean()) if observed.any() else 0.0
    already = tuple(each.incident.id for each in found.outcomes if each.status == "already firing" and not each.within)
    stuck = f"{len(already)} of {counted(found.incidents, 'incident')} found it already firing, which is no catch"
    if share > _MOSTLY:
        text = f"{name} fires {_percent(share)} of the time{_busiest(replay, shares)}"
        yield Note("firing", f"{text}; {stuck}" if already else text, (name,), already)
    elif already:
        yield Note("firing", f"{name}: {stuck}: {_some(already)}", (name,), already)
    if replay.knobs.sweepable and replay.knobs.threshold is not None and signal.highest_level <= level:
        peak = signal.highest_level
        if math.isfinite(peak):
            word, value = ("lowest", -peak) if signal.falls else ("highest", peak)
            text = f"{name}: the threshold {_number(replay.knobs.threshold)} is never reached; {word} {_number(value)}"
            yield Note("never reached", text, (name,))


def _windows(name: str, replay: RuleBacktest, result: Backtest) -> Iterator[Note]:
    """Say where a window holds too little: at all times, or at the start of the history."""
    if short := short_window(replay, result.history.scrape_interval_ms, replay.knobs.window_ms):
        yield Note("window", f"{name}: {short}", (name,))
    if early := early_pages(replay, result.scores[name].pages):
        yield Note("start", f"{name}: {early}", (name,))


def _shifted(result: Backtest) -> Iterator[Note]:
    """Ask once for all rules whether the zone of the list is right."""
    said = {name: shifted_sentence(found) for name, found in result.scores.items()}
    asked = {name: sentence for name, sentence in said.items() if sentence is not None}
    if asked:
        name, sentence = next(iter(asked.items()))
        others = f" (the same of {_some(list(asked)[1:])})" if len(asked) > 1 else ""
        text = f"{result.incidents.path}: is the time zone right? {sentence} of {name}{others}"
        yield Note("shifted", text, tuple(asked))


# ---- words ---------------------------------------------------------------------------------------


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _braced(text: str) -> str:
    """Keep braces from being taken for a place of `str.format`."""
    return text.replace("{", "{{").replace("}", "}}")


def _percent(share: float) -> str:
    # Not all the time is not said to be all of it.
    return f"{share:.0%}" if share < 0.995 or share == 1 else f"{math.floor(share * 1000) / 1000:.1%}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
