"""The stages in one call each: what the command line and the front door offer beyond single rooms."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Never

from kmon_analysis.backtest import run
from kmon_analysis.backtest.run import Backtest
from kmon_analysis.backtest.settings import Settings
from kmon_analysis.errors import SettingError, nearest
from kmon_analysis.history import History
from kmon_analysis.incidents import Incidents, read_incidents
from kmon_analysis.progress import working
from kmon_analysis.promql.needs import fixed_selections, selections
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.recommend import confirm as confirming
from kmon_analysis.recommend import verdict
from kmon_analysis.recommend.advice import Advice
from kmon_analysis.recommend.confirm import Confirmation
from kmon_analysis.rules.model import RuleFile
from kmon_analysis.rules.reader import read_rules
from kmon_analysis.sources.connection import Patience
from kmon_analysis.sources.files import open_history
from kmon_analysis.sources.prometheus import Progress, Selection, fetch_history
from kmon_analysis.sources.simulation.store import load_scenario
from kmon_analysis.timing import Interval, duration_of, parse_instant
from kmon_analysis.workflow_server import server_side

if TYPE_CHECKING:
    from prometheus_api_client import PrometheusConnect

__all__ = ["Demonstration", "backtest", "confirm", "demo", "fetch", "needed_selections", "recommend"]

# The demo's users accept half an hour from the start that a postmortem would give.
DEMO_MAX_DELAY = "30m"

LOOKBACK_MS = Semantics.of().lookback_ms


def needed_selections(rules: RuleFile) -> tuple[Selection, ...]:
    """List the raw samples that the rules of a file need, each selector once.

    Recorded metrics are asked for, too: a history that holds them can be compared with our own.
    """
    widest: dict[Any, tuple[int, int]] = {}
    pinned: list[Selection] = []
    for group in rules.groups:
        for rule in group.rules:
            for fixed in fixed_selections(rule.expr):
                span = Interval(fixed.start_ms - LOOKBACK_MS, fixed.end_ms + 1)
                pinned.append(Selection(fixed.matchers, fixed=span))
            for need in selections(rule.expr):
                back, ahead = widest.get(need.matchers, (0, 0))
                widest[need.matchers] = (
                    max(back, need.lookback_ms + LOOKBACK_MS + group.query_offset_ms),
                    max(ahead, need.lookahead_ms),
                )
    return (*(Selection(matchers, back, ahead) for matchers, (back, ahead) in widest.items()), *pinned)


def fetch(
    source: str | PrometheusConnect,
    rules: RuleFile,
    *,
    last: str | timedelta | None = None,
    start: str | None = None,
    end: str | None = None,
    directory: str | Path | None = None,
    progress: Callable[[Progress], None] | None = None,
    **options: Any,
) -> History:
    """Fetch what the rules need from a running Prometheus.

    Parameters
    ----------
    source : str or PrometheusConnect
        URL, or the user's own connection with its session, authentication and headers.
    rules : RuleFile
        From `read_rules`.
    last : str or timedelta, optional
        How far back from the end, for example ``"30d"``.
    start, end : str, optional
        RFC 3339 instants with a zone; `end` defaults to now.
    directory : str or Path, optional
        Where the history goes; an interrupted fetch resumes from there.
    progress : callable, optional
        See `kmon_analysis.sources.prometheus.fetch_history`; None: shown in a notebook.
    **options
        Passed on to `fetch_history`: timeouts, concurrency, retries.

    Raises
    ------
    SettingError
        If both or neither of `last` and `start` are given, or the server has no sample at all; nothing is saved then.
    SourceError
        If the server cannot be reached, refuses, or answers nonsense.
    """
    if (last is None) == (start is None):
        raise SettingError("give either last or start", cure='For example last="30d", or start and end')
    start_ms, end_ms = (None if text is None else parse_instant(text) for text in (start, end))
    with working("fetching", terminal=False) as work:
        return fetch_history(
            source,
            needed_selections(rules),
            start_ms=start_ms,
            end_ms=end_ms,
            last_ms=None if last is None else duration_of(last, "last"),
            directory=directory,
            progress=progress or (lambda state: work.update(state.done, state.total)),
            **{"refuse_empty": True, **options},
        )


def backtest(
    rules: RuleFile,
    history: History,
    incidents: Incidents | None = None,
    *,
    settings: Settings | None = None,
    server: str | PrometheusConnect | None = None,
    patience: Patience | None = None,
    progress: Callable[[str, Progress], None] | None = None,
    **unknown: Never,
) -> Backtest:
    """Say when each alert of a rule file would have paged, and score it.

    Parameters
    ----------
    rules : RuleFile
        From `read_rules`.
    history : History
        Raw samples that the rules select.
    incidents : Incidents, optional
        Labelled truth; without it every page is a false one.
    settings : Settings, optional
        How pages are counted and which Prometheus release is replayed.
    server : str or PrometheusConnect, optional
        Evaluates the rules that are not evaluated here, at their own evaluations; the result says so. Its answers
        are kept with a history that lies on disk, and found there when no server is given.
    patience : Patience, optional
        Timeouts and retries with the server.
    progress : callable, optional
        Told a rule's name and how far the server's evaluation is; None: shown in a notebook.
    **unknown
        Refused; what are fields of `Settings` go there.

    Raises
    ------
    SettingError
        If nothing has any of the labels to group by, or there is no such argument.
    RuleFileError
        If no rule can be evaluated; with every reason.
    IncidentError
        If all incidents lie wholly outside the history; some that do are left out, and the result says so.
    InputError
        If the file has no alerting rule.
    SourceError
        If the server cannot be reached or does not do its part. What it said before is kept.
    """
    for name, value in dict[str, object](unknown).items():
        raise _no_argument(name, value)
    with working("replaying the rules", terminal=False) as work:

        def asked(rule: str, state: Progress) -> None:
            work.begin(f"the server evaluates {rule}")
            work.update(state.done, state.total)

        def evaluating(rule: str, done: int, total: int) -> None:
            work.begin(f"replaying {rule}")
            work.update(done, total)

        outside = server_side(history, server, patience=patience, progress=progress or asked)
        return run.backtest(rules, history, incidents, settings=settings, outside=outside, progress=evaluating)


def _no_argument(name: str, value: object) -> SettingError:
    """Say where an option of a backtest goes."""
    own = ("rules", "history", "incidents", "settings", "server", "patience", "progress")
    fields = tuple(field.name for field in dataclasses.fields(Settings))
    if name in fields:
        shown = (value,) if name == "group_by" and isinstance(value, str) else value
        cure = f"Write settings=km.Settings({name}={shown!r})"
    else:
        cure = nearest(name, (*own, *fields)) or f"There are {', '.join(own)}"
    return SettingError(f"backtest has no argument {name!r}", cure=cure)


def recommend(
    result: Backtest,
    *,
    max_delay: str | timedelta,
    false_pages_per_week: float = 1.0,
    firing_ratio: float = 0.01,
    placement: float = 1 / 3,
    only: Collection[str] = (),
    progress: Callable[[str, int, int], None] | None = None,
) -> Advice:
    """Advise values for each rule of a backtest, or say why not.

    Parameters
    ----------
    result : Backtest
        From `backtest`.
    max_delay : str or timedelta
        Longest acceptable time from the labelled start of an incident to the page: a duration such
        as ``"10m"``. There is no honest default.
    false_pages_per_week : float
        Accepted false pages of one rule for each week of normal time.
    firing_ratio : float
        Accepted share of normal time in which the alert may fire.
    placement : float
        Where in the feasible interval the threshold goes, from 0 (false-page edge) to 1 (incident edge).
    only : collection of str
        Names of the alerts to advise on; empty: all. The others stay as they are.
    progress : callable, optional
        Called with a rule's name, steps done and steps in all; None: shown in a notebook.

    Returns
    -------
    Advice
        A verdict for each rule: ``tuned``, ``keep`` or ``refused``.

    Raises
    ------
    IncidentError
        If the incidents hold suggestions that nobody has confirmed or rejected.
    SettingError
        If a rule of this name is not in the file.
    """
    with working("tuning", terminal=False) as work:

        def tuning(rule: str, done: int, total: int) -> None:
            if done <= 1:
                work.begin(f"tuning {rule}")
            work.update(done, total)

        return verdict.recommend(
            result,
            max_delay=max_delay,
            false_pages_per_week=false_pages_per_week,
            firing_ratio=firing_ratio,
            placement=placement,
            only=only,
            progress=progress or tuning,
        )


def confirm(advice: Advice, history: History, incidents: Incidents) -> Confirmation:
    """Backtest the current and the tuned rules on a history that the advice never saw.

    Parameters
    ----------
    advice : Advice
        From `recommend`.
    history : History
        Other weeks than those of the advice.
    incidents : Incidents
        Of those weeks.
    """
    with working("confirming on unseen weeks", terminal=False):
        return confirming.confirm(advice, history, incidents)


@dataclass(frozen=True)
class Demonstration:
    """The main job on bundled data.

    Attributes
    ----------
    advice : Advice
        Tuned on the history of the scenario.
    confirmation : Confirmation or None
        Both rule files on the weeks that follow, which tuning never saw.
    """

    advice: Advice
    confirmation: Confirmation | None


def demo(
    scenario: str = "user-service",
    *,
    max_delay: str = DEMO_MAX_DELAY,
    stage: Callable[[str], None] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Demonstration:
    """Tune the deployed rules of a bundled scenario.

    Parameters
    ----------
    scenario : str
        One of the scenarios of `kmon_analysis.sources.simulation`; made from its random seed when first asked for.
    max_delay : str
        Longest acceptable time from the labelled start of an incident to the page.
    stage : callable, optional
        Told what is being done.
    progress : callable, optional
        As in `recommend`.
    """
    with working("simulating the scenario", terminal=False) as work:
        return _demo(scenario, max_delay, stage or work.begin, progress)


def _demo(
    scenario: str, max_delay: str, tell: Callable[[str], None], progress: Callable[[str, int, int], None] | None
) -> Demonstration:
    tell("simulating the scenario")
    folder = load_scenario(scenario)
    tell("replaying the rules")
    rules = read_rules(folder / "rules.yml")
    result = backtest(rules, open_history(folder), read_incidents(folder / "incidents.yml"))
    advice = recommend(result, max_delay=max_delay, progress=progress)
    confirmation = None
    if scenario == "user-service":
        tell("confirming on the weeks after")
        later = load_scenario("user-service-later")
        confirmation = confirm(advice, open_history(later), read_incidents(later / "incidents.yml"))
    return Demonstration(advice, confirmation)
