"""What `recommend` returns: a verdict for each rule, with its evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kmon_analysis.backtest.notes import is_blind
from kmon_analysis.backtest.rule import RuleBacktest
from kmon_analysis.backtest.run import Backtest
from kmon_analysis.backtest.score import Page, Score
from kmon_analysis.errors import SettingError
from kmon_analysis.recommend.candidates import Budget, Setting
from kmon_analysis.recommend.choose import Plateau
from kmon_analysis.recommend.enough import Enough
from kmon_analysis.recommend.holdout import HeldOut, LeftOut, Tally
from kmon_analysis.tabular import MOST_ROWS, html_list, html_table, length_cell, text_lines, text_table
from kmon_analysis.timing import SECOND_MS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from kmon_analysis.explore.tuner import Tuner

__all__ = ["Advice", "Neighbour", "RuleAdvice", "Verdict", "Written"]

Verdict = Literal["tuned", "keep", "refused"]
RULE_HEADER = ("values", "caught", "false pages", "a week", "worst delay")


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A setting one step away, scored on the whole past.

    Attributes
    ----------
    change : str
        What differs from the proposed one.
    setting : Setting
        Its values.
    score : Score
        What they do.
    broken : tuple of str
        In which respects it breaks the budget, each with both numbers.
    """

    change: str
    setting: Setting
    score: Score
    broken: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class RuleAdvice:
    """Verdict and evidence for one rule.

    Attributes
    ----------
    rule : str
        Alert name.
    verdict : {"tuned", "keep", "refused"}
        Whether `proposed` replaces the current values; "keep" and "refused" leave the rule alone.
    headline : str
        The verdict in the words of the protocol.
    reasons : tuple of str
        Sentences, the most important first. No number stands here that the data cannot carry.
    current : Setting or None
        The values as deployed; None when the rule could not be evaluated.
    proposed : Setting or None
        The values advised; None unless tuned.
    candidate : Setting or None
        The best values found, also where they are not advised.
    past_current, past_proposed, past_candidate : Score or None
        All on the whole history.
    enough : (Enough or None, Enough or None)
        What would leave room where nothing is advised for want of it: a longer delay, more false pages.
    plateau : Plateau or None
        The interval that the threshold lies in.
    heldout : HeldOut or None
        The procedure on unseen weeks.
    left_out : tuple of LeftOut
        Each incident scored by a rule tuned without it.
    next_4_weeks : (int, int) or None
        Range in which the false pages of the next four weeks lie nine times out of ten.
    neighbours : tuple of Neighbour
        Settings one step away from the proposed one.
    suspects : tuple of Page
        The largest false pages of the proposed (else current) values, for the label review.
    physics : tuple of Mapping
        Rows of the arithmetic of detection (time to page by hour), where it can be computed.
    overfit_ratio : float or None
        Probability of backtest overfitting of the search.
    chance_p : float or None
        Share of shifted incident lists that the rule would have caught as well.
    evaluated_by : str
        ``"kmon"``, or which server evaluated the expression in our place.
    by_hand : bool
        Whether a person chose the proposed values with the whole past in view; nothing is held out then.
    group_by : tuple of str or None
        Labels that make one page of several alerts in all these numbers; None: every alert pages by itself.
    taken_from : (Advice, str) or None
        The advice and the name under which it was asked for this rule.
    """

    rule: str
    verdict: Verdict
    headline: str
    reasons: tuple[str, ...]
    current: Setting | None
    proposed: Setting | None = None
    candidate: Setting | None = None
    past_current: Score | None = None
    past_proposed: Score | None = None
    past_candidate: Score | None = None
    enough: tuple[Enough | None, Enough | None] = (None, None)
    plateau: Plateau | None = None
    heldout: HeldOut | None = None
    left_out: tuple[LeftOut, ...] = ()
    next_4_weeks: tuple[int, int] | None = None
    neighbours: tuple[Neighbour, ...] = ()
    suspects: tuple[Page, ...] = ()
    physics: tuple[Mapping[str, Any], ...] = ()
    overfit_ratio: float | None = None
    chance_p: float | None = None
    evaluated_by: str = "kmon"
    by_hand: bool = False
    group_by: tuple[str, ...] | None = None
    taken_from: tuple[Advice, str] | None = field(default=None, repr=False, compare=False)

    def __repr__(self) -> str:
        return "\n".join(text_lines([f"{self.rule}: {self.headline}", *self.reasons]))

    def _repr_html_(self) -> str:
        rows = []
        for which, setting, score in self._pairs():
            caught = f"{score.caught} of {score.incidents}" if score.outcomes else "–"
            delay = length_cell(score.worst_delay_ms)
            rows.append((f"{which}: {setting}", caught, f"{score.false_pages:,}", score.shown_rate, delay))
        caption = f"{self.rule}: {self.headline}"
        return html_table(RULE_HEADER, rows, caption=caption) + html_list(self.reasons)

    @property
    def decision(self) -> str:
        """The verdict as people read it: a person's choice is not called tuned."""
        return "by hand" if self.by_hand else self.verdict

    def _pairs(self) -> list[tuple[str, Setting, Score]]:
        new = "by hand" if self.by_hand else "tuned"
        pairs = (("now", self.current, self.past_current), (new, self.proposed, self.past_proposed))
        return [(word, setting, score) for word, setting, score in pairs if setting is not None and score is not None]

    def explore(self) -> Tuner:
        """Open the tuner on this rule, as `Advice.explore` does.

        Raises
        ------
        SettingError
            If it was not taken from an advice by its name.
        """
        from kmon_analysis.explore.tuner import explore

        if self.taken_from is None:
            raise SettingError(f"it is not known of which advice {self.rule} is part", cure="Open advice.explore(name)")
        return explore(*self.taken_from)

    def to_json(self) -> dict[str, Any]:
        """Return the entry of ``advice.json``.

        Notes
        -----
        ``candidate`` holds the best values found, advised or not, and ``past`` what they did. ``enough`` says what
        would leave room where nothing has it: under ``longer_delay`` and ``more_false_pages`` the budget with that
        number changed, values placed there and what they did; null where that alone would not do, or nothing is
        lacking.
        """
        return {
            "rule": self.rule,
            "verdict": self.verdict,
            "headline": self.headline,
            "evaluated_by": self.evaluated_by,
            "by_hand": self.by_hand,
            "group_by": None if self.group_by is None else list(self.group_by),
            "reasons": list(self.reasons),
            "current": _setting_json(self.current),
            "proposed": _setting_json(self.proposed),
            "candidate": _setting_json(self.candidate),
            "past": {
                "current": _score_json(self.past_current),
                "proposed": _score_json(self.past_proposed),
                "candidate": _score_json(self.past_candidate),
            },
            "enough": {
                way: None
                if found is None
                else {
                    "max_delay_s": found.budget.max_delay_ms / SECOND_MS,
                    "false_pages_per_week": found.budget.false_pages_per_week,
                    "values": _setting_json(found.setting),
                    "past": _score_json(found.score),
                }
                for way, found in zip(("longer_delay", "more_false_pages"), self.enough, strict=True)
            },
            "heldout": None
            if self.heldout is None
            else {"current": _tally_json(self.heldout.current), "proposed": _tally_json(self.heldout.proposed)},
            "next_4_weeks": None
            if self.next_4_weeks is None
            else {"low": self.next_4_weeks[0], "high": self.next_4_weeks[1]},
        }


def _setting_json(setting: Setting | None) -> dict[str, Any] | None:
    if setting is None:
        return None
    return {
        "threshold": setting.threshold,
        "window_s": None if setting.window_ms is None else setting.window_ms / SECOND_MS,
        "for_s": setting.for_ms / SECOND_MS,
        "hours": setting.hours,
    }


def _score_json(score: Score | None) -> dict[str, Any] | None:
    if score is None:
        return None
    delay = {
        "median": None if score.median_delay_ms is None else score.median_delay_ms / SECOND_MS,
        "worst": None if score.worst_delay_ms is None else score.worst_delay_ms / SECOND_MS,
    }
    # With no incidents there is nothing to have caught: a zero would read like a result.
    known = bool(score.outcomes)
    return {
        "incidents": score.incidents,
        "caught": score.caught if known else None,
        "false_pages": score.false_pages,
        "weeks": round(score.weeks, 3),
        "delay_s": delay,
    }


def _tally_json(tally: Tally) -> dict[str, Any]:
    return {
        "incidents": tally.incidents,
        "caught": tally.caught_in_time,
        "false_pages": tally.false_pages,
        "weeks": round(tally.weeks, 3),
    }


@dataclass(frozen=True, slots=True, repr=False)
class Written:
    """What `Advice.write` wrote.

    Attributes
    ----------
    paths : tuple of Path
        ``rules.yml``, ``rules_test.yml``, ``advice.json``, ``report.html``.
    sentence : str
        What promtool said of the rules and their tests, or that it was absent.
    failed : bool
        Whether promtool refused anything.
    output : str
        Its own words.
    changes : tuple of str
        The rules whose values differ from the deployed ones, each with its new values: an advice on one alert writes
        the other rules of the file, too.
    """

    paths: tuple[Path, ...]
    sentence: str
    failed: bool
    output: str
    changes: tuple[str, ...] = ()

    def _lines(self) -> list[str]:
        changed = [f"changed: {change}" for change in self.changes] or ["changed: nothing, the rules are as deployed"]
        return [self.sentence, *changed, *(str(path) for path in self.paths)]

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        return html_list(self._lines())


@dataclass(frozen=True, repr=False)
class Advice(Mapping[str, RuleAdvice]):
    """Verdicts for the rules of a file; a mapping from alert name.

    Attributes
    ----------
    backtest : Backtest
        What the advice rests on.
    budget : Budget or None
        What the team accepts; None where nobody was asked, and all values are chosen by hand.
    rules : Mapping
        By alert name.
    """

    backtest: Backtest
    budget: Budget | None
    rules: Mapping[str, RuleAdvice] = field(default_factory=dict)

    def __getitem__(self, name: str) -> RuleAdvice:
        if name not in self.rules:
            self.backtest.rules.alert(name)
        return replace(self.rules[name], taken_from=(self, name))

    def __iter__(self) -> Iterator[str]:
        return iter(self.rules)

    def __len__(self) -> int:
        return len(self.rules)

    def replay(self, name: str) -> RuleBacktest:
        """Return a rule's backtest, its alerts grouped to pages as in the numbers of the advice.

        Raises
        ------
        ExpressionError
            If the rule could not be evaluated.
        """
        replay = self.backtest[name]
        return replay.grouped(self.rules[name].group_by) if name in self.rules else replay

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``advice.json``."""
        return {"version": 1, "rules": [advice.to_json() for advice in self.rules.values()]}

    def to_frame(self) -> pd.DataFrame:
        """Return one row a rule and setting: counts before and after."""
        import pandas as pd

        rows = []
        for advice in self.rules.values():
            pairs = (
                ("current", advice.current, advice.past_current),
                ("by hand" if advice.by_hand else "proposed", advice.proposed, advice.past_proposed),
            )
            for which, setting, score in pairs:
                if setting is None or score is None:
                    continue
                rows.append(
                    {
                        "rule": advice.rule,
                        "values": which,
                        "verdict": advice.decision,
                        "threshold": setting.threshold,
                        "window_s": None if setting.window_ms is None else setting.window_ms / SECOND_MS,
                        "for_s": setting.for_ms / SECOND_MS,
                        "incidents": score.incidents,
                        "caught": score.caught if score.outcomes else None,
                        "false_pages": score.false_pages,
                        "false_pages_per_week": score.false_pages_per_week,
                        "delay_worst_s": None if score.worst_delay_ms is None else score.worst_delay_ms / SECOND_MS,
                    }
                )
        return pd.DataFrame(rows).set_index(["rule", "values"]) if rows else pd.DataFrame()

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return header and rows of the before/after table."""
        header = ["rule", "verdict", *RULE_HEADER]
        rows: list[list[str]] = []
        for name, advice in self.rules.items():
            replay = self.backtest.results.get(name)
            op = None if replay is None else replay.knobs.op
            if replay is not None and advice.current is not None and is_blind(replay):
                values = f"now: {advice.current.short(op)}"
                rows.append([advice.rule, advice.verdict, values, "no data", "–", "–", "–"])
                continue
            for which, setting, score in advice._pairs():
                rows.append(
                    [
                        advice.rule if which == "now" else "",
                        advice.decision if which == "now" else "",
                        f"{which}: {setting.short(op)}",
                        f"{score.caught} of {score.incidents}" if score.outcomes else "–",
                        str(score.false_pages),
                        score.shown_rate,
                        length_cell(score.worst_delay_ms),
                    ]
                )
            if advice.current is None:
                rows.append([advice.rule, advice.verdict, "not evaluated", "–", "–", "–", "–"])
        return header, rows

    def __repr__(self) -> str:
        return "\n".join([text_table(*self.table(), left=3, most=MOST_ROWS), *text_lines(self._headlines())])

    def _repr_html_(self) -> str:
        caption = f"Advice for the rules of {self.backtest.rules.path}"
        table = html_table(*self.table(), caption=caption, left=3, grouped=True, most=MOST_ROWS)
        return table + html_list(self._headlines())

    def _headlines(self) -> list[str]:
        return [f"{advice.rule}: {advice.headline}" for advice in self.rules.values()]

    def explore(self, name: str) -> Tuner:
        """Open the tuner on a rule, at the proposed values where there are any.

        What is chosen there goes into a copy of this advice: ``tuner.advice``.
        """
        from kmon_analysis.explore.tuner import explore

        return explore(self, name)

    def plot(self, name: str, *, zone: str = "UTC") -> Figure:
        """Draw a rule's evidence: curves with the feasible interval, current and proposed values.

        Parameters
        ----------
        name : str
            Alert name.
        zone : str
            Time zone of the time axis, by its IANA name.
        """
        from kmon_analysis.report.plots import advice_figure

        return advice_figure(self.replay(name), self[name], self.budget, zone=zone)

    def write(self, directory: str | Path, *, stage: Callable[[str], None] | None = None, zone: str = "UTC") -> Written:
        """Write the tuned rules, their unit tests, the advice and the report.

        Parameters
        ----------
        directory : str or Path
            Made when it does not exist; files of an earlier run are replaced if nobody edited them.
        stage : callable, optional
            Told what is being done; None: shown in a notebook.
        zone : str
            Time zone of the report, by its IANA name; the other files hold no local time.

        Raises
        ------
        OutputError
            If the directory cannot be written; nothing is left half-written.
        SettingError
            If there is no such zone.
        """
        from kmon_analysis.progress import working
        from kmon_analysis.report.bundle import write_advice

        with working("writing", terminal=False) as work:
            return write_advice(self, Path(directory), stage or work.begin, zone=zone)
