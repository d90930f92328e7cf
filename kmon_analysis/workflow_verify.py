"""The reality check: our replay of the deployed rules beside the alerts that the server recorded."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from kmon_analysis.backtest.evidence import Explained, Verdict, investigate
from kmon_analysis.backtest.phases import Phase, phase_of, served_groups
from kmon_analysis.backtest.settings import Settings
from kmon_analysis.backtest.timelines import Agreement
from kmon_analysis.backtest.validated import Cause
from kmon_analysis.backtest.worlds import Case
from kmon_analysis.errors import SettingError, printable
from kmon_analysis.history import History
from kmon_analysis.labels import METRIC_NAME, Labels, Matcher
from kmon_analysis.promql.semantics import DEFAULT_VERSION, Semantics
from kmon_analysis.rules.model import RuleFile
from kmon_analysis.series import is_stale
from kmon_analysis.sources.connection import Connection, Patience, connect
from kmon_analysis.sources.process import Process, ask_process
from kmon_analysis.sources.prometheus import Progress, Selection, fetch_history
from kmon_analysis.sources.served import DeployedRule, ask_rules
from kmon_analysis.tabular import MOST_ROWS, html_list, html_table, text_lines, text_table
from kmon_analysis.timing import (
    MINUTE_MS,
    EvaluationGrid,
    Interval,
    duration,
    duration_of,
    format_instant,
    parse_instant,
)
from kmon_analysis.workflow import needed_selections
from kmon_analysis.workflow_verify_loaded import Loaded, what_is_loaded

if TYPE_CHECKING:
    import pandas as pd
    from prometheus_api_client import PrometheusConnect

__all__ = ["RealityCheck", "check_reality", "compare"]

# Differences that a notebook shows; to_json() has all.
MOST_SHOWN = 40
_ORDER = ("unexplained", "probable", "proven")


@dataclass(frozen=True, repr=False)
class RealityCheck:
    """What a server recorded, beside what the replay has.

    Attributes
    ----------
    place : str
        The server.
    window : Interval
        What was compared.
    version : str
        The release that was replayed.
    phases : tuple of (str, Phase)
        By group: when it was believed to be evaluated.
    verdicts : tuple of Verdict
        By rule, in file order.
    notes : tuple of str
        What limits the comparison.
    lead : str
        What has to be said first: rules that the server does not run.
    """

    place: str
    window: Interval
    version: str
    phases: tuple[tuple[str, Phase], ...]
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...]
    lead: str = ""

    @property
    def compared(self) -> bool:
        """Whether there was anything to compare."""
        return any(verdict.plain is not None for verdict in self.verdicts)

    @property
    def differences(self) -> tuple[Explained, ...]:
        """All differences, rule by rule."""
        return tuple(each for verdict in self.verdicts for each in verdict.explained)

    @property
    def ok(self) -> bool:
        """Whether every difference has a proven cause and every rule was compared."""
        compared = all(not verdict.refused for verdict in self.verdicts)
        return compared and self.compared and all(each.verdict == "proven" for each in self.differences)

    def to_frame(self) -> pd.DataFrame:
        """Return one row a rule: firing minutes and states compared; None where it could not be compared."""
        import pandas as pd

        rows = [
            {
                "rule": verdict.rule.name,
                "refused": verdict.refused or None,
                **{
                    name: value
                    for name, value in (_agreement_json(verdict.plain) or {}).items()
                    if not isinstance(value, dict)
                },
                "differences": len(verdict.explained),
                "proven": sum(each.verdict == "proven" for each in verdict.explained),
            }
            for verdict in self.verdicts
        ]
        return pd.DataFrame(rows).set_index("rule") if rows else pd.DataFrame()

    def __repr__(self) -> str:
        if not self.compared and self.lead:
            return printable(self.lead)
        lines = [printable(self.lead)] if self.lead else []
        lines += [self._headline(), text_table(*self._table(), most=MOST_ROWS)]
        if self.differences:
            lines += ["", text_table(*self._differences(), left=8, most=MOST_SHOWN), *text_lines(self._evidence())]
        return "\n".join([*lines, *text_lines(self.notes)])

    def _repr_html_(self) -> str:
        lead = html_list([self.lead] if self.lead else [])
        if not self.compared and self.lead:
            return lead
        shown = lead + html_table(*self._table(), caption=self._headline(), most=MOST_ROWS)
        if self.differences:
            shown += html_table(
                *self._differences(), caption="Differences and their causes", left=set(range(8)), most=MOST_SHOWN
            )
            shown += html_list(self._evidence())
        return shown + html_list(self.notes)

    def listed(self) -> list[tuple[Verdict, Explained]]:
        """Return all differences, those without a proven cause first."""
        each = [(verdict, one) for verdict in self.verdicts for one in verdict.explained]
        return sorted(each, key=lambda item: _ORDER.index(item[1].verdict))

    def numbered(self, most: int | None = None) -> dict[Cause, int]:
        """Number the causes of the differences that are listed first; many differences have one cause."""
        numbers: dict[Cause, int] = {}
        for _, one in self.listed()[:most]:
            for cause in one.causes:
                numbers.setdefault(cause, len(numbers) + 1)
        return numbers

    def _evidence(self) -> list[str]:
        return [f"[{number}] {cause.kind}: {cause.evidence}" for cause, number in self.numbered(MOST_SHOWN).items()]

    def _differences(self) -> tuple[list[str], list[list[str]]]:
        header = ["rule", "alert", "begins", "lasts", "recorded", "replayed", "cause is", "cause"]
        numbers = self.numbered(MOST_SHOWN)
        rows = []
        for verdict, each in self.listed():
            one = each.difference
            rows.append(
                [
                    verdict.rule.name,
                    str(Labels({name: text for name, text in one.labels.items() if name != "alertname"})),
                    format_instant(one.interval.start_ms),
                    duration(one.interval.duration_ms),
                    one.recorded,
                    one.replayed,
                    each.verdict,
                    ", ".join(f"{cause.kind} [{numbers.get(cause, '…')}]" for cause in each.causes) or "–",
                ]
            )
        return header, rows

    def _headline(self) -> str:
        start, end = format_instant(self.window.start_ms), format_instant(self.window.end_ms)
        return f"The replay beside what {printable(self.place)} recorded, {start} to {end}"

    def _table(self) -> tuple[list[str], list[list[str]]]:
        header = ["rule", "equal states", "of", "differences", "with a proven cause"]
        rows = []
        for verdict in self.verdicts:
            found = verdict.plain
            states = ["–", "–"] if found is None else [f"{found.agreed:,}", f"{found.evaluations:,}"]
            proven = sum(each.verdict == "proven" for each in verdict.explained)
            rows.append([verdict.rule.name, *states, f"{len(verdict.explained):,}", f"{proven:,}"])
        return header, rows

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "server": self.place,
            "start": format_instant(self.window.start_ms),
            "end": format_instant(self.window.end_ms),
            "version": self.version,
            "groups": [{"name": name, "phase_ms": phase.ms, "phase_from": phase.how} for name, phase in self.phases],
            "ok": self.ok,
            "lead": self.lead or None,
            "rules": [_verdict_json(verdict) for verdict in self.verdicts],
            "notes": list(self.notes),
        }


def _verdict_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "rule": verdict.rule.name,
        "group": verdict.rule.group,
        "refused": verdict.refused or None,
        "agreement": _agreement_json(verdict.plain),
        "agreement_with_causes": _agreement_json(verdict.told),
        "beginnings": dict(zip(("compared", "equal"), verdict.beginnings, strict=True)),
        "beginnings_with_causes": dict(zip(("compared", "equal"), verdict.beginnings_told, strict=True)),
        "differences": [
            {
                "labels": dict(each.difference.labels),
                "start": format_instant(each.difference.interval.start_ms),
                "end": format_instant(each.difference.interval.end_ms),
                "recorded": each.difference.recorded,
                "replayed": each.difference.replayed,
                "verdict": each.verdict,
                "causes": [
                    {
                        "kind": cause.kind,
                        "evidence": cause.evidence,
                        "proven": cause.proven,
                        "start": None if cause.at is None else format_instant(cause.at.start_ms),
                        "end": None if cause.at is None else format_instant(cause.at.end_ms),
                    }
                    for cause in each.causes
                ],
            }
            for each in verdict.explained
        ],
    }


def _agreement_json(found: Agreement | None) -> dict[str, Any] | None:
    if found is None:
        return None
    names = ("recorded", "replayed", "agreed")
    return {
        "evaluations": found.evaluations,
        "evaluations_agreed": found.agreed,
        "firing_minutes": dict(zip(names, (ms / MINUTE_MS for ms in found.firing_ms), strict=True)),
        "pending_minutes": dict(zip(names, (ms / MINUTE_MS for ms in found.pending_ms), strict=True)),
        "firings": dict(zip(("recorded", "replayed", "matched"), found.firings, strict=True)),
    }


def check_reality(
    source: str | PrometheusConnect,
    rules: RuleFile,
    *,
    last: str | timedelta | None = None,
    start: str | None = None,
    end: str | None = None,
    settings: Settings | None = None,
    patience: Patience | None = None,
    stage: Callable[[str], None] | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> RealityCheck:
    """Compare a replay of rules with the alerts that a server recorded.

    Parameters
    ----------
    source : str or PrometheusConnect
        The server that evaluates the rules.
    rules : RuleFile
        As they are believed to be deployed.
    last : str, optional
        How far back from the end.
    start, end : str, optional
        RFC 3339 instants with a zone.
    settings : Settings, optional
        Release, interval and phase, where the server's own word is not to be taken.
    patience : Patience, optional
        Timeouts and retries.
    stage, progress : callable, optional
        Told what is being done, and how far the fetch is.

    Raises
    ------
    SettingError
        If the file has no alerting rule, or both or neither of `last` and `start` are given.
    SourceError
        If the server cannot be reached, refuses, or answers nonsense.
    """
    if not rules.alerts:
        raise SettingError("the file has no alerting rule", place=rules.path, cure="Give the file with the alerts")
    if (last is None) == (start is None):
        raise SettingError("give either last or start", cure='For example last="6h", or start and end')
    tell = stage or (lambda _: None)
    tell("asking for the deployed rules")
    connection = Connection(connect(source), patience)
    process, deployed = ask_process(connection), ask_rules(connection)
    warm_ms = warm_up_ms(rules)
    wanted = [
        dataclasses.replace(each, lookback_ms=each.lookback_ms + warm_ms) if each.fixed is None else each
        for each in (*needed_selections(rules), *_outputs(rules), *_itself(process))
    ]
    tell("fetching")
    history = fetch_history(
        source,
        wanted,
        start_ms=None if start is None else parse_instant(start),
        end_ms=None if end is None else parse_instant(end),
        last_ms=None if last is None else duration_of(last, "last"),
        progress=progress,
        patience=patience,
    )
    tell("replaying and comparing")
    return compare(history, rules, deployed, process, settings=settings, warm_ms=warm_ms)


def warm_up_ms(rules: RuleFile) -> int:
    """Return how long before the window the replay begins, so that alerts have the age they had."""
    longest_ms = max((rule.for_ms + rule.keep_firing_for_ms for rule in rules.alerts), default=0)
    steps_ms = [group.interval_ms or MINUTE_MS for group in rules.groups]
    return longest_ms + 4 * max(steps_ms)


def _outputs(rules: RuleFile) -> list[Selection]:
    """Select what the server wrote about the alerts."""
    names = sorted({rule.name for rule in rules.alerts})
    return [
        Selection((Matcher(METRIC_NAME, "=", metric), Matcher("alertname", "=", name)))
        for name in names
        for metric in ("ALERTS", "ALERTS_FOR_STATE")
    ]


def _itself(process: Process) -> list[Selection]:
    """Select when the server's process started."""
    if process.itself is None:
        return []
    target = (Matcher(name, "=", value) for name, value in process.itself.items())
    return [Selection((Matcher(METRIC_NAME, "=", "process_start_time_seconds"), *target))]


def compare(
    history: History,
    rules: RuleFile,
    deployed: Sequence[DeployedRule] | None,
    process: Process,
    *,
    settings: Settings | None = None,
    warm_ms: int = 0,
) -> RealityCheck:
    """Compare a replay with the alerts that a history holds.

    Parameters
    ----------
    history : History
        What the rules read, and ``ALERTS`` and ``ALERTS_FOR_STATE``; from `warm_ms` before its interval.
    rules : RuleFile
        As believed to be deployed.
    deployed : sequence of DeployedRule or None
        What the server says of its rules; those that it does not run are not compared. None: it says nothing.
    process : Process
        What the server says of itself.
    settings : Settings, optional
        As for `check_reality`.
    warm_ms : int
        How long before the interval the replay begins.
    """
    chosen = settings or Settings()
    said = history.provenance.extra
    build = history.provenance.server_version
    notes = []
    if build is None and chosen.version is None:
        notes.append(f"the server does not say its release; {DEFAULT_VERSION} is replayed")
    release = Semantics.of(chosen.version or build or DEFAULT_VERSION)
    interval_ms = chosen.interval_ms or said.get("evaluation_interval_ms") or MINUTE_MS
    semantics = dataclasses.replace(
        release, subquery_step_ms=interval_ms, lookback_ms=said.get("lookback_ms") or release.lookback_ms
    )
    loaded = what_is_loaded(
        tuple(dataclasses.replace(group, interval_ms=group.interval_ms or interval_ms) for group in rules.groups),
        deployed,
        _recorded_names(history),
        chosen.rule_path,
    )
    groups = loaded.groups
    notes += loaded.notes
    absent = tuple(Verdict(rule, refused=why) for rule, why in loaded.absent)
    if len(absent) == len(rules.alerts):
        return RealityCheck(
            history.provenance.source, history.interval, semantics.version, (), absent, (), _lead(loaded, rules)
        )
    served = served_groups(said)
    phases = tuple(
        phase_of(group, group.interval_ms or interval_ms, chosen, served, build or semantics.version)
        for group in groups
    )
    here = {group.name for group in groups}
    done = [one.evaluated_ms for one in served if one.name in here and one.evaluated_ms is not None]
    end_ms = min([history.interval.end_ms, *(int(each) + 1 for each in done)])
    if end_ms <= history.interval.start_ms:
        raise SettingError("the rules have not been evaluated in this time", cure="Choose a time that is over")
    window = Interval(history.interval.start_ms, end_ms)
    clocks = tuple(
        EvaluationGrid(window.start_ms - warm_ms, window.end_ms, group.interval_ms or interval_ms, phase.ms)
        for group, phase in zip(groups, phases, strict=True)
    )
    markers = said.get("stale_markers") == "kept"
    if not markers:
        notes.append("the history has no stale markers: missed evaluations cannot be told from ends")
    case = Case(
        groups,
        history.series,
        clocks,
        window,
        semantics,
        loaded.deployed,
        _starts(history, process),
        process.grace_ms,
        process.tolerance_ms,
        markers,
        tuple(phase.how == "server" for phase in phases),
        build is not None and chosen.version is None,
    )
    return RealityCheck(
        history.provenance.source,
        window,
        semantics.version,
        tuple((group.name, phase) for group, phase in zip(groups, phases, strict=True)),
        (*investigate(case), *absent),
        tuple(notes),
        _lead(loaded, rules),
    )


def _lead(loaded: Loaded, rules: RuleFile) -> str:
    """Say which rules the server does not run."""
    if not loaded.absent:
        return ""
    names = ", ".join(dict.fromkeys(f"{rule.name} (group {rule.group})" for rule, _ in loaded.absent))
    if len(loaded.absent) == len(rules.alerts):
        return f"The server does not run these rules, so there is nothing to compare: {names}."
    return (
        f"The server does not run {len(loaded.absent)} of the {len(rules.alerts)} alerts of the file; these were not "
        f"compared: {names}."
    )


def _recorded_names(history: History) -> set[str]:
    """Return the names of the alerts that were recorded in the time of a history."""
    inside = history.series.between(history.interval.start_ms, history.interval.end_ms)
    return {
        one.labels.value("alertname")
        for one in inside
        if one.labels.value(METRIC_NAME) == "ALERTS" and len(one.times) and not is_stale(one.values).all()
    }


def _starts(history: History, process: Process) -> tuple[int, ...]:
    """Return when the server's process started, as far as it is known."""
    found: set[int] = set()
    if process.itself is not None:
        for one in history.series:
            name, target = one.labels.value(METRIC_NAME), one.labels.only(("job", "instance"))
            if name == "process_start_time_seconds" and target == process.itself:
                found |= {round(value * 1000) for value in np.unique(one.values[np.isfinite(one.values)]).tolist()}
    if process.started_ms is not None and process.started_ms - max(found, default=0) >= MINUTE_MS:
        found.add(process.started_ms)
    return tuple(sorted(found))
