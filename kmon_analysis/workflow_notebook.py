"""What a notebook works on: the bundled history, or the user's own, named by environment variables."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kmon_analysis.backtest.rule import RuleBacktest
from kmon_analysis.backtest.run import Backtest, backtest
from kmon_analysis.errors import OutputError, SettingError
from kmon_analysis.export.files import write_text
from kmon_analysis.history import History
from kmon_analysis.incidents import Incident, Incidents, format_incidents, read_incidents
from kmon_analysis.kafka.dialects import choose, dialects
from kmon_analysis.kafka.starter import rules_text, starters
from kmon_analysis.kafka.survey import Survey
from kmon_analysis.labelling.suggest import suggest_from
from kmon_analysis.promql.needs import selections
from kmon_analysis.rules.model import AlertingRule, RuleFile
from kmon_analysis.rules.reader import parse_rules, read_rules
from kmon_analysis.sources.connection import Connection, check_url, connect
from kmon_analysis.sources.credentials import authorised, check_credentials
from kmon_analysis.sources.files import open_history
from kmon_analysis.sources.simulation.store import load_scenario
from kmon_analysis.tabular import counted, html_list, text_lines
from kmon_analysis.timing import DAY_MS, HOUR_MS, Interval, format_end, format_instant, parse_duration
from kmon_analysis.workflow import fetch
from kmon_analysis.workflow_kafka import survey_history, survey_server

if TYPE_CHECKING:
    from prometheus_api_client import PrometheusConnect

__all__ = [
    "PATHS",
    "VARIABLES",
    "Given",
    "Listed",
    "check_given",
    "close_up",
    "given",
    "listed",
    "one_incident",
    "why_chosen",
]

VARIABLES: Mapping[str, str] = {
    "KMON_PROMETHEUS_URL": "a running Prometheus",
    "KMON_HISTORY": "recorded samples instead: a folder of kmon fetch, or a CSV, JSON or OpenMetrics file",
    "KMON_RULES": "your rule file; starter rules in your metric names, if not given",
    "KMON_INCIDENTS": "your list of incidents, YAML or CSV",
    "KMON_LAST": "how far back to fetch [14d]",
    "KMON_OUT": "folder for what is written; a new temporary one, if not given",
}
PATHS = ("KMON_HISTORY", "KMON_RULES", "KMON_INCIDENTS", "KMON_OUT")
# Prometheus keeps 15 days unless told otherwise.
LAST = "14d"
_SOURCES = ("KMON_PROMETHEUS_URL", "KMON_HISTORY")
_WORDS = {"lag": "consumer lag", "messages_in": "messages in"}
# What lag is made of, where no metric says it itself.
_PARTS = {"lag": ("lag", "end_offset", "committed_offset"), "messages_in": ("messages_in", "messages_in_rate")}


class Listed(tuple[str, ...]):
    """Sentences that a notebook shows as a list."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "\n".join(f"• {line}" for line in text_lines(self or ("nothing to report",)))

    def _repr_html_(self) -> str:
        return html_list(self or ("nothing to report",))


def listed(sentences: Iterable[object]) -> Listed:
    """Return sentences as a list that a notebook shows one below the other.

    Examples
    --------
    >>> listed(["one gap", "two resets"])
    • one gap
    • two resets
    """
    return Listed(str(sentence) for sentence in sentences)


@dataclass(frozen=True, repr=False)
class Given:
    """What was taken.

    Attributes
    ----------
    history : History
        The samples.
    rules : RuleFile
        The rules to look at.
    incidents : Incidents
        The labelled truth that lies in the history; empty when there is none.
    place : Path
        Where results go; see `folder`.
    words : tuple of str
        What was taken and what follows from that, one sentence each.
    server : PrometheusConnect or None
        The server, when the samples came from one.
    bundled : bool
        Whether this is the bundled history.
    undecided : tuple of Incident
        Suggestions of the list that nobody has decided on; not among `incidents`.
    """

    history: History
    rules: RuleFile
    incidents: Incidents
    place: Path
    words: tuple[str, ...]
    server: PrometheusConnect | None = field(default=None, compare=False)
    bundled: bool = False
    undecided: tuple[Incident, ...] = ()

    @property
    def folder(self) -> Path:
        """Where results go; made when it is first asked for, readable by nobody else."""
        try:
            self.place.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(self.place, error) from None
        return self.place

    def alert(self, quantity: str) -> str:
        """Return the name of the first alert that reads a quantity and no other one, else of the first that reads it.

        The name of an alert is returned as it is.

        Parameters
        ----------
        quantity : {"lag", "messages_in"} or str
            What it reads, directly or through recording rules; or an alert's name.

        Raises
        ------
        SettingError
            If no alert does, or none is called so; the message offers the nearest names.
        """
        if quantity not in _WORDS:
            return self.rules.alert(quantity).name
        about = [
            (rule.name, {each for each in _PARTS if self._reads(rule) & _names(each)}) for rule in self.rules.alerts
        ]
        for name, quantities in sorted(about, key=lambda each: len(each[1])):
            if quantity in quantities:
                return name
        known = ", ".join(rule.name for rule in self.rules.alerts)
        raise SettingError(
            f"no alert reads {_WORDS[quantity]} under a metric name that is known here",
            place=self.rules.path,
            cure=f"Write the name of one instead: {known}",
        )

    def incident_list(self) -> Path:
        """Return a copy of the incidents in `folder`, in YAML, to add suggestions and answers to; begun once.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        place = self.folder / "incidents.yml"
        if not place.exists():
            try:
                write_text(place, format_incidents(self.incidents))
            except OSError as error:
                raise _unwritable(place, error) from None
        return place

    def _reads(self, rule: AlertingRule) -> set[str]:
        """Name the metrics that a rule reads, and those that they are recorded from."""
        records = {record.record: record for record in self.rules.recordings}
        found: set[str] = set()
        ahead = [rule.expr]
        while ahead:
            names = {
                matcher.value
                for need in selections(ahead.pop())
                for matcher in need.matchers
                if matcher.name == "__name__" and matcher.op == "="
            }
            ahead += [records[name].expr for name in names - found if name in records]
            found |= names
        return found

    def __repr__(self) -> str:
        return "\n".join(self.words)

    def _repr_html_(self) -> str:
        return html_list(self.words)


def _names(quantity: str) -> frozenset[str]:
    """Return what a quantity is called in any dialect."""
    return frozenset(
        name
        for each in dialects().values()
        for part in _PARTS[quantity]
        if part in each.metrics
        for name in each.metrics[part].names
    )


def given(
    scenario: str = "user-service",
    *,
    server: str | PrometheusConnect | None = None,
    environment: Mapping[str, str] | None = None,
) -> Given:
    """Take the bundled history, or the user's own where the environment names it.

    Parameters
    ----------
    scenario : str
        The bundled one.
    server : str or PrometheusConnect, optional
        Instead of ``KMON_PROMETHEUS_URL``, for a connection with headers or certificates of its own.
    environment : Mapping, optional
        Instead of that of the process; `VARIABLES` says which ones are read.

    Raises
    ------
    SettingError
        If the variables contradict each other, or no rule can be made for what is there.
    KmonError
        As for reading each of the files, and for `kmon_analysis.workflow.fetch`.
    """
    said = _said(os.environ if environment is None else environment)
    source = server or said.get("KMON_PROMETHEUS_URL")
    _check(said, source)
    if isinstance(source, str):
        source = authorised(source, os.environ if environment is None else environment)
    folder = _folder(said)
    if source is not None:
        return _fetched(connect(source), said, folder)
    return _recorded(said, folder) if "KMON_HISTORY" in said else _bundled(scenario, folder)


def check_given(environment: Mapping[str, str]) -> None:
    """Refuse an environment that `given` would refuse, as far as that shows without a server.

    Raises
    ------
    KmonError
        As `given`.
    """
    said = _said(environment)
    _check(said, said.get("KMON_PROMETHEUS_URL"))
    if "KMON_PROMETHEUS_URL" in said:
        check_credentials(environment)
    for name, read in (("KMON_HISTORY", open_history), ("KMON_RULES", read_rules), ("KMON_INCIDENTS", read_incidents)):
        if name in said:
            read(Path(said[name]).expanduser())


def _said(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: environment[name].strip() for name in VARIABLES if environment.get(name, "").strip()}


def _check(said: Mapping[str, str], source: str | PrometheusConnect | None) -> None:
    """Refuse what contradicts itself or cannot be read, by the variable's name, before anything is fetched."""
    if source is None and "KMON_HISTORY" not in said:
        _check_alone(said)
    if source is not None and "KMON_HISTORY" in said:
        raise SettingError(
            "both a server and recorded samples are named", place=" and ".join(_SOURCES), cure="Unset one of them"
        )
    if source is None and "KMON_LAST" in said:
        raise SettingError("is about fetching", place="KMON_LAST", cure="Unset it, or KMON_HISTORY")
    try:
        if isinstance(source, str):
            check_url(source)
    except SettingError as error:
        place = "KMON_PROMETHEUS_URL" if source == said.get("KMON_PROMETHEUS_URL") else None
        raise SettingError(error.problem, place=place, cure=error.cure) from None
    try:
        parse_duration(said.get("KMON_LAST", LAST))
    except SettingError as error:
        raise SettingError(error.problem, place="KMON_LAST", cure=error.cure) from None
    for name in ("KMON_HISTORY", "KMON_RULES", "KMON_INCIDENTS"):
        if name in said and not Path(said[name]).expanduser().exists():
            raise SettingError(f"there is no such file: {said[name]!r}", place=name, cure="Check the path")


def _folder(said: Mapping[str, str]) -> Path:
    """Name the folder that results go to; one of the user's is made at once, to see whether it can be written."""
    if "KMON_OUT" not in said:
        return Path(tempfile.gettempdir()) / f"kmon-{secrets.token_hex(4)}"
    folder = Path(said["KMON_OUT"]).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from None
    return folder


def _unwritable(place: Path, error: OSError) -> OutputError:
    return OutputError(
        f"cannot be written: {error.strerror or error}", place=str(place), cure="Name another with KMON_OUT"
    )


def _check_alone(said: Mapping[str, str]) -> None:
    """Refuse rules, incidents or a range that nothing of the user's goes with."""
    alone = [name for name in said if name not in (*_SOURCES, "KMON_OUT")]
    if alone:
        raise SettingError(
            f"is set, but neither {' nor '.join(_SOURCES)} is",
            place=alone[0],
            cure=f"Set one of them, or unset {alone[0]}",
        )


def _bundled(scenario: str, folder: Path) -> Given:
    place = load_scenario(scenario)
    history, rules = open_history(place), read_rules(place / "rules.yml")
    incidents = read_incidents(place / "incidents.yml")
    words = (
        f"Bundled: the simulated history {scenario} {_span(history)}, {counted(len(rules.alerts), 'alert')}, "
        f"{counted(len(incidents.incidents), 'incident')}.",
        f"Results go to {folder}.",
        "To use your own, set KMON_PROMETHEUS_URL (and KMON_RULES, KMON_INCIDENTS, KMON_LAST) before starting "
        "JupyterLab, and run the notebook again.",
    )
    return Given(history, rules, incidents, folder, words, bundled=True)


def _recorded(said: Mapping[str, str], folder: Path) -> Given:
    history = open_history(Path(said["KMON_HISTORY"]).expanduser())
    rules, about = _rules(said, None if "KMON_RULES" in said else survey_history(history))
    words = (f"History: {said['KMON_HISTORY']}, {_span(history)}.", about)
    return _with_incidents(Given(history, rules, Incidents(), folder, words), said)


def _fetched(server: PrometheusConnect, said: Mapping[str, str], folder: Path) -> Given:
    connection = Connection(server)
    last = said.get("KMON_LAST", LAST)
    survey = None if "KMON_RULES" in said else survey_server(connection, last_ms=parse_duration(last))
    rules, about = _rules(said, survey, f" in the last {last}")
    history = fetch(server, rules, last=last, directory=folder / "history")
    words = (f"History: the last {last} of {connection.place}, {_span(history)}.", about)
    return _with_incidents(Given(history, rules, Incidents(), folder, words, server), said)


def _rules(said: Mapping[str, str], survey: Survey | None, when: str = "") -> tuple[RuleFile, str]:
    """Read the user's rules, or write starter rules in the metric names that are there."""
    if survey is None:
        rules = read_rules(Path(said["KMON_RULES"]).expanduser())
        return rules, f"Rules: {said['KMON_RULES']}, {counted(len(rules.alerts), 'alert')}."
    profile = choose(survey.dialects, survey.names, cluster=survey.cluster_label)
    found = starters(profile)
    if not found.rules:
        missing = f"; there are {', '.join(sorted(survey.names))}" if survey.names else ""
        raise SettingError(
            f"is not set, and no starter rule fits: no metric of a known Kafka dialect has a sample{when}"
            if not survey.dialects
            else f"is not set, and no starter rule fits the metrics of Kafka that are there{missing}",
            place="KMON_RULES",
            cure="Name your rule file with it" + (", or a longer time with KMON_LAST" if when and not missing else ""),
        )
    rules = parse_rules(rules_text(found, profile), "starter rules")
    words = f"Rules: KMON_RULES is not set, so {len(rules.alerts)} starter rules in the metric names found."
    return rules, f"{words} {survey.ended}." if survey.ended else words


def _with_incidents(taken: Given, said: Mapping[str, str]) -> Given:
    """Add the user's incidents and where results go; say what can be had without."""
    if "KMON_INCIDENTS" in said:
        everything = read_incidents(Path(said["KMON_INCIDENTS"]).expanduser())
        within = everything.within(taken.history.interval)
        words = (
            f"Incidents: {said['KMON_INCIDENTS']}, {len(within.incidents)} of {len(everything.incidents)} lie in "
            "the history."
        )
        if undecided := len(everything.suggested):
            # The library refuses to advise on them; here everything else shall still run.
            taken = replace(taken, undecided=within.suggested)
            within = replace(within, suggested=())
            words += (
                f" Left out: {counted(undecided, 'suggestion')} that nobody has decided; say what each was with "
                "kmon incidents review."
            )
    else:
        within, words = Incidents(), "Incidents: KMON_INCIDENTS is not set."
    if not within.incidents:
        words += (
            " When each rule pages, how often and for how long can be told, and every page counts as false; what was "
            "missed cannot, and no value is advised."
        )
    return replace(taken, incidents=within, words=(*taken.words, words, f"Results go to {taken.place}."))


def _span(history: History) -> str:
    return f"from {format_instant(history.interval.start_ms)} to {format_end(history.interval.end_ms)}"


def close_up(replay: RuleBacktest) -> Interval:
    """Choose what to look at closely: the first incident that a rule found, else its longest page, else the last day.

    Parameters
    ----------
    replay : RuleBacktest
        Of the rule.

    Returns
    -------
    Interval
        An hour more on both sides, within the history.
    """
    score = replay.score()
    incidents = [outcome.incident.interval for outcome in score.outcomes if outcome.found]
    pages = sorted((page.episode.interval for page in score.pages), key=lambda each: -each.duration_ms)
    whole = replay.period
    chosen = next(iter([*incidents, *pages]), Interval(max(whole.end_ms - DAY_MS, whole.start_ms), whole.end_ms))
    wider = chosen.widened(HOUR_MS, HOUR_MS)
    return Interval(max(wider.start_ms, whole.start_ms), min(wider.end_ms, whole.end_ms))


def one_incident(result: Backtest, candidates: Sequence[Incident] = ()) -> tuple[Backtest, str]:
    """Choose an incident to look at closely.

    Parameters
    ----------
    result : Backtest
        The replay.
    candidates : sequence of Incident
        Suggestions of the list that nobody has decided on, see `Given.undecided`.

    Returns
    -------
    Backtest, str
        The replay and the id of an incident that must page and was missed, else of the one with the longest delay.
        Where no incident is known, the first candidate of the list stands in for one, else the strongest suggested
        window, else the longest page, in a replay that counts it and with a cause that says so; `why_chosen` tells.

    Raises
    ------
    SettingError
        If there is neither an incident nor anything unusual.
    """
    outcomes = [outcome for found in result.scores.values() for outcome in found.outcomes]
    if outcomes:
        worst = max(outcomes, key=lambda each: (each.status == "missed", each.delay_ms or 0))
        return result, worst.incident.id
    if result.incidents.incidents:
        return result, result.incidents.incidents[0].id
    stand_in = _stand_in(result, candidates)
    known = Incidents((stand_in,))
    return backtest(result.rules, result.history, known, settings=result.settings), stand_in.id


def why_chosen(result: Backtest, chosen: str) -> str:
    """Say in words which incident `one_incident` chose and why."""
    outcomes = [each for found in result.scores.values() for each in found.outcomes if each.incident.id == chosen]
    cause = result.incidents[chosen].cause
    if cause.startswith("chosen as: "):
        why = cause.removeprefix("chosen as: ")
    elif any(each.status == "missed" for each in outcomes):
        why = "a rule that must page for it missed it"
    elif outcomes:
        why = "of all incidents it was paged for last, counted from its start"
    else:
        why = "it is the first of the list; no rule concerns it"
    return f"{chosen}: {why}."


def _stand_in(result: Backtest, candidates: Sequence[Incident]) -> Incident:
    """Return the first candidate of the list, else the strongest suggested window, else the longest page."""
    for listed in (*candidates, *result.incidents.suggested):
        why = "nobody has confirmed an incident; this is the first candidate of the list"
        return _as_incident(listed, why)
    for suggestion in suggest_from(result, most=1):
        return _as_incident(suggestion.to_incident(), "no incident is known; this is the strongest suggested window")
    pages = [page.episode.interval for found in result.scores.values() for page in found.pages]
    if not pages:
        raise SettingError(
            "there is no incident and nothing unusual in the history", cure="Name your list with KMON_INCIDENTS"
        )
    longest = max(pages, key=lambda each: each.duration_ms)
    return Incident("LONGEST-PAGE", longest, cause="chosen as: no incident is known; this is the longest page")


def _as_incident(entry: Incident, why: str) -> Incident:
    """Count a candidate as an incident, and say in its cause why it was chosen."""
    cause = f"chosen as: {why}" + (f". {entry.cause}" if entry.cause else "")
    return replace(entry, status="confirmed", must_page=True, cause=cause)
