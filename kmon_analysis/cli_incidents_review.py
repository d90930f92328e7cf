"""``kmon incidents review``: a person looks at false pages and says what each was."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kmon_analysis.cli_options import (
    CreditAfterOption,
    CreditBeforeOption,
    EndOption,
    EvaluateOnOption,
    GroupByOption,
    HistoryOption,
    IntervalOption,
    JsonOption,
    LastOption,
    MergeGapOption,
    PhaseOption,
    PrometheusOption,
    RulePathOption,
    RulesOption,
    Samples,
    StartOption,
    StoreOption,
    TimeoutOption,
    VersionOption,
    make_settings,
)
from kmon_analysis.cli_terminal import columns, put, put_json, say, shown, working
from kmon_analysis.errors import InputError, KmonError, SettingError

if TYPE_CHECKING:
    from datetime import tzinfo

    from rich.console import Console

    from kmon_analysis.labelling.session import Session
    from kmon_analysis.report.asked import Links
    from kmon_analysis.sources.prometheus import Progress
    from kmon_analysis.timing import Interval

__all__ = ["register"]

CHOICES = {"i": "incident", "e": "expected", "n": "noise", "s": "skip", "b": "back", "l": "list", "q": "quit"}
# Keys of a line of answers, and what each becomes.
_ANSWER_KEYS = (
    "question",
    "decision",
    "id",
    "start",
    "end",
    "labels",
    "must_page",
    "kind",
    "note",
    "by",
    "when",
    "alike",
)


def register(app: typer.Typer) -> None:
    """Add the verb to ``kmon incidents``."""
    app.command(
        "review",
        short_help="Decide on suggestions and false pages: say what each was.",
        epilog="""\b
Examples:
  kmon incidents review --history history --rules rules.yml \\
      --incidents incidents.yml --grafana https://grafana.example.com
  kmon incidents review --history history --rules rules.yml \\
      --incidents incidents.yml --json > questions.json
  echo '{"question": 1, "decision": "noise", "note": "nightly batch"}' |
      kmon incidents review --history history --rules rules.yml \\
      --incidents incidents.yml --answers -""",
    )(review_command)


def review_command(
    rules: RulesOption,
    incidents: Annotated[
        Path,
        typer.Option("--incidents", metavar="FILE", help="The list that learns the answers, YAML; begun if missing."),
    ],
    history: HistoryOption = None,
    prometheus: PrometheusOption = None,
    rule: Annotated[str | None, typer.Option("--rule", metavar="NAME", help="Only this alert's false pages.")] = None,
    top: Annotated[int, typer.Option("--top", metavar="NUMBER", min=1, help="Ask at most so many questions.")] = 20,
    answers: Annotated[
        str | None,
        typer.Option("--answers", metavar="FILE", help="Apply these answers, a JSON object a line; - reads stdin."),
    ] = None,
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who answers; kept with what is noise.")] = "",
    zone: Annotated[
        str | None, typer.Option("--zone", metavar="NAME", help="Show times in this zone, too: Europe/Berlin.")
    ] = None,
    grafana: Annotated[
        str,
        typer.Option(
            "--grafana",
            metavar="URL",
            help="Link to a dashboard: Grafana's address for the one of kmon dashboard, or a template with {from_ms}, "
            "{to_ms}, {labels}, {rule}, {label.NAME}.",
        ),
    ] = "",
    prometheus_url: Annotated[
        str,
        typer.Option(
            "--prometheus-url", metavar="URL", help="Link to this Prometheus; by default that of --prometheus."
        ),
    ] = "",
    last: LastOption = None,
    start: StartOption = None,
    end: EndOption = None,
    store: StoreOption = None,
    evaluate_on: EvaluateOnOption = None,
    timeout: TimeoutOption = None,
    group_by: GroupByOption = None,
    merge_gap: MergeGapOption = "5m",
    credit_before: CreditBeforeOption = "15m",
    credit_after: CreditAfterOption = "5m",
    semantics: VersionOption = None,
    evaluation_interval: IntervalOption = None,
    phase: PhaseOption = None,
    rule_path: RulePathOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at undecided suggestions and the largest false pages and say what each was; the list learns it.

    Undecided suggestions of the list are asked first and decided where they stand (noise rejects them).
    An incident that was missing becomes one, an expected event an excluded window, and noise is not asked about
    again but stays a false page. Every answer is in the file at once; the next run goes on with what is left.
    Without a terminal, --json prints the questions and --answers applies answers.
    """
    from kmon_analysis.backtest.notes import unmatched
    from kmon_analysis.labelling.edit import IncidentFile
    from kmon_analysis.labelling.review import questions
    from kmon_analysis.labelling.session import Session
    from kmon_analysis.report.asked import Links, check_links, zone_of
    from kmon_analysis.rules.reader import read_rules
    from kmon_analysis.workflow import backtest

    samples = Samples(history, prometheus, last, start, end, store, timeout, evaluate_on)
    credit = (credit_before, credit_after)
    settings = make_settings(group_by, merge_gap, semantics, evaluation_interval, phase, rule_path, credit)
    where = Links(grafana, prometheus_url or prometheus or "")
    check_links(where)
    local = zone_of(zone)
    given = None if answers is None else read_answers(answers)
    file = IncidentFile.open(incidents)
    read = read_rules(rules)
    with working("starting") as work:
        recorded = samples.obtain(read, work)
        work.begin("replaying the rules")

        def show(name: str, state: Progress) -> None:
            work.begin(f"the server evaluates {name}")
            work.update(state.done, state.total)

        result = backtest(
            read,
            recorded,
            file.incidents,
            settings=settings,
            server=samples.server,
            patience=samples.patience,
            progress=show,
        )
        work.begin("looking for false pages")
        session = Session(result, file, questions(result, rule))
    for note in unmatched(result):
        say(f"warning: {note.text}")
    if not file.exists:
        say(f"note: {incidents} does not exist; the first answer makes it")
    talk = given is None and not as_json and sys.stdin.isatty()
    if talk:
        converse(session, top, where, local, by)
        return
    if given is None and not as_json:
        given = parse_answers(sys.stdin.read(), "<stdin>")
    if given:
        apply_answers(session, given, by)
        finish(session, as_json=as_json)
    elif as_json:
        from kmon_analysis.report.asked import question_json

        put_json([question_json(session, number, where) for number in asked_numbers(session, top)])
    else:
        put(table_text(session, asked_numbers(session, top), columns()))
        say_rest(session, top)


def asked_numbers(session: Session, top: int) -> list[int]:
    """Return the numbers of the questions to ask: one of each kind first, of which repetitions follow."""
    return list(range(1, min(top, len(session)) + 1))


def say_rest(session: Session, top: int) -> None:
    """Say how many questions are not shown."""
    if len(session) > top:
        kinds = sum(not each.repeats for each in session.questions)
        say(f"{len(session)} questions, {kinds} of them of a kind of their own; --top {len(session)} asks all")


# ---- answers from a file ------------------------------------------------------------------------


def read_answers(path: str) -> list[dict[str, Any]]:
    """Read answers from a file, or stdin for ``-``."""
    if path == "-":
        return parse_answers(sys.stdin.read(), "<stdin>")
    try:
        return parse_answers(Path(path).read_text(encoding="utf-8"), path)
    except (OSError, UnicodeError) as error:
        raise SettingError(f"cannot be read: {error}", place=path, cure="Check the path given to --answers") from None


def parse_answers(text: str, path: str) -> list[dict[str, Any]]:
    """Read one JSON object a line; empty lines are passed over.

    Raises
    ------
    InputError
        With the line that is none, or has a key or a type that means nothing.
    """
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError) as error:
            problem = f"not a line of JSON: {error}"
            raise InputError(problem, place=place, cure='Write {"question": 1, "decision": "noise"}') from None
        if not isinstance(answer, dict) or "question" not in answer or "decision" not in answer:
            problem = "an answer needs 'question' and 'decision'"
            raise InputError(problem, place=place, cure='Write {"question": 1, "decision": "noise"}')
        for key, value in answer.items():
            if key not in _ANSWER_KEYS:
                known = ", ".join(_ANSWER_KEYS)
                raise InputError(f"{key!r} means nothing in an answer", place=place, cure=f"Known are {known}")
            if not _fits(key, value):
                raise InputError(f"{key!r} is {value!r}", place=place, cure=f"Write {_WANTED.get(key, 'a text')}")
        found.append({**answer, "place": place})
    return found


_WANTED = {
    "question": "its number or its key",
    "labels": "an object of texts",
    "must_page": "true or false",
    "alike": "true or false",
}


def _fits(key: str, value: Any) -> bool:
    if key in ("must_page", "alike"):
        return isinstance(value, bool)
    if key == "question":
        return isinstance(value, int | str) and not isinstance(value, bool)
    if key == "labels":
        return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())
    return isinstance(value, str)


def apply_answers(session: Session, given: Sequence[Mapping[str, Any]], by: str) -> None:
    """Apply all answers or none: the file is written once, at the end."""
    from kmon_analysis.labelling.edit import Draft

    file = session.file
    session.file = Draft.of(file)
    for answer in given:
        try:
            answer_once(session, answer, by)
        except KmonError as error:
            error.place = error.place or answer["place"]
            raise
    session.file = file.written(session.file.text)


def answer_once(session: Session, answer: Mapping[str, Any], by: str) -> None:
    """Give one answer of a file to a session."""
    from kmon_analysis.timing import parse_instant

    said = {
        key: value for key, value in answer.items() if key not in ("question", "decision", "alike", "when", "place")
    }
    if "when" in answer:
        said["when_ms"] = parse_instant(answer["when"])
    session.answer(
        answer["question"],
        answer["decision"],
        all_alike=answer.get("alike", False),
        **{**({"by": by} if by else {}), **said},
    )


def finish(session: Session, *, as_json: bool = False) -> None:
    """Say what the answers change."""
    with working("scoring against the new list"):
        effects = session.effects()
    if as_json:
        put_json(
            {
                "answers": session.answers,
                "effects": [
                    {
                        "rule": each.rule,
                        **{
                            name: dict(zip(("before", "after"), getattr(each, name), strict=True))
                            for name in ("false_pages", "incidents", "caught")
                        },
                    }
                    for each in effects
                ],
            }
        )
    for each in effects:
        say(each.sentence)
    for sentence in session.file.incidents.check_circular():
        say(f"note: {sentence}")
    written = f"written: {session.file.path}" if session.answers else "nothing written"
    say(f"{written} ({session.answers} {'answer' if session.answers == 1 else 'answers'})")


# ---- a conversation -----------------------------------------------------------------------------


def table_text(session: Session, numbers: Sequence[int], width: int) -> str:
    """Return the questions as a table, the labels of each below it; no line is longer than `width` if words allow."""
    from kmon_analysis.report.words import moment, number
    from kmon_analysis.tabular import hanging
    from kmon_analysis.timing import duration

    if not numbers:
        return "No suggestion or false page is left to ask about."
    rows = []
    for place in numbers:
        asked = session.question(place)
        cells = (str(place), moment(asked.breach.start_ms), duration(asked.breach.duration_ms), number(asked.peak))
        labels = ", ".join(f"{name}={one_line(value)}" for name, value in asked.labels.items())
        rows.append((*cells, one_line(asked.head), labels))
    wide = [max(len(row[column]) for row in rows) for column in range(4)]
    names = f"{'#':>{wide[0]}}  {'from, UTC':<{wide[1]}}  {'for':>{wide[2]}}  {'peak':>{wide[3]}}  rule, labels"
    lines = [names]
    for at, start, length, peak, head, labels in rows:
        first = f"{at:>{wide[0]}}  {start:<{wide[1]}}  {length:>{wide[2]}}  {peak:>{wide[3]}}  "
        lines += hanging(first, head, width)
        lines += hanging(" " * (wide[0] + 2), labels, width) if labels else []
    return "\n".join(lines)


def one_line(text: str) -> str:
    """Return one line that is safe to show."""
    return shown(text).replace("\n", "\\n")


def converse(session: Session, top: int, where: Links, zone: tzinfo | None, by: str) -> None:
    """Ask until everything is answered or the person has enough."""
    from rich.console import Console

    dialogue = Dialogue(session, Console(stderr=True, highlight=False), asked_numbers(session, top), where, zone, by)
    try:
        dialogue.run()
    except KeyboardInterrupt:
        say()
        many = "1 answer is" if session.answers == 1 else f"{session.answers} answers are"
        say(f"{many} in {session.file.path}")
        raise
    if session.answers:
        finish(session)
    say_rest(session, top)


def style_of(char: str) -> str:
    """Return the colour of a character of a picture."""
    return "yellow" if char in "┄-" else "red" if char in "▔^" else "" if char == " " else "cyan"


class Dialogue:
    """Asks one question after the other."""

    def __init__(
        self,
        session: Session,
        console: Console,
        numbers: Sequence[int],
        where: Links,
        zone: tzinfo | None,
        by: str,
        read: Callable[[], str] | None = None,
    ) -> None:
        self.session, self.console, self.numbers = session, console, numbers
        self.where, self.zone, self.by, self.read = where, zone, by, read or input
        self.at: int | None = None

    def run(self) -> None:
        """Go on until nothing is left, or the person leaves."""
        if not self.numbers:
            self.say("No suggestion or false page is left to ask about.")
        seen = None
        while (place := self.next()) is not None:
            if place != seen:
                self.show(place)
            seen = place
            try:
                if not self.ask(place):
                    return
            except EOFError:
                self.say()
                return
            except InputError as error:
                self.say(str(error), style="red")

    def next(self) -> int | None:
        """Return the question to ask: the one that was chosen, else the first open one."""
        if self.at is not None:
            place, self.at = self.at, None
            return place
        said = self.session.said
        return next((each for each in self.numbers if self.session.question(each).key not in said), None)

    def say(self, text: str = "", style: str = "") -> None:
        """Show words as they are, without markup and without breaking addresses."""
        from rich.text import Text

        self.console.print(Text(shown(text), style=style), soft_wrap=True)

    def prompt(self, text: str, default: str = "") -> str:
        """Ask for a line; an empty one takes the default."""
        from rich.text import Text

        offered = f" [{one_line(default)}]" if default else ""
        self.console.print(Text(f"  {one_line(text)}{offered}: ", style="bold"), end="")
        return self.read().strip() or default

    def show(self, place: int) -> None:
        """Show a question with its picture and links."""
        from rich.rule import Rule
        from rich.text import Text

        from kmon_analysis.report.asked import facts, links
        from kmon_analysis.tabular import hanging

        self.console.print()
        self.console.print(Rule(Text(f"{place} of {len(self.numbers)}", style="bold"), align="left"))
        for term, text in facts(self.session, place, self.zone):
            self.say("\n".join(hanging(f"{term:>10}  ", one_line(text), self.console.width)))
        self.console.print()
        if not self.session.question(place).ruleless:
            self.picture(place)
        for name, address in links(self.session, place, self.where):
            self.say(f"{name:>10}  {address}")

    def picture(self, place: int) -> None:
        """Draw the compared value around the page."""
        from rich.text import Text

        from kmon_analysis.labelling.review import trace
        from kmon_analysis.report.sketch import sketch
        from kmon_analysis.report.words import compact, moment

        asked = self.session.question(place)
        seen = trace(self.session.result, asked)
        if not len(seen.times):
            return
        width = max(20, min(100, self.console.width - 14))
        plain = "utf" not in (self.console.encoding or "").lower()
        lines = sketch(seen.values, asked.threshold, seen.firing, width=width, plain=plain)
        finite = [value for value in seen.values.tolist() if abs(value) < float("inf")]
        ends = {0: compact(max(finite)), len(lines) - 2: compact(min(min(finite), 0.0))} if finite else {}
        marked = {} if asked.threshold is None else {"┄": compact(asked.threshold), "-": compact(asked.threshold)}
        for row, line in enumerate(lines):
            dashes = next((text for char, text in marked.items() if char in line and row < len(lines) - 1), "")
            label = dashes or ends.get(row, "")
            styled = Text(f"{label:>10}  ")
            for style, run in groupby(line, key=style_of):
                styled.append("".join(run), style=style)
            self.console.print(styled, soft_wrap=True)
        first, final = moment(int(seen.times[0])), moment(int(seen.times[-1]))
        self.say(f"{'':>10}  {first}{'':>{max(1, width - len(first) - len(final))}}{final}")

    def ask(self, place: int) -> bool:
        """Take one choice; False ends the review."""
        words = "  ".join(f"({letter}){word[1:]}" for letter, word in CHOICES.items())
        said = self.session.said.get(self.session.question(place).key)
        if said:
            self.say(f"{'said':>10}  {said}")
        choice = self.prompt(words).lower()
        if choice.isdigit():
            self.session.question(int(choice))
            self.at = int(choice)
            return True
        word = CHOICES.get(choice[:1]) if choice else None
        if word is None or not word.startswith(choice):
            self.say("Type one of the letters in brackets, or a question's number.")
            self.at = place
        elif word == "quit":
            return False
        elif word == "list":
            self.say(table_text(self.session, self.numbers, self.console.width))
            self.at = place
        elif word == "back":
            opened = self.session.back()
            self.at = self.session.number_of(opened[0])
        elif word == "skip":
            self.session.skip(place)
        else:
            self.at = place
            self.answer(place, word)
            self.at = None
        return True

    def answer(self, place: int, decision: str) -> None:
        """Ask for the details of an answer and give it; what is refused is asked again at its prompt."""
        from kmon_analysis.labelling.review import decision_of

        asked, said = self.session.question(place), decision_of(decision)
        options: dict[str, Any] = {"by": self.by, "zone": self.zone}

        def taken(**more: Any) -> bool:
            try:
                self.session.check(place, said, **options, **more)
            except InputError as error:
                self.say(str(error), style="red")
                return False
            options.update(more)
            return True

        if decision == "incident":
            proposed = self.session.proposed_id(place)
            while not taken(id=self.prompt("id", proposed)):
                pass
        if decision != "noise":
            while not taken(**self.times(asked.breach)):
                pass
            while asked.labels and not taken(labels=self.prompt("labels (- for all)", str(asked.labels))):
                pass
        if decision == "incident":
            options["must_page"] = self.yes(
                "must a rule page for it", default=asked.suggestion is None or asked.suggestion.must_page
            )
        options["note"] = self.prompt({"incident": "cause", "expected": "reason", "noise": "why"}[decision])
        alike = len(self.session.alike(place)) if decision != "incident" else 0
        if alike:
            options["all_alike"] = self.yes(f"the same for {alike} more like it", default=False)
        answered = self.session.answer(place, said, **options)
        many = "" if len(answered) == 1 else f"{len(answered)} times "
        self.say(f"{'':>10}  {many}{decision}, written to {self.session.file.path}", style="green")

    def times(self, breach: Interval) -> dict[str, int]:
        """Ask for start and end, in UTC or local."""
        from kmon_analysis.labelling.session import said_instant
        from kmon_analysis.timing import format_instant

        found: dict[str, int] = {}
        where = "" if self.zone is None else f" (with its zone, or local in {self.zone})"
        for name, own_ms in (("start", breach.start_ms), ("end", breach.end_ms)):
            while name not in found:
                try:
                    found[name] = said_instant(self.prompt(f"{name}{where}", format_instant(own_ms)), own_ms, self.zone)
                except InputError as error:
                    self.say(str(error), style="red")
        return found

    def yes(self, text: str, *, default: bool) -> bool:
        """Ask for yes or no."""
        while True:
            word = self.prompt(f"{text}? ({'Y/n' if default else 'y/N'})").lower()
            if word in ("", "y", "yes", "n", "no"):
                return default if not word else word.startswith("y")
            self.say(f"{word!r} is neither yes nor no.\n  Type y or n.", style="red")
