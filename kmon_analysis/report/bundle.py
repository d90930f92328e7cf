"""Write what `kmon tune` promises: rules, their unit tests, the advice and the report."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kmon_analysis.backtest.grouping import alertmanager_grouping, page_words
from kmon_analysis.backtest.pages import Episode
from kmon_analysis.backtest.rule import RuleBacktest
from kmon_analysis.backtest.score import Score
from kmon_analysis.backtest.windows import short_window
from kmon_analysis.errors import OutputError
from kmon_analysis.export.own import check_own, put_together
from kmon_analysis.export.rulefile import Change, edit_rules
from kmon_analysis.export.unittests import Evidence, make_unit_tests
from kmon_analysis.export.verify import find_promtool, promtool_version, verify_files
from kmon_analysis.promql.needs import selections
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.recommend.advice import Advice, RuleAdvice, Written
from kmon_analysis.report.page import render_report
from kmon_analysis.rules.model import AlertingRule, RuleKey
from kmon_analysis.rules.reader import parse_rules
from kmon_analysis.timing import MINUTE_MS, Interval, duration, format_instant, zone_of

__all__ = ["FILES", "check_writable", "evidences", "write_advice"]

AlertKey = tuple[str, str] | RuleKey

FILES = ("rules.yml", "rules_test.yml", "advice.json", "report.html")

# Enough to hold the rule to its evidence without making promtool slow.
INCIDENTS_PER_RULE, QUIET_PER_RULE = 3, 2
# promtool keeps at most this much around an episode: what lies before decides `for` and the window.
LEAD_MS, TAIL_MS = 30 * MINUTE_MS, 20 * MINUTE_MS
LONGEST_MS = 6 * 60 * MINUTE_MS


def check_writable(directory: Path) -> None:
    """Fail before any work is done when the results could not be written.

    Raises
    ------
    OutputError
        If the directory cannot be made or written to, or would lose somebody's file.
    """
    with _workspace(directory):
        pass


@contextmanager
def _workspace(directory: Path) -> Iterator[Path]:
    """Give a temporary folder inside `directory`, on the same file system, and remove it again."""
    if directory.is_file():
        raise OutputError("is a file, not a folder", place=str(directory), cure="Choose another folder")
    for name in FILES:
        if (directory / name).is_dir():
            raise OutputError("is a folder, not a file", place=str(directory / name), cure="Choose another folder")
    check_own(directory, FILES)
    made = [path for path in (directory, *directory.parents) if not path.exists()]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".kmon-", dir=directory))
    except OSError as error:
        raise OutputError(
            f"cannot write: {error.strerror or error}",
            place=str(directory),
            cure="Choose a folder that you may write to",
        ) from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for path in made:
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()


def _tuned(advice: RuleAdvice, rule: AlertingRule) -> AlertingRule:
    return rule if advice.proposed is None else advice.proposed.applied(rule)


def _changes(advice: Advice) -> tuple[dict[AlertKey, Change], dict[AlertKey, str]]:
    """Return the new values, and the comment that says where they come from."""
    changes: dict[AlertKey, Change] = {}
    notes: dict[AlertKey, str] = {}
    for name, verdict in advice.items():
        if verdict.proposed is None:
            continue
        before = advice.backtest[name].rule
        after = _tuned(verdict, before)
        change: Change = {}
        if after.text != before.text:
            change["expr"] = after.text
        if after.for_ms != before.for_ms:
            change["for_ms"] = after.for_ms
        changes[before.key] = change
        digest = advice.backtest.history.digest[:12]
        how = "chosen by hand with kmon_analysis" if verdict.by_hand else "tuned by kmon_analysis"
        notes[before.key] = (
            f"{how}: was {verdict.current}{_former_hours(verdict)}; history {digest}{_grouped(verdict)}"
            f"{_too_short(advice, verdict)}"
        )
    return changes, notes


def _former_hours(advice: RuleAdvice) -> str:
    """Write the guard that the rule had, where another one takes its place."""
    now, then = advice.current, advice.proposed
    if now is None or then is None or now.hours == then.hours:
        return ""
    return f", {' '.join(now.hours.split())}" if now.hours else ", at all hours"


def _too_short(advice: Advice, verdict: RuleAdvice) -> str:
    """Say what a window does that is too short for the scrapes."""
    setting = verdict.proposed
    if setting is None:
        return ""
    scrape_ms = advice.backtest.history.scrape_interval_ms
    said = short_window(advice.backtest[verdict.rule], scrape_ms, setting.window_ms, setting.hours or "")
    return f"; {said}" if said else ""


def _grouped(advice: RuleAdvice) -> str:
    """Say how pages were counted, where not every alert is one: that is Alertmanager's to do."""
    if advice.group_by is None:
        return ""
    return f"; one page for {page_words(advice.group_by)} (Alertmanager {alertmanager_grouping(advice.group_by)})"


def _bounded(start_ms: int, end_ms: int) -> Interval:
    return Interval(start_ms, min(end_ms, start_ms + LONGEST_MS))


def _around(replay: RuleBacktest, rule: AlertingRule, episode: Episode) -> Interval:
    """Return what a test must hold of an episode: enough before it, and its start."""
    lead = LEAD_MS + rule.for_ms
    return _bounded(episode.interval.start_ms - lead, min(episode.interval.end_ms + TAIL_MS, replay.period.end_ms))


def _slice(replay: RuleBacktest, rule: AlertingRule, name: str, span: Interval, note: str) -> Evidence:
    chosen: set[int] = set()
    lookback = replay.semantics.lookback_ms
    for need in selections(rule.expr):
        chosen |= set(replay.series.matching(need.matchers, dot_all=replay.semantics.dot_all).tolist())
        lookback = max(lookback, need.lookback_ms + replay.semantics.lookback_ms)
    series = replay.series.take(sorted(chosen)).between(span.start_ms - lookback, span.end_ms)
    return Evidence(name=name, rule=rule, series=series, start_ms=span.start_ms, end_ms=span.end_ms, note=note)


def evidences(advice: Advice) -> list[Evidence]:
    """Choose the incidents and quiet spells that the exported rules are tested on.

    Notes
    -----
    For each rule the found incidents with the longest delays (the ones that a small change would
    lose first) and the longest false pages of the old values that the new ones no longer send.
    """
    found: list[Evidence] = []
    for name, verdict in advice.items():
        replay = advice.backtest.results.get(name)
        score = verdict.past_proposed or verdict.past_current
        if replay is None or score is None:
            continue
        rule = _tuned(verdict, replay.rule)
        hits = sorted(
            (page for page in score.pages if page.kind == "true" and page.incident),
            key=lambda page: -(_delay(score, page.incident) or 0),
        )
        for page in hits[:INCIDENTS_PER_RULE]:
            span = _around(replay, rule, page.episode)
            when = format_instant(page.episode.interval.start_ms)
            found.append(_slice(replay, rule, f"{name} pages for {page.incident}", span, f"recorded at {when}"))
        if verdict.proposed is None or verdict.past_current is None:
            continue
        still = [page.episode.interval for page in score.pages]
        lead = LEAD_MS + rule.for_ms
        spared = [
            page.episode.interval
            for page in verdict.past_current.pages
            # What is called quiet must hold no page of another alert of the rule either, nor the tail of one.
            if page.kind == "false"
            and not any(page.episode.interval.widened(lead, TAIL_MS).overlaps(other) for other in still)
        ]
        for interval in sorted(spared, key=lambda i: -i.duration_ms)[:QUIET_PER_RULE]:
            span = _bounded(interval.start_ms - lead, interval.end_ms + TAIL_MS)
            when, length = format_instant(interval.start_ms), duration(interval.duration_ms)
            note = f"the old values paged falsely for {length} from {when}"
            found.append(_slice(replay, rule, f"{name} stays quiet on {when}", span, note))
    return found


def _delay(score: Score, incident: str | None) -> int | None:
    return next((o.delay_ms for o in score.outcomes if o.incident.id == incident), None)


def _tests(advice: Advice, tuned: str) -> str:
    """Make the unit tests for the promtool that will run them here, else for the replayed release."""
    promtool = find_promtool()
    version = None if promtool is None else promtool_version(promtool)
    replays = list(advice.backtest.results.values())
    semantics = Semantics.of(version) if version not in (None, "unknown") else replays[0].semantics
    interval_ms = min(replay.grid.step_ms for replay in replays)
    rules = parse_rules(tuned, FILES[0], semantics=semantics)
    return make_unit_tests(FILES[0], evidences(advice), interval_ms, semantics, rules=rules)


def write_advice(
    advice: Advice, directory: Path, stage: Callable[[str], None] | None = None, *, zone: str = "UTC"
) -> Written:
    """Write the four files, whole or not at all.

    Parameters
    ----------
    advice : Advice
        From `recommend`.
    directory : Path
        Made when it does not exist; files of an earlier run are replaced if nobody edited them.
    stage : callable, optional
        Told what is being done.
    zone : str
        Time zone of the report, by its IANA name.

    Raises
    ------
    OutputError
        If the directory cannot be written, or holds a file of one of the names that is none of ours or was edited.
    SettingError
        If there is no such zone.
    """
    zone = zone_of(zone).key
    tell = stage or (lambda _: None)
    tell("making unit tests from the evidence")
    changes, notes = _changes(advice)
    tuned = edit_rules(advice.backtest.rules.text, changes, notes)
    tests = _tests(advice, tuned)
    with _workspace(directory) as folder:
        try:
            (folder / FILES[0]).write_text(tuned, encoding="utf-8", newline="")
            (folder / FILES[1]).write_text(tests, encoding="utf-8", newline="")
            tell("asking promtool")
            verification = verify_files(folder / FILES[0], folder / FILES[1])
            tell("drawing the report")
            text = json.dumps(advice.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
            (folder / FILES[2]).write_text(text + "\n", encoding="utf-8", newline="")
            (folder / FILES[3]).write_text(render_report(advice, verification, zone=zone), encoding="utf-8", newline="")
            put_together(folder, directory, FILES)
        except OSError as error:
            raise OutputError(
                f"cannot write: {error.strerror or error}",
                place=str(directory),
                cure="Free some space or choose another folder",
            ) from None
    output = "\n".join(check.output for check in (verification.check, verification.test) if check.outcome == "failed")
    paths = tuple(directory / name for name in FILES)
    said = tuple(f"{name}: {entry.proposed}" for name, entry in advice.items() if entry.proposed is not None)
    return Written(paths, verification.sentence, not verification.ok, output, said)
